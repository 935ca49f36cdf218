package stats

import "math"

// entropy is −Σ p·ln p in nats of a list of totals that add up to n > 0. No term is negative; one near p = 1 is taken
// from 1 − p, which is exact.
func entropy(totals []uint64, n uint64) float64 {
	var s Sum
	for _, v := range totals {
		addEntropy(&s, v, n)
	}
	return s.Float()
}

func addEntropy(s *Sum, v, n uint64) {
	if v != 0 && v != n {
		s.Add(float64(-lnRatioOf(v, n)*float64(v)) / float64(n))
	}
}

// lnRatioOf is ln(v/n) for 0 < v ≤ n, with a small relative error also near v = n.
func lnRatioOf(v, n uint64) float64 {
	if v > n/2 {
		return log1p(-float64(n-v) / float64(n))
	}
	return log(float64(v) / float64(n))
}

// entropies fills the entropies, the mutual information G/2n and Theil's U,
//
//	U(C|R) = MI/H(C),   U = 2·MI/(H(R)+H(C)).
//
// Theil, Statistical Decomposition Analysis (1972).
func (a *Association) entropies(f *Frame, g Result) {
	hr, hc := entropy(f.rows, f.n), entropy(f.cols, f.n)
	mi := g.Statistic / 2 / float64(f.n)
	a.EntropyRows, a.EntropyCols = measure("entropy_rows", hr), measure("entropy_cols", hc)
	a.EntropyJoint = measure("entropy_joint", math.Max(float64(hr+hc)-mi, math.Max(hr, hc)))
	a.MutualInfo = measure("mutual_info", mi)
	share := func(name string, of float64) Measure {
		if g.DF == 0 || of <= 0 {
			return undefined(name)
		}
		return measure(name, math.Min(1, mi/of))
	}
	a.TheilsUColGivenRow = share("theils_u_col_given_row", hc)
	a.TheilsURowGivenCol = share("theils_u_row_given_col", hr)
	a.TheilsUSymmetric = share("theils_u_symmetric", (hr+hc)/2)
}

// TheilsU is Theil's uncertainty coefficient in both directions and symmetric: the share of the entropy of one variable
// that the other removes, 0…1. The only error is ErrEmpty.
func TheilsU(t *Table) (colGivenRow, rowGivenCol, symmetric Measure, err error) {
	a, err := Associations(t)
	return a.TheilsUColGivenRow, a.TheilsURowGivenCol, a.TheilsUSymmetric, err
}

// MutualInformation is Σ p ln(p/(p_row·p_col)) in nats, 0…min(H(R), H(C)), with its standard error. The only error is
// ErrEmpty.
func MutualInformation(t *Table) (Measure, error) {
	a, err := Associations(t)
	return a.MutualInfo, err
}
