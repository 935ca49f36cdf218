package integration

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/quipudb/quipu/client"
)

// cluster is a few quipu processes that know each other over TCP. The first one founds it.
type cluster struct {
	t     *testing.T
	nodes []*node
	peers []string
}

func startCluster(t *testing.T, n int, args ...string) *cluster {
	t.Helper()
	c := &cluster{t: t}
	for i := range n {
		c.peers = append(c.peers, freeAddr(t))
		own := append([]string{"--peer-addr", c.peers[i], "--log-level", "info"}, args...)
		if i > 0 {
			own = append(own, "--join", c.peers[0])
		}
		c.nodes = append(c.nodes, startNode(t, filepath.Join(t.TempDir(), fmt.Sprint("node", i+1)), own...))
	}
	return c
}

// until asks again and again, for a minute and a half at most.
func (c *cluster) until(what string, ok func(ctx context.Context) bool) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), 90*time.Second)
	defer cancel()
	again := time.NewTicker(200 * time.Millisecond)
	defer again.Stop()
	for !ok(ctx) {
		select {
		case <-again.C:
		case <-ctx.Done():
			for _, n := range c.nodes {
				c.t.Logf("%s:\n%s", n.dir, n.log)
			}
			c.t.Fatalf("waited in vain until %s", what)
		}
	}
}

// untilVoters waits until every group has as many voters, and a leader, as a node sees it.
func (c *cluster) untilVoters(cl *client.Client, voters int) {
	c.t.Helper()
	c.until(fmt.Sprint("every group has ", voters, " voters"), func(ctx context.Context) bool {
		m, err := cl.Map(ctx)
		if err != nil || len(m.Groups) == 0 {
			return false
		}
		for _, g := range m.Groups {
			if len(g.Voters) != voters || g.Leader == "" {
				return false
			}
		}
		return true
	})
}

// id is the id of a node, as it says itself.
func id(t *testing.T, cl *client.Client) string {
	t.Helper()
	info, err := cl.Server(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return info.NodeID
}

// Three processes become one cluster; tables are made and nodes managed through any of them, and what a killed one missed it gets back.
func TestThreeProcessesAreOneCluster(t *testing.T) {
	t.Parallel() // it waits for replicas to come
	c := startCluster(t, 3, "--shards", "2")
	first, third := c.nodes[0].open(), c.nodes[2].open()
	c.untilVoters(third, 3)
	if _, err := third.Exec(t.Context(), "CREATE TABLE seen (writer text, cell text)"); err != nil { // third leads no group
		t.Fatal(err)
	}
	w := first.Table("seen")
	write := func(k int64) {
		t.Helper()
		for i := range 50 {
			if err := w.Add(t.Context(), k, "writer", "w", "cell", fmt.Sprint("c", i)); err != nil {
				t.Fatal(err)
			}
		}
		if err := first.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	write(1)
	c.nodes[1].kill()
	write(10) // two of three are a majority
	c.until("the dead node is seen to be silent", func(ctx context.Context) bool {
		m, err := third.Map(ctx)
		alive := 0
		for _, n := range m.Nodes {
			if n.Reachable {
				alive++
			}
		}
		return err == nil && len(m.Nodes) == 3 && alive == 2
	})
	c.nodes[1].start()
	second := c.nodes[1].open()
	c.untilVoters(second, 3)
	write(100)
	for cell, n := range counts(t, first, "seen", "writer,cell") {
		if n != 111 {
			t.Errorf("%s = %d, want 111", cell, n)
		}
	}
	out, err := c.nodes[1].run("cluster", "map", "--format", "csv")
	if err != nil || strings.Count(out, "\n") != 4 || !strings.Contains(out, "shard/1") {
		t.Errorf("quipu cluster map: %v\n%s", err, out)
	}
	if out, err := c.nodes[2].run("node", "drain", id(t, second)); err != nil {
		t.Errorf("quipu node drain: %v\n%s", err, out)
	}
	c.until("the drained node has no shard", func(ctx context.Context) bool {
		out, err := c.nodes[0].run("node", "status", "--format", "csv")
		return err == nil && strings.Contains(out, id(t, second)+",draining,true,0,")
	})
}

// total sums a table. An error is the caller's to judge: while nobody leads there may be one.
func total(ctx context.Context, cl *client.Client, table string) (sum int64, err error) {
	rows, err := cl.Query(ctx, "SELECT sum(count) FROM "+table)
	if err != nil {
		return 0, err
	}
	for rows.Next() {
		sum, _ = rows.Values()[0].(int64)
	}
	return sum, rows.Err()
}

// A writer at one node goes on while the founder, which leads everything, is killed; what it wrote is counted once, whoever is asked.
func TestClusterSurvivesItsFounder(t *testing.T) {
	t.Parallel() // it waits for replicas to come
	c := startCluster(t, 3, "--shards", "2")
	second, third := c.nodes[1].open(), c.nodes[2].open()
	c.untilVoters(second, 3)
	if _, err := second.Exec(t.Context(), "CREATE TABLE seen (writer text, cell text)"); err != nil {
		t.Fatal(err)
	}
	w := &writer{name: "w", ledger: map[string]int64{}}
	w.c = c.nodes[1].open(client.WithHooks(w.hooks()))
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	done := make(chan error, 1)
	go func() { done <- w.fill(ctx, "seen", 1) }()
	seen := func(more int64) {
		t.Helper()
		var first int64
		c.until("writes go on", func(ctx context.Context) bool {
			sum, err := total(ctx, third, "seen")
			if err == nil && first == 0 {
				first = sum
			}
			return err == nil && first > 0 && sum >= first+more
		})
	}
	seen(1000)
	c.nodes[0].kill()
	seen(1000)
	c.nodes[0].start()
	first := c.nodes[0].open()
	seen(1000)
	stop()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if err := w.c.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := w.lost.Load(); n > 0 {
		t.Errorf("%d batches were refused or have an unknown outcome", n)
	}
	c.untilVoters(first, 3)
	for i, cl := range []*client.Client{first, second, third} {
		for _, wrong := range compare(counts(t, cl, "seen", "writer,cell"), w.ledger) {
			t.Errorf("node %d: %s", i+1, wrong)
		}
	}
}
