package server

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/quipudb/quipu/server/errcode"
	"github.com/quipudb/quipu/server/rpc"
)

// ask runs a statement as the node's own machine, and gives its rows as text.
func ask(t *testing.T, n *Node, text string) ([]string, error) {
	t.Helper()
	var r rows
	err := n.queries().Query(t.Context(), &rpc.Query{Principal: "local", Database: "quipu", SQL: text}, &r)
	return r.text, err
}

// DELETE ends windows on every shard, for good: what comes later for them is late. The window of the present stays.
func TestDeleteEndsWindowsForGood(t *testing.T) {
	dir := t.TempDir()
	n := start(t, dir)
	must := func(text string) []string {
		t.Helper()
		out, err := ask(t, n, text)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		return out
	}
	hour := n.cfg.Now().UTC().Truncate(time.Hour)
	ago := func(hours int) string {
		return hour.Add(-time.Duration(hours) * time.Hour).Format("'2006-01-02 15:04:05Z'")
	}
	must("CREATE TABLE hits (page text) WITH (window = '1h')")
	for i := range 12 {
		must(fmt.Sprintf("INSERT INTO hits (page, ts, count) VALUES ('p%d', %s, 10), ('p%d', %s, 7), ('p%d', now(), 1)", i, ago(3), i, ago(2), i))
	}
	must("DELETE FROM hits WHERE ts < " + ago(2))
	left := []string{"[12 96]"}
	if got := must("SELECT count(DISTINCT page), sum(count) FROM hits"); !slices.Equal(got, left) {
		t.Errorf("%v are left, want %v", got, left)
	}
	if _, err := ask(t, n, "INSERT INTO hits (page, ts) VALUES ('p1', "+ago(3)+")"); !errors.Is(err, errcode.New(errcode.Late, "")) {
		t.Errorf("a row of a window that was deleted: %v", err)
	}
	if _, err := ask(t, n, "DELETE FROM hits WHERE ts < now() + interval '2 hours'"); !errors.Is(err, errcode.New(errcode.Invalid, "")) {
		t.Errorf("deleting what is to come: %v", err)
	}
	must("INSERT INTO hits (page) VALUES ('p1')")
	stopNode(t, n)
	n = start(t, dir)
	defer stopNode(t, n)
	left = []string{"[12 97]"}
	if got := must("SELECT count(DISTINCT page), sum(count) FROM hits"); !slices.Equal(got, left) {
		t.Errorf("after a restart %v are left, want %v", got, left)
	}
}
