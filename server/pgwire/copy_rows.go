package pgwire

import (
	"fmt"
	"strconv"
	"time"

	"github.com/quipudb/quipu/query"
	"github.com/quipudb/quipu/query/plan"
	"github.com/quipudb/quipu/server/errcode"
	"github.com/quipudb/quipu/storage/schema"
)

// rowBatch makes batches of the fields of COPY rows. A value that was seen before costs one look-up and no allocation.
type rowBatch struct {
	in     *plan.Insert
	fields []copyColumn // by place in a row
	dims   []*copyColumn
	lines  *lines // that stand in the batch
	next   *query.Batch
	taken  int64 // rows of the data that the rows of next stand for
	number int   // of the batch, so that values know whether they are in its dictionary
	bytes  int   // of its dictionaries
	each   int   // bytes that a row of it takes at the most in a log entry
	begun  int64 // Unix milliseconds of its first row
	line   int64 // of the data, that errors name
	minus  bool  // it has a count below zero
	ended  bool  // what follows is not data: the line \.
	now    func() time.Time
	stamp  int64 // Unix milliseconds that rows of this message happened at, if they do not say

	values []*seenValue // of the present row; nil is NULL
	when   int64        // it says it happened, in Unix milliseconds; 0: it does not say
}

// copyColumn is one column of the rows.
type copyColumn struct {
	target int
	name   string
	dim    schema.Dimension // of a target that is a dimension
	col    int              // its place in the batch
	seen   recall[*seenValue]
	null   error // why NULL is refused; nil if it is not

	lastTime string // of ts, and what it was read as
	lastUS   int64
}

// seenValue is a value of the data, and its code in one batch.
type seenValue struct {
	value schema.Value
	batch int
	code  uint32
}

// Bounds of what a column remembers.
const (
	seenMax      = 1 << 16
	seenBytesMax = 4 << 20
)

func newRowBatch(in *plan.Insert) *rowBatch {
	b := &rowBatch{in: in, fields: make([]copyColumn, len(in.Targets)), now: time.Now}
	for i, t := range in.Targets {
		f := &b.fields[i]
		f.target, f.name = t, targetName(in, i)
		if t < 0 {
			continue
		}
		f.dim, f.col, f.seen = in.Table.Dims[t], len(b.dims), newRecall[*seenValue]()
		_, f.null = f.dim.Canonical(schema.Null)
		b.dims = append(b.dims, f)
	}
	b.values = make([]*seenValue, len(b.dims))
	b.each = entryBytes(in)
	b.reset()
	return b
}

// Bounds of a batch of COPY. It goes into one log entry of each shard; a row that comes again takes no room in it.
const (
	batchRowsMax  = 1 << 18
	batchAgeMax   = 1000 // milliseconds that rows wait for more, when the next comes
	entryBytesMax = 448 << 10
)

// entryBytes is what a row takes in a log entry, at the most: codes of dictionaries of two million values, a count, and perhaps a window of its own.
func entryBytes(in *plan.Insert) int {
	n := 5 + 4*max(2, len(in.Table.Dims))
	for _, t := range in.Targets {
		switch {
		case t == plan.TargetCount:
			n += 5
		case t == plan.TargetTime && in.Table.Window > 0:
			n += 20
		}
	}
	return n
}

func (b *rowBatch) reset() {
	b.number++
	b.bytes, b.taken, b.minus = 0, 0, false
	b.next = &query.Batch{Table: b.in.Table, Counts: make([]int64, 0, sendRowsMax), Events: make([]int64, 0, sendRowsMax)}
	for _, f := range b.dims {
		b.next.Cols = append(b.next.Cols, query.BatchColumn{Dim: f.target, Values: []schema.Value{schema.Null}, Codes: make([]uint32, 0, sendRowsMax)})
	}
}

func (b *rowBatch) rows() int { return len(b.next.Counts) }

func (b *rowBatch) full() bool {
	return len(b.next.Counts)*b.each+b.bytes >= entryBytesMax || b.bytes >= sendBytesMax || b.taken >= batchRowsMax
}

// arrive says that data comes now. Rows that happen when they come share a row only within a window.
func (b *rowBatch) arrive() {
	last := b.stamp // a clock that is asked for every row takes a fifth of a COPY
	b.stamp = b.now().UnixMilli()
	if t := b.in.Table; t.Window > 0 && t.Bucket(last) != t.Bucket(b.stamp) {
		b.lines.settle()
	}
}

// old says that the rows of a slow client have waited long enough.
func (b *rowBatch) old() bool { return b.rows() > 0 && b.stamp-b.begun >= batchAgeMax }

// take gives the batch away and begins a new one.
func (b *rowBatch) take() *query.Batch {
	b.lines.settle()
	out := b.next
	if out.Times != nil {
		out.Times = b.times()
	}
	b.reset()
	return out
}

// begin opens a row of n fields: it counts once and happens now, if it does not say otherwise.
func (b *rowBatch) begin(n int) error {
	switch {
	case n < len(b.fields):
		return b.fail("missing data for column %q: %d fields, %d are expected", b.fields[n].name, n, len(b.fields))
	case n > len(b.fields):
		return b.fail("extra data after last expected column: %d fields, %d are expected", n, len(b.fields))
	}
	b.add(1, 0)
	return nil
}

// add opens a row that stands for one of the data.
func (b *rowBatch) add(count, when int64) {
	if len(b.next.Counts) == 0 {
		b.begun = b.stamp
	}
	b.next.Counts = append(b.next.Counts, count)
	b.when = when
	b.minus = b.minus || count < 0
	b.taken++
}

// end closes a row.
func (b *rowBatch) end() {
	when := b.when
	if when == 0 {
		when = b.stamp
	}
	b.next.Events = append(b.next.Events, when)
}

// repeat has a row stand for more rows of the data.
func (b *rowBatch) repeat(row int, more uint32) {
	b.next.Counts[row] *= 1 + int64(more)
	b.next.Times = b.times()
	b.next.Times[row] += more
}

// times is how many rows of the data each row stands for, as far as it is known.
func (b *rowBatch) times() []uint32 {
	t := b.next.Times
	for len(t) < len(b.next.Counts) {
		t = append(t, 1)
	}
	return t
}

// field takes the text of field i. It is not kept.
func (b *rowBatch) field(i int, text []byte) error {
	f := &b.fields[i]
	switch f.target {
	case plan.TargetCount:
		n, err := parseInt(text)
		if err != nil {
			return b.failAt(f, errcode.InvalidText, "invalid input syntax for type int8: %q", short(text))
		}
		return b.count(n)
	case plan.TargetTime:
		return b.time(f, text)
	}
	hash := f.seen.hash(text)
	if at := f.seen.find(hash, text); at >= 0 {
		b.put(f, f.seen.items[at].is)
		return nil
	}
	v, err := b.learn(f, hash, text)
	if err == nil {
		b.put(f, v)
	}
	return err
}

// put takes a value; nil is NULL.
func (b *rowBatch) put(f *copyColumn, v *seenValue) {
	c := &b.next.Cols[f.col]
	b.values[f.col] = v
	if v == nil {
		c.Codes = append(c.Codes, 0)
		return
	}
	if v.batch != b.number {
		v.batch, v.code = b.number, uint32(len(c.Values))
		c.Values = append(c.Values, v.value)
		b.bytes += len(v.value.Text) + 24
	}
	c.Codes = append(c.Codes, v.code)
}

// learn checks a value that was not seen before.
func (b *rowBatch) learn(f *copyColumn, hash uint32, text []byte) (*seenValue, error) {
	value, err := f.dim.Canonical(schema.V(string(text)))
	if err != nil {
		return nil, b.failAt(f, errcode.InvalidText, "%v", err)
	}
	if len(f.seen.items) >= seenMax || len(f.seen.text)+2*schema.ValueBytesMax > seenBytesMax {
		f.seen.empty()
	}
	v := &seenValue{value: value}
	if value.Text == string(text) {
		f.seen.add(hash, text, v)
		return v, nil
	}
	canonical := []byte(value.Text)
	same := f.seen.hash(canonical)
	switch at := f.seen.find(same, canonical); {
	case at < 0:
		f.seen.add(same, canonical, v)
	case f.seen.items[at].is.value == value:
		v = f.seen.items[at].is
	}
	f.seen.add(hash, text, v)
	return v, nil
}

func (b *rowBatch) count(n int64) error {
	b.next.Counts[len(b.next.Counts)-1] = n
	b.minus = b.minus || n < 0
	return nil
}

// event sets when the row happened, in Unix microseconds.
func (b *rowBatch) event(us int64) {
	ms := us / 1000
	if ms == 0 {
		ms = 1 // 0 means now; no window is that narrow
	}
	b.when = ms
}

func (b *rowBatch) time(f *copyColumn, text []byte) error {
	if string(text) != f.lastTime || f.lastTime == "" {
		us, ok := plan.ParseTime(string(text))
		if !ok {
			return b.failAt(f, errcode.InvalidText, "invalid input syntax for type timestamptz: %q", short(text))
		}
		f.lastTime, f.lastUS = string(text), us
	}
	b.event(f.lastUS)
	return nil
}

// nullField takes a NULL: of ts it means now, of count nothing.
func (b *rowBatch) nullField(i int) error {
	switch f := &b.fields[i]; {
	case f.target == plan.TargetTime:
	case f.target == plan.TargetCount:
		return b.failAt(f, errcode.NotNull, "count is NULL")
	case f.null != nil:
		return b.failAt(f, errcode.NotNull, "%v", f.null)
	default:
		b.put(f, nil)
	}
	return nil
}

// fail is an error of the present row.
func (b *rowBatch) fail(format string, args ...any) error {
	return errcode.New(errcode.BadCopyFormat, "COPY %s, line %d: %s", b.in.Table.Name.Table, b.line, fmt.Sprintf(format, args...)).
		WithHint("mend the row, and send those from the first that was not counted")
}

func (b *rowBatch) failAt(f *copyColumn, code errcode.Code, format string, args ...any) error {
	return errcode.New(code, "COPY %s, line %d, column %s: %s", b.in.Table.Name.Table, b.line, f.name, fmt.Sprintf(format, args...)).
		WithHint("mend the row, and send those from the first that was not counted")
}

func short(b []byte) string {
	const most = 60
	if len(b) > most {
		return string(b[:most]) + "…"
	}
	return string(b)
}

// parseInt reads a whole number; the common ones without a conversion to a string.
func parseInt(b []byte) (int64, error) {
	if n := len(b); n > 0 && n <= 18 {
		v, digits := int64(0), b
		if b[0] == '-' {
			digits = b[1:]
		}
		for _, d := range digits {
			if d < '0' || d > '9' {
				return strconv.ParseInt(trimmed(b), 10, 64)
			}
			v = v*10 + int64(d-'0')
		}
		if len(digits) > 0 {
			if len(digits) < n {
				v = -v
			}
			return v, nil
		}
	}
	return strconv.ParseInt(trimmed(b), 10, 64)
}
