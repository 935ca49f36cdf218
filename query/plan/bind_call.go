package plan

import (
	"slices"
	"strings"

	"github.com/quipudb/quipu/query/sql"
	"github.com/quipudb/quipu/server/errcode"
)

var aggregateNames = []string{"sum", "count", "min", "max", "avg", "any_value", "bool_and", "bool_or", "every", "bit_and", "bit_or", "bit_xor",
	"stddev", "stddev_pop", "stddev_samp", "variance", "var_pop", "var_samp", "array_agg", "string_agg", "json_agg", "jsonb_agg"}

// sessionFunctions need no arguments and are known when the statement is bound.
func (b *exprBinder) sessionFunction(name string) *Expr {
	switch name {
	case "now":
		b.passes()
		return Constant(TimeValue(b.Now))
	case "current_date":
		b.passes()
		us := b.Now.UnixMicro()
		return Constant(MicrosValue(us - floorMod(us, microsPerDay)))
	case "current_user", "session_user", "user", "current_role":
		b.passes()
		return Constant(TextValue(b.Principal))
	case "current_database", "current_catalog":
		return Constant(TextValue(b.Database))
	case "current_schema":
		return Constant(TextValue("public"))
	case "version":
		v := ""
		b.passes()
		if b.Setting != nil {
			v, _ = b.Setting("server_version")
		}
		return Constant(TextValue("PostgreSQL " + v))
	}
	return nil
}

func (b *exprBinder) call(c *sql.Call) (*Expr, error) {
	name := strings.ToLower(c.Name.Name)
	if a, ok := aliases[name]; ok {
		name = a
	}
	if c.Variadic && !slices.ContainsFunc(functionsByName[name], func(f *Function) bool { return f.More && f.eval != nil }) {
		return nil, b.variadicCall(c)
	}
	if _, ok := windowFunctions[name]; ok && c.Over == nil {
		return nil, b.fail(c.Pos, errcode.WindowError, "window function %s requires an OVER clause", name)
	}
	switch {
	case c.Over != nil && c.WithinGroup != nil:
		return nil, b.fail(c.Pos, errcode.NotSupported, "OVER is not supported for ordered-set aggregate %s", name)
	case c.Over != nil:
		return b.window(c, name)
	case c.WithinGroup != nil:
		return b.ordered(c, name)
	case slices.Contains(orderedNames, name):
		return nil, b.fail(c.Pos, errcode.TypeMismatch, "WITHIN GROUP is required for ordered-set aggregate %s", name).
			WithHint("write %s(…) WITHIN GROUP (ORDER BY x)", name)
	}
	if name == "grouping" {
		return b.groupingCall(c)
	}
	if t := testsByName[name]; t != nil {
		return b.test(c, t, "")
	}
	if s := scalarsByName[name]; s != nil {
		return b.test(c, testsByName[s.Of], s.Column)
	}
	if slices.Contains(aggregateNames, name) {
		return b.aggregate(c, name)
	}
	if i := slices.Index(adjustNames, name); i >= 0 {
		return b.adjusted(c, name, i)
	}
	switch {
	case c.OrderBy != nil:
		return nil, b.fail(c.Pos, errcode.TypeMismatch, "ORDER BY specified, but %s is not an aggregate function", name)
	case c.Star:
		return nil, b.fail(c.Pos, errcode.UnknownFunction, "%s(*) is not an aggregate", name)
	case c.Filter != nil:
		return nil, b.fail(c.Pos, errcode.TypeMismatch, "FILTER specified, but %s is not an aggregate function", name)
	case c.Distinct:
		return nil, b.fail(c.Pos, errcode.TypeMismatch, "DISTINCT specified, but %s is not an aggregate function", name)
	}
	if len(c.Args) == 0 {
		if e := b.sessionFunction(name); e != nil {
			return e, nil
		}
	}
	if isTableFunction(name) {
		return b.set(c)
	}
	return b.scalar(c, name)
}

func (b *exprBinder) scalar(c *sql.Call, name string) (*Expr, error) {
	var args []*Expr
	var at []sql.Pos
	for _, a := range c.Args {
		if a.Name != "" {
			return nil, b.fail(a.Pos, errcode.UnknownFunction, "function %s has no named argument %q", name, a.Name)
		}
		x, err := b.bind(a.Value)
		if err != nil {
			return nil, err
		}
		if x.Type == Record {
			if (name == "to_json" || name == "to_jsonb") && x.Kind == exprAgg {
				return recordJSON(x, name), nil
			}
			_, err := b.value(a.Value)
			return nil, err
		}
		args, at = append(args, x), append(at, a.Value.At())
	}
	switch name {
	case "coalesce", "greatest", "least", "nullif":
		return b.uniform(c, name, args, at)
	case "current_setting":
		return b.currentSetting(c, args)
	case "set_config":
		if len(args) == 3 && !slices.ContainsFunc(args, func(a *Expr) bool { return !a.isConst() && a.Kind != exprParam }) {
			return b.setConfig(c, args)
		}
	case "array_append", "array_prepend", "array_cat", "array_remove", "array_position":
		if len(args) == 2 && !c.Variadic {
			return b.arrayCall(c, name, args, at)
		}
	case "extract", "date_trunc":
		if len(args) > 0 {
			args[0] = b.settle(args[0])
		}
	}
	types := make([]Type, len(args))
	for i, a := range args {
		types[i] = a.Type
	}
	if c.Variadic {
		return b.variadic(c, name, args, types, at)
	}
	f := b.resolve(name, types)
	if f == nil {
		return nil, b.noFunction(c, name, types)
	}
	args, err := b.convert(f, args, at)
	if err != nil {
		return nil, err
	}
	if all := allConst(args); all && !f.volatile && f.lazy == nil { // an error of constants is an error of the statement
		if _, err := (&Expr{Kind: ExprCall, Fn: f, Args: args}).Eval(nil); err != nil {
			return nil, b.locate(err, c.Pos)
		}
	}
	if err := b.checkUnit(f, args, at); err != nil {
		return nil, err
	}
	result := f.Result
	if result == Unknown { // of an array function: as its first argument
		result = args[0].Type
	}
	return call(f, result, args...), nil
}

// arrayCall binds a function of an array and an element of it, or of two arrays, with elements of one type.
func (b *exprBinder) arrayCall(c *sql.Call, name string, args []*Expr, at []sql.Pos) (*Expr, error) {
	array, other := 0, 1
	if name == "array_prepend" {
		array, other = 1, 0
	}
	types := []Type{args[0].Type, args[1].Type}
	elem := func(i int) Type { // Unknown where the type is still open
		if i == array || name == "array_cat" {
			if types[i] == Unknown {
				return Unknown
			}
			return types[i].Elem()
		}
		return types[i]
	}
	of := elem(array)
	if x := elem(other); of == Unknown || of == Int8 && x == Float8 {
		of = x
	}
	if of == Unknown {
		of = Text
	}
	for i := range args {
		isArray := i == array || name == "array_cat"
		if types[i] != Unknown && (types[i].IsArray() != isArray || elem(i) != of && (elem(i) != Int8 || of != Float8)) {
			return nil, b.noFunction(c, name, types)
		}
		want := of
		if isArray {
			want = ArrayOf(of)
		}
		if types[i].IsArray() && types[i] != want {
			args[i] = call(castTo[want], want, args[i])
			continue
		}
		var err error
		if args[i], err = b.coerce(args[i], want, at[i]); err != nil {
			return nil, err
		}
	}
	switch name {
	case "array_append", "array_prepend":
		args[other] = call(arrayMakers[of], ArrayOf(of), args[other])
		name = "array_cat"
	case "array_position":
		return call(resolve(name, []Type{ArrayOf(of), of}), Int8, args...), nil
	}
	return call(resolve(name, []Type{ArrayOf(of), args[1].Type}), ArrayOf(of), args...), nil
}

// variadicCall refuses VARIADIC before the argument of a function that has a number of its own.
func (b *Binder) variadicCall(c *sql.Call) error {
	return b.fail(c.Pos, errcode.NotSupported, "VARIADIC is not supported for %s", c.Name.Name).
		WithHint("it is for concat, concat_ws, format, json_build_array and json_build_object")
}

// variadic binds name(…, VARIADIC array), a call with the elements of the array as its last arguments.
func (b *exprBinder) variadic(c *sql.Call, name string, args []*Expr, types []Type, at []sql.Pos) (*Expr, error) {
	last := len(args) - 1
	if !types[last].IsArray() {
		return nil, b.fail(at[last], errcode.TypeMismatch, "VARIADIC argument must be an array")
	}
	elem := slices.Clone(types)
	elem[last] = types[last].Elem()
	f := resolve(name, elem)
	if f == nil || !f.More || len(args) != len(f.Args) {
		return nil, b.noFunction(c, name, types)
	}
	before, err := b.convert(f, args[:last], at)
	if err != nil {
		return nil, err
	}
	of := &Function{Name: f.Name, Args: append(f.Args[:len(f.Args)-1:len(f.Args)-1], anyArray), Result: f.Result, local: true, nullable: true,
		eval: func(a []Value) (Value, error) {
			if a[last].IsNull() {
				return Null, nil
			}
			return f.eval(append(a[:last:last], a[last].Elems()...))
		}}
	return call(of, f.Result, append(before[:last:last], args[last])...), nil
}

// resolve finds a function, also among those that know the catalog.
func (b *Binder) resolve(name string, types []Type) *Function {
	if f := resolve(name, types); f != nil || b.System == nil {
		return f
	}
	b.passes()
	return best(b.System.Functions(name), types)
}

func allConst(args []*Expr) bool {
	return !slices.ContainsFunc(args, func(e *Expr) bool { return !e.isConst() })
}

// checkUnit finds a bad unit or bucket width before any row is read.
func (b *Binder) checkUnit(f *Function, args []*Expr, at []sql.Pos) error {
	if len(args) < 2 || args[1].Type != Timestamptz {
		return nil
	}
	switch f.Name {
	case "date_trunc", "extract", "time_bucket", "date_bin":
		if b.describing && !args[0].isConst() {
			b.passes()
		}
		if !args[0].isConst() || args[0].Value.IsNull() {
			return nil
		}
		probe := []Value{args[0].Value, MicrosValue(0), MicrosValue(0)}[:len(f.Args)]
		if _, err := f.eval(probe); err != nil {
			return b.locate(err, at[0])
		}
	}
	return nil
}

func (b *exprBinder) uniform(c *sql.Call, name string, args []*Expr, at []sql.Pos) (*Expr, error) {
	if len(args) == 0 || name == "nullif" && len(args) != 2 {
		types := make([]Type, len(args))
		return nil, b.noFunction(c, name, types)
	}
	order := args[0].order
	if name == "nullif" {
		l, r, err := b.match(c.Pos, "=", args[0], args[1], at[0], at[1])
		if err != nil {
			return nil, err
		}
		return call(fnNullif, l.Type, l, r), nil
	}
	t, err := b.unify(strings.ToUpper(name), args, at)
	if err != nil {
		return nil, err
	}
	f := map[string]*Function{"coalesce": fnCoalesce, "greatest": fnGreatest, "least": fnLeast}[name]
	e := call(f, t, args...)
	if name == "coalesce" && e.order == nil && order != nil {
		e.order = order
	}
	return e, nil
}

func (b *exprBinder) currentSetting(c *sql.Call, args []*Expr) (*Expr, error) {
	b.passes()
	if len(args) > 0 && !args[0].isConst() && b.System != nil {
		if f := best(b.System.Functions("current_setting"), make([]Type, len(args))); f != nil {
			return call(f, Text, args...), nil
		}
	}
	if len(args) == 0 || len(args) > 2 || !args[0].isConst() || b.Setting == nil {
		return nil, b.fail(c.Pos, errcode.InvalidOption, "current_setting takes the name of a setting")
	}
	v, ok := b.Setting(strings.ToLower(args[0].Value.Text()))
	switch {
	case ok:
		return Constant(TextValue(v)), nil
	case len(args) == 2 && args[1].Value.Bool():
		return typedNull(Text), nil
	}
	return nil, b.fail(c.Pos, errcode.UnknownSetting, "unrecognized configuration parameter %q", args[0].Value.Text())
}

// setConfig changes a setting while the statement is bound. Of arguments that are not constants the function of the catalog says no.
func (b *exprBinder) setConfig(c *sql.Call, args []*Expr) (*Expr, error) {
	b.passes()
	if b.describing {
		for i, t := range []Type{Text, Text, Bool} {
			if args[i].Kind == exprParam && args[i].Type == Unknown {
				b.params[args[i].Col] = t
			}
		}
	}
	if b.describing || b.SetSetting == nil {
		return typedNull(Text), nil
	}
	if slices.ContainsFunc(args, func(a *Expr) bool { return a.Value.IsNull() }) {
		return nil, b.fail(c.Pos, errcode.InvalidOption, "set_config takes no NULL").
			WithHint("set_config('statement_timeout', '5s', false) gives the name of a setting, its value, and whether it is for this transaction only")
	}
	local, err := Convert(args[2].Value, Bool)
	if err != nil {
		return nil, b.locate(err, c.Pos)
	}
	v, err := b.SetSetting(args[0].Value.String(), args[1].Value.String(), local.Bool())
	if err != nil {
		return nil, b.locate(err, c.Pos)
	}
	return Constant(TextValue(v)), nil
}

func (b *Binder) noFunction(c *sql.Call, name string, types []Type) error {
	spelled := make([]string, len(types))
	for i, t := range types {
		spelled[i] = t.String()
	}
	err := b.fail(c.Pos, errcode.UnknownFunction, "function %s(%s) does not exist", name, strings.Join(spelled, ", "))
	if over := functionsByName[name]; len(over) > 0 {
		var forms []string
		for _, f := range over {
			forms = append(forms, f.Signature())
		}
		return err.WithHint("there is %s", strings.Join(forms, " and "))
	}
	if near, ok := Nearest(name, functionNames()); ok && near != name {
		return err.WithHint("did you mean %s?", near)
	}
	return err
}

// functionNames lists every name that can be called.
func functionNames() []string {
	names := slices.Concat(aggregateNames, orderedNames, adjustNames)
	for n := range functionsByName {
		if n[0] >= 'a' && n[0] <= 'z' {
			names = append(names, n)
		}
	}
	for n := range testsByName {
		names = append(names, n)
	}
	for n := range scalarsByName {
		names = append(names, n)
	}
	for n := range aliases {
		names = append(names, n)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// begin checks that an aggregate may stand here and gives the binder for its arguments.
func (b *exprBinder) begin(c *sql.Call) (*exprBinder, *Expr, error) {
	switch {
	case b.inAgg:
		return nil, nil, b.fail(c.Pos, errcode.GroupingError, "aggregate function calls cannot be nested")
	case b.aggs == nil:
		return nil, nil, b.fail(c.Pos, errcode.GroupingError, "aggregate functions are not allowed in %s", b.clause)
	}
	inner := *b
	inner.inAgg = true
	if b.groups != nil { // the arguments of an aggregate with OVER may be aggregates
		inner.inAgg, inner.aggs, inner.groups = false, b.groups, nil
	}
	if c.Filter == nil {
		return &inner, nil, nil
	}
	f := inner
	f.clause = "FILTER"
	cond, err := f.condition(c.Filter)
	return &inner, cond, err
}

// add registers an aggregate and gives the expression for its result.
func (b *exprBinder) add(a *Aggregate) *Expr {
	for i, old := range *b.aggs {
		if old.equal(a) {
			return &Expr{Kind: exprAgg, Type: a.Type, Col: i, Field: -1, test: a.Test}
		}
	}
	*b.aggs = append(*b.aggs, a)
	return &Expr{Kind: exprAgg, Type: a.Type, Col: len(*b.aggs) - 1, Field: -1, test: a.Test}
}

func (b *exprBinder) aggregate(c *sql.Call, name string) (*Expr, error) {
	inner, filter, err := b.begin(c)
	if err != nil {
		return nil, err
	}
	if c.Star {
		if name != "count" {
			return nil, b.fail(c.Pos, errcode.UnknownFunction, "function %s(*) does not exist", name)
		}
		return b.add(&Aggregate{Kind: AggCells, Type: Int8, Filter: filter}), nil
	}
	switch name {
	case "array_agg", "string_agg", "json_agg", "jsonb_agg":
		return inner.list(c, name, filter, b)
	}
	if len(c.Args) != 1 {
		return nil, b.fail(c.Pos, errcode.UnknownFunction, "function %s takes one argument, not %d", name, len(c.Args))
	}
	x, err := inner.value(c.Args[0].Value)
	if err != nil {
		return nil, err
	}
	x = b.settle(x)
	if _, _, err := inner.aggregateOrder(c, x); err != nil { // no other aggregate depends on it
		return nil, err
	}
	at := c.Args[0].Value.At()
	switch name {
	case "count":
		if c.Distinct {
			return b.add(&Aggregate{Kind: AggDistinct, Type: Int8, Arg: x, Filter: filter}), nil
		}
		return b.add(&Aggregate{Kind: AggCount, Type: Int8, Arg: x, Filter: filter}), nil
	case "min", "any_value":
		return b.extreme(AggMin, x, filter), nil
	case "max":
		return b.extreme(AggMax, x, filter), nil
	case "bool_and", "every", "bool_or":
		if x.Type != Bool {
			return nil, b.noFunction(c, name, []Type{x.Type})
		}
		kind := AggMin
		if name == "bool_or" {
			kind = AggMax
		}
		return b.extreme(kind, x, filter), nil
	case "bit_and", "bit_or", "bit_xor":
		if x.Type != Int8 {
			return nil, b.noFunction(c, name, []Type{x.Type})
		}
		kind := map[string]AggKind{"bit_and": AggBitAnd, "bit_or": AggBitOr, "bit_xor": AggBitXor}[name]
		return b.add(&Aggregate{Kind: kind, Type: Int8, Arg: x, Filter: filter, Distinct: c.Distinct && kind == AggBitXor}), nil
	}
	if x.Type != Int8 && x.Type != Float8 {
		err := b.fail(at, errcode.UnknownFunction, "function %s(%s) does not exist", name, x.Type)
		return nil, err.WithHint("sum(count) adds up observations; cast a dimension to add its values: sum(x::float8)")
	}
	if name == "sum" || name == "avg" {
		return b.sum(c, name, x, filter)
	}
	kind := AggVarSamp
	if strings.HasSuffix(name, "_pop") {
		kind = AggVarPop
	}
	v := b.add(&Aggregate{Kind: kind, Type: Float8, Arg: x, Filter: filter, Distinct: c.Distinct})
	if strings.HasPrefix(name, "stddev") {
		return call(resolve("sqrt", []Type{Float8}), Float8, v), nil
	}
	return v, nil
}

// sum binds sum and avg.
func (b *exprBinder) sum(c *sql.Call, name string, x, filter *Expr) (*Expr, error) {
	sum := b.add(&Aggregate{Kind: AggSum, Type: x.Type, Arg: x, Filter: filter, Distinct: c.Distinct})
	if name == "sum" {
		return sum, nil
	}
	kind := AggCount
	if c.Distinct {
		kind = AggDistinct
	}
	n := b.add(&Aggregate{Kind: kind, Type: Int8, Arg: x, Filter: filter})
	none := call(fnNullif, Int8, n, Constant(IntValue(0)))
	return b.operator(c.Pos, "/", b.float(sum), b.float(none))
}

// aggregateOrder binds ORDER BY inside of an aggregate of arg.
func (b *exprBinder) aggregateOrder(c *sql.Call, arg *Expr) (order []*Expr, keys []SortKey, err error) {
	for _, o := range c.OrderBy {
		x, err := b.value(o.Expr)
		if err != nil {
			return nil, nil, err
		}
		x = b.settle(x)
		if c.Distinct && !x.Equal(arg) {
			return nil, nil, b.fail(o.Expr.At(), errcode.InvalidReference, "in an aggregate with DISTINCT, ORDER BY expressions must appear in argument list")
		}
		if x.order != nil {
			x = rank(x, x.order)
		}
		first := o.Nulls == sql.NullsFirst || o.Nulls == sql.NullsDefault && o.Desc
		keys = append(keys, SortKey{Col: len(order), Desc: o.Desc, NullsFirst: first})
		order = append(order, x)
	}
	return order, keys, nil
}

// list binds array_agg(x ORDER BY …), string_agg(x, separator ORDER BY …), json_agg and jsonb_agg; b binds inside of the aggregate, around outside.
func (b *exprBinder) list(c *sql.Call, name string, filter *Expr, around *exprBinder) (*Expr, error) {
	args := make([]sql.Expr, len(c.Args))
	types := make([]Type, len(c.Args))
	for i, a := range c.Args {
		args[i] = a.Value
	}
	list, err := b.values(args)
	if err != nil {
		return nil, err
	}
	for i, x := range list {
		list[i] = b.settle(x)
		types[i] = list[i].Type
	}
	a := &Aggregate{Kind: AggArray, Filter: filter, Distinct: c.Distinct}
	var of *Function // of the array, where that is not the result
	switch {
	case strings.HasPrefix(name, "json") && len(list) == 1 && types[0].IsArray() && c.Distinct:
		return nil, b.unsupported(c.Pos, "DISTINCT in "+name+" of arrays")
	case strings.HasPrefix(name, "json") && len(list) == 1:
		of = fnJSONAgg
		if types[0].IsArray() { // there are no arrays of arrays
			of, list[0] = fnJSONRows, call(resolve("to_json", types), JSON, list[0])
		}
		if name == "jsonb_agg" {
			of = fnJSONBAgg
		}
		a.Type = ArrayOf(list[0].Type)
	case name == "array_agg" && len(list) == 1 && !types[0].IsArray():
		a.Type = ArrayOf(types[0])
	case name == "string_agg" && len(list) == 2 && types[0] == Text && types[1] == Text:
		a.Kind, a.Type, a.Separator = AggString, Text, list[1]
	default:
		return nil, b.noFunction(c, name, types)
	}
	a.Arg = list[0]
	if a.Order, a.Sort, err = b.aggregateOrder(c, a.Arg); err != nil {
		return nil, err
	}
	x := around.add(a)
	if of != nil {
		x = call(of, JSON, x)
	}
	return x, nil
}

func (b *Binder) float(e *Expr) *Expr {
	if e.Type == Float8 {
		return e
	}
	return call(castTo[Float8], Float8, e)
}

func (b *exprBinder) extreme(kind AggKind, x, filter *Expr) *Expr {
	if x.order == nil {
		return b.add(&Aggregate{Kind: kind, Type: x.Type, Arg: x, Filter: filter})
	}
	// In the declared order: the least place, then the value that has it.
	place := b.add(&Aggregate{Kind: kind, Type: Int8, Arg: rank(x, x.order), Filter: filter})
	args := []*Expr{}
	for i, v := range x.order {
		args = append(args, call(fnEq, Bool, place, Constant(IntValue(int64(i)))), Constant(TextValue(v)))
	}
	e := call(fnCase, Text, append(args, typedNull(Text))...)
	e.order = x.order
	return e
}
