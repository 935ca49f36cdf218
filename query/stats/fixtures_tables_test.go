package stats

import "strings"

// resultChecks registers stat, df, p and log_p below a path.
func resultChecks(path string, result func(f *fixture) (Result, error)) map[string]leafCheck {
	get := func(f *fixture) (Result, error) {
		type outcome struct {
			r   Result
			err error
		}
		o := memo(f, path, func() outcome { r, err := result(f); return outcome{r, err} })
		return o.r, o.err
	}
	field := func(tol tolerance, pick func(Result) any) leafCheck {
		return leafCheck{tol, func(f *fixture, _ []int) any {
			r, err := get(f)
			if err != nil {
				return err
			}
			return pick(r)
		}}
	}
	return map[string]leafCheck{
		path + ".stat":       field(stat, func(r Result) any { return r.Statistic }),
		path + ".stat_exact": field(ratio, func(r Result) any { return r.Statistic }),
		path + ".df":         field(same, func(r Result) any { return r.DF }),
		path + ".p":          field(pValue, func(r Result) any { return r.P }),
		path + ".log_p":      field(lnP, func(r Result) any { return r.LnP }),
	}
}

func registerResult(path string, result func(f *fixture) (Result, error)) bool {
	return register(resultChecks(path, result))
}

// onTable adapts a test of a table.
func onTable(test func(*Table) (Result, error)) func(f *fixture) (Result, error) {
	return func(f *fixture) (Result, error) { return test(f.t) }
}

func divergenceOf(lambda float64) func(*fixture) (Result, error) {
	return func(f *fixture) (Result, error) {
		if f.kind == "one_way" {
			return GoodnessOfFitDivergence(f.counts, f.shares, f.ddof, lambda)
		}
		return PowerDivergence(f.t, lambda)
	}
}

var lambdas = map[string]float64{"2/3": 2. / 3, "-1/2": -0.5, "-1": -1, "-2": -2}

var _ = func() bool {
	registerResult("two_way.pearson", onTable(ChiSquare))
	registerResult("two_way.g", onTable(GTest))
	registerResult("two_way.g_williams", onTable(GWilliams))
	registerResult("two_way.two_by_two.yates", onTable(Yates))
	for name, lambda := range lambdas {
		registerResult("two_way.power_divergence."+name, divergenceOf(lambda))
		registerResult("one_way.power_divergence."+name, divergenceOf(lambda))
	}
	registerResult("two_way.ordinal.linear_by_linear", func(f *fixture) (Result, error) { return LinearByLinear(f.t, nil, nil) })
	pairs := func(test func(Pairs) (Result, error)) func(f *fixture) (Result, error) {
		return func(f *fixture) (Result, error) { return test(Pairs{f.t}) }
	}
	registerResult("two_way.paired.mcnemar", pairs(McNemar))
	registerResult("two_way.paired.mcnemar_cc", pairs(McNemarCorrected))
	registerResult("two_way.paired.bowker", pairs(Bowker))
	registerResult("two_way.paired.stuart_maxwell", pairs(StuartMaxwell))
	registerResult("one_way.pearson", func(f *fixture) (Result, error) { return GoodnessOfFit(f.counts, f.shares, f.ddof) })
	registerResult("one_way.g", func(f *fixture) (Result, error) { return GoodnessOfFitG(f.counts, f.shares, f.ddof) })
	registerResult("cochran_q", func(f *fixture) (Result, error) { return cochranOf(f) })
	return true
}()

// cochranOf reads the patterns of a cochran_q file, such as "110": 16.
func cochranOf(f *fixture) (Result, error) {
	var patterns [][]bool
	var counts []int64
	for text, n := range f.doc["patterns"].(map[string]any) {
		p := make([]bool, len(text))
		for i := range p {
			p[i] = text[i] == '1'
		}
		patterns, counts = append(patterns, p), append(counts, integer(n))
	}
	return CochranQ(patterns, counts)
}

// Shapes, totals and facts of the margins.
var _ = register(map[string]leafCheck{
	"two_way.n":                         {same, func(f *fixture, _ []int) any { return f.t.N() }},
	"two_way.df":                        {same, func(f *fixture, _ []int) any { return f.t.Frame().DF() }},
	"two_way.row_totals[]":              {same, func(f *fixture, at []int) any { return f.t.Margins().Rows[at[0]] }},
	"two_way.col_totals[]":              {same, func(f *fixture, at []int) any { return f.t.Margins().Cols[at[0]] }},
	"two_way.min_expected":              {stat, func(f *fixture, _ []int) any { return f.t.Frame().MinExpected() }},
	"two_way.cells_expected_below_5":    {same, func(f *fixture, _ []int) any { return f.t.ExpectedBelow(5) }},
	"two_way.effective_shape[]":         {same, func(f *fixture, at []int) any { d := f.t.reduced(); return []int{d.r, d.c}[at[0]] }},
	"two_way.zero_rows[]":               {same, func(f *fixture, at []int) any { return emptyLevels(f.t.Margins().Rows)[at[0]] }},
	"two_way.zero_cols[]":               {same, func(f *fixture, at []int) any { return emptyLevels(f.t.Margins().Cols)[at[0]] }},
	"two_way.sparse_zero_cells":         {same, func(f *fixture, _ []int) any { return zeroCells(f.t) }},
	"two_way.undefined":                 {same, func(f *fixture, _ []int) any { return undefinedNote(f.t) }},
	"one_way.n":                         {same, func(f *fixture, _ []int) any { return f.counts.N() }},
	"one_way.df":                        {same, func(f *fixture, _ []int) any { r, _ := GoodnessOfFit(f.counts, f.shares, f.ddof); return r.DF }},
	"one_way.entropy_nats":              {stat, func(f *fixture, _ []int) any { return one(Entropy(f.counts)) }},
	"one_way.entropy_miller_madow_nats": {stat, func(f *fixture, _ []int) any { return one(EntropyMillerMadow(f.counts)) }},
	"one_way.gini_simpson":              {stat, func(f *fixture, _ []int) any { return one(GiniSimpson(f.counts)) }},
	"one_way.exact_multinomial_p":       {exactP, func(f *fixture, _ []int) any { r, _ := MultinomialTest(f.counts, f.shares); return r.P }},
	"one_way.expected[]":                {stat, func(f *fixture, at []int) any { return fitAt(f, at).Expected }},
	"one_way.pearson_residuals[]":       {stat, func(f *fixture, at []int) any { return fitAt(f, at).Pearson }},
	"one_way.adjusted_residuals[]":      {stat, func(f *fixture, at []int) any { return fitAt(f, at).Adjusted }},
	"two_way.mutual_info":               {stat, func(f *fixture, _ []int) any { return one(MutualInformation(f.t)) }},
})

func one(m Measure, err error) any {
	if err != nil {
		return err
	}
	return m
}

func fitAt(f *fixture, at []int) Fit {
	return memo(f, "fits", func() []Fit { fits, _ := Fits(f.counts, f.shares); return fits })[at[0]]
}

func emptyLevels(totals []uint64) (at []int) {
	for i, v := range totals {
		if v == 0 {
			at = append(at, i)
		}
	}
	return at
}

func zeroCells(t *Table) int {
	d := t.reduced()
	zeros := 0
	for _, o := range d.cells {
		if o == 0 {
			zeros++
		}
	}
	return zeros
}

// undefinedNote is the fixtures' words for ErrEmpty.
func undefinedNote(t *Table) any {
	if _, err := ChiSquare(t); err == ErrEmpty {
		return "n=0: no test is defined"
	}
	return "defined"
}

// Measures of association, and their standard errors under the same names.
var _ = func() bool {
	nominal := map[string]func(Association) Measure{
		"phi": func(a Association) Measure { return a.Phi }, "cramers_v": func(a Association) Measure { return a.CramersV },
		"tschuprow_t":                func(a Association) Measure { return a.TschuprowT },
		"contingency_c":              func(a Association) Measure { return a.ContingencyC },
		"contingency_c_sakoda":       func(a Association) Measure { return a.ContingencySakoda },
		"cramers_v_bias_corrected":   func(a Association) Measure { return a.CramersVCorrected },
		"tschuprow_t_bias_corrected": func(a Association) Measure { return a.TschuprowTCorrected },
		"entropy_rows":               func(a Association) Measure { return a.EntropyRows },
		"entropy_cols":               func(a Association) Measure { return a.EntropyCols },
		"entropy_joint":              func(a Association) Measure { return a.EntropyJoint },
		"mutual_info":                func(a Association) Measure { return a.MutualInfo },
		"theils_u_col_given_row":     func(a Association) Measure { return a.TheilsUColGivenRow },
		"theils_u_row_given_col":     func(a Association) Measure { return a.TheilsURowGivenCol },
		"theils_u_symmetric":         func(a Association) Measure { return a.TheilsUSymmetric },
		"lambda_col_given_row":       func(a Association) Measure { return a.LambdaColGivenRow },
		"lambda_row_given_col":       func(a Association) Measure { return a.LambdaRowGivenCol },
		"lambda_symmetric":           func(a Association) Measure { return a.LambdaSymmetric },
		"gk_tau_col_given_row":       func(a Association) Measure { return a.TauColGivenRow },
		"gk_tau_row_given_col":       func(a Association) Measure { return a.TauRowGivenCol },
	}
	for name, pick := range nominal {
		value := func(f *fixture, _ []int) any {
			return pick(memo(f, "associations", func() Association { a, _ := Associations(f.t); return a }))
		}
		register(map[string]leafCheck{
			"two_way.association." + name: {stat, value}, "two_way.ase_delta." + name: {ase, value},
		})
	}
	ordinal := map[string]func(OrdinalAssociation) any{
		"gamma": func(a OrdinalAssociation) any { return a.Gamma }, "kendall_tau_b": func(a OrdinalAssociation) any { return a.TauB },
		"stuart_tau_c":             func(a OrdinalAssociation) any { return a.TauC },
		"somers_d_col_given_row":   func(a OrdinalAssociation) any { return a.SomersDColGivenRow },
		"somers_d_row_given_col":   func(a OrdinalAssociation) any { return a.SomersDRowGivenCol },
		"spearman_rho":             func(a OrdinalAssociation) any { return a.SpearmanRho },
		"pearson_r_integer_scores": func(a OrdinalAssociation) any { return a.PearsonR },
		"concordant_pairs":         func(a OrdinalAssociation) any { return a.Concordant },
		"discordant_pairs":         func(a OrdinalAssociation) any { return a.Discordant },
	}
	for name, pick := range ordinal {
		value := func(f *fixture, _ []int) any {
			return pick(memo(f, "ordinal", func() OrdinalAssociation { a, _ := Ordinal(f.t); return a }))
		}
		tol := stat
		if strings.HasSuffix(name, "pairs") {
			tol = same
		}
		register(map[string]leafCheck{
			"two_way.ordinal." + name: {tol, value}, "two_way.ase_delta." + name: {ase, value},
		})
	}
	return true
}()

// Cells: row, col, observed, expected, pearson_residual, adjusted_residual, deviance_residual, adj_p_two_sided, adj_log_p.
var _ = func() bool {
	register(map[string]leafCheck{"two_way.cells[][]": {stat, func(f *fixture, at []int) any { return checkedCell{f, at} }}})
	for name, a := range map[string]Adjustment{"bonferroni": Bonferroni, "holm": Holm, "bh": BenjaminiHochberg} {
		register(map[string]leafCheck{"two_way.posthoc." + name + "[]": {pValue, func(f *fixture, at []int) any {
			return memo(f, "posthoc "+name, func() map[[2]int]float64 {
				p, _ := PostHocCells(f.t, a)
				byCell := map[[2]int]float64{}
				for _, c := range p {
					byCell[[2]int{c.Row, c.Col}] = c.AdjustedP
				}
				return byCell
			})[cellAt(f, at[0])]
		}}})
	}
	return true
}()

// cellAt is the place of the k-th listed cell.
func cellAt(f *fixture, k int) [2]int {
	return [2]int{int(integer(f.at("expected", "cells", k, 0))), int(integer(f.at("expected", "cells", k, 1)))}
}

// checkedCell is compared column by column, each with its own tolerance.
type checkedCell struct {
	f  *fixture
	at []int
}

func (c checkedCell) value() (any, tolerance) {
	k := cellAt(c.f, c.at[0])
	cell := memo(c.f, "cells", func() map[[2]int]Cell {
		all, _ := Residuals(c.f.t)
		m := map[[2]int]Cell{}
		for _, x := range all {
			m[[2]int{x.Row, x.Col}] = x
		}
		return m
	})[k]
	switch c.at[1] {
	case 0:
		return cell.Row, same
	case 1:
		return cell.Col, same
	case 2:
		return cell.Observed, same
	case 3:
		return cell.Expected, stat
	case 4:
		return cell.Pearson, stat
	case 5:
		return cell.Adjusted, stat
	case 6:
		return cell.Deviance, stat
	case 7:
		return cell.P, pValue
	}
	return cell.LnP, lnP
}

// Trends and drift.
var _ = func() bool {
	trend := func(f *fixture) Trend {
		return memo(f, "trend", func() Trend { tr, _ := CochranArmitage(f.t, nil); return tr })
	}
	register(map[string]leafCheck{
		"two_way.cochran_armitage.z":               {stat, func(f *fixture, _ []int) any { return trend(f).Z }},
		"two_way.cochran_armitage.chi2":            {stat, func(f *fixture, _ []int) any { return trend(f).Statistic }},
		"two_way.cochran_armitage.p_two_sided":     {pValue, func(f *fixture, _ []int) any { return trend(f).P }},
		"two_way.cochran_armitage.log_p_two_sided": {lnP, func(f *fixture, _ []int) any { return trend(f).LnP }},
	})
	for name, pick := range map[string]func(Drift) float64{
		"psi": func(d Drift) float64 { return d.PSI }, "kl_first_second": func(d Drift) float64 { return d.KL },
		"kl_second_first": func(d Drift) float64 { return d.KLBack }, "js_divergence_nats": func(d Drift) float64 { return d.JS },
		"hellinger": func(d Drift) float64 { return d.Hellinger }, "total_variation": func(d Drift) float64 { return d.TotalVariation },
	} {
		register(map[string]leafCheck{"two_way.drift_two_level_factor." + name: {stat, func(f *fixture, _ []int) any {
			return pick(memo(f, "drift", func() Drift { d, _ := DriftOf(twoLevels(f.t)); return d }))
		}}})
	}
	for name, w := range map[string]KappaWeights{"unweighted": Unweighted, "linear": LinearWeights, "quadratic": QuadraticWeights} {
		value := func(f *fixture, _ []int) any { return one(Kappa(Pairs{f.t}, w)) }
		register(map[string]leafCheck{
			"two_way.paired.kappa_" + name + ".kappa": {stat, value}, "two_way.paired.kappa_" + name + ".ase": {ase, value},
		})
	}
	return true
}()

var _ = register(map[string]leafCheck{
	"two_way.paired.mcnemar_exact_p":   {exactP, func(f *fixture, _ []int) any { e, _ := McNemarExact(Pairs{f.t}); return e.P }},
	"two_way.paired.mcnemar_mid_p":     {exactP, func(f *fixture, _ []int) any { e, _ := McNemarExact(Pairs{f.t}); return e.MidP }},
	"two_way.paired.odds_ratio_paired": {stat, func(f *fixture, _ []int) any { r, _ := McNemar(Pairs{f.t}); return r.Effect }},
})

// twoLevels is the reduced table with the two-level factor in rows: columns when both have two levels.
func twoLevels(t *Table) *Table {
	d := t.reduced()
	cells := make([]int64, len(d.cells))
	for k, o := range d.cells {
		cells[k] = int64(o)
	}
	u, _ := NewTable(d.r, d.c, cells)
	if d.c == 2 {
		return u.Transpose()
	}
	return u
}

// Strata.
var _ = func() bool {
	general := func(pick func(GeneralCMH) Result) func(f *fixture) (Result, error) {
		return func(f *fixture) (Result, error) {
			g, err := GeneralizedCMH(f.strata, nil, nil)
			return pick(g), err
		}
	}
	registerResult("stratified.general_cmh.general_association", general(func(g GeneralCMH) Result { return g.General }))
	registerResult("stratified.general_cmh.row_mean_scores_differ", general(func(g GeneralCMH) Result { return g.RowMeans }))
	registerResult("stratified.general_cmh.col_mean_scores_differ", general(func(g GeneralCMH) Result { return g.ColMeans }))
	registerResult("stratified.general_cmh.correlation", general(func(g GeneralCMH) Result { return g.Linear }))
	on := func(test func(*Strata) (Result, error)) func(f *fixture) (Result, error) {
		return func(f *fixture) (Result, error) { return test(f.strata) }
	}
	const path = "stratified.stratified_2x2."
	registerResult(path+"cmh", on(CMH))
	registerResult(path+"cmh_cc", on(CMHCorrected))
	registerResult(path+"breslow_day", on(BreslowDay))
	registerResult(path+"breslow_day_tarone", on(BreslowDayTarone))
	registerResult(path+"woolf_homogeneity", on(Woolf))
	mh := func(f *fixture) Measure { m, _ := MantelHaenszel(f.strata, 0.95); return m }
	register(map[string]leafCheck{
		path + "woolf_pooled_odds_ratio": {stat, func(f *fixture, _ []int) any { r, _ := Woolf(f.strata); return r.Effect }},
		path + "mh_odds_ratio":           {stat, func(f *fixture, _ []int) any { return mh(f) }},
		path + "mh_log_or_se_rbg":        {stat, func(f *fixture, _ []int) any { return mh(f).SE }},
		path + "mh_odds_ratio_ci95_rbg[]": {stat, func(f *fixture, at []int) any {
			m := mh(f)
			return []float64{m.Low, m.High}[at[0]]
		}},
	})
	for _, model := range []string{"[A][B][C]", "[AB][C]", "[AC][B]", "[BC][A]", "[AB][AC]", "[AB][BC]", "[AC][BC]", "[AB][AC][BC]"} {
		fit := func(f *fixture) *LogLinearFit {
			return memo(f, model, func() *LogLinearFit {
				m, err := ParseModel(model)
				if err != nil {
					panic(err)
				}
				fit, err := LogLinear(f.strata, m)
				if err != nil {
					panic(err)
				}
				return fit
			})
		}
		base := "stratified.loglinear." + model
		registerResult(base+".g2", func(f *fixture) (Result, error) { return fit(f).G2, nil })
		registerResult(base+".x2", func(f *fixture) (Result, error) { return fit(f).X2, nil })
		register(map[string]leafCheck{base + ".df": {same, func(f *fixture, _ []int) any { return fit(f).G2.DF }}})
	}
	return true
}()

var _ = justify(map[string]string{
	"two_way.cells_complete":                         "says whether the file lists every cell",
	"two_way.cells_header[]":                         "names of columns",
	"two_way.cochran_armitage.scores":                "words",
	"two_way.cochran_armitage.sign":                  "words",
	"two_way.posthoc.order":                          "words",
	"two_way.totals_truncated":                       "says that the file lists only the first totals",
	"stratified.stratified_2x2.cmh_cc.note":          "words",
	"stratified.loglinear.[AB][AC][BC].ipf_residual": "the reference's own remaining error",
})
