package pgwire

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"net"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/quipudb/quipu/query"
	"github.com/quipudb/quipu/query/plan"
	"github.com/quipudb/quipu/storage/schema"
)

// copyIn runs a COPY FROM STDIN with data in messages of 64 KiB.
func (c *client) copyIn(text string, data []byte) string {
	c.put(&pgproto3.Query{String: text})
	c.until("CopyIn")
	var m []pgproto3.FrontendMessage
	for len(data) > 0 {
		n := min(len(data), 64<<10)
		m, data = append(m, &pgproto3.CopyData{Data: data[:n]}), data[n:]
	}
	c.put(append(m, &pgproto3.CopyDone{})...)
	return c.ready()
}

// sinkhole counts nothing, so that a benchmark sees this package alone.
type sinkhole struct{ *world }

func (sinkhole) Insert(context.Context, string, *query.Batch) (string, error) { return "0:1", nil }

// discardConn takes everything.
type discardConn struct{ net.Conn }

func (discardConn) Write(b []byte) (int, error)      { return len(b), nil }
func (discardConn) SetWriteDeadline(time.Time) error { return nil }

var benchColumns = []plan.Column{{Name: "a", Type: plan.Text}, {Name: "n", Type: plan.Int8}, {Name: "x", Type: plan.Float8}, {Name: "ts", Type: plan.Timestamptz}}

func benchRow() []plan.Value {
	return []plan.Value{plan.TextValue("germany"), plan.IntValue(123456), plan.FloatValue(0.1), plan.TimeValue(epoch)}
}

// TestRowsDoNotAllocate holds both ways of sending rows to no allocation a row.
func TestRowsDoNotAllocate(t *testing.T) {
	s := newWorld(t).serve()
	c := newConn(s, discardConn{})
	row := benchRow()
	r := &result{c: c, describe: true}
	if err := r.Columns(benchColumns); err != nil {
		t.Fatal(err)
	}
	o := &copySink{c: c, f: copyFormat{delimiter: '\t', null: `\N`}}
	if err := o.Columns(benchColumns); err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(10_000, func() { r.Row(row); o.Row(row) }); n != 0 {
		t.Errorf("%v allocations a row", n)
	}
}

func BenchmarkRow(b *testing.B) {
	c := newConn(newWorld(b).serve(), discardConn{})
	for _, inBinary := range []bool{false, true} {
		b.Run(fmt.Sprint("binary=", inBinary), func(b *testing.B) {
			r := &result{c: c, describe: true, binary: []bool{inBinary, inBinary, inBinary, inBinary}}
			r.Columns(benchColumns)
			row := benchRow()
			b.ReportAllocs()
			for b.Loop() {
				r.Row(row)
			}
		})
	}
}

// copySample is lines of four columns: cells drawn by Zipf's law or evenly, or none twice.
func copySample(rows int, kind string) []byte {
	const cells, side = 20_000, 12 // 12⁴ is more
	r := rand.New(rand.NewPCG(7, 11))
	perm, zipf := r.Perm(cells), rand.NewZipf(r, 1.1, 1, cells-1)
	var data []byte
	for i := range rows {
		cell := perm[i%cells]
		switch kind {
		case "zipf":
			cell = perm[zipf.Uint64()]
		case "even":
			cell = perm[r.IntN(cells)]
		}
		data = fmt.Appendf(data, "v%d,v%d,v%d,v%d", cell/(side*side*side), cell/(side*side)%side, cell/side%side, cell%side)
		if kind == "distinct" {
			data = fmt.Appendf(data, ".%d", i/cells)
		}
		data = append(data, '\n')
	}
	return data
}

// BenchmarkCopyIn sends CSV over TCP and counts nothing.
func BenchmarkCopyIn(b *testing.B) {
	const rows = 1 << 18
	for _, kind := range []string{"zipf", "even", "distinct"} {
		data := copySample(rows, kind)
		for _, format := range []string{"TEXT", "CSV"} {
			b.Run(kind+"/"+format, func(b *testing.B) {
				w := newWorld(b)
				w.o.Writer = sinkhole{w}
				c := w.loopback(b)
				c.ask("CREATE TABLE t (a text, b text, c text, d text)")
				text := data
				if format == "TEXT" {
					text = bytes.ReplaceAll(data, []byte{','}, []byte{'\t'})
				}
				b.ReportAllocs()
				for b.Loop() {
					c.copyIn("COPY t (a, b, c, d) FROM STDIN "+format, text)
				}
				b.ReportMetric(float64(rows)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
			})
		}
	}
}

// BenchmarkCopyRows reads the same rows from memory, with the look-up of lines and without it.
func BenchmarkCopyRows(b *testing.B) {
	const rows, chunk = 1 << 20, 64 << 10
	in := &plan.Insert{Table: &schema.Table{ID: 1, Version: 1}}
	for d := range 4 {
		in.Table.Dims = append(in.Table.Dims, schema.Dimension{Name: fmt.Sprint("d", d)})
		in.Targets = append(in.Targets, d)
	}
	f := copyFormat{kind: copyCSV, delimiter: ',', quote: '"', escape: '"'}
	for _, kind := range []string{"zipf", "even", "distinct"} {
		data := copySample(rows, kind)
		for _, looking := range []bool{true, false} {
			b.Run(fmt.Sprintf("%s/looking=%v", kind, looking), func(b *testing.B) {
				b.ReportAllocs()
				sent := 0
				for b.Loop() {
					batch := newRowBatch(in)
					r := newLines(f, batch)
					if !looking {
						r.rest = math.MaxInt
					}
					take := func() { sent += len(batch.take().Counts) }
					if err := feed(r, data, func(int) int { return chunk }, take); err != nil {
						b.Fatal(err)
					}
					take()
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/rows, "ns/row")
				b.ReportMetric(float64(sent)/float64(b.N), "cells")
			})
		}
	}
}

// loopback connects over TCP.
func (w *world) loopback(tb testing.TB) *client {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	s := w.serve()
	go s.Serve(l)
	nc, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { nc.Close() })
	c := &client{tb, nc, pgproto3.NewFrontend(nc, nc)}
	c.put(&pgproto3.StartupMessage{ProtocolVersion: pgproto3.ProtocolVersion30, Parameters: map[string]string{"user": "ada"}})
	c.ready()
	return c
}

func BenchmarkQuery(b *testing.B) {
	w := newWorld(b)
	c := w.loopback(b)
	c.ask("CREATE TABLE t (a text, b int8); INSERT INTO t VALUES ('x', 1), ('y', 2)")
	for _, text := range []string{"SELECT 1", "SELECT sum(count) FROM t"} {
		b.Run(text, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				c.ask(text)
			}
		})
	}
	b.Run("prepared", func(b *testing.B) {
		c.put(&pgproto3.Parse{Name: "s", Query: "SELECT sum(count) FROM t WHERE b = $1"}, &pgproto3.Sync{})
		c.ready()
		b.ReportAllocs()
		for b.Loop() {
			c.put(&pgproto3.Bind{PreparedStatement: "s", Parameters: [][]byte{[]byte("1")}}, &pgproto3.Execute{}, &pgproto3.Sync{})
			c.ready()
		}
	})
}
