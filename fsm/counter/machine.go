// Package counter is the machine of a shard: it adds counts to cells, each part of a request exactly once.
//
// Its order of work for an Add is the order that exactly-once rests on (see part.go): every part is tested against its
// session first, then the whole entry against tables, time, dictionaries and bounds; only then does anything change. An
// entry is applied whole or refused whole.
//
//	m := counter.New()
//	bridge, err := fsm.NewBridge(m, store, options)
//	result := future.Response().(*counter.AddResult)
//	for i, p := range result.Parts { … p.Code, p.Duplicate … }
//
// The results of the other commands are *fsm.Refusal (nil when accepted) and *KeyResult. What the machine keeps in rows of
// the store is written down in docs/format/machines.md.
package counter

import (
	"fmt"
	"sync"

	"github.com/quipudb/quipu/fsm"
	"github.com/quipudb/quipu/proto/command/v1"
	"github.com/quipudb/quipu/storage"
	"github.com/quipudb/quipu/storage/schema"
)

// Machine is a shard's state machine. The bridge's goroutine owns it, except for Seen and Status.
type Machine struct {
	clock     fsm.Clock
	slots     slots
	ordinary  deadSet
	durable   deadSet
	cutoffs   map[schema.TableID]int64
	keys      map[string]*keyRecord // by principal and key, as in their row
	deadlines deadlines             // of key records and of windows under a key

	windowsMu sync.RWMutex // the machine's goroutine holds it to write; Seen reads
	windows   map[windowKey]*window
	applied   uint64 // log index that windows are as of

	moved bool      // clock moved since the last Settle
	dirty []*window // to be written at Settle
	add   entry     // scratch of applyAdd

	stats stats
}

// New returns a machine, which Load makes usable.
func New() *Machine { return &Machine{} }

// Apply applies one command.
func (m *Machine) Apply(tx *storage.Tx, e fsm.Entry) fsm.Result {
	if isAdd, err := command.DecodeAdd(e.Data, &m.add.cmd); err != nil {
		panic(err)
	} else if isAdd {
		m.advance(tx, m.add.cmd.Stamp)
		return m.applyAdd(tx, e.Index)
	}
	cmd, err := command.Decode(e.Data)
	if err != nil {
		panic(err)
	}
	m.advance(tx, cmd.At())
	switch c := cmd.(type) {
	case *command.TermStart, *command.Tick:
		return accepted
	case *command.SetTable:
		return m.setTable(tx, c)
	case *command.DropTable:
		return m.dropTable(tx, c)
	case *command.DropWindows:
		return m.dropWindows(tx, c)
	case *command.ExpireSessions:
		return m.expireSessions(tx, c)
	case *command.SetSlots:
		return m.setSlots(tx, c)
	case *command.KeyBegin:
		return m.keyBegin(tx, e.Index, c)
	case *command.KeyFinish:
		return m.keyFinish(tx, c)
	}
	panic(fmt.Errorf("%w: a shard has no use for %v", command.ErrKind, cmd.Kind()))
}

// accepted is the result of a command that has nothing to say.
var accepted *fsm.Refusal

func refuse(code fsm.Code, format string, args ...any) *fsm.Refusal {
	return &fsm.Refusal{Code: code, Message: fmt.Sprintf(format, args...)}
}

// advance moves log time and ends what is due.
func (m *Machine) advance(tx *storage.Tx, stamp int64) {
	before := m.clock.Now
	gap := m.clock.Advance(stamp)
	if m.clock.Now == before {
		return
	}
	m.moved = true
	m.grace(tx, gap)
	m.expireKeys(tx)
}

// Settle writes the rows of the sessions that the step touched, each once, and publishes the figures.
func (m *Machine) Settle(tx *storage.Tx) {
	if m.moved {
		putClock(tx, m.clock)
		m.moved = false
	}
	for _, w := range m.dirty {
		if w.dirty {
			w.put(tx)
			w.dirty = false
		}
	}
	clear(m.dirty)
	m.dirty = m.dirty[:0]
	m.publish()
}

// touch notes that w must be written at Settle.
func (m *Machine) touch(w *window) {
	if !w.dirty {
		w.dirty = true
		m.dirty = append(m.dirty, w)
	}
}

func (m *Machine) setTable(tx *storage.Tx, c *command.SetTable) *fsm.Refusal {
	if err := c.Table.Validate(); err != nil {
		return refuse(fsm.InvalidOption, "table %d: %v", c.Table.ID, err)
	}
	if ts := tx.Table(c.Table.ID); ts != nil && ts.Schema().Version >= c.Table.Version {
		return accepted // a leader that had not seen this proposed it again
	}
	if err := tx.SetTable(&c.Table); err != nil {
		return refuse(fsm.Conflict, "table %d: %v", c.Table.ID, err)
	}
	return accepted
}

func (m *Machine) dropTable(tx *storage.Tx, c *command.DropTable) *fsm.Refusal {
	tx.DropTable(c.ID)
	if _, ok := m.cutoffs[c.ID]; ok {
		delete(m.cutoffs, c.ID)
		tx.DeleteRow(cutoffRow(c.ID))
	}
	return accepted
}

func (m *Machine) dropWindows(tx *storage.Tx, c *command.DropWindows) *fsm.Refusal {
	ts := tx.Table(c.ID)
	if ts == nil {
		return refuse(fsm.UnknownTable, "there is no table with id %d", c.ID)
	}
	if ts.Schema().Window == 0 {
		return refuse(fsm.InvalidOption, "table %s has no windows", ts.Schema().Name)
	}
	if cutoff, ok := m.cutoffs[c.ID]; ok && cutoff >= c.Before {
		return accepted
	}
	m.cutoffs[c.ID] = c.Before
	putCutoff(tx, c.ID, c.Before)
	ts.DropWindows(c.Before)
	return accepted
}
