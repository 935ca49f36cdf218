package client

import (
	"math/rand/v2"
	"strings"
	"testing"

	apiv1 "github.com/quipudb/quipu/proto/api/v1"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
)

// randomColumns is a batch of some shape: every width of codes and counts, columns of NULL alone, empty values, one event time or many.
func randomColumns(r *rand.Rand) *columns {
	rows := 1 + r.IntN(4)
	if r.IntN(4) == 0 {
		rows = 1 + r.IntN(70_000)
	}
	c := &columns{}
	for range rows {
		c.counts = append(c.counts, 1)
	}
	if bits := r.IntN(64); r.IntN(2) == 0 {
		for i := range c.counts {
			c.counts[i] = int64(r.Uint64()) >> bits
		}
	}
	switch r.IntN(3) {
	case 0:
		c.event = r.Int64() - r.Int64()
	case 1:
		for range rows {
			c.events = append(c.events, r.Int64()-r.Int64())
		}
	}
	for d := range r.IntN(4) {
		col := column{name: strings.Repeat("d", d+1), codes: make([]uint32, rows)}
		for range r.IntN(min(rows, 1<<r.IntN(17)) + 1) {
			col.values = append(col.values, strings.Repeat("v", r.IntN(3)*r.IntN(100)))
		}
		for i := range col.codes {
			col.codes[i] = uint32(r.IntN(len(col.values) + 1))
		}
		c.dims = append(c.dims, col)
	}
	return c
}

func TestMessageIsTheRequestsInTheirWireForm(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 200 {
		var batch []*request
		var want []*apiv1.WriteRequest
		session, low := r.Uint64()>>r.IntN(64)+1, r.Uint64()>>r.IntN(64)
		if r.IntN(3) == 0 {
			low = 0
		}
		version := uint64(r.IntN(3))
		for range 1 + r.IntN(5) {
			c, seq := randomColumns(r), max(low, low+1+uint64(r.IntN(1000)))
			batch = append(batch, &request{seq: seq, body: c.encode("t")})
			if r.IntN(2) == 0 {
				batch[len(batch)-1].of = new(whole)
			}
			want = append(want, &apiv1.WriteRequest{Id: seq, Stamp: &apiv1.Stamp{Session: session, Seq: seq, AckUpTo: low, MapVersion: version}, Batch: c.wire("t")})
		}
		for len(batch) > 0 {
			m, rest := pack(batch, stamp{session: session, low: low, mapVersion: version})
			first := want[0]
			first.More = want[1 : len(batch)-len(rest)]
			var got apiv1.WriteRequest
			if err := proto.Unmarshal(mem.BufferSlice(m).Materialize(), &got); err != nil {
				t.Fatal(err)
			}
			if !proto.Equal(&got, first) {
				t.Fatalf("got  %v\nwant %v", &got, first)
			}
			batch, want = rest, want[len(batch)-len(rest):]
		}
	}
}

func TestLargeBatchesTravelAlone(t *testing.T) {
	small, large := make([]byte, smallMax), make([]byte, smallMax+1)
	for _, c := range []struct {
		name string
		of   [][]byte
		part bool
		want int
	}{
		{"small ones", [][]byte{small, small, small}, false, 3},
		{"a large one first", [][]byte{large, small}, false, 1},
		{"a large one later", [][]byte{small, small, large, small}, false, 2},
		{"as many as fit", slicesOf(small, 100), false, togetherBytesMax / smallMax},
		{"parts", [][]byte{large, small, large}, true, 3},
	} {
		var batch []*request
		for i, body := range c.of {
			batch = append(batch, &request{seq: uint64(i + 1), body: body})
			if c.part {
				batch[i].of = new(whole)
			}
		}
		if _, rest := pack(batch, stamp{session: 1}); len(batch)-len(rest) != c.want {
			t.Errorf("%s: %d travel together, want %d", c.name, len(batch)-len(rest), c.want)
		}
	}
}

func slicesOf(b []byte, n int) (out [][]byte) {
	for range n {
		out = append(out, b)
	}
	return out
}
