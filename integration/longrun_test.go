package integration

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A load is one run of `quipu bench ingest` against a node.
type load struct {
	cells   int
	streams int    // each draws 2^20 cells at most
	zipf    string // 0 is uniform
	last    time.Duration
}

// ingest runs the load with messages of 10,000 observations and gives how many were acknowledged.
func (l load) ingest(t *testing.T, n *node) (observations int64) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), n.binary, "bench", "ingest", "--url", n.addr, "--batch", "10000", "--json",
		"--cells", fmt.Sprint(l.cells), "--streams", fmt.Sprint(l.streams), "--zipf", l.zipf, "--duration", l.last.String())
	var said strings.Builder
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, said.String())
	}
	var r struct {
		Result struct {
			Observations, Refused int64
			PerSecond             float64 `json:"observations_per_second"`
		}
	}
	if err := json.Unmarshal(out, &r); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if r.Result.Refused > 0 {
		t.Fatalf("%d observations were refused", r.Result.Refused)
	}
	t.Logf("%d observations acknowledged, %.0f a second, over at most %d cells by zipf %s", r.Result.Observations, r.Result.PerSecond, l.cells, l.zipf)
	return r.Result.Observations
}

// TestLongLogRestart writes at full rate, first few cells and last many, and kills the node. The directory must have stayed small, and
// the node must serve again soon, with every acknowledged observation. The long form writes for ten minutes, far more than 10^9
// observations, over more than 10^7 cells.
func TestLongLogRestart(t *testing.T) {
	few, many := load{20_000, 2, "1.1", time.Second}, load{100_000, 2, "0", time.Second}
	if soak() {
		few.last = 8 * time.Minute
		many = load{20_000_000, 16, "0", 2 * time.Minute}
	}
	n := startNode(t, t.TempDir())
	acknowledged := few.ingest(t, n) + many.ingest(t, n)
	n.kill()
	size := directorySize(t, n.dir)
	began := time.Now()
	n.start()
	served := time.Since(began)
	sums := query(t, n.open(), "SELECT count(*), sum(count) FROM bench")[0]
	t.Logf("%d observations, directory %d MiB; serving %v after the start that followed SIGKILL, first answer after %v; count and sum %v",
		acknowledged, size>>20, served.Round(time.Millisecond), time.Since(began).Round(time.Millisecond), sums)
	if sums[1] != acknowledged {
		t.Errorf("%v observations are counted, %d were acknowledged", sums[1], acknowledged)
	}
	if size >= 4<<30 {
		t.Errorf("the directory has %d MiB, want less than 4 GiB", size>>20)
	}
	if !soak() {
		return
	}
	if cells, _ := sums[0].(int64); cells < 10_000_000 || acknowledged < 1_000_000_000 {
		t.Errorf("%d cells and %d observations are too few: the test shows nothing", cells, acknowledged)
	}
	if served > 5*time.Second {
		t.Errorf("it served after %v, want at most 5 s", served)
	}
}

// TestProcessStaysInItsBudget writes and queries a table of four times --cell-memory (small in the short form), evenly and by a Zipf law, while a
// reader that does not read on holds a snapshot: the peak of the node's memory is at most the budget and 1 GiB.
func TestProcessStaysInItsBudget(t *testing.T) {
	budget, times := int64(16<<20), int64(0) // the least there is
	fill := load{200_000, 2, "0", 500 * time.Millisecond}
	if soak() {
		times = 4
		fill = load{20_000_000, 8, "0", 40 * time.Second}
	}
	n := startNode(t, t.TempDir(), "--cell-memory", fmt.Sprint(budget))
	before := fill.ingest(t, n)
	held, err := n.open().Query(t.Context(), "SELECT d0, d1, d2, d3, count FROM bench")
	if err != nil {
		t.Fatal(err)
	}
	sum := int64(0)
	if !held.Next() {
		t.Fatalf("no cell: %v", held.Err())
	}
	sum += held.Values()[4].(int64)
	again := fill
	again.last /= 2
	skewed := again
	skewed.zipf = "1.1"
	after := before + again.ingest(t, n) + skewed.ingest(t, n)
	c := n.open()
	sums := query(t, c, "SELECT count(*), sum(count) FROM bench")[0]
	query(t, c, "SELECT d0, sum(count) FROM bench GROUP BY d0 ORDER BY 2 DESC LIMIT 5")
	for held.Next() {
		sum += held.Values()[4].(int64)
	}
	if err := held.Err(); err != nil && !strings.Contains(err.Error(), "deadline") && !strings.Contains(err.Error(), "too old") {
		t.Errorf("the held snapshot: %v", err)
	}
	if held.Err() == nil && sum != before {
		t.Errorf("the held snapshot sums to %d, it was taken at %d", sum, before)
	}
	if sums[1] != after {
		t.Errorf("%v observations are counted, %d were acknowledged", sums[1], after)
	}
	peak := peakOf(t, n)
	n.stop()
	n.args = nil // a budget for everything: what the table takes when all of it is in memory
	n.start()
	query(t, n.open(), "SELECT count(*), sum(count) FROM bench")
	size := int64(n.metric("quipu_cell_memory_bytes"))
	t.Logf("budget %d MiB, %v cells that take %d MiB in memory, VmHWM %d MiB; the held snapshot ended with %v",
		budget>>20, sums[0], size>>20, peak>>20, held.Err())
	if size < times*budget {
		t.Errorf("%d MiB are not %d times a budget of %d MiB: the test shows nothing", size>>20, times, budget>>20)
	}
	if peak > budget+1<<30 {
		t.Errorf("the node took %d MiB with a budget of %d MiB", peak>>20, budget>>20)
	}
}

func directorySize(t *testing.T, dir string) (size int64) {
	t.Helper()
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		i, err := d.Info()
		if err == nil {
			size += i.Size()
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return size
}

// peakOf is VmHWM of the node, 0 where the system has none.
func peakOf(t *testing.T, n *node) int64 {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", n.cmd.Process.Pid))
	if err != nil {
		t.Skipf("this system does not tell the peak of a process's memory: %v", err)
	}
	for line := range strings.Lines(string(b)) {
		var kib int64
		if _, err := fmt.Sscanf(line, "VmHWM: %d kB", &kib); err == nil {
			return kib << 10
		}
	}
	t.Skip("this system does not tell the peak of a process's memory")
	return 0
}
