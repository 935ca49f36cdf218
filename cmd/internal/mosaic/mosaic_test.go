package mosaic

import (
	"bytes"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"github.com/jedib0t/go-pretty/v6/text"
	"github.com/quipudb/quipu/query/stats"
)

var rewrite = flag.Bool("rewrite", false, "write testdata anew")

func table(t *testing.T, rows, cols []string, counts ...int64) *stats.Table {
	t.Helper()
	tab, err := stats.NewTable(len(rows), len(cols), counts)
	if err == nil {
		tab, err = tab.WithLabels(rows, cols)
	}
	if err != nil {
		t.Fatal(err)
	}
	return tab
}

// TestPictures holds the drawings; each file was looked at.
func TestPictures(t *testing.T) {
	admissions := table(t, []string{"female", "male"}, []string{"no", "yes"}, 1278, 557, 1493, 1198)
	outcome := table(t, []string{"A", "B", "C"}, []string{"bought", "left", "error"}, 120, 380, 12, 165, 340, 14, 98, 402, 45)
	hair := table(t, []string{"black", "brown", "red", "blond"}, []string{"brown", "blue", "hazel", "green"},
		68, 20, 15, 5, 119, 84, 54, 29, 26, 17, 14, 14, 7, 94, 10, 16) // Snee 1974
	empty := table(t, []string{"länger als der Platz, den es gibt", "b"}, []string{"no", "yes\x1b[2J"}, 50, 0, 40, 3)
	many := make([]int64, 40*60)
	var rows, cols []string
	for i := range 40 {
		rows = append(rows, fmt.Sprint("row ", i))
		for j := range 60 {
			many[i*60+j] = int64((i*j)%7 + i)
		}
	}
	for j := range 60 {
		cols = append(cols, fmt.Sprint("c", j))
	}
	for name, tc := range map[string]struct {
		t *stats.Table
		o Options
	}{
		"admissions-80":        {admissions, Options{Width: 80, Height: 24, Rows: "gender", Cols: "admitted"}},
		"admissions-120":       {admissions, Options{Width: 120, Height: 40, UTF8: true, Rows: "gender", Cols: "admitted"}},
		"admissions-80-colour": {admissions, Options{Width: 80, Height: 24, UTF8: true, Colour: true, Rows: "gender", Cols: "admitted"}},
		"outcome-80":           {outcome, Options{Width: 80, Height: 24, Rows: "variant", Cols: "outcome"}},
		"outcome-120-colour":   {outcome, Options{Width: 120, Height: 30, Colour: true, UTF8: true, Rows: "variant", Cols: "outcome"}},
		"hair-80":              {hair, Options{Width: 80, Height: 24, Rows: "hair", Cols: "eyes"}},
		"hair-40":              {hair, Options{Width: 40, Height: 12, Rows: "hair", Cols: "eyes"}},
		"faint-80":             {empty, Options{Width: 80, Height: 24, UTF8: true}},
		"many-80":              {table(t, rows, cols, many...), Options{Width: 80, Height: 24, Rows: "a", Cols: "b"}},
		"one-level":            {table(t, []string{"a", "b"}, []string{"x"}, 3, 4), Options{Width: 60, Height: 24}},
		"nothing":              {table(t, []string{"a"}, []string{"x"}, 0), Options{Width: 60, Height: 24}},
	} {
		t.Run(name, func(t *testing.T) {
			got := []byte(Draw(tc.t, tc.o))
			file := "testdata/" + name + ".txt"
			if *rewrite {
				if err := os.WriteFile(file, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

// TestNothingStandsOut draws tables of all shapes on terminals of all sizes: no line is wider than the terminal, the whole is not higher
// than it, and without colours and UTF-8 it is ASCII.
func TestNothingStandsOut(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 600 {
		rows, cols := 1+r.IntN(30), 1+r.IntN(30)
		counts := make([]int64, rows*cols)
		for i := range counts {
			counts[i] = int64(r.IntN(1 + r.IntN(1000)))
		}
		tab, err := stats.NewTable(rows, cols, counts)
		if err != nil {
			t.Fatal(err)
		}
		o := Options{Width: 24 + r.IntN(120), Height: 12 + r.IntN(40), Colour: r.IntN(2) == 0, UTF8: r.IntN(2) == 0, Rows: "rows", Cols: "cols"}
		lines := strings.Split(strings.TrimSuffix(Draw(tab, o), "\n"), "\n")
		for _, l := range lines {
			if w := text.StringWidthWithoutEscSequences(l); w > o.Width {
				t.Fatalf("%+v %d x %d %v: a line of %d:\n%s", o, rows, cols, counts, w, strings.Join(lines, "\n"))
			}
			if !o.Colour && !o.UTF8 && strings.ContainsFunc(l, func(r rune) bool { return r < ' ' || r > '~' }) {
				t.Fatalf("%+v: not ASCII: %q", o, l)
			}
		}
		if o.Width >= 80 && len(lines) >= o.Height {
			t.Fatalf("%+v %d x %d: %d lines", o, rows, cols, len(lines))
		}
	}
}

func TestApportion(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for range 1000 {
		weights := make([]uint64, 1+r.IntN(20))
		for i := range weights {
			weights[i] = r.Uint64N(100)
		}
		weights[0]++
		n, sum := len(weights)+r.IntN(200), 0
		for _, share := range apportion(n, weights) {
			if share < 1 {
				t.Fatalf("%d over %v leaves one with %d", n, weights, share)
			}
			sum += share
		}
		if sum != n {
			t.Fatalf("%d over %v gives %d", n, weights, sum)
		}
	}
}
