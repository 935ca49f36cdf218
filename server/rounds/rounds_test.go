package rounds

import (
	"context"
	"errors"
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
	hang     bool // Open waits for the end of its ctx
}

var errNo = errors.New("no")

func (p *fakePart) ask(step string) error {
	if p.refuse == nil {
		return nil
	}
	return p.refuse(step)
}

func (p *fakePart) Prepare(_ context.Context, r replica.Round) (replica.Promise, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.prepares++
	if err := p.ask("prepare"); err != nil {
		return replica.Promise{}, err
	}
	p.held = r
	return replica.Promise{Term: 1}, nil
}

func (p *fakePart) Open(ctx context.Context, _ uint64) (*storage.Snapshot, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.opens++
	if p.hang {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if err := p.ask("open"); err != nil {
		return nil, err
	}
	return p.snapshot()
}

func (p *fakePart) snapshot() (*storage.Snapshot, error) {
	s, err := p.store.Snapshot()
	p.given = append(p.given, s)
	return s, err
}

func (p *fakePart) Commit(_ context.Context, r replica.Round, _ uint64) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.held != r {
		return replica.ErrNoHold
	}
	p.held = replica.Round{}
	return p.ask("commit")
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

type cluster struct {
	t     *testing.T
	parts []*fakePart
	s     *Sequencer
}

func newCluster(t *testing.T, shards int) *cluster {
	c := &cluster{t: t}
	parts := map[schema.ShardID]Participant{}
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
	c.s = New(parts, Options{Term: func() (uint64, error) { return 1, nil }})
	return c
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
			c.s.turn <- struct{}{} // both reads arrive before a round begins
			var wg sync.WaitGroup
			var good, bad error
			wg.Go(func() {
				cut, err := c.s.Take(context.Background(), []schema.ShardID{0, 1})
				if good = err; err == nil {
					cut.Release()
				}
			})
			wg.Go(func() { _, bad = c.s.Take(context.Background(), []schema.ShardID{1, 2}) })
			<-c.s.turn
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
		c.s.turn <- struct{}{}
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
		<-c.s.turn
		wg.Wait()
		if n := c.parts[0].prepares; n != 1 {
			t.Errorf("%d rounds for %d reads", n, reads)
		}
		c.clean()
	})
}

func TestCallerThatLeavesLeaksNothing(t *testing.T) {
	c := newCluster(t, 2)
	c.s.turn <- struct{}{}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.s.Take(ctx, []schema.ShardID{0, 1}); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if len(c.s.waiting) != 0 {
		t.Error("the read still waits")
	}
	<-c.s.turn
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
	c.parts[2].hang = true
	c.s.turn <- struct{}{}
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if _, err := c.s.Take(context.Background(), []schema.ShardID{0, 2}); errcode.From(err).Code != errcode.Unavailable {
				t.Error(err)
			}
		})
	}
	<-c.s.turn
	wg.Wait()
	if n := c.parts[2].opens; n > 2*20 {
		t.Errorf("the silent shard was asked %d times", n)
	}
	c.clean()
}
