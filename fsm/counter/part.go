package counter

import (
	"fmt"

	"github.com/quipudb/quipu/fsm"
	"github.com/quipudb/quipu/proto/command/v1"
	"github.com/quipudb/quipu/storage"
)

// AddResult is what became of an Add, part by part.
type AddResult struct {
	Index   uint64 // log index of the entry
	Applied bool   // all parts were counted; else none was
	Parts   []PartResult
}

// PartResult is the answer to one part.
type PartResult struct {
	Code fsm.Code // OK: counted, now or, for a duplicate, before
	// Duplicate says that an earlier entry answered this stamp, with Code, and that nothing changed now.
	Duplicate bool
	Dim       uint8 // dimension that Code is about, where it is about one
	Value     int64 // see Message
}

// Message says more than the code. Value is the window's start for LATE and EARLY, the budget for CARDINALITY, the count that
// would have resulted for BELOW_ZERO, the lowest open number minus one for STALE and WINDOW_FULL.
func (r PartResult) Message() string {
	switch r.Code {
	case fsm.OK:
		return ""
	case fsm.SessionExpired:
		return "the session or key has ended; what was sent under it and not acknowledged may or may not have been counted"
	case fsm.WrongShard:
		return "the shard does not own these cells"
	case fsm.Stale:
		return fmt.Sprintf("every number up to %d was answered before", r.Value)
	case fsm.WindowFull:
		return fmt.Sprintf("the number is more than %d above %d, the last one that is known to be answered", WindowSize, r.Value)
	case fsm.SchemaChanged:
		return "the table has another version on this shard"
	case fsm.UnknownTable:
		return "the table does not exist on this shard"
	case fsm.ValueInvalid:
		return fmt.Sprintf("a value of dimension %d is not a valid one of its type, or a window does not start where windows do", r.Dim+1)
	case fsm.NotNull:
		return fmt.Sprintf("dimension %d does not take NULL", r.Dim+1)
	case fsm.Cardinality:
		return fmt.Sprintf("dimension %d would have more than its %d distinct values on this shard", r.Dim+1, r.Value)
	case fsm.Overflow:
		return "a count would exceed the largest 64-bit integer"
	case fsm.BelowZero:
		return fmt.Sprintf("a count would fall to %d", r.Value)
	case fsm.Late:
		return fmt.Sprintf("the window that starts at %d (Unix seconds) is older than the retention of the table", r.Value)
	case fsm.Early:
		return fmt.Sprintf("the window that starts at %d (Unix seconds) lies further in the future than the table allows", r.Value)
	case fsm.Quota:
		return "the shard remembers as many sessions as it can"
	case fsm.EntryRefused:
		return "another part of the same entry was refused"
	}
	return r.Code.String()
}

// windowsMax bounds the memory of windows, a few hundred bytes each. Sessions are bounded by meta; this is for keys.
const windowsMax = 1 << 20

// testPart decides about one part, in the order that exactly-once rests on:
//
//  1. a dead session or key → SESSION_EXPIRED
//  2. a slot that is not ours → WRONG_SHARD
//  3. no window → make one; raise low to AckUpTo
//  4. number at or below low → STALE
//  5. answered → the remembered answer
//  6. beyond the window → WINDOW_FULL
//
// Raising low before tests 4 to 6 lets a shard that a session uses first at number 10,001 start there. Nothing of it stays
// unless the entry is applied: the window's next state stands in w.next until commitParts.
func (m *Machine) testPart(tx *storage.Tx, p *command.Part) PartResult {
	k := keyOf(p)
	w := m.windows[k] // a dead session has none: they go in the step in which it dies
	if w == nil && m.partDead(p) || w != nil && w.kind != p.Kind {
		return PartResult{Code: fsm.SessionExpired}
	}
	if !m.ownsPart(tx, p) {
		return PartResult{Code: fsm.WrongShard}
	}
	w, ok := m.nextWindow(k, p, w)
	if !ok {
		return PartResult{Code: fsm.Quota}
	}
	r := w.next.test(p)
	if r.Code == fsm.OK && !r.Duplicate {
		w.next.mark(p.Seq)
		w.next.expires = max(w.next.expires, m.keyExpiry(p))
	}
	return r
}

// nextWindow gives w, or a new window, a next state for this entry.
func (m *Machine) nextWindow(k windowKey, p *command.Part, w *window) (*window, bool) {
	a := &m.add
	if w == nil {
		w = a.fresh[k]
	}
	if w == nil {
		if len(m.windows)+len(a.fresh) >= windowsMax {
			return nil, false
		}
		w = &window{key: k, kind: p.Kind}
		a.fresh[k] = w
	}
	if w.next == nil {
		n := a.scratch()
		*n = *w
		w.next = n
		a.touched = append(a.touched, w)
	}
	return w, true
}

// commitParts makes the next states the states.
func (m *Machine) commitParts(index uint64) {
	a := &m.add
	m.windowsMu.Lock()
	defer m.windowsMu.Unlock()
	for _, w := range a.touched {
		n := w.next
		n.dirty, n.next = w.dirty, nil
		grew := n.expires > w.expires
		*w = *n
		if _, isNew := a.fresh[w.key]; isNew {
			m.windows[w.key] = w
		}
		if grew {
			m.deadlines.push(deadline{at: w.expires, window: w.key})
		}
		m.touch(w)
	}
	m.applied = index
	a.touched = a.touched[:0]
}

// discardParts forgets the next states.
func (m *Machine) discardParts() {
	a := &m.add
	for _, w := range a.touched {
		w.next = nil
	}
	a.touched = a.touched[:0]
}
