package plan

import (
	"slices"
	"strconv"

	"github.com/quipudb/quipu/server/errcode"
)

// SystemCatalog gives the relations that are computed, and what functions and casts know of the catalog. It stands for one version
// of it, and for one session.
type SystemCatalog interface {
	// Relation is the one called name in schema, or nil.
	Relation(schema, name string) *Relation
	// Functions lists those that know the catalog by name. Each is a function of the same catalog at every call.
	Functions(name string) []*Function
	// Name is what an OID shows as in a type of names; ok is false if nothing has it.
	Name(t Type, oid int64) (name string, ok bool)
	// OID finds an object by its name.
	OID(t Type, name string) (oid int64, ok bool)
}

// Relation is a table of the system catalogs.
type Relation struct {
	OID     int64
	Columns []Column
	Read    func() ([][]Value, error)
}

// NewSystemFunction is a function that knows the catalog. It sees NULL arguments if nullable.
func NewSystemFunction(name string, result Type, nullable bool, eval func([]Value) (Value, error), args ...Type) *Function {
	return &Function{Name: name, Args: args, Result: result, nullable: nullable, eval: eval, local: true}
}

// FunctionInfo is one function for the catalog.
type FunctionInfo struct {
	Name      string
	Args      []Type // Unknown takes any type
	More      bool   // the last may be repeated
	Result    Type   // Unknown: as the arguments
	Aggregate bool
	Rows      bool // gives rows
	Own       bool // PostgreSQL has none of the name
}

// FunctionList lists the functions that can be called by name, in order.
func FunctionList() []FunctionInfo {
	var out []FunctionInfo
	for _, name := range functionNames() {
		list := functionsByName[name]
		for _, f := range list {
			out = append(out, FunctionInfo{Name: name, Args: f.Args, More: f.More, Result: f.Result, Own: slices.Contains(statFunctions, f)})
		}
		test, scalar := testsByName[name], scalarsByName[name]
		switch {
		case test != nil:
			out = append(out, test.info(name, Record))
		case scalar != nil:
			of := testsByName[scalar.Of]
			out = append(out, of.info(name, of.columns[of.column(scalar.Column)].Type))
		case slices.Contains(aggregateNames, name):
			out = append(out, FunctionInfo{Name: name, Args: []Type{Unknown}, Aggregate: true})
		}
	}
	for _, f := range tableFunctions {
		out = append(out, FunctionInfo{Name: f.Name, Args: f.Args, More: f.More, Result: Record, Rows: true})
	}
	return append(out, FunctionInfo{Name: "crosstab", Args: []Type{Text, Text, Text}, Result: Record, Rows: true, Own: true},
		FunctionInfo{Name: "independence_scan", Args: []Type{Text}, Result: Record, Rows: true, Own: true})
}

// info is a test as a function that gives result.
func (t *Test) info(name string, result Type) FunctionInfo {
	f := FunctionInfo{Name: name, More: t.More, Result: result, Aggregate: true, Own: true}
	for _, c := range t.Cats {
		if c.Kind == Condition {
			f.Args = append(f.Args, Bool)
		} else {
			f.Args = append(f.Args, Unknown)
		}
	}
	return f
}

// castFunction is the cast to t. Names of the catalog are looked up in that of the binder.
func (b *Binder) castFunction(t Type) *Function {
	if !t.IsReg() {
		return castTo[t]
	}
	b.passes()
	f := b.local[t.String()]
	if f == nil {
		f = &Function{Name: t.String(), Args: []Type{Unknown}, Result: t, local: true,
			eval: func(a []Value) (Value, error) { return b.named(a[0], t) }}
		b.local[t.String()] = f
	}
	return f
}

// named finds an object of the catalog by OID or name.
func (b *Binder) named(v Value, t Type) (Value, error) {
	if v.Type.IsArray() || b.System == nil {
		return Null, errcode.New(errcode.NotSupported, "there is no %s here", t)
	}
	oid := v.num
	if v.Type == Text {
		n, err := strconv.ParseInt(v.str, 10, 64)
		switch found, ok := b.System.OID(t, v.str); {
		case err == nil:
			oid = n
		case v.str == "-":
			oid = 0
		case ok:
			oid = found
		default:
			return Null, missing(t, v.str)
		}
	}
	if oid == 0 {
		return RegValue(t, 0, "-"), nil
	}
	name, ok := b.System.Name(t, oid)
	if !ok {
		name = strconv.FormatInt(oid, 10)
	}
	return RegValue(t, oid, name), nil
}

func missing(t Type, name string) error {
	switch t {
	case RegClass:
		return errcode.New(errcode.UnknownTable, "relation %q does not exist", name)
	case RegType:
		return errcode.New(errcode.UnknownSetting, "type %q does not exist", name)
	case RegProc:
		return errcode.New(errcode.UnknownFunction, "function %q does not exist", name)
	case RegNamespace:
		return errcode.New(errcode.UnknownTable, "schema %q does not exist", name)
	}
	return errcode.New(errcode.UnknownSetting, "role %q does not exist", name)
}
