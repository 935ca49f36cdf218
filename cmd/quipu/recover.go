package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/quipudb/quipu/cmd/internal/render"
	"github.com/quipudb/quipu/server"
	"github.com/spf13/cobra"
)

// recoverCommand is the last resort: groups that go on without the majority of their voters.
func recoverCommand() *cobra.Command {
	var dir string
	var groups []string
	var yes bool
	c := &cobra.Command{
		Use:   "recover --data-dir DIR [--group GROUP]... [--yes]",
		Short: "Make a group that has lost its majority go on with what one stopped node has of it",
		Long: `Without --group, list what the data directory of a stopped node has of each group. Do that at every node that is left. Of each group the newest
replica is the one whose last entry has the greatest term, and of those the greatest index; equal ones are equally good.

With --group (meta, shard/0, …, or all), make this node the only voter of the group: it leads it when it is started, and gives it to other
nodes as they join. Recover each group at one node only, the one with the newest replica, and meta first. The command cannot see the other
nodes: after a mistake one of them stops when it is started, and says what to do.

It is for a majority of disks that are gone for good. What the group acknowledged and this replica does not have is lost: writes of the last
moment before the failure, or more if this node was cut off or lagged then. A node that is left out of a recovery must never be started
with the directory that it had, or two clusters go on side by side; remove its id and let it join with an empty one.

Nothing is changed without --yes.`,
		Example: `  quipu recover --data-dir ./n3
  quipu recover --data-dir ./n3 --group meta --group shard/0 --yes`,
		Args: exactly(0, "no argument"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			node, left, err := server.Remnants(dir)
			if err != nil {
				return err
			}
			if slices.Contains(groups, "all") {
				groups = nil
				for _, r := range left {
					groups = append(groups, r.Group)
				}
			}
			out := cmd.OutOrStdout()
			format, _ := cmd.Flags().GetString("format")
			if len(groups) == 0 {
				return table(out, format, []string{"group", "last_term", "last_index", "durable", "voters", "learners"}, remnantRows(left))
			}
			fmt.Fprintf(out, "node %s becomes the only voter of %s.\n", node, strings.Join(groups, ", "))
			for _, r := range left {
				if slices.Contains(groups, r.Group) {
					fmt.Fprintf(out, "%s: what was acknowledged after entry %d of term %d is lost. It had the voters %s.\n", r.Group, r.LastIndex, r.LastTerm, strings.Join(r.Voters, ", "))
				}
			}
			if !yes {
				return &usageError{fmt.Errorf("nothing was changed: say --yes if none of the other nodes left has more of these groups (quipu recover lists it), and if those that are gone never come back")}
			}
			if err := server.Recover(dir, groups); err != nil {
				return err
			}
			_, err = fmt.Fprintf(out, "recovered. Start the node, remove the nodes that are gone (quipu node remove), and let others join.\n")
			return err
		},
	}
	f := c.Flags()
	f.StringVar(&dir, "data-dir", "", "directory of the node, which must not run (required)")
	f.StringSliceVar(&groups, "group", nil, "group to recover: meta, shard/0, …, or all")
	f.BoolVar(&yes, "yes", false, "do it")
	f.String("format", "table", "output: "+strings.Join(render.Formats, ", "))
	c.MarkFlagRequired("data-dir")
	return c
}

func remnantRows(left []server.Remnant) (rows [][]any) {
	slices.SortStableFunc(left, func(a, b server.Remnant) int { return cmp.Compare(len(a.Group), len(b.Group)) }) // meta, shard/0, …, shard/10
	for _, r := range left {
		rows = append(rows, []any{r.Group, int64(r.LastTerm), int64(r.LastIndex), int64(r.Durable), strings.Join(r.Voters, " "), strings.Join(r.Learners, " ")})
	}
	return rows
}
