package router

import (
	"github.com/quipudb/quipu/proto/slot"
	"github.com/quipudb/quipu/storage/schema"
)

// share is the rows of a batch that one shard owns.
type share struct {
	shard schema.ShardID
	rows  []uint32 // ascending; nil means all rows
	n     int
}

// split finds the owner of every row. The values of the partition key are hashed once for each dictionary entry; a row then
// costs about a nanosecond for each dimension of the key.
func (p *prepared) split(m *schema.SlotMap) []share {
	if len(p.table.PartitionBy) == 0 {
		owner := m.Owner[slot.Finish(slot.Start(uint64(p.table.ID)))]
		return []share{{shard: owner, n: p.rows}}
	}
	hashes := make([]uint64, p.rows)
	for i := range hashes {
		hashes[i] = slot.Start(uint64(p.table.ID))
	}
	for _, d := range p.table.PartitionBy {
		col := &p.cols[d]
		values := make([]uint64, len(col.Values))
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
	return byOwner(hashes, m)
}

// byOwner sorts the rows by the owner of their slot, keeping their order within one.
func byOwner(hashes []uint64, m *schema.SlotMap) []share {
	owners := make([]schema.ShardID, len(hashes))
	var counts []int // by shard
	for i, h := range hashes {
		owner := m.Owner[slot.Finish(h)]
		for int(owner) >= len(counts) {
			counts = append(counts, 0)
		}
		counts[owner]++
		owners[i] = owner
	}
	var shares []share
	rows := make([]uint32, len(hashes))
	place := make([]int, len(counts)) // index into shares
	for id, n := range counts {
		if n == 0 {
			continue
		}
		if n == len(hashes) {
			return []share{{shard: schema.ShardID(id), n: n}}
		}
		place[id] = len(shares)
		shares = append(shares, share{shard: schema.ShardID(id), rows: rows[:0:n], n: n})
		rows = rows[n:]
	}
	for i, owner := range owners {
		s := &shares[place[owner]]
		s.rows = append(s.rows, uint32(i))
	}
	return shares
}
