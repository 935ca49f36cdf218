package fsm_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/quipudb/quipu/fsm"
	"github.com/quipudb/quipu/fsm/fsmtest"
	"github.com/quipudb/quipu/storage"
	"github.com/quipudb/quipu/storage/schema"
)

// tape is a machine that keeps each entry in a row of its own, so that a lost, doubled or torn entry shows.
type tape struct{ loads atomic.Int32 }

func (m *tape) Load(*storage.Tx) error { m.loads.Add(1); return nil }
func (m *tape) Settle(*storage.Tx)     {}

func (m *tape) Apply(tx *storage.Tx, e fsm.Entry) fsm.Result {
	key := fmt.Appendf(nil, "%08d", e.Index)
	if _, twice := tx.Row(key); twice {
		panic(fmt.Sprintf("entry %d came twice", e.Index))
	}
	tx.PutRow(key, e.Data)
	if string(e.Data) == "panic" {
		panic(errors.New("a broken invariant"))
	}
	return string(e.Data)
}

// node is one member of a Raft group over an in-memory transport, with a log that survives a crash and a state that is as
// durable as its checkpoints.
type node struct {
	t         *testing.T
	id        raft.ServerID
	addr      raft.ServerAddress
	transport *raft.InmemTransport
	log       *raft.InmemStore
	fs        *vfs.MemFS
	store     *storage.Store
	machine   *tape
	snapshots *fsm.Snapshots
	raft      *raft.Raft
	halted    chan error
}

func newNode(t *testing.T, id string) *node {
	n := &node{t: t, id: raft.ServerID(id), log: raft.NewInmemStore(), fs: vfs.NewCrashableMem(), halted: make(chan error, 1)}
	if err := n.fs.MkdirAll("db", 0o755); err != nil {
		t.Fatal(err)
	}
	root, err := n.fs.OpenDir("")
	if err == nil {
		err = root.Sync()
	}
	if err != nil {
		t.Fatal(err)
	}
	n.addr, n.transport = raft.NewInmemTransport(raft.ServerAddress(id))
	n.open()
	t.Cleanup(n.stop)
	return n
}

func (n *node) open() {
	n.t.Helper()
	var err error
	n.store, err = storage.Open(storage.Options{Dir: "db", FS: n.fs, CheckpointEvery: -1})
	if err != nil {
		n.t.Fatal(err)
	}
	n.machine = &tape{}
	bridge, err := fsm.NewBridge(n.machine, n.store, fsm.Options{Halt: func(err error) { n.halted <- err }})
	if err != nil {
		n.t.Fatal(err)
	}
	n.snapshots = fsm.NewSnapshots(n.store)
	c := raft.DefaultConfig()
	c.LocalID, c.Logger = n.id, hclog.NewNullLogger()
	c.HeartbeatTimeout, c.ElectionTimeout, c.LeaderLeaseTimeout, c.CommitTimeout = 100*time.Millisecond, 100*time.Millisecond, 50*time.Millisecond, 5*time.Millisecond
	c.NoSnapshotRestoreOnStart, c.TrailingLogs, c.SnapshotThreshold, c.BatchApplyCh = true, 5, 1<<40, true
	n.raft, err = raft.NewRaft(c, bridge, n.log, n.log, n.snapshots, n.transport)
	if err != nil {
		n.t.Fatal(err)
	}
}

func (n *node) stop() {
	_ = n.raft.Shutdown().Error()
	_ = n.store.Close()
}

// crash cuts the power of the state's disk; the log is on another.
func (n *node) crash() {
	n.t.Helper()
	n.fs = n.fs.CrashClone(vfs.CrashCloneCfg{})
	n.stop()
	_, n.transport = raft.NewInmemTransport(n.addr)
	n.open()
}

func (n *node) bootstrap() {
	n.t.Helper()
	err := n.raft.BootstrapCluster(raft.Configuration{Servers: []raft.Server{{ID: n.id, Address: n.addr}}}).Error()
	if err != nil {
		n.t.Fatal(err)
	}
	n.leads()
}

func (n *node) leads() {
	n.t.Helper()
	select {
	case leader := <-n.raft.LeaderCh():
		if leader {
			return
		}
	case <-time.After(20 * time.Second):
	}
	n.t.Fatal("no leader")
}

func (n *node) write(from, to int) (last uint64) {
	n.t.Helper()
	var futures []raft.ApplyFuture
	for i := from; i < to; i++ {
		futures = append(futures, n.raft.Apply(fmt.Appendf(nil, "entry %d", i), 0))
	}
	for i, f := range futures {
		if err := f.Error(); err != nil || f.Response() != fmt.Sprintf("entry %d", from+i) {
			n.t.Fatalf("entry %d: %v, %v", from+i, f.Response(), err)
		}
		last = f.Index()
	}
	return last
}

func (n *node) wait(index uint64) {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(n.t.Context(), 20*time.Second)
	defer cancel()
	if err := n.store.WaitApplied(ctx, index); err != nil {
		n.t.Fatalf("%s is at %d: %v", n.id, n.store.Applied().Index, err)
	}
}

// holds checks that the entries 0 to n−1 are there, each once and in order.
func (n *node) holds(count int) {
	n.t.Helper()
	n.store.Update(func(tx *storage.Tx) {
		i := 0
		for _, v := range tx.Rows(nil) {
			if string(v) != fmt.Sprintf("entry %d", i) {
				n.t.Fatalf("%s: row %d holds %q", n.id, i, v)
			}
			i++
		}
		if i != count {
			n.t.Fatalf("%s: %d entries, want %d", n.id, i, count)
		}
	})
}

func TestCrashLosesNoEntryAndDoublesNone(t *testing.T) {
	n := newNode(t, "a")
	n.bootstrap()
	n.write(0, 50)
	if err := n.raft.Snapshot().Error(); err != nil {
		t.Fatal(err)
	}
	durable := n.store.Durable().Index
	if first, _ := n.log.FirstIndex(); first > durable+1 || first < 40 {
		t.Errorf("the log begins at %d, the state is durable up to %d", first, durable)
	}
	last := n.write(50, 80)
	n.crash()
	if got := n.store.Applied().Index; got != durable {
		t.Errorf("after the crash the state is at %d, want %d", got, durable)
	}
	n.leads()
	last = max(last, n.write(80, 81))
	n.wait(last)
	n.holds(81)
}

func TestSnapshotReachesAnEmptyFollower(t *testing.T) {
	a, b := newNode(t, "a"), newNode(t, "b")
	a.bootstrap()
	a.write(0, 100)
	if err := a.raft.Snapshot().Error(); err != nil {
		t.Fatal(err)
	}
	last := a.write(100, 120) // in the log only
	a.transport.Connect(b.addr, b.transport)
	b.transport.Connect(a.addr, a.transport)
	if err := a.raft.AddNonvoter(b.id, b.addr, 0, 0).Error(); err != nil {
		t.Fatal(err)
	}
	b.wait(last)
	b.holds(120)
	last = a.write(120, 140)
	b.wait(last)
	b.holds(140)
	if b.machine.loads.Load() < 2 {
		t.Error("the machine did not load the installed state")
	}
	if fsmtest.Dump(t, a.store) != fsmtest.Dump(t, b.store) {
		t.Error("leader and follower differ")
	}
	list, err := b.snapshots.List()
	if err != nil || len(list) != 1 || len(list[0].Configuration.Servers) != 2 {
		t.Errorf("the follower lists %+v, %v; want a snapshot with both servers", list, err)
	}
	b.crash()
	a.transport.Connect(b.addr, b.transport)
	b.transport.Connect(a.addr, a.transport)
	b.wait(last)
	b.holds(140)
}

func TestPersistPromisesOnlyWhatIsDurable(t *testing.T) {
	n := newNode(t, "a")
	n.bootstrap()
	n.write(0, 10)
	bridge, err := fsm.NewBridge(&tape{}, n.store, fsm.Options{})
	if err != nil {
		t.Fatal(err)
	}
	snap, err := bridge.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	create := func(s *fsm.Snapshots, index uint64) raft.SnapshotSink {
		sink, err := s.Create(1, index, 9, raft.Configuration{}, 0, nil)
		if err != nil {
			t.Fatal(err)
		}
		return sink
	}
	_, stream, err := n.snapshots.Open("live")
	if err != nil {
		t.Fatal(err)
	}
	if err := snap.Persist(create(n.snapshots, 1)); err == nil || !strings.Contains(err.Error(), "streamed") {
		t.Errorf("while a stream is open: %v", err)
	}
	if err := stream.Close(); err != nil {
		t.Fatal(err)
	}
	applied := n.store.Applied()
	if err := snap.Persist(create(n.snapshots, 1)); err != nil || n.store.Applied() != applied || n.store.Durable() != applied {
		t.Errorf("an older index: %v; applied %v durable %v, want %v", err, n.store.Applied(), n.store.Durable(), applied)
	}
	ahead := schema.Applied{Index: applied.Index + 1, Term: 9} // a no-op that machines do not see
	if err := snap.Persist(create(n.snapshots, ahead.Index)); err != nil || n.store.Durable() != ahead {
		t.Errorf("a no-op's index: %v, durable %v", err, n.store.Durable())
	}
	if err := snap.Persist(create(fsm.NewSnapshots(newNode(t, "other").store), 1)); err == nil {
		t.Error("a sink of another group was taken")
	}
	func() {
		defer func() { _ = recover() }()
		n.store.Update(func(*storage.Tx) { panic("broken") })
	}()
	if err := snap.Persist(create(n.snapshots, 1)); err == nil {
		t.Error("a state that cannot become durable was promised")
	}
}

func TestBadStreamsLeaveTheStateAlone(t *testing.T) {
	from, to := newNode(t, "a"), newNode(t, "b")
	from.bootstrap()
	from.write(0, 30)
	to.bootstrap()
	to.write(0, 5)
	before := fsmtest.Dump(t, to.store)
	m, r, err := from.snapshots.Open("live")
	if err != nil {
		t.Fatal(err)
	}
	whole, err := io.ReadAll(r)
	if err != nil || int64(len(whole)) != m.Size || r.Close() != nil {
		t.Fatalf("%d bytes of %d: %v", len(whole), m.Size, err)
	}
	receive := func(data []byte, index uint64) (raft.SnapshotSink, error) {
		sink, err := to.snapshots.Create(1, index, m.Term, m.Configuration, m.ConfigurationIndex, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := sink.Write(data); err != nil {
			return sink, errors.Join(err, sink.Cancel())
		}
		return sink, sink.Close()
	}
	flipped := append([]byte(nil), whole...)
	flipped[len(flipped)/2] ^= 1
	for name, tc := range map[string]struct {
		data  []byte
		index uint64
	}{"cut off": {whole[:len(whole)-9], m.Index}, "flipped bit": {flipped, m.Index}, "another index": {whole, m.Index + 1}, "noise": {[]byte("noise"), m.Index}} {
		if _, err := receive(tc.data, tc.index); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	sink, err := receive(whole, m.Index) // whole, but never restored
	if err != nil {
		t.Fatal(err)
	}
	if list, _ := to.snapshots.List(); len(list) == 1 && list[0].ID != "live" {
		t.Errorf("a state that is not installed is listed: %+v", list)
	}
	if fsmtest.Dump(t, to.store) != before {
		t.Error("the state changed")
	}
	_, source, err := to.snapshots.Open(sink.ID())
	if err != nil {
		t.Fatal(err)
	}
	if err := source.Close(); err != nil {
		t.Error(err)
	}
	if _, _, err := to.snapshots.Open(sink.ID()); err == nil {
		t.Error("a state can be opened twice")
	}
}

func TestPanicHaltsOnce(t *testing.T) {
	n := newNode(t, "a")
	n.bootstrap()
	n.write(0, 3)
	if err := n.raft.Snapshot().Error(); err != nil {
		t.Fatal(err)
	}
	durable := n.store.Durable()
	f := n.raft.Apply([]byte("panic"), 0)
	if err := f.Error(); err != nil || f.Response() != fsm.ErrHalted {
		t.Errorf("answer %v, %v; want ErrHalted", f.Response(), err)
	}
	err := <-n.halted
	if want := fmt.Sprintf("entry %d of term", f.Index()); !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "a broken invariant") {
		t.Errorf("halted with %q, want %q in it", err, want)
	}
	if f := n.raft.Apply([]byte("entry"), 0); f.Error() != nil || f.Response() != fsm.ErrHalted {
		t.Errorf("it went on: %v", f.Response())
	}
	if err := n.store.Checkpoint(t.Context()); err == nil || n.store.Durable() != durable {
		t.Errorf("a broken state became durable: %v", n.store.Durable())
	}
	if f := n.raft.Snapshot(); f.Error() == nil {
		t.Error("a broken state gave a snapshot")
	}
}

func TestEntriesThatTheStateHasAreSkipped(t *testing.T) {
	n := newNode(t, "a")
	bridge, err := fsm.NewBridge(n.machine, n.store, fsm.Options{})
	if err != nil {
		t.Fatal(err)
	}
	log := &raft.Log{Index: 7, Term: 2, Type: raft.LogCommand, Data: []byte("entry 0")}
	if got := bridge.Apply(log); got != "entry 0" {
		t.Errorf("first: %v", got)
	}
	if got := bridge.Apply(log); got != fsm.ErrSkipped {
		t.Errorf("again: %v", got)
	}
	n.holds(1)
	if err := bridge.Restore(io.NopCloser(strings.NewReader("a backup"))); err == nil {
		t.Error("a state that no leader sent was installed")
	}
}
