package pgwire

import (
	"context"
	"encoding/binary"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/quipudb/quipu/query"
	"github.com/quipudb/quipu/query/plan"
	"github.com/quipudb/quipu/query/sql"
	"github.com/quipudb/quipu/storage/schema"
)

// copyOut runs the query of a COPY and sends its rows as data, one message a row.
func (c *conn) copyOut(ctx context.Context, st *query.Statement, t *sql.Copy, f copyFormat) error {
	if t.Query != nil {
		return c.engine(ctx, st.Part(t.Query), nil, &copySink{c: c, f: f})
	}
	in, err := c.copyTarget(ctx, st, t, schema.Select)
	if err != nil {
		return err
	}
	names := make([]string, len(in.Targets))
	for i := range names {
		names[i] = sql.QuoteIdent(targetName(in, i))
	}
	text := "SELECT " + strings.Join(names, ", ") + " FROM " + t.Table.String()
	list, err := query.Parse(text)
	if err != nil {
		return err
	}
	return c.engine(ctx, list[0], nil, &copySink{c: c, f: f})
}

// copySink writes rows in a format of COPY.
type copySink struct {
	c       *conn
	f       copyFormat
	cols    []plan.Column
	force   []bool // quotes, by column
	scratch []byte
	opened  bool // the opening of the binary format was sent
}

// copySignature opens the binary format; flags and the length of an extension, both 0, follow it. As in PostgreSQL it stands in one message
// with the first row, or with the end if there is none: psycopg takes it from there.
const (
	copySignature = "PGCOPY\n\xff\r\n\x00"
	copyOpening   = copySignature + "\x00\x00\x00\x00\x00\x00\x00\x00"
)

// Columns opens the stream.
func (s *copySink) Columns(cols []plan.Column) error {
	s.cols, s.force = cols, make([]bool, len(cols))
	r := &pgproto3.CopyOutResponse{ColumnFormatCodes: make([]uint16, len(cols))}
	if s.f.kind == copyBinary {
		r.OverallFormat = 1
		for i := range cols {
			r.ColumnFormatCodes[i] = 1
		}
	}
	for i, col := range cols {
		s.force[i] = s.f.quoteAll || slices.Contains(s.f.forceQuote, col.Name)
	}
	o := &s.c.out
	o.send(r)
	if s.f.header {
		at := s.begin()
		for i, col := range cols {
			s.separate(i)
			o.buf = s.f.appendField(o.buf, []byte(col.Name), false, len(cols) == 1)
		}
		s.finish(at)
	}
	return o.err
}

// begin opens a message and gives its place; finish sets its length.
func (s *copySink) begin() int {
	o := &s.c.out
	at := len(o.buf)
	o.buf = append(o.buf, 'd', 0, 0, 0, 0)
	if s.f.kind == copyBinary && !s.opened {
		s.opened = true
		o.buf = append(o.buf, copyOpening...)
	}
	return at
}

func (s *copySink) separate(i int) {
	if i > 0 {
		s.c.out.buf = append(s.c.out.buf, s.f.delimiter)
	}
}

func (s *copySink) finish(at int) {
	o := &s.c.out
	if s.f.kind != copyBinary {
		o.buf = append(o.buf, '\n')
	}
	binary.BigEndian.PutUint32(o.buf[at+1:], uint32(len(o.buf)-at-1))
}

// Row sends one row.
func (s *copySink) Row(values []plan.Value) error {
	at := s.begin()
	o := &s.c.out
	if s.f.kind == copyBinary {
		o.buf = binary.BigEndian.AppendUint16(o.buf, uint16(len(values)))
		for i, v := range values {
			o.buf = appendField(o.buf, s.cols[i].Type, v, true)
		}
	} else {
		for i, v := range values {
			s.separate(i)
			if v.IsNull() {
				o.buf = append(o.buf, s.f.null...)
				continue
			}
			s.scratch = appendText(s.scratch[:0], s.cols[i].Type, v)
			o.buf = s.f.appendField(o.buf, s.scratch, s.force[i], len(values) == 1)
		}
	}
	s.finish(at)
	return o.room()
}

// End closes the stream.
func (s *copySink) End(e *query.End) error {
	o := &s.c.out
	if s.f.kind == copyBinary {
		at := s.begin()
		o.buf = append(o.buf, 0xff, 0xff)
		s.finish(at)
	}
	o.send(&pgproto3.CopyDone{})
	end := *e
	end.Tag = "COPY " + itoa(e.Rows)
	return (&result{c: s.c}).End(&end)
}

// appendField appends a field that is not NULL.
func (f *copyFormat) appendField(dst, field []byte, force, alone bool) []byte {
	if f.kind == copyText {
		return f.appendEscaped(dst, field)
	}
	if !force && !f.needsQuotes(field, alone) {
		return append(dst, field...)
	}
	dst = append(dst, f.quote)
	for _, b := range field {
		if b == f.quote || b == f.escape {
			dst = append(dst, f.escape)
		}
		dst = append(dst, b)
	}
	return append(dst, f.quote)
}

// needsQuotes says that a field would be read as something else without them.
func (f *copyFormat) needsQuotes(field []byte, alone bool) bool {
	if string(field) == f.null || alone && string(field) == `\.` {
		return true
	}
	for _, b := range field {
		if b == f.delimiter || b == f.quote || b == '\n' || b == '\r' {
			return true
		}
	}
	return false
}

// escapes are the letters behind a backslash, by the byte that they stand for.
var escapes = [256]byte{'\b': 'b', '\f': 'f', '\n': 'n', '\r': 'r', '\t': 't', '\v': 'v', '\\': '\\'}

func (f *copyFormat) appendEscaped(dst, field []byte) []byte {
	for _, b := range field {
		switch e := escapes[b]; {
		case e != 0:
			dst = append(dst, '\\', e)
		case b == f.delimiter:
			dst = append(dst, '\\', b)
		default:
			dst = append(dst, b)
		}
	}
	return dst
}
