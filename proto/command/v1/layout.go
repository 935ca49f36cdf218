package command

import (
	"math/bits"
	"slices"

	"github.com/quipudb/quipu/storage/schema"
)

// layout says where each dimension's entry code stands in a packed key while an entry is built. It has room for new values;
// the frame is written with exactly the widths that its dictionaries need.
type layout struct {
	wide  bool // more than 64 bits: cells are rows of codes
	total int
	width [schema.DimensionsMax]int
	shift [schema.DimensionsMax]uint
	mask  [schema.DimensionsMax]uint64
}

// chooseLayout leaves room for new values where that fits in 64 bits. slack false asks for exact widths.
func (g *GroupBuilder) chooseLayout(slack bool) layout {
	var l layout
	for i := range g.dims {
		c := uint64(g.dims[i].known) + uint64(len(g.dims[i].values))
		if slack {
			c = min(c+max(c/4, 63), 1<<32-1)
		}
		l.width[i] = bits.Len64(c)
		l.total += l.width[i]
	}
	if l.total > 64 {
		if slack {
			return g.chooseLayout(false)
		}
		return layout{wide: true, total: l.total}
	}
	at := l.total
	for i := range g.dims {
		at -= l.width[i]
		l.shift[i], l.mask[i] = uint(at)&63, 1<<l.width[i]-1
	}
	return l
}

// relayout moves the collected cells to a layout that holds the codes of now.
func (g *GroupBuilder) relayout() {
	old, next := g.layout, g.chooseLayout(true)
	g.layout = next
	var codes [schema.DimensionsMax]uint32
	for _, a := range g.windows {
		pairs := slices.Clone(a.pairs)
		a.reset(a.start, next.wide, len(g.dims))
		for _, p := range pairs {
			if next.wide {
				for d := range g.dims {
					codes[d] = uint32(p.key >> old.shift[d] & old.mask[d])
				}
				a.addWide(codes[:len(g.dims)], p.delta)
			} else {
				a.add([]uint64{repack(p.key, &old, &next, len(g.dims))}, []int64{p.delta})
			}
		}
	}
}

func repack(key uint64, from, to *layout, dims int) uint64 {
	k := uint64(0)
	for d := range dims {
		k |= (key >> from.shift[d] & from.mask[d]) << to.shift[d]
	}
	return k
}
