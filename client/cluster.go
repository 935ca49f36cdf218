package client

import (
	"context"

	apiv1 "github.com/quipudb/quipu/proto/api/v1"
)

// ClusterMap is the nodes of a cluster and where the replicas of its Raft groups are.
type ClusterMap struct {
	Nodes  []NodeInfo
	Groups []GroupInfo
}

// NodeInfo is one node.
type NodeInfo struct {
	ID, PeerAddr, APIAddr, Version string
	State                          string // active, draining or removed
	Reachable                      bool   // it answered the node that was asked
}

// GroupInfo is one Raft group: meta, or shard/<number>.
type GroupInfo struct {
	Group    string
	Term     uint64
	Leader   string   // empty if none is known
	Voters   []string // ids of nodes
	Learners []string
}

// Map asks where everything is.
func (c *Client) Map(ctx context.Context) (ClusterMap, error) {
	r, err := c.cluster.Map(c.authorize(ctx), &apiv1.ClusterMapRequest{})
	var out ClusterMap
	for _, n := range r.GetNodes() {
		out.Nodes = append(out.Nodes, NodeInfo{ID: n.NodeId, PeerAddr: n.PeerAddr, APIAddr: n.ApiAddr, Version: n.Version, State: n.State, Reachable: n.Reachable})
	}
	for _, g := range r.GetGroups() {
		info := GroupInfo{Group: g.Group, Term: g.Term, Leader: g.Leader}
		for _, m := range g.Replicas {
			if m.Voter {
				info.Voters = append(info.Voters, m.NodeId)
			} else {
				info.Learners = append(info.Learners, m.NodeId)
			}
		}
		out.Groups = append(out.Groups, info)
	}
	return out, fromStatus(err)
}

// SetNode makes a node active, draining (its replicas go elsewhere) or removed, for good.
func (c *Client) SetNode(ctx context.Context, node, state string) error {
	_, err := c.cluster.SetNode(c.authorize(ctx), &apiv1.SetNodeRequest{Node: node, State: state})
	return fromStatus(err)
}
