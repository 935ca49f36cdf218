// Command stats prints what query/stats says about a fixed list of questions, one per line and tab-separated: a name, the
// arguments, the value. integration/peers/stats_peers.sh asks R and SciPy the same.
package main

import (
	"fmt"

	"github.com/quipudb/quipu/query/stats"
)

func main() {
	for _, c := range [][4]int64{{3, 1, 1, 3}, {2, 15, 10, 3}, {18, 12, 12, 18}, {10, 11, 10, 10}, {19, 141, 17, 149},
		{189, 10845, 104, 10933}, {1198, 557, 1493, 1278}, {5152, 13356, 4353, 11913}, {1364, 367, 126, 344}, {7, 2, 3, 8}} {
		fourfold(c)
	}
	distributions()
	p := []float64{1e-4, 4e-4, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.324, 0.4262, 0.5719, 0.6528, 0.759, 1}
	adjustments(p)
}

func put(name string, value float64, args ...any) {
	fmt.Print(name, "\t")
	for i, a := range args {
		if i > 0 {
			fmt.Print(",")
		}
		fmt.Print(a)
	}
	fmt.Printf("\t%.17g\n", value)
}

func fourfold(c [4]int64) {
	f, err := stats.NewFourfold(c[0], c[1], c[2], c[3])
	if err != nil {
		panic(err)
	}
	e, err := stats.Fisher(f)
	if err != nil {
		panic(err)
	}
	args := []any{c[0], c[1], c[2], c[3]}
	put("fisher", e.P, args...)
	put("fisher_less", e.Less, args...)
	put("fisher_greater", e.Greater, args...)
	or := f.ConditionalOddsRatio(0.95)
	put("odds_ratio_conditional", or.Value, args...)
	put("odds_ratio_low", or.Low, args...)
	put("odds_ratio_high", or.High, args...)
	if f.N() <= 60 {
		b, err := stats.Barnard(f)
		if err != nil {
			panic(err)
		}
		o, err := stats.Boschloo(f)
		if err != nil {
			panic(err)
		}
		put("barnard", b.P, args...)
		put("boschloo", o.P, args...)
	}
}

func distributions() {
	for _, df := range []float64{1, 2, 3, 10, 100, 1e4, 1e6} {
		for _, times := range []float64{0.5, 0.9, 1, 1.1, 2, 8} {
			x := df * times
			put("chi2_survival", stats.ChiSquareSurvival(x, df), df, x)
			put("chi2_ln_survival", stats.LnChiSquareSurvival(x, df), df, x)
		}
		for _, p := range []float64{1e-12, 1e-3, 0.05, 0.5} {
			put("chi2_critical", stats.ChiSquareCritical(p, df), df, p)
		}
	}
	for _, z := range []float64{0.1, 1, 1.96, 5, 12, 37} {
		put("normal_survival", stats.NormalSurvival(z), z)
		put("normal_ln_survival", stats.LnNormalSurvival(z), z)
	}
	for _, c := range [][3]float64{{0, 10, 0.5}, {3, 10, 0.3}, {15, 148, 0.2}, {500, 1000, 0.48}, {60, 1000, 0.05}} {
		e, err := stats.BinomialTest(uint64(c[0]), uint64(c[1]), c[2])
		if err != nil {
			panic(err)
		}
		put("binomial_test", e.P, c[0], c[1], c[2])
		cp, err := stats.Proportion(uint64(c[0]), uint64(c[1]), 0.95, stats.ClopperPearson)
		if err != nil {
			panic(err)
		}
		put("clopper_low", cp.Low, c[0], c[1])
		put("clopper_high", cp.High, c[0], c[1])
	}
	for _, c := range [][4]float64{{0.1, 200, 1, 0.05}, {0.3, 100, 4, 0.05}, {0.5, 50, 9, 0.01}} {
		p, err := stats.Power(c[0], uint64(c[1]), int64(c[2]), c[3])
		if err != nil {
			panic(err)
		}
		put("power", p, c[0], c[1], c[2], c[3])
	}
}

func adjustments(p []float64) {
	ln := make([]float64, len(p))
	args := make([]any, len(p))
	for i, v := range p {
		ln[i] = stats.LnChiSquareSurvival(stats.ChiSquareCritical(v, 2), 2)
		args[i] = v
	}
	for _, a := range []stats.Adjustment{stats.Holm, stats.Hochberg, stats.BenjaminiHochberg, stats.BenjaminiYekutieli} {
		for i, l := range stats.AdjustLn(ln, a) {
			put("adjust_"+a.String(), stats.ChiSquareSurvival(-2*l, 2), append([]any{i + 1}, args...)...)
		}
	}
}
