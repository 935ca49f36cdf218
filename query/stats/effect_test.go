package stats

import (
	"errors"
	"math"
	"testing"
)

// everyTest calls each test of the package on small, ordinary data. A caller that drives tests from a table of functions, as
// SQL does, relies on what TestEveryTestHasItsFooting checks of each.
func everyTest(t *testing.T) map[string]func() (Result, error) {
	f := fourfold(12, 5, 4, 9)
	table := mustTable(t, [][]int64{{12, 5, 7}, {4, 9, 8}, {6, 2, 11}})
	square := mustTable(t, [][]int64{{12, 5}, {4, 9}})
	wide := mustTable(t, [][]int64{{12, 5, 7}, {4, 9, 8}})
	counts := countsOf(t, 12, 5, 7)
	strata, err := NewStrata(square, mustTable(t, [][]int64{{7, 3}, {5, 8}}))
	if err != nil {
		t.Fatal(err)
	}
	general, err := GeneralizedCMH(strata, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	m, _ := ParseModel("[AB][C]")
	larger, _ := ParseModel("[AB][AC]")
	fit, _ := LogLinear(strata, m)
	more, _ := LogLinear(strata, larger)
	draws, err := NewMonteCarlo(table, ByPearson, 1)
	if err != nil {
		t.Fatal(err)
	}
	exact := func(e ExactP, err error) func() (Result, error) {
		return func() (Result, error) { return e.Result, err }
	}
	trend := func(e Trend, err error) func() (Result, error) {
		return func() (Result, error) { return e.Result, err }
	}
	known := func(r Result) func() (Result, error) { return func() (Result, error) { return r, nil } }
	of := func(test func(*Table) (Result, error), u *Table) func() (Result, error) {
		return func() (Result, error) { return test(u) }
	}
	fitted := func(test func(*Counts, Shares, int) (Result, error)) func() (Result, error) {
		return func() (Result, error) { return test(counts, EqualShares(3), 0) }
	}
	paired := func(test func(Pairs) (Result, error), u *Table) func() (Result, error) {
		return func() (Result, error) { return test(Pairs{u}) }
	}
	stratified := func(test func(*Strata) (Result, error)) func() (Result, error) {
		return func() (Result, error) { return test(strata) }
	}
	return map[string]func() (Result, error){
		"ChiSquare": of(ChiSquare, table), "GTest": of(GTest, table), "GWilliams": of(GWilliams, table), "Yates": of(Yates, square),
		"PowerDivergence": func() (Result, error) { return PowerDivergence(table, 2./3) },
		"FisherRxC":       of(FisherRxC, wide),
		"LinearByLinear":  func() (Result, error) { return LinearByLinear(table, nil, nil) },
		"CochranArmitage": trend(CochranArmitage(wide, nil)), "JonckheereTerpstra": trend(JonckheereTerpstra(table)),
		"GoodnessOfFit": fitted(GoodnessOfFit), "GoodnessOfFitG": fitted(GoodnessOfFitG),
		"GoodnessOfFitDivergence": func() (Result, error) { return GoodnessOfFitDivergence(counts, EqualShares(3), 0, 2./3) },
		"SRM":                     func() (Result, error) { return SRM(counts, EqualShares(3)) },
		"MultinomialTest":         func() (Result, error) { return MultinomialTest(counts, EqualShares(3)) },
		"MultinomialE":            func() (Result, error) { e, err := MultinomialE(counts, EqualShares(3)); return e.Result, err },
		"TwoProportionE":          known(TwoProportionE(f).Result), "TwoProportionZ": func() (Result, error) { return TwoProportionZ(f) },
		"Fisher": exact(Fisher(f)), "Blaker": func() (Result, error) { return Blaker(f) },
		"Barnard":      func() (Result, error) { u, err := Barnard(f); return u.Result, err },
		"Boschloo":     func() (Result, error) { u, err := Boschloo(f); return u.Result, err },
		"BinomialTest": exact(BinomialTest(12, 24, 0.4)), "McNemarExact": exact(McNemarExact(Pairs{square})),
		"ExactConditional": exact(ExactConditional([]Fourfold{f, fourfold(7, 3, 5, 8)})),
		"MonteCarlo":       func() (Result, error) { p, err := draws.Run(1000, 0.95); return p.Result, err },
		"McNemar":          paired(McNemar, square), "McNemarCorrected": paired(McNemarCorrected, square),
		"Bowker": paired(Bowker, table), "StuartMaxwell": paired(StuartMaxwell, table),
		"CochranQ": func() (Result, error) {
			return CochranQ([][]bool{{true, false, true}, {false, false, true}, {true, true, false}}, []int64{9, 5, 4})
		},
		"CMH": stratified(CMH), "CMHCorrected": stratified(CMHCorrected), "Woolf": stratified(Woolf),
		"BreslowDay": stratified(BreslowDay), "BreslowDayTarone": stratified(BreslowDayTarone),
		"GeneralizedCMH General": known(general.General), "GeneralizedCMH RowMeans": known(general.RowMeans),
		"GeneralizedCMH ColMeans": known(general.ColMeans), "GeneralizedCMH Linear": known(general.Linear),
		"LogLinear G2": known(fit.G2), "LogLinear X2": known(fit.X2),
		"CompareLogLinear": func() (Result, error) { return CompareLogLinear(fit, more) },
	}
}

func TestEveryTestHasItsFooting(t *testing.T) {
	// Tests of a hypothesis that has no one number for its effect, and those without expected counts.
	noEffect := map[string]bool{"Bowker": true, "StuartMaxwell": true, "CochranQ": true, "BreslowDay": true, "BreslowDayTarone": true,
		"GeneralizedCMH General": true, "GeneralizedCMH RowMeans": true, "GeneralizedCMH ColMeans": true, "GeneralizedCMH Linear": true,
		"LogLinear G2": true, "LogLinear X2": true, "CompareLogLinear": true, "MultinomialE": true, "MultinomialTest": true,
		"PowerDivergence": true, "CMH": false}
	noExpected := map[string]bool{"LinearByLinear": true, "CochranArmitage": true, "JonckheereTerpstra": true, "ExactConditional": true,
		"McNemar": true, "McNemarCorrected": true, "McNemarExact": true, "CMH": true, "CMHCorrected": true, "Woolf": true}
	for name, test := range everyTest(t) {
		t.Run(name, func(t *testing.T) {
			r, err := test()
			checkResult(t, r, err)
			if r.Method == "" || r.N == 0 || r.DF == 0 || r.P <= 0 {
				t.Errorf("%+v", r)
			}
			if r.Effect.Defined == noEffect[name] {
				t.Errorf("effect %+v", r.Effect)
			}
			if (r.MinExpected > 0) == (noExpected[name] || noEffect[name] && r.MinExpected == 0) {
				t.Errorf("smallest expected count %v", r.MinExpected)
			}
			m, err := r.EffectInterval(0.9)
			checkMeasure(t, m)
			if err != nil || m.Defined && name != "TwoProportionE" && (m.Level == 0 || m.Value < m.Low && m.Name != "cramers_v_bias_corrected" || m.Value > m.High) {
				t.Errorf("interval %+v, %v", m, err)
			}
		})
	}
}

// Fisher's z for r = ½ and n = 28: artanh ½ ± 1.959964/5, by hand.
func TestEffectIntervals(t *testing.T) {
	m := measure("pearson_r", 0.5).fisherZ(28, 0.95)
	wantClose(t, "low", m.Low, math.Tanh(math.Atanh(0.5)-1.959963984540054/5), 1e-14)
	wantClose(t, "high", m.High, math.Tanh(math.Atanh(0.5)+1.959963984540054/5), 1e-14)
	for _, m := range []Measure{measure("pearson_r", 1).fisherZ(28, 0.95), measure("pearson_r", 0.5).fisherZ(3, 0.95)} {
		if m.Level != 0 {
			t.Error(m)
		}
	}
	r, _ := GTest(mustTable(t, [][]int64{{28, 18}, {12, 22}}))
	if _, err := r.EffectInterval(1); !errors.Is(err, ErrArgument) {
		t.Error(err)
	}
	low, high, _ := NoncentralityInterval(r.Statistic, 1, 0.95)
	m, err := r.EffectInterval(0.95)
	wantClose(t, "low", m.Low, low/160, 1e-14)
	wantClose(t, "high", m.High, high/160, 1e-14)
	if err != nil {
		t.Error(err)
	}
	one, _ := GTest(mustTable(t, [][]int64{{28, 18}}))
	if m, err := one.EffectInterval(0.95); m.Defined || err != nil {
		t.Error(m, err)
	}
	c, _ := GoodnessOfFit(countsOf(t, 3, 1), mustShares(t, 1, 0), 0)
	if m, err := c.EffectInterval(0.95); m.Level != 0 || err != nil {
		t.Error(m, err)
	}
}
