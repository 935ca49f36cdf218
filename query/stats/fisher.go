package stats

import (
	"math"
	"math/big"
)

// Fisher is Fisher's exact test of a 2×2 table: given both margins the first cell is hypergeometric if rows and columns
// are independent. The two-sided p-value adds the probabilities of all tables that are no more probable than the
// observed one; equally probable ones are found exactly, not by a tolerance. Less and Greater refer to the odds ratio
// ad/bc. With an empty margin there is one table and every p-value is 1; ErrEmpty without observations. The Effect is the
// sample odds ratio with Woolf's interval; ConditionalOddsRatio has the exact one.
//
// Fisher, Statistical Methods for Research Workers, 5th ed. 1934, §21.02.
func Fisher(f Fourfold) (ExactP, error) {
	if f.n == 0 {
		return ExactP{}, ErrEmpty
	}
	e := certain()
	if h := newHypergeometric(f); h.lo != h.hi {
		below, above := h.tails(f.a), h.tailsFrom(f.a)
		e = newExactP(f.lnProb(), below.lnLower(), above.lnUpper())
		e.fill(h.twoSided(&e))
	}
	f.describe(&e.Result, "Fisher exact")
	return e, nil
}

// Blaker is Fisher's exact test with Blaker's two-sided p-value: the smaller tail that holds the observed table, and of the
// other tail as much as is no more probable than that one,
//
//	p = P(γ(X) ≤ γ(observed)),   γ(x) = min(P(X ≤ x), P(X ≥ x)).
//
// It is never greater than the central p-value, and the odds ratios that it does not reject are a connected set more often than
// those of Fisher's. Tails within a relative 1e-11 of each other count as equal. With an empty margin p is 1; ErrEmpty without
// observations.
//
// Blaker, Can. J. Stat. 28 (2000).
func Blaker(f Fourfold) (Result, error) {
	if f.n == 0 {
		return Result{}, ErrEmpty
	}
	r := Result{DF: NoDF, P: 1}
	f.describe(&r, "Fisher exact, Blaker")
	if h := newHypergeometric(f); h.lo != h.hi {
		r.LnP = h.blaker(f.a)
		r.P = exp(r.LnP)
	}
	return r, nil
}

// blaker is ln p at the first cell k.
func (h hypergeometric) blaker(k uint64) float64 {
	at, from := h.tails(k), h.tailsFrom(k)
	less, greater := at.lnLower(), from.lnUpper()
	small := math.Min(less, greater)
	bound := small + float64(1e-11*math.Max(1, -small))
	other := math.Inf(-1)
	if less <= greater {
		j := searchUint64(k+1, h.hi+1, func(j uint64) bool { t := h.tailsFrom(j); return t.lnUpper() <= bound })
		if j <= h.hi {
			t := h.tailsFrom(j)
			other = t.lnUpper()
		}
	} else {
		j := searchUint64(h.lo, k, func(j uint64) bool { t := h.tails(j); return t.lnLower() > bound })
		if j > h.lo {
			t := h.tails(j - 1)
			other = t.lnLower()
		}
	}
	return math.Min(0, logAdd(small, other))
}

// describe adds to a test of the table what does not depend on the test: its size, smallest expected count and odds ratio. The
// Statistic is the first cell.
func (f Fourfold) describe(r *Result, method string) {
	r.Method, r.Statistic, r.N, r.MinExpected = method, float64(f.a), f.n, f.minExpected()
	r.Rows, r.Cols = f.levels()
	r.Effect = f.OddsRatio(DefaultLevel)
	if r.Rows == 1 || r.Cols == 1 {
		r.Warnings = r.Warnings.with(Warning{Kind: OneLevel})
	}
	if f.n > hugeN {
		r.Warnings = r.Warnings.with(Warning{Kind: HugeCounts})
	}
}

// twoSided finds the outcomes beyond the mode that are no more probable than the observed one, sets LnP, and says how
// many outcomes are exactly as probable.
func (h hypergeometric) twoSided(e *ExactP) (tied float64) {
	k, m := h.at.a, h.mode()
	observed := e.LnObserved
	// Signed comparison of the probability of j with the observed one: exact where floats cannot tell.
	compare := func(j uint64) int {
		gap := h.table(j).lnProb() - observed
		if math.Abs(gap) > 1e-9 && math.Abs(gap) > 1e-12*math.Abs(observed) {
			if gap < 0 {
				return -1
			}
			return 1
		}
		return h.compareExactly(j, k)
	}
	below := math.Inf(-1) // the probability that is to be added from below or above
	tied = 1
	if k <= m {
		j := searchUint64(max(m, k+1), h.hi+1, func(j uint64) bool { return compare(j) <= 0 })
		if j <= h.hi {
			t := h.tailsFrom(j)
			below = t.lnUpper()
			if compare(j) == 0 {
				tied = 2
			}
			if j == k+1 {
				e.LnP = 0
				return tied
			}
		}
		e.LnP = math.Min(0, logAdd(e.LnLess, below))
		return tied
	}
	// The last j at or below the mode that counts lies just before the first that does not.
	j := searchUint64(h.lo, m+1, func(j uint64) bool { return compare(j) > 0 })
	if j > h.lo {
		t := h.tails(j - 1)
		below = t.lnLower()
		if compare(j-1) == 0 {
			tied = 2
		}
		if j == k {
			e.LnP = 0
			return tied
		}
	}
	e.LnP = math.Min(0, logAdd(e.LnGreater, below))
	return tied
}

// exactGapMax is the distance of two tables up to which their probabilities are compared by whole numbers.
const exactGapMax = 1 << 14

// compareExactly compares the probabilities of two tables with the same margins: −1, 0 or 1. Tables of the same four
// counts tie by symmetry. Others differ by w(j)/w(k), a product of |j−k| ratios of whole numbers, which is formed exactly
// unless it is very long; then its logarithm decides, computed to 300 bits.
func (h hypergeometric) compareExactly(j, k uint64) int {
	if j == k {
		return 0
	}
	x, y := h.table(j), h.table(k)
	if sameCells(x, y) {
		return 0
	}
	if j < k {
		return -h.compareExactly(k, j)
	}
	if j-k > exactGapMax {
		return compareFactorials(x, y)
	}
	// From k to j: the numerator is y.b!/x.b! · y.c!/x.c!, the denominator x.a!/y.a! · x.d!/y.d!.
	up := new(big.Int).Mul(risingProduct(x.b, y.b), risingProduct(x.c, y.c))
	down := new(big.Int).Mul(risingProduct(y.a, x.a), risingProduct(y.d, x.d))
	return up.Cmp(down)
}

// sameCells reports whether two tables have the same four counts in any order, which makes them equally probable.
func sameCells(x, y Fourfold) bool {
	s := func(f Fourfold) [4]uint64 {
		c := [4]uint64{f.a, f.b, f.c, f.d}
		for i := range c {
			for j := i; j > 0 && c[j] < c[j-1]; j-- {
				c[j], c[j-1] = c[j-1], c[j]
			}
		}
		return c
	}
	return s(x) == s(y)
}

// risingProduct is hi!/lo!, by halves so that the factors stay of one size.
func risingProduct(lo, hi uint64) *big.Int {
	switch {
	case hi <= lo:
		return big.NewInt(1)
	case hi == lo+1:
		return new(big.Int).SetUint64(hi)
	}
	mid := lo + (hi-lo)/2
	return new(big.Int).Mul(risingProduct(lo, mid), risingProduct(mid, hi))
}
