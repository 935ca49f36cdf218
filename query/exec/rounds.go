package exec

import (
	"context"
	"slices"
	"sync"

	"github.com/quipudb/quipu/query/plan"
	"github.com/quipudb/quipu/query/stats"
	"github.com/quipudb/quipu/server/errcode"
)

// A test in mode margins is computed in two rounds, because each of its cells lies whole on one shard: margins are merged by value, and
// every shard then sums its own cells under the margins of all. Only integers and one exact accumulator a shard are exchanged. A test in
// mode sums is alike, with sums of its own instead of margins; most of these need one round only.

// global is one test of one group over all shards.
type global struct {
	a             *plan.Aggregate
	share         *Share
	null          int64
	terms         *plan.Terms // in mode margins
	first, second plan.Sums   // in mode sums
}

// second runs the second round for every test of every group that needs one, and finishes them all but those of mode cells.
func (r *runs) second(ctx context.Context, groups []*merged) error {
	asked := make([][]Totals, len(r.list))
	tests := make([][]*global, len(r.list)) // whose shares come back, in the order asked
	var all []*global
	for _, m := range groups {
		for i, a := range r.f.Aggs {
			t := &global{a: a, share: &m.Aggs[i]}
			var err error
			switch {
			case a.Kind != plan.AggTest || len(m.from) == 0:
				continue
			case a.Mode == plan.ModeMargins:
				err = r.ask(m, i, t, asked, tests)
			case a.Mode == plan.ModeSums:
				err = r.askSums(m, i, t, asked, tests)
			default:
				continue
			}
			if err != nil {
				return err
			}
			all = append(all, t)
		}
	}
	shares := make([][]Term, len(r.list))
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
			if err := t.merge(shares[shard][i]); err != nil {
				return errcode.New(errcode.Internal, "a shard computed with other totals: %w", err)
			}
		}
	}
	for _, t := range all {
		if err := t.finish(); err != nil {
			return err
		}
	}
	return nil
}

func (t *global) merge(s Term) error {
	if t.a.Mode == plan.ModeSums {
		return t.second.Merge(s.Sums)
	}
	return t.terms.Partial.Merge(s.Partial)
}

func (t *global) finish() (err error) {
	if t.a.Mode == plan.ModeSums {
		t.share.Done, err = t.a.FinishSums(t.first, t.second, t.null)
		return err
	}
	t.terms.Null = t.null
	t.share.Done, err = t.a.FinishTerms(t.terms)
	return err
}

// ask merges the margins of one test and adds what each shard must know of them to asked.
func (r *runs) ask(m *merged, agg int, t *global, asked [][]Totals, tests [][]*global) error {
	rowsTo, colsTo, rows, cols := r.places(m, agg)
	total := stats.NewMargins(rows, cols)
	t.terms = &plan.Terms{}
	if t.a.Maxima() {
		t.terms.Maxima = stats.NewMaxima(rows, cols)
	}
	for i, o := range m.from {
		part := o.aggs[agg].Margins
		t.null += part.Null
		if r.cost != nil {
			r.cost.Integers += int64(2 * (len(part.Rows) + len(part.Cols)))
		}
		if err := total.Place(part.Totals, rowsTo[i], colsTo[i]); err != nil {
			return countError(err)
		}
		if part.Maxima != nil {
			raise(t.terms.Maxima.Rows, part.Maxima.Rows, rowsTo[i])
			raise(t.terms.Maxima.Cols, part.Maxima.Cols, colsTo[i])
		}
	}
	t.terms.Frame = total.Frame()
	t.terms.Partial = stats.NewPartial(t.terms.Frame, t.a.Kinds())
	for i, o := range m.from {
		asked[o.shard] = append(asked[o.shard], Totals{Group: o.group, Agg: agg, N: total.N,
			Rows: pick(total.Rows, rowsTo[i]), Cols: pick(total.Cols, colsTo[i]), Whole: t.terms.Frame.Whole()})
		tests[o.shard] = append(tests[o.shard], t)
	}
	return nil
}

// places gives, for each share of a test, the places of its rows and columns among those of all, and how many there are. No shard works
// meanwhile, so that rows and columns may have a goroutine each.
func (r *runs) places(m *merged, agg int) (rowsTo, colsTo [][]int, rows, cols int) {
	var lists [2][][]plan.Value
	for _, o := range m.from {
		part := o.aggs[agg].Margins
		lists[0], lists[1] = append(lists[0], part.Rows), append(lists[1], part.Cols)
	}
	var wg sync.WaitGroup
	number := func() { rowsTo, rows = numbered(lists[0]) }
	if r.workers > 1 {
		wg.Go(number)
	} else {
		number()
	}
	colsTo, cols = numbered(lists[1])
	wg.Wait()
	return rowsTo, colsTo, rows, cols
}

// numbered numbers the values of some lists in the order in which they come, and says how many there are. Shards often have the values of a
// dimension in the same order, and comparing two lists costs much less than looking the values of one up.
func numbered(lists [][]plan.Value) (to [][]int, n int) {
	in := newInterner()
	for i, values := range lists {
		if i > 0 && slices.Equal(values, lists[0]) {
			to = append(to, to[0])
			continue
		}
		to = append(to, codesOf(in, values))
	}
	return to, len(in.values) - 1
}

// raise takes the maxima of one shard, whose place i is place to[i] of all, into account.
func raise(all, part []uint64, to []int) {
	for i, n := range part {
		all[to[i]] = max(all[to[i]], n)
	}
}

// askSums merges the sums of one test, and asks for those of its second round if it has one.
func (r *runs) askSums(m *merged, agg int, t *global, asked [][]Totals, tests [][]*global) error {
	t.first = t.a.NewSums(nil)
	for _, o := range m.from {
		t.null += o.aggs[agg].Null
		if err := t.a.Summed(t.first.Merge(o.aggs[agg].Sums)); err != nil {
			return err
		}
	}
	if t.second = t.a.NewSums(t.first); t.second == nil {
		return nil
	}
	first, err := t.first.AppendBinary(nil)
	if err != nil {
		return err
	}
	for _, o := range m.from {
		asked[o.shard] = append(asked[o.shard], Totals{Group: o.group, Agg: agg, Sums: first})
		tests[o.shard] = append(tests[o.shard], t)
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
func mergeCrosstabs(parts []*plan.Cells, dims int) (*plan.Cells, error) {
	if len(parts) == 1 {
		return parts[0], nil
	}
	out := plan.NewCells(dims)
	if len(parts) == 0 {
		return out, nil
	}
	dims = len(parts[0].At) // after a reshape there may be fewer
	out = plan.NewCells(dims)
	to := make([][][]int, len(parts))
	cells := 0
	for d := range dims {
		in := newInterner()
		for i, p := range parts {
			to[i] = append(to[i], codesOf(in, p.Values[d]))
		}
		out.Values[d] = in.values[1:]
	}
	cards := make([]uint32, dims)
	for d := range cards {
		cards[d] = uint32(len(out.Values[d]))
	}
	for _, p := range parts {
		out.Null += p.Null
		cells += len(p.Count)
	}
	g, err := newGrid(&room{}, newShape(&room{}, cards, 1, uint64(cells)), 1, nil)
	if err != nil {
		return nil, err
	}
	codes := make([]uint32, dims)
	for i, p := range parts {
		if err := g.reserve(len(p.Count)); err != nil {
			return nil, err
		}
		for k, n := range p.Count {
			for d := range codes {
				codes[d] = uint32(to[i][d][p.At[d][k]])
			}
			g.add(g.entryFor(codes), 0, n)
		}
	}
	if g.overflow {
		return nil, countError(stats.ErrOverflow)
	}
	for e := range g.entries() {
		if g.has(e, 0) {
			g.codesOf(e, codes)
			for d, c := range codes {
				out.At[d] = append(out.At[d], c)
			}
			out.Count = append(out.Count, g.vals[e])
		}
	}
	return out, nil
}

// entryFor is the number of the entry of codes; there is room for it.
func (g *grid) entryFor(codes []uint32) uint32 {
	if g.kind != wideShape {
		return g.entry(g.key(codes))
	}
	cols := make([][]uint32, len(codes))
	for i := range codes {
		cols[i] = codes[i : i+1]
	}
	return g.wideEntry(wideKey(cols, 0, nil))
}
