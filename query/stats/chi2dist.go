package stats

import "math"

// ChiSquareSurvival is the probability that a chi-square variable with df degrees of freedom exceeds x: the p-value
// of a statistic. Relative error below 1e-12 for df up to 1e6 and statistics up to p ≈ 1e-308; df up to 1e12 work.
// df may be any number from 1 up; with df ≤ 0 there is nothing to
// test and the answer is 1.
func ChiSquareSurvival(x float64, df float64) float64 {
	t := chiSquareTails(x, df)
	return t.upper()
}

// LnChiSquareSurvival is the natural logarithm of ChiSquareSurvival. It is finite for every finite x, however far p
// lies below the smallest float64, with a relative error of about 1e-15 in the tail.
func LnChiSquareSurvival(x float64, df float64) float64 {
	if df == 1 && x >= chiSquareOneTail && !math.IsInf(x, 1) {
		return lnChiSquareOne(x) // spares the exponential, for screening
	}
	t := chiSquareTails(x, df)
	return t.lnUpper()
}

// ChiSquareCDF is the probability that a chi-square variable with df degrees of freedom is at most x, as precise in
// the lower tail as ChiSquareSurvival is in the upper one.
func ChiSquareCDF(x float64, df float64) float64 {
	t := chiSquareTails(x, df)
	return t.lower()
}

// LnChiSquareCDF is the natural logarithm of ChiSquareCDF: −Inf at x ≤ 0, finite above.
func LnChiSquareCDF(x float64, df float64) float64 {
	t := chiSquareTails(x, df)
	return t.lnLower()
}

// ChiSquareCritical is the value that a chi-square variable with df degrees of freedom exceeds with probability p:
// +Inf for p ≤ 0 and 0 for p ≥ 1.
func ChiSquareCritical(p float64, df float64) float64 {
	if p <= 0 {
		return math.Inf(1)
	}
	if p > 0.5 {
		return chiSquareQuantile(log1p(-p), df, false)
	}
	return chiSquareQuantile(log(p), df, true)
}

// ChiSquareCriticalLn is ChiSquareCritical for a probability given by its natural logarithm, which may be far below
// the logarithm of the smallest float64.
func ChiSquareCriticalLn(lnP float64, df float64) float64 {
	if lnP > -math.Ln2 {
		return chiSquareQuantile(log1mexp(lnP), df, false)
	}
	return chiSquareQuantile(lnP, df, true)
}

// A tails value holds both tails of a distribution at one point: the smaller by its value and its logarithm, from
// which the other follows without loss.
type tails struct {
	p, ln   float64 // the tail that was computed, and its logarithm
	isUpper bool    // which one it is
}

func (t tails) upper() float64 {
	if t.isUpper {
		return t.p
	}
	return clampUnit(1 - t.p)
}

func (t tails) lower() float64 {
	if t.isUpper {
		return clampUnit(1 - t.p)
	}
	return t.p
}

func (t tails) lnUpper() float64 {
	if t.isUpper {
		return t.ln
	}
	return lnComplement(t)
}

func (t tails) lnLower() float64 {
	if t.isUpper {
		return lnComplement(t)
	}
	return t.ln
}

// lnComplement is ln(1−p) by the form that keeps more digits.
func lnComplement(t tails) float64 {
	if t.p == 0 {
		return 0 // and not −0
	}
	if t.p < 0.5 {
		return log1p(-t.p)
	}
	return math.Min(0, log1mexp(t.ln))
}

func lowerTail(ln float64) tails { return tails{p: clampUnit(exp(ln)), ln: math.Min(0, ln)} }
func upperTail(ln float64) tails {
	return tails{p: clampUnit(exp(ln)), ln: math.Min(0, ln), isUpper: true}
}

func clampUnit(p float64) float64 { return math.Max(0, math.Min(1, p)) }

func chiSquareTails(x float64, df float64) tails {
	switch {
	case x != x:
		return tails{p: x, ln: x, isUpper: true}
	case df <= 0 || x <= 0:
		return lowerTail(math.Inf(-1))
	case math.IsInf(x, 1):
		return upperTail(math.Inf(-1))
	case df == 1:
		return chiSquareOne(x)
	case df == 2 && x < 1:
		p := -expm1(-x / 2)
		return tails{p: p, ln: log(p)}
	case df == 2:
		return upperTail(-x / 2)
	}
	return gammaTails(df/2, x/2)
}

// chiSquareOne has one degree of freedom: the square of a normal variable.
func chiSquareOne(x float64) tails {
	root := math.Sqrt(x / 2)
	if x < chiSquareOneTail {
		p := erfSmall(root)
		return tails{p: p, ln: log(p)}
	}
	return tails{p: exp(-x/2) * erfcx(root), ln: lnChiSquareOne(x), isUpper: true}
}

// chiSquareOneTail is the statistic from which the upper tail is computed, below it the lower one.
const chiSquareOneTail = 0.5

// lnChiSquareOne is ln erfc(√(x/2)). x/2 itself is the exponent: the square of its rounded root would lose digits in the far
// tail.
func lnChiSquareOne(x float64) float64 {
	return log(erfcx(math.Sqrt(x/2))) - float64(x/2)
}

// gammaTails gives the tails of the gamma distribution with shape a ≥ ½ and scale 1 at x > 0.
//
//   - shape from 100 upwards and x within a factor of two of it: Temme's uniform expansion;
//   - x below the shape: the series of the lower tail, all terms positive;
//   - otherwise the continued fraction of the upper tail, by Lentz's method.
//
// So neither of the last two needs more than about 250 terms at any shape.
func gammaTails(a, x float64) tails {
	mu := (x - a) / a
	if a >= 100 && mu > -0.5 && mu < 0.9 {
		return gammaTemme(a, mu)
	}
	ln := lnGammaPrefix(a, x)
	if x < a+1 {
		return lowerTail(ln + log(gammaSeries(a, x)))
	}
	return upperTail(ln + log(gammaFraction(a, x)))
}

// lnGammaPrefix is ln(x^a·e^−x/Γ(a)), by deviance and Stirling error so that nothing large cancels.
func lnGammaPrefix(a, x float64) float64 {
	mu := (x - a) / a
	deviance := log1pmx(mu)
	if mu < -0.4 {
		deviance = log(x/a) - mu
	}
	if math.IsInf(deviance, -1) { // x/a underflowed
		deviance = log(x) - log(a) - mu
	}
	return float64(a*deviance) + float64(log(a)/2) - lnSqrt2Pi - stirlingError(a)
}

// gammaSeries is P(a, x) divided by the prefix: Σ x^k/(a(a+1)…(a+k)).
func gammaSeries(a, x float64) float64 {
	term := 1 / a
	sum := term
	for k := 1.0; term > sum*0x1p-55; k++ {
		term = float64(term * (x / (a + k)))
		sum += term
	}
	return sum
}

// gammaFraction is Q(a, x) divided by the prefix, 1/(x+1−a− 1(1−a)/(x+3−a− 2(2−a)/(x+5−a− …))), by Lentz.
func gammaFraction(a, x float64) float64 {
	const tiny = 1e-300
	b := x + 1 - a
	c := 1 / tiny
	d := 1 / b
	h := d
	for k := 1.0; k < 5000; k++ {
		an := -k * (k - a)
		b += 2
		d = math.FMA(an, d, b)
		if math.Abs(d) < tiny {
			d = tiny
		}
		c = b + an/c
		if math.Abs(c) < tiny {
			c = tiny
		}
		d = 1 / d
		delta := float64(d * c)
		h *= delta
		if math.Abs(delta-1) < 0x1p-53 {
			break
		}
	}
	return h
}

// gammaTemme is Temme's uniform expansion (DLMF 8.12): with η²/2 = μ − ln(1+μ), μ = (x−a)/a and η of the sign of μ,
//
//	Q = ½·erfc(η·√(a/2)) + e^(−aη²/2)/√(2πa)·Σ c_k(η)/a^k.
//
// The exponential is taken out, so that the logarithm of the smaller tail comes without underflow.
func gammaTemme(a, mu float64) tails {
	half := -log1pmx(mu) // η²/2
	eta := math.Sqrt(2 * half)
	if mu < 0 {
		eta = -eta
	}
	exponent := float64(a * half)
	correction := temmeSum(a, eta) / (sqrt2Pi * math.Sqrt(a))
	root := math.Sqrt(exponent)
	if mu < 0 {
		return lowerTail(log(float64(erfcx(root)/2)-correction) - exponent)
	}
	scaled := float64(erfcx(root)/2) + correction
	return tails{p: clampUnit(exp(-exponent) * scaled), ln: math.Min(0, log(scaled)-exponent), isUpper: true}
}

// temmeSum is Σ c_k(η)/a^k with c_k(η) = Σ temmeSeries[k][n]·η^n.
func temmeSum(a, eta float64) float64 {
	sum := 0.0
	for k := len(temmeSeries) - 1; k >= 0; k-- {
		row := temmeSeries[k]
		c := 0.0
		for n := len(row) - 1; n >= 0; n-- {
			c = math.FMA(c, eta, row[n])
		}
		sum = sum/a + c
	}
	return sum
}

// chiSquareQuantile solves ln(tail at x) = target on the scale of ln x, by Newton's method between bounds: the
// logarithm of either tail is a concave function of x, so that the steps settle quickly wherever they start.
func chiSquareQuantile(target float64, df float64, isUpper bool) float64 {
	switch {
	case df <= 0:
		return 0
	case target != target:
		return target
	case math.IsInf(target, -1) && isUpper:
		return math.Inf(1)
	case math.IsInf(target, -1), target >= 0 && isUpper:
		return 0
	case target >= 0:
		return math.Inf(1)
	case df == 2 && isUpper:
		return -2 * target
	}
	lnTail := LnChiSquareCDF
	if isUpper {
		lnTail = LnChiSquareSurvival
	}
	// The start: Wilson and Hilferty's cube.
	k := df
	z := normalQuantileLn(target, isUpper)
	w := 2 / (9 * k)
	cube := 1 - w + float64(z*math.Sqrt(w))
	x := k * cube * cube * cube
	if cube < 0.1 {
		// In the lower tail P ≈ (x/2)^a/Γ(a+1).
		x = 2 * exp((target+lgamma(float64(k/2)+1))/(k/2))
	}
	return solveTail(func(x float64) (value, slope float64) {
		ln := lnTail(x, df)
		density := exp(lnGammaPrefix(k/2, x/2) - ln) // x times the density, over the tail
		if isUpper {
			density = -density
		}
		return ln - target, density
	}, x, !isUpper)
}

// solveTail finds the root x > 0 of a monotone function that is given with its derivative by ln x. Newton's step is
// taken on ln x, kept between the bounds found so far, and halved into them where it leaves them.
func solveTail(f func(x float64) (value, slope float64), x float64, rising bool) float64 {
	if !(x > 0x1p-1070) {
		x = 0x1p-1070
	}
	lo, hi := 0.0, math.Inf(1)
	for range 200 {
		value, slope := f(x)
		if value == 0 {
			return x
		}
		if (value > 0) == rising {
			hi = x
		} else {
			lo = x
		}
		step := -value / slope
		next := x * exp(step)
		if math.Abs(step) < 0.01 {
			next = x + float64(x*expm1(step))
		}
		if !(next > lo && next < hi) || math.IsInf(next, 0) {
			next = between(lo, hi, x)
		}
		if math.Abs(next-x) <= 0x1p-52*x {
			return next
		}
		x = next
	}
	return x
}

// between is a point strictly inside the bounds: their geometric mean, or far out where one is still open.
func between(lo, hi, x float64) float64 {
	switch {
	case math.IsInf(hi, 1):
		return 4 * x
	case lo == 0:
		return x / 16
	}
	return math.Sqrt(lo) * math.Sqrt(hi)
}
