package plan

import (
	"slices"

	"github.com/quipudb/quipu/query/sql"
	"github.com/quipudb/quipu/server/errcode"
	"github.com/quipudb/quipu/storage/schema"
)

// selectDepthMax bounds the nesting of derived tables and common table expressions after they are put in place.
const selectDepthMax = 50

// workMax bounds how much is bound for one statement: an expression counts 1, a query queryWork. A text of the greatest length stays
// below; a short one of common table expressions, each of which names the one before twice, would not end.
const (
	workMax   = sql.TokensMax
	queryWork = 200
)

// work counts what is bound.
func (b *Binder) work(at sql.Pos, n int) error {
	if b.worked += n; b.worked > workMax {
		return b.fail(at, errcode.TooComplex, "statement too complex: it grows too large when its common table expressions are put in place").
			WithHint("name each of them fewer times, or compute the common part in a statement of its own")
	}
	return nil
}

// cte is a common table expression in force.
type cte struct {
	name    string
	query   *sql.Query
	columns []sql.Ident
	outer   int // how many expressions its own query sees
	from    *outerScope
	cols    []Column // of its query, once that has been bound

	recursive bool
	recursion *recursion // of WITH RECURSIVE, while it is bound; else nil
	union     *sql.SetOp // the body of its query, if it is a UNION
}

// tail is what may follow a body: ORDER BY, LIMIT, OFFSET.
type tail struct {
	order         []sql.OrderItem
	limit, offset sql.Expr
	ties          bool
}

// Query binds a SELECT, VALUES or set operation.
func (b *Binder) Query(q *sql.Query) (*Query, error) {
	root, err := b.query(q)
	if err != nil {
		return nil, err
	}
	return b.whole(root), nil
}

// whole is the query whose rows root gives.
func (b *Binder) whole(root Node) *Query {
	return &Query{Root: root, Columns: root.Columns(), Subqueries: b.subqueries, Runner: b.runner}
}

func (b *Binder) query(q *sql.Query) (Node, error) { return b.queryOf(q, nil) }

// queryOf binds a query, which is that of c if c is one of WITH RECURSIVE.
func (b *Binder) queryOf(q *sql.Query, c *cte) (Node, error) {
	if b.depth++; b.depth > selectDepthMax {
		return nil, b.fail(q.Pos, errcode.TooComplex, "queries are nested more than %d deep", selectDepthMax).
			WithHint("common table expressions count where they are named; join the queries side by side instead")
	}
	defer func() { b.depth-- }()
	if err := b.work(q.Pos, queryWork); err != nil {
		return nil, err
	}
	bind := func() (Node, error) {
		if c != nil && c.union != nil {
			return b.recursiveUnion(c, q, c.union)
		}
		return b.body(q.Body, tailOf(q))
	}
	if q.With == nil {
		return bind()
	}
	return b.with(q.With, bind)
}

func tailOf(q *sql.Query) tail {
	return tail{order: q.OrderBy, limit: q.Limit, offset: q.Offset, ties: q.WithTies}
}

// with binds what stands behind WITH. Queries that it does not name are bound too, for the errors in them; they are not run.
func (b *Binder) with(w *sql.With, bind func() (Node, error)) (Node, error) {
	outer := b.ctes
	defer func() { b.ctes = outer }()
	b.ctes = slices.Grow(outer[:len(outer):len(outer)], len(w.CTEs))
	seen := make(map[string]bool, len(w.CTEs))
	for _, c := range w.CTEs {
		if seen[c.Name] {
			return nil, b.fail(c.Pos, errcode.DuplicateAlias, "WITH query name %q specified more than once", c.Name).WithHint("give one of them another name")
		}
		seen[c.Name] = true
		x := &cte{name: c.Name, query: c.Query, columns: c.Columns, outer: len(b.ctes), from: b.outer}
		if w.Recursive { // all of them see all of them
			x.outer, x.recursive = len(outer)+len(w.CTEs), true
		}
		b.ctes = append(b.ctes, x)
	}
	n, err := bind()
	subqueries, checking := b.subqueries, b.checking
	b.checking = true
	for _, c := range b.ctes[len(outer):] {
		if err == nil && c.cols == nil {
			err = b.fromCTE(c, &sql.TableName{Name: sql.Name{Pos: c.query.Pos, Name: c.name}}, &block{})
		}
	}
	b.subqueries, b.checking = subqueries, checking
	return n, err
}

func (b *Binder) body(body sql.QueryBody, t tail) (Node, error) {
	switch body := body.(type) {
	case *sql.Select:
		return b.selectBlock(body, t)
	case *sql.Values:
		n, err := b.valuesList(body)
		if err != nil {
			return nil, err
		}
		return b.finish(n, t)
	case *sql.SetOp:
		n, err := b.setOp(body)
		if err != nil {
			return nil, err
		}
		return b.finish(n, t)
	case *sql.Query:
		if b.untyped == body {
			b.untyped = body.Body
		}
		n, err := b.query(body)
		if err != nil {
			return nil, err
		}
		return b.finish(n, t)
	}
	return nil, b.unsupported(body.At(), "this kind of query")
}

func (b *Binder) valuesList(v *sql.Values) (Node, error) {
	e := &exprBinder{Binder: b, scope: &scope{}, clause: "VALUES"}
	n := &Rows{}
	for _, r := range v.Rows {
		row, err := e.values(r)
		if err != nil {
			return nil, err
		}
		n.Rows = append(n.Rows, row)
	}
	if len(n.Rows) == 0 {
		return n, nil
	}
	for c := range n.Rows[0] {
		col := make([]*Expr, len(n.Rows))
		at := make([]sql.Pos, len(n.Rows))
		for r := range n.Rows {
			col[r], at[r] = n.Rows[r][c], v.Rows[r][c].At()
		}
		t, err := b.unify("VALUES", col, at)
		if err != nil {
			return nil, err
		}
		for r := range n.Rows {
			n.Rows[r][c] = col[r]
		}
		n.cols = append(n.cols, Column{Name: "column" + itoa(c+1), Type: t})
	}
	return n, nil
}

func (b *Binder) setOp(s *sql.SetOp) (Node, error) {
	l, err := b.side(s.L)
	if err != nil {
		return nil, err
	}
	r, err := b.side(s.R)
	if err != nil {
		return nil, err
	}
	return b.joinSets(s, l, r)
}

func (b *Binder) joinSets(s *sql.SetOp, l, r Node) (Node, error) {
	cols, err := b.matchSets(s, l, r)
	if err != nil {
		return nil, err
	}
	return &SetOp{Kind: setKind(s), L: b.retype(l, cols), R: b.retype(r, cols), cols: cols}, nil
}

// matchSets gives the columns of a set operation. Literals of l and r without a type get that of the other side.
func (b *Binder) matchSets(s *sql.SetOp, l, r Node) ([]Column, error) {
	lc, rc := l.Columns(), r.Columns()
	if len(lc) != len(rc) {
		return nil, b.fail(s.Pos, errcode.SyntaxError, "each side must have the same number of columns: the left has %d, the right %d", len(lc), len(rc))
	}
	var cols []Column
	for i := range lc {
		pair := []*Expr{ColumnRef(i, lc[i].Type), ColumnRef(i, rc[i].Type)}
		open := []*Project{untypedColumn(l, i), untypedColumn(r, i)}
		for j, p := range open {
			if p != nil {
				pair[j] = p.Exprs[i]
			}
		}
		what := map[sql.SetOperator]string{sql.Union: "UNION", sql.Intersect: "INTERSECT", sql.Except: "EXCEPT"}[s.Op]
		t, err := b.unify(what, pair, []sql.Pos{s.L.At(), s.R.At()})
		if err != nil {
			return nil, err
		}
		for j, p := range open {
			if p != nil {
				p.Exprs[i], p.cols[i].Type = pair[j], t
			}
		}
		cols = append(cols, Column{Name: lc[i].Name, Type: t})
	}
	return cols, nil
}

// side binds one side of a set operation. Literals of its select list may stay without a type: the other side gives them one.
func (b *Binder) side(body sql.QueryBody) (Node, error) {
	around := b.untyped
	b.untyped = body
	defer func() { b.untyped = around }()
	return b.body(body, tail{})
}

// untypedColumn is the select list whose column has no type yet; nil if it has one.
func untypedColumn(n Node, col int) *Project {
	for n.Columns()[col].Type == Unknown {
		if p, ok := n.(*Project); ok {
			return p
		}
		n = n.inputs()[0]
	}
	return nil
}

func setKind(s *sql.SetOp) SetKind {
	k := map[sql.SetOperator]SetKind{sql.Union: UnionAll, sql.Intersect: IntersectAll, sql.Except: ExceptAll}[s.Op]
	if !s.All {
		k++
	}
	return k
}

// retype converts the columns of n to the types of cols.
func (b *Binder) retype(n Node, cols []Column) Node {
	same := true
	exprs := make([]*Expr, len(cols))
	for i, c := range n.Columns() {
		exprs[i] = ColumnRef(i, c.Type)
		if c.Type != cols[i].Type {
			same = false
			exprs[i] = call(castTo[cols[i].Type], cols[i].Type, exprs[i])
		}
	}
	if same {
		return n
	}
	return &Project{Input: n, Exprs: exprs, cols: cols}
}

// finish adds ORDER BY and LIMIT to a body whose only names are its output columns.
func (b *Binder) finish(n Node, t tail) (Node, error) {
	cols := n.Columns()
	s := &scope{}
	var sc []scopeColumn
	for _, c := range cols {
		sc = append(sc, scopeColumn{name: c.Name, typ: c.Type})
	}
	s.add("", "", nil, sc)
	exprs := identity(cols)
	keys, err := b.orderKeys(t.order, &exprs, func(item sql.OrderItem) (*Expr, error) {
		e := &exprBinder{Binder: b, scope: s, clause: "ORDER BY"}
		return e.value(item.Expr)
	})
	if err != nil {
		return nil, err
	}
	if len(exprs) > len(cols) {
		n = &Project{Input: n, Exprs: exprs, cols: padColumns(cols, exprs)}
	}
	return b.sortLimit(n, keys, t, len(cols))
}

func identity(cols []Column) []*Expr {
	exprs := make([]*Expr, len(cols))
	for i, c := range cols {
		exprs[i] = ColumnRef(i, c.Type)
	}
	return exprs
}

// padColumns names the columns that only a Sort needs.
func padColumns(cols []Column, exprs []*Expr) []Column {
	cols = cols[:len(cols):len(cols)]
	for _, e := range exprs[len(cols):] {
		cols = append(cols, Column{Name: "", Type: e.Type})
	}
	return cols
}

// orderKeys makes sort keys of an ORDER BY; expressions that are not among exprs are appended to it.
func (b *Binder) orderKeys(items []sql.OrderItem, exprs *[]*Expr, bind func(sql.OrderItem) (*Expr, error)) ([]SortKey, error) {
	visible := len(*exprs)
	var keys []SortKey
	for _, item := range items {
		var x *Expr
		if l, ok := item.Expr.(*sql.Literal); ok && l.Kind == sql.IntLiteral {
			i, err := b.ordinal(l, visible, "ORDER BY")
			if err != nil {
				return nil, err
			}
			x = (*exprs)[i]
		} else if ok {
			return nil, b.noOrdinal(l, "ORDER BY")
		} else {
			var err error
			if x, err = bind(item); err != nil {
				return nil, err
			}
		}
		if x.order != nil {
			x = rank(x, x.order)
		}
		if x.testColumn() == "p_value" && x.test.column("ln_p") >= 0 { // p underflows and ties; ln p does not
			x = field(x, x.test.column("ln_p"))
		}
		if x.Kind == exprAdjusted && x.Field == 0 {
			x = adjustedRef(x.Col, 1)
		}
		col := -1
		for i, e := range *exprs {
			if e.Equal(x) {
				col = i
				break
			}
		}
		if col < 0 {
			col = len(*exprs)
			*exprs = append(*exprs, x)
		}
		first := item.Nulls == sql.NullsFirst || item.Nulls == sql.NullsDefault && item.Desc
		keys = append(keys, SortKey{Col: col, Desc: item.Desc, NullsFirst: first})
	}
	return keys, nil
}

// noOrdinal refuses a constant that is no position, as which it would mean nothing.
func (b *Binder) noOrdinal(l *sql.Literal, clause string) error {
	err := b.fail(l.Pos, errcode.SyntaxError, "non-integer constant in %s", clause)
	if l.Kind == sql.StringLiteral {
		return err.WithHint("the name of a column stands in double quotes, or in none")
	}
	return err
}

func (b *Binder) ordinal(l *sql.Literal, n int, clause string) (int, error) {
	i := 0
	for _, d := range l.Text {
		if i = i*10 + int(d-'0'); i > n {
			break
		}
	}
	if i < 1 || i > n {
		return 0, b.fail(l.Pos, errcode.InvalidReference, "%s position %s is not in select list", clause, clipText(l.Text))
	}
	return i - 1, nil
}

// sortLimit adds what follows the projection, whose first width columns are the result.
func (b *Binder) sortLimit(n Node, keys []SortKey, t tail, width int) (Node, error) {
	count, countOf, err := b.rowCount(t.limit, "LIMIT", -1)
	if err != nil {
		return nil, err
	}
	offset, offsetOf, err := b.rowCount(t.offset, "OFFSET", 0)
	if err != nil {
		return nil, err
	}
	keep := int64(-1)
	if count >= 0 && !t.ties && count+offset >= 0 && offsetOf == nil {
		keep = count + offset
	}
	if len(keys) > 0 {
		n = &Sort{Input: n, Keys: keys, Keep: keep}
	}
	if count >= 0 || offset > 0 || countOf != nil || offsetOf != nil {
		l := &Limit{Input: n, Count: count, Offset: offset, CountOf: countOf, OffsetOf: offsetOf}
		if t.ties {
			l.Ties = keys
		}
		n = l
	}
	if len(n.Columns()) > width {
		n = &Cut{Input: n, Width: width}
	}
	return n, nil
}

// rowCount evaluates LIMIT or OFFSET; none is what NULL and nothing mean. What only a run can know comes back as an expression.
func (b *Binder) rowCount(e sql.Expr, clause string, none int64) (int64, *Expr, error) {
	if e == nil {
		return none, nil, nil
	}
	x, err := (&exprBinder{Binder: b, scope: &scope{}, clause: clause}).value(e)
	if err != nil {
		if c, ok := e.(*sql.Column); ok && errcode.From(err).Code == errcode.UnknownColumn {
			err = b.fail(c.Pos, errcode.InvalidReference, "argument of %s must not contain variables", clause)
		}
		return 0, nil, err
	}
	if x.Type == Float8 && x.isConst() {
		x = call(castTo[Int8], Int8, x)
	}
	if x, err = b.coerce(x, Int8, e.At()); err != nil {
		return 0, nil, err
	}
	switch {
	case x.Kind == exprParam:
		return none, nil, nil
	case hasSubquery(x) || x.outer():
		return none, x, nil
	}
	v, err := x.Eval(nil)
	switch {
	case err != nil:
		return 0, nil, b.locate(err, e.At())
	case v.IsNull():
		return none, nil, nil
	case v.Int() < 0:
		return 0, nil, b.fail(e.At(), errcode.InvalidOption, "%s must not be negative", clause)
	}
	return v.Int(), nil, nil
}

// from binds the FROM of a block.
func (b *Binder) from(refs []sql.TableRef, blk *block) error {
	around := b.fromOuter
	b.fromOuter = b.outer
	defer func() { b.fromOuter = around }()
	if len(refs) == 0 {
		blk.source = &Rows{Rows: [][]*Expr{{}}}
		return nil
	}
	if _, join := refs[0].(*sql.Join); join || len(refs) > 1 {
		return b.fromList(refs, blk)
	}
	return b.fromOne(refs[0], blk)
}

// fromOne binds an entry of FROM that is no join.
func (b *Binder) fromOne(ref sql.TableRef, blk *block) error {
	switch ref := ref.(type) {
	case *sql.TableName:
		return b.fromName(ref, blk)
	case *sql.Derived:
		around := b.outer
		if !ref.Lateral {
			b.outer = b.fromOuter
		}
		n, err := b.query(ref.Query)
		b.outer = around
		if err != nil {
			return err
		}
		return b.fromNode(n, ref.Alias, "", ref.Pos, blk)
	case *sql.TableFunc:
		n, err := b.tableFunction(ref)
		if err != nil {
			return err
		}
		alias := ref.Alias
		if f, ok := n.(*Functions); ok && alias.Name != "" && len(alias.Columns) == 0 && f.scalar() { // FROM f() AS s names the column too
			alias.Columns = []sql.Ident{{Pos: alias.Pos, Name: alias.Name}}
		}
		return b.fromNode(n, alias, ref.Call.Name.Name, ref.Pos, blk)
	}
	return b.unsupported(ref.At(), "this entry of FROM")
}

func (b *Binder) fromNode(n Node, a sql.Alias, name string, at sql.Pos, blk *block) error {
	var cols []scopeColumn
	for _, c := range n.Columns() {
		cols = append(cols, scopeColumn{name: c.Name, typ: c.Type})
	}
	if a.Name != "" {
		name = a.Name
	}
	if len(a.Columns) > len(cols) {
		return b.fail(a.Columns[len(cols)].Pos, errcode.InvalidReference, "table %q has %d columns available but %d columns specified", name, len(cols), len(a.Columns))
	}
	for i, c := range a.Columns {
		cols[i].name = c.Name
	}
	blk.source = n
	blk.scope.add(name, "", nil, cols)
	return nil
}

func (b *Binder) fromName(ref *sql.TableName, blk *block) error {
	if ref.Schema == "" && ref.Database == "" {
		for i := len(b.ctes) - 1; i >= 0; i-- {
			if c := b.ctes[i]; c.name == ref.Name.Name {
				return b.fromCTE(c, ref, blk)
			}
		}
	}
	if n := b.systemTable(ref.Name); n != nil {
		if b.Rights != nil {
			if err := b.Rights.Relation(n.Name); err != nil {
				return err
			}
		}
		if err := b.fromNode(n, ref.Alias, ref.Name.Name, ref.Pos, blk); err != nil {
			return err
		}
		r := &blk.scope.rels[len(blk.scope.rels)-1]
		r.system = n
		if ref.Alias.Name == "" {
			r.schema = r.system.schema
		}
		return nil
	}
	t, err := b.Table(ref.Name, schema.Select)
	if err != nil {
		return err
	}
	cols := tableColumns(t)
	for i, c := range ref.Alias.Columns {
		if i >= len(t.Dims) {
			return b.fail(c.Pos, errcode.InvalidReference, "table %q has %d dimensions but %d names are given", t.Name.Table, len(t.Dims), len(ref.Alias.Columns))
		}
		cols[i].name = c.Name
	}
	name := ref.Alias.Name
	schemaName := ""
	if name == "" {
		name, schemaName = t.Name.Table, t.Name.Schema
	}
	blk.table = t
	blk.scope.add(name, schemaName, t, cols)
	return nil
}

func (b *Binder) fromCTE(c *cte, ref *sql.TableName, blk *block) error {
	if c.recursion != nil {
		return b.ofItself(c, ref, blk)
	}
	var n Node = &Rows{cols: slices.Clone(c.cols)}
	if !b.checking || c.cols == nil {
		var err error
		if n, err = b.ofCTE(c); err != nil {
			return err
		}
		c.cols = append([]Column{}, n.Columns()...)
	}
	a := ref.Alias
	if a.Name == "" {
		a.Name = ref.Name.Name
	}
	if a.Columns == nil {
		a.Columns = c.columns
	}
	return b.fromNode(n, a, a.Name, ref.Pos, blk)
}

// ofCTE binds the query of c where c stands.
func (b *Binder) ofCTE(c *cte) (Node, error) {
	seen, outer := b.ctes, b.outer
	b.ctes, b.outer = b.ctes[:c.outer:c.outer], c.from
	defer func() { b.ctes, b.outer = seen, outer }()
	if !c.recursive {
		return b.query(c.query)
	}
	c.recursion = &recursion{}
	if s, ok := c.query.Body.(*sql.SetOp); ok && s.Op == sql.Union {
		c.union = s
	}
	b.binding = append(b.binding, c)
	defer func() { c.recursion, b.binding = nil, b.binding[:len(b.binding)-1] }()
	return b.queryOf(c.query, c)
}

// systemTable gives the rows of a relation that is computed, or nil. Those of pg_catalog need no schema in front.
func (b *Binder) systemTable(n sql.Name) *System {
	name := n.Schema
	if name == "" {
		name = "pg_catalog"
	}
	if b.System == nil || n.Database != "" && n.Database != b.Database {
		return nil
	}
	r := b.System.Relation(name, n.Name)
	if r == nil {
		return nil
	}
	b.passes()
	return &System{Name: name + "." + n.Name, Read: r.Read, schema: name, oid: r.OID, cols: r.Columns}
}

// TableList shows tables as rows.
func TableList(tables []*schema.Table) Node {
	cols := []Column{{"name", Text}, {"dimensions", Text}, {"partition_by", Text}, {"window", Text}, {"retention", Text}, {"version", Int8}}
	return &System{Name: "quipu.tables", Read: func() ([][]Value, error) { return TableRows(tables), nil }, cols: cols}
}

// TableRows are the rows of quipu.tables.
func TableRows(tables []*schema.Table) [][]Value {
	var out [][]Value
	for _, t := range tables {
		dims, parts := "", ""
		for i, d := range t.Dims {
			if i > 0 {
				dims += ", "
			}
			dims += d.Name + " " + d.Type.String()
		}
		for i, p := range t.PartitionBy {
			if i > 0 {
				parts += ", "
			}
			parts += t.Dims[p].Name
		}
		out = append(out, []Value{TextValue(t.Name.Table), TextValue(dims), TextValue(parts), DurationValue(t.Window), DurationValue(t.Retention), IntValue(int64(t.Version))})
	}
	return out
}
