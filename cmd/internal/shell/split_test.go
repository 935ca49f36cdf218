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
		"comment alone":     {"-- nothing\n", nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			var s Splitter
			var got []string
			for line := range strings.SplitSeq(tc.text, "\n") {
				got = append(got, s.Feed(line)...)
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
