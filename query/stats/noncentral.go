package stats

import "math"

// sankaranFrom is the noncentrality from which the normal approximation of Sankaran (1963) replaces the Poisson mixture. At
// this size its error is below 1e-5 in units of the standard deviation.
const sankaranFrom = 1e9

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
	case lambda > sankaranFrom:
		return sankaran(x, df, lambda)
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

// noncentralSum is the logarithm of one tail: Σ Poisson(j; m)·Q(a+j, x) or P(a+j, x). Q rises with j by
// x^(a+j)·e^−x/Γ(a+j+1), so the upper tail is added upwards and the lower one, which rises the other way, downwards. What
// lies beyond the first index is less than 2^-60 of the tail, because there both factors fall.
func noncentralSum(x, a, m float64, upper bool) float64 {
	if !upper && m*(x/(a+1)) < 0x1p-60 { // the first term is all
		t := gammaTails(a, x)
		return t.lnLower() - m
	}
	// The summand is largest near the j with j·(a+j) = m·x, and falls from there at the pace of a Poisson variable.
	half := float64(a / 2)
	peak := float64(m*x) / (half + math.Sqrt(float64(half*half)+float64(m*x)))
	spread := float64(12*math.Sqrt(peak+1)) + 60
	start := math.Max(0, math.Floor(peak-spread))
	if !upper {
		start = math.Floor(peak + spread)
	}
	lnWeight := float64(start*log(m)) - m - lgamma(start+1)
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

// sankaran is the approximation that (X/(df+λ))^h is normal.
func sankaran(x, df, lambda float64) tails {
	total, twice := df+lambda, df+2*lambda
	h := 1 - float64(2./3*(total*((df+float64(3*lambda))/(twice*twice))))
	p := twice / (total * total)
	mHalf := float64((h - 1) * (1 - float64(3*h)))
	mean := 1 + float64(h*p*(h-1-float64((2-h)*mHalf*p/2)))
	sd := h * math.Sqrt(2*p) * (1 + float64(mHalf*p/2))
	return normalTails((exp(float64(h*log(x/total))) - mean) / sd)
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
