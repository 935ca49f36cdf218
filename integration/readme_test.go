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

// tourBlock is a block of commands; a word after "tour" names a program that it needs and that not every reader has.
var tourBlock = regexp.MustCompile("(?s)```sh tour *(\\w*)\n(.*?)```")

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
	cmd := exec.CommandContext(ctx, "bash", "-c", tourScript(t, addr, freeAddr(t)))
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
func tourScript(t *testing.T, addr, postgres string) string {
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
		if b[1] != "" {
			if _, err := exec.LookPath(b[1]); err != nil {
				t.Logf("without the part that needs %s", b[1])
				continue
			}
		}
		script.WriteString(b[2])
	}
	tour := script.String()
	if !strings.HasPrefix(tour, build) {
		t.Fatalf("the tour does not begin with %q", build)
	}
	_, port, _ := strings.Cut(addr, ":")
	_, postgresPort, _ := strings.Cut(postgres, ":")
	tour = strings.NewReplacer("7480", port, "7432", postgresPort,
		"--data-dir ./data &", "--data-dir ./data --listen "+addr+" --pg-listen "+postgres+" &").Replace(strings.TrimPrefix(tour, build))
	return "set -eo pipefail\ntrap 'kill $(jobs -p); wait' EXIT\n" + tour
}

var relativeLink = regexp.MustCompile(`\]\(([^)#:]+)\)`)

// TestLinksOfTheDocuments: what the README, the architecture and the pages beside them point at is there.
func TestLinksOfTheDocuments(t *testing.T) {
	pages, err := filepath.Glob(filepath.Join("..", "docs", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range append(pages, filepath.Join("..", "README.md")) {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, link := range relativeLink.FindAllStringSubmatch(string(text), -1) {
			if _, err := os.Stat(filepath.Join(filepath.Dir(page), link[1])); err != nil {
				t.Errorf("%s points at %s: %v", page, link[1], err)
			}
		}
	}
}
