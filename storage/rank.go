package storage

import (
	"math/bits"
	"slices"
)

// rank is one word of a dense block's rank directory: which of 64 combinations have a count, and how many counts lie before them. A block
// that is not nearly full keeps counts of the combinations that it was given only, in their order, behind such a directory, which costs a
// quarter of a byte for a combination. A full block has none: its counts are found by their number.
type rank struct {
	bits   uint64
	before uint16
}

const rankBits = 64 // combinations of a word; a dense block covers a multiple of it

// newRanked is a dense block without counts that covers the given number of combinations.
func newRanked(covers int) *cells { return &cells{ranks: make([]rank, covers/rankBits)} }

// covers is the number of combinations that a dense block has or can make counts for.
func (c *cells) covers() int {
	if c.ranks != nil {
		return len(c.ranks) * rankBits
	}
	return len(c.counts)
}

// place is where the count of combination o of a dense block lies, or −1.
func (c *cells) place(o uint64) int {
	if c.ranks == nil {
		if o < uint64(len(c.counts)) {
			return int(o)
		}
		return -1
	}
	if w := o / rankBits; w < uint64(len(c.ranks)) {
		x := &c.ranks[w]
		if bit := uint64(1) << (o % rankBits); x.bits&bit != 0 {
			return int(x.before) + bits.OnesCount64(x.bits&(bit-1))
		}
	}
	return -1
}

// admit gives combination o, which a ranked block covers but has no count of, the count 0, and returns its place.
func (c *cells) admit(o uint64) int {
	w, bit := o/rankBits, uint64(1)<<(o%rankBits)
	x := &c.ranks[w]
	i := int(x.before) + bits.OnesCount64(x.bits&(bit-1))
	x.bits |= bit
	for j := range c.ranks[w+1:] {
		c.ranks[int(w)+1+j].before++
	}
	if n := len(c.counts); n == cap(c.counts) {
		counts := make([]int64, n, min(n+n/8+8, c.covers()))
		copy(counts, c.counts)
		c.counts = counts
	}
	c.counts = slices.Insert(c.counts, i, 0)
	return i
}

// fill turns a ranked block into a full one.
func (c *cells) fill() {
	counts := make([]int64, c.covers())
	for w, x := range c.ranks {
		i := int(x.before)
		for b := x.bits; b != 0; b &= b - 1 {
			counts[w*rankBits+bits.TrailingZeros64(b)] = c.counts[i]
			i++
		}
	}
	c.counts, c.ranks = counts, nil
}

// nearlyFull reports that a block of n counts is as small without a rank directory, or nearly so, and then faster.
func nearlyFull(n, covers int) bool { return n*4 > covers*3 }

// extend makes a dense block cover more combinations.
func (c *cells) extend(covers int) {
	if c.ranks == nil {
		counts := make([]int64, covers)
		copy(counts, c.counts)
		c.counts = counts
		return
	}
	ranks := make([]rank, covers/rankBits)
	n := copy(ranks, c.ranks)
	for i := range ranks[n:] {
		ranks[n+i].before = uint16(len(c.counts))
	}
	c.ranks = ranks
}

// list gives the numbers of the combinations that a ranked block has counts of, in the memory of buf if that is enough.
func (c *cells) list(buf []uint16) []uint16 {
	if c.ranks == nil {
		return nil
	}
	n := len(c.counts)
	buf = slices.Grow(buf[:0], blockCells+rankBits)[:n+rankBits]
	for w, x := range c.ranks {
		// Four at a time, without asking after each whether there is one: what is too much, the next word writes over.
		to, rest, first := buf[x.before:][:rankBits], x.bits, uint16(w*rankBits)
		for i := 0; rest != 0; i += 4 {
			four := to[i:][:4]
			four[0] = first + uint16(bits.TrailingZeros64(rest))
			rest &= rest - 1
			four[1] = first + uint16(bits.TrailingZeros64(rest))
			rest &= rest - 1
			four[2] = first + uint16(bits.TrailingZeros64(rest))
			rest &= rest - 1
			four[3] = first + uint16(bits.TrailingZeros64(rest))
			rest &= rest - 1
		}
	}
	return buf[:n]
}

// before is the number of counts of a dense block that belong to combinations below o.
func (c *cells) before(o uint64) int {
	if c.ranks == nil {
		return int(min(o, uint64(len(c.counts))))
	}
	w := o / rankBits
	if w >= uint64(len(c.ranks)) {
		return len(c.counts)
	}
	x := &c.ranks[w]
	return int(x.before) + bits.OnesCount64(x.bits&(1<<(o%rankBits)-1))
}
