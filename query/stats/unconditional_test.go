package stats

import (
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"testing"
)

func TestUnconditionalFixtures(t *testing.T) {
	eachFourfold(t, func(t *testing.T, f Fourfold, want map[string]any) {
		u, ok := want["unconditional"].(map[string]any)
		if !ok {
			return
		}
		b, err := Barnard(f)
		if err != nil {
			t.Fatal(err)
		}
		o, err := Boschloo(f)
		if err != nil {
			t.Fatal(err)
		}
		for key, got := range map[string]float64{"barnard_pooled_less": b.Less, "barnard_pooled_greater": b.Greater,
			"barnard_pooled_two_sided": b.TwoSided, "boschloo_less": o.Less, "boschloo_greater": o.Greater, "boschloo_two_sided": o.TwoSided} {
			if x := gridNumber(t, u[key]); math.Abs(got-x) > 1e-9 {
				t.Errorf("%s = %.15g, want %.15g", key, got, x)
			}
		}
	})
}

func TestUnconditionalEdges(t *testing.T) {
	if _, err := Barnard(Fourfold{}); !errors.Is(err, ErrEmpty) {
		t.Error(err)
	}
	if _, err := Boschloo(fourfold(500, 500, 500, 500)); !errors.Is(err, ErrArgument) {
		t.Error(err)
	}
	if p, err := Barnard(fourfold(3, 0, 2, 0)); p != (UnconditionalP{1, 1, 1}) || err != nil {
		t.Error(p, err)
	}
	if p, err := Boschloo(fourfold(3, 0, 2, 0)); p != (UnconditionalP{1, 1, 1}) || err != nil {
		t.Error(p, err)
	}
}

func TestExactConditionalFixtures(t *testing.T) {
	files, _ := filepath.Glob("testdata/*.json")
	seen := 0
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var doc struct {
			Strata   [][][]int64
			Expected struct {
				S map[string]any `json:"stratified_2x2"`
			}
		}
		if json.Unmarshal(raw, &doc) != nil {
			continue
		}
		want, ok := doc.Expected.S["exact_conditional"].(map[string]any)
		if !ok {
			continue
		}
		seen++
		var strata []Fourfold
		for _, s := range doc.Strata {
			f, err := NewFourfold(s[0][0], s[0][1], s[1][0], s[1][1])
			if err != nil {
				t.Fatal(err)
			}
			strata = append(strata, f)
		}
		e, err := ExactConditional(strata)
		if err != nil {
			t.Fatal(err)
		}
		wantAt(t, want, "p_less", e.Less, 1e-10)
		wantAt(t, want, "p_greater", e.Greater, 1e-10)
		wantAt(t, want, "p_two_sided", e.P, 1e-10)
	}
	if seen == 0 {
		t.Error("no fixture")
	}
	if _, err := ExactConditional(nil); !errors.Is(err, ErrEmpty) {
		t.Error(err)
	}
	if _, err := ExactConditional([]Fourfold{fourfold(1e9, 1e9, 1e9, 1e9)}); !errors.Is(err, ErrArgument) {
		t.Error(err)
	}
}
