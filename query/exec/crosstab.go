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
	cats  []*keyColumn
	keys  int   // columns of the group
	order []int // entries in the order of their keys, for grids that are not dense
	from  map[string]int
}

func newCrosstabs(r *Run, task int) *crosstabs {
	cols := r.s.tasks[task].cols
	x := &crosstabs{g: r.grids[task], keys: len(r.keyCols)}
	for _, c := range cols[x.keys:] {
		x.cats = append(x.cats, r.s.keys[c])
	}
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
	buf := make([]uint32, x.keys+len(x.cats))
	last := ""
	for i, e := range x.order {
		if k := string(codesKey(x.g.codesOf(e, buf)[:x.keys])); i == 0 || k != last {
			x.from[k], last = i, k
		}
	}
	return x
}

// sides are the numbers of row and column codes of a two-way table, NULL included.
func (x *crosstabs) sides() (rows, cols int) {
	c := x.g.cards
	return int(max(c[x.keys], 1)), int(max(c[x.keys+1], 1))
}

// size is the number of slots of one group in a dense grid.
func (x *crosstabs) size() int {
	size := 1
	for _, c := range x.g.cards[x.keys:] {
		size *= int(max(c, 1))
	}
	return size
}

// block is the dense cells of one group, row by row.
func (x *crosstabs) block(codes []uint32) []int64 {
	at := 0
	for i, c := range codes {
		at += int(c) * int(x.g.mul[i])
	}
	return x.g.vals[at : at+x.size()]
}

// groupKeys are the codes of the groups with any cell, in the order of codes.
func (x *crosstabs) groupKeys() [][]uint32 {
	var out [][]uint32
	if x.g.kind != denseShape {
		last := ""
		buf := make([]uint32, x.keys+len(x.cats))
		for i, e := range x.order {
			codes := x.g.codesOf(e, buf)[:x.keys]
			if k := string(codesKey(codes)); i == 0 || k != last {
				out, last = append(out, slices.Clone(codes)), k
			}
		}
		return out
	}
	size := x.size()
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
	codes := make([]uint32, x.keys)
	rest := uint64(k * x.size())
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

// each calls fn for the cells of one group that are not zero, with the codes of their categories, which are reused.
func (x *crosstabs) each(codes []uint32, fn func(cats []uint32, n int64)) {
	if x.g.kind == denseShape {
		cats := make([]uint32, len(x.cats))
		for i, n := range x.block(codes) {
			if n == 0 {
				continue
			}
			rest := uint64(i)
			for d := range cats {
				cats[d] = uint32(rest / x.g.mul[x.keys+d])
				rest %= x.g.mul[x.keys+d]
			}
			fn(cats, n)
		}
		return
	}
	at, ok := x.from[string(codesKey(codes))]
	if !ok {
		return
	}
	buf := make([]uint32, x.keys+len(x.cats))
	for _, e := range x.order[at:] {
		c := x.g.codesOf(e, buf)
		if !slices.Equal(c[:x.keys], codes) {
			return
		}
		fn(c[x.keys:], x.g.vals[e*x.g.sums])
	}
}

// sample is one test of one group, numbered by position.
type sample struct {
	rows, cols []uint32        // key code of each position; nil: position i is code i+1
	values     [2][]plan.Value // of each position, where codes do not say it
	m          *stats.Margins  // by position
	null       int64

	cells  stats.Triples // by position; or
	block  []int64       // the rows of a dense grid, the first row and column being NULL; or
	stride int
	stream *task // the task whose cells are read once more, by code: position i is code i

	all *plan.Cells // of a test of sums, instead of everything above
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

// compact is the sample of one group with its categories numbered in the order in which they come.
func (x *crosstabs) compact(codes []uint32) *sample {
	c, lists := x.numbered(codes)
	return &sample{rows: lists[0], cols: lists[1], null: c.Null, cells: c.Triples()}
}

// numbered gives the cells of one group without values; list d has the codes of dimension d by their numbers.
func (x *crosstabs) numbered(codes []uint32) (c *plan.Cells, lists [][]uint32) {
	c, lists = plan.NewCells(len(x.cats)), make([][]uint32, len(x.cats))
	at := make([]map[uint32]uint32, len(x.cats))
	for d := range at {
		lists[d], at[d] = []uint32{}, map[uint32]uint32{}
	}
	x.each(codes, func(cats []uint32, n int64) {
		if slices.Contains(cats, 0) {
			c.Null += n
			return
		}
		for d, code := range cats {
			i, ok := at[d][code]
			if !ok {
				i = uint32(len(lists[d]))
				at[d][code] = i
				lists[d] = append(lists[d], code)
			}
			c.At[d] = append(c.At[d], i)
		}
		c.Count = append(c.Count, n)
	})
	return c, lists
}

// row is row i of the block without NULL.
func (t *sample) row(i int) []int64 { return t.block[(i+1)*t.stride+1 : (i+2)*t.stride] }

// cells gives the cells of one group by value.
func (x *crosstabs) cells(codes []uint32) *plan.Cells {
	c, lists := x.numbered(codes)
	for d, k := range x.cats {
		c.Values[d] = valuesOf(k, lists[d])
	}
	return c
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

// value is the category at a position of one side, whose key column is k and whose codes are list.
func (t *sample) value(k *keyColumn, values []plan.Value, list []uint32, position int) plan.Value {
	switch {
	case values != nil:
		return values[position]
	case t.stream != nil:
		return k.value(uint32(position))
	case list != nil:
		return k.value(list[position])
	}
	return k.value(uint32(position) + 1)
}

// margins are the totals that are not zero, by value; maxima says that the greatest counts go with them.
func (t *sample) margins(cats []*keyColumn, maxima bool) *Margins {
	side := func(totals []uint64, d int, list []uint32) []plan.Value {
		levels := 0
		for _, n := range totals {
			if n > 0 {
				levels++
			}
		}
		out := make([]plan.Value, 0, levels)
		for i, n := range totals {
			if n > 0 {
				out = append(out, t.value(cats[d], t.values[d], list, i))
			}
		}
		return out
	}
	m := &Margins{Rows: side(t.m.Rows, 0, t.rows), Cols: side(t.m.Cols, 1, t.cols), Null: t.null}
	m.Totals = &stats.Margins{Rows: positive(t.m.Rows), Cols: positive(t.m.Cols), N: t.m.N}
	if maxima {
		x := stats.NewMaxima(len(t.m.Rows), len(t.m.Cols))
		t.each(func(i, j int, n int64) { x.Add(i, j, uint64(n)) })
		m.Maxima = &stats.Maxima{Rows: positive(x.Rows), Cols: positive(x.Cols)}
	}
	return m
}

func positive(totals []uint64) []uint64 {
	out := make([]uint64, 0, len(totals))
	for _, n := range totals {
		if n > 0 {
			out = append(out, n)
		}
	}
	return out
}

// each calls fn for the cells that are not zero; not for a sample that streams.
func (t *sample) each(fn func(i, j int, n int64)) {
	if t.block == nil {
		for k, n := range t.cells.Count {
			fn(int(t.cells.Row[k]), int(t.cells.Col[k]), n)
		}
		return
	}
	for i := range t.m.Rows {
		for j, n := range t.row(i) {
			if n != 0 {
				fn(i, j, n)
			}
		}
	}
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
