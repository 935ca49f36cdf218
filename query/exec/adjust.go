package exec

import (
	"context"
	"slices"

	"github.com/quipudb/quipu/query/plan"
	"github.com/quipudb/quipu/query/stats"
)

// adjust holds all rows of its input, as each correction depends on all of them.
func (e *Env) adjust(ctx context.Context, n *plan.Adjust, emit Emit) error {
	var rows [][]plan.Value
	err := e.node(ctx, n.Input, func(row []plan.Value) error {
		if err := e.Options.Memory.Grow(sizeOf(row) + 2*valueBytes*int64(len(n.Adjusted))); err != nil {
			return err
		}
		rows = append(rows, slices.Clone(row))
		return nil
	})
	if err != nil {
		return err
	}
	for _, a := range n.Adjusted {
		var ln []float64
		for _, row := range rows {
			if v := row[a.Col]; !v.IsNull() {
				ln = append(ln, v.Float())
			}
		}
		ln = stats.AdjustLn(ln, a.Correction)
		for i, row := range rows {
			if row[a.Col].IsNull() {
				rows[i] = append(row, plan.Null, plan.Null)
				continue
			}
			rows[i] = append(row, plan.FloatValue(stats.PofLn(ln[0])), plan.FloatValue(ln[0]))
			ln = ln[1:]
		}
	}
	for _, row := range rows {
		if err := emit(row); err != nil {
			return err
		}
	}
	return nil
}
