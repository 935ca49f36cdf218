package plan

import (
	"github.com/quipudb/quipu/query/sql"
	"github.com/quipudb/quipu/server/errcode"
	"github.com/quipudb/quipu/storage/schema"
)

// scope is what the names of one SELECT block may refer to.
type scope struct {
	rels []relation
	cols []scopeColumn // of all relations, in order; their places are the input row
}

// outerScope is a scope around the query that is being bound: names that the query does not know may be its columns. Each of these
// becomes a value that the subquery is given before it runs.
type outerScope struct {
	expr *exprBinder // binds in that scope
	sub  *Subquery
	args []*Expr // over a row of the scope, beside sub.cells
	next *outerScope
}

// lookUp finds a column of an outer query, nil if there is none.
func (b *Binder) lookUp(o *outerScope, c *sql.Column) (*Expr, error) {
	if o == nil {
		return nil, nil
	}
	inner := b.outer
	b.outer = o.next
	x, err := b.findOrNot(o.expr.scope, c)
	b.outer = inner
	if x == nil || err != nil {
		return x, err
	}
	return o.value(x), nil
}

// value is x of the outer row as the subquery sees it.
func (o *outerScope) value(x *Expr) *Expr {
	for i, a := range o.args {
		if a.Equal(x) {
			return &Expr{Kind: exprOuter, Type: x.Type, cell: o.sub.cells[i], order: x.order, at: x.at}
		}
	}
	cell := new(Value)
	o.args, o.sub.cells = append(o.args, x), append(o.sub.cells, cell)
	return &Expr{Kind: exprOuter, Type: x.Type, cell: cell, order: x.order, at: x.at}
}

type relation struct {
	name    string        // alias, or the table's name; may be empty
	schema  string        // of a table that has no alias
	table   *schema.Table // nil unless it is a table
	system  *System       // nil unless it is one
	extra   bool          // another name of columns that * and plain names find elsewhere
	from    int           // first column
	columns int
}

type scopeColumn struct {
	name   string
	typ    Type
	order  []string // declared order of the values
	merged bool     // a side of a USING column: not shown by *, not found by name alone
	same   int      // of a USING column: how far behind it the side is that it is the same as; 0: none
}

// side is the column that a USING column is the same as, and any other one itself.
func (s *scope) side(i int) int { return i + s.cols[i].same }

// ref refers to a column; to a USING column by the side that it is the same as, so that who groups by one groups by both.
func (s *scope) ref(i int, at sql.Pos) *Expr { return s.own(s.side(i), at) }

// own refers to a column by itself. So does the name behind USING, whose columns PostgreSQL tells from the sides in grouping sets.
func (s *scope) own(i int, at sql.Pos) *Expr {
	e := ColumnRef(i, s.cols[i].typ)
	e.order, e.at = s.cols[i].order, at
	return e
}

// hide takes a column that stands in USING out of those that are found by name alone.
func (s *scope) hide(name string) {
	for i := range s.cols {
		s.cols[i].merged = s.cols[i].merged || s.cols[i].name == name
	}
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

// find resolves a column of the block, or of a query around it.
func (b *Binder) find(s *scope, c *sql.Column) (*Expr, error) {
	x, err := b.findOrNot(s, c)
	if x == nil && err == nil {
		err = b.unknownColumn(s, c)
	}
	return x, err
}

func (b *Binder) findOrNot(s *scope, c *sql.Column) (*Expr, error) {
	found, ref := -1, s.ref
	for _, r := range s.rels {
		if c.Table != "" && (c.Table != r.name || c.Schema != "" && c.Schema != r.schema) || c.Table == "" && r.extra {
			continue
		}
		for i := r.from; i < r.from+r.columns; i++ {
			if s.cols[i].name != c.Name || s.cols[i].merged && c.Table == "" {
				continue
			}
			if found >= 0 {
				return nil, b.fail(c.Pos, errcode.AmbiguousColumn, "column reference %q is ambiguous", c.Name)
			}
			if found = i; r.extra {
				ref = s.own
			}
		}
	}
	if found < 0 {
		if r := s.relation(c); r != nil && c.Table != "" {
			if x := r.hidden(c.Name); x != nil {
				return x, nil
			}
			return nil, b.unknownColumn(s, c)
		}
		if c.Table == "" && len(s.rels) == 1 && hiddenColumns[c.Name] {
			if x := s.rels[0].hidden(c.Name); x != nil {
				return x, nil
			}
		}
		return b.lookUp(b.outer, c)
	}
	return ref(found, c.Pos), nil
}

// hiddenColumns are those that relations of PostgreSQL have and * does not show.
var hiddenColumns = map[string]bool{"tableoid": true, "xmin": true, "xmax": true, "cmin": true, "cmax": true, "ctid": true}

// hidden is a column of PostgreSQL's catalogs that is not among those of version 15: NULL, so that clients made for later versions go on.
func (r *relation) hidden(name string) *Expr {
	switch {
	case r.system == nil || r.system.schema == "quipu":
		return nil
	case name == "tableoid":
		return Constant(IntValue(r.system.oid))
	case hiddenColumns[name]:
		return typedNull(Int8)
	}
	return typedNull(Unknown)
}

// relation is the one that qualifies c.
func (s *scope) relation(c *sql.Column) *relation {
	for i, r := range s.rels {
		if c.Table == r.name && (c.Schema == "" || c.Schema == r.schema) {
			return &s.rels[i]
		}
	}
	return nil
}

func (b *Binder) unknownColumn(s *scope, c *sql.Column) error {
	if c.Table != "" && s.relation(c) == nil {
		table := c.Table
		if c.Schema != "" {
			table = c.Schema + "." + table
		}
		err := b.fail(c.Pos, errcode.UnknownTable, "missing FROM-clause entry for table %q", table)
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
