package plan

import (
	"slices"

	"github.com/quipudb/quipu/query/sql"
	"github.com/quipudb/quipu/server/errcode"
	"github.com/quipudb/quipu/storage/schema"
)

// scope is what the names of one SELECT block may refer to.
type scope struct {
	rels []relation
	cols []scopeColumn // of all relations, in order; their places are the input row
}

type relation struct {
	name    string        // alias, or the table's name; may be empty
	schema  string        // of a table that has no alias
	table   *schema.Table // nil unless it is a table
	from    int           // first column
	columns int
}

type scopeColumn struct {
	name   string
	typ    Type
	order  []string // declared order of the values
	merged bool     // the right side of a USING column: not shown by *, not found by name alone
}

func (s *scope) add(name, schemaName string, t *schema.Table, cols []scopeColumn) {
	s.rels = append(s.rels, relation{name: name, schema: schemaName, table: t, from: len(s.cols), columns: len(cols)})
	s.cols = append(s.cols, cols...)
}

// tableColumns are the columns of a row of cells: the dimensions, ts, count. A table without time has no column called ts.
func tableColumns(t *schema.Table) []scopeColumn {
	var cols []scopeColumn
	for _, d := range t.Dims {
		c := scopeColumn{name: d.Name, typ: TypeOf(d)}
		if d.Type == schema.Ordered {
			c.order = d.Order
		}
		cols = append(cols, c)
	}
	ts := scopeColumn{name: "ts", typ: Timestamptz}
	if t.Window == 0 {
		ts.name = ""
	}
	return append(cols, ts, scopeColumn{name: "count", typ: Int8})
}

// find resolves a column.
func (b *Binder) find(s *scope, c *sql.Column) (*Expr, error) {
	found := -1
	for _, r := range s.rels {
		if c.Table != "" && (c.Table != r.name || c.Schema != "" && c.Schema != r.schema) {
			continue
		}
		for i := r.from; i < r.from+r.columns; i++ {
			if s.cols[i].name != c.Name || s.cols[i].merged && c.Table == "" {
				continue
			}
			if found >= 0 {
				return nil, b.fail(c.Pos, errcode.AmbiguousColumn, "column reference %q is ambiguous", c.Name)
			}
			found = i
		}
	}
	if found < 0 {
		return nil, b.unknownColumn(s, c)
	}
	e := ColumnRef(found, s.cols[found].typ)
	e.order, e.at = s.cols[found].order, c.Pos
	return e, nil
}

func (b *Binder) unknownColumn(s *scope, c *sql.Column) error {
	if c.Table != "" && !slices.ContainsFunc(s.rels, func(r relation) bool { return r.name == c.Table }) {
		err := b.fail(c.Pos, errcode.UnknownTable, "missing FROM-clause entry for table %q", c.Table)
		var names []string
		for _, r := range s.rels {
			names = append(names, r.name)
		}
		if near, ok := Nearest(c.Table, names); ok {
			return err.WithHint("did you mean %q?", near)
		}
		return err
	}
	name := c.Name
	if c.Table != "" {
		name = c.Table + "." + c.Name
	}
	err := b.fail(c.Pos, errcode.UnknownColumn, "column %q does not exist", name)
	var names []string
	for _, col := range s.cols {
		if col.name != "" {
			names = append(names, col.name)
		}
	}
	if near, ok := Nearest(c.Name, names); ok {
		return err.WithHint("did you mean %q?", near)
	}
	if c.Name == "ts" && len(s.rels) == 1 && s.rels[0].table != nil {
		return err.WithHint("table %q has no time; create it WITH (window = '1h') to have one", s.rels[0].table.Name.Table)
	}
	if len(names) > 0 && len(names) <= 12 {
		list := ""
		for i, n := range names {
			if i > 0 {
				list += ", "
			}
			list += n
		}
		return err.WithHint("the columns are %s", list)
	}
	return err
}
