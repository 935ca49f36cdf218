package storage

// A sparse layout spreads the cells of a window over blocks by extendible hashing: a block holds the cells whose hash starts with
// its prefix, the directory has an entry for each prefix of the deepest block's length, and a full block splits in two.
//
// The hash of a cell is a sum over its dimensions, so that it depends neither on how codes are packed nor on dimensions whose code
// is 0: a column that is added with ALTER has (inner) code 0 in all old cells and moves none of them.

// depthMax bounds the directory. With a hash that spreads, 2^28 blocks are a trillion cells.
const depthMax = 28

// hashFactors belong to the format: blocks on disk are cut by this hash. They are the outputs of splitmix64 from seed 1, made odd.
var hashFactors = func() (f [32]uint64) {
	s := uint64(1)
	for i := range f {
		s += 0x9e3779b97f4a7c15
		f[i] = mix(s) | 1
	}
	return f
}()

func mix(z uint64) uint64 {
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// hashCodes is the hash of a cell with at most 32 dimensions.
func hashCodes(codes []uint32) uint64 {
	var h uint64
	for d, c := range codes {
		h += uint64(c) * hashFactors[d&31]
	}
	return finishHash(h)
}

func finishHash(h uint64) uint64 {
	h = (h ^ h>>32) * 0xd6e8feb86659fd93
	h = (h ^ h>>32) * 0xd6e8feb86659fd93
	return h ^ h>>32
}

// sparseID names the block of a hash prefix: the prefix at the top, its length in the low byte.
func sparseID(prefix uint64, depth uint8) uint64 {
	if depth == 0 {
		return 0
	}
	return prefix<<(64-depth) | uint64(depth)
}

func blockDepth(id uint64) uint8 { return uint8(id) }

// find is the place of the cell, or −1. key is scratch with room for pack.words. c has its index.
func (c *cells) find(h uint64, codes []uint32, key []uint64) int {
	mask := len(c.slots) - 1
	if c.pack.words == 1 {
		k, ok := c.pack.one(codes)
		if !ok {
			return -1
		}
		for i := int(h) & mask; ; i = (i + 1) & mask {
			s := c.slots[i]
			if s == 0 {
				return -1
			}
			if c.keys[s-1] == k {
				return int(s) - 1
			}
		}
	}
	key = key[:c.pack.words]
	if !c.pack.many(codes, key) {
		return -1
	}
	for i := int(h) & mask; ; i = (i + 1) & mask {
		s := int(c.slots[i])
		if s == 0 {
			return -1
		}
		if equalWords(c.keys[(s-1)*len(key):s*len(key)], key) {
			return s - 1
		}
	}
}

func equalWords(a, b []uint64) bool {
	for i, x := range b {
		if a[i] != x {
			return false
		}
	}
	return true
}

// insert appends a cell that is absent, with count 0. Its codes fit c.pack.
func (c *cells) insert(h uint64, codes []uint32, key []uint64) int {
	n := len(c.counts)
	if n == cap(c.counts) || n+n/4 >= len(c.slots) {
		c.grow(n + 1)
	}
	key = key[:c.pack.words]
	c.pack.many(codes, key)
	c.counts = append(c.counts, 0)
	c.keys = append(c.keys, key...)
	c.link(h, n)
	return n
}

// link enters the cell at place n into the index.
func (c *cells) link(h uint64, n int) {
	mask := len(c.slots) - 1
	i := int(h) & mask
	for c.slots[i] != 0 {
		i = (i + 1) & mask
	}
	c.slots[i] = uint16(n + 1)
}

// grow makes room for n cells: columns grow by an eighth, the index stays below a load of 4/5.
func (c *cells) grow(n int) {
	if n > cap(c.counts) {
		room := max(4, n+n/8)
		if room > 64 {
			room = (room + 63) &^ 63
		}
		if n <= blockCells {
			room = min(room, blockCells)
		}
		counts := make([]int64, len(c.counts), room)
		copy(counts, c.counts)
		keys := make([]uint64, len(c.keys), room*c.pack.words)
		copy(keys, c.keys)
		c.counts, c.keys = counts, keys
	}
	size := 8
	for size*4 < n*5 {
		size *= 2
	}
	if size > len(c.slots) {
		c.slots = make([]uint16, size)
		c.reindex()
	}
}

// index makes the index of a sparse block that was read back: only the writer needs one.
func (c *cells) index() { c.grow(len(c.counts)) }

// reindex enters all cells into an empty index.
func (c *cells) reindex() {
	if c.pack.words == 1 {
		c.reindexWords()
		return
	}
	var codes [32]uint32
	words, dims := c.pack.words, len(c.pack.dims)
	for n := range c.counts {
		c.pack.unpack(c.keys[n*words:(n+1)*words], codes[:dims])
		c.link(hashCodes(codes[:dims]), n)
	}
}

// reindexWords is reindex for keys of one word, which it hashes where they are.
func (c *cells) reindexWords() {
	var masks [32]uint64
	dims := c.pack.dims
	for d, x := range dims {
		masks[d&31] = 1<<(x.width&63) - 1
	}
	for n, key := range c.keys {
		var h uint64
		for d, x := range dims {
			h += key >> (x.shift & 63) & masks[d&31] * hashFactors[d&31]
		}
		c.link(finishHash(h), n)
	}
}

// unindexed is an empty block with room for n cells and without an index, for which find must wait.
func unindexed(p *packing, n int) *cells {
	return &cells{pack: p, counts: make([]int64, 0, n), keys: make([]uint64, 0, n*p.words)}
}

// newSparse is an empty block with room for n cells.
func newSparse(p *packing, n int) *cells {
	c := &cells{pack: p}
	c.grow(n)
	return c
}

// repacked is a copy of c under another packing, without the cells that are zero.
func (c *cells) repacked(p *packing) *cells {
	d := newSparse(p, c.live)
	var codes [32]uint32
	var key [32]uint64
	dims := len(p.dims)
	for n, count := range c.counts {
		if count == 0 {
			continue
		}
		c.pack.unpack(c.keys[n*c.pack.words:(n+1)*c.pack.words], codes[:dims])
		i := d.insert(hashCodes(codes[:dims]), codes[:dims], key[:])
		d.live += d.recountAt(i, count)
	}
	return d
}

// recountAt sets a zero count without touching the number of live cells, and says how that number changes.
func (c *cells) recountAt(i int, count int64) int {
	c.counts[i] = count
	if count != 0 {
		return 1
	}
	return 0
}

// split divides c by bit number depth (from the top) of the hash, leaving out cells that are zero.
func (c *cells) split(depth uint8) (low, high *cells) {
	var codes [32]uint32
	var key [32]uint64
	dims, words := len(c.pack.dims), c.pack.words
	halves := [2]*cells{newSparse(c.pack, c.live/2), newSparse(c.pack, c.live/2)}
	for n, count := range c.counts {
		if count == 0 {
			continue
		}
		c.pack.unpack(c.keys[n*words:(n+1)*words], codes[:dims])
		h := hashCodes(codes[:dims])
		half := halves[h>>(63-depth)&1]
		i := half.insert(h, codes[:dims], key[:])
		half.live += half.recountAt(i, count)
	}
	return halves[0], halves[1]
}
