package stats

import (
	"math"
	"math/bits"
)

// The Pearson kernels add, for each non-zero cell,
//
//	D²/(R·C)·2^−k = (x·x)·(ρ·γ),   x = D rounded, ρ = 2^−k/R and γ = 1/C rounded, k = ⌊log₂ n⌋,
//
// to an exact Sum, which the finish divides by n·2^−k. Roundings, in units of 2⁻⁵³: x at most 2 (none below 2⁵³), which
// count twice; R and C 1 each (none below 2⁵³); two reciprocals and three products 1 each. Each is relative to a quantity
// that is multiplied, so the term is within 11·2⁻⁵³ of the truth, within 7·2⁻⁵³ when n < 2⁵³, and so is the sum, since no
// term is negative; the finish adds 3. D² is below 2²⁵⁶ and a term between 2⁻¹⁹² and 2¹²⁸, so nothing over- or
// underflows and every term is normal or 0. Exchanging rows and columns exchanges factors and moves a power of
// two between them: the bits stay. The kernels give the same terms, and therefore the same bits.

// addRow adds row i and gives the number of its zero cells and Σ C over them.
func (s *Sum) addRow(f *Frame, i int, row []int64) (zeros, zeroMass uint64) {
	kernel := pearsonRow
	if f.small {
		kernel = pearsonRowSmall
	}
	cols, scales := f.cols[:len(row)], f.colScale
	for len(row) > 0 {
		k := min(len(row), gatherMax)
		z, m := kernel(s, f, i, row[:k], cols[:k], scales[:k])
		zeros, zeroMass = zeros+z, zeroMass+m
		row, cols, scales = row[k:], cols[k:], scales[k:]
	}
	return zeros, zeroMass
}

// pearsonRowSmall is for n < 2³¹, where both products fit an int64.
func pearsonRowSmall(s *Sum, f *Frame, i int, row []int64, cols []uint64, scales []float64) (zeros, zeroMass uint64) {
	n, r, scale := int64(f.n), int64(f.rows[i]), f.rowScale[i]
	cols, scales = cols[:len(row)], scales[:len(row)]
	g := gatherAround(usualTerm)
	for j, o := range row {
		c := cols[j]
		if o == 0 {
			zeros++
			zeroMass += c
			continue
		}
		x := float64(n*o - r*int64(c))
		t := float64(float64(x*x) * float64(scale*scales[j]))
		if !g.holds(t) {
			g = s.strayed(g, t)
			continue
		}
		g = g.add(t)
	}
	s.flush(g)
	return zeros, zeroMass
}

// pearsonRow is for tables of any size.
func pearsonRow(s *Sum, f *Frame, i int, row []int64, cols []uint64, scales []float64) (zeros, zeroMass uint64) {
	n, r, scale := f.n, f.rows[i], f.rowScale[i]
	cols, scales = cols[:len(row)], scales[:len(row)]
	g := gatherAround(usualTerm)
	for j, o := range row {
		c := cols[j]
		if o == 0 {
			zeros++
			zeroMass += c
			continue
		}
		d, _ := mul128(n, uint64(o)).absDiff(mul128(r, c))
		x := d.float()
		t := float64(float64(x*x) * float64(scale*scales[j]))
		if !g.holds(t) {
			g = s.strayed(g, t)
			continue
		}
		g = g.add(t)
	}
	s.flush(g)
	return zeros, zeroMass
}

// addCells adds cells in coordinate form and gives the number of non-zero ones and Σ R·C over them.
func (s *Sum) addCells(f *Frame, c Triples) (nonzero uint64, mass u128) {
	kernel := pearsonCells
	if f.small {
		kernel = pearsonCellsSmall
	}
	for len(c.Count) > 0 {
		k := min(len(c.Count), gatherMax)
		n, m := kernel(s, f, Triples{c.Row[:k], c.Col[:k], c.Count[:k]})
		nonzero, mass = nonzero+n, mass.add(m)
		c = Triples{c.Row[k:], c.Col[k:], c.Count[k:]}
	}
	return nonzero, mass
}

// pearsonCellsSmall is for n < 2³¹, where both products fit an int64.
func pearsonCellsSmall(s *Sum, f *Frame, c Triples) (nonzero uint64, mass u128) {
	rows, cols := c.Row[:len(c.Count)], c.Col[:len(c.Count)]
	rowTotals, rowScales := f.rows, f.rowScale[:len(f.rows)]
	colTotals, colScales := f.cols, f.colScale[:len(f.cols)]
	n := int64(f.n)
	g := gatherAround(usualTerm)
	for k, o := range c.Count {
		if o == 0 {
			continue
		}
		i, j := rows[k], cols[k]
		rc := rowTotals[i] * colTotals[j]
		var carry uint64
		mass.lo, carry = bits.Add64(mass.lo, rc, 0)
		mass.hi += carry
		nonzero++
		x := float64(n*o - int64(rc))
		t := float64(float64(x*x) * float64(rowScales[i]*colScales[j]))
		if !g.holds(t) {
			g = s.strayed(g, t)
			continue
		}
		g = g.add(t)
	}
	s.flush(g)
	return nonzero, mass
}

// pearsonCells is for tables of any size.
func pearsonCells(s *Sum, f *Frame, c Triples) (nonzero uint64, mass u128) {
	rows, cols := c.Row[:len(c.Count)], c.Col[:len(c.Count)]
	g := gatherAround(usualTerm)
	for k, o := range c.Count {
		if o == 0 {
			continue
		}
		i, j := rows[k], cols[k]
		rc := mul128(f.rows[i], f.cols[j])
		nonzero++
		mass = mass.add(rc)
		d, _ := mul128(f.n, uint64(o)).absDiff(rc)
		x := d.float()
		t := float64(float64(x*x) * float64(f.rowScale[i]*f.colScale[j]))
		if !g.holds(t) {
			g = s.strayed(g, t)
			continue
		}
		g = g.add(t)
	}
	s.flush(g)
	return nonzero, mass
}

// line is cells of one row, with the totals and reciprocals of the columns, or of one column, with those of the rows. Which of the two it
// is makes no difference to a term.
type line struct {
	total  uint64
	scale  float64
	codes  []uint32 // a column, or a row, for each count
	counts []int64  // above 0
	totals []uint64
	scales []float64
}

// addLine adds the cells of a line and gives Σ R·C over them.
func (s *Sum) addLine(f *Frame, l line) (mass u128) {
	for len(l.counts) > 0 {
		part, k := l, min(len(l.counts), gatherMax)
		part.counts, part.codes = l.counts[:k], l.codes[:k]
		if f.small { // called by name, so that part stays on the stack
			mass = mass.add(u128{lo: pearsonLineSmall(s, f, &part)})
		} else {
			mass = mass.add(pearsonLine(s, f, &part))
		}
		l.counts, l.codes = l.counts[k:], l.codes[k:]
	}
	return mass
}

// pearsonLineSmall is for n < 2³¹, where both products fit an int64, and the sum of all R·C of a line too.
func pearsonLineSmall(s *Sum, f *Frame, l *line) (mass uint64) {
	n, total, scale := int64(f.n), l.total, l.scale
	counts := l.counts
	codes, totals := l.codes[:len(counts)], l.totals
	scales := l.scales[:len(totals)]
	var g farGather
	for k, o := range counts {
		j := codes[k]
		rc := total * totals[j]
		mass += rc
		x := float64(n*o - int64(rc))
		t := float64(float64(x*x) * float64(scale*scales[j]))
		if !farHolds(t) {
			s.Add(t)
			continue
		}
		g = g.add(t)
	}
	s.flushFar(g)
	return mass
}

// pearsonLine is for tables of any size.
func pearsonLine(s *Sum, f *Frame, l *line) u128 {
	g, others := gatherAround(usualTerm), uint64(0)
	for k, o := range l.counts {
		j := l.codes[k]
		c := l.totals[j]
		others += c
		d, _ := mul128(f.n, uint64(o)).absDiff(mul128(l.total, c))
		x := d.float()
		t := float64(float64(x*x) * float64(l.scale*l.scales[j]))
		if !g.holds(t) {
			g = s.strayed(g, t)
			continue
		}
		g = g.add(t)
	}
	s.flush(g)
	return mul128(l.total, others)
}

// The likelihood-ratio kernels add E·h(O/E − 1) for each non-zero cell.

func likelihoodRow(s *Sum, f *Frame, i int, row []int64) {
	r := f.rows[i]
	for len(row) > 0 {
		k := min(len(row), gatherMax)
		cols := f.cols[len(f.cols)-len(row):][:k]
		g := gatherAround(usualTerm)
		for j, o := range row[:k] {
			if o == 0 {
				continue
			}
			if t := likelihoodTerm(f.n, uint64(o), r, cols[j]); g.holds(t) {
				g = g.add(t)
			} else {
				g = s.strayed(g, t)
			}
		}
		s.flush(g)
		row = row[k:]
	}
}

func likelihoodCells(s *Sum, f *Frame, c Triples) {
	for at := 0; at < len(c.Count); at += gatherMax {
		g := gatherAround(usualTerm)
		for k := at; k < min(at+gatherMax, len(c.Count)); k++ {
			o := c.Count[k]
			if o == 0 {
				continue
			}
			if t := likelihoodTerm(f.n, uint64(o), f.rows[c.Row[k]], f.cols[c.Col[k]]); g.holds(t) {
				g = g.add(t)
			} else {
				g = s.strayed(g, t)
			}
		}
		s.flush(g)
	}
}

func likelihoodLine(s *Sum, f *Frame, l line) {
	for at := 0; at < len(l.counts); at += gatherMax {
		g := gatherAround(usualTerm)
		for k := at; k < min(at+gatherMax, len(l.counts)); k++ {
			if t := likelihoodTerm(f.n, uint64(l.counts[k]), l.total, l.totals[l.codes[k]]); g.holds(t) {
				g = g.add(t)
			} else {
				g = s.strayed(g, t)
			}
		}
		s.flush(g)
	}
}

func likelihoodTerm(n, o, r, c uint64) float64 {
	rc := mul128(r, c)
	d, negative := mul128(n, o).absDiff(rc)
	x, e := d.float(), rc.float()
	if negative {
		x = -x
	}
	return float64(float64(e/float64(n)) * divergenceG(x/e))
}

// cell holds what the other terms of a non-zero cell are made of.
type cell struct {
	o, e  float64 // observed and expected count
	resid float64 // D = n·O − R·C
	d     float64 // O/E − 1
	back  float64 // E/O − 1
	ratio float64 // O/E itself, which 1 + d has lost the digits of near 0
}

func newCell(n, o, r, c uint64) cell {
	resid := residualFloat(n, o, r, c)
	rc := mul128(r, c).float()
	no := mul128(n, o).float()
	return cell{o: float64(o), e: rc / float64(n), resid: resid, d: resid / rc, back: -resid / no, ratio: no / rc}
}

// divergence is the cell's term of half the power divergence with index λ, |λ| ≤ 5:
//
//	[O·((O/E)^λ − 1) − λ·(O − E)] / (λ·(λ+1)) = E·k(λ, O/E − 1) = O·k(−1−λ, E/O − 1) ≥ 0.
//
// The second form, with the roles exchanged, serves below λ = −½, so that k is needed for λ ≥ −½ only. Terms add up to
// half the statistic because Σ(O − E) = 0.
func (x cell) divergence(lambda float64) float64 {
	if lambda < -0.5 {
		return x.o * divergenceTerm(-1-lambda, x.back, 1/x.ratio)
	}
	return x.e * divergenceTerm(lambda, x.d, x.ratio)
}

// divergenceTerm is k(λ, d) = [(1+d)^(λ+1) − 1 − (λ+1)·d] / (λ·(λ+1)) for λ ≥ −½ and d > −1, with ratio = 1 + d. It
// is d²/2 for small d and any λ.
func divergenceTerm(lambda, d, ratio float64) float64 {
	switch {
	case lambda == 1:
		return float64(d*d) / 2
	case lambda == -0.5:
		s := d / (math.Sqrt(ratio) + 1)
		return 2 * float64(s*s)
	case lambda == 0:
		return divergenceG(d)
	case math.Abs(d) < 0.25:
		return divergenceSeries(lambda, d)
	}
	// ratio·[ratio^λ − 1]/λ − d does not cancel at this distance from d = 0, and λ → 0 is harmless.
	return (float64(ratio*expm1(float64(lambda*log(ratio))))/lambda - d) / (1 + lambda)
}

// divergenceSeries is the binomial series Σ c_k·d^k from k = 2, with c_2 = ½ and c_(k+1) = c_k·(λ+1−k)/(k+1).
func divergenceSeries(lambda, d float64) float64 {
	term := float64(d*d) / 2
	sum := term
	for k := 2.0; k < 60; k++ {
		term = float64(term * (float64((lambda+1-k)*d) / (k + 1)))
		sum += term
		if math.Abs(term) <= 0x1p-54*sum {
			break
		}
	}
	return sum
}

// divergenceG is h(d) = (1+d)·ln(1+d) − d for d ≥ −1, the likelihood-ratio term of a cell as a share of E. It
// is 0 at 0, 1 at −1 and d²/2 near 0. Near 0 it is taken as d² + (1+d)·(ln(1+d) − d), which loses one bit; farther
// away the plain form loses less than three.
func divergenceG(d float64) float64 {
	switch {
	case d <= -1:
		return 1
	case math.Abs(d) <= 0.5:
		return float64(d*d) + float64((1+d)*log1pmx(d))
	}
	return float64((1+d)*log1p(d)) - d
}
