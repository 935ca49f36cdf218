package placement

import (
	"cmp"
	"slices"
)

// Plan lists what to do now, the most urgent first, at most one action a group. An empty list means that nothing can be done or needs to be.
//
// Groups with the fewest live voters to spare come first. Balance waits until every group has what it is to have: first replicas, then
// leaders, one move or transfer a call.
func Plan(s State, o Options) []Action {
	c := newCluster(s, o)
	slices.SortStableFunc(c.views, func(a, b *view) int {
		return cmp.Or(cmp.Compare(a.live-quorum(len(a.voters)), b.live-quorum(len(b.voters))), cmp.Compare(a.ID, b.ID))
	})
	var plan []Action
	for _, v := range c.views {
		if a, ok := v.repair(); ok {
			plan = append(plan, a)
		}
	}
	if len(plan) > 0 {
		return plan
	}
	for _, balance := range []func() (Action, bool){c.settle, c.move, c.spread} {
		if a, ok := balance(); ok {
			return []Action{a}
		}
	}
	return nil
}

// whole says that the group has every voter that it is to have, and all are there: only then may it change for the sake of balance.
func (v *view) whole() bool {
	return v.ready() && len(v.voters) == v.target && v.bad == 0 && v.live == len(v.voters)
}

// settle goes on with a move: of a whole group with a learner too many. If the move still helps the learner becomes a voter, and the next
// plan removes the one that it replaces; else the learner goes.
func (c *cluster) settle() (Action, bool) {
	for _, v := range c.views {
		if len(v.learners) <= v.Learners || !v.whole() {
			continue
		}
		extra := v.extra()
		if v.helps(extra) {
			if extra.CaughtUp && extra.health == up {
				return v.act(Promote, extra.ID, "it takes the place of a voter on a fuller node"), true
			}
			if extra.health == up {
				continue // it is catching up
			}
		}
		return v.act(Remove, extra.ID, "it is no longer needed"), true
	}
	return Action{}, false
}

// extra is the learner that a move has brought: the one on the emptiest node.
func (v *view) extra() seat {
	return slices.MinFunc(v.learners, func(a, b seat) int {
		return cmp.Or(cmp.Compare(a.gain(), b.gain()), cmp.Compare(a.ID, b.ID))
	})
}

// helps says that the potential is lower without the voter that would leave than without the learner. Its replica is not counted any more, so
// that what it would cost is what it would gain.
func (v *view) helps(extra seat) bool {
	return v.leaver != nil && v.leaver.cost() > extra.gain()
}

// move begins to move the replica that lowers the potential most, by adding the learner that will replace it. One at a time.
func (c *cluster) move() (Action, bool) {
	var at *view
	var to *member
	best := slack
	for _, v := range c.views {
		if len(v.learners) > v.Learners || c.fills > 0 {
			return Action{}, false // a replica is on its way
		}
		from, cheapest := v.victim(), c.cheapest(v.Group)
		if !v.whole() || from == nil || cheapest == nil {
			continue
		}
		if gain := from.gain() - cheapest.cost(); gain > best {
			best, at, to = gain, v, cheapest
		}
	}
	if at == nil {
		return Action{}, false
	}
	return at.act(AddLearner, to.ID, "its node carries less than that of a voter"), true
}

// slack keeps rounding from counting as a gain.
const slack = 1e-9

// spread moves one leader from the node that leads too much for its weight to one that leads less, if both sides are calm.
func (c *cluster) spread() (Action, bool) {
	var at *view
	var to *member
	best := slack
	for _, v := range c.views {
		if !v.whole() || v.Led < c.o.LeadMin {
			continue
		}
		from := c.nodes[v.Leader]
		for _, s := range v.voters {
			if s.ID == v.Leader || s.health != up || !s.CaughtUp || s.Drain || s.Steady < c.o.SteadyMin {
				continue
			}
			gain := float64(2*from.leads-1)/from.Weight - float64(2*s.leads+1)/s.Weight
			if gain > best {
				best, at, to = gain, v, s.member
			}
		}
	}
	if at == nil {
		return Action{}, false
	}
	return at.act(Transfer, to.ID, "its leader's node leads more than its share"), true
}
