package integration

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quipudb/quipu/client"
	"github.com/quipudb/quipu/server"
)

// timed is a node in this process whose clock the test moves.
type timed struct {
	t      *testing.T
	cfg    server.Config
	addr   string
	s      *server.Service
	offset atomic.Int64
}

func startTimed(t *testing.T) *timed {
	n := &timed{t: t, addr: freeAddr(t)}
	n.cfg = server.Config{DataDir: t.TempDir(), Shards: 2, CellMemory: 64 << 20, DiskFree: -1,
		Now: func() time.Time { return time.Now().Add(time.Duration(n.offset.Load())) }}
	n.cfg.Peer.API = "192.0.2.1:7480" // where clients that come by loopback do not go: there is no way around the proxy
	n.start()
	t.Cleanup(n.stop)
	return n
}

func (n *timed) start() {
	n.t.Helper()
	var err error
	if n.s, err = server.Serve(n.t.Context(), n.cfg, n.addr); err != nil {
		n.t.Fatal(err)
	}
}

func (n *timed) stop() {
	if n.s == nil {
		return
	}
	if err := n.s.Close(); err != nil {
		n.t.Error(err)
	}
	n.s = nil
}

// pass lets time pass. A clock that jumps moves no log, so the node stops and starts again with each step; steps are shorter than those after
// which the cluster takes it that nobody could have kept anything alive.
func (n *timed) pass(d time.Duration) {
	n.t.Helper()
	const step = 150 * time.Second
	for range int(d / step) {
		n.stop()
		n.offset.Add(int64(step))
		n.start()
	}
}

// sessions counts how often a client has opened one.
type sessions struct{ opened, retried atomic.Int64 }

func (s *sessions) hooks() client.Option {
	return client.WithHooks(client.Hooks{
		OnSession: func(uint64, time.Duration) { s.opened.Add(1) },
		OnRetry:   func(client.BatchInfo, error) { s.retried.Add(1) },
	})
}

// TestDurableSessionOutlivesACut cuts writers off for a quarter of an hour, each with a batch that was counted and whose reply was lost; the server stops
// meanwhile and starts again, more than once. The writer with a durable session goes on under it: its batch is sent again and does not count twice. The session of
// the other one has ended, which it says, and it does not send the batch again, which would count twice.
func TestDurableSessionOutlivesACut(t *testing.T) {
	n := startTimed(t)
	watch := dial(t, n.addr)
	query(t, watch, "CREATE TABLE cut (writer text)")
	p := startProxy(t, n.addr, 7)
	var durable, ordinary sessions
	writers := map[string]*client.Client{
		"durable":  dial(t, p.addr(), client.WithDurableSession(), durable.hooks()),
		"ordinary": dial(t, p.addr(), ordinary.hooks()),
	}
	want := map[string]int64{}
	for name, c := range writers {
		if _, err := c.Table("cut").AddSync(t.Context(), client.Batch{Rows: []client.Observation{{Count: 1, Pairs: []string{"writer", name}}}}); err != nil {
			t.Fatal(err)
		}
		want[name]++
	}
	p.silence()
	for name, c := range writers {
		if err := c.Table("cut").Add(t.Context(), 10, "writer", name); err != nil {
			t.Fatal(err)
		}
		want[name] += 10
	}
	for len(compare(counts(t, watch, "cut", "writer"), want)) > 0 && t.Context().Err() == nil {
		wait(t.Context(), 10*time.Millisecond)
	}
	p.block(true)
	n.pass(15 * time.Minute)
	p.block(false)

	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := writers["durable"].Flush(ctx); err != nil {
		t.Errorf("durable: %v", err)
	}
	err := writers["ordinary"].Flush(ctx)
	if lost, ok := errors.AsType[*client.LostError](err); !ok || lost.Unknown != 10 || lost.Refused != 0 || lost.Undelivered != 0 {
		t.Errorf("ordinary: %v", err)
	}
	for name, c := range writers {
		if _, err := c.Table("cut").AddSync(ctx, client.Batch{Rows: []client.Observation{{Count: 100, Pairs: []string{"writer", name}}}}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		want[name] += 100
	}
	for _, wrong := range compare(counts(t, dial(t, n.addr), "cut", "writer"), want) {
		t.Error(wrong)
	}
	if durable.opened.Load() != 1 || ordinary.opened.Load() != 2 || durable.retried.Load() == 0 {
		t.Errorf("%d durable and %d ordinary sessions, %d retries", durable.opened.Load(), ordinary.opened.Load(), durable.retried.Load())
	}
}

// TestSessionsAreOfOneProcess has a writer die with a batch that was counted and whose reply was lost. The next process gets another session, durable or
// not: what it sends again counts once because of the key that the batch has, and twice without.
func TestSessionsAreOfOneProcess(t *testing.T) {
	n := startTimed(t)
	watch := dial(t, n.addr)
	query(t, watch, "CREATE TABLE orders (kind text)")
	p := startProxy(t, n.addr, 8)
	made := time.Now() // what is sent again under a key must be the same, the time of the event too
	batch := func(key, kind string) client.Batch {
		return client.Batch{Key: key, Rows: []client.Observation{{Count: 3, Pairs: []string{"kind", kind}, Time: made}}}
	}
	dies := dial(t, p.addr(), client.WithDurableSession())
	p.silence()
	dead, die := context.WithCancel(t.Context())
	defer die()
	done := make(chan error, 2)
	go func() {
		_, err := dies.Table("orders").AddSync(dead, batch("order 7", "keyed"))
		done <- err
	}()
	go func() {
		_, err := dies.Table("orders").AddSync(dead, batch("", "plain"))
		done <- err
	}()
	want := map[string]int64{"keyed": 3, "plain": 3}
	for len(compare(counts(t, watch, "orders", "kind"), want)) > 0 && t.Context().Err() == nil {
		wait(t.Context(), 10*time.Millisecond)
	}
	p.block(true)
	die()
	for range 2 {
		if err := <-done; err == nil {
			t.Error("a reply came through")
		}
	}
	next := dial(t, n.addr, client.WithDurableSession())
	for key, kind := range map[string]string{"order 7": "keyed", "": "plain"} {
		if _, err := next.Table("orders").AddSync(t.Context(), batch(key, kind)); err != nil {
			t.Error(err)
		}
	}
	want["plain"] += 3
	for _, wrong := range compare(counts(t, watch, "orders", "kind"), want) {
		t.Error(wrong)
	}
}
