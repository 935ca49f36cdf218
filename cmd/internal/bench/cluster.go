package bench

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/quipudb/quipu/client"
)

// Cluster says how to measure reads and writes beside each other.
type Cluster struct {
	Duration time.Duration // of each part [10 s]
	Rate     float64       // observations a second that are written meanwhile [1 M]
	Queries  float64       // strict queries a second over all shards [100]
	Seed     uint64
}

// ClusterResult is what the parts measured.
type ClusterResult struct {
	Alone     IngestResult `json:"writes_alone"`
	Beside    IngestResult `json:"writes_beside_reads"`
	Reads     QueryResult  `json:"reads_beside_writes"`
	TwoByTwo  QueryResult  `json:"two_by_two_alone"`
	PerSecond float64      `json:"queries_per_second"`
}

// Run writes at a rate, alone and then beside strict queries, and asks for a 2 × 2 test on a quiet cluster.
func (o Cluster) Run(ctx context.Context, c *client.Client) (ClusterResult, error) {
	var out ClusterResult
	ingest := Ingest{Rate: o.Rate, Duration: o.Duration, Seed: o.Seed, Zipf: 1.1}
	var err error
	if out.Alone, err = ingest.Run(ctx, c); err != nil {
		return out, err
	}
	reading, stop := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() {
		var err error
		out.Reads, err = o.read(reading)(c)
		done <- err
	}()
	out.Beside, err = ingest.Run(ctx, c)
	stop()
	if rerr := <-done; err == nil {
		err = rerr
	}
	if err != nil {
		return out, err
	}
	out.PerSecond = float64(out.Reads.Runs) / out.Beside.Seconds
	for _, sql := range []string{"CREATE TABLE bench_two (x text, y text)",
		"INSERT INTO bench_two (x, y, count) VALUES ('a', 'p', 30), ('a', 'q', 70), ('b', 'p', 45), ('b', 'q', 55)"} {
		if _, err := c.Exec(ctx, sql); err != nil {
			return out, err
		}
	}
	out.TwoByTwo, err = measure(ctx, c, nil, "SELECT chi2_test(x, y) FROM bench_two", 500)
	return out, err
}

// read asks at the rate of o until ctx ends.
func (o Cluster) read(ctx context.Context) func(*client.Client) (QueryResult, error) {
	return func(c *client.Client) (QueryResult, error) {
		r := QueryResult{Name: "chi2 of two dimensions, strict, all shards", SQL: "SELECT chi2_test(d0, d1) FROM bench"}
		var (
			mu     sync.Mutex // guards the fields below
			times  []time.Duration
			failed error
			wg     sync.WaitGroup
		)
		room := make(chan struct{}, 64) // more do not wait at a time: then fewer are asked than o.Queries
		tick := time.NewTicker(time.Duration(float64(time.Second) / o.Queries))
		defer tick.Stop()
		for ctx.Err() == nil {
			select {
			case <-tick.C:
			case <-ctx.Done():
				continue
			}
			select {
			case room <- struct{}{}:
			case <-ctx.Done():
				continue
			}
			wg.Go(func() {
				defer func() { <-room }()
				began := time.Now()
				err := ask(context.WithoutCancel(ctx), c, r.SQL)
				mu.Lock()
				defer mu.Unlock()
				times = append(times, time.Since(began))
				if err != nil {
					failed = err
				}
			})
		}
		wg.Wait()
		if len(times) == 0 {
			return r, fmt.Errorf("nothing was asked: %w", ctx.Err())
		}
		slices.Sort(times)
		r.Runs, r.Rows = len(times), 1
		r.MinMs, r.P50ms, r.P99ms = milliseconds(times[0]), milliseconds(quantile(times, 0.5)), milliseconds(quantile(times, 0.99))
		return r, failed
	}
}

// ask runs a query to its last row.
func ask(ctx context.Context, c *client.Client, sql string) error {
	rows, err := c.Query(ctx, sql)
	if err != nil {
		return err
	}
	for rows.Next() {
	}
	return rows.Err()
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// quantile is that of sorted times, at least one: the smallest that a share q of them does not exceed.
func quantile(sorted []time.Duration, q float64) time.Duration {
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}
