package stats

import "math"

// Power is the probability that a chi-square test with df degrees of freedom rejects at level alpha, when the true effect
// has Cohen's w = √(Σ (p₁−p₀)²/p₀) and n observations are made: the upper tail of the noncentral chi-square distribution
// with λ = n·w² at the critical value. For a 2×2 table w is |φ|; in general w = V·√(min(r, c)−1). ErrArgument unless
// w ≥ 0 is finite, df ≥ 1 and 0 < alpha < 1.
//
// Cohen, Statistical Power Analysis, 2nd ed. 1988, ch. 7.
func Power(w float64, n uint64, df int64, alpha float64) (float64, error) {
	if err := checkPower(df, alpha); err != nil {
		return 0, err
	}
	if !(w >= 0) || math.IsInf(w, 1) {
		return 0, argumentError("effect size w = %v, want a number from 0 up", w)
	}
	t := noncentralTails(ChiSquareCritical(alpha, float64(df)), float64(df), float64(n)*w*w)
	return t.upper(), nil
}

func checkPower(df int64, alpha float64) error {
	switch {
	case df < 1:
		return argumentError("%d degrees of freedom, want 1 or more", df)
	case !(alpha > 0 && alpha < 1):
		return argumentError("alpha %v, want between 0 and 1", alpha)
	}
	return nil
}

// noncentrality is the λ at which the test has the given power.
func noncentrality(power float64, df int64, alpha float64) (float64, error) {
	if err := checkPower(df, alpha); err != nil {
		return 0, err
	}
	if !(power > alpha && power < 1) {
		return 0, argumentError("power %v, want between alpha = %v and 1", power, alpha)
	}
	x := ChiSquareCritical(alpha, float64(df))
	if power > 0.5 {
		return noncentralityFor(x, float64(df), log1p(-power), false), nil
	}
	return noncentralityFor(x, float64(df), log(power), true), nil
}

// SampleSize is the least n with which the test has the given power against an effect of size w. ErrArgument also where
// that n is above 2⁶³.
func SampleSize(w, power float64, df int64, alpha float64) (uint64, error) {
	lambda, err := noncentrality(power, df, alpha)
	if err != nil {
		return 0, err
	}
	n := math.Ceil(lambda / w / w)
	if !(w > 0) || !(n <= 0x1p63) {
		return 0, argumentError("effect size w = %v needs more than 2^63 observations", w)
	}
	// The last step by the power itself: rounding of λ must not cost an observation.
	least := uint64(n)
	for range 3 {
		if p, _ := Power(w, least-1, df, alpha); least < 2 || p < power {
			break
		}
		least--
	}
	return least, nil
}

// MinimumEffect is the smallest Cohen's w that n observations detect with the given power.
func MinimumEffect(n uint64, power float64, df int64, alpha float64) (float64, error) {
	lambda, err := noncentrality(power, df, alpha)
	if err != nil {
		return 0, err
	}
	if n == 0 {
		return 0, ErrEmpty
	}
	return math.Sqrt(lambda / float64(n)), nil
}

// NoncentralityInterval is the interval of the noncentrality λ of a chi-square statistic at the given level: the λ at
// which the statistic is the upper, and the lower, (1−level)/2 quantile. √(λ/n) bounds Cohen's w, and divided by
// √(min(r, c)−1) Cramér's V. ErrArgument unless the statistic is finite and not negative.
func NoncentralityInterval(statistic float64, df int64, level float64) (low, high float64, err error) {
	if err := checkPower(df, level); err != nil {
		return 0, 0, err
	}
	if !(statistic >= 0) || math.IsInf(statistic, 1) {
		return 0, 0, argumentError("statistic %v, want a finite number from 0 up", statistic)
	}
	target := log((1 - level) / 2)
	low = noncentralityFor(statistic, float64(df), target, true)
	if statistic > 0 {
		high = max(low, noncentralityFor(statistic, float64(df), target, false)) // they meet within a rounding where level is next to 0 or statistic huge
	}
	return low, high, nil
}
