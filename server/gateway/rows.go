package gateway

import (
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"time"

	apiv1 "github.com/quipudb/quipu/proto/api/v1"
	"github.com/quipudb/quipu/server/errcode"
)

// rowForm writes a result row by row. Its methods append to a buffer and return it.
type rowForm interface {
	contentType() string
	head(b []byte) []byte
	chunk(b []byte, c *apiv1.QueryChunk) []byte
	// fail is what stands at the end of a result that could not be finished; nil if the form has no place for it.
	fail(p *errcode.Problem) []byte
}

func newRows(form string, columns []*apiv1.ResultColumn) rowForm {
	switch form {
	case "csv":
		return &csvRows{columns}
	case "arrow":
		return newArrowRows(columns)
	}
	return newNDJSON(columns)
}

// csvRows is RFC 4180 with a header line. NULL is an empty field, the empty text is "".
type csvRows struct{ columns []*apiv1.ResultColumn }

func (*csvRows) contentType() string { return "text/csv; charset=utf-8; header=present" }

func (*csvRows) fail(*errcode.Problem) []byte { return nil }

func (f *csvRows) head(b []byte) []byte {
	for i, c := range f.columns {
		b = appendCSV(comma(b, i), c.Name)
	}
	return f.line(b)
}

// line ends a row. A statement without columns has none.
func (f *csvRows) line(b []byte) []byte {
	if len(f.columns) == 0 {
		return b
	}
	return append(b, "\r\n"...)
}

func (f *csvRows) chunk(b []byte, c *apiv1.QueryChunk) []byte {
	for row := range int(c.Rows) {
		for i, d := range c.Data {
			b = comma(b, i)
			switch {
			case isNull(d, row):
			case d.Texts != nil:
				b = appendCSV(b, d.Texts[row])
			default:
				b = appendPlain(b, f.columns[i].Type, d, row)
			}
		}
		b = f.line(b)
	}
	return b
}

func comma(b []byte, i int) []byte {
	if i > 0 {
		return append(b, ',')
	}
	return b
}

func appendCSV(b []byte, s string) []byte {
	if s != "" && !strings.ContainsAny(s, ",\"\r\n") {
		return append(b, s...)
	}
	b = append(b, '"')
	b = append(b, strings.ReplaceAll(s, `"`, `""`)...)
	return append(b, '"')
}

// ndjson is one JSON object a row. As in all JSON of the API, 64-bit integers are strings.
type ndjson struct {
	columns []*apiv1.ResultColumn
	keys    [][]byte // `"name":`
}

func newNDJSON(columns []*apiv1.ResultColumn) *ndjson {
	f := &ndjson{columns: columns}
	seen := map[string]bool{}
	for _, c := range columns {
		name := c.Name
		for n := 2; seen[name]; n++ { // a name that stands twice gets a number
			name = c.Name + "_" + strconv.Itoa(n)
		}
		seen[name] = true
		f.keys = append(f.keys, append(appendJSON(nil, name), ':'))
	}
	return f
}

func (*ndjson) contentType() string { return "application/x-ndjson" }

func (*ndjson) head(b []byte) []byte { return b }

func (*ndjson) fail(p *errcode.Problem) []byte {
	line, err := json.Marshal(map[string]*errcode.Problem{"error": p})
	if err != nil {
		return nil
	}
	return append(line, '\n')
}

func (f *ndjson) chunk(b []byte, c *apiv1.QueryChunk) []byte {
	for row := range int(c.Rows) {
		b = append(b, '{')
		for i, d := range c.Data {
			b = append(comma(b, i), f.keys[i]...)
			b = f.value(b, f.columns[i].Type, d, row)
		}
		b = append(b, "}\n"...)
	}
	return b
}

func (f *ndjson) value(b []byte, t apiv1.Type, d *apiv1.ColumnData, row int) []byte {
	switch {
	case isNull(d, row):
		return append(b, "null"...)
	case t == apiv1.Type_TYPE_BOOL:
		return appendPlain(b, t, d, row)
	case t == apiv1.Type_TYPE_FLOAT8 && !math.IsInf(d.Floats[row], 0) && !math.IsNaN(d.Floats[row]):
		return appendPlain(b, t, d, row)
	case d.Texts != nil:
		return appendJSON(b, d.Texts[row])
	}
	return append(appendPlain(append(b, '"'), t, d, row), '"')
}

func isNull(d *apiv1.ColumnData, row int) bool {
	return row/8 < len(d.Nulls) && d.Nulls[row/8]>>(row%8)&1 == 1
}

// appendPlain writes a value that is not text, as SQL and JSON both read it.
func appendPlain(b []byte, t apiv1.Type, d *apiv1.ColumnData, row int) []byte {
	switch t {
	case apiv1.Type_TYPE_INT8:
		return strconv.AppendInt(b, d.Ints[row], 10)
	case apiv1.Type_TYPE_TIMESTAMPTZ:
		return time.UnixMicro(d.Ints[row]).UTC().AppendFormat(b, time.RFC3339Nano)
	case apiv1.Type_TYPE_FLOAT8:
		return appendFloat(b, d.Floats[row])
	case apiv1.Type_TYPE_BOOL:
		return strconv.AppendBool(b, d.Bools[row])
	}
	return b
}

// appendFloat is the shortest text that reads back as the same bits.
func appendFloat(b []byte, f float64) []byte {
	switch {
	case math.IsNaN(f):
		return append(b, "NaN"...)
	case math.IsInf(f, 1):
		return append(b, "Infinity"...)
	case math.IsInf(f, -1):
		return append(b, "-Infinity"...)
	}
	if a := math.Abs(f); a != 0 && (a < 1e-6 || a >= 1e21) {
		return strconv.AppendFloat(b, f, 'e', -1, 64)
	}
	return strconv.AppendFloat(b, f, 'f', -1, 64)
}

// appendJSON writes s as a JSON string.
func appendJSON(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			text, err := json.Marshal(s)
			if err != nil {
				return append(b, `""`...) // strings always marshal
			}
			return append(b, text...)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}
