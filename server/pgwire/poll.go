package pgwire

import (
	"sync/atomic"
	"time"
)

// eagerness decides whether a connection polls for its client's next bytes before it sleeps. Waking a sleeping core takes longer than most
// queries do, and a client that asks again at once pays that for every one of them; polling in vain costs a core and helps nobody. So a
// connection polls only where that is likely to pay:
//
//   - its client is the only one that asks: its last alonesMin reads had nobody else's between them;
//   - it asks again soon: when the connection slept, it slept no longer than twice the time that it would have polled;
//   - polling is not in vain: each time that it is doubles the waits that are slept through before the next time, and each time that it is not
//     halves them.
//
// The goroutine that reads owns it, except for asked.
type eagerness struct {
	asked  *atomic.Pointer[eagerness] // of the server: whose client has asked last
	span   time.Duration              // of one wait that is polled, at most
	alones int                        // reads in a row that nobody else's came between
	soon   bool                       // the last sleep was short
	vain   int                        // polls that found nothing, less those that found something; 0 to vainMax
	rest   int                        // waits to sleep through
}

const (
	alonesMin = 16
	vainMax   = 10
)

// alone says that nobody else has asked in the meantime.
func (e *eagerness) alone() bool { return e.asked.Load() == e }

// polls says whether the wait that begins is polled.
func (e *eagerness) polls() bool {
	if e.rest > 0 {
		e.rest--
		return false
	}
	return e.soon && e.alones >= alonesMin && e.alone()
}

// found notes that bytes came while the connection polled.
func (e *eagerness) found() { e.vain = max(e.vain-1, 0) }

// missed notes that polling has found none.
func (e *eagerness) missed() {
	if e.alone() { // else it was not its fault
		e.vain = min(e.vain+1, vainMax)
		e.rest = 1<<e.vain - 1
	}
}

// slept notes how long a wait took that ended in sleep.
func (e *eagerness) slept(d time.Duration) { e.soon = d <= 2*e.span }

// heard notes that bytes have come.
func (e *eagerness) heard() {
	if e.alone() {
		e.alones = min(e.alones+1, alonesMin)
		return
	}
	e.asked.Store(e)
	e.alones = 0
}

// forget lets go of what the server knows of a connection that ends.
func (e *eagerness) forget() { e.asked.CompareAndSwap(e, nil) }
