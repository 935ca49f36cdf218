package exec

import (
	"context"
	"slices"

	"github.com/quipudb/quipu/query/plan"
	"github.com/quipudb/quipu/server/errcode"
)

// recursive gives the rows round by round. Those of one round are held, and with Distinct the keys of all.
func (e *Env) recursive(ctx context.Context, n *plan.Recursive, emit Emit) error {
	if e.rounds == nil {
		e.rounds = map[*plan.WorkTable][][]plan.Value{}
	}
	around := e.rounds[n.Table]
	defer func() { e.rounds[n.Table] = around }()
	seen := map[string]struct{}{}
	var rows, held int64
	step := n.Base
	for round := 0; ; round++ {
		var next [][]plan.Value
		was := held
		held = 0
		err := e.node(ctx, step, func(row []plan.Value) error {
			if n.Distinct {
				k := rowKey(row)
				if _, ok := seen[k]; ok {
					return nil
				}
				if err := e.Options.Memory.Grow(int64(len(k)) + 64); err != nil {
					return err
				}
				seen[k] = struct{}{}
			}
			if rows++; rows > plan.RecursionRowsMax {
				return endless(n, "gives more than %d rows", plan.RecursionRowsMax)
			}
			if err := e.Options.Memory.Grow(sizeOf(row)); err != nil {
				return err
			}
			held += sizeOf(row)
			next = append(next, slices.Clone(row))
			return nil
		})
		e.Options.Memory.Shrink(was)
		if err == nil {
			err = emitAll(next, nil, emit)
		}
		switch {
		case err != nil || len(next) == 0:
			e.Options.Memory.Shrink(held)
			return err
		case round == plan.RecursionRoundsMax:
			return endless(n, "has not ended after %d rounds", round)
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		e.rounds[n.Table] = next
		step = n.Step
	}
}

func endless(n *plan.Recursive, format string, bound int) error {
	return errcode.New(errcode.TooLarge, "recursive query %q "+format, n.Table.Name, bound).
		WithHint("give it a condition that ends it, UNION without ALL if its rows come again, or a LIMIT where it is read")
}
