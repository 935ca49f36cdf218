package arrow

import (
	"math"
	"math/bits"
)

// body is the buffers of a batch, each at a multiple of 8.
type body struct {
	b       []byte
	buffers [][2]int // offset and length
}

// close ends the buffer that begins at start.
func (d *body) close(start int) {
	d.buffers = append(d.buffers, [2]int{start, len(d.b) - start})
	d.b = append(d.b, make([]byte, -len(d.b)&7)...)
}

// validity appends the bitmap in which a bit is set where there is a value, and counts the NULLs. Without NULLs it is empty.
func (d *body) validity(nulls []byte, rows int) (count int) {
	start := len(d.b)
	for row := 0; row < rows && row/8 < len(nulls); row += 8 {
		count += bits.OnesCount8(nulls[row/8] & mask(rows-row))
	}
	if count > 0 {
		for row := 0; row < rows; row += 8 {
			bitmap := mask(rows - row)
			if row/8 < len(nulls) {
				bitmap &^= nulls[row/8]
			}
			d.b = append(d.b, bitmap)
		}
	}
	d.close(start)
	return count
}

// mask has a bit for each of the first n rows.
func mask(n int) byte {
	if n >= 8 {
		return 0xff
	}
	return 1<<n - 1
}

func (d *body) values(t Type, c Column, rows int) {
	start := len(d.b)
	switch t {
	case Int64, Timestamp:
		for _, v := range c.Ints[:rows] {
			d.b = le.AppendUint64(d.b, uint64(v))
		}
	case Float64:
		for _, v := range c.Floats[:rows] {
			d.b = le.AppendUint64(d.b, math.Float64bits(v))
		}
	case Bool:
		d.b = append(d.b, make([]byte, (rows+7)/8)...)
		for i, v := range c.Bools[:rows] {
			if v {
				d.b[start+i/8] |= 1 << (i % 8)
			}
		}
	default:
		d.texts(c.Texts[:rows])
		start = len(d.b)
		for _, v := range c.Texts[:rows] {
			d.b = append(d.b, v...)
		}
	}
	d.close(start)
}

// texts appends where each text begins, and where the last one ends. A batch is far smaller than the 2 GiB that 32 bits reach.
func (d *body) texts(texts []string) {
	start, at := len(d.b), 0
	d.b = le.AppendUint32(d.b, 0)
	for _, v := range texts {
		at += len(v)
		d.b = le.AppendUint32(d.b, uint32(at))
	}
	d.close(start)
}
