package query_test

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/quipudb/quipu/server/errcode"
)

// refused holds that text ends in a public error of one code with a place, within seconds and without memory out of proportion.
func (w *world) refused(name, text string, code errcode.Code) {
	w.tb.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	began := time.Now()
	_, err := w.run(text)
	took := time.Since(began)
	runtime.ReadMemStats(&after)
	var e *errcode.Error
	switch {
	case !errors.As(err, &e) || e.Code != code:
		w.tb.Errorf("%s: %v, want %s", name, err, code)
	case e.Position == 0 || e.Hint == "" || len(e.Message) > 300:
		w.tb.Errorf("%s: the error does not say where, what and how to mend it: %#v", name, e)
	}
	if limit := 20 * time.Second; took > limit { // of what takes less than a second on an idle machine
		w.tb.Errorf("%s: took %v", name, took)
	}
	if used := after.TotalAlloc - before.TotalAlloc; used > 1<<30 {
		w.tb.Errorf("%s: %d MB allocated in all", name, used>>20)
	}
}

// TestDeepStatements sends what is nested 10,000 deep through the engine: the parser refuses it before anything recurses into it.
func TestDeepStatements(t *testing.T) {
	const deep = 10_000
	w := newWorld(t, 1)
	w.must("CREATE TABLE t (a text, b text)")
	for name, tc := range map[string]struct{ head, open, core, close, tail string }{
		"parentheses": {"SELECT ", "(", "1", ")", ""},
		"subqueries":  {"SELECT ", "(SELECT ", "1", ")", ""},
		"derived":     {"SELECT * FROM ", "(SELECT * FROM ", "t", ") x", ""},
		"CASE":        {"SELECT ", "CASE WHEN ", "true", " THEN 1 END", ""},
		"NOT":         {"SELECT ", "NOT ", "true", "", ""},
		"minus":       {"SELECT ", "- ", "1", "", ""},
		"sum":         {"SELECT 1", "", "", " + 1", ""},
		"casts":       {"SELECT 1", "", "", "::int8", ""},
		"CAST":        {"SELECT ", "CAST(", "1", " AS int8)", ""},
		"arrays":      {"SELECT ARRAY", "[", "1", "]", ""},
		"calls":       {"SELECT ", "abs(", "1", ")", ""},
		"IN":          {"SELECT ", "1 IN (", "1", ")", ""},
		"joins":       {"SELECT * FROM t", "", "", " CROSS JOIN t", ""},
		"JOIN ON":     {"SELECT * FROM t ", "JOIN t ", "", "ON true ", ""},
		"UNION":       {"SELECT 1", "", "", " UNION SELECT 1", ""},
		"WITH":        {"", "WITH a AS (", "SELECT 1", ") SELECT 1", ""},
		"sets":        {"SELECT a FROM t GROUP BY ", "GROUPING SETS (", "a", ")", ""},
		"EXPLAIN":     {"EXPLAIN SELECT ", "(", "1", ")", ""},
		"INSERT":      {"INSERT INTO t VALUES (", "(", "'x'", ")", ", 'y')"},
		"DELETE":      {"DELETE FROM t WHERE ", "(", "a = 'x'", ")", ""},
		"filter":      {"SELECT * FROM crosstab('t', 'a', 'b', filter => '", "(", "true", ")", "')"},
	} {
		text := tc.head + strings.Repeat(tc.open, deep) + tc.core + strings.Repeat(tc.close, deep) + tc.tail
		w.refused(name, text, errcode.TooComplex)
	}
}

// TestLongStatements sends more than 10 MB, and what is just below that and wrong at its end.
func TestLongStatements(t *testing.T) {
	const bytesMax = 10 << 20
	w := newWorld(t, 1)
	w.must("CREATE TABLE t (a text, b text)")
	_, err := w.run("SELECT '" + strings.Repeat("x", bytesMax) + "'")
	if codeOf(err) != errcode.TooComplex || !strings.Contains(err.Error(), "10485760") {
		t.Errorf("a long text: %v", err)
	}
	fill := func(head, unit, tail string) string {
		return head + strings.Repeat(unit, (bytesMax-len(head)-len(tail))/len(unit)) + tail
	}
	w.refused("string", fill("SELECT '", "x", "' FRM t"), errcode.SyntaxError)
	w.refused("keys", fill("SELECT a FROM t ORDER BY a", ",'key'", ""), errcode.TooManyColumns)
	w.refused("names", fill("SELECT 1 FROM t WHERE a = b", " AND nothing IS NULL OR a LIKE 'a text that makes the words fewer'", ""), errcode.UnknownColumn)
	w.refused("parameters", fill("SELECT $1", " || $99999999999999999999999999999999", ""), errcode.UnknownParameter)
}

// TestExpansionIsBounded names common table expressions so that short texts grow without end when they are put in place.
func TestExpansionIsBounded(t *testing.T) {
	w := newWorld(t, 1)
	for name, use := range map[string]string{
		"joins":      "SELECT a.x FROM %s a, %s b",
		"subqueries": "SELECT (SELECT x FROM %s) + (SELECT x FROM %s) AS x",
		"unions":     "SELECT x FROM %s UNION SELECT x FROM %s",
	} {
		text := func(n int) string {
			s := "WITH c0 AS (SELECT 1 AS x)"
			for i := 1; i <= n; i++ {
				before := fmt.Sprint("c", i-1)
				s += fmt.Sprintf(", c%d AS ("+use+")", i, before, before)
			}
			return s + fmt.Sprintf(" SELECT x FROM c%d", n)
		}
		w.must(text(8))
		w.refused(name, text(30), errcode.TooComplex)
	}
	w.refused("one long query named often", "WITH c AS (SELECT 1 WHERE true"+strings.Repeat(" AND true", 100_000)+") SELECT 1 FROM c c0"+
		strings.Repeat(" UNION ALL TABLE c", 60), errcode.TooComplex)
	list := "WITH c0 AS (SELECT 1)"
	for i := range 10_000 {
		list += fmt.Sprintf(", c%d AS (SELECT a.* FROM c%d AS a, c%d AS b)", i+1, i, i)
	}
	if _, err := w.run(list + " SELECT 1"); err != nil {
		t.Errorf("common table expressions that nobody reads: %v", err)
	}
	w.refused("one name", "WITH c AS (SELECT 1)"+strings.Repeat(", c AS (TABLE c)", 100_000)+" SELECT 1", errcode.DuplicateAlias)
}
