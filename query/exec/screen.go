package exec

import (
	"container/heap"
	"math/bits"
	"slices"

	"github.com/quipudb/quipu/query/plan"
)

// screenSlack is how much smaller an approximate statistic may be than the K-th largest of its degrees of freedom and still be computed
// exactly. The approximation is good to about 1e-12.
const screenSlack = 1e-9

// screen keeps the groups that can be among the first K by ln p: for each number of degrees of freedom, ln p falls as the statistic
// rises, so that the K largest statistics of each are enough.
func (r *Run) screen(keys [][]uint32, top *plan.Top) [][]uint32 {
	x := r.tests[top.Agg]
	if int64(len(keys)) <= top.K || r.f.Aggs[top.Agg].Test != plan.Pearson || x.g.kind != denseShape {
		return keys
	}
	type scored struct {
		at int
		x2 float64
	}
	byDF := map[int][]scored{}
	rows, cols := x.sides()
	totals := make([]uint64, rows+cols)
	for i, k := range keys {
		df, x2 := approximate(x.block(k), rows, cols, totals)
		byDF[df] = append(byDF[df], scored{i, x2})
	}
	var keep []int
	for _, list := range byDF { // sorted below
		if int64(len(list)) > top.K {
			bound := kth(list, int(top.K), func(s scored) float64 { return s.x2 })
			bound -= bound * screenSlack
			list = slices.DeleteFunc(list, func(s scored) bool { return s.x2 < bound })
		}
		for _, s := range list {
			keep = append(keep, s.at)
		}
	}
	slices.Sort(keep)
	out := make([][]uint32, len(keep))
	for i, at := range keep {
		out[i] = keys[at]
	}
	return out
}

// kth is the k-th largest score, found with a heap of the k largest so far.
func kth[T any](list []T, k int, score func(T) float64) float64 {
	h := make(least, 0, k)
	for _, s := range list {
		switch x := score(s); {
		case len(h) < k:
			heap.Push(&h, x)
		case x > h[0]:
			h[0] = x
			heap.Fix(&h, 0)
		}
	}
	return h[0]
}

// least is a heap whose first element is the smallest.
type least []float64

func (h least) Len() int           { return len(h) }
func (h least) Less(i, j int) bool { return h[i] < h[j] }
func (h least) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *least) Push(x any)        { *h = append(*h, x.(float64)) }
func (h *least) Pop() any {
	x := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return x
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
