package stats

import (
	"math"
	"slices"
)

// ChiSquare tests the independence of the rows and columns of t with Pearson's statistic,
//
//	X² = Σ (O − E)² / E,   E = row total × column total / n,
//
// referred to the chi-square distribution with (r−1)(c−1) degrees of freedom, where r and c count the non-empty rows and
// columns. No continuity correction; see Yates. With df = 0 the statistic is 0 and p is 1; the only error is ErrEmpty, for
// a table without observations. The Effect is the bias-corrected Cramér's V.
//
// Agresti, Categorical Data Analysis, 3rd ed., §3.2.1.
func ChiSquare(t *Table) (Result, error) {
	p := NewPartial(t.frame, KindPearson)
	p.AddTable(t.frame, t)
	return t.frame.ChiSquare(p)
}

// ChiSquare finishes the Pearson test from the merged partial of every holder. Errors: ErrEmpty; ErrDigest, when p was
// computed with other margins; ErrArgument, when p did not gather KindPearson.
func (f *Frame) ChiSquare(p *Partial) (Result, error) {
	if err := f.check(p, KindPearson); err != nil {
		return Result{}, err
	}
	s := *p.sum(KindPearson) // Σ D²/(R·C) over the non-zero cells; a zero cell has R·C
	s.addInteger(f.zeroMass(p), -f.scale)
	r := f.result("Pearson chi-square", math.Ldexp(s.Float(), f.scale)/float64(f.n))
	r.Effect = r.CramersVCorrected()
	return r, nil
}

func (f *Frame) check(p *Partial, k Kinds) error {
	switch {
	case f.n == 0:
		return ErrEmpty
	case p.digest != f.whole.Digest:
		return ErrDigest
	case p.kinds&k == 0:
		return argumentError("the partial gathers kinds %#x, not %#x", p.kinds, k)
	case mul128(f.n, f.n).less(p.mass) || mul128(uint64(f.whole.Rows), uint64(f.whole.Cols)).less(u128{lo: p.cells}):
		return argumentError("the partial has more cells than its margins allow")
	}
	return nil
}

// zeroMass is Σ R·C over the cells that nothing was observed in.
func (f *Frame) zeroMass(p *Partial) u128 { return mul128(f.n, f.n).sub(p.mass) }

// result fills a Result for a statistic of the whole table with (r−1)(c−1) degrees of freedom.
func (f *Frame) result(method string, x float64) Result {
	return f.note(chiSquareResult(method, x, f.DF(), f.n))
}

// note adds what the margins say about a test of the table: its shape, the smallest expected count, warnings.
func (f *Frame) note(r Result) Result {
	r.Rows, r.Cols, r.MinExpected = f.whole.Rows, f.whole.Cols, f.MinExpected()
	if r.Rows == 1 || r.Cols == 1 {
		r.Warnings = r.Warnings.with(Warning{Kind: OneLevel})
		return r
	}
	if r.MinExpected < 5 {
		w := Warning{Kind: ExpectedBelow5}
		if len(f.rows) >= r.Rows && len(f.cols) >= r.Cols { // the frame of the whole table
			w.Affected, w.Total = f.expectedBelow(5), uint64(r.Rows)*uint64(r.Cols)
		}
		r.Warnings = r.Warnings.with(w)
	}
	return r
}

// expectedBelow counts the cells with R·C < limit·n. Sorted margins make it linear: as R grows, fewer columns qualify.
func (f *Frame) expectedBelow(limit uint64) uint64 {
	bound := mul128(f.n, limit)
	if len(f.rows)*len(f.cols) <= 64 {
		var count uint64
		for _, r := range f.rows {
			for _, c := range f.cols {
				if r != 0 && c != 0 && mul128(r, c).less(bound) {
					count++
				}
			}
		}
		return count
	}
	rows, _, _ := compact(f.rows)
	cols, _, _ := compact(f.cols)
	slices.Sort(rows)
	slices.Sort(cols)
	var count uint64
	j := len(cols)
	for _, r := range rows {
		for j > 0 && !mul128(r, cols[j-1]).less(bound) {
			j--
		}
		count += uint64(j)
	}
	return count
}

// ExpectedBelow counts the cells of the table whose expected count is below limit; 5 is Cochran's customary bound.
func (t *Table) ExpectedBelow(limit uint64) uint64 { return t.frame.expectedBelow(limit) }

// Yates tests a 2×2 table with Pearson's statistic corrected for continuity: each |O − E| is reduced by ½, or by itself
// where it is less. It is conservative; prefer Fisher's mid-p for small tables. The Effect is the signed φ. Other shapes are ErrShape; ErrEmpty for a
// table without observations.
//
// Yates, J. R. Stat. Soc. Suppl. 1 (1934).
func Yates(t *Table) (Result, error) {
	if t.N() == 0 {
		return Result{}, ErrEmpty
	}
	if t.rows != 2 || t.cols != 2 {
		return Result{}, shapeError("Yates' correction is for 2×2 tables, this is %d by %d", t.rows, t.cols)
	}
	f := t.frame
	x := 0.0
	if f.DF() == 1 {
		x = yates(f, uint64(t.At(0, 0)))
	}
	r := f.result("Pearson chi-square with Yates' correction", x)
	if r.DF == 1 {
		u, _ := t.Fourfold()
		r.Effect = u.PhiSigned()
	}
	return r, nil
}

// yates is n·(|D| − n/2)²/(R₁·R₂·C₁·C₂), which holds because |O − E| = |D|/n in every cell; 0 when |D| ≤ n/2. |D| is at
// most n²/4, so 2|D| fits.
func yates(f *Frame, a uint64) float64 {
	d, _ := residual(f.n, a, f.rows[0], f.cols[0])
	twice, n := d.add(d), u128{lo: f.n}
	if !n.less(twice) {
		return 0
	}
	y := twice.sub(n).float() / 2
	return float64(y/mul128(f.rows[0], f.rows[1]).float()) * float64(y/mul128(f.cols[0], f.cols[1]).float()) * float64(f.n)
}

// GTest tests the independence of rows and columns with the likelihood-ratio statistic
//
//	G = 2 Σ O·ln(O/E)
//
// referred to the chi-square distribution with (r−1)(c−1) degrees of freedom. It is computed as 2 Σ E·h(O/E − 1), h(d) =
// (1+d)·ln(1+d) − d ≥ 0, whose terms do not cancel. The Effect is the mutual information G/2n in nats. The only error is
// ErrEmpty.
//
// Agresti, Categorical Data Analysis, 3rd ed., §3.2.1.
func GTest(t *Table) (Result, error) {
	p := NewPartial(t.frame, KindG)
	p.AddTable(t.frame, t)
	return t.frame.GTest(p)
}

// GTest finishes the likelihood-ratio test from the merged partial of every holder. Errors as ChiSquare.
func (f *Frame) GTest(p *Partial) (Result, error) {
	if err := f.check(p, KindG); err != nil {
		return Result{}, err
	}
	s := *p.sum(KindG) // a zero cell has E
	s.Add(f.zeroMass(p).float() / float64(f.n))
	half := s.Float()
	r := f.result("G test", 2*half)
	if r.DF > 0 {
		r.Effect = measure("mutual_info", half/float64(f.n))
	}
	return r, nil
}

// GWilliams is GTest with Williams' correction, G/q with
//
//	q = 1 + (n Σ 1/R − 1)(n Σ 1/C − 1) / (6 n (r−1)(c−1)),
//
// which brings the distribution of G nearer to chi-square in small tables. The only error is ErrEmpty.
//
// Williams, Biometrika 63 (1976).
func GWilliams(t *Table) (Result, error) {
	p := NewPartial(t.frame, KindG)
	p.AddTable(t.frame, t)
	return t.frame.GWilliams(p)
}

// GWilliams finishes the test from the merged partial of every holder; f must have the totals of the whole table. Errors as ChiSquare.
func (f *Frame) GWilliams(p *Partial) (Result, error) {
	const method = "G test with Williams' correction"
	r, err := f.GTest(p)
	if err != nil || r.DF == 0 {
		r.Method = method
		return r, err
	}
	n := float64(f.n)
	spread := func(totals []uint64) float64 { // n Σ 1/R − 1 = Σ over rows, all terms at least 0
		var s Sum
		for _, v := range totals {
			if v != 0 {
				s.Add(n / float64(v))
			}
		}
		s.Add(-1)
		return s.Float()
	}
	q := 1 + float64(spread(f.rows)*spread(f.cols))/float64(6*n*float64(r.DF))
	c := f.result(method, r.Statistic/q)
	c.Effect = r.Effect
	return c, nil
}

// divergenceMax bounds |λ| of PowerDivergence: within it no term of any table overflows.
const divergenceMax = 5

// PowerDivergence tests independence with the statistic of Cressie and Read,
//
//	2/(λ(λ+1)) Σ O·((O/E)^λ − 1),
//
// for |λ| ≤ 5: λ = 1 is Pearson's, 0 is G, 2/3 Cressie and Read's choice, −½ Freeman and Tukey's, −1 the modified
// likelihood ratio, −2 Neyman's. At λ ≤ −1 a zero cell makes the statistic infinite, with a warning ZeroCell; for every
// other λ it is finite. Errors: ErrEmpty; ErrArgument for another λ.
//
// Cressie & Read, J. R. Stat. Soc. B 46 (1984).
func PowerDivergence(t *Table, lambda float64) (Result, error) {
	if !(math.Abs(lambda) <= divergenceMax) {
		return Result{}, argumentError("power divergence needs -%d ≤ λ ≤ %d, not %v", divergenceMax, divergenceMax, lambda)
	}
	f := t.frame
	if f.n == 0 {
		return Result{}, ErrEmpty
	}
	switch lambda {
	case 1:
		return rename(ChiSquare(t))(divergenceName(lambda))
	case 0:
		return rename(GTest(t))(divergenceName(lambda))
	}
	p := NewPartial(f, 0)
	p.AddTable(f, t)
	var s Sum
	t.each(func(i, j int, o uint64) { s.Add(newCell(f.n, o, f.rows[i], f.cols[j]).divergence(lambda)) })
	return f.divergence(&s, p, lambda), nil
}

// rename gives the result of another entry point its own name.
func rename(r Result, err error) func(name string) (Result, error) {
	return func(name string) (Result, error) {
		r.Method = name
		return r, err
	}
}

// PowerDivergence finishes one of the members of the family that a partial gathers: KindCressieRead, KindFreemanTukey,
// KindModifiedG or KindNeyman. Errors as ChiSquare.
func (f *Frame) PowerDivergence(p *Partial, k Kinds) (Result, error) {
	lambda, ok := map[Kinds]float64{KindCressieRead: 2. / 3, KindFreemanTukey: -0.5, KindModifiedG: -1, KindNeyman: -2}[k]
	if !ok {
		return Result{}, argumentError("kind %#x is no power divergence", k)
	}
	if err := f.check(p, k); err != nil {
		return Result{}, err
	}
	s := *p.sum(k)
	return f.divergence(&s, p, lambda), nil
}

// divergence finishes 2·Σ over the non-zero cells, adding the share of the zero cells: 2E/(λ+1) each, infinite for
// λ ≤ −1.
func (f *Frame) divergence(s *Sum, p *Partial, lambda float64) Result {
	zeros := uint64(f.whole.Rows)*uint64(f.whole.Cols) - p.cells
	switch {
	case f.DF() == 0:
		return f.result(divergenceName(lambda), 0)
	case zeros > 0 && lambda <= -1:
		r := f.result(divergenceName(lambda), math.Inf(1))
		r.Warnings = r.Warnings.with(Warning{Kind: ZeroCell, Affected: zeros, Total: zeros + p.cells})
		return r
	case zeros > 0:
		s.Add(f.zeroMass(p).float() / float64(f.n) / (1 + lambda))
	}
	return f.result(divergenceName(lambda), 2*s.Float())
}

func divergenceName(lambda float64) string {
	switch lambda {
	case 1:
		return "power divergence, Pearson"
	case 0:
		return "power divergence, G"
	case 2. / 3:
		return "power divergence, Cressie-Read"
	case -0.5:
		return "power divergence, Freeman-Tukey"
	case -1:
		return "power divergence, modified log-likelihood"
	case -2:
		return "power divergence, Neyman"
	}
	return "power divergence"
}
