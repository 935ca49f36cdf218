package server

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	peerv1 "github.com/quipudb/quipu/proto/peer/v1"
	"github.com/quipudb/quipu/query"
	"github.com/quipudb/quipu/server/transport"
	"github.com/quipudb/quipu/storage/schema"
)

func TestWeight(t *testing.T) {
	for name, c := range map[string]struct {
		h    health
		want float64
	}{
		"idle, free, near": {health{load: Load{MemoryFree: 1}}, 1},
		"busy, full, far":  {health{load: Load{CPU: 1}, rtt: 10 * time.Second}, 0.20},
		"half busy":        {health{load: Load{CPU: 0.5, MemoryFree: 0.4}, rtt: 50 * time.Millisecond}, 0.4/1.5 + 0.35*0.4 + 0.25/math.E},
	} {
		if got := c.h.weight(); math.Abs(got-c.want) > 1e-12 {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

func TestWindowDropsSpikes(t *testing.T) {
	var w window
	for i := range 40 {
		x := 0.1
		if i%3 == 0 {
			x = 1
		}
		w.add(x)
	}
	if len(w.last) != 12 || w.median() != 0.1 {
		t.Errorf("median %v of %v", w.median(), w.last)
	}
}

// Turns are spread evenly: never a run of one replica that has the others wait, and in the long run each as its weight.
func TestPickIsSmooth(t *testing.T) {
	var p picker
	var turns strings.Builder
	for range 7 {
		turns.WriteString(p.pick(1, map[string]float64{"a": 5, "b": 1, "c": 1}))
	}
	if turns.String() != "aabacaa" { // the example of nginx
		t.Errorf("turns %s", turns.String())
	}
	if got := p.pick(2, nil); got != "" {
		t.Errorf("%q of nobody", got)
	}
	synctest.Test(t, func(t *testing.T) {
		p.miss(1, "a")
		if time.Sleep(missedFor - 1); !p.lags(1, "a") || p.lags(2, "a") {
			t.Error("a lagged behind on shard 1 a moment ago")
		}
		if time.Sleep(time.Nanosecond); p.lags(1, "a") {
			t.Error("that is forgotten")
		}
	})
}

func TestPeakOfAnHour(t *testing.T) {
	var p peak
	now, count := time.Unix(1_000_000, 0), uint64(500)
	step := func(d time.Duration, n uint64) {
		now, count = now.Add(d), count+n
		p.see(now, count)
	}
	step(0, 0)
	step(5*time.Second, 500)
	step(5*time.Second, 5)
	if got := p.rate(); got != 100 {
		t.Errorf("%v a second", got)
	}
	for range 59 * 12 {
		step(5*time.Second, 5)
	}
	if got := p.rate(); got != 100 {
		t.Errorf("%v a second after 59 minutes", got)
	}
	for range 24 {
		step(5*time.Second, 5)
	}
	if got := p.rate(); got != 1 {
		t.Errorf("%v a second after 61 minutes", got)
	}
}

// A heartbeat is one message each way, and does not grow with the nodes that have no replicas.
func TestHeartbeatsDoNotGrowWithTheCluster(t *testing.T) {
	size := func(nodes int) int {
		p, now := newPulse(nil), time.Now()
		for i := range nodes {
			m := &peerv1.HeartbeatRequest{Node: fmt.Sprintf("n-%08x", i), Cpu: 0.5, MemoryFree: 0.5, RttUs: 300}
			if i < 3 {
				m.Groups = []*peerv1.GroupProgress{{Group: 1, Entries: 1000}}
			}
			p.heard[m.Node], p.heardAt[m.Node] = m, now.Add(-time.Second)
		}
		return proto.Size(p.told(now))
	}
	if few, many := size(5), size(200); few != many || many > 300 {
		t.Errorf("an answer has %d bytes of 5 nodes and %d of 200", few, many)
	}
}

// bitsOf are queries whose floats are compared by their bits.
const bitsOf = `SELECT chi2_test(dept, gender) FROM m; SELECT g_test(dept, gender) FROM m; SELECT city, chi2_test(dept, gender) FROM m GROUP BY city ORDER BY city;
SELECT association(dept, gender) FROM m; SELECT gof_test(dept) FROM m; SELECT sum(count), count(*) FROM m; SELECT chi2_test(city, gender) FROM m WHERE dept <> 'd3';
SELECT pearson_measures(city, dept) FROM m`

func fillBits(t *testing.T, n *Node) {
	must(t, n, "CREATE TABLE m (dept text, gender text, city text)")
	r := rand.New(rand.NewPCG(4, 2))
	for range 5 {
		var rows []string
		for range 40 {
			rows = append(rows, fmt.Sprintf("('d%d','g%d','c%d',%d)", r.IntN(7), r.IntN(3), r.IntN(5), 1+r.IntN(1_000_000)))
		}
		must(t, n, "INSERT INTO m (dept, gender, city, count) VALUES "+strings.Join(rows, ", "))
	}
}

// The same counts give the same bits on one node, on three and on seven, at every level, whichever replicas serve.
func TestBitsAreThoseOfOneNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(7, 7))
		one := newCluster(t, "a")
		defer one.stopAll()
		fillBits(t, one.nodes["a"])
		want := must(t, one.nodes["a"], bitsOf)
		for _, names := range [][]string{{"a", "b", "c"}, {"a", "b", "c", "d", "e", "f", "g"}} {
			c := newCluster(t, names...)
			c.wait("every shard has three voters", func() bool {
				for _, g := range c.groups()[1:] {
					if l := c.leader(g); l == nil || len(l.replica(g).Members()) != 3 {
						return false
					}
				}
				return true
			})
			c.beating()
			fillBits(t, c.nodes["b"])
			c.waitEqual()
			served := map[string]bool{}
			for i := range 6 {
				n := c.nodes[names[r.IntN(len(names))]]
				for _, o := range c.nodes { // weights at random: any replica may be chosen
					others := map[string]health{}
					for id, h := range *o.pulse.others.Load() {
						h.load = Load{CPU: r.Float64(), MemoryFree: r.Float64()}
						others[id] = h
					}
					o.pulse.others.Store(&others)
				}
				l := []string{"strict", "linearizable", "stale"}[i%3]
				var out said
				if err := n.queries().engine.Run(t.Context(), query.Request{Principal: "local", SQL: bitsOf, Settings: map[string]string{level: l}}, &out); err != nil {
					t.Fatal(err)
				}
				got := out.String()
				if l == "stale" { // it says how old it is
					got = withoutNotices(got)
				}
				if got != want && withoutNotices(got) != withoutNotices(want) {
					t.Errorf("%d nodes, %s:\n%s\none node:\n%s", len(names), l, got, want)
				}
				snap, err := engineDoors{n}.Snapshot(t.Context(), query.Read{Level: query.Strict})
				if err != nil {
					t.Fatal(err)
				}
				for _, s := range snap.Shards {
					served[fmt.Sprint(s.ID, s.Node)] = true
				}
				snap.Release()
			}
			if len(served) < 5 {
				t.Errorf("%d replicas served strict reads of three shards: %v", len(served), served)
			}
			c.stopAll()
		}
	})
}

func withoutNotices(s string) string {
	lines := strings.Split(s, "\n")
	for i, line := range lines {
		if strings.HasPrefix(line, "SELECT ") {
			lines[i], _, _ = strings.Cut(line, " [")
		}
	}
	return strings.Join(lines, "\n")
}

// A test in mode margins exchanges O(r + c) with each node that is not the one asked, whatever the number of cells.
func TestMarginsExchangeRowsPlusColumns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, "a", "b", "c", "d")
		defer c.stopAll()
		c.wait("every node has replicas", func() bool { return c.holders("a", "b", "c", "d") == 4 })
		d := c.outsider("d")
		bytes := func(size int) (total int) {
			table := fmt.Sprint("t", size)
			must(t, d, "CREATE TABLE "+table+" (a text, b text)")
			for i := range size {
				var rows []string
				for j := range size {
					rows = append(rows, fmt.Sprintf("('a%d','b%d',%d)", i, j, 1+(i*j)%97))
				}
				must(t, d, "INSERT INTO "+table+" (a, b, count) VALUES "+strings.Join(rows, ", "))
			}
			out := must(t, d, "EXPLAIN ANALYZE SELECT chi2_test(a, b) FROM "+table)
			if !strings.Contains(out, "margins") || !strings.Contains(out, "Round: ") || strings.Count(out, "Node n-") == 0 {
				t.Fatalf("%s", out)
			}
			for line := range strings.Lines(out) {
				var down, up, shards int
				line = strings.TrimSpace(line)
				if _, err := fmt.Sscanf(line, "other nodes: %d shards, first round %d bytes down, %d up", &shards, &down, &up); err == nil && shards != 3 {
					t.Errorf("%d shards are read elsewhere", shards)
				} else if err != nil {
					_, _ = fmt.Sscanf(line, "other nodes: second round %d bytes down, %d up", &down, &up)
				}
				total += down + up
			}
			return total
		}
		few, many := bytes(10), bytes(40) // 100 cells and 1,600
		t.Logf("10 x 10: %d bytes, 40 x 40: %d bytes", few, many)
		if few == 0 || many > 4*few {
			t.Errorf("10 x 10 cells take %d bytes and 40 x 40 take %d: more than four times as much", few, many)
		}
	})
}

// Every node hears of every other one that has replicas, and a node that has fallen silent serves nobody by weight.
func TestNodesHearOfEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, "a", "b", "c")
		defer c.stopAll()
		c.waitVoters("a", "b", "c")
		c.beating()
		n := c.nodes["a"]
		silent := c.nodes["c"].id.Node
		chosen := func() map[string]bool {
			out := map[string]bool{}
			for range 12 {
				out[n.choose(schema.ShardID(0))] = true
			}
			return out
		}
		if got := chosen(); len(got) != 3 {
			t.Errorf("chosen: %v", got)
		}
		createTable(t, n)
		time.Sleep(2 * beatEvery) // a voter's entries count from the first beat after it became one
		for range 20 {
			if _, err := readAt(context.Background(), n, "INSERT INTO admissions (dept, gender, count) VALUES ('x', 'm', 1), ('y', 'f', 1), ('z', 'm', 1)"); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(2 * beatEvery)
		total := uint64(0)
		for _, id := range n.allShards() {
			entries := n.voterEntries(id)
			s := query.ShardFreshness{Shard: id, Entries: entries}
			if len(entries) != 3 || s.Shut() != "" {
				t.Errorf("shard %d: %v, %s", id, entries, s.Shut())
			}
			total += entries[0]
		}
		if total < 20 {
			t.Errorf("voters applied %d entries", total)
		}
		c.net.Isolate("c")
		time.Sleep(silentFrom + beatEvery)
		if got := chosen(); got[silent] || len(got) != 2 {
			t.Errorf("chosen after c fell silent: %v", got)
		}
		if g := transport.Shard(0); n.replica(g) == nil {
			t.Errorf("a has no replica of %s", g)
		}
		c.net.Heal("c")
	})
}
