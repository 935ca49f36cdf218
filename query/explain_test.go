package query_test

import (
	"encoding/json"
	"strings"
	"testing"
)

// TestExplainAnalyze holds that EXPLAIN (ANALYZE, FORMAT json) is one value with what the run took, and that the text says as much.
func TestExplainAnalyze(t *testing.T) {
	w := examples(t)
	a := w.must("EXPLAIN (ANALYZE, FORMAT json) SELECT dept, chi2_test(gender, admitted) FROM admissions WHERE dept <> 'C' GROUP BY dept")
	if len(a.rows) != 1 || len(a.rows[0]) != 1 || a.columns[0].Type.String() != "json" {
		t.Fatalf("%d rows of %v", len(a.rows), a.columns)
	}
	var plans []struct {
		Plan struct {
			Type  string `json:"Node Type"`
			Rows  int    `json:"Actual Rows"`
			Loops int    `json:"Actual Loops"`
			Plans []struct {
				Type   string `json:"Node Type"`
				Rows   int    `json:"Actual Rows"`
				Mode   string
				Filter string
				Cells  int      `json:"Scanned Cells"`
				Time   *float64 `json:"Fragment Time"`
			}
		}
		Planning  *float64 `json:"Planning Time"`
		Execution *float64 `json:"Execution Time"`
		Level     string
	}
	if err := json.Unmarshal([]byte(a.rows[0][0].Text()), &plans); err != nil {
		t.Fatal(err)
	}
	p := plans[0]
	if p.Plan.Type != "Project" || p.Plan.Rows != 2 || p.Plan.Loops != 1 || p.Planning == nil || p.Execution == nil || p.Level != "strict" {
		t.Errorf("%+v", p)
	}
	if s := p.Plan.Plans[0]; s.Type != "Aggregate" || s.Rows != 2 || s.Mode != "local" || s.Filter != "dept <> 'C'" || s.Cells != 8 || s.Time == nil {
		t.Errorf("%+v", s)
	}
	text := w.must("EXPLAIN ANALYZE SELECT dept FROM admissions").text(false)
	for _, want := range []string{"Project: dept (actual rows=12 loops=1)", "Rows: 12", "Planning time: ", "Execution time: ", "time: ", "Level: strict"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}
