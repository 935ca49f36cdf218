package replica

import (
	"testing"
	"testing/synctest"
	"time"
)

// A leader whose process has ended is succeeded long before the timeout, by one voter, in the next term but one at the latest.
func TestVotersSucceedALeaderThatHasEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGroup(t, Options{})
		defer g.stopAll()
		g.grow("a", "b", "c")
		g.mustWrite("a", 0, 3)
		term := g.hosts["a"].r.Status().Term
		g.net.End("a")
		ended := time.Now()
		for range 3 { // of each connection that ends
			g.hosts["b"].r.Succeed("a")
			g.hosts["c"].r.Succeed("a")
		}
		g.waitLeader("b", "c")
		if took := time.Since(ended); took > g.hosts["b"].r.o.Timeout/2 {
			t.Errorf("succeeded after %v", took)
		}
		time.Sleep(g.hosts["b"].r.o.Timeout)
		if now := g.hosts["b"].r.Status().Term; now > term+2 {
			t.Errorf("term %d after %d: the voters stood against each other", now, term)
		}
		g.net.Heal("a")
		g.waitEqual("a", "b", "c")
	})
}

// Nobody stands for election when a node ends that does not lead, or without a vote.
func TestOnlyALeaderIsSucceeded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGroup(t, Options{})
		defer g.stopAll()
		g.grow("a", "b", "c")
		term := g.hosts["a"].r.Status().Term
		g.net.End("c")
		g.hosts["a"].r.Succeed("c")
		g.hosts["b"].r.Succeed("c")
		time.Sleep(3 * g.hosts["a"].r.o.Timeout)
		if now := g.hosts["a"].r.Status(); now.Term != term || now.Leader != "a" {
			t.Errorf("term %d, leader %q; want %d and a", now.Term, now.Leader, term)
		}
		g.net.Heal("c")
		g.waitEqual("a", "b", "c")
	})
}
