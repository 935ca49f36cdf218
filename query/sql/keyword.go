package sql

import (
	"slices"
	"strings"
)

// class says where a word may stand as a name, as in PostgreSQL.
type class uint8

const (
	plain    class = iota // any word that is no keyword, or an unreserved one: a name everywhere
	columns               // a column or table name, but not a function or type: values, coalesce
	types                 // a function or type name, but not a column: left, like
	reserved              // only after AS, after a dot, or in quotes
)

// classOf holds the words of PostgreSQL 15 that are not plain.
var classOf = func() map[string]class {
	m := map[string]class{}
	for c, words := range map[class]string{
		columns: `between bigint bit boolean char character coalesce dec decimal exists extract float greatest grouping
			inout int integer interval least national nchar none normalize nullif numeric out overlay position precision
			real row setof smallint substring time timestamp treat trim values varchar xmlattributes xmlconcat xmlelement
			xmlexists xmlforest xmlnamespaces xmlparse xmlpi xmlroot xmlserialize xmltable`,
		types: `authorization binary collation concurrently cross current_schema freeze full ilike inner is isnull join
			left like natural notnull outer overlaps right similar tablesample verbose`,
		reserved: `all analyse analyze and any array as asc asymmetric both case cast check collate column constraint
			create current_catalog current_date current_role current_time current_timestamp current_user default
			deferrable desc distinct do else end except false fetch for foreign from grant group having in initially
			intersect into lateral leading limit localtime localtimestamp not null offset on only or order placing
			primary references returning select session_user some symmetric table then to trailing true union unique
			user using variadic when where window with`,
	} {
		for w := range strings.FieldsSeq(words) {
			m[w] = c
		}
	}
	return m
}()

// Keyword is a word that is not free to be a name everywhere. Code is R, T or C as in PostgreSQL's pg_get_keywords.
type Keyword struct{ Word, Code string }

// Keywords lists the keywords in order.
func Keywords() []Keyword {
	out := make([]Keyword, 0, len(classOf))
	for w, c := range classOf {
		out = append(out, Keyword{w, string("UCTR"[c])})
	}
	slices.SortFunc(out, func(a, b Keyword) int { return strings.Compare(a.Word, b.Word) })
	return out
}

// needsAs are the words that cannot be the name of a column without AS.
var needsAs = func() map[string]bool {
	m := map[string]bool{}
	for w := range strings.FieldsSeq(`array as char character create day except fetch filter for from grant group having
		hour intersect into isnull limit minute month notnull offset on order over overlaps precision returning second
		to union varying where window with within without year`) {
		m[w] = true
	}
	return m
}()

// bareCalls are the functions that are called without parentheses.
var bareCalls = map[string]bool{
	"current_catalog": true, "current_date": true, "current_role": true, "current_schema": true, "current_time": true,
	"current_timestamp": true, "current_user": true, "localtime": true, "localtimestamp": true, "session_user": true,
	"user": true,
}
