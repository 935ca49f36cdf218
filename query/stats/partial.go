package stats

import (
	"encoding/binary"
	"math/bits"
)

// Kinds says which statistics a Partial gathers. The bits are stable: they are part of the encoding.
type Kinds uint16

// The statistics that decompose over whole cells.
const (
	KindPearson      Kinds = 1 << iota // Σ D²/(R·C)
	KindG                              // Σ E·h(D/(R·C)), h(d) = (1+d)·ln(1+d) − d; mutual information and Theil's U too
	KindCressieRead                    // power divergence, λ = 2/3
	KindFreemanTukey                   // λ = −1/2
	KindModifiedG                      // λ = −1
	KindNeyman                         // λ = −2
	KindTauCols                        // Goodman and Kruskal's τ, column given row: Σ D²/(n·R)
	KindTauRows                        // row given column: Σ D²/(n·C)
	kindEnd

	allKinds = kindEnd - 1
)

// Partial is one holder's share of the statistics of a table: exact sums over the non-zero cells it has, and integers
// from which the share of the zero cells follows. Each cell must be added once, whole, by one holder. Partials merge in
// any order; equal shares have equal bits whether cells came as rows or as triples. A Partial belongs to one goroutine.
type Partial struct {
	kinds  Kinds
	digest Digest
	cells  uint64 // non-zero cells
	mass   u128   // Σ R·C over them; over all cells it is n²
	rcc    i256   // Σ R·C² over them; over all cells n·ΣC². Only for KindTauCols
	rrc    i256   // Σ R²·C over them; over all cells n·ΣR². Only for KindTauRows
	sums   []Sum  // one for each kind, in the order of bits
}

// NewPartial makes an empty share of the given statistics, for cells under frame f.
func NewPartial(f *Frame, kinds Kinds) *Partial {
	kinds &= allKinds
	return &Partial{kinds: kinds, digest: f.whole.Digest, sums: make([]Sum, bits.OnesCount16(uint16(kinds)))}
}

// Kinds says what the partial gathers.
func (p *Partial) Kinds() Kinds { return p.kinds }

// Digest identifies the margins that the partial was computed with.
func (p *Partial) Digest() Digest { return p.digest }

// Cells is the number of non-zero cells added.
func (p *Partial) Cells() uint64 { return p.cells }

// sum is the Sum of one kind, nil when the partial does not gather it.
func (p *Partial) sum(k Kinds) *Sum {
	if p.kinds&k == 0 {
		return nil
	}
	return &p.sums[bits.OnesCount16(uint16(p.kinds&(k-1)))]
}

// AddRow adds the cells of row i under f; row has a count for each column of f. It allocates nothing. Counts are those
// that the margins were made of, so none is negative and none is above its margins; a shape that disagrees panics.
func (p *Partial) AddRow(f *Frame, i int, row []int64) {
	if f.rows[i] == 0 {
		return
	}
	var zeros, zeroMass uint64
	if s := p.sum(KindPearson); s != nil {
		zeros, zeroMass = s.addRow(f, i, row)
	} else {
		for j, o := range row {
			if o == 0 {
				zeros++
				zeroMass += f.cols[j]
			}
		}
	}
	p.cells += uint64(len(row)) - zeros
	p.mass = p.mass.add(mul128(f.rows[i], f.colSum-zeroMass))
	if s := p.sum(KindG); s != nil {
		likelihoodRow(s, f, i, row)
	}
	if p.kinds&^(KindPearson|KindG) == 0 {
		return
	}
	for j, o := range row {
		if o != 0 {
			p.addOthers(f, uint32(i), uint32(j), uint64(o))
		}
	}
}

// AddCells adds cells in coordinate form, row and column being positions in f. It allocates nothing; zeros are skipped.
func (p *Partial) AddCells(f *Frame, c Triples) {
	if s := p.sum(KindPearson); s != nil {
		nonzero, mass := s.addCells(f, c)
		p.cells += nonzero
		p.mass = p.mass.add(mass)
	} else {
		for k, o := range c.Count {
			if o != 0 {
				p.cells++
				p.mass = p.mass.add(mul128(f.rows[c.Row[k]], f.cols[c.Col[k]]))
			}
		}
	}
	if s := p.sum(KindG); s != nil {
		likelihoodCells(s, f, c)
	}
	if p.kinds&^(KindPearson|KindG) == 0 {
		return
	}
	for k, o := range c.Count {
		if o != 0 {
			p.addOthers(f, c.Row[k], c.Col[k], uint64(o))
		}
	}
}

// AddInRow adds cells of row i, cols being their columns. It is AddCells for cells that come by rows and are all above 0, and faster.
func (p *Partial) AddInRow(f *Frame, i uint32, cols []uint32, counts []int64) {
	p.addLine(f, line{f.rows[i], f.rowScale[i], cols, counts, f.cols, f.colScale})
	if p.kinds&^(KindPearson|KindG) == 0 {
		return
	}
	for k, o := range counts {
		p.addOthers(f, i, cols[k], uint64(o))
	}
}

// AddInCol adds cells of column j, rows being their rows. All are above 0.
func (p *Partial) AddInCol(f *Frame, j uint32, rows []uint32, counts []int64) {
	p.addLine(f, line{f.cols[j], f.colScale[j], rows, counts, f.rows, f.rowScale})
	if p.kinds&^(KindPearson|KindG) == 0 {
		return
	}
	for k, o := range counts {
		p.addOthers(f, rows[k], j, uint64(o))
	}
}

// addLine adds what has a kernel.
func (p *Partial) addLine(f *Frame, l line) {
	p.cells += uint64(len(l.counts))
	if s := p.sum(KindPearson); s != nil {
		p.mass = p.mass.add(s.addLine(f, l))
	} else {
		for _, j := range l.codes {
			p.mass = p.mass.add(mul128(l.total, l.totals[j]))
		}
	}
	if s := p.sum(KindG); s != nil {
		likelihoodLine(s, f, l)
	}
}

// AddTable adds every cell of t, whose frame must be f's.
func (p *Partial) AddTable(f *Frame, t *Table) {
	if t.dense == nil {
		p.AddCells(f, t.sparse)
		return
	}
	for i := range t.rows {
		p.AddRow(f, i, t.dense[i*t.cols:(i+1)*t.cols])
	}
}

// addOthers adds one non-zero cell to every sum that has no kernel of its own.
func (p *Partial) addOthers(f *Frame, i, j uint32, o uint64) {
	r, c := f.rows[i], f.cols[j]
	x := newCell(f.n, o, r, c)
	for kinds := p.kinds &^ (KindPearson | KindG); kinds != 0; kinds &= kinds - 1 {
		kind := kinds & -kinds
		s := p.sum(kind)
		switch kind {
		case KindCressieRead:
			s.Add(x.divergence(2. / 3))
		case KindFreemanTukey:
			s.Add(x.divergence(-0.5))
		case KindModifiedG:
			s.Add(x.divergence(-1))
		case KindNeyman:
			s.Add(x.divergence(-2))
		case KindTauCols:
			p.rcc.addMul(mul128(c, c), r)
			s.Add(float64(x.resid*x.resid) / mul128(f.n, r).float())
		case KindTauRows:
			p.rrc.addMul(mul128(r, r), c)
			s.Add(float64(x.resid*x.resid) / mul128(f.n, c).float())
		}
	}
}

// Merge adds another holder's share. The error is ErrDigest, when the margins differ, or ErrArgument, when the kinds do;
// p is then unchanged.
func (p *Partial) Merge(o *Partial) error {
	if p.digest != o.digest {
		return ErrDigest
	}
	if p.kinds != o.kinds {
		return argumentError("partials of kinds %#x and %#x", p.kinds, o.kinds)
	}
	p.cells += o.cells
	p.mass = p.mass.add(o.mass)
	p.rcc.add(o.rcc)
	p.rrc.add(o.rrc)
	for k := range p.sums {
		p.sums[k].Merge(&o.sums[k])
	}
	return nil
}

const partialVersion = 1

// AppendBinary appends the encoding: version 1; kinds as two bytes; the digest; the number of non-zero cells as an
// unsigned varint; Σ R·C as 16 bytes; for the two τ kinds Σ R·C² and Σ R²·C as 32 bytes each, when gathered; and the
// encodings of the sums in the order of kinds. Integers are little-endian. Equal shares have equal bytes.
func (p *Partial) AppendBinary(b []byte) ([]byte, error) {
	b = append(b, partialVersion)
	b = binary.LittleEndian.AppendUint16(b, uint16(p.kinds))
	b = append(b, p.digest[:]...)
	b = binary.AppendUvarint(b, p.cells)
	b = appendU128(b, p.mass)
	for _, third := range p.thirds() {
		for _, w := range third {
			b = binary.LittleEndian.AppendUint64(b, w)
		}
	}
	for k := range p.sums {
		b, _ = p.sums[k].AppendBinary(b)
	}
	return b, nil
}

// MarshalBinary is AppendBinary to nil.
func (p *Partial) MarshalBinary() ([]byte, error) { return p.AppendBinary(nil) }

// thirds are the three-factor sums that the kinds call for.
func (p *Partial) thirds() (t []*i256) {
	if p.kinds&KindTauCols != 0 {
		t = append(t, &p.rcc)
	}
	if p.kinds&KindTauRows != 0 {
		t = append(t, &p.rrc)
	}
	return t
}

// UnmarshalBinary reads what AppendBinary wrote, and nothing after it. The error is ErrEncoding; it leaves p unchanged.
func (p *Partial) UnmarshalBinary(b []byte) error {
	r := reader{b: b}
	if v := r.byte(); v != partialVersion {
		return encodingError("partial of version %d, this program reads %d", v, partialVersion)
	}
	var kinds [2]byte
	r.bytes(kinds[:])
	got := Partial{kinds: Kinds(binary.LittleEndian.Uint16(kinds[:]))}
	if got.kinds&^allKinds != 0 {
		return encodingError("partial of unknown kinds %#x", got.kinds)
	}
	r.bytes(got.digest[:])
	got.cells = r.uvarint()
	got.mass = r.u128()
	for _, third := range got.thirds() {
		for k := range third {
			third[k] = r.uint64()
		}
	}
	got.sums = make([]Sum, bits.OnesCount16(uint16(got.kinds)))
	for k := range got.sums {
		got.sums[k] = r.finiteSum(false) // every term is finite and at least 0
	}
	if err := r.end(); err != nil {
		return err
	}
	*p = got
	return nil
}
