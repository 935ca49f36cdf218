package storage

import (
	"math/bits"
	"slices"
)

// denseLayout numbers all combinations of inner codes of a window: code lo[d] … lo[d]+cap[d]−1 of dimension d is a digit of the
// mixed radix, and block i holds the numbers i·4096 to i·4096+4095. The largest dimension is outermost, so that its growth adds
// blocks and moves nothing. It never changes once in use.
type denseLayout struct {
	lo, cap []uint32
	stride  []uint64
	off     uint64 // Σ lo·stride
	outer   int
	volume  uint64
}

const (
	denseLiveMin = 1 << 10 // below it a window stays sparse: one block serves it well
	denseMax     = 1 << 24 // combinations at most; bounds the time of one change of layout
	densePays    = 32      // combinations for a live cell at most, to become dense: 8 bytes of rank directory, as much as a packed key
	denseWaste   = 64      // combinations in blocks for a live cell at most, to stay dense
)

// newDense is the layout of codes lo[d] … lo[d]+cap[d]−1, or nil if it has more than denseMax combinations.
func newDense(lo, caps []uint32) *denseLayout {
	l := &denseLayout{lo: slices.Clone(lo), cap: slices.Clone(caps), stride: make([]uint64, len(caps))}
	order := make([]int, len(caps))
	for d := range order {
		order[d] = d
	}
	slices.SortStableFunc(order, func(a, b int) int { return int(int64(caps[b]) - int64(caps[a])) })
	l.outer = order[0]
	l.volume = 1
	for _, d := range slices.Backward(order) {
		l.stride[d] = l.volume
		l.off += uint64(lo[d]) * l.volume
		high, v := bits.Mul64(l.volume, uint64(caps[d]))
		if high != 0 || v > denseMax {
			return nil
		}
		l.volume = v
	}
	return l
}

// index is the number of a combination, if the layout has it.
func (l *denseLayout) index(codes []uint32) (uint64, bool) {
	i := -l.off
	caps, lo, stride := l.cap, l.lo, l.stride
	for d, c := range codes {
		if d >= len(caps) || d >= len(lo) || d >= len(stride) {
			return i, allZero(codes[d:])
		}
		if c-lo[d] >= caps[d] {
			return 0, false
		}
		i += uint64(c) * stride[d]
	}
	return i, true
}

// cover is the number of combinations that the block of combination n should cover; it covers before now. The window's last block grows
// with the outermost dimension.
func (l *denseLayout) cover(n uint64, before int) int {
	start := n &^ (blockCells - 1)
	size := min(blockCells, max(int(l.volume-start), before+before/4))
	return (size + rankBits - 1) &^ (rankBits - 1)
}

// codes is the combination number i. Dimensions younger than the layout get 0.
func (l *denseLayout) codes(i uint64, codes []uint32) {
	for d := range codes {
		codes[d] = 0
		if d < len(l.cap) {
			codes[d] = uint32(i/l.stride[d]%uint64(l.cap[d])) + l.lo[d]
		}
	}
}

// withOuter is l with room for code c in the outermost dimension, or nil if that is not all that codes needs.
func (l *denseLayout) withOuter(codes []uint32) *denseLayout {
	for d, c := range codes {
		switch {
		case d >= len(l.cap):
			if c != 0 {
				return nil
			}
		case d != l.outer && c-l.lo[d] >= l.cap[d], d == l.outer && c < l.lo[d]:
			return nil
		}
	}
	g := *l
	g.cap = slices.Clone(l.cap)
	g.cap[l.outer] = codes[l.outer] - l.lo[l.outer] + 1
	g.volume = l.stride[l.outer] * uint64(g.cap[l.outer])
	if g.volume > denseMax {
		return nil
	}
	return &g
}

// growing is a layout for l's combinations and codes; dimensions that grow get a quarter more than they need if slack is set.
func (l *denseLayout) growing(codes []uint32, slack bool) *denseLayout {
	lo, caps := make([]uint32, len(codes)), make([]uint32, len(codes))
	for d, c := range codes {
		low, high := uint32(0), uint32(0)
		if d < len(l.cap) {
			low, high = l.lo[d], l.lo[d]+l.cap[d]-1
		}
		if c > high && slack && d != l.outer {
			high = max(c, high+(high-low+1)/4)
		} else {
			high = max(c, high)
		}
		lo[d] = min(c, low)
		caps[d] = high - lo[d] + 1
	}
	return newDense(lo, caps)
}
