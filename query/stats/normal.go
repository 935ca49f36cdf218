package stats

import "math"

// NormalSurvival is the probability that a standard normal variable exceeds z, with a relative error below 1e-14
// down to the smallest float64.
func NormalSurvival(z float64) float64 {
	t := normalTails(z)
	return t.upper()
}

// LnNormalSurvival is the natural logarithm of NormalSurvival: finite for every z up to about 1e154.
func LnNormalSurvival(z float64) float64 {
	t := normalTails(z)
	return t.lnUpper()
}

// NormalTwoSided is the probability that a standard normal variable is at least as far from 0 as z, and its natural
// logarithm: the p-value of a z statistic.
func NormalTwoSided(z float64) (p, lnP float64) {
	t := chiSquareOneRoot(math.Abs(z))
	return t.upper(), t.lnUpper()
}

// NormalQuantile is the value z that a standard normal variable stays below with probability p: −Inf at 0, +Inf at 1.
func NormalQuantile(p float64) float64 {
	switch {
	case p != p || p < 0 || p > 1:
		return math.NaN()
	case p == 0.5:
		return 0
	case p > 0.5:
		return normalQuantileLn(log(1-p), true) // 1−p is exact here
	}
	return normalQuantileLn(log(p), false)
}

// normalTwoSidedCritical is the z with P(|Z| ≤ z) = level, the factor of a Wald interval; 0 < level < 1.
func normalTwoSidedCritical(level float64) float64 {
	return normalUpperLn(log((1 - level) / 2))
}

// normalTails gives both tails of the standard normal distribution at z.
func normalTails(z float64) tails {
	if z < 0 {
		t := normalTails(-z)
		t.isUpper = false
		return t
	}
	// ½·erfc(z/√2), with z²/2 as the exponent and not the square of the rounded z/√2.
	sq := float64(z * z)
	low := math.FMA(z, z, -sq)
	if math.IsInf(sq, 1) {
		low = 0
	}
	scaled := erfcx(z*(1/math.Sqrt2)) / 2
	return tails{p: expSum(-sq/2, -low/2) * scaled, ln: log(scaled) - float64(sq/2), isUpper: true}
}

// chiSquareOneRoot gives the tails of |Z| at z ≥ 0.
func chiSquareOneRoot(z float64) tails {
	if z < 0.7 {
		p := erfSmall(z * (1 / math.Sqrt2))
		return tails{p: p, ln: log(p)}
	}
	t := normalTails(z)
	t.p, t.ln = 2*t.p, t.ln+math.Ln2
	return t
}

// normalQuantileLn is the z whose upper tail (or lower tail) has the given logarithm.
func normalQuantileLn(target float64, isUpper bool) float64 {
	z := normalUpperLn(target)
	if isUpper {
		return z
	}
	return -z
}

// normalUpperLn solves LnNormalSurvival(z) = target. Where the tail is more than half, the other one is solved for.
func normalUpperLn(target float64) float64 {
	switch {
	case target != target:
		return target
	case target >= 0:
		return math.Inf(-1)
	case math.IsInf(target, -1):
		return math.Inf(1)
	case target > -math.Ln2:
		return -normalUpperLn(log1mexp(target))
	}
	// Start from Q(z) ≈ φ(z)/z, which is close for large z, and near the middle from the tangent.
	z := math.Sqrt(-2 * (target + math.Ln2))
	if z > 2 {
		z = math.Sqrt(-2 * (target + lnSqrt2Pi + log(z)))
	}
	for range 60 {
		t := normalTails(z)
		ln := t.lnUpper()
		// The hazard φ/Q is the slope of −ln Q; its own slope h(h−z) gives Halley's step.
		hazard := 2 / (sqrt2Pi * erfcx(z*(1/math.Sqrt2)))
		delta := (ln - target) / hazard
		step := delta / (1 + float64(delta*(hazard-z)/2))
		next := z + step
		if next < 0 {
			next = z / 2
		}
		if math.Abs(next-z) <= 0x1p-51*math.Abs(next) {
			return next
		}
		z = next
	}
	return z
}
