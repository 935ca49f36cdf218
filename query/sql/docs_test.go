package sql

import (
	"os"
	"strings"
	"testing"
)

// The reference must not show what is not accepted. What it prints as must read back, too.
func TestReference(t *testing.T) {
	text, err := os.ReadFile("../../docs/sql.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := strings.Split(string(text), "```sql\n")
	if len(blocks) < 8 {
		t.Fatalf("docs/sql.md has %d blocks of SQL", len(blocks)-1)
	}
	for _, b := range blocks[1:] {
		block, _, _ := strings.Cut(b, "```")
		if _, err := Parse(block); err != nil {
			t.Errorf("%s", caret(err, block))
		}
		checkText(t, block)
	}
}
