package query_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/quipudb/quipu/query"
	"github.com/quipudb/quipu/query/plan"
	"github.com/quipudb/quipu/query/sql"
	"github.com/quipudb/quipu/server/errcode"
)

// FuzzPlan holds what becomes of any text that can be read, and of such texts with a piece of another one in them: whatever it says, it is
// planned and run, or refused with a public error that is none of ours and points into the text; the canonical text of a query has the same
// plan; and a query that is run again gives what it gave.
func FuzzPlan(f *testing.F) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		f.Fatalf("no testdata: %v", err)
	}
	w := examples(f)
	var all []string
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		for _, input := range inputs(string(text)) {
			w.run(input) // makes the tables that it asks for; those of two scripts with one name are not alike, which does no harm
			f.Add(input, "", uint32(0))
			all = append(all, input)
		}
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for range 4 * len(all) {
		f.Add(all[rng.IntN(len(all))], all[rng.IntN(len(all))], rng.Uint32())
	}
	f.Fuzz(func(t *testing.T, text, other string, at uint32) {
		text = graft(text, other, at)
		list, err := query.Parse(text)
		if err != nil {
			return // FuzzParse looks at texts that cannot be read
		}
		for _, st := range list {
			text := text
			if len(list) > 1 { // a prepared text is one statement
				text = sql.Print(st.Tree)
			}
			(&planned{tb: t, w: w, text: text}).statement(st.Tree)
		}
	})
}

var tokens = regexp.MustCompile(`'[^']*'|"[^"]*"|\w+|\S`)

// graft is text with a piece of it replaced by one of the same kind from another text, both chosen by at: a token, or one with the parentheses
// that it opens or stands before.
func graft(text, other string, at uint32) string {
	into, from := tokens.FindAllStringIndex(text, -1), tokens.FindAllStringIndex(other, -1)
	if len(into) == 0 {
		return text
	}
	i := int(at>>16) % len(into)
	var alike []int
	for k, t := range from {
		if kind(other[t[0]]) == kind(text[into[i][0]]) {
			alike = append(alike, k)
		}
	}
	if len(alike) == 0 {
		return text
	}
	first, last := piece(text, into, i)
	start, end := piece(other, from, alike[int(at&0xffff)%len(alike)])
	return text[:first] + " " + other[start:end] + " " + text[last:]
}

// kind is what a token is, by its first byte. The scripts have keywords in capitals.
func kind(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return '0'
	case 'A' <= c && c <= 'Z':
		return 'A'
	case 'a' <= c && c <= 'z' || c == '"':
		return 'a'
	case c == '(' || c == '\'':
		return c
	}
	return '+'
}

// piece is where the piece of text begins and ends that begins with token i.
func piece(text string, list [][]int, i int) (first, last int) {
	depth := 0
	for k := i; k < len(list); k++ {
		switch text[list[k][0]] {
		case '(':
			depth++
		case ')':
			depth--
		}
		call := k == i && k+1 < len(list) && text[list[k+1][0]] == '('
		if depth <= 0 && !call {
			return list[i][0], list[k][1]
		}
	}
	return list[i][0], len(text)
}

// inputs are those of a script's cases that are statements.
func inputs(script string) (out []string) {
	for directive, input := range cases(script) {
		if directive == "sql" || directive == "sorted" || directive == "prepare" {
			out = append(out, input)
		}
	}
	return out
}

// planned is one text whose statements are looked at.
type planned struct {
	tb   testing.TB
	w    *world
	text string
}

// limits keep a run short: what takes longer is refused, which is an answer, too.
var limits = map[string]string{"statement_timeout": "250ms", "quipu.memory_limit": "32MiB"}

func (p *planned) statement(tree sql.Statement) {
	p.tb.Helper()
	prepared, err := p.w.engine.Prepare(context.Background(), query.Request{SQL: p.text, Settings: limits}, nil)
	p.public(err, p.text)
	q, ok := tree.(*sql.Query)
	if !ok || err != nil {
		return // what changes something is not run: the next text is to find what this one found
	}
	args := make([]plan.Value, len(prepared.Params))
	for i := range args {
		args[i] = plan.Null
	}
	lines, err := p.answer(prepared.Statement.Explained(&sql.Explain{Verbose: true}), args)
	p.public(err, p.text)
	p.samePlan(q, args, lines, err)
	p.again(prepared.Statement, args)
}

// samePlan compares the plan of a query with that of its canonical text.
func (p *planned) samePlan(q *sql.Query, args []plan.Value, want string, failed error) {
	p.tb.Helper()
	printed := sql.Print(q)
	list, err := query.Parse(printed)
	if err != nil || len(list) != 1 {
		return // FuzzParse says what that means
	}
	st, err := p.w.engine.Prepare(context.Background(), query.Request{SQL: printed, Settings: limits}, nil)
	if p.public(err, printed); err != nil {
		if !timed(err) {
			p.tb.Errorf("%q is planned, and as %q it is not: %v", p.text, printed, err)
		}
		return
	}
	got, err := p.answer(st.Statement.Explained(&sql.Explain{Verbose: true}), args)
	if (err == nil) != (failed == nil) || got != want {
		if !timed(err) && !timed(failed) {
			p.tb.Errorf("%q is planned as\n%s%v\nand as %q as\n%s%v", p.text, want, failed, printed, got, err)
		}
	}
}

// again runs a query three times, of which the later ones may have a kept plan.
func (p *planned) again(st *query.Statement, args []plan.Value) {
	p.tb.Helper()
	var first string
	for i := range 3 {
		got, err := p.answer(st, args)
		switch p.public(err, p.text); {
		case timed(err) || err != nil && i == 0:
			return
		case i == 0:
			first = got
		case got != first || err != nil:
			if !passing.MatchString(p.text) {
				p.tb.Errorf("%q gives\n%s\nand then\n%s%v", p.text, first, got, err)
			}
		}
	}
}

// passing finds what may be another thing at each run.
var passing = regexp.MustCompile(`(?i)random|clock|timeofday|statements|queries|activity`)

// answer is what a statement gives, in the order of its text.
func (p *planned) answer(st *query.Statement, args []plan.Value) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	a := &answer{}
	if err := p.w.engine.Execute(ctx, st, query.Request{Args: args, Settings: limits}, a); err != nil {
		return "", err
	}
	lines := strings.Split(a.text(false), "\n")
	slices.Sort(lines)
	return strings.Join(lines, "\n"), nil
}

// timed says that a limit of time or memory has ended a run, which chance may do to one run and not to the next.
func timed(err error) bool {
	e, ok := errors.AsType[*errcode.Error](err)
	return ok && (e.Code == errcode.StatementTimeout || e.Code == errcode.MemoryLimit || e.Code == errcode.Timeout)
}

// public holds that an error is one that users are told of.
func (p *planned) public(err error, text string) {
	p.tb.Helper()
	if err == nil {
		return
	}
	e, ok := errors.AsType[*errcode.Error](err)
	switch {
	case !ok:
		p.tb.Fatalf("%q: not a public error: %v", text, err)
	case e.Code == errcode.Internal || e.Message == "":
		p.tb.Fatalf("%q: %s: %s\n%s", text, e.Code, e.Message, e.Detail)
	case e.Position < 0 || e.Position > utf8.RuneCountInString(text)+1:
		p.tb.Fatalf("%q: place %d is outside: %s", text, e.Position, e.Message)
	}
}
