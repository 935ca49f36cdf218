package integration

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestPgDump: pg_dump says what to use in its place.
func TestPgDump(t *testing.T) {
	if _, err := exec.LookPath("pg_dump"); err != nil {
		t.Skip("needs pg_dump, of Debian's package postgresql-client")
	}
	dsn := postgresNode(t)
	runClient(t, "psql", "-X", dsn, "-c", "CREATE TABLE visits (country text)")
	for _, args := range [][]string{{"--schema-only"}, {"--data-only", "-t", "visits"}} {
		got := run(t, nil, "pg_dump", append(args, "-d", dsn)...)
		if !strings.Contains(got, "ERROR:") || !strings.Contains(got, "HINT:  pg_dump is for PostgreSQL") || !strings.Contains(got, "quipu backup create") {
			t.Errorf("pg_dump %v says\n%s", args, got)
		}
		if strings.Contains(got, "unrecognized configuration parameter") {
			t.Errorf("pg_dump %v does not get beyond its settings:\n%s", args, got)
		}
	}
}

// TestPsqlFetchCount reads a result through a cursor, as psql does where FETCH_COUNT is set.
func TestPsqlFetchCount(t *testing.T) {
	needPsql(t)
	got := runClient(t, "psql", "-XAtq", postgresNode(t), "-v", "FETCH_COUNT=7", "-v", "ON_ERROR_STOP=1",
		"-c", "SELECT n FROM generate_series(1, 20) AS g(n)", "-c", "SELECT 1/(n-9) FROM generate_series(1, 8) AS g(n)", "-c", "VALUES ('last')")
	lines := strings.Fields(got)
	if len(lines) != 29 || lines[19] != "20" || lines[28] != "last" {
		t.Errorf("%d lines: %s", len(lines), got)
	}
}

// TestPsqlWatch lets \watch run a query until it fails, which is when another session drops its table.
func TestPsqlWatch(t *testing.T) {
	needPsql(t)
	dsn := postgresNode(t)
	runClient(t, "psql", "-X", dsn, "-c", "CREATE TABLE watched (a text)", "-c", "INSERT INTO watched VALUES ('x')")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "psql", "-XAt", dsn)
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8")
	cmd.Stdin = strings.NewReader("SELECT 'seen ' || a FROM watched \\watch 0.05\n")
	var said strings.Builder
	cmd.Stderr = &said
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	seen := 0
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if strings.Contains(lines.Text(), "seen x") {
			if seen++; seen == 3 {
				runClient(t, "psql", "-X", dsn, "-c", "DROP TABLE watched")
			}
		}
	}
	_ = cmd.Wait() // its exit code says nothing of \watch
	if seen < 3 || !strings.Contains(said.String(), `table "watched" does not exist`) {
		t.Errorf("seen %d times, then %s", seen, said.String())
	}
}

// TestPsqlCopiesManyRows takes rows in and out with \copy: a million of them with QUIPU_SOAK.
func TestPsqlCopiesManyRows(t *testing.T) {
	needPsql(t)
	rows := 20_000
	if os.Getenv("QUIPU_SOAK") != "" {
		rows = 1_000_000
	}
	dir := t.TempDir()
	in, out := filepath.Join(dir, "in.csv"), filepath.Join(dir, "out.csv")
	var lines []string
	for i := range rows {
		lines = append(lines, fmt.Sprintf("a%d,\"b,%d\",%d", i%100, i/100%100, i/10_000))
	}
	if err := os.WriteFile(in, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	dsn := postgresNode(t)
	began := time.Now()
	got := runClient(t, "psql", "-XAt", dsn, "-v", "ON_ERROR_STOP=1", "-c", "CREATE TABLE many (a text, b text, c int8)", "-c", `\copy many (a, b, c) FROM '`+in+`' CSV`,
		"-c", "SELECT count(*), sum(count) FROM many", "-c", `\copy many (a, b, c) TO '`+out+`' CSV`)
	if want := fmt.Sprintf("CREATE TABLE\nCOPY %[1]d\n%[1]d|%[1]d\nCOPY %[1]d\n", rows); got != want {
		t.Fatalf("psql prints %q, want %q", got, want)
	}
	t.Logf("%d rows in and out in %v", rows, time.Since(began))
	text, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	back := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	slices.Sort(back)
	slices.Sort(lines)
	if !slices.Equal(back, lines) {
		t.Errorf("%d rows came back that are not those that went in", len(back))
	}
}

// TestR asks with R's own driver.
func TestR(t *testing.T) {
	if _, err := exec.LookPath("Rscript"); err != nil {
		t.Skip("needs R, of Debian's package r-base-core")
	}
	if out, err := exec.CommandContext(t.Context(), "Rscript", "-e", "library(RPostgreSQL)").CombinedOutput(); err != nil {
		t.Skipf("needs Debian's package r-cran-rpostgresql: %s", strings.TrimSpace(string(out)))
	}
	host, port, _ := strings.Cut(postgresAddress(postgresNode(t)), ":")
	if got := runClient(t, "Rscript", "--vanilla", "testdata/driver.R", host, port); !strings.HasSuffix(got, "\nok\n") { // errors and warnings before it are on purpose
		t.Error(got)
	}
}
