package command

import "fmt"

// NodeState is what an operator wants of a node.
type NodeState byte

// States of a node. A removed one never comes back under its id.
const (
	NodeActive   NodeState = 0
	NodeDraining NodeState = 1
	NodeRemoved  NodeState = 2
)

// String is the state as people write it.
func (s NodeState) String() string {
	switch s {
	case NodeActive:
		return "active"
	case NodeDraining:
		return "draining"
	case NodeRemoved:
		return "removed"
	}
	return fmt.Sprintf("node state(%d)", byte(s))
}

// SetNodeState changes what is wanted of a node.
type SetNodeState struct {
	Timed
	ID    string
	State NodeState
}

func (*SetNodeState) Kind() Kind          { return KindSetNodeState }
func (c *SetNodeState) encode(e *encoder) { e.str(c.ID); e.byte(byte(c.State)) }

func (c *SetNodeState) decode(d *decoder) {
	c.ID, c.State = d.str(), NodeState(d.byte())
	if c.State > NodeRemoved {
		d.fail(errRange)
	}
}

// Replica is one member of a Raft group.
type Replica struct {
	Node  string
	Voter bool
}

// SetReplicas records where the members of a group are, as its leader says: for who looks for them from outside the group. Raft's own
// configuration, in the group's log, is what counts.
type SetReplicas struct {
	Timed
	Group    uint32 // 0 is the meta group, n + 1 is shard n
	Replicas []Replica
}

func (*SetReplicas) Kind() Kind { return KindSetReplicas }

func (c *SetReplicas) encode(e *encoder) {
	e.uint(uint64(c.Group))
	e.uint(uint64(len(c.Replicas)))
	for _, r := range c.Replicas {
		e.str(r.Node)
		e.flag(r.Voter)
	}
}

func (c *SetReplicas) decode(d *decoder) {
	c.Group = d.uint32()
	c.Replicas = make([]Replica, d.count(2))
	for i := range c.Replicas {
		c.Replicas[i] = Replica{Node: d.str(), Voter: d.flag()}
	}
}
