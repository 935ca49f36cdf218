package plan

import (
	"slices"

	"github.com/quipudb/quipu/server/errcode"
)

// Runner runs the queries inside expressions. Whoever runs a plan fills it in before the first row.
type Runner struct {
	// Run gives the rows of n to emit until it says to stop.
	Run func(n Node, emit func(row []Value) error) error
	// Grow counts memory that is kept until the end of the query.
	Grow func(bytes int64) error
	// Stop is what emit returns to end a run early; Run then gives nil.
	Stop error
}

// SubqueryKind is what a subquery gives to the expression around it.
type SubqueryKind uint8

// The kinds.
const (
	SubScalar  SubqueryKind = iota // its one value, NULL for no row
	SubExists                      // whether it has a row
	SubArray                       // its rows as an array
	SubAny                         // whether Test holds for one of its rows; All: for all of them
	SubLateral                     // its rows: the right side of a join
)

// Subquery is a query inside an expression, or beside the rows that it reads. A correlated one has outer values: they are put in
// place before each run. Rows that do not depend on them are kept after the first run.
type Subquery struct {
	Kind SubqueryKind
	Root Node
	// Test compares, for SubAny: it reads the Lefts first values of Args, then the columns of Root.
	Test  *Expr
	Lefts int
	All   bool

	cells  []*Value // of the outer values, which are the last Args
	elem   Type     // of SubArray
	number int      // in EXPLAIN
	run    *Runner

	known map[string]Value // results by outer values
	rows  [][]Value        // of SubAny without outer values
	kept  bool
}

// knownMax bounds the results of a correlated subquery that are kept.
const knownMax = 10_000

// Set puts the outer values of a row in place.
func (s *Subquery) Set(args []*Expr, row []Value) error {
	for i, e := range args[s.Lefts:] {
		v, err := e.Eval(row)
		if err != nil {
			return err
		}
		*s.cells[i] = v
	}
	return nil
}

func (s *Subquery) eval(args []*Expr, row []Value) (Value, error) {
	if s.run.Run == nil {
		return Null, errcode.New(errcode.NotSupported, "a subquery cannot stand here")
	}
	if err := s.Set(args, row); err != nil {
		return Null, err
	}
	if s.Kind == SubAny {
		return s.any(args, row)
	}
	key := ""
	for _, c := range s.cells {
		v := c.Key()
		key += ArrayValue(v.Type, []Value{v}).str
	}
	if v, ok := s.known[key]; ok {
		return v, nil
	}
	v, err := s.result()
	if err != nil {
		return Null, err
	}
	if len(s.known) < knownMax {
		if err := s.run.Grow(int64(len(key)) + v.Size() + 64); err != nil {
			return Null, err
		}
		if s.known == nil {
			s.known = map[string]Value{}
		}
		s.known[key] = v
	}
	return v, nil
}

func (s *Subquery) result() (Value, error) {
	n := 0
	var first Value
	var list []Value
	err := s.run.Run(s.Root, func(row []Value) error {
		n++
		switch {
		case s.Kind == SubExists:
			return s.run.Stop
		case s.Kind == SubArray:
			if n > ArrayMax {
				return errArraySize()
			}
			list = append(list, row[0])
		case n > 1:
			return errcode.New(errcode.ManyRows, "more than one row returned by a subquery used as an expression").
				WithHint("add LIMIT 1, or compare with IN or ANY")
		default:
			first = row[0]
		}
		return nil
	})
	switch {
	case err != nil:
		return Null, err
	case s.Kind == SubExists:
		return BoolValue(n > 0), nil
	case s.Kind == SubArray:
		return ArrayValue(s.elem, list), nil
	}
	return first, nil
}

// any follows three-valued logic: one row that fits decides, else a NULL leaves it open.
func (s *Subquery) any(args []*Expr, row []Value) (Value, error) {
	width := len(s.Root.Columns())
	pair := make([]Value, s.Lefts+width)
	for i, e := range args[:s.Lefts] {
		v, err := e.Eval(row)
		if err != nil {
			return Null, err
		}
		pair[i] = v
	}
	result := BoolValue(s.All)
	see := func(r []Value) error {
		copy(pair[s.Lefts:], r)
		v, err := s.Test.Eval(pair)
		switch {
		case err != nil:
			return err
		case v.IsNull():
			result = Null
		case v.Bool() != s.All:
			result = v
			return s.run.Stop
		}
		return nil
	}
	if len(s.cells) > 0 {
		err := s.run.Run(s.Root, see)
		return result, err
	}
	if err := s.keep(); err != nil {
		return Null, err
	}
	if v, ok := s.lookUp(pair); ok {
		return v, nil
	}
	for _, r := range s.rows {
		if err := see(r); err == s.run.Stop {
			break
		} else if err != nil {
			return Null, err
		}
	}
	return result, nil
}

// keep reads the rows of a subquery that is the same for every outer row.
func (s *Subquery) keep() error {
	if s.kept {
		return nil
	}
	s.known = map[string]Value{}
	err := s.run.Run(s.Root, func(row []Value) error {
		size := int64(48)
		for _, v := range row {
			size += v.Size()
		}
		key, null := s.key(row)
		if null {
			s.known[""] = Null
		}
		s.known[key] = BoolValue(true)
		s.rows = append(s.rows, append([]Value(nil), row...))
		return s.run.Grow(2*size + int64(len(key)))
	})
	s.kept = err == nil
	return err
}

// key names a row by its values.
func (s *Subquery) key(row []Value) (key string, null bool) {
	list := make([]Value, len(row))
	for i, v := range row {
		null = null || v.IsNull()
		list[i] = v.Key()
	}
	return "=" + ArrayValue(Text, list).str, null
}

// lookUp answers = ANY (query) of one column from the set of its values, where both sides have one type.
func (s *Subquery) lookUp(pair []Value) (Value, bool) {
	t := s.Test
	if s.All || s.Lefts != 1 || t.Kind != ExprCall || t.Fn != fnEq || t.Args[0].Kind != ExprCol || t.Args[1].Kind != ExprCol || t.Args[0].Type != t.Args[1].Type {
		return Null, false
	}
	if len(s.rows) == 0 {
		return BoolValue(false), true
	}
	if pair[0].IsNull() {
		return Null, true
	}
	key, _ := s.key(pair[:1])
	if _, ok := s.known[key]; ok {
		return BoolValue(true), true
	}
	if _, ok := s.known[""]; ok {
		return Null, true
	}
	return BoolValue(false), true
}

// Kept gives the rows of Input, which depend on no outer row: they are read once. With Keys, only those whose Keys equal Values,
// which are outer values.
type Kept struct {
	Input        Node
	Keys, Values []*Expr
}

func (n *Kept) Columns() []Column { return n.Input.Columns() }
func (n *Kept) inputs() []Node    { return []Node{n.Input} }

// Functions gives the rows of functions in FROM, side by side; those that end early go on with NULLs.
type Functions struct {
	Calls      []TableCall
	Ordinality bool
	cols       []Column
}

// TableCall is the call of a function that gives rows.
type TableCall struct {
	Fn    *TableFunction // nil: the one row of Args
	Args  []*Expr
	width int
}

func (n *Functions) Columns() []Column { return n.cols }
func (n *Functions) inputs() []Node    { return nil }

// System gives the rows of a relation that is computed.
type System struct {
	Name   string
	Read   func() ([][]Value, error)
	schema string
	oid    int64
	cols   []Column
}

func (n *System) Columns() []Column { return n.cols }
func (n *System) inputs() []Node    { return nil }

// exprsOf are the expressions that n itself evaluates, in the order in which rewriting gives them back.
func exprsOf(n Node) []*Expr {
	switch n := n.(type) {
	case *Rows:
		var out []*Expr
		for _, r := range n.Rows {
			out = append(out, r...)
		}
		return out
	case *Filter:
		return []*Expr{n.Cond}
	case *Limit:
		var out []*Expr
		for _, e := range []*Expr{n.CountOf, n.OffsetOf} {
			if e != nil {
				out = append(out, e)
			}
		}
		return out
	case *Project:
		return n.Exprs
	case *Aggregation:
		out := append([]*Expr(nil), n.Keys...)
		for _, a := range n.Aggs {
			out = append(out, a.exprs()...)
		}
		return out
	case *Join:
		out := append(append([]*Expr(nil), n.LKeys...), n.RKeys...)
		if n.Cond != nil {
			out = append(out, n.Cond)
		}
		if n.Lateral != nil {
			out = append(out, n.Lateral)
		}
		return out
	case *Kept:
		return n.Values
	case *Window:
		return n.exprs()
	case *Functions:
		var out []*Expr
		for _, c := range n.Calls {
			out = append(out, c.Args...)
		}
		return out
	}
	return nil
}

// correlated says whether the rows of n depend on an outer row, or on the rows of a recursion around it.
func correlated(n Node) bool { return varies(n, nil) }

// varies is correlated, where own are the tables of recursions that n is within.
func varies(n Node, own []*WorkTable) bool {
	switch n := n.(type) {
	case *WorkScan:
		return !slices.Contains(own, n.Table)
	case *Recursive:
		own = append(own[:len(own):len(own)], n.Table)
	}
	for _, e := range exprsOf(n) {
		if e.outer() {
			return true
		}
	}
	for _, in := range n.inputs() {
		if varies(in, own) {
			return true
		}
	}
	return false
}

// keepInputs keeps the rows of the parts of a correlated plan that are the same in every run.
func keepInputs(n Node) Node {
	if !correlated(n) {
		switch n.(type) {
		case *Rows, *Kept, *Functions, *System:
			return n
		}
		return &Kept{Input: n}
	}
	switch n := n.(type) {
	case *Filter:
		if in := n.Input; !correlated(in) {
			return lookup(in, conjuncts(n.Cond))
		}
		n.Input = keepInputs(n.Input)
	case *Project:
		n.Input = keepInputs(n.Input)
	case *Aggregation:
		n.Input = keepInputs(n.Input)
	case *Sort:
		n.Input = keepInputs(n.Input)
	case *Limit:
		n.Input = keepInputs(n.Input)
	case *Distinct:
		n.Input = keepInputs(n.Input)
	case *Cut:
		n.Input = keepInputs(n.Input)
	case *Window:
		n.Input = keepInputs(n.Input)
	case *GroupingSets:
		for i, in := range n.Inputs {
			n.Inputs[i] = keepInputs(in)
		}
	case *Recursive:
		n.Base, n.Step = keepInputs(n.Base), keepInputs(n.Step)
	case *SetOp:
		n.L, n.R = keepInputs(n.L), keepInputs(n.R)
	case *Join:
		n.L, n.R = keepInputs(n.L), keepInputs(n.R)
	}
	return n
}

// lookup is Filter over rows that are kept; equalities with outer values find them by key.
func lookup(in Node, parts []*Expr) Node {
	k := &Kept{Input: in}
	var rest *Expr
	for _, e := range parts {
		if e.Kind == ExprCall && e.Fn == fnEq {
			x, y := e.Args[0], e.Args[1]
			if x.outer() {
				x, y = y, x
			}
			if !x.outer() && y.outer() && len(y.Columns()) == 0 && len(x.Columns()) > 0 && sameKeys(x.Type, y.Type) && !hasSubquery(x) {
				k.Keys, k.Values = append(k.Keys, x), append(k.Values, y)
				continue
			}
		}
		rest = and(rest, e)
	}
	if rest == nil {
		return k
	}
	return &Filter{Input: k, Cond: rest}
}

// sameKeys says whether equal values of the types have equal keys.
func sameKeys(a, b Type) bool {
	number := func(t Type) bool { return t == Int8 || t.IsReg() }
	return a == b || number(a) && number(b)
}

func hasSubquery(e *Expr) bool {
	found := false
	e.walk(func(x *Expr) bool {
		found = found || x.Kind == exprSubquery
		return !found
	})
	return found
}
