package placement

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// world is a cluster on which plans are carried out: by hands that fail, between nodes that come and go.
type world struct {
	t      *testing.T
	seed   uint64
	r      *rand.Rand
	s      State
	o      Options
	fails  float64 // chance that an action fails
	log    []string
	added  map[string]int // learners added since the last calm, by group and node
	counts [Transfer + 1]int
}

// newWorld makes a bootstrapped cluster: every group has one voter, on the first node, which leads; other nodes have joined.
func newWorld(t *testing.T, seed uint64, nodes, shards int) *world {
	w := &world{t: t, seed: seed, r: rand.New(rand.NewPCG(seed, 9))}
	for range nodes {
		w.join(1)
	}
	first := w.s.Nodes[0].ID
	for g := range shards + 1 {
		group := Group{ID: uint32(g), Leader: first, Led: time.Hour, Replicas: []Replica{{first, Voter, true}}}
		if g == 0 {
			group.Voters, group.Learners = MetaVoters, MetaStandbys
		}
		w.s.Groups = append(w.s.Groups, group)
	}
	return w
}

func (w *world) join(weight float64) {
	w.s.Nodes = append(w.s.Nodes, Node{ID: fmt.Sprintf("n%02d", len(w.s.Nodes)), Weight: weight, Steady: time.Hour})
}

func (w *world) node(id string) *Node {
	for i := range w.s.Nodes {
		if w.s.Nodes[i].ID == id {
			return &w.s.Nodes[i]
		}
	}
	w.t.Fatalf("seed %d: there is no node %s", w.seed, id)
	return nil
}

func (w *world) up(id string) bool { return w.node(id).Silent == 0 && !w.node(id).Removed }

func (w *world) live(g *Group) (live, voters int) {
	for _, r := range g.Replicas {
		if r.Role == Voter {
			voters++
			if w.up(r.Node) {
				live++
			}
		}
	}
	return live, voters
}

// step plans and carries out, and says whether there was anything to do.
func (w *world) step() bool {
	w.elect()
	plan := Plan(w.s, w.o)
	touched := map[uint32]bool{}
	for _, a := range plan {
		if touched[a.Group] {
			w.fatal("two actions for one group in one plan: %v", plan)
		}
		touched[a.Group] = true
		if w.r.Float64() < w.fails {
			w.log = append(w.log, "failed: "+a.String())
			continue
		}
		w.log = append(w.log, a.String())
		w.apply(a)
	}
	filling := w.catchUp()
	return len(plan) > 0 || filling
}

// apply carries one action out and holds it against what no plan may do.
func (w *world) apply(a Action) {
	g := &w.s.Groups[slices.IndexFunc(w.s.Groups, func(g Group) bool { return g.ID == a.Group })]
	i := slices.IndexFunc(g.Replicas, func(r Replica) bool { return r.Node == a.Node })
	if live, voters := w.live(g); live < quorum(voters) || g.Changing {
		w.fatal("%v: the group has %d of %d voters, changing = %v", a, live, voters, g.Changing)
	}
	w.counts[a.Kind]++
	switch {
	case a.Kind == AddLearner:
		if i >= 0 || !w.up(a.Node) || w.node(a.Node).Drain || slices.Contains(g.FailedNodes, a.Node) {
			w.fatal("%v: the node has a replica or may get none", a)
		}
		g.Replicas = append(g.Replicas, Replica{Node: a.Node})
		if key := fmt.Sprint(a.Group, " ", a.Node); w.added != nil {
			if w.added[key]++; w.added[key] > 1 {
				w.fatal("%v: it was added and removed before, and nothing has happened since", a)
			}
		}
	case i < 0:
		w.fatal("%v: there is no such replica", a)
	case a.Kind == Promote:
		if g.Replicas[i].Role != Learner || !g.Replicas[i].CaughtUp {
			w.fatal("%v: it is no learner that has caught up", a)
		}
		g.Replicas[i].Role = Voter
	case a.Kind == Transfer:
		if g.Replicas[i].Role != Voter || !w.up(a.Node) {
			w.fatal("%v: it cannot lead", a)
		}
		g.Leader, g.Led = a.Node, 0
	default:
		if a.Node == g.Leader {
			w.fatal("%v: it leads", a)
		}
		if a.Kind == Demote {
			g.Replicas[i].Role = Learner
		} else {
			g.Replicas = slices.Delete(g.Replicas, i, i+1)
		}
	}
	if live, voters := w.live(g); live < quorum(voters) {
		w.fatal("%v: leaves %d of %d voters", a, live, voters)
	}
}

func (w *world) fatal(format string, args ...any) {
	w.t.Helper()
	w.t.Fatalf("seed %d: %s\n%v\n%v", w.seed, fmt.Sprintf(format, args...), w.log[max(0, len(w.log)-30):], w.s)
}

// elect gives each group that can have one a leader, and time passes.
func (w *world) elect() {
	for i := range w.s.Groups {
		g := &w.s.Groups[i]
		g.Led += time.Minute
		live, voters := w.live(g)
		if live < quorum(voters) {
			g.Leader = ""
			continue
		}
		if g.Leader != "" && w.up(g.Leader) {
			continue
		}
		for _, at := range w.r.Perm(len(g.Replicas)) {
			if r := g.Replicas[at]; r.Role == Voter && w.up(r.Node) {
				g.Leader, g.Led = r.Node, 0
			}
		}
	}
}

// catchUp lets some learners catch up, and says whether any is left.
func (w *world) catchUp() (filling bool) {
	for i := range w.s.Groups {
		for k := range w.s.Groups[i].Replicas {
			r := &w.s.Groups[i].Replicas[k]
			if !r.CaughtUp && w.up(r.Node) {
				r.CaughtUp = w.r.IntN(3) > 0
				filling = true
			}
		}
	}
	return filling
}

// disturb does something to the cluster: a node dies, comes back, joins, is drained, is given up.
func (w *world) disturb() {
	n := &w.s.Nodes[w.r.IntN(len(w.s.Nodes))]
	switch w.r.IntN(8) {
	case 0, 1:
		n.Silent, n.Steady = time.Minute, 0
	case 2:
		n.Silent, n.Steady = time.Hour, 0
	case 3, 4:
		n.Silent, n.Steady = 0, time.Hour
	case 5:
		if len(w.s.Nodes) < 40 {
			w.join(float64(1 + w.r.IntN(2)))
		}
	case 6:
		n.Drain = !n.Drain
	case 7:
		g := &w.s.Groups[w.r.IntN(len(w.s.Groups))]
		g.FailedNodes = nil
		if w.r.IntN(2) == 0 {
			g.FailedNodes = []string{n.ID}
		}
	}
}

// calm brings every node back and lets everything work from now on.
func (w *world) calm() {
	w.fails, w.added = 0, map[string]int{}
	for i := range w.s.Nodes {
		w.s.Nodes[i].Silent, w.s.Nodes[i].Steady, w.s.Nodes[i].Drain = 0, time.Hour, false
	}
	for i := range w.s.Groups {
		w.s.Groups[i].FailedNodes = nil
	}
}

// settle steps until there is nothing to do, within a bound: each replica may move once or twice, each leader a few times.
func (w *world) settle() (steps int) {
	w.t.Helper()
	bound := 100 + 40*len(w.s.Groups)
	for idle := 0; idle < 8; steps++ { // calm for longer than LeadMin
		if steps > bound {
			w.fatal("it has not come to rest after %d steps", steps)
		}
		if w.step() {
			idle = 0
		} else {
			idle++
		}
	}
	return steps
}
