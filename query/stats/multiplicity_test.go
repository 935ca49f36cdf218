package stats

import (
	"errors"
	"math"
	"math/rand/v2"
	"testing"
)

// A short list is sorted by comparisons, a long one by radix: padding with p = 1 must only change the family.
func TestAdjustLongListAgreesWithShort(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	short := make([]float64, 400)
	for i := range short {
		short[i] = -math.Exp(8 * (r.Float64() - 0.3))
	}
	short[7], short[9] = short[3], math.NaN()
	long := append(append([]float64{}, short...), make([]float64, 600)...)
	for _, a := range []Adjustment{Bonferroni, Sidak, Holm, Hochberg, BenjaminiHochberg, BenjaminiYekutieli} {
		whole := AdjustLn(long, a)
		for i, got := range AdjustLnOf(short, 1000, a) {
			if a != Hochberg && math.Abs(got-whole[i]) > 1e-12 {
				t.Errorf("%v: %v of 400, %v of 1000", a, got, whole[i])
			}
			if !(got <= 0) || got < capLn(short[i]) {
				t.Errorf("%v: adjusted %v below %v", a, got, short[i])
			}
		}
	}
}

func TestAdjustFarTail(t *testing.T) {
	got := AdjustLn([]float64{-2e6, -1e6, 0.5}, Sidak)
	wantClose(t, "Šidák", got[0], -2e6+math.Log(3), 1e-15)
	if got[2] != 0 {
		t.Error(got)
	}
	wantClose(t, "harmonic", harmonic(1000), harmonicSeries(1000), 1e-14)
	wantClose(t, "harmonic", harmonic(2000), 8.178368103610282, 1e-14)
}

func TestAdjustmentNames(t *testing.T) {
	for a := Bonferroni; a <= BenjaminiYekutieli; a++ {
		if back, err := ParseAdjustment(a.String()); back != a || err != nil {
			t.Error(a, back, err)
		}
	}
	if _, err := ParseAdjustment("tukey"); !errors.Is(err, ErrArgument) {
		t.Error(err)
	}
	if got := Adjustment(99).String(); got != "adjustment(99)" {
		t.Error(got)
	}
}

func TestScreen(t *testing.T) {
	tables := []Fourfold{fourfold(10, 20, 30, 5), fourfold(3, 3, 3, 3), fourfold(0, 0, 4, 5)}
	out := Screen(tables, Bonferroni)
	for i, f := range tables {
		wantClose(t, "statistic", out[i].Statistic, f.pearson(), 0)
		wantClose(t, "adjusted", out[i].LnAdjusted, math.Min(0, out[i].LnP+math.Log(3)), 1e-14)
	}
	if out[1].LnP != 0 || out[2].LnP != 0 {
		t.Error(out)
	}
}
