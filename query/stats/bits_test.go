package stats

import (
	"flag"
	"fmt"
	"math"
	"os"
	"strings"
	"testing"
)

var rewriteBits = flag.Bool("rewrite-bits", false, "write testdata/bits.txt anew")

// TestBits holds the exact bits of results: they must be the same on every architecture. Run it on another one with
// integration/peers/arm64_stats.sh.
func TestBits(t *testing.T) {
	var b strings.Builder
	put := func(name string, values ...float64) {
		fmt.Fprintf(&b, "%s", name)
		for _, v := range values {
			fmt.Fprintf(&b, " %016x", math.Float64bits(v))
		}
		b.WriteByte('\n')
	}
	x := 0.7310585786300049
	for i := range 60 {
		x = math.FMA(x, 1.37, float64(i)*0.011) // a walk over magnitudes, exact on every machine
		y := 1 / x
		put(fmt.Sprint("elementary ", i), log(x), log1p(-y/3), exp(-x/1e5), expm1(y/7), log1pmx(y/5), erfcx(x/1e6), erfc(y), lnErfc(x/1e4),
			lgamma(x), stirlingError(y+0.1), log1mexp(-y), logAdd(-y, -x))
		df := float64(1 + i*i*i)
		put(fmt.Sprint("chi-square ", i), ChiSquareSurvival(df*(1+y/9), df), LnChiSquareSurvival(2*df+x, df), ChiSquareCDF(df*0.9, df),
			LnChiSquareCDF(df*0.3, df), ChiSquareCritical(0.01, df))
		put(fmt.Sprint("normal ", i), NormalSurvival(y*3), LnNormalSurvival(x/1e3), NormalQuantile(y/20))
		p := newBetaPoint(float64(i+1)*1.5, 40, 0.25, 0.75).tails()
		q := newBetaPoint(float64(i+1)*3001, 9e6, 0.0001*float64(i+1), 1-0.0001*float64(i+1)).tails()
		put(fmt.Sprint("beta ", i), p.ln, q.ln, p.upper(), q.lower())
		n := noncentralTails(float64(i)+3, 4, float64(i)*y+1)
		put(fmt.Sprint("noncentral ", i), n.lnUpper(), n.lnLower())
		k := uint64(i)
		for _, f := range []Fourfold{fourfold(3+k, 8, 5, 2+k), fourfold(1000+k, 900, 800, 850-k), fourfold(4e9, 4e9+k, 4e9, 4e9+1000*k)} {
			e, err := Fisher(f)
			if err != nil {
				t.Fatal(err)
			}
			or, rd := f.ConditionalOddsRatio(0.95), f.RiskDifference(0.95, MiettinenNurminen)
			put(fmt.Sprint("2x2 ", i), e.LnP, e.LnLess, e.LnGreater, e.MidP, or.Value, or.Low, or.High, rd.Low, rd.High, f.pearson(),
				TwoProportionE(f).LnE())
		}
		cp, _ := Proportion(k, 100, 0.95, ClopperPearson)
		w, _ := Proportion(k, 100, 0.95, Wilson)
		s, _ := ProportionSequence(k, 100, 0.95)
		put(fmt.Sprint("proportion ", i), cp.Low, cp.High, w.Low, w.High, s.Low, s.High)
	}
	u, _ := Barnard(fourfold(7, 2, 3, 8))
	v, _ := Boschloo(fourfold(7, 2, 3, 8))
	put("unconditional", u.Less, u.Greater, u.P, v.Less, v.Greater, v.P)
	for _, by := range []MonteCarloStatistic{ByProbability, ByPearson} {
		for _, scale := range []int64{1, 40} {
			m, err := NewMonteCarlo(mustTable(t, [][]int64{{3 * scale, scale, 2 * scale}, {scale, 4 * scale, 2 * scale}}), by, 11)
			if err != nil {
				t.Fatal(err)
			}
			put("monte carlo", float64(m.Exceedances(0, 2000)))
		}
	}
	r, err := FisherRxC(mustTable(t, [][]int64{{3, 3, 6}, {1, 5, 4}, {5, 2, 0}}))
	if err != nil {
		t.Fatal(err)
	}
	put("r x c", r.P, r.LnP)
	checkBits(t, b.String())
}

func checkBits(t *testing.T, got string) {
	t.Helper()
	const file = "testdata/bits.txt"
	if *rewriteBits {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Split(string(raw), "\n")
	for i, line := range strings.Split(got, "\n") {
		if i >= len(want) || line != want[i] {
			t.Errorf("line %d:\n got %s\nwant %s", i+1, line, append(want, make([]string, i+1)...)[i])
		}
	}
}
