package sql

import "strings"

func (p *parser) createTable(at Pos) Statement {
	c := &CreateTable{Pos: at}
	if p.acceptWord("if") {
		p.expectWord("not")
		p.expectWord("exists")
		c.IfNotExists = true
	}
	c.Name = p.name("the name of a table")
	if p.tok.is("as") {
		panic(p.fail(CodeUnsupported, p.tok.pos, "CREATE TABLE AS is not supported", "create the table, then INSERT … SELECT"))
	}
	if p.tok.is("of") {
		panic(p.unsupported(p.tok.pos, "CREATE TABLE … OF", "there are no composite types: name the dimensions in parentheses"))
	}
	p.expect("(")
	if p.tok.punct(")") {
		panic(p.syntaxHint("a table needs at least one dimension"))
	}
	for {
		if len(c.Columns) > 0 && p.tok.punct(")") {
			panic(p.syntaxHint("delete the comma before )"))
		}
		d := p.columnDef()
		for _, other := range c.Columns {
			if other.Name == d.Name {
				panic(p.fail(CodeDuplicate, d.Pos, "column "+near(d.Name)+" specified more than once", ""))
			}
		}
		if len(c.Columns) == ColumnsMax {
			panic(p.fail(CodeTooMany, d.Pos, "tables can have at most 1664 columns", ""))
		}
		c.Columns = append(c.Columns, d)
		if !p.accept(",") {
			p.closeList()
			break
		}
	}
	if p.acceptWord("with") {
		c.Options = p.options(true)
	}
	switch {
	case p.tok.is("partition"):
		panic(p.fail(CodeUnsupported, p.tok.pos, "PARTITION BY is not supported", "write WITH (partition_by = 'column')"))
	case p.tok.is("inherits"), p.tok.is("tablespace"), p.tok.is("using"), p.tok.is("on"):
		panic(p.fail(CodeUnsupported, p.tok.pos, "CREATE TABLE … "+strings.ToUpper(p.tok.text)+" is not supported", "leave it out"))
	}
	return c
}

// constraints begin a constraint of a table or a column.
var constraints = map[string]bool{
	"primary": true, "unique": true, "check": true, "foreign": true, "constraint": true, "references": true, "like": true,
}

func (p *parser) refuseConstraint() {
	if p.tok.kind == kWord && constraints[p.tok.text] {
		what := strings.ToUpper(p.tok.text)
		if p.peek().is("key") {
			what += " KEY"
		}
		panic(p.fail(CodeUnsupported, p.tok.pos, what+" constraints are not supported",
			"all dimensions together are the key of a cell; leave it out"))
	}
}

// columnDef reads the declaration of a dimension.
func (p *parser) columnDef() ColumnDef {
	p.refuseConstraint()
	id := p.ident("the name of a column")
	d := ColumnDef{Pos: id.Pos, Name: id.Name}
	d.Type = p.dimensionType()
	if p.tok.is("order") {
		d.Order = p.valueOrder(d)
	}
	null := false
	for {
		switch {
		case p.acceptWords("not", "null"):
			d.NotNull = true
		case p.tok.is("null"):
			null = true
			p.advance()
		case p.tok.is("default"):
			if d.Default != nil {
				panic(p.syntaxHint("DEFAULT stands once in a column"))
			}
			p.advance()
			p.noNot()
			d.Default = p.expr(powerOperator)
		case p.tok.is("collate"):
			panic(p.fail(CodeUnsupported, p.tok.pos, "COLLATE in a column is not supported", "categories compare byte by byte; declare an ORDER, or use COLLATE in the query"))
		case p.tok.is("order"):
			panic(p.syntaxHint("ORDER stands right behind the type"))
		case p.tok.is("generated"):
			panic(p.fail(CodeUnsupported, p.tok.pos, "generated columns are not supported", "compute it in the query"))
		default:
			if null && d.NotNull {
				panic(p.fail(CodeSyntax, d.Pos, "conflicting NULL/NOT NULL declarations for column "+near(d.Name), "keep one of them"))
			}
			p.refuseConstraint()
			return d
		}
	}
}

// dimensionTypes maps the types that a dimension may be declared with to what it then is.
var dimensionTypes = map[string]string{
	"text": "text", "varchar": "text", "bpchar": "text", "name": "text", "string": "",
	"int8": "int8", "int4": "int8", "int2": "int8", "bool": "bool",
}

// otherTypes exist in PostgreSQL and are no types of categories.
var otherTypes = map[string]string{
	"float4":  "a measured number is no category: cut it into classes and store their names",
	"float8":  "a measured number is no category: cut it into classes and store their names",
	"numeric": "a measured number is no category: cut it into classes and store their names",
	"date":    "time is the column ts of a table WITH (window = '1h')", "time": "time is the column ts of a table WITH (window = '1h')",
	"timestamp": "time is the column ts of a table WITH (window = '1h')", "timestamptz": "time is the column ts of a table WITH (window = '1h')",
	"interval": "", "uuid": "", "json": "", "jsonb": "", "bytea": "", "serial": "", "bigserial": "", "inet": "", "timetz": "",
}

const dimensionHint = "a dimension is TEXT, INT8 or BOOL; TEXT may declare an ORDER of its values"

// dimensionType reads the type of a column and brings it to one of the three there are.
func (p *parser) dimensionType() TypeName {
	if p.tok.punct(",") || p.tok.punct(")") {
		panic(p.syntaxHint("expected a type: TEXT, INT8 or BOOL"))
	}
	t := p.typeName()
	if kept := dimensionTypes[t.Name.Name]; kept != "" && t.Dims == 0 && (t.Schema == "" || t.Schema == "pg_catalog") {
		if len(t.Mods) > 0 {
			panic(p.fail(CodeUnsupported, t.Pos, "a dimension has no length", "write TEXT; a value has at most 1024 bytes"))
		}
		return TypeName{Name: Name{Pos: t.Pos, Name: kept}}
	}
	if hint, ok := otherTypes[t.Name.Name]; ok || t.Dims > 0 {
		if hint == "" {
			hint = dimensionHint
		}
		panic(p.fail(CodeUnsupported, t.Pos, "a dimension cannot have the type "+t.String(), hint))
	}
	hint := dimensionHint
	if w := nearest(t.Name.Name, []string{"text", "int8", "bool", "bigint", "integer", "boolean", "varchar"}); w != "" {
		hint = "did you mean " + strings.ToUpper(w) + "?"
	}
	panic(p.fail(CodeUndefined, t.Pos, "type "+near(t.String())+" does not exist", hint))
}

// valueOrder reads ORDER ('low', 'mid', 'high').
func (p *parser) valueOrder(d ColumnDef) []Literal {
	if d.Type.Name.Name != "text" {
		panic(p.syntaxHint("only TEXT declares an order; numbers and booleans have theirs"))
	}
	p.advance()
	p.expect("(")
	seen := map[string]bool{}
	var list []Literal
	for {
		l := p.stringValue("a value in quotes, as in ORDER ('low', 'mid', 'high')")
		if seen[l.Text] {
			panic(p.fail(CodeSyntax, l.Pos, "value "+near(l.Text)+" stands twice in the order", "keep one of them"))
		}
		seen[l.Text] = true
		list = append(list, l)
		if !p.accept(",") {
			p.closeList()
			return list
		}
	}
}

func (p *parser) alterTable(at Pos) Statement {
	a := &AlterTable{Pos: at, IfExists: p.acceptWords("if", "exists")}
	p.acceptWord("only")
	a.Name = p.name("the name of a table")
	for {
		a.Actions = append(a.Actions, p.alterAction())
		if !p.accept(",") {
			return a
		}
	}
}

func (p *parser) alterAction() AlterAction {
	at := p.tok.pos
	switch {
	case p.acceptWord("set"):
		if !p.tok.punct("(") {
			panic(p.syntaxHint("expected the options in parentheses, as in SET (retention = '30d')"))
		}
		return &SetOptions{Pos: at, Options: p.options(true)}
	case p.acceptWord("reset"):
		return &ResetOptions{Pos: at, Names: p.optionNames()}
	case p.acceptWord("add"):
		p.acceptWord("column")
		p.refuseConstraint()
		add := &AddColumn{Pos: at}
		if p.tok.is("if") && p.peek().is("not") {
			p.advance()
			p.advance()
			p.expectWord("exists")
			add.IfNotExists = true
		}
		add.Column = p.columnDef()
		return add
	case p.tok.is("drop"), p.tok.is("rename"), p.tok.is("alter"), p.tok.is("owner"):
		panic(p.fail(CodeUnsupported, p.tok.pos, "ALTER TABLE … "+strings.ToUpper(p.tok.text)+" is not supported",
			"a table can SET (…) its options and ADD COLUMN; for another shape create a new table and INSERT … SELECT"))
	}
	panic(p.expected("set", "reset", "add"))
}

func (p *parser) optionNames() []Ident {
	p.expect("(")
	var list []Ident
	for {
		list = append(list, p.dotted("the name of an option"))
		if !p.accept(",") {
			p.closeList()
			return list
		}
	}
}
