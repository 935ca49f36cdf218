package server

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/quipudb/quipu/server/replica"
	"github.com/quipudb/quipu/server/rounds"
	"github.com/quipudb/quipu/server/transport"
	"github.com/quipudb/quipu/server/transport/transporttest"
	"github.com/quipudb/quipu/storage/schema"
)

// Faults that are aimed: each brings about the moment at which one step of a protocol is all that stands between a reader and a wrong answer.
// Chance meets these moments too seldom for a step that is missing to show within some dozens of seeds.

// fates are what becomes of Raft's messages beside what the post does to all.
type fates struct {
	mu     sync.Mutex // guards the fields below
	mute   map[path]bool
	empty  map[transport.Group]bool
	deaf   map[path]bool
	behind map[path]bool
}

// path is a node's end of a group: by name where messages begin, by id where they arrive.
type path struct {
	node string
	g    transport.Group
}

func (f *fates) of(from string, g transport.Group, m transporttest.Message, p transporttest.Post) transporttest.Post {
	f.mu.Lock()
	defer f.mu.Unlock()
	to := path{string(m.To), g}
	switch {
	case f.mute[path{from, g}], m.Entries && (f.empty[g] || f.deaf[to]):
		p.Lost = 1
	case m.Entries && f.behind[to]:
		p.Late, p.LateMax = 1, 300*time.Millisecond
	}
	return p
}

// with makes a change until it is mended.
func with[K comparable](f *fates, m *map[K]bool, keys ...K) (mend func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if *m == nil {
		*m = map[K]bool{}
	}
	for _, k := range keys {
		(*m)[k] = true
	}
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		for _, k := range keys {
			delete(*m, k)
		}
	}
}

// to moves the leadership of a group to a node, if that goes soon.
func (s *simulation) to(g transport.Group, name string) bool {
	l := s.life(name)
	for range 20 {
		now := s.leads(g)
		if now == name || l == nil {
			return l != nil
		}
		if at := s.life(now); at != nil {
			s.mu.Lock()
			up := s.lives[now] == at
			if up {
				at.calls.Add(1)
			}
			s.mu.Unlock()
			if r := at.n.replica(g); up {
				if r != nil {
					_ = r.Transfer(l.n.id.Node)
				}
				at.calls.Done()
			}
		}
		_ = pause(s.t.Context(), 50*time.Millisecond)
	}
	return false
}

func (s *simulation) shards() (all []transport.Group) {
	for id := range s.world.shards {
		all = append(all, transport.Shard(schema.ShardID(id)))
	}
	return all
}

// unawares has a leader not notice that its group goes on without it: its raft waits for the disk, and nothing that it sends in the group arrives. All
// else works, so that it is asked, and would answer.
func (s *simulation) unawares(name string, g transport.Group) (mend func()) {
	s.mu.Lock()
	disk := s.disks[name]
	s.mu.Unlock()
	s.note("%s will not notice that it leads %s no more", name, g)
	disk.Stall()
	_ = pause(s.t.Context(), 150*time.Millisecond) // until a write waits for the disk
	speaks := with(&s.fates, &s.fates.mute, path{name, g})
	return func() {
		speaks()
		disk.Resume()
	}
}

// roundFaults aim at snapshot rounds and read indices.
var roundFaults = []fault{
	{"a shard's leader is deposed unawares", 6, 2500 * time.Millisecond, func(s *simulation) func() {
		name, g := s.leads(transport.Meta), s.shards()[s.rng.IntN(s.world.shards)]
		if name == "" || !s.to(g, name) {
			return nil
		}
		return s.unawares(name, g)
	}},
	{"the meta leader is deposed unawares", 6, 2500 * time.Millisecond, func(s *simulation) func() {
		name := s.leads(transport.Meta)
		if name == "" {
			return nil
		}
		for i, g := range s.shards() { // so that they go on, at several nodes
			other := s.names[(int(name[0]-'a')+1+i)%len(s.names)]
			if other == name {
				other = s.names[(int(name[0]-'a')+1)%len(s.names)]
			}
			_ = s.to(g, other)
		}
		return s.unawares(name, transport.Meta)
	}},
	{"a leader that cannot tell", 6, 1500 * time.Millisecond, func(s *simulation) func() { // what is in the log before its term, it does not know to be committed
		g := s.group()
		name := s.leads(g)
		if name == "" {
			return nil
		}
		tells := with(&s.fates, &s.fates.empty, g)
		up := s.crashed(name)
		return func() {
			tells()
			up()
		}
	}},
	{"a follower is behind", 4, 4 * time.Second, func(s *simulation) func() {
		l := s.life(s.someone())
		if l == nil {
			return nil
		}
		var to []path
		for _, g := range s.shards() {
			to = append(to, path{l.n.id.Node, g})
		}
		return with(&s.fates, &s.fates.behind, to...)
	}},
	{"transfers", 3, 2 * time.Second, func(s *simulation) func() {
		for g := range s.world.shards + 1 {
			s.hand(transport.Group(g))
		}
		return func() {}
	}},
	{"isolation", 1, 2 * time.Second, func(s *simulation) func() {
		name := s.leader()
		s.net.Isolate(name)
		return func() { s.net.Heal(name) }
	}},
	{"quiet", 4, 2 * time.Second, func(*simulation) func() { return func() {} }},
}

// strayFaults leave the most to what happens to a stray's rounds.
var strayFaults = []fault{
	{"crash of a leader", 1, time.Second, func(s *simulation) func() { return s.crashed(s.leader()) }},
	{"quiet", 5, 4 * time.Second, func(*simulation) func() { return func() {} }},
}

// crashFaults aim at what must be saved, and when.
var crashFaults = []fault{
	{"power cut of all", 3, time.Second, func(s *simulation) func() { return s.powerCut() }},
	{"power cut after a checkpoint", 6, time.Second, func(s *simulation) func() {
		_ = pause(s.t.Context(), 1500*time.Millisecond)
		return s.powerCut()
	}},
	{"crash of a leader", 4, 2 * time.Second, func(s *simulation) func() { return s.crashed(s.leader()) }},
	{"stop and start", 2, time.Second, func(s *simulation) func() {
		name := s.someone()
		if name == "" {
			return nil
		}
		s.down(name, false, 0)
		return func() { s.up(name) }
	}},
	{"transfers", 2, time.Second, func(s *simulation) func() {
		for g := range s.world.shards + 1 {
			s.hand(transport.Group(g))
		}
		return func() {}
	}},
}

// catalogFaults aim at leaders of shards that lag behind the meta group.
var catalogFaults = []fault{
	{"no news", 8, 1500 * time.Millisecond, func(s *simulation) func() {
		name := s.someone()
		l := s.life(name)
		if l == nil || s.leads(transport.Meta) == name {
			return nil
		}
		s.note("%s hears nothing of the meta group, and is to lead the shards", name)
		hears := with(&s.fates, &s.fates.deaf, path{l.n.id.Node, transport.Meta})
		_ = pause(s.t.Context(), 1500*time.Millisecond)
		for _, g := range s.shards() {
			_ = s.to(g, name)
		}
		return hears
	}},
	{"power cut of all", 2, time.Second, func(s *simulation) func() { return s.powerCut() }},
	{"crash of a leader", 3, 2 * time.Second, func(s *simulation) func() { return s.crashed(s.leader()) }},
	{"bad post", 2, 2 * time.Second, func(s *simulation) func() {
		s.post.Store(&badPost)
		return func() { s.post.Store(&goodPost) }
	}},
}

// learnerFaults aim at who is counted for a majority.
var learnerFaults = []fault{
	// Who has no vote must be on the leader's side: where it hears the next leader it knows the later term, and says so.
	{"a leader is alone with who has no vote", 20, 3 * time.Second, func(s *simulation) func() {
		name := s.leads(transport.Meta)
		l := s.life(name)
		if l == nil {
			return nil
		}
		side := map[string]bool{name: true}
		for _, m := range l.n.replica(transport.Meta).Members() {
			for _, other := range s.names {
				if o := s.life(other); !m.Voter && o != nil && o.n.id.Node == m.Node {
					side[other] = true
				}
			}
		}
		if len(side) == 1 {
			return nil
		}
		mend := s.unawares(name, transport.Meta)
		heal := s.cutWays(s.between(side)...)
		return func() {
			heal()
			mend()
		}
	}},
}

// dawdling gives what stands before the leaders that one life of a node asks in rounds.
func (s *simulation) dawdling(name string) func(rounds.Participant) rounds.Participant {
	r := rand.New(&lockedSource{src: rand.NewPCG(s.seed, uint64(4000+int(name[0])))})
	var mu sync.Mutex
	known := map[rounds.Participant]*dawdler{}
	return func(p rounds.Participant) rounds.Participant {
		mu.Lock()
		defer mu.Unlock()
		if known[p] == nil {
			known[p] = &dawdler{p, s, r}
		}
		return known[p]
	}
}

// dawdler lets each step of a round come to each shard in its own time, and PREPARE to some twice.
type dawdler struct {
	rounds.Participant
	s *simulation
	r *rand.Rand
}

const (
	dawdleMax = 90 * time.Millisecond  // three steps stay within the time that a round has
	twiceMax  = 400 * time.Millisecond // after which PREPARE comes once more
)

// each calls one for each of n shards, in its own time.
func (d *dawdler) each(ctx context.Context, n int, one func(i int)) {
	var wg sync.WaitGroup
	for i := range n {
		wait := time.Duration(0)
		if d.r.IntN(2) == 0 {
			wait = time.Duration(d.r.Int64N(int64(dawdleMax)))
		}
		if until, ok := ctx.Deadline(); ok && time.Until(until) < dawdleMax {
			wait = 0 // a replica is given up after a moment
		}
		wg.Go(func() {
			_ = pause(ctx, wait)
			one(i)
		})
	}
	wg.Wait()
}

// Prepare closes gates.
func (d *dawdler) Prepare(ctx context.Context, round replica.Round, shards []schema.ShardID) []rounds.Prepared {
	out := make([]rounds.Prepared, len(shards))
	d.each(ctx, len(shards), func(i int) {
		out[i] = d.Participant.Prepare(ctx, round, shards[i:i+1])[0]
		if d.r.IntN(4) == 0 {
			wait := time.Duration(d.r.Int64N(int64(twiceMax)))
			d.s.steps.Go(func() {
				ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
				defer cancel()
				_ = pause(ctx, wait)
				_ = d.Participant.Prepare(ctx, round, shards[i:i+1])
			})
		}
	})
	return out
}

// Open takes snapshots.
func (d *dawdler) Open(ctx context.Context, round replica.Round, holds []rounds.Hold) []rounds.Opened {
	out := make([]rounds.Opened, len(holds))
	d.each(ctx, len(holds), func(i int) { out[i] = d.Participant.Open(ctx, round, holds[i:i+1])[0] })
	return out
}

// Commit lets go of holds.
func (d *dawdler) Commit(ctx context.Context, round replica.Round, holds []rounds.Hold) []error {
	out := make([]error, len(holds))
	d.each(ctx, len(holds), func(i int) { out[i] = d.Participant.Commit(ctx, round, holds[i:i+1])[0] })
	return out
}
