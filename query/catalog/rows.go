package catalog

import (
	"strings"

	"github.com/quipudb/quipu/query/plan"
	"github.com/quipudb/quipu/storage/schema"
)

// filler makes the rows of a relation that has any; nil: it is empty, or the node fills it in.
func filler(full string) func(*writer) {
	switch full {
	case "pg_catalog.pg_namespace":
		return (*writer).pgNamespace
	case "pg_catalog.pg_class":
		return (*writer).pgClass
	case "pg_catalog.pg_attribute":
		return (*writer).pgAttribute
	case "pg_catalog.pg_attrdef":
		return (*writer).pgAttrdef
	case "pg_catalog.pg_type":
		return (*writer).pgType
	case "pg_catalog.pg_proc":
		return (*writer).pgProc
	case "pg_catalog.pg_database":
		return (*writer).pgDatabase
	case "pg_catalog.pg_description":
		return (*writer).pgDescription
	case "pg_catalog.pg_am":
		return (*writer).pgAm
	case "pg_catalog.pg_roles", "pg_catalog.pg_authid":
		return (*writer).pgRoles
	case "pg_catalog.pg_user":
		return (*writer).pgUser
	case "pg_catalog.pg_auth_members":
		return (*writer).pgAuthMembers
	case "pg_catalog.pg_db_role_setting":
		return (*writer).pgDBRoleSetting
	case "pg_catalog.pg_settings":
		return (*writer).pgSettings
	case "pg_catalog.pg_tablespace":
		return (*writer).pgTablespace
	case "pg_catalog.pg_language":
		return (*writer).pgLanguage
	case "pg_catalog.pg_collation":
		return (*writer).pgCollation
	case "pg_catalog.pg_tables":
		return (*writer).pgTables
	case "information_schema.schemata":
		return (*writer).schemata
	case "information_schema.tables":
		return (*writer).tables
	case "information_schema.columns":
		return (*writer).columns
	case "information_schema.information_schema_catalog_name":
		return (*writer).catalogName
	case "information_schema.enabled_roles":
		return (*writer).enabledRoles
	case "information_schema.applicable_roles":
		return (*writer).applicableRoles
	case "information_schema.table_privileges", "information_schema.role_table_grants":
		return (*writer).tablePrivileges
	case "information_schema.column_privileges", "information_schema.role_column_grants":
		return (*writer).columnPrivileges
	case "information_schema.routines":
		return (*writer).routines
	case "quipu.tables":
		return (*writer).quipuTables
	case "quipu.settings":
		return (*writer).quipuSettings
	}
	return nil
}

// TableOID is the OID of a table.
func TableOID(t *schema.Table) int64 { return oidFirstTable + int64(t.ID) }

// relation is a row of pg_class.
type relation struct {
	oid        int64
	name       string
	namespace  string
	kind       string
	attributes []attribute
	table      *schema.Table // nil: of the system
}

// attribute is a column of a relation.
type attribute struct {
	name     string
	typ      plan.Type
	notNull  bool
	def      string // the text of its default; empty: none
	comment  string
	implicit bool
}

// all are the relations that there are: the tables, then those of the system.
func (c *Catalog) all() []relation {
	if c.everyRelation == nil {
		c.everyRelation = c.relationList()
	}
	return c.everyRelation
}

func (c *Catalog) relationList() []relation {
	var out []relation
	for _, t := range c.userTables() {
		out = append(out, relation{oid: TableOID(t), name: t.Name.Table, namespace: t.Name.Schema, kind: "r", attributes: attributes(t), table: t})
	}
	for _, d := range definitions().list {
		r := relation{oid: d.oid, name: d.name, namespace: d.schema, kind: d.kind()}
		for _, col := range d.columns {
			r.attributes = append(r.attributes, attribute{name: col.Name, typ: col.Type})
		}
		out = append(out, r)
	}
	return out
}

// attributes are the dimensions, then ts where there is time, then count.
func attributes(t *schema.Table) []attribute {
	var out []attribute
	for _, d := range t.Dims {
		a := attribute{name: d.Name, typ: plan.TypeOf(d), notNull: d.NotNull}
		if !d.Default.Null {
			a.def = literal(d.Default.Text, a.typ)
		}
		if d.Type == schema.Ordered {
			a.comment = "in the order " + strings.Join(d.Order, " < ")
		}
		out = append(out, a)
	}
	if t.Window != 0 {
		out = append(out, attribute{name: "ts", typ: plan.Timestamptz, notNull: true, def: "now()", comment: "start of the window", implicit: true})
	}
	return append(out, attribute{name: "count", typ: plan.Int8, notNull: true, def: "1", comment: "observations of the cell", implicit: true})
}

func literal(s string, t plan.Type) string {
	if t != plan.Text {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", "''") + "'::text"
}

// comment tells of a table what no column of pg_class can.
func comment(t *schema.Table) string {
	var parts []string
	if t.Window != 0 {
		parts = append(parts, "windows of "+plan.DurationValue(t.Window).Text())
	}
	if t.Retention != 0 {
		parts = append(parts, "kept for "+plan.DurationValue(t.Retention).Text())
	}
	if len(t.PartitionBy) > 0 && len(t.PartitionBy) < len(t.Dims) {
		var names []string
		for _, p := range t.PartitionBy {
			names = append(names, t.Dims[p].Name)
		}
		parts = append(parts, "partitioned by "+strings.Join(names, ", "))
	}
	return strings.Join(parts, "; ")
}

func (w *writer) pgNamespace() {
	for _, n := range namespaces {
		w.row("oid", n.oid, "nspname", n.name, "nspowner", oidOwner, "nspacl", w.c.schemaACL(n.name))
	}
}

func (w *writer) pgClass() {
	list := w.c.all()
	for i := range list {
		r, am, tuples := &list[i], 0, int64(-1)
		if r.kind == "r" {
			am = 2
		}
		if size, ok := w.c.size(r); ok && r.table != nil {
			tuples = size.Cells
		}
		w.row("oid", r.oid, "relname", r.name, "relnamespace", namespaceOID(r.namespace), "reltype", 0, "reloftype", 0, "relowner", oidOwner,
			"relam", am, "relfilenode", 0, "reltablespace", 0, "relpages", 0, "reltuples", tuples, "relallvisible", 0, "reltoastrelid", 0,
			"relhasindex", false, "relisshared", false, "relpersistence", "p", "relkind", r.kind, "relnatts", len(r.attributes), "relchecks", 0,
			"relhasrules", r.kind == "v", "relhastriggers", false, "relhassubclass", false, "relrowsecurity", false, "relforcerowsecurity", false,
			"relispopulated", true, "relreplident", "d", "relispartition", false, "relrewrite", 0, "relfrozenxid", 0, "relminmxid", 0,
			"relacl", w.c.acl(r))
	}
}

func (w *writer) pgAttribute() {
	for _, r := range w.c.all() {
		for i, a := range r.attributes {
			oid := typeOID(a.typ)
			t := typeRow(oid)
			dims := 0
			if a.typ.IsArray() {
				dims = 1
			}
			collation := 0
			if a.typ == plan.Text {
				collation = 100
			}
			w.row("attrelid", r.oid, "attname", a.name, "atttypid", oid, "attstattarget", -1, "attlen", t.size, "attnum", i+1, "attndims", dims,
				"attcacheoff", -1, "atttypmod", -1, "attbyval", t.size > 0 && t.size <= 8, "attalign", "i", "attstorage", storage(t.size),
				"attcompression", "", "attnotnull", a.notNull, "atthasdef", a.def != "", "atthasmissing", false, "attidentity", "",
				"attgenerated", "", "attisdropped", false, "attislocal", true, "attinhcount", 0, "attcollation", collation)
		}
	}
}

func storage(size int64) string {
	if size < 0 {
		return "x"
	}
	return "p"
}

// typeRow is the row of pg_type of an OID that is not of an array, or an array's.
func typeRow(oid int64) pgType {
	for _, t := range pgTypes {
		if t.oid == oid {
			return t
		}
	}
	return pgType{size: -1}
}

func (w *writer) pgAttrdef() {
	for _, r := range w.c.all() {
		for i, a := range r.attributes {
			if a.def != "" {
				w.row("oid", hashOID(r.name+"."+a.name+" default"), "adrelid", r.oid, "adnum", i+1, "adbin", a.def)
			}
		}
	}
}

func (w *writer) pgType() {
	for _, t := range pgTypes {
		collation := 0
		if t.category == "S" {
			collation = 100
		}
		in := functionName(t.name + "in")
		w.row("oid", t.oid, "typname", t.name, "typnamespace", oidCatalog, "typowner", oidOwner, "typlen", t.size, "typbyval", t.size > 0 && t.size <= 8,
			"typtype", t.kind, "typcategory", t.category, "typispreferred", t.name == "text" || t.name == "float8" || t.name == "bool", "typisdefined", true,
			"typdelim", ",", "typrelid", 0, "typsubscript", functionName(""), "typelem", 0, "typarray", t.array, "typinput", in,
			"typoutput", functionName(t.name+"out"), "typreceive", functionName(t.name+"recv"), "typsend", functionName(t.name+"send"),
			"typmodin", functionName(""), "typmodout", functionName(""), "typanalyze", functionName(""), "typalign", "i", "typstorage", storage(t.size),
			"typnotnull", false, "typbasetype", 0, "typtypmod", -1, "typndims", 0, "typcollation", collation)
		if t.array == 0 {
			continue
		}
		w.row("oid", t.array, "typname", "_"+t.name, "typnamespace", oidCatalog, "typowner", oidOwner, "typlen", -1, "typbyval", false,
			"typtype", "b", "typcategory", "A", "typispreferred", false, "typisdefined", true, "typdelim", ",", "typrelid", 0,
			"typsubscript", functionName("array_subscript_handler"), "typelem", t.oid, "typarray", 0, "typinput", functionName("array_in"),
			"typoutput", functionName("array_out"), "typreceive", functionName("array_recv"), "typsend", functionName("array_send"),
			"typmodin", functionName(""), "typmodout", functionName(""), "typanalyze", functionName("array_typanalyze"), "typalign", "i", "typstorage", "x",
			"typnotnull", false, "typbasetype", 0, "typtypmod", -1, "typndims", 0, "typcollation", collation)
	}
}

// functionName is a function of PostgreSQL's by name; none for the empty one.
func functionName(name string) plan.Value {
	if name == "" {
		return plan.RegValue(plan.RegProc, 0, "-")
	}
	return plan.RegValue(plan.RegProc, procOID(name), name)
}

// procOID is the OID of a function's name. Clients look for one of PostgreSQL's by its number.
func procOID(name string) int64 {
	if name == "array_in" {
		return 750
	}
	return hashOID("function " + name)
}

func (w *writer) pgProc() {
	for _, p := range w.c.procs() {
		args := make([]int64, len(p.Args))
		for i, t := range p.Args {
			args[i] = typeOID(t)
		}
		variadic := int64(0)
		if p.More && len(args) > 0 {
			variadic = args[len(args)-1]
		}
		kind := "f"
		if p.Aggregate {
			kind = "a"
		}
		w.row("oid", p.oid, "proname", p.Name, "pronamespace", namespaceOID(p.space), "proowner", oidOwner, "prolang", 12, "procost", 1, "prorows", 0,
			"provariadic", variadic, "prosupport", functionName(""), "prokind", kind, "prosecdef", false, "proleakproof", false, "proisstrict", true,
			"proretset", p.Rows, "provolatile", "i", "proparallel", "s", "pronargs", len(args), "pronargdefaults", 0, "prorettype", p.resultOID(),
			"proargtypes", args, "prosrc", p.Name)
	}
}

func (w *writer) pgDatabase() {
	w.row("oid", oidDatabase, "datname", w.c.o.Database, "datdba", oidOwner, "encoding", 6, "datlocprovider", "c", "datistemplate", false,
		"datallowconn", true, "datconnlimit", -1, "datfrozenxid", 0, "datminmxid", 0, "dattablespace", oidTablespace, "datcollate", "C", "datctype", "C")
}

func (w *writer) pgDescription() {
	for _, t := range w.c.userTables() {
		if s := comment(t); s != "" {
			w.row("objoid", TableOID(t), "classoid", 1259, "objsubid", 0, "description", s)
		}
		for i, a := range attributes(t) {
			if a.comment != "" {
				w.row("objoid", TableOID(t), "classoid", 1259, "objsubid", i+1, "description", a.comment)
			}
		}
	}
	for _, d := range []struct {
		oid  int
		text string
	}{{oidPublic, "the tables"}, {oidQuipu, "the state of the server"}, {oidCatalog, "system catalog schema"}} {
		w.row("objoid", d.oid, "classoid", 2615, "objsubid", 0, "description", d.text)
	}
}

func (w *writer) pgAm() {
	w.row("oid", 2, "amname", "heap", "amhandler", functionName("heap_tableam_handler"), "amtype", "t")
}

func (w *writer) pgTablespace() {
	w.row("oid", oidTablespace, "spcname", "pg_default", "spcowner", oidOwner)
	w.row("oid", 1664, "spcname", "pg_global", "spcowner", oidOwner)
}

func (w *writer) pgLanguage() {
	w.row("oid", 12, "lanname", "internal", "lanowner", oidOwner, "lanispl", false, "lanpltrusted", false, "lanplcallfoid", 0, "laninline", 0, "lanvalidator", 0)
}

func (w *writer) pgCollation() {
	for name, oid := range map[string]int{"default": 100, "C": 950, "POSIX": 951} {
		w.row("oid", oid, "collname", name, "collnamespace", oidCatalog, "collowner", oidOwner, "collprovider", map[bool]string{true: "d", false: "c"}[oid == 100],
			"collisdeterministic", true, "collencoding", -1, "collcollate", "C", "collctype", "C")
	}
}

func (w *writer) pgSettings() {
	for _, s := range w.c.settings() {
		w.row("name", s.Name, "setting", s.Value, "category", "Quipu", "short_desc", s.About, "context", "user", "vartype", "string",
			"source", map[bool]string{true: "default", false: "session"}[s.Value == s.Default], "boot_val", s.Default, "reset_val", s.Default, "pending_restart", false)
	}
	for _, s := range [][3]string{{"max_index_keys", "32", "integer"}, {"max_identifier_length", "63", "integer"}, {"block_size", "8192", "integer"}} {
		w.row("name", s[0], "setting", s[1], "category", "Preset Options", "short_desc", "as PostgreSQL has it, for clients that ask", "context", "internal",
			"vartype", s[2], "source", "default", "boot_val", s[1], "reset_val", s[1], "pending_restart", false)
	}
}

func (c *Catalog) settings() []Setting {
	if c.o.Settings == nil {
		return nil
	}
	return c.o.Settings()
}

func (w *writer) pgTables() {
	for _, r := range w.c.all() {
		if r.kind == "r" {
			w.row("schemaname", r.namespace, "tablename", r.name, "tableowner", w.c.owner(), "hasindexes", false, "hasrules", false, "hastriggers", false, "rowsecurity", false)
		}
	}
}

func (w *writer) quipuTables() {
	w.rows = plan.TableRows(w.c.userTables())
}

func (w *writer) quipuSettings() {
	for _, s := range w.c.settings() {
		w.row("name", s.Name, "value", s.Value, "default", s.Default, "description", s.About)
	}
}
