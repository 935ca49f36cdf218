package counter

import (
	"slices"
	"strings"
	"testing"

	"github.com/quipudb/quipu/fsm"
	"github.com/quipudb/quipu/proto/command/v1"
)

func (r *rig) begin(stamp int64, key string, body byte) *KeyResult {
	r.t.Helper()
	return r.Apply(&command.KeyBegin{Timed: command.Timed{Stamp: stamp}, Principal: "ann", Key: key, BodyHash: [32]byte{body}, MapVersion: 1, TTL: 600_000}).(*KeyResult)
}

func underKey(k *KeyResult, seq uint64) command.Part {
	return command.Part{Kind: command.Key, Session: k.ID, Seq: seq, MapVersion: 1, Expires: k.Expires}
}

func TestKeyRemembersTheFirstRequest(t *testing.T) {
	r := ready(t)
	first := r.begin(t0, "k", 1)
	if !first.New || first.ID != r.Index || first.Expires != t0+600_000 {
		t.Fatalf("first request: %+v", first)
	}
	if second := r.begin(t0, "k", 1); second.New || second.Done || second.ID != first.ID {
		t.Errorf("while the first runs: %+v", second)
	}
	if other := r.begin(t0, "k", 2); other.Refusal == nil || other.Refusal.Code != fsm.KeyReused {
		t.Errorf("another body: %+v", other)
	}
	finish := &command.KeyFinish{Principal: "ann", Key: "k", ID: first.ID, Response: []byte("counted 3")}
	if got := r.Apply(finish).(*KeyResult); got.Refusal != nil || !got.Done {
		t.Errorf("finish: %+v", got)
	}
	finish.Response = []byte("another")
	r.Apply(finish)
	r.Checkpoint()
	r.Crash()
	if again := r.begin(t0, "k", 1); !again.Done || string(again.Response) != "counted 3" || again.MapVersion != 1 {
		t.Errorf("after it was finished: %+v", again)
	}
	finish.ID++
	if got := r.Apply(finish).(*KeyResult); got.Refusal == nil || got.Refusal.Code != fsm.NotFound {
		t.Errorf("finish of another record: %+v", got)
	}
	finish.ID, finish.Response = first.ID, make([]byte, KeyResponseMax+1)
	if got := r.Apply(finish).(*KeyResult); got.Refusal == nil || got.Refusal.Code != fsm.InvalidOption {
		t.Errorf("a huge response: %+v", got)
	}
	for _, key := range []string{"", strings.Repeat("x", KeyBytesMax+1)} {
		if got := r.begin(t0, key, 1); got.Refusal == nil || got.Refusal.Code != fsm.InvalidOption {
			t.Errorf("key of %d bytes: %+v", len(key), got)
		}
	}
}

// TestKeyEnds: the record ends at its time; its windows live an hour longer; what comes after that is refused, so that nothing
// can be counted twice, whatever the sender's clock says.
func TestKeyEnds(t *testing.T) {
	r := ready(t)
	k := r.begin(t0, "k", 1)
	p := one(underKey(k, 1))
	r.wantParts(r.add(t0, p, plain(ab("x", "y", 1))), true, PartResult{})
	now := int64(t0)
	tick := func(by int64) {
		for range by / 15_000 { // small steps: no gap
			now += 15_000
			r.must(&command.Tick{Timed: command.Timed{Stamp: now}})
		}
	}
	tick(615_000)
	if again := r.begin(now, "k", 2); !again.New || again.ID == k.ID {
		t.Errorf("after its end the key is not free: %+v", again)
	}
	r.wantParts(r.add(now, p, plain(ab("x", "y", 1))), false, PartResult{Duplicate: true})
	tick(keyTail - 15_000)
	r.wantParts(r.add(now, p, plain(ab("x", "y", 1))), false, PartResult{Duplicate: true})
	tick(30_000)
	r.wantParts(r.add(now, p, plain(ab("x", "y", 1))), false, PartResult{Code: fsm.SessionExpired})
	if s := r.m.Status(); s.Windows != 0 {
		t.Errorf("%d windows are left", s.Windows)
	}
	if got := r.count(7, 0, "x", "y"); got != 1 {
		t.Errorf("count = %d, want 1", got)
	}
}

// TestOneWrongClockEndsNoKey: a stamp a year ahead moves time by an hour and gives records a full time again.
func TestOneWrongClockEndsNoKey(t *testing.T) {
	r := ready(t)
	k := r.begin(t0, "k", 1)
	p := one(underKey(k, 1))
	r.add(t0, p, plain(ab("x", "y", 1)))
	for range 5 {
		r.must(&command.Tick{Timed: command.Timed{Stamp: t0 + 365*dayMS}})
	}
	if now := r.m.Status().LogTime; now != t0+5*3_600_000 {
		t.Errorf("time is %d ms ahead, want five hours", now-t0)
	}
	if again := r.begin(t0, "k", 1); again.New || again.ID != k.ID {
		t.Errorf("the record ended: %+v", again)
	}
	r.wantParts(r.add(t0, p, plain(ab("x", "y", 1))), false, PartResult{Duplicate: true})
}

// TestKeysOfTwoShardsAndSessionsDoNotMeet: the same number means something else in each namespace.
func TestKeysOfTwoShardsAndSessionsDoNotMeet(t *testing.T) {
	r := ready(t)
	key := func(shard uint32) command.Part {
		return command.Part{Kind: command.Key, KeyShard: 0, Session: 9, Home: 0, Seq: 1, MapVersion: 1, Expires: t0 + 1000*int64(shard)}
	}
	a, b, c := key(1), key(1), ordinary(9, 1)
	b.KeyShard = 1
	d := a
	d.Home = 1
	for _, p := range []command.Part{a, b, c, d} {
		r.wantParts(r.add(t0, one(p), plain(ab("x", "y", 1))), true, PartResult{})
	}
	for _, p := range []command.Part{a, b, c, d} {
		r.wantParts(r.add(t0, one(p), plain(ab("x", "y", 1))), false, PartResult{Duplicate: true})
	}
}

func TestDeadSetJoins(t *testing.T) {
	var s deadSet
	join := func(want bool, watermark uint64, ranges ...command.Range) {
		t.Helper()
		if got := s.join(command.DeadIDs{Watermark: watermark, Ranges: ranges}); got != want {
			t.Errorf("join(%d, %v) = %v, want %v", watermark, ranges, got, want)
		}
	}
	join(true, 3, command.Range{From: 6, To: 8}, command.Range{From: 20, To: 20})
	join(false, 2, command.Range{From: 7, To: 7})
	join(true, 0, command.Range{From: 9, To: 10})
	join(true, 0, command.Range{From: 4, To: 4})
	if want := []command.Range{{From: 6, To: 10}, {From: 20, To: 20}}; s.Watermark != 4 || !slices.Equal(s.Ranges, want) {
		t.Errorf("got %+v, want 4 and %v", s.DeadIDs, want)
	}
	join(true, 5)
	if want := []command.Range{{From: 20, To: 20}}; s.Watermark != 10 || !slices.Equal(s.Ranges, want) {
		t.Errorf("got %+v, want 10 and %v", s.DeadIDs, want)
	}
	for id, want := range map[uint64]bool{0: true, 10: true, 11: false, 19: false, 20: true, 21: false, 1 << 63: false} {
		if s.has(id) != want {
			t.Errorf("has(%d) = %v", id, !want)
		}
	}
}
