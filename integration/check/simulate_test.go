package check

import (
	"cmp"
	"math/rand/v2"
	"slices"
)

// workload sizes a simulated history.
type workload struct {
	shards, clients int
	adds, reads     int // a client
	deltaMax        int64
	wide            bool // every read covers all shards
	calm            bool // every add is acknowledged
}

var (
	small  = workload{shards: 2, clients: 3, adds: 2, reads: 1, deltaMax: 4}
	medium = workload{shards: 4, clients: 8, adds: 60, reads: 25, deltaMax: 1 << 32}
)

// bug makes the simulated store worse than it promises. Its chance applies to each operation that it could hit.
type bug struct {
	name   string
	chance float64
	add    func(s *store, e *event, r *rand.Rand) // in place of counting an acknowledged add
	read   func(s *store, e *event, r *rand.Rand) // moves the instants of a read's views
	refuse bool                                   // refused adds are counted
}

var sound = bug{name: "sound"}

// event is an operation at the instant that it takes effect: an add, or one view of a read.
type event struct {
	at        float64
	add, read int // one of them is ≥ 0
	view      int
}

// store is counters with one instant for each operation. It is strictly serializable: a serial order by instants explains everything.
type store struct {
	h      *History
	events []event
	cells  []int64 // shard × writers
	sums   []int64 // by shard
	later  []event // adds that a bug has put off
}

// simulate makes the history of a run: each client is a loop of adds and reads with random pauses, and every operation takes effect at one
// random instant of its interval. One add in twenty is of unknown outcome, and counted before or after its client has given up, or never;
// one in twenty is refused.
func simulate(seed uint64, w workload, b bug) *History {
	r := rand.New(rand.NewPCG(seed, 1))
	s := &store{h: &History{Shards: w.shards}}
	for client := range w.clients {
		s.client(client, w, r)
	}
	s.spread(b, r)
	s.run(b, r)
	return s.h
}

// client lays out what one client does. Times are small integers at first, so that ties occur.
func (s *store) client(client int, w workload, r *rand.Rand) {
	now, writer := r.Int64N(8), s.writer()
	ops := append(slices.Repeat([]bool{true}, w.adds), slices.Repeat([]bool{false}, w.reads)...)
	r.Shuffle(len(ops), func(i, j int) { ops[i], ops[j] = ops[j], ops[i] })
	for _, add := range ops {
		call := now
		now += 1 + r.Int64N(12)
		if !add {
			s.h.Reads = append(s.h.Reads, Read{Client: client, Call: call, Return: now, Views: views(w, r)})
			now += r.Int64N(4)
			continue
		}
		outcome := Acked
		switch chance := r.IntN(20); {
		case chance == 0 && !w.calm:
			outcome = Unknown
		case chance == 1 && !w.calm:
			outcome = Refused
		}
		first := r.IntN(w.shards)
		for k := range 1 + r.IntN(2) { // some requests touch two shards
			if k > 0 && w.shards == 1 {
				break
			}
			a := Add{Client: client, Writer: writer, Shard: (first + k) % w.shards, Delta: 1 + r.Int64N(w.deltaMax), Call: call, Return: now, Outcome: outcome}
			if outcome == Unknown {
				a.Return = Never
			}
			s.h.Adds = append(s.h.Adds, a)
		}
		if outcome == Unknown {
			writer = s.writer()
		}
		now += r.Int64N(4)
	}
}

func (s *store) writer() int {
	s.h.Writers++
	return s.h.Writers - 1
}

func views(w workload, r *rand.Rand) []View {
	var all []View
	for shard := range w.shards {
		if w.wide || r.IntN(2) == 0 {
			all = append(all, View{Shard: shard})
		}
	}
	if len(all) == 0 {
		all = append(all, View{Shard: r.IntN(w.shards)})
	}
	return all
}

// spread gives every operation its instant.
func (s *store) spread(b bug, r *rand.Rand) {
	for i, a := range s.h.Adds {
		e := event{at: within(r, a.Call, a.Return), add: i, read: -1}
		switch {
		case a.Outcome == Refused && !b.refuse, a.Outcome == Unknown && r.IntN(3) == 0:
			continue
		case a.Outcome == Unknown:
			e.at = float64(a.Call) + r.Float64()*100
		}
		s.events = append(s.events, e)
	}
	for i, x := range s.h.Reads {
		at := within(r, x.Call, x.Return)
		for v := range x.Views {
			e := event{at: at, add: -1, read: i, view: v}
			if b.read != nil && r.Float64() < b.chance {
				b.read(s, &e, r)
			}
			s.events = append(s.events, e)
		}
	}
	slices.SortStableFunc(s.events, func(a, b event) int { return cmp.Compare(a.at, b.at) })
}

func within(r *rand.Rand, from, to int64) float64 {
	return float64(from) + r.Float64()*float64(to-from)
}

// run lets everything take effect in order.
func (s *store) run(b bug, r *rand.Rand) {
	s.cells, s.sums = make([]int64, s.h.Shards*s.h.Writers), make([]int64, s.h.Shards)
	for i := range s.events {
		e := &s.events[i]
		for len(s.later) > 0 && s.later[0].at < e.at {
			s.count(s.later[0].add, 1, 1)
			s.later = s.later[1:]
		}
		switch {
		case e.add < 0:
			s.look(e)
		case b.add != nil && s.h.Adds[e.add].Outcome == Acked && r.Float64() < b.chance:
			b.add(s, e, r)
		default:
			s.count(e.add, 1, 1)
		}
	}
}

// count adds to the writer's cell and to the shared one, so many times.
func (s *store) count(add int, cell, sum int64) {
	a := &s.h.Adds[add]
	s.cells[a.Shard*s.h.Writers+a.Writer] += cell * a.Delta
	s.sums[a.Shard] += sum * a.Delta
}

func (s *store) look(e *event) {
	v := &s.h.Reads[e.read].Views[e.view]
	v.Cells = slices.Clone(s.cells[v.Shard*s.h.Writers : (v.Shard+1)*s.h.Writers])
	v.Sum = s.sums[v.Shard]
}

// bugs is what a store can do wrong. Each is caught, see TestPlantedBugsAreCaught.
var bugs = []bug{
	{name: "lost add", chance: 0.01, add: func(*store, *event, *rand.Rand) {}},
	{name: "doubled add", chance: 0.01, add: func(s *store, e *event, _ *rand.Rand) { s.count(e.add, 2, 2) }},
	{name: "doubled later", chance: 0.01, add: func(s *store, e *event, _ *rand.Rand) {
		s.count(e.add, 1, 1)
		s.later = append(s.later, event{at: e.at + 50, add: e.add})
	}},
	{name: "half a part", chance: 0.01, add: func(s *store, e *event, _ *rand.Rand) { s.count(e.add, 1, 0) }},
	{name: "the other half", chance: 0.01, add: func(s *store, e *event, _ *rand.Rand) { s.count(e.add, 0, 1) }},
	{name: "wrong shard", chance: 0.01, add: func(s *store, e *event, _ *rand.Rand) {
		a := s.h.Adds[e.add]
		a.Shard = (a.Shard + 1) % s.h.Shards
		s.cells[a.Shard*s.h.Writers+a.Writer] += a.Delta
		s.sums[a.Shard] += a.Delta
	}},
	{name: "acknowledged before it counts", chance: 0.02, add: func(s *store, e *event, _ *rand.Rand) {
		s.later = append(s.later, event{at: float64(s.h.Adds[e.add].Return) + 20, add: e.add})
		slices.SortStableFunc(s.later, func(a, b event) int { return cmp.Compare(a.at, b.at) })
	}},
	{name: "refused and counted", refuse: true},
	{name: "a view of the past", chance: 0.02, read: func(s *store, e *event, r *rand.Rand) { e.at = float64(s.h.Reads[e.read].Call) - 1 - 20*r.Float64() }},
	{name: "a view of the future", chance: 0.02, read: func(s *store, e *event, r *rand.Rand) {
		e.at = float64(s.h.Reads[e.read].Return) + 1 + 20*r.Float64()
	}},
	{name: "each shard at its own instant", chance: 1, read: func(s *store, e *event, r *rand.Rand) {
		e.at = within(r, s.h.Reads[e.read].Call, s.h.Reads[e.read].Return)
	}},
}
