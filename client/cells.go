package client

import (
	"fmt"
	"hash/maphash"
	"math/bits"
	"math/rand/v2"
	"slices"
	"unicode/utf8"
)

// cellTable gives every combination of (dimension, value) pairs that the program has counted a small id, so that counting it
// again costs one hash and one comparison. Ids are dense from 0 and live until reset. Not safe for concurrent use.
type cellTable struct {
	seed  maphash.Seed
	key   uint64
	key2  uint64
	index []uint32 // open addressing, cell id + 1, power-of-two length
	hash  []uint64 // by cell id
	pairs [][]string
	codes []uint32 // len(dims) codes a cell, in order of dims; 0 is "not given"
	dims  []dictionary
	names map[string]int // dimension name → position in dims
}

// dictionary numbers the values of one dimension from 1, in order of first use.
type dictionary struct {
	name   string
	codes  map[string]uint32
	values []string // by code − 1
	bytes  int
}

const (
	cellsMax     = 1 << 20 // interned cells of one table; beyond it the table starts over after the next flush
	internedMax  = 64 << 20
	indexInitial = 1 << 8
)

func newCellTable() *cellTable {
	return &cellTable{seed: maphash.MakeSeed(), key: rand.Uint64(), key2: rand.Uint64() | 1, index: make([]uint32, indexInitial), names: map[string]int{}}
}

// find is the id of the cell with exactly these pairs in this order, or false. It does not allocate.
func (c *cellTable) find(pairs []string) (id uint32, hash uint64, ok bool) {
	hash = c.hashPairs(pairs)
	mask := uint64(len(c.index) - 1)
	for i := hash & mask; ; i = (i + 1) & mask {
		e := c.index[i]
		if e == 0 {
			return 0, hash, false
		}
		if c.hash[e-1] == hash && slices.Equal(c.pairs[e-1], pairs) {
			return e - 1, hash, true
		}
	}
}

func (c *cellTable) hashPairs(pairs []string) uint64 {
	h := c.key ^ uint64(len(pairs))
	for _, s := range pairs {
		h = c.mix(h, s)
	}
	return h ^ h>>32
}

// mix adds s to a keyed hash. Up to 16 bytes are covered by two words that overlap; what is longer goes through hash/maphash, which is
// slower to start. Nobody outside knows the key, and a collision costs one comparison.
func (c *cellTable) mix(h uint64, s string) uint64 {
	var a, b uint64
	switch n := len(s); {
	case n > 16:
		a = maphash.String(c.seed, s)
	case n >= 8:
		a, b = word8(s), word8(s[n-8:])
	case n >= 4:
		a, b = word4(s), word4(s[n-4:])
	case n > 0:
		a = uint64(s[0]) | uint64(s[n/2])<<8 | uint64(s[n-1])<<16
	}
	hi, lo := bits.Mul64(a^h^uint64(len(s))<<56, b^c.key2)
	return hi ^ lo ^ h<<7
}

func word8(s string) uint64 {
	_ = s[7]
	return uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
		uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
}

func word4(s string) uint64 {
	_ = s[3]
	return uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24
}

// insert interns a cell that find did not know. The pairs have passed validatePairs.
func (c *cellTable) insert(pairs []string, hash uint64) uint32 {
	for i := 0; i < len(pairs); i += 2 {
		c.dimension(pairs[i])
	}
	id := uint32(len(c.hash))
	base := len(c.codes)
	c.codes = append(c.codes, make([]uint32, len(c.dims))...)
	owned := make([]string, len(pairs))
	for i := 0; i < len(pairs); i += 2 {
		d := c.names[pairs[i]]
		code, value := c.dims[d].intern(pairs[i+1])
		c.codes[base+d] = code
		owned[i], owned[i+1] = c.dims[d].name, value
	}
	c.pairs = append(c.pairs, owned)
	c.hash = append(c.hash, hash)
	if 2*len(c.hash) > len(c.index) {
		c.grow()
	} else {
		c.place(id)
	}
	return id
}

// dimension finds or adds a dimension. A new one widens the code rows of all cells.
func (c *cellTable) dimension(name string) int {
	if d, ok := c.names[name]; ok {
		return d
	}
	old := len(c.dims)
	c.dims = append(c.dims, dictionary{name: name, codes: map[string]uint32{}})
	c.names[name] = old
	wide := make([]uint32, len(c.hash)*(old+1), max(64, cap(c.codes)*(old+1)/max(1, old)))
	for i := range c.hash {
		copy(wide[i*(old+1):], c.codes[i*old:(i+1)*old])
	}
	c.codes = wide
	return old
}

func (d *dictionary) intern(v string) (uint32, string) {
	if code, ok := d.codes[v]; ok {
		return code, d.values[code-1]
	}
	v = string(append([]byte(nil), v...)) // the caller may hold v inside a much larger string
	d.values = append(d.values, v)
	code := uint32(len(d.values))
	d.codes[v] = code
	d.bytes += len(v) + 48
	return code, v
}

func (c *cellTable) grow() {
	c.index = make([]uint32, 2*len(c.index))
	for id := range c.hash {
		c.place(uint32(id))
	}
}

func (c *cellTable) place(id uint32) {
	mask := uint64(len(c.index) - 1)
	i := c.hash[id] & mask
	for c.index[i] != 0 {
		i = (i + 1) & mask
	}
	c.index[i] = id + 1
}

// full says that the table has interned as much as it may.
func (c *cellTable) full() bool {
	bytes := 0
	for i := range c.dims {
		bytes += c.dims[i].bytes
	}
	return len(c.hash) >= cellsMax || bytes >= internedMax
}

// validatePairs refuses what no table could accept, before anything is buffered.
func validatePairs(n int64, pairs []string) error {
	if n == 0 {
		return fmt.Errorf("%w: an observation of 0 changes nothing", ErrInvalid)
	}
	if len(pairs) == 0 || len(pairs)%2 != 0 {
		return fmt.Errorf("%w: want pairs of dimension and value, got %d strings", ErrInvalid, len(pairs))
	}
	if len(pairs)/2 > dimensionsMax {
		return fmt.Errorf("%w: %d dimensions, the limit is %d", ErrInvalid, len(pairs)/2, dimensionsMax)
	}
	for i := 0; i < len(pairs); i += 2 {
		name, value := pairs[i], pairs[i+1]
		if name == "" || len(name) > nameBytesMax {
			return fmt.Errorf("%w: dimension name %q", ErrInvalid, name)
		}
		for j := 0; j < i; j += 2 {
			if pairs[j] == name {
				return fmt.Errorf("%w: dimension %q stands twice", ErrInvalid, name)
			}
		}
		if len(value) > valueBytesMax {
			return fmt.Errorf("%w: value of %q has %d bytes, the limit is %d", ErrInvalid, name, len(value), valueBytesMax)
		}
		if !utf8.ValidString(value) {
			return fmt.Errorf("%w: value of %q is not valid UTF-8", ErrInvalid, name)
		}
	}
	return nil
}

// The server refuses beyond these; the client does so earlier and with the caller still on the stack.
const (
	dimensionsMax = 32
	nameBytesMax  = 63
	valueBytesMax = 1 << 10
)
