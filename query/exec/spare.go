package exec

import "sync"

// Dense grids are used for milliseconds and weigh megabytes: a query a second would make the collector's work. They are kept until its
// next cycle or two for the queries that follow.
var spare sync.Pool // of *[]int64

const spareMin = 1 << 12 // integers: smaller grids are not worth keeping

// spareInts gives n zeros, spareMin at least.
func spareInts(n int) []int64 {
	if old, ok := spare.Get().(*[]int64); ok && cap(*old) >= n {
		out := (*old)[:n]
		clear(out)
		return out
	}
	return make([]int64, n)
}

// keepInts takes integers back that nobody refers to any more.
func keepInts(v []int64) {
	if cap(v) >= spareMin {
		kept := v // whose address is taken here only: v stays off the heap
		spare.Put(&kept)
	}
}
