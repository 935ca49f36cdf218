package server

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quipudb/quipu/query"
	"github.com/quipudb/quipu/query/plan"
	"github.com/quipudb/quipu/server/errcode"
	"github.com/quipudb/quipu/server/router"
	"github.com/quipudb/quipu/server/transport"
	"github.com/quipudb/quipu/storage/schema"
)

// said is a sink that shows what an engine says.
type said struct{ bytes.Buffer }

func (s *said) Columns(columns []plan.Column) error {
	fmt.Fprintln(s, columns)
	return nil
}

func (s *said) Row(values []plan.Value) error {
	for _, v := range values {
		if v.Type == plan.Float8 {
			fmt.Fprintf(s, "%x ", v.Float()) // all bits
		} else {
			fmt.Fprint(s, v, " ")
		}
	}
	fmt.Fprintln(s)
	return nil
}

func (s *said) End(e *query.End) error {
	fmt.Fprintln(s, e.Tag, e.Notices)
	return nil
}

// say runs statements at a node and gives what it says to them, or the error.
func say(ctx context.Context, n *Node, sql string) (string, error) {
	var out said
	err := n.queries().engine.Run(ctx, query.Request{Principal: "local", SQL: sql}, &out)
	return out.String(), err
}

func must(t *testing.T, n *Node, sql string) string {
	t.Helper()
	out, err := say(t.Context(), n, sql)
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return out
}

// outsider gives a fourth node without a replica of any shard, which leads nothing: all it is asked for is done elsewhere.
func (c *cluster) outsider(name string) *Node {
	c.t.Helper()
	n := c.nodes[name]
	if err := c.nodes["a"].SetNodeState(c.t.Context(), n.id.Node, "draining"); err != nil {
		c.t.Fatal(err)
	}
	c.wait(name+" has no replica", func() bool { return c.holders(name) == 0 && c.leader(transport.Meta) != n })
	c.waitVoters("a", "b", "c")
	return n
}

// TestScriptsAtANodeWithoutShards runs the engine's scripts at a node that has to ask others for every shard, and at a cluster of one
// node, and compares all that is said, floats by their bits.
func TestScriptsAtANodeWithoutShards(t *testing.T) {
	files, err := filepath.Glob("../query/testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	synctest.Test(t, func(t *testing.T) {
		later := time.Until(time.Date(2024, 6, 1, 0, 0, 0, 0, time.UTC))
		now := func() time.Time { return time.Now().Add(later) } // the scripts count what happened in May 2024
		one := newClusterAt(t, now, "a")
		defer one.stopAll()
		c := newClusterAt(t, now, "a", "b", "c", "d")
		defer c.stopAll()
		c.wait("every node has replicas", func() bool { return c.holders("a", "b", "c", "d") == 4 })
		nodes := []*Node{one.nodes["a"], c.outsider("d")}
		statements := 0
		for _, file := range files {
			if base := filepath.Base(file); strings.HasPrefix(base, "shards_") || base == "catalog.txt" || base == "clients.txt" {
				continue // they show ids of tables, or which shards have what, which depends on these
			}
			for _, n := range nodes { // a script begins with nothing
				for _, table := range n.view().Tables() {
					must(t, n, `DROP TABLE "`+strings.ReplaceAll(table.Name.Table, `"`, `""`)+`"`)
				}
			}
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for block := range strings.SplitSeq(string(text), "\n\n") {
				for strings.HasPrefix(block, "#") || strings.HasPrefix(block, "\n") {
					_, block, _ = strings.Cut(block, "\n")
				}
				directive, input, _ := strings.Cut(block, "\n")
				input, _, _ = strings.Cut(input, "\n----")
				if directive != "sql" && directive != "sorted" && directive != "copyin" || strings.Contains(input, "now") || strings.Contains(input, "EXPLAIN") || strings.Contains(input, "current_") {
					continue
				}
				statements++
				var answers [2]string
				for i, n := range nodes {
					answers[i] = answerTo(t, n, directive, input)
				}
				if answers[0] != answers[1] {
					t.Errorf("%s: %s\nby one node:\n%s\nwithout shards:\n%s", file, input, answers[0], answers[1])
				}
			}
		}
		if statements < 200 {
			t.Errorf("%d statements", statements)
		}
	})
}

func answerTo(t *testing.T, n *Node, directive, input string) string {
	var out string
	var err error
	if directive == "copyin" {
		statement, data, _ := strings.Cut(input, "\n")
		var end *query.End
		if end, err = n.queries().engine.CopyIn(t.Context(), query.Request{Principal: "local", SQL: statement}, strings.NewReader(data)); err == nil {
			out = end.Tag
		}
	} else {
		out, err = say(t.Context(), n, input)
	}
	if err != nil {
		e := errcode.From(err)
		out += fmt.Sprintf("%s: %s %s %s %d", e.Code, e.Message, e.Detail, e.Hint, e.Position)
	}
	if directive == "sorted" {
		lines := strings.Split(out, "\n")
		slices.Sort(lines)
		out = strings.Join(lines, "\n")
	}
	return out
}

// TestWritesAndReadsWhileALeaderDies holds that every node takes writes and strict reads while the node that leads most is killed: every
// acknowledged row is counted once, none twice, and a read never holds less than an earlier one.
func TestWritesAndReadsWhileALeaderDies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, "a", "b", "c")
		defer c.stopAll()
		c.waitVoters("a", "b", "c")
		createTable(t, c.nodes["b"])
		var acked atomic.Int64
		var wg sync.WaitGroup
		done := make(chan struct{})
		for _, name := range []string{"b", "c"} {
			n := c.nodes[name]
			wg.Go(func() {
				s, err := n.OpenSession(t.Context(), "local", false)
				if err != nil {
					t.Error(err)
					return
				}
				for seq := uint64(1); ; seq++ {
					b := batch(s.ID, seq, 1, 1, 1, 1, 1, 1)
					b.AckUpTo = seq - 1
					for !written(t, n, b) { // the same stamp, until it is counted everywhere
					}
					acked.Add(6)
					select {
					case <-done:
						return
					case <-time.After(30 * time.Millisecond): // of the bubble
					}
				}
			})
			wg.Go(func() {
				last := int64(0)
				for {
					before := acked.Load()
					sum, ok := counted(t, n)
					if ok && (sum < before || sum < last) {
						t.Errorf("a read at %s holds %d: %d had been acknowledged, and an earlier read held %d", n.cfg.Peer.Listen, sum, before, last)
					}
					if ok {
						last = sum
					}
					select {
					case <-done:
						return
					case <-time.After(100 * time.Millisecond):
					}
				}
			})
		}
		time.Sleep(time.Second)
		c.kill("a")
		killed, then := time.Now(), acked.Load()
		c.wait("writes go on", func() bool { return acked.Load() > then+100 })
		t.Logf("%d rows within %v of the kill", acked.Load()-then, time.Since(killed))
		if d := time.Since(killed); d > 10*time.Second {
			t.Errorf("writes took %v to go on", d)
		}
		time.Sleep(time.Second)
		close(done)
		wg.Wait()
		for name, n := range c.nodes {
			if sum, ok := counted(t, n); !ok || sum != acked.Load() {
				t.Errorf("%s reads %d rows of %d", name, sum, acked.Load())
			}
		}
	})
}

// TestNodeWithoutShardsFollowsLeaders holds that a node which learns from others who leads forgets it when that node dies.
func TestNodeWithoutShardsFollowsLeaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, "a", "b", "c", "d")
		defer c.stopAll()
		c.wait("every node has replicas", func() bool { return c.holders("a", "b", "c", "d") == 4 })
		d := c.outsider("d")
		createTable(t, d)
		s, err := d.OpenSession(t.Context(), "local", false)
		if err != nil {
			t.Fatal(err)
		}
		rows := int64(0)
		for i, g := range c.groups() {
			for !written(t, d, batch(s.ID, uint64(i+1), 1, 1, 1, 1, 1, 1)) {
			}
			rows += 6
			for name, n := range c.nodes {
				if n != c.leader(g) {
					continue
				}
				c.kill(name)
				began := time.Now()
				c.wait("reads go on", func() bool {
					sum, ok := counted(t, d)
					if ok && sum != rows {
						t.Errorf("%d rows of %d", sum, rows)
					}
					return ok
				})
				if took := time.Since(began); took > 10*time.Second {
					t.Errorf("reads at a node without shards took %v to go on after the leader of %s died", took, g)
				}
				began = time.Now()
				for !written(t, d, batch(s.ID, uint64(i+101), 1, 1, 1, 1, 1, 1)) {
				}
				rows += 6
				if took := time.Since(began); took > 5*time.Second {
					t.Errorf("a write took %v after the leader of %s died", took, g)
				}
				c.start(name)
				c.waitEqual()
				break
			}
		}
	})
}

// written says whether a batch is counted. An error that is not worth another try fails the test.
func written(t *testing.T, n *Node, b *router.Batch) bool {
	res, err := n.Write(t.Context(), b)
	if err == nil && len(res.Refused) == 0 {
		return true
	}
	if err == nil {
		err = res.Refused[0].Err
	}
	if e := errcode.From(err); !e.Retryable() {
		t.Error(err)
		return true
	}
	return false
}

// counted sums the table at a node; it is false while the node cannot read.
func counted(t *testing.T, n *Node) (sum int64, ok bool) {
	out, err := say(t.Context(), n, "SELECT sum(count) FROM admissions")
	if err != nil {
		if e := errcode.From(err); !e.Retryable() {
			t.Error(err)
		}
		return 0, false
	}
	lines := strings.Split(out, "\n")
	fmt.Sscan(lines[1], &sum)
	return sum, true
}

// TestKeysAtANodeWithoutShards holds that an idempotency key counts once, wherever it is asked.
func TestKeysAtANodeWithoutShards(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, "a", "b", "c", "d")
		defer c.stopAll()
		c.wait("every node has replicas", func() bool { return c.holders("a", "b", "c", "d") == 4 })
		d := c.outsider("d")
		createTable(t, d)
		for i, n := range []*Node{d, d, c.nodes["a"]} {
			b := batch(0, 0, 1, 2, 3)
			b.Key = "k"
			res, err := n.Write(t.Context(), b)
			if err != nil || len(res.Refused) > 0 || res.Replayed != (i > 0) {
				t.Errorf("%d: %+v, %v", i, res, err)
			}
		}
		if sum, ok := counted(t, d); !ok || sum != 6 {
			t.Errorf("%d rows", sum)
		}
		// A test whose cells are whole on their shards exchanges margins and sums, and EXPLAIN ANALYZE says how much.
		if out := must(t, d, "EXPLAIN ANALYZE SELECT chi2_test(dept, gender) FROM admissions"); !strings.Contains(out, "other nodes: 3 shards, first round") ||
			!strings.Contains(out, "other nodes: second round") {
			t.Error(out)
		}
	})
}

// TestShardWithoutQuorum holds what a node says while most of a shard's voters are away, and that it goes on by itself afterwards.
func TestShardWithoutQuorum(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, "a", "b", "c")
		defer c.stopAll()
		c.waitVoters("a", "b", "c")
		createTable(t, c.nodes["a"])
		n := c.nodes["c"]
		c.net.Isolate("c")
		// The first request waits for as long as an election may take, those after it know better.
		for i, bound := range []time.Duration{6 * time.Second, time.Second, time.Second} {
			began := time.Now()
			_, err := say(t.Context(), n, "SELECT sum(count) FROM admissions")
			if e := errcode.From(err); e == nil || e.Code != errcode.Unavailable || !e.Retryable() {
				t.Errorf("a strict read without a quorum: %v", err)
			}
			if took := time.Since(began); took > bound {
				t.Errorf("read %d: it took %v to say so", i, took)
			}
			began = time.Now()
			_, err = n.take(t.Context(), []schema.ShardID{1})
			if e := errcode.From(err); e == nil || e.Code != errcode.Unavailable || !strings.Contains(e.Message, "shard 1") {
				t.Errorf("a strict read of one shard without a quorum: %v", err)
			}
			if took := time.Since(began); took > bound {
				t.Errorf("read %d of one shard: it took %v to say so", i, took)
			}
		}
		b := batch(0, 0, 1)
		if res, err := n.Write(t.Context(), b); err == nil && len(res.Refused) == 0 {
			t.Error("a write without a quorum was acknowledged")
		}
		c.net.Heal("c")
		c.wait("c reads again", func() bool { _, ok := counted(t, n); return ok })
	})
}
