package catalog

import (
	"github.com/quipudb/quipu/query/plan"
)

func (w *writer) catalogName() { w.row("catalog_name", w.c.o.Database) }

func (w *writer) schemata() {
	for _, n := range namespaces {
		w.row("catalog_name", w.c.o.Database, "schema_name", n.name, "schema_owner", w.c.owner())
	}
}

// shown are the relations that who asks has a privilege on: the standard hides the others here, as pg_catalog does not.
func (w *writer) shown() []*relation {
	var out []*relation
	self, list := w.c.self(), w.c.all()
	for i := range list {
		if held, _ := w.c.privileges(self, &list[i]); held != 0 {
			out = append(out, &list[i])
		}
	}
	return out
}

func (w *writer) tables() {
	for _, r := range w.shown() {
		kind, insertable := "BASE TABLE", "NO"
		if r.kind == "v" {
			kind = "VIEW"
		}
		if r.table != nil {
			insertable = "YES"
		}
		w.row("table_catalog", w.c.o.Database, "table_schema", r.namespace, "table_name", r.name, "table_type", kind, "is_insertable_into", insertable,
			"is_typed", "NO")
	}
}

// columns describes types as the standard does; what a type has no value for stays NULL.
func (w *writer) columns() {
	for _, r := range w.shown() {
		for i, a := range r.attributes {
			oid := typeOID(a.typ)
			spelled, _ := typeSpelling(oid)
			name := typeRow(oid).name
			if a.typ.IsArray() {
				spelled, name = "ARRAY", "_"+typeRow(typeOID(a.typ.Elem())).name
			}
			var def, precision, radix, scale, instant any
			if a.def != "" {
				def = a.def
			}
			switch a.typ {
			case plan.Int8:
				precision, radix, scale = 64, 2, 0
			case plan.Float8:
				precision, radix = 53, 2
			case plan.Timestamptz, plan.Interval:
				instant = 6
			}
			var octets any
			if a.typ == plan.Text {
				octets = 1 << 30
			}
			w.row("table_catalog", w.c.o.Database, "table_schema", r.namespace, "table_name", r.name, "column_name", a.name, "ordinal_position", i+1,
				"column_default", def, "is_nullable", yesNo(!a.notNull), "data_type", spelled, "character_octet_length", octets, "numeric_precision", precision,
				"numeric_precision_radix", radix, "numeric_scale", scale, "datetime_precision", instant, "udt_catalog", w.c.o.Database,
				"udt_schema", "pg_catalog", "udt_name", name, "dtd_identifier", itoa(i+1), "is_self_referencing", "NO", "is_identity", "NO",
				"identity_cycle", "NO", "is_generated", "NEVER", "is_updatable", yesNo(r.table != nil))
		}
	}
}

func (w *writer) routines() {
	for _, p := range w.c.procs() {
		kind := "FUNCTION"
		if p.Aggregate {
			continue
		}
		spelled, _ := typeSpelling(p.resultOID())
		w.row("specific_catalog", w.c.o.Database, "specific_schema", p.space, "specific_name", p.Name+"_"+itoa(int(p.oid)), "routine_catalog", w.c.o.Database,
			"routine_schema", p.space, "routine_name", p.Name, "routine_type", kind, "data_type", spelled, "routine_body", "EXTERNAL", "external_language", "INTERNAL")
	}
}
