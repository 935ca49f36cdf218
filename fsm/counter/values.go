package counter

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/quipudb/quipu/fsm"
	"github.com/quipudb/quipu/proto/command/v1"
	"github.com/quipudb/quipu/storage/schema"
)

// testValues gives every value of the entry its code: an applied one keeps the code it has; a new one that has been applied
// since the entry was made gets that code; the others get the next codes in the order of the entry's list. Cells come to hold
// the machine's codes.
func testValues(x *group, g *command.Group, c *command.Cells) PartResult {
	x.fresh = x.fresh[:0]
	merge := false
	for d := range g.Dims {
		dim := &x.ts.Schema().Dims[d]
		if c.Nulls>>d&1 != 0 && dim.NotNull {
			return PartResult{Code: fsm.NotNull, Dim: uint8(d)}
		}
		if known := g.Dims[d].Known; known > x.ts.Len(d) {
			panic(fmt.Errorf("dimension %d of table %d: the entry knows %d values, the state has %d", d, g.Table, known, x.ts.Len(d)))
		}
		if len(g.Dims[d].New) == 0 {
			continue
		}
		codes, r := x.newCodes(d, dim, &g.Dims[d])
		if r != (PartResult{}) {
			return r
		}
		merge = recode(c.Cols[d], g.Dims[d].Known, codes) || merge
	}
	if merge {
		mergeEqual(c)
	}
	return PartResult{}
}

// newCodes finds or reserves the codes of the values of one dimension that were new to the proposer.
func (x *group) newCodes(d int, dim *schema.Dimension, list *command.Codes) ([]uint32, PartResult) {
	codes := make([]uint32, len(list.New))
	var seen map[string]struct{}
	next := x.ts.Len(d)
	for i, v := range list.New {
		code, ok := x.ts.Lookup(d, v)
		if !ok {
			if canonical, err := dim.Canonical(schema.V(v)); err != nil || canonical.Text != v {
				return nil, PartResult{Code: fsm.ValueInvalid, Dim: uint8(d)}
			}
			if next >= dim.Budget() {
				return nil, PartResult{Code: fsm.Cardinality, Dim: uint8(d), Value: int64(dim.Budget())}
			}
			if seen == nil {
				seen = make(map[string]struct{}, len(list.New))
			}
			if _, twice := seen[v]; twice {
				panic(fmt.Errorf("%w: value %q stands twice in dimension %d", command.ErrMalformed, v, d))
			}
			seen[v] = struct{}{}
			next++
			code = next
			x.fresh = append(x.fresh, freshValue{d, v, code})
		}
		codes[i] = code
	}
	return codes, PartResult{}
}

// recode replaces entry codes above known. It reports whether two cells may have become one: when a value that was new to
// the proposer has a code that some other part of the entry knew.
func recode(col []uint32, known uint32, codes []uint32) (merge bool) {
	same := true
	for i, code := range codes {
		same = same && code == known+1+uint32(i)
		merge = merge || code <= known
	}
	if same {
		return false
	}
	for i, code := range col {
		if code > known {
			col[i] = codes[code-known-1]
		}
	}
	return merge
}

// mergeEqual sums cells that have become equal, so that bounds are tested on what is really added. Sums cannot overflow: Scan
// bounds the sums of all positive and of all negative deltas.
func mergeEqual(c *command.Cells) {
	for wi := range c.Windows {
		w := &c.Windows[wi]
		order := make([]int, w.To-w.From)
		for i := range order {
			order[i] = w.From + i
		}
		compare := func(a, b int) int {
			for _, col := range c.Cols {
				if r := cmp.Compare(col[a], col[b]); r != 0 {
					return r
				}
			}
			return 0
		}
		slices.SortFunc(order, func(a, b int) int {
			if r := compare(a, b); r != 0 {
				return r
			}
			return a - b
		})
		for i := 1; i < len(order); i++ {
			if first, at := order[i-1], order[i]; compare(first, at) == 0 {
				c.Deltas[first] += c.Deltas[at]
				c.Deltas[at] = 0
				order[i] = first
			}
		}
	}
}
