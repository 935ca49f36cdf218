package plan

import (
	"strconv"

	"github.com/quipudb/quipu/query/sql"
	"github.com/quipudb/quipu/server/errcode"
	"github.com/quipudb/quipu/storage/schema"
)

// Insert is a bound INSERT or the target of a COPY FROM.
type Insert struct {
	Table *schema.Table
	// Targets says where each value of a row goes: a dimension, or TargetTime or TargetCount.
	Targets []int
	Values  [][]sql.Expr // rows of VALUES
	Query   *Query       // otherwise
}

// Targets that are not dimensions.
const (
	TargetTime  = -1
	TargetCount = -2
)

// Insert binds an INSERT.
func (b *Binder) Insert(s *sql.Insert) (*Insert, error) {
	switch {
	case len(s.Returning) > 0:
		return nil, b.fail(s.ReturningPos, errcode.NotSupported, "RETURNING is not supported").
			WithHint("the values are those that were sent, with the defaults of \\d; SELECT the counts afterwards")
	case s.Conflict != nil:
		return nil, b.fail(s.Conflict.Pos, errcode.NotSupported, "ON CONFLICT has no meaning here: an INSERT adds to the counts").
			WithHint("leave ON CONFLICT out; an idempotency key of the API makes a retry count once")
	}
	t, err := b.Table(s.Table, schema.Insert)
	if err != nil {
		return nil, err
	}
	in := &Insert{Table: t}
	if in.Targets, err = b.Targets(t, s.Columns); err != nil {
		return nil, err
	}
	width := 0
	if s.Source == nil { // DEFAULT VALUES
		row := make([]sql.Expr, len(in.Targets))
		for i := range row {
			row[i] = &sql.Default{Pos: s.Pos}
		}
		in.Values = [][]sql.Expr{row}
		return in, nil
	}
	if v, ok := s.Source.Body.(*sql.Values); ok && s.With == nil && s.Source.With == nil && s.Source.OrderBy == nil && s.Source.Limit == nil && s.Source.Offset == nil {
		in.Values = v.Rows
		width = len(v.Rows[0])
	} else {
		if in.Query, err = b.source(s); err != nil {
			return nil, err
		}
		width = len(in.Query.Columns)
	}
	if s.Columns == nil && width < len(in.Targets) {
		in.Targets = b.shorter(t, width)
	}
	switch {
	case width > len(in.Targets):
		return nil, b.fail(s.Source.At(), errcode.SyntaxError, "INSERT has more expressions (%d) than target columns (%d)", width, len(in.Targets))
	case width < len(in.Targets):
		return nil, b.fail(s.Pos, errcode.SyntaxError, "INSERT has fewer expressions (%d) than target columns (%d)", width, len(in.Targets)).
			WithHint("name the columns: INSERT INTO %s (a, b, count) VALUES …", t.Name.Table)
	}
	if b.describing {
		return in, b.describeValues(in)
	}
	return in, nil
}

// source binds the query of an INSERT, which may name those of the WITH in front of it.
func (b *Binder) source(s *sql.Insert) (*Query, error) {
	if s.With == nil {
		return b.Query(s.Source)
	}
	root, err := b.with(s.With, func() (Node, error) { return b.query(s.Source) })
	if err != nil {
		return nil, err
	}
	return b.whole(root), nil
}

// describeValues gives a parameter that stands alone as a value the type of its target.
func (b *Binder) describeValues(in *Insert) error {
	e := &exprBinder{Binder: b, scope: &scope{}, clause: "VALUES"}
	for _, row := range in.Values {
		for i, v := range row {
			if _, ok := v.(*sql.Default); ok || i >= len(in.Targets) {
				continue
			}
			x, err := e.value(v)
			if err != nil {
				return err
			}
			if x.Kind == exprParam && x.Type == Unknown {
				if _, err := b.coerce(x, in.targetType(in.Targets[i]), v.At()); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (in *Insert) targetType(target int) Type {
	switch target {
	case TargetTime:
		return Timestamptz
	case TargetCount:
		return Int8
	}
	return TypeOf(in.Table.Dims[target])
}

// shorter are the targets of rows without a column list that leave out ts, or count, or both; nil if the width fits none.
func (b *Binder) shorter(t *schema.Table, width int) []int {
	all := allTargets(t)
	switch {
	case width == len(t.Dims):
		return all[:width]
	case width == len(t.Dims)+1 && t.Window > 0:
		return append(all[:len(t.Dims):len(t.Dims)], TargetCount)
	}
	return all
}

func allTargets(t *schema.Table) []int {
	var out []int
	for i := range t.Dims {
		out = append(out, i)
	}
	if t.Window > 0 {
		out = append(out, TargetTime)
	}
	return append(out, TargetCount)
}

// Targets resolves a column list; without one it is the dimensions, ts if the table has time, count.
func (b *Binder) Targets(t *schema.Table, cols []sql.Ident) ([]int, error) {
	if cols == nil {
		return allTargets(t), nil
	}
	var out []int
	seen := map[int]bool{}
	for _, c := range cols {
		target, err := b.target(t, c)
		if err != nil {
			return nil, err
		}
		if seen[target] {
			return nil, b.fail(c.Pos, errcode.DuplicateColumn, "column %q specified more than once", c.Name)
		}
		seen[target] = true
		out = append(out, target)
	}
	return out, nil
}

func (b *Binder) target(t *schema.Table, c sql.Ident) (int, error) {
	switch {
	case c.Name == "count":
		return TargetCount, nil
	case c.Name == "ts" && t.Window > 0:
		return TargetTime, nil
	}
	if i := t.Dim(c.Name); i >= 0 {
		return i, nil
	}
	err := b.fail(c.Pos, errcode.UnknownColumn, "column %q of table %q does not exist", c.Name, t.Name.Table)
	names := []string{"count"}
	for _, d := range t.Dims {
		names = append(names, d.Name)
	}
	if near, ok := Nearest(c.Name, names); ok {
		return 0, err.WithHint("did you mean %q?", near)
	}
	if c.Name == "ts" {
		return 0, err.WithHint("the table has no time; create it WITH (window = '1h') to have one")
	}
	return 0, err
}

// InsertValue evaluates one value of a VALUES row for a target. ok is false for DEFAULT.
func (b *Binder) InsertValue(e sql.Expr) (v Value, ok bool, err error) {
	switch l := e.(type) {
	case *sql.Literal: // nearly all of them
		switch l.Kind {
		case sql.NullLiteral:
			return Null, true, nil
		case sql.StringLiteral:
			return TextValue(l.Text), true, nil
		case sql.IntLiteral:
			if n, err := strconv.ParseInt(l.Text, 10, 64); err == nil {
				return IntValue(n), true, nil
			}
		}
	case *sql.Default:
		return Null, false, nil
	}
	x, err := (&exprBinder{Binder: b, scope: &scope{}, clause: "VALUES"}).value(e)
	if err != nil {
		return Null, false, err
	}
	v, err = x.Eval(nil)
	return v, true, b.locate(err, e.At())
}

// Fail is an error at a place of the statement.
func (b *Binder) Fail(at sql.Pos, code errcode.Code, format string, args ...any) *errcode.Error {
	return b.fail(at, code, format, args...)
}
