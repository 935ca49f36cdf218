package differential

import (
	"fmt"
	"regexp"
	"strings"
)

// Mode is how a statement is sent.
type Mode uint8

const (
	Simple   Mode = iota // the simple protocol
	Extended             // the extended protocol, results as text
	Binary               // the extended protocol, results in binary where both sides give the same type
	Script               // several statements in one text
	CopyOut              // COPY … TO STDOUT
	CopyIn               // COPY … FROM STDIN, with Data
)

// Statement is one statement for both sides.
type Statement struct {
	root    *node
	Mode    Mode
	Params  []string
	Data    string // of CopyIn
	Query   bool   // gives rows, and counts as a query
	Ordered bool   // its rows have one order
	Keys    []int  // otherwise: the columns that its rows are ordered by
	Check   string // a query that must be equal after it
	Silent  bool   // only whether it fails is compared
}

// SQL is the text of s.
func (s *Statement) SQL() string { return s.root.String() }

// Productions are those that s is made of, each once.
func (s *Statement) Productions() map[string]bool {
	out := map[string]bool{}
	s.root.walk(func(x *node) {
		if x.production != "" {
			out[x.production] = true
		}
	})
	return out
}

// Statement makes a statement over the tables of w.
func (g *Generator) Statement(w *World) *Statement {
	g.form, g.names = form{}, 0
	switch at := g.IntN(100); {
	case at < 5:
		return g.insert(w)
	case at < 7:
		return g.copyIn(w)
	case at < 11:
		return g.copyOut(w)
	case at < 14:
		return g.mistake(w)
	case at < 21:
		return g.session(w)
	case at < 28:
		return g.words(w)
	case at < 30:
		return g.catalog(w)
	case at < 32:
		return g.explain(w)
	}
	return g.query(w)
}

// query is a query with all that may stand around it.
func (g *Generator) query(w *World) *Statement {
	s := &Statement{Query: true, Mode: pick(g, Simple, Simple, Extended, Extended, Binary)}
	top := &scope{subquery: true, world: w, params: s.Mode != Simple && g.oneIn(2)}
	with := &node{}
	if g.oneIn(5) {
		with = g.with(top)
	}
	switch g.IntN(30) {
	case 0:
		t := pick(g, w.Tables...)
		s.root = n("TABLE", noKind, with, "TABLE ", t.name)
		return s
	case 1:
		row := func() *node {
			return n("", noKind, "(", g.literal(intKind), ", ", g.expr(textKind, &scope{world: w}, 1), ", ", pick(g, "true", "NULL", "1 = 2"), ")")
		}
		s.root = n("VALUES", noKind, with, "VALUES ", row(), clause("", ", ", row()), clause("", ", ", row()))
		s.Ordered = true
		return s
	case 2, 3:
		top.params = false
		return g.star(s, top, with)
	case 4:
		top.params = false
		return g.distinctOn(s, top, with)
	case 5, 6:
		if with.parts == nil {
			top.params = false
			return g.recursive(s, top)
		}
	}
	body, outs := g.selectQuery(top, need{approx: true}, 2)
	s.root = n("", noKind, with, body)
	g.tail(s, outs)
	s.Params = g.form.params
	for i := range s.Params { // one in an expression that was dropped again has no type
		if !names(s.SQL(), i+1) {
			g.form = form{}
			return g.query(w)
		}
	}
	return s
}

// names says whether a statement has the parameter $n, and not as a part of $q$1$q$.
func names(sql string, n int) bool {
	return regexp.MustCompile(fmt.Sprintf(`[^$\w]\$%d\b`, n)).MatchString(sql)
}

// with is WITH and its queries.
func (g *Generator) with(s *scope) *node {
	var queries []*node
	for range 1 + g.IntN(2) {
		name := g.name("q")
		q, outs := g.selectQuery(&scope{subquery: true, world: s.world}, need{}, 1)
		columns := ""
		if g.oneIn(3) {
			var names []string
			for i := range outs {
				outs[i].name = g.name("c")
				names = append(names, outs[i].name)
			}
			columns = " (" + strings.Join(names, ", ") + ")"
		}
		materialized := &node{}
		if g.oneIn(4) {
			materialized = clause("MATERIALIZED", pick(g, "MATERIALIZED ", "NOT MATERIALIZED "))
		}
		queries = append(queries, n("", noKind, name, columns, " AS ", materialized, "(", q, ")"))
		g.form.ctes = append(g.form.ctes, relationOf{name, outs})
	}
	return n("WITH", noKind, "WITH ", list(", ", queries...), " ")
}

// unsorted finds queries that PostgreSQL 15 may leave in the wrong order: it takes keys that a join or WHERE equates, or that WHERE fixes, which NOT (a <> b)
// does, too, for equal also where a grouping set does not have them (mended in 18).
func unsorted(query string) bool {
	return regexp.MustCompile(`ROLLUP|CUBE|GROUPING SETS`).MatchString(query) && regexp.MustCompile(` = | <> | != |USING|NATURAL| IN `).MatchString(query)
}

// sortable is q as a query that ORDER BY may follow.
func sortable(q *node) *node {
	if unsorted(q.String()) {
		return n("derived table", noKind, "SELECT * FROM (", q, ") AS s")
	}
	return q
}

// tail is ORDER BY and LIMIT of the whole.
func (g *Generator) tail(s *Statement, outs []output) {
	var keys []*node
	approx := false
	total := g.oneIn(2)
	for _, i := range g.Perm(len(outs)) {
		if outs[i].kind == approxKind {
			approx = true
			continue
		}
		if !total && len(keys) == 1 {
			break
		}
		s.Keys = append(s.Keys, i)
		if g.oneIn(2) {
			keys = append(keys, n("ORDER BY ordinal", noKind, fmt.Sprint(i+1), g.direction()))
		} else {
			keys = append(keys, n("ORDER BY label", noKind, outs[i].name, g.direction()))
		}
	}
	if len(keys) == 0 || g.oneIn(3) || unsorted(s.SQL()) {
		s.Keys = nil
		return
	}
	order := n("ORDER BY", noKind, " ORDER BY ", list(", ", keys...))
	s.Ordered = total && !approx
	limit := &node{}
	if s.Ordered {
		limit = g.limit(s.Mode != Simple)
	}
	s.root = n("", noKind, s.root, order, limit)
}

func (g *Generator) limit(params bool) *node {
	switch g.IntN(9) {
	case 8:
		if !params {
			break
		}
		g.form.params = append(g.form.params, fmt.Sprint(g.IntN(8)))
		return n("LIMIT $n", noKind, fmt.Sprintf(pick(g, " LIMIT $%d", " OFFSET $%d"), len(g.form.params)))
	case 0:
		return clause("LIMIT", " LIMIT ", pick(g, "3", "10", "1 + 2", "ALL", "NULL", "20"))
	case 1:
		return clause("OFFSET", pick(g, " OFFSET 1", " OFFSET 2 ROWS", " OFFSET 1 LIMIT 4", " LIMIT 5 OFFSET 1"))
	case 2:
		return clause("FETCH", pick(g, " FETCH FIRST 3 ROWS ONLY", " FETCH NEXT ROW ONLY", " FETCH FIRST ROW ONLY", " OFFSET 1 ROW FETCH NEXT 2 ROWS ONLY"))
	case 3:
		return clause("WITH TIES", " FETCH FIRST ", pick(g, "2", "4"), " ROWS WITH TIES")
	}
	return &node{}
}

// star is a query with * or t.*.
func (g *Generator) star(s *Statement, top *scope, with *node) *Statement {
	r := g.join(top, 1)
	if g.oneIn(2) {
		r = g.entry(top, 1, nil)
	}
	in := top.over(r.refs)
	where := clause("WHERE", " WHERE ", g.expr(boolKind, in, 2))
	list := n("*", noKind, "*")
	if q, _, ok := strings.Cut(pick(g, r.refs...).text, "."); ok && g.oneIn(2) {
		list = n("t.*", noKind, q, ".*")
		if g.oneIn(3) {
			list = n("t.*", noKind, q, ".*, ", g.expr(intKind, in, 1), " AS c")
		}
	}
	s.root = n("SELECT", noKind, with, "SELECT ", list, " FROM ", r.node, where)
	if g.oneIn(3) {
		s.root = n("", noKind, s.root, n("ORDER BY expression", noKind, " ORDER BY ", pick(g, r.refs...).text, g.direction()))
	}
	s.Params = g.form.params
	return s
}

// distinctOn keeps the first row of each group, in an order that leaves no choice.
func (g *Generator) distinctOn(s *Statement, top *scope, with *node) *Statement {
	r := g.from(top, 1)
	in := top.over(r.refs)
	var keys []*node
	for _, c := range r.refs {
		keys = append(keys, n("", noKind, c.text, g.direction()))
	}
	on := r.refs[0].text
	if len(r.refs) > 1 && g.oneIn(2) {
		on += ", " + r.refs[1].text
	}
	items, _ := g.items(&scope{refs: r.refs, world: top.world}, []kind{intKind, textKind}, 1)
	s.root = n("DISTINCT ON", noKind, with, "SELECT DISTINCT ON (", on, ") ", list(", ", items...), " FROM ", r.node,
		clause("WHERE", " WHERE ", g.expr(boolKind, in, 1)), " ORDER BY ", list(", ", keys...))
	s.Ordered = true
	s.Params = g.form.params
	return s
}

// everything shows all cells of a table in one order.
func (t *Table) everything() string {
	var names []string
	for _, c := range t.columns {
		names = append(names, c.name)
	}
	return "SELECT * FROM " + t.name + " ORDER BY " + strings.Join(names, ", ")
}

func (g *Generator) insert(w *World) *Statement {
	t := pick(g, w.Tables...)
	s := &Statement{Check: t.everything()}
	switch g.IntN(7) {
	case 5:
		if t.window { // whose rows would be of this hour
			t = w.Tables[0]
			s.Check = t.everything()
		}
		s.root = n("INSERT DEFAULT VALUES", noKind, "INSERT INTO ", t.name, " DEFAULT VALUES")
	case 6:
		var names, items []string
		for _, c := range t.columns {
			names = append(names, c.name)
			if c.name == "count" {
				items = append(items, "x + 1")
			} else {
				items = append(items, g.datum(c.kind))
			}
		}
		s.root = n("WITH … INSERT", noKind, "WITH q AS (SELECT x FROM generate_series(1, 2) AS g (x)) INSERT INTO ", t.name, " (", strings.Join(names, ", "), ") SELECT ", strings.Join(items, ", "), " FROM q")
	case 0, 1:
		var names, values []string
		for _, c := range t.columns {
			if c.name != "ts" && g.oneIn(4) {
				continue
			}
			v := "DEFAULT"
			if c.name == "count" {
				v = fmt.Sprint(1 + g.IntN(9))
			} else if c.name == "ts" || g.oneIn(2) {
				v = g.datum(c.kind)
			}
			names, values = append(names, c.name), append(values, v)
		}
		if len(names) == 0 {
			names, values = []string{t.dims[0].name}, []string{"DEFAULT"}
		}
		s.root = n("INSERT … DEFAULT", noKind, "INSERT INTO ", t.name, " (", strings.Join(names, ", "), ") VALUES (", strings.Join(values, ", "), ")")
	case 2, 3:
		var names []string
		var items []*node
		for _, c := range t.columns {
			names = append(names, c.name)
			x := n("", c.kind, "coalesce(", g.expr(c.kind, &scope{refs: []ref{{"x", intKind}}, world: w}, 1), ", ", g.datumOf(c), ")")
			if c.name == "count" {
				x = n("", intKind, "x")
			}
			items = append(items, x)
		}
		s.root = n("INSERT … SELECT", noKind, "INSERT INTO ", t.name, " (", strings.Join(names, ", "), ") SELECT ", list(", ", items...), " FROM generate_series(1, 3) AS g (x)")
	default:
		s.root = n("INSERT … VALUES", noKind, g.rows(t, 1+g.IntN(3)))
	}
	return s
}

func (g *Generator) datumOf(c column) string {
	if c.name == "count" {
		return "1"
	}
	return g.datum(c.kind)
}

// copyIn loads rows by COPY.
func (g *Generator) copyIn(w *World) *Statement {
	t := pick(g, w.Tables...)
	var names []string
	for _, c := range t.columns {
		names = append(names, c.name)
	}
	csv := g.oneIn(2)
	var rows []string
	for range 1 + g.IntN(4) {
		var values []string
		for i, c := range t.columns {
			v := strings.ReplaceAll(strings.Trim(g.datumOf(c), "'"), "''", "'")
			switch {
			case i < len(t.dims) && !t.notNull[i] && g.oneIn(5):
				v = `\N`
				if csv {
					v = ""
				}
			case csv:
				v = `"` + strings.ReplaceAll(v, `"`, `""`) + `"`
			default:
				v = strings.ReplaceAll(v, `\`, `\\`)
			}
			values = append(values, v)
		}
		if csv {
			rows = append(rows, strings.Join(values, ","))
		} else {
			rows = append(rows, strings.Join(values, "\t"))
		}
	}
	options := ""
	if csv {
		options = pick(g, " WITH (FORMAT csv)", " CSV")
		if g.oneIn(2) {
			options = pick(g, " WITH (FORMAT csv, HEADER)", " CSV HEADER")
			rows = append([]string{strings.Join(names, ",")}, rows...)
		}
	}
	return &Statement{Mode: CopyIn, Check: t.everything(), Data: strings.Join(rows, "\n") + "\n",
		root: n("COPY FROM", noKind, "COPY ", t.name, " (", strings.Join(names, ", "), ") FROM STDIN", options)}
}

// copyOut reads a query by COPY.
func (g *Generator) copyOut(w *World) *Statement {
	q, outs := g.selectQuery(&scope{subquery: true, world: w}, need{}, 1)
	var keys []string
	for i := range outs {
		keys = append(keys, fmt.Sprint(i+1))
	}
	if g.oneIn(4) { // the bytes are the same where the types are
		var casts []string
		for _, o := range outs {
			if o.kind != intsKind && o.kind != textsKind && o.kind != spanKind {
				casts = append(casts, "("+o.name+")::"+o.kind.sql())
			}
		}
		return &Statement{Mode: CopyOut, Query: true, Ordered: true, root: n("COPY TO, binary", noKind,
			"COPY (SELECT ", strings.Join(append(casts, "1::int8"), ", "), " FROM (", q, ") AS s ORDER BY ", strings.Join(keys, ", "), ") TO STDOUT ", pick(g, "WITH (FORMAT binary)", "BINARY"))}
	}
	options := pick(g, "", "", " WITH (FORMAT csv)", " WITH (FORMAT csv, HEADER)", " CSV HEADER", " WITH (FORMAT csv, DELIMITER ';', NULL 'none')", " (DELIMITER '|', NULL '-')", " WITH (FORMAT text)", " WITH (FORMAT csv, FORCE_QUOTE *)")
	return &Statement{Mode: CopyOut, Query: true, Ordered: true,
		root: n("COPY TO", noKind, "COPY (", sortable(q), " ORDER BY ", strings.Join(keys, ", "), ") TO STDOUT", options)}
}

// mistake is a statement that both refuse.
func (g *Generator) mistake(w *World) *Statement {
	t := pick(g, w.Tables...)
	d := t.dims[0].name
	int, text := g.literal(intKind).String(), g.literal(textKind).String()
	m := pick(g,
		"SELECT nosuch FROM "+t.name, "SELECT x.nosuch FROM "+t.name+" AS x", "SELECT * FROM nosuch", "SELECT nosuch("+int+")", "SELECT "+t.name+".nosuch FROM "+t.name,
		"SELEC 1", "SELECT FROM WHERE", "SELECT (1", "SELECT 'open", "SELECT 1 +", "SELECT * FROM "+t.name+" WHERE", "SELECT 1 1", "SELECT a b c", `SELECT "open`, "SELECT 1 IN ()",
		"SELECT 1 / 0", "SELECT "+int+" % 0", "SELECT 1.5::float8 / 0", "SELECT 9223372036854775807 + 1::int8", "SELECT 9223372036854775807::int8 * 2", "SELECT sqrt((-1)::float8)", "SELECT ln(0::float8)",
		"SELECT 'abc'::int8", "SELECT 'abc'::float8", "SELECT 'maybe'::bool", "SELECT 'never'::timestamptz", "SELECT 'x'::interval", "SELECT '1.5'::int8", "SELECT ''::int8",
		"SELECT count FROM "+t.name+" GROUP BY "+d, "SELECT sum(count) FROM "+t.name+" WHERE sum(count) > 1", "SELECT sum(sum(count)) FROM "+t.name, "SELECT "+d+", sum(count) FROM "+t.name, "SELECT "+d+" FROM "+t.name+" GROUP BY sum(count)",
		"SELECT a.count FROM "+t.name+" AS a JOIN "+t.name+" AS b ON count = 1", "SELECT * FROM "+t.name+" AS a, "+t.name+" AS a", "SELECT * FROM "+t.name+" AS a JOIN "+t.name+" AS b USING (nosuch)",
		"SELECT 1 UNION SELECT 1, 2", "SELECT 1 UNION SELECT true", "SELECT 1 WHERE 1", "SELECT 1 WHERE 'x'", "SELECT NOT 1", "SELECT 1 AND true", "SELECT 1 = true", "SELECT "+text+" + 1::float8 + true",
		"SELECT CASE WHEN true THEN 1 ELSE 'x' END", "SELECT CASE WHEN 1 THEN 2 END", "SELECT coalesce(1, true)", "SELECT 1 LIMIT -1", "SELECT 1 OFFSET -1", "SELECT 1 LIMIT 'x'",
		"SELECT (SELECT 1, 2)", "SELECT (SELECT count FROM "+t.name+")", "SELECT 1 IN (SELECT 1, 2)", "SELECT row_number() FROM "+t.name, "SELECT 1 FROM "+t.name+" WHERE row_number() OVER () = 1", "SELECT sum(count) OVER w FROM "+t.name,
		"SELECT DISTINCT "+d+" FROM "+t.name+" ORDER BY count", "SELECT DISTINCT ON ("+d+") * FROM "+t.name+" ORDER BY count", "VALUES (1), (1, 2)", "WITH q AS (SELECT 1), q AS (SELECT 2) SELECT 1", "SELECT * FROM (SELECT 1, 2) AS a (x, y, z)",
		"SELECT substring('abc' FROM 1 FOR -1)", "SELECT split_part('a', 'b', 0)", "SELECT date_trunc('nosuch', timestamptz '2024-01-01Z')", "SELECT extract(nosuch FROM timestamptz '2024-01-01Z')", "SELECT generate_series(1, 2, 0)", "SELECT 1::nosuch", "SELECT 'a' LIKE 'a' ESCAPE 'ab'", "SELECT 'a' ~ '('",
		"INSERT INTO nosuch VALUES (1)", "INSERT INTO "+t.name+" (nosuch) VALUES (1)", "INSERT INTO "+t.name+" ("+d+", "+d+") VALUES ("+t.value()+", "+t.value()+")", "INSERT INTO "+t.name+" ("+d+") VALUES ("+t.value()+", 1)", "DROP TABLE nosuch", "CREATE TABLE "+t.name+" (a text)",
		"CREATE TABLE a (x text, x int)", "CREATE TABLE a (x nosuch)", "COPY nosuch TO STDOUT", "SHOW nosuch", "SET nosuch = 1", "SELECT count(DISTINCT) FROM "+t.name, "SELECT length(1)", "SELECT lower(true)", "SELECT max(ARRAY[true], 1)", "SELECT 1 FILTER (WHERE true)", "SELECT length('a') FILTER (WHERE true)",
		"SELECT ARRAY[1, 2, true]", "SELECT (ARRAY[1])['x']", "SELECT (1)[1]", "SELECT 1 = ANY (2)", "SELECT array_length(1, 1)", "SELECT * FROM generate_series(1, 2) AS a (x, y)", "SELECT $1 + 1 FROM", "SELECT 'a' 'b'", "SELECT 1 = 2 = 3", "SELECT 1 < 2 < 3", "DEALLOCATE nosuch", "SELECT 1; SELEC 2",
		"SELECT "+d+" FROM "+t.name+" ORDER BY 'x'", "SELECT count(*) FROM "+t.name+" GROUP BY 'x'", "SELECT "+d+" FROM "+t.name+" LIMIT count", "SELECT '99999999999999999999'::int8", "SELECT '1e400'::float8", "SELECT '2024-02-30'::timestamptz",
		"SELECT exp(1000)", "SELECT 1e308::float8 / 0.01::float8", "SELECT json_build_object('a')", "SELECT json_build_object(NULL, 1)", "SELECT '{\"a\":1,}'::json", "SELECT array_append(ARRAY[1], 'x')", "SELECT array_cat(ARRAY[1], ARRAY['x'])", "SELECT concat(VARIADIC 1)", "SELECT chr(0)")
	return &Statement{root: n("error", noKind, m)}
}

// value is a literal that the first dimension takes.
func (t *Table) value() string {
	return map[kind]string{textKind: "'a'", intKind: "1", boolKind: "true"}[t.dims[0].kind]
}

// session is what sessions say beside queries.
func (g *Generator) session(w *World) *Statement {
	script := func(production string, parts ...string) *Statement {
		return &Statement{Mode: Script, Ordered: true, root: n(production, noKind, strings.Join(parts, "; "))}
	}
	switch g.IntN(11) {
	case 9:
		return g.prepared(w)
	case 10:
		return g.cursor(w)
	case 8:
		return &Statement{root: n("DISCARD", noKind, pick(g, "DISCARD ALL", "DISCARD PLANS", "DISCARD TEMP")), Ordered: true}
	case 5:
		return script("SET LOCAL", "BEGIN", "SET LOCAL statement_timeout TO "+pick(g, "'9s'", "'9000'", "9000"), "SELECT 5", "COMMIT", "SELECT 6")
	case 6:
		return script("SET TIME ZONE", pick(g, "SET TIME ZONE 'UTC'", "SET timezone TO 'UTC'", "SET SESSION timezone = 'UTC'"), "SHOW "+pick(g, "TIME ZONE", "timezone"), "SELECT timestamptz '2024-05-06 07:08:09Z'")
	case 7:
		return script("SET TRANSACTION", pick(g, "SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE", "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL READ COMMITTED"),
			"BEGIN", pick(g, "SET TRANSACTION READ ONLY", "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE"), "SELECT 7", "ROLLBACK")
	case 0:
		return script("BEGIN, COMMIT", pick(g, "BEGIN", "BEGIN READ ONLY", "START TRANSACTION", "START TRANSACTION ISOLATION LEVEL SERIALIZABLE", "BEGIN ISOLATION LEVEL REPEATABLE READ"), "SELECT 1 AS a", pick(g, "COMMIT", "ROLLBACK", "END", "COMMIT WORK", "COMMIT AND CHAIN; SELECT 2; ROLLBACK AND NO CHAIN"))
	case 1:
		return script("SAVEPOINT", "BEGIN", "SAVEPOINT s", "SELECT 2", pick(g, "ROLLBACK TO s", "RELEASE s", "ROLLBACK TO SAVEPOINT s"), "COMMIT")
	case 2:
		return script("SET, SHOW", pick(g, "SET application_name = 'x'", "SET application_name TO 'x'", "SET SESSION application_name = 'x'"), "SHOW application_name", "RESET application_name", "SELECT 3")
	case 3:
		return script("SET, SHOW", "SET statement_timeout TO '50s'", pick(g, "RESET statement_timeout", "RESET ALL"), "SHOW "+pick(g, "standard_conforming_strings", "server_encoding", "client_encoding"))
	}
	return script("DEALLOCATE", pick(g, "DEALLOCATE ALL", "DEALLOCATE PREPARE ALL", "CLOSE ALL", "UNLISTEN *"), "SELECT 4 AS x")
}

// inOrder is a query whose rows have one order, without numbers whose last bits are open.
func (g *Generator) inOrder(s *scope) []any {
	q, outs := g.selectQuery(s, need{}, 1)
	keys := make([]*node, len(outs))
	for i := range outs {
		keys[i] = n("", noKind, fmt.Sprint(i+1), g.direction())
	}
	return []any{sortable(q), " ORDER BY ", list(", ", keys...)}
}

// prepared runs a statement that PREPARE has named, once or twice.
func (g *Generator) prepared(w *World) *Statement {
	query := g.inOrder(&scope{subquery: true, world: w, params: true})
	root := n("PREPARE, EXECUTE", noKind, "DEALLOCATE ALL; PREPARE p AS ")
	root.parts = append(root.parts, query...)
	values := make([]string, len(g.form.params))
	for i, v := range g.form.params {
		values[i] = quote(v)
		if !names(root.String(), i+1) {
			g.form = form{}
			return g.prepared(w)
		}
	}
	execute := "; EXECUTE p"
	if len(values) > 0 {
		execute += " (" + strings.Join(values, ", ") + ")"
	}
	root.parts = append(root.parts, execute, clause("", execute), "; DEALLOCATE ", pick(g, "p", "PREPARE p"))
	return &Statement{Mode: Script, Query: true, Ordered: true, root: root}
}

// cursor reads a query in pieces.
func (g *Generator) cursor(w *World) *Statement {
	root := n("DECLARE, FETCH", noKind, "BEGIN; DECLARE c ", pick(g, "", "NO SCROLL ", "INSENSITIVE "), "CURSOR ", pick(g, "", "WITHOUT HOLD "), "FOR ")
	root.parts = append(root.parts, g.inOrder(&scope{subquery: true, world: w})...)
	for range 1 + g.IntN(3) {
		root.parts = append(root.parts, clause("", "; ", pick(g, "FETCH c", "FETCH NEXT FROM c", "FETCH 2 FROM c", "FETCH FORWARD 3 IN c", "MOVE 2 IN c", "MOVE c", "FETCH 40 c")))
	}
	root.parts = append(root.parts, pick(g, "; FETCH ALL FROM c", "; FETCH FORWARD ALL FROM c", "; MOVE ALL IN c"), pick(g, "; CLOSE c", "; CLOSE ALL", ""), "; COMMIT")
	return &Statement{Mode: Script, Query: true, Ordered: true, root: root}
}

// words is a query whose spelling is the point.
func (g *Generator) words(w *World) *Statement {
	t := pick(g, w.Tables...)
	q := pick(g,
		n("comment", noKind, "SELECT /* a /* nested */ comment */ count(*) -- to the end\nFROM ", t.name, " /* last */"),
		n("comment", noKind, "-- first\nSELECT 'a--b', '/* no */', $$--$$ FROM ", t.name),
		n("case of words", noKind, "sElEcT COUNT(*), Sum(Count) As TOTAL fRoM ", t.name),
		n(`"name"`, noKind, `SELECT count AS "Select", 1 AS "a ""b"" c", 2 AS "ü" FROM `, t.name),
		n("keyword as label", noKind, "SELECT 1 AS select, 2 AS from, 3 value, 4 AS order, 5 name FROM ", t.name),
		n("semicolons", noKind, "SELECT 1;; SELECT count(*) FROM ", t.name, ";"),
		n("unnamed columns", noKind, "SELECT 1, 'a', count(*), sum(count), max(count) + 1, coalesce(NULL, 1), CASE WHEN true THEN 1 END, now() IS NULL, (SELECT 1), EXISTS (SELECT 1), ARRAY[1], 1::int8, upper('a'), ARRAY(SELECT 1), nullif(1, 2), greatest(1, 2), true, NULL, extract(day FROM timestamptz '2024-01-02Z'), trim('a'), (ARRAY[1])[1], date '2024-01-02' FROM ", t.name),
		n("function of JSON", noKind, "SELECT to_json(count), to_jsonb(count) AS b, json_build_object('count', count), jsonb_build_array(count, 'x') FROM ", t.name),
		n("json_agg", noKind, "SELECT json_agg(count ORDER BY count), jsonb_agg(NULL::bool) FROM ", t.name),
		n("'text' 'goes on'", noKind, "SELECT 'a'\n  'b' FROM ", t.name, " LIMIT 1"),
	)
	return &Statement{root: q, Mode: Script, Query: true}
}

func (g *Generator) explain(w *World) *Statement {
	q, _ := g.selectQuery(&scope{subquery: true, world: w}, need{approx: true}, 1)
	return &Statement{Silent: true, root: n("EXPLAIN", noKind, pick(g, "EXPLAIN ", "EXPLAIN ANALYZE ", "EXPLAIN (ANALYZE) "), q)}
}

// catalog asks the system catalogs for what is the same in both.
func (g *Generator) catalog(w *World) *Statement {
	t := pick(g, w.Tables...)
	name := quote(strings.Trim(t.name, `"`))
	q := pick(g,
		"SELECT column_name, ordinal_position, data_type FROM information_schema.columns WHERE table_name = "+name+" ORDER BY ordinal_position",
		"SELECT table_schema, table_name FROM information_schema.tables WHERE table_name = "+name,
		"SELECT a.attname, format_type(a.atttypid, a.atttypmod) FROM pg_catalog.pg_attribute AS a WHERE a.attrelid = "+quote(t.name)+"::regclass AND a.attnum > 0 ORDER BY a.attnum",
		"SELECT n.nspname, c.relname FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE c.relname = "+name,
		"SELECT typname, typlen FROM pg_type WHERE typname IN ('int8', 'text', 'bool', 'float8', 'timestamptz') ORDER BY 1",
		"SELECT "+quote(t.name)+"::regclass::text, format_type(20, NULL), current_setting('standard_conforming_strings')",
		"SELECT nspname FROM pg_namespace WHERE nspname IN ('public', 'pg_catalog', 'information_schema') ORDER BY 1",
	)
	return &Statement{Query: true, Ordered: true, root: n("system catalogs", noKind, q)}
}
