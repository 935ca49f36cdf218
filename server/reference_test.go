package server

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
)

// copied is what is sent behind the COPY … FROM STDIN of the reference, by the end of the statement.
var copied = map[string]string{
	"ENCODING 'utf8')": "country;count\nfr;2\nde;3\n",
	"STDIN CSV HEADER": "country,age,level,member,browser,ts,count\nfr,41,mid,true,fox,2024-05-01 12:00:00Z,7\n",
}

// TestReferenceRuns runs every SQL example of docs/sql.md and docs/consistency.md, in order, on a server as psql would. A block that is shown
// behind an example, fenced as text, is the answer to its last statement; a line of it that begins with ERROR is the SQLSTATE and message.
func TestReferenceRuns(t *testing.T) {
	s, err := Serve(t.Context(), Config{DataDir: t.TempDir(), Shards: 2, CellMemory: 64 << 20, DiskFree: -1}, "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	addr, err := s.ServePostgres("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Node.FirstRole(t.Context(), "root", password("root")); err != nil {
		t.Fatal(err)
	}
	g := &guild{t: t, sql: addr.String()}
	for _, file := range []string{"../docs/sql.md", "../docs/consistency.md"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		c := g.wire("root")
		ran, shown, line := 0, 0, 1
		for i, part := range strings.Split(string(text), "```sql\n") {
			block, rest, _ := strings.Cut(part, "\n```\n")
			if i > 0 {
				answer := ""
				statements := split(block)
				for k, statement := range statements {
					answer = asked(t, c, statement)
					ran++
					if _, expects := expected(rest); strings.HasPrefix(answer, "ERROR") && (!expects || k < len(statements)-1) {
						t.Errorf("%s:%d: %s\n%s", file, line, statement, answer)
					}
				}
				if want, ok := expected(rest); ok {
					shown++
					if strings.TrimSpace(answer) != strings.TrimSpace(want) {
						t.Errorf("%s:%d: got\n%s\nwant\n%s", file, line, answer, want)
					}
				}
			}
			line += strings.Count(part, "\n") + 1
		}
		if ran < 2 || strings.HasSuffix(file, "sql.md") && (ran < 120 || shown < 3) {
			t.Errorf("%s: only %d statements ran, %d answers were compared", file, ran, shown)
		}
		c.Close(t.Context())
	}
}

// expected is the answer that stands right behind an example.
func expected(rest string) (string, bool) {
	rest, ok := strings.CutPrefix(strings.TrimLeft(rest, "\n"), "```text\n")
	answer, _, _ := strings.Cut(rest, "\n```")
	return answer, ok
}

// split cuts a block at the semicolons outside of quotes.
func split(block string) []string {
	var out []string
	quoted, from := false, 0
	for i, r := range block + ";" {
		switch {
		case r == '\'':
			quoted = !quoted
		case r == ';' && !quoted:
			if s := strings.TrimSpace(block[from:i]); s != "" {
				out = append(out, s)
			}
			from = i + 1
		}
	}
	return out
}

// asked gives the rows that a statement answers, or its error.
func asked(t *testing.T, c *pgconn.PgConn, statement string) string {
	t.Helper()
	ctx := t.Context()
	var err error
	var out strings.Builder
	switch {
	case strings.HasPrefix(statement, "COPY") && strings.Contains(statement, "FROM STDIN"):
		data := ""
		for end, d := range copied {
			if strings.HasSuffix(statement, end) {
				data = d
			}
		}
		_, err = c.CopyFrom(ctx, strings.NewReader(data), statement)
	case strings.HasPrefix(statement, "COPY"):
		_, err = c.CopyTo(ctx, &out, statement)
	case strings.Contains(statement, "$1") && !strings.HasPrefix(statement, "PREPARE"):
		err = c.ExecParams(ctx, statement, [][]byte{[]byte("fr")}, nil, nil, nil).Read().Err
	default:
		var results []*pgconn.Result
		results, err = c.Exec(ctx, statement).ReadAll()
		for _, r := range results {
			table(&out, r)
		}
	}
	var e *pgconn.PgError
	switch {
	case errors.As(err, &e):
		return fmt.Sprintf("ERROR %s: %s", e.Code, e.Message)
	case err != nil:
		t.Fatalf("%s: %v", statement, err)
	}
	return out.String()
}

// table writes a result as psql does with unaligned output.
func table(out *strings.Builder, r *pgconn.Result) {
	if len(r.FieldDescriptions) == 0 {
		return
	}
	var names []string
	for _, f := range r.FieldDescriptions {
		names = append(names, f.Name)
	}
	out.WriteString(strings.Join(names, " | ") + "\n")
	for _, row := range r.Rows {
		cells := make([]string, len(row))
		for i, v := range row {
			if cells[i] = string(v); v == nil {
				cells[i] = "NULL"
			}
		}
		out.WriteString(strings.TrimRight(strings.Join(cells, " | "), " ") + "\n")
	}
}
