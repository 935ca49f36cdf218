package stats

import (
	"math"
	"math/big"
)

// multinomialMax bounds the tables that MultinomialTest lists: a second or two of work.
const multinomialMax = 20_000_000

// MultinomialTest is the exact test of goodness of fit: the probability of all counts with the same total that are no more
// likely than the observed ones. Ties are exact when the weights are: two outcomes whose probabilities agree to 1e-9 are
// compared as integers. The Statistic is the natural logarithm of the observed outcome's probability. Errors: ErrEmpty;
// ErrShape; ErrArgument when there are more than 20 million outcomes, where GoodnessOfFit serves.
//
// Read & Cressie, Goodness-of-Fit Statistics for Discrete Multivariate Data (1988), §7.
func MultinomialTest(c *Counts, p Shares) (Result, error) {
	if c.n == 0 {
		return Result{}, ErrEmpty
	}
	if p.Len() != len(c.counts) {
		return Result{}, shapeError("%d probabilities for %d categories", p.Len(), len(c.counts))
	}
	if err := p.check(); err != nil {
		return Result{}, err
	}
	m := newMultinomial(c, p)
	r := Result{Method: "exact multinomial", DF: NoDF, N: c.n, Rows: 1, Cols: len(m.seen), P: 1}
	switch {
	case m.impossible:
		r.Statistic, r.P, r.LnP = math.Inf(-1), 0, math.Inf(-1)
		r.Warnings = r.Warnings.with(Warning{Kind: ImpossibleCategory})
		return r, nil
	case len(m.seen) == 1:
		r.Warnings = r.Warnings.with(Warning{Kind: OneLevel})
		return r, nil
	case outcomes(c.n, len(m.seen)) > multinomialMax:
		return Result{}, argumentError("%d observations in %d categories have more than %d outcomes", c.n, len(m.seen), multinomialMax)
	}
	m.prepare()
	r.Statistic = m.observed
	m.walk(0, int(c.n), m.lnFactorial[c.n])
	// The smaller of both sums is the accurate one.
	if kept, left := m.atMost.Float(), m.above.Float(); kept <= left {
		r.P = math.Min(1, kept)
		r.LnP = math.Min(0, log(r.P))
	} else {
		r.P, r.LnP = math.Max(0, 1-left), log1p(-math.Min(left, 1))
	}
	return r, nil
}

// outcomes is C(n+k−1, k−1), or more than multinomialMax.
func outcomes(n uint64, k int) float64 {
	x := 1.0
	for i := 1; i < k; i++ {
		x = x * (float64(n) + float64(i)) / float64(i)
		if x > multinomialMax {
			return x
		}
	}
	return x
}

type multinomial struct {
	shares     Shares
	seen       []int // categories with p > 0
	counts     []uint64
	impossible bool

	lnFactorial []float64
	lnShare     []float64
	observed    float64 // ln probability
	outcome     []int
	atMost      Sum // probability of outcomes no more likely than the observed one
	above       Sum
}

func newMultinomial(c *Counts, p Shares) *multinomial {
	m := &multinomial{shares: p}
	for i, o := range c.counts {
		if !p.isZero(i) {
			m.seen, m.counts = append(m.seen, i), append(m.counts, uint64(o))
		} else if o != 0 {
			m.impossible = true
		}
	}
	return m
}

func (m *multinomial) prepare() {
	var n uint64
	for _, o := range m.counts {
		n += o
	}
	m.lnFactorial = make([]float64, n+1)
	for k := range m.lnFactorial {
		m.lnFactorial[k] = lgamma(float64(k) + 1)
	}
	m.lnShare, m.outcome = make([]float64, len(m.seen)), make([]int, len(m.seen))
	m.observed = m.lnFactorial[n]
	for k, i := range m.seen {
		m.lnShare[k] = log(m.shares.P(i))
		m.observed += float64(float64(m.counts[k])*m.lnShare[k]) - m.lnFactorial[m.counts[k]]
	}
}

// walk lists the outcomes of categories k… that share left observations; ln is the logarithm of the factors so far.
func (m *multinomial) walk(k, left int, ln float64) {
	if k == len(m.seen)-1 {
		m.outcome[k] = left
		ln += float64(float64(left)*m.lnShare[k]) - m.lnFactorial[left]
		if m.noMoreLikely(ln) {
			m.atMost.Add(exp(ln))
		} else {
			m.above.Add(exp(ln))
		}
		return
	}
	for o := 0; o <= left; o++ {
		m.outcome[k] = o
		m.walk(k+1, left-o, ln+float64(float64(o)*m.lnShare[k])-m.lnFactorial[o])
	}
}

func (m *multinomial) noMoreLikely(ln float64) bool {
	if gap := ln - m.observed; math.Abs(gap) > 1e-9 {
		return gap < 0
	}
	if m.shares.whole == nil {
		return true
	}
	// Π w^o/o! ≤ Π w^x/x!, cross-multiplied.
	left, right := big.NewInt(1), big.NewInt(1)
	for k, i := range m.seen {
		w := new(big.Int).SetUint64(m.shares.whole[i])
		o, x := int64(m.outcome[k]), int64(m.counts[k])
		if o > x {
			left.Mul(left, w.Exp(w, big.NewInt(o-x), nil))
			right.Mul(right, new(big.Int).MulRange(x+1, o))
		} else if x > o {
			right.Mul(right, w.Exp(w, big.NewInt(x-o), nil))
			left.Mul(left, new(big.Int).MulRange(o+1, x))
		}
	}
	return left.Cmp(right) <= 0
}
