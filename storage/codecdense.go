package storage

import (
	"encoding/binary"
	"math/bits"
)

// A dense block's value has the number of combinations that it covers, the number of its counts, and a group for every 64 combinations: a
// head byte with the width of the group's counts and how its combinations are named, their names, and the counts. Counts of one width
// decode several times faster than varints do, and most groups have small ones only.
const (
	groupFew   = 7 // up to so many combinations are named by a byte each
	groupSome  = 8 // they are the bits of 8 bytes
	groupAll   = 9
	widthBits  = 2 // of the head, below the kind: a count has 1 << width bytes
	allPresent = ^uint64(0)
)

func (e *blockEncoder) dense(c *cells) {
	covers := c.covers()
	b := binary.AppendUvarint(e.buf, uint64(covers))
	b = binary.AppendUvarint(b, uint64(c.live))
	var counts [rankBits]int64
	for g := range covers / rankBits {
		present, n := c.group(g, &counts)
		b = appendGroup(b, present, counts[:n])
	}
	e.buf = b
}

// group gives the counts of 64 combinations that are not zero, and says which have them.
func (c *cells) group(g int, counts *[rankBits]int64) (present uint64, n int) {
	if c.ranks == nil {
		for i, v := range c.counts[g*rankBits:][:rankBits] {
			if v != 0 {
				present |= 1 << i
				counts[n] = v
				n++
			}
		}
		return present, n
	}
	x := c.ranks[g]
	i := int(x.before)
	for rest := x.bits; rest != 0; rest &= rest - 1 {
		if v := c.counts[i]; v != 0 {
			present |= rest & -rest
			counts[n] = v
			n++
		}
		i++
	}
	return present, n
}

func appendGroup(b []byte, present uint64, counts []int64) []byte {
	if len(counts) == 0 {
		return append(b, 0)
	}
	var magnitude uint64
	for _, v := range counts {
		magnitude |= uint64(v ^ v>>63)
	}
	width := uint8(bits.Len(uint(bits.Len64(magnitude) / 8))) // with the sign's bit: 0 up to 7 bits, 1 up to 15, 2 up to 31
	switch {
	case present == allPresent:
		b = append(b, groupAll<<widthBits|width)
	case len(counts) <= groupFew:
		b = append(b, uint8(len(counts))<<widthBits|width)
		for rest := present; rest != 0; rest &= rest - 1 {
			b = append(b, uint8(bits.TrailingZeros64(rest)))
		}
	default:
		b = binary.LittleEndian.AppendUint64(append(b, groupSome<<widthBits|width), present)
	}
	for _, v := range counts {
		switch width {
		case 0:
			b = append(b, uint8(v))
		case 1:
			b = binary.LittleEndian.AppendUint16(b, uint16(v))
		case 2:
			b = binary.LittleEndian.AppendUint32(b, uint32(v))
		default:
			b = binary.LittleEndian.AppendUint64(b, uint64(v))
		}
	}
	return b
}

func (r *reader) dense() *cells {
	covers, live := r.uvarint(), r.uvarint()
	if covers > blockCells || covers%rankBits != 0 || live > covers {
		r.bad = true
		return nil
	}
	c := newRanked(int(covers))
	c.live = int(live)
	c.counts = make([]int64, live)
	at := 0
	for g := range c.ranks {
		head := r.byte()
		present := r.present(head >> widthBits)
		n := bits.OnesCount64(present)
		if r.bad || n > len(c.counts)-at {
			r.bad = true
			return nil
		}
		c.ranks[g] = rank{present, uint16(at)}
		r.counts(c.counts[at:at+n], head&(1<<widthBits-1))
		at += n
	}
	if at != len(c.counts) {
		r.bad = true
		return nil
	}
	switch {
	case at == int(covers):
		c.ranks = nil
	case nearlyFull(at, int(covers)):
		c.fill()
	}
	return c
}

// present reads which combinations of a group have a count.
func (r *reader) present(kind int) (present uint64) {
	switch {
	case kind <= groupFew:
		next := 0
		for _, i := range r.bytes(kind) {
			r.bad = r.bad || int(i) < next || i >= rankBits
			next = int(i) + 1
			present |= 1 << (i % rankBits)
		}
	case kind == groupSome:
		if b := r.bytes(8); b != nil {
			present = binary.LittleEndian.Uint64(b)
		}
	case kind == groupAll:
		present = allPresent
	default:
		r.bad = true
	}
	return present
}

// counts reads numbers of 1 << width bytes. Zeros are not allowed.
func (r *reader) counts(out []int64, width int) {
	b := r.bytes(len(out) << width)
	if r.bad {
		return
	}
	switch width {
	case 0:
		for i := range out {
			out[i] = int64(int8(b[i]))
		}
	case 1:
		for i := range out {
			out[i] = int64(int16(binary.LittleEndian.Uint16(b[2*i:])))
		}
	case 2:
		for i := range out {
			out[i] = int64(int32(binary.LittleEndian.Uint32(b[4*i:])))
		}
	default:
		for i := range out {
			out[i] = int64(binary.LittleEndian.Uint64(b[8*i:]))
		}
	}
	for _, v := range out {
		r.bad = r.bad || v == 0
	}
}
