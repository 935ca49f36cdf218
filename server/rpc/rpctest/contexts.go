package rpctest

import (
	"context"
	"slices"
	"strings"

	"github.com/quipudb/quipu/server/errcode"
	"github.com/quipudb/quipu/server/rpc"
	"github.com/quipudb/quipu/storage/schema"
)

// Context is the newest version of a record.
func (n *Node) Context(_ context.Context, name string) (schema.Record, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if r, ok := n.newest(name); ok && !r.Deleted {
		return r, nil
	}
	return schema.Record{}, errcode.New(errcode.NotFound, "there is no context %q", name)
}

func (n *Node) newest(name string) (schema.Record, bool) {
	if all := n.contexts[name]; len(all) > 0 {
		return all[len(all)-1], true
	}
	return schema.Record{}, false
}

// ListContexts is sorted by name.
func (n *Node) ListContexts(_ context.Context, prefix string) ([]schema.Record, uint64, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	var list []schema.Record
	for name := range n.contexts {
		if r, _ := n.newest(name); !r.Deleted && strings.HasPrefix(name, prefix) {
			list = append(list, r)
		}
	}
	slices.SortFunc(list, func(a, b schema.Record) int { return strings.Compare(a.Name, b.Name) })
	return list, n.index, nil
}

// SetContext compares versions.
func (n *Node) SetContext(_ context.Context, c rpc.ContextChange) (schema.Record, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	old, _ := n.newest(c.Name)
	have := old.Version
	if old.Deleted {
		have = 0
	}
	if have != c.IfVersion {
		return old, errcode.New(errcode.Conflict, "context %q has version %d, not %d", c.Name, have, c.IfVersion).
			WithHint("read it again and repeat the change")
	}
	if c.RevertTo != 0 {
		if c.RevertTo > uint64(len(n.contexts[c.Name])) {
			return old, errcode.New(errcode.NotFound, "context %q has no version %d to return to", c.Name, c.RevertTo)
		}
		c.Values = n.contexts[c.Name][c.RevertTo-1].Values
	}
	r := schema.Record{
		Name: c.Name, Version: old.Version + 1, Revision: n.next(), Values: c.Values, Deleted: c.Delete, ModifiedBy: c.By, ModifiedAt: 1000,
	}
	n.contexts[c.Name] = append(n.contexts[c.Name], r)
	close(n.changed)
	n.changed = make(chan struct{})
	return r, nil
}

// ContextHistory is newest first.
func (n *Node) ContextHistory(_ context.Context, name string) ([]schema.Record, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	list := slices.Clone(n.contexts[name])
	slices.Reverse(list)
	if list == nil {
		return nil, errcode.New(errcode.NotFound, "there is no context %q", name)
	}
	return list, nil
}

// WatchContexts answers after = 1 with a gap, as if history up to 1 were compacted.
func (n *Node) WatchContexts(ctx context.Context, prefix string, after uint64, yield func(rpc.ContextEvent) error) error {
	gap := after == 1
	for {
		events, changed := n.since(prefix, after)
		for _, r := range events {
			if err := yield(rpc.ContextEvent{Record: &r, Revision: r.Revision, Gap: gap}); err != nil {
				return err
			}
			after, gap = r.Revision, false
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		}
	}
}

func (n *Node) since(prefix string, after uint64) ([]schema.Record, <-chan struct{}) {
	n.mu.Lock()
	defer n.mu.Unlock()
	var list []schema.Record
	for name, all := range n.contexts {
		for _, r := range all {
			if strings.HasPrefix(name, prefix) && r.Revision > after {
				list = append(list, r)
			}
		}
	}
	slices.SortFunc(list, func(a, b schema.Record) int { return int(a.Revision) - int(b.Revision) })
	return list, n.changed
}
