package storage

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"runtime"
	"slices"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// caps are the cardinalities of a table with n cells, of which the combinations are a multiple.
func caps(n int, spread uint32) []uint32 {
	if spread > 32 {
		return []uint32{1000, 1000, 20, uint32(n / 100)}
	}
	return []uint32{10, 10, 20, uint32(n/2000) * spread}
}

// benchCells are the codes of n cells in random order.
func benchCells(n int, spread uint32) (cells [][4]uint32) {
	c := caps(n, spread)
	rng := rand.New(rand.NewPCG(1, 2))
	if spread == 1 {
		for i := range uint32(n) {
			cells = append(cells, [4]uint32{1 + i%10, 1 + i/10%10, 1 + i/100%20, 1 + i/2000})
		}
		rng.Shuffle(n, func(i, j int) { cells[i], cells[j] = cells[j], cells[i] })
		return cells
	}
	seen := make(map[[4]uint32]bool, n)
	for len(cells) < n {
		x := [4]uint32{1 + rng.Uint32N(c[0]), 1 + rng.Uint32N(c[1]), 1 + rng.Uint32N(c[2]), 1 + rng.Uint32N(c[3])}
		if !seen[x] {
			seen[x] = true
			cells = append(cells, x)
		}
	}
	return cells
}

// benchStore has a table with n cells; cells are their codes, row by row.
func benchStore(b testing.TB, fs vfs.FS, n int, spread uint32) (s *Store, cells [][4]uint32) {
	cells = benchCells(n, spread)
	return fillStore(b, fs, caps(n, spread), cells), cells
}

func fillStore(b testing.TB, fs vfs.FS, caps []uint32, cells [][4]uint32) *Store {
	s := mustOpen(b, Options{FS: fs, Dir: b.TempDir(), Memory: NewMemory(4 << 30)})
	s.Update(func(tx *Tx) {
		_ = tx.SetTable(testTable(1, 4))
		ts := tx.Table(1)
		for d, n := range caps {
			for i := range n {
				ts.Intern(d, fmt.Sprint("v", i))
			}
		}
		for i := range cells {
			ts.Add(0, cells[i][:], 1+int64(i%100))
		}
	})
	return s
}

var benchTables = []struct {
	name   string
	n      int
	spread uint32
}{{"dense20k", 20_000, 1}, {"dense1M", 1_000_000, 1}, {"quarter20k", 20_000, 4}, {"quarter1M", 1_000_000, 4}, {"sparse20k", 20_000, 1000}, {"sparse1M", 1_000_000, 1000}}

func BenchmarkAdd(b *testing.B) {
	for _, x := range benchTables {
		s, cells := benchStore(b, vfs.NewMem(), x.n, x.spread)
		b.Run("one/"+x.name, func(b *testing.B) {
			s.Update(func(tx *Tx) {
				ts := tx.Table(1)
				report := cpu(b)
				for i := 0; b.Loop(); i++ {
					ts.Add(0, cells[i%len(cells)][:], 1)
				}
				report(1)
			})
		})
		for _, order := range []string{"sorted", "random"} {
			cols, deltas := make([][]uint32, 4), make([]int64, len(cells))
			for i, c := range sortedIf(order == "sorted", cells) {
				for d := range cols {
					cols[d] = append(cols[d], c[d])
				}
				deltas[i] = 1
			}
			b.Run("columns/"+order+"/"+x.name, func(b *testing.B) {
				s.Update(func(tx *Tx) {
					ts := tx.Table(1)
					const n = 4000
					part := make([][]uint32, 4)
					from, report := 0, cpu(b)
					for b.Loop() {
						for d := range cols {
							part[d] = cols[d][from : from+n]
						}
						ts.AddColumns(0, part, deltas[from:from+n])
						from = (from + n) % len(cells)
					}
					report(n)
				})
			})
		}
		mustClose(b, s)
	}
}

// BenchmarkEntry adds the cells of log entries: a shard's quarter of what 40,000 observations of a Zipf law (1.1) over all cells of four
// equal dimensions hit, in the order of their codes.
func BenchmarkEntry(b *testing.B) {
	for _, side := range []uint32{12, 32} {
		for _, shards := range []uint32{1, 4} {
			b.Run(fmt.Sprintf("cells=%d/shards=%d", side*side*side*side, shards), func(b *testing.B) { benchEntry(b, side, shards) })
		}
	}
}

func benchEntry(b *testing.B, side, shards uint32) {
	rng := rand.New(rand.NewPCG(3, 4))
	law := rand.NewZipf(rng, 1.1, 1, uint64(side*side*side*side-1))
	s := mustOpen(b, Options{FS: vfs.NewMem(), Memory: NewMemory(1 << 30)})
	defer mustClose(b, s)
	s.Update(func(tx *Tx) {
		_ = tx.SetTable(testTable(1, 4))
		for d := range 4 {
			for i := range side {
				tx.Table(1).Intern(d, fmt.Sprint("v", i))
			}
		}
	})
	var entries [64][][]uint32
	cells := 0
	for e := range entries {
		entries[e] = drawEntry(law, side, shards)
		cells += len(entries[e][0])
	}
	deltas := slices.Repeat([]int64{1}, 40_000)
	add := func(cols [][]uint32) {
		s.Update(func(tx *Tx) { tx.Table(1).AddColumns(0, cols, deltas[:len(cols[0])]) })
	}
	for _, cols := range entries {
		add(cols)
	}
	report := cpu(b)
	for i := 0; b.Loop(); i++ {
		add(entries[i%len(entries)])
	}
	report(cells / len(entries))
	_, bytes := s.clock.size()
	b.ReportMetric(float64(bytes)/float64(s.Stats().Cells), "accounted-B/cell")
}

// drawEntry gives the columns of the cells of one shard that some draws hit. Ranks of the law are spread over the cells.
func drawEntry(law *rand.Zipf, side, shards uint32) [][]uint32 {
	hit := map[uint32]bool{}
	for range 40_000 {
		cell := uint32(law.Uint64()*2654435761) % (side * side * side * side)
		if mix(uint64(cell))%uint64(shards) == 0 {
			hit[cell] = true
		}
	}
	cols := make([][]uint32, 4)
	for _, cell := range slices.Sorted(maps.Keys(hit)) {
		for d := range cols {
			cols[3-d] = append(cols[3-d], 1+cell%side)
			cell /= side
		}
	}
	return cols
}

func BenchmarkScan(b *testing.B) {
	for _, x := range benchTables {
		s, _ := benchStore(b, vfs.NewMem(), x.n, x.spread)
		b.Run(x.name, func(b *testing.B) { benchScan(b, s, x.n, nil) })
		if err := s.Checkpoint(b.Context()); err != nil {
			b.Fatal(err)
		}
		b.Run("evicted/"+x.name, func(b *testing.B) {
			benchScan(b, s, x.n, func() {
				s.mu.Lock()
				s.clock.evict(0, 1<<30, func(h *block) bool { return h.epoch <= s.pin.epoch })
				s.mu.Unlock()
			})
		})
		mustClose(b, s)
	}
}

func benchScan(b *testing.B, s *Store, cells int, before func()) {
	sum := int64(0)
	report := cpu(b)
	if before != nil {
		report = func(int) {}
	}
	for b.Loop() {
		if before != nil {
			b.StopTimer()
			before()
			before() // the first round of the clock only clears the marks of use
			b.StartTimer()
		}
		n, err := s.Snapshot()
		if err != nil {
			b.Fatal(err)
		}
		v, _ := n.Table(1)
		for _, g := range v.Segments(Filter{}, 1) {
			err := g.Scan(context.Background(), []int{0, 3}, func(c *Chunk) error {
				c.Columns()
				for _, n := range c.Counts {
					sum += n
				}
				return nil
			})
			if err != nil {
				b.Fatal(err)
			}
		}
		n.Release()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(cells), "ns/cell")
	report(cells)
}

// BenchmarkMemory reports the bytes of heap for a cell after a checkpoint, everything included: dictionaries, directories, what Pebble
// keeps. Beside it what the accounts say of blocks and of dictionaries.
func BenchmarkMemory(b *testing.B) {
	for _, x := range benchTables {
		b.Run(x.name, func(b *testing.B) {
			for b.Loop() {
				heap, blocks, fixed := bytesPerCell(b, x.n, x.spread)
				b.ReportMetric(heap, "heap-B/cell")
				b.ReportMetric(blocks, "accounted-B/cell")
				b.ReportMetric(fixed, "dict-B/cell")
			}
		})
	}
}

func bytesPerCell(b testing.TB, n int, spread uint32) (heap, blocks, fixed float64) {
	cells := benchCells(n, spread)
	before := heapBytes()
	s := fillStore(b, vfs.Default, caps(n, spread), cells)
	defer mustClose(b, s)
	if err := s.Checkpoint(b.Context()); err != nil {
		b.Fatal(err)
	}
	after := heapBytes()
	runtime.KeepAlive(cells)
	_, accounted := s.clock.size()
	return (float64(after) - float64(before)) / float64(n), float64(accounted) / float64(n), float64(s.fixed) / float64(n)
}

// heapBytes is what lives in the heap after a collection; the second one frees what finalizers held.
func heapBytes() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// BenchmarkCheckpoint writes all blocks of a table, to a disk.
func BenchmarkCheckpoint(b *testing.B) {
	for _, x := range benchTables {
		s, cells := benchStore(b, vfs.Default, x.n, x.spread)
		if err := s.Checkpoint(b.Context()); err != nil {
			b.Fatal(err)
		}
		b.Run(x.name, func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				s.Update(func(tx *Tx) {
					ts := tx.Table(1)
					for i := range cells {
						ts.Add(0, cells[i][:], 1)
					}
				})
				b.StartTimer()
				if err := s.Checkpoint(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(cells)), "ns/cell")
		})
		mustClose(b, s)
	}
}

func sortedIf(yes bool, cells [][4]uint32) [][4]uint32 {
	if !yes {
		return cells
	}
	c := slices.Clone(cells)
	slices.SortFunc(c, func(a, b [4]uint32) int { return slices.Compare(a[:], b[:]) })
	return c
}

// cpu starts a measurement of the processor time of this goroutine, which stays on its thread: on a shared machine it says more than the
// clock on the wall. The returned function reports it for a cell.
func cpu(b *testing.B) func(cells int) {
	runtime.LockOSThread()
	used := func() int64 {
		var r syscall.Rusage
		_ = syscall.Getrusage(1, &r) // of the thread; on systems without it the figure is 0
		return r.Utime.Nano() + r.Stime.Nano()
	}
	start := used()
	return func(cells int) {
		b.ReportMetric(float64(used()-start)/float64(b.N)/float64(cells), "cpu-ns/cell")
		runtime.UnlockOSThread()
	}
}
