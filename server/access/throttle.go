package access

import (
	"sync"
	"time"

	"github.com/quipudb/quipu/server/errcode"
)

// throttle slows down who tries passwords: of one role from one address, failuresMax wrong ones in a row, then one each failurePause.
// Others, and the same role from elsewhere, are not concerned.
type throttle struct {
	now func() time.Time

	mu   sync.Mutex // guards free
	free map[attempt]time.Time
}

type attempt struct{ role, remote string }

const (
	failuresMax  = 10
	failurePause = 2 * time.Second
	attemptsMax  = 16_384 // that are remembered
)

// Attempt asks whether a password of a role may be tried from an address. done, which must be called, says whether one was tried, and
// whether it was right.
func (c *Control) Attempt(role, remote string) (done func(tried, right bool), err error) {
	return c.throttle.attempt(attempt{role, remote})
}

// attempt counts a failure at once and takes it back if there is none, so that many tries at the same time are no way around it. The
// count is a time: each failure moves it failurePause on, and there is room while it is not failuresMax pauses ahead.
func (t *throttle) attempt(a attempt) (func(tried, right bool), error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	at := t.free[a]
	if at.Before(now) {
		at = now
	}
	if ahead := at.Add(failurePause).Sub(now); ahead > failuresMax*failurePause {
		wait := ahead - failuresMax*failurePause
		return nil, errcode.New(errcode.Busy, "too many wrong passwords for user %q from this address", a.role).
			WithHint("the next one may be tried in %v", wait.Round(time.Second)).After(wait)
	}
	t.keep(a, at.Add(failurePause), now)
	return func(tried, right bool) {
		t.mu.Lock()
		defer t.mu.Unlock()
		switch at, known := t.free[a]; {
		case right:
			delete(t.free, a)
		case !tried && known:
			t.free[a] = at.Add(-failurePause)
		}
	}, nil
}

func (t *throttle) keep(a attempt, at, now time.Time) {
	if t.free == nil {
		t.free = map[attempt]time.Time{}
	}
	if _, known := t.free[a]; !known && len(t.free) >= attemptsMax {
		for k, v := range t.free {
			if v.Before(now) {
				delete(t.free, k)
			}
		}
		if len(t.free) >= attemptsMax { // many at once: forgetting them lets some try again, keeping them would let nobody in
			clear(t.free)
		}
	}
	t.free[a] = at
}
