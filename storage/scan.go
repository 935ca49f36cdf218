package storage

import (
	"context"
	"math/bits"
	"slices"
	"sync"
)

// Scan calls fn for all cells of the segment that pass the filter, in chunks, with the codes of the dimensions dims in this order. It ends
// with the error of fn, with ctx, with ErrSnapshotTooOld, or with an error that is ErrCorrupt and names the file.
func (g Segment) Scan(ctx context.Context, dims []int, fn func(*Chunk) error) error {
	n := g.v.n
	if n.released.Load() {
		return ErrReleased
	}
	if err := n.s.views.scan(n.view); err != nil {
		return err
	}
	defer n.s.views.scanned(n.view)
	sc := scanners.Get().(*scanner)
	defer sc.end()
	sc.start(g, dims)
	for _, p := range g.parts {
		if err := ctx.Err(); err != nil {
			return err
		}
		if n.view.ended.Load() {
			return ErrSnapshotTooOld
		}
		if sc.skips(p) {
			continue
		}
		c, err := n.s.cellsFor(n.view, g.v.t, p)
		if err != nil {
			return err
		}
		if sc.chunk(p, c); sc.out.Len == 0 {
			continue
		}
		if err := fn(&sc.out); err != nil {
			return err
		}
	}
	return nil
}

// cellsFor gives a reader the cells of a block, read back as of its view if need be. They stay in memory if there is room.
func (s *Store) cellsFor(v *view, t *table, p part) (*cells, error) {
	if c := p.h.data.Load(); c != nil {
		if !p.h.used.Load() {
			p.h.used.Store(true)
		}
		return c, nil
	}
	c, err := s.readBlock(v.pin, t, p.w, p.h)
	if err != nil {
		return nil, err
	}
	if s.memory.tight() {
		s.kickCheckpointer() // to evict what nobody uses
		return c, nil
	}
	return s.clock.install(p.h, c), nil
}

// scanner turns blocks into chunks; it keeps its buffers.
type scanner struct {
	dims    []int
	swapped []bool
	sets    []CodeSet
	sides   []side // of each dimension

	part   part // of the chunk
	cells  *cells
	at     []uint16 // combinations of the rows of a ranked block, if listed
	listed bool
	keep   []uint16 // rows that stay, if chosen
	chosen bool
	counts []int64

	columns [][]uint32 // of the dimensions asked for
	out     Chunk
}

var scanners = sync.Pool{New: func() any { return new(scanner) }}

func (sc *scanner) start(g Segment, dims []int) {
	sc.dims, sc.swapped = dims, g.v.t.swapped
	sc.sets = sc.sets[:0]
	for range g.v.t.lens {
		sc.sets = append(sc.sets, nil)
	}
	copy(sc.sets, g.filter.Codes)
	for len(sc.sides) < len(sc.sets) {
		sc.sides = append(sc.sides, side{})
	}
	for d := range sc.sides {
		sc.sides[d].cycle.layout = nil
	}
	sc.out.sc = sc
}

// end lets go of the store's memory and keeps the buffers for another scan.
func (sc *scanner) end() {
	sc.part, sc.cells, sc.out.Counts = part{}, nil, nil
	scanners.Put(sc)
}

// skips reports that no cell of the block can pass the filter, which shows where a dimension has one code in all of the block.
func (sc *scanner) skips(p part) bool {
	l := p.w.dense
	if l == nil {
		return false
	}
	first := p.h.id << blockBits
	last := min(first+blockCells, l.volume) - 1
	for d, set := range sc.sets {
		if set == nil || d >= len(l.cap) || first/l.stride[d] != last/l.stride[d] {
			continue
		}
		code := uint32(first/l.stride[d]%uint64(l.cap[d])) + l.lo[d]
		if !set.Has(sc.outer(d, code)) {
			return true
		}
	}
	return false
}

func (sc *scanner) outer(d int, code uint32) uint32 {
	if sc.swapped[d] && code <= 1 {
		return code ^ 1
	}
	return code
}

// chunk fills sc.out with the cells of c that are not zero and pass. Columns are written when they are asked for.
func (sc *scanner) chunk(p part, c *cells) {
	sc.part, sc.cells, sc.listed, sc.chosen = p, c, false, false
	for d := range sc.sides {
		sc.sides[d].state = unwritten
	}
	sc.out.Window, sc.out.Len, sc.out.Counts = p.w.start, len(c.counts), c.counts
	if sc.choose(c) {
		sc.gather(c)
	}
}

// choose lists the rows that stay in sc.keep. It is false if all do.
func (sc *scanner) choose(c *cells) bool {
	filtered := slices.ContainsFunc(sc.sets, func(s CodeSet) bool { return s != nil })
	if !filtered && c.live == len(c.counts) {
		return false
	}
	if cap(sc.keep) < len(c.counts) {
		sc.keep = make([]uint16, len(c.counts))
	}
	keep := sc.keep[:len(c.counts)]
	n := 0
	for i, v := range c.counts {
		keep[n] = uint16(i)
		if v != 0 {
			n++
		}
	}
	for d, set := range sc.sets {
		if set == nil {
			continue
		}
		col, m := sc.all(d), 0
		for _, i := range keep[:n] {
			keep[m] = i
			if set.Has(col[i]) {
				m++
			}
		}
		n = m
	}
	sc.keep, sc.chosen = keep[:n], true
	return true
}

// gather moves the counts of the rows of sc.keep together.
func (sc *scanner) gather(c *cells) {
	n := len(sc.keep)
	if cap(sc.counts) < n {
		sc.counts = make([]int64, max(n, 64))
	}
	sc.counts = sc.counts[:n]
	for j, i := range sc.keep {
		sc.counts[j] = c.counts[i]
	}
	sc.out.Len, sc.out.Counts = n, sc.counts
}

// runMin is the length from which a run of combinations with equal or rising codes is worth finding its end.
const runMin = 48

// pick writes the codes of dimension d of the combinations of a ranked block, which begins at first.
func (sc *scanner) pick(l *denseLayout, first uint64, d int, c *cells, col []uint32) {
	x := &sc.sides[d]
	switch {
	case d >= len(l.cap):
		clear(col)
	case l.stride[d] >= runMin:
		l.pickEqual(first, d, c, col)
	case l.stride[d] == 1 && l.cap[d] >= rankBits: // so that codes begin again once in a word at most
		x.column = l.pickRising(first, d, c, col)
	default:
		if !sc.listed {
			sc.at, sc.listed = c.list(sc.at), true
		}
		x.cycle.pick(l, first, d, sc.at, col)
	}
}

// cycle is the codes of one dimension of a layout: a whole period of them, and a block's length more.
type cycle struct {
	layout *denseLayout
	codes  []uint32
}

const cycleMax = 1 << 15 // codes of a period that is kept

// pick writes codes one by one. A period that is too long to keep is written out for the block.
func (y *cycle) pick(l *denseLayout, first uint64, d int, at []uint16, col []uint32) {
	period := l.stride[d] * uint64(l.cap[d])
	kept := period <= cycleMax
	switch {
	case !kept:
		y.write(l, first, d, blockCells)
		first = 0
	case y.layout != l:
		y.write(l, 0, d, blockCells+int(period))
	}
	codes := y.codes[first%period:][:blockCells]
	for i, o := range at {
		col[i] = codes[o&(blockCells-1)]
	}
}

func (y *cycle) write(l *denseLayout, first uint64, d, n int) {
	y.layout, y.codes = l, slices.Grow(y.codes[:0], n)[:n]
	l.fill(first, d, y.codes)
}

// pickEqual is pick for a dimension whose code stays over long runs of combinations.
func (l *denseLayout) pickEqual(first uint64, d int, c *cells, col []uint32) {
	stride, caps := l.stride[d], uint64(l.cap[d])
	for from, n := 0, first/stride; from < len(col); n++ {
		to := c.before((n+1)*stride - first)
		fillEqual(col[from:to], l.lo[d]+uint32(n%caps))
		from = to
	}
}

// fillEqual writes one code all over col.
func fillEqual(col []uint32, code uint32) {
	once := col[:min(len(col), 16)]
	for i := range once {
		once[i] = code
	}
	for n := len(once); n > 0 && n < len(col); n *= 2 {
		copy(col[n:], col[:n])
	}
}

// pickRising is pick for the dimension whose code rises by one with every combination, and begins again after long runs. It returns col,
// in other memory if it needed room.
func (l *denseLayout) pickRising(first uint64, d int, c *cells, col []uint32) []uint32 {
	n := len(col)
	const room = rankBits + 4
	col = slices.Grow(col[:0], n+room)[:n+room]
	lo, caps := l.lo[d], l.cap[d]
	code := uint32(first % uint64(caps)) // of the first combination of the word
	for _, x := range c.ranks {
		to := col[x.before:][:room]
		if code+rankBits <= caps {
			writeRising(to, x.bits, lo+code)
		} else { // the codes begin again within the word
			head := uint64(1)<<(caps-code) - 1
			writeRising(to, x.bits&head, lo+code)
			writeRising(to[bits.OnesCount64(x.bits&head):], x.bits&^head, lo+code-caps)
		}
		for code += rankBits; code >= caps; code -= caps {
		}
	}
	return col[:n]
}

// writeRising writes base + i for each bit i, four at a time without asking after each whether there is one: to has room for what is too
// much, which the next word writes over.
func writeRising(to []uint32, rest uint64, base uint32) {
	for len(to) >= 4 && rest != 0 {
		four := to[:4]
		four[0] = base + uint32(bits.TrailingZeros64(rest))
		rest &= rest - 1
		four[1] = base + uint32(bits.TrailingZeros64(rest))
		rest &= rest - 1
		four[2] = base + uint32(bits.TrailingZeros64(rest))
		rest &= rest - 1
		four[3] = base + uint32(bits.TrailingZeros64(rest))
		rest &= rest - 1
		to = to[4:]
	}
}

// fill writes the codes of dimension d of the combinations from first on: they are periodic.
func (l *denseLayout) fill(first uint64, d int, col []uint32) {
	if d >= len(l.cap) {
		clear(col)
		return
	}
	stride, caps := l.stride[d], uint64(l.cap[d])
	code, left := uint32(first/stride%caps), stride-first%stride
	once := col[:min(uint64(len(col)), stride*caps)]
	if stride == 1 {
		fillRising(once, l.lo[d], code, l.cap[d])
	} else {
		fillRuns(once, l.lo[d], code, l.cap[d], int(min(left, blockCells)), int(min(stride, blockCells)))
	}
	for n := len(once); n < len(col); n *= 2 {
		copy(col[n:], col[:n])
	}
}

// fillRising writes lo + code, lo + code + 1, … and begins again at lo before lo + caps.
func fillRising(col []uint32, lo, code, caps uint32) {
	for len(col) > 0 {
		run := col[:min(int(caps-code), len(col))]
		for i := range run {
			run[i] = lo + code + uint32(i)
		}
		col, code = col[len(run):], 0
	}
}

// fillRuns writes lo + code left times, and then each following code stride times.
func fillRuns(col []uint32, lo, code, caps uint32, left, stride int) {
	for len(col) > 0 {
		run := col[:min(left, len(col))]
		for i := range run {
			run[i] = lo + code
		}
		col, left = col[len(run):], stride
		if code++; code == caps {
			code = 0
		}
	}
}

// fill writes the codes of dimension d of packed keys.
func (p *packing) fill(keys []uint64, d int, col []uint32) {
	if d >= len(p.dims) {
		clear(col)
		return
	}
	x := p.dims[d]
	mask := uint64(1)<<(x.width&63) - 1
	if p.words == 1 {
		for i, k := range keys[:len(col)] {
			col[i] = uint32(k >> (x.shift & 63) & mask)
		}
		return
	}
	for i := range col {
		col[i] = uint32(keys[i*p.words+int(x.word)] >> (x.shift & 63) & mask)
	}
}
