package differential

import "fmt"

// recursion is a query of WITH RECURSIVE that ends: a number that it counts up to a bound, or the finite set of its rows, ends it. Its name is known
// to what is made after it.
func (g *Generator) recursion(s *scope) *node {
	name, alias := g.name("q"), g.name("r")
	cols := []output{{g.name("c"), intKind}, {g.name("c"), textKind}}
	own := outputs(cols, alias)
	count, text := own[0].text, own[1].text
	from := n("FROM common table expression", noKind, name, " AS ", alias)
	refs := own
	distinct := pick(g, "", "ALL ")
	rounds := 3 + g.IntN(4)
	switch g.IntN(4) {
	case 0: // some rows more of each, so that there are few rounds, and no row twice
		distinct, rounds = "", 3
		t := g.table(s, true)
		refs = append(refs, t.refs...)
		from = n(pick(g, "INNER JOIN", "LEFT JOIN"), noKind, from, " JOIN ", t.node, " ON ", g.equal(own, t.refs))
		if from.production == "LEFT JOIN" {
			from.parts[1] = " LEFT JOIN "
		}
	case 1:
		f := g.function(s, g.name("r"), own)
		distinct, rounds = "", 3
		refs = append(refs, f.refs...)
		from = n("LATERAL", noKind, from, " CROSS JOIN ", f.node)
	}
	inner := &scope{refs: refs, subquery: true, world: s.world}
	short := func(x *node) *node { return n("", textKind, "left((", x, ")::text, 5)") }
	next := n("", intKind, count, " + ", pick(g, "1", "2"))
	bound := n("", noKind, " WHERE ", count, " < ", fmt.Sprint(rounds))
	if distinct == "" && g.oneIn(2) { // as many rows as there are remainders and texts, and no bound
		next = n("", intKind, "(", count, " * ", pick(g, "2", "3", "5"), " + 1) % 11")
		bound = clause("WHERE", " WHERE ", g.expr(boolKind, inner, 1))
		short = func(*node) *node { return n("", textKind, pick(g, "upper", "lower", "reverse"), "(", text, ")") }
	} else if g.oneIn(2) {
		bound = n("", noKind, bound, clause("WHERE", " AND ", g.expr(boolKind, inner, 1)))
	}
	step := n("SELECT", noKind, "SELECT ", next, ", ", short(g.expr(textKind, inner, 2)), " FROM ", from, bound)
	columns := fmt.Sprintf(" (%s, %s)", cols[0].name, cols[1].name)
	q := n("WITH RECURSIVE", noKind, name, columns, " AS (", g.beginning(s), " UNION ", distinct, step, ")")
	g.form.ctes = append(g.form.ctes, relationOf{name, cols})
	return q
}

// beginning is the part of a recursion that does not read it: numbers of at least 0 with texts of at most five characters.
func (g *Generator) beginning(s *scope) *node {
	plain := &scope{world: s.world}
	switch g.IntN(3) {
	case 0:
		return n("VALUES", noKind, "VALUES (0::int8, left(", g.expr(textKind, plain, 1), ", 5))", clause("", ", (1, ", g.literal(textKind), ")"), clause("", ", (NULL, 'null')"))
	case 1:
		return n("SELECT without FROM", noKind, "SELECT ", pick(g, "0", "1", "2"), "::int8, left((", g.expr(textKind, plain, 2), ")::text, 5)")
	}
	r := g.from(&scope{world: s.world}, 0)
	inner := &scope{refs: r.refs, subquery: true, world: s.world}
	return n("SELECT", noKind, "SELECT abs(", g.expr(intKind, inner, 1), ") % 7, left((", g.expr(textKind, inner, 1), ")::text, 5) FROM ", r.node,
		clause("WHERE", " WHERE ", g.expr(boolKind, inner, 1)))
}

// recursive is a query that reads a recursion.
func (g *Generator) recursive(s *Statement, top *scope) *Statement {
	if g.oneIn(6) { // one without an end
		name, c := g.name("q"), g.name("c")
		in := &scope{refs: []ref{{c, intKind}}, world: top.world}
		s.root = n("WITH RECURSIVE", noKind, "WITH RECURSIVE ", name, " (", c, ") AS (SELECT 1::int8 UNION ", pick(g, "", "ALL "), "SELECT ", c, " + 1 FROM ", name,
			") SELECT ", c, ", ", n("AS label", noKind, g.expr(intKind, in, 1), " AS x"), " FROM ", name, clause("WHERE", " WHERE ", c, " % 3 <> 1"), " LIMIT ", pick(g, "3", "10"))
		return s
	}
	var before []any
	if g.oneIn(3) {
		q := g.with(top)
		before = []any{q, ", "}
		q.parts[0] = "WITH RECURSIVE "
		q.parts = q.parts[:2] // without the blank behind it
	} else {
		before = []any{"WITH RECURSIVE "}
	}
	with := n("WITH", noKind, append(before, g.recursion(top), " ")...)
	c, alias := g.form.ctes[len(g.form.ctes)-1], g.name("r")
	r := relation{n("FROM common table expression", noKind, c.name, " AS ", alias), outputs(c.cols, alias), nil}
	if g.oneIn(3) {
		t := g.entry(top, 1, nil)
		r = relation{n("INNER JOIN", noKind, r.node, " JOIN ", t.node, " ON ", g.equal(r.refs, t.refs)), append(r.refs, t.refs...), nil}
	}
	in := top.over(r.refs)
	where := &node{}
	if g.oneIn(3) {
		where = clause("WHERE", " WHERE ", g.expr(boolKind, in, 2))
	}
	make := g.plainSelect
	if g.oneIn(3) {
		make = g.grouped
	}
	body, outs := make(in, r, where, need{kinds: []kind{intKind, textKind, pick(g, intKind, boolKind, floatKind)}})
	s.root = n("", noKind, with, body)
	g.tail(s, outs)
	s.Params = g.form.params
	return s
}
