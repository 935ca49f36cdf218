package router

import (
	"fmt"
	"math"
	"slices"

	"github.com/quipudb/quipu/server/errcode"
	"github.com/quipudb/quipu/server/replica"
	"github.com/quipudb/quipu/storage/schema"
)

// prepared is a batch whose every value has been found valid, in the order of the table's dimensions.
type prepared struct {
	table   *schema.Table
	rows    int
	cols    []replica.PartColumn
	counts  []int64 // nil: 1 each
	windows []int64 // by row; nil: window for all
	window  int64
}

// prepare validates b against table. Values are brought into canonical form once for each dictionary entry; rows are looked at
// one by one only for the bounds of their codes, unless something is wrong, and then every bad row is named. arrival, in Unix
// milliseconds, is the event time of rows that bring none.
func prepare(b *Batch, table *schema.Table, arrival int64) (*prepared, error) {
	n, err := rowCount(b)
	if err != nil {
		return nil, err
	}
	p := &prepared{table: table, rows: n, counts: b.Counts, cols: make([]replica.PartColumn, len(table.Dims))}
	var bad violations
	if err := p.columns(b, &bad); err != nil {
		return nil, err
	}
	bad.counts(b.Counts)
	if bad.any() {
		return nil, bad.report(b, n)
	}
	p.bucket(b, arrival)
	return p, nil
}

func rowCount(b *Batch) (int, error) {
	n := b.Rows
	if n == 0 && len(b.Dims) > 0 {
		n = len(b.Dims[0].Codes)
	}
	switch {
	case n <= 0:
		return 0, errcode.New(errcode.Invalid, "the batch has no rows").WithHint("send at least one row")
	case n > RowsMax:
		return 0, errcode.New(errcode.TooLarge, "the batch has %d rows, the limit is %d", n, RowsMax).WithHint("send smaller batches")
	case b.Counts != nil && len(b.Counts) != n:
		return 0, errcode.New(errcode.Invalid, "the batch has %d rows and %d counts", n, len(b.Counts))
	case len(b.Events) > 1 && len(b.Events) != n:
		return 0, errcode.New(errcode.Invalid, "the batch has %d rows and %d event times", n, len(b.Events)).
			WithHint("give one event time for all rows, or one for each")
	}
	return n, nil
}

// columns puts b's columns into the order of the table and fills in the defaults of the ones left out.
func (p *prepared) columns(b *Batch, bad *violations) error {
	seen := make([]bool, len(p.table.Dims))
	for i := range b.Dims {
		col := &b.Dims[i]
		d := p.table.Dim(col.Name)
		switch {
		case d < 0:
			return unknownColumn(p.table, col.Name)
		case seen[d]:
			return errcode.New(errcode.DuplicateColumn, "column %q stands twice in the batch", col.Name)
		case len(col.Codes) != p.rows:
			return errcode.New(errcode.Invalid, "the batch has %d rows and %d codes in column %q", p.rows, len(col.Codes), col.Name)
		}
		seen[d] = true
		values, invalid := canonical(&p.table.Dims[d], col.Dict)
		p.cols[d] = replica.PartColumn{Values: values, Codes: col.Codes}
		if highest := slices.Max(col.Codes); uint64(highest) >= uint64(len(values)) {
			bad.codes(col)
		} else if invalid != nil {
			bad.values(col, invalid)
		}
	}
	for d := range p.table.Dims {
		if seen[d] {
			continue
		}
		dim := &p.table.Dims[d]
		if dim.Default.Null && dim.NotNull {
			return errcode.New(errcode.NotNull, "column %q of table %q is NOT NULL and has no default, but the batch leaves it out",
				dim.Name, p.table.Name.Table).WithHint("send the column %q", dim.Name)
		}
		p.cols[d] = replica.PartColumn{Values: []schema.Value{dim.Default}}
	}
	return nil
}

// canonical is dict with every value in canonical form: dict itself if it is so already. invalid says what is wrong with the
// values that are not of the dimension; they matter only if a row uses them.
func canonical(dim *schema.Dimension, dict []schema.Value) (values []schema.Value, invalid map[uint32]error) {
	values = dict
	for i, v := range dict {
		c, err := dim.Canonical(v)
		switch {
		case err != nil:
			if invalid == nil {
				invalid = map[uint32]error{}
			}
			invalid[uint32(i)] = err
		case c != v:
			if &values[0] == &dict[0] {
				values = slices.Clone(dict)
			}
			values[i] = c
		}
	}
	return values, invalid
}

// bucket finds the window of every row.
func (p *prepared) bucket(b *Batch, arrival int64) {
	if p.table.Window == 0 {
		return
	}
	if len(b.Events) <= 1 {
		if len(b.Events) == 1 {
			arrival = b.Events[0]
		}
		p.window = p.table.Bucket(arrival)
		return
	}
	width := p.table.Window.Milliseconds()
	windows := make([]int64, p.rows)
	start := p.table.Bucket(b.Events[0])
	mixed := false
	for i, event := range b.Events {
		if d := event - start*1000; d < 0 || d >= width { // most rows share their predecessor's window
			start, mixed = p.table.Bucket(event), true
		}
		windows[i] = start
	}
	if p.window = start; mixed {
		p.windows = windows
	}
}

// violations gathers what is wrong with the rows of a batch.
type violations struct {
	rows map[int][]errcode.Violation // by row
	code errcode.Code
}

func (v *violations) any() bool { return len(v.rows) > 0 }

func (v *violations) add(row int, code errcode.Code, field, format string, args ...any) {
	if v.rows == nil {
		v.rows, v.code = map[int][]errcode.Violation{}, code
	}
	if v.code != code {
		v.code = errcode.Invalid // a mixture
	}
	if len(v.rows) > ViolationsMax && v.rows[row] == nil {
		v.rows[row] = []errcode.Violation{} // counted, not described
		return
	}
	v.rows[row] = append(v.rows[row], errcode.Violation{Field: fmt.Sprintf("rows[%d].%s", row, field), Message: fmt.Sprintf(format, args...)})
}

func (v *violations) codes(col *Column) {
	for row, c := range col.Codes {
		if uint64(c) >= uint64(len(col.Dict)) {
			v.add(row, errcode.Invalid, "values."+col.Name, "code %d is beyond the dictionary of column %q, which has %d values", c, col.Name, len(col.Dict))
		}
	}
}

func (v *violations) values(col *Column, invalid map[uint32]error) {
	for row, c := range col.Codes {
		if err := invalid[c]; err != nil {
			code := errcode.ValueInvalid
			if col.Dict[c].Null {
				code = errcode.NotNull
			}
			v.add(row, code, "values."+col.Name, "%v", err)
		}
	}
}

// counts refuses the one count that has no negation; everything else is for the shard to judge.
func (v *violations) counts(counts []int64) {
	for row, c := range counts {
		if c == math.MinInt64 {
			v.add(row, errcode.NumericOutOfRange, "count", "count %d is out of range", c)
		}
	}
}

// report is one error that names the bad rows in order, up to ViolationsMax of them.
func (v *violations) report(b *Batch, n int) error {
	rows := make([]int, 0, len(v.rows))
	for r := range v.rows {
		rows = append(rows, r)
	}
	slices.Sort(rows)
	first := v.rows[rows[0]]
	e := errcode.New(v.code, "%d of %d rows of the batch for table %q are not valid, and nothing was counted", len(rows), n, b.Table.Table)
	if len(rows) == 1 && len(first) == 1 {
		e = errcode.New(v.code, "row %d of the batch for table %q is not valid, and nothing was counted: %s", rows[0], b.Table.Table, first[0].Message)
	}
	e.WithHint("mend or leave out the rows named, and send the batch again")
	for _, r := range rows {
		for _, violation := range v.rows[r] {
			if len(e.Violations) == ViolationsMax {
				return e.WithDetail("the first %d are named", ViolationsMax)
			}
			e.Violations = append(e.Violations, violation)
		}
	}
	return e
}
