package bench

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/quipudb/quipu/client"
)

// Query says what to ask.
type Query struct {
	Runs int // of each statement [20]
	Side int // values of each dimension of table A [1,000]
	Many int // features of table B [100,000]

	// Evicted measures reading table A back from disk. The server has to have less cell memory than the 30 MB or so that the tables take.
	Evicted bool
	Server  string // that the client is connected to: its metrics say what was read from disk
}

// QueryResult is one statement's times.
type QueryResult struct {
	Name  string  `json:"name"`
	SQL   string  `json:"sql"`
	Rows  int     `json:"rows"`
	Runs  int     `json:"runs"`
	P50ms float64 `json:"p50_ms"`
	MinMs float64 `json:"min_ms"`
	P99ms float64 `json:"p99_ms"`

	ReadBack float64 `json:"blocks_read_back,omitempty"` // from disk, a run
}

// Run loads the tables (A: side × side cells, all occupied; B: many features of 2 × 2; C: one 2 × 2) and measures each statement,
// SQL text in and rows out, strict snapshot.
func (q Query) Run(ctx context.Context, c *client.Client, say func(string)) ([]QueryResult, error) {
	if q.Runs == 0 {
		q.Runs = 20
	}
	if q.Side == 0 {
		q.Side = 1000
	}
	if q.Many == 0 {
		q.Many = 100_000
	}
	if q.Evicted {
		return q.runEvicted(ctx, c, say)
	}
	if err := q.load(ctx, c, say); err != nil {
		return nil, err
	}
	statements := []struct{ name, sql string }{
		{fmt.Sprintf("chi2 of %d x %d, 2 goroutines", q.Side, q.Side), "SELECT chi2_test(a, b) FROM bench_a"},
		{fmt.Sprintf("chi2 of %d x %d, 1 goroutine", q.Side, q.Side), "SELECT chi2_test(a, b) FROM bench_a"},
		{fmt.Sprintf("chi2 of %d features, top 20", q.Many), "SELECT f, chi2_test(x, y) FROM bench_b GROUP BY f ORDER BY ln_p LIMIT 20"},
		{"one 2 x 2", "SELECT chi2_test(x, y) FROM bench_c"},
		{"sum of 1 M cells", "SELECT sum(count) FROM bench_a"},
	}
	var out []QueryResult
	for i, s := range statements {
		settings := map[string]string{"quipu.parallelism": "2"}
		runs := q.Runs
		if i == 1 {
			settings["quipu.parallelism"] = "1"
		}
		if i == 3 {
			runs *= 50
		}
		r, err := measure(ctx, c, settings, s.sql, runs)
		if err != nil {
			return out, fmt.Errorf("%s: %w", s.name, err)
		}
		r.Name = s.name
		out = append(out, r)
	}
	return out, nil
}

// runEvicted measures table A where its blocks are not in memory, for want of room.
func (q Query) runEvicted(ctx context.Context, c *client.Client, say func(string)) (out []QueryResult, err error) {
	for _, sql := range []string{"CREATE TABLE bench_a (a text, b text)", "CREATE TABLE bench_d (a text, b text)"} {
		if _, err := c.Exec(ctx, sql); err != nil {
			return nil, err
		}
	}
	say(fmt.Sprintf("loading %d cells, and twice as many after them", q.Side*q.Side))
	if err := q.fillSquare(ctx, c, "bench_a", q.Side); err != nil {
		return nil, err
	}
	if err := q.fillSquare(ctx, c, "bench_d", 2*q.Side); err != nil {
		return nil, err
	}
	for _, s := range []struct{ name, parallelism, sql string }{
		{fmt.Sprintf("chi2 of %d x %d, evicted, 2 goroutines", q.Side, q.Side), "2", "SELECT chi2_test(a, b) FROM bench_a"},
		{fmt.Sprintf("chi2 of %d x %d, evicted, 1 goroutine", q.Side, q.Side), "1", "SELECT chi2_test(a, b) FROM bench_a"},
		{"sum of 1 M cells, evicted", "2", "SELECT sum(count) FROM bench_a"},
	} {
		before, err := metric(ctx, q.Server, "quipu_blocks_read_back_total")
		if err != nil {
			return nil, err
		}
		r, err := measure(ctx, c, map[string]string{"quipu.parallelism": s.parallelism}, s.sql, q.Runs)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", s.name, err)
		}
		after, err := metric(ctx, q.Server, "quipu_blocks_read_back_total")
		if err != nil {
			return nil, err
		}
		r.Name, r.ReadBack = s.name, (after-before)/float64(q.Runs+warmUp)
		if least := float64(q.Side * q.Side / 4096); r.ReadBack < least {
			return nil, fmt.Errorf("%s: %.0f blocks were read from disk a run, want at least %.0f: the table was in memory (the server needs a small --cell-memory)",
				s.name, r.ReadBack, least)
		}
		out = append(out, r)
	}
	return out, nil
}

// fillSquare counts every combination of rows values of a with q.Side of b.
func (q Query) fillSquare(ctx context.Context, c *client.Client, table string, rows int) error {
	return fill(ctx, c, table, rows*q.Side, func(i int) ([]string, int64) {
		a, b := i/q.Side, i%q.Side
		return []string{"a", fmt.Sprint("a", a), "b", fmt.Sprint("b", b)}, int64(1 + (a*31+b*17+a*b)%9)
	})
}

const warmUp = 2 // runs that are not measured

func measure(ctx context.Context, c *client.Client, settings map[string]string, sql string, runs int) (QueryResult, error) {
	times := make([]time.Duration, 0, runs)
	r := QueryResult{SQL: sql, Runs: runs}
	for i := range runs + warmUp {
		began := time.Now()
		rows, err := c.QueryWith(ctx, settings, sql)
		if err != nil {
			return r, err
		}
		r.Rows = 0
		for rows.Next() {
			r.Rows++
		}
		if rows.Err() != nil {
			return r, rows.Err()
		}
		if i >= warmUp {
			times = append(times, time.Since(began))
		}
	}
	slices.Sort(times)
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	r.MinMs, r.P50ms, r.P99ms = ms(times[0]), ms(times[len(times)/2]), ms(times[min(len(times)-1, len(times)*99/100)])
	return r, nil
}

func (q Query) load(ctx context.Context, c *client.Client, say func(string)) error {
	for _, sql := range []string{
		"CREATE TABLE bench_a (a text, b text)",
		"CREATE TABLE bench_b (f text, x text, y text) WITH (partition_by = 'f')",
		"CREATE TABLE bench_c (x text, y text)",
	} {
		if _, err := c.Exec(ctx, sql); err != nil {
			return err
		}
	}
	say(fmt.Sprintf("loading %d cells", q.Side*q.Side+4*q.Many+4))
	err := q.fillSquare(ctx, c, "bench_a", q.Side)
	if err == nil {
		err = fill(ctx, c, "bench_b", 4*q.Many, func(i int) ([]string, int64) {
			f, x, y := i/4, i/2%2, i%2
			return []string{"f", fmt.Sprint("f", f), "x", fmt.Sprint(x), "y", fmt.Sprint(y)}, int64(20 + scatter(i))
		})
	}
	if err == nil {
		err = fill(ctx, c, "bench_c", 4, func(i int) ([]string, int64) {
			return []string{"x", fmt.Sprint(i / 2), "y", fmt.Sprint(i % 2)}, int64(100 + 7*i*i)
		})
	}
	return err
}

// scatter is a number below 41 that looks random and is the same in every run and in every store: no step leaves 64 bits.
func scatter(i int) int { return i * i % 65537 * (i%32749 + 17) % 41 }

// fill counts n cells, in batches. What the SDK knows of cells is forgotten now and then: they do not come again.
func fill(ctx context.Context, c *client.Client, table string, n int, cell func(int) ([]string, int64)) error {
	var b *client.Builder
	var last []*client.Pending
	for i := range n {
		if i%400_000 == 0 { // the last batch was sent
			b = c.Table(table).Builder()
		}
		pairs, count := cell(i)
		id, err := b.Prepare(pairs...)
		if err != nil {
			return err
		}
		b.Count(id, count)
		if (i+1)%20_000 != 0 && i+1 < n {
			continue
		}
		p, err := b.Send(ctx)
		if err != nil {
			return err
		}
		last = append(last, p)
		if len(last) > 8 {
			if _, err := last[0].Wait(ctx); err != nil {
				return err
			}
			last = last[1:]
		}
	}
	for _, p := range last {
		if _, err := p.Wait(ctx); err != nil {
			return err
		}
	}
	return nil
}
