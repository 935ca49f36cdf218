package stats

import (
	"encoding/binary"
	"math"
)

// CMH tests 2×2 tables in strata for a common association, given the stratum: Cochran-Mantel-Haenszel,
//
//	X² = (Σ (a − E))² / Σ Var,   Var = R₁R₂C₁C₂/(n²(n−1)),
//
// on one degree of freedom. Strata of at most one observation or with an empty margin say nothing. Where none says
// anything the statistic is 0, df 0 and p 1, with a warning ZeroVariance. The Effect is the Mantel-Haenszel odds ratio with
// its 95 % interval. Errors: ErrEmpty; ErrShape unless strata are 2×2.
//
// Mantel & Haenszel, J. Natl. Cancer Inst. 22 (1959).
func CMH(s *Strata) (Result, error) {
	x, err := s.sums()
	if err != nil {
		return Result{}, err
	}
	return x.CMH()
}

// CMHCorrected is CMH with continuity correction: |Σ(a − E)| is reduced by ½, or to 0.
func CMHCorrected(s *Strata) (Result, error) {
	x, err := s.sums()
	if err != nil {
		return Result{}, err
	}
	return x.CMHCorrected()
}

// MantelHaenszel is the common odds ratio of 2×2 tables in strata, Σ(ad/n)/Σ(bc/n), with the interval of Robins, Breslow
// and Greenland at the given level; SE is the standard error of its logarithm. +Inf when every bc is 0, undefined when every
// ad is as well. Errors: ErrEmpty; ErrShape unless strata are 2×2; ErrArgument for a level outside (0, 1).
//
// Robins, Breslow & Greenland, Biometrics 42 (1986).
func MantelHaenszel(s *Strata, level float64) (Measure, error) {
	if err := checkLevel(level); err != nil {
		return Measure{}, err
	}
	x, err := s.sums()
	if err != nil {
		return Measure{}, err
	}
	return x.MantelHaenszel(level)
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

func (s *Strata) sums() (*StrataSums, error) {
	all, err := s.fourfolds()
	if err != nil {
		return nil, err
	}
	return sumStrata(all)
}

func sumStrata(all []Fourfold) (*StrataSums, error) {
	x := &StrataSums{}
	for _, f := range all {
		if err := x.Add(f); err != nil {
			return nil, err
		}
	}
	return x, nil
}

// StrataSums are the sums over 2×2 strata that the tests of Cochran, Mantel and Haenszel decompose into, and the first of two
// rounds of the tests of homogeneity; see HomogeneitySums. Each stratum must be added once, whole, by one holder. They merge in
// any order; equal shares have equal bits. The zero value holds no stratum. It belongs to one goroutine.
type StrataSums struct {
	strata      uint64
	informative uint64 // strata without an empty margin
	full        uint64 // strata without an empty cell
	n           uint64

	excess, variance Sum // Σ (a − E), Σ Var
	ad, bc           Sum // Σ ad/n, Σ bc/n
	pr, cross, qs    Sum // Σ PR, Σ (PS + QR), Σ QS of Robins, Breslow and Greenland
	weight, weighted Sum // Σ w and Σ w·ln OR of Woolf
}

// Add counts one stratum. The error is ErrOverflow, when all strata together have more than 2⁶⁴−1 observations; it changes nothing.
func (x *StrataSums) Add(f Fourfold) error {
	total, ok := addU64(x.n, f.n)
	if !ok {
		return ErrOverflow
	}
	x.n = total
	x.strata++
	if f.n == 0 {
		return nil
	}
	n := wideFromUint(f.n)
	ad, bc := mul128(f.a, f.d).wide().div(n), mul128(f.b, f.c).wide().div(n)
	x.ad.addWide(ad)
	x.bc.addWide(bc)
	p, q := float64(f.a+f.d)/float64(f.n), float64(f.b+f.c)/float64(f.n)
	x.pr.Add(p * ad.float())
	x.cross.Add(p * bc.float())
	x.cross.Add(q * ad.float())
	x.qs.Add(q * bc.float())
	if f.degenerate() {
		return nil
	}
	x.informative++
	x.excess.addWide(f.excess())
	up := mul128(f.r1, f.r2).wide().mul(mul128(f.c1, f.c2).wide())
	x.variance.addWide(up.div(n).div(n).div(wideFromUint(f.n - 1)))
	if w, ln, ok := f.woolf(); ok {
		x.full++
		x.weight.Add(w)
		x.weighted.Add(w * ln)
	}
	return nil
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

// Merge adds another holder's strata. The error is ErrOverflow; it leaves x unchanged.
func (x *StrataSums) Merge(o *StrataSums) error {
	n, ok := addU64(x.n, o.n)
	if !ok {
		return ErrOverflow
	}
	x.n = n
	x.strata, x.informative, x.full = x.strata+o.strata, x.informative+o.informative, x.full+o.full
	for k, s := range x.all() {
		s.Merge(o.all()[k])
	}
	return nil
}

func (x *StrataSums) all() [9]*Sum {
	return [9]*Sum{&x.excess, &x.variance, &x.ad, &x.bc, &x.pr, &x.cross, &x.qs, &x.weight, &x.weighted}
}

const strataSumsVersion = 1

// AppendBinary appends the encoding: version 1; the numbers of observations, strata, strata without an empty margin and strata
// without an empty cell as unsigned varints; then the nine sums. Equal shares have equal bytes.
func (x *StrataSums) AppendBinary(b []byte) ([]byte, error) {
	b = append(b, strataSumsVersion)
	for _, v := range [4]uint64{x.n, x.strata, x.informative, x.full} {
		b = binary.AppendUvarint(b, v)
	}
	for _, s := range x.all() {
		b, _ = s.AppendBinary(b)
	}
	return b, nil
}

// UnmarshalBinary reads what AppendBinary wrote, and nothing after it. The error is ErrEncoding, also for numbers that no strata
// have; it leaves x unchanged.
func (x *StrataSums) UnmarshalBinary(b []byte) error {
	r := reader{b: b}
	if v := r.byte(); v != strataSumsVersion {
		return encodingError("sums over strata of version %d, this program reads %d", v, strataSumsVersion)
	}
	var got StrataSums
	got.n, got.strata, got.informative, got.full = r.uvarint(), r.uvarint(), r.uvarint(), r.uvarint()
	for _, s := range got.all() {
		// Every term is at most n, or n·ln 2¹²⁸ in the last sum, and no term that divides is below 2⁻⁶⁵.
		*s = r.boundedSum(s == &got.excess || s == &got.weighted, 0x1p-200, float64(float64(got.n)*0x1p7))
	}
	if err := r.end(); err != nil {
		return err
	}
	if got.full > got.informative || got.informative > got.strata || got.informative > got.n/2 {
		return encodingError("sums over strata that no tables have")
	}
	*x = got
	return nil
}

// CMH finishes the test; see the function CMH. The only error is ErrEmpty.
func (x *StrataSums) CMH() (Result, error) { return x.cmh("Cochran-Mantel-Haenszel", false) }

// CMHCorrected finishes the test with continuity correction; see the function CMHCorrected. The only error is ErrEmpty.
func (x *StrataSums) CMHCorrected() (Result, error) {
	return x.cmh("Cochran-Mantel-Haenszel with continuity correction", true)
}

func (x *StrataSums) cmh(method string, corrected bool) (Result, error) {
	if x.n == 0 {
		return Result{}, ErrEmpty
	}
	statistic, df := 0.0, int64(0)
	if variance := x.variance.wide(); variance.hi > 0 {
		df = 1
		y := x.excess.wide().abs()
		if corrected {
			y = y.sub(wideFrom(0.5))
		}
		if y.hi > 0 {
			statistic = y.mul(y).div(variance).float()
		}
	}
	r := x.result(method, statistic, df, x.strata-x.informative)
	r.Effect = x.mantelHaenszel(DefaultLevel)
	return r, nil
}

// result fills a Result with what every test over strata has.
func (x *StrataSums) result(method string, statistic float64, df int64, skipped uint64) Result {
	r := chiSquareResult(method, statistic, df, x.n)
	r.Rows, r.Cols = 2, 2
	noteStrata(&r, skipped, x.strata)
	return r
}

// noteStrata warns of strata that say nothing.
func noteStrata(r *Result, skipped, strata uint64) {
	if r.DF == 0 {
		r.Warnings = r.Warnings.with(Warning{Kind: ZeroVariance})
	}
	if skipped > 0 {
		r.Warnings = r.Warnings.with(Warning{Kind: StrataSkipped, Affected: skipped, Total: strata})
	}
}

// MantelHaenszel finishes the common odds ratio; see the function MantelHaenszel. Errors: ErrEmpty; ErrArgument for a level
// outside (0, 1).
func (x *StrataSums) MantelHaenszel(level float64) (Measure, error) {
	if err := checkLevel(level); err != nil {
		return Measure{}, err
	}
	if x.n == 0 {
		return Measure{}, ErrEmpty
	}
	return x.mantelHaenszel(level), nil
}

func (x *StrataSums) mantelHaenszel(level float64) Measure {
	const name = "mh_odds_ratio"
	r, s := x.ad.wide(), x.bc.wide()
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
	m.setError(math.Sqrt(float64(x.pr.Float()/(2*rf*rf)) + float64(x.cross.Float()/(2*rf*sf)) + float64(x.qs.Float()/(2*sf*sf))))
	return m.logInterval(log(m.Value), level)
}
