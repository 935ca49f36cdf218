package stats

import "math"

// A hypergeometric holds the distribution of the first cell of a 2×2 table given its margins, with the odds ratio ψ:
// the weight of k is C(r1, k)·C(r2, c1−k)·ψ^k. ψ = 1 is the central distribution, that of Fisher's test; others are
// Fisher's noncentral one. The margins are those of at.
type hypergeometric struct {
	at     Fourfold // some table with these margins
	lo, hi uint64   // the first cell lies in [lo, hi]
	lnPsi  float64
}

func newHypergeometric(f Fourfold) hypergeometric {
	h := hypergeometric{at: f, hi: min(f.r1, f.c1)}
	if f.c1 > f.r2 {
		h.lo = f.c1 - f.r2
	}
	return h
}

// table is the table with first cell k, lo ≤ k ≤ hi.
func (h hypergeometric) table(k uint64) Fourfold {
	return fourfold(k, h.at.r1-k, h.at.c1-k, h.at.r2-(h.at.c1-k))
}

// lnProb is the logarithm of the central probability of f, given its margins:
// −½G, with G = 2 Σ O·ln(O/E) from the exact residual, and the corrections of Stirling's formula for nine factorials.
func (f Fourfold) lnProb() float64 {
	if f.degenerate() {
		return 0
	}
	a, b, c, d := f.floats()
	r1, r2, c1, c2 := float64(f.r1), float64(f.r2), float64(f.c1), float64(f.c2)
	n := float64(f.n)
	margins := lnFactorialRest(r1) + lnFactorialRest(r2) + lnFactorialRest(c1) + lnFactorialRest(c2) - lnFactorialRest(n)
	cells := lnFactorialRest(a) + lnFactorialRest(b) + lnFactorialRest(c) + lnFactorialRest(d)
	return math.Min(0, margins-cells-f.halfG())
}

// lnFactorialRest is ln x! − x·ln x + x.
func lnFactorialRest(x float64) float64 {
	if x == 0 {
		return 0
	}
	return float64(log(x)/2) + lnSqrt2Pi + stirlingError(x)
}

// lnOdds is the logarithm of w(k+1)/w(k) at ψ, with the ratio (r1−k)(c1−k)/((k+1)(r2−c1+k+1)).
func (h hypergeometric) lnOdds(k uint64) float64 {
	f := h.table(k)
	a, b, c, d := f.floats()
	// (bc − (a+1)(d+1)) / ((a+1)(d+1)), from the exact determinant.
	ratio := (-f.determinant() - a - d - 1) / (a + 1) / (d + 1)
	if math.Abs(ratio) < 0.5 {
		return log1p(ratio) + h.lnPsi
	}
	return log(b/(a+1)) + log(c/(d+1)) + h.lnPsi
}

// mode is the most probable first cell; of two equally probable ones the lower.
func (h hypergeometric) mode() uint64 {
	return searchUint64(h.lo, h.hi, func(k uint64) bool { return h.lnOdds(k) <= 0 })
}

// latticeLarge is the standard deviation, in cells, from which tails are integrated and no longer added up.
const latticeLarge = 20_000

// variance is that of the normal distribution that fits the weights around k.
func (h hypergeometric) variance(k uint64) float64 {
	a, b, c, d := h.table(k).floats()
	return 1 / (1/(a+1) + 1/(b+1) + 1/(c+1) + 1/(d+1))
}

// tailSum is Σ w(j)/w(k) over j = k, k+1, … (up) or k, k−1, … (down), and the derivative of that sum by ln ψ over the
// sum, which is the mean of j − k. It wants k on the outer side of the mode or at it.
func (h hypergeometric) tailSum(k uint64, up bool) (sum, mean float64) {
	if h.variance(k) > latticeLarge*latticeLarge {
		return h.tailIntegral(k, up)
	}
	a, b, c, d := h.table(k).floats()
	psi := exp(h.lnPsi)
	steps := h.hi - k
	if !up {
		// The mirror image: columns exchanged, so that the first cell rises as a falls.
		a, b, c, d = b, a, d, c
		psi = exp(-h.lnPsi)
		steps = k - h.lo
	}
	sum = 1
	weight, first := 1.0, 0.0
	for j := 1.0; j <= float64(steps); j++ {
		weight = float64(weight * (b / (a + 1) * (c / (d + 1)) * psi))
		a, b, c, d = a+1, b-1, c-1, d+1
		sum += weight
		first += float64(j * weight)
		if weight*j < 0x1p-58*sum && weight < sum {
			break
		}
	}
	if !up {
		first = -first
	}
	return sum, first / sum
}

// tailIntegral is tailSum for cells so large that the sum is an integral: Σ_{j≥0} g(j) = ∫g + g(0)/2 − g′(0)/12 + …
// (Euler and Maclaurin), g(t) = w(k+t)/w(k). The third derivative's term stays below 1e-13 of the sum.
func (h hypergeometric) tailIntegral(k uint64, up bool) (sum, mean float64) {
	f := h.table(k)
	side, room := 1.0, float64(min(f.b, f.c))
	if !up {
		side, room = -1, float64(min(f.a, f.d))
	}
	slope := float64(side * (h.lnPsi - f.lnOddsSmooth()))
	curvature := 1 / h.variance(k)
	end := math.Min(decayLength(math.Max(0, -slope), curvature, 42), room*(1-0x1p-20))
	g := func(t float64) float64 { return exp(f.lnWeightRatio(side*t) + float64(slope*t)) }
	// g′(0) is the slope plus what the square roots of Stirling's formula add.
	a, b, c, d := f.floats()
	derivative := slope - float64(side*(1/a+1/d-1/b-1/c)/2)
	sum = integrate(g, end, 16) + 0.5 - derivative/12
	first := integrate(func(t float64) float64 { return float64(t * g(t)) }, end, 16) - 1./12
	return sum, side * first / sum
}

// lnOddsSmooth is ln(ad/bc), with a zero taken as ½.
func (f Fourfold) lnOddsSmooth() float64 {
	if f.a > 0 && f.b > 0 && f.c > 0 && f.d > 0 {
		return f.lnOddsRatio()
	}
	a, b, c, d := f.floats()
	return log(math.Max(a, 0.5)) + log(math.Max(d, 0.5)) - log(math.Max(b, 0.5)) - log(math.Max(c, 0.5))
}

// lnWeightRatio is ln w(a+t)/w(a) − t·ln(bc/ad) at ψ = 1, for real t and large cells: minus the deviance of the move in
// each cell, and what the rest of Stirling's formula changes by.
func (f Fourfold) lnWeightRatio(t float64) float64 {
	sum := 0.0
	for i, cell := range [4]uint64{f.a, f.b, f.c, f.d} {
		x, move := float64(cell), t
		if i == 1 || i == 2 {
			move = -t
		}
		u := move / x
		sum += float64(x*divergenceG(u)) + float64(log1p(u)/2) + (1/(x+move)-1/x)/12
	}
	return -sum
}

// tails gives P(X ≤ k) as the lower tail, and P(X > k) as the upper one, at ψ.
func (h hypergeometric) tails(k uint64) tails {
	if k >= h.hi {
		return upperTail(math.Inf(-1))
	}
	if k < h.lo {
		return lowerTail(math.Inf(-1))
	}
	m := h.mode()
	lnTotal := h.lnTotal(m)
	if k < m {
		sum, _ := h.tailSum(k, false)
		return lowerTail(h.lnRatio(k, m) + log(sum) - lnTotal)
	}
	sum, _ := h.tailSum(k+1, true)
	return upperTail(h.lnRatio(k+1, m) + log(sum) - lnTotal)
}

// tailsFrom gives P(X < k) as the lower tail, and P(X ≥ k) as the upper one.
func (h hypergeometric) tailsFrom(k uint64) tails {
	if k <= h.lo {
		return lowerTail(math.Inf(-1))
	}
	return h.tails(k - 1)
}

// lnTotal is the logarithm of Σ w(j)/w(m) over all j, m the mode. The central distribution has it in closed form.
func (h hypergeometric) lnTotal(m uint64) float64 {
	if h.lnPsi == 0 {
		return -h.table(m).lnProb()
	}
	up, _ := h.tailSum(m, true)
	down, _ := h.tailSum(m, false)
	return log(up + down - 1)
}

// lnRatio is ln w(k)/w(m) at ψ.
func (h hypergeometric) lnRatio(k, m uint64) float64 {
	if k == m {
		return 0
	}
	move := float64(k - m)
	if k < m {
		move = -float64(m - k)
	}
	return h.table(k).lnProb() - h.table(m).lnProb() + float64(move*h.lnPsi)
}

// mean is the expectation of the first cell minus the k given, at ψ.
func (h hypergeometric) mean(k uint64) float64 {
	m := h.mode()
	up, meanUp := h.tailSum(m, true)
	down, meanDown := h.tailSum(m, false)
	offset := (float64(up*meanUp) + float64(down*meanDown)) / (up + down - 1)
	if m >= k {
		return float64(m-k) + offset
	}
	return offset - float64(k-m)
}
