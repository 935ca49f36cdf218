package rpc

import (
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"time"

	apiv1 "github.com/quipudb/quipu/proto/api/v1"
	"github.com/quipudb/quipu/storage/schema"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
)

// writeStream serves one WriteStream call: one goroutine receives, workers write and answer in the order in which they finish.
// Workers are started as they are needed and stay until the stream ends, because a fresh goroutine would grow its stack anew for
// each request. Batches of one row need no worker: they begin where they are received, and a lane answers those of one shard.
// When InFlightMax requests are taken nothing is received, and HTTP/2 holds the client back.
type writeStream struct {
	*Server
	who    string
	grpc   grpc.BidiStreamingServer[apiv1.WriteRequest, apiv1.WriteResponse]
	cancel context.CancelCauseFunc

	work     chan received
	slots    chan struct{} // a token for each request taken and not answered
	quit     chan struct{} // closed by stop
	starting sync.Mutex    // orders start and stop
	workers  sync.WaitGroup

	lanes map[schema.ShardID]*lane // receive owns it
	over  chan struct{}            // closed when everything is answered: lanes end
	lane  sync.WaitGroup

	together atomic.Bool // the client has sent requests together, so it takes answers together
	sending  sync.Mutex  // held while something is sent
	outbox   sync.Mutex  // guards unsent
	unsent   []*apiv1.WriteResponse
}

// streamed is the label of one request of a stream in the metrics; the stream as a whole has its method's name.
const streamed = apiv1.Write_WriteStream_FullMethodName + ".request"

// received is a request of a message.
type received struct {
	req  *apiv1.WriteRequest
	from *arrival
}

// arrival is a message with its share of the node's budget of bytes, which it gives back when the last of its requests is answered: they
// stand on its memory.
type arrival struct {
	size int64
	open atomic.Int64 // requests
}

// WriteStream ends when the client has closed its side, or the server drains, and every request taken is answered.
func (s *writeService) WriteStream(stream grpc.BidiStreamingServer[apiv1.WriteRequest, apiv1.WriteResponse]) error {
	who := principal(stream.Context())
	ctx, cancel := context.WithCancelCause(stream.Context())
	defer cancel(nil)
	w := &writeStream{
		Server: s.Server, who: who, grpc: stream, cancel: cancel, work: make(chan received), quit: make(chan struct{}),
		slots: make(chan struct{}, s.opts.InFlightMax), lanes: map[schema.ShardID]*lane{}, over: make(chan struct{}),
	}
	if err := stream.SendHeader(metadata.Pairs(MetaTogether, "1")); err != nil {
		return err
	}
	return w.serve(ctx)
}

func (w *writeStream) serve(ctx context.Context) error {
	var err error
	ended := make(chan error, 1)
	go func() { ended <- w.receive(ctx) }() // ends with Recv, which ends at the latest when the handler has returned
	select {
	case err = <-ended:
		if err != nil {
			w.cancel(err)
		}
	case <-w.draining:
		err = errClosing()
	}
	w.stop()
	w.workers.Wait()
	close(w.over)
	w.lane.Wait()
	if err == nil {
		err = context.Cause(ctx) // a Send that failed
	}
	return err
}

// receive hands requests to workers until the client has no more, or until stop.
func (w *writeStream) receive(ctx context.Context) error {
	for {
		var m message
		err := w.grpc.RecvMsg(&m)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := w.admit(ctx, m); err != nil {
			return err
		}
	}
}

// admit waits for room and puts the requests of a message on their way. The error ends the stream.
func (w *writeStream) admit(ctx context.Context, m message) error {
	from := &arrival{size: min(int64(m.size), w.opts.InFlightBytes)}
	if err := w.bytes.Acquire(ctx, from.size); err != nil {
		return context.Cause(ctx)
	}
	from.open.Store(int64(len(m.requests)))
	w.metrics.inFlight.Add(float64(len(m.requests)))
	if len(m.requests) > 1 {
		w.together.Store(true)
	}
	for i, req := range m.requests {
		r := received{req, from}
		var err error
		select {
		case w.slots <- struct{}{}:
			if !w.take(ctx, r) {
				<-w.slots
				err = errClosing() // the client sends it again, elsewhere
			}
		case <-w.quit:
			err = errClosing()
		case <-ctx.Done():
			err = context.Cause(ctx)
		}
		if err != nil {
			for range m.requests[i:] {
				w.forget(r)
			}
			return err
		}
	}
	return nil
}

// take puts r on its way, which holds a slot. It is false if the stream has stopped.
func (w *writeStream) take(ctx context.Context, r received) bool {
	if single(r.req) {
		switch begun, open := w.begin(ctx, r); {
		case !open:
			return false
		case begun:
			return true
		}
	}
	select {
	case w.work <- r: // to a worker that is idle
		return true
	default:
		return w.start(ctx, r)
	}
}

// start starts a worker with r as its first request, unless the stream has stopped.
func (w *writeStream) start(ctx context.Context, r received) bool {
	w.starting.Lock()
	defer w.starting.Unlock()
	select {
	case <-w.quit:
		return false
	default:
	}
	w.workers.Go(func() { w.run(ctx, r) })
	return true
}

// stop lets workers end once they have answered what they hold, and lets no more be started.
func (w *writeStream) stop() {
	w.starting.Lock()
	defer w.starting.Unlock()
	close(w.quit)
}

// run answers r and then whatever comes.
func (w *writeStream) run(ctx context.Context, r received) {
	for {
		w.answer(ctx, r)
		select {
		case r = <-w.work:
		case <-w.quit:
			return
		}
	}
}

func (w *writeStream) answer(ctx context.Context, r received) {
	defer w.done(r)
	w.send(w.outcome(ctx, r.req))
}

// send gives answers to the client: in one message, if it takes them so, with those that came while the message before was sent.
func (w *writeStream) send(answers ...*apiv1.WriteResponse) {
	w.outbox.Lock()
	w.unsent = append(w.unsent, answers...)
	w.outbox.Unlock()
	w.sending.Lock()
	defer w.sending.Unlock()
	w.outbox.Lock()
	answers, w.unsent = w.unsent, nil
	w.outbox.Unlock()
	if len(answers) > 1 && w.together.Load() {
		answers[0].More = answers[1:]
		answers = answers[:1]
	}
	for _, a := range answers { // none, if another call has sent them
		if err := w.grpc.Send(a); err != nil {
			w.cancel(err)
			return
		}
	}
}

// done ends a request that has its answer.
func (w *writeStream) done(r received) {
	<-w.slots
	w.forget(r)
}

// forget ends a request that has no slot.
func (w *writeStream) forget(r received) {
	if r.from.open.Add(-1) == 0 {
		w.bytes.Release(r.from.size)
	}
	w.metrics.inFlight.Dec()
}

// outcome writes one batch; an error concerns it alone and not the stream. A panic concerns the whole process, except that it
// must not end it: it becomes the answer.
func (w *writeStream) outcome(ctx context.Context, req *apiv1.WriteRequest) (resp *apiv1.WriteResponse) {
	var err error
	defer func() {
		if err != nil {
			resp = &apiv1.WriteResponse{Id: req.Id, Error: errorMessage(err)}
		}
	}()
	defer w.finish(streamed, time.Now(), &err)
	ctx, cancel := context.WithTimeout(ctx, w.opts.WriteTimeout)
	defer cancel()
	resp, _, err = w.write(ctx, w.who, req)
	return resp
}
