package peer

import (
	"context"
	"errors"
	"io"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc"

	peerv1 "github.com/quipudb/quipu/proto/peer/v1"
	"github.com/quipudb/quipu/storage/schema"
)

// endedStream has ended when the first part is sent. As with gRPC, only one may wait for that: the end is told once.
type endedStream struct {
	grpc.ClientStream
	sent  chan struct{}
	asked atomic.Int32
}

func (s *endedStream) Send(*peerv1.ProposeRequest) error { close(s.sent); return io.EOF }

func (s *endedStream) Recv() (*peerv1.ProposeResponse, error) {
	s.asked.Add(1)
	<-s.sent
	return nil, errors.New("the stream has ended")
}

// endedPeer gives that stream.
type endedPeer struct {
	peerv1.PeerClient
	stream *endedStream
}

func (p *endedPeer) Propose(context.Context, ...grpc.CallOption) (proposeStream, error) {
	return p.stream, nil
}

// When a stream ends while a part is sent, nobody but its receiver asks why: with gRPC the second one would wait for ever, and so would Close.
func TestOneAloneWaitsForTheEndOfAStream(t *testing.T) {
	stream := &endedStream{sent: make(chan struct{})}
	c := NewClient(nil, nil)
	n := &Node{id: "a", client: c, service: &endedPeer{stream: stream}, parts: map[schema.ShardID]*partStream{}}
	if _, err := n.Propose(2, partOf(1)).Wait(t.Context()); err == nil {
		t.Error("a part was acknowledged over a stream that has ended")
	}
	c.Close()
	if asked := stream.asked.Load(); asked != 1 {
		t.Errorf("%d waited for the end of one stream", asked)
	}
}
