package client

import (
	"cmp"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	apiv1 "github.com/quipudb/quipu/proto/api/v1"
	"google.golang.org/grpc"
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

	seq      uint64
	body     []byte // the batch as it travels; run owns it from the first attempt on
	attempts int
	retryAt  time.Time // zero: not waiting for a retry
	flying   bool      // sent or about to be, and not finished
	finished bool
	done     chan struct{} // closed when finished; nil as long as nobody waits

	receipt Receipt
	refused []*Error
	err     error // *Error for a refusal of the whole, or an unknown outcome
}

// sender carries the batches of one session over one stream and keeps each until it has its answer. Its run goroutine owns the
// stream; the mutex guards what callers share with it. It never holds the mutex while it sends or waits.
type sender struct {
	c       *Client
	linger  bool // seals the tables' counts at every tick
	fixed   bool // the session is an import's: it is never replaced, and requests bring their own seq
	wake    chan struct{}
	stopped chan struct{}

	answered int        // requests that had an answer; run owns it
	batch    []*request // scratch of push; run owns it

	mu      sync.Mutex
	session session
	nextSeq uint64
	acked   uint64     // of a fixed session: the server may forget what lies at or below it
	queue   []*request // never sent, oldest first
	open    []*request // sent at least once and the finished ones among them, ascending seq
	flying  int        // of open, not finished
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
	return &sender{c: c, session: s, linger: linger, nextSeq: 1,
		wake: make(chan struct{}, 1), stopped: make(chan struct{})}
}

func (s *sender) kick() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

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

// enqueue takes a batch. It does not block.
func (s *sender) enqueue(r *request) *Pending {
	r.pending.r, r.s = r, s
	r.size = r.batch.bytes() + 256
	if r.body != nil {
		r.batch.dims = nil // the body has them
	}
	s.mu.Lock()
	s.bytes += r.size
	s.queue = append(s.queue, r)
	first := len(s.queue) == 1
	s.mu.Unlock()
	if first { // otherwise run has not taken what it was woken for, or waits for an answer
		s.kick()
	}
	return &r.pending
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

// take appends to batch what to send next, up to n requests: retries that are due, and then the oldest of the queue as far as the window
// has room. It also says when the next retry is due, and up to which number everything is answered.
func (s *sender) take(batch []*request, n int, now time.Time) (_ []*request, due time.Time, low uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	low = s.lowSeq()
	batch, due = s.takeAgain(batch, n, now)
	for len(batch) < n && len(s.queue) > 0 && s.flying < s.c.opts.inFlight {
		r := s.queue[0]
		if r.seq == 0 {
			r.seq = s.nextSeq
		}
		if s.nextSeq = max(s.nextSeq, r.seq+1); r.seq > low+windowMax {
			break
		}
		s.queue[0] = nil
		s.queue = s.queue[1:]
		at := len(s.open)
		if at > 0 && s.open[at-1].seq > r.seq { // imports number their chunks themselves
			at, _ = slices.BinarySearchFunc(s.open, r.seq, func(o *request, seq uint64) int { return cmp.Compare(o.seq, seq) })
		}
		s.open = slices.Insert(s.open, at, r)
		r.flying = true
		s.flying++
		s.stats.Batches++
		s.stats.Rows += int64(len(r.batch.counts))
		s.stats.Observations += r.observations
		batch = append(batch, r)
	}
	for _, r := range batch {
		r.attempts++
	}
	return batch, due, low
}

// takeAgain is take for retries. Under mu.
func (s *sender) takeAgain(batch []*request, n int, now time.Time) (_ []*request, due time.Time) {
	if !s.again {
		return batch, due
	}
	s.again = false
	for _, r := range s.open {
		switch {
		case r.finished || r.retryAt.IsZero():
			continue
		case len(batch) < n && !r.retryAt.After(now):
			r.retryAt = time.Time{}
			s.stats.Retries++
			batch = append(batch, r)
			continue
		case due.IsZero() || r.retryAt.Before(due):
			due = r.retryAt
		}
		s.again = true
	}
	return batch, due
}

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
	r.finished, r.err = true, err
	s.bytes -= r.size
	if r.flying {
		r.flying = false
		s.flying--
	}
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

// run sends and receives until ctx ends, or the session of an import is gone. Each turn of the outer loop is one stream.
func (s *sender) run(ctx context.Context) {
	defer close(s.stopped)
	backoff := backoffMin
	for ctx.Err() == nil {
		before := s.answered
		err := s.stream(ctx)
		if ctx.Err() != nil {
			break
		}
		if s.answered != before {
			backoff = backoffMin
		}
		if s.fixed && errors.Is(err, &Error{Code: "SESSION_EXPIRED"}) {
			break
		}
		s.lostStream(err)
		sleep(ctx, backoff/2+rand.N(backoff/2+1))
		backoff = min(2*backoff, backoffMax)
	}
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

// lostStream marks what was in flight for another attempt: the stamp makes it harmless.
func (s *sender) lostStream(err error) {
	s.mu.Lock()
	var again []BatchInfo
	for _, r := range s.open {
		if !r.finished {
			r.retryAt = time.Unix(0, 1)
			s.again = true
			again = append(again, s.info(r))
		}
	}
	s.mu.Unlock()
	if hook := s.c.opts.hooks.OnRetry; hook != nil {
		for _, b := range again {
			hook(b, err)
		}
	}
}

// end answers everything that is left when the client stops.
func (s *sender) end() {
	s.mu.Lock()
	s.ended = true
	unsent, sent := s.queue, slices.Clone(s.open)
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

// stream opens one stream and pumps until it breaks.
func (s *sender) stream(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if err := s.ensureSession(ctx); err != nil {
		return err
	}
	st, err := s.c.writes.WriteStream(s.c.authorize(ctx), grpc.ForceCodecV2(messages))
	if err != nil {
		return err
	}
	in := &inbound{answers: make(chan *apiv1.WriteResponse, windowMax+8)} // never blocks: no more answers than open requests
	go in.receive(st)
	err = s.pump(ctx, st, in)
	cancel()
	if late := s.rest(in); err == nil {
		err = late
	}
	return err
}

// inbound is what a stream brought: answers, and the reason of its end once they are closed.
type inbound struct {
	together atomic.Bool // the server takes requests together
	answers  chan *apiv1.WriteResponse
	err      error
}

func (in *inbound) receive(st apiv1.Write_WriteStreamClient) {
	defer close(in.answers)
	if h, err := st.Header(); err == nil {
		in.together.Store(slices.Equal(h.Get("quipu-together"), []string{"1"}))
	}
	for {
		a, err := st.Recv()
		if err != nil {
			in.err = err
			return
		}
		in.answers <- a
	}
}

// rest takes the answers that came before the stream broke: what they settle need not travel again. It returns when receive has
// ended, with the reason.
func (s *sender) rest(in *inbound) error {
	for a := range in.answers {
		if err := s.answers(a); err != nil {
			for range in.answers { // of a session that is gone
			}
			return err
		}
	}
	return in.err
}

// pump sends what there is to send and takes answers until the stream breaks, which is the only reason for nil.
func (s *sender) pump(ctx context.Context, st apiv1.Write_WriteStreamClient, in *inbound) error {
	tick := time.NewTicker(max(s.c.opts.linger, time.Millisecond))
	defer tick.Stop()
	retry := time.NewTimer(time.Hour)
	defer retry.Stop()
	keep := time.NewTicker(s.keepEvery())
	defer keep.Stop()
	for {
		due, err := s.push(st, in.together.Load())
		switch {
		case err == io.EOF: // the reason stands on the receiving side
			return nil
		case err != nil:
			return err
		case !due.IsZero():
			retry.Reset(max(0, due.Sub(s.c.opts.now())))
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case a, ok := <-in.answers:
			if !ok {
				return nil
			}
			if err := s.answers(a); err != nil {
				return err
			}
			if err := s.ready(in); err != nil { // what waits for their room goes together
				return err
			}
		case <-s.wake:
		case <-retry.C:
		case <-tick.C:
			if s.linger && s.idle() {
				s.c.sealAll()
			}
		case <-keep.C:
			if err := s.keepAlive(ctx); err != nil {
				return err
			}
		}
	}
}

// ready takes the answers that are there.
func (s *sender) ready(in *inbound) error {
	for range len(in.answers) {
		a, ok := <-in.answers
		if !ok {
			return nil
		}
		if err := s.answers(a); err != nil {
			return err
		}
	}
	return nil
}

// push sends everything that may be sent now and says when the next retry is due.
func (s *sender) push(st grpc.ClientStream, together bool) (due time.Time, err error) {
	n := 1
	if together {
		n = togetherMax
	}
	for {
		var low uint64
		s.batch, due, low = s.take(s.batch[:0], n, s.c.opts.now())
		if len(s.batch) == 0 {
			return due, nil
		}
		sent := 0
		for _, r := range s.batch {
			if r.body == nil {
				r.body, r.batch.dims = r.batch.encode(r.table), nil
			}
			if r.attempts == 1 {
				sent += len(r.body) + stampMin
			}
			if hook := s.c.opts.hooks.OnSend; hook != nil {
				hook(s.info(r))
			}
		}
		s.mu.Lock()
		session := s.session.id
		s.stats.BytesSent += int64(sent)
		s.mu.Unlock()
		for batch := s.batch; len(batch) > 0; {
			var m message
			m, batch = pack(batch, session, low)
			if err := st.SendMsg(m); err != nil {
				return due, err
			}
		}
		clear(s.batch)
	}
}
