package storage

import "slices"

// Chunk is up to a block of cells of one window. It is valid until the function that got it returns, and must not be changed:
// Counts may be the store's own memory. It belongs to the goroutine of the scan.
type Chunk struct {
	Window int64
	Len    int
	Counts []int64 // never 0
	sc     *scanner
}

// Codes is the column of dimension dims[i] of the scan: a code for each cell, 0 for NULL. It is written when it is asked for first.
func (c *Chunk) Codes(i int) []uint32 { return c.sc.column(c.sc.dims[i]) }

// Columns are the columns of all dimensions of the scan, in their order.
func (c *Chunk) Columns() [][]uint32 {
	c.sc.columns = c.sc.columns[:0]
	for _, d := range c.sc.dims {
		c.sc.columns = append(c.sc.columns, c.sc.column(d))
	}
	return c.sc.columns
}

// Run is a stretch of cells whose code in one dimension is the same.
type Run struct {
	Code uint32 // 0 is NULL
	End  int    // the first cell behind it
}

// Runs cuts the chunk into runs of dimension dims[i], the first of which begins with cell 0. It is nil where the layout of the cells has
// none that are long enough to pay; there is always the column.
func (c *Chunk) Runs(i int) []Run {
	d := c.sc.dims[i]
	x := &c.sc.sides[d]
	x.runs = c.sc.cut(d, x.runs[:0])
	return x.runs
}

// side is what a scanner keeps of one dimension.
type side struct {
	column []uint32
	state  columnState
	cycle  cycle
	runs   []Run
}

type columnState uint8

const (
	unwritten columnState = iota
	whole                 // a code for each count of the block
	ready                 // and only those of the cells that stay
)

// column is the codes of dimension d of the chunk.
func (sc *scanner) column(d int) []uint32 {
	x := &sc.sides[d]
	if x.state == ready {
		return x.column
	}
	col := sc.all(d)
	if sc.chosen {
		for j, i := range sc.keep {
			col[j] = col[i]
		}
		x.column = col[:len(sc.keep)]
	}
	x.state = ready
	return x.column
}

// all is the codes of dimension d of all counts of the block, also those that do not stay.
func (sc *scanner) all(d int) []uint32 {
	x, n := &sc.sides[d], len(sc.cells.counts)
	if x.state == whole {
		return x.column
	}
	x.column, x.state = slices.Grow(x.column[:0], n)[:n], whole
	switch l := sc.part.w.dense; {
	case l == nil:
		sc.cells.pack.fill(sc.cells.keys, d, x.column)
	case sc.cells.ranks == nil:
		l.fill(sc.part.h.id<<blockBits, d, x.column)
	default:
		sc.pick(l, sc.part.h.id<<blockBits, d, sc.cells, x.column)
	}
	if sc.swapped[d] {
		for i, code := range x.column {
			if code <= 1 {
				x.column[i] = code ^ 1
			}
		}
	}
	return x.column
}

// runCells is how many cells a run should have in the mean: what it spares is less than what a shorter one costs.
const runCells = 32

// cut appends the runs of dimension d.
func (sc *scanner) cut(d int, runs []Run) []Run {
	l, n := sc.part.w.dense, sc.out.Len
	switch {
	case l == nil:
		return nil
	case d >= len(l.cap):
		return append(runs, Run{sc.outer(d, 0), n})
	case uint64(n)*l.stride[d] < runCells*uint64(sc.cells.covers()):
		return nil
	}
	first, stride := sc.part.h.id<<blockBits, l.stride[d]
	for at, k := 0, first/stride; at < n; k++ {
		end := sc.rowsBefore((k+1)*stride - first)
		if end > at {
			runs = append(runs, Run{sc.outer(d, l.lo[d]+uint32(k%uint64(l.cap[d]))), end})
		}
		at = end
	}
	return runs
}

// rowsBefore is the number of cells of the chunk that belong to combinations below o of the block.
func (sc *scanner) rowsBefore(o uint64) int {
	n := sc.cells.before(o)
	if sc.chosen {
		n, _ = slices.BinarySearch(sc.keep, uint16(n))
	}
	return n
}
