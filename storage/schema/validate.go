package schema

import (
	"errors"
	"fmt"
	"slices"
	"time"
	"unicode/utf8"
)

// reserved are the implicit columns of every table.
var reserved = []string{"count", "ts"}

// Validate says what is wrong with t, or nil. Every replica refuses what it refuses.
func (t *Table) Validate() error {
	if err := validName("table", t.Name.Table); err != nil {
		return err
	}
	if len(t.Dims) == 0 {
		return errors.New("a table needs at least one dimension")
	}
	if len(t.Dims) > DimensionsMax {
		return fmt.Errorf("a table has at most %d dimensions, this one has %d", DimensionsMax, len(t.Dims))
	}
	for i, d := range t.Dims {
		if err := d.validate(); err != nil {
			return err
		}
		if t.Dim(d.Name) != i {
			return fmt.Errorf("column %q stands twice", d.Name)
		}
	}
	for i, p := range t.PartitionBy {
		if p < 0 || p >= len(t.Dims) {
			return fmt.Errorf("partition key names dimension %d of %d", p, len(t.Dims))
		}
		if slices.Index(t.PartitionBy, p) != i {
			return fmt.Errorf("partition key names column %q twice", t.Dims[p].Name)
		}
	}
	if t.Measures != 1 {
		return fmt.Errorf("a cell has exactly 1 measure in this version, not %d", t.Measures)
	}
	return t.validateTime()
}

func (t *Table) validateTime() error {
	switch {
	case t.Window < 0 || t.Window%time.Second != 0:
		return fmt.Errorf("window %v is not a whole number of seconds", t.Window)
	case t.Window > 10*366*24*time.Hour:
		return fmt.Errorf("window %v is longer than ten years", t.Window)
	case t.Retention < 0:
		return fmt.Errorf("retention %v is negative", t.Retention)
	case t.Retention > 0 && t.Window == 0:
		return errors.New("retention needs a window: a table without time keeps its counts for ever")
	case t.Retention > 0 && t.Retention < t.Window:
		return fmt.Errorf("retention %v is shorter than the window %v", t.Retention, t.Window)
	case t.MaxFuture < 0:
		return fmt.Errorf("max_future %v is negative", t.MaxFuture)
	}
	return nil
}

func (d Dimension) validate() error {
	if err := validName("column", d.Name); err != nil {
		return err
	}
	if slices.Contains(reserved, d.Name) {
		return fmt.Errorf("column name %q is taken: every table has it", d.Name)
	}
	if d.Type < Text || d.Type > Ordered {
		return fmt.Errorf("column %q has unknown type %d", d.Name, d.Type)
	}
	if (d.Type == Ordered) != (len(d.Order) > 0) {
		return fmt.Errorf("column %q: a declared order and its values go together", d.Name)
	}
	if len(d.Order) > OrderValuesMax {
		return fmt.Errorf("column %q declares %d values, the limit is %d", d.Name, len(d.Order), OrderValuesMax)
	}
	for i, v := range d.Order {
		if slices.Index(d.Order, v) != i {
			return fmt.Errorf("column %q: value %q stands twice in its order", d.Name, v)
		}
	}
	if d.Cardinality > CardinalityMax {
		return fmt.Errorf("column %q: cardinality %d is above the limit %d", d.Name, d.Cardinality, CardinalityMax)
	}
	if !d.Default.Null {
		c, err := d.Canonical(d.Default)
		if err != nil {
			return fmt.Errorf("default: %w", err)
		}
		if c != d.Default {
			return fmt.Errorf("default %q of column %q is not in canonical form (%q)", d.Default.Text, d.Name, c.Text)
		}
	}
	return nil
}

func validName(kind, name string) error {
	switch {
	case name == "":
		return fmt.Errorf("a %s needs a name", kind)
	case len(name) > NameBytesMax:
		return fmt.Errorf("%s name %q has %d bytes, the limit is %d", kind, name[:20]+"…", len(name), NameBytesMax)
	case !utf8.ValidString(name):
		return fmt.Errorf("%s name is not valid UTF-8", kind)
	}
	for _, r := range name {
		if r < ' ' || r == 0x7f {
			return fmt.Errorf("%s name %q holds a control character", kind, name)
		}
	}
	return nil
}
