package plan

import (
	"strings"

	"github.com/quipudb/quipu/storage/schema"
)

// Type is the type of a value or of an expression.
type Type uint8

// The types. Their numbers are part of the encoding of fragments.
const (
	Unknown     Type = 0 // a string literal or NULL that takes the type of its surroundings
	Bool        Type = 1
	Int8        Type = 2
	Float8      Type = 3
	Text        Type = 4
	Timestamptz Type = 5
	Interval    Type = 6
	JSON        Type = 7
	Record      Type = 8 // the columns of a test; never the type of a value

	// Names of objects of the catalog: an OID that shows as a name. They and arrays stay at the coordinator.
	RegClass     Type = 9
	RegType      Type = 10
	RegProc      Type = 11
	RegNamespace Type = 12
	RegRole      Type = 13
)

var typeNames = [...]string{"unknown", "bool", "int8", "float8", "text", "timestamptz", "interval", "json", "record",
	"regclass", "regtype", "regproc", "regnamespace", "regrole"}

// IsReg says whether t names objects of the catalog.
func (t Type) IsReg() bool { return t >= RegClass && t <= RegRole }

// String is the SQL name of t.
func (t Type) String() string {
	if t == anyArray {
		return "anyarray"
	}
	if t == Vector {
		return "oidvector"
	}
	if t.IsArray() {
		return t.Elem().String() + "[]"
	}
	if int(t) < len(typeNames) {
		return typeNames[t]
	}
	return "type?"
}

// TypeOf is the type of the values of a dimension.
func TypeOf(d schema.Dimension) Type {
	switch d.Type {
	case schema.Int8:
		return Int8
	case schema.Bool:
		return Bool
	}
	return Text
}

// typeByName knows the spellings that the parser passes on.
func typeByName(name string) (Type, bool) {
	switch name {
	case "bool":
		return Bool, true
	case "int8", "int4", "int2", "oid", "xid", "cid":
		return Int8, true
	case "float8", "float4", "numeric":
		return Float8, true
	case "text", "varchar", "bpchar", "name", "char":
		return Text, true
	case "timestamptz", "timestamp", "date":
		return Timestamptz, true
	case "interval":
		return Interval, true
	case "json", "jsonb":
		return JSON, true
	case "regclass":
		return RegClass, true
	case "regtype":
		return RegType, true
	case "regproc", "regprocedure":
		return RegProc, true
	case "regnamespace":
		return RegNamespace, true
	case "regrole":
		return RegRole, true
	case "int2vector", "oidvector":
		return Vector, true
	}
	if elem, ok := strings.CutPrefix(name, "_"); ok {
		if t, ok := typeByName(elem); ok && !t.IsArray() {
			return ArrayOf(t), true
		}
	}
	return Unknown, false
}

// Column is one column of a result or of a node's rows.
type Column struct {
	Name string
	Type Type
}
