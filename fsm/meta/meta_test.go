package meta

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quipudb/quipu/fsm"
	"github.com/quipudb/quipu/proto/command/v1"
	"github.com/quipudb/quipu/storage/schema"
)

func TestFeedGivesEveryChangeOnceAndWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f Feed
		f.reset(10)
		early, late := f.Subscribe(10), f.Subscribe(12)
		got := make(chan []Change, 1)
		go func() {
			c, _ := early.Next(t.Context())
			got <- c
		}()
		synctest.Wait()
		f.publish([]Change{{Revision: 11, Name: "a"}, {Revision: 11, Name: "b"}, {Revision: 13, Name: "c"}})
		if c := <-got; len(c) != 3 || early.Revision() != 13 {
			t.Errorf("got %v up to %d", c, early.Revision())
		}
		if c, err := late.Next(t.Context()); err != nil || len(c) != 1 || c[0].Name != "c" {
			t.Errorf("after 12: %v, %v", c, err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := late.Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("nothing new: %v", err)
		}
		if _, err := f.Subscribe(9).Next(ctx); !errors.Is(err, ErrGone) {
			t.Errorf("before the history: %v", err)
		}
	})
}

func TestFeedIsBoundedAndNeverCutsARevision(t *testing.T) {
	var f Feed
	f.reset(0)
	slow, revision := f.Subscribe(0), uint64(0)
	for range 4 * historyMax {
		revision++
		f.publish([]Change{{Revision: revision}, {Revision: revision}})
		if len(f.all) > 2*historyMax+2 {
			t.Fatalf("%d changes are kept", len(f.all))
		}
	}
	if _, _, err := slow.poll(); !errors.Is(err, ErrGone) {
		t.Errorf("a slow subscriber: %v, want ErrGone", err)
	}
	changes, _, err := f.Subscribe(f.floor).poll()
	if err != nil || len(changes)%2 != 0 || changes[0].Revision != f.floor+1 || changes[1].Revision != f.floor+1 {
		t.Errorf("from the floor %d: %d changes, %v", f.floor, len(changes), err)
	}
	f.reset(revision)
	if _, _, err := f.Subscribe(revision).poll(); err != nil {
		t.Errorf("after a reset: %v", err)
	}
}

// TestSubscriberOfAReplacedState: the revision may look fine, but changes between may be missing.
func TestSubscriberOfAReplacedState(t *testing.T) {
	var f Feed
	f.reset(10)
	s := f.Subscribe(10)
	f.reset(10)
	if _, err := s.Next(t.Context()); !errors.Is(err, ErrGone) {
		t.Errorf("Next = %v, want ErrGone", err)
	}
}

// TestDeadIsTheComplementOfLive compares ranges with a plain set, for random sets of live sessions.
func TestDeadIsTheComplementOfLive(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 0))
	for range 300 {
		issued, live := uint64(0), map[uint64]bool{}
		for id := uint64(1); id < 60; id++ {
			if rng.IntN(3) == 0 {
				issued = id
				live[id] = rng.IntN(2) == 0
			}
		}
		var ids []uint64
		for id, alive := range live {
			if alive {
				ids = append(ids, id)
			}
		}
		slices.Sort(ids)
		x := dead(ids, issued)
		for id := uint64(1); id < 70; id++ {
			in := id <= x.Watermark
			for _, r := range x.Ranges {
				in = in || r.From <= id && id <= r.To
			}
			if want := id <= issued && !live[id]; in != want {
				t.Fatalf("live %v issued %d: %d dead=%v, want %v (%+v)", ids, issued, id, in, want, x)
			}
		}
		if len(ids) > 0 && x.Watermark != ids[0]-1 || len(ids) == 0 && x.Watermark != issued {
			t.Fatalf("watermark %d for %v of %d", x.Watermark, ids, issued)
		}
	}
}

func TestQuotas(t *testing.T) {
	r := newRig(t)
	for range DurableSessionsMax {
		if got := r.do(&command.OpenSession{Principal: "ann", Durable: true}); got.Refusal != nil {
			t.Fatal(got.Refusal)
		}
	}
	if got := r.do(&command.OpenSession{Principal: "ann", Durable: true}); got.Refusal == nil || got.Refusal.Code != fsm.Quota {
		t.Errorf("one durable session too many: %v", got.Refusal)
	}
	last := r.do(&command.OpenSession{Principal: "bob", Durable: true})
	if last.Refusal != nil {
		t.Errorf("another principal: %v", last.Refusal)
	}
	if got := r.do(&command.CloseSession{ID: last.Session.ID - 2, Principal: "ann"}); got.Refusal != nil {
		t.Fatal(got.Refusal)
	}
	if got := r.do(&command.OpenSession{Principal: "ann", Durable: true}); got.Refusal != nil {
		t.Errorf("after one was closed: %v", got.Refusal)
	}
	if got := r.do(&command.OpenSession{Principal: strings.Repeat("x", 256)}); got.Refusal == nil || got.Refusal.Code != fsm.InvalidOption {
		t.Errorf("a long principal: %v", got.Refusal)
	}
}

func TestHistoryIsBounded(t *testing.T) {
	r := newRig(t)
	for i := range 3 * HistoryMax {
		r.do(&command.SetContext{Name: "web", IfVersion: uint64(i), Values: map[string]string{"label": fmt.Sprint(i)}})
	}
	check := func() {
		t.Helper()
		h := r.m.View().History("web")
		if len(h) != HistoryMax || h[0].Version != 3*HistoryMax || h[HistoryMax-1].Version != 2*HistoryMax+1 {
			t.Errorf("%d versions, from %d to %d", len(h), h[0].Version, h[len(h)-1].Version)
		}
	}
	check()
	r.Checkpoint()
	r.Crash()
	check()
}

// TestViewsDoNotChange: what a reader holds stays as it was, whatever happens next.
func TestViewsDoNotChange(t *testing.T) {
	r := newRig(t)
	r.do(&command.CreateTable{Table: table(args{"name": "a", "cols": "x"})})
	s := r.do(&command.OpenSession{Principal: "ann"}).Session
	r.do(&command.SetContext{Name: "web", Values: map[string]string{}})
	v := r.m.View()
	r.do(&command.DropTable{ID: v.Tables()[0].ID})
	r.do(&command.CloseSession{ID: s.ID, Principal: "ann"})
	r.do(&command.SetContext{Name: "web", IfVersion: 1, Delete: true})
	if _, ok := v.Session(s.ID); !ok || len(v.Tables()) != 1 || len(v.Contexts("")) != 1 || v.Sessions() != 1 {
		t.Error("an old view changed")
	}
	if n := r.m.View(); len(n.Tables()) != 0 || len(n.Contexts("")) != 0 || n.Sessions() != 0 {
		t.Error("the new view did not")
	}
}

// TestReplay: a random log gives one state, however it is cut into batches and wherever a crash interrupts it.
func TestReplay(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 0))
	frames := randomLog(rng, 600)
	whole, cut := newRig(t), newRig(t)
	whole.Batch(frames...)
	for i := 0; i < len(frames); {
		n := min(1+rng.IntN(40), len(frames)-i)
		cut.Batch(frames[i : i+n]...)
		if i += n; rng.IntN(4) == 0 {
			cut.Checkpoint()
		}
		if rng.IntN(4) == 0 {
			cut.Crash()
			i = int(cut.Index) - 1 // the first entry was the rig's own
			if i < 0 {
				cut.do(&command.TermStart{})
				i = 0
			}
		}
	}
	if whole.Halted != nil || cut.Halted != nil {
		t.Fatalf("halted: %v, %v", whole.Halted, cut.Halted)
	}
	if whole.Hash() != cut.Hash() {
		t.Error("two replicas of one log differ")
	}
	if a, b := whole.show(), cut.show(); a != b {
		t.Errorf("views differ:\n%s\n%s", a, b)
	}
}

func randomLog(rng *rand.Rand, n int) [][]byte {
	now, frames := int64(t0), make([][]byte, n)
	name := func() string { return string(rune('a' + rng.IntN(4))) }
	id := func() uint64 { return rng.Uint64N(uint64(n)) }
	for i := range frames {
		now += rng.Int64N(90_000)
		var c command.Command
		switch rng.IntN(20) {
		case 0, 1:
			c = &command.OpenSession{Principal: name(), Durable: rng.IntN(3) == 0}
		case 2:
			c = &command.KeepAlive{IDs: []uint64{id(), id(), id()}}
		case 3:
			c = &command.CloseSession{ID: id(), Principal: name()}
		case 4:
			c = &command.CreateTable{Table: table(args{"name": name(), "cols": "x,y", "window": "1h"}), By: name()}
		case 5:
			t := table(args{"name": name(), "cols": "x,y,z", "window": "1h"})
			t.ID, t.Version = schema.TableID(id()), 1
			c = &command.AlterTable{Table: t}
		case 6:
			c = &command.TruncateTable{ID: schema.TableID(id())}
		case 7:
			c = &command.DropTable{ID: schema.TableID(id())}
		case 8:
			c = &command.DropWindows{ID: schema.TableID(id()), Before: rng.Int64N(100) * 3600}
		case 9:
			c = &command.SetContext{Name: name(), IfVersion: command.AnyVersion, Delete: rng.IntN(4) == 0, Values: map[string]string{"a": name(), "b": name()}}
		case 10, 11:
			c = &command.Lease{Op: command.LeaseOp(1 + rng.IntN(3)), Name: name(), Holder: name(), Fence: id(), TTL: rng.Int64N(200_000)}
		case 12:
			c = &command.PutImport{Import: command.Import{ID: name(), Table: schema.TableID(id())}, IfVersion: rng.Uint64N(3)}
		case 13, 14:
			is := []string{"super,login,password", "login,password", ""}[rng.IntN(3)]
			p := role(args{"name": name(), "is": is, "if": fmt.Sprint(rng.IntN(3)), "by": "a"})
			if other := name(); rng.IntN(3) == 0 && other != p.Role.Name {
				p.Role.MemberOf = []string{other}
			}
			c = p
		case 15:
			c = &command.DropRole{Name: name(), By: name()}
		case 16, 17:
			p := &command.Grant{By: name(), Revoke: rng.IntN(4) == 0, Option: rng.IntN(2) == 0, Privileges: 1 << rng.Uint32N(5), Roles: []string{name(), name()}}
			if p.Tables = []schema.TableID{schema.TableID(id())}; rng.IntN(3) == 0 {
				p.Tables, p.Privileges = nil, schema.Monitor
			}
			c = p
		case 18:
			c = &command.PutToken{Token: schema.Token{Role: name(), Name: name(), By: "a", Hash: [32]byte{byte(i), byte(i >> 8)}, Expires: now + rng.Int64N(900_000)}}
			if rng.IntN(3) == 0 {
				c = &command.DropToken{Role: name(), Name: name(), By: name()}
			}
		default:
			if c = (&command.Tick{}); rng.IntN(10) == 0 {
				now += rng.Int64N(3_600_000)
			}
		}
		c.SetStamp(now)
		frames[i], _ = command.Encode(c)
	}
	return frames
}

func TestViewAtWaits(t *testing.T) {
	r := newRig(t)
	next := r.Index + 2
	got := make(chan *View)
	go func() {
		v, _ := r.m.ViewAt(t.Context(), next)
		got <- v
	}()
	r.do(&command.Tick{})
	r.do(&command.Tick{})
	if v := <-got; v == nil || v.Revision < next {
		t.Errorf("got %+v, want revision %d", v, next)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.m.ViewAt(ctx, next+1); !errors.Is(err, context.Canceled) {
		t.Errorf("a revision that does not come: %v", err)
	}
}

func TestForeignCommandsHalt(t *testing.T) {
	r := newRig(t)
	data, _ := command.Encode(&command.SetSlots{Version: 1})
	if got := r.Batch(data); got[0] != fsm.ErrHalted || r.Halted == nil || !strings.Contains(r.Halted.Error(), "no use for SetSlots") {
		t.Errorf("got %v, halted with %v", got, r.Halted)
	}
}
