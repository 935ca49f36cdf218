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
	if n.Lateral != nil {
		return e.lateral(ctx, n, emit)
	}
	t, held, err := e.joinTable(ctx, n)
	defer func() { e.Options.Memory.Shrink(held) }()
	if err != nil || len(t.rows) == 0 && (n.Kind == plan.InnerJoin || n.Kind == plan.RightJoin) {
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

// lateral runs the right side anew for each row of the left one.
func (e *Env) lateral(ctx context.Context, n *plan.Join, emit Emit) error {
	width := len(n.L.Columns())
	out := make([]plan.Value, width+len(n.R.Columns()))
	return e.node(ctx, n.L, func(row []plan.Value) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		copy(out, row[:width])
		if err := n.Lateral.Sub.Set(n.Lateral.Args, out); err != nil {
			return err
		}
		found := false
		err := e.node(ctx, n.R, func(right []plan.Value) error {
			copy(out[width:], right)
			if n.Cond != nil {
				if ok, err := n.Cond.True(out); err != nil || !ok {
					return err
				}
			}
			found = true
			return emit(out)
		})
		if err != nil || found || n.Kind != plan.LeftJoin {
			return err
		}
		clear(out[width:])
		return emit(out)
	})
}

// keptRows are rows that the query keeps, by key. They count against its budget to its end.
type keptRows struct {
	rows    [][]plan.Value
	buckets map[string][]int
}

func (e *Env) keptRows(ctx context.Context, n *plan.Kept, emit Emit) error {
	k := e.kept[n]
	if k == nil {
		k = &keptRows{buckets: map[string][]int{}}
		err := e.node(ctx, n.Input, func(row []plan.Value) error {
			key, ok, err := joinKey(n.Keys, row)
			if err != nil {
				return err
			}
			if ok {
				k.buckets[key] = append(k.buckets[key], len(k.rows))
			}
			k.rows = append(k.rows, slices.Clone(row))
			return e.Options.Memory.Grow(sizeOf(row) + int64(len(key)) + 64)
		})
		if err != nil {
			return err
		}
		if e.kept == nil {
			e.kept = map[*plan.Kept]*keptRows{}
		}
		e.kept[n] = k
	}
	key, ok, err := joinKey(n.Values, nil)
	if err != nil || !ok {
		return err
	}
	for i, at := range k.buckets[key] {
		if i&0xfff == 0xfff && ctx.Err() != nil {
			return ctx.Err()
		}
		if err := emit(k.rows[at]); err != nil {
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
