package rounds

import (
	"context"
	"sync"

	"github.com/quipudb/quipu/query/exec"
	"github.com/quipudb/quipu/server/errcode"
	"github.com/quipudb/quipu/server/replica"
	"github.com/quipudb/quipu/storage"
	"github.com/quipudb/quipu/storage/schema"
)

// Snapshot is one shard of a cut, on this node or on another.
type Snapshot interface {
	exec.Snapshot
	// Release frees it. Twice is harmless.
	Release()
}

// Hold is what a shard's leader promised to a round.
type Hold struct {
	Shard schema.ShardID
	replica.Promise
}

// Prepared is a leader's answer to PREPARE.
type Prepared struct {
	Promise replica.Promise
	Err     error
}

// Opened is a snapshot of a round, or why there is none.
type Opened struct {
	Snapshot Snapshot
	Err      error
}

// Participant speaks for the shards that one node leads. The sequencer asks each participant once a step, for all of its shards; answers
// are in the order of the shards. It is compared, so it is a pointer. Every call ends with its context.
type Participant interface {
	// Prepare closes the gates of the shards for the round.
	Prepare(ctx context.Context, round replica.Round, shards []schema.ShardID) []Prepared
	// Open takes a snapshot of each shard at or above the index promised.
	Open(ctx context.Context, round replica.Round, holds []Hold) []Opened
	// Commit lets go of exactly these holds and then confirms, in an exchange begun after the call, that the leaders lead in their terms.
	Commit(ctx context.Context, round replica.Round, holds []Hold) []error
	// Abort lets go of the holds that are there. It does not wait for an answer.
	Abort(round replica.Round, shards []schema.ShardID)
	// Read is a snapshot of one shard alone that holds everything acknowledged before the call. It has passed the gate.
	Read(ctx context.Context, shard schema.ShardID) (Snapshot, error)
	// Peek is a snapshot of one shard at or above index, at a replica that need not lead, and how old it may be. It promises nothing
	// else: it may hold what is not acknowledged yet.
	Peek(ctx context.Context, shard schema.ShardID, index uint64) (Snapshot, State, error)
}

// State is how far the replica has come that a snapshot was taken at.
type State struct {
	replica.Fresh
	Rate float64 // observations a second that it has counted, at the most within the last hour
}

// Leader is the leader of a shard on this node.
type Leader interface {
	Prepare(ctx context.Context, round replica.Round) (replica.Promise, error)
	Open(ctx context.Context, index uint64) (*storage.Snapshot, error)
	Commit(ctx context.Context, round replica.Round, term uint64) error
	Abort(round replica.Round)
	Read(ctx context.Context) (*storage.Snapshot, error)
	Peek(ctx context.Context, index uint64) (*storage.Snapshot, State, error)
}

// Local is the Participant of this node. Its shards are asked side by side: one that waits, for the end of a pause, for an entry or for
// the voters, holds no other gate closed for longer.
type Local struct {
	// Shard finds a shard of this node; it is an error, in words for users, if it has none.
	Shard func(schema.ShardID) (Leader, error)
}

// side calls one for each of n shards, side by side.
func side(n int, one func(i int)) {
	var wg sync.WaitGroup
	for i := 1; i < n; i++ {
		wg.Go(func() { one(i) })
	}
	if n > 0 {
		one(0)
	}
	wg.Wait()
}

// Prepare closes gates.
func (l *Local) Prepare(ctx context.Context, round replica.Round, shards []schema.ShardID) []Prepared {
	out := make([]Prepared, len(shards))
	side(len(shards), func(i int) {
		s, err := l.Shard(shards[i])
		if err == nil {
			out[i].Promise, err = s.Prepare(ctx, round)
		}
		out[i].Err = err
	})
	return out
}

// Open takes snapshots.
func (l *Local) Open(ctx context.Context, _ replica.Round, holds []Hold) []Opened {
	out := make([]Opened, len(holds))
	side(len(holds), func(i int) {
		s, err := l.Shard(holds[i].Shard)
		if err != nil {
			out[i].Err = err
			return
		}
		snap, err := s.Open(ctx, holds[i].Index)
		if err != nil {
			out[i].Err = err
			return
		}
		out[i].Snapshot = exec.Here{Snapshot: snap}
	})
	return out
}

// Commit lets go of holds and confirms terms.
func (l *Local) Commit(ctx context.Context, round replica.Round, holds []Hold) []error {
	out := make([]error, len(holds))
	side(len(holds), func(i int) {
		s, err := l.Shard(holds[i].Shard)
		if err == nil {
			err = s.Commit(ctx, round, holds[i].Term)
		}
		out[i] = err
	})
	return out
}

// Abort lets go of holds.
func (l *Local) Abort(round replica.Round, shards []schema.ShardID) {
	for _, id := range shards {
		if s, err := l.Shard(id); err == nil {
			s.Abort(round)
		}
	}
}

// Read takes a snapshot of one shard.
func (l *Local) Read(ctx context.Context, id schema.ShardID) (Snapshot, error) {
	s, err := l.Shard(id)
	if err != nil {
		return nil, err
	}
	snap, err := s.Read(ctx)
	if err != nil {
		return nil, err
	}
	return exec.Here{Snapshot: snap}, nil
}

// Peek takes a snapshot of a shard as it is here.
func (l *Local) Peek(ctx context.Context, id schema.ShardID, index uint64) (Snapshot, State, error) {
	s, err := l.Shard(id)
	if err != nil {
		return nil, State{}, err
	}
	snap, state, err := s.Peek(ctx, index)
	if err != nil {
		return nil, State{}, err
	}
	return exec.Here{Snapshot: snap}, state, nil
}

// Leaders finds shards in a map.
func Leaders[L Leader](shards map[schema.ShardID]L) *Local {
	return &Local{Shard: func(id schema.ShardID) (Leader, error) {
		s, ok := shards[id]
		if !ok {
			return nil, errcode.New(errcode.Internal, "there is no shard %d", id)
		}
		return s, nil
	}}
}
