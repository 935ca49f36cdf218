package replica

import (
	"time"

	"github.com/hashicorp/raft"

	"github.com/quipudb/quipu/server/errcode"
	"github.com/quipudb/quipu/server/transport"
)

// Member is one replica of a group, as the log says.
type Member struct {
	Node  string
	Voter bool
}

// Members are the group's replicas.
func (r *Replica) Members() []Member {
	servers := r.servers()
	out := make([]Member, len(servers))
	for i, s := range servers {
		out[i] = Member{Node: string(s.ID), Voter: s.Suffrage == raft.Voter}
	}
	return out
}

func (r *Replica) member(node string) (m Member, ok bool) {
	for _, m := range r.Members() {
		if m.Node == node {
			return m, true
		}
	}
	return Member{}, false
}

// changeTimeout bounds the wait for a change of members to get its turn; the change itself ends with the leadership at the latest.
const changeTimeout = 10 * time.Second

// AddLearner makes a node a member that gets the log and does not vote. Its replica must be open there. A member stays what it is.
func (r *Replica) AddLearner(node string) error {
	if _, ok := r.member(node); ok {
		return nil
	}
	return r.change(r.raft.AddNonvoter(raft.ServerID(node), raft.ServerAddress(node), 0, changeTimeout))
}

// Promote gives a learner a vote. A node that is no member is refused: an empty voter could make the group wait.
func (r *Replica) Promote(node string) error {
	m, ok := r.member(node)
	switch {
	case !ok:
		return errcode.New(errcode.Conflict, "node %s is not a member of group %s", node, r.o.Group)
	case m.Voter:
		return nil
	}
	return r.change(r.raft.AddVoter(raft.ServerID(node), raft.ServerAddress(node), 0, changeTimeout))
}

// Demote takes a vote away.
func (r *Replica) Demote(node string) error {
	m, ok := r.member(node)
	if !ok || !m.Voter {
		return nil
	}
	return r.change(r.raft.DemoteVoter(raft.ServerID(node), 0, changeTimeout))
}

// Remove ends a membership. The leader hands over before it can be removed.
func (r *Replica) Remove(node string) error {
	if _, ok := r.member(node); !ok {
		return nil
	}
	if node == r.o.NodeID {
		return errcode.New(errcode.Conflict, "node %s leads group %s and cannot remove itself", node, r.o.Group)
	}
	return r.change(r.raft.RemoveServer(raft.ServerID(node), 0, changeTimeout))
}

func (r *Replica) leads() error {
	_, err := r.Leading()
	return err
}

// change waits for a change of the members. Raft makes one at a time, after the first entry of the term.
func (r *Replica) change(f raft.IndexFuture) error {
	if err := f.Error(); err != nil {
		return outcome(err)
	}
	return nil
}

// Leader is the node that leads the group as far as this replica knows, "" if it knows none.
func (r *Replica) Leader() string {
	_, id := r.raft.LeaderWithID()
	return string(id)
}

// Group is the group that this is a replica of.
func (r *Replica) Group() transport.Group { return r.o.Group }

// Ready says why nobody can be served through this replica, or nil: it leads and has caught up, or it knows who leads.
func (r *Replica) Ready() error {
	if r.raft.State() == raft.Leader {
		return r.leads()
	}
	if r.Leader() == "" {
		return errcode.New(errcode.Unavailable, "group %s has no leader that this node knows of", r.o.Group).After(100 * time.Millisecond)
	}
	return nil
}
