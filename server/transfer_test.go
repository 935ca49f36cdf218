package server

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quipudb/quipu/server/errcode"
	"github.com/quipudb/quipu/server/placement"
	"github.com/quipudb/quipu/server/transport/transporttest"
)

// reading asks for sums at every node without pause until stop is called, which gives how many reads there were. None may fail, and none
// may take longer than most. With mayRefuse a read may be refused as UNAVAILABLE: an election may take longer than the four seconds that one goes on.
func (c *cluster) reading(most time.Duration, mayRefuse bool, names []string, settings ...string) (stop func() int) {
	ctx, cancel := context.WithCancel(c.t.Context())
	var mu sync.Mutex
	var wg sync.WaitGroup
	reads := 0
	for _, name := range names {
		n := c.nodes[name]
		for _, sql := range []string{sumOfAll, sumOfAll + " WHERE dept = 'dept 0' AND gender = 'm'"} {
			wg.Go(func() {
				for ctx.Err() == nil {
					began := time.Now()
					_, err := readAt(context.WithoutCancel(ctx), n, sql, settings...)
					took := time.Since(began)
					mu.Lock()
					if reads++; err != nil && !(mayRefuse && codeOf(err) == errcode.Unavailable) || took > most {
						c.t.Errorf("%v at %s: %s took %v: %v", settings, name, sql, took, err)
					}
					mu.Unlock()
					time.Sleep(100 * time.Millisecond) // of the bubble
				}
			})
		}
	}
	return func() int {
		cancel()
		wg.Wait()
		return reads
	}
}

// Leadership goes from hand to hand under reads that need the leaders. Whoever is asked looks for the new one.
func TestReadsDoNotNoticeTransfers(t *testing.T) {
	for _, l := range []string{"strict", "linearizable"} {
		t.Run(l, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newCluster(t, "a", "b", "c")
				defer c.stopAll()
				c.waitVoters("a", "b", "c")
				createTable(t, c.nodes["a"])
				c.sql("a", "INSERT INTO admissions (dept, gender) VALUES ('dept 0', 'm'), ('dept 0', 'f'), ('dept 1', 'm')")
				stop := c.reading(time.Second, false, []string{"a", "b", "c"}, level, l)
				for range 10 {
					for _, g := range c.groups() {
						n := c.leader(g)
						if n == nil {
							continue
						}
						for _, o := range c.nodes {
							if o == n {
								continue
							}
							if err := n.replica(g).Transfer(o.id.Node); err != nil {
								t.Logf("%s: %v", g, err)
							}
							break
						}
						time.Sleep(150 * time.Millisecond)
					}
				}
				if n := stop(); n < 100 {
					t.Errorf("%d reads", n)
				}
			})
		})
	}
}

// Replicas and leaders move to nodes that join, also away from the one that leads the meta group and runs the rounds. Reads do not notice.
func TestReadsDoNotNoticeGrowth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &cluster{t: t, net: &transporttest.Network{}, dir: t.TempDir(), nodes: map[string]*Node{}, shards: 4, tune: func(_ string, cfg *Config) {
			cfg.Peer.Every, cfg.Peer.Placement = 0, placement.Options{}
		}}
		for _, name := range []string{"a", "b", "c"} {
			c.start(name)
		}
		defer c.stopAll()
		c.waitVoters("a", "b", "c")
		createTable(t, c.nodes["a"])
		c.sql("a", "INSERT INTO admissions (dept, gender) VALUES ('dept 0', 'm'), ('dept 0', 'f'), ('dept 1', 'm')")
		stop := c.reading(time.Second, false, []string{"a", "b", "c"})
		for _, name := range []string{"d", "e", "f"} {
			c.start(name)
		}
		c.wait("replicas and leaders are spread", func() bool {
			leads := map[*Node]int{}
			for _, g := range c.groups() {
				n := c.leader(g)
				if n == nil {
					return false
				}
				leads[n]++
			}
			for _, n := range c.nodes {
				if held := len(n.held()); held != 2 || leads[n] > 1 {
					return false
				}
			}
			return true
		})
		t.Log(stop(), "reads")
	})
}

// A leader is lost under reads: its process ends, its network breaks, or it hangs, so that what is asked there has no answer. Whoever is asked
// for the counts waits for the next leader; a fragment that was at work there is run again, elsewhere.
func TestReadsOutliveTheirLeaders(t *testing.T) {
	names := []string{"a", "b", "c"}
	for _, fault := range []struct {
		name        string
		begin, end  func(c *cluster, name string)
		lasts, most time.Duration // most: the longest that a read may take
	}{
		{"end", (*cluster).kill, func(c *cluster, name string) { c.start(name) }, 6 * time.Second, 5 * time.Second},
		{"break", func(c *cluster, name string) { c.net.Isolate(name) }, func(c *cluster, name string) { c.net.Heal(name) }, 8 * time.Second, 5 * time.Second},
		{"hang", func(c *cluster, name string) { c.between(name, c.net.Cut) }, func(c *cluster, name string) { c.between(name, c.net.Mend) },
			20 * time.Second, 20 * time.Second}, // a fragment notices when the connection gives no sign of life for 15 s; an election may take longer than a read waits
	} {
		for _, l := range []string{"strict", "linearizable"} {
			t.Run(fault.name+"/"+l, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					c := newCluster(t, names...)
					defer c.stopAll()
					c.waitVoters(names...)
					createTable(t, c.nodes["a"])
					c.sql("a", "INSERT INTO admissions (dept, gender) VALUES ('dept 0', 'm'), ('dept 0', 'f'), ('dept 1', 'm')")
					for i, lost := range names {
						stop := c.reading(fault.most, fault.name != "end", []string{names[(i+1)%3], names[(i+2)%3]}, level, l)
						time.Sleep(time.Duration(100+37*i) * time.Millisecond)
						fault.begin(c, lost)
						time.Sleep(fault.lasts)
						for _, name := range []string{names[(i+1)%3], names[(i+2)%3]} {
							if _, err := readAt(t.Context(), c.nodes[name], sumOfAll, level, l); err != nil { // while it lasts
								t.Errorf("at %s, after %v: %v", name, fault.lasts, err)
							}
						}
						if n := stop(); n < 100 {
							t.Errorf("%d reads", n)
						}
						fault.end(c, lost)
						c.waitVoters(names...)
					}
				})
			})
		}
	}
}

// between does something to the links between a node and each of the others, in both directions.
func (c *cluster) between(name string, do func(from, to string)) {
	for other := range c.nodes {
		if other != name {
			do(name, other)
			do(other, name)
		}
	}
}
