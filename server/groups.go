package server

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/quipudb/quipu/server/errcode"
	"github.com/quipudb/quipu/server/replica"
	"github.com/quipudb/quipu/server/transport"
	"github.com/quipudb/quipu/storage/schema"
)

func shardGroup(i int) transport.Group { return transport.Shard(schema.ShardID(i)) }

func shardDir(id schema.ShardID) string { return filepath.Join("shards", strconv.Itoa(int(id))) }

// held are the replicas of shards here, by shard.
func (n *Node) held() []*shard {
	n.groupsMu.RLock()
	defer n.groupsMu.RUnlock()
	all := make([]*shard, 0, len(n.shards))
	for _, s := range n.shards {
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b *shard) int { return int(a.id) - int(b.id) })
	return all
}

// local is the replica of a shard here, or nil.
func (n *Node) local(id schema.ShardID) *shard {
	n.groupsMu.RLock()
	defer n.groupsMu.RUnlock()
	return n.shards[id]
}

// replica is this node's member of a group, or nil.
func (n *Node) replica(g transport.Group) *replica.Replica {
	n.groupsMu.RLock()
	defer n.groupsMu.RUnlock()
	if g == transport.Meta {
		return n.meta
	}
	if s := n.shards[schema.ShardID(g-1)]; s != nil {
		return s.replica
	}
	return nil
}

// replicas are this node's members of groups, the meta group's first.
func (n *Node) replicas() []*replica.Replica {
	all := []*replica.Replica{n.meta}
	for _, s := range n.held() {
		all = append(all, s.replica)
	}
	return all
}

// openShard opens the replica of a shard. One that was removed from its group while this node was down is deleted.
func (n *Node) openShard(id schema.ShardID, mayBeEmpty bool) error {
	o, err := n.group(transport.Shard(id), shardDir(id), mayBeEmpty)
	if err != nil {
		return err
	}
	s, err := openShard(id, o, n.wake)
	if errors.Is(err, replica.ErrRemoved) && n.book.isKnown() {
		n.cfg.Logger.Info("this node's replica was removed from its group", "group", transport.Shard(id).String())
		return n.forget(id)
	}
	if err != nil {
		return err
	}
	n.groupsMu.Lock()
	defer n.groupsMu.Unlock()
	n.shards[id] = s
	n.wake() // it may lead already
	delete(n.hints, transport.Shard(id))
	return nil
}

// wake tells followFeed that a shard is led here since a moment.
func (n *Node) wake() {
	select {
	case n.follow <- struct{}{}:
	default:
	}
}

// openMember makes an empty replica of a group, which waits for the group's leader to add this node. One that is here stays as it is.
func (n *Node) openMember(g transport.Group) error {
	if g == transport.Meta {
		return nil // open from the start
	}
	id := schema.ShardID(g - 1)
	if int(id) >= n.id.Shards {
		return errcode.New(errcode.Internal, "there is no shard %d", id)
	}
	n.making <- struct{}{}
	defer func() { <-n.making }()
	if n.local(id) != nil {
		return nil
	}
	if err := n.book.complete(n.id.Shards); err != nil {
		return err
	}
	if holds, mayBeEmpty := n.book.holds(g); holds && !mayBeEmpty {
		return errcode.New(errcode.Conflict, "node %s was a member of group %s and has lost its replica: it must be removed from the group first", n.id.Node, g)
	}
	if err := n.cfg.Disk.RemoveAll(filepath.Join(n.cfg.DataDir, shardDir(id))); err != nil { // what an earlier membership may have left
		return err
	}
	if err := n.book.set(g, fresh); err != nil {
		return err
	}
	return n.openShard(id, true)
}

// closeMember ends the replica of a shard and deletes it. The group must have gone on without this node: a replica that is a group by itself
// stays, though there is another one elsewhere, which nothing but a mistake with Recover brings about.
func (n *Node) closeMember(g transport.Group) error {
	if g == transport.Meta {
		return errcode.New(errcode.NotSupported, "a node keeps its replica of the meta group")
	}
	n.making <- struct{}{}
	defer func() { <-n.making }()
	id := schema.ShardID(g - 1)
	s := n.local(id)
	if s == nil {
		return nil
	}
	if s.replica.Alone() {
		return errcode.New(errcode.Conflict, "node %s is the only voter of shard %d, as its replica has it", n.id.Node, id)
	}
	n.groupsMu.Lock()
	delete(n.shards, id)
	n.groupsMu.Unlock()
	if err := s.close(); err != nil {
		return fmt.Errorf("shard %d: %w", id, err)
	}
	return n.forget(id)
}

// forget strikes a replica out of the book and then deletes it. The other way round a crash would leave a member without memory.
func (n *Node) forget(id schema.ShardID) error {
	if err := errors.Join(n.book.complete(n.id.Shards), n.book.drop(transport.Shard(id))); err != nil {
		return err
	}
	return n.cfg.Disk.RemoveAll(filepath.Join(n.cfg.DataDir, shardDir(id)))
}

// settle writes down which new replicas have heard from their groups: from then on they must not be empty. It comes before any report that
// could make a voter of one.
func (n *Node) settle() error {
	for _, r := range n.replicas() {
		s := r.Status()
		g := r.Group()
		if _, mayBeEmpty := n.book.holds(g); mayBeEmpty && s.Term > 0 {
			if err := n.book.set(g, member); err != nil {
				return err
			}
		}
	}
	return nil
}
