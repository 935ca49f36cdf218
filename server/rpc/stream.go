package rpc

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	apiv1 "github.com/quipudb/quipu/proto/api/v1"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
)

// writeStream serves one WriteStream call: one goroutine receives, workers write and answer in the order in which they finish.
// Workers are started as they are needed and stay until the stream ends, because a fresh goroutine would grow its stack anew for
// each request. When all are taken nothing is received, and HTTP/2 holds the client back.
type writeStream struct {
	*Server
	who    string
	grpc   grpc.BidiStreamingServer[apiv1.WriteRequest, apiv1.WriteResponse]
	cancel context.CancelCauseFunc

	work     chan received
	quit     chan struct{} // closed by stop
	starting sync.Mutex    // orders start and stop
	workers  sync.WaitGroup

	sending sync.Mutex
}

// streamed is the label of one request of a stream in the metrics; the stream as a whole has its method's name.
const streamed = apiv1.Write_WriteStream_FullMethodName + ".request"

// received is a request with its share of the node's budget of bytes.
type received struct {
	req  *apiv1.WriteRequest
	size int64
}

// WriteStream ends when the client has closed its side, or the server drains, and every request taken is answered.
func (s *writeService) WriteStream(stream grpc.BidiStreamingServer[apiv1.WriteRequest, apiv1.WriteResponse]) error {
	who, err := principal(stream.Context())
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(stream.Context())
	defer cancel(nil)
	w := &writeStream{
		Server: s.Server, who: who, grpc: stream, cancel: cancel, work: make(chan received), quit: make(chan struct{}),
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
	if err == nil {
		err = context.Cause(ctx) // a Send that failed
	}
	return err
}

// receive hands requests to workers until the client has no more, or until stop.
func (w *writeStream) receive(ctx context.Context) error {
	for n := 0; ; {
		req, err := w.grpc.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		r := received{req, min(int64(proto.Size(req)), w.opts.InFlightBytes)}
		if err := w.bytes.Acquire(ctx, r.size); err != nil {
			return context.Cause(ctx)
		}
		w.metrics.inFlight.Inc()
		if n < w.opts.InFlightMax {
			select {
			case w.work <- r:
				continue
			default:
			}
			if w.start(ctx, r) {
				n++
				continue
			}
		}
		select {
		case w.work <- r:
		case <-w.quit:
			w.done(r)
			return errClosing() // the client sends it again, elsewhere
		case <-ctx.Done():
			w.done(r)
			return context.Cause(ctx)
		}
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
	resp := w.outcome(ctx, r.req)
	w.sending.Lock()
	err := w.grpc.Send(resp)
	w.sending.Unlock()
	if err != nil {
		w.cancel(err)
	}
}

func (w *writeStream) done(r received) {
	w.bytes.Release(r.size)
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
