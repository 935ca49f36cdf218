package sql

import (
	"strconv"
	"strings"
)

// query reads a query with all its clauses.
func (p *parser) query() *Query {
	return p.within(func() *Query {
		q := &Query{Pos: p.tok.pos}
		if p.tok.is("with") {
			q.With = p.with()
		}
		return p.queryAfterWith(q)
	})
}

// within reads a query one select deeper. The expressions inside are counted for themselves.
func (p *parser) within(read func() *Query) *Query {
	p.nest(1)
	depth, deepest := p.depth, p.deepest
	p.depth, p.deepest = 0, 0
	q := read()
	p.depth, p.deepest = depth, deepest
	p.selects--
	return q
}

// queryAfterWith reads the body and the clauses behind it.
func (p *parser) queryAfterWith(q *Query) *Query {
	q.Body = p.setOps(p.term(), 0)
	p.clauses(q)
	if inner, ok := q.Body.(*Query); ok && bare(q) {
		inner.Pos = q.Pos
		return inner
	}
	return q
}

// continuedQuery reads what follows a query in parentheses that turned out not to be the whole.
func (p *parser) continuedQuery(left *Query) *Query {
	if !p.continuesQuery() {
		return left
	}
	return p.within(func() *Query {
		q := &Query{Pos: left.Pos, Body: p.setOps(bodyOf(left), 0)}
		p.clauses(q)
		return q
	})
}

// continuesQuery says whether the current word goes on with a query whose body is complete.
func (p *parser) continuesQuery() bool {
	if p.tok.kind != kWord {
		return false
	}
	switch p.tok.text {
	case "union", "intersect", "except", "order", "limit", "offset", "fetch":
		return true
	}
	return false
}

// bare says whether q is nothing but its body.
func bare(q *Query) bool {
	return q.With == nil && q.OrderBy == nil && q.Limit == nil && q.Offset == nil
}

// bodyOf is q as a part of a larger query.
func bodyOf(q *Query) QueryBody {
	if bare(q) {
		return q.Body
	}
	return q
}

func (p *parser) with() *With {
	w := &With{Pos: p.tok.pos}
	p.advance()
	w.Recursive = p.acceptWord("recursive")
	for {
		id := p.ident("the name of a query")
		c := CTE{Pos: id.Pos, Name: id.Name}
		if !p.tok.punct("(") || !startsQuery(p.peek()) {
			c.Columns = p.optionalIdents("the name of a column")
		}
		p.expectWord("as")
		switch {
		case p.acceptWord("materialized"):
			c.Materialize = Materialized
		case p.acceptWords("not", "materialized"):
			c.Materialize = NotMaterialized
		}
		p.expect("(")
		if p.tok.is("insert") || p.tok.is("delete") || p.tok.is("update") {
			panic(p.fail(CodeUnsupported, p.tok.pos, "statements that write are not supported in WITH", "send it as a statement of its own"))
		}
		c.Query = p.query()
		p.closeQuery()
		if p.tok.is("search") || p.tok.is("cycle") {
			panic(p.unsupported(p.tok.pos, strings.ToUpper(p.tok.text)+" of WITH RECURSIVE", "keep the path in an array: … path || key … WHERE key <> ALL (path)"))
		}
		w.CTEs = append(w.CTEs, c)
		if !p.accept(",") {
			return w
		}
	}
}

// term reads a SELECT, VALUES, TABLE, or a query in parentheses.
func (p *parser) term() QueryBody {
	at := p.tok.pos
	switch {
	case p.tok.is("select"):
		return p.selectBlock()
	case p.tok.is("values"):
		return p.values()
	case p.acceptWord("table"):
		t := &TableName{Name: p.name("the name of a table")}
		return &Select{Pos: at, Items: []SelectItem{{Expr: &Star{Pos: at}}}, From: []TableRef{t}}
	case p.accept("("):
		q := p.query()
		p.closeQuery()
		return bodyOf(q)
	}
	panic(p.expected("select", "values", "table", "("))
}

// setOps reads UNION, EXCEPT (least 0) and INTERSECT, which binds tighter, behind left.
func (p *parser) setOps(left QueryBody, least int) QueryBody {
	chain := 0
	for {
		op, power := Union, 0
		switch {
		case p.tok.is("union"):
		case p.tok.is("except"):
			op = Except
		case p.tok.is("intersect"):
			op, power = Intersect, 1
		default:
			p.selects -= chain
			return left
		}
		if power < least {
			p.selects -= chain
			return left
		}
		s := &SetOp{Pos: p.tok.pos, Op: op, L: left}
		p.advance()
		if s.All = p.acceptWord("all"); !s.All {
			p.acceptWord("distinct")
		}
		chain++
		p.nest(1)
		s.R = p.setOps(p.term(), power+1)
		left = s
	}
}

// clauses reads ORDER BY, LIMIT, OFFSET and FETCH.
func (p *parser) clauses(q *Query) {
	q.OrderBy = p.orderBy()
	limited := false
	for {
		at := p.tok.pos
		switch {
		case p.tok.is("limit") && !limited:
			limited = true
			p.limit(q)
		case p.tok.is("fetch") && !limited:
			limited = true
			p.fetch(q)
		case p.tok.is("offset") && q.Offset == nil:
			p.advance()
			q.Offset = p.expr(0)
			if !p.acceptWord("rows") {
				p.acceptWord("row")
			}
		case p.tok.is("limit") || p.tok.is("fetch") || p.tok.is("offset"):
			panic(p.syntaxHint("LIMIT and OFFSET stand once in a query"))
		case p.tok.is("for"):
			panic(p.fail(CodeUnsupported, at, "SELECT … FOR UPDATE or SHARE is not supported", "a query reads a snapshot and locks nothing: leave it out"))
		default:
			if q.WithTies && q.OrderBy == nil {
				panic(p.syntaxHint("WITH TIES needs an ORDER BY"))
			}
			return
		}
	}
}

func (p *parser) limit(q *Query) {
	p.advance()
	if p.acceptWord("all") {
		return
	}
	q.Limit = p.expr(0)
	if p.tok.punct(",") {
		panic(p.syntaxHint("write LIMIT rows OFFSET skipped"))
	}
}

func (p *parser) fetch(q *Query) {
	p.advance()
	if !p.acceptWord("first") {
		p.expectWord("next", "first", "next")
	}
	if p.tok.is("row") || p.tok.is("rows") {
		q.Limit = p.literal(IntLiteral, "1")
	} else {
		// PostgreSQL takes a constant, a parameter or parentheses here.
		q.Limit = p.expr(powerSign)
	}
	if !p.acceptWord("rows") {
		p.expectWord("row", "row", "rows")
	}
	if q.WithTies = p.acceptWords("with", "ties"); !q.WithTies {
		p.expectWord("only", "only", "with ties")
	}
}

// orderBy reads ORDER BY if it is there.
func (p *parser) orderBy() []OrderItem {
	if !p.acceptWord("order") {
		return nil
	}
	p.expectWord("by")
	var list []OrderItem
	for {
		p.boundKeys(len(list))
		item := OrderItem{Expr: p.expr(0)}
		if p.tok.is("using") {
			panic(p.fail(CodeUnsupported, p.tok.pos, "ORDER BY … USING is not supported", "write ASC or DESC"))
		}
		if item.Desc = p.acceptWord("desc"); !item.Desc {
			p.acceptWord("asc")
		}
		if p.acceptWord("nulls") {
			item.Nulls = NullsLast
			if !p.acceptWord("last") {
				p.expectWord("first", "first", "last")
				item.Nulls = NullsFirst
			}
		}
		list = append(list, item)
		if !p.accept(",") {
			return list
		}
	}
}

// keyList reads a, b, … that rows are compared by.
func (p *parser) keyList() []Expr {
	list := []Expr{p.expr(0)}
	for p.accept(",") {
		p.boundKeys(len(list))
		list = append(list, p.expr(0))
	}
	return list
}

// boundKeys refuses one key more than n. PostgreSQL counts keys as entries of the select list; the planner compares each with all.
func (p *parser) boundKeys(n int) {
	if n == ColumnsMax {
		panic(p.fail(CodeTooMany, p.tok.pos, "a list of keys can have at most "+strconv.Itoa(ColumnsMax)+" entries", "drop the keys that follow from others"))
	}
}

func (p *parser) selectBlock() *Select {
	s := &Select{Pos: p.tok.pos}
	p.advance()
	p.distinct(s)
	// An empty list is legal and EXISTS (SELECT FROM t) likes it.
	if !p.tok.is("from") {
		s.Items = p.items()
	}
	if p.tok.is("into") {
		panic(p.fail(CodeUnsupported, p.tok.pos, "SELECT INTO is not supported", "use CREATE TABLE and INSERT … SELECT"))
	}
	if p.acceptWord("from") {
		s.From = p.from()
	}
	if p.acceptWord("where") {
		s.Where = p.expr(0)
	}
	p.groupBy(s)
	if p.acceptWord("having") {
		s.Having = p.expr(0)
	}
	if p.acceptWord("window") {
		s.Windows = p.windows()
	}
	return s
}

func (p *parser) distinct(s *Select) {
	if !p.acceptWord("distinct") {
		p.acceptWord("all")
		return
	}
	s.Distinct = true
	if p.acceptWord("on") {
		p.expect("(")
		s.DistinctOn = p.keyList()
		p.closeList()
	}
}

// items reads a select list.
func (p *parser) items() []SelectItem {
	var list []SelectItem
	for {
		if len(list) == ColumnsMax {
			panic(p.fail(CodeTooMany, p.tok.pos, "target lists can have at most "+strconv.Itoa(ColumnsMax)+" entries", ""))
		}
		list = append(list, p.item())
		if !p.tok.punct(",") {
			return list
		}
		p.advance()
		if p.tok.is("from") {
			panic(p.syntaxHint("delete the comma before FROM"))
		}
	}
}

func (p *parser) item() SelectItem {
	if p.tok.op("*") {
		star := &Star{Pos: p.tok.pos}
		p.advance()
		return SelectItem{Expr: star}
	}
	item := SelectItem{Expr: p.expr(0)}
	switch {
	case p.acceptWord("as"):
		item.Alias = p.label("the name of a column")
	case p.tok.kind == kQuoted, p.tok.kind == kWord && !needsAs[p.tok.text]:
		item.Alias = p.label("the name of a column")
	}
	return item
}

func (p *parser) groupBy(s *Select) {
	if !p.acceptWord("group") {
		return
	}
	p.expectWord("by")
	if s.GroupDistinct = p.acceptWord("distinct"); !s.GroupDistinct {
		p.acceptWord("all")
	}
	s.GroupBy = p.groupItems()
}

func (p *parser) groupItems() []GroupItem {
	list := []GroupItem{p.groupItem()}
	for p.accept(",") {
		p.boundKeys(len(list))
		list = append(list, p.groupItem())
	}
	return list
}

func (p *parser) groupItem() GroupItem {
	g := GroupItem{Pos: p.tok.pos}
	switch {
	case p.tok.punct("(") && p.peek().punct(")"):
		p.advance()
		p.advance()
		g.Kind = GroupEmpty
	case p.tok.is("rollup") && p.peek().punct("("):
		g.Kind = Rollup
		p.groupList(&g)
	case p.tok.is("cube") && p.peek().punct("("):
		g.Kind = Cube
		p.groupList(&g)
	case p.tok.is("grouping") && p.peek().is("sets"):
		p.advance()
		p.advance()
		g.Kind = GroupingSets
		p.enter()
		p.expect("(")
		g.Sets = p.groupItems()
		p.closeList()
		p.depth--
	default:
		g.Exprs = []Expr{p.expr(0)}
	}
	return g
}

// groupList reads the elements of ROLLUP and CUBE.
func (p *parser) groupList(g *GroupItem) {
	p.advance()
	p.expect("(")
	g.Exprs = p.keyList()
	p.closeList()
}

// values reads VALUES (…), (…).
func (p *parser) values() *Values {
	v := &Values{Pos: p.tok.pos}
	p.advance()
	for {
		at := p.tok.pos
		width := -1
		if len(v.Rows) > 0 {
			width = len(v.Rows[0])
		}
		row := p.valueRow(width)
		if width >= 0 && len(row) != width {
			panic(p.fail(CodeSyntax, at, "VALUES lists must all be the same length", "row "+strconv.Itoa(len(v.Rows)+1)+" has "+
				strconv.Itoa(len(row))+" values, the first has "+strconv.Itoa(width)))
		}
		v.Rows = append(v.Rows, row)
		if !p.accept(",") {
			return v
		}
	}
}

// valueRow reads one row of VALUES, taking its slice from a slab if its width is known.
func (p *parser) valueRow(width int) []Expr {
	p.expect("(")
	var row []Expr
	if width > 0 {
		if len(p.exprs) < width {
			p.exprs = make([]Expr, width*64)
		}
		row, p.exprs = p.exprs[:0:width], p.exprs[width:]
	}
	for {
		row = append(row, p.value())
		if len(row) > ColumnsMax {
			panic(p.fail(CodeTooMany, p.tok.pos, "VALUES lists can have at most "+strconv.Itoa(ColumnsMax)+" entries", ""))
		}
		if !p.accept(",") {
			p.closeList()
			return row
		}
	}
}

// value reads a value of a row. Nearly all are literals with a comma behind, which need none of the expression parser.
func (p *parser) value() Expr {
	if p.tok.is("default") {
		d := &Default{p.tok.pos}
		p.advance()
		return d
	}
	l := p.constant()
	switch {
	case l == nil:
		return p.expr(0)
	case p.tok.punct(",") || p.tok.punct(")"):
		return l
	}
	p.deepest = p.depth + 1
	return p.continued(l, 0)
}
