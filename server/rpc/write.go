package rpc

import (
	"context"
	"fmt"
	"strings"
	"time"

	apiv1 "github.com/quipudb/quipu/proto/api/v1"
	"github.com/quipudb/quipu/server/access"
	"github.com/quipudb/quipu/server/errcode"
	"github.com/quipudb/quipu/server/router"
	"github.com/quipudb/quipu/storage/schema"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
)

type writeService struct {
	apiv1.UnimplementedWriteServer
	*Server
}

// Write is one batch. A batch of which every part is refused is still answered with the list of refusals.
func (s *writeService) Write(ctx context.Context, req *apiv1.WriteRequest) (*apiv1.WriteResponse, error) {
	who := principal(ctx)
	if key := first(ctx, MetaIdempotencyKey); key != "" && req.IdempotencyKey == "" {
		req.IdempotencyKey = key
	}
	ctx, cancel := deadline(ctx, s.opts.WriteTimeout)
	defer cancel()
	size := int64(proto.Size(req))
	if err := s.bytes.Acquire(ctx, min(size, s.opts.InFlightBytes)); err != nil {
		return nil, errBusy(err)
	}
	defer s.bytes.Release(min(size, s.opts.InFlightBytes))
	resp, result, err := s.write(ctx, who, req)
	if err != nil {
		return nil, err
	}
	grpc.SetHeader(ctx, writeHeader(result))
	return resp, nil
}

// writeHeader is the receipt in the form that Quipu-After and quipu.min_index take, shard:index and commas.
func writeHeader(r *router.Result) metadata.MD {
	md := metadata.MD{}
	if r.Replayed {
		md.Set(MetaReplayed, "true")
	}
	if len(r.Receipts) > 0 {
		parts := make([]string, len(r.Receipts))
		for i, p := range r.Receipts {
			parts[i] = fmt.Sprintf("%d:%d", p.Shard, p.Index)
		}
		md.Set(MetaReceipt, strings.Join(parts, ","))
	}
	return md
}

// write is shared by the unary call and the stream.
func (s *Server) write(ctx context.Context, who string, req *apiv1.WriteRequest) (*apiv1.WriteResponse, *router.Result, error) {
	// Each request of a stream is for a table of its own.
	if err := access.RPC[apiv1.Write_WriteStream_FullMethodName].Check(callerOf(ctx), req); err != nil {
		return nil, nil, err
	}
	d, err := decodeBatch(who, req)
	if err != nil {
		return nil, nil, err
	}
	defer d.release()
	s.metrics.rows.Add(float64(d.batch.Rows))
	result, err := s.backend.Write(ctx, &d.batch)
	if err != nil {
		return nil, nil, err
	}
	return s.response(req, result), result, nil
}

func (s *Server) response(req *apiv1.WriteRequest, r *router.Result) *apiv1.WriteResponse {
	m := &apiv1.WriteResponse{Id: req.Id, Receipt: s.receipt(r), Refused: refusals(r), MapVersion: r.MapVersion}
	for _, p := range r.Receipts {
		m.Led = s.led(m.Led, req, p.Shard)
	}
	return m
}

// led adds to list who leads a shard that was counted at another node, for a client that will make use of it.
func (s *Server) led(list []*apiv1.ShardLeader, req *apiv1.WriteRequest, shard schema.ShardID) []*apiv1.ShardLeader {
	if req.GetStamp().GetMapVersion() == 0 {
		return list
	}
	if l, ok := s.backend.Elsewhere(shard); ok {
		list = append(list, leaderMessage(l))
	}
	return list
}

// receipt is nil if nothing was counted.
func (s *Server) receipt(r *router.Result) *apiv1.Receipt {
	if len(r.Receipts) == 0 {
		return nil
	}
	info := s.backend.Info()
	shards := make([]apiv1.ShardReceipt, len(r.Receipts))
	m := &apiv1.Receipt{
		ClusterId: info.ClusterID, Incarnation: info.Incarnation, TtlMs: info.SessionTTL.Milliseconds(),
		Shards: make([]*apiv1.ShardReceipt, len(shards)),
	}
	for i, p := range r.Receipts {
		shards[i].Shard, shards[i].Index, shards[i].Duplicate = uint32(p.Shard), p.Index, p.Duplicate
		m.Shards[i] = &shards[i]
	}
	return m
}

func refusals(r *router.Result) []*apiv1.Refusal {
	var list []*apiv1.Refusal
	for _, p := range r.Refused {
		list = append(list, &apiv1.Refusal{Shard: uint32(p.Shard), Rows: p.Rows, Error: errorMessage(p.Err)})
	}
	return list
}

func errBusy(cause error) error {
	return errcode.New(errcode.Busy, "the node has as many writes in flight as it takes: %w", cause).
		WithHint("send again after a moment").After(100 * time.Millisecond)
}

func errClosing() error {
	return errcode.New(errcode.Closing, "the node is stopping").WithHint("send again, to another node or after its restart").After(time.Second)
}
