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

// lines are the cells of a chunk, cut into runs of the one of a test's two categories that stays the longest.
type lines struct {
	byCol bool // the category that stays is the second one
	runs  []storage.Run
	codes []uint32 // of the other category
}

// lines gives the cells of a chunk so, if the storage keeps them so.
func (w *work) lines(t *task, c *storage.Chunk) (l lines, ok bool) {
	for side, col := range t.cols {
		if runs := c.Runs(w.at[w.s.keys[col].dim]); runs != nil && (!ok || len(runs) < len(l.runs)) {
			l, ok = lines{byCol: side == 1, runs: runs}, true
		}
	}
	if ok {
		other := t.cols[1]
		if l.byCol {
			other = t.cols[0]
		}
		l.codes = w.column(c, other)
	}
	return l, ok
}

// total counts the rows sel of a chunk (nil: all).
func (w *work) total(t *task, to *totals, c *storage.Chunk, sel []int32) {
	if sel == nil {
		if l, ok := w.lines(t, c); ok {
			to.addLines(l, c.Counts)
			return
		}
	}
	a, b := w.column(c, t.cols[0]), w.column(c, t.cols[1])
	if sel == nil {
		for i, v := range c.Counts {
			to.add(a[i], b[i], uint64(v))
		}
		return
	}
	for _, i := range sel {
		to.add(a[i], b[i], uint64(c.Counts[i]))
	}
}

// add counts one cell.
func (t *totals) add(i, j uint32, v uint64) {
	if i == 0 || j == 0 {
		t.addNull(v, 0)
		return
	}
	t.addN(v, 0)
	t.rows[i] += v
	t.cols[j] += v
}

// addN counts v + over·2⁶⁴.
func (t *totals) addN(v, over uint64) {
	n, carry := bits.Add64(t.n, v, 0)
	t.n = n
	t.over += over + carry
}

func (t *totals) addNull(v, over uint64) {
	n, carry := bits.Add64(t.null, v, 0)
	t.null = n
	t.over += over + carry
}

// addLines goes by runs, so that a total is not waited for from cell to cell.
func (t *totals) addLines(l lines, counts []int64) {
	of, others := t.rows, t.cols
	if l.byCol {
		of, others = others, of
	}
	at := 0
	for _, r := range l.runs {
		run := counts[at:r.End]
		if r.Code == 0 {
			t.addNull(addUp(run))
		} else {
			of[r.Code] += t.addRun(l.codes[at:r.End], run, others)
		}
		at = r.End
	}
}

// addRun adds cells of one category of the one dimension, which is not NULL, to the totals of the other, and gives the sum of those that
// are not NULL there.
func (t *totals) addRun(codes []uint32, counts []int64, totals []uint64) uint64 {
	codes = codes[:len(counts)]
	var sum, all, over uint64
	for k, v := range counts {
		sum += uint64(v)
		all |= uint64(v)
		totals[codes[k]] += uint64(v)
	}
	if all >= 1<<48 { // a chunk has fewer than 2¹⁶ cells
		sum, over = addUp(counts)
	}
	null := totals[0]
	totals[0] = 0
	t.addNull(null, 0)
	t.addN(sum-null, over)
	return sum - null
}

// addUp is sum + over·2⁶⁴.
func addUp(counts []int64) (sum, over uint64) {
	for _, v := range counts {
		var carry uint64
		sum, carry = bits.Add64(sum, uint64(v), 0)
		over += carry
	}
	return sum, over
}

func (t *totals) merge(o *totals) {
	for i, v := range o.rows {
		t.rows[i] += v
	}
	for j, v := range o.cols {
		t.cols[j] += v
	}
	t.addN(o.n, o.over)
	t.addNull(o.null, 0)
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
			if l, ok := w.lines(t, c); ok && sel == nil && !nulls {
				l.terms(p, f, c.Counts)
				return nil
			}
			cells := stats.Triples{Row: w.column(c, t.cols[0]), Col: w.column(c, t.cols[1]), Count: c.Counts}
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

// terms adds the cells up under f. None is NULL.
func (l lines) terms(p *stats.Partial, f *stats.Frame, counts []int64) {
	at := 0
	for _, r := range l.runs {
		if l.byCol {
			p.AddInCol(f, r.Code, l.codes[at:r.End], counts[at:r.End])
		} else {
			p.AddInRow(f, r.Code, l.codes[at:r.End], counts[at:r.End])
		}
		at = r.End
	}
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
