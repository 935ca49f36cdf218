package check

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Kind names what is wrong with a history.
type Kind string

const (
	Lost       Kind = "lost"       // an add is missing below one that is there
	Doubled    Kind = "doubled"    // an add was counted twice
	Ghost      Kind = "ghost"      // an add that was refused was counted
	Misrouted  Kind = "misrouted"  // an add was counted on another shard
	Partial    Kind = "partial"    // one cell of a part was counted, the other not
	Corrupt    Kind = "corrupt"    // a value that no adds explain
	StaleRead  Kind = "stale"      // a read misses what was acknowledged before it was called
	Future     Kind = "future"     // a read shows what was not yet called when it returned
	Backward   Kind = "backward"   // a read misses what an earlier one has shown
	Fork       Kind = "fork"       // two reads saw two adds in opposite orders
	Fractured  Kind = "fractured"  // a read shows an add and misses one acknowledged before it was called
	Cycle      Kind = "cycle"      // a longer contradiction
	TooFew     Kind = "too few"    // a sum below what was acknowledged
	TooMany    Kind = "too many"   // a sum above what was asked for
	Dishonest  Kind = "dishonest"  // a stale read is older than it says
	OwnMissing Kind = "own writes" // a session read misses what its client had acknowledged
)

// Anomaly is one contradiction, with the operations that show it.
type Anomaly struct {
	Checker string
	Kind    Kind
	Text    string
	Reads   []int // into History.Reads
	Adds    []int // into History.Adds
}

// String is one line.
func (a Anomaly) String() string { return fmt.Sprintf("%s: %s: %s", a.Checker, a.Kind, a.Text) }

// Verify runs every checker. Its error is a *Violation if the history breaks a promise, and another one if it is no history.
func Verify(h *History) error {
	l, err := Prepare(h)
	if err != nil {
		return err
	}
	if all := l.All(); len(all) > 0 {
		return &Violation{all}
	}
	return nil
}

// All are the findings of every checker.
func (l *Ledger) All() []Anomaly { return slices.Concat(l.Bounds(), l.Strict(), l.Graph(), l.Levels()) }

// Violation says which promises a history breaks.
type Violation struct{ Anomalies []Anomaly }

// Error lists the anomalies, one a line.
func (v *Violation) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "check: the history is not what was promised (%d anomalies)", len(v.Anomalies))
	for _, a := range v.Anomalies {
		b.WriteString("\n  ")
		b.WriteString(a.String())
	}
	return b.String()
}

// Violated says whether err is about the system and not about the recording.
func Violated(err error) bool {
	_, ok := errors.AsType[*Violation](err)
	return ok
}

// findings collects the anomalies of one checker up to the bound.
type findings struct {
	checker string
	all     []Anomaly
}

func (f *findings) full() bool { return len(f.all) >= anomaliesMax }

func (f *findings) add(a Anomaly) {
	if !f.full() {
		a.Checker = f.checker
		f.all = append(f.all, a)
	}
}

// begin starts a checker that rests on decoded values, with what could not be decoded.
func (l *Ledger) begin(checker string) *findings {
	f := &findings{checker: checker}
	for _, a := range l.broken {
		f.add(a)
	}
	return f
}

// nameAdd and nameRead are how anomalies speak of operations.
func (l *Ledger) nameAdd(i int) string {
	a := &l.h.Adds[i]
	end := moment(a.Return)
	if a.Outcome == Refused {
		return fmt.Sprintf("refused add of w%d on s%d [%d, %s]", a.Writer, a.Shard, a.Call, end)
	}
	return fmt.Sprintf("add w%d·s%d#%d [%d, %s]", a.Writer, a.Shard, l.place[i]+1, a.Call, end)
}

func (l *Ledger) nameRead(i int) string {
	r := &l.h.Reads[i]
	return fmt.Sprintf("read r%d [%d, %d]", i, r.Call, r.Return)
}
