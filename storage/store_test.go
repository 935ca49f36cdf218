package storage

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/quipudb/quipu/storage/schema"
)

// testTable is a table with n dimensions d0, d1, …
func testTable(id schema.TableID, n int) *schema.Table {
	t := &schema.Table{ID: id, Version: 1, Measures: 1, Name: schema.Name{Database: "quipu", Schema: "public", Table: fmt.Sprint("t", id)}}
	for d := range n {
		t.Dims = append(t.Dims, schema.Dimension{Name: fmt.Sprint("d", d), Type: schema.Text, Default: schema.Null})
	}
	return t
}

func mustOpen(t testing.TB, o Options) *Store {
	t.Helper()
	if o.CheckpointEvery == 0 {
		o.CheckpointEvery = -1
	}
	if o.Dir == "" {
		o.Dir = "group"
	}
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func mustClose(t testing.TB, s *Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// contents is a snapshot's cells of one table as text: "window: value, value" → count.
func contents(t testing.TB, n *Snapshot, id schema.TableID) map[string]int64 {
	t.Helper()
	v, ok := n.Table(id)
	if !ok {
		return nil
	}
	dims := make([]int, len(v.Schema().Dims))
	for d := range dims {
		dims[d] = d
	}
	all := make(map[string]int64)
	for _, g := range v.Segments(Filter{}, 3) {
		err := g.Scan(context.Background(), dims, func(c *Chunk) error {
			for i, count := range c.Counts {
				key := fmt.Sprint(c.Window, ":")
				for d, col := range c.Columns() {
					if col[i] == 0 {
						key += " NULL"
					} else {
						key += " " + v.Value(d, col[i])
					}
				}
				if _, twice := all[key]; twice || count == 0 {
					t.Errorf("cell %s came twice or with count 0", key)
				}
				all[key] = count
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return all
}

func now(t testing.TB, s *Store, id schema.TableID) map[string]int64 {
	t.Helper()
	n, err := s.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	defer n.Release()
	return contents(t, n, id)
}

func TestStoreSurvivesReopen(t *testing.T) {
	fs := vfs.NewMem()
	s := mustOpen(t, Options{FS: fs})
	want := map[string]int64{}
	s.Update(func(tx *Tx) {
		if err := tx.SetTable(testTable(7, 2)); err != nil {
			t.Fatal(err)
		}
		ts := tx.Table(7)
		for i := range 3000 {
			a, b := fmt.Sprint("a", i%60), fmt.Sprint("b", i/60)
			ts.Add(0, []uint32{ts.Intern(0, a), ts.Intern(1, b)}, int64(i+1))
			want["0: "+a+" "+b] = int64(i + 1)
		}
		tx.PutRow([]byte("s/1"), []byte("one"))
		tx.PutRow([]byte("s/2"), []byte("two"))
		tx.DeleteRow([]byte("s/1"))
		tx.SetConfig([]byte("config"))
		tx.SetApplied(schema.Applied{Index: 9, Term: 2})
	})
	if got := now(t, s, 7); !maps.Equal(got, want) {
		t.Fatalf("%d cells, want %d", len(got), len(want))
	}
	if s.Durable().Index != 0 {
		t.Error("durable before a checkpoint")
	}
	mustClose(t, s)

	s = mustOpen(t, Options{FS: fs})
	defer mustClose(t, s)
	if s.Applied() != (schema.Applied{Index: 9, Term: 2}) || s.Durable() != s.Applied() {
		t.Errorf("reopened at %v, durable %v", s.Applied(), s.Durable())
	}
	if got := now(t, s, 7); !maps.Equal(got, want) {
		t.Fatalf("after reopening: %d cells, want %d", len(got), len(want))
	}
	s.Update(func(tx *Tx) {
		rows := maps.Collect(tx.Rows([]byte("s/")))
		if len(rows) != 1 || string(rows["s/2"]) != "two" || string(tx.Config()) != "config" {
			t.Errorf("rows %v, config %q", rows, tx.Config())
		}
	})
}

func TestSnapshotStaysAsItWas(t *testing.T) {
	s := mustOpen(t, Options{FS: vfs.NewMem()})
	defer mustClose(t, s)
	s.Update(func(tx *Tx) {
		_ = tx.SetTable(testTable(1, 1))
		ts := tx.Table(1)
		for i := range 100 {
			ts.Add(0, []uint32{ts.Intern(0, fmt.Sprint(i))}, 1)
		}
	})
	n, _ := s.Snapshot()
	before := contents(t, n, 1)
	s.Update(func(tx *Tx) {
		ts := tx.Table(1)
		for i := range 200 {
			ts.Add(0, []uint32{ts.Intern(0, fmt.Sprint(i))}, 5)
		}
		tx.DropTable(9)
	})
	if err := s.Checkpoint(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.Update(func(tx *Tx) { tx.DropTable(1) })
	if got := contents(t, n, 1); !maps.Equal(got, before) || len(got) != 100 {
		t.Errorf("the snapshot changed: %v", slices.Sorted(maps.Keys(got)))
	}
	n.Release()
	if got := now(t, s, 1); got != nil {
		t.Errorf("a dropped table holds %v", got)
	}
	if u := s.memory.Used(); u != 0 {
		t.Errorf("%d bytes are accounted for after the only table went", u)
	}
}
