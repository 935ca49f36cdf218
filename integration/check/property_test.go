package check

import (
	"testing"

	"github.com/anishathalye/porcupine"
)

// TestSoundStoreNeverFails is the property that makes a failure mean something.
func TestSoundStoreNeverFails(t *testing.T) {
	for _, w := range []workload{small, medium, {shards: 1, clients: 5, adds: 20, reads: 20, deltaMax: 3}, {shards: 3, clients: 4, adds: 30, reads: 30, deltaMax: 1, wide: true}} {
		for seed := range uint64(300) {
			if err := Verify(simulate(seed, w, sound)); err != nil {
				t.Fatalf("seed %d of %+v: %v", seed, w, err)
			}
		}
	}
}

// TestPlantedBugsAreCaught counts in how many runs each bug is found, by which checker.
func TestPlantedBugsAreCaught(t *testing.T) {
	const seeds = 20
	for _, b := range bugs {
		t.Run(b.name, func(t *testing.T) {
			var all, bounds, graph int
			for seed := range uint64(seeds) {
				l, err := Prepare(simulate(seed, medium, b))
				if err != nil {
					t.Fatal(err)
				}
				all += caught(l.All())
				bounds += caught(l.Bounds())
				graph += caught(l.Graph())
			}
			t.Logf("of %d runs: %d by any checker, %d by Graph, %d by Bounds", seeds, all, graph, bounds)
			if all != graph {
				t.Errorf("Graph is exact, and missed %d runs that others caught", all-graph)
			}
			if all < seeds*9/10 {
				t.Errorf("caught in %d of %d runs", all, seeds)
			}
		})
	}
}

func caught(a []Anomaly) int { return min(1, len(a)) }

// counters is the serial specification, for a search over all orders.
var counters = porcupine.Model{
	Init: func() any { return "" },
	Step: func(state, input, output any) (bool, any) {
		h := input.(call).h
		cells := decodeState(state.(string), h)
		if i := input.(call).add; i >= 0 {
			a := &h.Adds[i]
			cells[a.Shard*h.Writers+a.Writer] += byte(a.Delta)
			return true, string(cells)
		}
		for _, v := range h.Reads[input.(call).read].Views {
			sum := int64(0)
			for w, want := range v.Cells {
				got := int64(cells[v.Shard*h.Writers+w])
				sum += got
				if got != want {
					return false, state
				}
			}
			if sum != v.Sum {
				return false, state
			}
		}
		return true, state
	},
}

type call struct {
	h         *History
	add, read int
}

func decodeState(s string, h *History) []byte {
	cells := make([]byte, h.Shards*h.Writers)
	copy(cells, s)
	return cells
}

// legal searches for a serial order.
func legal(t *testing.T, h *History) bool {
	t.Helper()
	var ops []porcupine.Operation
	for i, a := range h.Adds {
		if a.Outcome != Refused {
			ops = append(ops, porcupine.Operation{ClientId: i, Input: call{h, i, -1}, Call: 2 * a.Call, Return: after(a.Return)})
		}
	}
	for i, r := range h.Reads {
		ops = append(ops, porcupine.Operation{ClientId: len(h.Adds) + i, Input: call{h, -1, i}, Call: 2 * r.Call, Return: after(r.Return)})
	}
	return porcupine.CheckOperations(counters, ops)
}

// after puts responses behind the calls of the same time, so that equal times are concurrent.
func after(t int64) int64 {
	if t == Never {
		return Never
	}
	return 2*t + 1
}

// TestAgreesWithSearch compares the checkers with a search over all orders, on small histories of which many are illegal: views at random
// instants near their reads. Graph must agree on every one, Strict on those whose reads all cover all shards, and Bounds and Levels must
// accept what is legal.
func TestAgreesWithSearch(t *testing.T) {
	shaky := bug{chance: 0.5, read: bugs[len(bugs)-1].read}
	blurred := bug{chance: 0.3, read: bugs[8].read}
	illegal, runs := 0, 0
	for _, b := range []bug{sound, shaky, blurred} {
		for _, w := range []workload{small, {shards: 2, clients: 4, adds: 2, reads: 2, deltaMax: 5, wide: true}, {shards: 3, clients: 3, adds: 2, reads: 3, deltaMax: 5}} {
			for seed := range uint64(500) {
				h := simulate(seed, w, b)
				want := legal(t, h)
				runs++
				if !want {
					illegal++
				}
				compareVerdicts(t, h, w.wide, want)
			}
		}
	}
	t.Logf("%d histories, %d of them illegal", runs, illegal)
	if illegal < runs/10 {
		t.Errorf("%d illegal histories of %d show too little", illegal, runs)
	}
}

func compareVerdicts(t *testing.T, h *History, wide, legal bool) {
	t.Helper()
	l, err := Prepare(h)
	if err != nil {
		t.Fatalf("%v\n%v", err, h)
	}
	if got := len(l.Graph()) == 0; got != legal {
		t.Fatalf("Graph says legal = %v, a search says %v\n%v\n%v", got, legal, h, l.Graph())
	}
	if got := len(l.Strict()) == 0; wide && got != legal {
		t.Fatalf("Strict says legal = %v, a search says %v\n%v\n%v", got, legal, h, l.Strict())
	}
	if legal && len(l.All()) > 0 {
		t.Fatalf("a legal history is refused\n%v\n%v", h, l.All())
	}
}
