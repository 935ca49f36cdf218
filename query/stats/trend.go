package stats

import (
	"encoding/binary"
	"math"
	"math/big"
)

// moments are the exact sums over observations that a correlation of scores s and t needs.
type moments struct {
	n          uint64
	s, t       i256 // Σ s, Σ t
	ss, tt, st i256
}

// addLevel adds count observations of score v to a sum of squares and a sum.
func (m *moments) addLevel(squares, sum *i256, v signed, count uint64) {
	squares.addMul(mul128(v.abs.lo, v.abs.lo), count)
	sum.addMulSigned(v.abs, count, v.negative)
}

// centredMoment is n·Σab − Σa·Σb.
func (m *moments) centredMoment(ab, a, b i256) wide {
	var z i256
	abs, negative := ab.abs()
	z.addMul(u128{lo: abs[0], hi: abs[1]}, m.n)
	var high i256
	high.addMul(u128{lo: abs[2], hi: abs[3]}, m.n)
	z.add(i256{0, 0, high[0], high[1]})
	if negative {
		z = i256{}.minus(z)
	}
	aa, an := a.abs()
	ba, bn := b.abs()
	p := product256(u128{lo: aa[0], hi: aa[1]}, u128{lo: ba[0], hi: ba[1]})
	if an != bn {
		z.add(p)
	} else {
		z.sub(p)
	}
	return z.wide()
}

func (z i256) minus(o i256) i256 {
	z.sub(o)
	return z
}

// correlation is undefined when one of the scores does not vary.
func (m *moments) correlation(name string) Measure {
	ss, tt := m.centredMoment(m.ss, m.s, m.s), m.centredMoment(m.tt, m.t, m.t)
	if ss.hi <= 0 || tt.hi <= 0 {
		return undefined(name)
	}
	return measure(name, ratioOfRoots(m.centredMoment(m.st, m.s, m.t), ss, tt))
}

// scoreMax bounds the scores of levels, so that every sum of products stays below 2²⁵⁵.
const scoreMax = 1 << 62

// ScoreSums are the sums that the linear-by-linear test and the Cochran-Armitage test decompose into: integers, one
// addition a cell, mergeable in any order. The zero value holds no observations.
type ScoreSums struct{ m moments }

// Add counts observations whose row has score s and whose column has score t. Errors: ErrArgument for a score beyond
// ±2⁶², ErrNegative, ErrOverflow; they change nothing.
func (x *ScoreSums) Add(s, t, count int64) error {
	if max(s, t) > scoreMax || min(s, t) < -scoreMax {
		return argumentError("score %d or %d lies beyond 2^62", s, t)
	}
	if count < 0 {
		return ErrNegative
	}
	n, ok := addU64(x.m.n, uint64(count))
	if !ok {
		return ErrOverflow
	}
	x.m.n = n
	a, b := signedInt(s), signedInt(t)
	x.m.addLevel(&x.m.ss, &x.m.s, a, uint64(count))
	x.m.addLevel(&x.m.tt, &x.m.t, b, uint64(count))
	x.m.st.addMulSigned(mul128(a.abs.lo, b.abs.lo), uint64(count), a.negative != b.negative)
	return nil
}

// Merge adds another holder's sums. The error is ErrOverflow; it leaves x unchanged.
func (x *ScoreSums) Merge(o *ScoreSums) error {
	n, ok := addU64(x.m.n, o.m.n)
	if !ok {
		return ErrOverflow
	}
	x.m.n = n
	for k, z := range x.m.all() {
		z.add(*o.m.all()[k])
	}
	return nil
}

func (m *moments) all() [5]*i256 { return [5]*i256{&m.s, &m.t, &m.ss, &m.tt, &m.st} }

const scoreSumsVersion = 1

// AppendBinary appends the encoding: version 1, n as 8 bytes, then Σs, Σt, Σs², Σt² and Σst as 32 bytes each, in two's
// complement; little-endian.
func (x *ScoreSums) AppendBinary(b []byte) ([]byte, error) {
	b = append(b, scoreSumsVersion)
	b = binary.LittleEndian.AppendUint64(b, x.m.n)
	for _, z := range x.m.all() {
		for _, w := range z {
			b = binary.LittleEndian.AppendUint64(b, w)
		}
	}
	return b, nil
}

// UnmarshalBinary reads what AppendBinary wrote. The error is ErrEncoding, also for sums that no observations have; it
// leaves x unchanged.
func (x *ScoreSums) UnmarshalBinary(b []byte) error {
	r := reader{b: b}
	if v := r.byte(); v != scoreSumsVersion {
		return encodingError("score sums of version %d, this program reads %d", v, scoreSumsVersion)
	}
	var got ScoreSums
	got.m.n = r.uint64()
	for _, z := range got.m.all() {
		for k := range z {
			z[k] = r.uint64()
		}
	}
	if err := r.end(); err != nil {
		return err
	}
	if !got.m.possible() {
		return encodingError("score sums that no observations have")
	}
	*x = got
	return nil
}

// possible checks the bounds that scores and n put on the sums, so that nothing overflows later.
func (m *moments) possible() bool {
	n := wideFromUint(m.n).float()
	for k, z := range m.all() {
		bound := float64(n * 0x1p62)
		if k >= 2 {
			bound *= 0x1p62
		}
		if k == 2 || k == 3 {
			if z.negative() {
				return false
			}
		}
		if math.Abs(z.wide().float()) > bound {
			return false
		}
	}
	return true
}

// N is the number of observations.
func (x *ScoreSums) N() uint64 { return x.m.n }

// LinearByLinear finishes Mantel's test of linear association, (n−1)·r² with r the correlation of the scores, referred to
// chi-square with one degree of freedom. It has more power than Pearson's test against a trend and none against anything
// else. Where a score does not vary the statistic is 0, df 0 and p 1, with a warning OneLevel. The Effect is r. The only
// error is ErrEmpty.
//
// Mantel, J. Am. Stat. Assoc. 58 (1963).
func (x *ScoreSums) LinearByLinear() (Result, error) {
	return x.trend("linear-by-linear association", false)
}

func (x *ScoreSums) trend(method string, whole bool) (Result, error) {
	if x.m.n == 0 {
		return Result{}, ErrEmpty
	}
	r := x.m.correlation("pearson_r")
	weight := float64(x.m.n)
	if !whole {
		weight = float64(x.m.n - 1)
	}
	df := int64(1)
	if !r.Defined {
		df = 0
	}
	res := chiSquareResult(method, weight*float64(r.Value*r.Value), df, x.m.n)
	res.Effect = r
	if df == 0 {
		res.Warnings = res.Warnings.with(Warning{Kind: OneLevel})
	}
	return res, nil
}

// LinearByLinear tests t for a linear association of its rows and columns with the given integer scores; nil stands for
// 0, 1, 2, … in table order. Errors: ErrEmpty; ErrShape for scores of another number than levels; ErrArgument for scores
// beyond ±2⁶².
func LinearByLinear(t *Table, rowScores, colScores []int64) (Result, error) {
	x, err := t.scoreSums(rowScores, colScores)
	if err != nil {
		return Result{}, err
	}
	r, err := x.LinearByLinear()
	return t.shaped(r), err
}

func (t *Table) shaped(r Result) Result {
	r.Rows, r.Cols = t.frame.whole.Rows, t.frame.whole.Cols
	return r
}

// scoreSums counts the cells. Default scores number the levels that were observed, so that an empty row changes
// nothing.
func (t *Table) scoreSums(rowScores, colScores []int64) (*ScoreSums, error) {
	rowScores, err := scoresOr(rowScores, t.margins.Rows)
	if err != nil {
		return nil, err
	}
	colScores, err = scoresOr(colScores, t.margins.Cols)
	if err != nil {
		return nil, err
	}
	x := &ScoreSums{}
	t.each(func(i, j int, o uint64) {
		if err == nil {
			err = x.Add(rowScores[i], colScores[j], int64(o))
		}
	})
	return x, err
}

func scoresOr(scores []int64, totals []uint64) ([]int64, error) {
	if scores != nil {
		if len(scores) != len(totals) {
			return nil, shapeError("%d scores for %d levels", len(scores), len(totals))
		}
		return scores, nil
	}
	_, _, to := compact(totals)
	scores = make([]int64, len(to))
	for i, k := range to {
		scores[i] = int64(k)
	}
	return scores, nil
}

// Trend is the result of the Cochran-Armitage test: a Result with its signed z.
type Trend struct {
	Result
	Z float64
}

// CochranArmitage tests a table with two rows or two columns for a trend of a proportion over the ordered levels of the
// other variable, with the given scores (nil for 0, 1, 2, …):
//
//	z = √n · r,   X² = z²  on one degree of freedom,
//
// r being the correlation of the score with the first level of the two-level variable, so that z > 0 when the share of
// that first level rises. When both have two levels, columns are the proportion and rows the scores. Errors: ErrEmpty;
// ErrShape unless one variable has two observed levels; ErrArgument for scores beyond ±2⁶².
//
// Armitage, Biometrics 11 (1955).
func CochranArmitage(t *Table, scores []int64) (Trend, error) {
	f := t.frame
	if f.n == 0 {
		return Trend{}, ErrEmpty
	}
	if f.whole.Cols != 2 {
		if f.whole.Rows != 2 {
			return Trend{}, shapeError("a trend of a proportion needs two levels of one variable, this is %d by %d", f.whole.Rows, f.whole.Cols)
		}
		t = t.Transpose()
	}
	share := make([]int64, t.cols)
	_, at, _ := compact(t.margins.Cols)
	share[at[0]] = 1
	x, err := t.scoreSums(scores, share)
	if err != nil {
		return Trend{}, err
	}
	r, err := x.CochranArmitage()
	r.Result = t.shaped(r.Result)
	return r, err
}

// CochranArmitage finishes the test from sums in which the column score is 1 for the level whose share is tested and 0 for the
// other; see the function CochranArmitage. The only error is ErrEmpty.
func (x *ScoreSums) CochranArmitage() (Trend, error) {
	r, err := x.trend("Cochran-Armitage trend", true)
	return Trend{Result: r, Z: r.Effect.Value * math.Sqrt(float64(x.m.n))}, err
}

// JonckheereTerpstra tests whether the response (columns, ordered) rises or falls over the groups (rows, ordered). With J
// the number of pairs from different groups that are ordered alike, ties counting one half,
//
//	z = (J − E J)/√Var J,
//
// the variance with the correction for ties; two-sided. It asks for an order only, where CochranArmitage and
// LinearByLinear ask for scores. The Effect is Somers' D of the response given the group. The only error is ErrEmpty.
//
// Hollander, Wolfe & Chicken, Nonparametric Statistical Methods, 3rd ed., §6.2.
func JonckheereTerpstra(t *Table) (Trend, error) {
	if t.N() == 0 {
		return Trend{}, ErrEmpty
	}
	d := t.reduced()
	pairs := countPairs(d)
	tr := Trend{Result: t.shaped(Result{Method: "Jonckheere-Terpstra", DF: NoDF, N: d.n, P: 1})}
	if d.r < 2 || d.c < 2 {
		tr.Warnings = tr.Warnings.with(Warning{Kind: OneLevel})
		return tr, nil
	}
	diff, negative := pairs.p.absDiff(pairs.q) // |4·(J − E J)|
	z := diff.float() / 4 / math.Sqrt(jonckheereVariance(d))
	if negative {
		z = -z
	}
	tr.Z, tr.Statistic = z, z
	tr.P, tr.LnP = NormalTwoSided(z)
	tr.Effect = pairs.measures(d).SomersDColGivenRow
	if d.n > hugeN {
		tr.Warnings = tr.Warnings.with(Warning{Kind: HugeCounts})
	}
	return tr, nil
}

// jonckheereVariance is Var J given both margins, exact until it is rounded: with one dominating cell its terms agree in
// more digits than double-double arithmetic has. With falling factorials v₂ = v(v−1) and so on, it is
//
//	[n(n−1)(2n+5) − Σ R(R−1)(2R+5) − Σ C(C−1)(2C+5)]/72 + ΣR₃·ΣC₃/(36·n₃) + ΣR₂·ΣC₂/(8·n₂).
func jonckheereVariance(d *reduced) float64 {
	falling := func(v uint64, k int64) *big.Int {
		p := big.NewInt(1)
		x := new(big.Int).SetUint64(v)
		for i := range k {
			p.Mul(p, new(big.Int).Sub(x, big.NewInt(i)))
		}
		return p
	}
	cubic := func(v uint64) *big.Int { // v₂·(2v+5) = 2·v₃ + 9·v₂
		p := falling(v, 3)
		p.Lsh(p, 1)
		return p.Add(p, new(big.Int).Mul(falling(v, 2), big.NewInt(9)))
	}
	sum := func(totals []uint64, f func(uint64) *big.Int) *big.Int {
		s := new(big.Int)
		for _, v := range totals {
			s.Add(s, f(v))
		}
		return s
	}
	product := func(k, by int64) *big.Rat { // ΣR_k·ΣC_k/(by·n_k)
		f := func(v uint64) *big.Int { return falling(v, k) }
		up := sum(d.rows, f)
		return new(big.Rat).SetFrac(up.Mul(up, sum(d.cols, f)), new(big.Int).Mul(falling(d.n, k), big.NewInt(by)))
	}
	first := cubic(d.n)
	first.Sub(first, sum(d.rows, cubic)).Sub(first, sum(d.cols, cubic))
	v := new(big.Rat).SetFrac(first, big.NewInt(72))
	if d.n > 2 {
		v.Add(v, product(3, 36))
	}
	x, _ := v.Add(v, product(2, 8)).Float64()
	return x
}
