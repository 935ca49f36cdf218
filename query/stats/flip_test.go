package stats

import (
	"math"
	"math/rand/v2"
	"testing"
)

// pearson is X² of a small table, and its least expected count, by the schoolbook.
func pearson(t [][]float64) (x2, least float64) {
	rows, cols, n := make([]float64, len(t)), make([]float64, len(t[0])), 0.0
	for i, row := range t {
		for j, o := range row {
			rows[i] += o
			cols[j] += o
			n += o
		}
	}
	least = math.Inf(1)
	for i, row := range t {
		for j, o := range row {
			e := rows[i] * cols[j] / n
			x2 += (o - e) * (o - e) / e
			least = min(least, e)
		}
	}
	return x2, least
}

// flips says whether fewer than most observations, in any cells, change the verdict of t.
func flips(t [][]float64, critical float64, significant bool, most, from int) bool {
	if most <= 0 {
		return false
	}
	cells := len(t) * len(t[0])
	for at := from; at < cells; at++ {
		cell := &t[at/len(t[0])][at%len(t[0])]
		*cell++
		x2, _ := pearson(t)
		hit := x2 >= critical != significant || flips(t, critical, significant, most-1, at)
		*cell--
		if hit {
			return true
		}
	}
	return false
}

func TestFlipMinIsABound(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	tried := 0
	for tried < 300 {
		shape := [][2]int{{2, 2}, {2, 3}, {3, 3}}[r.IntN(3)]
		most := []int{5, 20, 60}[r.IntN(3)]
		table := make([][]float64, shape[0])
		for i := range table {
			table[i] = make([]float64, shape[1])
			for j := range table[i] {
				table[i][j] = float64(r.IntN(most + 1))
			}
		}
		x2, least := pearson(table)
		df := float64((shape[0] - 1) * (shape[1] - 1))
		if !(least > 0) {
			continue
		}
		tried++
		critical := ChiSquareCritical(0.05, df)
		bound := FlipMin(x2, df, least, 0.05)
		// Every way of adding fewer, up to four at a time: more are too many to try.
		if flips(table, critical, x2 >= critical, int(min(bound-1, 4)), 0) {
			t.Errorf("%v: fewer than %d observations change the verdict", table, bound)
		}
	}
}

func TestFlipMinOfNothing(t *testing.T) {
	for _, args := range [][4]float64{{math.NaN(), 1, 5, 0.05}, {1, 0, 5, 0.05}, {1, 1, 0, 0.05}, {1, 1, math.NaN(), 0.05}, {math.Inf(1), 1, 5, 0.05}, {1, 1, 5, 0}} {
		if got := FlipMin(args[0], args[1], args[2], args[3]); got != 0 {
			t.Errorf("FlipMin(%v) = %d", args, got)
		}
	}
	if got := FlipMin(1e300, 1, 1e300, 0.05); got != 1<<62 {
		t.Errorf("%d", got)
	}
}
