package schema

import "fmt"

// Slots is the number of hash buckets of every table's partition key. Each belongs to one shard.
const Slots = 4096

// Applied is the last log position whose effects a state holds.
type Applied struct{ Index, Term uint64 }

// Receipt is what one shard says of a part that it counted: the log index that made it durable.
type Receipt struct {
	Shard     ShardID
	Index     uint64
	Duplicate bool // the part had been counted before; nothing changed
}

// SnapshotID names the instant that a result was read at. It cannot be read again.
type SnapshotID struct {
	MetaTerm, Round, Catalog uint64
}

// String is term/round/catalog.
func (s SnapshotID) String() string { return fmt.Sprintf("%d/%d/%d", s.MetaTerm, s.Round, s.Catalog) }

// SlotMap says which shard owns each slot, under one version.
type SlotMap struct {
	Version uint64
	Owner   [Slots]ShardID
}

// EvenSlotMap gives each of n shards (1 to Slots) a contiguous, nearly equal run of slots, as version 1.
func EvenSlotMap(n int) *SlotMap {
	m := &SlotMap{Version: 1}
	for s := range Slots {
		m.Owner[s] = ShardID(s * n / Slots)
	}
	return m
}

// Record is one version of a metadata context: a named record that steers collection.
type Record struct {
	Name       string
	Version    uint64            // raised by one at every change, from 1
	Revision   uint64            // log index of the meta group at that change
	Values     map[string]string // for example sample_rate, window_sec, free labels
	Deleted    bool
	ModifiedBy string
	ModifiedAt int64 // log time, Unix milliseconds
}
