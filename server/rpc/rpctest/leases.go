package rpctest

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/quipudb/quipu/server/errcode"
	"github.com/quipudb/quipu/server/rpc"
)

// AcquireLease gives a lease that nobody else holds. Leases of this node do not end.
func (n *Node) AcquireLease(_ context.Context, name, holder string, ttl time.Duration) (rpc.Lease, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if l, ok := n.leases[name]; ok && l.Holder != holder {
		return rpc.Lease{}, errcode.New(errcode.Conflict, "lease %q is held by %q", name, l.Holder)
	}
	if n.leases == nil {
		n.leases = map[string]rpc.Lease{}
	}
	n.leases[name] = rpc.Lease{Name: name, Holder: holder, Fence: n.next(), TTL: ttl, Remaining: ttl}
	return n.leases[name], nil
}

// RenewLease compares fences.
func (n *Node) RenewLease(_ context.Context, name, holder string, fence uint64, ttl time.Duration) (rpc.Lease, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	l, ok := n.leases[name]
	if !ok || l.Holder != holder || l.Fence != fence {
		return rpc.Lease{}, errcode.New(errcode.Conflict, "lease %q with fence %d has ended", name, fence)
	}
	l.TTL, l.Remaining = ttl, ttl
	n.leases[name] = l
	return l, nil
}

// ReleaseLease compares fences.
func (n *Node) ReleaseLease(_ context.Context, name, holder string, fence uint64) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if l, ok := n.leases[name]; !ok || l.Holder != holder || l.Fence != fence {
		return errcode.New(errcode.NotFound, "lease %q with fence %d has ended", name, fence)
	}
	delete(n.leases, name)
	return nil
}

// Lease is one that is held.
func (n *Node) Lease(_ context.Context, name string) (rpc.Lease, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if l, ok := n.leases[name]; ok {
		return l, nil
	}
	return rpc.Lease{}, errcode.New(errcode.NotFound, "nobody holds lease %q", name)
}

// ListLeases is sorted by name.
func (n *Node) ListLeases(_ context.Context, prefix string) ([]rpc.Lease, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	var out []rpc.Lease
	for name, l := range n.leases {
		if strings.HasPrefix(name, prefix) {
			out = append(out, l)
		}
	}
	slices.SortFunc(out, func(a, b rpc.Lease) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}
