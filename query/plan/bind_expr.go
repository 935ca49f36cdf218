package plan

import (
	"math"
	"strconv"
	"strings"

	"github.com/quipudb/quipu/query/sql"
	"github.com/quipudb/quipu/server/errcode"
)

// exprBinder binds the expressions of one clause.
type exprBinder struct {
	*Binder
	scope  *scope
	clause string        // for messages: WHERE, GROUP BY, …
	within string        // the clause around CASE/WHEN
	aggs   *[]*Aggregate // nil: aggregates are not allowed here
	inAgg  bool
	// inWindow is set inside a window function; groups are then the aggregates of the block, which its arguments may be.
	inWindow bool
	groups   *[]*Aggregate
	block    *block // nil outside a SELECT
}

// place is the clause of the query in which b binds.
func (b *exprBinder) place() string {
	if b.clause == "CASE/WHEN" {
		return b.within
	}
	return b.clause
}

func (b *exprBinder) bind(e sql.Expr) (*Expr, error) {
	x, err := b.bindNode(e)
	if err != nil {
		return nil, err
	}
	return x, nil
}

// value binds e and refuses the record of a test.
func (b *exprBinder) value(e sql.Expr) (*Expr, error) {
	x, err := b.bind(e)
	if err == nil && x.Type == Record {
		return nil, b.fail(e.At(), errcode.TypeMismatch, "a test gives several columns and is no value by itself").
			WithHint("name the column you want, as in (chi2_test(a, b)).p_value, or take to_json(chi2_test(a, b))")
	}
	return x, err
}

func (b *exprBinder) values(list []sql.Expr) ([]*Expr, error) {
	out := make([]*Expr, len(list))
	for i, e := range list {
		x, err := b.value(e)
		if err != nil {
			return nil, err
		}
		out[i] = x
	}
	return out, nil
}

func (b *exprBinder) bindNode(e sql.Expr) (*Expr, error) {
	if err := b.work(e.At(), 1); err != nil {
		return nil, err
	}
	switch e := e.(type) {
	case *sql.Literal:
		return b.literal(e)
	case *sql.Param:
		return b.param(e)
	case *sql.Column:
		return b.find(b.scope, e)
	case *sql.Unary:
		return b.unary(e)
	case *sql.Binary:
		return b.binary(e)
	case *sql.Logic:
		return b.logic(e)
	case *sql.Not:
		x, err := b.conditionOf(e.X, "NOT")
		if err != nil {
			return nil, err
		}
		return call(fnNot, Bool, x), nil
	case *sql.Is:
		return b.is(e)
	case *sql.IsDistinct:
		l, r, err := b.pair(e.Pos, "IS DISTINCT FROM", e.L, e.R)
		if err != nil {
			return nil, err
		}
		return negate(call(fnDistinct, Bool, l, r), e.Not), nil
	case *sql.Between:
		return b.between(e)
	case *sql.Like:
		return b.like(e)
	case *sql.In:
		return b.in(e)
	case *sql.Quantified:
		return b.quantified(e)
	case *sql.Case:
		return b.bindCase(e)
	case *sql.Cast:
		return b.cast(e)
	case *sql.Call:
		return b.call(e)
	case *sql.Field:
		return b.field(e)
	case *sql.Collate:
		return b.value(e.X)
	case *sql.Default:
		return nil, b.fail(e.Pos, errcode.SyntaxError, "DEFAULT is not allowed in this context")
	case *sql.Star:
		return nil, b.fail(e.Pos, errcode.SyntaxError, "* is not allowed in this context")
	case *sql.Exists:
		return b.exists(e)
	case *sql.Subquery:
		return b.subquery(e)
	case *sql.Array:
		return b.array(e)
	case *sql.Subscript:
		return b.subscript(e)
	}
	return nil, b.unsupported(e.At(), "this expression")
}

// untyped is a literal that takes the type of its surroundings.
func untyped(s string) *Expr { return &Expr{Kind: ExprConst, Type: Unknown, Value: TextValue(s)} }

func (b *exprBinder) literal(l *sql.Literal) (*Expr, error) {
	switch l.Kind {
	case sql.NullLiteral:
		return typedNull(Unknown), nil
	case sql.BoolLiteral:
		return Constant(BoolValue(l.Text == "true")), nil
	case sql.IntLiteral:
		if n, err := strconv.ParseInt(l.Text, 10, 64); err == nil {
			return Constant(IntValue(n)), nil
		}
	case sql.StringLiteral:
		return untyped(l.Text), nil
	}
	f, err := strconv.ParseFloat(l.Text, 64)
	if err != nil || math.IsInf(f, 0) {
		return nil, b.fail(l.Pos, errcode.NumericOutOfRange, "number %s is out of range of float8", clipText(l.Text))
	}
	return Constant(FloatValue(f)), nil
}

func clipText(s string) string {
	if len(s) > 40 {
		return s[:40] + "…"
	}
	return s
}

func (b *exprBinder) param(p *sql.Param) (*Expr, error) {
	if b.describing {
		for len(b.params) < p.N {
			b.params = append(b.params, Unknown)
		}
		b.refs++
		return &Expr{Kind: exprParam, Type: b.params[p.N-1], Col: p.N - 1, at: sql.Pos(b.refs)}, nil
	}
	if p.N > len(b.Args) {
		return nil, b.fail(p.Pos, errcode.UnknownParameter, "there is no parameter $%d", p.N).WithDetail("Number of values given: %d.", len(b.Args))
	}
	v := b.Args[p.N-1]
	if p.N <= len(b.ArgTypes) && b.ArgTypes[p.N-1] != Unknown {
		t := b.ArgTypes[p.N-1]
		v, err := Convert(v, t)
		if err != nil {
			return nil, b.locate(err, p.Pos)
		}
		return &Expr{Kind: ExprConst, Type: t, Value: v}, nil
	}
	if v.IsNull() {
		return typedNull(Unknown), nil
	}
	if v.Type == Text {
		return untyped(v.Text()), nil
	}
	return Constant(v), nil
}

// coerce gives e as type t where that is implicit: from a literal or a parameter, or from int8 to float8.
func (b *Binder) coerce(e *Expr, t Type, at sql.Pos) (*Expr, error) {
	switch {
	case e.Type == t || t == Unknown:
		return e, nil
	case e.Kind == exprParam && e.Type == Unknown:
		b.params[e.Col] = t
		c := *e
		c.Type = t
		return &c, nil
	case e.Type == Unknown && e.isConst():
		if e.Value.IsNull() {
			return typedNull(t), nil
		}
		if t == anyArray {
			t = ArrayOf(Text)
		}
		v, err := b.castFunction(t).eval([]Value{e.Value})
		if err != nil {
			return nil, b.locate(err, at)
		}
		return &Expr{Kind: ExprConst, Type: t, Value: v}, nil
	case t == anyArray && e.Type.IsArray():
		return e, nil
	case e.Type.IsReg() && t == Int8:
		return call(castTo[Int8], Int8, e), nil
	case e.Type == Int8 && t == Float8:
		return call(castTo[Float8], Float8, e), nil
	}
	return nil, b.fail(at, errcode.TypeMismatch, "expected %s, found %s", t, e.Type).
		WithHint("an explicit cast may help: (…)::%s", t)
}

// settle gives what is still untyped the type text.
func (b *Binder) settle(e *Expr) *Expr {
	if e.Type != Unknown {
		return e
	}
	x, err := b.coerce(e, Text, 0)
	if err != nil {
		return e // not a literal: cannot happen
	}
	return x
}

// unify brings expressions to one type.
func (b *Binder) unify(what string, list []*Expr, at []sql.Pos) (Type, error) {
	t := Unknown
	for i, e := range list {
		switch {
		case e.Type == Unknown || e.Type == t:
		case t == Unknown, t == Int8 && e.Type == Float8:
			t = e.Type
		case t == Float8 && e.Type == Int8:
		case (t.IsReg() || t == Int8) && (e.Type.IsReg() || e.Type == Int8):
			t = Int8
		default:
			return 0, b.fail(at[i], errcode.TypeMismatch, "%s types %s and %s cannot be matched", what, t, e.Type)
		}
	}
	if t == Unknown {
		t = Text
	}
	for i := range list {
		x, err := b.coerce(list[i], t, at[i])
		if err != nil {
			return 0, err
		}
		list[i] = x
	}
	return t, nil
}

// condition binds e as a bool.
func (b *exprBinder) condition(e sql.Expr) (*Expr, error) { return b.conditionOf(e, b.clause) }

// conditionOf binds a condition that is the argument of what.
func (b *exprBinder) conditionOf(e sql.Expr, what string) (*Expr, error) {
	x, err := b.value(e)
	if err != nil {
		return nil, err
	}
	if x.Type != Bool && x.Type != Unknown {
		return nil, b.fail(e.At(), errcode.TypeMismatch, "argument of %s must be type bool, not type %s", what, x.Type)
	}
	return b.coerce(x, Bool, e.At())
}

func (b *exprBinder) logic(e *sql.Logic) (*Expr, error) {
	what := "OR"
	if e.Op == sql.And {
		what = "AND"
	}
	args := make([]*Expr, len(e.Args))
	for i, a := range e.Args {
		x, err := b.conditionOf(a, what)
		if err != nil {
			return nil, err
		}
		args[i] = x
	}
	if e.Op == sql.And {
		return call(fnAnd, Bool, args...), nil
	}
	return call(fnOr, Bool, args...), nil
}

func negate(e *Expr, yes bool) *Expr {
	if yes {
		return call(fnNot, Bool, e)
	}
	return e
}

func (b *exprBinder) unary(e *sql.Unary) (*Expr, error) {
	x, err := b.value(e.X)
	if err != nil {
		return nil, err
	}
	if e.Op == "+" && (x.Type == Int8 || x.Type == Float8) {
		return x, nil
	}
	if name := map[string]string{"~": "~", "@": "abs"}[e.Op]; name != "" {
		if f := resolve(name, []Type{x.Type}); f != nil && x.Type != Unknown {
			return call(f, f.Result, x), nil
		}
	}
	if e.Op == "-" {
		if l, ok := e.X.(*sql.Literal); ok && l.Text == "9223372036854775808" { // −2⁶³ has no positive twin
			return Constant(IntValue(math.MinInt64)), nil
		}
		if x.Type == Unknown {
			if x, err = b.coerce(x, Float8, e.Pos); err != nil {
				return nil, err
			}
		}
		if f := resolve("neg", []Type{x.Type}); f != nil {
			return call(f, f.Result, x), nil
		}
	}
	return nil, b.fail(e.Pos, errcode.UnknownFunction, "operator does not exist: %s %s", e.Op, x.Type)
}

var comparisons = map[string]*Function{"=": fnEq, "<>": fnNe, "<": fnLt, "<=": fnLe, ">": fnGt, ">=": fnGe}

func (b *exprBinder) binary(e *sql.Binary) (*Expr, error) {
	if f := comparisons[e.Op]; f != nil {
		if l, ok := e.L.(*sql.Row); ok {
			return b.rowEqual(e, f, l)
		}
		l, r, err := b.pair(e.Pos, e.Op, e.L, e.R)
		if err != nil {
			return nil, err
		}
		if f != fnEq && f != fnNe {
			l, r = b.ranked(l, r)
		}
		return call(f, Bool, l, r), nil
	}
	l, err := b.value(e.L)
	if err != nil {
		return nil, err
	}
	r, err := b.value(e.R)
	if err != nil {
		return nil, err
	}
	return b.operator(e.Pos, e.Op, l, r)
}

func (b *exprBinder) operator(at sql.Pos, op string, l, r *Expr) (*Expr, error) {
	if l.Type.IsArray() || r.Type.IsArray() {
		return b.arrayOperator(at, op, l, r)
	}
	if op == "||" {
		if l.Type != Text && r.Type != Text && l.Type != Unknown && r.Type != Unknown {
			return nil, b.fail(at, errcode.UnknownFunction, "operator does not exist: %s || %s", l.Type, r.Type).
				WithHint("cast one side to text")
		}
		return call(fnConcatOp, Text, b.settle(l), b.settle(r)), nil
	}
	// A literal beside a number, time or interval is taken for what fits best.
	types := []Type{l.Type, r.Type}
	f := resolve(op, types)
	if f == nil {
		err := b.fail(at, errcode.UnknownFunction, "operator does not exist: %s %s %s", l.Type, op, r.Type)
		if (l.Type == Text || r.Type == Text) && strings.Contains("+-*/%^", op) {
			return nil, err.WithHint("text is no number; cast it: (…)::int8 or (…)::float8")
		}
		return nil, err
	}
	args, err := b.convert(f, []*Expr{l, r}, []sql.Pos{at, at})
	if err != nil {
		return nil, err
	}
	return call(f, f.Result, args...), nil
}

// convert brings arguments to the types that f takes.
func (b *Binder) convert(f *Function, args []*Expr, at []sql.Pos) ([]*Expr, error) {
	for i := range args {
		want := f.Args[min(i, len(f.Args)-1)]
		var err error
		if want == Unknown {
			args[i] = b.settle(args[i])
		} else if args[i], err = b.coerce(args[i], want, at[i]); err != nil {
			return nil, err
		}
	}
	return args, nil
}

// pair binds two sides of a comparison to one type.
func (b *exprBinder) pair(at sql.Pos, op string, le, re sql.Expr) (*Expr, *Expr, error) {
	l, err := b.value(le)
	if err != nil {
		return nil, nil, err
	}
	r, err := b.value(re)
	if err != nil {
		return nil, nil, err
	}
	return b.match(at, op, l, r, le.At(), re.At())
}

// match brings two sides to one type.
func (b *Binder) match(at sql.Pos, op string, l, r *Expr, lat, rat sql.Pos) (*Expr, *Expr, error) {
	numbers := func(t Type) bool { return t == Int8 || t == Float8 || t.IsReg() }
	switch {
	case numbers(l.Type) && numbers(r.Type):
		return l, r, nil // Compare knows both
	case l.Type == Unknown && r.Type == Unknown:
		return b.settle(l), b.settle(r), nil
	case l.Type == Unknown:
		x, err := b.coerce(l, r.Type, lat)
		return x, r, err
	case r.Type == Unknown:
		x, err := b.coerce(r, l.Type, rat)
		return l, x, err
	case l.Type == r.Type:
		return l, r, nil
	}
	err := b.fail(at, errcode.UnknownFunction, "operator does not exist: %s %s %s", l.Type, op, r.Type)
	return nil, nil, err.WithHint("cast one side: (…)::%s", l.Type)
}

// ranked compares the places in the declared order, where one side is a column that has one.
func (b *Binder) ranked(list ...*Expr) (*Expr, *Expr) {
	out := rankAll(list)
	return out[0], out[1]
}

func rankAll(list []*Expr) []*Expr {
	var order []string
	for _, e := range list {
		if e.order != nil {
			order = e.order
			break
		}
	}
	if order == nil {
		return list
	}
	out := make([]*Expr, len(list))
	for i, e := range list {
		out[i] = rank(e, order)
	}
	return out
}

// rank is the place of e in the order.
func rank(e *Expr, order []string) *Expr {
	args := []*Expr{e}
	for _, v := range order {
		args = append(args, Constant(TextValue(v)))
	}
	return call(fnOrderRank, Int8, args...)
}

func (b *exprBinder) rowEqual(e *sql.Binary, f *Function, l *sql.Row) (*Expr, error) {
	r, ok := e.R.(*sql.Row)
	if ok && len(r.Elems) != len(l.Elems) {
		return nil, b.fail(e.Pos, errcode.SyntaxError, "unequal number of entries in row expressions")
	}
	if !ok {
		return nil, b.unsupported(e.Pos, "this comparison of rows")
	}
	if f != fnEq && f != fnNe {
		return b.rowOrder(e, f, l, r)
	}
	var parts []*Expr
	for i := range l.Elems {
		x, y, err := b.pair(e.Pos, e.Op, l.Elems[i], r.Elems[i])
		if err != nil {
			return nil, err
		}
		parts = append(parts, call(fnEq, Bool, x, y))
	}
	return negate(call(fnAnd, Bool, parts...), f == fnNe), nil
}

// rowOrder compares rows by their first elements that differ: (a, b) < (c, d) is a < c OR a = c AND b < d.
func (b *exprBinder) rowOrder(e *sql.Binary, f *Function, l, r *sql.Row) (*Expr, error) {
	strict := map[*Function]*Function{fnLt: fnLt, fnLe: fnLt, fnGt: fnGt, fnGe: fnGt}[f]
	var out *Expr
	for i := len(l.Elems) - 1; i >= 0; i-- {
		x, y, err := b.pair(e.Pos, e.Op, l.Elems[i], r.Elems[i])
		if err != nil {
			return nil, err
		}
		p, q := b.ranked(x, y)
		if out == nil {
			out = call(f, Bool, p, q)
			continue
		}
		out = call(fnOr, Bool, call(strict, Bool, p, q), call(fnAnd, Bool, call(fnEq, Bool, x, y), out))
	}
	return out, nil
}

func (b *exprBinder) is(e *sql.Is) (*Expr, error) {
	f := fnIsNull
	var x *Expr
	var err error
	switch e.Kind {
	case sql.IsTrue, sql.IsFalse, sql.IsUnknown:
		if e.Kind == sql.IsTrue {
			f = fnIsTrue
		} else if e.Kind == sql.IsFalse {
			f = fnIsFalse
		}
		x, err = b.condition(e.X)
	default:
		x, err = b.value(e.X)
		if err == nil {
			x = b.settle(x)
		}
	}
	if err != nil {
		return nil, err
	}
	return negate(call(f, Bool, x), e.Not), nil
}

func (b *exprBinder) between(e *sql.Between) (*Expr, error) {
	x, err := b.value(e.X)
	if err != nil {
		return nil, err
	}
	side := func(s sql.Expr, f *Function) (*Expr, *Expr, error) {
		y, err := b.value(s)
		if err != nil {
			return nil, nil, err
		}
		l, r, err := b.match(e.Pos, f.Name, x, y, e.X.At(), s.At())
		if err != nil {
			return nil, nil, err
		}
		l, r = b.ranked(l, r)
		return l, r, nil
	}
	l1, low, err := side(e.Low, fnGe)
	if err != nil {
		return nil, err
	}
	l2, high, err := side(e.High, fnLe)
	if err != nil {
		return nil, err
	}
	in := call(fnAnd, Bool, call(fnGe, Bool, l1, low), call(fnLe, Bool, l2, high))
	if e.Symmetric {
		in = call(fnOr, Bool, in, call(fnAnd, Bool, call(fnGe, Bool, l1, high), call(fnLe, Bool, l2, low)))
	}
	return negate(in, e.Not), nil
}

func (b *exprBinder) like(e *sql.Like) (*Expr, error) {
	f := fnLike
	switch e.Kind {
	case sql.ILike:
		f = fnILike
	case sql.SimilarTo:
		f = fnSimilar
	}
	args := []*Expr{nil, nil, Constant(TextValue(`\`))}
	for i, part := range []sql.Expr{e.X, e.Pattern, e.Escape} {
		if part == nil {
			continue
		}
		x, err := b.value(part)
		if err != nil {
			return nil, err
		}
		if args[i], err = b.coerce(x, Text, part.At()); err != nil {
			return nil, err
		}
	}
	return negate(call(f, Bool, args...), e.Not), nil
}

func (b *exprBinder) in(e *sql.In) (*Expr, error) {
	if e.Query != nil {
		x, err := b.anyOf(e.Pos, "=", e.X, e.Query, false)
		if err != nil {
			return nil, err
		}
		return negate(x, e.Not), nil
	}
	if row, ok := e.X.(*sql.Row); ok {
		return b.rowIn(e, row)
	}
	return b.inList(e.Pos, e.X, e.List, e.Not)
}

// rowIn is (a, b) IN ((c, d), …).
func (b *exprBinder) rowIn(e *sql.In, row *sql.Row) (*Expr, error) {
	var hits []*Expr
	for _, item := range e.List {
		x, err := b.rowEqual(&sql.Binary{Pos: e.Pos, Op: "=", L: row, R: item}, fnEq, row)
		if err != nil {
			return nil, err
		}
		hits = append(hits, x)
	}
	return negate(call(fnOr, Bool, hits...), e.Not), nil
}

func (b *exprBinder) inList(at sql.Pos, xe sql.Expr, list []sql.Expr, not bool) (*Expr, error) {
	x, err := b.value(xe)
	if err != nil {
		return nil, err
	}
	args := []*Expr{x}
	for _, item := range list {
		y, err := b.value(item)
		if err != nil {
			return nil, err
		}
		l, r, err := b.match(at, "=", x, y, xe.At(), item.At())
		if err != nil {
			return nil, err
		}
		args[0] = l
		args = append(args, r)
	}
	if len(args) == 1 {
		return Constant(BoolValue(not)), nil
	}
	return negate(call(fnIn, Bool, args...), not), nil
}

func (b *exprBinder) bindCase(e *sql.Case) (*Expr, error) {
	var args, results []*Expr
	var at []sql.Pos
	for _, w := range e.Whens {
		var cond *Expr
		var err error
		if e.Operand != nil {
			var l, r *Expr
			if l, r, err = b.pair(e.Pos, "=", e.Operand, w.If); err == nil {
				cond = call(fnEq, Bool, l, r)
			}
		} else {
			c := *b
			c.clause, c.within = "CASE/WHEN", b.place()
			cond, err = c.condition(w.If)
		}
		if err != nil {
			return nil, err
		}
		then, err := b.value(w.Then)
		if err != nil {
			return nil, err
		}
		args = append(args, cond, nil)
		results, at = append(results, then), append(at, w.Then.At())
	}
	otherwise := typedNull(Unknown)
	if e.Else != nil {
		x, err := b.value(e.Else)
		if err != nil {
			return nil, err
		}
		otherwise = x
		at = append(at, e.Else.At())
	} else {
		at = append(at, e.Pos)
	}
	results = append(results, otherwise)
	t, err := b.unify("CASE", results, at)
	if err != nil {
		return nil, err
	}
	for i := range e.Whens {
		args[2*i+1] = results[i]
	}
	return call(fnCase, t, append(args, results[len(results)-1])...), nil
}

func (b *exprBinder) cast(e *sql.Cast) (*Expr, error) {
	x, err := b.plainCast(e)
	if err != nil || len(e.Type.Mods) == 0 {
		return x, err
	}
	return b.modified(x, e.Type)
}

// modified obeys the modifiers of a type: a text is cut to its length, a number rounded to its digits.
func (b *exprBinder) modified(x *Expr, t sql.TypeName) (*Expr, error) {
	n := int64(t.Mods[0])
	switch name := t.Name.Name; {
	case x.Type == Text && (name == "varchar" || name == "bpchar"):
		if n < 1 {
			return nil, b.fail(t.Pos, errcode.InvalidOption, "length for type %s must be at least 1", name)
		}
		return call(resolve("left", []Type{Text, Int8}), Text, x, Constant(IntValue(n))), nil
	case x.Type == Float8 && name == "numeric":
		digits := int64(0)
		if len(t.Mods) > 1 {
			digits = int64(t.Mods[1])
		}
		if n < 1 || n > 1000 || digits < -1000 || digits > 1000 {
			return nil, b.fail(t.Pos, errcode.InvalidOption, "NUMERIC takes a precision of 1 to 1000 and a scale of -1000 to 1000")
		}
		return call(fnNumeric, Float8, x, Constant(IntValue(n)), Constant(IntValue(digits))), nil
	}
	return x, nil
}

// typeOf is the type that a name means.
func (b *Binder) typeOf(n sql.TypeName) (Type, error) {
	t, ok := typeByName(n.Name.Name)
	if n.Dims == 1 && !t.IsArray() {
		t = ArrayOf(t)
	}
	if !ok || n.Dims > 1 {
		return Unknown, b.fail(n.Pos, errcode.UnknownSetting, "type %q is not known here", n.Name.Name).
			WithHint("the types are bool, int8, float8, text, timestamptz, interval and json")
	}
	return t, nil
}

func (b *exprBinder) plainCast(e *sql.Cast) (*Expr, error) {
	t, err := b.typeOf(e.Type)
	if err != nil {
		return nil, err
	}
	x, err := b.value(e.X)
	if err != nil {
		return nil, err
	}
	f, narrows := narrowing[e.Type.Name.Name] // changes also what is of the type already
	narrows = narrows && !t.IsArray()
	if x.Kind == exprParam && x.Type == Unknown {
		if t.IsReg() { // known as a name only
			if x, err = b.coerce(x, Text, e.Pos); err != nil {
				return nil, err
			}
			return call(b.castFunction(t), t, x), nil
		}
		if x, err = b.coerce(x, t, e.Pos); err != nil || !narrows {
			return x, err
		}
		return call(f, t, x), nil
	}
	if !castable(x.Type, t) {
		return nil, b.fail(e.Pos, errcode.TypeMismatch, "cannot cast type %s to %s", x.Type, t)
	}
	if !narrows {
		f = b.castFunction(t)
	}
	if x.isConst() && !x.Value.IsNull() { // an error of a constant is an error of the statement
		if _, err := f.eval([]Value{x.Value}); err != nil {
			return nil, b.locate(err, e.X.At())
		}
	}
	if x.Type == t && !narrows {
		return x, nil
	}
	return call(f, t, x), nil
}
