package exec

import (
	"cmp"
	"math"
	"slices"

	"github.com/quipudb/quipu/query/plan"
	"github.com/quipudb/quipu/query/stats"
	"github.com/quipudb/quipu/server/errcode"
)

// crosstabs are the cells of one test for all groups of a shard.
type crosstabs struct {
	r     *Run
	task  int
	g     *grid
	keys  int   // columns of the group
	order []int // entries in the order of their keys, for grids that are not dense
	from  map[string]int
}

func newCrosstabs(r *Run, agg int) *crosstabs {
	x := &crosstabs{r: r, task: r.taskOf[agg], g: r.grids[r.taskOf[agg]], keys: len(r.keyCols)}
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

// block is the dense cells of one group, row by row; nil for grids that are not dense.
func (x *crosstabs) block(codes []uint32) []int64 {
	if x.g.kind != denseShape {
		return nil
	}
	rows, cols := x.sides()
	at := 0
	for i, c := range codes {
		at += int(c) * int(x.g.mul[i])
	}
	return x.g.vals[at : at+rows*cols]
}

// groupKeys are the codes of the groups with any cell.
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
	if x.keys == 0 {
		if size > 0 && anyNonzero(x.g.vals) {
			out = append(out, []uint32{})
		}
		return out
	}
	groups := len(x.g.vals) / size
	flat := make([]uint32, groups*x.keys)
	for k := range groups {
		if !anyNonzero(x.g.vals[k*size : (k+1)*size]) {
			continue
		}
		codes := flat[k*x.keys : (k+1)*x.keys : (k+1)*x.keys]
		rest := uint64(k * size)
		for i := range codes {
			codes[i] = uint32(rest / x.g.mul[i])
			rest %= x.g.mul[i]
		}
		out = append(out, codes)
	}
	return out
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
	if block := x.block(codes); block != nil {
		_, cols := x.sides()
		for i, n := range block {
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

// crosstab gives the cells of one group by value.
func (x *crosstabs) crosstab(codes []uint32) *Crosstab {
	out := &Crosstab{}
	rowAt, colAt := map[uint32]uint32{}, map[uint32]uint32{}
	cols := x.r.s.tasks[x.task].cols
	a, b := x.r.s.keys[cols[x.keys]], x.r.s.keys[cols[x.keys+1]]
	place := func(at map[uint32]uint32, code uint32, k *keyColumn, values *[]plan.Value) uint32 {
		i, ok := at[code]
		if !ok {
			i = uint32(len(*values))
			at[code] = i
			*values = append(*values, k.value(code))
		}
		return i
	}
	x.each(codes, func(i, j uint32, n int64) {
		if i == 0 || j == 0 {
			out.Null += n
			return
		}
		out.Cells.Row = append(out.Cells.Row, place(rowAt, i, a, &out.Rows))
		out.Cells.Col = append(out.Cells.Col, place(colAt, j, b, &out.Cols))
		out.Cells.Count = append(out.Cells.Count, n)
	})
	return out
}

// dense is the block of one group with the values of all codes, without a copy of the cells.
func (x *crosstabs) dense(codes []uint32) *Crosstab {
	rows, cols := x.sides()
	columns := x.r.s.tasks[x.task].cols
	a, b := x.r.s.keys[columns[x.keys]], x.r.s.keys[columns[x.keys+1]]
	out := &Crosstab{Rows: make([]plan.Value, rows-1), Cols: make([]plan.Value, cols-1), block: x.block(codes), stride: cols}
	for i := range out.Rows {
		out.Rows[i] = a.value(uint32(i + 1))
		out.Null += out.block[(i+1)*cols]
	}
	for j := range out.Cols {
		out.Cols[j] = b.value(uint32(j + 1))
		out.Null += out.block[j+1]
	}
	out.Null += out.block[0]
	return out
}

// finish tests one group whose cells are all here.
func (x *crosstabs) finish(codes []uint32, kind plan.TestKind) ([]plan.Value, error) {
	block := x.block(codes)
	rows, cols := x.sides()
	if block == nil || kind == plan.Yates {
		return finishCrosstab(x.crosstab(codes), kind)
	}
	m := stats.NewMargins(rows-1, cols-1)
	var null int64
	for j := range cols {
		null += block[j]
	}
	for i := 1; i < rows; i++ {
		null += block[i*cols]
		if err := m.AddRow(i-1, block[i*cols+1:(i+1)*cols]); err != nil {
			return nil, countError(err)
		}
	}
	f := m.Frame()
	p := stats.NewPartial(f, kinds(kind))
	for i := 1; i < rows; i++ {
		p.AddRow(f, i-1, block[i*cols+1:(i+1)*cols])
	}
	return finishPartial(f, p, kind, null)
}

// kinds are the sums that a test needs. Cramér's V of the G test is that of Pearson's statistic.
func kinds(k plan.TestKind) stats.Kinds {
	if k == plan.G {
		return stats.KindG | stats.KindPearson
	}
	return stats.KindPearson
}

func countError(err error) error {
	return errcode.New(errcode.NumericOutOfRange, "the counts of a test add up to more than 9223372036854775807: %w", err)
}

// finishCrosstab tests a whole table in one call.
func finishCrosstab(c *Crosstab, kind plan.TestKind) ([]plan.Value, error) {
	if kind == plan.Yates {
		return finishYates(c)
	}
	m := stats.NewMargins(len(c.Rows), len(c.Cols))
	if err := m.AddCells(c.Cells); err != nil {
		return nil, countError(err)
	}
	f := m.Frame()
	p := stats.NewPartial(f, kinds(kind))
	p.AddCells(f, c.Cells)
	return finishPartial(f, p, kind, c.Null)
}

func finishYates(c *Crosstab) ([]plan.Value, error) {
	if len(c.Cells.Count) == 0 {
		return noTest(c.Null), nil
	}
	if len(c.Rows) > 2 || len(c.Cols) > 2 {
		return nil, errcode.New(errcode.InvalidOption, "the continuity correction is for 2 x 2 tables, this one is %d x %d", len(c.Rows), len(c.Cols)).
			WithHint("leave correction out")
	}
	t, err := stats.NewSparseTable(2, 2, c.Cells)
	if err != nil {
		return nil, countError(err)
	}
	r, err := stats.Yates(t)
	if err != nil {
		return nil, err
	}
	plain, err := stats.ChiSquare(t)
	if err != nil {
		return nil, err
	}
	return record(r, plain, c.Null), nil
}

// finishPartial makes the record of a test from the merged sums.
func finishPartial(f *stats.Frame, p *stats.Partial, kind plan.TestKind, null int64) ([]plan.Value, error) {
	if f.N() == 0 {
		return noTest(null), nil
	}
	pearson, err := f.ChiSquare(p)
	if err != nil {
		return nil, err
	}
	r := pearson
	if kind == plan.G {
		if r, err = f.GTest(p); err != nil {
			return nil, err
		}
	}
	return record(r, pearson, null), nil
}

// noTest is the record where there is nothing to test.
func noTest(null int64) []plan.Value {
	out := make([]plan.Value, plan.TestWidth)
	out[plan.FieldN] = plan.IntValue(0)
	out[plan.FieldWarning] = plan.TextValue("no_observations")
	out[plan.FieldNull] = plan.IntValue(null)
	return out
}

func record(r, pearson stats.Result, null int64) []plan.Value {
	out := make([]plan.Value, plan.TestWidth)
	out[plan.FieldStatistic] = plan.FloatValue(r.Statistic)
	out[plan.FieldDF] = plan.IntValue(r.DF)
	out[plan.FieldP] = plan.FloatValue(r.P)
	out[plan.FieldLnP] = plan.FloatValue(r.LnP)
	out[plan.FieldMinExpected] = plan.FloatValue(r.MinExpected)
	if r.N <= math.MaxInt64 {
		out[plan.FieldN] = plan.IntValue(int64(r.N))
	}
	if v := pearson.CramersV(); v.Defined {
		out[plan.FieldV] = plan.FloatValue(v.Value)
	}
	if len(r.Warnings) > 0 {
		out[plan.FieldWarning] = plan.TextValue(r.Warnings.String())
	}
	out[plan.FieldNull] = plan.IntValue(null)
	return out
}
