package plan

import "github.com/quipudb/quipu/query/stats"

const anytimeFamily = "Valid at every look"

var eColumns = []Column{{"ln_e", Float8}, {"p_value", Float8}, {"ln_p", Float8}, {"n", Int8}, {"warning", Text}}

var anytimeTests = []*Test{
	{
		Name: "gof_e_test", Aliases: []string{"srm_e_test", "multinomial_e_test"}, Family: anytimeFamily, Cats: oneWay, Options: []Option{sharesOption}, Columns: eColumns,
		Doc: "e-value of counts against given shares, which may be looked at while the counts grow: reject when `ln_e` reaches ln(1/α), or `p_value` falls to α, at any " +
			"look. With the shares of an experiment it watches for a sample ratio mismatch",
		Example: `SELECT gof_e_test(treated, shares => '{"true": 1, "false": 1}') FROM trial`,
		finish: func(a *Aggregate, c *Cells) ([]Value, error) {
			counts, shares, err := expectedShares(a, c)
			if err != nil {
				return nil, err
			}
			e, err := stats.MultinomialE(counts, shares)
			return eRecord(e), err
		},
	},
	{
		Name: "two_proportion_e_test", Family: anytimeFamily, Cats: fourfold, Columns: append(eColumns[:len(eColumns):len(eColumns)], Column{"risk_difference", Float8}),
		Doc:     "e-value of two growing samples, the values of `a`, against equal shares of `b`, which may be looked at at any time",
		Example: "SELECT two_proportion_e_test(treated, cured) FROM trial",
		finish: onFourfold(func(_ *Aggregate, f stats.Fourfold) ([]Value, error) {
			e := stats.TwoProportionE(f)
			return append(eRecord(e), measureValue(e.Effect)), nil
		}),
	},
	{
		Name: "proportion_sequence", Family: anytimeFamily, Cats: []Category{{"outcome", Condition}}, Options: []Option{levelOption},
		Columns: []Column{{"proportion", Float8}, {"low", Float8}, {"high", Float8}, {"n", Int8}},
		Doc:     "share of true outcomes, with an interval such that those of all looks together cover the truth with the given level",
		Example: "SELECT proportion_sequence(cured) FROM trial",
		finish: func(a *Aggregate, c *Cells) ([]Value, error) {
			x, n, err := successes(c)
			if err != nil {
				return nil, err
			}
			m, err := stats.ProportionSequence(x, n, a.option("level").Float())
			return measureRecord(m, n), err
		},
	},
	{
		Name: "risk_difference_sequence", Family: anytimeFamily, Cats: fourfold, Options: []Option{levelOption},
		Columns: []Column{{"risk_difference", Float8}, {"low", Float8}, {"high", Float8}, {"n", Int8}},
		Doc:     "difference of two shares as `risk_difference` gives it, with an interval that holds at every look",
		Example: "SELECT risk_difference_sequence(treated, cured) FROM trial",
		finish: onFourfold(func(a *Aggregate, f stats.Fourfold) ([]Value, error) {
			m, err := stats.RiskDifferenceSequence(f, a.option("level").Float())
			return measureRecord(m, f.N()), err
		}),
	},
}

func eRecord(e stats.EValue) []Value {
	return []Value{FloatValue(e.LnE()), FloatValue(e.P), FloatValue(e.LnP), sizeValue(e.N), warningValue(e.Result)}
}
