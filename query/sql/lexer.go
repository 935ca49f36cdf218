package sql

import (
	"strings"
	"unicode/utf8"
)

type kind uint8

const (
	kEOF    kind = iota
	kWord        // unquoted name or keyword, folded to lower case
	kQuoted      // "quoted" name
	kInt         // digits
	kNumber      // with a point or an exponent
	kString      // value without quotes
	kParam       // $n
	kOp          // operator; != arrives as <>
	kPunct       // ( ) [ ] , ; . : :: := =>
)

// token is one token; text shares memory with the statement where nothing had to be folded or unescaped.
type token struct {
	text     string
	pos, end Pos
	kind     kind
}

// is says whether t is the keyword w.
func (t *token) is(w string) bool { return t.kind == kWord && t.text == w }

// punct says whether t is the punctuation s.
func (t *token) punct(s string) bool { return t.kind == kPunct && t.text == s }

// op says whether t is the operator s.
func (t *token) op(s string) bool { return t.kind == kOp && t.text == s }

// lexer cuts text into tokens. It stops a parse by panicking with *Error, which the entry points catch.
type lexer struct {
	text string
	at   int
}

// Byte classes of the scanner.
const (
	bSpace uint8 = 1 << iota
	bWord        // starts a name
	bDigit
	bOp
	bUpper
	bSpecial // an operator with one of these may end in + or -
)

var byteClass = func() (t [256]uint8) {
	for _, c := range []byte(" \t\n\r\f\v") {
		t[c] |= bSpace
	}
	for c := range 256 {
		switch {
		case c >= 'a' && c <= 'z', c == '_', c >= 0x80:
			t[c] |= bWord
		case c >= 'A' && c <= 'Z':
			t[c] |= bWord | bUpper
		case c >= '0' && c <= '9':
			t[c] |= bDigit
		}
	}
	for _, c := range []byte("+-*/<>=~!@#%^&|`?") {
		t[c] |= bOp
	}
	for _, c := range []byte("~!@#%^&|`?") {
		t[c] |= bSpecial
	}
	return t
}()

// next returns the next token.
func (l *lexer) next() token {
	l.skipBlank()
	if l.at >= len(l.text) {
		return token{kind: kEOF, pos: Pos(l.at), end: Pos(l.at)}
	}
	c := l.text[l.at]
	switch class := byteClass[c]; {
	case class&bWord != 0:
		return l.word()
	case class&bDigit != 0, c == '.' && l.digitAt(l.at+1):
		return l.number()
	case c == '\'':
		start := l.at
		return token{text: l.quotedText('\'', "quoted string"), kind: kString, pos: Pos(start), end: Pos(l.at)}
	case c == '"':
		return l.quotedName()
	case class&bOp != 0:
		return l.operator()
	case c == '$':
		return l.dollar()
	}
	return l.punctuation(c)
}

func (l *lexer) byteAt(i int) byte {
	if i < len(l.text) {
		return l.text[i]
	}
	return 0
}

func (l *lexer) digitAt(i int) bool { return byteClass[l.byteAt(i)]&bDigit != 0 }

// inWord says whether the byte at i continues a name.
func (l *lexer) inWord(i int) bool {
	c := l.byteAt(i)
	return byteClass[c]&(bWord|bDigit) != 0 || c == '$'
}

// skipBlank passes over white space and comments; block comments nest.
func (l *lexer) skipBlank() {
	for l.at < len(l.text) {
		switch c := l.text[l.at]; {
		case byteClass[c]&bSpace != 0:
			l.at++
		case c == '-' && l.byteAt(l.at+1) == '-':
			end := strings.IndexByte(l.text[l.at:], '\n')
			if end < 0 {
				l.at = len(l.text)
				return
			}
			l.at += end + 1
		case c == '/' && l.byteAt(l.at+1) == '*':
			l.blockComment()
		default:
			return
		}
	}
}

func (l *lexer) blockComment() {
	start := l.at
	depth := 0
	for ; l.at < len(l.text); l.at++ {
		switch two := l.text[l.at:min(l.at+2, len(l.text))]; two {
		case "/*":
			depth++
			l.at++
		case "*/":
			depth--
			l.at++
			if depth == 0 {
				l.at++
				return
			}
		}
	}
	l.unterminated("/* comment", start)
}

// word reads a name, or a string with a letter before it.
func (l *lexer) word() token {
	start := l.at
	upper := uint8(0)
	for l.inWord(l.at) {
		upper |= byteClass[l.text[l.at]] & bUpper
		l.at++
	}
	raw := l.text[start:l.at]
	if q := l.byteAt(l.at); q == '\'' && len(raw) == 1 || q == '&' && len(raw) == 1 && (raw == "u" || raw == "U") {
		if t, ok := l.prefixed(raw[0]|0x20, start); ok {
			return t
		}
	}
	if raw[0] >= 0x80 {
		l.refuseOddCharacter(start)
	}
	text := raw
	if upper != 0 {
		text = lowerASCII(raw)
	}
	l.checkName(text, start)
	return token{text: text, kind: kWord, pos: Pos(start), end: Pos(l.at)}
}

// prefixed reads E'…' and N'…', and refuses the kinds of constants that have no meaning here.
func (l *lexer) prefixed(letter byte, start int) (token, bool) {
	switch letter {
	case 'e':
		text := l.escaped(start)
		return token{text: text, kind: kString, pos: Pos(start), end: Pos(l.at)}, true
	case 'n':
		text := l.quotedText('\'', "quoted string")
		return token{text: text, kind: kString, pos: Pos(start), end: Pos(l.at)}, true
	case 'b', 'x':
		if l.byteAt(l.at) == '\'' {
			panic(l.fail(CodeUnsupported, start, "bit string constants are not supported", "write a number or a string"))
		}
	case 'u':
		if q := l.byteAt(l.at + 1); l.byteAt(l.at) == '&' && (q == '\'' || q == '"') {
			panic(l.fail(CodeUnsupported, start, "U& constants are not supported", `write the character itself, or E'\u00e9'`))
		}
	}
	return token{}, false
}

func lowerASCII(s string) string {
	b := []byte(s)
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			b[i] = c | 0x20
		}
	}
	return string(b)
}

// number reads digits, a point, an exponent.
func (l *lexer) number() token {
	start := l.at
	k := kInt
	l.digits()
	if l.byteAt(l.at) == '.' && l.byteAt(l.at+1) != '.' {
		k = kNumber
		l.at++
		l.digits()
	}
	if c := l.byteAt(l.at); c == 'e' || c == 'E' {
		sign := 0
		if s := l.byteAt(l.at + 1); s == '+' || s == '-' {
			sign = 1
		}
		if l.digitAt(l.at + 1 + sign) {
			k = kNumber
			l.at += 1 + sign
			l.digits()
		}
	}
	if l.inWord(l.at) {
		for l.inWord(l.at) {
			l.at++
		}
		panic(l.fail(CodeSyntax, start, "trailing junk after numeric literal at or near "+near(l.text[start:l.at]), ""))
	}
	return token{text: l.text[start:l.at], kind: k, pos: Pos(start), end: Pos(l.at)}
}

func (l *lexer) digits() {
	for l.digitAt(l.at) {
		l.at++
	}
}

// quotedText reads what stands in the quotes q, doubled ones inside, from the opening one. A string goes on in the
// next quotes if a line break stands between, as the standard has it.
func (l *lexer) quotedText(q byte, what string) string {
	start := l.at
	text := l.quotedPart(q, what, start)
	if q != '\'' {
		return text
	}
	var more strings.Builder // a text in a million parts must not be copied a million times
	for {
		from := l.at
		l.skipBlank()
		if l.byteAt(l.at) != q || !strings.Contains(l.text[from:l.at], "\n") {
			l.at = from
			return text + more.String()
		}
		more.WriteString(l.quotedPart(q, what, start))
	}
}

func (l *lexer) quotedPart(q byte, what string, start int) string {
	l.at++
	from := l.at
	doubled := false
	for {
		n := strings.IndexByte(l.text[l.at:], q)
		if n < 0 {
			l.unterminated(what, start)
		}
		l.at += n + 1
		if l.byteAt(l.at) != q {
			break
		}
		doubled = true
		l.at++
	}
	text := l.text[from : l.at-1]
	if doubled {
		text = strings.ReplaceAll(text, string([]byte{q, q}), string([]byte{q}))
	}
	return text
}

func (l *lexer) quotedName() token {
	start := l.at
	text := l.quotedText('"', "quoted identifier")
	if text == "" {
		panic(l.fail(CodeSyntax, start, `zero-length delimited identifier at or near """"`, "a text is written in single quotes: ''"))
	}
	l.checkName(text, start)
	return token{text: text, kind: kQuoted, pos: Pos(start), end: Pos(l.at)}
}

// operator reads the longest run of operator characters that PostgreSQL would: it stops before a comment, and a trailing
// sign belongs to the operand unless the run has a character that no arithmetic uses.
func (l *lexer) operator() token {
	start := l.at
	special := uint8(0)
	for byteClass[l.byteAt(l.at)]&bOp != 0 {
		two := l.text[l.at:min(l.at+2, len(l.text))]
		if two == "--" || two == "/*" {
			break
		}
		special |= byteClass[l.text[l.at]] & bSpecial
		l.at++
	}
	if special == 0 {
		for l.at > start+1 && (l.text[l.at-1] == '+' || l.text[l.at-1] == '-') {
			l.at--
		}
	}
	t := token{text: l.text[start:l.at], kind: kOp, pos: Pos(start), end: Pos(l.at)}
	switch t.text {
	case "!=":
		t.text = "<>"
	case "=>":
		t.kind = kPunct
	}
	if len(t.text) > NameBytesMax {
		panic(l.fail(CodeSyntax, start, "operator too long at or near "+near(t.text), ""))
	}
	return t
}

// dollar reads $1, or a string in dollar quotes.
func (l *lexer) dollar() token {
	start := l.at
	l.at++
	if l.digitAt(l.at) {
		l.digits()
		if l.inWord(l.at) {
			for l.inWord(l.at) {
				l.at++
			}
			panic(l.fail(CodeSyntax, start, "trailing junk after parameter at or near "+near(l.text[start:l.at]), ""))
		}
		return token{text: l.text[start+1 : l.at], kind: kParam, pos: Pos(start), end: Pos(l.at)}
	}
	for byteClass[l.byteAt(l.at)]&(bWord|bDigit) != 0 {
		l.at++
	}
	if l.byteAt(l.at) != '$' {
		panic(l.fail(CodeSyntax, start, "syntax error at or near "+near(l.text[start:max(l.at, start+1)]), "parameters are written $1, $2, …"))
	}
	l.at++
	tag := l.text[start:l.at]
	n := strings.Index(l.text[l.at:], tag)
	if n < 0 {
		l.unterminated("dollar-quoted string", start)
	}
	text := l.text[l.at : l.at+n]
	l.at += n + len(tag)
	return token{text: text, kind: kString, pos: Pos(start), end: Pos(l.at)}
}

func (l *lexer) punctuation(c byte) token {
	start := l.at
	width := 1
	switch c {
	case '(', ')', '[', ']', ',', ';', '.':
	case ':':
		if n := l.byteAt(start + 1); n == ':' || n == '=' {
			width = 2
		}
	default:
		_, width = utf8.DecodeRuneInString(l.text[start:])
		panic(l.fail(CodeSyntax, start, "syntax error at or near "+near(l.text[start:start+width]), ""))
	}
	l.at += width
	return token{text: l.text[start:l.at], kind: kPunct, pos: Pos(start), end: Pos(l.at)}
}

// checkName holds names to the limit. PostgreSQL cuts them silently, which makes two names one.
func (l *lexer) checkName(name string, start int) {
	if len(name) > NameBytesMax {
		panic(l.fail(CodeName, start, "name "+near(name)+" is too long", "a name has at most 63 bytes"))
	}
}

func (l *lexer) unterminated(what string, start int) {
	panic(l.fail(CodeSyntax, start, "unterminated "+what+" at or near "+near(l.text[start:]), ""))
}

func (l *lexer) fail(code string, at int, message, hint string) *Error {
	return &Error{Code: code, Message: message, Hint: hint, Pos: CharPos(l.text, Pos(at))}
}

// oddCharacters are what word processors and web pages leave in statements.
var oddCharacters = map[rune]string{
	'\u00a0': "this is a no-break space: type an ordinary one",
	'\u2007': "this is a figure space: type an ordinary one",
	'\u202f': "this is a narrow no-break space: type an ordinary one",
	'\u200b': "this is an invisible zero-width space: delete it",
	'\ufeff': "this is an invisible byte-order mark: delete it",
	'\u2018': "this is a typographic quote: texts are written in straight ones, 'like this'",
	'\u2019': "this is a typographic quote: texts are written in straight ones, 'like this'",
	'\u201c': `this is a typographic quote: texts are written in straight single quotes, 'like this', names in "these"`,
	'\u201d': `this is a typographic quote: texts are written in straight single quotes, 'like this', names in "these"`,
	'\u2013': "this is a dash: minus is -, a comment begins with --",
	'\u2014': "this is a dash: minus is -, a comment begins with --",
	'\u2212': "this is a typographic minus: type -",
	'\u2264': "write <=",
	'\u2265': "write >=",
	'\u2260': "write <>",
}

func (l *lexer) refuseOddCharacter(start int) {
	r, width := utf8.DecodeRuneInString(l.text[start:])
	if hint, odd := oddCharacters[r]; odd {
		panic(l.fail(CodeSyntax, start, "syntax error at or near "+near(l.text[start:start+width]), hint))
	}
}

// nearMax bounds how much of the statement an error repeats, in bytes.
const nearMax = 64

// near quotes a piece of the statement for a message.
func near(s string) string {
	if len(s) > nearMax {
		n := nearMax
		for !utf8.RuneStart(s[n]) {
			n--
		}
		s = s[:n] + "..."
	}
	return `"` + s + `"`
}
