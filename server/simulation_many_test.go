package server

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quipudb/quipu/integration/check"
	"github.com/quipudb/quipu/proto/command/v1"
	"github.com/quipudb/quipu/server/placement"
	"github.com/quipudb/quipu/server/replica"
	"github.com/quipudb/quipu/server/transport"
)

// manyWorld is a cluster of many nodes with its settings as they ship: the controller looks every two seconds, elections after one second,
// pipelines. Replicas do not move by themselves, so that idle is idle: the test deals them out.
func manyWorld(nodes, shards int) world {
	return world{name: "many", nodes: nodes, shards: shards, clients: 8, calm: true, settings: func(c *Config) {
		c.Peer.Every, c.Peer.Timeout = 0, 0
		c.Peer.Placement = placement.Options{SteadyMin: 24 * time.Hour}
	}}
}

// sizes are the clusters to run: what QUIPU_SIMULATE says (many:nodes, or many:nodes,nodes), the long form, or a small one. Three nodes carry
// a shard, so that every node has about one replica whatever the size: what a node does for the cluster's size alone shows then.
func sizes(t *testing.T) []int {
	text, ok := strings.CutPrefix(os.Getenv("QUIPU_SIMULATE"), "many:")
	switch {
	case ok:
		var out []int
		for one := range strings.SplitSeq(text, ",") {
			n, err := strconv.Atoi(one)
			if err != nil || n < 9 || n > 200 {
				t.Fatalf("QUIPU_SIMULATE=many:%s: want numbers of nodes from 9 to 200, such as many:50,100,200", text)
			}
			out = append(out, n)
		}
		return out
	case os.Getenv("QUIPU_SIMULATE") != "":
		t.Skip("another world is asked for")
	case os.Getenv("QUIPU_SOAK") != "":
		return []int{50, 100, 200}
	}
	return []int{12}
}

func shardsFor(nodes int) int { return min(shardsMax, nodes*8/25) } // 16, 32 and 64 for 50, 100 and 200

// TestManyNodes is a cluster of up to 200 nodes, with a meta group and up to 64 shards of three, in virtual time: it elects, counts, answers
// strict reads of all shards, loses a tenth of its nodes, among them the meta leader and leaders of shards, goes on, and heals. What each node
// sends, idle and under load, is counted; it must not grow with the number of nodes.
func TestManyNodes(t *testing.T) {
	var all []*traffic
	for _, nodes := range sizes(t) {
		t.Run(strconv.Itoa(nodes), func(t *testing.T) {
			began := cpu()
			var f *traffic
			synctest.Test(t, func(t *testing.T) { f = newSimulation(t, manyWorld(nodes, shardsFor(nodes)), uint64(nodes)).many() })
			if f == nil {
				return
			}
			all = append(all, f)
			t.Logf("%d nodes, %d shards, %.0f s of virtual time, %.0f s of CPU", nodes, shardsFor(nodes), f.span.Seconds(), (cpu() - began).Seconds())
			t.Logf("idle: %v", f.idle)
			t.Logf("%.0f adds and %.0f strict reads a second: %v", f.adds, f.reads, f.busy)
			t.Logf("without %d nodes: strict reads of all shards after %v, a write to each after %v; whole %v after they came back", f.lost, f.readAgain, f.writeAgain, f.whole)
		})
	}
	if len(all) > 1 {
		compareTraffic(t, all[0], all[len(all)-1])
	}
}

// growthMax is by how much what a node sends idle may grow from the smallest cluster to the largest.
const growthMax = 1.2

func compareTraffic(t *testing.T, small, large *traffic) {
	for _, f := range []struct {
		name         string
		small, large sent
	}{{"the mean node", small.idle.mean, large.idle.mean}, {"the median node", small.idle.median, large.idle.median}} {
		if f.large.messages > growthMax*f.small.messages || f.large.bytes > growthMax*f.small.bytes {
			t.Errorf("%s sends %v idle among %d nodes and %v among %d: more than %.0f %% of growth", f.name, f.small, small.nodes, f.large, large.nodes, 100*growthMax-100)
		}
	}
}

// traffic is what one cluster showed.
type traffic struct {
	nodes, lost                  int
	span                         time.Duration
	idle, busy                   spread
	adds, reads                  float64 // a second, under load
	readAgain, writeAgain, whole time.Duration
}

// sent is what a node sends in a second.
type sent struct{ messages, bytes float64 }

func (s sent) String() string {
	return fmt.Sprintf("%.0f messages/s, %.1f kB/s", s.messages, s.bytes/1e3)
}

// spread is what the nodes of a cluster send.
type spread struct {
	mean, median, most sent
	meta               sent // of the leader of the meta group
}

func (s spread) String() string {
	return fmt.Sprintf("a node sends %v in the mean, %v in the median, %v at most; the meta leader %v", s.mean, s.median, s.most, s.meta)
}

func cpu() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// many goes through the story.
func (s *simulation) many() *traffic {
	defer func() {
		if s.t.Failed() {
			s.keep(s.rec.History())
		}
	}()
	defer s.stop()
	f := &traffic{nodes: len(s.names)}
	s.gather()
	s.deal()
	s.waitWhole()
	s.calmDown()
	s.found()
	_ = pause(s.t.Context(), 10*time.Second)
	f.idle = s.measure(20*time.Second, func() {})
	var clients sync.WaitGroup
	ctx, end := context.WithCancel(s.t.Context())
	defer end()
	f.busy = s.measure(10*time.Second, func() {
		for id := range s.clients {
			clients.Go(func() { s.client(ctx, id) })
		}
	})
	sum := s.rec.History().Summary()
	f.adds, f.reads = float64(sum.Acked)/10, float64(sum.Reads)/10
	victims := s.victims(max(1, len(s.names)/10))
	f.lost = len(victims)
	s.lose(victims)
	s.comesBack(f)
	_ = pause(s.t.Context(), 10*time.Second)
	began := time.Now()
	s.upAll()
	s.waitWhole()
	end()
	clients.Wait()
	s.waitEqual()
	f.whole = time.Since(began)
	if f.whole > convergeMax {
		s.t.Errorf("the cluster took %v to be whole after %d nodes came back", f.whole, f.lost)
	}
	s.readAll()
	s.judge()
	f.span = time.Since(s.began)
	return f
}

// gather starts the nodes, a few at a time.
func (s *simulation) gather() {
	s.up("a")
	for wave := range slices.Chunk(s.names[1:], 8) {
		var wg sync.WaitGroup
		for _, name := range wave {
			wg.Go(func() { s.up(name) })
		}
		wg.Wait()
		if s.t.Failed() {
			s.t.FailNow()
		}
	}
}

// deal gives every shard three nodes, and takes it from the first node, which founded the cluster with all of them. The steps are those of the
// controller, side by side.
func (s *simulation) deal() {
	var wg sync.WaitGroup
	for i := range s.world.shards {
		var want []string
		for k := range 3 {
			want = append(want, s.cluster.nodes[s.names[(3*i+k)%len(s.names)]].id.Node)
		}
		wg.Go(func() {
			for tries := 0; s.dealOne(shardGroup(i), want); tries++ {
				if tries > 2000 {
					s.t.Errorf("shard %d could not be dealt to %v", i, want)
					return
				}
				_ = pause(s.t.Context(), 100*time.Millisecond)
			}
		})
	}
	wg.Wait()
}

// dealOne takes one step, and says whether there are more.
func (s *simulation) dealOne(g transport.Group, want []string) bool {
	n := s.cluster.leader(g)
	if n == nil {
		return true
	}
	members := map[string]bool{}
	for _, m := range n.replica(g).Members() {
		members[m.Node] = m.Voter
	}
	step := placement.Action{Group: uint32(g)}
	for _, node := range want {
		voter, member := members[node]
		switch {
		case !member:
			step.Kind, step.Node = placement.AddLearner, node
		case !voter && s.caughtUp(n, node, g):
			step.Kind, step.Node = placement.Promote, node
		case !voter:
			return true
		default:
			continue
		}
		_ = n.changeHere(s.t.Context(), step) // the next look says what became of it
		return true
	}
	for node := range members { // any order
		switch {
		case slices.Contains(want, node):
			continue
		case node == n.id.Node:
			step.Kind, step.Node = placement.Transfer, want[0]
		default:
			step.Kind, step.Node = placement.Remove, node
		}
		_ = n.changeHere(s.t.Context(), step)
		return true
	}
	return false
}

// caughtUp says whether a node's replica has what its leader has committed.
func (s *simulation) caughtUp(leader *Node, node string, g transport.Group) bool {
	for _, n := range s.cluster.nodes {
		if r := n.replica(g); n.id.Node == node && r != nil {
			return r.Store().Applied().Index+10 >= leader.replica(g).CommitIndex()
		}
	}
	return false
}

// calmDown waits until every node can find the replicas that were dealt, and those that were taken from nodes are deleted there.
func (s *simulation) calmDown() {
	s.wait("no node has a replica that is not a member", func() bool {
		for _, n := range s.cluster.nodes {
			for _, held := range n.held() {
				if !slices.ContainsFunc(n.machine.View().Replicas(uint32(transport.Shard(held.id))), is(n.id.Node)) {
					return false
				}
			}
		}
		return true
	})
}

// measure counts what each node sends in a span of time that begins with what starts the work.
func (s *simulation) measure(span time.Duration, begin func()) spread {
	before := make([][2]uint64, len(s.names))
	for i, name := range s.names {
		before[i][0], before[i][1] = s.net.Sent(name)
	}
	begin()
	_ = pause(s.t.Context(), span)
	var all []sent
	var out spread
	meta := s.leads(transport.Meta)
	for i, name := range s.names {
		m, b := s.net.Sent(name)
		one := sent{float64(m-before[i][0]) / span.Seconds(), float64(b-before[i][1]) / span.Seconds()}
		all = append(all, one)
		out.mean.messages += one.messages / float64(len(s.names))
		out.mean.bytes += one.bytes / float64(len(s.names))
		if name == meta {
			out.meta = one
		}
	}
	pick := func(of func(sent) float64) (median, most float64) {
		var list []float64
		for _, one := range all {
			list = append(list, of(one))
		}
		slices.Sort(list)
		return list[len(list)/2], list[len(list)-1]
	}
	out.median.messages, out.most.messages = pick(func(one sent) float64 { return one.messages })
	out.median.bytes, out.most.bytes = pick(func(one sent) float64 { return one.bytes })
	return out
}

// victims are nodes to lose: the meta leader, leaders and followers of shards, never two of one group, and at most two voters of the meta group.
func (s *simulation) victims(many int) (out []string) {
	hit := map[transport.Group]int{}
	take := func(name string) {
		n := s.cluster.nodes[name]
		if n == nil || slices.Contains(out, name) || len(out) == many {
			return
		}
		groups := []transport.Group{}
		for _, held := range n.held() {
			if groups = append(groups, transport.Shard(held.id)); hit[groups[len(groups)-1]] > 0 {
				return
			}
		}
		if slices.ContainsFunc(n.meta.Members(), func(m replica.Member) bool { return m.Node == n.id.Node && m.Voter }) {
			if groups = append(groups, transport.Meta); hit[transport.Meta] == 2 {
				return
			}
		}
		for _, g := range groups {
			hit[g]++
		}
		out = append(out, name)
	}
	take(s.leads(transport.Meta))
	for _, i := range s.rng.Perm(s.world.shards)[:s.world.shards/3] {
		take(s.leads(shardGroup(i)))
	}
	for _, i := range s.rng.Perm(len(s.names)) {
		take(s.names[i])
	}
	return out
}

// lose ends nodes at once, with half of what they had not synced.
func (s *simulation) lose(names []string) {
	s.note("lost: %v", names)
	var wg sync.WaitGroup
	for _, name := range names {
		wg.Go(func() { s.down(name, true, 50) })
	}
	wg.Wait()
}

// comesBackMax is how long after the loss of a tenth of the nodes all shards are read and written again: an election, and what finds it out.
const comesBackMax = 15 * time.Second

// comesBack waits for the first strict read of all shards, and for a write to each of them.
func (s *simulation) comesBack(f *traffic) {
	all := make([]int, s.world.shards)
	for i := range all {
		all[i] = i
	}
	lost := time.Now()
	var readAt, writeAt atomic.Int64
	var wg sync.WaitGroup
	wg.Go(func() {
		for choice := 0; time.Since(lost) < 4*comesBackMax; choice++ {
			p := s.rec.Read(90, check.Strict)
			if views, err := s.views(s.t.Context(), choice, 3*time.Second, all); err == nil {
				p.Returned(views...)
				readAt.Store(int64(time.Since(lost)))
				return
			}
			_ = pause(s.t.Context(), 50*time.Millisecond)
		}
	})
	wg.Go(func() {
		r := rand.New(rand.NewPCG(s.seed, 77))
		var w *writer
		for shard := range all {
			for w == nil || !s.writeAt(s.t.Context(), w, r, []int{shard}, false) {
				if time.Since(lost) > 4*comesBackMax {
					return
				}
				w = s.session(s.t.Context(), 1)
				w.Writer = s.rec.Writer(91)
			}
		}
		writeAt.Store(int64(time.Since(lost)))
	})
	wg.Wait()
	f.readAgain, f.writeAgain = time.Duration(readAt.Load()), time.Duration(writeAt.Load())
	if f.readAgain == 0 || f.readAgain > comesBackMax || f.writeAgain == 0 || f.writeAgain > comesBackMax {
		s.t.Errorf("after the loss of %d nodes all shards are read after %v and written after %v (0: never)", f.lost, f.readAgain, f.writeAgain)
	}
}

// is finds a node among replicas.
func is(node string) func(command.Replica) bool {
	return func(r command.Replica) bool { return r.Node == node }
}
