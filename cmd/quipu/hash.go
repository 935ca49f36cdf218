package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/quipudb/quipu/client"
	"github.com/spf13/cobra"
)

// hashCommand compares the states of replicas.
func hashCommand(format *string) *cobra.Command {
	var patience time.Duration
	c := &cobra.Command{
		Use: "hash", Short: "Compare the state of all replicas of each group at one log index", Args: exactly(0, "no argument"),
		Long: `Ask every node for a digest of each of its replicas, and compare those of one group at one log index. While a group is written to, its
replicas are seldom asked at one index: the question is put again until they were, or until --patience is over, and then the column equal says
"not compared". Replicas that differ are an error: one of them is damaged. The nodes are asked at their client addresses, with the login given.`,
		RunE: withClient(func(cmd *cobra.Command, cl *client.Client, _ []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), patience)
			defer cancel()
			nodes := &nodeClients{cmd: cmd, open: map[string]*client.Client{}}
			defer nodes.close(context.WithoutCancel(ctx))
			s := samples{}
			m, err := s.gather(ctx, cl.Map, nodes.hash)
			if err != nil {
				return err
			}
			rows, differ := s.rows(m)
			if err := table(cmd.OutOrStdout(), *format, []string{"group", "replicas", "index", "equal", "sha256"}, rows); err != nil {
				return err
			}
			return differ
		}),
	}
	c.Flags().DurationVar(&patience, "patience", 10*time.Second, "how long to look for an index that all replicas of a group were asked at")
	return c
}

// withoutRemoved is m without nodes that were removed: such a one may not run any more, and be a member of a group for a moment yet.
func withoutRemoved(m client.ClusterMap) client.ClusterMap {
	gone := map[string]bool{}
	for _, info := range m.Nodes {
		gone[info.ID] = info.State == "removed"
	}
	left := func(nodes []string) []string {
		return slices.DeleteFunc(slices.Clone(nodes), func(id string) bool { return gone[id] })
	}
	m.Nodes = slices.DeleteFunc(slices.Clone(m.Nodes), func(info client.NodeInfo) bool { return gone[info.ID] })
	m.Groups = slices.Clone(m.Groups)
	for i, g := range m.Groups {
		m.Groups[i].Voters, m.Groups[i].Learners = left(g.Voters), left(g.Learners)
	}
	return m
}

// samples are the digests of each group, by log index and node.
type samples map[string]map[uint64]map[string][32]byte

// gather asks all nodes again and again until every group can be judged, or ctx ends, and gives the map to judge by. Who is a member is looked up
// each time: a replica may be on its way from one node to another. A node that does not answer at all is an error.
func (s samples) gather(ctx context.Context, look func(context.Context) (client.ClusterMap, error),
	hash func(context.Context, client.NodeInfo) (string, []client.ReplicaHash, error)) (m client.ClusterMap, err error) {
	for first := true; ; first = false {
		switch now, err := look(ctx); {
		case err == nil:
			m = withoutRemoved(now)
		case first:
			return m, err
		}
		for _, info := range m.Nodes {
			node, replicas, err := hash(ctx, info)
			if err != nil && (first || ctx.Err() == nil) {
				return m, err
			}
			s.add(node, replicas)
		}
		if !slices.ContainsFunc(m.Groups, func(g client.GroupInfo) bool { at, _ := s.common(g); return at == 0 }) {
			return m, nil
		}
		select {
		case <-time.After(pollEvery):
		case <-ctx.Done():
			return m, nil
		}
	}
}

// nodeClients are clients of single nodes, opened when they are needed.
type nodeClients struct {
	cmd  *cobra.Command
	open map[string]*client.Client // by node
}

func (n *nodeClients) hash(ctx context.Context, info client.NodeInfo) (string, []client.ReplicaHash, error) {
	if n.open[info.ID] == nil {
		credentials, err := credentialsOf(n.cmd)
		if err != nil {
			return "", nil, err
		}
		c, err := client.Open(ctx, info.APIAddr, credentials...)
		if err != nil {
			return "", nil, fmt.Errorf("node %s at %s cannot be asked: %w", info.ID, info.APIAddr, err)
		}
		n.open[info.ID] = c
	}
	return n.open[info.ID].Hash(ctx)
}

func (n *nodeClients) close(ctx context.Context) {
	for _, c := range n.open {
		c.Close(ctx) //nolint: it has counted nothing
	}
}

func (s samples) add(node string, replicas []client.ReplicaHash) {
	for _, r := range replicas {
		if s[r.Group] == nil {
			s[r.Group] = map[uint64]map[string][32]byte{}
		}
		if s[r.Group][r.Index] == nil {
			s[r.Group][r.Index] = map[string][32]byte{}
		}
		s[r.Group][r.Index][node] = r.SHA256
	}
}

// common is the greatest index at which all replicas of a group were asked, or 0, and whether some of them differ, there or anywhere.
func (s samples) common(g client.GroupInfo) (at uint64, differ bool) {
	members := append(slices.Clone(g.Voters), g.Learners...)
	for index, of := range s[g.Group] { // any order: the greatest
		var first [32]byte
		have := 0
		for _, node := range members {
			sum, ok := of[node]
			switch {
			case !ok:
				continue
			case have == 0:
				first = sum
			case sum != first:
				differ = true
			}
			have++
		}
		if have == len(members) {
			at = max(at, index)
		}
	}
	return at, differ
}

// rows has a line for each group, and the error if replicas differ.
func (s samples) rows(m client.ClusterMap) (rows [][]any, err error) {
	for _, g := range m.Groups {
		at, differ := s.common(g)
		row := []any{g.Group, int64(len(g.Voters) + len(g.Learners)), int64(at), "yes", ""}
		if of := s[g.Group][at]; len(g.Voters) > 0 && of != nil { // all the same, unless they differ
			row[4] = fmt.Sprintf("%x", of[g.Voters[0]])
		}
		switch {
		case differ:
			row[3], row[4] = "NO", ""
			err = errors.Join(err, fmt.Errorf("replicas of %s differ at one log index: one of them is damaged; keep the directories of all nodes before you do anything", g.Group))
		case at == 0:
			row[2], row[3] = nil, "not compared"
		}
		rows = append(rows, row)
	}
	return rows, err
}
