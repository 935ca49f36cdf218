// Package fsmtest runs a state machine in tests as a node would: behind the bridge, on a store whose file system is in memory
// and can lose power.
package fsmtest

import (
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/raft"

	"github.com/quipudb/quipu/fsm"
	"github.com/quipudb/quipu/proto/command/v1"
	"github.com/quipudb/quipu/storage"
)

// Rig is one replica.
type Rig struct {
	T      testing.TB
	FS     *vfs.MemFS
	Store  *storage.Store
	Bridge *fsm.Bridge
	Index  uint64 // of the last entry
	Halted error

	machine func() fsm.Machine
}

// New opens a rig. machine makes a machine; it is called again at each restart.
func New(t testing.TB, machine func() fsm.Machine) *Rig {
	t.Helper()
	r := &Rig{T: t, FS: vfs.NewCrashableMem(), machine: machine}
	if err := r.FS.MkdirAll("db", 0o755); err != nil {
		t.Fatal(err)
	}
	root, err := r.FS.OpenDir("")
	if err == nil {
		err = root.Sync() // the node makes group directories durable before it uses them
	}
	if err != nil {
		t.Fatal(err)
	}
	r.open()
	t.Cleanup(func() { _ = r.Store.Close() })
	return r
}

func (r *Rig) open() {
	r.T.Helper()
	var err error
	r.Store, err = storage.Open(storage.Options{Dir: "db", FS: r.FS, CheckpointEvery: -1})
	if err != nil {
		r.T.Fatal(err)
	}
	r.Reload()
	r.Index = r.Store.Applied().Index
}

// Reload lets a new machine read the store, as after a state from elsewhere was installed.
func (r *Rig) Reload() {
	r.T.Helper()
	var err error
	if r.Bridge, err = fsm.NewBridge(r.machine(), r.Store, fsm.Options{Halt: func(err error) { r.Halted = err }}); err != nil {
		r.T.Fatal(err)
	}
}

// Crash cuts the power and starts again: what was not made durable is lost, and Index is what is left.
func (r *Rig) Crash() {
	r.T.Helper()
	r.FS = r.FS.CrashClone(vfs.CrashCloneCfg{})
	_ = r.Store.Close() // of the file system that is gone
	r.open()
}

// Checkpoint makes the state durable.
func (r *Rig) Checkpoint() {
	r.T.Helper()
	if err := r.Store.Checkpoint(context.Background()); err != nil {
		r.T.Fatal(err)
	}
}

// Batch applies the frames of commands as one batch.
func (r *Rig) Batch(frames ...[]byte) []any {
	logs := make([]*raft.Log, len(frames))
	for i, data := range frames {
		r.Index++
		logs[i] = &raft.Log{Index: r.Index, Term: 1, Type: raft.LogCommand, Data: data}
	}
	return r.Bridge.ApplyBatch(logs)
}

// Apply applies one command.
func (r *Rig) Apply(c command.Command) any {
	r.T.Helper()
	data, err := command.Encode(c)
	if err != nil {
		r.T.Fatal(err)
	}
	return r.Batch(data)[0]
}

// Hash is a digest of Dump.
func (r *Rig) Hash() string { return fmt.Sprintf("%x", sha256.Sum256([]byte(Dump(r.T, r.Store)))) }

// Dump is the whole logical state as text: rows, definitions, dictionaries, cells.
func Dump(t testing.TB, store *storage.Store) string {
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
		for d := range view.Schema().Dims {
			for code := range view.DictLen(d) {
				fmt.Fprintf(&b, "value %d.%d %q\n", id, d, view.Value(d, code+1))
			}
		}
		b.WriteString(strings.Join(Cells(t, view), ""))
	}
	return b.String()
}

// Cells is one line for each cell of a table, in order: window, values, count.
func Cells(t testing.TB, view storage.TableView) (lines []string) {
	t.Helper()
	dims := make([]int, len(view.Schema().Dims))
	for d := range dims {
		dims[d] = d
	}
	for _, seg := range view.Segments(storage.Filter{}, 1) {
		err := seg.Scan(context.Background(), dims, func(c *storage.Chunk) error {
			for i := range c.Len {
				line := fmt.Sprintf("cell %d.%d", view.Schema().ID, c.Window)
				for d := range dims {
					if c.Codes(d)[i] == 0 {
						line += " NULL"
					} else {
						line += " " + view.Value(d, c.Codes(d)[i])
					}
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
