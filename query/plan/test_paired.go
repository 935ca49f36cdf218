package plan

import (
	"slices"

	"github.com/quipudb/quipu/query/stats"
	"github.com/quipudb/quipu/server/errcode"
)

const pairedFamily = "The same subjects twice or more"

var pairedTests = []*Test{
	{
		Name: "mcnemar_test", Family: pairedFamily, Cats: []Category{{"first", Sided}, {"second", Sided}}, Options: []Option{correctionOption},
		Columns: measured("odds_ratio", intervalColumns...),
		Doc: "McNemar's test whether a share changed between two answers of the same subjects; `odds_ratio`, with its exact 95 % interval, is that of pairs that " +
			"went from the greater value to the lesser",
		Example: "SELECT mcnemar_test(cured, again) FROM trial",
		finish: onPairs(func(a *Aggregate, p stats.Pairs) ([]Value, error) {
			if a.option("correction").Bool() {
				return intervalRecord(stats.McNemarCorrected(p))
			}
			return intervalRecord(stats.McNemar(p))
		}),
	},
	{
		Name: "mcnemar_exact_test", Family: pairedFamily, Cats: []Category{{"first", Sided}, {"second", Sided}}, Columns: exactColumns("odds_ratio"),
		Doc:     "McNemar's test without an approximation; its mid-p is the one to prefer",
		Example: "SELECT mcnemar_exact_test(cured, again) FROM trial",
		finish:  onPairs(func(_ *Aggregate, p stats.Pairs) ([]Value, error) { return exactRecord(stats.McNemarExact(p)) }),
	},
	{
		Name: "bowker_test", Aliases: []string{"symmetry_test"}, Family: pairedFamily, Cats: []Category{{"first", Nominal}, {"second", Nominal}}, Columns: plainColumns,
		Doc:     "Bowker's test of symmetry: whether as many subjects changed from one value to another as changed back",
		Example: "SELECT bowker_test(cured, again) FROM trial",
		finish:  onPairs(func(_ *Aggregate, p stats.Pairs) ([]Value, error) { return plainRecord(stats.Bowker(p)) }),
	},
	{
		Name: "stuart_maxwell_test", Aliases: []string{"marginal_homogeneity_test"}, Family: pairedFamily,
		Cats: []Category{{"first", Nominal}, {"second", Nominal}}, Columns: plainColumns,
		Doc:     "test of Stuart and Maxwell whether both answers of the same subjects have the same shares",
		Example: "SELECT stuart_maxwell_test(cured, again) FROM trial",
		finish:  onPairs(func(_ *Aggregate, p stats.Pairs) ([]Value, error) { return plainRecord(stats.StuartMaxwell(p)) }),
	},
	{
		Name: "kappa", Aliases: []string{"cohens_kappa"}, Family: pairedFamily, Cats: []Category{{"first", Nominal}, {"second", Nominal}}, Options: []Option{levelOption},
		Columns: kappaColumns,
		Doc:     "Cohen's κ: agreement of two raters beyond chance, with its standard error and interval",
		Example: "SELECT kappa(cured, again) FROM trial",
		finish:  onPairs(func(a *Aggregate, p stats.Pairs) ([]Value, error) { return kappa(a, p, stats.Unweighted) }),
	},
	{
		Name: "weighted_kappa", Family: pairedFamily, Cats: []Category{{"first", Ordered}, {"second", Ordered}},
		Options: []Option{levelOption, {Name: "weights", Type: Text, Default: TextValue("quadratic"), Words: []string{"linear", "quadratic"}, Doc: "how partial agreement counts"}},
		Columns: kappaColumns,
		Doc:     "κ for ordered categories, where near ones agree in part",
		Example: "SELECT weighted_kappa(cured, again) FROM trial",
		finish: onPairs(func(a *Aggregate, p stats.Pairs) ([]Value, error) {
			w := stats.QuadraticWeights
			if a.option("weights").Text() == "linear" {
				w = stats.LinearWeights
			}
			return kappa(a, p, w)
		}),
	},
	{
		Name: "cochran_q_test", Family: pairedFamily, Cats: []Category{{"first", Condition}, {"second", Condition}}, More: true, Columns: plainColumns,
		Doc:     "Cochran's test whether several yes/no answers of the same subjects have the same share of yes",
		Example: "SELECT cochran_q_test(treated, cured, again) FROM trial",
		sums: &sums{
			begin: func(a *Aggregate) Sums {
				return &summed[stats.CochranSums, *stats.CochranSums]{P: stats.NewCochranSums(len(a.Cats)), add: addPatterns}
			},
			finish: func(_ *Aggregate, first, _ Sums, _ int64) ([]Value, error) {
				return plainRecord(statistics[stats.CochranSums, *stats.CochranSums](first).CochranQ())
			},
		},
	},
}

var pairedScalars = []Scalar{
	{Name: "mcnemar_p", Of: "mcnemar_test", Column: "p_value", Doc: "p-value of McNemar's test"},
}

var kappaColumns = []Column{{"kappa", Float8}, {"se", Float8}, {"low", Float8}, {"high", Float8}, {"n", Int8}}

func kappa(a *Aggregate, p stats.Pairs, w stats.KappaWeights) ([]Value, error) {
	m, err := stats.Kappa(p, w)
	m = m.Interval(a.option("level").Float(), -1, 1)
	low, high := limits(m)
	return []Value{measureValue(m), errorValue(m), low, high, sizeValue(p.Table().N())}, err
}

// onPairs makes a finish of what needs a square table: both answers have the values of either, the greater ones first.
func onPairs(finish func(a *Aggregate, p stats.Pairs) ([]Value, error)) func(*Aggregate, *Cells) ([]Value, error) {
	return func(a *Aggregate, c *Cells) ([]Value, error) {
		levels := sidesOf(c, 0).with(c.Values[1])
		if a.Test.Cats[0].Kind == Sided && len(levels) > 2 {
			return nil, errcode.New(errcode.InvalidOption, "%s compares two answers of two values, these have %d", a.Test.Name, len(levels)).
				WithHint("bowker_test and stuart_maxwell_test take any number")
		}
		k := len(levels)
		if k == 1 { // nobody has another value
			k = 2
		}
		if k > pairsMax {
			return nil, errcode.New(errcode.TooLarge, "pairs of %d values, more than %d", k, pairsMax)
		}
		counts := make([]int64, k*k)
		for i, n := range c.Count {
			counts[slices.Index(levels, c.Values[0][c.At[0][i]])*k+slices.Index(levels, c.Values[1][c.At[1][i]])] += n
		}
		t, err := stats.NewTable(k, k, counts)
		if err != nil {
			return nil, err
		}
		p, err := stats.NewPairs(t)
		if err != nil {
			return nil, err
		}
		return finish(a, p)
	}
}

// pairsMax bounds the values of square tables, whose covariance matrices are as large.
const pairsMax = 1000

func addPatterns(x *stats.CochranSums, c *Cells) error {
	pattern := make([]bool, len(c.At))
	for k, n := range c.Count {
		for d := range pattern {
			pattern[d] = c.Values[d][c.At[d][k]].Bool()
		}
		if err := x.Add(pattern, n); err != nil {
			return err
		}
	}
	return nil
}
