package server

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/quipudb/quipu/fsm/meta"
	"github.com/quipudb/quipu/proto/command/v1"
	"github.com/quipudb/quipu/server/errcode"
	"github.com/quipudb/quipu/server/rpc"
	"github.com/quipudb/quipu/storage/schema"
)

// Context is the present version of a metadata record, read linearizably.
func (n *Node) Context(ctx context.Context, name string) (schema.Record, error) {
	if err := n.Refresh(ctx); err != nil {
		return schema.Record{}, err
	}
	r, ok := n.machine.View().Context(name)
	if !ok || r.Deleted {
		return schema.Record{}, errcode.New(errcode.NotFound, "there is no context %q", name)
	}
	return r, nil
}

// ListContexts are the records whose name begins with prefix, and the revision that they were read at.
func (n *Node) ListContexts(ctx context.Context, prefix string) ([]schema.Record, uint64, error) {
	if err := n.Refresh(ctx); err != nil {
		return nil, 0, err
	}
	v := n.machine.View()
	return v.Contexts(prefix), v.Revision, nil
}

// SetContext writes the next version of a record if it still has the version that the caller read.
func (n *Node) SetContext(ctx context.Context, c rpc.ContextChange) (schema.Record, error) {
	r, err := n.metaCommand(ctx, &command.SetContext{Name: c.Name, IfVersion: c.IfVersion, Values: c.Values, RevertTo: c.RevertTo, Delete: c.Delete, By: c.By})
	if err != nil {
		return schema.Record{}, err
	}
	return *r.Record, nil
}

// ContextHistory is the versions that are kept, newest first.
func (n *Node) ContextHistory(ctx context.Context, name string) ([]schema.Record, error) {
	if err := n.Refresh(ctx); err != nil {
		return nil, err
	}
	h := n.machine.View().History(name)
	if len(h) == 0 {
		return nil, errcode.New(errcode.NotFound, "there is no context %q", name)
	}
	return h, nil
}

// WatchContexts calls yield for every change after a revision, once and in order. 0 begins with the present records.
func (n *Node) WatchContexts(ctx context.Context, prefix string, after uint64, yield func(rpc.ContextEvent) error) error {
	if after == 0 {
		var err error
		if after, err = n.present(ctx, prefix, 0, yield); err != nil {
			return err
		}
	}
	sub := n.machine.Feed().Subscribe(after)
	for {
		changes, err := sub.Next(ctx)
		if errors.Is(err, meta.ErrGone) {
			if err := yield(rpc.ContextEvent{Gap: true, Revision: after}); err != nil {
				return err
			}
			if after, err = n.present(ctx, prefix, after, yield); err != nil {
				return err
			}
			sub = n.machine.Feed().Subscribe(after)
			continue
		}
		if err != nil {
			return err
		}
		if err := n.meta.Gate().Pass(ctx, sub.Revision()); err != nil {
			return err
		}
		for _, c := range changes {
			after = c.Revision
			if c.Kind != meta.ContextSet || !strings.HasPrefix(c.Name, prefix) {
				continue
			}
			if err := yield(rpc.ContextEvent{Record: c.Record, Revision: c.Revision}); err != nil {
				return err
			}
		}
	}
}

// present yields the records as they are, in the order in which they got so, and gives the revision that they are as of. At the beginning of a
// watch each has its own revision: one that breaks off among them goes on with the rest. After a gap, behind the revision after, all but the
// last have that one: what was deleted in the gap shows only by the whole list, and so a watch that breaks off gets it again.
func (n *Node) present(ctx context.Context, prefix string, after uint64, yield func(rpc.ContextEvent) error) (uint64, error) {
	if err := n.Refresh(ctx); err != nil { // the view here may be older than what the watch has shown
		return 0, err
	}
	v := n.machine.View()
	records := v.Contexts(prefix)
	slices.SortStableFunc(records, func(a, b schema.Record) int { return cmp.Compare(a.Revision, b.Revision) })
	for i := range records {
		e := rpc.ContextEvent{Record: &records[i], Revision: records[i].Revision}
		switch {
		case after > 0 && i == len(records)-1:
			e.Revision = v.Revision
		case after > 0:
			e.Revision = after
		}
		if err := yield(e); err != nil {
			return 0, err
		}
	}
	return v.Revision, nil
}

// Import is the record of a file's import, read linearizably.
func (n *Node) Import(ctx context.Context, id string) (rpc.Import, error) {
	if err := n.Refresh(ctx); err != nil {
		return rpc.Import{}, err
	}
	r, ok := n.machine.View().Import(id)
	if !ok {
		return rpc.Import{}, errcode.New(errcode.NotFound, "there is no import %q", id)
	}
	return n.importRecord(r), nil
}

// PutImport makes the record of an import, or moves it on.
func (n *Node) PutImport(ctx context.Context, principal string, rec rpc.Import, ifVersion uint64) (rpc.Import, error) {
	r, err := n.metaCommand(ctx, &command.PutImport{Principal: principal, IfVersion: ifVersion, Import: importCommand(rec)})
	if err != nil {
		return rpc.Import{}, err
	}
	return n.importRecord(r.Import), nil
}
