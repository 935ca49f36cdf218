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

var (
	runBlock  = regexp.MustCompile("(?s)```sh run\n(.*?)```")
	curlBlock = regexp.MustCompile("(?s)```sh\n(.*?)```")
)

// runPage runs what the blocks of a page say, one after the other, against a node with the admissions of 1973, and gives what they print.
func runPage(t *testing.T, page string, block *regexp.Regexp, atLeast int, tools ...string) string {
	t.Helper()
	for _, tool := range append(tools, "bash") {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("needs %s", tool)
		}
	}
	text, err := os.ReadFile(filepath.Join("..", "docs", page))
	if err != nil {
		t.Fatal(err)
	}
	blocks := block.FindAllStringSubmatch(string(text), -1)
	if len(blocks) < atLeast {
		t.Fatalf("%s has %d blocks, want at least %d", page, len(blocks), atLeast)
	}
	n, _ := shellNode(t)
	if out, err := quipuSQL(t, "", "--url", n.addr, "-f", "testdata/shell/session.sql"); err == nil {
		t.Fatal(out) // its last statement is an error
	}
	script := "set -eo pipefail\nquipu() { " + mustBinary(t) + ` "$@"; }` + "\ncurl() { command curl --fail-with-body -S \"$@\"; echo; }\n"
	for _, b := range blocks {
		if !strings.Contains(b[1], "grpcurl") {
			script += b[1]
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-c", strings.ReplaceAll(script, "localhost:7480", n.addr))
	cmd.Env = append(os.Environ(), "QUIPU_URL="+n.addr, "NO_COLOR=1", "LC_ALL=C")
	cmd.Dir = t.TempDir()
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", page, err, out)
	}
	return string(out)
}

// wantInOrder fails the test unless text has all of these, one after the other.
func wantInOrder(t *testing.T, text string, want ...string) {
	t.Helper()
	rest := text
	for _, w := range want {
		_, after, ok := strings.Cut(rest, w)
		if !ok {
			t.Fatalf("no %q after what came before it in:\n%s", w, text)
		}
		rest = after
	}
}

// TestPageOfTheShell runs the commands of docs/shell.md.
func TestPageOfTheShell(t *testing.T) {
	wantInOrder(t, runPage(t, "shell.md", runBlock, 2),
		"statistic", "dept,sum\nA,933\nB,585\n", "-[ row 1 ]-", "partition key: dept", "gender by admitted: X2", `"name":"admissions"`,
		"gender by admitted: X2", "dept by admitted: X2")
}

// TestPageOfTheAPI runs the curl commands of docs/api.md. Each must succeed.
func TestPageOfTheAPI(t *testing.T) {
	wantInOrder(t, runPage(t, "api.md", curlBlock, 6, "curl"),
		`"table":"clicks"`, `"receipt"`, `"end"`, "statistic,df", `"sum"`, "variant,outcome,sum", "variant,outcome,country", `"sample_rate"`, "ok")
}
