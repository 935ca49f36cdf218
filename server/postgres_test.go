package server

import (
	"context"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/quipudb/quipu/server/pgwire"
)

// wireClient is a client of PostgreSQL's protocol in the bubble of a test.
type wireClient struct {
	t   *testing.T
	net net.Conn
	*pgproto3.Frontend
	key pgproto3.BackendKeyData
}

// dialWire connects to a node over a pipe.
func dialWire(t *testing.T, s *pgwire.Server) *wireClient {
	ours, theirs := net.Pipe()
	s.ServeConn(theirs)
	c := &wireClient{t: t, net: ours, Frontend: pgproto3.NewFrontend(ours, ours)}
	c.put(&pgproto3.StartupMessage{ProtocolVersion: pgproto3.ProtocolVersion30, Parameters: map[string]string{"user": "ada"}})
	for {
		switch m := c.next().(type) {
		case *pgproto3.BackendKeyData:
			c.key = pgproto3.BackendKeyData{ProcessID: m.ProcessID, SecretKey: append([]byte(nil), m.SecretKey...)}
		case *pgproto3.ReadyForQuery:
			return c
		}
	}
}

func (c *wireClient) put(m pgproto3.FrontendMessage) {
	b, err := m.Encode(nil)
	if err != nil {
		c.t.Fatal(err)
	}
	go c.net.Write(b)
}

func (c *wireClient) next() pgproto3.BackendMessage {
	m, err := c.Receive()
	if err != nil {
		c.t.Fatal(err)
	}
	return m
}

// cancelAt sends a cancel request to a node and waits until the node has closed its connection, as clients do.
func cancelAt(t *testing.T, s *pgwire.Server, process uint32, key []byte) time.Duration {
	began := time.Now()
	ours, theirs := net.Pipe()
	s.ServeConn(theirs)
	b, _ := (&pgproto3.CancelRequest{ProcessID: process, SecretKey: key}).Encode(nil)
	ours.Write(b)
	if n, err := ours.Read(make([]byte, 1)); err == nil {
		t.Errorf("a cancel request is answered with %d bytes", n)
	}
	ours.Close()
	return time.Since(began)
}

// TestCancelReachesTheNodeOfItsConnection cancels at one node what runs at another. A wrong key and a process that nobody has do nothing, and
// a node that cannot be reached holds nobody up.
func TestCancelReachesTheNodeOfItsConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, "a", "b", "c")
		defer c.stopAll()
		c.waitVoters("a", "b", "c")
		createTable(t, c.nodes["a"])
		wires := map[string]*pgwire.Server{}
		for name, n := range c.nodes {
			s, err := n.openWire(nil)
			if err != nil {
				t.Fatal(err)
			}
			wires[name] = s
			defer s.Shutdown(context.Background())
		}
		b := dialWire(t, wires["b"])
		defer b.net.Close()
		copyIn := func() {
			b.put(&pgproto3.Query{String: "COPY admissions FROM STDIN"})
			if m, ok := b.next().(*pgproto3.CopyInResponse); !ok {
				t.Fatalf("%T", m)
			}
		}
		canceled := func() {
			t.Helper()
			m, ok := b.next().(*pgproto3.ErrorResponse)
			if !ok || m.Code != "57014" {
				t.Fatalf("%+v", m)
			}
			if _, ok := b.next().(*pgproto3.ReadyForQuery); !ok {
				t.Fatal("not ready")
			}
		}
		copyIn()
		cancelAt(t, wires["c"], b.key.ProcessID, []byte("nope"))
		cancelAt(t, wires["c"], b.key.ProcessID+1, b.key.SecretKey)
		cancelAt(t, wires["a"], 1<<31-1, b.key.SecretKey)
		synctest.Wait()
		b.put(&pgproto3.CopyDone{}) // nothing was canceled
		if m, ok := b.next().(*pgproto3.CommandComplete); !ok || string(m.CommandTag) != "COPY 0" {
			t.Fatalf("%+v", m)
		}
		b.next()
		for _, at := range []string{"c", "a", "b"} {
			copyIn()
			cancelAt(t, wires[at], b.key.ProcessID, b.key.SecretKey)
			canceled()
		}
		c.net.Isolate("b")
		if d := cancelAt(t, wires["c"], b.key.ProcessID, b.key.SecretKey); d > 3*time.Second {
			t.Errorf("a request for a node that is away took %v", d)
		}
		c.net.Heal("b")
	})
}
