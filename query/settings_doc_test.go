package query

import (
	"os"
	"strings"
	"testing"
)

// TestSettingsReference holds that docs/sql.md names every setting, with its default where clients may change it.
func TestSettingsReference(t *testing.T) {
	text, err := os.ReadFile("../docs/sql.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(text), "### Settings")
	if !found {
		t.Fatal("docs/sql.md has no settings")
	}
	section, _, _ = strings.Cut(section, "\n## ")
	for _, k := range known {
		row := ""
		for line := range strings.Lines(section) {
			if strings.HasPrefix(line, "|") && strings.Contains(line, "`"+k.name+"`") {
				row = line
			}
		}
		if row == "" {
			t.Errorf("%s is not in docs/sql.md", k.name)
		} else if strings.HasPrefix(k.name, "quipu.") && k.value != "" && !strings.Contains(row, "`"+k.value+"`") {
			t.Errorf("%s: the default %q is not in %s", k.name, k.value, row)
		}
	}
}
