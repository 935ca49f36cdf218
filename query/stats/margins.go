package stats

import (
	"crypto/sha256"
	"encoding/binary"
	"math"
	"math/bits"
	"slices"
)

// Margins are the totals of a table's rows and columns: what the first of the two phases adds up. They are plain
// integers, addressed by position; who merges margins of holders that number their categories differently maps them
// with Place. The zero value is the margins of a table without rows and columns.
type Margins struct {
	Rows, Cols []uint64
	N          uint64
}

// NewMargins makes margins of zeros.
func NewMargins(rows, cols int) *Margins {
	return &Margins{Rows: make([]uint64, rows), Cols: make([]uint64, cols)}
}

// AddRow counts the cells of row i. On an error (ErrShape, CountError) the margins are unusable.
func (m *Margins) AddRow(i int, row []int64) error {
	if i < 0 || i >= len(m.Rows) || len(row) != len(m.Cols) {
		return shapeError("row %d of %d cells in margins of %d rows, %d columns", i, len(row), len(m.Rows), len(m.Cols))
	}
	n := m.N
	for j, o := range row {
		sum, ok := addU64(n, uint64(o))
		if o < 0 || !ok {
			return countError(i, j, o)
		}
		n = sum
		m.Cols[j] += uint64(o) // no overflow: a column total is at most n
	}
	m.Rows[i] += n - m.N
	m.N = n
	return nil
}

// AddCells counts cells in coordinate form. On an error (ErrShape, CountError) the margins are unusable.
func (m *Margins) AddCells(c Triples) error {
	if len(c.Row) != len(c.Count) || len(c.Col) != len(c.Count) {
		return shapeError("%d rows, %d columns, %d counts", len(c.Row), len(c.Col), len(c.Count))
	}
	for k, o := range c.Count {
		i, j := c.Row[k], c.Col[k]
		if int(i) >= len(m.Rows) || int(j) >= len(m.Cols) {
			return shapeError("cell in row %d, column %d of %d by %d", i, j, len(m.Rows), len(m.Cols))
		}
		sum, ok := addU64(m.N, uint64(o))
		if o < 0 || !ok {
			return countError(int(i), int(j), o)
		}
		m.N = sum
		m.Rows[i] += uint64(o)
		m.Cols[j] += uint64(o)
	}
	return nil
}

// Merge adds margins of the same shape. Errors: ErrShape, ErrOverflow; they leave m unchanged.
func (m *Margins) Merge(o *Margins) error {
	if len(o.Rows) != len(m.Rows) || len(o.Cols) != len(m.Cols) {
		return shapeError("margins of %d by %d and %d by %d", len(m.Rows), len(m.Cols), len(o.Rows), len(o.Cols))
	}
	n, ok := addU64(m.N, o.N)
	if !ok {
		return ErrOverflow
	}
	addTotals(m.Rows, o.Rows)
	addTotals(m.Cols, o.Cols)
	m.N = n
	return nil
}

func addTotals(dst, src []uint64) {
	for i, v := range src {
		dst[i] += v
	}
}

// Place adds margins whose row i is row rowTo[i] here, and whose column j is column colTo[j] here. Rows and columns
// that m does not have yet are appended as zeros first, so positions may be handed out as values are first seen. Errors:
// ErrShape, ErrOverflow; they leave m unchanged.
func (m *Margins) Place(o *Margins, rowTo, colTo []int) error {
	if len(rowTo) != len(o.Rows) || len(colTo) != len(o.Cols) || minOf(rowTo) < 0 || minOf(colTo) < 0 {
		return shapeError("places of %d rows and %d columns for margins of %d by %d", len(rowTo), len(colTo), len(o.Rows), len(o.Cols))
	}
	n, ok := addU64(m.N, o.N)
	if !ok {
		return ErrOverflow
	}
	m.Rows = placeTotals(m.Rows, o.Rows, rowTo)
	m.Cols = placeTotals(m.Cols, o.Cols, colTo)
	m.N = n
	return nil
}

func minOf(s []int) int {
	if len(s) == 0 {
		return 0
	}
	return slices.Min(s)
}

func placeTotals(dst, src []uint64, to []int) []uint64 {
	if len(to) > 0 {
		if need := slices.Max(to) + 1 - len(dst); need > 0 {
			dst = append(dst, make([]uint64, need)...)
		}
	}
	for i, v := range src {
		dst[to[i]] += v
	}
	return dst
}

// Digest identifies margins: two holders whose digests differ must not merge their partials. It is the first 16 bytes
// of the SHA-256 of n and of the non-zero row and column totals in ascending order: one order for every holder,
// whatever numbers it gives to categories.
type Digest [16]byte

// MarginsDigest is the digest of the global margins of a table.
func MarginsDigest(m *Margins) Digest {
	h := sha256.New()
	var word [8]byte
	put := func(v uint64) {
		binary.LittleEndian.PutUint64(word[:], v)
		h.Write(word[:])
	}
	put(m.N)
	for _, totals := range [][]uint64{m.Rows, m.Cols} {
		sorted, _, _ := compact(totals)
		slices.Sort(sorted)
		put(uint64(len(sorted)))
		for _, v := range sorted {
			put(v)
		}
	}
	return Digest(h.Sum(nil)[:16])
}

// valid says whether the margins belong to some table: rows and columns add up to n each.
func (m *Margins) valid() error {
	for _, totals := range [][]uint64{m.Rows, m.Cols} {
		var sum uint64
		for _, v := range totals {
			s, ok := addU64(sum, v)
			if !ok {
				return ErrOverflow
			}
			sum = s
		}
		if sum != m.N {
			return shapeError("totals add up to %d, n is %d", sum, m.N)
		}
	}
	return nil
}

const marginsVersion = 1

// AppendBinary appends the encoding: version 1, then n, the number of rows and their totals, the number of columns and
// their totals, all as unsigned varints. It is at most 21 bytes and 10 a total long.
func (m *Margins) AppendBinary(b []byte) ([]byte, error) {
	b = append(b, marginsVersion)
	b = binary.AppendUvarint(b, m.N)
	for _, totals := range [][]uint64{m.Rows, m.Cols} {
		b = binary.AppendUvarint(b, uint64(len(totals)))
		for _, v := range totals {
			b = binary.AppendUvarint(b, v)
		}
	}
	return b, nil
}

// MarshalBinary is AppendBinary to nil.
func (m *Margins) MarshalBinary() ([]byte, error) { return m.AppendBinary(nil) }

// UnmarshalBinary reads what AppendBinary wrote, and nothing after it. Errors: ErrEncoding, and ErrShape or ErrOverflow
// for totals that do not add up; they leave m unchanged.
func (m *Margins) UnmarshalBinary(b []byte) error {
	r := reader{b: b}
	if v := r.byte(); v != marginsVersion {
		return encodingError("margins of version %d, this program reads %d", v, marginsVersion)
	}
	var got Margins
	got.N = r.uvarint()
	got.Rows, got.Cols = r.totals(), r.totals()
	if err := r.end(); err != nil {
		return err
	}
	if err := got.valid(); err != nil {
		return err
	}
	*m = got
	return nil
}

// Frame is what the second phase needs of the global margins: n, the totals of those rows and columns that a holder
// has, their reciprocals, and facts of the whole table. It is immutable and may be shared by goroutines.
type Frame struct {
	rows, cols []uint64
	n          uint64
	whole      Whole

	rowScale []float64 // 2^−scale/R, 0 for an empty row
	colScale []float64 // 1/C, 0 for an empty column
	scale    int       // ⌊log₂ n⌋: keeps terms of a usual size near 1, exactly
	colSum   uint64    // Σ cols, at most n
	small    bool      // n < 2³¹: D fits int64
}

// Whole holds the facts of a whole table that its finish needs and that a holder of a part of it cannot see in its own
// rows and columns.
type Whole struct {
	Rows, Cols     int    // levels with a total above 0
	MinRow, MinCol uint64 // the smallest of those totals
	Digest         Digest
}

// Whole summarizes the global margins.
func (m *Margins) Whole() Whole {
	w := Whole{Digest: MarginsDigest(m)}
	w.Rows, w.MinRow = levels(m.Rows)
	w.Cols, w.MinCol = levels(m.Cols)
	return w
}

func levels(totals []uint64) (count int, smallest uint64) {
	smallest = math.MaxUint64
	for _, v := range totals {
		if v != 0 {
			count++
			smallest = min(smallest, v)
		}
	}
	if count == 0 {
		return 0, 0
	}
	return count, smallest
}

// Frame prepares the margins of a whole table.
func (m *Margins) Frame() *Frame { return newFrame(m.N, m.Rows, m.Cols, m.Whole()) }

// NewFrame prepares the share of one holder: n is the total of the whole table, rows and cols are the global totals
// of the rows and columns that the holder has cells in, in its own numbering, and whole comes from the global margins.
// The only error is ErrShape, for a total above n.
func NewFrame(n uint64, rows, cols []uint64, whole Whole) (*Frame, error) {
	for _, totals := range [][]uint64{rows, cols} {
		for i, v := range totals {
			if v > n {
				return nil, shapeError("total %d is %d, above n = %d", i, v, n)
			}
		}
	}
	return newFrame(n, rows, cols, whole), nil
}

func newFrame(n uint64, rows, cols []uint64, whole Whole) *Frame {
	f := &Frame{rows: rows, cols: cols, n: n, whole: whole, small: n < 1<<31,
		rowScale: make([]float64, len(rows)), colScale: make([]float64, len(cols)), scale: bits.Len64(n|1) - 1}
	for i, r := range rows {
		if r != 0 {
			f.rowScale[i] = math.Ldexp(1/float64(r), -f.scale)
		}
	}
	for j, c := range cols {
		if c != 0 {
			f.colScale[j] = 1 / float64(c)
		}
		f.colSum += c
	}
	return f
}

// N is the total of the whole table.
func (f *Frame) N() uint64 { return f.n }

// Whole gives the facts of the whole table.
func (f *Frame) Whole() Whole { return f.whole }

// DF is (rows−1)(cols−1) of the whole table, 0 when it has one level or none.
func (f *Frame) DF() int64 {
	if f.whole.Rows < 1 || f.whole.Cols < 1 {
		return 0
	}
	return int64(f.whole.Rows-1) * int64(f.whole.Cols-1)
}

// MinExpected is the smallest expected count of the whole table, 0 when n = 0.
func (f *Frame) MinExpected() float64 {
	if f.n == 0 {
		return 0
	}
	return mul128(f.whole.MinRow, f.whole.MinCol).float() / float64(f.n)
}
