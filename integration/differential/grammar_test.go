package differential

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// TestGrammarIsThePage holds Grammar to docs/sql.md: each rule stands there, and no row of a table, no example and no paragraph that begins with a
// word in bold is without a rule. Statistical functions have tests of their own.
func TestGrammarIsThePage(t *testing.T) {
	text, err := os.ReadFile("../../docs/sql.md")
	if err != nil {
		t.Fatal(err)
	}
	page := string(text)
	for _, r := range Grammar {
		if !strings.Contains(page, r.Text) {
			t.Errorf("docs/sql.md does not say %q", r.Text)
		}
		if (len(r.By) == 0) == (r.Why == "") {
			t.Errorf("%q has productions, or a reason why it has none: one of them", r.Text)
		}
	}
	ruled := func(piece string) bool {
		return slices.ContainsFunc(Grammar, func(r Rule) bool { return strings.Contains(piece, r.Text) })
	}
	for section := range strings.SplitSeq(page, "\n## ") {
		title, _, _ := strings.Cut(section, "\n")
		if !slices.Contains([]string{"Tables", "Writing", "Asking", "Expressions", "Session", "Roles"}, title) {
			continue
		}
		section, _, _ = strings.Cut(section, "### Settings")
		for i, piece := range strings.Split(section, "```") {
			if i%2 == 1 {
				answer := strings.HasPrefix(piece, "text\n") // of the example before it
				if !answer && !ruled(piece) {
					t.Errorf("%s: no rule is about the example\n%s", title, piece)
				}
				continue
			}
			for line := range strings.SplitSeq(piece, "\n") {
				row := strings.HasPrefix(line, "| ") && !strings.HasPrefix(line, "| Clause") && !strings.HasPrefix(line, "| Operators") &&
					!strings.HasPrefix(line, "| Aggregate") && !strings.HasPrefix(line, "| Refused") && title != "Roles"
				if row && !ruled(line) {
					t.Errorf("%s: no rule is about the row\n%s", title, line)
				}
			}
		}
	}
}

// TestGeneratorUsesTheGrammar makes statements without asking anybody: all productions of the grammar come, and no others.
func TestGeneratorUsesTheGrammar(t *testing.T) {
	g := New(1)
	h := NewHistogram()
	for range 30 {
		w := g.World()
		for _, p := range append(w.Setup, w.Drop...) {
			h.Count(p.Production)
		}
		for range 100 {
			h.Add(g.Statement(w), &Result{}, &Result{})
		}
	}
	h.Rows, h.Deep = h.Equal, h.Equal
	if err := h.Check(1); err != nil {
		t.Error(err)
	}
}

// TestSameSeedSameStatements holds that a seed repeats what it found.
func TestSameSeedSameStatements(t *testing.T) {
	texts := func() (out []string) {
		g := New(7)
		for range 2 {
			w := g.World()
			for range 50 {
				out = append(out, g.Statement(w).SQL())
			}
		}
		return out
	}
	if !slices.Equal(texts(), texts()) {
		t.Error("two generators of one seed made different statements")
	}
}
