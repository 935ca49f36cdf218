package rpc_test

import (
	"context"
	"errors"
	"io"
	"sync/atomic"
	"testing"

	apiv1 "github.com/quipudb/quipu/proto/api/v1"
	"github.com/quipudb/quipu/server/errcode"
	"github.com/quipudb/quipu/server/router"
	"github.com/quipudb/quipu/server/rpc"
	"github.com/quipudb/quipu/server/rpc/rpctest"
	"github.com/quipudb/quipu/storage/schema"
)

// stamped is a batch under seq of session 1, with seq as request id.
func stamped(seq uint64) *apiv1.WriteRequest {
	return &apiv1.WriteRequest{Id: seq, Batch: batch("t"), Stamp: &apiv1.Stamp{Session: 1, Seq: seq}}
}

func TestStreamAnswersInAnyOrder(t *testing.T) {
	node := rpctest.New()
	first := make(chan struct{})
	node.OnWrite = func(_ context.Context, b *router.Batch) (*router.Result, error) {
		switch b.Seq {
		case 1:
			<-first
		case 3:
			return nil, errcode.New(errcode.SchemaChanged, "table has changed")
		case 4:
			panic("as the test wants")
		}
		return &router.Result{Receipts: []schema.Receipt{{Index: b.Seq}}}, nil
	}
	conn, _ := serve(t, node, rpc.Options{})
	stream, err := apiv1.NewWriteClient(conn).WriteStream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for seq := uint64(1); seq <= 5; seq++ {
		req := stamped(seq)
		if seq == 5 {
			req.Batch = nil
		}
		if err := stream.Send(req); err != nil {
			t.Fatal(err)
		}
	}
	answers := map[uint64]*apiv1.WriteResponse{}
	for range 4 {
		resp, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		answers[resp.Id] = resp
	}
	if answers[1] != nil {
		t.Error("the blocked request was answered")
	}
	for id, code := range map[uint64]string{2: "", 3: "SCHEMA_CHANGED", 4: "INTERNAL", 5: "INVALID"} {
		if got := answers[id].GetError().GetCode(); got != code {
			t.Errorf("request %d: error %q, want %q", id, got, code)
		}
	}
	close(first)
	if err := stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if resp, err := stream.Recv(); err != nil || resp.Id != 1 || resp.Receipt.Shards[0].Index != 1 {
		t.Fatalf("%v, %v", resp, err)
	}
	if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
		t.Errorf("%v, want EOF", err)
	}
}

func TestStreamHoldsTheClientBack(t *testing.T) {
	node := rpctest.New()
	var now, most atomic.Int64
	leave := make(chan struct{})
	node.OnWrite = func(context.Context, *router.Batch) (*router.Result, error) {
		n := now.Add(1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		<-leave
		now.Add(-1)
		return &router.Result{}, nil
	}
	conn, _ := serve(t, node, rpc.Options{InFlightMax: 3})
	stream, err := apiv1.NewWriteClient(conn).WriteStream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	const n = 50
	for seq := range uint64(n) {
		if err := stream.Send(stamped(seq + 1)); err != nil {
			t.Fatal(err)
		}
	}
	if err := stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	for range n {
		leave <- struct{}{}
		if _, err := stream.Recv(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
		t.Errorf("%v, want EOF", err)
	}
	if most.Load() > 3 {
		t.Errorf("%d writes at once, the limit is 3", most.Load())
	}
}

func TestStreamDrains(t *testing.T) {
	node := rpctest.New()
	entered, leave := make(chan struct{}), make(chan struct{})
	node.OnWrite = func(context.Context, *router.Batch) (*router.Result, error) {
		close(entered)
		<-leave
		return &router.Result{Receipts: []schema.Receipt{{Index: 5}}}, nil
	}
	conn, s := serve(t, node, rpc.Options{})
	stream, err := apiv1.NewWriteClient(conn).WriteStream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(stamped(1)); err != nil {
		t.Fatal(err)
	}
	<-entered
	s.Drain()
	close(leave)
	if resp, err := stream.Recv(); err != nil || resp.Receipt == nil {
		t.Fatalf("the request in flight got %v, %v", resp, err)
	}
	_, err = stream.Recv()
	wantCode(t, err, errcode.Closing)
}

func TestStreamOfAClientThatGoesAway(t *testing.T) {
	node := rpctest.New()
	entered, left := make(chan struct{}), make(chan struct{})
	node.OnWrite = func(ctx context.Context, _ *router.Batch) (*router.Result, error) {
		close(entered)
		<-ctx.Done()
		close(left)
		return nil, ctx.Err()
	}
	conn, _ := serve(t, node, rpc.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	stream, err := apiv1.NewWriteClient(conn).WriteStream(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(stamped(1)); err != nil {
		t.Fatal(err)
	}
	<-entered
	cancel()
	<-left
}
