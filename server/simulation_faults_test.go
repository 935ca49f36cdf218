package server

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/quipudb/quipu/proto/command/v1"
	"github.com/quipudb/quipu/server/transport"
)

// fault is something that goes wrong and comes right again. It does its harm at once and gives what undoes it; nil if it did nothing.
type fault struct {
	name   string
	weight int
	most   time.Duration // that it lasts
	strike func(*simulation) (mend func())
}

// someone is a node that is up, or "".
func (s *simulation) someone() string {
	for _, i := range s.rng.Perm(len(s.names)) {
		if s.life(s.names[i]) != nil {
			return s.names[i]
		}
	}
	return ""
}

// leads is the name of the node that leads a group, or "".
func (s *simulation) leads(g transport.Group) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.leadsLocked(g)
}

func (s *simulation) leadsLocked(g transport.Group) string {
	for _, name := range s.names {
		if l := s.lives[name]; l != nil {
			if r := l.n.replica(g); r != nil {
				if _, err := r.Leading(); err == nil {
					return name
				}
			}
		}
	}
	return ""
}

func (s *simulation) group() transport.Group { return transport.Group(s.rng.IntN(s.world.shards + 1)) }

// leader is the leader of some group, or whoever is up.
func (s *simulation) leader() string {
	if name := s.leads(s.group()); name != "" {
		return name
	}
	return s.someone()
}

func (s *simulation) crashed(name string) func() {
	if name == "" {
		return nil
	}
	percent := []int{0, 50, 100}[s.rng.IntN(3)]
	s.note("%s crashes; %d %% of what was not synced is kept", name, percent)
	s.down(name, true, percent)
	return func() { s.up(name) }
}

// powerCut crashes every node at once.
func (s *simulation) powerCut() func() {
	percent := []int{0, 50, 100}[s.rng.IntN(3)]
	s.note("power cut; %d %% of what was not synced is kept", percent)
	var wg sync.WaitGroup
	for _, name := range s.names {
		wg.Go(func() { s.down(name, true, percent) })
	}
	wg.Wait()
	return s.upAll
}

// cutWays cuts directions and mends them all.
func (s *simulation) cutWays(ways ...[2]string) func() {
	s.note("cut %v", ways)
	for _, w := range ways {
		s.net.Cut(w[0], w[1])
	}
	return func() {
		for _, w := range ways {
			s.net.Mend(w[0], w[1])
		}
	}
}

func (s *simulation) ways(name string, in, out bool) (ways [][2]string) {
	for _, other := range s.names {
		if other != name && in {
			ways = append(ways, [2]string{other, name})
		}
		if other != name && out {
			ways = append(ways, [2]string{name, other})
		}
	}
	return ways
}

// frozen stands still: nothing arrives, nothing leaves, nothing is written; its callers wait.
func (s *simulation) frozen(name string) func() {
	l := s.life(name)
	if l == nil {
		return nil
	}
	s.mu.Lock()
	disk := s.disks[name]
	s.mu.Unlock()
	awake := make(chan struct{})
	l.sleep.Store(&awake)
	disk.Stall()
	mend := s.cutWays(s.ways(name, true, true)...)
	return func() {
		mend()
		disk.Resume()
		l.sleep.Store(nil)
		close(awake)
	}
}

// everyFault is the matrix.
var everyFault = []fault{
	{"crash", 3, 6 * time.Second, func(s *simulation) func() { return s.crashed(s.someone()) }},
	{"crash of a leader", 4, 6 * time.Second, func(s *simulation) func() { return s.crashed(s.leader()) }},
	{"crash of the meta leader", 2, 6 * time.Second, func(s *simulation) func() { return s.crashed(s.leads(transport.Meta)) }},
	{"power cut of all", 2, 2 * time.Second, func(s *simulation) func() { return s.powerCut() }},
	{"stop and start", 2, 3 * time.Second, func(s *simulation) func() {
		name := s.someone()
		if name == "" {
			return nil
		}
		s.note("%s is stopped", name)
		s.down(name, false, 0)
		return func() { s.up(name) }
	}},
	{"isolation", 2, 5 * time.Second, func(s *simulation) func() {
		name := s.leader()
		s.note("%s is isolated", name)
		s.net.Isolate(name)
		return func() { s.net.Heal(name) }
	}},
	{"silent isolation", 3, 6 * time.Second, func(s *simulation) func() { return s.cutWays(s.ways(s.leader(), true, true)...) }},
	{"nothing gets in", 2, 5 * time.Second, func(s *simulation) func() { return s.cutWays(s.ways(s.leader(), true, false)...) }},
	{"nothing gets out", 3, 5 * time.Second, func(s *simulation) func() { return s.cutWays(s.ways(s.leader(), false, true)...) }},
	{"one link", 2, 5 * time.Second, func(s *simulation) func() {
		i := s.rng.Perm(len(s.names))
		a, b := s.names[i[0]], s.names[i[1]]
		return s.cutWays([2]string{a, b}, [2]string{b, a})
	}},
	{"one direction of one link", 2, 5 * time.Second, func(s *simulation) func() {
		i := s.rng.Perm(len(s.names))
		return s.cutWays([2]string{s.names[i[0]], s.names[i[1]]})
	}},
	{"halves", 2, 5 * time.Second, func(s *simulation) func() { // that hear nothing of each other; the leader of some group is in one of them
		return s.cutWays(s.between(s.half(s.leader()))...)
	}},
	{"ring", 1, 5 * time.Second, func(s *simulation) func() { // each hears its neighbour on one side only
		var ways [][2]string
		for i, name := range s.names {
			ways = append(ways, [2]string{name, s.names[(i+1)%len(s.names)]})
		}
		return s.cutWays(ways...)
	}},
	{"pause", 3, 7 * time.Second, func(s *simulation) func() {
		name := s.leader()
		s.note("%s stands still", name)
		return s.frozen(name)
	}},
	{"short pause", 3, 700 * time.Millisecond, func(s *simulation) func() { return s.frozen(s.leader()) }},
	{"slow disk", 1, 3 * time.Second, func(s *simulation) func() {
		name := s.leader()
		s.mu.Lock()
		disk := s.disks[name]
		s.mu.Unlock()
		if disk == nil {
			return nil
		}
		s.note("the disk of %s stands still", name)
		disk.Stall()
		return disk.Resume
	}},
	{"failed write", 1, 3 * time.Second, func(s *simulation) func() {
		name := s.someone()
		if name == "" {
			return nil
		}
		s.mu.Lock()
		s.broken[name] = true
		disk := s.disks[name]
		s.mu.Unlock()
		s.note("writes of %s fail", name)
		disk.Break(errors.New("input/output error"))
		return func() {
			again := s.crashed(name)
			s.mu.Lock()
			s.disks[name].Break(nil)
			delete(s.broken, name)
			s.mu.Unlock()
			again()
		}
	}},
	{"wrong clock", 3, 8 * time.Second, func(s *simulation) func() {
		name := s.leader()
		clock := s.clocks[name]
		if clock == nil || s.anyClockOff() {
			return nil // what is promised is that one wrong clock does no harm
		}
		off := []time.Duration{time.Hour, -time.Hour, 365 * 24 * time.Hour, 7 * time.Second, -7 * time.Second, 20 * time.Minute}[s.rng.IntN(6)]
		s.note("the clock of %s is off by %v", name, off)
		clock.Store(int64(off))
		return func() { clock.Store(0) }
	}},
	{"storm", 2, 6 * time.Second, func(s *simulation) func() {
		s.note("storm")
		s.net.SetWeather(storm)
		return func() { s.net.SetWeather(calm) }
	}},
	{"bad post", 3, 6 * time.Second, func(s *simulation) func() {
		s.note("bad post")
		s.post.Store(&badPost)
		return func() { s.post.Store(&goodPost) }
	}},
	{"transfers in bad post", 2, 5 * time.Second, func(s *simulation) func() {
		s.note("bad post, and leaders change")
		s.post.Store(&badPost)
		end := s.handing(s.group(), s.group())
		return func() {
			end()
			s.post.Store(&goodPost)
		}
	}},
	{"transfers in a storm", 2, 4 * time.Second, func(s *simulation) func() {
		s.note("storm, and leaders change")
		s.net.SetWeather(storm)
		end := s.handing(transport.Meta, s.group())
		return func() {
			end()
			s.net.SetWeather(calm)
		}
	}},
	{"transfers", 3, 2 * time.Second, func(s *simulation) func() {
		for g := range s.world.shards + 1 {
			s.hand(transport.Group(g))
		}
		return func() {}
	}},
}

func (s *simulation) anyClockOff() bool {
	for _, c := range s.clocks { // any order
		if c.Load() != 0 {
			return true
		}
	}
	return false
}

// memberFaults change who belongs to the cluster.
var memberFaults = []fault{
	{"join", 2, time.Second, func(s *simulation) func() {
		for _, name := range s.names[len(s.names)-s.late:] {
			if s.life(name) == nil {
				return func() { s.up(name) }
			}
		}
		return nil
	}},
	{"drain", 3, 12 * time.Second, func(s *simulation) func() {
		l := s.life(s.someone())
		if l == nil {
			return nil
		}
		s.note("%s is drained: %v", l.n.id.Node, s.setState(l.n.id.Node, command.NodeDraining, time.Now().Add(time.Second))) // it may be even if nobody has said so
		return func() {
			if !s.setState(l.n.id.Node, command.NodeActive, time.Now().Add(time.Minute)) {
				s.t.Errorf("node %s cannot be made active again", l.n.id.Node)
			}
		}
	}},
}

// setState says what is wanted of a node, until it is heard.
func (s *simulation) setState(node string, state command.NodeState, until time.Time) bool {
	for choice := 0; time.Now().Before(until); choice++ {
		if s.call(s.t.Context(), choice, 3*time.Second, func(ctx context.Context, n *Node) error {
			return n.SetNodeState(ctx, node, state.String())
		}) == nil {
			return true
		}
		_ = pause(s.t.Context(), 100*time.Millisecond)
	}
	return false
}

// hand moves the leadership of a group to some other voter.
func (s *simulation) hand(g transport.Group) {
	l := s.life(s.leads(g))
	if l == nil {
		return
	}
	s.mu.Lock()
	here := l == s.lives[s.leadsLocked(g)]
	if here {
		l.calls.Add(1)
	}
	s.mu.Unlock()
	if !here {
		return
	}
	r := l.n.replica(g)
	go func() { // bounded by the election timeout; the node waits for it
		defer l.calls.Done()
		if r != nil {
			s.note("leadership of %s is handed over: %v", g, r.HandOver())
		}
	}()
}

// handing moves the leaderships of groups on and on, until its end.
func (s *simulation) handing(groups ...transport.Group) (end func()) {
	ctx, stop := context.WithCancel(s.t.Context())
	var wg sync.WaitGroup
	for _, g := range groups {
		wg.Go(func() {
			for pause(ctx, time.Duration(100+s.rng.IntN(500))*time.Millisecond) == nil {
				s.hand(g)
			}
		})
	}
	return func() {
		stop()
		wg.Wait()
	}
}

// half is a node and some of the others, not all.
func (s *simulation) half(name string) map[string]bool {
	in := map[string]bool{name: true}
	for _, i := range s.rng.Perm(len(s.names))[:1+s.rng.IntN(len(s.names)/2)] {
		in[s.names[i]] = true
	}
	return in
}

// between are all directions between the nodes of a set and the others.
func (s *simulation) between(in map[string]bool) (ways [][2]string) {
	for _, a := range s.names {
		for _, b := range s.names {
			if in[a] != in[b] {
				ways = append(ways, [2]string{a, b})
			}
		}
	}
	return ways
}

// upAll starts all nodes that are down, at once: none is up before a majority is.
func (s *simulation) upAll() {
	var wg sync.WaitGroup
	for _, name := range s.names {
		if s.life(name) == nil {
			wg.Go(func() { s.up(name) })
		}
	}
	wg.Wait()
}

// nemesis strikes until ctx ends, now and then twice at a time, and mends everything.
func (s *simulation) nemesis(ctx context.Context) {
	total := 0
	for _, f := range s.faults {
		total += f.weight
	}
	for total > 0 && ctx.Err() == nil {
		_ = pause(ctx, time.Duration(300+s.rng.IntN(2500))*time.Millisecond)
		strikes := 1
		if s.rng.IntN(4) == 0 {
			strikes = 2
		}
		var mends []func()
		for range strikes {
			f := s.pick(total)
			s.note("fault: %s", f.name)
			mend := f.strike(s)
			if mend == nil {
				continue
			}
			s.counts[f.name]++
			mends = append(mends, mend)
			_ = pause(ctx, time.Duration(float64(f.most)*(0.1+0.9*s.rng.Float64()))/time.Duration(strikes))
		}
		var wg sync.WaitGroup // all at once: a node is up when a majority is, and each may be what the other waits for
		for _, mend := range mends {
			wg.Go(mend)
		}
		wg.Wait()
	}
}

func (s *simulation) pick(total int) fault {
	k := s.rng.IntN(total)
	for _, f := range s.faults {
		if k -= f.weight; k < 0 {
			return f
		}
	}
	panic(fmt.Sprint("weights are wrong: ", total))
}
