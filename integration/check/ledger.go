package check

import (
	"fmt"
	"slices"
)

// Ledger is a history arranged for the checkers: the adds of each writer on each shard in their order, and for each read how many of them it
// has seen. It does not change.
type Ledger struct {
	h      *History
	chains []chain // shard × Writers + writer
	place  []int32 // by add: its position in its chain, from 0; −1 if refused
	seen   [][]int32
	broken []Anomaly // values that no set of adds explains; their views are left out of the rest
}

// chain is what one writer added on one shard, without what was refused.
type chain struct {
	adds    []int32 // into History.Adds
	prefix  []int64 // prefix[k]: sum of the first k deltas
	calls   []int64
	returns []int64
}

// acked counts the adds that returned before t: a read called at t must see them.
func (c *chain) acked(t int64) int32 {
	n, _ := slices.BinarySearch(c.returns, t)
	return int32(n)
}

// called counts the adds that were called by t: a read that returned at t can have seen no others.
func (c *chain) called(t int64) int32 {
	if t == Never {
		return int32(len(c.calls))
	}
	n, _ := slices.BinarySearch(c.calls, t+1)
	return int32(n)
}

// below counts the adds of the largest prefix that is not above value.
func (c *chain) below(value int64) int {
	k, ok := slices.BinarySearch(c.prefix, value)
	if !ok {
		k--
	}
	return k
}

// Prepare validates h and arranges it. An error is a mistake of the recording.
func Prepare(h *History) (*Ledger, error) {
	if err := h.Validate(); err != nil {
		return nil, err
	}
	l := &Ledger{h: h, chains: make([]chain, h.Shards*h.Writers), place: make([]int32, len(h.Adds))}
	for i := range l.chains {
		l.chains[i].prefix = []int64{0}
	}
	for _, i := range sortedByCall(h.Adds) {
		if err := l.append(i); err != nil {
			return nil, err
		}
	}
	l.decode()
	return l, nil
}

func (l *Ledger) append(i int32) error {
	a := &l.h.Adds[i]
	if a.Outcome == Refused {
		l.place[i] = -1
		return nil
	}
	c := l.chain(a.Shard, a.Writer)
	if k := len(c.adds); k > 0 && c.returns[k-1] > a.Call {
		return fmt.Errorf("check: writer %d on shard %d called an add at %d before the one called at %d had returned; "+
			"one at a time, and none after an unknown outcome (take a new writer)", a.Writer, a.Shard, a.Call, c.calls[k-1])
	}
	l.place[i] = int32(len(c.adds))
	c.adds, c.calls, c.returns = append(c.adds, i), append(c.calls, a.Call), append(c.returns, a.Return)
	c.prefix = append(c.prefix, c.prefix[len(c.prefix)-1]+a.Delta)
	return nil
}

func (l *Ledger) chain(shard, writer int) *chain { return &l.chains[shard*l.h.Writers+writer] }

// decode finds what each view has seen: one number a writer, in the order of the views. Views that make no sense are reported and forgotten.
func (l *Ledger) decode() {
	l.seen = make([][]int32, 0, len(l.h.Reads))
	for i := range l.h.Reads {
		r := &l.h.Reads[i]
		seen := make([]int32, 0, l.h.Writers*len(r.Views))
		for v := range r.Views {
			seen = l.decodeView(seen, i, &r.Views[v])
		}
		l.seen = append(l.seen, seen)
	}
}

// unread marks the writers of a view without cells, or with values that no adds explain.
const unread = -1

// decodeView appends what one view has seen.
func (l *Ledger) decodeView(seen []int32, read int, v *View) []int32 {
	from, sum := len(seen), int64(0)
	fits := v.Cells != nil
	for w := range l.h.Writers {
		value := int64(0)
		if w < len(v.Cells) {
			value = v.Cells[w]
		}
		sum += value
		k, ok := slices.BinarySearch(l.chain(v.Shard, w).prefix, value)
		if !ok && v.Cells != nil {
			l.report(l.explainCell(read, v.Shard, w, value))
			fits = false
		}
		seen = append(seen, int32(k))
	}
	if fits && sum != v.Sum {
		l.report(l.explainSum(read, v, seen[from:], sum))
		fits = false
	}
	if !fits {
		for i := range seen[from:] {
			seen[from+i] = unread
		}
	}
	return seen
}

// anomaliesMax bounds what one checker reports: the first ones tell the story.
const anomaliesMax = 16

func (l *Ledger) report(a Anomaly) {
	if len(l.broken) < anomaliesMax {
		l.broken = append(l.broken, a)
	}
}

// views calls f with each view of read that was understood, and what it has seen by writer.
func (l *Ledger) views(read int, f func(shard int, seen []int32)) {
	for i, v := range l.h.Reads[read].Views {
		s := l.seen[read][i*l.h.Writers : (i+1)*l.h.Writers]
		if len(s) > 0 && s[0] != unread {
			f(v.Shard, s)
		}
	}
}
