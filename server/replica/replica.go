// Package replica is this node's member of one Raft group: the log, the state machine and its store, the gate that holds answers back
// for snapshot rounds, and the proposer that makes log entries of the parts that arrive.
//
//	r, err := replica.Open(ctx, replica.Options{Group: transport.Shard(3), Dir: dir, Machine: counter.New(), …})
//	result, index, err := r.Propose(ctx, &command.SetTable{Table: t})
package replica

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/hashicorp/raft"

	"github.com/quipudb/quipu/fsm"
	"github.com/quipudb/quipu/proto/command/v1"
	"github.com/quipudb/quipu/server/errcode"
	"github.com/quipudb/quipu/server/transport"
	"github.com/quipudb/quipu/storage"
	"github.com/quipudb/quipu/storage/raftlog"
)

// Options say which group a replica belongs to and what it shares with the others of the node.
type Options struct {
	Group     transport.Group
	Dir       string
	On        Disk // that has Dir; Files if nil
	NodeID    string
	Bootstrap bool // an empty directory becomes a group with this node as its only voter
	Join      bool // an empty directory waits for the group's leader to add this node; with neither it is refused
	Machine   fsm.Machine
	LogTime   func() int64 // of the machine as applied, Unix milliseconds
	Transport raft.Transport
	Peers     Peers // needed by a group of more than one voter
	Quiet     bool  // learners hear of news, and else three times in a timeout only: for a group with very many

	Memory    *storage.Memory
	Cache     *pebble.Cache
	FileCache *pebble.FileCache

	Timeout       time.Duration    // without a heartbeat before an election; 1 s if zero
	CommitTimeout time.Duration    // 5 ms if zero
	LogKeep       uint64           // entries that stay behind a compaction; about 256 MiB of them if zero
	Stuck         func()           // called when states are installed here again and again and the log does not go on
	Led           func(*Replica)   // called when this replica has begun to lead, perhaps before Open returns
	Disk          func() error     // why nothing may be written now (DISK_FULL), or nil; answers from memory
	Now           func() time.Time // time.Now if nil
	Halt          func(error)      // stops the node
	Logger        *slog.Logger
}

// Replica is a member of a group. Close it.
type Replica struct {
	o        Options
	opened   time.Time
	log      *slog.Logger
	raftlog  Log
	store    *storage.Store
	closed   bool // log and state are; Open and Close own it
	raft     *raft.Raft
	link     *link
	handing  atomic.Bool // leadership is on its way to another voter: nothing is proposed
	succeeds atomic.Bool // the leader's process has ended, and this voter waits for its turn to stand for election
	gate     *Gate
	bytes    atomic.Uint64 // of entries proposed here
	entries  atomic.Uint64

	clocks clocks

	confirmMu   sync.Mutex    // guards the fields below
	confirmNext *confirmation // that has not begun; nil if nobody waits
	confirming  bool

	notify chan bool
	life   context.Context // ends with Close
	down   chan struct{}   // closed when raft has ended: a future that has no answer then gets none
	stop   context.CancelFunc
	wg     sync.WaitGroup
	halted atomic.Pointer[error]
	led    chan struct{} // closed when this replica has led for the first time
	ledOne sync.Once
	since  atomic.Pointer[time.Time] // it last began to lead; nil: never
}

// Open opens the group's directory, checks that log and state fit together, and starts Raft. A state that cannot be served is refused
// with the file that is at fault.
func Open(o Options) (_ *Replica, err error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Timeout == 0 {
		o.Timeout = time.Second
	}
	if o.CommitTimeout == 0 {
		o.CommitTimeout = 5 * time.Millisecond
	}
	if o.On == nil {
		o.On = Files{}
	}
	r := &Replica{o: o, opened: time.Now(), log: o.Logger.With("group", o.Group.String()), notify: make(chan bool, 16), led: make(chan struct{}), down: make(chan struct{})}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("group %s: %w", o.Group, err), r.closeStores())
			if c, ok := o.Transport.(raft.WithClose); ok {
				err = errors.Join(err, c.Close())
			}
		}
	}()
	if r.raftlog, err = o.On.OpenLog(o.Dir, raftlog.Options{Halt: r.halt}); err != nil {
		return nil, err
	}
	r.store, err = storage.Open(storage.Options{Dir: o.Dir, FS: o.On.FS(), Memory: o.Memory, Cache: o.Cache, FileCache: o.FileCache, Logger: r.log, Halt: r.halt})
	if err != nil {
		return nil, err
	}
	if err = r.reconcile(); err != nil {
		return nil, err
	}
	r.life, r.stop = context.WithCancel(context.Background())
	if err = r.startRaft(); err != nil {
		r.stop()
		return nil, err
	}
	r.wg.Go(r.link.run)
	r.wg.Go(r.watchLeadership)
	r.wg.Go(r.tend)
	if err = r.electAlone(); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

// reconcile holds the log against the state: the state may be behind the log, never the other way round, unless the log lost entries that
// the state has.
func (r *Replica) reconcile() error {
	durable := r.store.Durable().Index
	first, err := r.raftlog.FirstIndex()
	if err != nil {
		return err
	}
	last, err := r.raftlog.LastIndex()
	if err != nil {
		return err
	}
	voted, err := r.raftlog.HasVoted()
	switch {
	case err != nil:
		return err
	case durable == 0 && last == 0 && voted && r.o.Bootstrap: // a bootstrap died between its term and its first entry
		return r.replaceLog()
	case !voted && durable == 0 && last == 0:
		if !r.o.Bootstrap && !r.o.Join {
			return fmt.Errorf("%s is empty, but this node is a voter of the group: a voter without memory could vote twice. "+
				"Restore the directory, or join with an empty data directory as a new node", r.raftlog.Path())
		}
		return nil
	case !voted:
		return fmt.Errorf("%s knows no term, but the state beside it is at index %d: the log was replaced", r.raftlog.Path(), durable)
	case last < durable: // everything in it lies at or below what is durable in the state
		return r.raftlog.Reset()
	case first > durable+1:
		return fmt.Errorf("%s begins at entry %d, but the state is durable only up to %d: entries are missing", r.raftlog.Path(), first, durable)
	}
	return nil
}

// replaceLog begins the log anew. Only for a group that never had an entry.
func (r *Replica) replaceLog() (err error) {
	if err := errors.Join(r.raftlog.Close(), r.o.On.RemoveLog(r.o.Dir)); err != nil {
		return err
	}
	r.raftlog, err = r.o.On.OpenLog(r.o.Dir, raftlog.Options{Halt: r.halt})
	return err
}

func (r *Replica) startRaft() error {
	bridge, err := fsm.NewBridge(r.o.Machine, r.store, fsm.Options{Halt: r.halt, Logger: r.log})
	if err != nil {
		return err
	}
	snapshots := fsm.NewSnapshots(r.store)
	conf := r.config()
	if has, err := raft.HasExistingState(r.raftlog, r.raftlog, snapshots); err != nil {
		return err
	} else if !has && r.o.Bootstrap {
		alone := raft.Configuration{Servers: []raft.Server{{Suffrage: raft.Voter, ID: raft.ServerID(r.o.NodeID), Address: raft.ServerAddress(r.o.NodeID)}}}
		if err := raft.BootstrapCluster(conf, r.raftlog, r.raftlog, snapshots, r.o.Transport, alone); err != nil {
			return fmt.Errorf("bootstrap: %w", err)
		}
	}
	if r.link, err = newLink(r, r.o.Quiet); err != nil {
		return err
	}
	if r.raft, err = raft.NewRaft(conf, &installs{Bridge: bridge, r: r}, guarded{r.raftlog, r}, stable{r.raftlog}, snapshots, r.link); err != nil {
		return fmt.Errorf("start raft: %w", err)
	}
	r.link.raft.Store(r.raft)
	if failed := r.halted.Load(); failed != nil { // while raft kept its term
		return errors.Join(*failed, r.raft.Shutdown().Error())
	}
	r.gate = NewGate(r.raft.CommitIndex, r.Leading)
	if members := r.Members(); len(members) > 0 {
		if _, ok := r.member(r.o.NodeID); !ok {
			return errors.Join(fmt.Errorf("%w: %s belongs to a group of other nodes: this node is %s, the group has %v", ErrRemoved, r.o.Dir, r.o.NodeID, members),
				r.raft.Shutdown().Error())
		}
	}
	return nil
}

// ErrRemoved is a directory whose group does not have this node, or not any more.
var ErrRemoved = errors.New("replica: not a member")

// electAlone makes the only voter of a group lead at once: there is nobody whose leadership it could disturb.
func (r *Replica) electAlone() error {
	if !r.Alone() {
		return nil
	}
	if err := r.stand(); err != nil {
		return fmt.Errorf("election: %w", err)
	}
	return nil
}

// stand makes this voter stand for election at once, and the others answer although they may know a leader.
func (r *Replica) stand() error {
	id := raft.ServerID(r.o.NodeID)
	var done raft.TimeoutNowResponse
	return r.o.Transport.TimeoutNow(id, raft.ServerAddress(id), &raft.TimeoutNowRequest{RPCHeader: r.header()}, &done)
}

// header is what raft puts into its own messages.
func (r *Replica) header() raft.RPCHeader {
	return raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax, ID: []byte(r.o.NodeID), Addr: []byte(r.o.NodeID)}
}

// halt stops the node once.
func (r *Replica) halt(err error) {
	if r.halted.CompareAndSwap(nil, &err) && r.o.Halt != nil {
		r.o.Halt(fmt.Errorf("group %s: %w", r.o.Group, err))
	}
}

// Close ends Raft, makes the state durable and lets go of the files.
func (r *Replica) Close() error {
	r.confirmMu.Lock()
	r.stop() // no confirmation begins after it
	r.confirmMu.Unlock()
	r.gate.Reset()
	if c, ok := r.o.Transport.(raft.WithClose); ok {
		_ = c.Close() // a state that is being received would hold up the end; raft closes the transport again and says what is wrong
	}
	err := r.raft.Shutdown().Error()
	close(r.down)
	close(r.notify)
	r.wg.Wait()
	return errors.Join(err, r.closeStores())
}

// closeStores closes log and state once. They stay where they are: who has found the replica a moment ago still asks them, and is told that they
// are closed.
func (r *Replica) closeStores() error {
	if r.closed {
		return nil
	}
	r.closed = true
	var errs []error
	if r.store != nil {
		errs = append(errs, r.store.Close())
	}
	if r.raftlog != nil {
		errs = append(errs, r.raftlog.Close())
	}
	return errors.Join(errs...)
}

// Store is the replica's state.
func (r *Replica) Store() *storage.Store { return r.store }

// Gate is what answers pass.
func (r *Replica) Gate() *Gate { return r.gate }

// Leading is the term that this replica leads in, once an entry of that term is applied: only then is everything that earlier leaders
// acknowledged in its state. The error is NOT_LEADER or UNAVAILABLE.
func (r *Replica) Leading() (uint64, error) {
	if r.raft.State() != raft.Leader {
		return 0, errcode.New(errcode.NotLeader, "this node does not lead group %s", r.o.Group).After(50 * time.Millisecond)
	}
	term := r.raft.CurrentTerm()
	if r.store.Applied().Term != term {
		return 0, errcode.New(errcode.Unavailable, "group %s has a new leader that is still catching up", r.o.Group).After(20 * time.Millisecond)
	}
	return term, nil
}

// WaitLeading waits until the replica leads for the first time.
func (r *Replica) WaitLeading(ctx context.Context) error {
	select {
	case <-r.led:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("group %s has no leader yet: %w", r.o.Group, ctx.Err())
	}
}

// CommitIndex is the highest index known to be committed.
func (r *Replica) CommitIndex() uint64 { return r.raft.CommitIndex() }

// ReadIndex is an index such that a state at or above it holds everything acknowledged before the call.
func (r *Replica) ReadIndex(ctx context.Context) (index, term uint64, err error) {
	if term, err = r.Leading(); err != nil {
		return 0, 0, err
	}
	index = r.raft.CommitIndex()
	return index, term, r.ConfirmTerm(ctx, term)
}

// Snapshot is the state at or above index, which ReadIndex or the gate's promise gave: an index of a leader whose first command of the
// term is applied. The one entry of a term that no machine sees lies below that, so the wait ends with the machine's own index. (Raft's
// applied index runs ahead of the machine and says nothing about the state.)
func (r *Replica) Snapshot(ctx context.Context, index uint64) (*storage.Snapshot, error) {
	if err := r.store.WaitApplied(ctx, index); err != nil {
		return nil, err
	}
	return r.store.Snapshot()
}

// Admit says why nothing may be proposed now, or nil.
func (r *Replica) Admit() error {
	if _, err := r.Leading(); err != nil {
		return err
	}
	if r.handing.Load() {
		return errcode.New(errcode.NotLeader, "the leadership of group %s is being handed over", r.o.Group).After(20 * time.Millisecond)
	}
	if r.o.Disk != nil {
		return r.o.Disk()
	}
	return nil
}

// WaitRoom returns when nothing more has to be made durable before the group may be proposed something. Where it ends with ctx that is BUSY.
func (r *Replica) WaitRoom(ctx context.Context) error {
	err := r.store.WaitRoom(ctx)
	if err != nil && ctx.Err() != nil {
		return errcode.New(errcode.Busy, "group %s waits for a checkpoint: too much has changed since the last one", r.o.Group).
			WithHint("send it again a little later, or give the node more --cell-memory").After(50 * time.Millisecond)
	}
	return err
}

// Propose puts a command into the log and returns the machine's answer when it may leave. An error that is not of the machine leaves the
// outcome unknown.
func (r *Replica) Propose(ctx context.Context, c command.Command) (result any, index uint64, err error) {
	if err := r.Admit(); err != nil {
		return nil, 0, err
	}
	if err := r.WaitRoom(ctx); err != nil {
		return nil, 0, err
	}
	result, index, err = r.apply(c)
	if err != nil {
		return nil, 0, err
	}
	return result, index, r.gate.Pass(ctx, index)
}

func (r *Replica) apply(c command.Command) (any, uint64, error) {
	c.SetStamp(r.Stamp())
	data, err := command.Encode(c)
	if err != nil {
		return nil, 0, errcode.New(errcode.TooLarge, "%v does not fit into one log entry: %w", c.Kind(), err)
	}
	f := r.Apply(data)
	if err := r.await(f); err != nil {
		return nil, 0, outcome(err)
	}
	if err, ok := f.Response().(error); ok && (errors.Is(err, fsm.ErrHalted) || errors.Is(err, fsm.ErrSkipped)) {
		return nil, 0, errcode.New(errcode.Closing, "the node is stopping: %w", err)
	}
	return f.Response(), f.Index(), nil
}

// await waits for the outcome of an entry. What raft has in its queue when it is shut down is never answered: that is outcome unknown. (The
// proposer needs no such care: it is closed, and its entries answered, while raft runs.)
func (r *Replica) await(f Future) error {
	done := make(chan error, 1)
	go func() { done <- f.Error() }()
	select {
	case err := <-done:
		return err
	case <-r.down:
		return raft.ErrRaftShutdown
	}
}

// Apply puts an encoded entry into the log.
func (r *Replica) Apply(data []byte) Future {
	r.entries.Add(1)
	r.bytes.Add(uint64(len(data)))
	return r.raft.Apply(data, 0)
}

// outcome turns an error of raft into one for users. Only a refusal before the log is touched says that nothing happened.
func outcome(err error) error {
	switch {
	case errors.Is(err, raft.ErrNotLeader):
		return errcode.New(errcode.NotLeader, "this node does not lead the group any more: %w", err)
	case errors.Is(err, raft.ErrRaftShutdown):
		return errcode.New(errcode.Closing, "the node is stopping; whether the change took effect is not known: %w", err)
	}
	return errcode.New(errcode.Unavailable, "whether the change took effect is not known: %w", err).
		WithHint("send it again under the same stamp")
}

// Status is what people and metrics want to know.
type Status struct {
	Group, State, Leader                      string
	Led                                       time.Duration // since it began to lead; 0 if it does not
	Members                                   []Member
	Term, LastIndex, Commit, Applied, Durable uint64
	Storage                                   storage.Stats
}

// Status takes a look.
func (r *Replica) Status() Status {
	return Status{Group: r.o.Group.String(), State: r.raft.State().String(), Leader: r.Leader(), Led: r.ledFor(), Members: r.Members(), Term: r.raft.CurrentTerm(), LastIndex: r.raft.LastIndex(),
		Commit: r.raft.CommitIndex(), Applied: r.store.Applied().Index, Durable: r.store.Durable().Index, Storage: r.store.Stats()}
}

func (r *Replica) ledFor() time.Duration {
	since := r.since.Load()
	if _, err := r.Leading(); err != nil || since == nil {
		return 0
	}
	return max(1, time.Since(*since))
}
