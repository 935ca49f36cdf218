package sql

import "strings"

func (p *parser) fail(code string, at Pos, message, hint string) *Error {
	return p.lex.fail(code, int(at), message, hint)
}

// syntax is the error that the current token cannot stand where it does.
func (p *parser) syntax() *Error { return p.syntaxHint(p.misspelled()) }

func (p *parser) syntaxHint(hint string) *Error {
	if p.tok.kind == kEOF {
		return p.fail(CodeSyntax, p.tok.pos, "syntax error at end of input", hint)
	}
	return p.fail(CodeSyntax, p.tok.pos, "syntax error at or near "+near(p.raw(p.tok)), hint)
}

// raw is the text of t as it was written.
func (p *parser) raw(t token) string { return p.lex.text[t.pos:t.end] }

// expected is the syntax error with what could stand here: keywords in lower case, signs, or a description that begins
// with an article.
func (p *parser) expected(what ...string) *Error {
	for i, w := range what {
		if !described(w) {
			if p.tok.kind == kWord && close2(p.tok.text, w) {
				return p.syntaxHint("did you mean " + strings.ToUpper(w) + "?")
			}
			what[i] = strings.ToUpper(w)
		}
	}
	return p.syntaxHint("expected " + orList(what))
}

func described(w string) bool {
	return strings.HasPrefix(w, "a ") || strings.HasPrefix(w, "an ") || strings.HasPrefix(w, "the ")
}

const backquoteHint = `names are quoted with "double quotes"`

// expectedName is the error where a name should stand; it says if a keyword was taken for one.
func (p *parser) expectedName(what string) *Error {
	switch {
	case p.tok.kind == kOp && p.tok.text[0] == '`':
		return p.syntaxHint(backquoteHint)
	case p.tok.kind == kWord && classOf[p.tok.text] != plain:
		return p.syntaxHint("expected " + what + "; " + strings.ToUpper(p.tok.text) + " is a keyword: as a name it is written " + QuoteIdent(p.tok.text))
	case p.tok.kind == kString:
		return p.syntaxHint("expected " + what + `; names are written without quotes or in double quotes: ` + QuoteIdent(p.tok.text))
	}
	return p.syntaxHint("expected " + what)
}

func orList(words []string) string {
	if len(words) == 1 {
		return words[0]
	}
	return strings.Join(words[:len(words)-1], ", ") + " or " + words[len(words)-1]
}

// verbs are the first words of statements.
var verbs = strings.Fields(`select insert copy create alter drop truncate delete explain show set reset begin start commit
	rollback values table with discard grant revoke savepoint release prepare execute deallocate declare fetch`)

// clauses are the words that a misspelled word behind an expression or a table was probably meant to be.
var clauses = strings.Fields(`from where group having order limit offset fetch union intersect except window join left right
	inner full cross natural values returning using conflict between like ilike filter partition`)

// misspelled is the hint for a word that is nearly a clause: the current one, or the one before it, which the parser took
// for an alias.
func (p *parser) misspelled() string {
	if p.tok.kind == kWord && classOf[p.tok.text] == plain {
		if w := nearest(p.tok.text, clauses); w != "" {
			return "did you mean " + strings.ToUpper(w) + "?"
		}
	}
	if p.prev.kind == kWord && classOf[p.prev.text] == plain {
		if w := nearest(p.prev.text, clauses); w != "" {
			return "did you mean " + strings.ToUpper(w) + " instead of " + p.raw(p.prev) + "?"
		}
	}
	if p.tok.kind == kOp && p.tok.text[0] == '`' {
		return backquoteHint
	}
	return ""
}

// nearest is the word of list that is closest to word, if one is near enough; the word itself does not count.
func nearest(word string, list []string) string {
	best, found := 3, ""
	for _, w := range list {
		if d := distance(word, w, best); d < best && d > 0 && close2(word, w) {
			best, found = d, w
		}
	}
	return found
}

// close2 says whether a and b are within two edits, and one if they are short; a single letter is close to nothing.
func close2(a, b string) bool {
	limit := 2
	switch min(len(a), len(b)) {
	case 0, 1:
		return false
	case 2, 3:
		limit = 1
	}
	d := distance(a, b, limit+1)
	return d > 0 && d <= limit
}

// distance is the number of insertions, deletions, replacements and swaps of neighbours between a and b, or at least
// limit if it is not less.
func distance(a, b string, limit int) int {
	if diff := len(a) - len(b); diff >= limit || -diff >= limit || len(a) > NameBytesMax || len(b) > NameBytesMax {
		return limit
	}
	var rows [3][NameBytesMax + 1]int
	before, last, row := &rows[0], &rows[1], &rows[2]
	for j := range len(b) + 1 {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
