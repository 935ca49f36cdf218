package check

import (
	"strings"
	"testing"
)

// TestShrinkFindsTheSmallest shrinks large histories of broken stores to the sizes of the catalogue.
func TestShrinkFindsTheSmallest(t *testing.T) {
	for _, c := range []struct {
		bug  string
		kind Kind
		ops  int // adds and reads that are left at most
	}{
		{"doubled add", Doubled, 2}, {"lost add", Lost, 3}, {"half a part", Partial, 2}, {"wrong shard", Misrouted, 2},
		{"refused and counted", Ghost, 2}, {"a view of the past", StaleRead, 2}, {"a view of the future", Future, 2},
		{"each shard at its own instant", Fractured, 3}, {"each shard at its own instant", Fork, 4},
	} {
		t.Run(string(c.kind), func(t *testing.T) {
			has := func(h *History) bool {
				l, err := Prepare(h)
				return err == nil && strings.Contains(describeAll(l.Strict())+describeAll(l.Graph()), ": "+string(c.kind)+":")
			}
			for seed := range uint64(50) {
				h := simulate(seed, workload{shards: 3, clients: 6, adds: 20, reads: 10, deltaMax: 1 << 32}, named(c.bug))
				if !has(h) {
					continue
				}
				less := Shrink(h, has)
				if !has(less) {
					t.Fatalf("what is left does not fail:\n%v", less)
				}
				if n := len(less.Adds) + len(less.Reads); n > c.ops {
					t.Errorf("seed %d: %d operations left of %d, want %d at most\n%v", seed, n, len(h.Adds)+len(h.Reads), c.ops, less)
				}
				return
			}
			t.Errorf("no seed shows %s", c.kind)
		})
	}
}

func describeAll(all []Anomaly) string {
	var b strings.Builder
	for _, a := range all {
		b.WriteString(a.String() + "\n")
	}
	return b.String()
}

func named(name string) bug {
	for _, b := range bugs {
		if b.name == name {
			return b
		}
	}
	panic(name)
}
