// Stores runs one workload, back to back, through PostgreSQL, Redis and Quipu on one machine: counting observations drawn by a Zipf law,
// durably and in batches of 1,000, and the same chi-square tests in SQL. It is a module of its own, so that Quipu does not depend on a driver.
//
//	quipu bench generate draws.csv --rows 1048576 --cells 20000
//	go run . --quipu ./quipu --draws draws.csv
//
// Each store runs as its own process on a data directory of its own and a free loopback port, and is ended by its process id. Every
// acknowledged observation is counted durably: fsync of each commit in PostgreSQL and Quipu, appendfsync always in Redis. PostgreSQL and Redis
// get batches whose equal cells their client has summed, as Quipu's client does. A store whose programs are not installed is left out.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

func main() {
	binary := flag.String("quipu", "quipu", "Quipu's binary")
	draws := flag.String("draws", "", "CSV of observations, from quipu bench generate")
	cells := flag.Int("cells", 20_000, "distinct cells that the draws are from, for Quipu's own benchmark")
	span := flag.Duration("span", 6*time.Second, "how long each store counts")
	runs := flag.Int("runs", 10, "runs of each query")
	flag.Parse()
	if err := run(context.Background(), *binary, *draws, *cells, *span, *runs); err != nil {
		fmt.Fprintln(os.Stderr, "stores:", err)
		os.Exit(1)
	}
}

// errMissing is a store that is not installed here.
var errMissing = errors.New("not installed")

// report is what the stores reached: the best rate of each, and the values of the queries.
type report struct {
	rates  map[string]float64            // by store
	values map[string]map[string]float64 // by query, by store
	times  map[string]map[string]float64 // milliseconds, the same
}

func run(ctx context.Context, binary, drawsFile string, cells int, span time.Duration, runs int) error {
	binary, err := filepath.Abs(binary)
	if err != nil {
		return err
	}
	if _, err := exec.LookPath(binary); err != nil {
		return fmt.Errorf("--quipu: %w", err)
	}
	batches, err := readBatches(drawsFile)
	if err != nil {
		return err
	}
	fmt.Printf("%d observations in batches of %d, %.0f distinct cells in a batch on average, %s each\n\n", batches.observations(), batchSize, batches.distinct(), span)
	r := &report{rates: map[string]float64{}, values: map[string]map[string]float64{}, times: map[string]map[string]float64{}}
	for _, s := range []struct {
		name string
		run  func(context.Context, *report) error
	}{
		{"PostgreSQL", func(ctx context.Context, r *report) error { return runPostgres(ctx, r, batches, span, runs) }},
		{"Redis", func(ctx context.Context, r *report) error { return runRedis(ctx, r, batches, span) }},
		{"Quipu", func(ctx context.Context, r *report) error { return runQuipu(ctx, r, binary, cells, span, runs) }},
	} {
		if err := s.run(ctx, r); errors.Is(err, errMissing) {
			fmt.Printf("%s: skipped, %v\n", s.name, err)
		} else if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	return r.compare()
}

// line prints a measurement of counting and keeps the store's best.
func (r *report) line(store, how string, m measured) {
	fmt.Printf("%-11s %-44s %10.0f obs/s   p50 %7.2f ms   p99 %7.2f ms\n", store, how, m.rate, m.p50, m.p99)
	r.rates[store] = max(r.rates[store], m.rate)
}

// query keeps a query's time and value.
func (r *report) query(name, store string, ms, value float64) {
	if r.times[name] == nil {
		r.times[name], r.values[name] = map[string]float64{}, map[string]float64{}
	}
	r.times[name][store], r.values[name][store] = ms, value
}

// The floors that Quipu has set itself, batches of 1,000.
var floors = map[string]float64{"PostgreSQL": 15, "Redis": 5}

// compare prints the ratios, and fails if two stores disagree about a statistic.
func (r *report) compare() error {
	fmt.Println()
	for _, store := range []string{"PostgreSQL", "Redis"} {
		if rate := r.rates[store]; rate > 0 {
			fmt.Printf("Quipu counts %.1f times as fast as %s at its best (floor %.0f)\n", r.rates["Quipu"]/rate, store, floors[store])
		}
	}
	fmt.Println()
	for _, name := range queries {
		for _, store := range []string{"PostgreSQL", "Quipu"} {
			if ms, ok := r.times[name][store]; ok {
				fmt.Printf("%-36s %-11s p50 %10.3f ms   statistic %.12g\n", name, store, ms, r.values[name][store])
			}
		}
		ours, theirs := r.values[name]["Quipu"], r.values[name]["PostgreSQL"]
		if theirs != 0 && !(abs(ours-theirs) <= 1e-9*abs(theirs)) {
			return fmt.Errorf("%s: Quipu says %.17g, PostgreSQL %.17g", name, ours, theirs)
		}
	}
	return nil
}

// The queries, by the names under which they are printed.
const (
	largeTable = "chi2 of 1000 x 1000"
	manyTables = "chi2 of 100000 features, top 20"
	smallTable = "one 2 x 2"
)

var queries = []string{largeTable, manyTables, smallTable}

func abs(x float64) float64 { return max(x, -x) }
