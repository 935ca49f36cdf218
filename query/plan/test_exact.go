package plan

import (
	"errors"

	"github.com/quipudb/quipu/query/stats"
	"github.com/quipudb/quipu/server/errcode"
)

const exactFamily = "Exact and Monte Carlo tests"

var drawOptions = []Option{
	{Name: "draws", Type: Int8, Default: IntValue(10_000), Doc: "tables drawn by a Monte Carlo test", check: func(v Value) error {
		if n := v.Int(); n < 1 || n > drawsMax {
			return errcode.New(errcode.InvalidOption, "draws must lie between 1 and %d, not %d", drawsMax, n)
		}
		return nil
	}},
	{Name: "seed", Type: Int8, Default: IntValue(1), Doc: "what the draws are a function of"},
}

// drawsMax bounds the tables that one Monte Carlo test draws.
const drawsMax = 10_000_000

var exactTests = []*Test{
	{
		Name: "fisher_test", Aliases: []string{"fisher_exact", "fisher_exact_test"}, Family: exactFamily,
		Cats: []Category{{"a", Sided}, {"b", Sided}}, Options: append([]Option{levelOption}, drawOptions...),
		Columns: append(exactColumns("odds_ratio"), Column{"method", Text}),
		Doc: "Fisher's exact test. For 2 x 2 tables all its p-values, and the conditional odds ratio with its exact interval; for larger ones the two-sided " +
			"p-value, by Monte Carlo where there are too many tables to list",
		Example: "SELECT fisher_test(treated, cured) FROM trial",
		finish:  finishFisher,
	},
	{
		Name: "blaker_test", Family: exactFamily,
		Cats: []Category{{"a", Sided}, {"b", Sided}}, Columns: []Column{{"p_value", Float8}, {"ln_p", Float8}, {"n", Int8}, {"odds_ratio", Float8}, {"warning", Text}},
		Doc:     "Fisher's exact test of a 2 x 2 table with Blaker's two-sided p-value, which is never greater than the central one",
		Example: "SELECT blaker_test(treated, cured) FROM trial",
		finish: onFourfold(func(_ *Aggregate, f stats.Fourfold) ([]Value, error) {
			r, err := stats.Blaker(f)
			return []Value{FloatValue(r.P), FloatValue(r.LnP), sizeValue(r.N), measureValue(r.Effect), warningValue(r)}, err
		}),
	},
	{
		Name: "barnard_test", Aliases: []string{"barnard_exact"}, Family: exactFamily,
		Cats: []Category{{"a", Sided}, {"b", Sided}}, Columns: unconditionalColumns,
		Doc: "Barnard's unconditional exact test of two independent samples, the values of `a`, for at most 1,000 observations; outcomes are ordered by the " +
			"pooled z statistic, and `p_less` and `p_greater` are about the share of the first value of `b`",
		Example: "SELECT barnard_test(treated, cured) FROM trial",
		finish:  unconditional(stats.Barnard),
	},
	{
		Name: "boschloo_test", Aliases: []string{"boschloo_exact"}, Family: exactFamily,
		Cats: []Category{{"a", Sided}, {"b", Sided}}, Columns: unconditionalColumns,
		Doc:     "Boschloo's unconditional exact test: as Barnard's, with outcomes ordered by Fisher's p-value",
		Example: "SELECT boschloo_test(treated, cured) FROM trial",
		finish:  unconditional(stats.Boschloo),
	},
	{
		Name: "monte_carlo_test", Family: exactFamily,
		Cats: twoWay, Options: append([]Option{{Name: "by", Type: Text, Default: TextValue("pearson"), Words: []string{"pearson", "probability"},
			Doc: "what makes a table extreme"}}, drawOptions...),
		Columns: []Column{{"statistic", Float8}, {"p_value", Float8}, {"ln_p", Float8}, {"n", Int8}, {"p_low", Float8}, {"p_high", Float8}, {"exceedances", Int8},
			{"draws", Int8}, {"warning", Text}},
		Doc:     "test of independence by drawing tables with the same margins; the exact p-value lies between `p_low` and `p_high` with 99 % confidence",
		Example: "SELECT monte_carlo_test(dose, relief, draws => 2000) FROM trial",
		finish: func(a *Aggregate, c *Cells) ([]Value, error) {
			by := stats.ByPearson
			if a.option("by").Text() == "probability" {
				by = stats.ByProbability
			}
			r, err := drawn(a, c, by)
			return []Value{FloatValue(r.Statistic), FloatValue(r.P), FloatValue(r.LnP), sizeValue(r.N), FloatValue(r.Low), FloatValue(r.High),
				sizeValue(r.Exceedances), sizeValue(r.Draws), warningValue(r.Result)}, err
		},
	},
}

var exactScalars = []Scalar{
	{Name: "fisher_p", Of: "fisher_test", Column: "p_value", Doc: "two-sided p-value of Fisher's test"},
	{Name: "fisher_mid_p", Of: "fisher_test", Column: "mid_p", Doc: "its mid-p, which counts the observed table half"},
}

// exactColumns are those of an exact test.
func exactColumns(effect string) []Column {
	return []Column{{"statistic", Float8}, {"p_value", Float8}, {"ln_p", Float8}, {"mid_p", Float8}, {"p_less", Float8}, {"p_greater", Float8},
		{"mid_p_less", Float8}, {"mid_p_greater", Float8}, {"p_central", Float8}, {"p_observed", Float8}, {"n", Int8}, {effect, Float8}, {"low", Float8}, {"high", Float8},
		{"warning", Text}}
}

func exactRecord(e stats.ExactP, err error) ([]Value, error) {
	low, high := limits(e.Effect)
	return []Value{FloatValue(e.Statistic), FloatValue(e.P), FloatValue(e.LnP), FloatValue(e.MidP), FloatValue(e.Less), FloatValue(e.Greater), FloatValue(e.MidLess),
		FloatValue(e.MidGreater), FloatValue(e.Central), FloatValue(e.Observed), sizeValue(e.N), measureValue(e.Effect), low, high, warningValue(e.Result)}, err
}

// onFourfold makes a finish of what needs a 2 x 2 table.
func onFourfold(finish func(a *Aggregate, f stats.Fourfold) ([]Value, error)) func(*Aggregate, *Cells) ([]Value, error) {
	return func(a *Aggregate, c *Cells) ([]Value, error) {
		tables, err := fourfolds(c, sidesOf(c, 0), sidesOf(c, 1))
		if err != nil {
			return nil, err
		}
		return finish(a, tables[0])
	}
}

func finishFisher(a *Aggregate, c *Cells) ([]Value, error) {
	if len(c.Values[0]) <= 2 && len(c.Values[1]) <= 2 {
		return onFourfold(func(a *Aggregate, f stats.Fourfold) ([]Value, error) {
			e, err := stats.Fisher(f)
			if err != nil {
				return nil, err
			}
			e.Effect = f.ConditionalOddsRatio(a.option("level").Float())
			row, err := exactRecord(e, nil)
			return append(row, TextValue("exact")), err
		})(a, c)
	}
	t, err := tableOf(c)
	if err != nil {
		return nil, err
	}
	r, err := stats.FisherRxC(t)
	method := "exact"
	if errors.Is(err, stats.ErrArgument) { // too many tables to list
		var m stats.MonteCarloP
		m, err = drawn(a, c, stats.ByProbability)
		r, method = m.Result, "monte_carlo"
	}
	row := make([]Value, len(a.Test.Columns))
	row[0], row[1], row[2] = FloatValue(r.Statistic), FloatValue(r.P), FloatValue(r.LnP)
	row[a.Test.column("n")], row[a.Test.column("warning")], row[a.Test.column("method")] = sizeValue(r.N), warningValue(r), TextValue(method)
	return row, err
}

// drawn makes a Monte Carlo test. Rows and columns are in the order of their values, on which the draws depend.
func drawn(a *Aggregate, c *Cells, by stats.MonteCarloStatistic) (stats.MonteCarloP, error) {
	t, err := orderedTable(c)
	if err != nil {
		return stats.MonteCarloP{}, err
	}
	m, err := stats.NewMonteCarlo(t, by, uint64(a.option("seed").Int()))
	if err != nil {
		return stats.MonteCarloP{}, err
	}
	return m.Run(uint64(a.option("draws").Int()), 0.99)
}

var unconditionalColumns = []Column{{"statistic", Float8}, {"p_value", Float8}, {"ln_p", Float8}, {"p_less", Float8}, {"p_greater", Float8}, {"n", Int8},
	{"risk_difference", Float8}, {"low", Float8}, {"high", Float8}, {"warning", Text}}

// unconditional is an unconditional exact test. The library takes the samples as columns, SQL as values of the first category.
func unconditional(test func(stats.Fourfold) (stats.UnconditionalP, error)) func(*Aggregate, *Cells) ([]Value, error) {
	return onFourfold(func(_ *Aggregate, f stats.Fourfold) ([]Value, error) {
		p, q, r, s := f.Counts()
		columns, err := stats.NewFourfold(int64(p), int64(r), int64(q), int64(s))
		if err != nil {
			return nil, err
		}
		u, err := test(columns)
		low, high := limits(u.Effect)
		return []Value{FloatValue(u.Statistic), FloatValue(u.P), FloatValue(u.LnP), FloatValue(u.Less), FloatValue(u.Greater), sizeValue(u.N),
			measureValue(u.Effect), low, high, warningValue(u.Result)}, err
	})
}
