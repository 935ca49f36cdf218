package server

import (
	"context"
	"fmt"
	"time"

	"github.com/quipudb/quipu/server/errcode"
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
	if r := n.replica(g); r != nil {
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

// search asks the members of a group, as the meta group has them on record.
func (n *Node) search(ctx context.Context, g transport.Group) string {
	for _, m := range n.machine.View().Replicas(uint32(g)) {
		asked, cancel := context.WithTimeout(ctx, n.cfg.Peer.Timeout)
		terms, err := n.peers.Terms(asked, m.Node, []transport.Group{g})
		cancel()
		if err != nil || terms[0].Leader == "" {
			continue
		}
		n.groupsMu.Lock()
		n.hints[g] = terms[0].Leader
		n.groupsMu.Unlock()
		return terms[0].Leader
	}
	return ""
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
