package server

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/quipudb/quipu/fsm/meta"
	"github.com/quipudb/quipu/proto/command/v1"
	"github.com/quipudb/quipu/server/errcode"
)

// led are the shards whose leader is here.
func (n *Node) led() (led []*shard) {
	for _, s := range n.held() {
		if _, err := s.replica.Leading(); err == nil {
			led = append(led, s)
		}
	}
	return led
}

// followLed brings every shard that is led here to the present metadata. Each shard is followed by its own leader alone.
func (n *Node) followLed(ctx context.Context) error {
	return n.eachLed(ctx, func(s *shard) error { return s.followView(ctx, n.view) })
}

// eachLed runs f for every shard that is led here. One that is not any more is its new leader's.
func (n *Node) eachLed(ctx context.Context, f func(*shard) error) error {
	var errs []error
	for _, s := range n.led() {
		if err := f(s); err != nil && codeOf(err) != errcode.NotLeader && ctx.Err() == nil {
			errs = append(errs, fmt.Errorf("shard %d: %w", s.id, err))
		}
	}
	return errors.Join(errs...)
}

// followNew brings a shard to the present metadata when this node has begun to lead it.
func (n *Node) followNew(ctx context.Context) {
	for {
		select {
		case <-n.follow:
			n.warn(ctx, "a shard could not follow the catalog", n.followLed(ctx))
		case <-ctx.Done():
			return
		}
	}
}

// followFeed carries what changes in the meta group to the shards that are led here. DDL does not rest on it: it asks every leader and
// waits for the answer.
func (n *Node) followFeed(ctx context.Context) {
	sub := n.machine.Feed().Subscribe(n.machine.View().Revision)
	for {
		changes, err := sub.Next(ctx)
		if ctx.Err() != nil {
			return
		}
		if errors.Is(err, meta.ErrGone) {
			sub = n.machine.Feed().Subscribe(n.machine.View().Revision)
		}
		tables, sessions := err != nil, false
		for _, c := range changes {
			tables = tables || c.Kind == meta.TableSet || c.Kind == meta.TableDropped || c.Kind == meta.SlotsSet || c.Kind == meta.CutoffSet
			sessions = sessions || c.Kind == meta.SessionsEnded
		}
		if tables {
			n.warn(ctx, "a shard could not follow the catalog", n.followLed(ctx))
		} else if sessions {
			n.warn(ctx, "a shard could not learn of ended sessions", n.eachLed(ctx, func(s *shard) error { return s.followSessions(ctx, n.view) }))
		}
	}
}

func (n *Node) warn(ctx context.Context, what string, err error) {
	if err != nil && ctx.Err() == nil {
		n.cfg.Logger.Warn(what, "err", err)
	}
}

const retentionEvery = time.Minute

// retain drops the windows that are older than their table's retention.
func (n *Node) retain(ctx context.Context) {
	t := time.NewTicker(retentionEvery)
	defer t.Stop()
	for {
		n.warn(ctx, "old windows could not be dropped", n.dropOldWindows(ctx))
		select {
		case <-t.C:
		case <-ctx.Done():
			return
		}
	}
}

// dropOldWindows moves the cutoffs of the tables, if this node leads the meta group, and returns when every shard has dropped what lies
// before them.
func (n *Node) dropOldWindows(ctx context.Context) error {
	if _, err := n.meta.Leading(); err != nil {
		return nil
	}
	v, moved := n.view(), uint64(0)
	for _, t := range v.Tables() {
		if t.Retention == 0 || t.Window == 0 {
			continue
		}
		before := t.Bucket(n.windowTime() - t.Retention.Milliseconds())
		cutoff, ok := v.Cutoff(t.ID)
		if !ok || cutoff < before {
			r, err := n.metaCommand(ctx, &command.DropWindows{ID: t.ID, Before: before})
			if err != nil {
				return err
			}
			moved = r.Index
		}
	}
	if moved == 0 {
		return nil
	}
	return n.everywhere(ctx, moved)
}

// windowTime is the time by which windows end, in Unix milliseconds. Log time moves an hour at most with one entry: a clock that is wrong for a
// moment drops nothing that it should not.
func (n *Node) windowTime() int64 { return min(n.cfg.Now().UnixMilli(), n.view().LogTime) }

// disk watches the free space of the data directory, so that asking costs nothing.
type disk struct {
	dir   string
	least atomic.Int64 // negative: no bound
	free  atomic.Int64
}

func (d *disk) look() {
	var s unix.Statfs_t
	if unix.Statfs(d.dir, &s) == nil {
		d.free.Store(int64(s.Bavail) * s.Bsize)
	}
}

// check says DISK_FULL, or nil.
func (d *disk) check() error {
	if free, least := d.free.Load(), d.least.Load(); least >= 0 && free < least {
		return errcode.New(errcode.DiskFull, "%d MiB are free where %s lies, writes need %d MiB", free>>20, d.dir, least>>20).
			WithHint("make room; reads go on, and writes do so by themselves when there is room")
	}
	return nil
}

func (n *Node) watchDisk(ctx context.Context) {
	t := time.NewTicker(time.Second)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			n.disk.look()
		case <-ctx.Done():
			return
		}
	}
}
