package rpc

import (
	"context"

	apiv1 "github.com/quipudb/quipu/proto/api/v1"
	"github.com/quipudb/quipu/server/router"
	"github.com/quipudb/quipu/storage/schema"
)

type clusterService struct {
	apiv1.UnimplementedClusterServer
	*Server
}

func (s *clusterService) Info(context.Context, *apiv1.ClusterInfoRequest) (*apiv1.ClusterInfo, error) {
	info := s.backend.Info()
	m := &apiv1.ClusterInfo{
		ClusterId: info.ClusterID, Incarnation: info.Incarnation, NodeId: info.NodeID, Version: info.Version,
		ShardMap:        shardMapMessage(info.SlotMap),
		MessageBytesMax: int64(s.opts.MessageBytesMax), BatchRowsMax: router.RowsMax, ApiAddrs: s.backend.Addresses(),
	}
	for _, l := range s.backend.Leaders() {
		m.Leaders = append(m.Leaders, leaderMessage(l))
	}
	return m, nil
}

func leaderMessage(l Leader) *apiv1.ShardLeader {
	return &apiv1.ShardLeader{Shard: uint32(l.Shard), NodeId: l.Node, ApiAddr: l.APIAddr}
}

func (s *clusterService) Status(context.Context, *apiv1.ClusterStatusRequest) (*apiv1.ClusterStatus, error) {
	status := s.backend.Status()
	m := &apiv1.ClusterStatus{
		NodeId: s.backend.Info().NodeID, Ready: true,
		Cells: status.Cells, ResidentBytes: status.ResidentBytes, MemoryBytes: status.MemoryBytes,
		DiskFreeBytes: status.DiskFreeBytes, UptimeMs: status.Uptime.Milliseconds(),
	}
	if err := s.backend.Ready(); err != nil {
		m.Ready, m.Reason = false, err.Error()
	}
	for _, g := range status.Groups {
		m.Groups = append(m.Groups, &apiv1.GroupStatus{
			Group: g.Group, State: g.State, Term: g.Term, LastIndex: g.LastIndex,
			CommitIndex: g.Commit, AppliedIndex: g.Applied, DurableIndex: g.Durable,
		})
	}
	return m, nil
}

// Map is the nodes and the replicas.
func (s *clusterService) Map(ctx context.Context, _ *apiv1.ClusterMapRequest) (*apiv1.ClusterMap, error) {
	m, err := s.backend.Map(ctx)
	if err != nil {
		return nil, err
	}
	out := &apiv1.ClusterMap{Revision: m.Revision}
	for _, n := range m.Nodes {
		out.Nodes = append(out.Nodes, &apiv1.ClusterNode{NodeId: n.ID, PeerAddr: n.PeerAddr, ApiAddr: n.APIAddr, Version: n.Version, State: n.State, Reachable: n.Reachable})
	}
	for _, g := range m.Groups {
		group := &apiv1.GroupMap{Group: g.Group, Term: g.Term, Leader: g.Leader}
		for _, r := range g.Replicas {
			group.Replicas = append(group.Replicas, &apiv1.Replica{NodeId: r.Node, Voter: r.Voter})
		}
		out.Groups = append(out.Groups, group)
	}
	return out, nil
}

// SetNode makes a node active, draining or removed.
func (s *clusterService) SetNode(ctx context.Context, m *apiv1.SetNodeRequest) (*apiv1.SetNodeResponse, error) {
	return &apiv1.SetNodeResponse{}, s.backend.SetNodeState(ctx, m.Node, m.State)
}

// shardMapMessage writes runs of slots with one owner as ranges. Nil if there is no map yet.
func shardMapMessage(m *schema.SlotMap) *apiv1.ShardMap {
	if m == nil {
		return nil
	}
	out := &apiv1.ShardMap{Version: m.Version}
	for first := 0; first < schema.Slots; {
		last := first
		for last+1 < schema.Slots && m.Owner[last+1] == m.Owner[first] {
			last++
		}
		out.Ranges = append(out.Ranges, &apiv1.SlotRange{First: uint32(first), Last: uint32(last), Shard: uint32(m.Owner[first])})
		first = last + 1
	}
	return out
}
