package router

import (
	"sync"

	"github.com/quipudb/quipu/proto/slot"
	"github.com/quipudb/quipu/storage/schema"
)

// share is the rows of a batch that one shard owns.
type share struct {
	shard schema.ShardID
	rows  []uint32 // ascending; nil means all rows
	n     int
}

// splitter is the memory of one split, which is used again for the next. The shares that it gives stand on it.
type splitter struct {
	hashes []uint64
	values []uint64 // hash of each dictionary value of one dimension
	owners []schema.ShardID
	rows   []uint32
	ends   []int // by shard: number of rows, then place behind the last one
	shares []share
}

var splitters = sync.Pool{New: func() any { return new(splitter) }}

// split finds the owner of every row. The values of the partition key are hashed once for each dictionary entry; a row then
// costs about a nanosecond for each dimension of the key.
func (sp *splitter) split(p *prepared, m *schema.SlotMap) []share {
	start := slot.Start(uint64(p.table.ID))
	if len(p.table.PartitionBy) == 0 {
		return sp.whole(m.Owner[slot.Finish(start)], p.rows)
	}
	hashes := grown(sp.hashes, p.rows)
	sp.hashes = hashes
	for i := range hashes {
		hashes[i] = start
	}
	for _, d := range p.table.PartitionBy {
		col := &p.cols[d]
		values := grown(sp.values, len(col.Values))
		sp.values = values
		for i, v := range col.Values {
			values[i] = slot.HashValue(v.Text, v.Null)
		}
		if col.Codes == nil {
			for i := range hashes {
				hashes[i] = slot.Add(hashes[i], values[0])
			}
			continue
		}
		for i, c := range col.Codes {
			hashes[i] = slot.Add(hashes[i], values[c])
		}
	}
	return sp.byOwner(m)
}

// whole is all n rows as the share of one shard.
func (sp *splitter) whole(owner schema.ShardID, n int) []share {
	sp.shares = append(sp.shares[:0], share{shard: owner, n: n})
	return sp.shares
}

// byOwner sorts the rows by the owner of their slot, keeping their order within one: it counts, and then each row goes to its place.
func (sp *splitter) byOwner(m *schema.SlotMap) []share {
	n := len(sp.hashes)
	owners, rows := grown(sp.owners, n), grown(sp.rows, n)
	sp.owners, sp.rows = owners, rows
	top := schema.ShardID(0)
	for i, h := range sp.hashes {
		owners[i] = m.Owner[slot.Finish(h)]
		top = max(top, owners[i])
	}
	ends := grown(sp.ends, int(top)+1)
	sp.ends = ends
	clear(ends)
	for _, owner := range owners {
		ends[owner]++
	}
	if ends[top] == n {
		return sp.whole(top, n)
	}
	sp.shares = sp.shares[:0]
	at := 0
	for id, k := range ends {
		if k > 0 {
			sp.shares = append(sp.shares, share{shard: schema.ShardID(id), rows: rows[at : at+k : at+k], n: k})
		}
		ends[id] = at
		at += k
	}
	for i, owner := range owners {
		rows[ends[owner]] = uint32(i)
		ends[owner]++
	}
	return sp.shares
}

// grown is s with length n, in new memory if it has to be. The contents are anything.
func grown[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}
