// Package meta is the machine of the meta group: the catalog, sessions, metadata contexts, records of imports, nodes, leases,
// roles with their grants and tokens, the slot map, the cluster's identity, and how far retention has come.
//
// Readers never ask the machine. They read an immutable View, which is published after every step, and follow changes through
// a Feed:
//
//	m := meta.New()
//	bridge, err := fsm.NewBridge(m, store, options)
//	table, ok := m.View().TableByName(name)
//	sub := m.Feed().Subscribe(m.View().Revision)
//	changes, err := sub.Next(ctx) // in order, each once; ErrGone when history is compacted
//
// Every command has a *Result.
package meta

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/quipudb/quipu/fsm"
	"github.com/quipudb/quipu/proto/command/v1"
	"github.com/quipudb/quipu/storage"
	"github.com/quipudb/quipu/storage/schema"
)

// Bounds of what the group remembers. Nothing is evicted: a command that would exceed one is refused with QUOTA.
const (
	SessionsMax        = 65_536 // of both kinds
	DurableSessionsMax = 1_024  // of one principal
	TablesMax          = 10_000
	ContextsMax        = 10_000 // names, deleted ones included
	ImportsMax         = 10_000
	NodesMax           = 1_000
	LeasesMax          = 10_000
	GroupsMax          = 1_000 // with a record of their replicas
	ReplicasMax        = 1_000 // of one group
	RolesMax           = 10_000
	TokensMax          = 10_000
	GrantsMax          = 100_000 // pairs of a table and a role
)

// Machine is the meta group's state machine. The bridge's goroutine owns it; View and Feed are for everybody.
type Machine struct {
	clock     fsm.Clock
	next      View             // what Settle publishes; its maps are shared with earlier views and replaced, never changed
	deadlines map[uint64]int64 // of sessions, in log time
	durables  map[string]int   // durable sessions by principal
	ends      endings          // of sessions and leases
	changes   []Change         // of this step
	requests  requests         // what Once commands came to
	moved     bool             // clock moved since the last Settle
	marked    bool             // marks changed since the last Settle
	view      atomic.Pointer[View]
	viewMu    sync.Mutex
	viewMore  chan struct{} // closed at the next publication; nil while nobody waits
	feed      Feed
}

// New returns a machine, which Load makes usable.
func New() *Machine {
	m := &Machine{}
	m.view.Store(emptyView())
	m.feed.reset(0)
	return m
}

// View is the state as of the last step. It never changes.
func (m *Machine) View() *View { return m.view.Load() }

// ViewAt waits until the view is as of a log index or later. Waiting for the store is not enough: when a state was installed
// from a stream, the store has it a moment before the machine has read it.
func (m *Machine) ViewAt(ctx context.Context, index uint64) (*View, error) {
	for {
		m.viewMu.Lock()
		if m.viewMore == nil {
			m.viewMore = make(chan struct{})
		}
		more, v := m.viewMore, m.View()
		m.viewMu.Unlock()
		if v.Revision >= index {
			return v, nil
		}
		select {
		case <-more:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (m *Machine) publish(v *View) {
	m.viewMu.Lock()
	defer m.viewMu.Unlock()
	m.view.Store(v)
	if m.viewMore != nil {
		close(m.viewMore)
		m.viewMore = nil
	}
}

// Feed is the stream of changes.
func (m *Machine) Feed() *Feed { return &m.feed }

// Result is what became of a command. Refusal is nil if it was accepted; what else is set depends on the command.
type Result struct {
	Index   uint64 // log index of the command; the id of what it made
	Refusal *fsm.Refusal
	Session Session
	Ended   []uint64       // KeepAlive: the ids that are not alive
	Table   *schema.Table  // its definition now; with EXISTS and CONFLICT, the one in the way
	Record  *schema.Record // of a context, likewise
	Import  *Import        // likewise
	Lease   *Lease         // likewise
	Role    *Role          // likewise
}

func (r *Result) refuse(code fsm.Code, format string, args ...any) *Result {
	r.Refusal = &fsm.Refusal{Code: code, Message: fmt.Sprintf(format, args...)}
	return r
}

// Apply applies one command.
func (m *Machine) Apply(tx *storage.Tx, e fsm.Entry) fsm.Result {
	cmd, err := command.Decode(slices.Clone(e.Data)) // what is kept must not share memory with the log's buffers
	if err != nil {
		panic(err)
	}
	r := &Result{Index: e.Index}
	m.advance(tx, e.Index, cmd.At())
	if c, ok := cmd.(*command.Once); ok {
		return m.once(tx, c, r)
	}
	return m.run(tx, cmd, r)
}

// run carries a command out.
func (m *Machine) run(tx *storage.Tx, cmd command.Command, r *Result) *Result {
	switch c := cmd.(type) {
	case *command.TermStart, *command.Tick:
		return r
	case *command.Bootstrap:
		return m.bootstrap(tx, c, r)
	case *command.OpenSession:
		return m.openSession(tx, c, r)
	case *command.KeepAlive:
		return m.keepAlive(tx, c, r)
	case *command.CloseSession:
		return m.closeSession(tx, c, r)
	case *command.CreateTable:
		return m.createTable(tx, c, r)
	case *command.AlterTable:
		return m.alterTable(tx, c, r)
	case *command.DropTable:
		return m.dropTable(tx, c, r)
	case *command.TruncateTable:
		return m.truncateTable(tx, c, r)
	case *command.DropWindows:
		return m.dropWindows(tx, c, r)
	case *command.SetContext:
		return m.setContext(tx, c, r)
	case *command.PutImport:
		return m.putImport(tx, c, r)
	case *command.PutNode:
		return m.putNode(tx, c, r)
	case *command.SetNodeState:
		return m.setNodeState(tx, c, r)
	case *command.SetReplicas:
		return m.setReplicas(tx, c, r)
	case *command.Lease:
		return m.lease(tx, c, r)
	case *command.PutRole:
		return m.putRole(tx, c, r)
	case *command.DropRole:
		return m.dropRole(tx, c, r)
	case *command.Grant:
		return m.grant(tx, c, r)
	case *command.PutToken:
		return m.putToken(tx, c, r)
	case *command.DropToken:
		return m.dropToken(tx, c, r)
	}
	panic(fmt.Errorf("%w: the meta group has no use for %v", command.ErrKind, cmd.Kind()))
}

// advance moves log time and ends what is due.
func (m *Machine) advance(tx *storage.Tx, index uint64, stamp int64) {
	before := m.clock.Now
	gap := m.clock.Advance(stamp)
	if m.clock.Now == before {
		return
	}
	m.moved = true
	m.grace(tx, gap)
	m.expire(tx, index)
}

// Settle publishes the view and then the changes.
func (m *Machine) Settle(tx *storage.Tx) {
	if m.moved {
		putClock(tx, m.clock)
		m.moved = false
	}
	if m.marked {
		putMarks(tx, &m.next)
		m.marked = false
	}
	v := m.next
	v.Revision, v.LogTime = tx.Applied().Index, m.clock.Now
	m.publish(&v)
	m.feed.publish(m.changes)
	m.changes = nil
}

func (m *Machine) changed(c Change) { m.changes = append(m.changes, c) }

func (m *Machine) bootstrap(tx *storage.Tx, c *command.Bootstrap, r *Result) *Result {
	if m.next.Slots != nil {
		return r.refuse(fsm.Exists, "the cluster has an identity already")
	}
	if c.Slots.Version == 0 {
		return r.refuse(fsm.InvalidOption, "a slot map has a version of at least 1")
	}
	m.setIdentity(c)
	putIdentity(tx, c)
	m.changed(Change{Revision: r.Index, Kind: SlotsSet})
	return r
}

func (m *Machine) setIdentity(c *command.Bootstrap) {
	m.next.ClusterID, m.next.Incarnation, m.next.Slots = c.ClusterID, c.Incarnation, &c.Slots
}
