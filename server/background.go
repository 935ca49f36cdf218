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

// followAll brings every shard to the present metadata.
func (n *Node) followAll(ctx context.Context) error {
	v := n.view()
	for _, s := range n.shards {
		if err := s.follow(ctx, v); err != nil {
			return fmt.Errorf("shard %d follows the catalog: %w", s.id, err)
		}
	}
	return n.followSessions(ctx, v)
}

// followSessions tells the shards which sessions have ended.
func (n *Node) followSessions(ctx context.Context, v *view) error {
	dead := v.DeadSessions()
	for _, s := range n.shards {
		c := *dead
		if _, err := s.command(ctx, &c); err != nil {
			return fmt.Errorf("shard %d learns of ended sessions: %w", s.id, err)
		}
	}
	return nil
}

// followFeed carries what changes in the meta group to the shards. DDL does so itself before it is acknowledged; this is for what a
// crash in between has left, and for sessions.
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
		tables, sessions := err != nil, err != nil
		for _, c := range changes {
			tables = tables || c.Kind == meta.TableSet || c.Kind == meta.TableDropped || c.Kind == meta.SlotsSet
			sessions = sessions || c.Kind == meta.SessionsEnded
		}
		if tables {
			n.warn(ctx, "a shard could not follow the catalog", n.followAll(ctx))
		} else if sessions {
			n.warn(ctx, "a shard could not learn of ended sessions", n.followSessions(ctx, n.view()))
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

func (n *Node) dropOldWindows(ctx context.Context) error {
	v := n.view()
	for _, t := range v.Tables() {
		if t.Retention == 0 || t.Window == 0 {
			continue
		}
		// Log time moves an hour at most with one entry: a clock that is wrong for a moment drops nothing that it should not.
		now := min(n.cfg.Now().UnixMilli(), v.LogTime)
		before := t.Bucket(now - t.Retention.Milliseconds())
		cutoff, ok := v.Cutoff(t.ID)
		if !ok || cutoff < before {
			if _, err := n.metaCommand(ctx, &command.DropWindows{ID: t.ID, Before: before}); err != nil {
				return err
			}
			cutoff = before
		}
		for _, s := range n.shards {
			if err := s.dropWindows(ctx, t.ID, cutoff); err != nil {
				return err
			}
		}
	}
	return nil
}

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
