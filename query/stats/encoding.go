package stats

import (
	"encoding/binary"
	"fmt"
)

// encodingError is an ErrEncoding with what was wrong.
func encodingError(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrEncoding, fmt.Sprintf(format, args...))
}

// reader takes an encoding apart. After the first fault it gives zeros, and end tells.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) byte() byte {
	if len(r.b) == 0 {
		r.bad = true
		return 0
	}
	v := r.b[0]
	r.b = r.b[1:]
	return v
}

func (r *reader) bytes(dst []byte) {
	if len(r.b) < len(dst) {
		r.bad, r.b = true, nil
		return
	}
	copy(dst, r.b)
	r.b = r.b[len(dst):]
}

func (r *reader) uint64() uint64 {
	var w [8]byte
	r.bytes(w[:])
	return binary.LittleEndian.Uint64(w[:])
}

// uvarint reads the shortest form only, so that a value has one encoding.
func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 || (n > 1 && r.b[n-1] == 0) {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[n:]
	return v
}

// totals reads a list that says its length; a length beyond the bytes that are left is a fault, not an allocation.
func (r *reader) totals() []uint64 {
	n := r.uvarint()
	if n > uint64(len(r.b)) {
		r.bad, r.b = true, nil
		return nil
	}
	out := make([]uint64, n)
	for i := range out {
		out[i] = r.uvarint()
	}
	return out
}

func (r *reader) u128() u128 {
	lo := r.uint64()
	return u128{hi: r.uint64(), lo: lo}
}

func (r *reader) end() error {
	switch {
	case r.bad:
		return encodingError("it ends too early or is not canonical")
	case len(r.b) != 0:
		return encodingError("%d bytes after its end", len(r.b))
	}
	return nil
}

func appendU128(b []byte, v u128) []byte {
	b = binary.LittleEndian.AppendUint64(b, v.lo)
	return binary.LittleEndian.AppendUint64(b, v.hi)
}
