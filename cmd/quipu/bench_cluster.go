package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/quipudb/quipu/client"
	"github.com/quipudb/quipu/cmd/internal/bench"
	"github.com/spf13/cobra"
)

func benchCluster() *cobra.Command {
	var o bench.Cluster
	c := &cobra.Command{
		Use: "cluster", Short: "Measure what strict reads cost writers, and a 2 x 2 test", Args: exactly(0, "no argument"),
		Long:    `Writes at a rate, alone and then beside strict queries over all shards, and asks for a 2 x 2 test on the quiet cluster.`,
		Example: `  quipu bench cluster --nodes 3`,
		RunE: benchmarked(func(cmd *cobra.Command, cl *client.Client) error {
			r, err := o.Run(cmd.Context(), cl)
			if err != nil {
				return err
			}
			return printCluster(cmd, o, r)
		}, func(n *int) { *n = 64 }),
	}
	f := c.Flags()
	f.DurationVar(&o.Duration, "duration", 0, "how long each part writes (default 10s)")
	f.Float64Var(&o.Rate, "rate", 1e6, "observations a second")
	f.Float64Var(&o.Queries, "queries", 100, "strict queries a second")
	f.Uint64Var(&o.Seed, "seed", 7, "seed of the draws")
	return c
}

func printCluster(cmd *cobra.Command, o bench.Cluster, r bench.ClusterResult) error {
	if asJSON, _ := cmd.Flags().GetBool("json"); asJSON {
		return printJSON(cmd.OutOrStdout(), r)
	}
	writes := func(name string, w bench.IngestResult) string {
		return fmt.Sprintf("%-28s %.0f observations/s, acknowledged p50 %.2f ms   p99 %.2f ms   max %.2f ms   %d refused\n", name, w.PerSecond, w.P50ms, w.P99ms, w.MaxMs, w.Refused)
	}
	_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s%s%-28s p50 %+.2f ms   p99 %+.2f ms\n%-28s %.0f/s, p50 %.2f ms   p99 %.2f ms   (%s)\n%-28s p50 %.2f ms   p99 %.2f ms\n",
		writes("writes alone", r.Alone), writes("writes beside queries", r.Beside), "added by queries", r.Beside.P50ms-r.Alone.P50ms, r.Beside.P99ms-r.Alone.P99ms,
		"strict queries", r.PerSecond, r.Reads.P50ms, r.Reads.P99ms, r.Reads.SQL, "strict 2 x 2 test, quiet", r.TwoByTwo.P50ms, r.TwoByTwo.P99ms)
	return err
}

func benchFailover() *cobra.Command {
	var o bench.Failover
	profile := &failover{new(time.Duration)}
	c := &cobra.Command{
		Use: "failover", Short: "Kill leaders and measure how long requests wait",
		Long: `Starts three nodes as processes, kills the leader of a shard (with --reads: of the meta group) again and again, and measures how long
the first request takes that is made after the kill. The node is started again each time.`,
		Example: `  quipu bench failover --kills 20
  quipu bench failover --reads --failover fast`,
	}
	f := c.Flags()
	f.Var(profile, "failover", "profile of the nodes: default or fast")
	f.IntVar(&o.Kills, "kills", 10, "how often a leader is killed")
	f.BoolVar(&o.Reads, "reads", false, "kill the leader of the meta group under strict reads")
	flags := func() []string { return []string{"--failover", profile.String()} }
	return ofNodes(c, 3, func() error { return o.Check() }, flags, func(ctx context.Context, cl *client.Client, own *children, _ func(string)) (bench.FailoverResult, error) {
		return o.Run(ctx, cl, own)
	}, func(r bench.FailoverResult) string { return failoverText(profile, r) })
}

func failoverText(profile *failover, r bench.FailoverResult) string {
	each := make([]string, len(r.Resumed))
	for i, ms := range r.Resumed {
		each[i] = fmt.Sprintf("%.0f", ms)
	}
	return fmt.Sprintf("%s, profile %s\n%d kills: p50 %.0f ms   p99 %.0f ms   max %.0f ms   %d acknowledged observations lost or doubled\neach: %s ms\n",
		r.What, profile, len(r.Resumed), r.P50ms, r.P99ms, r.MaxMs, r.Lost, strings.Join(each, " "))
}
