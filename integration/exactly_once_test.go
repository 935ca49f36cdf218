package integration

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
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
	duplicates := 0
	for range rounds {
		wait(ctx, perRound/4+time.Duration(r.Int64N(int64(perRound))))
		duplicates += n.duplicates()
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
	duplicates += n.duplicates()
	p.mu.Lock()
	defer p.mu.Unlock()
	t.Logf("%d kills, %d replies lost, %d duplicates refused, %d cells", rounds, p.cuts, duplicates, len(want))
	if p.cuts == 0 || duplicates == 0 {
		t.Errorf("%d replies lost and %d duplicates refused: the test shows nothing", p.cuts, duplicates)
	}
}

// duplicates is how many parts the node refused since its start because it had counted them before.
func (n *node) duplicates() (sum int) {
	n.t.Helper()
	res, err := http.Get("http://" + n.addr + "/metrics")
	if err != nil {
		n.t.Fatal(err)
	}
	defer res.Body.Close()
	for lines := bufio.NewScanner(res.Body); lines.Scan(); {
		if rest, ok := strings.CutPrefix(lines.Text(), "quipu_duplicates_refused_total{"); ok {
			_, value, _ := strings.Cut(rest, "} ")
			v, err := strconv.ParseFloat(value, 64)
			if err != nil {
				n.t.Fatal(err)
			}
			sum += int(v)
		}
	}
	return sum
}

// fill adds random observations until ctx ends and keeps the books.
func fill(t *testing.T, ctx context.Context, table *client.Table, writer string, ledger map[string]int64) {
	r := rand.New(rand.NewPCG(1, uint64(writer[1])))
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

// TestKilledImportCountsOnce kills the import five times, each time past another random row, and takes it up again.
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
	for kill := range 5 {
		cmd := exec.Command(path, "import", file, "--table", "events", "--chunk-rows", "2000", "--url", n.addr)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		moment := int64(rows) * (int64(kill)*1000 + r.Int64N(1000)) / 6000
		counted := int64(0)
		for counted <= moment && t.Context().Err() == nil {
			if sum, ok := query(t, c, "SELECT sum(count) FROM events")[0][0].(int64); ok {
				counted = sum
			}
		}
		cmd.Process.Kill()
		cmd.Wait()
		t.Logf("killed with %d of %d counted", counted, rows)
	}
	out, err := n.run("import", file, "--table", "events", "--chunk-rows", "2000")
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if !strings.Contains(out, "resumed") {
		t.Errorf("the last run did not go on where a killed one stopped: the test shows nothing\n%s", out)
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
