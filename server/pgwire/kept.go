package pgwire

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/quipudb/quipu/query"
)

// kept is the snapshot that all reads of a read-only block share. It lives for Options.BlockTimeout at most, because cells that change
// meanwhile are kept twice: then reads of it are interrupted, and later ones refused.
type kept struct {
	c *conn

	mu    sync.Mutex // guards the fields below
	snap  *query.Snapshot
	users int
	over  bool // no new users; freed with the last one
	timer *time.Timer
}

// take gives the shards that a read needs of the one snapshot of all of them, which the first read opens.
func (k *kept) take(ctx context.Context, r query.Read) (*query.Snapshot, error) {
	k.mu.Lock()
	snap, over := k.snap, k.over
	k.mu.Unlock()
	if snap == nil && !over {
		all := r
		all.Shards = nil
		var err error
		if snap, err = k.c.s.o.Source.Snapshot(ctx, all); err != nil {
			return nil, err
		}
		k.mu.Lock()
		k.snap = snap
		k.timer = time.AfterFunc(k.c.s.o.BlockTimeout, k.expire)
		k.mu.Unlock()
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.over {
		return nil, errKeptTooLong
	}
	k.users++
	out := &query.Snapshot{ID: snap.ID, Taken: snap.Taken, Release: sync.OnceFunc(k.leave)}
	for _, s := range snap.Shards {
		if r.Shards == nil || slices.Contains(r.Shards, s.ID) {
			out.Shards = append(out.Shards, s)
		}
	}
	return out, nil
}

func (k *kept) leave() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.users--
	k.free()
}

// free releases the snapshot when it is over and nobody reads it. The caller holds mu.
func (k *kept) free() {
	if k.over && k.users == 0 && k.snap != nil {
		k.snap.Release()
		k.snap = nil
	}
}

// expire ends the snapshot and what reads it.
func (k *kept) expire() {
	k.mu.Lock()
	k.over = true
	busy := k.users > 0
	k.free()
	k.mu.Unlock()
	if busy {
		k.c.interrupt(errKeptTooLong)
	}
}

// end frees the snapshot with its block.
func (k *kept) end() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.timer != nil {
		k.timer.Stop()
	}
	k.over = true
	k.free()
}
