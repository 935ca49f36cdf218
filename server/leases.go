package server

import (
	"context"
	"time"

	"github.com/quipudb/quipu/fsm/meta"
	"github.com/quipudb/quipu/proto/command/v1"
	"github.com/quipudb/quipu/server/errcode"
	"github.com/quipudb/quipu/server/rpc"
)

// AcquireLease takes a lease under a new fence.
func (n *Node) AcquireLease(ctx context.Context, name, holder string, ttl time.Duration) (rpc.Lease, error) {
	return n.lease(ctx, &command.Lease{Op: command.Acquire, Name: name, Holder: holder, TTL: ttl.Milliseconds()})
}

// RenewLease gives a lease its whole time again, if it is held under the fence still.
func (n *Node) RenewLease(ctx context.Context, name, holder string, fence uint64, ttl time.Duration) (rpc.Lease, error) {
	return n.lease(ctx, &command.Lease{Op: command.Renew, Name: name, Holder: holder, Fence: fence, TTL: ttl.Milliseconds()})
}

// ReleaseLease ends a lease before its time.
func (n *Node) ReleaseLease(ctx context.Context, name, holder string, fence uint64) error {
	_, err := n.metaCommand(ctx, &command.Lease{Op: command.Release, Name: name, Holder: holder, Fence: fence})
	return err
}

func (n *Node) lease(ctx context.Context, c *command.Lease) (rpc.Lease, error) {
	r, err := n.metaCommand(ctx, c)
	if err != nil {
		return rpc.Lease{}, err
	}
	return heldLease(r.Lease, n.machine.View().LogTime), nil
}

// Lease says who holds a lease, read linearizably. Log time moves with the log: before the answer it is brought near to the clocks, so that a
// lease which has ended is not shown.
func (n *Node) Lease(ctx context.Context, name string) (rpc.Lease, error) {
	v, err := n.leasesNow(ctx)
	if err != nil {
		return rpc.Lease{}, err
	}
	l, ok := v.Lease(name)
	if !ok {
		return rpc.Lease{}, errcode.New(errcode.NotFound, "nobody holds lease %q", name)
	}
	return heldLease(l, v.LogTime), nil
}

// ListLeases are the leases whose name begins with prefix, by name.
func (n *Node) ListLeases(ctx context.Context, prefix string) ([]rpc.Lease, error) {
	v, err := n.leasesNow(ctx)
	if err != nil {
		return nil, err
	}
	var out []rpc.Lease
	for _, l := range v.Leases(prefix) {
		out = append(out, heldLease(l, v.LogTime))
	}
	return out, nil
}

// leasesNow is a view in which no lease has ended by the leader's clock. An idle group's log time stands still; an entry moves it.
func (n *Node) leasesNow(ctx context.Context) (*meta.View, error) {
	if err := n.Refresh(ctx); err != nil {
		return nil, err
	}
	v, now := n.machine.View(), n.cfg.Now().UnixMilli()
	for _, l := range v.Leases("") {
		if l.Deadline < now {
			if _, err := n.metaCommand(ctx, &command.Tick{}); err != nil {
				return nil, err
			}
			return n.machine.View(), nil
		}
	}
	return v, nil
}

func heldLease(l *meta.Lease, now int64) rpc.Lease {
	return rpc.Lease{Name: l.Name, Holder: l.Holder, Fence: l.Fence, TTL: time.Duration(l.TTL) * time.Millisecond,
		Remaining: time.Duration(max(0, l.Deadline-now)) * time.Millisecond}
}
