package pgwire

import (
	"testing"

	"github.com/quipudb/quipu/query/plan"
)

// The unnamed portal's memory goes to the next one, without what it referred to.
func TestUnnamedPortalsLeaveTheirMemory(t *testing.T) {
	var p portals
	first := p.fresh("", &prepared{})
	first.args = append(first.args, plan.TextValue("a"))
	first.bytes, first.ran = 1, true
	if err := p.put(first); err != nil {
		t.Fatal(err)
	}
	if !p.close("") || p.close("") || p.bytes != 0 {
		t.Fatalf("after closing it there are %d bytes, and closing it again finds %v", p.bytes, p.unnamed)
	}
	next := p.fresh("", nil)
	if next != first || next.ran || next.st != nil || len(next.args) != 0 {
		t.Fatalf("the next portal is %+v", next)
	}
	if v := next.args[:1][0]; !v.IsNull() {
		t.Fatalf("it still holds %v", v)
	}
	if p.fresh("", nil) == first {
		t.Fatal("two portals share their memory")
	}
}

func TestNamedPortalsKeepTheirMemory(t *testing.T) {
	var p portals
	if err := p.put(p.fresh("a", nil)); err != nil {
		t.Fatal(err)
	}
	if p.close("a"); p.spare != nil {
		t.Fatal("a named portal was kept")
	}
}
