package exec

import (
	"context"
	"slices"

	"github.com/quipudb/quipu/query/plan"
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

	keyCols []int // key columns of the scan, in the order of f.Keys
	sums    int   // task of the groups' sums, −1 if none is needed
	sumOf   []int // by aggregate: its sum in that task
	taskOf  []int // by aggregate: its own task, −1 if it has none
	found   *harvest
	pairs   []*pairs // by aggregate: the cells of a test without groups, after First
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
		if err := r.ownTask(i, a, seen); err != nil {
			return err
		}
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
	whole := len(r.f.Keys) == 0
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
	// Some sum without a filter says which groups there are.
	if !slices.ContainsFunc(t.sums, func(s sumSpec) bool { return s.filter == nil }) {
		t.sums = append(t.sums, sumSpec{ones: true})
	}
	r.sums = len(r.s.tasks)
	r.s.tasks = append(r.s.tasks, t)
	return nil
}

// presence is the sum of the groups' task that is above 0 for every group that there is.
func (r *Run) presence() int {
	return slices.IndexFunc(r.s.tasks[r.sums].sums, func(s sumSpec) bool { return s.filter == nil })
}

// ownTask adds the task of a test, or of an aggregate that looks at values. Equal ones share it.
func (r *Run) ownTask(i int, a *plan.Aggregate, seen map[*plan.Expr]int) error {
	r.taskOf[i] = -1
	args := []*plan.Expr{a.Arg}
	switch a.Kind {
	case plan.AggSum, plan.AggCells:
		return nil
	case plan.AggTest:
		args = []*plan.Expr{a.A, a.B}
	}
	for j, b := range r.f.Aggs[:i] {
		if a.Kind == plan.AggTest && b.Kind == plan.AggTest && a.A.Equal(b.A) && a.B.Equal(b.B) && sameFilter(a.Filter, b.Filter) {
			r.taskOf[i] = r.taskOf[j]
			return nil
		}
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
	t := &task{cols: cols, filter: filter, sums: []sumSpec{{ones: a.Kind != plan.AggTest}}}
	t.pairs = a.Kind == plan.AggTest && len(r.keyCols) == 0 && filter == nil && r.distinctCells(cols)
	r.s.tasks = append(r.s.tasks, t)
	return nil
}

func sameFilter(a, b *plan.Expr) bool { return a == b || a != nil && b != nil && a.Equal(b) }

// distinctCells says that no two stored cells can have the same codes in these columns: they are all the dimensions, in one window.
func (r *Run) distinctCells(cols []int) bool {
	dims := map[int]bool{}
	for _, c := range cols {
		if k := r.s.keys[c]; k.codes == nil && k.dim >= 0 {
			dims[k.dim] = true
		}
	}
	return len(dims) == len(r.t.view.Schema().Dims) && len(r.t.view.Windows()) <= 1
}

// First reads the cells and groups them. In ModeLocal the tests are finished.
func (r *Run) First(ctx context.Context) (*Partial, error) {
	var err error
	if r.found, r.Stats, err = r.s.run(ctx, r.o.Parallel); err != nil {
		return nil, err
	}
	if err := r.found.check(r.f.Name); err != nil {
		return nil, err
	}
	return r.partial(ctx)
}

// Close gives the memory back.
func (r *Run) Close() {
	if r.found != nil {
		r.found.free()
	}
}
