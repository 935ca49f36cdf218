package client

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	apiv1 "github.com/quipudb/quipu/proto/api/v1"
	"github.com/quipudb/quipu/proto/slot"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// world is a cluster of servers that count in one map: once a stamp and shard, as shards do. Every server takes every request and passes on
// what belongs elsewhere.
type world struct {
	mu       sync.Mutex
	table    uint64 // id of every table; partitioned by k
	shards   uint32
	version  uint64
	leader   []string // address by shard, as clients are told
	nodes    map[string]*worldNode
	cells    map[string]int64
	applied  map[[3]uint64]bool
	direct   int // parts that came to their leader
	passed   int // parts that did not
	split    int // requests that had to be split by the server
	requests int
	renewed  int  // leases
	kept     int  // sessions
	modest   bool // nodes do not say where the others are, as older ones
	maxOpen  uint64
	cut      float64 // chance that a stream breaks after a request was counted and before it is answered
	rand     *rand.Rand
	expire   bool // the session is gone at the next request
	creds    credentials.TransportCredentials
	secret   string // that every call must bring; empty: none
}

type worldNode struct {
	apiv1.UnimplementedWriteServer
	apiv1.UnimplementedSessionsServer
	apiv1.UnimplementedClusterServer
	apiv1.UnimplementedCatalogServer
	apiv1.UnimplementedQueryServer
	apiv1.UnimplementedLeasesServer
	w      *world
	addr   string
	server *grpc.Server
	done   chan struct{}
	mute   chan struct{} // if set, nothing is answered until it is closed
	asked  int           // queries
}

// leaser renews every lease.
type leaser struct {
	apiv1.UnimplementedLeasesServer
	w *world
}

func (l leaser) Renew(_ context.Context, r *apiv1.RenewLeaseRequest) (*apiv1.Lease, error) {
	l.w.mu.Lock()
	defer l.w.mu.Unlock()
	l.w.renewed++
	return &apiv1.Lease{Name: r.Name, Fence: r.Fence, TtlMs: r.TtlMs}, nil
}

func (n *worldNode) KeepAlive(context.Context, *apiv1.KeepAliveRequest) (*apiv1.KeepAliveResponse, error) {
	n.w.mu.Lock()
	defer n.w.mu.Unlock()
	n.w.kept++
	return &apiv1.KeepAliveResponse{}, nil
}

func (n *worldNode) Query(_ *apiv1.QueryRequest, st apiv1.Query_QueryServer) error {
	n.w.mu.Lock()
	n.asked++
	n.w.mu.Unlock()
	return st.Send(&apiv1.QueryChunk{End: &apiv1.QueryEnd{Tag: "SELECT 0"}})
}

func newWorld(t *testing.T, nodes int, shards uint32, tune ...func(*world)) *world {
	t.Helper()
	w := &world{creds: insecure.NewCredentials(), table: 7, shards: shards, version: 1, nodes: map[string]*worldNode{}, cells: map[string]int64{}, applied: map[[3]uint64]bool{}, rand: rand.New(rand.NewPCG(5, 6))}
	for _, f := range tune {
		f(w)
	}
	var addresses []string
	for range nodes {
		addresses = append(addresses, w.serve(t).addr)
	}
	for i := range shards {
		w.leader = append(w.leader, addresses[int(i)%nodes])
	}
	return w
}

func (w *world) serve(t *testing.T) *worldNode { return w.serveAt(t, "127.0.0.1:0") }

func (w *world) serveAt(t *testing.T, address string) *worldNode {
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	n := &worldNode{w: w, addr: l.Addr().String(), server: grpc.NewServer(grpc.Creds(w.creds), grpc.UnaryInterceptor(w.unary), grpc.StreamInterceptor(w.stream)), done: make(chan struct{})}
	apiv1.RegisterWriteServer(n.server, n)
	apiv1.RegisterSessionsServer(n.server, n)
	apiv1.RegisterClusterServer(n.server, n)
	apiv1.RegisterCatalogServer(n.server, n)
	apiv1.RegisterQueryServer(n.server, n)
	apiv1.RegisterLeasesServer(n.server, leaser{w: w})
	go func() { defer close(n.done); n.server.Serve(l) }()
	t.Cleanup(n.stop)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.nodes[n.addr] = n
	return n
}

// authenticate refuses calls without the secret.
func (w *world) authenticate(ctx context.Context) error {
	if got := metadata.ValueFromIncomingContext(ctx, "authorization"); w.secret != "" && !slices.Equal(got, []string{w.secret}) {
		return status.Error(codes.Unauthenticated, "who are you?")
	}
	return nil
}

func (w *world) unary(ctx context.Context, req any, _ *grpc.UnaryServerInfo, h grpc.UnaryHandler) (any, error) {
	if err := w.authenticate(ctx); err != nil {
		return nil, err
	}
	return h(ctx, req)
}

func (w *world) stream(srv any, st grpc.ServerStream, _ *grpc.StreamServerInfo, h grpc.StreamHandler) error {
	if err := w.authenticate(st.Context()); err != nil {
		return err
	}
	return h(srv, st)
}

func (n *worldNode) stop() { n.server.Stop(); <-n.done }

// addresses are those of the nodes that lead, without doubles.
func (w *world) addresses() (all []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, a := range w.leader {
		if !slices.Contains(all, a) {
			all = append(all, a)
		}
	}
	return all
}

func (n *worldNode) Open(context.Context, *apiv1.OpenSessionRequest) (*apiv1.OpenSessionResponse, error) {
	n.w.mu.Lock()
	defer n.w.mu.Unlock()
	n.w.requests++
	return &apiv1.OpenSessionResponse{Session: uint64(n.w.requests), TtlMs: 600_000, ClusterId: "world"}, nil
}

func (n *worldNode) Info(context.Context, *apiv1.ClusterInfoRequest) (*apiv1.ClusterInfo, error) {
	w := n.w
	w.mu.Lock()
	defer w.mu.Unlock()
	m := &apiv1.ClusterInfo{ClusterId: "world", NodeId: n.addr, ShardMap: &apiv1.ShardMap{Version: w.version}}
	if !w.modest {
		m.ApiAddrs = slices.Collect(maps.Keys(w.nodes))
	}
	for i := range w.shards {
		m.ShardMap.Ranges = append(m.ShardMap.Ranges, &apiv1.SlotRange{First: i * slot.Count / w.shards, Last: (i+1)*slot.Count/w.shards - 1, Shard: i})
		m.Leaders = append(m.Leaders, &apiv1.ShardLeader{Shard: i, NodeId: w.leader[i], ApiAddr: w.leader[i]})
	}
	return m, nil
}

func (n *worldNode) GetTable(_ context.Context, r *apiv1.GetTableRequest) (*apiv1.Table, error) {
	n.w.mu.Lock()
	defer n.w.mu.Unlock()
	return &apiv1.Table{Id: n.w.table, Table: r.Table, PartitionBy: &apiv1.PartitionKey{Dimensions: []string{"k"}},
		Dimensions: []*apiv1.Dimension{{Name: "k"}, {Name: "other"}}}, nil
}

func (n *worldNode) WriteStream(st apiv1.Write_WriteStreamServer) error {
	if v := metadata.ValueFromIncomingContext(st.Context(), "quipu-incarnation"); len(v) != 1 || v[0] != "world/0" {
		return status.Error(codes.Internal, "the session is of no cluster")
	}
	if err := st.SendHeader(metadata.Pairs("quipu-together", "1")); err != nil {
		return err
	}
	for {
		req, err := st.Recv()
		if err != nil {
			return nil
		}
		n.w.mu.Lock()
		mute := n.mute
		n.w.mu.Unlock()
		if mute != nil {
			select {
			case <-mute:
			case <-st.Context().Done():
				return nil
			}
		}
		first, broken := n.write(req)
		for _, r := range req.More {
			other, lost := n.write(r)
			first.More, broken = append(first.More, other), broken || lost
		}
		if broken {
			return status.Error(codes.Unavailable, "the reply was lost")
		}
		if err := st.Send(first); err != nil {
			return err
		}
	}
}

// write counts a request as a node does: by the slots of its rows, each part once.
func (n *worldNode) write(req *apiv1.WriteRequest) (resp *apiv1.WriteResponse, broken bool) {
	w := n.w
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.expire {
		w.expire = false
		return &apiv1.WriteResponse{Id: req.Id, Error: &apiv1.Error{Code: "SESSION_EXPIRED", Message: "gone"}}, false
	}
	w.maxOpen = max(w.maxOpen, req.Stamp.Seq-req.Stamp.AckUpTo)
	resp = &apiv1.WriteResponse{Id: req.Id, MapVersion: w.version, Receipt: &apiv1.Receipt{ClusterId: "world"}}
	parts := map[uint32]map[string]int64{}
	for row := range int(req.Batch.Rows) {
		values := rowOf(req.Batch, row)
		k, ok := values["k"]
		shard := uint32(slot.Of(w.table, slot.Value{Text: k, Null: !ok})) * w.shards / slot.Count
		if parts[shard] == nil {
			parts[shard] = map[string]int64{}
		}
		count := int64(1)
		if len(req.Batch.Counts) > 0 {
			count = little(req.Batch.Counts, row, int(req.Batch.Rows))
		}
		parts[shard][fmt.Sprint(values)] += count
	}
	if len(parts) > 1 {
		w.split++
	}
	for shard, cells := range parts {
		stamp := [3]uint64{req.Stamp.Session, req.Stamp.Seq, uint64(shard)}
		resp.Receipt.Shards = append(resp.Receipt.Shards, &apiv1.ShardReceipt{Shard: shard, Index: 1, Duplicate: w.applied[stamp]})
		if w.leader[shard] == n.addr {
			w.direct++
		} else {
			w.passed++
			if req.Stamp.MapVersion > 0 {
				resp.Led = append(resp.Led, &apiv1.ShardLeader{Shard: shard, ApiAddr: w.leader[shard]})
			}
		}
		if !w.applied[stamp] {
			w.applied[stamp] = true
			for cell, count := range cells {
				w.cells[cell] += count
			}
		}
	}
	return resp, w.rand.Float64() < w.cut
}

// rowOf decodes one row, independently of the code under test.
func rowOf(b *apiv1.Batch, row int) map[string]string {
	out := map[string]string{}
	for _, c := range b.Columns {
		code := int(little(c.Codes, row, int(b.Rows)))
		if code == 0 {
			continue
		}
		start := 0
		for _, n := range c.Lengths[:code-1] {
			start += int(n)
		}
		out[c.Name] = string(c.Values[start : start+int(c.Lengths[code-1])])
	}
	return out
}

// books counts beside the client.
type books struct {
	t     *testing.T
	c     *Client
	b     *Builder
	r     *rand.Rand
	cells map[string]int64
	sent  []*Pending
}

func newBooks(t *testing.T, c *Client) *books {
	return &books{t: t, c: c, b: c.Table("t").Builder(), r: rand.New(rand.NewPCG(8, 9)), cells: map[string]int64{}}
}

// send sends one batch of some rows.
func (b *books) send(rows int) {
	b.t.Helper()
	for range rows {
		k, other, n := fmt.Sprint(b.r.IntN(300)), fmt.Sprint(b.r.IntN(3)), b.r.Int64N(5)-1
		if n == 0 {
			continue
		}
		id, err := b.b.Prepare("other", other, "k", k)
		if err != nil {
			b.t.Fatal(err)
		}
		if !b.b.Count(id, n) {
			b.t.Fatal("the batch is full")
		}
		b.cells[fmt.Sprint(map[string]string{"k": k, "other": other})] += n
	}
	p, err := b.b.Send(b.t.Context())
	if err != nil {
		b.t.Fatal(err)
	}
	if p != nil {
		b.sent = append(b.sent, p)
	}
}

// wait waits for what was sent.
func (b *books) wait() {
	b.t.Helper()
	for _, p := range b.sent {
		if r, err := p.Wait(b.t.Context()); err != nil || len(r.Shards) == 0 || r.Cluster != "world" {
			b.t.Fatalf("%+v, %v", r, err)
		}
	}
	b.sent = nil
}

// check holds the world to the books.
func (b *books) check(w *world) {
	b.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	for cell, n := range b.cells {
		if w.cells[cell] != n {
			b.t.Errorf("%s = %d, want %d", cell, w.cells[cell], n)
		}
	}
	for cell := range w.cells {
		if _, ok := b.cells[cell]; !ok {
			b.t.Errorf("%s was never sent", cell)
		}
	}
	if w.maxOpen > 1024 {
		b.t.Errorf("%d sequence numbers were open, shards remember 1,024", w.maxOpen)
	}
}

// learned sends until the client goes to leaders directly.
func (b *books) learned(w *world) {
	b.t.Helper()
	for range 10_000 {
		w.mu.Lock()
		passed, split, direct := w.passed, w.split, w.direct
		w.mu.Unlock()
		b.send(20)
		b.wait()
		w.mu.Lock()
		done := w.passed == passed && w.split == split && w.direct > direct
		w.mu.Unlock()
		if done {
			return
		}
	}
	b.t.Fatal("the client never went to the leaders")
}

// TestPartsGoToTheirLeaders knows one address of three, loses replies, and counts exactly.
func TestPartsGoToTheirLeaders(t *testing.T) {
	w := newWorld(t, 3, 4)
	c := open(t, w.addresses()[0])
	b := newBooks(t, c)
	b.learned(w)
	before := c.Stats()
	for range 100 {
		b.send(50)
	}
	b.wait()
	b.check(w)
	if s := c.Stats(); s.Batches-before.Batches != 100 || s.Retries != before.Retries {
		t.Errorf("totals %+v after %+v", s, before)
	}
	w.mu.Lock()
	w.cut = 0.05
	w.mu.Unlock()
	for range 300 {
		b.send(30)
	}
	b.wait()
	b.check(w)
	if c.Stats().Retries == 0 {
		t.Error("nothing was sent again: the test shows nothing")
	}
}

// TestMovedLeaderCostsOneHint moves every shard: each is told of once, and nothing is sent again.
func TestMovedLeaderCostsOneHint(t *testing.T) {
	w := newWorld(t, 3, 4)
	c := open(t, w.addresses()[0])
	b := newBooks(t, c)
	b.learned(w)
	before := c.Stats()
	w.mu.Lock()
	w.leader = append(w.leader[1:], w.leader[0])
	passed := w.passed
	w.mu.Unlock()
	for range 50 {
		b.send(50)
		b.wait()
	}
	b.check(w)
	if n := w.passed - passed; n == 0 || n > 8 || w.split != 0 && c.Stats().Retries != before.Retries {
		t.Errorf("%d parts were passed on after 4 leaders had moved; %+v after %+v", n, c.Stats(), before)
	}
}

// TestLeaderDiesUnderParts stops a node with parts on their way to it, that of the target at last.
func TestLeaderDiesUnderParts(t *testing.T) {
	w := newWorld(t, 3, 5)
	addresses := w.addresses()
	b := newBooks(t, open(t, addresses[0]))
	b.learned(w)
	for _, dies := range []string{addresses[1], addresses[0]} {
		for range 50 {
			b.send(40)
		}
		w.nodes[dies].stop()
		w.mu.Lock()
		for i, a := range w.leader {
			if a == dies {
				w.leader[i] = addresses[2]
			}
		}
		w.mu.Unlock()
		for range 50 {
			b.send(40)
		}
		b.wait()
		b.check(w)
	}
}

// TestSilentLeaderIsLeft has a node that takes parts and says nothing, as one that was stopped.
func TestSilentLeaderIsLeft(t *testing.T) {
	w := newWorld(t, 2, 4)
	addresses := w.addresses()
	now := time.Now()
	var mu sync.Mutex
	c := open(t, addresses[0], func(o *options) {
		o.now = func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
	})
	b := newBooks(t, c)
	b.learned(w)
	mute := make(chan struct{})
	w.mu.Lock()
	w.nodes[addresses[1]].mute = mute
	w.mu.Unlock()
	b.send(200)
	mu.Lock()
	now = now.Add(2 * silentAfter)
	mu.Unlock()
	b.wait()
	close(mute)
	b.check(w)
}

// TestMapAndTablesChange gives the tables another id and the map another version: the client splits wrong until it has read both anew.
func TestMapAndTablesChange(t *testing.T) {
	w := newWorld(t, 3, 4)
	b := newBooks(t, open(t, w.addresses()[0]))
	b.learned(w)
	w.mu.Lock()
	w.table, w.version = 8, 2
	w.mu.Unlock()
	for range 30 {
		b.send(50)
	}
	b.wait()
	b.check(w)
	if w.split == 0 {
		t.Error("the client split right by an old table: the test shows nothing")
	}
	b.learned(w)
	b.check(w)
}

// TestUnreachableLeaders tells of addresses that lead nowhere or elsewhere: everything goes by the address that the client knows.
func TestUnreachableLeaders(t *testing.T) {
	_, foreign := newFake(t) // which never greets a stream, as no node does that is of another cluster
	for name, address := range map[string]string{"refused": "127.0.0.1:1", "any interface": "0.0.0.0:7480", "not of loopback": "192.0.2.1:7480", "no address": "", "another server": foreign} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 1, 4)
			known := w.addresses()[0]
			w.mu.Lock()
			w.leader = []string{address, known, address, known}
			w.mu.Unlock()
			b := newBooks(t, open(t, known))
			for range 50 {
				b.send(40)
			}
			b.wait()
			b.check(w)
		})
	}
}

// TestLeadersAreReachedEncryptedWithTheToken has every node want a token over TLS.
func TestLeadersAreReachedEncryptedWithTheToken(t *testing.T) {
	certified := httptest.NewTLSServer(nil)
	certified.Close()
	roots := x509.NewCertPool()
	roots.AddCert(certified.Certificate())
	w := newWorld(t, 3, 4, func(w *world) {
		w.secret = "Bearer xyzzy"
		w.creds = credentials.NewTLS(&tls.Config{Certificates: certified.TLS.Certificates})
	})
	b := newBooks(t, open(t, "quipus://"+w.addresses()[0], WithTLS(&tls.Config{RootCAs: roots}), WithToken("xyzzy")))
	b.learned(w)
	b.check(w)
}

func TestAddressesThatMayBeDialled(t *testing.T) {
	for _, c := range []struct {
		target, address string
		opts            []Option
		want            bool
	}{
		{"127.0.0.1:7480", "127.0.0.1:7490", nil, true},
		{"127.0.0.1:7480", "localhost:7490", []Option{WithToken("x")}, true},
		{"127.0.0.1:7480", "10.0.0.1:7480", nil, false}, // a tunnel leads to the node, and not to the others
		{"10.0.0.1", "127.0.0.1:7480", nil, false},      // somebody else's node on this machine
		{"10.0.0.1", "10.0.0.2:7480", nil, true},
		{"10.0.0.1", "db.example:7480", nil, true},
		{"10.0.0.1", "0.0.0.0:7480", nil, false},
		{"10.0.0.1", "[::]:7480", nil, false},
		{"10.0.0.1", "10.0.0.2:0", nil, false},
		{"10.0.0.1", "10.0.0.2", nil, false},
		{"10.0.0.1", "", nil, false},
		{"10.0.0.1", "10.0.0.2:7480", []Option{WithToken("x")}, false}, // it would go unencrypted
		{"10.0.0.1", "10.0.0.2:7480", []Option{WithToken("x"), WithTLS(nil)}, true},
	} {
		hosts, _, err := parseTarget(c.target)
		if err != nil {
			t.Fatal(err)
		}
		client := &Client{hosts: hosts}
		for _, o := range c.opts {
			o(&client.opts)
		}
		if got := client.mayDial(c.address); got != c.want {
			t.Errorf("from %s to %q: %v", c.target, c.address, got)
		}
	}
}

// TestSessionEndsUnderParts has the session expire while parts are on their way on several streams: what had no answer is of unknown outcome and is not
// sent again, and the next session's numbers are not taken for the old one's.
func TestSessionEndsUnderParts(t *testing.T) {
	w := newWorld(t, 3, 4)
	var sessions []uint64
	c := open(t, w.addresses()[0], WithHooks(Hooks{OnSession: func(id uint64, _ time.Duration) { sessions = append(sessions, id) }}))
	b := newBooks(t, c)
	b.learned(w)
	for range 20 {
		b.send(40)
	}
	w.mu.Lock()
	w.expire = true
	w.mu.Unlock()
	for range 20 {
		b.send(40)
	}
	unknown := 0
	for _, p := range b.sent {
		switch _, err := p.Wait(t.Context()); {
		case errors.Is(err, errUnknown):
			unknown++
		case err != nil:
			t.Error(err)
		}
	}
	b.sent = nil
	b.send(20)
	b.wait() // under the next session
	if unknown == 0 || len(sessions) != 2 {
		t.Errorf("%d batches of unknown outcome, sessions %v", unknown, sessions)
	}
	lost, _ := errors.AsType[*LostError](c.Flush(t.Context()))
	var sent, counted int64
	for _, n := range b.cells {
		sent += n
	}
	w.mu.Lock()
	for _, n := range w.cells {
		counted += n
	}
	w.mu.Unlock()
	if lost == nil || lost.Unknown == 0 || counted == 0 || counted > sent+lost.Unknown || counted < sent-lost.Unknown {
		t.Errorf("%d were sent, %d counted, %v", sent, counted, lost)
	}
}

// TestSplitBySlot holds the split to slot.Of, row by row.
func TestSplitBySlot(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 3))
	routes := &routes{}
	for i := range routes.owner {
		routes.owner[i] = uint32(i) % 5
	}
	for range 100 {
		b := randomColumns(r)
		if len(b.counts) > 2000 {
			continue
		}
		p := &partition{table: r.Uint64(), names: []string{"ddd", "d", "absent"}, defaults: []uint64{slot.HashValue("", true), slot.HashValue("", true), slot.HashValue("x", false)}}
		shards, parts, rows := splitBySlot(b, p, routes)
		if parts == nil {
			parts, rows = []*columns{b}, [][]uint32{nil}
			for i := range b.counts {
				rows[0] = append(rows[0], uint32(i))
			}
		}
		seen := 0
		for k, part := range parts {
			seen += len(rows[k])
			for i, row := range rows[k] {
				key := []slot.Value{part.value("ddd", i), part.value("d", i), {Text: "x"}}
				if s := routes.owner[slot.Of(p.table, key...)]; s != shards[k] {
					t.Fatalf("row %d is of shard %d, not %d", row, s, shards[k])
				}
				if part.counts[i] != b.counts[row] || len(b.events) > 0 && part.events[i] != b.events[row] || part.event != b.event {
					t.Fatalf("row %d has another count or time", row)
				}
				for _, d := range b.dims {
					if part.value(d.name, i) != b.value(d.name, int(row)) {
						t.Fatalf("row %d has %v in %s", row, part.value(d.name, i), d.name)
					}
				}
			}
		}
		if seen != len(b.counts) {
			t.Fatalf("%d rows of %d", seen, len(b.counts))
		}
	}
}

func (c *columns) value(name string, row int) slot.Value {
	d := c.dim(name)
	if d == nil || d.codes[row] == 0 {
		return slot.Value{Null: true}
	}
	return slot.Value{Text: d.values[d.codes[row]-1]}
}

// TestNodesOfTheTargetAreGone stops every node that the client was told of. Queries, keep-alives and counting go on at nodes that it has heard of,
// and come back to the target when that does.
func TestNodesOfTheTargetAreGone(t *testing.T) {
	for _, modest := range []bool{false, true} {
		t.Run(fmt.Sprintf("modest=%v", modest), func(t *testing.T) {
			w := newWorld(t, 3, 4, func(w *world) { w.modest = modest })
			addresses := w.addresses()
			target := addresses[0] + "," + addresses[1]
			if !modest { // one node leads everything: the others lead nothing that the client could have heard of
				target = addresses[0]
				w.leader = slices.Repeat([]string{addresses[0]}, 4)
			}
			c := open(t, target)
			b := newBooks(t, c)
			for len(c.doors.heard()) == 0 { // it asks by itself
				b.send(20)
				b.wait()
			}
			w.mu.Lock()
			for i := range w.leader {
				w.leader[i] = addresses[2]
			}
			w.mu.Unlock()
			for a, n := range w.nodes {
				if slices.Contains(c.hosts, a) {
					n.stop()
				}
			}
			for range 20 {
				if _, err := c.Exec(t.Context(), "SELECT 1"); err != nil {
					t.Fatal(err)
				}
			}
			if err := c.HeldLease("l", "h", 1).Renew(t.Context(), time.Second); err != nil {
				t.Error(err)
			}
			if !c.out.keepAlive(t.Context(), time.Minute) {
				t.Error("the session was not kept alive")
			}
			for range 20 {
				b.send(20)
			}
			b.wait()
			b.check(w)
			if w.renewed != 1 || w.kept != 1 || w.nodes[addresses[2]].asked == 0 {
				t.Errorf("%d leases and %d sessions were kept, %d queries came", w.renewed, w.kept, w.nodes[addresses[2]].asked)
			}
			back := w.serveAt(t, addresses[0])
			for c.doors.given.ResetConnectBackoff(); c.doors.given.GetState() != connectivity.Ready; {
				if !c.doors.given.WaitForStateChange(t.Context(), c.doors.given.GetState()) {
					t.Fatal("the node did not come back")
				}
			}
			if _, err := c.Exec(t.Context(), "SELECT 1"); err != nil || back.asked != 1 {
				t.Errorf("%d queries came to the node of the target: %v", back.asked, err)
			}
		})
	}
}

// heard are the addresses that the client was not told of.
func (d *doors) heard() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.known
}
