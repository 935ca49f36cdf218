package command

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// cellsOf reads a frame back as a map from "window|value,value" to count, with applied code c written as #c.
func cellsOf(t testing.TB, data []byte) map[string]int64 {
	t.Helper()
	var a Add
	if ok, err := DecodeAdd(data, &a); !ok || err != nil {
		t.Fatalf("DecodeAdd = %v, %v", ok, err)
	}
	out := map[string]int64{}
	var c Cells
	for gi := range a.Groups {
		g := &a.Groups[gi]
		if err := g.Scan(&c); err != nil {
			t.Fatal(err)
		}
		for _, w := range c.Windows {
			for i := w.From; i < w.To; i++ {
				names := make([]string, len(g.Dims))
				for d := range g.Dims {
					names[d] = name(&g.Dims[d], c.Cols[d][i])
				}
				out[fmt.Sprintf("%d|%d|%s", g.Table, w.Start, strings.Join(names, ","))] = c.Deltas[i]
			}
		}
	}
	return out
}

func name(c *Codes, code uint32) string {
	if code > c.Known {
		return c.New[code-c.Known-1]
	}
	return fmt.Sprintf("#%d", code)
}

// TestBuilderAgainstMap builds random entries, packed and wide, with dictionaries that outgrow their layout, and compares
// them with a map. The builder is used again and again.
func TestBuilderAgainstMap(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 1))
	b := NewBuilder()
	for round := range 150 {
		b.Reset()
		want := map[string]int64{}
		dims := 1 + rng.IntN(5)
		known := make([]uint32, dims)
		for d := range known {
			known[d] = []uint32{0, 1, 3, 500, 1 << 20, 1<<31 - 1}[rng.IntN(6)]
		}
		windows := 1 + rng.IntN(3)
		for range rng.IntN(3000) {
			g := b.Group(9, 1, known)
			codes, names := make([]uint32, dims), make([]string, dims)
			for d := range codes {
				switch n := rng.IntN(3); {
				case n == 0 && known[d] > 0:
					codes[d] = g.Code(d, "seen", 1+rng.Uint32N(min(known[d], 40)))
					names[d] = fmt.Sprintf("#%d", codes[d])
				case n == 1:
					names[d] = fmt.Sprintf("v%d", rng.IntN(200))
					codes[d] = g.Code(d, names[d], 0)
				default:
					names[d] = "#0"
				}
			}
			start, delta := int64(rng.IntN(windows))*3600-3600, rng.Int64N(7)-2
			if err := g.Add(start, codes, delta); err != nil {
				t.Fatal(err)
			}
			want[fmt.Sprintf("9|%d|%s", start, strings.Join(names, ","))] += delta
		}
		maps.DeleteFunc(want, func(_ string, v int64) bool { return v == 0 })
		b.Part(Part{Kind: Ordinary, Session: 1, Seq: 1})
		data, err := b.Finish(5)
		if err != nil {
			t.Fatal(err)
		}
		if got := cellsOf(t, data); !maps.Equal(got, want) {
			t.Fatalf("round %d: got %d cells, want %d", round, len(got), len(want))
		}
	}
}

func TestAddRowsIsAddOfEachRow(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for _, known := range [][]uint32{{10, 20}, {1 << 30, 1 << 30, 1 << 30}} {
		r := Rows{Window: 7200, Codes: make([][]uint32, len(known)), Remap: make([][]uint32, len(known))}
		for d := range known {
			for i := range 10 {
				r.Remap[d] = append(r.Remap[d], uint32(i))
			}
			for range 1300 {
				r.Codes[d] = append(r.Codes[d], rng.Uint32N(10))
			}
		}
		for i := range 1300 {
			r.Counts = append(r.Counts, rng.Int64N(100)+1)
			r.Windows = append(r.Windows, int64(i%3)*60)
			if i%4 != 0 {
				r.Index = append(r.Index, uint32(i))
			}
		}
		for _, variant := range []func(*Rows){
			func(*Rows) {}, func(r *Rows) { r.Index = nil }, func(r *Rows) { r.Counts = nil }, func(r *Rows) { r.Windows = nil },
			func(r *Rows) { r.Index, r.Counts = nil, nil },
		} {
			v := r
			variant(&v)
			bulk, single := NewBuilder(), NewBuilder()
			if err := bulk.Group(1, 1, known).AddRows(v); err != nil {
				t.Fatal(err)
			}
			index := v.Index
			if index == nil {
				for i := range 1300 {
					index = append(index, uint32(i))
				}
			}
			for _, row := range index {
				codes := make([]uint32, len(known))
				for d := range codes {
					codes[d] = v.Remap[d][v.Codes[d][row]]
				}
				window, delta := v.Window, int64(1)
				if v.Windows != nil {
					window = v.Windows[row]
				}
				if v.Counts != nil {
					delta = v.Counts[row]
				}
				if err := single.Group(1, 1, known).Add(window, codes, delta); err != nil {
					t.Fatal(err)
				}
			}
			a, _ := bulk.Finish(1)
			b, _ := single.Finish(1)
			if !slices.Equal(a, b) {
				t.Errorf("known %v: AddRows and Add give different frames", known)
			}
		}
	}
}

func TestBuilderRefusesToOverflowASum(t *testing.T) {
	g := NewBuilder().Group(1, 1, []uint32{5})
	if err := g.Add(0, []uint32{1}, math.MaxInt64-1); err != nil {
		t.Fatal(err)
	}
	if err := g.Add(0, []uint32{1}, 2); !errors.Is(err, ErrOverflow) {
		t.Errorf("Add = %v, want ErrOverflow", err)
	}
	if g.Room(Need{Rows: 1, Sum: 2, Windows: 1}) {
		t.Error("Room for a sum that does not fit")
	}
	if err := g.AddRows(Rows{Codes: [][]uint32{{0, 0}}, Remap: [][]uint32{{1}}, Counts: []int64{math.MinInt64, math.MaxInt64}}); !errors.Is(err, ErrOverflow) {
		t.Errorf("AddRows = %v, want ErrOverflow", err)
	}
	if err := g.Add(0, []uint32{1}, 1); err != nil {
		t.Errorf("a refused Add took room: %v", err)
	}
}

// TestRoomKeepsItsWord fills entries of hard shapes as long as Room allows it; none may exceed the limits.
func TestRoomKeepsItsWord(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for name, tc := range map[string]struct {
		known []uint32
		delta func() int64
		value int // length of new values; 0: none
	}{
		"narrow": {[]uint32{200, 100}, func() int64 { return 1 }, 0},
		"sparse": {[]uint32{1 << 20, 1 << 20, 1 << 20}, func() int64 { return 1 + rng.Int64N(1<<40) }, 0},
		"wide":   {[]uint32{1 << 30, 1 << 30, 1 << 30, 1 << 30}, func() int64 { return -1 - rng.Int64N(1<<40) }, 0},
		"values": {[]uint32{1000, 0}, func() int64 { return 1 }, 900},
	} {
		t.Run(name, func(t *testing.T) {
			b := NewBuilder()
			g := b.Group(1, 1, tc.known)
			for seq := uint64(1); ; seq++ {
				deltas := make([]int64, 500)
				need := Need{Rows: len(deltas), Windows: 2}
				for i := range deltas {
					deltas[i] = tc.delta()
					need.Sum += magnitude(deltas[i])
				}
				if tc.value > 0 {
					need.NewBytes = 20 * (tc.value + 4)
				}
				if !g.Room(need) {
					break
				}
				b.Part(Part{Kind: Durable, Session: math.MaxUint64, Home: math.MaxUint32, Seq: math.MaxUint64, AckUpTo: math.MaxUint64, MapVersion: math.MaxUint64})
				for i, delta := range deltas {
					codes := make([]uint32, len(tc.known))
					for d, k := range tc.known {
						if k > 0 {
							codes[d] = 1 + rng.Uint32N(k)
						} else {
							codes[d] = g.Code(d, fmt.Sprintf("%0*d", tc.value, int(seq)*20+i%20), 0)
						}
					}
					if err := g.Add(int64(i%2), codes, delta); err != nil {
						t.Fatal(err)
					}
				}
			}
			cells := b.Cells()
			data, err := b.Finish(1)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%d cells, %d parts, %d bytes", cells, b.Parts(), len(data))
			if len(data) < SizeMax/3 && cells < CellsMax-1000 && name != "values" {
				t.Errorf("Room stopped at %d bytes and %d cells: too careful to be useful", len(data), cells)
			}
		})
	}
}

func TestScanRefuses(t *testing.T) {
	cells := func(f func(*encoder)) []byte { e := encoder{}; f(&e); return e.b }
	narrow := []Codes{{Known: 3}, {Known: 3}}
	wide := []Codes{{Known: 1 << 31}, {Known: 1 << 31}, {Known: 1 << 31}}
	for name, tc := range map[string]struct {
		dims  []Codes
		cells []byte
		want  error
	}{
		"equal keys": {narrow, cells(func(e *encoder) {
			e.uint(1)
			e.int(0)
			e.uint(2)
			e.uint(1)
			e.int(1)
			e.uint(0)
			e.int(1)
		}), errOrder},
		"equal windows": {narrow, cells(func(e *encoder) {
			e.uint(2)
			e.int(0)
			e.uint(1)
			e.uint(1)
			e.int(1)
			e.int(0)
			e.uint(1)
			e.uint(1)
			e.int(1)
		}), errOrder},
		"zero":         {narrow, cells(func(e *encoder) { e.uint(1); e.int(0); e.uint(1); e.uint(1); e.int(0) }), errZero},
		"code":         {[]Codes{{Known: 2}}, cells(func(e *encoder) { e.uint(1); e.int(0); e.uint(1); e.uint(3); e.int(1) }), errCode},
		"key beyond":   {narrow, cells(func(e *encoder) { e.uint(1); e.int(0); e.uint(1); e.uint(16); e.int(1) }), errCode},
		"empty window": {narrow, cells(func(e *encoder) { e.uint(1); e.int(0); e.uint(0); e.uint(0) }), errOrder},
		"sum": {narrow, cells(func(e *encoder) {
			e.uint(1)
			e.int(0)
			e.uint(2)
			e.uint(1)
			e.int(math.MaxInt64)
			e.uint(1)
			e.int(1)
		}), errSum},
		"lowest": {narrow, cells(func(e *encoder) { e.uint(1); e.int(0); e.uint(1); e.uint(1); e.int(math.MinInt64) }), errSum},
		"short":  {narrow, cells(func(e *encoder) { e.uint(1); e.int(0); e.uint(1); e.uint(1) }), errCount},
		"tail":   {narrow, cells(func(e *encoder) { e.uint(0); e.uint(0) }), errTail},
		"wide code": {wide, cells(func(e *encoder) {
			e.uint(1)
			e.int(0)
			e.uint(1)
			e.uint(1 << 31)
			e.uint(1<<31 + 1)
			e.uint(0)
			e.int(1)
		}), errCode},
		"wide equal rows": {wide, cells(func(e *encoder) {
			e.uint(1)
			e.int(0)
			e.uint(2)
			e.uint(1)
			e.uint(0)
			e.uint(0)
			e.int(1)
			e.uint(1)
			e.uint(0)
			e.uint(0)
			e.int(1)
		}), errOrder},
	} {
		t.Run(name, func(t *testing.T) {
			var c Cells
			g := Group{Dims: tc.dims, cells: tc.cells}
			if err := g.Scan(&c); !errors.Is(err, tc.want) || !errors.Is(err, ErrMalformed) {
				t.Errorf("Scan = %v, want %v", err, tc.want)
			}
		})
	}
}

func TestRadixSort(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	for _, n := range []int{0, 1, 511, 512, 5000} {
		for _, width := range []int{1, 11, 12, 33, 64} {
			p := make([]pair, n)
			for i := range p {
				p[i] = pair{rng.Uint64() >> (64 - width), int64(i)}
			}
			got, _ := radixSort(slices.Clone(p), nil, width)
			if !slices.IsSortedFunc(got, func(a, b pair) int {
				if a.key < b.key {
					return -1
				} else if a.key > b.key {
					return 1
				}
				return 0
			}) || len(got) != n {
				t.Errorf("n=%d width=%d: not sorted", n, width)
			}
		}
	}
}

// text shows everything in a command.
func text(c Command) string {
	if o, ok := c.(*Once); ok {
		return fmt.Sprintf("%v %x %d %+v", o.Timed, o.ID, o.Since, o.Command)
	}
	return fmt.Sprintf("%+v", c)
}

// FuzzCommand: no input panics; what decodes encodes to a frame that decodes to the same; memory stays in proportion.
func FuzzCommand(f *testing.F) {
	for _, c := range examples() {
		data, _ := Encode(c)
		f.Add(data[:len(data)-4])
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		c, err := Decode(reseal(append(slices.Clone(body), 0, 0, 0, 0)))
		if err != nil {
			return
		}
		again, err := Encode(c)
		if err != nil {
			t.Fatalf("%v decodes but does not encode: %v", c.Kind(), err)
		}
		d, err := Decode(again)
		if err != nil || text(d) != text(c) {
			t.Fatalf("%v: %s became %s, %v", c.Kind(), text(c), text(d), err)
		}
		if a, ok := c.(*Add); ok {
			var cells Cells
			for i := range a.Groups {
				if a.Groups[i].Scan(&cells) == nil && cells.Positive > math.MaxInt64 {
					t.Fatal("Scan let a sum overflow")
				}
			}
		}
	})
}
