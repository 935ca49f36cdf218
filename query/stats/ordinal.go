package stats

import (
	"math"
	"math/big"
)

// OrdinalAssociation holds the measures of association of a two-way table whose levels have an order, the order of the
// table. Every one is −1…1, positive when high rows go with high columns, and undefined when its denominator is 0.
// Standard errors are asymptotic (ASE1, delta method under multinomial sampling).
type OrdinalAssociation struct {
	Concordant, Discordant *big.Int // pairs of observations ordered alike and oppositely, exact

	Gamma, TauB, TauC                      Measure // Goodman and Kruskal; Kendall; Stuart
	SomersDColGivenRow, SomersDRowGivenCol Measure // pairs tied on the given variable are left out
	SpearmanRho, PearsonR                  Measure // on midranks; on scores 0, 1, 2, …
}

// Ordinal computes every measure of OrdinalAssociation. It needs the whole table in memory. The only error is ErrEmpty.
//
// Agresti, Analysis of Ordinal Categorical Data, 2nd ed., ch. 7.
func Ordinal(t *Table) (OrdinalAssociation, error) {
	if t.N() == 0 {
		return OrdinalAssociation{}, ErrEmpty
	}
	d := t.reduced()
	pairs := countPairs(d)
	return pairs.measures(d), nil
}

// pairTable holds, for each cell of a reduced table, how many observations lie to its upper left or lower right (with) and
// to its upper right or lower left (against).
type pairTable struct {
	with, against []uint64
	p, q          u128 // twice the concordant and discordant pairs: Σ O·with, Σ O·against
}

// countPairs takes four running sums over the table, one for each corner: exact, in r·c steps.
func countPairs(d *reduced) *pairTable {
	t := &pairTable{with: make([]uint64, len(d.cells)), against: make([]uint64, len(d.cells))}
	above, below := make([]uint64, d.c), make([]uint64, d.c) // column totals strictly above and below the row
	copy(below, d.cols)
	for i := range d.r {
		row := d.row(i)
		for j, o := range row {
			below[j] -= o
		}
		var aboveLeft, belowLeft, aboveAll, belowAll uint64
		for j := range row {
			aboveAll += above[j]
			belowAll += below[j]
		}
		for j, o := range row {
			aboveRight, belowRight := aboveAll-aboveLeft-above[j], belowAll-belowLeft-below[j]
			k := i*d.c + j
			t.with[k], t.against[k] = aboveLeft+belowRight, aboveRight+belowLeft
			t.p, t.q = t.p.add(mul128(o, t.with[k])), t.q.add(mul128(o, t.against[k]))
			aboveLeft += above[j]
			belowLeft += below[j]
		}
		for j, o := range row {
			above[j] += o
		}
	}
	return t
}

func (t *pairTable) measures(d *reduced) OrdinalAssociation {
	var a OrdinalAssociation
	a.Concordant = t.p.big()
	a.Concordant.Rsh(a.Concordant, 1)
	a.Discordant = t.q.big()
	a.Discordant.Rsh(a.Discordant, 1)
	diff, negative := t.p.absDiff(t.q)
	s := diff.float() // P − Q
	if negative {
		s = -s
	}
	square := mul128(d.n, d.n)
	wr, wc := square.sub(sumSquares(d.rows)), square.sub(sumSquares(d.cols))
	ratio := func(name string, by float64) Measure {
		if d.r < 2 || d.c < 2 || by == 0 {
			return undefined(name)
		}
		return measure(name, math.Max(-1, math.Min(1, s/by)))
	}
	a.Gamma = ratio("gamma", t.p.add(t.q).float())
	a.TauB = ratio("kendall_tau_b", math.Sqrt(wr.float())*math.Sqrt(wc.float()))
	q := float64(min(d.r, d.c))
	a.TauC = ratio("stuart_tau_c", square.float()*(q-1)/q)
	a.SomersDColGivenRow = ratio("somers_d_col_given_row", wr.float())
	a.SomersDRowGivenCol = ratio("somers_d_row_given_col", wc.float())
	a.SpearmanRho = correlation("spearman_rho", d, midranks(d.rows, d.n), midranks(d.cols, d.n), true)
	a.PearsonR = correlation("pearson_r", d, positions(d.r), positions(d.c), false)
	t.errors(d, &a, wr, wc)
	return a
}

// errors fills the standard errors, from the gradients of the measures in the cell shares.
func (t *pairTable) errors(d *reduced, a *OrdinalAssociation, wr, wc u128) {
	if d.r < 2 || d.c < 2 {
		return
	}
	n := float64(d.n)
	p, q := t.p.float()/n/n, t.q.float()/n/n
	vr, vc := wr.float()/n/n, wc.float()/n/n
	root := math.Sqrt(vr) * math.Sqrt(vc)
	cells := &Table{rows: d.r, cols: d.c, margins: &Margins{N: d.n}, dense: make([]int64, len(d.cells))}
	for k, o := range d.cells {
		cells.dense[k] = int64(o)
	}
	with := func(i, j int) float64 { return float64(t.with[i*d.c+j]) / n }
	against := func(i, j int) float64 { return float64(t.against[i*d.c+j]) / n }
	slope := func(i, j int) float64 { // ∂(P−Q)/∂p
		w, v := t.with[i*d.c+j], t.against[i*d.c+j]
		if w < v {
			return -2 * float64(v-w) / n
		}
		return 2 * float64(w-v) / n
	}
	row := func(i int) float64 { return float64(d.rows[i]) / n }
	col := func(j int) float64 { return float64(d.cols[j]) / n }
	if sum := p + q; sum > 0 {
		a.Gamma.setError(deltaError(cells, func(i, j int, _ uint64) float64 {
			return 4 * (float64(q*with(i, j)) - float64(p*against(i, j))) / float64(sum*sum)
		}))
	}
	tb, dc, dr := a.TauB.Value, a.SomersDColGivenRow.Value, a.SomersDRowGivenCol.Value
	a.TauB.setError(deltaError(cells, func(i, j int, _ uint64) float64 {
		return slope(i, j)/root + float64(tb*(row(i)/vr+col(j)/vc))
	}))
	m := float64(min(d.r, d.c))
	a.TauC.setError(deltaError(cells, func(i, j int, _ uint64) float64 { return slope(i, j) * m / (m - 1) }))
	a.SomersDColGivenRow.setError(deltaError(cells, func(i, j int, _ uint64) float64 {
		return (slope(i, j) + 2*float64(dc*row(i))) / vr
	}))
	a.SomersDRowGivenCol.setError(deltaError(cells, func(i, j int, _ uint64) float64 {
		return (slope(i, j) + 2*float64(dr*col(j))) / vc
	}))
}

// midranks are the centred doubled midranks 2·(mean rank) − (n+1) of each level, exact integers whose weighted sum is 0.
func midranks(totals []uint64, n uint64) []signed {
	ranks := make([]signed, len(totals))
	var before uint64
	for i, v := range totals {
		twice := u128{lo: before}.add(u128{lo: before}).add(u128{lo: v})
		ranks[i].abs, ranks[i].negative = twice.absDiff(u128{lo: n})
		before += v
	}
	return ranks
}

func positions(k int) []signed {
	s := make([]signed, k)
	for i := range s {
		s[i].abs.lo = uint64(i)
	}
	return s
}

// correlation is the product-moment correlation of scores, all sums exact. Scores are below 2⁶⁴; centred ones have a
// weighted sum of 0 and leave out the correction for the mean, which would not fit 256 bits.
func correlation(name string, d *reduced, rows, cols []signed, centred bool) Measure {
	var m moments
	for i, s := range rows {
		m.addLevel(&m.ss, &m.s, s, d.rows[i])
		for j, o := range d.row(i) {
			if o != 0 {
				m.st.addMulSigned(mul128(s.abs.lo, cols[j].abs.lo), o, s.negative != cols[j].negative)
			}
		}
	}
	for j, t := range cols {
		m.addLevel(&m.tt, &m.t, t, d.cols[j])
	}
	m.n = d.n
	if d.r < 2 || d.c < 2 {
		return undefined(name)
	}
	if centred {
		return measure(name, ratioOfRoots(m.st.wide(), m.ss.wide(), m.tt.wide()))
	}
	return m.correlation(name)
}

// ratioOfRoots is a/√(b·c) within −1…1, for b, c > 0.
func ratioOfRoots(a, b, c wide) float64 {
	v := a.div(b.sqrt().mul(c.sqrt())).float()
	return math.Max(-1, math.Min(1, v))
}
