package query_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/quipudb/quipu/query"
	"github.com/quipudb/quipu/query/plan"
	"github.com/quipudb/quipu/server/errcode"
)

var rewrite = flag.Bool("rewrite", false, "write what the engine answers into testdata")

// TestScripts runs testdata/*.txt, each in a world of its own, with one shard and with four. A case is a directive, the input, ---- and
// the answer up to the next blank line:
//
//	sql     statements, run in order: rows, notices and the tag of the last one, or the error with a caret
//	sorted  the same, with the rows in the order of their text, for results without an order
//	prepare what Prepare says of a statement
//	execute a prepared statement; lines behind it that begin with $ are its parameters as text, NULL being NULL
//	copyin  a COPY … FROM statement in the first line and its data in the others
//	copyout a COPY … TO statement
//
// Answers do not depend on the number of shards; a script named shards_* runs with four only.
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no testdata: %v", err)
	}
	for _, file := range files {
		for _, shards := range []int{4, 1} {
			if shards == 1 && strings.HasPrefix(filepath.Base(file), "shards_") {
				continue
			}
			t.Run(fmt.Sprintf("%s/%d", filepath.Base(file), shards), func(t *testing.T) {
				text, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				got := runScript(t, newWorld(t, shards), string(text))
				if *rewrite && shards == 4 {
					if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
						t.Fatal(err)
					}
				}
			})
		}
	}
}

// runScript answers every case, and gives the script as it would be right.
func runScript(t testing.TB, w *world, text string) string {
	var out strings.Builder
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	for i := 0; i < len(lines); {
		if lines[i] == "" || strings.HasPrefix(lines[i], "#") {
			out.WriteString(lines[i] + "\n")
			i++
			continue
		}
		first := i
		for i < len(lines) && lines[i] != "----" {
			i++
		}
		input := strings.Join(lines[first+1:i], "\n")
		end := i + 1
		for end < len(lines) && lines[end] != "" {
			end++
		}
		want := strings.Join(lines[min(i+1, end):min(end, len(lines))], "\n")
		got := strings.TrimRight(w.answerTo(lines[first], input), "\n")
		if got != want && !*rewrite {
			t.Errorf("line %d: %s\n%s\ngot:\n%s\nwant:\n%s", first+1, lines[first], input, got, want)
		}
		fmt.Fprintf(&out, "%s\n%s\n----\n%s\n", lines[first], input, got)
		i = end
	}
	return out.String()
}

// cases are the directives and inputs of a script, in order.
func cases(script string) iter.Seq2[string, string] {
	return func(yield func(directive, input string) bool) {
		for c := range strings.SplitSeq(script, "\n\n") {
			directive, rest, _ := strings.Cut(strings.TrimSpace(c), "\n")
			for strings.HasPrefix(directive, "#") {
				directive, rest, _ = strings.Cut(rest, "\n")
			}
			if input, _, ok := strings.Cut(rest, "\n----"); ok && !yield(directive, input) {
				return
			}
		}
	}
}

func (w *world) answerTo(directive, input string) string {
	switch directive {
	case "sql", "sorted":
		a, err := w.run(input)
		if err != nil {
			return failure(err, input)
		}
		return a.text(directive == "sorted")
	case "prepare", "execute":
		return w.prepared(input, directive == "execute")
	case "copyin":
		statement, data, _ := strings.Cut(input, "\n")
		end, err := w.engine.CopyIn(context.Background(), query.Request{SQL: statement}, strings.NewReader(data))
		if err != nil {
			return failure(err, statement)
		}
		return end.Tag
	case "copyout":
		var b bytes.Buffer
		end, err := w.engine.CopyOut(context.Background(), query.Request{SQL: input}, &b)
		if err != nil {
			return failure(err, input)
		}
		return b.String() + end.Tag
	}
	return "unknown directive " + directive
}

// prepared prepares a statement, and shows its types or runs it.
func (w *world) prepared(input string, execute bool) string {
	r := query.Request{SQL: input}
	for {
		at := strings.LastIndexByte(r.SQL, '\n')
		if at < 0 || r.SQL[at+1] != '$' {
			break
		}
		_, v, _ := strings.Cut(r.SQL[at+1:], "= ")
		arg := plan.TextValue(v)
		if v == "NULL" {
			arg = plan.Null
		}
		r.Args, r.SQL = append([]plan.Value{arg}, r.Args...), r.SQL[:at]
	}
	p, err := w.engine.Prepare(context.Background(), r, nil)
	if err != nil {
		return failure(err, r.SQL)
	}
	if execute {
		a := &answer{}
		if err := w.engine.Execute(context.Background(), p.Statement, r, a); err != nil {
			return failure(err, r.SQL)
		}
		return a.text(false)
	}
	var params, columns []string
	for _, t := range p.Params {
		params = append(params, t.String())
	}
	for _, c := range p.Columns {
		columns = append(columns, c.Name+" "+c.Type.String())
	}
	return "parameters: " + strings.Join(params, ", ") + "\ncolumns: " + strings.Join(columns, ", ")
}

func (a *answer) text(sorted bool) string {
	var lines []string
	for _, row := range a.cells() {
		lines = append(lines, strings.Join(row, " | "))
	}
	if sorted {
		slices.Sort(lines)
	}
	if len(a.columns) > 0 {
		var names []string
		for _, c := range a.columns {
			names = append(names, c.Name)
		}
		lines = append([]string{strings.Join(names, " | ")}, lines...)
	}
	last := a.ends[len(a.ends)-1]
	for _, n := range last.Notices {
		lines = append(lines, n.Severity+": "+n.Message)
	}
	return strings.Join(append(lines, last.Tag), "\n")
}

// failure is an error as a shell shows it.
func failure(err error, text string) string {
	var e *errcode.Error
	if !errors.As(err, &e) {
		return "NOT A PUBLIC ERROR: " + err.Error()
	}
	out := fmt.Sprintf("%s: %s", e.Code, e.Message)
	if e.Position > 0 {
		before := []rune(text)[:e.Position-1]
		line, _, _ := strings.Cut(string([]rune(text)[len(before):]), "\n")
		out += fmt.Sprintf("\n  at %d: %s", e.Position, line)
	}
	if e.Detail != "" {
		out += "\n  detail: " + e.Detail
	}
	if e.Hint != "" {
		out += "\n  hint: " + e.Hint
	}
	return out
}
