package replica

import (
	"context"
	"time"

	"github.com/hashicorp/raft"

	"github.com/quipudb/quipu/server/errcode"
	"github.com/quipudb/quipu/server/transport"
)

// Peers asks the other nodes of the cluster.
type Peers interface {
	// Confirm asks a node, in an exchange that begins now, which term it knows of the group that it is a member of.
	Confirm(ctx context.Context, node string, g transport.Group) (Vote, error)
	// Last asks a node for the last entry of its log.
	Last(ctx context.Context, node string, g transport.Group) (Last, error)
}

// Vote is a voter's word in a confirmation.
type Vote struct {
	Term  uint64
	Clock int64 // of the voter, Unix milliseconds
}

// Vote is what this replica says to a leader that wants to know whether it still leads. A term is durable before a vote is given in it,
// so that no later leader exists as long as a majority of the voters knows no later term.
func (r *Replica) Vote() Vote { return Vote{Term: r.raft.CurrentTerm(), Clock: r.o.Now().UnixMilli()} }

// confirmation is one exchange with the voters. Calls that arrive while it runs wait for the next one: its answers may be older than they.
type confirmation struct {
	done chan struct{} // closed when term and err are there
	term uint64
	err  error
}

// ConfirmTerm asks a majority of the voters, in an exchange that begins after the call, whether they know a term later than term. Nil says
// that this replica led in term, and that nobody led in a later one, when the call began.
func (r *Replica) ConfirmTerm(ctx context.Context, term uint64) error {
	if r.Alone() {
		return r.stillLeads(term)
	}
	c := r.nextConfirmation()
	select {
	case <-c.done:
	case <-ctx.Done():
		return errcode.From(ctx.Err())
	}
	if c.err == nil && c.term != term {
		return errcode.New(errcode.NotLeader, "group %s is in term %d and no longer in %d", r.o.Group, c.term, term)
	}
	return c.err
}

func (r *Replica) stillLeads(term uint64) error {
	now, err := r.Leading()
	if err == nil && now != term {
		err = errcode.New(errcode.NotLeader, "group %s is in term %d and no longer in %d", r.o.Group, now, term)
	}
	return err
}

// nextConfirmation is the first exchange that has not begun.
func (r *Replica) nextConfirmation() *confirmation {
	r.confirmMu.Lock()
	defer r.confirmMu.Unlock()
	if r.life.Err() != nil {
		c := &confirmation{done: make(chan struct{}), err: errcode.New(errcode.Closing, "the node is stopping")}
		close(c.done)
		return c
	}
	if r.confirmNext == nil {
		r.confirmNext = &confirmation{done: make(chan struct{})}
		if !r.confirming {
			r.confirming = true
			r.wg.Go(r.confirm)
		}
	}
	return r.confirmNext
}

// confirm runs exchanges, one after the other, until nobody waits.
func (r *Replica) confirm() {
	for {
		r.confirmMu.Lock()
		c := r.confirmNext
		r.confirmNext = nil
		if c == nil {
			r.confirming = false
			r.confirmMu.Unlock()
			return
		}
		r.confirmMu.Unlock()
		c.term, c.err = r.exchange()
		close(c.done)
	}
}

// exchange asks all voters at once and ends with the majority. The term is looked at before and after: what happens in between shows.
func (r *Replica) exchange() (uint64, error) {
	term, err := r.Leading()
	if err != nil {
		return 0, err
	}
	if err := r.ask(term); err != nil {
		return 0, err
	}
	return term, r.stillLeads(term)
}

func (r *Replica) ask(term uint64) error {
	voters := r.voters()
	ctx, cancel := context.WithTimeout(r.life, r.o.Timeout)
	defer cancel()
	type answer struct {
		node string
		vote Vote
		err  error
	}
	answers := make(chan answer, len(voters)) // room for all: the slow ones are not waited for
	yes, open := 0, 0
	for _, node := range voters {
		if node == r.o.NodeID {
			yes++
			continue
		}
		open++
		r.wg.Go(func() {
			began := r.o.Now()
			v, err := r.o.Peers.Confirm(ctx, node, r.o.Group)
			if err == nil {
				r.clocks.saw(node, v.Clock, began, r.o.Now())
			}
			answers <- answer{node, v, err}
		})
	}
	var last error
	for need := len(voters)/2 + 1; yes < need; open-- {
		if open == 0 {
			return errcode.New(errcode.Unavailable, "group %s: %d of %d voters confirm the leader, %d are needed: %w", r.o.Group, yes, len(voters), need, last).
				After(100 * time.Millisecond)
		}
		switch a := <-answers; {
		case a.err != nil:
			last = a.err
		case a.vote.Term > term:
			return errcode.New(errcode.NotLeader, "node %s knows term %d of group %s, this node leads in %d", a.node, a.vote.Term, r.o.Group, term)
		default:
			yes++
		}
	}
	return nil
}

// voters are the nodes whose majority decides.
func (r *Replica) voters() []string { return votersOf(raft.Configuration{Servers: r.servers()}) }

func votersOf(c raft.Configuration) (ids []string) {
	for _, s := range c.Servers {
		if s.Suffrage == raft.Voter {
			ids = append(ids, string(s.ID))
		}
	}
	return ids
}

// Alone says that this node is the group's only voter.
func (r *Replica) Alone() bool {
	voters, self := 0, false
	for _, s := range r.servers() {
		if s.Suffrage == raft.Voter {
			voters++
			self = self || string(s.ID) == r.o.NodeID
		}
	}
	return voters == 1 && self
}

// servers is the configuration that counts: the latest in the log.
func (r *Replica) servers() []raft.Server { return r.raft.GetConfiguration().Configuration().Servers }
