package client

import (
	"cmp"
	"context"
	"encoding/binary"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	apiv1 "github.com/quipudb/quipu/proto/api/v1"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// fake is a server that counts in a map, once a stamp, and misbehaves as told.
type fake struct {
	apiv1.UnimplementedWriteServer
	apiv1.UnimplementedSessionsServer
	apiv1.UnimplementedQueryServer

	mu        sync.Mutex
	cells     map[string]int64
	events    []int64
	applied   map[[2]uint64]bool // (session, seq) that were counted
	sessions  uint64
	ttl       time.Duration // of sessions; 10 minutes if zero
	kept      int
	refused   int    // sessions that are refused before one is opened
	reason    string // why
	streams   int
	dead      map[uint64]bool
	maxOpen   uint64     // largest seq − ack_up_to seen
	perStream int        // if set, a stream breaks after that many answers
	cut       float64    // chance that the stream breaks after a batch was counted and before it is answered
	rand      *rand.Rand // for cut
	refuse    func(*apiv1.WriteRequest) *apiv1.WriteResponse
	together  bool          // takes WriteRequest.more, and answers together
	messages  int           // on streams
	hold      chan struct{} // if set, nothing is answered until it is closed
	result    []*apiv1.QueryChunk
	asked     []*apiv1.QueryRequest
	away      int // queries that end without a footing, after the chunks of result, before one is answered
}

func newFake(t testing.TB) (*fake, string) {
	t.Helper()
	f := &fake{cells: map[string]int64{}, applied: map[[2]uint64]bool{}, dead: map[uint64]bool{}, rand: rand.New(rand.NewPCG(1, 2))}
	addr, _ := f.serve(t)
	return f, addr
}

// serve gives the fake another address, and a function that takes it away.
func (f *fake) serve(t testing.TB) (addr string, stop func()) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer()
	apiv1.RegisterWriteServer(s, f)
	apiv1.RegisterSessionsServer(s, f)
	apiv1.RegisterQueryServer(s, f)
	done := make(chan struct{})
	go func() { defer close(done); s.Serve(l) }()
	stop = func() { s.Stop(); <-done }
	t.Cleanup(stop)
	return l.Addr().String(), stop
}

func (f *fake) Open(context.Context, *apiv1.OpenSessionRequest) (*apiv1.OpenSessionResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.refused > 0 {
		f.refused--
		st, err := status.New(codes.ResourceExhausted, "no session").WithDetails(&errdetails.ErrorInfo{Reason: f.reason})
		if err != nil {
			return nil, err
		}
		return nil, st.Err()
	}
	f.sessions++
	return &apiv1.OpenSessionResponse{Session: f.sessions, TtlMs: cmp.Or(f.ttl, 10*time.Minute).Milliseconds(), ClusterId: "fake"}, nil
}

func (f *fake) KeepAlive(context.Context, *apiv1.KeepAliveRequest) (*apiv1.KeepAliveResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.kept++
	return &apiv1.KeepAliveResponse{}, nil
}

func (f *fake) Close(context.Context, *apiv1.CloseSessionRequest) (*apiv1.CloseSessionResponse, error) {
	return &apiv1.CloseSessionResponse{}, nil
}

func (f *fake) WriteStream(st apiv1.Write_WriteStreamServer) error {
	f.mu.Lock()
	f.streams++
	together := f.together
	f.mu.Unlock()
	if together {
		if err := st.SendHeader(metadata.Pairs("quipu-together", "1")); err != nil {
			return err
		}
	}
	for answered := 0; ; answered++ {
		if f.perStream > 0 && answered == f.perStream {
			return status.Error(codes.Unavailable, "the stream broke")
		}
		req, err := st.Recv()
		if err != nil {
			return nil
		}
		f.mu.Lock()
		hold := f.hold
		f.mu.Unlock()
		if hold != nil {
			<-hold
		}
		f.mu.Lock()
		f.messages++
		f.mu.Unlock()
		resp, broken := f.write(req)
		for _, r := range req.More {
			if !together {
				return status.Error(codes.InvalidArgument, "nobody asked for more")
			}
			other, lost := f.write(r)
			resp.More, broken = append(resp.More, other), broken || lost
		}
		if broken {
			return status.Error(codes.Unavailable, "the reply was lost")
		}
		if err := st.Send(resp); err != nil {
			return err
		}
	}
}

func (f *fake) Write(_ context.Context, req *apiv1.WriteRequest) (*apiv1.WriteResponse, error) {
	resp, _ := f.write(req)
	return resp, nil
}

func (f *fake) write(req *apiv1.WriteRequest) (resp *apiv1.WriteResponse, broken bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.refuse != nil {
		if resp := f.refuse(req); resp != nil {
			resp.Id = req.Id
			return resp, false
		}
	}
	resp = &apiv1.WriteResponse{Id: req.Id, Receipt: &apiv1.Receipt{ClusterId: "fake", Shards: []*apiv1.ShardReceipt{{Index: 1}}}}
	if s := req.Stamp; s != nil {
		if f.dead[s.Session] {
			return &apiv1.WriteResponse{Id: req.Id, Error: &apiv1.Error{Code: "SESSION_EXPIRED", Message: "gone"}}, false
		}
		stamp := [2]uint64{s.Session, s.Seq}
		resp.Receipt.Shards[0].Duplicate = f.applied[stamp]
		if f.applied[stamp] {
			return resp, f.rand.Float64() < f.cut
		}
		f.applied[stamp] = true
		f.maxOpen = max(f.maxOpen, s.Seq-s.AckUpTo)
	}
	f.count(req.Batch)
	return resp, f.rand.Float64() < f.cut
}

// count decodes the batch independently of the code under test.
func (f *fake) count(b *apiv1.Batch) {
	for row := range int(b.Rows) {
		var cell []string
		for _, c := range b.Columns {
			if code := int(little(c.Codes, row, int(b.Rows))); code > 0 {
				start := 0
				for _, n := range c.Lengths[:code-1] {
					start += int(n)
				}
				cell = append(cell, c.Name+"="+string(c.Values[start:start+int(c.Lengths[code-1])]))
			}
		}
		n := int64(1)
		if len(b.Counts) > 0 {
			n = little(b.Counts, row, int(b.Rows))
		}
		f.cells[b.Table+":"+strings.Join(cell, ",")] += n
	}
	f.events = append(f.events, b.EventTimeMs)
}

func little(b []byte, i, rows int) int64 {
	switch len(b) / rows {
	case 1:
		return int64(int8(b[i]))
	case 2:
		return int64(int16(binary.LittleEndian.Uint16(b[2*i:])))
	case 4:
		return int64(int32(binary.LittleEndian.Uint32(b[4*i:])))
	}
	return int64(binary.LittleEndian.Uint64(b[8*i:]))
}

func (f *fake) Query(req *apiv1.QueryRequest, st apiv1.Query_QueryServer) error {
	f.mu.Lock()
	f.asked = append(f.asked, req)
	away := f.away > 0
	f.away = max(0, f.away-1)
	f.mu.Unlock()
	if req.Single && strings.Contains(req.Sql, ";") {
		st, err := status.New(codes.InvalidArgument, "one statement").WithDetails(&errdetails.ErrorInfo{Reason: "SYNTAX_ERROR"})
		if err != nil {
			return err
		}
		return st.Err()
	}
	for _, c := range f.result {
		if away && c.End != nil {
			break
		}
		if err := st.Send(c); err != nil {
			return err
		}
	}
	if away {
		return status.Error(codes.Unavailable, "the node goes away")
	}
	return nil
}

func (f *fake) get(cell string) int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.cells[cell]
}
