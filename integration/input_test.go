package integration

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestBadInputByCommandLine gives a node what it cannot take: each gets its exit code and a text that says what and where, and the counts
// stay as they were.
func TestBadInputByCommandLine(t *testing.T) {
	n := startNode(t, t.TempDir(), "--shards", "1")
	c := n.open()
	query(t, c, "CREATE TABLE t (a text, b int8)")
	for _, tc := range []struct {
		name string
		args []string
		code int
		says []string
	}{
		{"malformed", []string{"sql", "-c", "SELECT a FRM t"}, 1, []string{"FRM", "^"}},
		{"unknown table", []string{"sql", "-c", "SELECT * FROM nothing"}, 1, []string{"nothing"}},
		{"unknown column", []string{"sql", "-c", "SELECT z FROM t"}, 1, []string{`"z"`, "^"}},
		{"negative count", []string{"sql", "-c", "INSERT INTO t (a, b, count) VALUES ('x', 1, -5)"}, 1, []string{"count"}},
		{"fractional count", []string{"sql", "-c", "INSERT INTO t (a, b, count) VALUES ('x', 1, 1.5)"}, 1, []string{"count"}},
		{"not an int8", []string{"sql", "-c", "INSERT INTO t (a, b) VALUES ('x', 'y')"}, 1, []string{"int8"}},
		{"unknown flag", []string{"sql", "--nonsense"}, 2, []string{"nonsense"}},
		{"unknown flag of import", []string{"import", "--nonsense"}, 2, []string{"nonsense"}},
		{"unknown command", []string{"nonsense"}, 2, []string{"nonsense"}},
		{"unknown command of table", []string{"table", "nonsense"}, 2, []string{"nonsense"}},
		{"polling for too long", []string{"serve", "--data-dir", "x", "--pg-poll", "1s"}, 2, []string{"--pg-poll", "10ms"}},
		{"required flag", []string{"import", "x.csv"}, 2, []string{"table"}},
		{"no file", []string{"import"}, 2, []string{"one file"}},
		{"missing file", []string{"import", "missing.csv", "--table", "t"}, 1, []string{"missing.csv"}},
		{"unknown format", []string{"export", "t", "--format", "xml"}, 2, []string{"ndjson"}},
		{"too many arguments", []string{"sql", "SELECT 1"}, 2, []string{"-c"}},
		{"unknown command of the shell", []string{"sql", "-c", `\nonsense`}, 1, []string{`\?`}},
		{"version that is not there", []string{"context", "set", "c", "a=1", "--if-version", "7"}, 4, []string{"quipu context get c"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			out, err := n.run(tc.args...)
			hasCode(t, err, tc.code, out)
			for _, s := range tc.says {
				if !strings.Contains(out, s) {
					t.Errorf("output %q does not say %q", out, s)
				}
			}
			if got := counts(t, c, "t", "a, b"); len(got) > 0 {
				t.Errorf("it counted %v", got)
			}
		})
	}
}

// TestBadFilesByImport imports files with something wrong: what can be counted is, what cannot goes to the rejects file with line and
// reason, and a file that does not fit as a whole changes nothing.
func TestBadFilesByImport(t *testing.T) {
	n := startNode(t, t.TempDir(), "--shards", "1")
	c := n.open()
	for _, tc := range []struct {
		name, file string
		code       int
		says       []string
		want       map[string]int64
		rejected   []string // what the lines of the rejects file say, in order
	}{
		{"wrong_header", "a,wrong,count\nx,1,2\n", 1, []string{`"wrong"`, "--map", "--skip"}, nil, nil},
		{"empty", "", 1, []string{"is empty", "first line must name the columns"}, nil, nil},
		{"byte_order_mark", "\xef\xbb\xbfa,b,count\r\nx,1,2\r\n", 0, []string{"rows 1 = counted 1 + rejected 0"}, map[string]int64{"x/1": 2}, nil},
		{"ragged", "a,b,count\nx,1,2\nx,1\nx,1,2,3\ny,2,5\n", 5, []string{"rows 4 = counted 2 + rejected 2"},
			map[string]int64{"x/1": 2, "y/2": 5}, []string{"3", "4"}},
		{"counts", "a,b,count\nx,1,NaN\nx,1,1.5\nx,1,-3\nx,1,\nx,1,99999999999999999999\nx,1,7\n", 5, []string{"rows 6 = counted 1 + rejected 5"},
			map[string]int64{"x/1": 7}, []string{"NaN", "1.5", "negative", "count", "99999999999999999999"}},
		{"bad_values", "a,b\nx,one\n\xff\xfe,1\n\"open,1\n", 5, []string{"rows 3 = counted 0 + rejected 3"}, nil,
			[]string{"int8", "UTF-8", "not closed"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			query(t, c, "CREATE TABLE "+tc.name+" (a text, b int8)")
			file := filepath.Join(t.TempDir(), "rows.csv")
			if err := os.WriteFile(file, []byte(tc.file), 0o600); err != nil {
				t.Fatal(err)
			}
			out, err := n.run("import", file, "--table", tc.name)
			hasCode(t, err, tc.code, out)
			for _, s := range tc.says {
				if !strings.Contains(out, s) {
					t.Errorf("output %q does not say %q", out, s)
				}
			}
			compare(counts(t, c, tc.name, "a, b"), tc.want).check(t)
			rejects(t, file+".rejected", tc.rejected)
		})
	}
}

// TestExportComesBackByImport writes a table with NULL, empty texts and separators in its values to files, and counts them into another.
func TestExportComesBackByImport(t *testing.T) {
	n := startNode(t, t.TempDir(), "--shards", "1")
	c := n.open()
	query(t, c, "CREATE TABLE t (a text, b int8, c bool)")
	query(t, c, "INSERT INTO t VALUES ('', 1, true, 2), (NULL, NULL, NULL, 3), ('a,\"b', 3, false, 4), ('two\nlines\tand a tab', 9, true, 1)")
	for _, format := range []string{"csv", "tsv", "ndjson"} {
		file := filepath.Join(t.TempDir(), "cells."+format)
		query(t, c, "CREATE TABLE back_"+format+" (a text, b int8, c bool)")
		for _, args := range [][]string{{"export", "t", "--format", format, "-o", file}, {"import", file, "--table", "back_" + format}} {
			if out, err := n.run(args...); err != nil {
				t.Fatalf("%v: %v\n%s", args, err, out)
			}
		}
		compare(counts(t, c, "back_"+format, "a, b, c"), counts(t, c, "t", "a, b, c")).check(t)
	}
}

func hasCode(t *testing.T, err error, want int, out string) {
	t.Helper()
	code := 0
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		code = exit.ExitCode()
	} else if err != nil {
		t.Fatal(err)
	}
	if code != want {
		t.Errorf("exit code %d, want %d:\n%s", code, want, out)
	}
}

// rejects holds that the file's lines say these things, one line each, in order.
func rejects(t *testing.T, file string, want []string) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil && (len(want) > 0 || !errors.Is(err, os.ErrNotExist)) {
		t.Fatal(err)
	}
	rest := string(b)
	for _, w := range want {
		_, after, ok := strings.Cut(rest, w)
		if !ok {
			t.Fatalf("the rejects do not say %q:\n%s", w, b)
		}
		rest = after
	}
	if len(want) == 0 && len(b) > 0 {
		t.Errorf("rejected for no reason:\n%s", b)
	}
}
