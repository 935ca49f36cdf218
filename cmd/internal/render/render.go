// Package render writes query results for people and for programs: an aligned table, Markdown, CSV, TSV, JSON or one JSON object
// a line. Numbers keep every digit: a float prints as the shortest text that reads back as the same bits, an int64 is never
// passed through a float.
package render

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
)

// Formats are the names that New knows.
var Formats = []string{"table", "csv", "tsv", "json", "ndjson", "markdown"}

// Column is one output column. Numeric ones are set flush right in tables and unquoted in JSON.
type Column struct {
	Name    string
	Numeric bool
}

// Writer takes rows in order. Close ends the output; it does not close the underlying writer.
type Writer interface {
	Row(values []any) error
	Close() error
}

// Options say how tables for people look; the other formats are the same for everybody.
type Options struct {
	Format   string // one of Formats
	Null     string // what stands for NULL in a table
	Expanded string // "on": a table gives each row as a list of names and values; "auto": if it is wider than Width; else not
	Width    int    // of the terminal, in columns; 0 if there is none
}

// New is a writer of format onto w. The error names the formats that exist.
func New(w io.Writer, format string, columns []Column) (Writer, error) {
	return With(w, Options{Format: format}, columns)
}

// With is New with options.
func With(w io.Writer, o Options, columns []Column) (Writer, error) {
	switch format := o.Format; format {
	case "table":
		if o.Expanded == "on" || o.Expanded == "auto" {
			return &lists{w: w, o: o, columns: columns}, nil
		}
		return newGrid(w, o, columns), nil
	case "markdown":
		return newGrid(w, o, columns), nil
	case "csv", "tsv":
		return newSeparated(w, format == "tsv", columns)
	case "json", "ndjson":
		return &objects{w: bufio.NewWriter(w), columns: columns, lines: format == "ndjson"}, nil
	}
	return nil, Check(o.Format)
}

// Text is the text form of a value: empty for NULL.
func Text(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case int64:
		return strconv.FormatInt(v, 10)
	case float64:
		return Float(v)
	case bool:
		return strconv.FormatBool(v)
	case time.Time:
		return v.UTC().Format("2006-01-02 15:04:05.999999Z07:00")
	}
	return fmt.Sprint(v)
}

// Float is the shortest decimal text that reads back as v, spelled as PostgreSQL spells it.
func Float(v float64) string {
	switch {
	case math.IsNaN(v):
		return "NaN"
	case math.IsInf(v, 1):
		return "Infinity"
	case math.IsInf(v, -1):
		return "-Infinity"
	}
	if a := math.Abs(v); a != 0 && (a < 1e-5 || a >= 1e15) {
		return strconv.FormatFloat(v, 'e', -1, 64)
	}
	return strconv.FormatFloat(v, 'f', -1, 64)
}

// grid is the table for people: no heavy borders, numbers flush right.
type grid struct {
	w        io.Writer
	t        table.Writer
	markdown bool
	null     string
	columns  []Column
	rows     int
}

func newGrid(w io.Writer, o Options, columns []Column) *grid {
	g := &grid{w: w, t: table.NewWriter(), markdown: o.Format == "markdown", null: o.Null, columns: columns}
	style := table.StyleDefault
	style.Options = table.Options{SeparateColumns: true, SeparateHeader: true}
	style.Format.Header = text.FormatDefault
	g.t.SetStyle(style)
	header := make(table.Row, len(columns))
	config := make([]table.ColumnConfig, len(columns))
	for i, c := range columns {
		header[i] = c.Name
		config[i] = table.ColumnConfig{Number: i + 1, AlignHeader: text.AlignLeft}
		if c.Numeric {
			config[i].Align, config[i].AlignHeader = text.AlignRight, text.AlignRight
		}
	}
	g.t.AppendHeader(header)
	g.t.SetColumnConfigs(config)
	return g
}

func (g *grid) Row(values []any) error {
	row := make(table.Row, len(values))
	for i, v := range values {
		row[i] = shown(v, g.null)
	}
	g.t.AppendRow(row)
	g.rows++
	return nil
}

func (g *grid) Close() error {
	if len(g.columns) == 0 {
		return nil
	}
	out := g.t.Render()
	if g.markdown {
		out = g.t.RenderMarkdown()
	}
	if _, err := fmt.Fprintln(g.w, out); err != nil {
		return err
	}
	if g.markdown {
		return nil
	}
	return rowCount(g.w, g.rows)
}

func rowCount(w io.Writer, n int) error {
	noun := "rows"
	if n == 1 {
		noun = "row"
	}
	_, err := fmt.Fprintf(w, "(%d %s)\n", n, noun)
	return err
}

// shown is a value in a table.
func shown(v any, null string) string {
	if v == nil {
		return null
	}
	return printable(Text(v))
}

// printable keeps a category value from moving the cursor of the reader's terminal.
func printable(s string) string {
	if !strings.ContainsFunc(s, control) {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if control(r) {
			fmt.Fprintf(&b, `\x%02x`, r)
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}

func control(r rune) bool { return r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 }

// separated is CSV or TSV with a header line. NULL is an empty field, the empty text is "".
type separated struct {
	w     *bufio.Writer
	comma byte
}

func newSeparated(w io.Writer, tabs bool, columns []Column) (*separated, error) {
	s := &separated{w: bufio.NewWriter(w), comma: ','}
	if tabs {
		s.comma = '\t'
	}
	for i, c := range columns {
		s.field(i, c.Name)
	}
	return s, s.w.WriteByte('\n')
}

func (s *separated) Row(values []any) error {
	for i, v := range values {
		if v != nil {
			s.field(i, Text(v))
		} else if i > 0 {
			s.w.WriteByte(s.comma)
		}
	}
	return s.w.WriteByte('\n')
}

func (s *separated) field(i int, text string) {
	if i > 0 {
		s.w.WriteByte(s.comma)
	}
	if text != "" && strings.IndexByte(text, s.comma) < 0 && !strings.ContainsAny(text, "\"\r\n") {
		s.w.WriteString(text)
		return
	}
	s.w.WriteString(`"` + strings.ReplaceAll(text, `"`, `""`) + `"`)
}

func (s *separated) Close() error { return s.w.Flush() }

// objects is a JSON array of objects, or one object a line. Integers beyond 2^53 stay exact: they are JSON numbers with all digits.
type objects struct {
	w       *bufio.Writer
	columns []Column
	lines   bool
	rows    int
}

func (o *objects) Row(values []any) error {
	switch {
	case o.lines:
	case o.rows == 0:
		o.w.WriteString("[\n  ")
	default:
		o.w.WriteString(",\n  ")
	}
	o.rows++
	o.w.WriteByte('{')
	for i, v := range values {
		if i > 0 {
			o.w.WriteByte(',')
		}
		name, err := json.Marshal(o.columns[i].Name)
		if err != nil {
			return err
		}
		o.w.Write(name)
		o.w.WriteByte(':')
		if err := o.value(v); err != nil {
			return err
		}
	}
	o.w.WriteByte('}')
	if o.lines {
		return o.w.WriteByte('\n')
	}
	return nil
}

func (o *objects) value(v any) error {
	switch v := v.(type) {
	case nil:
		o.w.WriteString("null")
		return nil
	case int64:
		o.w.WriteString(strconv.FormatInt(v, 10))
		return nil
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return o.quoted(Float(v))
		}
		o.w.WriteString(strconv.FormatFloat(v, 'g', -1, 64))
		return nil
	case bool:
		o.w.WriteString(strconv.FormatBool(v))
		return nil
	}
	return o.quoted(Text(v))
}

func (o *objects) quoted(s string) error {
	b, err := json.Marshal(s)
	o.w.Write(b)
	return err
}

func (o *objects) Close() error {
	if !o.lines {
		if o.rows == 0 {
			o.w.WriteString("[")
		}
		o.w.WriteString("\n]\n")
	}
	return o.w.Flush()
}

// Check is an error that names the formats, if format is not one of them.
func Check(format string) error {
	if slices.Contains(Formats, format) {
		return nil
	}
	return fmt.Errorf("unknown format %q, want one of %s", format, strings.Join(Formats, ", "))
}
