package bench

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/quipudb/quipu/client"
	"github.com/quipudb/quipu/server"
	"github.com/quipudb/quipu/server/placement"
)

// nodes are a cluster of this process that moves replicas soon. They are what benchmarks start, kill and lose.
type nodes struct {
	t    *testing.T
	dir  string
	cfgs []server.Config
	addr []string // of clients
	all  []*server.Service
	ids  []string
	dead []int
}

var (
	_ Joining = (*nodes)(nil)
	_ Disks   = (*nodes)(nil)
	_ Nodes   = (*nodes)(nil)
)

// start gives a cluster of so many nodes and two shards, and a client of the first.
func start(t *testing.T, n int) (*nodes, *client.Client) {
	t.Helper()
	c := &nodes{t: t, dir: t.TempDir()} // made first, and so removed after the nodes have ended
	t.Cleanup(func() {
		for i := range c.all {
			c.end(i)
		}
	})
	for range n {
		if err := c.Add(); err != nil {
			t.Fatal(err)
		}
	}
	cl, err := client.Open(t.Context(), "quipu://"+strings.Join(c.addr, ","))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := cl.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	err = look(t.Context(), cl, func(m client.ClusterMap) bool {
		return !slices.ContainsFunc(m.Groups, func(g client.GroupInfo) bool { return len(g.Voters) != min(n, 3) || g.Leader == "" })
	})
	if err != nil {
		t.Fatal(err)
	}
	return c, cl
}

func (c *nodes) free() string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		c.t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func (c *nodes) end(i int) {
	if c.all[i] == nil {
		return
	}
	if err := c.all[i].Close(); err != nil {
		c.t.Error(err)
	}
	c.all[i] = nil
}

func (c *nodes) serve(i int) (err error) {
	if c.all[i], err = server.Serve(c.t.Context(), c.cfgs[i], c.addr[i]); err != nil {
		c.all[i] = nil
		return err
	}
	cl, err := client.Open(c.t.Context(), c.addr[i])
	if err != nil {
		return err
	}
	info, err := cl.Server(c.t.Context())
	c.ids[i] = info.NodeID
	return errors.Join(err, cl.Close(c.t.Context()))
}

func (c *nodes) Add() error {
	cfg := server.Config{DataDir: filepath.Join(c.dir, fmt.Sprint("n", len(c.all))), Shards: 2, CellMemory: 64 << 20, DiskFree: -1,
		Peer: server.Peer{Listen: c.free(), Every: 50 * time.Millisecond,
			Placement: placement.Options{SteadyMin: 100 * time.Millisecond, SilentMax: 5 * time.Second, LeadMin: 100 * time.Millisecond}}}
	if len(c.cfgs) > 0 {
		cfg.Peer.Join = c.cfgs[0].Peer.Listen
	}
	c.cfgs, c.addr, c.all, c.ids = append(c.cfgs, cfg), append(c.addr, c.free()), append(c.all, nil), append(c.ids, "")
	return c.serve(len(c.all) - 1)
}

func (c *nodes) Lose() (string, error) {
	at := len(c.all) - 1
	id := c.ids[at]
	c.dead = append(c.dead, at)
	c.end(at)
	return id, os.RemoveAll(c.cfgs[at].DataDir)
}

func (c *nodes) Begin() error { return c.Restart(c.t.Context()) }

func (c *nodes) Kill(id string) (time.Time, error) {
	at := slices.Index(c.ids, id)
	if at < 0 {
		return time.Time{}, fmt.Errorf("there is no node %s", id)
	}
	c.dead = append(c.dead, at)
	now := time.Now()
	c.end(at)
	return now, nil
}

func (c *nodes) Restart(context.Context) error {
	for _, i := range c.dead {
		if err := c.serve(i); err != nil {
			return err
		}
	}
	c.dead = nil
	return nil
}

func quiet(string) {}

func TestGrowthKeepsItsBooks(t *testing.T) {
	t.Parallel() // it waits for replicas to come
	c, cl := start(t, 1)
	r, err := Growth{Nodes: 1, Cells: 50, Rate: 5000, After: 50 * time.Millisecond, Seed: 3}.Run(t.Context(), cl, c, quiet)
	if err != nil {
		t.Fatal(err)
	}
	if r.Wrong != 0 || r.Failed != 0 || r.Counted == 0 || r.Reads == 0 || r.Replicas <= 0 || r.Spread < r.Replicas {
		t.Errorf("%+v", r)
	}
}

// A book with a mistake in it is noticed: the benchmark does not say that all is well whatever it finds.
func TestGrowthNoticesWhatIsWrong(t *testing.T) {
	_, cl := start(t, 1)
	if _, err := cl.Exec(t.Context(), "CREATE TABLE grown (d0 text, d1 text)"); err != nil {
		t.Fatal(err)
	}
	l := newLoad(cl, 5)
	for cell, n := range []int64{1, 0, 2, 0, 3} {
		if l.counts[cell] = n; n > 0 {
			if err := cl.Table("grown").Add(t.Context(), n, l.box.Pairs(cell)...); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := cl.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if counted, wrong, err := l.compare(t.Context()); counted != 6 || wrong != 0 || err != nil {
		t.Errorf("%d counted, %d wrong, %v", counted, wrong, err)
	}
	l.counts[0], l.counts[1], l.counts[2] = 2, 1, 0 // counted too little, not at all, and too much
	if _, wrong, err := l.compare(t.Context()); wrong != 3 || err != nil {
		t.Errorf("%d wrong of three, %v", wrong, err)
	}
}

func TestCatchupComparesTheTable(t *testing.T) {
	t.Parallel()
	c, cl := start(t, 3)
	var said []string
	r, err := Catchup{Cells: 700}.Run(t.Context(), cl, c, func(s string) { said = append(said, s) })
	if err != nil {
		t.Fatalf("%v\n%s", err, strings.Join(said, "\n"))
	}
	if r.Cells != 700 || r.Served <= 0 || r.First < r.Served || r.CaughtUp < r.First {
		t.Errorf("%+v", r)
	}
}

func TestFailoverKeepsItsLedger(t *testing.T) {
	t.Parallel()
	c, cl := start(t, 3)
	for _, reads := range []bool{false, true} {
		if reads {
			for _, table := range []string{"failover_one", "failover_all"} {
				if _, err := cl.Exec(t.Context(), "DROP TABLE "+table); err != nil {
					t.Fatal(err)
				}
			}
		}
		r, err := Failover{Kills: 1, Reads: reads}.Run(t.Context(), cl, c)
		if err != nil {
			t.Fatal(err)
		}
		if r.Lost != 0 || len(r.Resumed) != 1 || r.MaxMs != r.Resumed[0] || r.P50ms != r.MaxMs {
			t.Errorf("%+v", r)
		}
	}
}

// Parts of Outage, whose whole takes five nodes and minutes: where values lie, what can be lost, and the rate of readers.
func TestOutageFindsItsPlaces(t *testing.T) {
	_, cl := start(t, 1)
	o := Outage{Slice: 50 * time.Millisecond, Readers: 2, Needing: 20}
	places, err := o.places(t.Context(), cl)
	if err != nil || len(places) != 2 || places[0] == places[1] || places[0] == "" || places[1] == "" {
		t.Fatalf("places %q, %v", places, err)
	}
	if _, _, err := o.victim(t.Context(), cl, 2); err == nil || !strings.Contains(err.Error(), "more nodes are wanted") {
		t.Errorf("one node: %v", err)
	}
	s, err := o.slice(t.Context(), cl, places)
	if err != nil || s.One <= 0 || s.Two <= 0 || s.Answered == 0 || s.Refused != 0 {
		t.Errorf("%+v, %v", s, err)
	}
	if err := o.calm(t.Context(), cl, places); err == nil || !strings.Contains(err.Error(), "of which one has lost its quorum") {
		t.Errorf("a cluster that has lost nothing: %v", err)
	}
}

func TestSpread(t *testing.T) {
	three := func(change func(*client.ClusterMap)) client.ClusterMap {
		m := client.ClusterMap{}
		for _, id := range []string{"a", "b", "c"} {
			m.Nodes = append(m.Nodes, client.NodeInfo{ID: id, State: "active", Reachable: true})
		}
		for _, g := range []string{"meta", "shard/0", "shard/1"} {
			m.Groups = append(m.Groups, client.GroupInfo{Group: g, Leader: map[string]string{"meta": "a", "shard/0": "b", "shard/1": "c"}[g], Voters: []string{"a", "b", "c"}})
		}
		if change != nil {
			change(&m)
		}
		return m
	}
	for name, c := range map[string]struct {
		change            func(*client.ClusterMap)
		replicas, leaders bool
	}{
		"spread":               {nil, true, true},
		"two led by one":       {func(m *client.ClusterMap) { m.Groups[1].Leader = "a" }, true, false},
		"nobody leads":         {func(m *client.ClusterMap) { m.Groups[1].Leader = "" }, true, false},
		"a voter is missing":   {func(m *client.ClusterMap) { m.Groups[1].Voters = []string{"a", "b"} }, false, true},
		"a learner of a shard": {func(m *client.ClusterMap) { m.Groups[2].Learners = []string{"c"} }, false, true},
		"a learner of meta": {func(m *client.ClusterMap) {
			m.Groups[0].Voters, m.Groups[0].Learners = []string{"a", "b"}, []string{"c"}
		}, true, true},
		"a node is not there":     {func(m *client.ClusterMap) { m.Nodes[2].Reachable = false }, false, true},
		"a node is being emptied": {func(m *client.ClusterMap) { m.Nodes[2].State = "draining" }, false, true},
	} {
		if s := spreadOf(three(c.change), 3); s.replicas != c.replicas || s.leaders != c.leaders {
			t.Errorf("%s: %+v", name, s)
		}
	}
}

func TestWhatCannotBeMeasured(t *testing.T) {
	for name, err := range map[string]error{
		"no kill":                   Failover{}.Check(),
		"negative kills":            Failover{Kills: -1}.Check(),
		"negative cells to catch":   Catchup{Cells: -1}.Check(),
		"negative nodes":            Growth{Nodes: -1}.Check(),
		"negative cells to grow":    Growth{Cells: -1}.Check(),
		"negative rate":             Growth{Rate: -1}.Check(),
		"negative pairs":            Outage{Pairs: -1}.Check(),
		"negative slice":            Outage{Slice: -1}.Check(),
		"negative readers":          Outage{Readers: -1}.Check(),
		"negative reads of all":     Outage{Needing: -1}.Check(),
		"kills without a cluster":   second(Failover{}.Run(t.Context(), nil, nil)),
		"catchup without a cluster": second(Catchup{Cells: -1}.Run(t.Context(), nil, nil, quiet)),
		"growth without a cluster":  second(Growth{Nodes: -1}.Run(t.Context(), nil, nil, quiet)),
		"outage without a cluster":  second(Outage{Pairs: -1}.Run(t.Context(), nil, nil, quiet)),
	} {
		if err == nil {
			t.Errorf("%s is no error", name)
		}
	}
	for name, err := range map[string]error{"failover": Failover{Kills: 1}.Check(), "catchup": Catchup{}.Check(), "growth": Growth{}.Check(), "outage": Outage{}.Check()} {
		if err != nil {
			t.Errorf("%s by default: %v", name, err)
		}
	}
}

func second[T any](_ T, err error) error { return err }
