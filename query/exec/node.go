package exec

import (
	"context"
	"slices"

	"github.com/quipudb/quipu/query/plan"
	"github.com/quipudb/quipu/query/stats"
	"github.com/quipudb/quipu/server/errcode"
)

// Emit takes one row. It may keep the values, not the slice.
type Emit func(row []plan.Value) error

// Run computes a plan and gives its rows to emit, in order.
func (e *Env) Run(ctx context.Context, q *plan.Query, emit Emit) error {
	if r := q.Runner; r != nil {
		r.Stop, r.Grow = errEnough, e.Options.Memory.Grow
		r.Run = func(n plan.Node, emit func([]plan.Value) error) error {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := e.node(ctx, n, emit); err != errEnough {
				return err
			}
			return nil
		}
	}
	err := e.node(ctx, q.Root, emit)
	if err == errEnough {
		return nil
	}
	return err
}

// node gives the rows of one step, and counts them if that is wanted.
func (e *Env) node(ctx context.Context, n plan.Node, emit Emit) error {
	if e.Actual == nil {
		return e.step(ctx, n, emit)
	}
	a := e.Actual[n]
	if a == nil {
		a = &Actual{}
		e.Actual[n] = a
	}
	a.Loops++
	return e.step(ctx, n, func(row []plan.Value) error {
		a.Rows++
		return emit(row)
	})
}

func (e *Env) step(ctx context.Context, n plan.Node, emit Emit) error {
	switch n := n.(type) {
	case *plan.Scan:
		return e.scan(ctx, n, emit)
	case *plan.Grouped:
		return e.grouped(ctx, n, emit)
	case *plan.GroupingSets:
		return e.groupingSets(ctx, n, emit)
	case *plan.Crosstab:
		return e.crosstab(ctx, n, emit)
	case *plan.Screen:
		return e.screen(ctx, n, emit)
	case *plan.Adjust:
		return e.adjust(ctx, n, emit)
	case *plan.Rows:
		return e.rows(n, emit)
	case *plan.Window:
		return e.window(ctx, n, emit)
	case *plan.Kept:
		return e.keptRows(ctx, n, emit)
	case *plan.Functions:
		list, err := n.Rows(nil)
		return emitAll(list, err, emit)
	case *plan.System:
		list, err := n.Read()
		return emitAll(list, err, emit)
	case *plan.Filter:
		if n.Cond.Never() {
			return nil
		}
		return e.node(ctx, n.Input, func(row []plan.Value) error {
			ok, err := n.Cond.True(row)
			if err != nil || !ok {
				return err
			}
			return emit(row)
		})
	case *plan.Project:
		return e.project(ctx, n, emit)
	case *plan.Aggregation:
		return e.aggregate(ctx, n, emit)
	case *plan.Sort:
		return e.sort(ctx, n, emit)
	case *plan.Limit:
		return e.limit(ctx, n, emit)
	case *plan.Distinct:
		return e.distinct(ctx, n, emit)
	case *plan.Cut:
		return e.node(ctx, n.Input, func(row []plan.Value) error { return emit(row[:n.Width]) })
	case *plan.Join:
		return e.join(ctx, n, emit)
	case *plan.Recursive:
		return e.recursive(ctx, n, emit)
	case *plan.WorkScan:
		return emitAll(e.rounds[n.Table], nil, emit)
	case *plan.SetOp:
		return e.setOp(ctx, n, emit)
	}
	return errcode.New(errcode.NotSupported, "this kind of query is not supported yet (%T)", n)
}

func emitAll(rows [][]plan.Value, err error, emit Emit) error {
	for i := 0; err == nil && i < len(rows); i++ {
		err = emit(rows[i])
	}
	return err
}

func (e *Env) scan(ctx context.Context, n *plan.Scan, emit Emit) error {
	r, err := e.open(n.Fragment)
	if err != nil {
		return err
	}
	defer r.close()
	for _, run := range r.list {
		if err := run.Cells(ctx, emit); err != nil {
			return err
		}
	}
	return nil
}

func (e *Env) grouped(ctx context.Context, n *plan.Grouped, emit Emit) error {
	r, err := e.open(n.Fragment)
	if err != nil {
		return err
	}
	defer r.close()
	groups, err := r.groups(ctx)
	if err != nil {
		return err
	}
	row := r.one.row[:0]
	for _, g := range groups {
		if row, err = r.columns(row[:0], g); err != nil {
			return err
		}
		r.warn(g)
		if err := emit(row); err != nil {
			return err
		}
	}
	return nil
}

// crosstabMax bounds the combinations of categories that a crosstab shows.
const crosstabMax = 1 << 20

func (e *Env) crosstab(ctx context.Context, n *plan.Crosstab, emit Emit) error {
	r, err := e.open(n.Fragment)
	if err != nil {
		return err
	}
	defer r.close()
	groups, err := r.groups(ctx)
	if err != nil || len(groups[0].from) == 0 {
		return err
	}
	c, err := mergeCrosstabs(groups[0].crosstabs(0), 2)
	if err != nil {
		return err
	}
	if c.Null > 0 {
		e.warn("observations with a NULL category were left out")
	}
	if len(c.Values[0])*len(c.Values[1]) > crosstabMax {
		return errcode.New(errcode.TooLarge, "the crosstab has %d x %d cells, more than %d are not shown", len(c.Values[0]), len(c.Values[1]), crosstabMax).
			WithHint("narrow it with filter => '…'")
	}
	rows, cols := ranked(c.Values[0], n.RowOrder), ranked(c.Values[1], n.ColOrder)
	counts := make([]int64, len(rows)*len(cols))
	for k, count := range c.Count {
		counts[rows[c.At[0][k]]*len(cols)+cols[c.At[1][k]]] += count
	}
	t, err := stats.NewTable(len(rows), len(cols), counts)
	if err != nil {
		return countError(err)
	}
	frame := t.Frame()
	cells, ln := make([]stats.Cell, len(counts)), make([]float64, len(counts))
	for k, o := range counts {
		cells[k] = frame.Residual(k/len(cols), k%len(cols), uint64(o))
		ln[k] = cells[k].LnP
	}
	adjusted := stats.AdjustLn(ln, n.Correction)
	names := [2][]plan.Value{placed(c.Values[0], rows), placed(c.Values[1], cols)}
	for k, cell := range cells {
		row := []plan.Value{names[0][k/len(cols)], names[1][k%len(cols)], plan.IntValue(counts[k]), plan.FloatValue(cell.Expected),
			plan.FloatValue(cell.Pearson), measure(cell.Adjusted), plan.FloatValue(cell.Deviance), plan.Null, plan.Null, plan.Null}
		if cell.Adjusted.Defined {
			row[7], row[8], row[9] = plan.FloatValue(cell.P), plan.FloatValue(cell.LnP), plan.FloatValue(stats.PofLn(adjusted[k]))
		}
		if err := emit(row); err != nil {
			return err
		}
	}
	return nil
}

func measure(m stats.Measure) plan.Value {
	if !m.Defined {
		return plan.Null
	}
	return plan.FloatValue(m.Value)
}

// ranked gives each value its place: by the declared order, else by value.
func ranked(values []plan.Value, order []string) []int {
	at := make([]int, len(values))
	for i := range at {
		at[i] = i
	}
	slices.SortFunc(at, func(a, b int) int {
		if order != nil {
			return slices.Index(order, values[a].Text()) - slices.Index(order, values[b].Text())
		}
		return plan.Compare(values[a], values[b])
	})
	rank := make([]int, len(values))
	for place, i := range at {
		rank[i] = place
	}
	return rank
}

func placed(values []plan.Value, rank []int) []plan.Value {
	out := make([]plan.Value, len(values))
	for i, v := range values {
		out[rank[i]] = v
	}
	return out
}

func (e *Env) rows(n *plan.Rows, emit Emit) error {
	for _, exprs := range n.Rows {
		row, err := evalAll(exprs, nil)
		if err != nil {
			return err
		}
		if err := emit(row); err != nil {
			return err
		}
	}
	return nil
}

func evalAll(exprs []*plan.Expr, row []plan.Value) ([]plan.Value, error) {
	out := make([]plan.Value, len(exprs))
	for i, x := range exprs {
		var err error
		if out[i], err = x.Eval(row); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (e *Env) project(ctx context.Context, n *plan.Project, emit Emit) error {
	out := e.row(len(n.Exprs))
	return e.node(ctx, n.Input, func(row []plan.Value) error {
		for i, x := range n.Exprs {
			var err error
			if out[i], err = x.Eval(row); err != nil {
				return err
			}
		}
		return emit(out)
	})
}

func (e *Env) sort(ctx context.Context, n *plan.Sort, emit Emit) error {
	if n.Keep == 0 {
		return nil
	}
	var rows [][]plan.Value
	less := func(a, b []plan.Value) int { return compareRows(a, b, n.Keys) }
	err := e.node(ctx, n.Input, func(row []plan.Value) error {
		if err := e.Options.Memory.Grow(sizeOf(row)); err != nil {
			return err
		}
		rows = append(rows, slices.Clone(row))
		if n.Keep > 0 && int64(len(rows)) >= 2*n.Keep+1024 {
			slices.SortStableFunc(rows, less)
			for _, r := range rows[n.Keep:] {
				e.Options.Memory.Shrink(sizeOf(r))
			}
			clear(rows[n.Keep:])
			rows = rows[:n.Keep]
		}
		return nil
	})
	if err != nil {
		return err
	}
	slices.SortStableFunc(rows, less)
	if n.Keep > 0 && int64(len(rows)) > n.Keep {
		rows = rows[:n.Keep]
	}
	for _, row := range rows {
		if err := emit(row); err != nil {
			return err
		}
	}
	return nil
}

func sizeOf(row []plan.Value) int64 {
	n := int64(24)
	for _, v := range row {
		n += v.Size()
	}
	return n
}

func compareRows(a, b []plan.Value, keys []plan.SortKey) int {
	for _, k := range keys {
		x, y := a[k.Col], b[k.Col]
		var c int
		switch {
		case x.IsNull() && y.IsNull():
			continue
		case x.IsNull() || y.IsNull():
			c = 1
			if x.IsNull() == k.NullsFirst {
				c = -1
			}
			return c
		default:
			c = plan.Compare(x, y)
		}
		if k.Desc {
			c = -c
		}
		if c != 0 {
			return c
		}
	}
	return 0
}

func (e *Env) limit(ctx context.Context, n *plan.Limit, emit Emit) error {
	count, offset, err := n.Bounds()
	if err != nil || count == 0 {
		return err
	}
	seen, given := int64(0), int64(0)
	var last []plan.Value
	err = e.node(ctx, n.Input, func(row []plan.Value) error {
		if seen++; seen <= offset {
			return nil
		}
		if count >= 0 && given >= count {
			if len(n.Ties) == 0 || compareRows(row, last, n.Ties) != 0 {
				return errEnough
			}
		}
		given++
		if len(n.Ties) > 0 {
			last = append(last[:0], row...)
		}
		if err := emit(row); err != nil {
			return err
		}
		if given == count && len(n.Ties) == 0 {
			return errEnough
		}
		return nil
	})
	if err == errEnough {
		return nil
	}
	return err
}

func (e *Env) distinct(ctx context.Context, n *plan.Distinct, emit Emit) error {
	seen := map[string]struct{}{}
	on := make([]plan.Value, len(n.On))
	return e.node(ctx, n.Input, func(row []plan.Value) error {
		for i, c := range n.On {
			on[i] = row[c]
		}
		k := rowKey(on)
		if _, ok := seen[k]; ok {
			return nil
		}
		if err := e.Options.Memory.Grow(int64(len(k)) + 64); err != nil {
			return err
		}
		seen[k] = struct{}{}
		return emit(row)
	})
}

func (e *Env) setOp(ctx context.Context, n *plan.SetOp, emit Emit) error {
	if n.Kind == plan.UnionAll {
		if err := e.node(ctx, n.L, emit); err != nil {
			return err
		}
		return e.node(ctx, n.R, emit)
	}
	right := map[string]int{}
	if n.Kind != plan.UnionDistinct {
		err := e.node(ctx, n.R, func(row []plan.Value) error {
			k := rowKey(row)
			right[k]++
			return e.Options.Memory.Grow(int64(len(k)) + 64)
		})
		if err != nil {
			return err
		}
	}
	seen := map[string]bool{}
	left := func(row []plan.Value) error {
		k := rowKey(row)
		have := right[k]
		switch n.Kind {
		case plan.IntersectAll:
			if have == 0 {
				return nil
			}
			right[k]--
			return emit(row)
		case plan.ExceptAll:
			if have > 0 {
				right[k]--
				return nil
			}
			return emit(row)
		case plan.IntersectDistinct:
			if have == 0 || seen[k] {
				return nil
			}
		case plan.ExceptDistinct:
			if have > 0 || seen[k] {
				return nil
			}
		default:
			if seen[k] {
				return nil
			}
		}
		seen[k] = true
		if err := e.Options.Memory.Grow(int64(len(k)) + 64); err != nil {
			return err
		}
		return emit(row)
	}
	if err := e.node(ctx, n.L, left); err != nil || n.Kind != plan.UnionDistinct {
		return err
	}
	return e.node(ctx, n.R, left)
}
