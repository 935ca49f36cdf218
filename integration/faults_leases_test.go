package integration

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/quipudb/quipu/client"
)

// leases are taken in turns while faults strike: fences rise with every acquisition, and nobody gets a lease while it is held.
type leases struct {
	w     *work
	began time.Time

	mu   sync.Mutex // guards tenures
	held []tenure
}

// tenure is one acquisition that was answered.
type tenure struct {
	name, holder string
	fence        uint64
	call, got    time.Duration
	until        time.Duration // that it is held for certain: it was not let go, and its time was not over
}

// leaseTTL is what is asked for, and leaseSlack how much earlier it may end by a wrong clock: that of a leader moves time by 5 s at most.
const (
	leaseTTL   = 8 * time.Second
	leaseSlack = 6 * time.Second
	holders    = 3
)

// startLeases has clients take leases until ctx ends.
func (w *work) startLeases(ctx context.Context) *leases {
	s := &leases{w: w, began: time.Now()}
	for i := range holders {
		r := rand.New(rand.NewPCG(w.l.seed, uint64(6000+i)))
		c := w.workers[i%len(w.workers)].c
		w.done.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				w.gate.RLock()
				s.hold(c, fmt.Sprintf("holder %d-%d", i, n), fmt.Sprint("faults/", r.IntN(2)), r)
				w.gate.RUnlock()
				wait(ctx, time.Duration(r.ExpFloat64()*float64(100*time.Millisecond)))
			}
		})
	}
	return s
}

// hold takes a lease if it is free, renews it perhaps, and lets it go, mostly.
func (s *leases) hold(c *client.Client, holder, name string, r *rand.Rand) {
	ctx, cancel := context.WithTimeout(s.w.l.t.Context(), 3*time.Second)
	defer cancel()
	t := tenure{name: name, holder: holder, call: time.Since(s.began)}
	lease, err := c.AcquireLease(ctx, name, holder, leaseTTL)
	if err != nil {
		if !passes(err) && !errors.Is(err, &client.Error{Code: "CONFLICT"}) {
			s.w.l.fail("lease %s cannot be acquired: %v", name, err)
		}
		return
	}
	t.got, t.fence, t.until = time.Since(s.began), lease.Fence, t.call+leaseTTL-leaseSlack
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.held = append(s.held, t)
	}()
	wait(ctx, time.Duration(r.IntN(60))*time.Millisecond)
	if r.IntN(3) == 0 {
		again := time.Since(s.began)
		if err := lease.Renew(ctx, leaseTTL); err == nil {
			t.until = again + leaseTTL - leaseSlack
		} else if !passes(err) && !errors.Is(err, &client.Error{Code: "CONFLICT"}) {
			s.w.l.fail("lease %s cannot be renewed: %v", name, err)
		}
	}
	if r.IntN(20) == 0 {
		return // it ends by itself
	}
	t.until = min(t.until, time.Since(s.began))
	if err := lease.Release(ctx); err != nil && !passes(err) && !errors.Is(err, &client.Error{Code: "NOT_FOUND"}) && !errors.Is(err, &client.Error{Code: "CONFLICT"}) {
		s.w.l.fail("lease %s cannot be released: %v", name, err)
	}
}

// judge holds what was acquired since the last time to what a lease is.
func (s *leases) judge() (operations int) {
	s.mu.Lock()
	all := s.held
	s.held = nil
	s.mu.Unlock()
	slices.SortFunc(all, func(a, b tenure) int { return int(a.call - b.call) })
	for i, a := range all {
		for _, b := range all[i+1:] {
			switch {
			case a.name != b.name:
			case a.fence == b.fence || a.got < b.call && a.fence > b.fence:
				s.w.l.fail("fences do not rise: %+v and %+v", a, b)
			case a.got < b.call && b.got < a.until:
				s.w.l.fail("a lease was acquired while it was held: %+v and %+v", a, b)
			}
		}
	}
	return len(all)
}
