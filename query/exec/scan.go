package exec

import (
	"context"
	"runtime"
	"slices"
	"sync"

	"github.com/quipudb/quipu/query/plan"
	"github.com/quipudb/quipu/query/stats"
	"github.com/quipudb/quipu/storage"
)

// sumSpec is one sum of a task: of counts, or of ones.
type sumSpec struct {
	ones   bool
	filter *predicate // nil: every row of the task
}

// task is one grouping that a scan fills.
type task struct {
	cols   []int      // key columns of the scan
	filter *predicate // of all its sums; nil: none
	sums   []sumSpec
	shape  *shape
	stream bool // a test without a grid: only its totals are kept
}

// scan is what a fragment does with the cells of one table: one pass fills the grids of all tasks.
type scan struct {
	t       *table
	keys    []*keyColumn
	exprs   []*plan.Expr // of keys
	tasks   []*task
	sets    []storage.CodeSet // codes that may pass, by dimension; the storage skips the others
	windows []*predicate      // conditions on ts
	rest    []*predicate      // conditions over several columns, tested cell by cell
	never   bool              // a constant condition is false
	dims    []int             // dimensions that are read
	mem     *Budget

	filters storage.Filter
	all     []storage.Segment // in one piece; nil before the first use

	room *room
	own  *work // of the only goroutine
	only [1]*work
}

// open prepares the filters of f.
func (s *scan) open(f *plan.Fragment) error {
	s.sets = s.room.sets.take(len(s.t.view.Schema().Dims))
	for _, e := range f.Filters {
		p, err := s.predicate(e)
		if err != nil {
			return err
		}
		switch {
		case p.constant:
			s.never = s.never || !p.always
		case p.dim >= 0:
			s.sets[p.dim] = s.intersect(s.sets[p.dim], p.set)
		case p.windows != nil:
			s.windows = append(s.windows, p)
		default:
			s.rest = append(s.rest, p)
			s.read(p)
		}
	}
	return nil
}

// read notes the dimensions that p needs.
func (s *scan) read(p *predicate) {
	for _, c := range p.cols {
		s.readDim(c)
	}
}

func (s *scan) readDim(c int) {
	if c >= 0 && c < s.t.dims && !slices.Contains(s.dims, c) {
		s.dims = append(s.dims, c)
	}
}

// key adds a key column, or finds the one that is there, and gives its number.
func (s *scan) key(e *plan.Expr) (int, error) {
	for i, old := range s.exprs {
		if old.Equal(e) {
			return i, nil
		}
	}
	k, err := s.keyColumn(e)
	if err != nil {
		return 0, err
	}
	s.readDim(k.dim)
	s.keys, s.exprs = append(s.keys, k), append(s.exprs, e)
	return len(s.keys) - 1, nil
}

// prepare evaluates a FILTER.
func (s *scan) prepare(e *plan.Expr) (*predicate, error) {
	if e == nil {
		return nil, nil
	}
	p, err := s.predicate(e)
	if err == nil {
		s.read(p)
	}
	return p, err
}

// parallelBlocks is how many blocks (of up to 4,096 cells) a goroutine must have to be worth starting.
const parallelBlocks = 8

// blocks is the number of blocks to read.
func (s *scan) blocks() int {
	n := 0
	for _, seg := range s.segments(1) {
		n += seg.Blocks()
	}
	return n
}

// segments cuts the table for at most parallel goroutines.
func (s *scan) segments(parallel int) []storage.Segment {
	if s.never {
		return nil
	}
	if s.all == nil {
		s.filters = storage.Filter{Codes: s.sets}
		if s.bounds(&s.filters) {
			s.all = s.t.view.Segments(s.filters, 1)
		}
	}
	if parallel <= 1 || len(s.all) == 0 {
		return s.all
	}
	n := min(parallel, (s.all[0].Blocks()+parallelBlocks-1)/parallelBlocks)
	if n <= 1 {
		return s.all
	}
	return s.t.view.Segments(s.filters, n)
}

// bounds limits f to the windows that pass; it is false if none does.
func (s *scan) bounds(f *storage.Filter) bool {
	if len(s.windows) == 0 {
		return true
	}
	for _, w := range s.t.view.Windows() {
		if !s.passes(w) {
			continue
		}
		if !f.Bounded {
			f.Bounded, f.From = true, w
		}
		f.To = w + 1
	}
	return f.Bounded
}

func (s *scan) passes(window int64) bool {
	for _, p := range s.windows {
		if !p.windows[window] {
			return false
		}
	}
	return true
}

// work is the state of one goroutine of a scan.
type work struct {
	s      *scan
	test   tester
	at     []int
	grids  []*grid   // by task; nil for one that streams
	totals []*totals // by task; nil for one that does not
	stats  ScanStats
	add    func(*storage.Chunk) error // is chunk, which would be made anew for each run

	sel, sel2, sel3 []int32    // of the fragment's filters, of a sum's, of a task's
	cols            [][]uint32 // of key columns, for this chunk; nil: not asked for yet
	bufs            [][]uint32
	keybuf          []uint64
	entries         []uint32
	pick            [][]uint32
	kept            stats.Triples
}

// ScanStats is what a scan looked at.
type ScanStats struct {
	Blocks int64 // of storage
	Cells  int64 // that passed the filters on single columns
	Rows   int64 // that passed all filters

	Elsewhere int        // shards whose part was done on other nodes
	Rounds    [2]Traffic // with them, by round
}

// Traffic is the bytes exchanged with other nodes.
type Traffic struct{ Down, Up int64 }

func (a *ScanStats) add(b ScanStats) {
	a.Blocks += b.Blocks
	a.Cells += b.Cells
	a.Rows += b.Rows
	a.Elsewhere += b.Elsewhere
	for i, t := range b.Rounds {
		a.Rounds[i].Down += t.Down
		a.Rounds[i].Up += t.Up
	}
}

// ready makes w the state of a goroutine.
func (s *scan) ready(w *work) *work {
	w.s, w.test = s, s.tester()
	w.at = w.test.at
	w.cols, w.bufs = sized(w.cols, len(s.keys)), sized(w.bufs, len(s.keys))
	return w
}

// open makes what the tasks are counted in.
func (w *work) open() error {
	room := w.s.room
	w.grids, w.totals = room.gridsOf.take(len(w.s.tasks)), room.totalsOf.take(len(w.s.tasks))
	for i, t := range w.s.tasks {
		var err error
		if t.stream {
			w.totals[i], err = newTotals(t.shape, w.s.mem)
		} else {
			w.grids[i], err = newGrid(room, t.shape, len(t.sums), w.s.mem)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// each scans all cells in parallel. Every goroutine has a work of its own; begin gives it the function for its chunks.
func (s *scan) each(ctx context.Context, parallel int, begin func(*work) (func(*storage.Chunk) error, error)) ([]*work, error) {
	segments := s.segments(parallel)
	if len(segments) <= 1 {
		return s.alone(ctx, segments, begin)
	}
	works, fns := make([]*work, len(segments)), make([]func(*storage.Chunk) error, len(segments))
	for i := range works {
		var err error
		works[i] = s.ready(&work{})
		if fns[i], err = begin(works[i]); err != nil {
			return nil, err
		}
	}
	errs := make([]error, len(segments))
	one := func(i int) {
		works[i].stats.Blocks += int64(segments[i].Blocks())
		errs[i] = segments[i].Scan(ctx, s.dims, fns[i])
	}
	var wg sync.WaitGroup
	for i := 1; i < len(segments); i++ {
		wg.Go(func() { one(i) })
	}
	one(0)
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return works, nil
}

// alone is each for one goroutine, and for no segment at all.
func (s *scan) alone(ctx context.Context, segments []storage.Segment, begin func(*work) (func(*storage.Chunk) error, error)) ([]*work, error) {
	w := s.ready(s.own)
	fn, err := begin(w)
	for i := 0; err == nil && i < len(segments); i++ {
		w.stats.Blocks += int64(segments[i].Blocks())
		err = segments[i].Scan(ctx, s.dims, fn)
	}
	s.only[0] = w
	return s.only[:], err
}

// run scans all cells and gives the filled grids and totals of the tasks.
func (s *scan) run(ctx context.Context, parallel int) ([]*grid, []*totals, ScanStats, error) {
	works, err := s.each(ctx, parallel, func(w *work) (func(*storage.Chunk) error, error) {
		if w.add == nil {
			w.add = w.chunk
		}
		return w.add, w.open()
	})
	if err != nil {
		return nil, nil, ScanStats{}, err
	}
	first := works[0]
	for _, w := range works[1:] {
		first.stats.add(w.stats)
		for i := range s.tasks {
			if w.totals[i] != nil {
				first.totals[i].merge(w.totals[i])
				continue
			}
			if err := first.grids[i].merge(w.grids[i]); err != nil {
				return nil, nil, first.stats, err
			}
			w.grids[i].free()
		}
	}
	return first.grids, first.totals, first.stats, nil
}

// rows finds the rows of a chunk that pass all filters (nil: all). any is false if there is none.
func (w *work) rows(c *storage.Chunk) (sel []int32, any bool, err error) {
	s := w.s
	if !s.passes(c.Window) {
		return nil, false, nil
	}
	w.stats.Cells += int64(c.Len)
	if sel, err = w.filter(c); err != nil || sel != nil && len(sel) == 0 {
		return nil, false, err
	}
	if sel == nil {
		w.stats.Rows += int64(c.Len)
	} else {
		w.stats.Rows += int64(len(sel))
	}
	clear(w.cols)
	return sel, true, nil
}

// column gives the key codes of key column i of the chunk that rows has found rows of.
func (w *work) column(c *storage.Chunk, i int) []uint32 {
	if w.cols[i] == nil {
		w.cols[i] = w.s.keys[i].column(c, w.at, &w.bufs[i])
	}
	return w.cols[i]
}

// chunk adds the cells of one chunk to everything.
func (w *work) chunk(c *storage.Chunk) error {
	sel, any, err := w.rows(c)
	if err != nil || !any {
		return err
	}
	for i, t := range w.s.tasks {
		if t.stream {
			w.total(t, w.totals[i], c, sel)
		} else if err := w.task(t, w.grids[i], c, sel); err != nil {
			return err
		}
	}
	return nil
}

// filter tests what looks at several columns; nil means that every row passes.
func (w *work) filter(c *storage.Chunk) ([]int32, error) {
	if len(w.s.rest) == 0 {
		return nil, nil
	}
	sel := w.all(&w.sel, c.Len)
	var err error
	for _, p := range w.s.rest {
		if sel, err = w.test.keep(p, c, sel); err != nil {
			return nil, err
		}
	}
	return sel, nil
}

// all is the list of rows 0 … n−1 in buf.
func (w *work) all(buf *[]int32, n int) []int32 {
	if cap(*buf) < n {
		*buf = make([]int32, n)
	}
	s := (*buf)[:n]
	for i := range s {
		s[i] = int32(i)
	}
	return s
}

// narrow is the rows of sel for which p holds, in the second buffer.
func (w *work) narrow(p *predicate, c *storage.Chunk, sel []int32) ([]int32, error) {
	if sel == nil {
		return w.test.keep(p, c, w.all(&w.sel2, c.Len))
	}
	w.sel2 = append(w.sel2[:0], sel...)
	return w.test.keep(p, c, w.sel2)
}

func (w *work) task(t *task, g *grid, c *storage.Chunk, sel []int32) error {
	if t.filter != nil {
		narrowed, err := w.narrow(t.filter, c, sel)
		if err != nil {
			return err
		}
		w.sel2, w.sel3 = w.sel3, narrowed // a sum's filter must not write over it
		if sel = narrowed; sel == nil {
			sel = []int32{}
		}
	}
	if len(w.keybuf) < c.Len {
		w.keybuf = make([]uint64, c.Len)
	}
	w.pick = w.pick[:0]
	for _, col := range t.cols {
		w.pick = append(w.pick, w.column(c, col))
	}
	if sel == nil && g.kind == denseShape && len(t.sums) == 1 && !t.sums[0].ones && t.sums[0].filter == nil {
		g.addAll(w.pick, c.Counts[:c.Len], w.keybuf)
		return nil
	}
	if cap(w.entries) < c.Len {
		w.entries = make([]uint32, c.Len)
	}
	entries, err := g.entriesOf(w.pick, c.Len, sel, w.keybuf, w.entries[:cap(w.entries)])
	if err != nil {
		return err
	}
	for j := range t.sums {
		if err := w.sum(&t.sums[j], j, g, c, sel, entries); err != nil {
			return err
		}
	}
	return nil
}

// sum adds one sum for the rows sel (nil: all), whose entries are given.
func (w *work) sum(spec *sumSpec, j int, g *grid, c *storage.Chunk, sel []int32, entries []uint32) error {
	if spec.filter == nil {
		for i, e := range entries {
			v := int64(1)
			if !spec.ones {
				if sel == nil {
					v = c.Counts[i]
				} else {
					v = c.Counts[sel[i]]
				}
			}
			g.add(e, j, v)
		}
		return nil
	}
	if sel == nil {
		sel = w.all(&w.sel, c.Len)
	}
	pass, err := w.narrow(spec.filter, c, sel)
	if err != nil {
		return err
	}
	at := 0
	for _, r := range pass { // pass is a part of sel, in its order
		for sel[at] != r {
			at++
		}
		v := int64(1)
		if !spec.ones {
			v = c.Counts[r]
		}
		g.add(entries[at], j, v)
	}
	return nil
}

// goroutines is the default of Options.Parallel.
func goroutines() int { return runtime.GOMAXPROCS(0) }
