package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/quipudb/quipu/integration/check"
	"github.com/quipudb/quipu/server/replica/replicatest"
	"github.com/quipudb/quipu/server/transport"
	"github.com/quipudb/quipu/server/transport/transporttest"
)

// A world says what a simulation consists of.
type world struct {
	name     string
	nodes    int
	shards   int
	clients  int
	span     time.Duration // of work under faults, virtual
	fast     bool          // elections after 200 ms instead of 1 s
	faults   []fault
	late     int           // nodes that join while faults strike
	calm     bool          // messages of Raft have the fate of streams only, and travel in pipelines
	slow     bool          // steps of rounds take their time, and PREPARE comes twice now and then
	patient  int           // clients that send what was acknowledged once more after the next crash
	tables   bool          // tables come and go
	strays   bool          // reads of several shards are rounds of a stray
	settings func(*Config) // of a node, over what the simulation sets
}

// simulation is a world in which everything runs as it ships but for the network, the disks and the clocks. What happens there is drawn from
// the seed. The Go scheduler is not: a seed that failed once fails again often, not always.
type simulation struct {
	*cluster
	world
	seed  uint64
	names []string
	rng   *rand.Rand // of the nemesis
	rec   *check.Recorder
	meta  metaLog
	where []string // by shard: a place whose rows fall on it
	shard map[string]int
	post  atomic.Pointer[transporttest.Post]
	fates fates
	acked map[string]int64 // of the tables beside the ledger: shards that have acknowledged their counts. tablesClient owns it
	steps sync.WaitGroup   // of rounds, that come a second time

	strayed strays

	traceMu sync.Mutex
	trace   strings.Builder
	began   time.Time

	mu     sync.Mutex // guards the fields below
	disks  map[string]*replicatest.Disk
	lives  map[string]*life // of nodes that are up
	clocks map[string]*atomic.Int64
	counts map[string]int  // faults by name
	broken map[string]bool // disks that were broken on purpose
	starts map[string]bool // nodes that are on their way up
	risen  int             // starts after the first ones
}

// lockedSource is a source for many goroutines.
type lockedSource struct {
	mu  sync.Mutex
	src rand.Source
}

func (l *lockedSource) Uint64() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.src.Uint64()
}

// life is one start of a node.
type life struct {
	n     *Node
	ctx   context.Context // ends with it
	end   context.CancelFunc
	calls sync.WaitGroup
	dead  atomic.Bool // what it answers now reaches nobody
	sleep atomic.Pointer[chan struct{}]
}

// calm is the weather of a good day: packets are lost now and then, and connections break.
var (
	calm  = transporttest.Weather{DelayMin: 200 * time.Microsecond, DelayMax: 2 * time.Millisecond, Late: 0.001, LateMax: 300 * time.Millisecond, Broken: 0.0001}
	storm = transporttest.Weather{DelayMin: 1 * time.Millisecond, DelayMax: 40 * time.Millisecond, Late: 0.03, LateMax: time.Second, Broken: 0.003}

	goodPost = transporttest.Post{Lost: 0.003, Unanswered: 0.003, Twice: 0.01, Late: 0.01, LateMax: 30 * time.Millisecond}
	badPost  = transporttest.Post{Lost: 0.15, Unanswered: 0.15, Twice: 0.15, Late: 0.3, LateMax: 400 * time.Millisecond}
)

func newSimulation(t *testing.T, w world, seed uint64) *simulation {
	s := &simulation{world: w, seed: seed, rng: rand.New(&lockedSource{src: rand.NewPCG(seed, 1)}), began: time.Now(), shard: map[string]int{}, acked: map[string]int64{},
		disks: map[string]*replicatest.Disk{}, lives: map[string]*life{}, clocks: map[string]*atomic.Int64{}, counts: map[string]int{}, broken: map[string]bool{}, starts: map[string]bool{}}
	s.rec = check.NewRecorder(w.shards, map[string]string{"world": w.name, "seed": fmt.Sprint(seed), "command": s.command()})
	s.post.Store(&goodPost)
	s.cluster = &cluster{t: t, net: &transporttest.Network{Seed: seed, Weather: calm}, dir: t.TempDir(), nodes: map[string]*Node{}, shards: w.shards, tune: s.tuneNode}
	for i := range w.nodes {
		name := string(rune('a' + i%26))
		if i >= 26 {
			name += strconv.Itoa(i / 26)
		}
		s.names = append(s.names, name)
		s.clocks[name] = &atomic.Int64{}
		syncs := rand.New(rand.NewPCG(seed, uint64(100+i)))
		var mu sync.Mutex
		disk, err := replicatest.NewDisk(filepath.Join(s.dir, name), replicatest.Options{Sync: func() time.Duration {
			mu.Lock()
			defer mu.Unlock()
			return time.Duration(50+syncs.IntN(1000)) * time.Microsecond
		}})
		if err != nil {
			t.Fatal(err)
		}
		s.disks[name] = disk
	}
	return s
}

// command repeats the run.
func (s *simulation) command() string {
	test := "TestSimulation"
	if s.name == "many" {
		test = "TestManyNodes"
	}
	return fmt.Sprintf("QUIPU_SIMULATE=%s:%d go test ./server -run '%s$' -count=5 -v", s.name, s.seed, test)
}

// tuneNode puts a node into the simulated world.
func (s *simulation) tuneNode(name string, cfg *Config) {
	s.mu.Lock()
	cfg.Disk = s.disks[name]
	s.mu.Unlock()
	clock := s.clocks[name]
	if cfg.Now = time.Now; clock != nil {
		cfg.Now = func() time.Time { return time.Now().Add(time.Duration(clock.Load())) }
	}
	cfg.LogKeep = 256
	cfg.CellMemory = 16 << 20
	cfg.Logger = slog.New(slog.NewTextHandler(traceWriter{s, name}, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))
	cfg.Halt = func(err error) { s.halts(name, err) }
	if s.fast {
		cfg.Peer.Timeout = 200 * time.Millisecond
	}
	if s.settings != nil {
		s.settings(cfg)
	}
	if s.calm {
		return
	}
	links := 0
	cfg.Peer.RaftFunc = func(g transport.Group, t raft.Transport) raft.Transport {
		links++
		return transporttest.Raft(t, s.seed+uint64(g)<<32+uint64(name[0])<<40+uint64(links)<<48, func(m transporttest.Message) transporttest.Post {
			return s.fates.of(name, g, m, *s.post.Load())
		})
	}
	if s.slow {
		cfg.Peer.RoundFunc = s.dawdling(name)
	}
}

// halts is a failure, unless the node's disk was broken on purpose.
func (s *simulation) halts(name string, err error) {
	s.note("%s halts: %v", name, err)
	s.mu.Lock()
	meant := s.broken[name]
	l := s.lives[name]
	s.mu.Unlock()
	if !meant && (l == nil || !l.dead.Load()) {
		s.t.Errorf("%s halts: %v", name, err)
	}
}

// note writes a line of the trace.
func (s *simulation) note(format string, args ...any) {
	s.traceMu.Lock()
	defer s.traceMu.Unlock()
	if s.trace.Len() < traceMax {
		fmt.Fprintf(&s.trace, "%10.6f "+format+"\n", append([]any{time.Since(s.began).Seconds()}, args...)...)
	}
}

const traceMax = 64 << 20

type traceWriter struct {
	s    *simulation
	node string
}

func (w traceWriter) Write(p []byte) (int, error) {
	w.s.note("%s: %s", w.node, strings.TrimSpace(string(p)))
	return len(p), nil
}

// up makes a node start, or start again, if it is down. It returns when the node takes requests.
func (s *simulation) up(name string) {
	s.mu.Lock()
	if s.lives[name] != nil || s.starts[name] {
		s.mu.Unlock()
		return
	}
	s.starts[name] = true
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.starts, name)
		s.mu.Unlock()
	}()
	cfg := s.config(name)
	if name != "a" {
		cfg.Peer.Join = "a"
	}
	ctx, end := context.WithCancel(s.t.Context())
	n, err := Open(ctx, cfg)
	if err != nil {
		s.t.Errorf("start of %s: %v", name, err)
		end()
		return
	}
	s.note("%s is up as %s", name, n.id.Node)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cluster.nodes[name] = n
	s.lives[name] = &life{n: n, ctx: ctx, end: end}
	s.risen++
}

// down ends a life. With a crash nobody hears of the node any more, and its disk loses of what was not synced all but percent.
func (s *simulation) down(name string, crash bool, percent int) {
	s.mu.Lock()
	l := s.lives[name]
	delete(s.lives, name)
	disk := s.disks[name]
	s.mu.Unlock()
	if l == nil {
		return
	}
	if crash {
		l.dead.Store(true)
		if s.rng.IntN(2) == 0 {
			s.net.Isolate(name) // the machine fails
		} else {
			s.net.End(name)
		}
		after := disk.Crash(percent, s.rng)
		s.mu.Lock()
		s.disks[name] = after
		s.mu.Unlock()
	}
	disk.Resume()
	l.end()
	if !crash { // those in flight get their answers first
		l.calls.Wait()
		if err := l.n.Close(); err != nil {
			s.t.Errorf("stop of %s: %v", name, err)
		}
	} else {
		l.calls.Wait()
		l.n.stop()
		l.n.wg.Wait()
		_ = l.n.closeGroups() // of a node that is dead: nobody reads what it writes
	}
	s.mu.Lock()
	delete(s.cluster.nodes, name)
	s.mu.Unlock()
	if crash {
		s.net.Heal(name)
	}
	s.note("%s is down", name)
}

// life is that of a node that is up, or nil.
func (s *simulation) life(name string) *life {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lives[name]
}

var errNobody = errors.New("no node is up")

// call runs a request at a node that is up, the one of the number if it is. What a node answers after it has died is not heard.
func (s *simulation) call(ctx context.Context, choice int, patience time.Duration, request func(context.Context, *Node) error) error {
	s.mu.Lock()
	var l *life
	for i := range s.names {
		if l = s.lives[s.names[(choice+i)%len(s.names)]]; l != nil {
			break
		}
	}
	if l == nil {
		s.mu.Unlock()
		return errNobody
	}
	l.calls.Add(1)
	s.mu.Unlock()
	defer l.calls.Done()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	defer context.AfterFunc(l.ctx, cancel)()
	err := request(ctx, l.n)
	if asleep := l.sleep.Load(); asleep != nil {
		select {
		case <-*asleep:
		case <-l.ctx.Done():
		}
	}
	if l.dead.Load() {
		return errors.New("the node has died")
	}
	return err
}

// stop ends everything.
func (s *simulation) stop() {
	s.steps.Wait()
	s.mu.Lock()
	for _, d := range s.disks {
		d.Resume()
	}
	lives := make([]*life, 0, len(s.lives))
	for _, l := range s.lives {
		l.dead.Store(true)
		lives = append(lives, l)
	}
	s.mu.Unlock()
	for _, l := range lives {
		l.end()
		l.calls.Wait()
		l.n.stop()
	}
	for _, l := range lives {
		l.n.wg.Wait()
	}
	var wg sync.WaitGroup
	for _, l := range lives {
		wg.Go(func() {
			if err := l.n.closeGroups(); err != nil && !s.t.Failed() {
				s.t.Errorf("stop of %s: %v", l.n.id.Node, err)
			}
		})
	}
	wg.Wait()
}

// keep writes down what a failure needs to be understood, and says where and how to repeat the run.
func (s *simulation) keep(h *check.History) {
	dir, err := os.MkdirTemp(os.Getenv("QUIPU_ARTIFACTS"), fmt.Sprintf("quipu-simulation-%s-%d-", s.name, s.seed))
	if err == nil {
		s.traceMu.Lock()
		err = errors.Join(h.Save(filepath.Join(dir, "history.jsonl")), os.WriteFile(filepath.Join(dir, "trace.txt"), []byte(s.trace.String()), 0o600),
			os.WriteFile(filepath.Join(dir, "meta.txt"), []byte(s.meta.text()), 0o600))
		s.traceMu.Unlock()
	}
	s.t.Logf("seed %d of %s: history and trace are in %s (%v); to repeat:\n\t%s\nto judge the history again:\n\tgo test ./integration/check -run Recorded -history %s",
		s.seed, s.name, dir, err, s.command(), filepath.Join(dir, "history.jsonl"))
}
