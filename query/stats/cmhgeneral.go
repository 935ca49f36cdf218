package stats

import (
	"crypto/sha256"
	"encoding/binary"
)

// GeneralCMH holds the four tests of Landis, Heyman and Koch for r × c tables in strata. Each asks for an association of
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
		if err := total.Merge(t.margins); err != nil {
			return GeneralCMH{}, err
		}
	}
	g, err := NewGeneralSums(total)
	if err != nil {
		return GeneralCMH{}, err
	}
	for _, t := range s.tables {
		if err := g.Add(t); err != nil {
			return GeneralCMH{}, err
		}
	}
	return g.Finish(rowScores, colScores)
}

// GeneralSums are the sums over strata that GeneralizedCMH decomposes into: the vector of n − E and its covariance matrix over all
// but the last observed row and column, in fixed point. The scores of the ordinal tests are linear in them and are applied by
// Finish. The margins over all strata come first, so that every holder leaves out the same levels; rows and columns have the same
// positions on every holder. Each stratum must be added once, whole, by one holder. They merge in any order; equal shares have equal
// bits. It belongs to one goroutine.
type GeneralSums struct {
	digest       Digest
	rows, cols   []uint64 // totals over all strata
	rowAt, colAt []int    // levels observed in some stratum
	n            uint64   // observations added
	strata       uint64
	skipped      uint64  // of them, those that say nothing
	d            []fixed // by row and column, (r−1)(c−1)
	v            []fixed // covariances of d, the upper triangle row after row
}

// NewGeneralSums makes sums without strata; total are the margins over all strata. The error is ErrArgument when (r−1)(c−1)
// exceeds 1024.
func NewGeneralSums(total *Margins) (*GeneralSums, error) {
	g := &GeneralSums{digest: generalDigest(total), rows: total.Rows, cols: total.Cols}
	_, g.rowAt, _ = compact(total.Rows)
	_, g.colAt, _ = compact(total.Cols)
	k := max(0, len(g.rowAt)-1) * max(0, len(g.colAt)-1)
	if k > generalMax {
		return nil, argumentError("generalized CMH of %d by %d levels; (r-1)(c-1) is at most %d", len(g.rowAt), len(g.colAt), generalMax)
	}
	g.d, g.v = make([]fixed, k), make([]fixed, k*(k+1)/2)
	return g, nil
}

// generalDigest is that of the encoded margins: positions count.
func generalDigest(total *Margins) Digest {
	b, _ := total.AppendBinary(nil)
	sum := sha256.Sum256(b)
	return Digest(sum[:16])
}

// Add counts one stratum. Errors, which change nothing: ErrShape for a table of another shape than the margins, or with observations
// where these have none; ErrOverflow.
func (g *GeneralSums) Add(t *Table) error {
	if t.rows != len(g.rows) || t.cols != len(g.cols) || exceeds(t.margins.Rows, g.rows) || exceeds(t.margins.Cols, g.cols) {
		return shapeError("a stratum of %d by %d does not belong to margins of %d by %d", t.rows, t.cols, len(g.rows), len(g.cols))
	}
	n, ok := addU64(g.n, t.N())
	if !ok {
		return ErrOverflow
	}
	g.n = n
	g.strata++
	if t.N() < 2 || t.frame.DF() == 0 {
		g.skipped++
		return nil
	}
	g.addInformative(t)
	return nil
}

func exceeds(part, whole []uint64) bool {
	for i, v := range part {
		if v > whole[i] {
			return true
		}
	}
	return false
}

func (g *GeneralSums) addInformative(t *Table) {
	r, c := len(g.rowAt)-1, len(g.colAt)-1
	excess := g.excess(t)
	rowCov := hypergeometricCov(t.margins.Rows, g.rowAt, t.N())
	colCov := hypergeometricCov(t.margins.Cols, g.colAt, t.N())
	n := wideFromUint(t.N())
	scale := wideFrom(1).div(n.mul(n).mul(wideFromUint(t.N() - 1)))
	at := 0
	for k := range g.d {
		i, j := k/c, k%c
		g.d[k].addWide(excess[i][j])
		for k2 := k; k2 < r*c; k2++ {
			if x := rowCov[i][k2/c].mul(colCov[j][k2%c]); !x.isZero() {
				g.v[at].addWide(x.mul(scale))
			}
			at++
		}
	}
}

// Merge adds another holder's strata. Errors, which leave g unchanged: ErrDigest when the margins differ; ErrOverflow.
func (g *GeneralSums) Merge(o *GeneralSums) error {
	if g.digest != o.digest || len(g.d) != len(o.d) {
		return ErrDigest
	}
	n, ok := addU64(g.n, o.n)
	if !ok {
		return ErrOverflow
	}
	g.n, g.strata, g.skipped = n, g.strata+o.strata, g.skipped+o.skipped
	for k := range g.d {
		g.d[k].merge(o.d[k])
	}
	for k := range g.v {
		g.v[k].merge(o.v[k])
	}
	return nil
}

const generalSumsVersion = 1

// AppendBinary appends the encoding: version 1; the digest of the margins over all strata; the numbers of observations, strata and
// strata left out as unsigned varints; k = (r−1)(c−1) as one; then k sums of n − E and k(k+1)/2 of covariances, 40 bytes each.
// Equal shares have equal bytes.
func (g *GeneralSums) AppendBinary(b []byte) ([]byte, error) {
	b = append(append(b, generalSumsVersion), g.digest[:]...)
	for _, v := range [4]uint64{g.n, g.strata, g.skipped, uint64(len(g.d))} {
		b = binary.AppendUvarint(b, v)
	}
	for _, list := range [][]fixed{g.d, g.v} {
		for _, x := range list {
			for _, w := range x {
				b = binary.LittleEndian.AppendUint64(b, w)
			}
		}
	}
	return b, nil
}

// UnmarshalBinary reads what AppendBinary wrote, and nothing after it, into sums that NewGeneralSums made for the same margins.
// Errors: ErrEncoding; ErrDigest for other margins. They leave g unchanged.
func (g *GeneralSums) UnmarshalBinary(b []byte) error {
	r := reader{b: b}
	if v := r.byte(); v != generalSumsVersion {
		return encodingError("general sums over strata of version %d, this program reads %d", v, generalSumsVersion)
	}
	got := *g
	r.bytes(got.digest[:])
	got.n, got.strata, got.skipped = r.uvarint(), r.uvarint(), r.uvarint()
	k := r.uvarint()
	switch {
	case r.bad || got.skipped > got.strata:
		return encodingError("general sums over strata that no tables have")
	case got.digest != g.digest || k != uint64(len(g.d)):
		return ErrDigest
	}
	got.d, got.v = make([]fixed, len(g.d)), make([]fixed, len(g.v))
	for _, list := range [][]fixed{got.d, got.v} {
		for x := range list {
			for w := range list[x] {
				list[x][w] = r.uint64()
			}
			// Sums of n − E and of covariances are at most n/4.
			r.bad = r.bad || list[x][4] != uint64(int64(list[x][3])>>63)
		}
	}
	if err := r.end(); err != nil {
		return err
	}
	*g = got
	return nil
}

// Finish computes the four tests; scores are as in GeneralizedCMH. Errors: ErrEmpty; ErrShape for scores of another number than
// levels.
func (g *GeneralSums) Finish(rowScores, colScores []int64) (GeneralCMH, error) {
	rowScores, err := scoresOr(rowScores, g.rows)
	if err != nil {
		return GeneralCMH{}, err
	}
	colScores, err = scoresOr(colScores, g.cols)
	if err != nil {
		return GeneralCMH{}, err
	}
	if g.n == 0 {
		return GeneralCMH{}, ErrEmpty
	}
	// Σ_j d_ij·s_j over all columns is Σ_j d_ij·(s_j − s_last) over all but the last, because Σ_j d_ij = 0.
	rows, cols := fromLast(rowScores, g.rowAt), fromLast(colScores, g.colAt)
	var cells, byRow, byCol []combination
	var all combination
	for i, s := range rows {
		byRow = append(byRow, nil)
		for j, t := range cols {
			k := i*len(cols) + j
			if i == 0 {
				byCol = append(byCol, nil)
			}
			cells = append(cells, combination{{k, wideFrom(1)}})
			byRow[i] = append(byRow[i], weighted{k, t})
			byCol[j] = append(byCol[j], weighted{k, s})
			all = append(all, weighted{k, s.mul(t)})
		}
	}
	return GeneralCMH{
		General:  g.test("CMH general association", cells),
		RowMeans: g.test("CMH row mean scores differ", byRow),
		ColMeans: g.test("CMH column mean scores differ", byCol),
		Linear:   g.test("CMH correlation", []combination{all}),
	}, nil
}

// fromLast gives the scores of the given levels but the last, less that of the last.
func fromLast(scores []int64, at []int) []wide {
	if len(at) == 0 {
		return nil
	}
	last := wideFromInt(scores[at[len(at)-1]])
	out := make([]wide, len(at)-1)
	for k := range out {
		out[k] = wideFromInt(scores[at[k]]).sub(last)
	}
	return out
}

// A combination is a linear combination of the components of d.
type combination []weighted

type weighted struct {
	k int
	w wide
}

// test is the quadratic form of some combinations.
func (g *GeneralSums) test(method string, forms []combination) Result {
	d, v := make([]wide, len(forms)), newMatrix(len(forms))
	for i, f := range forms {
		for _, a := range f {
			d[i] = d[i].add(a.w.mul(g.d[a.k].wide()))
		}
		for j := range i + 1 {
			var x wide
			for _, a := range f {
				for _, b := range forms[j] {
					x = x.add(a.w.mul(b.w).mul(g.covariance(a.k, b.k)))
				}
			}
			v[i][j], v[j][i] = x, x
		}
	}
	x, rank := quadraticForm(v, d)
	r := chiSquareResult(method, x, int64(rank), g.n)
	r.Rows, r.Cols = len(g.rowAt), len(g.colAt)
	noteStrata(&r, g.skipped, g.strata)
	return r
}

// covariance is that of two components of d.
func (g *GeneralSums) covariance(a, b int) wide {
	if a > b {
		a, b = b, a
	}
	return g.v[a*len(g.d)-a*(a-1)/2+b-a].wide()
}

// excess is n − E of a stratum over the observed levels, D/n in each cell.
func (g *GeneralSums) excess(t *Table) matrix {
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
