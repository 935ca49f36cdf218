package storage

import (
	"math/rand/v2"
	"testing"
)

// TestPickedCodes compares the codes of ranked blocks with the arithmetic of the layout, combination by combination.
func TestPickedCodes(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for n := range 300 {
		caps := []uint32{1 + r.Uint32N(80), 1 + r.Uint32N(300), 1 + r.Uint32N(200)}
		l := &denseLayout{lo: []uint32{r.Uint32N(3), r.Uint32N(3), r.Uint32N(3)}, cap: caps, volume: 1}
		for d := len(caps) - 1; d >= 0; d-- {
			l.stride = append([]uint64{l.volume}, l.stride...)
			l.volume *= uint64(caps[d])
		}
		first := r.Uint64N(l.volume) >> blockBits << blockBits
		c := newRanked(blockCells)
		var want [][]uint32
		for o := range min(blockCells, l.volume-first) {
			if r.IntN(1+n%4) == 0 {
				c.counts = append(c.counts, 1)
				c.ranks[o/rankBits].bits |= 1 << (o % rankBits)
				row := make([]uint32, len(caps))
				for d := range row {
					row[d] = l.lo[d] + uint32((first+o)/l.stride[d]%uint64(caps[d]))
				}
				want = append(want, row)
			}
			if o%rankBits == rankBits-1 && int(o/rankBits)+1 < len(c.ranks) {
				c.ranks[o/rankBits+1].before = uint16(len(c.counts))
			}
		}
		for w := int((l.volume-first)/rankBits) + 1; w < len(c.ranks); w++ {
			c.ranks[w].before = uint16(len(c.counts))
		}
		sc := &scanner{sides: make([]side, 3)}
		for d := range caps {
			x := &sc.sides[d]
			x.column = make([]uint32, len(c.counts))
			sc.pick(l, first, d, c, x.column)
			for i, row := range want {
				if got := x.column[i]; got != row[d] {
					t.Fatalf("caps %v, first %d, dimension %d, row %d: code %d, want %d", caps, first, d, i, got, row[d])
				}
			}
		}
	}
}
