package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/quipudb/quipu/client"
	"github.com/quipudb/quipu/cmd/internal/render"
	"github.com/spf13/cobra"
)

// nodeCommand is what operators do with nodes.
func nodeCommand() *cobra.Command {
	c := &cobra.Command{Use: "node", Short: "List, drain and remove the nodes of a cluster"}
	format := formatFlag(c)
	set := func(use, short, state, long string) *cobra.Command {
		return &cobra.Command{Use: use + " NODE", Short: short, Long: long, Args: exactly(1, "the id of a node"),
			RunE: withClient(func(cmd *cobra.Command, cl *client.Client, args []string) error {
				if err := cl.SetNode(cmd.Context(), args[0], state); err != nil {
					return err
				}
				if wait, _ := cmd.Flags().GetBool("wait"); wait {
					if err := until(cmd.Context(), cl, func(m client.ClusterMap) bool { return shardsOn(m, args[0]) == 0 }); err != nil {
						return err
					}
				}
				_, err := fmt.Fprintf(cmd.OutOrStdout(), "node %s is %s\n", args[0], state)
				return err
			})}
	}
	drain := set("drain", "Move a node's replicas and leaderships to others", "draining",
		"Move a node's replicas and leaderships to others, one after the other. `quipu node status` shows how many are left; a node without\nreplicas of shards can be stopped and removed. `quipu node undrain` takes it back. A shard keeps three replicas: the last three\nnodes cannot be drained.")
	drain.Flags().Bool("wait", false, "return when the node has no shard any more")
	c.AddCommand(&cobra.Command{
		Use: "status", Short: "List the nodes, and whether each answers", Args: exactly(0, "no argument"),
		RunE: withClient(func(cmd *cobra.Command, cl *client.Client, _ []string) error {
			m, err := cl.Map(cmd.Context())
			if err != nil {
				return err
			}
			return table(cmd.OutOrStdout(), *format, []string{"node", "state", "reachable", "leads", "replicas", "api", "peer", "version"}, nodeRows(m))
		}),
	},
		drain,
		set("undrain", "Take a drain back", "active", "Take a drain back: the node gets replicas again."),
		set("remove", "Strike a node out of the cluster, for good", "removed",
			"Strike a node out of the cluster, for good: its replicas are made anew on others, and it is refused if it comes back under its id.\nDrain it first if it runs; remove a node at once only if it will never come back."))
	return c
}

// clusterCommand shows the whole.
func clusterCommand() *cobra.Command {
	c := &cobra.Command{Use: "cluster", Short: "Show the nodes of a cluster, and where its groups are"}
	format := formatFlag(c)
	var wait bool
	var nodes int
	status := &cobra.Command{
		Use: "status", Short: "Say what the cluster is, and whether every group is led", Args: exactly(0, "no argument"),
		RunE: withClient(func(cmd *cobra.Command, cl *client.Client, _ []string) error {
			info, err := cl.Server(cmd.Context())
			if err != nil {
				return err
			}
			if wait {
				if err := until(cmd.Context(), cl, func(m client.ClusterMap) bool { return settled(m, nodes) }); err != nil {
					return err
				}
			}
			m, err := cl.Map(cmd.Context())
			if err != nil {
				return err
			}
			return table(cmd.OutOrStdout(), *format, []string{"cluster", "nodes", "reachable", "groups", "without leader", "asked"}, [][]any{clusterRow(info, m)})
		}),
	}
	status.Flags().BoolVar(&wait, "wait", false, "return when every group is led and has its voters: three, or one a node where there are fewer")
	status.Flags().IntVar(&nodes, "nodes", 1, "with --wait: and when at least so many nodes are active and answer")
	c.AddCommand(status, hashCommand(format), &cobra.Command{
		Use: "map", Short: "List the groups with their leaders and replicas", Args: exactly(0, "no argument"),
		RunE: withClient(func(cmd *cobra.Command, cl *client.Client, _ []string) error {
			m, err := cl.Map(cmd.Context())
			if err != nil {
				return err
			}
			var rows [][]any
			for _, g := range m.Groups {
				rows = append(rows, []any{g.Group, g.Leader, int64(g.Term), strings.Join(g.Voters, " "), strings.Join(g.Learners, " ")})
			}
			return table(cmd.OutOrStdout(), *format, []string{"group", "leader", "term", "voters", "learners"}, rows)
		}),
	})
	return c
}

func formatFlag(c *cobra.Command) *string {
	return c.PersistentFlags().String("format", "table", "output: "+strings.Join(render.Formats, ", "))
}

// pollEvery is between two looks at a cluster that is waited for.
const pollEvery = 300 * time.Millisecond

// until looks at the cluster until it is as it should be. An error that may go away by itself is waited out.
func until(ctx context.Context, cl *client.Client, ok func(client.ClusterMap) bool) error {
	for {
		m, err := cl.Map(ctx)
		if err == nil && ok(m) {
			return nil
		}
		if err != nil && !errors.Is(err, &client.Error{Code: "UNAVAILABLE"}) {
			return err
		}
		select {
		case <-time.After(pollEvery):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// settled says that so many nodes are there, and that every group is led and has its voters, on nodes that are there.
func settled(m client.ClusterMap, nodes int) bool {
	active := map[string]bool{}
	for _, n := range m.Nodes {
		if n.State == "active" && n.Reachable {
			active[n.ID] = true
		}
	}
	if len(active) < nodes {
		return false
	}
	for _, g := range m.Groups {
		voters := 0
		for _, id := range g.Voters {
			if active[id] {
				voters++
			}
		}
		if g.Leader == "" || voters < min(3, len(active)) {
			return false
		}
	}
	return len(m.Groups) > 0
}

// shardsOn counts the shards that have a replica on a node.
func shardsOn(m client.ClusterMap, node string) (n int) {
	for _, g := range m.Groups {
		if g.Group != "meta" && slices.Contains(append(g.Voters, g.Learners...), node) {
			n++
		}
	}
	return n
}

func nodeRows(m client.ClusterMap) (rows [][]any) {
	leads, replicas := map[string]int64{}, map[string]int64{}
	for _, g := range m.Groups {
		leads[g.Leader]++
		for _, id := range append(g.Voters, g.Learners...) {
			replicas[id]++
		}
	}
	for _, n := range m.Nodes {
		rows = append(rows, []any{n.ID, n.State, n.Reachable, leads[n.ID], replicas[n.ID], n.APIAddr, n.PeerAddr, n.Version})
	}
	return rows
}

func clusterRow(info client.ServerInfo, m client.ClusterMap) []any {
	reachable, headless := int64(0), int64(0)
	for _, n := range m.Nodes {
		if n.Reachable {
			reachable++
		}
	}
	for _, g := range m.Groups {
		if g.Leader == "" {
			headless++
		}
	}
	return []any{info.ClusterID, int64(len(m.Nodes)), reachable, int64(len(m.Groups)), headless, info.NodeID}
}

// table writes rows in a format of the shell's.
func table(out io.Writer, format string, names []string, rows [][]any) error {
	if err := render.Check(format); err != nil {
		return &usageError{err}
	}
	columns := make([]render.Column, len(names))
	for i, name := range names {
		columns[i].Name = name
	}
	w, err := render.New(out, format, columns)
	if err != nil {
		return err
	}
	for _, r := range rows {
		if err := w.Row(r); err != nil {
			return err
		}
	}
	return w.Close()
}
