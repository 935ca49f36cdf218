package placement

import (
	"fmt"
	"slices"
)

// view is one group with its members looked up.
type view struct {
	*Group
	c        *cluster
	target   int // voters to have
	voters   []seat
	learners []seat
	live     int     // voters that are up
	bad      int     // voters that must be replaced: on nodes that are gone or draining
	leaver   *member // of a group with a replica too many: the voter to do without
}

// seat is a replica and its node.
type seat struct {
	Replica
	*member
}

// leaving says that the replica should go elsewhere.
func (s seat) leaving() bool { return s.health == gone || s.Drain }

func (c *cluster) view(g *Group) *view {
	v := &view{Group: g, c: c}
	for _, r := range g.Replicas {
		s := seat{r, c.node(r.Node)}
		if r.Role == Learner {
			v.learners = append(v.learners, s)
			continue
		}
		v.voters = append(v.voters, s)
		if s.health == up {
			v.live++
		}
		if s.leaving() {
			v.bad++
		}
	}
	wanted := g.Voters
	if wanted == 0 {
		wanted = c.o.Voters
	}
	v.target = max(target(wanted, c.usable), min(3, len(v.voters), wanted))
	return v
}

func quorum(voters int) int { return voters/2 + 1 }

// ready says that the group can change: it is led by somebody who is there, a majority of its voters is, and nothing is under way.
func (v *view) ready() bool {
	leader := v.c.nodes[v.Leader]
	return !v.Changing && leader != nil && leader.health == up && v.live >= quorum(len(v.voters))
}

// victim is the voter to do without: one that must go, else the one whose node gains most. Nil if removing any is unsafe.
func (v *view) victim() *member {
	var best seat
	for _, s := range v.voters {
		if v.mayLose(s) && (best.member == nil || v.worse(s, best)) {
			best = s
		}
	}
	return best.member
}

func (v *view) worse(a, b seat) bool {
	for _, bad := range []func(seat) bool{
		func(s seat) bool { return s.health == gone },
		seat.leaving,
		func(s seat) bool { return s.health == down },
	} {
		if x, y := bad(a), bad(b); x != y {
			return x
		}
	}
	if x, y := a.gain(), b.gain(); x != y {
		return x > y
	}
	return rank(a.ID, v.ID) < rank(b.ID, v.ID)
}

// mayLose says that without s a majority of the voters is still up; in a group without a voter too many, when one more has arrived.
func (v *view) mayLose(s seat) bool {
	voters, left := len(v.voters)-1, v.live
	if s.health == up {
		left--
	}
	if len(v.voters) <= v.target {
		voters, left = voters+1, left+1
	}
	return left >= quorum(voters)
}

// repair is the next step towards as many good voters and learners as the group is to have; ok is false if there is none to take. What it
// does it does in this order: drop what is too much, promote, drop learners that will not come, add. It waits while a learner catches up.
func (v *view) repair() (a Action, ok bool) {
	if !v.ready() {
		return Action{}, false
	}
	if s := v.c.nodes[v.Leader]; s.Drain {
		if a, ok := v.transfer("its leader's node is draining"); ok {
			return a, true
		}
	}
	if len(v.voters) > v.target {
		return v.dismiss()
	}
	short := len(v.voters) < v.target || v.bad > 0
	if short {
		if s, ok := v.recruit(); ok {
			return v.act(Promote, s.ID, fmt.Sprintf("%d of %d voters are good", len(v.voters)-v.bad, v.target)), true
		}
	}
	for _, s := range v.learners {
		if s.leaving() || !s.CaughtUp && slices.Contains(v.FailedNodes, s.ID) {
			return v.act(Remove, s.ID, "a learner on a node that is gone, draining or failing"), true
		}
	}
	wanted := v.Learners
	if short {
		wanted = max(wanted, 1)
	}
	if len(v.learners) < wanted {
		return v.hire(fmt.Sprintf("%d good voters of %d, %d learners of %d", len(v.voters)-v.bad, v.target, len(v.learners), v.Learners))
	}
	return Action{}, false
}

// dismiss takes a vote away: from a replica that can stay as a learner if one is wanted. A leader hands over first.
func (v *view) dismiss() (Action, bool) {
	m := v.leaver
	why := fmt.Sprintf("%d voters, %d are wanted", len(v.voters), v.target)
	switch {
	case m == nil:
		return Action{}, false
	case m.ID == v.Leader:
		return v.transfer("its leader is to leave the group")
	case m.health == up && !m.Drain && len(v.learners) < v.Learners:
		return v.act(Demote, m.ID, why), true
	}
	return v.act(Remove, m.ID, why), true
}

// recruit is the learner to become a voter.
func (v *view) recruit() (best seat, ok bool) {
	for _, s := range v.learners {
		if s.CaughtUp && s.health == up && !s.leaving() && (!ok || s.gain() < best.gain()) {
			best, ok = s, true
		}
	}
	return best, ok
}

// hire adds a learner where it costs least, within the bound on replicas that catch up.
func (v *view) hire(why string) (Action, bool) {
	if v.c.fills >= v.c.o.Fills {
		return Action{}, false
	}
	m := v.c.cheapest(v.Group)
	if m == nil {
		return Action{}, false
	}
	m.load++
	m.filling++
	v.c.fills++
	return v.act(AddLearner, m.ID, why), true
}

// transfer asks the voter with the least to lead.
func (v *view) transfer(why string) (Action, bool) {
	var best *member
	for _, s := range v.voters {
		if s.ID == v.Leader || s.health != up || !s.CaughtUp || s.leaving() {
			continue
		}
		if best == nil || float64(s.leads)/s.Weight < float64(best.leads)/best.Weight {
			best = s.member
		}
	}
	if best == nil {
		return Action{}, false
	}
	best.leads++
	return v.act(Transfer, best.ID, why), true
}

func (v *view) act(k Kind, node, why string) Action { return Action{k, v.ID, node, why} }
