package peer

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quipudb/quipu/query/exec"
	"github.com/quipudb/quipu/query/plan"
	"github.com/quipudb/quipu/server/errcode"
	"github.com/quipudb/quipu/server/replica"
	"github.com/quipudb/quipu/server/rounds"
	"github.com/quipudb/quipu/storage"
	"github.com/quipudb/quipu/storage/schema"
)

// counted is a snapshot that knows how often it was released.
type countedSnapshot struct{ released atomic.Int64 }

func (s *countedSnapshot) Open(*plan.Fragment, exec.Options) (exec.Worker, error) { return nil, nil }
func (s *countedSnapshot) Release()                                               { s.released.Add(1) }

func TestLeases(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLeases(30*time.Second, 4)
		conn := &connection{}
		add := func() (*countedSnapshot, uint64) {
			s := &countedSnapshot{}
			h, err := l.add(s, conn)
			if err != nil {
				t.Fatal(err)
			}
			return s, h
		}
		check := func(what string, s *countedSnapshot, want int64) {
			t.Helper()
			synctest.Wait()
			if s.released.Load() != want {
				t.Errorf("%s: released %d times", what, s.released.Load())
			}
		}

		idle, h := add()
		time.Sleep(29 * time.Second)
		check("before its time", idle, 0)
		if gone := l.renew([]uint64{h, 1}); len(gone) != 1 || gone[0] != 1 {
			t.Error(gone)
		}
		time.Sleep(29 * time.Second)
		check("renewed", idle, 0)
		time.Sleep(time.Second)
		check("its time is over", idle, 1)
		if _, _, err := l.use(h); errcode.From(err).Code != errcode.SnapshotTooOld {
			t.Error(err)
		}

		used, h := add()
		_, done, err := l.use(h)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		check("in use", used, 0)
		done()
		done()
		time.Sleep(29 * time.Second)
		check("just used", used, 0)
		time.Sleep(time.Second)
		check("not used any more", used, 1)

		released, h := add()
		l.release([]uint64{h, h})
		check("released", released, 1)

		busy, h := add()
		_, done, _ = l.use(h)
		l.release([]uint64{h})
		check("released in use", busy, 0)
		done()
		check("released and used", busy, 1)

		lent := &countedSnapshot{}
		if _, err := l.lend(lent); err != nil {
			t.Fatal(err)
		}
		a, _ := add()
		b, h := add()
		_, done, _ = l.use(h)
		c, _ := add()
		over := &countedSnapshot{}
		if _, err := l.add(over, conn); errcode.From(err).Code != errcode.Busy {
			t.Error(err)
		}
		check("above the bound", over, 1)
		l.lost(conn)
		check("connection lost", a, 1)
		check("connection lost", c, 1)
		check("connection lost in use", b, 0)
		done()
		check("connection lost and used", b, 1)
		late := &countedSnapshot{}
		if _, err := l.add(late, conn); errcode.From(err).Code != errcode.Unavailable {
			t.Error(err)
		}
		check("connection lost before", late, 1)
		l.close()
		check("lent", lent, 0)
		if l.len() != 0 {
			t.Errorf("%d leases are left", l.len())
		}
		time.Sleep(time.Hour)
	})
}

// fill counts side × side cells on the shards of hosts, each cell on one of them.
func fill(t testing.TB, side int, shards ...*fakeShard) {
	table := &schema.Table{ID: 1, Version: 1, Name: schema.Name{Database: "d", Schema: "s", Table: "t"}, Measures: 1, Dims: []schema.Dimension{
		{Name: "a", Type: schema.Int8, Default: schema.Null}, {Name: "b", Type: schema.Int8, Default: schema.Null}}}
	for n, s := range shards {
		s.store.Update(func(tx *storage.Tx) {
			if err := tx.SetTable(table); err != nil {
				t.Error(err)
				return
			}
			state := tx.Table(1)
			for i := range side * side {
				if i%len(shards) == n {
					codes := []uint32{state.Intern(0, fmt.Sprint(i/side)), state.Intern(1, fmt.Sprint(i%side))}
					state.Add(0, codes, int64(1+(i*i)%97))
				}
			}
			tx.SetApplied(schema.Applied{Index: 5, Term: 3})
		})
	}
}

// chi is a test of a and b in a mode.
func chi(mode plan.Mode) *plan.Fragment {
	test := plan.TestByName("chi2_test")
	return &plan.Fragment{Table: 1, Version: 1, Name: "t", Dims: 2, Mode: mode, Limit: -1, Aggs: []*plan.Aggregate{{Kind: plan.AggTest, Type: plan.Record,
		Test: test, Cats: []*plan.Expr{plan.ColumnRef(0, plan.Int8), plan.ColumnRef(1, plan.Int8)}, Options: make([]plan.Value, len(test.Options)), Mode: mode}}}
}

// answer runs a fragment over snapshots and gives its rows and its cost.
func answer(t testing.TB, f *plan.Fragment, snapshots []rounds.ShardSnapshot) (rows [][]plan.Value, cost *exec.Cost, err error) {
	env := &exec.Env{Costs: map[*plan.Fragment]*exec.Cost{}, Options: exec.Options{Memory: exec.NewBudget(1 << 30)}}
	for _, s := range snapshots {
		env.Shards = append(env.Shards, exec.Shard{ID: s.Shard, Snapshot: s.Snapshot})
	}
	var root plan.Node = &plan.Grouped{Fragment: f}
	if f.Cells != nil {
		root = &plan.Scan{Fragment: f}
	}
	err = env.Run(t.Context(), &plan.Query{Root: root}, func(row []plan.Value) error {
		rows = append(rows, append([]plan.Value(nil), row...))
		return nil
	})
	return rows, env.Costs[f], err
}

// cluster is three nodes of two shards each with cells, and a sequencer that reaches all of them by a client.
type cluster struct {
	*network
	servers []*Server
	shards  []*fakeShard
	client  *Client
	rounds  *rounds.Sequencer
}

func newCluster(t *testing.T, side int) *cluster {
	c := &cluster{network: newNetwork(t)}
	for i := range 3 {
		s, h := c.node(fmt.Sprint(i), Options{}, schema.ShardID(2*i), schema.ShardID(2*i+1))
		c.servers = append(c.servers, s)
		c.shards = append(c.shards, h.shards[schema.ShardID(2*i)], h.shards[schema.ShardID(2*i+1)])
	}
	fill(t, side, c.shards...)
	c.client = c.network.client(nil)
	c.rounds = rounds.New(rounds.Options{Term: func() (uint64, error) { return 1, nil }, Leader: c.leader})
	return c
}

func (c *cluster) leader(id schema.ShardID) (rounds.Participant, error) {
	return c.client.Node(fmt.Sprint(id / 2))
}

func (c *cluster) take() *rounds.Cut {
	c.t.Helper()
	cut, err := c.rounds.Take(c.t.Context(), []schema.ShardID{0, 1, 2, 3, 4, 5})
	if err != nil {
		c.t.Fatal(err)
	}
	return cut
}

// free waits until no server holds a snapshot.
func (c *cluster) free() {
	for _, s := range c.servers {
		for s.Snapshots() > 0 {
			runtime.Gosched()
		}
	}
}

// local are the shards' snapshots without any wire.
func (c *cluster) local() (out []rounds.ShardSnapshot) {
	for _, s := range c.shards {
		snap, err := s.snapshot()
		if err != nil {
			c.t.Fatal(err)
		}
		c.t.Cleanup(snap.Release)
		out = append(out, rounds.ShardSnapshot{Shard: s.id, Snapshot: exec.Here{Snapshot: snap}})
	}
	return out
}

// TestRoundOverNodes holds that a round over three nodes gives what the shards have, in every mode, and that nothing is left of it.
func TestRoundOverNodes(t *testing.T) {
	c := newCluster(t, 30)
	cut := c.take()
	cells := &plan.Fragment{Table: 1, Version: 1, Name: "t", Dims: 2, Cells: []int{0, 1, 3}, Limit: -1}
	for _, f := range []*plan.Fragment{chi(plan.ModeMargins), chi(plan.ModeCells), cells} {
		want, _, err := answer(t, f, c.local())
		if err != nil || len(want) == 0 {
			t.Fatal(err)
		}
		got, cost, err := answer(t, f, cut.Snapshots)
		if err != nil {
			t.Fatal(err)
		}
		if sum(got) != sum(want) || len(got) != len(want) {
			t.Errorf("mode %v: %d rows\n%v\nof %d\n%v", f.Mode, len(got), got[0], len(want), want[0])
		}
		if cost.Elsewhere != 6 || cost.Cells == 0 && f.Cells == nil || cost.Rounds[0].Up == 0 || !strings.Contains(fmt.Sprint(cost.Lines(true)), "other nodes: 6 shards") {
			t.Errorf("%+v %v", cost, cost.Lines(true))
		}
	}
	cut.Release()
	c.free()
	for _, s := range c.shards {
		for _, snap := range s.given[:1] {
			if _, ok := snap.Table(1); ok && !releasedSoon(snap) {
				t.Errorf("shard %d: a snapshot was not released", s.id)
			}
		}
	}
}

// releasedSoon waits for the release: a server forgets a snapshot just before it releases it.
func releasedSoon(s *storage.Snapshot) bool {
	for end := time.Now().Add(10 * time.Second); !released(s); runtime.Gosched() {
		if time.Now().After(end) {
			return false
		}
	}
	return true
}

func released(s *storage.Snapshot) bool {
	table, _ := s.Table(1)
	for _, g := range table.Segments(storage.Filter{}, 1) {
		if !errors.Is(g.Scan(context.Background(), nil, func(*storage.Chunk) error { return nil }), storage.ErrReleased) {
			return false
		}
	}
	return true
}

// sum shows rows in any order: floats by their bits, and the sum of everything else.
func sum(rows [][]plan.Value) string {
	total := map[string]int{}
	for _, r := range rows {
		total[fmt.Sprint(r)]++
	}
	return fmt.Sprint(total)
}

// TestMarginsExchangeIntegers holds the bytes of a test in mode margins: with twice the categories, and so four times the cells, twice as
// many go there and back at most, and what a shard's sums take does not depend on them.
func TestMarginsExchangeIntegers(t *testing.T) {
	type bytes struct{ firstUp, secondDown, secondUp, cellsUp int64 }
	measure := func(side int) bytes {
		c := newCluster(t, side)
		cut := c.take()
		defer cut.Release()
		_, m, err := answer(t, chi(plan.ModeMargins), cut.Snapshots)
		if err != nil {
			t.Fatal(err)
		}
		_, all, err := answer(t, chi(plan.ModeCells), cut.Snapshots)
		if err != nil {
			t.Fatal(err)
		}
		if all.Rounds[1] != (exec.Traffic{}) {
			t.Errorf("mode cells had a second round: %+v", all)
		}
		return bytes{m.Rounds[0].Up, m.Rounds[1].Down, m.Rounds[1].Up, all.Rounds[0].Up}
	}
	small, large := measure(60), measure(120)
	t.Logf("60 x 60: %+v; 120 x 120: %+v", small, large)
	// A category costs its value (2 bytes and a type) and its total (2 bytes) up, its total over all shards down.
	if perCategory := large.firstUp / (6 * 240); perCategory > 10 {
		t.Errorf("%d bytes up a category and shard", perCategory)
	}
	if large.firstUp > 5*small.firstUp/2 || large.secondDown > 5*small.secondDown/2 {
		t.Errorf("margins grow faster than categories: %+v, %+v", small, large)
	}
	if large.secondUp > 6*400 || large.secondUp > small.secondUp+6*16 {
		t.Errorf("sums of six shards take %d bytes, those of a table of a quarter of the cells %d", large.secondUp, small.secondUp)
	}
	if large.cellsUp < 3*small.cellsUp || large.firstUp*2 > large.cellsUp {
		t.Errorf("cells should cost more: %+v", large)
	}
}

func TestRunFails(t *testing.T) {
	c := newCluster(t, 60)
	cut := c.take()
	f := chi(plan.ModeMargins)
	f.Version = 9
	if _, _, err := answer(t, f, cut.Snapshots); errcode.From(err).Code != errcode.SchemaChanged || errcode.From(err).Hint == "" {
		t.Errorf("a newer version: %v", err)
	}
	for _, s := range cut.Snapshots { // a shard's own bound, and a query that ends
		w, _ := s.Open(chi(plan.ModeCells), exec.Options{Memory: exec.NewBudget(1 << 10)})
		if _, err := w.First(t.Context()); errcode.From(err).Code != errcode.MemoryLimit {
			t.Error(err)
		}
		w.Close()
		w, _ = s.Open(chi(plan.ModeCells), exec.Options{})
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := w.First(ctx); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		w.Close()
	}
	enough := errors.New("enough")
	for _, s := range cut.Snapshots {
		w, _ := s.Open(&plan.Fragment{Table: 1, Version: 1, Dims: 2, Cells: []int{0}, Limit: -1}, exec.Options{})
		if err := w.Cells(t.Context(), func([]plan.Value) error { return enough }); !errors.Is(err, enough) {
			t.Error(err)
		}
		w.Close()
	}
	c.cut() // every connection, and with it every snapshot
	c.free()
	for {
		_, _, err := answer(t, chi(plan.ModeCells), cut.Snapshots)
		if code := errcode.From(err).Code; code == errcode.SnapshotTooOld {
			break
		} else if code != errcode.Unavailable { // while the connection is made again
			t.Fatal(err)
		}
	}
	cut.Release()
}

// TestTakenByAnother holds that a node which leads nothing reads by another one's round: snapshots at that one, at a third one, and at
// itself, all freed with the cut.
func TestTakenByAnother(t *testing.T) {
	c := newCluster(t, 30)
	c.hosts["0"].take = func(ctx context.Context, ids []schema.ShardID) (*rounds.Cut, error) { return c.rounds.Take(ctx, ids) }
	leader := c.network.client(c.servers[0])
	c.rounds = rounds.New(rounds.Options{Term: func() (uint64, error) { return 4, nil }, Leader: func(id schema.ShardID) (rounds.Participant, error) {
		if id < 2 {
			return c.hosts["0"], nil // the shards of the leader itself
		}
		return leader.Node(fmt.Sprint(id / 2))
	}})
	asking := c.network.client(c.servers[1])
	cut, err := c.at(asking, "0").Take(t.Context(), []schema.ShardID{0, 1, 2, 3, 4, 5})
	if err != nil {
		t.Fatal(err)
	}
	if cut.Round != (replica.Round{MetaTerm: 4, Number: 1}) || time.Since(cut.Taken) < 0 {
		t.Errorf("%+v", cut)
	}
	if _, ok := cut.Snapshots[2].Snapshot.(*ownSnapshot); !ok {
		t.Errorf("the asking node's own shard is a %T", cut.Snapshots[2].Snapshot)
	}
	want, _, _ := answer(t, chi(plan.ModeMargins), c.local())
	got, cost, err := answer(t, chi(plan.ModeMargins), cut.Snapshots)
	if err != nil || sum(got) != sum(want) || cost.Elsewhere != 4 {
		t.Errorf("%v %v, %+v", err, got, cost)
	}
	cut.Release()
	c.free()
	c.hosts["0"].take = func(context.Context, []schema.ShardID) (*rounds.Cut, error) {
		return nil, &NotLeader{Leader: "2", Err: errcode.New(errcode.NotLeader, "not the meta leader")}
	}
	_, err = c.at(asking, "0").Take(t.Context(), []schema.ShardID{0, 1})
	if e, ok := errors.AsType[*NotLeader](err); !ok || e.Leader != "2" {
		t.Error(err)
	}
}

// TestShardsOfARoundFail holds that each shard's own error comes back, and that the holds of the others are let go.
func TestShardsOfARoundFail(t *testing.T) {
	c := newCluster(t, 2)
	c.shards[3].err = errcode.New(errcode.NotLeader, "a new leader")
	c.shards[3].leader = "7"
	n := c.at(c.client, "1")
	round := replica.Round{MetaTerm: 1, Number: 8}
	p := n.Prepare(t.Context(), round, []schema.ShardID{2, 3, 9})
	if p[0].Err != nil || p[0].Promise != (replica.Promise{Index: 5, Term: 3}) {
		t.Errorf("%+v", p[0])
	}
	if e, ok := errors.AsType[*NotLeader](p[1].Err); !ok || e.Leader != "7" {
		t.Errorf("%+v", p[1])
	}
	if p[2].Err == nil {
		t.Errorf("%+v", p[2])
	}
	holds := []rounds.Hold{{Shard: 2, Promise: p[0].Promise}}
	if errs := n.Commit(t.Context(), replica.Round{MetaTerm: 1, Number: 7}, holds); errs[0] == nil {
		t.Error("another round's hold was let go")
	}
	if errs := n.Commit(t.Context(), round, holds); errs[0] != nil {
		t.Error(errs)
	}
	n.Prepare(t.Context(), replica.Round{MetaTerm: 1, Number: 9}, []schema.ShardID{2})
	n.Abort(replica.Round{MetaTerm: 1, Number: 9}, []schema.ShardID{2})
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if err := c.shards[2].gate.Pass(ctx, 5); err != nil {
		t.Error(err)
	}
	snap, err := n.Read(t.Context(), 2)
	if err != nil {
		t.Fatal(err)
	}
	snap.Release()
	snap.Release()
	c.free()
}
