package storage

import (
	"slices"
	"sync/atomic"
	"unsafe"
)

// blockCells is the number of cells of a full block.
const blockCells = 1 << blockBits

const blockBits = 12

// block is one version of a block: the handle by which trees of different epochs share its cells. As long as epoch is the
// store's current one the writer changes the cells in place; later they are frozen, and the writer makes another version, or takes
// this one over when no snapshot can see it (see Store.renew). A block that a checkpoint has written may lose its cells and is
// then read back from Pebble.
type block struct {
	epoch uint64 // of the last change; guarded by Store.mu, but constant while a snapshot can see the block
	id    uint64 // number of the block in a dense layout; hash prefix and depth in a sparse one
	data  atomic.Pointer[cells]

	used  atomic.Bool // read since the clock's hand passed
	ring  int32       // place in the clock, −1 outside; guarded by clock.mu
	bytes int64       // what the accounts hold for the cells; guarded by Store.mu, set by a reader only under clock.mu
}

// cells are the counts of a block. A dense block has one per code combination of its range, or of those that occur (see rank), and no
// keys. A sparse one has parallel columns of keys and counts, in order of arrival, and an open-addressing index over them.
type cells struct {
	counts []int64
	live   int    // counts that are not zero
	ranks  []rank // nil in a full dense block and in a sparse one

	pack  *packing // nil in a dense block
	keys  []uint64 // pack.words of them a cell
	slots []uint16 // 1 + place of a cell; 0 is empty; the length is a power of two. Only the writer looks, and nil until it does
}

// memory is the number of bytes that c and its handle hold.
func (c *cells) memory() int64 {
	return int64(unsafe.Sizeof(*c)+unsafe.Sizeof(block{})) + int64(cap(c.counts))*8 + int64(cap(c.ranks))*16 +
		int64(cap(c.keys))*8 + int64(cap(c.slots))*2
}

func (c *cells) clone() *cells {
	d := &cells{live: c.live, pack: c.pack, counts: make([]int64, len(c.counts), cap(c.counts))}
	copy(d.counts, c.counts)
	d.ranks = slices.Clone(c.ranks)
	if c.pack != nil {
		d.keys = make([]uint64, len(c.keys), cap(c.keys))
		copy(d.keys, c.keys)
		d.slots = append([]uint16(nil), c.slots...)
	}
	return d
}

// add changes the count at place i and keeps the number of live cells. It returns the change of that number.
func (c *cells) add(i int, delta int64) int {
	old := c.counts[i]
	now := old + delta
	c.counts[i] = now
	if old != 0 && now != 0 {
		return 0
	}
	return c.recount(old, now)
}

func (c *cells) recount(old, now int64) int {
	d := 0
	if old == 0 && now != 0 {
		d = 1
	} else if old != 0 && now == 0 {
		d = -1
	}
	c.live += d
	return d
}

// packing lays the codes of a cell into one or more words: dimension d has width[d] bits at shift[d] of word[d]. A dimension
// never straddles two words. It never changes once in use; blocks share it.
type packing struct {
	words int
	dims  []packedDim
}

type packedDim struct {
	word, shift, width uint8
}

// packingFor is the packing of dimensions that need the given widths.
func packingFor(widths []uint8) *packing {
	p := &packing{dims: make([]packedDim, len(widths))}
	word, used := 0, 0
	for d, w := range widths {
		if used+int(w) > 64 {
			word, used = word+1, 0
		}
		p.dims[d] = packedDim{word: uint8(word), shift: uint8(used), width: w}
		used += int(w)
	}
	p.words = word + 1
	return p
}

// equal reports that p and q pack alike.
func (p *packing) equal(q *packing) bool { return slices.Equal(p.dims, q.dims) }

// one packs codes into a single word; p.words is 1. It is false if a code does not fit. Dimensions that p lacks must be code 0.
func (p *packing) one(codes []uint32) (uint64, bool) {
	var k, over uint64
	for d, c := range codes {
		if d == len(p.dims) {
			return k, over == 0 && allZero(codes[d:])
		}
		x := p.dims[d]
		k |= uint64(c) << (x.shift & 63)
		over |= uint64(c) >> (x.width & 63)
	}
	return k, over == 0
}

// many is one for any number of words; key has room for p.words.
func (p *packing) many(codes []uint32, key []uint64) bool {
	clear(key)
	var over uint64
	for d, c := range codes {
		if d == len(p.dims) {
			return over == 0 && allZero(codes[d:])
		}
		x := p.dims[d]
		key[x.word] |= uint64(c) << (x.shift & 63)
		over |= uint64(c) >> (x.width & 63)
	}
	return over == 0
}

// unpack takes a key apart. Dimensions that p lacks get code 0.
func (p *packing) unpack(key []uint64, codes []uint32) {
	for d := range codes {
		if d >= len(p.dims) {
			codes[d] = 0
			continue
		}
		codes[d] = p.code(key, d)
	}
}

func (p *packing) code(key []uint64, d int) uint32 {
	x := p.dims[d]
	return uint32(key[x.word] >> (x.shift & 63) & (1<<(x.width&63) - 1))
}

func allZero(codes []uint32) bool {
	for _, c := range codes {
		if c != 0 {
			return false
		}
	}
	return true
}
