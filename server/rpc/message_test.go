package rpc

import (
	"testing"

	apiv1 "github.com/quipudb/quipu/proto/api/v1"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
)

// row is a request as the SDK sends it.
func row(seq uint64, change func(*apiv1.WriteRequest)) *apiv1.WriteRequest {
	r := &apiv1.WriteRequest{Id: seq, Stamp: &apiv1.Stamp{Session: 1 << 40, Seq: seq, AckUpTo: seq / 2},
		Batch: &apiv1.Batch{Table: "t", Rows: 1, EventTimeMs: -5, Measures: 1, Columns: []*apiv1.Column{
			{Name: "a", Values: []byte("é"), Lengths: []uint32{2}, Codes: []byte{1}}, {Name: "b", Codes: []byte{0}},
		}}}
	if change != nil {
		change(r)
	}
	return r
}

func encoded(t testing.TB, first *apiv1.WriteRequest, more ...*apiv1.WriteRequest) []byte {
	first.More = more
	b, err := proto.Marshal(first)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestCommonMessagesAreDecodedByHand(t *testing.T) {
	for name, change := range map[string]func(*apiv1.WriteRequest){
		"as the SDK sends it": nil,
		"a count":             func(r *apiv1.WriteRequest) { r.Batch.Counts = []byte{200} },
		"no stamp":            func(r *apiv1.WriteRequest) { r.Stamp = nil },
		"map version":         func(r *apiv1.WriteRequest) { r.Stamp.MapVersion = 9 },
		"no columns":          func(r *apiv1.WriteRequest) { r.Batch.Columns = nil },
	} {
		b := encoded(t, row(1, nil), row(2, change), row(1<<50, change))
		if got := decodeRequests(b, countRequests(b)); len(got) != 3 {
			t.Errorf("%s: %d requests", name, len(got))
		}
	}
	for name, change := range map[string]func(*apiv1.WriteRequest){
		"two rows":   func(r *apiv1.WriteRequest) { r.Batch.Rows = 2 },
		"a key":      func(r *apiv1.WriteRequest) { r.IdempotencyKey = "k" },
		"no batch":   func(r *apiv1.WriteRequest) { r.Batch = nil },
		"a database": func(r *apiv1.WriteRequest) { r.Batch.Database = "d" },
		"more":       func(r *apiv1.WriteRequest) { r.More = []*apiv1.WriteRequest{row(7, nil)} },
	} {
		b := encoded(t, row(1, nil), row(2, change))
		if got := decodeRequests(b, countRequests(b)); got != nil {
			t.Errorf("%s: taken for a common message", name)
		}
	}
}

// FuzzMessage holds the decoding by hand to protobuf's: whatever it takes on means the same.
func FuzzMessage(f *testing.F) {
	f.Add(encoded(f, row(1, nil)))
	f.Add(encoded(f, row(1, nil), row(2, nil), row(3, func(r *apiv1.WriteRequest) { r.Batch.Counts = []byte{1, 2} })))
	f.Add(encoded(f, row(1, func(r *apiv1.WriteRequest) { r.Batch.Columns[0].Lengths = []uint32{1, 1} }), row(2, nil)))
	f.Add(encoded(f, row(1, func(r *apiv1.WriteRequest) { r.Batch.Columns[1].Name = "a" })))
	f.Add([]byte{0x22, 0x02, 0x30, 0x01, 0x22, 0x02, 0x30, 0x01}) // the batch twice
	f.Add([]byte{0x22, 0x07, 0x1a, 0x01, 0xff, 0x30, 0x01, 0x42, 0x00})
	f.Fuzz(func(t *testing.T, b []byte) {
		n := countRequests(b)
		if n == 0 || n > fastRequestsMax {
			return
		}
		got := decodeRequests(b, n)
		if got == nil {
			return
		}
		var want apiv1.WriteRequest
		if err := proto.Unmarshal(b, &want); err != nil {
			t.Fatalf("%v: decoded by hand as %v", err, got)
		}
		if len(got) != 1+len(want.More) {
			t.Fatalf("%d requests, want %d", len(got), 1+len(want.More))
		}
		more := want.More
		want.More = nil
		for i, w := range append([]*apiv1.WriteRequest{&want}, more...) {
			if !proto.Equal(got[i], w) {
				t.Fatalf("request %d: %v, want %v", i, got[i], w)
			}
		}
	})
}

func TestOtherMessagesAreDecodedAsWell(t *testing.T) {
	large := row(2, func(r *apiv1.WriteRequest) { r.Batch.Rows, r.Batch.Counts = 2, []byte{1, 2} })
	var m message
	if err := newCodec().Unmarshal(mem.BufferSlice{mem.SliceBuffer(encoded(t, row(1, nil), large))}, &m); err != nil {
		t.Fatal(err)
	}
	if len(m.requests) != 2 || m.requests[0].More != nil || m.requests[1].Batch.Rows != 2 || m.size == 0 {
		t.Errorf("%d requests, %d bytes", len(m.requests), m.size)
	}
	if err := newCodec().Unmarshal(mem.BufferSlice{mem.SliceBuffer([]byte{0x22, 0xff})}, &m); err == nil {
		t.Error("a message that is cut off was taken")
	}
}
