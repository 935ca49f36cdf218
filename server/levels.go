package server

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/quipudb/quipu/proto/command/v1"
	"github.com/quipudb/quipu/query"
	"github.com/quipudb/quipu/query/exec"
	"github.com/quipudb/quipu/server/errcode"
	"github.com/quipudb/quipu/server/peer"
	"github.com/quipudb/quipu/server/rounds"
	"github.com/quipudb/quipu/server/transport"
	"github.com/quipudb/quipu/storage/schema"
)

// What the levels of a read promise, and why, is docs/consistency.md. In short: strict is one instant of all shards; linearizable is each
// shard at an instant of its own; session holds what a receipt names; stale is what can be had, and says how old that is.

// peekWait is how long one replica may take to answer a session or stale read before others are asked.
const peekWait = 250 * time.Millisecond

// Snapshot takes the shards that a query needs at its level.
func (d engineDoors) Snapshot(ctx context.Context, r query.Read) (*query.Snapshot, error) {
	if r.Shards == nil {
		r.Shards = d.n.allShards()
	}
	switch r.Level {
	case query.Linearizable:
		return d.n.eachShard(ctx, r, d.n.readLinearizable)
	case query.Session:
		least, err := d.n.receipt(r.MinIndex)
		if err != nil {
			return nil, err
		}
		return d.n.eachShard(ctx, r, func(ctx context.Context, id schema.ShardID) shardRead { return d.n.readSession(ctx, id, least[id]) })
	case query.Stale:
		return d.n.readStale(ctx, r)
	}
	cut, err := d.n.take(ctx, r.Shards)
	if err != nil {
		return nil, err
	}
	of := &struct {
		query.Snapshot
		one [1]exec.Shard // room for that of most queries
	}{}
	out := &of.Snapshot
	*out = query.Snapshot{Taken: cut.Taken, Release: cut.Release, ID: d.n.snapshotID(), Steps: cut.Steps, Shards: slices.Grow(of.one[:0], len(cut.Snapshots))}
	out.ID.MetaTerm, out.ID.Round = cut.Round.MetaTerm, cut.Round.Number
	for _, s := range cut.Snapshots {
		out.Shards = append(out.Shards, d.n.shardOf(s.Shard, s.Snapshot))
	}
	return out, nil
}

func (n *Node) snapshotID() schema.SnapshotID { return schema.SnapshotID{Catalog: n.view().Catalog} }

// shardOf is a snapshot of a shard as the engine runs fragments on it.
func (n *Node) shardOf(id schema.ShardID, snap rounds.Snapshot) exec.Shard {
	s := exec.Shard{ID: id, Snapshot: snap, Node: n.id.Node}
	if there, ok := snap.(interface{ Node() string }); ok {
		s.Node = there.Node()
	}
	return s
}

// shardRead is the snapshot of one shard that a weaker level takes, or why there is none.
type shardRead struct {
	snap  rounds.Snapshot
	node  string
	state rounds.State
	err   error
}

// eachShard reads shards side by side, each for itself. All of them are needed; those that cannot be read are named together.
func (n *Node) eachShard(ctx context.Context, r query.Read, read func(context.Context, schema.ShardID) shardRead) (*query.Snapshot, error) {
	taken := time.Now()
	reads := n.sideBySide(ctx, r.Shards, read)
	out := &query.Snapshot{Taken: taken, ID: n.snapshotID(), Release: func() { releaseAll(reads) }}
	var at []schema.ShardID
	var first error
	for i, id := range r.Shards {
		if err := reads[i].err; err != nil {
			if at = append(at, id); first == nil {
				first = err
			}
			continue
		}
		out.Shards = append(out.Shards, n.shardOf(id, reads[i].snap))
	}
	if first == nil {
		return out, nil
	}
	releaseAll(reads)
	if len(at) == 1 || !passing(first) {
		return nil, first
	}
	return nil, errcode.New(errcode.Unavailable, "%s cannot be read: %w", rounds.Names(at), first).WithHint("%s", errcode.From(first).Hint).After(200 * time.Millisecond)
}

func (n *Node) sideBySide(ctx context.Context, shards []schema.ShardID, read func(context.Context, schema.ShardID) shardRead) []shardRead {
	out := make([]shardRead, len(shards))
	var wg sync.WaitGroup
	for i, id := range shards {
		wg.Go(func() { out[i] = read(ctx, id) })
	}
	wg.Wait()
	return out
}

func releaseAll(reads []shardRead) {
	for _, r := range reads {
		if r.snap != nil {
			r.snap.Release()
		}
	}
}

// readLinearizable reads one shard through its leader's gate.
func (n *Node) readLinearizable(ctx context.Context, id schema.ShardID) shardRead {
	cut, err := n.take(ctx, []schema.ShardID{id})
	if err != nil {
		return shardRead{err: err}
	}
	return shardRead{snap: cut.Snapshots[0].Snapshot}
}

// receipt reads the index vector of quipu.min_index.
func (n *Node) receipt(text string) (map[schema.ShardID]uint64, error) {
	out := map[schema.ShardID]uint64{}
	if strings.TrimSpace(text) == "" {
		return out, nil
	}
	for part := range strings.SplitSeq(text, ",") {
		shard, index, ok := strings.Cut(strings.TrimSpace(part), ":")
		id, err1 := strconv.ParseUint(shard, 10, 32)
		at, err2 := strconv.ParseUint(index, 10, 64)
		if !ok || err1 != nil || err2 != nil || int(id) >= n.id.Shards {
			return nil, errcode.New(errcode.InvalidOption, "quipu.min_index %q is not of the form shard:index,shard:index", text).
				WithHint("give the receipt of a write as it came; this cluster has shards 0 to %d", n.id.Shards-1)
		}
		out[schema.ShardID(id)] = max(out[schema.ShardID(id)], at)
	}
	return out, nil
}

// readSession reads a replica that holds entry least: one chosen by weight if it is there soon, then the leader, then any other.
func (n *Node) readSession(ctx context.Context, id schema.ShardID, least uint64) shardRead {
	chosen := n.choose(id)
	if chosen != "" {
		if r := n.peekAt(ctx, chosen, id, least, leaderPause); r.err == nil {
			return r
		}
	}
	leader := n.leader(ctx, transport.Shard(id))
	if leader != "" && leader != chosen {
		if r := n.peekAt(ctx, leader, id, least, peekWait); r.err == nil {
			return r
		}
	}
	err := n.unknownReceipt(ctx, id, least)
	if err != nil {
		return shardRead{err: err}
	}
	for _, r := range n.peekAll(ctx, id, least, "") {
		if r.err == nil {
			return r
		}
		err = r.err
	}
	return shardRead{err: errcode.New(errcode.Unavailable, "shard %d: no replica that can be reached holds entry %d: %w", id, least, err).After(100 * time.Millisecond)}
}

// unknownReceipt says that the leader knows of no entry as high as a receipt names, which no receipt of this shard does. A leader that was deposed and
// does not know it has an old log too, so that a majority must have confirmed the one that is asked.
func (n *Node) unknownReceipt(ctx context.Context, id schema.ShardID, least uint64) error {
	bounded, cancel := context.WithTimeout(ctx, peekWait)
	defer cancel()
	confirmed := n.readLinearizable(bounded, id)
	if confirmed.err != nil {
		return nil
	}
	confirmed.snap.Release()
	leader := n.leader(ctx, transport.Shard(id))
	if leader == "" {
		return nil
	}
	r := n.peekAt(ctx, leader, id, 0, peekWait)
	if r.err != nil {
		return nil
	}
	r.snap.Release()
	if !r.state.Leads || r.state.Commit >= least {
		return nil
	}
	return errcode.New(errcode.ReceiptOfOther, "shard %d has not reached index %d: the receipt is of another cluster or incarnation", id, least)
}

// replicasOf are the replicas of a shard: as its log has them where it is here, else as the meta group has them on record.
func (n *Node) replicasOf(id schema.ShardID) []command.Replica {
	if s := n.local(id); s != nil {
		var out []command.Replica
		for _, m := range s.replica.Members() {
			out = append(out, command.Replica{Node: m.Node, Voter: m.Voter})
		}
		if len(out) > 0 {
			return out
		}
	}
	return n.machine.View().Replicas(uint32(transport.Shard(id)))
}

// choose picks the replica that is to serve a shard, by weight, or "" if no node has been heard of lately.
func (n *Node) choose(id schema.ShardID) string {
	weights, others, now := map[string]float64{}, *n.pulse.others.Load(), time.Now()
	for _, r := range n.replicasOf(id) {
		if h, ok := others[r.Node]; ok && now.Sub(h.at) < silentFrom && !n.picker.lags(id, r.Node) {
			weights[r.Node] = h.weight()
		}
	}
	return n.picker.pick(id, weights)
}

// at is who speaks for a node.
func (n *Node) at(node string) (rounds.Participant, error) {
	if node == n.id.Node {
		return n.here, nil
	}
	return n.shardsOf.Node(node)
}

// server is the replica that opens a shard's snapshot in a round, or nil for its leader.
func (n *Node) server(id schema.ShardID) rounds.Participant {
	if !n.several.Load() {
		return nil
	}
	node := n.choose(id)
	if node == "" || node == n.leaderHint(id) {
		return nil
	}
	p, err := n.at(node)
	if err != nil {
		return nil
	}
	return p
}

// leaderHint is who leads a shard as far as this node knows without asking.
func (n *Node) leaderHint(id schema.ShardID) string {
	if r := n.knowing(transport.Shard(id)); r != nil {
		return r.Leader()
	}
	return n.hint(transport.Shard(id))
}

// late takes in that a replica did not reach a round's index in time.
func (n *Node) late(id schema.ShardID, p rounds.Participant) {
	node := n.id.Node
	if there, ok := p.(*peer.Node); ok {
		node = there.ID()
	}
	n.picker.miss(id, node)
}

// peekAt reads a shard as one replica has it.
func (n *Node) peekAt(ctx context.Context, node string, id schema.ShardID, least uint64, wait time.Duration) shardRead {
	p, err := n.at(node)
	if err != nil {
		return shardRead{err: err}
	}
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	r := shardRead{node: node}
	r.snap, r.state, r.err = p.Peek(ctx, id, least)
	return r
}

// peekAll reads a shard at every replica but one, side by side. What is of no use is the caller's to release.
func (n *Node) peekAll(ctx context.Context, id schema.ShardID, least uint64, but string) []shardRead {
	var nodes []string
	for _, r := range n.replicasOf(id) {
		if r.Node != but {
			nodes = append(nodes, r.Node)
		}
	}
	if len(nodes) == 0 && but != n.id.Node && n.local(id) != nil { // nothing on record: a cluster of one
		nodes = []string{n.id.Node}
	}
	out := make([]shardRead, len(nodes))
	var wg sync.WaitGroup
	for i, node := range nodes {
		wg.Go(func() { out[i] = n.peekAt(ctx, node, id, least, peekWait) })
	}
	wg.Wait()
	// The one to keep comes first: the freshest. The others are let go.
	slices.SortStableFunc(out, func(a, b shardRead) int { return compareReads(a, b) })
	for i := range out {
		if i > 0 && out[i].snap != nil {
			out[i].snap.Release()
			out[i] = shardRead{node: out[i].node, state: out[i].state, err: errNotFreshest}
		}
	}
	return out
}

var errNotFreshest = errors.New("server: another replica is fresher")

func compareReads(a, b shardRead) int {
	switch {
	case a.err != nil || b.err != nil:
		return boolInt(a.err != nil) - boolInt(b.err != nil)
	case a.state.Age != b.state.Age:
		return int(min(1, max(-1, a.state.Age-b.state.Age)))
	}
	return int(min(1, max(-1, int64(b.state.Applied)-int64(a.state.Applied))))
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// readStale reads each shard at any replica that can be reached. Shards without one are left out and named; a shard whose replicas are all
// older than the reader takes is an error.
func (n *Node) readStale(ctx context.Context, r query.Read) (*query.Snapshot, error) {
	reads := n.sideBySide(ctx, r.Shards, func(ctx context.Context, id schema.ShardID) shardRead { return n.readAny(ctx, id, r.MaxStaleness) })
	out := &query.Snapshot{Taken: time.Now(), ID: n.snapshotID(), Release: func() { releaseAll(reads) }, Fresh: &query.Freshness{}}
	var old []schema.ShardID
	var oldest time.Duration
	for i, id := range r.Shards {
		s := &reads[i]
		if s.err != nil {
			out.Fresh.Missing = append(out.Fresh.Missing, id)
			continue
		}
		if r.MaxStaleness > 0 && s.state.Age > r.MaxStaleness {
			old, oldest = append(old, id), max(oldest, s.state.Age)
			continue
		}
		out.Shards = append(out.Shards, n.shardOf(id, s.snap))
		out.Fresh.Shards = append(out.Fresh.Shards, query.ShardFreshness{Shard: id, Node: s.node, Index: s.state.Applied, Age: s.state.Age,
			Lag: s.state.Commit - min(s.state.Commit, s.state.Applied), Rate: s.state.Rate, Entries: n.voterEntries(id)})
	}
	if at := append(old, out.Fresh.Missing...); len(at) > 0 && (r.MaxStaleness > 0 || len(out.Shards) == 0) {
		releaseAll(reads)
		if len(old) == 0 {
			return nil, errcode.New(errcode.Unavailable, "%s: no replica can be reached", rounds.Names(at)).After(200 * time.Millisecond)
		}
		return nil, errcode.New(errcode.Unavailable, "%s: the freshest state that can be reached is %v old, quipu.max_staleness is %v",
			rounds.Names(at), oldest.Round(time.Millisecond), r.MaxStaleness).WithHint("raise quipu.max_staleness, or try again later").After(200 * time.Millisecond)
	}
	return out, nil
}

// readAny reads a shard at the replica chosen by weight, or, where that one cannot be reached or is too old, at the freshest.
func (n *Node) readAny(ctx context.Context, id schema.ShardID, most time.Duration) shardRead {
	chosen := n.choose(id)
	var r shardRead
	if chosen != "" {
		if r = n.peekAt(ctx, chosen, id, 0, peekWait); r.err == nil && (most == 0 || r.state.Age <= most) {
			return r
		}
	}
	others := n.peekAll(ctx, id, 0, chosen)
	if len(others) == 0 {
		if r.snap == nil && r.err == nil {
			r.err = fmt.Errorf("server: shard %d has no replica on record", id)
		}
		return r
	}
	return fresher(r, others[0])
}

// fresher is the better of two reads of a shard; the other one is let go.
func fresher(a, b shardRead) shardRead {
	if a.snap == nil || b.snap != nil && b.state.Age < a.state.Age {
		a, b = b, a
	}
	if b.snap != nil {
		b.snap.Release()
	}
	return a
}
