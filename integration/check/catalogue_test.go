package check

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var rewrite = flag.Bool("rewrite", false, "write what the checkers say into the catalogue, to be read in review")

// TestCatalogue holds the smallest history of each anomaly, and legal ones close to it, against what every checker says.
func TestCatalogue(t *testing.T) {
	files, err := filepath.Glob("testdata/catalogue/*.txt")
	if err != nil || len(files) < 20 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			input, want, _ := strings.Cut(string(text), "----\n")
			h, err := parse(input)
			if err != nil {
				t.Fatal(err)
			}
			got := verdict(t, h)
			if legal := strings.HasPrefix(filepath.Base(file), "legal-"); legal != (got == "legal\n") {
				t.Errorf("the name says legal = %v:\n%s", legal, got)
			}
			if *rewrite {
				if err := os.WriteFile(file, []byte(input+"----\n"+got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got != want {
				t.Errorf("got\n%swant\n%s", got, want)
			}
		})
	}
}

// verdict is what all checkers say.
func verdict(t *testing.T, h *History) string {
	l, err := Prepare(h)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, a := range l.All() {
		fmt.Fprintln(&b, a)
	}
	if b.Len() == 0 {
		return "legal\n"
	}
	return b.String()
}

// TestCatalogueIsSmallest takes operations away from each illegal history of the catalogue: nothing may be left over. What Graph judges is
// shrunk by Graph, the rest by Levels.
func TestCatalogueIsSmallest(t *testing.T) {
	files, _ := filepath.Glob("testdata/catalogue/*.txt")
	for _, file := range files {
		if strings.HasPrefix(filepath.Base(file), "legal-") {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		input, _, _ := strings.Cut(string(text), "----\n")
		h, err := parse(input)
		if err != nil {
			t.Fatal(err)
		}
		kinds := kindsOf(h)
		less := Shrink(h, func(h *History) bool { return kindsOf(h) == kinds })
		if size(less) != size(h) {
			t.Errorf("%s shrinks to\n%v", file, less)
		}
	}
}

// kindsOf lists what is wrong with h; "" if nothing is, or if it is no history.
func kindsOf(h *History) string {
	l, err := Prepare(h)
	if err != nil {
		return ""
	}
	var kinds []string
	for _, a := range l.All() {
		kinds = append(kinds, a.Checker+" "+string(a.Kind))
	}
	return strings.Join(kinds, ", ")
}
