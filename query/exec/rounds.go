package exec

import (
	"context"

	"github.com/quipudb/quipu/query/plan"
	"github.com/quipudb/quipu/query/stats"
	"github.com/quipudb/quipu/server/errcode"
)

// A test in mode margins is computed in two rounds, because each of its cells lies whole on one shard: margins are merged by value, and
// every shard then sums its own cells under the margins of all. Only integers and one exact accumulator a shard are exchanged.

// global is one test of one group over all shards.
type global struct {
	frame *stats.Frame
	null  int64
	sum   *stats.Partial
}

// second runs the second round for every test of every group.
func (r *runs) second(ctx context.Context, groups []*merged) error {
	asked := make([][]Totals, len(r.list))
	tests := make([][]*global, len(r.list)) // whose shares come back, in the order asked
	var all []*global
	for _, m := range groups {
		for i, a := range r.f.Aggs {
			if a.Kind != plan.AggTest {
				continue
			}
			t, err := r.ask(m, i, asked, tests)
			if err != nil {
				return err
			}
			all = append(all, t)
		}
	}
	shares := make([][]*stats.Partial, len(r.list))
	err := r.each(func(i int) (err error) {
		if len(asked[i]) > 0 {
			shares[i], err = r.list[i].Second(ctx, asked[i])
		}
		return err
	})
	if err != nil {
		return err
	}
	for shard, list := range tests {
		for i, t := range list {
			if err := t.sum.Merge(shares[shard][i]); err != nil {
				return errcode.New(errcode.Internal, "a shard computed with other margins: %w", err)
			}
		}
	}
	return r.finish(groups, all)
}

// ask merges the margins of one test and adds what each shard must know of them to asked.
func (r *runs) ask(m *merged, agg int, asked [][]Totals, tests [][]*global) (*global, error) {
	rows, cols := newInterner(), newInterner()
	to := make([][2][]int, len(m.from))
	for i, o := range m.from {
		part := o.aggs[agg].Margins
		to[i] = [2][]int{codesOf(rows, part.Rows), codesOf(cols, part.Cols)}
	}
	total := stats.NewMargins(len(rows.values)-1, len(cols.values)-1)
	t := &global{}
	for i, o := range m.from {
		part := o.aggs[agg].Margins
		t.null += part.Null
		r.cost.Integers += int64(2 * (len(part.Rows) + len(part.Cols)))
		if err := total.Place(part.Totals, to[i][0], to[i][1]); err != nil {
			return nil, countError(err)
		}
	}
	t.frame = total.Frame()
	t.sum = stats.NewPartial(t.frame, kinds(r.f.Aggs[agg].Test))
	for i, o := range m.from {
		asked[o.shard] = append(asked[o.shard], Totals{Group: o.group, Agg: agg, N: total.N,
			Rows: pick(total.Rows, to[i][0]), Cols: pick(total.Cols, to[i][1]), Whole: t.frame.Whole()})
		tests[o.shard] = append(tests[o.shard], t)
	}
	return t, nil
}

// finish turns the sums into columns; tests are in the order of groups.
func (r *runs) finish(groups []*merged, tests []*global) error {
	for _, m := range groups {
		for i, a := range r.f.Aggs {
			if a.Kind != plan.AggTest {
				continue
			}
			t := tests[0]
			tests = tests[1:]
			var err error
			if m.Aggs[i].Done, err = finishPartial(t.frame, t.sum, a.Test, t.null); err != nil {
				return err
			}
		}
	}
	return nil
}

func codesOf(in *interner, values []plan.Value) []int {
	out := make([]int, len(values))
	in.reserve(len(values))
	for i, v := range values {
		out[i] = int(in.code(v)) - 1
	}
	return out
}

func pick(totals []uint64, at []int) []uint64 {
	out := make([]uint64, len(at))
	for i, k := range at {
		out[i] = totals[k]
	}
	return out
}

// mergeCrosstabs adds up cells of the same categories. Squares of parts of a cell do not add: this comes before any test.
func mergeCrosstabs(parts []*Crosstab) (*Crosstab, error) {
	if len(parts) == 1 {
		return parts[0], nil
	}
	out := &Crosstab{}
	rows, cols := newInterner(), newInterner()
	to := make([][2][]int, len(parts))
	cells := 0
	for i, p := range parts {
		to[i] = [2][]int{codesOf(rows, p.Rows), codesOf(cols, p.Cols)}
		out.Null += p.Null
		cells += len(p.Cells.Count)
	}
	out.Rows, out.Cols = rows.values[1:], cols.values[1:]
	g, err := newGrid(newShape([]uint32{uint32(len(out.Rows)), uint32(len(out.Cols))}, 1, uint64(cells)), 1, nil)
	if err != nil {
		return nil, err
	}
	for i, p := range parts {
		if err := g.reserve(len(p.Cells.Count)); err != nil {
			return nil, err
		}
		for k, n := range p.Cells.Count {
			key := [2]uint32{uint32(to[i][0][p.Cells.Row[k]]), uint32(to[i][1][p.Cells.Col[k]])}
			g.add(g.entry(g.key(key[:])), 0, n)
		}
	}
	if g.overflow {
		return nil, countError(stats.ErrOverflow)
	}
	var codes [2]uint32
	for e := range g.entries() {
		if g.has(e, 0) {
			g.codesOf(e, codes[:])
			out.Cells.Row, out.Cells.Col = append(out.Cells.Row, codes[0]), append(out.Cells.Col, codes[1])
			out.Cells.Count = append(out.Cells.Count, g.vals[e])
		}
	}
	return out, nil
}
