package server

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/quipudb/quipu/proto/command/v1"
	peerv1 "github.com/quipudb/quipu/proto/peer/v1"
	"github.com/quipudb/quipu/query/plan"
	"github.com/quipudb/quipu/server/transport"
	"github.com/quipudb/quipu/storage/schema"
)

// sessionRowsMax bounds the rows of quipu.sessions.
const sessionRowsMax = 10_000

// systemRows gives the rows of a table of schema quipu, in the columns of query/catalog/quipu.txt. Metadata is as this node has applied it;
// what nodes know of themselves they are asked for, all at once, within the time of an election.
func (n *Node) systemRows(ctx context.Context, table string) ([][]plan.Value, error) {
	switch table {
	case "nodes":
		return n.nodeRows(ctx), nil
	case "shards":
		return n.shardRows(ctx), nil
	case "replicas":
		return n.replicaRows(ctx), nil
	case "contexts":
		return n.contextRows(), nil
	case "sessions":
		return n.sessionRows(), nil
	case "jobs":
		return n.jobRows(), nil
	}
	return nil, nil
}

func unsigned(n uint64) plan.Value { return plan.IntValue(int64(n)) }

// reported is what a node says of itself; report is nil if it does not answer.
type reported struct {
	node   command.Node
	report *peerv1.ReportResponse
}

// reports asks every node that was not removed: one message each.
func (n *Node) reports(ctx context.Context) []reported {
	ctx, cancel := context.WithTimeout(ctx, n.cfg.Peer.Timeout)
	defer cancel()
	v := n.machine.View()
	var all []reported
	for _, node := range v.Nodes() {
		if v.NodeState(node.ID) != command.NodeRemoved {
			all = append(all, reported{node: *node})
		}
	}
	if len(all) == 0 { // a node without peers has no record
		all = []reported{{node: n.record()}}
	}
	var wg sync.WaitGroup
	for i := range all {
		wg.Go(func() {
			if r := &all[i]; r.node.ID == n.id.Node {
				r.report, _ = n.report() // a node that has stopped says nothing either
			} else {
				r.report, _ = n.peers.Report(ctx, r.node.ID, &peerv1.ReportRequest{Node: n.id.Node})
			}
		})
	}
	wg.Wait()
	return all
}

// nodeRows are all nodes. Of one that does not answer only the records of the meta group are known, and what it was last heard to be.
func (n *Node) nodeRows(ctx context.Context) (out [][]plan.Value) {
	v, others := n.machine.View(), *n.pulse.others.Load()
	for _, r := range n.reports(ctx) {
		row := []plan.Value{plan.TextValue(r.node.ID), plan.TextValue(r.node.Version), plan.BoolValue(false), plan.Null, plan.Null, plan.Null, plan.Null, plan.Null}
		if m := r.report; m != nil {
			row = []plan.Value{plan.TextValue(r.node.ID), plan.TextValue(m.Version), plan.BoolValue(m.Ready), plan.FloatValue(float64(m.UptimeMs) / 1000),
				plan.IntValue(m.MemoryBytes), plan.IntValue(m.ResidentBytes), plan.IntValue(m.DiskFreeBytes), plan.IntValue(m.Cells)}
		}
		row = append(row, plan.TextValue(v.NodeState(r.node.ID).String()))
		if h, ok := others[r.node.ID]; ok {
			row = append(row, plan.FloatValue(h.load.CPU), plan.FloatValue(h.load.MemoryFree), plan.FloatValue(float64(h.rtt.Microseconds())/1000), plan.FloatValue(h.weight()))
		} else {
			row = append(row, plan.Null, plan.Null, plan.Null, plan.Null)
		}
		out = append(out, row)
	}
	return out
}

// shardRows has a row for each run of slots that one shard owns, with who leads the shard, as far as this node can find out.
func (n *Node) shardRows(ctx context.Context) [][]plan.Value {
	ctx, cancel := context.WithTimeout(ctx, n.cfg.Peer.Timeout)
	defer cancel()
	m := n.machine.View().Slots
	if m == nil {
		return nil
	}
	var out [][]plan.Value
	for first := 0; first < schema.Slots; {
		last := first
		for last+1 < schema.Slots && m.Owner[last+1] == m.Owner[first] {
			last++
		}
		leader, voters := plan.Null, int64(0)
		if node := n.leader(ctx, transport.Shard(m.Owner[first])); node != "" {
			leader = plan.TextValue(node)
		}
		replicas := n.replicasOf(m.Owner[first])
		for _, r := range replicas {
			if r.Voter {
				voters++
			}
		}
		out = append(out, []plan.Value{plan.IntValue(int64(m.Owner[first])), plan.IntValue(int64(first)), plan.IntValue(int64(last)), leader,
			plan.IntValue(voters), plan.IntValue(int64(len(replicas)))})
		first = last + 1
	}
	return out
}

// replicaRows are the replicas of all groups at all nodes that answer; the meta group is called meta.
func (n *Node) replicaRows(ctx context.Context) (out [][]plan.Value) {
	for _, r := range n.reports(ctx) {
		for _, g := range r.report.GetGroups() {
			out = append(out, []plan.Value{plan.TextValue(transport.Group(g.Group).String()), plan.TextValue(r.node.ID), plan.TextValue(g.State), unsigned(g.Term),
				unsigned(g.LastIndex), unsigned(g.CommitIndex), unsigned(g.AppliedIndex), unsigned(g.DurableIndex)})
		}
	}
	return out
}

// contextRows has a row for each value of a record.
func (n *Node) contextRows() [][]plan.Value {
	var out [][]plan.Value
	for _, r := range n.machine.View().Contexts("") {
		for _, key := range slices.Sorted(maps.Keys(r.Values)) {
			out = append(out, []plan.Value{plan.TextValue(r.Name), unsigned(r.Version), plan.TextValue(key), plan.TextValue(r.Values[key]),
				plan.TextValue(r.ModifiedBy), plan.TimeValue(time.UnixMilli(r.ModifiedAt))})
		}
	}
	return out
}

func (n *Node) sessionRows() [][]plan.Value {
	var out [][]plan.Value
	for _, s := range n.machine.View().ListSessions(sessionRowsMax) {
		out = append(out, []plan.Value{unsigned(s.ID), plan.TextValue(s.Principal), plan.BoolValue(s.Durable)})
	}
	return out
}

// jobRows are the imports: the work that goes on without a connection.
func (n *Node) jobRows() [][]plan.Value {
	v := n.machine.View()
	var out [][]plan.Value
	for _, i := range v.Imports() {
		name := plan.Null
		if t, ok := v.Table(schema.TableID(i.Table)); ok {
			name = plan.TextValue(t.Name.Table)
		}
		out = append(out, []plan.Value{plan.TextValue(i.ID), plan.TextValue("import"), name, unsigned(i.ChunksDone), plan.IntValue(i.RowsCounted),
			plan.IntValue(i.RowsRejected), plan.BoolValue(i.Complete)})
	}
	return out
}
