package integration

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/quipudb/quipu/client"
)

// TestKilledServerCountsOnce writes through a proxy that loses 30 % of the replies, with 2,000 batches in flight over two clients, while
// the server is killed at random moments. Every cell must equal the ledger of what the clients added.
func TestKilledServerCountsOnce(t *testing.T) {
	rounds, perRound := 3, 2*time.Second
	if soak() {
		rounds, perRound = 20, 10*time.Second
	}
	n := startNode(t, t.TempDir())
	c := n.open()
	query(t, c, "CREATE TABLE ledger (writer text, cell text)")
	p := startProxy(t, n.addr, 0.3, 42)
	ctx, cancel := context.WithCancel(t.Context())
	ledgers := make([]map[string]int64, 2)
	var clients []*client.Client
	var wg sync.WaitGroup
	for w := range ledgers {
		p.setCut(0)
		cl := dial(t, p.addr(), client.WithInFlight(1000), client.WithBatchCells(50), client.WithLinger(0), client.WithBlocking())
		p.setCut(0.3)
		clients = append(clients, cl)
		ledgers[w] = map[string]int64{}
		wg.Go(func() { fill(t, ctx, cl.Table("ledger"), fmt.Sprint("w", w), ledgers[w]) })
	}
	r := rand.New(rand.NewPCG(7, 7))
	for range rounds {
		wait(ctx, time.Duration(r.Int64N(int64(perRound))))
		n.kill()
		n.start()
	}
	cancel()
	wg.Wait()
	p.setCut(0.05)
	for _, cl := range clients {
		flush, stop := context.WithTimeout(t.Context(), 2*time.Minute)
		if err := cl.Flush(flush); err != nil {
			t.Errorf("flush: %v", err)
		}
		stop()
	}
	want := map[string]int64{}
	for _, l := range ledgers {
		maps.Copy(want, l)
	}
	compare(t, counts(t, n.open(), "ledger", "writer, cell"), want)
	if p.cuts == 0 {
		t.Error("the proxy lost no reply: the test shows nothing")
	}
}

// fill adds random observations until ctx ends and keeps the books.
func fill(t *testing.T, ctx context.Context, table *client.Table, writer string, ledger map[string]int64) {
	r := rand.New(rand.NewPCG(1, uint64(len(writer))))
	for ctx.Err() == nil {
		cell, k := fmt.Sprint("c", r.IntN(500)), 1+r.Int64N(9)
		err := table.Add(ctx, k, "writer", writer, "cell", cell)
		if errors.Is(err, context.Canceled) {
			return
		}
		if err != nil {
			t.Error(err)
			return
		}
		ledger[writer+"/"+cell] += k
	}
}

func wait(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

func compare(t *testing.T, got, want map[string]int64) {
	t.Helper()
	bad := 0
	for cell, n := range want {
		if got[cell] != n {
			if bad++; bad < 10 {
				t.Errorf("%s = %d, want %d", cell, got[cell], n)
			}
		}
	}
	for cell := range got {
		if _, ok := want[cell]; !ok {
			t.Errorf("%s was never written", cell)
		}
	}
	if bad > 0 {
		t.Errorf("%d of %d cells differ", bad, len(want))
	}
}

// TestKilledImportCountsOnce kills the import five times at random moments and takes it up again.
func TestKilledImportCountsOnce(t *testing.T) {
	rows := 300_000
	if soak() {
		rows = 10_000_000
	}
	n := startNode(t, t.TempDir())
	c := n.open()
	query(t, c, "CREATE TABLE events (d0 text, d1 text, d2 text, d3 text)")
	file := filepath.Join(t.TempDir(), "events.csv")
	if out, err := n.run("bench", "generate", file, "--rows", fmt.Sprint(rows), "--cells", "5000"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	want := tally(t, file)
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(5, 5))
	for range 5 {
		cmd := exec.Command(path, "import", file, "--table", "events", "--chunk-rows", "2000", "--url", n.addr)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		wait(t.Context(), 50*time.Millisecond+time.Duration(r.Int64N(int64(time.Duration(rows)*2*time.Microsecond))))
		cmd.Process.Kill()
		cmd.Wait()
	}
	out, err := n.run("import", file, "--table", "events", "--chunk-rows", "2000")
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if line := fmt.Sprintf("rows %d = counted %d + rejected 0", rows, rows); !strings.Contains(out, line) {
		t.Errorf("output %q, want %q", out, line)
	}
	compare(t, counts(t, c, "events", "d0, d1, d2, d3"), want)
	out, err = n.run("import", file, "--table", "events", "--chunk-rows", "2000")
	if err != nil || !strings.Contains(out, "counted into events before") {
		t.Errorf("a second import: %v\n%s", err, out)
	}
	compare(t, counts(t, c, "events", "d0, d1, d2, d3"), want)
}

// tally counts the lines of the file, independently of the importer.
func tally(t *testing.T, file string) map[string]int64 {
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]int64{}
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	for _, l := range lines[1:] {
		out[strings.ReplaceAll(l, ",", "/")]++
	}
	return out
}
