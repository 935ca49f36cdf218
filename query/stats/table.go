package stats

import (
	"math"
	"slices"
)

// Table is an r × c table of counts, immutable once built. It holds either every cell, row after row, or only the
// non-zero ones; the same counts give the same bits in either form.
type Table struct {
	rows, cols int
	dense      []int64 // rows·cols counts, or nil
	sparse     Triples // the non-zero cells when dense is nil
	margins    *Margins
	frame      *Frame

	rowLabels, colLabels []string // nil, or one per row and column
}

// Triples is a list of cells in coordinate form: cell k is (Row[k], Col[k]) and has Count[k] observations. A cell may
// not be listed twice in one Table or Partial: a statistic of parts of a cell is not the statistic of the cell.
type Triples struct {
	Row, Col []uint32
	Count    []int64
}

// NewTable makes a table of rows × cols counts, cells[i*cols+j] in row i and column j. It keeps cells, which the caller
// must not change afterwards. Errors: ErrShape, and a CountError (ErrNegative, ErrOverflow) that names the cell.
func NewTable(rows, cols int, cells []int64) (*Table, error) {
	if rows < 0 || cols < 0 || (cols > 0 && rows > math.MaxInt/cols) || len(cells) != rows*cols {
		return nil, shapeError("%d cells for %d rows of %d columns", len(cells), rows, cols)
	}
	m := NewMargins(rows, cols)
	for i := range rows {
		if err := m.AddRow(i, cells[i*cols:(i+1)*cols]); err != nil {
			return nil, err
		}
	}
	return (&Table{rows: rows, cols: cols, dense: cells, margins: m}).framed(), nil
}

// NewSparseTable makes a table of rows × cols counts from its non-zero cells. It keeps the slices of cells, which the
// caller must not change afterwards, unless it has to drop zeros. Errors as NewTable; ErrShape also for a cell that is
// listed twice.
func NewSparseTable(rows, cols int, cells Triples) (*Table, error) {
	if rows < 0 || cols < 0 || rows > math.MaxUint32 || cols > math.MaxUint32 {
		return nil, shapeError("%d rows, %d columns", rows, cols)
	}
	m := NewMargins(rows, cols)
	if err := m.AddCells(cells); err != nil {
		return nil, err
	}
	cells = withoutZeros(cells)
	if err := distinct(cells); err != nil {
		return nil, err
	}
	return (&Table{rows: rows, cols: cols, sparse: cells, margins: m}).framed(), nil
}

// framed prepares the frame that every statistic of the table needs.
func (t *Table) framed() *Table {
	t.frame = t.margins.Frame()
	return t
}

func withoutZeros(c Triples) Triples {
	if !slices.Contains(c.Count, 0) {
		return c
	}
	var kept Triples
	for k, n := range c.Count {
		if n != 0 {
			kept.Row, kept.Col, kept.Count = append(kept.Row, c.Row[k]), append(kept.Col, c.Col[k]), append(kept.Count, n)
		}
	}
	return kept
}

// distinct refuses a cell that is listed twice. Cells in row-major order, the usual case, cost one pass.
func distinct(c Triples) error {
	ordered := true
	for k := 1; k < len(c.Count) && ordered; k++ {
		ordered = cellKey(c, k-1) < cellKey(c, k)
	}
	if ordered {
		return nil
	}
	keys := make([]uint64, len(c.Count))
	for k := range keys {
		keys[k] = cellKey(c, k)
	}
	slices.Sort(keys)
	for k := 1; k < len(keys); k++ {
		if keys[k] == keys[k-1] {
			return shapeError("row %d, column %d is listed twice", keys[k]>>32, uint32(keys[k]))
		}
	}
	return nil
}

func cellKey(c Triples, k int) uint64 { return uint64(c.Row[k])<<32 | uint64(c.Col[k]) }

// WithLabels is the table with names for its rows and columns, as printed beside residuals and cells.
func (t *Table) WithLabels(rows, cols []string) (*Table, error) {
	if len(rows) != t.rows || len(cols) != t.cols {
		return nil, shapeError("%d and %d labels for %d rows and %d columns", len(rows), len(cols), t.rows, t.cols)
	}
	u := *t
	u.rowLabels, u.colLabels = rows, cols
	return &u, nil
}

// RowLabel is the name of row i, empty when none was given.
func (t *Table) RowLabel(i int) string { return label(t.rowLabels, i) }

// ColLabel is the name of column j, empty when none was given.
func (t *Table) ColLabel(j int) string { return label(t.colLabels, j) }

func label(labels []string, i int) string {
	if i < len(labels) {
		return labels[i]
	}
	return ""
}

// Shape is the number of rows and columns as given, empty ones included.
func (t *Table) Shape() (rows, cols int) { return t.rows, t.cols }

// N is the number of observations.
func (t *Table) N() uint64 { return t.margins.N }

// Margins are the totals of the table. The caller must not change them.
func (t *Table) Margins() *Margins { return t.margins }

// Frame is the prepared form of the margins; see Frame.
func (t *Table) Frame() *Frame { return t.frame }

// At is the count in row i and column j. It is slow on a sparse table.
func (t *Table) At(i, j int) int64 {
	if t.dense != nil {
		return t.dense[i*t.cols+j]
	}
	for k := range t.sparse.Count {
		if int(t.sparse.Row[k]) == i && int(t.sparse.Col[k]) == j {
			return t.sparse.Count[k]
		}
	}
	return 0
}

// Transpose exchanges rows and columns.
func (t *Table) Transpose() *Table {
	u := &Table{rows: t.cols, cols: t.rows, rowLabels: t.colLabels, colLabels: t.rowLabels,
		sparse:  Triples{Row: t.sparse.Col, Col: t.sparse.Row, Count: t.sparse.Count},
		margins: &Margins{N: t.margins.N, Rows: t.margins.Cols, Cols: t.margins.Rows}}
	if t.dense != nil {
		u.dense = make([]int64, len(t.dense))
		for i := range t.rows {
			for j := range t.cols {
				u.dense[j*t.rows+i] = t.dense[i*t.cols+j]
			}
		}
	}
	return u.framed()
}

// each calls fn for every non-zero cell.
func (t *Table) each(fn func(i, j int, o uint64)) {
	if t.dense == nil {
		for k, o := range t.sparse.Count {
			fn(int(t.sparse.Row[k]), int(t.sparse.Col[k]), uint64(o))
		}
		return
	}
	for i := range t.rows {
		for j, o := range t.dense[i*t.cols : (i+1)*t.cols] {
			if o != 0 {
				fn(i, j, uint64(o))
			}
		}
	}
}

// reduced is the dense table without empty rows and columns, with the original index of each row and column kept. It
// is for measures that must see every cell; it allocates the whole table.
type reduced struct {
	r, c       int
	n          uint64
	cells      []uint64 // r·c
	rows, cols []uint64 // totals, all above 0
	rowAt      []int    // original index of each row
	colAt      []int
}

func (t *Table) reduced() *reduced {
	m := t.margins
	d := &reduced{n: m.N}
	var rowTo, colTo []int
	d.rows, d.rowAt, rowTo = compact(m.Rows)
	d.cols, d.colAt, colTo = compact(m.Cols)
	d.r, d.c = len(d.rows), len(d.cols)
	d.cells = make([]uint64, d.r*d.c)
	t.each(func(i, j int, o uint64) { d.cells[rowTo[i]*d.c+colTo[j]] = o })
	return d
}

// compact keeps the totals above 0, their indices, and the map from old to new index.
func compact(totals []uint64) (kept []uint64, at, to []int) {
	to = make([]int, len(totals))
	for i, v := range totals {
		if v != 0 {
			to[i] = len(kept)
			kept, at = append(kept, v), append(at, i)
		}
	}
	return kept, at, to
}

func (d *reduced) row(i int) []uint64 { return d.cells[i*d.c : (i+1)*d.c] }

// Counts is a one-way table: how often each category was observed. It is immutable once built.
type Counts struct {
	counts []int64
	n      uint64
}

// NewCounts makes a one-way table. It keeps counts. The only errors are CountErrors.
func NewCounts(counts []int64) (*Counts, error) {
	c := &Counts{counts: counts}
	for j, k := range counts {
		sum, ok := addU64(c.n, uint64(k))
		if k < 0 || !ok {
			return nil, countError(-1, j, k)
		}
		c.n = sum
	}
	return c, nil
}

func countError(row, col int, count int64) error {
	err := ErrOverflow
	if count < 0 {
		err = ErrNegative
	}
	return &CountError{Row: row, Col: col, Count: count, Err: err}
}

// N is the number of observations.
func (c *Counts) N() uint64 { return c.n }

// Len is the number of categories, empty ones included.
func (c *Counts) Len() int { return len(c.counts) }

// At is the count of category j.
func (c *Counts) At(j int) int64 { return c.counts[j] }

// Strata is a list of tables of one shape, one per level of a third variable.
type Strata struct {
	rows, cols int
	tables     []*Table
	n          uint64
}

// NewStrata makes strata of tables that have the same shape. Errors: ErrShape; ErrOverflow when their total exceeds
// 2⁶⁴−1.
func NewStrata(tables ...*Table) (*Strata, error) {
	s := &Strata{tables: tables}
	for k, t := range tables {
		if k == 0 {
			s.rows, s.cols = t.rows, t.cols
		}
		if t.rows != s.rows || t.cols != s.cols {
			return nil, shapeError("stratum %d is %d by %d, the first is %d by %d", k, t.rows, t.cols, s.rows, s.cols)
		}
		sum, ok := addU64(s.n, t.N())
		if !ok {
			return nil, ErrOverflow
		}
		s.n = sum
	}
	return s, nil
}

// N is the number of observations in all strata.
func (s *Strata) N() uint64 { return s.n }

// Len is the number of strata.
func (s *Strata) Len() int { return len(s.tables) }

// Table is stratum k.
func (s *Strata) Table(k int) *Table { return s.tables[k] }

// Shape is the shape that every stratum has.
func (s *Strata) Shape() (rows, cols int) { return s.rows, s.cols }

// Pairs is a square table of matched observations: the same subject (or rater's item) classified twice, first by row,
// then by column, with the same levels in the same order.
type Pairs struct{ t *Table }

// NewPairs views a square table as pairs. Errors: ErrShape.
func NewPairs(t *Table) (Pairs, error) {
	if t.rows != t.cols {
		return Pairs{}, shapeError("pairs need a square table, this is %d by %d", t.rows, t.cols)
	}
	return Pairs{t}, nil
}

// Table is the table of pairs.
func (p Pairs) Table() *Table { return p.t }
