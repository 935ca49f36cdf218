package counter

import (
	"encoding/binary"
	"hash/crc32"
	"math"
	"strings"
	"testing"

	"github.com/quipudb/quipu/fsm"
	"github.com/quipudb/quipu/proto/command/v1"
	"github.com/quipudb/quipu/proto/slot"
	"github.com/quipudb/quipu/storage/schema"
)

func (r *rig) wantParts(got *AddResult, applied bool, want ...PartResult) {
	r.t.Helper()
	if got.Applied != applied || len(got.Parts) != len(want) {
		r.t.Fatalf("got %+v, want applied=%v %+v", got, applied, want)
	}
	for i := range want {
		if got.Parts[i] != want[i] {
			r.t.Errorf("part %d: got %+v, want %+v", i, got.Parts[i], want[i])
		}
	}
}

func TestAddCountsOnce(t *testing.T) {
	r := ready(t)
	p := one(ordinary(5, 1))
	r.wantParts(r.add(t0, p, plain(ab("x", "y", 3), ab("x", null, 2))), true, PartResult{})
	r.wantParts(r.add(t0, p, plain(ab("x", "y", 3))), false, PartResult{Duplicate: true})
	if got := r.count(7, 0, "x", "y"); got != 3 {
		t.Errorf("count = %d, want 3", got)
	}
	if got := r.count(7, 0, "x", null); got != 2 {
		t.Errorf("count of NULL = %d, want 2", got)
	}
	if seen, applied, ok := r.m.Seen(&p[0]); !ok || !seen.Duplicate || applied == 0 {
		t.Errorf("Seen = %+v at %d, %v", seen, applied, ok)
	}
}

// TestLowIsRaisedBeforeTheWindowIsTested: a shard that a session uses first at number 10,001 starts there.
func TestLowIsRaisedBeforeTheWindowIsTested(t *testing.T) {
	r := ready(t)
	p := ordinary(5, 10_001)
	r.wantParts(r.add(t0, one(p), plain(ab("x", "y", 1))), false, PartResult{Code: fsm.WindowFull})
	p.AckUpTo = 10_000
	r.wantParts(r.add(t0, one(p), plain(ab("x", "y", 1))), true, PartResult{})
	p.Seq = 10_000
	r.wantParts(r.add(t0, one(p), plain(ab("x", "y", 1))), false, PartResult{Code: fsm.Stale, Value: 10_000})
	p.Seq = 10_000 + WindowSize
	r.wantParts(r.add(t0, one(p), plain(ab("x", "y", 1))), true, PartResult{})
	p.Seq++
	r.wantParts(r.add(t0, one(p), plain(ab("x", "y", 1))), false, PartResult{Code: fsm.WindowFull, Value: 10_000})
	p.AckUpTo++
	r.wantParts(r.add(t0, one(p), plain(ab("x", "y", 1))), true, PartResult{})
	if got := r.count(7, 0, "x", "y"); got != 3 {
		t.Errorf("count = %d, want 3", got)
	}
}

// TestRefusalDiscardsTheRaise: a refused part leaves low as it was, so that a number below its AckUpTo can still arrive.
func TestRefusalDiscardsTheRaise(t *testing.T) {
	r := ready(t)
	late := ordinary(5, 3)
	late.AckUpTo, late.MapVersion = 2, 1
	r.wantParts(r.add(t0, one(late), cells{7, 9, []cell{ab("x", "y", 1)}}), false, PartResult{Code: fsm.SchemaChanged})
	r.wantParts(r.add(t0, one(ordinary(5, 1)), plain(ab("x", "y", 1))), true, PartResult{})
}

// TestEntryIsAllOrNothing: one duplicate, one dead session or one bad row keeps every part out, and nothing is remembered.
func TestEntryIsAllOrNothing(t *testing.T) {
	r := ready(t)
	r.must(&command.ExpireSessions{Ordinary: command.DeadIDs{Watermark: 3}})
	r.add(t0, one(ordinary(5, 1)), plain(ab("x", "y", 1)))
	before := r.Hash()
	for name, tc := range map[string]struct {
		parts []command.Part
		cells cells
		want  []PartResult
	}{
		"duplicate":   {[]command.Part{ordinary(6, 1), ordinary(5, 1)}, plain(ab("x", "y", 2)), []PartResult{{Code: fsm.EntryRefused}, {Duplicate: true}}},
		"same twice":  {[]command.Part{ordinary(6, 1), ordinary(6, 1)}, plain(ab("x", "y", 2)), []PartResult{{Code: fsm.EntryRefused}, {Duplicate: true}}},
		"dead":        {[]command.Part{ordinary(3, 1), ordinary(6, 1)}, plain(ab("x", "y", 2)), []PartResult{{Code: fsm.SessionExpired}, {Code: fsm.EntryRefused}}},
		"below zero":  {[]command.Part{ordinary(6, 1), ordinary(6, 2)}, plain(ab("x", "y", -2)), []PartResult{{Code: fsm.EntryRefused}, {Code: fsm.EntryRefused}}},
		"new values":  {[]command.Part{ordinary(6, 1), ordinary(6, 2)}, plain(ab("new", "values", -1)), []PartResult{{Code: fsm.EntryRefused}, {Code: fsm.EntryRefused}}},
		"other table": {[]command.Part{ordinary(6, 1), ordinary(6, 2)}, cells{9, 1, []cell{ab("x", "y", 1)}}, []PartResult{{Code: fsm.EntryRefused}, {Code: fsm.EntryRefused}}},
	} {
		t.Run(name, func(t *testing.T) {
			r.wantParts(r.add(t0, tc.parts, tc.cells), false, tc.want...)
			if after := r.Hash(); after != before {
				t.Error("a refused entry left a trace")
			}
		})
	}
	r.wantParts(r.add(t0, []command.Part{ordinary(6, 1), ordinary(6, 2)}, plain(ab("x", "y", 2))), true, PartResult{}, PartResult{})
}

// TestDataRefusalsAreRemembered: alone in its entry, a part whose data is refused gets that answer for ever.
func TestDataRefusalsAreRemembered(t *testing.T) {
	long := strings.Repeat("v", schema.ValueBytesMax+1)
	for name, tc := range map[string]struct {
		cells cells
		want  PartResult
	}{
		"below zero": {plain(ab("x", "y", -2)), PartResult{Code: fsm.BelowZero, Value: -2}},
		"overflow":   {plain(ab("big", "y", math.MaxInt64)), PartResult{Code: fsm.Overflow}},
		"value":      {plain(ab(long, "y", 1)), PartResult{Code: fsm.ValueInvalid}},
		"utf-8":      {plain(ab("x", "\xff", 1)), PartResult{Code: fsm.ValueInvalid, Dim: 1}},
		"late":       {cells{8, 1, []cell{{-7200, []string{"x", "y"}, 1}}}, PartResult{Code: fsm.Late, Value: -7200}},
		"early":      {cells{8, 1, []cell{{(t0/3_600_000 + 2) * 3600, []string{"x", "y"}, 1}}}, PartResult{Code: fsm.Early, Value: (t0/3_600_000 + 2) * 3600}},
		"no bucket":  {cells{8, 1, []cell{{t0/3_600_000*3600 + 1, []string{"x", "y"}, 1}}}, PartResult{Code: fsm.ValueInvalid, Value: t0/3_600_000*3600 + 1}},
		"no time":    {plain(cell{3600, []string{"x", "y"}, 1}), PartResult{Code: fsm.ValueInvalid, Value: 3600}},
	} {
		t.Run(name, func(t *testing.T) {
			r := ready(t)
			r.must(&command.DropWindows{ID: 8, Before: 0})
			r.add(t0, one(ordinary(4, 1)), plain(ab("big", "y", 5)))
			p := one(ordinary(5, 7))
			r.wantParts(r.add(t0, p, tc.cells), false, tc.want)
			again := tc.want
			again.Duplicate = true
			r.wantParts(r.add(t0, p, plain(ab("x", "y", 1))), false, again)
			r.Checkpoint()
			r.Crash()
			if got, _, ok := r.m.Seen(&p[0]); !ok || got != again {
				t.Errorf("after a restart Seen = %+v, %v", got, ok)
			}
			if again.Message() == "" || again.Message() == again.Code.String() {
				t.Errorf("no message for %v", again.Code)
			}
			next := ordinary(5, 8)
			next.AckUpTo = 7
			r.wantParts(r.add(t0, one(next), plain(ab("x", "y", 1))), true, PartResult{})
			r.wantParts(r.add(t0, p, plain(ab("x", "y", 1))), false, PartResult{Code: fsm.Stale, Value: 7})
		})
	}
}

// TestOtherRefusalsAreNotRemembered: the same stamp counts once what stood in the way is gone.
func TestOtherRefusalsAreNotRemembered(t *testing.T) {
	r := ready(t)
	p := one(ordinary(5, 1))
	r.wantParts(r.add(t0, p, cells{9, 1, []cell{ab("x", "y", 1)}}), false, PartResult{Code: fsm.UnknownTable})
	r.wantParts(r.add(t0, p, cells{7, 2, []cell{ab("x", "y", 1)}}), false, PartResult{Code: fsm.SchemaChanged})
	table := plainTable(7)
	table.Version, table.Dims = 2, append(table.Dims, text("c"))
	r.must(&command.SetTable{Table: table})
	r.wantParts(r.add(t0, p, plain(ab("x", "y", 1))), false, PartResult{Code: fsm.SchemaChanged})
	r.wantParts(r.add(t0, p, cells{7, 2, []cell{{0, []string{"x", "y", "z"}, 1}}}), true, PartResult{})
}

func TestOverflowAtTheEdge(t *testing.T) {
	r := ready(t)
	r.wantParts(r.add(t0, one(ordinary(5, 1)), plain(ab("x", "y", math.MaxInt64))), true, PartResult{})
	r.wantParts(r.add(t0, one(ordinary(5, 2)), plain(ab("other", "y", 1))), true, PartResult{})
	r.wantParts(r.add(t0, one(ordinary(5, 3)), plain(ab("x", "y", 1))), false, PartResult{Code: fsm.Overflow})
	r.wantParts(r.add(t0, one(ordinary(5, 4)), plain(ab("x", "y", -1))), true, PartResult{})
	r.wantParts(r.add(t0, one(ordinary(5, 5)), plain(ab("x", "y", 1))), true, PartResult{})
	r.wantParts(r.add(t0, one(ordinary(5, 6)), plain(ab("x", "y", -math.MaxInt64))), true, PartResult{})
	if got := r.count(7, 0, "x", "y"); got != 0 {
		t.Errorf("count = %d, want 0", got)
	}
}

func TestCardinalityBudgetAndNotNull(t *testing.T) {
	r := ready(t)
	table := plainTable(10)
	table.Dims[0].Cardinality, table.Dims[1].NotNull = 2, true
	r.must(&command.SetTable{Table: table})
	add := func(seq uint64, rows ...cell) *AddResult { return r.add(t0, one(ordinary(5, seq)), cells{10, 1, rows}) }
	r.wantParts(add(1, ab("1", "y", 1), ab("2", "y", 1), ab("3", "y", 1)), false, PartResult{Code: fsm.Cardinality, Value: 2})
	r.wantParts(add(2, ab("1", "y", 1), ab("2", "y", 1), ab(null, "y", 1)), true, PartResult{})
	r.wantParts(add(3, ab("3", "y", 1)), false, PartResult{Code: fsm.Cardinality, Value: 2})
	r.wantParts(add(4, ab("1", null, 1)), false, PartResult{Code: fsm.NotNull, Dim: 1})
}

// TestValuesThatCameMeanwhile: what was new to the proposer may have been applied by the entry before, in another order, and one
// value may stand in an entry both ways.
func TestValuesThatCameMeanwhile(t *testing.T) {
	r := ready(t)
	first := r.encode(t0, one(ordinary(5, 1)), plain(ab("a", "x", 1), ab("b", "x", 2)))
	second := r.encode(t0, one(ordinary(5, 2)), plain(ab("c", "x", 8), ab("b", "x", 4), ab("a", "z", 16)))
	r.Batch(first, second)
	for v, want := range map[string]int64{"a": 1, "b": 6, "c": 8} {
		if got := r.count(7, 0, v, "x"); got != want {
			t.Errorf("count of %s = %d, want %d", v, got, want)
		}
	}
	b := command.NewBuilder()
	b.Part(ordinary(5, 3))
	g := b.Group(7, 1, []uint32{r.Store.Dict(7).Len(0), r.Store.Dict(7).Len(1)})
	x, _ := r.Store.Dict(7).Lookup(1, "x")
	known, _ := r.Store.Dict(7).Lookup(0, "b")
	for code, delta := range map[uint32]int64{g.Code(0, "b", known): 5, g.Code(0, "b", 0): -11} {
		if err := g.Add(0, []uint32{code, x}, delta); err != nil {
			t.Fatal(err)
		}
	}
	data, err := b.Finish(t0)
	if err != nil {
		t.Fatal(err)
	}
	r.wantParts(r.Batch(data)[0].(*AddResult), true, PartResult{}) // 6 + 5 − 11, though 6 − 11 is below zero
	if got := r.count(7, 0, "b", "x"); got != 0 {
		t.Errorf("count of b = %d, want 0", got)
	}
}

func TestSlots(t *testing.T) {
	r := newRig(t)
	r.must(&command.TermStart{Timed: command.Timed{Stamp: t0}})
	r.must(&command.SetTable{Table: plainTable(7)})
	p := ordinary(5, 1)
	p.MapVersion = 0
	r.wantParts(r.add(t0, one(p), plain(ab("x", "y", 1))), false, PartResult{Code: fsm.WrongShard})
	m := schema.EvenSlotMap(2)
	r.must(command.SlotsOf(m, 1))
	counted := 0
	for i := range 40 {
		p := ordinary(5, uint64(i)+2)
		p.MapVersion = 9 // split under another map: every cell is looked at
		v := string(rune('a' + i))
		got := r.add(t0, one(p), plain(ab(v, "y", 1), ab(v, null, 1)))
		if owned := m.Owner[slotOf(7, v)] == 1; owned != got.Applied {
			t.Errorf("value %s: applied=%v, owned=%v", v, got.Applied, owned)
		} else if owned {
			counted++
		} else if got.Parts[0].Code != fsm.WrongShard {
			t.Errorf("value %s: %v", v, got.Parts[0].Code)
		}
	}
	if counted == 0 || counted == 40 {
		t.Errorf("%d of 40 values lie on one shard of two", counted)
	}
	other := command.SlotsOf(m, 0)
	other.Version = 2
	if refusal, _ := r.Apply(other).(*fsm.Refusal); refusal == nil || refusal.Code != fsm.Conflict {
		t.Errorf("slots of another shard: %v", refusal)
	}
}

func TestDeadSessionsStayDead(t *testing.T) {
	r := ready(t)
	durable := func(session, seq uint64) command.Part {
		p := ordinary(session, seq)
		p.Kind = command.Durable
		return p
	}
	for _, session := range []uint64{4, 6, 9} {
		r.add(t0, one(ordinary(session, 1)), plain(ab("x", "y", 1)))
	}
	r.add(t0, one(durable(5, 1)), plain(ab("x", "y", 1)))
	r.must(&command.ExpireSessions{Ordinary: command.DeadIDs{Watermark: 4, Ranges: []command.Range{{From: 7, To: 9}}}})
	r.must(&command.ExpireSessions{Ordinary: command.DeadIDs{Watermark: 2}}) // an older one, late
	check := func() {
		t.Helper()
		for session, dead := range map[uint64]bool{1: true, 4: true, 5: false, 6: false, 7: true, 9: true, 10: false} {
			want := PartResult{}
			if dead {
				want.Code = fsm.SessionExpired
			}
			p := ordinary(session, 50)
			if r.m.windows[keyOf(&p)] != nil && r.m.windows[keyOf(&p)].kind == command.Durable {
				continue
			}
			got := r.add(t0, one(p), cells{99, 1, []cell{ab("x", "y", 1)}}).Parts[0].Code
			if (got == fsm.SessionExpired) != dead {
				t.Errorf("session %d: %v, dead is %v", session, got, dead)
			}
		}
		if r.m.Status().Windows != 2 { // 6 and the durable 5
			t.Errorf("%d windows, want 2", r.m.Status().Windows)
		}
	}
	check()
	r.Checkpoint()
	r.Crash()
	check()
	if got := r.add(t0, one(durable(5, 2)), plain(ab("x", "y", 1))); !got.Applied {
		t.Errorf("a durable session died with the ordinary ones: %+v", got)
	}
	if got := r.add(t0, one(ordinary(5, 3)), plain(ab("x", "y", 1))); got.Parts[0].Code != fsm.SessionExpired {
		t.Errorf("one session under two kinds: %+v", got)
	}
}

func TestDropWindows(t *testing.T) {
	r := ready(t)
	hour := int64(t0 / 3_600_000 * 3600)
	at := func(seq uint64, window int64) PartResult {
		return r.add(t0, one(ordinary(5, seq)), cells{8, 1, []cell{{window, []string{"x", "y"}, 1}}}).Parts[0]
	}
	at(1, hour)
	at(2, hour-3600)
	r.must(&command.DropWindows{ID: 8, Before: hour})
	r.must(&command.DropWindows{ID: 8, Before: hour - 3600})
	if r.count(8, hour, "x", "y") != 1 || r.count(8, hour-3600, "x", "y") != 0 {
		t.Error("the wrong windows were dropped")
	}
	if got := at(3, hour-3600); got.Code != fsm.Late {
		t.Errorf("a dropped window takes counts: %+v", got)
	}
	for id, want := range map[schema.TableID]fsm.Code{7: fsm.InvalidOption, 99: fsm.UnknownTable} {
		if refusal := r.Apply(&command.DropWindows{ID: id, Before: 1}).(*fsm.Refusal); refusal == nil || refusal.Code != want {
			t.Errorf("table %d: %v, want %v", id, refusal, want)
		}
	}
	r.must(&command.DropTable{ID: 8})
	if got := at(4, hour); got.Code != fsm.UnknownTable {
		t.Errorf("a dropped table takes counts: %+v", got)
	}
	if len(r.m.cutoffs) != 0 {
		t.Error("the cutoff of a dropped table stayed")
	}
}

func reseal(frame []byte) []byte {
	body := frame[:len(frame)-4]
	return binary.LittleEndian.AppendUint32(body, crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli)))
}

func slotOf(table schema.TableID, v string) uint16 {
	return slot.Of(uint64(table), slot.Value{Text: v})
}

func TestHalts(t *testing.T) {
	good, _ := command.Encode(&command.Tick{Timed: command.Timed{Stamp: t0 + 1}})
	flipped := append([]byte(nil), good...)
	flipped[2] ^= 1
	foreign, _ := command.Encode(&command.OpenSession{Principal: "ann"})
	for name, tc := range map[string]struct {
		data []byte
		want string
	}{
		"checksum":     {flipped, "checksum"},
		"meta command": {foreign, "a shard has no use for OpenSession"},
		"newer":        {reseal(append([]byte{2}, good[1:]...)), "version 2"},
	} {
		t.Run(name, func(t *testing.T) {
			r := ready(t)
			index := r.Index + 2
			results := r.Batch(good, tc.data, good)
			if r.Halted == nil || !strings.Contains(r.Halted.Error(), tc.want) || !strings.Contains(r.Halted.Error(), "entry 6 of term 1") || index != 6 {
				t.Fatalf("halted with %v, want %q at entry %d", r.Halted, tc.want, index)
			}
			if results[2] != fsm.ErrHalted || r.Batch(good)[0] != fsm.ErrHalted {
				t.Errorf("a halted machine went on: %v", results)
			}
		})
	}
}
