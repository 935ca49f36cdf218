// Package rounds takes snapshots of several shards at one instant. The sequencer runs one round for all reads that have arrived: it closes
// the gates of their shards, opens a snapshot on each, and lets the gates go when every snapshot is open; a shard whose leadership has
// not outlived that moment leaves the round with the reads that need it.
//
//	s := rounds.New(rounds.Options{Term: meta.Term, Leader: func(schema.ShardID) (rounds.Participant, error) { return here, nil }})
//	cut, err := s.Take(ctx, shards)
//	defer cut.Release()
//
// Why a cut is one instant: let P be a moment after the last snapshot was opened and before the first COMMIT. What was acknowledged before
// P lies at or below the promised index of its shard, or a gate would have held it back, so it is in the snapshot; what is in a snapshot
// was asked for before P. Rounds that share a shard run one after the other, so their instants are ordered on every shard alike; others
// run side by side.
package rounds

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quipudb/quipu/server/errcode"
	"github.com/quipudb/quipu/server/replica"
	"github.com/quipudb/quipu/storage/schema"
)

// Options of New.
type Options struct {
	// Term is the meta term in which this node may number rounds.
	Term func() (uint64, error)
	// Leader finds who speaks for a shard now, in words for users if nobody does. It is asked at the beginning of a round, for several shards
	// at once, and may take its time: no gate is closed yet.
	Leader func(schema.ShardID) (Participant, error)
	// Left is told of a shard that has left a round, and why; nil if nobody wants to know.
	Left func(schema.ShardID, error)
	// Serve chooses the replica of a shard that is to open the snapshot instead of its leader, or nil. One that does not reach the
	// promised index within ReplicaWait is told of to Missed, and the leader opens the snapshot. Serve is nil if leaders serve alone.
	Serve  func(schema.ShardID) Participant
	Missed func(schema.ShardID, Participant)
	// ReplicaWait is how long a round waits for replicas that lag; 3 ms if zero.
	ReplicaWait time.Duration
	// Silence is how long a shard may take to answer before it leaves the round; 250 ms if zero.
	Silence time.Duration
}

// Sequencer runs rounds, each for every read that has arrived and whose shards no other round has.
type Sequencer struct {
	o Options

	mu      sync.Mutex // guards the fields below
	waiting []*read    // in the order of arrival
	busy    map[schema.ShardID]bool
	rests   map[schema.ShardID]time.Time // until when gates take no hold, after one of restMin or longer
	number  uint64
	changed chan struct{} // closed, and made anew, when a read that waits may have its turn
}

// New makes the sequencer.
func New(o Options) *Sequencer {
	if o.Silence == 0 {
		o.Silence = 250 * time.Millisecond
	}
	if o.ReplicaWait == 0 {
		o.ReplicaWait = 3 * time.Millisecond
	}
	return &Sequencer{o: o, busy: map[schema.ShardID]bool{}, rests: map[schema.ShardID]time.Time{}, changed: make(chan struct{})}
}

// Cut is one snapshot a shard, all of one instant. Reads of one round share snapshots: they are released by the cut only.
type Cut struct {
	Round     replica.Round // zero for a cut of one shard, which needs no round
	Taken     time.Time
	Steps     [3]time.Duration // that the round took: prepare, open, commit
	Snapshots []ShardSnapshot  // as the shards were asked for, or in their order

	only    [1]ShardSnapshot // room for that of one shard
	release func()           // nil: releasing the snapshot of one shard is all
	once    sync.Once
}

// ShardSnapshot is the snapshot of a shard.
type ShardSnapshot struct {
	Shard schema.ShardID
	Snapshot
}

// NewCut is a cut that somebody else has taken.
func NewCut(round replica.Round, taken time.Time, snapshots []ShardSnapshot, release func()) *Cut {
	return &Cut{Round: round, Taken: taken, Snapshots: snapshots, release: release}
}

// Release frees the snapshots. Twice is harmless.
func (c *Cut) Release() {
	c.once.Do(func() {
		if c.release == nil {
			c.only[0].Release()
			return
		}
		c.release()
	})
}

// read is one caller of Take.
type read struct {
	shards []schema.ShardID
	done   chan struct{}
	cut    *Cut
	err    error
	tries  int
	waits  bool // is in Sequencer.waiting
	gone   bool // the caller has left; guarded by Sequencer.mu
}

// triesMax is how many rounds a read may take part in before it is refused.
const triesMax = 2

// Take reads the shards named, all of them at one instant.
func (s *Sequencer) Take(ctx context.Context, shards []schema.ShardID) (*Cut, error) {
	if len(shards) > 1 {
		shards = slices.Compact(slices.Sorted(slices.Values(shards)))
	}
	if len(shards) == 1 {
		return s.single(ctx, shards[0])
	}
	r := &read{shards: shards, done: make(chan struct{}), waits: true}
	s.mu.Lock()
	s.waiting = append(s.waiting, r)
	s.mu.Unlock()
	for {
		reads, number, changed := s.begin(r)
		if reads != nil {
			s.run(ctx, number, reads)
			continue
		}
		select {
		case <-r.done:
			return r.cut, r.err
		case <-ctx.Done():
			return nil, s.leave(r, ctx.Err())
		case <-changed:
		}
	}
}

// single needs no round: the leader's own index and its gate do.
func (s *Sequencer) single(ctx context.Context, id schema.ShardID) (*Cut, error) {
	p, err := s.o.Leader(id)
	if err != nil {
		return nil, err
	}
	snap, err := p.Read(ctx, id)
	if err != nil {
		return nil, err
	}
	c := &Cut{Taken: time.Now(), only: [1]ShardSnapshot{{id, snap}}}
	c.Snapshots = c.only[:]
	return c, nil
}

// begin takes the reads that can have a round now, if r is among them. A read that must wait lets none overtake it that shares a shard.
func (s *Sequencer) begin(r *read) (reads []*read, number uint64, changed <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !r.waits {
		return nil, 0, s.changed
	}
	blocked, mine := map[schema.ShardID]bool{}, false
	for _, o := range s.waiting {
		if slices.ContainsFunc(o.shards, func(id schema.ShardID) bool { return s.busy[id] || blocked[id] }) {
			mark(blocked, o.shards)
			continue
		}
		reads = append(reads, o)
		mine = mine || o == r
	}
	if !mine {
		return nil, 0, s.changed
	}
	for _, o := range reads {
		o.waits = false
		mark(s.busy, o.shards)
	}
	s.waiting = slices.DeleteFunc(s.waiting, func(o *read) bool { return !o.waits })
	s.number++
	return reads, s.number, s.changed
}

func mark(set map[schema.ShardID]bool, shards []schema.ShardID) {
	for _, id := range shards {
		set[id] = true
	}
}

// leave takes back a read whose caller does not wait any longer.
func (s *Sequencer) leave(r *read, err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	r.gone = true
	if r.waits {
		r.waits = false
		s.waiting = slices.DeleteFunc(s.waiting, func(o *read) bool { return o == r })
		s.turn()
	}
	if r.cut != nil {
		r.cut.Release()
	}
	return err
}

// turn wakes the reads that wait. mu is held.
func (s *Sequencer) turn() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// run takes reads through one round. Those that it could not serve wait for the next.
func (s *Sequencer) run(ctx context.Context, number uint64, reads []*read) {
	term, err := s.o.Term()
	if err != nil {
		s.end(reads, reads, err)
		return
	}
	ctx = context.WithoutCancel(ctx) // a caller whose context ends must not take the round of the others with it
	s.end(reads, s.round(ctx, replica.Round{MetaTerm: term, Number: number}, reads), nil)
}

// round gives the reads that are left over because a shard of theirs said no.
func (s *Sequencer) round(ctx context.Context, round replica.Round, reads []*read) (left []*read) {
	h := &holds{s: s, round: round, who: map[schema.ShardID]Participant{}, holds: map[schema.ShardID]Hold{},
		snapshots: map[schema.ShardID]*counted{}, failed: map[schema.ShardID]error{}}
	h.find(reads)
	s.rest(h.who)
	ctx, cancel := context.WithTimeout(ctx, replica.HoldMax) // from here on gates may be closed
	defer cancel()
	began := time.Now()
	h.prepare(ctx, reads)
	prepared := time.Now()
	h.open(ctx, reads)
	taken := time.Now()
	h.commit(ctx, reads)
	s.owe(h.who, taken, taken.Sub(began))
	steps := [3]time.Duration{prepared.Sub(began), taken.Sub(prepared), time.Since(taken)}
	for _, r := range reads {
		if err := h.verdict(r); err != nil {
			r.err = err
			left = append(left, r)
			continue
		}
		cut := h.cut(r)
		cut.Taken, cut.Steps = taken, steps
		s.deliver(r, cut)
	}
	h.drop()
	return left
}

// restMin is the shortest rest that the sequencer keeps. It costs a round the way of a message to the gates, which in a shorter one passes while they
// rest.
const restMin = 10 * time.Millisecond

// owe notes that gates were held for so long, until then: they take no hold before as much time has passed.
func (s *Sequencer) owe(shards map[schema.ShardID]Participant, then time.Time, held time.Duration) {
	if held < restMin {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	until := then.Add(min(held, replica.HoldMax))
	for id := range shards {
		s.rests[id] = until
	}
}

// rest waits until every gate may take a hold, before the first does. A gate that closed while another one rests would be held for so long, and
// rest for as long after that while the other one is held: what they once lagged behind each other every later round would take, and none would
// succeed when it is longer than a shard may be silent.
func (s *Sequencer) rest(shards map[schema.ShardID]Participant) {
	s.mu.Lock()
	var until time.Time
	if len(s.rests) > 0 {
		for id := range shards {
			if at := s.rests[id]; at.After(until) {
				until = at
			}
			delete(s.rests, id)
		}
	}
	s.mu.Unlock()
	time.Sleep(time.Until(until))
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

// end gives the shards of a round back. It refuses reads left over that have had their tries, and lets the others wait for another round.
func (s *Sequencer) end(reads, left []*read, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range reads {
		for _, id := range r.shards {
			delete(s.busy, id)
		}
	}
	var again []*read
	for _, r := range left {
		if err != nil {
			r.err = err
		}
		if r.tries++; r.tries < triesMax && err == nil && !r.gone {
			r.waits = true
			again = append(again, r)
			continue
		}
		r.err = errcode.New(errcode.Unavailable, "no snapshot could be taken: %w", r.err).After(50 * time.Millisecond)
		close(r.done)
	}
	s.waiting = append(again, s.waiting...)
	s.turn()
}

// holds are the gates and snapshots of one round. Its steps change it from one goroutine.
type holds struct {
	s         *Sequencer
	round     replica.Round
	who       map[schema.ShardID]Participant
	holds     map[schema.ShardID]Hold
	snapshots map[schema.ShardID]*counted
	failed    map[schema.ShardID]error
}

// needed are the shards that some read needs all of whose shards are well so far, in order, by participant.
func (h *holds) needed(reads []*read) map[Participant][]schema.ShardID {
	seen := map[schema.ShardID]bool{}
	out := map[Participant][]schema.ShardID{}
	for _, r := range reads {
		if h.verdict(r) != nil {
			continue
		}
		for _, id := range r.shards {
			if !seen[id] {
				seen[id] = true
				out[h.who[id]] = append(out[h.who[id]], id)
			}
		}
	}
	return out
}

// ask calls one for each participant, side by side, and waits for all. Each has as long as it may be silent.
func (h *holds) ask(ctx context.Context, silence time.Duration, shards map[Participant][]schema.ShardID, one func(context.Context, Participant, []schema.ShardID) (keep func())) {
	ctx, cancel := context.WithTimeout(ctx, silence)
	defer cancel()
	keeps := make(chan func(), len(shards))
	var wg sync.WaitGroup
	call := func(p Participant, ids []schema.ShardID) { keeps <- one(ctx, p, ids) }
	left := len(shards)
	for p, ids := range shards {
		if left--; left == 0 { // the last one on this goroutine
			call(p, ids)
		} else {
			wg.Go(func() { call(p, ids) })
		}
	}
	wg.Wait()
	close(keeps)
	for keep := range keeps {
		keep()
	}
}

// fail takes a shard out of the round.
func (h *holds) fail(id schema.ShardID, err error) {
	if h.failed[id] != nil {
		return
	}
	h.failed[id] = err
	if h.s.o.Left != nil {
		h.s.o.Left(id, err)
	}
}

// find finds the leader of every shard, side by side: it may have to be asked for, and after a fault those of all shards may.
func (h *holds) find(reads []*read) {
	ids := map[schema.ShardID]bool{}
	for _, r := range reads {
		mark(ids, r.shards)
	}
	type found struct {
		id  schema.ShardID
		p   Participant
		err error
	}
	answers := make(chan found, len(ids))
	for id := range ids {
		go func() {
			p, err := h.s.o.Leader(id)
			answers <- found{id, p, err}
		}()
	}
	for range ids {
		if a := <-answers; a.err != nil {
			h.fail(a.id, a.err)
		} else {
			h.who[a.id] = a.p
		}
	}
}

// prepare closes the gate of every shard that some read needs.
func (h *holds) prepare(ctx context.Context, reads []*read) {
	h.ask(ctx, h.s.o.Silence, h.needed(reads), func(ctx context.Context, p Participant, ids []schema.ShardID) func() {
		answers := p.Prepare(ctx, h.round, ids)
		return func() {
			for i, id := range ids {
				// A shard that said no may have closed the gate and answered too late: it is let go of as well.
				h.holds[id] = Hold{id, answers[i].Promise}
				if answers[i].Err != nil {
					h.fail(id, answers[i].Err)
				}
			}
		}
	})
	h.abort(reads)
}

// abort lets go of the gates that no read needs any more. They leave the round.
func (h *holds) abort(reads []*read) {
	keep := map[schema.ShardID]bool{}
	for _, ids := range h.needed(reads) {
		mark(keep, ids)
	}
	drop := map[Participant][]schema.ShardID{}
	for id := range h.holds {
		if !keep[id] {
			drop[h.who[id]] = append(drop[h.who[id]], id)
			delete(h.holds, id)
		}
	}
	for p, ids := range drop {
		p.Abort(h.round, ids)
	}
}

func (h *holds) of(ids []schema.ShardID) []Hold {
	out := make([]Hold, len(ids))
	for i, id := range ids {
		out[i] = h.holds[id]
	}
	return out
}

// open opens one snapshot a shard, which the reads of the round share: at a replica if one is chosen and is there in time, else at the
// leader. Whoever opens it, it lies at or above the promise, and holds nothing that was not committed before COMMIT.
func (h *holds) open(ctx context.Context, reads []*read) {
	if h.s.o.Serve != nil {
		h.openAtReplicas(ctx, reads)
	}
	rest := h.needed(reads)
	for p, ids := range rest {
		ids = slices.DeleteFunc(ids, func(id schema.ShardID) bool { return h.snapshots[id] != nil })
		if rest[p] = ids; len(ids) == 0 {
			delete(rest, p)
		}
	}
	h.ask(ctx, h.s.o.Silence, rest, func(ctx context.Context, p Participant, ids []schema.ShardID) func() {
		answers := p.Open(ctx, h.round, h.of(ids))
		return func() {
			for i, id := range ids {
				if answers[i].Err != nil {
					h.fail(id, answers[i].Err)
					continue
				}
				h.snapshots[id] = newCounted(answers[i].Snapshot)
			}
		}
	})
	h.abort(reads)
}

// openAtReplicas asks the chosen replicas, for a moment. What they do not give is left to the leaders.
func (h *holds) openAtReplicas(ctx context.Context, reads []*read) {
	chosen := map[Participant][]schema.ShardID{}
	for leader, ids := range h.needed(reads) {
		for _, id := range ids {
			if p := h.s.o.Serve(id); p != nil && p != leader {
				chosen[p] = append(chosen[p], id)
			}
		}
	}
	h.ask(ctx, h.s.o.ReplicaWait, chosen, func(ctx context.Context, p Participant, ids []schema.ShardID) func() {
		answers := p.Open(ctx, h.round, h.of(ids))
		return func() {
			for i, id := range ids {
				if answers[i].Err == nil {
					h.snapshots[id] = newCounted(answers[i].Snapshot)
				} else if h.s.o.Missed != nil {
					h.s.o.Missed(id, p)
				}
			}
		}
	})
}

// commit lets every gate go, after all snapshots of the round are open.
func (h *holds) commit(ctx context.Context, reads []*read) {
	h.ask(ctx, h.s.o.Silence, h.needed(reads), func(ctx context.Context, p Participant, ids []schema.ShardID) func() {
		answers := p.Commit(ctx, h.round, h.of(ids))
		return func() {
			for i, id := range ids {
				if answers[i] != nil {
					h.fail(id, answers[i])
				}
			}
		}
	})
	h.abort(reads)
}

// verdict is why a read cannot have its cut, or nil. It names every shard that is at fault.
func (h *holds) verdict(r *read) error {
	var at []schema.ShardID
	for _, id := range r.shards {
		if h.failed[id] != nil {
			at = append(at, id)
		}
	}
	if len(at) == 0 {
		return nil
	}
	return fmt.Errorf("%s: %w", Names(at), h.failed[at[0]])
}

// Names are shards as errors name them: "shard 3", or "shards 3, 5 and 6".
func Names(shards []schema.ShardID) string {
	if len(shards) == 1 {
		return fmt.Sprintf("shard %d", shards[0])
	}
	var b strings.Builder
	b.WriteString("shards")
	for i, id := range shards {
		switch {
		case i == 0:
			fmt.Fprintf(&b, " %d", id)
		case i == len(shards)-1:
			fmt.Fprintf(&b, " and %d", id)
		default:
			fmt.Fprintf(&b, ", %d", id)
		}
	}
	return b.String()
}

// cut gives a read its share of the snapshots.
func (h *holds) cut(r *read) *Cut {
	c := &Cut{Round: h.round, Snapshots: make([]ShardSnapshot, len(r.shards))}
	shared := make([]*counted, len(r.shards))
	for i, id := range r.shards {
		shared[i] = h.snapshots[id]
		shared[i].users.Add(1)
		c.Snapshots[i] = ShardSnapshot{id, shared[i].Snapshot}
	}
	c.release = func() {
		for _, s := range shared {
			s.drop()
		}
	}
	return c
}

// drop gives up the round's own share.
func (h *holds) drop() {
	for _, s := range h.snapshots {
		s.drop()
	}
}

// counted is a snapshot that several reads share.
type counted struct {
	Snapshot
	users atomic.Int64
}

func newCounted(s Snapshot) *counted {
	c := &counted{Snapshot: s}
	c.users.Store(1)
	return c
}

func (c *counted) drop() {
	if c.users.Add(-1) == 0 {
		c.Release()
	}
}
