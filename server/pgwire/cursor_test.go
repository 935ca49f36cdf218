package pgwire

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestCursorIsAsOfItsDeclare: what is counted between DECLARE and FETCH is not seen, statement_timeout holds for each FETCH and not for what
// lies between, and the snapshot goes with the block.
func TestCursorIsAsOfItsDeclare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.serve()
		c, other := w.dial(s), w.dial(s)
		c.ready()
		other.ready()
		other.ask("CREATE TABLE t (a text, b int8); INSERT INTO t VALUES ('x', 1), ('x', 2), ('x', 3)")
		for _, begin := range []string{"BEGIN", "BEGIN READ ONLY"} {
			c.ask(begin + "; SET LOCAL statement_timeout = '2s'; DECLARE c CURSOR FOR SELECT b, count FROM t ORDER BY b")
			other.ask("INSERT INTO t VALUES ('x', 1), ('x', 4)")
			time.Sleep(5 * time.Second)
			first := c.ask("FETCH 2 FROM c")
			time.Sleep(5 * time.Second)
			if got := first + c.ask("FETCH ALL c"); strings.Count(got, "DataRow") != 3+strings.Count(begin, "READ") || !strings.Contains(got, "FETCH 2") {
				t.Errorf("%s: %s", begin, got)
			}
			if got := c.ask("DECLARE d CURSOR FOR SELECT b FROM t; COMMIT; FETCH d"); !strings.Contains(got, "ERROR 34000") {
				t.Error(got)
			}
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.open != 0 {
			t.Errorf("%d snapshots were not released", w.open)
		}
	})
}

// TestFetchTimesOut ends a FETCH, and not the connection, whose query stands still.
func TestFetchTimesOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		c := w.dial(w.serve())
		c.ready()
		c.ask("CREATE TABLE t (a text)")
		w.stalled()
		if got := c.ask("BEGIN; SET LOCAL statement_timeout = '2s'; DECLARE c CURSOR FOR SELECT a FROM t"); !strings.Contains(got, `ERROR 57014 "canceling statement due to statement timeout, which is 2s"`) {
			t.Error(got)
		}
		if got := c.ask("ROLLBACK; SELECT 1"); !strings.Contains(got, `DataRow "1"`) {
			t.Error(got)
		}
	})
}

// TestCursorsAreBounded declares one too many.
func TestCursorsAreBounded(t *testing.T) {
	w := newWorld(t)
	c := w.dial(w.serve())
	c.ready()
	c.ask("BEGIN")
	var got string
	for i := range portalsMax + 1 {
		got = c.ask(fmt.Sprintf("DECLARE c%d CURSOR FOR VALUES (1), (2)", i))
	}
	if !strings.Contains(got, "ERROR 54000") {
		t.Error(got)
	}
}
