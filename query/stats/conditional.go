package stats

import "math"

// ExactConditional is the exact test of a common odds ratio of 1 over strata of 2×2 tables, given all their margins: the
// sum of the first cells against its exact distribution, the convolution of the strata's hypergeometric ones. Strata in
// which nothing can vary add nothing. The two-sided p-value adds the sums that are no more probable than the observed one
// (ties are taken within a relative 1e-11). The Statistic is the sum of the first cells, the Effect the Mantel-Haenszel odds
// ratio. ErrEmpty without observations, ErrArgument when the work (the number of sums times that of a stratum's cells) would
// exceed 10⁸, ErrOverflow for more than 2⁶⁴−1 observations.
//
// Mehta, Patel & Gray 1985; Agresti, Categorical Data Analysis, 3rd ed., §7.3.5.
func ExactConditional(strata []Fourfold) (ExactP, error) {
	const workMax = 1e8
	prob, offset, n := []float64{1}, uint64(0), uint64(0)
	observed, work := uint64(0), 0.0
	for _, f := range strata {
		sum, ok := addU64(n, f.n)
		if !ok {
			return ExactP{}, ErrOverflow
		}
		n = sum
		if f.degenerate() {
			continue
		}
		h := newHypergeometric(f)
		width := float64(h.hi-h.lo) + 1
		if work += float64(float64(len(prob)) * width); work > workMax {
			return ExactP{}, argumentError("strata too large for an exact test; use Cochran–Mantel–Haenszel")
		}
		prob = convolve(prob, h.probabilities())
		offset += h.lo
		observed += f.a
	}
	if n == 0 {
		return ExactP{}, ErrEmpty
	}
	e := sumExact(prob, int(observed-offset))
	e.Method, e.Statistic, e.N, e.Rows, e.Cols = "exact conditional, stratified", float64(observed), n, 2, 2
	if sums, err := sumStrata(strata); err == nil {
		e.Effect = sums.mantelHaenszel(DefaultLevel)
	}
	if len(prob) == 1 {
		e.Warnings = e.Warnings.with(Warning{Kind: ZeroVariance})
	}
	return e, nil
}

// probabilities are those of all first cells, from lo to hi.
func (h hypergeometric) probabilities() []float64 {
	out := make([]float64, h.hi-h.lo+1)
	for i := range out {
		out[i] = exp(h.table(h.lo + uint64(i)).lnProb())
	}
	return out
}

func convolve(a, b []float64) []float64 {
	out := make([]float64, len(a)+len(b)-1)
	for i, x := range a {
		if x == 0 {
			continue
		}
		for j, y := range b {
			out[i+j] += float64(x * y)
		}
	}
	return out
}

// sumExact reads the p-values of outcome k off a list of probabilities.
func sumExact(prob []float64, k int) ExactP {
	var less, greater, two, tied float64
	for i, p := range prob {
		if i <= k {
			less += p
		}
		if i >= k {
			greater += p
		}
		if p <= prob[k]*(1+1e-11) {
			two += p
			if p >= prob[k]*(1-1e-11) {
				tied++
			}
		}
	}
	ln := func(p float64) float64 { return math.Min(0, log(math.Max(p, math.SmallestNonzeroFloat64))) }
	e := newExactP(ln(prob[k]), ln(less), ln(greater))
	e.LnP = ln(two)
	e.fill(tied)
	return e
}
