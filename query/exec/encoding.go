package exec

import (
	"cmp"
	"slices"

	"github.com/quipudb/quipu/query/plan"
	"github.com/quipudb/quipu/query/stats"
)

// What the rounds of a fragment exchange has a form in bytes, docs/format/queries.md: Partial up, Totals down, shares of tests up, and the
// rows of a stream of cells.

// encodingVersion is the first byte of each.
const encodingVersion = 1

// What the share of a test holds.
const (
	shareNone = iota
	shareDone
	shareMargins
	shareCells
	shareSums
)

// Encode gives the share of a shard in the groups of f.
func (p *Partial) Encode(f *plan.Fragment) ([]byte, error) {
	e := &plan.Encoder{}
	e.Byte(encodingVersion)
	e.Uvarint(uint64(len(p.Groups)))
	for i := range p.Groups {
		e.Values(p.Groups[i].Keys)
		for a, agg := range f.Aggs {
			if err := p.Groups[i].Aggs[a].encode(e, agg); err != nil {
				return nil, err
			}
		}
	}
	return e.Bytes(), nil
}

func (s *Share) encode(e *plan.Encoder, a *plan.Aggregate) error {
	switch a.Kind {
	case plan.AggSum, plan.AggCells:
		e.Byte(flag(s.Some))
		e.Varint(s.Sum)
	case plan.AggMin, plan.AggMax:
		e.Value(s.End)
	case plan.AggDistinct:
		e.Uvarint(uint64(len(s.Seen)))
		e.Values(sortedSeen(s.Seen))
	case plan.AggTest:
		return s.encodeTest(e)
	}
	return nil
}

func flag(b bool) byte {
	if b {
		return 1
	}
	return 0
}

// sortedSeen puts values into the one order in which they travel.
func sortedSeen(seen map[plan.Value]struct{}) []plan.Value {
	out := make([]plan.Value, 0, len(seen))
	for v := range seen {
		out = append(out, v)
	}
	slices.SortFunc(out, func(a, b plan.Value) int {
		am, ad, an := a.Span()
		bm, bd, bn := b.Span()
		return cmp.Or(cmp.Compare(a.Type, b.Type), cmp.Compare(am, bm), cmp.Compare(ad, bd), cmp.Compare(an, bn), cmp.Compare(a.Text(), b.Text()))
	})
	return out
}

func (s *Share) encodeTest(e *plan.Encoder) error {
	switch {
	case s.Done != nil:
		e.Byte(shareDone)
		e.Values(s.Done)
	case s.Margins != nil:
		e.Byte(shareMargins)
		return s.Margins.encode(e)
	case s.Cells != nil:
		e.Byte(shareCells)
		encodeCells(e, s.Cells)
	case s.Sums != nil:
		e.Byte(shareSums)
		e.Varint(s.Null)
		return blob(e, s.Sums)
	default:
		e.Byte(shareNone)
	}
	return nil
}

// blob appends the encoding of sums.
func blob(e *plan.Encoder, s interface {
	AppendBinary(b []byte) ([]byte, error)
}) error {
	b, err := s.AppendBinary(nil)
	if err == nil {
		e.Blob(b)
	}
	return err
}

func (m *Margins) encode(e *plan.Encoder) error {
	for _, list := range [][]plan.Value{m.Rows, m.Cols} {
		e.Uvarint(uint64(len(list)))
		e.Values(list)
	}
	e.Varint(m.Null)
	if err := blob(e, m.Totals); err != nil {
		return err
	}
	if m.Maxima == nil {
		e.Byte(0)
		return nil
	}
	e.Byte(1)
	return blob(e, m.Maxima)
}

func encodeCells(e *plan.Encoder, c *plan.Cells) {
	for _, list := range c.Values {
		e.Uvarint(uint64(len(list)))
		e.Values(list)
	}
	e.Varint(c.Null)
	e.Uvarint(uint64(len(c.Count)))
	for k, n := range c.Count {
		for d := range c.At {
			e.Uvarint(uint64(c.At[d][k]))
		}
		e.Varint(n)
	}
}

// DecodePartial reads a Partial of f. What it makes is counted in mem.
func DecodePartial(b []byte, f *plan.Fragment, mem *Budget) (*Partial, error) {
	r := reader{Decoder: plan.NewDecoder(b), mem: mem}
	r.version()
	p := &Partial{}
	for n := r.Count(); n > 0 && !r.Failed(); n-- {
		r.grow(int64(48 + valueBytes*len(f.Keys) + 96*len(f.Aggs)))
		g := Group{Keys: r.Values(len(f.Keys)), Aggs: make([]Share, len(f.Aggs))}
		for a, agg := range f.Aggs {
			r.share(&g.Aggs[a], agg)
		}
		p.Groups = append(p.Groups, g)
	}
	return p, r.close()
}

// reader counts what it makes.
type reader struct {
	*plan.Decoder
	mem *Budget
	err error // of the budget
}

func (r *reader) version() {
	if v := r.Byte(); v != encodingVersion {
		r.Fail("version %d, this release reads %d", v, encodingVersion)
	}
}

func (r *reader) close() error {
	if r.err != nil {
		return r.err
	}
	return r.Close()
}

func (r *reader) grow(n int64) {
	if err := r.mem.Grow(n); err != nil && r.err == nil {
		r.err = err
		r.Fail("too large")
	}
}

// list reads a number of items of size bytes in memory each, and counts them.
func (r *reader) list(size int64) int {
	n := r.Count()
	r.grow(int64(n) * size)
	if r.Failed() {
		return 0
	}
	return n
}

func (r *reader) share(s *Share, a *plan.Aggregate) {
	switch a.Kind {
	case plan.AggSum, plan.AggCells:
		s.Some, s.Sum = r.Byte() != 0, r.Varint()
	case plan.AggMin, plan.AggMax:
		s.End = r.Value()
	case plan.AggDistinct:
		n := r.list(valueBytes)
		if n == 0 {
			return
		}
		s.Seen = make(map[plan.Value]struct{}, n)
		for _, v := range r.Values(n) {
			s.Seen[v] = struct{}{}
		}
	case plan.AggTest:
		r.test(s, a)
	}
}

// shareOf is what the share of a test holds in each mode.
var shareOf = map[plan.Mode]byte{plan.ModeLocal: shareDone, plan.ModeMargins: shareMargins, plan.ModeCells: shareCells, plan.ModeSums: shareSums}

func (r *reader) test(s *Share, a *plan.Aggregate) {
	kind := r.Byte()
	if kind != shareNone && kind != shareOf[a.Mode] {
		r.Fail("a share of kind %d of a test in mode %s", kind, a.Mode)
		return
	}
	switch kind {
	case shareDone:
		s.Done = r.Values(a.Width())
	case shareMargins:
		s.Margins = r.margins(a.Maxima())
	case shareCells:
		s.Cells = r.cells(a.CellDims())
	case shareSums:
		s.Null, s.Sums = r.Varint(), a.NewSums(nil)
		r.blob(s.Sums)
	}
}

// blob reads sums of some kind.
func (r *reader) blob(s interface{ UnmarshalBinary(b []byte) error }) {
	b := r.Blob()
	r.grow(int64(len(b)))
	if r.Failed() {
		return
	}
	if err := s.UnmarshalBinary(b); err != nil {
		r.Fail("%v", err)
	}
}

func (r *reader) values() []plan.Value { return r.Values(r.list(valueBytes + 8)) }

func (r *reader) margins(maxima bool) *Margins {
	m := &Margins{Rows: r.values(), Cols: r.values(), Null: r.Varint(), Totals: &stats.Margins{}}
	fits := func(rows, cols []uint64) {
		if !r.Failed() && (len(rows) != len(m.Rows) || len(cols) != len(m.Cols)) {
			r.Fail("numbers of %d x %d for %d x %d categories", len(rows), len(cols), len(m.Rows), len(m.Cols))
		}
	}
	r.blob(m.Totals)
	fits(m.Totals.Rows, m.Totals.Cols)
	if has := r.Byte() != 0; has != maxima {
		r.Fail("maxima: %v instead of %v", has, maxima)
	} else if has {
		m.Maxima = &stats.Maxima{}
		r.blob(m.Maxima)
		fits(m.Maxima.Rows, m.Maxima.Cols)
	}
	return m
}

func (r *reader) cells(dims int) *plan.Cells {
	c := plan.NewCells(dims)
	for d := range c.Values {
		c.Values[d] = r.values()
	}
	c.Null = r.Varint()
	n := r.list(int64(8 + 4*dims))
	c.Count = make([]int64, n)
	for d := range c.At {
		c.At[d] = make([]uint32, n)
	}
	for k := 0; k < n && !r.Failed(); k++ {
		for d := range c.At {
			c.At[d][k] = r.place(len(c.Values[d]))
		}
		c.Count[k] = r.Varint()
	}
	return c
}

// place reads a position in a list of n.
func (r *reader) place(n int) uint32 {
	k := r.Uvarint()
	if k >= uint64(n) {
		r.Fail("category %d of %d", k, n)
		return 0
	}
	return uint32(k)
}

// EncodeTotals gives what a shard must know for the second round.
func EncodeTotals(totals []Totals) []byte {
	e := &plan.Encoder{}
	e.Byte(encodingVersion)
	e.Uvarint(uint64(len(totals)))
	for i := range totals {
		t := &totals[i]
		e.Uvarint(uint64(t.Group))
		e.Uvarint(uint64(t.Agg))
		e.Uvarint(t.N)
		for _, list := range [][]uint64{t.Rows, t.Cols} {
			e.Uvarint(uint64(len(list)))
			for _, n := range list {
				e.Uvarint(n)
			}
		}
		e.Uvarint(uint64(t.Whole.Rows))
		e.Uvarint(uint64(t.Whole.Cols))
		e.Uvarint(t.Whole.MinRow)
		e.Uvarint(t.Whole.MinCol)
		e.Raw(t.Whole.Digest[:])
		e.Blob(t.Sums)
	}
	return e.Bytes()
}

// DecodeTotals reads what EncodeTotals wrote. What it makes is counted in mem.
func DecodeTotals(b []byte, mem *Budget) ([]Totals, error) {
	r := reader{Decoder: plan.NewDecoder(b), mem: mem}
	r.version()
	var out []Totals
	for n := r.Count(); n > 0 && !r.Failed(); n-- {
		r.grow(160)
		t := Totals{Group: r.Number(1 << 40), Agg: r.Number(1 << 20), N: r.Uvarint(), Rows: r.numbers(), Cols: r.numbers()}
		t.Whole = stats.Whole{Rows: r.Number(1 << 40), Cols: r.Number(1 << 40), MinRow: r.Uvarint(), MinCol: r.Uvarint()}
		copy(t.Whole.Digest[:], r.Raw(len(t.Whole.Digest)))
		t.Sums = r.Blob()
		out = append(out, t)
	}
	return out, r.close()
}

func (r *reader) numbers() []uint64 {
	out := make([]uint64, r.list(8))
	for i := range out {
		out[i] = r.Uvarint()
	}
	return out
}

// EncodeTerms gives the answer of the second round.
func EncodeTerms(terms []Term) ([]byte, error) {
	e := &plan.Encoder{}
	e.Byte(encodingVersion)
	e.Uvarint(uint64(len(terms)))
	for _, t := range terms {
		var err error
		if t.Sums != nil {
			err = blob(e, t.Sums)
		} else {
			err = blob(e, t.Partial)
		}
		if err != nil {
			return nil, err
		}
	}
	return e.Bytes(), nil
}

// termBytes is about what a term of one statistic takes beyond its encoding.
const termBytes = 512

// DecodeTerms reads the terms that EncodeTerms wrote, of the tests of f that totals asked for. What it makes is counted in mem.
func DecodeTerms(b []byte, f *plan.Fragment, totals []Totals, mem *Budget) ([]Term, error) {
	r := reader{Decoder: plan.NewDecoder(b), mem: mem}
	r.version()
	if n := r.list(termBytes); n != len(totals) {
		r.Fail("%d terms of %d", n, len(totals))
	}
	out := make([]Term, len(totals))
	for i := 0; i < len(out) && !r.Failed(); i++ {
		r.term(&out[i], f, &totals[i])
	}
	return out, r.close()
}

func (r *reader) term(t *Term, f *plan.Fragment, asked *Totals) {
	if a := f.Aggs[asked.Agg]; a.Mode != plan.ModeSums {
		t.Partial = &stats.Partial{}
		r.blob(t.Partial)
	} else if first := a.NewSums(nil); first.UnmarshalBinary(asked.Sums) != nil {
		r.Fail("sums that were asked with cannot be read")
	} else if t.Sums = a.NewSums(first); t.Sums == nil {
		r.Fail("a second round of a test that has one")
	} else {
		r.blob(t.Sums)
	}
}

// RowsMax bounds the rows of a batch. (Rows of no columns take no bytes.)
const RowsMax = 1 << 16

// Rows gathers the rows of a stream of cells for the wire: only the fragment's columns travel.
type Rows struct {
	f *plan.Fragment
	n int
	e plan.Encoder
}

// NewRows makes an empty batch of rows of f.
func NewRows(f *plan.Fragment) *Rows { return &Rows{f: f} }

// Add appends a row.
func (b *Rows) Add(row []plan.Value) {
	for _, c := range b.f.Cells {
		b.e.Value(row[c])
	}
	b.n++
}

// Size is about the bytes of the batch.
func (b *Rows) Size() int { return len(b.e.Bytes()) + 16 }

// Len is the number of rows.
func (b *Rows) Len() int { return b.n }

// Take gives the encoded batch and begins another.
func (b *Rows) Take() []byte {
	var e plan.Encoder
	e.Byte(encodingVersion)
	e.Uvarint(uint64(b.n))
	e.Raw(b.e.Bytes())
	b.n, b.e = 0, plan.Encoder{}
	return e.Bytes()
}

// EachRow gives the rows of a batch to emit. The row is reused.
func EachRow(batch []byte, f *plan.Fragment, emit func([]plan.Value) error) error {
	r := reader{Decoder: plan.NewDecoder(batch)}
	r.version()
	row := make([]plan.Value, f.Width())
	for n := r.Number(RowsMax); n > 0 && !r.Failed(); n-- {
		for _, c := range f.Cells {
			row[c] = r.Value()
		}
		if r.Failed() {
			break
		}
		if err := emit(row); err != nil {
			return err
		}
	}
	return r.close()
}
