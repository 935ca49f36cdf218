package replica

import (
	"slices"
	"time"
)

// turnShare is the part of a timeout between the turns of two voters to succeed a leader. An election takes an exchange and two fsyncs.
const turnShare = 8

// Succeed says that the process of a node has ended. If it led the group, its voters stand for election one after the other, until one is
// elected, without waiting for the timeouts by which they would find out. Should the node live after all, an election was held for nothing.
func (r *Replica) Succeed(node string) {
	turn := r.turnAfter(node)
	if turn < 0 || r.Leader() != node || !r.succeeds.CompareAndSwap(false, true) {
		return
	}
	heard := time.Now()
	r.confirmMu.Lock()
	defer r.confirmMu.Unlock()
	if r.life.Err() != nil {
		return
	}
	r.wg.Go(func() {
		defer r.succeeds.Store(false)
		if sleep(r.life, time.Duration(turn)*r.o.Timeout/turnShare) != nil || r.heardSince(heard, node) {
			return
		}
		if err := r.stand(); err != nil {
			r.log.Info("this voter could not stand for election", "err", err)
		}
	})
}

// heardSince says whether another leads than the node that has ended, or has this voter's vote.
func (r *Replica) heardSince(t time.Time, ended string) bool {
	leader := r.Leader()
	return leader != "" && leader != ended || r.raft.LastContact().After(t)
}

// turnAfter is this voter's place among those that may succeed a node, from 0, or -1 if it may not. Another voter is the first in the next
// group, so that one node does not get all that another has led.
func (r *Replica) turnAfter(node string) int {
	voters := slices.DeleteFunc(r.voters(), func(v string) bool { return v == node })
	slices.Sort(voters)
	i := slices.Index(voters, r.o.NodeID)
	if i < 0 {
		return -1
	}
	return (i + int(r.o.Group)) % len(voters)
}
