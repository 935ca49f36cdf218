package workload

import (
	"slices"
	"testing"
)

func TestBoxHoldsItsCells(t *testing.T) {
	for _, cells := range []int{1, 2, 7, 20_000, 1_000_000} {
		for dims := 1; dims <= 5; dims++ {
			b := NewBox(cells, dims)
			volume := 1
			for _, s := range b.Sizes {
				volume *= s
			}
			if volume < cells || volume > 2*cells+dims*dims {
				t.Errorf("NewBox(%d, %d) = %v, volume %d", cells, dims, b.Sizes, volume)
			}
		}
	}
}

func TestCellsAreDistinct(t *testing.T) {
	b := NewBox(500, 3)
	seen := map[[3]string]bool{}
	for i := range b.Cells {
		var v [3]string
		b.Values(i, v[:])
		seen[v] = true
	}
	if len(seen) != b.Cells {
		t.Errorf("%d distinct cells, want %d", len(seen), b.Cells)
	}
}

func TestDrawsRepeat(t *testing.T) {
	b := NewBox(1000, 2)
	for _, s := range []float64{0, 1.1} {
		x, err := b.Draws(5000, s, 7)
		y, _ := b.Draws(5000, s, 7)
		if err != nil || !slices.Equal(x, y) {
			t.Errorf("s = %g: draws differ between runs (%v)", s, err)
		}
		if z, _ := b.Draws(5000, s, 8); slices.Equal(x, z) {
			t.Errorf("s = %g: another seed gave the same draws", s)
		}
	}
	if _, err := b.Draws(1, 0.5, 1); err == nil {
		t.Error("exponent 0.5 was accepted")
	}
}
