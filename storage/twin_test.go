package storage

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/quipudb/quipu/storage/schema"
)

// twin is a store that is too simple to be wrong.
type twin struct {
	tables map[schema.TableID]*twinTable
	rows   map[string]string
	index  uint64
}

type twinTable struct {
	def   *schema.Table
	dicts [][]string
	cells map[twinCell]int64
}

type twinCell struct {
	window int64
	codes  [8]uint32
}

func newTwin() *twin {
	return &twin{tables: map[schema.TableID]*twinTable{}, rows: map[string]string{}}
}

func (w *twin) clone() *twin {
	c := &twin{tables: map[schema.TableID]*twinTable{}, rows: maps.Clone(w.rows), index: w.index}
	for id, t := range w.tables {
		c.tables[id] = &twinTable{def: t.def.Clone(), dicts: slices.Clone(t.dicts), cells: maps.Clone(t.cells)}
	}
	return c
}

// check compares a snapshot with w.
func (w *twin) check(t *testing.T, n *Snapshot, target int) {
	t.Helper()
	if n.Applied().Index != w.index {
		t.Fatalf("snapshot of index %d, want %d", n.Applied().Index, w.index)
	}
	if ids := slices.Sorted(maps.Keys(w.tables)); !slices.Equal(n.Tables(), ids) {
		t.Fatalf("tables %v, want %v", n.Tables(), ids)
	}
	for id, want := range w.tables {
		v, _ := n.Table(id)
		for d, values := range want.dicts {
			if int(v.DictLen(d)) != len(values) {
				t.Fatalf("table %d: %d values of dimension %d, want %d", id, v.DictLen(d), d, len(values))
			}
			for i, value := range values {
				if c, ok := v.Code(d, value); v.Value(d, uint32(i+1)) != value || !ok || int(c) != i+1 {
					t.Fatalf("table %d: code %d of dimension %d is %q, want %q", id, i+1, d, v.Value(d, uint32(i+1)), value)
				}
			}
		}
		got, err := scanTwin(t, v, Filter{}, target)
		if errors.Is(err, ErrSnapshotTooOld) && n.s.memory.budget < 1<<28 {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		if !maps.Equal(got, want.cells) {
			t.Fatalf("table %d: %d cells, want %d; first difference: %s", id, len(got), len(want.cells), difference(got, want.cells))
		}
		if v.Cells() != uint64(len(want.cells)) {
			t.Fatalf("table %d: Cells() = %d, want %d", id, v.Cells(), len(want.cells))
		}
	}
}

func difference(got, want map[twinCell]int64) string {
	for c, n := range want {
		if got[c] != n {
			return fmt.Sprintf("%v is %d, want %d", c, got[c], n)
		}
	}
	for c, n := range got {
		if want[c] != n {
			return fmt.Sprintf("%v is %d, want none", c, n)
		}
	}
	return "none"
}

func scanTwin(t *testing.T, v TableView, f Filter, target int) (map[twinCell]int64, error) {
	t.Helper()
	all := make(map[twinCell]int64)
	dims := make([]int, len(v.Schema().Dims))
	for d := range dims {
		dims[d] = d
	}
	for _, g := range v.Segments(f, target) {
		err := g.Scan(t.Context(), dims, func(c *Chunk) error {
			if len(c.Counts) != c.Len {
				t.Fatalf("%d counts in a chunk of %d", len(c.Counts), c.Len)
			}
			checkRuns(t, c, len(dims))
			for i, count := range c.Counts {
				cell := twinCell{window: c.Window}
				for d, col := range c.Columns() {
					cell.codes[d] = col[i]
				}
				if _, twice := all[cell]; twice || count == 0 {
					t.Fatalf("cell %v came twice, or with count 0", cell)
				}
				all[cell] = count
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return all, nil
}

// checkRuns compares the runs of a chunk with its columns.
func checkRuns(t *testing.T, c *Chunk, dims int) {
	t.Helper()
	for d := range dims {
		at, runs := 0, c.Runs(d) // before the column is asked for
		for _, r := range runs {
			for at < r.End {
				if code := c.Codes(d)[at]; code != r.Code {
					t.Fatalf("dimension %d: cell %d of %d has code %d, its run %d", d, at, c.Len, code, r.Code)
				}
				at++
			}
		}
		if runs != nil && at != c.Len {
			t.Fatalf("dimension %d: runs of %d cells in a chunk of %d", d, at, c.Len)
		}
	}
}

// trial drives a store and its twin through the same random steps.
type trial struct {
	*testing.T
	rng     *rand.Rand
	fs      *vfs.MemFS
	memory  *Memory
	s       *Store
	w       *twin
	durable *twin
	open    []heldSnapshot
	nextID  schema.TableID
	log     []string
}

type heldSnapshot struct {
	n *Snapshot
	w *twin
}

// shapes are values a dimension: dense ones, sparse ones, and one whose keys need two words.
var shapes = [][]int{{40, 30}, {3, 2, 2}, {50, 20, 5}, {2000, 3}, {20_000}, {300, 300, 300, 300, 300, 300, 300}, {70_000, 70_000, 70_000, 70_000}}

func TestTwin(t *testing.T) {
	for seed := range seeds(4) {
		for _, budget := range []int64{1 << 30, 1 << 20, 128 << 10} {
			t.Run(fmt.Sprint("seed", seed, "budget", budget>>10), func(t *testing.T) { runTwin(t, seed, budget, 120) })
		}
	}
}

// seeds is the number of seeds to try; QUIPU_SOAK asks for many.
func seeds(n uint64) uint64 {
	if os.Getenv("QUIPU_SOAK") != "" {
		return 10 * n
	}
	return n
}

func runTwin(t *testing.T, seed uint64, budget int64, steps int) {
	x := &trial{T: t, rng: rand.New(rand.NewPCG(seed, 7)), fs: vfs.NewCrashableMem(), memory: NewMemory(budget), w: newTwin(), durable: newTwin(), nextID: 1}
	x.s = mustOpen(t, Options{FS: x.fs, Memory: x.memory})
	defer func() {
		if t.Failed() {
			t.Logf("steps: %v", x.log)
		}
		for _, h := range x.open {
			h.n.Release()
		}
		mustClose(t, x.s)
	}()
	for range steps {
		x.step()
	}
	x.verify(x.snapshot())
}

func (x *trial) step() {
	kinds := []struct {
		name   string
		weight int
		do     func()
	}{
		{"create", 3, x.create}, {"add", 40, x.add}, {"bulk", 25, x.bulk}, {"subtract", 8, x.subtract}, {"column", 3, x.addColumn},
		{"dropwindows", 3, x.dropWindows}, {"droptable", 1, x.dropTable}, {"rows", 10, x.putRows}, {"snapshot", 12, x.hold},
		{"look", 12, x.look}, {"checkpoint", 12, x.checkpoint}, {"crash", 3, x.crash}, {"reopen", 2, x.reopen}, {"shrink", 8, x.shrink},
		{"stream", 2, x.stream}, {"get", 5, x.get}, {"filter", 6, x.filter},
	}
	total := 0
	for _, k := range kinds {
		total += k.weight
	}
	pick := x.rng.IntN(total)
	for _, k := range kinds {
		if pick -= k.weight; pick < 0 {
			x.log = append(x.log, k.name)
			k.do()
			return
		}
	}
}

// update runs fn as one step of both.
func (x *trial) update(fn func(tx *Tx)) {
	x.w.index++
	x.s.Update(func(tx *Tx) {
		fn(tx)
		tx.SetApplied(schema.Applied{Index: x.w.index, Term: 1})
	})
}

func (x *trial) create() {
	shape := shapes[x.rng.IntN(len(shapes))]
	def := testTable(x.nextID, len(shape))
	x.nextID++
	for d := range def.Dims {
		def.Dims[d].Cardinality = uint32(shape[d]) // the number of values that the test uses
	}
	x.w.tables[def.ID] = &twinTable{def: def, dicts: make([][]string, len(shape)), cells: map[twinCell]int64{}}
	x.update(func(tx *Tx) {
		if err := tx.SetTable(def); err != nil {
			x.Fatal(err)
		}
	})
}

func (x *trial) table() *twinTable {
	ids := slices.Sorted(maps.Keys(x.w.tables))
	if len(ids) == 0 {
		x.create()
		return x.table()
	}
	return x.w.tables[ids[x.rng.IntN(len(ids))]]
}

// codes interns random values in both and gives their codes.
func (x *trial) codes(ts *TableState, t *twinTable) []uint32 {
	codes := make([]uint32, len(t.def.Dims))
	for d := range codes {
		if x.rng.IntN(200) == 0 {
			continue // NULL
		}
		n := int(t.def.Dims[d].Budget())
		most := n
		if t.def.ID%3 == 0 {
			most = 1 + x.rng.IntN(n) // early values are more frequent
		}
		v := fmt.Sprint("value ", x.rng.IntN(most))
		i := slices.Index(t.dicts[d], v)
		if n > 1000 { // the twin's search is linear
			if c, ok := ts.Lookup(d, v); ok {
				i = int(c) - 1
			}
		}
		if i < 0 {
			i = len(t.dicts[d])
			t.dicts[d] = append(t.dicts[d], v)
		}
		codes[d] = ts.Intern(d, v)
		if int(codes[d]) != i+1 {
			x.Fatalf("value %q got code %d, want %d", v, codes[d], i+1)
		}
	}
	return codes
}

func (t *twinTable) add(window int64, codes []uint32, delta int64) {
	cell := twinCell{window: window}
	copy(cell.codes[:], codes)
	if t.cells[cell] += delta; t.cells[cell] == 0 {
		delete(t.cells, cell)
	}
}

func (x *trial) window() int64 { return int64(x.rng.IntN(3)-1) * 3600 }

func (x *trial) add() {
	t := x.table()
	x.update(func(tx *Tx) {
		ts := tx.Table(t.def.ID)
		for range 1 + x.rng.IntN(300) {
			codes, window, delta := x.codes(ts, t), x.window(), x.rng.Int64N(100)
			ts.Add(window, codes, delta)
			t.add(window, codes, delta)
		}
	})
}

func (x *trial) bulk() {
	t := x.table()
	x.update(func(tx *Tx) {
		ts := tx.Table(t.def.ID)
		n, window := 1+x.rng.IntN(4000), x.window()
		cols, deltas := make([][]uint32, len(t.def.Dims)), make([]int64, n)
		for i := range n {
			codes := x.codes(ts, t)
			deltas[i] = x.rng.Int64N(1 << x.rng.IntN(40))
			for d := range cols {
				cols[d] = append(cols[d], codes[d])
			}
			t.add(window, codes, deltas[i])
		}
		ts.AddColumns(window, cols, deltas)
	})
}

// subtract takes some cells to less or to nothing.
func (x *trial) subtract() {
	t := x.table()
	x.update(func(tx *Tx) {
		ts := tx.Table(t.def.ID)
		some := 0
		for cell, n := range maps.Clone(t.cells) {
			if some++; some > 500 {
				break
			}
			delta := -n
			if some%2 == 0 {
				delta = -(n / 2)
			}
			ts.Add(cell.window, cell.codes[:len(t.def.Dims)], delta)
			t.add(cell.window, cell.codes[:len(t.def.Dims)], delta)
		}
	})
}

func (x *trial) addColumn() {
	t := x.table()
	n := len(t.def.Dims)
	if n == 8 {
		return
	}
	def := t.def.Clone()
	def.Version++
	dim := schema.Dimension{Name: fmt.Sprint("d", n), Type: schema.Text, Default: schema.Null, Cardinality: 20}
	t.dicts = append(t.dicts, nil)
	if x.rng.IntN(2) == 0 {
		dim.Default = schema.V("the default")
		t.dicts[n] = []string{"the default"}
		older := t.cells
		t.cells = make(map[twinCell]int64, len(older))
		for cell, count := range older {
			cell.codes[n] = 1
			t.cells[cell] = count
		}
	}
	def.Dims = append(def.Dims, dim)
	t.def = def
	x.update(func(tx *Tx) {
		if err := tx.SetTable(def); err != nil {
			x.Fatal(err)
		}
	})
}

func (x *trial) dropWindows() {
	t, before := x.table(), x.window()
	maps.DeleteFunc(t.cells, func(c twinCell, _ int64) bool { return c.window < before })
	x.update(func(tx *Tx) { tx.Table(t.def.ID).DropWindows(before) })
}

func (x *trial) dropTable() {
	t := x.table()
	delete(x.w.tables, t.def.ID)
	x.update(func(tx *Tx) { tx.DropTable(t.def.ID) })
}

func (x *trial) putRows() {
	x.update(func(tx *Tx) {
		for range x.rng.IntN(10) {
			k, v := fmt.Sprint("r/", x.rng.IntN(30)), fmt.Sprint(x.rng.Uint64())
			if x.rng.IntN(3) == 0 {
				tx.DeleteRow([]byte(k))
				delete(x.w.rows, k)
				continue
			}
			tx.PutRow([]byte(k), []byte(v))
			x.w.rows[k] = v
		}
	})
}

func (x *trial) snapshot() heldSnapshot {
	n, err := x.s.Snapshot()
	if err != nil {
		x.Fatal(err)
	}
	return heldSnapshot{n, x.w}
}

func (x *trial) verify(h heldSnapshot) {
	x.Helper()
	defer h.n.Release()
	h.w.check(x.T, h.n, 1+x.rng.IntN(5))
}

func (x *trial) hold() {
	h := x.snapshot()
	h.w = x.w.clone()
	x.open = append(x.open, h)
	if len(x.open) > 4 {
		x.look()
	}
}

func (x *trial) look() {
	if len(x.open) == 0 {
		return
	}
	i := x.rng.IntN(len(x.open))
	x.verify(x.open[i])
	x.open = slices.Delete(x.open, i, i+1)
}

func (x *trial) checkpoint() {
	if err := x.s.Checkpoint(x.Context()); err != nil {
		x.Fatal(err)
	}
	x.durable = x.w.clone()
	if x.s.Durable().Index != x.w.index {
		x.Fatalf("durable at %d, want %d", x.s.Durable().Index, x.w.index)
	}
	if d := x.memory.dirty.Load(); d != 0 {
		x.Fatalf("%d bytes are dirty after a checkpoint", d)
	}
}

// crash loses what no checkpoint wrote.
func (x *trial) crash() {
	after := x.fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: x.rng.IntN(101), RNG: x.rng})
	x.releaseAll()
	mustClose(x.T, x.s)
	x.fs, x.w = after, x.durable.clone()
	x.restart()
}

func (x *trial) reopen() {
	x.releaseAll()
	mustClose(x.T, x.s)
	x.durable = x.w.clone()
	x.restart()
}

func (x *trial) restart() {
	if used := x.memory.Used(); used != 0 {
		x.Fatalf("%d bytes are accounted for after Close", used)
	}
	x.s = mustOpen(x.T, Options{FS: x.fs, Memory: x.memory})
	if x.s.Applied().Index != x.w.index {
		x.Fatalf("reopened at %d, want %d", x.s.Applied().Index, x.w.index)
	}
	x.checkRows()
	x.verify(x.snapshot())
}

func (x *trial) checkRows() {
	x.s.Update(func(tx *Tx) {
		got := map[string]string{}
		for k, v := range tx.Rows([]byte("r/")) {
			got[k] = string(v)
		}
		if !maps.Equal(got, x.w.rows) {
			x.Fatalf("rows %v, want %v", got, x.w.rows)
		}
	})
}

func (x *trial) releaseAll() {
	for _, h := range x.open {
		x.verify(h)
	}
	x.open = nil
}

func (x *trial) shrink() { x.s.shrink() }

// stream replaces the state by itself.
func (x *trial) stream() {
	before, want, err := x.s.Hash(x.Context())
	if err != nil {
		x.Fatal(err)
	}
	b := export(x.T, x.s)
	in, err := x.s.Import(x.Context(), bytes.NewReader(b))
	if err != nil {
		x.Fatal(err)
	}
	for _, h := range x.open {
		h.n.Release()
	}
	x.open = nil
	if err := x.s.Install(in); err != nil {
		x.Fatal(err)
	}
	x.durable = x.w.clone()
	if after, got, err := x.s.Hash(x.Context()); err != nil || got != want || after != before {
		x.Fatalf("hash %x at %v, want %x at %v (%v)", got, after, want, before, err)
	}
	x.checkRows()
	x.verify(x.snapshot())
}

func (x *trial) get() {
	t := x.table()
	x.s.Update(func(tx *Tx) {
		ts := tx.Table(t.def.ID)
		some := 0
		for cell, n := range t.cells {
			if got := ts.Get(cell.window, cell.codes[:len(t.def.Dims)]); got != n {
				x.Fatalf("Get(%v) = %d, want %d", cell, got, n)
			}
			if some++; some == 100 {
				break
			}
		}
	})
}

// filter compares a filtered scan with the twin's cells that pass.
func (x *trial) filter() {
	t := x.table()
	h := x.snapshot()
	defer h.n.Release()
	v, _ := h.n.Table(t.def.ID)
	f := Filter{Bounded: x.rng.IntN(2) == 0, From: x.window(), To: x.window()}
	for d := range t.def.Dims {
		if x.rng.IntN(2) == 0 {
			f.Codes = append(f.Codes, nil)
			continue
		}
		set := NewCodeSet(v.DictLen(d))
		for c := range v.DictLen(d) + 1 {
			if x.rng.IntN(2) == 0 {
				set.Add(c)
			}
		}
		f.Codes = append(f.Codes, set)
	}
	want := maps.Clone(t.cells)
	maps.DeleteFunc(want, func(c twinCell, _ int64) bool {
		out := f.Bounded && (c.window < f.From || c.window >= f.To)
		for d, set := range f.Codes {
			out = out || set != nil && !set.Has(c.codes[d])
		}
		return out
	})
	got, err := scanTwin(x.T, v, f, 2)
	if errors.Is(err, ErrSnapshotTooOld) && x.memory.budget < 1<<28 {
		return
	}
	if err != nil || !maps.Equal(got, want) {
		x.Fatalf("table %d: %d cells pass the filter, want %d: %s (%v)", t.def.ID, len(got), len(want), difference(got, want), err)
	}
}
