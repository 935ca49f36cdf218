package sql

import (
	"slices"
	"strings"
)

func (p *parser) insert(w *With) *Insert {
	s := &Insert{Pos: p.tok.pos, With: w}
	p.advance()
	p.expectWord("into")
	s.Table = p.name("the name of a table")
	if p.acceptWord("as") {
		s.Alias = p.ident("an alias")
	}
	if p.tok.punct("(") && !startsQuery(p.peek()) && !p.peek().punct("(") {
		s.Columns = p.identList("the name of a column")
	}
	if p.tok.is("overriding") {
		panic(p.fail(CodeUnsupported, p.tok.pos, "OVERRIDING is not supported", "there are no identity columns: leave it out"))
	}
	switch {
	case p.acceptWords("default", "values"):
	case p.tok.is("values") || p.tok.is("value"):
		s.Source = p.insertValues(s)
	case startsQuery(&p.tok), p.tok.punct("("):
		s.Source = p.query()
	default:
		panic(p.expected("values", "select"))
	}
	s.Conflict = p.onConflict()
	if s.ReturningPos = p.tok.pos; p.acceptWord("returning") {
		s.Returning = p.items()
	}
	return s
}

// insertValues reads VALUES and holds its rows to the columns that are named.
func (p *parser) insertValues(s *Insert) *Query {
	if p.tok.is("value") {
		panic(p.syntaxHint("did you mean VALUES?"))
	}
	q := p.query()
	v, ok := q.Body.(*Values)
	if !ok || len(s.Columns) == 0 || len(v.Rows[0]) == len(s.Columns) {
		return q
	}
	row := v.Rows[0]
	if len(row) > len(s.Columns) {
		panic(p.fail(CodeSyntax, row[len(s.Columns)].At(), "INSERT has more expressions than target columns", ""))
	}
	panic(p.fail(CodeSyntax, s.Columns[len(row)].Pos, "INSERT has more target columns than expressions", ""))
}

func (p *parser) onConflict() *OnConflict {
	if !p.tok.is("on") {
		return nil
	}
	c := &OnConflict{Pos: p.tok.pos}
	p.advance()
	p.expectWord("conflict")
	if p.tok.is("on") {
		panic(p.fail(CodeUnsupported, p.tok.pos, "ON CONFLICT ON CONSTRAINT is not supported", "there are no constraints, and a plain INSERT adds to the count that is there"))
	}
	c.Columns = p.optionalIdents("the name of a column")
	p.expectWord("do")
	if p.tok.is("update") {
		panic(p.fail(CodeUnsupported, p.tok.pos, "ON CONFLICT DO UPDATE is not supported", "a plain INSERT adds to the count that is there"))
	}
	p.expectWord("nothing")
	return c
}

func (p *parser) delete(w *With) *Delete {
	d := &Delete{Pos: p.tok.pos, With: w}
	p.advance()
	p.expectWord("from")
	p.acceptWord("only")
	d.Table = p.name("the name of a table")
	if p.acceptWord("as") || isName(&p.tok) {
		d.Alias = p.ident("an alias")
	}
	if p.tok.is("using") {
		panic(p.fail(CodeUnsupported, p.tok.pos, "DELETE … USING is not supported", "DELETE takes a condition on the partition key or on ts"))
	}
	if p.acceptWord("where") {
		if p.tok.is("current") && p.peek().is("of") {
			panic(p.unsupported(p.tok.pos, "WHERE CURRENT OF", "there are no cursors: DELETE takes a condition on the partition key or on ts"))
		}
		d.Where = p.expr(0)
	}
	if d.ReturningPos = p.tok.pos; p.acceptWord("returning") {
		d.Returning = p.items()
	}
	return d
}

func (p *parser) copy() Statement {
	c := &Copy{Pos: p.tok.pos}
	p.advance()
	if p.tok.punct("(") {
		p.advance()
		c.Query = p.query()
		p.closeQuery()
	} else {
		c.Table = p.name("the name of a table")
		c.Columns = p.optionalIdents("the name of a column")
	}
	switch {
	case p.tok.is("from") && c.Query != nil:
		panic(p.syntaxHint("a query is copied TO STDOUT; COPY … FROM takes a table"))
	case p.acceptWord("from"):
		c.From = true
		p.copyEnd("STDIN")
	case c.Query != nil:
		p.expectWord("to")
		p.copyEnd("STDOUT")
	default:
		p.expectWord("to", "from", "to")
		p.copyEnd("STDOUT")
	}
	c.Options = p.copyOptions()
	if p.tok.is("where") && c.From {
		p.advance()
		c.Where = p.expr(0)
	}
	return c
}

// copyEnd reads STDIN or STDOUT, which as in PostgreSQL mean the same. The server opens no files.
func (p *parser) copyEnd(word string) {
	if p.tok.kind == kString || p.tok.is("program") {
		panic(p.fail(CodeUnsupported, p.tok.pos, "COPY to or from a file or program of the server is not supported",
			"use "+word+"; psql's \\copy and quipu import read files of the client"))
	}
	if !p.acceptWord("stdin") && !p.acceptWord("stdout") {
		panic(p.expected(strings.ToLower(word)))
	}
}

// copyFormats are the formats that exist in PostgreSQL and here.
var copyFormats = []string{"text", "csv", "binary"}

func (p *parser) copyOptions() []Option {
	with := p.acceptWord("with")
	var list []Option
	if p.tok.punct("(") {
		list = p.options(false)
	} else {
		list = p.oldCopyOptions(with)
	}
	for _, o := range list {
		if o.Name == "format" && !slices.Contains(copyFormats, strings.ToLower(o.Value)) {
			panic(p.fail(CodeInvalidValue, o.ValuePos, "COPY format "+near(o.Value)+" not recognized", "expected TEXT, CSV or BINARY"))
		}
	}
	return list
}

// oldCopyOptions reads the spelling without parentheses, which psql and old drivers send, into the same options.
func (p *parser) oldCopyOptions(with bool) []Option {
	var list []Option
	for {
		o := Option{Pos: p.tok.pos, ValuePos: p.tok.pos}
		switch {
		case p.tok.is("csv"), p.tok.is("binary"):
			o.Name, o.Kind, o.Value = "format", OptionWord, p.tok.text
			p.advance()
		case p.acceptWord("header"):
			o.Name = "header"
		case p.tok.is("delimiter"), p.tok.is("delimiters"), p.tok.is("null"), p.tok.is("quote"), p.tok.is("escape"), p.tok.is("encoding"):
			o.Name, o.Kind = strings.TrimSuffix(p.tok.text, "s"), OptionString
			p.advance()
			p.acceptWord("as")
			l := p.stringValue("a text in quotes")
			o.Value, o.ValuePos = l.Text, l.Pos
		case p.tok.is("force"):
			p.forced(&o)
		case with && len(list) == 0:
			panic(p.expected("(", "csv", "binary", "delimiter", "null", "header"))
		default:
			return list
		}
		if slices.ContainsFunc(list, func(other Option) bool { return other.Name == o.Name }) {
			panic(p.fail(CodeSyntax, o.Pos, "conflicting or redundant options: "+o.Name+" stands twice", "keep one of them"))
		}
		list = append(list, o)
	}
}

// forced reads FORCE QUOTE, FORCE NULL and FORCE NOT NULL.
func (p *parser) forced(o *Option) {
	p.advance()
	switch {
	case p.acceptWord("quote"):
		o.Name = "force_quote"
		if p.acceptOp("*") {
			o.Kind, o.Value = OptionWord, "*"
			return
		}
	case p.acceptWord("null"):
		o.Name = "force_null"
	case p.acceptWords("not", "null"):
		o.Name = "force_not_null"
	default:
		panic(p.expected("quote", "null", "not null"))
	}
	o.Kind = OptionList
	for {
		o.List = append(o.List, p.ident("the name of a column"))
		if !p.accept(",") {
			return
		}
	}
}
