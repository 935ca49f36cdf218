package peer

import (
	"context"
	"sync"
	"time"

	peerv1 "github.com/quipudb/quipu/proto/peer/v1"
	"github.com/quipudb/quipu/query/exec"
	"github.com/quipudb/quipu/query/plan"
	"github.com/quipudb/quipu/server/rounds"
)

// Snapshot is a snapshot at another node, under a lease that is renewed until it is released.
type Snapshot struct {
	node    *Node
	handle  uint64
	release func()
}

// Open starts a fragment at the node. It asks nothing yet: what is wrong is said by the first round.
func (s *Snapshot) Open(f *plan.Fragment, o exec.Options) (exec.Worker, error) {
	return newWorker(s, f, o), nil
}

// Node is the node where it lies.
func (s *Snapshot) Node() string { return s.node.id }

// Release frees the snapshot. Twice is harmless.
func (s *Snapshot) Release() { s.release() }

// ownSnapshot is a snapshot of this node that another one holds a lease of.
type ownSnapshot struct {
	own    *Server
	handle uint64
}

// Open starts a fragment.
func (s *ownSnapshot) Open(f *plan.Fragment, o exec.Options) (exec.Worker, error) {
	snap, done, err := s.own.leases.use(s.handle)
	if err != nil {
		return nil, err
	}
	w, err := snap.Open(f, o)
	if err != nil {
		done()
		return nil, err
	}
	return &ownWorker{w, done}, nil
}

// Release does nothing: who holds the lease ends it.
func (s *ownSnapshot) Release() {}

// ownWorker gives the snapshot back with the work.
type ownWorker struct {
	exec.Worker
	done func()
}

func (w *ownWorker) Close() {
	w.Worker.Close()
	w.done()
}

// Times of renewals. A lease is longer.
const (
	renewEvery = 10 * time.Second
	renewWait  = 5 * time.Second
)

// held are the snapshots that this node holds at another one. While there are any, one goroutine renews and releases them.
type held struct {
	node *Node
	kick chan struct{} // capacity 1: there is something to release

	mu      sync.Mutex // guards the fields below
	live    map[uint64]bool
	drop    []uint64
	running bool
}

// take makes a snapshot of a handle.
func (h *held) take(handle uint64) rounds.Snapshot {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.live == nil {
		h.live, h.kick = map[uint64]bool{}, make(chan struct{}, 1)
	}
	h.live[handle] = true
	if !h.running {
		let, err := h.node.conn.Hold() // as long as there is anything to keep
		if err != nil {
			let = func() {} // it has ended, and so have the leases
		}
		if h.running = h.node.client.goFunc(func() { defer let(); h.keep() }); !h.running {
			let()
		}
	}
	return &Snapshot{node: h.node, handle: handle, release: func() { h.free(handle) }}
}

func (h *held) free(handle uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.live[handle] {
		return
	}
	delete(h.live, handle)
	h.drop = append(h.drop, handle)
	select {
	case h.kick <- struct{}{}:
	default:
	}
}

// keep renews and releases until there is nothing left.
func (h *held) keep() {
	t := time.NewTicker(renewEvery)
	defer t.Stop()
	for {
		renew := false
		select {
		case <-h.kick:
		case <-t.C:
			renew = true
		case <-h.node.client.ctx.Done():
			return
		}
		live, drop, over := h.work()
		if over {
			return
		}
		if len(drop) > 0 {
			h.call(func(ctx context.Context) error {
				_, err := h.node.service.Release(ctx, &peerv1.ReleaseRequest{Handles: drop})
				return err // the leases end by themselves
			})
		}
		if renew && len(live) > 0 {
			h.call(func(ctx context.Context) error {
				_, err := h.node.service.Renew(ctx, &peerv1.RenewRequest{Handles: live})
				return err // the next fragment says what is gone
			})
		}
	}
}

// work is what is there to do; over says that the goroutine ends, for there is nothing.
func (h *held) work() (live, drop []uint64, over bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for handle := range h.live { // any order
		live = append(live, handle)
	}
	drop, h.drop = h.drop, nil
	h.running = len(live)+len(drop) > 0
	return live, drop, !h.running
}

func (h *held) call(f func(context.Context) error) {
	ctx, cancel := context.WithTimeout(h.node.client.ctx, renewWait)
	defer cancel()
	_ = f(ctx)
}
