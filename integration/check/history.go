package check

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
)

// Never is the return time of an operation whose outcome is not known: it may take effect at any time after its call, or not at all.
const Never = math.MaxInt64

// Outcome is what a client knows of an add.
type Outcome uint8

const (
	Acked   Outcome = iota // counted, at some instant between call and return
	Unknown                // counted once at some instant after the call, or never; Return is Never
	Refused                // not counted, neither now nor later
)

var outcomes = [...]string{Acked: "acked", Unknown: "unknown", Refused: "refused"}

// String is the word of the history file.
func (o Outcome) String() string {
	if int(o) >= len(outcomes) {
		return fmt.Sprintf("outcome %d", uint8(o))
	}
	return outcomes[o]
}

// Level is the promise that a read was made under.
type Level uint8

const (
	Strict       Level = iota // one instant of all shards, between call and return
	Linearizable              // each shard for itself at an instant between call and return
	Session                   // each shard a prefix of its log that holds what this client has had acknowledged
	Stale                     // each shard a prefix of its log no older than the age that the answer states
)

var levels = [...]string{Strict: "strict", Linearizable: "linearizable", Session: "session", Stale: "stale"}

// String is the word of the history file.
func (l Level) String() string {
	if int(l) >= len(levels) {
		return fmt.Sprintf("level %d", uint8(l))
	}
	return levels[l]
}

// History is what clients did to a cluster's counters and saw of them. Times are nanoseconds on one monotonic clock; two operations are
// ordered only if one returned strictly before the other was called.
type History struct {
	Shards, Writers int
	Adds            []Add
	Reads           []Read
	Failed          int               // reads without an answer; they say nothing and are only counted
	Note            map[string]string // seed, command and whatever else repeats the run
}

// Add is one part: a delta counted on one shard, in the writer's cell and in the shared one. A request over several shards is several adds
// with one interval. All tries of a request are one add, from the first call to the last answer.
type Add struct {
	Client, Writer, Shard int
	Delta                 int64 // above 0
	Call, Return          int64
	Outcome               Outcome
}

// Read is one query with an answer.
type Read struct {
	Client       int
	Level        Level
	Call, Return int64
	Age          int64 // that the answer states, nanoseconds before Call; for Stale only
	Views        []View
}

// View is what a read saw of one shard.
type View struct {
	Shard int
	Cells []int64 // value of each writer's own cell; writers beyond its end have 0. Nil: not read, and only Bounds looks at the view
	Sum   int64   // value of the shared cell, or of all own cells if the workload has no shared one
}

// DeltaMax bounds a delta. The deltas of a history together fit in an int64.
const DeltaMax = 1 << 40

// Validate says what makes h no history: these are mistakes of whoever recorded it, not of the system that it is about.
func (h *History) Validate() error {
	if h.Shards < 1 || h.Writers < 0 {
		return fmt.Errorf("check: %d shards and %d writers are no history", h.Shards, h.Writers)
	}
	if len(h.Adds) >= math.MaxInt32 || len(h.Reads) >= math.MaxInt32/2 || h.Failed < 0 {
		return errors.New("check: more operations than can be counted")
	}
	total := int64(0)
	for i := range h.Adds {
		if err := h.validAdd(&h.Adds[i]); err != nil {
			return fmt.Errorf("check: add %d: %w", i, err)
		}
		if total += h.Adds[i].Delta; total < 0 {
			return errors.New("check: the deltas of all adds together exceed an int64; draw smaller ones")
		}
	}
	for i := range h.Reads {
		if err := h.validRead(&h.Reads[i]); err != nil {
			return fmt.Errorf("check: read %d: %w", i, err)
		}
	}
	return nil
}

func (h *History) validAdd(a *Add) error {
	switch {
	case a.Writer < 0 || a.Writer >= h.Writers:
		return fmt.Errorf("writer %d is not one of %d", a.Writer, h.Writers)
	case a.Shard < 0 || a.Shard >= h.Shards:
		return fmt.Errorf("shard %d is not one of %d", a.Shard, h.Shards)
	case a.Delta <= 0 || a.Delta > DeltaMax:
		return fmt.Errorf("delta %d is not within 1 and 2^40", a.Delta)
	case a.Outcome > Refused:
		return fmt.Errorf("%v is none", a.Outcome)
	case a.Call < 0 || a.Return < a.Call:
		return fmt.Errorf("it returned at %d and was called at %d", a.Return, a.Call)
	case (a.Outcome == Unknown) != (a.Return == Never):
		return errors.New("an outcome is unknown if and only if the add never returned")
	}
	return nil
}

func (h *History) validRead(r *Read) error {
	if r.Call < 0 || r.Return < r.Call || r.Return == Never {
		return fmt.Errorf("it returned at %d and was called at %d", r.Return, r.Call)
	}
	if r.Level > Stale || r.Age < 0 || r.Age > 0 && r.Level != Stale {
		return fmt.Errorf("%v of age %d is no level", r.Level, r.Age)
	}
	last := -1
	for _, v := range r.Views {
		if v.Shard <= last || v.Shard >= h.Shards {
			return fmt.Errorf("shard %d is out of order or not one of %d", v.Shard, h.Shards)
		}
		if len(v.Cells) > h.Writers {
			return fmt.Errorf("it saw cells of %d writers, and there are %d", len(v.Cells), h.Writers)
		}
		last = v.Shard
	}
	return nil
}

// Summary counts a history, to tell a run that shows something from one that does not.
type Summary struct {
	Acked, Unknown, Refused int
	Reads, Failed           int
	Span                    int64 // nanoseconds from the first call to the last return
}

// Summary counts h.
func (h *History) Summary() Summary {
	s := Summary{Reads: len(h.Reads), Failed: h.Failed}
	first, last := int64(Never), int64(0)
	for i := range h.Adds {
		a := &h.Adds[i]
		*[...]*int{Acked: &s.Acked, Unknown: &s.Unknown, Refused: &s.Refused}[a.Outcome]++
		first = min(first, a.Call)
		if a.Return != Never {
			last = max(last, a.Return)
		}
	}
	for i := range h.Reads {
		first, last = min(first, h.Reads[i].Call), max(last, h.Reads[i].Return)
	}
	s.Span = max(0, last-first)
	return s
}

// Void says why a run proves nothing: fewer than perSecond acknowledged adds and answered reads a second, or less than share of the reads
// answered. Nil: it proves something.
func (s Summary) Void(perSecond, share float64) error {
	done := s.Acked + s.Reads
	if rate := float64(done) / max(float64(s.Span)/1e9, 1e-9); rate < perSecond {
		return fmt.Errorf("check: %d operations in %.1f s are %.0f a second, below %.0f: the run is void", done, float64(s.Span)/1e9, rate, perSecond)
	}
	if got := float64(s.Reads) / float64(max(1, s.Reads+s.Failed)); got < share {
		return fmt.Errorf("check: %.1f %% of the reads were answered, below %.1f %%: the run is void", 100*got, 100*share)
	}
	return nil
}

// String is one line.
func (s Summary) String() string {
	return fmt.Sprintf("%d adds acked, %d unknown, %d refused; %d reads, %d failed; %.1f s",
		s.Acked, s.Unknown, s.Refused, s.Reads, s.Failed, float64(s.Span)/1e9)
}

// byCall orders adds by their call, and by their return where calls are equal.
func byCall(adds []Add) func(i, j int32) int {
	return func(i, j int32) int {
		return cmp.Or(cmp.Compare(adds[i].Call, adds[j].Call), cmp.Compare(adds[i].Return, adds[j].Return), cmp.Compare(i, j))
	}
}

// sortedByCall are the indices of the adds in that order.
func sortedByCall(adds []Add) []int32 {
	order := make([]int32, len(adds))
	for i := range order {
		order[i] = int32(i)
	}
	slices.SortFunc(order, byCall(adds))
	return order
}
