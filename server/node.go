package server

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/quipudb/quipu/fsm/meta"
	"github.com/quipudb/quipu/proto/command/v1"
	"github.com/quipudb/quipu/server/errcode"
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

	meta    *replica.Replica
	machine *meta.Machine // of the meta group
	shards  []*shard
	router  *router.Router
	rounds  *rounds.Sequencer
	own     *ownSession
	disk    disk

	halted atomic.Pointer[error]
	stop   context.CancelFunc
	wg     sync.WaitGroup
}

// Open starts the node of a data directory. An empty directory becomes a complete cluster of one node. It returns when the node can serve.
func Open(ctx context.Context, cfg Config) (_ *Node, err error) {
	cfg, err = cfg.complete()
	if err != nil {
		return nil, err
	}
	n := &Node{cfg: cfg, began: cfg.Now(), memory: storage.NewMemory(cfg.CellMemory)}
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
	id, known, err := readIdentity(cfg.DataDir)
	if err != nil {
		return nil, err
	}
	if !known { // written first: a start that dies in the middle of the bootstrap must go on under the same id
		id = newIdentity(cfg.Shards)
		if err := id.write(cfg.DataDir); err != nil {
			return nil, err
		}
	}
	n.id = id
	n.disk.dir = cfg.DataDir
	n.disk.least.Store(cfg.DiskFree)
	n.disk.look()
	if err := n.openGroups(id.Unborn); err != nil {
		return nil, err
	}
	if err := n.begin(ctx, id.Unborn); err != nil {
		return nil, err
	}
	if id.Unborn {
		n.id.Unborn = false
		if err := n.id.write(cfg.DataDir); err != nil {
			return nil, err
		}
	}
	return n, n.assemble(ctx)
}

// openGroups opens the meta group and every shard.
func (n *Node) openGroups(bootstrap bool) error {
	cluster, err := transport.ParseClusterID(n.id.Cluster)
	if err != nil {
		return err
	}
	n.mux = transport.New(transport.Options{ClusterID: cluster, Node: n.id.Node, Logger: n.cfg.Logger})
	n.cache = pebble.NewCache(64 << 20)
	o, err := n.group(transport.Meta, "meta", bootstrap)
	if err != nil {
		return err
	}
	o.CommitTimeout = 50 * time.Millisecond
	n.machine = meta.New()
	o.Machine, o.LogTime = n.machine, func() int64 { return n.machine.View().LogTime }
	if n.meta, err = replica.Open(o); err != nil {
		return err
	}
	for i := range n.id.Shards {
		id := schema.ShardID(i)
		o, err := n.group(transport.Shard(id), filepath.Join("shards", strconv.Itoa(i)), bootstrap)
		if err != nil {
			return err
		}
		s, err := openShard(id, o)
		if err != nil {
			return err
		}
		n.shards = append(n.shards, s)
	}
	return nil
}

func (n *Node) group(g transport.Group, dir string, bootstrap bool) (replica.Options, error) {
	layer, err := n.mux.Open(transport.Raft, g)
	if err != nil {
		return replica.Options{}, err
	}
	t := transport.NewRaft(layer, transport.RaftOptions{})
	return replica.Options{
		Group: g, Dir: filepath.Join(n.cfg.DataDir, dir), NodeID: n.id.Node, Bootstrap: bootstrap, Transport: t,
		Memory: n.memory, Cache: n.cache, Disk: n.disk.check, Now: n.cfg.Now, Halt: n.halt, Logger: n.cfg.Logger,
	}, nil
}

const startTimeout = 2 * time.Minute

// begin waits until every group is led, and gives a new cluster its identity.
func (n *Node) begin(ctx context.Context, bootstrap bool) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if err := n.meta.WaitLeading(ctx); err != nil {
		return n.because(err)
	}
	for _, s := range n.shards {
		if err := s.replica.WaitLeading(ctx); err != nil {
			return n.because(err)
		}
		if err := s.loadVersions(); err != nil {
			return err
		}
	}
	if bootstrap && n.view().Slots == nil {
		if err := n.bootstrap(ctx); err != nil {
			return err
		}
	}
	v := n.view()
	if v.Slots == nil || v.Cluster() != n.id.Cluster {
		return fmt.Errorf("server: %s is of cluster %s, but its meta group is of cluster %q: the directories were mixed",
			n.cfg.DataDir, n.id.Cluster, v.Cluster())
	}
	return n.followAll(ctx)
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
	parts := map[schema.ShardID]*shard{}
	for _, s := range n.shards {
		parts[s.id] = s
	}
	here := rounds.Leaders(parts)
	n.rounds = rounds.New(rounds.Options{Term: n.meta.Leading, Leader: func(schema.ShardID) (rounds.Participant, error) { return here, nil }})
	n.own = &ownSession{n: n}
	n.router = router.New(router.Options{Meta: n, Shards: n, Own: n.own, Keys: keyRecord, Now: n.cfg.Now})
	if err := ctx.Err(); err != nil { // before anything runs in the background
		return err
	}
	background, stop := context.WithCancel(context.Background())
	n.stop = stop
	n.wg.Go(func() { n.followFeed(background) })
	n.wg.Go(func() { n.retain(background) })
	n.wg.Go(func() { n.watchDisk(background) })
	n.wg.Go(func() { n.own.keep(background) })
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

// Close ends everything that Open started and makes the state durable.
func (n *Node) Close() error {
	n.stop()
	n.wg.Wait()
	return n.closeGroups()
}

func (n *Node) closeGroups() error {
	var errs []error
	for _, s := range n.shards {
		errs = append(errs, s.close())
	}
	if n.meta != nil {
		errs = append(errs, n.meta.Close())
	}
	if n.mux != nil {
		errs = append(errs, n.mux.Close())
	}
	if n.cache != nil {
		n.cache.Unref()
	}
	return errors.Join(append(errs, n.lock.Close())...)
}

// Ready says why the node cannot serve, or nil.
func (n *Node) Ready() error {
	if err := n.halted.Load(); err != nil {
		return errcode.New(errcode.Unavailable, "the node has stopped: %w", *err)
	}
	if _, err := n.meta.Leading(); err != nil {
		return err
	}
	for _, s := range n.shards {
		if _, err := s.replica.Leading(); err != nil {
			return err
		}
	}
	return nil
}

// allShards are the ids of every shard.
func (n *Node) allShards() []schema.ShardID {
	ids := make([]schema.ShardID, len(n.shards))
	for i := range ids {
		ids[i] = schema.ShardID(i)
	}
	return ids
}
