package rpc

import (
	"context"

	apiv1 "github.com/quipudb/quipu/proto/api/v1"
)

type sessionService struct {
	apiv1.UnimplementedSessionsServer
	*Server
}

const keepAlivesMax = 1000

func (s *sessionService) Open(ctx context.Context, req *apiv1.OpenSessionRequest) (*apiv1.OpenSessionResponse, error) {
	who := principal(ctx)
	ctx, cancel := deadline(ctx, s.opts.WriteTimeout)
	defer cancel()
	session, err := s.backend.OpenSession(ctx, who, req.Durable)
	if err != nil {
		return nil, err
	}
	info := s.backend.Info()
	return &apiv1.OpenSessionResponse{
		Session: session.ID, TtlMs: session.TTL.Milliseconds(),
		ClusterId: info.ClusterID, Incarnation: info.Incarnation, Principal: who,
	}, nil
}

func (s *sessionService) KeepAlive(ctx context.Context, req *apiv1.KeepAliveRequest) (*apiv1.KeepAliveResponse, error) {
	who := principal(ctx)
	if n := len(req.Sessions); n == 0 || n > keepAlivesMax {
		return nil, invalid("sessions", "has %d ids, want 1 to %d", n, keepAlivesMax)
	}
	ctx, cancel := deadline(ctx, s.opts.WriteTimeout)
	defer cancel()
	if err := s.backend.KeepAlive(ctx, who, req.Sessions); err != nil {
		return nil, err
	}
	return &apiv1.KeepAliveResponse{}, nil
}

func (s *sessionService) Close(ctx context.Context, req *apiv1.CloseSessionRequest) (*apiv1.CloseSessionResponse, error) {
	who := principal(ctx)
	ctx, cancel := deadline(ctx, s.opts.WriteTimeout)
	defer cancel()
	if err := s.backend.CloseSession(ctx, who, req.Session); err != nil {
		return nil, err
	}
	return &apiv1.CloseSessionResponse{}, nil
}
