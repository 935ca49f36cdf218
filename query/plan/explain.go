package plan

import (
	"fmt"
	"strings"
)

// Shown is what EXPLAIN shows beside the plan.
type Shown struct {
	Verbose   bool
	Actual    func(Node) (rows, loops int64) // that a step gave; nil: it was not run
	Costs     func(*Fragment) []string       // what a fragment cost, as text; nil: it was not run
	CostFacts func(*Fragment) []Fact         // the same for FORMAT json
}

// Explain is the plan as text, one line a node and fact.
func Explain(q *Query, s Shown) []string {
	var lines []string
	s.explain(q.Root, 0, &lines)
	for _, sub := range q.Subqueries {
		if sub.Kind == SubLateral { // it stands in the tree
			continue
		}
		each := ""
		if len(sub.cells) > 0 {
			each = ", anew for each set of outer values"
		}
		lines = append(lines, fmt.Sprintf("Subquery %d%s", sub.number, each))
		s.explain(sub.Root, 1, &lines)
	}
	return lines
}

func (s *Shown) explain(n Node, depth int, lines *[]string) {
	pad := strings.Repeat("  ", depth)
	put := func(format string, args ...any) {
		*lines = append(*lines, pad+fmt.Sprintf(format, args...)+s.actual(n))
	}
	switch n := n.(type) {
	case *Scan:
		put("Cells of %s", n.Fragment.Name)
	case *Grouped:
		what := "Groups"
		if n.Fragment.Tests() {
			what = "Tests"
		}
		put("%s of %s: mode %s", what, n.Fragment.Name, n.Fragment.Mode)
	case *Crosstab:
		put("Crosstab of %s: mode %s", n.Fragment.Name, n.Fragment.Mode)
	case *Screen:
		put("Scan of %s for independence: mode %s, first %d by ln_p, correction %s", n.Fragment.Name, n.Fragment.Mode, n.Top, n.Correction)
	case *Rows:
		put("Rows: %d", len(n.Rows))
	case *Filter:
		put("Filter: %s", n.Cond.format(columnNames(n.Input.Columns())))
	case *Aggregation:
		sets := ""
		if n.Sets != nil {
			sets = fmt.Sprintf(", %d grouping sets", len(n.Sets))
		}
		put("Aggregate at the coordinator: %d keys, %d aggregates%s", len(n.Keys), len(n.Aggs), sets)
	case *GroupingSets:
		put("Grouping sets: %d, with a scan each", len(n.Sets))
		for i, in := range n.Inputs {
			*lines = append(*lines, pad+"  Set ("+strings.Join(setNames(n.Sets[i], columnNames(n.cols)), ", ")+")")
			s.explain(in, depth+2, lines)
		}
		return
	case *Adjust:
		var names []string
		for _, a := range n.Adjusted {
			names = append(names, a.Correction.String())
		}
		put("Correct for all groups: %s", strings.Join(names, ", "))
	case *Project:
		var names []string
		for _, c := range n.cols {
			if c.Name != "" {
				names = append(names, c.Name)
			}
		}
		put("Project: %s", strings.Join(names, ", "))
	case *Sort:
		put("Sort: %s%s", sortText(n), keepText(n.Keep))
	case *Limit:
		put("Limit: %s", limitText(n))
	case *Join:
		put("%s", n.text())
	case *Window:
		var calls []string
		for _, c := range n.Calls {
			calls = append(calls, c.Name)
		}
		put("Window: %s", strings.Join(calls, ", "))
	case *Kept:
		put("Keep rows%s", lookupText(n))
	case *Functions:
		var names []string
		for _, c := range n.Calls {
			if c.Fn != nil {
				names = append(names, c.Fn.Name)
			}
		}
		put("Functions: %s", strings.Join(names, ", "))
	case *System:
		put("System table %s", n.Name)
	case *Distinct:
		put("Distinct")
	case *Recursive:
		all := ""
		if !n.Distinct {
			all = " all"
		}
		put("Recursive union%s of %s", all, n.Table.Name)
	case *WorkScan:
		put("Rows of the last round of %s", n.Table.Name)
	case *SetOp:
		put("%s", setNamesOf[n.Kind])
	case *Cut:
		s.explain(n.Input, depth, lines)
		return
	}
	if _, shown := n.(*Project); s.Verbose && !shown {
		if names := shownNames(n); len(names) > 0 {
			*lines = append(*lines, pad+"  output: "+strings.Join(names, ", "))
		}
	}
	if f := fragmentIn(n); f != nil {
		facts := f.facts()
		if s.Costs != nil {
			facts = append(facts, s.Costs(f)...)
		}
		for _, fact := range facts {
			*lines = append(*lines, pad+"  "+fact)
		}
	}
	for _, in := range n.inputs() {
		s.explain(in, depth+1, lines)
	}
}

var setNamesOf = [...]string{"", "Union all", "Union", "Intersect all", "Intersect", "Except all", "Except"}

// actual is what the step gave, if it was run: rows a run, and runs.
func (s *Shown) actual(n Node) string {
	if s.Actual == nil {
		return ""
	}
	rows, loops := s.Actual(n)
	if loops == 0 {
		return " (never executed)"
	}
	return fmt.Sprintf(" (actual rows=%d loops=%d)", (rows+loops/2)/loops, loops)
}

// text says how the rows of a join find each other.
func (n *Join) text() string {
	s := [...]string{"Join", "Left join", "Right join", "Full join"}[n.Kind]
	how := ", nested loop"
	if n.Lateral != nil {
		how = ", anew for each row"
	}
	if len(n.LKeys) > 0 {
		how = ", hash"
		for i, k := range n.LKeys {
			sep := map[bool]string{true: ": ", false: " and "}[i == 0]
			how += sep + k.format(columnNames(n.L.Columns())) + " = " + n.RKeys[i].format(columnNames(n.R.Columns()))
		}
	}
	if n.Cond != nil {
		how += ", if " + n.Cond.format(columnNames(n.cols))
	}
	return s + how
}

func lookupText(n *Kept) string {
	if len(n.Keys) == 0 {
		return ""
	}
	return " by " + formatAll(n.Keys, columnNames(n.Input.Columns()))
}

func keepText(keep int64) string {
	if keep < 0 {
		return ""
	}
	return fmt.Sprintf(", first %d", keep)
}

func limitText(n *Limit) string {
	var parts []string
	switch {
	case n.CountOf != nil:
		parts = append(parts, n.CountOf.format(nil))
	case n.Count >= 0:
		parts = append(parts, fmt.Sprint(n.Count))
	}
	switch {
	case n.OffsetOf != nil:
		parts = append(parts, "after "+n.OffsetOf.format(nil))
	case n.Offset > 0:
		parts = append(parts, fmt.Sprintf("after %d", n.Offset))
	}
	return strings.Join(parts, " ")
}

func sortText(n *Sort) string {
	cols := n.Input.Columns()
	var parts []string
	for _, k := range n.Keys {
		s := cols[k.Col].Name
		if s == "" {
			s = "expression"
		}
		if k.Desc {
			s += " desc"
		}
		if k.NullsFirst != k.Desc {
			s += map[bool]string{true: " nulls first", false: " nulls last"}[k.NullsFirst]
		}
		parts = append(parts, s)
	}
	return strings.Join(parts, ", ")
}

// setNames are the keys of a grouping set.
func setNames(s GroupingSet, names []string) []string {
	keys := []string{}
	for _, i := range s.Keys {
		if names[i] == "" {
			keys = append(keys, "expression")
			continue
		}
		keys = append(keys, names[i])
	}
	return keys
}

func columnNames(cols []Column) []string {
	out := make([]string, len(cols))
	for i, c := range cols {
		out[i] = c.Name
	}
	return out
}

// facts are the lines about a fragment.
func (f *Fragment) facts() []string {
	var out []string
	if f.Why != "" {
		out = append(out, "because: "+f.Why)
	}
	switch {
	case f.Shards == nil:
		out = append(out, "shards: all")
	default:
		var ids []string
		for _, s := range f.Shards {
			ids = append(ids, fmt.Sprint(s))
		}
		out = append(out, "shards: "+strings.Join(ids, ", ")+" (by partition key)")
	}
	if len(f.Keys) > 0 {
		out = append(out, "keys: "+formatAll(f.Keys, f.Names))
	}
	for _, e := range f.Filters {
		out = append(out, "filter: "+e.format(f.Names))
	}
	for _, a := range f.Aggs {
		text := "computes: " + a.format(f.Names)
		if a.Kind == AggTest && a.Mode != f.Mode {
			text += ", mode " + a.Mode.String()
		}
		out = append(out, text)
	}
	if f.Top != nil {
		out = append(out, fmt.Sprintf("each shard sends its first %d by ln_p", f.Top.K))
	}
	return out
}

func (a *Aggregate) format(names []string) string {
	s := ""
	switch a.Kind {
	case AggSum:
		s = "sum(" + a.Arg.format(names) + ")"
	case AggCells:
		s = "cells"
	case AggCount:
		s = "count(" + a.Arg.format(names) + ")"
	case AggDistinct:
		s = "count(distinct " + a.Arg.format(names) + ")"
	case AggMin:
		s = "min(" + a.Arg.format(names) + ")"
	case AggMax:
		s = "max(" + a.Arg.format(names) + ")"
	case AggTest:
		s = a.Test.Name + "(" + formatAll(a.Cats, names)
		for i, o := range a.Test.Options {
			if a.Options[i] != o.Default {
				s += ", " + o.Name + " => " + Constant(a.Options[i]).format(names)
			}
		}
		s += ")"
	}
	if a.Filter != nil {
		s += " where " + a.Filter.format(names)
	}
	return s
}

func formatAll(list []*Expr, names []string) string {
	var parts []string
	for _, e := range list {
		parts = append(parts, e.format(names))
	}
	return strings.Join(parts, ", ")
}

// format is e as text, for people.
func (e *Expr) format(names []string) string {
	switch e.Kind {
	case ExprConst:
		switch {
		case e.Value.IsNull():
			return "NULL"
		case e.Value.Type == Int8 || e.Value.Type == Float8:
			return e.Value.String()
		case e.Value.Type == Bool:
			return map[bool]string{true: "true", false: "false"}[e.Value.Bool()]
		}
		return "'" + clipText(e.Value.String()) + "'"
	case ExprCol:
		if e.Col < len(names) && names[e.Col] != "" {
			return names[e.Col]
		}
		return fmt.Sprintf("#%d", e.Col)
	case ExprCall:
		name := e.Fn.Name
		if len(e.Args) == 2 && (name[0] < 'a' || name[0] > 'z') {
			return e.Args[0].format(names) + " " + name + " " + e.Args[1].format(names)
		}
		if e.Fn == fnAnd || e.Fn == fnOr {
			var parts []string
			for _, a := range e.Args {
				parts = append(parts, "("+a.format(names)+")")
			}
			return strings.Join(parts, " "+name+" ")
		}
		if e.Fn == fnOrderRank {
			return "order(" + e.Args[0].format(names) + ")"
		}
		return name + "(" + formatAll(e.Args, names) + ")"
	case exprSubquery:
		if len(e.Args) == 0 {
			return fmt.Sprintf("subquery %d", e.Sub.number)
		}
		return fmt.Sprintf("subquery %d(%s)", e.Sub.number, formatAll(e.Args, names))
	case exprOuter:
		return "outer value"
	}
	return "?"
}
