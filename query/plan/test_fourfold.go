package plan

import (
	"github.com/quipudb/quipu/query/stats"
	"github.com/quipudb/quipu/server/errcode"
)

const fourfoldFamily = "Two proportions"

// fourfold are the categories of a 2 x 2 table.
var fourfold = []Category{{"a", Sided}, {"b", Sided}}

var fourfoldTests = []*Test{
	{
		Name: "odds_ratio", Family: fourfoldFamily, Cats: fourfold,
		Options: []Option{levelOption, {Name: "method", Type: Text, Default: TextValue("woolf"), Words: []string{"woolf", "conditional", "haldane"},
			Doc: "the sample odds ratio with Woolf's interval, the conditional one with its exact interval, or with ½ added to each cell, without an interval"}},
		Columns: []Column{{"odds_ratio", Float8}, {"low", Float8}, {"high", Float8}, {"n", Int8}},
		Hidden:  []Column{{"ln_odds_ratio", Float8}, {"ln_se", Float8}},
		Doc:     "odds of the greater value of `b` where `a` has its greater value, over those where it has the lesser one",
		Example: "SELECT odds_ratio(treated, cured) FROM trial",
		finish: onFourfold(func(a *Aggregate, f stats.Fourfold) ([]Value, error) {
			level := a.option("level").Float()
			m := f.OddsRatio(level)
			switch a.option("method").Text() {
			case "conditional":
				m = f.ConditionalOddsRatio(level)
			case "haldane":
				m = f.HaldaneAnscombe()
			}
			low, high := limits(m)
			ln := f.LnOddsRatio()
			return []Value{measureValue(m), low, high, sizeValue(f.N()), measureValue(ln), errorValue(ln)}, nil
		}),
	},
	{
		Name: "risk_ratio", Aliases: []string{"relative_risk"}, Family: fourfoldFamily, Cats: fourfold, Options: []Option{levelOption},
		Columns: []Column{{"risk_ratio", Float8}, {"low", Float8}, {"high", Float8}, {"n", Int8}},
		Doc:     "share of the greater value of `b` where `a` has its greater value, over the share where it has the lesser one, with the interval of Katz",
		Example: "SELECT risk_ratio(treated, cured) FROM trial",
		finish: onFourfold(func(a *Aggregate, f stats.Fourfold) ([]Value, error) {
			return measureRecord(f.RiskRatio(a.option("level").Float()), f.N()), nil
		}),
	},
	{
		Name: "risk_difference", Family: fourfoldFamily, Cats: fourfold,
		Options: []Option{levelOption, {Name: "method", Type: Text, Default: TextValue("newcombe"),
			Words: []string{"newcombe", "miettinen_nurminen", "agresti_caffo", "wald"}, Doc: "of the interval"}},
		Columns: []Column{{"risk_difference", Float8}, {"low", Float8}, {"high", Float8}, {"n", Int8}},
		Hidden:  []Column{{"risk_first", Float8}, {"risk_second", Float8}, {"number_needed_to_treat", Float8}},
		Doc:     "share of the greater value of `b` where `a` has its greater value, less the share where it has the lesser one",
		Example: "SELECT risk_difference(treated, cured, method => 'miettinen_nurminen') FROM trial",
		finish: onFourfold(func(a *Aggregate, f stats.Fourfold) ([]Value, error) {
			method := map[string]stats.RiskMethod{"newcombe": stats.Newcombe, "miettinen_nurminen": stats.MiettinenNurminen, "agresti_caffo": stats.AgrestiCaffo,
				"wald": stats.Wald}[a.option("method").Text()]
			first, second := f.Risks()
			row := measureRecord(f.RiskDifference(a.option("level").Float(), method), f.N())
			return append(row, measureValues(first, second, f.NumberNeededToTreat())...), nil
		}),
	},
	{
		Name: "proportion_ztest", Aliases: []string{"two_proportion_ztest"}, Family: fourfoldFamily, Cats: fourfold,
		Columns: []Column{{"z", Float8}, {"p_value", Float8}, {"ln_p", Float8}, {"n", Int8}, {"risk_difference", Float8}, {"low", Float8}, {"high", Float8}, {"warning", Text}},
		Doc:     "pooled z test of two shares, two-sided; `risk_difference` has Newcombe's 95 % interval",
		Example: "SELECT proportion_ztest(treated, cured) FROM trial",
		finish: onFourfold(func(_ *Aggregate, f stats.Fourfold) ([]Value, error) {
			r, err := stats.TwoProportionZ(f)
			low, high := limits(r.Effect)
			return []Value{FloatValue(r.Statistic), FloatValue(r.P), FloatValue(r.LnP), sizeValue(r.N), measureValue(r.Effect), low, high, warningValue(r)}, err
		}),
	},
	{
		Name: "fourfold_measures", Family: fourfoldFamily, Cats: fourfold,
		Columns: []Column{{"phi_signed", Float8}, {"yules_q", Float8}, {"yules_y", Float8}, {"n", Int8}},
		Doc:     "signed measures of association of a 2 x 2 table, −1…1",
		Example: "SELECT fourfold_measures(treated, cured) FROM trial",
		finish: onFourfold(func(_ *Aggregate, f stats.Fourfold) ([]Value, error) {
			return append(measureValues(f.PhiSigned(), f.YulesQ(), f.YulesY()), sizeValue(f.N())), nil
		}),
	},
	{
		Name: "proportion", Aliases: []string{"proportion_interval"}, Family: fourfoldFamily, Cats: []Category{{"outcome", Condition}},
		Options: []Option{levelOption, {Name: "method", Type: Text, Default: TextValue("wilson"),
			Words: []string{"wilson", "clopper_pearson", "jeffreys", "agresti_coull", "wald"}, Doc: "of the interval"}},
		Columns: []Column{{"proportion", Float8}, {"low", Float8}, {"high", Float8}, {"successes", Int8}, {"n", Int8}},
		Doc:     "share of the observations for which `outcome` is true, with an interval",
		Example: "SELECT proportion(cured, level => 0.9, method => 'jeffreys') FROM trial",
		finish: func(a *Aggregate, c *Cells) ([]Value, error) {
			x, n, err := successes(c)
			if err != nil {
				return nil, err
			}
			m, err := stats.Proportion(x, n, a.option("level").Float(), proportionMethods[a.option("method").Text()])
			low, high := limits(m)
			return []Value{measureValue(m), low, high, sizeValue(x), sizeValue(n)}, err
		},
	},
	{
		Name: "binomial_test", Family: fourfoldFamily, Cats: []Category{{"outcome", Condition}},
		Options: []Option{{Name: "p", Type: Float8, Default: FloatValue(0.5), Doc: "the share under the null hypothesis", check: func(v Value) error {
			if p := v.Float(); !(p >= 0 && p <= 1) {
				return errcode.New(errcode.InvalidOption, "p must lie between 0 and 1, not %s", v)
			}
			return nil
		}}},
		Columns: exactColumns("proportion"),
		Doc:     "exact test of the share of true outcomes; `proportion` has Wilson's 95 % interval",
		Example: "SELECT binomial_test(cured, p => 0.3) FROM trial",
		finish: func(a *Aggregate, c *Cells) ([]Value, error) {
			x, n, err := successes(c)
			if err != nil {
				return nil, err
			}
			return exactRecord(stats.BinomialTest(x, n, a.option("p").Float()))
		},
	},
}

var fourfoldScalars = []Scalar{
	{Name: "phi_signed", Of: "fourfold_measures", Column: "phi_signed", Doc: "φ with the sign of the association"},
	{Name: "yules_q", Of: "fourfold_measures", Column: "yules_q", Doc: "Yule's Q"},
	{Name: "yules_y", Of: "fourfold_measures", Column: "yules_y", Doc: "Yule's Y, the colligation"},
	{Name: "number_needed_to_treat", Of: "risk_difference", Column: "number_needed_to_treat", Doc: "1/|risk difference|"},
}

// measureRecord is a measure with its interval.
func measureRecord(m stats.Measure, n uint64) []Value {
	low, high := limits(m)
	return []Value{measureValue(m), low, high, sizeValue(n)}
}

// successes counts the true ones and all.
func successes(c *Cells) (x, n uint64, err error) {
	counts, err := stats.NewCounts(c.Count)
	if err != nil {
		return 0, 0, err
	}
	for k, v := range c.Count {
		if c.Values[0][c.At[0][k]].Bool() {
			x += uint64(v)
		}
	}
	return x, counts.N(), nil
}
