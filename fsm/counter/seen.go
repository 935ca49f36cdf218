package counter

import (
	"sync/atomic"

	"github.com/quipudb/quipu/proto/command/v1"
	"github.com/quipudb/quipu/storage/schema"
)

// Seen is the remembered answer to a part, if its stamp was answered before. applied is a log index as of which the answer
// holds. Any goroutine may ask, while the machine goes on; a part that is not found may still be in the log.
func (m *Machine) Seen(p *command.Part) (r PartResult, applied uint64, found bool) {
	m.windowsMu.RLock()
	defer m.windowsMu.RUnlock()
	w := m.windows[keyOf(p)]
	if w == nil || w.kind != p.Kind || p.Seq <= w.low || p.Seq-w.low > WindowSize || !w.answered(p.Seq) {
		return PartResult{}, 0, false
	}
	r = PartResult{Duplicate: true}
	if f, ok := w.find(p.Seq); ok {
		r.Code, r.Dim, r.Value = f.code, f.dim, f.value
	}
	return r, m.applied, true
}

// Status is what a machine is doing, for people and metrics.
type Status struct {
	LogTime    int64 // Unix milliseconds
	MapVersion uint64
	Shard      schema.ShardID
	Slots      int // owned
	Windows    int // (session, home) pairs that are remembered
	Keys       int // idempotency keys
	Dead       DeadStatus

	Entries    uint64 // applied since the start
	Parts      uint64 // counted since the start
	Cells      uint64 // of applied entries since the start
	Observed   uint64 // observations added or taken away since the start, modulo 2⁶⁴
	Duplicates uint64 // parts of refused entries that had been answered before, since the start
	Refused    uint64 // parts refused for a reason of their own, since the start
}

// DeadStatus is how far the shard knows of ended sessions.
type DeadStatus struct{ Ordinary, Durable command.DeadIDs }

type stats struct {
	entries, parts, cells, observed, duplicates, refused uint64
	last                                                 atomic.Pointer[Status]
}

func (s *stats) applied(parts int, a *entry) {
	s.entries++
	s.parts += uint64(parts)
	for i := range a.cmd.Groups {
		s.cells += uint64(len(a.cells[i].Deltas))
		for _, d := range a.cells[i].Deltas {
			s.observed += uint64(max(d, -d))
		}
	}
}

// Status is as of the last step. Any goroutine may ask.
func (m *Machine) Status() Status { return *m.stats.last.Load() }

func (m *Machine) publish() {
	s := Status{LogTime: m.clock.Now, MapVersion: m.slots.version, Shard: m.slots.shard, Windows: len(m.windows), Keys: len(m.keys),
		Dead:    DeadStatus{m.ordinary.DeadIDs, m.durable.DeadIDs},
		Entries: m.stats.entries, Parts: m.stats.parts, Cells: m.stats.cells, Observed: m.stats.observed, Duplicates: m.stats.duplicates, Refused: m.stats.refused}
	for _, r := range m.slots.ranges {
		s.Slots += int(r.To - r.From + 1)
	}
	m.stats.last.Store(&s)
}
