package rpc

import (
	"context"
	"runtime/debug"
	"time"

	apiv1 "github.com/quipudb/quipu/proto/api/v1"
	"github.com/quipudb/quipu/server/access"
	"github.com/quipudb/quipu/server/errcode"
	"github.com/quipudb/quipu/server/errcode/known"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
)

// keyed are the methods that take an idempotency key.
var keyed = map[string]bool{
	apiv1.Write_Write_FullMethodName:     true,
	apiv1.Write_Increment_FullMethodName: true,
}

// unary is around every call: it turns panics and errors into statuses and counts them.
func (s *Server) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (resp any, err error) {
	defer s.finish(info.FullMethod, time.Now(), &err)
	if err := refuseKey(ctx, info.FullMethod); err != nil {
		return nil, err
	}
	rule := access.RPC[info.FullMethod]
	ctx, caller, err := s.authenticate(ctx, rule)
	if err != nil {
		return nil, err
	}
	if err := check(rule, caller, req); err != nil {
		return nil, err
	}
	if err := s.sameCluster(ctx); err != nil {
		return nil, err
	}
	resp, err = handler(ctx, req)
	if err == nil && rule.Answer {
		err = check(rule, caller, resp)
	}
	return resp, err
}

// check applies a rule to a message.
func check(rule access.Rule, caller *access.Caller, m any) error {
	message, _ := m.(proto.Message)
	return rule.Check(caller, message)
}

func (s *Server) stream(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) (err error) {
	defer s.finish(info.FullMethod, time.Now(), &err)
	if err := refuseKey(ss.Context(), info.FullMethod); err != nil {
		return err
	}
	rule := access.RPC[info.FullMethod]
	ctx, caller, err := s.authenticate(ss.Context(), rule)
	if err != nil {
		return err
	}
	if err := rule.Check(caller, nil); err != nil {
		return err
	}
	if err := s.sameCluster(ctx); err != nil {
		return err
	}
	return handler(srv, &guarded{ServerStream: ss, ctx: ctx, rule: rule, caller: caller})
}

// guarded is a stream whose caller is asked for its rights with every message that it gets, because streams live for long.
type guarded struct {
	grpc.ServerStream
	ctx    context.Context
	rule   access.Rule
	caller *access.Caller
}

func (g *guarded) Context() context.Context { return g.ctx }

func (g *guarded) SendMsg(m any) error {
	if err := g.rule.Check(g.caller, nil); err != nil && !onlyDone(m) {
		return err
	}
	return g.ServerStream.SendMsg(m)
}

// onlyDone says that a message tells of a statement that was carried out, and holds no data. It reaches the caller whose rights that very
// statement has ended: who makes the first role, or drops its own, must not read that it failed.
func onlyDone(m any) bool {
	c, ok := m.(*apiv1.QueryChunk)
	return ok && c.End != nil && c.Rows == 0
}

// finish is deferred by the interceptors.
func (s *Server) finish(method string, start time.Time, err *error) {
	if p := recover(); p != nil {
		s.opts.Logger.Error("request panicked", "method", method, "panic", p, "stack", string(debug.Stack()))
		*err = errcode.New(errcode.Internal, "the server failed on this request").WithHint("see its log")
	}
	code := errcode.Code("OK")
	if *err != nil {
		e := known.From(*err)
		code = e.Code
		if code == errcode.Internal || code == errcode.Corrupt {
			s.opts.Logger.Error("request failed", "method", method, "err", *err)
		}
		*err = e // has GRPCStatus
	}
	s.metrics.observe(method, code, time.Since(start))
}

// refuseKey makes sure that nobody believes a retry safe that is not.
func refuseKey(ctx context.Context, method string) error {
	if keyed[method] || first(ctx, MetaIdempotencyKey) == "" {
		return nil
	}
	return errcode.New(errcode.NotSupported, "%s takes no Idempotency-Key", method).
		WithHint("write with POST /v1/tables/{table}:increment to make a retry safe")
}

// deadline gives ctx the time limit d if its caller set none.
func deadline(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, d)
}
