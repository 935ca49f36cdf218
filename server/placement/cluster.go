package placement

import (
	"cmp"
	"hash/fnv"
	"slices"
)

// health of a node.
type health uint8

const (
	gone health = iota // for good, or down for so long that it is replaced
	down               // silent, and expected back
	up
)

// cluster is a State with its nodes looked up and counted.
type cluster struct {
	o      Options
	views  []*view  // of the groups, in their order
	order  []string // ids of the listed nodes, ascending
	nodes  map[string]*member
	usable int // nodes that may hold replicas: neither gone nor draining
	fills  int // learners that are catching up
}

type member struct {
	Node
	health  health
	load    int // replicas here, less those that a move under way will take away
	leads   int // groups that it leads
	filling int // replicas that catch up here
}

func newCluster(s State, o Options) *cluster {
	c := &cluster{o: o.complete(), nodes: map[string]*member{}}
	for _, n := range s.Nodes {
		m := &member{Node: n, health: c.health(n)}
		if m.Weight <= 0 {
			m.Weight = 1
		}
		if c.nodes[n.ID] == nil {
			c.order = append(c.order, n.ID)
		}
		c.nodes[n.ID] = m
	}
	slices.Sort(c.order)
	c.doubtMajority()
	for _, id := range c.order {
		if m := c.nodes[id]; m.health != gone && !m.Drain {
			c.usable++
		}
	}
	for i := range s.Groups {
		c.views = append(c.views, c.view(&s.Groups[i]))
	}
	c.count()
	return c
}

func (c *cluster) health(n Node) health {
	switch {
	case n.Removed || n.Silent > c.o.SilentMax+c.o.ReplaceWait:
		return gone
	case n.Silent > c.o.SilentMax:
		return down
	}
	return up
}

// doubtMajority replaces nobody if half of the nodes or more seem gone without an operator's word: then it is rather the controller that
// is cut off, or the whole place that is dark.
func (c *cluster) doubtMajority() {
	seemGone := 0
	for _, m := range c.nodes {
		if m.health == gone && !m.Removed {
			seemGone++
		}
	}
	if 2*seemGone < len(c.nodes) {
		return
	}
	for _, m := range c.nodes {
		if m.health == gone && !m.Removed {
			m.health = down
		}
	}
}

// count finds what each node carries. A replica that a move under way will take away counts no longer, or a second move would start from it.
func (c *cluster) count() {
	for _, v := range c.views {
		if m := c.nodes[v.Leader]; m != nil {
			m.leads++
		}
		for _, s := range v.voters {
			s.load++
		}
		for _, s := range v.learners {
			s.load++
			if !s.CaughtUp && s.health == up {
				s.filling++
				c.fills++
			}
		}
	}
	for _, v := range c.views {
		if len(v.voters) > v.target || len(v.voters) == v.target && len(v.learners) > v.Learners {
			if v.leaver = v.victim(); v.leaver != nil {
				v.leaver.load--
			}
		}
	}
}

// node finds a node; one that is not listed is gone.
func (c *cluster) node(id string) *member {
	m := c.nodes[id]
	if m == nil {
		m = &member{Node: Node{ID: id, Weight: 1}}
		c.nodes[id] = m
	}
	return m
}

// gain is by how much the potential Σ load²/weight falls with one replica less on m, and cost by how much it rises with one more.
func (m *member) gain() float64 { return float64(2*m.load-1) / m.Weight }
func (m *member) cost() float64 { return float64(2*m.load+1) / m.Weight }

// fit says whether a replica of the group may come to live on m.
func (c *cluster) fit(g *Group, m *member) bool {
	return m.health == up && !m.Drain && m.Steady >= c.o.SteadyMin && !slices.Contains(g.FailedNodes, m.ID) &&
		!slices.ContainsFunc(g.Replicas, func(r Replica) bool { return r.Node == m.ID })
}

// cheapest is the node on which one replica more of g costs least, or nil. Ties fall by a hash, so that equal nodes share equal groups.
func (c *cluster) cheapest(g *Group) *member {
	var best *member
	for _, id := range c.order {
		m := c.nodes[id]
		if c.fit(g, m) && (best == nil || less(m, best, g.ID)) {
			best = m
		}
	}
	return best
}

func less(a, b *member, group uint32) bool {
	return cmp.Or(cmp.Compare(a.filling, b.filling), cmp.Compare(a.cost(), b.cost()), cmp.Compare(rank(a.ID, group), rank(b.ID, group)), cmp.Compare(a.ID, b.ID)) < 0
}

// rank orders nodes differently for each group.
func rank(node string, group uint32) uint64 {
	h := fnv.New64a()
	h.Write([]byte{byte(group), byte(group >> 8), byte(group >> 16), byte(group >> 24)})
	h.Write([]byte(node))
	return h.Sum64()
}
