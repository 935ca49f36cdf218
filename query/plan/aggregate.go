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

	// The others are made at the coordinator only.
	AggArray  AggKind = 64 // the values of Arg as an array, NULLs among them; NULL for no rows
	AggString AggKind = 65 // the texts of Arg, which are not NULL, with Separator between them
	// AggOrdered is the ordered-set aggregate Name of the values of Arg that are not NULL, in the order of Sort.
	AggOrdered AggKind = 66

	AggVarPop  AggKind = 72 // variance of the values of Arg, a number, divided by their number n
	AggVarSamp AggKind = 73 // the same divided by n − 1; NULL for fewer than two
	AggBitAnd  AggKind = 74 // the bits that all values of Arg, an int8, have; NULL for no rows
	AggBitOr   AggKind = 75 // the bits that one of them has
	AggBitXor  AggKind = 76 // the bits that an odd number of them have
)

// IsList says whether a keeps every value that it is given.
func (a *Aggregate) IsList() bool {
	return a.Kind == AggArray || a.Kind == AggString || a.Kind == AggOrdered
}

// Aggregate is one aggregate of a grouping.
type Aggregate struct {
	Kind   AggKind
	Type   Type  // of the result; Record for a test
	Arg    *Expr // of all but AggCells and AggTest
	Filter *Expr // nil: every row

	Separator *Expr     // of AggString
	Order     []*Expr   // of a list: what its elements are sorted by, as Sort says
	Sort      []SortKey // Col is a place in Order
	Distinct  bool      // each value once, at the coordinator; AggDistinct is a kind of its own, which shards know

	Name     string // of AggOrdered, as the field below
	Fraction Value  // of a percentile

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
	if a.IsList() {
		return false
	}
	return a.Kind == b.Kind && a.Type == b.Type && a.Distinct == b.Distinct && a.Test == b.Test && slices.Equal(a.Options, b.Options) &&
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
