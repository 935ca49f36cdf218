package stats

import "math"

// McNemar tests a 2×2 table of pairs for a change of the marginal share: with b = cell(1,2) and c = cell(2,1),
//
//	X² = (b − c)²/(b + c)  on one degree of freedom.
//
// Without a discordant pair the statistic is 0 and p is 1, with a warning NoDiscordantPairs; below 25 of them a warning
// SmallSample: use McNemarExact. The Effect is the odds ratio b/c of the pairs with its exact interval. Errors: ErrEmpty; ErrShape unless 2×2.
//
// McNemar, Psychometrika 12 (1947).
func McNemar(p Pairs) (Result, error) { return p.mcnemar("McNemar", 0) }

// McNemarCorrected is McNemar with Edwards' continuity correction, max(0, |b − c| − 1)²/(b + c).
func McNemarCorrected(p Pairs) (Result, error) {
	return p.mcnemar("McNemar with continuity correction", 1)
}

func (p Pairs) discordant() (b, c uint64, err error) {
	if p.t == nil || p.t.rows != 2 {
		return 0, 0, shapeError("McNemar's test is for 2×2 tables of pairs")
	}
	if p.t.N() == 0 {
		return 0, 0, ErrEmpty
	}
	return uint64(p.t.At(0, 1)), uint64(p.t.At(1, 0)), nil
}

func (p Pairs) mcnemar(method string, correction uint64) (Result, error) {
	b, c, err := p.discordant()
	if err != nil {
		return Result{}, err
	}
	x := 0.0
	if diff := max(b, c) - min(b, c); diff > correction {
		y := float64(diff - correction)
		x = y / float64(b+c) * y
	}
	df := int64(1)
	if b+c == 0 {
		df = 0
	}
	r := chiSquareResult(method, x, df, p.t.N())
	p.note(&r, b, c)
	if b+c > 0 && b+c < 25 {
		r.Warnings = r.Warnings.with(Warning{Kind: SmallSample})
	}
	return r, nil
}

// McNemarExact is McNemar's test without an approximation: given b + c discordant pairs, b is binomial with share ½. Its
// MidP counts the observed outcome half and is the one to prefer; the Statistic is b. Without a discordant pair every p is 1. Errors as McNemar.
//
// Fagerland, Lydersen & Laake, BMC Med. Res. Methodol. 13 (2013).
func McNemarExact(p Pairs) (ExactP, error) {
	b, c, err := p.discordant()
	switch {
	case err != nil:
		return ExactP{}, err
	}
	e := certain()
	if b+c > 0 {
		e = binomialTest(b, b+c, 0.5)
	}
	e.Method, e.Statistic = "McNemar exact", float64(b)
	p.note(&e.Result, b, c)
	return e, nil
}

// note adds what every form of McNemar's test has.
func (p Pairs) note(r *Result, b, c uint64) {
	*r = p.t.shaped(*r)
	r.N, r.Effect = p.t.N(), oddsOfPairs(b, c, DefaultLevel)
	if b+c == 0 {
		r.Warnings = r.Warnings.with(Warning{Kind: NoDiscordantPairs})
	}
}

// oddsOfPairs is b/c, the conditional maximum likelihood estimate of the odds ratio, +Inf for c = 0 < b, with the exact
// interval: the odds of Clopper and Pearson's limits for b in b+c.
func oddsOfPairs(b, c uint64, level float64) Measure {
	const name = "odds_ratio_paired"
	if b == 0 && c == 0 {
		return undefined(name)
	}
	m := measure(name, float64(b)/float64(c))
	fb, fc, target := float64(b), float64(c), log((1-level)/2)
	m.Level, m.High = level, math.Inf(1)
	if b > 0 {
		x, y := betaQuantile(target, false, fb, fc+1)
		m.Low = x / y
	}
	if c > 0 {
		x, y := betaQuantile(target, true, fb+1, fc)
		m.High = x / y
	}
	return m
}

// Bowker tests a square table of pairs for symmetry,
//
//	X² = Σ_{i<j} (n_ij − n_ji)²/(n_ij + n_ji),
//
// with one degree of freedom for each pair of cells with an observation. It is McNemar's test for 2×2. The only error is
// ErrEmpty.
//
// Bowker, J. Am. Stat. Assoc. 43 (1948).
func Bowker(p Pairs) (Result, error) {
	if p.t == nil || p.t.N() == 0 {
		return Result{}, ErrEmpty
	}
	var s Sum
	var df int64
	other := p.t.Transpose()
	visit := func(i, j int, a, b uint64) {
		df++
		diff := float64(max(a, b) - min(a, b))
		s.Add(diff / wideSum(a, b) * diff)
	}
	eachPair(p.t, other, visit)
	r := p.t.shaped(chiSquareResult("Bowker symmetry", s.Float(), df, p.t.N()))
	if df == 0 {
		r.Warnings = r.Warnings.with(Warning{Kind: NoDiscordantPairs})
	}
	return r, nil
}

func wideSum(a, b uint64) float64 { return u128{lo: a}.add(u128{lo: b}).float() }

// eachPair calls fn for each i < j where n_ij or n_ji is above 0.
func eachPair(t, transposed *Table, fn func(i, j int, upper, lower uint64)) {
	upper := map[[2]int][2]uint64{}
	var order [][2]int
	note := func(side int) func(i, j int, o uint64) {
		return func(i, j int, o uint64) {
			if i >= j {
				return
			}
			k := [2]int{i, j}
			v, seen := upper[k]
			if !seen {
				order = append(order, k)
			}
			v[side] = o
			upper[k] = v
		}
	}
	t.each(note(0))
	transposed.each(note(1))
	for _, k := range order {
		fn(k[0], k[1], upper[k][0], upper[k][1])
	}
}

// StuartMaxwell tests a square table of pairs for equal margins: with d_i = R_i − C_i and
//
//	V_ii = R_i + C_i − 2 n_ii,   V_ij = −(n_ij + n_ji),
//
// X² = dᵀV⁻d, on as many degrees of freedom as V has rank (k − 1 for k connected levels). Levels that no discordant pair
// touches say nothing. The only error is ErrEmpty.
//
// Maxwell, Br. J. Psychiatry 116 (1970).
func StuartMaxwell(p Pairs) (Result, error) {
	if p.t == nil || p.t.N() == 0 {
		return Result{}, ErrEmpty
	}
	k := p.t.rows
	v := newMatrix(k)
	eachPair(p.t, p.t.Transpose(), func(i, j int, a, b uint64) {
		w := u128{lo: a}.add(u128{lo: b}).wide()
		v[i][j], v[j][i] = w.neg(), w.neg()
		v[i][i], v[j][j] = v[i][i].add(w), v[j][j].add(w)
	})
	d := make([]wide, k)
	for i := range d {
		d[i] = wideFromUint(p.t.margins.Rows[i]).sub(wideFromUint(p.t.margins.Cols[i]))
	}
	x, rank := quadraticForm(v, d)
	r := p.t.shaped(chiSquareResult("Stuart-Maxwell marginal homogeneity", x, int64(rank), p.t.N()))
	if rank == 0 {
		r.Warnings = r.Warnings.with(Warning{Kind: NoDiscordantPairs})
	}
	return r, nil
}

// KappaWeights says how much partial agreement counts in Kappa.
type KappaWeights uint8

// Weights of Kappa between levels i and j of k.
const (
	Unweighted       KappaWeights = iota // 1 for i = j, else 0
	LinearWeights                        // 1 − |i−j|/(k−1)
	QuadraticWeights                     // 1 − (i−j)²/(k−1)²
)

func (w KappaWeights) weight(i, j, k int) float64 {
	if i == j {
		return 1
	}
	if w == Unweighted || k < 2 {
		return 0
	}
	d := math.Abs(float64(i-j)) / float64(k-1)
	if w == QuadraticWeights {
		d = float64(d * d)
	}
	return 1 - d
}

// Kappa is Cohen's measure of agreement of two raters beyond chance, at most 1, with the standard error of Fleiss, Cohen
// and Everitt:
//
//	κ = (Σ w·p − Σ w·p_i·p_j)/(1 − Σ w·p_i·p_j).
//
// It is undefined when chance alone agrees always. Errors: ErrEmpty; ErrArgument for unknown weights.
//
// Cohen, Psychol. Bull. 70 (1968); Fleiss, Cohen & Everitt, Psychol. Bull. 72 (1969).
func Kappa(p Pairs, w KappaWeights) (Measure, error) {
	names := []string{"kappa", "kappa_linear", "kappa_quadratic"}
	switch {
	case p.t == nil || p.t.N() == 0:
		return Measure{}, ErrEmpty
	case int(w) >= len(names):
		return Measure{}, argumentError("kappa weights %d", w)
	}
	t, k := p.t, p.t.rows
	n := float64(t.N())
	rows, cols := shares(t.margins.Rows, n), shares(t.margins.Cols, n)
	// Work with disagreement 1 − w, which has no cancellation near perfect agreement.
	var seen, chance Sum
	t.each(func(i, j int, o uint64) { seen.Add((1 - w.weight(i, j, k)) * float64(float64(o)/n)) })
	rowMean, colMean := make([]float64, k), make([]float64, k) // w̄_i·, w̄_·j
	for i := range k {
		for j := range k {
			wt := w.weight(i, j, k)
			chance.Add((1 - wt) * float64(rows[i]*cols[j]))
			rowMean[i] += float64(wt * cols[j])
			colMean[j] += float64(wt * rows[i])
		}
	}
	qe := chance.Float()
	if qe <= 0 {
		return undefined(names[w]), nil
	}
	qo := seen.Float()
	m := measure(names[w], 1-qo/qe)
	m.setError(deltaError(t, func(i, j int, _ uint64) float64 {
		return float64(w.weight(i, j, k)*qe)/float64(qe*qe) - float64((rowMean[i]+colMean[j])*qo)/float64(qe*qe)
	}))
	return m, nil
}
