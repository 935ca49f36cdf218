// Package rounds takes snapshots of several shards at one instant. The sequencer runs one round for all reads that have arrived: it closes
// the gates of their shards, opens a snapshot on each, and lets the gates go when every snapshot is open; a shard whose leadership has
// not outlived that moment leaves the round with the reads that need it.
//
//	s := rounds.New(participants, rounds.Options{Term: meta.Term})
//	cut, err := s.Take(ctx, shards)
//	defer cut.Release()
//
// Why a cut is one instant: let P be a moment after the last snapshot was opened and before the first COMMIT. What was acknowledged before
// P lies at or below the promised index of its shard, or a gate would have held it back, so it is in the snapshot; what is in a snapshot
// was asked for before P. Rounds that share a shard run one after the other, so their instants are ordered on every shard alike.
package rounds

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/quipudb/quipu/server/errcode"
	"github.com/quipudb/quipu/server/replica"
	"github.com/quipudb/quipu/storage"
	"github.com/quipudb/quipu/storage/schema"
)

// Participant is the leader of a shard, as the sequencer sees it.
type Participant interface {
	// Prepare closes the gate for the round.
	Prepare(ctx context.Context, round replica.Round) (replica.Promise, error)
	// Open takes a snapshot at or above index.
	Open(ctx context.Context, index uint64) (*storage.Snapshot, error)
	// Commit lets go of exactly this hold and then confirms, in an exchange begun after the call, that the leader leads in term.
	Commit(ctx context.Context, round replica.Round, term uint64) error
	// Abort lets go of the hold, if it is there.
	Abort(round replica.Round)
	// Read is a snapshot of this shard alone that holds everything acknowledged before the call. It has passed the gate.
	Read(ctx context.Context) (*storage.Snapshot, error)
}

// Options of New.
type Options struct {
	// Term is the meta term in which this node may number rounds.
	Term func() (uint64, error)
	// Silence is how long a shard may take to answer before it leaves the round; 250 ms if zero.
	Silence time.Duration
}

// Sequencer runs rounds, one after the other, each for every read that has arrived.
type Sequencer struct {
	parts map[schema.ShardID]Participant
	o     Options
	turn  chan struct{} // capacity 1: who holds it runs a round

	mu      sync.Mutex // guards the fields below
	waiting []*read
	number  uint64
}

// New makes the sequencer over the shards' leaders.
func New(parts map[schema.ShardID]Participant, o Options) *Sequencer {
	if o.Silence == 0 {
		o.Silence = 250 * time.Millisecond
	}
	return &Sequencer{parts: parts, o: o, turn: make(chan struct{}, 1)}
}

// Cut is one snapshot a shard, all of one instant.
type Cut struct {
	Round     replica.Round // zero for a cut of one shard, which needs no round
	Taken     time.Time
	Snapshots map[schema.ShardID]*storage.Snapshot
}

// Release frees the snapshots. Twice is harmless.
func (c *Cut) Release() {
	for _, s := range c.Snapshots {
		s.Release()
	}
}

// read is one caller of Take.
type read struct {
	shards []schema.ShardID
	done   chan struct{}
	cut    *Cut
	err    error
	tries  int
	gone   bool // the caller has left; guarded by Sequencer.mu
}

// triesMax is how many rounds a read may take part in before it is refused.
const triesMax = 2

// Take reads the shards named, all of them at one instant.
func (s *Sequencer) Take(ctx context.Context, shards []schema.ShardID) (*Cut, error) {
	for _, id := range shards {
		if s.parts[id] == nil {
			return nil, errcode.New(errcode.Internal, "there is no shard %d", id)
		}
	}
	shards = slices.Compact(slices.Sorted(slices.Values(shards)))
	if len(shards) == 1 {
		return s.single(ctx, shards[0])
	}
	r := &read{shards: shards, done: make(chan struct{})}
	s.mu.Lock()
	s.waiting = append(s.waiting, r)
	s.mu.Unlock()
	for {
		select {
		case <-r.done:
			return r.cut, r.err
		case <-ctx.Done():
			return nil, s.leave(r, ctx.Err())
		case s.turn <- struct{}{}:
			s.run(ctx)
			<-s.turn
		}
	}
}

// single needs no round: the leader's own index and its gate do.
func (s *Sequencer) single(ctx context.Context, id schema.ShardID) (*Cut, error) {
	snap, err := s.parts[id].Read(ctx)
	if err != nil {
		return nil, err
	}
	return &Cut{Taken: time.Now(), Snapshots: map[schema.ShardID]*storage.Snapshot{id: snap}}, nil
}

// leave takes back a read whose caller does not wait any longer.
func (s *Sequencer) leave(r *read, err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	r.gone = true
	s.waiting = slices.DeleteFunc(s.waiting, func(o *read) bool { return o == r })
	if r.cut != nil {
		r.cut.Release()
	}
	return err
}

// run takes every read that waits through one round. Reads that it could not serve wait for the next.
func (s *Sequencer) run(ctx context.Context) {
	s.mu.Lock()
	reads := s.waiting
	s.waiting = nil
	s.number++
	number := s.number
	s.mu.Unlock()
	if len(reads) == 0 {
		return
	}
	term, err := s.o.Term()
	if err != nil {
		s.finish(reads, err)
		return
	}
	// A caller whose context ends must not take the round of the others with it.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), replica.HoldMax)
	defer cancel()
	s.finish(s.round(ctx, replica.Round{MetaTerm: term, Number: number}, reads), nil)
}

// round gives the reads that are left over because a shard of theirs said no.
func (s *Sequencer) round(ctx context.Context, round replica.Round, reads []*read) (left []*read) {
	h := &holds{s: s, round: round, promises: map[schema.ShardID]replica.Promise{}, failed: map[schema.ShardID]error{}}
	h.prepare(ctx, reads)
	cuts := make([]*Cut, len(reads)) // not the reads' yet: their callers may leave at any time
	for i, r := range reads {
		cuts[i] = h.open(ctx, r)
	}
	taken := time.Now()
	h.commit(ctx)
	for i, r := range reads {
		if err := h.verdict(r); err != nil {
			cuts[i].Release()
			r.err = err
			left = append(left, r)
			continue
		}
		cuts[i].Round, cuts[i].Taken = round, taken
		s.deliver(r, cuts[i])
	}
	return left
}

// holds are the gates of one round.
type holds struct {
	s        *Sequencer
	round    replica.Round
	promises map[schema.ShardID]replica.Promise
	failed   map[schema.ShardID]error
}

// prepare closes the gate of every shard that some read needs.
func (h *holds) prepare(ctx context.Context, reads []*read) {
	for _, r := range reads {
		for _, id := range r.shards {
			if _, asked := h.promises[id]; asked || h.failed[id] != nil {
				continue
			}
			bounded, cancel := context.WithTimeout(ctx, h.s.o.Silence)
			p, err := h.s.parts[id].Prepare(bounded, h.round)
			cancel()
			if err != nil {
				h.failed[id] = err
				h.s.parts[id].Abort(h.round) // it may have closed the gate and answered too late
				continue
			}
			h.promises[id] = p
		}
	}
}

// open opens the snapshots of one read. A shard that fails leaves the round, so that it is waited for once and not once a read.
func (h *holds) open(ctx context.Context, r *read) *Cut {
	cut := &Cut{Snapshots: make(map[schema.ShardID]*storage.Snapshot, len(r.shards))}
	for _, id := range r.shards {
		if h.failed[id] != nil {
			return cut // verdict will say so
		}
		bounded, cancel := context.WithTimeout(ctx, h.s.o.Silence)
		snap, err := h.s.parts[id].Open(bounded, h.promises[id].Index)
		cancel()
		if err != nil {
			h.failed[id] = err
			return cut
		}
		cut.Snapshots[id] = snap
	}
	return cut
}

// commit lets every gate go, after all snapshots of the round are open.
func (h *holds) commit(ctx context.Context) {
	for id, p := range h.promises { // any order: COMMITs do not depend on each other
		if h.failed[id] != nil {
			h.s.parts[id].Abort(h.round)
			continue
		}
		if err := h.s.parts[id].Commit(ctx, h.round, p.Term); err != nil {
			h.failed[id] = err
			h.s.parts[id].Abort(h.round)
		}
	}
}

// verdict is why a read cannot have its cut, or nil.
func (h *holds) verdict(r *read) error {
	for _, id := range r.shards {
		if err := h.failed[id]; err != nil {
			return fmt.Errorf("shard %d: %w", id, err)
		}
	}
	return nil
}

// deliver hands a cut over, unless the caller has left.
func (s *Sequencer) deliver(r *read, cut *Cut) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.gone {
		cut.Release()
		return
	}
	r.cut, r.err = cut, nil
	close(r.done)
}

// finish refuses the reads that have had their tries, and lets the others wait for another round.
func (s *Sequencer) finish(reads []*read, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range reads {
		if err != nil {
			r.err = err
		}
		if r.tries++; r.tries < triesMax && err == nil && !r.gone {
			s.waiting = append(s.waiting, r)
			continue
		}
		r.err = errcode.New(errcode.Unavailable, "no snapshot of the shards could be taken: %w", r.err).After(50 * time.Millisecond)
		close(r.done)
	}
}
