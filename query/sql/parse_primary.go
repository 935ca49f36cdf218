package sql

import (
	"slices"
	"strconv"
	"strings"
)

// prefix reads a prefix operator with its operand, or what stands for itself; least is the power that is asked for.
func (p *parser) prefix(least int) Expr {
	at := p.tok.pos
	switch p.tok.kind {
	case kOp:
		return p.unary(at, "", p.tok.text)
	case kWord:
		switch p.tok.text {
		case "not":
			p.advance()
			return &Not{Pos: at, X: p.expr(powerNot)}
		case "operator":
			if p.peek().punct("(") {
				p.advance()
				schema, op := p.operatorName()
				return &Unary{Pos: at, Schema: schema, Op: op, X: p.expr(powerOperator + 1)}
			}
		}
	}
	e, whole := p.primary()
	return p.postfix(e, whole)
}

// unary reads an operator in front of its operand.
func (p *parser) unary(at Pos, schema, op string) Expr {
	switch op {
	case "?":
		panic(p.syntaxHint("parameters are written $1, $2, …"))
	case "*", "=", "<", ">", "<=", ">=", "<>", "/", "%", "^":
		panic(p.syntaxHint("expected an expression"))
	}
	if strings.Contains(op, "`") {
		panic(p.syntax())
	}
	power := powerOperator + 1
	if op == "-" || op == "+" {
		power = powerSign
	}
	p.advance()
	return &Unary{Pos: at, Schema: schema, Op: op, X: p.expr(power)}
}

// literal takes a node from the slab: an INSERT of many rows has little else.
func (p *parser) literal(kind LiteralKind, text string) *Literal {
	if len(p.literals) == 0 {
		p.slab = min(max(8, 2*p.slab), 512)
		p.literals = make([]Literal, p.slab)
	}
	l := &p.literals[0]
	p.literals = p.literals[1:]
	*l = Literal{Pos: p.tok.pos, Kind: kind, Text: text}
	return l
}

// constant reads a literal, if the current token is one.
func (p *parser) constant() *Literal {
	var l *Literal
	switch p.tok.kind {
	case kString:
		l = p.literal(StringLiteral, p.tok.text)
	case kInt:
		l = p.literal(IntLiteral, p.tok.text)
	case kNumber:
		l = p.literal(NumberLiteral, p.tok.text)
	case kWord:
		switch p.tok.text {
		case "null":
			l = p.literal(NullLiteral, "")
		case "true", "false":
			l = p.literal(BoolLiteral, p.tok.text)
		default:
			return nil
		}
	default:
		return nil
	}
	p.advance()
	return l
}

// primary reads what operators work on. whole says whether a field may be taken of it by a dot.
func (p *parser) primary() (e Expr, whole bool) {
	if l := p.constant(); l != nil {
		return l, false
	}
	switch p.tok.kind {
	case kParam:
		return p.param(), true
	case kPunct:
		if p.tok.text == "(" {
			return p.paren(), true
		}
	case kQuoted:
		return p.reference()
	case kWord:
		if e := p.special(); e != nil {
			return e, false
		}
		if p.startsTypedConstant() {
			return p.typedConstant(), false
		}
		if bareCalls[p.tok.text] && !p.peek().punct(".") && !p.peek().punct("(") {
			return p.bareCall(), false
		}
		p.refuseExpr()
		if classOf[p.tok.text] != reserved {
			return p.reference()
		}
	}
	hint := p.misspelled()
	if hint == "" {
		hint = "expected an expression"
	}
	panic(p.syntaxHint(hint))
}

func (p *parser) param() Expr {
	n, err := strconv.Atoi(p.tok.text)
	if err != nil || n < 1 || n > ParamsMax {
		panic(p.fail(CodeParam, p.tok.pos, "there is no parameter $"+p.tok.text, "parameters are $1 to $65535"))
	}
	e := &Param{Pos: p.tok.pos, N: n}
	p.advance()
	return e
}

func (p *parser) bareCall() Expr {
	at := p.tok.pos
	c := &Call{Pos: at, Name: Name{Pos: at, Name: p.tok.text}}
	p.advance()
	return c
}

// paren reads ( … ): a query, an expression or a row.
func (p *parser) paren() Expr {
	at := p.tok.pos
	q, list := p.parenthesised()
	switch {
	case q != nil:
		return &Subquery{Pos: at, Query: q}
	case len(list) == 1:
		return list[0]
	}
	return &Row{Pos: at, Elems: list}
}

// startsQuery says whether t begins a query that has no parenthesis in front.
func startsQuery(t *token) bool {
	return t.kind == kWord && (t.text == "select" || t.text == "with" || t.text == "values" || t.text == "table")
}

// parenthesised reads ( query ) or ( expr, … ) from the opening parenthesis. Which of them an inner parenthesis begins is
// known only behind its end, so an inner query may turn out to be an operand, and no text is read twice.
func (p *parser) parenthesised() (*Query, []Expr) {
	at := p.tok.pos
	p.expect("(")
	if startsQuery(&p.tok) {
		q := p.query()
		p.closeQuery()
		return q, nil
	}
	var first Expr
	if p.tok.punct("(") {
		q, e := p.innerParen()
		if q != nil {
			q = p.continuedQuery(q)
			p.closeQuery()
			q.Pos = at
			return q, nil
		}
		first = e
	} else {
		first = p.expr(0)
	}
	list := []Expr{first}
	for p.accept(",") {
		list = append(list, p.expr(0))
	}
	p.closeList()
	return nil, list
}

// innerParen reads what begins with a parenthesis inside a parenthesis: a query that is all of it or the left side of a
// set operation, or an expression.
func (p *parser) innerParen() (*Query, Expr) {
	p.enter()
	outer := p.deepest
	p.deepest = p.depth
	at := p.tok.pos
	q, list := p.parenthesised()
	p.depth--
	var e Expr
	switch {
	case q != nil && (p.tok.punct(")") || p.continuesQuery()):
		p.deepest = max(p.deepest, outer)
		return q, nil
	case q != nil:
		e = &Subquery{Pos: at, Query: q}
	case len(list) == 1:
		e = list[0]
	default:
		e = &Row{Pos: at, Elems: list}
	}
	e = p.continued(e, 0)
	p.deepest = max(p.deepest, outer)
	return nil, e
}

func (p *parser) closeQuery() {
	if !p.accept(")") {
		hint := p.misspelled()
		if hint == "" {
			hint = "expected ) at the end of the query"
		}
		panic(p.syntaxHint(hint))
	}
}

// postfix reads ::type, [index] and .field behind e.
func (p *parser) postfix(e Expr, whole bool) Expr {
	for p.tok.kind == kPunct {
		at := p.tok.pos
		switch p.tok.text {
		case "::":
			p.advance()
			e, whole = &Cast{Pos: at, X: e, Type: p.typeName()}, false
		case "[":
			e, whole = p.subscript(e), true
		case ".":
			if !whole {
				panic(p.fieldNeedsParens(e))
			}
			p.advance()
			if p.acceptOp("*") {
				return p.grown(&Star{Pos: at, Record: e})
			}
			e = &Field{Pos: at, X: e, Name: p.label("the name of a field").Name}
		default:
			return e
		}
		p.grown(e)
	}
	return e
}

// grown counts that e has put what was read before it one level deeper.
func (p *parser) grown(e Expr) Expr {
	if p.deepest++; p.deepest > ExprDepthMax {
		panic(p.tooDeep())
	}
	return e
}

func (p *parser) fieldNeedsParens(e Expr) *Error {
	switch e := e.(type) {
	case *Call:
		return p.syntaxHint("a field is taken of a call in parentheses: (" + QuoteIdent(e.Name.Name) + "(…)).field")
	case *Column:
		return p.unsupported(e.Pos, "a column with the name of its database in front", "write schema.table.column")
	}
	return p.syntaxHint("a field is taken of a record in parentheses: (…).field")
}

func (p *parser) subscript(x Expr) Expr {
	s := &Subscript{Pos: p.tok.pos, X: x}
	p.expect("[")
	if !p.tok.punct(":") {
		s.Low = p.expr(0)
	}
	if s.Slice = p.accept(":"); s.Slice && !p.tok.punct("]") {
		s.High = p.expr(0)
	}
	p.expect("]", ":", "]")
	return s
}

// reference reads a column, t.*, a call, or a constant of a named type.
func (p *parser) reference() (Expr, bool) {
	var parts [3]Ident
	n := 1
	parts[0] = Ident{Pos: p.tok.pos, Name: p.tok.text}
	first := p.tok
	p.advance()
	for n < len(parts) && p.tok.punct(".") {
		p.advance()
		if p.acceptOp("*") {
			return p.starOf(parts[:n]), false
		}
		parts[n] = p.label("the name of a column")
		n++
	}
	name := Name{Pos: first.pos, Name: parts[n-1].Name}
	if n > 1 {
		name.Schema = parts[n-2].Name
	}
	if n > 2 {
		name.Database = parts[0].Name
	}
	switch {
	case p.tok.punct("("):
		if n == 1 && first.kind == kWord && classOf[first.text] == columns && !callable[first.text] {
			panic(p.syntax())
		}
		return p.call(name), false
	case p.tok.kind == kString && n < 3 && (n > 1 || first.kind == kQuoted || classOf[first.text] != columns):
		return p.constantOf(TypeName{Name: typeAlias(name, first.kind == kQuoted)}), false
	case n == 1 && !isName(&first):
		p.tok = first
		panic(p.expectedName("an expression"))
	}
	return &Column{Pos: name.Pos, Schema: name.Database, Table: name.Schema, Name: name.Name}, false
}

func (p *parser) starOf(parts []Ident) Expr {
	s := &Star{Pos: parts[0].Pos, Table: parts[len(parts)-1].Name}
	if len(parts) > 1 {
		s.Schema = parts[0].Name
	}
	if len(parts) > 2 {
		panic(p.fail(CodeSyntax, parts[0].Pos, "improper qualified name (too many dotted names)", "write schema.table.*"))
	}
	return s
}

// constantOf reads the string of a constant with its type in front.
func (p *parser) constantOf(t TypeName) Expr {
	l := p.constant()
	return &Cast{Pos: t.Pos, X: l, Type: t}
}

// startsTypedConstant says whether the current word is the keyword of a type in front of a string, and not a column that
// happens to be called time or interval.
func (p *parser) startsTypedConstant() bool {
	if p.tok.text == "double" {
		return p.peek().is("precision")
	}
	if !isTypeWord[p.tok.text] {
		return false
	}
	t := p.peek()
	return t.kind == kString || t.punct("(") || t.is("with") || t.is("without") || t.is("varying")
}

// intervalField reads the unit behind interval '3', as in interval '3' day.
func (p *parser) intervalField(l *Literal) {
	if p.tok.kind != kWord || !slices.Contains(intervalFields, p.tok.text) {
		return
	}
	digits := strings.TrimPrefix(strings.TrimPrefix(l.Text, "-"), "+")
	if _, err := strconv.Atoi(digits); err != nil || p.peek().is("to") || p.peek().punct("(") {
		panic(p.unsupported(p.tok.pos, "an interval with fields", "write the units into the text: interval '1 day 2 hours'"))
	}
	l.Text += " " + p.tok.text
	p.advance()
}

var intervalFields = []string{"year", "month", "day", "hour", "minute", "second"}

// typedConstant reads a constant whose type is a keyword: interval '1 hour', double precision '1'.
func (p *parser) typedConstant() Expr {
	t := p.typeName()
	if p.tok.kind != kString {
		panic(p.syntaxHint("expected the string of a constant: " + strings.ToUpper(t.Name.Name) + " '…'"))
	}
	l := p.constant()
	if t.Name.Name == "interval" {
		p.intervalField(l)
	}
	return &Cast{Pos: t.Pos, X: l, Type: t}
}
