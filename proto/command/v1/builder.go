package command

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/quipudb/quipu/storage/schema"
)

// ErrOverflow says that the counts of an entry would add up to more than 2⁶³−1; a new entry has room.
var ErrOverflow = errors.New("the counts of one entry would overflow")

// Builder makes the frame of one Add after another from the parts of many requests. It sums equal cells as they come, sorts
// them once, and reuses its memory, so that a row costs a few nanoseconds and no allocation. One goroutine uses it at a time.
//
//	b.Reset()
//	g := b.Group(table.ID, table.Version, known)         // known[d]: length of the dictionary of dimension d
//	remap[d][i] = g.Code(d, value, appliedCode)          // once per dictionary value of the batch, not per row
//	if g.Room(need) {                                    // else Finish, and begin the next entry
//		b.Part(stamp)
//		err = g.AddRows(rows)
//	}
//	data, err := b.Finish(now)
//
// Nothing that was added can be taken out again, so test Room first. A value that Code was asked for stays in the entry even
// if no cell uses it.
type Builder struct {
	parts  []Part
	groups []*GroupBuilder
	free   []*GroupBuilder
	enc    encoder
}

// NewBuilder returns an empty builder.
func NewBuilder() *Builder { return &Builder{} }

// Reset forgets everything and keeps the memory.
func (b *Builder) Reset() {
	b.parts = b.parts[:0]
	for _, g := range b.groups {
		g.reset()
	}
	b.free = append(b.free, b.groups...)
	b.groups = b.groups[:0]
}

// Part adds the stamp of one request's share.
func (b *Builder) Part(p Part) { b.parts = append(b.parts, p) }

// Parts is the number of stamps.
func (b *Builder) Parts() int { return len(b.parts) }

// Cells is the number of distinct cells.
func (b *Builder) Cells() int {
	n := 0
	for _, g := range b.groups {
		n += g.cells()
	}
	return n
}

// Group finds or begins the cells of one version of a table. known gives the length of each dimension's dictionary (NULL not
// counted: the highest applied code) when the group is begun; later lengths of the same entry are ignored.
func (b *Builder) Group(table schema.TableID, version uint64, known []uint32) *GroupBuilder {
	for _, g := range b.groups {
		if g.table == table && g.version == version {
			return g
		}
	}
	var g *GroupBuilder
	if n := len(b.free); n > 0 {
		g, b.free = b.free[n-1], b.free[:n-1]
	} else {
		g = &GroupBuilder{windows: map[int64]*aggregate{}}
	}
	g.b, g.table, g.version = b, table, version
	g.begin(known)
	b.groups = append(b.groups, g)
	return g
}

// Finish makes the frame. It fails with ErrSize if the entry is above a limit, which cannot happen while Room said yes.
func (b *Builder) Finish(stamp int64) ([]byte, error) {
	if n := b.Cells(); n > CellsMax {
		return nil, fmt.Errorf("%w: %d cells, the limit is %d", ErrSize, n, CellsMax)
	}
	if len(b.parts) > PartsMax {
		return nil, fmt.Errorf("%w: %d parts, the limit is %d", ErrSize, len(b.parts), PartsMax)
	}
	e := &b.enc
	e.b = e.b[:0]
	e.begin(KindAdd, stamp)
	e.uint(uint64(len(b.parts)))
	for i := range b.parts {
		b.parts[i].encode(e)
	}
	e.uint(uint64(len(b.groups)))
	for _, g := range b.groups {
		g.encode(e)
	}
	e.b = e.finish()
	if len(e.b) > SizeMax {
		return nil, fmt.Errorf("%w: %d bytes, the limit is %d", ErrSize, len(e.b), SizeMax)
	}
	return slices.Clone(e.b), nil
}

// Need is what a part is about to add to a group.
type Need struct {
	Rows     int
	NewBytes int    // length of all values that are not applied yet, four bytes more for each
	Sum      uint64 // of the counts without their signs
	Windows  int    // distinct windows, at least 1
}

// GroupBuilder collects the cells of one version of one table.
type GroupBuilder struct {
	b       *Builder
	table   schema.TableID
	version uint64
	dims    []dimBuilder
	layout  layout
	windows map[int64]*aggregate
	last    *aggregate // of the window that was used last
	spare   []*aggregate
	sum     uint64 // of all counts without their signs
	bytes   int    // of new values
	shifted [schema.DimensionsMax][]uint64
	starts  []int64
	cellEnc encoder
}

type dimBuilder struct {
	known  uint32
	values []string
	codes  map[string]uint32
}

func (g *GroupBuilder) begin(known []uint32) {
	for len(g.dims) < len(known) {
		g.dims = append(g.dims, dimBuilder{codes: map[string]uint32{}})
	}
	g.dims = g.dims[:len(known)]
	for i := range g.dims {
		g.dims[i].known = known[i]
	}
	g.layout = g.chooseLayout(true)
}

func (g *GroupBuilder) reset() {
	for i := range g.dims {
		d := &g.dims[i]
		clear(d.values)
		d.values = d.values[:0]
		clear(d.codes)
	}
	for _, a := range g.windows {
		if len(g.spare) < 8 { // a burst of windows must not keep its memory for ever
			g.spare = append(g.spare, a)
		}
	}
	clear(g.windows)
	g.last, g.sum, g.bytes, g.b = nil, 0, 0, nil
}

// Knows reports whether the group names every applied code of a dimension up to length, the length of its dictionary. If not, Code
// must be asked for the codes of the values.
func (g *GroupBuilder) Knows(dim int, length uint32) bool { return length <= g.dims[dim].known }

// Code is the entry code of a value: applied, if it was applied (0 says no) when the group began, else a code of the entry's
// own list. NULL has entry code 0 and needs no call.
func (g *GroupBuilder) Code(dim int, value string, applied uint32) uint32 {
	d := &g.dims[dim]
	if applied != 0 && applied <= d.known {
		return applied
	}
	if c, ok := d.codes[value]; ok {
		return c
	}
	d.values = append(d.values, value)
	c := d.known + uint32(len(d.values))
	d.codes[value] = c
	g.bytes += len(value) + 4
	if !g.layout.wide && uint64(c) > g.layout.mask[dim] {
		g.relayout()
	}
	return c
}

func (g *GroupBuilder) cells() int {
	n := 0
	for _, a := range g.windows {
		n += a.len()
	}
	return n
}

// Room reports whether the entry surely stays within its limits with need added. An empty entry always has room for what fits
// in an entry at all; a part that does not must be split by who made it.
func (g *GroupBuilder) Room(need Need) bool {
	if g.b.Cells()+need.Rows > CellsMax || len(g.b.parts) >= PartsMax {
		return false
	}
	if need.Sum > math.MaxInt64-min(g.sum, math.MaxInt64) {
		return false
	}
	size := 64 + 64*(len(g.b.parts)+1) + need.NewBytes
	for _, o := range g.b.groups {
		if o == g {
			size += o.sizeMax(need)
		} else {
			size += o.sizeMax(Need{})
		}
	}
	return size <= SizeMax
}

// sizeMax bounds the encoded size. n ascending keys of w bits have gaps of 2^w/n on average, and by concavity their varints
// together are longest when all gaps are equal; the same holds for counts that add up to a given sum.
func (g *GroupBuilder) sizeMax(need Need) int {
	n := float64(g.cells() + need.Rows)
	fixed := float64(40 + 10*len(g.dims) + g.bytes + 20*(len(g.windows)+need.Windows))
	if n == 0 {
		return int(fixed)
	}
	counts := n * (1 + math.Log2(max(2, 2*(float64(g.sum)+float64(need.Sum))/n))/7)
	var keys float64
	if g.layout.wide {
		for i := range g.dims {
			keys += n * (1 + math.Log2(float64(g.dims[i].known)+float64(len(g.dims[i].values)+need.NewBytes/4)+2)/7)
		}
	} else {
		span := float64(g.layout.total) + math.Log2(float64(len(g.windows)+need.Windows+1))
		keys = n * (1 + max(0, span-math.Log2(n))/7)
	}
	return int(fixed + keys + counts)
}

// Add adds delta to one cell. codes are entry codes, one per dimension.
func (g *GroupBuilder) Add(window int64, codes []uint32, delta int64) error {
	if !g.take(magnitude(delta)) {
		return ErrOverflow
	}
	a := g.window(window)
	if g.layout.wide {
		a.addWide(codes, delta)
		return nil
	}
	key := uint64(0)
	for i, c := range codes {
		key |= uint64(c) << g.layout.shift[i]
	}
	a.add([]uint64{key}, []int64{delta})
	return nil
}

// Rows is a share of a columnar batch.
type Rows struct {
	Index   []uint32   // which rows of the columns; nil means all
	Codes   [][]uint32 // per dimension, per row: position in the batch's dictionary
	Remap   [][]uint32 // per dimension, per position: the entry code, as Code gave it (0 for NULL)
	Counts  []int64    // per row; nil means 1 each
	Windows []int64    // per row; nil means Window for all
	Window  int64
}

// AddRows adds rows, all or, if the entry's sum would overflow, none.
func (g *GroupBuilder) AddRows(r Rows) error {
	if !g.take(r.sum()) {
		return ErrOverflow
	}
	if g.layout.wide {
		g.addWideRows(r)
		return nil
	}
	cols := g.shift(r)
	var keys [keyRun]uint64
	var deltas [keyRun]int64
	for from, n := 0, r.len(); from < n; from += keyRun {
		run := min(keyRun, n-from)
		r.keys(keys[:run], from, cols)
		r.deltas(deltas[:run], from)
		for at := 0; at < run; {
			window, to := r.window(from+at, from+run)
			g.window(window).add(keys[at:to-from], deltas[at:to-from])
			at = to - from
		}
	}
	return nil
}

// keyRun is how many keys are put together at a time, one dimension after the other: 4 KiB of them stay in the first cache.
const keyRun = 512

func (r *Rows) len() int {
	if r.Index != nil {
		return len(r.Index)
	}
	return len(r.Codes[0])
}

// keys makes the packed keys of rows from the given one on.
func (r *Rows) keys(keys []uint64, from int, cols [][]uint64) {
	clear(keys)
	for d, col := range cols {
		codes := r.Codes[d]
		if r.Index == nil {
			for i, c := range codes[from : from+len(keys)] {
				keys[i] |= col[c]
			}
			continue
		}
		for i, row := range r.Index[from : from+len(keys)] {
			keys[i] |= col[codes[row]]
		}
	}
}

// deltas are the counts of rows from the given one on.
func (r *Rows) deltas(deltas []int64, from int) {
	switch {
	case r.Counts == nil:
		for i := range deltas {
			deltas[i] = 1
		}
	case r.Index == nil:
		copy(deltas, r.Counts[from:])
	default:
		for i, row := range r.Index[from : from+len(deltas)] {
			deltas[i] = r.Counts[row]
		}
	}
}

// window is that of row number from, and the first row before end that has another.
func (r *Rows) window(from, end int) (start int64, to int) {
	if r.Windows == nil {
		return r.Window, end
	}
	start = r.Windows[r.row(from)]
	for to = from + 1; to < end && r.Windows[r.row(to)] == start; to++ {
	}
	return start, to
}

// row is the place in the columns of the i-th row.
func (r *Rows) row(i int) int {
	if r.Index == nil {
		return i
	}
	return int(r.Index[i])
}

// shift gives the entry codes of each dictionary position at their place in a packed key.
func (g *GroupBuilder) shift(r Rows) [][]uint64 {
	for d := range g.dims {
		col := g.shifted[d][:0]
		for _, c := range r.Remap[d] {
			col = append(col, uint64(c)<<g.layout.shift[d])
		}
		g.shifted[d] = col
	}
	return g.shifted[:len(g.dims)]
}

func (g *GroupBuilder) addWideRows(r Rows) {
	var codes [schema.DimensionsMax]uint32
	for i := range r.len() {
		row := uint32(i)
		if r.Index != nil {
			row = r.Index[i]
		}
		for d := range g.dims {
			codes[d] = r.Remap[d][r.Codes[d][row]]
		}
		delta, window := int64(1), r.Window
		if r.Counts != nil {
			delta = r.Counts[row]
		}
		if r.Windows != nil {
			window = r.Windows[row]
		}
		g.window(window).addWide(codes[:len(g.dims)], delta)
	}
}

func (r *Rows) sum() uint64 {
	if r.Counts == nil {
		if r.Index != nil {
			return uint64(len(r.Index))
		}
		return uint64(len(r.Codes[0]))
	}
	s := uint64(0)
	if r.Index == nil {
		for _, c := range r.Counts {
			s = addSaturated(s, magnitude(c))
		}
	}
	for _, i := range r.Index {
		s = addSaturated(s, magnitude(r.Counts[i]))
	}
	return s
}

func addSaturated(a, b uint64) uint64 {
	if a+b < a {
		return math.MaxUint64
	}
	return a + b
}

func magnitude(v int64) uint64 {
	if v < 0 {
		return -uint64(v)
	}
	return uint64(v)
}

// take counts sum toward the bound that makes every partial sum of the entry safe.
func (g *GroupBuilder) take(sum uint64) bool {
	if s := addSaturated(g.sum, sum); s <= math.MaxInt64 {
		g.sum = s
		return true
	}
	return false
}

func (g *GroupBuilder) window(start int64) *aggregate {
	if g.last != nil && g.last.start == start {
		return g.last
	}
	a := g.windows[start]
	if a == nil {
		if n := len(g.spare); n > 0 {
			a, g.spare = g.spare[n-1], g.spare[:n-1]
		} else {
			a = &aggregate{}
		}
		a.reset(start, g.layout.wide, len(g.dims))
		g.windows[start] = a
	}
	g.last = a
	return a
}

// encode writes the group as Group.encode would.
func (g *GroupBuilder) encode(e *encoder) {
	dims := make([]Codes, len(g.dims))
	for i := range g.dims {
		dims[i] = Codes{Known: g.dims[i].known, New: g.dims[i].values}
	}
	g.starts = g.starts[:0]
	for start, a := range g.windows { // sorted below
		if a.sorted(g.layout.total); len(a.pairs) > 0 {
			g.starts = append(g.starts, start)
		}
	}
	slices.Sort(g.starts)
	exact := g.chooseLayout(false)
	c := &g.cellEnc
	c.b = c.b[:0]
	c.uint(uint64(len(g.starts)))
	at := int64(0)
	for _, start := range g.starts {
		c.int(start - at)
		at = start
		g.encodeCells(c, g.windows[start], &exact)
	}
	out := Group{Table: g.table, Version: g.version, Dims: dims, cells: c.b}
	out.encode(e)
}

func (g *GroupBuilder) encodeCells(c *encoder, a *aggregate, exact *layout) {
	c.uint(uint64(len(a.pairs)))
	if exact.wide {
		for _, p := range a.pairs {
			for _, code := range a.row(int(p.key)) {
				c.uint(uint64(code))
			}
			c.int(p.delta)
		}
		return
	}
	c.b = slices.Grow(c.b, 20*len(a.pairs))
	same := g.layout == *exact
	last := uint64(0)
	for _, p := range a.pairs {
		key := p.key
		if !same {
			key = repack(key, &g.layout, exact, len(g.dims))
		}
		c.uint(key - last)
		c.int(p.delta)
		last = key
	}
}
