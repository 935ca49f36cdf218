package storage

// runRows is the number of rows that AddColumns looks up together.
const runRows = 256

// run is what addSparseRun knows of up to runRows rows.
type run struct {
	hash, key [runRows]uint64
	cells     [runRows]*cells // of the row's block; nil: addSparse has to do it
	place     [runRows]int32  // of the row's cell in them, −1 if it has none
}

// addSparseRun adds deltas to the cells of as many rows from row from on, in a sparse window, as Add would do one by one. A lookup touches
// four lines of memory that are in no cache if the table is large, each after the one before. So all rows take one step together: their
// loads overlap. Rows whose cell is new, or whose block is packed otherwise, are left to Add.
func (ts *TableState) addSparseRun(w *window, cols [][]uint32, from int, deltas []int64) {
	var r run
	if r.pack(w.pack, cols, from, len(deltas)) {
		ts.openRun(w, &r, len(deltas))
		r.find(len(deltas))
		for i, delta := range deltas {
			if c := r.cells[i]; c != nil && r.place[i] >= 0 {
				if d := c.add(int(r.place[i]), delta); d != 0 {
					ts.count(w, d)
				}
				ts.raise(delta)
			}
		}
	}
	for i, delta := range deltas {
		if delta != 0 && (r.cells[i] == nil || r.place[i] < 0) {
			for d, col := range cols {
				ts.row[d] = col[from+i]
			}
			ts.add(w.start, ts.row[:len(cols)], delta)
		}
	}
}

// pack fills in hashes and keys. It is false if a row does not fit into p, or a key is of several words.
func (r *run) pack(p *packing, cols [][]uint32, from, n int) bool {
	if p.words != 1 {
		return false
	}
	var over uint64
	for d, col := range cols {
		var x packedDim // a dimension that p lacks has code 0
		if d < len(p.dims) {
			x = p.dims[d]
		}
		factor := hashFactors[d&31]
		hash, key := r.hash[:n], r.key[:n]
		for i, c := range col[from : from+n] {
			hash[i] += uint64(c) * factor
			key[i] |= uint64(c) << (x.shift & 63)
			over |= uint64(c) >> (x.width & 63)
		}
	}
	for i, h := range r.hash[:n] {
		r.hash[i] = finishHash(h)
	}
	return over == 0
}

// openRun makes the blocks of all rows ready for changes.
func (ts *TableState) openRun(w *window, r *run, n int) {
	s := ts.s
	for i, hash := range r.hash[:n] {
		h := w.at(hash >> 1 >> (63 - w.depth))
		if h == nil {
			continue // an empty window
		}
		if h.epoch != s.epoch {
			h = s.renew(ts.t, w, h)
		}
		c := h.data.Load()
		if c.slots == nil {
			c.index()
			s.resized(h)
		}
		if c.pack != w.pack {
			if !c.pack.equal(w.pack) {
				continue
			}
			c.pack = w.pack // it was read back
		}
		r.cells[i] = c
	}
}

// find fills in the places.
func (r *run) find(n int) {
	for i, c := range r.cells[:n] {
		if c != nil {
			r.place[i] = int32(c.slots[int(r.hash[i])&(len(c.slots)-1)])
		}
	}
	for i, c := range r.cells[:n] {
		if c == nil {
			continue
		}
		s, key := r.place[i], r.key[i]
		for at := int(r.hash[i]); s != 0 && c.keys[s-1] != key; s = int32(c.slots[at&(len(c.slots)-1)]) {
			at++
		}
		r.place[i] = s - 1
	}
}
