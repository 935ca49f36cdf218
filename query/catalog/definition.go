package catalog

import (
	_ "embed"
	"hash/fnv"
	"strconv"
	"strings"
	"sync"

	"github.com/quipudb/quipu/query/plan"
	"github.com/quipudb/quipu/query/sql"
)

//go:embed relations.txt
var relationsText string

//go:embed quipu.txt
var quipuText string

// definition is a relation of relations.txt or quipu.txt.
type definition struct {
	schema, name string
	oid          int64
	columns      []plan.Column
	places       map[string]int
}

func (d *definition) full() string { return d.schema + "." + d.name }

// kind is relkind: tables and views of PostgreSQL as it has them, tables for those of quipu, so that \dt lists them.
func (d *definition) kind() string {
	if d.schema == "information_schema" || d.schema == "pg_catalog" && d.oid >= 10_000 {
		return "v"
	}
	return "r"
}

type definitionSet struct {
	list   []*definition
	byName map[string]*definition
}

// definitions are parsed once and never change.
var definitions = sync.OnceValue(func() *definitionSet {
	s := &definitionSet{byName: map[string]*definition{}}
	for line := range strings.Lines(relationsText + quipuText) {
		s.read(strings.TrimRight(line, "\n"))
	}
	return s
})

func (s *definitionSet) read(line string) {
	if line == "" || line[0] == '#' {
		return
	}
	words := strings.Fields(line)
	if line[0] != ' ' {
		space, name, _ := strings.Cut(words[0], ".")
		d := &definition{schema: space, name: name, oid: hashOID(words[0]), places: map[string]int{}}
		if len(words) > 1 {
			n, err := strconv.ParseInt(words[1], 10, 64)
			if err != nil {
				panic("catalog: " + err.Error())
			}
			d.oid = n
		}
		s.list, s.byName[d.full()] = append(s.list, d), d
		return
	}
	d := s.list[len(s.list)-1]
	for _, w := range words {
		name, of, _ := strings.Cut(w, ":")
		d.places[name] = len(d.columns)
		d.columns = append(d.columns, plan.Column{Name: name, Type: typeNamed(of)})
	}
}

func typeNamed(s string) plan.Type {
	elem, array := strings.CutSuffix(s, "[]")
	if s == "vector" {
		return plan.Vector
	}
	for t := plan.Bool; t <= plan.RegRole; t++ {
		if t.String() == elem {
			if array {
				return plan.ArrayOf(t)
			}
			return t
		}
	}
	panic("catalog: no type " + s)
}

// hashOID is the OID of what PostgreSQL has no number for: stable, as it comes from the name alone, and from 1<<30 up, which no table
// reaches.
func hashOID(name string) int64 {
	h := fnv.New32a()
	h.Write([]byte(name))
	return 1<<30 | int64(h.Sum32()&(1<<30-1))
}

// OIDs of schemas and of what else has one of PostgreSQL's.
const (
	oidCatalog     = 11
	oidPublic      = 2200
	oidInformation = 13_000
	oidQuipu       = 9_000
	oidOwner       = 10
	oidDatabase    = 5
	oidTablespace  = 1663
	oidFirstTable  = 16_384
)

var namespaces = []struct {
	name string
	oid  int64
}{{"information_schema", oidInformation}, {"pg_catalog", oidCatalog}, {"public", oidPublic}, {"quipu", oidQuipu}}

func namespaceOID(name string) int64 {
	for _, n := range namespaces {
		if n.name == name {
			return n.oid
		}
	}
	return 0
}

// pgType is a row of pg_type. Arrays follow from the types that have one.
type pgType struct {
	oid, array int64
	name       string
	sql        string // as format_type spells it
	size       int64
	category   string
	kind       string // typtype
	here       plan.Type
}

var pgTypes = []pgType{
	{16, 1000, "bool", "boolean", 1, "B", "b", plan.Bool}, {17, 1001, "bytea", "bytea", -1, "U", "b", 0},
	{18, 1002, "char", `"char"`, 1, "Z", "b", 0}, {19, 1003, "name", "name", 64, "S", "b", 0},
	{20, 1016, "int8", "bigint", 8, "N", "b", plan.Int8}, {21, 1005, "int2", "smallint", 2, "N", "b", 0},
	{22, 1006, "int2vector", "int2vector", -1, "A", "b", 0}, {23, 1007, "int4", "integer", 4, "N", "b", 0},
	{24, 1008, "regproc", "regproc", 4, "N", "b", plan.RegProc}, {25, 1009, "text", "text", -1, "S", "b", plan.Text},
	{26, 1028, "oid", "oid", 4, "N", "b", 0}, {27, 1010, "tid", "tid", 6, "U", "b", 0}, {28, 1011, "xid", "xid", 4, "U", "b", 0},
	{29, 1012, "cid", "cid", 4, "U", "b", 0}, {30, 1013, "oidvector", "oidvector", -1, "A", "b", 0},
	{114, 199, "json", "json", -1, "U", "b", plan.JSON}, {194, 0, "pg_node_tree", "pg_node_tree", -1, "Z", "b", 0},
	{700, 1021, "float4", "real", 4, "N", "b", 0}, {701, 1022, "float8", "double precision", 8, "N", "b", plan.Float8},
	{705, 0, "unknown", "unknown", -2, "X", "p", plan.Unknown}, {869, 1041, "inet", "inet", -1, "I", "b", 0},
	{1033, 1034, "aclitem", "aclitem", 12, "U", "b", 0}, {1042, 1014, "bpchar", "character", -1, "S", "b", 0},
	{1043, 1015, "varchar", "character varying", -1, "S", "b", 0}, {1082, 1182, "date", "date", 4, "D", "b", 0},
	{1083, 1183, "time", "time without time zone", 8, "D", "b", 0}, {1114, 1115, "timestamp", "timestamp without time zone", 8, "D", "b", 0},
	{1184, 1185, "timestamptz", "timestamp with time zone", 8, "D", "b", plan.Timestamptz},
	{1186, 1187, "interval", "interval", 16, "T", "b", plan.Interval}, {1266, 1270, "timetz", "time with time zone", 12, "D", "b", 0},
	{1700, 1231, "numeric", "numeric", -1, "N", "b", 0}, {2202, 2207, "regprocedure", "regprocedure", 4, "N", "b", 0},
	{2205, 2210, "regclass", "regclass", 4, "N", "b", plan.RegClass}, {2206, 2211, "regtype", "regtype", 4, "N", "b", plan.RegType},
	{2249, 2287, "record", "record", -1, "P", "p", plan.Record}, {2276, 0, "any", `"any"`, 4, "P", "p", 0},
	{2277, 0, "anyarray", "anyarray", -1, "P", "p", 0}, {2278, 0, "void", "void", 4, "P", "p", 0},
	{2283, 0, "anyelement", "anyelement", 4, "P", "p", 0}, {2950, 2951, "uuid", "uuid", 16, "U", "b", 0},
	{3802, 3807, "jsonb", "jsonb", -1, "U", "b", 0}, {4089, 4090, "regnamespace", "regnamespace", 4, "N", "b", plan.RegNamespace},
	{4096, 4097, "regrole", "regrole", 4, "N", "b", plan.RegRole},
}

// typeOID is the OID of a type of expressions.
func typeOID(t plan.Type) int64 {
	if t == plan.Vector {
		return 30
	}
	if t == plan.Unknown {
		return 2276 // any, of a function that takes every type
	}
	for _, p := range pgTypes {
		switch {
		case p.here != plan.Unknown && p.here == t:
			return p.oid
		case p.here != plan.Unknown && plan.ArrayOf(p.here) == t:
			return p.array
		}
	}
	return 2277
}

// typeSpelling is format_type of an OID; ok is false if there is no such type.
func typeSpelling(oid int64) (string, bool) {
	for _, p := range pgTypes {
		switch {
		case p.oid == oid:
			return p.sql, true
		case p.array == oid && oid != 0:
			return p.sql + "[]", true
		}
	}
	return "", false
}

func typeByName(name string) (int64, bool) {
	elem, array := strings.CutSuffix(name, "[]")
	if under, ok := strings.CutPrefix(elem, "_"); ok {
		elem, array = under, true
	}
	for _, p := range pgTypes {
		if p.name == strings.Trim(elem, `"`) || p.sql == elem || elem == "int" && p.name == "int4" {
			if array {
				return p.array, p.array != 0
			}
			return p.oid, true
		}
	}
	return 0, false
}

var reservedWords = sync.OnceValue(func() map[string]bool {
	m := map[string]bool{}
	for _, k := range sql.Keywords() {
		m[k.Word] = true
	}
	return m
})
