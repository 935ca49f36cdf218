package stats

import "math"

// ProportionMethod names an interval for one proportion.
type ProportionMethod uint8

// The intervals for a proportion of x in n.
const (
	Wilson         ProportionMethod = iota // inversion of the score test: the one to show
	ClopperPearson                         // exact: covers at least the level, often more
	Jeffreys                               // quantiles of Beta(x+½, n−x+½)
	AgrestiCoull                           // Wald around (x+z²/2)/(n+z²); not clipped to [0, 1]
	WaldProportion                         // p ± z·√(pq/n); not clipped, and too short for small n
)

// Proportion is x/n with its standard error √(pq/n) and an interval at the given level (0…1). For x = 0 the lower end of
// Wilson, Clopper–Pearson and Jeffreys is exactly 0, for x = n the upper end exactly 1. ErrEmpty for n = 0, ErrArgument
// for x > n or a level outside (0, 1).
//
// Brown, Cai & DasGupta, Statistical Science 16 (2001).
func Proportion(x, n uint64, level float64, method ProportionMethod) (Measure, error) {
	switch {
	case n == 0:
		return Measure{}, ErrEmpty
	case x > n:
		return Measure{}, argumentError("%d successes in %d trials", x, n)
	case !(level > 0 && level < 1):
		return Measure{}, argumentError("level %v, want between 0 and 1", level)
	}
	fn := float64(n)
	p, q := float64(x)/fn, float64(n-x)/fn
	m := measure("proportion", p)
	m.SE, m.HasSE, m.Level = math.Sqrt(p*q/fn), true, level
	z := normalTwoSidedCritical(level)
	switch method {
	case ClopperPearson:
		m.Low, m.High = betaInterval(x, n, level, 0, 1)
	case Jeffreys:
		m.Low, m.High = betaInterval(x, n, level, 0.5, 0.5)
	case AgrestiCoull:
		z2 := float64(z * z)
		wide := fn + z2
		center := (float64(x) + float64(z2/2)) / wide
		half := float64(z * math.Sqrt(center*((float64(n-x)+float64(z2/2))/wide)/wide))
		m.Low, m.High = center-half, center+half
	case WaldProportion:
		half := float64(z * m.SE)
		m.Low, m.High = p-half, p+half
	default:
		w := wilson(x, n, z)
		m.Low, m.High = w.low, w.high
	}
	if m.Low > m.High { // by rounding, at a level next to 0
		m.Low, m.High = m.High, m.Low
	}
	return m, nil
}

// wilsonLimits are the limits of Wilson's interval, and how far they lie below and above the share.
type wilsonLimits struct{ low, high, below, above float64 }

// wilson is (p + z²/2n ± z·√(pq/n + z²/4n²)) / (1 + z²/n), with each limit and each distance in a form in which nothing
// cancels.
func wilson(x, n uint64, z float64) wilsonLimits {
	fn := float64(n)
	p, q := float64(x)/fn, float64(n-x)/fn
	w := float64(z*z) / fn // z²/n
	root := math.Sqrt(w * (float64(p*q) + float64(w/4)))
	// The product of the two roots of the quadratic is p²/(1+w): divided by the sum that does not cancel it gives the
	// lower limit, and its mirror image the upper one.
	reach := float64(w/2) + root
	limits := wilsonLimits{high: 1}
	if p > 0 {
		limits.low, limits.below = p*p/(p+reach), p*reach/(p+reach)
	}
	if q > 0 {
		limits.high, limits.above = 1-float64(q*q/(q+reach)), q*reach/(q+reach)
	}
	if p < 0.5 {
		limits.high = (p + reach) / (1 + w)
	}
	return limits
}

// betaInterval gives the quantiles of Beta(x+low, n−x+1−low) below and Beta(x+high, n−x+1−high) above.
func betaInterval(x, n uint64, level, low, high float64) (lo, hi float64) {
	target := log((1 - level) / 2)
	fx, fm := float64(x), float64(n-x)
	if x > 0 {
		lo, _ = betaQuantile(target, false, fx+low, fm+1-low)
	}
	hi = 1
	if x < n {
		hi, _ = betaQuantile(target, true, fx+high, fm+1-high)
	}
	return lo, hi
}
