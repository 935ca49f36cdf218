package integration

import (
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/quipudb/quipu/client"
)

// The disks of two nodes of three are gone. The third goes on alone by the command for it, with everything that it had, gets two new
// neighbours, and a writer that was there before counts on under its session.
func TestQuorumLossIsRecovered(t *testing.T) {
	t.Parallel() // it waits for replicas to come
	c := startCluster(t, 3, "--shards", "2")
	last := c.nodes[2]
	asked := last.open()
	c.untilVoters(asked, 3)
	if _, err := asked.Exec(t.Context(), "CREATE TABLE seen (writer text, cell text)"); err != nil {
		t.Fatal(err)
	}
	w := &writer{name: "w", ledger: map[string]int64{}}
	w.c = last.open(client.WithHooks(w.hooks()))
	write := func() {
		t.Helper()
		for i := range 300 {
			cell := fmt.Sprint("c", i%50)
			if err := w.c.Table("seen").Add(t.Context(), 1, "writer", w.name, "cell", cell); err != nil {
				t.Fatal(err)
			}
			w.ledger["w/"+cell]++
		}
		if err := w.c.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	write()
	if out, err := last.run("cluster", "hash", "--format", "csv"); err != nil || strings.Count(out, ",yes,") != 3 { // the last one has all
		t.Fatalf("quipu cluster hash: %v\n%s", err, out)
	}
	var gone []string
	for _, n := range c.nodes[:2] {
		gone = append(gone, id(t, n.open()))
	}
	for _, n := range c.nodes {
		n.kill()
	}
	for _, n := range c.nodes[:2] {
		if err := os.RemoveAll(n.dir); err != nil {
			t.Fatal(err)
		}
	}

	before := recovery(t, last, 0)
	if strings.Count(before, "\n") != 4 || strings.Count(before, gone[0]) != 3 {
		t.Errorf("quipu recover lists:\n%s", before)
	}
	if out := recovery(t, last, 2, "--group", "all"); !strings.Contains(out, "nothing was changed") || strings.Count(out, "is lost") != 3 {
		t.Errorf("quipu recover without --yes says:\n%s", out)
	}
	if after := recovery(t, last, 0); after != before {
		t.Errorf("quipu recover without --yes has changed\n%sto\n%s", before, after)
	}
	if out := recovery(t, last, 1, "--group", "shard/7", "--yes"); !strings.Contains(out, "no replica of group") {
		t.Errorf("quipu recover of what there is not says:\n%s", out)
	}
	recovery(t, last, 0, "--group", "all", "--yes")
	last.start()
	if out := recovery(t, last, 1, "--group", "all", "--yes"); !strings.Contains(out, "in use") {
		t.Errorf("quipu recover of a node that runs says:\n%s", out)
	}
	asked = last.open()
	compare(counts(t, asked, "seen", "writer,cell"), w.ledger).check(t)
	write()

	for _, id := range gone {
		c.until("the lost node is removed", func(ctx context.Context) bool { return asked.SetNode(ctx, id, "removed") == nil })
	}
	for i := range 2 {
		peer := freeAddr(t)
		c.nodes[i] = startNode(t, t.TempDir(), "--peer-addr", peer, "--join", c.peers[2], "--log-level", "info")
	}
	c.untilVoters(asked, 3)
	write()
	for _, n := range c.nodes {
		compare(counts(t, n.open(), "seen", "writer,cell"), w.ledger).check(t)
	}
	if w.lost.Load() > 0 {
		t.Errorf("%d batches were refused or are of unknown outcome", w.lost.Load())
	}
	if out, err := last.run("cluster", "hash", "--format", "csv"); err != nil || strings.Count(out, ",3,") != 3 || strings.Count(out, ",yes,") != 3 {
		t.Errorf("quipu cluster hash: %v\n%s", err, out)
	}
}

// Two nodes of five are left. Each group is recovered at the one whose listing has the newest replica, and the other one is started as it is.
func TestQuorumLossOfFiveIsRecovered(t *testing.T) {
	t.Parallel() // it waits for replicas to come
	c := startCluster(t, 5, "--shards", "2")
	asked := c.nodes[0].open()
	c.until("replicas are spread and the meta group has five voters", func(ctx context.Context) bool {
		m, err := asked.Map(ctx)
		if err != nil || len(m.Groups) != 3 {
			return false
		}
		on := map[string]bool{}
		for _, g := range m.Groups {
			want := 3
			if g.Group == "meta" {
				want = 5
			} else {
				for _, id := range g.Voters {
					on[id] = true
				}
			}
			if len(g.Voters) != want || len(g.Learners) > 0 || g.Leader == "" {
				return false
			}
		}
		return len(on) == 5
	})
	if _, err := asked.Exec(t.Context(), "CREATE TABLE seen (writer text, cell text)"); err != nil {
		t.Fatal(err)
	}
	m, err := asked.Map(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	// One that stays has a replica of each shard; the other one ends before the last writes and has the older replica of all that it has.
	shards := map[string][]string{} // by node
	for _, g := range m.Groups {
		if g.Group != "meta" {
			for _, id := range g.Voters {
				shards[id] = append(shards[id], g.Group)
			}
		}
	}
	var newer, older *node
	for _, n := range c.nodes {
		switch id := id(t, n.open()); {
		case len(shards[id]) == 2:
			newer = n
		case n != c.nodes[0]:
			older = n
		}
	}
	olderID, at := id(t, older.open()), map[*node]*client.Client{}
	for _, n := range c.nodes {
		at[n] = n.open() // opening one changes the meta group
	}
	w := &writer{name: "w", ledger: map[string]int64{}}
	w.c = newer.open(client.WithHooks(w.hooks()))
	write := func() {
		t.Helper()
		for i := range 300 {
			cell := fmt.Sprint("c", i%50)
			if err := w.c.Table("seen").Add(t.Context(), 1, "writer", w.name, "cell", cell); err != nil {
				t.Fatal(err)
			}
			w.ledger["w/"+cell]++
		}
		if err := w.c.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	write()
	older.kill()
	write()
	if _, err := at[newer].Exec(t.Context(), "CREATE TABLE later (x text)"); err != nil { // what the older one does not have of the meta group
		t.Fatal(err)
	}
	c.until("the one that stays has all", func(ctx context.Context) bool { // nothing is written any more
		most, has := map[string]uint64{}, map[string]uint64{}
		for _, n := range c.nodes {
			if n == older {
				continue
			}
			_, replicas, err := at[n].Hash(ctx)
			if err != nil {
				return false
			}
			for _, r := range replicas {
				most[r.Group] = max(most[r.Group], r.Index)
				if n == newer {
					has[r.Group] = r.Index
				}
			}
		}
		return maps.Equal(has, most)
	})
	var gone []string
	for _, n := range c.nodes {
		if n != newer && n != older {
			gone = append(gone, id(t, at[n]))
		}
	}
	for _, n := range c.nodes {
		n.kill()
	}
	for _, n := range c.nodes {
		if n != newer && n != older {
			if err := os.RemoveAll(n.dir); err != nil {
				t.Fatal(err)
			}
		}
	}
	last := func(n *node) map[string][2]int {
		out := map[string][2]int{}
		for line := range strings.Lines(recovery(t, n, 0)) {
			var term, index int
			if f := strings.Split(line, ","); f[0] != "group" {
				if _, err := fmt.Sscan(f[1]+" "+f[2], &term, &index); err != nil {
					t.Fatalf("%v in %s", err, line)
				}
				out[f[0]] = [2]int{term, index}
			}
		}
		return out
	}
	have, left := last(newer), last(older)
	if len(have) != 3 || len(left) != 2 {
		t.Fatalf("quipu recover lists %v and %v", have, left)
	}
	for group, at := range left {
		if best := have[group]; best[0] < at[0] || best[0] == at[0] && best[1] <= at[1] {
			t.Errorf("%s: the one that stayed to the end has %v, the other one %v", group, best, at)
		}
	}
	recovery(t, newer, 0, "--group", "all", "--yes")
	newer.start()
	older.start() // as it is: what it has of the groups follows
	asked = newer.open()
	for _, id := range gone {
		c.until("a lost node is removed", func(ctx context.Context) bool { return asked.SetNode(ctx, id, "removed") == nil })
	}
	third := startNode(t, t.TempDir(), "--peer-addr", freeAddr(t), "--join", c.peers[slices.Index(c.nodes, newer)], "--log-level", "info")
	c.untilVoters(asked, 3)
	write()
	for _, n := range []*node{newer, older, third} {
		compare(counts(t, n.open(), "seen", "writer,cell"), w.ledger).check(t)
	}
	for _, n := range []*node{newer, older, third} {
		query(t, n.open(), "SELECT count(*) FROM later")
	}
	if id(t, older.open()) != olderID || w.lost.Load() > 0 {
		t.Errorf("%d batches were refused or are of unknown outcome", w.lost.Load())
	}
	if out, err := newer.run("cluster", "hash", "--format", "csv"); err != nil || strings.Count(out, ",3,") != 3 || strings.Count(out, ",yes,") != 3 {
		t.Errorf("quipu cluster hash: %v\n%s", err, out)
	}
}

// recovery runs quipu recover on a node's directory and gives what it prints.
func recovery(t *testing.T, n *node, code int, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), n.binary, append([]string{"recover", "--data-dir", n.dir, "--format", "csv"}, args...)...)
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState.ExitCode() != code {
		t.Fatalf("quipu recover %v: %v, want code %d\n%s", args, err, code, out)
	}
	return string(out)
}

// A node that has lost its disk comes back as another one, at its old addresses; the old one is struck out, and its replicas are made anew.
func TestLostDiskIsReplaced(t *testing.T) {
	if !soak() {
		t.Skip("replicas wait ten seconds for a new node; the commands for operators do the same without load: part of `make soak`")
	}
	c := startCluster(t, 3, "--shards", "2")
	asked := c.nodes[0].open()
	c.untilVoters(asked, 3)
	if _, err := asked.Exec(t.Context(), "CREATE TABLE seen (writer text, cell text)"); err != nil {
		t.Fatal(err)
	}
	w := &writer{name: "w", ledger: map[string]int64{}}
	w.c = c.nodes[0].open(client.WithHooks(w.hooks()))
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	done := make(chan error, 1)
	go func() { done <- w.fill(ctx, "seen", 1) }()
	lost := c.nodes[1]
	old := id(t, lost.open())
	lost.kill()
	if err := os.RemoveAll(lost.dir); err != nil {
		t.Fatal(err)
	}
	c.until("the lost node is removed", func(ctx context.Context) bool { return asked.SetNode(ctx, old, "removed") == nil })
	lost.start()
	if now := id(t, lost.open()); now == old {
		t.Errorf("the node without memory is %s again", now)
	}
	c.until("no replica is on the lost node, and all are there", func(ctx context.Context) bool {
		out, err := lost.run("cluster", "map", "--format", "csv")
		return err == nil && !strings.Contains(out, old)
	})
	c.untilVoters(asked, 3)
	stop()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if err := w.c.Flush(t.Context()); err != nil || w.lost.Load() > 0 {
		t.Errorf("flush: %v, %d batches without receipt", err, w.lost.Load())
	}
	compare(counts(t, lost.open(), "seen", "writer,cell"), w.ledger).check(t)
	if out, err := lost.run("cluster", "hash", "--format", "csv"); err != nil || strings.Count(out, ",3,") != 3 || strings.Count(out, ",yes,") != 3 {
		t.Errorf("quipu cluster hash: %v\n%s", err, out)
	}
}
