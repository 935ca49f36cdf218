package shell

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func reopened(t *testing.T, path string) *history {
	t.Helper()
	h, err := openHistory(path)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestHistoryIsKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state", "history")
	h := reopened(t, path)
	for _, entry := range []string{"SELECT 1;", "SELECT 1;", "SELECT\n  2;\n", " SELECT 'not this';", "", "CREATE ROLE a PASSWORD 'secret';",
		"alter role a password  E'secret'", "SELECT password FROM t;", strings.Repeat("x", entryBytesMax+1)} {
		if _, err := h.Write(entry); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{"SELECT 1;", "SELECT\n  2;", "SELECT password FROM t;"}
	if got := reopened(t, path).entries; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %q, want %q", got, want)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v: want 0600", info.Mode(), err)
	}
	if line, err := h.GetLine(1); line != "SELECT\n  2;" || err != nil || h.Len() != 3 {
		t.Errorf("%q, %v, %d", line, err, h.Len())
	}
	if _, err := h.GetLine(3); err == nil {
		t.Error("an entry after the last")
	}
}

func TestHistoryIsBounded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "history")
	h := reopened(t, path)
	for i := range 2*historyMax + 10 {
		if _, err := h.Write(fmt.Sprint("SELECT ", i)); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 { // the first opening makes the file shorter
		h = reopened(t, path)
		if last, err := h.GetLine(h.Len() - 1); h.Len() != historyMax || last != fmt.Sprint("SELECT ", 2*historyMax+9) || err != nil {
			t.Fatalf("%d entries, the last %q, %v", h.Len(), last, err)
		}
	}
	text, err := os.ReadFile(path)
	if err != nil || strings.Count(string(text), "\n") != historyMax {
		t.Errorf("%d lines, %v", strings.Count(string(text), "\n"), err)
	}
}

// TestHistoryOfEarlierReleases reads its form, an open file of others, and lines that are none.
func TestHistoryOfEarlierReleases(t *testing.T) {
	path := filepath.Join(t.TempDir(), "history")
	text := `{"datetime":"2026-01-01T00:00:00Z","block":"SELECT 1"}` + "\nnonsense\n\"SELECT 2\"\n" + strings.Repeat("x", 9*entryBytesMax) + "\n"
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	h := reopened(t, path)
	if fmt.Sprint(h.entries) != "[SELECT 1 SELECT 2]" {
		t.Errorf("%q", h.entries)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 || info.Size() > 100 {
		t.Errorf("%v, %v", info, err)
	}
}
