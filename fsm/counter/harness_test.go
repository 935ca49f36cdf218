package counter

import (
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/raft"

	"github.com/quipudb/quipu/fsm"
	"github.com/quipudb/quipu/proto/command/v1"
	"github.com/quipudb/quipu/storage"
	"github.com/quipudb/quipu/storage/schema"
)

const t0 = 1_700_000_000_000 // log time at which tests start, Unix milliseconds

// rig is one replica: machine, store and bridge on a file system in memory.
type rig struct {
	t      testing.TB
	fs     *vfs.MemFS
	store  *storage.Store
	m      *Machine
	bridge *fsm.Bridge
	index  uint64
	halted error
}

func newRig(t testing.TB) *rig {
	r := &rig{t: t, fs: vfs.NewCrashableMem()}
	if err := r.fs.MkdirAll("db", 0o755); err != nil {
		t.Fatal(err)
	}
	root, err := r.fs.OpenDir("")
	if err == nil {
		err = root.Sync() // the node makes group directories durable before it uses them
	}
	if err != nil {
		t.Fatal(err)
	}
	r.open()
	t.Cleanup(func() { _ = r.store.Close() })
	return r
}

func (r *rig) open() {
	r.t.Helper()
	var err error
	r.store, err = storage.Open(storage.Options{Dir: "db", FS: r.fs, CheckpointEvery: -1})
	if err != nil {
		r.t.Fatal(err)
	}
	r.m = New()
	r.bridge, err = fsm.NewBridge(r.m, r.store, fsm.Options{Halt: func(err error) { r.halted = err }})
	if err != nil {
		r.t.Fatal(err)
	}
	r.index = r.store.Applied().Index
}

// crash cuts the power: what was not synced is lost.
func (r *rig) crash() {
	r.t.Helper()
	r.fs = r.fs.CrashClone(vfs.CrashCloneCfg{})
	_ = r.store.Close()
	r.open()
}

func (r *rig) checkpoint() {
	r.t.Helper()
	if err := r.store.Checkpoint(context.Background()); err != nil {
		r.t.Fatal(err)
	}
}

// hash is a digest of the whole logical state: rows, definitions, dictionaries, cells.
func (r *rig) hash() string {
	r.t.Helper()
	return fmt.Sprintf("%x", sha256.Sum256([]byte(dump(r.t, r.store))))
}

func dump(t testing.TB, store *storage.Store) string {
	t.Helper()
	var b strings.Builder
	store.Update(func(tx *storage.Tx) {
		for k, v := range tx.Rows(nil) {
			fmt.Fprintf(&b, "row %x %x\n", k, v)
		}
		for _, ts := range tx.Tables() {
			fmt.Fprintf(&b, "table %+v\n", *ts.Schema())
		}
	})
	snap, err := store.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	defer snap.Release()
	for _, id := range snap.Tables() {
		view, _ := snap.Table(id)
		dims := make([]int, len(view.Schema().Dims))
		for d := range dims {
			dims[d] = d
			for code := range view.DictLen(d) {
				fmt.Fprintf(&b, "%d/%d %q\n", id, d, view.Value(d, code+1))
			}
		}
		b.WriteString(strings.Join(cellLines(t, view, dims), ""))
	}
	return b.String()
}

func cellLines(t testing.TB, view *storage.TableView, dims []int) (lines []string) {
	for _, seg := range view.Segments(storage.Filter{}, 1) {
		err := seg.Scan(context.Background(), dims, func(c *storage.Chunk) error {
			for i := range c.Len {
				line := fmt.Sprintf("%d:", c.Window)
				for d := range dims {
					line += fmt.Sprintf(" %d", c.Codes[d][i])
				}
				lines = append(lines, fmt.Sprintf("%s = %d\n", line, c.Counts[i]))
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	slices.Sort(lines)
	return lines
}

// data applies the bytes of commands as one batch.
func (r *rig) data(entries ...[]byte) []any {
	logs := make([]*raft.Log, len(entries))
	for i, data := range entries {
		r.index++
		logs[i] = &raft.Log{Index: r.index, Term: 1, Type: raft.LogCommand, Data: data}
	}
	return r.bridge.ApplyBatch(logs)
}

func (r *rig) apply(c command.Command) any {
	r.t.Helper()
	data, err := command.Encode(c)
	if err != nil {
		r.t.Fatal(err)
	}
	return r.data(data)[0]
}

// must applies a command that is accepted.
func (r *rig) must(c command.Command) {
	r.t.Helper()
	if refusal, ok := r.apply(c).(*fsm.Refusal); !ok || refusal != nil {
		r.t.Fatalf("%v: %v", c.Kind(), refusal)
	}
}

func (r *rig) add(stamp int64, parts []command.Part, groups ...cells) *AddResult {
	r.t.Helper()
	return r.data(r.encode(stamp, parts, groups...))[0].(*AddResult)
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
		dict := r.store.Dict(c.table)
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
	r.store.Update(func(tx *storage.Tx) {
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
