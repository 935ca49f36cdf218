package peer

import (
	"context"
	"io"
	"sync"

	"google.golang.org/grpc"

	peerv1 "github.com/quipudb/quipu/proto/peer/v1"
	"github.com/quipudb/quipu/server/errcode"
	"github.com/quipudb/quipu/server/replica"
	"github.com/quipudb/quipu/server/router"
	"github.com/quipudb/quipu/storage/schema"
)

// partStream carries the parts of one shard to its leader. One goroutine sends and one receives; the first fault ends both, and with them
// every part on its way.
type partStream struct {
	node  *Node
	shard schema.ShardID
	queue chan *partCall // capacity partsMax, and no more are on their way: sending to it never waits
	life  context.Context
	stop  context.CancelFunc // ends life

	mu    sync.Mutex // guards the fields below
	calls map[uint64]*partCall
	next  uint64
	rows  int
	last  bool  // no more parts are taken, and the stream ends with those on their way
	err   error // why the stream has ended
}

// partCall is one part on its way.
type partCall struct {
	m    *peerv1.ProposeRequest
	rows int
	sent bool // guarded by partStream.mu
	done chan struct{}
	out  replica.Outcome
	err  error
}

// Wait gives the part's answer.
func (c *partCall) Wait(ctx context.Context) (replica.Outcome, error) {
	select {
	case <-c.done:
		return c.out, c.err
	case <-ctx.Done():
		return replica.Outcome{}, ctx.Err()
	}
}

// Done is closed when the leader has answered, or the stream has ended.
func (c *partCall) Done() <-chan struct{} { return c.done }

// Counted gives, after Done, the outcome of a part that was counted.
func (c *partCall) Counted() (replica.Outcome, bool) { return c.out, c.err == nil }

func refused(err error) *partCall {
	c := &partCall{done: make(chan struct{}), err: err}
	close(c.done)
	return c
}

// Propose sends a part to the leader of its shard and does not wait. The part's columns are copied.
func (n *Node) Propose(shard schema.ShardID, part *replica.Part) router.Pending {
	s, err := n.stream(shard)
	if err != nil {
		return refused(err)
	}
	return s.propose(part)
}

// stream is that of a shard; a new one takes the place of one that has ended.
func (n *Node) stream(shard schema.ShardID) (*partStream, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if s := n.parts[shard]; s != nil && !s.ended() {
		return s, nil
	}
	if n.dropped {
		return nil, n.gone()
	}
	s := &partStream{node: n, shard: shard, queue: make(chan *partCall, partsMax), calls: map[uint64]*partCall{}}
	s.life, s.stop = context.WithCancel(n.client.ctx)
	if !n.client.goFunc(s.run) {
		s.stop()
		return nil, errcode.New(errcode.Closing, "the node is stopping")
	}
	n.parts[shard] = s
	return s, nil
}

func (s *partStream) ended() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err != nil
}

func (s *partStream) propose(part *replica.Part) *partCall {
	s.mu.Lock()
	switch {
	case s.last:
		s.mu.Unlock()
		return refused(s.node.gone())
	case s.err != nil:
		err := s.err
		s.mu.Unlock()
		return refused(err)
	case len(s.calls) >= partsMax || s.rows+part.Len > rowsMax:
		n := len(s.calls)
		s.mu.Unlock()
		return refused(errcode.New(errcode.Busy, "%d parts are on their way to shard %d at node %s", n, s.shard, s.node.id).
			WithHint("send the batch again under the same stamp a little later"))
	}
	s.next++
	id := s.next
	c := &partCall{rows: part.Len, done: make(chan struct{})}
	s.calls[id] = c
	s.rows += part.Len
	s.mu.Unlock()
	c.m = encodePart(id, s.shard, part)
	s.queue <- c // has room: no more than partsMax are in calls
	return c
}

// run is the life of the stream.
func (s *partStream) run() {
	ctx, cancel := s.life, s.stop
	defer cancel()
	stream, err := s.node.service.Propose(ctx)
	if err != nil {
		s.end(err)
		return
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		defer cancel()
		s.end(s.receive(stream))
	})
	if err := s.send(ctx, stream); err != nil {
		s.end(err)
		cancel()
	}
	wg.Wait()
}

type proposeStream = grpc.BidiStreamingClient[peerv1.ProposeRequest, peerv1.ProposeResponse]

// send sends what is proposed. It gives nil when the other side has ended the stream: receive hears why, and nobody else may ask, for of two who
// wait for the end of a stream one waits for ever.
func (s *partStream) send(ctx context.Context, stream proposeStream) error {
	for {
		select {
		case c := <-s.queue:
			s.mu.Lock()
			c.sent = true
			s.mu.Unlock()
			if err := stream.Send(c.m); err == io.EOF {
				return nil
			} else if err != nil {
				return err
			}
			c.m = nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (s *partStream) receive(stream proposeStream) error {
	for {
		m, err := stream.Recv()
		if err != nil {
			return err
		}
		s.answer(m)
	}
}

func (s *partStream) answer(m *peerv1.ProposeResponse) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.calls[m.Id]
	if c == nil {
		return
	}
	s.settle(m.Id, c, replica.Outcome{Index: m.Index, Duplicate: m.Duplicate}, failed(m.Failure))
}

// settle ends a call. mu is held.
func (s *partStream) settle(id uint64, c *partCall, out replica.Outcome, err error) {
	delete(s.calls, id)
	s.rows -= c.rows
	c.out, c.err = out, err
	close(c.done)
	s.rest()
}

// drop lets the parts on their way come to their end, and the stream with them.
func (s *partStream) drop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last = true
	s.rest()
}

// rest ends a stream that has nothing left to do. mu is held.
func (s *partStream) rest() {
	if s.last && len(s.calls) == 0 {
		s.stop()
	}
}

// end fails every part on its way. Whether one that was sent was counted is not known; its stamp finds out.
func (s *partStream) end(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return
	}
	s.err = s.node.unreachable(err)
	for id, c := range s.calls { // any order: nobody waits for two
		if !c.sent {
			s.settle(id, c, replica.Outcome{}, s.err)
			continue
		}
		s.settle(id, c, replica.Outcome{}, errcode.New(errcode.Unavailable, "the connection to node %s was lost; whether the batch was counted is not known: %w", s.node.id, err).
			WithHint("send it again under the same stamp"))
	}
}
