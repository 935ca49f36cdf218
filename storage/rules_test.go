package storage

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/quipudb/quipu/storage/schema"
)

// evictAll drops every block that may go.
func evictAll(s *Store) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.views.mu.Lock()
	defer s.views.mu.Unlock()
	for range 2 {
		s.clock.evict(0, 1<<20, func(h *block) bool { return h.epoch <= s.pin.epoch && s.views.covered(h.epoch) })
	}
}

// addAll adds delta to n cells of table 1, which has one dimension.
func addAll(s *Store, n int, delta int64) {
	s.Update(func(tx *Tx) { addTo(tx, n, delta) })
}

// addTo adds delta to n cells of table 1, within an update of the caller.
func addTo(tx *Tx, n int, delta int64) {
	if tx.Table(1) == nil {
		_ = tx.SetTable(testTable(1, 1))
	}
	ts := tx.Table(1)
	for i := range n {
		ts.Add(0, []uint32{ts.Intern(0, fmt.Sprint("v", i))}, delta)
	}
}

func resident(s *Store) int {
	n, _ := s.clock.size()
	return n
}

func TestDirtyBlocksAreNeverEvicted(t *testing.T) {
	s := mustOpen(t, Options{FS: vfs.NewMem()})
	defer mustClose(t, s)
	addAll(s, 20_000, 1)
	all := resident(s)
	if evictAll(s); resident(s) != all {
		t.Fatalf("%d of %d dirty blocks were evicted", all-resident(s), all)
	}
	if err := s.Checkpoint(t.Context()); err != nil {
		t.Fatal(err)
	}
	if evictAll(s); resident(s) != 0 {
		t.Fatalf("%d clean blocks stayed", resident(s))
	}
	s.Update(func(tx *Tx) { tx.Table(1).Add(0, []uint32{7}, 5) })
	if evictAll(s); resident(s) != 1 {
		t.Fatalf("%d blocks in memory after one was changed", resident(s))
	}
	s.Update(func(tx *Tx) {
		if got := tx.Table(1).Get(0, []uint32{7}); got != 6 {
			t.Errorf("the changed cell is %d, want 6", got)
		}
	})
}

// A block that is read back for a snapshot is the one of its instant, not a later one: not from memory, not from Pebble.
func TestReadBackIsAsOfTheSnapshot(t *testing.T) {
	s := mustOpen(t, Options{FS: vfs.NewMem()})
	defer mustClose(t, s)
	addAll(s, 6000, 1)
	if err := s.Checkpoint(t.Context()); err != nil {
		t.Fatal(err)
	}
	n, _ := s.Snapshot()
	defer n.Release()
	evictAll(s)
	for range 3 { // later values reach memory and Pebble
		addAll(s, 6000, 1)
		if err := s.Checkpoint(t.Context()); err != nil {
			t.Fatal(err)
		}
		evictAll(s)
	}
	before := s.Stats().ReadBack
	for cell, count := range contents(t, n, 1) {
		if count != 1 {
			t.Fatalf("cell %s is %d in the snapshot, want 1", cell, count)
		}
	}
	if s.Stats().ReadBack == before {
		t.Error("nothing was read back: the test shows nothing")
	}
	for cell, count := range now(t, s, 1) {
		if count != 4 {
			t.Fatalf("cell %s is %d now, want 4", cell, count)
		}
	}
}

// A block that was dirty at the instant of a snapshot is not in the snapshot's Pebble state: it must stay in memory after a checkpoint.
func TestBlocksDirtyAtTheSnapshotStay(t *testing.T) {
	s := mustOpen(t, Options{FS: vfs.NewMem()})
	defer mustClose(t, s)
	addAll(s, 100, 1)
	n, _ := s.Snapshot()
	if err := s.Checkpoint(t.Context()); err != nil {
		t.Fatal(err)
	}
	if evictAll(s); resident(s) != 1 {
		t.Fatal("a block went that the snapshot can read from nowhere else")
	}
	if got := contents(t, n, 1); len(got) != 100 {
		t.Errorf("the snapshot has %d cells", len(got))
	}
	n.Release()
	if evictAll(s); resident(s) != 0 {
		t.Error("the block stayed after the snapshot went")
	}
}

func TestSnapshotAboveItsShareEnds(t *testing.T) {
	memory := NewMemory(4 << 20)
	s := mustOpen(t, Options{FS: vfs.NewMem(), Memory: memory})
	defer mustClose(t, s)
	addAll(s, 200_000, 1) // 1.6 MB dirty: above the quarter that readers may hold
	n, _ := s.Snapshot()
	young, _ := s.Snapshot()
	addAll(s, 200_000, 1)
	s.shrink()
	v, _ := n.Table(1)
	err := v.Segments(Filter{}, 1)[0].Scan(t.Context(), nil, func(*Chunk) error { return nil })
	if !errors.Is(err, ErrSnapshotTooOld) {
		t.Errorf("the scan of a snapshot above its share gives %v", err)
	}
	n.Release()
	young.Release()
	if r := memory.readers.Load(); r != 0 {
		t.Errorf("readers hold %d bytes after all snapshots went", r)
	}
	if got := now(t, s, 1); len(got) != 200_000 || got["0: v5"] != 2 {
		t.Errorf("%d cells now", len(got))
	}
}

func TestScanOfAReleasedSnapshot(t *testing.T) {
	s := mustOpen(t, Options{FS: vfs.NewMem()})
	defer mustClose(t, s)
	addAll(s, 10, 1)
	n, _ := s.Snapshot()
	v, _ := n.Table(1)
	n.Release()
	n.Release()
	if err := v.Segments(Filter{}, 1)[0].Scan(t.Context(), nil, func(*Chunk) error { return nil }); !errors.Is(err, ErrReleased) {
		t.Errorf("Scan gives %v", err)
	}
}

func TestBusyUntilCheckpoint(t *testing.T) {
	s := mustOpen(t, Options{FS: vfs.NewMem(), Memory: NewMemory(1 << 20)})
	defer mustClose(t, s)
	neighbour := mustOpen(t, Options{FS: vfs.NewMem(), Memory: s.memory})
	defer mustClose(t, neighbour)
	addAll(s, 40_000, 1)
	if !s.Busy() {
		t.Error("not busy with more than a quarter of the budget dirty")
	}
	if neighbour.Busy() {
		t.Error("a store is busy that no checkpoint can help")
	}
	if err := s.Checkpoint(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s.Busy() {
		t.Error("busy after a checkpoint")
	}
}

func TestStepsAreBoundedWhereBlocksAreReadBack(t *testing.T) {
	s := mustOpen(t, Options{FS: vfs.NewMem(), Memory: NewMemory(1 << 20)})
	defer mustClose(t, s)
	addAll(s, 200_000, 1) // over the budget, but 1.6 MB are no matter
	if err := s.Checkpoint(t.Context()); err != nil {
		t.Fatal(err)
	}
	if x := s.extent.Load(); x < 1_600_000 || x > 3_200_000 || s.StepCells() != math.MaxInt {
		t.Errorf("%d cells a step with blocks of %d bytes", s.StepCells(), x)
	}
	s.extent.Store(stepBytesMin + 1)
	if n := s.StepCells(); n != 819 {
		t.Errorf("%d cells a step in a large table that is not in memory", n)
	}
}

func TestStepsAreNotBoundedWhereThereIsRoom(t *testing.T) {
	s := mustOpen(t, Options{FS: vfs.NewMem(), Memory: NewMemory(1 << 30)})
	defer mustClose(t, s)
	s.extent.Store(stepBytesMin + 1)
	if n := s.StepCells(); n != math.MaxInt {
		t.Errorf("%d cells a step with room", n)
	}
}

// In virtual time: who waits for room gets a checkpoint made at once, in whichever store the changes are.
func TestWaitRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := mustOpen(t, Options{FS: vfs.NewMem(), Memory: NewMemory(1 << 20), CheckpointEvery: time.Hour})
		defer mustClose(t, s)
		if err := s.WaitRoom(t.Context()); err != nil {
			t.Error(err)
		}
		if err := s.lockSaving(t.Context()); err != nil { // as a checkpoint in progress does
			t.Fatal(err)
		}
		addAll(s, 40_000, 1)
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := s.WaitRoom(short); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("WaitRoom of a busy store gives %v", err)
		}
		s.unlockSaving()
		if err := s.WaitRoom(t.Context()); err != nil || s.Busy() {
			t.Errorf("WaitRoom gives %v, busy %v", err, s.Busy())
		}
	})
}

// In virtual time: a checkpoint comes within a second of a change, and at once when many cells changed.
func TestCheckpointsInTheBackground(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := mustOpen(t, Options{FS: vfs.NewMem(), CheckpointEvery: time.Second})
		defer mustClose(t, s)
		s.Update(func(tx *Tx) { tx.SetApplied(schema.Applied{Index: 1, Term: 1}) })
		time.Sleep(1100 * time.Millisecond)
		synctest.Wait()
		if s.Durable().Index != 1 {
			t.Errorf("durable at %d a second later", s.Durable().Index)
		}
		s.Update(func(tx *Tx) { // together: a checkpoint may begin as soon as the cells are there
			addTo(tx, dirtyCellsMax+1, 1)
			tx.SetApplied(schema.Applied{Index: 2, Term: 1})
		})
		time.Sleep(200 * time.Millisecond) // a rest after the one before, which may have slept within Pebble; far from the next second
		synctest.Wait()
		if s.Durable().Index != 2 {
			t.Errorf("durable at %d with %d cells dirty", s.Durable().Index, dirtyCellsMax)
		}
	})
}

// In virtual time: after a checkpoint that took long the next one rests, but not while ever more would have to be replayed after a crash.
func TestRestEndsBeforeTheReplayIsLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := mustOpen(t, Options{FS: vfs.NewMem(), CheckpointEvery: time.Second})
		defer mustClose(t, s)
		addAll(s, 10, 1)
		time.Sleep(1100 * time.Millisecond)
		synctest.Wait()
		if err := s.lockSaving(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.cost, s.ended = time.Hour, time.Now()
		s.unlockSaving()
		index, rows := uint64(0), 1<<16
		cols, deltas := [][]uint32{slices.Repeat([]uint32{1}, rows)}, slices.Repeat([]int64{1}, rows)
		for adds := 0; adds < replayMax; adds += rows {
			time.Sleep(10 * time.Second)
			synctest.Wait()
			if s.Durable().Index != 0 {
				t.Fatalf("a checkpoint after %d increments did not wait for its rest", adds)
			}
			s.Update(func(tx *Tx) {
				index++
				tx.Table(1).AddColumns(0, cols, deltas)
				tx.SetApplied(schema.Applied{Index: index, Term: 1})
			})
		}
		time.Sleep(time.Millisecond)
		synctest.Wait()
		if s.Durable().Index != index {
			t.Errorf("durable at %d of %d: %d increments would be replayed", s.Durable().Index, index, replayMax)
		}
	})
}

func TestWaitApplied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := mustOpen(t, Options{FS: vfs.NewMem()})
		defer mustClose(t, s)
		done := make(chan error, 1)
		go func() { done <- s.WaitApplied(t.Context(), 5) }()
		for i := range uint64(5) {
			synctest.Wait()
			select {
			case <-done:
				t.Fatalf("WaitApplied(5) returned at %d", i)
			default:
			}
			s.Update(func(tx *Tx) { tx.SetApplied(schema.Applied{Index: i + 1, Term: 1}) })
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := s.WaitApplied(ctx, 6); !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled wait gives %v", err)
		}
	})
}

func TestDictReaderSeesAppliedValuesOnly(t *testing.T) {
	s := mustOpen(t, Options{FS: vfs.NewMem()})
	defer mustClose(t, s)
	if s.Dict(1) != nil {
		t.Error("there is a dictionary of no table")
	}
	addAll(s, 3, 1)
	r := s.Dict(1)
	s.Update(func(tx *Tx) {
		tx.Table(1).Intern(0, "new")
		if _, ok := r.Lookup(0, "new"); ok || r.Len(0) != 3 {
			t.Error("a value is seen before its Update has ended")
		}
	})
	if c, ok := r.Lookup(0, "new"); !ok || c != 4 || r.Len(0) != 4 || r.Value(0, 4) != "new" || r.Value(0, 0) != "" {
		t.Errorf("lookup gives %d, %v", c, ok)
	}
	def := testTable(1, 2)
	def.Dims[1].Default = schema.V("x")
	s.Update(func(tx *Tx) { _ = tx.SetTable(def) })
	if c, ok := r.Lookup(1, "x"); !ok || c != 1 {
		t.Errorf("the default of a new column has code %d, %v", c, ok)
	}
}

func TestSetTableKeepsDimensions(t *testing.T) {
	s := mustOpen(t, Options{FS: vfs.NewMem()})
	defer mustClose(t, s)
	s.Update(func(tx *Tx) {
		_ = tx.SetTable(testTable(1, 2))
		if err := tx.SetTable(testTable(1, 1)); !errors.Is(err, ErrDimensions) || len(tx.Table(1).Schema().Dims) != 2 {
			t.Errorf("taking a dimension away gives %v", err)
		}
		if tx.DropTable(2) {
			t.Error("dropped a table that does not exist")
		}
	})
}

func TestPanicInUpdateStopsTheStore(t *testing.T) {
	fs := vfs.NewCrashableMem()
	halted := make(chan error, 1)
	s := mustOpen(t, Options{FS: fs, Halt: func(err error) { halted <- err }})
	addAll(s, 10, 1)
	if err := s.Checkpoint(t.Context()); err != nil {
		t.Fatal(err)
	}
	func() {
		defer func() { _ = recover() }()
		s.Update(func(tx *Tx) {
			tx.Table(1).Add(0, []uint32{1}, 100)
			panic("invariant")
		})
	}()
	if err := <-halted; !strings.Contains(err.Error(), "panic") {
		t.Errorf("halted with %v", err)
	}
	if err := s.Checkpoint(t.Context()); err == nil {
		t.Error("half a step can be written")
	}
	if _, err := s.Snapshot(); err == nil {
		t.Error("half a step can be read")
	}
	_ = s.Close()
	s = mustOpen(t, Options{FS: fs})
	defer mustClose(t, s)
	want := map[string]int64{}
	for i := range 10 {
		want[fmt.Sprint("0: v", i)] = 1
	}
	if got := now(t, s, 1); !maps.Equal(got, want) {
		t.Errorf("after the restart: %v", got)
	}
}

func TestReadersAndWriterAtOnce(t *testing.T) {
	memory := NewMemory(8 << 20)
	s := mustOpen(t, Options{FS: vfs.NewMem(), Memory: memory, CheckpointEvery: 5 * time.Millisecond})
	defer mustClose(t, s)
	addAll(s, 30_000, 1)
	stop := make(chan struct{})
	done := make(chan error, 2)
	for range 2 {
		go func() { done <- readUntil(s, stop) }()
	}
	for i := range 40 {
		addAll(s, 30_000, 1)
		if i%8 == 0 {
			s.shrink()
		}
	}
	close(stop)
	for range 2 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// readUntil scans snapshot after snapshot: in each, all cells have one count.
func readUntil(s *Store, stop chan struct{}) error {
	for {
		select {
		case <-stop:
			return nil
		default:
		}
		n, err := s.Snapshot()
		if err != nil {
			return err
		}
		v, _ := n.Table(1)
		var first int64
		cells := 0
		for _, g := range v.Segments(Filter{}, 2) {
			err = g.Scan(context.Background(), []int{0}, func(c *Chunk) error {
				for _, count := range c.Counts {
					if first == 0 {
						first = count
					}
					if count != first {
						return fmt.Errorf("a snapshot has counts %d and %d", first, count)
					}
				}
				cells += c.Len
				return nil
			})
			if err != nil {
				break
			}
		}
		n.Release()
		if err != nil && !errors.Is(err, ErrSnapshotTooOld) {
			return err
		}
		if err == nil && cells != 30_000 {
			return fmt.Errorf("a snapshot has %d cells", cells)
		}
	}
}
