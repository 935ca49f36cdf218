package records

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"
)

// NDJSON reads one JSON object a line. Values are strings, numbers, booleans and null; numbers keep the text that they have in the
// file. Nested values are refused: a category is one value.
type NDJSON struct {
	lines  *CSV // for its bounded line reading; the separator plays no part
	fields map[string]Field
}

// Field is one member of an object.
type Field struct {
	Text string
	Null bool
}

// NewNDJSON reads r from its beginning.
func NewNDJSON(r io.Reader) *NDJSON { return &NDJSON{lines: NewCSV(r, 0)} }

// Offset is the position in the file after the last line read.
func (n *NDJSON) Offset() int64 { return n.lines.offset }

// Line is the 1-based number of the next line.
func (n *NDJSON) Line() int { return n.lines.line + 1 }

// Began is the 1-based line of the object that Next returned last.
func (n *NDJSON) Began() int { return n.lines.began }

// Next reads one object. The map is valid until the next call. Errors are those of CSV.Next.
func (n *NDJSON) Next() (map[string]Field, error) {
	for {
		line := n.Line()
		err := n.lines.readLine()
		if err != nil {
			return nil, n.lines.explain(err, line)
		}
		body := bytes.TrimSpace(n.lines.record)
		if len(body) == 0 {
			continue
		}
		if !utf8.Valid(body) {
			return nil, n.lines.bad(line, "not valid UTF-8", body)
		}
		if err := n.decode(body); err != nil {
			return nil, n.lines.bad(line, err.Error(), body)
		}
		n.lines.began = line
		return n.fields, nil
	}
}

// readLine is read without quoting: a line is a record.
func (c *CSV) readLine() error {
	c.record = c.record[:0]
	for {
		part, err := c.r.ReadSlice('\n')
		c.offset += int64(len(part))
		if len(c.record)+len(part) > RecordBytesMax {
			c.record = append(c.record, part[:min(len(part), rawMax)]...)
			return c.skipLine(err)
		}
		c.record = append(c.record, part...)
		switch {
		case err == bufio.ErrBufferFull:
			continue
		case err == io.EOF && len(c.record) == 0:
			return io.EOF
		case err != nil && err != io.EOF:
			return err
		}
		c.line++
		return nil
	}
}

func (n *NDJSON) decode(body []byte) error {
	n.fields = map[string]Field{}
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return errors.New("not a JSON object")
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return fmt.Errorf("not valid JSON: %w", err)
		}
		name, _ := key.(string)
		if _, twice := n.fields[name]; twice {
			return fmt.Errorf("key %q stands twice", name)
		}
		value, err := d.Token()
		if err != nil {
			return fmt.Errorf("not valid JSON: %w", err)
		}
		if n.fields[name], err = field(name, value); err != nil {
			return err
		}
	}
	if _, err := d.Token(); err != nil {
		return fmt.Errorf("not valid JSON: %w", err)
	}
	if _, err := d.Token(); err != io.EOF {
		return errors.New("more than one value on the line")
	}
	return nil
}

func field(name string, value json.Token) (Field, error) {
	switch v := value.(type) {
	case nil:
		return Field{Null: true}, nil
	case string:
		return Field{Text: v}, nil
	case json.Number:
		return Field{Text: v.String()}, nil
	case bool:
		return Field{Text: fmt.Sprint(v)}, nil
	}
	return Field{}, fmt.Errorf("value of %q is an object or a list; a category is one value", name)
}

// Raw is the line that Next returned last. It is valid until the next call.
func (n *NDJSON) Raw() []byte { return trimEOL(n.lines.record) }
