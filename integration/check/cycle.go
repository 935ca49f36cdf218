package check

import "strings"

// sourcesMax bounds the reads that a shortest cycle is looked for from, once one has been found.
const sourcesMax = 16

// contradiction finds a short cycle among the nodes that peel could not take away and puts it into words. It gives the reads on it, of
// which there is at least one: the other edges all go forward in time.
func (g *graph) contradiction(peeled []int32) (Anomaly, []int) {
	left := make([]bool, g.nodes())
	for i := range left {
		left[i] = true
	}
	for _, v := range peeled {
		left[v] = false
	}
	s := newSearch(g, left)
	var best []int32
	for r, tried := int32(g.n), 0; int(r) < g.n+g.m && (tried < sourcesMax || best == nil); r++ {
		if left[r] {
			tried++
			if c := s.cycle(r); c != nil && (best == nil || len(c) < len(best)) {
				best = c
			}
		}
	}
	return g.describe(best)
}

// search looks for shortest cycles. Steps from barrier to barrier are free, so that length counts what a person would count.
type search struct {
	g        *graph
	left     []bool
	previous []int32 // by node: where the search came from
	distance []int32 // by node, of the present source
	stamp    []int32 // by node: the source that distance belongs to
	near     []int32 // nodes to visit at this distance
	far      []int32 // and at the next
}

func newSearch(g *graph, left []bool) *search {
	n := g.nodes()
	s := &search{g: g, left: left, previous: make([]int32, n), distance: make([]int32, n), stamp: make([]int32, n)}
	for i := range s.stamp {
		s.stamp[i] = -1
	}
	return s
}

// cycle is the shortest one through source, as the operations on it in order, or nil.
func (s *search) cycle(source int32) []int32 {
	s.near, s.far = append(s.near[:0], source), s.far[:0]
	s.stamp[source], s.distance[source] = source, 0
	for depth := int32(0); len(s.near) > 0; depth++ {
		for i := 0; i < len(s.near); i++ {
			if v := s.near[i]; s.distance[v] == depth && s.visit(v, source, depth) {
				return s.path(v, source)
			}
		}
		s.near, s.far = s.far, s.near[:0]
	}
	return nil
}

// visit follows the edges of v and says whether one leads home.
func (s *search) visit(v, source, depth int32) (home bool) {
	barrier := s.isBarrier(v)
	s.g.successors(v, func(to int32) {
		free := barrier && s.isBarrier(to)
		at := depth + 1
		if free {
			at = depth
		}
		switch {
		case to == source:
			home = true
		case !s.left[to] || s.stamp[to] == source && s.distance[to] <= at:
		case free:
			s.stamp[to], s.distance[to], s.previous[to] = source, at, v
			s.near = append(s.near, to)
		default:
			s.stamp[to], s.distance[to], s.previous[to] = source, at, v
			s.far = append(s.far, to)
		}
	})
	return home
}

func (s *search) isBarrier(v int32) bool { return int(v) >= s.g.n+s.g.m }

// path is the operations from source to last.
func (s *search) path(last, source int32) []int32 {
	var back []int32
	for v := last; v != source; v = s.previous[v] {
		if !s.isBarrier(v) {
			back = append(back, v)
		}
	}
	path := []int32{source}
	for i := len(back) - 1; i >= 0; i-- {
		path = append(path, back[i])
	}
	return path
}

// reason is why one operation comes before the next on a cycle.
type reason uint8

const (
	saw    reason = iota // add → read: the read has seen it
	missed               // read → add: the read has not
	wrote                // add → add of one writer
	passed               // it returned before the other was called
)

var verbs = [...]string{saw: " is seen by ", missed: " misses ", wrote: " comes before ", passed: " returned before "}

// why names the edge from a to b. What a read shows comes first: it is what a person would check first.
func (g *graph) why(a, b int32) reason {
	switch addA, addB := int(a) < g.n, int(b) < g.n; {
	case addA && addB && g.next(a) == b:
		return wrote
	case addA && !addB && g.sees(b, a) == yes:
		return saw
	case !addA && addB && g.sees(a, b) == no:
		return missed
	}
	return passed
}

// glance is what a read says of an add.
type glance uint8

const (
	apart glance = iota // it did not cover the shard
	yes
	no
)

func (g *graph) sees(read, add int32) glance {
	at := apart
	a := &g.l.h.Adds[add]
	g.l.views(int(read)-g.n, func(shard int, seen []int32) {
		if shard == a.Shard {
			at = no
			if seen[a.Writer] > g.l.place[add] {
				at = yes
			}
		}
	})
	return at
}

// next is the add that follows on the same chain, or −1.
func (g *graph) next(a int32) int32 {
	x := &g.l.h.Adds[a]
	if c, k := g.l.chain(x.Shard, x.Writer), int(g.l.place[a])+1; k < len(c.adds) {
		return c.adds[k]
	}
	return -1
}

// describe puts a cycle into words and gives it a name.
func (g *graph) describe(cycle []int32) (Anomaly, []int) {
	a := Anomaly{}
	var text []string
	var count [passed + 1]int
	for i, v := range cycle {
		if int(v) < g.n {
			a.Adds = append(a.Adds, int(v))
		} else {
			a.Reads = append(a.Reads, int(v)-g.n)
		}
		to := cycle[(i+1)%len(cycle)]
		why := g.why(v, to)
		count[why]++
		text = append(text, g.name(v)+verbs[why]+g.name(to))
	}
	a.Text = strings.Join(text, "; ")
	a.Kind = kindOf(len(a.Reads), count)
	return a, a.Reads
}

// kindOf names a cycle after what is on it.
func kindOf(reads int, count [passed + 1]int) Kind {
	switch {
	case reads == 1 && count[saw] == 0:
		return StaleRead
	case reads == 1 && count[missed] == 0:
		return Future
	case reads == 1:
		return Fractured
	case reads == 2 && count[saw] == 1 && count[missed] == 1:
		return Backward
	case reads == 2 && count[passed] == 0:
		return Fork
	default:
		return Cycle
	}
}

func (g *graph) name(v int32) string {
	if int(v) < g.n {
		return g.l.nameAdd(int(v))
	}
	return g.l.nameRead(int(v) - g.n)
}
