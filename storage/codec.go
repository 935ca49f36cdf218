package storage

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"

	"github.com/quipudb/quipu/storage/schema"
)

// A block's value in Pebble: version, form, measure count, the cells, and a CRC-32C of the block's key and all that. See
// docs/format/storage.md.
const (
	blockVersion  = 1
	formDense     = 1 // groups of 64 combinations: which have a count, and the counts, all of one width
	formSparse    = 2 // rising packed keys as deltas, each with its count
	formManyWords = 3 // the codes of each cell, with its count
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

var errDamaged = errors.New("damaged value")

func checksum(key, value []byte) uint32 {
	return crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, value)
}

// seal appends the checksum of key and of dst from start on.
func seal(dst, key []byte, start int) []byte {
	return binary.LittleEndian.AppendUint32(dst, checksum(key, dst[start:]))
}

// unseal checks and removes the checksum.
func unseal(key, value []byte) ([]byte, error) {
	n := len(value) - 4
	if n < 0 {
		return nil, fmt.Errorf("%w: %d bytes are too few", errDamaged, len(value))
	}
	if want, got := binary.LittleEndian.Uint32(value[n:]), checksum(key, value[:n]); want != got {
		return nil, fmt.Errorf("%w: checksum %08x, want %08x", errDamaged, got, want)
	}
	return value[:n], nil
}

// blockEncoder turns cells into values; it keeps its scratch.
type blockEncoder struct {
	buf   []byte
	order []cellAt
	fresh []cellAt
}

type cellAt struct {
	key uint64
	at  int32
}

// encode is the value of a block. It stays valid until the next call.
func (e *blockEncoder) encode(key []byte, c *cells) []byte {
	switch {
	case c.pack == nil:
		e.buf = append(e.buf[:0], blockVersion, formDense, 1)
		e.dense(c)
	case c.pack.words == 1:
		e.buf = append(e.buf[:0], blockVersion, formSparse, 1)
		e.sparse(c)
	default:
		e.buf = append(e.buf[:0], blockVersion, formManyWords, 1)
		e.manyWords(c)
	}
	e.buf = seal(e.buf, key, 0)
	return e.buf
}

func (e *blockEncoder) sparse(c *cells) {
	e.inOrder(c)
	b := appendWidths(e.buf, c.pack)
	b = binary.AppendUvarint(b, uint64(len(e.order)))
	last := uint64(0)
	for _, x := range e.order {
		b = binary.AppendUvarint(b, x.key-last)
		b = binary.AppendVarint(b, c.counts[x.at])
		last = x.key
	}
	e.buf = b
}

// inOrder lists the cells of c by key. Those that were read back stand in order already, and new ones behind them.
func (e *blockEncoder) inOrder(c *cells) {
	e.order = e.order[:0]
	old, last := 0, uint64(0) // as many cells are in order
	for i, v := range c.counts {
		if v == 0 {
			continue
		}
		key := c.keys[i]
		if old == len(e.order) && key >= last {
			old, last = old+1, key
		}
		e.order = append(e.order, cellAt{key, int32(i)})
	}
	if old == len(e.order) {
		return
	}
	fresh := append(e.fresh[:0], e.order[old:]...)
	slices.SortFunc(fresh, func(a, b cellAt) int { return cmp.Compare(a.key, b.key) })
	e.fresh = fresh
	for at := len(e.order) - 1; len(fresh) > 0; at-- {
		if n := len(fresh) - 1; old == 0 || e.order[old-1].key < fresh[n].key {
			e.order[at], fresh = fresh[n], fresh[:n]
		} else {
			old--
			e.order[at] = e.order[old]
		}
	}
}

func (e *blockEncoder) manyWords(c *cells) {
	words := c.pack.words
	e.order = e.order[:0]
	for i, v := range c.counts {
		if v != 0 {
			e.order = append(e.order, cellAt{at: int32(i)})
		}
	}
	slices.SortFunc(e.order, func(a, b cellAt) int {
		return slices.Compare(c.keys[int(a.at)*words:int(a.at+1)*words], c.keys[int(b.at)*words:int(b.at+1)*words])
	})
	b := appendWidths(e.buf, c.pack)
	b = binary.AppendUvarint(b, uint64(len(e.order)))
	for _, x := range e.order {
		key := c.keys[int(x.at)*words : int(x.at+1)*words]
		for d := range c.pack.dims {
			b = binary.AppendUvarint(b, uint64(c.pack.code(key, d)))
		}
		b = binary.AppendVarint(b, c.counts[x.at])
	}
	e.buf = b
}

func appendWidths(b []byte, p *packing) []byte {
	b = append(b, byte(len(p.dims)))
	for _, d := range p.dims {
		b = append(b, d.width)
	}
	return b
}

// decodeBlock reads a value. It takes memory in proportion to it, except that a dense block has up to 4,096 counts of 8 bytes.
func decodeBlock(key, value []byte) (*cells, error) {
	b, err := unseal(key, value)
	if err != nil {
		return nil, err
	}
	if len(b) < 3 || b[0] != blockVersion || b[2] != 1 {
		return nil, fmt.Errorf("%w: not a block of version %d with one measure", errDamaged, blockVersion)
	}
	r := reader{b: b[3:]}
	var c *cells
	switch b[1] {
	case formDense:
		c = r.dense()
	case formSparse, formManyWords:
		c = r.sparse()
	default:
		return nil, fmt.Errorf("%w: unknown form %d", errDamaged, b[1])
	}
	if r.bad || len(r.b) > 0 {
		return nil, fmt.Errorf("%w: block of form %d does not decode", errDamaged, b[1])
	}
	return c, nil
}

func (r *reader) sparse() *cells {
	widths := r.bytes(r.byte())
	total := 0
	for _, w := range widths {
		if w > 32 {
			r.bad = true
		}
		total += int(w)
	}
	n := r.uvarint()
	if r.bad || len(widths) > schema.DimensionsMax || n > uint64(len(r.b)) || n > 1<<16-2 {
		r.bad = true
		return nil
	}
	p := packingFor(widths)
	c := unindexed(p, int(n))
	if p.words == 1 {
		r.oneWord(c, int(n), total)
	} else {
		r.manyWords(c, int(n))
	}
	return c
}

func (r *reader) oneWord(c *cells, n, total int) {
	key := uint64(0)
	for i := range n {
		delta := r.uvarint()
		count := r.varint()
		if next := key + delta; r.bad || count == 0 || i > 0 && next <= key || total < 64 && next>>total != 0 {
			r.bad = true
			return
		}
		key += delta
		c.counts, c.keys = append(c.counts, count), append(c.keys, key)
	}
	c.live = n
}

func (r *reader) manyWords(c *cells, n int) {
	var codes [schema.DimensionsMax]uint32
	var last, key [schema.DimensionsMax]uint64
	dims, words := len(c.pack.dims), c.pack.words
	for i := range n {
		for d, x := range c.pack.dims {
			v := r.uvarint()
			if v>>x.width != 0 {
				r.bad = true
				return
			}
			codes[d] = uint32(v)
		}
		count := r.varint()
		c.pack.many(codes[:dims], key[:words])
		if r.bad || count == 0 || i > 0 && slices.Compare(last[:words], key[:words]) >= 0 {
			r.bad = true
			return
		}
		c.counts, c.keys = append(c.counts, count), append(c.keys, key[:words]...)
		last = key
	}
	c.live = n
}

// reader takes a value apart. After the first thing that is not there bad is set and all it gives is zero.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) uvarint() uint64 {
	if len(r.b) > 0 && r.b[0] < 0x80 {
		v := uint64(r.b[0])
		r.b = r.b[1:]
		return v
	}
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) varint() int64 {
	u := r.uvarint()
	return int64(u>>1) ^ -int64(u&1)
}

func (r *reader) byte() int {
	if len(r.b) == 0 {
		r.bad = true
		return 0
	}
	v := r.b[0]
	r.b = r.b[1:]
	return int(v)
}

func (r *reader) bytes(n int) []byte {
	if n < 0 || n > len(r.b) {
		r.bad, r.b = true, nil
		return nil
	}
	v := r.b[:n]
	r.b = r.b[n:]
	return v
}
