package plan

import "slices"

// AggKind is what an aggregate computes. The numbers are part of the encoding of fragments.
type AggKind uint8

// The kinds.
const (
	AggSum      AggKind = 1 // sum of Arg; NULL for no rows
	AggCells    AggKind = 2 // number of rows: cells of a table
	AggCount    AggKind = 3 // number of rows where Arg is not NULL
	AggDistinct AggKind = 4 // number of different values of Arg that are not NULL
	AggMin      AggKind = 5
	AggMax      AggKind = 6
	AggTest     AggKind = 7 // a test of categories

	// Lists are made at the coordinator only.
	AggArray  AggKind = 64 // the values of Arg as an array, NULLs among them; NULL for no rows
	AggString AggKind = 65 // the texts of Arg, which are not NULL, with Separator between them
)

// Aggregate is one aggregate of a grouping.
type Aggregate struct {
	Kind   AggKind
	Type   Type  // of the result; Record for a test
	Arg    *Expr // of all but AggCells and AggTest
	Filter *Expr // nil: every row

	Separator *Expr     // of AggString
	Order     []*Expr   // of a list: what its elements are sorted by, as Sort says
	Sort      []SortKey // Col is a place in Order
	Distinct  bool      // of a list: each value once

	Test    *Test // of AggTest, as the fields below
	Cats    []*Expr
	Options []Value // in the order of Test.Options
	Weight  *Expr   // observations of a row; nil: the count of a cell
	Mode    Mode    // how a fragment cuts the test
}

// Width is the number of columns of a.
func (a *Aggregate) Width() int {
	if a.Kind == AggTest {
		return len(a.Test.columns)
	}
	return 1
}

func (a *Aggregate) equal(b *Aggregate) bool {
	same := func(x, y *Expr) bool { return x == y || x != nil && y != nil && x.Equal(y) }
	if a.Kind >= AggArray {
		return false
	}
	return a.Kind == b.Kind && a.Type == b.Type && a.Test == b.Test && slices.Equal(a.Options, b.Options) &&
		same(a.Arg, b.Arg) && same(a.Filter, b.Filter) && slices.EqualFunc(a.Cats, b.Cats, same) && same(a.Weight, b.Weight)
}

// exprs lists the expressions of a that are there.
func (a *Aggregate) exprs() []*Expr {
	return slices.DeleteFunc(slices.Concat([]*Expr{a.Arg, a.Filter, a.Weight, a.Separator}, a.Cats, a.Order), func(e *Expr) bool { return e == nil })
}

// aggOffsets gives the column of each aggregate behind keys key columns, and the width of the whole.
func aggOffsets(keys int, aggs []*Aggregate) (at []int, width int) {
	width = keys
	for _, a := range aggs {
		at = append(at, width)
		width += a.Width()
	}
	return at, width
}
