package stats

import (
	"math"

	"slices"
	"strings"
)

// Factors is a set of the variables of a three-way table of Strata.
type Factors uint8

// The variables.
const (
	FactorRow     Factors = 1 << iota // A
	FactorCol                         // B
	FactorStratum                     // C
)

// Model is a hierarchical log-linear model, given by its generators: the margins that the fit reproduces. Its text form
// names rows A, columns B and strata C: [AB][C] is association of rows and columns, independent of strata.
type Model []Factors

// ParseModel reads the text form. The error is ErrArgument.
func ParseModel(text string) (Model, error) {
	var m Model
	rest := text
	for rest != "" {
		inner, after, closed := strings.Cut(strings.TrimPrefix(rest, "["), "]")
		if rest[0] != '[' || !closed || inner == "" {
			return nil, argumentError("model %q; write generators in brackets, such as [AB][C]", text)
		}
		var f Factors
		for _, r := range inner {
			k := strings.IndexRune("ABC", r)
			if k < 0 {
				return nil, argumentError("model %q names %q; the variables are A (rows), B (columns), C (strata)", text, r)
			}
			f |= 1 << k
		}
		m = append(m, f)
		rest = after
	}
	return m, nil
}

// String is the text form.
func (m Model) String() string {
	var b strings.Builder
	for _, g := range m {
		b.WriteByte('[')
		for k := range 3 {
			if g&(1<<k) != 0 {
				b.WriteByte("ABC"[k])
			}
		}
		b.WriteByte(']')
	}
	return b.String()
}

// terms are all subsets of the generators: the parameters of a hierarchical model.
func (m Model) terms() (set [8]bool) {
	for f := range Factors(8) {
		for _, g := range m {
			set[f] = set[f] || f&^g == 0
		}
	}
	set[0] = true
	return set
}

// LogLinearFit is a model fitted to Strata by maximum likelihood.
type LogLinearFit struct {
	Model     Model
	G2, X2    Result        // likelihood ratio and Pearson against the saturated model
	Expected  [][][]float64 // by stratum, row and column, levels without observations left out
	Cycles    int           // of iterative proportional fitting
	Converged bool
}

const (
	loglinearCycles = 2000
	loglinearClose  = 0x1p-84
	loglinearEqual  = 0x1p-76 // a fit this near to a count is the count: what is left is rounding
)

// LogLinear fits a model to a three-way table by iterative proportional fitting: every generator's margin in turn is made
// to agree, until no cell moves by more than 2⁻⁸⁴ of itself, or for 2,000 cycles (then a warning NotConverged). Models other
// than [AB][AC][BC] are closed forms, which one or two cycles reach. Degrees of freedom count observed levels only. The
// errors are ErrEmpty, and ErrArgument for a generator that names no variable.
//
// Deming & Stephan, Ann. Math. Stat. 11 (1940); Agresti, Categorical Data Analysis, 3rd ed., ch. 9.
func LogLinear(s *Strata, m Model) (*LogLinearFit, error) {
	for _, g := range m {
		if g == 0 || g > 7 {
			return nil, argumentError("generator %d names no variables", g)
		}
	}
	if s.n == 0 {
		return nil, ErrEmpty
	}
	c := newCube(s)
	fit := &LogLinearFit{Model: slices.Clone(m)}
	e := c.fit(m, fit)
	df := int64(len(c.cells)) - c.parameters(m)
	var g2, x2 Sum
	for k, o := range c.cells {
		if e[k].hi <= 0 {
			continue // a margin of 0: nothing was, nor is expected to be, observed
		}
		d := wideFromUint(o).sub(e[k]).div(e[k])
		if math.Abs(d.hi) <= loglinearEqual {
			continue
		}
		g2.Add(e[k].float() * divergenceG(d.float()))
		x2.Add(e[k].mul(d).mul(d).float())
	}
	name := "log-linear model " + m.String()
	fit.G2 = chiSquareResult(name+", G", 2*g2.Float(), df, s.n)
	fit.X2 = chiSquareResult(name+", Pearson", x2.Float(), df, s.n)
	fit.note()
	fit.Expected = c.shape(e)
	return fit, nil
}

func (f *LogLinearFit) note() {
	for _, r := range []*Result{&f.G2, &f.X2} {
		if !f.Converged {
			r.Warnings = r.Warnings.with(Warning{Kind: NotConverged})
		}
		if r.DF == 0 {
			r.Warnings = r.Warnings.with(Warning{Kind: NoDegreesOfFreedom})
		}
	}
}

// CompareLogLinear tests a model against a larger one that contains it, both fitted to the same table: the difference of
// their G², referred to chi-square with the difference of their degrees of freedom. The error is ErrArgument unless large
// contains every term of small.
func CompareLogLinear(small, large *LogLinearFit) (Result, error) {
	s, l := small.Model.terms(), large.Model.terms()
	for f := range s {
		if s[f] && !l[f] {
			return Result{}, argumentError("model %v does not contain %v", large.Model, small.Model)
		}
	}
	if small.G2.N != large.G2.N {
		return Result{}, argumentError("models of different tables")
	}
	x := math.Max(0, small.G2.Statistic-large.G2.Statistic)
	return chiSquareResult("log-linear models "+small.Model.String()+" against "+large.Model.String(), x, small.G2.DF-large.G2.DF, small.G2.N), nil
}

// cube is a three-way table without empty levels, A varying slowest.
type cube struct {
	size  [3]int
	cells []uint64
}

func newCube(s *Strata) *cube {
	rows, cols, strata := make([]uint64, s.rows), make([]uint64, s.cols), make([]uint64, len(s.tables))
	for k, t := range s.tables {
		addTotals(rows, t.margins.Rows)
		addTotals(cols, t.margins.Cols)
		strata[k] = t.N()
	}
	_, rowAt, rowTo := compact(rows)
	_, colAt, colTo := compact(cols)
	_, stratumAt, _ := compact(strata)
	c := &cube{size: [3]int{len(rowAt), len(colAt), len(stratumAt)}}
	c.cells = make([]uint64, c.size[0]*c.size[1]*c.size[2])
	for k, at := range stratumAt {
		s.tables[at].each(func(i, j int, o uint64) { c.cells[c.index(rowTo[i], colTo[j], k)] = o })
	}
	return c
}

func (c *cube) index(a, b, k int) int { return (a*c.size[1]+b)*c.size[2] + k }

// parameters counts the free parameters of a model: Π (levels − 1) for each of its terms.
func (c *cube) parameters(m Model) (sum int64) {
	for f, in := range m.terms() {
		if !in {
			continue
		}
		p := int64(1)
		for k := range 3 {
			if f&(1<<k) != 0 {
				p *= int64(c.size[k] - 1)
			}
		}
		sum += p
	}
	return sum
}

// margin adds up the cells over the factors that g lacks, addressed by marginIndex.
func (c *cube) margin(g Factors, value func(k int) wide) []wide {
	sums := make([]wide, c.marginSize(g))
	c.each(func(at [3]int, k int) {
		m := c.marginIndex(g, at)
		sums[m] = sums[m].add(value(k))
	})
	return sums
}

func (c *cube) marginSize(g Factors) int {
	n := 1
	for k := range 3 {
		if g&(1<<k) != 0 {
			n *= c.size[k]
		}
	}
	return n
}

func (c *cube) marginIndex(g Factors, at [3]int) (m int) {
	for k := range 3 {
		if g&(1<<k) != 0 {
			m = m*c.size[k] + at[k]
		}
	}
	return m
}

func (c *cube) each(fn func(at [3]int, k int)) {
	k := 0
	for a := range c.size[0] {
		for b := range c.size[1] {
			for s := range c.size[2] {
				fn([3]int{a, b, s}, k)
				k++
			}
		}
	}
}

// fit is iterative proportional fitting from equal counts.
func (c *cube) fit(m Model, out *LogLinearFit) []wide {
	e := make([]wide, len(c.cells))
	start := wideFrom(1)
	if len(m) == 0 { // no generator: equal counts, which only add up to n
		var n wide
		for _, o := range c.cells {
			n = n.add(wideFromUint(o))
		}
		start = n.div(wideFrom(float64(len(e))))
		out.Converged = true
	}
	for k := range e {
		e[k] = start
	}
	targets := make([][]wide, len(m))
	for i, g := range m {
		targets[i] = c.margin(g, func(k int) wide { return wideFromUint(c.cells[k]) })
	}
	for !out.Converged && out.Cycles < loglinearCycles {
		out.Cycles++
		moved := 0.0
		for i, g := range m {
			moved = math.Max(moved, c.adjust(g, targets[i], e))
		}
		out.Converged = moved <= loglinearClose || len(m) == 1
	}
	return e
}

// adjust scales the cells to one margin and says by how much they moved, relative to themselves.
func (c *cube) adjust(g Factors, target, e []wide) (moved float64) {
	now := c.margin(g, func(k int) wide { return e[k] })
	for m := range now {
		if now[m].hi > 0 {
			now[m] = target[m].div(now[m])
			if target[m].hi > 0 {
				moved = math.Max(moved, math.Abs(now[m].sub(wideFrom(1)).float()))
			}
		}
	}
	c.each(func(at [3]int, k int) { e[k] = e[k].mul(now[c.marginIndex(g, at)]) })
	return moved
}

func (c *cube) shape(e []wide) [][][]float64 {
	out := make([][][]float64, c.size[2])
	for s := range out {
		out[s] = make([][]float64, c.size[0])
		for a := range out[s] {
			out[s][a] = make([]float64, c.size[1])
			for b := range out[s][a] {
				out[s][a][b] = e[c.index(a, b, s)].float()
			}
		}
	}
	return out
}
