package plan

import (
	"fmt"
	"slices"
	"strings"
)

// ExampleTables are the tables of the examples of statistical functions.
const ExampleTables = `DROP TABLE IF EXISTS admissions;
CREATE TABLE admissions (dept text, gender text, admitted text) WITH (partition_by = 'dept');
INSERT INTO admissions VALUES ('A', 'm', 'yes', 512), ('A', 'm', 'no', 313), ('A', 'f', 'yes', 89), ('A', 'f', 'no', 19),
  ('B', 'm', 'yes', 353), ('B', 'm', 'no', 207), ('B', 'f', 'yes', 17), ('B', 'f', 'no', 8),
  ('C', 'm', 'yes', 120), ('C', 'm', 'no', 205), ('C', 'f', 'yes', 202), ('C', 'f', 'no', 391);
CREATE TABLE trial (site text, treated bool, dose int8, relief text ORDER ('none', 'some', 'marked'), cured bool, again bool);
INSERT INTO trial VALUES ('x', true, 2, 'marked', true, true, 9), ('x', true, 1, 'some', true, false, 4), ('x', true, 1, 'none', false, true, 3),
  ('x', false, 0, 'none', false, false, 8), ('x', false, 0, 'some', true, false, 3), ('x', false, 0, 'none', false, true, 2),
  ('y', true, 2, 'marked', true, true, 7), ('y', true, 1, 'some', false, true, 3), ('y', true, 2, 'none', false, false, 2),
  ('y', false, 0, 'none', false, false, 9), ('y', false, 0, 'marked', true, true, 2), ('y', false, 0, 'some', false, true, 4)`

// Example is a query that calls the scalar: that of its test, unless it has one of its own.
func (s *Scalar) Example() string {
	t := testsByName[s.Of]
	text := t.Example
	start := strings.Index(text, t.Name+"(")
	depth, end := 0, start
	for i := start + len(t.Name); i < len(text); i++ {
		if text[i] == '(' {
			depth++
		} else if text[i] == ')' {
			if depth--; depth == 0 {
				end = i + 1
				break
			}
		}
	}
	return text[:start] + s.Name + text[start+len(t.Name):end] + text[end:]
}

// FunctionsReference is the part of docs/sql.md about statistical functions.
func FunctionsReference() string {
	var b strings.Builder
	fmt.Fprintf(&b, "The examples are over these tables:\n\n```sql\n%s;\n```\n\n", ExampleTables)
	var families []string
	for _, t := range allTests {
		if !slices.Contains(families, t.Family) {
			families = append(families, t.Family)
		}
	}
	for _, family := range families {
		fmt.Fprintf(&b, "### %s\n\n", family)
		for _, t := range allTests {
			if t.Family == family {
				t.reference(&b)
			}
		}
	}
	b.WriteString("### Functions of numbers\n\n| Function | Gives | Example |\n|---|---|---|\n")
	for _, n := range numerics {
		fmt.Fprintf(&b, "| `%s(%s)` | %s | `%s` |\n", n.name, n.args, n.doc, n.example)
	}
	b.WriteString("\n")
	return b.String()
}

// reference writes what there is to say of a test.
func (t *Test) reference(b *strings.Builder) {
	fmt.Fprintf(b, "**`%s`** %s.", t.Signature(), t.Doc)
	if len(t.Aliases) > 0 {
		fmt.Fprintf(b, " Also called `%s`.", strings.Join(t.Aliases, "`, `"))
	}
	fmt.Fprintf(b, " Work is divided by %s.\n\n", t.divided())
	fmt.Fprintf(b, "```sql\n%s;\n```\n\n", t.Example)
	fmt.Fprintf(b, "Columns: %s", columnList(t.Columns))
	if hidden := t.columns[len(t.Columns):]; len(hidden) > 0 {
		fmt.Fprintf(b, "; by name only: %s", columnList(hidden))
	}
	b.WriteString(".\n\n")
	for _, o := range t.Options {
		text := o.Doc
		if o.Words != nil {
			text += ": " + strings.Join(o.Words, ", ")
		}
		fmt.Fprintf(b, "* `%s` %s, default %s: %s\n", o.Name, o.Type, o.spelled(), text)
	}
	if len(t.Options) > 0 {
		b.WriteString("\n")
	}
	t.scalarTable(b)
}

// divided says how shards share the work of a test.
func (t *Test) divided() string {
	switch {
	case t.terms != nil && t.finish != nil:
		return "margins, with some options by cells"
	case t.terms != nil:
		return "margins"
	case t.sums != nil:
		return "sums"
	}
	return "cells"
}

// scalarTable writes the functions that give one column of the test.
func (t *Test) scalarTable(b *strings.Builder) {
	head := false
	for _, s := range scalars {
		if s.Of != t.Name {
			continue
		}
		if !head {
			b.WriteString("| One column | of | |\n|---|---|---|\n")
			head = true
		}
		names := "`" + strings.Join(append([]string{s.Name}, s.Aliases...), "`, `") + "`"
		fmt.Fprintf(b, "| %s | `%s` | %s |\n", names, s.Column, s.Doc)
	}
	if head {
		b.WriteString("\n")
	}
}

func columnList(cols []Column) string {
	var parts []string
	for _, c := range cols {
		parts = append(parts, fmt.Sprintf("`%s` %s", c.Name, c.Type))
	}
	return strings.Join(parts, ", ")
}
