package replica

import (
	"testing"
	"testing/synctest"
	"time"
)

// A leader hands over to a voter that does not hear it, and loses its leadership over that. When it leads again it takes commands: raft's own
// transfer would refuse them for good.
func TestTransferThatFailedLeavesALeaderThatProposes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGroup(t, Options{})
		defer g.stopAll()
		g.grow("a", "b", "c")
		g.net.Cut("a", "b")
		g.mustWrite("a", 0, 3) // which b lacks
		handed := make(chan error, 1)
		go func() { handed <- g.hosts["a"].r.Transfer("b") }()
		time.Sleep(100 * time.Millisecond)
		if err := g.write("a", 3); err == nil {
			t.Error("a command was taken while the leadership is handed over")
		}
		g.net.Isolate("a")
		if err := <-handed; err == nil && g.hosts["b"].r.Leader() == "b" {
			t.Error("handed over to a voter that has heard of nothing")
		}
		g.waitLeader("b", "c")
		g.net.Heal("a")
		g.net.Mend("a", "b")
		g.wait("a leads again", func() bool {
			if _, err := g.hosts["a"].r.Leading(); err == nil {
				return true
			}
			for _, id := range []string{"b", "c"} {
				_ = g.hosts[id].r.Transfer("a")
			}
			return false
		})
		g.mustWrite("a", 4, 10)
		g.waitEqual("a", "b", "c")
	})
}
