package stats

import (
	"math"
	"slices"
)

// unconditionalMax is the largest table that the unconditional tests take: their cost grows with the product of the column
// totals times the grid.
const unconditionalMax = 1000

// UnconditionalP is the result of an unconditional exact test. Its P is two-sided; Less and Greater belong to the one-sided
// alternatives about the shares of the first row in the two columns. DF is NoDF, and the Effect is the difference of those
// shares, column 1 less column 2, with Newcombe's interval.
type UnconditionalP struct {
	Result
	Less, Greater float64
}

// unconditional makes the result; with an empty margin nothing varies and every p-value is 1.
func (f Fourfold) unconditional(method string, statistic, less, greater, twoSided float64) UnconditionalP {
	u := UnconditionalP{Result: Result{DF: NoDF}, Less: less, Greater: greater}
	f.describe(&u.Result, method)
	u.Statistic, u.P, u.LnP = statistic, twoSided, math.Min(0, log(twoSided))
	u.Effect = f.transpose().RiskDifference(DefaultLevel, Newcombe)
	return u
}

// Barnard is Barnard's exact test of a 2×2 table whose columns are two independent binomial samples: outcomes are ordered
// by the pooled z statistic, and the p-value is the greatest probability, over the common share, of an outcome at least
// as extreme. The supremum is found by a grid and golden section, to about 1e-10. More powerful than Fisher's test, since
// it conditions on one margin only. The Statistic is z. ErrArgument for more than 1,000 observations (Fisher is as good there), ErrEmpty
// for none; with an empty margin every p-value is 1.
//
// Barnard 1945; Suissa & Shuster 1985.
func Barnard(f Fourfold) (UnconditionalP, error) {
	const method = "Barnard exact"
	if err := checkUnconditional(f); err != nil {
		return UnconditionalP{}, err
	}
	if f.degenerate() {
		return f.unconditional(method, 0, 1, 1, 1), nil
	}
	z := func(a, b uint64) float64 { return pooledZ(a, b, f.c1, f.c2) }
	observed := z(f.a, f.b)
	// Outcomes equally extreme have equal z as real numbers; rounding moves them by a few ulp.
	const slack = 1e-12
	less := f.supremum(func(a, b uint64) bool { return z(a, b) <= observed+slack })
	greater := f.supremum(func(a, b uint64) bool { return z(a, b) >= observed-slack })
	both := f.supremum(func(a, b uint64) bool { return math.Abs(z(a, b)) >= math.Abs(observed)-slack })
	return f.unconditional(method, observed, less, greater, both), nil
}

// pooledZ is the z statistic of a successes in n1 against b in n2, 0 where nothing varies.
func pooledZ(a, b, n1, n2 uint64) float64 {
	p := float64(a+b) / float64(n1+n2)
	if a+b == 0 || a+b == n1+n2 {
		return 0
	}
	f1, f2 := float64(n1), float64(n2)
	return (float64(a)/f1 - float64(b)/f2) / math.Sqrt(p*(1-p)*(1/f1+1/f2))
}

// Boschloo is Boschloo's test: as Barnard's, with outcomes ordered by Fisher's one-sided p-value, and never less powerful
// than Fisher's test. The two-sided p-value is twice the smaller one-sided one, at most 1. The Statistic is the smaller of
// Fisher's one-sided p-values. Errors as Barnard.
//
// Boschloo 1970.
func Boschloo(f Fourfold) (UnconditionalP, error) {
	const method = "Boschloo exact"
	if err := checkUnconditional(f); err != nil {
		return UnconditionalP{}, err
	}
	if f.degenerate() {
		return f.unconditional(method, 1, 1, 1, 1), nil
	}
	less, greater := f.fisherTails()
	at := func(a, b uint64) int { return int(a*(f.c2+1) + b) }
	const slack = 1e-11 // relative: tables that tie do so as rationals
	here := at(f.a, f.b)
	below := f.supremum(func(a, b uint64) bool { return less[at(a, b)] <= less[here]*(1+slack) })
	above := f.supremum(func(a, b uint64) bool { return greater[at(a, b)] <= greater[here]*(1+slack) })
	both := math.Min(1, 2*math.Min(below, above))
	return f.unconditional(method, math.Min(1, math.Min(less[here], greater[here])), below, above, both), nil
}

func checkUnconditional(f Fourfold) error {
	switch {
	case f.n == 0:
		return ErrEmpty
	case f.n > unconditionalMax:
		return argumentError("%d observations; unconditional tests take up to %d, use Fisher", f.n, unconditionalMax)
	}
	return nil
}

// fisherTails gives Fisher's one-sided p-values of every outcome (a, b) of the two samples.
func (f Fourfold) fisherTails() (less, greater []float64) {
	size := (f.c1 + 1) * (f.c2 + 1)
	less, greater = make([]float64, size), make([]float64, size)
	for total := uint64(0); total <= f.n; total++ {
		// All outcomes with this first row total, from the least a to the greatest.
		lo, hi := uint64(0), min(total, f.c1)
		if total > f.c2 {
			lo = total - f.c2
		}
		prob := make([]float64, hi-lo+1)
		for a := lo; a <= hi; a++ {
			prob[a-lo] = exp(fourfold(a, total-a, f.c1-a, f.c2-(total-a)).lnProb())
		}
		sum := 0.0
		for a := lo; a <= hi; a++ {
			sum += prob[a-lo]
			less[a*(f.c2+1)+total-a] = sum
		}
		sum = 0
		for i := len(prob) - 1; i >= 0; i-- {
			sum += prob[i]
			a := lo + uint64(i)
			greater[a*(f.c2+1)+total-a] = sum
		}
	}
	return less, greater
}

// supremum is the greatest probability over the common share of the outcomes for which extreme holds.
func (f Fourfold) supremum(extreme func(a, b uint64) bool) float64 {
	choose1, choose2 := lnChoose(f.c1), lnChoose(f.c2)
	// By the total of successes s, all that the probability depends on beside ln C(n1,a) + ln C(n2,b): counts are first
	// added up over outcomes with one total.
	weights := make([]float64, f.n+1)
	lnTotal := lnChoose(f.n)
	for a := uint64(0); a <= f.c1; a++ {
		for b := uint64(0); b <= f.c2; b++ {
			if extreme(a, b) {
				weights[a+b] += exp(choose1[a] + choose2[b] - lnTotal[a+b])
			}
		}
	}
	n := f.n
	// The probability is Σ weights[s]·Binomial(s; n, p): a mean of shares, so that nothing over- or underflows.
	probability := func(logit float64) float64 {
		p, q := 1/(1+exp(-logit)), 1/(1+exp(logit))
		lp, lq := log(p), log(q)
		sum := 0.0
		for s, w := range weights {
			if w > 0 {
				sum += float64(w * exp(lnTotal[s]+float64(float64(s)*lp)+float64(float64(n-uint64(s))*lq)))
			}
		}
		return sum
	}
	return math.Min(1, math.Max(maximum(probability, n), math.Max(weights[0], weights[n])))
}

// maximum looks for the greatest value of f over logits: a grid, then golden section around its best points.
func maximum(f func(float64) float64, n uint64) float64 {
	const points = 400
	limit := log(float64(n)) + 8
	grid := make([]float64, points+1)
	at := func(i int) float64 { return -limit + float64(2*limit*float64(i)/points) }
	for i := range grid {
		grid[i] = f(at(i))
	}
	best := slices.Max(grid)
	for i := 1; i < points; i++ {
		if grid[i] >= grid[i-1] && grid[i] >= grid[i+1] && grid[i] > 0.8*best {
			best = math.Max(best, goldenSection(f, at(i-1), at(i+1)))
		}
	}
	return best
}

func goldenSection(f func(float64) float64, lo, hi float64) float64 {
	const ratio = 0.6180339887498949
	x1, x2 := hi-float64(ratio*(hi-lo)), lo+float64(ratio*(hi-lo))
	f1, f2 := f(x1), f(x2)
	best := math.Max(f1, f2)
	for range 40 {
		if f1 < f2 {
			lo, x1, f1 = x1, x2, f2
			x2 = lo + float64(ratio*(hi-lo))
			f2 = f(x2)
		} else {
			hi, x2, f2 = x2, x1, f1
			x1 = hi - float64(ratio*(hi-lo))
			f1 = f(x1)
		}
		best = math.Max(best, math.Max(f1, f2))
	}
	return best
}

// lnChoose gives ln C(n, k) for k = 0…n.
func lnChoose(n uint64) []float64 {
	out := make([]float64, n+1)
	whole := lgamma(float64(n) + 1)
	for k := range out {
		out[k] = whole - lgamma(float64(k)+1) - lgamma(float64(n-uint64(k))+1)
	}
	return out
}
