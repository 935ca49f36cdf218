// Package rpctest has a node without disk or Raft, for tests of the edges: tables, sessions, contexts and imports in maps, and
// writes that are only remembered.
package rpctest

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/quipudb/quipu/server/errcode"
	"github.com/quipudb/quipu/server/router"
	"github.com/quipudb/quipu/server/rpc"
	"github.com/quipudb/quipu/storage/schema"
)

// Identity of every Node.
const (
	ClusterID   = "c1"
	Incarnation = 9
	SessionTTL  = 10 * time.Minute
)

// Node is an rpc.Backend. The zero value is not ready to use; call New.
type Node struct {
	// OnWrite, if set, answers writes instead of counting them all on shard 0. It must not keep the batch.
	OnWrite func(context.Context, *router.Batch) (*router.Result, error)
	// OnBegin, if set, takes single rows on their way; it may give nil. Otherwise every batch is a Write.
	OnBegin func(*router.Batch) rpc.Flight
	// NotReady, if set, is why the node is not ready.
	NotReady error

	mu       sync.Mutex // guards the fields below
	index    uint64     // revision and log index in one
	tables   map[string]*schema.Table
	sessions map[uint64]string // id → principal
	contexts map[string][]schema.Record
	leases   map[string]rpc.Lease
	imports  map[string]rpc.Import
	changed  chan struct{} // closed and replaced at every change of a context
	rows     int64
}

// New is an empty node.
func New() *Node {
	return &Node{
		tables: map[string]*schema.Table{}, sessions: map[uint64]string{}, contexts: map[string][]schema.Record{},
		imports: map[string]rpc.Import{}, changed: make(chan struct{}),
	}
}

func (n *Node) next() uint64 {
	n.index++
	return n.index
}

// Rows is the sum of the counts of all batches that were not answered by OnWrite.
func (n *Node) Rows() int64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.rows
}

// Write counts every batch of a live session, or without session, on shard 0.
func (n *Node) Write(ctx context.Context, b *router.Batch) (*router.Result, error) {
	if n.OnWrite != nil {
		return n.OnWrite(ctx, b)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if b.Session != 0 {
		switch who, ok := n.sessions[b.Session]; {
		case !ok:
			return nil, errcode.New(errcode.SessionExpired, "session %d has expired", b.Session)
		case who != b.Principal:
			return nil, errcode.New(errcode.SessionForeign, "session %d belongs to %s", b.Session, who)
		}
	}
	if n.tables[b.Table.Table] == nil {
		return nil, unknownTable(b.Table.Table)
	}
	for i := range b.Rows {
		if b.Counts == nil {
			n.rows++
		} else {
			n.rows += b.Counts[i]
		}
	}
	return &router.Result{Receipts: []schema.Receipt{{Shard: 0, Index: n.next()}}, MapVersion: 1}, nil
}

// Begin asks OnBegin.
func (n *Node) Begin(b *router.Batch) rpc.Flight {
	if n.OnBegin == nil {
		return nil
	}
	return n.OnBegin(b)
}

// OpenSession numbers sessions.
func (n *Node) OpenSession(_ context.Context, principal string, durable bool) (rpc.Session, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	id := n.next()
	n.sessions[id] = principal
	ttl := SessionTTL
	if durable {
		ttl = 30 * 24 * time.Hour
	}
	return rpc.Session{ID: id, TTL: ttl}, nil
}

// KeepAlive refuses unknown sessions.
func (n *Node) KeepAlive(_ context.Context, principal string, ids []uint64) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, id := range ids {
		if who, ok := n.sessions[id]; !ok || who != principal {
			return errcode.New(errcode.SessionExpired, "session %d has expired", id)
		}
	}
	return nil
}

// CloseSession forgets a session.
func (n *Node) CloseSession(ctx context.Context, principal string, id uint64) error {
	if err := n.KeepAlive(ctx, principal, []uint64{id}); err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.sessions, id)
	return nil
}

// Tables lists by name.
func (n *Node) Tables(context.Context) ([]*schema.Table, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.SortedFunc(maps.Values(n.tables), func(a, b *schema.Table) int {
		return strings.Compare(a.Name.Table, b.Name.Table)
	}), nil
}

// Table looks only at the last part of the name.
func (n *Node) Table(_ context.Context, name schema.Name) (*schema.Table, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if t := n.tables[name.Table]; t != nil {
		return t, nil
	}
	return nil, unknownTable(name.Table)
}

// CreateTable gives the id.
func (n *Node) CreateTable(_ context.Context, _ string, t *schema.Table, ifNotExists bool) (*schema.Table, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if old := n.tables[t.Name.Table]; old != nil {
		if ifNotExists {
			return old, nil
		}
		return nil, errcode.New(errcode.Exists, "table %q exists already", t.Name.Table)
	}
	t = t.Clone()
	t.ID, t.Version = schema.TableID(n.next()), 1
	n.tables[t.Name.Table] = t
	return t, nil
}

// AlterTable raises the version.
func (n *Node) AlterTable(ctx context.Context, _ string, name schema.Name, c rpc.TableChange) (*schema.Table, error) {
	t, err := n.Table(ctx, name)
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	t = t.Clone()
	t.Version++
	if c.Retention != nil {
		t.Retention = *c.Retention
	}
	if c.MaxFuture != nil {
		t.MaxFuture = *c.MaxFuture
	}
	t.Dims = append(t.Dims, c.AddDims...)
	n.tables[name.Table] = t
	return t, nil
}

// DropTable forgets a table.
func (n *Node) DropTable(ctx context.Context, _ string, name schema.Name, ifExists bool) error {
	if _, err := n.Table(ctx, name); err != nil && !ifExists {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.tables, name.Table)
	return nil
}

// TruncateTable gives a new id.
func (n *Node) TruncateTable(ctx context.Context, _ string, name schema.Name) (*schema.Table, error) {
	t, err := n.Table(ctx, name)
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	t = t.Clone()
	t.ID = schema.TableID(n.next())
	n.tables[name.Table] = t
	return t, nil
}

func unknownTable(name string) error {
	return errcode.New(errcode.UnknownTable, "there is no table %q", name).WithHint("SHOW TABLES lists them")
}

// Import gets a record.
func (n *Node) Import(_ context.Context, id string) (rpc.Import, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	rec, ok := n.imports[id]
	if !ok {
		return rec, errcode.New(errcode.NotFound, "there is no import %q", id)
	}
	return rec, nil
}

// PutImport compares versions.
func (n *Node) PutImport(_ context.Context, _ string, rec rpc.Import, ifVersion uint64) (rpc.Import, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if have := n.imports[rec.ID].Version; have != ifVersion {
		return rec, errcode.New(errcode.Conflict, "import %q has version %d, not %d", rec.ID, have, ifVersion)
	}
	rec.Version = ifVersion + 1
	n.imports[rec.ID] = rec
	return rec, nil
}

// Ready is NotReady.
func (n *Node) Ready() error { return n.NotReady }

// Leaders gives the leader of shard 1.
func (n *Node) Leaders() []rpc.Leader {
	l, _ := n.Elsewhere(1)
	return []rpc.Leader{l}
}

// Addresses gives another node's.
func (n *Node) Addresses() []string { return []string{"192.0.2.1:7480"} }

// Elsewhere has shard 1 led by another node.
func (n *Node) Elsewhere(id schema.ShardID) (rpc.Leader, bool) {
	return rpc.Leader{Shard: id, Node: "other", APIAddr: "192.0.2.1:7480"}, id == 1
}

// Info has four shards.
func (n *Node) Info() rpc.Info {
	return rpc.Info{
		ClusterID: ClusterID, Incarnation: Incarnation, NodeID: "n1", Version: "test", SlotMap: schema.EvenSlotMap(4), SessionTTL: SessionTTL,
	}
}

// Status has the meta group and one shard.
func (n *Node) Status() rpc.Status {
	return rpc.Status{
		Groups: []rpc.GroupStatus{
			{Group: "meta", State: "Leader", Term: 2, LastIndex: 7, Commit: 7, Applied: 7, Durable: 5},
			{Group: "shard/0", State: "Leader", Term: 1, LastIndex: 3, Commit: 3, Applied: 3, Durable: 3},
		},
		Cells: 12, Uptime: time.Second,
	}
}

// Map is a cluster of one node.
func (n *Node) Map(context.Context) (rpc.ClusterMap, error) {
	return rpc.ClusterMap{Revision: 1, Nodes: []rpc.ClusterNode{{ID: "n1", State: "active", Reachable: true}},
		Groups: []rpc.GroupMap{{Group: "meta", Term: 1, Leader: "n1", Replicas: []rpc.Replica{{Node: "n1", Voter: true}}}}}, nil
}

// SetNodeState knows one node.
func (n *Node) SetNodeState(_ context.Context, node, _ string) error {
	if node != "n1" {
		return errcode.New(errcode.NotFound, "there is no node %q", node)
	}
	return nil
}

// Backup has one file of one line.
func (n *Node) Backup(_ context.Context, to rpc.BackupSink) error {
	if err := to.Begin("cluster.json"); err != nil {
		return err
	}
	if _, err := to.Write([]byte("{}\n")); err != nil {
		return err
	}
	return to.End(1, 0)
}

// Hash has one replica.
func (n *Node) Hash(context.Context) ([]rpc.ReplicaHash, error) {
	return []rpc.ReplicaHash{{Group: "meta", Index: 7, SHA256: [32]byte{1}}}, nil
}
