package rounds

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/quipudb/quipu/server/errcode"
	"github.com/quipudb/quipu/server/replica"
	"github.com/quipudb/quipu/storage"
	"github.com/quipudb/quipu/storage/schema"
)

// fakePart is a shard leader whose failures the test decides. Its snapshots are those of a real, empty store.
type fakePart struct {
	store *storage.Store

	mu       sync.Mutex // guards the fields below
	held     replica.Round
	prepares int
	opens    int
	reads    int
	given    []*storage.Snapshot
	refuse   func(step string) error
	silent   string // the step that waits for the end of its ctx
}

var errNo = errors.New("no")

func (p *fakePart) ask(ctx context.Context, step string) error {
	if p.silent == step {
		<-ctx.Done()
		return ctx.Err()
	}
	if p.refuse == nil {
		return nil
	}
	return p.refuse(step)
}

func (p *fakePart) Prepare(ctx context.Context, r replica.Round) (replica.Promise, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.prepares++
	if err := p.ask(ctx, "prepare"); err != nil {
		return replica.Promise{}, err
	}
	p.held = r
	return replica.Promise{Term: 1}, nil
}

func (p *fakePart) Open(ctx context.Context, _ uint64) (*storage.Snapshot, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.opens++
	if err := p.ask(ctx, "open"); err != nil {
		return nil, err
	}
	return p.snapshot()
}

func (p *fakePart) snapshot() (*storage.Snapshot, error) {
	s, err := p.store.Snapshot()
	p.given = append(p.given, s)
	return s, err
}

func (p *fakePart) Commit(ctx context.Context, r replica.Round, _ uint64) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.held != r {
		return replica.ErrNoHold
	}
	p.held = replica.Round{}
	return p.ask(ctx, "commit")
}

func (p *fakePart) Abort(r replica.Round) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.held == r {
		p.held = replica.Round{}
	}
}

func (p *fakePart) Read(context.Context) (*storage.Snapshot, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.reads++
	return p.snapshot()
}

func (p *fakePart) Peek(context.Context, uint64) (*storage.Snapshot, State, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s, err := p.snapshot()
	return s, State{}, err
}

type cluster struct {
	t     *testing.T
	parts []*fakePart
	s     *Sequencer
}

func newCluster(t *testing.T, shards int) *cluster {
	c := &cluster{t: t}
	parts := map[schema.ShardID]*fakePart{}
	for i := range shards {
		store, err := storage.Open(storage.Options{Dir: "shard", FS: vfs.NewMem(), Memory: storage.NewMemory(64 << 20)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := store.Close(); err != nil {
				t.Error(err)
			}
		})
		store.Update(func(tx *storage.Tx) {
			tx.SetTable(&schema.Table{ID: 1, Version: 1, Name: schema.Name{Database: "d", Schema: "s", Table: "t"}, Measures: 1,
				Dims: []schema.Dimension{{Name: "dept", Type: schema.Text, Default: schema.Null}}})
			tx.Table(1).Add(0, []uint32{0}, 1)
			tx.SetApplied(schema.Applied{Index: 1, Term: 1})
		})
		p := &fakePart{store: store}
		c.parts = append(c.parts, p)
		parts[schema.ShardID(i)] = p
	}
	here := Leaders(parts)
	c.s = New(Options{Term: func() (uint64, error) { return 1, nil }, Leader: func(schema.ShardID) (Participant, error) { return here, nil }})
	return c
}

// hold keeps rounds from beginning until the function that it gives is called: reads gather.
func (c *cluster) hold() (release func()) {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	r := &read{}
	for i := range c.parts {
		r.shards = append(r.shards, schema.ShardID(i))
	}
	mark(c.s.busy, r.shards)
	return func() { c.s.end([]*read{r}, nil, nil) }
}

// clean checks that nothing of any round is left: no hold, and no snapshot that can still be read.
func (c *cluster) clean() {
	c.t.Helper()
	for i, p := range c.parts {
		if p.held != (replica.Round{}) {
			c.t.Errorf("shard %d still holds %v", i, p.held)
		}
		for _, s := range p.given {
			if !released(s) {
				c.t.Errorf("shard %d: a snapshot was not released", i)
			}
		}
	}
}

func released(s *storage.Snapshot) bool {
	table, ok := s.Table(1)
	if !ok {
		return false
	}
	for _, g := range table.Segments(storage.Filter{}, 1) {
		if !errors.Is(g.Scan(context.Background(), nil, func(*storage.Chunk) error { return nil }), storage.ErrReleased) {
			return false
		}
	}
	return true
}

func TestRoundCutsEveryShard(t *testing.T) {
	c := newCluster(t, 3)
	cut, err := c.s.Take(t.Context(), []schema.ShardID{2, 0, 2})
	if err != nil {
		t.Fatal(err)
	}
	if len(cut.Snapshots) != 2 || cut.Round.Number == 0 || cut.Taken.IsZero() {
		t.Errorf("%+v", cut)
	}
	if c.parts[1].prepares != 0 || c.parts[2].opens != 1 {
		t.Error("a shard that nobody asked for took part, or one took part twice")
	}
	cut.Release()
	cut.Release()
	c.clean()
}

// After a fault nobody may know who leads, and whoever is asked may answer late. A round in which finding out ate the time of its holds would
// fail everywhere, and leave as little known to the next one.
func TestFindingLeadersTakesNothingFromARound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 4)
		known := c.s.o.Leader
		c.s.o.Leader = func(id schema.ShardID) (Participant, error) {
			time.Sleep(replica.HoldMax / 2)
			return known(id)
		}
		began := time.Now()
		cut, err := c.s.Take(t.Context(), []schema.ShardID{0, 1, 2, 3})
		if err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took > replica.HoldMax/2 {
			t.Errorf("the leaders were found in %v, one after the other", took)
		}
		cut.Release()
		c.clean()
	})
}

func TestOneShardNeedsNoRound(t *testing.T) {
	c := newCluster(t, 2)
	cut, err := c.s.Take(t.Context(), []schema.ShardID{1, 1})
	if err != nil || cut.Round != (replica.Round{}) || c.parts[1].reads != 1 || c.parts[1].prepares != 0 {
		t.Errorf("%+v, %v", cut, err)
	}
	cut.Release()
	c.clean()
}

func TestShardThatRefusesLeavesWithItsReads(t *testing.T) {
	for _, step := range []string{"prepare", "open", "commit"} {
		t.Run(step, func(t *testing.T) {
			c := newCluster(t, 3)
			c.parts[2].refuse = func(at string) error {
				if at == step {
					return errNo
				}
				return nil
			}
			release := c.hold() // both reads arrive before a round begins
			var wg sync.WaitGroup
			var good, bad error
			wg.Go(func() {
				cut, err := c.s.Take(context.Background(), []schema.ShardID{0, 1})
				if good = err; err == nil {
					cut.Release()
				}
			})
			wg.Go(func() { _, bad = c.s.Take(context.Background(), []schema.ShardID{1, 2}) })
			release()
			wg.Wait()
			if good != nil {
				t.Errorf("a read of other shards: %v", good)
			}
			if e := errcode.From(bad); bad == nil || e.Code != errcode.Unavailable || !errors.Is(bad, errNo) {
				t.Errorf("the read of the shard that said no: %v", bad)
			}
			c.clean()
		})
	}
}

func TestReadGetsAnotherRound(t *testing.T) {
	c := newCluster(t, 2)
	once := true
	c.parts[1].refuse = func(at string) error {
		if at == "commit" && once {
			once = false
			return errNo
		}
		return nil
	}
	cut, err := c.s.Take(t.Context(), []schema.ShardID{0, 1})
	if err != nil || cut.Round.Number != 2 {
		t.Fatalf("%+v, %v", cut, err)
	}
	cut.Release()
	c.clean()
}

func TestReadsThatWaitShareARound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 2)
		release := c.hold()
		const reads = 50
		var wg sync.WaitGroup
		for range reads {
			wg.Go(func() {
				cut, err := c.s.Take(t.Context(), []schema.ShardID{0, 1})
				if err != nil {
					t.Error(err)
					return
				}
				cut.Release()
			})
		}
		synctest.Wait()
		release()
		wg.Wait()
		if n := c.parts[0].prepares; n != 1 {
			t.Errorf("%d rounds for %d reads", n, reads)
		}
		c.clean()
	})
}

func TestCallerThatLeavesLeaksNothing(t *testing.T) {
	c := newCluster(t, 2)
	release := c.hold()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.s.Take(ctx, []schema.ShardID{0, 1}); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if len(c.s.waiting) != 0 {
		t.Error("the read still waits")
	}
	release()
	var wg sync.WaitGroup
	for i := range 200 { // callers leave at every moment of a round
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i)*2*time.Microsecond)
		wg.Go(func() {
			defer cancel()
			if cut, err := c.s.Take(ctx, []schema.ShardID{0, 1}); err == nil {
				cut.Release()
			}
		})
	}
	wg.Wait()
	c.clean()
}

func TestSilentShardIsWaitedForOnceARound(t *testing.T) {
	c := newCluster(t, 3)
	c.s.o.Silence = 5 * time.Millisecond
	c.parts[2].silent = "open"
	release := c.hold()
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if _, err := c.s.Take(context.Background(), []schema.ShardID{0, 2}); errcode.From(err).Code != errcode.Unavailable {
				t.Error(err)
			}
		})
	}
	release()
	wg.Wait()
	if n := c.parts[2].opens; n > 2*20 { // once a round, and two rounds a read
		t.Errorf("the silent shard was asked %d times", n)
	}
	c.clean()
}

// TestShardsAreAskedSideBySide holds that a round waits once for all of its silent shards, at every step, and that a healthy read of the
// same round is served after that.
func TestShardsAreAskedSideBySide(t *testing.T) {
	const silence = 250 * time.Millisecond
	for step, rests := range map[string]time.Duration{"prepare": silence, "open": silence, "commit": 0} { // between rounds, as long as gates were held
		t.Run(step, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newCluster(t, 8)
				for _, p := range c.parts[2:] {
					p.silent = step
				}
				release := c.hold()
				began := time.Now()
				var wg sync.WaitGroup
				wg.Go(func() {
					cut, err := c.s.Take(t.Context(), []schema.ShardID{0, 1})
					if err != nil {
						t.Error(err)
						return
					}
					if took := time.Since(began); took != silence {
						t.Errorf("a read of healthy shards took %v", took)
					}
					cut.Release()
				})
				wg.Go(func() {
					_, err := c.s.Take(t.Context(), []schema.ShardID{0, 2, 3, 4, 5, 6, 7})
					if took := time.Since(began); errcode.From(err).Code != errcode.Unavailable || took != 2*silence+rests {
						t.Errorf("after %v: %v", took, err)
					}
				})
				synctest.Wait()
				release()
				wg.Wait()
				c.clean()
			})
		})
	}
}

// TestDisjointRoundsRunSideBySide holds that a round does not wait for one that shares no shard with it, waits for one that does, and that
// a read is not overtaken for ever.
func TestDisjointRoundsRunSideBySide(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 5)
		c.parts[0].silent = "open"
		began := time.Now()
		take := func(shards ...schema.ShardID) time.Duration {
			if cut, err := c.s.Take(t.Context(), shards); err == nil {
				cut.Release()
			}
			return time.Since(began)
		}
		var wg sync.WaitGroup
		took := make([]time.Duration, 4)
		for i, shards := range [][]schema.ShardID{{0, 1}, {2, 3}, {1, 4}, {3, 4}} {
			wg.Go(func() { took[i] = take(shards...) })
			synctest.Wait()
		}
		wg.Wait()
		// {1, 4} waits for shard 1, and joins its second round, which begins when the writers have had as long as the first one took; {3, 4} does not
		// overtake it.
		want := []time.Duration{750 * time.Millisecond, 0, 750 * time.Millisecond, 750 * time.Millisecond}
		if !slices.Equal(took, want) {
			t.Errorf("%v", took)
		}
		c.clean()
	})
}

// TestReadsOfARoundShareSnapshots holds that one snapshot a shard serves them all, until the last one has released it.
func TestReadsOfARoundShareSnapshots(t *testing.T) {
	c := newCluster(t, 2)
	release := c.hold()
	cuts := make(chan *Cut, 2)
	for range 2 {
		go func() {
			cut, err := c.s.Take(context.Background(), []schema.ShardID{0, 1})
			if err != nil {
				t.Error(err)
			}
			cuts <- cut
		}()
	}
	for c.waiting() < 2 {
		runtime.Gosched()
	}
	release()
	first, second := <-cuts, <-cuts
	first.Release()
	first.Release()
	if released(c.parts[0].given[0]) || c.parts[0].opens != 1 {
		t.Errorf("a read took the snapshot of the other with it, or %d were opened", c.parts[0].opens)
	}
	second.Release()
	c.clean()
}

func (c *cluster) waiting() int {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	return len(c.s.waiting)
}

// TestNodeIsAskedOnceAStep holds that shards of one node go into one message.
func TestNodeIsAskedOnceAStep(t *testing.T) {
	c := newCluster(t, 6)
	nodes := [2]*messages{}
	for i := range nodes {
		nodes[i] = &messages{Participant: mustLeader(t, c)}
	}
	c.s.o.Leader = func(id schema.ShardID) (Participant, error) { return nodes[id%2], nil }
	cut, err := c.s.Take(t.Context(), []schema.ShardID{0, 1, 2, 3, 4, 5})
	if err != nil {
		t.Fatal(err)
	}
	cut.Release()
	for i, n := range nodes {
		if n.n != [3]int{1, 1, 1} {
			t.Errorf("node %d: %v messages", i, n.n)
		}
	}
	c.clean()
}

func mustLeader(t *testing.T, c *cluster) Participant {
	p, err := c.s.o.Leader(0)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// messages counts what a participant is asked.
type messages struct {
	Participant
	n [3]int
}

func (m *messages) Prepare(ctx context.Context, r replica.Round, ids []schema.ShardID) []Prepared {
	m.n[0]++
	return m.Participant.Prepare(ctx, r, ids)
}

func (m *messages) Open(ctx context.Context, r replica.Round, holds []Hold) []Opened {
	m.n[1]++
	return m.Participant.Open(ctx, r, holds)
}

func (m *messages) Commit(ctx context.Context, r replica.Round, holds []Hold) []error {
	m.n[2]++
	return m.Participant.Commit(ctx, r, holds)
}

// TestReplicaServesWhereItIsInTime holds that the replica that is chosen opens the snapshot of its shard, and that the leader does where the
// replica is not there within the time for it, which is told.
func TestReplicaServesWhereItIsInTime(t *testing.T) {
	for _, late := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			c, replicas := newCluster(t, 3), newCluster(t, 3)
			c.s.o.ReplicaWait = 3 * time.Millisecond
			other := mustLeader(t, replicas)
			c.s.o.Serve = func(id schema.ShardID) Participant {
				if id == 0 {
					return nil
				}
				return other
			}
			var missed []schema.ShardID
			c.s.o.Missed = func(id schema.ShardID, p Participant) {
				if missed = append(missed, id); p != other {
					t.Error("another replica than the one that was chosen")
				}
			}
			if late {
				replicas.parts[2].silent = "open"
			}
			began := time.Now()
			cut, err := c.s.Take(t.Context(), []schema.ShardID{0, 1, 2})
			if err != nil {
				t.Fatal(err)
			}
			cut.Release()
			opens := [6]int{}
			for i := range 3 {
				opens[i], opens[3+i] = c.parts[i].opens, replicas.parts[i].opens
			}
			want, took := [6]int{1, 0, 0, 0, 1, 1}, time.Duration(0)
			if late {
				want, took = [6]int{1, 0, 1, 0, 1, 1}, 3*time.Millisecond
			}
			if opens != want || time.Since(began) != took || late != slices.Equal(missed, []schema.ShardID{2}) {
				t.Errorf("late %v: opened %v in %v, missed %v", late, opens, time.Since(began), missed)
			}
			for i := range 3 {
				for _, p := range []*fakePart{c.parts[i], replicas.parts[i]} {
					for _, s := range p.given {
						if !released(s) {
							t.Error("a snapshot is left over")
						}
					}
				}
			}
			c.clean()
		})
	}
}

// gatedPart is a shard leader with a real gate, in which nothing is written.
type gatedPart struct {
	*fakePart
	gate *replica.Gate
}

func (p gatedPart) Prepare(ctx context.Context, r replica.Round) (replica.Promise, error) {
	return p.gate.Prepare(ctx, r)
}

func (p gatedPart) Commit(_ context.Context, r replica.Round, term uint64) error {
	return p.gate.Commit(r, term)
}

func (p gatedPart) Abort(r replica.Round) { p.gate.Abort(r) }

// TestGatesCatchUpWithEachOther holds that a gate which owes its writers a pause, while another one owes none, is waited for once: a gate that
// closed meanwhile would owe as much the next time, to the same effect, as long as reads arrive.
func TestGatesCatchUpWithEachOther(t *testing.T) {
	for _, owed := range []time.Duration{10 * time.Millisecond, 100 * time.Millisecond, 250 * time.Millisecond, replica.HoldMax} {
		t.Run(owed.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newCluster(t, 2)
				parts := map[schema.ShardID]gatedPart{}
				for i, p := range c.parts {
					commit, leader := func() uint64 { return 1 }, func() (uint64, error) { return 1, nil }
					parts[schema.ShardID(i)] = gatedPart{p, replica.NewGate(commit, leader)}
				}
				here := Leaders(parts)
				c.s.o.Leader = func(schema.ShardID) (Participant, error) { return here, nil }
				early := replica.Round{Number: 1}
				if _, err := parts[1].gate.Prepare(t.Context(), early); err != nil {
					t.Fatal(err)
				}
				time.Sleep(owed)
				parts[1].gate.Abort(early)

				tries, began := 0, time.Now()
				for range 3 { // the third finds nothing of it any more
					began = time.Now()
					for {
						tries++
						cut, err := c.s.Take(t.Context(), []schema.ShardID{0, 1})
						if err == nil {
							cut.Release()
							break
						}
						if tries > 5 {
							t.Fatal(err)
						}
					}
				}
				if took := time.Since(began); took > time.Millisecond {
					t.Errorf("a gate still waits for the other: %v", took)
				}
				c.clean()
			})
		})
	}
}
