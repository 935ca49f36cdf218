package stats

import (
	"errors"
	"fmt"
	"math"
	"testing"
)

// Sample size and minimum effect undo the power.
func TestPowerUndone(t *testing.T) {
	for _, c := range []struct {
		w     float64
		n     uint64
		df    int64
		alpha float64
	}{{0.1, 200, 1, 0.05}, {0.3, 100, 4, 0.05}, {0.5, 50, 9, 0.01}, {0.01, 123_456, 2, 0.001}} {
		p, err := Power(c.w, c.n, c.df, c.alpha)
		if err != nil {
			t.Fatal(err)
		}
		n, err := SampleSize(c.w, p, c.df, c.alpha)
		if err != nil || n > c.n+1 || n+1 < c.n {
			t.Errorf("SampleSize = %d, %v, want %d", n, err, c.n)
		}
		w, err := MinimumEffect(c.n, p, c.df, c.alpha)
		if err != nil {
			t.Fatal(err)
		}
		wantClose(t, "MinimumEffect", w, c.w, 1e-9)
	}
}

// R 4.2.2: pchisq(x, df, ncp, lower.tail = FALSE); with 30 digits by mpmath.
func TestNoncentralTails(t *testing.T) {
	for _, row := range gridRows(t, "special_ncx2") {
		tl := noncentralTails(row[1], row[0], row[2])
		wantLn(t, "ln sf", tl.lnUpper()/10, row[3]/10)
		wantLn(t, "ln cdf", tl.lnLower()/10, row[4]/10)
		if row[3] < -1e-10 && row[4] < -1e-10 {
			wantClose(t, "lambda", noncentralityFor(row[1], row[0], tl.lnUpper(), true), row[2], 1e-8)
		}
	}
}

func TestNoncentralSteps(t *testing.T) {
	for _, peak := range []float64{1 << 12, 1 << 14, 1e6} { // both methods work on either side of the place where they meet
		for _, a := range []float64{0.5, 2.5, 300, peak} {
			for _, z := range []float64{-30, -8, -3, -1, 0, 1, 4, 20, 60} {
				m := peak
				x := a + m + z*math.Sqrt(a+2*m)
				if x <= 0 {
					continue
				}
				for _, upper := range []bool{false, true} {
					if upper != (z > 0) {
						continue
					}
					root := math.Sqrt(m * x)
					at := root * root / (a/2 + math.Sqrt(a*a/4+root*root))
					wantClose(t, fmt.Sprintf("peak %g, shape %g, z %g", peak, a, z),
						noncentralStepped(x, a, m, at, upper), noncentralEach(x, a, m, at, upper), 1e-12)
				}
			}
		}
	}
}

func TestNoncentralRoot(t *testing.T) {
	for _, lambda := range []float64{rootNormalFrom / 2, rootNormalFrom * 2, 1e20} {
		for _, z := range []float64{-6, -1, 0, 2, 7} {
			x := lambda + 1e6 + 2*z*math.Sqrt(lambda) + z*z
			got, want := noncentralTails(x, 1e6, lambda), normalTails(z)
			wantClose(t, fmt.Sprintf("upper, %g, %g", lambda, z), got.lnUpper(), want.lnUpper(), 1e-5)
			wantClose(t, fmt.Sprintf("lower, %g, %g", lambda, z), got.lnLower(), want.lnLower(), 1e-5)
		}
	}
	for _, x := range []float64{1e40, 1e300} { // where ln P(X > x) is −x/2 to all digits
		wantClose(t, "far out", noncentralTails(x, 2.5e11, 6).lnUpper(), -x/2, 1e-15)
	}
	low, high, err := NoncentralityInterval(1e40, 3, 0.95) // the two ends differ by less than their own resolution
	if err != nil {
		t.Fatal(err)
	}
	wantClose(t, "low", low, 1e40, 1e-15)
	wantClose(t, "high", high, 1e40, 1e-15)
}

func TestPowerArguments(t *testing.T) {
	errs := []error{}
	add := func(_ any, err error) { errs = append(errs, err) }
	add(Power(-1, 10, 1, 0.05))
	add(Power(math.Inf(1), 10, 1, 0.05))
	add(Power(0.1, 10, 0, 0.05))
	add(Power(0.1, 10, 1, 0))
	add(SampleSize(0.1, 0.01, 1, 0.05))
	add(SampleSize(0, 0.8, 1, 0.05))
	add(SampleSize(1e-300, 0.8, 1, 0.05))
	add(MinimumEffect(10, 1, 1, 0.05))
	_, _, err := NoncentralityInterval(math.Inf(1), 1, 0.95)
	errs = append(errs, err)
	_, _, err = NoncentralityInterval(1, 0, 0.95)
	errs = append(errs, err)
	for i, err := range errs {
		if !errors.Is(err, ErrArgument) {
			t.Errorf("case %d: %v", i, err)
		}
	}
	if _, err := MinimumEffect(0, 0.8, 1, 0.05); !errors.Is(err, ErrEmpty) {
		t.Error(err)
	}
	low, high, err := NoncentralityInterval(0, 3, 0.95)
	if low != 0 || high != 0 || err != nil {
		t.Error(low, high, err)
	}
	low, high, _ = NoncentralityInterval(30.07, 2, 0.95)
	p, _ := noncentralTails(30.07, 2, low).upper(), 0
	q := noncentralTails(30.07, 2, high).lower()
	wantClose(t, "low", p, 0.025, 1e-9)
	wantClose(t, "high", q, 0.025, 1e-9)
}
