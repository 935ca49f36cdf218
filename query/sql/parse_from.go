package sql

// from reads the comma-separated list of FROM.
func (p *parser) from() []TableRef {
	list := []TableRef{p.tableRef()}
	for p.accept(",") {
		list = append(list, p.tableRef())
	}
	return list
}

// tableRef reads a table, query or function and the joins behind it.
func (p *parser) tableRef() TableRef { return p.joins(p.tablePrimary()) }

// joins reads the joins behind left. Each puts left one deeper, so each counts as a select.
func (p *parser) joins(left TableRef) TableRef {
	chain := 0
	for {
		j := p.joinWord()
		if j == nil {
			p.selects -= chain
			return left
		}
		chain++
		p.nest(1)
		j.L = left
		j.R = p.tablePrimary()
		if j.Kind != CrossJoin && !j.Natural {
			// a JOIN b JOIN c ON … ON …: the inner join comes first.
			if !p.tok.is("on") && !p.tok.is("using") {
				j.R = p.joins(j.R)
			}
			p.joinCondition(j)
		}
		left = j
	}
}

// joinWord reads the words of a join; nil if none is there.
func (p *parser) joinWord() *Join {
	if p.tok.kind != kWord {
		return nil
	}
	j := &Join{Pos: p.tok.pos}
	if p.acceptWord("cross") {
		j.Kind = CrossJoin
		p.expectWord("join")
		return j
	}
	j.Natural = p.acceptWord("natural")
	switch {
	case p.acceptWord("inner"):
		j.Kind = InnerJoin
	case p.acceptWord("left"):
		j.Kind = LeftJoin
	case p.acceptWord("right"):
		j.Kind = RightJoin
	case p.acceptWord("full"):
		j.Kind = FullJoin
	case p.acceptWord("join"):
		j.Kind = InnerJoin
		return j
	case j.Natural:
		panic(p.expected("join", "inner", "left", "right", "full"))
	default:
		return nil
	}
	if j.Kind == InnerJoin {
		p.expectWord("join")
		return j
	}
	if !p.acceptWord("outer") {
		p.expectWord("join", "join", "outer")
		return j
	}
	p.expectWord("join")
	return j
}

func (p *parser) joinCondition(j *Join) {
	switch {
	case p.acceptWord("on"):
		j.On = p.expr(0)
	case p.acceptWord("using"):
		j.Using = p.identList("the name of a column")
		if p.acceptWord("as") {
			id := p.ident("a name for the join")
			j.Alias = Alias{Pos: id.Pos, Name: id.Name}
		}
	default:
		panic(p.expected("on", "using"))
	}
}

// tablePrimary reads one entry without the joins behind it.
func (p *parser) tablePrimary() TableRef {
	at := p.tok.pos
	lateral := p.acceptWord("lateral")
	switch {
	case p.tok.punct("("):
		if startsQuery(p.peek()) || p.peek().punct("(") || !lateral {
			return p.tableParen(at, lateral)
		}
	case lateral || p.startsTableFunc():
		return p.tableFunc(at, lateral)
	case p.tok.is("only"):
		p.advance()
		fallthrough
	default:
		return p.tableName()
	}
	panic(p.expected("a query", "a function"))
}

func (p *parser) tableName() TableRef {
	if startsQuery(&p.tok) && !p.tok.is("table") {
		panic(p.syntaxHint("a query in FROM stands in parentheses"))
	}
	if p.tok.is("rows") && p.peek().is("from") {
		panic(p.unsupported(p.tok.pos, "ROWS FROM", "functions that give rows go side by side in a select list: SELECT f(1), g(2)"))
	}
	t := &TableName{Name: p.tableOrFunc()}
	if p.tok.punct("(") {
		return p.tableFuncOf(t.Pos, t.Name, false)
	}
	p.acceptOp("*") // PostgreSQL's old way to name the tables below, too; there are none
	t.Alias = p.alias(false)
	if p.tok.is("tablesample") {
		panic(p.fail(CodeUnsupported, p.tok.pos, "TABLESAMPLE is not supported", "every query reads all counts"))
	}
	return t
}

// tableOrFunc reads a name that may be one of a table or of a function.
func (p *parser) tableOrFunc() Name {
	if p.tok.kind == kWord && classOf[p.tok.text] == types && p.peek().punct("(") {
		id := Ident{Pos: p.tok.pos, Name: p.tok.text}
		p.advance()
		return Name{Pos: id.Pos, Name: id.Name}
	}
	return p.name("a table, a query in parentheses or a function")
}

// startsTableFunc says whether a function with a syntax of its own stands here.
func (p *parser) startsTableFunc() bool {
	return p.tok.kind == kWord && bareCalls[p.tok.text] && classOf[p.tok.text] == reserved
}

func (p *parser) tableFunc(at Pos, lateral bool) TableRef {
	if p.startsTableFunc() {
		f := &TableFunc{Pos: at, Call: p.bareCall().(*Call), Lateral: lateral}
		f.Alias = p.alias(true)
		return f
	}
	n := p.tableOrFunc()
	if !p.tok.punct("(") {
		panic(p.syntaxHint("LATERAL takes a query in parentheses or a function"))
	}
	return p.tableFuncOf(at, n, lateral)
}

func (p *parser) tableFuncOf(at Pos, name Name, lateral bool) TableRef {
	c := &Call{Pos: name.Pos, Name: name}
	p.enter()
	p.arguments(c)
	p.depth--
	f := &TableFunc{Pos: at, Call: c, Lateral: lateral}
	f.Ordinality = p.acceptWords("with", "ordinality")
	f.Alias = p.alias(true)
	if p.tok.punct("(") && p.prev.is("as") {
		panic(p.fail(CodeUnsupported, p.tok.pos, "column definitions of a function are not supported", "name the columns: AS f(a, b)"))
	}
	return f
}

// alias reads [AS] name [(columns)]. Only behind AS it is an error if no name follows.
func (p *parser) alias(function bool) Alias {
	as := p.acceptWord("as")
	if function && as && p.tok.punct("(") {
		return Alias{}
	}
	if !as && !isName(&p.tok) {
		return Alias{}
	}
	id := p.ident("an alias")
	return Alias{Pos: id.Pos, Name: id.Name, Columns: p.optionalIdents("the name of a column")}
}

// tableParen reads ( … ) in FROM: a query, or a join.
func (p *parser) tableParen(at Pos, lateral bool) TableRef {
	q, ref := p.queryOrJoin()
	if q != nil {
		return &Derived{Pos: at, Query: q, Lateral: lateral, Alias: p.alias(false)}
	}
	return p.joinInParens(at, ref)
}

// joinInParens reads the alias of what stood in parentheses, which must be a join.
func (p *parser) joinInParens(at Pos, ref TableRef) TableRef {
	j, ok := ref.(*Join)
	if !ok {
		panic(p.fail(CodeSyntax, at, "syntax error at or near "+near("("), "parentheses in FROM hold a query or a join"))
	}
	if p.tok.is("as") || isName(&p.tok) {
		if j.Alias.Name != "" {
			panic(p.fail(CodeUnsupported, p.tok.pos, "a join has two aliases", "keep one of them"))
		}
		j.Alias, j.Paren = p.alias(false), true
	}
	return j
}

// queryOrJoin reads from an opening to its closing parenthesis. As in expressions, only what follows an inner
// parenthesis tells what it was.
func (p *parser) queryOrJoin() (*Query, TableRef) {
	at := p.tok.pos
	p.expect("(")
	var left TableRef
	switch {
	case startsQuery(&p.tok):
		q := p.query()
		p.closeQuery()
		return q, nil
	case p.tok.punct("("):
		inner := p.tok.pos
		p.nest(1)
		q, ref := p.queryOrJoin()
		p.selects--
		if q != nil && (p.tok.punct(")") || p.continuesQuery()) {
			q = p.continuedQuery(q)
			p.closeQuery()
			q.Pos = at
			return q, nil
		}
		if q != nil {
			ref = &Derived{Pos: inner, Query: q, Alias: p.alias(false)}
		} else {
			ref = p.joinInParens(inner, ref)
		}
		left = p.joins(ref)
	default:
		left = p.tableRef()
	}
	p.closeList()
	return nil, left
}
