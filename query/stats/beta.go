package stats

import "math"

// A betaPoint is a point of the beta distribution with shapes a and b: x and its complement y = 1−x, each exact to its own
// last digit, and e = x·b − y·a, the distance (a+b)·x − a from the mean in units where it does not cancel.
type betaPoint struct{ a, b, x, y, e float64 }

// newBetaPoint takes a point whose x and y are both known; e is formed without cancellation.
func newBetaPoint(a, b, x, y float64) betaPoint {
	// Kahan's difference of products.
	ya := float64(y * a)
	err := math.FMA(-y, a, ya)
	return betaPoint{a, b, x, y, math.FMA(x, b, -ya) + err}
}

// flip exchanges the roles of x and y: the lower tail becomes the upper one.
func (p betaPoint) flip() betaPoint { return betaPoint{p.b, p.a, p.y, p.x, -p.e} }

// tails gives the regularized incomplete beta function I_x(a, b) as the lower tail, and I_y(b, a) as the upper one, with
// a relative error of about 1e-13 in the smaller; a, b > 0.
func (p betaPoint) tails() tails {
	switch {
	case p.x <= 0:
		return lowerTail(math.Inf(-1))
	case p.y <= 0:
		return upperTail(math.Inf(-1))
	case p.e <= 0:
		return lowerTail(p.lnLower())
	}
	t := lowerTail(p.flip().lnLower())
	t.isUpper = true
	return t
}

// lnLower is ln I_x(a, b) for a point below the mean.
func (p betaPoint) lnLower() float64 {
	ln := p.lnPrefix()
	if math.Min(p.a, p.b) >= betaLarge {
		return ln + log(p.integral())
	}
	return ln - log(p.fraction())
}

// betaLarge is the size of both shapes from which quadrature takes over from the continued fraction, which needs in the
// order of the square root of the smaller shape in steps.
const betaLarge = 3000

// lnPrefix is ln(x^a·y^b/B(a, b)), by deviances and Stirling errors so that nothing large cancels:
// with n = a+b it is a·ln(xn/a) + b·ln(yn/b) + ½·ln(ab/2πn) − δ(a) − δ(b) + δ(n).
func (p betaPoint) lnPrefix() float64 {
	n := p.a + p.b
	corrections := stirlingError(n) - stirlingError(p.a) - stirlingError(p.b)
	return p.deviance() + float64(log(p.a)/2) + float64(log(p.b/n)/2) - lnSqrt2Pi + corrections
}

// deviance is a·ln(xn/a) + b·ln(yn/b) ≤ 0.
func (p betaPoint) deviance() float64 {
	u, v := p.e/p.a, -p.e/p.b
	if u > -0.4 && v > -0.4 && u < 10 && v < 10 {
		return float64(p.a*log1pmx(u)) + float64(p.b*log1pmx(v))
	}
	n := p.a + p.b
	return float64(p.a*lnRatio(p.x, p.a, n, u)) + float64(p.b*lnRatio(p.y, p.b, n, v))
}

// lnRatio is ln(x·n/a), where x·n/a = 1 + u.
func lnRatio(x, a, n, u float64) float64 {
	if u > -0.4 {
		return log1p(u)
	}
	return log(x) - log(a/n)
}

// fraction is the continued fraction of Didonato & Morris (ACM TOMS 18, 1992): I_x = prefix / fraction, for x below the
// mean, by Lentz. Its terms are written with e, so that they do not cancel for x close to 1.
func (p betaPoint) fraction() float64 {
	a, b, x := p.a, p.b, p.x
	betaTerm := func(n float64) float64 {
		return n + float64(n*(b-n)*x/(a+2*n-1)) + float64((a+n)/(a+2*n+1)*(1-p.e+float64(n*(1+p.y))))
	}
	f := a / (a + 1) * (1 - p.e)
	c, d := f, 0.0
	for n := 1.0; n < 100_000; n++ {
		k := a + 2*n - 1
		alpha := (a + n - 1) / k * ((a + b + n - 1) / k) * n * (b - n) * x * x
		beta := betaTerm(n)
		d = 1 / (beta + float64(alpha*d))
		c = beta + alpha/c
		delta := float64(c * d)
		f *= delta
		if math.Abs(delta-1) < 0x1p-52 {
			break
		}
	}
	return f
}

// integral is I_x(a, b)/prefix for large shapes, by quadrature: with t = x·(1+v)/(1+x·v) the tail is
//
//	∫ exp(a·(ln(1+v) − v) − e·v − n·(ln(1+xv) − xv)) dv/(1+v)   over v from 0 to −1,
//
// in which every term is as small as the exponent itself; the mirrored form, v from 0 to ∞, serves x > ½.
func (p betaPoint) integral() float64 {
	n := p.a + p.b
	side := -1.0
	if p.x > 0.5 {
		p, side = p.flip(), 1
	}
	curvature := float64(p.a * (p.b / n))
	end := decayLength(math.Abs(p.e), curvature, 42)
	if side < 0 {
		end = math.Min(end, 1-0x1p-40)
	}
	return integrate(func(s float64) float64 {
		v := float64(side * s)
		exponent := float64(p.a*log1pmx(v)) - float64(p.e*v) - float64(n*log1pmx(float64(p.x*v)))
		return exp(exponent) / (1 + v)
	}, end, 10)
}

// betaQuantile is the point where the chosen tail of the beta distribution has the given logarithm, as x and 1−x.
func betaQuantile(target float64, isUpper bool, a, b float64) (x, y float64) {
	if isUpper {
		y, x = betaQuantile(target, false, b, a)
		return x, y
	}
	switch {
	case math.IsInf(target, -1):
		return 0, 1
	case target >= 0:
		return 1, 0
	}
	// On the logit scale w the tail's logarithm is concave and has slope prefix/tail.
	lo, hi := math.Inf(-1), math.Inf(1)
	w := log(a/b) + float64(normalQuantileLn(target, false)*math.Sqrt(1/a+1/b))
	for range 200 {
		p := logitPoint(a, b, w)
		t := p.tails()
		ln := t.lnLower()
		value := ln - target
		step := value / exp(p.lnPrefix()-ln)
		if math.Abs(step) <= 0x1p-52*math.Max(1e-3, math.Abs(w)) {
			return p.x, p.y
		}
		if value > 0 {
			hi = w
		} else {
			lo = w
		}
		next := w - step
		if !(next > lo && next < hi) {
			switch {
			case math.IsInf(lo, -1):
				next = w - 2*(1+math.Abs(w))
			case math.IsInf(hi, 1):
				next = w + 2*(1+math.Abs(w))
			default:
				next = lo + float64((hi-lo)/2)
			}
		}
		if next == w {
			break
		}
		w = next
	}
	p := logitPoint(a, b, w)
	return p.x, p.y
}

// logitPoint is the point with ln(x/y) = w.
func logitPoint(a, b, w float64) betaPoint {
	var x, y float64
	if w < 0 {
		z := exp(w)
		x, y = z/(1+z), 1/(1+z)
	} else {
		z := exp(-w)
		x, y = 1/(1+z), z/(1+z)
	}
	return newBetaPoint(a, b, x, y)
}
