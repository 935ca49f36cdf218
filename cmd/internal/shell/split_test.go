package shell

import (
	"slices"
	"strings"
	"testing"
)

func TestSplitter(t *testing.T) {
	for name, tc := range map[string]struct {
		text string
		want []string
		rest string
	}{
		"two":               {"SELECT 1; SELECT 2;", []string{"SELECT 1", "SELECT 2"}, ""},
		"over lines":        {"SELECT\n1\n;", []string{"SELECT\n1"}, ""},
		"in a string":       {"SELECT ';';", []string{"SELECT ';'"}, ""},
		"doubled quote":     {"SELECT 'it''s; so';", []string{"SELECT 'it''s; so'"}, ""},
		"in a name":         {`SELECT "a;b";`, []string{`SELECT "a;b"`}, ""},
		"in a comment":      {"SELECT 1 -- not; here\n;", []string{"SELECT 1 -- not; here"}, ""},
		"in nested comment": {"SELECT /* a /* ; */ ; */ 1;", []string{"SELECT /* a /* ; */ ; */ 1"}, ""},
		"only semicolons":   {";;;", nil, ""},
		"unfinished":        {"SELECT 1; SELECT 2", []string{"SELECT 1"}, "SELECT 2"},
		"command":           {`\d t`, []string{`\d t`}, ""},
		"command behind":    {`SELECT 1; \d t`, []string{"SELECT 1", `\d t`}, ""},
		"command inside":    {`SELECT 1 \watch 2`, []string{`\watch 2`}, "SELECT 1"},
		"in E''":            {`SELECT E'it\'s one; \\'; SELECT 2;`, []string{`SELECT E'it\'s one; \\'`, "SELECT 2"}, ""},
		"a name before '":   {`SELECT date'x\'; SELECT 2;`, []string{`SELECT date'x\'`, "SELECT 2"}, ""},
		"comment alone":     {"-- nothing\n", nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			var s Splitter
			var got []string
			for line := range strings.SplitSeq(tc.text, "\n") {
				for _, it := range s.Feed(line) {
					got = append(got, it.SQL+it.Command)
				}
			}
			if !slices.Equal(got, tc.want) || s.Rest() != tc.rest {
				t.Errorf("got %q rest %q, want %q rest %q", got, s.Rest(), tc.want, tc.rest)
			}
			if s.Pending() != (tc.rest != "") {
				t.Errorf("Pending() = %v with rest %q", s.Pending(), tc.rest)
			}
		})
	}
}

func TestCaretCountsCharacters(t *testing.T) {
	got := Caret("SELECT 1,\n\t'é' SELEC", 16)
	if want := "LINE 2: \t'é' SELEC\n        \t    ^\n"; got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	if got := Caret("SELECT", 99); got != "LINE 1: SELECT\n              ^\n" {
		t.Errorf("past the end: %q", got)
	}
}
