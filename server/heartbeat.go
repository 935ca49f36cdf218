package server

import (
	"context"
	"maps"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	peerv1 "github.com/quipudb/quipu/proto/peer/v1"
	"github.com/quipudb/quipu/server/errcode"
	"github.com/quipudb/quipu/server/transport"
	"github.com/quipudb/quipu/storage/schema"
)

// Every beat a node tells the meta leader how it does, and hears how those nodes do that have replicas of shards. Nothing of it is in a log.
// A beat is one message each way, whatever the number of nodes: the answer grows with the number of replicas, which the number of shards
// decides.

// Times of heartbeats.
const (
	beatEvery  = 5 * time.Second
	beatWait   = 2 * time.Second
	silentFrom = 3 * beatEvery // a node not heard of for as long serves nobody by weight
)

// health is what is known of a node.
type health struct {
	load    Load
	rtt     time.Duration
	entries map[transport.Group]uint64 // applied within the last beats
	at      time.Time                  // when it was heard, by this node's clock
}

// weight says how much of the reading a node is given, as the heartbeats have it. It lies between 0.2 and 1.
//
//	0.40 · 1/(1+cpu)  +  0.35 · free share of the memory  +  0.25 · exp(−RTT/50 ms)
func (h health) weight() float64 {
	return 0.40/(1+h.load.CPU) + 0.35*h.load.MemoryFree + 0.25*math.Exp(-float64(h.rtt)/float64(50*time.Millisecond))
}

// pulse is a node's heart: the windows of its own readings, and what it has heard of others.
type pulse struct {
	load func() Load

	cpu, memory, rtt window                              // beat owns, as applied
	applied          map[transport.Group][]uint64        // indexes at the last beats, and the one before them
	others           atomic.Pointer[map[string]health]   // as this node has last heard; never nil once the node runs
	mu               sync.Mutex                          // guards heard
	heard            map[string]*peerv1.HeartbeatRequest // by the meta leader
	heardAt          map[string]time.Time                // of heard
}

func newPulse(load func() Load) *pulse {
	if load == nil {
		load = new(machine).look
	}
	p := &pulse{load: load, applied: map[transport.Group][]uint64{}, heard: map[string]*peerv1.HeartbeatRequest{}, heardAt: map[string]time.Time{}}
	p.others.Store(&map[string]health{})
	return p
}

// beat runs while the node does. Nodes read their indexes at the same moments, as far as their clocks agree: what voters have applied within
// a minute is compared, and a burst must not lie in the window of one of them alone.
func (n *Node) beat(ctx context.Context) {
	for {
		n.takePulse()
		asked, cancel := context.WithTimeout(ctx, beatWait)
		err := n.sendPulse(asked)
		cancel()
		if err != nil && ctx.Err() == nil {
			n.cfg.Logger.Debug("the meta leader did not hear this node", "err", err)
		}
		now := n.cfg.Now()
		if pause(ctx, now.Truncate(beatEvery).Add(beatEvery).Sub(now)) != nil {
			return
		}
	}
}

// takePulse reads loads and indexes.
func (n *Node) takePulse() {
	p := n.pulse
	l := p.load()
	p.cpu.add(l.CPU)
	p.memory.add(l.MemoryFree)
	here := map[transport.Group]bool{}
	for _, s := range n.held() {
		g := transport.Shard(s.id)
		here[g] = true
		s.peak.see(n.cfg.Now(), s.machine.Status().Observed)
		list := append(p.applied[g], s.replica.Store().Applied().Index)
		if len(list) > beatsMax+1 {
			list = slices.Delete(list, 0, 1)
		}
		p.applied[g] = list
	}
	maps.DeleteFunc(p.applied, func(g transport.Group, _ []uint64) bool { return !here[g] })
}

func (n *Node) pulseMessage() *peerv1.HeartbeatRequest {
	p := n.pulse
	m := &peerv1.HeartbeatRequest{Node: n.id.Node, Cpu: p.cpu.median(), MemoryFree: p.memory.median(), RttUs: int64(p.rtt.median())}
	for _, g := range slices.Sorted(maps.Keys(p.applied)) {
		list := p.applied[g]
		m.Groups = append(m.Groups, &peerv1.GroupProgress{Group: uint32(g), Entries: list[len(list)-1] - list[0]})
	}
	return m
}

// sendPulse tells the meta leader, and takes in what it says.
func (n *Node) sendPulse(ctx context.Context) error {
	m := n.pulseMessage()
	node := n.meta.Leader()
	switch node {
	case "":
		return errcode.New(errcode.NotLeader, "the meta group has no leader that this node knows of")
	case n.id.Node:
		r, err := n.hear(m)
		if err == nil {
			n.pulse.rtt.add(0)
			n.learn(r)
		}
		return err
	}
	began := time.Now()
	r, err := n.peers.Heartbeat(ctx, node, m)
	if err != nil {
		return err
	}
	n.pulse.rtt.add(float64(time.Since(began).Microseconds()))
	n.learn(r)
	return nil
}

// hear takes in the beat of a node, as meta leader, and tells what was heard of nodes with replicas of shards.
func (n *Node) hear(m *peerv1.HeartbeatRequest) (*peerv1.HeartbeatResponse, error) {
	if _, err := n.meta.Leading(); err != nil {
		return nil, err
	}
	p, now := n.pulse, time.Now()
	v := n.machine.View()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.heard[m.Node], p.heardAt[m.Node] = m, now
	for id := range p.heard { // any order
		if _, known := v.Node(id); !known && id != n.id.Node {
			delete(p.heard, id)
			delete(p.heardAt, id)
		}
	}
	return p.told(now), nil
}

// told is what was heard of the nodes with replicas. mu is held.
func (p *pulse) told(now time.Time) *peerv1.HeartbeatResponse {
	out := &peerv1.HeartbeatResponse{}
	for _, id := range slices.Sorted(maps.Keys(p.heard)) {
		if b := p.heard[id]; len(b.Groups) > 0 {
			out.Nodes = append(out.Nodes, &peerv1.NodeHealth{Beat: b, AgeMs: now.Sub(p.heardAt[id]).Milliseconds()})
		}
	}
	return out
}

// learn keeps what the meta leader has heard. Nodes that it has not heard of keep what was known of them.
func (n *Node) learn(r *peerv1.HeartbeatResponse) {
	next := maps.Clone(*n.pulse.others.Load())
	for _, h := range r.Nodes {
		b := h.GetBeat()
		to := health{load: Load{CPU: b.GetCpu(), MemoryFree: b.GetMemoryFree()}, rtt: time.Duration(b.GetRttUs()) * time.Microsecond,
			entries: map[transport.Group]uint64{}, at: time.Now().Add(-time.Duration(h.AgeMs) * time.Millisecond)}
		for _, g := range b.GetGroups() {
			to.entries[transport.Group(g.Group)] = g.Entries
		}
		next[b.GetNode()] = to
	}
	v := n.machine.View()
	maps.DeleteFunc(next, func(id string, _ health) bool { _, known := v.Node(id); return !known && id != n.id.Node })
	n.pulse.others.Store(&next)
}

// voterEntries are the entries that each voter of a shard applied within the last beats, as last heard here.
func (n *Node) voterEntries(id schema.ShardID) (out []uint64) {
	others := *n.pulse.others.Load()
	for _, m := range n.replicasOf(id) {
		if m.Voter {
			out = append(out, others[m.Node].entries[transport.Shard(id)])
		}
	}
	return out
}

// picker spreads reads over the replicas of each shard by smooth weighted round robin: each turn every replica gains its weight, the one
// that has most is chosen and gives up the sum of all. (The method is nginx's.)
type picker struct {
	mu      sync.Mutex // guards the fields below
	credits map[schema.ShardID]map[string]float64
	missed  map[schema.ShardID]map[string]time.Time // replicas that lagged behind
}

// missedFor is how long a replica that lagged behind is left out of rounds.
const missedFor = time.Second

// pick chooses one of the replicas, or "" if there is none.
func (p *picker) pick(id schema.ShardID, weights map[string]float64) (node string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.credits == nil {
		p.credits = map[schema.ShardID]map[string]float64{}
	}
	old, sum := p.credits[id], 0.0
	next := make(map[string]float64, len(weights))
	for _, name := range slices.Sorted(maps.Keys(weights)) {
		next[name] = old[name] + weights[name]
		sum += weights[name]
		if node == "" || next[name] > next[node] {
			node = name
		}
	}
	if node != "" {
		next[node] -= sum
	}
	p.credits[id] = next
	return node
}

func (p *picker) miss(id schema.ShardID, node string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.missed == nil {
		p.missed = map[schema.ShardID]map[string]time.Time{}
	}
	if p.missed[id] == nil {
		p.missed[id] = map[string]time.Time{}
	}
	p.missed[id][node] = time.Now()
}

// lags says whether a replica has lagged behind a moment ago.
func (p *picker) lags(id schema.ShardID, node string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	at, ok := p.missed[id][node]
	if ok && time.Since(at) >= missedFor {
		delete(p.missed[id], node)
		ok = false
	}
	return ok
}
