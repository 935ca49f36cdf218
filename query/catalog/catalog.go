// Package catalog computes the system catalogs: pg_catalog and information_schema as PostgreSQL 15 has them, and the schema quipu. Clients
// of PostgreSQL learn of tables, columns, types and functions by querying them, so they are relations like any other and every query over
// them is planned and run as usual; no text of a driver is known here.
//
//	c := catalog.New(catalog.Options{View: view, Database: "quipu", Principal: "me"})
//	r := c.Relation("pg_catalog", "pg_class")
//	rows, err := r.Read()
//
// Each relation of PostgreSQL has its columns (relations.txt). Those that describe what exists here have rows; the others are empty.
// OIDs are the same at every node and after every restart: PostgreSQL's where it has the object, 16384 plus the table's number for a
// table, and a hash of the name for the rest.
package catalog

import (
	"strings"

	"github.com/quipudb/quipu/query/plan"
	"github.com/quipudb/quipu/storage/schema"
)

// Options are what a Catalog shows.
type Options struct {
	View      plan.Catalog
	Database  string
	Principal string
	Version   string                         // of the server, as PostgreSQL's settings give it
	Settings  func() []Setting               // of the session
	Directory func() Directory               // of roles and rights; asked once, if at all. nil: there is no role
	Sizes     func() map[schema.TableID]Size // of the tables, asked once, if at all; nil, also what it gives: they are not known
	// Live gives the rows of a table of schema quipu that is not computed here, in the order of its columns; nil: they have none.
	Live func(table string) ([][]plan.Value, error)
}

// Setting is one setting of a session.
type Setting struct{ Name, Value, Default, About string }

// Catalog is the system catalogs at one version, for one session. It is not for several goroutines at once.
type Catalog struct {
	o         Options
	relations map[string]*plan.Relation
	functions map[string][]*plan.Function
	cached    map[string][][]plan.Value
	tables    []*schema.Table

	asked         bool // the directory
	rights        Directory
	listed        []role                  // what roles gives
	measured      bool                    // the sizes
	known         map[schema.TableID]Size // what sizes gives
	everyRelation []relation              // what all gives
	byOID         map[int64]*relation     // the same
}

// New makes a catalog. Nothing is computed before it is asked for.
func New(o Options) *Catalog {
	return &Catalog{o: o, relations: map[string]*plan.Relation{}, cached: map[string][][]plan.Value{}}
}

// Relation is the one called name in schema, or nil.
func (c *Catalog) Relation(space, name string) *plan.Relation {
	full := space + "." + name
	if r := c.relations[full]; r != nil {
		return r
	}
	d := definitions().byName[full]
	if d == nil {
		return nil
	}
	r := &plan.Relation{OID: d.oid, Columns: d.columns, Read: func() ([][]plan.Value, error) { return c.rows(d) }}
	c.relations[full] = r
	return r
}

// rows computes the rows of a relation once.
func (c *Catalog) rows(d *definition) ([][]plan.Value, error) {
	if rows, ok := c.cached[d.full()]; ok {
		return rows, nil
	}
	var rows [][]plan.Value
	switch fill := filler(d.full()); {
	case fill != nil:
		w := &writer{c: c, d: d}
		fill(w)
		rows = w.rows
	case d.schema == "quipu" && c.o.Live != nil:
		var err error
		if rows, err = c.o.Live(d.name); err != nil {
			return nil, err
		}
	}
	c.cached[d.full()] = rows
	return rows, nil
}

// userTables are the tables of the database, in the order of their names.
func (c *Catalog) userTables() []*schema.Table {
	if c.tables == nil {
		c.tables = c.o.View.Tables(c.o.Database)
	}
	return c.tables
}

// writer makes the rows of one relation. Columns that are not given are NULL.
type writer struct {
	c    *Catalog
	d    *definition
	rows [][]plan.Value
}

// row adds a row: name, value, name, value, …
func (w *writer) row(pairs ...any) {
	row := make([]plan.Value, len(w.d.columns))
	for i := 0; i < len(pairs); i += 2 {
		at, ok := w.d.places[pairs[i].(string)]
		if !ok {
			panic("catalog: " + w.d.full() + " has no column " + pairs[i].(string))
		}
		row[at] = value(pairs[i+1], w.d.columns[at].Type)
	}
	w.rows = append(w.rows, row)
}

// set gives a column of the last row its value.
func (w *writer) set(name string, v any) {
	at := w.d.places[name]
	w.rows[len(w.rows)-1][at] = value(v, w.d.columns[at].Type)
}

func value(v any, t plan.Type) plan.Value {
	switch v := v.(type) {
	case nil:
		return plan.Null
	case plan.Value:
		return v
	case bool:
		return plan.BoolValue(v)
	case int:
		return number(int64(v), t)
	case int64:
		return number(v, t)
	case string:
		return plan.TextValue(v)
	case []string:
		list := make([]plan.Value, len(v))
		for i, s := range v {
			list[i] = plan.TextValue(s)
		}
		return plan.ArrayValue(plan.Text, list)
	case []int64:
		if t == plan.Vector {
			return plan.VectorValue(v)
		}
		list := make([]plan.Value, len(v))
		for i, n := range v {
			list[i] = plan.IntValue(n)
		}
		return plan.ArrayValue(plan.Int8, list)
	}
	panic("catalog: a value of a kind that no column has")
}

func number(n int64, t plan.Type) plan.Value {
	switch {
	case t == plan.Float8:
		return plan.FloatValue(float64(n))
	case t.IsReg():
		return plan.RegValue(t, n, "-")
	}
	return plan.IntValue(n)
}

// visible says whether the objects of a schema are found without its name.
func visible(space string) bool { return space == "public" || space == "pg_catalog" }

// quoteIdent quotes a name where SQL needs that.
func quoteIdent(s string) string {
	plain := s != ""
	for i, r := range s {
		if !(r >= 'a' && r <= 'z' || r == '_' || i > 0 && r >= '0' && r <= '9') {
			plain = false
		}
	}
	if plain && !reservedWords()[s] {
		return s
	}
	return `"` + strings.ReplaceAll(s, `"`, `""`) + `"`
}
