package rpc

import (
	"context"
	"runtime/debug"
	"time"

	apiv1 "github.com/quipudb/quipu/proto/api/v1"
	"github.com/quipudb/quipu/server/access"
	"github.com/quipudb/quipu/storage/schema"
)

// lane answers the batches of one row that a stream sends to one shard. They land in the order in which they began, many in one log
// entry, so that one goroutine waits for the first and then answers all that came with it.
type lane struct {
	w       *writeStream
	flights chan *rowFlight // never full: a flight holds a slot of the stream
	landed  []landed        // scratch of answer
}

// landed is a flight whose row was counted.
type landed struct {
	*rowFlight
	receipt schema.Receipt
}

// rowFlight is a batch of one row on its way.
type rowFlight struct {
	received
	decoded *decoded
	flight  Flight
	began   time.Time
}

// single reports whether a request looks like one that a lane can answer.
func single(req *apiv1.WriteRequest) bool { return req.GetBatch().GetRows() == 1 && req.Stamp != nil }

// begin puts r on its way, or says that only a worker can, or that the stream has stopped.
func (w *writeStream) begin(ctx context.Context, r received) (begun, open bool) {
	w.starting.Lock()
	select {
	case <-w.quit:
		w.starting.Unlock()
		return false, false
	default:
	}
	w.workers.Add(1) // until it is answered
	w.starting.Unlock()
	f := w.fly(ctx, r)
	if f == nil {
		w.workers.Done()
		return false, true
	}
	shard := f.flight.Shard()
	l := w.lanes[shard]
	if l == nil {
		l = w.newLane(ctx, shard)
	}
	l.flights <- f
	return true, true
}

// fly is nil if something is wrong with r: a worker will say what.
func (w *writeStream) fly(ctx context.Context, r received) (f *rowFlight) {
	defer func() {
		if p := recover(); p != nil {
			w.opts.Logger.Error("request panicked", "method", streamed, "panic", p, "stack", string(debug.Stack()))
			f = nil
		}
	}()
	if err := access.RPC[apiv1.Write_WriteStream_FullMethodName].Check(callerOf(ctx), r.req); err != nil {
		return nil
	}
	d, err := decodeBatch(w.who, r.req)
	if err != nil {
		return nil
	}
	f = &rowFlight{received: r, decoded: d, began: time.Now()}
	if f.flight = w.backend.Begin(&d.batch); f.flight == nil {
		d.release()
		return nil
	}
	w.metrics.rows.Inc()
	return f
}

func (w *writeStream) newLane(ctx context.Context, shard schema.ShardID) *lane {
	l := &lane{w: w, flights: make(chan *rowFlight, cap(w.slots))}
	w.lanes[shard] = l
	w.lane.Go(func() { l.run(ctx) })
	return l
}

// run ends when the stream has answered everything.
func (l *lane) run(ctx context.Context) {
	late := time.NewTimer(time.Hour)
	defer late.Stop()
	var head *rowFlight
	for {
		if head == nil {
			select {
			case head = <-l.flights:
			case <-l.w.over:
				return
			}
		}
		late.Reset(time.Until(head.began.Add(l.w.opts.WriteTimeout)))
		select {
		case <-head.flight.Done():
		case <-late.C:
			go l.w.alone(ctx, head)
			head = nil
			continue
		case <-ctx.Done():
			go l.w.alone(ctx, head)
			head = nil
			continue
		}
		head = l.answer(ctx, head)
	}
}

// answer answers f, which is done, and those behind it that are. It gives the first that is not.
func (l *lane) answer(ctx context.Context, f *rowFlight) *rowFlight {
	l.landed = l.landed[:0]
	defer l.send()
	for {
		if receipt, ok := f.flight.Counted(); ok {
			l.landed = append(l.landed, landed{f, receipt})
		} else {
			go l.w.alone(ctx, f)
		}
		select {
		case f = <-l.flights:
		default:
			return nil
		}
		select {
		case <-f.flight.Done():
		default:
			return f
		}
	}
}

// send answers the flights that have landed.
func (l *lane) send() {
	n := len(l.landed)
	if n == 0 {
		return
	}
	answers := make([]*apiv1.WriteResponse, n)
	made := make([]struct {
		response apiv1.WriteResponse
		receipt  apiv1.Receipt
		shard    apiv1.ShardReceipt
		shards   [1]*apiv1.ShardReceipt
	}, n)
	info := l.w.backend.Info()
	for i, f := range l.landed {
		m := &made[i]
		m.shard.Shard, m.shard.Index, m.shard.Duplicate = uint32(f.receipt.Shard), f.receipt.Index, f.receipt.Duplicate
		m.shards[0] = &m.shard
		m.receipt.ClusterId, m.receipt.Incarnation, m.receipt.TtlMs = info.ClusterID, info.Incarnation, info.SessionTTL.Milliseconds()
		m.receipt.Shards = m.shards[:]
		m.response.Id, m.response.Receipt, m.response.MapVersion = f.req.Id, &m.receipt, f.flight.MapVersion()
		m.response.Led = l.w.led(nil, f.req, f.receipt.Shard)
		answers[i] = &m.response
	}
	l.w.send(answers...)
	now := time.Now()
	for _, f := range l.landed {
		l.w.metrics.streamedSeconds.Observe(now.Sub(f.began).Seconds())
		f.decoded.release()
		l.w.done(f.received)
	}
	l.w.metrics.streamed.Add(float64(n))
	l.w.workers.Add(-n)
	clear(l.landed)
}

// alone waits for one flight and answers it.
func (w *writeStream) alone(ctx context.Context, f *rowFlight) {
	defer w.workers.Done()
	defer w.done(f.received)
	ctx, cancel := context.WithDeadline(ctx, f.began.Add(w.opts.WriteTimeout))
	defer cancel()
	w.send(w.outcomeOf(ctx, f))
}

// outcomeOf waits for f's answer.
func (w *writeStream) outcomeOf(ctx context.Context, f *rowFlight) (resp *apiv1.WriteResponse) {
	var err error
	defer func() {
		if err != nil {
			resp = &apiv1.WriteResponse{Id: f.req.Id, Error: errorMessage(err)}
		}
	}()
	defer w.finish(streamed, f.began, &err)
	defer f.decoded.release()
	result, err := f.flight.Wait(ctx)
	if err != nil {
		return nil
	}
	return w.response(f.req, result)
}
