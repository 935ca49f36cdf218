package server

import (
	"testing"

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
