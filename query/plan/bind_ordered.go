package plan

import (
	"math"
	"slices"

	"github.com/quipudb/quipu/query/sql"
	"github.com/quipudb/quipu/server/errcode"
)

var orderedNames = []string{"mode", "percentile_cont", "percentile_disc"}

// ordered binds percentile_cont(f) WITHIN GROUP (ORDER BY x) and its like.
func (b *exprBinder) ordered(c *sql.Call, name string) (*Expr, error) {
	switch {
	case !slices.Contains(orderedNames, name):
		return nil, b.fail(c.Pos, errcode.TypeMismatch, "%s is not an ordered-set aggregate, so it cannot have WITHIN GROUP", name).
			WithHint("those there are: percentile_cont, percentile_disc and mode")
	case c.Distinct || c.Star || c.OrderBy != nil:
		return nil, b.fail(c.Pos, errcode.SyntaxError, "cannot use DISTINCT, * or ORDER BY in the arguments of %s with WITHIN GROUP", name)
	}
	inner, filter, err := b.begin(c)
	if err != nil {
		return nil, err
	}
	want := min(1, slices.Index(orderedNames, name)) // arguments of its own
	if len(c.Args) != want || len(c.WithinGroup) != 1 {
		return nil, b.fail(c.Pos, errcode.UnknownFunction, "%s takes %d arguments and one ORDER BY", name, want).
			WithHint("it is called percentile_cont(0.5) WITHIN GROUP (ORDER BY x), or mode() WITHIN GROUP (ORDER BY x)")
	}
	a := &Aggregate{Kind: AggOrdered, Filter: filter, Name: name}
	several := false
	if want == 1 {
		if a.Fraction, several, err = inner.fraction(c.Args[0].Value, name); err != nil {
			return nil, err
		}
	}
	o := c.WithinGroup[0]
	x, err := inner.value(o.Expr)
	if err != nil {
		return nil, err
	}
	x = b.settle(x)
	if name == "percentile_cont" {
		if x.Type != Int8 && x.Type != Float8 {
			return nil, b.fail(o.Expr.At(), errcode.UnknownFunction, "function percentile_cont(float8, %s) does not exist", x.Type).
				WithHint("it needs a number; percentile_disc takes any values")
		}
		x = b.float(x)
	}
	a.Type, a.Arg = x.Type, x
	if several {
		if x.Type.IsArray() {
			return nil, b.unsupported(o.Expr.At(), name+" of several fractions over arrays").WithHint("write one call for each")
		}
		a.Type = ArrayOf(x.Type)
	}
	key := x
	if x.order != nil {
		key = rank(x, x.order)
	}
	a.Order, a.Sort = []*Expr{key}, []SortKey{{Desc: o.Desc}}
	result := b.add(a)
	if !several {
		result.order = x.order
	}
	return result, nil
}

// fraction binds the share of the rows that a percentile lies above, which is the same for all rows, or an array of them.
func (b *exprBinder) fraction(e sql.Expr, name string) (v Value, several bool, err error) {
	x, err := b.value(e)
	if err != nil {
		return Null, false, err
	}
	want := Float8
	if several = x.Type.IsArray(); several {
		want = ArrayOf(Float8)
	}
	if x.Type == ArrayOf(Int8) {
		x = call(castTo[want], want, x)
	} else if x, err = b.coerce(x, want, e.At()); err != nil {
		return Null, false, err
	}
	switch {
	case x.open(): // a plan without its value is not kept: the parameter stands nowhere in it
		return Null, several, nil
	case len(x.Columns()) > 0 || hasSubquery(x) || x.outer():
		return Null, false, b.fail(e.At(), errcode.InvalidOption, "the fraction of %s must be the same for all rows", name).WithHint("write a number from 0 to 1")
	}
	if v, err = x.Eval(nil); err != nil || v.IsNull() {
		return Null, several, b.locate(err, e.At())
	}
	list := []Value{v}
	if several {
		list = v.Elems()
	}
	for _, f := range list {
		if !f.IsNull() && !(f.Float() >= 0 && f.Float() <= 1) {
			return Null, false, b.fail(e.At(), errcode.NumericOutOfRange, "percentile value %s is not between 0 and 1", f.String())
		}
	}
	return v, several, nil
}

// FinishOrdered gives the result of an ordered-set aggregate from its values, which are not NULL and in order.
func (a *Aggregate) FinishOrdered(values []Value) Value {
	switch {
	case len(values) == 0:
		return Null
	case a.Name == "mode":
		return mostFrequent(values)
	case !a.Fraction.Type.IsArray():
		return a.percentile(a.Fraction, values)
	}
	list := a.Fraction.Elems()
	for i, f := range list {
		list[i] = a.percentile(f, values)
	}
	return ArrayValue(a.Type.Elem(), list)
}

func (a *Aggregate) percentile(f Value, values []Value) Value {
	n := len(values)
	switch {
	case f.IsNull():
		return Null
	case a.Name == "percentile_disc":
		return values[max(1, int(math.Ceil(f.Float()*float64(n))))-1]
	}
	at := f.Float() * float64(n-1)
	low, high := values[int(math.Floor(at))].Float(), values[int(math.Ceil(at))].Float()
	if low == high { // also where both are infinite
		return FloatValue(low)
	}
	return FloatValue(low + (at-math.Floor(at))*(high-low))
}

// mostFrequent is the first of those that are there most often.
func mostFrequent(values []Value) Value {
	n := len(values)
	best, most := 0, 0
	for from := 0; from < n; {
		to := from + 1
		for to < n && Compare(values[to], values[from]) == 0 {
			to++
		}
		if to-from > most {
			best, most = from, to-from
		}
		from = to
	}
	return values[best]
}
