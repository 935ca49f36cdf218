package server

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quipudb/quipu/server/errcode"
	"github.com/quipudb/quipu/server/rpc"
	"github.com/quipudb/quipu/server/transport"
)

// Contexts and leases are served by every node, and what one node has answered the others know.
func TestMetadataAtEveryNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, "a", "b", "c")
		defer c.stopAll()
		c.waitVoters("a", "b", "c")
		ctx := t.Context()
		names := []string{"a", "b", "c"}
		for v := range uint64(6) { // compare-and-set at one node, read at the next
			at, next := c.nodes[names[v%3]], c.nodes[names[(v+1)%3]]
			if _, err := at.SetContext(ctx, rpc.ContextChange{Name: "prod", IfVersion: v, Values: map[string]string{"n": fmt.Sprint(v + 1)}, By: "me"}); err != nil {
				t.Fatal(err)
			}
			if r, err := next.Context(ctx, "prod"); err != nil || r.Version != v+1 {
				t.Errorf("version %d is read as %+v, %v", v+1, r, err)
			}
			if _, err := next.SetContext(ctx, rpc.ContextChange{Name: "prod", IfVersion: v, By: "me"}); codeOf(err) != errcode.Conflict {
				t.Errorf("a change of version %d, which is gone: %v", v, err)
			}
		}
		r, err := c.nodes["b"].SetContext(ctx, rpc.ContextChange{Name: "prod", IfVersion: 6, RevertTo: 2, By: "me"})
		if err != nil || r.Version != 7 || r.Values["n"] != "2" {
			t.Errorf("reverted: %+v, %v", r, err)
		}
		if _, err := c.nodes["c"].SetContext(ctx, rpc.ContextChange{Name: "prod", IfVersion: 7, RevertTo: 99, By: "me"}); codeOf(err) != errcode.NotFound {
			t.Errorf("reverted to a version that there is not: %v", err)
		}

		l, err := c.nodes["b"].AcquireLease(ctx, "job", "me/one", 30*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.nodes["c"].AcquireLease(ctx, "job", "me/two", 30*time.Second); codeOf(err) != errcode.Conflict {
			t.Errorf("a lease that somebody holds: %v", err)
		}
		if got, err := c.nodes["a"].Lease(ctx, "job"); err != nil || got.Fence != l.Fence || got.Holder != "me/one" {
			t.Errorf("the lease: %+v, %v", got, err)
		}
		for range 6 { // a minute of renewals, at any node
			time.Sleep(10 * time.Second)
			for _, n := range c.nodes {
				if got, err := n.RenewLease(ctx, "job", "me/one", l.Fence, 30*time.Second); err != nil || got.Fence != l.Fence {
					t.Fatalf("renewed: %+v, %v", got, err)
				}
				break
			}
		}
		// Nobody renews it any more. Log time stood still meanwhile, so that it may get its whole time once more, and then ends.
		var taken rpc.Lease
		c.wait("somebody else has the lease", func() bool {
			taken, err = c.nodes["c"].AcquireLease(ctx, "job", "me/two", 30*time.Second)
			return err == nil
		})
		if taken.Fence <= l.Fence {
			t.Errorf("fence %d after %d", taken.Fence, l.Fence)
		}
		if _, err := c.nodes["a"].RenewLease(ctx, "job", "me/one", l.Fence, 30*time.Second); codeOf(err) != errcode.Conflict {
			t.Errorf("renewed by who has lost it: %v", err)
		}
		if err := c.nodes["a"].ReleaseLease(ctx, "job", "me/two", taken.Fence); err != nil {
			t.Error(err)
		}
		if _, err := c.nodes["b"].Lease(ctx, "job"); codeOf(err) != errcode.NotFound {
			t.Errorf("a lease that was released: %v", err)
		}
	})
}

// A watch that breaks off among the present records goes on with the rest of them.
func TestWatchGoesOnAmongPresentRecords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, "a")
		defer c.stopAll()
		n := c.nodes["a"]
		for _, name := range []string{"w/c", "w/a", "w/b"} {
			if _, err := n.SetContext(t.Context(), rpc.ContextChange{Name: name, Values: map[string]string{"v": name}}); err != nil {
				t.Fatal(err)
			}
		}
		enough := errors.New("enough for now")
		var seen []string
		for after := uint64(0); len(seen) < 3; {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			err := n.WatchContexts(ctx, "w/", after, func(e rpc.ContextEvent) error {
				seen, after = append(seen, e.Record.Name), e.Revision
				return enough
			})
			cancel()
			if !errors.Is(err, enough) {
				t.Fatalf("after %v: %v", seen, err)
			}
		}
		if got := strings.Join(seen, " "); got != "w/c w/a w/b" {
			t.Errorf("seen %s", got)
		}
	})
}

// A watch at any node sees every change once and in order, while leaders die and changes come from all sides, and goes on from a revision
// where it stopped.
func TestWatchSeesEveryChangeOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, "a", "b", "c")
		defer c.stopAll()
		c.waitVoters("a", "b", "c")
		const changes = 60
		var watcher *Node // which is not killed
		victim := ""
		for name, n := range c.nodes {
			if n == c.leader(transport.Meta) {
				victim = name
			} else {
				watcher = n
			}
		}
		stop := errors.New("enough for now")
		var seen []uint64
		var wg sync.WaitGroup
		wg.Go(func() {
			after := uint64(0)
			for len(seen) < changes {
				err := watcher.WatchContexts(t.Context(), "w", after, func(e rpc.ContextEvent) error {
					after = e.Revision
					if e.Gap {
						t.Error("a gap")
					}
					if e.Record != nil {
						seen = append(seen, e.Record.Version)
						if len(seen)%7 == 0 || len(seen) == changes {
							return stop // and go on from there
						}
					}
					return nil
				})
				if !errors.Is(err, stop) {
					if ctxErr := t.Context().Err(); ctxErr != nil {
						return
					}
					pause(t.Context(), 50*time.Millisecond)
				}
			}
		})
		time.Sleep(time.Second)
		for v := range uint64(changes) {
			if v == changes/2 {
				c.kill(victim)
			}
			c.wait("the change is made", func() bool {
				for _, n := range c.nodes {
					ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
					_, err := n.SetContext(ctx, rpc.ContextChange{Name: "w", IfVersion: v, Values: map[string]string{"v": fmt.Sprint(v)}})
					cancel()
					if err == nil {
						return true
					}
					if r, gone := n.Context(t.Context(), "w"); gone == nil && r.Version == v+1 {
						return true // its answer was lost
					}
				}
				return false
			})
		}
		wg.Wait()
		for i, v := range seen {
			if v != uint64(i+1) {
				t.Fatalf("change %d is version %d: %v", i+1, v, seen)
			}
		}
	})
}

// A node whose clock is two hours ahead leads the meta group for a while: no lease and no session ends by it.
func TestOneWrongClockExpiresNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		defer c.stopAll()
		c.start("a")
		c.start("b")
		c.now = func() time.Time { return time.Now().Add(2 * time.Hour) }
		wrong := c.start("c")
		c.now = nil
		c.waitVoters("a", "b", "c")
		ctx := t.Context()
		l, err := c.nodes["a"].AcquireLease(ctx, "job", "me/one", time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		s, err := c.nodes["b"].OpenSession(ctx, "local", false)
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		for _, to := range []*Node{wrong, c.nodes["a"], wrong} {
			c.wait("leadership changes", func() bool {
				if leader := c.leader(transport.Meta); leader != nil && leader != to {
					_ = leader.meta.Transfer(to.id.Node)
				}
				return c.leader(transport.Meta) == to
			})
			for i, n := range []*Node{c.nodes["a"], c.nodes["b"], wrong} {
				if _, err := n.SetContext(ctx, rpc.ContextChange{Name: fmt.Sprint("x", i), IfVersion: ^uint64(0)}); err != nil {
					t.Error(err)
				}
				if got, err := n.Lease(ctx, "job"); err != nil || got.Fence != l.Fence {
					t.Errorf("%v after it was acquired, at %s: %+v, %v", time.Since(began), n.cfg.Peer.Listen, got, err)
				}
			}
			time.Sleep(8 * time.Second)
		}
		if err := c.nodes["a"].KeepAlive(ctx, "local", []uint64{s.ID}); err != nil {
			t.Error(err)
		}
		if d := time.Since(began); d > 55*time.Second {
			t.Fatalf("the test took %v", d)
		}
	})
}

// Clocks that go an hour ahead and back again make nobody wait for an hour until a node counts as steady.
func TestClockThatWasAheadHoldsUpNoMoves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ahead atomic.Int64
		c := newClusterAt(t, func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }, "a", "b", "c", "d")
		defer c.stopAll()
		c.wait("every node has replicas", func() bool { return c.holders("a", "b", "c", "d") == 4 })
		ahead.Store(int64(time.Hour))
		time.Sleep(10 * time.Second)
		ahead.Store(0)
		if err := c.nodes["b"].SetNodeState(t.Context(), c.nodes["a"].id.Node, "draining"); err != nil {
			t.Fatal(err)
		}
		c.wait("a has neither shards nor leaders", func() bool { return c.holders("a") == 0 && c.leader(transport.Meta) != c.nodes["a"] })
	})
}

// TestCommandWhoseAnswerIsLostTakesEffectOnce has a node ask the meta leader, whose answers are lost for longer than an attempt lasts. What it
// proposes again gives what the first proposal came to: the lease has the fence that others have seen, and no session is left that nobody knows.
func TestCommandWhoseAnswerIsLostTakesEffectOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, "a", "b", "c")
		defer c.stopAll()
		c.waitVoters("a", "b", "c")
		ctx := t.Context()
		leader := c.leader(transport.Meta)
		var others []*Node
		for _, name := range []string{"a", "b", "c"} {
			if n := c.nodes[name]; n != leader {
				others = append(others, n)
			}
		}
		asks, sees, lead, asker := others[0], others[1], leader.cfg.Peer.Listen, others[0].cfg.Peer.Listen
		sessions := sees.machine.View().Sessions()

		c.net.Cut(lead, asker)
		var wg sync.WaitGroup
		var got rpc.Lease
		wg.Go(func() {
			var err error
			if got, err = asks.AcquireLease(ctx, "job", "me/one", time.Minute); err != nil {
				t.Error(err)
			}
		})
		wg.Go(func() {
			if _, err := asks.OpenSession(ctx, "local", false); err != nil {
				t.Error(err)
			}
		})
		time.Sleep(time.Second)
		seen, err := sees.Lease(ctx, "job")
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second) // the first attempt is over, the last one is not
		c.net.Mend(lead, asker)
		wg.Wait()
		if got.Fence != seen.Fence {
			t.Errorf("the lease was seen with fence %d, and its holder got %d", seen.Fence, got.Fence)
		}
		if err := sees.Refresh(ctx); err != nil {
			t.Fatal(err)
		}
		if n := sees.machine.View().Sessions() - sessions; n != 1 {
			t.Errorf("%d sessions were opened, by one call", n)
		}
	})
}
