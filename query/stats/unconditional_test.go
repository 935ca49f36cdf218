package stats

import (
	"errors"
	"testing"
)

func TestUnconditionalEdges(t *testing.T) {
	if _, err := Barnard(Fourfold{}); !errors.Is(err, ErrEmpty) {
		t.Error(err)
	}
	if _, err := Boschloo(fourfold(500, 500, 500, 500)); !errors.Is(err, ErrArgument) {
		t.Error(err)
	}
	if p, err := Barnard(fourfold(3, 0, 2, 0)); p.Less != 1 || p.Greater != 1 || p.P != 1 || !p.Warnings.Has(OneLevel) || err != nil {
		t.Error(p, err)
	}
	if p, err := Boschloo(fourfold(3, 0, 2, 0)); p.Less != 1 || p.Greater != 1 || p.P != 1 || !p.Warnings.Has(OneLevel) || err != nil {
		t.Error(p, err)
	}
}

func TestExactConditionalRefuses(t *testing.T) {
	if _, err := ExactConditional(nil); !errors.Is(err, ErrEmpty) {
		t.Error(err)
	}
	if _, err := ExactConditional([]Fourfold{fourfold(1e9, 1e9, 1e9, 1e9)}); !errors.Is(err, ErrArgument) {
		t.Error(err)
	}
}

// A stratum in which nothing can vary adds nothing, and one stratum is Fisher's test.
func TestExactConditionalOfOneStratum(t *testing.T) {
	f := fourfold(7, 2, 3, 8)
	e, err := ExactConditional([]Fourfold{fourfold(4, 5, 0, 0), f})
	if err != nil {
		t.Fatal(err)
	}
	want, _ := Fisher(f)
	wantClose(t, "two-sided", e.P, want.P, 1e-12)
	wantClose(t, "mid-p", e.MidP, want.MidP, 1e-12)
}
