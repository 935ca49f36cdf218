package replica

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/quipudb/quipu/server/errcode"
)

// Leadership is handed over by the steps that raft takes itself: nothing new is proposed, the one who is to lead gets what is missing, and is told
// to stand for election at once. Raft's own steps wait for a follower without end if the leader steps down meanwhile, and the replica, when it
// leads again, refuses every command (hashicorp/raft#696). These end with a timeout.

// handPause is between two looks whether the next leader has everything.
const handPause = 2 * time.Millisecond

// Transfer asks a voter to lead. It returns when this replica does not lead any more, or when it goes on to.
func (r *Replica) Transfer(node string) error {
	if node == r.o.NodeID {
		return nil
	}
	if m, ok := r.member(node); !ok || !m.Voter {
		return errcode.New(errcode.Conflict, "node %s has no vote in group %s", node, r.o.Group)
	}
	return r.handTo(func(context.Context) string { return node })
}

// HandOver gives leadership away if this replica leads and another voter can.
func (r *Replica) HandOver() error {
	if r.Alone() || r.raft.State() != raft.Leader {
		return nil
	}
	return r.handTo(r.furthest)
}

// handTo hands leadership to the voter that choose names, which is asked once nothing new is proposed.
func (r *Replica) handTo(choose func(context.Context) string) error {
	term, err := r.Leading()
	if err != nil {
		return err
	}
	if !r.handing.CompareAndSwap(false, true) {
		return errcode.New(errcode.Conflict, "the leadership of group %s is being handed over already", r.o.Group)
	}
	defer r.handing.Store(false)
	ctx, cancel := context.WithTimeout(r.life, r.o.Timeout)
	defer cancel()
	node := choose(ctx)
	if err := r.equalTo(ctx, node); err != nil {
		return fmt.Errorf("group %s: hand over to %s: %w", r.o.Group, node, err)
	}
	r.tellToLead(node)
	for r.raft.State() == raft.Leader && r.raft.CurrentTerm() == term {
		if sleep(ctx, handPause) != nil {
			return fmt.Errorf("group %s: %s has not begun to lead within %v", r.o.Group, node, r.o.Timeout)
		}
	}
	return nil
}

// tellToLead has a voter stand for election. The message may hang for longer than anybody waits; whether it was heard shows in the term.
func (r *Replica) tellToLead(node string) {
	r.confirmMu.Lock()
	defer r.confirmMu.Unlock()
	if r.life.Err() != nil {
		return
	}
	r.wg.Go(func() {
		var done raft.TimeoutNowResponse
		if err := r.o.Transport.TimeoutNow(raft.ServerID(node), raft.ServerAddress(node), &raft.TimeoutNowRequest{RPCHeader: r.header()}, &done); err != nil {
			r.log.Info("the next leader could not be told", "node", node, "err", err)
		}
	})
}

// equalTo waits until a voter's log ends as this one's.
func (r *Replica) equalTo(ctx context.Context, node string) error {
	for {
		mine, err := r.Last()
		if err != nil {
			return err
		}
		theirs, err := r.o.Peers.Last(ctx, node, r.o.Group)
		if err == nil && theirs == mine {
			return nil
		}
		if sleep(ctx, handPause) != nil {
			return errcode.New(errcode.Unavailable, "its log ends with %+v, this one's with %+v, %v", theirs, mine, err)
		}
	}
}

// furthest is the voter beside this one whose log has come the furthest, of those that answer soon.
func (r *Replica) furthest(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, r.o.Timeout/4)
	defer cancel()
	var mu sync.Mutex
	var best string
	var at Last
	var wg sync.WaitGroup
	for _, node := range r.voters() {
		if node == r.o.NodeID {
			continue
		}
		wg.Go(func() {
			last, err := r.o.Peers.Last(ctx, node, r.o.Group)
			mu.Lock()
			defer mu.Unlock()
			if best == "" || err == nil && last.after(at) {
				best, at = node, last
			}
		})
	}
	wg.Wait()
	return best
}

func (l Last) after(other Last) bool {
	return l.Term > other.Term || l.Term == other.Term && l.Index > other.Index
}
