package query

import (
	"context"
	"fmt"
	"math"
	"strings"

	"github.com/quipudb/quipu/query/plan"
	"github.com/quipudb/quipu/query/sql"
	"github.com/quipudb/quipu/server/errcode"
	"github.com/quipudb/quipu/storage/schema"
)

func (s *session) ddl(ctx context.Context, st sql.Statement, sink Sink) error {
	tag := ""
	err := s.bound(ctx, func(b *plan.Binder) (err error) {
		switch st := st.(type) {
		case *sql.CreateTable:
			tag = "CREATE TABLE"
			t, err := b.CreateTable(st)
			if err != nil {
				return err
			}
			return s.at1(s.e.o.DDL.CreateTable(ctx, s.r.Principal, t, st.IfNotExists), st.Name.Pos)
		case *sql.AlterTable:
			tag = "ALTER TABLE"
			t, err := b.Table(st.Name, schema.Alter)
			if err != nil {
				return err
			}
			c, err := b.AlterTable(st, t)
			if err != nil {
				return err
			}
			return s.e.o.DDL.AlterTable(ctx, s.r.Principal, t.Name, c)
		case *sql.DropTable:
			tag = "DROP TABLE"
			for _, n := range st.Names {
				if _, err := b.Table(n, schema.Drop); err != nil && !(st.IfExists && errcode.From(err).Code == errcode.UnknownTable) {
					return err
				}
				if err := s.e.o.DDL.DropTable(ctx, s.r.Principal, b.TableName(n), st.IfExists); err != nil {
					return s.at1(err, n.Pos)
				}
			}
		case *sql.Truncate:
			tag = "TRUNCATE TABLE"
			for _, n := range st.Names {
				t, err := b.Table(n, schema.Truncate)
				if err != nil {
					return err
				}
				if err := s.e.o.DDL.TruncateTable(ctx, s.r.Principal, t.Name); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return s.done(sink, tag)
}

// delete ends the windows of a table before a time. The number of rows that it tells is that of a read just before.
func (s *session) delete(ctx context.Context, st *sql.Delete, sink Sink) error {
	var d *plan.Delete
	err := s.bound(ctx, func(b *plan.Binder) (err error) {
		d, err = b.Delete(st)
		return err
	})
	if err != nil {
		return err
	}
	rows := int64(0)
	count := rowSink(func(row []plan.Value) error { rows = row[0].Int(); return nil })
	if err := s.rows(ctx, &reading{q: d.Count, sink: count}); err != nil {
		return err
	}
	if d.Before > math.MinInt64 {
		if err := s.e.o.DDL.DropWindows(ctx, s.r.Principal, d.Table.Name, d.Before); err != nil {
			return s.at1(err, st.Where.At())
		}
	}
	if err := sink.Columns(nil); err != nil {
		return err
	}
	return s.end(sink, &End{Tag: fmt.Sprintf("DELETE %d", rows), Rows: rows})
}

// at1 gives an error without a place the place pos.
func (s *session) at1(err error, pos sql.Pos) error {
	if err == nil || errcode.From(err).Position > 0 {
		return err
	}
	return s.at(err, pos)
}

// insertRowsMax bounds the rows of one request to the shards.
const insertRowsMax = 8192

func (s *session) insert(ctx context.Context, st *sql.Insert, sink Sink) error {
	var in *plan.Insert
	var b *plan.Binder
	err := s.bound(ctx, func(binder *plan.Binder) (err error) {
		b = binder
		in, err = b.Insert(st)
		return err
	})
	if err != nil {
		return err
	}
	w := s.newInserter(in)
	if in.Query != nil {
		err = s.insertQuery(ctx, in, w)
	} else {
		err = s.insertValues(ctx, in, b, w)
	}
	if err == nil {
		err = w.flush(ctx)
	}
	if err != nil {
		return w.explain(err)
	}
	if err := sink.Columns(nil); err != nil {
		return err
	}
	return s.end(sink, &End{Tag: fmt.Sprintf("INSERT 0 %d", w.rows), Rows: w.rows, Receipt: w.receipts()})
}

func (s *session) insertValues(ctx context.Context, in *plan.Insert, b *plan.Binder, w *inserter) error {
	values, given := make([]plan.Value, len(in.Targets)), make([]bool, len(in.Targets))
	for _, row := range in.Values {
		if len(row) != len(in.Targets) {
			return b.Fail(row[0].At(), errcode.SyntaxError, "this row has %d expressions, the statement has %d target columns", len(row), len(in.Targets))
		}
		for i, x := range row {
			var err error
			if values[i], given[i], err = b.InsertValue(x); err != nil {
				return err
			}
		}
		if err := w.add(values, given); err != nil {
			return s.at1(err, row[0].At())
		}
		if err := w.full(ctx); err != nil {
			return err
		}
	}
	return nil
}

// insertQuery takes the rows of a SELECT. They are read from one snapshot before the first is counted.
func (s *session) insertQuery(ctx context.Context, in *plan.Insert, w *inserter) error {
	given := make([]bool, len(in.Targets))
	for i := range given {
		given[i] = true
	}
	var rows [][]plan.Value
	sink := rowSink(func(row []plan.Value) error {
		rows = append(rows, append([]plan.Value(nil), row...))
		if len(rows) > insertSelectMax {
			return errcode.New(errcode.RowLimit, "the SELECT of an INSERT gives more than %d rows", insertSelectMax).WithHint("insert in parts")
		}
		return nil
	})
	if err := s.rows(ctx, &reading{q: in.Query, sink: sink}); err != nil {
		return err
	}
	for _, row := range rows {
		if err := w.add(row, given); err != nil {
			return err
		}
		if err := w.full(ctx); err != nil {
			return err
		}
	}
	return nil
}

const insertSelectMax = 1_000_000

type rowSink func([]plan.Value) error

func (rowSink) Columns([]plan.Column) error     { return nil }
func (f rowSink) Row(values []plan.Value) error { return f(values) }
func (rowSink) End(*End) error                  { return nil }

// inserter gathers rows into batches.
type inserter struct {
	s       *session
	in      *plan.Insert
	batch   *Batch
	codes   []map[schema.Value]uint32
	rows    int64 // counted
	pending int64
	last    map[string]string // newest index by shard
	order   []string
}

func (s *session) newInserter(in *plan.Insert) *inserter {
	w := &inserter{s: s, in: in, last: map[string]string{}}
	w.reset()
	return w
}

func (w *inserter) reset() {
	w.batch = &Batch{Table: w.in.Table}
	w.codes = nil
	for _, t := range w.in.Targets {
		if t >= 0 {
			w.batch.Cols = append(w.batch.Cols, BatchColumn{Dim: t, Values: []schema.Value{schema.Null}})
			w.codes = append(w.codes, map[schema.Value]uint32{})
		}
	}
	w.pending = 0
}

// add takes one row. given is false for DEFAULT.
func (w *inserter) add(values []plan.Value, given []bool) error {
	count, event, c := int64(1), int64(0), 0
	for i, t := range w.in.Targets {
		switch {
		case t == plan.TargetCount:
			if !given[i] {
				continue
			}
			n, err := countOf(values[i])
			if err != nil {
				return err
			}
			count = n
		case t == plan.TargetTime:
			if !given[i] || values[i].IsNull() {
				continue
			}
			v, err := plan.Convert(values[i], plan.Timestamptz)
			if err != nil {
				return err
			}
			event = v.Int() / 1000
		default:
			d := w.in.Table.Dims[t]
			v := d.Default
			if given[i] {
				var err error
				if v, err = d.Canonical(plan.SchemaValue(values[i])); err != nil {
					code := errcode.InvalidText
					if values[i].IsNull() {
						code = errcode.NotNull
					}
					return errcode.New(code, "%v", err)
				}
			}
			w.value(c, v)
			c++
		}
	}
	w.batch.Counts = append(w.batch.Counts, count)
	if event == 0 {
		event = w.s.e.o.Now().UnixMilli()
	}
	w.batch.Events = append(w.batch.Events, event)
	w.pending++
	return nil
}

// countOf takes whole numbers only: a count that was rounded would be a wrong one.
func countOf(v plan.Value) (int64, error) {
	switch {
	case v.IsNull():
		return 0, errcode.New(errcode.NotNull, "count is NULL").WithHint("leave count out to count 1")
	case v.Type == plan.Float8:
		f := v.Float()
		if n := int64(f); f == float64(n) && f > -0x1p53 && f < 0x1p53 {
			return n, nil
		}
		return 0, errcode.New(errcode.NumericOutOfRange, "count %s is not a whole number", v)
	case v.Type != plan.Int8:
		c, err := plan.Convert(v, plan.Int8)
		if err != nil {
			return 0, errcode.New(errcode.TypeMismatch, "count %q is not a whole number", v.String())
		}
		return c.Int(), nil
	}
	return v.Int(), nil
}

func (w *inserter) value(col int, v schema.Value) {
	c := &w.batch.Cols[col]
	code := uint32(0)
	if !v.Null {
		var ok bool
		if code, ok = w.codes[col][v]; !ok {
			c.Values = append(c.Values, v)
			code = uint32(len(c.Values) - 1)
			w.codes[col][v] = code
		}
	}
	c.Codes = append(c.Codes, code)
}

func (w *inserter) full(ctx context.Context) error {
	if w.pending < insertRowsMax {
		return nil
	}
	return w.flush(ctx)
}

// flush counts what has been gathered. Rows with count 0 change nothing and are left to the shards' arithmetic.
func (w *inserter) flush(ctx context.Context) error {
	if w.pending == 0 {
		return nil
	}
	receipt, err := w.s.r.Writer.Insert(ctx, w.s.r.Principal, w.batch)
	if err != nil {
		return err
	}
	for _, part := range strings.Split(receipt, ",") {
		if shard, index, ok := strings.Cut(part, ":"); ok {
			if _, seen := w.last[shard]; !seen {
				w.order = append(w.order, shard)
			}
			w.last[shard] = index
		}
	}
	w.rows += w.pending
	w.reset()
	return nil
}

func (w *inserter) receipts() string {
	parts := make([]string, len(w.order))
	for i, shard := range w.order {
		parts[i] = shard + ":" + w.last[shard]
	}
	return strings.Join(parts, ",")
}

// explain says how much of a statement was counted before it failed.
func (w *inserter) explain(err error) error {
	if w.rows == 0 {
		return err
	}
	e := *errcode.From(err)
	e.Detail = strings.TrimSpace(fmt.Sprintf("%d rows before it were counted and stay counted. %s", w.rows, e.Detail))
	return &e
}
