package server

import (
	"context"

	"github.com/quipudb/quipu/proto/command/v1"
	peerv1 "github.com/quipudb/quipu/proto/peer/v1"
	"github.com/quipudb/quipu/server/errcode"
	"github.com/quipudb/quipu/server/membership"
	"github.com/quipudb/quipu/server/placement"
	"github.com/quipudb/quipu/server/replica"
	"github.com/quipudb/quipu/server/transport"
	"github.com/quipudb/quipu/storage/schema"
)

// memberService is what the other nodes of the cluster ask of this one.
type memberService struct {
	peerv1.UnimplementedMembershipServer
	n *Node
}

// Confirm gives this node's term of each group. A replica that is not open yet has no word: it is not in the node's list.
func (s memberService) Confirm(_ context.Context, r *peerv1.ConfirmRequest) (*peerv1.ConfirmResponse, error) {
	out := &peerv1.ConfirmResponse{ClockMs: s.n.cfg.Now().UnixMilli()}
	for _, g := range r.Groups {
		t := &peerv1.GroupTerm{}
		if m := s.n.replica(transport.Group(g)); m != nil {
			t.Member, t.Term, t.Leader = true, m.Vote().Term, m.Leader()
			if r.Last {
				last, err := m.Last()
				if err != nil {
					return nil, err
				}
				t.LastIndex, t.LastTerm = last.Index, last.Term
			}
		}
		out.Terms = append(out.Terms, t)
	}
	return out, nil
}

// Report is what the controller plans on. What it reports is written down before: a replica that may be made a voter must not be empty.
func (s memberService) Report(context.Context, *peerv1.ReportRequest) (*peerv1.ReportResponse, error) {
	return s.n.report()
}

func (n *Node) report() (*peerv1.ReportResponse, error) {
	if err := n.alive(); err != nil {
		return nil, err
	}
	if err := n.settle(); err != nil {
		return nil, err
	}
	out := &peerv1.ReportResponse{Version: Version(), DiskFreeBytes: n.disk.free.Load(), ResidentBytes: n.memory.Used(), MemoryBytes: n.memory.Budget(),
		UptimeMs: n.cfg.Now().Sub(n.began).Milliseconds(), Ready: n.Ready() == nil}
	for _, r := range n.replicas() {
		g, cells := groupReport(r)
		out.Cells += cells
		if s := n.local(schema.ShardID(g.Group - 1)); s != nil {
			g.Stuck = s.stuck.Load()
		}
		out.Groups = append(out.Groups, g)
	}
	return out, nil
}

// groupReport is a replica, and the cells that it has.
func groupReport(r *replica.Replica) (*peerv1.GroupReport, int64) {
	st := r.Status()
	g := &peerv1.GroupReport{Group: uint32(r.Group()), Term: st.Term, LastIndex: st.LastIndex, CommitIndex: st.Commit, AppliedIndex: st.Applied,
		Leads: st.Led > 0, LedMs: st.Led.Milliseconds(), Leader: st.Leader,
		DurableIndex: st.Durable, State: st.State}
	if g.Leads { // the others' word is not asked, and of the meta group every node would list all
		for _, m := range st.Members {
			g.Members = append(g.Members, &peerv1.MemberInfo{Node: m.Node, Voter: m.Voter})
		}
	}
	return g, int64(st.Storage.Cells)
}

// Open makes an empty replica here.
func (s memberService) Open(_ context.Context, r *peerv1.MemberRequest) (*peerv1.MemberResponse, error) {
	return &peerv1.MemberResponse{}, s.n.openMember(transport.Group(r.Group))
}

// Close ends and deletes a replica here.
func (s memberService) Close(_ context.Context, r *peerv1.MemberRequest) (*peerv1.MemberResponse, error) {
	return &peerv1.MemberResponse{}, s.n.closeMember(transport.Group(r.Group))
}

// Change carries out one step of a group that is led here.
func (s memberService) Change(ctx context.Context, r *peerv1.ChangeRequest) (*peerv1.ChangeResponse, error) {
	return &peerv1.ChangeResponse{}, s.n.changeHere(ctx, placement.Action{Kind: placement.Kind(r.Kind), Group: r.Group, Node: r.Node})
}

// change has the leader of a group carry out one step.
func (n *Node) change(ctx context.Context, a placement.Action) error {
	_, err := atLeader(ctx, n, transport.Group(a.Group), func() (struct{}, error) { return struct{}{}, n.changeHere(ctx, a) },
		func(node string) (struct{}, error) { return struct{}{}, n.peers.Change(ctx, node, a) })
	return err
}

// changeHere carries out one step of a group that is led here. A learner's replica is opened before the group knows it.
func (n *Node) changeHere(ctx context.Context, a placement.Action) error {
	g := transport.Group(a.Group)
	r := n.replica(g)
	if r == nil {
		return errcode.New(errcode.NotLeader, "node %s has no replica of group %s", n.id.Node, g)
	}
	if _, err := r.Leading(); err != nil {
		return err
	}
	switch a.Kind {
	case placement.AddLearner:
		if err := n.peers.Open(ctx, a.Node, g); err != nil {
			return err
		}
		return r.AddLearner(a.Node)
	case placement.Promote:
		return r.Promote(a.Node)
	case placement.Demote:
		return r.Demote(a.Node)
	case placement.Remove:
		return r.Remove(a.Node)
	case placement.Transfer:
		return r.Transfer(a.Node)
	}
	return errcode.New(errcode.NotSupported, "step %d is not known to this release", a.Kind)
}

// ReadMeta gives a read index of the meta group, if this node leads it.
func (s memberService) ReadMeta(ctx context.Context, _ *peerv1.ReadMetaRequest) (*peerv1.ReadMetaResponse, error) {
	if err := s.leadsMeta(); err != nil {
		return nil, err
	}
	index, err := s.n.readMeta(ctx)
	return &peerv1.ReadMetaResponse{Index: index}, err
}

// ProposeMeta proposes to the meta group, if this node leads it.
func (s memberService) ProposeMeta(ctx context.Context, r *peerv1.ProposeMetaRequest) (*peerv1.ProposeMetaResponse, error) {
	if err := s.leadsMeta(); err != nil {
		return nil, err
	}
	c, err := command.Decode(r.Command)
	if err != nil {
		return nil, errcode.New(errcode.NotSupported, "this node cannot read the command: %w", err)
	}
	result, err := s.n.proposeMeta(ctx, c)
	if err != nil {
		return nil, err
	}
	return membership.EncodeResult(result)
}

// leadsMeta refuses what only the meta leader can do, so that whoever asks looks for it again: a leader that has not caught up has taken
// nothing either.
func (s memberService) leadsMeta() error {
	if _, err := s.n.meta.Leading(); err != nil {
		return errcode.New(errcode.NotLeader, "node %s does not lead the meta group: %w", s.n.id.Node, err)
	}
	return nil
}

// Heartbeat takes in how a node does, if this one leads the meta group.
func (s memberService) Heartbeat(_ context.Context, m *peerv1.HeartbeatRequest) (*peerv1.HeartbeatResponse, error) {
	return s.n.hear(m)
}

// Follow makes a shard apply the catalog of a revision, if this node leads it.
func (s memberService) Follow(ctx context.Context, r *peerv1.FollowRequest) (*peerv1.FollowResponse, error) {
	return &peerv1.FollowResponse{}, s.n.followHere(ctx, schema.ShardID(r.Shard), r.Revision)
}
