package gateway

import (
	apiv1 "github.com/quipudb/quipu/proto/api/v1"
	"github.com/quipudb/quipu/server/errcode"
	"github.com/quipudb/quipu/server/gateway/arrow"
)

// arrowRows is Arrow's stream format: a batch for each chunk, and the end mark only after the last one.
type arrowRows struct{ fields []arrow.Field }

var arrowTypes = map[apiv1.Type]arrow.Type{
	apiv1.Type_TYPE_INT8: arrow.Int64, apiv1.Type_TYPE_FLOAT8: arrow.Float64, apiv1.Type_TYPE_TEXT: arrow.Utf8, apiv1.Type_TYPE_JSON: arrow.Utf8,
	apiv1.Type_TYPE_BOOL: arrow.Bool, apiv1.Type_TYPE_TIMESTAMPTZ: arrow.Timestamp,
}

func newArrowRows(columns []*apiv1.ResultColumn) *arrowRows {
	f := &arrowRows{}
	for _, c := range columns {
		f.fields = append(f.fields, arrow.Field{Name: c.Name, Type: arrowTypes[c.Type]})
	}
	return f
}

func (*arrowRows) contentType() string { return "application/vnd.apache.arrow.stream" }

func (*arrowRows) fail(*errcode.Problem) []byte { return nil }

func (f *arrowRows) head(b []byte) []byte { return arrow.AppendSchema(b, f.fields) }

func (f *arrowRows) chunk(b []byte, c *apiv1.QueryChunk) []byte {
	if c.Rows > 0 {
		columns := make([]arrow.Column, len(c.Data))
		for i, d := range c.Data {
			columns[i] = arrow.Column{Ints: d.Ints, Floats: d.Floats, Texts: d.Texts, Bools: d.Bools, Nulls: d.Nulls}
		}
		b = arrow.AppendBatch(b, f.fields, int(c.Rows), columns)
	}
	if c.End != nil {
		b = arrow.AppendEnd(b)
	}
	return b
}
