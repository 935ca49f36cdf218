package stats

// matrix is a small square matrix in double-double arithmetic: covariance matrices of margins, whose quadratic forms
// cancel in float64 when strata nearly determine each other.
type matrix [][]wide

func newMatrix(k int) matrix {
	m := make(matrix, k)
	all := make([]wide, k*k)
	for i := range m {
		m[i] = all[i*k : (i+1)*k]
	}
	return m
}

// quadraticForm is dᵀ·V⁻·d for a positive semidefinite V and a d in its range, and the rank of V, by Cholesky
// elimination with diagonal pivoting. Pivots below 2⁻⁸⁰ of the diagonal they came from are rounding of 0. V and d are
// overwritten.
func quadraticForm(v matrix, d []wide) (x float64, rank int) {
	k := len(v)
	first := make([]float64, k)
	for i := range v {
		first[i] = v[i][i].hi
	}
	done := make([]bool, k)
	var s Sum
	for range k {
		p := -1
		for i := range v {
			if !done[i] && v[i][i].hi > 0x1p-80*first[i] && (p < 0 || v[i][i].hi > v[p][p].hi) {
				p = i
			}
		}
		if p < 0 {
			break
		}
		done[p] = true
		rank++
		pivot := v[p][p]
		s.Add(d[p].mul(d[p]).div(pivot).float())
		for i := range v {
			if done[i] || v[i][p].isZero() {
				continue
			}
			ratio := v[i][p].div(pivot)
			d[i] = d[i].sub(ratio.mul(d[p]))
			for j := range v {
				if !done[j] {
					v[i][j] = v[i][j].sub(ratio.mul(v[p][j]))
				}
			}
		}
	}
	return s.Float(), rank
}
