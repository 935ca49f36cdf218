package pgwire

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/quipudb/quipu/query"
	"github.com/quipudb/quipu/server/errcode"
)

// keyData reads the greeting and gives what a cancel request needs.
func (c *client) keyData() *pgproto3.BackendKeyData {
	var key pgproto3.BackendKeyData
	for {
		m, err := c.Receive()
		if err != nil {
			c.tb.Fatal(err)
		}
		switch m := m.(type) {
		case *pgproto3.BackendKeyData:
			key = pgproto3.BackendKeyData{ProcessID: m.ProcessID, SecretKey: bytes.Clone(m.SecretKey)}
		case *pgproto3.ReadyForQuery:
			return &key
		}
	}
}

// stalled makes reads of w wait for the end of their context, and tells when one has begun.
func (w *world) stalled() <-chan struct{} {
	begun := make(chan struct{}, 8)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.reading = func(ctx context.Context, _ query.Read) error {
		begun <- struct{}{}
		<-ctx.Done()
		return ctx.Err()
	}
	return begun
}

func (w *world) cancel(s *Server, id uint32, key []byte) {
	ours, theirs := net.Pipe()
	s.ServeConn(theirs)
	buf, _ := (&pgproto3.CancelRequest{ProcessID: id, SecretKey: key}).Encode(nil)
	ours.Write(buf)
	ours.Close()
}

func TestCancel(t *testing.T) {
	w := newWorld(t)
	s := w.serve()
	c := w.dial(s)
	k := c.keyData()
	c.ask("CREATE TABLE t (a text)")
	begun := w.stalled()
	c.put(&pgproto3.Query{String: "SELECT a FROM t"})
	<-begun
	w.cancel(s, k.ProcessID, []byte("nope")) // of no effect
	w.cancel(s, k.ProcessID, k.SecretKey)
	if got := c.ready(); got != "Error ERROR 57014 \"canceling statement due to user request\"\nReadyForQuery I" {
		t.Error(got)
	}
	c.put(&pgproto3.Query{String: "COPY t FROM STDIN"})
	c.until("CopyIn")
	w.cancel(s, k.ProcessID, k.SecretKey) // while the server waits for data
	if got := c.ready(); !strings.HasPrefix(got, "Error ERROR 57014") {
		t.Error(got)
	}
	c.put(&pgproto3.CopyData{Data: []byte("late\n")}, &pgproto3.CopyDone{})
	if got := c.ask("SELECT 1"); !strings.Contains(got, `DataRow "1"`) {
		t.Error(got)
	}
}

// TestCancelBeforeWaiting cancels a COPY that has asked for data and does not wait for it yet.
func TestCancelBeforeWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		defer ours.Close()
		c := newConn(newWorld(t).serve(), theirs)
		defer c.close()
		c.in, c.arrivals.served = pgproto3.NewBackend(&c.arrivals, nil), true
		began := time.Now()
		err := c.during(func(ctx context.Context) error {
			c.interrupt(errUserCancel)
			_, _, err := c.copyMessage(ctx)
			return err
		})
		if waited := time.Since(began); err != errUserCancel || waited != 0 {
			t.Errorf("%v after %v", err, waited)
		}
		go (&client{t, ours, nil}).put(&pgproto3.Sync{})
		if m, err := c.receive(); err != nil { // the next message is waited for as ever
			t.Errorf("%T, %v", m, err)
		}
	})
}

func TestIdleTimeouts(t *testing.T) {
	for name, tc := range map[string]struct {
		ask   string
		after time.Duration
		want  string
	}{
		"idle":           {"SELECT 1", 5 * time.Minute, "FATAL 57P05"},
		"inside a block": {"BEGIN", time.Minute, "FATAL 25P03"},
		"failed block":   {"BEGIN; SELECT nope", time.Minute, "FATAL 25P03"},
		"set shorter":    {"SET idle_in_transaction_session_timeout = '5s'; BEGIN", 5 * time.Second, "FATAL 25P03"},
		"set longer":     {"SET idle_in_transaction_session_timeout = '1h'; BEGIN", time.Minute, "FATAL 25P03"},
		"idle, set":      {"SET idle_session_timeout = 1500", 1500 * time.Millisecond, "FATAL 57P05"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.o.IdleTimeout = 5 * time.Minute
				c := w.dial(w.serve())
				c.ready()
				c.ask(tc.ask)
				began := time.Now()
				if got := strings.Join(c.until("closed"), " "); !strings.Contains(got, tc.want) || time.Since(began) != tc.after {
					t.Errorf("after %v: %s", time.Since(began), got)
				}
			})
		})
	}
}

// TestIdleTimeAfterBlock holds the time that a client may be idle to that of the present state, also when a shorter one ran before.
func TestIdleTimeAfterBlock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.o.IdleTimeout = 5 * time.Minute
		c := w.dial(w.serve())
		c.ready()
		c.ask("BEGIN")
		time.Sleep(50 * time.Second)
		c.ask("COMMIT")
		began := time.Now()
		time.Sleep(4 * time.Minute)
		if got := c.ask("SELECT 1"); !strings.Contains(got, "SELECT 1") {
			t.Fatalf("after four minutes: %s", got)
		}
		if got := strings.Join(c.until("closed"), " "); !strings.Contains(got, "57P05") || time.Since(began) != 9*time.Minute {
			t.Errorf("after %v: %s", time.Since(began), got)
		}
	})
}

// TestKeptSnapshot reads in a read-only block what was there at its first read, for a minute.
func TestKeptSnapshot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.serve()
		c, other := w.dial(s), w.dial(s)
		c.ready()
		other.ready()
		other.ask("CREATE TABLE t (a text); INSERT INTO t VALUES ('x')")
		c.ask("BEGIN READ ONLY")
		read := func(want string) {
			t.Helper()
			if got := c.ask("SELECT sum(count) FROM t"); !strings.Contains(got, want) {
				t.Errorf("no %s in\n%s", want, got)
			}
		}
		read(`DataRow "1"`)
		other.ask("INSERT INTO t VALUES ('x')")
		time.Sleep(40 * time.Second)
		read(`DataRow "1"`)
		time.Sleep(30 * time.Second)
		read("ERROR 25P03")
		read("ERROR 25P02")
		c.ask("ROLLBACK")
		read(`DataRow "2"`)
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.open != 0 {
			t.Errorf("%d snapshots were not released", w.open)
		}
	})
}

// TestUnknownOutcome answers 40003 where rows may have been counted, and with the refusal where it is known that they were not.
func TestUnknownOutcome(t *testing.T) {
	for name, tc := range map[string]struct {
		refuse func(context.Context, *query.Batch) error
		want   string
	}{
		"refused": {func(context.Context, *query.Batch) error { return errcode.New(errcode.Busy, "full") }, "ERROR 53300"},
		"silence": {func(ctx context.Context, _ *query.Batch) error { <-ctx.Done(); return ctx.Err() }, "ERROR 40003"},
		"lost":    {func(context.Context, *query.Batch) error { return errcode.New(errcode.Unavailable, "no leader") }, "ERROR 40003"},
	} {
		for _, text := range []string{"INSERT INTO t VALUES ('x')", "BEGIN; INSERT INTO t VALUES ('x'); COMMIT"} {
			t.Run(name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t)
					c := w.dial(w.serve())
					c.ready()
					c.ask("CREATE TABLE t (a text)")
					w.refuse = tc.refuse
					got := c.ask(text)
					if !strings.Contains(got, tc.want) || !strings.HasSuffix(got, "ReadyForQuery I") || strings.Contains(got, "CommandComplete COMMIT") {
						t.Error(got)
					}
					if strings.HasPrefix(text, "INSERT") && strings.Contains(got, "CommandComplete") {
						t.Error("a row that was not counted was acknowledged:", got)
					}
				})
			})
		}
	}
}

// TestPipelineIsOneRequest sends a hundred INSERTs up to one Sync.
func TestPipelineIsOneRequest(t *testing.T) {
	w := newWorld(t)
	c := w.dial(w.serve())
	c.ready()
	c.ask("CREATE TABLE t (a text, b int8)")
	c.put(&pgproto3.Parse{Name: "i", Query: "INSERT INTO t VALUES ($1, $2)"}, &pgproto3.Sync{})
	c.ready()
	var m []pgproto3.FrontendMessage
	for i := range 100 {
		m = append(m, &pgproto3.Bind{PreparedStatement: "i", Parameters: [][]byte{fmt.Appendf(nil, "v%d", i%7), fmt.Append(nil, i%3)}}, &pgproto3.Execute{})
	}
	c.put(append(m, &pgproto3.Sync{})...)
	if got := c.ready(); strings.Count(got, "INSERT 0 1") != 100 {
		t.Error(got)
	}
	if w.inserts != 1 {
		t.Errorf("%d requests", w.inserts)
	}
	if got := c.ask("SELECT sum(count), count(*) FROM t"); !strings.Contains(got, `DataRow "100" "21"`) {
		t.Error(got)
	}
}

// TestClientThatDoesNotRead asks for more than a pipe holds and goes away without a word.
func TestClientThatDoesNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.serve()
		c := w.dial(s)
		c.ready()
		c.put(&pgproto3.Query{String: "SELECT * FROM generate_series(1, 100000)"})
		began := time.Now()
		s.mu.Lock()
		watched := s.conns[1]
		s.mu.Unlock()
		time.Sleep(time.Hour)
		s.mu.Lock()
		defer s.mu.Unlock()
		if len(s.conns) != 0 || watched.out.err == nil {
			t.Errorf("after %v the connection still waits", time.Since(began))
		}
	})
}

func TestShutdown(t *testing.T) {
	w := newWorld(t)
	s, err := New(w.o)
	if err != nil {
		t.Fatal(err)
	}
	idle, busy := w.dial(s), w.dial(s)
	idle.ready()
	busy.ready()
	busy.ask("CREATE TABLE t (a text)")
	begun := w.stalled()
	busy.put(&pgproto3.Query{String: "SELECT a FROM t"})
	<-begun
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- s.Shutdown(ctx) }()
	if got := strings.Join(idle.until("closed"), " "); !strings.Contains(got, "FATAL 57P01") {
		t.Error("idle:", got)
	}
	cancel()
	if got := strings.Join(busy.until("closed"), " "); strings.Contains(got, "CommandComplete") {
		t.Error("busy:", got)
	}
	if err := <-done; err != context.Canceled {
		t.Error(err)
	}
}

func TestTooManyConnections(t *testing.T) {
	w := newWorld(t)
	w.o.ConnectionsMax = 2
	s := w.serve()
	a, b := w.dial(s), w.dial(s)
	a.ready()
	b.ready()
	if got := strings.Join(w.dial(s).until("closed"), " "); !strings.Contains(got, "FATAL 53300") {
		t.Error(got)
	}
	a.put(&pgproto3.Terminate{})
	a.until("closed")
	for { // the place is free when the server has noticed
		if got := w.dial(s).until("ReadyForQuery"); got[len(got)-1] == "ReadyForQuery I" {
			return
		}
	}
}

func TestBounds(t *testing.T) {
	w := newWorld(t)
	s := w.serve()
	c := w.dial(s)
	c.ready()
	head := binary.BigEndian.AppendUint32([]byte{'Q'}, messageBytesMax+5)
	go c.net.Write(head)
	if got := strings.Join(c.until("closed"), " "); !strings.Contains(got, "FATAL 54000") {
		t.Error("a long message:", got)
	}
	c = w.dial(s)
	c.ready()
	go c.net.Write([]byte("?\x00\x00\x00\x04"))
	if got := strings.Join(c.until("closed"), " "); !strings.Contains(got, "FATAL 08P01") {
		t.Error("an unknown message:", got)
	}
	c = w.dial(s)
	c.ready()
	var m []pgproto3.FrontendMessage
	for i := range statementsMax + 1 {
		m = append(m, &pgproto3.Parse{Name: fmt.Sprint("s", i), Query: "SELECT 1"})
	}
	c.put(append(m, &pgproto3.Sync{})...)
	if got := c.ready(); strings.Count(got, "ParseComplete") != statementsMax || !strings.Contains(got, "ERROR 54000") {
		t.Error("statements:", got[len(got)-200:])
	}
	m = nil
	for i := range portalsMax + 1 {
		m = append(m, &pgproto3.Bind{DestinationPortal: fmt.Sprint("p", i), PreparedStatement: "s1"})
	}
	c.put(append(m, &pgproto3.Sync{})...)
	if got := c.ready(); strings.Count(got, "BindComplete") != portalsMax || !strings.Contains(got, "ERROR 54000") {
		t.Error("portals:", got[len(got)-200:])
	}
}

// TestBlockIsBounded fills a block until it is refused, and counts nothing.
func TestBlockIsBounded(t *testing.T) {
	var g gather
	b := &query.Batch{Counts: make([]int64, 1<<20), Events: make([]int64, 1<<20)}
	for g.add(b) == nil {
	}
	if g.bytes > blockBytesMax || len(g.batches) != 3 {
		t.Errorf("%d bytes in %d batches", g.bytes, len(g.batches))
	}
}

// TestPanicEndsOneConnection lets the source of snapshots panic; the engine turns that into an error. One in our own code ends the connection.
func TestPanicEndsOneConnection(t *testing.T) {
	w := newWorld(t)
	s := w.serve()
	c, other := w.dial(s), w.dial(s)
	c.ready()
	other.ready()
	c.ask("CREATE TABLE t (a text)")
	w.refuse = func(context.Context, *query.Batch) error { panic("boom") }
	got := strings.Join(func() []string {
		c.put(&pgproto3.Query{String: "INSERT INTO t VALUES ('x')"})
		return c.until("closed")
	}(), " ")
	if !strings.Contains(got, "FATAL XX000") || strings.Contains(got, "boom") {
		t.Error(got)
	}
	if got := other.ask("SELECT 1"); !strings.Contains(got, `DataRow "1"`) {
		t.Error(got)
	}
}

// TestStatementsBeyondTheLimits holds that a statement too long or too deep is an error of that statement, in either protocol, and the
// connection goes on.
func TestStatementsBeyondTheLimits(t *testing.T) {
	w := newWorld(t)
	c := w.dial(w.serve())
	c.ready()
	for name, text := range map[string]string{
		"long":    "SELECT '" + strings.Repeat("x", 10<<20) + "'",
		"deep":    "SELECT " + strings.Repeat("(", 10_000) + "1" + strings.Repeat(")", 10_000),
		"queries": strings.Repeat("SELECT * FROM (", 10_000) + "SELECT 1" + strings.Repeat(") x", 10_000),
	} {
		if got := c.ask(text); !strings.Contains(got, "ERROR 54001") || !strings.HasSuffix(got, "ReadyForQuery I") {
			t.Errorf("%s: %.300s", name, got)
		}
		c.put(&pgproto3.Parse{Query: text}, &pgproto3.Sync{})
		if got := c.ready(); !strings.Contains(got, "ERROR 54001") || !strings.HasSuffix(got, "ReadyForQuery I") {
			t.Errorf("%s, prepared: %.300s", name, got)
		}
	}
	if got := c.ask("SELECT 1"); !strings.Contains(got, "DataRow") {
		t.Error("after them:", got)
	}
}
