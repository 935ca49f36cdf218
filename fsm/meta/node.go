package meta

import (
	"slices"

	"github.com/quipudb/quipu/fsm"
	"github.com/quipudb/quipu/proto/command/v1"
	"github.com/quipudb/quipu/storage"
)

// putNode makes the record of a node or brings it up to date: addresses change. A node that was removed does not come back under its id,
// or its old vote could meet a group that has gone on without it.
func (m *Machine) putNode(tx *storage.Tx, c *command.PutNode, r *Result) *Result {
	if err := validName(c.Node.ID); err != nil {
		return r.refuse(fsm.InvalidOption, "node: %v", err)
	}
	if m.next.states[c.Node.ID] == command.NodeRemoved {
		return r.refuse(fsm.Conflict, "node %s was removed from the cluster; start it with an empty data directory, and it joins under a new id", c.Node.ID)
	}
	if m.next.nodes[c.Node.ID] == nil && len(m.next.nodes) >= NodesMax {
		return r.refuse(fsm.Quota, "there are records of %d nodes, which is the limit", NodesMax)
	}
	m.next.nodes = with(m.next.nodes, c.Node.ID, &c.Node)
	putNode(tx, &c.Node)
	m.changed(Change{Revision: r.Index, Kind: NodeSet, Name: c.Node.ID})
	return r
}

func (m *Machine) setNodeState(tx *storage.Tx, c *command.SetNodeState, r *Result) *Result {
	old := m.next.states[c.ID]
	switch {
	case m.next.nodes[c.ID] == nil:
		return r.refuse(fsm.NotFound, "there is no node %q", c.ID)
	case old == c.State:
		return r
	case old == command.NodeRemoved:
		return r.refuse(fsm.Conflict, "node %s was removed, which is for good", c.ID)
	}
	m.next.states = with(m.next.states, c.ID, c.State)
	putNodeState(tx, c)
	m.changed(Change{Revision: r.Index, Kind: NodeSet, Name: c.ID})
	return r
}

func (m *Machine) setReplicas(tx *storage.Tx, c *command.SetReplicas, r *Result) *Result {
	old, known := m.next.replicas[c.Group]
	switch {
	case len(c.Replicas) > ReplicasMax:
		return r.refuse(fsm.InvalidOption, "a group has at most %d replicas, not %d", ReplicasMax, len(c.Replicas))
	case !known && len(m.next.replicas) >= GroupsMax:
		return r.refuse(fsm.Quota, "the replicas of %d groups are on record, which is the limit", GroupsMax)
	case known && slices.Equal(old, c.Replicas):
		return r
	}
	m.next.replicas = with(m.next.replicas, c.Group, c.Replicas)
	putReplicas(tx, c)
	m.changed(Change{Revision: r.Index, Kind: ReplicasSet})
	return r
}
