package exec

import (
	"context"
	"slices"

	"github.com/quipudb/quipu/query/plan"
	"github.com/quipudb/quipu/query/stats"
	"github.com/quipudb/quipu/server/errcode"
	"github.com/quipudb/quipu/storage"
)

// Options bound a Run.
type Options struct {
	Parallel int     // goroutines of one scan; 0: as many as processors
	Memory   *Budget // of the query; nil has no bound
}

// Run is one fragment on one shard's snapshot. It belongs to one goroutine.
type Run struct {
	f     *plan.Fragment
	t     *table
	s     *scan
	o     Options
	Stats ScanStats

	keyCols []int   // key columns of the scan, in the order of f.Keys
	sums    int     // task of the groups' sums, −1 if none is needed
	sumOf   []int   // by aggregate: its sum in that task
	taskOf  []int   // by aggregate: its own task, −1 if it has none
	grids   []*grid // by task
	tests   []*crosstabs
}

// OpenRun prepares a fragment. Nothing is read yet.
func OpenRun(snap *storage.Snapshot, f *plan.Fragment, o Options) (*Run, error) {
	view, ok := snap.Table(f.Table)
	if !ok || view.Schema().Version < f.Version {
		return nil, errcode.New(errcode.SchemaChanged, "table %q changed while the query was planned", f.Name).WithHint("run the query again")
	}
	if o.Parallel <= 0 {
		o.Parallel = goroutines()
	}
	r := &Run{f: f, t: openTable(view, f), o: o, sums: -1}
	var err error
	if r.s, err = newScan(r.t, f, o.Memory); err != nil {
		return nil, err
	}
	if f.Cells == nil {
		err = r.tasks()
	}
	return r, err
}

// tasks lays out what the scan groups by.
func (r *Run) tasks() error {
	seen := map[*plan.Expr]int{}
	for _, k := range r.f.Keys {
		i, err := r.s.key(k, seen)
		if err != nil {
			return err
		}
		r.keyCols = append(r.keyCols, i)
	}
	r.sumOf, r.taskOf = make([]int, len(r.f.Aggs)), make([]int, len(r.f.Aggs))
	if err := r.sumTask(); err != nil {
		return err
	}
	for i, a := range r.f.Aggs {
		r.taskOf[i] = -1
		args := []*plan.Expr{a.Arg}
		switch a.Kind {
		case plan.AggSum, plan.AggCells:
			continue
		case plan.AggTest:
			args = []*plan.Expr{a.A, a.B}
		}
		cols := slices.Clone(r.keyCols)
		for _, e := range args {
			c, err := r.s.key(e, seen)
			if err != nil {
				return err
			}
			cols = append(cols, c)
		}
		filter, err := r.s.prepare(a.Filter)
		if err != nil {
			return err
		}
		r.taskOf[i] = len(r.s.tasks)
		r.s.tasks = append(r.s.tasks, &task{cols: cols, filter: filter, sums: []sumSpec{{ones: a.Kind != plan.AggTest}}})
	}
	for _, t := range r.s.tasks {
		cards := make([]uint32, len(t.cols))
		for i, c := range t.cols {
			cards[i] = r.s.keys[c].card
		}
		t.shape = newShape(cards, len(t.sums), r.t.view.Cells())
	}
	return nil
}

// sumTask collects the plain sums. They also say which groups there are, unless some unfiltered test does so by itself.
func (r *Run) sumTask() error {
	t := &task{cols: r.keyCols}
	whole := false
	for i, a := range r.f.Aggs {
		whole = whole || a.Kind == plan.AggTest && a.Filter == nil
		if a.Kind != plan.AggSum && a.Kind != plan.AggCells {
			continue
		}
		filter, err := r.s.prepare(a.Filter)
		if err != nil {
			return err
		}
		r.sumOf[i] = len(t.sums)
		t.sums = append(t.sums, sumSpec{ones: a.Kind == plan.AggCells, filter: filter})
		whole = whole || false
	}
	if len(t.sums) == 0 && whole {
		return nil
	}
	t.sums = append(t.sums, sumSpec{ones: true}) // how many rows the group has
	r.sums = len(r.s.tasks)
	r.s.tasks = append(r.s.tasks, t)
	return nil
}

// Partial is one shard's share of the groups of a fragment. Groups are named by values, as codes differ between shards.
type Partial struct {
	Groups []Group
}

// Group is one group's share: integers, and the cells of its tests.
type Group struct {
	Keys  []plan.Value
	Sums  []int64                   // by aggregate
	Some  []bool                    // by aggregate: there was a row
	Seen  []map[plan.Value]struct{} // by aggregate: the different values of AggDistinct
	Ends  []plan.Value              // by aggregate: AggMin, AggMax
	Tests []*Crosstab               // by aggregate
	Done  [][]plan.Value            // by aggregate: columns of a finished test (ModeLocal)
}

// Crosstab is the cells of one test of one group that one shard has. Cell k is (Rows[Cells.Row[k]], Cols[Cells.Col[k]]).
type Crosstab struct {
	Rows, Cols []plan.Value
	Cells      stats.Triples
	Null       int64 // observations with a NULL category

	block  []int64 // instead of Cells: the cells by code, row 0 and column 0 being NULL
	stride int
}

// row is the counts of row i of the block.
func (c *Crosstab) row(i int) []int64 { return c.block[(i+1)*c.stride+1 : (i+2)*c.stride] }

// First reads the cells and groups them.
func (r *Run) First(ctx context.Context) (*Partial, error) {
	var err error
	if r.grids, r.Stats, err = r.s.run(ctx, r.o.Parallel); err != nil {
		return nil, err
	}
	for _, g := range r.grids {
		if err := g.check(r.f.Name); err != nil {
			return nil, err
		}
	}
	for i, a := range r.f.Aggs {
		r.tests = append(r.tests, nil)
		if a.Kind == plan.AggTest {
			r.tests[i] = newCrosstabs(r, i)
		}
	}
	return r.groups()
}

// Close gives the memory back.
func (r *Run) Close() {
	for _, g := range r.grids {
		g.free()
	}
	r.grids = nil
}

// groups turns the grids into groups.
func (r *Run) groups() (*Partial, error) {
	keys := r.groupKeys()
	if r.f.Mode == plan.ModeLocal && r.f.Top != nil {
		keys = r.screen(keys, r.f.Top)
	}
	p := &Partial{Groups: make([]Group, 0, len(keys))}
	if err := r.o.Memory.Grow(int64(len(keys)) * int64(64+valueBytes*len(r.f.Keys)+96*len(r.f.Aggs))); err != nil {
		return nil, err
	}
	for _, k := range keys {
		g, err := r.group(k)
		if err != nil {
			return nil, err
		}
		p.Groups = append(p.Groups, g)
	}
	return p, r.others(p, keys)
}

// groupKeys are the packed key codes of the groups that there are, in order.
func (r *Run) groupKeys() [][]uint32 {
	if r.sums < 0 {
		for _, t := range r.tests {
			if t != nil && r.s.tasks[t.task].filter == nil {
				return t.groupKeys()
			}
		}
	}
	g := r.grids[r.sums]
	last := g.sums - 1
	var out [][]uint32
	for e := range g.entries() {
		if g.has(e, last) {
			out = append(out, slices.Clone(g.codesOf(e, make([]uint32, len(r.keyCols)))))
		}
	}
	return out
}

func (r *Run) keyValues(codes []uint32) []plan.Value {
	out := make([]plan.Value, len(codes))
	for i, c := range codes {
		out[i] = r.s.keys[r.keyCols[i]].value(c)
	}
	return out
}

// entryOf finds the entry of key codes in a grid, or −1.
func (g *grid) entryOf(codes []uint32) int {
	switch g.kind {
	case denseShape:
		return int(g.key(codes))
	case packedShape:
		if e := g.table[g.probe(g.key(codes))]; e != 0 {
			return int(e) - 1
		}
		return -1
	}
	cols := make([][]uint32, len(codes))
	for i := range codes {
		cols[i] = codes[i : i+1]
	}
	if e, ok := g.wide[string(wideKey(cols, 0, nil))]; ok {
		return int(e)
	}
	return -1
}

func (r *Run) group(codes []uint32) (Group, error) {
	n := len(r.f.Aggs)
	g := Group{Keys: r.keyValues(codes), Sums: make([]int64, n), Some: make([]bool, n), Seen: make([]map[plan.Value]struct{}, n),
		Ends: make([]plan.Value, n), Tests: make([]*Crosstab, n), Done: make([][]plan.Value, n)}
	entry := -1
	if r.sums >= 0 {
		entry = r.grids[r.sums].entryOf(codes)
	}
	for i, a := range r.f.Aggs {
		switch a.Kind {
		case plan.AggSum, plan.AggCells:
			if entry >= 0 {
				g.Sums[i] = r.grids[r.sums].vals[entry*r.grids[r.sums].sums+r.sumOf[i]]
			}
			g.Some[i] = g.Sums[i] != 0
		case plan.AggTest:
			if r.f.Mode == plan.ModeLocal {
				done, err := r.tests[i].finish(codes, a.Test)
				if err != nil {
					return g, err
				}
				g.Done[i] = done
				continue
			}
			if r.f.Mode == plan.ModeMargins && r.tests[i].g.kind == denseShape {
				g.Tests[i] = r.tests[i].dense(codes)
				continue
			}
			g.Tests[i] = r.tests[i].crosstab(codes)
			if err := r.o.Memory.Grow(int64(len(g.Tests[i].Cells.Count)) * 16); err != nil {
				return g, err
			}
		}
	}
	return g, nil
}

// others fills in count(DISTINCT), min and max from their own grids.
func (r *Run) others(p *Partial, keys [][]uint32) error {
	index := map[string]int{}
	for i, k := range keys {
		index[string(codesKey(k))] = i
	}
	for i, a := range r.f.Aggs {
		if a.Kind != plan.AggDistinct && a.Kind != plan.AggMin && a.Kind != plan.AggMax {
			continue
		}
		g := r.grids[r.taskOf[i]]
		cols := r.s.tasks[r.taskOf[i]].cols
		arg := r.s.keys[cols[len(cols)-1]]
		buf := make([]uint32, len(cols))
		for e := range g.entries() {
			if !g.has(e, 0) {
				continue
			}
			codes := g.codesOf(e, buf)
			at, ok := index[string(codesKey(codes[:len(codes)-1]))]
			if !ok || codes[len(codes)-1] == 0 {
				continue
			}
			if err := p.Groups[at].see(i, a, arg.value(codes[len(codes)-1]), r.o.Memory); err != nil {
				return err
			}
		}
	}
	return nil
}

func codesKey(codes []uint32) []byte {
	b := make([]byte, 0, 4*len(codes))
	for _, c := range codes {
		b = append(b, byte(c>>24), byte(c>>16), byte(c>>8), byte(c))
	}
	return b
}

// see takes in one value of an aggregate that looks at values.
func (g *Group) see(i int, a *plan.Aggregate, v plan.Value, mem *Budget) error {
	if v.IsNull() {
		return nil
	}
	switch a.Kind {
	case plan.AggDistinct:
		if g.Seen[i] == nil {
			g.Seen[i] = map[plan.Value]struct{}{}
		}
		if _, ok := g.Seen[i][v.Key()]; ok {
			return nil
		}
		g.Seen[i][v.Key()] = struct{}{}
		return mem.Grow(valueBytes)
	case plan.AggMin:
		if g.Ends[i].IsNull() || plan.Compare(v, g.Ends[i]) < 0 {
			g.Ends[i] = v
		}
	case plan.AggMax:
		if g.Ends[i].IsNull() || plan.Compare(v, g.Ends[i]) > 0 {
			g.Ends[i] = v
		}
	}
	return nil
}

// Cells streams the cells that pass the filters as rows of the fragment's columns. The row is reused.
func (r *Run) Cells(ctx context.Context, emit func(row []plan.Value) error) error {
	for _, c := range r.f.Cells {
		r.s.readDim(c)
	}
	row := r.t.row()
	left := r.f.Limit
	w, err := r.s.newWork()
	if err != nil {
		return err
	}
	for _, seg := range r.s.segments(1) {
		err := seg.Scan(ctx, r.s.dims, func(c *storage.Chunk) error {
			if !r.s.passes(c.Window) {
				return nil
			}
			sel, err := w.filter(c)
			if err != nil {
				return err
			}
			if sel == nil {
				sel = w.all(&w.sel, c.Len)
			}
			for _, i := range sel {
				if left == 0 {
					return errEnough
				}
				left--
				r.fill(row, c, w.at, int(i))
				if err := emit(row); err != nil {
					return err
				}
			}
			r.Stats.Rows += int64(len(sel))
			return nil
		})
		if err == errEnough {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (r *Run) fill(row []plan.Value, c *storage.Chunk, at []int, i int) {
	for _, col := range r.f.Cells {
		switch {
		case col < r.t.dims:
			row[col] = r.t.value(col, c.Codes[at[col]][i])
		case col == r.f.TS():
			row[col] = r.t.ts(c.Window)
		default:
			row[col] = plan.IntValue(c.Counts[i])
		}
	}
}
