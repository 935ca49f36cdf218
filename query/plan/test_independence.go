package plan

import (
	"math"

	"github.com/quipudb/quipu/query/stats"
	"github.com/quipudb/quipu/server/errcode"
)

// twoWay are the categories of a table whose levels have no order.
var twoWay = []Category{{"a", Nominal}, {"b", Nominal}}

var correctionOption = Option{Name: "correction", Type: Bool, Default: BoolValue(false), Doc: "correct for continuity"}

var levelOption = Option{Name: "level", Type: Float8, Default: FloatValue(stats.DefaultLevel), Doc: "confidence level, between 0 and 1",
	check: func(v Value) error {
		if l := v.Float(); !(l > 0 && l < 1) {
			return errcode.New(errcode.InvalidOption, "level must lie between 0 and 1, not %s", v).WithHint("0.95 is the usual one")
		}
		return nil
	}}

// The columns of a test of two categories, in the order of the record.
var testColumns = []Column{
	{"statistic", Float8}, {"df", Int8}, {"p_value", Float8}, {"ln_p", Float8}, {"min_expected", Float8}, {"n", Int8},
	{"cramers_v", Float8}, {"warning", Text},
}

// measured is the columns of a Result with the size of its effect under a name of its own.
func measured(effect string, more ...Column) []Column {
	cols := []Column{{"statistic", Float8}, {"df", Int8}, {"p_value", Float8}, {"ln_p", Float8}, {"n", Int8}, {effect, Float8}}
	return append(append(cols, more...), Column{"warning", Text})
}

var independenceTests = []*Test{
	{
		Name: "chi2_test", Aliases: []string{"chisq_test"}, Family: "Independence of two categories",
		Cats: twoWay, Options: []Option{correctionOption}, Columns: testColumns, Hidden: []Column{{"cramers_v_corrected", Float8}},
		Doc:     "Pearson's test of independence; `correction` is that of Yates, for 2 x 2 tables",
		Example: "SELECT chi2_test(gender, admitted) FROM admissions",
		whole:   []int{0, 1},
		terms: &terms{
			kinds: func(a *Aggregate) stats.Kinds {
				if a.option("correction").Bool() {
					return 0
				}
				return stats.KindPearson
			},
			finish: func(_ *Aggregate, t *Terms) ([]Value, error) {
				r, err := t.Frame.ChiSquare(t.Partial)
				return append(testRecord(r, r), measureValue(r.CramersVCorrected())), err
			},
		},
		finish: finishYates,
	},
	{
		Name: "g_test", Family: "Independence of two categories",
		Cats: twoWay, Options: []Option{{Name: "williams", Type: Bool, Default: BoolValue(false), Doc: "correct the statistic as Williams does"}},
		Columns: testColumns, Hidden: []Column{{"mutual_information", Float8}},
		Doc:     "likelihood-ratio test of independence; `mutual_information` is in nats",
		Example: "SELECT g_test(gender, admitted, williams => true) FROM admissions",
		whole:   []int{0, 1},
		terms:   &terms{kinds: fixedKinds(stats.KindG | stats.KindPearson), finish: finishG},
	},
	{
		Name: "power_divergence_test", Family: "Independence of two categories",
		Cats: twoWay, Options: []Option{{Name: "lambda", Type: Float8, Default: FloatValue(2. / 3), Doc: "index of the family, −5…5: 1 is Pearson's statistic, " +
			"0 is G, 2/3 Cressie and Read's, −0.5 Freeman and Tukey's, −1 the modified likelihood ratio, −2 Neyman's", check: checkLambda}},
		Columns: testColumns,
		Doc:     "test of independence with the statistic of Cressie and Read",
		Example: "SELECT power_divergence_test(gender, admitted, lambda => -0.5) FROM admissions",
		whole:   []int{0, 1},
		terms:   &terms{kinds: divergenceKinds, finish: finishDivergence},
		finish: func(a *Aggregate, c *Cells) ([]Value, error) {
			t, err := tableOf(c)
			if err != nil {
				return nil, err
			}
			r, err := stats.PowerDivergence(t, a.option("lambda").Float())
			if err != nil {
				return nil, err
			}
			pearson, err := stats.ChiSquare(t)
			return testRecord(r, pearson), err
		},
	},
	{
		Name: "pearson_measures", Family: "Independence of two categories",
		Cats: twoWay,
		Columns: []Column{{"phi", Float8}, {"cramers_v", Float8}, {"cramers_v_corrected", Float8}, {"tschuprow_t", Float8},
			{"tschuprow_t_corrected", Float8}, {"contingency", Float8}, {"contingency_sakoda", Float8}, {"n", Int8}, {"warning", Text}},
		Doc:     "measures of association that rest on Pearson's statistic; the corrected ones are free of most of their bias",
		Example: "SELECT pearson_measures(dept, admitted) FROM admissions",
		whole:   []int{0, 1},
		terms: &terms{kinds: fixedKinds(stats.KindPearson), finish: func(_ *Aggregate, t *Terms) ([]Value, error) {
			r, err := t.Frame.ChiSquare(t.Partial)
			return []Value{measureValue(r.Phi()), measureValue(r.CramersV()), measureValue(r.CramersVCorrected()), measureValue(r.TschuprowT()),
				measureValue(r.TschuprowTCorrected()), measureValue(r.ContingencyC()), measureValue(r.ContingencySakoda()), sizeValue(r.N), warningValue(r)}, err
		}},
	},
	{
		Name: "cramers_v_interval", Family: "Independence of two categories",
		Cats: twoWay, Options: []Option{levelOption},
		Columns: []Column{{"cramers_v_corrected", Float8}, {"low", Float8}, {"high", Float8}, {"n", Int8}, {"warning", Text}},
		Doc:     "bias-corrected V, with an interval for V in the population from the noncentral chi-square distribution",
		Example: "SELECT cramers_v_interval(gender, admitted, level => 0.99) FROM admissions",
		whole:   []int{0, 1},
		terms: &terms{kinds: fixedKinds(stats.KindPearson), finish: func(a *Aggregate, t *Terms) ([]Value, error) {
			r, err := t.Frame.ChiSquare(t.Partial)
			if err != nil {
				return nil, err
			}
			m, err := r.CramersVInterval(a.option("level").Float())
			low, high := limits(m)
			return []Value{measureValue(m), low, high, sizeValue(r.N), warningValue(r)}, err
		}},
	},
	{
		Name: "association", Family: "Independence of two categories",
		Cats: twoWay,
		Columns: []Column{{"cramers_v", Float8}, {"cramers_v_corrected", Float8}, {"theils_u_a_given_b", Float8}, {"theils_u_b_given_a", Float8},
			{"theils_u_symmetric", Float8}, {"lambda_a_given_b", Float8}, {"lambda_b_given_a", Float8}, {"lambda_symmetric", Float8},
			{"tau_a_given_b", Float8}, {"tau_b_given_a", Float8}, {"mutual_information", Float8}, {"n", Int8}},
		Hidden: []Column{{"entropy_a", Float8}, {"entropy_b", Float8}, {"entropy_joint", Float8}},
		Doc: "measures of association: Theil's U, and Goodman and Kruskal's λ and τ, say which share of the uncertainty of one category the other " +
			"removes; `a_given_b` predicts `a` from `b`",
		Example: "SELECT association(dept, admitted) FROM admissions",
		whole:   []int{0, 1},
		terms: &terms{kinds: fixedKinds(stats.AssociationKinds), maxima: true, finish: func(_ *Aggregate, t *Terms) ([]Value, error) {
			x, err := t.Frame.Association(t.Partial, t.Maxima)
			return append(measureValues(x.CramersV, x.CramersVCorrected, x.TheilsURowGivenCol, x.TheilsUColGivenRow, x.TheilsUSymmetric,
				x.LambdaRowGivenCol, x.LambdaColGivenRow, x.LambdaSymmetric, x.TauRowGivenCol, x.TauColGivenRow, x.MutualInfo),
				append([]Value{sizeValue(t.Frame.N())}, measureValues(x.EntropyRows, x.EntropyCols, x.EntropyJoint)...)...), err
		}},
	},
}

var independenceScalars = []Scalar{
	{Name: "chi2_stat", Of: "chi2_test", Column: "statistic", Doc: "Pearson's X²"},
	{Name: "chi2_p", Of: "chi2_test", Column: "p_value", Doc: "p-value of Pearson's test"},
	{Name: "chi2_ln_p", Of: "chi2_test", Column: "ln_p", Doc: "its natural logarithm"},
	{Name: "g_stat", Of: "g_test", Column: "statistic", Doc: "G, the likelihood-ratio statistic"},
	{Name: "g_p", Of: "g_test", Column: "p_value", Doc: "its p-value"},
	{Name: "g_ln_p", Of: "g_test", Column: "ln_p", Doc: "the natural logarithm of its p-value"},
	{Name: "mutual_information", Of: "g_test", Column: "mutual_information", Doc: "mutual information in nats"},
	{Name: "cramers_v", Aliases: []string{"cramersv"}, Of: "chi2_test", Column: "cramers_v", Doc: "Cramér's V, 0…1"},
	{Name: "cramers_v_corrected", Aliases: []string{"cramersvbiascorrected"}, Of: "chi2_test", Column: "cramers_v_corrected",
		Doc: "Cramér's V without most of its bias: the one to report"},
	{Name: "phi", Of: "pearson_measures", Column: "phi", Doc: "√(X²/n)"},
	{Name: "tschuprow_t", Of: "pearson_measures", Column: "tschuprow_t", Doc: "Tschuprow's T, 0…1"},
	{Name: "contingency", Aliases: []string{"contingency_c"}, Of: "pearson_measures", Column: "contingency", Doc: "Pearson's contingency coefficient"},
	{Name: "theils_u", Aliases: []string{"theilsu", "uncertainty_coefficient"}, Of: "association", Column: "theils_u_a_given_b",
		Doc: "Theil's U: share of the entropy of `a` that `b` removes, 0…1"},
	{Name: "goodman_kruskal_lambda", Aliases: []string{"lambda"}, Of: "association", Column: "lambda_a_given_b",
		Doc: "λ: share of the errors in guessing `a` that `b` removes, 0…1"},
	{Name: "goodman_kruskal_tau", Of: "association", Column: "tau_a_given_b", Doc: "τ: share of the Gini variation of `a` that `b` explains, 0…1"},
}

func fixedKinds(k stats.Kinds) func(*Aggregate) stats.Kinds {
	return func(*Aggregate) stats.Kinds { return k }
}

// The values of a record.

func measureValue(m stats.Measure) Value {
	if !m.Defined {
		return Null
	}
	return FloatValue(m.Value)
}

func measureValues(list ...stats.Measure) []Value {
	out := make([]Value, len(list))
	for i, m := range list {
		out[i] = measureValue(m)
	}
	return out
}

// limits are the ends of the interval of m, if it has one.
func limits(m stats.Measure) (low, high Value) {
	if !m.Defined || m.Level == 0 {
		return Null, Null
	}
	return FloatValue(m.Low), FloatValue(m.High)
}

// sizeValue is a number of observations; NULL above the range of int8.
func sizeValue(n uint64) Value {
	if n > math.MaxInt64 {
		return Null
	}
	return IntValue(int64(n))
}

func dfValue(df int64) Value {
	if df == stats.NoDF {
		return Null
	}
	return IntValue(df)
}

func warningValue(r stats.Result) Value {
	if len(r.Warnings) == 0 {
		return Null
	}
	return TextValue(r.Warnings.String())
}

// testRecord is the record of a test of two categories; V is that of Pearson's statistic.
func testRecord(r, pearson stats.Result) []Value {
	return []Value{FloatValue(r.Statistic), IntValue(r.DF), FloatValue(r.P), FloatValue(r.LnP), FloatValue(r.MinExpected), sizeValue(r.N),
		measureValue(pearson.CramersV()), warningValue(r)}
}

// measuredRecord is the columns of measured, with more before the warning.
func measuredRecord(r stats.Result, more ...Value) []Value {
	row := []Value{FloatValue(r.Statistic), dfValue(r.DF), FloatValue(r.P), FloatValue(r.LnP), sizeValue(r.N), measureValue(r.Effect)}
	return append(append(row, more...), warningValue(r))
}

// tableOf is a two-way table of cells.
func tableOf(c *Cells) (*stats.Table, error) {
	return stats.NewSparseTable(len(c.Values[0]), len(c.Values[1]), c.Triples())
}

func finishYates(_ *Aggregate, c *Cells) ([]Value, error) {
	if len(c.Values[0]) > 2 || len(c.Values[1]) > 2 {
		return nil, errcode.New(errcode.InvalidOption, "the continuity correction is for 2 x 2 tables, this one is %d x %d", len(c.Values[0]), len(c.Values[1])).
			WithHint("leave correction out")
	}
	t, err := stats.NewSparseTable(2, 2, c.Triples())
	if err != nil {
		return nil, err
	}
	r, err := stats.Yates(t)
	if err != nil {
		return nil, err
	}
	plain, err := stats.ChiSquare(t)
	return append(testRecord(r, plain), measureValue(plain.CramersVCorrected())), err
}

func finishG(a *Aggregate, t *Terms) ([]Value, error) {
	finish := t.Frame.GTest
	if a.option("williams").Bool() {
		finish = t.Frame.GWilliams
	}
	r, err := finish(t.Partial)
	if err != nil {
		return nil, err
	}
	pearson, err := t.Frame.ChiSquare(t.Partial)
	mutual := FloatValue(0) // with one level there is nothing to know
	if r.DF > 0 {
		mutual = measureValue(r.Effect)
	}
	return append(testRecord(r, pearson), mutual), err
}

func checkLambda(v Value) error {
	if l := v.Float(); !(math.Abs(l) <= 5) {
		return errcode.New(errcode.InvalidOption, "lambda must lie between -5 and 5, not %s", v)
	}
	return nil
}

// divergenceKinds are the members of the family whose terms shards add up.
func divergenceKinds(a *Aggregate) stats.Kinds {
	switch a.option("lambda").Float() {
	case 1:
		return stats.KindPearson
	case 0:
		return stats.KindG | stats.KindPearson
	case 2. / 3:
		return stats.KindCressieRead | stats.KindPearson
	case -0.5:
		return stats.KindFreemanTukey | stats.KindPearson
	case -1:
		return stats.KindModifiedG | stats.KindPearson
	case -2:
		return stats.KindNeyman | stats.KindPearson
	}
	return 0
}

func finishDivergence(a *Aggregate, t *Terms) ([]Value, error) {
	pearson, err := t.Frame.ChiSquare(t.Partial)
	if err != nil {
		return nil, err
	}
	switch k := divergenceKinds(a) &^ stats.KindPearson; k {
	case 0:
		return testRecord(pearson, pearson), nil
	case stats.KindG:
		r, err := t.Frame.GTest(t.Partial)
		return testRecord(r, pearson), err
	default:
		r, err := t.Frame.PowerDivergence(t.Partial, k)
		return testRecord(r, pearson), err
	}
}
