package server

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/hashicorp/raft"
	"google.golang.org/grpc"

	"github.com/quipudb/quipu/fsm/meta"
	"github.com/quipudb/quipu/proto/command/v1"
	"github.com/quipudb/quipu/server/access"
	"github.com/quipudb/quipu/server/errcode"
	"github.com/quipudb/quipu/server/membership"
	"github.com/quipudb/quipu/server/peer"
	"github.com/quipudb/quipu/server/pgwire"
	"github.com/quipudb/quipu/server/replica"
	"github.com/quipudb/quipu/server/rounds"
	"github.com/quipudb/quipu/server/router"
	"github.com/quipudb/quipu/server/transport"
	"github.com/quipudb/quipu/storage"
	"github.com/quipudb/quipu/storage/schema"
)

// Node is a running node. Its methods are what the edges serve. Close it.
type Node struct {
	cfg    Config
	id     identity
	began  time.Time
	lock   *os.File
	mux    *transport.Mux
	cache  *pebble.Cache
	memory *storage.Memory

	book     *book
	listener net.Listener     // of peers; nil: none
	admin    *transport.Layer // of the membership service
	requests *transport.Layer // of server/peer
	peers    *membership.Client
	services []*grpc.Server
	served   sync.WaitGroup // of services
	shardsOf *peer.Client   // shards that other nodes lead
	forward  *peer.Server   // shards that this node leads, for the others
	several  atomic.Bool    // the cluster has other nodes
	outages  outages        // what could not be reached a moment ago
	pulse    *pulse         // heartbeats
	picker   picker         // of replicas that serve reads

	meta    *replica.Replica
	machine *meta.Machine // of the meta group
	access  *access.Control
	newest  chan struct{} // closed when the view has been the newest one since the start

	making   chan struct{} // full while a replica of a shard is made or ended
	groupsMu sync.RWMutex
	shards   map[schema.ShardID]*shard  // replicas here; guarded by groupsMu
	hints    map[transport.Group]string // who led groups that have no replica here; guarded by groupsMu

	follow  chan struct{} // room for one: a shard led here may lag behind the catalog
	endings chan string   // nodes a connection of which has ended
	router  *router.Router
	rounds  *rounds.Sequencer
	here    *rounds.Local // this node's part in rounds
	own     *ownSession
	wire    atomic.Pointer[pgwire.Server] // for cancel requests from other nodes; nil: PostgreSQL's protocol is not served
	disk    disk

	halted atomic.Pointer[error]
	stop   context.CancelFunc
	wg     sync.WaitGroup
}

// Open starts the node of a data directory. An empty directory becomes a complete cluster of one node, or a member of the cluster that
// cfg.Peer.Join names. It returns when the node has joined and, if it is the only one, can serve; Ready says so otherwise.
func Open(ctx context.Context, cfg Config) (_ *Node, err error) {
	cfg, err = cfg.complete()
	if err != nil {
		return nil, err
	}
	n := &Node{cfg: cfg, began: cfg.Now(), memory: storage.NewMemory(cfg.CellMemory), machine: meta.New(),
		shards: map[schema.ShardID]*shard{}, hints: map[transport.Group]string{}, follow: make(chan struct{}, 1), endings: make(chan string, endingsMax), newest: make(chan struct{}),
		making: make(chan struct{}, 1)}
	n.access = n.newControl()
	n.pulse = newPulse(cfg.Load)
	if err := os.MkdirAll(cfg.DataDir, 0o700); err != nil {
		return nil, err
	}
	if n.lock, err = lock(cfg.DataDir); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, n.closeGroups())
		}
	}()
	if err := n.identify(); err != nil {
		return nil, err
	}
	n.disk.dir = cfg.DataDir
	n.disk.least.Store(cfg.DiskFree)
	n.disk.look()
	if err := n.listenPeers(); err != nil {
		return nil, err
	}
	if n.id.Joining {
		if err := n.join(ctx); err != nil {
			return nil, err
		}
	}
	if err := n.openGroups(); err != nil {
		return nil, err
	}
	if err := n.servePeers(); err != nil {
		return nil, err
	}
	if err := n.begin(ctx); err != nil {
		return nil, n.because(err)
	}
	return n, n.assemble(ctx)
}

// identify reads who the node is, or makes it somebody.
func (n *Node) identify() error {
	id, known, err := readIdentity(n.cfg.DataDir)
	if err != nil {
		return err
	}
	if !known { // written first: a start that dies in the middle must go on under the same id
		id = newIdentity(n.cfg.Shards)
		if n.cfg.Peer.Join != "" {
			id = joiningIdentity()
		}
		if err := id.write(n.cfg.DataDir); err != nil {
			return err
		}
	}
	n.id = id
	n.book, err = readBook(n.cfg.DataDir)
	return err
}

// openGroups opens the meta group and every shard that has a replica here.
func (n *Node) openGroups() error {
	if err := n.openPeers(); err != nil {
		return err
	}
	n.cache = pebble.NewCache(64 << 20)
	_, mayBeEmpty := n.book.holds(transport.Meta)
	o, err := n.group(transport.Meta, "meta", mayBeEmpty)
	if err != nil {
		return err
	}
	o.CommitTimeout, o.Quiet = 50*time.Millisecond, true
	o.Machine, o.LogTime = n.machine, func() int64 { return n.machine.View().LogTime }
	r, err := replica.Open(o)
	if err != nil {
		return err
	}
	n.groupsMu.Lock()
	n.meta = r
	n.groupsMu.Unlock()
	for i := range n.id.Shards {
		id := schema.ShardID(i)
		if holds, mayBeEmpty := n.book.holds(transport.Shard(id)); holds {
			if err := n.openShard(id, mayBeEmpty); err != nil {
				return err
			}
		}
	}
	return nil
}

// group is what the replicas of a node have in common.
func (n *Node) group(g transport.Group, dir string, mayBeEmpty bool) (replica.Options, error) {
	layer, err := n.mux.Open(transport.Raft, g)
	if err != nil {
		return replica.Options{}, err
	}
	var link raft.Transport = transport.NewRaft(layer, transport.RaftOptions{})
	if n.cfg.Peer.RaftFunc != nil {
		link = n.cfg.Peer.RaftFunc(g, link)
	}
	return replica.Options{
		Group: g, Dir: filepath.Join(n.cfg.DataDir, dir), On: n.cfg.Disk, NodeID: n.id.Node, Bootstrap: n.id.Unborn, Join: mayBeEmpty, Peers: n.peers,
		Transport: link, Memory: n.memory, Cache: n.cache, Disk: n.disk.check, LogKeep: n.cfg.LogKeep,
		Timeout: n.cfg.Peer.Timeout, Now: n.cfg.Now, Halt: n.halt, Logger: n.cfg.Logger,
	}, nil
}

const startTimeout = 2 * time.Minute

// begin waits until the node knows its cluster. The only node of one serves then; a new cluster gets its identity.
func (n *Node) begin(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	alone := n.meta.Alone()
	if alone {
		if err := n.lead(ctx); err != nil {
			return err
		}
	} else if err := n.enter(ctx); err != nil {
		return err
	}
	if v := n.view(); v.Slots == nil || v.Cluster() != n.id.Cluster {
		return fmt.Errorf("server: %s is of cluster %s, but its meta group is of cluster %q: the directories were mixed",
			n.cfg.DataDir, n.id.Cluster, v.Cluster())
	}
	if n.id.Unborn {
		n.id.Unborn = false
		if err := n.id.write(n.cfg.DataDir); err != nil {
			return err
		}
	}
	if !alone {
		return nil
	}
	close(n.newest)
	return n.followLed(ctx)
}

// lead waits until the only node of a cluster leads its groups.
func (n *Node) lead(ctx context.Context) error {
	if err := n.meta.WaitLeading(ctx); err != nil {
		return err
	}
	for _, s := range n.held() {
		if !s.replica.Alone() {
			continue
		}
		if err := s.replica.WaitLeading(ctx); err != nil {
			return err
		}
	}
	if n.id.Unborn && n.view().Slots == nil {
		return n.bootstrap(ctx)
	}
	return nil
}

func (n *Node) bootstrap(ctx context.Context) error {
	c := &command.Bootstrap{Slots: *schema.EvenSlotMap(n.id.Shards), Incarnation: rand.Uint64() | 1}
	if _, err := hex.Decode(c.ClusterID[:], []byte(n.id.Cluster)); err != nil {
		return err
	}
	_, err := n.metaCommand(ctx, c)
	return err
}

// assemble makes what stands on the groups.
func (n *Node) assemble(ctx context.Context) error {
	leader := n.participant
	if f := n.cfg.Peer.RoundFunc; f != nil {
		leader = func(id schema.ShardID) (rounds.Participant, error) {
			p, err := n.participant(id)
			if err == nil {
				p = f(p)
			}
			return p, err
		}
	}
	n.rounds = rounds.New(rounds.Options{Term: n.meta.Leading, Leader: leader, Left: n.notLed, Serve: n.server, Missed: n.late})
	n.own = &ownSession{n: n}
	n.router = router.New(router.Options{Meta: n, Shards: n, Own: n.own, Keys: keyRecord, Now: n.cfg.Now})
	if err := ctx.Err(); err != nil { // before anything runs in the background
		return err
	}
	n.warn(ctx, "the addresses of other nodes could not be kept", n.keepBook())
	background, stop := context.WithCancel(context.Background())
	n.stop = stop
	for _, run := range []func(context.Context){n.followFeed, n.followNew, n.retain, n.watchDisk, n.own.keep, n.announce, n.control, n.keepAsking, n.beat, n.watchEndings} {
		n.wg.Go(func() { run(background) })
	}
	return nil
}

// halt is what any part calls that can no longer keep its promises.
func (n *Node) halt(err error) {
	if !n.halted.CompareAndSwap(nil, &err) {
		return
	}
	n.cfg.Logger.Error("the node stops", "err", err)
	if n.cfg.Halt != nil {
		n.cfg.Halt(err)
	}
}

// because prefers the reason of a halt to what followed from it.
func (n *Node) because(err error) error {
	if cause := n.halted.Load(); cause != nil {
		return *cause
	}
	return err
}

// Close hands over what the node leads, ends everything that Open started and makes the state durable.
func (n *Node) Close() error {
	n.stop()
	n.wg.Wait()
	n.handOver()
	return n.closeGroups()
}

// handOver gives the leadership of groups away that have another voter: their writers need not wait for an election then.
func (n *Node) handOver() {
	var wg sync.WaitGroup
	for _, r := range n.replicas() {
		wg.Go(func() {
			if err := r.HandOver(); err != nil {
				n.cfg.Logger.Info("leadership was not handed over", "err", err)
			}
		})
	}
	wg.Wait()
}

func (n *Node) closeGroups() error {
	for _, s := range n.services {
		s.Stop()
	}
	if n.forward != nil {
		n.forward.Stop()
	}
	if n.shardsOf != nil {
		n.shardsOf.Close()
	}
	n.served.Wait()
	if n.peers != nil {
		n.peers.Close()
	}
	var errs []error
	for _, s := range n.held() {
		errs = append(errs, s.close())
	}
	if n.meta != nil {
		errs = append(errs, n.meta.Close())
	}
	switch {
	case n.mux != nil:
		errs = append(errs, n.mux.Close())
	case n.listener != nil:
		errs = append(errs, n.listener.Close())
	}
	if n.cache != nil {
		n.cache.Unref()
	}
	return errors.Join(append(errs, n.lock.Close())...)
}

// Ready says why the node cannot serve, or nil.
func (n *Node) Ready() error {
	if err := n.alive(); err != nil {
		return err
	}
	for _, r := range n.replicas() {
		if err := r.Ready(); err != nil {
			return err
		}
	}
	return nil
}

// alive says that the node has stopped, or nil.
func (n *Node) alive() error {
	if err := n.halted.Load(); err != nil {
		return errcode.New(errcode.Unavailable, "the node has stopped: %w", *err)
	}
	return nil
}

// allShards are the ids of every shard of the cluster.
func (n *Node) allShards() []schema.ShardID {
	ids := make([]schema.ShardID, n.id.Shards)
	for i := range ids {
		ids[i] = schema.ShardID(i)
	}
	return ids
}
