package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// runQuipu uses the product's own benchmark, which makes the same draws from the same seed.
func runQuipu(ctx context.Context, r *report, binary string, cells int, span time.Duration, runs int) error {
	q, url, err := startQuipu(ctx, binary, "off")
	if err != nil {
		return err
	}
	defer q.stop(syscall.SIGTERM)
	if err := quipuCount(ctx, r, "Quipu", binary, url, cells, span); err != nil || runs == 0 {
		return err
	}
	return quipuQueries(ctx, r, binary, url, runs)
}

// quipuCount measures counting and holds the table to what was acknowledged.
func quipuCount(ctx context.Context, r *report, name, binary, url string, cells int, span time.Duration) error {
	acked := int64(0)
	for _, inFlight := range []int{64, 128} {
		n, err := quipuIngest(ctx, r, name, binary, url, cells, inFlight, span)
		if err != nil {
			return err
		}
		acked += n
		counted, err := number(ctx, binary, url, "SELECT sum(count) AS n FROM bench", "n")
		if err != nil {
			return err
		}
		if counted != float64(acked) {
			return fmt.Errorf("the table counts %.0f, %d were acknowledged", counted, acked)
		}
	}
	return nil
}

// quipuIngest measures one run and gives how many observations were acknowledged.
func quipuIngest(ctx context.Context, r *report, name, binary, url string, cells, inFlight int, span time.Duration) (acked int64, err error) {
	out, err := quipu(ctx, binary, "bench", "ingest", "--url", url, "--cells", strconv.Itoa(cells), "--batch", strconv.Itoa(batchSize),
		"--in-flight", strconv.Itoa(inFlight), "--duration", span.String(), "--json")
	if err != nil {
		return 0, err
	}
	var ingest struct {
		Result struct {
			Observations int64
			PerSecond    float64 `json:"observations_per_second"`
			P50          float64 `json:"p50_ms"`
			P99          float64 `json:"p99_ms"`
		}
	}
	if err := json.Unmarshal(out, &ingest); err != nil {
		return 0, err
	}
	r.line(name, fmt.Sprintf("batches of %d obs, %d in flight, 1 client", batchSize, inFlight),
		measured{rate: ingest.Result.PerSecond, p50: ingest.Result.P50, p99: ingest.Result.P99})
	return ingest.Result.Observations, nil
}

// The tables are those that `quipu bench query` leaves behind.
var quipuStatements = map[string]string{
	largeTable: "SELECT chi2_test(a, b) FROM bench_a",
	manyTables: "SELECT f, chi2_test(x, y) FROM bench_b GROUP BY f ORDER BY ln_p LIMIT 20",
	smallTable: "SELECT chi2_test(x, y) FROM bench_c",
}

func quipuQueries(ctx context.Context, r *report, binary, url string, runs int) error {
	out, err := quipu(ctx, binary, "bench", "query", "--url", url, "--runs", strconv.Itoa(runs), "--json")
	if err != nil {
		return err
	}
	var results []struct {
		SQL string
		P50 float64 `json:"p50_ms"`
	}
	if err := json.Unmarshal(out, &results); err != nil {
		return err
	}
	for _, name := range queries {
		sql := quipuStatements[name]
		best := 0.0 // the benchmark runs some statements several times, with other settings
		for _, one := range results {
			if one.SQL == sql && (best == 0 || one.P50 < best) {
				best = one.P50
			}
		}
		if best == 0 {
			return fmt.Errorf("quipu bench query does not run %s", sql)
		}
		value, err := number(ctx, binary, url, sql, "statistic")
		if err != nil {
			return err
		}
		r.query(name, "Quipu", best, value)
	}
	return nil
}

// startQuipu starts a node, with more flags if there are any; wire is the address for PostgreSQL clients, or off.
func startQuipu(ctx context.Context, binary, wire string, flags ...string) (q *process, url string, err error) {
	dir, err := os.MkdirTemp("", "peer-quipu-")
	if err != nil {
		return nil, "", err
	}
	args := append([]string{"serve", "--data-dir", dir, "--listen", "127.0.0.1:0", "--pg-listen", wire}, flags...)
	q = &process{dir: dir, cmd: exec.CommandContext(ctx, binary, args...)}
	out, err := q.cmd.StdoutPipe()
	if err == nil {
		err = q.cmd.Start()
	}
	if err != nil {
		q.cmd = nil
		q.stop(syscall.SIGTERM)
		return nil, "", err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if url, ok := strings.CutPrefix(line, "serving "); ok {
		return q, strings.Fields(url)[0], nil
	}
	q.stop(syscall.SIGTERM)
	return nil, "", fmt.Errorf("the node ended before it served: %w", err)
}

func quipu(ctx context.Context, binary string, args ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, binary, args...).Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return nil, fmt.Errorf("quipu %s: %w\n%s", args[0], err, exit.Stderr)
	}
	return out, err
}

// number is a column of the first row of an answer.
func number(ctx context.Context, binary, url, sql, column string) (float64, error) {
	out, err := quipu(ctx, binary, "sql", "--url", url, "--format", "ndjson", "-c", sql)
	if err != nil {
		return 0, err
	}
	line, _, _ := strings.Cut(string(out), "\n")
	row := map[string]any{}
	if err := json.Unmarshal([]byte(line), &row); err != nil {
		return 0, fmt.Errorf("%s: %w\n%s", sql, err, out)
	}
	v, ok := row[column].(float64)
	if !ok {
		return 0, fmt.Errorf("%s: no number %q in %s", sql, column, line)
	}
	return v, nil
}
