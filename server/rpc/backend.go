package rpc

import (
	"context"
	"time"

	"github.com/quipudb/quipu/server/router"
	"github.com/quipudb/quipu/storage/schema"
)

// Backend is the node behind the services. Its errors are *errcode.Error, or have that in their chain. Principals have been
// authenticated; names of tables may lack database and schema, which then are the defaults. What it returns is not changed by
// either side afterwards.
type Backend interface {
	Sessions
	Catalog
	Contexts
	Leases
	Imports
	Nodes
	Backups
	Write(ctx context.Context, b *router.Batch) (*router.Result, error)
	// Begin takes a batch of one row on its way without waiting, or gives nil if only Write can. The batch stays as it is until the
	// Flight has given its answer.
	Begin(b *router.Batch) Flight
	// Info and Status answer from memory and never wait for a group.
	Info() Info
	Status() Status
	// Leaders are the nodes that lead the shards, by shard, as far as this node knows. It answers from memory.
	Leaders() []Leader
	// Addresses are where the nodes of the cluster serve clients, in no order, as far as this node knows. It answers from memory.
	Addresses() []string
	// Elsewhere is the leader of a shard if that is another node, as far as this one knows. It answers from memory.
	Elsewhere(schema.ShardID) (Leader, bool)
	// Ready says why the node cannot serve, or nil. It answers from memory.
	Ready() error
}

// Flight is one row on its way to its shard. What goes to one shard is done in the order in which it began, but for what has to be
// proposed again.
type Flight interface {
	Shard() schema.ShardID
	MapVersion() uint64    // that the row was sent to its shard by
	Done() <-chan struct{} // closed when Counted can be asked
	// Counted gives the receipt of a row that was counted. If it was not, or not yet, Wait must be called.
	Counted() (schema.Receipt, bool)
	Wait(ctx context.Context) (*router.Result, error) // as Backend.Write
}

// Sessions are the identities under which batches count once.
type Sessions interface {
	OpenSession(ctx context.Context, principal string, durable bool) (Session, error)
	KeepAlive(ctx context.Context, principal string, ids []uint64) error
	CloseSession(ctx context.Context, principal string, id uint64) error
}

// Session is a new session.
type Session struct {
	ID  uint64
	TTL time.Duration
}

// Catalog holds the definitions of tables. A change returns when every shard has applied it.
type Catalog interface {
	Tables(ctx context.Context) ([]*schema.Table, error)
	Table(ctx context.Context, name schema.Name) (*schema.Table, error)
	// CreateTable ignores t's ID and Version and gives them.
	CreateTable(ctx context.Context, principal string, t *schema.Table, ifNotExists bool) (*schema.Table, error)
	AlterTable(ctx context.Context, principal string, name schema.Name, change TableChange) (*schema.Table, error)
	DropTable(ctx context.Context, principal string, name schema.Name, ifExists bool) error
	TruncateTable(ctx context.Context, principal string, name schema.Name) (*schema.Table, error)
}

// TableChange is what ALTER TABLE changes; nil fields stay.
type TableChange struct {
	Retention *time.Duration
	MaxFuture *time.Duration
	AddDims   []schema.Dimension
}

// Contexts are the metadata records that steer collection.
type Contexts interface {
	Context(ctx context.Context, name string) (schema.Record, error)
	// ListContexts gives the records that are not deleted, by name, and the revision that they were read at.
	ListContexts(ctx context.Context, prefix string) ([]schema.Record, uint64, error)
	SetContext(ctx context.Context, change ContextChange) (schema.Record, error)
	// ContextHistory gives the versions that are kept, newest first.
	ContextHistory(ctx context.Context, name string) ([]schema.Record, error)
	// WatchContexts calls yield for every change after a revision, once and in order, until ctx is done or yield returns an
	// error, and returns that error. after = 0 begins with the present records.
	WatchContexts(ctx context.Context, prefix string, after uint64, yield func(ContextEvent) error) error
}

// ContextChange replaces the values of a record by Values or by those of version RevertTo, or deletes it, if it still has version IfVersion
// (0: must not exist).
type ContextChange struct {
	Name      string
	IfVersion uint64
	Values    map[string]string
	RevertTo  uint64 // 0: Values
	Delete    bool
	By        string
}

// ContextEvent is one change.
type ContextEvent struct {
	Record   *schema.Record // nil if the event only says how far the watch has come
	Revision uint64         // resume after it
	Gap      bool           // history before it is compacted; the present records follow
}

// Leases are names that one holder has for a time.
type Leases interface {
	// AcquireLease takes a lease, under a new fence; CONFLICT if somebody else holds it.
	AcquireLease(ctx context.Context, name, holder string, ttl time.Duration) (Lease, error)
	// RenewLease gives a lease its whole time again; CONFLICT if it is not held under the fence any more.
	RenewLease(ctx context.Context, name, holder string, fence uint64, ttl time.Duration) (Lease, error)
	ReleaseLease(ctx context.Context, name, holder string, fence uint64) error
	// Lease is read linearizably; NOT_FOUND if nobody holds it.
	Lease(ctx context.Context, name string) (Lease, error)
	ListLeases(ctx context.Context, prefix string) ([]Lease, error)
}

// Lease is one that is held.
type Lease struct {
	Name, Holder string
	Fence        uint64
	TTL          time.Duration
	Remaining    time.Duration // in log time
}

// Imports remembers which files were loaded and how.
type Imports interface {
	Import(ctx context.Context, id string) (Import, error)
	// PutImport makes or moves on the record if it still has version ifVersion (0: must not exist).
	PutImport(ctx context.Context, principal string, rec Import, ifVersion uint64) (Import, error)
}

// Import is one version of the record of a file.
type Import struct {
	ID           string
	Version      uint64
	Table        string
	TableID      schema.TableID
	FileHash     string
	Mapping      string
	Chunking     string
	Session      uint64
	ChunksDone   uint64
	RowsCounted  int64
	RowsRejected int64
	Complete     bool
}

// Nodes are the members of the cluster.
type Nodes interface {
	// Map is read linearizably; it asks every node whether it is there.
	Map(ctx context.Context) (ClusterMap, error)
	// SetNodeState makes a node active, draining or removed.
	SetNodeState(ctx context.Context, node, state string) error
}

// ClusterMap is the nodes of a cluster and where the replicas of its groups are.
type ClusterMap struct {
	Revision uint64
	Nodes    []ClusterNode
	Groups   []GroupMap
}

// ClusterNode is one node.
type ClusterNode struct {
	ID, PeerAddr, APIAddr, Version string
	State                          string // active, draining or removed
	Reachable                      bool   // it answered the node that was asked
}

// GroupMap is one Raft group.
type GroupMap struct {
	Group    string // meta or shard/<number>
	Term     uint64
	Leader   string // empty if none is known
	Replicas []Replica
}

// Leader is the node that leads a shard.
type Leader struct {
	Shard   schema.ShardID
	Node    string
	APIAddr string
}

// Replica is a member of a group.
type Replica struct {
	Node  string
	Voter bool
}

// Info is the identity of the cluster and its shard map.
type Info struct {
	ClusterID   string
	Incarnation uint64
	NodeID      string
	Version     string
	SlotMap     *schema.SlotMap
	SessionTTL  time.Duration // of ordinary sessions, for receipts
}

// Status is the state of the node's groups.
type Status struct {
	Groups        []GroupStatus
	Cells         int64
	ResidentBytes int64
	MemoryBytes   int64 // the budget
	DiskFreeBytes int64
	Uptime        time.Duration
}

// GroupStatus is the node's member of one Raft group.
type GroupStatus struct {
	Group                                     string // meta or shard/<number>
	State                                     string
	Term, LastIndex, Commit, Applied, Durable uint64
}
