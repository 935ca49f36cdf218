package sql

import (
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// escaped reads E'…' from the opening quote; start is the place of the E.
func (l *lexer) escaped(start int) string {
	var b strings.Builder
	l.at++
	for {
		n := strings.IndexAny(l.text[l.at:], `'\`)
		if n < 0 {
			l.unterminated("quoted string", start)
		}
		b.WriteString(l.text[l.at : l.at+n])
		l.at += n
		switch {
		case l.text[l.at] == '\\':
			l.escape(&b, start)
		case l.byteAt(l.at+1) == '\'':
			b.WriteByte('\'')
			l.at += 2
		default:
			l.at++
			if s := b.String(); utf8.ValidString(s) && !strings.Contains(s, "\x00") {
				return s
			}
			panic(l.fail(CodeEncoding, start, "invalid byte sequence for encoding \"UTF8\" in an escaped string", ""))
		}
	}
}

var simpleEscapes = map[byte]byte{'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t'}

// escape reads one backslash escape.
func (l *lexer) escape(b *strings.Builder, start int) {
	c := l.byteAt(l.at + 1)
	switch {
	case l.at+1 >= len(l.text):
		l.unterminated("quoted string", start)
	case c == 'u' || c == 'U':
		b.WriteRune(l.unicodeEscape())
		return
	case c == 'x' && hexDigits(l.text[l.at+2:], 2) > 0:
		n := hexDigits(l.text[l.at+2:], 2)
		v, _ := strconv.ParseUint(l.text[l.at+2:l.at+2+n], 16, 8)
		b.WriteByte(byte(v))
		l.at += 2 + n
		return
	case c >= '0' && c <= '7':
		n := 1
		for n < 3 && l.byteAt(l.at+1+n) >= '0' && l.byteAt(l.at+1+n) <= '7' {
			n++
		}
		v, _ := strconv.ParseUint(l.text[l.at+1:l.at+1+n], 8, 16)
		b.WriteByte(byte(v))
		l.at += 1 + n
		return
	}
	if plain, ok := simpleEscapes[c]; ok {
		c = plain
	}
	b.WriteByte(c)
	l.at += 2
}

// unicodeEscape reads \uXXXX or \UXXXXXXXX, surrogate pairs included.
func (l *lexer) unicodeEscape() rune {
	r := l.oneUnicodeEscape()
	if !utf16.IsSurrogate(r) {
		return r
	}
	at := l.at
	if l.byteAt(at) == '\\' && (l.byteAt(at+1) == 'u' || l.byteAt(at+1) == 'U') {
		if pair := utf16.DecodeRune(r, l.oneUnicodeEscape()); pair != utf8.RuneError {
			return pair
		}
	}
	panic(l.fail(CodeEscape, at, "invalid Unicode surrogate pair", ""))
}

func (l *lexer) oneUnicodeEscape() rune {
	width := 4
	if l.text[l.at+1] == 'U' {
		width = 8
	}
	if hexDigits(l.text[l.at+2:], width) < width {
		panic(l.fail(CodeEscape, l.at, "invalid Unicode escape", `Unicode escapes must be \uXXXX or \UXXXXXXXX`))
	}
	v, _ := strconv.ParseUint(l.text[l.at+2:l.at+2+width], 16, 32)
	if v > utf8.MaxRune {
		panic(l.fail(CodeEscape, l.at, "invalid Unicode escape value", ""))
	}
	l.at += 2 + width
	return rune(v)
}

// hexDigits counts the hexadecimal digits at the start of s, limit at most.
func hexDigits(s string, limit int) int {
	n := 0
	for n < limit && n < len(s) && strings.IndexByte("0123456789abcdefABCDEF", s[n]) >= 0 {
		n++
	}
	return n
}
