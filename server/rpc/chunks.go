package rpc

import (
	"math"
	"time"

	apiv1 "github.com/quipudb/quipu/proto/api/v1"
	"github.com/quipudb/quipu/query/plan"
	"github.com/quipudb/quipu/server/errcode"
	"google.golang.org/protobuf/types/known/structpb"
)

const (
	chunkRows  = 1024
	chunkBytes = 256 << 10
)

// chunks is a Sink that sends results column by column. A message may be changed once send has returned, so its memory is used
// again for the next chunk.
type chunks struct {
	send    func(*apiv1.QueryChunk) error
	rowsMax int64

	chunk   apiv1.QueryChunk
	columns []*apiv1.ResultColumn
	rows    int64           // of this result
	bytes   int             // of this chunk, about
	end     *apiv1.QueryEnd // of the last result; nil before
}

func (c *chunks) Columns(columns []*apiv1.ResultColumn) error {
	c.columns, c.rows = columns, 0
	c.chunk.Columns = columns
	c.chunk.Data = make([]*apiv1.ColumnData, len(columns))
	for i := range c.chunk.Data {
		c.chunk.Data[i] = &apiv1.ColumnData{}
	}
	return nil
}

func (c *chunks) Row(values []plan.Value) error {
	if c.rows++; c.rows > c.rowsMax {
		return errRows(c.rowsMax)
	}
	for i, v := range values {
		c.bytes += appendValue(c.chunk.Data[i], c.columns[i].Type, v, int(c.chunk.Rows))
	}
	c.chunk.Rows++
	if c.chunk.Rows == chunkRows || c.bytes >= chunkBytes {
		return c.flush()
	}
	return nil
}

func (c *chunks) End(end *apiv1.QueryEnd) error {
	end.Rows = max(end.Rows, c.rows)
	c.chunk.End, c.end = end, end
	err := c.flush()
	c.chunk.Data, c.columns, c.rows = nil, nil, 0
	return err
}

func (c *chunks) flush() error {
	err := c.send(&c.chunk)
	c.chunk.Columns, c.chunk.End, c.chunk.Rows, c.bytes = nil, nil, 0, 0
	for _, d := range c.chunk.Data {
		clear(d.Texts)
		d.Ints, d.Floats, d.Texts, d.Bools, d.Nulls = d.Ints[:0], d.Floats[:0], d.Texts[:0], d.Bools[:0], d.Nulls[:0]
	}
	return err
}

// appendValue adds the value of a row to its column and says about how many bytes that were.
func appendValue(d *apiv1.ColumnData, t apiv1.Type, v plan.Value, row int) int {
	if v.IsNull() {
		for len(d.Nulls) <= row/8 {
			d.Nulls = append(d.Nulls, 0)
		}
		d.Nulls[row/8] |= 1 << (row % 8)
	}
	switch t {
	case apiv1.Type_TYPE_INT8, apiv1.Type_TYPE_TIMESTAMPTZ:
		d.Ints = append(d.Ints, v.Int())
		return 5
	case apiv1.Type_TYPE_FLOAT8:
		d.Floats = append(d.Floats, v.Float())
		return 8
	case apiv1.Type_TYPE_BOOL:
		d.Bools = append(d.Bools, v.Bool())
		return 1
	}
	text := v.String()
	d.Texts = append(d.Texts, text)
	return len(text) + 2
}

// ColumnType is the type of a result column of type t. An interval travels as text.
func ColumnType(t plan.Type) apiv1.Type {
	switch t {
	case plan.Int8:
		return apiv1.Type_TYPE_INT8
	case plan.Float8:
		return apiv1.Type_TYPE_FLOAT8
	case plan.Bool:
		return apiv1.Type_TYPE_BOOL
	case plan.Timestamptz:
		return apiv1.Type_TYPE_TIMESTAMPTZ
	case plan.JSON:
		return apiv1.Type_TYPE_JSON
	}
	return apiv1.Type_TYPE_TEXT
}

// collect is a Sink that keeps one whole result for JSON.
type collect struct {
	result  apiv1.QueryResult
	rowsMax int64
	bytes   int
}

func (c *collect) Columns(columns []*apiv1.ResultColumn) error {
	c.result.Columns = columns
	return nil
}

func (c *collect) Row(values []plan.Value) error {
	if int64(len(c.result.Rows)) >= c.rowsMax {
		return errRows(c.rowsMax)
	}
	row := &structpb.ListValue{Values: make([]*structpb.Value, len(values))}
	for i, v := range values {
		row.Values[i] = jsonValue(v)
		c.bytes += 24 + len(v.Text())
	}
	if c.bytes > executeBytesMax {
		return errcode.New(errcode.TooLarge, "the result has more than %d MiB as JSON", executeBytesMax>>20).
			WithHint("add LIMIT, or ask for csv or ndjson, which stream")
	}
	c.result.Rows = append(c.result.Rows, row)
	return nil
}

func (c *collect) End(end *apiv1.QueryEnd) error {
	end.Rows = max(end.Rows, int64(len(c.result.Rows)))
	c.result.End = end
	return nil
}

func errRows(limit int64) error {
	return errcode.New(errcode.RowLimit, "the result has more than %d rows", limit).
		WithHint("add LIMIT or WHERE, or raise max_rows; COPY … TO STDOUT has no limit")
}

// jsonValue follows protojson: 64-bit integers and numbers that are not finite are strings.
func jsonValue(v plan.Value) *structpb.Value {
	switch v.Type {
	case plan.Unknown:
		return structpb.NewNullValue()
	case plan.Bool:
		return structpb.NewBoolValue(v.Bool())
	case plan.Float8:
		if f := v.Float(); !math.IsNaN(f) && !math.IsInf(f, 0) {
			return structpb.NewNumberValue(f)
		}
	case plan.Timestamptz:
		return structpb.NewStringValue(v.Time().Format(time.RFC3339Nano))
	}
	return structpb.NewStringValue(v.String())
}
