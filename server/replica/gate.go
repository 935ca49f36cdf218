package replica

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// Round numbers a snapshot round. Rounds of a later meta term are later, whatever their numbers.
type Round struct{ MetaTerm, Number uint64 }

// After reports whether r is later than s.
func (r Round) After(s Round) bool {
	return r.MetaTerm > s.MetaTerm || r.MetaTerm == s.MetaTerm && r.Number > s.Number
}

// String is metaTerm/number.
func (r Round) String() string { return fmt.Sprintf("%d/%d", r.MetaTerm, r.Number) }

// Promise is a shard leader's answer to PREPARE: nothing above Index is acknowledged while the hold lasts.
type Promise struct {
	Index uint64 // commit index when the gate was closed
	Term  uint64 // term in which the leader leads
}

// HoldMax bounds the life of a hold: writers wait at most this long for a reader.
const HoldMax = 500 * time.Millisecond

// Errors of the gate. A round that meets one leaves the shard out and tries again under a later number.
var (
	ErrFenced = errors.New("replica: a later round has been prepared")
	ErrNoHold = errors.New("replica: the hold of this round is broken")
)

// A Gate lets an answer computed from state at index i leave only when i is committed and no hold with a smaller index is in
// force. Answers are acknowledgements of writes and of deduplicated retries, refusals that depend on state, values, and watch
// events. Entries still commit and apply while a hold is in force; only the answers wait.
//
// A gate lives in memory with the leader; a hold does not survive it. The protocol is that of DESIGN §6.
type Gate struct {
	commit func() uint64                   // the group's commit index; never goes back
	leader func() (term uint64, err error) // the term this replica leads in and has applied an entry of, or why not

	// held is the hold in force, or nil. It is written under mu. Pass reads it without: after Pass has seen i ≤ commit and then
	// no hold, a hold taken later reads a commit index of at least i, so the answer may leave.
	held atomic.Pointer[hold]

	mu         sync.Mutex // guards the fields below
	fence      Round      // the latest round prepared here
	pauseUntil time.Time  // no new hold before
}

type hold struct {
	round  Round
	term   uint64
	index  atomic.Uint64 // closing until the commit index has been read
	since  time.Time
	ends   time.Time
	broken chan struct{} // closed with the hold
}

// closing is the index of a hold whose commit index is being read: nothing passes for that moment.
const closing = math.MaxUint64

// NewGate makes the gate of a group from its commit index and its leadership check.
func NewGate(commit func() uint64, leader func() (uint64, error)) *Gate {
	return &Gate{commit: commit, leader: leader}
}

// Pass waits until an answer computed from state at index may leave.
func (g *Gate) Pass(ctx context.Context, index uint64) error {
	for {
		if g.commit() < index {
			if err := sleep(ctx, time.Millisecond); err != nil {
				return err
			}
			continue
		}
		h := g.held.Load()
		if h == nil {
			return nil
		}
		switch held := h.index.Load(); {
		case held == closing:
			runtime.Gosched()
			continue
		case index <= held:
			return nil
		}
		if err := g.await(ctx, h); err != nil {
			return err
		}
	}
}

// await waits for the end of h: its release, its breaking, or its time.
func (g *Gate) await(ctx context.Context, h *hold) error {
	timer := time.NewTimer(time.Until(h.ends))
	defer timer.Stop()
	select {
	case <-h.broken:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		g.mu.Lock()
		g.breakHold(h)
		g.mu.Unlock()
		return nil
	}
}

// breakHold ends h if it is in force and starts the pause. mu is held.
func (g *Gate) breakHold(h *hold) {
	if g.held.Load() != h {
		return
	}
	g.held.Store(nil)
	close(h.broken)
	now := time.Now()
	g.pauseUntil = now.Add(now.Sub(h.since))
}

// current is the hold in force now, after the clock has had its say. mu is held.
func (g *Gate) current() *hold {
	h := g.held.Load()
	if h != nil && !time.Now().Before(h.ends) {
		g.breakHold(h)
		return nil
	}
	return h
}

// Prepare closes the gate for a round. The round must be later than every round prepared before; it breaks the hold that it
// finds, then waits for the end of the pause that a released hold owes the writers. Asked again under the same round while the
// hold is unbroken it gives the same answer; there is never a second hold under one round.
func (g *Gate) Prepare(ctx context.Context, round Round) (Promise, error) {
	g.mu.Lock()
	if h := g.current(); h != nil && h.round == round && g.fence == round {
		g.mu.Unlock()
		return Promise{Index: h.index.Load(), Term: h.term}, nil
	}
	if !round.After(g.fence) {
		fence := g.fence
		g.mu.Unlock()
		return Promise{}, fmt.Errorf("%w: round %v after %v", ErrFenced, round, fence)
	}
	g.fence = round
	if h := g.held.Load(); h != nil {
		g.breakHold(h)
	}
	for wait := time.Until(g.pauseUntil); wait > 0; wait = time.Until(g.pauseUntil) {
		g.mu.Unlock()
		if err := sleep(ctx, wait); err != nil {
			return Promise{}, err
		}
		g.mu.Lock()
		if g.fence != round {
			g.mu.Unlock()
			return Promise{}, fmt.Errorf("%w: round %v", ErrFenced, round)
		}
	}
	defer g.mu.Unlock()
	return g.take(round)
}

// take closes the gate and only then reads the commit index: an acknowledgement that left before is at or below it. mu is held.
func (g *Gate) take(round Round) (Promise, error) {
	term, err := g.leader()
	if err != nil {
		return Promise{}, err
	}
	now := time.Now()
	h := &hold{round: round, term: term, since: now, ends: now.Add(HoldMax), broken: make(chan struct{})}
	h.index.Store(closing)
	g.held.Store(h)
	p := Promise{Index: g.commit(), Term: term}
	h.index.Store(p.Index)
	return p, nil
}

// Commit releases the hold of exactly this round and promise if it is unbroken, or says ErrNoHold. The caller must then confirm
// the term with a majority, in an exchange begun after this call, before it says yes to the coordinator.
func (g *Gate) Commit(round Round, term uint64) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	h := g.current()
	if h == nil || h.round != round || h.term != term {
		return fmt.Errorf("%w: round %v", ErrNoHold, round)
	}
	g.breakHold(h)
	return nil
}

// Abort breaks the hold of the round, if there is one.
func (g *Gate) Abort(round Round) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if h := g.held.Load(); h != nil && h.round == round {
		g.breakHold(h)
	}
}

// Reset breaks any hold; for a replica that has stopped to lead.
func (g *Gate) Reset() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if h := g.held.Load(); h != nil {
		g.breakHold(h)
	}
}

// A round on one node holds for microseconds and owes a pause of as much: waits shorter than sleepMin are spent giving way to others. They
// end in a timer after spinsMax turns, because the time of a simulation stands still while anybody runs.
const (
	sleepMin = 100 * time.Microsecond
	spinsMax = 256
)

// sleep waits for d or the end of ctx.
func sleep(ctx context.Context, d time.Duration) error {
	if d < sleepMin {
		until := time.Now().Add(d)
		for range spinsMax {
			runtime.Gosched()
			if err := ctx.Err(); err != nil || !time.Now().Before(until) {
				return err
			}
		}
		d = max(0, time.Until(until))
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
