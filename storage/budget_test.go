package storage

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/quipudb/quipu/storage/schema"
)

// Bytes of heap for a cell, everything included. What is fixed counts too, so that small tables cost more a cell.
func TestBytesPerCell(t *testing.T) {
	if testing.Short() {
		t.Skip("a figure of memory; the race detector, which runs the short tests, adds its own and lets Pebble check itself")
	}
	for _, x := range []struct {
		name   string
		spread uint32
		most   float64
	}{{"dense", 1, 16}, {"quarter", 4, 16}, {"sparse", 1000, 40}} {
		heap, blocks, fixed := bytesPerCell(t, 400_000, x.spread)
		t.Logf("%s: %.1f bytes of heap for a cell; accounts: %.1f for blocks, %.2f for dictionaries and rows", x.name, heap, blocks, fixed)
		if heap > x.most {
			t.Errorf("%s: %.1f bytes for a cell, want at most %v", x.name, heap, x.most)
		}
	}
}

// A table of four times the budget, in windows, is written and read, with a snapshot held, evenly and by a Zipf law: memory stays near the
// budget, and every snapshot is right. QUIPU_SOAK does it with 256 MiB.
func TestBudgetHolds(t *testing.T) {
	x := &crowd{T: t, budget: 8 << 20, rng: rand.New(rand.NewPCG(5, 6))}
	rounds := 120
	if os.Getenv("QUIPU_SOAK") != "" {
		x.budget, rounds = 256<<20, 400
	}
	defer debug.SetGCPercent(debug.SetGCPercent(400)) // as quipu serve sets them
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(x.budget + 640<<20))
	debug.FreeOSMemory()
	_ = os.WriteFile("/proc/self/clear_refs", []byte("5"), 0) // the peak begins anew, where there is one
	x.memory = NewMemory(x.budget)
	x.s = mustOpen(t, Options{FS: vfs.Default, Dir: t.TempDir(), Memory: x.memory, CheckpointEvery: time.Second})
	defer mustClose(t, x.s)
	x.fill()
	held, err := x.s.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	zipf := rand.NewZipf(x.rng, 1.1, 1, uint64(x.cells-1))
	for round := range rounds {
		for range 2 {
			x.add(func() uint32 { return x.rng.Uint32N(x.cells) })
			x.add(func() uint32 { return uint32(zipf.Uint64() * 2654435761 % uint64(x.cells)) })
		}
		if round%(rounds/3) == 0 {
			x.read(nil)
		}
	}
	x.read(held)
	held.Release()
	x.read(nil)
	t.Logf("%d cells; the accounts peak at %.2f of a budget of %d MiB; VmHWM %d MiB", x.cells, float64(x.peak)/float64(x.budget), x.budget>>20, peakRSS()>>20)
	if x.peak > x.budget+(4<<20) {
		t.Errorf("%d MiB in use, the budget is %d MiB", x.peak>>20, x.budget>>20)
	}
	if rss := peakRSS(); rss > x.budget+1<<30 {
		t.Errorf("the process took %d MiB with a budget of %d MiB", rss>>20, x.budget>>20)
	}
}

// crowd is a table of four times the budget. Cell i begins with count 1; entry number n adds entryCells to the sum of all.
type crowd struct {
	*testing.T
	rng    *rand.Rand
	budget int64
	memory *Memory
	s      *Store
	cells  uint32
	index  uint64
	peak   int64
}

const (
	entryCells  = 64      // each touches a block of 32 KiB, so that an entry makes 2 MiB dirty
	windowSide  = 1 << 10 // values of the inner dimension, all of which occur in each window with all of the outer one
	windowOuter = 1 << 12
	windowCells = windowSide * windowOuter
)

func (x *crowd) fill() {
	x.cells = uint32(4 * x.budget / 8)
	x.s.Update(func(tx *Tx) {
		_ = tx.SetTable(testTable(1, 2))
		for i := range windowOuter {
			tx.Table(1).Intern(0, strconv.Itoa(i))
		}
		for i := range windowSide {
			tx.Table(1).Intern(1, strconv.Itoa(i))
		}
	})
	for from := uint32(0); from < x.cells; from += 1 << 14 {
		numbers := make([]uint32, min(1<<14, x.cells-from))
		for i := range numbers {
			numbers[i] = from + uint32(i)
		}
		x.put(numbers)
	}
}

// put adds 1 to each of the cells, which are in order, as a log does that is replayed: nobody asks whether the store is busy.
func (x *crowd) put(cells []uint32) {
	x.s.Update(func(tx *Tx) {
		for len(cells) > 0 {
			window := cells[0] / windowCells
			var cols [2][]uint32
			for len(cells) > 0 && cells[0]/windowCells == window {
				c := cells[0] % windowCells
				cols[0], cols[1] = append(cols[0], 1+c/windowSide), append(cols[1], 1+c%windowSide)
				cells = cells[1:]
			}
			tx.Table(1).AddColumns(int64(window), cols[:], slices.Repeat([]int64{1}, len(cols[0])))
		}
		tx.SetApplied(schema.Applied{Index: tx.Applied().Index + 1, Term: 1})
	})
	x.peak = max(x.peak, x.memory.Used())
}

// add puts an entry of cells drawn by some law, in their order.
func (x *crowd) add(draw func() uint32) {
	cells := make([]uint32, entryCells)
	for i := range cells {
		cells[i] = draw()
	}
	slices.Sort(cells)
	x.put(cells)
	x.index++
}

// read checks the sum of a snapshot: the held one's is that of the start, unless it has grown too old.
func (x *crowd) read(held *Snapshot) {
	n, want := held, int64(x.cells)
	if held == nil {
		n, _ = x.s.Snapshot()
		defer n.Release()
		want += int64(x.index) * entryCells
	}
	v, _ := n.Table(1)
	sum := int64(0)
	for _, g := range v.Segments(Filter{}, 1) {
		err := g.Scan(context.Background(), nil, func(c *Chunk) error {
			for _, count := range c.Counts {
				sum += count
			}
			x.peak = max(x.peak, x.memory.Used())
			return nil
		})
		if errors.Is(err, ErrSnapshotTooOld) && held != nil {
			return
		}
		if err != nil {
			x.Fatal(err)
		}
	}
	if sum != want {
		x.Errorf("a snapshot sums to %d, want %d", sum, want)
	}
}

// peakRSS is VmHWM, 0 where the system has none.
func peakRSS() int64 {
	b, _ := os.ReadFile("/proc/self/status")
	for line := range strings.Lines(string(b)) {
		var kib int64
		if _, err := fmt.Sscanf(line, "VmHWM: %d kB", &kib); err == nil {
			return kib << 10
		}
	}
	return 0
}
