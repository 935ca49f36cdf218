package server

import (
	"runtime/debug"
	"sync"

	"github.com/quipudb/quipu/fsm/meta"
	"github.com/quipudb/quipu/proto/command/v1"
	"github.com/quipudb/quipu/server/replica"
	"github.com/quipudb/quipu/server/rpc"
	"github.com/quipudb/quipu/storage/schema"
)

// Info is the identity of the cluster.
func (n *Node) Info() rpc.Info {
	v := n.view()
	return rpc.Info{ClusterID: n.id.Cluster, Incarnation: v.Incarnation, NodeID: n.id.Node, Version: Version(), SlotMap: v.Slots, SessionTTL: meta.OrdinaryTTL}
}

// Leaders are the nodes that lead the shards, as far as this one knows without asking.
func (n *Node) Leaders() (all []rpc.Leader) {
	for _, id := range n.allShards() {
		if l := n.leads(id); l.Node != "" {
			all = append(all, l)
		}
	}
	return all
}

// Addresses are where the nodes of the cluster serve clients, as far as this one knows.
func (n *Node) Addresses() (all []string) {
	v := n.machine.View()
	for _, r := range v.Nodes() {
		if r.APIAddr != "" && v.NodeState(r.ID) != command.NodeRemoved {
			all = append(all, r.APIAddr)
		}
	}
	return all
}

// Elsewhere is the leader of a shard if that is another node, as far as this one knows.
func (n *Node) Elsewhere(id schema.ShardID) (rpc.Leader, bool) {
	if !n.several.Load() {
		return rpc.Leader{}, false
	}
	l := n.leads(id)
	return l, l.Node != "" && l.Node != n.id.Node
}

// leads is who leads a shard, as far as this node knows, with the address that it is on record with.
func (n *Node) leads(id schema.ShardID) rpc.Leader {
	l := rpc.Leader{Shard: id, Node: n.leaderHint(id)}
	if l.Node == n.id.Node {
		l.APIAddr = n.cfg.Peer.API
	} else if r, ok := n.machine.View().Node(l.Node); ok {
		l.APIAddr = r.APIAddr
	}
	return l
}

// Version is that of the program: the module's, or the commit that it was built from.
func Version() string { return version() }

// version parses the build information once: it is part of every receipt's Info, and took a twentieth of the server.
var version = sync.OnceValue(func() string {
	v := "development"
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	if m := info.Main.Version; m != "" && m != "(devel)" {
		v = m
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 {
			v += " (" + s.Value[:12] + ")"
		}
	}
	return v
})

// Status is the state of the node's groups.
func (n *Node) Status() rpc.Status {
	s := rpc.Status{MemoryBytes: n.memory.Budget(), ResidentBytes: n.memory.Used(), DiskFreeBytes: n.disk.free.Load(), Uptime: n.cfg.Now().Sub(n.began)}
	s.Groups = append(s.Groups, groupStatus(n.meta.Status()))
	for _, sh := range n.held() {
		st := sh.replica.Status()
		s.Cells += int64(st.Storage.Cells)
		s.Groups = append(s.Groups, groupStatus(st))
	}
	return s
}

func groupStatus(s replica.Status) rpc.GroupStatus {
	return rpc.GroupStatus{Group: s.Group, State: s.State, Term: s.Term, LastIndex: s.LastIndex, Commit: s.Commit, Applied: s.Applied, Durable: s.Durable}
}

// importRecord is a record of the meta group as the edges know it.
func (n *Node) importRecord(r *meta.Import) rpc.Import {
	out := rpc.Import{ID: r.ID, Version: r.Version, TableID: r.Table, FileHash: r.FileHash, Mapping: r.Mapping, Chunking: r.Chunking,
		Session: r.Session, ChunksDone: r.ChunksDone, RowsCounted: r.RowsCounted, RowsRejected: r.RowsRejected, Complete: r.Complete}
	if t, ok := n.machine.View().Table(schema.TableID(r.Table)); ok {
		out.Table = t.Name.Table
	}
	return out
}

func importCommand(r rpc.Import) command.Import {
	return command.Import{ID: r.ID, Table: r.TableID, TableName: r.Table, FileHash: r.FileHash, Mapping: r.Mapping, Chunking: r.Chunking, Session: r.Session,
		ChunksDone: r.ChunksDone, RowsCounted: r.RowsCounted, RowsRejected: r.RowsRejected, Complete: r.Complete}
}
