package command

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"slices"
	"strings"
)

// encoder appends the primitives of the format: uvarint, zigzag varint, byte, flag, length-prefixed bytes.
type encoder struct{ b []byte }

func (e *encoder) begin(k Kind, stamp int64) {
	e.b = append(e.b, Version, byte(k))
	e.int(stamp)
}

func (e *encoder) finish() []byte {
	return binary.LittleEndian.AppendUint32(e.b, crc32.Checksum(e.b, castagnoli))
}

func (e *encoder) uint(v uint64) { e.b = binary.AppendUvarint(e.b, v) }
func (e *encoder) int(v int64)   { e.b = binary.AppendVarint(e.b, v) }
func (e *encoder) byte(v byte)   { e.b = append(e.b, v) }

func (e *encoder) flag(v bool) {
	if v {
		e.b = append(e.b, 1)
	} else {
		e.b = append(e.b, 0)
	}
}

func (e *encoder) str(s string) {
	e.uint(uint64(len(s)))
	e.b = append(e.b, s...)
}

func (e *encoder) bytes(s []byte) {
	e.uint(uint64(len(s)))
	e.b = append(e.b, s...)
}

// pairs writes a map in the order of its keys.
func (e *encoder) pairs(m map[string]string) {
	keys := make([]string, 0, len(m))
	for k := range m { // sorted below
		keys = append(keys, k)
	}
	slices.SortFunc(keys, strings.Compare)
	e.uint(uint64(len(keys)))
	for _, k := range keys {
		e.str(k)
		e.str(m[k])
	}
}

var (
	errShort  = errors.New("it ends too early")
	errTail   = errors.New("bytes are left over")
	errVarint = errors.New("a number has more than 64 bits")
	errFlag   = errors.New("a flag is neither 0 nor 1")
	errCount  = errors.New("a list claims more items than the bytes that are left can hold")
	errRange  = errors.New("a number is out of its range")
)

// decoder reads them back. After the first error every read gives zero values, so a caller tests once, in close.
type decoder struct {
	b   []byte
	err error
}

func (d *decoder) fail(err error) {
	if d.err == nil {
		d.err = err
	}
	d.b = nil
}

func (d *decoder) close() error {
	if d.err == nil && len(d.b) > 0 {
		d.err = errTail
	}
	return d.err
}

func (d *decoder) uint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.short(n)
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) int() int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 {
		d.short(n)
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) short(n int) {
	if n == 0 {
		d.fail(errShort)
	} else {
		d.fail(errVarint)
	}
}

func (d *decoder) uint32() uint32 {
	v := d.uint()
	if v > 1<<32-1 {
		d.fail(errRange)
		return 0
	}
	return uint32(v)
}

func (d *decoder) byte() byte {
	if len(d.b) == 0 {
		d.fail(errShort)
		return 0
	}
	v := d.b[0]
	d.b = d.b[1:]
	return v
}

func (d *decoder) flag() bool {
	switch d.byte() {
	case 0:
		return false
	case 1:
		return true
	}
	d.fail(errFlag)
	return false
}

// bytes shares memory with the input.
func (d *decoder) bytes() []byte {
	n := d.uint()
	if n > uint64(len(d.b)) {
		d.fail(errShort)
		return nil
	}
	v := d.b[:n:n]
	d.b = d.b[n:]
	return v
}

func (d *decoder) str() string { return string(d.bytes()) }

// count reads the length of a list whose items take at least size bytes each, so that a list never allocates more than a
// small multiple of the bytes that carry it.
func (d *decoder) count(size int) int {
	n := d.uint()
	if n > uint64(len(d.b)/size) {
		d.fail(errCount)
		return 0
	}
	return int(n)
}

func (d *decoder) array(dst []byte) {
	if len(d.b) < len(dst) {
		d.fail(errShort)
		return
	}
	d.b = d.b[copy(dst, d.b):]
}

func (d *decoder) pairs() map[string]string {
	n := d.count(2)
	m := make(map[string]string, n)
	for range n {
		k := d.str()
		if _, twice := m[k]; twice {
			d.fail(errRange)
		}
		m[k] = d.str()
	}
	return m
}
