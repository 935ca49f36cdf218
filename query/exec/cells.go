package exec

import (
	"context"

	"github.com/quipudb/quipu/query/plan"
	"github.com/quipudb/quipu/storage"
)

// Cells streams the cells that pass the filters as rows of the fragment's columns. The row is reused.
func (r *Run) Cells(ctx context.Context, emit func(row []plan.Value) error) error {
	for _, c := range r.f.Cells {
		r.s.readDim(c)
	}
	row := r.t.row()
	left := r.f.Limit
	w, err := r.s.newWork()
	if err != nil {
		return err
	}
	for _, seg := range r.s.segments(1) {
		err := seg.Scan(ctx, r.s.dims, func(c *storage.Chunk) error {
			if !r.s.passes(c.Window) {
				return nil
			}
			sel, err := w.filter(c)
			if err != nil {
				return err
			}
			if sel == nil {
				sel = w.all(&w.sel, c.Len)
			}
			for _, i := range sel {
				if left == 0 {
					return errEnough
				}
				left--
				r.fill(row, c, w.at, int(i))
				if err := emit(row); err != nil {
					return err
				}
			}
			r.Stats.Rows += int64(len(sel))
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (r *Run) fill(row []plan.Value, c *storage.Chunk, at []int, i int) {
	for _, col := range r.f.Cells {
		switch {
		case col < r.t.dims:
			row[col] = r.t.value(col, c.Codes[at[col]][i])
		case col == r.f.TS():
			row[col] = r.t.ts(c.Window)
		default:
			row[col] = plan.IntValue(c.Counts[i])
		}
	}
}
