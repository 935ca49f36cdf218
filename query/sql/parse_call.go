package sql

// callable are the keywords that are called like functions though they cannot name one.
var callable = map[string]bool{
	"coalesce": true, "greatest": true, "grouping": true, "least": true, "nullif": true, "normalize": true,
}

// special reads an expression that begins with a keyword and has a syntax of its own; nil if there is none.
func (p *parser) special() Expr {
	switch p.tok.text {
	case "array":
		return p.array()
	case "case":
		return p.caseOf()
	case "cast":
		return p.cast()
	}
	if classOf[p.tok.text] != columns || !p.peek().punct("(") {
		return nil
	}
	switch p.tok.text {
	case "exists":
		return p.exists()
	case "extract":
		return p.extract()
	case "overlay":
		return p.overlay()
	case "position":
		return p.position()
	case "row":
		return p.row()
	case "substring":
		return p.substring()
	case "trim":
		return p.trim()
	}
	return nil
}

// call reads the arguments of name and what may follow them.
func (p *parser) call(name Name) *Call {
	c := &Call{Pos: name.Pos, Name: name}
	p.arguments(c)
	if p.acceptWords("within", "group") {
		p.expect("(")
		c.WithinGroup = p.orderBy()
		if c.WithinGroup == nil {
			panic(p.expected("order"))
		}
		p.closeList()
	}
	if p.tok.is("filter") && p.peek().punct("(") {
		p.advance()
		p.advance()
		p.expectWord("where")
		c.Filter = p.expr(0)
		p.closeList()
	}
	if p.acceptWord("over") {
		c.Over = p.over()
	}
	return c
}

func (p *parser) arguments(c *Call) {
	p.expect("(")
	if p.accept(")") {
		return
	}
	if p.tok.op("*") && p.peek().punct(")") {
		c.Star = true
		p.advance()
		p.advance()
		return
	}
	if c.Distinct = p.acceptWord("distinct"); !c.Distinct {
		p.acceptWord("all")
	}
	for {
		if p.tok.is("where") && p.peek().punct("=>") {
			p.advance()
			panic(p.syntaxHint("the argument for a condition is called filter: filter => '…'"))
		}
		if c.Variadic = p.acceptWord("variadic"); c.Variadic && c.Distinct {
			panic(p.syntaxHint("DISTINCT and VARIADIC do not go together"))
		}
		c.Args = append(c.Args, p.argument())
		if c.Variadic || !p.accept(",") {
			break
		}
	}
	c.OrderBy = p.orderBy()
	p.closeList()
}

// argument reads a value, or name => value.
func (p *parser) argument() Arg {
	a := Arg{Pos: p.tok.pos}
	if p.tok.kind == kQuoted || p.tok.kind == kWord && (classOf[p.tok.text] == plain || classOf[p.tok.text] == types) {
		if t := p.peek(); t.punct("=>") || t.punct(":=") {
			a.Name = p.tok.text
			p.advance()
			p.advance()
		}
	}
	a.Value = p.expr(0)
	return a
}

// made is the call that a syntax of its own stands for.
func made(at Pos, name string, values ...Expr) *Call {
	c := &Call{Pos: at, Name: Name{Pos: at, Name: name}}
	for _, v := range values {
		if v != nil {
			c.Args = append(c.Args, Arg{Pos: v.At(), Value: v})
		}
	}
	return c
}

func (p *parser) array() Expr {
	at := p.tok.pos
	p.advance()
	if p.tok.punct("(") {
		q, list := p.parenthesised()
		if q == nil {
			panic(p.fail(CodeSyntax, list[0].At(), "syntax error: ARRAY(…) takes a query", "a list is written in brackets: ARRAY[1, 2]"))
		}
		return &Subquery{Pos: at, Query: q, Array: true}
	}
	return p.brackets(at)
}

// brackets reads […] of an array; inner ones need no ARRAY.
func (p *parser) brackets(at Pos) Expr {
	p.expect("[", "[", "(")
	a := &Array{Pos: at}
	if p.accept("]") {
		return a
	}
	for {
		if p.tok.punct("[") {
			p.enter()
			a.Elems = append(a.Elems, p.brackets(p.tok.pos))
			p.depth--
		} else {
			a.Elems = append(a.Elems, p.expr(0))
		}
		if !p.accept(",") {
			p.expect("]", ",", "]")
			return a
		}
	}
}

func (p *parser) caseOf() Expr {
	c := &Case{Pos: p.tok.pos}
	p.advance()
	if !p.tok.is("when") {
		c.Operand = p.expr(0)
	}
	for p.tok.is("when") || len(c.Whens) == 0 {
		p.expectWord("when")
		w := When{If: p.expr(0)}
		p.expectWord("then")
		w.Then = p.expr(0)
		c.Whens = append(c.Whens, w)
	}
	if p.acceptWord("else") {
		c.Else = p.expr(0)
	}
	if c.Else == nil {
		p.expectWord("end", "when", "else", "end")
	} else {
		p.expectWord("end")
	}
	return c
}

func (p *parser) cast() Expr {
	c := &Cast{Pos: p.tok.pos}
	p.advance()
	p.expect("(")
	c.X = p.expr(0)
	p.expectWord("as")
	c.Type = p.typeName()
	p.expect(")")
	return c
}

func (p *parser) exists() Expr {
	at := p.tok.pos
	p.advance()
	q, list := p.parenthesised()
	if q == nil {
		panic(p.fail(CodeSyntax, list[0].At(), "syntax error: EXISTS takes a query", "write EXISTS (SELECT …)"))
	}
	return &Exists{Pos: at, Query: q}
}

func (p *parser) row() Expr {
	r := &Row{Pos: p.tok.pos}
	p.advance()
	p.expect("(")
	if p.accept(")") {
		return r
	}
	r.Elems = p.exprList()
	p.closeList()
	return r
}

// exprList reads a, b, ….
func (p *parser) exprList() []Expr {
	list := []Expr{p.expr(0)}
	for p.accept(",") {
		list = append(list, p.expr(0))
	}
	return list
}

func (p *parser) extract() Expr {
	at := p.tok.pos
	p.advance()
	p.expect("(")
	if p.tok.kind != kWord && p.tok.kind != kQuoted && p.tok.kind != kString {
		panic(p.syntaxHint("expected a field of time, as in extract(hour FROM ts)"))
	}
	field := p.literal(StringLiteral, p.tok.text)
	p.advance()
	if !p.acceptWord("from") {
		p.expect(",", "from")
	}
	x := p.expr(0)
	p.expect(")")
	return made(at, "extract", field, x)
}

func (p *parser) trim() Expr {
	at := p.tok.pos
	p.advance()
	p.expect("(")
	name := "btrim"
	switch {
	case p.acceptWord("leading"):
		name = "ltrim"
	case p.acceptWord("trailing"):
		name = "rtrim"
	default:
		p.acceptWord("both")
	}
	var list []Expr
	if p.acceptWord("from") {
		list = p.exprList()
	} else {
		list = p.exprList()
		if p.acceptWord("from") {
			list = append(p.exprList(), list...)
		}
	}
	p.closeList()
	return made(at, name, list...)
}

func (p *parser) substring() Expr {
	at := p.tok.pos
	p.advance()
	p.expect("(")
	list := p.exprList()
	var from, length Expr
	for len(list) == 1 && (from == nil && p.tok.is("from") || length == nil && p.tok.is("for")) {
		if p.acceptWord("from") {
			from = p.expr(0)
		} else {
			p.advance()
			length = p.expr(0)
		}
	}
	if length != nil && from == nil {
		from = p.literal(IntLiteral, "1")
	}
	p.closeList()
	return made(at, "substring", append(list, from, length)...)
}

func (p *parser) position() Expr {
	at := p.tok.pos
	p.advance()
	p.expect("(")
	part := p.expr(powerIn + 1)
	p.expectWord("in")
	whole := p.expr(powerIn + 1)
	p.expect(")")
	return made(at, "strpos", whole, part)
}

func (p *parser) overlay() Expr {
	at := p.tok.pos
	p.advance()
	p.expect("(")
	list := p.exprList()
	if len(list) == 1 {
		p.expectWord("placing")
		list = append(list, p.expr(0))
		p.expectWord("from")
		list = append(list, p.expr(0))
		if p.acceptWord("for") {
			list = append(list, p.expr(0))
		}
	}
	p.closeList()
	return made(at, "overlay", list...)
}
