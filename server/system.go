package server

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/quipudb/quipu/query/plan"
	"github.com/quipudb/quipu/storage/schema"
)

// sessionRowsMax bounds the rows of quipu.sessions.
const sessionRowsMax = 10_000

// systemRows gives the rows of a table of schema quipu that this node knows, in the columns of query/catalog/quipu.txt. It reads what the
// node has applied: a table of many nodes' states is as fresh as each of them.
func (n *Node) systemRows(_ context.Context, table string) ([][]plan.Value, error) {
	switch table {
	case "nodes":
		return n.nodeRows(), nil
	case "shards":
		return n.shardRows(), nil
	case "replicas":
		return n.replicaRows(), nil
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

// nodeRows is this node: others tell of themselves.
func (n *Node) nodeRows() [][]plan.Value {
	s := n.Status()
	return [][]plan.Value{{plan.TextValue(n.id.Node), plan.TextValue(Version()), plan.BoolValue(n.Ready() == nil), plan.FloatValue(s.Uptime.Seconds()),
		plan.IntValue(s.MemoryBytes), plan.IntValue(s.ResidentBytes), plan.IntValue(s.DiskFreeBytes), plan.IntValue(s.Cells)}}
}

// shardRows has a row for each run of slots that one shard owns.
func (n *Node) shardRows() [][]plan.Value {
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
		out = append(out, []plan.Value{plan.IntValue(int64(m.Owner[first])), plan.IntValue(int64(first)), plan.IntValue(int64(last))})
		first = last + 1
	}
	return out
}

// replicaRows are the groups that this node has a replica of; the meta group is called meta.
func (n *Node) replicaRows() [][]plan.Value {
	var out [][]plan.Value
	for _, g := range n.Status().Groups {
		out = append(out, []plan.Value{plan.TextValue(g.Group), plan.TextValue(n.id.Node), plan.TextValue(g.State), unsigned(g.Term),
			unsigned(g.LastIndex), unsigned(g.Commit), unsigned(g.Applied), unsigned(g.Durable)})
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
