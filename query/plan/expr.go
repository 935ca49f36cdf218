package plan

import (
	"slices"

	"github.com/quipudb/quipu/query/sql"
	"github.com/quipudb/quipu/server/errcode"
)

// ExprKind is the kind of a bound expression.
type ExprKind uint8

// The kinds. Their numbers are part of the encoding of fragments.
const (
	ExprConst ExprKind = 1
	ExprCol   ExprKind = 2 // column Col of the input row
	ExprCall  ExprKind = 3 // function Fn of Args
	exprAgg   ExprKind = 4 // aggregate Col of the block, column Field of it; only while binding
	exprParam ExprKind = 5 // $Col whose value is not known; only in Describe

	exprSubquery ExprKind = 6  // Sub with Args as its outer values; coordinator only
	exprOuter    ExprKind = 7  // the value that an enclosing query has put in cell; coordinator only
	exprRecord   ExprKind = 8  // several values, Args called names; only while binding
	exprAdjusted ExprKind = 9  // p-value (Field 0) or ln p (Field 1) of correction Col of the block; only while binding
	exprWindow   ExprKind = 10 // window function win of Args; only while binding
	exprGrouping ExprKind = 11 // GROUPING of Args, which are keys of the block; only while binding
)

// Expr is a bound expression: every name is resolved, every type is known.
type Expr struct {
	Kind  ExprKind
	Type  Type
	Value Value // of ExprConst
	Col   int
	Field int // of exprAgg; −1 is the whole record
	Fn    *Function
	Args  []*Expr
	test  *Test     // of exprAgg, if it is a test
	Sub   *Subquery // of exprSubquery
	cell  *Value    // of exprOuter
	names []string  // of exprRecord
	win   *WindowCall
	order []string // declared order of the values, for a column of such a dimension
	at    sql.Pos  // of a column, for messages; of a parameter, which reference to one it is
}

// Constant is the expression v.
func Constant(v Value) *Expr { return &Expr{Kind: ExprConst, Type: v.Type, Value: v} }

// ColumnRef is column i of the input row.
func ColumnRef(i int, t Type) *Expr { return &Expr{Kind: ExprCol, Type: t, Col: i} }

func typedNull(t Type) *Expr { return &Expr{Kind: ExprConst, Type: t} }

func (e *Expr) isConst() bool { return e.Kind == ExprConst }

// Eval computes e over one row.
func (e *Expr) Eval(row []Value) (Value, error) {
	switch e.Kind {
	case ExprConst:
		return e.Value, nil
	case ExprCol:
		return row[e.Col], nil
	case ExprCall:
		if e.Fn.lazy != nil {
			return e.Fn.lazy(e.Args, row)
		}
		var few [4]Value
		args := few[:0]
		for _, a := range e.Args {
			v, err := a.Eval(row)
			if err != nil {
				return Null, err
			}
			if v.IsNull() && !e.Fn.nullable {
				return Null, nil
			}
			args = append(args, v)
		}
		return e.Fn.eval(args)
	case exprSubquery:
		return e.Sub.eval(e.Args, row)
	case exprOuter:
		return *e.cell, nil
	}
	return Null, errcode.New(errcode.Internal, "expression of kind %d was left unbound", e.Kind)
}

// True evaluates a condition: NULL counts as false.
func (e *Expr) True(row []Value) (bool, error) {
	v, err := e.Eval(row)
	return v.Bool(), err
}

// Never says that a condition is a constant and not true.
func (e *Expr) Never() bool { return e.isConst() && !e.Value.Bool() }

// Equal says that a and b are the same expression.
func (e *Expr) Equal(o *Expr) bool {
	if e.Kind != o.Kind || e.Type != o.Type || e.Col != o.Col || e.Field != o.Field || e.Fn != o.Fn || e.Value != o.Value || e.Sub != o.Sub || e.cell != o.cell || e.win != o.win {
		return false
	}
	return slices.EqualFunc(e.Args, o.Args, (*Expr).Equal)
}

// walk visits e and what is below it until fn says no.
func (e *Expr) walk(fn func(*Expr) bool) {
	if !fn(e) {
		return
	}
	for _, a := range e.Args {
		a.walk(fn)
	}
}

// Columns lists the input columns that e reads, ascending.
func (e *Expr) Columns() []int { return e.ColumnsIn(nil) }

// ColumnsIn is Columns in the memory of an empty list, as far as that goes.
func (e *Expr) ColumnsIn(room []int) []int {
	cols := e.appendColumns(room)
	slices.Sort(cols)
	return slices.Compact(cols)
}

func (e *Expr) appendColumns(cols []int) []int {
	if e.Kind == ExprCol {
		cols = append(cols, e.Col)
	}
	for _, a := range e.Args {
		cols = a.appendColumns(cols)
	}
	return cols
}

// rewrite replaces, from the top, each subtree for which fn gives another one.
func (e *Expr) rewrite(fn func(*Expr) *Expr) *Expr {
	if r := fn(e); r != nil {
		return r
	}
	if len(e.Args) == 0 {
		return e
	}
	c := *e
	c.Args = make([]*Expr, len(e.Args))
	for i, a := range e.Args {
		c.Args[i] = a.rewrite(fn)
	}
	return &c
}

// Rebase gives e with input column i replaced by to[i].
func (e *Expr) Rebase(to []int) *Expr {
	return e.rewrite(func(x *Expr) *Expr {
		if x.Kind != ExprCol {
			return nil
		}
		c := *x
		c.Col = to[x.Col]
		return &c
	})
}

// fold evaluates e if it is constant; an error is left for the run, as CASE may never reach it.
func (e *Expr) fold() *Expr {
	if e.Kind != ExprCall || e.Fn.volatile {
		return e
	}
	for _, a := range e.Args {
		if !a.isConst() {
			return e
		}
	}
	v, err := e.Eval(nil)
	if err != nil {
		return e
	}
	return &Expr{Kind: ExprConst, Type: e.Type, Value: v}
}

// local says that e must be computed at the coordinator: it knows the catalog, has a subquery in it, or reads an outer row.
func (e *Expr) local() bool {
	found := false
	e.walk(func(x *Expr) bool {
		found = found || x.Kind == exprSubquery || x.Kind == exprOuter || x.Kind == exprWindow || x.Kind == ExprCall && x.Fn.local || x.Type > Record
		return !found
	})
	return found
}

// outer says that e depends on an outer row.
func (e *Expr) outer() bool {
	found := false
	e.walk(func(x *Expr) bool {
		found = found || x.Kind == exprOuter
		return !found
	})
	return found
}

// conjuncts splits e at its ANDs.
func conjuncts(e *Expr) []*Expr {
	if e == nil {
		return nil
	}
	if e.Kind == ExprCall && e.Fn == fnAnd {
		var out []*Expr
		for _, a := range e.Args {
			out = append(out, conjuncts(a)...)
		}
		return out
	}
	return []*Expr{e}
}
