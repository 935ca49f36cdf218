// Package arrow reads what server/gateway/arrow writes with Apache Arrow's own library. It is a module of its own, so that the library
// is no part of the program.
package arrow

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	apache "github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/quipudb/quipu/server/gateway/arrow"
)

// result is random columns over some batches.
type result struct {
	fields  []arrow.Field
	batches []batch
}

type batch struct {
	rows    int
	columns []arrow.Column
}

func random(r *rand.Rand) result {
	var res result
	for i := range r.IntN(9) {
		res.fields = append(res.fields, arrow.Field{Name: []string{"n", "größe", "", "a name of some length"}[r.IntN(4)], Type: arrow.Type(i % 5)})
	}
	for range r.IntN(4) {
		b := batch{rows: r.IntN(40)}
		for _, f := range res.fields {
			b.columns = append(b.columns, column(r, f.Type, b.rows))
		}
		res.batches = append(res.batches, b)
	}
	return res
}

func column(r *rand.Rand, t arrow.Type, rows int) arrow.Column {
	var c arrow.Column
	if nulls := r.IntN(3); nulls > 0 { // none, or bits that may end before the rows do, or reach beyond them
		c.Nulls = make([]byte, r.IntN(rows/8+2))
		for i := range c.Nulls {
			c.Nulls[i] = byte(r.Uint32())
		}
	}
	for range rows {
		switch t {
		case arrow.Int64, arrow.Timestamp:
			c.Ints = append(c.Ints, int64(r.Uint64()))
		case arrow.Float64:
			c.Floats = append(c.Floats, r.NormFloat64())
		case arrow.Bool:
			c.Bools = append(c.Bools, r.IntN(2) == 1)
		case arrow.Utf8:
			c.Texts = append(c.Texts, "äöü and so on"[:2*r.IntN(4)])
		}
	}
	return c
}

func isNull(c arrow.Column, row int) bool {
	return row/8 < len(c.Nulls) && c.Nulls[row/8]>>(row%8)&1 == 1
}

// text is a value as both sides print it.
func text(t arrow.Type, c arrow.Column, row int) string {
	if isNull(c, row) {
		return "null"
	}
	switch t {
	case arrow.Int64, arrow.Timestamp:
		return fmt.Sprint(c.Ints[row])
	case arrow.Float64:
		return fmt.Sprint(c.Floats[row])
	case arrow.Bool:
		return fmt.Sprint(c.Bools[row])
	}
	return fmt.Sprintf("%q", c.Texts[row])
}

func read(t *testing.T, a apache.Array, row int) string {
	t.Helper()
	if a.IsNull(row) {
		return "null"
	}
	switch a := a.(type) {
	case *array.Int64:
		return fmt.Sprint(a.Value(row))
	case *array.Timestamp:
		return fmt.Sprint(int64(a.Value(row)))
	case *array.Float64:
		return fmt.Sprint(a.Value(row))
	case *array.Boolean:
		return fmt.Sprint(a.Value(row))
	case *array.String:
		return fmt.Sprintf("%q", a.Value(row))
	}
	t.Fatalf("an array of %v", a.DataType())
	return ""
}

var types = map[arrow.Type]apache.DataType{
	arrow.Utf8: apache.BinaryTypes.String, arrow.Int64: apache.PrimitiveTypes.Int64, arrow.Float64: apache.PrimitiveTypes.Float64,
	arrow.Bool: apache.FixedWidthTypes.Boolean, arrow.Timestamp: apache.FixedWidthTypes.Timestamp_us,
}

func TestArrowReadsWhatWeWrite(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for n := range 2000 {
		want := random(r)
		b := arrow.AppendSchema(nil, want.fields)
		for _, batch := range want.batches {
			b = arrow.AppendBatch(b, want.fields, batch.rows, batch.columns)
		}
		check(t, arrow.AppendEnd(b), want)
		if t.Failed() {
			t.Fatalf("result %d: %+v", n, want)
		}
	}
}

func check(t *testing.T, stream []byte, want result) {
	t.Helper()
	got, err := ipc.NewReader(bytes.NewReader(stream))
	if err != nil {
		t.Error(err)
		return
	}
	defer got.Release()
	for i, f := range want.fields {
		if g := got.Schema().Field(i); g.Name != f.Name || !apache.TypeEqual(g.Type, types[f.Type]) || !g.Nullable {
			t.Errorf("field %d is %v, want %v", i, g, f)
		}
	}
	for _, batch := range want.batches {
		if !got.Next() {
			t.Errorf("a batch is missing: %v", got.Err())
			return
		}
		rec := got.RecordBatch()
		if int(rec.NumRows()) != batch.rows || int(rec.NumCols()) != len(want.fields) {
			t.Errorf("%d rows of %d columns, want %d of %d", rec.NumRows(), rec.NumCols(), batch.rows, len(want.fields))
			return
		}
		for i, c := range batch.columns {
			for row := range batch.rows {
				if g, w := read(t, rec.Column(i), row), text(want.fields[i].Type, c, row); g != w {
					t.Errorf("column %d row %d is %s, want %s", i, row, g, w)
				}
			}
		}
	}
	if got.Next() || got.Err() != nil {
		t.Errorf("after the last batch: %v", got.Err())
	}
}

// TestArrowSeesACutStream cuts a stream at every byte: only the whole one reads to its end without an error.
func TestArrowSeesACutStream(t *testing.T) {
	fields := []arrow.Field{{Name: "n", Type: arrow.Int64}, {Name: "t", Type: arrow.Utf8}}
	b := arrow.AppendSchema(nil, fields)
	b = arrow.AppendBatch(b, fields, 2, []arrow.Column{{Ints: []int64{1, 2}}, {Texts: []string{"a", "b"}}})
	b = arrow.AppendEnd(b)
	for n := range b {
		r, err := ipc.NewReader(bytes.NewReader(b[:n]))
		if err != nil {
			continue
		}
		rows := 0
		for r.Next() {
			rows += int(r.RecordBatch().NumRows())
		}
		if r.Err() == nil && rows == 2 && n < len(b)-8 {
			t.Errorf("cut at %d of %d nobody notices", n, len(b))
		}
		r.Release()
	}
}
