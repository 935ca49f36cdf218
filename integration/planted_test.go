package integration

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// A plantedBug is one change of one line that breaks a promise, and the scenario that must notice.
type plantedBug struct {
	name      string
	file      string // from the root of the module
	old, new  string
	finds     string // what at least one of the findings says
	scenarios map[string]func(t *testing.T, binary string) findings
}

var plantedBugs = []plantedBug{
	{
		name: "a shard forgets which batches it counted",
		file: "fsm/counter/window.go",
		old:  "answered(seq uint64) bool { return ", new: "answered(seq uint64) bool { return false && ",
		finds: ", want ",
		scenarios: map[string]func(*testing.T, string) findings{
			"killed server": func(t *testing.T, b string) findings {
				return killedServer(t, b, killing{kills: 3, life: 2 * time.Second})
			},
			"killed import": func(t *testing.T, b string) findings { return killedImport(t, b, 300_000) },
		},
	},
	{
		name: "windows of sessions are not in the checkpoint",
		file: "fsm/counter/part.go",
		old:  "m.touch(w)\n", new: "",
		finds: ", want ",
		scenarios: map[string]func(*testing.T, string) findings{
			"killed server": func(t *testing.T, b string) findings {
				return killedServer(t, b, killing{kills: 6, life: 4 * time.Second})
			},
		},
	},
	{
		name: "the log is not synced",
		file: "storage/raftlog/sync_linux.go",
		old:  "unix.Fdatasync(int(f.Fd()))", new: "error(nil)",
		finds: "", // batches without a sync, acknowledged counts that are gone, or a node that does not start from what is left
		scenarios: map[string]func(*testing.T, string) findings{
			"power cut": func(t *testing.T, b string) findings { return powerCut(t, b, 5) },
			"syncs":     unsynced,
		},
	},
	{
		name: "an import that goes on does so under a new session",
		file: "client/import.go",
		old:  "s := session{id: rec.Session, ttl: durableTTL}", new: "s, err := c.openSession(ctx, true)\n\tif err != nil {\n\t\treturn nil, err\n\t}",
		finds: ", want ",
		scenarios: map[string]func(*testing.T, string) findings{
			"killed import": func(t *testing.T, b string) findings { return killedImport(t, b, 300_000) },
		},
	},
}

// TestPlantedBugsAreFound runs the fault tests over binaries in which one line is wrong. Each must find something, or it proves nothing.
func TestPlantedBugsAreFound(t *testing.T) {
	if !soak() {
		t.Skip("builds four binaries and runs the fault tests over them: part of `make soak`")
	}
	for _, bug := range plantedBugs {
		t.Run(bug.name, func(t *testing.T) {
			binary := bug.build(t)
			for name, scenario := range bug.scenarios {
				t.Run(name, func(t *testing.T) {
					found := scenario(t, binary)
					i := slices.IndexFunc(found, func(what string) bool { return strings.Contains(what, bug.finds) })
					if i < 0 {
						t.Fatalf("nothing was found that says %q: %q", bug.finds, found)
					}
					t.Logf("found %d things, among them: %s", len(found), found[i])
				})
			}
		})
	}
}

// build makes the binary with the bug, from the sources as they are and one file laid over them.
func (b plantedBug) build(t *testing.T) string {
	t.Helper()
	file, err := filepath.Abs(filepath.Join("..", filepath.FromSlash(b.file)))
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(source), b.old); n != 1 {
		t.Fatalf("%q stands %d times in %s, want once: plant the bug where its code has gone", b.old, n, b.file)
	}
	dir := t.TempDir()
	wrong, overlay, binary := filepath.Join(dir, "wrong.go"), filepath.Join(dir, "overlay.json"), filepath.Join(dir, "quipu")
	text, err := json.Marshal(map[string]map[string]string{"Replace": {file: wrong}})
	if err == nil {
		err = os.WriteFile(overlay, text, 0o600)
	}
	if err == nil {
		err = os.WriteFile(wrong, []byte(strings.Replace(string(source), b.old, b.new, 1)), 0o600)
	}
	if err == nil {
		err = build(binary, "-overlay", overlay)
	}
	if err != nil {
		t.Fatal(err)
	}
	return binary
}
