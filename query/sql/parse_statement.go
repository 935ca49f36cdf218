package sql

import (
	"slices"
	"strings"
)

// statement reads one statement.
func (p *parser) statement() Statement {
	if p.tok.punct("(") {
		return p.query()
	}
	if p.tok.kind != kWord {
		panic(p.syntaxHint("expected a statement, such as SELECT or INSERT"))
	}
	switch p.tok.text {
	case "select", "values", "table":
		return p.query()
	case "with":
		return p.afterWith()
	case "insert":
		return p.insert(nil)
	case "delete":
		return p.delete(nil)
	case "copy":
		return p.copy()
	case "create":
		return p.create()
	case "alter":
		return p.alter()
	case "drop":
		return p.drop()
	case "truncate":
		return p.truncate()
	case "explain":
		return p.explain()
	case "set":
		return p.set()
	case "show":
		return p.show()
	case "reset":
		return p.reset()
	case "grant", "revoke":
		return p.grant()
	}
	if s := p.sessionStatement(); s != nil {
		return s
	}
	panic(p.unknownVerb())
}

// known are statements of PostgreSQL that Quipu does not have, with what to do instead.
var known = map[string]string{
	"update":     "counts change by adding: INSERT INTO t VALUES (…, -5), (…, 5) moves five from one cell to another",
	"merge":      "INSERT adds to the count of a cell that is there, and makes it otherwise",
	"listen":     "ask again, as \\watch of psql does",
	"notify":     "nobody can listen here",
	"vacuum":     "no maintenance is needed: leave it out",
	"analyze":    "no statistics need collecting: leave it out",
	"cluster":    "no maintenance is needed: leave it out",
	"reindex":    "there are no indexes",
	"refresh":    "there are no materialized views: a query reads the counts of the moment",
	"comment":    "descriptions are not kept here",
	"lock":       "nothing needs locking: a query reads a snapshot, and adding counts never conflicts",
	"call":       "there are no procedures: send the statements one by one",
	"do":         "there are no procedures: send the statements one by one",
	"checkpoint": "the server writes one about every second: leave it out",
	"security":   "",
	"import":     "quipu import and COPY … FROM STDIN take rows",
	"reassign":   "nobody owns a table: GRANT the privileges to the other role",
	"load":       "quipu import and COPY … FROM STDIN take rows",
}

func (p *parser) unknownVerb() *Error {
	word := p.tok.text
	if hint, ok := known[word]; ok {
		return p.fail(CodeUnsupported, p.tok.pos, strings.ToUpper(word)+" is not supported", hint)
	}
	switch word {
	case "describe", "desc":
		return p.syntaxHint("ask information_schema.columns, or \\d in the shell")
	case "use":
		return p.syntaxHint("the database is chosen when connecting")
	}
	if near := nearest(word, verbs); near != "" {
		return p.syntaxHint("did you mean " + strings.ToUpper(near) + "?")
	}
	return p.syntaxHint("expected a statement, such as SELECT or INSERT")
}

// afterWith reads WITH … and the statement it belongs to.
func (p *parser) afterWith() Statement {
	at := p.tok.pos
	w := p.with()
	switch {
	case p.tok.is("insert"):
		s := p.insert(w)
		s.Pos = at
		return s
	case p.tok.is("delete"):
		s := p.delete(w)
		s.Pos = at
		return s
	}
	return p.within(func() *Query { return p.queryAfterWith(&Query{Pos: at, With: w}) })
}

func (p *parser) create() Statement {
	at := p.tok.pos
	p.advance()
	switch {
	case p.acceptWord("table"):
		return p.createTable(at)
	case p.tok.is("role"), p.tok.is("user"):
		return p.createRole(at)
	case p.acceptWord("token"):
		return p.createToken(at)
	}
	panic(p.unsupportedObject("CREATE", "table", "role", "user", "token"))
}

func (p *parser) alter() Statement {
	at := p.tok.pos
	p.advance()
	switch {
	case p.acceptWord("table"):
		return p.alterTable(at)
	case p.tok.is("role"), p.tok.is("user"):
		return p.alterRole(at)
	}
	panic(p.unsupportedObject("ALTER", "table", "role", "user"))
}

func (p *parser) drop() Statement {
	at := p.tok.pos
	p.advance()
	switch {
	case p.acceptWord("table"):
		d := &DropTable{Pos: at, IfExists: p.acceptWords("if", "exists")}
		d.Names = p.names("the name of a table")
		p.dropBehavior()
		return d
	case p.tok.is("role"), p.tok.is("user"):
		p.advance()
		d := &DropRole{Pos: at, IfExists: p.acceptWords("if", "exists")}
		d.Names = p.roles()
		return d
	case p.acceptWord("token"):
		d := &DropToken{Pos: at, IfExists: p.acceptWords("if", "exists")}
		d.Name, d.Role = p.tokenOfRole()
		return d
	}
	panic(p.unsupportedObject("DROP", "table", "role", "user", "token"))
}

func (p *parser) dropBehavior() {
	if !p.acceptWord("cascade") {
		p.acceptWord("restrict")
	}
}

const (
	noViews      = "WITH in the query names a part of it, and a client may keep the text"
	oneSchema    = "tables are in the schema public; a prefix of the name may tell them apart"
	noProcedures = "no code runs in the server: put it into the client"
)

// objects are kinds of objects that PostgreSQL has and Quipu has not, or not as objects of their own.
var objects = map[string]string{
	"index": "a table needs no index: every query reads the counts of its cells", "unique": "a table needs no index: every query reads the counts of its cells",
	"view": noViews, "materialized": noViews, "schema": oneSchema, "database": "", "sequence": "a cell needs no number: all dimensions together are its key", "type": "a dimension is TEXT, INT8 or BOOL; TEXT may declare an ORDER",
	"function": noProcedures, "procedure": noProcedures, "trigger": noProcedures, "extension": "nothing needs installing", "domain": "", "rule": noProcedures,
	"temp": "temporary tables are not there: use WITH", "temporary": "temporary tables are not there: use WITH",
	"unlogged": "every table is replicated", "global": "", "local": "", "foreign": "quipu import and COPY … FROM STDIN take rows", "or": "", "aggregate": "", "operator": "", "cast": "",
	"collation": "", "policy": "", "publication": "", "subscription": "", "server": "", "statistics": "no statistics need collecting: leave it out", "tablespace": "what a node keeps is in its --data-dir",
	"event": "", "language": "", "group": "use CREATE ROLE and GRANT role TO role", "owned": "", "system": "use SET, or flags of the server", "default": "",
}

func (p *parser) unsupportedObject(verb string, accepted ...string) *Error {
	if hint, ok := objects[p.tok.text]; ok && p.tok.kind == kWord {
		return p.fail(CodeUnsupported, p.tok.pos, verb+" "+strings.ToUpper(p.tok.text)+" is not supported", hint)
	}
	return p.expected(accepted...)
}

func (p *parser) truncate() Statement {
	t := &Truncate{Pos: p.tok.pos}
	p.advance()
	p.acceptWord("table")
	p.acceptWord("only")
	t.Names = p.names("the name of a table")
	if p.tok.is("restart") || p.tok.is("continue") {
		p.advance()
		p.expectWord("identity")
	}
	p.dropBehavior()
	return t
}

func (p *parser) explain() Statement {
	e := &Explain{Pos: p.tok.pos, Format: "text"}
	p.advance()
	if p.tok.punct("(") && !startsQuery(p.peek()) && !p.peek().punct("(") {
		p.explainOptions(e)
	} else {
		if e.Analyze = p.acceptWord("analyze"); !e.Analyze {
			e.Analyze = p.acceptWord("analyse")
		}
		e.Verbose = p.acceptWord("verbose")
	}
	if !p.tok.punct("(") && !p.tok.is("execute") && !slices.Contains(preparable, p.tok.text) {
		panic(p.expected("select", "insert", "delete", "execute"))
	}
	e.Statement = p.statement()
	return e
}

func (p *parser) explainOptions(e *Explain) {
	for _, o := range p.options(false) {
		switch o.Name {
		case "analyze", "analyse":
			e.Analyze = p.isOn(o)
		case "verbose":
			e.Verbose = p.isOn(o)
		case "format":
			e.Format = strings.ToLower(o.Value)
			if e.Format == "xml" || e.Format == "yaml" {
				panic(p.fail(CodeUnsupported, o.ValuePos, "EXPLAIN (FORMAT "+e.Format+") is not supported", "FORMAT json has the same"))
			}
			if e.Format != "text" && e.Format != "json" {
				panic(p.fail(CodeInvalidValue, o.ValuePos, "unrecognized value for EXPLAIN option \"format\": "+near(o.Value), "expected TEXT or JSON"))
			}
		case "costs", "settings", "buffers", "wal", "timing", "summary":
			p.isOn(o)
			e.Options = append(e.Options, o)
		default:
			panic(p.fail(CodeSyntax, o.Pos, "unrecognized EXPLAIN option "+near(o.Name), "expected ANALYZE, VERBOSE or FORMAT"))
		}
	}
}

// isOn reads the value of a switch.
func (p *parser) isOn(o Option) bool {
	on, ok := o.on()
	if !ok {
		panic(p.fail(CodeSyntax, o.ValuePos, o.Name+" requires a Boolean value", "expected ON or OFF"))
	}
	return on
}

// options reads a parenthesised list of options. With equals a = stands between name and value, as WITH has it.
func (p *parser) options(equals bool) []Option {
	p.expect("(")
	var list []Option
	seen := map[string]bool{}
	for {
		o := p.option(equals)
		if seen[o.Name] {
			panic(p.fail(CodeSyntax, o.Pos, "conflicting or redundant options: "+o.Name+" stands twice", "keep one of them"))
		}
		seen[o.Name] = true
		list = append(list, o)
		if !p.accept(",") {
			p.closeList()
			return list
		}
	}
}

func (p *parser) option(equals bool) Option {
	id := p.dotted("the name of an option")
	o := Option{Pos: id.Pos, Name: id.Name, ValuePos: id.Pos}
	if equals && !p.acceptOp("=") {
		return o
	}
	o.ValuePos = p.tok.pos
	sign := ""
	if p.tok.op("-") || p.tok.op("+") {
		if p.tok.text == "-" {
			sign = "-"
		}
		p.advance()
		if p.tok.kind != kInt && p.tok.kind != kNumber {
			panic(p.syntaxHint("expected a number"))
		}
	}
	switch {
	case p.tok.kind == kString:
		o.Kind, o.Value = OptionString, p.tok.text
	case p.tok.kind == kInt, p.tok.kind == kNumber:
		o.Kind, o.Value = OptionNumber, sign+p.tok.text
	case p.tok.kind == kWord, p.tok.kind == kQuoted:
		o.Kind, o.Value = OptionWord, p.tok.text
	case p.tok.op("*") && !equals:
		o.Kind, o.Value = OptionWord, "*"
	case p.tok.punct("(") && !equals:
		o.Kind, o.List = OptionList, p.identList("the name of a column")
		return o
	case equals:
		panic(p.syntaxHint("expected a value: a text in quotes, a number or a word"))
	default:
		o.ValuePos = o.Pos
		return o
	}
	p.advance()
	return o
}

// dotsMax is the number of dots in the name of an option or setting.
const dotsMax = 3

// dotted reads name.name…, as one name in lower case.
func (p *parser) dotted(what string) Ident {
	id := p.label(what)
	for dots := 0; ; dots++ {
		if dots > dotsMax {
			panic(p.fail(CodeName, id.Pos, "improper name (too many dots)", ""))
		}
		if strings.Contains(p.prev.text, ".") {
			panic(p.fail(CodeName, p.prev.pos, "a dot inside quotes cannot be part of "+what, "write the dots outside of quotes"))
		}
		if !p.accept(".") {
			break
		}
		id.Name += "." + p.label(what).Name
	}
	id.Name = lowerASCII(id.Name)
	return id
}
