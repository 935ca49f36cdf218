package catalog

import (
	"fmt"
	"strings"

	"github.com/quipudb/quipu/query/plan"
	"github.com/quipudb/quipu/server/errcode"
)

// Functions lists those called name that know the catalog.
func (c *Catalog) Functions(name string) []*plan.Function { return c.systemFunctions()[name] }

func (c *Catalog) systemFunctions() map[string][]*plan.Function {
	if c.functions != nil {
		return c.functions
	}
	c.functions = map[string][]*plan.Function{}
	c.names()
	c.definitionTexts()
	c.privilegeFunctions()
	c.sizeFunctions()
	c.server()
	return c.functions
}

// add adds a function that gives NULL for a NULL argument. An argument of type any takes names as well as OIDs.
func (c *Catalog) add(name string, result plan.Type, eval func(a []plan.Value) plan.Value, args ...plan.Type) {
	c.functions[name] = append(c.functions[name], plan.NewSystemFunction(name, result, false,
		func(a []plan.Value) (plan.Value, error) { return eval(a), nil }, args...))
}

// names are functions from OIDs to names, and their like.
func (c *Catalog) names() {
	text, oid, flag := plan.Text, plan.Int8, plan.Bool
	spell := func(a []plan.Value) plan.Value {
		s, ok := typeSpelling(a[0].Int())
		switch {
		case a[0].Int() == 0:
			s = "-"
		case !ok:
			s = "???"
		}
		return plan.TextValue(s)
	}
	c.functions["format_type"] = []*plan.Function{plan.NewSystemFunction("format_type", text, true, func(a []plan.Value) (plan.Value, error) {
		if a[0].IsNull() {
			return plan.Null, nil
		}
		return spell(a), nil
	}, oid, oid)}
	c.add("pg_get_userbyid", text, func(a []plan.Value) plan.Value {
		for _, r := range c.roles() {
			if r.oid == a[0].Int() {
				return plan.TextValue(r.Name)
			}
		}
		return plan.TextValue(fmt.Sprintf("unknown (OID=%d)", a[0].Int()))
	}, oid)
	c.add("pg_table_is_visible", flag, func(a []plan.Value) plan.Value {
		if r := c.relationByOID(a[0].Int()); r != nil {
			return plan.BoolValue(visible(r.namespace))
		}
		return plan.Null
	}, oid)
	for _, name := range []string{"pg_type_is_visible", "pg_function_is_visible", "pg_opclass_is_visible", "pg_operator_is_visible", "pg_collation_is_visible",
		"pg_statistics_obj_is_visible", "pg_conversion_is_visible", "pg_ts_config_is_visible", "pg_ts_dict_is_visible", "pg_opfamily_is_visible"} {
		c.add(name, flag, func([]plan.Value) plan.Value { return plan.BoolValue(true) }, oid)
	}
	c.add("current_schemas", plan.ArrayOf(text), func(a []plan.Value) plan.Value {
		if a[0].Bool() {
			return value([]string{"pg_catalog", "public"}, plan.ArrayOf(text))
		}
		return value([]string{"public"}, plan.ArrayOf(text))
	}, flag)
	c.add("quote_ident", text, func(a []plan.Value) plan.Value { return plan.TextValue(quoteIdent(a[0].Text())) }, text)
	c.add("quote_literal", text, func(a []plan.Value) plan.Value { return plan.TextValue(quoteLiteral(a[0].String())) }, plan.Unknown)
	c.functions["quote_nullable"] = []*plan.Function{plan.NewSystemFunction("quote_nullable", text, true, func(a []plan.Value) (plan.Value, error) {
		if a[0].IsNull() {
			return plan.TextValue("NULL"), nil
		}
		return plan.TextValue(quoteLiteral(a[0].String())), nil
	}, plan.Unknown)}
	c.functions["parse_ident"] = []*plan.Function{plan.NewSystemFunction("parse_ident", plan.ArrayOf(text), false, parseIdent, text),
		plan.NewSystemFunction("parse_ident", plan.ArrayOf(text), false, parseIdent, text, flag)}
	for name, t := range map[string]plan.Type{"to_regclass": plan.RegClass, "to_regtype": plan.RegType, "to_regproc": plan.RegProc,
		"to_regnamespace": plan.RegNamespace, "to_regrole": plan.RegRole} {
		c.add(name, t, func(a []plan.Value) plan.Value {
			n, ok := c.OID(t, a[0].Text())
			if !ok {
				return plan.Null
			}
			s, _ := c.Name(t, n)
			return plan.RegValue(t, n, s)
		}, text)
	}
	c.add("pg_encoding_to_char", text, func(a []plan.Value) plan.Value {
		if a[0].Int() == 6 {
			return plan.TextValue("UTF8")
		}
		return plan.TextValue("")
	}, oid)
	c.add("pg_char_to_encoding", oid, func(a []plan.Value) plan.Value {
		if strings.EqualFold(a[0].Text(), "utf8") || strings.EqualFold(a[0].Text(), "utf-8") {
			return plan.IntValue(6)
		}
		return plan.IntValue(-1)
	}, text)
}

func quoteLiteral(s string) string {
	q := "'" + strings.ReplaceAll(s, "'", "''") + "'"
	if strings.Contains(s, `\`) {
		return "E" + strings.ReplaceAll(q, `\`, `\\`)
	}
	return q
}

// parseIdent splits a qualified name into its parts.
func parseIdent(a []plan.Value) (plan.Value, error) {
	parts, ok := splitName(a[0].Text())
	if !ok {
		return plan.Null, errcode.New(errcode.InvalidOption, "string is not a valid identifier: %q", a[0].Text())
	}
	return value(parts, plan.ArrayOf(plan.Text)), nil
}

// splitName splits a."B".c; a part without quotes is folded to lower case.
func splitName(s string) ([]string, bool) {
	var parts []string
	for s = strings.TrimSpace(s); ; {
		var part string
		if strings.HasPrefix(s, `"`) {
			var b strings.Builder
			i := 1
			for ; i < len(s); i++ {
				if s[i] != '"' {
					b.WriteByte(s[i])
				} else if i+1 < len(s) && s[i+1] == '"' {
					b.WriteByte('"')
					i++
				} else {
					break
				}
			}
			if i >= len(s) {
				return nil, false
			}
			part, s = b.String(), s[i+1:]
		} else {
			end := strings.IndexAny(s, `."`)
			if end < 0 {
				end = len(s)
			}
			part, s = strings.ToLower(strings.TrimSpace(s[:end])), s[end:]
			if strings.ContainsAny(part, " \t\n()[],;") {
				return nil, false
			}
		}
		if part == "" {
			return nil, false
		}
		parts = append(parts, part)
		s = strings.TrimSpace(s)
		if s == "" {
			return parts, true
		}
		if s[0] != '.' {
			return nil, false
		}
		s = strings.TrimSpace(s[1:])
	}
}

// definitionTexts are functions that spell what an object was made of.
func (c *Catalog) definitionTexts() {
	text, oid, flag := plan.Text, plan.Int8, plan.Bool
	same := func(a []plan.Value) plan.Value { return a[0] } // adbin holds the text itself
	c.add("pg_get_expr", text, same, text, oid)
	c.add("pg_get_expr", text, same, text, oid, flag)
	none := func([]plan.Value) plan.Value { return plan.Null }
	for _, name := range []string{"pg_get_constraintdef", "pg_get_indexdef", "pg_get_viewdef", "pg_get_ruledef", "pg_get_triggerdef", "pg_get_partkeydef",
		"pg_get_partition_constraintdef", "pg_get_statisticsobjdef", "pg_get_statisticsobjdef_columns", "pg_get_functiondef", "pg_get_function_sqlbody"} {
		c.add(name, text, none, oid)
		c.add(name, text, none, oid, flag)
	}
	c.add("pg_get_indexdef", text, none, oid, oid, flag)
	c.add("pg_get_function_arg_default", text, none, oid, oid)
	c.add("pg_get_serial_sequence", text, none, text, text)
	function := func(say func(*proc) string) func([]plan.Value) plan.Value {
		return func(a []plan.Value) plan.Value {
			for _, p := range c.procs() {
				if p.oid == a[0].Int() {
					return plan.TextValue(say(&p))
				}
			}
			return plan.Null
		}
	}
	c.add("pg_get_function_arguments", text, function((*proc).arguments), oid)
	c.add("pg_get_function_identity_arguments", text, function((*proc).arguments), oid)
	c.add("pg_get_function_result", text, function((*proc).result), oid)
	describe := func(object, part, class int64) plan.Value {
		d := definitions().byName["pg_catalog.pg_description"]
		rows, err := c.rows(d)
		if err != nil {
			return plan.Null
		}
		for _, r := range rows {
			if r[d.places["objoid"]].Int() == object && r[d.places["objsubid"]].Int() == part && (class == 0 || r[d.places["classoid"]].Int() == class) {
				return r[d.places["description"]]
			}
		}
		return plan.Null
	}
	c.add("obj_description", text, func(a []plan.Value) plan.Value { return describe(a[0].Int(), 0, 0) }, oid)
	c.add("obj_description", text, func(a []plan.Value) plan.Value {
		d := definitions().byName["pg_catalog."+a[1].Text()]
		if d == nil {
			return plan.Null
		}
		return describe(a[0].Int(), 0, d.oid)
	}, oid, text)
	c.add("col_description", text, func(a []plan.Value) plan.Value { return describe(a[0].Int(), a[1].Int(), 1259) }, oid, oid)
	c.add("shobj_description", text, none, oid, text)
}

// server are facts of the connection and the node.
func (c *Catalog) server() {
	constant := func(name string, t plan.Type, v plan.Value) {
		c.add(name, t, func([]plan.Value) plan.Value { return v })
	}
	constant("pg_is_in_recovery", plan.Bool, plan.BoolValue(false))
	constant("pg_client_encoding", plan.Text, plan.TextValue("UTF8"))
	constant("getdatabaseencoding", plan.Text, plan.TextValue("UTF8"))
	constant("inet_server_addr", plan.Text, plan.Null)
	constant("inet_client_addr", plan.Text, plan.Null)
	constant("inet_server_port", plan.Int8, plan.Null)
	for _, name := range []string{"pg_stat_get_numscans", "pg_stat_get_tuples_returned", "pg_stat_get_tuples_fetched"} { // of indexes, of which there are none
		c.add(name, plan.Int8, func([]plan.Value) plan.Value { return plan.IntValue(0) }, plan.Int8)
	}
	constant("pg_advisory_unlock_all", plan.Text, plan.TextValue("")) // nothing can be locked
	// Of constants the binder takes it.
	c.functions["set_config"] = []*plan.Function{plan.NewSystemFunction("set_config", plan.Text, true, func(a []plan.Value) (plan.Value, error) {
		return plan.Null, errcode.New(errcode.NotSupported, "set_config takes constants").WithHint("SET %s = …", a[0].String())
	}, plan.Text, plan.Text, plan.Bool)}
	c.functions["current_setting"] = []*plan.Function{plan.NewSystemFunction("current_setting", plan.Text, false, c.currentSetting, plan.Text),
		plan.NewSystemFunction("current_setting", plan.Text, false, c.currentSetting, plan.Text, plan.Bool)}
}

func (c *Catalog) currentSetting(a []plan.Value) (plan.Value, error) {
	for _, s := range c.settings() {
		if strings.EqualFold(s.Name, a[0].Text()) {
			return plan.TextValue(s.Value), nil
		}
	}
	if len(a) == 2 && a[1].Bool() {
		return plan.Null, nil
	}
	return plan.Null, errcode.New(errcode.UnknownSetting, "unrecognized configuration parameter %q", a[0].Text())
}

func (c *Catalog) relationByOID(oid int64) *relation {
	list := c.all()
	if c.byOID == nil {
		c.byOID = make(map[int64]*relation, len(list))
		for i := range list {
			c.byOID[list[i].oid] = &list[i]
		}
	}
	return c.byOID[oid]
}

// Name is what an OID shows as: qualified where its schema has to be named.
func (c *Catalog) Name(t plan.Type, oid int64) (string, bool) {
	switch t {
	case plan.RegClass:
		if r := c.relationByOID(oid); r != nil {
			if visible(r.namespace) {
				return quoteIdent(r.name), true
			}
			return quoteIdent(r.namespace) + "." + quoteIdent(r.name), true
		}
	case plan.RegType:
		return typeSpelling(oid)
	case plan.RegNamespace:
		for _, n := range namespaces {
			if n.oid == oid {
				return quoteIdent(n.name), true
			}
		}
	case plan.RegProc:
		for _, p := range c.procs() {
			if p.oid == oid {
				return quoteIdent(p.Name), true
			}
		}
	case plan.RegRole:
		for _, r := range c.roles() {
			if r.oid == oid {
				return quoteIdent(r.Name), true
			}
		}
	}
	return "", false
}

// OID finds an object by its name, which may be qualified and quoted.
func (c *Catalog) OID(t plan.Type, name string) (int64, bool) {
	if t == plan.RegType {
		return typeByName(strings.TrimPrefix(strings.ToLower(strings.TrimSpace(name)), "pg_catalog."))
	}
	parts, ok := splitName(name)
	if !ok {
		return 0, false
	}
	last := parts[len(parts)-1]
	switch t {
	case plan.RegClass:
		for _, r := range c.all() {
			if r.name == last && (len(parts) == 1 && visible(r.namespace) || len(parts) > 1 && parts[len(parts)-2] == r.namespace) {
				return r.oid, true
			}
		}
	case plan.RegNamespace:
		n := namespaceOID(last)
		return n, n != 0
	case plan.RegProc:
		base, _, _ := strings.Cut(last, "(")
		if strings.HasPrefix(base, "array_") {
			return procOID(base), true
		}
		for _, p := range c.procs() {
			if p.Name == base {
				return p.oid, true
			}
		}
	case plan.RegRole:
		for _, r := range c.roles() {
			if r.Name == last {
				return r.oid, true
			}
		}
	}
	return 0, false
}
