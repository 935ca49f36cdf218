package exec

import (
	"context"
	"slices"

	"github.com/quipudb/quipu/query/plan"
)

// joinTable is the right side of a join in memory, by key. Without keys all rows are in one bucket, and the join is a nested loop.
type joinTable struct {
	rows    [][]plan.Value
	matched []bool
	buckets map[string][]int
}

// join streams the left side past the right one, which is held in memory and counts against the budget of the query.
func (e *Env) join(ctx context.Context, n *plan.Join, emit Emit) error {
	t, held, err := e.joinTable(ctx, n)
	defer func() { e.Options.Memory.Shrink(held) }()
	if err != nil {
		return err
	}
	width := len(n.L.Columns())
	out := make([]plan.Value, width+len(n.R.Columns()))
	err = e.node(ctx, n.L, func(row []plan.Value) error {
		copy(out, row[:width])
		return t.partners(ctx, n, out, width, emit)
	})
	if err != nil || n.Kind != plan.RightJoin && n.Kind != plan.FullJoin {
		return err
	}
	clear(out[:width])
	for i, r := range t.rows {
		if t.matched[i] {
			continue
		}
		copy(out[width:], r)
		if err := emit(out); err != nil {
			return err
		}
	}
	return nil
}

// joinTable reads the right side. held is the memory that it takes.
func (e *Env) joinTable(ctx context.Context, n *plan.Join) (t *joinTable, held int64, err error) {
	t = &joinTable{buckets: map[string][]int{}}
	err = e.node(ctx, n.R, func(row []plan.Value) error {
		key, ok, err := joinKey(n.RKeys, row)
		if err != nil {
			return err
		}
		size := sizeOf(row) + int64(len(key)) + 64
		if err := e.Options.Memory.Grow(size); err != nil {
			return err
		}
		held += size
		if ok {
			t.buckets[key] = append(t.buckets[key], len(t.rows))
		}
		t.rows = append(t.rows, slices.Clone(row))
		return nil
	})
	t.matched = make([]bool, len(t.rows))
	return t, held, err
}

// partners gives the pairs of the left row at the front of out, or the row alone if it has none and the kind wants it.
func (t *joinTable) partners(ctx context.Context, n *plan.Join, out []plan.Value, width int, emit Emit) error {
	key, ok, err := joinKey(n.LKeys, out)
	if err != nil {
		return err
	}
	found := false
	var bucket []int
	if ok {
		bucket = t.buckets[key]
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	for k, i := range bucket {
		if k&0xfff == 0xfff {
			if err := ctx.Err(); err != nil {
				return err
			}
		}
		copy(out[width:], t.rows[i])
		if n.Cond != nil {
			if ok, err := n.Cond.True(out); err != nil {
				return err
			} else if !ok {
				continue
			}
		}
		found, t.matched[i] = true, true
		if err := emit(out); err != nil {
			return err
		}
	}
	if found || n.Kind != plan.LeftJoin && n.Kind != plan.FullJoin {
		return nil
	}
	clear(out[width:])
	return emit(out)
}

// joinKey is the key of a row; a key with a NULL equals nothing, and ok is false.
func joinKey(keys []*plan.Expr, row []plan.Value) (key string, ok bool, err error) {
	if len(keys) == 0 {
		return "", true, nil
	}
	values, err := evalAll(keys, row)
	if err != nil {
		return "", false, err
	}
	for _, v := range values {
		if v.IsNull() {
			return "", false, nil
		}
	}
	return rowKey(values), true, nil
}
