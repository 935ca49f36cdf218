package shell

import (
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/quipudb/quipu/cmd/internal/render"
)

// completion is what may stand in the place of prefix, the end of the text before the cursor.
type completion struct {
	prefix string
	groups []group
}

// group is candidates of one kind.
type group struct {
	kind   string
	values []string
}

// complete says how the text before the cursor may go on: by a command or its argument, by the name of a table where a table comes, by the
// columns of the tables that the statement names, by functions and by the words of SQL.
func complete(text string, v vocabulary) completion {
	p := scan(text)
	if p.command != "" {
		return completeCommand(p.command, v)
	}
	c := completion{prefix: p.word}
	switch {
	case p.quoted:
		c.groups = v.inString(p)
	case p.qualifier != "":
		c.groups = v.qualified(p)
	case v.isSetting(p.before):
		c.groups = []group{{"settings", v.settings}}
	case len(p.before) == 0:
		c.groups = []group{{"statements", verbs}}
	case isOneOf(p.last(), "to", "from") && isOneOf(p.before[0], "grant", "revoke") || p.endsWith("member", "of") || p.endsWith("role"):
		c.groups = []group{{"roles", v.roles}}
	case isOneOf(p.last(), "from", "join", "into", "table", "truncate", "copy", "update") || p.last() == "," && p.clause() == "from":
		c.groups = []group{{"tables", v.tableNames()}, {"functions", tableFunctions}}
	case isOneOf(p.last(), "on") && isOneOf(p.before[0], "grant", "revoke"):
		c.groups = []group{{"tables", v.tableNames()}}
	default:
		c.groups = []group{{"columns", v.columns(p.tables(v))}, {"functions", calls(v.functions)}, {"keywords", keywords}}
	}
	return c.matching()
}

// matching keeps what begins with the prefix, written in the letters that were typed.
func (c completion) matching() completion {
	out := completion{prefix: c.prefix}
	seen := map[string]bool{}
	for _, g := range c.groups {
		kept := group{kind: g.kind}
		for _, value := range g.values {
			if len(value) < len(c.prefix) || !strings.EqualFold(value[:len(c.prefix)], c.prefix) {
				continue
			}
			if g.kind == "keywords" || g.kind == "statements" {
				value = inCaseOf(c.prefix, value)
			}
			value = c.prefix + value[len(c.prefix):]
			if !seen[value] {
				seen[value] = true
				kept.values = append(kept.values, value)
			}
		}
		if len(kept.values) > 0 {
			out.groups = append(out.groups, kept)
		}
	}
	return out
}

// inCaseOf writes a word of SQL in small letters if its beginning was.
func inCaseOf(prefix, word string) string {
	if prefix != "" && prefix == strings.ToLower(prefix) {
		return strings.ToLower(word)
	}
	return word
}

var verbs = []string{"SELECT", "INSERT INTO", "CREATE TABLE", "CREATE ROLE", "CREATE TOKEN FOR", "ALTER TABLE", "ALTER ROLE", "DROP TABLE", "DROP ROLE", "TRUNCATE",
	"EXPLAIN", "EXPLAIN ANALYZE", "WITH", "VALUES", "TABLE", "SHOW", "SET", "RESET", "GRANT", "REVOKE"}

var keywords = []string{"SELECT", "FROM", "WHERE", "GROUP BY", "HAVING", "ORDER BY", "LIMIT", "OFFSET", "DISTINCT", "FILTER (WHERE", "VALUES", "JOIN", "LEFT JOIN",
	"ON", "USING", "AS", "AND", "OR", "NOT", "NULL", "IS NULL", "IS NOT NULL", "IN (", "BETWEEN", "LIKE", "ILIKE", "EXISTS (", "CASE", "WHEN", "THEN", "ELSE", "END",
	"UNION ALL", "INTERSECT", "EXCEPT", "ASC", "DESC", "NULLS FIRST", "NULLS LAST", "OVER (", "PARTITION BY", "WITH", "ANALYZE", "TRUE", "FALSE", "INTERVAL",
	"count(*)", "sum(count)", "time_bucket(", "coalesce(", "now()", "text", "int8", "bool", "ORDER (", "NOT NULL", "DEFAULT", "PASSWORD", "LOGIN", "SUPERUSER", "TO"}

// tableFunctions stand where a table does.
var tableFunctions = []string{"crosstab('", "independence_scan('", "generate_series("}

// calls are functions with their bracket.
func calls(names []string) []string {
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = n + "("
	}
	return out
}

func isOneOf(word string, words ...string) bool { return slices.Contains(words, word) }

func (v vocabulary) tableNames() []string {
	var out []string
	for _, t := range v.tables {
		out = append(out, t.full())
	}
	return out
}

// columns are those of the relations, or of all tables of users if there are none.
func (v vocabulary) columns(of []relation) []string {
	if len(of) == 0 {
		for _, t := range v.tables {
			if t.schema == "public" {
				of = append(of, t)
			}
		}
	}
	var out []string
	for _, t := range of {
		for _, c := range t.columns {
			out = append(out, quotedName(c))
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// isSetting says that the name of a setting comes after these words.
func (v vocabulary) isSetting(before []string) bool {
	n := len(before)
	if n == 0 || !isOneOf(before[n-1], "set", "show", "reset") {
		return false
	}
	return n == 1 || isOneOf(before[0], "alter") && n >= 3 && before[1] == "role"
}

// qualified completes what comes after a dot: tables of a schema, or columns of a table or of its alias.
func (v vocabulary) qualified(p place) []group {
	var tables []string
	for _, t := range v.tables {
		if t.schema == p.qualifier {
			tables = append(tables, quotedName(t.name))
		}
	}
	if tables != nil {
		return []group{{"tables", tables}}
	}
	if p.qualifier == "quipu" || len(p.before) > 0 && v.isSetting(p.before) {
		return nil
	}
	for _, t := range p.tables(v) {
		if t.name == p.qualifier || p.aliases()[p.qualifier] == t.name {
			return []group{{"columns", v.columns([]relation{t})}}
		}
	}
	return nil
}

// inString completes the texts that crosstab and independence_scan take: a table, then its dimensions.
func (v vocabulary) inString(p place) []group {
	if !isOneOf(p.function, "crosstab", "independence_scan") {
		return nil
	}
	if len(p.texts) == 0 {
		return []group{{"tables", v.tableNames()}}
	}
	for _, t := range v.tables {
		if t.full() == p.texts[0] {
			return []group{{"columns", v.columns([]relation{t})}}
		}
	}
	return nil
}

// completeCommand completes a backslash command or its argument.
func completeCommand(line string, v vocabulary) completion {
	word, arg, spaced := strings.Cut(line, " ")
	c := completion{prefix: line}
	if !spaced {
		c.groups = []group{{"commands", v.commands}}
		return c.matching()
	}
	c.prefix = arg[strings.LastIndexByte(arg, ' ')+1:]
	nth := len(strings.Fields(arg[:len(arg)-len(c.prefix)]))
	switch word {
	case `\x`:
		c.groups = []group{{"values", []string{"on", "off", "auto"}}}
	case `\timing`:
		c.groups = []group{{"values", []string{"on", "off"}}}
	case `\format`:
		c.groups = []group{{"formats", render.Formats}}
	case `\pset`:
		c.groups = []group{{"names", []string{"expanded", "format", "null", "pager"}}}
	case `\d`, `\dt`:
		c.groups = []group{{"tables", v.tableNames()}}
	case `\df`:
		c.groups = []group{{"functions", v.functions}}
	case `\dconfig`:
		c.groups = []group{{"settings", v.settings}}
	case `\i`, `\o`, `\g`, `\gx`:
		c.groups = []group{{"files", files(c.prefix)}}
	case `\plot`:
		c.groups = []group{{"tables", v.tableNames()}}
		if nth > 0 {
			table, _, _ := strings.Cut(arg, " ")
			c.groups = nil
			for _, t := range v.tables {
				if t.full() == table {
					c.groups = []group{{"columns", v.columns([]relation{t})}}
				}
			}
		}
	}
	return c.matching()
}

// files are those that begin so; folders end with a slash.
func files(prefix string) []string {
	found, err := filepath.Glob(strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`).Replace(prefix) + "*")
	if err != nil {
		return nil
	}
	for i, name := range found {
		if info, err := os.Stat(name); err == nil && info.IsDir() {
			found[i] += "/"
		}
	}
	return found
}
