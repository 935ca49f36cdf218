package stats

import "math"

// An EValue measures evidence against a null hypothesis while the data grow: it may be looked at after every observation,
// and testing may stop for any reason. Under the null the probability that it ever reaches 1/α is at most α (Ville's
// inequality), so a test rejects when LnE ≥ ln(1/α).
//
// Statistic is ln E, +Inf when the null is impossible; P is min(1, 1/E), an anytime-valid p-value of this look. DF is NoDF.
type EValue struct{ Result }

func newEValue(method string, lnE float64, n uint64) EValue {
	e := EValue{Result{Method: method, Statistic: lnE, DF: NoDF, P: 1, N: n}}
	if lnE > 0 {
		e.P, e.LnP = exp(-lnE), -lnE
	}
	return e
}

// LnE is the natural logarithm of the e-value, the Statistic.
func (e EValue) LnE() float64 { return e.Statistic }

// Rejects reports whether the null is rejected at level alpha.
func (e EValue) Rejects(alpha float64) bool { return e.Statistic >= -log(alpha) }

// Combine multiplies two e-values for the same null from independent data: so strata are combined. The effect of either is
// dropped.
func (e EValue) Combine(o EValue) EValue {
	return newEValue(e.Method, e.Statistic+o.Statistic, e.N+o.N)
}

// MultinomialE is the e-value of counts against given shares (which are scaled to sum 1): the likelihood of the counts under
// a mixture of all shares, Dirichlet(1, …, 1), over that under the null,
//
//	ln E = ln B(1+x)/B(1) − Σ x·ln p.
//
// With the assignment shares of an experiment it is a test of sample ratio mismatch that can watch the experiment as it
// runs. Without observations E is 1; an observation where the share is 0 makes it infinite, with a warning ImpossibleCategory.
// ErrShape when lengths differ, ErrArgument for the zero Shares.
//
// Lindon & Malek, Anytime-valid inference for multinomial count data, NeurIPS 2022.
func MultinomialE(c *Counts, p Shares) (EValue, error) {
	if c.Len() != p.Len() {
		return EValue{}, shapeError("%d probabilities for %d categories", p.Len(), c.Len())
	}
	if err := p.check(); err != nil {
		return EValue{}, err
	}
	// With n·x·ln x split off by Stirling's formula nothing cancels:
	// Σ x·ln(x/np) is half the G statistic, and the factorials leave their rests.
	n := float64(c.n)
	ln, levels, smallest := -lnFactorialRest(n), 0, math.Inf(1)
	for j, o := range c.counts {
		if p.isZero(j) {
			if o != 0 {
				e := newEValue(multinomialMethod, math.Inf(1), c.n)
				e.Rows, e.Cols = 1, c.Len()
				e.Warnings = e.Warnings.with(Warning{Kind: ImpossibleCategory})
				return e, nil
			}
			continue
		}
		levels++
		x := p.cell(j, uint64(o), c.n)
		smallest = math.Min(smallest, x.e)
		if c.n > 0 {
			ln += float64(x.e*divergenceG(x.d)) + lnFactorialRest(x.o)
		}
	}
	// Γ(k)·n!/Γ(n+k) = Π j/(n+j), j = 1…k−1.
	for j := 1; j < levels; j++ {
		ln += log(float64(j) / (n + float64(j)))
	}
	if c.n == 0 {
		ln = 0
	}
	e := newEValue(multinomialMethod, ln, c.n)
	e.Rows, e.Cols, e.MinExpected = 1, levels, smallest
	return e, nil
}

const multinomialMethod = "multinomial e-value"

// A Monitor is the e-value of MultinomialE one observation at a time, in constant time and space each: before category i
// is counted, ln E grows by ln((1+x_i)/(k+n)) − ln p_i. It belongs to one goroutine.
type Monitor struct {
	lnShares []float64
	smallest float64
	counts   []uint64
	n        uint64
	lnE      float64
	highest  float64
}

// NewMonitor starts without observations. ErrArgument unless there are two or more shares, all above 0.
func NewMonitor(p Shares) (*Monitor, error) {
	if err := p.check(); err != nil {
		return nil, err
	}
	if p.Len() < 2 {
		return nil, argumentError("%d share, want two or more", p.Len())
	}
	m := &Monitor{lnShares: make([]float64, p.Len()), counts: make([]uint64, p.Len()), smallest: 1}
	for j := range m.lnShares {
		if p.isZero(j) {
			return nil, argumentError("the share of category %d is 0, want a number above 0", j)
		}
		m.lnShares[j] = log(p.P(j))
		m.smallest = math.Min(m.smallest, p.P(j))
	}
	return m, nil
}

// Observe counts one observation of a category; ErrShape when there is no such category.
func (m *Monitor) Observe(category int) error {
	if category < 0 || category >= len(m.counts) {
		return shapeError("category %d of %d", category, len(m.counts))
	}
	m.lnE += log((1+float64(m.counts[category]))/(float64(len(m.counts))+float64(m.n))) - m.lnShares[category]
	m.counts[category]++
	m.n++
	m.highest = math.Max(m.highest, m.lnE)
	return nil
}

// EValue is the evidence now.
func (m *Monitor) EValue() EValue {
	e := newEValue(multinomialMethod, m.lnE, m.n)
	e.Rows, e.Cols, e.MinExpected = 1, len(m.counts), float64(m.n)*m.smallest
	return e
}

// P is the anytime-valid p-value so far: 1 over the highest e-value at any look, which never rises again.
func (m *Monitor) P() float64 { return exp(-m.highest) }

// ProportionSequence is a confidence sequence for one proportion: an interval at every n such that all of them together cover
// the truth with the given level. It holds the shares that the e-value of x in n against p, with a Beta(1, 1) mixture, does
// not reject. ErrArgument for x > n or a level outside (0, 1). Without observations it is [0, 1].
func ProportionSequence(x, n uint64, level float64) (Measure, error) {
	if x > n {
		return Measure{}, argumentError("%d successes in %d trials", x, n)
	}
	if !(level > 0 && level < 1) {
		return Measure{}, argumentError("level %v, want between 0 and 1", level)
	}
	m := Measure{Name: "proportion", Level: level, High: 1}
	if n == 0 {
		return m, nil
	}
	fx, fn := float64(x), float64(n)
	m.Value, m.Defined = fx/fn, true
	bound := -log(1 - level)
	// lnE at a logit; it grows with the distance from the estimate on either side.
	evidence := func(logit float64) float64 { return lnBetaBinomialE(x, n, logit) - bound }
	start := log((fx + 0.5) / (fn - fx + 0.5))
	width := math.Sqrt(1/(fx+0.5) + 1/(fn-fx+0.5))
	if x > 0 {
		w := findRoot(func(l float64) float64 { return -evidence(l) }, start-float64(3*width), width)
		m.Low = 1 / (1 + exp(-w))
	}
	if x < n {
		w := findRoot(evidence, start+float64(3*width), width)
		m.High = 1 / (1 + exp(-w))
	}
	m.Low, m.High = math.Min(m.Low, m.Value), math.Max(m.High, m.Value)
	return m, nil
}

// lnBetaBinomialE is ln of ∫ Binomial likelihood over that at the share with the given logit: −ln(n+1) − ln Binomial(x).
func lnBetaBinomialE(x, n uint64, logit float64) float64 {
	p, q := 1/(1+exp(-logit)), 1/(1+exp(logit))
	return -log(float64(n)+1) - lnBinomialProb(x, n, p, q)
}

// TwoProportionE is the e-value of two growing samples, the rows of f, against equal shares of the first column: the
// likelihood under a uniform mixture of each row's share, over the greatest likelihood that one common share reaches,
//
//	ln E = ln B(1+a, 1+b) + ln B(1+c, 1+d) − s·ln(s/n) − (n−s)·ln(1−s/n),   s = a+c.
//
// It holds for any order in which the rows grow, and any way of choosing which. A little evidence is given away for that:
// the null's share is not assumed, it is fitted. The Effect is the risk difference; RiskDifferenceSequence has its interval.
//
// Wasserman, Ramdas & Balakrishnan, Universal inference, PNAS 117 (2020).
func TwoProportionE(f Fourfold) EValue {
	const method = "two-proportion e-value"
	if f.n == 0 {
		return newEValue(method, 0, 0)
	}
	// −½G against independence is the gap between separate and common fit; the rest belongs to each row.
	ln := -rowMixture(f.a, f.b) - rowMixture(f.c, f.d)
	e := newEValue(method, ln+f.halfG(), f.n)
	e.Rows, e.Cols = f.levels()
	e.MinExpected, e.Effect = f.minExpected(), f.RiskDifference(0, Wald)
	return e
}

// rowMixture is minus the logarithm of ∫ p^x·q^y dp over its maximum.
func rowMixture(x, y uint64) float64 {
	fx, fy := float64(x), float64(y)
	n := fx + fy
	return lnFactorialRest(n) - lnFactorialRest(fx) - lnFactorialRest(fy) + log1p(n)
}

// halfG is Σ O·ln(O/E), half of the G statistic.
func (f Fourfold) halfG() float64 {
	if f.degenerate() {
		return 0
	}
	det, n := f.determinant(), float64(f.n)
	sum := 0.0
	for _, cell := range [4]struct {
		r, c uint64
		sign float64
	}{{f.r1, f.c1, 1}, {f.r1, f.c2, -1}, {f.r2, f.c1, -1}, {f.r2, f.c2, 1}} {
		r, c := float64(cell.r), float64(cell.c)
		sum += float64(r * (c / n) * divergenceG(cell.sign*det/r/c))
	}
	return sum
}

// RiskDifferenceSequence is a confidence sequence for the difference of the shares of the first column, row 1 less row 2, from
// a sequence for each row at half the error: wide, but valid at every look whatever decided when to look.
func RiskDifferenceSequence(f Fourfold, level float64) (Measure, error) {
	if !(level > 0 && level < 1) {
		return Measure{}, argumentError("level %v, want between 0 and 1", level)
	}
	first, err := ProportionSequence(f.a, f.r1, (1+level)/2)
	if err != nil {
		return Measure{}, err
	}
	second, err := ProportionSequence(f.c, f.r2, (1+level)/2)
	if err != nil {
		return Measure{}, err
	}
	m := f.RiskDifference(0, Wald)
	m.Low, m.High, m.Level = first.Low-second.High, first.High-second.Low, level
	return m, nil
}
