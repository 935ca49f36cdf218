package exec

import (
	"sync"

	"github.com/quipudb/quipu/storage"
)

// A query of microseconds spends as much time on making what it works with, in memory that nobody has touched lately, as on its work. So a
// Run that has ended leaves its memory to the next one. Nothing that outlives it lies there.

// slab gives out parts of one array until reset, and beyond it what make gives.
type slab[T any] struct {
	all  []T
	used int
}

func newSlab[T any](n int) slab[T] { return slab[T]{all: make([]T, n)} }

// take gives n zero values.
func (s *slab[T]) take(n int) []T {
	if n > len(s.all)-s.used {
		return make([]T, n)
	}
	out := s.all[s.used : s.used+n : s.used+n]
	s.used += n
	return out
}

// one gives a pointer to a zero value.
func (s *slab[T]) one() *T { return &s.take(1)[0] }

// reset takes everything back.
func (s *slab[T]) reset() {
	if s.used > 0 {
		clear(s.all[:s.used])
		s.used = 0
	}
}

// room is the memory of what one scan needs few of. The zero room has none, and leaves everything to make.
type room struct {
	ints       slab[int]
	codes      slab[uint32]
	words      slab[uint64]
	sums       slab[int64]
	lists      slab[[]uint32]
	sets       slab[storage.CodeSet]
	predicates slab[predicate]
	columns    slab[keyColumn]
	specs      slab[sumSpec]
	tasks      slab[task]
	shapes     slab[shape]
	grids      slab[grid]
	gridsOf    slab[*grid]
	totalsOf   slab[*totals]
	testsOf    slab[*crosstabs]
}

func newRoom() *room {
	return &room{
		ints: newSlab[int](64), codes: newSlab[uint32](64), words: newSlab[uint64](64), sums: newSlab[int64](128), lists: newSlab[[]uint32](16),
		sets: newSlab[storage.CodeSet](16), predicates: newSlab[predicate](8), columns: newSlab[keyColumn](8), specs: newSlab[sumSpec](16), tasks: newSlab[task](4),
		shapes: newSlab[shape](4), grids: newSlab[grid](4), gridsOf: newSlab[*grid](4), totalsOf: newSlab[*totals](4), testsOf: newSlab[*crosstabs](4),
	}
}

func (r *room) reset() {
	r.ints.reset()
	r.codes.reset()
	r.words.reset()
	r.sums.reset()
	r.lists.reset()
	r.sets.reset()
	r.predicates.reset()
	r.columns.reset()
	r.specs.reset()
	r.tasks.reset()
	r.shapes.reset()
	r.grids.reset()
	r.gridsOf.reset()
	r.totalsOf.reset()
	r.testsOf.reset()
}

// codeSet is an empty set of the codes up to n.
func (r *room) codeSet(n uint32) storage.CodeSet { return r.words.take(storage.CodeSetLen(n)) }

var spareStates = sync.Pool{New: func() any { return &state{s: scan{room: newRoom(), own: &work{}}} }}

// newState is empty, with the memory of an earlier one.
func newState() *state { return spareStates.Get().(*state) }

// end leaves the memory of x to later runs.
func (x *state) end() {
	s := &x.s
	s.room.reset()
	s.own.empty()
	*x = state{s: scan{room: s.room, own: s.own,
		keys: emptied(s.keys), exprs: emptied(s.exprs), tasks: emptied(s.tasks), windows: emptied(s.windows), rest: emptied(s.rest), dims: s.dims[:0]}}
	spareStates.Put(x)
}

// empty leaves of a goroutine that has ended the buffers that it has grown: they are as long as a chunk has cells.
func (w *work) empty() {
	*w = work{add: w.add, sel: w.sel, sel2: w.sel2, sel3: w.sel3, cols: emptied(w.cols), bufs: w.bufs, keybuf: w.keybuf, entries: w.entries, pick: emptied(w.pick)}
}

// emptied is a list without elements, which holds on to none of them.
func emptied[T any](list []T) []T {
	clear(list)
	return list[:0]
}

// sized is a list of n elements, as they are or zero.
func sized[T any](list []T, n int) []T {
	if n > cap(list) {
		return append(list[:cap(list)], make([]T, n-cap(list))...)
	}
	return list[:n]
}
