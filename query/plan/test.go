package plan

import (
	"errors"
	"slices"
	"strings"

	"github.com/quipudb/quipu/query/stats"
	"github.com/quipudb/quipu/server/errcode"
)

// Test is one statistical function of categories: an entry of the lists in the files test_*.go. How it is called, the columns of its
// record, how its work is cut, EXPLAIN and its place in docs/sql.md all follow from the entry. To add a test, add an entry with
// one of three ways to finish:
//
//   - terms, for a statistic that is a sum over the cells of a two-way table, given its margins;
//   - sums, for a statistic that is made of sums which shards add up on their own, in one round or two;
//   - finish, for one that needs all cells at once.
type Test struct {
	Name    string
	Aliases []string // in lower case
	Family  string   // the heading in docs/sql.md
	Cats    []Category
	More    bool // the last category may be repeated
	Options []Option
	Columns []Column // of the record, in order
	Hidden  []Column // reached by name only
	Doc     string
	Example string

	// reshape turns the cells of the categories into those of the two-way table that is tested; nil: they are the same.
	reshape func(*Cells) *Cells
	// whole lists the categories whose dimensions, with those of GROUP BY, must hold the partition key for terms and sums to be added up
	// shard by shard. Sums with an empty list add up however cells are cut.
	whole  []int
	terms  *terms
	sums   *sums
	finish func(a *Aggregate, c *Cells) ([]Value, error)

	columns []Column // Columns, Hidden and n_null
}

// Category is what a test asks of one of its categories.
type Category struct {
	Name string
	Kind CategoryKind
}

// CategoryKind says which values a category may have.
type CategoryKind uint8

// The kinds of categories.
const (
	Nominal   CategoryKind = iota // any values, without an order
	Sided                         // any values; the greater one comes first in a 2 x 2 table
	Ordered                       // numbers, times, booleans, or texts of a declared order
	Scored                        // whole numbers, times, booleans, or texts of a declared order, which have their places as scores
	Condition                     // true or false
)

// Option is a named argument of a test that does not vary from row to row.
type Option struct {
	Name    string
	Type    Type
	Default Value
	Words   []string // that a text may be; nil: any
	Doc     string

	check func(Value) error // of a value that is not NULL
}

// Scalar is a function that gives one column of a test.
type Scalar struct {
	Name    string
	Aliases []string
	Of      string // name of the test
	Column  string
	Doc     string
}

// Cells are the occupied cells of a test: in dimension d cell k has the category Values[d][At[d][k]].
type Cells struct {
	Values [][]Value
	At     [][]uint32
	Count  []int64 // above 0
	Null   int64   // observations with a NULL category, which are not among the cells
}

// NewCells are no cells of the given number of dimensions.
func NewCells(dims int) *Cells {
	return &Cells{Values: make([][]Value, dims), At: make([][]uint32, dims)}
}

// Triples are the cells of a two-way table.
func (c *Cells) Triples() stats.Triples {
	return stats.Triples{Row: c.At[0], Col: c.At[1], Count: c.Count}
}

// terms is how a two-way test is finished from sums of terms over its cells.
type terms struct {
	kinds  func(a *Aggregate) stats.Kinds // 0: not with these options
	maxima bool                           // the greatest counts of rows and columns are needed, too
	finish func(a *Aggregate, t *Terms) ([]Value, error)
}

// Terms are the sums of a two-way test over all shards.
type Terms struct {
	Frame   *stats.Frame
	Partial *stats.Partial
	Maxima  *stats.Maxima // nil unless the test needs them
	Null    int64
}

// Sums are what a test adds up on each shard. They merge in any order.
type Sums interface {
	// Add takes in the cells of one shard.
	Add(c *Cells) error
	// Merge takes in the sums of another shard, which are of the same test.
	Merge(o Sums) error
	AppendBinary(b []byte) ([]byte, error)
	UnmarshalBinary(b []byte) error
}

// sums is how a test is finished from Sums.
type sums struct {
	begin  func(a *Aggregate) Sums
	second func(a *Aggregate, first Sums) Sums // sums of a second round, given the first over all shards; nil: there is one round
	finish func(a *Aggregate, first, second Sums, null int64) ([]Value, error)
}

// mergeable is a pointer to sums of query/stats.
type mergeable[T any] interface {
	*T
	Merge(*T) error
	AppendBinary(b []byte) ([]byte, error)
	UnmarshalBinary(b []byte) error
}

// summed makes Sums of sums of query/stats.
type summed[T any, P mergeable[T]] struct {
	P   P
	add func(P, *Cells) error
}

func (s *summed[T, P]) Add(c *Cells) error                    { return s.add(s.P, c) }
func (s *summed[T, P]) Merge(o Sums) error                    { return s.P.Merge(o.(*summed[T, P]).P) }
func (s *summed[T, P]) AppendBinary(b []byte) ([]byte, error) { return s.P.AppendBinary(b) }
func (s *summed[T, P]) UnmarshalBinary(b []byte) error        { return s.P.UnmarshalBinary(b) }

// statistics is what the wrapper holds.
func statistics[T any, P mergeable[T]](s Sums) P { return s.(*summed[T, P]).P }

// The tests by name and alias; built once, never changed.
var (
	allTests = slices.Concat(independenceTests, exactTests, fourfoldTests, oneWayTests, pairedTests, strataTests, ordinalTests, changeTests, anytimeTests)
	scalars  = slices.Concat(independenceScalars, exactScalars, fourfoldScalars, oneWayScalars, pairedScalars, strataScalars, ordinalScalars, changeScalars)

	testsByName   = map[string]*Test{}
	scalarsByName = map[string]*Scalar{}
	_             = registerTests()
)

func registerTests() struct{} {
	for _, t := range allTests {
		t.columns = slices.Concat(t.Columns, t.Hidden, []Column{{"n_null", Int8}})
		for _, name := range append(t.Aliases, t.Name) {
			testsByName[name] = t
		}
	}
	for i := range scalars {
		for _, name := range append(scalars[i].Aliases, scalars[i].Name) {
			scalarsByName[name] = &scalars[i]
		}
	}
	return struct{}{}
}

// Tests lists every test, by family.
func Tests() []*Test { return allTests }

// Scalars lists the functions that give one column of a test.
func Scalars() []Scalar { return scalars }

// TestByName finds a test by its name.
func TestByName(name string) *Test { return testsByName[name] }

// column is the place of a column of the record, or −1.
func (t *Test) column(name string) int {
	return slices.IndexFunc(t.columns, func(c Column) bool { return c.Name == name })
}

// Signature shows how the test is called.
func (t *Test) Signature() string {
	var b strings.Builder
	b.WriteString(t.Name + "(")
	for i, c := range t.Cats {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(c.Name)
	}
	if t.More {
		b.WriteString(", …")
	}
	for _, o := range t.Options {
		b.WriteString(" [, " + o.Name + " => " + o.spelled() + "]")
	}
	return b.String() + ")"
}

// spelled is the default of an option as SQL.
func (o *Option) spelled() string {
	switch {
	case o.Default.IsNull():
		return "NULL"
	case o.Type == Text:
		return "'" + o.Default.Text() + "'"
	case o.Type == Bool:
		return map[bool]string{true: "true", false: "false"}[o.Default.Bool()]
	}
	return o.Default.String()
}

// defaults are the options that are not given.
func (t *Test) defaults() []Value {
	out := make([]Value, len(t.Options))
	for i, o := range t.Options {
		out[i] = o.Default
	}
	return out
}

// option is the value of an option of a test.
func (a *Aggregate) option(name string) Value {
	for i, o := range a.Test.Options {
		if o.Name == name {
			return a.Options[i]
		}
	}
	return Null
}

// Kinds are the terms that a shard adds up for a test; 0 if it has none.
func (a *Aggregate) Kinds() stats.Kinds {
	if a.Test.terms == nil {
		return 0
	}
	return a.Test.terms.kinds(a)
}

// Maxima says whether the greatest counts of rows and columns go with the terms.
func (a *Aggregate) Maxima() bool { return a.Test.terms != nil && a.Test.terms.maxima }

// Plain says whether the cells of the test are those of its two categories.
func (a *Aggregate) Plain() bool { return a.Test.reshape == nil && len(a.Cats) == 2 }

// Streams says whether the test can be computed in two passes over cells that are those of the table, with nothing kept for each cell.
func (a *Aggregate) Streams() bool {
	return a.Kinds() != 0 && !a.Maxima() && a.Plain() && (a.Mode == ModeLocal || a.Mode == ModeMargins)
}

// CellDims is the number of dimensions of the cells that are tested.
func (a *Aggregate) CellDims() int {
	if a.Test.reshape != nil {
		return 2
	}
	return len(a.Cats)
}

// Reshape gives the cells that are tested.
func (a *Aggregate) Reshape(c *Cells) *Cells {
	if a.Test.reshape == nil {
		return c
	}
	return a.Test.reshape(c)
}

// NewSums makes the sums of the first round, or with those of the first round over all shards, of the second one; nil if there is none.
func (a *Aggregate) NewSums(first Sums) Sums {
	switch s := a.Test.sums; {
	case s == nil:
		return nil
	case first == nil:
		return s.begin(a)
	case s.second != nil:
		return s.second(a, first)
	}
	return nil
}

// FinishCells gives the record of a test from all its cells, which are reshaped.
func (a *Aggregate) FinishCells(c *Cells) ([]Value, error) {
	t := a.Test
	switch {
	case a.Kinds() != 0:
		return a.finishByTerms(c)
	case t.sums != nil:
		return a.finishBySums(c)
	case len(c.Count) == 0:
		return a.nothing(c.Null), nil
	}
	row, err := t.finish(a, c)
	return a.done(row, err, c.Null)
}

func (a *Aggregate) finishByTerms(c *Cells) ([]Value, error) {
	m := stats.NewMargins(len(c.Values[0]), len(c.Values[1]))
	if err := m.AddCells(c.Triples()); err != nil {
		return nil, a.fault(err)
	}
	t := &Terms{Frame: m.Frame(), Null: c.Null}
	t.Partial = stats.NewPartial(t.Frame, a.Kinds())
	t.Partial.AddCells(t.Frame, c.Triples())
	if a.Maxima() {
		t.Maxima = stats.NewMaxima(len(c.Values[0]), len(c.Values[1]))
		for k, n := range c.Count {
			t.Maxima.Add(int(c.At[0][k]), int(c.At[1][k]), uint64(n))
		}
	}
	return a.FinishTerms(t)
}

func (a *Aggregate) finishBySums(c *Cells) ([]Value, error) {
	first := a.NewSums(nil)
	if err := first.Add(c); err != nil {
		return nil, a.fault(err)
	}
	second := a.NewSums(first)
	if second != nil {
		if err := second.Add(c); err != nil {
			return nil, a.fault(err)
		}
	}
	return a.FinishSums(first, second, c.Null)
}

// FinishTerms gives the record of a test from its terms.
func (a *Aggregate) FinishTerms(t *Terms) ([]Value, error) {
	if t.Frame.N() == 0 {
		return a.nothing(t.Null), nil
	}
	row, err := a.Test.terms.finish(a, t)
	return a.done(row, err, t.Null)
}

// FinishSums gives the record of a test from its sums; second is nil for a test of one round.
func (a *Aggregate) FinishSums(first, second Sums, null int64) ([]Value, error) {
	row, err := a.Test.sums.finish(a, first, second, null)
	return a.done(row, err, null)
}

// done adds n_null to a record.
func (a *Aggregate) done(row []Value, err error, null int64) ([]Value, error) {
	if errors.Is(err, stats.ErrEmpty) {
		return a.nothing(null), nil
	}
	if err != nil {
		return nil, a.fault(err)
	}
	out := make([]Value, len(a.Test.columns))
	copy(out, row)
	out[len(out)-1] = IntValue(null)
	return out, nil
}

// nothing is the record where there is nothing to test.
func (a *Aggregate) nothing(null int64) []Value {
	out := make([]Value, len(a.Test.columns))
	if i := a.Test.column("n"); i >= 0 {
		out[i] = IntValue(0)
	}
	if i := a.Test.column("warning"); i >= 0 {
		out[i] = TextValue("no_observations")
	}
	out[len(out)-1] = IntValue(null)
	return out
}

// Summed gives an error of its sums the words of the test.
func (a *Aggregate) Summed(err error) error {
	if err == nil {
		return nil
	}
	return a.fault(err)
}

// fault gives an error of the statistics its code.
func (a *Aggregate) fault(err error) error {
	switch {
	case errors.Is(err, stats.ErrOverflow):
		return errcode.New(errcode.NumericOutOfRange, "the counts of a test add up to more than 18446744073709551615: %w", err)
	case errors.Is(err, stats.ErrArgument), errors.Is(err, stats.ErrShape):
		return errcode.New(errcode.InvalidOption, "%s: %s", a.Test.Name, strings.TrimPrefix(err.Error(), "stats: "))
	}
	return err
}

// Column is a column of the record of a test.
func (a *Aggregate) Column(record []Value, name string) Value { return record[a.Test.column(name)] }

// Warning is the warning in the record of a test, or nothing.
func (a *Aggregate) Warning(record []Value) string {
	if i := a.Test.column("warning"); i >= 0 && !record[i].IsNull() {
		return record[i].Text()
	}
	return ""
}

// ChiSquare is the statistic, the degrees of freedom and the least expected count in the record of a test that refers Pearson's statistic
// of a table to the chi-square distribution; ok is false for other tests, and where the table has none.
func (a *Aggregate) ChiSquare(record []Value) (statistic, df, minExpected float64, ok bool) {
	if a.Test.Name != "chi2_test" || a.option("correction").Bool() {
		return 0, 0, 0, false
	}
	x2, d, e := a.Column(record, "statistic"), a.Column(record, "df"), a.Column(record, "min_expected")
	if x2.IsNull() || d.IsNull() || e.IsNull() {
		return 0, 0, 0, false
	}
	return x2.Float(), float64(d.Int()), e.Float(), true
}
