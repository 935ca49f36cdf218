package sql

import (
	"flag"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var (
	spliceSeed  = flag.Uint64("splice.seed", 1, "seed of TestSplice")
	spliceTexts = flag.Int("splice.texts", 30_000, "number of texts that TestSplice makes")
)

// TestSplice makes texts by putting words of one statement into another. Unlike bytes changed at random, many of them are
// still statements, and of kinds that nobody would write: what they need of quotes and parentheses is what the printer
// gets wrong if it gets something wrong. On failure the message holds the text; the seed repeats the run.
func TestSplice(t *testing.T) {
	corpus := corpusWords(t)
	exprs := expressions(corpus)
	rng := rand.New(rand.NewPCG(*spliceSeed, 0))
	accepted := 0
	for range *spliceTexts {
		words := corpus[rng.IntN(len(corpus))]
		for range 1 + rng.IntN(3) {
			if rng.IntN(4) == 0 {
				words = splice(rng, words, corpus[rng.IntN(len(corpus))])
			} else {
				words = graft(rng, words, exprs[rng.IntN(len(exprs))])
			}
		}
		text := strings.Join(words, " ")
		checkText(t, text)
		if _, err := Parse(text); err == nil {
			accepted++
		}
	}
	t.Logf("%d of %d texts are statements", accepted, *spliceTexts)
	if accepted < *spliceTexts/10 {
		t.Errorf("only %d of %d texts are statements: the test says little", accepted, *spliceTexts)
	}
}

// splice puts a run of other in the place of a run of words.
func splice(rng *rand.Rand, words, other []string) []string {
	at := rng.IntN(len(words))
	end := min(at+rng.IntN(3), len(words))
	from := rng.IntN(len(other))
	to := min(from+1+rng.IntN(8), len(other))
	out := append([]string{}, words[:at]...)
	out = append(out, other[from:to]...)
	return append(out, words[end:]...)
}

// graft puts an expression in the place of another one.
func graft(rng *rand.Rand, words, expr []string) []string {
	for range 20 {
		at := rng.IntN(len(words))
		end := min(at+1+rng.IntN(8), len(words))
		if _, err := ParseExpr(strings.Join(words[at:end], " ")); err == nil {
			out := append([]string{}, words[:at]...)
			out = append(out, expr...)
			return append(out, words[end:]...)
		}
	}
	return words
}

// expressions finds the runs of words that are expressions.
func expressions(corpus [][]string) [][]string {
	var list [][]string
	for _, words := range corpus {
		for at := range words {
			for end := at + 1; end <= min(at+12, len(words)); end++ {
				if _, err := ParseExpr(strings.Join(words[at:end], " ")); err == nil {
					list = append(list, words[at:end])
				}
			}
		}
	}
	return list
}

// corpusWords cuts the inputs in testdata into their tokens. A name is quoted in one of four places, so that keywords
// come up as names.
func corpusWords(t *testing.T) [][]string {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	var corpus [][]string
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		runCases(string(text), func(directive, input string) string {
			if directive == "expr" {
				input = "SELECT " + input + " FROM t"
			}
			if _, err := Parse(input); err == nil {
				corpus = append(corpus, cut(input, false), cut(input, true))
			}
			return ""
		})
	}
	return corpus
}

func cut(text string, quote bool) []string {
	l := lexer{text: text}
	var words []string
	for n := 0; ; n++ {
		tok := l.next()
		if tok.kind == kEOF {
			return words
		}
		word := text[tok.pos:tok.end]
		if quote && tok.kind == kWord && n%4 == 3 {
			word = `"` + tok.text + `"`
		}
		words = append(words, word)
	}
}
