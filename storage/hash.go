package storage

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"maps"
	"slices"

	"github.com/quipudb/quipu/storage/schema"
)

// Hash is a hash of the state's content: tables, dictionaries, cells and rows, at the log position that comes with it. Layouts, blocks
// and the Raft configuration do not enter, so that replicas at one position have one hash however they came there.
func (s *Store) Hash(ctx context.Context) (schema.Applied, [sha256.Size]byte, error) {
	var none [sha256.Size]byte
	s.mu.Lock()
	n, err := s.snapshot()
	rows := maps.Clone(s.rows)
	s.mu.Unlock()
	if err != nil {
		return schema.Applied{}, none, err
	}
	defer n.Release()
	h := sha256.New()
	var buf []byte
	for _, t := range n.root.tables {
		if buf, err = n.hashTable(ctx, t, buf[:0]); err != nil {
			return schema.Applied{}, none, err
		}
		h.Write(buf)
	}
	for _, k := range slices.Sorted(maps.Keys(rows)) {
		buf = appendText(appendText(buf[:0], k), string(rows[k]))
		h.Write(buf)
	}
	return n.applied, [sha256.Size]byte(h.Sum(nil)), nil
}

// hashTable appends what a table is: its definition, its dictionaries, and the sum over its cells.
func (n *Snapshot) hashTable(ctx context.Context, t *table, b []byte) ([]byte, error) {
	def, err := json.Marshal(t.def)
	if err != nil {
		return nil, err
	}
	b = binary.AppendUvarint(appendText(b, string(def)), t.positive)
	for d, dict := range t.dicts {
		b = binary.AppendUvarint(b, uint64(t.lens[d]))
		for c := uint32(1); c <= t.lens[d]; c++ {
			b = appendText(b, dict.value(c))
		}
	}
	sum, err := n.sumCells(ctx, t)
	for _, x := range sum {
		b = binary.LittleEndian.AppendUint64(b, x)
	}
	return b, err
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// sumCells adds up two hashes of each cell, which no order changes.
func (n *Snapshot) sumCells(ctx context.Context, t *table) (sum [2]uint64, err error) {
	dims := make([]int, len(t.lens))
	for d := range dims {
		dims[d] = d
	}
	v := TableView{n: n, t: t}
	for _, g := range v.Segments(Filter{}, 1) {
		err = g.Scan(ctx, dims, func(c *Chunk) error {
			cols := c.Columns()
			for i, count := range c.Counts {
				h := mix(uint64(c.Window) + 1)
				for _, col := range cols {
					h = mix(h ^ uint64(col[i]) + 0x9e3779b97f4a7c15)
				}
				h = mix(h ^ uint64(count))
				sum[0] += h
				sum[1] += mix(h + 1)
			}
			return nil
		})
	}
	return sum, err
}
