package client

import (
	"context"
	"errors"
	"time"
)

// What is harmless twice is asked so often at the most. The pause before the second time is againPause, and doubles; a node that cannot reach a
// leader has waited for an election already when it says so.
const (
	triesMax   = 4
	againPause = 50 * time.Millisecond
)

// await pauses after the n-th try. False says that ctx has ended.
func await(ctx context.Context, n int) bool {
	sleep(ctx, againPause<<(n-1))
	return ctx.Err() == nil
}

// twice makes a call that is harmless twice again, of another node where there are several, while the one that was asked is away.
func twice[T any](ctx context.Context, call func() (T, error)) (T, error) {
	for try := 1; ; try++ {
		out, err := call()
		if err = fromStatus(err); try == triesMax || !isAway(err) || !await(ctx, try) {
			return out, err
		}
	}
}

// isAway says that the node that was asked has gone, or that another one may do better.
func isAway(err error) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && (e.Code == "UNAVAILABLE" || e.Code == "NOT_LEADER" || e.Code == "CLOSING")
}
