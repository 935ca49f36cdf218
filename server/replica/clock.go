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
	ahead atomic.Int64 // milliseconds that the own clock is beyond the median; never negative

	mu      sync.Mutex
	offsets map[string]int64 // of other nodes' clocks to the own one, milliseconds
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

// settle computes the median over the own clock and those of the voters that have been heard. Of an even number it is the lower of the
// middle two: a clock that runs ahead gets no help from the count.
func (c *clocks) settle(self string, voters []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	offsets := []int64{0}
	for _, node := range voters {
		if o, ok := c.offsets[node]; ok && node != self {
			offsets = append(offsets, o)
		}
	}
	slices.Sort(offsets)
	c.ahead.Store(max(0, -offsets[(len(offsets)-1)/2]))
}

// Stamp is this leader's proposal for log time: its own clock, but no more than 5 s beyond the median of the voters'.
func (r *Replica) Stamp() int64 {
	return r.o.Now().UnixMilli() - max(0, r.clocks.ahead.Load()-aheadMax)
}

// compareClocks asks the voters for theirs, and the leader's place among them. One that does not answer in time keeps its last offset.
func (r *Replica) compareClocks(ctx context.Context) {
	voters := r.voters()
	ctx, cancel := context.WithTimeout(ctx, r.o.Timeout/2)
	defer cancel()
	var wg sync.WaitGroup
	for _, node := range voters {
		if node == r.o.NodeID {
			continue
		}
		wg.Go(func() {
			began := r.o.Now()
			if v, err := r.o.Peers.Confirm(ctx, node, r.o.Group); err == nil {
				r.clocks.saw(node, v.Clock, began, r.o.Now())
			}
		})
	}
	wg.Wait()
	r.clocks.settle(r.o.NodeID, voters)
}
