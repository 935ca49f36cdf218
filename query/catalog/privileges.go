package catalog

import (
	"slices"
	"strings"

	"github.com/quipudb/quipu/query/plan"
	"github.com/quipudb/quipu/server/errcode"
	"github.com/quipudb/quipu/storage/schema"
)

// question is one of the has_…_privilege functions: which privileges it knows, and what s holds on an object and may grant on. found is
// false for an OID that nothing has, which gives NULL.
type question struct {
	known string // separated by spaces
	ask   func(s subject, object plan.Value) (held, option schema.Privilege, found bool, err error)
}

// Privileges of PostgreSQL that are no bit of ours: everybody holds always, and nobody never, since nothing here does what it would allow.
const (
	always schema.Privilege = 1 << 30
	never  schema.Privilege = 1 << 31
)

// word is a privilege as these functions name it.
func word(s string) schema.Privilege {
	switch s {
	case "USAGE", "EXECUTE", "CONNECT":
		return always
	case "CREATE":
		return schema.Create
	case "DELETE":
		return schema.Truncate | schema.Select
	}
	if p, ok := schema.PrivilegeByName(s); ok {
		return p
	}
	return never
}

// privilegeFunctions are those that say who may do what. They ask the same rights as the statements do.
func (c *Catalog) privilegeFunctions() {
	const onTable = "SELECT INSERT UPDATE DELETE TRUNCATE REFERENCES TRIGGER ALTER DROP"
	const onColumn = "SELECT INSERT UPDATE REFERENCES"
	all := func(subject, plan.Value) (schema.Privilege, schema.Privilege, bool, error) {
		return always, 0, true, nil
	}
	for name, q := range map[string]question{
		"has_table_privilege":      {onTable, c.onRelation},
		"has_any_column_privilege": {onColumn, c.onRelation},
		"has_sequence_privilege":   {"USAGE SELECT UPDATE", c.onSequence},
		"has_schema_privilege":     {"CREATE USAGE", c.onSchema},
		"has_database_privilege":   {"CREATE CONNECT TEMPORARY TEMP", all},
		"has_function_privilege":   {"EXECUTE", all},
		"has_language_privilege":   {"USAGE", all},
		"has_type_privilege":       {"USAGE", all},
		"has_tablespace_privilege": {"CREATE", all},
	} {
		c.question(name, q)
	}
	column := func(a []plan.Value, s subject) (plan.Value, error) {
		r, err := c.relationOf(a[0])
		if err != nil || r == nil {
			return plan.Null, err
		}
		at := slices.IndexFunc(r.attributes, func(x attribute) bool { return a[1].Type == plan.Text && x.name == a[1].Text() })
		if a[1].Type != plan.Text {
			at = int(a[1].Int()) - 1
		}
		switch {
		case a[1].Type == plan.Text && at < 0:
			return plan.Null, errcode.New(errcode.UnknownColumn, "column %q of relation %q does not exist", a[1].Text(), r.name)
		case at < 0 || at >= len(r.attributes):
			return plan.Null, nil
		}
		held, option := c.privileges(s, r)
		return decide(onColumn, a[2].Text(), s, held, option)
	}
	c.asked3("has_column_privilege", column)
	c.roleQuestion()
	c.add("row_security_active", plan.Bool, func([]plan.Value) plan.Value { return plan.BoolValue(false) }, plan.Unknown)
	c.add("pg_relation_is_publishable", plan.Bool, func([]plan.Value) plan.Value { return plan.BoolValue(false) }, plan.Int8)
	c.add("pg_is_other_temp_schema", plan.Bool, func([]plan.Value) plan.Value { return plan.BoolValue(false) }, plan.Int8)
	c.add("pg_my_temp_schema", plan.Int8, func([]plan.Value) plan.Value { return plan.IntValue(0) })
}

// question adds a function with and without the argument that names a role.
func (c *Catalog) question(name string, q question) {
	answer := func(s subject, object, privilege plan.Value) (plan.Value, error) {
		held, option, found, err := q.ask(s, object)
		if err != nil || !found {
			return plan.Null, err
		}
		return decide(q.known, privilege.Text(), s, held, option)
	}
	c.functions[name] = []*plan.Function{
		plan.NewSystemFunction(name, plan.Bool, false, func(a []plan.Value) (plan.Value, error) { return answer(c.self(), a[0], a[1]) },
			plan.Unknown, plan.Text),
		plan.NewSystemFunction(name, plan.Bool, false, func(a []plan.Value) (plan.Value, error) {
			s, err := c.subject(a[0])
			if err != nil {
				return plan.Null, err
			}
			return answer(s, a[1], a[2])
		}, plan.Unknown, plan.Unknown, plan.Text),
	}
}

// asked3 adds a function of three arguments, and of four with a role before them.
func (c *Catalog) asked3(name string, answer func(a []plan.Value, s subject) (plan.Value, error)) {
	c.functions[name] = []*plan.Function{
		plan.NewSystemFunction(name, plan.Bool, false, func(a []plan.Value) (plan.Value, error) { return answer(a, c.self()) },
			plan.Unknown, plan.Unknown, plan.Text),
		plan.NewSystemFunction(name, plan.Bool, false, func(a []plan.Value) (plan.Value, error) {
			s, err := c.subject(a[0])
			if err != nil {
				return plan.Null, err
			}
			return answer(a[1:], s)
		}, plan.Unknown, plan.Unknown, plan.Unknown, plan.Text),
	}
}

// roleQuestion adds pg_has_role: a member has the rights of a role, so that MEMBER and USAGE are one.
func (c *Catalog) roleQuestion() {
	answer := func(s subject, of, privilege plan.Value) (plan.Value, error) {
		group, err := c.subject(of)
		if err != nil {
			return plan.Null, err
		}
		held := schema.Privilege(0)
		if c.enabled(s, group.name) {
			held = always
		}
		return decide("USAGE MEMBER SET", strings.ReplaceAll(strings.ToUpper(privilege.Text()), "ADMIN OPTION", "GRANT OPTION"), s, held, 0)
	}
	c.functions["pg_has_role"] = []*plan.Function{
		plan.NewSystemFunction("pg_has_role", plan.Bool, false, func(a []plan.Value) (plan.Value, error) { return answer(c.self(), a[0], a[1]) },
			plan.Unknown, plan.Text),
		plan.NewSystemFunction("pg_has_role", plan.Bool, false, func(a []plan.Value) (plan.Value, error) {
			s, err := c.subject(a[0])
			if err != nil {
				return plan.Null, err
			}
			return answer(s, a[1], a[2])
		}, plan.Unknown, plan.Unknown, plan.Text),
	}
}

// decide says whether one of the privileges that text lists is held; WITH GRANT OPTION asks whether it may be granted on.
func decide(known, text string, s subject, held, option schema.Privilege) (plan.Value, error) {
	any := false
	for part := range strings.SplitSeq(text, ",") {
		name, grant := strings.CutSuffix(strings.ToUpper(strings.TrimSpace(part)), " WITH GRANT OPTION")
		if !slices.Contains(strings.Fields(known), name) {
			return plan.Null, errcode.New(errcode.InvalidOption, "unrecognized privilege type: %q", strings.TrimSpace(part)).
				WithHint("known here: %s", strings.ReplaceAll(known, " ", ", "))
		}
		p := word(name)
		if name == "MEMBER" || name == "SET" {
			p = always
		}
		switch {
		case p == never:
		case grant && s.super:
			any = any || held.Has(p)
		case grant:
			any = any || option.Has(p)
		default:
			any = any || held.Has(p)
		}
	}
	return plan.BoolValue(any), nil
}

func (c *Catalog) onRelation(s subject, object plan.Value) (held, option schema.Privilege, found bool, err error) {
	r, err := c.relationOf(object)
	if err != nil || r == nil {
		return 0, 0, false, err
	}
	held, option = c.privileges(s, r)
	return held, option, true, nil
}

// onSequence: there are none.
func (c *Catalog) onSequence(_ subject, object plan.Value) (held, option schema.Privilege, found bool, err error) {
	r, err := c.relationOf(object)
	if err == nil && r != nil {
		err = errcode.New(errcode.InvalidOption, "%q is not a sequence", r.name)
	}
	return 0, 0, false, err
}

func (c *Catalog) onSchema(s subject, object plan.Value) (held, option schema.Privilege, found bool, err error) {
	for _, n := range namespaces {
		if object.Type == plan.Text && n.name != object.Text() || object.Type != plan.Text && n.oid != object.Int() {
			continue
		}
		held = always
		if n.name == "public" {
			held |= c.system(s) & schema.Create
		}
		return held, 0, true, nil
	}
	if object.Type == plan.Text {
		err = errcode.New(errcode.UnknownTable, "schema %q does not exist", object.Text())
	}
	return 0, 0, false, err
}

// relationOf finds a relation by name or OID; nil: no relation has the OID.
func (c *Catalog) relationOf(v plan.Value) (*relation, error) {
	if v.Type != plan.Text {
		return c.relationByOID(v.Int()), nil
	}
	oid, ok := c.OID(plan.RegClass, v.Text())
	if !ok {
		return nil, errcode.New(errcode.UnknownTable, "relation %q does not exist", v.Text())
	}
	return c.relationByOID(oid), nil
}
