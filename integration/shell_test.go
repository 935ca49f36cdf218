package integration

import (
	"bytes"
	"context"
	"flag"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

var rewrite = flag.Bool("rewrite", false, "write what programs print into testdata")

// shellNode is a node with its two addresses, as quipu sql takes them.
func shellNode(t *testing.T) (n *node, urls map[string]string) {
	t.Helper()
	addr := freeAddr(t)
	n = startNode(t, t.TempDir(), "--pg-listen", addr)
	return n, map[string]string{"API": n.addr, "PostgreSQL": "postgres://me@" + addr + "/quipu"}
}

// quipuSQL runs the shell, which is not on a terminal, and gives all that it prints.
func quipuSQL(t *testing.T, input string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, mustBinary(t), append([]string{"sql"}, args...)...)
	cmd.Env = append(os.Environ(), "NO_COLOR=1", "TERM=dumb", "LC_ALL=C", "PAGER=false")
	cmd.Stdin = strings.NewReader(input)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// golden compares with a file, or writes it.
func golden(t *testing.T, file, got string) {
	t.Helper()
	if *rewrite {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal([]byte(got), want) {
		t.Errorf("%s: got\n%s\nwant\n%s", file, got, want)
	}
}

// TestShellSession plays a session over each protocol: they print the same.
func TestShellSession(t *testing.T) {
	for _, over := range []string{"API", "PostgreSQL"} {
		t.Run(over, func(t *testing.T) {
			_, urls := shellNode(t)
			got, err := quipuSQL(t, "", "--url", urls[over], "-f", "testdata/shell/session.sql")
			if err == nil {
				t.Error("the last statement is an error")
			}
			golden(t, "testdata/shell/session.out", got)
			t.Run("errors", func(t *testing.T) { shellErrors(t, urls[over]) })
		})
	}
}

// shellErrors types each line of errors.txt that begins at the left, with the indented ones after it, into a shell of its own.
func shellErrors(t *testing.T, url string) {
	text, err := os.ReadFile("testdata/shell/errors.txt")
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for statement := range strings.SplitSeq(strings.ReplaceAll(strings.TrimSpace(string(text)), "\n  ", "\n\t"), "\n") {
		if strings.HasPrefix(statement, "\t") {
			continue
		}
		if _, rest, ok := strings.Cut(string(text), statement+"\n  "); ok {
			line, _, _ := strings.Cut(rest, "\n")
			statement += "\n  " + line
		}
		got, err := quipuSQL(t, statement, "--url", url)
		if err == nil {
			t.Errorf("%s: no error", statement)
		}
		all.WriteString("> " + statement + "\n" + got + "\n")
	}
	golden(t, "testdata/shell/errors.out", all.String())
}

// TestShellArguments: -c and -f, formats, what is no statement, and who does not answer.
func TestShellArguments(t *testing.T) {
	n, urls := shellNode(t)
	for name, tc := range map[string]struct {
		args []string
		want string
		code int
	}{
		"two -c":         {[]string{"-c", "SELECT 1 AS a", "-c", "SELECT 2 AS b", "-o", "csv"}, "a\n1\nb\n2\n", 0},
		"-o json":        {[]string{"-o", "json", "-c", "SELECT 1 AS a"}, "[\n  {\"a\":1}\n]\n", 0},
		"-x":             {[]string{"-x", "-c", "SELECT 1 AS a"}, "-[ row 1 ]-\na | 1\n(1 row)\n", 0},
		"unknown format": {[]string{"-o", "xml", "-c", "SELECT 1"}, "unknown format", 2},
		"nobody there":   {[]string{"--url", "postgres://me@127.0.0.1:1/quipu", "-c", "SELECT 1"}, "127.0.0.1:1", 1},
		"bad address":    {[]string{"--url", "postgres://me@127.0.0.1:x/quipu", "-c", "SELECT 1"}, "127.0.0.1:x", 2},
		"options":        {[]string{"--url", urls["PostgreSQL"] + "?options=-c%20statement_timeout%3D7s", "-o", "csv", "-c", "SHOW statement_timeout"}, "statement_timeout\n7s\n", 0},
		"bad option":     {[]string{"--url", urls["PostgreSQL"] + "?options=-c%20quipu.max_stalenes%3D7s", "-c", "SELECT 1"}, "quipu.max_stalenes", 1},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := quipuSQL(t, "", append([]string{"--url", n.addr}, tc.args...)...)
			code := 0
			if exit, ok := err.(*exec.ExitError); ok {
				code = exit.ExitCode()
			}
			if code != tc.code || !strings.Contains(got, tc.want) {
				t.Errorf("exit %d, %q; want %d, %q", code, got, tc.code, tc.want)
			}
		})
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, mustBinary(t), "table", "list", "--url", urls["PostgreSQL"]).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "speaks gRPC") {
		t.Errorf("%v, %s", err, out)
	}
}

// TestShellOfARole makes the first role and logs in as another one, over each protocol: what ALTER ROLE has set holds until SET, and again after
// RESET.
func TestShellOfARole(t *testing.T) {
	n, urls := shellNode(t)
	if out, err := quipuSQL(t, "CREATE ROLE boss SUPERUSER LOGIN PASSWORD 'knots';", "--url", n.addr); err != nil || out != "CREATE ROLE\n" {
		t.Fatalf("%v, %s", err, out)
	}
	t.Setenv("QUIPU_USER", "boss")
	t.Setenv("QUIPU_PASSWORD", "knots")
	if out, err := quipuSQL(t, "CREATE ROLE ana LOGIN PASSWORD 'cords'; ALTER ROLE ana SET statement_timeout = '3s';", "--url", n.addr); err != nil {
		t.Fatalf("%v, %s", err, out)
	}
	t.Setenv("QUIPU_USER", "ana")
	t.Setenv("QUIPU_PASSWORD", "cords")
	for over, url := range urls {
		out, err := quipuSQL(t, "SHOW statement_timeout; SET statement_timeout = '1s'; SHOW statement_timeout; RESET statement_timeout; SHOW statement_timeout;",
			"--url", strings.Replace(url, "me@", "", 1), "-o", "csv")
		if want := "statement_timeout\n3s\nstatement_timeout\n1s\nstatement_timeout\n3s\n"; err != nil || out != want {
			t.Errorf("%s: %v, %q", over, err, out)
		}
		t.Setenv("QUIPU_PASSWORD", "wrong")
		if out, err := quipuSQL(t, "SELECT 1", "--url", strings.Replace(url, "me@", "", 1)); err == nil || strings.Contains(out, "wrong") {
			t.Errorf("%s with a wrong password: %q", over, out)
		}
		t.Setenv("QUIPU_PASSWORD", "cords")
	}
}
