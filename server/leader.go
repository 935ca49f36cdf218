package server

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/quipudb/quipu/proto/command/v1"
	peerv1 "github.com/quipudb/quipu/proto/peer/v1"
	"github.com/quipudb/quipu/server/errcode"
	"github.com/quipudb/quipu/server/replica"
	"github.com/quipudb/quipu/server/rounds"
	"github.com/quipudb/quipu/server/transport"
	"github.com/quipudb/quipu/storage/schema"
)

// Bounds of looking for a leader: an election takes up to three timeouts.
const (
	leaderTimeouts = 4
	leaderPause    = 20 * time.Millisecond
)

// atLeader runs a request at the leader of a group, here or there. It looks again, for as long as an election takes, when nobody leads or
// the leader has changed, both of which say that the request was not taken; once only, where that was in vain a moment ago. Any other error
// is the caller's.
func atLeader[T any](ctx context.Context, n *Node, g transport.Group, here func() (T, error), there func(node string) (T, error)) (T, error) {
	bounded, cancel := context.WithTimeout(ctx, leaderTimeouts*n.cfg.Peer.Timeout)
	defer cancel()
	e := errand{what: "lead", group: g}
	again := !n.outages.lasts(e, outageTimeouts*n.cfg.Peer.Timeout)
	for {
		out, err := tryLeader(bounded, n, g, here, there)
		if passing(err) {
			n.lost(g)
		}
		if codeOf(err) != errcode.NotLeader {
			if err == nil {
				n.outages.over(e)
			}
			return out, err
		}
		if !again || pause(bounded, leaderPause) != nil {
			if ctx.Err() != nil {
				return out, errcode.From(ctx.Err())
			}
			n.outages.failed(e)
			return out, errcode.New(errcode.Unavailable, "%w", &leaderless{g, err}).After(200 * time.Millisecond)
		}
	}
}

// whileLed bounds a request that is on its way to the leader of a group: one that hangs does not say that others have elected another. The
// context ends when this node sees that, or after two timeouts where it has no replica to see it by. The error that done gives is NOT_LEADER
// then: for requests that are harmless twice. A leader here needs no watch: it confirms its term, within its own time.
func (n *Node) whileLed(ctx context.Context, g transport.Group) (bounded context.Context, done func(error) error) {
	if r := n.replica(g); r != nil {
		if _, err := r.Leading(); err == nil {
			return ctx, func(err error) error { return err }
		}
	}
	bounded, cancel := context.WithCancel(ctx)
	every, began := n.cfg.Peer.Timeout/4, time.Now()
	was := ""
	if r := n.knowing(g); r != nil {
		was = r.Leader()
	}
	timer := time.AfterFunc(every, func() {
		for {
			switch r := n.knowing(g); {
			case r == nil && time.Since(began) >= attemptTimeouts*n.cfg.Peer.Timeout, r != nil && was != "" && r.Leader() != was:
				cancel()
			case r != nil && was == "":
				was = r.Leader()
			}
			if pause(bounded, every) != nil {
				return
			}
		}
	})
	return bounded, func(err error) error {
		ended := bounded.Err() != nil && ctx.Err() == nil
		timer.Stop()
		cancel()
		if err != nil && ended {
			return errcode.New(errcode.NotLeader, "the leader of group %s gave no answer: %w", g, err)
		}
		return err
	}
}

// attemptTimeouts bounds one try to have an answer from a leader that this node hears nothing of.
const attemptTimeouts = 2

// knowing is the replica of a group here, if it knows who leads, or nil.
func (n *Node) knowing(g transport.Group) *replica.Replica {
	if r := n.replica(g); r != nil && n.belongs(r) {
		return r
	}
	return nil
}

// leaderless says that no leader of a group could be reached for as long as an election takes.
type leaderless struct {
	group transport.Group
	last  error
}

func (e *leaderless) Error() string {
	return fmt.Sprintf("group %s has no leader that this node can reach: %v", e.group, e.last)
}

func (e *leaderless) Unwrap() error { return e.last }

func tryLeader[T any](ctx context.Context, n *Node, g transport.Group, here func() (T, error), there func(node string) (T, error)) (T, error) {
	switch node := n.leader(ctx, g); node {
	case "":
		var none T
		return none, errcode.New(errcode.NotLeader, "no leader of group %s is known", g)
	case n.id.Node:
		return here()
	default:
		return there(node)
	}
}

// leader is the node that leads a group as far as this one can find out, or "". A leader that has not caught up is none yet.
func (n *Node) leader(ctx context.Context, g transport.Group) string {
	if r := n.knowing(g); r != nil {
		node := r.Leader()
		if node == n.id.Node {
			if _, err := r.Leading(); err != nil {
				return ""
			}
		}
		return node
	}
	if hint := n.hint(g); hint != "" {
		return hint
	}
	return n.search(ctx, g)
}

// belongs says whether a replica here hears of its group's leader. One that its group has gone on without, and that is not deleted yet, knows
// nobody, and would say so for seconds; so does one that the group is about to take in.
func (n *Node) belongs(r *replica.Replica) bool {
	has := func(node string) bool { return node == n.id.Node }
	if !slices.ContainsFunc(r.Members(), func(m replica.Member) bool { return has(m.Node) }) {
		return false
	}
	if r.Leader() != "" {
		return true
	}
	on := n.machine.View().Replicas(uint32(r.Group())) // the entry that removed the replica need not have reached it
	return len(on) == 0 || slices.ContainsFunc(on, func(m command.Replica) bool { return has(m.Node) })
}

// search asks the members of a group, as the meta group has them on record, side by side. Of those that a majority of them gives, the leader of
// the latest term counts: one that was deposed may be the first to answer.
func (n *Node) search(ctx context.Context, g transport.Group) string {
	var wg sync.WaitGroup
	defer wg.Wait()
	ctx, cancel := context.WithTimeout(ctx, n.cfg.Peer.Timeout)
	defer cancel() // before wg.Wait: the slow ones are not waited for
	members := n.machine.View().Replicas(uint32(g))
	answers := make(chan *peerv1.GroupTerm, len(members)) // room for all
	asked := 0
	for _, m := range members {
		if m.Node == n.id.Node {
			continue // it has asked itself
		}
		asked++
		wg.Go(func() {
			terms, err := n.peers.Terms(ctx, m.Node, []transport.Group{g})
			if err != nil {
				terms = []*peerv1.GroupTerm{nil}
			}
			answers <- terms[0]
		})
	}
	best, heard := &peerv1.GroupTerm{}, 0
	for ; asked > 0 && heard <= len(members)/2; asked-- {
		t := <-answers
		if t == nil {
			continue
		}
		heard++
		if t.Leader != "" && t.Term >= best.Term {
			best = t
		}
	}
	if best.Leader != "" {
		n.groupsMu.Lock()
		n.hints[g] = best.Leader
		n.groupsMu.Unlock()
	}
	return best.Leader
}

// lost forgets who led a group.
func (n *Node) lost(g transport.Group) {
	n.groupsMu.Lock()
	defer n.groupsMu.Unlock()
	delete(n.hints, g)
}

// followAt has the leader of a shard apply the catalog of a revision.
func (n *Node) followAt(ctx context.Context, id schema.ShardID, revision uint64) error {
	_, err := atLeader(ctx, n, transport.Shard(id), func() (struct{}, error) { return struct{}{}, n.followHere(ctx, id, revision) },
		func(node string) (struct{}, error) { return struct{}{}, n.peers.Follow(ctx, node, id, revision) })
	return err
}

// followHere applies the catalog of a revision, or of a later one, to a shard that is led here.
func (n *Node) followHere(ctx context.Context, id schema.ShardID, revision uint64) error {
	s := n.local(id)
	if s == nil {
		return notHere(id)
	}
	if _, err := s.replica.Leading(); err != nil {
		return err
	}
	if _, err := n.machine.ViewAt(ctx, revision); err != nil {
		return errcode.From(err)
	}
	return s.followView(ctx, n.view)
}

// roundShard is a shard that has a replica here, for snapshot rounds.
func (n *Node) roundShard(id schema.ShardID) (rounds.Leader, error) {
	if s := n.local(id); s != nil {
		return s, nil
	}
	return nil, notHere(id)
}
