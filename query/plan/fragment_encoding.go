package plan

import (
	"slices"

	"github.com/quipudb/quipu/storage/schema"
)

// fragmentVersion is the first byte of a fragment.
const fragmentVersion = 1

// exprSizeMax bounds the nodes of one expression, counted as often as they are shared: what evaluates it visits as many.
const exprSizeMax = 1 << 16

// Encode gives f in the form of docs/format/queries.md: its expressions as typed trees, never as text. What serves EXPLAIN stays here.
func (f *Fragment) Encode() []byte {
	var e Encoder
	e.Byte(fragmentVersion)
	e.Uvarint(uint64(f.Table))
	e.Uvarint(f.Version)
	e.Text(f.Name)
	e.Uvarint(uint64(f.Dims))
	x := f.exprs()
	x.encode(&e)
	for _, list := range [][]*Expr{f.Filters, f.Keys} {
		e.Uvarint(uint64(len(list)))
		for _, expr := range list {
			e.Uvarint(x.at[expr])
		}
	}
	e.Uvarint(uint64(len(f.Aggs)))
	for _, a := range f.Aggs {
		x.encodeAggregate(&e, a)
	}
	f.encodeShape(&e)
	return e.Bytes()
}

func (f *Fragment) encodeShape(e *Encoder) {
	e.Byte(byte(f.Mode))
	if f.Top == nil {
		e.Byte(0)
	} else {
		e.Byte(1)
		e.Uvarint(uint64(f.Top.Agg))
		e.Uvarint(uint64(f.Top.K))
	}
	if f.Cells == nil {
		e.Byte(0)
	} else {
		e.Byte(1)
		e.Uvarint(uint64(len(f.Cells)))
		for _, c := range f.Cells {
			e.Uvarint(uint64(c))
		}
	}
	e.Varint(f.Limit)
}

// exprTable lists the distinct nodes of expressions, each behind its arguments. Positions count from 1.
type exprTable struct {
	list []*Expr
	at   map[*Expr]uint64
}

func (f *Fragment) exprs() *exprTable {
	x := &exprTable{at: map[*Expr]uint64{nil: 0}}
	for _, e := range slices.Concat(f.Filters, f.Keys) {
		x.add(e)
	}
	for _, a := range f.Aggs {
		for _, e := range a.exprs() {
			x.add(e)
		}
	}
	return x
}

func (x *exprTable) add(e *Expr) {
	if _, ok := x.at[e]; ok {
		return
	}
	for _, a := range e.Args {
		x.add(a)
	}
	x.list = append(x.list, e)
	x.at[e] = uint64(len(x.list))
}

func (x *exprTable) encode(e *Encoder) {
	e.Uvarint(uint64(len(x.list)))
	for _, expr := range x.list {
		e.Byte(byte(expr.Kind))
		e.Byte(byte(expr.Type))
		switch expr.Kind {
		case ExprConst:
			e.Value(expr.Value)
		case ExprCol:
			e.Uvarint(uint64(expr.Col))
		case ExprCall:
			e.Text(expr.Fn.Signature())
			e.Uvarint(uint64(len(expr.Args)))
			for _, a := range expr.Args {
				e.Uvarint(x.at[a])
			}
		}
	}
}

func (x *exprTable) encodeAggregate(e *Encoder, a *Aggregate) {
	e.Byte(byte(a.Kind))
	e.Byte(byte(a.Type))
	for _, expr := range []*Expr{a.Arg, a.Filter, a.Weight} {
		e.Uvarint(x.at[expr]) // 0 for nil
	}
	if a.Kind != AggTest {
		return
	}
	e.Text(a.Test.Name)
	e.Byte(byte(a.Mode))
	e.Uvarint(uint64(len(a.Cats)))
	for _, c := range a.Cats {
		e.Uvarint(x.at[c])
	}
	e.Values(a.Options)
}

// DecodeFragment reads what Encode wrote. What it gives is well formed: functions have their arguments, and keys, categories and arguments
// read at most one column, which is not the count.
func DecodeFragment(b []byte) (*Fragment, error) {
	d := NewDecoder(b)
	if v := d.Byte(); v != fragmentVersion {
		d.Fail("a fragment of version %d, this release reads %d", v, fragmentVersion)
	}
	f := &Fragment{Table: schema.TableID(d.Uvarint()), Version: d.Uvarint(), Name: d.Text(), Dims: d.Number(schema.DimensionsMax)}
	x := &exprReader{d: d, width: f.Width()}
	x.read()
	f.Filters, f.Keys = x.refs(), x.refs()
	x.single(f.Keys...)
	for n := d.Count(); n > 0 && !d.Failed(); n-- {
		f.Aggs = append(f.Aggs, x.aggregate())
	}
	f.decodeShape(d)
	if err := d.Close(); err != nil {
		return nil, err
	}
	return f, nil
}

func (f *Fragment) decodeShape(d *Decoder) {
	f.Mode = d.mode()
	if d.Byte() != 0 {
		f.Top = &Top{Agg: d.Number(uint64(len(f.Aggs))), K: int64(d.Number(1 << 62))}
		if !d.Failed() && (f.Top.Agg >= len(f.Aggs) || f.Aggs[f.Top.Agg].Kind != AggTest) {
			d.Fail("the first groups by aggregate %d, which is no test", f.Top.Agg)
		}
	}
	if d.Byte() != 0 {
		f.Cells = make([]int, d.Count())
		for i := range f.Cells {
			f.Cells[i] = d.Number(uint64(f.Count()))
		}
	}
	f.Limit = d.Varint()
}

// exprReader reads the table of expressions.
type exprReader struct {
	d     *Decoder
	width int
	list  []*Expr
	sizes []int // nodes of each, shared ones counted as often as they are used
}

func (x *exprReader) read() {
	for n := x.d.Count(); n > 0 && !x.d.Failed(); n-- {
		e, size := x.expr()
		x.list, x.sizes = append(x.list, e), append(x.sizes, size)
	}
}

func (x *exprReader) expr() (e *Expr, size int) {
	d := x.d
	e, size = &Expr{Kind: ExprKind(d.Byte()), Type: d.typ()}, 1
	switch e.Kind {
	case ExprConst:
		e.Value = d.Value()
	case ExprCol:
		e.Col = d.Number(uint64(x.width - 1))
	case ExprCall:
		name := d.Text()
		if e.Fn = functionsBySignature[name]; e.Fn == nil {
			d.Fail("unknown function %q", name)
			return e, size
		}
		for range d.Count() {
			k := d.Number(uint64(len(x.list)))
			if k == 0 {
				d.Fail("an argument of %s is missing", name)
				return e, size
			}
			e.Args = append(e.Args, x.list[k-1])
			size += x.sizes[k-1]
		}
		if !e.Fn.takes(len(e.Args)) {
			d.Fail("%s with %d arguments", name, len(e.Args))
		}
	default:
		d.Fail("an expression of kind %d", e.Kind)
	}
	if size > exprSizeMax {
		d.Fail("an expression of more than %d nodes", exprSizeMax)
	}
	return e, size
}

// takes says whether f can be called with n arguments. A lazy function looks at its first one unasked.
func (f *Function) takes(n int) bool {
	if f.More {
		return n >= max(1, len(f.Args)-1)
	}
	return n == len(f.Args)
}

// ref reads one expression; it may be missing.
func (x *exprReader) ref() *Expr {
	if k := x.d.Number(uint64(len(x.list))); k > 0 {
		return x.list[k-1]
	}
	return nil
}

func (x *exprReader) refs() []*Expr {
	var out []*Expr
	for range x.d.Count() {
		e := x.ref()
		if e == nil {
			x.d.Fail("an expression is missing")
			return nil
		}
		out = append(out, e)
	}
	return out
}

func (d *Decoder) mode() Mode {
	m := Mode(d.Byte())
	if m > ModeSums {
		d.Fail("unknown mode %d", m)
		return ModeAuto
	}
	return m
}

func (x *exprReader) aggregate() *Aggregate {
	a := &Aggregate{Kind: AggKind(x.d.Byte()), Type: x.d.typ(), Arg: x.ref(), Filter: x.ref(), Weight: x.ref()}
	switch a.Kind {
	case AggCells:
	case AggSum, AggDistinct, AggMin, AggMax:
		if a.Arg == nil {
			x.d.Fail("an aggregate of kind %d without an argument", a.Kind)
		} else if a.Kind != AggSum {
			x.single(a.Arg)
		}
	case AggTest:
		x.test(a)
	default:
		x.d.Fail("an aggregate of kind %d", a.Kind)
	}
	return a
}

// test reads what is a test's own. It must be one that the mode can finish.
func (x *exprReader) test(a *Aggregate) {
	name := x.d.Text()
	t := TestByName(name)
	if t == nil {
		x.d.Fail("unknown test %q", name)
		return
	}
	a.Test, a.Mode, a.Cats = t, x.d.mode(), x.refs()
	a.Options = x.d.Values(len(t.Options))
	x.single(a.Cats...)
	switch {
	case x.d.Failed():
	case len(a.Cats) < len(t.Cats) || len(a.Cats) > CatsMax || len(a.Cats) > len(t.Cats) && !t.More:
		x.d.Fail("%s of %d categories", name, len(a.Cats))
	case !t.allows(a.Options):
		x.d.Fail("options of %s that it does not have", name)
	case a.Mode == ModeAuto, a.Mode == ModeMargins && a.Kinds() == 0, a.Mode == ModeSums && t.sums == nil:
		x.d.Fail("%s in mode %s", name, a.Mode)
	}
}

// allows says whether the values are ones of the options.
func (t *Test) allows(values []Value) bool {
	for i, o := range t.Options {
		v := values[i]
		switch {
		case v.IsNull():
		case v.Type != o.Type, o.Words != nil && !slices.Contains(o.Words, v.Text()), o.check != nil && o.check(v) != nil:
			return false
		}
	}
	return true
}

// single refuses expressions that the shards cannot compute once for each value of a dictionary.
func (x *exprReader) single(list ...*Expr) {
	for _, e := range list {
		if cols := e.Columns(); len(cols) > 1 || len(cols) == 1 && cols[0] == x.width-1 {
			x.d.Fail("an expression over columns %v", cols)
		}
	}
}
