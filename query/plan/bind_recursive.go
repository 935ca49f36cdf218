package plan

import (
	"slices"

	"github.com/quipudb/quipu/query/sql"
	"github.com/quipudb/quipu/server/errcode"
)

// Recursive gives the rows of Base, then those that Step makes of them, then those that Step makes of these, until there are none. Step reads
// the rows of the last round as a WorkScan of Table. With Distinct, rows that were there before are dropped.
type Recursive struct {
	Base, Step Node
	Distinct   bool
	Table      *WorkTable
	cols       []Column
}

// WorkTable is what the rows of a round are kept under.
type WorkTable struct {
	Name string // of the common table expression
	cols []Column
}

// WorkScan gives the rows of the last round.
type WorkScan struct{ Table *WorkTable }

func (n *Recursive) Columns() []Column { return n.cols }
func (n *Recursive) inputs() []Node    { return []Node{n.Base, n.Step} }
func (n *WorkScan) Columns() []Column  { return n.Table.cols }
func (n *WorkScan) inputs() []Node     { return nil }

// The bounds of a recursion. One without an end, of a row a round, reaches the first in a tenth of a second.
const (
	RecursionRoundsMax = 100_000
	RecursionRowsMax   = 10_000_000
)

// recursion is a common table expression of WITH RECURSIVE while it is bound.
type recursion struct {
	table  *WorkTable // nil while the part is bound that may not read it
	nested int        // subqueries around its recursive term
	read   bool
}

func (b *Binder) badRecursion(at sql.Pos, format string, args ...any) *errcode.Error {
	return b.fail(at, errcode.InvalidRecursion, format, args...)
}

// ofItself binds a name that stands in the query that it names.
func (b *Binder) ofItself(c *cte, ref *sql.TableName, blk *block) error {
	r := c.recursion
	switch {
	case b.binding[len(b.binding)-1] != c:
		return b.unsupported(ref.Pos, "mutual recursion between WITH items").WithHint("write them as one query with a column that says which is which")
	case c.union == nil:
		return b.badRecursion(ref.Pos, "recursive query %q does not have the form non-recursive-term UNION [ALL] recursive-term", c.name)
	case r.table == nil:
		return b.badRecursion(ref.Pos, "recursive reference to query %q must not appear within its non-recursive term", c.name)
	case b.nesting > r.nested:
		return b.badRecursion(ref.Pos, "recursive reference to query %q must not appear within a subquery", c.name).WithHint("join with it instead")
	case r.read:
		return b.badRecursion(ref.Pos, "recursive reference to query %q must not appear more than once", c.name)
	}
	r.read = true
	a := ref.Alias
	if a.Name == "" {
		a.Name = c.name
	}
	return b.fromNode(&WorkScan{Table: r.table}, a, a.Name, ref.Pos, blk)
}

// recursiveUnion binds a query of WITH RECURSIVE whose body is a UNION; if its right side does not read it, it is one as any other.
func (b *Binder) recursiveUnion(c *cte, q *sql.Query, s *sql.SetOp) (Node, error) {
	l, err := b.side(s.L)
	if err != nil {
		return nil, err
	}
	cols := slices.Clone(l.Columns())
	if len(c.columns) > len(cols) {
		return nil, b.fail(c.columns[len(cols)].Pos, errcode.Invalid, "WITH query %q has %d columns available but %d columns specified", c.name, len(cols), len(c.columns))
	}
	for i, id := range c.columns {
		cols[i].Name = id.Name
	}
	for i := range cols {
		if cols[i].Type == Unknown {
			cols[i].Type = Text
		}
	}
	c.recursion.table, c.recursion.nested = &WorkTable{Name: c.name, cols: cols}, b.nesting
	r, err := b.side(s.R)
	if err != nil {
		return nil, err
	}
	if !c.recursion.read {
		n, err := b.joinSets(s, l, r)
		if err != nil {
			return nil, err
		}
		return b.finish(n, tailOf(q))
	}
	for clause, at := range map[string]sql.Expr{"LIMIT": q.Limit, "OFFSET": q.Offset} {
		if at != nil {
			return nil, b.fail(at.At(), errcode.NotSupported, "%s in a recursive query is not implemented", clause).WithHint("write it in the query that reads %q", c.name)
		}
	}
	if len(q.OrderBy) > 0 {
		return nil, b.fail(q.OrderBy[0].Expr.At(), errcode.NotSupported, "ORDER BY in a recursive query is not implemented").WithHint("write it in the query that reads %q", c.name)
	}
	both, err := b.matchSets(s, l, r)
	if err != nil {
		return nil, err
	}
	for i, col := range cols {
		if t := both[i].Type; t != col.Type {
			return nil, b.fail(s.Pos, errcode.TypeMismatch, "recursive query %q column %d has type %s in non-recursive term but type %s overall", c.name, i+1, col.Type, t).
				WithHint("cast the output of the non-recursive term to the correct type")
		}
	}
	if where := misplaced(r, c.recursion.table); where != "" {
		if where == "aggregate" {
			return nil, b.badRecursion(s.R.At(), "aggregate functions are not allowed in a recursive query's recursive term")
		}
		return nil, b.badRecursion(s.R.At(), "recursive reference to query %q must not appear within %s", c.name, where)
	}
	return &Recursive{Base: l, Step: keepInputs(b.retype(r, cols)), Distinct: !s.All, Table: c.recursion.table, cols: cols}, nil
}

// misplaced says where below n a table may not be read in a recursion, if it is read there: rows that a round adds must not undo others.
func misplaced(n Node, t *WorkTable) string {
	reads := func(n Node) bool { return readsTable(n, t) }
	switch n := n.(type) {
	case *Join:
		if n.Kind != InnerJoin && n.Kind != RightJoin && reads(n.R) || n.Kind != InnerJoin && n.Kind != LeftJoin && reads(n.L) {
			return "an outer join"
		}
	case *SetOp:
		switch {
		case n.Kind == IntersectAll && reads(n):
			return "INTERSECT"
		case n.Kind == ExceptAll && reads(n), n.Kind == ExceptDistinct && reads(n.R):
			return "EXCEPT"
		}
	case *Aggregation:
		if plainly(n.Input, t) {
			return "aggregate"
		}
	}
	for _, in := range n.inputs() {
		if where := misplaced(in, t); where != "" {
			return where
		}
	}
	return ""
}

func readsTable(n Node, t *WorkTable) bool {
	if w, ok := n.(*WorkScan); ok {
		return w.Table == t
	}
	return slices.ContainsFunc(n.inputs(), func(in Node) bool { return readsTable(in, t) })
}

// plainly says that n reads t in its own FROM, and not in a derived table.
func plainly(n Node, t *WorkTable) bool {
	switch n := n.(type) {
	case *WorkScan:
		return n.Table == t
	case *Filter, *Join:
		return slices.ContainsFunc(n.inputs(), func(in Node) bool { return plainly(in, t) })
	}
	return false
}
