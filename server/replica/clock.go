package replica

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// aheadMax is how far a leader's stamps may be beyond the median clock of the voters, in milliseconds.
const aheadMax = 5_000

// clocks compares this node's clock with those of the other voters: one wrong clock must not move log time.
type clocks struct {
	median atomic.Pointer[reading] // of the voters, as it was found last; nil: not yet

	mu      sync.Mutex
	offsets map[string]int64 // of other nodes' clocks to the own one, milliseconds
}

// reading is a clock at an instant. Time since then runs with the machine and not with the clock, which may be set meanwhile.
type reading struct {
	clock int64 // Unix milliseconds
	at    time.Time
}

// saw takes in a clock that was read somewhere between two readings of the own one. Half of that time is what the offset may be wrong by.
func (c *clocks) saw(node string, clock int64, began, ended time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.offsets == nil {
		c.offsets = map[string]int64{}
	}
	c.offsets[node] = clock - began.Add(ended.Sub(began)/2).UnixMilli()
}

// settle computes the median over the own clock, which says own, and those of the voters that have been heard. Of an even number it is the lower of the
// middle two: a clock that runs ahead gets no help from the count.
func (c *clocks) settle(self string, own time.Time, voters []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	offsets := []int64{0}
	for _, node := range voters {
		if o, ok := c.offsets[node]; ok && node != self {
			offsets = append(offsets, o)
		}
	}
	slices.Sort(offsets)
	c.median.Store(&reading{own.UnixMilli() + offsets[(len(offsets)-1)/2], time.Now()})
}

// Stamp is this leader's proposal for log time: its own clock, but no more than 5 s beyond the median of the voters', also if the own one was set
// since they were compared.
func (r *Replica) Stamp() int64 {
	own := r.o.Now().UnixMilli()
	if m := r.clocks.median.Load(); m != nil {
		own = min(own, m.clock+time.Since(m.at).Milliseconds()+aheadMax)
	}
	return own
}

// compareClocks asks the voters for theirs, and the leader's place among them. It waits for a majority, counting the own clock: no more is needed
// for a median, which the late ones then correct. One that does not answer in time keeps its last offset.
func (r *Replica) compareClocks(ctx context.Context) {
	voters := r.voters()
	ctx, cancel := context.WithTimeout(ctx, r.o.Timeout/2)
	heard := make(chan bool, len(voters)) // room for all: the late ones are not waited for
	asked := 0
	var all sync.WaitGroup
	for _, node := range voters {
		if node == r.o.NodeID {
			continue
		}
		asked++
		all.Go(func() {
			began := r.o.Now()
			v, err := r.o.Peers.Confirm(ctx, node, r.o.Group)
			if err == nil {
				r.clocks.saw(node, v.Clock, began, r.o.Now())
				r.clocks.settle(r.o.NodeID, r.o.Now(), voters)
			}
			heard <- err == nil
		})
	}
	r.wg.Go(func() {
		all.Wait()
		cancel()
	})
	for need := len(voters) / 2; need > 0 && asked > 0; asked-- {
		if <-heard {
			need--
		}
	}
	r.clocks.settle(r.o.NodeID, r.o.Now(), voters)
}
