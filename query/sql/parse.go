// Package sql turns the text of a statement into a tree, and a tree back into text. It knows the language and nothing of
// what is in the catalog: whether a table exists, what a type means or which function there is, is the planner's to say.
//
// The language is a subset of PostgreSQL's with three additions: an order of the values of a TEXT dimension, options with
// dotted names, and the calls of tests in a select list. docs/sql.md is its reference.
//
//	stmt, err := sql.ParseOne("SELECT dept, chi2_test(gender, admitted) FROM admissions GROUP BY dept")
//	if e, ok := errors.AsType[*sql.Error](err); ok {
//		fmt.Print(e.Caret(text))
//	}
//
// The parser is recursive descent for statements and Pratt for expressions; it reads the text once, left to right, with
// two tokens of look-ahead, in time linear in its length. What it takes is bounded: see the limits below.
package sql

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// Limits of a statement text. Beyond one of them the answer is an error, never a wait or a full memory.
const (
	TextBytesMax   = 10 << 20 // bytes of a text
	TokensMax      = 4 << 20  // tokens of a text
	StatementsMax  = 1 << 16  // statements of a text
	SelectDepthMax = 100      // selects within selects; a chain of joins or of UNIONs counts each as one within the next
	ExprDepthMax   = 200      // height of an expression, subqueries counted for themselves
	ColumnsMax     = 1664     // entries of one select list, as in PostgreSQL, or of one list of keys
	ParamsMax      = 65535    // highest $n, as the wire has it
	NameBytesMax   = 63       // bytes of a name
)

// Parse reads the statements of text, which are separated by semicolons. Empty ones are left out, so that the result may
// be empty. The error is an *Error; then nothing of the text is returned.
func Parse(text string) (stmts []Statement, err error) {
	p := &parser{}
	defer p.catch(&err)
	p.begin(text)
	for {
		for p.tok.punct(";") {
			p.advance()
		}
		if p.tok.kind == kEOF {
			return stmts, nil
		}
		if len(stmts) == StatementsMax {
			panic(p.fail(CodeTooComplex, p.tok.pos, "too many statements in one text", "send them in several texts"))
		}
		stmts = append(stmts, p.statement())
		if p.tok.kind != kEOF && !p.tok.punct(";") {
			panic(p.syntax())
		}
	}
}

// ParseOne reads a text that holds exactly one statement; a semicolon may end it.
func ParseOne(text string) (Statement, error) {
	stmts, err := Parse(text)
	switch {
	case err != nil:
		return nil, err
	case len(stmts) == 0:
		return nil, &Error{Code: CodeSyntax, Message: "syntax error at end of input", Hint: "the statement is empty", Pos: CharPos(text, Pos(len(text)))}
	case len(stmts) > 1:
		return nil, &Error{Code: CodeSyntax, Message: "cannot insert multiple commands into a prepared statement",
			Hint: "send one statement at a time", Pos: CharPos(text, stmts[1].At())}
	}
	return stmts[0], nil
}

// ParseExpr reads a text that is one expression, such as the filter of a crosstab.
func ParseExpr(text string) (e Expr, err error) {
	p := &parser{}
	defer p.catch(&err)
	p.begin(text)
	e = p.expr(0)
	if p.tok.kind != kEOF {
		panic(p.syntax())
	}
	return e, nil
}

// parser holds the state of one parse. Every method that reads a construct stands at its first token when it is called
// and at the first token behind it when it returns.
type parser struct {
	lex    lexer
	tok    token
	prev   token // the one before tok
	ahead  token
	peeked bool
	tokens int

	depth   int // of the expression being read
	deepest int // reached by the expression read last, see expr
	selects int // depth of selects

	literals []Literal // slab that the next literals come from
	exprs    []Expr    // slab that the next rows of values come from
	slab     int       // size of the slabs made last
}

func (p *parser) begin(text string) {
	if len(text) > TextBytesMax {
		panic(&Error{Code: CodeTooComplex, Message: "statement is too long: " + strconv.Itoa(len(text)) + " bytes, the limit is " +
			strconv.Itoa(TextBytesMax), Hint: "send the rows in several INSERTs, or use COPY"})
	}
	p.lex.text = text
	if strings.HasPrefix(text, "\ufeff") {
		p.lex.at = len("\ufeff")
	}
	if at := badByte(text); at >= 0 {
		panic(&Error{Code: CodeEncoding, Message: "invalid byte sequence for encoding \"UTF8\": 0x" +
			strconv.FormatUint(uint64(text[at]), 16), Pos: utf8.RuneCountInString(text[:at]) + 1, Hint: "statements are UTF-8 text"})
	}
	p.advance()
}

// badByte finds the first byte that is not UTF-8, or NUL; -1 if there is none.
func badByte(text string) int {
	if utf8.ValidString(text) {
		return strings.IndexByte(text, 0)
	}
	for i, r := range text {
		if r == 0 || r == utf8.RuneError && !strings.HasPrefix(text[i:], "\uFFFD") {
			return i
		}
	}
	return -1
}

// catch turns the panic that ended the parse into its error.
func (p *parser) catch(err *error) {
	switch r := recover().(type) {
	case nil:
	case *Error:
		*err = r
	default:
		panic(r)
	}
}

// advance goes to the next token.
func (p *parser) advance() {
	p.prev = p.tok
	if p.peeked {
		p.tok, p.peeked = p.ahead, false
		return
	}
	p.tok = p.lex.next()
	p.count()
}

// peek is the token behind the current one.
func (p *parser) peek() *token {
	if !p.peeked {
		p.ahead, p.peeked = p.lex.next(), true
		p.count()
	}
	return &p.ahead
}

func (p *parser) count() {
	if p.tokens++; p.tokens > TokensMax {
		panic(p.fail(CodeTooComplex, p.tok.pos, "statement is too complex: more than "+strconv.Itoa(TokensMax)+" words and signs",
			"send the rows in several INSERTs, or use COPY"))
	}
}

// acceptWord reads the keyword w if it is there.
func (p *parser) acceptWord(w string) bool {
	if p.tok.kind == kWord && p.tok.text == w {
		p.advance()
		return true
	}
	return false
}

// acceptWords reads the keywords w1 w2 if both are there.
func (p *parser) acceptWords(w1, w2 string) bool {
	if p.tok.is(w1) && p.peek().is(w2) {
		p.advance()
		p.advance()
		return true
	}
	return false
}

func (p *parser) accept(punct string) bool {
	if p.tok.kind == kPunct && p.tok.text == punct {
		p.advance()
		return true
	}
	return false
}

func (p *parser) acceptOp(op string) bool {
	if p.tok.op(op) {
		p.advance()
		return true
	}
	return false
}

// expectWord reads the keyword w and fails with what would be accepted instead, w if the list is empty.
func (p *parser) expectWord(w string, accepted ...string) {
	if !p.acceptWord(w) {
		if len(accepted) == 0 {
			accepted = []string{w}
		}
		panic(p.expected(accepted...))
	}
}

func (p *parser) expect(punct string, accepted ...string) {
	if !p.accept(punct) {
		if len(accepted) == 0 {
			accepted = []string{punct}
		}
		panic(p.expected(accepted...))
	}
}

// closeList reads the parenthesis that ends a list.
func (p *parser) closeList() { p.expect(")", ",", ")") }

// isName says whether t can be the name of a column or table.
func isName(t *token) bool {
	return t.kind == kQuoted || t.kind == kWord && classOf[t.text] <= columns
}

// ident reads the name of a column, table or the like; what says what it would name, for the hint.
func (p *parser) ident(what string) Ident {
	if !isName(&p.tok) {
		panic(p.expectedName(what))
	}
	id := Ident{Pos: p.tok.pos, Name: p.tok.text}
	p.advance()
	return id
}

// label reads a name where any word is one: after AS or a dot.
func (p *parser) label(what string) Ident {
	if p.tok.kind != kWord && p.tok.kind != kQuoted {
		panic(p.expectedName(what))
	}
	id := Ident{Pos: p.tok.pos, Name: p.tok.text}
	p.advance()
	return id
}

// identList reads (a, b, …).
func (p *parser) identList(what string) []Ident {
	p.expect("(")
	var list []Ident
	for {
		list = append(list, p.ident(what))
		if !p.accept(",") {
			p.closeList()
			return list
		}
	}
}

// optionalIdents reads (a, b, …) if it is there.
func (p *parser) optionalIdents(what string) []Ident {
	if !p.tok.punct("(") {
		return nil
	}
	return p.identList(what)
}

// name reads a table name with up to two qualifiers.
func (p *parser) name(what string) Name {
	first := p.ident(what)
	return p.qualified(first, what)
}

func (p *parser) qualified(first Ident, what string) Name {
	n := Name{Pos: first.Pos, Name: first.Name}
	for p.accept(".") {
		if n.Database != "" {
			panic(p.fail(CodeSyntax, n.Pos, "improper qualified name (too many dotted names)", "write schema.name"))
		}
		n.Database, n.Schema = n.Schema, n.Name
		n.Name = p.label(what).Name
	}
	return n
}

// names reads a, b, ….
func (p *parser) names(what string) []Name {
	list := []Name{p.name(what)}
	for p.accept(",") {
		list = append(list, p.name(what))
	}
	return list
}

// stringValue reads a string literal.
func (p *parser) stringValue(what string) Literal {
	if p.tok.kind != kString {
		panic(p.expected(what))
	}
	l := Literal{Pos: p.tok.pos, Kind: StringLiteral, Text: p.tok.text}
	p.advance()
	return l
}

// nest counts levels more of selects within selects; the caller takes them off when it is through.
func (p *parser) nest(levels int) {
	if p.selects += levels; p.selects > SelectDepthMax {
		panic(p.fail(CodeTooComplex, p.tok.pos, "statement too complex: more than "+strconv.Itoa(SelectDepthMax)+" selects within each other",
			"break it up, or name parts of it in a WITH"))
	}
}
