package plan

import (
	"slices"

	"github.com/quipudb/quipu/query/sql"
	"github.com/quipudb/quipu/server/errcode"
)

// Window gives the rows of Input with one column more for each of Calls, in the order of the last call's window.
type Window struct {
	Input Node
	Calls []*WindowCall
	cols  []Column
}

// WindowCall is one window function: it is computed for each row over the rows of the same Partition, in the order of Order.
type WindowCall struct {
	Name      string
	Type      Type
	Args      []*Expr
	Partition []*Expr
	Order     []*Expr
	Sort      []SortKey // Col is a place in Order
	Aggregate *Aggregate
	Frame     WindowFrame
}

// WindowFrame is the rows around the present one that an aggregate, first_value, last_value and nth_value look at.
type WindowFrame struct {
	Mode       sql.FrameMode
	Start, End WindowBound
	Exclude    sql.Exclusion
}

// WindowBound is one end of a frame.
type WindowBound struct {
	Kind   sql.BoundKind
	Offset *Expr
}

func (n *Window) Columns() []Column { return n.cols }
func (n *Window) inputs() []Node    { return []Node{n.Input} }

func (n *Window) exprs() []*Expr {
	var out []*Expr
	for _, c := range n.Calls {
		out = append(out, c.exprs()...)
	}
	return out
}

// exprs are the expressions of c over a row of the input, in the order in which with takes them.
func (c *WindowCall) exprs() []*Expr {
	out := slices.Concat(c.Args, c.Partition, c.Order)
	if c.Aggregate != nil {
		out = append(out, c.Aggregate.exprs()...)
	}
	return out
}

// with is c over other expressions.
func (c *WindowCall) with(exprs []*Expr) *WindowCall {
	d := *c
	take := func(n int) []*Expr {
		part := exprs[:n:n]
		exprs = exprs[n:]
		return part
	}
	d.Args, d.Partition, d.Order = take(len(c.Args)), take(len(c.Partition)), take(len(c.Order))
	if a := c.Aggregate; a != nil {
		b := *a
		for _, at := range []**Expr{&b.Arg, &b.Filter, &b.Separator} {
			if *at != nil {
				*at = take(1)[0]
			}
		}
		d.Aggregate = &b
	}
	return &d
}

// windowFunctions are those that are no aggregates, with the numbers of arguments that they take.
var windowFunctions = map[string]struct {
	least, most int
	result      Type // Unknown: as the first argument
}{
	"row_number": {0, 0, Int8}, "rank": {0, 0, Int8}, "dense_rank": {0, 0, Int8}, "percent_rank": {0, 0, Float8}, "cume_dist": {0, 0, Float8},
	"ntile": {1, 1, Int8}, "lag": {1, 3, Unknown}, "lead": {1, 3, Unknown}, "first_value": {1, 1, Unknown}, "last_value": {1, 1, Unknown},
	"nth_value": {2, 2, Unknown},
}

// window binds f(…) OVER (…). It stays an expression whose arguments are all that the call reads until the block's rows are known.
func (b *exprBinder) window(c *sql.Call, name string) (*Expr, error) {
	if b.inWindow {
		return nil, b.fail(c.Pos, errcode.WindowError, "window function calls cannot be nested")
	}
	if b.inAgg || b.aggs == nil || b.place() != "SELECT" && b.place() != "ORDER BY" {
		return nil, b.fail(c.Pos, errcode.WindowError, "window functions are not allowed in %s", b.place()).WithHint("put the query into FROM and use the column")
	}
	inner := *b
	inner.inWindow = true
	w := &WindowCall{Name: name}
	if err := inner.windowSpec(w, c.Over); err != nil {
		return nil, err
	}
	var x *Expr
	var err error
	if _, ok := windowFunctions[name]; ok {
		x, err = inner.windowFunction(w, c)
	} else {
		x, err = inner.windowAggregate(w, c)
	}
	return x, err
}

func (w *WindowCall) expr() *Expr {
	return &Expr{Kind: exprWindow, Type: w.Type, win: w, Args: w.exprs()}
}

func (b *exprBinder) windowFunction(w *WindowCall, c *sql.Call) (*Expr, error) {
	f := windowFunctions[w.Name]
	if len(c.Args) < f.least || len(c.Args) > f.most || c.Star || c.Filter != nil || c.Distinct {
		return nil, b.noFunction(c, w.Name, make([]Type, len(c.Args)))
	}
	for i, a := range c.Args {
		x, err := b.value(a.Value)
		if err != nil {
			return nil, err
		}
		switch {
		case i == 0 && f.result == Unknown:
			x = b.settle(x)
		case i == 2:
			x, err = b.coerce(x, w.Args[0].Type, a.Value.At())
		default:
			x, err = b.coerce(x, Int8, a.Value.At())
		}
		if err != nil {
			return nil, err
		}
		w.Args = append(w.Args, x)
	}
	if w.Type = f.result; w.Type == Unknown {
		w.Type = w.Args[0].Type
	}
	x := w.expr()
	if f.result == Unknown {
		x.order = w.Args[0].order
	}
	return x, nil
}

// windowAggregate binds an aggregate with OVER through the aggregate itself.
func (b *exprBinder) windowAggregate(w *WindowCall, c *sql.Call) (*Expr, error) {
	if !slices.Contains(aggregateNames, w.Name) {
		return nil, b.fail(c.Pos, errcode.TypeMismatch, "OVER specified, but %s is not a window function nor an aggregate function", w.Name)
	}
	if c.OrderBy != nil {
		return nil, b.unsupported(c.Pos, "ORDER BY inside an aggregate with OVER")
	}
	plain := *c
	plain.Over = nil
	var aggs []*Aggregate
	inner := *b
	inner.aggs, inner.groups = &aggs, b.aggs
	x, err := inner.aggregate(&plain, w.Name)
	if err != nil {
		return nil, err
	}
	return x.rewrite(func(e *Expr) *Expr {
		if e.Kind != exprAgg {
			return nil
		}
		one := *w
		one.Aggregate, one.Type = aggs[e.Col], e.Type
		return one.expr()
	}), nil
}

// windowSpec resolves OVER: the named window that it begins with, then its own parts.
func (b *exprBinder) windowSpec(w *WindowCall, s *sql.WindowSpec) error {
	frame := s.Frame
	if s.Base != "" {
		base := b.block.named(s.Base)
		if base == nil {
			return b.fail(s.Pos, errcode.UnknownSetting, "window %q does not exist", s.Base)
		}
		if err := b.windowSpec(w, base); err != nil {
			return err
		}
		if len(s.PartitionBy) > 0 || len(s.OrderBy) > 0 && len(w.Order) > 0 {
			return b.fail(s.Pos, errcode.WindowError, "cannot override PARTITION BY or ORDER BY of window %q", s.Base)
		}
	}
	for _, p := range s.PartitionBy {
		x, err := b.value(p)
		if err != nil {
			return err
		}
		w.Partition = append(w.Partition, b.settle(x))
	}
	for _, o := range s.OrderBy {
		x, err := b.value(o.Expr)
		if err != nil {
			return err
		}
		if x = b.settle(x); x.order != nil {
			x = rank(x, x.order)
		}
		first := o.Nulls == sql.NullsFirst || o.Nulls == sql.NullsDefault && o.Desc
		w.Sort = append(w.Sort, SortKey{Col: len(w.Order), Desc: o.Desc, NullsFirst: first})
		w.Order = append(w.Order, x)
	}
	w.Frame = WindowFrame{Mode: sql.FrameRange, Start: WindowBound{Kind: sql.UnboundedPreceding}, End: WindowBound{Kind: sql.CurrentRow}}
	if frame == nil {
		return nil
	}
	return b.windowFrame(w, frame)
}

func (b *exprBinder) windowFrame(w *WindowCall, f *sql.Frame) error {
	w.Frame = WindowFrame{Mode: f.Mode, Exclude: f.Exclude}
	for i, from := range []sql.FrameBound{f.Start, f.End} {
		to := &w.Frame.Start
		if i == 1 {
			to = &w.Frame.End
		}
		to.Kind = from.Kind
		if from.Offset == nil {
			continue
		}
		x, err := (&exprBinder{Binder: b.Binder, scope: &scope{}, clause: "a window frame"}).value(from.Offset)
		if err != nil {
			return err
		}
		want := Int8
		if f.Mode == sql.FrameRange {
			if len(w.Order) != 1 {
				return b.fail(f.Pos, errcode.WindowError, "RANGE with offset PRECEDING/FOLLOWING requires exactly one ORDER BY column")
			}
			switch want = w.Order[0].Type; want {
			case Int8, Float8:
			case Timestamptz:
				want = Interval
			default:
				return b.fail(f.Pos, errcode.NotSupported, "RANGE with offset PRECEDING/FOLLOWING is not supported for column type %s", want)
			}
		}
		if to.Offset, err = b.coerce(x, want, from.Offset.At()); err != nil {
			return err
		}
	}
	if f.Mode == sql.FrameGroups && len(w.Order) == 0 {
		return b.fail(f.Pos, errcode.WindowError, "GROUPS mode requires an ORDER BY clause")
	}
	return nil
}

// named is the window of a WINDOW clause.
func (k *block) named(name string) *sql.WindowSpec {
	for _, w := range k.windows {
		if w.Name == name {
			return w.Spec
		}
	}
	return nil
}

// overWindows puts the window functions of exprs over n and rewrites exprs to read their columns.
func overWindows(n Node, exprs []*Expr) Node {
	w := &Window{Input: n, cols: slices.Clone(n.Columns())}
	var calls []*Expr
	for i, e := range exprs {
		exprs[i] = e.rewrite(func(x *Expr) *Expr {
			if x.Kind != exprWindow {
				return nil
			}
			at := slices.IndexFunc(calls, x.Equal)
			if at < 0 {
				at = len(calls)
				calls = append(calls, x)
				w.Calls = append(w.Calls, x.win.with(x.Args))
				w.cols = append(w.cols, Column{x.win.Name, x.Type})
			}
			return ColumnRef(len(n.Columns())+at, x.Type)
		})
	}
	if len(calls) == 0 {
		return n
	}
	return w
}

// RangeBound is the value that a RANGE bound at offset lies at, seen from v: after it in the order, or before.
func RangeBound(v, offset Value, after, desc bool) (Value, error) {
	name := "-"
	if after != desc {
		name = "+"
	}
	return resolve(name, []Type{v.Type, offset.Type}).eval([]Value{v, offset})
}
