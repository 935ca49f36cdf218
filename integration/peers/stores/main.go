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
	"slices"
	"time"
)

func main() {
	binary := flag.String("quipu", "quipu", "Quipu's binary")
	draws := flag.String("draws", "", "CSV of observations, from quipu bench generate")
	cells := flag.Int("cells", 20_000, "distinct cells that the draws are from, for Quipu's own benchmark")
	span := flag.Duration("span", 5*time.Second, "how long each store counts, each time")
	rounds := flag.Int("rounds", 3, "how often the stores count, one after the other")
	runs := flag.Int("runs", 10, "runs of each query")
	wire := flag.Bool("wire", false, "compare PostgreSQL's protocol instead: round trips, COPY, and the queries")
	together := flag.Bool("together", false, "with --wire, over one connection: leave it to the kernel on which cores clients and servers run, else they have their own")
	nodes := flag.Bool("cluster", false, "compare three nodes, as one cluster on this machine, with PostgreSQL alone: counting only")
	without := flag.String("workless", "", "ADDRESS=NODE: be the server without work that --wire compares with")
	flag.Parse()
	if *without != "" {
		fmt.Fprintln(os.Stderr, "stores:", serveWorkless(*without))
		os.Exit(1)
	}
	if err := choose(*wire, *nodes, *together, *binary, *draws, *cells, *span, *rounds, *runs); err != nil {
		fmt.Fprintln(os.Stderr, "stores:", err)
		os.Exit(1)
	}
}

// choose runs what the flags ask for.
func choose(wire, nodes, together bool, binary, draws string, cells int, span time.Duration, rounds, runs int) error {
	binary, err := filepath.Abs(binary)
	if err != nil {
		return err
	}
	if _, err := exec.LookPath(binary); err != nil {
		return fmt.Errorf("--quipu: %w", err)
	}
	if wire {
		return runWire(context.Background(), binary, draws, span, rounds, runs, together)
	}
	batches, err := readBatches(draws)
	if err != nil {
		return err
	}
	fmt.Printf("%d observations in batches of %d, %.0f distinct cells in a batch on average, %s each\n\n", batches.observations(), batchSize, batches.distinct(), span)
	if nodes {
		return runClusters(context.Background(), binary, batches, cells, span, rounds)
	}
	return run(context.Background(), binary, batches, cells, span, rounds, runs)
}

// errMissing is a store that is not installed here.
var errMissing = errors.New("not installed")

// report is what the stores reached: the best rate of each in each round, and the values of the queries.
type report struct {
	rates  []map[string]float64          // by round, by store
	values map[string]map[string]float64 // by query, by store
	times  map[string]map[string]float64 // milliseconds, the same
}

func run(ctx context.Context, binary string, batches batches, cells int, span time.Duration, rounds, runs int) error {
	r := &report{values: map[string]map[string]float64{}, times: map[string]map[string]float64{}}
	for i := range rounds {
		r.rates = append(r.rates, map[string]float64{})
		asked := runs
		if i < rounds-1 {
			asked = 0 // queries are asked in the last round
		}
		if err := r.round(ctx, binary, batches, cells, span, asked); err != nil {
			return err
		}
		fmt.Println()
	}
	return r.compare()
}

// round lets each store count, and asks it the queries if runs is not 0.
func (r *report) round(ctx context.Context, binary string, b batches, cells int, span time.Duration, runs int) error {
	for _, s := range []struct {
		name string
		run  func() error
	}{
		{"PostgreSQL", func() error { return runPostgres(ctx, r, b, span, runs) }},
		{"Redis", func() error { return runRedis(ctx, r, b, span) }},
		{"Quipu", func() error { return runQuipu(ctx, r, binary, cells, span, runs) }},
	} {
		if err := s.run(); errors.Is(err, errMissing) {
			fmt.Printf("%s: skipped, %v\n", s.name, err)
		} else if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	return nil
}

// connections that a peer counts over. Each works on one batch at a time.
var connections = []int{1, 4, 16}

// line prints a measurement of counting and keeps the store's best.
func (r *report) line(store, how string, m measured) {
	fmt.Printf("%-11s %-44s %10.0f obs/s   p50 %7.2f ms   p99 %7.2f ms\n", store, how, m.rate, m.p50, m.p99)
	last := r.rates[len(r.rates)-1]
	last[store] = max(last[store], m.rate)
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

// ratio prints how much faster one of ours counts than a store, in the median of the rounds.
func (r *report) ratio(store, ours string, floor float64) {
	var ratios []float64
	for _, rates := range r.rates {
		if rates[store] > 0 {
			ratios = append(ratios, rates[ours]/rates[store])
		}
	}
	if len(ratios) == 0 {
		return
	}
	slices.Sort(ratios)
	fmt.Printf("%s counts %.1f times as fast as %s at its best (floor %.0f; median of rounds with %.1f)\n", ours, ratios[len(ratios)/2], store, floor, ratios)
}

// compare prints the ratios, and fails if two stores disagree about a statistic.
func (r *report) compare() error {
	for _, store := range []string{"PostgreSQL", "Redis"} {
		r.ratio(store, "Quipu", floors[store])
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
