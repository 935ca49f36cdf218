package plan

import (
	"slices"
	"strconv"
	"time"

	"github.com/quipudb/quipu/query/sql"
	"github.com/quipudb/quipu/server/errcode"
	"github.com/quipudb/quipu/storage/schema"
)

func itoa(n int) string { return strconv.Itoa(n) }

// DurationValue is the text of a span of days and smaller units; NULL for none.
func DurationValue(d time.Duration) Value {
	if d == 0 {
		return Null
	}
	return TextValue(IntervalValue(0, int32(d/(24*time.Hour)), (d % (24 * time.Hour)).Microseconds()).String())
}

// block is one SELECT while it is bound.
type block struct {
	table  *schema.Table // the one table that it reads, or nil
	source Node          // otherwise
	scope  scope
	aggs   []*Aggregate
	adjust []Adjusted // corrections of tests over all groups
	keys   []*Expr
	// constant says that GROUP BY has keys that are the same for every row. They are not among keys.
	constant bool
	grouping [][]int // grouping sets, as places among keys; nil: one of all keys
	levels   []*Expr // each GROUPING of the block
	items    []item
	untyped  bool // literals of the select list need no type of their own
	where    *Expr
	sets     *selectSets // functions of the select list that give rows
	windows  []sql.NamedWindow
}

// item is one output column.
type item struct {
	name string
	expr *Expr
	at   sql.Pos
}

// weight is how many observations a row stands for: NULL expression for cells of a table, the column count of a derived table
// if it has one, else 1.
func (k *block) weight() *Expr {
	if k.table != nil {
		return nil
	}
	for i, c := range k.scope.cols {
		if c.name == "count" && c.typ == Int8 {
			return ColumnRef(i, Int8)
		}
	}
	return Constant(IntValue(1))
}

// counts is how many columns could be the weight of a row.
func (k *block) counts() int {
	n := 0
	for _, c := range k.scope.cols {
		if c.name == "count" && c.typ == Int8 && !c.merged {
			n++
		}
	}
	return n
}

func (b *Binder) selectBlock(s *sql.Select, t tail) (Node, error) {
	k := &block{untyped: b.untyped == s && len(s.GroupBy) == 0}
	if err := b.from(s.From, k); err != nil {
		return nil, err
	}
	k.windows = s.Windows
	plain := &exprBinder{Binder: b, scope: &k.scope, block: k}
	if s.Where != nil {
		e := *plain
		e.clause = "WHERE"
		x, err := e.condition(s.Where)
		if err != nil {
			return nil, err
		}
		k.where = x
	}
	full := *plain
	full.aggs = &k.aggs
	if err := full.selectList(s.Items, k); err != nil {
		return nil, err
	}
	if err := plain.groupBy(s, k); err != nil {
		return nil, err
	}
	var having *Expr
	if s.Having != nil {
		e := full
		e.clause = "HAVING"
		x, err := e.condition(s.Having)
		if err != nil {
			return nil, err
		}
		having = x
	}
	if k.constant && len(k.keys) == 0 { // one group, but none where there are no rows
		rows := full.add(&Aggregate{Kind: AggCells, Type: Int8})
		some := call(fnGt, Bool, rows, Constant(IntValue(0)))
		if having != nil {
			some = call(fnAnd, Bool, some, having)
		}
		having = some
	}
	exprs := make([]*Expr, len(k.items))
	cols := make([]Column, len(k.items))
	for i, it := range k.items {
		exprs[i], cols[i] = it.expr, Column{it.name, it.expr.Type}
	}
	keys, err := b.orderKeys(t.order, &exprs, func(item sql.OrderItem) (*Expr, error) { return full.orderItem(item, k) })
	if err != nil {
		return nil, err
	}
	if s.Distinct && len(s.DistinctOn) == 0 && len(exprs) > len(cols) {
		return nil, b.fail(t.order[0].Expr.At(), errcode.InvalidReference, "for SELECT DISTINCT, ORDER BY expressions must appear in select list")
	}
	var on []int
	if len(s.DistinctOn) > 0 {
		if on, err = full.distinctOn(s, k, &exprs, keys); err != nil {
			return nil, err
		}
	}
	n, err := b.assemble(s, k, &exprs, having, keys, t)
	if err != nil {
		return nil, err
	}
	n = &Project{Input: overWindows(n, exprs), Exprs: exprs, cols: padColumns(cols, exprs)}
	switch {
	case on != nil:
		if len(keys) > 0 {
			n = &Sort{Input: n, Keys: keys, Keep: -1}
		}
		return b.sortLimit(&Distinct{Input: n, On: on}, nil, t, len(cols))
	case s.Distinct:
		n = &Distinct{Input: n, On: firstColumns(len(cols))}
	}
	return b.sortLimit(n, keys, t, len(cols))
}

func firstColumns(n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = i
	}
	return out
}

// distinctOn gives the columns of DISTINCT ON; those that are not shown are appended to exprs. They must lead ORDER BY.
func (b *exprBinder) distinctOn(s *sql.Select, k *block, exprs *[]*Expr, keys []SortKey) ([]int, error) {
	items := make([]sql.OrderItem, len(s.DistinctOn))
	for i, e := range s.DistinctOn {
		items[i].Expr = e
	}
	visible := (*exprs)[:len(k.items):len(k.items)]
	hidden := (*exprs)[len(k.items):]
	on, err := b.orderKeys(items, &visible, func(item sql.OrderItem) (*Expr, error) { return b.orderItem(item, k) })
	if err != nil {
		return nil, err
	}
	// ORDER BY has put its own columns behind the visible ones already: join both lists.
	all := append(slices.Clone((*exprs)[:len(k.items)]), hidden...)
	cols := make([]int, len(on))
	for i, key := range on {
		x := visible[key.Col]
		cols[i] = slices.IndexFunc(all, x.Equal)
		if cols[i] < 0 {
			cols[i] = len(all)
			all = append(all, x)
		}
	}
	for i := range min(len(keys), len(cols)) {
		if !slices.Contains(cols, keys[i].Col) {
			return nil, b.fail(s.DistinctOn[0].At(), errcode.InvalidReference, "SELECT DISTINCT ON expressions must match initial ORDER BY expressions")
		}
	}
	*exprs = all
	return cols, nil
}

// assemble builds the input of the projection and rewrites the output expressions to read it.
func (b *Binder) assemble(s *sql.Select, k *block, exprs *[]*Expr, having *Expr, keys []SortKey, t tail) (Node, error) {
	grouped := len(k.aggs) > 0 || len(s.GroupBy) > 0 || having != nil || len(k.levels) > 0
	if !grouped {
		return b.rows(k, *exprs)
	}
	top := b.topOf(s, k, *exprs, having, keys, t)
	groups := b.groups
	if k.grouping != nil {
		groups = b.allGroups
	}
	n, err := groups(k, top)
	if err != nil {
		return nil, err
	}
	if len(k.adjust) > 0 {
		n = k.adjusting(n)
	}
	for i, e := range *exprs {
		if (*exprs)[i], err = b.onGroups(e, k); err != nil {
			return nil, err
		}
	}
	if having != nil {
		x, err := b.onGroups(having, k)
		if err != nil {
			return nil, err
		}
		n = &Filter{Input: n, Cond: x}
	}
	return n, nil
}

// topOf recognises ORDER BY ln_p LIMIT n.
func (b *Binder) topOf(s *sql.Select, k *block, exprs []*Expr, having *Expr, keys []SortKey, t tail) *Top {
	if having != nil || len(k.adjust) > 0 || s.Distinct || t.ties || len(keys) == 0 || keys[0].Desc || keys[0].NullsFirst || t.limit == nil {
		return nil
	}
	x := exprs[keys[0].Col]
	if x.testColumn() != "ln_p" || slices.ContainsFunc(exprs, (*Expr).local) || len(s.DistinctOn) > 0 {
		return nil
	}
	if !oneValue(t.limit) || t.offset != nil && !oneValue(t.offset) { // what is bound twice would have its subqueries twice
		return nil
	}
	count, _, err1 := b.rowCount(t.limit, "LIMIT", -1)
	offset, _, err2 := b.rowCount(t.offset, "OFFSET", 0)
	if err1 != nil || err2 != nil || count < 0 || count+offset < 0 {
		return nil
	}
	return &Top{Agg: x.Col, K: count + offset}
}

// oneValue says that e is a literal or a parameter.
func oneValue(e sql.Expr) bool {
	switch e.(type) {
	case *sql.Literal, *sql.Param:
		return true
	}
	return false
}

// onGroups rewrites e to read a row of groups: keys, then aggregates.
func (b *Binder) onGroups(e *Expr, k *block) (*Expr, error) {
	at, width := aggOffsets(len(k.keys), k.aggs)
	var err error
	out := e.rewrite(func(x *Expr) *Expr {
		for i, key := range k.keys {
			if key.Equal(x) && !x.isConst() {
				return ColumnRef(i, x.Type)
			}
		}
		switch x.Kind {
		case exprGrouping: // of one set, which has all keys
			for _, a := range x.Args {
				if err == nil && k.keyOf(a) < 0 {
					err = b.notGrouped(a, x.at)
				}
			}
			return Constant(IntValue(0))
		case exprAgg:
			return ColumnRef(at[x.Col]+max(x.Field, 0), x.Type)
		case exprAdjusted:
			return ColumnRef(width+2*x.Col+x.Field, x.Type)
		case ExprCol:
			if i := k.sameKey(x); i >= 0 {
				return ColumnRef(i, x.Type)
			}
			if err == nil {
				err = b.fail(x.at, errcode.GroupingError, "column %q must appear in the GROUP BY clause or be used in an aggregate function", k.scope.cols[x.Col].name)
				if k.scope.cols[x.Col].name == "count" {
					err = errcode.From(err).WithHint("sum(count) is the number of observations")
				}
			}
			return x
		}
		return nil
	})
	return out, err
}

func (b *exprBinder) selectList(items []sql.SelectItem, k *block) error {
	b.clause = "SELECT"
	for _, it := range items {
		if star, ok := it.Expr.(*sql.Star); ok {
			if err := b.star(star, it, k); err != nil {
				return err
			}
			continue
		}
		x, err := b.bind(it.Expr)
		if err != nil {
			return err
		}
		if x.Type == Record {
			k.expand(x, it.Alias.Name, it.Expr.At())
			continue
		}
		order := x.order
		if !k.untyped {
			x = b.settle(x)
		}
		if x.order == nil && order != nil {
			x.order = order
		}
		name := it.Alias.Name
		if name == "" {
			name = outputName(it.Expr)
		}
		k.items = append(k.items, item{name: name, expr: x, at: it.Expr.At()})
	}
	return nil
}

// expand makes the columns of a test.
func (k *block) expand(record *Expr, alias string, at sql.Pos) {
	if alias != "" {
		alias += "_"
	}
	if record.Kind == exprRecord {
		for i, name := range record.names {
			k.items = append(k.items, item{name: alias + name, expr: record.Args[i], at: at})
		}
		return
	}
	for i, c := range record.test.Columns {
		k.items = append(k.items, item{name: alias + c.Name, expr: field(record, i), at: at})
	}
}

func (b *exprBinder) star(star *sql.Star, it sql.SelectItem, k *block) error {
	if star.Record != nil {
		x, err := b.bind(star.Record)
		if err != nil {
			return err
		}
		if x.Type != Record {
			return b.fail(star.Pos, errcode.TypeMismatch, ".* applied to type %s, which is not a composite type", x.Type)
		}
		k.expand(x, it.Alias.Name, star.Pos)
		return nil
	}
	found := false
	for _, r := range k.scope.rels {
		if star.Table != "" && star.Table != r.name || star.Table == "" && r.extra {
			continue
		}
		found = true
		for i := r.from; i < r.from+r.columns; i++ {
			c := k.scope.cols[i]
			if c.name == "" || c.merged && star.Table == "" {
				continue
			}
			k.items = append(k.items, item{name: c.name, expr: k.scope.ref(i, star.Pos), at: star.Pos})
		}
	}
	switch {
	case !found && star.Table != "":
		return b.fail(star.Pos, errcode.UnknownTable, "missing FROM-clause entry for table %q", star.Table)
	case !found:
		return b.fail(star.Pos, errcode.SyntaxError, "SELECT * with no tables specified is not valid")
	}
	return nil
}

// sameKey is the key that is the same column as x by another name of a USING column, or -1.
func (k *block) sameKey(x *Expr) int {
	return slices.IndexFunc(k.keys, func(key *Expr) bool {
		return key.Kind == ExprCol && key.Type == x.Type && k.scope.side(key.Col) == k.scope.side(x.Col)
	})
}

// outputName is the name of a column without an alias, as PostgreSQL gives it.
func outputName(e sql.Expr) string {
	name, _ := ownName(e)
	if name == "" {
		return "?column?"
	}
	return name
}

// ownName is the name that an expression gives a column, if it has one. A weak one gives way to the name of what stands in the expression.
func ownName(e sql.Expr) (name string, weak bool) {
	switch e := e.(type) {
	case *sql.Column:
		return e.Name, false
	case *sql.Field:
		return e.Name, false
	case *sql.Call:
		return e.Name.Name, false
	case *sql.Cast:
		return orName(e.X, e.Type.Name.Name)
	case *sql.Collate:
		return ownName(e.X)
	case *sql.Case:
		return orName(e.Else, "case")
	case *sql.Exists:
		return "exists", false
	case *sql.Array:
		return "array", false
	case *sql.Subscript:
		return ownName(e.X)
	case *sql.Subquery:
		if e.Array {
			return "array", false
		}
		if s, ok := e.Query.Body.(*sql.Select); ok && len(s.Items) == 1 {
			if s.Items[0].Alias.Name != "" {
				return s.Items[0].Alias.Name, false
			}
			return outputName(s.Items[0].Expr), false
		}
	}
	return "", true
}

// orName is the name that x gives, or a weak one of what is around it.
func orName(x sql.Expr, around string) (name string, weak bool) {
	if name, weak = ownName(x); name != "" && !weak {
		return name, false
	}
	return around, true
}

func (b *exprBinder) groupBy(s *sql.Select, k *block) error {
	if slices.ContainsFunc(s.GroupBy, func(g sql.GroupItem) bool { return g.Kind >= sql.Rollup }) {
		return b.groupingSets(s, k)
	}
	e := *b
	e.clause = "GROUP BY"
	for _, g := range s.GroupBy {
		if g.Kind == sql.GroupEmpty {
			continue
		}
		list := g.Exprs
		if row, ok := g.Exprs[0].(*sql.Row); ok {
			list = row.Elems
		}
		for _, x := range list {
			key, err := e.groupKey(x, k)
			if err != nil {
				return err
			}
			k.addKey(key)
		}
	}
	return nil
}

func (k *block) addKey(key *Expr) {
	for _, old := range k.keys {
		if old.Equal(key) {
			return
		}
	}
	if key.isConst() {
		k.constant = true
	} else {
		k.keys = append(k.keys, key)
	}
}

// groupKey is an ordinal, an input column, an output name, or any expression, looked for in this order.
func (b *exprBinder) groupKey(x sql.Expr, k *block) (*Expr, error) {
	var it *item
	switch x := x.(type) {
	case *sql.Literal:
		if x.Kind == sql.IntLiteral {
			i, err := b.ordinal(x, len(k.items), "GROUP BY")
			if err != nil {
				return nil, err
			}
			it = &k.items[i]
		} else {
			return nil, b.noOrdinal(x, "GROUP BY")
		}
	case *sql.Column:
		if x.Table == "" && !k.hasColumn(x.Name) {
			for i := range k.items {
				if k.items[i].name == x.Name {
					it = &k.items[i]
				}
			}
		}
	}
	if it == nil {
		key, err := b.value(x)
		if err != nil {
			return nil, err
		}
		return b.settle(key), nil
	}
	agg := false
	it.expr.walk(func(e *Expr) bool {
		agg = agg || e.Kind == exprAgg || e.Kind == exprAdjusted || e.Kind == exprWindow || e.Kind == exprGrouping
		return true
	})
	if agg {
		return nil, b.fail(x.At(), errcode.GroupingError, "aggregate functions are not allowed in GROUP BY")
	}
	return it.expr, nil
}

func (k *block) hasColumn(name string) bool {
	for _, c := range k.scope.cols {
		if c.name == name {
			return true
		}
	}
	return false
}

// orderItem is an output name, or any expression.
func (b *exprBinder) orderItem(o sql.OrderItem, k *block) (*Expr, error) {
	if c, ok := o.Expr.(*sql.Column); ok && c.Table == "" {
		var found *Expr
		for _, it := range k.items {
			if it.name == c.Name {
				if found != nil && !found.Equal(it.expr) {
					return nil, b.fail(c.Pos, errcode.AmbiguousColumn, "ORDER BY %q is ambiguous", c.Name)
				}
				found = it.expr
			}
		}
		if found != nil {
			return found, nil
		}
		if tests := k.tests(); len(tests) == 1 && !k.hasColumn(c.Name) { // ORDER BY ln_p with the test's columns not shown
			if i := tests[0].test.column(c.Name); i >= 0 {
				return field(tests[0], i), nil
			}
		}
	}
	e := *b
	e.clause = "ORDER BY"
	x, err := e.value(o.Expr)
	if err != nil {
		return nil, err
	}
	order := x.order
	x = b.settle(x)
	x.order = order
	return x, nil
}

// tests lists the tests of the block as records.
func (k *block) tests() []*Expr {
	var out []*Expr
	for i, a := range k.aggs {
		if a.Kind == AggTest {
			out = append(out, &Expr{Kind: exprAgg, Type: Record, Col: i, Field: -1, test: a.Test})
		}
	}
	return out
}
