package storage

import (
	"github.com/quipudb/quipu/storage/keys"
	"github.com/quipudb/quipu/storage/schema"
)

// Changes of one window by the writer. w is always a node of the current epoch, and codes are inner ones.

func (ts *TableState) addTo(w *window, codes []uint32, delta int64) {
	if w.dense != nil {
		n, _ := w.dense.index(codes)
		if index, deltas := [1]uint64{n}, [1]int64{delta}; ts.addDense(w, index[:], deltas[:]) == 1 {
			return
		}
	}
	ts.addSparse(w, codes, delta)
}

// addDense adds deltas to the combinations with the numbers in index, until w turns sparse. It returns how many it has added.
func (ts *TableState) addDense(w *window, index []uint64, deltas []int64) int {
	var h *block
	var c *cells
	id := ^uint64(0) // of h
	for i, delta := range deltas {
		if delta == 0 {
			continue
		}
		n := index[i]
		if n>>blockBits != id {
			id = n >> blockBits
			if h = w.at(id); h == nil || h.epoch != ts.s.epoch {
				if h = ts.openDense(w, h, n); h == nil {
					return i
				}
			}
			c = h.data.Load()
		}
		at := c.place(n & (blockCells - 1))
		if at < 0 {
			at = ts.placeDense(w, h, n)
		}
		if d := c.add(at, delta); d != 0 {
			ts.count(w, d)
		}
	}
	return len(deltas)
}

// count keeps the number of live cells of w, which has changed by d.
func (ts *TableState) count(w *window, d int) {
	w.live += uint64(d)
	ts.s.cellsNow += int64(d)
}

// openDense makes h, the block of combination n or nil, one of the current epoch. It returns nil if the window turned sparse instead.
func (ts *TableState) openDense(w *window, h *block, n uint64) *block {
	if h != nil {
		return ts.s.renew(ts.t, w, h)
	}
	if w.room > denseWaste*w.live+blockCells {
		ts.toSparse(w)
		return nil
	}
	return ts.newDenseBlock(w, n)
}

func (ts *TableState) newDenseBlock(w *window, n uint64) *block {
	h := &block{epoch: ts.s.epoch, id: n >> blockBits, ring: ringOut}
	c := newRanked(w.dense.cover(n, 0))
	h.data.Store(c)
	w.room += uint64(c.covers())
	w.place(h, ts.s.epoch)
	ts.s.created(h)
	return h
}

// placeDense gives combination n, which has no count in h, one of 0, and returns its place.
func (ts *TableState) placeDense(w *window, h *block, n uint64) int {
	c, o := h.data.Load(), n&(blockCells-1)
	if before := c.covers(); o >= uint64(before) {
		c.extend(w.dense.cover(n, before))
		w.room += uint64(c.covers() - before)
	}
	if c.ranks != nil && nearlyFull(len(c.counts)+1, c.covers()) {
		c.fill()
	}
	i := int(o)
	if c.ranks != nil {
		i = c.admit(o)
	}
	if c.memory() != h.bytes {
		ts.s.resized(h)
	}
	return i
}

// widen makes room for a combination that a dense layout lacks: in the outermost dimension at no cost, else in a new dense layout if
// that pays, else in a sparse one.
func (ts *TableState) widen(w *window, codes []uint32) *window {
	if l := w.dense.withOuter(codes); l != nil {
		w.dense = l
		return w
	}
	most := denseWaste*w.live + blockCells
	for _, slack := range []bool{true, false} {
		if l := w.dense.growing(codes, slack); l != nil && l.volume <= most {
			ts.toDense(w, l)
			return w
		}
	}
	ts.toSparse(w)
	return w
}

func (ts *TableState) addSparse(w *window, codes []uint32, delta int64) {
	s := ts.s
	hash := hashCodes(codes)
	h := w.at(hash >> 1 >> (63 - w.depth))
	if h == nil {
		// Only an empty window lacks a block: its directory is one entry then.
		h = &block{epoch: s.epoch, ring: ringOut}
		h.data.Store(newSparse(w.pack, 1))
		w.place(h, s.epoch)
		s.created(h)
	} else if h.epoch != s.epoch {
		h = s.renew(ts.t, w, h)
	}
	c := h.data.Load()
	if c.slots == nil {
		c.index()
		s.resized(h)
	}
	n := c.find(hash, codes, ts.key[:])
	if n < 0 {
		ts.insertSparse(w, h, hash, codes, delta)
		return
	}
	ts.count(w, c.add(n, delta))
}

// insertSparse adds a cell that h, the block of its hash, lacks.
func (ts *TableState) insertSparse(w *window, h *block, hash uint64, codes []uint32, delta int64) {
	s := ts.s
	ts.stretch(w, codes)
	if w.live+1 >= w.next && ts.tryDense(w) {
		ts.addTo(w, codes, delta)
		return
	}
	c := h.data.Load()
	if len(c.counts) >= blockCells {
		if h = ts.divide(w, h, hash); h == nil {
			panic("storage: more cells with one hash than a block can hold")
		}
		c = h.data.Load()
	}
	if !c.pack.holds(codes) {
		c = c.repacked(w.pack)
		h.data.Store(c)
	}
	n := c.insert(hash, codes, ts.key[:])
	ts.count(w, c.add(n, delta))
	if c.memory() != h.bytes {
		s.resized(h)
	}
}

// holds reports that p can pack codes.
func (p *packing) holds(codes []uint32) bool {
	for d, c := range codes {
		if d >= len(p.dims) && c != 0 || d < len(p.dims) && bitsFor(c) > p.dims[d].width {
			return false
		}
	}
	return true
}

// stretch takes codes into the bounds of the window and widens its packing where they need it: by a bit more than they do, so that
// few blocks have to be packed anew.
func (ts *TableState) stretch(w *window, codes []uint32) {
	grown := false
	for d, c := range codes {
		if d == len(w.lo) {
			w.lo, w.hi = append(w.lo, 0), append(w.hi, 0) // all older cells have inner code 0
		}
		w.lo[d] = min(w.lo[d], c)
		if c > w.hi[d] {
			w.hi[d] = c
			grown = grown || d >= len(w.pack.dims) || bitsFor(c) > w.pack.dims[d].width
		}
	}
	if !grown && len(w.pack.dims) >= len(codes) {
		return
	}
	widths := make([]uint8, len(codes))
	for d := range widths {
		widths[d] = bitsFor(w.hi[d])
		if d < len(w.pack.dims) {
			widths[d] = max(widths[d], w.pack.dims[d].width)
		}
	}
	w.pack = packingFor(widths)
}

// divide splits the full block h until the one for hash has room, and returns that.
func (ts *TableState) divide(w *window, h *block, hash uint64) *block {
	s := ts.s
	for {
		depth := blockDepth(h.id)
		c := h.data.Load()
		if c.live < blockCells*3/4 {
			h.data.Store(c.repacked(w.pack))
			s.resized(h)
			return h
		}
		if depth == depthMax {
			if len(c.counts) < 1<<16-2 {
				return h
			}
			return nil
		}
		if depth == w.depth {
			ts.deepen(w)
		}
		low, high := c.split(depth)
		prefix := uint64(0)
		if depth > 0 {
			prefix = h.id &^ 0xff >> (64 - depth)
		}
		halves := [2]*block{
			{epoch: s.epoch, id: sparseID(prefix<<1, depth+1), ring: ringOut},
			{epoch: s.epoch, id: sparseID(prefix<<1|1, depth+1), ring: ringOut},
		}
		halves[0].data.Store(low)
		halves[1].data.Store(high)
		s.retire(h)
		s.eraseBlock(ts.id, w, h)
		for _, x := range halves {
			w.place(x, s.epoch)
			s.created(x)
		}
		h = halves[hash>>(63-depth)&1]
		if len(h.data.Load().counts) < blockCells {
			return h
		}
	}
}

// deepen doubles a directory.
func (ts *TableState) deepen(w *window) {
	old := *w
	w.pages, w.depth = nil, w.depth+1
	for b := range uint64(1) << old.depth {
		h := old.at(b)
		w.set(2*b, h, ts.s.epoch)
		w.set(2*b+1, h, ts.s.epoch)
	}
}

// tryDense turns a sparse window into a dense one if that takes little enough memory.
func (ts *TableState) tryDense(w *window) bool {
	caps := make([]uint32, len(w.hi))
	volume := float64(1)
	for d := range caps {
		caps[d] = w.hi[d] - w.lo[d] + 1
		volume *= float64(caps[d])
	}
	if volume > densePays*float64(w.live) || volume > denseMax {
		w.next = max(w.live+w.live/8, uint64(min(volume, 1<<62)/densePays))
		return false
	}
	l := newDense(w.lo, caps)
	if l == nil {
		w.next *= 2
		return false
	}
	ts.toDense(w, l)
	return true
}

// toDense moves the cells of w, all of which l can hold, to the layout l.
func (ts *TableState) toDense(w *window, l *denseLayout) {
	s, old := ts.s, *w
	w.dense, w.pages, w.depth, w.live, w.room = l, nil, 0, 0, 0
	w.gen = s.generation()
	codes := make([]uint32, len(ts.t.lens))
	ts.eachCell(&old, codes, func(count int64) {
		n, _ := l.index(codes)
		h := w.at(n >> blockBits)
		if h == nil {
			h = ts.newDenseBlock(w, n)
		}
		c := h.data.Load()
		i := c.place(n & (blockCells - 1))
		if i < 0 {
			i = ts.placeDense(w, h, n)
		}
		ts.count(w, c.add(i, count))
	})
	ts.leaveLayout(&old)
}

// toSparse moves the cells of the dense window w to a sparse layout.
func (ts *TableState) toSparse(w *window) {
	s, old := ts.s, *w
	n := len(ts.t.lens)
	w.dense, w.pages, w.depth, w.live, w.room = nil, nil, 0, 0, 0
	w.gen, w.next = s.generation(), ^uint64(0)
	w.lo, w.hi = make([]uint32, n), make([]uint32, n)
	widths := make([]uint8, n)
	for d := range n {
		if d < len(old.dense.cap) {
			w.lo[d], w.hi[d] = old.dense.lo[d], old.dense.lo[d]+old.dense.cap[d]-1
		}
		widths[d] = bitsFor(w.hi[d])
	}
	w.pack = packingFor(widths)
	codes := make([]uint32, n)
	ts.eachCell(&old, codes, func(count int64) { ts.addSparse(w, codes, count) })
	// The layout has just stopped paying: it pays again when there are twice as many cells.
	w.next = max(denseLiveMin, 2*w.live)
	ts.leaveLayout(&old)
}

// leaveLayout lets go of a layout whose cells have moved to another.
func (ts *TableState) leaveLayout(old *window) {
	ts.s.retireAll(old)
	for _, kind := range []keys.Kind{keys.Live, keys.Block} {
		ts.s.erase(keys.GenerationRange(kind, uint64(ts.id), old.start, old.gen))
	}
}

// eachCell calls fn for every cell of w that is not zero, with its inner codes in codes.
func (ts *TableState) eachCell(w *window, codes []uint32, fn func(count int64)) {
	var places []uint16
	w.blocks(func(h *block) bool {
		c := ts.s.peek(ts.t, w, h)
		places = c.list(places)
		for i, count := range c.counts {
			if count == 0 {
				continue
			}
			switch {
			case w.dense == nil:
				c.pack.unpack(c.keys[i*c.pack.words:(i+1)*c.pack.words], codes)
			case c.ranks == nil:
				w.dense.codes(h.id<<blockBits+uint64(i), codes)
			default:
				w.dense.codes(h.id<<blockBits+uint64(places[i]), codes)
			}
			fn(count)
		}
		return true
	})
}

// eraseBlock removes one block's keys at the next checkpoint.
func (s *Store) eraseBlock(id schema.TableID, w *window, h *block) {
	k := keys.Key{Kind: keys.Live, Table: uint64(id), Window: w.start, Generation: w.gen, Block: h.id}
	for _, k.Kind = range []keys.Kind{keys.Live, keys.Block} {
		s.erase(keys.Range{Start: k.Bytes()})
	}
}
