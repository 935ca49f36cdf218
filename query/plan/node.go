package plan

import (
	"github.com/quipudb/quipu/query/stats"
	"github.com/quipudb/quipu/server/errcode"
	"github.com/quipudb/quipu/storage/schema"
)

// Node is one step of the work of the coordinator: *Scan, *Grouped, *Crosstab, *Screen, *Rows, *Settings, *Filter, *Aggregation, *Project,
// *Sort, *Limit, *Distinct, *SetOp, *Join, *Window, *Kept, *Functions, *System, *GroupingSets, *Recursive, *WorkScan. Each gives rows with its Columns.
type Node interface {
	Columns() []Column
	inputs() []Node
}

// Scan gives the cells of a table: every dimension, ts and count, in that order. Dimensions that nobody reads are NULL.
type Scan struct {
	Fragment *Fragment
	table    *schema.Table
	cols     []Column
}

// Grouped gives the groups of a fragment: its keys, then the columns of its aggregates.
type Grouped struct {
	Fragment *Fragment
	table    *schema.Table
	cols     []Column
}

// Crosstab gives the cells of the one table of the fragment's one test, in the order of their categories: row, col, count,
// expected, residual, adjusted_residual, deviance_residual, and the p-value of the adjusted residual, also corrected for all cells. Every
// combination of the categories is shown, unless there are too many.
type Crosstab struct {
	Fragment   *Fragment
	Correction stats.Adjustment
	// Ranks put the categories in the declared order of their dimension; nil: the order of their type.
	RowOrder, ColOrder []string
	cols               []Column
}

// Screen gives the tests of a fragment, each of a dimension in a group, as rows: the first Top by ln p, corrected for all of them.
type Screen struct {
	Fragment   *Fragment
	Dims       []string // by test
	Correction stats.Adjustment
	Top        int
	cols       []Column
}

// Rows is VALUES, or the one empty row of a SELECT without FROM.
type Rows struct {
	Rows [][]*Expr
	cols []Column
}

// Filter keeps the rows for which Cond is true.
type Filter struct {
	Input Node
	Cond  *Expr
}

// Aggregation groups rows at the coordinator: its keys, then the columns of its aggregates. Without keys there is one row.
type Aggregation struct {
	Input Node
	Keys  []*Expr
	Aggs  []*Aggregate
	// Sets are the grouping sets that each row belongs to, laid out as GroupingSets has them; nil: one of all keys.
	Sets []GroupingSet
	cols []Column
}

// Project computes the columns of a result.
type Project struct {
	Input Node
	Exprs []*Expr
	cols  []Column
}

// SortKey is one key of a Sort.
type SortKey struct {
	Col        int
	Desc       bool
	NullsFirst bool
}

// Sort orders rows. Keep is how many rows of the front are asked for, −1 for all.
type Sort struct {
	Input Node
	Keys  []SortKey
	Keep  int64
}

// Limit passes on Count rows (−1: all) after the first Offset. With Ties, rows that are equal to the last one by Keys follow.
type Limit struct {
	Input         Node
	Count, Offset int64
	// CountOf and OffsetOf give the two when the rows are asked for, NULL meaning all and none; nil: they are known.
	CountOf, OffsetOf *Expr
	Ties              []SortKey
}

// Bounds are the rows that the limit passes on now, and those that it skips.
func (n *Limit) Bounds() (count, offset int64, err error) {
	count, offset = n.Count, n.Offset
	for _, b := range []struct {
		of   *Expr
		to   *int64
		what string
	}{{n.CountOf, &count, "LIMIT"}, {n.OffsetOf, &offset, "OFFSET"}} {
		if b.of == nil {
			continue
		}
		v, err := b.of.Eval(nil)
		switch {
		case err != nil:
			return 0, 0, err
		case v.IsNull():
		case v.Int() < 0:
			return 0, 0, errcode.New(errcode.InvalidOption, "%s must not be negative", b.what)
		default:
			*b.to = v.Int()
		}
	}
	return count, offset, nil
}

// Distinct drops rows that were there before; only the columns On are compared.
type Distinct struct {
	Input Node
	On    []int
}

// Cut keeps the first Width columns: it drops what only a Sort needed.
type Cut struct {
	Input Node
	Width int
}

// SetKind is the operator of a SetOp.
type SetKind uint8

// The set operators.
const (
	UnionAll SetKind = iota + 1
	UnionDistinct
	IntersectAll
	IntersectDistinct
	ExceptAll
	ExceptDistinct
)

// SetOp joins the rows of two inputs of the same types.
type SetOp struct {
	L, R Node
	Kind SetKind
	cols []Column
}

func (n *Scan) Columns() []Column        { return n.cols }
func (n *Grouped) Columns() []Column     { return n.cols }
func (n *Crosstab) Columns() []Column    { return n.cols }
func (n *Screen) Columns() []Column      { return n.cols }
func (n *Rows) Columns() []Column        { return n.cols }
func (n *Filter) Columns() []Column      { return n.Input.Columns() }
func (n *Aggregation) Columns() []Column { return n.cols }
func (n *Project) Columns() []Column     { return n.cols }
func (n *Sort) Columns() []Column        { return n.Input.Columns() }
func (n *Limit) Columns() []Column       { return n.Input.Columns() }
func (n *Distinct) Columns() []Column    { return n.Input.Columns() }
func (n *Cut) Columns() []Column         { return n.Input.Columns()[:n.Width] }
func (n *SetOp) Columns() []Column       { return n.cols }

func (n *Scan) inputs() []Node        { return nil }
func (n *Grouped) inputs() []Node     { return nil }
func (n *Crosstab) inputs() []Node    { return nil }
func (n *Screen) inputs() []Node      { return nil }
func (n *Rows) inputs() []Node        { return nil }
func (n *Filter) inputs() []Node      { return []Node{n.Input} }
func (n *Aggregation) inputs() []Node { return []Node{n.Input} }
func (n *Project) inputs() []Node     { return []Node{n.Input} }
func (n *Sort) inputs() []Node        { return []Node{n.Input} }
func (n *Limit) inputs() []Node       { return []Node{n.Input} }
func (n *Distinct) inputs() []Node    { return []Node{n.Input} }
func (n *Cut) inputs() []Node         { return []Node{n.Input} }
func (n *SetOp) inputs() []Node       { return []Node{n.L, n.R} }

// Query is a bound SELECT.
type Query struct {
	Root    Node
	Columns []Column

	Subqueries []*Subquery
	Runner     *Runner // of the subqueries

	filled *filled // nil: it is from no template, or its template cannot fill it again
}

// Shards lists the shards that the query reads, each once; nil means all of them, as where several tables are read. any is false for a query
// without tables.
func (q *Query) Shards() (shards []schema.ShardID, any bool) {
	var one *Fragment
	n := 0
	visit := func(f *Fragment) {
		one = f
		n++
	}
	eachFragment(q.Root, visit)
	for _, s := range q.Subqueries {
		if s.Kind != SubLateral { // whose root is in the tree
			eachFragment(s.Root, visit)
		}
	}
	if n == 1 {
		return one.Shards, true
	}
	return nil, n > 0
}

// eachFragment visits the shards' share of the work below n.
func eachFragment(n Node, visit func(*Fragment)) {
	switch n := n.(type) {
	case *Scan:
		visit(n.Fragment)
	case *Grouped:
		visit(n.Fragment)
	case *Crosstab:
		visit(n.Fragment)
	case *Screen:
		visit(n.Fragment)
	case *Project:
		eachFragment(n.Input, visit)
	case *Rows:
	default:
		for _, in := range n.inputs() {
			eachFragment(in, visit)
		}
	}
}
