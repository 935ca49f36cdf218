package replica

import (
	"github.com/quipudb/quipu/proto/command/v1"
	"github.com/quipudb/quipu/storage/schema"
)

// A Part is the rows of one batch that belong to one shard: the unit of exactly-once and of refusal. Its columns may be shared
// with the other parts of the batch. A proposer reads it during Propose only and keeps nothing of it.
type Part struct {
	Stamp command.Part
	Table *schema.Table
	Cols  []PartColumn // one for each dimension of Table, in its order

	// Rows lists the rows of the columns that belong to the part, ascending; nil means rows 0 to Len−1.
	Rows []uint32
	Len  int // number of rows of the part

	Counts  []int64 // by row of the columns; nil means 1 each
	Windows []int64 // start of the window in Unix seconds, by row of the columns; nil means Window for all
	Window  int64
}

// PartColumn is one dimension of a part's rows: row i has the value Values[Codes[i]].
type PartColumn struct {
	Values []schema.Value // canonical
	Codes  []uint32       // nil means that every row has Values[0]
}

// row is the place in the columns of the part's i-th row.
func (p *Part) row(i int) int {
	if p.Rows == nil {
		return i
	}
	return int(p.Rows[i])
}
