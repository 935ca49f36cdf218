package client

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/metadata"
)

// request is one batch on its way. It keeps its stamp over every attempt. The sender's mutex guards it until it is finished;
// after that it does not change.
type request struct {
	pending      Pending // of this request
	s            *sender
	table        string
	batch        *columns
	observations int64
	size         int
	rows         []uint32 // of the batch that it is a part of, by row; nil: it is the whole
	shard        int32    // that it belongs to, as far as the client knows; −1: to several, or unknown
	of           *whole   // the batch that it is a part of; nil: it is the whole

	seq      uint64
	body     []byte // the batch as it travels; the link that has it owns it from the first attempt on
	attempts int
	retryAt  time.Time // zero: not waiting for a retry
	flying   bool      // on its way to a link, or sent, and not finished
	on       *link     // that has it; nil: none
	avoid    *link     // that could not get it counted the last time
	claimed  bool      // its answer is here, and whoever took it finishes it
	finished bool
	done     chan struct{} // closed when finished; nil as long as nobody waits

	receipt Receipt
	refused []*Error
	err     error // *Error for a refusal of the whole, or an unknown outcome
}

// whole is a batch that travels in parts. The sender's mutex guards it.
type whole struct {
	first  *request
	flying int // parts
}

// sender carries the batches of one session and keeps each until it has its answer. It sends over links, each of which has a goroutine and a
// stream: any leads to any node that the client was told of, the others to the leaders of shards that it has heard of. A request whose link
// breaks goes over another one, under the same stamp. The mutex guards what callers and links share; it is never held while something is
// sent or waited for.
type sender struct {
	c       *Client
	linger  bool // seals the tables' counts at every tick
	fixed   bool // the session is an import's: it is never replaced, and requests bring their own seq
	any     *link
	stopped chan struct{}
	wg      sync.WaitGroup // of links to leaders
	calling sync.Mutex     // hooks are called one at a time
	direct  atomic.Bool    // some leader can be reached

	mu      sync.Mutex
	ctx     context.Context  // of links to leaders; nil before run
	leaders map[string]*link // by address
	session session
	life    int // of sessions: one more for each that was given up
	nextSeq uint64
	acked   uint64     // of a fixed session: the server may forget what lies at or below it
	queue   []*request // not handed to a link yet, oldest first
	open    []*request // handed to a link and the finished ones among them, ascending seq
	flying  int        // batches that have open requests which are not finished
	again   bool       // some of open may wait for a retry
	bytes   int
	roomc   chan struct{} // closed and forgotten when room appears; nil as long as nobody waits
	ended   bool
	tally   LostError
	stats   Stats
}

type session struct {
	id          uint64
	ttl         time.Duration
	cluster     string
	incarnation uint64
}

// errUnknown ends a request that was sent under a session that is gone.
var errUnknown = &Error{Code: "OUTCOME_UNKNOWN", Message: "the session expired before the server answered: the batch was counted once or not at all",
	Hint: "it will not be sent again, so that it cannot count twice"}

func newSender(c *Client, s session, linger bool) *sender {
	out := &sender{c: c, session: s, linger: linger, nextSeq: 1, leaders: map[string]*link{}, stopped: make(chan struct{})}
	out.any = &link{s: out, wake: make(chan struct{}, 1), writes: c.writes}
	return out
}

func (s *sender) kick() { s.any.kick() }

// room says whether another batch may wait. The bound is checked before a batch is made, so it is exceeded by one at most.
func (s *sender) room() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.bytes < s.c.opts.bufferBytes && !s.ended
}

// waitRoom waits until room, ctx or the end of the client.
func (s *sender) waitRoom(ctx context.Context) error {
	for {
		s.mu.Lock()
		ok, ended := s.bytes < s.c.opts.bufferBytes, s.ended
		if !ok && s.roomc == nil {
			s.roomc = make(chan struct{})
		}
		c := s.roomc
		s.mu.Unlock()
		switch {
		case ended:
			return ErrClosed
		case ok:
			return nil
		}
		select {
		case <-c:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// enqueue takes a batch. It does not block. now has it encoded at once, by the caller.
func (s *sender) enqueue(r *request, now bool) *Pending {
	r.pending.r, r.shard = r, -1
	p, requests := &r.pending, []*request{r}
	if parts := s.split(r); parts != nil {
		p, requests = &Pending{r: parts[0], parts: parts}, parts
	}
	for _, r := range requests {
		r.s = s
		r.size = r.batch.bytes() + 256
		if now {
			r.encode()
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range requests {
		s.bytes += r.size
	}
	s.queue = append(s.queue, requests...)
	s.dispatch()
	return p
}

// split cuts a batch into parts of one shard each, if they can be sent to different nodes. Nil says that it travels whole. A chunk of an
// import does: its number is its stamp.
func (s *sender) split(r *request) []*request {
	if s.fixed || !s.direct.Load() {
		return nil
	}
	routes := s.c.chart.routes.Load()
	if routes == nil || !routes.several {
		if routes != nil {
			r.shard = routes.only
		}
		return nil
	}
	key := s.c.chart.partition(r.table)
	if key == nil {
		return nil
	}
	shards, batches, rows := splitBySlot(r.batch, key, routes)
	if batches == nil {
		r.shard = int32(shards[0])
		return nil
	}
	parts, of, left := make([]*request, len(batches)), new(whole), r.observations
	for i, b := range batches {
		parts[i] = &request{table: r.table, batch: b, observations: b.observations, rows: rows[i], shard: int32(shards[i]), of: of}
		left -= b.observations
	}
	of.first = parts[0]
	parts[0].observations += left // cells that were corrected stand for more observations than their counts
	return parts
}

// encode brings the batch into the form in which it travels.
func (r *request) encode() {
	if r.body == nil {
		r.body, r.batch.dims = r.batch.encode(r.table), nil
	}
}

// wait waits until r is finished.
func (r *request) wait(ctx context.Context) error {
	r.s.mu.Lock()
	if !r.finished && r.done == nil {
		r.done = make(chan struct{})
	}
	finished, done := r.finished, r.done
	r.s.mu.Unlock()
	if finished {
		return nil
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// outstanding are the requests that have no answer yet.
func (s *sender) outstanding() []*request {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := slices.Clone(s.queue)
	for _, r := range s.open {
		if !r.finished {
			out = append(out, r)
		}
	}
	return out
}

// idle says that the sender could send more than it has.
func (s *sender) idle() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.queue) == 0 && s.flying < s.c.opts.inFlight
}

// dispatch hands the oldest of the queue to links, as far as the window has room. Under mu.
func (s *sender) dispatch() {
	if s.session.id == 0 || len(s.queue) == 0 {
		return
	}
	low := s.lowSeq()
	for len(s.queue) > 0 {
		r := s.queue[0]
		if s.flying >= s.c.opts.inFlight && (r.of == nil || r.of.flying == 0) {
			return
		}
		if r.seq == 0 {
			r.seq = s.nextSeq
		}
		if s.nextSeq = max(s.nextSeq, r.seq+1); r.seq > low+windowMax {
			return
		}
		s.queue[0] = nil
		s.queue = s.queue[1:]
		at := len(s.open)
		if at > 0 && s.open[at-1].seq > r.seq { // imports number their chunks themselves
			at, _ = slices.BinarySearchFunc(s.open, r.seq, func(o *request, seq uint64) int { return cmp.Compare(o.seq, seq) })
		}
		s.open = slices.Insert(s.open, at, r)
		s.fly(r)
		s.hand(r)
	}
}

// fly counts r, and the batch that it is a part of, as on its way. Under mu.
func (s *sender) fly(r *request) {
	r.flying = true
	if r.of == nil {
		s.flying++
		return
	}
	if r.of.flying++; r.of.flying == 1 {
		s.flying++
	}
}

// land is the end of fly. Under mu.
func (s *sender) land(r *request) {
	if !r.flying {
		return
	}
	r.flying, r.on = false, nil
	if r.of != nil {
		if r.of.flying--; r.of.flying > 0 {
			return
		}
	}
	s.flying--
}

// hand gives r to a link. Under mu.
func (s *sender) hand(r *request) {
	l := s.route(r)
	r.on = l
	l.ready = append(l.ready, r)
	l.kick()
}

// route chooses the link of r: that of its leader, else any node, else whichever is open. Under mu.
func (s *sender) route(r *request) *link {
	if l := s.leaders[s.c.chart.leader(r.shard)]; l != nil && l.up && l != r.avoid {
		return l
	}
	if s.any.up && s.any != r.avoid {
		return s.any
	}
	for _, l := range s.leaders { // any of them
		if l.up && l != r.avoid {
			return l
		}
	}
	return s.any
}

// dispatchAgain hands the retries that are due to links, and says when the next one is. Under mu.
func (s *sender) dispatchAgain(now time.Time) (due time.Time) {
	if !s.again {
		return due
	}
	s.again = false
	for _, r := range s.open {
		switch {
		case r.claimed || r.retryAt.IsZero():
			continue
		case !r.retryAt.After(now):
			r.retryAt = time.Time{}
			s.hand(r)
			continue
		case due.IsZero() || r.retryAt.Before(due):
			due = r.retryAt
		}
		s.again = true
	}
	return due
}

// take is what link l sends next, up to n requests, and under which session. It also says when the next retry is due, and up to which number
// everything is answered. A stream of an earlier session takes nothing.
func (s *sender) take(l *link, batch []*request, n, life int, now time.Time) (_ []*request, session uint64, due time.Time, low uint64, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.life != life || s.session.id == 0 {
		return batch, 0, due, 0, errGivenUp
	}
	due = s.dispatchAgain(now)
	s.dispatch()
	k := 0
	for ; k < len(l.ready) && len(batch) < n; k++ {
		r := l.ready[k]
		if r.on != l || r.claimed { // it was answered over another link meanwhile
			continue
		}
		if r.attempts++; r.attempts > 1 {
			s.stats.Retries++
		} else {
			if r.of == nil || r == r.of.first {
				s.stats.Batches++
			}
			s.stats.Rows += int64(len(r.batch.counts))
			s.stats.Observations += r.observations
		}
		batch = append(batch, r)
	}
	l.ready = slices.Delete(l.ready, 0, k)
	return batch, s.session.id, due, s.lowSeq(), nil
}

// errGivenUp ends a stream whose session was given up.
var errGivenUp = errors.New("quipu: the session of the stream is over")

// lowSeq is the highest sequence number up to which everything has been answered and nobody will ask again. Under mu.
func (s *sender) lowSeq() uint64 {
	low := s.answeredUpTo()
	if s.fixed {
		return min(low, s.acked)
	}
	return low
}

func (s *sender) answeredUpTo() uint64 {
	for i, r := range s.open {
		if !r.finished {
			s.open = s.open[i:]
			return r.seq - 1
		}
	}
	low := s.nextSeq - 1
	if len(s.queue) > 0 && s.queue[0].seq > 0 {
		low = min(low, s.queue[0].seq-1)
	}
	s.open = s.open[:0]
	return low
}

// infoLocked is info without mu held.
func (s *sender) infoLocked(r *request) BatchInfo {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.info(r)
}

// info is what hooks are told. Under mu.
func (s *sender) info(r *request) BatchInfo {
	return BatchInfo{Table: r.table, Session: s.session.id, Seq: r.seq, Attempt: r.attempts,
		Rows: len(r.batch.counts), Observations: r.observations}
}

// finish ends r and makes room.
func (s *sender) finish(r *request, err error) {
	s.mu.Lock()
	if r.finished {
		s.mu.Unlock()
		return
	}
	s.settle(r, err)
	s.makeRoom()
	s.mu.Unlock()
}

// settle marks r as finished. Under mu; makeRoom follows.
func (s *sender) settle(r *request, err error) {
	r.claimed, r.finished, r.err = true, true, err
	s.bytes -= r.size
	s.land(r)
	s.account(r)
	if r.done != nil {
		close(r.done)
	}
}

// makeRoom wakes those who wait for it. Under mu.
func (s *sender) makeRoom() {
	s.lowSeq()
	if s.roomc != nil {
		close(s.roomc)
		s.roomc = nil
	}
}

// account adds what r lost to the tally that Flush and Close report. Under mu.
func (s *sender) account(r *request) {
	reason := r.err
	switch {
	case r.err == error(errUnknown):
		s.tally.Unknown += r.observations
	case errors.Is(r.err, ErrClosed):
		s.tally.Undelivered += r.observations
	case r.err != nil:
		s.tally.Refused += r.observations
	default:
		for _, e := range r.refused {
			reason = e
			s.tally.Refused += e.observations
		}
	}
	if reason != nil && len(s.tally.Reasons) < reasonsMax {
		s.tally.Reasons = append(s.tally.Reasons, reason)
	}
}

const reasonsMax = 8

// run sends and receives until ctx ends, or the session of an import is gone.
func (s *sender) run(ctx context.Context) {
	defer close(s.stopped)
	ctx, cancel := context.WithCancel(ctx)
	s.mu.Lock()
	s.ctx = ctx
	s.mu.Unlock()
	if !s.fixed {
		s.wg.Go(func() { s.c.chart.run(ctx) })
	}
	s.wg.Go(func() { s.keep(ctx) })
	s.any.run(ctx)
	cancel()
	s.wg.Wait()
	s.end()
}

const (
	backoffMin = 10 * time.Millisecond
	backoffMax = 2 * time.Second
)

func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// end answers everything that is left when the client stops.
func (s *sender) end() {
	s.mu.Lock()
	s.ended = true
	unsent := s.queue
	var sent []*request
	for _, r := range s.open {
		if r.attempts == 0 {
			unsent = append(unsent, r)
		} else {
			sent = append(sent, r)
		}
	}
	s.queue = nil
	s.makeRoom()
	s.mu.Unlock()
	for _, r := range unsent {
		s.finish(r, ErrClosed)
	}
	for _, r := range sent {
		s.finish(r, errUnknown)
	}
}

// ofCluster says of which cluster the session is. One that was restored from a backup and answers at the same address refuses it: its own
// sessions have the same numbers.
func (s *sender) ofCluster(ctx context.Context) context.Context {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.session.cluster == "" { // an import's, which its record names
		return ctx
	}
	return metadata.AppendToOutgoingContext(ctx, "quipu-incarnation", fmt.Sprintf("%s/%d", s.session.cluster, s.session.incarnation))
}
