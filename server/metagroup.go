package server

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"github.com/quipudb/quipu/fsm"
	"github.com/quipudb/quipu/fsm/counter"
	"github.com/quipudb/quipu/fsm/meta"
	"github.com/quipudb/quipu/proto/command/v1"
	"github.com/quipudb/quipu/server/errcode"
	"github.com/quipudb/quipu/server/router"
	"github.com/quipudb/quipu/server/rpc"
	"github.com/quipudb/quipu/server/transport"
	"github.com/quipudb/quipu/storage/schema"
)

// view is the metadata at one revision, as the router asks for it.
type view struct{ *meta.View }

// Table finds a table by name, or nil.
func (v view) Table(name schema.Name) *schema.Table {
	t, _ := v.TableByName(name)
	return t
}

// SlotMap is that of the cluster.
func (v view) SlotMap() *schema.SlotMap { return v.Slots }

// Session finds a live session.
func (v view) Session(id uint64) (router.Session, bool) {
	s, ok := v.View.Session(id)
	return router.Session{Principal: s.Principal, Durable: s.Durable}, ok
}

func (n *Node) view() view { return view{n.machine.View()} }

// View is the newest one here.
func (n *Node) View() router.View { return n.view() }

// Refresh waits until the view here holds everything acknowledged before the call.
func (n *Node) Refresh(ctx context.Context) error {
	index, err := atLeader(ctx, n, transport.Meta, func() (uint64, error) { return n.readMeta(ctx) },
		func(node string) (uint64, error) { return n.peers.ReadMeta(ctx, node) })
	if err != nil {
		return err
	}
	_, err = n.machine.ViewAt(ctx, index)
	return err
}

// readMeta is a read index of the meta group, which this node leads.
func (n *Node) readMeta(ctx context.Context) (uint64, error) {
	index, _, err := n.meta.ReadIndex(ctx)
	if err != nil {
		return 0, err
	}
	return index, n.meta.Gate().Pass(ctx, index)
}

// metaCommand has the meta group's leader propose and turns a refusal into an error. The result is given in both cases, once the view here
// has it. UNAVAILABLE, and whatever ends ctx, leave the outcome unknown.
func (n *Node) metaCommand(ctx context.Context, c command.Command) (*meta.Result, error) {
	if !n.meta.Alone() {
		c = n.onlyOnce(c)
	}
	r, err := atLeader(ctx, n, transport.Meta, func() (*meta.Result, error) { return n.proposeMeta(ctx, c) },
		func(node string) (*meta.Result, error) { return n.peers.ProposeMeta(ctx, node, c) })
	if err != nil {
		return nil, err
	}
	if _, err := n.machine.ViewAt(ctx, r.Index); err != nil {
		return nil, err
	}
	if r.Refusal != nil && r.Refusal.Code == fsm.Stale { // by no command but Once
		return r, errcode.New(errcode.Unavailable, "whether the change took effect is not known: %s", r.Refusal.Message)
	}
	if r.Refusal != nil {
		return r, refusal(r.Refusal)
	}
	return r, nil
}

// onlyOnce makes a command one that may be proposed again when its outcome is not known. The others are not proposed again: theirs is the
// caller's to find out, who names a version that it changes, or a name that there cannot be twice.
func (n *Node) onlyOnce(c command.Command) command.Command {
	switch c.Kind() {
	case command.KindOpenSession, command.KindCloseSession, command.KindLease, command.KindPutNode, command.KindSetNodeState, command.KindSetReplicas:
		o := &command.Once{Since: n.machine.View().Revision, Command: c}
		_, _ = rand.Read(o.ID[:]) // never fails
		return o
	}
	return c
}

// proposeMeta proposes to the meta group, which this node leads.
func (n *Node) proposeMeta(ctx context.Context, c command.Command) (*meta.Result, error) {
	answer, _, err := n.meta.Propose(ctx, c)
	if err != nil {
		return nil, err
	}
	r, ok := answer.(*meta.Result)
	if !ok {
		return nil, fmt.Errorf("server: the meta group answered %v with a %T", c.Kind(), answer)
	}
	return r, nil
}

func notHere(id schema.ShardID) error {
	return errcode.New(errcode.NotLeader, "this node has no replica of shard %d", id).After(50 * time.Millisecond)
}

// CatchUp makes a shard apply the definition of a table, which is in the view here.
func (n *Node) CatchUp(ctx context.Context, id schema.ShardID, _ *schema.Table) error {
	return n.followAt(ctx, id, n.machine.View().Revision)
}

// keyRecord reads a shard's answer to KeyBegin and KeyFinish.
func keyRecord(answer any) (router.KeyRecord, error) {
	if r, ok := answer.(router.KeyRecord); ok { // of another node, which has read it
		return r, nil
	}
	r, ok := answer.(*counter.KeyResult)
	if !ok {
		return router.KeyRecord{}, fmt.Errorf("server: a shard answered a key with a %T", answer)
	}
	if r.Refusal != nil {
		return router.KeyRecord{}, refusal(r.Refusal)
	}
	return router.KeyRecord{ID: r.ID, Done: r.Done, Response: r.Response, Expires: r.Expires}, nil
}

// Write counts a batch.
func (n *Node) Write(ctx context.Context, b *router.Batch) (*router.Result, error) {
	if err := n.alive(); err != nil {
		return nil, err
	}
	return n.router.Write(ctx, b)
}

// Begin takes a single observation on its way, if that needs no waiting.
func (n *Node) Begin(b *router.Batch) rpc.Flight {
	if n.alive() != nil {
		return nil
	}
	if s := n.router.Begin(b); s != nil {
		return s
	}
	return nil
}

// expired is the answer to a keep-alive of sessions that are gone.
func expired(ids []uint64) error {
	return errcode.New(errcode.SessionExpired, "sessions %v have expired or were never opened", ids).
		WithHint("what was sent under them and not acknowledged may have been counted; open a new session for new batches only")
}
