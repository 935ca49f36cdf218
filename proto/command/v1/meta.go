package command

import (
	"fmt"

	"github.com/quipudb/quipu/storage/schema"
)

// Bootstrap gives an empty meta group its identity. A second one is refused.
type Bootstrap struct {
	Timed
	ClusterID   [16]byte
	Incarnation uint64 // random, new at every restore
	Slots       schema.SlotMap
}

func (*Bootstrap) Kind() Kind { return KindBootstrap }

func (c *Bootstrap) encode(e *encoder) {
	e.b = append(e.b, c.ClusterID[:]...)
	e.uint(c.Incarnation)
	e.slots(&c.Slots)
}

func (c *Bootstrap) decode(d *decoder) {
	d.array(c.ClusterID[:])
	c.Incarnation = d.uint()
	d.slots(&c.Slots)
}

// slots writes m as its version and runs of equal owners.
func (e *encoder) slots(m *schema.SlotMap) {
	e.uint(m.Version)
	for s := 0; s < schema.Slots; {
		n := 1
		for s+n < schema.Slots && m.Owner[s+n] == m.Owner[s] {
			n++
		}
		e.uint(uint64(n))
		e.uint(uint64(m.Owner[s]))
		s += n
	}
}

func (d *decoder) slots(m *schema.SlotMap) {
	m.Version = d.uint()
	for s := 0; s < schema.Slots; {
		n, owner := d.uint(), schema.ShardID(d.uint32())
		if d.err != nil || n == 0 || n > uint64(schema.Slots-s) {
			d.fail(errRange)
			return
		}
		for range n {
			m.Owner[s] = owner
			s++
		}
	}
}

// OpenSession begins a writer's session; its id is the log index.
type OpenSession struct {
	Timed
	Principal string
	Durable   bool
}

func (*OpenSession) Kind() Kind          { return KindOpenSession }
func (c *OpenSession) encode(e *encoder) { e.str(c.Principal); e.flag(c.Durable) }
func (c *OpenSession) decode(d *decoder) { c.Principal, c.Durable = d.str(), d.flag() }

// KeepAlive gives each session a full time to live again.
type KeepAlive struct {
	Timed
	IDs []uint64
}

func (*KeepAlive) Kind() Kind { return KindKeepAlive }

func (c *KeepAlive) encode(e *encoder) {
	e.uint(uint64(len(c.IDs)))
	for _, id := range c.IDs {
		e.uint(id)
	}
}

func (c *KeepAlive) decode(d *decoder) {
	c.IDs = make([]uint64, d.count(1))
	for i := range c.IDs {
		c.IDs[i] = d.uint()
	}
}

// CloseSession ends a session at once.
type CloseSession struct {
	Timed
	ID        uint64
	Principal string // must be the one that opened it
}

func (*CloseSession) Kind() Kind          { return KindCloseSession }
func (c *CloseSession) encode(e *encoder) { e.uint(c.ID); e.str(c.Principal) }
func (c *CloseSession) decode(d *decoder) { c.ID, c.Principal = d.uint(), d.str() }

// CreateTable adds a table to the catalog. Its id becomes the log index and its version 1.
type CreateTable struct {
	Timed
	Table schema.Table
	By    string
}

func (*CreateTable) Kind() Kind          { return KindCreateTable }
func (c *CreateTable) encode(e *encoder) { e.table(&c.Table); e.str(c.By) }
func (c *CreateTable) decode(d *decoder) { d.table(&c.Table); c.By = d.str() }

// AlterTable replaces the definition of the table with Table.ID if its version is still Table.Version; the new one is one higher.
type AlterTable struct {
	Timed
	Table schema.Table
	By    string
}

func (*AlterTable) Kind() Kind          { return KindAlterTable }
func (c *AlterTable) encode(e *encoder) { e.table(&c.Table); e.str(c.By) }
func (c *AlterTable) decode(d *decoder) { d.table(&c.Table); c.By = d.str() }

// TruncateTable gives the table a new id, under which it is empty.
type TruncateTable struct {
	Timed
	ID schema.TableID
	By string
}

func (*TruncateTable) Kind() Kind          { return KindTruncateTable }
func (c *TruncateTable) encode(e *encoder) { e.uint(uint64(c.ID)); e.str(c.By) }
func (c *TruncateTable) decode(d *decoder) { c.ID, c.By = schema.TableID(d.uint()), d.str() }

// AnyVersion, as SetContext.IfVersion, changes the record whatever its version is.
const AnyVersion = 1<<64 - 1

// SetContext writes a new version of a metadata record if its version is still IfVersion (0: it does not exist).
type SetContext struct {
	Timed
	Name      string
	IfVersion uint64
	Values    map[string]string
	Delete    bool
	RevertTo  uint64 // take the values of this earlier version instead; 0 for Values
	By        string
}

func (*SetContext) Kind() Kind { return KindSetContext }

func (c *SetContext) encode(e *encoder) {
	e.str(c.Name)
	e.uint(c.IfVersion)
	e.pairs(c.Values)
	e.flag(c.Delete)
	e.uint(c.RevertTo)
	e.str(c.By)
}

func (c *SetContext) decode(d *decoder) {
	c.Name, c.IfVersion, c.Values, c.Delete, c.RevertTo, c.By = d.str(), d.uint(), d.pairs(), d.flag(), d.uint(), d.str()
}

// Import is the record of a file's import, kept so that a second run of it counts nothing twice.
type Import struct {
	ID           string // chosen by who imports, from the table and the file
	Table        schema.TableID
	TableName    string
	FileHash     string
	Mapping      string // how columns became dimensions, in a canonical form
	Chunking     string // how rows became chunks; chunk number = sequence
	Session      uint64 // the durable session that the chunks are stamped with
	ChunksDone   uint64
	RowsCounted  int64
	RowsRejected int64
	Complete     bool
}

func (m *Import) encode(e *encoder) {
	e.str(m.ID)
	e.uint(uint64(m.Table))
	e.str(m.TableName)
	e.str(m.FileHash)
	e.str(m.Mapping)
	e.str(m.Chunking)
	e.uint(m.Session)
	e.uint(m.ChunksDone)
	e.int(m.RowsCounted)
	e.int(m.RowsRejected)
	e.flag(m.Complete)
}

func (m *Import) decode(d *decoder) {
	m.ID, m.Table, m.TableName = d.str(), schema.TableID(d.uint()), d.str()
	m.FileHash, m.Mapping, m.Chunking = d.str(), d.str(), d.str()
	m.Session, m.ChunksDone, m.RowsCounted, m.RowsRejected, m.Complete = d.uint(), d.uint(), d.int(), d.int(), d.flag()
}

// PutImport makes the record of an import or updates it, if its version is still IfVersion (0: it does not exist). Another
// mapping or chunking of a known file is refused, unless Again says that it is meant.
type PutImport struct {
	Timed
	Principal string
	Import    Import
	IfVersion uint64
	Again     bool
}

func (*PutImport) Kind() Kind { return KindPutImport }

func (c *PutImport) encode(e *encoder) {
	e.str(c.Principal)
	c.Import.encode(e)
	e.uint(c.IfVersion)
	e.flag(c.Again)
}

func (c *PutImport) decode(d *decoder) {
	c.Principal = d.str()
	c.Import.decode(d)
	c.IfVersion, c.Again = d.uint(), d.flag()
}

// Node is what the cluster knows of one member.
type Node struct {
	ID       string
	PeerAddr string
	APIAddr  string
	Version  string // release
	Removed  bool
}

func (n *Node) encode(e *encoder) {
	e.str(n.ID)
	e.str(n.PeerAddr)
	e.str(n.APIAddr)
	e.str(n.Version)
	e.flag(n.Removed)
}

func (n *Node) decode(d *decoder) {
	n.ID, n.PeerAddr, n.APIAddr, n.Version, n.Removed = d.str(), d.str(), d.str(), d.str(), d.flag()
}

// PutNode makes or replaces the record of a node.
type PutNode struct {
	Timed
	Node Node
}

func (*PutNode) Kind() Kind          { return KindPutNode }
func (c *PutNode) encode(e *encoder) { c.Node.encode(e) }
func (c *PutNode) decode(d *decoder) { c.Node.decode(d) }

// LeaseOp is what a Lease command does.
type LeaseOp byte

const (
	Acquire LeaseOp = 1
	Renew   LeaseOp = 2
	Release LeaseOp = 3
)

// String is the verb.
func (op LeaseOp) String() string {
	switch op {
	case Acquire:
		return "acquire"
	case Renew:
		return "renew"
	case Release:
		return "release"
	}
	return fmt.Sprintf("lease op(%d)", byte(op))
}

// Lease acquires, renews or releases a named lease. The fence of a lease is the log index of its Acquire.
type Lease struct {
	Timed
	Op     LeaseOp
	Name   string
	Holder string
	Fence  uint64 // Renew and Release: the lease that is meant
	TTL    int64  // Acquire and Renew: milliseconds of log time
}

func (*Lease) Kind() Kind { return KindLease }

func (c *Lease) encode(e *encoder) {
	e.byte(byte(c.Op))
	e.str(c.Name)
	e.str(c.Holder)
	e.uint(c.Fence)
	e.int(c.TTL)
}

func (c *Lease) decode(d *decoder) {
	c.Op = LeaseOp(d.byte())
	if c.Op < Acquire || c.Op > Release {
		d.fail(errRange)
	}
	c.Name, c.Holder, c.Fence, c.TTL = d.str(), d.str(), d.uint(), d.int()
}
