package counter

import (
	"fmt"
	"testing"
	"time"

	"github.com/quipudb/quipu/fsm"
	"github.com/quipudb/quipu/fsm/fsmtest"
	"github.com/quipudb/quipu/proto/command/v1"
	"github.com/quipudb/quipu/storage"
	"github.com/quipudb/quipu/storage/schema"
)

const t0 = 1_700_000_000_000 // log time at which tests start, Unix milliseconds

// rig is one replica of a shard.
type rig struct {
	*fsmtest.Rig
	t testing.TB
	m *Machine
}

func newRig(t testing.TB) *rig {
	r := &rig{t: t}
	r.Rig = fsmtest.New(t, func() fsm.Machine {
		r.m = New()
		return r.m
	})
	return r
}

// must applies a command that is accepted.
func (r *rig) must(c command.Command) {
	r.t.Helper()
	if refusal, ok := r.Apply(c).(*fsm.Refusal); !ok || refusal != nil {
		r.t.Fatalf("%v: %v", c.Kind(), refusal)
	}
}

func (r *rig) add(stamp int64, parts []command.Part, groups ...cells) *AddResult {
	r.t.Helper()
	return r.Batch(r.encode(stamp, parts, groups...))[0].(*AddResult)
}

// cells are rows of values for a table; the value "\x00" is NULL.
type cells struct {
	table   schema.TableID
	version uint64
	rows    []cell
}

type cell struct {
	window int64
	values []string
	delta  int64
}

// encode builds an entry as a proposer would, from the dictionaries as they are now.
func (r *rig) encode(stamp int64, parts []command.Part, groups ...cells) []byte {
	r.t.Helper()
	b := command.NewBuilder()
	for _, p := range parts {
		b.Part(p)
	}
	for _, c := range groups {
		dict := r.Store.Dict(c.table)
		known := make([]uint32, len(c.rows[0].values))
		for d := range known {
			if dict != nil {
				known[d] = dict.Len(d)
			}
		}
		g := b.Group(c.table, c.version, known)
		for _, row := range c.rows {
			codes := make([]uint32, len(row.values))
			for d, v := range row.values {
				if v == null {
					continue
				}
				applied := uint32(0)
				if dict != nil {
					applied, _ = dict.Lookup(d, v)
				}
				codes[d] = g.Code(d, v, applied)
			}
			if err := g.Add(row.window, codes, row.delta); err != nil {
				r.t.Fatal(err)
			}
		}
	}
	data, err := b.Finish(stamp)
	if err != nil {
		r.t.Fatal(err)
	}
	return data
}

const null = "\x00"

// count is what a cell holds.
func (r *rig) count(table schema.TableID, window int64, values ...string) (n int64) {
	r.Store.Update(func(tx *storage.Tx) {
		ts := tx.Table(table)
		codes := make([]uint32, len(values))
		for d, v := range values {
			if v == null {
				continue
			}
			code, ok := ts.Lookup(d, v)
			if !ok {
				return
			}
			codes[d] = code
		}
		n = ts.Get(window, codes)
	})
	return n
}

func ordinary(session, seq uint64) command.Part {
	return command.Part{Kind: command.Ordinary, Session: session, Seq: seq, MapVersion: 1}
}

func one(p command.Part) []command.Part { return []command.Part{p} }

func text(name string) schema.Dimension {
	return schema.Dimension{Name: name, Type: schema.Text, Default: schema.Null}
}

func plainTable(id schema.TableID) schema.Table {
	return schema.Table{ID: id, Version: 1, Measures: 1, Name: schema.Name{Database: "quipu", Schema: "public", Table: fmt.Sprintf("t%d", id)},
		Dims: []schema.Dimension{text("a"), text("b")}, PartitionBy: []int{0}}
}

func windowedTable(id schema.TableID) schema.Table {
	t := plainTable(id)
	t.Window, t.Retention = time.Hour, 48*time.Hour
	return t
}

// ready is a rig that owns all slots and has table 7, plain, and table 8, windowed.
func ready(t testing.TB) *rig {
	r := newRig(t)
	r.must(&command.TermStart{Timed: command.Timed{Stamp: t0}})
	r.must(command.SlotsOf(schema.EvenSlotMap(1), 0))
	r.must(&command.SetTable{Table: plainTable(7)})
	r.must(&command.SetTable{Table: windowedTable(8)})
	return r
}

func plain(rows ...cell) cells { return cells{7, 1, rows} }

func ab(a, b string, delta int64) cell { return cell{0, []string{a, b}, delta} }
