package replica

import (
	"testing"
	"testing/synctest"
	"time"
)

// The leader of two voters dies right after the promotion of a third one that the other voter had not heard of: the two that are left elect. Had
// the promotion been acknowledged without the other voter, neither could ever vote for the other.
func TestLeaderThatDiesAfterAPromotionLeavesAGroupThatElects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGroup(t, Options{})
		defer g.stopAll()
		g.grow("a", "b")
		g.start("c", false)
		if err := g.hosts["a"].r.AddLearner("c"); err != nil {
			t.Fatal(err)
		}
		g.waitEqual("a", "b", "c")
		g.net.Cut("a", "b")
		promoted := make(chan error, 1)
		go func() { promoted <- g.hosts["a"].r.Promote("c") }()
		select {
		case err := <-promoted:
			t.Errorf("promoted without one of the two voters: %v", err)
		case <-time.After(300 * time.Millisecond): // a leads until half of a timeout has gone by
			g.net.Mend("a", "b")
			if err := <-promoted; err != nil {
				t.Fatal(err)
			}
		}
		g.net.Isolate("a")
		g.stop("a")
		g.net.Mend("a", "b")
		g.mustWrite(g.waitLeader("b", "c"), 0, 10)
		g.net.Heal("a")
		g.start("a", false)
		g.waitEqual("a", "b", "c")
	})
}

// A replica that was away while others promoted it, and changed the group since, takes in what is committed without asking anybody.
func TestPromotionThatIsCommittedIsTakenIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGroup(t, Options{})
		defer g.stopAll()
		g.grow("a", "b", "c")
		g.start("d", false)
		if err := g.hosts["a"].r.AddLearner("d"); err != nil {
			t.Fatal(err)
		}
		g.waitEqual("a", "b", "c", "d")
		g.stop("d")
		for _, change := range []error{g.hosts["a"].r.Promote("d"), g.hosts["a"].r.Remove("b")} {
			if change != nil {
				t.Fatal(change)
			}
		}
		g.stop("b")
		g.start("d", false)
		g.mustWrite("a", 0, 10)
		g.waitEqual("a", "c", "d")
	})
}

// An idle leader tells a learner three times in a timeout that it is there, and a voter as often as raft does. What is new both hear at once.
func TestLearnersOfAQuietGroupHearOfNews(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGroup(t, Options{Quiet: true, CommitTimeout: 50 * time.Millisecond})
		defer g.stopAll()
		g.grow("a", "b")
		g.start("c", false)
		if err := g.hosts["a"].r.AddLearner("c"); err != nil {
			t.Fatal(err)
		}
		g.waitEqual("a", "b", "c")
		time.Sleep(5 * time.Second)
		const span = 20 * time.Second
		before := map[string]uint64{}
		for _, id := range []string{"b", "c"} {
			before[id], _ = g.net.Sent(id) // answers
		}
		for range int(span / time.Second) {
			time.Sleep(time.Second)
			if leader := g.hosts["c"].r.Leader(); leader != "a" {
				t.Fatalf("the learner knows %q as the leader", leader)
			}
		}
		heard := map[string]float64{}
		for _, id := range []string{"b", "c"} {
			n, _ := g.net.Sent(id)
			heard[id] = float64(n-before[id]) / span.Seconds()
		}
		t.Logf("messages a second: %v", heard)
		if heard["c"] > 4 || heard["b"] < 3*heard["c"] {
			t.Errorf("messages a second: %v", heard)
		}
		g.mustWrite("a", 0, 5)
		time.Sleep(150 * time.Millisecond) // twice the time after which a leader speaks of what is committed, and a bit
		if g.has("c") != 5 {
			t.Errorf("the learner has %d entries of 5", g.has("c"))
		}
	})
}
