package plan

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
)

// Fact is a key with its value in EXPLAIN (FORMAT json).
type Fact struct {
	Key   string
	Value any
}

// Facts is a JSON object whose keys stay in order.
type Facts []Fact

// MarshalJSON implements json.Marshaler.
func (f Facts) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	for i, x := range f {
		b.WriteByte("{,"[min(i, 1)])
		key, err := json.Marshal(x.Key)
		if err != nil {
			return nil, err
		}
		value, err := marshalPlain(x.Value)
		if err != nil {
			return nil, err
		}
		b.Write(key)
		b.WriteByte(':')
		b.Write(value)
	}
	if len(f) == 0 {
		b.WriteByte('{')
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// marshalPlain leaves < and > in conditions as they are.
func marshalPlain(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return bytes.TrimRight(b.Bytes(), "\n"), err
}

// ExplainJSON is the plan as the text of a JSON array with one object: "Plan", whose keys are PostgreSQL's where they mean the same, and what
// is in tail.
func ExplainJSON(q *Query, s Shown, tail Facts) (string, error) {
	root := s.facts(q.Root, "")
	var subs []Facts
	for _, sub := range q.Subqueries {
		if sub.Kind == SubLateral { // it stands in the tree
			continue
		}
		how := "InitPlan"
		if len(sub.cells) > 0 {
			how = "SubPlan"
		}
		f := s.facts(sub.Root, how)
		name := Fact{"Subplan Name", fmt.Sprintf("%s %d", how, sub.number)}
		subs = append(subs, append(Facts{f[0], f[1], name}, f[2:]...))
	}
	if len(subs) > 0 {
		last := &root[len(root)-1]
		if last.Key == "Plans" {
			last.Value = append(last.Value.([]Facts), subs...)
		} else {
			root = append(root, Fact{"Plans", subs})
		}
	}
	flat, err := marshalPlain([]Facts{append(Facts{{"Plan", root}}, tail...)})
	if err != nil {
		return "", err
	}
	var b bytes.Buffer
	err = json.Indent(&b, flat, "", "  ")
	return b.String(), err
}

// facts are those of one step and of what is below it. parent is how it serves the step above.
func (s *Shown) facts(n Node, parent string) Facts {
	if c, ok := n.(*Cut); ok {
		return s.facts(c.Input, parent)
	}
	out := nodeFacts(n)
	if parent != "" {
		out = append(Facts{out[0], {"Parent Relationship", parent}}, out[1:]...)
	}
	if s.Actual != nil {
		if rows, loops := s.Actual(n); loops > 0 {
			out = append(out, Fact{"Actual Rows", (rows + loops/2) / loops}, Fact{"Actual Loops", loops})
		} else {
			out = append(out, Fact{"Actual Rows", 0}, Fact{"Actual Loops", 0})
		}
	}
	if s.Verbose {
		out = append(out, Fact{"Output", shownNames(n)})
	}
	if f := fragmentIn(n); f != nil {
		out = append(out, f.jsonFacts()...)
		if s.CostFacts != nil {
			out = append(out, s.CostFacts(f)...)
		}
	}
	var plans []Facts
	for i, in := range n.inputs() {
		how := "Outer"
		switch n.(type) {
		case *GroupingSets, *SetOp:
			how = "Member"
		default:
			if i > 0 {
				how = "Inner"
			}
		}
		f := s.facts(in, how)
		if g, ok := n.(*GroupingSets); ok {
			f = append(Facts{f[0], f[1], {"Grouping Set", setNames(g.Sets[i], columnNames(g.cols))}}, f[2:]...)
		}
		plans = append(plans, f)
	}
	if plans != nil {
		out = append(out, Fact{"Plans", plans})
	}
	return out
}

// shownNames are the columns of a step that have names.
func shownNames(n Node) []string {
	out := []string{}
	for _, c := range n.Columns() {
		if c.Name != "" {
			out = append(out, c.Name)
		}
	}
	return out
}

func fragmentIn(n Node) *Fragment {
	switch n := n.(type) {
	case *Scan:
		return n.Fragment
	case *Grouped:
		return n.Fragment
	case *Crosstab:
		return n.Fragment
	case *Screen:
		return n.Fragment
	}
	return nil
}

// jsonFacts are those of the shards' share.
func (f *Fragment) jsonFacts() Facts {
	out := Facts{{"Relation Name", f.Name}}
	if f.Mode != ModeAuto {
		out = append(out, Fact{"Mode", f.Mode.String()})
	}
	if f.Why != "" {
		out = append(out, Fact{"Reason", f.Why})
	}
	if f.Shards == nil {
		out = append(out, Fact{"Shards", "all"})
	} else {
		out = append(out, Fact{"Shards", f.Shards})
	}
	if len(f.Keys) > 0 {
		out = append(out, Fact{"Group Key", formatEach(f.Keys, f.Names)})
	}
	if len(f.Filters) > 0 {
		out = append(out, Fact{"Filter", strings.Join(formatEach(f.Filters, f.Names), " and ")})
	}
	var aggs []Facts
	for _, a := range f.Aggs {
		x := Facts{{"Aggregate", a.format(f.Names)}}
		if a.Kind == AggTest {
			mode := a.Mode
			if mode == ModeAuto {
				mode = f.Mode
			}
			x = append(x, Fact{"Mode", mode.String()})
		}
		aggs = append(aggs, x)
	}
	if aggs != nil {
		out = append(out, Fact{"Computes", aggs})
	}
	if f.Top != nil {
		out = append(out, Fact{"Top by ln_p", f.Top.K})
	}
	return out
}

func formatEach(list []*Expr, names []string) []string {
	var out []string
	for _, e := range list {
		out = append(out, e.format(names))
	}
	return out
}

// nodeFacts are those of a step alone; "Node Type" comes first.
func nodeFacts(n Node) Facts {
	kind := func(name string, more ...Fact) Facts { return append(Facts{{"Node Type", name}}, more...) }
	switch n := n.(type) {
	case *Scan:
		return kind("Seq Scan")
	case *Grouped:
		return kind("Aggregate", Fact{"Strategy", strategy(len(n.Fragment.Keys))}, Fact{"Partial Mode", "Shards"})
	case *GroupingSets:
		return kind("Append", Fact{"Grouping Sets", len(n.Sets)})
	case *Crosstab:
		return kind("Crosstab", Fact{"Correction", n.Correction.String()})
	case *Screen:
		return kind("Independence Scan", Fact{"Top", n.Top}, Fact{"Correction", n.Correction.String()})
	case *Rows:
		if len(n.Rows) == 1 && len(n.cols) == 0 {
			return kind("Result")
		}
		return kind("Values Scan", Fact{"Plan Rows", len(n.Rows)})
	case *Filter:
		return kind("Filter", Fact{"Filter", n.Cond.format(columnNames(n.Input.Columns()))})
	case *Aggregation:
		names := columnNames(n.Input.Columns())
		out := kind("Aggregate", Fact{"Strategy", strategy(len(n.Keys))}, Fact{"Partial Mode", "Simple"})
		if len(n.Keys) > 0 && n.Sets == nil {
			out = append(out, Fact{"Group Key", formatEach(n.Keys, names)})
		}
		var sets []Facts
		for _, set := range n.Sets {
			keys := []string{}
			for _, k := range set.Keys {
				keys = append(keys, n.Keys[k].format(names))
			}
			sets = append(sets, Facts{{"Group Key", keys}})
		}
		if sets != nil {
			out = append(out, Fact{"Grouping Sets", sets})
		}
		return out
	case *Adjust:
		var names []string
		for _, a := range n.Adjusted {
			names = append(names, a.Correction.String())
		}
		return kind("Adjust", Fact{"Corrections", names})
	case *Project:
		return kind("Project", Fact{"Columns", shownNames(n)})
	case *Sort:
		out := kind("Sort", Fact{"Sort Key", strings.Split(sortText(n), ", ")})
		if n.Keep >= 0 {
			out = append(out, Fact{"Keep", n.Keep})
		}
		return out
	case *Limit:
		return kind("Limit", Fact{"Rows", limitText(n)})
	case *Distinct:
		return kind("Unique")
	case *Join:
		return n.jsonFacts()
	case *Window:
		var calls []string
		for _, c := range n.Calls {
			calls = append(calls, c.Name)
		}
		return kind("WindowAgg", Fact{"Functions", calls})
	case *Kept:
		out := kind("Materialize")
		if len(n.Keys) > 0 {
			out = append(out, Fact{"Lookup Key", formatEach(n.Keys, columnNames(n.Input.Columns()))})
		}
		return out
	case *Functions:
		names := []string{}
		for _, c := range n.Calls {
			if c.Fn != nil {
				names = append(names, c.Fn.Name)
			}
		}
		return kind("Function Scan", Fact{"Function Name", strings.Join(names, ", ")})
	case *System:
		schema, name, _ := strings.Cut(n.Name, ".")
		return kind("Seq Scan", Fact{"Relation Name", name}, Fact{"Schema", schema})
	case *Recursive:
		return kind("Recursive Union", Fact{"CTE Name", n.Table.Name})
	case *WorkScan:
		return kind("WorkTable Scan", Fact{"CTE Name", n.Table.Name})
	case *SetOp:
		if n.Kind == UnionAll {
			return kind("Append")
		}
		return kind("SetOp", Fact{"Strategy", "Hashed"}, Fact{"Command", setNamesOf[n.Kind]})
	}
	return kind(strings.TrimPrefix(fmt.Sprintf("%T", n), "*plan."))
}

func strategy(keys int) string {
	if keys == 0 {
		return "Plain"
	}
	return "Hashed"
}

func (n *Join) jsonFacts() Facts {
	out := Facts{{"Node Type", "Nested Loop"}, {"Join Type", [...]string{"Inner", "Left", "Right", "Full"}[n.Kind]}}
	if n.Lateral != nil {
		out = append(out, Fact{"Lateral", true})
	}
	if len(n.LKeys) > 0 {
		out[0].Value = "Hash Join"
		var conds []string
		for i, k := range n.LKeys {
			conds = append(conds, k.format(columnNames(n.L.Columns()))+" = "+n.RKeys[i].format(columnNames(n.R.Columns())))
		}
		out = append(out, Fact{"Hash Cond", strings.Join(conds, " and ")})
	}
	if n.Cond != nil {
		out = append(out, Fact{"Join Filter", n.Cond.format(columnNames(n.cols))})
	}
	return out
}
