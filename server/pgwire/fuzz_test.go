package pgwire

import (
	"context"
	"io"
	"net"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"
)

// FuzzConversation sends any bytes behind a good startup, and then asks another connection whether the server still answers.
func FuzzConversation(f *testing.F) {
	encode := func(messages ...pgproto3.FrontendMessage) []byte {
		var b []byte
		for _, m := range messages {
			b, _ = m.Encode(b)
		}
		return b
	}
	f.Add(encode(&pgproto3.Query{String: "SELECT 1; BEGIN; INSERT INTO t VALUES ('x', 1); COMMIT"}))
	f.Add(encode(&pgproto3.Query{String: "COPY t FROM STDIN"}, &pgproto3.CopyData{Data: []byte("x\t1\t2\n")}, &pgproto3.CopyDone{}))
	f.Add(encode(&pgproto3.Query{String: "COPY t TO STDOUT (FORMAT binary)"}, &pgproto3.FunctionCall{}, &pgproto3.Terminate{}))
	f.Add(encode(&pgproto3.Parse{Name: "s", Query: "SELECT a, $1::int8 FROM t", ParameterOIDs: []uint32{20}}, &pgproto3.Describe{ObjectType: 'S', Name: "s"},
		&pgproto3.Bind{DestinationPortal: "p", PreparedStatement: "s", ParameterFormatCodes: []int16{1}, Parameters: [][]byte{{0, 0, 0, 0, 0, 0, 0, 1}},
			ResultFormatCodes: []int16{1}}, &pgproto3.Execute{Portal: "p", MaxRows: 1}, &pgproto3.Flush{}, &pgproto3.Close{ObjectType: 'P', Name: "p"}, &pgproto3.Sync{}))
	w := newWorld(f)
	w.o.BlockTimeout, w.o.IdleTimeout = time.Second, time.Second
	s, err := New(w.o)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { s.Shutdown(context.Background()) })
	first := w.dial(s)
	first.ready()
	first.ask("CREATE TABLE t (a text, b int8); INSERT INTO t VALUES ('x', 1), ('y', 2)")
	startup, _ := (&pgproto3.StartupMessage{ProtocolVersion: pgproto3.ProtocolVersion30, Parameters: map[string]string{"user": "ada"}}).Encode(nil)
	f.Fuzz(func(t *testing.T, data []byte) {
		ours, theirs := net.Pipe()
		s.ServeConn(theirs)
		go func() {
			ours.Write(append(append([]byte{}, startup...), data...))
			ours.Write(encode(&pgproto3.Sync{}, &pgproto3.Terminate{}))
			ours.SetReadDeadline(time.Now()) // the rest is of no interest
		}()
		io.Copy(io.Discard, ours)
		ours.Close()
		c := (&world{tb: t}).dial(s) // what f is good for ends where the target begins
		c.ready()
		if got := c.ask("SELECT 1"); len(got) == 0 || got[len(got)-1] != 'I' {
			t.Errorf("another connection is answered %s", got)
		}
		c.net.Close()
	})
}
