package plan

import (
	"slices"
	"strings"

	"github.com/quipudb/quipu/proto/slot"
	"github.com/quipudb/quipu/server/errcode"
	"github.com/quipudb/quipu/storage/schema"
)

// rows gives the rows of the block's source that WHERE keeps, with the columns that exprs read.
func (b *Binder) rows(k *block, exprs []*Expr) (Node, error) {
	used := map[int]bool{}
	for _, e := range exprs {
		for _, c := range e.Columns() {
			used[c] = true
		}
	}
	if k.table == nil {
		n := b.sink(k.source, conjuncts(k.where))
		narrow(n, used)
		return n, nil
	}
	f := b.fragment(k)
	f.Limit = -1
	_, kept := k.conditions()
	for _, e := range kept {
		for _, c := range e.Columns() {
			used[c] = true
		}
	}
	f.Cells = []int{}
	for c := range f.Width() {
		if used[c] {
			f.Cells = append(f.Cells, c)
		}
	}
	f.Why = "cells are streamed"
	scan := &Scan{Fragment: f, table: k.table}
	for _, c := range k.scope.cols {
		scan.cols = append(scan.cols, Column{c.name, c.typ})
	}
	var n Node = scan
	for _, e := range kept {
		n = &Filter{Input: n, Cond: e}
	}
	return n, nil
}

// conditions are the parts of WHERE: those that shards test and those that the coordinator does.
func (k *block) conditions() (shipped, kept []*Expr) {
	for _, e := range conjuncts(k.where) {
		if e.local() {
			kept = append(kept, e)
		} else {
			shipped = append(shipped, e)
		}
	}
	return shipped, kept
}

func (b *Binder) fragment(k *block) *Fragment {
	f := &Fragment{Table: k.table.ID, Version: k.table.Version, Name: k.table.Name.Table, Dims: len(k.table.Dims)}
	f.Filters, _ = k.conditions()
	f.Shards = b.prune(f, k.table)
	for _, c := range k.scope.cols {
		f.Names = append(f.Names, c.name)
	}
	return f
}

// groups gives the groups of the block: from the shards where that is possible, else from its rows.
func (b *Binder) groups(k *block, top *Top) (Node, error) {
	cols := groupColumns(k)
	if k.table == nil || !pushable(k) {
		in, err := b.ungrouped(k)
		if err != nil {
			return nil, err
		}
		return &Aggregation{Input: in, Keys: k.keys, Aggs: k.aggs, cols: cols}, nil
	}
	f := b.fragment(k)
	f.Keys = k.keys
	for _, a := range k.aggs {
		c := *pushed(a, f.Count()) // of its own: other sets of the block may be cut otherwise
		f.Aggs = append(f.Aggs, &c)
	}
	if err := b.chooseMode(f, k.table); err != nil {
		return nil, err
	}
	if f.top = top; f.Mode == ModeLocal {
		f.Top = top
	}
	return &Grouped{Fragment: f, table: k.table, cols: cols}, nil
}

// ungrouped gives the rows that the coordinator groups, and weighs the tests by their count.
func (b *Binder) ungrouped(k *block) (Node, error) {
	exprs := slices.Clone(k.keys)
	for _, a := range k.aggs {
		exprs = append(exprs, a.exprs()...)
	}
	if k.table != nil {
		count := ColumnRef(len(k.table.Dims)+1, Int8)
		exprs = append(exprs, count)
		for i, a := range k.aggs {
			if a.Kind == AggTest {
				c := *a
				c.Weight = count
				k.aggs[i] = &c
			}
		}
	}
	return b.rows(k, exprs)
}

func groupColumns(k *block) []Column {
	var cols []Column
	for _, key := range k.keys {
		name := ""
		if key.Kind == ExprCol {
			name = k.scope.cols[key.Col].name
		}
		cols = append(cols, Column{name, key.Type})
	}
	for _, a := range k.aggs {
		if a.Kind == AggTest {
			cols = append(cols, a.Test.columns...)
		} else {
			cols = append(cols, Column{"", a.Type})
		}
	}
	return cols
}

// pushable says whether shards can compute the groups: every key, category and argument looks at one dimension or at ts.
func pushable(k *block) bool {
	count := len(k.table.Dims) + 1
	if _, kept := k.conditions(); len(kept) > 0 {
		return false
	}
	single := func(e *Expr) bool {
		cols := e.Columns()
		if e.local() {
			return false
		}
		return len(cols) == 0 || len(cols) == 1 && cols[0] != count
	}
	for _, key := range k.keys {
		if !single(key) {
			return false
		}
	}
	for _, a := range k.aggs {
		if a.Kind >= AggArray || a.Distinct || slices.ContainsFunc(a.exprs(), (*Expr).local) {
			return false
		}
		switch a.Kind {
		case AggCells, AggCount:
		case AggSum:
			if a.Arg.Kind != ExprCol || a.Arg.Col != count {
				return false
			}
		case AggTest:
			if slices.ContainsFunc(a.Cats, func(e *Expr) bool { return !single(e) }) {
				return false
			}
		default:
			if !single(a.Arg) {
				return false
			}
		}
	}
	return true
}

// pushed is a as shards compute it: count(x) becomes the number of cells with x.
func pushed(a *Aggregate, count int) *Aggregate {
	if a.Kind != AggCount {
		return a
	}
	c := &Aggregate{Kind: AggCells, Type: Int8, Filter: a.Filter}
	if a.Arg.Kind == ExprCol && a.Arg.Col == count {
		return c
	}
	present := call(fnNot, Bool, call(fnIsNull, Bool, a.Arg))
	if c.Filter == nil {
		c.Filter = present
	} else {
		c.Filter = call(fnAnd, Bool, c.Filter, present)
	}
	return c
}

// plainDims are the dimensions that stand among exprs as they are.
func plainDims(dims int, exprs ...*Expr) map[int]bool {
	m := map[int]bool{}
	for _, e := range exprs {
		if e.Kind == ExprCall && e.Fn == fnOrderRank { // one place for each value
			e = e.Args[0]
		}
		if e.Kind == ExprCol && e.Col < dims {
			m[e.Col] = true
		}
	}
	return m
}

// covers says whether the partition key lies within the sets.
func covers(t *schema.Table, sets ...map[int]bool) bool {
	for _, p := range t.PartitionBy {
		if !slices.ContainsFunc(sets, func(s map[int]bool) bool { return s[p] }) {
			return false
		}
	}
	return true
}

// chooseMode decides how the work of f is cut and says why.
func (b *Binder) chooseMode(f *Fragment, t *schema.Table) error {
	fixed := map[int]bool{}
	for d, values := range b.fixedValues(f, t) {
		fixed[d] = len(values) == 1
	}
	keys := plainDims(f.Dims, f.Keys...)
	names := dimNames(t, t.PartitionBy)
	allowed := map[Mode]string{ModeCells: "a cell may be a sum over shards, so that cells are merged first"}
	switch {
	case b.Shards == 1 || len(f.Shards) == 1 || len(t.PartitionBy) == 0:
		allowed[ModeLocal] = "one shard has every cell"
	case covers(t, keys, fixed):
		allowed[ModeLocal] = "partition key (" + names + ") within GROUP BY or fixed by WHERE"
	}
	tests, divides := cutTests(f, func(dims map[int]bool) bool { return covers(t, keys, fixed, dims) })
	switch tests {
	case ModeSums:
		allowed[ModeSums] = "each shard adds up its share of the sums that the test is made of"
	case ModeMargins:
		allowed[ModeMargins] = "partition key (" + names + ") within GROUP BY and the tested dimensions: each tested cell is whole on one shard"
	case ModeCells:
		if !divides {
			allowed[ModeCells] = "a test needs all its cells in one place, so that cells are merged first"
		}
	case ModeAuto:
		allowed[ModeCells] = "a group may lie on several shards, so that groups are merged by value"
	}
	f.Mode = ModeCells
	for _, m := range []Mode{ModeLocal, ModeSums, ModeMargins} {
		if _, ok := allowed[m]; ok {
			f.Mode = m
			break
		}
	}
	f.Why = allowed[f.Mode]
	if b.Mode == ModeAuto || tests == ModeAuto && b.Mode == ModeMargins {
		f.cut(false)
		return nil
	}
	why, ok := allowed[b.Mode]
	if !ok {
		return errcode.New(errcode.InvalidOption, "mode %s is not possible for this query on table %q", b.Mode, f.Name).
			WithDetail("partition key is (%s), GROUP BY has (%s)", names, dimNames(t, sortedKeys(keys))).
			WithHint("SET quipu.force_mode = auto")
	}
	f.Mode, f.Why = b.Mode, "forced; "+why
	f.cut(true)
	return nil
}

// cutTests gives each test the cheapest mode that it may have where groups are spread over shards, and tells the dearest of these.
// whole says whether what is named by some dimensions, within its group, lies on one shard. divides is false if some test can be
// finished from all its cells only.
func cutTests(f *Fragment, whole func(dims map[int]bool) bool) (dearest Mode, divides bool) {
	divides = true
	for _, a := range f.Aggs {
		if a.Kind != AggTest {
			continue
		}
		var named []*Expr
		for _, i := range a.Test.whole {
			named = append(named, a.Cats[i])
		}
		adds := whole(plainDims(f.Dims, named...))
		switch {
		case a.Kinds() != 0 && adds:
			a.Mode = ModeMargins
		case a.Test.sums != nil && (len(a.Test.whole) == 0 || adds):
			a.Mode = ModeSums
		default:
			a.Mode = ModeCells
			divides = divides && (a.Kinds() != 0 || a.Test.sums != nil)
		}
		if dearest == ModeAuto || a.Mode == ModeCells || a.Mode == ModeMargins && dearest == ModeSums {
			dearest = a.Mode
		}
	}
	return dearest, divides
}

// cut makes the tests obey a mode that leaves them no choice.
func (f *Fragment) cut(forced bool) {
	for _, a := range f.Aggs {
		if a.Kind == AggTest && (f.Mode == ModeLocal || f.Mode == ModeCells && forced) {
			a.Mode = f.Mode
		}
	}
}

func sortedKeys(m map[int]bool) []int {
	var out []int
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

func dimNames(t *schema.Table, dims []int) string {
	var names []string
	for _, d := range dims {
		names = append(names, t.Dims[d].Name)
	}
	return strings.Join(names, ", ")
}

// fixedValues are the values that the filters leave to a dimension, where they name them: d = 'x', d IN ('x', 'y').
func (b *Binder) fixedValues(f *Fragment, t *schema.Table) map[int][]Value {
	out := map[int][]Value{}
	for _, e := range f.Filters {
		values, ok := e.Equals(nil)
		if !ok || e.Columns()[0] >= f.Dims {
			continue
		}
		d := e.Columns()[0]
		slices.SortFunc(values, Compare)
		values = slices.Compact(values)
		if old, seen := out[d]; !seen || len(values) < len(old) {
			out[d] = values
		}
	}
	return out
}

// pruneMax bounds the combinations of key values that are looked up one by one.
const pruneMax = 256

// prune lists the shards that the filters leave, or nil for all.
func (b *Binder) prune(f *Fragment, t *schema.Table) []schema.ShardID {
	m := b.Catalog.SlotMap()
	if m == nil {
		return nil
	}
	fixed := b.fixedValues(f, t)
	hashes := []uint64{slot.Start(uint64(t.ID))}
	for _, d := range t.PartitionBy {
		values, ok := fixed[d]
		if !ok || len(hashes)*len(values) > pruneMax {
			return nil
		}
		var next []uint64
		for _, h := range hashes {
			for _, v := range values {
				text, _ := castText(v)
				next = append(next, slot.Add(h, slot.HashValue(text.Text(), false)))
			}
		}
		hashes = next
	}
	shards := []schema.ShardID{}
	for _, h := range hashes {
		if s := m.Owner[slot.Finish(h)]; !slices.Contains(shards, s) {
			shards = append(shards, s)
		}
	}
	slices.Sort(shards)
	if len(shards) == 0 { // nothing can match: any one shard gives the empty answer
		shards = append(shards, m.Owner[slot.Finish(slot.Start(uint64(t.ID)))])
	}
	return shards
}

// Equals says that e is the equality of one plain column with constants, and appends them to room. NULL is never among them.
func (e *Expr) Equals(room []Value) (values []Value, ok bool) {
	values = room
	if e.Kind != ExprCall || e.Fn != fnEq && e.Fn != fnIn {
		return nil, false
	}
	args := e.Args
	if e.Fn == fnEq && args[1].Kind == ExprCol {
		args = []*Expr{args[1], args[0]}
	}
	if args[0].Kind != ExprCol || !allConst(args[1:]) {
		return nil, false
	}
	for _, a := range args[1:] {
		if a.Value.IsNull() {
			continue
		}
		if a.Value.Type != args[0].Type {
			return nil, false
		}
		values = append(values, a.Value)
	}
	return values, true
}
