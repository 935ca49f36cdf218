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

// rowBatch makes batches of the fields of COPY rows. A value that was seen before costs one look-up in a map and no allocation.
type rowBatch struct {
	in     *plan.Insert
	fields []copyColumn // by place in a row
	dims   []*copyColumn
	next   *query.Batch
	number int // of the batch, so that values know whether they are in its dictionary
	bytes  int // of its dictionaries
	row    int64
	ended  bool // what follows is not data: the line \.
	now    func() time.Time
}

// copyColumn is one column of the rows.
type copyColumn struct {
	target int
	name   string
	dim    schema.Dimension // of a target that is a dimension
	col    int              // its place in the batch
	seen   map[string]*seenValue
	bytes  int
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
		f.dim, f.col, f.seen = in.Table.Dims[t], len(b.dims), map[string]*seenValue{}
		_, f.null = f.dim.Canonical(schema.Null)
		b.dims = append(b.dims, f)
	}
	b.reset()
	return b
}

func (b *rowBatch) reset() {
	b.number++
	b.bytes = 0
	b.next = &query.Batch{Table: b.in.Table, Counts: make([]int64, 0, sendRowsMax), Events: make([]int64, 0, sendRowsMax)}
	for _, f := range b.dims {
		b.next.Cols = append(b.next.Cols, query.BatchColumn{Dim: f.target, Values: []schema.Value{schema.Null}, Codes: make([]uint32, 0, sendRowsMax)})
	}
}

func (b *rowBatch) rows() int  { return len(b.next.Counts) }
func (b *rowBatch) full() bool { return len(b.next.Counts) >= sendRowsMax || b.bytes >= sendBytesMax }

// take gives the batch away and begins a new one.
func (b *rowBatch) take() *query.Batch {
	out := b.next
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
	b.next.Counts = append(b.next.Counts, 1)
	b.next.Events = append(b.next.Events, 0)
	return nil
}

// end closes a row.
func (b *rowBatch) end() {
	if at := len(b.next.Events) - 1; b.next.Events[at] == 0 {
		b.next.Events[at] = b.now().UnixMilli()
	}
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
	v, ok := f.seen[string(text)]
	if !ok {
		var err error
		if v, err = b.learn(f, string(text)); err != nil {
			return err
		}
	}
	b.put(f, v)
	return nil
}

func (b *rowBatch) put(f *copyColumn, v *seenValue) {
	c := &b.next.Cols[f.col]
	if v.batch != b.number {
		v.batch, v.code = b.number, uint32(len(c.Values))
		c.Values = append(c.Values, v.value)
		b.bytes += len(v.value.Text) + 24
	}
	c.Codes = append(c.Codes, v.code)
}

// learn checks a value that was not seen before.
func (b *rowBatch) learn(f *copyColumn, text string) (*seenValue, error) {
	value, err := f.dim.Canonical(schema.V(text))
	if err != nil {
		return nil, b.failAt(f, errcode.InvalidText, "%v", err)
	}
	if len(f.seen) >= seenMax || f.bytes+len(text) > seenBytesMax {
		f.seen, f.bytes = map[string]*seenValue{}, 0
	}
	v := f.seen[value.Text]
	if v == nil || v.value != value {
		v = &seenValue{value: value}
	}
	f.seen[text], f.seen[value.Text] = v, v
	f.bytes += 2 * len(text)
	return v, nil
}

func (b *rowBatch) count(n int64) error {
	b.next.Counts[len(b.next.Counts)-1] = n
	return nil
}

// event sets when the row happened, in Unix microseconds.
func (b *rowBatch) event(us int64) {
	ms := us / 1000
	if ms == 0 {
		ms = 1 // 0 means now; no window is that narrow
	}
	b.next.Events[len(b.next.Events)-1] = ms
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
		c := &b.next.Cols[f.col]
		c.Codes = append(c.Codes, 0)
	}
	return nil
}

// fail is an error of the present row.
func (b *rowBatch) fail(format string, args ...any) error {
	return errcode.New(errcode.BadCopyFormat, "COPY %s, line %d: %s", b.in.Table.Name.Table, b.row, fmt.Sprintf(format, args...)).
		WithHint("mend the row, and send those from the first that was not counted")
}

func (b *rowBatch) failAt(f *copyColumn, code errcode.Code, format string, args ...any) error {
	return errcode.New(code, "COPY %s, line %d, column %s: %s", b.in.Table.Name.Table, b.row, f.name, fmt.Sprintf(format, args...)).
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
