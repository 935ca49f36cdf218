package server

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quipudb/quipu/query"
	"github.com/quipudb/quipu/query/plan"
	"github.com/quipudb/quipu/server/errcode"
	"github.com/quipudb/quipu/server/transport"
	"github.com/quipudb/quipu/storage/schema"
)

// footed is a sink that keeps the first value and the end of the last result.
type footed struct {
	value int64
	end   *query.End
}

func (s *footed) Columns([]plan.Column) error { return nil }

func (s *footed) Row(values []plan.Value) error {
	_, err := fmt.Sscan(fmt.Sprint(values[0]), &s.value)
	return err
}

func (s *footed) End(e *query.End) error {
	s.end = e
	return nil
}

// readAt runs a query at a node with settings, given as name, value, name, value.
func readAt(ctx context.Context, n *Node, sql string, settings ...string) (*footed, error) {
	out, of := &footed{}, map[string]string{}
	for i := 0; i < len(settings); i += 2 {
		of[settings[i]] = settings[i+1]
	}
	err := n.queries().engine.Run(ctx, query.Request{Principal: "local", SQL: sql, Settings: of}, out)
	return out, err
}

const (
	level    = "quipu.read_consistency"
	sumOfAll = "SELECT sum(count) FROM admissions"
)

// beating waits until every node has heard how the others do.
func (c *cluster) beating() {
	c.t.Helper()
	c.wait("nodes have heard of each other", func() bool {
		for _, n := range c.nodes {
			if len(*n.pulse.others.Load()) < len(c.nodes) {
				return false
			}
		}
		return true
	})
}

// Every level gives a row that was acknowledged, at every node, while nothing is wrong: session because of the receipt, stale because
// replicas follow within moments.
func TestLevelsAtEveryNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, "a", "b", "c")
		defer c.stopAll()
		c.waitVoters("a", "b", "c")
		c.beating()
		createTable(t, c.nodes["a"])
		rows := int64(0)
		for range 12 { // as many turns as it takes to be served by every replica
			for _, name := range []string{"a", "b", "c"} {
				n := c.nodes[name]
				written, err := readAt(t.Context(), n, "INSERT INTO admissions (dept, gender, count) VALUES ('x', 'm', 1), ('y', 'f', 1), ('z', 'm', 1)")
				if err != nil {
					t.Fatal(err)
				}
				rows += 3
				for _, at := range c.nodes {
					for _, settings := range [][]string{{level, "strict"}, {level, "linearizable"}, {level, "session", "quipu.min_index", written.end.Receipt}} {
						got, err := readAt(t.Context(), at, sumOfAll, settings...)
						if err != nil || got.value != rows {
							t.Errorf("%v at %s: %d of %d rows, %v", settings, at.cfg.Peer.Listen, got.value, rows, err)
						}
					}
				}
			}
		}
		c.waitEqual()
		for name, n := range c.nodes {
			got, err := readAt(t.Context(), n, sumOfAll, level, "stale")
			if err != nil || got.value != rows {
				t.Fatalf("stale at %s: %d of %d rows, %v", name, got.value, rows, err)
			}
			f := got.end.Fresh
			if len(f.Shards) != 3 || len(f.Missing) != 0 || f.Age() > 200*time.Millisecond || got.end.Level != query.Stale {
				t.Errorf("stale at %s: %+v", name, f)
			}
			if _, err := readAt(t.Context(), n, sumOfAll, level, "stale", "quipu.max_staleness", "1s"); err != nil {
				t.Errorf("stale at %s, at most a second old: %v", name, err)
			}
		}
		for _, bad := range []struct{ receipt, code string }{{"0:999999", "RECEIPT_OF_OTHER_CLUSTER"}, {"7:1", "INVALID_OPTION"}, {"nonsense", "INVALID_OPTION"}} {
			if _, err := readAt(t.Context(), c.nodes["b"], sumOfAll, level, "session", "quipu.min_index", bad.receipt); string(codeOf(err)) != bad.code {
				t.Errorf("receipt %q: %v", bad.receipt, err)
			}
		}
	})
}

// A node that is cut off answers stale reads from its own replicas and says how old they are and what that means; everything else that needs
// a quorum fails fast. The others go on. When the link heals, all is as before.
func TestReadsOfANodeThatIsCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, "a", "b", "c")
		defer c.stopAll()
		c.waitVoters("a", "b", "c")
		c.beating()
		createTable(t, c.nodes["a"])
		insert := "INSERT INTO admissions (dept, gender, count) VALUES ('x', 'm', 30), ('x', 'f', 20), ('y', 'm', 20), ('y', 'f', 30), ('z', 'f', 1)"
		if _, err := readAt(t.Context(), c.nodes["a"], insert); err != nil {
			t.Fatal(err)
		}
		time.Sleep(11 * time.Second) // of the bubble: beats see the rate
		c.waitEqual()
		n := c.nodes["c"]
		c.net.Isolate("c")
		time.Sleep(3 * time.Second)
		if _, err := readAt(t.Context(), c.nodes["b"], insert); err != nil {
			t.Fatalf("a write while a node is cut off: %v", err)
		}
		for _, l := range []string{"strict", "linearizable"} {
			if _, err := readAt(t.Context(), n, sumOfAll, level, l); codeOf(err) != errcode.Unavailable || !strings.Contains(err.Error(), "shard") {
				t.Errorf("%s where there is no quorum: %v", l, err)
			}
			if got, err := readAt(t.Context(), c.nodes["a"], sumOfAll, level, l); err != nil || got.value != 202 {
				t.Errorf("%s on the other side: %d, %v", l, got.value, err)
			}
		}
		got, err := readAt(t.Context(), n, sumOfAll, level, "stale")
		if err != nil || got.value != 101 {
			t.Fatalf("stale where there is no quorum: %d, %v", got.value, err)
		}
		if age := got.end.Fresh.Age(); age < 3*time.Second || age > 30*time.Second || got.end.Age < age {
			t.Errorf("it is %v old, and says %v", age, got.end.Age)
		}
		notices := fmt.Sprint(got.end.Notices)
		if !strings.Contains(notices, "freshness_hint") || !strings.Contains(notices, "confidence gate is shut for shard 0: its state is") {
			t.Errorf("notices: %v", notices)
		}
		tested, err := readAt(t.Context(), n, "SELECT chi2_stat(dept, gender) FROM admissions", level, "stale")
		if err != nil || tested.end.Fresh.Verdict.Unsure != 1 || !strings.Contains(fmt.Sprint(tested.end.Notices), "verdict unsure for 1 of 1 tests: missing_max = ") {
			t.Errorf("a test: %+v, %v", tested.end, err)
		}
		if _, err := readAt(t.Context(), n, sumOfAll, level, "stale", "quipu.max_staleness", "2s"); codeOf(err) != errcode.Unavailable || !strings.Contains(err.Error(), "max_staleness") {
			t.Errorf("stale, at most two seconds old: %v", err)
		}
		c.net.Heal("c")
		c.wait("c reads again", func() bool {
			got, err := readAt(t.Context(), n, sumOfAll)
			return err == nil && got.value == 202
		})
		c.waitEqual()
	})
}

// Without the meta group's quorum a shard that has its own goes on: its writes, its strict and its linearizable reads. What needs a round
// does not. A stale read names the shards that no replica of can be reached.
func TestShardsWithoutTheMetaGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		names := []string{"a", "b", "c", "d", "e"}
		c := newCluster(t, names...)
		defer c.stopAll()
		c.wait("replicas are spread and the meta group has five voters", func() bool {
			r := c.leader(transport.Meta)
			voters := 0
			if r != nil {
				for _, m := range r.meta.Members() {
					if m.Voter {
						voters++
					}
				}
			}
			return voters == 5 && c.holders(names...) == 5 && !slices.ContainsFunc(c.groups()[1:], func(g transport.Group) bool {
				l := c.leader(g)
				return l == nil || len(l.replica(g).Members()) != 3
			})
		})
		createTable(t, c.nodes["a"])
		insert := "INSERT INTO admissions (dept, gender, count) VALUES ('x', 'm', 30), ('x', 'f', 20), ('y', 'm', 20), ('y', 'f', 30), ('z', 'f', 1)"
		if _, err := readAt(t.Context(), c.nodes["a"], insert); err != nil {
			t.Fatal(err)
		}
		c.waitEqual()
		// Two nodes stay: they are two of the three voters of shard 1.
		stay := map[string]bool{}
		for _, m := range c.leader(transport.Shard(1)).replica(transport.Shard(1)).Members()[:2] {
			stay[m.Node] = true
		}
		var n *Node
		for name, o := range c.nodes {
			if !stay[o.id.Node] {
				c.net.Isolate(name)
			} else {
				n = o
			}
		}
		c.wait("shard 1 is read", func() bool {
			cut, err := n.take(t.Context(), []schema.ShardID{1})
			if err == nil {
				cut.Release()
			}
			return err == nil
		})
		r := n.readLinearizable(t.Context(), 1)
		if r.err != nil {
			t.Errorf("a linearizable read of a shard with its quorum: %v", r.err)
		} else {
			r.snap.Release()
		}
		if _, err := readAt(t.Context(), n, sumOfAll); codeOf(err) != errcode.Unavailable {
			t.Errorf("a strict read of all shards without the meta group: %v", err)
		}
		reachable := 0
		for _, id := range n.allShards() {
			for _, m := range n.replicasOf(id) {
				if stay[m.Node] {
					reachable++
					break
				}
			}
		}
		got, err := readAt(t.Context(), n, sumOfAll, level, "stale")
		if err != nil || len(got.end.Fresh.Shards) != reachable || len(got.end.Fresh.Missing) != 3-reachable {
			t.Errorf("a stale read where %d shards have a replica: %+v, %v", reachable, got.end, err)
		}
		for name := range c.nodes {
			c.net.Heal(name)
		}
		c.wait("all is read again", func() bool {
			got, err := readAt(t.Context(), n, sumOfAll)
			return err == nil && got.value == 101
		})
	})
}

// A leader that was deposed and does not know it yet does not call a receipt foreign that only its successor knows. A leader that a majority confirms does.
func TestOnlyAConfirmedLeaderCallsAReceiptForeign(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, "a", "b", "c")
		defer c.stopAll()
		c.waitVoters("a", "b", "c")
		g, beyond := transport.Shard(0), uint64(1<<40)
		old := c.leader(g)
		if err := old.unknownReceipt(t.Context(), 0, beyond); codeOf(err) != errcode.ReceiptOfOther {
			t.Errorf("at the leader of all: %v", err)
		}
		for name, n := range c.nodes {
			if n == old {
				continue
			}
			c.net.Cut(name, old.cfg.Peer.Listen)
			c.net.Cut(old.cfg.Peer.Listen, name)
			n.replica(g).Succeed(old.id.Node)
		}
		time.Sleep(old.cfg.Peer.Timeout / 4) // of the bubble: its successor is elected, and its own lease has not run out
		var next *Node
		for _, n := range c.nodes {
			if _, err := n.replica(g).Leading(); err == nil && n != old {
				next = n
			}
		}
		if _, err := old.replica(g).Leading(); err != nil || next == nil {
			t.Fatalf("the old leader: %v; its successor: %v", err, next)
		}
		if err := old.unknownReceipt(t.Context(), 0, beyond); err != nil {
			t.Errorf("at the deposed leader: %v", err)
		}
		if err := next.unknownReceipt(t.Context(), 0, beyond); codeOf(err) != errcode.ReceiptOfOther {
			t.Errorf("at its successor: %v", err)
		}
		for name := range c.nodes {
			c.net.Mend(name, old.cfg.Peer.Listen)
			c.net.Mend(old.cfg.Peer.Listen, name)
		}
	})
}
