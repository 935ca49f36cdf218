package server

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/quipudb/quipu/server/router"
	"github.com/quipudb/quipu/storage/schema"
)

// zipfBatches are batches of observations, added up by cell as the SDK does: 20,000 cells over four dimensions, Zipf 1.1.
func zipfBatches(observations, n int) []*router.Batch {
	r := rand.New(rand.NewPCG(1, 2))
	z := rand.NewZipf(r, 1.1, 1, 19_999)
	sizes := [4]uint64{10, 10, 10, 20}
	batches := make([]*router.Batch, n)
	for i := range batches {
		counts := map[uint64]int64{}
		for range observations {
			counts[z.Uint64()]++
		}
		b := &router.Batch{Principal: "local", Table: schema.Name{Table: "cells"}}
		for d, size := range sizes {
			dict := []schema.Value{schema.Null}
			for v := range size {
				dict = append(dict, schema.V(fmt.Sprint("value ", v)))
			}
			b.Dims = append(b.Dims, router.Column{Name: fmt.Sprint("d", d), Dict: dict})
		}
		for cell, count := range counts {
			for d, size := range sizes {
				b.Dims[d].Codes = append(b.Dims[d].Codes, uint32(cell%size)+1)
				cell /= size
			}
			b.Counts = append(b.Counts, count)
		}
		batches[i] = b
	}
	return batches
}

// BenchmarkIngest measures observations a second through a whole node on disk, 64 batches in flight.
func BenchmarkIngest(b *testing.B) {
	for _, size := range []int{1_000, 10_000} {
		b.Run(fmt.Sprintf("batch=%d", size), func(b *testing.B) {
			n := start(b, b.TempDir())
			defer stopNode(b, n)
			t := &schema.Table{Name: schema.Name{Table: "cells"}, PartitionBy: []int{0, 1, 2, 3}}
			for d := range 4 {
				t.Dims = append(t.Dims, schema.Dimension{Name: fmt.Sprint("d", d), Type: schema.Text, Default: schema.Null})
			}
			if _, err := n.CreateTable(b.Context(), "local", t, false); err != nil {
				b.Fatal(err)
			}
			batches := zipfBatches(size, 64)
			b.ResetTimer()
			var next atomic.Int64
			var wg sync.WaitGroup
			for range 64 {
				wg.Go(func() {
					for i := next.Add(1); i <= int64(b.N); i = next.Add(1) {
						res, err := n.Write(b.Context(), batches[i%64])
						if err != nil || len(res.Refused) > 0 {
							b.Errorf("%+v, %v", res, err)
							return
						}
					}
				})
			}
			wg.Wait()
			b.ReportMetric(float64(size)*float64(b.N)/b.Elapsed().Seconds(), "obs/s")
		})
	}
}

// asking is a connection whose client asks the same again each time it has its answer, left times in all. Nothing leaves the process, so that
// what is measured is the node's part of a round trip.
type asking struct {
	net.Conn
	unread []byte // of the present question; at first the greeting
	next   []byte // question
	left   int
	got    []byte // the last answer
	done   chan struct{}
}

func (a *asking) Read(b []byte) (int, error) {
	if len(a.unread) == 0 {
		if a.left--; a.left < 0 {
			return 0, io.EOF
		}
		a.unread = a.next
	}
	n := copy(b, a.unread)
	a.unread = a.unread[n:]
	return n, nil
}

func (a *asking) Write(b []byte) (int, error) {
	a.got = append(a.got[:0], b...)
	return len(b), nil
}

func (a *asking) Close() error                   { close(a.done); return nil }
func (*asking) SetDeadline(time.Time) error      { return nil }
func (*asking) SetReadDeadline(time.Time) error  { return nil }
func (*asking) SetWriteDeadline(time.Time) error { return nil }
func (*asking) RemoteAddr() net.Addr             { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} }
func (*asking) encode(tb testing.TB, messages ...pgproto3.FrontendMessage) (b []byte) {
	for _, m := range messages {
		var err error
		if b, err = m.Encode(b); err != nil {
			tb.Fatal(err)
		}
	}
	return b
}

// BenchmarkWire measures the work of a whole node for a query of PostgreSQL's protocol, from the bytes of the question to those of the answer.
func BenchmarkWire(b *testing.B) {
	n := start(b, b.TempDir())
	defer stopNode(b, n)
	s, err := n.openWire(nil)
	if err != nil {
		b.Fatal(err)
	}
	defer s.Shutdown(b.Context())
	hello := &pgproto3.StartupMessage{ProtocolVersion: pgproto3.ProtocolVersion30, Parameters: map[string]string{"user": "bench", "application_name": "bench"}}
	ask := func(b *testing.B, times int, prepare string, next ...pgproto3.FrontendMessage) {
		a := &asking{left: times, done: make(chan struct{})}
		a.unread = a.encode(b, hello)
		if a.next = a.encode(b, next...); prepare != "" {
			a.unread = append(a.unread, a.encode(b, &pgproto3.Parse{Name: "s", Query: prepare}, &pgproto3.Sync{})...)
		}
		s.ServeConn(a)
		<-a.done
		if i := len(a.got) - 6; i < 0 || a.got[i] != 'Z' || a.got[0] == 'E' {
			b.Fatalf("the last answer is %q", a.got)
		}
	}
	ask(b, 1, "", &pgproto3.Query{String: "CREATE TABLE small (x text, y text) WITH (partition_by = '')"})
	ask(b, 1, "", &pgproto3.Query{String: "INSERT INTO small VALUES ('a', '1', 100), ('a', '2', 107), ('b', '1', 128), ('b', '2', 163), ('c', '1', 212)"})
	kept := []pgproto3.FrontendMessage{&pgproto3.Bind{PreparedStatement: "s", Parameters: [][]byte{[]byte("b")}}, &pgproto3.Describe{ObjectType: 'P'},
		&pgproto3.Execute{}, &pgproto3.Sync{}}
	for _, c := range []struct {
		name, prepare string
		next          []pgproto3.FrontendMessage
	}{
		{"simple/one", "", []pgproto3.FrontendMessage{&pgproto3.Query{String: "SELECT 1"}}},
		{"simple/sum", "", []pgproto3.FrontendMessage{&pgproto3.Query{String: "SELECT sum(count) FROM small WHERE x = 'b'"}}},
		{"kept/one", "SELECT $1::text", kept},
		{"kept/sum", "SELECT sum(count)::int8 FROM small WHERE x = $1", kept},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			b.ResetTimer()
			ask(b, b.N, c.prepare, c.next...)
		})
	}
}
