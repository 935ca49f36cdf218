package query

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/quipudb/quipu/query/plan"
	"github.com/quipudb/quipu/query/sql"
	"github.com/quipudb/quipu/server/errcode"
	"github.com/quipudb/quipu/storage/schema"
)

// copyFormat is how COPY writes and reads rows.
type copyFormat struct {
	csv       bool
	header    bool
	delimiter byte
	null      string
}

const copyLineMax = 1 << 20

func (s *session) copyStatement(st []sql.Statement, from bool) (*sql.Copy, copyFormat, error) {
	f := copyFormat{delimiter: '\t', null: `\N`}
	c, ok := (*sql.Copy)(nil), false
	if len(st) == 1 {
		c, ok = st[0].(*sql.Copy)
	}
	if !ok || c.From != from {
		return nil, f, errcode.New(errcode.SyntaxError, "one COPY … %s is expected here", map[bool]string{true: "FROM STDIN", false: "TO STDOUT"}[from])
	}
	for _, o := range c.Options {
		switch o.Name {
		case "format":
			switch o.Value {
			case "csv":
				f.csv, f.delimiter, f.null = true, ',', ""
			case "text":
			default:
				return nil, f, s.at(errcode.New(errcode.NotSupported, "COPY format %q is not supported", o.Value).WithHint("the formats are text and csv"), o.ValuePos)
			}
		case "header":
			f.header = o.Value != "false" && o.Value != "off" && o.Value != "0"
		}
	}
	for _, o := range c.Options {
		switch o.Name {
		case "format", "header", "encoding":
		case "delimiter":
			if len(o.Value) != 1 || strings.ContainsAny(o.Value, "\n\r\"\\") {
				return nil, f, s.at(errcode.New(errcode.InvalidOption, "the delimiter is one ASCII character, no quote, backslash or line break"), o.ValuePos)
			}
			f.delimiter = o.Value[0]
		case "null":
			f.null = o.Value
		default:
			return nil, f, s.at(errcode.New(errcode.NotSupported, "COPY option %q is not supported", o.Name), o.Pos)
		}
	}
	if c.Where != nil {
		return nil, f, s.at(errcode.New(errcode.NotSupported, "COPY … WHERE is not supported"), c.Where.At())
	}
	return c, f, nil
}

// CopyIn runs COPY … FROM STDIN with the data of in. Rows are counted as they come; an error says how many stay counted. A load that must
// be repeatable goes through an import.
func (e *Engine) CopyIn(ctx context.Context, r Request, in io.Reader) (_ *End, err error) {
	defer guard(&err)
	s, st, err := e.open(r)
	if err != nil {
		return nil, err
	}
	switch {
	case r.ReadOnly:
		return nil, errReadOnly()
	case s.figures.readOnly:
		return nil, errReadOnlySetting()
	}
	c, f, err := s.copyStatement(st, true)
	if err != nil {
		return nil, err
	}
	target := &plan.Insert{}
	err = s.bound(ctx, func(b *plan.Binder) (err error) {
		if target.Table, err = b.Table(c.Table, schema.Insert); err == nil {
			target.Targets, err = b.Targets(target.Table, c.Columns)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	w := s.newInserter(target)
	err = s.within(ctx, func(ctx context.Context) error {
		if err := s.copyRows(ctx, in, f, w); err != nil {
			return err
		}
		return w.flush(ctx)
	})
	if err != nil {
		return nil, w.explain(err)
	}
	return &End{Tag: fmt.Sprintf("COPY %d", w.rows), Rows: w.rows, Receipt: w.receipts()}, nil
}

func (e *Engine) open(r Request) (*session, []sql.Statement, error) {
	st, err := parse(r.SQL)
	if err != nil {
		return nil, nil, err
	}
	s, err := e.session(r)
	if err != nil {
		return nil, nil, err
	}
	for _, one := range st {
		if err := s.allowed(one); err != nil {
			return nil, nil, err
		}
	}
	return s, st, nil
}

func (s *session) copyRows(ctx context.Context, in io.Reader, f copyFormat, w *inserter) error {
	next := f.reader(in)
	n := len(w.in.Targets)
	values, given := make([]plan.Value, n), make([]bool, n)
	for i := range given {
		given[i] = true
	}
	for first := true; ; first = false {
		fields, nulls, line, err := next()
		switch {
		case err == io.EOF:
			return nil
		case err != nil:
			return errcode.New(errcode.BadCopyFormat, "COPY %s, line %d: %v", w.in.Table.Name.Table, line, err)
		case first && f.header, len(fields) == 1 && n > 1 && fields[0] == "":
			continue
		case len(fields) != n:
			return errcode.New(errcode.BadCopyFormat, "COPY %s, line %d: %d fields, %d are expected", w.in.Table.Name.Table, line, len(fields), n)
		}
		for i, text := range fields {
			if values[i] = plan.TextValue(text); nulls[i] {
				values[i] = plan.Null
			}
		}
		if err := w.add(values, given); err != nil {
			e := *errcode.From(err)
			e.Message = fmt.Sprintf("COPY %s, line %d: %s", w.in.Table.Name.Table, line, e.Message)
			return &e
		}
		if err := w.full(ctx); err != nil {
			return err
		}
	}
}

var copyEscapes = strings.NewReplacer("\\", `\\`, "\t", `\t`, "\n", `\n`, "\r", `\r`)

// CopyOut runs COPY … TO STDOUT into out.
func (e *Engine) CopyOut(ctx context.Context, r Request, out io.Writer) (_ *End, err error) {
	defer guard(&err)
	s, st, err := e.open(r)
	if err != nil {
		return nil, err
	}
	c, f, err := s.copyStatement(st, false)
	if err != nil {
		return nil, err
	}
	q := c.Query
	if q == nil {
		if q, err = s.copyTable(ctx, c); err != nil {
			return nil, err
		}
	}
	bound, err := s.bind(ctx, q)
	if err != nil {
		return nil, err
	}
	w := &copyWriter{f: f, w: bufio.NewWriter(out)}
	if err := s.within(ctx, func(ctx context.Context) error { return s.run(ctx, q, bound, w) }); err != nil {
		return nil, err
	}
	w.end.Tag = fmt.Sprintf("COPY %d", w.end.Rows)
	return w.end, w.w.Flush()
}

// copyTable is the SELECT of COPY table. The names are looked up first, so that errors point into the text of the statement.
func (s *session) copyTable(ctx context.Context, c *sql.Copy) (*sql.Query, error) {
	err := s.bound(ctx, func(b *plan.Binder) error {
		t, err := b.Table(c.Table, schema.Select)
		if err == nil {
			_, err = b.Targets(t, c.Columns)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	cols := "*"
	if len(c.Columns) > 0 {
		names := make([]string, len(c.Columns))
		for i, id := range c.Columns {
			names[i] = sql.QuoteIdent(id.Name)
		}
		cols = strings.Join(names, ", ")
	}
	st, err := sql.ParseOne("SELECT " + cols + " FROM " + sql.QuoteIdent(c.Table.Name))
	if err != nil {
		return nil, plan.SyntaxError(err)
	}
	return st.(*sql.Query), nil
}

// copyWriter is a sink in the form of COPY.
type copyWriter struct {
	f   copyFormat
	w   *bufio.Writer
	end *End
}

func (c *copyWriter) Columns(columns []plan.Column) error {
	if !c.f.header {
		return nil
	}
	fields := make([]string, len(columns))
	for i, col := range columns {
		fields[i] = c.quote(col.Name)
	}
	return c.line(fields)
}

func (c *copyWriter) Row(values []plan.Value) error {
	fields := make([]string, len(values))
	for i, v := range values {
		if fields[i] = c.f.null; !v.IsNull() {
			fields[i] = c.quote(v.String())
		}
	}
	return c.line(fields)
}

func (c *copyWriter) quote(s string) string {
	if !c.f.csv {
		s = copyEscapes.Replace(s)
		return strings.ReplaceAll(s, string(c.f.delimiter), `\`+string(c.f.delimiter))
	}
	if s == c.f.null || strings.ContainsAny(s, "\"\n\r") || strings.IndexByte(s, c.f.delimiter) >= 0 {
		return `"` + strings.ReplaceAll(s, `"`, `""`) + `"`
	}
	return s
}

func (c *copyWriter) line(fields []string) error {
	_, err := c.w.WriteString(strings.Join(fields, string(c.f.delimiter)) + "\n")
	return err
}

func (c *copyWriter) End(e *End) error {
	c.end = e
	return nil
}
