package catalog

import (
	"strconv"

	"github.com/quipudb/quipu/query/plan"
	"github.com/quipudb/quipu/storage/schema"
)

// Size is what a table takes.
type Size struct {
	Cells int64 // that are not zero
	Bytes int64 // on disk, of one replica of each shard, as of the last checkpoints
}

// sizes are those of the tables; nil: they are not known here.
func (c *Catalog) sizes() map[schema.TableID]Size {
	if !c.measured && c.o.Sizes != nil {
		c.known = c.o.Sizes()
	}
	c.measured = true
	return c.known
}

// size is what a relation takes, for who may read it. Computed relations take nothing.
func (c *Catalog) size(r *relation) (Size, bool) {
	if r.table == nil {
		return Size{}, true
	}
	if held, _ := c.privileges(c.self(), r); !held.Has(schema.Select) || c.sizes() == nil {
		return Size{}, false
	}
	return c.sizes()[r.table.ID], true
}

// sizeFunctions give NULL, and no number that is wrong, for what this node does not know.
func (c *Catalog) sizeFunctions() {
	table := func(a []plan.Value) (plan.Value, error) {
		r, err := c.relationOf(a[0])
		if err != nil || r == nil {
			return plan.Null, err
		}
		if s, ok := c.size(r); ok {
			return plan.IntValue(s.Bytes), nil
		}
		return plan.Null, nil
	}
	for _, name := range []string{"pg_table_size", "pg_relation_size", "pg_total_relation_size"} {
		c.functions[name] = []*plan.Function{plan.NewSystemFunction(name, plan.Int8, false, table, plan.Unknown)}
	}
	c.functions["pg_relation_size"] = append(c.functions["pg_relation_size"], plan.NewSystemFunction("pg_relation_size", plan.Int8, false,
		func(a []plan.Value) (plan.Value, error) {
			if a[1].Text() != "main" {
				return plan.IntValue(0), nil // PostgreSQL's other forks
			}
			return table(a)
		}, plan.Unknown, plan.Text))
	c.add("pg_indexes_size", plan.Int8, func([]plan.Value) plan.Value { return plan.IntValue(0) }, plan.Unknown)
	for _, name := range []string{"pg_database_size", "pg_tablespace_size"} {
		c.add(name, plan.Int8, func([]plan.Value) plan.Value { return c.everything() }, plan.Unknown)
	}
	c.add("pg_tablespace_location", plan.Text, func([]plan.Value) plan.Value { return plan.TextValue("") }, plan.Int8)
	c.add("pg_size_pretty", plan.Text, func(a []plan.Value) plan.Value { return plan.TextValue(prettySize(a[0].Int())) }, plan.Int8)
}

// everything is what all tables of the database take, to everybody: it tells of no table.
func (c *Catalog) everything() plan.Value {
	sizes, sum := c.sizes(), int64(0)
	if sizes == nil {
		return plan.Null
	}
	for _, t := range c.userTables() {
		sum += sizes[t.ID].Bytes
	}
	return plan.IntValue(sum)
}

// prettySize rounds as PostgreSQL does: a unit is kept up to ten thousand of it, and rounded by its last half.
func prettySize(n int64) string {
	if n > -10*1024 && n < 10*1024 {
		return strconv.FormatInt(n, 10) + " bytes"
	}
	n /= 512
	units := [...]string{"kB", "MB", "GB", "TB", "PB"}
	for i, unit := range units {
		if n > -20*1024+1 && n < 20*1024-1 || i == len(units)-1 {
			if n < 0 {
				n--
			} else {
				n++
			}
			return strconv.FormatInt(n/2, 10) + " " + unit
		}
		n /= 1024
	}
	return ""
}
