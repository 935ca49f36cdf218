package plan

import (
	"github.com/quipudb/quipu/query/stats"
	"github.com/quipudb/quipu/server/errcode"
)

const ordinalFamily = "Categories with an order"

var ordinalTests = []*Test{
	{
		Name: "linear_by_linear_test", Aliases: []string{"linear_trend_test"}, Family: ordinalFamily,
		Cats: []Category{{"a", Scored}, {"b", Scored}}, Columns: measured("r"),
		Doc:     "Mantel's test of a linear association of two categories with scores; `r` is their correlation",
		Example: "SELECT linear_by_linear_test(dose, relief) FROM trial",
		sums:    scoreSums(func(x *stats.ScoreSums) ([]Value, error) { return recordOf(x.LinearByLinear()) }),
	},
	{
		Name: "cochran_armitage_test", Aliases: []string{"trend_test"}, Family: ordinalFamily,
		Cats: []Category{{"dose", Scored}, {"outcome", Condition}}, Columns: measured("r", Column{"z", Float8}),
		Doc:     "test of a trend of the share of `outcome` over the scores of `dose`; `z` is above 0 if it rises, `r` is the correlation",
		Example: "SELECT cochran_armitage_test(dose, cured) FROM trial",
		sums: scoreSums(func(x *stats.ScoreSums) ([]Value, error) {
			t, err := x.CochranArmitage()
			return measuredRecord(t.Result, FloatValue(t.Z)), err
		}),
	},
	{
		Name: "jonckheere_test", Aliases: []string{"jonckheere_terpstra_test"}, Family: ordinalFamily,
		Cats:    []Category{{"groups", Ordered}, {"response", Ordered}},
		Columns: measured("somers_d"),
		Doc:     "Jonckheere and Terpstra's test that `response` rises, or falls, over ordered groups",
		Example: "SELECT jonckheere_test(dose, relief) FROM trial",
		finish: func(_ *Aggregate, c *Cells) ([]Value, error) {
			t, err := orderedTable(c)
			if err != nil {
				return nil, err
			}
			r, err := stats.JonckheereTerpstra(t)
			return recordOf(r.Result, err)
		},
	},
	{
		Name: "ordinal_association", Family: ordinalFamily,
		Cats: []Category{{"a", Ordered}, {"b", Ordered}},
		Columns: []Column{{"gamma", Float8}, {"gamma_se", Float8}, {"tau_b", Float8}, {"tau_b_se", Float8}, {"tau_c", Float8}, {"tau_c_se", Float8},
			{"somers_d_a_given_b", Float8}, {"somers_d_b_given_a", Float8}, {"spearman_rho", Float8}, {"pearson_r", Float8}, {"n", Int8}},
		Hidden: []Column{{"somers_d_a_given_b_se", Float8}, {"somers_d_b_given_a_se", Float8}, {"spearman_rho_se", Float8}, {"pearson_r_se", Float8}},
		Doc: "measures of association of two ordered categories, −1…1, with asymptotic standard errors: Goodman and Kruskal's γ, Kendall's τ-b, Stuart's τ-c, " +
			"Somers' D, Spearman's ρ on midranks, Pearson's r on places",
		Example: "SELECT ordinal_association(dose, relief) FROM trial",
		finish: func(_ *Aggregate, c *Cells) ([]Value, error) {
			t, err := orderedTable(c)
			if err != nil {
				return nil, err
			}
			o, err := stats.Ordinal(t)
			if err != nil {
				return nil, err
			}
			row := []Value{measureValue(o.Gamma), errorValue(o.Gamma), measureValue(o.TauB), errorValue(o.TauB), measureValue(o.TauC), errorValue(o.TauC)}
			row = append(row, measureValues(o.SomersDRowGivenCol, o.SomersDColGivenRow, o.SpearmanRho, o.PearsonR)...)
			return append(row, sizeValue(t.N()), errorValue(o.SomersDRowGivenCol), errorValue(o.SomersDColGivenRow), errorValue(o.SpearmanRho), errorValue(o.PearsonR)), nil
		},
	},
}

var ordinalScalars = []Scalar{
	{Name: "goodman_kruskal_gamma", Of: "ordinal_association", Column: "gamma", Doc: "γ: share of concordant pairs less that of discordant ones, ties left out"},
	{Name: "kendall_tau_b", Of: "ordinal_association", Column: "tau_b", Doc: "τ-b, which takes ties into account"},
	{Name: "kendall_tau_c", Aliases: []string{"stuart_tau_c"}, Of: "ordinal_association", Column: "tau_c", Doc: "τ-c, for tables that are not square"},
	{Name: "somers_d", Of: "ordinal_association", Column: "somers_d_a_given_b", Doc: "Somers' D of `a` given `b`: pairs tied on `b` are left out"},
	{Name: "spearman_rho", Aliases: []string{"rankcorr"}, Of: "ordinal_association", Column: "spearman_rho", Doc: "Spearman's rank correlation"},
}

// recordOf is the record of a Result with its effect.
func recordOf(r stats.Result, err error) ([]Value, error) { return measuredRecord(r), err }

// scoreSums is a test of the sums of scores of its two categories.
func scoreSums(finish func(*stats.ScoreSums) ([]Value, error)) *sums {
	type scored = summed[stats.ScoreSums, *stats.ScoreSums]
	return &sums{
		begin: func(*Aggregate) Sums {
			return &scored{P: &stats.ScoreSums{}, add: func(x *stats.ScoreSums, c *Cells) error {
				for k, n := range c.Count {
					if err := x.Add(score(c.Values[0][c.At[0][k]]), score(c.Values[1][c.At[1][k]]), n); err != nil {
						return err
					}
				}
				return nil
			}}
		},
		finish: func(_ *Aggregate, first, _ Sums, _ int64) ([]Value, error) {
			return finish(statistics[stats.ScoreSums, *stats.ScoreSums](first))
		},
	}
}

// orderedTable is the table of cells with rows and columns in the order of their values.
func orderedTable(c *Cells) (*stats.Table, error) {
	rows, cols := inOrder(c.Values[0]), inOrder(c.Values[1])
	if len(rows)*len(cols) > strataMax {
		return nil, errcode.New(errcode.TooLarge, "the table has %d x %d cells, more than %d", len(rows), len(cols), strataMax)
	}
	counts := make([]int64, len(rows)*len(cols))
	for k, n := range c.Count {
		counts[rows[c.At[0][k]]*len(cols)+cols[c.At[1][k]]] += n
	}
	return stats.NewTable(len(rows), len(cols), counts)
}
