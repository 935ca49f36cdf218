package arrow

import "encoding/binary"

var le = binary.LittleEndian

// flat is a flatbuffer, written front to back: a table first, then what it refers to, and the reference is filled in when the place is
// known. That is allowed because references point forward, and vtables, which are found backward, stand before their tables.
// https://flatbuffers.dev/internals/ describes the encoding; positions are counted from the beginning of b, so b must begin at a
// multiple of 8.
type flat struct{ b []byte }

// align fills up until n more bytes end at a multiple of size.
func (f *flat) align(n, size int) {
	for (len(f.b)+n)%size != 0 {
		f.b = append(f.b, 0)
	}
}

// table begins a table whose i-th field takes sizes[i] bytes, 1, 2, 4 or 8, and 0 if it is left out. It gives the position of the table
// and of each field; references take 4 bytes.
func (f *flat) table(sizes ...int) (start int, at []int) {
	f.align(4+2*len(sizes), 8) // so that the table begins at 8k, and after its first four bytes comes a field at 8k+4
	vtable := len(f.b)
	f.b = append(f.b, make([]byte, 4+2*len(sizes))...)
	start = len(f.b)
	f.b = le.AppendUint32(f.b, uint32(start-vtable))
	at = make([]int, len(sizes))
	for _, size := range [...]int{8, 4, 2, 1} {
		for i, s := range sizes {
			if s != size {
				continue
			}
			f.align(0, size)
			at[i] = len(f.b)
			le.PutUint16(f.b[vtable+4+2*i:], uint16(at[i]-start))
			f.b = append(f.b, make([]byte, size)...)
		}
	}
	le.PutUint16(f.b[vtable:], uint16(4+2*len(sizes)))
	le.PutUint16(f.b[vtable+2:], uint16(len(f.b)-start))
	return start, at
}

// refer makes the reference at a position point at target.
func (f *flat) refer(at, target int) { le.PutUint32(f.b[at:], uint32(target-at)) }

// text appends a string and gives its position.
func (f *flat) text(s string) int {
	f.align(0, 4)
	start := len(f.b)
	f.b = le.AppendUint32(f.b, uint32(len(s)))
	f.b = append(f.b, s...)
	f.b = append(f.b, 0)
	return start
}

// vector appends the length of a vector of n elements, of which the first comes next, at a multiple of size.
func (f *flat) vector(n, size int) int {
	f.align(4, max(size, 4))
	start := len(f.b)
	f.b = le.AppendUint32(f.b, uint32(n))
	return start
}
