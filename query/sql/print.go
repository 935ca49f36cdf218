package sql

import (
	"strconv"
	"strings"
)

// Print writes a statement in its canonical form: one line, keywords in upper case, names quoted only where they must be,
// parentheses only where they are needed. Parsing it gives the same tree but for the places. Passwords of roles are
// written too: what goes to a log must not be a CreateRole or AlterRole.
func Print(s Statement) string {
	var p printer
	p.statement(s)
	return p.b.String()
}

// PrintExpr writes an expression in its canonical form. Two expressions mean the same to the parser if and only if
// they print alike, which is how a GROUP BY key is found again in a select list.
func PrintExpr(e Expr) string {
	var p printer
	p.expr(e, 0)
	return p.b.String()
}

type printer struct{ b strings.Builder }

func (p *printer) put(parts ...string) {
	for _, s := range parts {
		p.b.WriteString(s)
	}
}

func (p *printer) name(s string) { p.put(QuoteIdent(s)) }

func (p *printer) idents(list []Ident) {
	for i, id := range list {
		p.comma(i)
		p.name(id.Name)
	}
}

// columns writes (a, b) if there are any.
func (p *printer) columns(before string, list []Ident) {
	if len(list) > 0 {
		p.put(before, "(")
		p.idents(list)
		p.put(")")
	}
}

func (p *printer) names(list []Name) {
	for i, n := range list {
		p.comma(i)
		p.put(n.String())
	}
}

func (p *printer) comma(i int) {
	if i > 0 {
		p.put(", ")
	}
}

// when writes s if yes.
func (p *printer) when(yes bool, s string) {
	if yes {
		p.put(s)
	}
}

// dotted writes a name with dots in it, each part quoted where it must be. Any word may stand in it.
func (p *printer) dotted(name string) {
	for i, part := range strings.Split(name, ".") {
		p.when(i > 0, ".")
		p.word(part)
	}
}

// word writes a name where keywords are names too.
func (p *printer) word(w string) {
	if isSimple(w) {
		p.put(w)
		return
	}
	p.put(`"`, strings.ReplaceAll(w, `"`, `""`), `"`)
}

func (p *printer) options(list []Option, equals string) {
	p.put("(")
	for i, o := range list {
		p.comma(i)
		p.dotted(o.Name)
		if o.Kind == OptionBare {
			continue
		}
		p.put(equals)
		switch {
		case o.Kind == OptionString:
			p.put(QuoteString(o.Value))
		case o.Kind == OptionList:
			p.columns("", o.List)
		case o.Kind == OptionNumber, o.Value == "*" && equals == " ":
			p.put(o.Value)
		default:
			p.word(o.Value)
		}
	}
	p.put(")")
}

// typeName writes a type by its internal name, which reads back as itself.
func (p *printer) typeName(t TypeName) { p.put(t.String()) }

// String is the type in SQL.
func (t TypeName) String() string {
	s := typeWord(t.Name)
	for i, m := range t.Mods {
		if i == 0 {
			s += "("
		} else {
			s += ", "
		}
		s += strconv.Itoa(int(m))
	}
	if len(t.Mods) > 0 {
		s += ")"
	}
	return s + strings.Repeat("[]", t.Dims)
}

// typeWord writes the name of a type. Keywords that are types stand without quotes if they keep their name.
func typeWord(n Name) string {
	if n.Schema == "" && isTypeWord[n.Name] && typeNames[n.Name] == "" {
		return n.Name
	}
	return n.String()
}

func (p *printer) orderBy(list []OrderItem) {
	p.put("ORDER BY ")
	for i, o := range list {
		p.comma(i)
		p.expr(o.Expr, 0)
		p.when(o.Desc, " DESC")
		switch o.Nulls {
		case NullsFirst:
			p.put(" NULLS FIRST")
		case NullsLast:
			p.put(" NULLS LAST")
		}
	}
}
