package query

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"
)

// reader gives the records of in: fields, which of them are NULL, and the line on which the record begins. They are good until the next
// call.
func (f copyFormat) reader(in io.Reader) func() (fields []string, nulls []bool, line int, err error) {
	if f.csv {
		r := &csvReader{f: f, in: bufio.NewReaderSize(in, 64<<10), line: 1}
		r.skipMark()
		return r.record
	}
	lines := bufio.NewScanner(in)
	lines.Buffer(make([]byte, 64<<10), copyLineMax)
	line := 0
	return func() ([]string, []bool, int, error) {
		line++
		if !lines.Scan() {
			if err := lines.Err(); err != nil {
				return nil, nil, line, err
			}
			return nil, nil, line, io.EOF
		}
		if lines.Text() == `\.` {
			return nil, nil, line, io.EOF
		}
		fields := splitCopy(strings.TrimSuffix(lines.Text(), "\r"), f.delimiter)
		nulls := make([]bool, len(fields))
		for i, x := range fields {
			nulls[i] = x == f.null
			fields[i] = unescapeCopy(x)
		}
		return fields, nulls, line, nil
	}
}

// splitCopy splits a line of the text format at the delimiters that no backslash stands before.
func splitCopy(line string, delimiter byte) []string {
	var out []string
	from := 0
	for i := 0; i < len(line); i++ {
		switch line[i] {
		case '\\':
			i++
		case delimiter:
			out = append(out, line[from:i])
			from = i + 1
		}
	}
	return append(out, line[from:])
}

func unescapeCopy(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			b.WriteByte(s[i])
			continue
		}
		i++
		switch s[i] {
		case 't':
			b.WriteByte('\t')
		case 'n':
			b.WriteByte('\n')
		case 'r':
			b.WriteByte('\r')
		default:
			b.WriteByte(s[i])
		}
	}
	return b.String()
}

// csvReader reads CSV as PostgreSQL does: a field in quotes is never NULL, one without is if it is spelled like NULL.
type csvReader struct {
	f      copyFormat
	in     *bufio.Reader
	line   int // of the next byte
	size   int // bytes of the record
	field  []byte
	quoted bool // the field had quotes
	fields []string
	nulls  []bool
}

// skipMark leaves out a byte-order mark.
func (c *csvReader) skipMark() {
	if b, err := c.in.Peek(3); err == nil && string(b) == "\ufeff" {
		c.in.Discard(3)
	}
}

func (c *csvReader) next() (byte, error) {
	b, err := c.in.ReadByte()
	if err != nil {
		return 0, err
	}
	if b == '\n' {
		c.line++
	}
	if c.size++; c.size > copyLineMax {
		return 0, fmt.Errorf("the record is longer than %d bytes", copyLineMax)
	}
	return b, nil
}

func (c *csvReader) record() ([]string, []bool, int, error) {
	c.fields, c.nulls, c.size = c.fields[:0], c.nulls[:0], 0
	began := c.line
	for {
		b, err := c.next()
		switch {
		case err == io.EOF && c.size > 0:
			c.end()
			return c.fields, c.nulls, began, nil
		case err != nil:
			return nil, nil, began, err
		case b == '"':
			if err := c.quotes(); err != nil {
				return nil, nil, began, err
			}
		case b == c.f.delimiter:
			c.end()
		case b == '\r' && c.before('\n'):
		case b == '\n':
			c.end()
			return c.fields, c.nulls, began, nil
		default:
			c.field = append(c.field, b)
		}
	}
}

// quotes reads to the closing quote. Two quotes inside are one.
func (c *csvReader) quotes() error {
	c.quoted = true
	for {
		b, err := c.next()
		if err == io.EOF {
			return errors.New("a quote is not closed")
		}
		if err != nil {
			return err
		}
		if b == '"' {
			if !c.before('"') {
				return nil
			}
			c.in.Discard(1)
		}
		c.field = append(c.field, b)
	}
}

// before says that the next byte is b.
func (c *csvReader) before(b byte) bool {
	after, err := c.in.Peek(1)
	return err == nil && after[0] == b
}

func (c *csvReader) end() {
	text := string(c.field)
	c.fields, c.nulls = append(c.fields, text), append(c.nulls, !c.quoted && text == c.f.null)
	c.field, c.quoted = c.field[:0], false
}
