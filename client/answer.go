package client

import (
	"cmp"
	"context"
	"slices"
	"time"

	apiv1 "github.com/quipudb/quipu/proto/api/v1"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// answers settles the requests that one message of the server answers. An error means that the session is gone.
func (l *link) answers(first *apiv1.WriteResponse, life int) error {
	l.answered += 1 + len(first.More)
	l.heard = l.s.c.opts.now()
	l.s.learn(first)
	for _, a := range l.s.counted(first, life) {
		if err := l.answer(a, life); err != nil {
			return err
		}
	}
	return nil
}

// learn takes in what the answers of a message say of the map.
func (s *sender) learn(first *apiv1.WriteResponse) {
	s.c.chart.learn(first)
	for _, a := range first.More {
		s.c.chart.learn(a)
	}
}

// counted settles the requests that were counted, as nearly all are, under one lock, and gives the other answers.
func (s *sender) counted(first *apiv1.WriteResponse, life int) (rest []*apiv1.WriteResponse) {
	if s.c.opts.hooks.OnReceipt != nil { // called for each before it is finished, and without the lock
		return append([]*apiv1.WriteResponse{first}, first.More...)
	}
	now := s.c.opts.now()
	var doubtful []string
	defer func() {
		for _, table := range doubtful {
			s.c.chart.doubt(table)
		}
	}()
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := -1; i < len(first.More); i++ {
		a := first
		if i >= 0 {
			a = first.More[i]
		}
		if a.Error != nil || len(a.Refused) > 0 {
			rest = append(rest, a)
			continue
		}
		if r := s.lookUp(a.Id, life); r != nil {
			r.receipt = s.receipt(a.Receipt, now)
			if r.elsewhere() {
				doubtful = append(doubtful, r.table)
			}
			s.settle(r, nil)
		}
	}
	s.makeRoom()
	return rest
}

// answer settles one request, or plans its next attempt under the same stamp. An error means that the session is gone.
func (l *link) answer(a *apiv1.WriteResponse, life int) error {
	s := l.s
	r := s.find(a.Id, life)
	if r == nil {
		return nil // an answer to an earlier attempt
	}
	if a.Error != nil {
		e := fromWire(a.Error)
		if e.Code == "SESSION_EXPIRED" {
			s.expire(life)
			return e
		}
		if e.Retryable {
			l.retry(r, e, time.Duration(a.Error.RetryAfterMs)*time.Millisecond)
			return nil
		}
		if !s.claim(r, Receipt{}, nil) {
			return nil
		}
		s.refuse(r, e)
		s.finish(r, e)
		return nil
	}
	var final []*Error
	for _, f := range a.Refused {
		e := fromWire(f.GetError())
		switch {
		case e.Code == "SESSION_EXPIRED":
			s.expire(life)
			return e
		case e.Retryable:
			l.retry(r, e, time.Duration(f.GetError().GetRetryAfterMs())*time.Millisecond)
			return nil
		}
		e.observations, e.rows = r.refusedObservations(f, a), f.Rows
		final = append(final, e)
	}
	if !s.claim(r, s.receipt(a.Receipt, s.c.opts.now()), final) {
		return nil
	}
	if r.elsewhere() {
		s.c.chart.doubt(r.table)
	}
	for _, e := range final {
		s.refuse(r, e)
	}
	if hook := s.c.opts.hooks.OnReceipt; hook != nil && a.Receipt != nil {
		s.calling.Lock()
		hook(s.infoLocked(r), r.receipt)
		s.calling.Unlock()
	}
	s.finish(r, nil)
	return nil
}

// claim takes in the answer of a request, unless another attempt has brought one already. Whoever claims it finishes it.
func (s *sender) claim(r *request, receipt Receipt, refused []*Error) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.claimed {
		return false
	}
	r.claimed, r.receipt, r.refused = true, receipt, refused
	return true
}

// refusedObservations is how many observations a refused part stands for.
func (r *request) refusedObservations(f *apiv1.Refusal, a *apiv1.WriteResponse) int64 {
	if len(f.Rows) == 0 {
		if len(a.Receipt.GetShards()) == 0 && len(a.Refused) == 1 {
			return r.observations
		}
		return 0
	}
	var n int64
	for _, row := range f.Rows {
		if int(row) < len(r.batch.counts) {
			n += max(r.batch.counts[row], -r.batch.counts[row])
		}
	}
	return n
}

// find is the request of a number that has no answer, of a session that was not given up; or nil.
func (s *sender) find(seq uint64, life int) *request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lookUp(seq, life)
}

// lookUp is find under mu.
func (s *sender) lookUp(seq uint64, life int) *request {
	if life != s.life {
		return nil
	}
	at, ok := slices.BinarySearchFunc(s.open, seq, func(r *request, seq uint64) int { return cmp.Compare(r.seq, seq) })
	if !ok || s.open[at].claimed {
		return nil
	}
	return s.open[at]
}

// elsewhere says that r came to another shard than it was thought to belong to.
func (r *request) elsewhere() bool {
	return r.shard >= 0 && r.of != nil && (len(r.receipt.Shards) != 1 || r.receipt.Shards[0].Shard != uint32(r.shard))
}

// retry plans another attempt, over another link if this one's node could not reach the shard.
func (l *link) retry(r *request, e *Error, after time.Duration) {
	s := l.s
	if e.Code == "UNAVAILABLE" || e.Code == "NOT_LEADER" || e.Code == "CLOSING" {
		s.c.chart.forget(r.shard, l.address)
	}
	s.mu.Lock()
	if after <= 0 {
		after = min(time.Duration(r.attempts)*5*time.Millisecond, 250*time.Millisecond)
	}
	r.retryAt, r.on, r.avoid = s.c.opts.now().Add(after), nil, nil
	if e.Code != "BUSY" {
		r.avoid = l
	}
	s.again = true
	info := s.info(r)
	s.mu.Unlock()
	if hook := s.c.opts.hooks.OnRetry; hook != nil {
		s.calling.Lock()
		defer s.calling.Unlock()
		hook(info, e)
	}
}

func (s *sender) refuse(r *request, e *Error) {
	if hook := s.c.opts.hooks.OnRefused; hook != nil {
		s.calling.Lock()
		defer s.calling.Unlock()
		hook(s.infoLocked(r), e)
	}
}

// expire gives up the session of a life, unless that is done: what was sent under it has an unknown outcome and is never sent again, what was
// not goes under the next one. The streams of the session end.
func (s *sender) expire(life int) {
	s.mu.Lock()
	if s.life != life {
		s.mu.Unlock()
		return
	}
	s.life++
	lost := s.open
	s.open, s.flying, s.session.id, s.nextSeq = nil, 0, 0, 1
	var unknown, unsent []*request
	for _, r := range lost {
		r.flying, r.on, r.retryAt, r.avoid = false, nil, time.Time{}, nil
		if r.of != nil {
			r.of.flying = 0
		}
		if r.claimed { // whoever has its answer finishes it
			continue
		}
		if r.attempts == 0 {
			unsent = append(unsent, r)
		} else {
			unknown = append(unknown, r)
		}
	}
	s.queue = append(unsent, s.queue...)
	for _, r := range s.queue {
		r.seq = 0
	}
	s.any.ready = nil
	s.any.kick()
	for _, l := range s.leaders {
		l.ready = nil
		l.kick()
	}
	s.mu.Unlock()
	for _, r := range unknown {
		if hook := s.c.opts.hooks.OnUnknown; hook != nil {
			s.calling.Lock()
			hook(s.infoLocked(r))
			s.calling.Unlock()
		}
		s.finish(r, errUnknown)
	}
}

// ensureSession opens a session if there is none.
func (s *sender) ensureSession(ctx context.Context) error {
	s.mu.Lock()
	have := s.session.id != 0
	s.mu.Unlock()
	switch {
	case have:
		return nil
	case s.fixed:
		return errImportExpired
	}
	opened, err := s.c.openSession(ctx, s.c.opts.durable)
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.session = opened
	for _, l := range s.leaders {
		l.kick()
	}
	s.mu.Unlock()
	return nil
}

func (s *sender) receipt(r *apiv1.Receipt, now time.Time) Receipt {
	if r == nil {
		return Receipt{}
	}
	out := Receipt{Cluster: r.ClusterId, Incarnation: r.Incarnation, Duplicate: len(r.Shards) > 0,
		Expires: now.Add(time.Duration(r.TtlMs) * time.Millisecond), Shards: make([]ShardIndex, 0, len(r.Shards))}
	for _, sh := range r.Shards {
		out.Shards = append(out.Shards, ShardIndex{Shard: sh.Shard, Index: sh.Index})
		out.Duplicate = out.Duplicate && sh.Duplicate
	}
	return out
}

func fromWire(e *apiv1.Error) *Error {
	out := &Error{Code: e.GetCode(), Message: e.GetMessage(), Hint: e.GetHint(), Position: int(e.GetPosition()), Retryable: e.GetRetryable()}
	if e.GetDetail() != "" {
		out.Message += ": " + e.GetDetail()
	}
	for _, v := range e.GetViolations() {
		out.Violations = append(out.Violations, v.Field+": "+v.Message)
	}
	return out
}

// fromStatus turns the status of a call into an *Error, or leaves an error that is none.
func fromStatus(err error) error {
	st, ok := status.FromError(err)
	if err == nil || !ok {
		return err
	}
	out := &Error{Code: codeNames[st.Code()], Message: st.Message(), Retryable: st.Code() == codes.Unavailable}
	for _, d := range st.Details() {
		switch d := d.(type) {
		case *errdetails.ErrorInfo:
			out.Code, out.Hint = d.Reason, d.Metadata["hint"]
			out.Position = atoi(d.Metadata["position"])
			if detail := d.Metadata["detail"]; detail != "" {
				out.Message += ": " + detail
			}
		case *errdetails.RetryInfo:
			out.Retryable = true
		case *errdetails.BadRequest:
			for _, v := range d.FieldViolations {
				out.Violations = append(out.Violations, v.Field+": "+v.Description)
			}
		}
	}
	return out
}

// codeNames serve for errors that come from the transport and not from the server's own table.
var codeNames = map[codes.Code]string{
	codes.Canceled: "CANCELED", codes.DeadlineExceeded: "DEADLINE_EXCEEDED", codes.Unavailable: "UNAVAILABLE",
	codes.ResourceExhausted: "RESOURCE_EXHAUSTED", codes.Unauthenticated: "UNAUTHENTICATED",
	codes.PermissionDenied: "PERMISSION_DENIED", codes.Unimplemented: "UNIMPLEMENTED", codes.Internal: "INTERNAL", codes.Unknown: "INTERNAL",
}

func atoi(s string) int {
	n := 0
	for _, c := range s {
		if c < '0' || c > '9' || n > 1<<30 {
			return 0
		}
		n = 10*n + int(c-'0')
	}
	return n
}
