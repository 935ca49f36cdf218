package server

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/quipudb/quipu/fsm/meta"
	"github.com/quipudb/quipu/proto/command/v1"
	"github.com/quipudb/quipu/server/errcode"
	"github.com/quipudb/quipu/server/rpc"
)

// OpenSession begins a writer's session.
func (n *Node) OpenSession(ctx context.Context, principal string, durable bool) (rpc.Session, error) {
	r, err := n.metaCommand(ctx, &command.OpenSession{Principal: principal, Durable: durable})
	if err != nil {
		return rpc.Session{}, err
	}
	return rpc.Session{ID: r.Session.ID, TTL: r.Session.TTL()}, nil
}

// KeepAlive gives sessions a full time to live again.
func (n *Node) KeepAlive(ctx context.Context, principal string, ids []uint64) error {
	v := n.machine.View()
	for _, id := range ids {
		if s, ok := v.Session(id); ok && s.Principal != principal {
			return errcode.New(errcode.SessionForeign, "session %d belongs to somebody else", id)
		}
	}
	r, err := n.metaCommand(ctx, &command.KeepAlive{IDs: ids})
	if err == nil && len(r.Ended) > 0 {
		err = expired(r.Ended)
	}
	return err
}

// CloseSession ends a session.
func (n *Node) CloseSession(ctx context.Context, principal string, id uint64) error {
	_, err := n.metaCommand(ctx, &command.CloseSession{ID: id, Principal: principal})
	return err
}

// ownSession stamps batches that come without a stamp: INSERT, and rows posted without a key. Each counts once; sent again it counts
// again, as its sender asked.
type ownSession struct {
	n *Node

	mu   sync.Mutex // guards the fields below
	id   uint64
	next uint64   // sequence numbers given out
	open []uint64 // without an answer, ascending
	room chan struct{}
}

// ownOpenMax stays below the window of a shard.
const ownOpenMax = 900

// Begin gives a stamp. End must follow.
func (o *ownSession) Begin(ctx context.Context) (session, seq, ackUpTo uint64, err error) {
	for {
		if err := o.ensure(ctx); err != nil {
			return 0, 0, 0, err
		}
		o.mu.Lock()
		if o.id != 0 && len(o.open) < ownOpenMax && (len(o.open) == 0 || o.next-o.open[0] < ownOpenMax) {
			o.next++
			o.open = append(o.open, o.next)
			session, seq, ackUpTo = o.id, o.next, o.open[0]-1
			o.mu.Unlock()
			return session, seq, ackUpTo, nil
		}
		if o.room == nil {
			o.room = make(chan struct{})
		}
		room := o.room
		o.mu.Unlock()
		select {
		case <-room:
		case <-ctx.Done():
			return 0, 0, 0, errcode.From(ctx.Err())
		}
	}
}

// End says that the stamp has had its answer, or that nobody will ask again.
func (o *ownSession) End(session, seq uint64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if session != o.id {
		return
	}
	if at, ok := slices.BinarySearch(o.open, seq); ok {
		o.open = slices.Delete(o.open, at, at+1)
	}
	if o.room != nil {
		close(o.room)
		o.room = nil
	}
}

// ensure opens the session if there is none, or if it has expired.
func (o *ownSession) ensure(ctx context.Context) error {
	o.mu.Lock()
	id := o.id
	o.mu.Unlock()
	if id != 0 {
		if _, ok := o.n.machine.View().Session(id); ok {
			return nil
		}
	}
	s, err := o.n.OpenSession(ctx, "node/"+o.n.id.Node, false)
	if err != nil {
		return err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.id == id { // else somebody else was faster, and this one expires unused
		o.id, o.next, o.open = s.ID, 0, nil
	}
	return nil
}

// keep renews the session while it is there.
func (o *ownSession) keep(ctx context.Context) {
	t := time.NewTicker(meta.OrdinaryTTL / 3)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			o.mu.Lock()
			id := o.id
			o.mu.Unlock()
			if id == 0 {
				continue
			}
			if err := o.n.KeepAlive(ctx, "node/"+o.n.id.Node, []uint64{id}); err != nil && ctx.Err() == nil {
				o.n.cfg.Logger.Warn("the node's own session could not be kept alive", "err", err)
			}
		case <-ctx.Done():
			return
		}
	}
}
