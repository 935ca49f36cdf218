package query_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/quipudb/quipu/query"
	"github.com/quipudb/quipu/query/exec"
	"github.com/quipudb/quipu/query/plan"
	"github.com/quipudb/quipu/storage"
)

// fragmentOf is the fragment of a query of one table.
func (w *world) fragmentOf(text string) (f *plan.Fragment) {
	w.remote = func(snap *storage.Snapshot, found *plan.Fragment, o exec.Options) (exec.Worker, error) {
		f = found
		return exec.OpenRun(snap, found, o)
	}
	defer func() { w.remote = nil }()
	w.must(text)
	return f
}

// TestRunsThatHaveEnded holds that a run which has ended leaves its memory to one other run, and that what it gave stays as it is.
func TestRunsThatHaveEnded(t *testing.T) {
	w := newWorld(t, 1)
	w.must("CREATE TABLE t (a text, b text); INSERT INTO t VALUES ('x', 'p', 3), ('x', 'q', 4), ('y', 'p', 5), ('y', 'q', 6), ('z', 'q', 7)")
	snap, err := w.stores[0].Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	defer snap.Release()
	texts := []string{
		"SELECT a, sum(count) FROM t WHERE b = 'q' GROUP BY a", "SELECT b, sum(count) FILTER (WHERE a <> 'x'), count(DISTINCT a) FROM t GROUP BY b",
		"SELECT a, chi2_test(a, b) FROM t GROUP BY a", "SELECT sum(count) FROM t WHERE a || b = 'yp'", "SELECT max(b) FROM t WHERE a = 'x'",
	}
	open := func(i int) *exec.Run {
		run, err := exec.OpenRun(snap, w.fragmentOf(texts[i%len(texts)]), exec.Options{})
		if err != nil {
			t.Fatal(err)
		}
		return run
	}
	first := func(run *exec.Run) *exec.Partial {
		p, err := run.First(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	show := func(p *exec.Partial) (out string) {
		for _, g := range p.Groups {
			out += fmt.Sprint(g.Keys)
			for _, a := range g.Aggs {
				out += fmt.Sprint(" ", a.Sum, a.Some, a.End, len(a.Seen), a.Done)
			}
			out += "\n"
		}
		return out
	}
	want := make([]string, len(texts)) // by runs of which none has ended
	var all []*exec.Run
	for i := range texts {
		run := open(i)
		all = append(all, run)
		want[i] = show(first(run))
	}
	for _, run := range all {
		run.Close()
	}
	given := map[*exec.Partial]int{}
	for i := range 50 {
		ended, works, idle := open(i), open(i+1), open(i+2)
		given[first(ended)] = i % len(texts)
		ended.Close()
		ended.Close() // what it had may be another one's by now
		next := open(i + 3)
		ended.Close()
		for k, run := range map[int]*exec.Run{i + 1: works, i + 2: idle, i + 3: next} {
			p := first(run)
			given[p] = k % len(texts)
			run.Close()
		}
	}
	for p, i := range given {
		if got := show(p); got != want[i] {
			t.Fatalf("%s: got\n%swant\n%s", texts[i], got, want[i])
		}
	}
}

// TestMemory holds that what a session keeps of its settings is what they are: not those of an earlier request, nor what a statement has
// set for itself.
func TestMemory(t *testing.T) {
	w := newWorld(t, 1)
	memory := &query.Memory{}
	ask := func(text string, settings map[string]string) string {
		a := &answer{}
		if err := w.engine.Run(t.Context(), query.Request{SQL: text, Settings: settings, Memory: memory}, a); err != nil {
			return failure(err, text)
		}
		return fmt.Sprint(a.cells())
	}
	for _, c := range []struct{ value, text, want string }{
		{"5s", "SHOW statement_timeout", "[[5s]]"},
		{"5s", "SET statement_timeout = '7s'; SHOW statement_timeout", "[[7s]]"},
		{"5s", "SELECT set_config('statement_timeout', '8s', false); SHOW statement_timeout", "[[8s] [8s]]"},
		{"5s", "RESET statement_timeout; SHOW statement_timeout", "[[0]]"},
		{"5s", "SHOW statement_timeout", "[[5s]]"},
		{"6s", "SHOW statement_timeout", "[[6s]]"},
		{"soon", "SHOW statement_timeout", "INVALID_OPTION"},
		{"6s", "SHOW statement_timeout", "[[6s]]"},
	} {
		if got := ask(c.text, map[string]string{"statement_timeout": c.value}); !strings.HasPrefix(got, c.want) {
			t.Errorf("%s with %s: %s, not %s", c.text, c.value, got, c.want)
		}
	}
}

// TestMemoryHoldsNothingOfTheLastRequest runs statements that end in all ways, with the memory of one session and without any.
func TestMemoryHoldsNothingOfTheLastRequest(t *testing.T) {
	w := newWorld(t, 1)
	memory := &query.Memory{}
	texts := []string{
		"SELECT 1", "SELECT 1 / 0", "SELECT 2 AS a, 3 AS b", "SELECT set_config('statement_timeout', '8s', false)", "SHOW statement_timeout",
		"SELECT * FROM generate_series(1, 3)", "SELECT nobody FROM nowhere", "EXPLAIN SELECT 4", "SELECT 5 WHERE false", "SET quipu.parallelism = 2",
		"SELECT current_setting('quipu.parallelism')", "SELECT (SELECT count(*) FROM generate_series(1, 7))", "SELECT 1",
	}
	ask := func(text string, m *query.Memory) string {
		list, err := query.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		a := &answer{}
		if err := w.engine.Execute(t.Context(), list[0], query.Request{Memory: m}, a); err != nil {
			return failure(err, text)
		}
		end := a.ends[0]
		return fmt.Sprint(a.cells(), end.Tag, end.Rows, end.Settings)
	}
	for range 2 {
		for _, text := range texts {
			if got, want := ask(text, memory), ask(text, nil); got != want {
				t.Errorf("%s: %s, and without a memory %s", text, got, want)
			}
		}
	}
}
