package sql

import (
	"slices"
	"strings"
)

// role reads the name of a role; current_user and its kin are names here, and public is.
func (p *parser) role() Ident {
	switch {
	case p.tok.is("current_user"), p.tok.is("current_role"), p.tok.is("session_user"):
		return p.label("a role")
	}
	p.acceptWord("group")
	return p.ident("the name of a role")
}

func (p *parser) roles() []Ident {
	list := []Ident{p.role()}
	for p.accept(",") {
		list = append(list, p.role())
	}
	return list
}

func (p *parser) createRole(at Pos) Statement {
	c := &CreateRole{Pos: at}
	user := p.tok.is("user")
	p.advance()
	if p.tok.is("if") && p.peek().is("not") {
		p.advance()
		p.advance()
		p.expectWord("exists")
		c.IfNotExists = true
	}
	c.Name = p.role()
	c.Options = p.roleOptions()
	switch {
	case p.tok.is("in"), p.tok.is("role"), p.tok.is("user"), p.tok.is("group"), p.tok.is("admin"), p.tok.is("sysid"):
		panic(p.unsupported(p.tok.pos, "CREATE ROLE … "+strings.ToUpper(p.tok.text), "make members of it with GRANT role TO member"))
	}
	named := func(o RoleOption) bool { return o.Name == "login" || o.Name == "nologin" }
	if user && !slices.ContainsFunc(c.Options, named) {
		c.Options = append(c.Options, RoleOption{Pos: at, Name: "login"})
	}
	return c
}

func (p *parser) alterRole(at Pos) Statement {
	a := &AlterRole{Pos: at}
	p.advance()
	if p.tok.is("all") {
		panic(p.unsupported(p.tok.pos, "ALTER ROLE ALL", "set it for each role"))
	}
	a.Name = p.role()
	switch {
	case p.tok.is("in"), p.tok.is("rename"):
		panic(p.unsupported(p.tok.pos, "ALTER ROLE … "+strings.ToUpper(p.tok.text), "a role can change its attributes and SET a setting"))
	case p.tok.is("set"):
		set := p.tok.pos
		p.advance()
		a.Setting = p.setting(&Set{Pos: set})
	case p.tok.is("reset"):
		a.Setting = p.reset()
	default:
		if a.Options = p.roleOptions(); a.Options == nil {
			panic(p.expected("with", "set", "reset"))
		}
	}
	return a
}

func (p *parser) createToken(at Pos) Statement {
	c := &CreateToken{Pos: at}
	c.Name, c.Role = p.tokenOfRole()
	if p.acceptWord("valid") {
		if p.acceptWord("until") {
			l := p.stringValue("a time in quotes")
			c.Until = &l
			return c
		}
		p.expectWord("for", "for", "until")
		l := p.stringValue("a span in quotes, such as '90 days'")
		c.For = &l
	}
	return c
}

// tokenOfRole reads name FOR ROLE role.
func (p *parser) tokenOfRole() (name, role Ident) {
	name = p.ident("the name of a token")
	p.expectWord("for")
	if p.tok.is("role") || p.tok.is("user") {
		p.advance()
	}
	return name, p.role()
}

// roleWords are the attributes without a value.
var roleWords = strings.Fields(`login nologin superuser nosuperuser createrole nocreaterole createdb nocreatedb inherit noinherit
	replication noreplication bypassrls nobypassrls`)

func (p *parser) roleOptions() []RoleOption {
	p.acceptWord("with")
	var list []RoleOption
	for {
		o := RoleOption{Pos: p.tok.pos}
		switch {
		case p.tok.kind == kWord && slices.Contains(roleWords, p.tok.text):
			o.Name = p.tok.text
			p.advance()
		case p.acceptWord("encrypted"):
			p.expectWord("password")
			o.Name, o.Value = "password", p.password()
		case p.acceptWord("password"):
			o.Name, o.Value = "password", p.password()
		case p.acceptWords("connection", "limit"):
			o.Name, o.Value = "connection limit", p.wholeNumber()
		case p.acceptWords("valid", "until"):
			l := p.stringValue("a time in quotes")
			o.Name, o.Value = "valid until", &l
		default:
			return list
		}
		if slices.ContainsFunc(list, func(other RoleOption) bool { return opposite(other.Name) == opposite(o.Name) }) {
			panic(p.fail(CodeSyntax, o.Pos, "conflicting or redundant options: "+o.Name, "keep one of them"))
		}
		list = append(list, o)
	}
}

// opposite is the attribute that name gives or takes away.
func opposite(name string) string { return strings.TrimPrefix(name, "no") }

func (p *parser) password() *Literal {
	if p.tok.is("null") {
		return p.constant()
	}
	l := p.stringValue("a password in quotes, or NULL")
	return &l
}

func (p *parser) wholeNumber() *Literal {
	minus := p.acceptOp("-")
	if p.tok.kind != kInt {
		panic(p.syntaxHint("expected a whole number"))
	}
	l := p.constant()
	if minus {
		l.Text = "-" + l.Text
	}
	return l
}

// grant reads GRANT and REVOKE.
func (p *parser) grant() Statement {
	g := &Grant{Pos: p.tok.pos, Revoke: p.tok.is("revoke")}
	p.advance()
	if g.Revoke && (p.tok.is("grant") || p.tok.is("admin")) && p.peek().is("option") {
		p.advance()
		p.advance()
		p.expectWord("for")
		g.Option = true
	}
	g.Privileges = p.privileges()
	if p.acceptWord("on") {
		p.grantObjects(g)
	}
	if g.Revoke {
		p.expectWord("from")
	} else {
		p.expectWord("to", "on", "to")
	}
	g.Roles = p.roles()
	if g.Revoke {
		p.dropBehavior()
		return g
	}
	if p.acceptWord("with") {
		if !p.acceptWord("grant") {
			p.expectWord("admin", "grant option", "admin option")
		}
		p.expectWord("option")
		g.Option = true
	}
	return g
}

func (p *parser) privileges() []Ident {
	if p.tok.is("all") {
		all := Ident{Pos: p.tok.pos, Name: "all"}
		p.advance()
		p.acceptWord("privileges")
		return []Ident{all}
	}
	var list []Ident
	for {
		list = append(list, p.label("a privilege or a role"))
		if p.tok.punct("(") {
			panic(p.fail(CodeUnsupported, p.tok.pos, "privileges on single columns are not supported", "grant them on the table"))
		}
		if !p.accept(",") {
			return list
		}
	}
}

func (p *parser) grantObjects(g *Grant) {
	switch {
	case p.acceptWord("all"):
		p.refuseObject("sequences", "functions", "procedures", "routines")
		p.expectWord("tables")
		p.expectWord("in")
		p.expectWord("schema")
		g.AllTables = true
		g.Objects = p.objectNames("a schema")
	case p.tok.is("schema"), p.tok.is("database"):
		g.Object = p.tok.text
		p.advance()
		g.Objects = p.objectNames("a " + g.Object)
	case p.tok.is("system") && (p.peek().is("to") || p.peek().is("from")):
		p.advance()
		g.Object = "system"
	default:
		if t := p.peek(); !t.is("to") && !t.is("from") && t.kind != kPunct { // not a table of that name
			p.refuseObject("sequence", "function", "procedure", "routine", "language", "type", "domain", "foreign", "large", "tablespace", "parameter")
		}
		p.acceptWord("table")
		g.Tables = p.names("the name of a table")
	}
}

func (p *parser) objectNames(what string) []Ident {
	list := []Ident{p.ident(what)}
	for p.accept(",") {
		list = append(list, p.ident(what))
	}
	return list
}
