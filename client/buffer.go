package client

import "math"

// generation collects counts of interned cells that share one event time. It becomes one batch. Owned by the Table's mutex.
type generation struct {
	counts       []int64  // by cell id
	touched      []uint32 // ids with a count, in order of first touch; a count may have come back to zero
	marked       []bool   // by cell id: in touched
	observations int64    // sum of |n| that the counts stand for
	event        int64    // Unix milliseconds, a whole second
	limit        int      // of len(touched)
}

// add counts n more on cell id. It says no if that would make one cell too many, or leave the range of int64.
func (g *generation) add(id uint32, n int64) bool {
	if int(id) >= len(g.counts) {
		g.grow(int(id))
	}
	if !g.marked[id] && len(g.touched) >= g.limit {
		return false
	}
	sum := g.counts[id] + n
	if (sum > g.counts[id]) != (n > 0) {
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
	if !g.marked[id] {
		g.marked[id] = true
		g.touched = append(g.touched, id)
	}
	return true
}

func (g *generation) grow(id int) {
	n := max(64, 2*len(g.counts), id+1)
	counts, marked := make([]int64, n), make([]bool, n)
	copy(counts, g.counts)
	copy(marked, g.marked)
	g.counts, g.marked = counts, marked
}

// clear makes g ready for the next batch and keeps its memory.
func (g *generation) clear() {
	for _, id := range g.touched {
		g.counts[id], g.marked[id] = 0, false
	}
	g.touched, g.observations = g.touched[:0], 0
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

// remap renumbers the codes of one dimension for one batch. It is reused: an entry counts only if its stamp is the current one.
type remap struct {
	stamp   uint32
	stamps  []uint32 // by table code
	mapping []uint32 // by table code → batch code
}

func (r *remap) next(n int) {
	r.stamp++
	if len(r.stamps) <= n || r.stamp == 0 {
		r.stamps, r.mapping = make([]uint32, 2*n+8), make([]uint32, 2*n+8)
		r.stamp = 1
	}
}

// drain turns g into a batch and clears it. Cells whose count came back to zero are left out. Nil if nothing is left.
func (c *cellTable) drain(g *generation, remaps *[]remap) *columns {
	for len(*remaps) < len(c.dims) {
		*remaps = append(*remaps, remap{})
	}
	out := &columns{event: g.event, observations: g.observations, counts: make([]int64, 0, len(g.touched))}
	rows := make([]uint32, 0, len(g.touched))
	for _, id := range g.touched {
		if n := g.counts[id]; n != 0 {
			rows = append(rows, id)
			out.counts = append(out.counts, n)
		}
	}
	g.clear()
	if len(rows) == 0 {
		return nil
	}
	width := len(c.dims)
	out.dims = make([]column, width)
	flat := make([]uint32, width*len(rows))
	for d := range out.dims {
		dict, r := &c.dims[d], &(*remaps)[d]
		r.next(len(dict.values) + 1)
		col := column{name: dict.name, codes: flat[d*len(rows) : (d+1)*len(rows)]}
		for i, id := range rows {
			code := c.codes[int(id)*width+d]
			if code == 0 {
				continue
			}
			if r.stamps[code] != r.stamp {
				r.stamps[code] = r.stamp
				col.values = append(col.values, dict.values[code-1])
				r.mapping[code] = uint32(len(col.values))
			}
			col.codes[i] = r.mapping[code]
		}
		out.dims[d] = col
	}
	return out
}
