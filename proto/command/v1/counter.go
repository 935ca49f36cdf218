package command

import "github.com/quipudb/quipu/storage/schema"

// TermStart is the first command of a leader's term. It proves that everything committed before it is applied.
type TermStart struct{ Timed }

func (*TermStart) Kind() Kind      { return KindTermStart }
func (*TermStart) encode(*encoder) {}
func (*TermStart) decode(*decoder) {}

// Tick does nothing but move log time.
type Tick struct{ Timed }

func (*Tick) Kind() Kind      { return KindTick }
func (*Tick) encode(*encoder) {}
func (*Tick) decode(*decoder) {}

// SetTable tells a shard the definition of a table: new, or a newer version.
type SetTable struct {
	Timed
	Table schema.Table
}

func (*SetTable) Kind() Kind          { return KindSetTable }
func (c *SetTable) encode(e *encoder) { e.table(&c.Table) }
func (c *SetTable) decode(d *decoder) { d.table(&c.Table) }

// DropTable ends a table, in the catalog and on every shard.
type DropTable struct {
	Timed
	ID schema.TableID
	By string
}

func (*DropTable) Kind() Kind          { return KindDropTable }
func (c *DropTable) encode(e *encoder) { e.uint(uint64(c.ID)); e.str(c.By) }
func (c *DropTable) decode(d *decoder) { c.ID, c.By = schema.TableID(d.uint()), d.str() }

// DropWindows ends the windows of a table that start before Before (Unix seconds). The meta group records the cutoff, the
// shards drop the counts and refuse late ones from then on.
type DropWindows struct {
	Timed
	ID     schema.TableID
	Before int64
}

func (*DropWindows) Kind() Kind          { return KindDropWindows }
func (c *DropWindows) encode(e *encoder) { e.uint(uint64(c.ID)); e.int(c.Before) }
func (c *DropWindows) decode(d *decoder) { c.ID, c.Before = schema.TableID(d.uint()), d.int() }

// Range is the ids From to To, both included.
type Range struct{ From, To uint64 }

// DeadIDs says which sessions of one kind have ended: every id up to Watermark, and the ranges above it, in ascending order
// without overlap. A range may hold ids that were never issued, but none that can still be.
type DeadIDs struct {
	Watermark uint64
	Ranges    []Range
}

// ExpireSessions tells a shard which sessions have ended. It adds to what the shard knows; an older one takes nothing back.
type ExpireSessions struct {
	Timed
	Ordinary, Durable DeadIDs
}

func (*ExpireSessions) Kind() Kind { return KindExpireSessions }

func (c *ExpireSessions) encode(e *encoder) {
	c.Ordinary.encode(e)
	c.Durable.encode(e)
}

func (c *ExpireSessions) decode(d *decoder) {
	c.Ordinary.decode(d)
	c.Durable.decode(d)
}

func (x *DeadIDs) encode(e *encoder) {
	e.uint(x.Watermark)
	e.uint(uint64(len(x.Ranges)))
	at := x.Watermark
	for _, r := range x.Ranges {
		e.uint(r.From - at)
		e.uint(r.To - r.From)
		at = r.To
	}
}

func (x *DeadIDs) decode(d *decoder) {
	x.Watermark = d.uint()
	x.Ranges = resize(x.Ranges, d.count(2))
	at := x.Watermark
	for i := range x.Ranges {
		from := at + d.uint()
		to := from + d.uint()
		if from <= at || to < from {
			d.fail(errRange)
			x.Ranges = x.Ranges[:0]
			return
		}
		x.Ranges[i], at = Range{from, to}, to
	}
}

// KeyBegin makes or finds the record of an Idempotency-Key on the shard that is its home.
type KeyBegin struct {
	Timed
	Principal  string
	Key        string
	BodyHash   [32]byte
	MapVersion uint64 // the slot map that the request is split under; kept with the record, for the split of a retry
	TTL        int64  // milliseconds
}

func (*KeyBegin) Kind() Kind { return KindKeyBegin }

func (c *KeyBegin) encode(e *encoder) {
	e.str(c.Principal)
	e.str(c.Key)
	e.b = append(e.b, c.BodyHash[:]...)
	e.uint(c.MapVersion)
	e.int(c.TTL)
}

func (c *KeyBegin) decode(d *decoder) {
	c.Principal, c.Key = d.str(), d.str()
	d.array(c.BodyHash[:])
	c.MapVersion, c.TTL = d.uint(), d.int()
}

// KeyFinish stores the response of the request with an Idempotency-Key, for its retries.
type KeyFinish struct {
	Timed
	Principal string
	Key       string
	ID        uint64
	Response  []byte
}

func (*KeyFinish) Kind() Kind { return KindKeyFinish }

func (c *KeyFinish) encode(e *encoder) {
	e.str(c.Principal)
	e.str(c.Key)
	e.uint(c.ID)
	e.bytes(c.Response)
}

func (c *KeyFinish) decode(d *decoder) {
	c.Principal, c.Key, c.ID, c.Response = d.str(), d.str(), d.uint(), d.bytes()
}

// SetSlots tells a shard who it is and which slots it owns, under one version of the slot map.
type SetSlots struct {
	Timed
	Version uint64
	Shard   schema.ShardID
	Owned   []Range // ascending, without overlap, below schema.Slots
}

func (*SetSlots) Kind() Kind { return KindSetSlots }

// SlotsOf is the command for one shard of m.
func SlotsOf(m *schema.SlotMap, shard schema.ShardID) *SetSlots {
	c := &SetSlots{Version: m.Version, Shard: shard}
	for s, owner := range m.Owner {
		if owner != shard {
			continue
		}
		if n := len(c.Owned); n > 0 && c.Owned[n-1].To+1 == uint64(s) {
			c.Owned[n-1].To++
		} else {
			c.Owned = append(c.Owned, Range{uint64(s), uint64(s)})
		}
	}
	return c
}

func (c *SetSlots) encode(e *encoder) {
	e.uint(c.Version)
	e.uint(uint64(c.Shard))
	e.uint(uint64(len(c.Owned)))
	for _, r := range c.Owned {
		e.uint(r.From)
		e.uint(r.To)
	}
}

func (c *SetSlots) decode(d *decoder) {
	c.Version, c.Shard = d.uint(), schema.ShardID(d.uint32())
	c.Owned = make([]Range, d.count(2))
	next := uint64(0)
	for i := range c.Owned {
		r := Range{d.uint(), d.uint()}
		if r.From < next || r.To < r.From || r.To >= schema.Slots {
			d.fail(errRange)
			c.Owned = nil
			return
		}
		c.Owned[i], next = r, r.To+1
	}
}
