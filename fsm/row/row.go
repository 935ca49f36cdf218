// Package row writes and reads the values of a machine's rows: a version byte, then varints, flags and length-prefixed bytes in
// a fixed order. Storage guards rows with checksums; a value that does not read is a broken invariant or a newer release.
//
//	w := row.Write()
//	w.Uint(7)
//	w.String("ann")
//	tx.PutRow(key, w)
//
//	r := row.Read(value)
//	n, name := r.Uint(), r.String()
//	err := r.End()
package row

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Version begins every value.
const Version = 1

// ErrDamaged is a value that does not read.
var ErrDamaged = errors.New("the value of a row does not decode")

// Writer is a value while it is written.
type Writer []byte

// Write begins a value.
func Write() Writer { return Writer{Version} }

// Uint appends an unsigned number.
func (w *Writer) Uint(v uint64) { *w = binary.AppendUvarint(*w, v) }

// Int appends a signed number.
func (w *Writer) Int(v int64) { *w = binary.AppendVarint(*w, v) }

// Bool appends a flag.
func (w *Writer) Bool(v bool) {
	if v {
		*w = append(*w, 1)
	} else {
		*w = append(*w, 0)
	}
}

// Bytes appends a length and v.
func (w *Writer) Bytes(v []byte) {
	w.Uint(uint64(len(v)))
	*w = append(*w, v...)
}

// String appends a length and v.
func (w *Writer) String(v string) {
	w.Uint(uint64(len(v)))
	*w = append(*w, v...)
}

// Raw appends v, whose length the reader knows.
func (w *Writer) Raw(v []byte) { *w = append(*w, v...) }

// Reader reads a value. After the first error it gives zeros; End says what was wrong.
type Reader struct {
	b   []byte
	err error
}

// Read begins to read a value.
func Read(value []byte) *Reader {
	r := &Reader{b: value}
	switch {
	case len(value) == 0:
		r.Fail()
	case value[0] != Version:
		r.err = fmt.Errorf("version %d, this release reads version %d", value[0], Version)
		r.b = nil
	default:
		r.b = value[1:]
	}
	return r
}

// Fail makes End return ErrDamaged.
func (r *Reader) Fail() {
	if r.err == nil {
		r.err = ErrDamaged
	}
	r.b = nil
}

// End says whether everything was read and nothing is left.
func (r *Reader) End() error {
	if r.err == nil && len(r.b) > 0 {
		r.Fail()
	}
	return r.err
}

// Uint reads an unsigned number.
func (r *Reader) Uint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.Fail()
		return 0
	}
	r.b = r.b[n:]
	return v
}

// Int reads a signed number.
func (r *Reader) Int() int64 {
	v, n := binary.Varint(r.b)
	if n <= 0 {
		r.Fail()
		return 0
	}
	r.b = r.b[n:]
	return v
}

// Uint64 reads eight bytes, least significant first.
func (r *Reader) Uint64() uint64 {
	var b [8]byte
	r.Raw(b[:])
	return binary.LittleEndian.Uint64(b[:])
}

// Bool reads a flag.
func (r *Reader) Bool() bool { return r.Uint() != 0 }

// Count reads the length of a list whose items take at least size bytes each.
func (r *Reader) Count(size int) int {
	n := r.Uint()
	if n > uint64(len(r.b)/size) {
		r.Fail()
		return 0
	}
	return int(n)
}

// Bytes reads a length and as many bytes, which share memory with the value.
func (r *Reader) Bytes() []byte {
	n := r.Uint()
	if n > uint64(len(r.b)) {
		r.Fail()
		return nil
	}
	v := r.b[:n:n]
	r.b = r.b[n:]
	return v
}

// String reads a length and a text.
func (r *Reader) String() string { return string(r.Bytes()) }

// Raw fills v.
func (r *Reader) Raw(v []byte) {
	if len(r.b) < len(v) {
		r.Fail()
		return
	}
	r.b = r.b[copy(v, r.b):]
}
