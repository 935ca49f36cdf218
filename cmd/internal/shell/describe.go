package shell

import (
	"context"
	"fmt"
	"strings"

	"github.com/quipudb/quipu/cmd/internal/render"
)

// pattern is the condition on a column that psql's pattern stands for: * is any text, ? is any character, and what stands in double
// quotes is itself.
func pattern(column, text string) string {
	if text == "" || text == "*" {
		return "true"
	}
	var b strings.Builder
	quoted := false
	for _, r := range text {
		switch {
		case r == '"':
			quoted = !quoted
		case r == '*' && !quoted:
			b.WriteByte('%')
		case r == '?' && !quoted:
			b.WriteByte('_')
		case r == '%' || r == '_' || r == '\\':
			b.WriteString(`\` + string(r))
		case quoted:
			b.WriteRune(r)
		default:
			b.WriteString(strings.ToLower(string(r)))
		}
	}
	return column + " LIKE " + literal(b.String())
}

// literal is text as an SQL string.
func literal(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }

// schemaAndName splits "schema.name" at the first dot outside of quotes. Without one the schema is public.
func schemaAndName(text string) (schema, name string) {
	quoted := false
	for i, r := range text {
		if r == '"' {
			quoted = !quoted
		}
		if r == '.' && !quoted {
			return text[:i], text[i+1:]
		}
	}
	return "public", text
}

// listTables lists tables. Those of users come with what they count by.
func (s *Session) listTables(ctx context.Context, arg string) error {
	schema, name := schemaAndName(arg)
	if schema == "public" {
		return s.ask(ctx, `SELECT name AS "table", dimensions, "window", retention, partition_by AS "partition key" FROM quipu.tables WHERE `+
			pattern("name", name)+" ORDER BY name")
	}
	return s.ask(ctx, `SELECT table_schema AS "schema", table_name AS "table" FROM information_schema.tables WHERE `+
		pattern("table_schema", schema)+" AND "+pattern("table_name", name)+" ORDER BY 1, 2")
}

// describe lists the tables, or describes those that the pattern names.
func (s *Session) describe(ctx context.Context, arg string) error {
	if arg == "" {
		return s.listTables(ctx, "")
	}
	schema, name := schemaAndName(arg)
	found, err := s.texts(ctx, "SELECT c.oid, n.nspname, c.relname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE "+
		pattern("n.nspname", schema)+" AND "+pattern("c.relname", name)+" AND c.relkind IN ('r', 'v', 'm', 'f', 'p') ORDER BY 2, 3")
	if err != nil {
		return err
	}
	if len(found) == 0 {
		return fmt.Errorf(`there is no table named %q; \d lists them`, strings.Trim(arg, `"`))
	}
	for i, t := range found {
		if i > 0 {
			fmt.Fprintln(s.Out)
		}
		if len(found) > 1 {
			fmt.Fprintf(s.Out, "%s.%s\n", t[1], t[2])
		}
		if err := s.describeTable(ctx, t[0], t[1], t[2]); err != nil {
			return err
		}
	}
	return nil
}

// Describe prints the columns of a table, or the tables if name is empty.
func (s *Session) Describe(ctx context.Context, name string) error {
	if name != "" {
		name = `"` + name + `"`
	}
	return s.describe(ctx, name)
}

func (s *Session) describeTable(ctx context.Context, oid, schema, name string) error {
	err := s.ask(ctx, `SELECT a.attname AS "column", pg_catalog.format_type(a.atttypid, a.atttypmod) AS type, NOT a.attnotnull AS nullable,
       pg_catalog.pg_get_expr(d.adbin, d.adrelid) AS "default", pg_catalog.col_description(a.attrelid, a.attnum) AS about
  FROM pg_catalog.pg_attribute a LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
 WHERE a.attrelid = `+oid+` AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum`)
	if err != nil || schema != "public" || s.Format != "table" {
		return err
	}
	about, err := s.texts(ctx, `SELECT partition_by, "window", retention FROM quipu.tables WHERE name = `+literal(name))
	if err != nil || len(about) == 0 {
		return err
	}
	key, window, retention := about[0][0], about[0][1], about[0][2]
	if key == "" {
		key = "none: the table is on one shard"
	}
	fmt.Fprintf(s.Out, "partition key: %s\n", key)
	if window != "" {
		fmt.Fprintf(s.Out, "window:        %s\n", window)
	}
	if retention != "" {
		fmt.Fprintf(s.Out, "retention:     %s\n", retention)
	}
	return nil
}

func (s *Session) listFunctions(ctx context.Context, arg string) error {
	schema, name := schemaAndName(arg)
	return s.ask(ctx, `SELECT p.proname AS name, pg_catalog.pg_get_function_result(p.oid) AS result, pg_catalog.pg_get_function_arguments(p.oid) AS arguments,
       CASE p.prokind WHEN 'a' THEN 'aggregate' WHEN 'w' THEN 'window' ELSE 'function' END AS kind
  FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace WHERE `+
		pattern("n.nspname", schema)+" AND "+pattern("p.proname", name)+" ORDER BY 1, 3")
}

func (s *Session) listSchemas(ctx context.Context, _ string) error {
	return s.ask(ctx, "SELECT nspname AS name, pg_catalog.pg_get_userbyid(nspowner) AS owner FROM pg_catalog.pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema' ORDER BY 1")
}

func (s *Session) listSettings(ctx context.Context, arg string) error {
	return s.ask(ctx, `SELECT name, setting AS value, short_desc AS about FROM pg_catalog.pg_settings WHERE `+pattern("name", arg)+" ORDER BY 1")
}

// texts runs a statement of ours and gives its rows as text.
func (s *Session) texts(ctx context.Context, sql string) ([][]string, error) {
	rows, err := s.Conn.Query(ctx, sql)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out [][]string
	for rows.Next() {
		row := make([]string, len(rows.Values()))
		for i, v := range rows.Values() {
			row[i] = render.Text(v)
		}
		out = append(out, row)
	}
	return out, rows.Err()
}
