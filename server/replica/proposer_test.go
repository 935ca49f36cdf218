package replica

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/hashicorp/raft"

	"github.com/quipudb/quipu/proto/command/v1"
	"github.com/quipudb/quipu/server/errcode"
	"github.com/quipudb/quipu/storage/schema"
)

// fakeFuture is an entry whose fate the test decides.
type fakeFuture struct {
	add   *command.Add
	index uint64
	err   error
	resp  []Verdict
	done  chan struct{}
}

func (f *fakeFuture) Error() error  { <-f.done; return f.err }
func (f *fakeFuture) Index() uint64 { return f.index }
func (f *fakeFuture) Response() any { return f.resp }

// finish answers every part of the entry alike.
func (f *fakeFuture) finish(v Verdict) {
	f.resp = make([]Verdict, len(f.add.Parts))
	for i := range f.resp {
		f.resp[i] = v
	}
	close(f.done)
}

// stop answers what the scenario has left open.
func (s *fakeShard) stop() {
	s.stopped = true
	for _, f := range s.entries {
		if f.resp == nil && f.err == nil {
			f.err = raft.ErrRaftShutdown
			close(f.done)
		}
	}
}

type noValues struct{}

func (noValues) Lookup(int, string) (uint32, bool) { return 0, false }
func (noValues) Len(int) uint32                    { return 0 }

// fakeShard is the group under a proposer.
type fakeShard struct {
	t       *testing.T
	entries []*fakeFuture // in the order of the log
	seen    map[uint64]Verdict
	stopped bool
	room    chan struct{} // closed: there is always room
	cells   int
	p       *Proposer
}

func newFakeShard(t *testing.T) *fakeShard {
	s := &fakeShard{t: t, seen: map[uint64]Verdict{}, room: make(chan struct{}), cells: math.MaxInt}
	close(s.room)
	s.p = NewProposer(ProposerOptions{
		Shard: 3,
		Apply: s.apply,
		Stamp: func() int64 { return 1 },
		Admit: func() error { return nil },
		Room: func(ctx context.Context) error {
			select {
			case <-s.room:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		},
		Cells: func() int { return s.cells },
		Pass:  func(context.Context, uint64) error { return nil },
		Dict:  func(schema.TableID, uint64) (Dict, error) { return noValues{}, nil },
		Read:  func(r any) ([]Verdict, error) { return r.([]Verdict), nil },
		Seen: func(p command.Part) (Verdict, uint64, bool) {
			v, ok := s.seen[p.Seq]
			return v, 7, ok
		},
	})
	return s
}

func (s *fakeShard) apply(data []byte) Future {
	c, err := command.Decode(data)
	if err != nil {
		s.t.Error(err)
	}
	f := &fakeFuture{add: c.(*command.Add), index: uint64(len(s.entries) + 10), done: make(chan struct{})}
	if s.stopped {
		f.err = raft.ErrRaftShutdown
		close(f.done)
	}
	s.entries = append(s.entries, f)
	return f
}

// seqs are the stamps of each entry so far.
func (s *fakeShard) seqs() (out [][]uint64) {
	synctest.Wait()
	for _, f := range s.entries {
		var in []uint64
		for _, p := range f.add.Parts {
			in = append(in, p.Seq)
		}
		out = append(out, in)
	}
	return out
}

func (s *fakeShard) want(entries ...[]uint64) {
	s.t.Helper()
	if got := s.seqs(); !slices.EqualFunc(got, entries, slices.Equal) {
		s.t.Fatalf("entries %v, want %v", got, entries)
	}
}

func onePart(session, seq uint64) *Part {
	return &Part{
		Stamp: command.Part{Kind: command.Ordinary, Session: session, Seq: seq, Home: 3},
		Table: &schema.Table{ID: 5, Version: 1, Dims: make([]schema.Dimension, 1)},
		Cols:  []PartColumn{{Values: []schema.Value{schema.V("a")}}}, Len: 1,
	}
}

// fullPart leaves no room for the count of another in its entry.
func fullPart(session, seq uint64) *Part {
	p := onePart(session, seq)
	p.Counts = []int64{math.MaxInt64}
	return p
}

// answer is what Wait said.
type answer struct {
	out Outcome
	err error
}

func waiting(pd *Pending, ctx context.Context) chan answer {
	c := make(chan answer, 1)
	go func() {
		out, err := pd.Wait(ctx)
		c <- answer{out, err}
	}()
	return c
}

// play runs one scenario in virtual time.
func play(t *testing.T, f func(t *testing.T, s *fakeShard)) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeShard(t)
		defer s.p.Close()
		defer s.stop()
		f(t, s)
	})
}

func (s *fakeShard) propose(parts ...*Part) (out []chan answer) {
	for _, p := range parts {
		out = append(out, waiting(s.p.Propose(p), s.t.Context()))
		synctest.Wait()
	}
	return out
}

func TestProposerCoalescesWhileTwoAreInFlight(t *testing.T) {
	play(t, func(t *testing.T, s *fakeShard) {
		a := s.propose(onePart(1, 1), onePart(1, 2), onePart(1, 3), onePart(1, 4), onePart(1, 5))
		s.want([]uint64{1}, []uint64{2})
		s.entries[0].finish(Verdict{})
		s.want([]uint64{1}, []uint64{2}, []uint64{3, 4, 5})
		if n := s.p.Stats().Cells.Load(); n != 3 {
			t.Errorf("%d cells, want 3: equal cells of an entry are one", n)
		}
		s.entries[1].finish(Verdict{})
		s.entries[2].finish(Verdict{Duplicate: true})
		for i, c := range a {
			if r := <-c; r.err != nil || r.out.Duplicate != (i > 1) || r.out.Index != uint64(min(i, 2)+10) {
				t.Errorf("part %d: %+v", i+1, r)
			}
		}
		if len(s.p.live) != 0 {
			t.Errorf("%d parts are still live", len(s.p.live))
		}
	})
}

// The builder must not take the length of a shared column of zeros for the number of rows.
func TestColumnsOfOneValueCountEachRowOnce(t *testing.T) {
	play(t, func(t *testing.T, s *fakeShard) {
		p := onePart(1, 1)
		p.Len = 3
		s.propose(p)
		var cells command.Cells
		if err := s.entries[0].add.Groups[0].Scan(&cells); err != nil || cells.Positive != 3 {
			t.Errorf("3 rows count %d (%v)", cells.Positive, err)
		}
	})
}

func TestEqualStampsInFlightShareOneAttempt(t *testing.T) {
	play(t, func(t *testing.T, s *fakeShard) {
		a := s.propose(onePart(1, 1), onePart(1, 1), onePart(2, 1))
		s.want([]uint64{1}, []uint64{1})
		s.entries[0].finish(Verdict{})
		s.entries[1].finish(Verdict{})
		for i, c := range a {
			if r := <-c; r.err != nil || r.out.Index != uint64(10+i/2) || r.out.Duplicate != (i == 1) {
				t.Errorf("waiter %d: %+v", i, r)
			}
		}
	})
}

func TestDonePartsTellWhetherTheyWereCounted(t *testing.T) {
	play(t, func(t *testing.T, s *fakeShard) {
		first, twin := s.p.Propose(onePart(1, 1)), s.p.Propose(onePart(1, 1))
		s.want([]uint64{1})
		select {
		case <-first.Done():
			t.Error("done before its entry")
		default:
		}
		s.entries[0].finish(Verdict{})
		for i, pd := range []*Pending{first, twin} {
			<-pd.Done()
			if out, ok := pd.Counted(); !ok || out != (Outcome{Index: 10, Duplicate: i == 1}) {
				t.Errorf("waiter %d: %+v, %v", i, out, ok)
			}
		}
		refused := s.p.Propose(onePart(1, 2))
		s.want([]uint64{1}, []uint64{2})
		s.entries[1].finish(Verdict{Apart: true, Err: errcode.New(errcode.BelowZero, "below zero")})
		<-refused.Done()
		if _, ok := refused.Counted(); ok {
			t.Error("a refused part says that it was counted")
		}
		if _, err := refused.Wait(t.Context()); errcode.From(err).Code != errcode.BelowZero {
			t.Errorf("%v", err)
		}
	})
}

func TestRefusedEntryIsProposedAgainSingly(t *testing.T) {
	play(t, func(t *testing.T, s *fakeShard) {
		s.propose(onePart(9, 1), onePart(9, 2))
		a := s.propose(onePart(1, 3), onePart(1, 4))
		s.entries[0].finish(Verdict{})
		s.want([]uint64{1}, []uint64{2}, []uint64{3, 4})
		below := errcode.New(errcode.BelowZero, "below zero")
		s.entries[2].resp = []Verdict{{Apart: true, Err: below, Data: true}, {Apart: true}}
		close(s.entries[2].done)
		synctest.Wait()
		s.entries[1].finish(Verdict{})
		for i := 3; i < 5; i++ {
			synctest.Wait()
			e := s.entries[i]
			if len(e.add.Parts) != 1 {
				t.Fatalf("a part goes again in the company of %v", e.add.Parts)
			}
			if e.add.Parts[0].Seq == 3 {
				e.finish(Verdict{Apart: true, Err: below, Data: true})
			} else {
				e.finish(Verdict{})
			}
		}
		if r := <-a[0]; !errors.Is(r.err, below) {
			t.Errorf("the part at fault: %+v", r)
		}
		if r := <-a[1]; r.err != nil {
			t.Errorf("its neighbour: %+v", r)
		}
		// For a while the session that spoiled an entry goes alone.
		n := len(s.entries)
		s.propose(onePart(9, 5), onePart(9, 6), onePart(2, 7), onePart(1, 8), onePart(2, 9))
		for i := n; i < n+5 && i < len(s.entries); i++ {
			s.entries[i].finish(Verdict{})
			synctest.Wait()
		}
		if got := s.seqs()[n:]; !slices.EqualFunc(got, [][]uint64{{5}, {6}, {7}, {8}, {9}}, slices.Equal) {
			t.Errorf("entries %v: part 8 is of the unruly session", got)
		}
	})
}

func TestRefusalWithoutReasonIsNoAcknowledgement(t *testing.T) {
	play(t, func(t *testing.T, s *fakeShard) {
		a := s.propose(onePart(1, 1))
		s.entries[0].finish(Verdict{Apart: true})
		if r := <-a[0]; errcode.From(r.err).Code != errcode.Internal {
			t.Errorf("%+v", r)
		}
	})
}

// Parts that arrive while the machine waits for a checkpoint share the next entry.
func TestPartsWaitForRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeShard(t)
		s.room = make(chan struct{})
		answers := []chan answer{}
		for seq := range uint64(3) {
			answers = append(answers, waiting(s.p.Propose(onePart(9, 1+seq)), t.Context()))
			synctest.Wait()
		}
		s.want()
		s.room <- struct{}{}
		s.want([]uint64{1, 2, 3})
		s.entries[0].finish(Verdict{})
		for _, a := range answers {
			if r := <-a; r.err != nil {
				t.Error(r.err)
			}
		}
		last := waiting(s.p.Propose(onePart(9, 4)), t.Context())
		synctest.Wait()
		s.p.Close()
		if r := <-last; errcode.From(r.err).Code != errcode.Closing {
			t.Errorf("closed without room: %v", r.err)
		}
		s.want([]uint64{1, 2, 3})
	})
}

func TestEntriesTouchNoMoreCellsThanTheMachineWants(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeShard(t)
		s.cells, s.room = 2, make(chan struct{})
		for seq := range uint64(5) {
			p := onePart(9, 1+seq)
			p.Cols = []PartColumn{{Values: []schema.Value{schema.V(string('a' + rune(seq)))}}}
			waiting(s.p.Propose(p), t.Context())
			synctest.Wait()
		}
		close(s.room)
		s.want([]uint64{1, 2}, []uint64{3, 4})
		s.stop()
		s.p.Close()
	})
}

func TestFullQueueIsBusy(t *testing.T) {
	play(t, func(t *testing.T, s *fakeShard) {
		s.propose(onePart(1, 1), onePart(1, 2))
		s.p.Propose(fullPart(1, 3))
		seq := uint64(4)
		for ; len(s.p.waiting) < waitingMax; seq++ {
			s.p.Propose(fullPart(1, seq))
		}
		over := fullPart(1, seq)
		for range 2 { // a refused part leaves nothing behind that its retry would be attached to
			if r := <-waiting(s.p.Propose(over), t.Context()); errcode.From(r.err).Code != errcode.Busy || !errcode.From(r.err).Retryable() {
				t.Errorf("%+v", r)
			}
		}
		if s.p.Stats().Busy.Load() != 2 {
			t.Errorf("busy %d times", s.p.Stats().Busy.Load())
		}
	})
}

func TestPartBeyondAnEntryIsTooLargeEveryTime(t *testing.T) {
	play(t, func(t *testing.T, s *fakeShard) {
		huge := onePart(1, 1)
		huge.Len = command.CellsMax + 1
		for range 2 {
			if r := <-waiting(s.p.Propose(huge), t.Context()); errcode.From(r.err).Code != errcode.TooLarge {
				t.Errorf("%+v", r)
			}
		}
		if len(s.p.live) != 0 {
			t.Error("the part is still live")
		}
	})
}

func TestCloseAnswersEverything(t *testing.T) {
	play(t, func(t *testing.T, s *fakeShard) {
		parts := []*Part{onePart(1, 1), onePart(1, 2), onePart(1, 3), onePart(1, 3)}
		for i := range 3 {
			parts = append(parts, fullPart(1, uint64(10+i)))
		}
		a := s.propose(parts...)
		closed := make(chan struct{})
		go func() { s.p.Close(); close(closed) }()
		synctest.Wait()
		for i, c := range a[2:] {
			if r := <-c; errcode.From(r.err).Code != errcode.Closing {
				t.Errorf("part %d: %+v", i+3, r)
			}
		}
		select {
		case <-closed:
			t.Error("Close did not wait for the entries in flight")
		default:
		}
		s.entries[0].finish(Verdict{})
		s.entries[1].err = raft.ErrLeadershipLost
		s.entries[1].finish(Verdict{})
		<-closed
		if r := <-a[0]; r.err != nil {
			t.Errorf("counted before the end: %+v", r)
		}
		if r := <-a[1]; errcode.From(r.err).Code != errcode.Unavailable {
			t.Errorf("outcome not known: %+v", r)
		}
		s.seen[1] = Verdict{}
		for _, p := range []*Part{onePart(1, 1), onePart(1, 99)} {
			if r := <-waiting(s.p.Propose(p), t.Context()); errcode.From(r.err).Code != errcode.Closing {
				t.Errorf("after Close: %+v", r)
			}
		}
	})
}

func TestCloseAndWaitersThatLeaveAtOnce(t *testing.T) {
	play(t, func(t *testing.T, s *fakeShard) {
		var queued []*Pending
		for seq := range uint64(5) {
			queued = append(queued, s.p.Propose(fullPart(1, seq+1))) // two in flight, one open, two without room
		}
		synctest.Wait()
		s.stop()
		s.p.Close()
		for _, pd := range queued {
			pd.abandon() // what Wait does when it sees the end of its context first
			if _, err := pd.Wait(t.Context()); err == nil {
				t.Error("a part that was not counted has a receipt")
			}
		}
	})
}

// youngValues is a dictionary that learns values while an entry is open.
type youngValues struct{ values map[string]uint32 }

func (y youngValues) Lookup(_ int, v string) (uint32, bool) { c, ok := y.values[v]; return c, ok }
func (y youngValues) Len(int) uint32                        { return uint32(len(y.values)) }

func TestValuesAppliedAfterAnEntryBeganCountTowardsItsSize(t *testing.T) {
	play(t, func(t *testing.T, s *fakeShard) {
		young := youngValues{map[string]uint32{}}
		s.p.opts.Dict = func(schema.TableID, uint64) (Dict, error) { return young, nil }
		inFlight := s.propose(onePart(1, 1))
		synctest.Wait()
		inFlight = append(inFlight, s.propose(onePart(1, 2))...)
		synctest.Wait()
		open := s.propose(onePart(1, 3)) // begins an entry that knows no value
		synctest.Wait()
		long := onePart(1, 4)
		long.Cols[0] = PartColumn{}
		for i := range uint32(600) { // 600 KiB of values, applied meanwhile
			v := strings.Repeat("x", 1020) + string(rune(0x1000+i))
			young.values[v] = i + 1
			long.Cols[0].Values, long.Cols[0].Codes = append(long.Cols[0].Values, schema.V(v)), append(long.Cols[0].Codes, i)
		}
		long.Len = 600
		open = append(open, s.propose(long)...)
		synctest.Wait()
		for _, f := range slices.Clone(s.entries) {
			f.finish(Verdict{})
			synctest.Wait()
		}
		s.want([]uint64{1}, []uint64{2}, []uint64{3}, []uint64{4})
		s.entries[2].finish(Verdict{})
		s.entries[3].finish(Verdict{})
		for _, c := range append(inFlight, open...) {
			if a := <-c; a.err != nil {
				t.Error(a.err)
			}
		}
	})
}

func TestRememberedPartIsAnsweredWithoutAnEntry(t *testing.T) {
	play(t, func(t *testing.T, s *fakeShard) {
		s.seen[1] = Verdict{Duplicate: true}
		if r := <-waiting(s.p.Propose(onePart(1, 1)), t.Context()); r.err != nil || !r.out.Duplicate || r.out.Index != 7 {
			t.Errorf("%+v", r)
		}
		s.want()
	})
}

// TestTwinOfAPartThatGoesAgainIsNotAcknowledged holds that who shares an attempt that ended in a refusal of the whole entry sees that end, also when
// the part whose attempt it was is under way again: what is on its way is not counted yet.
func TestTwinOfAPartThatGoesAgainIsNotAcknowledged(t *testing.T) {
	play(t, func(t *testing.T, s *fakeShard) {
		s.propose(onePart(9, 1), onePart(9, 2))
		first, twin := s.p.Propose(onePart(1, 3)), s.p.Propose(onePart(1, 3))
		other := waiting(s.p.Propose(onePart(1, 4)), t.Context())
		s.entries[0].finish(Verdict{})
		s.want([]uint64{1}, []uint64{2}, []uint64{3, 4})
		below := errcode.New(errcode.BelowZero, "below zero")
		ended := twin.Done()
		s.entries[2].resp = []Verdict{{Apart: true, Err: below, Data: true}, {Apart: true}}
		close(s.entries[2].done)
		<-ended
		a := waiting(first, t.Context()) // and goes again
		synctest.Wait()
		if out, ok := twin.Counted(); ok {
			t.Errorf("the twin is acknowledged: %+v", out)
		}
		b := waiting(twin, t.Context())
		s.entries[1].finish(Verdict{})
		for i := 3; i < 5; i++ {
			synctest.Wait()
			if e := s.entries[i]; e.add.Parts[0].Seq == 3 {
				e.finish(Verdict{Apart: true, Err: below, Data: true})
			} else {
				e.finish(Verdict{})
			}
		}
		for _, c := range []chan answer{a, b} {
			if r := <-c; !errors.Is(r.err, below) {
				t.Errorf("the part at fault: %+v", r)
			}
		}
		if r := <-other; r.err != nil {
			t.Errorf("its neighbour: %+v", r)
		}
	})
}

func TestWaiterThatLeavesHandsThePartToItsTwin(t *testing.T) {
	play(t, func(t *testing.T, s *fakeShard) {
		s.propose(onePart(9, 1), onePart(9, 2))
		s.propose(fullPart(9, 3))
		ctx, cancel := context.WithCancel(t.Context())
		a := waiting(s.p.Propose(fullPart(1, 4)), ctx)
		b := waiting(s.p.Propose(fullPart(1, 4)), t.Context())
		synctest.Wait()
		cancel()
		if r := <-a; !errors.Is(r.err, context.Canceled) {
			t.Errorf("%+v", r)
		}
		for i := range 4 {
			synctest.Wait()
			s.entries[i].finish(Verdict{})
		}
		if r := <-b; r.err != nil {
			t.Errorf("the twin: %+v", r)
		}
		s.want([]uint64{1}, []uint64{2}, []uint64{3}, []uint64{4})
		if s.p.rows != 0 {
			t.Errorf("%d rows are said to wait", s.p.rows)
		}
	})
}
