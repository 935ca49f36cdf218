package main

import (
	"context"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// pgbenchClient measures with PostgreSQL's own benchmark, as it comes: one thread, which spends less on a query than a Go client and leaves
// the servers the other core. It gives the queries a second and the mean of a query's µs; the median it does not tell. It does not look at
// answers: pgconn does, for the same queries.
func pgbenchClient(program string) func(wireCase, context.Context, wirePeer, time.Duration) (rate, latency float64, err error) {
	return func(w wireCase, ctx context.Context, p wirePeer, span time.Duration) (rate, latency float64, err error) {
		dir, err := os.MkdirTemp("", "pgbench-")
		if err != nil {
			return 0, 0, err
		}
		defer os.RemoveAll(dir)
		script := filepath.Join(dir, "query.sql")
		if err := os.WriteFile(script, []byte(strings.ReplaceAll(w.sql, "$1", ":arg")+";\n"), 0o600); err != nil {
			return 0, 0, err
		}
		mode := "simple"
		if w.kept {
			mode = "prepared"
		}
		seconds := max(1, int(math.Round(span.Seconds())))
		out, err := exec.CommandContext(ctx, program, "--no-vacuum", "--protocol", mode, "--client", strconv.Itoa(w.conns),
			"--time", strconv.Itoa(seconds), "--define", "arg="+wireArg, "--file", script, p.url).CombinedOutput()
		if err != nil {
			return 0, 0, fmt.Errorf("pgbench: %w\n%s", err, out)
		}
		return pgbenchFigures(string(out))
	}
}

var (
	pgbenchRate    = regexp.MustCompile(`(?m)^tps = ([0-9.]+)`)
	pgbenchLatency = regexp.MustCompile(`(?m)^latency average = ([0-9.]+) ms`)
)

func pgbenchFigures(out string) (rate, latency float64, err error) {
	tps, ms := pgbenchRate.FindStringSubmatch(out), pgbenchLatency.FindStringSubmatch(out)
	if tps == nil || ms == nil {
		return 0, 0, fmt.Errorf("pgbench prints no tps and latency:\n%s", out)
	}
	if rate, err = strconv.ParseFloat(tps[1], 64); err != nil {
		return 0, 0, err
	}
	latency, err = strconv.ParseFloat(ms[1], 64)
	return rate, 1000 * latency, err
}
