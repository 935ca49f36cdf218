package server

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quipudb/quipu/integration/check"
	"github.com/quipudb/quipu/server/placement"
	"github.com/quipudb/quipu/server/transport"
)

// worlds are what is simulated. Odd seeds elect after 200 ms, so that a minute has more elections.
func worlds() map[string]world {
	return map[string]world{
		"group":    {name: "group", nodes: 3, shards: 1, clients: 5, span: time.Minute, faults: everyFault},
		"bugs":     {name: "bugs", nodes: 3, shards: 2, clients: 8, span: 20 * time.Second, faults: everyFault},
		"learners": {name: "learners", nodes: 4, shards: 2, clients: 8, span: 20 * time.Second, faults: slices.Concat(everyFault, learnerFaults)}, // one of whom has no vote in the meta group
		"rounds":   {name: "rounds", nodes: 3, shards: 2, clients: 8, span: 20 * time.Second, faults: roundFaults, slow: true},
		"strays":   {name: "strays", nodes: 3, shards: 2, clients: 8, span: 20 * time.Second, faults: strayFaults, strays: true},
		"crashes":  {name: "crashes", nodes: 3, shards: 2, clients: 8, span: 20 * time.Second, faults: crashFaults, patient: 4},
		"catalog":  {name: "catalog", nodes: 3, shards: 2, clients: 4, span: 20 * time.Second, faults: catalogFaults, tables: true},
		"shards":   {name: "shards", nodes: 5, late: 1, shards: 4, clients: 8, span: time.Minute, faults: slices.Concat(everyFault, memberFaults)},
	}
}

// A run is a world with seeds from first on.
type seeds struct {
	world       string
	first, many uint64
	span        time.Duration // zero: the world's
}

// planned is what is to be run: what QUIPU_SIMULATE says (world:seed, or world:first-last), the long form, or a taste of it.
func planned(t *testing.T) []seeds {
	if text := os.Getenv("QUIPU_SIMULATE"); text != "" {
		name, which, _ := strings.Cut(text, ":")
		if name == "many" {
			t.Skip("another test runs that world")
		}
		first, last, several := strings.Cut(which, "-")
		a, err := strconv.ParseUint(first, 10, 64)
		b := a
		if err == nil && several {
			b, err = strconv.ParseUint(last, 10, 64)
		}
		if _, ok := worlds()[name]; err != nil || !ok || b < a {
			t.Fatalf("QUIPU_SIMULATE=%s: want a world (group, shards, bugs, learners, rounds, strays, crashes, catalog) and a seed or two, such as group:17 or shards:1-60", text)
		}
		return []seeds{{name, a, b - a + 1, 0}}
	}
	if os.Getenv("QUIPU_SOAK") != "" {
		return []seeds{{"group", 1, 240, 0}, {"shards", 1, 60, 0}, {"rounds", 1, 50, 0}, {"strays", 1, 50, 0}, {"crashes", 1, 50, 0}, {"catalog", 1, 50, 0}, {"learners", 1, 50, 0}}
	}
	return []seeds{{"group", 1, 20, 8 * time.Second}, {"shards", 1, 3, 8 * time.Second}} // about 30 s of CPU
}

// TestSimulation runs clusters in virtual time under the matrix of faults, and holds what clients did and saw to what was promised: zero
// observations lost or doubled, no strict read that is fractured, stale or ahead, replicas equal within seconds of the last fault.
func TestSimulation(t *testing.T) {
	for _, run := range planned(t) {
		for seed := run.first; seed < run.first+run.many; seed++ {
			w := worlds()[run.world]
			w.fast = seed%2 == 1 || run.world != "group" && run.world != "shards"
			if run.span != 0 {
				w.span = run.span
			}
			t.Run(fmt.Sprintf("%s/seed_%d", run.world, seed), func(t *testing.T) {
				var s *simulation
				synctest.Test(t, func(t *testing.T) {
					s = newSimulation(t, w, seed)
					s.run()
				})
				if err := s.meta.judge(searchMax); err != nil {
					t.Error(err)
					s.t = t
					s.keep(s.rec.History())
				}
			})
			if t.Failed() && os.Getenv("QUIPU_PLANTED") != "" {
				return // it was caught
			}
		}
	}
}

// searchMax bounds the search for an order of the calls of one name, by the clock on the wall: it runs outside of the bubble.
const searchMax = time.Minute

func (s *simulation) run() {
	defer func() {
		h := s.rec.History()
		if s.t.Failed() {
			s.keep(h)
		}
		s.t.Logf("%s seed %d: %s; faults %s", s.name, s.seed, h.Summary(), s.struck())
	}()
	defer s.stop()
	for _, name := range s.names[:len(s.names)-s.late] {
		s.up(name)
	}
	s.waitWhole()
	s.found()
	ctx, end := context.WithTimeout(s.t.Context(), s.span)
	defer end()
	var work sync.WaitGroup
	for id := range s.clients {
		work.Go(func() { s.client(ctx, id) })
	}
	work.Go(func() { s.watch(ctx) })
	for id := range metaClients {
		work.Go(func() { s.metaClient(ctx, id) })
	}
	if s.world.strays {
		work.Go(func() { s.stray(ctx) })
	}
	if s.tables {
		work.Go(func() { s.tablesClient(ctx) })
	}
	s.nemesis(ctx)
	s.upAll()
	healed := time.Now()
	s.waitWhole()
	work.Wait()
	s.waitEqual()
	s.note("whole again %v after the last fault", time.Since(healed))
	if d := time.Since(healed); d > convergeMax+time.Duration(s.late)*moveMax {
		s.t.Errorf("the cluster took %v to be whole after the last fault", d)
	}
	s.readAll()
	s.readTables()
	s.judge()
}

// convergeMax bounds the time from the last fault to equal replicas. Clients wait up to four election timeouts for their answers.
const convergeMax = 30 * time.Second

// moveMax is for a node that has come last: replicas move to it, one at a time.
const moveMax = time.Minute

// waitWhole waits until every group has its leader, as many voters as it can have, and each of them heard.
func (s *simulation) waitWhole() {
	s.t.Helper()
	s.wait("every group is whole", func() bool {
		for _, g := range s.groups() {
			n := s.cluster.leader(g)
			if n == nil {
				return false
			}
			voters := 0
			for _, m := range n.replica(g).Members() {
				if m.Voter {
					voters++
				} else if g != transport.Meta {
					return false
				}
			}
			if voters != votersOf(n, g) {
				return false
			}
		}
		return true
	})
}

// votersOf is how many voters a group has with the nodes that there are.
func votersOf(n *Node, g transport.Group) int {
	if g == transport.Meta && len(n.machine.View().Nodes()) >= placement.MetaVoters {
		return placement.MetaVoters
	}
	return 3
}

// readAll reads every shard at every node: what was acknowledged is in it, and no more than was asked for.
func (s *simulation) readAll() {
	all := make([]int, s.world.shards)
	for i := range all {
		all[i] = i
	}
	for i, name := range s.names {
		p := s.rec.Read(100+i, check.Strict)
		views, err := s.views(s.t.Context(), i, 10*time.Second, all)
		for tries := 1; err != nil && passes(err) && tries < 10; tries++ { // connections are made again up to a second later
			_ = pause(s.t.Context(), time.Second)
			views, err = s.views(s.t.Context(), i, 10*time.Second, all)
		}
		if err != nil {
			s.t.Errorf("the last read at %s: %v", name, err)
			continue
		}
		p.Returned(views...)
	}
}

// judge has the checkers look at the history.
func (s *simulation) judge() {
	h := s.rec.History()
	if err := h.Summary().Void(20, 0.2); err != nil && s.span >= time.Minute { // a fault may be all that a short one sees
		s.t.Error(err)
	}
	if err := check.Verify(h); err != nil {
		s.t.Error(err)
	}
	if yes, no := s.strayed.yes.Load(), s.strayed.no.Load(); s.world.strays {
		s.t.Logf("rounds of a stray: %d committed, %d not", yes, no)
		if yes == 0 || no == 0 {
			s.t.Errorf("%d rounds of a stray were committed and %d were not: each is to happen", yes, no)
		}
	}
}

// struck lists the faults that there were.
func (s *simulation) struck() string {
	var names []string
	for name, n := range s.counts {
		names = append(names, fmt.Sprintf("%s %d", name, n))
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}
