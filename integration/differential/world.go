package differential

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// kind is the type of an expression, as the generator tells them apart.
type kind uint8

const (
	noKind kind = iota
	intKind
	floatKind  // halves and quarters: both sides compute the same bits
	approxKind // shown and never compared: the last bits depend on the order of a sum, or on the library
	textKind
	boolKind
	timeKind
	spanKind
	intsKind  // int8[]
	textsKind // text[]
)

// dataKinds are the kinds that a dimension has.
var dataKinds = []kind{textKind, intKind, boolKind}

func (k kind) sql() string {
	return [...]string{"", "int8", "float8", "float8", "text", "bool", "timestamptz", "interval", "int8[]", "text[]"}[k]
}

// column is one column of a relation that a statement may read.
type column struct {
	name string // as it is written: quoted where it must be
	kind kind
}

// Table is a contingency table of a world.
type Table struct {
	name    string
	dims    []column
	columns []column // dims, ts where there is a window, count
	notNull []bool
	deflt   []string // SQL, "" for none
	window  bool
}

// World is the tables that statements read.
type World struct {
	Tables []*Table
	Setup  []Pair // in order
	Drop   []Pair
}

// Pair is a statement in the words of each side.
type Pair struct {
	Quipu, Postgres string
	Production      string
}

// Generator makes worlds and statements from a seed.
type Generator struct {
	*rand.Rand
	worlds int
	names  int // of relations and columns that statements make up
	form   form
}

// New is a generator whose statements depend on seed alone.
func New(seed uint64) *Generator {
	return &Generator{Rand: rand.New(rand.NewPCG(seed, 0x9e3779b97f4a7c15))}
}

func (g *Generator) oneIn(k int) bool { return g.IntN(k) == 0 }

func pick[T any](g *Generator, list ...T) T { return list[g.IntN(len(list))] }

// name is one that no relation or column of the statement has yet.
func (g *Generator) name(prefix string) string {
	g.names++
	return fmt.Sprintf("%s%d", prefix, g.names)
}

var texts = []string{"a", "b", "B", "abc", "ab c", "Zürich", "日本", "", "o'hara", "100%", "a_b", `c\d`, "x,y", "null", "10", "-3", "ÄÖ", " pad "}

func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// World makes tables and their rows. PostgreSQL has a table of increments and a view that shows the cells, as Quipu does.
func (g *Generator) World() *World {
	g.worlds++
	w := &World{}
	for i := range 3 {
		t := &Table{name: fmt.Sprintf("t%d_%d", g.worlds, i), window: i == 2}
		if i == 1 {
			t.name = fmt.Sprintf(`"T %d"`, g.worlds)
		}
		for d := range 2 + g.IntN(3) {
			c := column{name: fmt.Sprintf("%c%d", "dek"[i], d), kind: dataKinds[(d+i)%3]}
			if i == 1 && d == 1 {
				c.name = `"Mixed Case"`
			}
			t.dims = append(t.dims, c)
			t.notNull = append(t.notNull, g.oneIn(5))
			t.deflt = append(t.deflt, pick(g, "", g.datum(c.kind), g.datum(c.kind)))
			if t.notNull[d] && t.deflt[d] == "" {
				t.deflt[d] = g.datum(c.kind)
			}
		}
		t.columns = append(t.columns, t.dims...)
		if t.window {
			t.columns = append(t.columns, column{"ts", timeKind})
		}
		t.columns = append(t.columns, column{"count", intKind})
		w.Tables = append(w.Tables, t)
		w.Setup = append(w.Setup, g.create(t)...)
		if i == 0 {
			w.Setup = append(w.Setup, Pair{Production: "INSERT … VALUES", Quipu: g.rows(t, 3)},
				Pair{Production: "TRUNCATE", Quipu: "TRUNCATE " + pick(g, "", "TABLE ") + t.name, Postgres: "TRUNCATE " + t.raw()})
		}
		w.Setup = append(w.Setup, Pair{Production: "INSERT … VALUES", Quipu: g.rows(t, 25+g.IntN(30))})
		w.Drop = append(w.Drop, Pair{Production: "DROP TABLE", Quipu: "DROP TABLE " + pick(g, "", "IF EXISTS ") + t.name, Postgres: "DROP TABLE " + t.raw() + " CASCADE"})
	}
	for i := range w.Setup {
		if w.Setup[i].Postgres == "" {
			w.Setup[i].Postgres = w.Setup[i].Quipu
		}
	}
	return w
}

// raw is PostgreSQL's table of increments.
func (t *Table) raw() string {
	return `"raw_` + strings.Trim(t.name, `"`) + `"`
}

// create makes a table: in PostgreSQL the increments, the view of the cells, and a trigger that makes the view take rows. Now and then its last
// dimension is added afterwards.
func (g *Generator) create(t *Table) []Pair {
	var quipu, raw []string
	for i, d := range t.dims {
		quipu = append(quipu, d.name+" "+pick(g, spellings[d.kind]...)+t.constraints(i))
		raw = append(raw, d.name+" "+d.kind.sql()+t.nullable(i))
	}
	with := ""
	if t.window {
		with = " WITH (window = '1h')"
		raw = append(raw, "ts timestamptz")
	}
	raw = append(raw, "count int8")
	create := "CREATE TABLE " + pick(g, "", "IF NOT EXISTS ") + t.name
	last := len(t.dims) - 1
	if t.deflt[last] == "" || g.oneIn(2) {
		return []Pair{{Production: "CREATE TABLE", Quipu: create + " (" + strings.Join(quipu, ", ") + ")" + with,
			Postgres: "CREATE TABLE " + t.raw() + " (" + strings.Join(raw, ", ") + ");\n" + t.view()}}
	}
	before := *t
	before.dims = t.dims[:last:last]
	before.columns = append(before.dims, t.columns[len(t.dims):]...)
	added := raw[last]
	raw = append(raw[:last:last], raw[last+1:]...)
	return []Pair{
		{Production: "CREATE TABLE", Quipu: create + " (" + strings.Join(quipu[:last], ", ") + ")" + with,
			Postgres: "CREATE TABLE " + t.raw() + " (" + strings.Join(raw, ", ") + ");\n" + before.view()},
		{Production: "INSERT … VALUES", Quipu: g.rows(&before, 5)},
		{Production: "ALTER TABLE", Quipu: "ALTER TABLE " + t.name + " ADD COLUMN " + pick(g, "", "IF NOT EXISTS ") + quipu[last],
			Postgres: "ALTER TABLE " + t.raw() + " ADD COLUMN " + added + " DEFAULT " + t.deflt[last] + ";\nDROP VIEW " + t.name + ";\nDROP FUNCTION " + t.function() + ";\n" + t.view()},
	}
}

// spellings are the names of the types of dimensions.
var spellings = map[kind][]string{textKind: {"text", "varchar", "TEXT"}, intKind: {"bigint", "int8", "int", "integer", "smallint"}, boolKind: {"bool", "boolean"}}

func (t *Table) nullable(i int) string {
	if t.notNull[i] {
		return " NOT NULL"
	}
	return ""
}

func (t *Table) constraints(i int) string {
	if t.deflt[i] != "" {
		return t.nullable(i) + " DEFAULT " + t.deflt[i]
	}
	return t.nullable(i)
}

// function is the one that PostgreSQL's trigger runs.
func (t *Table) function() string { return strings.Replace(t.raw(), "raw_", "add_", 1) }

// view is PostgreSQL's view of the cells, with its trigger.
func (t *Table) view() string {
	var cells, fresh, defaults []string
	for i, d := range t.dims {
		cells, fresh = append(cells, d.name), append(fresh, "NEW."+d.name)
		if t.deflt[i] != "" {
			defaults = append(defaults, fmt.Sprintf("ALTER VIEW %s ALTER %s SET DEFAULT %s;", t.name, d.name, t.deflt[i]))
		}
	}
	key, shown, columns := strings.Join(cells, ", "), strings.Join(cells, ", "), strings.Join(cells, ", ")
	if t.window {
		key += ", date_trunc('hour', ts)"
		shown += ", date_trunc('hour', ts) AS ts"
		columns += ", ts"
		fresh = append(fresh, "NEW.ts")
	}
	return fmt.Sprintf(`CREATE VIEW %[2]s AS SELECT %[3]s, sum(count)::int8 AS count FROM %[1]s GROUP BY %[4]s HAVING sum(count) <> 0;
%[5]s
CREATE FUNCTION %[6]s() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN INSERT INTO %[1]s (%[7]s, count) VALUES (%[8]s, coalesce(NEW.count, 1)); RETURN NEW; END$$;
CREATE TRIGGER add INSTEAD OF INSERT ON %[2]s FOR EACH ROW EXECUTE FUNCTION %[6]s();`,
		t.raw(), t.name, shown, key, strings.Join(defaults, "\n"), t.function(), columns, strings.Join(fresh, ", "))
}

// datum is a literal of a dimension.
func (g *Generator) datum(k kind) string {
	switch k {
	case textKind:
		return quote(pick(g, texts...))
	case intKind:
		if g.oneIn(40) {
			return "9000000000"
		}
		return fmt.Sprint(g.IntN(24) - 4)
	case boolKind:
		return pick(g, "true", "false")
	case timeKind:
		return quote(fmt.Sprintf("2024-%02d-%02d %02d:%02d:00+00", 1+g.IntN(3), 1+g.IntN(28), g.IntN(24), g.IntN(60)))
	}
	panic("no dimension has this kind")
}

// rows is an INSERT of some rows; cells repeat.
func (g *Generator) rows(t *Table, count int) string {
	var names, rows []string
	for _, c := range t.columns {
		names = append(names, c.name)
	}
	for range count {
		var values []string
		for i, c := range t.columns {
			switch {
			case c.name == "count":
				values = append(values, fmt.Sprint(1+g.IntN(20)))
			case i < len(t.dims) && !t.notNull[i] && g.oneIn(6):
				values = append(values, "NULL")
			default:
				values = append(values, g.datum(c.kind))
			}
		}
		rows = append(rows, "("+strings.Join(values, ", ")+")")
	}
	return "INSERT INTO " + t.name + " (" + strings.Join(names, ", ") + ") VALUES " + strings.Join(rows, ", ")
}
