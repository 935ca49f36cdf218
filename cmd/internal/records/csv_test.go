package records

import (
	"bytes"
	"encoding/csv"
	"errors"
	"io"
	"strings"
	"testing"
)

// all reads everything: good records, and the reasons of bad ones as "line n: reason".
func all(t testing.TB, c *CSV) (good [][]string, bad []string) {
	t.Helper()
	for {
		fields, err := c.Next()
		var b *BadRecord
		switch {
		case err == io.EOF:
			return good, bad
		case errors.As(err, &b):
			bad = append(bad, b.Error())
		case err != nil:
			t.Fatal(err)
		default:
			row := make([]string, len(fields))
			for i, f := range fields {
				row[i] = string(f)
			}
			good = append(good, row)
		}
	}
}

func TestCSV(t *testing.T) {
	for name, tc := range map[string]struct {
		in   string
		good string // fields joined by |, records by newline
		bad  string
	}{
		"plain":              {"a,b\nc,d\n", "a|b\nc|d", ""},
		"no last newline":    {"a,b\nc,d", "a|b\nc|d", ""},
		"crlf":               {"a,b\r\nc,d\r\n", "a|b\nc|d", ""},
		"byte-order mark":    {"\xef\xbb\xbfa,b\n", "a|b", ""},
		"empty lines":        {"\n\na\n\n", "a", ""},
		"empty fields":       {",\n", "|", ""},
		"quoted":             {`"a,b","say ""hi""",""` + "\n", `a,b|say "hi"|`, ""},
		"newline in quotes":  {"\"a\nb\",c\nd,e\n", "a\nb|c\nd|e", ""},
		"bare quote":         {"a\"b,c\n", "a\"b|c", ""},
		"text after quote":   {"\"a\"b,c\nd,e\n", "d|e", "line 1: characters after"},
		"quote left open":    {"a,b\n\"c,d\n", "a|b", "line 2: quoted field is not closed"},
		"not utf-8":          {"a,\xff\nb,c\n", "b|c", "line 1: not valid UTF-8"},
		"line after newline": {"\"a\nb\"\n\xff\n", "a\nb", "line 3: not valid"},
	} {
		t.Run(name, func(t *testing.T) {
			good, bad := all(t, NewCSV(strings.NewReader(tc.in), ','))
			var rows []string
			for _, r := range good {
				rows = append(rows, strings.Join(r, "|"))
			}
			if got := strings.Join(rows, "\n"); got != tc.good {
				t.Errorf("records %q, want %q", got, tc.good)
			}
			if got := strings.Join(bad, "\n"); !strings.HasPrefix(got, tc.bad) || tc.bad == "" && got != "" {
				t.Errorf("bad records %q, want %q", got, tc.bad)
			}
		})
	}
}

// endless is a line of n bytes without a line end, made as it is read.
type endless struct{ n int }

func (e *endless) Read(p []byte) (int, error) {
	if e.n == 0 {
		return 0, io.EOF
	}
	n := min(len(p), e.n)
	for i := range n {
		p[i] = 'x'
	}
	e.n -= n
	return n, nil
}

func TestLineOfOneGiBIsSetAside(t *testing.T) {
	if testing.Short() {
		t.Skip("reads a GiB of text")
	}
	in := io.MultiReader(strings.NewReader("a,b\n"), &endless{1 << 30}, strings.NewReader("\nc,d\n"))
	good, bad := all(t, NewCSV(in, ','))
	if len(good) != 2 || good[1][0] != "c" || len(bad) != 1 || !strings.Contains(bad[0], "line 2: record is longer") {
		t.Errorf("good %v, bad %v", good, bad)
	}
}

func TestQuotesAndLinesOfTheLastRecord(t *testing.T) {
	c := NewCSV(strings.NewReader("a,b\n\n\"\",\n"), ',')
	c.Next()
	fields, err := c.Next()
	if err != nil || len(fields) != 2 || !c.Quoted(0) || c.Quoted(1) || c.Began() != 3 {
		t.Errorf("fields %q (%v), quoted %v, begun on line %d", fields, err, c.quoted, c.Began())
	}
}

func TestManyLinesInsideQuotesStayLinear(t *testing.T) {
	in := "\"" + strings.Repeat("\n", RecordBytesMax+10) + "\na,b\n"
	good, bad := all(t, NewCSV(strings.NewReader(in), ','))
	if len(bad) == 0 || good[len(good)-1][0] != "a" {
		t.Errorf("good %v, bad %v", good, bad)
	}
}

func FuzzCSV(f *testing.F) {
	for _, s := range []string{"a,b\n", "\"a\"\"\n,\",\r\n", "\xef\xbb\xbf\"", "a\"b\n", "\"a\nb\",c"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		c := NewCSV(bytes.NewReader(in), ',')
		good, bad := all(t, c)
		if c.Offset() != int64(len(in)) {
			t.Fatalf("read %d of %d bytes", c.Offset(), len(in))
		}
		// Where the standard library accepts the whole text, both must see the same fields.
		std := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(in, []byte("\xef\xbb\xbf"))))
		std.FieldsPerRecord = -1
		want, err := std.ReadAll()
		if err != nil || len(bad) > 0 || bytes.Contains(in, []byte("\r")) {
			return // the standard library drops every CR before LF, also inside quotes
		}
		if len(good) != len(want) {
			t.Fatalf("%d records, encoding/csv has %d", len(good), len(want))
		}
		for i := range good {
			if strings.Join(good[i], "\x00") != strings.Join(want[i], "\x00") {
				t.Fatalf("record %d is %q, encoding/csv has %q", i, good[i], want[i])
			}
		}
	})
}

func BenchmarkCSV(b *testing.B) {
	in := bytes.Repeat([]byte("variant-a,bought,DE,2\n"), 10_000)
	b.SetBytes(int64(len(in)))
	for b.Loop() {
		c := NewCSV(bytes.NewReader(in), ',')
		for {
			if _, err := c.Next(); err != nil {
				break
			}
		}
	}
}
