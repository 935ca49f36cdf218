package server

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	apiv1 "github.com/quipudb/quipu/proto/api/v1"
	"github.com/quipudb/quipu/query/plan"
	"github.com/quipudb/quipu/server/errcode"
	"github.com/quipudb/quipu/server/placement"
	"github.com/quipudb/quipu/server/rpc"
	"github.com/quipudb/quipu/server/transport"
	"github.com/quipudb/quipu/server/transport/transporttest"
	"github.com/quipudb/quipu/storage"
	"github.com/quipudb/quipu/storage/schema"
)

// cluster is a few nodes of one process on a network in memory, in virtual time. Nodes are named by their addresses.
type cluster struct {
	t     *testing.T
	net   *transporttest.Network
	dir   string
	nodes map[string]*Node
	now   func() time.Time // nil: that of the bubble

	shards int                            // 3 if zero
	tune   func(name string, cfg *Config) // changes the configuration of a node; nil: nothing
}

func newCluster(t *testing.T, names ...string) *cluster { return newClusterAt(t, nil, names...) }

// newClusterAt is newCluster with a clock.
func newClusterAt(t *testing.T, now func() time.Time, names ...string) *cluster {
	c := &cluster{t: t, net: &transporttest.Network{}, dir: t.TempDir(), nodes: map[string]*Node{}, now: now}
	for _, name := range names {
		c.start(name)
	}
	return c
}

func (c *cluster) config(name string) Config {
	cfg := Config{DataDir: filepath.Join(c.dir, name), Shards: 3, CellMemory: 64 << 20, DiskFree: -1, Now: c.now,
		Halt: func(err error) { c.t.Logf("%s halts: %v", name, err) },
		Peer: Peer{Listen: name, ListenFunc: c.net.Listen, DialFunc: c.net.Dialer(name), Every: time.Second,
			Placement: placement.Options{SteadyMin: 2 * time.Second, SilentMax: 5 * time.Second, ReplaceWait: 20 * time.Second, LeadMin: 10 * time.Second}}}
	if c.shards != 0 {
		cfg.Shards = c.shards
	}
	if c.tune != nil {
		c.tune(name, &cfg)
	}
	return cfg
}

// start opens a node. The first one, a, founds the cluster; the others join at it.
func (c *cluster) start(name string) *Node {
	c.t.Helper()
	cfg := c.config(name)
	if name != "a" {
		cfg.Peer.Join = "a"
	}
	n, err := Open(c.t.Context(), cfg)
	if err != nil {
		c.t.Fatalf("start of %s: %v", name, err)
	}
	c.nodes[name] = n
	return n
}

func (c *cluster) stop(name string) {
	c.t.Helper()
	if err := c.nodes[name].Close(); err != nil {
		c.t.Fatalf("stop of %s: %v", name, err)
	}
	delete(c.nodes, name)
}

// kill ends a node without a word to the others.
func (c *cluster) kill(name string) {
	c.t.Helper()
	c.net.Isolate(name)
	n := c.nodes[name]
	n.stop()
	n.wg.Wait()
	if err := n.closeGroups(); err != nil {
		c.t.Fatalf("kill of %s: %v", name, err)
	}
	delete(c.nodes, name)
	c.net.Heal(name)
}

func (c *cluster) stopAll() {
	for _, n := range c.nodes {
		n.stop()
		n.wg.Wait()
	}
	for name, n := range c.nodes {
		if err := n.closeGroups(); err != nil {
			c.t.Errorf("stop of %s: %v", name, err)
		}
	}
}

// wait lets time pass, in steps, until ok.
func (c *cluster) wait(what string, ok func() bool) {
	c.t.Helper()
	for range 1200 {
		synctest.Wait()
		if ok() {
			return
		}
		time.Sleep(100 * time.Millisecond) // of the bubble
	}
	for name, n := range c.nodes {
		for _, r := range n.replicas() {
			s := r.Status()
			c.t.Logf("%s (%s) %s: %s in term %d under %q, applied %d of %d, members %v", name, n.id.Node, s.Group, s.State, s.Term, s.Leader, s.Applied, s.Commit, s.Members)
		}
	}
	c.t.Fatalf("waited in vain until %s", what)
}

func (c *cluster) groups() (all []transport.Group) {
	for g := range c.config("a").Shards + 1 {
		all = append(all, transport.Group(g))
	}
	return all
}

// leader is the node that leads a group, or nil.
func (c *cluster) leader(g transport.Group) *Node {
	for _, n := range c.nodes {
		if r := n.replica(g); r != nil {
			if _, err := r.Leading(); err == nil {
				return n
			}
		}
	}
	return nil
}

// waitVoters waits until every group has exactly these nodes as its voters, and a leader.
func (c *cluster) waitVoters(names ...string) {
	c.t.Helper()
	var want []string
	for _, name := range names {
		want = append(want, c.nodes[name].id.Node)
	}
	slices.Sort(want)
	c.wait(fmt.Sprint("every group is on ", names), func() bool {
		for _, g := range c.groups() {
			n := c.leader(g)
			if n == nil {
				return false
			}
			var voters []string
			for _, m := range n.replica(g).Members() {
				if m.Voter {
					voters = append(voters, m.Node)
				}
			}
			slices.Sort(voters)
			if !slices.Equal(voters, want) {
				return false
			}
		}
		return true
	})
}

// waitEqual waits until all replicas of each group have applied the same, and compares their states.
func (c *cluster) waitEqual() {
	c.t.Helper()
	for _, g := range c.groups() {
		var all []*storage.Store
		c.wait(fmt.Sprintf("the replicas of %s have applied the same", g), func() bool {
			all = nil
			for _, n := range c.nodes {
				if r := n.replica(g); r != nil {
					all = append(all, r.Store())
				}
			}
			return !slices.ContainsFunc(all, func(s *storage.Store) bool { return s.Applied() != all[0].Applied() })
		})
		for _, s := range all[1:] {
			if dump(c.t, s) != dump(c.t, all[0]) {
				c.t.Errorf("replicas of %s differ at index %d", g, s.Applied().Index)
			}
		}
	}
}

// dump is a digest of a replica's whole logical state: rows, definitions, values, cells.
func dump(t *testing.T, store *storage.Store) string {
	t.Helper()
	h := sha256.New()
	store.Update(func(tx *storage.Tx) {
		for k, v := range tx.Rows(nil) {
			fmt.Fprintf(h, "%x %x\n", k, v)
		}
	})
	snap, err := store.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	defer snap.Release()
	for _, id := range snap.Tables() {
		view, _ := snap.Table(id)
		fmt.Fprintf(h, "table %+v\n", *view.Schema())
		var lines []string
		for _, seg := range view.Segments(storage.Filter{}, 1) {
			err := seg.Scan(t.Context(), []int{0, 1}, func(c *storage.Chunk) error {
				for i := range c.Len {
					lines = append(lines, fmt.Sprint(c.Window, view.Value(0, c.Codes(0)[i]), view.Value(1, c.Codes(1)[i]), c.Counts[i]))
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		slices.Sort(lines)
		fmt.Fprintln(h, strings.Join(lines, "\n"))
	}
	return string(h.Sum(nil))
}

func TestNodesJoinAndEveryGroupGetsThreeVoters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, "a", "b", "c")
		defer c.stopAll()
		c.waitVoters("a", "b", "c")
		table := createTable(t, c.nodes["c"]) // of which the meta group and every shard are led elsewhere
		c.waitEqual()
		for name, n := range c.nodes {
			if got := n.view().Table(table.Name); got == nil || got.ID != table.ID {
				t.Errorf("node %s does not know the table: %v", name, got)
			}
			if len(n.view().Nodes()) != 3 {
				t.Errorf("node %s knows %d nodes", name, len(n.view().Nodes()))
			}
			for _, g := range c.groups() {
				if got := len(n.view().Replicas(uint32(g))); got != 3 {
					t.Errorf("node %s has %d replicas of %s on record", name, got, g)
				}
			}
		}
	})
}

// With the settings as they ship the nodes of a young cluster lead about as many groups each within two minutes, and its founder not all.
func TestYoungClusterIsLedByAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &cluster{t: t, net: &transporttest.Network{}, dir: t.TempDir(), nodes: map[string]*Node{}, tune: func(name string, cfg *Config) {
			cfg.Peer.Every, cfg.Peer.Placement, cfg.Peer.API = 0, placement.Options{}, name+":7480"
		}}
		for _, name := range []string{"a", "b", "c"} {
			c.start(name)
		}
		defer c.stopAll()
		c.waitVoters("a", "b", "c")
		for _, n := range c.nodes {
			c.wait("every node knows where all serve clients", func() bool {
				return slices.Equal(slices.Sorted(slices.Values(n.Addresses())), []string{"a:7480", "b:7480", "c:7480"})
			})
		}
		c.wait("each node leads one or two of four groups", func() bool {
			leads := map[*Node]int{}
			for _, g := range c.groups() {
				leads[c.leader(g)]++
			}
			return leads[nil] == 0 && len(leads) == 3
		})
	})
}

func TestClusterGoesOnWithoutItsFounder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, "a", "b", "c")
		defer c.stopAll()
		c.waitVoters("a", "b", "c")
		createTable(t, c.nodes["b"])
		c.kill("a")
		began := time.Now()
		c.wait("every group is led again", func() bool {
			return !slices.ContainsFunc(c.groups(), func(g transport.Group) bool { return c.leader(g) == nil })
		})
		if d := time.Since(began); d > 5*time.Second {
			t.Errorf("leaders took %v", d)
		}
		if _, err := c.nodes["c"].TruncateTable(t.Context(), "local", schema.Name{Table: "admissions"}); err != nil {
			t.Fatal(err)
		}
		c.start("a")
		c.waitEqual()
		c.waitVoters("a", "b", "c")
	})
}

// A node may join between the controller's questions and its plan.
func TestControllerPlansForNodesThatItHasNotAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, "a")
		defer c.stopAll()
		c.wait("a is on record", func() bool { return len(c.nodes["a"].view().Nodes()) == 1 })
		s := (&controller{n: c.nodes["a"], nodes: map[string]*heard{}}).state()
		if len(s.Nodes) != 1 || s.Nodes[0].ID != c.nodes["a"].id.Node || s.Nodes[0].Silent != 0 || s.Nodes[0].Steady != 0 {
			t.Errorf("nodes %+v", s.Nodes)
		}
	})
}

// holders counts the nodes of the names that have a replica of some shard.
func (c *cluster) holders(names ...string) (n int) {
	for _, name := range names {
		if len(c.nodes[name].held()) > 0 {
			n++
		}
	}
	return n
}

func TestDrainedNodeLosesItsReplicasAndRemovedNodeStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, "a", "b", "c", "d")
		defer c.stopAll()
		c.wait("every node has replicas", func() bool { return c.holders("a", "b", "c", "d") == 4 })
		createTable(t, c.nodes["d"])
		drained := c.nodes["a"].id.Node // it founded the cluster and leads the most
		if err := c.nodes["b"].SetNodeState(t.Context(), drained, "draining"); err != nil {
			t.Fatal(err)
		}
		c.wait("a has neither shards nor leaders", func() bool { return c.holders("a") == 0 && c.leader(transport.Meta) != c.nodes["a"] })
		c.waitEqual() // the meta group's replica at a among them
		if err := c.nodes["b"].SetNodeState(t.Context(), drained, "removed"); err != nil {
			t.Fatal(err)
		}
		c.wait("a has stopped", func() bool { return c.nodes["a"].halted.Load() != nil })
		c.kill("a")
		c.waitVoters("b", "c", "d")
		cfg := c.config("a")
		cfg.Peer.Join = "b"
		if n, err := Open(t.Context(), cfg); err == nil {
			c.wait("a stops again", func() bool { return n.halted.Load() != nil })
			c.nodes["a"] = n
			c.kill("a")
		}
		if err := c.nodes["b"].SetNodeState(t.Context(), drained, "active"); errcode.From(err).Code != errcode.Conflict {
			t.Errorf("a removed node became active again: %v", err)
		}
	})
}

func TestDeadNodeIsReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, "a", "b", "c", "d")
		defer c.stopAll()
		c.wait("every node has replicas", func() bool { return c.holders("a", "b", "c", "d") == 4 })
		createTable(t, c.nodes["b"])
		c.kill("b")
		c.wait("three others have every shard", func() bool {
			for _, name := range []string{"a", "c", "d"} {
				if len(c.nodes[name].held()) != 3 {
					return false
				}
			}
			return true
		})
		c.waitEqual()
	})
}

// A node may come back under another address. The others find it there, though it is a voter of every group.
func TestAddressMayChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, "a", "b", "c")
		defer c.stopAll()
		c.waitVoters("a", "b", "c")
		c.stop("c")
		cfg := c.config("c")
		cfg.Peer.Listen, cfg.Peer.DialFunc = "elsewhere", c.net.Dialer("elsewhere")
		n, err := Open(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		c.nodes["c"] = n
		c.wait("a knows the new address", func() bool {
			r, _ := c.nodes["a"].view().Node(n.id.Node)
			return r.PeerAddr == "elsewhere"
		})
		c.kill("b") // a and c are a majority only if they reach each other
		c.wait("every group is led", func() bool {
			return !slices.ContainsFunc(c.groups(), func(g transport.Group) bool { return c.leader(g) == nil })
		})
		createTable(t, n)
	})
}

// A node whose disk was lost comes back as another one; its address must not be taken for the old node's.
func TestLostDiskComesBackAsAnotherNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, "a", "b", "c")
		defer c.stopAll()
		c.waitVoters("a", "b", "c")
		createTable(t, c.nodes["a"])
		old := c.nodes["c"].id.Node
		c.kill("c")
		if err := os.RemoveAll(filepath.Join(c.dir, "c")); err != nil {
			t.Fatal(err)
		}
		c.start("c")
		if c.nodes["c"].id.Node == old {
			t.Fatal("the same id on an empty disk")
		}
		if err := c.nodes["a"].SetNodeState(t.Context(), old, "removed"); err != nil {
			t.Fatal(err)
		}
		c.waitVoters("a", "b", "c")
		c.waitEqual()
	})
}

func TestJoinIsRefusedAcrossClustersAndWithoutMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, "a", "b", "c")
		defer c.stopAll()
		c.waitVoters("a", "b", "c")
		c.stop("c")
		if err := os.RemoveAll(filepath.Join(c.dir, "c", "shards", "1")); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(t.Context(), c.config("c")); err == nil || !strings.Contains(err.Error(), "without memory could vote twice") {
			t.Errorf("a voter without memory: %v", err)
		}
		other := c.config("x")
		other.Peer.Listen = "x"
		x, err := Open(t.Context(), other)
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := x.Close(); err != nil {
				t.Error(err)
			}
		}()
		x.cfg.Peer.Join = "a"
		if _, err := x.ask(t.Context(), false); errcode.From(err).Code != errcode.Conflict || !strings.Contains(err.Error(), "empty data directory") {
			t.Errorf("a node of another cluster: %v", err)
		}
	})
}

// A start that dies while it joins goes on under the same id.
func TestJoinThatDiedGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, "a")
		defer c.stopAll()
		cfg := c.config("b")
		cfg.Peer.Join = "nobody"
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if n, err := Open(ctx, cfg); err == nil {
			stopNode(t, n)
			t.Fatal("a node joined nobody")
		}
		half, known, err := readIdentity(cfg.DataDir)
		if err != nil || !known || !half.Joining {
			t.Fatalf("identity %+v, %v", half, err)
		}
		if n := c.start("b"); n.id.Node != half.Node || n.id.Cluster != c.nodes["a"].id.Cluster {
			t.Errorf("identity %+v, was %+v", n.id, half)
		}
	})
}

// rows are the first results of a statement, as text.
type rows struct{ text []string }

func (r *rows) Columns([]*apiv1.ResultColumn) error { return nil }
func (r *rows) End(*apiv1.QueryEnd) error           { return nil }

func (r *rows) Row(values []plan.Value) error {
	r.text = append(r.text, fmt.Sprint(values))
	return nil
}

// sql runs a statement at a node.
func (c *cluster) sql(name, text string) []string {
	c.t.Helper()
	var r rows
	if err := c.nodes[name].queries().Query(c.t.Context(), &rpc.Query{Principal: "local", Database: "quipu", SQL: text}, &r); err != nil {
		c.t.Fatalf("%s: %s: %v", name, text, err)
	}
	return r.text
}

// Batches go to any node, are tried again elsewhere under their stamps when a node dies, and each counts once.
func TestAnyNodeTakesAnyRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, "a", "b", "c")
		defer c.stopAll()
		c.waitVoters("a", "b", "c")
		c.wait("the leaders are spread", func() bool {
			return c.leader(1) != nil && c.leader(2) != nil && c.leader(3) != nil && (c.leader(1) != c.leader(2) || c.leader(2) != c.leader(3))
		})
		createTable(t, c.nodes["c"])
		s, err := c.nodes["b"].OpenSession(t.Context(), "local", false)
		if err != nil {
			t.Fatal(err)
		}
		want := int64(0)
		write := func(seq uint64, names ...string) {
			t.Helper()
			b := batch(s.ID, seq, int64(seq), 2, 3, 4, 5, 6, 7, 8)
			want += int64(seq) + 2 + 3 + 4 + 5 + 6 + 7 + 8
			name := names[int(seq)%len(names)]
			res, err := c.nodes[name].Write(t.Context(), b)
			if err != nil || len(res.Refused) > 0 {
				t.Fatalf("batch %d at %s: %+v, %v", seq, name, res, err)
			}
			again := names[int(seq+1)%len(names)]
			res, err = c.nodes[again].Write(t.Context(), b)
			if err != nil || len(res.Refused) > 0 || !res.Receipts[0].Duplicate {
				t.Fatalf("batch %d again at %s: %+v, %v", seq, again, res, err)
			}
		}
		for seq := range uint64(60) {
			switch {
			case seq < 20:
				write(seq+1, "a", "b", "c")
			case seq == 20:
				c.kill("b")
				fallthrough
			case seq < 40:
				write(seq+1, "a", "c")
			case seq == 40:
				c.start("b")
				fallthrough
			default:
				write(seq+1, "a", "b", "c")
			}
		}
		for _, name := range []string{"a", "b", "c"} {
			if got := c.sql(name, "SELECT sum(count) FROM admissions"); !slices.Equal(got, []string{fmt.Sprintf("[%d]", want)}) {
				t.Errorf("the sum at %s is %v, want %d", name, got, want)
			}
			if got := c.sql(name, "SELECT dept, sum(count) FROM admissions GROUP BY dept"); len(got) != 4 {
				t.Errorf("departments at %s: %v", name, got)
			}
		}
		c.waitEqual()
	})
}

// A replica that only ever gets whole states and never goes on by its log is made anew, under the same node.
func TestStuckReplicaIsMadeAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, "a", "b", "c")
		defer c.stopAll()
		c.waitVoters("a", "b", "c")
		createTable(t, c.nodes["a"])
		old := c.nodes["c"].local(1)
		if c.leader(transport.Shard(1)) == c.nodes["c"] {
			t.Fatal("c leads the shard")
		}
		old.stuck.Store(true)
		c.wait("c has another replica", func() bool { s := c.nodes["c"].local(1); return s != nil && s != old })
		c.waitVoters("a", "b", "c")
		c.waitEqual()
	})
}
