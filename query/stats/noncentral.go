package stats

import "math"

// rootNormalFrom is the noncentrality from which the root of the variable is normal around √(λ+df−1), with variance 1, to 1/√λ.
const rootNormalFrom = 1e16

// noncentralTails gives the tails of the noncentral chi-square distribution: a Poisson mixture of central ones with
// df + 2j degrees of freedom, j of mean λ/2. Either tail is a sum of positive terms, so that the smaller keeps its digits.
func noncentralTails(x, df, lambda float64) tails {
	switch {
	case lambda <= 0:
		return chiSquareTails(x, df)
	case x <= 0:
		return lowerTail(math.Inf(-1))
	case math.IsInf(x, 1):
		return upperTail(math.Inf(-1))
	case df == 1:
		return noncentralOne(x, lambda)
	case lambda > rootNormalFrom:
		mean := lambda + (df - 1)
		return normalTails((x - mean) / (math.Sqrt(x) + math.Sqrt(mean)))
	case x > df+lambda:
		return upperTail(noncentralSum(x/2, df/2, lambda/2, true))
	}
	return lowerTail(noncentralSum(x/2, df/2, lambda/2, false))
}

// noncentralOne has one degree of freedom: (Z+√λ)² > x.
func noncentralOne(x, lambda float64) tails {
	root, shift := math.Sqrt(x), math.Sqrt(lambda)
	gap := (x - lambda) / (root + shift) // √x − √λ
	near, far := normalTails(gap), normalTails(root+shift)
	if gap > 0 {
		return upperTail(logAdd(near.lnUpper(), far.lnUpper()))
	}
	// P(|Z+√λ| ≤ √x) is the lower tail at the gap less the far tail.
	ln := near.lnLower()
	return lowerTail(ln + log1mexp(math.Min(-0x1p-60, far.lnUpper()-ln)))
}

// noncentralSum is the logarithm of one tail: Σ Poisson(j; m)·Q(a+j, x) or P(a+j, x).
func noncentralSum(x, a, m float64, upper bool) float64 {
	if !upper && m*(x/(a+1)) < 0x1p-60 { // the first term is all
		t := gammaTails(a, x)
		return t.lnLower() - m
	}
	// The summand is largest near the j with j·(a+j) = m·x, and falls from there at the pace of a Poisson variable.
	half, root := float64(a/2), float64(math.Sqrt(m)*math.Sqrt(x))
	peak := root * (root / (half + math.Sqrt(float64(half*half)+float64(root*root))))
	if peak > steppedFrom {
		return noncentralStepped(x, a, m, peak, upper)
	}
	return noncentralEach(x, a, m, peak, upper)
}

// lnPoisson is the logarithm of e^−m·m^j/Γ(j+1), for j that need not be whole.
func lnPoisson(j, m float64) float64 { return lnGammaPrefix(j+1, m) - log(m) }

// steppedFrom is the peak from which a few dozen values cost less than each.
const steppedFrom = 1 << 14

// lastStepped is the peak up to which steps are well above the rounding of their places. With λ below rootNormalFrom it lies far out in the tail.
const lastStepped = 0x1p80

// noncentralStepped takes the sum over whole j for the integral, and the integral for a sum in larger steps. By Poisson's summation
// formula both are off by no more than the Fourier transform of the summand at the frequency of the step. The summand is the product of
// two bells (or of a bell and the integral of one) of variance near the peak each, so that falls like exp(−2π²·peak/2/step²): with the
// step here below 2⁻¹⁰⁰ of the sum. The summand is log-concave: from its largest value it falls on both sides.
func noncentralStepped(x, a, m, peak float64, upper bool) float64 {
	f := func(j float64) float64 {
		t := gammaTails(a+j, x)
		if upper {
			return lnPoisson(j, m) + t.lnUpper()
		}
		return lnPoisson(j, m) + t.lnLower()
	}
	step := math.Sqrt(peak/2) / 2
	at, top := peak, f(peak)
	if peak > lastStepped { // steps drown in the peak's rounding; the logarithm is beyond −2⁹⁰, and a bell has the area √(2π) times its width
		return top + log(math.Sqrt(math.Pi*peak))
	}
	for _, dir := range [2]float64{step, -step} {
		for next := f(at + dir); next > top; next = f(at + dir) {
			at, top = at+dir, next
		}
	}
	sum := 1.0
	for _, dir := range [2]float64{step, -step} {
		for j := at + dir; j > 0; j += dir {
			add := exp(f(j) - top)
			sum += add
			if add < 0x1p-60*sum {
				break
			}
		}
	}
	return top + log(float64(sum*step))
}

// noncentralEach adds every summand. Q rises with j by x^(a+j)·e^−x/Γ(a+j+1), so the upper tail is added upwards and the lower one,
// which rises the other way, downwards. What lies beyond the first index is less than 2^-60 of the tail, because there both factors fall.
func noncentralEach(x, a, m, peak float64, upper bool) float64 {
	spread := float64(12*math.Sqrt(peak+1)) + 60
	start := math.Max(0, math.Floor(peak-spread))
	if !upper {
		start = math.Floor(peak + spread)
	}
	lnWeight := lnPoisson(start, m)
	t := gammaTails(a+start, x)
	ln, lnTerm := t.lnLower(), lnGammaPrefix(a+start, x)-log(a+start)
	if upper {
		ln = t.lnUpper()
	}
	// Everything is scaled by the first tail and the first weight, and rescaled when it grows.
	scale := lnWeight + ln
	weight, tail, term := 1.0, 1.0, exp(math.Min(700, lnTerm-ln))
	sum, largest := 1.0, 1.0
	for j := start; ; {
		if upper {
			tail += term
			j++
			term = float64(term * (x / (a + j)))
			weight *= m / j
		} else {
			if j == 0 {
				break
			}
			weight *= j / m
			term = float64(term * ((a + j) / x))
			j--
			tail += term
		}
		add := float64(weight * tail)
		sum += add
		largest = math.Max(largest, add)
		if add < largest && add < 0x1p-60*sum {
			break
		}
		if sum > 1e200 || tail > 1e200 || weight > 1e200 {
			sum, largest, scale = sum*0x1p-600, largest*0x1p-600, scale+600*math.Ln2
			if tail > weight {
				tail, term = tail*0x1p-600, term*0x1p-600
			} else {
				weight *= 0x1p-600
			}
		}
	}
	return scale + log(sum)
}

// noncentralityFor is the λ at which the chosen tail at x has the given logarithm, or 0 where even λ = 0 has more in the
// upper tail (less in the lower one).
func noncentralityFor(x, df, target float64, upper bool) float64 {
	f := func(lambda float64) float64 {
		t := noncentralTails(x, df, lambda)
		if upper {
			return t.lnUpper() - target
		}
		return target - t.lnLower()
	}
	if f(0) >= 0 {
		return 0
	}
	// On the scale of √λ, where the distribution moves at a steady pace.
	root := math.Sqrt(math.Max(1, x-df))
	r := findRoot(func(r float64) float64 { return f(r * math.Abs(r)) }, root, 1)
	return r * r
}
