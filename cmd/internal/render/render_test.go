package render

import (
	"math"
	"strings"
	"testing"
	"time"
)

func output(t *testing.T, format string, columns []Column, rows ...[]any) string {
	t.Helper()
	var b strings.Builder
	w, err := New(&b, format, columns)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rows {
		if err := w.Row(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestFormats(t *testing.T) {
	columns := []Column{{"name", false}, {"n", true}}
	rows := [][]any{{"a,b", int64(math.MaxInt64)}, {nil, 0.1}}
	for format, want := range map[string]string{
		"csv":      "name,n\n\"a,b\",9223372036854775807\n,0.1\n",
		"tsv":      "name\tn\na,b\t9223372036854775807\n\t0.1\n",
		"ndjson":   "{\"name\":\"a,b\",\"n\":9223372036854775807}\n{\"name\":null,\"n\":0.1}\n",
		"json":     "[\n  {\"name\":\"a,b\",\"n\":9223372036854775807},\n  {\"name\":null,\"n\":0.1}\n]\n",
		"markdown": "| name | n |\n| --- | ---:|\n| a,b | 9223372036854775807 |\n|  | 0.1 |\n",
		"table":    " name |                   n \n------+---------------------\n a,b  | 9223372036854775807 \n      |                 0.1 \n(2 rows)\n",
	} {
		if got := output(t, format, columns, rows...); got != want {
			t.Errorf("%s:\n%s\nwant:\n%s", format, got, want)
		}
	}
}

func TestExpandedTables(t *testing.T) {
	columns := []Column{{"name", false}, {"größe", true}}
	rows := [][]any{{"a\x1b", int64(1)}, {nil, 0.1}}
	list := "-[ row 1 ]-\nname  | a\\x1b\ngröße | 1\n-[ row 2 ]-\nname  | -\ngröße | 0.1\n(2 rows)\n"
	table := " name  | größe \n-------+-------\n a\\x1b |     1 \n -     |   0.1 \n(2 rows)\n"
	for name, tc := range map[string]struct {
		o    Options
		want string
	}{
		"on":             {Options{Format: "table", Null: "-", Expanded: "on"}, list},
		"off":            {Options{Format: "table", Null: "-", Expanded: "off"}, table},
		"auto, narrow":   {Options{Format: "table", Null: "-", Expanded: "auto", Width: 14}, list},
		"auto, wide":     {Options{Format: "table", Null: "-", Expanded: "auto", Width: 15}, table},
		"auto, no width": {Options{Format: "table", Null: "-", Expanded: "auto"}, table},
	} {
		var b strings.Builder
		w, err := With(&b, tc.o, columns)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range rows {
			if err := w.Row(r); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil || b.String() != tc.want {
			t.Errorf("%s: %v\n%s\nwant\n%s", name, err, b.String(), tc.want)
		}
	}
}

func TestCSVTellsNoValueFromEmptyText(t *testing.T) {
	got := output(t, "csv", []Column{{"a", false}, {"b", false}}, []any{nil, ""}, []any{"say \"hi\"", nil}, []any{"two\nlines", "x"})
	if want := "a,b\n,\"\"\n\"say \"\"hi\"\"\",\n\"two\nlines\",x\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestUnknownFormatNamesTheKnownOnes(t *testing.T) {
	_, err := New(nil, "xml", nil)
	if err == nil || !strings.Contains(err.Error(), "ndjson") {
		t.Fatalf("got %v", err)
	}
}

func TestEmptyJSONIsAnArray(t *testing.T) {
	if got := output(t, "json", nil); got != "[\n]\n" {
		t.Errorf("got %q", got)
	}
}

func TestNonFiniteFloatsAreStringsInJSON(t *testing.T) {
	if got := output(t, "ndjson", []Column{{"x", true}}, []any{math.Inf(-1)}); got != "{\"x\":\"-Infinity\"}\n" {
		t.Errorf("got %q", got)
	}
}

func TestTableDoesNotObeyControlCharacters(t *testing.T) {
	if got := output(t, "table", []Column{{"x", false}}, []any{"a\x1b[2Jb"}); strings.ContainsRune(got, 0x1b) {
		t.Errorf("escape sequence reached the terminal: %q", got)
	}
}

func TestText(t *testing.T) {
	when := time.Date(1973, 9, 1, 12, 0, 0, 0, time.UTC)
	for want, v := range map[string]any{"1973-09-01 12:00:00Z": when, "true": true, "NaN": math.NaN(), "1e-300": 1e-300, "92.20528041152762": 92.205280411527625} {
		if got := Text(v); got != want {
			t.Errorf("Text(%v) = %q, want %q", v, got, want)
		}
	}
}
