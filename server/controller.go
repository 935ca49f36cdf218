package server

import (
	"context"
	"sync"
	"time"

	"github.com/quipudb/quipu/proto/command/v1"
	peerv1 "github.com/quipudb/quipu/proto/peer/v1"
	"github.com/quipudb/quipu/server/placement"
	"github.com/quipudb/quipu/server/transport"
)

// controller keeps replicas and leaders where they should be. Every node has one; that of the meta leader acts. What it knows lives with
// its leadership: a new one has heard from nobody yet, and so moves nothing until nodes have been steady under its own eyes.
type controller struct {
	n      *Node
	nodes  map[string]*heard
	strays map[replicaKey]time.Time // replicas of groups that do not have them as members, and since when; they are deleted after strayLooks
	failed map[replicaKey]time.Time // on which an action failed
}

// heard is when a node was last heard from.
type heard struct {
	first  time.Time // without a gap since
	last   time.Time // zero: never
	report *peerv1.ReportResponse
}

type replicaKey struct {
	node  string
	group uint32
}

const (
	strayLooks = 3 // times of a look that a replica is a stray for before it is deleted
	soon       = 4 // a look comes so many times sooner when the last one has changed something
	failedFor  = 30 * time.Second
	lagMax     = 1_000 // entries that a replica may be behind and count as caught up
)

// control runs while the node does. A look that has changed something is followed by the next one soon: a move is a row of steps, each of which
// waits for what the last one has brought about.
func (n *Node) control(ctx context.Context) {
	c := &controller{n: n}
	for {
		began, next := time.Now(), n.cfg.Peer.Every
		if _, err := n.meta.Leading(); err != nil {
			c.nodes = nil
		} else if c.look(ctx) {
			next /= soon
		}
		if pause(ctx, next-time.Since(began)) != nil {
			return
		}
	}
}

// look asks every node, plans, and takes one step for each group that needs one. It says whether all steps that it took have succeeded, one at
// least.
func (c *controller) look(ctx context.Context) (changed bool) {
	v := c.n.machine.View()
	nodes := v.Nodes()
	if c.nodes == nil {
		c.nodes, c.strays, c.failed = map[string]*heard{}, map[replicaKey]time.Time{}, map[replicaKey]time.Time{}
	}
	if len(nodes) < 2 {
		return false
	}
	c.ask(ctx, nodes)
	state := c.state()
	c.record(ctx, state)
	c.unstick(ctx, state)
	plan := placement.Plan(state, c.n.cfg.Peer.Placement)
	changed = len(plan) > 0
	for _, a := range plan {
		if a.Kind == placement.Remove && a.Group == uint32(transport.Meta) && v.NodeState(a.Node) == command.NodeDraining {
			a.Kind = placement.Demote
		}
		c.n.cfg.Logger.Info("placement", "group", transport.Group(a.Group).String(), "action", a.Kind.String(), "node", a.Node, "why", a.Why)
		if err := c.n.change(ctx, a); err != nil && ctx.Err() == nil {
			changed = false
			c.failed[replicaKey{a.Node, a.Group}] = time.Now()
			c.n.cfg.Logger.Warn("placement failed", "group", transport.Group(a.Group).String(), "action", a.Kind.String(), "node", a.Node, "err", err)
		}
	}
	c.tidy(ctx, state)
	return changed
}

// ask has every node report. One that does not within the time of a look was not heard.
func (c *controller) ask(ctx context.Context, nodes []*command.Node) {
	ctx, cancel := context.WithTimeout(ctx, max(c.n.cfg.Peer.Every, c.n.cfg.Peer.Timeout))
	defer cancel()
	reports := make([]*peerv1.ReportResponse, len(nodes))
	var wg sync.WaitGroup
	for i, node := range nodes {
		if c.n.machine.View().NodeState(node.ID) == command.NodeRemoved {
			continue
		}
		wg.Go(func() {
			if node.ID == c.n.id.Node {
				reports[i], _ = c.n.report()
				return
			}
			reports[i], _ = c.n.peers.Report(ctx, node.ID, &peerv1.ReportRequest{Node: c.n.id.Node}) // silence is the answer
		})
	}
	wg.Wait()
	now := time.Now()
	silent := c.silentMax()
	for i, node := range nodes {
		h := c.nodes[node.ID]
		if h == nil {
			h = &heard{first: now, last: now} // a new leader gives everybody the benefit of the doubt, for as long as anybody may be silent
			c.nodes[node.ID] = h
		}
		if reports[i] == nil {
			continue
		}
		if now.Sub(h.last) > silent {
			h.first = now
		}
		h.last, h.report = now, reports[i]
	}
}

func (c *controller) silentMax() time.Duration {
	if d := c.n.cfg.Peer.Placement.SilentMax; d != 0 {
		return d
	}
	return 15 * time.Second
}

// state is what the reports say, as placement wants it. A node that joined after they were asked for counts as heard just now: left out, it
// would be taken for gone.
func (c *controller) state() placement.State {
	v, now := c.n.machine.View(), time.Now()
	var s placement.State
	for _, node := range v.Nodes() {
		h := c.nodes[node.ID]
		if h == nil {
			h = &heard{first: now, last: now}
		}
		state := v.NodeState(node.ID)
		s.Nodes = append(s.Nodes, placement.Node{ID: node.ID, Silent: now.Sub(h.last), Steady: h.last.Sub(h.first),
			Drain: state == command.NodeDraining, Removed: state == command.NodeRemoved})
	}
	s.Groups = append(s.Groups, c.group(transport.Meta))
	for _, id := range c.n.allShards() {
		s.Groups = append(s.Groups, c.group(transport.Shard(id)))
	}
	return s
}

// group puts together what its leader says of it, and how far the others have come.
func (c *controller) group(g transport.Group) placement.Group {
	out := placement.Group{ID: uint32(g)}
	if g == transport.Meta {
		// Every node gets the meta group's log: its view of the catalog and of the shards comes from it.
		out.Voters, out.Learners = placement.MetaVoters, len(c.nodes)
	}
	leader, r := c.leaderOf(g)
	if r == nil {
		for _, m := range c.n.machine.View().Replicas(uint32(g)) {
			out.Replicas = append(out.Replicas, placement.Replica{Node: m.Node, Role: role(m.Voter)})
		}
		return out
	}
	out.Leader, out.Led = leader, time.Duration(r.LedMs)*time.Millisecond
	for _, m := range r.Members {
		if g == transport.Meta && !m.Voter && c.n.machine.View().NodeState(m.Node) == command.NodeDraining {
			continue // it stays, so that the node goes on to know the cluster; it counts for nothing
		}
		out.Replicas = append(out.Replicas, placement.Replica{Node: m.Node, Role: role(m.Voter), CaughtUp: c.caughtUp(m.Node, g, r)})
	}
	now := time.Now()
	for k, at := range c.failed {
		switch {
		case now.Sub(at) > failedFor:
			delete(c.failed, k)
		case k.group == uint32(g):
			out.FailedNodes = append(out.FailedNodes, k.node)
		}
	}
	return out
}

func role(voter bool) placement.Role {
	if voter {
		return placement.Voter
	}
	return placement.Learner
}

// leaderOf finds the report of the group's leader: the one of the latest term, if a deposed one has not noticed yet.
func (c *controller) leaderOf(g transport.Group) (node string, report *peerv1.GroupReport) {
	for id, h := range c.nodes { // any order: terms decide
		r := h.group(g)
		if r != nil && r.Leads && (report == nil || r.Term > report.Term) {
			node, report = id, r
		}
	}
	return node, report
}

func (h *heard) group(g transport.Group) *peerv1.GroupReport {
	if h == nil {
		return nil
	}
	for _, r := range h.report.GetGroups() {
		if r.Group == uint32(g) {
			return r
		}
	}
	return nil
}

// caughtUp says that a replica follows this leader and lacks the last moments of its log at most.
func (c *controller) caughtUp(node string, g transport.Group, leader *peerv1.GroupReport) bool {
	h := c.nodes[node]
	if h == nil {
		return false
	}
	r := h.group(g)
	return r != nil && r.Term == leader.Term && r.AppliedIndex > 0 && r.AppliedIndex+lagMax >= leader.CommitIndex
}

// record keeps the replicas of each group on record, for nodes that have none.
func (c *controller) record(ctx context.Context, s placement.State) {
	for _, g := range s.Groups {
		if g.Leader == "" {
			continue
		}
		cmd := &command.SetReplicas{Group: g.ID}
		for _, r := range g.Replicas {
			cmd.Replicas = append(cmd.Replicas, command.Replica{Node: r.Node, Voter: r.Role == placement.Voter})
		}
		if equal(cmd.Replicas, c.n.machine.View().Replicas(g.ID)) {
			continue
		}
		_, err := c.n.metaCommand(ctx, cmd)
		c.n.warn(ctx, "the replicas of a group could not be put on record", err)
	}
}

func equal(a, b []command.Replica) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// unstick takes a replica that is stuck out of its group, if a majority of the voters works without it. The replica is a stray then and is
// deleted, and the group gets a new one.
func (c *controller) unstick(ctx context.Context, s placement.State) {
	for _, g := range s.Groups {
		voters, good, stuck := 0, 0, ""
		for _, r := range g.Replicas {
			if report := c.nodes[r.Node].group(transport.Group(g.ID)); report.GetStuck() && r.Node != g.Leader {
				stuck = r.Node
			} else if r.CaughtUp && r.Role == placement.Voter {
				good++
			}
			if r.Role == placement.Voter {
				voters++
			}
		}
		if g.Leader == "" || stuck == "" || good < voters/2+1 {
			continue
		}
		a := placement.Action{Kind: placement.Remove, Group: g.ID, Node: stuck, Why: "states are installed there again and again"}
		c.n.cfg.Logger.Warn("a replica is made anew", "group", transport.Group(g.ID).String(), "node", stuck)
		c.n.warn(ctx, "a replica that is stuck could not be removed", c.n.change(ctx, a))
	}
}

// tidy ends replicas that their groups have gone on without, and opens again those of learners that have none.
func (c *controller) tidy(ctx context.Context, s placement.State) {
	strays, now := map[replicaKey]time.Time{}, time.Now()
	for _, g := range s.Groups {
		if g.Leader == "" || g.ID == uint32(transport.Meta) {
			continue
		}
		members := map[string]placement.Role{}
		for _, r := range g.Replicas {
			members[r.Node] = r.Role
		}
		for node, h := range c.nodes { // any order: each is by itself
			if c.n.machine.View().NodeState(node) == command.NodeRemoved {
				continue // what it had is its own affair
			}
			_, isMember := members[node]
			has := h.group(transport.Group(g.ID)) != nil
			k := replicaKey{node, g.ID}
			switch {
			case has && !isMember:
				if strays[k] = c.strays[k]; strays[k].IsZero() {
					strays[k] = now
				}
				if now.Sub(strays[k]) >= (strayLooks-1)*c.n.cfg.Peer.Every {
					c.n.warn(ctx, "a replica that its group has gone on without could not be deleted", c.n.peers.CloseMember(ctx, node, transport.Group(g.ID)))
				}
			case !has && isMember && members[node] == placement.Learner && h.report != nil:
				c.n.warn(ctx, "a learner's replica could not be opened", c.n.peers.Open(ctx, node, transport.Group(g.ID)))
			}
		}
	}
	c.strays = strays
}
