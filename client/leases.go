package client

import (
	"context"
	"time"

	apiv1 "github.com/quipudb/quipu/proto/api/v1"
)

// Lease is a name that one holder has for a time, for example a job that one of several workers does.
//
//	l, err := c.AcquireLease(ctx, "jobs/nightly", "worker-3", 30*time.Second)
//	err = l.Renew(ctx, 30*time.Second) // before it ends
//
// A holder that pauses for longer than the lease does not know that it has lost it. What it writes elsewhere should carry Fence, and who
// takes it should refuse a smaller fence than the largest that it has seen.
type Lease struct {
	Name      string
	Holder    string // principal/holder
	Fence     uint64 // rises with every acquisition
	TTL       time.Duration
	Remaining time.Duration // when it was read, in the time of the cluster's log

	c  *Client
	as string // the holder as it named itself
}

func (c *Client) lease(l *apiv1.Lease, as string) *Lease {
	return &Lease{Name: l.GetName(), Holder: l.GetHolder(), Fence: l.GetFence(), TTL: time.Duration(l.GetTtlMs()) * time.Millisecond,
		Remaining: time.Duration(l.GetRemainingMs()) * time.Millisecond, c: c, as: as}
}

// AcquireLease takes a lease for a time of 1 s to 24 h; 0 means 30 s. The error has code CONFLICT if somebody else holds it. The holder's name
// tells processes of one principal apart; who acquires what it holds already gets a new fence, and the old one ends.
func (c *Client) AcquireLease(ctx context.Context, name, holder string, ttl time.Duration) (*Lease, error) {
	l, err := c.leases.Acquire(c.authorize(ctx), &apiv1.AcquireLeaseRequest{Name: name, Holder: holder, TtlMs: ttl.Milliseconds()})
	if err != nil {
		return nil, fromStatus(err)
	}
	return c.lease(l, holder), nil
}

// HeldLease is a lease that holder acquired under fence, in this process or before it: to renew or to release it. Nothing is asked.
func (c *Client) HeldLease(name, holder string, fence uint64) *Lease {
	return &Lease{Name: name, Fence: fence, c: c, as: holder}
}

// Renew gives the lease its whole time again. The error has code CONFLICT if it has ended: what was done under it since is not guarded.
func (l *Lease) Renew(ctx context.Context, ttl time.Duration) error {
	m, err := twice(ctx, func() (*apiv1.Lease, error) {
		return l.c.leases.Renew(l.c.authorize(ctx), &apiv1.RenewLeaseRequest{Name: l.Name, Holder: l.as, Fence: l.Fence, TtlMs: ttl.Milliseconds()})
	})
	if err != nil {
		return err
	}
	*l = *l.c.lease(m, l.as)
	return nil
}

// Release ends the lease, so that others need not wait for its time. The error has code NOT_FOUND if it has ended already.
func (l *Lease) Release(ctx context.Context) error {
	_, err := l.c.leases.Release(l.c.authorize(ctx), &apiv1.ReleaseLeaseRequest{Name: l.Name, Holder: l.as, Fence: l.Fence})
	return fromStatus(err)
}

// Lease says who holds a lease, read linearizably. The error has code NOT_FOUND if nobody does. It cannot be renewed or released.
func (c *Client) Lease(ctx context.Context, name string) (*Lease, error) {
	l, err := twice(ctx, func() (*apiv1.Lease, error) {
		return c.leases.Get(c.authorize(ctx), &apiv1.GetLeaseRequest{Name: name})
	})
	if err != nil {
		return nil, err
	}
	return c.lease(l, ""), nil
}

// Leases lists the leases whose names begin with prefix, by name.
func (c *Client) Leases(ctx context.Context, prefix string) ([]*Lease, error) {
	r, err := twice(ctx, func() (*apiv1.ListLeasesResponse, error) {
		return c.leases.List(c.authorize(ctx), &apiv1.ListLeasesRequest{Prefix: prefix})
	})
	var out []*Lease
	for _, l := range r.GetLeases() {
		out = append(out, c.lease(l, ""))
	}
	return out, err
}
