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
	work   chan received
	cancel context.CancelCauseFunc

	mu sync.Mutex // serialises Send
}

// streamed is the label of one request of a stream in the metrics; the stream as a whole has its method's name.
const streamed = apiv1.Write_WriteStream_FullMethodName + ".request"

// received is a request with its share of the node's budget of bytes.
type received struct {
	req  *apiv1.WriteRequest
	size int64
}

// WriteStream ends when the client has closed its side and every request is answered.
func (s *writeService) WriteStream(stream grpc.BidiStreamingServer[apiv1.WriteRequest, apiv1.WriteResponse]) error {
	who, err := principal(stream.Context())
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(stream.Context())
	defer cancel(nil)
	w := &writeStream{Server: s.Server, who: who, grpc: stream, work: make(chan received), cancel: cancel}
	return w.serve(ctx)
}

func (w *writeStream) serve(ctx context.Context) error {
	var workers sync.WaitGroup
	err := w.receive(ctx, &workers)
	close(w.work)
	if err != nil {
		w.cancel(err)
	}
	workers.Wait()
	if err == nil {
		err = context.Cause(ctx) // a Send that failed
	}
	return err
}

// receive hands requests to workers until the client has no more.
func (w *writeStream) receive(ctx context.Context, workers *sync.WaitGroup) error {
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
			default:
				n++
				workers.Go(func() { w.run(ctx, r) })
			}
			continue
		}
		select {
		case w.work <- r:
		case <-ctx.Done():
			w.done(r)
			return context.Cause(ctx)
		}
	}
}

// run answers r and then whatever comes.
func (w *writeStream) run(ctx context.Context, r received) {
	w.answer(ctx, r)
	for r := range w.work {
		w.answer(ctx, r)
	}
}

func (w *writeStream) answer(ctx context.Context, r received) {
	defer w.done(r)
	resp := w.outcome(ctx, r.req)
	w.mu.Lock()
	err := w.grpc.Send(resp)
	w.mu.Unlock()
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
