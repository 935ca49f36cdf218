package stats

import "math"

// DefaultLevel is the usual confidence level of an interval.
const DefaultLevel = 0.95

// OddsRatio is the sample odds ratio ad/bc with Woolf's interval, exp(ln OR ± z·SE); SE is that of ln OR,
// √(1/a+1/b+1/c+1/d). With bc = 0 it is +Inf if ad > 0 and undefined otherwise; a table with a zero has no interval.
func (f Fourfold) OddsRatio(level float64) Measure {
	m := measure("odds_ratio", 0)
	a, b, c, d := f.floats()
	switch {
	case (f.b == 0 || f.c == 0) && (f.a == 0 || f.d == 0):
		return undefined("odds_ratio")
	case f.b == 0 || f.c == 0:
		m.Value = math.Inf(1)
		return m
	case f.a == 0 || f.d == 0:
		return m
	}
	m.Value = a / b * (d / c)
	m.SE, m.HasSE = math.Sqrt(1/a+1/b+1/c+1/d), true
	return m.logInterval(f.lnOddsRatio(), level)
}

// LnOddsRatio is ln(ad/bc) with its standard error; undefined with a zero cell.
func (f Fourfold) LnOddsRatio() Measure {
	or := f.OddsRatio(DefaultLevel)
	if !or.HasSE {
		return undefined("log_odds_ratio")
	}
	return Measure{Name: "log_odds_ratio", Value: f.lnOddsRatio(), Defined: true, SE: or.SE, HasSE: true}
}

// logInterval adds exp(ln ± z·SE).
func (m Measure) logInterval(ln, level float64) Measure {
	if level > 0 && level < 1 {
		half := float64(normalTwoSidedCritical(level) * m.SE)
		m.Low, m.High, m.Level = exp(ln-half), exp(ln+half), level
	}
	return m
}

// HaldaneAnscombe is the odds ratio with ½ added to each cell: finite for every table.
func (f Fourfold) HaldaneAnscombe() Measure {
	a, b, c, d := f.floats()
	return measure("odds_ratio_haldane_anscombe", (a+0.5)/(b+0.5)*((d+0.5)/(c+0.5)))
}

// YulesQ is (ad−bc)/(ad+bc) = (OR−1)/(OR+1); undefined when both products are 0.
func (f Fourfold) YulesQ() Measure { return f.yule("yules_q", 0.5) }

// YulesY is (√ad−√bc)/(√ad+√bc), the colligation; undefined when both products are 0.
func (f Fourfold) YulesY() Measure { return f.yule("yules_y", 0.25) }

// yule is tanh(ln OR · half), which does not cancel where the odds ratio is close to 1.
func (f Fourfold) yule(name string, half float64) Measure {
	or := f.OddsRatio(0)
	switch {
	case !or.Defined:
		return undefined(name)
	case or.Value == 0:
		return measure(name, -1)
	case math.IsInf(or.Value, 1):
		return measure(name, 1)
	}
	t := expm1(2 * half * f.lnOddsRatio())
	return measure(name, t/(t+2))
}

// PhiSigned is √(X²/n) with the sign of ad−bc, the correlation of rows and columns, −1…1; undefined with an empty margin.
func (f Fourfold) PhiSigned() Measure {
	if f.degenerate() {
		return undefined("phi_signed")
	}
	det := f.determinant()
	root := math.Sqrt(float64(f.r1)) * math.Sqrt(float64(f.c1))
	phi := det / root / (math.Sqrt(float64(f.r2)) * math.Sqrt(float64(f.c2)))
	return measure("phi_signed", math.Max(-1, math.Min(1, phi)))
}

// TwoProportionZ compares the shares a/r1 and c/r2 by the pooled z statistic, which is the signed root of Pearson's X².
// The Effect is the risk difference with Newcombe's interval. With an empty margin z is 0 and p is 1; ErrEmpty without
// observations.
func TwoProportionZ(f Fourfold) (Result, error) {
	if f.n == 0 {
		return Result{}, ErrEmpty
	}
	r := Result{DF: NoDF, P: 1}
	f.describe(&r, "two proportions, pooled z")
	r.Statistic, r.Effect = 0, f.RiskDifference(DefaultLevel, Newcombe)
	if f.degenerate() {
		return r, nil
	}
	if r.MinExpected < 5 {
		r.Warnings = r.Warnings.with(Warning{Kind: ExpectedBelow5})
	}
	r.Statistic = math.Copysign(math.Sqrt(f.pearson()), f.determinant())
	r.P, r.LnP = NormalTwoSided(r.Statistic)
	return r, nil
}

// Risks gives the share of the first column in each row; a row without observations has none.
func (f Fourfold) Risks() (first, second Measure) {
	return share("risk_row1", f.a, f.r1), share("risk_row2", f.c, f.r2)
}

func share(name string, x, n uint64) Measure {
	if n == 0 {
		return undefined(name)
	}
	return measure(name, float64(x)/float64(n))
}

// RiskRatio is the share of the first column in the first row over that in the second, with the interval of Katz (1978),
// exp(ln RR ± z·√(1/a−1/r1+1/c−1/r2)); SE is that of ln RR. It is +Inf when only the second share is 0, undefined when
// both are or a row is empty, and has no interval when either is 0.
func (f Fourfold) RiskRatio(level float64) Measure {
	if f.r1 == 0 || f.r2 == 0 || f.a == 0 && f.c == 0 {
		return undefined("risk_ratio")
	}
	m := measure("risk_ratio", 0)
	if f.c == 0 {
		m.Value = math.Inf(1)
		return m
	}
	if f.a == 0 {
		return m
	}
	a, b, c, d := f.floats()
	r1, r2 := float64(f.r1), float64(f.r2)
	m.Value = a / r1 * (r2 / c)
	m.SE, m.HasSE = math.Sqrt(b/a/r1+d/c/r2), true
	return m.logInterval(log(m.Value), level)
}

// RiskMethod names an interval for the difference of two shares.
type RiskMethod uint8

// The intervals for a risk difference.
const (
	Wald              RiskMethod = iota // d ± z·SE; poor for small samples and extreme shares
	Newcombe                            // from Wilson's limits of the two shares (Newcombe 1998, method 10): the one to show
	AgrestiCaffo                        // Wald after one success and one failure are added to each row
	MiettinenNurminen                   // the differences that the score test does not reject (1985)
)

// RiskDifference is a/r1 − c/r2 with its Wald standard error and an interval by the given method; undefined when a row is
// empty.
func (f Fourfold) RiskDifference(level float64, method RiskMethod) Measure {
	if f.r1 == 0 || f.r2 == 0 {
		return undefined("risk_difference")
	}
	a, b, c, d := f.floats()
	r1, r2 := float64(f.r1), float64(f.r2)
	m := measure("risk_difference", f.determinant()/r1/r2)
	m.SE, m.HasSE = math.Sqrt(a/r1*(b/r1)/r1+c/r2*(d/r2)/r2), true
	if !(level > 0 && level < 1) {
		return m
	}
	m.Level = level
	z := normalTwoSidedCritical(level)
	switch method {
	case Newcombe:
		m.Low, m.High = f.newcombe(m.Value, z)
	case AgrestiCaffo:
		m.Low, m.High = f.agrestiCaffo(z)
	case MiettinenNurminen:
		m.Low, m.High = f.miettinenNurminen(m.Value, z)
	default:
		half := float64(z * m.SE)
		m.Low, m.High = m.Value-half, m.Value+half
	}
	return m
}

func (f Fourfold) newcombe(diff, z float64) (low, high float64) {
	w1, w2 := wilson(f.a, f.r1, z), wilson(f.c, f.r2, z)
	// The distances of the limits from the shares, each without cancellation.
	return diff - math.Sqrt(float64(w1.below*w1.below)+float64(w2.above*w2.above)),
		diff + math.Sqrt(float64(w1.above*w1.above)+float64(w2.below*w2.below))
}

func (f Fourfold) agrestiCaffo(z float64) (low, high float64) {
	a, b, c, d := f.floats()
	n1, n2 := float64(f.r1)+2, float64(f.r2)+2
	p1, p2 := (a+1)/n1, (c+1)/n2
	half := float64(z * math.Sqrt(p1*((b+1)/n1)/n1+p2*((d+1)/n2)/n2))
	return p1 - p2 - half, p1 - p2 + half
}

// miettinenNurminen inverts the score test: for a difference δ the shares are fitted under p1 − p2 = δ, and δ belongs to
// the interval while |d−δ| ≤ z·√(V·n/(n−1)) with V the variance at the fit.
func (f Fourfold) miettinenNurminen(diff, z float64) (low, high float64) {
	if f.n < 2 {
		return -1, 1
	}
	r1, r2, n := float64(f.r1), float64(f.r2), float64(f.n)
	inside := func(delta float64) bool {
		p2 := f.constrainedShare(delta)
		p1 := math.Max(0, math.Min(1, p2+delta))
		v := (p1*(1-p1)/r1 + p2*(1-p2)/r2) * (n / (n - 1))
		gap := diff - delta
		return float64(gap*gap) <= float64(z*z*v)
	}
	edge := func(out float64) float64 {
		if inside(out) {
			return out
		}
		in := diff
		for range 100 {
			mid := (in + out) / 2
			if mid == in || mid == out {
				break
			}
			if inside(mid) {
				in = mid
			} else {
				out = mid
			}
		}
		return in
	}
	return edge(-1), edge(1)
}

// constrainedShare is the maximum likelihood estimate of the second share when the first exceeds it by delta: the zero
// of the score a/(p+δ) − b/(1−p−δ) + c/p − d/(1−p), which falls with p.
func (f Fourfold) constrainedShare(delta float64) float64 {
	a, b, c, d := f.floats()
	lo, hi := math.Max(0, -delta), math.Min(1, 1-delta)
	part := func(count, p float64) float64 {
		if count == 0 {
			return 0
		}
		return count / p
	}
	for range 80 {
		p := float64((lo + hi) / 2)
		if p <= lo || p >= hi {
			break
		}
		score := part(a, p+delta) - part(b, 1-p-delta) + part(c, p) - part(d, 1-p)
		if score > 0 {
			lo = p
		} else {
			hi = p
		}
	}
	return (lo + hi) / 2
}

// NumberNeededToTreat is 1/|risk difference|: +Inf when the shares are equal, undefined when a row is empty.
func (f Fourfold) NumberNeededToTreat() Measure {
	d := f.RiskDifference(0, Wald)
	if !d.Defined {
		return undefined("number_needed_to_treat")
	}
	return measure("number_needed_to_treat", math.Abs(1/d.Value))
}

// ConditionalOddsRatio is the odds ratio that makes the observed first cell the expected one given both margins, with the
// exact interval: its ends are the odds ratios at which each one-sided exact test has p = (1−level)/2. It is 0 or +Inf
// when the first cell is as small or as large as the margins allow, and undefined with an empty margin. It is solved to
// full precision.
//
// Fisher 1935; Cornfield 1956; Agresti, Categorical Data Analysis, 3rd ed., §16.6.4.
func (f Fourfold) ConditionalOddsRatio(level float64) Measure {
	const name = "odds_ratio_conditional_mle"
	h := newHypergeometric(f)
	if f.degenerate() || h.lo == h.hi {
		return undefined(name)
	}
	start, width := f.smoothedLnOdds()
	m := measure(name, 0)
	switch f.a {
	case h.lo:
	case h.hi:
		m.Value = math.Inf(1)
	default:
		m.Value = exp(findRoot(func(lnPsi float64) float64 {
			h.lnPsi = lnPsi
			return h.mean(f.a)
		}, start, width/4))
	}
	if !(level > 0 && level < 1) {
		return m
	}
	m.Level, m.Low, m.High = level, 0, math.Inf(1)
	target := log((1 - level) / 2)
	if f.a > h.lo {
		m.Low = exp(findRoot(func(lnPsi float64) float64 {
			h.lnPsi = lnPsi
			t := h.tailsFrom(f.a)
			return t.lnUpper() - target
		}, start-2*width, width/4))
	}
	if f.a < h.hi {
		m.High = exp(findRoot(func(lnPsi float64) float64 {
			h.lnPsi = lnPsi
			t := h.tails(f.a)
			return target - t.lnLower()
		}, start+2*width, width/4))
	}
	return m
}

// smoothedLnOdds is where to look for a log odds ratio, and about how wide: ½ is added to each cell.
func (f Fourfold) smoothedLnOdds() (ln, se float64) {
	a, b, c, d := f.floats()
	ln = log((a+0.5)/(b+0.5)) + log((d+0.5)/(c+0.5))
	if f.a > 0 && f.b > 0 && f.c > 0 && f.d > 0 {
		ln = f.lnOddsRatio()
	}
	return ln, math.Sqrt(1/(a+0.5) + 1/(b+0.5) + 1/(c+0.5) + 1/(d+0.5))
}

// findRoot solves f(x) = 0 for a rising f, from a start and a first step: bounds by doubling the step, then the Illinois
// form of the false position with bisection where it is slow.
func findRoot(f func(float64) float64, x, step float64) float64 {
	fx := f(x)
	if fx == 0 {
		return x
	}
	if fx > 0 {
		step = -step
	}
	a, fa := x, fx
	b, fb := a, fa
	for range 200 {
		b = a + step
		fb = f(b)
		if fb == 0 {
			return b
		}
		if (fb > 0) != (fa > 0) {
			break
		}
		a, fa, step = b, fb, 2*step
	}
	wa, wb := fa, fb // weights of the false position
	for range 200 {
		width := math.Abs(b - a)
		c := b - float64((b-a)/(wb-wa)*wb)
		if !(c > math.Min(a, b) && c < math.Max(a, b)) {
			c = (a + b) / 2
		}
		if width <= 0x1p-52*math.Max(0x1p-20, math.Max(math.Abs(a), math.Abs(b))) || c == a || c == b {
			break
		}
		fc := f(c)
		if fc == 0 {
			return c
		}
		if (fc > 0) != (fb > 0) {
			a, fa, wa = b, fb, fb
		} else {
			wa /= 2
		}
		b, fb, wb = c, fc, fc
		if math.Abs(b-a) > width/2 {
			// No progress worth the name: halve.
			mid := (a + b) / 2
			fm := f(mid)
			if (fm > 0) == (fb > 0) {
				b, fb, wb = mid, fm, fm
			} else {
				a, fa, wa = mid, fm, fm
			}
		}
	}
	if math.Abs(fa) < math.Abs(fb) {
		return a
	}
	return b
}
