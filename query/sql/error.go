package sql

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// SQLSTATE codes that the parser answers with.
const (
	CodeSyntax       = "42601" // syntax_error
	CodeUnsupported  = "0A000" // feature_not_supported: PostgreSQL knows it, Quipu does not
	CodeUndefined    = "42704" // undefined_object: no such type
	CodeName         = "42602" // invalid_name: longer than NameBytesMax
	CodeEncoding     = "22021" // character_not_in_repertoire: not UTF-8, or a NUL byte
	CodeEscape       = "22025" // invalid_escape_sequence
	CodeTooComplex   = "54001" // statement_too_complex: too long or too deep
	CodeTooMany      = "54011" // too_many_columns
	CodeParam        = "42P02" // undefined_parameter: $0, or a number out of range
	CodeDuplicate    = "42701" // duplicate_column
	CodeInvalidValue = "22023" // invalid_parameter_value
)

// Error is a refusal of a statement, with the place to show it at.
type Error struct {
	Code    string // SQLSTATE
	Message string // as PostgreSQL words it, without a place
	Hint    string // how to mend it; may be empty
	Pos     int    // 1-based, in characters of the whole text; 0 if there is no place
}

// Error is the message; the place and the hint are for the edge that shows them.
func (e *Error) Error() string { return e.Message }

// CharPos is the 1-based position in characters of the byte offset at, which is what the wire carries.
func CharPos(text string, at Pos) int {
	n := min(max(int(at), 0), len(text))
	return utf8.RuneCountInString(text[:n]) + 1
}

// caretWidth bounds the line that Caret shows, so that an error in a line of megabytes stays readable.
const caretWidth = 120

// Caret renders e the way psql does: the message, the line of text with a caret under the place, the hint.
//
//	ERROR:  syntax error at or near "SELEC"
//	LINE 1: SELEC 1
//	        ^
//	HINT:  did you mean SELECT?
func (e *Error) Caret(text string) string {
	var b strings.Builder
	b.WriteString("ERROR:  " + e.Message + "\n")
	if e.Pos > 0 {
		line, number, column := lineAt(text, e.Pos)
		head := "LINE " + strconv.Itoa(number) + ": "
		line, column = clip(line, column)
		b.WriteString(head + string(line) + "\n")
		b.WriteString(strings.Repeat(" ", len(head)+column) + "^\n")
	}
	if e.Hint != "" {
		b.WriteString("HINT:  " + e.Hint + "\n")
	}
	return b.String()
}

// lineAt finds the line that holds the character position pos, its 1-based number and the 0-based column in characters.
func lineAt(text string, pos int) (line []rune, number, column int) {
	number = 1
	start, chars := 0, 1 // of the current line: first byte, first character
	for i, r := range text {
		if chars >= pos {
			break
		}
		chars++
		column++
		if r == '\n' {
			number++
			start, column = i+1, 0
		}
	}
	end := strings.IndexByte(text[start:], '\n')
	if end < 0 {
		end = len(text) - start
	}
	// Only what clip can show is turned into runes.
	shown := text[start : start+end]
	if len(shown) > 4*(column+2*caretWidth) {
		shown = shown[:4*(column+2*caretWidth)]
	}
	line = []rune(strings.ToValidUTF8(strings.TrimRight(shown, "\r"), "\uFFFD"))
	for i, r := range line {
		if r < ' ' {
			line[i] = ' ' // a tab has another width under the caret
		}
	}
	return line, number, column
}

// clip cuts a long line to the part around column, marking the cuts.
func clip(line []rune, column int) ([]rune, int) {
	const dots = "..."
	if from := column - caretWidth/2; len(line) > caretWidth && from > len(dots) {
		line = append([]rune(dots), line[min(from, len(line)):]...)
		column += len(dots) - from
	}
	if len(line) > caretWidth {
		line = append(line[:caretWidth:caretWidth], []rune(dots)...)
	}
	return line, column
}
