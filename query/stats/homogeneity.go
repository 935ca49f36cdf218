package stats

import (
	"crypto/sha256"
	"math"
)

// BreslowDay tests whether 2×2 tables in strata share one odds ratio: Σ (a − Â)²/Var(Â), with  the expected count given
// the stratum's margins and the Mantel-Haenszel odds ratio, on one degree of freedom less than there are strata without an
// empty margin. With a common odds ratio of 0 or infinity nothing can vary: df 0, p 1, a warning ZeroVariance. Errors as
// CMH.
//
// Breslow & Day, Statistical Methods in Cancer Research I (1980), §4.4.
func BreslowDay(s *Strata) (Result, error) { return s.homogeneity((*StrataSums).BreslowDay) }

// BreslowDayTarone is BreslowDay less (Σ(a − Â))²/Σ Var(Â), which makes its distribution chi-square.
//
// Tarone, Biometrika 72 (1985).
func BreslowDayTarone(s *Strata) (Result, error) {
	return s.homogeneity((*StrataSums).BreslowDayTarone)
}

// Woolf tests whether 2×2 tables in strata share one odds ratio, by the weighted squares Σ w(ln OR − mean)² with w =
// 1/(1/a+1/b+1/c+1/d), on one degree of freedom less than there are strata with four non-zero cells; others are left out,
// with a warning. The Effect is the pooled odds ratio exp(Σ w ln OR/Σ w) with its interval. Errors as CMH.
//
// Woolf, Ann. Hum. Genet. 19 (1955).
func Woolf(s *Strata) (Result, error) { return s.homogeneity((*StrataSums).Woolf) }

// homogeneity takes both rounds over strata that are all here.
func (s *Strata) homogeneity(finish func(*StrataSums, *HomogeneitySums) (Result, error)) (Result, error) {
	all, err := s.fourfolds()
	if err != nil {
		return Result{}, err
	}
	x, err := sumStrata(all)
	if err != nil {
		return Result{}, err
	}
	h := NewHomogeneitySums(x)
	for _, f := range all {
		h.Add(f)
	}
	return finish(x, h)
}

// HomogeneitySums are the second round over 2×2 strata: sums of squared distances from the common odds ratio that the merged
// StrataSums of the first round have. Each stratum must be added once, whole, by one holder. They merge in any order; equal shares
// have equal bits. It belongs to one goroutine.
type HomogeneitySums struct {
	digest                    Digest // of the first round
	squares, diffs, variances Sum    // of Breslow and Day
	woolf                     Sum    // Σ w(ln OR − mean)²
	psi                       wide   // the Mantel-Haenszel odds ratio, 0 where it is 0, infinite or undefined
	mean                      float64
}

// NewHomogeneitySums makes an empty share of the second round; global are the merged sums of the first.
func NewHomogeneitySums(global *StrataSums) *HomogeneitySums {
	h := &HomogeneitySums{digest: global.digest()}
	if up, down := global.ad.wide(), global.bc.wide(); !up.isZero() && !down.isZero() {
		h.psi = up.div(down)
	}
	if global.full > 0 {
		h.mean = global.weighted.Float() / global.weight.Float()
	}
	return h
}

// digest is that of the encoding.
func (x *StrataSums) digest() Digest {
	b, _ := x.AppendBinary(nil)
	sum := sha256.Sum256(b)
	return Digest(sum[:16])
}

// Add counts one stratum.
func (h *HomogeneitySums) Add(f Fourfold) {
	if f.degenerate() {
		return
	}
	if !h.psi.isZero() {
		diff, variance := f.breslowDay(h.psi)
		h.squares.addWide(diff.mul(diff).div(variance))
		h.diffs.addWide(diff)
		h.variances.addWide(variance)
	}
	if w, ln, ok := f.woolf(); ok {
		h.woolf.Add(w * float64((ln-h.mean)*(ln-h.mean)))
	}
}

// Merge adds another holder's share. The error is ErrDigest, when the first rounds differ; h is then unchanged.
func (h *HomogeneitySums) Merge(o *HomogeneitySums) error {
	if h.digest != o.digest {
		return ErrDigest
	}
	for k, s := range h.all() {
		s.Merge(o.all()[k])
	}
	return nil
}

func (h *HomogeneitySums) all() [4]*Sum { return [4]*Sum{&h.squares, &h.diffs, &h.variances, &h.woolf} }

const homogeneitySumsVersion = 1

// AppendBinary appends the encoding: version 1, the digest of the first round, and four sums. Equal shares have equal bytes.
func (h *HomogeneitySums) AppendBinary(b []byte) ([]byte, error) {
	b = append(append(b, homogeneitySumsVersion), h.digest[:]...)
	for _, s := range h.all() {
		b, _ = s.AppendBinary(b)
	}
	return b, nil
}

// UnmarshalBinary reads what AppendBinary wrote, and nothing after it. What is read can be merged and finished; strata are added
// to one that NewHomogeneitySums made. The error is ErrEncoding; it leaves h unchanged.
func (h *HomogeneitySums) UnmarshalBinary(b []byte) error {
	r := reader{b: b}
	if v := r.byte(); v != homogeneitySumsVersion {
		return encodingError("sums of homogeneity of version %d, this program reads %d", v, homogeneitySumsVersion)
	}
	var got HomogeneitySums
	r.bytes(got.digest[:])
	for _, s := range got.all() {
		*s = r.boundedSum(s == &got.diffs, 0x1p-300, 0x1p200)
	}
	if err := r.end(); err != nil {
		return err
	}
	*h = got
	return nil
}

// check says whether h may be finished against x.
func (x *StrataSums) check(h *HomogeneitySums) error {
	switch {
	case x.n == 0:
		return ErrEmpty
	case h.digest != x.digest():
		return ErrDigest
	}
	return nil
}

// BreslowDay finishes the test from the merged second round; see the function BreslowDay. Errors: ErrEmpty; ErrDigest when h rests
// on another first round.
func (x *StrataSums) BreslowDay(h *HomogeneitySums) (Result, error) {
	return x.breslowDay("Breslow-Day homogeneity", h, false)
}

// BreslowDayTarone finishes the test with Tarone's correction; see the function BreslowDayTarone. Errors as BreslowDay.
func (x *StrataSums) BreslowDayTarone(h *HomogeneitySums) (Result, error) {
	return x.breslowDay("Breslow-Day homogeneity with Tarone's correction", h, true)
}

func (x *StrataSums) breslowDay(method string, h *HomogeneitySums, tarone bool) (Result, error) {
	if err := x.check(h); err != nil {
		return Result{}, err
	}
	statistic, variances := h.squares.wide(), h.variances.wide()
	if tarone && variances.hi > 0 {
		diffs := h.diffs.wide()
		statistic = statistic.sub(diffs.mul(diffs).div(variances))
	}
	df := int64(0)
	if variances.hi > 0 && x.informative > 0 {
		df = int64(x.informative - 1)
	}
	return x.result(method, math.Max(0, statistic.float()), df, x.strata-x.informative), nil
}

// Woolf finishes the test from the merged second round; see the function Woolf. Errors as BreslowDay.
func (x *StrataSums) Woolf(h *HomogeneitySums) (Result, error) {
	if err := x.check(h); err != nil {
		return Result{}, err
	}
	df := int64(x.full)
	if df > 0 {
		df--
	}
	r := x.result("Woolf homogeneity", h.woolf.Float(), df, x.strata-x.full)
	r.Effect = undefined("woolf_pooled_odds_ratio")
	if weight := x.weight.Float(); x.full > 0 && weight > 0 {
		mean := x.weighted.Float() / weight
		r.Effect = measure(r.Effect.Name, exp(mean))
		r.Effect.setError(1 / math.Sqrt(weight))
		r.Effect = r.Effect.logInterval(mean, DefaultLevel)
	}
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

// woolf is the weight and the logarithm of the odds ratio of a table without a zero.
func (f Fourfold) woolf() (weight, ln float64, ok bool) {
	if f.a == 0 || f.b == 0 || f.c == 0 || f.d == 0 {
		return 0, 0, false
	}
	a, b, c, d := f.floats()
	return 1 / (1/a + 1/b + 1/c + 1/d), f.lnOddsRatio(), true
}
