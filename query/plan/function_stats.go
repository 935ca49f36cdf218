package plan

import (
	"errors"
	"strings"

	"github.com/quipudb/quipu/query/stats"
	"github.com/quipudb/quipu/server/errcode"
)

// numeric is one statistical function of numbers, with its place in docs/sql.md.
type numeric struct {
	name, args string // as they are shown
	doc        string
	example    string
	forms      []*Function
}

// Numbers lists the statistical functions of numbers by name, with an example of each.
func Numbers() map[string]string {
	out := map[string]string{}
	for _, n := range numerics {
		out[n.name] = "SELECT " + n.example
	}
	return out
}

var numerics = []numeric{
	{"chi2_survival", "x, df", "probability that a chi-square variable exceeds `x`", "chi2_survival(3.84, 1)",
		[]*Function{stat2("chi2_survival", plainStat(stats.ChiSquareSurvival))}},
	{"chi2_ln_survival", "x, df", "its natural logarithm, finite for every finite `x`", "chi2_ln_survival(3000, 1)",
		[]*Function{stat2("chi2_ln_survival", plainStat(stats.LnChiSquareSurvival))}},
	{"chi2_cdf", "x, df", "probability that a chi-square variable is at most `x`", "chi2_cdf(3.84, 1)",
		[]*Function{stat2("chi2_cdf", plainStat(stats.ChiSquareCDF))}},
	{"chi2_ln_cdf", "x, df", "its natural logarithm", "chi2_ln_cdf(0.001, 1)",
		[]*Function{stat2("chi2_ln_cdf", plainStat(stats.LnChiSquareCDF))}},
	{"chi2_critical", "p, df", "the value that a chi-square variable exceeds with probability `p`", "chi2_critical(0.05, 1)",
		[]*Function{stat2("chi2_critical", plainStat(stats.ChiSquareCritical))}},
	{"normal_survival", "z", "probability that a standard normal variable exceeds `z`", "normal_survival(1.96)", []*Function{float1("normal_survival", stats.NormalSurvival)}},
	{"normal_ln_survival", "z", "its natural logarithm", "normal_ln_survival(100)", []*Function{float1("normal_ln_survival", stats.LnNormalSurvival)}},
	{"normal_quantile", "p", "the value that a standard normal variable stays below with probability `p`", "normal_quantile(0.975)",
		[]*Function{domain("normal_quantile", stats.NormalQuantile, func(p float64) bool { return p >= 0 && p <= 1 }, "a quantile of a probability outside 0…1")}},
	{"chi2_power", "w, n, df, alpha", "probability that a chi-square test of `n` observations rejects at level `alpha` when the effect has Cohen's `w`",
		"chi2_power(0.1, 1000, 1, 0.05)", []*Function{fn("chi2_power", Float8, func(a []Value) (Value, error) {
			n, err := observations(a[1])
			if err != nil {
				return Null, err
			}
			return floatStat(stats.Power(a[0].Float(), n, a[2].num, a[3].Float()))
		}, Float8, Int8, Int8, Float8)}},
	{"chi2_sample_size", "w, power, df, alpha", "the least number of observations with which the test has that power", "chi2_sample_size(0.1, 0.8, 1, 0.05)",
		[]*Function{fn("chi2_sample_size", Int8, func(a []Value) (Value, error) {
			n, err := stats.SampleSize(a[0].Float(), a[1].Float(), a[2].num, a[3].Float())
			if err != nil {
				return Null, argumentFault(err)
			}
			return sizeValue(n), nil
		}, Float8, Float8, Int8, Float8)}},
	{"chi2_minimum_effect", "n, power, df, alpha", "the smallest `w` that `n` observations detect with that power", "chi2_minimum_effect(1000, 0.8, 1, 0.05)",
		[]*Function{fn("chi2_minimum_effect", Float8, func(a []Value) (Value, error) {
			n, err := observations(a[0])
			if err != nil {
				return Null, err
			}
			return floatStat(stats.MinimumEffect(n, a[1].Float(), a[2].num, a[3].Float()))
		}, Int8, Float8, Int8, Float8)}},
	{"proportion_low", "successes, n [, level [, method]]", "lower end of an interval for a share, as `proportion` has it for conditions",
		"proportion_low(3, 10, 0.95, 'wilson')", proportionEnds("proportion_low", func(m stats.Measure) float64 { return m.Low })},
	{"proportion_high", "successes, n [, level [, method]]", "its upper end", "proportion_high(3, 10)",
		proportionEnds("proportion_high", func(m stats.Measure) float64 { return m.High })},
}

// statFunctions are the functions of numerics.
var statFunctions = func() (out []*Function) {
	for _, n := range numerics {
		out = append(out, n.forms...)
	}
	return out
}()

func stat2(name string, f func(x, y float64) (float64, error)) *Function {
	return fn(name, Float8, func(a []Value) (Value, error) { return floatStat(f(a[0].Float(), a[1].Float())) }, Float8, Float8)
}

func plainStat(f func(x, y float64) float64) func(x, y float64) (float64, error) {
	return func(x, y float64) (float64, error) { return f(x, y), nil }
}

func floatStat(x float64, err error) (Value, error) {
	if err != nil {
		return Null, argumentFault(err)
	}
	return FloatValue(x), nil
}

// argumentFault is an error of a statistic of numbers.
func argumentFault(err error) error {
	if errors.Is(err, stats.ErrArgument) || errors.Is(err, stats.ErrEmpty) {
		return errcode.New(errcode.NumericOutOfRange, "%s", strings.TrimPrefix(err.Error(), "stats: "))
	}
	return err
}

func observations(v Value) (uint64, error) {
	if v.num < 0 {
		return 0, errcode.New(errcode.NumericOutOfRange, "a number of observations must not be negative, it is %d", v.num)
	}
	return uint64(v.num), nil
}

// proportionMethods are the intervals of a share by name.
var proportionMethods = map[string]stats.ProportionMethod{"wilson": stats.Wilson, "clopper_pearson": stats.ClopperPearson, "jeffreys": stats.Jeffreys,
	"agresti_coull": stats.AgrestiCoull, "wald": stats.WaldProportion}

// proportionEnds are the forms of one end of the interval of a share. Without observations it is NULL.
func proportionEnds(name string, end func(stats.Measure) float64) []*Function {
	eval := func(a []Value) (Value, error) {
		x, err := observations(a[0])
		if err != nil {
			return Null, err
		}
		n, err := observations(a[1])
		if err != nil || n == 0 {
			return Null, err
		}
		level, method := stats.DefaultLevel, stats.Wilson
		if len(a) > 2 {
			level = a[2].Float()
		}
		if len(a) > 3 {
			var ok bool
			if method, ok = proportionMethods[a[3].str]; !ok {
				return Null, errcode.New(errcode.InvalidOption, "there is no interval %q of a proportion", clipText(a[3].str)).
					WithHint("it is one of wilson, clopper_pearson, jeffreys, agresti_coull, wald")
			}
		}
		m, err := stats.Proportion(x, n, level, method)
		if err != nil {
			return Null, argumentFault(err)
		}
		return FloatValue(end(m)), nil
	}
	types := []Type{Int8, Int8, Float8, Text}
	var out []*Function
	for n := 2; n <= len(types); n++ {
		out = append(out, fn(name, Float8, eval, types[:n]...))
	}
	return out
}
