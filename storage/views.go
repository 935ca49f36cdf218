package storage

import (
	"errors"
	"slices"
	"sort"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
)

// ErrSnapshotTooOld ends a snapshot that held more memory than readers may have. The query can be run again on a new one.
var ErrSnapshotTooOld = errors.New("storage: snapshot too old: writes have replaced more of it than readers may hold in memory; run the query again")

// ErrReleased is a use of a snapshot after its Release.
var ErrReleased = errors.New("storage: snapshot was released")

// views are the epochs that somebody looks at: open snapshots, and a checkpoint in progress. Blocks that the newest tree has
// replaced belong to the newest view that sees them; when it closes they pass to the next older one that does, or go.
type views struct {
	memory *Memory
	newest atomic.Uint64 // epoch of the last element of open, 0 if there is none

	mu      sync.Mutex // guards what follows and the fields of each view and pin
	open    []*view    // by epoch
	drained sync.Cond  // told when a view closes
}

// pin is a Pebble snapshot that holds the blocks as of a checkpoint.
type pin struct {
	epoch uint64 // blocks of this epoch and older can be read back from it
	snap  *pebble.Snapshot
	db    *pebble.DB // of which snap is one
	dir   string     // of db
	refs  int
}

// view keeps everything of one epoch readable.
type view struct {
	epoch    uint64
	pin      *pin
	internal bool // belongs to a checkpoint: may hold what it needs
	ended    atomic.Bool
	owners   int // snapshots that were not released
	scans    int
	held     []held
	bytes    int64
}

type held struct {
	h     *block
	bytes int64
}

// enter opens a view of the epoch, in the memory of room, or shares the open one of the same epoch.
func (v *views) enter(room *view, epoch uint64, p *pin, internal bool) *view {
	v.mu.Lock()
	defer v.mu.Unlock()
	if n := len(v.open); n > 0 && !internal {
		if last := v.open[n-1]; last.epoch == epoch && !last.internal && !last.ended.Load() {
			last.owners++
			return last
		}
	}
	w := room
	w.epoch, w.pin, w.internal, w.owners = epoch, p, internal, 1
	p.refs++
	v.open = append(v.open, w)
	v.newest.Store(epoch)
	return w
}

// sees reports whether a view may look at a block of the epoch.
func (v *views) sees(epoch uint64) bool { return v.newest.Load() >= epoch }

// covered reports whether every view that may look at a block of the epoch can read it back from its pin. v.mu is held.
func (v *views) covered(epoch uint64) bool {
	i := sort.Search(len(v.open), func(i int) bool { return v.open[i].epoch >= epoch })
	return i == len(v.open) || v.open[i].pin.epoch >= epoch
}

// hold takes over a block that left the tree, with the bytes that the accounts have for it.
func (v *views) hold(h *block, bytes int64) {
	if bytes == 0 {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	n := len(v.open)
	switch {
	case n == 0 || v.open[n-1].epoch < h.epoch:
		v.memory.add(-bytes)
	case v.memory.tight() && v.covered(h.epoch):
		h.data.Store(nil)
		v.memory.add(-bytes)
	default:
		v.keep(v.open[n-1], held{h, bytes})
	}
}

func (v *views) keep(w *view, x held) {
	w.held = append(w.held, x)
	w.bytes += x.bytes
	if !w.internal {
		v.memory.readers.Add(x.bytes)
	}
}

// scan begins a scan under w.
func (v *views) scan(w *view) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if w.ended.Load() {
		return ErrSnapshotTooOld
	}
	w.scans++
	return nil
}

// scanned ends a scan.
func (v *views) scanned(w *view) { v.leave(w, func() { w.scans-- }) }

// release gives one ownership of w back.
func (v *views) release(w *view) { v.leave(w, func() { w.owners-- }) }

func (v *views) leave(w *view, change func()) {
	v.mu.Lock()
	defer v.mu.Unlock()
	change()
	v.closeIdle(w)
}

// closeIdle removes w if nobody needs it any more.
func (v *views) closeIdle(w *view) {
	i := slices.Index(v.open, w)
	if i < 0 || w.scans > 0 || w.owners > 0 && !w.ended.Load() {
		return
	}
	v.open = slices.Delete(v.open, i, i+1)
	newest := uint64(0)
	if n := len(v.open); n > 0 {
		newest = v.open[n-1].epoch
	}
	v.newest.Store(newest)
	for _, x := range w.held {
		if !w.internal {
			v.memory.readers.Add(-x.bytes)
		}
		if i > 0 && v.open[i-1].epoch >= x.h.epoch {
			v.keep(v.open[i-1], x)
		} else {
			v.memory.add(-x.bytes)
		}
	}
	w.held, w.bytes = nil, 0
	v.unpin(w.pin)
	v.drained.Broadcast()
}

// unpin drops one reference to p. Closing a Pebble snapshot does no I/O.
func (v *views) unpin(p *pin) {
	if p.refs--; p.refs == 0 {
		_ = p.snap.Close()
	}
}

// relieve frees memory that only readers hold, while it is above their share: first what they can read back, then by ending the
// oldest snapshot that holds any.
func (v *views) relieve() {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, w := range v.open {
		v.dropCovered(w)
	}
	for v.memory.readersOver() {
		i := slices.IndexFunc(v.open, func(w *view) bool { return !w.internal && w.bytes > 0 && !w.ended.Load() })
		if i < 0 {
			return
		}
		v.open[i].ended.Store(true)
		v.closeIdle(v.open[i])
	}
}

func (v *views) dropCovered(w *view) {
	w.held = slices.DeleteFunc(w.held, func(x held) bool {
		if !v.covered(x.h.epoch) {
			return false
		}
		x.h.data.Store(nil)
		w.bytes -= x.bytes
		v.memory.add(-x.bytes)
		if !w.internal {
			v.memory.readers.Add(-x.bytes)
		}
		return true
	})
}

// endBefore ends every snapshot of an epoch below the given one, because the database under them is about to go, and waits for their
// scans in progress, which end at the next block.
func (v *views) endBefore(epoch uint64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, w := range slices.Clone(v.open) {
		if w.epoch < epoch {
			w.ended.Store(true)
			v.closeIdle(w)
		}
	}
	for len(v.open) > 0 && v.open[0].epoch < epoch {
		v.drained.Wait()
	}
}
