package peer

import (
	"context"

	"google.golang.org/grpc"

	peerv1 "github.com/quipudb/quipu/proto/peer/v1"
	"github.com/quipudb/quipu/server/errcode"
	"github.com/quipudb/quipu/server/replica"
	"github.com/quipudb/quipu/server/rounds"
	"github.com/quipudb/quipu/storage/schema"
)

// shardsMax bounds the shards of one message.
const shardsMax = 4096

func readRound(m *peerv1.RoundID) replica.Round {
	return replica.Round{MetaTerm: m.GetMetaTerm(), Number: m.GetRound()}
}

func writeRound(r replica.Round) *peerv1.RoundID {
	return &peerv1.RoundID{MetaTerm: r.MetaTerm, Round: r.Number}
}

func readShards(ids []uint32) ([]schema.ShardID, error) {
	if len(ids) > shardsMax {
		return nil, errcode.New(errcode.TooLarge, "a message about %d shards, the limit is %d", len(ids), shardsMax)
	}
	out := make([]schema.ShardID, len(ids))
	for i, id := range ids {
		out[i] = schema.ShardID(id)
	}
	return out, nil
}

func writeShards(ids []schema.ShardID) []uint32 {
	out := make([]uint32, len(ids))
	for i, id := range ids {
		out[i] = uint32(id)
	}
	return out
}

func readHolds(holds []*peerv1.Hold) ([]rounds.Hold, error) {
	if len(holds) > shardsMax {
		return nil, errcode.New(errcode.TooLarge, "a message about %d shards, the limit is %d", len(holds), shardsMax)
	}
	out := make([]rounds.Hold, len(holds))
	for i, h := range holds {
		out[i] = rounds.Hold{Shard: schema.ShardID(h.GetShard()), Promise: replica.Promise{Index: h.GetIndex(), Term: h.GetTerm()}}
	}
	return out, nil
}

func writeHolds(holds []rounds.Hold) []*peerv1.Hold {
	out := make([]*peerv1.Hold, len(holds))
	for i, h := range holds {
		out[i] = &peerv1.Hold{Shard: uint32(h.Shard), Index: h.Index, Term: h.Term}
	}
	return out
}

// Prepare closes the gates of shards.
func (s *Server) Prepare(ctx context.Context, m *peerv1.PrepareRequest) (*peerv1.PrepareResponse, error) {
	ids, err := readShards(m.Shards)
	if err != nil {
		return nil, err
	}
	out := &peerv1.PrepareResponse{}
	for i, a := range s.host.Prepare(ctx, readRound(m.Round), ids) {
		out.Prepared = append(out.Prepared, &peerv1.Prepared{Index: a.Promise.Index, Term: a.Promise.Term, Failure: s.failure(ids[i], a.Err)})
	}
	return out, nil
}

// Open takes the snapshots of a round.
func (s *Server) Open(ctx context.Context, m *peerv1.OpenRequest) (*peerv1.OpenResponse, error) {
	holds, err := readHolds(m.Holds)
	if err != nil {
		return nil, err
	}
	out := &peerv1.OpenResponse{}
	for i, a := range s.host.Open(ctx, readRound(m.Round), holds) {
		out.Opened = append(out.Opened, s.opened(ctx, holds[i].Shard, a))
	}
	return s.unlessGone(ctx, out)
}

// opened leases a snapshot to the caller.
func (s *Server) opened(ctx context.Context, id schema.ShardID, a rounds.Opened) *peerv1.Opened {
	if a.Err != nil {
		return &peerv1.Opened{Failure: s.failure(id, a.Err)}
	}
	handle, err := s.leases.add(a.Snapshot, connectionOf(ctx))
	return &peerv1.Opened{Handle: handle, Failure: s.failure(id, err)}
}

// unlessGone frees snapshots that nobody waits for any more.
func (s *Server) unlessGone(ctx context.Context, out *peerv1.OpenResponse) (*peerv1.OpenResponse, error) {
	err := ctx.Err()
	if err == nil {
		return out, nil
	}
	for _, o := range out.Opened {
		s.leases.release([]uint64{o.Handle})
	}
	return nil, err
}

// Commit lets go of holds and confirms terms.
func (s *Server) Commit(ctx context.Context, m *peerv1.CommitRequest) (*peerv1.CommitResponse, error) {
	holds, err := readHolds(m.Holds)
	if err != nil {
		return nil, err
	}
	out := &peerv1.CommitResponse{}
	for i, err := range s.host.Commit(ctx, readRound(m.Round), holds) {
		f := s.failure(holds[i].Shard, err)
		if f == nil {
			f = &peerv1.Failure{}
		}
		out.Answers = append(out.Answers, f)
	}
	return out, nil
}

// Abort lets go of holds.
func (s *Server) Abort(_ context.Context, m *peerv1.AbortRequest) (*peerv1.AbortResponse, error) {
	ids, err := readShards(m.Shards)
	if err != nil {
		return nil, err
	}
	s.host.Abort(readRound(m.Round), ids)
	return &peerv1.AbortResponse{}, nil
}

// Read takes a snapshot of one shard alone.
func (s *Server) Read(ctx context.Context, m *peerv1.ReadRequest) (*peerv1.OpenResponse, error) {
	id := schema.ShardID(m.Shard)
	snap, err := s.host.Read(ctx, id)
	return s.unlessGone(ctx, &peerv1.OpenResponse{Opened: []*peerv1.Opened{s.opened(ctx, id, rounds.Opened{Snapshot: snap, Err: err})}})
}

// Peek takes a snapshot of one shard as this node's replica has it.
func (s *Server) Peek(ctx context.Context, m *peerv1.PeekRequest) (*peerv1.PeekResponse, error) {
	id := schema.ShardID(m.Shard)
	snap, state, err := s.host.Peek(ctx, id, m.Index)
	opened, err := s.unlessGone(ctx, &peerv1.OpenResponse{Opened: []*peerv1.Opened{s.opened(ctx, id, rounds.Opened{Snapshot: snap, Err: err})}})
	if err != nil {
		return nil, err
	}
	return &peerv1.PeekResponse{Opened: opened.Opened[0], Applied: state.Applied, Commit: state.Commit, AgeUs: state.Age.Microseconds(), Leads: state.Leads,
		Rate: state.Rate}, nil
}

// Take has this node read shards at one instant, and holds the snapshots for the caller until the stream ends: they are of this node, or of
// others that lease them to this one.
func (s *Server) Take(m *peerv1.TakeRequest, stream grpc.ServerStreamingServer[peerv1.TakeResponse]) error {
	ids, err := readShards(m.Shards)
	if err != nil {
		return err
	}
	ctx := stream.Context()
	cut, err := s.host.Take(ctx, ids)
	if err != nil {
		return stream.Send(&peerv1.TakeResponse{Failure: failure(err, "")})
	}
	defer cut.Release()
	out := &peerv1.TakeResponse{Round: writeRound(cut.Round)}
	for _, d := range cut.Steps {
		out.StepUs = append(out.StepUs, d.Microseconds())
	}
	var mine []uint64
	defer func() { s.leases.release(mine) }()
	for _, snap := range cut.Snapshots {
		t := &peerv1.TakenSnapshot{Shard: uint32(snap.Shard), Node: s.host.Node()}
		if there, ok := snap.Snapshot.(*Snapshot); ok {
			t.Node, t.Handle = there.node.id, there.handle
		} else if t.Handle, err = s.leases.lend(snap.Snapshot); err != nil {
			return stream.Send(&peerv1.TakeResponse{Failure: failure(err, "")})
		} else {
			mine = append(mine, t.Handle)
		}
		out.Snapshots = append(out.Snapshots, t)
	}
	if err := stream.Send(out); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

// Renew gives leases their whole time again.
func (s *Server) Renew(_ context.Context, m *peerv1.RenewRequest) (*peerv1.RenewResponse, error) {
	return &peerv1.RenewResponse{Gone: s.leases.renew(m.Handles)}, nil
}

// Release ends leases.
func (s *Server) Release(_ context.Context, m *peerv1.ReleaseRequest) (*peerv1.ReleaseResponse, error) {
	s.leases.release(m.Handles)
	return &peerv1.ReleaseResponse{}, nil
}
