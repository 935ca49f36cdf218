package replica

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quipudb/quipu/proto/command/v1"
	"github.com/quipudb/quipu/server/errcode"
	"github.com/quipudb/quipu/storage/schema"
)

// Bounds of a Proposer.
const (
	inFlightMax    = 2       // entries in flight; what arrives meanwhile is coalesced into the next
	waitingRowsMax = 1 << 20 // rows of parts that wait for room in an entry
	waitingMax     = 4096    // parts that wait for room in an entry
)

// ErrBehind says that the shard has not applied the definition of the part's table yet. Nothing was proposed.
var ErrBehind = errors.New("replica: the shard has not applied this version of the table yet")

// errAgain ends an attempt of a part that must be proposed anew: alone, because the entry that it was in was refused, or
// because the attempt that it was attached to was given up.
var errAgain = errors.New("replica: propose again")

// Outcome is what became of a part that was counted.
type Outcome struct {
	Index     uint64 // the log index that made it durable
	Duplicate bool   // it had been counted before
}

// Verdict is what a shard's machine says of one part of an entry.
type Verdict struct {
	Err       *errcode.Error // nil: counted
	Duplicate bool           // counted by an earlier entry
	Data      bool           // Err is about the data, and stays
	Apart     bool           // the entry was refused; Err, if any, is this part's own fault
}

// Future is an entry on its way through the log.
type Future interface {
	Error() error
	Index() uint64
	Response() any
}

// Dict looks up the applied codes of one table's values. It may be used while the machine applies.
type Dict interface {
	Lookup(dim int, value string) (code uint32, ok bool)
	Len(dim int) uint32
}

// ProposerOptions are what a Proposer needs of its group.
type ProposerOptions struct {
	Shard schema.ShardID
	Apply func(data []byte) Future                      // puts an entry into the log; answers come in order
	Stamp func() int64                                  // the leader's proposal for log time, Unix milliseconds
	Admit func() error                                  // why nothing may be proposed now (not leader, no disk), or nil
	Room  func(ctx context.Context) error               // returns when the machine can take an entry, or with an error if it never can
	Cells func() int                                    // that an entry of several parts may touch
	Pass  func(ctx context.Context, index uint64) error // the gate
	Dict  func(schema.TableID, uint64) (Dict, error)    // of the version of a table, or ErrBehind
	Read  func(response any) ([]Verdict, error)         // what the machine answered, part by part
	Seen  func(command.Part) (Verdict, uint64, bool)    // the remembered answer of a part, and the applied index of the look
}

// A Proposer makes log entries of the parts that arrive at a shard's leader. While inFlightMax entries are on their way, or the machine
// has no room for more, what arrives is coalesced: equal cells are summed, parts keep their stamps. An entry is applied whole or refused whole; of a refused
// one the parts are proposed again, singly. A part that comes again while it is on its way gets the answer of the first.
//
//	outcome, err := p.Propose(part).Wait(ctx)
type Proposer struct {
	opts  ProposerOptions
	stats ProposerStats
	wake  chan struct{} // capacity 1: the loop has something to look at
	ctx   context.Context
	stop  context.CancelFunc
	wg    sync.WaitGroup

	mu       sync.Mutex // guards the fields below and the state of every Pending
	closed   bool
	open     *entry     // gathers parts; never nil
	free     []*entry   // emptied entries
	waiting  []*Pending // parts without room in open, in order
	rows     int        // of waiting
	inFlight int
	live     map[stampKey]*Pending  // parts that wait, are gathered, or are in flight
	unruly   map[stampKey]time.Time // sessions (Seq 0) whose parts go alone until then
}

// ProposerStats count since the start.
type ProposerStats struct {
	Entries, Parts, Cells, Bytes atomic.Uint64
	Duplicates, Refused, Busy    atomic.Uint64
	Whole                        atomic.Uint64 // entries of several parts that were refused
}

type stampKey struct {
	kind     command.PartKind
	session  uint64
	home     schema.ShardID
	seq      uint64
	keyShard schema.ShardID
}

func keyOf(s *command.Part) stampKey {
	return stampKey{s.Kind, s.Session, s.Home, s.Seq, s.KeyShard}
}

// entry is the parts that will share a log entry.
type entry struct {
	builder *command.Builder
	parts   []*Pending
	sealed  bool // a part goes alone in it
}

// NewProposer starts a proposer. Close ends it.
func NewProposer(opts ProposerOptions) *Proposer {
	p := &Proposer{
		opts: opts, wake: make(chan struct{}, 1),
		open: &entry{builder: command.NewBuilder()},
		live: map[stampKey]*Pending{}, unruly: map[stampKey]time.Time{},
	}
	p.ctx, p.stop = context.WithCancel(context.Background())
	p.wg.Go(p.run)
	return p
}

// Stats are the counters, live.
func (p *Proposer) Stats() *ProposerStats { return &p.stats }

// Close answers what waits with CLOSING and returns when the last entry in flight has had its answer.
func (p *Proposer) Close() {
	p.mu.Lock()
	if !p.closed {
		p.closed = true
		for _, pd := range slices.Concat(p.waiting, p.open.parts) {
			p.settle(pd, Outcome{}, errClosing())
		}
		p.waiting, p.open.parts, p.rows = nil, nil, 0
	}
	p.mu.Unlock()
	p.stop()
	p.wg.Wait()
}

func errClosing() error {
	return errcode.New(errcode.Closing, "the node is stopping").WithHint("send the batch again under the same stamp, to this node after its restart or to another one")
}

// Propose takes a part on its way and does not wait. The caller keeps the part's columns as they are until Wait returns, which
// must be called.
func (p *Proposer) Propose(part *Part) *Pending {
	pd := &Pending{p: p, part: part}
	p.enqueue(pd)
	return pd
}

// enqueue begins an attempt of pd.
func (p *Proposer) enqueue(pd *Pending) {
	if err := p.admit(pd); err != nil {
		pd.fail(err)
		return
	}
	if err := pd.prepare(); err != nil {
		pd.fail(err)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		pd.fail(errClosing())
		return
	}
	key := keyOf(&pd.part.Stamp)
	if first := p.live[key]; first != nil {
		p.stats.Duplicates.Add(1)
		pd.attempt, pd.attached = first.attempt, true
		return
	}
	pd.attached = false
	pd.alone = pd.alone || p.isUnruly(key)
	pd.attempt = pd.begin()
	p.live[key] = pd // before it is gathered, which may settle it at once
	if len(p.waiting) == 0 && p.gather(pd) {
		p.kick()
		return
	}
	if len(p.waiting) >= waitingMax || p.rows+pd.part.Len > waitingRowsMax {
		delete(p.live, key)
		p.stats.Busy.Add(1)
		pd.fail(errcode.New(errcode.Busy, "shard %d has %d parts waiting", p.opts.Shard, len(p.waiting)).
			WithHint("send the batch again under the same stamp a little later").After(20 * time.Millisecond))
		return
	}
	pd.waits = true
	p.waiting = append(p.waiting, pd)
	p.rows += pd.part.Len
	p.kick()
}

// admit asks whether anything may be proposed, and whether the part has its answer already.
func (p *Proposer) admit(pd *Pending) error {
	if err := p.opts.Admit(); err != nil {
		return err
	}
	v, index, seen := p.opts.Seen(pd.part.Stamp)
	if !seen {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed { // Close may be waiting already
		return errClosing()
	}
	p.stats.Duplicates.Add(1)
	pd.attempt = &attempt{done: make(chan struct{})}
	p.wg.Go(func() { p.answer([]*Pending{pd}, []Verdict{v}, index) })
	return errSeen
}

// errSeen tells enqueue that the attempt is under way without a proposal.
var errSeen = errors.New("replica: answered before")

// kick makes the loop look. It never waits.
func (p *Proposer) kick() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// gather adds pd to the open entry if there is room. mu is held.
func (p *Proposer) gather(pd *Pending) bool {
	e := p.open
	if e.sealed || len(e.parts) > 0 && (pd.alone || e.builder.Cells()+pd.part.Len > p.opts.Cells()) {
		return false
	}
	switch err := pd.addTo(e.builder); {
	case errors.Is(err, errNoRoom) && len(e.parts) > 0:
		return false
	case err != nil: // even an empty entry is too small
		e.builder.Reset()
		p.settle(pd, Outcome{}, errcode.New(errcode.TooLarge, "%d rows with these values do not fit into one log entry", pd.part.Len).
			WithHint("send smaller batches"))
		return true
	}
	pd.release()
	e.sealed = pd.alone
	e.parts = append(e.parts, pd)
	return true
}

// run turns open entries into proposals until Close.
func (p *Proposer) run() {
	for {
		select {
		case <-p.wake:
		case <-p.ctx.Done():
			return
		}
		for p.pending() {
			_ = p.opts.Room(p.ctx) // if there never is any, the log says why
			if e := p.next(); e != nil {
				p.propose(e)
			}
		}
	}
}

// pending reports that next will give an entry, unless the proposer is closed first.
func (p *Proposer) pending() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.inFlight < inFlightMax && !p.closed && len(p.open.parts)+len(p.waiting) > 0
}

// next takes the open entry away if it may go into flight, and fills a new one from the parts that wait.
func (p *Proposer) next() *entry {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.inFlight >= inFlightMax || p.closed {
		return nil
	}
	p.refill()
	e := p.open
	if len(e.parts) == 0 {
		return nil
	}
	p.inFlight++
	if n := len(p.free); n > 0 {
		p.open, p.free = p.free[n-1], p.free[:n-1]
	} else {
		p.open = &entry{builder: command.NewBuilder()}
	}
	p.refill()
	return e
}

func (p *Proposer) refill() {
	n := 0
	for n < len(p.waiting) && p.gather(p.waiting[n]) {
		p.waiting[n].waits = false
		p.rows -= p.waiting[n].part.Len
		n++
	}
	p.waiting = slices.Delete(p.waiting, 0, n)
}

// propose puts e into the log. A goroutine of its own waits for the answer.
func (p *Proposer) propose(e *entry) {
	cells := e.builder.Cells()
	data, err := e.builder.Finish(p.opts.Stamp())
	parts := e.parts
	e.parts, e.sealed = make([]*Pending, 0, cap(parts)), false
	e.builder.Reset()
	if err != nil { // Room said that it fits
		p.landed(e)
		if len(parts) == 1 {
			p.failAll(parts, errcode.New(errcode.TooLarge, "the part does not fit into one log entry: %w", err).WithHint("send smaller batches"))
			return
		}
		p.again(parts)
		return
	}
	p.stats.Entries.Add(1)
	p.stats.Parts.Add(uint64(len(parts)))
	p.stats.Cells.Add(uint64(cells))
	p.stats.Bytes.Add(uint64(len(data)))
	future := p.opts.Apply(data)
	p.wg.Go(func() {
		err := future.Error()
		p.landed(e)
		if err != nil {
			p.failAll(parts, outcome(err))
			return
		}
		verdicts, err := p.opts.Read(future.Response())
		if err == nil && len(verdicts) != len(parts) {
			err = errcode.New(errcode.Internal, "the machine of shard %d answered %d parts of %d", p.opts.Shard, len(verdicts), len(parts))
		}
		if err != nil {
			p.failAll(parts, err)
			return
		}
		p.judge(parts, verdicts, future.Index())
	})
}

// landed takes e back when it is out of the log's way.
func (p *Proposer) landed(e *entry) {
	p.mu.Lock()
	p.inFlight--
	p.free = append(p.free, e)
	p.mu.Unlock()
	p.kick()
}

// judge sends home the parts that have their answer and proposes the others again, if their entry was refused.
func (p *Proposer) judge(parts []*Pending, verdicts []Verdict, index uint64) {
	refused := false
	for i := range verdicts {
		refused = refused || verdicts[i].Apart
	}
	if !refused {
		p.answer(parts, verdicts, index)
		return
	}
	p.stats.Whole.Add(1)
	if len(parts) == 1 { // its own verdict is final
		if verdicts[0].Err == nil && !verdicts[0].Duplicate { // never an acknowledgement of what was not counted
			verdicts[0].Err = errcode.New(errcode.Internal, "the machine of shard %d refused a part and did not say why", p.opts.Shard)
		}
		p.answer(parts, verdicts, index)
		return
	}
	p.again(parts)
}

// again ends the attempt of each part so that its waiters propose it alone.
func (p *Proposer) again(parts []*Pending) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, pd := range parts {
		p.settle(pd, Outcome{}, errAgain)
	}
}

// answer lets the parts' answers leave through the gate.
func (p *Proposer) answer(parts []*Pending, verdicts []Verdict, index uint64) {
	if err := p.opts.Pass(p.ctx, index); err != nil {
		p.failAll(parts, errClosing())
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, pd := range parts {
		v := &verdicts[i]
		if v.Err != nil {
			p.stats.Refused.Add(1)
			if v.Data {
				p.markUnruly(keyOf(&pd.part.Stamp))
			}
			p.settle(pd, Outcome{}, v.Err)
			continue
		}
		p.settle(pd, Outcome{Index: index, Duplicate: v.Duplicate}, nil)
	}
}

func (p *Proposer) failAll(parts []*Pending, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, pd := range parts {
		p.settle(pd, Outcome{}, err)
	}
}

// settle ends the attempt of pd, which waits for no room any more. mu is held.
func (p *Proposer) settle(pd *Pending, out Outcome, err error) {
	key := keyOf(&pd.part.Stamp)
	if p.live[key] == pd {
		delete(p.live, key)
	}
	pd.waits = false
	pd.attempt.out, pd.attempt.err = out, err
	close(pd.attempt.done)
}

// Sessions whose data was refused go uncoalesced for a while, so that they do not spoil the entries of the others.
const (
	unrulyFor = time.Second
	unrulyMax = 1024
)

func (p *Proposer) markUnruly(key stampKey) {
	key.seq = 0
	if len(p.unruly) >= unrulyMax {
		clear(p.unruly)
	}
	p.unruly[key] = time.Now().Add(unrulyFor)
}

func (p *Proposer) isUnruly(key stampKey) bool {
	if len(p.unruly) == 0 {
		return false
	}
	key.seq = 0
	until, ok := p.unruly[key]
	if ok && time.Now().After(until) {
		delete(p.unruly, key)
		return false
	}
	return ok
}
