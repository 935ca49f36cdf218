package sql

import (
	"slices"
	"strconv"
)

// sessionStatement reads the statements about transactions and the session; nil if the word begins none of them.
func (p *parser) sessionStatement() Statement {
	at := p.tok.pos
	word := p.tok.text
	switch word {
	case "begin", "start":
		p.advance()
		if word == "start" {
			p.expectWord("transaction")
		} else {
			p.work()
		}
		return &Transaction{Pos: at, Kind: Begin, Start: word == "start", Modes: p.txModes()}
	case "commit", "end":
		p.advance()
		p.work()
		return &Transaction{Pos: at, Kind: Commit, Chain: p.chain()}
	case "rollback", "abort":
		p.advance()
		p.work()
		if word == "rollback" && p.acceptWord("to") {
			p.acceptWord("savepoint")
			return &Transaction{Pos: at, Kind: RollbackTo, Name: p.ident("the name of a savepoint").Name}
		}
		return &Transaction{Pos: at, Kind: Rollback, Chain: p.chain()}
	case "savepoint":
		p.advance()
		return &Transaction{Pos: at, Kind: Savepoint, Name: p.ident("the name of a savepoint").Name}
	case "release":
		p.advance()
		p.acceptWord("savepoint")
		return &Transaction{Pos: at, Kind: Release, Name: p.ident("the name of a savepoint").Name}
	case "discard":
		p.advance()
		return &Discard{Pos: at, What: p.discarded()}
	case "prepare":
		return p.prepare()
	case "execute":
		return p.execute()
	case "deallocate":
		p.advance()
		p.acceptWord("prepare")
		return &Deallocate{Pos: at, Name: p.nameOrAll("a prepared statement")}
	case "declare":
		return p.declare()
	case "fetch", "move":
		return p.fetchRows()
	case "close":
		p.advance()
		return &Close{Pos: at, Name: p.nameOrAll("a cursor")}
	case "unlisten":
		p.advance()
		if p.acceptOp("*") {
			return &Unlisten{Pos: at}
		}
		return &Unlisten{Pos: at, Name: p.ident("a channel").Name}
	}
	return nil
}

func (p *parser) prepare() Statement {
	s := &Prepare{Pos: p.tok.pos}
	p.advance()
	if p.tok.is("transaction") && p.peek().kind == kString {
		panic(p.unsupported(s.Pos, "PREPARE TRANSACTION", "COMMIT sends what a transaction has gathered, under one stamp"))
	}
	s.Name = p.ident("the name of a prepared statement").Name
	if p.accept("(") {
		for s.Types = append(s.Types, p.typeName()); p.accept(","); {
			s.Types = append(s.Types, p.typeName())
		}
		p.closeList()
	}
	p.expectWord("as")
	if !p.tok.punct("(") && !slices.Contains(preparable, p.tok.text) {
		panic(p.expected("select", "insert", "values", "delete", "with", "table"))
	}
	s.Statement = p.statement()
	return s
}

// preparable are the first words of statements that take parameters.
var preparable = []string{"select", "with", "values", "table", "insert", "delete"}

func (p *parser) execute() Statement {
	s := &Execute{Pos: p.tok.pos}
	p.advance()
	s.Name = p.ident("the name of a prepared statement").Name
	if p.accept("(") {
		s.Args = p.exprList()
		p.closeList()
	}
	return s
}

func (p *parser) declare() Statement {
	d := &Declare{Pos: p.tok.pos}
	p.advance()
	d.Name = p.ident("the name of a cursor").Name
	for !p.tok.is("cursor") {
		switch {
		case p.acceptWord("binary"):
			d.Binary = true
		case d.Scroll == "" && p.acceptWord("scroll"):
			d.Scroll = "scroll"
		case d.Scroll == "" && p.acceptWords("no", "scroll"):
			d.Scroll = "no scroll"
		case p.acceptWord("insensitive"), p.acceptWord("asensitive"):
		default:
			panic(p.expected("cursor", "binary", "no scroll", "scroll", "insensitive", "asensitive"))
		}
	}
	p.advance()
	if p.acceptWords("with", "hold") {
		d.Hold = true
	} else {
		p.acceptWords("without", "hold")
	}
	p.expectWord("for", "for", "with hold", "without hold")
	d.Query = p.query()
	return d
}

// fetchRows reads FETCH and MOVE. A word is a direction only if the name of the cursor can still follow.
func (p *parser) fetchRows() Statement {
	f := &Fetch{Pos: p.tok.pos, Move: p.tok.is("move"), Direction: "forward", Count: 1}
	p.advance()
	if next := p.peek(); next.kind != kEOF && !next.punct(";") {
		p.direction(f)
	}
	if !p.acceptWord("from") {
		p.acceptWord("in")
	}
	f.Name = p.ident("the name of a cursor").Name
	return f
}

func (p *parser) direction(f *Fetch) {
	switch {
	case p.acceptWord("next"):
	case p.acceptWord("prior"):
		f.Direction = "backward"
	case p.acceptWord("first"):
		f.Direction = "absolute"
	case p.acceptWord("last"):
		f.Direction, f.Count = "absolute", -1
	case p.acceptWord("absolute"):
		f.Direction, f.Count = "absolute", p.signedCount()
	case p.acceptWord("relative"):
		f.Direction, f.Count = "relative", p.signedCount()
	case p.acceptWord("all"):
		f.All, f.Count = true, 0
	case p.acceptWord("forward"):
		p.rowsToFetch(f)
	case p.acceptWord("backward"):
		f.Direction = "backward"
		p.rowsToFetch(f)
	case p.tok.kind == kInt || p.tok.op("-") || p.tok.op("+"):
		f.Count = p.signedCount()
	}
}

// rowsToFetch reads what may stand behind FORWARD and BACKWARD.
func (p *parser) rowsToFetch(f *Fetch) {
	switch {
	case p.acceptWord("all"):
		f.All, f.Count = true, 0
	case p.tok.kind == kInt || p.tok.op("-") || p.tok.op("+"):
		f.Count = p.signedCount()
	}
}

func (p *parser) signedCount() int64 {
	minus := p.acceptOp("-")
	if !minus {
		p.acceptOp("+")
	}
	if p.tok.kind != kInt {
		panic(p.expected("a whole number"))
	}
	l := p.constant()
	n, err := strconv.ParseInt(l.Text, 10, 32)
	if err != nil {
		panic(p.fail(CodeSyntax, l.Pos, "a cursor moves by at most 2147483647 rows", ""))
	}
	if minus {
		n = -n
	}
	return n
}

func (p *parser) work() {
	if !p.acceptWord("work") {
		p.acceptWord("transaction")
	}
}

func (p *parser) chain() bool {
	if !p.acceptWord("and") {
		return false
	}
	no := p.acceptWord("no")
	p.expectWord("chain")
	return !no
}

func (p *parser) discarded() string {
	for _, what := range []string{"all", "plans", "sequences", "temp"} {
		if p.acceptWord(what) {
			return what
		}
	}
	if p.acceptWord("temporary") {
		return "temp"
	}
	panic(p.expected("all", "plans", "sequences", "temp"))
}

func (p *parser) nameOrAll(what string) string {
	if p.acceptWord("all") {
		return ""
	}
	return p.ident(what).Name
}

// txModes reads the modes of a transaction, with or without commas between.
func (p *parser) txModes() TxModes {
	var m TxModes
	for first := true; ; first = false {
		comma := !first && p.accept(",")
		switch {
		case p.acceptWords("isolation", "level"):
			m.Isolation = p.isolation()
		case p.acceptWords("read", "only"):
			m.Access = ReadOnly
		case p.acceptWords("read", "write"):
			m.Access = ReadWrite
		case p.acceptWord("deferrable"):
			m.Deferrable = true
		case p.acceptWords("not", "deferrable"):
			m.Deferrable = false
		case comma:
			panic(p.expected("isolation level", "read only", "read write", "deferrable"))
		default:
			return m
		}
	}
}

func (p *parser) isolation() string {
	switch {
	case p.acceptWord("serializable"):
		return "serializable"
	case p.acceptWords("repeatable", "read"):
		return "repeatable read"
	case p.acceptWords("read", "committed"):
		return "read committed"
	case p.acceptWords("read", "uncommitted"):
		return "read uncommitted"
	}
	panic(p.expected("serializable", "repeatable read", "read committed", "read uncommitted"))
}

func (p *parser) set() Statement {
	at := p.tok.pos
	p.advance()
	switch {
	case p.acceptWord("transaction"):
		return &SetTransaction{Pos: at, Modes: p.someTxModes()}
	case p.tok.is("session") && p.peek().is("characteristics"):
		p.advance()
		p.advance()
		p.expectWord("as")
		p.expectWord("transaction")
		return &SetTransaction{Pos: at, Session: true, Modes: p.someTxModes()}
	}
	if t := p.peek(); p.tok.is("constraints") && !t.op("=") && !t.is("to") {
		panic(p.unsupported(p.tok.pos, "SET CONSTRAINTS", "there are no constraints: leave it out"))
	}
	s := &Set{Pos: at}
	if s.Local = p.tok.is("local") && !p.peek().op("=") && !p.peek().is("to"); s.Local {
		p.advance()
	} else if p.tok.is("session") && !p.peek().op("=") && !p.peek().is("to") && !p.peek().punct(".") && !p.peek().is("authorization") {
		p.advance()
	}
	return p.setting(s)
}

func (p *parser) someTxModes() TxModes {
	m := p.txModes()
	if m == (TxModes{}) && !p.prev.is("deferrable") {
		panic(p.expected("isolation level", "read only", "read write"))
	}
	return m
}

// setting reads the name and value of a SET.
func (p *parser) setting(s *Set) *Set {
	switch {
	case p.acceptWords("time", "zone"):
		s.Name = "timezone"
		if p.acceptWord("local") {
			return s
		}
		if p.tok.is("interval") {
			panic(p.unsupported(p.tok.pos, "SET TIME ZONE INTERVAL", "name the zone: SET TIME ZONE 'UTC'"))
		}
	case p.acceptWord("names"):
		s.Name = "client_encoding"
	case p.acceptWords("session", "authorization"):
		s.Name = "session_authorization"
	case p.tok.is("role") && !p.peek().op("=") && !p.peek().is("to"):
		p.advance()
		s.Name = "role"
	default:
		s.Name = p.dotted("the name of a setting").Name
		if !p.acceptWord("to") && !p.acceptOp("=") {
			panic(p.expected("=", "to"))
		}
	}
	if p.acceptWord("default") {
		return s
	}
	for {
		s.Values = append(s.Values, p.settingValue())
		if !p.accept(",") {
			return s
		}
	}
}

// settingValue reads a literal or a word.
func (p *parser) settingValue() Expr {
	at := p.tok.pos
	if p.tok.op("-") || p.tok.op("+") {
		op := p.tok.text
		p.advance()
		l := p.constant()
		if l == nil || l.Kind != IntLiteral && l.Kind != NumberLiteral {
			panic(p.syntaxHint("expected a number"))
		}
		if op == "+" {
			return l
		}
		return &Unary{Pos: at, Op: op, X: l}
	}
	if p.tok.kind == kWord || p.tok.kind == kQuoted {
		l := p.literal(StringLiteral, p.tok.text)
		p.advance()
		return l
	}
	if l := p.constant(); l != nil {
		return l
	}
	panic(p.syntaxHint("expected a value: a text in quotes, a number or a word"))
}

func (p *parser) show() Statement {
	s := &Show{Pos: p.tok.pos}
	p.advance()
	s.Name = p.settingName()
	return s
}

func (p *parser) reset() Statement {
	s := &Reset{Pos: p.tok.pos}
	p.advance()
	s.Name = p.settingName()
	return s
}

// settingName reads the name of a setting, the ones of several words included.
func (p *parser) settingName() string {
	switch {
	case p.acceptWords("time", "zone"):
		return "timezone"
	case p.acceptWords("session", "authorization"):
		return "session_authorization"
	case p.tok.is("transaction") && p.peek().is("isolation"):
		p.advance()
		p.advance()
		p.expectWord("level")
		return "transaction_isolation"
	}
	return p.dotted("the name of a setting").Name
}
