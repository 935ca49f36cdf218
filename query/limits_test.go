package query_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/quipudb/quipu/query"
	"github.com/quipudb/quipu/query/exec"
	"github.com/quipudb/quipu/query/plan"
	"github.com/quipudb/quipu/server/errcode"
	"github.com/quipudb/quipu/storage"
	"github.com/quipudb/quipu/storage/schema"
)

// grouped makes a table of features with small and large 2 x 3 tables, some of them degenerate, some far below the least p.
func (w *world) grouped(features int) {
	w.must("CREATE TABLE f (k text, a int8, b int8) WITH (partition_by = 'k')")
	b := &query.Batch{Table: w.Table(schema.Name{Database: "quipu", Schema: "public", Table: "f"})}
	for d, values := range []int{features, 2, 3} {
		c := query.BatchColumn{Dim: d, Values: []schema.Value{schema.Null}}
		for v := range values {
			c.Values = append(c.Values, schema.V(map[bool]string{true: fmt.Sprintf("k%04d", v), false: fmt.Sprint(v)}[d == 0]))
		}
		b.Cols = append(b.Cols, c)
	}
	rng := rand.New(rand.NewPCG(5, 6))
	for k := range features {
		size := int64(10)
		if k%7 == 0 {
			size = 1_000_000 // p underflows
		}
		if k%5 == 0 {
			rng = rand.New(rand.NewPCG(9, 9)) // equal tables: ties
		}
		for i := range 2 {
			for j := range 3 - k%2 { // one or two degrees of freedom
				n := rng.Int64N(size)
				if k%11 == 0 && i == 1 {
					n = 0 // one level
				}
				b.Cols[0].Codes, b.Cols[1].Codes, b.Cols[2].Codes = append(b.Cols[0].Codes, uint32(k+1)), append(b.Cols[1].Codes, uint32(i+1)), append(b.Cols[2].Codes, uint32(j+1))
				b.Counts, b.Events = append(b.Counts, n), append(b.Events, 0)
			}
		}
	}
	if _, err := w.Insert(w.tb.Context(), "", b); err != nil {
		w.tb.Fatal(err)
	}
}

// TestFirstEqualsSorted holds that the first K by p are those of the whole list, ties and p of 0 included.
func TestFirstEqualsSorted(t *testing.T) {
	for i, test := range []string{"chi2_test(a, b)", "chi2_test(a, b)", "g_test(a, b)"} {
		w := newWorld(t, []int{1, 4, 4}[i])
		w.grouped(500)
		for _, order := range []string{"r_ln_p", "r_p_value", "r_p_value, k", "r_ln_p, k DESC", "r_statistic DESC, k", "r_ln_p DESC, k", "r_p_value NULLS FIRST, k"} {
			for _, filter := range []string{"", "WHERE a < 5", "HAVING sum(count) > 20"} {
				group := filter + " GROUP BY k"
				if strings.HasPrefix(filter, "HAVING") {
					group = "GROUP BY k " + filter
				}
				text := "SELECT k, " + test + " AS r FROM f " + group + " ORDER BY " + order
				all := w.must(text).cells()
				for _, k := range []int{1, 3, 50, 499} {
					first := w.must(fmt.Sprintf("%s LIMIT %d", text, k)).cells()
					late := w.must(fmt.Sprintf("%s LIMIT %d OFFSET 2", text, k)).cells()
					compareFirst(t, text, first, all[:min(k, len(all))], strings.Contains(order, "k"))
					compareFirst(t, text, late, all[2:min(k+2, len(all))], strings.Contains(order, "k"))
				}
			}
		}
	}
}

// compareFirst compares rows; without a total order only p_value and ln_p, since ties may come in any order.
func compareFirst(t *testing.T, text string, got, want [][]string, total bool) {
	t.Helper()
	if !total {
		only := func(rows [][]string) [][]string {
			var out [][]string
			for _, r := range rows {
				if strings.HasSuffix(text, "p_value") {
					out = append(out, r[3:4])
				} else {
					out = append(out, r[4:5])
				}
			}
			return out
		}
		got, want = only(got), only(want)
	}
	if !slices.EqualFunc(got, want, slices.Equal) {
		t.Errorf("%s, first %d of the list:\ngot  %v\nwant %v", text, len(want), got, want)
	}
}

func codeOf(err error) errcode.Code {
	var e *errcode.Error
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

func TestMemoryLimit(t *testing.T) {
	w := newWorld(t, 2)
	w.grouped(20_000)
	for _, text := range []string{
		"SELECT k, a, b, count FROM f ORDER BY count",
		"SELECT DISTINCT k || 'x' FROM f",
		"SELECT k || 'x', sum(count) FROM f GROUP BY 1",
		"SELECT k FROM f EXCEPT SELECT 'x'",
		"SELECT count(DISTINCT k) FROM f",
		"SELECT k, chi2_test(a, b) FROM f GROUP BY k",
	} {
		if _, err := w.run(text, "quipu.memory_limit", "1MiB"); codeOf(err) != errcode.MemoryLimit {
			t.Errorf("%s: %v, want %s", text, err, errcode.MemoryLimit)
		}
		w.must(text)
	}
}

// TestStatementTimeout lets the time run out before the snapshot is taken.
func TestStatementTimeout(t *testing.T) {
	w := newWorld(t, 2)
	w.grouped(2000)
	hold := make(chan struct{})
	ctx, cancel := context.WithCancel(context.Background())
	w.late = func(ctx context.Context) { <-ctx.Done(); close(hold) }
	_, err := w.run("SELECT k, chi2_test(a, b) FROM f GROUP BY k", "statement_timeout", "1ms")
	<-hold
	if codeOf(err) != errcode.StatementTimeout || !strings.Contains(err.Error(), "statement timeout") {
		t.Errorf("timeout: %v", err)
	}
	w.late = func(context.Context) { cancel() }
	err = w.engine.Run(ctx, query.Request{SQL: "SELECT sum(count) FROM f"}, &answer{})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled by the caller: %v", err)
	}
}

// TestTableChangesUnderneath changes a table between planning and reading: the query is planned anew and answers.
func TestTableChangesUnderneath(t *testing.T) {
	w := newWorld(t, 3)
	w.must("CREATE TABLE t (a text, b text); INSERT INTO t VALUES ('x', 'y', 3)")
	once := true
	w.late = func(context.Context) {
		if once {
			once = false
			name := schema.Name{Database: "quipu", Schema: "public", Table: "t"}
			if err := w.TruncateTable(context.Background(), "", name); err != nil {
				t.Error(err)
			}
		}
	}
	if got := w.must("SELECT sum(count), count(*) FROM t").cells(); !slices.Equal(got[0], []string{"NULL", "0"}) {
		t.Errorf("after TRUNCATE: %v", got)
	}
	w.late = func(context.Context) {
		w.TruncateTable(context.Background(), "", schema.Name{Database: "quipu", Schema: "public", Table: "t"})
	}
	if _, err := w.run("SELECT sum(count) FROM t"); codeOf(err) != errcode.SchemaChanged {
		t.Errorf("a table that changes every time: %v", err)
	}
}

// lostWorker loses its node after so many rows.
type lostWorker struct {
	*exec.Run
	after int
}

func (w *lostWorker) First(context.Context) (*exec.Partial, error) {
	return nil, errcode.New(errcode.Unavailable, "the node is gone")
}

func (w *lostWorker) Cells(ctx context.Context, emit func([]plan.Value) error) error {
	return w.Run.Cells(ctx, func(row []plan.Value) error {
		if w.after == 0 {
			return errcode.New(errcode.SnapshotTooOld, "the snapshot is gone")
		}
		w.after--
		return emit(row)
	})
}

// TestLostSnapshots loses nodes with fragments at work on them: the query takes another snapshot, unless rows have left or that goes on.
func TestLostSnapshots(t *testing.T) {
	w := newWorld(t, 3)
	w.must("CREATE TABLE t (a text); INSERT INTO t VALUES ('x', 3), ('y', 4), ('z', 5), ('u', 6), ('v', 7)")
	for _, c := range []struct {
		name, sql  string
		lost, rows int // fragments that lose their node, and rows that each gives before
		snapshots  int
		code       errcode.Code
	}{
		{"a sum", "SELECT sum(count) FROM t", 1, 0, 2, ""},
		{"a sum twice", "SELECT sum(count) FROM t", 6, 0, 3, ""},
		{"a sum for ever", "SELECT sum(count) FROM t", 1000, 0, 3, errcode.Unavailable},
		{"cells before the first", "SELECT a, count FROM t", 1, 0, 2, ""},
		{"cells after the first", "SELECT a, count FROM t", 3, 1, 1, errcode.SnapshotTooOld},
		{"what is counted anew", "INSERT INTO t SELECT a, sum(count) FROM t GROUP BY a", 1, 0, 2, ""},
		{"EXPLAIN", "EXPLAIN ANALYZE SELECT sum(count) FROM t", 1, 0, 2, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			snapshots, lost := 0, c.lost
			var mu sync.Mutex
			w.late = func(context.Context) { snapshots++ }
			w.remote = func(snap *storage.Snapshot, f *plan.Fragment, o exec.Options) (exec.Worker, error) {
				run, err := exec.OpenRun(snap, f, o)
				mu.Lock()
				defer mu.Unlock()
				if err != nil || lost == 0 {
					return run, err
				}
				lost--
				return &lostWorker{run, c.rows}, nil
			}
			_, err := w.run(c.sql)
			if codeOf(err) != c.code || snapshots != c.snapshots {
				t.Errorf("%d snapshots, %v", snapshots, err)
			}
		})
	}
	w.remote = nil
	if got := w.must("SELECT sum(count) FROM t").cells(); got[0][0] != "50" {
		t.Errorf("the sum is %v: something was counted again", got)
	}
}
