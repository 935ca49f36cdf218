package client

import (
	"encoding/binary"
	"math"

	apiv1 "github.com/quipudb/quipu/proto/api/v1"
)

// wire brings the batch into the form of proto/api/v1: every column in the narrowest fixed width that holds it.
func (c *columns) wire(table string) *apiv1.Batch {
	b := &apiv1.Batch{Table: table, Rows: uint32(len(c.counts)), EventTimeMs: c.event, Measures: 1, Counts: packCounts(c.counts)}
	if len(c.events) > 0 {
		b.EventTimesMs = make([]byte, 0, 8*len(c.events))
		for _, e := range c.events {
			b.EventTimesMs = binary.LittleEndian.AppendUint64(b.EventTimesMs, uint64(e))
		}
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
	out.Name, out.Values, out.Lengths, out.Codes = c.name, make([]byte, 0, size), make([]uint32, len(c.values)), c.pack()
	for i, v := range c.values {
		out.Values = append(out.Values, v...)
		out.Lengths[i] = uint32(len(v))
	}
}

// pack is the codes in the narrowest width that holds them.
func (c *column) pack() []byte {
	switch n := len(c.values); {
	case n <= math.MaxUint8:
		out := make([]byte, len(c.codes))
		for i, code := range c.codes {
			out[i] = byte(code)
		}
		return out
	case n <= math.MaxUint16:
		out := make([]byte, 2*len(c.codes))
		for i, code := range c.codes {
			binary.LittleEndian.PutUint16(out[2*i:], uint16(code))
		}
		return out
	}
	out := make([]byte, 4*len(c.codes))
	for i, code := range c.codes {
		binary.LittleEndian.PutUint32(out[4*i:], code)
	}
	return out
}

// packCounts is empty where every row counts 1.
func packCounts(counts []int64) []byte {
	lo, hi := int64(1), int64(1)
	for _, n := range counts {
		lo, hi = min(lo, n), max(hi, n)
	}
	switch {
	case lo == 1 && hi == 1:
		return nil
	case lo >= math.MinInt8 && hi <= math.MaxInt8:
		out := make([]byte, len(counts))
		for i, n := range counts {
			out[i] = byte(n)
		}
		return out
	case lo >= math.MinInt16 && hi <= math.MaxInt16:
		out := make([]byte, 0, 2*len(counts))
		for _, n := range counts {
			out = binary.LittleEndian.AppendUint16(out, uint16(n))
		}
		return out
	case lo >= math.MinInt32 && hi <= math.MaxInt32:
		out := make([]byte, 0, 4*len(counts))
		for _, n := range counts {
			out = binary.LittleEndian.AppendUint32(out, uint32(n))
		}
		return out
	}
	out := make([]byte, 0, 8*len(counts))
	for _, n := range counts {
		out = binary.LittleEndian.AppendUint64(out, uint64(n))
	}
	return out
}
