package exec

import (
	"cmp"
	"context"
	"slices"

	"github.com/quipudb/quipu/query/plan"
	"github.com/quipudb/quipu/query/stats"
)

// screened is one test of a screen.
type screened struct {
	dim    int // number of the dimension
	group  *merged
	record []plan.Value
	lnP    float64
}

// screen gives the tests of all groups by ln p. The family of the correction is all of them that could be tested; ties are in the order of
// groups as values, then of dimensions.
func (e *Env) screen(ctx context.Context, n *plan.Screen, emit Emit) error {
	r, err := e.open(n.Fragment)
	if err != nil {
		return err
	}
	defer r.close()
	groups, err := r.groups(ctx)
	if err != nil {
		return err
	}
	slices.SortFunc(groups, func(a, b *merged) int { return compareKeys(a.Keys, b.Keys) })
	list, ln, err := r.screened(groups)
	if err != nil {
		return err
	}
	order := make([]int, len(list))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(ln[a], ln[b]) })
	adjusted := stats.AdjustLn(ln, n.Correction)
	for _, i := range order[:min(n.Top, len(order))] {
		if err := emit(list[i].row(n, adjusted[i])); err != nil {
			return err
		}
	}
	return nil
}

// screened finishes every test of every group. A group in which there is nothing to test is left out.
func (r *runs) screened(groups []*merged) (list []screened, ln []float64, err error) {
	for _, g := range groups {
		row, err := r.columns(nil, g) // each row has its own warning
		if err != nil {
			return nil, nil, err
		}
		if err := r.env.Options.Memory.Grow(sizeOf(row)); err != nil {
			return nil, nil, err
		}
		row = row[len(g.Keys):]
		for i, a := range r.f.Aggs {
			record := row[:a.Width()]
			row = row[a.Width():]
			if p := a.Column(record, "ln_p"); !p.IsNull() {
				list, ln = append(list, screened{i, g, record, p.Float()}), append(ln, p.Float())
			}
		}
	}
	return list, ln, nil
}

// row is the test as a row of the screen.
func (s *screened) row(n *plan.Screen, lnAdjusted float64) []plan.Value {
	a := n.Fragment.Aggs[s.dim]
	row := append([]plan.Value{plan.TextValue(n.Dims[s.dim])}, s.group.Keys...)
	for _, name := range []string{"statistic", "df", "p_value", "ln_p"} {
		row = append(row, a.Column(s.record, name))
	}
	row = append(row, plan.FloatValue(stats.PofLn(lnAdjusted)), plan.FloatValue(lnAdjusted))
	for _, name := range []string{"cramers_v", "cramers_v_corrected", "n", "warning"} {
		row = append(row, a.Column(s.record, name))
	}
	return row
}

// compareKeys orders groups by their keys, NULL last.
func compareKeys(a, b []plan.Value) int {
	for i := range a {
		switch {
		case a[i].IsNull() && b[i].IsNull():
			continue
		case a[i].IsNull():
			return 1
		case b[i].IsNull():
			return -1
		}
		if c := plan.Compare(a[i], b[i]); c != 0 {
			return c
		}
	}
	return 0
}
