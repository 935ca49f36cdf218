package plan

import (
	"slices"

	"github.com/quipudb/quipu/query/sql"
	"github.com/quipudb/quipu/server/errcode"
)

// groupingMax bounds the grouping sets of a block, and cubeMax the elements of a CUBE, as PostgreSQL does.
const (
	groupingMax = 4096
	cubeMax     = 12
)

// GroupingSets gives the groups of several sets of keys, one set after the other: all keys, NULL where the set does not have them, then what
// each GROUPING gives, then the aggregates. Each input groups by the keys of its set alone, so that its tests are cut as those of that
// GROUP BY would be: a test of a coarser group is not made of the tests of finer ones, but its margins and sums may be had from the shards.
type GroupingSets struct {
	Inputs []Node
	Sets   []GroupingSet
	cols   []Column
}

// GroupingSet is one set: the places of its keys, ascending, and the values of the GROUPINGs of the block.
type GroupingSet struct {
	Keys   []int
	Levels []Value
}

func (n *GroupingSets) Columns() []Column { return n.cols }
func (n *GroupingSets) inputs() []Node    { return n.Inputs }

// groupingSets expands the GROUP BY of s into k.grouping: each element gives some sets, and each choice of one from every element is a set.
func (b *exprBinder) groupingSets(s *sql.Select, k *block) error {
	e := *b
	e.clause = "GROUP BY"
	k.grouping = [][]int{nil}
	for _, g := range s.GroupBy {
		sets, err := e.groupItem(g, k)
		if err != nil {
			return err
		}
		if len(sets)*len(k.grouping) > groupingMax {
			return b.tooManySets(g.Pos)
		}
		var all [][]int
		for _, x := range k.grouping {
			for _, y := range sets {
				all = append(all, union(x, y))
			}
		}
		if err := b.work(g.Pos, len(all)); err != nil {
			return err
		}
		k.grouping = all
	}
	if s.GroupDistinct {
		var once [][]int
		for _, set := range k.grouping {
			if !slices.ContainsFunc(once, func(o []int) bool { return slices.Equal(o, set) }) {
				once = append(once, set)
			}
		}
		k.grouping = once
	}
	return b.work(s.Pos, queryWork*len(k.grouping))
}

func (b *exprBinder) tooManySets(at sql.Pos) error {
	return b.fail(at, errcode.TooComplex, "too many grouping sets present (maximum %d)", groupingMax).
		WithHint("name the sets that you need in GROUPING SETS (…)")
}

// groupItem gives the sets of one element of GROUP BY.
func (b *exprBinder) groupItem(g sql.GroupItem, k *block) ([][]int, error) {
	switch g.Kind {
	case sql.GroupEmpty:
		return [][]int{nil}, nil
	case sql.GroupingSets:
		var out [][]int
		for _, item := range g.Sets {
			sets, err := b.groupItem(item, k)
			if err != nil {
				return nil, err
			}
			if out = append(out, sets...); len(out) > groupingMax {
				return nil, b.tooManySets(item.Pos)
			}
		}
		return out, nil
	}
	elems := make([][]int, len(g.Exprs))
	for i, x := range g.Exprs {
		var err error
		if elems[i], err = b.groupElement(x, k); err != nil {
			return nil, err
		}
	}
	switch {
	case g.Kind == sql.GroupExpr:
		return elems, nil
	case g.Kind == sql.Cube && len(elems) > cubeMax:
		return nil, b.fail(g.Pos, errcode.TooManyColumns, "CUBE is limited to %d elements", cubeMax).WithHint("name the sets that you need in GROUPING SETS (…)")
	}
	var out [][]int
	for kept := 1<<len(elems) - 1; kept >= 0; kept-- { // the first element is the highest bit
		var set []int
		for i, e := range elems {
			if kept>>(len(elems)-1-i)&1 == 1 {
				set = union(set, e)
			}
		}
		if g.Kind == sql.Cube {
			out = append(out, set)
		}
	}
	for n := len(elems); g.Kind == sql.Rollup && n >= 0; n-- {
		var set []int
		for _, e := range elems[:n] {
			set = union(set, e)
		}
		out = append(out, set)
	}
	return out, nil
}

// groupElement gives the keys of an expression, or of a row of several.
func (b *exprBinder) groupElement(x sql.Expr, k *block) ([]int, error) {
	list := []sql.Expr{x}
	if row, ok := x.(*sql.Row); ok {
		list = row.Elems
	}
	var out []int
	for _, x := range list {
		key, err := b.groupKey(x, k)
		if err != nil {
			return nil, err
		}
		if key.isConst() {
			key = k.constantKey(key)
		}
		i := slices.IndexFunc(k.keys, key.Equal)
		if i < 0 {
			i = len(k.keys)
			k.keys = append(k.keys, key)
		}
		out = union(out, []int{i})
	}
	return out, nil
}

// constantKey makes a constant tell itself from others of the same value, as it is NULL in the sets that do not have it.
func (k *block) constantKey(key *Expr) *Expr {
	c := &Expr{Kind: ExprCall, Type: key.Type, Fn: fnConstantKey, Args: []*Expr{key}}
	for i, it := range k.items {
		if it.expr.Equal(key) {
			k.items[i].expr = c
		}
	}
	return c
}

var fnConstantKey = &Function{Name: "constant", Args: []Type{Unknown}, volatile: true, local: true, nullable: true, eval: func(a []Value) (Value, error) { return a[0], nil }}

func union(a, b []int) []int {
	out := slices.Concat(a, b)
	slices.Sort(out)
	return slices.Compact(out)
}

// levels gives what each GROUPING is in each set.
func (b *Binder) levels(k *block) ([]GroupingSet, error) {
	sets := make([]GroupingSet, len(k.grouping))
	for i, keys := range k.grouping {
		sets[i].Keys = keys
	}
	for _, level := range k.levels {
		at := make([]int, len(level.Args))
		for i, a := range level.Args {
			if at[i] = k.keyOf(a); at[i] < 0 {
				return nil, b.notGrouped(a, level.at)
			}
		}
		for i := range sets {
			bits := int64(0)
			for _, key := range at {
				bits <<= 1
				if !slices.Contains(sets[i].Keys, key) {
					bits |= 1
				}
			}
			sets[i].Levels = append(sets[i].Levels, IntValue(bits))
		}
	}
	return sets, nil
}

// keyOf is the place of a key of the block, or −1.
func (k *block) keyOf(x *Expr) int { return slices.IndexFunc(k.keys, x.Equal) }

func (b *Binder) notGrouped(arg *Expr, at sql.Pos) error {
	if arg.at != 0 {
		at = arg.at
	}
	return b.fail(at, errcode.GroupingError, "arguments to GROUPING must be grouping expressions of the associated query level").
		WithHint("write them as GROUP BY has them")
}

// allGroups gives the groups of every set of the block. GROUPING is a key beyond the others from then on.
func (b *Binder) allGroups(k *block, top *Top) (Node, error) {
	sets, err := b.levels(k)
	if err != nil {
		return nil, err
	}
	keys := k.keys
	k.keys = slices.Concat(keys, k.levels)
	defer func() { k.grouping = nil }()
	cols := groupColumns(k)
	sub := *k
	sub.keys = keys
	if k.table == nil || !pushable(&sub) {
		in, err := b.ungrouped(&sub)
		if err != nil {
			return nil, err
		}
		k.aggs = sub.aggs
		return &Aggregation{Input: in, Keys: keys, Aggs: k.aggs, Sets: sets, cols: cols}, nil
	}
	out := &GroupingSets{Sets: sets, cols: cols}
	for _, set := range sets {
		sub.keys = nil
		for _, i := range set.Keys {
			sub.keys = append(sub.keys, keys[i])
		}
		n, err := b.groups(&sub, top)
		if err != nil {
			return nil, err
		}
		out.Inputs = append(out.Inputs, n)
	}
	return out, nil
}

// groupingArgsMax bounds the arguments of GROUPING, as PostgreSQL does.
const groupingArgsMax = 31

// groupingCall binds GROUPING(a, b): a bit for each argument, 1 where the group's set does not have it, the last argument's being the lowest.
func (b *exprBinder) groupingCall(c *sql.Call) (*Expr, error) {
	switch {
	case b.aggs == nil || b.block == nil:
		return nil, b.fail(c.Pos, errcode.GroupingError, "grouping operations are not allowed in %s", b.clause)
	case b.inAgg:
		return nil, b.fail(c.Pos, errcode.GroupingError, "aggregate function calls cannot be nested")
	case len(c.Args) > groupingArgsMax:
		return nil, b.fail(c.Pos, errcode.TooLarge, "GROUPING must have fewer than %d arguments", groupingArgsMax+1)
	case len(c.Args) == 0 || c.Star || c.Distinct || c.Filter != nil || c.OrderBy != nil:
		return nil, b.fail(c.Pos, errcode.SyntaxError, "GROUPING takes expressions of GROUP BY")
	}
	inner := *b
	inner.aggs = nil
	inner.clause = "GROUPING"
	level := &Expr{Kind: exprGrouping, Type: Int8, at: c.Pos}
	for _, a := range c.Args {
		x, err := inner.value(a.Value)
		if err != nil {
			return nil, err
		}
		level.Args = append(level.Args, inner.settle(x))
	}
	if i := slices.IndexFunc(b.block.levels, level.Equal); i < 0 {
		b.block.levels = append(b.block.levels, level)
	}
	return level, nil
}
