package main

import (
	"context"
	"fmt"

	"github.com/quipudb/quipu/client"
	"github.com/quipudb/quipu/cmd/internal/bench"
	"github.com/spf13/cobra"
)

// ofNodes makes a benchmark of nodes that come and go: it starts so many as processes, with flags of serve (nil: none), has f measure and prints what it
// gives, as JSON or as lines. What check has against the settings is said before a node is started.
func ofNodes[T any](c *cobra.Command, nodes int, check func() error, flags func() []string, f func(context.Context, *client.Client, *children, func(string)) (T, error), lines func(T) string) *cobra.Command {
	c.Args = exactly(0, "no argument")
	c.RunE = func(cmd *cobra.Command, _ []string) (err error) {
		if err := check(); err != nil {
			return &usageError{err}
		}
		var more []string
		if flags != nil {
			more = flags()
		}
		own, err := ownNodes(cmd, nodes, more...)
		if err != nil {
			return err
		}
		defer own.stop()
		own.said.ended.Store(true) // that a node misses another one is what is asked for
		cl, err := connect(cmd)
		if err != nil {
			return err
		}
		defer closing(cmd.Context(), cl, &err)
		r, err := f(cmd.Context(), cl, own, func(s string) { fmt.Fprintln(cmd.ErrOrStderr(), s) })
		if err != nil {
			return err
		}
		if asJSON, _ := cmd.Flags().GetBool("json"); asJSON {
			return printJSON(cmd.OutOrStdout(), r)
		}
		_, err = fmt.Fprint(cmd.OutOrStdout(), lines(r))
		return err
	}
	c.Flags().Bool("json", false, "print the result as JSON")
	c.Flags().String("server-data-dir", "", "directory of the nodes (default: a temporary one)")
	c.Flags().String("url", "", "")
	if err := c.Flags().MarkHidden("url"); err != nil { // ownNodes sets it
		panic(err)
	}
	return c
}

func benchCatchup() *cobra.Command {
	var o bench.Catchup
	c := &cobra.Command{
		Use: "catchup", Short: "Measure how long an empty node takes to get the replicas of one that lost its disk",
		Long: `Starts three nodes as processes, counts cells, kills a node, deletes its directory, strikes it out and starts it again with nothing. What is
measured begins with that start and ends when the new node votes in every group.`,
		Example: `  quipu bench catchup
  quipu bench catchup --cells 1000000`,
	}
	c.Flags().IntVar(&o.Cells, "cells", 10_000_000, "distinct cells")
	return ofNodes(c, 3, func() error { return o.Check() }, nil, func(ctx context.Context, cl *client.Client, own *children, say func(string)) (bench.CatchupResult, error) {
		return o.Run(ctx, cl, own, say)
	}, func(r bench.CatchupResult) string {
		return fmt.Sprintf("%d cells, counted in %.1f s\nan empty node: served after %.1f s, first replica of a shard voted after %.1f s, all replicas caught up after %.1f s\n",
			r.Cells, r.Loaded, r.Served, r.First, r.CaughtUp)
	})
}

func benchGrowth() *cobra.Command {
	var o bench.Growth
	c := &cobra.Command{
		Use: "growth", Short: "Measure how long replicas and leaders take to spread over new nodes, under load",
		Long: `Starts three nodes as processes, counts and reads, starts more nodes, and waits until no node has two replicas of shards more than another
one, and none leads two groups more than one that could lead one of them. Then it compares every cell with its books.`,
		Example: `  quipu bench growth
  quipu bench growth --more 1 --rate 1000000`,
	}
	f := c.Flags()
	f.IntVar(&o.Nodes, "more", 3, "nodes that join")
	f.IntVar(&o.Cells, "cells", 20_000, "distinct cells")
	f.Float64Var(&o.Rate, "rate", 100_000, "observations a second that are counted meanwhile")
	f.Uint64Var(&o.Seed, "seed", 7, "seed of the draws")
	return ofNodes(c, 3, func() error { return o.Check() }, nil, func(ctx context.Context, cl *client.Client, own *children, say func(string)) (bench.GrowthResult, error) {
		return o.Run(ctx, cl, own, say)
	}, func(r bench.GrowthResult) string {
		return fmt.Sprintf("replicas spread after %.1f s, leaders after %.1f s\n%d observations counted, %d cells differ from the books\n%d strict reads of all shards, %d failed, the slowest took %.0f ms\n",
			r.Replicas, r.Spread, r.Counted, r.Wrong, r.Reads, r.Failed, r.WorstMs)
	})
}

func benchOutage() *cobra.Command {
	var o bench.Outage
	c := &cobra.Command{
		Use: "outage", Short: "Measure strict reads of the other shards while one has no quorum",
		Long: `Starts five nodes as processes and asks for what lies on one shard and on two. Two nodes are killed that one other shard cannot do without,
the same is asked again, and they come back: so many pairs of slices. Somebody goes on to ask for what lies on all shards.`,
		Example: `  quipu bench outage
  quipu bench outage --pairs 7 --slice 3s`,
	}
	f := c.Flags()
	f.IntVar(&o.Pairs, "pairs", 5, "pairs of slices, one with all shards and one without")
	f.DurationVar(&o.Slice, "slice", 0, "how long each kind of read is measured (default 2s)")
	f.IntVar(&o.Readers, "readers", 8, "readers that ask one after the other")
	f.Float64Var(&o.Needing, "needing", 10, "strict reads a second of all shards meanwhile")
	return ofNodes(c, 5, func() error { return o.Check() }, nil, func(ctx context.Context, cl *client.Client, own *children, say func(string)) (bench.OutageResult, error) {
		return o.Run(ctx, cl, own, say)
	}, func(r bench.OutageResult) string {
		return fmt.Sprintf("strict reads that do not need the lost shard, median of %d pairs: %.1f %% of their rate for one shard, %.1f %% for two\n",
			len(r.Whole), 100*r.One, 100*r.Two)
	})
}
