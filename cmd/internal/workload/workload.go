// Package workload makes the data of the benchmarks and of the fault tests: the same seed gives the same observations on every
// machine. Cells are numbered from 0 and lie in a box of dimensions whose sizes multiply to at least the number asked for;
// draws follow a Zipf law over the cells, or are uniform.
package workload

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
)

// Box is a table of dimensions d0, d1, … with values v0, v1, …
type Box struct {
	Cells int
	Sizes []int // values of each dimension
}

// NewBox spreads cells (at least 1) over dims dimensions (at least 1) as evenly as whole numbers allow.
func NewBox(cells, dims int) Box {
	b := Box{Cells: cells, Sizes: make([]int, dims)}
	left := float64(cells)
	for d := range b.Sizes {
		b.Sizes[d] = int(math.Ceil(math.Pow(left, 1/float64(dims-d)) - 1e-9))
		left /= float64(b.Sizes[d])
	}
	return b
}

// Names are the names of the dimensions.
func (b Box) Names() []string {
	names := make([]string, len(b.Sizes))
	for d := range names {
		names[d] = "d" + strconv.Itoa(d)
	}
	return names
}

// Values fills out with the values of cell i, one a dimension.
func (b Box) Values(i int, out []string) {
	for d := len(b.Sizes) - 1; d >= 0; d-- {
		out[d] = "v" + strconv.Itoa(i%b.Sizes[d])
		i /= b.Sizes[d]
	}
}

// Pairs is cell i as name, value, name, value …
func (b Box) Pairs(i int) []string {
	values, names := make([]string, len(b.Sizes)), b.Names()
	b.Values(i, values)
	pairs := make([]string, 0, 2*len(names))
	for d := range names {
		pairs = append(pairs, names[d], values[d])
	}
	return pairs
}

// Draws makes n draws of cells: Zipf with exponent s > 1, or uniform for s = 0. Which cell is frequent is itself shuffled by the
// seed, so that frequent cells do not share dictionary codes or slots.
func (b Box) Draws(n int, s float64, seed uint64) ([]uint32, error) {
	r := rand.New(rand.NewPCG(seed, 11))
	perm := r.Perm(b.Cells)
	out := make([]uint32, n)
	if s == 0 {
		for i := range out {
			out[i] = uint32(perm[r.IntN(b.Cells)])
		}
		return out, nil
	}
	if s <= 1 {
		return nil, fmt.Errorf("workload: the exponent of a Zipf law must exceed 1, not %g (0 means uniform)", s)
	}
	z := rand.NewZipf(r, s, 1, uint64(b.Cells-1))
	for i := range out {
		out[i] = uint32(perm[z.Uint64()])
	}
	return out, nil
}
