// Package storage holds the state of one group (a shard or the meta group): counters in blocks in memory, dictionaries, and the
// small rows of its state machine, with Pebble as their checkpoint. The Raft log is what makes recent writes durable; a Store is
// durable up to Durable, and a restart replays the log from there.
//
// One goroutine writes, in steps; nothing cuts through a step:
//
//	s, err := storage.Open(storage.Options{Dir: dir, Memory: storage.NewMemory(1 << 30)})
//	s.Update(func(tx *storage.Tx) {
//		err = tx.SetTable(table)
//		t := tx.Table(table.ID)
//		t.Add(0, []uint32{t.Intern(0, "A"), t.Intern(1, "female")}, 89)
//		tx.SetApplied(schema.Applied{Index: 7, Term: 1})
//	})
//
// Any number read, each at the instant of its Snapshot, which takes constant time and never waits for more than one step:
//
//	snap, err := s.Snapshot()
//	defer snap.Release()
//	view, _ := snap.Table(table.ID)
//	for _, seg := range view.Segments(storage.Filter{}, 2) {
//		err = seg.Scan(ctx, []int{0}, func(c *storage.Chunk) error { … })
//	}
//
// How the state is laid out in memory and on disk: docs/format/storage.md.
package storage

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/quipudb/quipu/storage/keys"
	"github.com/quipudb/quipu/storage/schema"
)

// Options say where a Store lives and what it shares with others.
type Options struct {
	Dir             string
	FS              vfs.FS            // the disk if nil
	Memory          *Memory           // a budget of 256 MiB of its own if nil
	Cache           *pebble.Cache     // Pebble's own small one if nil
	FileCache       *pebble.FileCache // Pebble's own if nil
	Logger          *slog.Logger      // discards if nil
	Halt            func(error)       // called once, when the store can no longer keep its promises; does nothing if nil
	CheckpointEvery time.Duration     // 1 s if zero; negative: only Checkpoint and Close make any
}

// ErrClosed is a use of a store after Close.
var ErrClosed = errors.New("storage: store is closed")

// Store is the state of one group.
type Store struct {
	opts   Options
	fs     vfs.FS
	memory *Memory
	log    *slog.Logger
	clock  clock
	views  views

	applied atomic.Pointer[schema.Applied]
	durable atomic.Pointer[schema.Applied]
	dicts   sync.Map // schema.TableID → *DictReader
	waiters waiters
	stats   counters
	streams atomic.Uint64 // number of the last export or import
	extent  atomic.Int64  // about how many bytes all blocks would take in memory, as of the last checkpoint
	unsaved atomic.Int64  // bytes of blocks that no checkpoint has written yet: this store's part of memory.dirty

	mu       sync.Mutex // the apply mutex: held by Update, and briefly by Snapshot, a checkpoint and eviction; guards what follows
	tx       Tx
	root     *root
	epoch    uint64 // of changes made now; nodes of it are changed in place
	frozen   uint64 // epoch of the last checkpoint that began
	lastGen  uint64
	config   []byte
	rows     map[string][]byte
	changed  map[string][]byte // rows put (or nil: deleted) since the last checkpoint began
	erased   []keys.Range      // removed from Pebble by the next checkpoint, before it sets anything
	grown    []*dict           // dictionaries that grew in this Update
	states   map[schema.TableID]*TableState
	pin      *pin  // of the last durable checkpoint; never nil
	dirtyNow int64 // bytes of blocks changed since the last checkpoint began
	cellsNow int64 // cells of them
	addsNow  int64 // increments since then
	closed   bool

	fixed int64 // bytes of dictionaries and rows when the state was loaded

	saving chan struct{} // full while a checkpoint, an export or an install runs, which own what follows. Taken before mu
	db     *pebble.DB
	dbDir  string
	saved  uint64                      // epoch of the last durable checkpoint
	lens   map[schema.TableID][]uint32 // values of each dictionary that are in Pebble
	cost   time.Duration               // of the last checkpoint
	ended  time.Time                   // when it ended

	lock    io.Closer
	kick    chan struct{}
	stop    chan struct{}
	stopped sync.WaitGroup
	failed  chan struct{} // closed when failure is set
	failure atomic.Pointer[error]
	damage  atomic.Pointer[string] // what Pebble last reported as damaged, with the file's name
	wrecked atomic.Bool            // Pebble called Fatalf
}

// Applied is the last log position whose effects the state has.
func (s *Store) Applied() schema.Applied { return *s.applied.Load() }

// Durable is the last log position that a crash cannot take away. The log may be compacted up to it.
func (s *Store) Durable() schema.Applied { return *s.durable.Load() }

// Update runs fn as one step: no snapshot and no checkpoint sees a part of it. One goroutine calls it. If fn panics the state is of no
// more use: nothing is ever written from it, and the panic goes on.
func (s *Store) Update(fn func(tx *Tx)) {
	s.breathe()
	s.mu.Lock()
	done := false
	defer func() {
		if !done {
			s.fail(errors.New("storage: a step was broken off by a panic"))
		}
		s.publish()
		s.mu.Unlock()
	}()
	if s.closed {
		panic(ErrClosed)
	}
	fn(&s.tx)
	if s.memory.over() {
		s.evict(evictSteps)
	}
	if s.due() {
		s.kickCheckpointer()
	}
	done = true
}

// breathe makes the writer wait for a checkpoint where Busy did not hold enough back: while a log is replayed, and behind many proposals in
// flight. What is dirty beyond it is at most what one step touches.
func (s *Store) breathe() {
	if s.opts.CheckpointEvery > 0 && s.memory.crowded() && s.unsaved.Load() > 0 && s.Checkpoint(context.Background()) == nil {
		s.shrink()
	}
}

// publish makes what an Update did visible to dictionary readers and waiters.
func (s *Store) publish() {
	for _, d := range s.grown {
		d.published.Store(d.n)
	}
	s.grown = s.grown[:0]
	if a := s.tx.applied; a != *s.applied.Load() {
		s.applied.Store(&a)
		s.waiters.wake(a.Index)
	}
}

// WaitApplied returns when the state has the effects of the log up to index.
func (s *Store) WaitApplied(ctx context.Context, index uint64) error {
	if s.Applied().Index >= index {
		return nil
	}
	ch, leave := s.waiters.enter(index)
	defer leave()
	if s.Applied().Index >= index {
		return nil
	}
	select {
	case <-ch:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-s.failed:
		return s.Err()
	case <-s.stop:
		return ErrClosed
	}
}

// Busy reports that so much awaits a checkpoint, of this store too, that no more writes should be proposed for now.
func (s *Store) Busy() bool { return s.memory.busy() && s.unsaved.Load() > 0 }

// WaitRoom returns when the store is not Busy, or with the error of ctx or of a store that stopped. Meanwhile it has a checkpoint made.
func (s *Store) WaitRoom(ctx context.Context) error {
	for {
		next := s.memory.nextSaved() // before the look
		if !s.Busy() {
			return nil
		}
		s.kickCheckpointer()
		select {
		case <-next:
		case <-ctx.Done():
			return ctx.Err()
		case <-s.failed:
			return s.Err()
		case <-s.stop:
			return ErrClosed
		}
	}
}

// Err is why the store stopped, or nil.
func (s *Store) Err() error {
	if e := s.failure.Load(); e != nil {
		return *e
	}
	return nil
}

// fail stops the store for good. It may be called from anywhere, also from inside Pebble: the loop calls Halt.
func (s *Store) fail(err error) {
	if s.failure.CompareAndSwap(nil, &err) {
		close(s.failed)
	}
}

// ownRoot makes the root a node of the current epoch.
func (s *Store) ownRoot() *root {
	if s.root.epoch != s.epoch {
		s.root = s.root.copy(s.epoch)
	}
	return s.root
}

// generation is a number that no layout of this store had before.
func (s *Store) generation() uint64 {
	s.lastGen++
	return s.lastGen
}

func (s *Store) interned(d *dict) {
	if n := len(s.grown); n == 0 || s.grown[n-1] != d {
		s.grown = append(s.grown, d)
	}
}

// charge takes dictionaries and rows to account. s.mu is held.
func (s *Store) charge(bytes int64) {
	s.fixed += bytes
	s.memory.add(bytes)
}

// giveBack clears the accounts of a state that is about to go, but for what snapshots hold. s.mu is held.
func (s *Store) giveBack() {
	s.clock.clear(s.epoch)
	s.charge(-s.fixed)
	s.unsavedBy(-s.dirtyNow)
	s.memory.saved()
	s.dirtyNow, s.cellsNow, s.addsNow = 0, 0, 0
}

func (s *Store) unsavedBy(bytes int64) {
	s.unsaved.Add(bytes)
	s.memory.dirty.Add(bytes)
}

func (s *Store) erase(r keys.Range) { s.erased = append(s.erased, r) }

// renew returns a version of h that belongs to the current epoch, in h's place in the tree.
func (s *Store) renew(t *table, w *window, h *block) *block {
	c := h.data.Load()
	private := c == nil
	if private {
		c = s.mustRead(t, w, h)
	}
	if !s.views.sees(h.epoch) {
		if private {
			c = s.clock.install(h, c)
		}
		if h.epoch <= s.frozen {
			s.dirtied(h.bytes, c)
		}
		h.epoch = s.epoch
		w.place(h, s.epoch)
		return h
	}
	if !private {
		c = c.clone()
	}
	n := &block{epoch: s.epoch, id: h.id, ring: ringOut}
	n.data.Store(c)
	w.place(n, s.epoch)
	if h.epoch <= s.frozen {
		s.cellsNow += int64(c.live)
	}
	s.retire(h)
	s.created(n)
	return n
}

// created enters a new block of the current epoch into the accounts.
func (s *Store) created(h *block) {
	s.clock.adopt(h)
	s.dirtied(h.bytes, nil) // its cells were counted when they came
	if s.memory.over() {
		s.evict(evictSteps)
	}
}

// resized brings the accounts of a block of the current epoch up to date.
func (s *Store) resized(h *block) { s.dirtied(s.clock.resized(h), nil) }

func (s *Store) dirtied(bytes int64, c *cells) {
	s.dirtyNow += bytes
	s.unsavedBy(bytes)
	if c != nil {
		s.cellsNow += int64(c.live)
	}
}

// retire takes h, which is no longer part of the newest tree, out of its accounts.
func (s *Store) retire(h *block) {
	bytes := s.clock.part(h)
	if h.epoch > s.frozen {
		s.dirtied(-bytes, nil)
	}
	s.views.hold(h, bytes)
}

func (s *Store) retireAll(w *window) {
	w.blocks(func(h *block) bool {
		s.retire(h)
		return true
	})
}

// resident gives the cells of a block of the newest tree, which are read back if they are not in memory.
func (s *Store) resident(t *table, w *window, h *block) *cells {
	if c := h.data.Load(); c != nil {
		if !h.used.Load() {
			h.used.Store(true)
		}
		return c
	}
	return s.clock.install(h, s.mustRead(t, w, h))
}

// peek is resident for one look: what is read back does not stay.
func (s *Store) peek(t *table, w *window, h *block) *cells {
	if c := h.data.Load(); c != nil {
		return c
	}
	return s.mustRead(t, w, h)
}

// mustRead reads a block for the writer, who cannot go on without it.
func (s *Store) mustRead(t *table, w *window, h *block) *cells {
	c, err := s.readBlock(s.pin, t, w, h)
	if err != nil {
		s.fail(err)
		panic(err)
	}
	return c
}

const evictSteps = 256

// evict drops blocks while the budget is exceeded, looking at some of them only. s.mu is held.
func (s *Store) evict(steps int) int {
	s.views.mu.Lock()
	defer s.views.mu.Unlock()
	budget := s.memory.budget
	n := s.clock.evict(budget-budget/32, steps, func(h *block) bool {
		return h.epoch <= s.pin.epoch && s.views.covered(h.epoch)
	})
	s.stats.evicted.Add(uint64(n))
	return n
}
