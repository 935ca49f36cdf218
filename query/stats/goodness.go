package stats

import "math"

// GoodnessOfFit tests whether counts come from a multinomial distribution with the given probabilities, by Pearson's
//
//	X² = Σ (O − E)²/E,   E = n·p,
//
// on k − 1 − ddof degrees of freedom, where k counts the categories with p > 0 or an observation and ddof the parameters
// that were estimated from the same counts. A category with p = 0 and an observation makes the statistic infinite, p 0
// and ln p −Inf, with a warning ImpossibleCategory. Without a degree of freedom left the statistic is 0 and p is 1. The
// Effect is Cohen's w = √(X²/n). Errors: ErrEmpty; ErrShape for another number of probabilities than categories;
// ErrArgument for ddof < 0.
//
// Pearson, Phil. Mag. 50 (1900).
func GoodnessOfFit(c *Counts, p Shares, ddof int) (Result, error) {
	return c.fit("Pearson goodness of fit", p, ddof, 1)
}

// GoodnessOfFitG is GoodnessOfFit with the likelihood ratio 2 Σ O·ln(O/E).
func GoodnessOfFitG(c *Counts, p Shares, ddof int) (Result, error) {
	return c.fit("G goodness of fit", p, ddof, 0)
}

// GoodnessOfFitDivergence is GoodnessOfFit with the power divergence of index λ; see PowerDivergence, also for the zero
// counts that make it infinite at λ ≤ −1.
func GoodnessOfFitDivergence(c *Counts, p Shares, ddof int, lambda float64) (Result, error) {
	return c.fit(divergenceName(lambda)+", goodness of fit", p, ddof, lambda)
}

// SRM tests for a sample-ratio mismatch: whether an experiment's arms have the sizes that assignment with these shares
// gives. It is GoodnessOfFit under the name that experimenters look for; treat p below 0.001 as a broken assignment. For
// looks while the experiment runs use the e-value, since this p is valid for one look.
//
// Fabijan et al., KDD 2019.
func SRM(arms *Counts, p Shares) (Result, error) {
	return arms.fit("sample-ratio mismatch", p, 0, 1)
}

func (c *Counts) fit(method string, p Shares, ddof int, lambda float64) (Result, error) {
	switch {
	case c.n == 0:
		return Result{}, ErrEmpty
	case p.Len() != len(c.counts):
		return Result{}, shapeError("%d probabilities for %d categories", p.Len(), len(c.counts))
	case ddof < 0:
		return Result{}, argumentError("ddof is %d", ddof)
	case !(math.Abs(lambda) <= divergenceMax):
		return Result{}, argumentError("power divergence needs -%d ≤ λ ≤ %d, not %v", divergenceMax, divergenceMax, lambda)
	}
	if err := p.check(); err != nil {
		return Result{}, err
	}
	g := c.gather(p, lambda)
	r := chiSquareResult(method, g.statistic(lambda), int64(g.levels)-1-int64(ddof), c.n)
	r.Rows, r.Cols, r.MinExpected = 1, g.levels, g.smallest
	g.note(&r)
	return r, nil
}

// fitted is what the terms of a goodness-of-fit test add up to.
type fitted struct {
	half       Sum // half the statistic, but for the zero counts
	zeroE      Sum // Σ E over categories without an observation
	zeros      int // such categories
	impossible int // observed where p = 0
	levels     int // with p > 0 or an observation
	low        int // with E < 5
	smallest   float64
}

func (c *Counts) gather(p Shares, lambda float64) *fitted {
	g := &fitted{smallest: math.Inf(1)}
	for i, o := range c.counts {
		if p.isZero(i) {
			if o != 0 {
				g.impossible++
				g.levels++
			}
			continue
		}
		g.levels++
		x := p.cell(i, uint64(o), c.n)
		g.smallest = math.Min(g.smallest, x.e)
		if x.e < 5 {
			g.low++
		}
		if o == 0 {
			g.zeros++
			g.zeroE.Add(x.e)
			continue
		}
		g.half.Add(x.divergence(lambda))
	}
	if g.levels == g.impossible {
		g.smallest = 0
	}
	return g
}

// statistic adds the share of categories without an observation, E/(λ+1) each; it is infinite for an impossible
// category, and for λ ≤ −1 with a zero count. At λ = −1 and below an observation where E = 0 has no finite term either.
func (g *fitted) statistic(lambda float64) float64 {
	if g.impossible > 0 || g.zeros > 0 && lambda <= -1 {
		return math.Inf(1)
	}
	if g.zeros > 0 {
		g.half.Add(g.zeroE.Float() / (1 + lambda))
	}
	return 2 * g.half.Float()
}

func (g *fitted) note(r *Result) {
	total := uint64(g.levels)
	switch {
	case g.levels <= 1:
		r.Warnings = r.Warnings.with(Warning{Kind: OneLevel})
	case r.DF == 0:
		r.Warnings = r.Warnings.with(Warning{Kind: NoDegreesOfFreedom})
	default:
		r.Effect = measure("cohens_w", math.Sqrt(r.Statistic/float64(r.N)))
	}
	if g.impossible > 0 {
		r.Warnings = r.Warnings.with(Warning{Kind: ImpossibleCategory, Affected: uint64(g.impossible), Total: total})
	} else if math.IsInf(r.Statistic, 1) {
		r.Warnings = r.Warnings.with(Warning{Kind: ZeroCell, Affected: uint64(g.zeros), Total: total})
	}
	if g.low > 0 && r.DF > 0 {
		r.Warnings = r.Warnings.with(Warning{Kind: ExpectedBelow5, Affected: uint64(g.low), Total: total})
	}
}

// Fit is one category of a goodness-of-fit test.
type Fit struct {
	Observed uint64
	Expected float64
	Pearson  Measure // (O − E)/√E
	Adjusted Measure // (O − E)/√(E(1 − p)), standard normal under the hypothesis
	Deviance Measure // sign(O − E)·√(2(O ln(O/E) − (O − E)))
}

// Fits gives observed and expected counts and residuals, category by category. Residuals are undefined where E = 0, the
// adjusted one also where p = 1. Errors as GoodnessOfFit.
func Fits(c *Counts, p Shares) ([]Fit, error) {
	if c.n == 0 {
		return nil, ErrEmpty
	}
	if p.Len() != len(c.counts) {
		return nil, shapeError("%d probabilities for %d categories", p.Len(), len(c.counts))
	}
	fits := make([]Fit, len(c.counts))
	for i, o := range c.counts {
		f := Fit{Observed: uint64(o), Pearson: undefined("pearson_residual"), Adjusted: undefined("adjusted_residual"), Deviance: undefined("deviance_residual")}
		if !p.isZero(i) {
			x := p.cell(i, uint64(o), c.n)
			diff := p.difference(x)
			f.Expected = x.e
			f.Pearson = measure(f.Pearson.Name, diff/math.Sqrt(x.e))
			f.Deviance = measure(f.Deviance.Name, devianceResidual(x, diff))
			if q := p.complement(i); q > 0 {
				f.Adjusted = measure(f.Adjusted.Name, diff/math.Sqrt(x.e)/math.Sqrt(q))
			}
		}
		fits[i] = f
	}
	return fits, nil
}

// complement is 1 − p of category i, without cancelling.
func (s Shares) complement(i int) float64 {
	if s.whole != nil {
		return float64(s.total-s.whole[i]) / float64(s.total)
	}
	return math.Max(0, s.sum.sub(s.wide[i]).div(s.sum).float())
}

// devianceResidual is the signed root of a cell's share of G; E for a zero count.
func devianceResidual(x cell, diff float64) float64 {
	return math.Copysign(math.Sqrt(2*float64(x.e*divergenceG(x.d))), diff)
}

// Entropy is the Shannon entropy of the observed shares in nats, with the standard error √(Var(ln p)/n). The only error
// is ErrEmpty.
func Entropy(c *Counts) (Measure, error) {
	if c.n == 0 {
		return Measure{}, ErrEmpty
	}
	totals := c.totals()
	m := measure("entropy", entropy(totals, c.n))
	var square Sum
	for _, v := range totals {
		if v != 0 {
			x := lnRatioOf(v, c.n) + m.Value
			square.Add(float64(float64(v)/float64(c.n)) * float64(x*x))
		}
	}
	m.setError(math.Sqrt(square.Float() / float64(c.n)))
	return m, nil
}

// EntropyMillerMadow is Entropy with the Miller-Madow correction (k−1)/2n for its bias, k counting the observed
// categories.
//
// Miller, Information Theory in Psychology (1955).
func EntropyMillerMadow(c *Counts) (Measure, error) {
	m, err := Entropy(c)
	if err != nil {
		return m, err
	}
	k, _ := levels(c.totals())
	return measure("entropy_miller_madow", m.Value+float64(k-1)/(2*float64(c.n))), nil
}

// GiniSimpson is 1 − Σ (O/n)²: the probability that two draws with replacement differ, 0…1. The only error is ErrEmpty.
func GiniSimpson(c *Counts) (Measure, error) {
	if c.n == 0 {
		return Measure{}, ErrEmpty
	}
	square := mul128(c.n, c.n)
	return measure("gini_simpson", square.sub(sumSquares(c.totals())).float()/square.float()), nil
}

func (c *Counts) totals() []uint64 {
	t := make([]uint64, len(c.counts))
	for i, v := range c.counts {
		t[i] = uint64(v)
	}
	return t
}
