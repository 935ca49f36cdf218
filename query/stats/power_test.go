package stats

import (
	"errors"
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
	for _, lambda := range []float64{9.99e8, 1.01e9} { // the two methods meet
		for _, z := range []float64{-3, 0, 4} {
			x := 5 + lambda + z*2*math.Sqrt(lambda)
			exact := noncentralSum(x/2, 2.5, lambda/2, z > 0)
			s := sankaran(x, 5, lambda)
			approx := s.lnLower()
			if z > 0 {
				approx = s.lnUpper()
			}
			if math.Abs(exact-approx) > 2e-4 {
				t.Errorf("λ = %g, z = %g: %g by the mixture, %g by Sankaran", lambda, z, exact, approx)
			}
		}
	}
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
