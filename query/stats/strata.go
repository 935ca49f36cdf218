package stats

import "math"

// CMH tests 2×2 tables in strata for a common association, given the stratum: Cochran-Mantel-Haenszel,
//
//	X² = (Σ (a − E))² / Σ Var,   Var = R₁R₂C₁C₂/(n²(n−1)),
//
// on one degree of freedom. Strata of at most one observation or with an empty margin say nothing. Where none says
// anything the statistic is 0, df 0 and p 1, with a warning ZeroVariance. The Effect is the Mantel-Haenszel odds ratio with
// its 95 % interval. Errors: ErrEmpty; ErrShape unless strata are 2×2.
//
// Mantel & Haenszel, J. Natl. Cancer Inst. 22 (1959).
func CMH(s *Strata) (Result, error) { return s.cmh("Cochran-Mantel-Haenszel", false) }

// CMHCorrected is CMH with continuity correction: |Σ(a − E)| is reduced by ½, or to 0.
func CMHCorrected(s *Strata) (Result, error) {
	return s.cmh("Cochran-Mantel-Haenszel with continuity correction", true)
}

// fourfolds are the strata as 2×2 tables.
func (s *Strata) fourfolds() ([]Fourfold, error) {
	if s.n == 0 {
		return nil, ErrEmpty
	}
	all := make([]Fourfold, len(s.tables))
	for k, t := range s.tables {
		f, err := t.Fourfold()
		if err != nil {
			return nil, err
		}
		all[k] = f
	}
	return all, nil
}

func (s *Strata) cmh(method string, corrected bool) (Result, error) {
	all, err := s.fourfolds()
	if err != nil {
		return Result{}, err
	}
	var diff, variance wide
	skipped := uint64(0)
	for _, f := range all {
		if f.degenerate() {
			skipped++
			continue
		}
		n := wideFromUint(f.n)
		diff = diff.add(f.excess())
		up := mul128(f.r1, f.r2).wide().mul(mul128(f.c1, f.c2).wide())
		variance = variance.add(up.div(n).div(n).div(wideFromUint(f.n - 1)))
	}
	x, df := 0.0, int64(0)
	if variance.hi > 0 {
		df = 1
		y := diff.abs()
		if corrected {
			y = y.sub(wideFrom(0.5))
		}
		if y.hi > 0 {
			x = y.mul(y).div(variance).float()
		}
	}
	r := chiSquareResult(method, x, df, s.n)
	r.Rows, r.Cols = 2, 2
	s.noteSkipped(&r, skipped)
	r.Effect = mantelHaenszel(all, 0.95)
	return r, nil
}

func (s *Strata) noteSkipped(r *Result, skipped uint64) {
	if r.DF == 0 {
		r.Warnings = r.Warnings.with(Warning{Kind: ZeroVariance})
	}
	if skipped > 0 {
		r.Warnings = r.Warnings.with(Warning{Kind: StrataSkipped, Affected: skipped, Total: uint64(len(s.tables))})
	}
}

// excess is a − R₁C₁/n = D/n.
func (f Fourfold) excess() wide {
	d, negative := residual(f.n, f.a, f.r1, f.c1)
	e := d.wide().div(wideFromUint(f.n))
	if negative {
		return e.neg()
	}
	return e
}

// MantelHaenszel is the common odds ratio of 2×2 tables in strata, Σ(ad/n)/Σ(bc/n), with the interval of Robins, Breslow
// and Greenland at the given level; SE is the standard error of its logarithm. +Inf when every bc is 0, undefined when every
// ad is as well. Errors: ErrEmpty; ErrShape unless strata are 2×2; ErrArgument for a level outside (0, 1).
//
// Robins, Breslow & Greenland, Biometrics 42 (1986).
func MantelHaenszel(s *Strata, level float64) (Measure, error) {
	if !(level > 0 && level < 1) {
		return Measure{}, argumentError("level %v lies outside (0, 1)", level)
	}
	all, err := s.fourfolds()
	if err != nil {
		return Measure{}, err
	}
	return mantelHaenszel(all, level), nil
}

func mantelHaenszel(all []Fourfold, level float64) Measure {
	var r, s wide
	var pr, cross, qs Sum
	for _, f := range all {
		if f.n == 0 {
			continue
		}
		n := wideFromUint(f.n)
		rk, sk := mul128(f.a, f.d).wide().div(n), mul128(f.b, f.c).wide().div(n)
		r, s = r.add(rk), s.add(sk)
		p, q := float64(f.a+f.d)/float64(f.n), float64(f.b+f.c)/float64(f.n)
		pr.Add(p * rk.float())
		cross.Add(float64(p*sk.float()) + float64(q*rk.float()))
		qs.Add(q * sk.float())
	}
	name := "mh_odds_ratio"
	switch {
	case s.isZero() && r.isZero():
		return undefined(name)
	case s.isZero():
		return measure(name, math.Inf(1))
	}
	m := measure(name, r.div(s).float())
	if r.isZero() {
		return m
	}
	rf, sf := r.float(), s.float()
	m.setError(math.Sqrt(float64(pr.Float()/(2*rf*rf)) + float64(cross.Float()/(2*rf*sf)) + float64(qs.Float()/(2*sf*sf))))
	ln, half := log(m.Value), float64(normalTwoSidedCritical(level)*m.SE)
	m.Low, m.High, m.Level = exp(ln-half), exp(ln+half), level
	return m
}

// BreslowDay tests whether 2×2 tables in strata share one odds ratio: Σ (a − Â)²/Var(Â), with  the expected count given
// the stratum's margins and the Mantel-Haenszel odds ratio, on one degree of freedom less than there are strata without an
// empty margin. With a common odds ratio of 0 or infinity nothing can vary: df 0, p 1, a warning ZeroVariance. Errors as
// CMH.
//
// Breslow & Day, Statistical Methods in Cancer Research I (1980), §4.4.
func BreslowDay(s *Strata) (Result, error) { return s.breslowDay("Breslow-Day homogeneity", false) }

// BreslowDayTarone is BreslowDay less (Σ(a − Â))²/Σ Var(Â), which makes its distribution chi-square.
//
// Tarone, Biometrika 72 (1985).
func BreslowDayTarone(s *Strata) (Result, error) {
	return s.breslowDay("Breslow-Day homogeneity with Tarone's correction", true)
}

func (s *Strata) breslowDay(method string, tarone bool) (Result, error) {
	all, err := s.fourfolds()
	if err != nil {
		return Result{}, err
	}
	var up, down, x, diffs, variances wide
	for _, f := range all {
		if f.n != 0 {
			n := wideFromUint(f.n)
			up, down = up.add(mul128(f.a, f.d).wide().div(n)), down.add(mul128(f.b, f.c).wide().div(n))
		}
	}
	used := int64(0)
	for _, f := range all {
		if f.degenerate() {
			continue
		}
		used++
		if up.isZero() || down.isZero() {
			continue
		}
		diff, variance := f.breslowDay(up.div(down))
		x = x.add(diff.mul(diff).div(variance))
		diffs, variances = diffs.add(diff), variances.add(variance)
	}
	if tarone && !variances.isZero() {
		x = x.sub(diffs.mul(diffs).div(variances))
	}
	df := max(used-1, 0)
	if variances.isZero() {
		df = 0
	}
	r := chiSquareResult(method, math.Max(0, x.float()), df, s.n)
	r.Rows, r.Cols = 2, 2
	s.noteSkipped(&r, uint64(int64(len(all))-used))
	return r, nil
}

// breslowDay is a − Â and the variance of Â, where Â has the odds ratio ψ with the table's margins:
//
//	(1−ψ)Â² + [R₂ − C₁ + ψ(R₁+C₁)]Â − ψR₁C₁ = 0,
//
// linear at ψ = 1. The differences are taken in double-double arithmetic; the form of the root that does not cancel is
// chosen by the sign of the linear coefficient.
func (f Fourfold) breslowDay(psi wide) (diff, variance wide) {
	r1, c1 := wideFromUint(f.r1), wideFromUint(f.c1)
	gap := wideFromUint(f.r2).sub(c1)
	qa, qc := wideFrom(1).sub(psi), psi.mul(r1).mul(c1)
	qb := gap.add(psi.mul(r1.add(c1)))
	root := qb.mul(qb).add(qa.mul(qc).scale(4)).sqrt()
	var fit wide
	if qb.hi >= 0 {
		fit = qc.scale(2).div(qb.add(root))
	} else {
		fit = root.sub(qb).div(qa.scale(2))
	}
	one := wideFrom(1)
	inverse := one.div(fit).add(one.div(r1.sub(fit))).add(one.div(c1.sub(fit))).add(one.div(gap.add(fit)))
	return wideFromUint(f.a).sub(fit), one.div(inverse)
}

// Woolf tests whether 2×2 tables in strata share one odds ratio, by the weighted squares Σ w(ln OR − mean)² with w =
// 1/(1/a+1/b+1/c+1/d), on one degree of freedom less than there are strata with four non-zero cells; others are left out,
// with a warning. The Effect is the pooled odds ratio exp(Σ w ln OR/Σ w). Errors as CMH.
//
// Woolf, Ann. Hum. Genet. 19 (1955).
func Woolf(s *Strata) (Result, error) {
	all, err := s.fourfolds()
	if err != nil {
		return Result{}, err
	}
	var ln, weight []float64
	var total, mean Sum
	for _, f := range all {
		if f.a == 0 || f.b == 0 || f.c == 0 || f.d == 0 {
			continue
		}
		a, b, c, d := f.floats()
		w := 1 / (1/a + 1/b + 1/c + 1/d)
		l := lnOddsRatioExact(f)
		ln, weight = append(ln, l), append(weight, w)
		total.Add(w)
		mean.Add(float64(w * l))
	}
	used := len(ln)
	r := chiSquareResult("Woolf homogeneity", 0, 0, s.n)
	if used > 0 {
		m := mean.Float() / total.Float()
		var x Sum
		for k, l := range ln {
			x.Add(weight[k] * float64((l-m)*(l-m)))
		}
		r = chiSquareResult(r.Method, x.Float(), int64(used-1), s.n)
		r.Effect = measure("woolf_pooled_odds_ratio", exp(m))
	} else {
		r.Effect = undefined("woolf_pooled_odds_ratio")
	}
	r.Rows, r.Cols = 2, 2
	s.noteSkipped(&r, uint64(len(all)-used))
	return r, nil
}

// lnOddsRatioExact is ln(ad/bc) of a table without a zero, from the exact ad − bc where the ratio is near 1.
func lnOddsRatioExact(f Fourfold) float64 {
	ad, bc := mul128(f.a, f.d), mul128(f.b, f.c)
	if d, negative := ad.absDiff(bc); d.float() < 0.5*bc.float() {
		if negative {
			return log1p(-d.float() / bc.float())
		}
		return log1p(d.float() / bc.float())
	}
	return log(ad.float()) - log(bc.float())
}
