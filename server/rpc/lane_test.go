package rpc_test

import (
	"context"
	"errors"
	"io"
	"sync"
	"testing"
	"time"

	apiv1 "github.com/quipudb/quipu/proto/api/v1"
	"github.com/quipudb/quipu/server/errcode"
	"github.com/quipudb/quipu/server/router"
	"github.com/quipudb/quipu/server/rpc"
	"github.com/quipudb/quipu/server/rpc/rpctest"
	"github.com/quipudb/quipu/storage/schema"
)

// flight is a row whose fate the test decides.
type flight struct {
	shard   schema.ShardID
	seq     uint64
	done    chan struct{}
	counted bool
	wait    func(context.Context) (*router.Result, error) // until its context ends, if nil
	left    chan uint64                                   // of the sky
}

func (f *flight) Shard() schema.ShardID { return f.shard }
func (f *flight) MapVersion() uint64    { return 4 }
func (f *flight) Done() <-chan struct{} { return f.done }
func (f *flight) Counted() (schema.Receipt, bool) {
	return schema.Receipt{Shard: f.shard, Index: 10 * f.seq}, f.counted
}
func (f *flight) Wait(ctx context.Context) (*router.Result, error) {
	if f.wait != nil {
		return f.wait(ctx)
	}
	<-ctx.Done()
	f.left <- f.seq
	return nil, ctx.Err()
}

func (f *flight) land() { f.counted = true; close(f.done) }

// sky is the rows on their way. Row seq goes to shard seq modulo 2.
type sky struct {
	mu      sync.Mutex
	flights map[uint64]*flight
	begun   chan uint64
	left    chan uint64 // rows that were given up
}

func newSky(node *rpctest.Node) *sky {
	s := &sky{flights: map[uint64]*flight{}, begun: make(chan uint64, 100), left: make(chan uint64, 100)}
	node.OnBegin = func(b *router.Batch) rpc.Flight {
		f := &flight{shard: schema.ShardID(b.Seq % 2), seq: b.Seq, done: make(chan struct{}), left: s.left}
		s.mu.Lock()
		s.flights[b.Seq] = f
		s.mu.Unlock()
		s.begun <- b.Seq
		return f
	}
	return s
}

// wait waits until n rows have begun.
func (s *sky) wait(n int) {
	for range n {
		<-s.begun
	}
}

func (s *sky) get(seq uint64) *flight {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.flights[seq]
}

// oneRow is a stamped batch of one row.
func oneRow(seq uint64, more ...*apiv1.WriteRequest) *apiv1.WriteRequest {
	return &apiv1.WriteRequest{Id: seq, Stamp: &apiv1.Stamp{Session: 1, Seq: seq}, More: more,
		Batch: &apiv1.Batch{Table: "t", Rows: 1, Columns: []*apiv1.Column{{Name: "a", Values: []byte("x"), Lengths: []uint32{1}, Codes: []byte{1}}}}}
}

func openStream(t *testing.T, node rpc.Backend, opts rpc.Options) (apiv1.Write_WriteStreamClient, *rpc.Server, context.CancelFunc) {
	conn, s := serve(t, node, opts)
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	stream, err := apiv1.NewWriteClient(conn).WriteStream(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return stream, s, cancel
}

func send(t *testing.T, stream apiv1.Write_WriteStreamClient, reqs ...*apiv1.WriteRequest) {
	t.Helper()
	for _, r := range reqs {
		if err := stream.Send(r); err != nil {
			t.Fatal(err)
		}
	}
}

// receive wants the next message to answer exactly these requests, in this order, as counted.
func receive(t *testing.T, stream apiv1.Write_WriteStreamClient, seqs ...uint64) {
	t.Helper()
	first, err := stream.Recv()
	if err != nil {
		t.Fatal(err)
	}
	answers := append([]*apiv1.WriteResponse{first}, first.More...)
	if len(answers) != len(seqs) {
		t.Fatalf("%d answers, want %v: %v", len(answers), seqs, first)
	}
	for i, a := range answers {
		r := a.GetReceipt()
		if a.Id != seqs[i] || len(r.GetShards()) != 1 || r.Shards[0].Index != 10*a.Id || r.Shards[0].Shard != uint32(a.Id%2) ||
			r.ClusterId != rpctest.ClusterID || r.Incarnation != rpctest.Incarnation || r.TtlMs != rpctest.SessionTTL.Milliseconds() || a.MapVersion != 4 {
			t.Errorf("answer %d: %v, want one to request %d", i, a, seqs[i])
		}
	}
}

func TestRowsAreAnsweredAsTheyLand(t *testing.T) {
	node := rpctest.New()
	sky := newSky(node)
	stream, _, _ := openStream(t, node, rpc.Options{})
	h, err := stream.Header()
	if err != nil || len(h.Get("quipu-together")) != 1 || h.Get("quipu-together")[0] != "1" {
		t.Fatalf("header %v, %v", h, err)
	}
	send(t, stream, oneRow(1), oneRow(2), oneRow(3), oneRow(5))
	sky.wait(4)
	sky.get(2).land() // of another shard: it does not wait for 1
	receive(t, stream, 2)
	sky.get(5).land()
	sky.get(3).land()
	sky.get(1).land() // in order on one shard; a client that never sent together gets single answers
	receive(t, stream, 1)
	receive(t, stream, 3)
	receive(t, stream, 5)
	send(t, stream, oneRow(7, oneRow(9), oneRow(11)), oneRow(13))
	sky.wait(4)
	for _, seq := range []uint64{11, 9, 7} {
		sky.get(seq).land()
	}
	receive(t, stream, 7, 9, 11)
	sky.get(13).land()
	receive(t, stream, 13)
	if err := stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
		t.Errorf("%v, want EOF", err)
	}
}

func TestRowThatMustGoAgainHoldsNobodyUp(t *testing.T) {
	node := rpctest.New()
	sky := newSky(node)
	stream, _, _ := openStream(t, node, rpc.Options{})
	send(t, stream, oneRow(1), oneRow(3))
	sky.wait(2)
	leave := make(chan struct{})
	sky.get(1).wait = func(context.Context) (*router.Result, error) {
		<-leave
		return &router.Result{Refused: []router.Refusal{{Shard: 1, Err: errcode.New(errcode.BelowZero, "below zero")}}}, nil
	}
	sky.get(3).land()
	close(sky.get(1).done)
	receive(t, stream, 3)
	close(leave)
	if a, err := stream.Recv(); err != nil || a.Id != 1 || len(a.Refused) != 1 || a.Refused[0].Error.Code != "BELOW_ZERO" {
		t.Errorf("%v, %v", a, err)
	}
}

func TestRowThatNeverLandsEndsInTime(t *testing.T) {
	node := rpctest.New()
	sky := newSky(node)
	stream, _, _ := openStream(t, node, rpc.Options{WriteTimeout: 10 * time.Millisecond})
	send(t, stream, oneRow(1))
	sky.wait(1)
	a, err := stream.Recv()
	if err != nil || a.Id != 1 || a.Error.GetCode() == "" {
		t.Errorf("%v, %v", a, err)
	}
}

func TestRowsOfAStreamThatDrainsAreAnswered(t *testing.T) {
	node := rpctest.New()
	sky := newSky(node)
	stream, s, _ := openStream(t, node, rpc.Options{})
	send(t, stream, oneRow(1, oneRow(3)))
	sky.wait(2)
	s.Drain()
	sky.get(3).land()
	sky.get(1).land()
	receive(t, stream, 1, 3)
	_, err := stream.Recv()
	wantCode(t, err, errcode.Closing)
}

func TestRowsOfAClientThatGoesAwayAreGivenUp(t *testing.T) {
	node := rpctest.New()
	sky := newSky(node)
	stream, _, cancel := openStream(t, node, rpc.Options{})
	send(t, stream, oneRow(1, oneRow(2), oneRow(3)))
	sky.wait(3)
	cancel()
	for range 3 {
		<-sky.left
	}
}

func TestRowsHoldTheClientBack(t *testing.T) {
	node := rpctest.New()
	sky := newSky(node)
	stream, _, _ := openStream(t, node, rpc.Options{InFlightMax: 2})
	var more []*apiv1.WriteRequest
	for seq := uint64(3); seq <= 9; seq += 2 {
		more = append(more, oneRow(seq))
	}
	send(t, stream, oneRow(1, more...))
	for seq := uint64(1); seq <= 9; seq += 2 {
		if got := <-sky.begun; got != seq {
			t.Fatalf("row %d has begun, want %d", got, seq)
		}
		if seq == 1 {
			continue
		}
		if len(sky.begun) > 0 {
			t.Error("more than two rows are on their way")
		}
		sky.get(seq - 2).land()
		receive(t, stream, seq-2)
	}
}

func TestRequestsThatTravelTogetherAreJudgedSingly(t *testing.T) {
	node := rpctest.New()
	node.OnWrite = func(_ context.Context, b *router.Batch) (*router.Result, error) {
		return &router.Result{Receipts: []schema.Receipt{{Index: b.Seq}}}, nil
	}
	stream, _, _ := openStream(t, node, rpc.Options{})
	send(t, stream, oneRow(1, oneRow(2, oneRow(3)), &apiv1.WriteRequest{Id: 4}, oneRow(5)))
	codes := map[uint64]string{}
	for answers := 0; answers < 4; {
		first, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range append(first.More, first) { // answers may travel together too
			codes[a.Id] = a.Error.GetCode()
			answers++
		}
	}
	for id, want := range map[uint64]string{1: "", 2: "INVALID", 4: "INVALID", 5: ""} {
		if got, ok := codes[id]; !ok || got != want {
			t.Errorf("request %d: %q, want %q", id, got, want)
		}
	}
}
