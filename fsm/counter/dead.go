package counter

import (
	"slices"

	"github.com/quipudb/quipu/fsm"
	"github.com/quipudb/quipu/proto/command/v1"
	"github.com/quipudb/quipu/storage"
)

// deadSet is the ids of sessions of one kind that have ended: every id up to a watermark and ranges above it. It only grows,
// whatever order the commands come in, so an id that is in it once is refused for ever. Ranges cover the gaps between live
// ids too, which were never sessions of this kind and never will be; so the set is as small as the number of live sessions.
type deadSet struct{ command.DeadIDs }

func (s *deadSet) has(id uint64) bool {
	if id <= s.Watermark {
		return true
	}
	i, _ := slices.BinarySearchFunc(s.Ranges, id, func(r command.Range, id uint64) int {
		if r.To < id {
			return -1
		}
		return 1
	})
	return i < len(s.Ranges) && s.Ranges[i].From <= id
}

// join adds other and reports whether anything changed.
func (s *deadSet) join(other command.DeadIDs) bool {
	all := slices.Concat(s.Ranges, other.Ranges)
	slices.SortFunc(all, func(a, b command.Range) int {
		if a.From < b.From {
			return -1
		} else if a.From > b.From {
			return 1
		}
		return 0
	})
	next := command.DeadIDs{Watermark: max(s.Watermark, other.Watermark)}
	for _, r := range all {
		n := len(next.Ranges)
		switch {
		case r.To <= next.Watermark:
		case r.From <= next.Watermark+1:
			next.Watermark = r.To
		case n > 0 && r.From <= next.Ranges[n-1].To+1:
			next.Ranges[n-1].To = max(next.Ranges[n-1].To, r.To)
		default:
			next.Ranges = append(next.Ranges, r)
		}
	}
	if next.Watermark == s.Watermark && slices.Equal(next.Ranges, s.Ranges) {
		return false
	}
	s.DeadIDs = next
	return true
}

// expireSessions deletes the windows of dead sessions in the same step that makes them dead: what is deleted can never be made
// again.
func (m *Machine) expireSessions(tx *storage.Tx, c *command.ExpireSessions) *fsm.Refusal {
	changed := m.ordinary.join(c.Ordinary)
	if !m.durable.join(c.Durable) && !changed {
		return accepted
	}
	putDead(tx, &m.ordinary, &m.durable)
	m.windowsMu.Lock()
	defer m.windowsMu.Unlock()
	for k, w := range m.windows { // any order: deletions commute
		if k.space == sessionSpace && m.dead(w.kind, k.id) {
			m.drop(tx, k, w)
		}
	}
	return accepted
}

// dead is for sessions.
func (m *Machine) dead(kind command.PartKind, id uint64) bool {
	if kind == command.Durable {
		return m.durable.has(id)
	}
	return m.ordinary.has(id)
}

// drop removes a window. windowsMu is held.
func (m *Machine) drop(tx *storage.Tx, k windowKey, w *window) {
	delete(m.windows, k)
	w.dirty = false
	tx.DeleteRow(k.row())
}
