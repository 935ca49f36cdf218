package rpc

import (
	"bytes"
	"unicode/utf8"

	apiv1 "github.com/quipudb/quipu/proto/api/v1"
	"google.golang.org/grpc/encoding"
	grpcproto "google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// message is one message of a write stream as it was received: a request and those that came with it.
type message struct {
	size     int
	requests []*apiv1.WriteRequest // their More is taken out, but for what does not belong there
}

// codec decodes messages by hand where they consist of small requests, as the SDK puts them together: reflection and an allocation for
// every field would cost more than all else that the node does for such a request. Everything else is protobuf's.
type codec struct{ encoding.CodecV2 }

func newCodec() codec { return codec{encoding.GetCodecV2(grpcproto.Name)} }

// Unmarshal decodes what came into v.
func (c codec) Unmarshal(data mem.BufferSlice, v any) error {
	m, ok := v.(*message)
	if !ok {
		return c.CodecV2.Unmarshal(data, v)
	}
	buf := data.MaterializeToBuffer(mem.DefaultBufferPool())
	defer buf.Free()
	b := buf.ReadOnlyData()
	m.size = len(b)
	if n := countRequests(b); n > 0 && n <= fastRequestsMax && len(b) <= n*fastBytesMax {
		if m.requests = decodeRequests(bytes.Clone(b), n); m.requests != nil {
			return nil
		}
	}
	first := new(apiv1.WriteRequest)
	if err := proto.Unmarshal(b, first); err != nil {
		return err
	}
	m.requests = append(make([]*apiv1.WriteRequest, 0, 1+len(first.More)), first)
	m.requests = append(m.requests, first.More...)
	first.More = nil
	return nil
}

// Bounds of a message that is decoded by hand. The memory of one is let go when the last of its requests is answered.
const (
	fastBytesMax    = 1 << 10 // of a request, on average
	fastRequestsMax = 256
	fastColumns     = 8 // of a request
)

// countRequests is the number of requests in a message, or 0 if it is damaged.
func countRequests(b []byte) int {
	n := 1
	for len(b) > 0 {
		field, _, size := protowire.ConsumeField(b)
		if size < 0 {
			return 0
		}
		if field == 5 {
			n++
		}
		b = b[size:]
	}
	return n
}

// fastRequest is the memory of one request.
type fastRequest struct {
	request  apiv1.WriteRequest
	stamp    apiv1.Stamp
	batch    apiv1.Batch
	columns  [fastColumns]apiv1.Column
	pointers [fastColumns]*apiv1.Column
	lengths  [fastColumns]uint32
}

// decodeRequests decodes the n requests of a message, which then stand on b. Nil means that they are not of the common form, which is not
// to say that they are wrong: every field once, known and of its usual wire type, one row each, no idempotency key.
func decodeRequests(b []byte, n int) []*apiv1.WriteRequest {
	d := fastDecoder{memory: make([]fastRequest, n), requests: make([]*apiv1.WriteRequest, 1, n)}
	d.requests[0] = &d.memory[0].request
	if !d.request(b, &d.memory[0]) {
		return nil
	}
	return d.requests
}

type fastDecoder struct {
	memory   []fastRequest
	requests []*apiv1.WriteRequest
	names    []string // seen before; most requests of a message name the same table and columns
}

// name is b as a string, without an allocation if it was seen before.
func (d *fastDecoder) name(b []byte) (string, bool) {
	for _, s := range d.names {
		if s == string(b) {
			return s, true
		}
	}
	if !utf8.Valid(b) {
		return "", false
	}
	s := string(b)
	if len(d.names) < 2*fastColumns {
		d.names = append(d.names, s)
	}
	return s, true
}

// fields calls f for each field of b, a varint or bytes; each number may stand once, but for the one that may repeat.
func fields(b []byte, repeated protowire.Number, f func(n protowire.Number, v uint64, text []byte) bool) bool {
	seen := uint32(0)
	for len(b) > 0 {
		n, kind, size := protowire.ConsumeTag(b)
		if size < 0 || n > 31 || n != repeated && seen&(1<<n) != 0 {
			return false
		}
		seen |= 1 << n
		b = b[size:]
		var v uint64
		var text []byte
		switch kind {
		case protowire.VarintType:
			v, size = protowire.ConsumeVarint(b)
		case protowire.BytesType:
			if text, size = protowire.ConsumeBytes(b); text == nil {
				return false
			}
		default:
			return false
		}
		if size < 0 || !f(n, v, text) {
			return false
		}
		b = b[size:]
	}
	return true
}

func (d *fastDecoder) request(b []byte, m *fastRequest) bool {
	first := m == &d.memory[0]
	return fields(b, 5, func(n protowire.Number, v uint64, text []byte) bool {
		switch {
		case n == 1 && text == nil:
			m.request.Id = v
			return true
		case n == 2 && text != nil:
			m.request.Stamp = &m.stamp
			return decodeStamp(text, &m.stamp)
		case n == 4 && text != nil:
			m.request.Batch = &m.batch
			return d.batch(text, m)
		case n == 5 && text != nil && first:
			other := &d.memory[len(d.requests)]
			d.requests = append(d.requests, &other.request)
			return d.request(text, other)
		}
		return false
	}) && m.request.Batch != nil
}

func decodeStamp(b []byte, s *apiv1.Stamp) bool {
	return fields(b, 0, func(n protowire.Number, v uint64, text []byte) bool {
		if text != nil {
			return false
		}
		switch n {
		case 1:
			s.Session = v
		case 2:
			s.Seq = v
		case 3:
			s.AckUpTo = v
		case 4:
			s.MapVersion = v
		default:
			return false
		}
		return true
	})
}

func (d *fastDecoder) batch(b []byte, m *fastRequest) bool {
	columns, lengths := m.pointers[:0], m.lengths[:0]
	ok := fields(b, 7, func(n protowire.Number, v uint64, text []byte) (ok bool) {
		if n == 7 && text != nil && len(columns) < fastColumns {
			column := &m.columns[len(columns)]
			columns = append(columns, column)
			lengths, ok = d.column(text, column, lengths)
			return ok
		}
		switch {
		case n == 3 && text != nil:
			m.batch.Table, ok = d.name(text)
			return ok
		case n == 8 && text != nil:
			m.batch.Counts = text
		case text != nil:
			return false
		case n == 6:
			m.batch.Rows = uint32(v)
		case n == 9:
			m.batch.EventTimeMs = protowire.DecodeZigZag(v)
		case n == 11:
			m.batch.Measures = uint32(v)
		default:
			return false
		}
		return true
	})
	m.batch.Columns = columns
	return ok && m.batch.Rows == 1
}

// column decodes c. Its lengths are appended to those of the columns before.
func (d *fastDecoder) column(b []byte, c *apiv1.Column, lengths []uint32) (_ []uint32, ok bool) {
	from := len(lengths)
	ok = fields(b, 0, func(n protowire.Number, _ uint64, text []byte) (ok bool) {
		if text == nil {
			return false
		}
		switch n {
		case 1:
			c.Name, ok = d.name(text)
			return ok
		case 2:
			c.Values = text
		case 3:
			for len(text) > 0 {
				v, size := protowire.ConsumeVarint(text)
				if size < 0 || len(lengths) == fastColumns {
					return false
				}
				lengths, text = append(lengths, uint32(v)), text[size:]
			}
			c.Lengths = lengths[from:len(lengths):len(lengths)]
		case 4:
			c.Codes = text
		default:
			return false
		}
		return true
	})
	return lengths, ok
}
