// Package server assembles a node: the meta group and the shards, the router, the snapshot rounds, the query engine and the edges. One node
// is one process (or a part of one, in tests and in the demonstration), and one data directory.
//
//	n, err := server.Open(ctx, server.Config{DataDir: "./data"})
//	defer n.Close()
package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/hashicorp/raft"
	"golang.org/x/sys/unix"

	"github.com/quipudb/quipu/server/placement"
	"github.com/quipudb/quipu/server/replica"
	"github.com/quipudb/quipu/server/rounds"
	"github.com/quipudb/quipu/server/transport"
)

// Config says where a node lives and what it may use. DataDir is required.
type Config struct {
	DataDir    string
	Shards     int   // of a new cluster, 1 to 64; fixed from then on. Default 4
	CellMemory int64 // bytes for cells, dictionaries and sessions. Default a quarter of the machine's memory
	DiskFree   int64 // bytes below which writes are refused. Default 512 MiB; negative: no bound

	WirePoll time.Duration // how long a PostgreSQL client's next query is looked for before a connection sleeps. Default 100 µs; negative: never

	Disk    replica.Disk // for the groups' logs and states. Default the operating system's
	LogKeep uint64       // entries of a group's log that stay behind a compaction, for replicas that lag. Default about 256 MiB of them

	Peer Peer // how other nodes reach this one, and it them

	// TLS of gRPC, HTTP and the PostgreSQL wire, files in PEM form; both or none. They are read again when they change.
	TLSCert, TLSKey string
	// A first role, made when the node starts and there is none; both or none.
	Admin, AdminPassword string

	Load   func() Load      // how busy the machine is, for the choice of who serves reads. Default what Linux says
	Now    func() time.Time // default time.Now
	Halt   func(error)      // called once when the node can no longer keep its promises; the node stops serving by itself
	Logger *slog.Logger     // default: discard
}

// Peer is a node's side of a cluster of several. The zero value is a node that nobody can reach.
type Peer struct {
	Listen    string         // address for other nodes, a loopback one without TLS; empty: none
	Optional  bool           // go without if Listen is taken by another program; only for a node that is its whole cluster
	Advertise string         // address that other nodes dial. Default the one that is listened on
	Join      string         // peer address of any member of the cluster that a new node is to join
	TLS       *transport.TLS // of all nodes, with certificates of their own; nil: in the clear, on this machine only
	API       string         // address that clients dial, for the record

	Timeout   time.Duration     // without a leader's heartbeat before an election. Default 1 s
	Placement placement.Options // when replicas and leaders are moved
	Every     time.Duration     // the controller looks at the cluster as often. Default 2 s

	ListenFunc func(address string) (net.Listener, error)                  // default TCP
	DialFunc   func(ctx context.Context, address string) (net.Conn, error) // default TCP
	RaftFunc   func(g transport.Group, t raft.Transport) raft.Transport    // stands before a group's transport; default nothing does
	RoundFunc  func(rounds.Participant) rounds.Participant                 // stands before a leader that rounds ask, the same one each time; default nothing does
}

const (
	shardsDefault   = 4
	shardsMax       = 64
	cellMemoryMin   = 16 << 20
	diskFreeDefault = 512 << 20
	controlEvery    = 2 * time.Second
	steadyMin       = 10 * time.Second
)

func (c Config) complete() (Config, error) {
	if c.DataDir == "" {
		return c, errors.New("server: a node needs a data directory")
	}
	if c.Shards == 0 {
		c.Shards = shardsDefault
	}
	if c.Shards < 1 || c.Shards > shardsMax {
		return c, fmt.Errorf("server: a cluster has 1 to %d shards, not %d", shardsMax, c.Shards)
	}
	c.CellMemory = c.MemoryBudget()
	if c.Disk == nil {
		c.Disk = replica.Files{}
	}
	if c.CellMemory < cellMemoryMin {
		return c, fmt.Errorf("server: %d bytes of cell memory are less than the least of %d", c.CellMemory, cellMemoryMin)
	}
	if c.DiskFree == 0 {
		c.DiskFree = diskFreeDefault
	}
	if c.Peer.Timeout == 0 {
		c.Peer.Timeout = time.Second
	}
	if c.Peer.Every == 0 {
		c.Peer.Every = controlEvery
	}
	if c.Peer.Placement.SteadyMin == 0 {
		c.Peer.Placement.SteadyMin = steadyMin
	}
	if c.Peer.ListenFunc == nil {
		c.Peer.ListenFunc = listenLoopback
		if c.Peer.TLS != nil {
			c.Peer.ListenFunc = listenAnywhere
		}
	}
	if (c.TLSCert == "") != (c.TLSKey == "") {
		return c, errors.New("server: TLS needs a certificate and its key, two files in PEM form")
	}
	if (c.Admin == "") != (c.AdminPassword == "") {
		return c, errors.New("server: the first role needs a name and a password")
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c, nil
}

// MemoryBudget is CellMemory, or its default.
func (c Config) MemoryBudget() int64 {
	if c.CellMemory == 0 {
		return physicalMemory() / 4
	}
	return c.CellMemory
}

// physicalMemory is the machine's, or 2 GiB if it does not say.
func physicalMemory() int64 {
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) != nil {
		return 2 << 30
	}
	return int64(info.Totalram) * int64(info.Unit)
}
