package pgwire

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/quipudb/quipu/query"
	"github.com/quipudb/quipu/query/plan"
	"github.com/quipudb/quipu/query/sql"
	"github.com/quipudb/quipu/server/errcode"
	"github.com/quipudb/quipu/storage/schema"
)

// copyTable is a table with a column of every kind, and the target of all of them.
func copyTarget() *plan.Insert {
	t := &schema.Table{ID: 1, Version: 1, Name: schema.Name{Database: "quipu", Schema: "public", Table: "t"}, Window: time.Hour,
		Dims: []schema.Dimension{{Name: "a", Type: schema.Text}, {Name: "b", Type: schema.Int8}, {Name: "c", Type: schema.Bool}}}
	return &plan.Insert{Table: t, Targets: []int{0, 1, 2, plan.TargetTime, plan.TargetCount}}
}

// decoded reads data that comes in chunks of the sizes that next gives, every line by the reader of the format, and shows the rows, or how many there were
// before the error.
func decoded(f copyFormat, data []byte, next func(most int) int) string {
	b := newRowBatch(copyTarget())
	b.now = func() time.Time { return epoch }
	r := newLines(f, b)
	r.rest = math.MaxInt
	var out strings.Builder
	if err := feed(r, data, next, func() { showBatch(&out, b) }); err != nil {
		return fmt.Sprintf("%s%d rows, then %v", out.String(), b.rows(), err)
	}
	showBatch(&out, b)
	return out.String()
}

// feed gives r data in chunks of the sizes that next gives. full takes the batch when it is.
func feed(r *lines, data []byte, next func(most int) int, full func()) error {
	var tail []byte
	for last := false; !last; {
		n := min(len(data), next(len(data)))
		tail, data = append(tail, data[:n]...), data[n:]
		last = len(data) == 0
		r.b.arrive()
		for rest := tail; ; {
			taken, err := r.read(rest, last)
			if err != nil {
				return err
			}
			rest = rest[taken:]
			if !r.b.full() {
				tail = bytes.Clone(rest)
				break
			}
			full()
		}
	}
	return nil
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

// tally adds up what a COPY of data counts, by cell, with the rows it took and the error it ends with. looking says that lines are looked up. The clock
// goes on by twenty minutes a chunk, and every third one ends the batch.
func tally(f copyFormat, data []byte, next func(most int) int, looking func() bool) string {
	in := copyTarget()
	b := newRowBatch(in)
	now := epoch
	b.now = func() time.Time { now = now.Add(20 * time.Minute); return now }
	r := newLines(f, b)
	cells, rows, minus := map[string]int64{}, int64(0), false
	take := func() {
		taken, takesAway := b.taken, b.minus
		batch := b.take()
		if !takesAway && slices.ContainsFunc(batch.Counts, func(n int64) bool { return n < 0 }) {
			panic("a batch takes away and does not say so")
		}
		minus = minus || takesAway
		if n := batch.Rows(nil); n != taken {
			panic(fmt.Sprintf("%d rows of a batch are told as %d", taken, n))
		}
		rows += taken
		for i, n := range batch.Counts {
			key := fmt.Sprint(in.Table.Bucket(batch.Events[i]))
			for _, c := range batch.Cols {
				key += fmt.Sprintf(" %v", c.Values[c.Codes[i]])
			}
			cells[key] += n
		}
	}
	chunks := 0
	err := feed(r, data, func(most int) int {
		if chunks++; chunks%3 == 0 {
			take()
		}
		if r.rest = math.MaxInt; looking() {
			r.rest = 0
		}
		return next(most)
	}, take)
	if err != nil { // the row that is not valid is in the batch by half
		return fmt.Sprintf("line %d, %d rows, %v", b.line, rows+b.taken, err)
	}
	take()
	return fmt.Sprintf("%d rows, minus %v, %v", rows, minus, cells) // maps are printed in order
}

// TestCopyLines gives many rows of few kinds to the look-up of lines, and none: what is counted is the same.
func TestCopyLines(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for i, options := range copyFormats {
		f := formatOf(t, options)
		for range 20 {
			compareLines(t, f, sampleData(t)[i], rng)
		}
	}
}

// FuzzCopyLines does the same with any data.
func FuzzCopyLines(f *testing.F) {
	for i, data := range sampleData(f) {
		f.Add(data, uint8(i), uint64(7))
	}
	formats := make([]copyFormat, len(copyFormats))
	for i, options := range copyFormats {
		formats[i] = formatOf(f, options)
	}
	f.Fuzz(func(t *testing.T, data []byte, kind uint8, seed uint64) {
		compareLines(t, formats[int(kind)%len(formats)], data, rand.New(rand.NewPCG(seed, 1)))
	})
}

// compareLines makes data of the lines of sample, in an order that rng gives, and of changed ones.
func compareLines(t *testing.T, f copyFormat, sample []byte, rng *rand.Rand) {
	t.Helper()
	pieces := bytes.SplitAfter(sample, []byte{'\n'})
	if f.kind == copyBinary {
		pieces = [][]byte{sample}
		if n, err := binaryHeader(sample, true, newRowBatch(copyTarget())); err == nil {
			pieces = [][]byte{sample[:n]}
			for rest := sample[n:]; len(rest) > 0; {
				_, n := binaryRow(rest)
				if n <= 0 {
					n = len(rest)
				}
				pieces, rest = append(pieces, rest[:n]), rest[n:]
			}
		}
	}
	data := bytes.Clone(pieces[0])
	for range rng.IntN(100) {
		piece := bytes.Clone(pieces[rng.IntN(len(pieces))])
		if len(piece) > 0 && rng.IntN(50) == 0 {
			piece[rng.IntN(len(piece))] = "\n\\\"\r,\tx0"[rng.IntN(8)]
		}
		data = append(data, piece...)
	}
	chunk := 1 + rng.IntN(300)
	chunks := func(int) int { return chunk }
	want := tally(f, data, chunks, func() bool { return false })
	if got := tally(f, data, chunks, func() bool { return true }); got != want {
		t.Errorf("%q with lines looked up:\n%s\nwant\n%s", data, got, want)
	}
	if got := tally(f, data, chunks, func() bool { return rng.IntN(2) == 0 }); got != want {
		t.Errorf("%q with lines looked up at times:\n%s\nwant\n%s", data, got, want)
	}
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
	for i := range batchRowsMax + 10 {
		fmt.Fprintf(&data, "v%d\t%d\n", i%10, i%3)
	}
	got := c.copyIn("COPY t (a, b) FROM STDIN", append(data.Bytes(), "bad\tseven\n"...))
	for _, want := range []string{"ERROR 22P02", "line 262155, column b", "262144 rows before that were counted and stay counted."} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in %s", want, got)
		}
	}
	if got := c.ask("SELECT sum(count) FROM t"); !strings.Contains(got, `DataRow "262144"`) {
		t.Error(got)
	}
	if got := c.copyIn("COPY t (a) FROM STDIN", bytes.Repeat([]byte("x"), recordBytesMax+1)); !strings.Contains(got, "ERROR 22P04") {
		t.Error(got)
	}
}

// TestCopyHasBatchesUnderWay holds the first batches up until as many as may be are under way, refuses the second, and hears that rows behind it were
// counted. A batch that takes away waits for all before it.
func TestCopyHasBatchesUnderWay(t *testing.T) {
	w := newWorld(t)
	arrived, release := make(chan int, 16), make(chan struct{})
	w.o.Writer = writerFunc(func(ctx context.Context, principal string, b *query.Batch) (string, error) {
		first, _ := strconv.Atoi(b.Cols[0].Values[1].Text)
		arrived <- first
		<-release
		if first == 1 {
			return "", errcode.New(errcode.Late, "too old")
		}
		return w.Insert(ctx, principal, b)
	})
	c := w.dial(w.serve())
	c.ready()
	c.ask("CREATE TABLE t (a text, b text)")
	var data bytes.Buffer
	const wide = 1000
	const rows = sendBytesMax / (wide + 24) // fill a batch by their values
	for i := range copyFlightsMax {
		for k := range rows {
			fmt.Fprintf(&data, "%d\t%0*d\t1\n", i, wide, k)
		}
	}
	data.WriteString("99\tx\t-1\n")
	answer := make(chan string, 1)
	go func() { answer <- c.copyIn("COPY t (a, b, count) FROM STDIN", data.Bytes()) }()
	seen := map[int]bool{}
	for range copyFlightsMax {
		seen[<-arrived] = true
	}
	if len(seen) != copyFlightsMax || seen[99] {
		t.Errorf("under way are %v", seen)
	}
	close(release)
	got := <-answer
	want := fmt.Sprintf("%d rows were counted and stay counted, some of them behind rows that were not.", (copyFlightsMax-1)*rows)
	if !strings.Contains(got, "ERROR QP003") || !strings.Contains(got, want) {
		t.Error(got)
	}
	if len(arrived) > 0 {
		t.Error("a batch was sent after the refusal")
	}
}

// writerFunc is a writer that a test makes up.
type writerFunc func(ctx context.Context, principal string, b *query.Batch) (string, error)

func (f writerFunc) Insert(ctx context.Context, principal string, b *query.Batch) (string, error) {
	return f(ctx, principal, b)
}
