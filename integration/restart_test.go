package integration

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"
)

// TestRestartAfterAKill fills a node with many cells and kills it with a log behind it. What it holds afterwards must be what it held; how
// long it takes to serve is logged.
func TestRestartAfterAKill(t *testing.T) {
	rows, cells := 200_000, 100_000
	if soak() {
		rows, cells = 2_000_000, 1_000_000
	}
	n := startNode(t, t.TempDir())
	c := n.open()
	query(t, c, "CREATE TABLE events (d0 text, d1 text, d2 text, d3 text)")
	file := filepath.Join(t.TempDir(), "events.csv")
	if out, err := n.run("bench", "generate", file, "--rows", fmt.Sprint(rows), "--cells", fmt.Sprint(cells)); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if out, err := n.run("import", file, "--table", "events"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	n.kill()
	began := time.Now()
	n.start()
	served := time.Since(began)
	got := query(t, n.open(), "SELECT count(*), sum(count) FROM events")
	t.Logf("serving %v after SIGKILL and start, first answer after %v: %v cells and observations", served, time.Since(began), got[0])
	compare(counts(t, n.open(), "events", "d0, d1, d2, d3"), tally(t, file)).check(t)
}
