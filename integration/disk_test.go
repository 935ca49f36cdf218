package integration

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

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

func TestOtherFormatsAreRefused(t *testing.T) {
	n := startNode(t, t.TempDir())
	n.stop()
	for _, format := range []string{"1", "99"} {
		refusesFormat(t, n, format)
	}
}

func refusesFormat(t *testing.T, n *node, format string) {
	t.Helper()
	file := filepath.Join(n.dir, "node.json")
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	other := strings.Replace(string(b), `"format": 2`, `"format": `+format, 1)
	if other == string(b) {
		t.Fatalf("node.json has no format 2:\n%s", b)
	}
	defer os.WriteFile(file, b, 0o600)
	if err := os.WriteFile(file, []byte(other), 0o600); err != nil {
		t.Fatal(err)
	}
	if out := refused(t, n.dir, n.addr); !strings.Contains(out, "format "+format) || !strings.Contains(out, "use the release that wrote it") {
		t.Errorf("output %q", out)
	}
}

// TestFlippedBitsAreRefused damages what a killed node left behind: it must refuse to serve, or to answer, and name the file.
func TestFlippedBitsAreRefused(t *testing.T) {
	t.Run("log", func(t *testing.T) {
		n := fillOneShard(t)
		n.kill()
		refusesDamage(t, n, "shards/*/log/*.segment", flipValues)
	})
	t.Run("table", func(t *testing.T) {
		n := fillOneShard(t)
		n.stop() // a node that ends well has its memory in tables
		refusesDamage(t, n, "shards/*/db-*/*.sst", flipEverywhere)
	})
}

func fillOneShard(t *testing.T) *node {
	t.Helper()
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
	return n
}

// refusesDamage flips bits in the files of the pattern and demands that the node ends with a message that names one of them, at its start
// or at the query that meets the damage.
func refusesDamage(t *testing.T, n *node, pattern string, flip func([]byte) int) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(n.dir, pattern))
	if err != nil || len(files) == 0 {
		t.Fatalf("no file %s (%v)", pattern, err)
	}
	flips := 0
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		flips += flip(b)
		if err := os.WriteFile(f, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if flips == 0 {
		t.Fatalf("%d files %s and nothing to flip", len(files), pattern)
	}
	t.Logf("%d bits flipped in %d files", flips, len(files))
	said := ""
	if err := n.tryStart(); err == nil {
		rows, err := n.open().Query(t.Context(), "SELECT sum(count) FROM t")
		for err == nil && rows.Next() {
			t.Errorf("served %v from damaged files", rows.Values()[0])
		}
		if err == nil {
			err = rows.Err()
		}
		said = fmt.Sprint(err)
	}
	n.kill()
	if said += n.log.String(); !namesOne(said, files) {
		t.Errorf("refused without naming a file:\n%s", said)
	} else {
		t.Log(said)
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

// flipValues flips a bit in every value that was written, wherever it stands in clear.
func flipValues(b []byte) (flips int) {
	for i := 0; ; flips++ {
		at := bytes.Index(b[i:], []byte("value "))
		if at < 0 {
			return flips
		}
		i += at + len("value ")
		b[i] ^= 0x01
	}
}

// flipEverywhere flips a bit in every 512 bytes.
func flipEverywhere(b []byte) (flips int) {
	for i := 100; i < len(b); i += 512 {
		b[i] ^= 0x10
		flips++
	}
	return flips
}

// refused starts a node that must end by itself, and gives what it printed.
func refused(t *testing.T, dir, addr string) string {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), path, "serve", "--data-dir", dir, "--listen", addr, "--pg-listen", "off").CombinedOutput()
	if err == nil {
		t.Errorf("the node started and ended well:\n%s", out)
	}
	return string(out)
}
