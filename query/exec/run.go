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
	f    *plan.Fragment
	o    Options
	cost ScanStats
	*state
}

// state is what a Run works with; nil: it has ended.
type state struct {
	t table
	s scan

	keyCols []int // key columns of the scan, in the order of f.Keys
	sums    int   // task of the groups' sums, −1 if none is needed
	sumOf   []int // by aggregate: its sum in that task
	taskOf  []int // by aggregate: its own task, −1 if it has none

	grids   []*grid      // by task
	totals  []*totals    // by task, of those that stream
	tests   []*crosstabs // by task, of the other tests
	samples [][]*sample  // by group and aggregate: what Second needs
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
	r := &Run{f: f, o: o, state: newState()}
	r.t, r.sums = table{view: view, dims: f.Dims}, -1
	r.s.t, r.s.mem = &r.t, o.Memory
	err := r.s.open(f)
	if err == nil && f.Cells == nil {
		err = r.tasks()
	}
	if err != nil {
		r.Close()
		return nil, err
	}
	return r, nil
}

// Blocks is the number of blocks to read.
func (r *Run) Blocks() int { return r.s.blocks() }

// Cost is what has been read.
func (r *Run) Cost() ScanStats { return r.cost }

// tasks lays out what the scan groups by.
func (r *Run) tasks() error {
	room := r.s.room
	r.keyCols = room.ints.take(len(r.f.Keys))
	for at, k := range r.f.Keys {
		i, err := r.s.key(k)
		if err != nil {
			return err
		}
		r.keyCols[at] = i
	}
	r.sumOf, r.taskOf = room.ints.take(len(r.f.Aggs)), room.ints.take(len(r.f.Aggs))
	if err := r.sumTask(); err != nil {
		return err
	}
	for i, a := range r.f.Aggs {
		r.taskOf[i] = -1
		if a.Kind == plan.AggSum || a.Kind == plan.AggCells {
			continue
		}
		if err := r.ownTask(i, a); err != nil {
			return err
		}
	}
	for _, t := range r.s.tasks {
		cards := room.codes.take(len(t.cols))
		for i, c := range t.cols {
			cards[i] = r.s.keys[c].card
		}
		t.shape = newShape(room, cards, len(t.sums), r.t.view.Cells())
	}
	return nil
}

// ownTask gives an aggregate that looks at values a task; tests of the same cells share one.
func (r *Run) ownTask(i int, a *plan.Aggregate) error {
	t := r.s.room.tasks.one()
	t.cols, t.sums = slices.Clone(r.keyCols), r.s.room.specs.take(1)
	t.sums[0].ones = a.Kind != plan.AggTest
	args := a.Cats
	if a.Kind != plan.AggTest {
		args = []*plan.Expr{a.Arg}
	}
	for _, e := range args {
		c, err := r.s.key(e)
		if err != nil {
			return err
		}
		t.cols = append(t.cols, c)
	}
	if a.Kind == plan.AggTest {
		t.stream = r.streams(a, t.cols)
		for j, b := range r.f.Aggs[:i] {
			if b.Kind != plan.AggTest || a.Filter != nil || b.Filter != nil {
				continue
			}
			if old := r.s.tasks[r.taskOf[j]]; old.stream == t.stream && slices.Equal(old.cols, t.cols) {
				r.taskOf[i] = r.taskOf[j]
				return nil
			}
		}
	}
	var err error
	t.filter, err = r.s.prepare(a.Filter)
	r.taskOf[i] = len(r.s.tasks)
	r.s.tasks = append(r.s.tasks, t)
	return err
}

// sumTask collects the plain sums. They also say which groups there are, unless some unfiltered test does so by itself.
func (r *Run) sumTask() error {
	t := r.s.room.tasks.one()
	t.cols, t.sums = r.keyCols, r.s.room.specs.take(len(r.f.Aggs) + 1)[:0]
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
	}
	if len(t.sums) == 0 && whole {
		return nil
	}
	t.sums = append(t.sums, sumSpec{ones: true}) // how many rows the group has
	r.sums = len(r.s.tasks)
	r.s.tasks = append(r.s.tasks, t)
	return nil
}

// First reads the cells and groups them.
func (r *Run) First(ctx context.Context) (*Partial, error) {
	var err error
	if r.grids, r.totals, r.cost, err = r.s.run(ctx, r.o.Parallel); err != nil {
		return nil, err
	}
	for _, g := range r.grids {
		if g == nil {
			continue
		}
		if err := g.check(r.f.Name); err != nil {
			return nil, err
		}
	}
	r.tests = r.s.room.testsOf.take(len(r.s.tasks))
	for i, a := range r.f.Aggs {
		if t := r.taskOf[i]; a.Kind == plan.AggTest && !r.s.tasks[t].stream && r.tests[t] == nil {
			r.tests[t] = newCrosstabs(r, t)
		}
	}
	return r.groups(ctx)
}

// Close gives the memory back. What First and Second gave stays.
func (r *Run) Close() {
	if r.state == nil {
		return
	}
	for _, g := range r.grids {
		g.free()
	}
	r.state.end()
	r.state = nil
}

// groups turns the grids into groups.
func (r *Run) groups(ctx context.Context) (*Partial, error) {
	keys := r.groupKeys()
	alone := &struct { // room for what most queries without groups give
		Partial
		one [1]Group
		agg [1]Share
	}{}
	p := &alone.Partial
	p.Groups = listOf(&alone.one, len(keys))
	if err := r.o.Memory.Grow(int64(len(keys)) * int64(32+valueBytes*len(r.f.Keys)+96*len(r.f.Aggs))); err != nil {
		return nil, err
	}
	for _, k := range keys {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		shares := alone.agg[:]
		if len(keys) > 1 || len(r.f.Aggs) > 1 {
			shares = make([]Share, len(r.f.Aggs))
		}
		g, err := r.group(ctx, k, shares[:len(r.f.Aggs)])
		if err != nil {
			return nil, err
		}
		p.Groups = append(p.Groups, g)
	}
	if err := r.others(p, keys); err != nil {
		return nil, err
	}
	if top := r.f.Top; top != nil && r.f.Mode == plan.ModeLocal {
		p.Groups = first(p.Groups, r.f.Aggs[top.Agg], top)
	}
	return p, nil
}

// first keeps the groups that can be among the first K by ln p, in their order: those that tie with the last one are among them.
func first(groups []Group, a *plan.Aggregate, top *plan.Top) []Group {
	var ln []float64
	for i := range groups {
		if v := a.Column(groups[i].Aggs[top.Agg].Done, "ln_p"); !v.IsNull() {
			ln = append(ln, v.Float())
		}
	}
	if int64(len(ln)) < top.K || top.K <= 0 {
		return groups
	}
	slices.Sort(ln)
	return slices.DeleteFunc(groups, func(g Group) bool {
		v := a.Column(g.Aggs[top.Agg].Done, "ln_p")
		return v.IsNull() || v.Float() > ln[top.K-1]
	})
}

// groupKeys are the key codes of the groups that there are, in order; with Top, of those that can be among the first.
func (r *Run) groupKeys() [][]uint32 {
	if top := r.f.Top; top != nil && r.f.Mode == plan.ModeLocal {
		if a := r.f.Aggs[top.Agg]; a.Filter == nil && r.tests[r.taskOf[top.Agg]] != nil {
			return r.tests[r.taskOf[top.Agg]].first(a, top.K)
		}
	}
	if r.sums < 0 {
		for i, a := range r.f.Aggs {
			if a.Kind == plan.AggTest && a.Filter == nil {
				return r.testKeys(r.taskOf[i])
			}
		}
	}
	g := r.grids[r.sums]
	last := g.sums - 1
	out := r.s.room.lists.take(1)[:0]
	for e := range g.entries() {
		if g.has(e, last) {
			out = append(out, g.codesOf(e, make([]uint32, len(r.keyCols))))
		}
	}
	return out
}

// testKeys are the groups that a test has cells of.
func (r *Run) testKeys(task int) [][]uint32 {
	switch t := r.totals[task]; {
	case t == nil:
		return r.tests[task].groupKeys()
	case t.empty():
		return nil
	}
	return [][]uint32{{}}
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

// group fills in the shares of one group.
func (r *Run) group(ctx context.Context, codes []uint32, shares []Share) (Group, error) {
	g := Group{Keys: r.keyValues(codes), Aggs: shares}
	entry := -1
	if r.sums >= 0 {
		entry = r.grids[r.sums].entryOf(codes)
	}
	var samples []*sample // by aggregate, if there is a second round
	if r.f.Mode != plan.ModeLocal && r.f.Tests() {
		samples = make([]*sample, len(r.f.Aggs))
	}
	for i, a := range r.f.Aggs {
		s := &g.Aggs[i]
		switch a.Kind {
		case plan.AggSum, plan.AggCells:
			if entry >= 0 {
				s.Sum = r.grids[r.sums].vals[entry*r.grids[r.sums].sums+r.sumOf[i]]
			}
			s.Some = s.Sum != 0
		case plan.AggTest:
			t, err := r.test(ctx, codes, r.taskOf[i], a, s)
			if err != nil {
				return g, err
			}
			if samples != nil {
				samples[i] = t
			}
		}
	}
	if samples != nil {
		r.samples = append(r.samples, samples)
	}
	return g, nil
}

// test fills in the share of a test, as its mode wants it. What the second round needs comes back.
func (r *Run) test(ctx context.Context, codes []uint32, task int, a *plan.Aggregate, s *Share) (*sample, error) {
	local := a.Mode == plan.ModeLocal
	if a.Mode == plan.ModeMargins || local && a.Kinds() != 0 {
		return r.marginsOf(ctx, codes, task, a, s)
	}
	c := a.Reshape(r.tests[task].cells(codes))
	if err := r.o.Memory.Grow(int64(len(c.Count)) * int64(8+4*len(a.Cats))); err != nil {
		return nil, err
	}
	var err error
	switch {
	case local:
		s.Done, err = a.FinishCells(c)
	case a.Mode == plan.ModeSums:
		s.Sums, s.Null = a.NewSums(nil), c.Null
		if err := a.Summed(s.Sums.Add(c)); err != nil {
			return nil, err
		}
		return &sample{all: c}, nil
	default:
		s.Cells = c
	}
	return nil, err
}

// marginsOf is test for two-way tables that are finished from terms.
func (r *Run) marginsOf(ctx context.Context, codes []uint32, task int, a *plan.Aggregate, s *Share) (*sample, error) {
	t, err := r.sample(codes, task, a)
	if err != nil {
		return nil, err
	}
	if a.Mode == plan.ModeMargins {
		var cats []*keyColumn
		for _, c := range r.s.tasks[task].cols[len(r.keyCols):] {
			cats = append(cats, r.s.keys[c])
		}
		s.Margins = t.margins(cats, a.Maxima())
		size := int64(len(s.Margins.Rows) + len(s.Margins.Cols))
		return t, r.o.Memory.Grow(size*(valueBytes+8) + int64(len(t.cells.Count))*16)
	}
	f := t.m.Frame()
	terms := &plan.Terms{Frame: f, Null: t.null}
	if terms.Partial, err = r.terms(ctx, t, f, a.Kinds()); err != nil {
		return nil, err
	}
	if a.Maxima() {
		terms.Maxima = stats.NewMaxima(len(t.m.Rows), len(t.m.Cols))
		t.each(func(i, j int, n int64) { terms.Maxima.Add(i, j, uint64(n)) })
	}
	s.Done, err = a.FinishTerms(terms)
	return nil, err
}

func (r *Run) sample(codes []uint32, task int, a *plan.Aggregate) (*sample, error) {
	switch t := r.totals[task]; {
	case t != nil:
		return t.sample(r.s.tasks[task])
	case a.Plain():
		return r.tests[task].sample(codes)
	}
	c := a.Reshape(r.tests[task].cells(codes))
	t := &sample{values: [2][]plan.Value(c.Values), cells: c.Triples(), null: c.Null, m: stats.NewMargins(len(c.Values[0]), len(c.Values[1]))}
	return t, countsFit(t.m.AddCells(t.cells))
}

// terms adds up the cells of a sample under f.
func (r *Run) terms(ctx context.Context, t *sample, f *stats.Frame, k stats.Kinds) (*stats.Partial, error) {
	if t.stream != nil {
		p, cost, err := r.s.terms(ctx, r.o.Parallel, t.stream, t.null > 0, f, k)
		r.cost.Blocks += cost.Blocks
		return p, err
	}
	p := stats.NewPartial(f, k)
	t.add(p, f)
	return p, nil
}

// Second gives the shares of the tests whose margins or sums First has sent, under the totals of all shards.
func (r *Run) Second(ctx context.Context, totals []Totals) ([]Term, error) {
	out := make([]Term, len(totals))
	for i, g := range totals {
		if g.Group < 0 || g.Group >= len(r.samples) || g.Agg < 0 || g.Agg >= len(r.f.Aggs) || r.samples[g.Group][g.Agg] == nil {
			return nil, errcode.New(errcode.Internal, "totals of aggregate %d of group %d, whose share was never sent", g.Agg, g.Group)
		}
		t, a := r.samples[g.Group][g.Agg], r.f.Aggs[g.Agg]
		if a.Mode == plan.ModeSums {
			first := a.NewSums(nil)
			if err := first.UnmarshalBinary(g.Sums); err != nil {
				return nil, errcode.New(errcode.Internal, "sums of the first round: %w", err)
			}
			out[i].Sums = a.NewSums(first)
			if err := a.Summed(out[i].Sums.Add(t.all)); err != nil {
				return nil, err
			}
			continue
		}
		f, err := t.frame(g)
		if err != nil {
			return nil, err
		}
		if out[i].Partial, err = r.terms(ctx, t, f, a.Kinds()); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// others fills in count(DISTINCT), min and max from their own grids.
func (r *Run) others(p *Partial, keys [][]uint32) error {
	var index map[string]int // of the keys
	for i, a := range r.f.Aggs {
		if a.Kind != plan.AggDistinct && a.Kind != plan.AggMin && a.Kind != plan.AggMax {
			continue
		}
		if index == nil {
			index = make(map[string]int, len(keys))
			for i, k := range keys {
				index[string(codesKey(k))] = i
			}
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
			if err := p.Groups[at].Aggs[i].see(a, arg.value(codes[len(codes)-1]), r.o.Memory); err != nil {
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

// Cells streams the cells that pass the filters as rows of the fragment's columns. The row is reused.
func (r *Run) Cells(ctx context.Context, emit func(row []plan.Value) error) error {
	for _, c := range r.f.Cells {
		r.s.readDim(c)
	}
	row := r.t.row()
	left := r.f.Limit
	w := r.s.ready(r.s.own)
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
			r.cost.Rows += int64(len(sel))
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
			row[col] = r.t.value(col, c.Codes(at[col])[i])
		case col == r.f.TS():
			row[col] = r.t.ts(c.Window)
		default:
			row[col] = plan.IntValue(c.Counts[i])
		}
	}
}
