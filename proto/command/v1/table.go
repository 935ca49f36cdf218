package command

import (
	"errors"
	"time"

	"github.com/quipudb/quipu/storage/schema"
)

var errDuration = errors.New("a duration is out of its range")

func (e *encoder) table(t *schema.Table) {
	e.uint(uint64(t.ID))
	e.uint(t.Version)
	e.str(t.Name.Database)
	e.str(t.Name.Schema)
	e.str(t.Name.Table)
	e.byte(t.Measures)
	e.uint(uint64(len(t.Dims)))
	for i := range t.Dims {
		e.dimension(&t.Dims[i])
	}
	e.uint(uint64(len(t.PartitionBy)))
	for _, p := range t.PartitionBy {
		e.uint(uint64(p))
	}
	e.int(int64(t.Window / time.Millisecond))
	e.int(int64(t.Retention / time.Millisecond))
	e.int(int64(t.MaxFuture / time.Millisecond))
}

func (e *encoder) dimension(dim *schema.Dimension) {
	e.str(dim.Name)
	e.byte(byte(dim.Type))
	e.flag(dim.NotNull)
	e.flag(dim.Default.Null)
	if !dim.Default.Null {
		e.str(dim.Default.Text)
	}
	e.uint(uint64(dim.Cardinality))
	e.uint(uint64(len(dim.Order)))
	for _, v := range dim.Order {
		e.str(v)
	}
}

func (d *decoder) table(t *schema.Table) {
	t.ID, t.Version = schema.TableID(d.uint()), d.uint()
	t.Name = schema.Name{Database: d.str(), Schema: d.str(), Table: d.str()}
	t.Measures = d.byte()
	if n := d.count(6); n > 0 {
		t.Dims = make([]schema.Dimension, min(n, schema.DimensionsMax))
		if n > schema.DimensionsMax {
			d.fail(errDims)
		}
	}
	for i := range t.Dims {
		d.dimension(&t.Dims[i])
	}
	if n := d.count(1); n > 0 {
		t.PartitionBy = make([]int, n)
	}
	for i := range t.PartitionBy {
		v := d.uint()
		if v >= schema.DimensionsMax {
			d.fail(errRange)
		}
		t.PartitionBy[i] = int(v)
	}
	t.Window, t.Retention, t.MaxFuture = d.millis(), d.millis(), d.millis()
}

func (d *decoder) dimension(dim *schema.Dimension) {
	dim.Name, dim.Type, dim.NotNull = d.str(), schema.Type(d.byte()), d.flag()
	if dim.Default = schema.Null; !d.flag() {
		dim.Default = schema.V(d.str())
	}
	dim.Cardinality = d.uint32()
	if n := d.count(1); n > 0 {
		dim.Order = make([]string, n)
	}
	for i := range dim.Order {
		dim.Order[i] = d.str()
	}
}

func (d *decoder) millis() time.Duration {
	v := d.int()
	if v > int64(1<<63-1)/int64(time.Millisecond) || v < -int64(1<<63-1)/int64(time.Millisecond) {
		d.fail(errDuration)
		return 0
	}
	return time.Duration(v) * time.Millisecond
}
