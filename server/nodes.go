package server

import (
	"context"
	"sync"

	"github.com/quipudb/quipu/proto/command/v1"
	"github.com/quipudb/quipu/server/errcode"
	"github.com/quipudb/quipu/server/rpc"
	"github.com/quipudb/quipu/server/transport"
)

// Map is the nodes of the cluster and where the replicas of each group are, read linearizably. Each node is asked whether it is there.
func (n *Node) Map(ctx context.Context) (rpc.ClusterMap, error) {
	if err := n.Refresh(ctx); err != nil {
		return rpc.ClusterMap{}, err
	}
	v := n.machine.View()
	out := rpc.ClusterMap{Revision: v.Revision}
	for _, r := range v.Nodes() {
		out.Nodes = append(out.Nodes, rpc.ClusterNode{ID: r.ID, PeerAddr: r.PeerAddr, APIAddr: r.APIAddr, Version: r.Version, State: v.NodeState(r.ID).String()})
	}
	if len(out.Nodes) == 0 { // a node without peers has no record
		r := n.record()
		out.Nodes = []rpc.ClusterNode{{ID: r.ID, PeerAddr: r.PeerAddr, APIAddr: r.APIAddr, Version: r.Version, State: command.NodeActive.String()}}
	}
	terms := n.askTerms(ctx, out.Nodes)
	for i := range out.Nodes {
		out.Nodes[i].Reachable = terms[i] != nil
	}
	for i := range n.id.Shards + 1 {
		out.Groups = append(out.Groups, n.groupMap(transport.Group(i), out.Nodes, terms))
	}
	return out, nil
}

// askTerms asks every node of the cluster for its terms of all groups. Nil stands for a node that does not answer within an election's time.
func (n *Node) askTerms(ctx context.Context, nodes []rpc.ClusterNode) []map[transport.Group]groupTerm {
	ctx, cancel := context.WithTimeout(ctx, n.cfg.Peer.Timeout)
	defer cancel()
	out := make([]map[transport.Group]groupTerm, len(nodes))
	var wg sync.WaitGroup
	for i, node := range nodes {
		if node.State != command.NodeRemoved.String() { // nobody may answer there any more, or another node
			wg.Go(func() { out[i] = n.termsOf(ctx, node.ID) })
		}
	}
	wg.Wait()
	return out
}

// groupTerm is what a node knows of a group.
type groupTerm struct {
	member bool
	term   uint64
	leader string
}

func (n *Node) termsOf(ctx context.Context, node string) map[transport.Group]groupTerm {
	groups := make([]transport.Group, n.id.Shards+1)
	for i := range groups {
		groups[i] = transport.Group(i)
	}
	terms, err := n.peers.Terms(ctx, node, groups)
	if err != nil {
		return nil
	}
	out := map[transport.Group]groupTerm{}
	for i, t := range terms {
		out[groups[i]] = groupTerm{t.Member, t.Term, t.Leader}
	}
	return out
}

// groupMap puts together what the nodes say of a group. Its leader is the one that the latest term knows.
func (n *Node) groupMap(g transport.Group, nodes []rpc.ClusterNode, terms []map[transport.Group]groupTerm) rpc.GroupMap {
	out := rpc.GroupMap{Group: g.String()}
	for i := range nodes {
		if t := terms[i][g]; t.member && t.leader != "" && t.term >= out.Term {
			out.Term, out.Leader = t.term, t.leader
		}
	}
	for _, m := range n.machine.View().Replicas(uint32(g)) {
		out.Replicas = append(out.Replicas, rpc.Replica{Node: m.Node, Voter: m.Voter})
	}
	if len(out.Replicas) == 0 { // nothing on record: a cluster of one
		out.Replicas = []rpc.Replica{{Node: n.id.Node, Voter: true}}
	}
	return out
}

// nodeStates are the states by the names that operators use.
var nodeStates = map[string]command.NodeState{
	command.NodeActive.String(): command.NodeActive, command.NodeDraining.String(): command.NodeDraining, command.NodeRemoved.String(): command.NodeRemoved,
}

// SetNodeState says what is wanted of a node: active, draining (its replicas and leaderships go elsewhere), or removed, for good.
func (n *Node) SetNodeState(ctx context.Context, node, state string) error {
	s, ok := nodeStates[state]
	if !ok {
		return errcode.New(errcode.InvalidOption, "a node is active, draining or removed, not %q", state)
	}
	_, err := n.metaCommand(ctx, &command.SetNodeState{ID: node, State: s})
	return err
}
