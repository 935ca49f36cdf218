package replica

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quipudb/quipu/fsm"
	"github.com/quipudb/quipu/proto/command/v1"
	"github.com/quipudb/quipu/server/errcode"
	"github.com/quipudb/quipu/server/transport"
	"github.com/quipudb/quipu/server/transport/transporttest"
	"github.com/quipudb/quipu/storage"
	"github.com/quipudb/quipu/storage/schema"
)

// ledger is a machine that keeps the principal of each session in a row of its own, so that a lost or doubled entry shows.
type ledger struct{}

func (ledger) Load(*storage.Tx) error { return nil }
func (ledger) Settle(*storage.Tx)     {}

func (ledger) Apply(tx *storage.Tx, e fsm.Entry) fsm.Result {
	c, err := command.Decode(e.Data)
	if err != nil {
		panic(err)
	}
	if s, ok := c.(*command.OpenSession); ok {
		key := []byte(s.Principal)
		if _, twice := tx.Row(key); twice {
			return "twice"
		}
		tx.PutRow(key, binary.BigEndian.AppendUint64(nil, e.Index))
	}
	return e.Index
}

// group is one Raft group on several hosts of one process.
type group struct {
	t     *testing.T
	net   *transporttest.Network
	mu    sync.Mutex // held to add a host, and by others than the test to find one
	hosts map[string]*host
	dir   string
	opts  Options // of every replica
}

type host struct {
	id    string
	mux   *transport.Mux
	r     *Replica
	live  atomic.Pointer[Replica] // r while it runs: for others, who ask at any time
	ahead atomic.Int64            // of its clock before the right one, in nanoseconds
	term  atomic.Uint64           // what Confirm says instead of the replica's term, if not 0
	mute  atomic.Bool             // Confirm says nothing
}

// newGroup makes a group of one voter, a, on a network in memory.
func newGroup(t *testing.T, opts Options) *group {
	g := &group{t: t, net: &transporttest.Network{}, hosts: map[string]*host{}, dir: t.TempDir(), opts: opts}
	g.start("a", true)
	g.waitLeader("a")
	return g
}

// Confirm asks another host as the membership service would.
func (h *host) confirm(from string, g *group) (Vote, error) {
	if g.net.Alone(from) || g.net.Alone(h.id) {
		return Vote{}, errors.New("no route")
	}
	r := h.live.Load()
	if r == nil {
		return Vote{}, errors.New("not a member")
	}
	v := r.Vote()
	if term := h.term.Load(); term != 0 {
		v.Term = term
	}
	return v, nil
}

type groupPeers struct {
	g    *group
	from string
}

func (p groupPeers) Confirm(ctx context.Context, node string, _ transport.Group) (Vote, error) {
	p.g.mu.Lock()
	h := p.g.hosts[node]
	p.g.mu.Unlock()
	if h == nil {
		return Vote{}, errors.New("no such node")
	}
	if h.mute.Load() {
		<-ctx.Done()
		return Vote{}, ctx.Err()
	}
	return h.confirm(p.from, p.g)
}

// Last asks another host as the membership service would.
func (p groupPeers) Last(_ context.Context, node string, _ transport.Group) (Last, error) {
	p.g.mu.Lock()
	h := p.g.hosts[node]
	p.g.mu.Unlock()
	if h == nil || p.g.net.Alone(p.from) || p.g.net.Alone(node) {
		return Last{}, errors.New("no route")
	}
	if r := h.live.Load(); r != nil {
		return r.Last()
	}
	return Last{}, errors.New("not a member")
}

func (g *group) start(id string, bootstrap bool) *host {
	g.t.Helper()
	h := g.hosts[id]
	if h == nil {
		h = &host{id: id}
		g.mu.Lock()
		g.hosts[id] = h
		g.mu.Unlock()
	}
	ln, err := g.net.Listen(id)
	if err != nil {
		g.t.Fatal(err)
	}
	h.mux = transport.New(transport.Options{Node: id, Listener: ln, Dial: g.net.Dialer(id), Resolve: func(node string) (string, error) { return node, nil }})
	layer, err := h.mux.Open(transport.Raft, transport.Meta)
	if err != nil {
		g.t.Fatal(err)
	}
	o := g.opts
	o.Group, o.Dir, o.NodeID, o.Bootstrap, o.Join = transport.Meta, filepath.Join(g.dir, id), id, bootstrap, !bootstrap
	o.Machine, o.Transport, o.Peers = ledger{}, transport.NewRaft(layer, transport.RaftOptions{Timeout: time.Second}), groupPeers{g, id}
	o.Now = func() time.Time { return time.Now().Add(time.Duration(h.ahead.Load())) }
	o.Halt = func(err error) { g.t.Errorf("%s halts: %v", id, err) }
	if h.r, err = Open(o); err != nil {
		g.t.Fatal(err)
	}
	h.live.Store(h.r)
	return h
}

func (g *group) stop(id string) {
	g.t.Helper()
	h := g.hosts[id]
	h.live.Store(nil)
	if err := errors.Join(h.r.Close(), h.mux.Close()); err != nil {
		g.t.Fatal(err)
	}
	h.r = nil
}

func (g *group) stopAll() {
	for id, h := range g.hosts {
		if h.r != nil {
			g.stop(id)
		}
	}
}

// wait lets time pass, in steps, until ok.
func (g *group) wait(what string, ok func() bool) {
	g.t.Helper()
	for range 3000 {
		synctest.Wait()
		if ok() {
			return
		}
		time.Sleep(10 * time.Millisecond) // of the bubble
	}
	for id, h := range g.hosts {
		if h.r != nil {
			g.t.Logf("%s: %+v", id, h.r.Status())
		}
	}
	g.t.Fatalf("waited in vain until %s", what)
}

func (g *group) waitLeader(of ...string) (leader string) {
	g.t.Helper()
	g.wait(fmt.Sprint("one leads of ", of), func() bool {
		for _, id := range of {
			if _, err := g.hosts[id].r.Leading(); err == nil {
				leader = id
				return true
			}
		}
		return false
	})
	return leader
}

// grow makes the hosts named voters. It returns when each of them knows all of them: a voter refuses its vote to one that it knows as a
// learner only.
func (g *group) grow(leader string, ids ...string) {
	g.t.Helper()
	r := g.hosts[leader].r
	for _, id := range ids {
		g.start(id, false)
		if err := r.AddLearner(id); err != nil {
			g.t.Fatal(err)
		}
		g.waitEqual(leader, id)
		if err := r.Promote(id); err != nil {
			g.t.Fatal(err)
		}
	}
	g.waitEqual(append(ids, leader)...)
}

// waitEqual waits until the hosts have applied the same, and compares their states.
func (g *group) waitEqual(ids ...string) {
	g.t.Helper()
	first := g.hosts[ids[0]].r
	g.wait(fmt.Sprint(ids, " have applied the same"), func() bool {
		for _, id := range ids {
			if g.hosts[id].r.Store().Applied() != first.Store().Applied() {
				return false
			}
		}
		return true
	})
	want := hash(first.Store())
	for _, id := range ids {
		if got := hash(g.hosts[id].r.Store()); got != want {
			g.t.Errorf("state of %s differs from that of %s", id, ids[0])
		}
	}
}

func hash(s *storage.Store) (sum [32]byte) {
	h := sha256.New()
	s.Update(func(tx *storage.Tx) {
		for k, v := range tx.Rows(nil) {
			fmt.Fprintf(h, "%q %x\n", k, v)
		}
	})
	h.Sum(sum[:0])
	return sum
}

// write proposes a numbered entry at a host.
func (g *group) write(id string, n int) error {
	answer, _, err := g.hosts[id].r.Propose(g.t.Context(), &command.OpenSession{Principal: fmt.Sprint("entry ", n)})
	if err == nil && answer == "twice" {
		g.t.Errorf("entry %d was applied before", n)
	}
	return err
}

func (g *group) mustWrite(id string, from, to int) {
	g.t.Helper()
	for n := from; n < to; n++ {
		if err := g.write(id, n); err != nil {
			g.t.Fatalf("entry %d: %v", n, err)
		}
	}
}

// has counts the entries that a host's state holds.
func (g *group) has(id string) (n int) {
	g.hosts[id].r.Store().Update(func(tx *storage.Tx) {
		for range tx.Rows(nil) {
			n++
		}
	})
	return n
}

func TestGroupGrowsAndReplicates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGroup(t, Options{})
		defer g.stopAll()
		g.mustWrite("a", 0, 20)
		g.grow("a", "b", "c")
		g.mustWrite("a", 20, 40)
		g.waitEqual("a", "b", "c")
		if n := g.has("c"); n != 40 {
			t.Errorf("c has %d entries, want 40", n)
		}
		want := []Member{{"a", true}, {"b", true}, {"c", true}}
		if got := g.hosts["b"].r.Members(); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("members %v, want %v", got, want)
		}
	})
}

func TestGroupGoesOnWithoutItsLeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGroup(t, Options{})
		defer g.stopAll()
		g.grow("a", "b", "c")
		g.mustWrite("a", 0, 10)
		g.stop("a")
		began := time.Now()
		leader := g.waitLeader("b", "c")
		if d := time.Since(began); d > 4*time.Second {
			t.Errorf("a new leader took %v", d)
		}
		g.mustWrite(leader, 10, 20)
		g.start("a", false)
		g.waitEqual("a", "b", "c")
		if n := g.has("a"); n != 20 {
			t.Errorf("a has %d entries, want 20", n)
		}
	})
}

// A member without anything, whose log begins behind what the leader still has, gets the state as a stream.
func TestEmptyMemberInstallsAState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGroup(t, Options{})
		defer g.stopAll()
		a := g.hosts["a"].r
		c := a.raft.ReloadableConfig()
		c.TrailingLogs = 1
		if err := a.raft.ReloadConfig(c); err != nil {
			t.Fatal(err)
		}
		g.mustWrite("a", 0, 100)
		if err := a.raft.Snapshot().Error(); err != nil {
			t.Fatal(err)
		}
		if first, err := a.raftlog.FirstIndex(); err != nil || first < 50 {
			t.Fatalf("the log begins at %d (%v): nothing forces a stream", first, err)
		}
		g.grow("a", "b")
		g.mustWrite("a", 100, 110)
		g.waitEqual("a", "b")
		if n := g.has("b"); n != 110 {
			t.Errorf("b has %d entries, want 110", n)
		}
		g.stop("b")
		g.mustWriteNone("a", 110)
		g.start("b", false)
		g.waitLeader("a", "b")
		g.waitEqual("a", "b")
	})
}

// mustWriteNone holds that an entry is not acknowledged: there is no majority.
func (g *group) mustWriteNone(id string, n int) {
	g.t.Helper()
	if err := g.write(id, n); err == nil {
		g.t.Errorf("entry %d was acknowledged without a majority", n)
	}
}

func TestDeposedLeaderConfirmsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGroup(t, Options{})
		defer g.stopAll()
		g.grow("a", "b", "c")
		a := g.hosts["a"].r
		index, term, err := a.ReadIndex(t.Context())
		if err != nil || index < a.CommitIndex() {
			t.Fatalf("read index %d, %v", index, err)
		}
		g.net.Isolate("a")
		if _, _, err := a.ReadIndex(t.Context()); err == nil {
			t.Error("a leader that is cut off confirmed a read")
		}
		g.waitLeader("b", "c")
		g.net.Heal("a")
		if err := a.ConfirmTerm(t.Context(), term); err == nil {
			t.Error("a deposed leader confirmed its term")
		}
		g.waitEqual("a", "b", "c")
	})
}

// A learner's word must not count: only a majority of the voters can have elected nobody else.
func TestLearnersConfirmNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGroup(t, Options{})
		defer g.stopAll()
		g.grow("a", "b", "c")
		for _, id := range []string{"d", "e"} {
			g.start(id, false)
			if err := g.hosts["a"].r.AddLearner(id); err != nil {
				t.Fatal(err)
			}
		}
		g.waitEqual("a", "d", "e")
		g.net.Isolate("b")
		g.net.Isolate("c")
		if _, _, err := g.hosts["a"].r.ReadIndex(t.Context()); !errors.Is(err, errcode.New(errcode.Unavailable, "")) {
			t.Errorf("two learners confirmed a leader: %v", err)
		}
	})
}

// A leader begins by comparing clocks. A voter that is gone without a word must not hold up everybody who waits for it.
func TestClocksOfAMajorityAreEnough(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGroup(t, Options{})
		defer g.stopAll()
		g.grow("a", "b", "c")
		a, b := g.hosts["a"], g.hosts["b"]
		g.hosts["c"].mute.Store(true)
		b.ahead.Store(int64(-time.Hour))
		began := time.Now()
		a.r.compareClocks(t.Context())
		if took := time.Since(began); took > 0 {
			t.Errorf("waited %v for a voter that says nothing", took)
		}
		if ahead := time.Since(time.UnixMilli(a.r.Stamp())); ahead < 59*time.Minute {
			t.Errorf("of two clocks the earlier one counts, but the stamp is %v behind the later one", ahead)
		}
		g.hosts["c"].mute.Store(false)
		a.r.compareClocks(t.Context())
		synctest.Wait()
		if ahead := time.Since(time.UnixMilli(a.r.Stamp())); ahead > time.Minute {
			t.Errorf("of three clocks the middle one counts, but the stamp is %v behind it", ahead)
		}
		b.mute.Store(true)
		g.hosts["c"].mute.Store(true)
		began = time.Now()
		a.r.compareClocks(t.Context())
		if took := time.Since(began); took != 500*time.Millisecond {
			t.Errorf("waited %v for voters of which none says anything", took)
		}
	})
}

func TestVoterOfALaterTermRefutesTheLeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGroup(t, Options{})
		defer g.stopAll()
		g.grow("a", "b", "c")
		g.hosts["b"].term.Store(1000)
		g.hosts["c"].term.Store(1000)
		if _, _, err := g.hosts["a"].r.ReadIndex(t.Context()); !errors.Is(err, errcode.New(errcode.NotLeader, "")) {
			t.Errorf("error %v, want NOT_LEADER", err)
		}
	})
}

func TestMembersLeaveAndLeadersHandOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGroup(t, Options{})
		defer g.stopAll()
		g.grow("a", "b", "c")
		a := g.hosts["a"].r
		if err := a.Remove("a"); !errors.Is(err, errcode.New(errcode.Conflict, "")) {
			t.Errorf("the leader removed itself: %v", err)
		}
		if err := a.Promote("d"); !errors.Is(err, errcode.New(errcode.Conflict, "")) {
			t.Errorf("a stranger became a voter: %v", err)
		}
		if err := a.Transfer("b"); err != nil {
			t.Fatal(err)
		}
		g.waitLeader("b")
		b := g.hosts["b"].r
		if err := errors.Join(b.Demote("c"), b.Remove("a")); err != nil {
			t.Fatal(err)
		}
		if got, want := fmt.Sprint(b.Members()), fmt.Sprint([]Member{{"b", true}, {"c", false}}); got != want {
			t.Errorf("members %v, want %v", got, want)
		}
		g.mustWrite("b", 0, 10)
		g.stop("a")
		g.waitEqual("b", "c")
	})
}

// One clock that runs days ahead moves log time by no more than 5 s beyond the others, even when its node leads.
func TestWrongClockOfTheLeaderMovesLittle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGroup(t, Options{})
		defer g.stopAll()
		g.grow("a", "b", "c")
		wrong := g.hosts["b"]
		wrong.ahead.Store(int64(48 * time.Hour))
		if err := g.hosts["a"].r.Transfer("b"); err != nil {
			t.Fatal(err)
		}
		g.waitLeader("b")
		if ahead := wrong.r.Stamp() - time.Now().UnixMilli(); ahead > aheadMax+100 {
			t.Errorf("the leader stamps %d ms ahead, at most %d are allowed", ahead, aheadMax)
		}
		slow := g.hosts["c"]
		slow.ahead.Store(int64(-48 * time.Hour))
		if err := wrong.r.Transfer("c"); err != nil {
			t.Fatal(err)
		}
		g.waitLeader("c")
		if behind := time.Now().UnixMilli() - slow.r.Stamp(); behind < 47*3_600_000 {
			t.Errorf("a slow clock was moved: %d ms behind", behind)
		}
	})
}

// A clock that jumps while its node leads moves log time no further, before the clocks are compared again and after.
func TestClockThatJumpsMovesLittle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGroup(t, Options{})
		defer g.stopAll()
		g.grow("a", "b", "c")
		a := g.hosts["a"]
		a.r.compareClocks(t.Context())
		synctest.Wait()
		a.ahead.Store(int64(time.Hour))
		if ahead := a.r.Stamp() - time.Now().UnixMilli(); ahead > aheadMax {
			t.Errorf("the leader stamps %d ms ahead at once, at most %d are allowed", ahead, aheadMax)
		}
		a.r.compareClocks(t.Context())
		synctest.Wait()
		if ahead := a.r.Stamp() - time.Now().UnixMilli(); ahead > aheadMax {
			t.Errorf("the leader stamps %d ms ahead, at most %d are allowed", ahead, aheadMax)
		}
		a.ahead.Store(0)
		time.Sleep(time.Minute)
		if behind := time.Now().UnixMilli() - a.r.Stamp(); behind > 0 {
			t.Errorf("the leader stamps %d ms behind a clock that is right", behind)
		}
	})
}

// A directory that lost its log must not vote again.
func TestVoterWithoutMemoryIsRefused(t *testing.T) {
	_, err := Open(Options{Dir: t.TempDir(), NodeID: "a", Machine: ledger{}, Group: transport.Shard(schema.ShardID(1))})
	if err == nil {
		t.Fatal("an empty directory was opened as that of a voter")
	}
}
