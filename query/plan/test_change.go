package plan

import (
	"encoding/binary"

	"github.com/quipudb/quipu/query/stats"
)

const changeFamily = "The same category then and now"

// thenNow compares the observations for which one condition holds with those for which another one does.
var thenNow = []Category{{"a", Nominal}, {"before", Condition}, {"after", Condition}}

var changeTests = []*Test{
	{
		Name: "change_test", Aliases: []string{"homogeneity_test"}, Family: changeFamily, Cats: thenNow, Columns: testColumns,
		Doc: "whether the shares of `a` differ between the observations for which `before` is true and those for which `after` is: two windows or two filters of one " +
			"table. Pearson's test; an observation for which both are true counts twice",
		Example: "SELECT change_test(admitted, before => dept = 'A', after => dept IN ('B', 'C')) FROM admissions",
		whole:   []int{0},
		reshape: beforeAfter,
		terms: &terms{kinds: fixedKinds(stats.KindPearson), finish: func(_ *Aggregate, t *Terms) ([]Value, error) {
			r, err := t.Frame.ChiSquare(t.Partial)
			return testRecord(r, r), err
		}},
	},
	{
		Name: "drift", Family: changeFamily, Cats: thenNow,
		Columns: []Column{{"psi", Float8}, {"kl", Float8}, {"kl_back", Float8}, {"js", Float8}, {"hellinger", Float8}, {"total_variation", Float8},
			{"n_before", Int8}, {"n_after", Int8}, {"warning", Text}},
		Doc: "how far the shares of `a` moved: population stability index, Kullback-Leibler divergences of after from before and back, Jensen-Shannon divergence, all in " +
			"nats, Hellinger's distance and total variation. `psi(a, outcome, NOT outcome)` is the information value of `a` for an outcome",
		Example: "SELECT drift(admitted, before => dept = 'A', after => dept = 'B') FROM admissions",
		whole:   []int{0},
		reshape: beforeAfter,
		sums: &sums{
			begin:  func(*Aggregate) Sums { return &sideTotals{} },
			second: func(_ *Aggregate, first Sums) Sums { t := first.(*sideTotals); return newDrift(t) },
			finish: func(_ *Aggregate, first, second Sums, _ int64) ([]Value, error) {
				d, err := statistics[stats.DriftSums, *stats.DriftSums](second).Drift()
				t := first.(*sideTotals)
				return []Value{FloatValue(d.PSI), FloatValue(d.KL), FloatValue(d.KLBack), FloatValue(d.JS), FloatValue(d.Hellinger), FloatValue(d.TotalVariation),
					sizeValue(t[0]), sizeValue(t[1])}, err
			},
		},
	},
}

var changeScalars = []Scalar{
	{Name: "psi", Aliases: []string{"population_stability_index"}, Of: "drift", Column: "psi", Doc: "population stability index"},
	{Name: "kl_divergence", Of: "drift", Column: "kl", Doc: "Σ p·ln(p/q), p before and q after"},
	{Name: "js_divergence", Of: "drift", Column: "js", Doc: "Jensen-Shannon divergence, 0…ln 2"},
	{Name: "hellinger_distance", Of: "drift", Column: "hellinger", Doc: "Hellinger's distance, 0…1"},
	{Name: "total_variation", Of: "drift", Column: "total_variation", Doc: "½ Σ |p − q|, 0…1"},
}

// beforeAfter makes the table whose rows are before and after.
func beforeAfter(c *Cells) *Cells {
	out := NewCells(2)
	out.Null = c.Null
	out.Values[0], out.Values[1] = []Value{TextValue("before"), TextValue("after")}, c.Values[0]
	counts := make([][2]int64, len(c.Values[0]))
	for k, n := range c.Count {
		for side := range 2 {
			if c.Values[1+side][c.At[1+side][k]].Bool() {
				counts[c.At[0][k]][side] += n
			}
		}
	}
	for j, both := range counts {
		for side, n := range both {
			if n != 0 {
				out.At[0], out.At[1] = append(out.At[0], uint32(side)), append(out.At[1], uint32(j))
				out.Count = append(out.Count, n)
			}
		}
	}
	return out
}

// sideTotals are the observations before and after: what comes first of drift.
type sideTotals [2]uint64

func (t *sideTotals) Add(c *Cells) error {
	for k, n := range c.Count {
		if err := t.add(c.At[0][k], uint64(n)); err != nil {
			return err
		}
	}
	return nil
}

func (t *sideTotals) add(side uint32, n uint64) error {
	if t[side]+n < n {
		return stats.ErrOverflow
	}
	t[side] += n
	return nil
}

func (t *sideTotals) Merge(o Sums) error {
	for side, n := range o.(*sideTotals) {
		if err := t.add(uint32(side), n); err != nil {
			return err
		}
	}
	return nil
}

// AppendBinary appends both totals as unsigned varints.
func (t *sideTotals) AppendBinary(b []byte) ([]byte, error) {
	return binary.AppendUvarint(binary.AppendUvarint(b, t[0]), t[1]), nil
}

func (t *sideTotals) UnmarshalBinary(b []byte) error {
	var got sideTotals
	for side := range got {
		n, size := binary.Uvarint(b)
		if size <= 0 {
			return errValues
		}
		got[side], b = n, b[size:]
	}
	if len(b) > 0 {
		return errValues
	}
	*t = got
	return nil
}

func newDrift(t *sideTotals) Sums {
	return &summed[stats.DriftSums, *stats.DriftSums]{P: stats.NewDriftSums(t[0], t[1]), add: func(s *stats.DriftSums, c *Cells) error {
		counts := make([][2]uint64, len(c.Values[1]))
		for k, n := range c.Count {
			counts[c.At[1][k]][c.At[0][k]] = uint64(n)
		}
		for _, n := range counts {
			if n[0]|n[1] != 0 {
				s.Add(n[0], n[1])
			}
		}
		return nil
	}}
}
