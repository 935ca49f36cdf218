package check

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
)

// parse reads the timeline that History.String writes. Lines that begin with # are comments.
func parse(text string) (*History, error) {
	h := &History{}
	for n, line := range strings.Split(text, "\n") {
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		if err := h.parseLine(strings.NewReplacer("[", " ", "]", " ", ",", " ").Replace(line)); err != nil {
			return nil, fmt.Errorf("line %d %q: %w", n+1, line, err)
		}
	}
	return h, nil
}

func (h *History) parseLine(line string) error {
	kind, rest, _ := strings.Cut(line, " ")
	switch kind {
	case "shards":
		_, err := fmt.Sscanf(rest, "%d writers %d", &h.Shards, &h.Writers)
		return err
	case "add":
		return h.parseAdd(strings.Fields(rest))
	case "read":
		return h.parseRead(rest)
	}
	return fmt.Errorf("unknown kind %q", kind)
}

// parseAdd reads: w0 s0 +5 1 2 acked
func (h *History) parseAdd(f []string) error {
	if len(f) != 6 {
		return fmt.Errorf("%d fields", len(f))
	}
	a := Add{Writer: number(f[0][1:]), Shard: number(f[1][1:]), Delta: int64(number(f[2])), Call: int64(number(f[3])), Return: Never}
	a.Client = a.Writer
	if f[4] != "?" {
		a.Return = int64(number(f[4]))
	}
	h.Adds = append(h.Adds, a)
	return h.Adds[len(h.Adds)-1].Outcome.UnmarshalText([]byte(f[5]))
}

// parseRead reads: r0 3 4 strict s0: 5 0 sum 5; s1: 0 0 sum 0
func (h *History) parseRead(rest string) error {
	head, views, _ := strings.Cut(rest, ":")
	f := strings.Fields(head)
	r := Read{Client: number(f[0][1:]), Call: int64(number(f[1])), Return: int64(number(f[2]))}
	if err := r.Level.UnmarshalText([]byte(f[3])); err != nil {
		return err
	}
	if f[4] == "age" {
		r.Age = int64(number(f[5]))
	}
	for v := range strings.SplitSeq(f[len(f)-1]+":"+views, ";") {
		shard, values, _ := strings.Cut(strings.TrimSpace(v), ":")
		cells, sum, ok := strings.Cut(values, "sum")
		if !ok {
			return fmt.Errorf("view %q has no sum", v)
		}
		view := View{Shard: number(shard[1:]), Sum: int64(number(strings.TrimSpace(sum)))}
		for c := range strings.FieldsSeq(cells) {
			view.Cells = append(view.Cells, int64(number(c)))
		}
		r.Views = append(r.Views, view)
	}
	h.Reads = append(h.Reads, r)
	return nil
}

// number reads an integer; a test that misspells one fails at what it makes of −1.
func number(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		return -1
	}
	return n
}

func TestTimelineReadsWhatItWrites(t *testing.T) {
	for seed := range uint64(50) {
		h := simulate(seed, small, sound)
		for i := range h.Adds {
			h.Adds[i].Client = h.Adds[i].Writer
		}
		back, err := parse(h.String())
		if err != nil {
			t.Fatal(err)
		}
		if got, want := back.String(), h.String(); got != want {
			t.Fatalf("seed %d:\n%s\nbecame\n%s", seed, want, got)
		}
	}
}
