package peer

import (
	"context"
	"time"

	peerv1 "github.com/quipudb/quipu/proto/peer/v1"
	"github.com/quipudb/quipu/server/errcode"
	"github.com/quipudb/quipu/server/replica"
	"github.com/quipudb/quipu/server/rounds"
	"github.com/quipudb/quipu/storage/schema"
)

var _ rounds.Participant = (*Node)(nil)

// answers checks that a node gave as many answers as it was asked for.
func (n *Node) answers(got, want int, err error) error {
	if err != nil {
		return n.unreachable(err)
	}
	if got != want {
		return errcode.New(errcode.Corrupt, "node %s gave %d answers for %d shards", n.id, got, want)
	}
	return nil
}

// Prepare closes the gates of shards that the node leads.
func (n *Node) Prepare(ctx context.Context, round replica.Round, shards []schema.ShardID) []rounds.Prepared {
	out := make([]rounds.Prepared, len(shards))
	m, err := n.service.Prepare(ctx, &peerv1.PrepareRequest{Round: writeRound(round), Shards: writeShards(shards)})
	err = n.answers(len(m.GetPrepared()), len(shards), err)
	for i := range out {
		if out[i].Err = err; err == nil {
			p := m.Prepared[i]
			out[i] = rounds.Prepared{Promise: replica.Promise{Index: p.Index, Term: p.Term}, Err: failed(p.Failure)}
		}
	}
	return out
}

// Open takes snapshots, which stay at the node.
func (n *Node) Open(ctx context.Context, round replica.Round, holds []rounds.Hold) []rounds.Opened {
	m, err := n.service.Open(ctx, &peerv1.OpenRequest{Round: writeRound(round), Holds: writeHolds(holds)})
	return n.opened(m, len(holds), err)
}

func (n *Node) opened(m *peerv1.OpenResponse, want int, err error) []rounds.Opened {
	out := make([]rounds.Opened, want)
	err = n.answers(len(m.GetOpened()), want, err)
	for i := range out {
		if out[i].Err = err; err != nil {
			continue
		}
		if out[i].Err = failed(m.Opened[i].Failure); out[i].Err == nil {
			out[i].Snapshot = n.held.take(m.Opened[i].Handle)
		}
	}
	return out
}

// Commit lets go of holds and confirms the terms of their leaders.
func (n *Node) Commit(ctx context.Context, round replica.Round, holds []rounds.Hold) []error {
	out := make([]error, len(holds))
	m, err := n.service.Commit(ctx, &peerv1.CommitRequest{Round: writeRound(round), Holds: writeHolds(holds)})
	err = n.answers(len(m.GetAnswers()), len(holds), err)
	for i := range out {
		if out[i] = err; err == nil {
			out[i] = failed(m.Answers[i])
		}
	}
	return out
}

// Abort lets go of holds, in the background: one that the message does not reach ends by itself.
func (n *Node) Abort(round replica.Round, shards []schema.ShardID) {
	m := &peerv1.AbortRequest{Round: writeRound(round), Shards: writeShards(shards)}
	n.client.goFunc(func() {
		ctx, cancel := context.WithTimeout(n.client.ctx, replica.HoldMax)
		defer cancel()
		_, _ = n.service.Abort(ctx, m)
	})
}

// Read takes a snapshot of one shard alone, which stays at the node.
func (n *Node) Read(ctx context.Context, shard schema.ShardID) (rounds.Snapshot, error) {
	m, err := n.service.Read(ctx, &peerv1.ReadRequest{Shard: uint32(shard)})
	o := n.opened(m, 1, err)[0]
	return o.Snapshot, o.Err
}

// Peek takes a snapshot of a shard as a replica has it, which stays at the node.
func (n *Node) Peek(ctx context.Context, shard schema.ShardID, index uint64) (rounds.Snapshot, rounds.State, error) {
	began := time.Now()
	m, err := n.service.Peek(ctx, &peerv1.PeekRequest{Shard: uint32(shard), Index: index})
	opened := &peerv1.OpenResponse{}
	if o := m.GetOpened(); o != nil {
		opened.Opened = []*peerv1.Opened{o}
	}
	o := n.opened(opened, 1, err)[0]
	if o.Err != nil {
		return nil, rounds.State{}, o.Err
	}
	age := time.Duration(m.AgeUs) * time.Microsecond
	if !m.Leads {
		age += time.Since(began) // the answer was on its way for no longer than that
	}
	return o.Snapshot, rounds.State{Fresh: replica.Fresh{Applied: m.Applied, Commit: m.Commit, Age: age, Leads: m.Leads}, Rate: m.Rate}, nil
}

// Take has the node, which leads the meta group, read shards at one instant.
func (n *Node) Take(ctx context.Context, shards []schema.ShardID) (*rounds.Cut, error) {
	began := time.Now() // a snapshot is of a later instant: its age is not more than the time since
	life, cancel := context.WithCancel(n.client.ctx)
	stop := context.AfterFunc(ctx, cancel)
	cut, err := n.take(life, cancel, shards)
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		cancel()
		return nil, err
	}
	cut.Taken = began
	return cut, nil
}

func (n *Node) take(life context.Context, end func(), shards []schema.ShardID) (*rounds.Cut, error) {
	stream, err := n.service.Take(life, &peerv1.TakeRequest{Shards: writeShards(shards)})
	if err != nil {
		return nil, n.unreachable(err)
	}
	m, err := stream.Recv()
	if err != nil {
		return nil, n.unreachable(err)
	}
	if err := failed(m.Failure); err != nil {
		return nil, err
	}
	taken := make(map[schema.ShardID]*peerv1.TakenSnapshot, len(shards))
	for _, t := range m.Snapshots {
		taken[schema.ShardID(t.Shard)] = t
	}
	snapshots := make([]rounds.ShardSnapshot, len(shards))
	for i, id := range shards {
		t := taken[id]
		if t == nil {
			return nil, errcode.New(errcode.Corrupt, "node %s took no snapshot of shard %d", n.id, id)
		}
		snap, err := n.client.at(t.Node, t.Handle)
		if err != nil {
			return nil, err
		}
		snapshots[i] = rounds.ShardSnapshot{Shard: id, Snapshot: snap}
	}
	cut := rounds.NewCut(readRound(m.Round), time.Time{}, snapshots, end)
	for i, us := range m.StepUs {
		if i < len(cut.Steps) {
			cut.Steps[i] = time.Duration(us) * time.Microsecond
		}
	}
	return cut, nil
}

// at is a snapshot that somebody else holds, here or at another node.
func (c *Client) at(node string, handle uint64) (rounds.Snapshot, error) {
	if c.own != nil && node == c.own.host.Node() {
		return &ownSnapshot{c.own, handle}, nil
	}
	n, err := c.Node(node)
	if err != nil {
		return nil, err
	}
	return &Snapshot{node: n, handle: handle, release: func() {}}, nil
}
