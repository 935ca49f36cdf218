package stats

import "math"

// The elementary functions of this package give the same bits on every architecture. The standard library's do
// not promise that: math.Exp and math.Log have assembly on some machines, and a compiler may fuse x*y + z into one
// operation on others. Here every multiply-add is either an explicit math.FMA, which is exact everywhere, or is
// kept apart by a float64 conversion; beside the four operations only Sqrt, FMA and the splitting of an exponent
// are used, and these are exact by definition.

const (
	ln2Hi     = 0x1.62e42fefp-1  // ln 2 in 33 bits: a multiple of it by an exponent is exact
	ln2Lo     = math.Ln2 - ln2Hi // the rest
	lnSqrt2Pi = 0.918938533204672741780329736405617639861397473637783412817
	lnPi      = 1.144729885849400174143427351353058711647294812915311571513
	sqrt2Pi   = 2.506628274631000502415765284811045253006986740609938316630
	// expMin is the least argument whose exponential is not rounded to zero.
	expMin = -745.1332191019412
	// expMax is the greatest argument with a finite exponential.
	expMax = 709.782712893384
)

// atanhSeries holds 1/(2k+3): atanh s = s + s³·Σ atanhSeries[k]·s^2k. With s² ≤ 0.0295, the range that log needs, ten
// terms leave less than 2^-58.
var atanhSeries = [...]float64{1. / 3, 1. / 5, 1. / 7, 1. / 9, 1. / 11, 1. / 13, 1. / 15, 1. / 17, 1. / 19, 1. / 21,
	1. / 23, 1. / 25, 1. / 27, 1. / 29, 1. / 31, 1. / 33}

// atanhTail is (atanh s − s)/s³ for s² = z, by the given number of terms.
func atanhTail(z float64, terms int) float64 {
	p := atanhSeries[terms-1]
	for k := terms - 2; k >= 0; k-- {
		p = math.FMA(p, z, atanhSeries[k])
	}
	return p
}

// atanhTail11 is atanhTail(z, 11) written out, for the hot path of log and log1p. Two interleaved chains halve the
// latency.
func atanhTail11(z float64) float64 {
	w := float64(z * z)
	even := math.FMA(w, math.FMA(w, math.FMA(w, math.FMA(w, math.FMA(w, 1./23, 1./19), 1./15), 1./11), 1./7), 1./3)
	odd := math.FMA(w, math.FMA(w, math.FMA(w, math.FMA(w, 1./21, 1./17), 1./13), 1./9), 1./5)
	return math.FMA(odd, z, even)
}

// log is the natural logarithm, within 1 ulp: −Inf at 0, NaN below.
//
// x = 2^k·(1+f) with 1+f in [√½, √2), and ln(1+f) = 2 atanh(s) with s = f/(2+f). Written around f itself the
// rounding of s does not matter: ln(1+f) = f − (f²/2 − s·(f²/2 + 2·s²·T)), T the tail of the atanh series.
func log(x float64) float64 {
	if !(x > 0) || x > math.MaxFloat64 {
		return logSpecial(x)
	}
	f, k := splitExponent(x)
	return logParts(f-1, k, 0)
}

func logSpecial(x float64) float64 {
	switch {
	case x == 0:
		return math.Inf(-1)
	case x < 0:
		return math.NaN()
	}
	return x // +Inf or NaN
}

// splitExponent gives m in [√½, √2) and k with x = m·2^k, for a positive finite x.
func splitExponent(x float64) (m, k float64) {
	b := math.Float64bits(x)
	e := int(b>>52) - 1023
	if e == -1023 { // subnormal
		b = math.Float64bits(x * 0x1p54)
		e = int(b>>52) - 1023 - 54
	}
	m = math.Float64frombits(b&(1<<52-1) | 1023<<52)
	if m >= math.Sqrt2 {
		m, e = m/2, e+1
	}
	return m, float64(e)
}

// parts gives m < 2⁵³, e and the sign with x = ±m·2^e, for a finite x.
func parts(x float64) (m uint64, e int, negative bool) {
	b := math.Float64bits(x)
	m, e = b&significand, int(b>>52&0x7ff)
	if e == 0 {
		e = 1
	} else {
		m |= 1 << 52
	}
	return m, e - 1075, b>>63 != 0
}

// logParts is ln(1+f) + k·ln 2 + c for f in [√½−1, √2−1), with c a small correction.
func logParts(f, k, c float64) float64 {
	s := f / (2 + f)
	z := float64(s * s)
	half := float64(float64(f*f) / 2)
	tail := float64(s * (half + float64(float64(2*z)*atanhTail11(z))))
	if k == 0 && c == 0 {
		return f - (half - tail)
	}
	return float64(k*ln2Hi) + (f - (half - (tail + math.FMA(k, ln2Lo, c))))
}

// log1p is ln(1+x), within 2 ulp.
func log1p(x float64) float64 {
	if x > math.Sqrt2/2-1 && x < math.Sqrt2-1 {
		return logParts(x, 0, 0)
	}
	if !(x > -1) || x > 0x1p53 {
		if x > 0x1p53 {
			return log(x)
		}
		return logSpecial(1 + x)
	}
	u := 1 + x
	// What rounding took from 1+x, relative to it.
	c := (x - (u - 1)) / u
	if x >= 1 {
		c = (1 - (u - x)) / u
	}
	m, k := splitExponent(u)
	return logParts(m-1, k, c)
}

// log1pmx is ln(1+x) − x without the cancellation near 0, where it is −x²/2.
//
// With s = x/(2+x): ln(1+x) = 2s + 2s³·T(s²) and x = 2s/(1−s), so that ln(1+x) − x = s·(2s²·T − x).
func log1pmx(x float64) float64 {
	if x < -0.4 || x > 0.6 {
		return log1p(x) - x
	}
	s := x / (2 + x)
	z := float64(s * s)
	if z < 0.0295 {
		return s * (float64(float64(2*z)*atanhTail11(z)) - x)
	}
	return s * (float64(float64(2*z)*atanhTail(z, 16)) - x)
}

// log1mexp is ln(1 − e^x) for x ≤ 0: the logarithm of the complement of a probability given by its logarithm.
func log1mexp(x float64) float64 {
	if x > -math.Ln2 {
		return log(-expm1(x))
	}
	return log1p(-exp(x))
}

// logAdd is ln(e^a + e^b).
func logAdd(a, b float64) float64 {
	if a < b {
		a, b = b, a
	}
	if math.IsInf(a, 0) || math.IsInf(b, -1) {
		return a
	}
	return a + log1p(exp(b-a))
}

// expTail holds 1/(k+2)!: e^r = 1 + r + r²·Σ expTail[k]·r^k, with |r| ≤ ln 2 / 2.
func expTail(r float64) float64 {
	w := float64(r * r)
	even := math.FMA(w, math.FMA(w, math.FMA(w, math.FMA(w, math.FMA(w, math.FMA(w, 1./87178291200, 1./479001600),
		1./3628800), 1./40320), 1./720), 1./24), 1./2)
	odd := math.FMA(w, math.FMA(w, math.FMA(w, math.FMA(w, math.FMA(w, 1./6227020800, 1./39916800), 1./362880),
		1./5040), 1./120), 1./6)
	return math.FMA(odd, r, even)
}

// exp is e^x, within 1 ulp (2^-1074 below the normal range).
func exp(x float64) float64 { return expSum(x, 0) }

// expSum is e^(x+lo) for a small lo: the exponential of a number known to more than 53 bits.
func expSum(x, lo float64) float64 {
	switch {
	case x != x:
		return x
	case x > expMax:
		return math.Inf(1)
	case x < expMin:
		return 0
	}
	k := math.Floor(math.FMA(x, 1/math.Ln2, 0.5))
	hi := math.FMA(-k, ln2Hi, x) // exact
	low := math.FMA(-k, ln2Lo, lo)
	r := hi + low
	low += hi - r // what r lost
	w := float64(r * r)
	y := 1 + (r + (low + float64(w*expTail(r))))
	return scale(y, int(k))
}

// scale is y·2^k for y near 1, rounded once; k may lead into the subnormals.
func scale(y float64, k int) float64 {
	switch {
	case k > 1022:
		return y * 2 * pow2(k-1)
	case k < -1021:
		return y * pow2(k+200) * 0x1p-200
	}
	return y * pow2(k)
}

func pow2(k int) float64 { return math.Float64frombits(uint64(k+1023) << 52) }

// expm1 is e^x − 1 without the cancellation near 0, within 4 ulp.
func expm1(x float64) float64 {
	if x > -math.Ln2/2 && x < math.Ln2/2 {
		return x + float64(float64(x*x)*expTail(x))
	}
	return exp(x) - 1
}

// erfcxSeries holds the Chebyshev coefficients of (1+2x)·erfcx(x) in t = (x−3.75)/(x+3.75), the variable of
// Shepherd & Laframboise, Math. Comp. 36 (1981); computed to 60 digits for this package.
var erfcxSeries = [...]float64{
	1.177578934567401754, -0.0045900545806464774106, -0.084249133366517915655, 0.059209939998191890441,
	-0.026658668435305752317, 0.009074997670705265075, -0.0024131635404176081878, 0.00049077583652580865713,
	-0.000069169733025012018908, 4.1390279860730716219e-6, 7.7403830661992279049e-7, -2.1886401049226326046e-7,
	1.0764999465752789536e-8, 4.5219598112954834364e-9, -7.7544002081614118359e-10, -6.3180883356853477169e-11,
	2.868795014264611291e-11, 1.9455869777837061774e-13, -9.6546968437139943017e-13, 3.2525450847083795823e-14,
	3.3478070000300168629e-14, -1.8646276025294003072e-15, -1.2508703182071658099e-15, 7.4101988227269636187e-17,
	5.0601822727946193757e-17, -2.3102930986249859487e-18, -2.2488963006982116852e-18,
}

// erfcx is the scaled complementary error function e^(x²)·erfc(x), within a few ulp; +Inf below about −26.6.
func erfcx(x float64) float64 {
	if x < 0 {
		sq := float64(x * x)
		return 2*expSum(sq, math.FMA(x, x, -sq)) - erfcx(-x)
	}
	if x > 1e8 {
		return 1 / (x * math.SqrtPi)
	}
	t := (x - 3.75) / (x + 3.75)
	// Clenshaw's recurrence.
	var b1, b2 float64
	for k := len(erfcxSeries) - 1; k > 0; k-- {
		b1, b2 = math.FMA(2*t, b1, erfcxSeries[k]-b2), b1
	}
	return math.FMA(t, b1, erfcxSeries[0]-b2) / (1 + float64(2*x))
}

// erfSmall is the error function for |x| ≤ 1, by its Maclaurin series.
func erfSmall(x float64) float64 {
	z := -float64(x * x)
	sum := 0.0
	for k := len(erfSeries) - 1; k >= 0; k-- {
		sum = math.FMA(sum, z, erfSeries[k])
	}
	return float64(2 / math.SqrtPi * float64(x*sum))
}

// erfSeries holds 1/(k!(2k+1)).
var erfSeries = func() (c [20]float64) {
	factorial := 1.0
	for k := range c {
		if k > 0 {
			factorial *= float64(k) // exact up to 18!, and one rounding beyond
		}
		c[k] = 1 / (factorial * float64(2*k+1))
	}
	return c
}()

// erfc is the complementary error function, with a relative error of a few ulp down to the subnormals.
func erfc(x float64) float64 {
	switch {
	case x < -1:
		return 2 - erfc(-x)
	case x < 0.5:
		return 1 - erfSmall(x)
	}
	sq := float64(x * x)
	return expSum(-sq, -math.FMA(x, x, -sq)) * erfcx(x)
}

// lnErfc is ln erfc(x), finite for every finite x up to about 1e154, with a relative error of a few ulp.
func lnErfc(x float64) float64 {
	switch {
	case x < -1:
		return math.Ln2 + log1p(-erfc(-x)/2)
	case x < 0.5:
		return log1p(-erfSmall(x))
	}
	return log(erfcx(x)) - float64(x*x)
}

// stirlingSeries holds B(2k)/(2k(2k−1)): δ(a) = Σ stirlingSeries[k]/a^(2k+1).
var stirlingSeries = [...]float64{1. / 12, -1. / 360, 1. / 1260, -1. / 1680, 1. / 1188, -691. / 360360, 1. / 156,
	-3617. / 122400, 43867. / 244188}

// stirlingError is δ(a) = lnΓ(a) − (a−½)·ln a + a − ½·ln 2π for a > 0, with a small relative error: what Stirling's
// formula leaves out. δ(a) = δ(a+1) + (a+½)·ln(1+1/a) − 1 leads upward (Gudermann), and each of these steps is
// positive: with s = 1/(2a+1) it is s²/3 + s⁴/5 + ….
func stirlingError(a float64) float64 {
	var steps float64
	for ; a < 12; a++ {
		if a < 1 {
			steps += float64((a+0.5)*(log1p(a)-log(a))) - 1
			continue
		}
		s := 1 / (float64(2*a) + 1)
		z := float64(s * s)
		steps += float64(z * atanhTail(z, 16))
	}
	return steps + stirlingTail(a)
}

// stirlingTail is δ(a) for a ≥ 12, by the asymptotic series.
func stirlingTail(a float64) float64 {
	inv := 1 / a
	w := float64(inv * inv)
	sum := 0.0
	for k := len(stirlingSeries) - 1; k >= 0; k-- {
		sum = math.FMA(sum, w, stirlingSeries[k])
	}
	return float64(sum * inv)
}

// lgamma is ln Γ(x) for x > 0. Its absolute error is a few ulp of max(1, |ln Γ|); its zeros at 1 and 2 are exact.
func lgamma(x float64) float64 {
	switch {
	case x == 1 || x == 2:
		return 0
	case x > 1e300 || !(x > 0):
		return math.Inf(1)
	}
	return float64((x-0.5)*log(x)) - x + (lnSqrt2Pi + stirlingError(x))
}
