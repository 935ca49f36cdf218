package integration

import (
	"bufio"
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

// TestEveryAcknowledgementStandsOnAnFdatasync traces a node and compares the syncs that ended with the proposals that were acknowledged one
// after the other.
func TestEveryAcknowledgementStandsOnAnFdatasync(t *testing.T) {
	if _, err := exec.LookPath("strace"); err != nil {
		t.Skip("tracing needs strace")
	}
	n := startNode(t, t.TempDir())
	c := n.open()
	query(t, c, "CREATE TABLE t (a text)")
	trace := attach(t, n.cmd.Process.Pid)
	before := syncs(t, trace)
	const batches = 50
	for i := range batches {
		if _, err := c.Table("t").AddSync(t.Context(), client.Batch{Rows: []client.Observation{{Pairs: []string{"a", fmt.Sprint(i)}}}}); err != nil {
			t.Fatal(err)
		}
	}
	if got := syncs(t, trace) - before; got < batches {
		t.Errorf("%d acknowledged proposals, one after the other, and %d syncs", batches, got)
	}
}

// attach traces the syncs of a process into a file and returns when the tracer is there.
func attach(t *testing.T, pid int) string {
	t.Helper()
	trace := filepath.Join(t.TempDir(), "trace")
	cmd := exec.Command("strace", "-f", "-o", trace, "-e", "trace=fdatasync,fsync", "-p", strconv.Itoa(pid))
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

func syncs(t *testing.T, trace string) int {
	t.Helper()
	b, err := os.ReadFile(trace)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Count(string(b), "fdatasync(") + strings.Count(string(b), "fsync(")
}

// TestTwoNodesDoNotShareADirectory and the following start a node where it cannot run: each must refuse with a message that says what, and
// change nothing.
func TestTwoNodesDoNotShareADirectory(t *testing.T) {
	n := startNode(t, t.TempDir())
	out := refused(t, n.dir, freeAddr(t))
	if !strings.Contains(out, "in use") {
		t.Errorf("output %q", out)
	}
}

func TestPortInUseIsSaid(t *testing.T) {
	n := startNode(t, t.TempDir())
	out := refused(t, t.TempDir(), n.addr)
	if !strings.Contains(out, n.addr) || !strings.Contains(out, "in use") {
		t.Errorf("output %q", out)
	}
}

func TestNewerFormatIsRefused(t *testing.T) {
	n := startNode(t, t.TempDir())
	n.stop()
	file := filepath.Join(n.dir, "node.json")
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	newer := strings.Replace(string(b), `"format": 1`, `"format": 99`, 1)
	if newer == string(b) {
		t.Fatalf("node.json has no format 1:\n%s", b)
	}
	if err := os.WriteFile(file, []byte(newer), 0o600); err != nil {
		t.Fatal(err)
	}
	if out := refused(t, n.dir, n.addr); !strings.Contains(out, "99") {
		t.Errorf("output %q", out)
	}
}

// TestFlippedBitsAreNotServed damages files of a stopped node in the middle; it must name the file or repair, and never serve other counts.
func TestFlippedBitsAreNotServed(t *testing.T) {
	for _, pattern := range []string{"shards/*/raft.db", "shards/*/db-*/*.sst"} {
		t.Run(strings.ReplaceAll(pattern, "/", " "), func(t *testing.T) {
			n := startNode(t, t.TempDir(), "--shards", "1")
			c := n.open()
			query(t, c, "CREATE TABLE t (a text)")
			for i := range 2000 {
				if err := c.Table("t").Add(t.Context(), 1, "a", fmt.Sprint("value ", i)); err != nil {
					t.Fatal(err)
				}
			}
			if err := c.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			n.stop()
			files, err := filepath.Glob(filepath.Join(n.dir, pattern))
			if err != nil || len(files) == 0 {
				t.Fatalf("no file %s (%v)", pattern, err)
			}
			for _, f := range files {
				damage(t, f)
			}
			if err := n.tryStart(); err != nil {
				if !namesOne(n.log.String(), files) {
					t.Errorf("refused without naming a file:\n%s", n.log)
				}
				return
			}
			rows, err := n.open().Query(t.Context(), "SELECT sum(count) FROM t")
			if err != nil {
				return
			}
			for rows.Next() {
				if got := rows.Values()[0]; got != int64(2000) {
					t.Errorf("served %v of 2000", got)
				}
			}
		})
	}
}

func namesOne(log string, files []string) bool {
	for _, f := range files {
		if strings.Contains(log, filepath.Base(f)) {
			return true
		}
	}
	return false
}

// damage flips a bit in every KiB of the file's second half.
func damage(t *testing.T, file string) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for i := len(b) / 2; i < len(b); i += 512 {
		b[i] ^= 0x10
	}
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// refused starts a node that must end by itself, and gives what it printed.
func refused(t *testing.T, dir, addr string) string {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), path, "serve", "--data-dir", dir, "--listen", addr).CombinedOutput()
	if err == nil {
		t.Errorf("the node started and ended well:\n%s", out)
	}
	return string(out)
}
