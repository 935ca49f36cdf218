package pgwire

import (
	"bytes"
	"strings"
)

func trimmed(b []byte) string { return strings.TrimSpace(string(b)) }

// textReader reads the text format: fields between delimiters, NULL by its spelling, backslash escapes, \. at the end.
type textReader struct {
	f       copyFormat
	started bool
	fields  [][]byte
	field   []byte // unescaped
}

func (r *textReader) one(data []byte, last bool, b *rowBatch) (int, error) {
	line, n := nextLine(data, last)
	if n == 0 {
		return 0, nil
	}
	b.line++
	return n, r.line(line, b)
}

// nextLine cuts off the first line, whose end no backslash escapes; n is its length with its end, 0 if there is no complete one.
func nextLine(data []byte, last bool) (line []byte, n int) {
	for from := 0; ; {
		at := bytes.IndexByte(data[from:], '\n')
		if at < 0 {
			break
		}
		at += from
		if at == 0 || data[at-1] != '\\' || !escaped(data[:at]) {
			return bytes.TrimSuffix(data[:at], []byte{'\r'}), at + 1
		}
		from = at + 1
	}
	if !last {
		return nil, 0
	}
	return bytes.TrimSuffix(data, []byte{'\r'}), len(data)
}

// escaped says that line ends in an odd number of backslashes.
func escaped(line []byte) bool {
	n := 0
	for n < len(line) && line[len(line)-1-n] == '\\' {
		n++
	}
	return n%2 == 1
}

func (r *textReader) line(line []byte, b *rowBatch) error {
	if len(line) == 2 && string(line) == `\.` {
		b.ended = true
		return nil
	}
	if !r.started {
		r.started = true
		if r.f.header {
			return r.f.checkHeader(r.split(line), b, func(f []byte) []byte { return r.unescape(f) })
		}
	}
	if len(line) == 0 && len(b.fields) > 1 {
		return nil
	}
	fields := r.split(line)
	if err := b.begin(len(fields)); err != nil {
		return err
	}
	for i, f := range fields {
		var err error
		if string(f) == r.f.null {
			err = b.nullField(i)
		} else {
			err = b.field(i, r.unescape(f))
		}
		if err != nil {
			return err
		}
	}
	b.end()
	return nil
}

// split cuts a line at the delimiters that no backslash stands before.
func (r *textReader) split(line []byte) [][]byte {
	r.fields = r.fields[:0]
	from := 0
	if bytes.IndexByte(line, '\\') < 0 {
		for {
			at := bytes.IndexByte(line[from:], r.f.delimiter)
			if at < 0 {
				break
			}
			r.fields = append(r.fields, line[from:from+at])
			from += at + 1
		}
		r.fields = append(r.fields, line[from:])
		return r.fields
	}
	for i := 0; i < len(line); i++ {
		switch line[i] {
		case '\\':
			i++
		case r.f.delimiter:
			r.fields = append(r.fields, line[from:i])
			from = i + 1
		}
	}
	r.fields = append(r.fields, line[from:])
	return r.fields
}

// unescape replaces what backslashes stand for. The result is good until the next call.
func (r *textReader) unescape(field []byte) []byte {
	if bytes.IndexByte(field, '\\') < 0 {
		return field
	}
	r.field = r.field[:0]
	for i := 0; i < len(field); i++ {
		if field[i] != '\\' || i+1 == len(field) {
			r.field = append(r.field, field[i])
			continue
		}
		i++
		value, used := unescapeOne(field[i:])
		r.field = append(r.field, value)
		i += used - 1
	}
	return r.field
}

// unescapeOne reads what follows a backslash: the byte it stands for and how many bytes it took.
func unescapeOne(s []byte) (value byte, used int) {
	switch c := s[0]; c {
	case 'b':
		return '\b', 1
	case 'f':
		return '\f', 1
	case 'n':
		return '\n', 1
	case 'r':
		return '\r', 1
	case 't':
		return '\t', 1
	case 'v':
		return '\v', 1
	case 'x':
		v, n := digits(s[1:], 16, 2)
		if n == 0 {
			return 'x', 1
		}
		return v, n + 1
	case '0', '1', '2', '3', '4', '5', '6', '7':
		return digits(s, 8, 3)
	default:
		return c, 1
	}
}

// digits reads up to most digits of a base.
func digits(s []byte, base, most int) (value byte, n int) {
	v := 0
	for n < most && n < len(s) {
		d := bytes.IndexByte([]byte("0123456789abcdef"), s[n]|0x20)
		if s[n] < 'A' {
			d = int(s[n]) - '0'
		}
		if d < 0 || d >= base {
			break
		}
		v = v*base + d
		n++
	}
	return byte(v), n
}

// checkHeader skips the header, or compares its names with the columns.
func (f *copyFormat) checkHeader(fields [][]byte, b *rowBatch, text func([]byte) []byte) error {
	if !f.match {
		return nil
	}
	if len(fields) != len(b.fields) {
		return b.fail("wrong number of fields in header line: got %d, expected %d", len(fields), len(b.fields))
	}
	for i, field := range fields {
		if name := text(field); string(name) != b.fields[i].name {
			return b.fail("column name mismatch in header line field %d: got %q, expected %q", i+1, short(name), b.fields[i].name)
		}
	}
	return nil
}
