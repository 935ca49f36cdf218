package importer

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestKeepRejects: an import that goes on leaves the rows that are settled, and writes the others again.
func TestKeepRejects(t *testing.T) {
	const head = "line,reason,row\n"
	for name, tc := range map[string]struct {
		file string
		last int
		want string // "-" for no file, "error" for a refusal
	}{
		"no file":                     {"-", 7, "-"},
		"empty":                       {"", 7, ""},
		"all settled":                 {head + "3,bad,x\n7,bad,y\n", 7, head + "3,bad,x\n7,bad,y\n"},
		"later rows, out of order":    {head + "9,bad,z\n3,bad,\"x\n,\"\n", 7, head + "3,bad,\"x\n,\"\n"},
		"a row that was cut off":      {head + "3,bad,x\n5,\"ba", 7, head + "3,bad,x\n"},
		"nothing settled":             {head + "3,bad,x\n", 0, "-"},
		"not a file of rejected rows": {"name,age\nx,1\n", 7, "error"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "rejected")
			if tc.file != "-" {
				if err := os.WriteFile(path, []byte(tc.file), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			err := keepRejects(path, tc.last)
			got := "-"
			if b, readErr := os.ReadFile(path); readErr == nil {
				got = string(b)
			}
			if tc.want == "error" {
				if err == nil || !strings.Contains(err.Error(), "--rejects") || got != tc.file {
					t.Errorf("error %v, file %q", err, got)
				}
				return
			}
			if err != nil || got != tc.want {
				t.Errorf("left %q (%v), want %q", got, err, tc.want)
			}
		})
	}
}
