package stats

import (
	"errors"
	"math"
	"testing"
)

// checkP fails on a probability that is none, or that disagrees with its logarithm.
func checkP(t *testing.T, what string, p, ln float64) {
	t.Helper()
	if !(p >= 0 && p <= 1) || !(ln <= 0) {
		t.Fatalf("%s: p = %v, ln p = %v", what, p, ln)
	}
	if want := math.Exp(ln); math.Abs(p-want) > 1e-9*want+1e-300 {
		t.Fatalf("%s: p = %v but exp(ln p) = %v", what, p, want)
	}
}

// checkMeasure fails on NaN and on an interval that is upside down.
func checkMeasure(t *testing.T, m Measure) {
	t.Helper()
	if m.Value != m.Value || m.SE != m.SE || !(m.Low <= m.High) {
		t.Fatalf("%+v", m)
	}
}

func checkExact(t *testing.T, what string, e ExactP) {
	t.Helper()
	checkP(t, what, e.P, e.LnP)
	checkP(t, what+" less", e.Less, e.LnLess)
	checkP(t, what+" greater", e.Greater, e.LnGreater)
	checkP(t, what+" mid", e.MidP, e.LnMidP)
	checkP(t, what+" central", e.Central, e.LnCentral)
	checkP(t, what+" observed", e.Observed, e.LnObserved)
	for _, p := range []float64{e.MidLess, e.MidGreater} {
		if !(p >= 0 && p <= 1) {
			t.Fatalf("%s: %+v", what, e)
		}
	}
	if e.LnP < e.LnObserved-1e-9*math.Max(1, -e.LnObserved) {
		t.Fatalf("%s: p below the probability of the outcome itself: %+v", what, e)
	}
}

func FuzzExact(f *testing.F) {
	f.Add(int64(3), int64(1), int64(1), int64(3), uint8(95))
	f.Add(int64(0), int64(0), int64(0), int64(0), uint8(0))
	f.Add(int64(math.MaxInt64), int64(math.MaxInt64/4), int64(1), int64(0), uint8(50))
	f.Add(int64(1e15), int64(1e15+1), int64(1e15-1), int64(1e15), uint8(99))
	f.Add(int64(4e9), int64(7e9), int64(12e9), int64(2e9), uint8(99))
	f.Add(int64(0), int64(1), int64(1), int64(1e9), uint8(99))
	f.Fuzz(func(t *testing.T, a, b, c, d int64, percent uint8) {
		table, err := NewFourfold(a, b, c, d)
		if err != nil {
			return
		}
		exerciseFourfold(t, table, float64(percent%101)/100)
	})
}

// exerciseFourfold calls every entry point for a 2×2 table.
func exerciseFourfold(t *testing.T, f Fourfold, level float64) {
	if e, err := Fisher(f); err == nil {
		checkExact(t, "Fisher", e)
		swapped, _ := Fisher(f.transpose())
		if math.Abs(swapped.LnP-e.LnP) > 1e-8*math.Max(1, math.Abs(e.LnP)) {
			t.Fatalf("Fisher of the transpose: %v, %v", swapped.LnP, e.LnP)
		}
	}
	for _, test := range []func(Fourfold) (Result, error){TwoProportionZ, Blaker} {
		if r, err := test(f); err == nil {
			checkP(t, r.Method, r.P, r.LnP)
			checkMeasure(t, r.Effect)
		}
	}
	first, second := f.Risks()
	for _, m := range []Measure{f.OddsRatio(level), f.LnOddsRatio(), f.HaldaneAnscombe(), f.YulesQ(), f.YulesY(), f.PhiSigned(), first, second,
		f.RiskRatio(level), f.RiskDifference(level, Wald), f.RiskDifference(level, Newcombe), f.RiskDifference(level, AgrestiCaffo),
		f.RiskDifference(level, MiettinenNurminen), f.NumberNeededToTreat(), f.ConditionalOddsRatio(level)} {
		checkMeasure(t, m)
	}
	e := TwoProportionE(f)
	checkP(t, "e-value", e.P, e.LnP)
	if m, err := RiskDifferenceSequence(f, level); err == nil {
		checkMeasure(t, m)
	}
	if f.n < 60 {
		for _, test := range []func(Fourfold) (UnconditionalP, error){Barnard, Boschloo} {
			if u, err := test(f); err == nil {
				checkResult(t, u.Result, nil)
				for _, p := range []float64{u.Less, u.Greater, u.P} {
					checkP(t, "unconditional", p, math.Log(p))
				}
			}
		}
		if e, err := ExactConditional([]Fourfold{f, f.transpose()}); err == nil {
			checkExact(t, "strata", e)
		}
	}
	if x := f.pearson(); !(x >= 0) {
		t.Fatalf("Pearson %v", x)
	}
	for a := Bonferroni; a <= BenjaminiYekutieli; a++ {
		for _, s := range Screen([]Fourfold{f, f.transpose()}, a) {
			if !(s.LnAdjusted <= 0) || s.LnAdjusted < s.LnP-1e-9*math.Abs(s.LnP) {
				t.Fatalf("%v: %+v", a, s)
			}
		}
	}
}

func FuzzDistributions(f *testing.F) {
	f.Add(3.84, 1.0, 2.0, uint64(3), uint64(10), 0.5)
	f.Add(1e300, 1e12, 1e-300, uint64(1<<62), uint64(math.MaxUint64), 0.25)
	f.Add(1e6, 1e6, 400.0, uint64(1e15), uint64(3e15), 0.3333)
	f.Add(1e-300, 3.0, 1e9, uint64(0), uint64(1), 1e-300)
	f.Fuzz(func(t *testing.T, x, df, lambda float64, k, n uint64, p float64) {
		if !(x >= 0 && df >= 0 && df <= 1e12 && lambda >= 0 && lambda < 1e12 && p >= 0 && p <= 1) || math.IsInf(x, 1) {
			return
		}
		df = math.Floor(df)
		checkP(t, "chi-square", ChiSquareSurvival(x, df), LnChiSquareSurvival(x, df))
		checkP(t, "chi-square below", ChiSquareCDF(x, df), LnChiSquareCDF(x, df))
		if df > 0 && math.IsInf(LnChiSquareSurvival(x, df), -1) {
			t.Fatal("ln p infinite for a finite statistic")
		}
		if c := ChiSquareCritical(p, df); !(c >= 0) {
			t.Fatalf("critical value %v", c)
		}
		if c := ChiSquareCriticalLn(-x, df); !(c >= 0) {
			t.Fatalf("critical value %v at ln p = %v", c, -x)
		}
		two, ln := NormalTwoSided(x)
		checkP(t, "two-sided", two, ln)
		exercisePower(t, x, df, lambda, n, p)
		checkP(t, "normal", NormalSurvival(x), LnNormalSurvival(math.Min(x, 1e150)))
		if z := NormalQuantile(p); z != z {
			t.Fatal("normal quantile")
		}
		if df > 0 {
			nc := noncentralTails(x, df, math.Min(lambda, 1e7))
			checkP(t, "noncentral", nc.upper(), nc.lnUpper())
			checkP(t, "noncentral below", nc.lower(), nc.lnLower())
		}
		if e, err := BinomialTest(k, n, p); err == nil {
			checkExact(t, "binomial", e)
		}
		for _, method := range []ProportionMethod{Wilson, ClopperPearson, Jeffreys, AgrestiCoull, WaldProportion} {
			if m, err := Proportion(k, n, p, method); err == nil {
				checkMeasure(t, m)
			}
		}
		if m, err := ProportionSequence(k, n, p); err == nil {
			checkMeasure(t, m)
		}
	})
}

// exercisePower calls what rests on the noncentral distribution, with effects and sizes that are not absurd.
func exercisePower(t *testing.T, w, df, lambda float64, n uint64, alpha float64) {
	if w > 10 || df > 1e6 || n > 1e6 || lambda > 1e6 {
		return
	}
	if p, err := Power(w, n, int64(df), alpha); err == nil && !(p >= 0 && p <= 1) {
		t.Fatalf("power %v", p)
	}
	if _, err := SampleSize(w, 0.8, int64(df), alpha); err != nil && !errors.Is(err, ErrArgument) {
		t.Fatal(err)
	}
	if e, err := MinimumEffect(n, 0.8, int64(df), alpha); err == nil && !(e >= 0) {
		t.Fatalf("smallest effect %v", e)
	}
	if low, high, err := NoncentralityInterval(lambda, int64(df), alpha); err == nil && !(low >= 0 && low <= high) {
		t.Fatalf("noncentrality from %v to %v", low, high)
	}
	ln := []float64{-w, -df, -lambda, -alpha}
	for a := Bonferroni; a <= BenjaminiYekutieli; a++ {
		own, of := AdjustLn(ln, a), AdjustLnOf(ln, 9, a)
		for k := range ln {
			if !(own[k] <= 0 && of[k] <= 0 && of[k] >= own[k]-1e-9*math.Abs(own[k])) {
				t.Fatalf("%v: %v and %v of %v", a, own, of, ln)
			}
		}
	}
}
