package stats

import "math"

// lnBinomialProb is the logarithm of the probability of k successes in n trials, each of probability p = 1−q, by
// Loader's saddle point form (Fast and accurate computation of binomial probabilities, 2000): the deviance of k from
// n·p, and what Stirling's formula leaves out of three factorials.
func lnBinomialProb(k, n uint64, p, q float64) float64 {
	switch {
	case p <= 0:
		return lnIndicator(k == 0)
	case q <= 0:
		return lnIndicator(k == n)
	case k == 0:
		return float64(n) * lnShare(q, p)
	case k == n:
		return float64(n) * lnShare(p, q)
	}
	fn, fk, fm := float64(n), float64(k), float64(n-k)
	point := betaPoint{fk, fm, p, q, binomialDistance(k, n-k, p, q)}
	return math.Min(0, point.deviance()-float64(log(fk)/2)-float64(log(fm/fn)/2)-lnSqrt2Pi+
		stirlingError(fn)-stirlingError(fk)-stirlingError(fm))
}

// lnShare is ln p by the complement where that is closer to 0.
func lnShare(p, q float64) float64 {
	if q < 0.5 {
		return log1p(-q)
	}
	return log(p)
}

func lnIndicator(certain bool) float64 {
	if certain {
		return 0
	}
	return math.Inf(-1)
}

// binomialDistance is p·m − q·k, exact for p = ½ however large the counts.
func binomialDistance(k, m uint64, p, q float64) float64 {
	if p == 0.5 && q == 0.5 {
		if m >= k {
			return float64(m-k) / 2
		}
		return -float64(k-m) / 2
	}
	return newBetaPoint(float64(k), float64(m), p, q).e
}

// binomialTails gives P(X ≤ k) as the lower tail, and P(X > k) as the upper one.
func binomialTails(k, n uint64, p, q float64) tails {
	if k >= n || p <= 0 {
		return upperTail(math.Inf(-1))
	}
	if q <= 0 {
		return lowerTail(math.Inf(-1))
	}
	// P(X ≤ k) = I_q(n−k, k+1).
	a, b := float64(n-k), float64(k)+1
	point := betaPoint{a, b, q, p, binomialDistance(n-k, k, q, p) + q}
	return point.tails()
}

// binomialTailsFrom gives P(X < k) as the lower tail, and P(X ≥ k) as the upper one.
func binomialTailsFrom(k, n uint64, p, q float64) tails {
	if k == 0 {
		return lowerTail(math.Inf(-1))
	}
	return binomialTails(k-1, n, p, q)
}

// BinomialTest compares x successes in n trials with the probability p, exactly. The two-sided p-value adds the
// probabilities of all outcomes that are no more probable than the observed one. The Statistic is x, the Effect its share with
// Wilson's interval. ErrArgument unless x ≤ n and 0 ≤ p ≤ 1,
// ErrEmpty for n = 0.
func BinomialTest(x, n uint64, p float64) (ExactP, error) {
	switch {
	case n == 0:
		return ExactP{}, ErrEmpty
	case x > n:
		return ExactP{}, argumentError("%d successes in %d trials", x, n)
	case !(p >= 0 && p <= 1):
		return ExactP{}, argumentError("probability %v, want 0…1", p)
	}
	e := binomialTest(x, n, p)
	e.Method, e.Statistic, e.N = "binomial exact", float64(x), n
	e.Rows, e.Cols, e.MinExpected = 1, 2, float64(n)*math.Min(p, 1-p)
	e.Effect, _ = Proportion(x, n, DefaultLevel, Wilson)
	return e, nil
}

// binomialTest fills the p-values.
func binomialTest(x, n uint64, p float64) ExactP {
	q := 1 - p
	below, above := binomialTails(x, n, p, q), binomialTailsFrom(x, n, p, q)
	e := newExactP(lnBinomialProb(x, n, p, q), below.lnLower(), above.lnUpper())
	var tied float64
	e.LnP, tied = binomialTwoSided(x, n, p, q, e)
	e.fill(tied)
	return e
}

// binomialTwoSided is ln p of the two-sided test, and the number of outcomes as probable as x.
func binomialTwoSided(x, n uint64, p, q float64, e ExactP) (lnP, tied float64) {
	if p == 0.5 { // symmetric: ties are exact
		if 2*(x&^(1<<63)) == n && x < 1<<63 {
			return 0, 1
		}
		return math.Min(0, math.Ln2+math.Min(e.LnLess, e.LnGreater)), 2
	}
	if math.IsInf(e.LnObserved, -1) {
		return e.LnObserved, 1
	}
	mode := binomialMode(n, p)
	if x == mode {
		return 0, 1
	}
	// An outcome on the other side counts when it is no more probable. With p a float64 an exact tie is an accident of
	// rounding; a gap below 1e-12 is taken for one.
	within := func(k uint64) bool {
		return lnBinomialProb(k, n, p, q) <= e.LnObserved+float64(1e-12*math.Max(1, -e.LnObserved*0x1p-8))
	}
	tied = 1
	if x < mode {
		if !within(n) {
			return e.LnLess, 1
		}
		k := searchUint64(mode, n, within) // first k ≥ mode that counts
		if lnBinomialProb(k, n, p, q) >= e.LnObserved-1e-12 {
			tied = 2
		}
		t := binomialTailsFrom(k, n, p, q)
		return math.Min(0, logAdd(e.LnLess, t.lnUpper())), tied
	}
	k := searchUint64(0, mode+1, func(k uint64) bool { return !within(k) }) // first k that does not count
	if k == 0 {
		return e.LnGreater, 1
	}
	if lnBinomialProb(k-1, n, p, q) >= e.LnObserved-1e-12 {
		tied = 2
	}
	t := binomialTails(k-1, n, p, q)
	return math.Min(0, logAdd(e.LnGreater, t.lnLower())), tied
}

// binomialMode is the most probable outcome.
func binomialMode(n uint64, p float64) uint64 {
	m := math.Floor((float64(n) + 1) * p)
	if m >= float64(n) {
		return n
	}
	return uint64(m)
}

// searchUint64 is the least k in [lo, hi) with ok(k), or hi, for a predicate that changes once from false to true.
func searchUint64(lo, hi uint64, ok func(uint64) bool) uint64 {
	for lo < hi {
		mid := lo + (hi-lo)/2
		if ok(mid) {
			hi = mid
		} else {
			lo = mid + 1
		}
	}
	return lo
}
