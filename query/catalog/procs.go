package catalog

import (
	"strconv"
	"strings"

	"github.com/quipudb/quipu/query/plan"
)

func itoa(n int) string { return strconv.Itoa(n) }

// proc is a row of pg_proc. Tests and measures are in public, so that \df lists them; what PostgreSQL has too is in pg_catalog.
type proc struct {
	plan.FunctionInfo
	oid   int64
	space string
}

func (p *proc) resultOID() int64 {
	if p.Rows || p.Result == plan.Record {
		return 2249
	}
	if p.Result == plan.Unknown {
		return 2283
	}
	return typeOID(p.Result)
}

// arguments are those of a function as SQL spells them.
func (p *proc) arguments() string {
	parts := make([]string, len(p.Args))
	for i, t := range p.Args {
		parts[i], _ = typeSpelling(typeOID(t))
		if p.More && i == len(parts)-1 {
			parts[i] = "VARIADIC " + parts[i]
		}
	}
	return strings.Join(parts, ", ")
}

func (p *proc) result() string {
	s, _ := typeSpelling(p.resultOID())
	if p.Rows {
		return "SETOF " + s
	}
	return s
}

// typeFunctions are what pg_type names as the input and output of its types. Nobody can call them; drivers join pg_type with them.
func typeFunctions() []string {
	out := []string{"array_in", "array_out", "array_recv", "array_send", "array_subscript_handler", "array_typanalyze"}
	for _, t := range pgTypes {
		for _, end := range []string{"in", "out", "recv", "send"} {
			out = append(out, t.name+end)
		}
	}
	return out
}

// procs lists the functions that can be called.
func (c *Catalog) procs() []proc {
	var out []proc
	seen := map[int64]bool{}
	add := func(f plan.FunctionInfo) {
		p := proc{FunctionInfo: f, space: "pg_catalog"}
		if f.Own {
			p.space = "public"
		}
		p.oid = hashOID("function " + f.Name + "(" + p.arguments() + ")")
		if !seen[p.oid] {
			seen[p.oid] = true
			out = append(out, p)
		}
	}
	for _, name := range typeFunctions() {
		out = append(out, proc{FunctionInfo: plan.FunctionInfo{Name: name, Result: plan.Text}, space: "pg_catalog", oid: procOID(name)})
	}
	for _, f := range plan.FunctionList() {
		add(f)
	}
	for _, list := range c.systemFunctions() {
		for _, f := range list {
			add(plan.FunctionInfo{Name: f.Name, Args: f.Args, More: f.More, Result: f.Result})
		}
	}
	return out
}
