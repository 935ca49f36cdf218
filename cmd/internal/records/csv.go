// Package records reads files of rows, CSV or NDJSON, one record at a time in bounded memory, whatever the file holds. A bad record
// is reported with its line and the reader goes on with the next one, so that an import can set it aside and say why.
package records

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"
)

// RecordBytesMax bounds one record with its line ends. A longer one is skipped and reported.
const RecordBytesMax = 1 << 20

// BadRecord says why one record was set aside. Raw is at most the first 4 KiB of it.
type BadRecord struct {
	Line   int // 1-based line on which the record begins
	Reason string
	Raw    []byte
}

// Error names the line and the reason.
func (b *BadRecord) Error() string { return fmt.Sprintf("line %d: %s", b.Line, b.Reason) }

const rawMax = 4 << 10

// CSV reads RFC 4180 with any single-byte separator. Quoted fields may hold separators, doubled quotes and line ends; a quote inside
// an unquoted field stands for itself; CR LF and LF both end a record; an empty line is no record; a byte-order mark is skipped.
type CSV struct {
	r      *bufio.Reader
	comma  byte
	line   int // lines read so far
	began  int // line on which the last record began
	offset int64
	record []byte
	fields [][]byte
	quoted []bool // by field
}

// NewCSV reads r from its beginning.
func NewCSV(r io.Reader, comma byte) *CSV {
	c := &CSV{r: bufio.NewReaderSize(r, 1<<18), comma: comma}
	if b, err := c.r.Peek(3); err == nil && bytes.Equal(b, []byte("\xef\xbb\xbf")) {
		c.r.Discard(3)
		c.offset = 3
	}
	return c
}

// Offset is the position in the file after the last record read.
func (c *CSV) Offset() int64 { return c.offset }

// Line is the 1-based line on which the next record begins.
func (c *CSV) Line() int { return c.line + 1 }

// Began is the 1-based line on which the record that Next returned last begins.
func (c *CSV) Began() int { return c.began }

// Quoted says whether field i of the record that Next returned last stood in quotes: "" is an empty text where nothing is no value.
func (c *CSV) Quoted(i int) bool { return c.quoted[i] }

// Next reads one record. The fields are valid until the next call. The error is io.EOF at the end, a *BadRecord for a record that
// was skipped, or what the underlying reader said.
func (c *CSV) Next() ([][]byte, error) {
	for {
		first := c.line + 1
		err := c.read()
		if err != nil {
			return nil, c.explain(err, first)
		}
		body := trimEOL(c.record)
		if len(body) == 0 {
			continue
		}
		c.began = first
		return c.split(body, first)
	}
}

var errTooLong = errors.New("record is too long")
var errOpenQuote = errors.New("quoted field is not closed")

// read fills record with the bytes of one record, line end included.
func (c *CSV) read() error {
	c.record = c.record[:0]
	state := fieldStart
	for {
		part, err := c.r.ReadSlice('\n')
		c.offset += int64(len(part))
		if len(c.record)+len(part) > RecordBytesMax {
			c.record = append(c.record, part[:min(len(part), rawMax)]...)
			return c.skipLine(err)
		}
		c.record = append(c.record, part...)
		state = state.scan(part, c.comma)
		if err == bufio.ErrBufferFull {
			continue
		}
		quoted := state == quotedField
		if len(part) > 0 {
			c.line++
		}
		switch {
		case err == io.EOF && len(c.record) == 0:
			return io.EOF
		case err == io.EOF && quoted:
			return errOpenQuote
		case err == io.EOF || err == nil && !quoted:
			return nil
		case err != nil:
			return err
		}
	}
}

// skipLine drops the rest of an overlong line.
func (c *CSV) skipLine(err error) error {
	for err == bufio.ErrBufferFull {
		var part []byte
		part, err = c.r.ReadSlice('\n')
		c.offset += int64(len(part))
	}
	c.line++
	if err != nil && err != io.EOF {
		return err
	}
	return errTooLong
}

// quoting follows a record over its physical lines: does it stand inside a quoted field where the line ends?
type quoting uint8

const (
	fieldStart quoting = iota
	unquoted
	quotedField
	quoteInQuoted // a quote that ends the field, unless another one follows
)

func (q quoting) scan(part []byte, comma byte) quoting {
	if (q == fieldStart || q == unquoted) && bytes.IndexByte(part, '"') < 0 {
		return unquoted
	}
	for _, b := range part {
		switch {
		case q == quotedField:
			if b == '"' {
				q = quoteInQuoted
			}
		case b == '"' && (q == fieldStart || q == quoteInQuoted):
			q = quotedField
		case b == comma:
			q = fieldStart
		default:
			q = unquoted
		}
	}
	return q
}

// closeQuote is the position after the quote that ends the field whose content begins at i, or -1.
func closeQuote(record []byte, i int) int {
	for {
		q := bytes.IndexByte(record[i:], '"')
		if q < 0 {
			return -1
		}
		i += q + 1
		if i < len(record) && record[i] == '"' {
			i++
			continue
		}
		return i
	}
}

func (c *CSV) explain(err error, first int) error {
	var reason string
	switch {
	case errors.Is(err, errTooLong):
		reason = fmt.Sprintf("record is longer than %d bytes", RecordBytesMax)
	case errors.Is(err, errOpenQuote):
		reason = "quoted field is not closed before the end of the file"
	default:
		return err
	}
	return &BadRecord{Line: first, Reason: reason, Raw: bytes.Clone(c.record[:min(len(c.record), rawMax)])}
}

// split cuts a record into fields and takes the quotes off.
func (c *CSV) split(body []byte, first int) ([][]byte, error) {
	c.fields, c.quoted = c.fields[:0], c.quoted[:0]
	if !utf8.Valid(body) {
		return nil, c.bad(first, "not valid UTF-8", body)
	}
	for i := 0; ; {
		if i < len(body) && body[i] == '"' {
			end := closeQuote(body, i+1)
			if end < 0 || end < len(body) && body[end] != c.comma {
				return nil, c.bad(first, `characters after the closing quote of a field; write "" for a quote inside it`, body)
			}
			c.fields, c.quoted = append(c.fields, c.unquote(body[i+1:end-1])), append(c.quoted, true)
			if end == len(body) {
				return c.fields, nil
			}
			i = end + 1
			continue
		}
		c.quoted = append(c.quoted, false)
		next := bytes.IndexByte(body[i:], c.comma)
		if next < 0 {
			c.fields = append(c.fields, body[i:])
			return c.fields, nil
		}
		c.fields = append(c.fields, body[i:i+next])
		i += next + 1
	}
}

func (c *CSV) bad(line int, reason string, body []byte) error {
	return &BadRecord{Line: line, Reason: reason, Raw: bytes.Clone(body[:min(len(body), rawMax)])}
}

// unquote halves doubled quotes. What it returns stays valid for the record.
func (c *CSV) unquote(b []byte) []byte {
	if bytes.IndexByte(b, '"') < 0 {
		return b
	}
	out := make([]byte, 0, len(b))
	for i := 0; i < len(b); i++ {
		out = append(out, b[i])
		if b[i] == '"' {
			i++
		}
	}
	return out
}

func trimEOL(b []byte) []byte {
	b = bytes.TrimSuffix(b, []byte("\n"))
	return bytes.TrimSuffix(b, []byte("\r"))
}

// Raw is the record that Next returned last, as it stands in the file. It is valid until the next call.
func (c *CSV) Raw() []byte { return trimEOL(c.record) }
