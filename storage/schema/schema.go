// Package schema holds the nouns that every part of Quipu shares: tables and their dimensions, shards and slots,
// applied positions, metadata records. Values are plain and valid by construction or by Validate; nothing here does I/O,
// reads a clock or knows how a value is stored or sent.
//
// A contingency table has dimensions (categorical variables) and a count; a windowed table also has a time bucket:
//
//	t := schema.Table{
//		ID: 7, Version: 1,
//		Name: schema.Name{Database: "quipu", Schema: "public", Table: "admissions"},
//		Dims: []schema.Dimension{{Name: "dept", Type: schema.Text}, {Name: "gender", Type: schema.Text}},
//		PartitionBy: []int{0},
//	}
//	err := t.Validate()
package schema

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Limits that every replica refuses alike. They are part of the contract with writers, not tuning knobs.
const (
	ValueBytesMax      = 1 << 10   // bytes of one category value
	DimensionsMax      = 32        // dimensions of one table
	NameBytesMax       = 63        // bytes of an identifier, as in PostgreSQL
	CardinalityDefault = 1_000_000 // values of one dimension on one shard, unless the table says otherwise
	CardinalityMax     = 1 << 28
	OrderValuesMax     = 4096 // values of one declared order
)

// MaxFuture is how far ahead of the group's log time an event may lie, unless the table says otherwise.
const MaxFuture = time.Hour

// TableID names one incarnation of a table: TRUNCATE gives a new one, and none is ever used again.
type TableID uint64

// ShardID names a data group, from 0.
type ShardID uint32

// Type is what the values of a dimension mean. Values travel and are stored as text in their canonical form.
type Type uint8

const (
	Text    Type = 1 // any UTF-8 text
	Int8    Type = 2 // a signed 64-bit integer, canonical decimal text
	Bool    Type = 3 // "true" or "false"
	Ordered Type = 4 // text with a declared order of its values
)

// String is the SQL spelling of t.
func (t Type) String() string {
	switch t {
	case Text:
		return "text"
	case Int8:
		return "int8"
	case Bool:
		return "bool"
	case Ordered:
		return "text"
	}
	return "type(" + strconv.Itoa(int(t)) + ")"
}

// Value is one category value: text, or NULL, which is a category of its own.
type Value struct {
	Text string
	Null bool
}

// Null is the value NULL.
var Null = Value{Null: true}

// V is the value with text s.
func V(s string) Value { return Value{Text: s} }

// Dimension is one categorical variable of a table.
type Dimension struct {
	Name        string
	Type        Type
	NotNull     bool
	Default     Value    // what an INSERT without the column gets, and what older cells have after ADD COLUMN
	Order       []string // declared order of the values, only for Ordered
	Cardinality uint32   // budget of distinct values on one shard; 0 means CardinalityDefault
}

// Budget is the number of distinct values that d may have on one shard.
func (d Dimension) Budget() uint32 {
	if d.Cardinality == 0 {
		return CardinalityDefault
	}
	return d.Cardinality
}

// Canonical brings the text of v into the canonical form of d's type, or says why it is not a value of it.
func (d Dimension) Canonical(v Value) (Value, error) {
	if v.Null {
		if d.NotNull {
			return v, fmt.Errorf("column %q is NOT NULL", d.Name)
		}
		return Null, nil
	}
	if len(v.Text) > ValueBytesMax {
		return v, fmt.Errorf("value of column %q has %d bytes, the limit is %d", d.Name, len(v.Text), ValueBytesMax)
	}
	if !utf8.ValidString(v.Text) {
		return v, fmt.Errorf("value of column %q is not valid UTF-8", d.Name)
	}
	switch d.Type {
	case Int8:
		n, err := strconv.ParseInt(strings.TrimSpace(v.Text), 10, 64)
		if err != nil {
			return v, fmt.Errorf("value %q of column %q is not an int8", v.Text, d.Name)
		}
		return V(strconv.FormatInt(n, 10)), nil
	case Bool:
		switch strings.ToLower(strings.TrimSpace(v.Text)) {
		case "t", "true", "yes", "on", "1":
			return V("true"), nil
		case "f", "false", "no", "off", "0":
			return V("false"), nil
		}
		return v, fmt.Errorf("value %q of column %q is not a bool", v.Text, d.Name)
	case Ordered:
		if !slices.Contains(d.Order, v.Text) {
			return v, fmt.Errorf("value %q of column %q is not in its declared order (%s)", v.Text, d.Name, strings.Join(d.Order, ", "))
		}
	}
	return v, nil
}

// Name is the catalog key of a table.
type Name struct{ Database, Schema, Table string }

// String is the dotted form.
func (n Name) String() string { return n.Database + "." + n.Schema + "." + n.Table }

// Table is one version of the definition of a contingency table.
type Table struct {
	ID      TableID
	Version uint64 // starts at 1, raised by every ALTER
	Name    Name
	Dims    []Dimension
	// PartitionBy lists the dimensions whose values choose a cell's slot, fixed at CREATE. Empty keeps the table on one shard.
	PartitionBy []int
	Window      time.Duration // length of a time bucket; 0 means the table has no time
	Retention   time.Duration // how long windows are kept; 0 means for ever
	MaxFuture   time.Duration // how far ahead of log time events may lie; 0 means the package's MaxFuture
	Measures    uint8         // int64 values of a cell, 1 in this version
}

// Dim finds the dimension called name, or -1.
func (t *Table) Dim(name string) int {
	return slices.IndexFunc(t.Dims, func(d Dimension) bool { return d.Name == name })
}

// Bucket is the start, in Unix seconds, of the window that the event time (Unix milliseconds) falls in; 0 for a table without time.
func (t *Table) Bucket(eventMillis int64) int64 {
	w := int64(t.Window / time.Second)
	if w <= 0 {
		return 0
	}
	s := floorDiv(eventMillis, 1000)
	return floorDiv(s, w) * w
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b != 0 && (a < 0) != (b < 0) {
		q--
	}
	return q
}

// Clone is a deep copy.
func (t *Table) Clone() *Table {
	c := *t
	c.Dims = slices.Clone(t.Dims)
	for i := range c.Dims {
		c.Dims[i].Order = slices.Clone(c.Dims[i].Order)
	}
	c.PartitionBy = slices.Clone(t.PartitionBy)
	return &c
}
