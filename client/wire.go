package client

import (
	"encoding/binary"
	"math"

	apiv1 "github.com/quipudb/quipu/proto/api/v1"
)

// wire brings the batch into the form of proto/api/v1: every column in the narrowest fixed width that holds it.
func (c *columns) wire(table string) *apiv1.Batch {
	b := &apiv1.Batch{Table: table, Rows: uint32(len(c.counts)), EventTimeMs: c.event, Measures: 1}
	if width := countWidth(c.counts); width > 0 {
		b.Counts = appendInts(make([]byte, 0, width*len(c.counts)), c.counts, width)
	}
	if len(c.events) > 0 {
		b.EventTimesMs = appendInts(make([]byte, 0, 8*len(c.events)), c.events, 8)
	}
	columns := make([]apiv1.Column, len(c.dims))
	b.Columns = make([]*apiv1.Column, len(c.dims))
	for i := range c.dims {
		b.Columns[i] = &columns[i]
		c.dims[i].wire(b.Columns[i])
	}
	return b
}

func (c *column) wire(out *apiv1.Column) {
	size := 0
	for _, v := range c.values {
		size += len(v)
	}
	out.Name, out.Values, out.Lengths, out.Codes = c.name, make([]byte, 0, size), make([]uint32, len(c.values)), appendCodes(make([]byte, 0, c.width()*len(c.codes)), c.codes, c.width())
	for i, v := range c.values {
		out.Values = append(out.Values, v...)
		out.Lengths[i] = uint32(len(v))
	}
}

// width is that of the column's codes in bytes.
func (c *column) width() int {
	switch n := len(c.values); {
	case n <= math.MaxUint8:
		return 1
	case n <= math.MaxUint16:
		return 2
	}
	return 4
}

func appendCodes(b []byte, codes []uint32, width int) []byte {
	switch width {
	case 1:
		for _, c := range codes {
			b = append(b, byte(c))
		}
	case 2:
		for _, c := range codes {
			b = binary.LittleEndian.AppendUint16(b, uint16(c))
		}
	default:
		for _, c := range codes {
			b = binary.LittleEndian.AppendUint32(b, c)
		}
	}
	return b
}

// countWidth is that of counts in bytes: 0 where every row counts 1.
func countWidth(counts []int64) int {
	lo, hi := int64(1), int64(1)
	for _, n := range counts {
		lo, hi = min(lo, n), max(hi, n)
	}
	switch {
	case lo == 1 && hi == 1:
		return 0
	case lo >= math.MinInt8 && hi <= math.MaxInt8:
		return 1
	case lo >= math.MinInt16 && hi <= math.MaxInt16:
		return 2
	case lo >= math.MinInt32 && hi <= math.MaxInt32:
		return 4
	}
	return 8
}

func appendInts(b []byte, ints []int64, width int) []byte {
	switch width {
	case 1:
		for _, n := range ints {
			b = append(b, byte(n))
		}
	case 2:
		for _, n := range ints {
			b = binary.LittleEndian.AppendUint16(b, uint16(n))
		}
	case 4:
		for _, n := range ints {
			b = binary.LittleEndian.AppendUint32(b, uint32(n))
		}
	default:
		for _, n := range ints {
			b = binary.LittleEndian.AppendUint64(b, uint64(n))
		}
	}
	return b
}
