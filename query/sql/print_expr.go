package sql

import (
	"strconv"
	"strings"
)

// expr writes e, in parentheses if it binds less tightly than least.
func (p *printer) expr(e Expr, least int) {
	if power(e) < least {
		p.put("(")
		p.bare(e)
		p.put(")")
		return
	}
	p.bare(e)
}

// power is how tightly the outermost operator of e binds.
func power(e Expr) int {
	switch e := e.(type) {
	case *Logic:
		if e.Op == And {
			return powerAnd
		}
		return powerOr
	case *Not:
		return powerNot
	case *Is, *IsDistinct:
		return powerIs
	case *Between, *Like, *In:
		return powerIn
	case *Quantified:
		switch e.Op {
		case "like", "ilike", "not like", "not ilike":
			return powerIn
		}
		return binaryPower(e.Schema, e.Op)
	case *Binary:
		return binaryPower(e.Schema, e.Op)
	case *Unary:
		if e.Schema == "" && (e.Op == "-" || e.Op == "+") {
			return powerSign
		}
		return powerOperator
	case *Collate:
		return powerZone
	}
	return powerPostfix
}

func binaryPower(schema, op string) int {
	if schema != "" {
		return powerOperator
	}
	return powerOf(op)
}

// bare writes e without parentheses around it.
func (p *printer) bare(e Expr) {
	switch e := e.(type) {
	case *Literal:
		p.literal(e)
	case *Column:
		p.put(Name{Database: e.Schema, Schema: e.Table, Name: e.Name}.String())
	case *Star:
		p.star(e)
	case *Param:
		p.put("$", strconv.Itoa(e.N))
	case *Default:
		p.put("DEFAULT")
	case *Unary:
		p.unary(e)
	case *Binary:
		p.operand(e.L, binaryPower(e.Schema, e.Op))
		p.operator(e.Schema, e.Op)
		p.expr(e.R, binaryPower(e.Schema, e.Op)+1)
	case *Logic:
		p.logic(e)
	case *Not:
		p.put("NOT ")
		p.expr(e.X, powerNot)
	case *Collate:
		p.expr(e.X, powerZone)
		p.put(" COLLATE ", e.Name.String())
	case *Is, *IsDistinct, *Between, *Like, *In, *Quantified:
		p.predicate(e)
	case *Call:
		p.call(e)
	default:
		p.compound(e)
	}
}

// operand writes the left side of an operator of the given power. Comparisons do not chain, and a sign in front would
// take what follows: both get parentheses.
func (p *printer) operand(e Expr, power int) {
	least := power
	if power >= powerIs && power <= powerIn {
		least++
	}
	p.expr(e, least)
}

func (p *printer) operator(schema, op string) {
	if schema != "" {
		p.put(" OPERATOR(", QuoteIdent(schema), ".", op, ") ")
		return
	}
	p.put(" ", op, " ")
}

// unary leaves no two operator signs side by side: they would read as one, or as a comment.
func (p *printer) unary(e *Unary) {
	switch {
	case e.Schema != "":
		p.put("OPERATOR(", QuoteIdent(e.Schema), ".", e.Op, ") ")
	case prefixNeedsName(e.Op):
		p.put("OPERATOR(", e.Op, ") ")
	case e.Op == "-" || e.Op == "+":
		p.put(e.Op)
		if _, nested := e.X.(*Unary); nested {
			p.put("(")
			p.bare(e.X)
			p.put(")")
			return
		}
		p.expr(e.X, powerSign)
		return
	default:
		p.put(e.Op, " ")
	}
	p.expr(e.X, powerOperator+1)
}

// prefixNeedsName says whether op is read as an infix operator only, so that in front it is written OPERATOR(op).
func prefixNeedsName(op string) bool {
	switch op {
	case "?", "*", "=", "<", ">", "<=", ">=", "<>", "/", "%", "^":
		return true
	}
	return strings.Contains(op, "`")
}

func (p *printer) literal(l *Literal) {
	switch l.Kind {
	case NullLiteral:
		p.put("NULL")
	case BoolLiteral:
		if l.Text == "true" {
			p.put("TRUE")
		} else {
			p.put("FALSE")
		}
	case StringLiteral:
		p.put(QuoteString(l.Text))
	default:
		p.put(l.Text)
	}
}

func (p *printer) star(s *Star) {
	switch {
	case s.Record != nil:
		p.record(s.Record)
		p.put(".*")
	case s.Table != "":
		p.put(Name{Schema: s.Schema, Name: s.Table}.String(), ".*")
	default:
		p.put("*")
	}
}

func (p *printer) logic(l *Logic) {
	word, power := " AND ", powerAnd
	if l.Op == Or {
		word, power = " OR ", powerOr
	}
	for i, a := range l.Args {
		p.when(i > 0, word)
		p.expr(a, power+1)
	}
}

// record writes what a field is taken of.
func (p *printer) record(e Expr) {
	switch e.(type) {
	case *Field, *Subscript, *Param, *Subquery, *Row:
		if s, ok := e.(*Subquery); !ok || !s.Array {
			if r, ok := e.(*Row); !ok || len(r.Elems) > 1 {
				p.bare(e)
				return
			}
		}
	}
	p.put("(")
	p.bare(e)
	p.put(")")
}

func (p *printer) predicate(e Expr) {
	switch e := e.(type) {
	case *Is:
		p.operand(e.X, powerIs)
		p.put(" IS ", notWord(e.Not), [...]string{IsNull: "NULL", IsTrue: "TRUE", IsFalse: "FALSE", IsUnknown: "UNKNOWN"}[e.Kind])
	case *IsDistinct:
		p.operand(e.L, powerIs)
		p.put(" IS ", notWord(e.Not), "DISTINCT FROM ")
		p.expr(e.R, powerIs+1)
	case *Between:
		p.operand(e.X, powerIn)
		p.put(" ", notWord(e.Not), "BETWEEN ")
		p.when(e.Symmetric, "SYMMETRIC ")
		p.expr(e.Low, powerIn+1)
		p.put(" AND ")
		p.expr(e.High, powerIn+1)
	case *Like:
		p.operand(e.X, powerIn)
		p.put(" ", notWord(e.Not), [...]string{PlainLike: "LIKE ", ILike: "ILIKE ", SimilarTo: "SIMILAR TO "}[e.Kind])
		p.expr(e.Pattern, powerIn+1)
		if e.Escape != nil {
			p.put(" ESCAPE ")
			p.expr(e.Escape, powerIn+1)
		}
	case *In:
		p.operand(e.X, powerIn)
		p.put(" ", notWord(e.Not), "IN ")
		p.queryOrList(e.Query, e.List)
	case *Quantified:
		p.quantified(e)
	}
}

func (p *printer) quantified(e *Quantified) {
	p.operand(e.X, power(e))
	switch e.Op {
	case "like", "ilike":
		p.put(map[string]string{"like": " LIKE ", "ilike": " ILIKE "}[e.Op])
	case "not like", "not ilike":
		p.put(map[string]string{"not like": " NOT LIKE ", "not ilike": " NOT ILIKE "}[e.Op])
	default:
		p.operator(e.Schema, e.Op)
	}
	if e.All {
		p.put("ALL ")
	} else {
		p.put("ANY ")
	}
	if e.Query != nil {
		p.queryOrList(e.Query, nil)
		return
	}
	p.queryOrList(nil, []Expr{e.Array})
}

func notWord(not bool) string {
	if not {
		return "NOT "
	}
	return ""
}

// queryOrList writes ( query ) or ( a, b ). A list never has a subquery as its only entry: more parentheses around a
// query are read as the query.
func (p *printer) queryOrList(q *Query, list []Expr) {
	p.put("(")
	if q != nil {
		p.query(q)
	} else {
		p.list(list)
	}
	p.put(")")
}

func (p *printer) list(list []Expr) {
	for i, e := range list {
		p.comma(i)
		p.expr(e, 0)
	}
}

func (p *printer) compound(e Expr) {
	switch e := e.(type) {
	case *Exists:
		p.put("EXISTS ")
		p.queryOrList(e.Query, nil)
	case *Subquery:
		p.when(e.Array, "ARRAY")
		p.queryOrList(e.Query, nil)
	case *Array:
		p.put("ARRAY[")
		p.list(e.Elems)
		p.put("]")
	case *Row:
		p.when(len(e.Elems) < 2, "ROW")
		p.put("(")
		p.list(e.Elems)
		p.put(")")
	case *Subscript:
		p.subscript(e)
	case *Field:
		p.record(e.X)
		p.put(".", QuoteIdent(e.Name))
	case *Case:
		p.caseOf(e)
	case *Cast:
		if _, star := e.X.(*Star); star {
			p.expr(e.X, powerPostfix+1)
		} else {
			p.expr(e.X, powerPostfix)
		}
		p.put("::")
		p.typeName(e.Type)
	}
}

func (p *printer) subscript(e *Subscript) {
	if c, ok := e.X.(*Column); ok {
		p.bare(c)
	} else {
		p.record(e.X)
	}
	p.put("[")
	if e.Low != nil {
		p.expr(e.Low, 0)
	}
	p.when(e.Slice, ":")
	if e.High != nil {
		p.expr(e.High, 0)
	}
	p.put("]")
}

func (p *printer) caseOf(c *Case) {
	p.put("CASE")
	if c.Operand != nil {
		p.put(" ")
		p.expr(c.Operand, 0)
	}
	for _, w := range c.Whens {
		p.put(" WHEN ")
		p.expr(w.If, 0)
		p.put(" THEN ")
		p.expr(w.Then, 0)
	}
	if c.Else != nil {
		p.put(" ELSE ")
		p.expr(c.Else, 0)
	}
	p.put(" END")
}

// function writes the name of a function. Words with a syntax of their own are quoted unless the arguments fit it.
func (p *printer) function(c *Call) {
	n := c.Name
	if n.Schema == "" {
		switch n.Name {
		case "rollup", "cube", "operator":
			p.put(`"`, n.Name, `"`) // in front of a parenthesis they are something else
			return
		}
		if classOf[n.Name] == types || callable[n.Name] || n.Name == "substring" && c.isPlain() && len(c.Args) > 0 {
			p.put(n.Name)
			return
		}
		if n.Name == "extract" && c.isPlain() && len(c.Args) == 2 {
			if l, ok := c.Args[0].Value.(*Literal); ok && l.Kind == StringLiteral {
				p.put(n.Name)
				return
			}
		}
	}
	p.put(n.String())
}

// isPlain says whether c has nothing but a list of values.
func (c *Call) isPlain() bool {
	for _, a := range c.Args {
		if a.Name != "" {
			return false
		}
	}
	return !c.Star && !c.Distinct && !c.Variadic && c.OrderBy == nil && c.WithinGroup == nil && c.Filter == nil && c.Over == nil
}

// isExtract says whether c can be written extract(field FROM time).
func (c *Call) isExtract() bool {
	if c.Name != (Name{Pos: c.Name.Pos, Name: "extract"}) || len(c.Args) != 2 || c.Variadic || c.Distinct || c.Args[0].Name != "" || c.Args[1].Name != "" {
		return false
	}
	l, ok := c.Args[0].Value.(*Literal)
	return ok && l.Kind == StringLiteral && c.OrderBy == nil
}

func (p *printer) call(c *Call) {
	if c.Name.Schema == "" && bareCalls[c.Name.Name] && classOf[c.Name.Name] == reserved && len(c.Args) == 0 && c.isPlain() {
		p.put(c.Name.Name)
		return
	}
	p.function(c)
	p.put("(")
	p.when(c.Distinct, "DISTINCT ")
	p.when(c.Star, "*")
	for i, a := range c.Args {
		p.comma(i)
		p.when(c.Variadic && i == len(c.Args)-1, "VARIADIC ")
		if a.Name != "" {
			p.put(argName(a.Name), " => ")
		}
		p.expr(a.Value, 0)
		if i == 0 && c.isExtract() { // PostgreSQL reads no comma here
			p.put(" FROM ")
			p.expr(c.Args[1].Value, 0)
			break
		}
	}
	if c.OrderBy != nil {
		p.put(" ")
		p.orderBy(c.OrderBy)
	}
	p.put(")")
	if c.WithinGroup != nil {
		p.put(" WITHIN GROUP (")
		p.orderBy(c.WithinGroup)
		p.put(")")
	}
	if c.Filter != nil {
		p.put(" FILTER (WHERE ")
		p.expr(c.Filter, 0)
		p.put(")")
	}
	if c.Over != nil {
		p.put(" OVER ")
		p.window(c.Over)
	}
}

func argName(name string) string {
	if isSimple(name) && classOf[name] == types {
		return name
	}
	return QuoteIdent(name)
}

// window writes w alone, or a specification in parentheses.
func (p *printer) window(w *WindowSpec) {
	if w.Base != "" && w.PartitionBy == nil && w.OrderBy == nil && w.Frame == nil {
		p.name(w.Base)
		return
	}
	p.windowParens(w)
}

func (p *printer) windowParens(w *WindowSpec) {
	p.put("(")
	sep := ""
	next := func() { p.put(sep); sep = " " }
	if w.Base != "" {
		next()
		p.put(windowBase(w.Base))
	}
	if w.PartitionBy != nil {
		next()
		p.put("PARTITION BY ")
		p.list(w.PartitionBy)
	}
	if w.OrderBy != nil {
		next()
		p.orderBy(w.OrderBy)
	}
	if w.Frame != nil {
		next()
		p.frame(w.Frame)
	}
	p.put(")")
}

// windowBase quotes the words that begin a clause of a window.
func windowBase(name string) string {
	switch name {
	case "partition", "rows", "range", "groups":
		return `"` + name + `"`
	}
	return QuoteIdent(name)
}

func (p *printer) frame(f *Frame) {
	p.put([...]string{FrameRows: "ROWS", FrameRange: "RANGE", FrameGroups: "GROUPS"}[f.Mode], " BETWEEN ")
	p.bound(f.Start)
	p.put(" AND ")
	p.bound(f.End)
	p.put([...]string{ExcludeNothing: "", ExcludeCurrentRow: " EXCLUDE CURRENT ROW", ExcludeGroup: " EXCLUDE GROUP",
		ExcludeTies: " EXCLUDE TIES"}[f.Exclude])
}

func (p *printer) bound(b FrameBound) {
	if b.Offset != nil {
		p.guarded(b.Offset)
		p.put(" ")
	}
	p.put([...]string{UnboundedPreceding: "UNBOUNDED PRECEDING", Preceding: "PRECEDING", CurrentRow: "CURRENT ROW",
		Following: "FOLLOWING", UnboundedFollowing: "UNBOUNDED FOLLOWING"}[b.Kind])
}
