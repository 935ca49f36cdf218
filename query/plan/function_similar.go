package plan

import (
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/quipudb/quipu/server/errcode"
)

var fnSimilar = fn("similar_to", Bool, func(a []Value) (Value, error) {
	hit, err := similar(a[0].str, a[1].str, a[2].str)
	return BoolValue(hit), err
}, Text, Text, Text)

// similar matches a whole text with a pattern of the SQL standard: % and _ as in LIKE, and | * + ? {m,n} ( ) [ ] as in regular expressions.
func similar(s, pattern, escape string) (bool, error) {
	key := "S" + escape + "\x00" + pattern
	patterns.Lock()
	re, ok := patterns.m[key]
	patterns.Unlock()
	if !ok {
		expr, err := similarExpr(pattern, escape)
		if err != nil {
			return false, err
		}
		if re, err = compilePattern(key, expr); err != nil {
			return false, err
		}
	}
	return re.MatchString(s), nil
}

// similarExpr is a pattern as a regular expression. As in PostgreSQL an escaped d, w or s is a class of characters, and an escaped double quote, which
// parts the pattern in the standard's SUBSTRING, matches nothing.
func similarExpr(pattern, escape string) (string, error) {
	if utf8.RuneCountInString(escape) > 1 {
		return "", errcode.New(errcode.InvalidOption, "invalid escape string: %q", escape).WithHint("ESCAPE takes one character, or none")
	}
	var b strings.Builder
	b.WriteString("(?s)^(?:")
	escaped, class, separators := false, false, 0
	for _, r := range pattern {
		switch {
		case escaped:
			escaped = false
			switch {
			case r == '"' && !class:
				if separators++; separators > 2 {
					return "", errcode.New(errcode.InvalidOption, "SQL regular expression may not contain more than two escape-double-quote separators")
				}
			case strings.ContainsRune("dwsDWS", r):
				b.WriteString(`\` + string(r))
			default:
				b.WriteString(regexp.QuoteMeta(string(r)))
			}
		case escape != "" && string(r) == escape:
			escaped = true
		case class:
			if r == '\\' {
				b.WriteByte('\\')
			}
			b.WriteRune(r)
			class = r != ']'
		case r == '%':
			b.WriteString(".*")
		case r == '_':
			b.WriteByte('.')
		case r == '(':
			b.WriteString("(?:")
		case r == '\\' || r == '.' || r == '^' || r == '$':
			b.WriteString(`\` + string(r))
		default:
			b.WriteRune(r)
			class = r == '['
		}
	}
	b.WriteString(")$")
	return b.String(), nil
}
