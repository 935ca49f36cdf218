package plan

import (
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/quipudb/quipu/query/sql"
	"github.com/quipudb/quipu/server/errcode"
)

// formatFunction is format of PostgreSQL: %s, %I and %L, each with a position, a width and a minus for the left side. It runs at the
// coordinator, as what clients ask with it is of the catalogs.
var formatFunction = &Function{Name: "format", Args: []Type{Text, Unknown}, More: true, Result: Text, nullable: true, local: true, eval: formatValues}

func formatValues(a []Value) (Value, error) {
	if a[0].IsNull() {
		return Null, nil
	}
	f := formatter{args: a[1:], rest: a[0].str}
	for {
		before, after, found := strings.Cut(f.rest, "%")
		f.out.WriteString(before)
		if !found {
			return TextValue(f.out.String()), nil
		}
		f.rest = after
		if err := f.specifier(); err != nil {
			return Null, err
		}
		if f.out.Len() > textBytesMax {
			return Null, errcode.New(errcode.TooLarge, "the text of format is longer than %d bytes", textBytesMax)
		}
	}
}

// formatter writes one text. rest is what is not read yet, next the value that comes without a position.
type formatter struct {
	args []Value
	next int
	rest string
	out  strings.Builder
}

// specifier reads what stands behind a percent sign.
func (f *formatter) specifier() error {
	if strings.HasPrefix(f.rest, "%") {
		f.out.WriteByte('%')
		f.rest = f.rest[1:]
		return nil
	}
	at := -1
	if n, ok := f.number(); ok && strings.HasPrefix(f.rest[n:], "$") {
		at, _ = strconv.Atoi(f.rest[:n])
		f.rest = f.rest[n+1:]
		if at == 0 {
			return errcode.New(errcode.InvalidOption, "format specifies argument 0, but arguments are numbered from 1")
		}
	}
	left := false
	for strings.HasPrefix(f.rest, "-") {
		left, f.rest = true, f.rest[1:]
	}
	width, err := f.width()
	if err != nil {
		return err
	}
	if width < 0 {
		left, width = true, -width
	}
	if f.rest == "" {
		return errcode.New(errcode.InvalidOption, "unterminated format() type specifier").WithHint("for a single %% use %%%%")
	}
	kind := f.rest[0]
	if !strings.ContainsRune("sIL", rune(kind)) {
		r, _ := utf8.DecodeRuneInString(f.rest)
		return errcode.New(errcode.InvalidOption, "unrecognized format() type specifier %q", string(r)).WithHint("for a single %% use %%%%")
	}
	f.rest = f.rest[1:]
	v, err := f.value(at)
	if err != nil {
		return err
	}
	text, err := formatted(kind, v)
	if err != nil {
		return err
	}
	fill := strings.Repeat(" ", max(0, width-utf8.RuneCountInString(text)))
	if left {
		f.out.WriteString(text + fill)
	} else {
		f.out.WriteString(fill + text)
	}
	return nil
}

// number is the length of the digits that rest begins with.
func (f *formatter) number() (n int, ok bool) {
	for n < len(f.rest) && f.rest[n] >= '0' && f.rest[n] <= '9' {
		n++
	}
	return n, n > 0 && n <= 6
}

// width reads a number, or a star for one of the arguments, which may have a position.
func (f *formatter) width() (int, error) {
	if !strings.HasPrefix(f.rest, "*") {
		n, ok := f.number()
		if !ok {
			return 0, nil
		}
		w, _ := strconv.Atoi(f.rest[:n])
		f.rest = f.rest[n:]
		return w, nil
	}
	f.rest = f.rest[1:]
	at := -1
	if n, ok := f.number(); ok && strings.HasPrefix(f.rest[n:], "$") {
		at, _ = strconv.Atoi(f.rest[:n])
		f.rest = f.rest[n+1:]
	}
	v, err := f.value(at)
	if err != nil || v.IsNull() {
		return 0, err
	}
	w, err := strconv.Atoi(v.String())
	if err != nil || w > textBytesMax || w < -textBytesMax {
		return 0, errcode.New(errcode.InvalidOption, "the width %q of format is not a number, or too large", v.String())
	}
	return w, nil
}

// value is the one at a position, or the next one.
func (f *formatter) value(at int) (Value, error) {
	if at < 0 {
		at = f.next + 1
	}
	if at < 1 || at > len(f.args) {
		return Null, errcode.New(errcode.InvalidOption, "too few arguments for format()")
	}
	f.next = at
	return f.args[at-1], nil
}

func formatted(kind byte, v Value) (string, error) {
	switch {
	case kind == 'I' && v.IsNull():
		return "", errcode.New(errcode.NotNull, "null values cannot be formatted as an SQL identifier")
	case kind == 'I':
		return sql.QuoteIdent(v.String()), nil
	case kind == 'L' && v.IsNull():
		return "NULL", nil
	case kind == 'L':
		return quoteLiteral(v.String()), nil
	case v.IsNull():
		return "", nil
	}
	return v.String(), nil
}

// quoteLiteral writes a text as a literal.
func quoteLiteral(s string) string {
	quoted := "'" + strings.ReplaceAll(s, "'", "''") + "'"
	if strings.Contains(s, `\`) {
		return "E" + strings.ReplaceAll(quoted, `\`, `\\`)
	}
	return quoted
}
