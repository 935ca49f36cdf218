package server

import (
	"context"
	"errors"
	"time"

	"github.com/quipudb/quipu/proto/command/v1"
	"github.com/quipudb/quipu/server/errcode"
	"github.com/quipudb/quipu/server/peer"
	"github.com/quipudb/quipu/server/replica"
	"github.com/quipudb/quipu/server/rounds"
	"github.com/quipudb/quipu/server/router"
	"github.com/quipudb/quipu/server/transport"
	"github.com/quipudb/quipu/storage/schema"
)

// host is this node as the others use it, through server/peer.
type host struct {
	*rounds.Local
	n *Node
}

var _ peer.Host = host{}

// Node is this node's id.
func (h host) Node() string { return h.n.id.Node }

// Interrupt ends what a connection of PostgreSQL's protocol runs here.
func (h host) Interrupt(process uint32, key []byte) {
	if w := h.n.wire.Load(); w != nil {
		w.Interrupt(process, key)
	}
}

// Take reads shards at one instant, for a node that does not lead the meta group.
func (h host) Take(ctx context.Context, shards []schema.ShardID) (*rounds.Cut, error) {
	return h.n.takeHere(ctx, shards)
}

// takeHere reads shards by a round of this node. A node that does not lead the meta group says who does. That a shard has no leader is
// UNAVAILABLE and not NOT_LEADER: no reason to look for another leader of the meta group.
func (n *Node) takeHere(ctx context.Context, shards []schema.ShardID) (*rounds.Cut, error) {
	if _, err := n.meta.Leading(); err != nil {
		return nil, &peer.NotLeader{Leader: n.meta.Leader(), Err: errcode.New(errcode.NotLeader, "node %s does not lead the meta group: %w", n.id.Node, err)}
	}
	return n.rounds.Take(ctx, shards)
}

// Shard finds a shard that has a replica here.
func (h host) Shard(id schema.ShardID) (peer.Shard, error) {
	if s := h.n.local(id); s != nil {
		return hostShard{h.n, s}, nil
	}
	return nil, &peer.NotLeader{Leader: h.n.hint(transport.Shard(id)), Err: errcode.From(notHere(id))}
}

// hostShard is a shard for other nodes.
type hostShard struct {
	n *Node
	s *shard
}

// Propose takes a part on its way.
func (h hostShard) Propose(p *replica.Part) router.Pending { return h.s.proposer.Propose(p) }

// Leader is who leads the shard, as far as this node knows.
func (h hostShard) Leader() string { return h.s.replica.Leader() }

// Command proposes a command. Only keys have an answer that travels.
func (h hostShard) Command(ctx context.Context, c command.Command) (any, error) {
	answer, err := h.s.command(ctx, c)
	if err != nil {
		return nil, err
	}
	switch c.Kind() {
	case command.KindKeyBegin, command.KindKeyFinish:
		return keyRecord(answer)
	}
	return nil, nil
}

// take reads shards at one instant: of one shard its leader does, of several the leader of the meta group. A failed try has shown nothing to
// anybody, so it is made again for as long as an election takes.
func (n *Node) take(ctx context.Context, shards []schema.ShardID) (*rounds.Cut, error) {
	if !n.several.Load() { // a function call
		cut, err := n.rounds.Take(ctx, shards)
		return cut, unled(err, shards...)
	}
	var cut *rounds.Cut
	err := n.persist(ctx, reading(shards), func(ctx context.Context) (err error) {
		if len(shards) == 1 {
			bounded, done := n.whileLed(ctx, transport.Shard(shards[0]))
			cut, err = n.rounds.Take(bounded, shards)
			if err = done(err); passing(err) {
				n.notLed(shards[0], err)
			}
			return err
		}
		cut, err = atLeader(ctx, n, transport.Meta, func() (*rounds.Cut, error) { return n.takeHere(ctx, shards) },
			func(node string) (*rounds.Cut, error) {
				p, err := n.shardsOf.Node(node)
				if err != nil {
					return nil, err
				}
				bounded, done := n.whileLed(ctx, transport.Meta)
				cut, err := p.Take(bounded, shards)
				return cut, done(err)
			})
		return err
	})
	return cut, unled(err, shards...)
}

// unled names the shards in the error of a request that nobody took: to whoever asks for data it is of no use that another node may lead.
func unled(err error, shards ...schema.ShardID) error {
	if _, none := errors.AsType[*leaderless](err); none {
		return errcode.New(errcode.Unavailable, "%s cannot be read at one instant: %w", rounds.Names(shards), err).
			WithHint("most voters of the meta group may be away; reads of one shard go on, SET quipu.read_consistency = linearizable reads each shard for itself").
			After(200 * time.Millisecond)
	}
	if codeOf(err) != errcode.NotLeader {
		return err
	}
	return errcode.New(errcode.Unavailable, "%s: no leader can be reached: %w", rounds.Names(shards), err).
		WithHint("most of the shard's voters may be away; other shards go on, and SET quipu.read_consistency = stale reads what is left").
		After(200 * time.Millisecond)
}

// notLed takes in that a shard was not led, or not to be reached, where this node thought: it asks around the next time, or goes where it was
// told to. With a replica of the shard it knows better.
func (n *Node) notLed(id schema.ShardID, err error) {
	g := transport.Shard(id)
	n.lost(g)
	if e, ok := errors.AsType[*peer.NotLeader](err); ok && e.Leader != "" {
		n.groupsMu.Lock()
		defer n.groupsMu.Unlock()
		n.hints[g] = e.Leader
	}
}

// hint is who leads a group that has no replica here, as this node has heard.
func (n *Node) hint(g transport.Group) string {
	n.groupsMu.RLock()
	defer n.groupsMu.RUnlock()
	return n.hints[g]
}

// delivery is a part on its way to the leader of its shard, whoever that is. A part whose outcome is not known, or that was not taken, is
// sent again under its stamp, which finds out whether it was counted.
type delivery struct {
	n     *Node
	shard schema.ShardID
	part  *replica.Part
	first router.Pending
}

// Propose hands a part to the leader of its shard, here or elsewhere.
func (n *Node) Propose(id schema.ShardID, p *replica.Part) router.Pending {
	if !n.several.Load() {
		if s := n.local(id); s != nil {
			return s.proposer.Propose(p)
		}
	}
	return &delivery{n: n, shard: id, part: p, first: n.send(context.Background(), id, p)}
}

// Done is closed when the first attempt has ended.
func (d *delivery) Done() <-chan struct{} { return d.first.Done() }

// Counted gives, after Done, the outcome of a part that was counted. If it says no, Wait gives the answer, and may have to send it again.
func (d *delivery) Counted() (replica.Outcome, bool) { return d.first.Counted() }

// Wait gives the part's answer.
func (d *delivery) Wait(ctx context.Context) (out replica.Outcome, err error) {
	pending := d.first
	err = d.n.persist(ctx, errand{what: "write", group: transport.Shard(d.shard)}, func(ctx context.Context) error {
		if pending == nil {
			pending = d.n.send(ctx, d.shard, d.part)
		}
		if out, err = pending.Wait(ctx); passing(err) {
			d.n.notLed(d.shard, err)
		}
		pending = nil
		return err
	})
	return out, unled(err, d.shard)
}

// send proposes a part at the node that leads its shard now, as far as this one knows.
func (n *Node) send(ctx context.Context, id schema.ShardID, p *replica.Part) router.Pending {
	node := n.leader(ctx, transport.Shard(id))
	if s := n.local(id); s != nil && (node == n.id.Node || node == "") {
		return s.proposer.Propose(p) // it refuses what it cannot propose
	}
	if node == "" {
		return replica.Refused(notHere(id))
	}
	remote, err := n.shardsOf.Node(node)
	if err != nil {
		return replica.Refused(err)
	}
	return remote.Propose(id, p)
}

// Command proposes a single command to the leader of a shard.
func (n *Node) Command(ctx context.Context, id schema.ShardID, c command.Command) (any, error) {
	return atLeader(ctx, n, transport.Shard(id), func() (any, error) {
		s := n.local(id)
		if s == nil {
			return nil, notHere(id)
		}
		return s.command(ctx, c)
	}, func(node string) (any, error) {
		remote, err := n.shardsOf.Node(node)
		if err != nil {
			return nil, err
		}
		return remote.Command(ctx, id, c)
	})
}

// participant is who speaks for a shard in a snapshot round.
func (n *Node) participant(id schema.ShardID) (rounds.Participant, error) {
	if r := n.replica(transport.Shard(id)); r != nil && r.Leader() == n.id.Node {
		return n.here, nil // it refuses what it does not lead
	}
	ctx, cancel := context.WithTimeout(context.Background(), n.cfg.Peer.Timeout)
	defer cancel()
	switch node := n.leader(ctx, transport.Shard(id)); {
	case node == n.id.Node, node == "" && n.local(id) != nil:
		return n.here, nil // it refuses what it does not lead
	case node == "":
		return nil, notHere(id)
	default:
		return n.shardsOf.Node(node)
	}
}
