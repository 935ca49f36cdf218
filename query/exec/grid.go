package exec

// grid adds up int64 sums by key. It belongs to one goroutine. Entries are the slots of a dense shape, and otherwise numbered
// in the order in which their keys came.
type grid struct {
	*shape
	sums int
	mem  *Budget
	took int64

	vals     []int64 // entry·sums + sum
	keys     []uint64
	table    []uint32 // open addressing: entry+1 by the hash of its key
	wide     map[string]uint32
	wideKeys []string
	overflow bool
}

func newGrid(room *room, s *shape, sums int, mem *Budget) (*grid, error) {
	g := room.grids.one()
	g.shape, g.sums, g.mem = s, sums, mem
	switch s.kind {
	case denseShape:
		if err := g.take(int64(s.size) * int64(sums) * 8); err != nil {
			return nil, err
		}
		if n := int(s.size) * sums; n < spareMin {
			g.vals = room.sums.take(n)
		} else {
			g.vals = spareInts(n)
		}
	case packedShape:
		if err := g.take(1 << 12); err != nil {
			return nil, err
		}
		g.table = make([]uint32, 1<<10)
	case wideShape:
		g.wide = map[string]uint32{}
	}
	return g, nil
}

func (g *grid) take(n int64) error {
	if err := g.mem.Grow(n); err != nil {
		return err
	}
	g.took += n
	return nil
}

// free gives the memory back.
func (g *grid) free() {
	if g == nil {
		return
	}
	g.mem.Shrink(g.took)
	if g.kind == denseShape {
		keepInts(g.vals)
	}
	g.took, g.vals, g.keys, g.table, g.wide, g.wideKeys = 0, nil, nil, nil, nil, nil
}

// entries is the number of entries, empty ones of a dense shape included.
func (g *grid) entries() int {
	switch g.kind {
	case denseShape:
		return int(g.size)
	case packedShape:
		return len(g.keys)
	}
	return len(g.wideKeys)
}

func hashKey(k uint64) uint64 {
	k ^= k >> 32
	k *= 0x9e3779b97f4a7c15
	return k ^ k>>29
}

// reserve makes room for n more entries.
func (g *grid) reserve(n int) error {
	if g.kind == denseShape {
		return nil
	}
	have := g.entries()
	if need := (have + n) * g.sums; need > cap(g.vals) {
		grown := max(need, 2*cap(g.vals))
		if err := g.take(int64(grown-cap(g.vals))*8 + int64(grown/max(g.sums, 1)-cap(g.keys))*8); err != nil {
			return err
		}
		vals := make([]int64, len(g.vals), grown)
		copy(vals, g.vals)
		g.vals = vals
		if g.kind == packedShape {
			keys := make([]uint64, len(g.keys), grown/max(g.sums, 1))
			copy(keys, g.keys)
			g.keys = keys
		}
	}
	if g.kind == wideShape {
		return g.take(int64(n) * int64(4*len(g.cards)+16) / 8) // an estimate: most rows hit an entry that is there
	}
	if size := len(g.table); (have+n)*2 > size {
		for (have+n)*2 > size {
			size *= 2
		}
		if err := g.take(int64(size-len(g.table)) * 4); err != nil {
			return err
		}
		g.table = make([]uint32, size)
		for e, k := range g.keys {
			g.table[g.probe(k)] = uint32(e) + 1
		}
	}
	return nil
}

// probe is the place of k in the table, or the empty place where it belongs.
func (g *grid) probe(k uint64) uint64 {
	mask := uint64(len(g.table) - 1)
	i := hashKey(k) & mask
	for g.table[i] != 0 && g.keys[g.table[i]-1] != k {
		i = (i + 1) & mask
	}
	return i
}

// entry is the number of the entry of k; there is room for it.
func (g *grid) entry(k uint64) uint32 {
	if g.kind == denseShape {
		return uint32(k)
	}
	i := g.probe(k)
	if e := g.table[i]; e != 0 {
		return e - 1
	}
	g.keys = append(g.keys, k)
	g.table[i] = uint32(len(g.keys))
	g.extend()
	return uint32(len(g.keys) - 1)
}

func (g *grid) extend() {
	n := len(g.vals)
	g.vals = g.vals[:n+g.sums]
	clear(g.vals[n:])
}

func (g *grid) wideEntry(key []byte) uint32 {
	if e, ok := g.wide[string(key)]; ok {
		return e
	}
	e := uint32(len(g.wideKeys))
	s := string(key)
	g.wide[s] = e
	g.wideKeys = append(g.wideKeys, s)
	g.extend()
	return e
}

// entriesOf finds or makes the entries of rows sel (nil: the first n) of the columns.
func (g *grid) entriesOf(cols [][]uint32, n int, sel []int32, keys []uint64, out []uint32) ([]uint32, error) {
	rows := n
	if sel != nil {
		rows = len(sel)
	}
	if err := g.reserve(rows); err != nil {
		return nil, err
	}
	out = out[:rows]
	if g.kind == wideShape {
		var buf [128]byte
		for i := range out {
			r := i
			if sel != nil {
				r = int(sel[i])
			}
			out[i] = g.wideEntry(wideKey(cols, r, buf[:0]))
		}
		return out, nil
	}
	keys = g.keysOf(cols, n, keys)
	for i := range out {
		k := keys[i]
		if sel != nil {
			k = keys[sel[i]]
		}
		out[i] = g.entry(k)
	}
	return out, nil
}

// addAll is entriesOf and the addition of counts in one, for a grid of one sum and all rows.
func (g *grid) addAll(cols [][]uint32, counts []int64, keys []uint64) {
	keys = g.keysOf(cols, len(counts), keys)
	vals := g.vals
	sign := int64(0)
	for i, k := range keys {
		v := vals[k] + counts[i]
		vals[k] = v
		sign |= v
	}
	g.overflow = g.overflow || sign < 0
}

// add adds v ≥ 0 to a sum of an entry.
func (g *grid) add(e uint32, sum int, v int64) {
	p := &g.vals[int(e)*g.sums+sum]
	*p += v
	if *p < 0 {
		g.overflow = true
	}
}

// codesOf gives the codes of an entry.
func (g *grid) codesOf(e int, out []uint32) []uint32 {
	switch g.kind {
	case denseShape:
		return g.codes(uint64(e), out)
	case packedShape:
		return g.codes(g.keys[e], out)
	}
	out = out[:len(g.cards)]
	s := g.wideKeys[e]
	for i := range out {
		out[i] = uint32(s[4*i])<<24 | uint32(s[4*i+1])<<16 | uint32(s[4*i+2])<<8 | uint32(s[4*i+3])
	}
	return out
}

// merge adds a grid of the same shape.
func (g *grid) merge(o *grid) error {
	g.overflow = g.overflow || o.overflow
	if g.kind == denseShape {
		sign := int64(0)
		for i, v := range o.vals {
			s := g.vals[i] + v
			g.vals[i] = s
			sign |= s
		}
		g.overflow = g.overflow || sign < 0
		return nil
	}
	if err := g.reserve(o.entries()); err != nil {
		return err
	}
	for e := range o.entries() {
		var to uint32
		if g.kind == wideShape {
			to = g.wideEntry([]byte(o.wideKeys[e]))
		} else {
			to = g.entry(o.keys[e])
		}
		for s := range g.sums {
			g.add(to, s, o.vals[e*g.sums+s])
		}
	}
	return nil
}

// check says whether a sum left the range of int64.
func (g *grid) check(table string) error {
	if g.overflow {
		return rangeError(table)
	}
	return nil
}

// has says that something was added to the sum of the entry.
func (g *grid) has(e, sum int) bool { return g.vals[e*g.sums+sum] != 0 }
