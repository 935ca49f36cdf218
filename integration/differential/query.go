package differential

import (
	"fmt"
	"slices"
	"strings"
)

// output is a column that a query gives.
type output struct {
	name string
	kind kind
}

// relation is an entry of FROM.
type relation struct {
	node *node
	refs []ref // qualified
	bare []ref // as one may write them where it is the only entry
}

func outputs(refs []output, alias string) []ref {
	out := make([]ref, len(refs))
	for i, o := range refs {
		out[i] = ref{alias + "." + o.name, o.kind}
	}
	return out
}

func refsOf(cols []column, alias string) (qualified, bare []ref) {
	for _, c := range cols {
		qualified = append(qualified, ref{alias + "." + c.name, c.kind})
		bare = append(bare, ref{c.name, c.kind})
	}
	return qualified, bare
}

// table is a table of the world, under a name of its own or not.
func (g *Generator) table(s *scope, alias bool) relation {
	t := pick(g, s.world.Tables...)
	if !alias && g.oneIn(3) {
		q, b := refsOf(t.columns, t.name)
		return relation{n("FROM table", noKind, pick(g, "", "public.")+t.name), q, b}
	}
	name := g.name("r")
	if g.oneIn(5) {
		names := make([]string, len(t.dims))
		cols := append([]column(nil), t.columns...)
		for i := range t.dims {
			names[i] = g.name("c")
			cols[i].name = names[i]
		}
		q, b := refsOf(cols, name)
		return relation{n("alias with columns", noKind, t.name, " AS ", name, " (", strings.Join(names, ", "), ")"), q, b}
	}
	q, b := refsOf(t.columns, name)
	return relation{n("FROM table", noKind, t.name, pick(g, " ", " AS "), name), q, b}
}

// form is what a statement has so far.
type form struct {
	ctes   []relationOf // in force
	params []string     // the values of $1, $2, …
}

// relationOf is a relation that a statement has named.
type relationOf struct {
	name string
	cols []output
}

// param is a parameter with its type, where the statement may have more of them.
func (g *Generator) param(k kind) *node {
	switch k {
	case intKind, textKind, boolKind, floatKind, timeKind:
		return n("$n", k, g.bare(k).String(), "::", k.sql())
	}
	return nil
}

// bare is a parameter whose type the statement does not say.
func (g *Generator) bare(k kind) *node {
	value := map[kind]func() string{
		intKind: func() string { return fmt.Sprint(g.IntN(20) - 3) }, textKind: func() string { return pick(g, texts...) },
		boolKind: func() string { return pick(g, "t", "f") }, floatKind: func() string { return pick(g, "0.5", "2", "-1.25") },
		timeKind: func() string { return strings.Trim(g.datum(timeKind), "'") },
	}[k]()
	g.form.params = append(g.form.params, value)
	return n("$n", k, fmt.Sprintf("$%d", len(g.form.params)))
}

// entry is an entry of FROM. Those that may read what stands before them get it in before.
func (g *Generator) entry(s *scope, depth int, before []ref) relation {
	alias := g.name("r")
	at := g.IntN(12)
	switch {
	case at < 2 && len(g.form.ctes) > 0:
		c := pick(g, g.form.ctes...)
		return relation{n("FROM common table expression", noKind, c.name, " AS ", alias), outputs(c.cols, alias), outputs(c.cols, alias)}
	case at == 2 && depth > 0:
		q, cols := g.selectQuery(&scope{subquery: true, world: s.world, params: s.params}, need{}, depth-1)
		return relation{n("derived table", noKind, "(", q, ") AS ", alias), outputs(cols, alias), outputs(cols, alias)}
	case (at == 3 || at == 6 || at == 7) && depth > 0 && len(before) > 0:
		inner := &scope{outer: before, subquery: true, world: s.world}
		q, cols := g.selectQuery(inner, need{}, depth-1)
		return relation{n("LATERAL (query)", noKind, "LATERAL (", q, ") AS ", alias), outputs(cols, alias), outputs(cols, alias)}
	case at == 4:
		return g.function(s, alias, before)
	case at == 5:
		cols := []output{{g.name("c"), intKind}, {g.name("c"), textKind}}
		values := n("VALUES", noKind, "VALUES (1, ", g.literal(textKind), ")", clause("", ", (", g.literal(intKind), ", NULL)"), ", (", g.literal(intKind), ", ", g.literal(textKind), ")")
		return relation{n("derived table", noKind, "(", values, ") AS ", alias, " (", cols[0].name, ", ", cols[1].name, ")"), outputs(cols, alias), outputs(cols, alias)}
	}
	return g.table(s, true)
}

// function is a function that gives rows.
func (g *Generator) function(s *scope, alias string, before []ref) relation {
	args := &scope{refs: before, world: s.world}
	c := g.name("c")
	var call *node
	of := intKind
	switch g.IntN(6) {
	case 4:
		call = n("function in FROM", noKind, "generate_subscripts(", g.expr(pick(g, intsKind, textsKind), args, 1), ", 1)")
	case 5:
		of = textKind
		call = n("function in FROM", noKind, "string_to_table(", g.expr(textKind, args, 1), ", ", pick(g, "' '", "','", "NULL"), ")")
	case 0:
		call = n("function in FROM", noKind, "generate_series(", pick(g, "1", "0", "3"), ", ", pick(g, "4", "6"), clause("", ", 2"), ")")
	case 1:
		call = n("function in FROM", noKind, "generate_series(1, abs(", g.expr(intKind, args, 1), ") % 5)")
	case 2:
		call = n("function in FROM", noKind, "unnest(", g.expr(intsKind, args, 1), ")")
	default:
		of = textKind
		call = n("function in FROM", noKind, "unnest(", g.expr(textsKind, args, 1), ")")
	}
	if g.oneIn(3) {
		o := g.name("c")
		cols := []output{{c, of}, {o, intKind}}
		return relation{n("WITH ORDINALITY", noKind, call, " WITH ORDINALITY AS ", alias, " (", c, ", ", o, ")"), outputs(cols, alias), outputs(cols, alias)}
	}
	cols := []output{{c, of}}
	return relation{n("", noKind, call, " AS ", alias, " (", c, ")"), outputs(cols, alias), outputs(cols, alias)}
}

// from is FROM with what follows it, and what it gives.
func (g *Generator) from(s *scope, depth int) relation {
	if depth > 0 && g.oneIn(2) {
		return g.join(s, depth)
	}
	if g.oneIn(3) {
		return g.entry(s, depth, nil)
	}
	r := g.table(s, false)
	if g.oneIn(2) {
		r.refs = r.bare
	}
	return r
}

func (g *Generator) join(s *scope, depth int) relation {
	l := g.entry(s, depth-1, nil)
	out := relation{n("", noKind, l.node), l.refs, nil}
	for range 1 + g.IntN(2)*g.IntN(2) {
		comma := false
		r := g.entry(s, depth-1, nil)
		both := append(out.refs[:len(out.refs):len(out.refs)], r.refs...)
		on := &scope{refs: both, outer: s.outer, world: s.world}
		switch g.IntN(9) {
		case 0:
			out.node = n("CROSS JOIN", noKind, out.node, " CROSS JOIN ", r.node)
		case 1:
			out.node, comma = n("FROM a, b", noKind, out.node, ", ", r.node), true
		case 2:
			lateral := g.entry(s, depth-1, out.refs)
			if !strings.Contains(lateral.node.String(), "LATERAL") && !strings.Contains(lateral.node.String(), "generate_series") && !strings.Contains(lateral.node.String(), "unnest") && !strings.Contains(lateral.node.String(), "generate_subscripts") && !strings.Contains(lateral.node.String(), "string_to_table") {
				lateral = g.function(s, g.name("r"), out.refs)
			}
			out.node = n("LATERAL", noKind, out.node, " CROSS JOIN ", lateral.node)
			both = append(out.refs[:len(out.refs):len(out.refs)], lateral.refs...)
		case 3:
			return g.using(out, r)
		case 4, 5:
			out.node = n("LEFT JOIN", noKind, out.node, pick(g, " LEFT JOIN ", " LEFT OUTER JOIN "), r.node, " ON ", g.condition(on, out.refs, r.refs))
		case 6:
			out.node = n("RIGHT JOIN", noKind, out.node, " RIGHT JOIN ", r.node, " ON ", g.condition(on, out.refs, r.refs))
		case 7:
			out.node = n("FULL JOIN", noKind, out.node, " FULL JOIN ", r.node, " ON ", g.equal(out.refs, r.refs))
		default:
			out.node = n("INNER JOIN", noKind, out.node, pick(g, " JOIN ", " INNER JOIN "), r.node, " ON ", g.condition(on, out.refs, r.refs))
		}
		out.refs = both
		if comma { // what follows binds tighter, and sees the right side only
			return out
		}
	}
	if g.oneIn(6) {
		out.node = n("(join)", noKind, "(", out.node, ")")
	}
	return out
}

// equal equates a column of either side.
func (g *Generator) equal(l, r []ref) *node {
	for range 10 {
		a, b := pick(g, l...), pick(g, r...)
		if a.kind == b.kind {
			return n("", boolKind, a.text, " = ", b.text)
		}
	}
	return n("", boolKind, "true")
}

func (g *Generator) condition(s *scope, l, r []ref) *node {
	e := g.equal(l, r)
	if g.oneIn(3) {
		return n("", boolKind, e, " AND ", g.expr(boolKind, s, 1))
	}
	if g.oneIn(5) {
		return g.expr(boolKind, s, 2)
	}
	return e
}

// using joins two derived tables by a column of one name.
func (g *Generator) using(l, r relation) relation {
	k := pick(g, intKind, textKind)
	find := func(refs []ref) string {
		for _, x := range refs {
			if x.kind == k {
				return x.text
			}
		}
		return "NULL::" + k.sql()
	}
	j, x, y := g.name("j"), g.name("c"), g.name("c")
	xs, ys := pick(g, l.refs...), pick(g, r.refs...)
	left := n("derived table", noKind, "(SELECT ", find(l.refs), " AS ", j, ", ", xs.text, " AS ", x, " FROM ", l.node, ")")
	right := n("derived table", noKind, "(SELECT ", find(r.refs), " AS ", j, ", ", ys.text, " AS ", y, " FROM ", r.node, ")")
	sides := pick(g, "", "LEFT ", "RIGHT ", "FULL ")
	la, ra := g.name("r"), g.name("r")
	refs := []ref{{j, k}, {la + "." + x, xs.kind}, {ra + "." + y, ys.kind}}
	if g.oneIn(2) {
		return relation{n("NATURAL JOIN", noKind, left, " AS ", la, " NATURAL ", sides, "JOIN ", right, " AS ", ra), refs, nil}
	}
	as := ""
	if g.oneIn(3) {
		m := g.name("r")
		as = " AS " + m
		refs = append(refs, ref{m + "." + j, k})
	}
	refs = append(refs, ref{la + "." + j, k}, ref{ra + "." + j, k})
	return relation{n("USING", noKind, left, " AS ", la, " ", sides, "JOIN ", right, " AS ", ra, " USING (", j, ")", as), refs, nil}
}

// item is an expression of a select list under a name.
func (g *Generator) item(x *node, name string) *node {
	if g.oneIn(6) {
		return n("bare label", noKind, "(", x, ") ", name)
	}
	return n("AS label", noKind, x, " AS ", name)
}

// need is what a query has to give.
type need struct {
	kinds  []kind // nil leaves the choice
	exact  bool   // no columns beside them
	approx bool   // numbers whose last bits are open may be among the others
}

// selectQuery is a query within depth levels of nesting.
func (g *Generator) selectQuery(s *scope, want need, depth int) (*node, []output) {
	if want.kinds == nil {
		for range 1 + g.IntN(4) {
			want.kinds = append(want.kinds, pick(g, intKind, intKind, textKind, textKind, boolKind, floatKind, timeKind, spanKind, intsKind, textsKind))
		}
	}
	if depth > 0 && g.oneIn(8) {
		return g.setOperation(s, want, depth)
	}
	if g.oneIn(14) {
		inner := s.over(nil)
		items, outs := g.items(inner, want.kinds, 2)
		return n("SELECT without FROM", noKind, "SELECT ", list(", ", items...)), outs
	}
	r := g.from(s, depth)
	inner := s.over(r.refs)
	where := &node{}
	if g.oneIn(2) {
		where = clause("WHERE", " WHERE ", g.expr(boolKind, inner, 2))
	}
	if g.oneIn(3) {
		return g.grouped(inner, r, where, want)
	}
	return g.plainSelect(inner, r, where, want)
}

// over is the scope of a query over refs that stands where s is in force. A scope without columns of its own is that of the
// place where a query begins.
func (s *scope) over(refs []ref) *scope {
	c := s.sub(refs)
	if s.refs == nil {
		c.outer = s.outer
	}
	c.params = s.params
	return c
}

func (g *Generator) items(s *scope, want []kind, depth int) ([]*node, []output) {
	var items []*node
	var outs []output
	for _, k := range want {
		name := g.name("c")
		x := g.expr(k, s, depth)
		if k != approxKind && k != intKind { // literals of text have no type of their own inside a query
			x = n("", k, "(", x, ")::", k.sql())
		}
		items = append(items, g.item(x, name))
		outs = append(outs, output{name, k})
	}
	return items, outs
}

// shown are the kinds of the select list: those wanted, and sometimes one whose last bits are open.
func (g *Generator) shown(want need) []kind {
	kinds := want.kinds[:len(want.kinds):len(want.kinds)]
	if want.approx && !want.exact && g.oneIn(3) {
		kinds = append(kinds, approxKind)
	}
	return kinds
}

func (g *Generator) plainSelect(s *scope, r relation, where *node, want need) (*node, []output) {
	s.window, s.tied = g.oneIn(4), new(bool)
	items, outs := g.items(s, g.shown(want), 2)
	distinct := &node{}
	if g.oneIn(6) && !s.window {
		distinct = clause("DISTINCT", "DISTINCT ")
	} else if g.oneIn(12) {
		distinct = clause("SELECT ALL", "ALL ")
	}
	windows := &node{}
	if s.window && !want.exact && g.oneIn(3) && len(s.refs) > 0 {
		name := g.name("w")
		in := maker{g, s.plain(), 1}
		windows = n("WINDOW", noKind, " WINDOW ", name, " AS (", in.partition(), in.windowOrder(true), ")")
		c := g.name("c")
		call := pick(g, "rank()", "count(*)", "dense_rank()")
		if g.oneIn(3) && in.tells() {
			call = "row_number()"
		}
		items = append(items, n("window function", noKind, call, " OVER ", pick(g, name, "("+name+")"), " AS ", c))
		outs = append(outs, output{c, intKind})
	}
	return n("SELECT", noKind, "SELECT ", distinct, list(", ", items...), " FROM ", r.node, where, windows), outs
}

// key is an expression for GROUP BY.
func (g *Generator) key(s *scope) ref {
	k := pick(g, intKind, textKind, textKind, boolKind, timeKind)
	own := &scope{refs: s.refs, world: s.world}
	if c := g.column(k, own); c != nil && !g.oneIn(4) {
		return ref{c.String(), k}
	}
	return ref{"(" + g.expr(k, own, 1).String() + ")::" + k.sql(), k}
}

// grouped is a SELECT with GROUP BY, or with aggregates alone.
func (g *Generator) grouped(s *scope, r relation, where *node, want need) (*node, []output) {
	in := &scope{agg: &scope{refs: s.refs, subquery: true, world: s.world}, subquery: g.oneIn(3), world: s.world, params: s.params}
	var keys, items []*node
	var outs []output
	style := g.IntN(4) // of the keys: ordinals, names of the select list, or expressions
	if want.exact {
		style = 2
	}
	sets := g.oneIn(3)
	for i := range g.IntN(4) {
		key := g.key(s)
		if sets {
			if key = g.setKey(s); slices.Contains(in.refs, key) { // under two labels it would be two keys in PostgreSQL, and is one here
				break
			}
		}
		in.refs = append(in.refs, key)
		name := g.name("c")
		switch style {
		case 0:
			keys = append(keys, n("GROUP BY ordinal", noKind, fmt.Sprint(i+1)))
		case 1:
			keys = append(keys, n("GROUP BY label", noKind, name))
		default:
			keys = append(keys, n("GROUP BY expression", noKind, key.text))
		}
		items = append(items, n("AS label", noKind, key.text, " AS ", name))
		outs = append(outs, output{name, key.kind})
	}
	if want.exact || style >= 2 && g.oneIn(3) { // keys need not be shown
		items, outs = nil, nil
	}
	if sets {
		keys, in.grouping = g.groupingSets(keys), in.refs
	}
	in.window, in.tied = g.oneIn(6), new(bool)
	more, moreOuts := g.items(in, g.shown(want), 2)
	items, outs = append(items, more...), append(outs, moreOuts...)
	group, having := &node{}, &node{}
	if len(keys) > 0 {
		group = n("GROUP BY", noKind, " GROUP BY ", pick(g, "", "", "", "DISTINCT "), list(", ", keys...))
	} else if g.oneIn(4) {
		group = n("GROUP BY ()", noKind, " GROUP BY ()")
	} else { // without GROUP BY it is an aggregate that makes one row
		having = n("HAVING", noKind, " HAVING count(*) >= 0")
	}
	if g.oneIn(4) {
		h := *in
		h.window = false
		having = n("HAVING", noKind, " HAVING ", g.expr(boolKind, &h, 2))
	}
	return n("SELECT", noKind, "SELECT ", list(", ", items...), " FROM ", r.node, where, group, having), outs
}

// setKey is a key for grouping sets. It reads a column: PostgreSQL 15 takes a constant for itself also where the set does not have it.
func (g *Generator) setKey(s *scope) ref {
	r := pick(g, s.refs...)
	for s.refs[len(s.refs)-1].text != r.text && !strings.Contains(r.text, ".") && strings.Contains(s.refs[len(s.refs)-1].text, ".") { // merged by USING: one key with a side's column there
		r = pick(g, s.refs...)
	}
	if g.oneIn(4) {
		switch r.kind {
		case intKind:
			return ref{"(" + r.text + " % 3)", intKind}
		case textKind:
			return ref{"upper(" + r.text + ")", textKind}
		case timeKind:
			return ref{"date_trunc('month', " + r.text + ")", timeKind}
		}
	}
	return r
}

// groupingSets makes grouping sets of keys, each of which is in one of them.
func (g *Generator) groupingSets(keys []*node) []*node {
	if len(keys) == 0 {
		return nil
	}
	all := func(production string, keys []*node) *node {
		if len(keys) > 2 && g.oneIn(3) { // two that come and go together
			keys = append([]*node{n("", noKind, "(", keys[0], ", ", keys[1], ")")}, keys[2:]...)
		}
		return n(production, noKind, production, " (", list(", ", keys...), ")")
	}
	some := func() *node {
		var chosen []*node
		for _, k := range keys {
			if g.oneIn(2) {
				chosen = append(chosen, k)
			}
		}
		return n("", noKind, "(", list(", ", chosen...), ")")
	}
	switch g.IntN(6) {
	case 0, 1:
		return []*node{all(pick(g, "ROLLUP", "CUBE"), keys)}
	case 2:
		return []*node{keys[0], all(pick(g, "ROLLUP", "CUBE"), keys)}
	case 3:
		at := g.IntN(len(keys))
		return append(keys[:at:at], all(pick(g, "ROLLUP", "CUBE"), keys[at:]))
	}
	sets := []*node{n("", noKind, "(", list(", ", keys...), ")")}
	for range 1 + g.IntN(2) {
		set := some()
		switch g.IntN(5) {
		case 0:
			set = all(pick(g, "ROLLUP", "CUBE"), keys)
		case 1:
			set = pick(g, keys...)
		case 2:
			set = n("", noKind, "()")
		}
		sets = append(sets, clause("", ", ", set))
	}
	return []*node{n("GROUPING SETS", noKind, "GROUPING SETS (", list("", sets...), ")")}
}

func (g *Generator) setOperation(s *scope, want need, depth int) (*node, []output) {
	exact := need{kinds: want.kinds, exact: true}
	l, outs := g.selectQuery(s, exact, depth-1)
	r, _ := g.selectQuery(s, exact, depth-1)
	op := pick(g, "UNION", "INTERSECT", "EXCEPT")
	parts := []any{"(", l, ")"}
	if g.oneIn(2) {
		parts = []any{l}
	}
	parts = append(parts, " "+op+pick(g, "", "", " ALL", " DISTINCT")+" ")
	if g.oneIn(2) {
		parts = append(parts, "(", r, ")")
	} else {
		parts = append(parts, r)
	}
	if g.oneIn(4) {
		t, _ := g.selectQuery(s, exact, 0)
		op2 := pick(g, "UNION", "INTERSECT", "EXCEPT")
		parts = append(parts, clause(op2, " "+op2+pick(g, "", " ALL")+" ", t))
	}
	return n(op, noKind, parts...), outs
}

// scalarQuery gives one row at most.
func (m maker) scalarQuery(k kind) *node {
	s := m.s.sub(nil)
	r := m.from(s, 0)
	inner := m.s.sub(r.refs)
	where := clause("WHERE", " WHERE ", m.Generator.expr(boolKind, inner, 1))
	if m.oneIn(2) {
		in := &scope{agg: &scope{refs: r.refs, world: s.world}, world: s.world}
		return n("SELECT", k, "SELECT ", m.Generator.expr(k, in, 1), " FROM ", r.node, where, " HAVING true")
	}
	x := m.Generator.expr(k, inner, 1)
	return n("SELECT", k, "SELECT (", x, ")::", k.sql(), " FROM ", r.node, where, " ORDER BY 1", m.direction(), " LIMIT 1")
}

// anyQuery is for EXISTS.
func (m maker) anyQuery() *node {
	r := m.from(m.s.sub(nil), 0)
	inner := m.s.sub(r.refs)
	return n("SELECT", noKind, "SELECT ", pick(m.Generator, "1", "", "*"), " FROM ", r.node, clause("WHERE", " WHERE ", m.Generator.expr(boolKind, inner, 1)))
}

// columnQuery gives one column.
func (m maker) columnQuery(k kind) *node {
	if m.oneIn(6) {
		return n("VALUES", noKind, "VALUES (", m.literal(k), "), (", m.literal(k), ")", clause("", ", (NULL)"))
	}
	r := m.from(m.s.sub(nil), 0)
	inner := m.s.sub(r.refs)
	return n("SELECT", noKind, "SELECT ", m.Generator.expr(k, inner, 1), " FROM ", r.node, clause("WHERE", " WHERE ", m.Generator.expr(boolKind, inner, 1)))
}

func (m maker) orderedColumnQuery(k kind) *node {
	r := m.from(m.s.sub(nil), 0)
	inner := m.s.sub(r.refs)
	return n("SELECT", noKind, "SELECT (", m.Generator.expr(k, inner, 1), ")::", k.sql(), " FROM ", r.node, clause("WHERE", " WHERE ", m.Generator.expr(boolKind, inner, 1)),
		" ORDER BY 1", m.direction(), " LIMIT ", pick(m.Generator, "3", "5"))
}

// partition is PARTITION BY, or nothing.
func (m maker) partition() *node {
	if m.oneIn(2) || len(m.s.refs) == 0 {
		return &node{}
	}
	return clause("PARTITION BY", "PARTITION BY ", pick(m.Generator, m.s.refs...).text, " ")
}

// windowOrder is ORDER BY in OVER: by every column where the rows must have one order, so that equal rows are equal in all.
func (m maker) windowOrder(total bool) *node {
	if len(m.s.refs) == 0 {
		return &node{}
	}
	var keys []*node
	for i, r := range m.s.refs {
		if total || i == 0 {
			keys = append(keys, n("", noKind, r.text, m.direction()))
		}
	}
	if total && len(m.s.grouping) > 0 { // rows of different sets may have the same keys
		names := make([]*node, len(m.s.grouping))
		for i, r := range m.s.grouping {
			names[i] = n("", noKind, r.text)
		}
		keys = append(keys, n("GROUPING", noKind, "GROUPING(", list(", ", names...), ")", m.direction()))
	}
	if total {
		m.Shuffle(len(keys), func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
	}
	return n("", noKind, "ORDER BY ", list(", ", keys...))
}

// windowCall is a window function of a kind.
func (m maker) windowCall(k kind) []any {
	plain := m.s.plain()
	plain.agg = m.s.agg
	in := maker{m.Generator, plain, 1}
	arg := func() *node { return n("", k, "(", in.expr(k), ")::", k.sql()) }
	over := func(total bool, frame *node) []any {
		return []any{" OVER (", m.partition(), m.windowOrder(total), frame, ")"}
	}
	none := &node{}
	if len(m.s.refs) == 0 {
		return []any{arg()}
	}
	switch at := m.IntN(8); {
	case k == intKind && at == 0 && m.tells():
		return append([]any{"row_number()"}, over(true, none)...)
	case k == intKind && at <= 1:
		return append([]any{pick(m.Generator, "rank()", "dense_rank()")}, over(false, none)...)
	case k == intKind && at == 2 && m.tells():
		return append([]any{"ntile(", pick(m.Generator, "2", "3", "7"), ")"}, over(true, none)...)
	case k == intKind && at == 3:
		return append([]any{"count(", pick(m.Generator, "*", arg().String()), ")"}, over(true, m.frame())...)
	case k == intKind && at <= 5:
		return append(append([]any{"(sum(", arg(), ")"}, over(true, m.frame())...), ")::int8")
	case at <= 5 && m.tells():
		f := pick(m.Generator, "lag", "lead")
		parts := []any{f, "(", arg(), clause("", pick(m.Generator, ", 1", ", 2", ", 0"), clause("", ", ", arg())), ")"}
		return append(parts, over(true, none)...)
	case at == 6:
		return append([]any{"nth_value(", arg(), ", ", pick(m.Generator, "1", "2", "3"), ")"}, over(true, m.frame())...)
	case k != boolKind && k != intsKind && k != textsKind && m.oneIn(2):
		return append([]any{pick(m.Generator, "min", "max"), "(", arg(), ")"}, over(true, m.frame())...)
	}
	return append([]any{pick(m.Generator, "first_value", "last_value"), "(", arg(), ")"}, over(true, m.frame())...)
}

// tells says whether a window function of the query may tell equal rows apart: one of them may.
func (m maker) tells() bool {
	if m.s.tied == nil || *m.s.tied {
		return false
	}
	*m.s.tied = true
	return true
}

// frame is the frame of a window whose rows have one order.
func (m maker) frame() *node {
	if m.oneIn(3) {
		return &node{}
	}
	exclude := &node{}
	if m.oneIn(3) {
		exclude = clause("EXCLUDE", pick(m.Generator, " EXCLUDE CURRENT ROW", " EXCLUDE GROUP", " EXCLUDE TIES", " EXCLUDE NO OTHERS"))
	}
	mode := pick(m.Generator, "ROWS", "GROUPS", "RANGE")
	if mode == "ROWS" && !m.tells() {
		mode = "GROUPS"
	}
	if mode == "RANGE" {
		return clause("RANGE frame", " RANGE ", pick(m.Generator, "UNBOUNDED PRECEDING", "BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING", "BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING"), exclude)
	}
	bounds := pick(m.Generator, "UNBOUNDED PRECEDING", "1 PRECEDING", "BETWEEN 1 PRECEDING AND 1 FOLLOWING", "BETWEEN CURRENT ROW AND 2 FOLLOWING",
		"BETWEEN 3 PRECEDING AND 1 PRECEDING", "BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW", "BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING")
	return clause(mode+" frame", " "+mode+" ", bounds, exclude)
}
