package server

import (
	"testing"
	"testing/synctest"

	"github.com/quipudb/quipu/query/catalog"
	"github.com/quipudb/quipu/query/plan"
	"github.com/quipudb/quipu/server/rpc"
)

// TestSystemRows holds the rows that a node gives to the columns of the tables that they are for.
func TestSystemRows(t *testing.T) {
	n := start(t, t.TempDir())
	defer stopNode(t, n)
	if _, err := n.SetContext(t.Context(), rpc.ContextChange{Name: "ads", Values: map[string]string{"rate": "0.1"}, By: "me"}); err != nil {
		t.Fatal(err)
	}
	if _, err := n.OpenSession(t.Context(), "me", true); err != nil {
		t.Fatal(err)
	}
	c := catalog.New(catalog.Options{})
	for _, name := range []string{"nodes", "shards", "replicas", "contexts", "sessions", "jobs"} {
		columns := c.Relation("quipu", name).Columns
		rows, err := n.systemRows(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		if len(rows) == 0 && name != "jobs" {
			t.Errorf("quipu.%s is empty", name)
		}
		for _, row := range rows {
			if len(row) != len(columns) {
				t.Fatalf("quipu.%s has %d columns, a row has %d values", name, len(columns), len(row))
			}
			for i, v := range row {
				if v.Type != columns[i].Type && v.Type != plan.Unknown {
					t.Errorf("quipu.%s.%s is %s, a row has %s", name, columns[i].Name, columns[i].Type, v.Type)
				}
			}
		}
	}
}

// TestSystemTablesShowAllNodes holds that any node shows all of them, and one that is gone as not ready.
func TestSystemTablesShowAllNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, "a", "b", "c")
		defer c.stopAll()
		c.waitVoters("a", "b", "c")
		c.beating()
		count := func(sql string) int64 {
			t.Helper()
			got, err := readAt(t.Context(), c.nodes["b"], sql)
			if err != nil {
				t.Fatal(err)
			}
			return got.value
		}
		for sql, want := range map[string]int64{
			"SELECT count(*) FROM quipu.nodes WHERE ready AND state = 'active' AND weight BETWEEN 0.2 AND 1": 3,
			"SELECT count(*) FROM quipu.replicas":                                                                        12,
			"SELECT count(*) FROM quipu.replicas WHERE state = 'Leader'":                                                 4,
			"SELECT count(*) FROM quipu.shards s JOIN quipu.nodes n ON n.id = s.leader WHERE s.voters = 3":               3,
			"SELECT count(*) FROM quipu.replicas WHERE applied_index <= commit_index AND durable_index <= applied_index": 12,
		} {
			if got := count(sql); got != want {
				t.Errorf("%s: %d, want %d", sql, got, want)
			}
		}
		c.kill("a")
		c.wait("the others lead", func() bool {
			return count("SELECT count(*) FROM quipu.shards WHERE leader IS NOT NULL") == 3 && count("SELECT count(*) FROM quipu.replicas WHERE state = 'Leader'") == 4
		})
		if got := count("SELECT count(*) FROM quipu.nodes WHERE NOT ready AND uptime_seconds IS NULL"); got != 1 {
			t.Errorf("%d nodes are not there", got)
		}
	})
}
