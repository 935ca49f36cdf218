package stats

import (
	"errors"
	"math"
	"math/big"
	"testing"
)

// binomialTwin adds up exact probabilities.
func binomialTwin(x, n int64, p *big.Rat) (two, less, greater float64) {
	q := new(big.Rat).Sub(big.NewRat(1, 1), p)
	prob := make([]*big.Rat, n+1)
	for k := int64(0); k <= n; k++ {
		term := new(big.Rat).SetInt(new(big.Int).Binomial(n, k))
		for range k {
			term.Mul(term, p)
		}
		for range n - k {
			term.Mul(term, q)
		}
		prob[k] = term
	}
	sum := func(in func(k int64) bool) float64 {
		s := new(big.Rat)
		for k := int64(0); k <= n; k++ {
			if in(k) {
				s.Add(s, prob[k])
			}
		}
		f, _ := s.Float64()
		return f
	}
	return sum(func(k int64) bool { return prob[k].Cmp(prob[x]) <= 0 }), sum(func(k int64) bool { return k <= x }),
		sum(func(k int64) bool { return k >= x })
}

func TestBinomialAgainstExactSums(t *testing.T) {
	for _, n := range []int64{1, 2, 7, 20} {
		for _, p := range []*big.Rat{big.NewRat(1, 2), big.NewRat(1, 4), big.NewRat(7, 8), big.NewRat(3, 1024)} {
			for x := int64(0); x <= n; x++ {
				fp, _ := p.Float64()
				e, err := BinomialTest(uint64(x), uint64(n), fp)
				if err != nil {
					t.Fatal(err)
				}
				two, less, greater := binomialTwin(x, n, p)
				wantClose(t, "two-sided", e.P, two, 1e-12)
				wantClose(t, "less", e.Less, less, 1e-12)
				wantClose(t, "greater", e.Greater, greater, 1e-12)
				wantClose(t, "mid", e.MidLess, less-e.Observed/2, 1e-11)
			}
		}
	}
}

func TestBinomialHuge(t *testing.T) {
	const n = uint64(math.MaxUint64)
	e, err := BinomialTest(n/2, n, 0.5)
	if err != nil || math.Abs(e.P-1) > 1e-14 {
		t.Errorf("%+v, %v", e, err)
	}
	// Ten standard deviations of 2^31 below the mean: the normal tail, corrected by half a step of 2^-31.
	e, err = BinomialTest(1<<63-10<<31, n, 0.5)
	if err != nil || math.Abs(e.LnLess-LnNormalSurvival(10)) > 1e-7 {
		t.Errorf("%v, want about %v (%v)", e.LnLess, LnNormalSurvival(10), err)
	}
}

func TestBinomialDegenerate(t *testing.T) {
	for _, c := range []struct {
		x, n uint64
		p    float64
		want float64
	}{{0, 5, 0, 1}, {2, 5, 0, 0}, {5, 5, 1, 1}, {4, 5, 1, 0}, {3, 6, 0.5, 1}, {0, 3, 1e-300, 1}} {
		e, err := BinomialTest(c.x, c.n, c.p)
		if err != nil || math.Abs(e.P-c.want) > 1e-15 {
			t.Errorf("%+v: p = %v, %v", c, e.P, err)
		}
	}
	if _, err := BinomialTest(0, 0, 0.5); !errors.Is(err, ErrEmpty) {
		t.Error(err)
	}
	for _, err := range []error{second(BinomialTest(3, 2, 0.5)), second(BinomialTest(1, 2, math.NaN())), second(Proportion(3, 2, 0.95, Wilson)),
		second(Proportion(1, 2, 1, Wilson))} {
		if !errors.Is(err, ErrArgument) {
			t.Error(err)
		}
	}
	if _, err := Proportion(0, 0, 0.95, Wilson); !errors.Is(err, ErrEmpty) {
		t.Error(err)
	}
	if m, err := Proportion(3, 9, 1e-300, Wilson); err != nil || m.Low > m.High {
		t.Error(m, err)
	}
}

// The distributions at the ends of their ranges.
func TestDistributionEnds(t *testing.T) {
	inf, nan := math.Inf(1), math.NaN()
	for _, c := range []struct {
		name      string
		got, want float64
	}{
		{"df 0", ChiSquareSurvival(3, 0), 1}, {"x 0", ChiSquareSurvival(0, 3), 1}, {"x inf", LnChiSquareSurvival(inf, 3), -inf},
		{"x nan", ChiSquareSurvival(nan, 3), nan}, {"cdf 0", LnChiSquareCDF(0, 3), -inf}, {"tiny x", LnChiSquareCDF(1e-320, 1e12), -3.81729e14},
		{"huge x", LnChiSquareSurvival(1e300, 1e12), -5e299}, {"small x, df 2", ChiSquareCDF(1e-8, 2), 4.9999999875e-9},
		{"critical 0", ChiSquareCritical(0, 3), inf}, {"critical 1", ChiSquareCritical(1, 3), 0}, {"critical df 0", ChiSquareCritical(0.5, 0), 0},
		{"critical nan", ChiSquareCriticalLn(nan, 3), nan}, {"critical ln 0", ChiSquareCriticalLn(0, 3), 0},
		{"critical ln -inf", ChiSquareCriticalLn(-inf, 3), inf}, {"critical far", LnChiSquareSurvival(ChiSquareCriticalLn(-1e6, 5), 5), -1e6},
		{"critical ln above", ChiSquareCDF(ChiSquareCriticalLn(-0.1, 7), 7), 1 - math.Exp(-0.1)},
		{"critical below all", chiSquareQuantile(1, 3, false), inf}, {"critical below none", chiSquareQuantile(-inf, 3, false), 0},
		{"critical df 2", ChiSquareCritical(0.25, 2), -2 * math.Log(0.25)},
		{"lower tail", LnChiSquareCDF(chiSquareQuantile(-300, 1, false), 1), -300},
		{"quantile 0", NormalQuantile(0), -inf}, {"quantile 1", NormalQuantile(1), inf}, {"quantile half", NormalQuantile(0.5), 0},
		{"quantile .975", NormalQuantile(0.975), 1.9599639845400543}, {"quantile nan", NormalQuantile(2), nan}, {"upper nan", normalUpperLn(nan), nan},
		{"upper 0", normalUpperLn(0), -inf}, {"upper -inf", normalUpperLn(-inf), inf}, {"huge z", NormalSurvival(1e200), 0},
		{"noncentral 0", noncentralTails(3, 2, 0).upper(), math.Exp(-1.5)}, {"noncentral at 0", noncentralTails(0, 2, 3).upper(), 1},
		{"noncentral inf", noncentralTails(inf, 2, 3).upper(), 0}, {"noncentral far", noncentralTails(1e-40, 4, 3).lnLower(), math.Log(1.25e-81) - 1.5},
		{"beta 0", newBetaPoint(2, 3, 0, 1).tails().lower(), 0}, {"beta 1", newBetaPoint(2, 3, 1, 0).tails().upper(), 0},
	} {
		if c.got != c.want && !(relErr(c.got, c.want) < 1e-3 && c.name == "tiny x") && !(relErr(c.got, c.want) < 1e-12) && !(c.got != c.got && c.want != c.want) {
			t.Errorf("%s: %v, want %v", c.name, c.got, c.want)
		}
	}
	if x, y := betaQuantile(math.Inf(-1), false, 2, 3); x != 0 || y != 1 {
		t.Error(x, y)
	}
	if x, y := betaQuantile(0, false, 2, 3); x != 1 || y != 0 {
		t.Error(x, y)
	}
}
