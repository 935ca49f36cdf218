package acceptance

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/wasilibs/go-pgquery/parser"

	"github.com/quipudb/quipu/query/sql"
)

var rewrite = flag.Bool("rewrite", false, "write what is refused into testdata")

// root is the folder of the repository.
const root = "../../.."

// corpus is every statement text of the tests and the reference, and those of testdata here.
func corpus(t *testing.T) []string {
	t.Helper()
	var out []string
	for _, pattern := range []string{"query/sql/testdata/*.txt", "query/testdata/*.txt"} {
		files, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil || len(files) < 3 {
			t.Fatalf("%s: %d files, %v", pattern, len(files), err)
		}
		for _, file := range files {
			out = append(out, cases(read(t, file))...)
		}
	}
	for _, block := range strings.Split(read(t, filepath.Join(root, "docs/sql.md")), "```sql\n")[1:] {
		block, _, _ = strings.Cut(block, "```")
		out = append(out, block)
	}
	for text := range strings.SplitSeq(read(t, "testdata/postgres.sql"), ";\n") {
		out = append(out, text)
	}
	return out
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// cases are the inputs of a datadriven script that are statements.
func cases(script string) []string {
	var out []string
	for block := range strings.SplitSeq(script, "\n\n") {
		for strings.HasPrefix(block, "#") {
			_, block, _ = strings.Cut(block, "\n")
		}
		directive, input, _ := strings.Cut(block, "\n")
		input, _, found := strings.Cut(input, "\n----")
		switch {
		case !found:
		case directive == "expr":
			out = append(out, "SELECT "+input)
		case directive == "copyin" || directive == "prepare" || directive == "execute":
			input, _, _ = strings.Cut(input, "\n")
			out = append(out, input)
		default:
			out = append(out, input)
		}
	}
	return out
}

// accepted says what is wrong with a text that Quipu's parser takes: PostgreSQL must take it too, and what Quipu prints of it.
func accepted(text string, stmts []sql.Statement) string {
	if addition(stmts) != "" {
		return ""
	}
	if _, err := parser.ParseToProtobuf(text); err != nil {
		return "PostgreSQL refuses it: " + err.Error()
	}
	var printed strings.Builder
	for _, s := range stmts {
		printed.WriteString(sql.Print(s) + ";\n")
	}
	if _, err := parser.ParseToProtobuf(printed.String()); err != nil {
		return "PostgreSQL refuses what it prints as: " + err.Error() + "\n" + printed.String()
	}
	return ""
}

// addition names the addition to PostgreSQL's language that stmts use, of those that docs/sql.md lists.
func addition(stmts []sql.Statement) string {
	for _, s := range stmts {
		switch s := s.(type) {
		case *sql.CreateTable:
			for _, c := range s.Columns {
				if len(c.Order) > 0 {
					return "declared order"
				}
			}
		case *sql.CreateToken, *sql.DropToken:
			return "tokens"
		case *sql.Grant:
			return "privileges"
		}
	}
	return ""
}

// refusedFile lists what PostgreSQL's grammar takes and Quipu refuses with a syntax error, and why.
const refusedFile = "testdata/refused.txt"

// reasons are the comments of refusedFile, by the text that they stand above.
func reasons(t *testing.T) map[string]string {
	out := map[string]string{}
	for block := range strings.SplitSeq(strings.TrimSpace(read(t, refusedFile)), "\n\n") {
		var why []string
		for strings.HasPrefix(block, "#") {
			var line string
			line, block, _ = strings.Cut(block, "\n")
			why = append(why, line)
		}
		text, _, found := strings.Cut(block, "\n----\n")
		if found {
			out[text] = strings.Join(why, "\n")
		}
	}
	return out
}

// unreviewed stands where -rewrite found a refusal that nobody has given a reason for.
const unreviewed = "# not reviewed"

// TestAcceptance parses every text of the corpus with both parsers. What PostgreSQL takes and Quipu refuses with a syntax error stands in
// testdata/refused.txt with the reason and the error; every other refusal has a code that says why.
func TestAcceptance(t *testing.T) {
	taken, unsupported := 0, 0
	why := reasons(t)
	var refused strings.Builder
	seen := map[string]bool{}
	for _, text := range corpus(t) {
		if seen[text] {
			continue
		}
		seen[text] = true
		stmts, err := sql.Parse(text)
		if err == nil {
			taken++
			if problem := accepted(text, stmts); problem != "" {
				t.Errorf("%s\n%s", text, problem)
			}
			continue
		}
		e, ok := errors.AsType[*sql.Error](err)
		if !ok {
			t.Errorf("%s\nnot an error of the parser: %v", text, err)
			continue
		}
		if _, err := parser.ParseToProtobuf(text); err != nil {
			continue
		}
		unsupported++
		if e.Code != sql.CodeSyntax {
			continue
		}
		shown := strings.TrimSpace(text)
		reason := why[shown]
		if reason == "" || reason == unreviewed {
			reason = unreviewed
			t.Errorf("refused as a syntax error, though PostgreSQL's grammar takes it, and no reason in %s:\n%s\n%s", refusedFile, shown, e.Caret(text))
		}
		fmt.Fprintf(&refused, "%s\n%s\n----\n%s\n", reason, shown, e.Caret(text))
	}
	t.Logf("%d texts: %d taken by both, %d by PostgreSQL alone", len(seen), taken, unsupported)
	if taken < 600 || unsupported < 80 {
		t.Error("that is too few")
	}
	if *rewrite {
		if err := os.WriteFile(refusedFile, []byte(refused.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if read(t, refusedFile) != refused.String() {
		t.Errorf("%s is not what is refused now; write it again with -rewrite and read the difference", refusedFile)
	}
}

var word = regexp.MustCompile(`(?i)[a-z_][a-z0-9_]*|"[^"]*"|E?'(?:[^']|'')*'|\$?[0-9.]+|[-+*/<>=~!@#%^&|]+|::|:=|[^\s]`)

// mutant changes words of text: one goes, is doubled, changes places with its neighbour, or is replaced by one of words.
func mutant(rng *rand.Rand, text string, words []string) string {
	list := word.FindAllString(text, -1)
	for range 1 + rng.IntN(2) {
		if len(list) < 2 {
			break
		}
		i := rng.IntN(len(list) - 1)
		switch rng.IntN(5) {
		case 0:
			list = slices.Delete(list, i, i+1)
		case 1:
			list = slices.Insert(list, i, list[i])
		case 2:
			list[i], list[i+1] = list[i+1], list[i]
		case 3:
			list[i] = words[rng.IntN(len(words))]
		default:
			list = slices.Insert(list, i, words[rng.IntN(len(words))])
		}
	}
	return strings.Join(list, " ")
}

// aloneMax is how many of a hundred texts with wrong words in them Quipu may take and PostgreSQL not: names of settings that are keywords, a subscript
// behind a call, and a few more forms that are taken for what they obviously mean.
const aloneMax = 2

// TestMutants takes what Quipu still takes of statements with wrong words in them to PostgreSQL.
func TestMutants(t *testing.T) {
	texts := slices.DeleteFunc(corpus(t), func(s string) bool { return len(s) > 600 })
	var words []string
	for _, text := range texts {
		words = append(words, word.FindAllString(text, -1)...)
	}
	rng := rand.New(rand.NewPCG(15, 4))
	n, taken, alone := 20_000, 0, 0
	if os.Getenv("QUIPU_SOAK") != "" {
		n = 1_000_000
	}
	for range n {
		text := mutant(rng, texts[rng.IntN(len(texts))], words)
		stmts, err := sql.Parse(text)
		if err != nil {
			continue
		}
		taken++
		if problem := accepted(text, stmts); problem != "" {
			alone++
			t.Logf("%s\n%s", text, problem)
		}
	}
	t.Logf("%d texts, %d of them taken, %d by Quipu alone", n, taken, alone)
	if 100*alone > aloneMax*taken {
		t.Errorf("Quipu alone takes %d of %d texts", alone, taken)
	}
	if taken < n/20 {
		t.Errorf("only %d of %d texts were taken", taken, n)
	}
}
