package client

import (
	"sync"

	"github.com/quipudb/quipu/proto/slot"
)

// splitter is the memory of one split, which is used again for the next.
type splitter struct {
	hashes []uint64
	values []uint64       // hash of each value of one dimension
	shards []uint32       // that occur, in order of their first row
	place  map[uint32]int // of a shard in shards
	parts  []int          // by row: place in shards
	ends   []int          // by place in shards: number of rows, then end of them in rows
	remap  remap
}

var splitters = sync.Pool{New: func() any { return &splitter{place: map[uint32]int{}} }}

// splitBySlot gives each row of b the shard that owns its slot, and cuts b accordingly. The shards come in no particular order; rows keep
// theirs, and parts say which rows of b they have. A batch of one shard is not cut: parts is nil then.
func splitBySlot(b *columns, p *partition, r *routes) (shards []uint32, parts []*columns, rows [][]uint32) {
	sp := splitters.Get().(*splitter)
	defer splitters.Put(sp)
	sp.hash(b, p)
	sp.group(r)
	shards = append(shards, sp.shards...)
	if len(shards) == 1 {
		return shards, nil, nil
	}
	n := len(sp.parts)
	order := make([]uint32, n)
	for i, k := range sp.parts {
		order[sp.ends[k]] = uint32(i)
		sp.ends[k]++
	}
	from := 0
	for k := range shards {
		own := order[from:sp.ends[k]:sp.ends[k]]
		from = sp.ends[k]
		rows = append(rows, own)
		parts = append(parts, b.only(own, &sp.remap))
	}
	return shards, parts, rows
}

// hash hashes the partition key of every row, each value once.
func (sp *splitter) hash(b *columns, p *partition) {
	start := slot.Start(p.table)
	sp.hashes = sp.hashes[:0]
	for range b.counts {
		sp.hashes = append(sp.hashes, start)
	}
	for d, name := range p.names {
		col := b.dim(name)
		if col == nil {
			for i := range sp.hashes {
				sp.hashes[i] = slot.Add(sp.hashes[i], p.defaults[d])
			}
			continue
		}
		sp.values = append(sp.values[:0], slot.HashValue("", true))
		for _, v := range col.values {
			sp.values = append(sp.values, slot.HashValue(v, false))
		}
		for i, c := range col.codes {
			sp.hashes[i] = slot.Add(sp.hashes[i], sp.values[c])
		}
	}
}

// group finds the shard of every row. Afterwards ends has, for each shard, where its rows begin when they are put in order of shards.
func (sp *splitter) group(r *routes) {
	clear(sp.place)
	sp.shards, sp.parts, sp.ends = sp.shards[:0], sp.parts[:0], sp.ends[:0]
	last, at := ^uint32(0), 0
	for _, h := range sp.hashes {
		if shard := r.owner[slot.Finish(h)]; shard != last || len(sp.shards) == 0 {
			var ok bool
			if at, ok = sp.place[shard]; !ok {
				at = len(sp.shards)
				sp.place[shard] = at
				sp.shards, sp.ends = append(sp.shards, shard), append(sp.ends, 0)
			}
			last = shard
		}
		sp.parts = append(sp.parts, at)
		sp.ends[at]++
	}
	before := 0
	for k, n := range sp.ends {
		sp.ends[k] = before
		before += n
	}
}

// dim is the column of a dimension, or nil.
func (c *columns) dim(name string) *column {
	for i := range c.dims {
		if c.dims[i].name == name {
			return &c.dims[i]
		}
	}
	return nil
}

// only is the batch of some rows, with the values that they use.
func (c *columns) only(rows []uint32, m *remap) *columns {
	out := &columns{event: c.event, dims: make([]column, len(c.dims)), counts: make([]int64, len(rows))}
	for i, row := range rows {
		n := c.counts[row]
		out.counts[i] = n
		out.observations += max(n, -n)
	}
	if len(c.events) > 0 {
		out.events = make([]int64, len(rows))
		for i, row := range rows {
			out.events[i] = c.events[row]
		}
	}
	flat := make([]uint32, len(c.dims)*len(rows))
	for d := range c.dims {
		from, to := &c.dims[d], &out.dims[d]
		to.name, to.codes = from.name, flat[d*len(rows):(d+1)*len(rows)]
		m.next(len(from.values) + 1)
		for i, row := range rows {
			code := from.codes[row]
			if code == 0 {
				continue
			}
			x := m.codes[code]
			if uint32(x>>32) != m.stamp {
				to.values = append(to.values, from.values[code-1])
				x = uint64(m.stamp)<<32 | uint64(len(to.values))
				m.codes[code] = x
			}
			to.codes[i] = uint32(x)
		}
	}
	return out
}
