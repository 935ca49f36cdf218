package client

import "math"

// generation collects counts of interned cells that share one event time. It becomes one batch. Owned by the Table's mutex.
type generation struct {
	counts       []int64  // by cell id
	touched      []uint32 // ids with a count; one whose count came back to zero stands again when it leaves zero
	observations int64    // sum of |n| that the counts stand for
	event        int64    // Unix milliseconds, a whole second
	limit        int      // of len(touched)
}

// add counts n more on cell id. It says no if that would make one cell too many, or leave the range of int64.
func (g *generation) add(id uint32, n int64) bool {
	if int(id) >= len(g.counts) {
		g.grow(int(id))
	}
	before := g.counts[id]
	if before == 0 && len(g.touched) >= g.limit {
		return false
	}
	sum := before + n
	if (sum > before) != (n > 0) {
		return false
	}
	a := n
	if a < 0 {
		a = -n
	}
	if a < 0 || g.observations > math.MaxInt64-a {
		return false
	}
	g.observations += a
	g.counts[id] = sum
	if before == 0 {
		g.touched = append(g.touched, id)
	}
	return true
}

func (g *generation) grow(id int) {
	n := max(64, 2*len(g.counts), id+1)
	counts := make([]int64, n)
	copy(counts, g.counts)
	g.counts = counts
}

// take empties g and keeps its memory: the ids that have a count, valid until the next add, and their counts.
func (g *generation) take() (ids []uint32, counts []int64) {
	counts = make([]int64, 0, len(g.touched))
	ids = g.touched[:0]
	for _, id := range g.touched {
		if n := g.counts[id]; n != 0 {
			g.counts[id] = 0
			ids, counts = append(ids, id), append(counts, n)
		}
	}
	g.touched, g.observations = g.touched[:0], 0
	return ids, counts
}

// columns is a batch as it travels: per dimension a dictionary and one code a row, and one count a row.
type columns struct {
	dims         []column
	counts       []int64
	event        int64   // of all rows, Unix milliseconds, unless
	events       []int64 // has one for each row
	observations int64
}

// column is one dimension of a batch. Code 0 is NULL, code k is values[k−1].
type column struct {
	name   string
	values []string
	codes  []uint32
}

// bytes is about what the batch takes in memory and on the wire.
func (c *columns) bytes() int {
	n := 8 * len(c.counts)
	for i := range c.dims {
		n += 4 * len(c.dims[i].codes)
		for _, v := range c.dims[i].values {
			n += len(v) + 16
		}
	}
	return n
}

// remap renumbers the codes of one dimension for one batch. It is reused: an item counts only if its stamp is the current one.
type remap struct {
	stamp uint32
	codes []uint64 // by table code: stamp in the upper half, batch code in the lower
}

func (r *remap) next(n int) {
	r.stamp++
	if len(r.codes) <= n || r.stamp == 0 {
		r.codes, r.stamp = make([]uint64, 2*n+8), 1
	}
}

// drain turns g into a batch and clears it. Cells whose count came back to zero are left out. Nil if nothing is left.
func (c *cellTable) drain(g *generation, remaps *[]remap) *columns {
	out := &columns{event: g.event, observations: g.observations}
	var ids []uint32
	ids, out.counts = g.take()
	if len(ids) == 0 {
		return nil
	}
	for len(*remaps) < len(c.dims) {
		*remaps = append(*remaps, remap{})
	}
	out.dims = make([]column, len(c.dims))
	flat := make([]uint32, len(c.dims)*len(ids))
	for d := range out.dims {
		dict := &c.dims[d]
		(*remaps)[d].next(len(dict.values) + 1)
		out.dims[d] = column{name: dict.name, codes: flat[d*len(ids) : (d+1)*len(ids)],
			values: make([]string, 0, min(len(dict.values), len(ids)))}
	}
	c.gather(out.dims, ids, *remaps)
	return out
}

// gather fills in the codes of cells, row by row: the codes of a cell lie together, and a table of many cells is not in the cache.
func (c *cellTable) gather(dims []column, ids []uint32, remaps []remap) {
	for i, id := range ids {
		for d, code := range c.codes[int(id)*len(dims):][:len(dims)] {
			if code == 0 {
				continue
			}
			r, col := &remaps[d], &dims[d]
			x := r.codes[code]
			if uint32(x>>32) != r.stamp {
				col.values = append(col.values, c.dims[d].values[code-1])
				x = uint64(r.stamp)<<32 | uint64(len(col.values))
				r.codes[code] = x
			}
			col.codes[i] = uint32(x)
		}
	}
}
