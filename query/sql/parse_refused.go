package sql

import (
	"slices"
	"strings"
)

// unsupported is the error of what PostgreSQL knows and Quipu does not.
func (p *parser) unsupported(at Pos, what, hint string) *Error {
	return p.fail(CodeUnsupported, at, what+" is not supported", hint)
}

// refuseExpr refuses expressions of PostgreSQL that begin with a keyword.
func (p *parser) refuseExpr() {
	word := p.tok.text
	switch {
	case word == "collation" && p.peek().is("for"):
		panic(p.unsupported(p.tok.pos, "COLLATION FOR", "texts compare byte by byte"))
	case !p.peek().punct("("):
	case word == "current_time", word == "current_timestamp", word == "localtime", word == "localtimestamp":
		panic(p.unsupported(p.tok.pos, strings.ToUpper(word)+" with a precision", "write date_trunc('milliseconds', now())"))
	case word == "treat":
		panic(p.unsupported(p.tok.pos, "TREAT", "write CAST(x AS type)"))
	case strings.HasPrefix(word, "xml") && classOf[word] == columns:
		panic(p.unsupported(p.tok.pos, strings.ToUpper(word), "there is no XML"))
	}
}

// refuseIs refuses tests of PostgreSQL that begin with IS.
func (p *parser) refuseIs() {
	switch {
	case p.tok.is("document"):
		panic(p.unsupported(p.tok.pos, "IS DOCUMENT", "there is no XML"))
	case p.tok.is("normalized"), slices.Contains([]string{"nfc", "nfd", "nfkc", "nfkd"}, p.tok.text) && p.peek().is("normalized"):
		panic(p.unsupported(p.tok.pos, "IS NORMALIZED", "texts compare byte by byte, as they were written"))
	}
}

// refuseObject refuses a kind of object that privileges could be granted on in PostgreSQL.
func (p *parser) refuseObject(kinds ...string) {
	if p.tok.kind == kWord && slices.Contains(kinds, p.tok.text) {
		panic(p.unsupported(p.tok.pos, "privileges on a "+strings.ToUpper(p.tok.text), "privileges are granted on tables and on SYSTEM"))
	}
}
