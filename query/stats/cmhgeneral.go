package stats

// GeneralCMH holds the three tests of Landis, Heyman and Koch for r × c tables in strata. Each asks for an association of
// rows and columns that goes the same way in all strata, against the null hypothesis of none in any.
type GeneralCMH struct {
	General  Result // any association: rows and columns nominal, df (r−1)(c−1)
	RowMeans Result // mean column scores differ between rows: columns ordered, df r−1
	ColMeans Result // mean row scores differ between columns: rows ordered, df c−1
	Linear   Result // scores are correlated: both ordered, df 1
}

// generalMax bounds (r−1)(c−1) of the general test, whose covariance matrix has the square of it.
const generalMax = 1024

// GeneralizedCMH computes the tests from the sums over strata of n − E and its covariance given both margins,
//
//	Cov(n_ij, n_i'j') = R_i(δ_ii' n − R_i')·C_j(δ_jj' n − C_j')/(n²(n−1)),
//
// with the given integer scores (nil for 0, 1, 2, … over the levels that were observed). Degrees of freedom are ranks of
// covariance matrices, so levels that vary in no stratum do not count. Strata of at most one observation are left out.
// Errors: ErrEmpty; ErrShape for scores of another number than levels; ErrArgument when (r−1)(c−1) exceeds 1024.
//
// Landis, Heyman & Koch, Int. Stat. Rev. 46 (1978).
func GeneralizedCMH(s *Strata, rowScores, colScores []int64) (GeneralCMH, error) {
	if s.n == 0 {
		return GeneralCMH{}, ErrEmpty
	}
	total := NewMargins(s.rows, s.cols)
	for _, t := range s.tables {
		addTotals(total.Rows, t.margins.Rows)
		addTotals(total.Cols, t.margins.Cols)
	}
	rows, err := scoresOr(rowScores, total.Rows)
	if err != nil {
		return GeneralCMH{}, err
	}
	cols, err := scoresOr(colScores, total.Cols)
	if err != nil {
		return GeneralCMH{}, err
	}
	_, rowAt, _ := compact(total.Rows)
	_, colAt, _ := compact(total.Cols)
	if (len(rowAt)-1)*(len(colAt)-1) > generalMax {
		return GeneralCMH{}, argumentError("generalized CMH of %d by %d levels; (r-1)(c-1) is at most %d", len(rowAt), len(colAt), generalMax)
	}
	g := &generalSums{rowAt: rowAt, colAt: colAt, rowScores: wideScores(rows, rowAt), colScores: wideScores(cols, colAt)}
	return g.add(s), nil
}

func wideScores(scores []int64, at []int) []wide {
	w := make([]wide, len(at))
	for k, i := range at {
		w[k] = wideFromInt(scores[i])
	}
	return w
}

// generalSums gathers the vectors and covariances of the four tests over strata.
type generalSums struct {
	rowAt, colAt         []int // levels observed in some stratum
	rowScores, colScores []wide
}

// form is a vector of sums of n − E and its covariance matrix.
type form struct {
	d []wide
	v matrix
}

func newForm(k int) form { return form{make([]wide, max(k, 0)), newMatrix(max(k, 0))} }

func (g *generalSums) add(s *Strata) (out GeneralCMH) {
	r, c := len(g.rowAt)-1, len(g.colAt)-1
	general, rowMeans, colMeans, linear := newForm(r*c), newForm(r), newForm(c), newForm(min(1, r*c))
	skipped := uint64(0)
	for _, t := range s.tables {
		if t.N() < 2 || t.frame.DF() == 0 {
			skipped++
			continue
		}
		excess := g.excess(t)
		rowCov := hypergeometricCov(t.margins.Rows, g.rowAt, t.N())
		colCov := hypergeometricCov(t.margins.Cols, g.colAt, t.N())
		n := wideFromUint(t.N())
		scale := wideFrom(1).div(n.mul(n).mul(wideFromUint(t.N() - 1)))
		rowSpread, colSpread := spread(rowCov, g.rowScores), spread(colCov, g.colScores)
		for i := range r {
			for j := range c {
				k := i*c + j
				general.d[k] = general.d[k].add(excess[i][j])
				for i2 := range r {
					for j2 := range c {
						k2 := i2*c + j2
						general.v[k][k2] = general.v[k][k2].add(rowCov[i][i2].mul(colCov[j][j2]).mul(scale))
					}
				}
			}
		}
		rowMeans.gather(func(i int) wide { return dot(excess[i], g.colScores) }, rowCov, colSpread.mul(scale))
		colMeans.gather(func(j int) wide { return dotColumn(excess, j, g.rowScores) }, colCov, rowSpread.mul(scale))
		if len(linear.d) == 1 {
			sum := wide{}
			for i := range excess {
				sum = sum.add(dot(excess[i], g.colScores).mul(g.rowScores[i]))
			}
			linear.d[0] = linear.d[0].add(sum)
			linear.v[0][0] = linear.v[0][0].add(rowSpread.mul(colSpread).mul(scale))
		}
	}
	finish := func(method string, f form) Result {
		x, rank := quadraticForm(f.v, f.d)
		res := chiSquareResult(method, x, int64(rank), s.n)
		res.Rows, res.Cols = len(g.rowAt), len(g.colAt)
		s.noteSkipped(&res, skipped)
		return res
	}
	out.General = finish("CMH general association", general)
	out.RowMeans = finish("CMH row mean scores differ", rowMeans)
	out.ColMeans = finish("CMH column mean scores differ", colMeans)
	out.Linear = finish("CMH correlation", linear)
	return out
}

// gather adds one stratum: d_i and cov_ii'·factor for all but the last level.
func (f *form) gather(d func(i int) wide, cov matrix, factor wide) {
	for i := range f.d {
		f.d[i] = f.d[i].add(d(i))
		for k := range f.d {
			f.v[i][k] = f.v[i][k].add(cov[i][k].mul(factor))
		}
	}
}

// excess is n − E of a stratum over the observed levels, D/n in each cell.
func (g *generalSums) excess(t *Table) matrix {
	d := t.reduced()
	byRow, byCol := indexOf(d.rowAt, t.rows), indexOf(d.colAt, t.cols)
	n := wideFromUint(d.n)
	m := make(matrix, len(g.rowAt))
	for i, ri := range g.rowAt {
		m[i] = make([]wide, len(g.colAt))
		for j, cj := range g.colAt {
			if byRow[ri] < 0 || byCol[cj] < 0 {
				continue
			}
			v, negative := residual(d.n, d.row(byRow[ri])[byCol[cj]], d.rows[byRow[ri]], d.cols[byCol[cj]])
			w := v.wide().div(n)
			if negative {
				w = w.neg()
			}
			m[i][j] = w
		}
	}
	return m
}

func indexOf(at []int, k int) []int {
	to := make([]int, k)
	for i := range to {
		to[i] = -1
	}
	for i, v := range at {
		to[v] = i
	}
	return to
}

// hypergeometricCov is T_i(δ n − T_i') over the given levels.
func hypergeometricCov(totals []uint64, at []int, n uint64) matrix {
	m := newMatrix(len(at))
	for i, a := range at {
		for j, b := range at {
			if i == j {
				m[i][j] = mul128(totals[a], n-totals[a]).wide()
			} else {
				m[i][j] = mul128(totals[a], totals[b]).wide().neg()
			}
		}
	}
	return m
}

// spread is sᵀ·cov·s.
func spread(cov matrix, s []wide) (x wide) {
	for i := range s {
		x = x.add(dot(cov[i], s).mul(s[i]))
	}
	return x
}

func dot(a, b []wide) (x wide) {
	for k := range a {
		x = x.add(a[k].mul(b[k]))
	}
	return x
}

func dotColumn(m matrix, j int, s []wide) (x wide) {
	for i := range m {
		x = x.add(m[i][j].mul(s[i]))
	}
	return x
}
