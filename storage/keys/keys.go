// Package keys is the key space of a group's Pebble database. Keys sort bytewise in the order of what they name, so a
// table, a window or the codes of one dimension are each one contiguous range:
//
//	meta/<name>                                    applied index, raft configuration, counters of the store
//	table/<table>                                  definition of a table
//	tally/<table>                                  small totals of a table that every checkpoint rewrites
//	dict/<table>/<dimension>/<first code>          a run of category values
//	window/<table>/<window>                        layout of one window
//	live/<table>/<window>/<generation>/<block>     that a block exists, and its number of cells
//	block/<table>/<window>/<generation>/<block>    the cells of a block
//	row/<bytes>                                    a row of the state machine
//
// Numbers are big-endian and of fixed width; a window (seconds since 1970, signed) has its sign bit flipped. The layout is
// written down in docs/format/keys.md and never changes in place.
package keys

import (
	"encoding/binary"
	"fmt"
)

// Kind is the first byte of a key.
type Kind byte

const (
	Meta   Kind = 0x01
	Table  Kind = 0x10
	Tally  Kind = 0x11
	Dict   Kind = 0x20
	Window Kind = 0x30
	Live   Kind = 0x40
	Block  Kind = 0x50
	Row    Kind = 0x60
)

// Key is what a key names. Fields that its kind does not use are zero.
type Key struct {
	Kind       Kind
	Table      uint64
	Dim        uint8  // Dict
	Code       uint32 // Dict: code of the run's first value
	Window     int64  // Window, Live, Block
	Generation uint64 // Live, Block: which layout of the window the block belongs to
	Block      uint64 // Live, Block
	Name       []byte // Meta, Row
}

// Append adds k's bytes to dst.
func (k Key) Append(dst []byte) []byte {
	dst = append(dst, byte(k.Kind))
	switch k.Kind {
	case Meta, Row:
		return append(dst, k.Name...)
	case Table, Tally:
		return binary.BigEndian.AppendUint64(dst, k.Table)
	case Dict:
		dst = append(binary.BigEndian.AppendUint64(dst, k.Table), k.Dim)
		return binary.BigEndian.AppendUint32(dst, k.Code)
	case Window:
		return appendWindow(dst, k.Table, k.Window)
	case Live, Block:
		dst = appendWindow(dst, k.Table, k.Window)
		dst = binary.BigEndian.AppendUint64(dst, k.Generation)
		return binary.BigEndian.AppendUint64(dst, k.Block)
	}
	panic(fmt.Sprintf("keys: no such kind %#x", byte(k.Kind)))
}

// Bytes is k's bytes in a new slice.
func (k Key) Bytes() []byte { return k.Append(nil) }

// Parse reads a key. It fails on an unknown kind and on a wrong length. Name aliases b.
func Parse(b []byte) (Key, error) {
	if len(b) == 0 {
		return Key{}, fmt.Errorf("keys: empty key")
	}
	k := Key{Kind: Kind(b[0])}
	rest := b[1:]
	if want, known := width[k.Kind]; !known {
		return Key{}, fmt.Errorf("keys: unknown kind %#x in key %x", b[0], b)
	} else if want >= 0 && want != len(rest) {
		return Key{}, fmt.Errorf("keys: key %x has %d bytes after its kind, want %d", b, len(rest), want)
	}
	if k.Kind == Meta || k.Kind == Row {
		k.Name = rest
		return k, nil
	}
	k.Table = binary.BigEndian.Uint64(rest)
	switch k.Kind {
	case Dict:
		k.Dim, k.Code = rest[8], binary.BigEndian.Uint32(rest[9:])
	case Window, Live, Block:
		k.Window = int64(binary.BigEndian.Uint64(rest[8:]) ^ signBit)
		if k.Kind != Window {
			k.Generation = binary.BigEndian.Uint64(rest[16:])
			k.Block = binary.BigEndian.Uint64(rest[24:])
		}
	}
	return k, nil
}

// width is the number of bytes after the kind; -1 means any.
var width = map[Kind]int{Meta: -1, Row: -1, Table: 8, Tally: 8, Dict: 13, Window: 16, Live: 32, Block: 32}

const signBit = 1 << 63

func appendWindow(dst []byte, table uint64, window int64) []byte {
	dst = binary.BigEndian.AppendUint64(dst, table)
	return binary.BigEndian.AppendUint64(dst, uint64(window)^signBit)
}

// Range is the keys in [Start, End).
type Range struct{ Start, End []byte }

// KindRange holds every key of kind k.
func KindRange(k Kind) Range { return Range{[]byte{byte(k)}, []byte{byte(k) + 1}} }

// TableRange holds every key of the kind (not Meta or Row) that belongs to table.
func TableRange(k Kind, table uint64) Range {
	start := binary.BigEndian.AppendUint64([]byte{byte(k)}, table)
	return Range{start, successor(start)}
}

// GenerationRange holds the keys of the kind, Live or Block, of one layout of one window.
func GenerationRange(k Kind, table uint64, window int64, generation uint64) Range {
	start := appendWindow([]byte{byte(k)}, table, window)
	start = binary.BigEndian.AppendUint64(start, generation)
	return Range{start, successor(start)}
}

// successor is the smallest key above all keys with the prefix p. Kinds lie below 0xff, so there always is one.
func successor(p []byte) []byte {
	s := append([]byte(nil), p...)
	for i := len(s) - 1; ; i-- {
		if s[i]++; s[i] != 0 {
			return s[:i+1]
		}
	}
}
