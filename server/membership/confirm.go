package membership

import (
	"context"
	"time"

	"github.com/quipudb/quipu/server/errcode"
	"github.com/quipudb/quipu/server/replica"
	"github.com/quipudb/quipu/server/transport"
)

// confirmWait bounds one exchange: a node that hangs must not hold up the questions that wait behind.
const confirmWait = time.Second

// asking is the questions to one node. One exchange is on its way at a time and carries all groups that waited for it: a snapshot round asks
// each node once, and not once a shard. A question never joins an exchange that has begun, whose answer may be older than it.
type asking struct {
	waiting []*question
	running bool
}

type question struct {
	group transport.Group
	done  chan struct{} // closed when vote and err are there
	vote  replica.Vote
	err   error
}

// Confirm asks a voter for its word, in an exchange that begins after the call. A node without a replica of the group has none to give.
func (c *Client) Confirm(ctx context.Context, node string, g transport.Group) (replica.Vote, error) {
	q := &question{group: g, done: make(chan struct{})}
	if err := c.enqueue(node, q); err != nil {
		return replica.Vote{}, err
	}
	select {
	case <-q.done:
		return q.vote, q.err
	case <-ctx.Done():
		return replica.Vote{}, errcode.From(ctx.Err())
	}
}

func (c *Client) enqueue(node string, q *question) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return errcode.New(errcode.Closing, "the node is stopping")
	}
	a := c.asking[node]
	if a == nil {
		a = &asking{}
		c.asking[node] = a
	}
	a.waiting = append(a.waiting, q)
	if !a.running {
		a.running = true
		c.wg.Go(func() { c.exchange(node, a) })
	}
	return nil
}

// exchange asks until nobody waits.
func (c *Client) exchange(node string, a *asking) {
	for {
		c.mu.Lock()
		questions := a.waiting
		a.waiting = nil
		if len(questions) == 0 {
			a.running = false
			c.mu.Unlock()
			return
		}
		c.mu.Unlock()
		c.answer(node, questions)
	}
}

func (c *Client) answer(node string, questions []*question) {
	ctx, cancel := context.WithTimeout(c.life, confirmWait)
	defer cancel()
	groups := make([]transport.Group, len(questions))
	for i, q := range questions {
		groups[i] = q.group
	}
	r, err := c.terms(ctx, node, groups)
	for i, q := range questions {
		switch {
		case err != nil:
			q.err = err
		case !r.Terms[i].Member:
			q.err = errcode.New(errcode.Unavailable, "node %s has no replica of group %s", node, q.group)
		default:
			q.vote = replica.Vote{Term: r.Terms[i].Term, Clock: r.ClockMs}
		}
		close(q.done)
	}
}
