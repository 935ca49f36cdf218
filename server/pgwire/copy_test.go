package pgwire

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/quipudb/quipu/query/plan"
	"github.com/quipudb/quipu/query/sql"
	"github.com/quipudb/quipu/storage/schema"
)

// copyTable is a table with a column of every kind, and the target of all of them.
func copyTarget() *plan.Insert {
	t := &schema.Table{ID: 1, Version: 1, Name: schema.Name{Database: "quipu", Schema: "public", Table: "t"}, Window: time.Hour,
		Dims: []schema.Dimension{{Name: "a", Type: schema.Text}, {Name: "b", Type: schema.Int8}, {Name: "c", Type: schema.Bool}}}
	return &plan.Insert{Table: t, Targets: []int{0, 1, 2, plan.TargetTime, plan.TargetCount}}
}

// decoded reads data that comes in chunks of the sizes that next gives, and shows the rows, or how many there were before the error.
func decoded(f copyFormat, data []byte, next func(most int) int) string {
	b := newRowBatch(copyTarget())
	b.now = func() time.Time { return epoch }
	r := f.reader(b)
	var out strings.Builder
	var tail []byte
	for last := false; !last; {
		n := min(len(data), next(len(data)))
		tail, data = append(tail, data[:n]...), data[n:]
		last = len(data) == 0
		for rest := tail; ; {
			taken, err := r.read(rest, last, b)
			if err != nil {
				return fmt.Sprintf("%s%d rows, then %v", out.String(), b.rows(), err)
			}
			rest = rest[taken:]
			if !b.full() {
				tail = bytes.Clone(rest)
				break
			}
			showBatch(&out, b)
		}
	}
	showBatch(&out, b)
	return out.String()
}

func showBatch(out *strings.Builder, b *rowBatch) {
	batch := b.take()
	for i, n := range batch.Counts {
		for _, c := range batch.Cols {
			fmt.Fprintf(out, "%v ", c.Values[c.Codes[i]])
		}
		fmt.Fprintln(out, batch.Events[i], n)
	}
}

func formatOf(tb testing.TB, options string) copyFormat {
	st, err := sql.ParseOne("COPY t FROM STDIN " + options)
	if err != nil {
		tb.Fatal(err)
	}
	f, err := copyOptions(options, st.(*sql.Copy))
	if err != nil {
		tb.Fatal(err)
	}
	return f
}

var copyFormats = []string{"", "(DELIMITER '|', NULL 'none')", "CSV", "(FORMAT csv, HEADER, NULL 'NA', DELIMITER ';', QUOTE '''', ESCAPE '!')",
	"(FORMAT csv, FORCE_NULL (a), FORCE_NOT_NULL (b))", "BINARY"}

func sampleData(tb testing.TB) [][]byte {
	binary := []byte(copySignature + "\x00\x00\x00\x00\x00\x00\x00\x03ext")
	for range 3 {
		binary = append(binary, "\x00\x05\x00\x00\x00\x01x\x00\x00\x00\x02\x00\x07\x00\x00\x00\x01\x01\xff\xff\xff\xff\x00\x00\x00\x04\x00\x00\x00\x09"...)
	}
	return [][]byte{
		[]byte("x\t1\tt\t2024-05-01 10:00:00\t5\n\\N\t\\N\tf\t\\N\t1\r\na\\tb\\x41\\101\\\\\t01\ttrue\t\\N\t-3\n\\.\nrest"),
		[]byte("x|1|t|none|5\nnone|none|none|none|2"),
		[]byte("x,1,t,2024-05-01 10:00:00,5\r\n\"a \"\"b\"\"\n\",,,,1\n\n\"\",2,f,,7\n"),
		[]byte("a;b;c;ts;count\nNA;NA;t;NA;1\n'it!'s;\n';3;NA;NA;2\r\n'NA';1;f;NA;1"),
		[]byte("\"\",1,t,,1\nx,2,t,,1\n"),
		append(binary, 0xff, 0xff),
	}
}

// TestCopyChunks reads the same data in one piece and in pieces of every kind: the rows are the same.
func TestCopyChunks(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for i, options := range copyFormats {
		f, data := formatOf(t, options), sampleData(t)[i]
		whole := decoded(f, data, func(most int) int { return most })
		if strings.Contains(whole, "then") || strings.Count(whole, "\n") < 2 {
			t.Errorf("%s:\n%s", options, whole)
		}
		if got := decoded(f, data, func(int) int { return 1 }); got != whole {
			t.Errorf("%s, byte by byte:\n%s\nwant\n%s", options, got, whole)
		}
		for range 50 {
			if got := decoded(f, data, func(int) int { return 1 + rng.IntN(9) }); got != whole {
				t.Errorf("%s, in pieces:\n%s\nwant\n%s", options, got, whole)
			}
		}
	}
}

// FuzzCopyIn gives the readers any data, in one piece and cut somewhere.
func FuzzCopyIn(f *testing.F) {
	for i, data := range sampleData(f) {
		f.Add(data, uint8(i), uint16(7))
	}
	formats := make([]copyFormat, len(copyFormats))
	for i, options := range copyFormats {
		formats[i] = formatOf(f, options)
	}
	f.Fuzz(func(t *testing.T, data []byte, kind uint8, cut uint16) {
		format := formats[int(kind)%len(formats)]
		whole := decoded(format, data, func(most int) int { return most })
		if got := decoded(format, data, func(int) int { return 1 + int(cut) }); got != whole {
			t.Errorf("cut at %d:\n%s\nwant\n%s", cut, got, whole)
		}
	})
}

// FuzzCopyRoundTrip writes a text in every format and reads it back.
func FuzzCopyRoundTrip(f *testing.F) {
	for _, s := range []string{"", "plain", `\N`, `\.`, "a\tb\nc\\d\re", `"quoted", 'too'`, "NA", "none", "|;,"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if len(s) > schema.ValueBytesMax || strings.ToValidUTF8(s, "") != s {
			return
		}
		for _, options := range copyFormats[:4] {
			format := formatOf(t, options)
			if format.kind == copyText && s == format.null {
				continue // is NULL: the text format of PostgreSQL has no quotes to say otherwise
			}
			line := format.appendField(nil, []byte(s), false, false)
			for _, more := range []string{"1", "t", "2024-05-01 10:00:00", "5"} {
				line = append(append(line, format.delimiter), more...)
			}
			if line = append(line, '\n'); format.header {
				line = append([]byte("header\n"), line...)
			}
			want := fmt.Sprintf("%v {1 false} {true false} 1714557600000 5\n", schema.V(s))
			if got := decoded(format, line, func(most int) int { return most }); got != want {
				t.Errorf("%s: %q is read as %s", options, line, got)
			}
		}
	})
}

// TestCopyKeepsWhatWasCounted sends more than one request and then a bad row.
func TestCopyKeepsWhatWasCounted(t *testing.T) {
	w := newWorld(t)
	c := w.dial(w.serve())
	c.ready()
	c.ask("CREATE TABLE t (a text, b int8)")
	var data bytes.Buffer
	for i := range sendRowsMax + 10 {
		fmt.Fprintf(&data, "v%d\t%d\n", i%10, i%3)
	}
	got := c.copyIn("COPY t (a, b) FROM STDIN", append(data.Bytes(), "bad\tseven\n"...))
	for _, want := range []string{"ERROR 22P02", "line 8203, column b", "8192 rows before that were counted and stay counted."} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in %s", want, got)
		}
	}
	if got := c.ask("SELECT sum(count) FROM t"); !strings.Contains(got, `DataRow "8192"`) {
		t.Error(got)
	}
	if got := c.copyIn("COPY t (a) FROM STDIN", bytes.Repeat([]byte("x"), recordBytesMax+1)); !strings.Contains(got, "ERROR 22P04") {
		t.Error(got)
	}
}
