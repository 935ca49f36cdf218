package plan

import (
	"cmp"
	"encoding/binary"
	"errors"
	"slices"

	"github.com/quipudb/quipu/query/stats"
	"github.com/quipudb/quipu/server/errcode"
)

const strataFamily = "Two categories in strata"

// inStrata are the categories of 2 x 2 tables, one in each stratum.
var inStrata = []Category{{"a", Sided}, {"b", Sided}, {"strata", Nominal}}

var intervalColumns = []Column{{"low", Float8}, {"high", Float8}}

var strataTests = []*Test{
	{
		Name: "cmh_test", Aliases: []string{"mantelhaen_test"}, Family: strataFamily,
		Cats: inStrata, Options: []Option{correctionOption}, Columns: measured("odds_ratio", intervalColumns...),
		Doc: "Cochran, Mantel and Haenszel's test of an association of `a` and `b` within strata, for 2 x 2 tables; `odds_ratio` is the common one, " +
			"with its 95 % interval",
		Example: "SELECT cmh_test(gender, admitted, dept) FROM admissions",
		whole:   []int{2},
		sums: &sums{begin: beginStrata, finish: func(a *Aggregate, first, _ Sums, _ int64) ([]Value, error) {
			finish := first.(*strataSums).s.CMH
			if a.option("correction").Bool() {
				finish = first.(*strataSums).s.CMHCorrected
			}
			return intervalRecord(finish())
		}},
	},
	{
		Name: "mantel_haenszel", Family: strataFamily,
		Cats: inStrata, Options: []Option{levelOption},
		Columns: []Column{{"odds_ratio", Float8}, {"low", Float8}, {"high", Float8}, {"ln_se", Float8}},
		Doc:     "common odds ratio of 2 x 2 tables in strata, with the interval of Robins, Breslow and Greenland; `ln_se` is the standard error of its logarithm",
		Example: "SELECT mantel_haenszel(gender, admitted, dept) FROM admissions",
		whole:   []int{2},
		sums: &sums{begin: beginStrata, finish: func(a *Aggregate, first, _ Sums, _ int64) ([]Value, error) {
			m, err := first.(*strataSums).s.MantelHaenszel(a.option("level").Float())
			low, high := limits(m)
			return []Value{measureValue(m), low, high, errorValue(m)}, err
		}},
	},
	{
		Name: "breslow_day_test", Family: strataFamily,
		Cats: inStrata, Options: []Option{{Name: "tarone", Type: Bool, Default: BoolValue(true), Doc: "correct the statistic as Tarone does"}},
		Columns: plainColumns,
		Doc:     "test of one common odds ratio over strata",
		Example: "SELECT breslow_day_test(gender, admitted, dept) FROM admissions",
		whole:   []int{2},
		sums: &sums{begin: beginStrata, second: secondStrata, finish: func(a *Aggregate, first, second Sums, _ int64) ([]Value, error) {
			finish := (*stats.StrataSums).BreslowDay
			if a.option("tarone").Bool() {
				finish = (*stats.StrataSums).BreslowDayTarone
			}
			return plainRecord(finish(&first.(*strataSums).s, second.(*homogeneitySums).h))
		}},
	},
	{
		Name: "woolf_test", Family: strataFamily,
		Cats: inStrata, Columns: measured("odds_ratio", intervalColumns...),
		Doc:     "Woolf's test of one common odds ratio over strata; `odds_ratio` is the pooled one, with its 95 % interval",
		Example: "SELECT woolf_test(gender, admitted, dept) FROM admissions",
		whole:   []int{2},
		sums: &sums{begin: beginStrata, second: secondStrata, finish: func(_ *Aggregate, first, second Sums, _ int64) ([]Value, error) {
			return intervalRecord(first.(*strataSums).s.Woolf(second.(*homogeneitySums).h))
		}},
	},
	{
		Name: "exact_conditional_test", Family: strataFamily,
		Cats: inStrata, Columns: exactColumns("odds_ratio"),
		Doc:     "exact test of a common odds ratio of 1 over strata, given all margins",
		Example: "SELECT exact_conditional_test(treated, cured, site) FROM trial",
		finish: func(_ *Aggregate, c *Cells) ([]Value, error) {
			tables, err := fourfolds(c, sidesOf(c, 0), sidesOf(c, 1))
			if err != nil {
				return nil, err
			}
			ordered := make([]stats.Fourfold, len(tables)) // the last bits depend on the order
			for s, place := range inOrder(c.Values[2]) {
				ordered[place] = tables[s]
			}
			return exactRecord(stats.ExactConditional(ordered))
		},
	},
	{
		Name: "general_cmh_test", Family: strataFamily,
		Cats: []Category{{"a", Nominal}, {"b", Nominal}, {"strata", Nominal}}, Columns: plainColumns,
		Doc:     "Landis, Heyman and Koch's test of any association of `a` and `b` within strata, for tables of any shape",
		Example: "SELECT general_cmh_test(dose, relief, site) FROM trial",
		whole:   []int{2},
		sums: generalSums(func(_ *Aggregate, g *stats.GeneralSums, _ *levelTotals) ([]Value, error) {
			x, err := g.Finish(nil, nil)
			return plainRecord(x.General, err)
		}),
	},
	{
		Name: "ordinal_cmh_test", Family: strataFamily,
		Cats: []Category{{"a", Scored}, {"b", Scored}, {"strata", Nominal}}, Columns: plainColumns,
		Options: []Option{{Name: "alternative", Type: Text, Default: TextValue("correlation"), Words: []string{"correlation", "row_means", "col_means"},
			Doc: "what is tested within strata: the scores of `a` and `b` are correlated, the mean scores of `b` differ between values of `a`, or the other way round"}},
		Doc:     "Landis, Heyman and Koch's tests within strata for categories with scores",
		Example: "SELECT ordinal_cmh_test(dose, relief, site) FROM trial",
		whole:   []int{2},
		sums:    generalSums(finishOrdinalCMH),
	},
	{
		Name: "loglinear_test", Family: strataFamily,
		Cats: []Category{{"a", Nominal}, {"b", Nominal}, {"c", Nominal}},
		Options: []Option{{Name: "model", Type: Text, Default: TextValue("[AB][AC][BC]"), Doc: "the margins that the model reproduces, in brackets", check: func(v Value) error {
			if _, err := stats.ParseModel(v.Text()); err != nil {
				return errcode.New(errcode.InvalidOption, "model %q cannot be read", clipText(v.Text())).WithHint("write margins of A, B and C, as in [AB][C]")
			}
			return nil
		}}},
		Columns: []Column{{"g2", Float8}, {"df", Int8}, {"p_value", Float8}, {"ln_p", Float8}, {"x2", Float8}, {"x2_p_value", Float8}, {"x2_ln_p", Float8},
			{"n", Int8}, {"warning", Text}},
		Doc:     "fit of a log-linear model of three categories: likelihood ratio and Pearson's statistic against the saturated model",
		Example: "SELECT loglinear_test(gender, admitted, dept, model => '[AB][AC][BC]') FROM admissions",
		finish: func(a *Aggregate, c *Cells) ([]Value, error) {
			s, err := strataOf(c)
			if err != nil {
				return nil, err
			}
			m, err := stats.ParseModel(a.option("model").Text())
			if err != nil {
				return nil, err
			}
			fit, err := stats.LogLinear(s, m)
			if err != nil {
				return nil, err
			}
			g, x := fit.G2, fit.X2
			return []Value{FloatValue(g.Statistic), IntValue(g.DF), FloatValue(g.P), FloatValue(g.LnP), FloatValue(x.Statistic), FloatValue(x.P), FloatValue(x.LnP),
				sizeValue(g.N), warningValue(g)}, nil
		},
	},
}

var strataScalars = []Scalar{
	{Name: "mantel_haenszel_odds_ratio", Of: "mantel_haenszel", Column: "odds_ratio", Doc: "the common odds ratio"},
	{Name: "cmh_p", Of: "cmh_test", Column: "p_value", Doc: "p-value of the test"},
}

// plainColumns are those of a Result without an effect.
var plainColumns = []Column{{"statistic", Float8}, {"df", Int8}, {"p_value", Float8}, {"ln_p", Float8}, {"n", Int8}, {"warning", Text}}

func plainRecord(r stats.Result, err error) ([]Value, error) {
	return []Value{FloatValue(r.Statistic), dfValue(r.DF), FloatValue(r.P), FloatValue(r.LnP), sizeValue(r.N), warningValue(r)}, err
}

// intervalRecord is that of an effect with its interval.
func intervalRecord(r stats.Result, err error) ([]Value, error) {
	low, high := limits(r.Effect)
	return measuredRecord(r, low, high), err
}

func errorValue(m stats.Measure) Value {
	if !m.Defined || !m.HasSE {
		return Null
	}
	return FloatValue(m.SE)
}

// sides are the values of one side of a 2 x 2 table, the greater one first. Of booleans both are always there.
type sides []Value

// sidesOf are the sides of dimension d of cells.
func sidesOf(c *Cells, d int) sides { return sides(nil).with(c.Values[d]) }

// with adds values.
func (s sides) with(values []Value) sides {
	s = slices.Clone(s)
	for _, v := range values {
		if v.Type == Bool {
			return sides{BoolValue(true), BoolValue(false)}
		}
		if !slices.Contains(s, v) {
			s = append(s, v)
		}
	}
	slices.SortFunc(s, func(a, b Value) int { return Compare(b, a) })
	return s
}

// notFourfold is the error of categories with more than two values.
func notFourfold(rows, cols sides) error {
	if len(rows) <= 2 && len(cols) <= 2 {
		return nil
	}
	return errcode.New(errcode.InvalidOption, "a 2 x 2 table is needed, this one is %d x %d", len(rows), len(cols)).
		WithHint("compare a category with one of its values, as in admitted = 'yes'")
}

// fourfolds are the 2 x 2 tables of cells, one for each value of their third dimension, in its order; without a third one there is one.
func fourfolds(c *Cells, rows, cols sides) ([]stats.Fourfold, error) {
	if err := notFourfold(rows, cols); err != nil {
		return nil, err
	}
	strata := 1
	if len(c.At) > 2 {
		strata = len(c.Values[2])
	}
	counts := make([][4]int64, strata)
	for k, n := range c.Count {
		i := slices.Index(rows, c.Values[0][c.At[0][k]])
		j := slices.Index(cols, c.Values[1][c.At[1][k]])
		s := 0
		if len(c.At) > 2 {
			s = int(c.At[2][k])
		}
		counts[s][2*i+j] += n
	}
	out := make([]stats.Fourfold, strata)
	for s, t := range counts {
		var err error
		if out[s], err = stats.NewFourfold(t[0], t[1], t[2], t[3]); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// strataOf are the tables of cells for each value of their third dimension. Rows and columns are in the order of their values.
func strataOf(c *Cells) (*stats.Strata, error) {
	rows, cols, strata := inOrder(c.Values[0]), inOrder(c.Values[1]), len(c.Values[2])
	width := len(rows) * len(cols)
	if width*strata > strataMax {
		return nil, errcode.New(errcode.TooLarge, "the test has %d strata of %d x %d cells, more than %d cells in all", strata, len(rows), len(cols), strataMax)
	}
	counts := make([]int64, width*strata)
	for k, n := range c.Count {
		counts[int(c.At[2][k])*width+rows[c.At[0][k]]*len(cols)+cols[c.At[1][k]]] += n
	}
	tables := make([]*stats.Table, strata)
	for s := range tables {
		var err error
		if tables[s], err = stats.NewTable(len(rows), len(cols), counts[s*width:(s+1)*width]); err != nil {
			return nil, err
		}
	}
	return stats.NewStrata(tables...)
}

// strataMax bounds the cells of tables in strata that are held at once, empty ones included.
const strataMax = 1 << 22

// inOrder gives each value its place in the order of values.
func inOrder(values []Value) []int {
	at := make([]int, len(values))
	for i := range at {
		at[i] = i
	}
	slices.SortFunc(at, func(a, b int) int { return Compare(values[a], values[b]) })
	place := make([]int, len(values))
	for p, i := range at {
		place[i] = p
	}
	return place
}

func finishOrdinalCMH(a *Aggregate, sums *stats.GeneralSums, levels *levelTotals) ([]Value, error) {
	g, err := sums.Finish(scoresOf(levels.values[0]), scoresOf(levels.values[1]))
	switch a.option("alternative").Text() {
	case "row_means":
		return plainRecord(g.RowMeans, err)
	case "col_means":
		return plainRecord(g.ColMeans, err)
	}
	return plainRecord(g.Linear, err)
}

// score is the score of a category.
func score(v Value) int64 { return v.num }

// scoresOf are the scores of values in their order.
func scoresOf(values []Value) []int64 {
	out := make([]int64, len(values))
	for i, v := range values {
		out[i] = score(v)
	}
	slices.SortFunc(out, cmp.Compare)
	return out
}

// strataSums are the sums over 2 x 2 tables of strata that are whole here, with the values that the tables have.
type strataSums struct {
	rows, cols sides
	s          stats.StrataSums
}

func beginStrata(*Aggregate) Sums { return &strataSums{} }

func (x *strataSums) Add(c *Cells) error {
	x.rows, x.cols = x.rows.with(c.Values[0]), x.cols.with(c.Values[1])
	tables, err := fourfolds(c, x.rows, x.cols)
	if err != nil {
		return err
	}
	for _, f := range tables {
		if err := x.s.Add(f); err != nil {
			return err
		}
	}
	return nil
}

func (x *strataSums) Merge(o Sums) error {
	other := o.(*strataSums)
	x.rows, x.cols = x.rows.with(other.rows), x.cols.with(other.cols)
	if err := notFourfold(x.rows, x.cols); err != nil {
		return err
	}
	return x.s.Merge(&other.s)
}

// AppendBinary appends the values of the rows and of the columns, then the sums.
func (x *strataSums) AppendBinary(b []byte) ([]byte, error) {
	return x.s.AppendBinary(appendValues(appendValues(b, x.rows), x.cols))
}

func (x *strataSums) UnmarshalBinary(b []byte) error {
	var got strataSums
	var err error
	var values []Value
	if values, b, err = readValues(b); err != nil {
		return err
	}
	got.rows = values
	if values, b, err = readValues(b); err != nil {
		return err
	}
	got.cols = values
	if err := got.s.UnmarshalBinary(b); err != nil {
		return err
	}
	*x = got
	return nil
}

// homogeneitySums are the second round over strata.
type homogeneitySums struct {
	first *strataSums
	h     *stats.HomogeneitySums
}

func secondStrata(_ *Aggregate, first Sums) Sums {
	s := first.(*strataSums)
	return &homogeneitySums{s, stats.NewHomogeneitySums(&s.s)}
}

func (x *homogeneitySums) Add(c *Cells) error {
	tables, err := fourfolds(c, x.first.rows, x.first.cols)
	for _, f := range tables {
		x.h.Add(f)
	}
	return err
}

func (x *homogeneitySums) Merge(o Sums) error                    { return x.h.Merge(o.(*homogeneitySums).h) }
func (x *homogeneitySums) AppendBinary(b []byte) ([]byte, error) { return x.h.AppendBinary(b) }
func (x *homogeneitySums) UnmarshalBinary(b []byte) error        { return x.h.UnmarshalBinary(b) }

var errValues = errors.New("values cannot be read")

// appendValues appends values: how many, then of each its type, its number and its text.
func appendValues(b []byte, values []Value) []byte {
	b = binary.AppendUvarint(b, uint64(len(values)))
	for _, v := range values {
		b = append(b, byte(v.Type))
		b = binary.AppendVarint(b, v.num)
		b = binary.AppendUvarint(b, uint64(len(v.str)))
		b = append(b, v.str...)
	}
	return b
}

// readValues reads what appendValues wrote and gives what follows.
func readValues(b []byte) ([]Value, []byte, error) {
	n, size := binary.Uvarint(b)
	if size <= 0 || n > uint64(len(b)) {
		return nil, nil, errValues
	}
	b = b[size:]
	out := make([]Value, n)
	for i := range out {
		if len(b) == 0 {
			return nil, nil, errValues
		}
		out[i].Type = Type(b[0])
		num, size := binary.Varint(b[1:])
		if size <= 0 {
			return nil, nil, errValues
		}
		b = b[1+size:]
		length, size := binary.Uvarint(b)
		if size <= 0 || length > uint64(len(b)-size) {
			return nil, nil, errValues
		}
		out[i].num, out[i].str = num, string(b[size:size+int(length)])
		b = b[size+int(length):]
	}
	return out, b, nil
}
