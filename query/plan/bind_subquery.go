package plan

import (
	"github.com/quipudb/quipu/query/sql"
	"github.com/quipudb/quipu/server/errcode"
)

// nested binds a query inside an expression. The values of outer rows that it reads are the arguments behind args.
func (b *exprBinder) nested(q *sql.Query, kind SubqueryKind, args ...*Expr) (*Expr, error) {
	s := &Subquery{Kind: kind, run: b.runner, Lefts: len(args)}
	around := &outerScope{expr: b, sub: s, next: b.outer}
	b.outer = around
	b.nesting++
	root, err := b.query(q)
	b.nesting--
	b.outer = around.next
	if err != nil {
		return nil, err
	}
	if len(s.cells) > 0 {
		root = keepInputs(root)
	}
	s.Root = root
	b.subqueries = append(b.subqueries, s)
	s.number = len(b.subqueries)
	return &Expr{Kind: exprSubquery, Type: Bool, Sub: s, Args: append(args, around.args...), at: q.Pos}, nil
}

// oneColumn refuses a query of several columns.
func (b *Binder) oneColumn(x *Expr, at sql.Pos) (Column, error) {
	cols := x.Sub.Root.Columns()
	if len(cols) != 1 {
		return Column{}, b.fail(at, errcode.SyntaxError, "subquery must return only one column, not %d", len(cols))
	}
	return cols[0], nil
}

func (b *exprBinder) exists(e *sql.Exists) (*Expr, error) { return b.nested(e.Query, SubExists) }

func (b *exprBinder) subquery(e *sql.Subquery) (*Expr, error) {
	kind := SubScalar
	if e.Array {
		kind = SubArray
	}
	x, err := b.nested(e.Query, kind)
	if err != nil {
		return nil, err
	}
	c, err := b.oneColumn(x, e.Pos)
	if err != nil {
		return nil, err
	}
	x.Type = c.Type
	if e.Array {
		if c.Type.IsArray() {
			return nil, b.unsupported(e.Pos, "an array of arrays")
		}
		x.Type, x.Sub.elem = ArrayOf(c.Type), c.Type
	}
	return x, nil
}

// anyOf binds x op ANY (query), or ALL; for IN the left side may be a row.
func (b *exprBinder) anyOf(at sql.Pos, op string, left sql.Expr, q *sql.Query, all bool) (*Expr, error) {
	list := []sql.Expr{left}
	if row, ok := left.(*sql.Row); ok {
		list = row.Elems
	}
	lefts, err := b.values(list)
	if err != nil {
		return nil, err
	}
	x, err := b.nested(q, SubAny, lefts...)
	if err != nil {
		return nil, err
	}
	cols := x.Sub.Root.Columns()
	if len(cols) != len(lefts) {
		return nil, b.fail(at, errcode.SyntaxError, "the subquery has %d columns, the left side has %d", len(cols), len(lefts))
	}
	var test *Expr
	for i, l := range lefts {
		// An untyped constant takes the type of the column; the others are read from the pair of rows.
		if l.Type == Unknown {
			if l, err = b.coerce(l, cols[i].Type, list[i].At()); err != nil {
				return nil, err
			}
			x.Args[i] = l
		}
		side := ColumnRef(i, l.Type)
		y := ColumnRef(len(lefts)+i, cols[i].Type)
		t, err := b.compare(at, op, side, y, list[i].At())
		if err != nil {
			return nil, err
		}
		test = and(test, t)
	}
	x.Sub.Test, x.Sub.All = test, all
	return x, nil
}

// compare is l op r, where op is an operator or one of the words of Quantified.
func (b *exprBinder) compare(at sql.Pos, op string, l, r *Expr, lat sql.Pos) (*Expr, error) {
	if f := comparisons[op]; f != nil {
		l, r, err := b.match(at, op, l, r, lat, at)
		if err != nil {
			return nil, err
		}
		return call(f, Bool, l, r), nil
	}
	like := map[string]*Function{"like": fnLike, "not like": fnLike, "ilike": fnILike, "not ilike": fnILike}[op]
	if like == nil {
		x, err := b.operator(at, op, l, r)
		if err == nil && x.Type != Bool {
			err = b.fail(at, errcode.TypeMismatch, "op ANY/ALL requires operator to yield boolean, %s yields %s", op, x.Type)
		}
		return x, err
	}
	l, err := b.coerce(l, Text, lat)
	if err != nil {
		return nil, err
	}
	if r, err = b.coerce(r, Text, at); err != nil {
		return nil, err
	}
	return negate(call(like, Bool, l, r, Constant(TextValue(`\`))), op[:3] == "not"), nil
}

// quantified is x op ANY (…) or ALL (…) over a query or an array.
func (b *exprBinder) quantified(e *sql.Quantified) (*Expr, error) {
	if e.Query != nil {
		return b.anyOf(e.Pos, e.Op, e.X, e.Query, e.All)
	}
	member := e.Op == "=" && !e.All || e.Op == "<>" && e.All
	if a, ok := e.Array.(*sql.Array); ok && member {
		return b.inList(e.Pos, e.X, a.Elems, e.All)
	}
	x, err := b.value(e.X)
	if err != nil {
		return nil, err
	}
	array, err := b.value(e.Array)
	if err != nil {
		return nil, err
	}
	if array.Type == Unknown {
		elem := x.Type
		if elem == Unknown {
			elem = Text
		}
		if array, err = b.coerce(array, ArrayOf(elem), e.Array.At()); err != nil {
			return nil, err
		}
	}
	if !array.Type.IsArray() {
		return nil, b.fail(e.Pos, errcode.TypeMismatch, "op ANY/ALL (array) requires an array on the right side, not %s", array.Type)
	}
	if array.isConst() && !array.Value.IsNull() && member && x.Type != Unknown {
		return b.amongConstants(e, x, array)
	}
	if x.Type == Unknown {
		if x, err = b.coerce(x, array.Type.Elem(), e.X.At()); err != nil {
			return nil, err
		}
	}
	test, err := b.compare(e.Pos, e.Op, ColumnRef(0, x.Type), ColumnRef(1, array.Type.Elem()), e.X.At())
	if err != nil {
		return nil, err
	}
	name := e.Op + map[bool]string{false: " any", true: " all"}[e.All]
	key := name + " " + x.Type.String() + " " + array.Type.String()
	f := b.local[key] // one for each, so that equal expressions are found to be equal
	if f == nil {
		f = &Function{Name: name, Args: []Type{Unknown, anyArray}, Result: Bool, local: true, nullable: true,
			eval: func(a []Value) (Value, error) {
				if a[1].IsNull() {
					return Null, nil
				}
				return overArray(test, a[0], a[1].Elems(), e.All) // of no elements it is known, also for NULL
			}}
		b.local[key] = f
	}
	return call(f, Bool, x, array), nil
}

// amongConstants is x = ANY ('{…}') as IN, which shards know.
func (b *exprBinder) amongConstants(e *sql.Quantified, x, array *Expr) (*Expr, error) {
	args := []*Expr{x}
	for _, v := range array.Value.Elems() {
		y := &Expr{Kind: ExprConst, Type: array.Type.Elem(), Value: v}
		l, r, err := b.match(e.Pos, "=", x, y, e.X.At(), e.Array.At())
		if err != nil {
			return nil, err
		}
		args[0] = l
		args = append(args, r)
	}
	if len(args) == 1 {
		return Constant(BoolValue(e.All)), nil
	}
	return negate(call(fnIn, Bool, args...), e.All), nil
}

func overArray(test *Expr, x Value, list []Value, all bool) (Value, error) {
	result := BoolValue(all)
	for _, v := range list {
		r, err := test.Eval([]Value{x, v})
		switch {
		case err != nil:
			return Null, err
		case r.IsNull():
			result = Null
		case r.Bool() != all:
			return r, nil
		}
	}
	return result, nil
}

// array binds ARRAY[…].
func (b *exprBinder) array(e *sql.Array) (*Expr, error) {
	list, err := b.values(e.Elems)
	if err != nil {
		return nil, err
	}
	at := make([]sql.Pos, len(list))
	for i, x := range e.Elems {
		at[i] = x.At()
	}
	t, err := b.unify("ARRAY", list, at)
	if err != nil {
		return nil, err
	}
	f := arrayMakers[t]
	if f == nil {
		return nil, b.unsupported(e.Pos, "an array of "+t.String())
	}
	return call(f, f.Result, list...), nil
}

// subscript binds x[i] and x[low:high].
func (b *exprBinder) subscript(e *sql.Subscript) (*Expr, error) {
	x, err := b.value(e.X)
	if err != nil {
		return nil, err
	}
	if !x.Type.IsArray() {
		return nil, b.fail(e.Pos, errcode.TypeMismatch, "cannot subscript type %s because it is not an array", x.Type)
	}
	bound := func(s sql.Expr, open int64) (*Expr, error) {
		if s == nil {
			return Constant(IntValue(open)), nil
		}
		i, err := b.value(s)
		if err != nil {
			return nil, err
		}
		return b.coerce(i, Int8, s.At())
	}
	low, err := bound(e.Low, 1)
	if err != nil {
		return nil, err
	}
	if !e.Slice {
		return call(fnSubscript, x.Type.Elem(), x, low), nil
	}
	high, err := bound(e.High, ArrayMax)
	if err != nil {
		return nil, err
	}
	return call(fnSlice, x.Type, x, low, high), nil
}

// arrayOperator is an operator one of whose sides is an array.
func (b *exprBinder) arrayOperator(at sql.Pos, op string, l, r *Expr) (*Expr, error) {
	var err error
	if l.Type == Unknown {
		l, err = b.coerce(l, r.Type, at)
	} else if r.Type == Unknown {
		r, err = b.coerce(r, l.Type, at)
	}
	if err != nil {
		return nil, err
	}
	name := op
	if op == "||" {
		name = "array_cat"
		switch {
		case !l.Type.IsArray():
			l = call(arrayMakers[l.Type], ArrayOf(l.Type), l)
		case !r.Type.IsArray():
			r = call(arrayMakers[r.Type], ArrayOf(r.Type), r)
		}
	}
	f := resolve(name, []Type{l.Type, r.Type})
	if f == nil || l.Type != r.Type {
		return nil, b.fail(at, errcode.UnknownFunction, "operator does not exist: %s %s %s", l.Type, op, r.Type)
	}
	t := f.Result
	if t == Unknown {
		t = l.Type
	}
	return call(f, t, l, r), nil
}
