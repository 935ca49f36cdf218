package replica

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/quipudb/quipu/proto/command/v1"
	"github.com/quipudb/quipu/storage/schema"
)

// growing is a dictionary that the machine adds "b" to between two looks of a proposer.
type growing struct{ n uint32 }

func (g *growing) Len(int) uint32 { return g.n }

func (g *growing) Lookup(_ int, value string) (uint32, bool) {
	g.n = 1
	return 1, value == "b"
}

// TestValuesAppliedDuringTheLookKeepTheirRows: a part whose values are applied while it looks them up names each row's value and no other.
func TestValuesAppliedDuringTheLookKeepTheirRows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeShard(t)
		defer s.p.Close()
		dict := &growing{}
		s.p.opts.Dict = func(schema.TableID, uint64) (Dict, error) { return dict, nil }
		part := onePart(1, 1)
		part.Cols = []PartColumn{{Values: []schema.Value{schema.V("a"), schema.V("b")}, Codes: []uint32{0, 0, 1}}}
		part.Len = 3
		done := waiting(s.p.Propose(part), t.Context())
		synctest.Wait()
		f := s.entries[0]
		got := countsOf(t, f.add, "b")
		f.finish(Verdict{})
		if a := <-done; a.err != nil {
			t.Fatal(a.err)
		}
		if want := []cellCount{{"a", 2}, {"b", 1}}; !slices.Equal(got, want) {
			t.Errorf("the entry counts %v, want %v", got, want)
		}
	})
}

type cellCount struct {
	value string
	count int64
}

// countsOf reads the cells of an entry over one dimension as a machine does whose dictionary holds the applied values.
func countsOf(t *testing.T, add *command.Add, applied ...string) (out []cellCount) {
	t.Helper()
	var cells command.Cells
	if err := add.Groups[0].Scan(&cells); err != nil {
		t.Fatal(err)
	}
	known := add.Groups[0].Dims[0].Known
	values := append(slices.Clone(applied[:known]), add.Groups[0].Dims[0].New...)
	for i, code := range cells.Cols[0] {
		out = append(out, cellCount{values[code-1], cells.Deltas[i]})
	}
	slices.SortFunc(out, func(a, b cellCount) int { return strings.Compare(a.value, b.value) })
	return out
}

// A part that was refused before it came to a proposer has its answer: a caller whose time is up gets it, or the end of his time.
func TestRefusedPartHasNoProposerToLeave(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	refused := errors.New("no leader is known")
	for range 100 { // a select takes either of two that are ready
		if _, err := Refused(refused).Wait(ctx); !errors.Is(err, refused) {
			t.Fatalf("got %v", err)
		}
	}
}
