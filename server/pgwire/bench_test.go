package pgwire

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/quipudb/quipu/query"
	"github.com/quipudb/quipu/query/plan"
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

func BenchmarkCopyIn(b *testing.B) {
	var data bytes.Buffer
	const rows = 100_000
	for i := range rows {
		fmt.Fprintf(&data, "country%d\t%d\tt\t%d\n", i%200, i%50, i%7)
	}
	for _, format := range []string{"TEXT", "CSV"} {
		b.Run(format, func(b *testing.B) {
			w := newWorld(b)
			w.o.Writer = sinkhole{w}
			c := w.loopback(b)
			c.ask("CREATE TABLE t (a text, b int8, c bool)")
			text := data.Bytes()
			if format == "CSV" {
				text = bytes.ReplaceAll(text, []byte{'\t'}, []byte{','})
			}
			b.ReportAllocs()
			for b.Loop() {
				c.copyIn("COPY t (a, b, c, count) FROM STDIN "+format, text)
			}
			b.ReportMetric(float64(rows)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
		})
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
