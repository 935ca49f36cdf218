package sql

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"
)

// FuzzParse holds the parser to three promises: it does not panic, its errors point into the text and render, and what it
// accepts prints as a text that reads back as the same tree and prints alike.
func FuzzParse(f *testing.F) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		runCases(string(text), func(directive, input string) string {
			if directive == "expr" {
				input = "SELECT " + input
			}
			f.Add(input)
			return ""
		})
	}
	f.Fuzz(func(t *testing.T, text string) { checkText(t, text) })
}

func checkText(t *testing.T, text string) {
	t.Helper()
	stmts, err := Parse(text)
	if err != nil {
		e, ok := errors.AsType[*Error](err)
		if !ok || e.Message == "" || len(e.Code) != 5 {
			t.Fatalf("%q: bad error %#v", text, err)
		}
		if e.Pos < 0 || e.Pos > utf8.RuneCountInString(text)+1 {
			t.Fatalf("%q: place %d is outside", text, e.Pos)
		}
		if !strings.HasPrefix(e.Caret(text), "ERROR:  ") {
			t.Fatalf("%q: %q", text, e.Caret(text))
		}
		return
	}
	for _, s := range stmts {
		if at := int(s.At()); at < 0 || at >= len(text) {
			t.Fatalf("%q: statement at %d", text, at)
		}
		printed := Print(s)
		again, err := ParseOne(printed)
		if err != nil {
			if e, ok := errors.AsType[*Error](err); ok && (e.Code == CodeTooComplex || e.Code == CodeTooMany) {
				continue // the canonical form may have parentheses more
			}
			t.Fatalf("%q\nprints as %q\nwhich is refused: %v", text, printed, err)
		}
		if dump(again) != dump(s) {
			t.Fatalf("%q\nprints as %q\nwhich is another tree\n%s\n%s", text, printed, dump(s), dump(again))
		}
		if twice := Print(again); twice != printed {
			t.Fatalf("%q\nprints as %q\nthen as %q", text, printed, twice)
		}
	}
}
