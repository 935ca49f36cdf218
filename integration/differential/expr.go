package differential

import (
	"fmt"
	"strings"
)

// ref is a column, or an expression of GROUP BY, as a statement writes it.
type ref struct {
	text string
	kind kind
}

// scope is what an expression may read.
type scope struct {
	refs     []ref
	outer    []ref  // of the queries around
	agg      *scope // what aggregates read; nil where there are none
	grouping []ref  // the keys of grouping sets
	window   bool   // window functions may stand here
	tied     *bool  // one of the query tells equal rows apart already; two would pair their values as each side sorts
	subquery bool   // subqueries may stand here
	params   bool   // $n may stand here
	world    *World
}

// sub is the scope of the expressions of a subquery over refs.
func (s *scope) sub(refs []ref) *scope {
	outer := s.refs
	if len(s.outer) > 0 {
		outer = append(outer[:len(outer):len(outer)], s.outer...)
	}
	return &scope{refs: refs, outer: outer, subquery: true, world: s.world}
}

// plain is s without aggregates and window functions.
func (s *scope) plain() *scope {
	c := *s
	c.agg, c.window = nil, false
	return &c
}

// alternative is one way to make an expression.
type alternative struct {
	production string
	weight     int
	parts      func(m maker) []any
	when       func(s *scope) bool // nil: always
}

// maker makes the parts of an alternative.
type maker struct {
	*Generator
	s     *scope
	depth int
}

func (m maker) expr(k kind) *node    { return m.Generator.expr(k, m.s, m.depth-1) }
func (m maker) in(s *scope) maker    { return maker{m.Generator, s, m.depth - 1} }
func (m maker) literal(k kind) *node { return m.Generator.literal(k) }

// plainest is the shortest expression of a kind.
func plainest(k kind) *node {
	text := map[kind]string{intKind: "1", floatKind: "0.5::float8", approxKind: "0.5::float8", textKind: "'a'", boolKind: "true",
		timeKind: "timestamptz '2024-01-01Z'", spanKind: "interval '1 day'", intsKind: "ARRAY[1]::int8[]", textsKind: "ARRAY['a']"}[k]
	return n("", k, text)
}

// literal is a constant.
func (g *Generator) literal(k kind) *node {
	switch k {
	case intKind:
		if g.oneIn(5) {
			return n("number", k, fmt.Sprintf("(%d)", -g.IntN(9)))
		}
		return n("number", k, fmt.Sprint(g.IntN(21)))
	case floatKind:
		f := pick(g, "0.5", "1.25", "2e1", "0.75", ".5", "3.")
		return n("number", k, pick(g, f+"::float8", "CAST("+f+" AS double precision)", "float8 '"+strings.TrimSuffix(f, ".")+"'"))
	case textKind:
		s := pick(g, texts...)
		switch g.IntN(8) {
		case 0:
			return n("E'…'", k, `E'`+strings.ReplaceAll(strings.ReplaceAll(s, `\`, `\\`), "'", `\'`)+pick(g, `\t`, `\u00e9`, `\x41`, `\101`, ``)+`'`)
		case 1:
			return n("$$…$$", k, pick(g, "$$"+s+"$$", "$q$"+s+"$q$"))
		}
		return n("'text'", k, quote(s))
	case boolKind:
		return n("literal", k, pick(g, "true", "false", "TRUE"))
	case timeKind:
		if g.oneIn(6) {
			return n("type 'literal'", k, pick(g, "(date '2024-02-29')::timestamptz", "(date '2024-01-01')::timestamptz"))
		}
		return n("type 'literal'", k, pick(g, "timestamptz ", "timestamp with time zone ")+g.datum(timeKind))
	case spanKind:
		return n("type 'literal'", k, "interval "+quote(pick(g, "1 day", "2 hours", "90 minutes", "1 month", "1 year 2 months", "-3 days", "1 day 02:03:04", "0.5 hours", "1 week", "3 days ago")))
	case intsKind:
		return n("ARRAY[…]", k, pick(g, "ARRAY[1, 2, 3]::int8[]", "'{4,5}'::int8[]", "ARRAY[7, NULL]::int8[]", "'{}'::int8[]", "ARRAY[]::int8[]"))
	case textsKind:
		return n("ARRAY[…]", k, pick(g, "ARRAY['a', 'b']", `'{x,"y z",NULL}'::text[]`, "ARRAY['abc', NULL]", "'{}'::text[]"))
	}
	return plainest(k)
}

// column is a column of the kind, of the queries around now and then.
func (g *Generator) column(k kind, s *scope) *node {
	var own, outer []ref
	for _, r := range s.refs {
		if r.kind == k {
			own = append(own, r)
		}
	}
	for _, r := range s.outer {
		if r.kind == k {
			outer = append(outer, r)
		}
	}
	switch {
	case len(outer) > 0 && (len(own) == 0 || g.oneIn(4)):
		return n("outer column", k, pick(g, outer...).text)
	case len(own) > 0:
		return n("column", k, pick(g, own...).text)
	}
	return nil
}

// expr is an expression of the kind.
func (g *Generator) expr(k kind, s *scope, depth int) *node {
	if depth <= 0 || g.oneIn(4) {
		if !g.oneIn(5) {
			if c := g.column(k, s); c != nil {
				return c
			}
		}
		if s.params && g.oneIn(3) {
			if p := g.param(k); p != nil {
				return p
			}
		}
		if g.oneIn(12) {
			return n("NULL", k, "NULL::"+k.sql())
		}
		if k != approxKind {
			return g.literal(k)
		}
	}
	var fit []alternative
	total := 0
	for _, a := range alternatives[k] {
		if a.when == nil || a.when(s) {
			fit = append(fit, a)
			total += a.weight
		}
	}
	at := g.IntN(total)
	for _, a := range fit {
		if at -= a.weight; at < 0 {
			return n(a.production, k, a.parts(maker{g, s, depth})...)
		}
	}
	panic("weights do not add up")
}

// loose puts parentheses around most expressions, so that the binding of operators is tried on the others.
func (g *Generator) loose(parts ...any) []any {
	if g.oneIn(4) {
		return parts
	}
	return append(append([]any{"("}, parts...), ")")
}

var comparable = []kind{intKind, floatKind, textKind, boolKind, timeKind, spanKind, intsKind, textsKind}

// any kind of value, those of dimensions more often.
func (g *Generator) kind() kind {
	return pick(g, intKind, intKind, intKind, textKind, textKind, textKind, boolKind, floatKind, timeKind, spanKind, intsKind, textsKind)
}

func (m maker) case_(k kind) []any {
	otherwise := clause("", " ELSE ", m.expr(k))
	if m.oneIn(6) {
		otherwise = clause("", " ELSE NULL")
	}
	if m.oneIn(3) {
		of := m.Generator.kind()
		parts := []any{"CASE ", m.expr(of)}
		for range 1 + m.IntN(2) {
			parts = append(parts, clause("", " WHEN ", m.expr(of), " THEN ", m.expr(k)))
		}
		return append(parts, " WHEN ", m.expr(of), " THEN ", m.expr(k), otherwise, " END")
	}
	return []any{"CASE WHEN ", m.expr(boolKind), " THEN ", m.expr(k), clause("", " WHEN ", m.expr(boolKind), " THEN ", m.expr(k)), otherwise, " END"}
}

// anyKind are the alternatives that exist for every kind.
func anyKind(k kind) []alternative {
	list := []alternative{
		{"CASE", 3, func(m maker) []any { return m.case_(k) }, nil},
		{"coalesce", 2, func(m maker) []any {
			return []any{"coalesce(", m.expr(k), ", ", m.expr(k), clause("", ", ", m.expr(k)), ")"}
		}, nil},
		{"nullif", 1, func(m maker) []any { return []any{"nullif(", m.expr(k), ", ", m.expr(k), ")"} }, nil},
		{"greatest, least", 1, func(m maker) []any {
			return []any{pick(m.Generator, "greatest", "least"), "(", m.expr(k), ", ", m.expr(k), clause("", ", NULL"), ")"}
		}, nil},
		{"CAST", 1, func(m maker) []any {
			if m.oneIn(2) {
				return []any{"CAST(", m.expr(k), " AS ", k.sql(), ")"}
			}
			return []any{"(", m.expr(k), ")::", k.sql()}
		}, nil},
		{"scalar subquery", 3, func(m maker) []any { return []any{"(", m.scalarQuery(k), ")"} }, canQuery},
		{"window function", 6, func(m maker) []any { return m.windowCall(k) }, func(s *scope) bool { return s.window }},
		{"array subscript", 1, func(m maker) []any {
			a := map[kind]kind{intKind: intsKind, textKind: textsKind}[k]
			if a == noKind {
				return []any{m.expr(k)}
			}
			return []any{"(", m.expr(a), ")[", m.small(), "]"}
		}, nil},
	}
	if k == intKind || k == textKind || k == floatKind || k == timeKind || k == spanKind {
		list = append(list, alternative{"min, max", 4, func(m maker) []any {
			return m.aggregate(pick(m.Generator, "min", "max"), k)
		}, canAggregate}, alternative{"WITHIN GROUP", 3, func(m maker) []any {
			return m.withinGroup(pick(m.Generator, "mode()", "percentile_disc("+m.fraction()+")"), k)
		}, canAggregate})
	}
	return list
}

func canQuery(s *scope) bool     { return s.subquery }
func canAggregate(s *scope) bool { return s.agg != nil }

// withinGroup is an ordered-set aggregate of a kind. What is ordered says its type.
func (m maker) withinGroup(name string, k kind) []any {
	parts := []any{name, " WITHIN GROUP (ORDER BY (", m.in(m.s.agg).expr(k), ")::", k.sql(), m.direction(), ")"}
	return append(parts, m.filter()...)
}

// fraction is what a percentile asks for.
func (m maker) fraction() string {
	return pick(m.Generator, "0", "0.25", "0.5", "0.5", "0.9", "1", "1 / 3.0", "0.5::float8", "NULL::float8")
}

// aggregate is name(argument) with FILTER now and then.
func (m maker) aggregate(name string, k kind) []any {
	in := m.in(m.s.agg)
	return append([]any{name, "(", in.expr(k), ")"}, m.filter()...)
}

func (m maker) filter() []any {
	if !m.oneIn(4) {
		return nil
	}
	return []any{clause("FILTER", " FILTER (WHERE ", m.in(m.s.agg).expr(boolKind), ")")}
}

func call(name string, args ...kind) func(m maker) []any {
	return func(m maker) []any {
		parts := []any{name, "("}
		for i, k := range args {
			if i > 0 {
				parts = append(parts, ", ")
			}
			parts = append(parts, m.expr(k))
		}
		return append(parts, ")")
	}
}

func binary(k kind, ops ...string) func(m maker) []any {
	return func(m maker) []any {
		return m.loose(m.expr(k), " "+pick(m.Generator, ops...)+" ", m.expr(k))
	}
}

// small is a number that functions of text may be asked to make so many characters of.
func (m maker) small() *node {
	return n("number", intKind, pick(m.Generator, "0", "1", "2", "3", "5", "8", "(-1)", "(-2)"))
}

var alternatives map[kind][]alternative

func init() {
	alternatives = map[kind][]alternative{
		intKind: append(anyKind(intKind), []alternative{
			{"+ -", 6, binary(intKind, "+", "-"), nil},
			{"* / %", 3, func(m maker) []any { return m.loose(m.expr(intKind), " * ", m.literal(intKind)) }, nil},
			{"* / %", 3, func(m maker) []any {
				return m.loose(m.expr(intKind), pick(m.Generator, " / ", " % "), pick(m.Generator, "2", "3", "7", "(-2)", "10"))
			}, nil},
			{"-x, +x", 2, func(m maker) []any { return []any{"(", pick(m.Generator, "-", "+", "- -"), " ", m.expr(intKind), ")"} }, nil},
			{"other operators", 2, func(m maker) []any {
				return m.loose(m.expr(intKind), pick(m.Generator, " & ", " | ", " # ", " OPERATOR(pg_catalog.&) "), m.expr(intKind))
			}, nil},
			{"other operators", 1, func(m maker) []any {
				return []any{"(", m.expr(intKind), pick(m.Generator, " << ", " >> "), pick(m.Generator, "1", "2", "3"), ")"}
			}, nil},
			{"other operators", 1, func(m maker) []any { return []any{"(", pick(m.Generator, "~ ", "@ "), m.expr(intKind), ")"} }, nil},
			{"function of numbers", 2, call("abs", intKind), nil},
			{"function of numbers", 1, func(m maker) []any {
				return []any{"div(", m.expr(intKind), ", ", pick(m.Generator, "3", "5", "(-4)"), ")::int8"}
			}, nil},
			{"function of numbers", 1, func(m maker) []any {
				return []any{"mod(", m.expr(intKind), ", ", pick(m.Generator, "3", "5", "(-4)"), ")"}
			}, nil},
			{"function of numbers", 1, func(m maker) []any {
				return []any{pick(m.Generator, "floor", "ceil", "round", "trunc", "sign"), "(", m.expr(floatKind), ")::int8"}
			}, nil},
			{"function of text", 3, func(m maker) []any {
				return call(pick(m.Generator, "length", "length", "char_length", "character_length"), textKind)(m)
			}, nil},
			{"function of text", 1, call("octet_length", textKind), nil},
			{"function of text", 1, call("strpos", textKind, textKind), nil},
			{"function of text", 1, call("ascii", textKind), nil},
			{"position", 2, func(m maker) []any { return []any{"position(", m.expr(textKind), " IN ", m.expr(textKind), ")"} }, nil},
			{"x::type", 1, func(m maker) []any { return []any{"(", m.expr(boolKind), ")::int"} }, nil},
			{"x::type", 1, func(m maker) []any { return []any{"(", m.expr(floatKind), ")::int8"} }, nil},
			{"x::type", 1, func(m maker) []any { return []any{"(", m.expr(intKind), ")::text::int8"} }, nil},
			{"extract", 2, func(m maker) []any {
				return []any{"extract(", pick(m.Generator, "hour", "minute", "day", "dow", "isodow", "doy", "week", "isoyear", "month", "quarter", "year", "decade", "century", "millennium", "epoch"), " FROM ", m.expr(timeKind), ")::int8"}
			}, nil},
			{"extract", 1, func(m maker) []any {
				return []any{"extract(", pick(m.Generator, "hour", "minute", "day", "month", "year"), " FROM ", m.expr(spanKind), ")::int8"}
			}, nil},
			{"function of arrays", 1, func(m maker) []any {
				return []any{pick(m.Generator, "array_length", "array_upper", "array_lower"), "(", m.expr(pick(m.Generator, intsKind, textsKind)), ", 1)"}
			}, nil},
			{"function of arrays", 1, func(m maker) []any {
				return []any{"cardinality(", m.expr(pick(m.Generator, intsKind, textsKind)), ")"}
			}, nil},
			{"function of arrays", 1, call("array_position", intsKind, intKind), nil},
			{"GROUPING", 12, func(m maker) []any {
				keys := []*node{n("", noKind, pick(m.Generator, m.s.grouping...).text)}
				if m.oneIn(2) {
					keys = append(keys, n("", noKind, pick(m.Generator, m.s.grouping...).text))
				}
				return []any{"GROUPING(", list(", ", keys...), ")"}
			}, func(s *scope) bool { return len(s.grouping) > 0 && s.agg != nil }},
			{"count(*)", 5, func(m maker) []any { return append([]any{"count(*)"}, m.filter()...) }, canAggregate},
			{"count(x)", 3, func(m maker) []any { return m.aggregate("count", m.Generator.kind()) }, canAggregate},
			{"aggregate of DISTINCT", 3, func(m maker) []any {
				return append([]any{"count(DISTINCT ", m.in(m.s.agg).expr(m.Generator.kind()), ")"}, m.filter()...)
			}, canAggregate},
			{"sum", 6, func(m maker) []any { return append(m.aggregate("sum", intKind), "::int8") }, canAggregate},
			{"aggregate of DISTINCT", 1, func(m maker) []any {
				return append(append([]any{"sum(DISTINCT ", m.in(m.s.agg).expr(intKind), ")"}, m.filter()...), "::int8")
			}, canAggregate},
			{"aggregate with ORDER BY", 2, func(m maker) []any {
				in := m.in(m.s.agg)
				parts := []any{pick(m.Generator, "sum(", "count(", "max("), in.expr(intKind), " ORDER BY ", in.expr(m.Generator.kind()), m.direction(), ")"}
				return append(append(parts, m.filter()...), "::int8")
			}, canAggregate},
			{"bit_and, bit_or", 2, func(m maker) []any {
				return m.aggregate(pick(m.Generator, "bit_and", "bit_or", "bit_xor"), intKind)
			}, canAggregate},
		}...),
		floatKind: append(anyKind(floatKind), []alternative{
			{"x::type", 6, func(m maker) []any { return []any{"(", m.expr(intKind), ")::float8"} }, nil},
			{"+ -", 3, binary(floatKind, "+", "-"), nil},
			{"* / %", 3, binary(floatKind, "*"), nil},
			{"* / %", 2, func(m maker) []any {
				return m.loose(m.expr(floatKind), " / ", pick(m.Generator, "2::float8", "3", "0.5::float8"))
			}, nil},
			{"-x, +x", 1, func(m maker) []any { return []any{"(- ", m.expr(floatKind), ")"} }, nil},
			{"function of numbers", 3, func(m maker) []any {
				return []any{pick(m.Generator, "abs", "floor", "ceil", "ceiling", "round", "trunc", "sign"), "(", m.expr(floatKind), ")"}
			}, nil},
			{"function of numbers", 1, func(m maker) []any { return []any{pick(m.Generator, "round", "sign"), "(", m.expr(intKind), ")"} }, nil},
		}...),
		approxKind: {
			{"function of numbers", 3, func(m maker) []any { return []any{pick(m.Generator, "sqrt", "cbrt"), "(abs(", m.expr(floatKind), "))"} }, nil},
			{"function of numbers", 2, func(m maker) []any {
				return []any{pick(m.Generator, "ln", "log", "log10"), "(abs(", m.expr(floatKind), ") + 1)"}
			}, nil},
			{"function of numbers", 1, func(m maker) []any { return []any{"exp(least(", m.expr(floatKind), ", 5))"} }, nil},
			{"function of numbers", 1, func(m maker) []any {
				return []any{pick(m.Generator, "pow", "power"), "(abs(", m.expr(floatKind), "), ", pick(m.Generator, "2", "0.5"), ")"}
			}, nil},
			{"extract", 1, func(m maker) []any {
				return []any{"date_part(", pick(m.Generator, "'epoch'", "'hour'", "'day'"), ", ", m.expr(timeKind), ")"}
			}, nil},
			{"^", 2, func(m maker) []any {
				return []any{"abs(", m.expr(floatKind), ") ^ ", pick(m.Generator, "2", "0.5", "3")}
			}, nil},
			{"sum", 4, func(m maker) []any { return m.aggregate("sum", pick(m.Generator, intKind, floatKind)) }, canAggregate},
			{"avg", 4, func(m maker) []any { return m.aggregate("avg", pick(m.Generator, intKind, floatKind)) }, canAggregate},
			{"aggregate of DISTINCT", 2, func(m maker) []any {
				parts := []any{pick(m.Generator, "sum", "avg", "stddev", "var_pop"), "(DISTINCT ", m.in(m.s.agg).expr(pick(m.Generator, intKind, floatKind)), ")"}
				return append(parts, m.filter()...)
			}, canAggregate},
			{"WITHIN GROUP", 3, func(m maker) []any {
				return m.withinGroup("percentile_cont("+m.fraction()+")", pick(m.Generator, intKind, floatKind))
			}, canAggregate},
			{"stddev, variance", 5, func(m maker) []any {
				return m.aggregate(pick(m.Generator, "stddev", "stddev_samp", "stddev_pop", "variance", "var_samp", "var_pop"), pick(m.Generator, intKind, floatKind))
			}, canAggregate},
			{"extract", 2, func(m maker) []any {
				return []any{"extract(", pick(m.Generator, "epoch", "second", "hour", "milliseconds", "microseconds"), " FROM ", m.expr(pick(m.Generator, timeKind, spanKind)), ")"}
			}, nil},
			{"window function", 4, func(m maker) []any {
				return []any{pick(m.Generator, "percent_rank", "cume_dist"), "() OVER (", m.partition(), m.windowOrder(false), ")"}
			}, func(s *scope) bool { return s.window }},
			{"numeric", 2, func(m maker) []any {
				return m.loose(m.expr(intKind), pick(m.Generator, " + ", " * ", " - ", " / "), pick(m.Generator, "1.5", "0.1", "2.0"))
			}, nil},
		},
		textKind: append(anyKind(textKind), []alternative{
			{"||", 6, binary(textKind, "||"), nil},
			{"||", 2, func(m maker) []any {
				return m.loose(m.expr(textKind), " || ", m.expr(pick(m.Generator, intKind, boolKind)))
			}, nil},
			{"function of text", 4, func(m maker) []any {
				return []any{pick(m.Generator, "upper", "lower", "initcap", "reverse"), "(", m.expr(textKind), ")"}
			}, nil},
			{"substring", 3, func(m maker) []any {
				return []any{"substring(", m.expr(textKind), " FROM ", m.small(), clause("", " FOR ", pick(m.Generator, "0", "1", "2", "4")), ")"}
			}, nil},
			{"substring", 1, func(m maker) []any { return []any{"substr(", m.expr(textKind), ", ", m.small(), ")"} }, nil},
			{"trim", 3, func(m maker) []any {
				return []any{"trim(", pick(m.Generator, "BOTH ", "LEADING ", "TRAILING "), pick(m.Generator, "'a'", "' '", "'ab'"), " FROM ", m.expr(textKind), ")"}
			}, nil},
			{"trim", 1, func(m maker) []any {
				return []any{pick(m.Generator, "btrim", "ltrim", "rtrim", "trim"), "(", m.expr(textKind), ")"}
			}, nil},
			{"function of text", 2, func(m maker) []any {
				return []any{pick(m.Generator, "left", "right", "repeat", "lpad", "rpad"), "(", m.expr(textKind), ", ", m.small(), ")"}
			}, nil},
			{"function of text", 1, func(m maker) []any {
				return []any{pick(m.Generator, "lpad", "rpad"), "(", m.expr(textKind), ", ", m.small(), ", ", m.literal(textKind), ")"}
			}, nil},
			{"function of text", 1, call("replace", textKind, textKind, textKind), nil},
			{"function of text", 1, call("translate", textKind, textKind, textKind), nil},
			{"function of text", 1, func(m maker) []any {
				return []any{"split_part(", m.expr(textKind), ", ", pick(m.Generator, "' '", "','", "'b'"), ", ", pick(m.Generator, "1", "2", "(-1)"), ")"}
			}, nil},
			{"overlay", 1, func(m maker) []any {
				return []any{"overlay(", m.expr(textKind), " PLACING ", m.expr(textKind), " FROM ", pick(m.Generator, "1", "2", "3"), clause("", " FOR ", pick(m.Generator, "0", "1", "2")), ")"}
			}, nil},
			{"function of text", 1, func(m maker) []any {
				return []any{"concat(", m.expr(m.Generator.kind()), ", ", m.expr(textKind), clause("", ", NULL"), ")"}
			}, nil},
			{"function of text", 1, func(m maker) []any {
				return []any{"concat_ws(", m.literal(textKind), ", ", m.expr(textKind), ", ", m.expr(intKind), clause("", ", NULL"), ")"}
			}, nil},
			{"function of text", 1, call("md5", textKind), nil},
			{"function of text", 1, func(m maker) []any {
				return []any{"to_json(", m.expr(intKind), " + 0)::text"}
			}, nil},
			{"x::type", 4, func(m maker) []any {
				return []any{"(", m.expr(pick(m.Generator, intKind, intKind, boolKind, floatKind, timeKind, spanKind, intsKind, textsKind)), ")::text"}
			}, nil},
			{"function of text", 1, func(m maker) []any {
				return []any{"regexp_replace(", m.expr(textKind), ", ", pick(m.Generator, "'b+'", "'[a-c]'", "'^a'"), ", ", pick(m.Generator, "'x'", "''", `'<\&>'`), clause("", ", 'g'"), ")"}
			}, nil},
			{"COLLATE", 1, func(m maker) []any {
				return []any{"((", m.expr(textKind), ") COLLATE ", pick(m.Generator, `"default"`, `pg_catalog."default"`), ")"}
			}, nil},
			{"function of arrays", 1, func(m maker) []any {
				return []any{"array_to_string(", m.expr(pick(m.Generator, intsKind, textsKind)), ", ','", clause("", ", '*'"), ")"}
			}, nil},
			{"function of text", 1, func(m maker) []any { return []any{"chr((abs(", m.expr(intKind), ") % 500 + 33)::int)"} }, nil},
			{"string_agg", 4, func(m maker) []any {
				in := m.in(m.s.agg)
				x := "(" + in.expr(textKind).String() + ")::text"
				if m.oneIn(3) {
					return append([]any{"string_agg(DISTINCT ", x, ", ',' ORDER BY ", x, ")"}, m.filter()...)
				}
				return append([]any{"string_agg(", x, ", ',' ORDER BY ", x, m.direction(), ")"}, m.filter()...)
			}, canAggregate},
			{"function of JSON", 3, func(m maker) []any { return append(append([]any{"("}, m.json()...), ")::text") }, nil},
			{"json_agg", 3, func(m maker) []any {
				of := m.Generator.kind()
				x := "(" + m.in(m.s.agg).expr(of).String() + ")::" + of.sql()
				parts := []any{"(", pick(m.Generator, "json_agg(", "jsonb_agg("), pick(m.Generator, "", "DISTINCT "), x, " ORDER BY ", x, m.direction(), ")"}
				if of == intsKind || of == textsKind {
					parts[2] = ""
				}
				return append(append(parts, m.filter()...), ")::text")
			}, canAggregate},
		}...),
		boolKind: append(anyKind(boolKind), []alternative{
			{"comparison", 14, func(m maker) []any {
				k := pick(m.Generator, comparable...)
				if m.oneIn(2) {
					k = pick(m.Generator, intKind, textKind)
				}
				return []any{"(", m.expr(k), pick(m.Generator, " = ", " <> ", " != ", " < ", " <= ", " > ", " >= "), m.expr(k), ")"}
			}, nil},
			{"COLLATE", 1, func(m maker) []any {
				x := m.column(textKind, m.s)
				if x == nil {
					x = m.literal(textKind)
				}
				return []any{"(", x, pick(m.Generator, " < ", " >= ", " = "), m.literal(textKind), ` COLLATE "C")`}
			}, nil},
			{"comparison", 1, func(m maker) []any {
				return []any{"(", m.expr(intKind), pick(m.Generator, " < ", " = ", " > "), m.expr(floatKind), ")"}
			}, nil},
			{"comparison", 1, func(m maker) []any {
				k := m.Generator.kind()
				return []any{"(", m.expr(k), pick(m.Generator, " = ", " < "), "NULL)"}
			}, nil},
			{"$n, its type inferred", 4, func(m maker) []any {
				k := pick(m.Generator, intKind, textKind, boolKind, floatKind)
				c := m.column(k, m.s)
				if c == nil {
					c = n("", k, "CAST(", m.literal(k), " AS ", k.sql(), ")")
				}
				return []any{"(", c, pick(m.Generator, " = ", " <> ", " < ", " >= "), m.bare(k), ")"}
			}, func(s *scope) bool { return s.params }},
			{"AND", 5, func(m maker) []any { return m.loose(m.expr(boolKind), " AND ", m.expr(boolKind)) }, nil},
			{"OR", 5, func(m maker) []any { return m.loose(m.expr(boolKind), " OR ", m.expr(boolKind)) }, nil},
			{"NOT", 3, func(m maker) []any { return []any{"(NOT ", m.expr(boolKind), ")"} }, nil},
			{"IS NULL", 3, func(m maker) []any {
				return []any{"(", m.expr(m.Generator.kind()), pick(m.Generator, " IS NULL", " IS NOT NULL", " ISNULL", " NOTNULL"), ")"}
			}, nil},
			{"IS TRUE", 2, func(m maker) []any {
				return []any{"(", m.expr(boolKind), pick(m.Generator, " IS TRUE", " IS NOT FALSE", " IS UNKNOWN", " IS NOT TRUE", " IS FALSE", " IS NOT UNKNOWN"), ")"}
			}, nil},
			{"IS DISTINCT FROM", 2, func(m maker) []any {
				k := m.Generator.kind()
				return []any{"(", m.expr(k), pick(m.Generator, " IS DISTINCT FROM ", " IS NOT DISTINCT FROM "), m.expr(k), ")"}
			}, nil},
			{"BETWEEN", 3, func(m maker) []any {
				k := pick(m.Generator, intKind, textKind, floatKind, timeKind)
				return []any{"(", m.expr(k), pick(m.Generator, " BETWEEN ", " NOT BETWEEN ", " BETWEEN SYMMETRIC "), m.expr(k), " AND ", m.expr(k), ")"}
			}, nil},
			{"IN (list)", 4, func(m maker) []any {
				k := pick(m.Generator, intKind, textKind, textKind, boolKind, floatKind, timeKind)
				return []any{"(", m.expr(k), pick(m.Generator, " IN (", " NOT IN ("), m.expr(k), clause("", ", ", m.literal(k)), clause("", ", ", m.literal(k)), m.maybeNull(), "))"}
			}, nil},
			{"LIKE", 3, func(m maker) []any {
				p := pick(m.Generator, "'a%'", "'%b%'", "'_b%'", "''", "'%'", `'a\_b'`, "'Z_rich'", "'1%'")
				return []any{"(", m.expr(textKind), pick(m.Generator, " LIKE ", " NOT LIKE ", " ~~ ", " !~~ "), p, ")"}
			}, nil},
			{"LIKE", 1, func(m maker) []any {
				return []any{"(", m.expr(textKind), pick(m.Generator, " LIKE ", " ILIKE "), "'a!_%' ESCAPE '!')"}
			}, nil},
			{"SIMILAR TO", 2, func(m maker) []any {
				p := pick(m.Generator, "'a%'", "'(a|b)%'", "'_b( |c)*'", "'%[a-c]+'", "'[^a]%'", "'a{1,2}%'", "'%!%' ESCAPE '!'", "''", "'1(0)?'", "NULL")
				return []any{"(", m.expr(textKind), pick(m.Generator, " SIMILAR TO ", " NOT SIMILAR TO "), p, ")"}
			}, nil},
			{"ILIKE", 2, func(m maker) []any {
				return []any{"(", m.expr(textKind), pick(m.Generator, " ILIKE ", " NOT ILIKE "), pick(m.Generator, "'A%'", "'%B%'", "'zÜ%'", "'ä%'"), ")"}
			}, nil},
			{"~", 2, func(m maker) []any {
				return []any{"(", m.expr(textKind), pick(m.Generator, " ~ ", " ~* ", " !~ ", " !~* ", " OPERATOR(pg_catalog.~) "), pick(m.Generator, "'^a'", "'b$'", "'[a-c]+'", "'^.b'", "'(a|Z)'", `'\d'`), ")"}
			}, nil},
			{"function of text", 1, call("starts_with", textKind, textKind), nil},
			{"LIKE ANY (array)", 2, func(m maker) []any {
				return []any{"(", m.expr(textKind), pick(m.Generator, " LIKE ", " ILIKE ", " NOT LIKE "), pick(m.Generator, "ANY", "ALL"), " (", pick(m.Generator, "ARRAY['a%', '%b']", "'{a_b,%c%}'::text[]", "ARRAY['A%', NULL]"), "))"}
			}, nil},
			{"words without parentheses", 1, func(m maker) []any {
				return []any{"(", pick(m.Generator, "current_user", "session_user", "current_schema", "current_catalog", "current_role", "user"), pick(m.Generator, " IS NOT NULL)", " = 'nobody')")}
			}, nil},
			{"words without parentheses", 1, func(m maker) []any {
				return []any{"(", m.expr(timeKind), pick(m.Generator, " < ", " >= "), pick(m.Generator, "current_date", "current_timestamp", "now()"), ")"}
			}, nil},
			{"(row) IN (query)", 2, func(m maker) []any {
				r := m.from(m.s.sub(nil), 0)
				inner := m.s.sub(r.refs)
				q := n("SELECT", noKind, "SELECT ", m.Generator.expr(intKind, inner, 1), ", (", m.Generator.expr(textKind, inner, 1), ")::text FROM ", r.node)
				return []any{"((", m.expr(intKind), ", ", m.expr(textKind), ")", pick(m.Generator, " IN (", " NOT IN ("), q, "))"}
			}, canQuery},
			{"EXISTS", 4, func(m maker) []any { return []any{"(", pick(m.Generator, "", "NOT "), "EXISTS (", m.anyQuery(), "))"} }, canQuery},
			{"IN (query)", 4, func(m maker) []any {
				k := pick(m.Generator, intKind, textKind, boolKind)
				return []any{"(", m.expr(k), pick(m.Generator, " IN (", " NOT IN ("), m.columnQuery(k), "))"}
			}, canQuery},
			{"ANY, ALL (query)", 3, func(m maker) []any {
				k := pick(m.Generator, intKind, textKind)
				return []any{"(", m.expr(k), pick(m.Generator, " = ", " < ", " >= ", " <> "), pick(m.Generator, "ANY", "ALL", "SOME"), " (", m.columnQuery(k), "))"}
			}, canQuery},
			{"ANY, ALL (array)", 3, func(m maker) []any {
				k := pick(m.Generator, intKind, textKind)
				a := map[kind]kind{intKind: intsKind, textKind: textsKind}[k]
				return []any{"(", m.expr(k), pick(m.Generator, " = ", " < ", " >= ", " <> "), pick(m.Generator, "ANY", "ALL"), " (", m.expr(a), "))"}
			}, nil},
			{"array operator", 2, func(m maker) []any {
				a := pick(m.Generator, intsKind, textsKind)
				return []any{"(", m.expr(a), pick(m.Generator, " @> ", " <@ ", " && "), m.expr(a), ")"}
			}, nil},
			{"(row) = (row)", 2, func(m maker) []any {
				return []any{"((", m.expr(intKind), ", ", m.expr(textKind), ")", pick(m.Generator, " = ", " <> ", " < ", " >= "), "(", m.expr(intKind), ", ", m.expr(textKind), "))"}
			}, nil},
			{"(row) IN", 1, func(m maker) []any {
				return []any{"((", m.expr(intKind), ", ", m.expr(textKind), ")", pick(m.Generator, " IN ", " NOT IN "), "((", m.literal(intKind), ", ", m.expr(textKind), "), (", m.literal(intKind), ", ", m.literal(textKind), ")))"}
			}, nil},
			{"x::type", 1, func(m maker) []any {
				return []any{pick(m.Generator, "'t'", "'yes'", "'0'", "'off'", "'tr'", "1", "0"), "::bool"}
			}, nil},
			{"bool_and, bool_or", 4, func(m maker) []any {
				return m.aggregate(pick(m.Generator, "bool_and", "bool_or", "every"), boolKind)
			}, canAggregate},
		}...),
		timeKind: append(anyKind(timeKind), []alternative{
			{"+ -", 4, func(m maker) []any {
				return m.loose(m.expr(timeKind), pick(m.Generator, " + ", " - "), m.literal(spanKind))
			}, nil},
			{"function of time", 4, func(m maker) []any {
				return []any{"date_trunc(", quote(pick(m.Generator, "hour", "day", "week", "month", "quarter", "year", "minute", "second", "decade", "century")), ", ", m.expr(timeKind), ")"}
			}, nil},
			{"function of time", 2, func(m maker) []any {
				return []any{"date_bin(", pick(m.Generator, "'1 hour'", "interval '90 minutes'", "'1 day'", "'1 week'"), ", ", m.expr(timeKind), ", ", m.literal(timeKind), ")"}
			}, nil},
			{"function of time", 1, func(m maker) []any { return []any{"to_timestamp(", m.expr(intKind), ")"} }, nil},
			{"x::type", 1, func(m maker) []any { return []any{"(", m.expr(timeKind), ")::text::timestamptz"} }, nil},
			{"AT TIME ZONE", 2, func(m maker) []any {
				return []any{"(", m.expr(timeKind), " AT TIME ZONE ", pick(m.Generator, "'UTC'", "'GMT'", "'utc'"), ")::timestamptz"}
			}, nil},
		}...),
		spanKind: append(anyKind(spanKind), []alternative{
			{"+ -", 3, func(m maker) []any { return m.loose(m.expr(timeKind), " - ", m.expr(timeKind)) }, nil},
			{"+ -", 2, binary(spanKind, "+", "-"), nil},
			{"* / %", 2, func(m maker) []any {
				return m.loose(m.literal(spanKind), pick(m.Generator, " * ", " / "), pick(m.Generator, "2", "0.5", "3"))
			}, nil},
			{"-x, +x", 1, func(m maker) []any { return []any{"(- ", m.expr(spanKind), ")"} }, nil},
		}...),
		intsKind: append(anyKind(intsKind), arrays(intsKind, intKind)...),
		textsKind: append(anyKind(textsKind), append(arrays(textsKind, textKind),
			alternative{"function of arrays", 1, func(m maker) []any {
				return []any{"string_to_array(", m.expr(textKind), ", ", pick(m.Generator, "' '", "','", "NULL"), ")"}
			}, nil})...),
	}
}

func arrays(k, elem kind) []alternative {
	return []alternative{
		{"ARRAY[…]", 4, func(m maker) []any {
			return []any{"ARRAY[", m.expr(elem), ", ", m.expr(elem), clause("", ", NULL"), "]::", k.sql()}
		}, nil},
		{"array ||", 2, func(m maker) []any {
			if m.oneIn(2) { // a literal beside an array would be read as an array
				return []any{"(", m.expr(k), " || (", m.expr(elem), ")::", elem.sql(), ")"}
			}
			return []any{"(", m.expr(k), " || ", m.expr(k), ")"}
		}, nil},
		{"array slice", 2, func(m maker) []any { return []any{"(", m.expr(k), ")[", m.small(), ":", m.small(), "]"} }, nil},
		{"ARRAY(query)", 2, func(m maker) []any {
			return []any{"ARRAY(", m.orderedColumnQuery(elem), ")"}
		}, canQuery},
		{"function of arrays", 1, func(m maker) []any {
			if m.oneIn(3) {
				return []any{"array_prepend((", m.expr(elem), ")::", elem.sql(), ", ", m.expr(k), ")"}
			}
			return []any{pick(m.Generator, "array_append", "array_remove"), "(", m.expr(k), ", ", m.expr(elem), ")"}
		}, nil},
		{"function of arrays", 1, call("array_cat", k, k), nil},
		{"WITHIN GROUP", 2, func(m maker) []any {
			return m.withinGroup("percentile_disc("+pick(m.Generator, "ARRAY[0.25, 0.5, 1]", "'{0,0.9,NULL}'::float8[]", "ARRAY[1, 0]")+")", elem)
		}, canAggregate},
		{"array_agg", 4, func(m maker) []any {
			x := "(" + m.in(m.s.agg).expr(elem).String() + ")::" + elem.sql()
			return append([]any{"array_agg(", x, " ORDER BY ", x, m.direction(), ")"}, m.filter()...)
		}, canAggregate},
	}
}

func (m maker) maybeNull() any {
	if m.oneIn(6) {
		return clause("", ", NULL")
	}
	return ""
}

// json is a call that gives JSON.
func (m maker) json() []any {
	value := func() *node {
		k := m.Generator.kind()
		switch {
		case m.oneIn(8):
			return n("", k, "NULL")
		case m.depth > 1 && m.oneIn(5):
			return n("function of JSON", noKind, m.in(m.s).json()...)
		}
		return n("", k, "(", m.expr(k), ")::", k.sql())
	}
	form := pick(m.Generator, "json", "json", "jsonb")
	switch m.IntN(7) {
	case 0, 1:
		k := m.Generator.kind()
		return []any{"to_", form, "((", m.expr(k), ")::", k.sql(), ")"}
	case 2:
		return []any{form, "_build_array(", value(), clause("", ", ", value()), clause("", ", ", value()), ")"}
	case 3:
		return []any{pick(m.Generator, "array_to_json(", "json_build_array(VARIADIC ", "jsonb_build_array(VARIADIC "), m.expr(pick(m.Generator, intsKind, textsKind)), ")"}
	case 4:
		text := pick(m.Generator, `{"b": 1,  "a" : [true,null]}`, `[1.50, -2e3, 0.1e-2, {}]`, `"\u00e9\n\/"`, ` null `, `{"aa":1,"b":2,"b":{"z":[],"y":"'"}}`)
		return []any{pick(m.Generator, quote(text)+"::"+form, form+" "+quote(text), "CAST("+quote(text)+" AS "+form+")", quote(text)+"::json::"+form)}
	case 5:
		return []any{form, "_build_object('k', ", value(), clause("", ", coalesce(", m.expr(textKind), ", 'none'), ", value()), clause("", ", ", m.literal(intKind), ", ", value()), ")"}
	}
	return []any{form, "_build_object(coalesce(", m.expr(intKind), ", 0), ", value(), ", 'a', ", value(), ")"}
}

// direction is what may follow an expression of ORDER BY.
func (g *Generator) direction() *node {
	switch g.IntN(6) {
	case 0:
		return clause("ASC, DESC", " ASC")
	case 1, 2:
		return clause("ASC, DESC", " DESC")
	case 3:
		return clause("NULLS FIRST, LAST", pick(g, " NULLS FIRST", " NULLS LAST"))
	case 4:
		return clause("NULLS FIRST, LAST", pick(g, " DESC NULLS LAST", " ASC NULLS FIRST"))
	}
	return &node{}
}
