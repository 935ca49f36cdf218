package check

import (
	"cmp"
	"slices"
)

// Graph decides strict reads of any shards in any mix exactly. Its nodes are the adds, the reads, and a barrier for each response; an edge
// says "before" in every serial order that explains what was returned:
//
//	add k → add k+1          of one writer on one shard
//	last add seen → read     for each writer of each shard that the read covers
//	read → first add unseen  likewise
//	operation → barrier      at its response
//	barrier → next barrier   in the order of time
//	barrier → operation      the last barrier before its call
//
// The history is legal iff values make sense and the graph has no cycle. No cycle, then legal: a topological order puts before each read
// exactly the prefixes that it has seen, so each read returns the state at its place; barriers keep real time; adds commute, so nothing
// else constrains. Legal, then no cycle: each edge is forced in every legal order.
//
// Barriers make real time cost one node and three edges an operation, where pairs would cost a square.
func (l *Ledger) Graph() []Anomaly {
	f := l.begin("graph")
	g := newGraph(l)
	for range cyclesMax {
		order := g.peel()
		if len(order) == g.nodes() {
			break
		}
		a, reads := g.contradiction(order)
		f.add(a)
		for _, r := range reads { // one report a read; what remains may contradict itself too
			g.dropped[r] = true
		}
	}
	return f.all
}

// cyclesMax bounds the cycles that are reported: each costs a look at the whole graph, and the first tells the story.
const cyclesMax = 4

// graph numbers the adds 0 … n−1 as in the history, then the reads, then the barriers in the order of time. A refused add and a read that
// is not strict or was not understood stay without edges.
type graph struct {
	l       *Ledger
	n, m    int
	dropped []bool // by read

	barrier    []int32 // by operation: of its response, or −1
	barriers   int
	firstAfter []int32 // by barrier: where its operations begin in byCall; one more at the end
	byCall     []int32 // operations by call
	readsOf    []int32 // reads by the last add they have seen …
	readsFrom  []int32 // … which begin here, by add; one more at the end
}

func newGraph(l *Ledger) *graph {
	g := &graph{l: l, n: len(l.h.Adds), m: len(l.h.Reads)}
	g.dropped = make([]bool, g.m)
	for i := range g.dropped {
		g.dropped[i] = l.h.Reads[i].Level != Strict
	}
	g.realTime()
	g.invert()
	return g
}

func (g *graph) nodes() int { return g.n + g.m + g.barriers }

// span is the interval of an operation.
func (g *graph) span(op int32) (call, ret int64) {
	if int(op) < g.n {
		return g.l.h.Adds[op].Call, g.l.h.Adds[op].Return
	}
	r := &g.l.h.Reads[int(op)-g.n]
	return r.Call, r.Return
}

// realTime makes a barrier for each response and finds which operations begin after which.
func (g *graph) realTime() {
	ops := make([]int32, 0, g.n+g.m)
	for i := range int32(g.n) {
		if g.l.place[i] >= 0 {
			ops = append(ops, i)
		}
	}
	for i := range int32(g.m) {
		if !g.dropped[i] {
			ops = append(ops, int32(g.n)+i)
		}
	}
	byReturn := slices.Clone(ops)
	slices.SortFunc(byReturn, func(a, b int32) int { _, x := g.span(a); _, y := g.span(b); return cmp.Compare(x, y) })
	slices.SortFunc(ops, func(a, b int32) int { x, _ := g.span(a); y, _ := g.span(b); return cmp.Compare(x, y) })
	g.byCall, g.barrier = ops, make([]int32, g.n+g.m)
	for i := range g.barrier {
		g.barrier[i] = -1
	}
	next := 0
	for _, op := range byReturn {
		_, ret := g.span(op)
		if ret == Never {
			break
		}
		for ; next < len(ops); next++ { // called at the time of the response is not called after it
			if call, _ := g.span(ops[next]); call > ret {
				break
			}
		}
		g.firstAfter = append(g.firstAfter, int32(next))
		g.barrier[op] = int32(g.n + g.m + g.barriers)
		g.barriers++
	}
	g.firstAfter = append(g.firstAfter, int32(len(ops)))
}

// invert lists for each add the reads that have seen it as the last of its writer on its shard.
func (g *graph) invert() {
	g.readsFrom = make([]int32, g.n+2)
	g.eachLast(func(add int32, _ int) { g.readsFrom[add+2]++ })
	for i := 2; i < len(g.readsFrom); i++ {
		g.readsFrom[i] += g.readsFrom[i-1]
	}
	g.readsOf = make([]int32, g.readsFrom[g.n+1])
	g.eachLast(func(add int32, read int) {
		g.readsOf[g.readsFrom[add+1]] = int32(g.n + read)
		g.readsFrom[add+1]++
	})
}

// eachLast calls f with the last add seen of each writer in each view of each read.
func (g *graph) eachLast(f func(add int32, read int)) {
	for r := range g.m {
		if g.dropped[r] {
			continue
		}
		g.l.views(r, func(shard int, seen []int32) {
			for w, k := range seen {
				if k > 0 {
					f(g.l.chain(shard, w).adds[k-1], r)
				}
			}
		})
	}
}

// successors calls f with each node that an edge from v leads to.
func (g *graph) successors(v int32, f func(to int32)) {
	switch {
	case int(v) < g.n:
		g.afterAdd(v, f)
	case int(v) < g.n+g.m:
		g.afterRead(int(v)-g.n, f)
	default:
		b := int(v) - g.n - g.m
		if b+1 < g.barriers {
			f(v + 1)
		}
		for _, op := range g.byCall[g.firstAfter[b]:g.firstAfter[b+1]] {
			if int(op) < g.n || !g.dropped[int(op)-g.n] {
				f(op)
			}
		}
	}
}

func (g *graph) afterAdd(v int32, f func(to int32)) {
	if g.l.place[v] < 0 {
		return
	}
	a := &g.l.h.Adds[v]
	c := g.l.chain(a.Shard, a.Writer)
	if k := int(g.l.place[v]) + 1; k < len(c.adds) {
		f(c.adds[k])
	}
	for _, r := range g.readsOf[g.readsFrom[v]:g.readsFrom[v+1]] {
		if !g.dropped[int(r)-g.n] {
			f(r)
		}
	}
	if b := g.barrier[v]; b >= 0 {
		f(b)
	}
}

func (g *graph) afterRead(r int, f func(to int32)) {
	if g.dropped[r] {
		return
	}
	g.l.views(r, func(shard int, seen []int32) {
		for w, k := range seen {
			if c := g.l.chain(shard, w); int(k) < len(c.adds) {
				f(c.adds[k])
			}
		}
	})
	f(g.barrier[g.n+r])
}

// peel takes away nodes without predecessors, again and again, and gives them in a topological order. All of them: there is no cycle.
func (g *graph) peel() []int32 {
	degree := make([]int32, g.nodes())
	count := func(to int32) { degree[to]++ }
	for v := range int32(g.nodes()) {
		g.successors(v, count)
	}
	order := make([]int32, 0, g.nodes())
	for v, d := range degree {
		if d == 0 {
			order = append(order, int32(v))
		}
	}
	take := func(to int32) {
		if degree[to]--; degree[to] == 0 {
			order = append(order, to)
		}
	}
	for i := 0; i < len(order); i++ {
		g.successors(order[i], take)
	}
	return order
}
