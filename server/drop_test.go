package server

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A node is removed under reads and writes. Nothing fails for it, and the others give up their connections to it.
func TestRemovedNodeIsLetGoOf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, "a", "b", "c", "d")
		defer c.stopAll()
		c.wait("every node has replicas", func() bool { return c.holders("a", "b", "c", "d") == 4 })
		createTable(t, c.nodes["a"])
		c.sql("a", "INSERT INTO admissions (dept, gender) VALUES ('dept 0', 'm'), ('dept 0', 'f'), ('dept 1', 'm')")
		names := []string{"a", "b", "c"}
		removed := c.nodes["d"].id.Node
		connected := func() (names []string) {
			for name, n := range c.nodes {
				if name != "d" && (n.peers.Has(removed) || n.shardsOf.Has(removed)) {
					names = append(names, name)
				}
			}
			return names
		}
		stop := c.reading(2*time.Second, false, names)
		stopped := c.writing(names)
		if err := c.nodes["b"].SetNodeState(t.Context(), removed, "draining"); err != nil {
			t.Fatal(err)
		}
		c.wait("d has no shards", func() bool { return c.holders("d") == 0 })
		if len(connected()) == 0 {
			t.Error("nobody has had a connection to d")
		}
		if err := c.nodes["b"].SetNodeState(t.Context(), removed, "removed"); err != nil {
			t.Fatal(err)
		}
		c.waitVoters(names...)
		c.wait("nobody has a connection to d", func() bool { return len(connected()) == 0 })
		c.wait("d has stopped", func() bool { return c.nodes["d"].halted.Load() != nil })
		c.kill("d")
		time.Sleep(20 * time.Second)
		if reads, writes := stop(), stopped(); reads == 0 || writes == 0 {
			t.Errorf("%d reads, %d writes", reads, writes)
		}
		if names := connected(); len(names) > 0 {
			t.Errorf("%v have connected to a removed node again", names)
		}
	})
}

// writing counts at every node without pause until stop is called, which gives how many batches there were. None may fail.
func (c *cluster) writing(names []string) (stop func() int) {
	ctx, cancel := context.WithCancel(c.t.Context())
	var wg sync.WaitGroup
	var mu sync.Mutex
	writes := 0
	for _, name := range names {
		n := c.nodes[name]
		wg.Go(func() {
			for ctx.Err() == nil {
				_, err := readAt(context.WithoutCancel(ctx), n, "INSERT INTO admissions (dept, gender) VALUES ('dept 0', 'm'), ('dept 1', 'f'), ('dept 2', 'm')")
				mu.Lock()
				if writes++; err != nil {
					c.t.Errorf("a write at %s: %v", name, err)
				}
				mu.Unlock()
				time.Sleep(100 * time.Millisecond) // of the bubble
			}
		})
	}
	return func() int {
		cancel()
		wg.Wait()
		return writes
	}
}
