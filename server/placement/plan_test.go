package placement

import (
	"slices"
	"testing"
	"time"
)

// TestEveryPlanIsSafeAndEnds puts random clusters through random disasters while a fifth of all actions fail, then lets them rest. Every
// action is held against what none may do (see world.apply). While they come to rest no replica goes where it was before; at rest every
// group must be as it should, and stay so.
func TestEveryPlanIsSafeAndEnds(t *testing.T) {
	seeds := uint64(1000)
	if testing.Short() {
		seeds = 200
	}
	actions := [Transfer + 1]int{}
	for seed := range seeds {
		w := newWorld(t, seed, 1+int(seed%12), 1+int(seed%9))
		w.fails = 0.2
		for range 60 {
			if w.r.IntN(3) == 0 {
				w.disturb()
			}
			w.step()
		}
		w.calm()
		w.settle()
		w.wellPlaced()
		for k, n := range w.counts {
			actions[k] += n
		}
	}
	for k, n := range actions {
		t.Logf("%v: %d", Kind(k), n)
		if n == 0 {
			t.Errorf("no %v in all runs", Kind(k))
		}
	}
}

// wellPlaced demands what a cluster at rest, with every node there, must look like.
func (w *world) wellPlaced() {
	w.t.Helper()
	c := newCluster(w.s, w.o)
	for _, v := range c.views {
		wanted := v.Group.Voters
		if wanted == 0 {
			wanted = 3
		}
		if len(v.voters) != target(wanted, len(w.s.Nodes)) {
			w.fatal("group %d has %d voters on %d nodes, %d are wanted", v.ID, len(v.voters), len(w.s.Nodes), wanted)
		}
		if want := min(v.Learners, len(w.s.Nodes)-len(v.voters)); len(v.learners) != want {
			w.fatal("group %d has %d learners, %d are wanted", v.ID, len(v.learners), want)
		}
		for _, s := range v.voters {
			if !s.CaughtUp {
				w.fatal("group %d has a voter that has not caught up", v.ID)
			}
			if to := c.cheapest(v.Group); to != nil && s.gain() > to.cost()+slack {
				w.fatal("group %d would be better off with %s in place of %s", v.ID, to.ID, s.ID)
			}
		}
	}
}

// TestGrowthMovesLittle adds nodes to a balanced cluster: they get their share, and no more replicas move than that.
func TestGrowthMovesLittle(t *testing.T) {
	for seed := range uint64(100) {
		nodes, shards := 3+int(seed%6), 4+int(seed%13)
		w := newWorld(t, seed, nodes, shards)
		w.settle()
		w.counts = [Transfer + 1]int{}
		w.join(1)
		w.settle()
		w.wellPlaced()
		share := 3*shards/(nodes+1) + 1 + MetaVoters // the meta group grows to five voters and two standbys on its own account
		if moved := w.counts[AddLearner]; moved > share+MetaStandbys {
			w.fatal("%d replicas moved to give a node its share of about %d", moved, share)
		}
	}
}

// TestLeadersSpread: after growth no node leads two groups more than another one that could lead one of them.
func TestLeadersSpread(t *testing.T) {
	for seed := range uint64(100) {
		w := newWorld(t, seed, 3+int(seed%10), 4+int(seed%13))
		w.settle()
		leads := map[string]int{}
		for _, g := range w.s.Groups {
			leads[g.Leader]++
		}
		for _, g := range w.s.Groups {
			for _, r := range g.Replicas {
				if r.Role == Voter && leads[g.Leader] > leads[r.Node]+1 {
					w.fatal("%s leads %d groups, %s leads %d and could lead group %d", g.Leader, leads[g.Leader], r.Node, leads[r.Node], g.ID)
				}
			}
		}
	}
}

// TestDrainEmptiesANode where the others can take what it has, and leaves it alone where they cannot.
func TestDrainEmptiesANode(t *testing.T) {
	for seed := range uint64(100) {
		nodes := 3 + int(seed%6)
		w := newWorld(t, seed, nodes, 6)
		w.settle()
		w.s.Nodes[0].Drain = true
		w.settle()
		for _, g := range w.s.Groups {
			if g.Leader == w.s.Nodes[0].ID {
				w.fatal("the draining node leads group %d", g.ID)
			}
			for _, r := range g.Replicas {
				if r.Node == w.s.Nodes[0].ID && nodes > 3 {
					w.fatal("group %d is still on the draining node", g.ID)
				}
			}
			if _, voters := w.live(&g); voters < 3 {
				w.fatal("group %d fell to %d voters", g.ID, voters)
			}
		}
	}
}

// TestDeadNodeIsReplacedAfterItsTime and not before; its groups never have fewer live voters on the way than it left them.
func TestDeadNodeIsReplacedAfterItsTime(t *testing.T) {
	w := newWorld(t, 1, 5, 8)
	w.settle()
	dead := &w.s.Nodes[2]
	w.counts = [Transfer + 1]int{}
	dead.Silent, dead.Steady = 9*time.Minute, 0
	w.settle()
	if n := w.counts[AddLearner] + w.counts[Remove]; n > 0 {
		t.Fatalf("%d changes for a node that is silent for nine minutes", n)
	}
	dead.Silent = 11 * time.Minute
	w.settle()
	for _, g := range w.s.Groups {
		live, voters := w.live(&g)
		if live != voters || voters != 3 {
			t.Errorf("group %d has %d of %d voters", g.ID, live, voters)
		}
	}
}

// TestHalfOfTheNodesGoneIsDoubted: nothing is replaced, unless an operator says so.
func TestHalfOfTheNodesGoneIsDoubted(t *testing.T) {
	w := newWorld(t, 1, 6, 6)
	w.settle()
	for i := range 3 {
		w.s.Nodes[i].Silent = time.Hour
	}
	w.elect()
	if plan := Plan(w.s, w.o); slices.ContainsFunc(plan, func(a Action) bool { return a.Kind != Transfer }) {
		t.Errorf("%v", plan)
	}
	w.s.Nodes[0].Removed = true
	w.elect()
	if plan := Plan(w.s, w.o); !slices.ContainsFunc(plan, func(a Action) bool { return a.Kind == AddLearner }) {
		t.Errorf("nothing replaces a node that was given up: %v", plan)
	}
}

// TestFailingNodeIsAvoided: a node on which adding fails is not asked again while the group remembers, and another one is.
func TestFailingNodeIsAvoided(t *testing.T) {
	s := State{
		Nodes:  []Node{{ID: "a", Steady: time.Hour}, {ID: "b", Steady: time.Hour}, {ID: "c", Steady: time.Hour}},
		Groups: []Group{{ID: 1, Leader: "a", Replicas: []Replica{{"a", Voter, true}}}},
	}
	first := Plan(s, Options{})
	if len(first) != 1 || first[0].Kind != AddLearner {
		t.Fatalf("%v", first)
	}
	s.Groups[0].FailedNodes = []string{first[0].Node}
	second := Plan(s, Options{})
	if len(second) != 1 || second[0].Kind != AddLearner || second[0].Node == first[0].Node {
		t.Errorf("after %v: %v", first, second)
	}
}
