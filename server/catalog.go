package server

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/quipudb/quipu/proto/command/v1"
	"github.com/quipudb/quipu/server/errcode"
	"github.com/quipudb/quipu/server/router"
	"github.com/quipudb/quipu/server/rpc"
	"github.com/quipudb/quipu/storage/schema"
)

// Tables are the definitions of all tables, read linearizably.
func (n *Node) Tables(ctx context.Context) ([]*schema.Table, error) {
	if err := n.Refresh(ctx); err != nil {
		return nil, err
	}
	return n.view().Tables(), nil
}

// Table is the definition of one table, read linearizably.
func (n *Node) Table(ctx context.Context, name schema.Name) (*schema.Table, error) {
	if err := n.Refresh(ctx); err != nil {
		return nil, err
	}
	return n.find(name)
}

func (n *Node) find(name schema.Name) (*schema.Table, error) {
	name = router.FullName(name)
	t := n.view().Table(name)
	if t == nil {
		return nil, errcode.New(errcode.UnknownTable, "there is no table %q", name.Table)
	}
	return t, nil
}

// CreateTable adds a table and returns when every shard has it.
func (n *Node) CreateTable(ctx context.Context, principal string, t *schema.Table, ifNotExists bool) (*schema.Table, error) {
	t = t.Clone()
	t.Name = router.FullName(t.Name)
	if t.Measures == 0 {
		t.Measures = 1
	}
	if err := t.Validate(); err != nil {
		return nil, errcode.New(errcode.InvalidOption, "table %q: %w", t.Name.Table, err)
	}
	r, err := n.metaCommand(ctx, &command.CreateTable{Table: *t, By: principal})
	if err != nil && !(ifNotExists && errors.Is(err, errcode.New(errcode.Exists, ""))) {
		return nil, err
	}
	return r.Table, n.everywhere(ctx, r.Index)
}

// everywhere makes every shard apply the catalog of a revision: only then is DDL acknowledged.
func (n *Node) everywhere(ctx context.Context, revision uint64) error {
	shards := n.allShards()
	errs := make([]error, len(shards))
	var wg sync.WaitGroup
	for i, id := range shards {
		wg.Go(func() {
			if err := n.followAt(ctx, id, revision); err != nil {
				errs[i] = fmt.Errorf("the change is in the catalog, but shard %d has not taken it in yet: %w", id, err)
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// AlterTable changes a table and returns when every shard has the new version.
func (n *Node) AlterTable(ctx context.Context, principal string, name schema.Name, change rpc.TableChange) (*schema.Table, error) {
	t, err := n.Table(ctx, name)
	if err != nil {
		return nil, err
	}
	t = t.Clone()
	if change.Retention != nil {
		t.Retention = *change.Retention
	}
	if change.MaxFuture != nil {
		t.MaxFuture = *change.MaxFuture
	}
	t.Dims = append(t.Dims, change.AddDims...)
	if err := t.Validate(); err != nil {
		return nil, errcode.New(errcode.InvalidOption, "table %q: %w", t.Name.Table, err)
	}
	r, err := n.metaCommand(ctx, &command.AlterTable{Table: *t, By: principal})
	if err != nil {
		return nil, err
	}
	return r.Table, n.everywhere(ctx, r.Index)
}

// DropTable ends a table and its counts.
func (n *Node) DropTable(ctx context.Context, principal string, name schema.Name, ifExists bool) error {
	t, err := n.Table(ctx, name)
	if err != nil {
		if ifExists && errors.Is(err, errcode.New(errcode.UnknownTable, "")) {
			return nil
		}
		return err
	}
	r, err := n.metaCommand(ctx, &command.DropTable{ID: t.ID, By: principal})
	if err != nil {
		return err
	}
	return n.everywhere(ctx, r.Index)
}

// TruncateTable empties a table: it goes on under a new id.
func (n *Node) TruncateTable(ctx context.Context, principal string, name schema.Name) (*schema.Table, error) {
	t, err := n.Table(ctx, name)
	if err != nil {
		return nil, err
	}
	r, err := n.metaCommand(ctx, &command.TruncateTable{ID: t.ID, By: principal})
	if err != nil {
		return nil, err
	}
	return r.Table, n.everywhere(ctx, r.Index)
}

// DropWindows ends the windows of a table that start before a time (Unix seconds), and returns when every shard has done so. The window of
// the present stays: its observations would be late.
func (n *Node) DropWindows(ctx context.Context, name schema.Name, before int64) error {
	t, err := n.Table(ctx, name)
	if err != nil {
		return err
	}
	if present := t.Bucket(n.windowTime()); t.Window > 0 && before > present {
		start := time.Unix(present, 0).UTC().Format("2006-01-02 15:04:05Z")
		return errcode.New(errcode.Invalid, "the window of %s that began at %s is still written to, and cannot end yet", t.Name, start).
			WithHint("leave it: ts < '%s'; TRUNCATE empties the table", start)
	}
	r, err := n.metaCommand(ctx, &command.DropWindows{ID: t.ID, Before: before})
	if err != nil {
		return err
	}
	return n.everywhere(ctx, r.Index)
}
