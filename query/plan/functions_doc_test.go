package plan

import (
	"flag"
	"os"
	"strings"
	"testing"
)

var rewrite = flag.Bool("rewrite", false, "write the reference of the statistical functions into docs/sql.md")

// TestFunctionsReference holds that docs/sql.md has what the table of functions says.
func TestFunctionsReference(t *testing.T) {
	const file, begin, end = "../../docs/sql.md", "<!-- statistical functions: written by go test ./query/plan -rewrite -->\n", "<!-- end of statistical functions -->\n"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok := strings.Cut(string(text), begin)
	have, tail, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s lacks the marks of the statistical functions", file)
	}
	want := "\n" + FunctionsReference()
	if *rewrite {
		if err := os.WriteFile(file, []byte(head+begin+want+end+tail), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if have != want {
		t.Errorf("%s differs from the table of functions; run go test ./query/plan -rewrite", file)
	}
}

// TestEntries holds that the entries are whole: names are used once, columns that a scalar or a binding names are there.
func TestEntries(t *testing.T) {
	seen := map[string]string{}
	claim := func(name, owner string) {
		if old, taken := seen[name]; taken {
			t.Errorf("%s is a name of %s and of %s", name, old, owner)
		}
		if name != strings.ToLower(name) {
			t.Errorf("%s is not in lower case", name)
		}
		seen[name] = owner
	}
	for _, x := range allTests {
		for _, name := range append([]string{x.Name}, x.Aliases...) {
			claim(name, x.Name)
			if len(functionsByName[name]) > 0 {
				t.Errorf("%s is also a plain function", name)
			}
		}
		if x.Doc == "" || x.Example == "" || x.Family == "" || len(x.Columns) == 0 || len(x.Cats) == 0 {
			t.Errorf("the entry of %s lacks something", x.Name)
		}
		if x.terms == nil && x.sums == nil && x.finish == nil {
			t.Errorf("%s has no way to finish", x.Name)
		}
		for _, i := range x.whole {
			if i >= len(x.Cats) {
				t.Errorf("%s has no category %d", x.Name, i)
			}
		}
	}
	for _, s := range scalars {
		for _, name := range append([]string{s.Name}, s.Aliases...) {
			claim(name, s.Name)
		}
		if of := testsByName[s.Of]; of == nil || of.column(s.Column) < 0 {
			t.Errorf("%s is column %q of %q, which is not there", s.Name, s.Column, s.Of)
		}
	}
}
