package integration

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/quipudb/quipu/client"
)

// TestEveryAcknowledgementStandsOnAnFdatasync traces a node while batches are sent one after the other: between the sending of each and its
// receipt the log of a shard must have been synced.
func TestEveryAcknowledgementStandsOnAnFdatasync(t *testing.T) {
	unsynced(t, mustBinary(t)).check(t)
}

func unsynced(t *testing.T, binary string) (wrong findings) {
	needTracer(t)
	n := startNodeOf(t, binary, t.TempDir())
	c := n.open()
	query(t, c, "CREATE TABLE t (a text)")
	trace := attach(t, n.cmd.Process.Pid)
	const batches = 50
	before := syncs(t, trace)
	for i := range batches {
		_, err := c.Table("t").AddSync(t.Context(), client.Batch{Rows: []client.Observation{{Pairs: []string{"a", fmt.Sprint(i)}}}})
		if err != nil {
			t.Fatal(err)
		}
		after := syncs(t, trace)
		if after == before {
			wrong.addf("batch %d was acknowledged and no log was synced since batch %d", i, i-1)
		}
		before = after
	}
	t.Logf("%d receipts one after the other, %d syncs of logs of shards", batches, before)
	return wrong
}

// TestBenchmarkWritesDurably traces `quipu bench ingest` with the node that it starts: the figures are those of a binary, with flags, that
// syncs at least once for each batch when one is in flight at a time.
func TestBenchmarkWritesDurably(t *testing.T) {
	needTracer(t)
	trace := filepath.Join(t.TempDir(), "trace")
	cmd := exec.CommandContext(t.Context(), "strace", append(traceFlags(trace), mustBinary(t),
		"bench", "ingest", "--duration", "1s", "--in-flight", "1", "--streams", "1", "--json")...)
	cmd.Env = append(os.Environ(), "QUIPU_URL=")
	var said strings.Builder
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		if strings.Contains(said.String(), "ptrace") {
			t.Skipf("this machine does not let processes be traced: %s", said.String())
		}
		t.Fatalf("%v\n%s", err, said.String())
	}
	var r struct {
		Result struct{ Batches, Observations int }
	}
	if err := json.Unmarshal(out, &r); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	n := syncs(t, trace)
	t.Logf("%d batches of %d observations acknowledged, one in flight at a time, on %d syncs of logs of shards", r.Result.Batches, r.Result.Observations, n)
	if r.Result.Batches == 0 || n < r.Result.Batches {
		t.Errorf("%d batches were acknowledged on %d syncs", r.Result.Batches, n)
	}
}

func needTracer(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("strace"); err != nil {
		t.Skip("tracing the syncs of a process needs strace")
	}
}

// traceFlags make strace write the syncs of all threads, with the paths of their files.
func traceFlags(trace string) []string {
	return []string{"-f", "-y", "-o", trace, "-e", "trace=fdatasync,fsync"}
}

// attach traces a process into a file and returns when the tracer is there.
func attach(t *testing.T, pid int) (trace string) {
	t.Helper()
	trace = filepath.Join(t.TempDir(), "trace")
	cmd := exec.Command("strace", append(traceFlags(trace), "-p", strconv.Itoa(pid))...)
	said, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Signal(os.Interrupt); cmd.Wait() })
	lines := bufio.NewScanner(said)
	for lines.Scan() {
		if strings.Contains(lines.Text(), "attached") {
			go io.Copy(io.Discard, said)
			return trace
		}
		t.Log(lines.Text())
	}
	t.Skip("this machine does not let processes be traced")
	return ""
}

// syncs counts the syncs of logs of shards that have succeeded so far. A call that others interrupt in the trace has two lines, the path
// in the first and the result in the second; they belong to one thread.
func syncs(t *testing.T, trace string) (done int) {
	t.Helper()
	f, err := os.Open(trace)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	begun := map[string]bool{} // by thread: a sync of such a log without its result yet
	for lines := bufio.NewScanner(f); lines.Scan(); {
		thread, call, _ := strings.Cut(lines.Text(), " ")
		ofLog := strings.HasPrefix(strings.TrimLeft(call, " "), "fdatasync(") && strings.Contains(call, "/shards/") && strings.Contains(call, ".segment>")
		switch {
		case strings.HasSuffix(call, "<unfinished ...>"):
			begun[thread] = ofLog
		case strings.HasSuffix(call, "= 0") && (ofLog || strings.Contains(call, "resumed>") && begun[thread]):
			done++
		}
	}
	return done
}
