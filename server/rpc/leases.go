package rpc

import (
	"context"
	"strings"
	"time"

	apiv1 "github.com/quipudb/quipu/proto/api/v1"
)

type leaseService struct {
	apiv1.UnimplementedLeasesServer
	*Server
}

// leaseDefault is the time of a lease whose holder names none.
const leaseDefault = 30 * time.Second

// holder makes the name of a holder its principal's: nobody renews what somebody else holds.
func holder(ctx context.Context, name string) (string, error) {
	if name == "" || strings.Contains(name, "/") {
		return "", invalid("holder", "is a name without a slash, which tells the holders of one principal apart")
	}
	return principal(ctx) + "/" + name, nil
}

func leaseTTL(ms int64) (time.Duration, error) {
	ttl := time.Duration(ms) * time.Millisecond
	switch {
	case ms == 0:
		return leaseDefault, nil
	case ms < 1000 || ms > (24*time.Hour).Milliseconds():
		return 0, invalid("ttl_ms", "lies between 1000 (a second) and 86400000 (a day)")
	}
	return ttl, nil
}

// leaseTerms are who holds a lease, and for how long.
func leaseTerms(ctx context.Context, name string, ttlMs int64) (who string, ttl time.Duration, err error) {
	if who, err = holder(ctx, name); err == nil {
		ttl, err = leaseTTL(ttlMs)
	}
	return who, ttl, err
}

func (s *leaseService) Acquire(ctx context.Context, req *apiv1.AcquireLeaseRequest) (*apiv1.Lease, error) {
	who, ttl, err := leaseTerms(ctx, req.Holder, req.TtlMs)
	if err != nil {
		return nil, err
	}
	ctx, cancel := deadline(ctx, s.opts.WriteTimeout)
	defer cancel()
	l, err := s.backend.AcquireLease(ctx, req.Name, who, ttl)
	if err != nil {
		return nil, err
	}
	return leaseMessage(l), nil
}

func (s *leaseService) Renew(ctx context.Context, req *apiv1.RenewLeaseRequest) (*apiv1.Lease, error) {
	who, ttl, err := leaseTerms(ctx, req.Holder, req.TtlMs)
	if err != nil {
		return nil, err
	}
	ctx, cancel := deadline(ctx, s.opts.WriteTimeout)
	defer cancel()
	l, err := s.backend.RenewLease(ctx, req.Name, who, req.Fence, ttl)
	if err != nil {
		return nil, err
	}
	return leaseMessage(l), nil
}

func (s *leaseService) Release(ctx context.Context, req *apiv1.ReleaseLeaseRequest) (*apiv1.ReleaseLeaseResponse, error) {
	who, err := holder(ctx, req.Holder)
	if err != nil {
		return nil, err
	}
	ctx, cancel := deadline(ctx, s.opts.WriteTimeout)
	defer cancel()
	if err := s.backend.ReleaseLease(ctx, req.Name, who, req.Fence); err != nil {
		return nil, err
	}
	return &apiv1.ReleaseLeaseResponse{}, nil
}

func (s *leaseService) Get(ctx context.Context, req *apiv1.GetLeaseRequest) (*apiv1.Lease, error) {
	l, err := s.backend.Lease(ctx, req.Name)
	if err != nil {
		return nil, err
	}
	return leaseMessage(l), nil
}

func (s *leaseService) List(ctx context.Context, req *apiv1.ListLeasesRequest) (*apiv1.ListLeasesResponse, error) {
	list, err := s.backend.ListLeases(ctx, req.Prefix)
	if err != nil {
		return nil, err
	}
	resp := &apiv1.ListLeasesResponse{}
	for _, l := range list {
		resp.Leases = append(resp.Leases, leaseMessage(l))
	}
	return resp, nil
}

func leaseMessage(l Lease) *apiv1.Lease {
	return &apiv1.Lease{Name: l.Name, Holder: l.Holder, Fence: l.Fence, TtlMs: l.TTL.Milliseconds(), RemainingMs: l.Remaining.Milliseconds()}
}
