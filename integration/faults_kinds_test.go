package integration

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// fault is something that goes wrong and comes right again.
type fault struct {
	name   string
	weight int
	least  time.Duration // that it lasts
	most   time.Duration
	needs  string                   // "disk" or the name of a command; "": nothing
	strike func(*lab) (mend func()) // does harm at once and gives what undoes it; nil: there was nothing to do
}

func nothing() {}

// killed are nodes that die at one instant.
func (l *lab) killed(nodes ...*member) func() {
	var wg sync.WaitGroup
	for _, m := range nodes {
		l.note("node %d is killed", m.number)
		wg.Go(m.down)
	}
	wg.Wait()
	return l.upAll
}

// paused are nodes that stand still.
func (l *lab) paused(nodes ...*member) func() {
	for _, m := range nodes {
		l.note("node %d stands still", m.number)
		m.cmd.Process.Signal(syscall.SIGSTOP)
	}
	l.dishonest.Store(math.MaxInt64)
	return func() {
		for _, m := range nodes {
			m.cmd.Process.Signal(syscall.SIGCONT)
		}
		l.dishonest.Store(time.Now().Add(5 * time.Second).UnixNano())
	}
}

// kinds are the faults. A kind that this machine cannot have is left out, and named.
var kinds = []fault{
	{"kill of a node", 3, 0, 3 * time.Second, "", func(l *lab) func() { return l.killed(l.anyone()) }},
	{"kill of a shard's leader", 5, 0, 3 * time.Second, "", func(l *lab) func() { return l.killed(l.shardLeader()) }},
	{"kill of the meta leader", 4, 0, 3 * time.Second, "", func(l *lab) func() { return l.killed(l.leader("meta")) }},
	{"kill of a majority", 2, 0, 3 * time.Second, "", func(l *lab) func() { return l.killed(l.some(len(l.nodes)/2 + 1)...) }},
	{"kill of all", 2, 0, time.Second, "", func(l *lab) func() { return l.killed(l.nodes...) }},
	{"kills one after the other", 2, 0, 100 * time.Millisecond, "", func(l *lab) func() {
		for range 4 {
			l.killed(l.anyone())()
		}
		return nothing
	}},
	{"graceful restart", 2, 0, time.Second, "", func(l *lab) func() {
		m := l.anyone()
		l.note("node %d is stopped", m.number)
		m.meant.Store(true)
		if code := m.stop(); code != 0 {
			l.fail("node %d ended with code %d:\n%s", m.number, code, tail(m.log.String(), 1000))
		}
		return l.upAll
	}},
	{"pause of a leader", 4, 100 * time.Millisecond, 3 * time.Second, "", func(l *lab) func() { return l.paused(l.shardLeader()) }},
	{"pause longer than every lease", 2, 11 * time.Second, 13 * time.Second, "", func(l *lab) func() { return l.paused(l.leader("meta")) }},
	{"pause of all", 1, 500 * time.Millisecond, 3 * time.Second, "", func(l *lab) func() { return l.paused(l.nodes...) }},
	{"isolation of a leader", 4, 500 * time.Millisecond, 5 * time.Second, "", func(l *lab) func() { return l.badly(weather{cut: true}, l.between(l.shardLeader(), true, true)...) }},
	{"isolation of the meta leader", 3, 500 * time.Millisecond, 5 * time.Second, "", func(l *lab) func() { return l.badly(weather{cut: true}, l.between(l.leader("meta"), true, true)...) }},
	{"nothing gets in", 3, 500 * time.Millisecond, 5 * time.Second, "", func(l *lab) func() { return l.badly(weather{cut: true}, l.between(l.shardLeader(), true, false)...) }},
	{"nothing gets out", 3, 500 * time.Millisecond, 5 * time.Second, "", func(l *lab) func() { return l.badly(weather{cut: true}, l.between(l.shardLeader(), false, true)...) }},
	{"minority cut off", 3, 500 * time.Millisecond, 5 * time.Second, "", func(l *lab) func() {
		all := l.some(len(l.nodes))
		few := (len(all) - 1) / 2
		return l.badly(weather{cut: true}, across(all[:few], all[few:])...)
	}},
	{"two sides and a bridge", 3, 500 * time.Millisecond, 5 * time.Second, "", func(l *lab) func() {
		all := l.some(len(l.nodes))
		half := len(all) / 2
		return l.badly(weather{cut: true}, across(all[:half], all[half+1:])...) // all[half] hears both
	}},
	{"ring of one-way cuts", 2, 500 * time.Millisecond, 4 * time.Second, "", func(l *lab) func() {
		var ways []link
		for i, m := range l.nodes {
			ways = append(ways, link{m.number, l.nodes[(i+1)%len(l.nodes)].number})
		}
		return l.badly(weather{cut: true}, ways...)
	}},
	{"everybody alone", 2, 500 * time.Millisecond, 4 * time.Second, "", func(l *lab) func() { return l.badly(weather{cut: true}, across(l.nodes, l.nodes)...) }},
	{"slow links", 3, time.Second, 5 * time.Second, "", func(l *lab) func() {
		return l.badly(weather{delay: time.Duration(20+l.rng.IntN(180)) * time.Millisecond}, l.between(l.shardLeader(), true, true)...)
	}},
	{"connections of nodes reset", 3, time.Second, 4 * time.Second, "", func(l *lab) func() {
		return l.badly(weather{reset: 0.02, delay: time.Millisecond}, across(l.nodes, l.nodes)...)
	}},
	{"replies to clients lost", 4, time.Second, 4 * time.Second, "", func(l *lab) func() {
		var ways []link
		for _, m := range l.nodes {
			ways = append(ways, link{m.number, clients})
		}
		return l.badly(weather{reset: 0.1}, ways...)
	}},
	{"replies to clients late", 2, time.Second, 4 * time.Second, "", func(l *lab) func() {
		m := l.anyone()
		return l.badly(weather{cut: true}, link{m.number, clients})
	}},
	{"isolation and a kill", 3, 500 * time.Millisecond, 4 * time.Second, "", func(l *lab) func() {
		two := l.some(2)
		mend, start := l.badly(weather{cut: true}, l.between(two[0], true, true)...), l.killed(two[1])
		return func() { start(); mend() }
	}},
	{"clock an hour ahead", 1, time.Second, 4 * time.Second, "", func(l *lab) func() { return l.shifted(l.leader("meta"), time.Hour) }},
	{"clock an hour behind", 1, time.Second, 4 * time.Second, "", func(l *lab) func() { return l.shifted(l.shardLeader(), -time.Hour) }},
	{"failed fsync", 3, 0, time.Second, "strace", (*lab).failedSync},
	{"slow fsync", 2, time.Second, 4 * time.Second, "strace", (*lab).slowSync},
	{"disk full", 2, time.Second, 3 * time.Second, "disk", func(l *lab) func() {
		m := l.shardLeader()
		l.note("the disk of node %d is full", m.number)
		m.disk.fill(50 << 20)
		return m.disk.free
	}},
	{"disk full to the last byte", 1, 0, time.Second, "disk", (*lab).lastByte},
	{"power cut of one", 4, 0, 2 * time.Second, "disk", func(l *lab) func() { return l.unpowered(l.shardLeader()) }},
	{"power cut of all", 4, 0, time.Second, "disk", func(l *lab) func() { return l.unpowered(l.nodes...) }},
	{"bits flipped in a log", 1, 0, 0, "", func(l *lab) func() { return l.damaged("shards/*/log/*.segment") }},
	{"bits flipped in a table", 1, 0, 0, "", func(l *lab) func() { return l.damaged("shards/*/db-*/*.sst") }},
	{"a node comes and goes", 1, 12 * time.Second, 20 * time.Second, "", (*lab).visited},
	{"lost disk", 1, 0, 0, "", func(l *lab) func() {
		m := l.anyone()
		l.note("node %d loses its disk", m.number)
		m.down()
		return func() { l.replace(m) }
	}},
}

// shifted sets a node's clock wrong.
func (l *lab) shifted(m *member, by time.Duration) func() {
	l.note("the clock of node %d is wrong by %v", m.number, by)
	set := func(d time.Duration) {
		if err := os.WriteFile(m.clock, []byte(d.String()), 0o600); err != nil {
			l.fail("%v", err)
		}
	}
	l.dishonest.Store(math.MaxInt64)
	set(by)
	return func() {
		set(0)
		l.dishonest.Store(time.Now().Add(5 * time.Second).UnixNano())
	}
}

// failedSync makes the next sync of a node's files fail. It must end by itself and say so.
func (l *lab) failedSync() func() {
	m := l.shardLeader()
	l.note("an fsync of node %d fails", m.number)
	m.meant.Store(true)
	detach := l.inject(m, "error=EIO:when=1")
	select {
	case <-m.done:
	case <-time.After(20 * time.Second):
		l.fail("node %d goes on after a failed fsync", m.number)
	}
	detach()
	if said := tail(m.log.String(), 2000); !strings.Contains(said, "input/output error") {
		l.fail("node %d ended after a failed fsync and does not say why:\n%s", m.number, said)
	}
	m.kill()
	return l.upAll
}

func (l *lab) slowSync() func() {
	m := l.shardLeader()
	l.note("every fsync of node %d is slow", m.number)
	return l.inject(m, fmt.Sprintf("delay_enter=%d", 100_000+l.rng.IntN(400_000)))
}

// lastByte takes all room from a node that knows no bound. It must end by itself, and go on when there is room.
func (l *lab) lastByte() func() {
	m := l.anyone()
	m.down()
	if err := l.up(m, "--disk-free", "1B"); err != nil {
		l.fail("node %d does not start again: %v", m.number, err)
		return nothing
	}
	l.note("the disk of node %d is full to the last byte", m.number)
	m.meant.Store(true)
	m.disk.fill(0)
	select {
	case <-m.done:
	case <-time.After(30 * time.Second):
		l.note("node %d has not needed any more room", m.number) // segments are made ahead
	}
	m.kill()
	m.disk.free()
	return l.upAll
}

// unpowered are nodes whose disks lose what was not synced, at once.
func (l *lab) unpowered(nodes ...*member) func() {
	for _, m := range nodes {
		l.note("the power of node %d is cut", m.number)
		m.meant.Store(true)
		m.disk.cut()
	}
	var wg sync.WaitGroup
	for _, m := range nodes {
		wg.Go(m.kill)
	}
	wg.Wait()
	for _, m := range nodes {
		m.disk.remount()
	}
	return l.upAll
}

// damaged flips bits in files of a node that is down. It must refuse to serve from them, by a message that names one, or not have needed them;
// then its disk is replaced.
func (l *lab) damaged(pattern string) func() {
	m := l.anyone()
	m.down()
	files, _ := filepath.Glob(filepath.Join(m.dir, pattern))
	flips := 0
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			l.fail("%v", err)
			return nothing
		}
		flips += flipEverywhere(b)
		if err := os.WriteFile(f, b, 0o600); err != nil {
			l.fail("%v", err)
			return nothing
		}
	}
	l.note("%d bits flipped in %d files %s of node %d", flips, len(files), pattern, m.number)
	if flips == 0 {
		return l.upAll
	}
	from := len(m.log.String())
	err := m.tryStart()
	if err == nil { // a damaged table is met when it is read
		select {
		case <-m.done:
			err = fmt.Errorf("it ended later")
		case <-time.After(5 * time.Second):
		}
	}
	said := m.log.String()[from:]
	switch {
	case err == nil:
		l.note("node %d has not met the damage", m.number)
	case !namesOne(said, files):
		l.fail("node %d ended on damaged files and names none of them:\n%s", m.number, tail(said, 2000))
	}
	m.kill()
	return func() { l.replace(m) }
}

// replace gives a node that is down an empty disk: it comes back as another one, and the old one is struck out.
func (l *lab) replace(m *member) {
	old := m.id()
	if err := os.RemoveAll(m.dir); err != nil {
		l.fail("%v", err)
		return
	}
	if err := l.up(m); err != nil {
		l.fail("node %d does not join with an empty disk: %v\n%s", m.number, err, tail(m.log.String(), 2000))
		return
	}
	l.set(old, "removed")
	l.note("node %d is %s now, and was %s", m.number, m.id(), old)
}

// visited gives the cluster a node more, which gets replicas and is then drained and removed.
func (l *lab) visited() func() {
	m := l.member(l.next)
	l.next++
	if err := l.up(m); err != nil {
		l.fail("node %d does not join: %v\n%s", m.number, err, tail(m.log.String(), 2000))
		return nothing
	}
	l.note("node %d joins as %s", m.number, m.id())
	return func() {
		defer m.down()
		l.set(m.id(), "draining")
		ctx, cancel := context.WithTimeout(l.t.Context(), 2*time.Minute)
		defer cancel()
		for left := -1; left != 0; {
			if c, err := l.asked.Map(ctx); err == nil {
				left = 0
				for _, g := range c.Groups {
					if g.Group != "meta" && slices.Contains(append(g.Voters, g.Learners...), m.id()) {
						left++
					}
				}
			}
			if ctx.Err() != nil {
				l.fail("node %d is not drained after two minutes: %d shards are left", m.number, left)
				return
			}
			wait(ctx, 200*time.Millisecond)
		}
		m.meant.Store(true)
		if code := m.stop(); code != 0 {
			l.fail("node %d ended with code %d:\n%s", m.number, code, tail(m.log.String(), 1000))
		}
		l.set(m.id(), "removed")
	}
}

// set changes the state of a node, again and again until it is taken.
func (l *lab) set(id, state string) {
	ctx, cancel := context.WithTimeout(l.t.Context(), 30*time.Second)
	defer cancel()
	for {
		err := l.asked.SetNode(ctx, id, state)
		if err == nil {
			return
		}
		if ctx.Err() != nil {
			l.fail("node %s is not made %s: %v", id, state, err)
			return
		}
		wait(ctx, 200*time.Millisecond)
	}
}
