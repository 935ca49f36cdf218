package shell

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/quipudb/quipu/client"
	"github.com/quipudb/quipu/cmd/internal/render"
)

// canned is a server that answers every statement with a row of its text, and "fail" with an error. Sessions against a real one are in
// integration.
type canned struct{ asked []string }

func (c *canned) State() State  { return Idle }
func (c *canned) About() string { return "a can" }

func (c *canned) Query(ctx context.Context, sql string) (Rows, error) {
	c.asked = append(c.asked, sql)
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case strings.HasPrefix(sql, "fail"):
		return nil, &client.Error{Message: "it fails", Position: 1, Hint: "do not"}
	case strings.Contains(sql, "sum(count)"):
		return &cannedRows{columns: []render.Column{{Name: "a"}, {Name: "b"}, {Name: "sum", Numeric: true}},
			rows: [][]any{{"x", "y", int64(3)}, {"x", nil, int64(9)}, {"z", "y", int64(5)}, {"x", "w", 2.0}}}, nil
	}
	return &cannedRows{columns: []render.Column{{Name: "sql"}}, rows: [][]any{{sql}}}, nil
}

func (c *canned) CopyIn(_ context.Context, sql string, r io.Reader) (client.Footing, error) {
	if strings.Contains(sql, "fails") {
		return client.Footing{}, &client.Error{Message: "it fails"}
	}
	b, err := io.ReadAll(r)
	c.asked = append(c.asked, sql+" <- "+string(b))
	return client.Footing{Tag: "COPY"}, err
}

func (c *canned) CopyOut(_ context.Context, sql string, w io.Writer) (client.Footing, error) {
	c.asked = append(c.asked, sql)
	_, err := io.WriteString(w, "x,1\n")
	return client.Footing{Tag: "COPY"}, err
}

type cannedRows struct {
	columns []render.Column
	rows    [][]any
	at      int
}

func (r *cannedRows) Columns() []render.Column { return r.columns }
func (r *cannedRows) Next() bool               { r.at++; return r.at <= len(r.rows) }
func (r *cannedRows) Values() []any            { return r.rows[r.at-1] }
func (r *cannedRows) Err() error               { return nil }
func (r *cannedRows) Close()                   {}
func (r *cannedRows) Footing() client.Footing {
	return client.Footing{Tag: "SELECT 1", Age: 1500 * time.Millisecond, Snapshot: "1/2/3"}
}

// run gives what a script prints, and what the server was asked.
func run(t *testing.T, script string, change func(*Session)) (out string, asked []string, err error) {
	t.Helper()
	var b bytes.Buffer
	c := &canned{}
	s := &Session{Conn: c, Out: &b, Err: &b, Format: "csv"}
	if change != nil {
		change(s)
	}
	err = s.Script(t.Context(), strings.NewReader(script))
	return b.String(), c.asked, errors.Join(err, s.Close())
}

func TestCommandsThatTakeTheStatement(t *testing.T) {
	for script, want := range map[string]string{
		"a \\g\n\\g":            "a|a",
		"a;\n\\g":               "a|a",
		"a\nb \\gx":             "a\nb",
		"a \\r\n\\echo x\nb;":   "b",
		"a \\watch c=2 0.001":   "a|a",
		"a; b; \\q\nc;":         "a|b",
		"a\n":                   "a",
		"a -- ; \\q\n;":         "a -- ; \\q",
		"sum(count) x \\plot":   "sum(count) x",
		`\plot "a b" c "d e"`:   `SELECT c, "d e", sum(count) FROM "a b" GROUP BY 1, 2 ORDER BY 1, 2`,
		`\plot t a b WHERE x=1`: `SELECT a, b, sum(count) FROM t WHERE x=1 GROUP BY 1, 2 ORDER BY 1, 2`,
	} {
		if _, asked, err := run(t, script, nil); err != nil || strings.Join(asked, "|") != want {
			t.Errorf("%q asks %q, %v; want %q", script, asked, err, want)
		}
	}
}

// TestCopy: what \copy asks of the server, and where its data comes from and goes.
func TestCopy(t *testing.T) {
	dir := t.TempDir()
	in, to := filepath.Join(dir, "it's in.csv"), filepath.Join(dir, "out.csv")
	if err := os.WriteFile(in, []byte("a,1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	quoted := "'" + strings.ReplaceAll(in, "'", "''") + "'"
	for script, want := range map[string]string{
		`\copy t FROM ` + quoted + ` CSV`:                              "COPY t FROM STDIN CSV <- a,1\n",
		`\copy "to" (a, "from") from ` + quoted + ` WITH (FORMAT csv)`: `COPY "to" (a, "from") FROM STDIN WITH (FORMAT csv) <- a,1` + "\n",
		"\\copy t FROM stdin\nb\t2\n\\.\nc;":                           "COPY t FROM STDIN <- b\t2\n|c",
		"\\copy t FROM STDIN\nb;\n":                                    "COPY t FROM STDIN <- b;\n",
		`\copy (SELECT a FROM t WHERE b = ')') TO STDOUT CSV`:          "COPY (SELECT a FROM t WHERE b = ')') TO STDOUT CSV",
		`\copy t TO ` + to:                                             "COPY t TO STDOUT",
	} {
		out, asked, err := run(t, script, nil)
		if err != nil || strings.Join(asked, "|") != want {
			t.Errorf("%q asks %q, %v; want %q", script, asked, err, want)
		}
		if strings.Contains(script, "TO STDOUT") && out != "x,1\n" {
			t.Errorf("%q prints %q", script, out)
		}
	}
	if b, err := os.ReadFile(to); err != nil || string(b) != "x,1\n" {
		t.Errorf("%q, %v", b, err)
	}
}

// TestHelpFits: \? is readable on 80 columns, and names every command that there is.
func TestHelpFits(t *testing.T) {
	out, _, err := run(t, `\?`, func(s *Session) {
		s.Commands = []Command{{`\kill`, "N", "end node N", nil}}
	})
	if err != nil || !strings.Contains(out, "\n  \\kill N ") {
		t.Errorf("%v: %s", err, out)
	}
	for line := range strings.Lines(out) {
		if len([]rune(line)) > 80 {
			t.Errorf("%d characters: %s", len([]rune(line)), line)
		}
	}
}

func TestErrorsOfCommands(t *testing.T) {
	for script, want := range map[string]string{
		`\nope`:                        `unknown command \nope; \? lists them`,
		`\g`:                           "there is no statement yet",
		`\x maybe`:                     `"maybe" is neither on nor off, and not auto`,
		`\timing 3`:                    `"3" is neither on nor off`,
		`\format xml`:                  "unknown format",
		`\pset border 2`:               "knows expanded, format, null and pager",
		`\i`:                           "needs the name of a file",
		`\i /nonexistent/x`:            "no such file",
		`\o |less`:                     "takes a file",
		`a \watch soon`:                `"soon" is not a number of seconds`,
		`a \watch c=0`:                 `"0" is not a number of times`,
		`a \watch m=2`:                 `not "m=2"`,
		`\plot t a`:                    `use \plot TABLE ROWS COLUMNS`,
		`\plot select 1`:               "two columns of categories and a count",
		`\e`:                           "needs a terminal",
		`\copy t`:                      "FROM FILE",
		`\copy FROM x`:                 "FROM FILE",
		`\copy t FROM`:                 "FROM FILE",
		`\copy t FROM PROGRAM 'x'`:     "use a pipe",
		`\copy t FROM /nonexistent/x`:  "no such file",
		`\copy fails FROM '/dev/null'`: "it fails",
		"fail it;":                     "ERROR:  it fails\nLINE 1: fail it\n        ^\nHINT:  do not",
	} {
		out, _, err := run(t, script, nil)
		if !errors.Is(err, ErrFailed) || !strings.Contains(out, want) {
			t.Errorf("%q prints %q, %v; want %q", script, out, err, want)
		}
	}
}

func TestOutputAndInputFiles(t *testing.T) {
	dir := t.TempDir()
	in, to, one := filepath.Join(dir, "in.sql"), filepath.Join(dir, "out"), filepath.Join(dir, "one")
	if err := os.WriteFile(in, []byte("b;\n\\q\nnever;"), 0o600); err != nil {
		t.Fatal(err)
	}
	out, _, err := run(t, "\\o "+to+"\na;\n\\i "+in+"\n\\o\nc;\nd \\g '"+one+"'\n", nil)
	if err != nil || strings.Count(out, "sql\nc\n") != 1 || strings.Contains(out, "sql\na") {
		t.Errorf("%q, %v", out, err)
	}
	for path, want := range map[string]string{to: "sql\na\nsql\nb\n", one: "sql\nd\n"} {
		if text, err := os.ReadFile(path); err != nil || string(text) != want {
			t.Errorf("%s holds %q, %v", path, text, err)
		}
	}
	if err := os.WriteFile(in, []byte("\\i "+in), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, _, err := run(t, "\\i "+in, nil); err == nil || !strings.Contains(out, "include each other") {
		t.Errorf("%q, %v", out, err)
	}
}

func TestAgeIsShown(t *testing.T) {
	if out, _, err := run(t, "a;", nil); err != nil || !strings.Contains(out, "as of 1.5s ago, snapshot 1/2/3") {
		t.Errorf("%q, %v", out, err)
	}
}

func TestPlotOfAStatement(t *testing.T) {
	out, _, err := run(t, "select a, b, sum(count) \\plot", nil)
	if err != nil || !strings.Contains(out, "a by b: X") || !strings.Contains(out, "n = 10") {
		t.Errorf("%s, %v", out, err)
	}
}

func TestPatterns(t *testing.T) {
	for text, want := range map[string]string{
		"": "true", "*": "true", "a*": "n LIKE 'a%'", "A?b": "n LIKE 'a_b'", `"A*"`: "n LIKE 'A*'", "a_b%": `n LIKE 'a\_b\%'`, "o'x": "n LIKE 'o''x'",
	} {
		if got := pattern("n", text); got != want {
			t.Errorf("%q is %s, want %s", text, got, want)
		}
	}
}

// TestPager gives a pager what does not fit, and nothing else.
func TestPager(t *testing.T) {
	to := filepath.Join(t.TempDir(), "seen")
	for name, tc := range map[string]struct {
		text, pager string
		paged       bool
	}{
		"fits":       {"a\nb\n", "cat > " + to, false},
		"too high":   {strings.Repeat("x\n", 24), "cat > " + to, true},
		"too wide":   {strings.Repeat("x", 81) + "\n", "cat > " + to, true},
		"no pager":   {strings.Repeat("x\n", 24), "", false},
		"left early": {strings.Repeat("x\n", 1<<20), "head -1 > " + to, true},
	} {
		t.Run(name, func(t *testing.T) {
			os.Remove(to)
			t.Setenv("QUIPU_PAGER", tc.pager)
			var out bytes.Buffer
			p := &pager{out: &out, width: 80, height: 24}
			var err error
			for line := range strings.Lines(tc.text) {
				if _, err = p.Write([]byte(line)); err != nil {
					break
				}
			}
			if ended := p.finish(); err == nil {
				err = ended
			}
			seen, _ := os.ReadFile(to)
			if name == "left early" {
				if !errors.Is(err, errPagerLeft) && err != nil || string(seen) != "x\n" {
					t.Errorf("%v, %q", err, seen)
				}
				return
			}
			got := out.String()
			if tc.paged {
				got = string(seen)
			}
			if err != nil || got != tc.text || tc.paged == (out.Len() > 0) {
				t.Errorf("%v: %d bytes out, %d paged", err, out.Len(), len(seen))
			}
		})
	}
}
