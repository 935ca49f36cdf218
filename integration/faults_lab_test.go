package integration

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime/pprof"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/quipudb/quipu/client"
)

// lab is a cluster of real processes in which everything can go wrong: a network that cuts, disks that lose power, processes that die and stop.
type lab struct {
	t      *testing.T
	seed   uint64
	rng    *rand.Rand // of the nemesis
	binary string
	shards int
	net    *network
	nodes  []*member
	next   int            // number of the next node
	asked  *client.Client // of the operator
	began  time.Time
	rested time.Duration // with nothing on its way

	dishonest atomic.Int64 // until then, in Unix nanoseconds, an age says nothing
	idle      error        // why there are no disks of their own; nil: there are

	mu     sync.Mutex // guards the fields below
	wrong  findings
	story  []string
	struck map[string]int // faults by kind
}

// member is a node of the lab.
type member struct {
	*node
	number int
	disk   *disk          // its file system; nil: a directory of the machine's
	peer   string         // it listens for the others here, behind gate
	gate   string         // the others reach it here
	door   string         // clients reach it here
	meant  atomic.Bool    // it is down, or to end, because of a fault
	client *client.Client // of the operator; nil: not yet
	clock  string         // file with its clock's offset
}

// newLab starts a cluster and returns when it is whole.
func newLab(t *testing.T, seed uint64, nodes, shards int) *lab {
	l := &lab{t: t, seed: seed, rng: rand.New(rand.NewPCG(seed, 1)), shards: shards, net: newNetwork(t, seed), began: time.Now(), struck: map[string]int{}}
	l.binary = l.clockwork()
	for i := range nodes {
		m := l.member(i)
		l.nodes = append(l.nodes, m)
	}
	l.next = nodes
	for _, m := range l.nodes {
		if err := l.up(m); err != nil {
			t.Fatalf("%v\n%s", err, m.log)
		}
	}
	l.asked = dial(t, "quipu://"+l.addrs())
	if what := l.settle(2 * time.Minute); what != "" {
		t.Fatalf("the cluster was not whole at the start: %s", what)
	}
	return l
}

// member makes a node that does not run yet.
func (l *lab) member(i int) *member {
	m := &member{number: i, peer: freeAddr(l.t), clock: filepath.Join(l.t.TempDir(), "clock")}
	dir := filepath.Join(l.t.TempDir(), "data")
	if l.idle == nil {
		if m.disk, l.idle = makeDisk(l.t, "5G"); l.idle == nil {
			dir = filepath.Join(m.disk.dir, "data")
		}
	}
	m.node = &node{t: l.t, binary: l.binary, dir: dir, addr: freeAddr(l.t), log: &lockedBuffer{}}
	m.node.born = func(pid int) { l.net.runs(i, pid) }
	m.gate = l.net.proxy(i, m.peer, true)
	m.door = l.net.proxy(i, m.addr, false)
	m.meant.Store(true)
	l.t.Cleanup(func() { m.meant.Store(true); m.kill() })
	return m
}

// addrs are the addresses of all nodes for the operator, past the proxies.
func (l *lab) addrs() string {
	var all []string
	for _, m := range l.nodes {
		all = append(all, m.addr)
	}
	return strings.Join(all, ",")
}

// doors are those for clients, from one node on.
func (l *lab) doors(first int) string {
	var all []string
	for i := range l.nodes {
		all = append(all, l.nodes[(first+i)%len(l.nodes)].door)
	}
	return "quipu://" + strings.Join(all, ",")
}

// up starts a node, which joins through another one if it is new and not the first.
func (l *lab) up(m *member, args ...string) error {
	m.args = append([]string{"--peer-addr", m.peer, "--advertise", m.gate, "--log-level", "info", "--shards", fmt.Sprint(l.shards), "--cell-memory", "64MiB"}, args...)
	if at := l.other(m); at != nil && m.id() == "" {
		m.args = append(m.args, "--join", at.gate)
	}
	m.env = []string{clockVariable + "=" + m.clock}
	if err := m.tryStart(); err != nil {
		return err
	}
	m.meant.Store(false)
	go l.watch(m, m.done)
	return nil
}

// other is a node that has been in the cluster before.
func (l *lab) other(m *member) *member {
	for _, o := range l.nodes {
		if o != m && o.id() != "" {
			return o
		}
	}
	return nil
}

// watch notes an end that nobody meant.
func (l *lab) watch(m *member, done <-chan struct{}) {
	<-done
	if !m.meant.Load() {
		l.fail("node %d ended by itself:\n%s", m.number, tail(m.log.String(), 2000))
	}
}

func tail(s string, n int) string { return s[max(0, len(s)-n):] }

// id is the node's, or "" before it has one.
func (m *member) id() string {
	b, err := os.ReadFile(filepath.Join(m.dir, "node.json"))
	var who struct{ Node string }
	if err != nil || json.Unmarshal(b, &who) != nil {
		return ""
	}
	return who.Node
}

// down kills a node.
func (m *member) down() {
	m.meant.Store(true)
	m.kill()
}

// alive says whether a node runs.
func (m *member) alive() bool { return !m.meant.Load() }

// fail notes something wrong.
func (l *lab) fail(format string, args ...any) {
	l.note("WRONG: "+format, args...)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.wrong.addf(format, args...)
}

// note writes a line of the story.
func (l *lab) note(format string, args ...any) {
	line := fmt.Sprintf("%8.2f ", time.Since(l.began).Seconds()) + fmt.Sprintf(format, args...)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.story = append(l.story, line)
	if os.Getenv("QUIPU_STORY") != "" {
		fmt.Fprintln(os.Stderr, line)
	}
}

func (l *lab) failed() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.wrong) > 0
}

// settle waits until every node runs and answers and every group is led and has its voters. It gives what is missing, "" if nothing is.
func (l *lab) settle(patience time.Duration) (missing string) {
	ctx, cancel := context.WithTimeout(l.t.Context(), patience)
	defer cancel()
	for {
		if missing = l.unsettled(ctx); missing == "" {
			return ""
		}
		wait(ctx, 100*time.Millisecond)
		if ctx.Err() != nil {
			return missing
		}
	}
}

func (l *lab) unsettled(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	m, err := l.asked.Map(ctx)
	if err != nil {
		return err.Error()
	}
	nodes := map[string]client.NodeInfo{}
	for _, n := range m.Nodes {
		nodes[n.ID] = n
	}
	for _, n := range l.nodes {
		if i := nodes[n.id()]; i.State != "active" || !i.Reachable {
			return fmt.Sprintf("node %d (%s) is %q, reachable %v", n.number, n.id(), i.State, i.Reachable)
		}
	}
	if len(m.Groups) != l.shards+1 {
		return fmt.Sprintf("%d groups", len(m.Groups))
	}
	for _, g := range m.Groups {
		want := 3
		if g.Group == "meta" {
			want = min(5, len(l.nodes))
		}
		if g.Leader == "" || len(g.Voters) != want || len(g.Learners) > 0 && g.Group != "meta" {
			return fmt.Sprintf("group %s has leader %q, voters %v, learners %v", g.Group, g.Leader, g.Voters, g.Learners)
		}
		for _, id := range g.Voters {
			if nodes[id].State == "removed" {
				return fmt.Sprintf("group %s has the removed voter %s", g.Group, id)
			}
		}
	}
	return ""
}

// same compares the states of all replicas, and gives what is wrong.
func (l *lab) same() string {
	cl := l.nodes[l.rng.IntN(len(l.nodes))]
	out, err := cl.run("cluster", "hash", "--format", "csv", "--patience", "20s")
	if err != nil || strings.Count(out, ",yes,") != l.shards+1 {
		return fmt.Sprintf("quipu cluster hash at node %d: %v\n%s%s", cl.number, err, out, l.states())
	}
	return ""
}

// states are what each node says of its replicas, for whoever looks for what went wrong.
func (l *lab) states() string {
	var b strings.Builder
	ctx, cancel := context.WithTimeout(l.t.Context(), 10*time.Second)
	defer cancel()
	for _, m := range l.nodes {
		_, replicas, err := l.operator(m).Hash(ctx)
		fmt.Fprintf(&b, "node %d (%s):", m.number, m.id())
		for _, r := range replicas {
			fmt.Fprintf(&b, " %s at %d %x", r.Group, r.Index, r.SHA256[:4])
		}
		fmt.Fprintln(&b, " ", err)
	}
	c, err := l.asked.Map(ctx)
	fmt.Fprintf(&b, "%+v %v\n", c, err)
	return b.String()
}

// leader is the node that leads a group, or any that runs.
func (l *lab) leader(group string) *member {
	ctx, cancel := context.WithTimeout(l.t.Context(), 2*time.Second)
	defer cancel()
	if m, err := l.asked.Map(ctx); err == nil {
		for _, g := range m.Groups {
			for _, n := range l.nodes {
				if g.Group == group && g.Leader == n.id() && n.alive() {
					return n
				}
			}
		}
	}
	return l.anyone()
}

// shardLeader is the leader of some shard.
func (l *lab) shardLeader() *member { return l.leader(fmt.Sprint("shard/", l.rng.IntN(l.shards))) }

// anyone is a node that runs.
func (l *lab) anyone() *member {
	for _, i := range l.rng.Perm(len(l.nodes)) {
		if l.nodes[i].alive() {
			return l.nodes[i]
		}
	}
	return l.nodes[0]
}

// some are so many nodes.
func (l *lab) some(n int) (out []*member) {
	for _, i := range l.rng.Perm(len(l.nodes))[:n] {
		out = append(out, l.nodes[i])
	}
	return out
}

// upAll starts what is down, all at once.
func (l *lab) upAll() {
	var wg sync.WaitGroup
	for _, m := range l.nodes {
		if m.alive() {
			continue
		}
		wg.Go(func() {
			if err := l.up(m); err != nil {
				l.fail("node %d does not start again: %v\n%s", m.number, err, tail(m.log.String(), 2000))
			}
		})
	}
	wg.Wait()
}

// between are the links of a node with the others.
func (l *lab) between(m *member, in, out bool) (links []link) {
	for _, o := range l.nodes {
		if o == m {
			continue
		}
		if in {
			links = append(links, link{o.number, m.number})
		}
		if out {
			links = append(links, link{m.number, o.number})
		}
	}
	return links
}

// across are the links between two sides, both ways.
func across(a, b []*member) (links []link) {
	for _, x := range a {
		for _, y := range b {
			links = append(links, link{x.number, y.number}, link{y.number, x.number})
		}
	}
	return links
}

// badly sets the weather of links until the mending, which resets half of the time what was held.
func (l *lab) badly(w weather, links ...link) (mend func()) {
	l.note("%+v on %v", w, links)
	l.net.set(w, links...)
	late := l.rng.IntN(2) == 0
	return func() {
		if !late {
			l.net.drop(links...)
		}
		l.net.set(weather{}, links...)
	}
}

// keep writes down what a failure needs to be understood, and says where and how to repeat the run.
func (l *lab) keep(save func(dir string) error) {
	in := cmp.Or(os.Getenv("QUIPU_ARTIFACTS"), os.TempDir())
	err := os.MkdirAll(in, 0o700)
	dir := ""
	if err == nil {
		dir, err = os.MkdirTemp(in, fmt.Sprintf("quipu-faults-%d-", l.seed))
	}
	if err != nil {
		l.t.Errorf("nothing is kept of the failure: %v", err)
		return
	}
	l.mu.Lock()
	story := strings.Join(slices.Clone(l.story), "\n") + "\n"
	l.mu.Unlock()
	var mine bytes.Buffer
	_ = pprof.Lookup("goroutine").WriteTo(&mine, 1)
	errs := []error{os.WriteFile(filepath.Join(dir, "story.txt"), []byte(story), 0o600), save(dir), os.WriteFile(filepath.Join(dir, "test.stacks"), mine.Bytes(), 0o600)}
	for _, m := range l.nodes {
		if m.meant.Swap(true); m.cmd != nil && m.cmd.Process != nil { // what it was doing stands at the end of its log
			_ = m.cmd.Process.Signal(syscall.SIGQUIT)
			select {
			case <-m.done:
			case <-time.After(5 * time.Second):
			}
		}
		errs = append(errs, os.WriteFile(filepath.Join(dir, fmt.Sprintf("node%d.log", m.number)), []byte(m.log.String()), 0o600))
	}
	l.t.Logf("story, history and the nodes' logs are in %s (%v); to repeat:\n\t%s\nto judge a history again:\n\tfor h in %s; do go test ./integration/check -run Recorded -history $h; done",
		dir, slices.DeleteFunc(errs, func(e error) bool { return e == nil }), l.command(), filepath.Join(dir, "history*.jsonl"))
}
