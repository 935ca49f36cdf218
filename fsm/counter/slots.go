package counter

import (
	"github.com/quipudb/quipu/fsm"
	"github.com/quipudb/quipu/proto/command/v1"
	"github.com/quipudb/quipu/proto/slot"
	"github.com/quipudb/quipu/storage"
	"github.com/quipudb/quipu/storage/schema"
)

// slots are what the shard knows of the slot map: its own part of one version.
type slots struct {
	version uint64 // 0: none yet, the shard owns nothing
	shard   schema.ShardID
	ranges  []command.Range
	owned   [schema.Slots / 64]uint64
}

func (s *slots) set(version uint64, shard schema.ShardID, ranges []command.Range) {
	*s = slots{version: version, shard: shard, ranges: ranges}
	for _, r := range ranges {
		for i := r.From; i <= r.To; i++ {
			s.owned[i/64] |= 1 << (i % 64)
		}
	}
}

func (s *slots) owns(i uint16) bool { return s.owned[i/64]>>(i%64)&1 != 0 }

func (m *Machine) setSlots(tx *storage.Tx, c *command.SetSlots) *fsm.Refusal {
	switch {
	case c.Version <= m.slots.version:
		return accepted
	case m.slots.version != 0 && c.Shard != m.slots.shard:
		return refuse(fsm.Conflict, "this is shard %d, the slots are those of shard %d", m.slots.shard, c.Shard)
	}
	m.slots.set(c.Version, c.Shard, c.Owned)
	putSlots(tx, &m.slots)
	return accepted
}

// ownsParts reports whether every cell that part i brought lies in a slot of this shard.
//
// A part that was split under the version of the map that this machine has needs no look at its cells: the split put a cell
// into this part because that map gives its slot to this shard, and a version of the map never changes. Only a part from
// another version is looked at. Cells of an entry are summed over its parts, so then all cells of the entry must be ours; that
// can refuse too much but never too little, and the proposer tries the parts singly.
func (m *Machine) ownsPart(tx *storage.Tx, p *command.Part) bool {
	if m.slots.version == 0 {
		return false
	}
	if p.MapVersion == m.slots.version {
		return true
	}
	if m.add.owned == unknown {
		m.add.owned = no
		if m.ownsCells(tx) {
			m.add.owned = yes
		}
	}
	return m.add.owned == yes
}

type tristate uint8

const (
	unknown tristate = iota
	yes
	no
)

func (m *Machine) ownsCells(tx *storage.Tx) bool {
	a := &m.add
	for i := range a.cmd.Groups {
		g := &a.cmd.Groups[i]
		ts := tx.Table(g.Table)
		if ts == nil || ts.Schema().Version != g.Version {
			continue // refused by its own test
		}
		a.scan(i)
		if !m.ownsGroup(ts, g, &a.cells[i]) {
			return false
		}
	}
	return true
}

func (m *Machine) ownsGroup(ts *storage.TableState, g *command.Group, c *command.Cells) bool {
	key := ts.Schema().PartitionBy
	hashes := make([]map[uint32]uint64, len(key))
	for i := range hashes {
		hashes[i] = map[uint32]uint64{0: slot.HashValue("", true)}
	}
	for n := range c.Deltas {
		h := slot.Start(uint64(g.Table))
		for i, d := range key {
			code := c.Cols[d][n]
			v, ok := hashes[i][code]
			if !ok {
				v = slot.HashValue(entryValue(ts, g, d, code), false)
				hashes[i][code] = v
			}
			h = slot.Add(h, v)
		}
		if !m.slots.owns(slot.Finish(h)) {
			return false
		}
	}
	return true
}

// entryValue is the text of an entry code above 0.
func entryValue(ts *storage.TableState, g *command.Group, dim int, code uint32) string {
	c := &g.Dims[dim]
	if code > c.Known {
		return c.New[code-c.Known-1]
	}
	return ts.Value(dim, code)
}
