package stats

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// fourfoldFixture is what this file reads of a two-way fixture.
type fourfoldFixture struct {
	ID       string
	Table    [][]int64
	Tags     []string
	Expected struct {
		DF       int64
		TwoByTwo map[string]any `json:"two_by_two"`
	}
}

// eachFourfold calls fn with every 2×2 table of the fixtures.
func eachFourfold(t *testing.T, fn func(t *testing.T, f Fourfold, want map[string]any)) {
	files, err := filepath.Glob("testdata/*.json")
	if err != nil || len(files) == 0 {
		t.Fatal("no fixtures", err)
	}
	seen := 0
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var doc fourfoldFixture
		if json.Unmarshal(raw, &doc) != nil || len(doc.Table) != 2 || len(doc.Table[0]) != 2 || doc.Expected.TwoByTwo == nil {
			continue
		}
		seen++
		t.Run(doc.ID, func(t *testing.T) {
			f, err := NewFourfold(doc.Table[0][0], doc.Table[0][1], doc.Table[1][0], doc.Table[1][1])
			if err != nil {
				t.Fatal(err)
			}
			fn(t, f, doc.Expected.TwoByTwo)
		})
	}
	if seen < 15 {
		t.Fatalf("only %d tables", seen)
	}
}

// wantAt compares one leaf of a fixture, where it is there.
func wantAt(t *testing.T, want map[string]any, key string, got, rel float64) {
	t.Helper()
	leaf, ok := want[key]
	if !ok || leaf == nil {
		return
	}
	x := gridNumber(t, leaf)
	switch {
	case strings.HasPrefix(key, "log_p"):
		wantLn(t, key, got, x)
	case x < 1e-300 && x > 0:
		wantP(t, key, got, x)
	default:
		if !(relErr(got, x) <= rel) && math.Abs(got-x) > 1e-300 {
			t.Errorf("%s = %.17g, want %.17g (relative error %.2g)", key, got, x, relErr(got, x))
		}
	}
}

func TestFisherFixtures(t *testing.T) {
	eachFourfold(t, func(t *testing.T, f Fourfold, want map[string]any) {
		fisher, ok := want["fisher"].(map[string]any)
		if !ok {
			return
		}
		e, err := Fisher(f)
		if err != nil {
			t.Fatal(err)
		}
		for key, got := range map[string]float64{
			"p_two_sided": e.P, "log_p_two_sided": e.LnP, "p_less": e.Less, "p_greater": e.Greater, "p_central": e.Central,
			"p_observed_table": e.Observed, "mid_p_two_sided": e.MidP, "mid_p_less": e.MidLess, "mid_p_greater": e.MidGreater,
		} {
			wantAt(t, fisher, key, got, 1e-10)
		}
	})
}
