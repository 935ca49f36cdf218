package query_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/quipudb/quipu/query"
	"github.com/quipudb/quipu/query/plan"
	"github.com/quipudb/quipu/query/sql"
	"github.com/quipudb/quipu/server/errcode"
	"github.com/quipudb/quipu/storage/schema"
)

// executed is the answer of a statement, or its error, as text.
func (w *world) executed(st *query.Statement, args ...plan.Value) string {
	return w.executedAs(st, query.Request{Args: args})
}

func (w *world) executedAs(st *query.Statement, r query.Request) string {
	a := &answer{}
	if err := w.engine.Execute(context.Background(), st, r, a); err != nil {
		return failure(err, st.Text)
	}
	return a.text(true)
}

// statement prepares text, or is nil where that fails.
func (w *world) statement(text string) *query.Prepared {
	p, err := w.engine.Prepare(context.Background(), query.Request{SQL: text}, nil)
	if err != nil {
		return nil
	}
	return p
}

// TestKeptPlansAnswerAlike runs every query of the scripts again and again, as it stands and with parameters in the place of its literals, and
// compares what kept plans answer with what statements answer that are run for the first time.
func TestKeptPlansAnswerAlike(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no testdata: %v", err)
	}
	var mu sync.Mutex
	asked, kept, open := 0, 0, 0
	t.Run("scripts", func(t *testing.T) {
		for _, file := range files {
			t.Run(filepath.Base(file), func(t *testing.T) {
				t.Parallel()
				text, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				n, k, o := keptScript(t, newWorld(t, 4), string(text))
				mu.Lock()
				defer mu.Unlock()
				asked, kept, open = asked+n, kept+k, open+o
			})
		}
	})
	if kept < asked/4 || open < asked/10 { // most of the others read the system catalogs or have subqueries
		t.Errorf("of %d queries %d were kept, and %d with parameters", asked, kept, open)
	}
}

var literals = regexp.MustCompile(`'[^']*'|\b\d+\b`)

func keptScript(t *testing.T, w *world, text string) (asked, kept, open int) {
	for directive, input := range cases(text) {
		list, err := query.Parse(input)
		if directive != "sql" && directive != "sorted" || err != nil || len(list) != 1 {
			w.answerTo(directive, input)
			continue
		}
		q, ok := list[0].Tree.(*sql.Query)
		if !ok || strings.Contains(input, "quipu.queries") || strings.Contains(input, "quipu.statements") {
			w.answerTo(directive, input)
			continue
		}
		asked++
		st := &query.Statement{Text: input, Tree: q}
		first := w.executed(st)
		for range 2 {
			if again := w.executed(st); again != first {
				t.Errorf("%s\nfirst:\n%s\nthen:\n%s", input, first, again)
			}
		}
		if st.Keeps() {
			kept++
		}
		if w.withParameters(t, input, func(int) bool { return true }) {
			open++
		}
		w.withParameters(t, input, func(i int) bool { return i%2 == 0 }) // the others stay in the plan
		w.withParameters(t, input, func(i int) bool { return i%2 == 1 })
	}
	return asked, kept, open
}

// withParameters compares a kept statement with new ones, over several lists of arguments for the literals that are chosen by their number. It is
// true if the statement was kept.
func (w *world) withParameters(t *testing.T, input string, choose func(int) bool) bool {
	var args []plan.Value
	at := -1
	text := literals.ReplaceAllStringFunc(input, func(s string) string {
		if at++; !choose(at) {
			return s
		}
		args = append(args, plan.TextValue(strings.Trim(s, "'")))
		return fmt.Sprintf("$%d", len(args))
	})
	p := w.statement(text)
	if p == nil || len(args) == 0 || len(p.Params) != len(args) {
		return false
	}
	turned := append(slices.Clone(args[1:]), args[0])
	null := slices.Clone(args)
	null[len(null)-1] = plan.Null
	for _, list := range [][]plan.Value{args, args, turned, null, args} {
		want := w.executed(w.statement(text).Statement, list...)
		if got := w.executed(p.Statement, list...); got != want {
			t.Errorf("%s %v\nkept:\n%s\nnew:\n%s", text, list, got, want)
		}
	}
	return p.Statement.Keeps()
}

// guarded are rights that can be taken away.
type guarded struct{ denied bool }

func (g *guarded) Statement(sql.Statement) error { return nil }
func (g *guarded) Relation(string) error         { return nil }
func (g *guarded) Table(t *schema.Table, _ schema.Privilege) error {
	if g.denied {
		return errcode.New(errcode.PermissionDenied, "permission denied for table %s", t.Name.Table)
	}
	return nil
}

func TestKeptPlansEnd(t *testing.T) {
	w := newWorld(t, 4)
	w.must("CREATE TABLE t (a text, b int8)")
	w.must("INSERT INTO t (a, b, count) VALUES ('x', 1, 3), ('y', 2, 4)")
	rights := &guarded{}
	r := query.Request{Rights: rights, Args: []plan.Value{plan.TextValue("x")}}
	p := w.statement("SELECT sum(count) FROM t WHERE a = $1")
	expect := func(what, want string) {
		t.Helper()
		if got := w.executedAs(p.Statement, r); got != want {
			t.Errorf("%s: %q, want %q", what, got, want)
		}
	}
	for range 3 {
		expect("at first", "sum\n3\nSELECT 1")
	}
	if !p.Statement.Keeps() {
		t.Error("the plan was not kept")
	}
	rights.denied = true
	expect("without the right", "PERMISSION_DENIED: permission denied for table t")
	rights.denied = false
	expect("with it again", "sum\n3\nSELECT 1")
	w.must("INSERT INTO t (a, b, count) VALUES ('x', 7, 5)")
	expect("with more rows", "sum\n8\nSELECT 1")
	w.must("ALTER TABLE t ADD COLUMN c text DEFAULT 'd'")
	expect("with another column", "sum\n8\nSELECT 1")
	expect("and again", "sum\n8\nSELECT 1")
	w.must("TRUNCATE t")
	expect("of an empty table", "sum\nNULL\nSELECT 1")
	w.must("DROP TABLE t")
	if got := w.executedAs(p.Statement, r); !strings.HasPrefix(got, "UNKNOWN_TABLE") {
		t.Errorf("of no table: %s", got)
	}
	w.must("CREATE TABLE t (b int8, a text)")
	w.must("INSERT INTO t (a, b, count) VALUES ('x', 1, 9)")
	expect("of another table", "sum\n9\nSELECT 1")
	r.Settings = map[string]string{"quipu.force_mode": "cells"}
	expect("in another mode", "sum\n9\nSELECT 1")
	r.Database = "elsewhere"
	if got := w.executedAs(p.Statement, r); !strings.HasPrefix(got, "UNKNOWN_TABLE") {
		t.Errorf("in another database: %s", got)
	}
}

// What holds for one run only is bound for each.
func TestPassingPlansAreNotKept(t *testing.T) {
	w := newWorld(t, 1)
	w.must("CREATE TABLE t (a text) WITH (window = '1h')")
	for _, text := range []string{"SELECT now()", "SELECT current_date", "SELECT current_user", "SELECT sum(count) FROM t WHERE ts < now()",
		"SELECT current_setting('quipu.read_consistency')", "SELECT set_config('application_name', 'x', false)", "SELECT 't'::regclass",
		"SELECT count(*) FROM pg_class", "SELECT count(*) FROM t WHERE a IN (SELECT a FROM t)", "SELECT version()", "SELECT pg_backend_pid()"} {
		p := w.statement(text)
		if p == nil {
			continue
		}
		for range 3 {
			w.executed(p.Statement)
		}
		if p.Statement.Keeps() {
			t.Errorf("%s was kept", text)
		}
	}
	p := w.statement("SELECT a, chi2_gof(a, $1) FROM t WHERE a = $2 GROUP BY a ORDER BY 1 LIMIT $3")
	if p != nil {
		for range 3 {
			w.executed(p.Statement, plan.TextValue("1"), plan.TextValue("x"), plan.TextValue("1"))
		}
		if p.Statement.Keeps() {
			t.Errorf("%s was kept", p.Statement.Text)
		}
	}
}

func TestSettingsAndPrincipalOfEachRun(t *testing.T) {
	w := newWorld(t, 1)
	st := w.statement("SELECT current_user, current_setting('application_name')").Statement
	for _, name := range []string{"ada", "bob", "ada"} {
		got := w.executedAs(st, query.Request{Principal: name, Settings: map[string]string{"application_name": "of " + name}})
		if !strings.Contains(got, name+" | of "+name) {
			t.Errorf("for %s: %s", name, got)
		}
	}
}

// TestKeptPlanAtOnce runs one plan from many goroutines, each with values of its own.
func TestKeptPlanAtOnce(t *testing.T) {
	w := newWorld(t, 4)
	w.must("CREATE TABLE t (a text)")
	for i := range 8 {
		w.must(fmt.Sprintf("INSERT INTO t (a, count) VALUES ('v%d', %d)", i, 100+i))
	}
	for _, second := range []string{"$2", "lower($2)"} { // a plan that can be filled again, and one that cannot
		st := w.statement("SELECT sum(count) FROM t WHERE a = $1 OR a = " + second).Statement
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				for range 50 {
					got := w.executed(st, plan.TextValue(fmt.Sprintf("v%d", i)), plan.TextValue(fmt.Sprintf("v%d", (i+1)%8)))
					if want := fmt.Sprintf("sum\n%d\nSELECT 1", 100+i+100+(i+1)%8); got != want {
						t.Errorf("%q, want %q", got, want)
						return
					}
				}
			})
		}
		wg.Wait()
		if !st.Keeps() {
			t.Error("the plan was not kept")
		}
	}
}

func TestTextsAreBounded(t *testing.T) {
	w := newWorld(t, 1)
	first, err := w.engine.Parse("SELECT 1")
	if err != nil {
		t.Fatal(err)
	}
	for i := range 10_000 {
		if _, err := w.engine.Parse(fmt.Sprintf("SELECT %d, '%s'", i, strings.Repeat("x", i%3000))); err != nil {
			t.Fatal(err)
		}
		if again, err := w.engine.Parse("SELECT 1"); err != nil || again[0] != first[0] {
			t.Fatalf("a text that is asked for all the time was forgotten: %v", err)
		}
	}
	if n, bytes := w.engine.Texts(); n > 512 || bytes > 512<<10 {
		t.Errorf("%d texts of %d bytes", n, bytes)
	}
	for _, text := range []string{"SELECT 1; SELECT 2", "SHOW statement_timeout", "SELECT '" + strings.Repeat("x", 5000) + "'"} {
		a, err := w.engine.Parse(text)
		b, err2 := w.engine.Parse(text)
		if errors.Join(err, err2) != nil || a[0] == b[0] {
			t.Errorf("%.30s was kept: %v", text, errors.Join(err, err2))
		}
	}
}

// What a PREPARE has named is seen among the statements that ran, and so is its EXPLAIN.
func TestNamedStatementsAreSeen(t *testing.T) {
	w := newWorld(t, 1)
	text := "PREPARE named AS SELECT 1"
	list, err := query.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	p, err := w.engine.PrepareNamed(context.Background(), list[0], query.Request{SQL: text})
	if err != nil {
		t.Fatal(err)
	}
	w.executed(p.Statement)
	w.executed(p.Statement.Explained(&sql.Explain{}))
	seen := w.statement("SELECT calls FROM quipu.statements WHERE text LIKE 'PREPARE named%'").Statement
	if got, want := w.executed(seen), "calls\n2\nSELECT 1"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
