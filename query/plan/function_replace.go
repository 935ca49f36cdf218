package plan

import (
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/quipudb/quipu/server/errcode"
)

// regexpReplace is regexp_replace(text, pattern, replacement [, flags]): the first match, or with the flag g all of them.
func regexpReplace(a []Value) (Value, error) {
	expr, all := a[1].str, false
	if len(a) == 4 {
		for _, f := range a[3].str {
			switch f {
			case 'g':
				all = true
			case 'i':
				expr = "(?i)" + expr
			default:
				return Null, errcode.New(errcode.InvalidOption, "invalid regular expression option: %q", string(f)).WithHint("the options are g and i")
			}
		}
	}
	re, err := compilePattern("R"+expr, expr)
	if err != nil {
		return Null, err
	}
	s, most := a[0].str, 1
	if all {
		most = -1
	}
	var b strings.Builder
	from := 0
	for _, m := range re.FindAllStringSubmatchIndex(s, most) {
		b.WriteString(s[from:m[0]])
		writeReplacement(&b, a[2].str, s, m)
		if from = m[1]; b.Len() > textBytesMax {
			return Null, errcode.New(errcode.TooLarge, "regexp_replace would make more than %d bytes", textBytesMax)
		}
	}
	b.WriteString(s[from:])
	return TextValue(b.String()), nil
}

// writeReplacement writes a replacement, in which \& is the match, \1 to \9 are its groups and \\ is a backslash.
func writeReplacement(b *strings.Builder, by, s string, m []int) {
	for i := 0; i < len(by); i++ {
		if by[i] != '\\' || i+1 == len(by) {
			b.WriteByte(by[i])
			continue
		}
		i++
		group := int(by[i] - '0')
		if by[i] == '&' {
			group = 0
		}
		switch {
		case by[i] == '&' || by[i] >= '1' && by[i] <= '9':
			if 2*group+1 < len(m) && m[2*group] >= 0 {
				b.WriteString(s[m[2*group]:m[2*group+1]])
			}
		case by[i] == '\\':
			b.WriteByte('\\')
		default:
			b.WriteByte('\\')
			b.WriteByte(by[i])
		}
	}
}

// likeOperator is LIKE as the operators ~~ and !~~, with ILIKE's spelling beside them.
func likeOperator(fold, want bool) func([]Value) (Value, error) {
	return func(a []Value) (Value, error) {
		hit, err := like(a[0].str, a[1].str, `\`, fold)
		return BoolValue(hit == want), err
	}
}

// translate replaces each character of from by the one at its place in to; without one there it goes.
func translate(s, from, to string) string {
	old, by := []rune(from), []rune(to)
	return strings.Map(func(r rune) rune {
		switch i := slices.Index(old, r); {
		case i < 0:
			return r
		case i < len(by):
			return by[i]
		}
		return -1
	}, s)
}

// overlay is overlay(text, by, start [, length]).
func overlay(a []Value) (Value, error) {
	start, length := a[2].num, int64(utf8.RuneCountInString(a[1].str))
	if len(a) == 4 {
		length = a[3].num
	}
	after, ok := addInt(start, length)
	switch {
	case start <= 0:
		return Null, errcode.New(errcode.InvalidOption, "negative substring length not allowed")
	case !ok:
		return Null, outOfRange("int8")
	}
	head, err := substring(a[0].str, 1, start-1)
	if err != nil {
		return Null, err
	}
	tail, err := substring(a[0].str, after, 1<<61)
	return TextValue(head + a[1].str + tail), err
}
