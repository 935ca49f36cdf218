package plan

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
	AggTest     AggKind = 7 // a test of independence of A and B
)

// TestKind is the statistic of a test.
type TestKind uint8

// The tests.
const (
	Pearson TestKind = 1
	G       TestKind = 2
	Yates   TestKind = 3 // Pearson with the continuity correction
)

// String is the name of the SQL function.
func (k TestKind) String() string {
	switch k {
	case G:
		return "g_test"
	case Yates:
		return "chi2_test(correction)"
	}
	return "chi2_test"
}

// Aggregate is one aggregate of a grouping.
type Aggregate struct {
	Kind   AggKind
	Type   Type  // of the result; Record for a test
	Arg    *Expr // of all but AggCells and AggTest
	Filter *Expr // nil: every row

	Test   TestKind // of AggTest, as the fields below
	A, B   *Expr
	Weight *Expr // observations of a row; nil: the count of a cell
}

// The columns of a test, in the order of the record. Those behind RecordWidth are reached by name only.
const (
	FieldStatistic = iota
	FieldDF
	FieldP
	FieldLnP
	FieldMinExpected
	FieldN
	FieldV
	FieldWarning
	RecordWidth
	FieldNull = RecordWidth // observations with a NULL category, which the test leaves out
	TestWidth = RecordWidth + 1
)

// TestColumns are the columns that a test gives.
var TestColumns = []Column{
	{"statistic", Float8}, {"df", Int8}, {"p_value", Float8}, {"ln_p", Float8}, {"min_expected", Float8}, {"n", Int8},
	{"cramers_v", Float8}, {"warning", Text}, {"n_null", Int8},
}

// Width is the number of columns of a.
func (a *Aggregate) Width() int {
	if a.Kind == AggTest {
		return TestWidth
	}
	return 1
}

func (a *Aggregate) equal(b *Aggregate) bool {
	same := func(x, y *Expr) bool { return x == y || x != nil && y != nil && x.Equal(y) }
	return a.Kind == b.Kind && a.Type == b.Type && a.Test == b.Test &&
		same(a.Arg, b.Arg) && same(a.Filter, b.Filter) && same(a.A, b.A) && same(a.B, b.B) && same(a.Weight, b.Weight)
}

// exprs lists the expressions of a that are there.
func (a *Aggregate) exprs() []*Expr {
	var out []*Expr
	for _, e := range []*Expr{a.Arg, a.Filter, a.A, a.B, a.Weight} {
		if e != nil {
			out = append(out, e)
		}
	}
	return out
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
