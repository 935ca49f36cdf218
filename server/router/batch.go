// Package router takes a batch of observations from an edge to the shards that own its cells: it validates the batch against
// the catalog, hashes each dictionary value once, splits the rows by slot into parts, proposes the parts in parallel and
// gathers what each shard said.
//
//	result, err := r.Write(ctx, &router.Batch{
//		Principal: "local", Session: 17, Seq: 1,
//		Table: schema.Name{Table: "admissions"},
//		Dims: []router.Column{
//			{Name: "dept", Dict: []schema.Value{schema.Null, schema.V("A"), schema.V("B")}, Codes: []uint32{1, 1, 2}},
//			{Name: "gender", Dict: []schema.Value{schema.Null, schema.V("f")}, Codes: []uint32{1, 1, 1}},
//		},
//	})
//
// A batch with anything wrong in it changes nothing and is answered by one error that names every bad row (up to a bound).
// What only the state of a shard can decide (a count below zero, a session that has expired) is refused per part.
package router

import (
	"github.com/quipudb/quipu/storage/schema"
)

// Limits of one batch.
const (
	RowsMax       = 65_536
	ViolationsMax = 100 // bad rows that an error names one by one
	KeyBytesMax   = 255 // bytes of an idempotency key
)

// Batch is rows of one table as columns over dictionaries. The router does not change it, nor keep it after Write has returned.
type Batch struct {
	Principal string // who writes; a session belongs to one

	// Session and Seq are the stamp under which the batch counts once; both 0 means unstamped: it counts again at every Write.
	Session uint64
	Seq     uint64
	// AckUpTo: every batch of the session up to this Seq has had its answer.
	AckUpTo    uint64
	MapVersion uint64 // of the shard map that the client knew; 0 leaves the split to the server
	Key        string // instead of a stamp: an idempotency key of the principal

	// Table by name; empty Database and Schema mean the defaults. TableID and TableVersion, if not 0, must be the current ones:
	// otherwise the batch is refused with SCHEMA_CHANGED (an older version of the same id is accepted, since columns are named).
	Table        schema.Name
	TableID      schema.TableID
	TableVersion uint64

	Rows   int      // number of rows; 0 means the length of the first column's Codes
	Dims   []Column // in any order; a dimension that is left out has its default
	Counts []int64  // one a row; nil means 1 each. Negative counts take observations back
	Events []int64  // event times in Unix milliseconds: one a row, or one for all rows; nil means the time of arrival
}

// Column is one dimension of a batch: row i has the value Dict[Codes[i]].
type Column struct {
	Name  string
	Dict  []schema.Value
	Codes []uint32
}

// Refusal is one part that was not counted.
type Refusal struct {
	Shard schema.ShardID
	Rows  []uint32 // rows of the batch, ascending; nil means all of them
	Err   error    // an *errcode.Error
}

// Result is what became of a batch: the parts that were counted and those that were not.
type Result struct {
	Receipts   []schema.Receipt // by shard
	Refused    []Refusal        // by shard
	MapVersion uint64           // the shard map that the batch was split by
	Replayed   bool             // the idempotency key had been used before with this body; the answer is the one of then
}
