package plan

import (
	"encoding/json"
	"math/big"
	"slices"
	"strings"

	"github.com/quipudb/quipu/query/stats"
	"github.com/quipudb/quipu/server/errcode"
)

const oneWayFamily = "One category"

var oneWay = []Category{{"a", Nominal}}

// sharesOption are the probabilities of the categories under the null hypothesis.
var sharesOption = Option{Name: "shares", Type: Text,
	Doc: "weights of the categories as a JSON object, `'{\"a\": 1, \"b\": \"1/3\"}'`, which are scaled to sum 1; a category without one has probability 0. Without it, " +
		"all observed categories are equally probable",
	check: func(v Value) error { _, err := readShares(v.Text()); return err }}

var oneWayTests = []*Test{
	{
		Name: "gof_test", Aliases: []string{"goodness_of_fit_test"}, Family: oneWayFamily, Cats: oneWay,
		Options: []Option{sharesOption,
			{Name: "lambda", Type: Float8, Default: FloatValue(1), Doc: "index of the power divergence: 1 is Pearson's statistic, 0 is G", check: checkLambda},
			{Name: "ddof", Type: Int8, Default: IntValue(0), Doc: "parameters of the shares that were estimated from the same counts", check: func(v Value) error {
				if v.Int() < 0 || v.Int() > 1<<20 {
					return errcode.New(errcode.InvalidOption, "ddof must not be negative nor above 1048576, it is %s", v)
				}
				return nil
			}}},
		Columns: measured("w", Column{"min_expected", Float8}),
		Doc:     "goodness of fit of counts to given shares; `w` is Cohen's",
		Example: `SELECT gof_test(relief, shares => '{"none": 2, "some": 1, "marked": 1}') FROM trial`,
		finish: func(a *Aggregate, c *Cells) ([]Value, error) {
			counts, shares, err := expectedShares(a, c)
			if err != nil {
				return nil, err
			}
			r, err := stats.GoodnessOfFitDivergence(counts, shares, int(a.option("ddof").Int()), a.option("lambda").Float())
			return measuredRecord(r, FloatValue(r.MinExpected)), err
		},
	},
	{
		Name: "srm_test", Family: oneWayFamily, Cats: []Category{{"arm", Nominal}}, Options: []Option{sharesOption}, Columns: measured("w"),
		Doc: "sample ratio mismatch: whether the arms of an experiment have the sizes that assignment with these shares gives. Take p below 0.001 for a broken " +
			"assignment; valid for one look, `gof_e_test` for any number of them",
		Example: `SELECT srm_test(treated, shares => '{"true": 1, "false": 1}') FROM trial`,
		finish: func(a *Aggregate, c *Cells) ([]Value, error) {
			counts, shares, err := expectedShares(a, c)
			if err != nil {
				return nil, err
			}
			return recordOf(stats.SRM(counts, shares))
		},
	},
	{
		Name: "multinomial_test", Family: oneWayFamily, Cats: oneWay, Options: []Option{sharesOption},
		Columns: []Column{{"statistic", Float8}, {"p_value", Float8}, {"ln_p", Float8}, {"n", Int8}, {"warning", Text}},
		Doc:     "exact test of goodness of fit, for few observations in few categories",
		Example: `SELECT multinomial_test(relief, shares => '{"none": 2, "some": 1, "marked": 1}') FROM trial WHERE site = 'y'`,
		finish: func(a *Aggregate, c *Cells) ([]Value, error) {
			counts, shares, err := expectedShares(a, c)
			if err != nil {
				return nil, err
			}
			r, err := stats.MultinomialTest(counts, shares)
			return []Value{FloatValue(r.Statistic), FloatValue(r.P), FloatValue(r.LnP), sizeValue(r.N), warningValue(r)}, err
		},
	},
	{
		Name: "diversity", Family: oneWayFamily, Cats: oneWay,
		Columns: []Column{{"entropy", Float8}, {"entropy_se", Float8}, {"entropy_miller_madow", Float8}, {"gini_simpson", Float8}, {"categories", Int8}, {"n", Int8}},
		Doc:     "how varied a category is: Shannon's entropy in nats, without and with Miller and Madow's correction, and the probability that two draws differ",
		Example: "SELECT diversity(dept) FROM admissions",
		finish: func(_ *Aggregate, c *Cells) ([]Value, error) {
			counts, err := stats.NewCounts(c.Count)
			if err != nil {
				return nil, err
			}
			h, err := stats.Entropy(counts)
			if err != nil {
				return nil, err
			}
			corrected, err := stats.EntropyMillerMadow(counts)
			if err != nil {
				return nil, err
			}
			g, err := stats.GiniSimpson(counts)
			return []Value{measureValue(h), errorValue(h), measureValue(corrected), measureValue(g), IntValue(int64(len(c.Count))), sizeValue(counts.N())}, err
		},
	},
}

var oneWayScalars = []Scalar{
	{Name: "srm_p", Of: "srm_test", Column: "p_value", Doc: "p-value of the test of sample ratio mismatch"},
	{Name: "entropy", Of: "diversity", Column: "entropy", Doc: "entropy in nats"},
	{Name: "gini_simpson", Aliases: []string{"simpson_index"}, Of: "diversity", Column: "gini_simpson", Doc: "probability that two draws with replacement differ"},
}

// readShares reads the weights of categories.
func readShares(text string) (map[string]*big.Rat, error) {
	bad := errcode.New(errcode.InvalidOption, "the shares cannot be read: %s", clipText(text)).
		WithHint(`write a JSON object of weights that are not negative nor all 0, as in shares => '{"a": 1, "b": 2}'`)
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var raw map[string]any
	if err := d.Decode(&raw); err != nil || d.More() || len(raw) == 0 {
		return nil, bad
	}
	out, some := map[string]*big.Rat{}, false
	for name, v := range raw {
		var spelled string
		switch v := v.(type) {
		case json.Number:
			spelled = v.String()
		case string:
			spelled = v
		}
		if len(spelled) > weightMax || strings.ContainsAny(spelled, "eE") { // an exponent makes a huge number of a short text
			return nil, bad
		}
		r, ok := new(big.Rat).SetString(spelled)
		if !ok || r.Sign() < 0 {
			return nil, bad
		}
		some = some || r.Sign() > 0
		out[name] = r
	}
	if !some {
		return nil, bad
	}
	return out, nil
}

// weightMax bounds the digits of a weight.
const weightMax = 64

// categoryName is how shares name a category.
func categoryName(v Value) string {
	if v.Type == Bool {
		return map[bool]string{true: "true", false: "false"}[v.Bool()]
	}
	return v.String()
}

// expectedShares puts the counts beside the shares of the option, category by category in the order of their names.
func expectedShares(a *Aggregate, c *Cells) (*stats.Counts, stats.Shares, error) {
	if a.option("shares").IsNull() {
		counts, err := stats.NewCounts(c.Count)
		return counts, stats.EqualShares(len(c.Count)), err
	}
	weights, err := readShares(a.option("shares").Text())
	if err != nil {
		return nil, stats.Shares{}, err
	}
	counted := map[string]int64{}
	for k, n := range c.Count {
		counted[categoryName(c.Values[0][c.At[0][k]])] = n
	}
	var names []string
	for name := range weights {
		names = append(names, name)
	}
	for name := range counted {
		if weights[name] == nil {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	values, probabilities := make([]int64, len(names)), make([]*big.Rat, len(names))
	for i, name := range names {
		values[i] = counted[name]
		if probabilities[i] = weights[name]; probabilities[i] == nil {
			probabilities[i] = new(big.Rat)
		}
	}
	counts, err := stats.NewCounts(values)
	if err != nil {
		return nil, stats.Shares{}, err
	}
	shares, err := stats.RationalShares(probabilities...)
	return counts, shares, err
}
