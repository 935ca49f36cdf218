package storage

import (
	"slices"
	"sort"

	"github.com/quipudb/quipu/storage/schema"
)

// The state is a tree: root → table → window → page → block. Every node carries the epoch in which it was made or copied. The
// writer changes nodes of the current epoch in place and copies others on their first change, together with the path above them.
// So a snapshot is the root of its moment and a raised epoch, and what changed since some epoch is found by walking only the
// nodes that are younger.

type root struct {
	epoch  uint64
	tables []*table // by id
}

type table struct {
	epoch    uint64
	def      *schema.Table // never changed in place
	defEpoch uint64        // epoch of the last SetTable
	swapped  []bool        // dimensions whose inner codes 0 and 1 are exchanged, see inner
	dicts    []*dict       // shared by all epochs
	lens     []uint32      // length of each dictionary in this epoch
	positive uint64        // sum of all positive deltas, saturating
	windows  []*window     // by start
}

type window struct {
	epoch uint64
	start int64
	gen   uint64 // generation: a new layout is a new one, under other keys
	live  uint64 // cells that are not zero
	room  uint64 // combinations that its dense blocks cover
	pages []*page

	dense *denseLayout // nil in a sparse layout

	pack  *packing // of blocks that a sparse layout makes or repacks
	depth uint8    // a sparse layout's directory has 1<<depth entries
	next  uint64   // number of live cells at which a sparse layout asks again whether a dense one pays
	lo    []uint32 // smallest inner code of each dimension, 0 or 1
	hi    []uint32 // largest
}

// page is a part of a window's directory.
type page struct {
	epoch uint64
	used  int // entries, to the last that was set
	block [pageBlocks]*block
}

const (
	pageBits   = 8
	pageBlocks = 1 << pageBits
)

func (r *root) find(id schema.TableID) (int, bool) {
	i := sort.Search(len(r.tables), func(i int) bool { return r.tables[i].def.ID >= id })
	return i, i < len(r.tables) && r.tables[i].def.ID == id
}

func (t *table) find(start int64) (int, bool) {
	i := sort.Search(len(t.windows), func(i int) bool { return t.windows[i].start >= start })
	return i, i < len(t.windows) && t.windows[i].start == start
}

func (r *root) copy(epoch uint64) *root {
	return &root{epoch: epoch, tables: slices.Clone(r.tables)}
}

func (t *table) copy(epoch uint64) *table {
	c := *t
	c.epoch = epoch
	c.lens = slices.Clone(t.lens)
	c.windows = slices.Clone(t.windows)
	return &c
}

func (w *window) copy(epoch uint64) *window {
	c := *w
	c.epoch = epoch
	c.pages = slices.Clone(w.pages)
	c.lo, c.hi = slices.Clone(w.lo), slices.Clone(w.hi)
	return &c
}

// at is the block of directory entry b, or nil.
func (w *window) at(b uint64) *block {
	if p := b >> pageBits; p < uint64(len(w.pages)) && w.pages[p] != nil {
		return w.pages[p].block[b&(pageBlocks-1)]
	}
	return nil
}

// holder is the block that holds or would hold a cell, or nil.
func (w *window) holder(codes []uint32) *block {
	if w.dense == nil {
		return w.at(hashCodes(codes) >> 1 >> (63 - w.depth))
	}
	n, ok := w.dense.index(codes)
	if !ok {
		return nil
	}
	return w.at(n >> blockBits)
}

// set puts h at directory entry b. w is of the current epoch.
func (w *window) set(b uint64, h *block, epoch uint64) {
	for b>>pageBits >= uint64(len(w.pages)) {
		w.pages = append(w.pages, nil)
	}
	p := w.pages[b>>pageBits]
	if p == nil {
		p = &page{epoch: epoch}
	} else if p.epoch != epoch {
		c := *p
		c.epoch = epoch
		p = &c
	}
	w.pages[b>>pageBits] = p
	at := b & (pageBlocks - 1)
	p.block[at], p.used = h, max(p.used, int(at)+1)
}

// entries is the half-open range of directory entries that hold the block id of a sparse layout.
func (w *window) entries(id uint64) (from, to uint64) {
	if w.depth == 0 {
		return 0, 1
	}
	from = id &^ 0xff >> (64 - w.depth)
	return from, from + 1<<(w.depth-blockDepth(id))
}

// place puts h where its id belongs.
func (w *window) place(h *block, epoch uint64) {
	if w.dense != nil {
		w.set(h.id, h, epoch)
		return
	}
	from, to := w.entries(h.id)
	for b := from; b < to; b++ {
		w.set(b, h, epoch)
	}
}

// blocks calls fn for each block once, in the order of ids, until it returns false.
func (w *window) blocks(fn func(*block) bool) bool {
	var last *block
	for _, p := range w.pages {
		if p == nil {
			continue
		}
		for _, h := range p.block[:p.used] {
			if h == nil || h == last {
				continue
			}
			if last = h; !fn(h) {
				return false
			}
		}
	}
	return true
}

// inner turns outer codes into inner ones, which layouts use, or back: in a swapped dimension 0 and 1 are exchanged. Such a
// dimension was added with a default, which has code 1; its inner code is 0, so that cells older than the column need no change.
func inner(codes []uint32, swapped []bool) {
	for d := range codes {
		if swapped[d] && codes[d] <= 1 {
			codes[d] ^= 1
		}
	}
}

func anySwapped(swapped []bool) bool { return slices.Contains(swapped, true) }
