package plan

import (
	"errors"
	"math"
	"time"

	"github.com/quipudb/quipu/query/sql"
	"github.com/quipudb/quipu/server/errcode"
	"github.com/quipudb/quipu/storage/schema"
)

// Delete is a bound DELETE: the end of whole windows.
type Delete struct {
	Table  *schema.Table
	Before int64  // Unix seconds: windows that start before it end
	Count  *Query // gives the number of rows that they have
}

// Delete binds a DELETE. Its condition is ts < x or ts <= x, in either order, where x is the same for every row.
func (b *Binder) Delete(s *sql.Delete) (*Delete, error) {
	switch {
	case len(s.Returning) > 0:
		return nil, b.fail(s.ReturningPos, errcode.NotSupported, "RETURNING is not supported").
			WithHint("SELECT what the condition finds before it is deleted")
	case s.With != nil:
		return nil, b.unsupported(s.With.Pos, "WITH before DELETE")
	}
	t, err := b.Table(s.Table, schema.Truncate)
	if err != nil {
		return nil, err
	}
	switch {
	case t.Window == 0:
		return nil, b.fail(s.Pos, errcode.NotSupported, "DELETE ends whole windows, and table %q has none", t.Name.Table).
			WithHint("TRUNCATE empties a table, and an INSERT of the negative count takes single counts back")
	case s.Where == nil:
		return nil, b.fail(s.Pos, errcode.NotSupported, "DELETE needs a condition on ts").WithHint("TRUNCATE %s empties the table", s.Table)
	}
	d := &Delete{Table: t}
	if d.Count, err = b.Query(deleted(s)); err != nil {
		return nil, err
	}
	limit, through := untilTime(s)
	if limit == nil {
		return nil, b.notWindows(s.Where.At())
	}
	d.Before, err = b.cutoff(limit, through)
	return d, err
}

func (b *Binder) notWindows(at sql.Pos) error {
	return b.fail(at, errcode.NotSupported, "DELETE ends whole windows: its condition is ts < a time").
		WithHint("write WHERE ts < '2026-01-01'; TRUNCATE empties a table, and an INSERT of the negative count takes single counts back")
}

// deleted is the query that counts the rows of a DELETE.
func deleted(s *sql.Delete) *sql.Query {
	count := &sql.Call{Pos: s.Pos, Name: sql.Name{Pos: s.Pos, Name: "count"}, Star: true}
	from := &sql.TableName{Name: s.Table, Alias: sql.Alias{Pos: s.Alias.Pos, Name: s.Alias.Name}}
	return &sql.Query{Pos: s.Pos, Body: &sql.Select{Pos: s.Pos, Items: []sql.SelectItem{{Expr: count}}, From: []sql.TableRef{from}, Where: s.Where}}
}

// untilTime gives x of ts < x, or nil. through says that it is ts <= x.
func untilTime(s *sql.Delete) (x sql.Expr, through bool) {
	c, ok := s.Where.(*sql.Binary)
	switch {
	case !ok:
		return nil, false
	case isTime(c.L) && (c.Op == "<" || c.Op == "<="):
		return c.R, c.Op == "<="
	case isTime(c.R) && (c.Op == ">" || c.Op == ">="):
		return c.L, c.Op == ">="
	}
	return nil, false
}

// isTime says that an expression is the column ts: there is one table only, so that a name before it has been found to be that of the table.
func isTime(e sql.Expr) bool {
	c, ok := e.(*sql.Column)
	return ok && c.Name == "ts"
}

// cutoff is the first second at which a window may start that stays; the least there is for NULL, before which nothing lies.
func (b *Binder) cutoff(limit sql.Expr, through bool) (int64, error) {
	x, err := (&exprBinder{Binder: b, scope: &scope{}, clause: "DELETE"}).value(limit)
	if errors.Is(err, errcode.New(errcode.UnknownColumn, "")) { // the count has found it: it differs from row to row
		err = b.notWindows(limit.At())
	}
	if err != nil {
		return 0, err
	}
	if x, err = b.coerce(x, Timestamptz, limit.At()); err != nil || b.describing {
		return 0, err
	}
	v, err := x.Eval(nil)
	if err != nil {
		return 0, b.locate(err, limit.At())
	}
	if v.IsNull() {
		return math.MinInt64, nil
	}
	t := v.Time()
	if through {
		t = t.Add(time.Microsecond)
	}
	if t.Nanosecond() > 0 {
		return t.Unix() + 1, nil
	}
	return t.Unix(), nil
}
