package client

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"time"

	apiv1 "github.com/quipudb/quipu/proto/api/v1"
	"google.golang.org/grpc"
)

// link is the sender's way to one node, or to any. One goroutine runs it.
type link struct {
	s       *sender
	address string // of the node; empty: any
	wake    chan struct{}
	writes  apiv1.WriteClient // run owns it, as the fields below up to batch
	cancel  context.CancelFunc

	answered int        // requests that had an answer
	heard    time.Time  // when the last answer came, or there was nothing to wait for
	batch    []*request // scratch of push

	up    bool       // a stream is open; guarded by s.mu
	ready []*request // to be sent; guarded by s.mu
}

// silentAfter is how long a node may leave requests without an answer before they go elsewhere: longer than a node looks for the leader of a
// shard. One that is stopped or cut off says nothing, and its connection lasts.
const silentAfter = 6 * time.Second

// Errors that end a stream.
var (
	errSilent  = errors.New("quipu: the node does not answer")
	errForeign = errors.New("quipu: the node at the leader's address is of another cluster")
)

func (l *link) kick() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// connect makes links to the leaders that have none, and ends those to nodes that lead nothing any more. The chart's mutex is held, so that
// it is called with one version after the other.
func (s *sender) connect(r *routes) {
	leads := map[string]bool{}
	for _, address := range r.leaders {
		leads[address] = true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ctx == nil || s.ctx.Err() != nil {
		return
	}
	for address, l := range s.leaders {
		if !leads[address] && (!l.up || len(s.leaders) >= linksMax) {
			l.cancel()
		}
	}
	for address := range leads {
		if s.leaders[address] != nil || len(s.leaders) >= linksMax {
			continue
		}
		ctx, cancel := context.WithCancel(s.ctx)
		l := &link{s: s, address: address, wake: make(chan struct{}, 1), cancel: cancel}
		s.leaders[address] = l
		s.wg.Go(func() {
			defer cancel()
			l.lead(ctx)
		})
	}
}

// lead runs a link to a leader with a connection of its own.
func (l *link) lead(ctx context.Context) {
	conn, err := connect([]string{l.address}, l.s.c.nodeOptions())
	if err == nil {
		l.writes = apiv1.NewWriteClient(conn)
		l.run(ctx)
		_ = conn.Close() // nothing is on its way
	}
	l.s.mu.Lock()
	defer l.s.mu.Unlock()
	delete(l.s.leaders, l.address)
}

// run opens one stream after the other until ctx ends. What was in flight on one goes out again, over this link or another.
func (l *link) run(ctx context.Context) {
	backoff := backoffMin
	for ctx.Err() == nil {
		before := l.answered
		err := l.stream(ctx)
		if ctx.Err() != nil {
			break
		}
		if l.answered != before {
			backoff = backoffMin
		}
		if l.s.fixed && errors.Is(err, &Error{Code: "SESSION_EXPIRED"}) {
			break
		}
		if errors.Is(err, errForeign) {
			backoff = foreignWait
		}
		l.lost(err)
		if !errors.Is(err, errGivenUp) {
			sleep(ctx, backoff/2+rand.N(backoff/2+1))
			backoff = min(2*backoff, backoffMax)
		}
	}
	l.lost(ErrClosed)
}

// foreignWait is how long a node of another cluster is left in peace.
const foreignWait = time.Minute

// lost hands what the link had to another one, if there is one: the stamp makes it harmless.
func (l *link) lost(err error) {
	s := l.s
	s.mu.Lock()
	l.up = false
	s.reach()
	l.ready = nil
	var again []BatchInfo
	for _, r := range s.open {
		if r.claimed || r.on != l || !r.retryAt.IsZero() {
			continue
		}
		if r.attempts > 0 {
			again = append(again, s.info(r))
		}
		s.hand(r)
	}
	ended := errors.Is(err, ErrClosed)
	s.mu.Unlock()
	if hook := s.c.opts.hooks.OnRetry; hook != nil && !ended {
		s.calling.Lock()
		defer s.calling.Unlock()
		for _, b := range again {
			hook(b, err)
		}
	}
}

// reach says whether a leader can be reached. Under mu.
func (s *sender) reach() {
	for _, l := range s.leaders {
		if l.up {
			s.direct.Store(true)
			return
		}
	}
	s.direct.Store(false)
}

// open says that requests may be handed to the link.
func (l *link) open() {
	l.s.mu.Lock()
	defer l.s.mu.Unlock()
	l.up = true
	l.s.reach()
}

// stream opens one stream and pumps until it breaks.
func (l *link) stream(ctx context.Context) error {
	s := l.s
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	life, err := l.begin(ctx)
	if err != nil {
		return err
	}
	st, err := l.writes.WriteStream(s.ofCluster(s.c.authorize(ctx)), grpc.ForceCodecV2(messages))
	if err != nil {
		return err
	}
	in := &inbound{answers: make(chan *apiv1.WriteResponse, windowMax+8)} // never blocks: no more answers than open requests
	if l.address == "" {
		l.open()
	} else { // with its first word: whether the node can be reached is not known before
		in.greeted = l.open
	}
	go in.receive(st)
	err = l.pump(ctx, st, in, life)
	cancel()
	if late := l.rest(in, life); err == nil {
		err = late
	}
	return err
}

// begin waits until there is a session, which the link to any node opens, and says which.
func (l *link) begin(ctx context.Context) (life int, err error) {
	s := l.s
	if l.address == "" {
		if err := s.ensureSession(ctx); err != nil {
			return 0, err
		}
	}
	for {
		s.mu.Lock()
		have := s.session.id != 0
		life = s.life
		s.mu.Unlock()
		if have {
			return life, nil
		}
		select {
		case <-l.wake:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}

// inbound is what a stream brought: answers, and the reason of its end once they are closed.
type inbound struct {
	together atomic.Bool // the server takes requests together
	greeted  func()      // called when the server has taken the stream; nil: nobody asks
	answers  chan *apiv1.WriteResponse
	err      error
}

func (in *inbound) receive(st apiv1.Write_WriteStreamClient) {
	defer close(in.answers)
	if h, err := st.Header(); err == nil && h != nil {
		in.together.Store(slices.Equal(h.Get("quipu-together"), []string{"1"}))
		if in.greeted != nil {
			in.greeted()
		}
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
func (l *link) rest(in *inbound, life int) error {
	for a := range in.answers {
		if err := l.answers(a, life); err != nil {
			for range in.answers { // of a session that is gone
			}
			return err
		}
	}
	err := fromStatus(in.err)
	if !errors.Is(err, &Error{Code: "SESSION_EXPIRED"}) {
		return in.err
	}
	if l.address != "" { // the address leads to some other cluster than from where the leader is
		return errForeign
	}
	l.s.expire(life) // the session is of another cluster than the one that answers
	return err
}

// pump sends what there is to send and takes answers until the stream breaks, which is the only reason for nil.
func (l *link) pump(ctx context.Context, st apiv1.Write_WriteStreamClient, in *inbound, life int) error {
	s := l.s
	tick := time.NewTicker(l.tickEvery())
	defer tick.Stop()
	retry := time.NewTimer(time.Hour)
	defer retry.Stop()
	l.heard = s.c.opts.now()
	for {
		due, err := l.push(st, in.together.Load(), life)
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
			if err := l.answers(a, life); err != nil {
				return err
			}
			if err := l.readyAnswers(in, life); err != nil { // what waits for their room goes together
				return err
			}
		case <-l.wake:
		case <-retry.C:
		case <-tick.C:
			if l.address == "" && s.linger && s.idle() {
				s.c.sealAll()
			}
			if l.silent() {
				return errSilent
			}
		}
	}
}

func (l *link) tickEvery() time.Duration {
	if l.address == "" {
		return max(l.s.c.opts.linger, time.Millisecond)
	}
	return time.Second
}

// silent says that the node has not answered for long, and that another one could.
func (l *link) silent() bool {
	now := l.s.c.opts.now()
	if now.Sub(l.heard) < silentAfter {
		return false
	}
	l.s.mu.Lock()
	defer l.s.mu.Unlock()
	other := l != l.s.any && l.s.any.up
	for _, o := range l.s.leaders {
		other = other || o != l && o.up
	}
	if other {
		for _, r := range l.s.open {
			if r.on == l && r.attempts > 0 && !r.claimed && r.retryAt.IsZero() {
				return true
			}
		}
	}
	l.heard = now
	return false
}

// readyAnswers takes the answers that are there.
func (l *link) readyAnswers(in *inbound, life int) error {
	for range len(in.answers) {
		a, ok := <-in.answers
		if !ok {
			return nil
		}
		if err := l.answers(a, life); err != nil {
			return err
		}
	}
	return nil
}

// push sends everything that may be sent now and says when the next retry is due.
func (l *link) push(st grpc.ClientStream, together bool, life int) (due time.Time, err error) {
	s := l.s
	n := 1
	if together {
		n = togetherMax
	}
	for {
		var low, session uint64
		l.batch, session, due, low, err = s.take(l, l.batch[:0], n, life, s.c.opts.now())
		if err != nil || len(l.batch) == 0 {
			return due, err
		}
		sent := 0
		for _, r := range l.batch {
			r.encode()
			if r.attempts == 1 {
				sent += len(r.body) + stampMin
			}
		}
		s.tellSent(l.batch)
		s.mu.Lock()
		s.stats.BytesSent += int64(sent)
		s.mu.Unlock()
		version := uint64(0)
		if routes := s.c.chart.routes.Load(); routes != nil && !s.fixed {
			version = routes.version
		}
		for batch := l.batch; len(batch) > 0; {
			var m message
			m, batch = pack(batch, stamp{session: session, low: low, mapVersion: version})
			if err := st.SendMsg(m); err != nil {
				return due, err
			}
		}
		clear(l.batch)
	}
}

func (s *sender) tellSent(batch []*request) {
	hook := s.c.opts.hooks.OnSend
	if hook == nil {
		return
	}
	s.calling.Lock()
	defer s.calling.Unlock()
	for _, r := range batch {
		hook(s.infoLocked(r))
	}
}
