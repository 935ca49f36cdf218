package storage

import (
	"hash/maphash"
	"math/bits"
	"sync/atomic"
	"unsafe"
)

// dict maps the category values of one dimension to codes 1, 2, … in the order of their first use. It only grows. One
// goroutine, the writer, adds values; any number look them up at the same time without a lock: what they reach is published
// by atomic stores, and a code above the length that a reader knows is as good as absent.
//
// A value costs its bytes, a length prefix, 4 bytes of position and 4 bytes of index at a load of 3/8 to 3/4.
type dict struct {
	n         uint32        // values added; owned by the writer
	end       uint64        // where the arena ends; owned by the writer
	published atomic.Uint32 // values that an ended Update added

	index atomic.Pointer[dictIndex]
	text  atomic.Pointer[dictText]
}

// dictIndex is an open-addressing table of codes. A slot holds the code in its low 28 bits and 4 bits of the value's hash
// above, which spare most comparisons with other values. Zero is empty.
type dictIndex struct {
	slots []uint32
	mask  uint64
}

// dictText holds the values: value c−1 lies at where[(c−1)/pageValues][(c−1)%pageValues]. The writer fills places
// that no reader looks at yet; a slice that must grow is replaced in a new dictText.
type dictText struct {
	where  [][]uint32 // position/textAlign of a value's length prefix in the arena
	chunks [][]byte   // the arena, in chunks of textChunk bytes, of which the first may be shorter
}

const (
	codeBits   = 28 // schema.CardinalityMax
	codeMask   = 1<<codeBits - 1
	pageValues = 1 << 12
	textChunk  = 1 << 16
	textAlign  = 4 // lets 32 bits reach 16 GiB
)

var dictSeed = maphash.MakeSeed()

func newDict() *dict {
	d := new(dict)
	d.index.Store(&dictIndex{slots: make([]uint32, 8), mask: 7})
	d.text.Store(new(dictText))
	return d
}

// lookup finds the code of v among the first n values.
func (d *dict) lookup(v string, n uint32) (uint32, bool) {
	return d.find(maphash.String(dictSeed, v), v, n)
}

func (d *dict) find(h uint64, v string, n uint32) (uint32, bool) {
	x := d.index.Load()
	tag := uint32(h>>60) << codeBits
	for i := h & x.mask; ; i = (i + 1) & x.mask {
		s := atomic.LoadUint32(&x.slots[i])
		if s == 0 {
			return 0, false
		}
		if c := s & codeMask; s&^codeMask == tag && c <= n && d.text.Load().value(c) == v {
			return c, true
		}
	}
}

// value is the text of code c, 1 ≤ c ≤ the length that the caller knows. It aliases memory that never changes.
func (t *dictText) value(c uint32) string {
	c--
	at := uint64(t.where[c/pageValues][c%pageValues]) * textAlign
	b := t.chunks[at/textChunk][at%textChunk:]
	n := int(b[0]) | int(b[1])<<8
	if n == 0 {
		return ""
	}
	return unsafe.String(&b[2], n)
}

func (d *dict) value(c uint32) string { return d.text.Load().value(c) }

// intern is the code of v, which is added if it is new. Only the writer may call it. A value has at most
// schema.ValueBytesMax bytes; the state machine refuses others before.
func (d *dict) intern(v string) (code uint32, added bool) {
	h := maphash.String(dictSeed, v)
	if c, ok := d.find(h, v, d.n); ok {
		return c, false
	}
	if len(v) > textChunk/2 || d.n == codeMask {
		panic("storage: a dictionary was given a value or a number of values above its limits")
	}
	d.store(v)
	d.n++
	x := d.index.Load()
	if uint64(d.n)*4 > uint64(len(x.slots))*3 {
		d.rehash(2 * len(x.slots))
	} else {
		x.put(h, d.n)
	}
	return d.n, true
}

func (x *dictIndex) put(h uint64, code uint32) {
	i := h & x.mask
	for atomic.LoadUint32(&x.slots[i]) != 0 {
		i = (i + 1) & x.mask
	}
	atomic.StoreUint32(&x.slots[i], code|uint32(h>>60)<<codeBits)
}

// rehash publishes an index of the given size, a power of two. Readers of the old one miss newer values only, which are unpublished.
func (d *dict) rehash(size int) *dictIndex {
	x := &dictIndex{slots: make([]uint32, size), mask: uint64(size - 1)}
	t := d.text.Load()
	for c := uint32(1); c <= d.n; c++ {
		x.put(maphash.String(dictSeed, t.value(c)), c)
	}
	d.index.Store(x)
	return x
}

// store appends the text of value number d.n. A new dictText is published only when a chunk or a page is added or moved.
func (d *dict) store(v string) {
	t := d.text.Load()
	d.end = (d.end + textAlign - 1) &^ (textAlign - 1)
	need := uint64(len(v) + 2)
	if d.end%textChunk+need > textChunk || d.end%textChunk == 0 && d.end > 0 {
		d.end = (d.end + textChunk - 1) / textChunk * textChunk
	}
	chunk, page := d.end/textChunk, d.n/pageValues
	chunks := roomFor(t.chunks, chunk, d.end%textChunk+need, 256, textChunk)
	where := roomFor(t.where, uint64(page), uint64(d.n%pageValues)+1, 16, pageValues)
	b := chunks[chunk][d.end%textChunk:]
	b[0], b[1] = byte(len(v)), byte(len(v)>>8)
	copy(b[2:], v)
	where[page][d.n%pageValues] = uint32(d.end / textAlign)
	d.end += need
	if len(chunks) != len(t.chunks) || len(where) != len(t.where) || chunk == 0 || page == 0 {
		d.text.Store(&dictText{where: where, chunks: chunks})
	}
}

// roomFor is s with at least n elements in s[i], which is the last slice of s or the next. The first slice starts with small
// elements and doubles; all others have full ones at once.
func roomFor[T any](s [][]T, i, n, small, full uint64) [][]T {
	if i < uint64(len(s)) && n <= uint64(len(s[i])) {
		return s
	}
	size := full
	if i == 0 {
		for size = small; size < n; size *= 2 {
		}
	}
	c := make([][]T, i+1)
	copy(c, s)
	grown := make([]T, size)
	copy(grown, c[i])
	c[i] = grown
	return c
}

// memory is the number of bytes that d holds. Only the writer may call it.
func (d *dict) memory() int64 {
	t := d.text.Load()
	n := int64(len(d.index.Load().slots)) * 4
	for _, w := range t.where {
		n += int64(cap(w))*4 + 24
	}
	for _, c := range t.chunks {
		n += int64(cap(c)) + 24
	}
	return n + int64(unsafe.Sizeof(*d))
}

// bitsFor is the number of bits that hold every code up to max.
func bitsFor(max uint32) uint8 { return uint8(bits.Len32(max)) }
