package slot

import (
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"
	"testing"
)

// golden are the vectors of docs/format/slot.md. A change here moves every cell of every cluster: there is none.
var golden = []struct {
	table  uint64
	values []Value
	slot   uint16
}{
	{1, nil, 3183},
	{2, nil, 2930},
	{1, []Value{{}}, 2963},
	{1, []Value{{Null: true}}, 1686},
	{1, []Value{{Text: "A"}}, 1905},
	{2, []Value{{Text: "A"}}, 1020},
	{1, []Value{{Text: "A"}, {Text: "B"}}, 2311},
	{1, []Value{{Text: "B"}, {Text: "A"}}, 3518},
	{7, []Value{{Text: "Straße"}, {Null: true}, {Text: "-42"}}, 3521},
	{math.MaxUint64, []Value{{Text: "true"}, {Text: strings.Repeat("x", 1024)}}, 3339},
}

func TestGolden(t *testing.T) {
	for _, g := range golden {
		if got := Of(g.table, g.values...); got != g.slot {
			t.Errorf("Of(%d, %v) = %d, want %d", g.table, g.values, got, g.slot)
		}
	}
}

func TestHashesAreXXH64(t *testing.T) {
	for v, want := range map[string]uint64{ // the reference vectors of xxHash with seed 0
		"":    0xef46db3751d8e999,
		"a":   0xd24ec4f1a98c6e5b,
		"abc": 0x44bc2cf5ad770999,
	} {
		if got := HashValue(v, false); got != want {
			t.Errorf("HashValue(%q) = %#x, want %#x", v, got, want)
		}
	}
	if HashValue("anything", true) != HashValue("", true) {
		t.Error("NULL must not depend on the text")
	}
}

// TestDocumentHoldsTheVectors keeps the document and the test together.
func TestDocumentHoldsTheVectors(t *testing.T) {
	doc, err := os.ReadFile("../../docs/format/slot.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range golden {
		if row := row(g.table, g.values, g.slot); !strings.Contains(string(doc), row) {
			t.Errorf("docs/format/slot.md lacks %s", row)
		}
	}
}

func row(table uint64, values []Value, slot uint16) string {
	var b strings.Builder
	for i, v := range values {
		if i > 0 {
			b.WriteString(", ")
		}
		switch {
		case v.Null:
			b.WriteString("NULL")
		case len(v.Text) == 1024:
			b.WriteString("`x` × 1024")
		default:
			b.WriteString(strconv.Quote(v.Text))
		}
	}
	return fmt.Sprintf("| %d | %s | %d |", table, b.String(), slot)
}

// TestSpread holds the chi-square of the slots of many cells below its mean plus six standard deviations, for keys that differ
// in one character, as the values of real dimensions do.
func TestSpread(t *testing.T) {
	const n = 1 << 18
	for _, name := range []string{"sequential", "second", "tables"} {
		var seen [Count]float64
		for i := range n {
			switch name {
			case "sequential":
				seen[Of(1, Value{Text: strconv.Itoa(i)})]++
			case "second":
				seen[Of(1, Value{Text: "v" + strconv.Itoa(i%512)}, Value{Text: strconv.Itoa(i / 512)})]++
			case "tables":
				seen[Of(uint64(i))]++
			}
		}
		x2 := 0.0
		for _, o := range seen {
			e := float64(n) / Count
			x2 += (o - e) * (o - e) / e
		}
		if limit := Count + 6*math.Sqrt(2*Count); x2 > limit {
			t.Errorf("%s: chi-square of the slots %.0f, want at most %.0f", name, x2, limit)
		}
	}
}

func ExampleOf() {
	fmt.Println(Of(1, Value{Text: "A"}), Of(1, Value{Null: true}))
	// Output: 1905 1686
}

func BenchmarkRow4(b *testing.B) {
	hashes := [16]uint64{}
	for i := range hashes {
		hashes[i] = HashValue(strconv.Itoa(i), false)
	}
	var sum uint16
	for i := 0; b.Loop(); i++ {
		h := Start(7)
		for d := range 4 {
			h = Add(h, hashes[(i+d)&15])
		}
		sum += Finish(h)
	}
	_ = sum
}
