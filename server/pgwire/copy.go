package pgwire

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/quipudb/quipu/query"
	"github.com/quipudb/quipu/query/plan"
	"github.com/quipudb/quipu/query/sql"
	"github.com/quipudb/quipu/server/errcode"
	"github.com/quipudb/quipu/storage/schema"
)

// copyKind is a format of COPY.
type copyKind uint8

const (
	copyText copyKind = iota
	copyCSV
	copyBinary
)

// copyFormat is how a COPY writes its rows.
type copyFormat struct {
	kind      copyKind
	header    bool
	match     bool // HEADER MATCH: the names are compared
	delimiter byte
	quote     byte
	escape    byte // of a quote within quotes
	null      string

	quoteAll     bool     // FORCE_QUOTE *
	forceQuote   []string // columns that are always in quotes
	forceNotNull []string // columns in which the spelling of NULL is a text
	forceNull    []string // columns in which it is NULL even in quotes
}

// copyOptions reads the options of a statement, the format first, since the defaults of the others depend on it.
func copyOptions(text string, t *sql.Copy) (copyFormat, error) {
	f := copyFormat{delimiter: '\t', null: `\N`, quote: '"'}
	refuse := func(pos sql.Pos, code errcode.Code, format string, args ...any) (copyFormat, error) {
		return f, errcode.New(code, format, args...).At(sql.CharPos(text, pos))
	}
	for _, o := range t.Options {
		if o.Name != "format" {
			continue
		}
		switch o.Value {
		case "text":
		case "csv":
			f.kind, f.delimiter, f.null = copyCSV, ',', ""
		case "binary":
			f.kind = copyBinary
		default:
			return refuse(o.ValuePos, errcode.InvalidOption, "COPY format %q not recognized", o.Value)
		}
	}
	escaped := false
	for _, o := range t.Options {
		if o.Name == "format" || o.Name == "encoding" && slices.Contains([]string{"UTF8", "UTF-8"}, strings.ToUpper(o.Value)) {
			continue
		}
		if f.kind == copyBinary {
			return refuse(o.Pos, errcode.InvalidOption, "cannot specify %s in BINARY mode", strings.ToUpper(o.Name))
		}
		if err := f.option(o, t.From); err != nil {
			return refuse(o.ValuePos, err.Code, "%s", err.Message)
		}
		escaped = escaped || o.Name == "escape"
	}
	if !escaped {
		f.escape = f.quote
	}
	if err := f.consistent(); err != nil {
		return refuse(t.Pos, errcode.InvalidOption, "%s", err.Message)
	}
	if t.Where != nil {
		return refuse(t.Where.At(), errcode.NotSupported, "COPY … WHERE is not supported")
	}
	return f, nil
}

// option takes one option of a text format.
func (f *copyFormat) option(o sql.Option, from bool) *errcode.Error {
	csvOnly := func(into *[]string) *errcode.Error {
		for _, id := range o.List {
			*into = append(*into, id.Name)
		}
		return nil
	}
	switch {
	case o.Name == "header":
		f.match = o.Value == "match" && from
		f.header = f.match || !slices.Contains([]string{"false", "off", "0"}, o.Value)
	case o.Name == "delimiter":
		return oneByte(&f.delimiter, o)
	case o.Name == "null":
		f.null = o.Value
	case f.kind != copyCSV:
		return errcode.New(errcode.InvalidOption, "COPY %s available only in CSV mode", o.Name)
	case o.Name == "quote":
		return oneByte(&f.quote, o)
	case o.Name == "escape":
		return oneByte(&f.escape, o)
	case o.Name == "force_quote" && !from:
		f.quoteAll = o.Kind != sql.OptionList
		return csvOnly(&f.forceQuote)
	case o.Name == "force_not_null" && from:
		return csvOnly(&f.forceNotNull)
	case o.Name == "force_null" && from:
		return csvOnly(&f.forceNull)
	default:
		return errcode.New(errcode.NotSupported, "COPY option %q is not supported here", o.Name)
	}
	return nil
}

func oneByte(to *byte, o sql.Option) *errcode.Error {
	if len(o.Value) != 1 {
		return errcode.New(errcode.InvalidOption, "COPY %s must be a single one-byte character", o.Name)
	}
	*to = o.Value[0]
	return nil
}

// consistent refuses characters that could not be told apart.
func (f *copyFormat) consistent() *errcode.Error {
	switch {
	case f.kind == copyBinary:
	case strings.IndexByte("\r\n", f.delimiter) >= 0:
		return errcode.New(errcode.InvalidOption, "COPY delimiter cannot be newline or carriage return")
	case strings.ContainsAny(f.null, "\r\n"):
		return errcode.New(errcode.InvalidOption, "COPY null representation cannot use newline or carriage return")
	case strings.IndexByte(f.null, f.delimiter) >= 0:
		return errcode.New(errcode.InvalidOption, "COPY delimiter must not appear in the NULL specification")
	case f.kind == copyText && strings.IndexByte("\\.abcdefghijklmnopqrstuvwxyz0123456789", f.delimiter) >= 0:
		return errcode.New(errcode.InvalidOption, "COPY delimiter cannot be %q", f.delimiter)
	case f.kind == copyCSV && f.delimiter == f.quote:
		return errcode.New(errcode.InvalidOption, "COPY delimiter and quote must be different")
	case f.kind == copyCSV && strings.IndexByte(f.null, f.quote) >= 0:
		return errcode.New(errcode.InvalidOption, "CSV quote character must not appear in the NULL specification")
	}
	return nil
}

// copy runs COPY.
func (c *conn) copy(ctx context.Context, st *query.Statement, t *sql.Copy, res *result) error {
	if err := c.allowed(t); err != nil {
		return err
	}
	f, err := copyOptions(st.Text, t)
	if err != nil {
		return err
	}
	if !t.From {
		return c.copyOut(ctx, st, t, f)
	}
	target, err := c.copyTarget(ctx, st, t, schema.Insert)
	if err != nil {
		return err
	}
	rows, err := c.copyIn(ctx, target, f)
	if c.block != nil && rows > 0 {
		c.stays("COPY " + itoa(rows))
	}
	if err != nil {
		return err
	}
	return res.done("COPY " + itoa(rows))
}

// copyTarget finds the table, on which a privilege is needed, and the columns, and looks at the newest catalog before it says that they are not there.
func (c *conn) copyTarget(ctx context.Context, st *query.Statement, t *sql.Copy, need schema.Privilege) (*plan.Insert, error) {
	find := func(refresh bool) (*plan.Insert, error) {
		view, err := c.s.o.Catalog.View(ctx, refresh)
		if err != nil {
			return nil, err
		}
		b := plan.NewBinder(plan.Context{Text: st.Text, Catalog: view, Now: time.Now(), Principal: c.user, Rights: c.login.Rights, Database: c.database})
		in := &plan.Insert{}
		if in.Table, err = b.Table(t.Table, need); err == nil {
			in.Targets, err = b.Targets(in.Table, t.Columns)
		}
		return in, err
	}
	in, err := find(false)
	if err == nil {
		return in, nil
	}
	if code := errcode.From(err).Code; code != errcode.UnknownTable && code != errcode.UnknownColumn {
		return nil, err
	}
	return find(true)
}

// targetName is the column that a field goes to.
func targetName(in *plan.Insert, i int) string {
	switch t := in.Targets[i]; t {
	case plan.TargetCount:
		return "count"
	case plan.TargetTime:
		return "ts"
	default:
		return in.Table.Dims[t].Name
	}
}
