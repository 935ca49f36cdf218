package plan

import (
	"slices"
	"strings"

	"github.com/quipudb/quipu/query/sql"
	"github.com/quipudb/quipu/server/errcode"
)

// seriesMax bounds the rows of one call of a function that gives rows.
const seriesMax = 100_000

// TableFunction is a function that gives rows: in FROM, where it may read rows of what stands before it, or in a select list.
type TableFunction struct {
	Name    string
	Args    []Type
	More    bool
	columns func(args []*Expr) []Column
	rows    func(args []Value) ([][]Value, error) // NULL arguments give no rows, and are not seen here
	nulls   bool                                  // but the one behind the first is seen
}

func oneColumn(name string, t Type) func([]*Expr) []Column {
	return func([]*Expr) []Column { return []Column{{name, t}} }
}

var tableFunctions = []*TableFunction{
	{Name: "generate_series", Args: []Type{Int8, Int8}, columns: oneColumn("generate_series", Int8), rows: intSeries},
	{Name: "generate_series", Args: []Type{Int8, Int8, Int8}, columns: oneColumn("generate_series", Int8), rows: intSeries},
	{Name: "generate_series", Args: []Type{Timestamptz, Timestamptz, Interval}, columns: oneColumn("generate_series", Timestamptz), rows: timeSeries},
	{Name: "unnest", Args: []Type{anyArray}, columns: func(args []*Expr) []Column { return []Column{{"unnest", args[0].Type.Elem()}} },
		rows: func(a []Value) ([][]Value, error) {
			var out [][]Value
			for _, v := range a[0].Elems() {
				out = append(out, []Value{v})
			}
			return out, nil
		}},
	{Name: "generate_subscripts", Args: []Type{anyArray, Int8}, columns: oneColumn("generate_subscripts", Int8), rows: func(a []Value) ([][]Value, error) {
		return intSeries([]Value{IntValue(1), IntValue(arrayEnd(a[0], a[1]).num)})
	}},
	{Name: "_pg_expandarray", Args: []Type{anyArray}, columns: func(args []*Expr) []Column {
		return []Column{{"x", args[0].Type.Elem()}, {"n", Int8}}
	}, rows: func(a []Value) ([][]Value, error) {
		var out [][]Value
		for i, v := range a[0].Elems() {
			out = append(out, []Value{v, IntValue(int64(i + 1))})
		}
		return out, nil
	}},
	{Name: "pg_options_to_table", Args: []Type{anyArray}, columns: func([]*Expr) []Column {
		return []Column{{"option_name", Text}, {"option_value", Text}}
	}, rows: func(a []Value) ([][]Value, error) {
		var out [][]Value
		for _, v := range a[0].Elems() {
			name, value, _ := strings.Cut(v.str, "=")
			out = append(out, []Value{TextValue(name), TextValue(value)})
		}
		return out, nil
	}},
	{Name: "pg_get_keywords", columns: func([]*Expr) []Column {
		return []Column{{"word", Text}, {"catcode", Text}, {"barelabel", Bool}, {"catdesc", Text}, {"baredesc", Text}}
	}, rows: keywordRows},
	{Name: "string_to_table", Args: []Type{Text, Text}, nulls: true, columns: oneColumn("string_to_table", Text), rows: func(a []Value) ([][]Value, error) {
		list, err := evalStringToArray(a)
		if err != nil {
			return nil, err
		}
		var out [][]Value
		for _, v := range list.Elems() {
			out = append(out, []Value{v})
		}
		return out, nil
	}},
}

func keywordRows([]Value) ([][]Value, error) {
	kinds := map[string][2]string{
		"R": {"reserved", "requires AS"}, "T": {"reserved (can be function or type name)", "can be bare label"},
		"C": {"unreserved (cannot be function or type name)", "can be bare label"}, "U": {"unreserved", "can be bare label"},
	}
	var out [][]Value
	for _, k := range sql.Keywords() {
		d := kinds[k.Code]
		out = append(out, []Value{TextValue(k.Word), TextValue(k.Code), BoolValue(k.Code != "R"), TextValue(d[0]), TextValue(d[1])})
	}
	return out, nil
}

func errSeries(name string) error {
	return errcode.New(errcode.TooLarge, "%s gives at most %d rows", name, seriesMax)
}

func intSeries(a []Value) ([][]Value, error) {
	step := int64(1)
	if len(a) == 3 {
		step = a[2].num
	}
	if step == 0 {
		return nil, errcode.New(errcode.InvalidOption, "step size cannot equal zero")
	}
	var out [][]Value
	for v, end := a[0].num, a[1].num; step > 0 && v <= end || step < 0 && v >= end; {
		if len(out) == seriesMax {
			return nil, errSeries("generate_series")
		}
		out = append(out, []Value{IntValue(v)})
		next, ok := addInt(v, step)
		if !ok {
			break
		}
		v = next
	}
	return out, nil
}

func timeSeries(a []Value) ([][]Value, error) {
	zero := MicrosValue(0)
	direction, err := shift([]Value{zero, a[2]}, 1)
	if err != nil {
		return nil, err
	}
	if direction.num == 0 {
		return nil, errcode.New(errcode.InvalidOption, "step size cannot equal zero")
	}
	var out [][]Value
	for v := a[0]; direction.num > 0 && v.num <= a[1].num || direction.num < 0 && v.num >= a[1].num; {
		if len(out) == seriesMax {
			return nil, errSeries("generate_series")
		}
		out = append(out, []Value{v})
		if v, err = shift([]Value{v, a[2]}, 1); err != nil {
			return out, nil
		}
	}
	return out, nil
}

// Rows are the rows of the calls over one outer row, side by side.
func (n *Functions) Rows(row []Value) ([][]Value, error) {
	var out [][]Value
	from := 0
	for _, c := range n.Calls {
		list, err := c.run(row)
		if err != nil {
			return nil, err
		}
		for len(out) < len(list) {
			out = append(out, make([]Value, len(n.cols)))
		}
		for i, r := range list {
			copy(out[i][from:], r)
		}
		from += c.width
	}
	if n.Ordinality {
		for i := range out {
			out[i][len(n.cols)-1] = IntValue(int64(i + 1))
		}
	}
	return out, nil
}

func (c *TableCall) run(row []Value) ([][]Value, error) {
	args := make([]Value, len(c.Args))
	for i, e := range c.Args {
		v, err := e.Eval(row)
		if err != nil {
			return nil, err
		}
		if v.IsNull() && c.Fn != nil && !(c.Fn.nulls && i > 0) {
			return nil, nil
		}
		args[i] = v
	}
	if c.Fn == nil { // a scalar function in FROM
		return [][]Value{args}, nil
	}
	return c.Fn.rows(args)
}

// scalar says whether the function gives one column that the alias names.
func (n *Functions) scalar() bool { return len(n.Calls) == 1 && n.Calls[0].width == 1 && !n.Ordinality }

// rowFunction binds a function in FROM. Its arguments may read what stands before it.
func (b *Binder) rowFunction(ref *sql.TableFunc) (Node, error) {
	e := &exprBinder{Binder: b, scope: &scope{}, clause: "FROM"}
	c, cols, err := b.tableCall(e, ref.Call)
	if err != nil {
		return nil, err
	}
	if ref.Ordinality {
		cols = append(cols, Column{"ordinality", Int8})
	}
	return &Functions{Calls: []TableCall{c}, Ordinality: ref.Ordinality, cols: cols}, nil
}

// tableCall binds a call that gives rows: of a table function, or of a scalar one, which gives one.
func (b *Binder) tableCall(e *exprBinder, c *sql.Call) (TableCall, []Column, error) {
	if !isTableFunction(c.Name.Name) {
		x, err := e.value(c)
		if err != nil {
			return TableCall{}, nil, b.noTableFunction(c, err)
		}
		x = b.settle(x)
		return TableCall{Args: []*Expr{x}, width: 1}, []Column{{c.Name.Name, x.Type}}, nil
	}
	if c.Variadic {
		return TableCall{}, nil, b.variadicCall(c)
	}
	var args []*Expr
	var at []sql.Pos
	types := make([]Type, len(c.Args))
	for i, a := range c.Args {
		x, err := e.value(a.Value)
		if err != nil {
			return TableCall{}, nil, err
		}
		args, at, types[i] = append(args, x), append(at, a.Value.At()), x.Type
	}
	f, want := resolveTable(c.Name.Name, types)
	if f == nil {
		return TableCall{}, nil, b.noFunction(c, c.Name.Name, types)
	}
	args, err := b.convert(want, args, at)
	if err != nil {
		return TableCall{}, nil, err
	}
	cols := f.columns(args)
	return TableCall{Fn: f, Args: args, width: len(cols)}, cols, nil
}

func isTableFunction(name string) bool {
	return slices.ContainsFunc(tableFunctions, func(f *TableFunction) bool { return f.Name == name })
}

func (b *Binder) noTableFunction(c *sql.Call, err error) error {
	e := errcode.From(err)
	if e.Code != errcode.UnknownFunction || len(functionsByName[c.Name.Name]) > 0 {
		return err
	}
	names := []string{"crosstab", "independence_scan"}
	for _, f := range tableFunctions {
		names = append(names, f.Name)
	}
	fail := b.fail(c.Pos, errcode.UnknownFunction, "there is no table function %s", c.Name.Name)
	if near, ok := Nearest(c.Name.Name, names); ok {
		return fail.WithHint("did you mean %s?", near)
	}
	return fail.WithHint("the table functions are %s", strings.Join(slices.Compact(names), ", "))
}

// resolveTable picks the overload as resolve does; want has its arguments.
func resolveTable(name string, types []Type) (f *TableFunction, want *Function) {
	fewest := 0
	for _, t := range tableFunctions {
		w := &Function{Name: t.Name, Args: t.Args, More: t.More}
		if n, ok := w.accepts(types); t.Name == name && ok && (f == nil || n < fewest) {
			f, want, fewest = t, w, n
		}
	}
	return f, want
}

// selectSets are the functions of a select list that give rows: a lateral join of the block's source with them, side by side.
type selectSets struct {
	node   *Functions
	join   *Join
	around *outerScope
	from   int // first column
}

// set binds a function that gives rows inside the select list of b.
func (b *exprBinder) set(c *sql.Call) (*Expr, error) {
	if b.clause != "SELECT" || b.block == nil || b.inAgg {
		return nil, b.fail(c.Pos, errcode.NotSupported, "%s gives rows and cannot stand in %s", c.Name.Name, b.clause).WithHint("call it in FROM")
	}
	k := b.block
	if k.sets == nil {
		if err := b.openSets(k); err != nil {
			return nil, err
		}
	}
	s := k.sets
	inner := &exprBinder{Binder: b.Binder, scope: &scope{}, clause: c.Name.Name}
	outer := b.outer
	b.outer = s.around
	call, cols, err := b.tableCall(inner, c)
	b.outer = outer
	if err != nil {
		return nil, err
	}
	first := s.from + len(s.node.cols)
	s.node.Calls, s.node.cols = append(s.node.Calls, call), append(s.node.cols, cols...)
	s.join.cols = append(s.join.cols, cols...)
	s.join.Lateral.Args = s.around.args
	record := &Expr{Kind: exprRecord, Type: Record}
	for i, col := range cols {
		k.scope.cols = append(k.scope.cols, scopeColumn{typ: col.Type})
		record.Args = append(record.Args, ColumnRef(first+i, col.Type))
		record.names = append(record.names, col.Name)
	}
	if len(cols) == 1 {
		return record.Args[0], nil
	}
	return record, nil
}

// openSets puts a lateral join with functions, of which there are none yet, over the source of k.
func (b *exprBinder) openSets(k *block) error {
	if k.table != nil {
		n, err := b.rows(&block{table: k.table, scope: k.scope}, identity(k.scope.columns()))
		if err != nil {
			return err
		}
		k.source, k.table = n, nil
	}
	sub := &Subquery{Kind: SubLateral, run: b.runner}
	left := &exprBinder{Binder: b.Binder, scope: &scope{rels: k.scope.rels, cols: k.scope.cols}}
	s := &selectSets{node: &Functions{}, around: &outerScope{expr: left, sub: sub, next: b.outer}, from: len(k.scope.cols)}
	sub.Root = s.node
	s.join = &Join{L: k.source, R: s.node, Kind: InnerJoin, cols: k.scope.columns(), Lateral: &Expr{Kind: exprSubquery, Type: Bool, Sub: sub}}
	k.source, k.sets = s.join, s
	b.subqueries = append(b.subqueries, sub)
	return nil
}
