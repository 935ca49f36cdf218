package plan

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/quipudb/quipu/query/sql"
	"github.com/quipudb/quipu/server/errcode"
	"github.com/quipudb/quipu/storage/schema"
)

// TableChange is what ALTER TABLE changes; nil fields stay.
type TableChange struct {
	Retention *time.Duration
	MaxFuture *time.Duration
	AddDims   []schema.Dimension
}

var tableOptions = []string{"window", "retention", "partition_by", "max_future", "cardinality"}

// CreateTable makes the definition that the statement asks for, without ID and Version.
func (b *Binder) CreateTable(s *sql.CreateTable) (*schema.Table, error) {
	t := &schema.Table{Name: b.TableName(s.Name), Measures: 1}
	for _, c := range s.Columns {
		d, err := b.dimension(c)
		if err != nil {
			return nil, err
		}
		if t.Dim(d.Name) >= 0 {
			return nil, b.fail(c.Pos, errcode.DuplicateColumn, "column %q specified more than once", d.Name)
		}
		if d.Name == "count" || d.Name == "ts" {
			return nil, b.fail(c.Pos, errcode.DuplicateColumn, "column name %q is taken: every table has it", d.Name).
				WithHint("name only the dimensions; a time needs WITH (window = '1h')")
		}
		t.Dims = append(t.Dims, d)
		t.PartitionBy = append(t.PartitionBy, len(t.PartitionBy))
	}
	for _, o := range s.Options {
		if err := b.tableOption(t, o); err != nil {
			return nil, err
		}
	}
	if err := t.Validate(); err != nil {
		return nil, b.fail(s.Pos, errcode.InvalidOption, "%v", err)
	}
	return t, nil
}

func (b *Binder) dimension(c sql.ColumnDef) (schema.Dimension, error) {
	d := schema.Dimension{Name: c.Name, NotNull: c.NotNull, Default: schema.Null}
	switch c.Type.Name.Name {
	case "int8":
		d.Type = schema.Int8
	case "bool":
		d.Type = schema.Bool
	default:
		d.Type = schema.Text
	}
	for _, l := range c.Order {
		d.Type = schema.Ordered
		if slices.Contains(d.Order, l.Text) {
			return d, b.fail(l.Pos, errcode.InvalidOption, "value %q stands twice in the order of column %q", l.Text, d.Name)
		}
		d.Order = append(d.Order, l.Text)
	}
	if c.Default == nil {
		return d, nil
	}
	x, err := (&exprBinder{Binder: b, scope: &scope{}, clause: "DEFAULT"}).value(c.Default)
	if err != nil {
		return d, err
	}
	if !x.isConst() {
		return d, b.fail(c.Default.At(), errcode.InvalidOption, "the default of column %q is not a constant", d.Name)
	}
	v, err := d.Canonical(SchemaValue(x.Value))
	if err != nil {
		return d, b.fail(c.Default.At(), errcode.InvalidOption, "default: %v", err)
	}
	d.Default = v
	return d, nil
}

// SchemaValue is v as a category value.
func SchemaValue(v Value) schema.Value {
	if v.IsNull() {
		return schema.Null
	}
	text, _ := castText(v)
	return schema.V(text.str)
}

// FromSchema is the category value v of a dimension as a value of type t.
func FromSchema(v string, t Type) Value {
	switch t {
	case Int8:
		if n, err := strconv.ParseInt(v, 10, 64); err == nil {
			return IntValue(n)
		}
		return Null
	case Bool:
		return BoolValue(v == "true")
	}
	return TextValue(v)
}

func (b *Binder) tableOption(t *schema.Table, o sql.Option) error {
	name, column, ofColumn := strings.Cut(o.Name, ".")
	if ofColumn && name != "cardinality" || !slices.Contains(tableOptions, name) {
		err := b.fail(o.Pos, errcode.InvalidOption, "unrecognized option %q", o.Name)
		if near, ok := Nearest(o.Name, tableOptions); ok {
			return err.WithHint("did you mean %q?", near)
		}
		return err.WithHint("the options are %s", strings.Join(tableOptions, ", "))
	}
	switch name {
	case "window", "retention", "max_future":
		d, err := b.duration(o)
		if err != nil {
			return err
		}
		*map[string]*time.Duration{"window": &t.Window, "retention": &t.Retention, "max_future": &t.MaxFuture}[name] = d
	case "partition_by":
		return b.partitionBy(t, o)
	case "cardinality":
		return b.cardinality(t, o, column)
	}
	return nil
}

func (b *Binder) duration(o sql.Option) (time.Duration, error) {
	v, ok := ParseInterval(o.Value)
	if ok && v.months == 0 && v.num >= 0 && v.days >= 0 && int64(v.days) < 100_000 && v.num < 1<<53 {
		return time.Duration(v.days)*24*time.Hour + time.Duration(v.num)*time.Microsecond, nil
	}
	err := b.fail(o.ValuePos, errcode.InvalidOption, "invalid value for option %q: %q", o.Name, o.Value)
	return 0, err.WithHint("give a span without months, for example '1h' or '90d'")
}

func (b *Binder) partitionBy(t *schema.Table, o sql.Option) error {
	t.PartitionBy = nil
	if strings.TrimSpace(o.Value) == "" && len(o.List) == 0 {
		return nil
	}
	names := strings.Split(o.Value, ",")
	if o.Kind == sql.OptionList {
		names = nil
		for _, id := range o.List {
			names = append(names, id.Name)
		}
	}
	var known []string
	for _, d := range t.Dims {
		known = append(known, d.Name)
	}
	for _, n := range names {
		n = strings.TrimSpace(n)
		i := t.Dim(n)
		if i < 0 {
			err := b.fail(o.ValuePos, errcode.UnknownColumn, "partition_by: column %q does not exist", n)
			if near, ok := Nearest(n, known); ok {
				return err.WithHint("did you mean %q?", near)
			}
			return err
		}
		t.PartitionBy = append(t.PartitionBy, i)
	}
	return nil
}

func (b *Binder) cardinality(t *schema.Table, o sql.Option, column string) error {
	n, err := strconv.ParseUint(o.Value, 10, 32)
	if err != nil || n == 0 || n > schema.CardinalityMax {
		return b.fail(o.ValuePos, errcode.InvalidOption, "invalid value for option %q: %q", o.Name, o.Value).
			WithHint("give a whole number from 1 to %d", schema.CardinalityMax)
	}
	if column == "" {
		for i := range t.Dims {
			if t.Dims[i].Cardinality == 0 {
				t.Dims[i].Cardinality = uint32(n)
			}
		}
		return nil
	}
	i := t.Dim(column)
	if i < 0 {
		return b.fail(o.Pos, errcode.UnknownColumn, "cardinality: column %q does not exist", column)
	}
	t.Dims[i].Cardinality = uint32(n)
	return nil
}

// AlterTable makes the change that the statement asks for; t is the table as it is.
func (b *Binder) AlterTable(s *sql.AlterTable, t *schema.Table) (TableChange, error) {
	var c TableChange
	for _, a := range s.Actions {
		var err error
		switch a := a.(type) {
		case *sql.SetOptions:
			for _, o := range a.Options {
				err = b.alterOption(&c, o)
				if err != nil {
					return c, err
				}
			}
		case *sql.ResetOptions:
			for _, n := range a.Names {
				if err := b.resetOption(&c, n); err != nil {
					return c, err
				}
			}
		case *sql.AddColumn:
			err = b.addColumn(&c, a, t)
		default:
			err = b.unsupported(a.At(), "this change of a table")
		}
		if err != nil {
			return c, err
		}
	}
	return c, nil
}

func (b *Binder) alterOption(c *TableChange, o sql.Option) error {
	switch o.Name {
	case "retention", "max_future":
		d, err := b.duration(o)
		if err != nil {
			return err
		}
		if o.Name == "retention" {
			c.Retention = &d
		} else {
			c.MaxFuture = &d
		}
		return nil
	case "window", "partition_by", "cardinality":
		return b.fail(o.Pos, errcode.InvalidOption, "option %q is fixed when the table is created", o.Name).
			WithHint("create another table and INSERT INTO it SELECT … FROM this one")
	}
	return b.fail(o.Pos, errcode.InvalidOption, "unrecognized option %q", o.Name).WithHint("retention and max_future can be changed")
}

func (b *Binder) resetOption(c *TableChange, n sql.Ident) error {
	var zero time.Duration
	switch n.Name {
	case "retention":
		c.Retention = &zero
	case "max_future":
		c.MaxFuture = &zero
	default:
		return b.fail(n.Pos, errcode.InvalidOption, "option %q cannot be reset", n.Name).WithHint("retention and max_future can be changed")
	}
	return nil
}

func (b *Binder) addColumn(c *TableChange, a *sql.AddColumn, t *schema.Table) error {
	d, err := b.dimension(a.Column)
	if err != nil {
		return err
	}
	taken := d.Name == "count" || d.Name == "ts" || t.Dim(d.Name) >= 0 ||
		slices.ContainsFunc(c.AddDims, func(o schema.Dimension) bool { return o.Name == d.Name })
	if taken {
		if a.IfNotExists {
			return nil
		}
		return b.fail(a.Column.Pos, errcode.DuplicateColumn, "column %q of table %q already exists", d.Name, t.Name.Table)
	}
	if d.NotNull && d.Default.Null {
		return b.fail(a.Column.Pos, errcode.InvalidOption, "column %q is NOT NULL and needs a DEFAULT for the cells there are", d.Name)
	}
	c.AddDims = append(c.AddDims, d)
	return nil
}
