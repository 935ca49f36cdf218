package pgwire

import (
	"context"
	"sync/atomic"
)

// runContext is the context that a statement runs in. Most statements end before anything waits for its end, and then it serves the next one:
// making and ending one costs as much as a fifth of a short query.
type runContext struct {
	context.Context
	cancel context.CancelCauseFunc
	seen   atomic.Bool // Done was called, by somebody who waits or by a context that was derived from it
}

func newRunContext(base context.Context) *runContext {
	x := &runContext{}
	x.Context, x.cancel = context.WithCancelCause(base)
	return x
}

// Done is that of context.Context.
func (x *runContext) Done() <-chan struct{} {
	x.seen.Store(true)
	return x.Context.Done()
}

// unseen says that the context may serve another statement: it goes on, and nobody has asked when it ends.
func (x *runContext) unseen() bool { return !x.seen.Load() && x.Err() == nil }
