package storage

import (
	"sort"
	"sync/atomic"

	"github.com/quipudb/quipu/storage/schema"
)

// Snapshot is the state at one instant. It must be released; whoever hands it on bounds its life by a lease. All its methods may be
// called by several goroutines at once.
type Snapshot struct {
	s        *Store
	view     *view
	root     *root
	applied  schema.Applied
	released atomic.Bool
	own      view // room for view
}

// Snapshot opens one in constant time, after the step in progress.
func (s *Store) Snapshot() (*Snapshot, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.snapshot()
}

func (s *Store) snapshot() (*Snapshot, error) {
	if s.closed {
		return nil, ErrClosed
	}
	if err := s.Err(); err != nil {
		return nil, err
	}
	epoch := s.epoch
	if s.root.epoch < epoch {
		epoch-- // nothing changed since the epoch was raised
	} else {
		s.epoch++
	}
	n := &Snapshot{s: s, root: s.root, applied: s.tx.applied}
	n.view = s.views.enter(&n.own, epoch, s.pin, false)
	return n, nil
}

// Applied is the log position of the instant.
func (n *Snapshot) Applied() schema.Applied { return n.applied }

// Release gives the snapshot back. Scans in progress may end first. Further calls do nothing.
func (n *Snapshot) Release() {
	if n.released.CompareAndSwap(false, true) {
		n.s.views.release(n.view)
	}
}

// Tables are the ids of all tables, rising.
func (n *Snapshot) Tables() []schema.TableID {
	ids := make([]schema.TableID, len(n.root.tables))
	for i, t := range n.root.tables {
		ids[i] = t.def.ID
	}
	return ids
}

// Table is the view of one table, if it exists.
func (n *Snapshot) Table(id schema.TableID) (TableView, bool) {
	i, ok := n.root.find(id)
	if !ok {
		return TableView{}, false
	}
	return TableView{n: n, t: n.root.tables[i]}, true
}

// TableView is one table of a snapshot.
type TableView struct {
	n *Snapshot
	t *table
}

// Schema is the definition. It must not be changed.
func (v TableView) Schema() *schema.Table { return v.t.def }

// DictLen is the number of values of dimension dim, which is also the highest code.
func (v TableView) DictLen(dim int) uint32 { return v.t.lens[dim] }

// Value is the text of a code of dimension dim, "" for NULL (code 0). A code is at most DictLen.
func (v TableView) Value(dim int, code uint32) string {
	if code == 0 {
		return ""
	}
	return v.t.dicts[dim].value(code)
}

// Code is the code of a value of dimension dim.
func (v TableView) Code(dim int, value string) (uint32, bool) {
	return v.t.dicts[dim].lookup(value, v.t.lens[dim])
}

// Windows are the starts of the windows that hold a cell, rising. A table without time has the one window 0.
func (v TableView) Windows() []int64 {
	var starts []int64
	for _, w := range v.t.windows {
		if w.live > 0 {
			starts = append(starts, w.start)
		}
	}
	return starts
}

// Cells is the number of cells that are not zero.
func (v TableView) Cells() uint64 {
	n := uint64(0)
	for _, w := range v.t.windows {
		n += w.live
	}
	return n
}

// Filter chooses cells. The zero value chooses all.
type Filter struct {
	// From and To bound the starts of windows, From ≤ start < To, if Bounded is set.
	From, To int64
	Bounded  bool
	// Codes has for each dimension the set of codes that may pass; nil lets all pass. It may be shorter than the dimensions.
	Codes []CodeSet
}

// CodeSet is a set of codes of one dimension as a bitmap: code c is bit c%64 of word c/64. Codes beyond its end are not in it.
type CodeSet []uint64

// NewCodeSet is an empty set with room for codes up to most.
func NewCodeSet(most uint32) CodeSet { return make(CodeSet, CodeSetLen(most)) }

// CodeSetLen is the length of such a set.
func CodeSetLen(most uint32) int { return int(most/64) + 1 }

// Add puts c, within the room, into the set.
func (s CodeSet) Add(c uint32) { s[c/64] |= 1 << (c % 64) }

// Has reports whether c is in the set.
func (s CodeSet) Has(c uint32) bool { return c/64 < uint32(len(s)) && s[c/64]>>(c%64)&1 != 0 }

// windows are those that f lets pass and that hold a cell.
func (v TableView) windows(f *Filter) []*window {
	all := v.t.windows
	if f.Bounded {
		from := sort.Search(len(all), func(i int) bool { return all[i].start >= f.From })
		to := sort.Search(len(all), func(i int) bool { return all[i].start >= f.To })
		all = all[from:max(from, to)]
	}
	return all
}

// Segments cuts the cells that pass the filter into at most target disjoint parts of about the same number of blocks, for as many
// goroutines. A table without cells has none.
func (v TableView) Segments(f Filter, target int) []Segment {
	few := &struct { // room for what a small table has
		segment [1]Segment
		parts   [2]part
	}{}
	parts := few.parts[:0]
	for _, w := range v.windows(&f) {
		if w.live == 0 {
			continue
		}
		w.blocks(func(h *block) bool {
			parts = append(parts, part{w, h})
			return true
		})
	}
	n := min(max(target, 1), len(parts))
	segments := few.segment[:min(n, 1)]
	if n > 1 {
		segments = make([]Segment, n)
	}
	for i := range segments {
		segments[i] = Segment{v: v, filter: f, parts: parts[i*len(parts)/n : (i+1)*len(parts)/n]}
	}
	return segments
}

// Segment is a part of a table's cells.
type Segment struct {
	v      TableView
	filter Filter
	parts  []part
}

type part struct {
	w *window
	h *block
}

// Blocks is the number of blocks that a Scan looks at: a measure of its work.
func (g Segment) Blocks() int { return len(g.parts) }
