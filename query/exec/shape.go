package exec

import (
	"encoding/binary"
	"math/bits"
)

// denseMax is the largest number of slots of a dense grid: 4 Mi slots of one sum are 32 MiB.
const denseMax = 4 << 20

// shape says how the key codes of some columns make one key. The first column is the most significant, so that keys sort
// by column. A dense key is an index, a packed one has a bit field for each column, and a wide one does not fit 64 bits.
type shape struct {
	cards []uint32
	kind  shapeKind
	mul   []uint64 // factor of each column's code in the key
	size  uint64   // slots of a dense shape
}

type shapeKind uint8

const (
	denseShape shapeKind = iota
	packedShape
	wideShape
)

// newShape chooses the form: dense where the grid is small, or not much larger than the number of cells that can come.
func newShape(room *room, cards []uint32, sums int, cells uint64) *shape {
	s := room.shapes.one()
	s.cards, s.mul = cards, room.words.take(len(cards))
	size, width := uint64(1), 0
	fits := true
	for _, c := range cards {
		width += bits.Len32(max(c, 1) - 1)
		hi, lo := bits.Mul64(size, uint64(max(c, 1)))
		fits = fits && hi == 0
		size = lo
	}
	bound := min(uint64(denseMax), max(1<<12, cells*8))
	switch {
	case fits && size*uint64(max(sums, 1)) <= bound:
		s.kind, s.size = denseShape, size
		m := uint64(1)
		for i := len(cards) - 1; i >= 0; i-- {
			s.mul[i] = m
			m *= uint64(max(cards[i], 1))
		}
	case width <= 63:
		s.kind = packedShape
		shift := 0
		for i := len(cards) - 1; i >= 0; i-- {
			s.mul[i] = 1 << shift
			shift += bits.Len32(max(cards[i], 1) - 1)
		}
	default:
		s.kind = wideShape
	}
	return s
}

// key is the key of one row of codes; not for wide shapes.
func (s *shape) key(codes []uint32) uint64 {
	k := uint64(0)
	for i, c := range codes {
		k += uint64(c) * s.mul[i]
	}
	return k
}

// codes splits a key; not for wide shapes.
func (s *shape) codes(key uint64, out []uint32) []uint32 {
	out = out[:len(s.cards)]
	for i := range out {
		out[i] = uint32(key / s.mul[i])
		key -= uint64(out[i]) * s.mul[i]
	}
	return out
}

// keysOf computes the keys of n rows from their columns of codes.
func (s *shape) keysOf(cols [][]uint32, n int, out []uint64) []uint64 {
	out = out[:n]
	if len(cols) == 0 {
		clear(out)
		return out
	}
	last := len(cols) - 1
	if len(cols) == 2 && s.mul[1] == 1 {
		m, a, b := s.mul[0], cols[0][:n], cols[1][:n]
		for i := range out {
			out[i] = uint64(a[i])*m + uint64(b[i])
		}
		return out
	}
	m := s.mul[last]
	for i, c := range cols[last][:n] {
		out[i] = uint64(c) * m
	}
	for j := last - 1; j >= 0; j-- {
		m := s.mul[j]
		for i, c := range cols[j][:n] {
			out[i] += uint64(c) * m
		}
	}
	return out
}

// wideKey is the bytes of one row of codes, in an order that sorts by column.
func wideKey(cols [][]uint32, row int, buf []byte) []byte {
	buf = buf[:0]
	for _, c := range cols {
		buf = binary.BigEndian.AppendUint32(buf, c[row])
	}
	return buf
}
