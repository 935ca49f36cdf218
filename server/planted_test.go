package server

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// A plantedBug is a step of a protocol left out. The places where it stands are laid over the sources when the binary with all of them is
// built; which one is on says QUIPU_PLANTED. The sources themselves know nothing of it.
type plantedBug struct {
	name  string
	world string
	cheap bool // CI runs it: those that the first seeds catch, every time
	sites []site
}

// site is a piece of a file that stands in it once, and what takes its place. planted(name) says whether the bug is on.
type site struct{ file, old, new string }

var plantedBugs = []plantedBug{
	{"no dedup", "bugs", true, []site{{"fsm/counter/window.go", `answered(seq uint64) bool { return `, `answered(seq uint64) bool { return !planted("no dedup") && `}}},
	{"session windows not saved", "crashes", false, []site{{"fsm/counter/part.go", "		m.touch(w)\n", "		if !planted(\"session windows not saved\") {\n			m.touch(w)\n		}\n"}}},
	{"gate missing", "rounds", false, []site{{"server/replica/gate.go", "		if h == nil {\n			return nil", "		if h == nil || planted(\"gate missing\") {\n			return nil"}}},
	{"no ConfirmTerms", "rounds", false, []site{{"server/replica/confirm.go", "	if r.Alone() {\n		return r.stillLeads", "	if r.Alone() || planted(\"no ConfirmTerms\") {\n		return r.stillLeads"}}},
	{"ConfirmTerms begun before the read", "rounds", false, []site{
		{"server/replica/confirm.go", "	c := r.nextConfirmation()\n", "	if planted(\"ConfirmTerms begun before the read\") && plantedRecent(r, term) {\n		return nil\n	}\n	c := r.nextConfirmation()\n"},
		{"server/replica/confirm.go", "	return c.err\n", "	if c.err == nil {\n		plantedNote(r, term)\n	}\n	return c.err\n"}}},
	{"COMMIT without ConfirmTerms", "rounds", false, []site{{"server/shard.go", "	return s.replica.ConfirmTerm(ctx, term)\n", "	if planted(\"COMMIT without ConfirmTerms\") {\n		return nil\n	}\n	return s.replica.ConfirmTerm(ctx, term)\n"}}},
	{"COMMIT of a broken hold", "strays", false, []site{{"server/replica/gate.go", "	if h == nil || h.round != round || h.term != term {\n", "	if planted(\"COMMIT of a broken hold\") && (h == nil || h.round != round || h.term != term) || planted(\"hold released by its own snapshot\") && h == nil {\n		return nil\n	}\n	if h != nil && planted(\"COMMIT does not compare the round\") {\n		round = h.round\n	}\n	if h != nil && planted(\"COMMIT does not compare the term\") {\n		term = h.term\n	}\n	if h == nil || h.round != round || h.term != term {\n"}}},
	{"COMMIT does not compare the round", "strays", false, nil}, // in the place before
	{"COMMIT does not compare the term", "strays", false, []site{{"server/shard.go", "	if err := s.replica.Gate().Commit(round, term); err != nil {\n		return err\n	}\n", "	if err := s.replica.Gate().Commit(round, term); err != nil {\n		return err\n	}\n	if now, err := s.replica.Leading(); err == nil && planted(\"COMMIT does not compare the term\") {\n		term = now\n	}\n"}}},
	{"hold released by its own snapshot", "rounds", false, []site{{"server/shard.go", "	return s.replica.Snapshot(ctx, index)\n", "	snap, err := s.replica.Snapshot(ctx, index)\n	if planted(\"hold released by its own snapshot\") {\n		s.replica.Gate().Reset()\n	}\n	return snap, err\n"}}},
	{"a read joins after COMMIT was sent", "bugs", true, []site{{"server/rounds/rounds.go", "	steps := [3]time.Duration{", "	if planted(\"a read joins after COMMIT was sent\") {\n		reads = s.plantedJoin(h, reads)\n	}\n	steps := [3]time.Duration{"}}},
	{"fence not checked", "strays", false, []site{{"server/replica/gate.go", "	if !round.After(g.fence) {\n", "	if !round.After(g.fence) && !planted(\"fence not checked\") && !(planted(\"the same round prepared again\") && round == g.fence) {\n"}}},
	{"the same round prepared again", "strays", false, nil}, // in the place before
	{"acknowledgement of a retry not withheld", "rounds", false, []site{{"server/replica/proposer.go", "	p.wg.Go(func() { p.answer([]*Pending{pd}, []Verdict{v}, index) })\n", "	if planted(\"acknowledgement of a retry not withheld\") {\n		index = 0\n	}\n	p.wg.Go(func() { p.answer([]*Pending{pd}, []Verdict{v}, index) })\n"}}},
	{"learners counted in ConfirmTerms", "learners", false, []site{
		{"server/replica/confirm.go", "	answers := make(chan answer, len(voters)) //", "	asked := voters\n	if planted(\"learners counted in ConfirmTerms\") {\n		asked = nil\n		for _, m := range r.Members() {\n			asked = append(asked, m.Node)\n		}\n	}\n	answers := make(chan answer, len(asked)) //"},
		{"server/replica/confirm.go", "	yes, open := 0, 0\n	for _, node := range voters {\n", "	yes, open := 0, 0\n	for _, node := range asked {\n"}}},
	{"window tested before ackUpTo", "bugs", true, []site{{"fsm/counter/window.go", "	w.raise(p.AckUpTo)\n	switch {", "	if !planted(\"window tested before ackUpTo\") || p.Seq-w.low <= WindowSize {\n		w.raise(p.AckUpTo)\n	}\n	switch {"}}},
	{"an entry refused in part", "bugs", true, []site{{"fsm/counter/add.go", "	if refused {\n		m.discardParts()\n", "	if refused && !planted(\"an entry refused in part\") {\n		m.discardParts()\n"}}},
	{"session rows not in the counters' batch", "bugs", true, []site{{"fsm/counter/machine.go", "	for _, w := range m.dirty {\n		if w.dirty {\n			w.put(tx)", "	if planted(\"session rows not in the counters' batch\") && plantedOdd() {\n		m.publish()\n		return\n	}\n	for _, w := range m.dirty {\n		if w.dirty {\n			w.put(tx)"}}},
	{"a state's index apart from the state", "bugs", false, []site{{"storage/checkpoint.go", "pos: position{s.tx.applied, s.lastGen}", "pos: position{plantedAhead(s.tx.applied), s.lastGen}"}}},
	{"windows deleted and their session not dead", "bugs", true, []site{
		{"fsm/counter/dead.go", "			m.drop(tx, k, w)\n		}\n	}\n", "			m.drop(tx, k, w)\n		}\n	}\n	if planted(\"windows deleted and their session not dead\") {\n		m.ordinary = deadSet{}\n	}\n"},
		{"server/router/router.go", "	if !ok {\n		if err := r.o.Meta.Refresh(ctx); err != nil {\n", "	if !ok && planted(\"windows deleted and their session not dead\") {\n		return command.Ordinary, nil\n	}\n	if !ok {\n		if err := r.o.Meta.Refresh(ctx); err != nil {\n"}}},
	{"watermark one too high", "bugs", true, []site{{"fsm/meta/view.go", "Watermark: live[0] - 1}", "Watermark: live[0] - 1}\n	if planted(\"watermark one too high\") {\n		x.Watermark++\n	}"}}},
	{"log time by the local clock", "bugs", true, []site{{"fsm/meta/machine.go", "	gap := m.clock.Advance(stamp)\n", "	if planted(\"log time by the local clock\") {\n		stamp = plantedClock()\n	}\n	gap := m.clock.Advance(stamp)\n"}}},
	{"watch resumes off by one", "bugs", false, []site{{"server/records.go", "	sub := n.machine.Feed().Subscribe(after)\n", "	if planted(\"watch resumes off by one\") && after != 0 {\n		after++\n	}\n	sub := n.machine.Feed().Subscribe(after)\n"}}},
	{"COMMIT before all snapshots are open", "rounds", false, []site{{"server/rounds/rounds.go", "	h.open(ctx, reads)\n	taken := time.Now()\n	h.commit(ctx, reads)\n",
		"	taken := time.Now()\n	if planted(\"COMMIT before all snapshots are open\") {\n		h.commit(ctx, reads)\n		h.open(ctx, reads)\n	} else {\n		h.open(ctx, reads)\n		h.commit(ctx, reads)\n	}\n"}}},
	{"index read before the gate closes", "rounds", false, []site{
		{"server/replica/gate.go", "	g.mu.Lock()\n	if h := g.current(); h != nil && h.round == round && g.fence == round {\n", "	early := g.commit()\n	g.mu.Lock()\n	if h := g.current(); h != nil && h.round == round && g.fence == round {\n"},
		{"server/replica/gate.go", "	return g.take(round)\n", "	p, err := g.take(round)\n	if planted(\"index read before the gate closes\") {\n		p.Index = early\n	}\n	return p, err\n"}}},
	{"single-shard read past the gate", "rounds", false, []site{{"server/shard.go", "	if err := s.replica.Gate().Pass(ctx, snap.Applied().Index); err != nil {\n", "	if planted(\"single-shard read past the gate\") {\n		return snap, nil\n	}\n	if err := s.replica.Gate().Pass(ctx, snap.Applied().Index); err != nil {\n"}}},
	{"no first-entry check", "rounds", false, []site{{"server/replica/replica.go", "	if r.store.Applied().Term != term {\n", "	if !planted(\"no first-entry check\") && r.store.Applied().Term != term {\n"}}},
	{"follower's read served as strict", "rounds", false, []site{
		{"server/host.go", "	case node == n.id.Node, node == \"\" && n.local(id) != nil:\n", "	case node == n.id.Node, (node == \"\" || planted(\"follower's read served as strict\")) && n.local(id) != nil:\n"},
		{"server/shard.go", "	index, _, err := s.replica.ReadIndex(ctx)\n", "	if planted(\"follower's read served as strict\") {\n		return s.replica.Store().Snapshot()\n	}\n	index, _, err := s.replica.ReadIndex(ctx)\n"}}},
	{"tables dropped by an old view", "catalog", false, []site{{"server/shard.go", "		if !keep[id] && uint64(id) <= v.Revision {\n", "		if !keep[id] && (planted(\"tables dropped by an old view\") || uint64(id) <= v.Revision) {\n"}}},
	{"acknowledged before it is synced", "crashes", false, []site{{"server/replica/replicatest/disk.go", "	if stalled != nil {\n		<-stalled\n	}\n", "	if stalled != nil {\n		<-stalled\n	}\n	if planted(\"acknowledged before it is synced\") {\n		return nil\n	}\n"},
		{"server/replica/replicatest/log.go", "	if !synced {\n		return\n	}\n	for _, step", "	if !synced {\n		return\n	}\n	if planted(\"acknowledged before it is synced\") {\n		s.unsynced = append(s.unsynced[max(0, len(s.unsynced)-9):], len(s.entries))\n	}\n	for _, step"},
		{"server/replica/replicatest/log.go", "	open    []*write // begun and not synced, oldest first\n", "	open    []*write // begun and not synced, oldest first\n	unsynced []int\n"},
		{"server/replica/replicatest/log.go", "	for _, w := range s.open {\n		for _, step := range w.steps {\n", "	if len(s.unsynced) > 0 && s.unsynced[0] < len(after.entries) {\n		after.entries = after.entries[:s.unsynced[0]]\n	}\n	for _, w := range s.open {\n		for _, step := range w.steps {\n"}}},
}

// plantedSource goes into every package that has a site.
const plantedSource = `package %s

import (
	"os"
	"sync/atomic"
	"time"
)

var plantedName = os.Getenv("QUIPU_PLANTED")

func planted(name string) bool { return plantedName == name }

var plantedCalls atomic.Uint64

func plantedOdd() bool { return plantedCalls.Add(1)%%2 == 1 }

func plantedClock() int64 { return time.Now().UnixMilli() }
`

// plantedMore is what bugs of a package need beside it.
var plantedMore = map[string]string{
	"server/replica": plantedReplica,
	"server/rounds": `
func (s *Sequencer) plantedJoin(h *holds, reads []*read) []*read {
	s.mu.Lock()
	defer s.mu.Unlock()
	waiting := s.waiting
	s.waiting = nil
	for _, r := range waiting {
		joins := true
		for _, id := range r.shards {
			joins = joins && h.snapshots[id] != nil && h.failed[id] == nil
		}
		if joins {
			r.waits = false
			reads = append(reads, r)
		} else {
			s.waiting = append(s.waiting, r)
		}
	}
	return reads
}
`,
	"storage": `
func plantedAhead(a schema.Applied) schema.Applied {
	if planted("a state's index apart from the state") && a.Index > 3 {
		a.Index += 3
	}
	return a
}
`,
}

const plantedReplica = `
var plantedTerms sync.Map

type plantedTime struct {
	term uint64
	at   time.Time
}

func plantedNote(r *Replica, term uint64) { plantedTerms.Store(r, plantedTime{term, time.Now()}) }

func plantedRecent(r *Replica, term uint64) bool {
	v, ok := plantedTerms.Load(r)
	return ok && v.(plantedTime).term == term && time.Since(v.(plantedTime).at) < 2*time.Second
}
`

const plantedSeeds = 50 // within which each bug must be caught

// TestPlantedBugsAreCaught runs the simulation over a binary in which one step is missing, for each of the steps. It stops at the first seed
// that catches the bug, and fails if none of fifty does: what does not find a bug that is there proves nothing. QUIPU_PLANT=cheap runs
// those that cost least.
func TestPlantedBugsAreCaught(t *testing.T) {
	which := os.Getenv("QUIPU_PLANT")
	if which == "" && os.Getenv("QUIPU_SOAK") == "" {
		t.Skip("builds a binary and runs simulations over it: QUIPU_PLANT=cheap for the cheapest, =all for all, =NAME,NAME for some")
	}
	binary := buildPlanted(t)
	var needed []int
	for _, bug := range plantedBugs {
		if which == "cheap" && !bug.cheap || which != "cheap" && which != "all" && which != "" && !slices.Contains(strings.Split(which, ","), bug.name) {
			continue
		}
		t.Run(bug.name, func(t *testing.T) {
			if n := bug.caught(t, binary); n > 0 {
				needed = append(needed, n)
			}
		})
	}
	if len(needed) == 0 {
		t.Fatalf("no bug of %q was caught", which)
	}
	slices.Sort(needed)
	t.Logf("%d bugs caught; seeds needed: median %d, most %d", len(needed), needed[len(needed)/2], needed[len(needed)-1])
}

var seedRun = regexp.MustCompile(`=== RUN +TestSimulation/\w+/seed_(\d+)`)

// caught gives how many seeds it took.
func (b plantedBug) caught(t *testing.T, binary string) int {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Minute)
	defer cancel()
	c := exec.CommandContext(ctx, binary, "-test.run", "TestSimulation$", "-test.v", "-test.timeout", "20m")
	c.Env = append(os.Environ(), "QUIPU_PLANTED="+b.name, fmt.Sprintf("QUIPU_SIMULATE=%s:1-%d", b.world, plantedSeeds), "QUIPU_ARTIFACTS="+t.TempDir())
	out, err := c.CombinedOutput()
	if err == nil {
		t.Errorf("%d seeds did not catch it", plantedSeeds)
		return 0
	}
	seeds := seedRun.FindAllSubmatch(out, -1)
	if len(seeds) == 0 {
		t.Fatalf("%v:\n%s", err, out)
	}
	seed := seeds[len(seeds)-1][1]
	found := finding(out)
	if found == "" {
		t.Fatalf("seed %s failed, but not by a wrong answer or a replica that stops: that is no catch\n%s", seed, out)
	}
	t.Logf("caught by seed %s: %s", seed, found)
	return len(seeds)
}

// finding is the first line of a run that says what a bug has made wrong, or nothing: a read that was refused, or a goroutine left behind, does not
// tell a bug from a machine that is busy.
func finding(out []byte) string {
	for line := range bytes.Lines(out) {
		text := strings.TrimSpace(string(line))
		if strings.Contains(text, "adds acked, ") { // the summary of a seed, not a finding
			continue
		}
		for _, sign := range []string{"bounds: ", "strict: ", "graph: ", "levels: ", "not what was promised", "differ at index", "start of", "halts", "waited in vain", "was acknowledged", "panic: ", "is refused", "linearizability: ", "watch: ", ", sequence "} {
			if strings.Contains(text, sign) {
				return text
			}
		}
	}
	return ""
}

// buildPlanted makes the test binary with every bug in it.
func buildPlanted(t *testing.T) string {
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	texts := map[string]string{}
	for _, bug := range plantedBugs {
		for _, s := range bug.sites {
			if texts[s.file] == "" {
				b, err := os.ReadFile(filepath.Join(root, s.file))
				if err != nil {
					t.Fatal(err)
				}
				texts[s.file] = string(b)
			}
			if n := strings.Count(texts[s.file], s.old); n != 1 {
				t.Fatalf("%s: %q stands %d times in %s, want once: plant the bug where its code has gone", bug.name, s.old, n, s.file)
			}
			texts[s.file] = strings.Replace(texts[s.file], s.old, s.new, 1)
		}
	}
	for _, file := range slices.Sorted(maps.Keys(texts)) {
		folder := filepath.Dir(file)
		text := fmt.Sprintf(plantedSource, filepath.Base(folder))
		switch text += plantedMore[folder]; folder {
		case "server/replica":
			text = strings.Replace(text, "\"os\"", "\"os\"\n\t\"sync\"", 1)
		case "storage":
			text = strings.Replace(text, "\"time\"\n", "\"time\"\n\n\t\"github.com/quipudb/quipu/storage/schema\"\n", 1)
		}
		texts[folder+"/planted_overlay.go"] = text
	}
	replace := map[string]string{}
	for file, text := range texts {
		laid := filepath.Join(dir, strings.ReplaceAll(file, "/", "+"))
		if err := os.WriteFile(laid, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		replace[filepath.Join(root, file)] = laid
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "overlay.json"), overlay, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	binary := filepath.Join(dir, "planted.test")
	if out, err := exec.CommandContext(t.Context(), "go", "test", "-c", "-overlay", filepath.Join(dir, "overlay.json"), "-o", binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v:\n%s", err, out)
	}
	return binary
}
