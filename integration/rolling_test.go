package integration

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/quipudb/quipu/client"
)

// Every node of a cluster is restarted in turn, as in an upgrade, while a writer at each of them goes on. No batch is refused or of unknown
// outcome, every count is there once, and all replicas have the same state.
func TestRollingRestartLosesNoRequest(t *testing.T) {
	if !soak() {
		t.Skip("restarts three nodes under load, which takes a minute: part of `make soak`")
	}
	c := startCluster(t, 3, "--shards", "2")
	asked := c.nodes[0].open()
	c.untilVoters(asked, 3)
	if _, err := asked.Exec(t.Context(), "CREATE TABLE seen (writer text, cell text)"); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var writers []*writer
	done := make(chan error, len(c.nodes))
	for i, n := range c.nodes {
		w := &writer{name: fmt.Sprint("w", i), ledger: map[string]int64{}}
		w.c = n.open(client.WithHooks(w.hooks()))
		writers = append(writers, w)
		go func() { done <- w.fill(ctx, "seen", uint64(i)) }()
	}
	for i, n := range c.nodes {
		if code := n.stop(); code != 0 {
			t.Errorf("node %d ended with code %d\n%s", i+1, code, n.log)
		}
		n.start()
		c.untilVoters(n.open(), 3)
		var before int64
		other := c.nodes[(i+1)%len(c.nodes)].open()
		c.until("writes go on", func(ctx context.Context) bool {
			sum, err := total(ctx, other, "seen")
			if err == nil && before == 0 {
				before = sum
			}
			return err == nil && sum > before
		})
	}
	stop()
	for range writers {
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	for i, w := range writers {
		if err := w.c.Flush(t.Context()); err != nil {
			t.Errorf("writer %d: %v", i, err)
		}
		if n := w.lost.Load(); n > 0 {
			t.Errorf("writer %d: %d batches were refused or have an unknown outcome", i, n)
		}
	}
	for _, wrong := range compare(counts(t, asked, "seen", "writer,cell"), books(writers)) {
		t.Error(wrong)
	}
	out, err := c.nodes[1].run("cluster", "hash", "--format", "csv", "--patience", "30s")
	if err != nil || strings.Count(out, ",3,") != 3 || strings.Count(out, ",yes,") != 3 {
		t.Errorf("quipu cluster hash: %v\n%s", err, out)
	}
}
