package integration

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

var tourBlock = regexp.MustCompile("(?s)```sh tour\n(.*?)```")

// TestTourOfTheReadme runs the commands of the README as a reader would type them, in an empty directory; only the port differs, and the
// binary is built already.
func TestTourOfTheReadme(t *testing.T) {
	for _, tool := range []string{"bash", "curl"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("the tour needs %s", tool)
		}
	}
	built, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	dir, addr := t.TempDir(), freeAddr(t)
	if err := os.Symlink(built, filepath.Join(dir, "quipu")); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-c", tourScript(t, addr))
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "QUIPU_URL="+addr)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	rest := string(out)
	for _, want := range []string{
		"rows 8 = counted 8 + rejected 0",
		"counted into checkout before",
		"statistic", "ln_p", "min_expected", "cramers_v", "11.988682505418", "country", "DE", "FR", "adjusted_residual",
		"INSERT 0 1", "QUERY PLAN", "chi2_test(variant, outcome)",
		"variant,sum\r\nA,1000\r\nB,1004\r\n",
		`"receipt"`, "ok",
		`sample_rate="0.1"  window_sec="60"`, `sample_rate="0.1"  window_sec="60"`,
	} {
		_, after, ok := strings.Cut(rest, want)
		if !ok {
			t.Fatalf("the tour does not print %q after what came before it:\n%s", want, out)
		}
		rest = after
	}
}

// tourScript joins the blocks of the tour. It stops at the first command that fails, and takes the node down with it.
func tourScript(t *testing.T, addr string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	blocks := tourBlock.FindAllStringSubmatch(string(text), -1)
	if len(blocks) < 5 {
		t.Fatalf("only %d blocks of a tour in the README", len(blocks))
	}
	const build = "go build -o quipu ./cmd/quipu\n"
	var script strings.Builder
	for _, b := range blocks {
		script.WriteString(b[1])
	}
	tour := script.String()
	if !strings.HasPrefix(tour, build) {
		t.Fatalf("the tour does not begin with %q", build)
	}
	_, port, _ := strings.Cut(addr, ":")
	tour = strings.ReplaceAll(strings.TrimPrefix(tour, build), "7480", port)
	return "set -eo pipefail\ntrap 'kill $(jobs -p); wait' EXIT\n" + strings.Replace(tour, "--data-dir ./data &", "--data-dir ./data --listen "+addr+" &", 1)
}
