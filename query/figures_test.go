package query_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/quipudb/quipu/proto/slot"
	"github.com/quipudb/quipu/query"
	"github.com/quipudb/quipu/query/exec"
	"github.com/quipudb/quipu/query/plan"
	"github.com/quipudb/quipu/storage"
	"github.com/quipudb/quipu/storage/schema"
)

// figures are an engine over stores in memory, for the benchmarks of the query path: SQL text in, rows out.
type figures struct {
	stores []*storage.Store
	table  *schema.Table
	slots  *schema.SlotMap
}

// newFigures makes shards and one table of text dimensions.
func newFigures(tb testing.TB, shards int, t *schema.Table) *figures {
	t.ID, t.Version, t.Measures = 7, 1, 1
	t.Name.Database, t.Name.Schema = "quipu", "public"
	f := &figures{table: t, slots: schema.EvenSlotMap(shards)}
	memory := storage.NewMemory(1 << 30)
	for i := range shards {
		s, err := storage.Open(storage.Options{Dir: "shard" + strconv.Itoa(i), FS: vfs.NewMem(), Memory: memory, CheckpointEvery: -1})
		if err != nil {
			tb.Fatal(err)
		}
		tb.Cleanup(func() { s.Close() })
		s.Update(func(tx *storage.Tx) {
			if err := tx.SetTable(t); err != nil {
				tb.Fatal(err)
			}
		})
		f.stores = append(f.stores, s)
	}
	return f
}

// add counts rows of codes, whose value is the prefix of the dimension and the code; each lands on the shard of its slot.
func (f *figures) add(cells [][]int, count func() int64) {
	parts := make([][][]int, len(f.stores))
	for _, c := range cells {
		h := slot.Start(uint64(f.table.ID))
		for _, d := range f.table.PartitionBy {
			h = slot.Add(h, slot.HashValue(f.value(d, c[d]), false))
		}
		owner := f.slots.Owner[slot.Finish(h)]
		parts[owner] = append(parts[owner], c)
	}
	for i, s := range f.stores {
		s.Update(func(tx *storage.Tx) {
			t := tx.Table(f.table.ID)
			codes := make([]uint32, len(f.table.Dims))
			for _, c := range parts[i] {
				for d := range codes {
					codes[d] = t.Intern(d, f.value(d, c[d]))
				}
				t.Add(0, codes, count())
			}
		})
	}
}

func (f *figures) value(dim, code int) string { return f.table.Dims[dim].Name + strconv.Itoa(code) }

func (f *figures) View(context.Context, bool) (plan.Catalog, error)               { return f, nil }
func (f *figures) Shards() int                                                    { return len(f.stores) }
func (f *figures) Tables(string) []*schema.Table                                  { return []*schema.Table{f.table} }
func (f *figures) SlotMap() *schema.SlotMap                                       { return f.slots }
func (f *figures) Insert(context.Context, string, *query.Batch) (string, error)   { return "", nil }
func (f *figures) CreateTable(context.Context, string, *schema.Table, bool) error { return nil }
func (f *figures) AlterTable(context.Context, string, schema.Name, plan.TableChange) error {
	return nil
}
func (f *figures) DropTable(context.Context, string, schema.Name, bool) error { return nil }
func (f *figures) TruncateTable(context.Context, string, schema.Name) error   { return nil }

func (f *figures) DropWindows(context.Context, string, schema.Name, int64) error { return nil }

func (f *figures) Table(name schema.Name) *schema.Table {
	if name.Table == f.table.Name.Table {
		return f.table
	}
	return nil
}

func (f *figures) Snapshot(context.Context, query.Read) (*query.Snapshot, error) {
	out := &query.Snapshot{Taken: time.Now()}
	var snaps []*storage.Snapshot
	for i, s := range f.stores {
		snap, err := s.Snapshot()
		if err != nil {
			return nil, err
		}
		snaps = append(snaps, snap)
		out.Shards = append(out.Shards, exec.Shard{ID: schema.ShardID(i), Snapshot: exec.Here{Snapshot: snap}})
	}
	out.Release = func() {
		for _, s := range snaps {
			s.Release()
		}
	}
	return out, nil
}

// countRows is a sink that counts.
type countRows struct{ rows int }

func (c *countRows) Columns([]plan.Column) error { return nil }
func (c *countRows) Row([]plan.Value) error      { c.rows++; return nil }
func (c *countRows) End(*query.End) error        { return nil }

// run repeats a query that gives want rows. Beside the mean it reports the median, and the least time, which other work on the machine does not change.
func (f *figures) run(b *testing.B, text string, want int, settings map[string]string) {
	e := query.New(query.Options{Catalog: f, Source: f, Writer: f, DDL: f})
	b.ReportAllocs()
	var took []time.Duration
	for b.Loop() {
		began := time.Now()
		var sink countRows
		if err := e.Run(context.Background(), query.Request{SQL: text, Settings: settings}, &sink); err != nil {
			b.Fatal(err)
		}
		if sink.rows != want {
			b.Fatalf("%d rows, want %d", sink.rows, want)
		}
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Nanoseconds()), "p50-ns/op")
	b.ReportMetric(float64(took[0].Nanoseconds()), "least-ns/op")
}

func textDims(names ...string) []schema.Dimension {
	var out []schema.Dimension
	for _, n := range names {
		out = append(out, schema.Dimension{Name: n, Type: schema.Text, Default: schema.Null})
	}
	return out
}

// BenchmarkLargeTest is chi2_test of 1000 × 1000 categories with a million occupied cells.
func BenchmarkLargeTest(b *testing.B) {
	for _, shards := range []int{1, 4} {
		f := newFigures(b, shards, &schema.Table{Name: schema.Name{Table: "t"}, Dims: textDims("a", "b"), PartitionBy: []int{0, 1}})
		rng := rand.New(rand.NewPCG(1, 2))
		var cells [][]int
		for i := range 1000 {
			for j := range 1000 {
				cells = append(cells, []int{i, j})
			}
		}
		f.add(cells, func() int64 { return 1 + rng.Int64N(100) })
		for _, parallel := range []int{1, 2} {
			b.Run(fmt.Sprintf("shards=%d/goroutines=%d", shards, parallel), func(b *testing.B) {
				f.run(b, "SELECT chi2_test(a, b) FROM t", 1, map[string]string{"quipu.parallelism": strconv.Itoa(parallel)})
			})
		}
	}
}

// BenchmarkPerFeature is chi2_test of 100,000 features, each with a 2 × 2 table, of which the first 20 by ln p are asked for.
func BenchmarkPerFeature(b *testing.B) {
	for _, shards := range []int{1, 4} {
		f := newFigures(b, shards, &schema.Table{Name: schema.Name{Table: "t"}, Dims: textDims("feature", "a", "b"), PartitionBy: []int{0}})
		rng := rand.New(rand.NewPCG(1, 2))
		var cells [][]int
		for i := range 100_000 {
			for j := range 4 {
				cells = append(cells, []int{i, j / 2, j % 2})
			}
		}
		f.add(cells, func() int64 { return 10 + rng.Int64N(100) })
		for _, parallel := range []int{1, 2} {
			b.Run(fmt.Sprintf("shards=%d/goroutines=%d", shards, parallel), func(b *testing.B) {
				f.run(b, "SELECT feature, chi2_test(a, b) FROM t GROUP BY feature ORDER BY ln_p LIMIT 20", 20, map[string]string{"quipu.parallelism": strconv.Itoa(parallel)})
			})
		}
	}
}

// BenchmarkSmallTest is chi2_test of one 2 × 2 table.
func BenchmarkSmallTest(b *testing.B) {
	for _, shards := range []int{1, 4} {
		f := newFigures(b, shards, &schema.Table{Name: schema.Name{Table: "t"}, Dims: textDims("a", "b"), PartitionBy: []int{0, 1}})
		n := int64(0)
		f.add([][]int{{0, 0}, {0, 1}, {1, 0}, {1, 1}}, func() int64 { n += 17; return n })
		b.Run(fmt.Sprintf("shards=%d", shards), func(b *testing.B) {
			f.run(b, "SELECT chi2_test(a, b) FROM t", 1, nil)
		})
	}
}

// BenchmarkGroupSum is sum(count) of 1000 groups over a million cells.
func BenchmarkGroupSum(b *testing.B) {
	f := newFigures(b, 4, &schema.Table{Name: schema.Name{Table: "t"}, Dims: textDims("a", "b"), PartitionBy: []int{0, 1}})
	var cells [][]int
	for i := range 1000 {
		for j := range 1000 {
			cells = append(cells, []int{i, j})
		}
	}
	f.add(cells, func() int64 { return 3 })
	f.run(b, "SELECT a, sum(count) FROM t GROUP BY a", 1000, nil)
}
