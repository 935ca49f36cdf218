package exec

import (
	"context"
	"math/bits"

	"github.com/quipudb/quipu/query/plan"
	"github.com/quipudb/quipu/query/stats"
	"github.com/quipudb/quipu/storage"
)

// A test streams where each cell of the storage is a cell of the test: a first pass adds up its margins, a second one its terms. There is
// no grid then, and nothing that grows with the number of cells.

// streamMin is the number of cells from which a second pass costs less than a grid.
const streamMin = 1 << 12

// streams says whether a test of two key columns can be computed so.
func (r *Run) streams(a *plan.Aggregate, cols []int) bool {
	if len(r.keyCols) > 0 || a.Filter != nil || !a.Streams() || r.t.view.Cells() < streamMin {
		return false
	}
	named := map[int]bool{}
	for _, c := range cols {
		k := r.s.keys[c]
		if k.dim < 0 || k.codes != nil {
			return false
		}
		named[k.dim] = true
	}
	for d, set := range r.s.sets {
		if !named[d] && (set == nil || size(set) > 1) {
			return false
		}
	}
	windows := 0
	for _, w := range r.t.view.Windows() {
		if r.s.passes(w) {
			windows++
		}
	}
	return windows <= 1
}

func size(set storage.CodeSet) int {
	n := 0
	for _, w := range set {
		n += bits.OnesCount64(w)
	}
	return n
}

// totals are the margins of a test that streams, by key code; those of NULL stay 0.
type totals struct {
	rows, cols []uint64
	n, null    uint64
	over       uint64 // carries out of n and null: counts beyond 2⁶⁴
}

func newTotals(shape *shape, mem *Budget) (*totals, error) {
	rows, cols := shape.cards[0], shape.cards[1]
	if err := mem.Grow(8 * int64(rows+cols)); err != nil {
		return nil, err
	}
	return &totals{rows: make([]uint64, rows), cols: make([]uint64, cols)}, nil
}

// add counts the rows sel of a chunk (nil: all).
func (t *totals) add(a, b []uint32, counts []int64, sel []int32) {
	if sel != nil {
		for _, i := range sel {
			t.addAll(a[i:i+1], b[i:i+1], counts[i:i+1])
		}
		return
	}
	t.addAll(a, b, counts)
}

// addAll goes by runs of the dimension whose code stays, so that a total is not waited for from cell to cell.
func (t *totals) addAll(a, b []uint32, counts []int64) {
	rows, cols := t.rows, t.cols
	if len(b) > 1 && b[0] == b[1] {
		a, b, rows, cols = b, a, cols, rows
	}
	for len(counts) > 0 {
		k, of := 1, a[0]
		for k < len(counts) && a[k] == of {
			k++
		}
		if sum := t.addRun(of, b[:k], counts[:k], cols); of != 0 {
			rows[of] += sum
		}
		a, b, counts = a[k:], b[k:], counts[k:]
	}
}

// addRun adds cells of one category of the one dimension to the totals of the other, and gives their sum.
func (t *totals) addRun(of uint32, codes []uint32, counts []int64, totals []uint64) (sum uint64) {
	codes = codes[:len(counts)]
	n, null, over, carry := t.n, t.null, t.over, uint64(0)
	for k, v := range counts {
		j := codes[k]
		if of == 0 || j == 0 {
			null, carry = bits.Add64(null, uint64(v), 0)
			over += carry
			continue
		}
		n, carry = bits.Add64(n, uint64(v), 0)
		over += carry
		sum += uint64(v)
		totals[j] += uint64(v)
	}
	t.n, t.null, t.over = n, null, over
	return sum
}

func (t *totals) merge(o *totals) {
	for i, v := range o.rows {
		t.rows[i] += v
	}
	for j, v := range o.cols {
		t.cols[j] += v
	}
	var carry uint64
	t.n, carry = bits.Add64(t.n, o.n, 0)
	t.over += o.over + carry
	t.null, carry = bits.Add64(t.null, o.null, 0)
	t.over += carry
}

func (t *totals) empty() bool { return t.n == 0 && t.null == 0 }

// sample is the margins with the way back to the cells.
func (t *totals) sample(task *task) (*sample, error) {
	if t.over > 0 || int64(t.null) < 0 {
		return nil, countError(stats.ErrOverflow)
	}
	return &sample{m: &stats.Margins{Rows: t.rows, Cols: t.cols, N: t.n}, null: int64(t.null), stream: task}, nil
}

// terms reads the cells of a task once more and adds them up under f. nulls says that some have a NULL category.
func (s *scan) terms(ctx context.Context, parallel int, t *task, nulls bool, f *stats.Frame, k stats.Kinds) (*stats.Partial, ScanStats, error) {
	partials := map[*work]*stats.Partial{}
	works, err := s.each(ctx, parallel, func(w *work) (func(*storage.Chunk) error, error) {
		p := stats.NewPartial(f, k)
		partials[w] = p
		return func(c *storage.Chunk) error {
			sel, any, err := w.rows(c)
			if err != nil || !any {
				return err
			}
			cells := stats.Triples{Row: w.cols[t.cols[0]][:c.Len], Col: w.cols[t.cols[1]][:c.Len], Count: c.Counts[:c.Len]}
			if nulls || sel != nil {
				cells = w.choose(cells, sel)
			}
			p.AddCells(f, cells)
			return nil
		}, nil
	})
	if err != nil {
		return nil, ScanStats{}, err
	}
	sum, cost := stats.NewPartial(f, k), ScanStats{}
	for _, w := range works {
		cost.add(w.stats)
		if err := sum.Merge(partials[w]); err != nil {
			return nil, cost, err
		}
	}
	return sum, cost, nil
}

// choose gives the rows sel (nil: all) of cells that have both categories.
func (w *work) choose(cells stats.Triples, sel []int32) stats.Triples {
	if sel == nil {
		sel = w.all(&w.sel2, len(cells.Count))
	}
	t := &w.kept
	t.Row, t.Col, t.Count = t.Row[:0], t.Col[:0], t.Count[:0]
	for _, i := range sel {
		if cells.Row[i] != 0 && cells.Col[i] != 0 {
			t.Row, t.Col, t.Count = append(t.Row, cells.Row[i]), append(t.Col, cells.Col[i]), append(t.Count, cells.Count[i])
		}
	}
	return *t
}
