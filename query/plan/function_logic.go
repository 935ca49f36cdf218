package plan

import (
	"slices"
)

// The functions that the binder makes without looking up a name.
var (
	fnAnd = &Function{Name: "and", Args: []Type{Bool}, More: true, Result: Bool, lazy: evalAnd}
	fnOr  = &Function{Name: "or", Args: []Type{Bool}, More: true, Result: Bool, lazy: evalOr}
	fnNot = fn("not", Bool, func(a []Value) (Value, error) { return BoolValue(!a[0].Bool()), nil }, Bool)

	fnEq = compareFunction("=", func(c int) bool { return c == 0 })
	fnNe = compareFunction("<>", func(c int) bool { return c != 0 })
	fnLt = compareFunction("<", func(c int) bool { return c < 0 })
	fnLe = compareFunction("<=", func(c int) bool { return c <= 0 })
	fnGt = compareFunction(">", func(c int) bool { return c > 0 })
	fnGe = compareFunction(">=", func(c int) bool { return c >= 0 })

	fnIsNull   = nullTest("is_null", func(v Value) bool { return v.IsNull() })
	fnIsTrue   = nullTest("is_true", func(v Value) bool { return v.Bool() })
	fnIsFalse  = nullTest("is_false", func(v Value) bool { return v.Type == Bool && !v.Bool() })
	fnDistinct = &Function{Name: "is_distinct", Args: []Type{Unknown, Unknown}, Result: Bool, nullable: true,
		eval: func(a []Value) (Value, error) { return BoolValue(!notDistinct(a[0], a[1])), nil }}

	fnIn       = &Function{Name: "in", Args: []Type{Unknown, Unknown}, More: true, Result: Bool, lazy: evalIn}
	fnCase     = &Function{Name: "case", Args: []Type{Unknown}, More: true, lazy: evalCase}
	fnCoalesce = &Function{Name: "coalesce", Args: []Type{Unknown}, More: true, lazy: evalCoalesce}
	fnNullif   = &Function{Name: "nullif", Args: []Type{Unknown, Unknown}, nullable: true, eval: evalNullif}
	fnGreatest = &Function{Name: "greatest", Args: []Type{Unknown}, More: true, nullable: true, eval: extreme(1)}
	fnLeast    = &Function{Name: "least", Args: []Type{Unknown}, More: true, nullable: true, eval: extreme(-1)}
	// order_rank(x, 'low', 'mid', …) is the place of x in a declared order; a value that is not in it comes after.
	fnOrderRank = &Function{Name: "order_rank", Args: []Type{Text}, More: true, Result: Int8, eval: evalOrderRank}
)

var logicFunctions = []*Function{
	fnAnd, fnOr, fnNot, fnEq, fnNe, fnLt, fnLe, fnGt, fnGe, fnIsNull, fnIsTrue, fnIsFalse, fnDistinct, fnIn, fnCase,
	fnCoalesce, fnNullif, fnGreatest, fnLeast, fnOrderRank,
}

func compareFunction(name string, holds func(int) bool) *Function {
	return fn(name, Bool, func(a []Value) (Value, error) { return BoolValue(holds(Compare(a[0], a[1]))), nil }, Unknown, Unknown)
}

func nullTest(name string, holds func(Value) bool) *Function {
	return &Function{Name: name, Args: []Type{Unknown}, Result: Bool, nullable: true,
		eval: func(a []Value) (Value, error) { return BoolValue(holds(a[0])), nil }}
}

func notDistinct(a, b Value) bool {
	if a.IsNull() || b.IsNull() {
		return a.IsNull() && b.IsNull()
	}
	return Compare(a, b) == 0
}

// evalAnd follows three-valued logic: false wins over NULL.
func evalAnd(args []*Expr, row []Value) (Value, error) {
	result := BoolValue(true)
	for _, a := range args {
		v, err := a.Eval(row)
		if err != nil {
			return Null, err
		}
		if v.IsNull() {
			result = Null
		} else if !v.Bool() {
			return v, nil
		}
	}
	return result, nil
}

func evalOr(args []*Expr, row []Value) (Value, error) {
	result := BoolValue(false)
	for _, a := range args {
		v, err := a.Eval(row)
		if err != nil {
			return Null, err
		}
		if v.IsNull() {
			result = Null
		} else if v.Bool() {
			return v, nil
		}
	}
	return result, nil
}

// evalIn is x = any of the rest; NULL if none is equal and one is NULL.
func evalIn(args []*Expr, row []Value) (Value, error) {
	x, err := args[0].Eval(row)
	if err != nil || x.IsNull() {
		return Null, err
	}
	result := BoolValue(false)
	for _, a := range args[1:] {
		v, err := a.Eval(row)
		if err != nil {
			return Null, err
		}
		if v.IsNull() {
			result = Null
		} else if Compare(x, v) == 0 {
			return BoolValue(true), nil
		}
	}
	return result, nil
}

// evalCase takes condition, value, condition, value, …, else.
func evalCase(args []*Expr, row []Value) (Value, error) {
	for ; len(args) > 1; args = args[2:] {
		hit, err := args[0].True(row)
		if err != nil {
			return Null, err
		}
		if hit {
			return args[1].Eval(row)
		}
	}
	return args[0].Eval(row)
}

func evalCoalesce(args []*Expr, row []Value) (Value, error) {
	for _, a := range args {
		if v, err := a.Eval(row); err != nil || !v.IsNull() {
			return v, err
		}
	}
	return Null, nil
}

func evalNullif(a []Value) (Value, error) {
	if !a[0].IsNull() && !a[1].IsNull() && Compare(a[0], a[1]) == 0 {
		return Null, nil
	}
	return a[0], nil
}

func extreme(sign int) func([]Value) (Value, error) {
	return func(a []Value) (Value, error) {
		best := Null
		for _, v := range a {
			if !v.IsNull() && (best.IsNull() || sign*Compare(v, best) > 0) {
				best = v
			}
		}
		return best, nil
	}
}

func evalOrderRank(a []Value) (Value, error) {
	i := slices.IndexFunc(a[1:], func(v Value) bool { return v.str == a[0].str })
	if i < 0 {
		i = len(a)
	}
	return IntValue(int64(i)), nil
}
