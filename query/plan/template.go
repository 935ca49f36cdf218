package plan

import (
	"slices"
	"sync/atomic"

	"github.com/quipudb/quipu/query/sql"
	"github.com/quipudb/quipu/storage/schema"
)

// Template is a bound query that is run again and again, as long as what it was bound against stays as it is. Parameters stand in it
// without their values. It and everything reached from it never change but for spare, so that it may be run by several goroutines at once.
type Template struct {
	query  *Query
	open   bool // parameters stand in it
	tables []needed
	slots  *schema.SlotMap
	cuts   *Binder               // knows what cutting needs, and no catalog
	spare  atomic.Pointer[Query] // was filled, and nobody runs it
}

// filled is where a filled query has the values of its parameters. Nothing else in it depends on them.
type filled struct {
	t      *Template
	values []Expr
}

// needed is a table that a statement names, with the privilege that it takes.
type needed struct {
	name  schema.Name
	table *schema.Table
	need  schema.Privilege
}

// passes notes that what is being bound depends on more than the text, the tables and the parameters: on the time, on who asks, on
// settings, on other objects of the catalog. It has to be bound anew for each run.
func (b *Binder) passes() { b.passing = true }

// Template keeps q, which b has bound as the only query of its text, or is nil if it cannot be kept: if the binding holds for the present
// run only, if something in the plan has a state, or if the binding has looked for the value of a parameter.
func (b *Binder) Template(q *Query) *Template {
	if b.passing || len(b.subqueries) > 0 || !b.describing && len(b.Args) > 0 {
		return nil
	}
	k := keeper{refs: map[sql.Pos]bool{}}
	if !k.node(q.Root) || len(k.refs) != int(b.refs) {
		return nil
	}
	kept := *q
	kept.Runner = nil // of subqueries
	slots := b.Catalog.SlotMap()
	return &Template{query: &kept, open: b.refs > 0, tables: b.tables, slots: slots,
		cuts: &Binder{Context: Context{Catalog: onlySlots{slots}, Mode: b.Mode, Shards: b.Shards}}}
}

// onlySlots is a catalog without tables: a template must not hold on to all the metadata of its time.
type onlySlots struct{ slots *schema.SlotMap }

func (onlySlots) Table(schema.Name) *schema.Table { return nil }
func (onlySlots) Tables(string) []*schema.Table   { return nil }
func (c onlySlots) SlotMap() *schema.SlotMap      { return c.slots }

// keeper looks whether a plan can be kept, and which references to parameters are where Fill puts values.
type keeper struct{ refs map[sql.Pos]bool }

func (k *keeper) node(n Node) bool {
	switch n := n.(type) {
	case *Scan:
		return k.fragment(n.Fragment)
	case *Grouped:
		return k.fragment(n.Fragment)
	case *Rows:
		for _, row := range n.Rows {
			if !k.filled(row...) {
				return false
			}
		}
	case *Project:
		if !k.filled(n.Exprs...) {
			return false
		}
	case *Filter:
		if !k.filled(n.Cond) {
			return false
		}
	case *Aggregation:
		if !k.fixed(n.Keys...) || !k.aggregates(n.Aggs, k.fixed) {
			return false
		}
	case *Join:
		if n.Lateral != nil || !k.fixed(n.LKeys...) || !k.fixed(n.RKeys...) || n.Cond != nil && !k.fixed(n.Cond) {
			return false
		}
	case *Limit:
		if n.CountOf != nil || n.OffsetOf != nil {
			return false
		}
	case *Sort, *Distinct, *Cut, *SetOp, *GroupingSets:
	default:
		return false
	}
	for _, in := range n.inputs() {
		if !k.node(in) {
			return false
		}
	}
	return true
}

func (k *keeper) fragment(f *Fragment) bool {
	return k.filled(f.Filters...) && k.fixed(f.Keys...) && k.aggregates(f.Aggs, k.filled)
}

// aggregates looks at the expressions of aggs, and by filter at their filters.
func (k *keeper) aggregates(aggs []*Aggregate, filter func(...*Expr) bool) bool {
	for _, a := range aggs {
		if a.Filter != nil && !filter(a.Filter) {
			return false
		}
		for _, e := range a.exprs() {
			if e != a.Filter && !k.fixed(e) {
				return false
			}
		}
	}
	return true
}

// filled takes expressions whose parameters get their values.
func (k *keeper) filled(list ...*Expr) bool {
	return k.exprs(list, func(e *Expr) bool {
		k.refs[e.at] = true
		return true
	})
}

// fixed takes expressions that must have no parameters.
func (k *keeper) fixed(list ...*Expr) bool {
	return k.exprs(list, func(*Expr) bool { return false })
}

func (k *keeper) exprs(list []*Expr, param func(*Expr) bool) bool {
	ok := true
	for _, e := range list {
		e.walk(func(x *Expr) bool {
			switch x.Kind {
			case ExprConst, ExprCol:
			case ExprCall: // one that shards do not know would be a constant with the values, and then part of what they are given
				ok = ok && !x.Fn.volatile && (!x.Fn.local || functionsBySignature[x.Fn.Signature()] == x.Fn && !x.open())
			case exprParam:
				ok = ok && param(x)
			default:
				ok = false
			}
			return ok
		})
	}
	return ok
}

// open says that a parameter stands in e.
func (e *Expr) open() bool {
	found := false
	e.walk(func(x *Expr) bool {
		found = found || x.Kind == exprParam
		return !found
	})
	return found
}

// Fits says whether t may be run against a catalog for somebody with these rights (nil: everything is allowed). Where it may not,
// binding anew finds out why.
func (t *Template) Fits(c Catalog, rights Rights) bool {
	if c.SlotMap() != t.slots {
		return false
	}
	for _, n := range t.tables {
		if c.Table(n.name) != n.table || rights != nil && n.need != 0 && rights.Table(n.table, n.need) != nil {
			return false
		}
	}
	return true
}

// Fill is the query with values in the place of its parameters, whose types are given as Params told them. It is nil where a value makes
// an error, which binding anew puts into words. Leave takes it back.
func (t *Template) Fill(args []Value, types []Type) *Query {
	if !t.open {
		return t.query
	}
	if q := t.spare.Swap(nil); q != nil {
		if !fillIn(q.filled.values, args, types) {
			return nil
		}
		return q
	}
	f := filler{t: t, values: make([]Expr, len(types))}
	if !fillIn(f.values, args, types) {
		return nil
	}
	q := *t.query
	if q.Root = f.node(q.Root); f.failed {
		return nil
	}
	if !f.fitted {
		q.filled = &filled{t, f.values}
	}
	return &q
}

// fillIn makes constants of the parameters; it is false where a value makes an error.
func fillIn(out []Expr, args []Value, types []Type) bool {
	for i, typ := range types {
		if i >= len(args) {
			return false
		}
		v, err := Convert(args[i], typ)
		if err != nil {
			return false
		}
		out[i] = Expr{Kind: ExprConst, Type: typ, Value: v}
	}
	return true
}

// Leave gives q back to the template that has filled it, if one has. Nothing may refer to q any more.
func (q *Query) Leave() {
	if q.filled != nil {
		clear(q.filled.values)
		q.filled.t.spare.Store(q)
	}
}

// filler puts values into a plan. What has no parameter in it is shared with the template.
type filler struct {
	t      *Template
	values []Expr
	failed bool
	fitted bool // more than the constants depends on the values
}

func (f *filler) node(n Node) Node {
	switch n := n.(type) {
	case *Scan:
		if fragment := f.fragment(n.Fragment, n.table); fragment != n.Fragment {
			c := *n
			c.Fragment = fragment
			return &c
		}
	case *Grouped:
		if fragment := f.fragment(n.Fragment, n.table); fragment != n.Fragment {
			c := *n
			c.Fragment = fragment
			return &c
		}
	case *Rows:
		if len(n.Rows) == 1 && len(n.Rows[0]) == 0 {
			return n
		}
		c := *n
		c.Rows = make([][]*Expr, len(n.Rows))
		for i, row := range n.Rows {
			c.Rows[i] = f.exprs(row)
		}
		return &c
	case *Project:
		c := *n
		c.Input, c.Exprs = f.node(n.Input), f.exprs(n.Exprs)
		return &c
	case *Filter:
		return &Filter{Input: f.node(n.Input), Cond: f.expr(n.Cond)}
	case *Aggregation:
		c := *n
		c.Input = f.node(n.Input)
		return &c
	case *Join:
		c := *n
		c.L, c.R = f.node(n.L), f.node(n.R)
		return &c
	case *Limit:
		c := *n
		c.Input = f.node(n.Input)
		return &c
	case *Sort:
		c := *n
		c.Input = f.node(n.Input)
		return &c
	case *Distinct:
		return &Distinct{Input: f.node(n.Input), On: n.On}
	case *Cut:
		return &Cut{Input: f.node(n.Input), Width: n.Width}
	case *SetOp:
		c := *n
		c.L, c.R = f.node(n.L), f.node(n.R)
		return &c
	case *GroupingSets:
		c := *n
		c.Inputs = make([]Node, len(n.Inputs))
		for i, in := range n.Inputs {
			c.Inputs[i] = f.node(in)
		}
		return &c
	}
	return n
}

// fragment fills the filters of a fragment of table, and cuts it anew: equality with a value may leave fewer shards, and cheaper modes.
func (f *filler) fragment(from *Fragment, table *schema.Table) *Fragment {
	filters := f.exprs(from.Filters)
	aggs := from.Aggs
	for i, a := range from.Aggs {
		if a.Filter == nil {
			continue
		}
		if filter := f.expr(a.Filter); filter != a.Filter {
			own := *a
			own.Filter = filter
			aggs = slices.Clone(aggs)
			aggs[i] = &own
		}
	}
	if slices.Equal(filters, from.Filters) && slices.Equal(aggs, from.Aggs) {
		return from
	}
	c := *from
	c.Filters, c.Aggs = filters, aggs
	if len(table.PartitionBy) > 0 {
		f.fitted = true
		c.Shards = f.t.cuts.prune(&c, table)
		f.cut(&c, table)
	}
	return &c
}

// cut chooses the mode of c as for a query that has the values in its text. One that is local for any values stays so.
func (f *filler) cut(c *Fragment, table *schema.Table) {
	if c.Cells != nil || c.Mode == ModeLocal && f.t.cuts.Mode == ModeAuto {
		return
	}
	for i, a := range c.Aggs {
		if a.Kind == AggTest {
			own := *a
			if c.Aggs[i] == a {
				c.Aggs = slices.Clone(c.Aggs)
			}
			c.Aggs[i] = &own
		}
	}
	if f.t.cuts.chooseMode(c, table) != nil {
		f.failed = true
		return
	}
	if c.Top = nil; c.Mode == ModeLocal {
		c.Top = c.top
	}
}

func (f *filler) exprs(list []*Expr) []*Expr {
	out := list
	for i, e := range list {
		x := f.expr(e)
		if x == e {
			continue
		}
		if &out[0] == &list[0] {
			out = slices.Clone(list)
		}
		out[i] = x
	}
	return out
}

// expr is e with values. Calls that are constant now are evaluated, as they are where binding meets them.
func (f *filler) expr(e *Expr) *Expr {
	switch {
	case e.Kind == exprParam:
		return &f.values[e.Col]
	case len(e.Args) == 0:
		return e
	}
	args := f.exprs(e.Args)
	if &args[0] == &e.Args[0] {
		return e
	}
	c := *e
	c.Args = args
	if c.Kind != ExprCall || !allConst(args) {
		return &c
	}
	f.fitted = true
	v, err := c.Eval(nil)
	if err != nil {
		f.failed = true
		return &c
	}
	return &Expr{Kind: ExprConst, Type: c.Type, Value: v}
}
