package differential

import "slices"

// Rule is a rule of docs/sql.md, with the productions that use it.
type Rule struct {
	Text string   // as it stands in docs/sql.md
	By   []string // productions of the generator
	Why  string   // of a rule without productions: why there are none
}

const (
	addition = "PostgreSQL has nothing like it"
	refused  = "read, and then refused with the reason"
)

// Grammar is what docs/sql.md says of the language, in its order. A test holds it to the page: no table, list or example of the page is without a rule.
var Grammar = []Rule{
	{Text: "Keywords and names are read without regard to case", By: []string{"case of words"}},
	{Text: "a name in double quotes keeps its case", By: []string{`"name"`}},
	{Text: "needs the quotes, except behind `AS`", By: []string{"keyword as label"}},
	{Text: "a quote inside is doubled", By: []string{"'text'", "'text' 'goes on'"}},
	{Text: `has escapes, ` + "`$$…$$`" + ` needs none`, By: []string{"E'…'", "$$…$$"}},
	{Text: "Statements are separated by", By: []string{"semicolons"}},
	{Text: "`-- to the end of the line`", By: []string{"comment"}},
	{Text: "Parameters are `$1`", By: []string{"$n", "$n, its type inferred", "LIMIT $n"}},

	{Text: "Each is `TEXT`, `INT8` or `BOOL`", By: []string{"CREATE TABLE"}},
	{Text: "CREATE TABLE IF NOT EXISTS visits", By: []string{"CREATE TABLE"}},
	{Text: "declares the values of a dimension and how they rank", Why: addition},
	{Text: "The name of an option in `WITH (…)`", Why: addition + "; the window of a third of the tables is given by one"},
	{Text: "`PRIMARY KEY`, `UNIQUE`, `CHECK`, `REFERENCES`", Why: refused},
	{Text: "`float8`, `numeric`, `date`, `timestamptz` as a dimension", Why: refused},
	{Text: "`PARTITION BY`, `INHERITS`, `TABLESPACE`", Why: refused},
	{Text: "ADD COLUMN IF NOT EXISTS browser text DEFAULT ''", By: []string{"ALTER TABLE"}},
	{Text: "DROP TABLE IF EXISTS drafts, attempts", By: []string{"DROP TABLE"}},
	{Text: "TRUNCATE visits", By: []string{"TRUNCATE"}},

	{Text: "INSERT INTO admissions (dept, gender, admitted, count) VALUES", By: []string{"INSERT … VALUES"}},
	{Text: "`RETURNING` and `ON CONFLICT` are read and not run", Why: refused},
	{Text: "INSERT INTO admissions SELECT", By: []string{"INSERT … SELECT"}},
	{Text: "`INSERT INTO t DEFAULT VALUES`", By: []string{"INSERT DEFAULT VALUES"}},
	{Text: "DELETE FROM visits WHERE", Why: addition + ": windows end as a whole"},
	{Text: "`DEFAULT` may stand for a value", By: []string{"INSERT … DEFAULT"}},
	{Text: "`WITH` may stand in front of `INSERT`", By: []string{"WITH … INSERT"}},
	{Text: "COPY visits FROM STDIN CSV HEADER", By: []string{"COPY FROM"}},
	{Text: "COPY (SELECT country, sum(count) FROM visits GROUP BY country) TO STDOUT", By: []string{"COPY TO", "COPY TO, binary"}},

	{Text: "ORDER BY r_p_value NULLS LAST", Why: addition + ": a test in the select list"},
	{Text: "name [(columns)] AS [[NOT] MATERIALIZED] (query)", By: []string{"WITH", "MATERIALIZED", "FROM common table expression"}},
	{Text: "`[ALL` \\| `DISTINCT [ON (…)]]`, expressions with `AS label` or a bare label, `*`, `t.*`, `(record).*`", By: []string{"SELECT", "SELECT ALL", "DISTINCT", "DISTINCT ON",
		"AS label", "bare label", "*", "t.*", "unnamed columns", "SELECT without FROM"}},
	{Text: "tables, `(query)` with or without an alias, functions", By: []string{"FROM table", "alias with columns", "derived table", "function in FROM", "WITH ORDINALITY", "LATERAL", "LATERAL (query)", "FROM a, b"}},
	{Text: "`[INNER]`, `LEFT`, `RIGHT`, `FULL [OUTER] JOIN … ON` or `USING (…) [AS name]`, `NATURAL`, `CROSS JOIN`, parentheses",
		By: []string{"INNER JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN", "USING", "NATURAL JOIN", "CROSS JOIN", "(join)"}},
	{Text: "`[DISTINCT]`, expressions, ordinals, `ROLLUP (…)`, `CUBE (…)`, `GROUPING SETS (…)`, `()`",
		By: []string{"GROUP BY", "GROUP BY expression", "GROUP BY ordinal", "GROUP BY label", "GROUP BY ()", "ROLLUP", "CUBE", "GROUPING SETS"}},
	{Text: "GROUP BY ROLLUP (dept) ORDER BY total, dept", By: []string{"ROLLUP", "GROUPING"}},
	{Text: "`[name] [PARTITION BY …] [ORDER BY …] [ROWS`", By: []string{"WINDOW", "window function", "PARTITION BY", "ROWS frame", "RANGE frame", "GROUPS frame", "EXCLUDE"}},
	{Text: "`UNION`, `EXCEPT`, and tighter `INTERSECT`", By: []string{"UNION", "EXCEPT", "INTERSECT"}},
	{Text: "`expression [ASC` \\| `DESC] [NULLS FIRST` \\| `LAST]`", By: []string{"ORDER BY", "ORDER BY expression", "ORDER BY ordinal", "ORDER BY label", "ASC, DESC", "NULLS FIRST, LAST"}},
	{Text: "`LIMIT n` \\| `ALL`, `OFFSET n [ROWS]`, `FETCH FIRST [n] ROWS ONLY` \\| `WITH TIES`", By: []string{"LIMIT", "OFFSET", "FETCH", "WITH TIES"}},
	{Text: "LEFT JOIN (SELECT dept, sum(count) AS yes", By: []string{"LEFT JOIN", "derived table"}},
	{Text: "VALUES (1, 'a'), (2, 'b')", By: []string{"VALUES"}},
	{Text: "TABLE admissions", By: []string{"TABLE"}},
	{Text: "HAVING sum(count) > 100", By: []string{"HAVING"}},
	{Text: "WHERE dept IN ('A', 'B', 'C')", By: []string{"WHERE"}},
	{Text: "EXPLAIN (ANALYZE, FORMAT json) SELECT", By: []string{"EXPLAIN"}},
	{Text: "`FOR UPDATE`, `SELECT INTO`, `TABLESAMPLE` and column definitions of functions are refused", Why: refused},
	{Text: "**Subqueries** may stand wherever a value may", By: []string{"scalar subquery", "outer column"}},
	{Text: "A test such as `chi2_test(a, b)` may stand alone", Why: addition},
	{Text: "WITH RECURSIVE days (day) AS", By: []string{"WITH RECURSIVE"}},

	{Text: "| `OR` |", By: []string{"OR"}},
	{Text: "| `AND` |", By: []string{"AND"}},
	{Text: "| `NOT x` |", By: []string{"NOT"}},
	{Text: "`IS [NOT] NULL`, `TRUE`, `FALSE`, `UNKNOWN`, `DISTINCT FROM y`; `ISNULL`, `NOTNULL`", By: []string{"IS NULL", "IS TRUE", "IS DISTINCT FROM"}},
	{Text: "`= <> != < <= > >=`", By: []string{"comparison", "(row) = (row)"}},
	{Text: "`[NOT] IN (…)`, `BETWEEN [SYMMETRIC] … AND …`, `LIKE`, `ILIKE`", By: []string{"IN (list)", "(row) IN", "IN (query)", "(row) IN (query)", "BETWEEN", "LIKE", "ILIKE", "SIMILAR TO"}},
	{Text: "and every other operator, `OPERATOR(schema.op)`", By: []string{"||", "~", "other operators", "array operator"}},
	{Text: "| `+ -` |", By: []string{"+ -"}},
	{Text: "| `* / %` |", By: []string{"* / %"}},
	{Text: "| `^` |", By: []string{"^"}},
	{Text: "| `AT TIME ZONE`, `COLLATE` |", By: []string{"AT TIME ZONE", "COLLATE"}},
	{Text: "| `-x`, `+x` |", By: []string{"-x, +x"}},
	{Text: "`x::type`, `x[i]`, `x[i:j]`, `(x).field`", By: []string{"x::type", "array subscript", "array slice", "column"}},
	{Text: "CASE WHEN age < 18 THEN", By: []string{"CASE"}},
	{Text: "coalesce(country, 'none')", By: []string{"coalesce", "nullif", "greatest, least"}},
	{Text: "CAST(age AS float8) / 2", By: []string{"CAST", "numeric"}},
	{Text: "interval '1 hour', date '2024-05-01'", By: []string{"type 'literal'", "number", "literal", "NULL"}},
	{Text: "EXISTS (SELECT FROM visits)", By: []string{"EXISTS"}},
	{Text: "age = ANY (ARRAY[1, 2])", By: []string{"ANY, ALL (array)", "ANY, ALL (query)", "LIKE ANY (array)"}},
	{Text: "sum(count) FILTER (WHERE member)", By: []string{"FILTER"}},
	{Text: "trim(BOTH ' ' FROM country)", By: []string{"extract", "substring", "trim", "overlay", "position"}},
	{Text: "ARRAY(SELECT 1), (ARRAY[10, 20, 30])[2:3]", By: []string{"ARRAY(query)", "ARRAY[…]", "array ||"}},
	{Text: "current_user, current_date", By: []string{"words without parentheses"}},
	{Text: "Functions of numbers, texts, times and arrays", By: []string{"function of numbers", "function of text", "function of time", "function of arrays"}},
	{Text: "`to_json`, `array_to_json`, `json_build_object`", By: []string{"function of JSON"}},
	{Text: "| `count(*)`, `count(x)`, `count(DISTINCT x)` |", By: []string{"count(*)", "count(x)", "aggregate of DISTINCT"}},
	{Text: "| `sum(x)`, `avg(x)` |", By: []string{"sum", "avg"}},
	{Text: "| `min(x)`, `max(x)`, `any_value(x)` |", By: []string{"min, max"}},
	{Text: "`stddev_samp(x)`, `stddev_pop(x)`", By: []string{"stddev, variance"}},
	{Text: "SELECT country, avg(DISTINCT age), stddev_pop(age)", By: []string{"aggregate of DISTINCT", "stddev, variance", "FILTER"}},
	{Text: "| `bool_and(x)`", By: []string{"bool_and, bool_or"}},
	{Text: "| `bit_and(x)`", By: []string{"bit_and, bit_or"}},
	{Text: "SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY n)", By: []string{"WITHIN GROUP"}},
	{Text: "| `json_agg(x)`, `jsonb_agg(x)` |", By: []string{"json_agg"}},
	{Text: "| `string_agg(x, separator)`, `array_agg(x)` |", By: []string{"string_agg", "array_agg", "aggregate with ORDER BY"}},

	{Text: "`pg_catalog` and `information_schema` have the relations", By: []string{"system catalogs"}},
	{Text: "SELECT column_name, data_type FROM information_schema.columns", By: []string{"system catalogs"}},
	{Text: "`quipu.tables`", Why: addition},
	{Text: "`docs/statistics.md` says which test answers which question", Why: addition},

	{Text: "SET quipu.read_consistency = 'stale'; SET LOCAL statement_timeout TO '5s'", By: []string{"SET, SHOW", "SET LOCAL", "SET TIME ZONE"}},
	{Text: "BEGIN READ ONLY; COMMIT; START TRANSACTION ISOLATION LEVEL SERIALIZABLE; ROLLBACK", By: []string{"BEGIN, COMMIT"}},
	{Text: "SAVEPOINT s; ROLLBACK TO s; RELEASE s", By: []string{"SAVEPOINT"}},
	{Text: "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY", By: []string{"SET TRANSACTION"}},
	{Text: "RESET quipu.read_consistency; RESET ALL; DISCARD ALL", By: []string{"DISCARD"}},
	{Text: "DEALLOCATE ALL; CLOSE ALL; UNLISTEN *", By: []string{"DEALLOCATE"}},
	{Text: "DECLARE c NO SCROLL CURSOR FOR SELECT", By: []string{"DECLARE, FETCH"}},
	{Text: "PREPARE in_dept (text) AS SELECT", By: []string{"PREPARE, EXECUTE"}},
	{Text: "DEALLOCATE in_dept", By: []string{"PREPARE, EXECUTE"}},
	{Text: "CREATE ROLE analyst LOGIN", Why: "privileges are others; a generated matrix of statements and roles tests them"},
	{Text: "An error has a SQLSTATE", By: []string{"error"}},
}

// productions are those of Grammar.
func productions() []string {
	var out []string
	for _, r := range Grammar {
		out = append(out, r.By...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}
