package transporttest

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"

	"github.com/quipudb/quipu/server/transport"
)

// Post is what may happen to a message of Raft: it is lost, or its answer is; it comes twice; it comes late, after ones sent later.
type Post struct {
	Lost, Unanswered, Twice, Late float64 // shares
	LateMax                       time.Duration
}

var errLost = errors.New("transporttest: message lost")

// Message is what a post office looks at.
type Message struct {
	To      raft.ServerID
	Entries bool // it carries some
}

// Raft puts a bad post office before the transport of a group. It declines pipelining: each message has a fate of its own.
func Raft(t raft.Transport, seed uint64, post func(Message) Post) raft.Transport {
	return &careless{Safe: t.(transport.Safe), seed: seed, post: post, done: make(chan struct{})}
}

type careless struct {
	transport.Safe
	seed uint64
	k    atomic.Uint64
	post func(Message) Post

	mu     sync.Mutex // guards closed, and that nothing is added to copies after it
	closed bool
	done   chan struct{}
	copies sync.WaitGroup // second deliveries on their way
}

// Close ends the transport, with the copies on their way.
func (c *careless) Close() error {
	c.mu.Lock()
	if !c.closed {
		c.closed = true
		close(c.done)
	}
	c.mu.Unlock()
	err := c.Safe.Close()
	c.copies.Wait()
	return err
}

// later delivers once more.
func (c *careless) later(wait time.Duration, again func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return
	}
	c.copies.Go(func() {
		t := time.NewTimer(wait)
		defer t.Stop()
		select {
		case <-t.C:
			again()
		case <-c.done:
		}
	})
}

// send does once, twice or not at all what deliver does.
func (c *careless) send(m Message, deliver func() error, again func()) error {
	p, d := c.post(m), dice(c.seed+c.k.Add(1)*0x9e3779b97f4a7c15)
	lost, unanswered, twice, late := d.next() < p.Lost, d.next() < p.Unanswered, d.next() < p.Twice, d.next() < p.Late
	if late {
		time.Sleep(time.Duration(d.next() * float64(p.LateMax)))
	}
	if lost {
		return errLost
	}
	if twice {
		c.later(time.Duration(d.next()*float64(p.LateMax)), again)
	}
	if err := deliver(); err != nil {
		return err
	}
	if unanswered {
		return errLost
	}
	return nil
}

// AppendEntriesPipeline is declined.
func (c *careless) AppendEntriesPipeline(raft.ServerID, raft.ServerAddress) (raft.AppendPipeline, error) {
	return nil, raft.ErrPipelineReplicationNotSupported
}

// AppendEntries sends entries or a heartbeat.
func (c *careless) AppendEntries(id raft.ServerID, target raft.ServerAddress, args *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) error {
	copied := *args
	return c.send(Message{id, len(args.Entries) > 0}, func() error { return c.Safe.AppendEntries(id, target, args, resp) },
		func() { _ = c.Safe.AppendEntries(id, target, &copied, &raft.AppendEntriesResponse{}) })
}

// RequestVote asks for a vote.
func (c *careless) RequestVote(id raft.ServerID, target raft.ServerAddress, args *raft.RequestVoteRequest, resp *raft.RequestVoteResponse) error {
	copied := *args
	return c.send(Message{To: id}, func() error { return c.Safe.RequestVote(id, target, args, resp) },
		func() { _ = c.Safe.RequestVote(id, target, &copied, &raft.RequestVoteResponse{}) })
}

// RequestPreVote asks whether a vote would be given.
func (c *careless) RequestPreVote(id raft.ServerID, target raft.ServerAddress, args *raft.RequestPreVoteRequest, resp *raft.RequestPreVoteResponse) error {
	copied := *args
	return c.send(Message{To: id}, func() error { return c.Safe.RequestPreVote(id, target, args, resp) },
		func() { _ = c.Safe.RequestPreVote(id, target, &copied, &raft.RequestPreVoteResponse{}) })
}
