package pgwire

import (
	"bytes"
	"slices"

	"github.com/quipudb/quipu/query/plan"
)

// csvReader reads CSV as PostgreSQL does: a field in quotes may hold anything and is not NULL; one without is NULL if it is spelled so.
type csvReader struct {
	f            copyFormat
	forceNotNull []bool // by field
	forceNull    []bool
	started      bool
	fields       []csvField
	text         []byte // of the fields that had quotes
}

// csvField is a field of the record: bytes of the data, or of text, which may move while the record is read.
type csvField struct {
	plain    []byte
	quoted   bool
	from, to int // in text, if quoted
}

func newCSVReader(f copyFormat, in *plan.Insert) *csvReader {
	r := &csvReader{f: f, forceNotNull: make([]bool, len(in.Targets)), forceNull: make([]bool, len(in.Targets))}
	for i := range in.Targets {
		name := targetName(in, i)
		r.forceNotNull[i] = slices.Contains(f.forceNotNull, name)
		r.forceNull[i] = slices.Contains(f.forceNull, name)
	}
	return r
}

func (r *csvReader) one(data []byte, last bool, b *rowBatch) (int, error) {
	if r.started {
		return r.next(data, last, b, false)
	}
	if !last && len(data) < len(byteOrderMark) {
		return 0, nil
	}
	mark := len(data) - len(bytes.TrimPrefix(data, []byte(byteOrderMark)))
	if !r.f.header && mark > 0 {
		r.started = true
		return mark, nil
	}
	n, err := r.next(data[mark:], last, b, r.f.header)
	if n == 0 || err != nil {
		return 0, err
	}
	r.started = true
	return mark + n, nil
}

const byteOrderMark = "\ufeff"

// next takes the first record of data; n is 0 if it is not complete.
func (r *csvReader) next(data []byte, last bool, b *rowBatch, header bool) (n int, err error) {
	n, lines, ok := r.record(data, last)
	if n == 0 {
		return 0, nil
	}
	b.line++
	switch {
	case !ok:
		err = b.fail("unterminated CSV quoted field")
	case header:
		err = r.header(b)
	default:
		err = r.row(b)
	}
	b.line += int64(lines - 1)
	return n, err
}

// record splits the first record; n is its length with its end, 0 if it is not complete, and lines how many lines it took. ok is false if
// the data ends within quotes.
func (r *csvReader) record(data []byte, last bool) (n, lines int, ok bool) {
	r.fields, r.text = r.fields[:0], r.text[:0]
	end := bytes.IndexByte(data, '\n')
	if end < 0 {
		if !last || len(data) == 0 {
			return 0, 0, true
		}
		end = len(data)
	}
	line := data[:end]
	if bytes.IndexByte(line, r.f.quote) >= 0 {
		return r.quotedRecord(data, last)
	}
	line = bytes.TrimSuffix(line, []byte{'\r'})
	for from := 0; ; {
		at := bytes.IndexByte(line[from:], r.f.delimiter)
		if at < 0 {
			r.fields = append(r.fields, csvField{plain: line[from:]})
			return min(end+1, len(data)), 1, true
		}
		r.fields = append(r.fields, csvField{plain: line[from : from+at]})
		from += at + 1
	}
}

// quotedRecord splits a record that has quotes, byte by byte.
func (r *csvReader) quotedRecord(data []byte, last bool) (n, lines int, ok bool) {
	from, quoted, inside := 0, false, false
	lines = 1
	for i := 0; i < len(data); i++ {
		c := data[i]
		switch {
		case inside && c == r.f.escape && i+1 < len(data) && (data[i+1] == r.f.quote || data[i+1] == r.f.escape):
			i++
			r.text = append(r.text, data[i])
		case inside && c == r.f.escape && i+1 == len(data) && !last:
			return 0, 0, true // what follows decides
		case c == r.f.quote:
			inside = !inside
			quoted = true
		case inside:
			if c == '\n' {
				lines++
			}
			r.text = append(r.text, c)
		case c == r.f.delimiter:
			from, quoted = r.cut(from, quoted), false
		case c == '\n':
			r.cut(from, quoted)
			return i + 1, lines, true
		case c == '\r' && i+1 < len(data) && data[i+1] == '\n', c == '\r' && i+1 == len(data) && last:
		case c == '\r' && i+1 == len(data):
			return 0, 0, true
		default:
			r.text = append(r.text, c)
		}
	}
	if !last {
		return 0, 0, true
	}
	r.cut(from, quoted)
	return len(data), lines, !inside
}

// cut ends a field, and gives where in text the next begins.
func (r *csvReader) cut(from int, quoted bool) int {
	f := csvField{quoted: quoted, from: from, to: len(r.text)}
	r.fields = append(r.fields, f)
	return len(r.text)
}

// bytes is the text of a field.
func (r *csvReader) bytes(f csvField) []byte {
	if f.plain != nil {
		return f.plain
	}
	return r.text[f.from:f.to]
}

func (r *csvReader) header(b *rowBatch) error {
	names := make([][]byte, len(r.fields))
	for i, f := range r.fields {
		names[i] = r.bytes(f)
	}
	return r.f.checkHeader(names, b, func(name []byte) []byte { return name })
}

// row takes the record as a row.
func (r *csvReader) row(b *rowBatch) error {
	if len(r.fields) == 1 && !r.fields[0].quoted {
		only := r.bytes(r.fields[0])
		if string(only) == `\.` {
			b.ended = true
			return nil
		}
		if len(only) == 0 && len(b.fields) > 1 {
			return nil
		}
	}
	if err := b.begin(len(r.fields)); err != nil {
		return err
	}
	for i, f := range r.fields {
		text := r.bytes(f)
		var err error
		if string(text) == r.f.null && (!f.quoted && !r.forceNotNull[i] || f.quoted && r.forceNull[i]) {
			err = b.nullField(i)
		} else {
			err = b.field(i, text)
		}
		if err != nil {
			return err
		}
	}
	b.end()
	return nil
}
