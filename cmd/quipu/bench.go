package main

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/quipudb/quipu/client"
	"github.com/quipudb/quipu/cmd/internal/bench"
	"github.com/spf13/cobra"
)

func benchCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "bench",
		Short: "Measure ingest and queries with work made from a fixed seed",
		Long: `Without --url the benchmark starts a durable node of its own in a temporary directory, as a process beside
this one, and removes it afterwards. With --nodes 3 it starts three, and waits for their replicas.`,
	}
	c.AddCommand(measures(benchIngest()), measures(benchQuery()), measures(benchCluster()), benchFailover(), benchCatchup(), benchGrowth(),
		benchOutage(), benchGenerate())
	return c
}

// measures gives a benchmark the flags that say where, and how to print.
func measures(c *cobra.Command) *cobra.Command {
	c.Flags().Bool("json", false, "print the result as JSON")
	c.Flags().String("url", "", "server to measure (default: a node of its own)")
	c.Flags().Int("nodes", 1, "nodes of its own to start, as one cluster on this machine")
	c.Flags().String("server-data-dir", "", "directory of the benchmark's own nodes (default: a temporary one)")
	return c
}

func benchIngest() *cobra.Command {
	var o bench.Ingest
	c := &cobra.Command{
		Use: "ingest", Short: "Write observations and measure rate and latency", Args: exactly(0, "no argument"),
		Example: `  quipu bench ingest --cells 20000 --batch 1000
  quipu bench ingest --batch 1 --in-flight 512
  quipu bench ingest --rate 1000000
  quipu bench ingest --nodes 3`,
		RunE: benchmarked(func(cmd *cobra.Command, cl *client.Client) error {
			r, err := o.Run(cmd.Context(), cl)
			if err != nil {
				return err
			}
			return printIngest(cmd, o.Defaults(), r)
		}, func(n *int) { *n = o.InFlight }),
	}
	f := c.Flags()
	f.IntVar(&o.Cells, "cells", 20_000, "distinct cells")
	f.IntVar(&o.Dims, "dims", 4, "dimensions")
	f.IntVar(&o.Batch, "batch", 1000, "observations of one message")
	f.Float64Var(&o.Zipf, "zipf", 1.1, "exponent of the Zipf law over the cells, above 1; 0 is uniform")
	f.DurationVar(&o.Duration, "duration", 0, "how long (default 10s)")
	f.IntVar(&o.InFlight, "in-flight", 64, "messages without an answer")
	f.IntVar(&o.Streams, "streams", 2, "goroutines that build batches")
	f.Float64Var(&o.Rate, "rate", 0, "observations a second; 0 is as many as the server takes")
	f.Uint64Var(&o.Seed, "seed", 7, "seed of the draws")
	return c
}

func printIngest(cmd *cobra.Command, o bench.Ingest, r bench.IngestResult) error {
	if asJSON, _ := cmd.Flags().GetBool("json"); asJSON {
		return printJSON(cmd.OutOrStdout(), struct {
			Workload bench.Ingest       `json:"workload"`
			Result   bench.IngestResult `json:"result"`
		}{o, r})
	}
	_, err := fmt.Fprintf(cmd.OutOrStdout(), `%d cells, %d dimensions, zipf %g, %d observations a message, %d in flight
%.0f observations/s   %d in %.2f s, %d messages, %d refused
latency p50 %.2f ms   p99 %.2f ms   max %.2f ms
per observation: %.2f bytes on the wire, %.4f allocations and %.0f ns of CPU in the client
`, o.Cells, o.Dims, o.Zipf, o.Batch, o.InFlight, r.PerSecond, r.Observations, r.Seconds, r.Batches, r.Refused,
		r.P50ms, r.P99ms, r.MaxMs, r.BytesPerObs, r.AllocsPerObs, r.ClientCPUPerObs)
	return err
}

func benchQuery() *cobra.Command {
	var q bench.Query
	c := &cobra.Command{
		Use: "query", Short: "Load three tables and measure tests over them", Args: exactly(0, "no argument"),
		Example: `  quipu bench query
  quipu bench query --evicted`,
		RunE: benchmarked(func(cmd *cobra.Command, cl *client.Client) error {
			q.Server, _ = cmd.Flags().GetString("url")
			rs, err := q.Run(cmd.Context(), cl, func(s string) { fmt.Fprintln(cmd.ErrOrStderr(), s) })
			if err != nil {
				return err
			}
			return printQueries(cmd, rs)
		}, func(*int) {}),
	}
	c.Flags().IntVar(&q.Runs, "runs", 20, "runs of each statement")
	c.Flags().IntVar(&q.Side, "side", 1000, "values of each dimension of the large table")
	c.Flags().IntVar(&q.Many, "features", 100_000, "features of the wide table")
	c.Flags().BoolVar(&q.Evicted, "evicted", false, "give the node too little memory for the large table, and measure reading it back from disk")
	return c
}

func printQueries(cmd *cobra.Command, rs []bench.QueryResult) error {
	if asJSON, _ := cmd.Flags().GetBool("json"); asJSON {
		return printJSON(cmd.OutOrStdout(), rs)
	}
	for _, r := range rs {
		more := ""
		if r.ReadBack > 0 {
			more = fmt.Sprintf(", %.0f blocks read from disk a run", r.ReadBack)
		}
		if _, err := fmt.Fprintf(cmd.OutOrStdout(), "%-40s p50 %8.3f ms   min %8.3f   p99 %8.3f   (%d rows, %d runs%s)\n",
			r.Name, r.P50ms, r.MinMs, r.P99ms, r.Rows, r.Runs, more); err != nil {
			return err
		}
	}
	return nil
}

func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// benchGenerate writes the CSV that import tests and demonstrations load.
func benchGenerate() *cobra.Command {
	var g bench.File
	c := &cobra.Command{
		Use: "generate FILE", Short: "Write a CSV of observations to import", Args: exactly(1, "one file"),
		RunE: func(cmd *cobra.Command, args []string) error { return g.Write(args[0]) },
	}
	c.Flags().IntVar(&g.Rows, "rows", 1_000_000, "rows")
	c.Flags().IntVar(&g.Cells, "cells", 20_000, "distinct cells")
	c.Flags().IntVar(&g.Dims, "dims", 4, "dimensions")
	c.Flags().Float64Var(&g.Zipf, "zipf", 1.1, "exponent of the Zipf law over the cells")
	c.Flags().Uint64Var(&g.Seed, "seed", 7, "seed of the draws")
	return c
}

// benchmarked runs f against --url, or against a node that it starts and stops.
func benchmarked(f func(*cobra.Command, *client.Client) error, inFlight func(*int)) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, _ []string) (err error) {
		n := 256
		inFlight(&n)
		if url, _ := cmd.Flags().GetString("url"); url == "" {
			var flags []string
			if evicted, _ := cmd.Flags().GetBool("evicted"); evicted {
				flags = []string{"--cell-memory", "16MiB"}
			}
			nodes, _ := cmd.Flags().GetInt("nodes")
			own, err := ownNodes(cmd, nodes, flags...)
			if err != nil {
				return err
			}
			defer own.stop()
		}
		cl, err := connect(cmd, client.WithInFlight(n))
		if err != nil {
			return err
		}
		defer closing(cmd.Context(), cl, &err)
		return f(cmd, cl)
	}
}
