// Package slot says which of the 4,096 hash buckets a cell falls in, from the values of its table's partition key. Client and
// server must agree for ever, because a part's home shard follows from it: docs/format/slot.md holds golden vectors, and the
// functions below never change.
//
// A batch hashes each dictionary value once and then combines hashes row by row, about a nanosecond a dimension:
//
//	h := slot.Start(tableID)
//	for _, d := range partitionBy {
//		h = slot.Add(h, valueHash[d][codes[d][row]])
//	}
//	s := slot.Finish(h) // 0 … slot.Count−1
//
// The values are in canonical form (an INT8 as decimal text without leading zeros, a BOOL as "true" or "false"), and they are
// added in the order of the partition key. An empty partition key gives every cell of the table one slot.
package slot

import (
	"math/bits"

	"github.com/cespare/xxhash/v2"
)

// Count is the number of slots.
const Count = 4096

// nullHash stands for NULL. It is arbitrary; a text that happens to hash to it only shares slots with NULL.
const nullHash = 0x6e756c6c_9e3779b9

// multiplier is odd, so that Add is a bijection of h for a fixed value and of the value for a fixed h.
const multiplier = 0x9e3779b97f4a7c15

// HashValue is the hash of one category value: XXH64 of its bytes with seed 0, or a constant for NULL (v is then ignored).
func HashValue(v string, null bool) uint64 {
	if null {
		return nullHash
	}
	return xxhash.Sum64String(v)
}

// Start begins the hash of a cell of the table. Table ids take part so that small tables spread over the shards.
func Start(tableID uint64) uint64 { return mix(tableID + multiplier) }

// Add takes in the hash of the next value of the partition key. The order of values matters: (a, b) and (b, a) differ.
func Add(h, valueHash uint64) uint64 {
	return (bits.RotateLeft64(h, 27) ^ valueHash) * multiplier
}

// Finish is the slot: the top 12 bits after a mix.
func Finish(h uint64) uint16 { return uint16(mix(h) >> 52) }

// Of is the slot of one cell, for callers that have one and not a batch.
func Of(tableID uint64, values ...Value) uint16 {
	h := Start(tableID)
	for _, v := range values {
		h = Add(h, HashValue(v.Text, v.Null))
	}
	return Finish(h)
}

// Value is one value of a partition key: canonical text, or NULL.
type Value struct {
	Text string
	Null bool
}

// mix is the finalizer of MurmurHash3 (Austin Appleby, public domain): every input bit reaches every output bit.
func mix(h uint64) uint64 {
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	h *= 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}
