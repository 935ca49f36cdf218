package sql

import "strconv"

// Binding powers, as in PostgreSQL. An operand is read with the least power of what it may contain.
const (
	powerOr       = 1
	powerAnd      = 2
	powerNot      = 3
	powerIs       = 4 // does not chain
	powerCompare  = 5 // does not chain
	powerIn       = 6 // IN, LIKE, BETWEEN; does not chain
	powerOperator = 7
	powerSum      = 8
	powerProduct  = 9
	powerExponent = 10
	powerZone     = 11 // AT TIME ZONE, COLLATE
	powerSign     = 12
	powerPostfix  = 13
)

// powerOf is the binding power of the infix operator op.
func powerOf(op string) int {
	switch op {
	case "=", "<", ">", "<=", ">=", "<>":
		return powerCompare
	case "+", "-":
		return powerSum
	case "*", "/", "%":
		return powerProduct
	case "^":
		return powerExponent
	}
	return powerOperator
}

// infixPower is the binding power of the current token as an infix operator, 0 if it is none.
func (p *parser) infixPower() int {
	switch p.tok.kind {
	case kOp:
		return powerOf(p.tok.text)
	case kWord:
	default:
		return 0
	}
	switch p.tok.text {
	case "or":
		return powerOr
	case "and":
		return powerAnd
	case "is", "isnull", "notnull":
		return powerIs
	case "in", "like", "ilike", "between":
		return powerIn
	case "similar":
		return powerIn
	case "not":
		if t := p.peek(); t.is("in") || t.is("like") || t.is("ilike") || t.is("between") || t.is("similar") {
			return powerIn
		}
	case "operator":
		if p.peek().punct("(") {
			return powerOperator
		}
	case "at":
		if p.peek().is("time") {
			return powerZone
		}
	case "overlaps":
		return powerOperator
	case "collate":
		return powerZone
	}
	return 0
}

// expr reads an expression whose operators bind at least as tightly as least.
func (p *parser) expr(least int) Expr {
	p.enter()
	outer := p.deepest
	p.deepest = p.depth
	left := p.prefix(least)
	left = p.infixes(left, least)
	p.deepest = max(p.deepest, outer)
	p.depth--
	return left
}

// continued reads on from the expression left, which has been read already; p.deepest is what left has reached.
func (p *parser) continued(left Expr, least int) Expr {
	p.enter()
	left = p.infixes(p.postfix(left, true), least)
	p.depth--
	return left
}

func (p *parser) enter() {
	if p.depth++; p.depth > ExprDepthMax {
		panic(p.tooDeep())
	}
	p.deepest = max(p.deepest, p.depth)
}

func (p *parser) tooDeep() *Error {
	return p.fail(CodeTooComplex, p.tok.pos, "statement too complex: expression nested more than "+strconv.Itoa(ExprDepthMax)+" deep",
		"break it up, or name parts of it in a WITH")
}

// infixes reads the operators behind left. Each one puts left a level deeper, so the height that left has reached is
// counted along: a chain of a million operators must not become a tree that nobody can walk.
func (p *parser) infixes(left Expr, least int) Expr {
	height := p.deepest
	used := 0 // power of the last operator, if that kind does not chain
	for {
		power := p.infixPower()
		if power == 0 || power < least {
			p.deepest = height
			return left
		}
		if power == used {
			panic(p.syntaxHint("comparisons do not chain: use AND, or parentheses"))
		}
		used = 0
		if power >= powerIs && power <= powerIn {
			used = power
		}
		p.deepest = p.depth
		if chain, ok := left.(*Logic); ok && chain.Op == logicOf(power) {
			p.advance()
			chain.Args = append(chain.Args, p.expr(power+1))
		} else {
			left = p.infix(left, power)
			height++
		}
		if height = max(height, p.deepest); height > ExprDepthMax {
			panic(p.tooDeep())
		}
	}
}

func logicOf(power int) LogicOp {
	switch power {
	case powerAnd:
		return And
	case powerOr:
		return Or
	}
	return 0
}

// infix reads the operator at the current token and what stands to the right of it.
func (p *parser) infix(left Expr, power int) Expr {
	at := p.tok.pos
	if p.tok.kind == kOp {
		op := p.tok.text
		p.advance()
		return p.operated(left, at, "", op, power)
	}
	not := p.acceptWord("not")
	word := p.tok.text
	p.advance()
	switch word {
	case "or", "and":
		return &Logic{Pos: at, Op: logicOf(power), Args: []Expr{left, p.expr(power + 1)}}
	case "is":
		return p.is(left, at)
	case "isnull":
		return &Is{Pos: at, X: left, Kind: IsNull}
	case "notnull":
		return &Is{Pos: at, X: left, Kind: IsNull, Not: true}
	case "in":
		return p.in(left, at, not)
	case "between":
		return p.between(left, at, not)
	case "like", "ilike", "similar":
		return p.like(left, at, word, not)
	case "operator":
		schema, op := p.operatorName()
		return p.operated(left, at, schema, op, power)
	case "overlaps":
		panic(p.unsupported(at, "OVERLAPS", "write a < d AND c < b for the spans a … b and c … d"))
	case "at":
		p.expectWord("time")
		p.expectWord("zone")
		zone := p.expr(powerZone + 1)
		return &Call{Pos: at, Name: Name{Pos: at, Name: "timezone"},
			Args: []Arg{{Pos: zone.At(), Value: zone}, {Pos: left.At(), Value: left}}}
	}
	return &Collate{Pos: at, X: left, Name: p.name("a collation")}
}

// operatorName reads (schema.op) behind OPERATOR.
func (p *parser) operatorName() (schema, op string) {
	p.expect("(")
	if p.tok.kind != kOp {
		schema = p.label("a schema or an operator").Name
		p.expect(".")
	}
	if p.tok.kind != kOp {
		panic(p.syntaxHint("expected an operator"))
	}
	op = p.tok.text
	p.advance()
	p.expect(")")
	return schema, op
}

// operated reads the right side of an operator: an operand, or ANY or ALL of many.
func (p *parser) operated(left Expr, at Pos, schema, op string, power int) Expr {
	if q := p.quantified(left, at, schema, op); q != nil {
		return q
	}
	return &Binary{Pos: at, Schema: schema, Op: op, L: left, R: p.expr(power + 1)}
}

// quantified reads ANY (…), SOME (…) or ALL (…); nil if none of them is there.
func (p *parser) quantified(left Expr, at Pos, schema, op string) Expr {
	all := p.tok.is("all")
	if !all && !p.tok.is("any") && !p.tok.is("some") {
		return nil
	}
	p.advance()
	if !p.tok.punct("(") {
		panic(p.expected("("))
	}
	q, list := p.parenthesised()
	e := &Quantified{Pos: at, X: left, Schema: schema, Op: op, All: all, Query: q}
	switch {
	case q != nil:
	case len(list) == 1:
		e.Array = list[0]
	default:
		panic(p.fail(CodeSyntax, list[1].At(), "syntax error: ANY and ALL take one array or a query", "write ANY (ARRAY[…]) or IN (…)"))
	}
	return e
}

func (p *parser) is(left Expr, at Pos) Expr {
	not := p.acceptWord("not")
	for i, word := range [...]string{"null", "true", "false", "unknown"} {
		if p.acceptWord(word) {
			return &Is{Pos: at, X: left, Kind: IsNull + IsKind(i), Not: not}
		}
	}
	if p.acceptWord("distinct") {
		p.expectWord("from")
		return &IsDistinct{Pos: at, L: left, R: p.expr(powerIs + 1), Not: not}
	}
	p.refuseIs()
	panic(p.expected("null", "true", "false", "unknown", "distinct"))
}

func (p *parser) in(left Expr, at Pos, not bool) Expr {
	if !p.tok.punct("(") {
		panic(p.expected("("))
	}
	if p.peek().punct(")") {
		p.advance()
		panic(p.syntaxHint("the list of IN is empty: = ANY ('{}') is false for every value"))
	}
	q, list := p.parenthesised()
	return &In{Pos: at, X: left, Query: q, List: list, Not: not}
}

func (p *parser) between(left Expr, at Pos, not bool) Expr {
	symmetric := p.acceptWord("symmetric")
	if !symmetric {
		p.acceptWord("asymmetric")
	}
	p.noNot()
	low := p.expr(powerIn + 1)
	p.expectWord("and")
	return &Between{Pos: at, X: left, Low: low, High: p.expr(powerIn + 1), Not: not, Symmetric: symmetric}
}

// noNot refuses NOT where PostgreSQL wants an operand without it: before the AND of BETWEEN, and behind DEFAULT.
func (p *parser) noNot() {
	if p.tok.is("not") {
		panic(p.syntaxHint("expected an expression; here NOT needs parentheses around it"))
	}
}

func (p *parser) like(left Expr, at Pos, word string, not bool) Expr {
	e := &Like{Pos: at, X: left, Not: not}
	switch word {
	case "like":
		e.Kind = PlainLike
	case "ilike":
		e.Kind = ILike
	default:
		p.expectWord("to")
		e.Kind = SimilarTo
	}
	if e.Kind != SimilarTo {
		op := word
		if not {
			op = "not " + word
		}
		if q := p.quantified(left, at, "", op); q != nil {
			return q
		}
	}
	e.Pattern = p.expr(powerIn + 1)
	if p.acceptWord("escape") {
		e.Escape = p.expr(powerIn + 1)
	}
	return e
}
