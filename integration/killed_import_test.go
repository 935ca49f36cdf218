package integration

import (
	"fmt"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/quipudb/quipu/client"
)

// TestKilledImportCountsOnce kills the import of a file five times, each time past another random row, and takes it up again.
func TestKilledImportCountsOnce(t *testing.T) {
	rows := 300_000
	if soak() {
		rows = 10_000_000
	}
	killedImport(t, mustBinary(t), rows).check(t)
}

const importKills = 5

func killedImport(t *testing.T, binary string, rows int) (wrong findings) {
	n := startNodeOf(t, binary, t.TempDir())
	c := n.open()
	query(t, c, "CREATE TABLE events (d0 text, d1 text, d2 text, d3 text)")
	file := filepath.Join(t.TempDir(), "events.csv")
	if out, err := n.run("bench", "generate", file, "--rows", fmt.Sprint(rows), "--cells", "5000"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	want := tally(t, file)
	r := rand.New(rand.NewPCG(5, 5))
	for kill := range int64(importKills) {
		killImport(t, n, c, file, int64(rows)*(kill*1000+r.Int64N(1000))/(importKills*1000+1000))
	}
	out, err := n.run("import", file, "--table", "events", "--chunk-rows", "2000")
	if err != nil {
		wrong.addf("the last run: %v\n%s", err, out)
	}
	t.Log(strings.TrimSpace(out))
	if !strings.Contains(out, "resumed") {
		wrong.addf("the last run did not go on where a killed one stopped: the test shows nothing\n%s", out)
	}
	if line := fmt.Sprintf("rows %d = counted %d + rejected 0", rows, rows); !strings.Contains(out, line) {
		wrong.addf("output %q, want %q", out, line)
	}
	wrong = append(wrong, compare(counts(t, c, "events", "d0, d1, d2, d3"), want)...)
	out, err = n.run("import", file, "--table", "events", "--chunk-rows", "2000")
	if err != nil || !strings.Contains(out, "counted into events before") {
		wrong.addf("a second import: %v\n%s", err, out)
	}
	return append(wrong, compare(counts(t, c, "events", "d0, d1, d2, d3"), want)...)
}

// killImport starts the import and kills it once more than so many observations are counted.
func killImport(t *testing.T, n *node, c *client.Client, file string, moment int64) {
	t.Helper()
	cmd := exec.Command(n.binary, "import", file, "--table", "events", "--chunk-rows", "2000", "--url", n.addr)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	counted := int64(0)
	for counted <= moment && t.Context().Err() == nil {
		if sum, ok := query(t, c, "SELECT sum(count) FROM events")[0][0].(int64); ok {
			counted = sum
		}
	}
	cmd.Process.Kill()
	cmd.Wait()
	t.Logf("killed with %d counted", counted)
}
