package fsmtest

import (
	"flag"
	"os"
	"strings"
	"testing"
)

var rewrite = flag.Bool("rewrite", false, "write the expected output of scripts anew")

// Script runs a file of steps and compares what they print. A step is one line or more, then a line of four dashes, then what
// run returned for it, then an empty line. Text before the first empty line says what the file shows. With -rewrite the file
// is written with what came out; such a change is to be read before it is kept.
func Script(t *testing.T, path string, run func(t *testing.T, step string) string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	blocks := strings.Split(strings.TrimRight(string(text), "\n"), "\n\n")
	out := []string{blocks[0]}
	for _, block := range blocks[1:] {
		step, want, _ := strings.Cut(block+"\n", "\n----\n")
		step, want = strings.TrimSpace(step), strings.TrimSpace(want)
		got := strings.TrimSpace(run(t, step))
		out = append(out, step+"\n----\n"+got)
		if got != want && !*rewrite {
			t.Errorf("%s:\n%s\n---- got\n%s\n---- want\n%s", path, step, got, want)
		}
	}
	if *rewrite {
		if err := os.WriteFile(path, []byte(strings.Join(out, "\n\n")+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
