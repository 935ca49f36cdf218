package exec

import (
	"cmp"
	"slices"

	"github.com/quipudb/quipu/query/plan"
	"github.com/quipudb/quipu/query/stats"
)

// crosstabs are the cells of one test for all groups of a shard, in a grid.
type crosstabs struct {
	g     *grid
	a, b  *keyColumn
	keys  int   // columns of the group
	order []int // entries in the order of their keys, for grids that are not dense
	from  map[string]int
}

func newCrosstabs(r *Run, task int) *crosstabs {
	cols := r.s.tasks[task].cols
	x := &crosstabs{g: r.grids[task], keys: len(r.keyCols), a: r.s.keys[cols[len(cols)-2]], b: r.s.keys[cols[len(cols)-1]]}
	if x.g.kind == denseShape {
		return x
	}
	x.order = make([]int, 0, x.g.entries())
	for e := range x.g.entries() {
		if x.g.has(e, 0) {
			x.order = append(x.order, e)
		}
	}
	slices.SortFunc(x.order, func(a, b int) int {
		if x.g.kind == packedShape {
			return cmp.Compare(x.g.keys[a], x.g.keys[b])
		}
		return cmp.Compare(x.g.wideKeys[a], x.g.wideKeys[b])
	})
	x.from = map[string]int{}
	buf := make([]uint32, x.keys+2)
	last := ""
	for i, e := range x.order {
		if k := string(codesKey(x.g.codesOf(e, buf)[:x.keys])); i == 0 || k != last {
			x.from[k], last = i, k
		}
	}
	return x
}

// sides are the numbers of row and column codes, NULL included.
func (x *crosstabs) sides() (rows, cols int) {
	c := x.g.cards
	return int(max(c[x.keys], 1)), int(max(c[x.keys+1], 1))
}

// block is the dense cells of one group, row by row.
func (x *crosstabs) block(codes []uint32) []int64 {
	rows, cols := x.sides()
	at := 0
	for i, c := range codes {
		at += int(c) * int(x.g.mul[i])
	}
	return x.g.vals[at : at+rows*cols]
}

// groupKeys are the codes of the groups with any cell, in the order of codes.
func (x *crosstabs) groupKeys() [][]uint32 {
	var out [][]uint32
	if x.g.kind != denseShape {
		last := ""
		buf := make([]uint32, x.keys+2)
		for i, e := range x.order {
			codes := x.g.codesOf(e, buf)[:x.keys]
			if k := string(codesKey(codes)); i == 0 || k != last {
				out, last = append(out, slices.Clone(codes)), k
			}
		}
		return out
	}
	rows, cols := x.sides()
	size := rows * cols
	groups := len(x.g.vals) / size
	for k := range groups {
		if anyNonzero(x.g.vals[k*size : (k+1)*size]) {
			out = append(out, x.groupCodes(k))
		}
	}
	return out
}

// groupCodes are the key codes of group number k of a dense grid.
func (x *crosstabs) groupCodes(k int) []uint32 {
	rows, cols := x.sides()
	codes := make([]uint32, x.keys)
	rest := uint64(k * rows * cols)
	for i := range codes {
		codes[i] = uint32(rest / x.g.mul[i])
		rest %= x.g.mul[i]
	}
	return codes
}

func anyNonzero(v []int64) bool {
	for _, n := range v {
		if n != 0 {
			return true
		}
	}
	return false
}

// each calls fn for the cells of one group that are not zero, by code.
func (x *crosstabs) each(codes []uint32, fn func(a, b uint32, n int64)) {
	if x.g.kind == denseShape {
		_, cols := x.sides()
		for i, n := range x.block(codes) {
			if n != 0 {
				fn(uint32(i/cols), uint32(i%cols), n)
			}
		}
		return
	}
	at, ok := x.from[string(codesKey(codes))]
	if !ok {
		return
	}
	buf := make([]uint32, x.keys+2)
	for _, e := range x.order[at:] {
		c := x.g.codesOf(e, buf)
		if !slices.Equal(c[:x.keys], codes) {
			return
		}
		fn(c[x.keys], c[x.keys+1], x.g.vals[e*x.g.sums])
	}
}

// sample is one test of one group, numbered by position.
type sample struct {
	rows, cols []uint32       // key code of each position; nil: position i is code i+1
	m          *stats.Margins // by position
	null       int64

	cells  stats.Triples // by position; or
	block  []int64       // the rows of a dense grid, the first row and column being NULL; or
	stride int
	stream *task // the task whose cells are read once more, by code: position i is code i
}

// sample gives the cells of one group with their margins.
func (x *crosstabs) sample(codes []uint32) (*sample, error) {
	if x.g.kind != denseShape {
		t := x.compact(codes)
		t.m = stats.NewMargins(len(t.rows), len(t.cols))
		return t, countsFit(t.m.AddCells(t.cells))
	}
	rows, cols := x.sides()
	t := &sample{block: x.block(codes), stride: cols, m: stats.NewMargins(rows-1, cols-1)}
	for _, n := range t.block[:cols] {
		t.null += n
	}
	for i := range rows - 1 {
		t.null += t.block[(i+1)*cols]
		if err := t.m.AddRow(i, t.row(i)); err != nil {
			return nil, countError(err)
		}
	}
	return t, nil
}

func countsFit(err error) error {
	if err != nil {
		return countError(err)
	}
	return nil
}

// compact numbers the categories of one group in the order in which they come.
func (x *crosstabs) compact(codes []uint32) *sample {
	t := &sample{rows: []uint32{}, cols: []uint32{}}
	place := func(at map[uint32]uint32, code uint32, list *[]uint32) uint32 {
		i, ok := at[code]
		if !ok {
			i = uint32(len(*list))
			at[code] = i
			*list = append(*list, code)
		}
		return i
	}
	rowAt, colAt := map[uint32]uint32{}, map[uint32]uint32{}
	x.each(codes, func(i, j uint32, n int64) {
		if i == 0 || j == 0 {
			t.null += n
			return
		}
		t.cells.Row = append(t.cells.Row, place(rowAt, i, &t.rows))
		t.cells.Col = append(t.cells.Col, place(colAt, j, &t.cols))
		t.cells.Count = append(t.cells.Count, n)
	})
	return t
}

// row is row i of the block without NULL.
func (t *sample) row(i int) []int64 { return t.block[(i+1)*t.stride+1 : (i+2)*t.stride] }

// crosstab gives the cells of one group by value.
func (x *crosstabs) crosstab(codes []uint32) *Crosstab {
	t := x.compact(codes)
	return &Crosstab{Rows: valuesOf(x.a, t.rows), Cols: valuesOf(x.b, t.cols), Cells: t.cells, Null: t.null}
}

func valuesOf(k *keyColumn, codes []uint32) []plan.Value {
	out := make([]plan.Value, len(codes))
	for i, c := range codes {
		out[i] = k.value(c)
	}
	return out
}

// add adds the cells to p under f.
func (t *sample) add(p *stats.Partial, f *stats.Frame) {
	if t.block == nil {
		p.AddCells(f, t.cells)
		return
	}
	for i := range t.m.Rows {
		p.AddRow(f, i, t.row(i))
	}
}

// code is the key code of a position.
func (t *sample) code(list []uint32, position int) uint32 {
	switch {
	case t.stream != nil:
		return uint32(position)
	case list != nil:
		return list[position]
	}
	return uint32(position) + 1
}

// margins are the totals that are not zero, by value.
func (t *sample) margins(a, b *keyColumn) *Margins {
	side := func(totals []uint64, list []uint32, k *keyColumn) (values []plan.Value, out []uint64) {
		for i, n := range totals {
			if n > 0 {
				values, out = append(values, k.value(t.code(list, i))), append(out, n)
			}
		}
		return values, out
	}
	m := &Margins{Null: t.null, Totals: &stats.Margins{N: t.m.N}}
	m.Rows, m.Totals.Rows = side(t.m.Rows, t.rows, a)
	m.Cols, m.Totals.Cols = side(t.m.Cols, t.cols, b)
	return m
}

// frame is the positions of the sample under the totals of all shards.
func (t *sample) frame(g Totals) (*stats.Frame, error) {
	spread := func(own, totals []uint64) []uint64 {
		out, k := make([]uint64, len(own)), 0
		for i, n := range own {
			if n > 0 && k < len(totals) {
				out[i] = totals[k]
				k++
			}
		}
		return out
	}
	return stats.NewFrame(g.N, spread(t.m.Rows, g.Rows), spread(t.m.Cols, g.Cols), g.Whole)
}
