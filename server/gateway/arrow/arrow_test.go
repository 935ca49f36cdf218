package arrow

import (
	"bytes"
	"encoding/hex"
	"flag"
	"os"
	"testing"
)

var rewrite = flag.Bool("rewrite", false, "write testdata anew")

// TestBytesStay holds the bytes of one stream. That they are what Arrow reads is the business of integration/arrow.
func TestBytesStay(t *testing.T) {
	fields := []Field{{"t", Utf8}, {"i", Int64}, {"f", Float64}, {"b", Bool}, {"at", Timestamp}}
	b := AppendSchema(nil, fields)
	b = AppendBatch(b, fields, 3, []Column{
		{Texts: []string{"é", "", ""}, Nulls: []byte{4}}, {Ints: []int64{1, -1, 1 << 62}}, {Floats: []float64{0.5, 0, 0}, Nulls: []byte{0xfe}},
		{Bools: []bool{true, false, true}}, {Ints: []int64{0, 1_500_000, -1}},
	})
	got := []byte(hex.Dump(AppendEnd(b)))
	const file = "testdata/stream.hex"
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
		t.Errorf("the stream is\n%s", got)
	}
}

// TestStreamIsAligned: readers map messages into memory and want each at a multiple of 8.
func TestStreamIsAligned(t *testing.T) {
	fields := []Field{{"name", Utf8}}
	b := AppendSchema(nil, fields)
	for n := range 20 {
		if len(b)%8 != 0 {
			t.Fatalf("message %d begins at %d", n, len(b))
		}
		texts := make([]string, n)
		for i := range texts {
			texts[i] = "abc"
		}
		b = AppendBatch(b, fields, n, []Column{{Texts: texts}})
	}
}
