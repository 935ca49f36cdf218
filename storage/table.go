package storage

import (
	"fmt"
	"math"
	"slices"

	"github.com/quipudb/quipu/storage/keys"
	"github.com/quipudb/quipu/storage/schema"
)

// TableState is the writer's door to one table. It may be kept from one Update to the next, and is dead after DropTable. Its methods
// may only be called inside Update, except that reading methods may also be called by the writer's goroutine between two Updates.
type TableState struct {
	s  *Store
	id schema.TableID
	t  *table  // newest node; of the current epoch once own was called in it
	w  *window // window of the last Add

	swap  bool // some dimension is swapped
	codes [schema.DimensionsMax]uint32
	row   [schema.DimensionsMax]uint32
	key   [schema.DimensionsMax]uint64
}

// Schema is the newest definition. It must not be changed.
func (ts *TableState) Schema() *schema.Table { return ts.t.def }

// Len is the number of values of dimension dim, which is also the highest code.
func (ts *TableState) Len(dim int) uint32 { return ts.t.lens[dim] }

// Lookup is the code of a value of dimension dim. NULL is code 0 and not a value.
func (ts *TableState) Lookup(dim int, value string) (uint32, bool) {
	return ts.t.dicts[dim].lookup(value, ts.t.lens[dim])
}

// Value is the text of a code of dimension dim, "" for NULL.
func (ts *TableState) Value(dim int, code uint32) string {
	if code == 0 {
		return ""
	}
	return ts.t.dicts[dim].value(code)
}

// Intern is the code of a value, which joins the dictionary if it is new. Budgets and lengths are the caller's to check.
func (ts *TableState) Intern(dim int, value string) uint32 {
	d := ts.t.dicts[dim]
	before := d.memory()
	code, added := d.intern(value)
	if added {
		t := ts.own()
		t.lens[dim] = code
		ts.s.charge(d.memory() - before)
		ts.s.interned(d)
	}
	return code
}

// Positive is an upper bound of every cell: the sum of all positive deltas ever added, saturating.
func (ts *TableState) Positive() uint64 { return ts.t.positive }

// Windows are the starts of the windows that hold or held a cell, rising.
func (ts *TableState) Windows() []int64 {
	starts := make([]int64, len(ts.t.windows))
	for i, w := range ts.t.windows {
		starts[i] = w.start
	}
	return starts
}

// Cells is the number of cells that are not zero.
func (ts *TableState) Cells() uint64 {
	n := uint64(0)
	for _, w := range ts.t.windows {
		n += w.live
	}
	return n
}

// Get is the count of a cell, 0 if there is none.
func (ts *TableState) Get(window int64, codes []uint32) int64 {
	i, ok := ts.t.find(window)
	if !ok {
		return 0
	}
	w := ts.t.windows[i]
	codes = ts.inner(codes)
	h := w.holder(codes)
	if h == nil {
		return 0
	}
	c := ts.s.resident(ts.t, w, h)
	if w.dense == nil {
		if c.slots == nil { // and so it is not dirty
			c.index()
			ts.s.clock.resized(h)
		}
		if n := c.find(hashCodes(codes), codes, ts.key[:]); n >= 0 {
			return c.counts[n]
		}
		return 0
	}
	n, _ := w.dense.index(codes)
	if i := c.place(n & (blockCells - 1)); i >= 0 {
		return c.counts[i]
	}
	return 0
}

// Add adds delta to a cell; codes has one code of each dimension. The caller has made sure that the sum neither overflows nor falls
// below zero.
func (ts *TableState) Add(window int64, codes []uint32, delta int64) {
	if delta == 0 {
		return
	}
	ts.s.addsNow++
	ts.add(window, codes, delta)
}

func (ts *TableState) add(window int64, codes []uint32, delta int64) {
	w := ts.window(window)
	ts.raise(delta)
	codes = ts.inner(codes)
	if w.dense != nil {
		if _, ok := w.dense.index(codes); !ok {
			w = ts.widen(w, codes)
		}
	}
	ts.addTo(w, codes, delta)
}

// AddColumns adds deltas[i] to the cell with the codes cols[0][i], cols[1][i], …; there is one column for each dimension, as long as
// deltas. It does what as many calls of Add would do, faster, above all where neighbours of a dense window are in order.
func (ts *TableState) AddColumns(window int64, cols [][]uint32, deltas []int64) {
	if len(cols) != len(ts.t.def.Dims) {
		panic(fmt.Sprintf("storage: %d columns for a table of %d dimensions", len(cols), len(ts.t.def.Dims)))
	}
	ts.s.addsNow += int64(len(deltas))
	var index [runRows]uint64
	for from := 0; from < len(deltas); from += len(index) {
		to := min(from+len(index), len(deltas))
		w := ts.window(window)
		if w.dense == nil && !ts.swap {
			ts.addSparseRun(w, cols, from, deltas[from:to])
			continue
		}
		if w.dense == nil || ts.swap || !w.dense.indexes(cols, from, index[:to-from]) {
			ts.addRows(window, cols, deltas, from, to)
			continue
		}
		done := from + ts.addDense(w, index[:to-from], deltas[from:to])
		for _, d := range deltas[from:done] {
			ts.raise(d)
		}
		ts.addRows(window, cols, deltas, done, to)
	}
}

func (ts *TableState) addRows(window int64, cols [][]uint32, deltas []int64, from, to int) {
	var codes [schema.DimensionsMax]uint32
	for i := from; i < to; i++ {
		for d, col := range cols {
			codes[d] = col[i]
		}
		if deltas[i] != 0 {
			ts.add(window, codes[:len(cols)], deltas[i])
		}
	}
}

// indexes numbers the combinations from row from on. It is false if the layout lacks one of them.
func (l *denseLayout) indexes(cols [][]uint32, from int, index []uint64) bool {
	for i := range index {
		index[i] = -l.off
	}
	bad := uint32(0)
	for d, col := range cols {
		col = col[from : from+len(index)]
		if d >= len(l.cap) {
			for _, c := range col {
				bad |= c
			}
			continue
		}
		lo, last, stride := l.lo[d], l.cap[d]-1, l.stride[d]
		for i, c := range col {
			index[i] += uint64(c) * stride
			if c-lo > last {
				bad = 1
			}
		}
	}
	return bad == 0
}

// DropWindows removes every window that starts before the given time and returns their number.
func (ts *TableState) DropWindows(before int64) int {
	n, _ := ts.t.find(before)
	if n == 0 {
		return 0
	}
	t := ts.own()
	for _, w := range t.windows[:n] {
		ts.s.retireAll(w)
	}
	t.windows = slices.Clone(t.windows[n:])
	ts.w = nil
	for _, kind := range []keys.Kind{keys.Window, keys.Live, keys.Block} {
		r := keys.TableRange(kind, uint64(ts.id))
		end := keys.Key{Kind: keys.Window, Table: uint64(ts.id), Window: before}.Bytes()
		end[0] = byte(kind)
		ts.s.erase(keys.Range{Start: r.Start, End: end})
	}
	return n
}

// own makes the table's node one of the current epoch.
func (ts *TableState) own() *table {
	if ts.t.epoch != ts.s.epoch {
		ts.t = ts.t.copy(ts.s.epoch)
		r := ts.s.ownRoot()
		i, _ := r.find(ts.id)
		r.tables[i] = ts.t
	}
	return ts.t
}

// window finds or makes the window, as a node of the current epoch.
func (ts *TableState) window(start int64) *window {
	if w := ts.w; w != nil && w.start == start && w.epoch == ts.s.epoch {
		return w
	}
	t := ts.own()
	i, ok := t.find(start)
	if !ok {
		n := len(t.def.Dims)
		w := &window{epoch: ts.s.epoch, start: start, gen: ts.s.generation(), next: denseLiveMin, lo: make([]uint32, n), hi: make([]uint32, n)}
		for d := range w.lo {
			w.lo[d] = 1
		}
		w.pack = packingFor(make([]uint8, n))
		t.windows = slices.Insert(t.windows, i, w)
	}
	w := t.windows[i]
	if w.epoch != ts.s.epoch {
		w = w.copy(ts.s.epoch)
		t.windows[i] = w
	}
	ts.w = w
	return w
}

func (ts *TableState) raise(delta int64) {
	if delta > 0 {
		if p := ts.t.positive + uint64(delta); p >= ts.t.positive {
			ts.t.positive = p
		} else {
			ts.t.positive = math.MaxUint64
		}
	}
}

// inner gives the inner codes, in scratch if they differ from codes.
func (ts *TableState) inner(codes []uint32) []uint32 {
	if len(codes) != len(ts.t.lens) {
		panic(fmt.Sprintf("storage: %d codes for a table of %d dimensions", len(codes), len(ts.t.lens)))
	}
	if !ts.swap {
		return codes
	}
	c := ts.codes[:copy(ts.codes[:], codes)]
	inner(c, ts.t.swapped)
	return c
}
