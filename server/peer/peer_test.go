package peer

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/quipudb/quipu/proto/command/v1"
	"github.com/quipudb/quipu/server/errcode"
	"github.com/quipudb/quipu/server/replica"
	"github.com/quipudb/quipu/server/rounds"
	"github.com/quipudb/quipu/server/router"
	"github.com/quipudb/quipu/storage"
	"github.com/quipudb/quipu/storage/schema"
)

// fakeShard is a shard that counts nothing and answers what the test says. Its snapshots are those of a real store.
type fakeShard struct {
	id     schema.ShardID
	store  *storage.Store
	gate   *replica.Gate
	leader string

	mu       sync.Mutex // guards the fields below
	parts    []*replica.Part
	commands []command.Command
	answer   func(p *replica.Part) (replica.Outcome, error)
	wait     chan struct{} // parts are answered when it is closed; nil: at once
	err      error         // of commands and rounds
	given    []*storage.Snapshot
}

type fakePending struct {
	s *fakeShard
	p *replica.Part
}

func (f fakePending) Wait(ctx context.Context) (replica.Outcome, error) {
	if f.s.wait != nil {
		select {
		case <-f.s.wait:
		case <-ctx.Done():
			return replica.Outcome{}, ctx.Err()
		}
	}
	return f.s.answer(f.p)
}

func (f fakePending) Done() <-chan struct{}            { return nil }
func (f fakePending) Counted() (replica.Outcome, bool) { return replica.Outcome{}, false }

func (s *fakeShard) Propose(p *replica.Part) router.Pending {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.parts = append(s.parts, p)
	return fakePending{s, p}
}

func (s *fakeShard) Command(_ context.Context, c command.Command) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.commands = append(s.commands, c)
	if _, ok := c.(*command.KeyBegin); ok {
		return router.KeyRecord{ID: 7, Done: true, Response: []byte("r"), Expires: 9}, s.err
	}
	return nil, s.err
}

func (s *fakeShard) Leader() string { return s.leader }

func (s *fakeShard) Prepare(ctx context.Context, r replica.Round) (replica.Promise, error) {
	return s.gate.Prepare(ctx, r)
}

func (s *fakeShard) Open(context.Context, uint64) (*storage.Snapshot, error) { return s.snapshot() }

func (s *fakeShard) snapshot() (*storage.Snapshot, error) {
	snap, err := s.store.Snapshot()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.given = append(s.given, snap)
	return snap, err
}

func (s *fakeShard) Commit(_ context.Context, r replica.Round, term uint64) error {
	return s.gate.Commit(r, term)
}

func (s *fakeShard) Abort(r replica.Round) { s.gate.Abort(r) }

func (s *fakeShard) Read(context.Context) (*storage.Snapshot, error) { return s.snapshot() }

func (s *fakeShard) Peek(context.Context, uint64) (*storage.Snapshot, rounds.State, error) {
	snap, err := s.snapshot()
	return snap, rounds.State{Fresh: replica.Fresh{Applied: 7, Commit: 9, Age: time.Second}, Rate: 2.5}, err
}

// fakeHost is a node with shards of its own.
type fakeHost struct {
	*rounds.Local
	name   string
	shards map[schema.ShardID]*fakeShard
	take   func(context.Context, []schema.ShardID) (*rounds.Cut, error)
}

func (h *fakeHost) Node() string { return h.name }

func (h *fakeHost) Shard(id schema.ShardID) (Shard, error) {
	s := h.shards[id]
	if s == nil {
		return nil, &NotLeader{Leader: "elsewhere", Err: errcode.New(errcode.NotLeader, "node %s has no replica of shard %d", h.name, id)}
	}
	return s, nil
}

func (h *fakeHost) Interrupt(uint32, []byte) {}

func (h *fakeHost) Take(ctx context.Context, ids []schema.ShardID) (*rounds.Cut, error) {
	return h.take(ctx, ids)
}

// network is nodes that reach each other over loopback.
type network struct {
	t     testing.TB
	addr  map[string]string
	hosts map[string]*fakeHost

	mu    sync.Mutex // guards conns
	conns []net.Conn
}

func newNetwork(t testing.TB) *network {
	return &network{t: t, addr: map[string]string{}, hosts: map[string]*fakeHost{}}
}

// node starts a node with shards.
func (w *network) node(name string, o Options, ids ...schema.ShardID) (*Server, *fakeHost) {
	w.t.Helper()
	h := &fakeHost{name: name, shards: map[schema.ShardID]*fakeShard{}}
	for _, id := range ids {
		h.shards[id] = newFakeShard(w.t, id)
	}
	h.Local = rounds.Leaders(h.shards)
	w.hosts[name] = h
	return w.serve(h, o), h
}

func newFakeShard(t testing.TB, id schema.ShardID) *fakeShard {
	store, err := storage.Open(storage.Options{Dir: "shard", FS: vfs.NewMem(), Memory: storage.NewMemory(64 << 20)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	s := &fakeShard{id: id, store: store}
	s.gate = replica.NewGate(func() uint64 { return 5 }, func() (uint64, error) { return 3, s.err })
	s.answer = func(p *replica.Part) (replica.Outcome, error) { return replica.Outcome{Index: p.Stamp.Seq}, nil }
	return s
}

func (w *network) serve(h *fakeHost, o Options) *Server {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		w.t.Fatal(err)
	}
	s := NewServer(h, o)
	done := make(chan error)
	go func() { done <- s.Serve(l) }()
	w.t.Cleanup(func() {
		s.Stop()
		if err := <-done; err != nil {
			w.t.Error(err)
		}
	})
	w.addr[h.name] = l.Addr().String()
	return s
}

// client is a node's way to the others.
func (w *network) client(own *Server) *Client {
	c := NewClient(func(ctx context.Context, node string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", w.addr[node])
		w.mu.Lock()
		defer w.mu.Unlock()
		if err == nil {
			w.conns = append(w.conns, conn)
		}
		return conn, err
	}, own)
	w.t.Cleanup(c.Close)
	return c
}

// cut breaks every connection made so far.
func (w *network) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.conns {
		c.Close()
	}
	w.conns = nil
}

func (w *network) at(c *Client, node string) *Node {
	n, err := c.Node(node)
	if err != nil {
		w.t.Fatal(err)
	}
	return n
}

// partOf is a part of rows 1 and 3 of a batch of four.
func partOf(seq uint64) *replica.Part {
	return &replica.Part{
		Stamp: command.Part{Kind: command.Durable, Session: 4, Home: 2, Seq: seq, AckUpTo: seq - 1, MapVersion: 6, KeyShard: 1, Expires: 8},
		Table: &schema.Table{ID: 9, Version: 3},
		Cols: []replica.PartColumn{
			{Values: []schema.Value{schema.V("a"), schema.V("b"), schema.Null, schema.V("")}, Codes: []uint32{0, 1, 0, 2}},
			{Values: []schema.Value{schema.V("default")}},
			{Values: []schema.Value{schema.Null}},
		},
		Rows: []uint32{1, 3}, Len: 2, Counts: []int64{1, -2, 3, 1 << 40}, Windows: []int64{0, 60, 0, 120},
	}
}

// text shows the rows of a part as values.
func text(p *replica.Part) string {
	out := fmt.Sprintf("%+v %d.%d", p.Stamp, p.Table.ID, p.Table.Version)
	for i := range p.Len {
		r := row(p, i)
		out += " |"
		for _, c := range p.Cols {
			code := uint32(0)
			if c.Codes != nil {
				code = c.Codes[r]
			}
			v := c.Values[code]
			out += fmt.Sprintf(" %q %v", v.Text, v.Null)
		}
		count, window := int64(1), p.Window
		if p.Counts != nil {
			count = p.Counts[r]
		}
		if p.Windows != nil {
			window = p.Windows[r]
		}
		out += fmt.Sprintf(" %d %d", count, window)
	}
	return out
}

func TestPartArrives(t *testing.T) {
	w := newNetwork(t)
	_, h := w.node("a", Options{}, 2)
	n := w.at(w.client(nil), "a")
	whole := &replica.Part{Stamp: command.Part{Kind: command.Ordinary, Session: 1, Seq: 1}, Table: &schema.Table{ID: 1, Version: 1}, Len: 3, Window: -60,
		Cols: []replica.PartColumn{{Values: []schema.Value{schema.V("x"), schema.V("y")}, Codes: []uint32{1, 1, 0}}}}
	for i, p := range []*replica.Part{partOf(1), whole} {
		want := text(p)
		pending := n.Propose(2, p)
		clear(p.Cols[0].Codes) // the caller may go on
		out, err := pending.Wait(t.Context())
		if err != nil || out != (replica.Outcome{Index: 1}) {
			t.Fatal(out, err)
		}
		if got := text(h.shards[2].parts[i]); got != want {
			t.Errorf("\ngot  %s\nwant %s", got, want)
		}
	}
}

func TestAnswersOfParts(t *testing.T) {
	w := newNetwork(t)
	_, h := w.node("a", Options{}, 2)
	n := w.at(w.client(nil), "a")
	s := h.shards[2]
	s.leader = "b"
	refusal := errcode.New(errcode.BelowZero, "the count of cell (x) would be below zero").WithHint("count it first").At(7)
	s.answer = func(p *replica.Part) (replica.Outcome, error) {
		switch p.Stamp.Seq {
		case 1:
			return replica.Outcome{Index: 4, Duplicate: true}, nil
		case 2:
			return replica.Outcome{}, refusal
		case 3:
			return replica.Outcome{}, replica.ErrBehind
		}
		return replica.Outcome{}, errcode.New(errcode.NotLeader, "not here")
	}
	if out, err := n.Propose(2, partOf(1)).Wait(t.Context()); err != nil || out != (replica.Outcome{Index: 4, Duplicate: true}) {
		t.Error(out, err)
	}
	_, err := n.Propose(2, partOf(2)).Wait(t.Context())
	if e := errcode.From(err); e.Code != refusal.Code || e.Message != refusal.Message || e.Hint != refusal.Hint || e.Position != 7 {
		t.Errorf("%+v", e)
	}
	if _, err := n.Propose(2, partOf(3)).Wait(t.Context()); !errors.Is(err, replica.ErrBehind) {
		t.Error(err)
	}
	for shard, leader := range map[schema.ShardID]string{2: "b", 8: "elsewhere"} {
		_, err = n.Propose(shard, partOf(4)).Wait(t.Context())
		if e, ok := errors.AsType[*NotLeader](err); !ok || e.Leader != leader || errcode.From(err).Code != errcode.NotLeader {
			t.Errorf("shard %d: %v", shard, err)
		}
	}
}

// TestPartsArePipelined holds that parts do not wait for each other's answers, and that their number is bounded.
func TestPartsArePipelined(t *testing.T) {
	w := newNetwork(t)
	_, h := w.node("a", Options{}, 2)
	n := w.at(w.client(nil), "a")
	s := h.shards[2]
	s.wait = make(chan struct{})
	var pending []router.Pending
	for seq := range partsMax {
		pending = append(pending, n.Propose(2, partOf(uint64(seq+1))))
	}
	_, err := n.Propose(2, partOf(partsMax+1)).Wait(t.Context())
	if errcode.From(err).Code != errcode.Busy {
		t.Errorf("a part above the bound: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := pending[0].Wait(ctx); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	close(s.wait)
	for i, p := range pending {
		if out, err := p.Wait(t.Context()); err != nil || out.Index != uint64(i+1) {
			t.Fatal(i, out, err)
		}
	}
}

// TestLostConnection holds that a part which was sent has an outcome that is not known, and that the next one goes over a new stream.
func TestLostConnection(t *testing.T) {
	w := newNetwork(t)
	_, h := w.node("a", Options{}, 2)
	n := w.at(w.client(nil), "a")
	s := h.shards[2]
	arrived := make(chan struct{})
	s.wait = make(chan struct{})
	answer := s.answer
	first := n.Propose(2, partOf(1))
	go func() { // the part is there when it can be seen
		for {
			s.mu.Lock()
			there := len(s.parts) == 1
			s.mu.Unlock()
			if there {
				close(arrived)
				return
			}
		}
	}()
	<-arrived
	w.cut()
	_, err := first.Wait(t.Context())
	if e := errcode.From(err); e.Code != errcode.Unavailable || e.Hint == "" || !e.Retryable() {
		t.Errorf("%+v", e)
	}
	s.answer = answer
	close(s.wait)
	for { // until the connection is there again
		out, err := n.Propose(2, partOf(1)).Wait(t.Context())
		if err == nil && out.Index == 1 {
			break
		}
		if errcode.From(err).Code != errcode.Unavailable {
			t.Fatal(out, err)
		}
	}
}

func TestNodeThatIsNotThere(t *testing.T) {
	w := newNetwork(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w.addr["gone"] = l.Addr().String()
	l.Close()
	c := w.client(nil)
	n := w.at(c, "gone")
	_, err = n.Propose(2, partOf(1)).Wait(t.Context())
	if e := errcode.From(err); e.Code != errcode.Unavailable {
		t.Errorf("%+v", e)
	}
	if _, err := n.Command(t.Context(), 2, &command.Tick{}); errcode.From(err).Code != errcode.Unavailable {
		t.Error(err)
	}
	c.Close()
	if _, err := n.Propose(2, partOf(1)).Wait(t.Context()); errcode.From(err).Code != errcode.Closing {
		t.Error(err)
	}
	if _, err := c.Node("gone"); errcode.From(err).Code != errcode.Closing {
		t.Error(err)
	}
}

func TestCommands(t *testing.T) {
	w := newNetwork(t)
	_, h := w.node("a", Options{}, 2)
	n := w.at(w.client(nil), "a")
	s := h.shards[2]
	got, err := n.Command(t.Context(), 2, &command.KeyBegin{Principal: "p", Key: "k"})
	if k, ok := got.(router.KeyRecord); err != nil || !ok || k.ID != 7 || !k.Done || string(k.Response) != "r" || k.Expires != 9 {
		t.Error(got, err)
	}
	if got, err := n.Command(t.Context(), 2, &command.DropTable{ID: 4}); got != nil || err != nil || s.commands[1].(*command.DropTable).ID != 4 {
		t.Error(got, err)
	}
	s.err = errcode.New(errcode.KeyReused, "no")
	if _, err := n.Command(t.Context(), 2, &command.KeyBegin{}); errcode.From(err).Code != errcode.KeyReused {
		t.Error(err)
	}
	if _, err := n.Command(t.Context(), 9, &command.Tick{}); errcode.From(err).Code != errcode.NotLeader {
		t.Error(err)
	}
}

func FuzzPart(f *testing.F) {
	f.Add(uint32(2), []byte("abc"), uint8(2), []byte{1, 0}, []byte{1, 2}, []byte{0, 0, 1, 0})
	f.Fuzz(func(t *testing.T, rows uint32, values []byte, length uint8, codes, counts, windows []byte) {
		m := encodePart(1, 2, partOf(3))
		m.Rows, m.Counts, m.Windows = rows, counts, windows
		m.Columns = m.Columns[:1]
		m.Columns[0].Values, m.Columns[0].Codes = values, codes
		m.Columns[0].Lengths = []uint32{uint32(length), uint32(len(values)) - uint32(length)}
		p, err := decodePart(m)
		if err != nil {
			return
		}
		again, err := decodePart(encodePart(1, 2, p))
		if err != nil || text(again) != text(p) {
			t.Fatalf("%v\n%s\n%s", err, text(p), text(again))
		}
	})
}

// TestPeekOverTheWire holds that a snapshot of a replica comes with how old it is, the time on the wire included, and that it is leased and
// released like any other.
func TestPeekOverTheWire(t *testing.T) {
	w := newNetwork(t)
	server, host := w.node("there", Options{}, 3)
	n, err := w.client(nil).Node("there")
	if err != nil {
		t.Fatal(err)
	}
	snap, state, err := n.Peek(t.Context(), 3, 7)
	if err != nil {
		t.Fatal(err)
	}
	if state.Applied != 7 || state.Commit != 9 || state.Age < time.Second || state.Age > 10*time.Second || state.Leads || state.Rate != 2.5 {
		t.Errorf("%+v", state)
	}
	if server.Snapshots() != 1 {
		t.Errorf("%d snapshots are leased", server.Snapshots())
	}
	snap.Release()
	for range 1000 {
		if server.Snapshots() == 0 {
			break
		}
		time.Sleep(time.Millisecond)
	}
	if server.Snapshots() != 0 || len(host.shards[3].given) != 1 {
		t.Errorf("%d snapshots are left, %d were given", server.Snapshots(), len(host.shards[3].given))
	}
	if _, _, err := n.Peek(t.Context(), 4, 0); err == nil {
		t.Error("a shard that is not there is read")
	}
}
