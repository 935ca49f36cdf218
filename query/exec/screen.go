package exec

import (
	"math/bits"
	"slices"

	"github.com/quipudb/quipu/query/plan"
	"github.com/quipudb/quipu/query/stats"
)

// screenSlack is how much smaller an approximate statistic may be than the K-th largest of its degrees of freedom and still be computed
// exactly. The approximation is good to about 1e-12.
const screenSlack = 1e-9

// first are the groups that can be among the first K by ln p: for each number of degrees of freedom, ln p falls as the statistic
// rises, so that the K largest statistics of each are enough.
func (x *crosstabs) first(a *plan.Aggregate, k int64) [][]uint32 {
	if a.Test.Name != "chi2_test" || a.Kinds() != stats.KindPearson || x.g.kind != denseShape || k <= 0 || k > int64(len(x.g.vals)) {
		return x.groupKeys()
	}
	rows, cols := x.sides()
	size := rows * cols
	totals := make([]uint64, rows+cols)
	byDF := map[int]*leaders{}
	one := &leaders{most: int(k)}
	byDF[1] = one
	for g := range len(x.g.vals) / size {
		block := x.g.vals[g*size : (g+1)*size]
		if size == 9 {
			if x2, ok := fourfold((*[9]int64)(block)); ok {
				one.take(g, x2)
				continue
			}
		}
		if !anyNonzero(block) {
			continue
		}
		df, x2 := approximate(block, rows, cols, totals)
		if byDF[df] == nil {
			byDF[df] = &leaders{most: int(k)}
		}
		byDF[df].take(g, x2)
	}
	var groups []int
	for _, l := range byDF { // sorted below
		groups = l.groups(groups)
	}
	slices.Sort(groups)
	out := make([][]uint32, len(groups))
	for i, g := range groups {
		out[i] = x.groupCodes(g)
	}
	return out
}

// leaders are the groups whose statistics may be among the largest.
type leaders struct {
	most   int
	scores []float64 // the largest so far, as a heap whose first is the smallest
	bound  float64
	kept   []scored
}

type scored struct {
	group int
	x2    float64
}

func (l *leaders) take(group int, x2 float64) {
	if x2 < l.bound {
		return
	}
	l.kept = append(l.kept, scored{group, x2})
	if len(l.scores) < l.most {
		l.scores = append(l.scores, x2)
		for i := len(l.scores) - 1; i > 0 && l.scores[i] < l.scores[(i-1)/2]; i = (i - 1) / 2 {
			l.scores[i], l.scores[(i-1)/2] = l.scores[(i-1)/2], l.scores[i]
		}
	} else if x2 > l.scores[0] {
		l.scores[0] = x2
		l.sink()
	}
	if len(l.scores) == l.most {
		l.bound = l.scores[0] * (1 - screenSlack)
	}
}

// sink puts the first score where it belongs.
func (l *leaders) sink() {
	s := l.scores
	for i := 0; ; {
		least := i
		for c := 2*i + 1; c <= 2*i+2 && c < len(s); c++ {
			if s[c] < s[least] {
				least = c
			}
		}
		if least == i {
			return
		}
		s[i], s[least] = s[least], s[i]
		i = least
	}
}

// groups appends those that the final bound leaves.
func (l *leaders) groups(out []int) []int {
	for _, s := range l.kept {
		if s.x2 >= l.bound {
			out = append(out, s.group)
		}
	}
	return out
}

// fourfold is Pearson's statistic of a 2 × 2 table with its NULLs in the first row and column. ok is false where a margin is empty, or
// a count is too large for exact 64-bit products.
func fourfold(block *[9]int64) (x2 float64, ok bool) {
	a, b, c, d := block[4], block[5], block[7], block[8]
	if (a|b|c|d)>>30 != 0 {
		return 0, false
	}
	r1, r2, c1, c2 := a+b, c+d, a+c, b+d
	margins := float64(r1*r2) * float64(c1*c2)
	if margins == 0 {
		return 0, false
	}
	diff := float64(a*d - b*c)
	return float64(r1+r2) * diff * diff / margins, true
}

// approximate is Pearson's statistic of the cells without NULL categories, in plain floats over exact residuals.
func approximate(block []int64, rows, cols int, totals []uint64) (df int, x2 float64) {
	clear(totals)
	r, c := totals[:rows], totals[rows:]
	var n uint64
	for i := 1; i < rows; i++ {
		for j := 1; j < cols; j++ {
			o := uint64(block[i*cols+j])
			r[i] += o
			c[j] += o
			n += o
		}
	}
	nr, nc := 0, 0
	for _, t := range r {
		if t > 0 {
			nr++
		}
	}
	for _, t := range c {
		if t > 0 {
			nc++
		}
	}
	if nr < 2 || nc < 2 {
		return 0, 0
	}
	for i := 1; i < rows; i++ {
		for j := 1; j < cols; j++ {
			if r[i] == 0 || c[j] == 0 {
				continue
			}
			h1, l1 := bits.Mul64(n, uint64(block[i*cols+j]))
			h2, l2 := bits.Mul64(r[i], c[j])
			e := float64(h2)*0x1p64 + float64(l2)
			if h1 < h2 || h1 == h2 && l1 < l2 { // only the square is needed: take the smaller from the larger
				h1, l1, h2, l2 = h2, l2, h1, l1
			}
			lo, borrow := bits.Sub64(l1, l2, 0)
			hi, _ := bits.Sub64(h1, h2, borrow)
			d := float64(hi)*0x1p64 + float64(lo)
			x2 += d / float64(n) * (d / e)
		}
	}
	return (nr - 1) * (nc - 1), x2
}
