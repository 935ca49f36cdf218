package stats

import "math"

// Standard errors by the delta method: a measure g(p) of cell shares p, estimated from n multinomial observations, has
//
//	SE² = [Σ p·φ² − (Σ p·φ)²]/n = Σ p·(φ − φ̄)²/n,   φ = ∂g/∂p.
//
// Agresti, Categorical Data Analysis, 3rd ed., §16.1. The second form, over exact sums, does not cancel.

// deltaError is the standard error of a measure whose gradient at the non-zero cell (i, j) is phi.
func deltaError(t *Table, phi func(i, j int, o uint64) float64) float64 {
	n := float64(t.N())
	var mean, square Sum
	t.each(func(i, j int, o uint64) { mean.Add(float64(float64(o)/n) * phi(i, j, o)) })
	m := mean.Float()
	t.each(func(i, j int, o uint64) {
		x := phi(i, j, o) - m
		square.Add(float64(float64(o)/n) * float64(x*x))
	})
	return math.Sqrt(square.Float() / n)
}

func (m *Measure) setError(se float64) {
	if m.Defined && !math.IsNaN(se) && !math.IsInf(se, 0) {
		m.SE, m.HasSE = se, true
	}
}

// errors fills the standard errors of the nominal measures.
func (a *Association) errors(t *Table) {
	if !a.CramersV.Defined {
		return
	}
	f := t.frame
	n := float64(f.n)
	lnRow, lnCol := lnShares(f.rows, f.n), lnShares(f.cols, f.n)
	lnOE := func(i, j int, o uint64) float64 {
		x := newCell(f.n, o, f.rows[i], f.cols[j])
		return log1p(x.d)
	}
	a.MutualInfo.setError(deltaError(t, lnOE))
	hr, hc := a.EntropyRows.Value, a.EntropyCols.Value
	uc, ur, us := a.TheilsUColGivenRow.Value, a.TheilsURowGivenCol.Value, a.TheilsUSymmetric.Value
	a.TheilsUColGivenRow.setError(deltaError(t, func(i, j int, o uint64) float64 {
		return (lnOE(i, j, o) + float64(uc*lnCol[j])) / hc
	}))
	a.TheilsURowGivenCol.setError(deltaError(t, func(i, j int, o uint64) float64 {
		return (lnOE(i, j, o) + float64(ur*lnRow[i])) / hr
	}))
	a.TheilsUSymmetric.setError(deltaError(t, func(i, j int, o uint64) float64 {
		return (2*lnOE(i, j, o) + float64(us*(lnRow[i]+lnCol[j]))) / (hr + hc)
	}))
	rows, cols := shares(f.rows, n), shares(f.cols, n)
	perRow, perCol, chiRow, chiCol := squareSums(t, n)
	tau := func(m *Measure, own []float64, given []float64, totals []uint64, byRow bool) {
		down := mul128(f.n, f.n).sub(sumSquares(totals)).float() / n / n
		rest := 1 - m.Value
		m.setError(deltaError(t, func(i, j int, o uint64) float64 {
			g, k := i, j
			if !byRow {
				g, k = j, i
			}
			return (2*float64(float64(o)/n/given[g]) - perOf(byRow, perRow, perCol)[g] - 2*float64(rest*own[k])) / down
		}))
	}
	tau(&a.TauColGivenRow, cols, rows, f.cols, true)
	tau(&a.TauRowGivenCol, rows, cols, f.rows, false)
	if v := a.CramersV.Value; v > 0 {
		k := float64(min(f.whole.Rows, f.whole.Cols) - 1)
		a.CramersV.setError(deltaError(t, func(i, j int, o uint64) float64 {
			x := 2*float64(float64(o)/n/rows[i]/cols[j]) - chiRow[i] - chiCol[j]
			return x / (2 * v * k)
		}))
	}
}

func perOf(byRow bool, perRow, perCol []float64) []float64 {
	if byRow {
		return perRow
	}
	return perCol
}

// squareSums gives, as shares, Σ_j p²/p_i² for each row and Σ_i p²/p_j² for each column, and the same with another
// division by the other margin: Σ_j p²/(p_i²·p_j) and Σ_i p²/(p_j²·p_i).
func squareSums(t *Table, n float64) (perRow, perCol, chiRow, chiCol []float64) {
	f := t.frame
	perRow, chiRow = make([]float64, t.rows), make([]float64, t.rows)
	perCol, chiCol = make([]float64, t.cols), make([]float64, t.cols)
	t.each(func(i, j int, o uint64) {
		r, c := float64(o)/float64(f.rows[i]), float64(o)/float64(f.cols[j])
		perRow[i] += float64(r * r)
		perCol[j] += float64(c * c)
		chiRow[i] += float64(r*r) / (float64(f.cols[j]) / n)
		chiCol[j] += float64(c*c) / (float64(f.rows[i]) / n)
	})
	return perRow, perCol, chiRow, chiCol
}

func shares(totals []uint64, n float64) []float64 {
	s := make([]float64, len(totals))
	for i, v := range totals {
		s[i] = float64(v) / n
	}
	return s
}

func lnShares(totals []uint64, n uint64) []float64 {
	s := make([]float64, len(totals))
	for i, v := range totals {
		if v != 0 {
			s[i] = lnRatioOf(v, n)
		}
	}
	return s
}
