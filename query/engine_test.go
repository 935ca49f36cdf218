package query_test

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/quipudb/quipu/proto/slot"
	"github.com/quipudb/quipu/query"
	"github.com/quipudb/quipu/query/exec"
	"github.com/quipudb/quipu/query/plan"
	"github.com/quipudb/quipu/server/errcode"
	"github.com/quipudb/quipu/storage"
	"github.com/quipudb/quipu/storage/schema"
)

// world is what an Engine needs, over stores in memory: a catalog, a writer that puts every cell on the shard of its slot, and snapshots.
type world struct {
	tb     testing.TB
	stores []*storage.Store
	disks  []vfs.FS
	slots  *schema.SlotMap
	tables map[schema.Name]*schema.Table
	nextID schema.TableID
	engine *query.Engine
	now    time.Time
	late   func(context.Context)                                                      // runs before each snapshot, if it is set
	remote func(*storage.Snapshot, *plan.Fragment, exec.Options) (exec.Worker, error) // opens fragments, if it is set
}

// epoch is the time of every world, until a test lets it pass.
var epoch = time.Date(2024, 5, 1, 12, 30, 0, 0, time.UTC)

func newWorld(tb testing.TB, shards int) *world {
	w := &world{tb: tb, now: epoch, slots: schema.EvenSlotMap(shards), tables: map[schema.Name]*schema.Table{}, nextID: 1}
	memory := storage.NewMemory(1 << 30)
	w.stores = make([]*storage.Store, shards)
	for i := range shards {
		w.disks = append(w.disks, vfs.NewMem())
		w.open(i, memory)
	}
	tb.Cleanup(func() {
		for _, s := range w.stores {
			s.Close()
		}
	})
	w.engine = query.New(query.Options{Catalog: w, Source: w, Writer: w, DDL: w, Now: func() time.Time { return w.now }})
	return w
}

func (w *world) open(shard int, memory *storage.Memory) {
	s, err := storage.Open(storage.Options{Dir: "shard", FS: w.disks[shard], Memory: memory, CheckpointEvery: -1})
	if err != nil {
		w.tb.Fatal(err)
	}
	w.stores[shard] = s
}

// evict makes every read come from Pebble: the stores are opened anew, with memory for no block.
func (w *world) evict() {
	memory := storage.NewMemory(1)
	for i, s := range w.stores {
		if err := s.Checkpoint(w.tb.Context()); err != nil {
			w.tb.Fatal(err)
		}
		if err := s.Close(); err != nil {
			w.tb.Fatal(err)
		}
		w.open(i, memory)
	}
}

func (w *world) View(context.Context, bool) (plan.Catalog, error) { return w, nil }
func (w *world) Shards() int                                      { return len(w.stores) }
func (w *world) SlotMap() *schema.SlotMap                         { return w.slots }
func (w *world) Table(name schema.Name) *schema.Table             { return w.tables[name] }

func (w *world) Tables(database string) []*schema.Table {
	var out []*schema.Table
	for _, t := range w.tables {
		if t.Name.Database == database {
			out = append(out, t)
		}
	}
	slices.SortFunc(out, func(a, b *schema.Table) int { return strings.Compare(a.Name.Table, b.Name.Table) })
	return out
}

func (w *world) Snapshot(ctx context.Context, r query.Read) (*query.Snapshot, error) {
	if w.late != nil {
		w.late(ctx)
	}
	var snaps []*storage.Snapshot
	out := &query.Snapshot{Taken: epoch, ID: schema.SnapshotID{MetaTerm: 1, Round: 2, Catalog: 3}}
	for i, s := range w.stores {
		if r.Shards != nil && !slices.Contains(r.Shards, schema.ShardID(i)) {
			continue
		}
		snap, err := s.Snapshot()
		if err != nil {
			return nil, err
		}
		snaps = append(snaps, snap)
		out.Shards = append(out.Shards, exec.Shard{ID: schema.ShardID(i), Snapshot: opened{w, snap}})
	}
	out.Release = func() {
		for _, s := range snaps {
			s.Release()
		}
	}
	return out, nil
}

// opened is a shard that opens fragments as its world does.
type opened struct {
	w    *world
	snap *storage.Snapshot
}

func (o opened) Open(f *plan.Fragment, opt exec.Options) (exec.Worker, error) {
	if o.w.remote != nil {
		return o.w.remote(o.snap, f, opt)
	}
	return exec.OpenRun(o.snap, f, opt)
}

// Insert counts rows one by one, as the shards would: nothing falls below zero or beyond int64.
func (w *world) Insert(_ context.Context, _ string, b *query.Batch) (string, error) {
	at := map[int]*schema.Dimension{}
	for d := range b.Table.Dims {
		at[d] = &b.Table.Dims[d]
	}
	touched := map[schema.ShardID]bool{}
	for row, count := range b.Counts {
		values := make([]schema.Value, len(b.Table.Dims))
		for d := range values {
			values[d] = at[d].Default
		}
		for _, c := range b.Cols {
			values[c.Dim] = c.Values[c.Codes[row]]
		}
		h := slot.Start(uint64(b.Table.ID))
		for _, d := range b.Table.PartitionBy {
			h = slot.Add(h, slot.HashValue(values[d].Text, values[d].Null))
		}
		owner := w.slots.Owner[slot.Finish(h)]
		touched[owner] = true
		if err := w.count(owner, b.Table, b.Table.Bucket(b.Events[row]), values, count); err != nil {
			return "", err
		}
	}
	var parts []string
	for i := range w.stores {
		if touched[schema.ShardID(i)] {
			parts = append(parts, fmt.Sprintf("%d:%d", i, len(b.Counts)))
		}
	}
	return strings.Join(parts, ","), nil
}

func (w *world) count(owner schema.ShardID, t *schema.Table, window int64, values []schema.Value, count int64) (err error) {
	w.stores[owner].Update(func(tx *storage.Tx) {
		state := tx.Table(t.ID)
		codes := make([]uint32, len(values))
		for d, v := range values {
			if !v.Null {
				codes[d] = state.Intern(d, v.Text)
			}
		}
		switch old := state.Get(window, codes); {
		case count < 0 && old+count < 0:
			err = errcode.New(errcode.BelowZero, "the count would fall to %d", old+count)
		case count > 0 && old > math.MaxInt64-count:
			err = errcode.New(errcode.Overflow, "the count would leave the range of int64")
		case count != 0:
			state.Add(window, codes, count)
		}
	})
	return err
}

func (w *world) put(t *schema.Table) error {
	var err error
	for _, s := range w.stores {
		s.Update(func(tx *storage.Tx) { err = tx.SetTable(t) })
		if err != nil {
			return err
		}
	}
	w.tables[t.Name] = t
	return nil
}

func (w *world) CreateTable(_ context.Context, _ string, t *schema.Table, ifNotExists bool) error {
	if w.tables[t.Name] != nil {
		if ifNotExists {
			return nil
		}
		return errcode.New(errcode.Exists, "table %q already exists", t.Name.Table)
	}
	t = t.Clone()
	t.ID, t.Version, t.Measures = w.nextID, 1, 1
	w.nextID++
	return w.put(t)
}

func (w *world) AlterTable(_ context.Context, _ string, name schema.Name, c plan.TableChange) error {
	t := w.tables[name].Clone()
	t.Version++
	t.Dims = append(t.Dims, c.AddDims...)
	return w.put(t)
}

func (w *world) DropTable(_ context.Context, _ string, name schema.Name, ifExists bool) error {
	t := w.tables[name]
	if t == nil {
		return nil
	}
	for _, s := range w.stores {
		s.Update(func(tx *storage.Tx) { tx.DropTable(t.ID) })
	}
	delete(w.tables, name)
	return nil
}

func (w *world) TruncateTable(ctx context.Context, principal string, name schema.Name) error {
	t := w.tables[name]
	if err := w.DropTable(ctx, principal, name, false); err != nil {
		return err
	}
	return w.CreateTable(ctx, principal, t, false)
}

func (w *world) DropWindows(_ context.Context, _ string, name schema.Name, before int64) error {
	for _, s := range w.stores {
		s.Update(func(tx *storage.Tx) { tx.Table(w.tables[name].ID).DropWindows(before) })
	}
	return nil
}

// answer is a sink that keeps everything.
type answer struct {
	columns []plan.Column
	rows    [][]plan.Value
	ends    []*query.End
}

func (a *answer) Columns(columns []plan.Column) error { a.columns = columns; return nil }
func (a *answer) Row(values []plan.Value) error {
	a.rows = append(a.rows, slices.Clone(values))
	return nil
}
func (a *answer) End(e *query.End) error {
	end := *e
	a.ends = append(a.ends, &end)
	return nil
}

// run runs text under settings, written as name, value, name, value.
func (w *world) run(text string, settings ...string) (*answer, error) {
	r := query.Request{SQL: text, Settings: map[string]string{}}
	for i := 0; i < len(settings); i += 2 {
		r.Settings[settings[i]] = settings[i+1]
	}
	a := &answer{}
	return a, w.engine.Run(context.Background(), r, a)
}

// must is run for what cannot fail.
func (w *world) must(text string, settings ...string) *answer {
	w.tb.Helper()
	a, err := w.run(text, settings...)
	if err != nil {
		w.tb.Fatalf("%s: %v", text, err)
	}
	return a
}

// cells are the rows as text, NULL spelled out.
func (a *answer) cells() [][]string {
	out := make([][]string, len(a.rows))
	for i, row := range a.rows {
		for _, v := range row {
			text := v.String()
			if v.IsNull() {
				text = "NULL"
			}
			out[i] = append(out[i], text)
		}
	}
	return out
}
