package stats

import "math"

// fourfoldOf is the table of a 2×2 fixture.
func fourfoldOf(f *fixture) Fourfold {
	table, err := f.t.Fourfold()
	if err != nil {
		panic(err)
	}
	return table
}

// onFourfold checks one number of a 2×2 table.
func onFourfold(tol tolerance, value func(Fourfold) any) leafCheck {
	return leafCheck{tol, func(f *fixture, _ []int) any { return value(fourfoldOf(f)) }}
}

// onInterval checks the two ends of an interval of a 2×2 table.
func onInterval(value func(Fourfold) Measure) leafCheck {
	return leafCheck{exactEnds, func(f *fixture, at []int) any {
		m := value(fourfoldOf(f))
		return [2]float64{m.Low, m.High}[at[len(at)-1]]
	}}
}

// exactEnds is the tolerance of limits: they may be negative, and 0 up to rounding.
const exactEnds = ase

func onFisher(tol tolerance, pick func(ExactP) float64) leafCheck {
	return onFourfold(tol, func(f Fourfold) any {
		e, err := Fisher(f)
		if err != nil {
			return err
		}
		return pick(e)
	})
}

func onUnconditional(test func(Fourfold) (UnconditionalP, error), pick func(UnconditionalP) float64) leafCheck {
	return leafCheck{uncond, func(f *fixture, _ []int) any {
		p, err := test(fourfoldOf(f))
		if err != nil {
			return err
		}
		return pick(p)
	}}
}

func onZ(tol tolerance, pick func(Result) float64) leafCheck {
	return onFourfold(tol, func(f Fourfold) any {
		r, err := TwoProportionZ(f)
		if err != nil {
			return err
		}
		return pick(r)
	})
}

func onConditionalStrata(pick func(ExactP) float64) leafCheck {
	return leafCheck{exactP, func(f *fixture, _ []int) any {
		var strata []Fourfold
		for k := range f.strata.Len() {
			table, err := f.strata.Table(k).Fourfold()
			if err != nil {
				return err
			}
			strata = append(strata, table)
		}
		e, err := ExactConditional(strata)
		if err != nil {
			return err
		}
		return pick(e)
	}}
}

const ofFourfold, ofFisher = "two_way.two_by_two.", "two_way.two_by_two.fisher."

var _ = register(map[string]leafCheck{
	ofFisher + "p_two_sided":       onFisher(exactP, func(e ExactP) float64 { return e.P }),
	ofFisher + "p_two_sided_exact": onFisher(ratio, func(e ExactP) float64 { return e.P }),
	ofFisher + "log_p_two_sided":   onFisher(lnP, func(e ExactP) float64 { return e.LnP }),
	ofFisher + "p_less":            onFisher(exactP, func(e ExactP) float64 { return e.Less }),
	ofFisher + "p_greater":         onFisher(exactP, func(e ExactP) float64 { return e.Greater }),
	ofFisher + "p_central":         onFisher(exactP, func(e ExactP) float64 { return e.Central }),
	ofFisher + "p_observed_table":  onFisher(exactP, func(e ExactP) float64 { return e.Observed }),
	ofFisher + "mid_p_two_sided":   onFisher(exactP, func(e ExactP) float64 { return e.MidP }),
	ofFisher + "mid_p_less":        onFisher(exactP, func(e ExactP) float64 { return e.MidLess }),
	ofFisher + "mid_p_greater":     onFisher(exactP, func(e ExactP) float64 { return e.MidGreater }),

	ofFourfold + "odds_ratio":                     onFourfold(stat, func(f Fourfold) any { return f.OddsRatio(0.95) }),
	ofFourfold + "log_odds_ratio":                 onFourfold(stat, func(f Fourfold) any { return f.LnOddsRatio() }),
	ofFourfold + "log_odds_ratio_se":              onFourfold(ase, func(f Fourfold) any { return f.LnOddsRatio() }),
	ofFourfold + "odds_ratio_haldane_anscombe":    onFourfold(stat, func(f Fourfold) any { return f.HaldaneAnscombe() }),
	ofFourfold + "odds_ratio_conditional_mle":     onFourfold(exactP, func(f Fourfold) any { return f.ConditionalOddsRatio(0.95) }),
	ofFourfold + "phi_signed":                     onFourfold(stat, func(f Fourfold) any { return f.PhiSigned() }),
	ofFourfold + "yules_q":                        onFourfold(stat, func(f Fourfold) any { return f.YulesQ() }),
	ofFourfold + "yules_y":                        onFourfold(stat, func(f Fourfold) any { return f.YulesY() }),
	ofFourfold + "risk_row1":                      onFourfold(stat, func(f Fourfold) any { m, _ := f.Risks(); return m }),
	ofFourfold + "risk_row2":                      onFourfold(stat, func(f Fourfold) any { _, m := f.Risks(); return m }),
	ofFourfold + "risk_difference":                onFourfold(stat, func(f Fourfold) any { return f.RiskDifference(0.95, Wald) }),
	ofFourfold + "risk_ratio":                     onFourfold(stat, func(f Fourfold) any { return f.RiskRatio(0.95) }),
	ofFourfold + "number_needed_to_treat":         onFourfold(stat, func(f Fourfold) any { return f.NumberNeededToTreat() }),
	ofFourfold + "odds_ratio_ci95_woolf[]":        onInterval(func(f Fourfold) Measure { return f.OddsRatio(0.95) }),
	ofFourfold + "risk_ratio_ci95_katz[]":         onInterval(func(f Fourfold) Measure { return f.RiskRatio(0.95) }),
	ofFourfold + "risk_difference_ci95_wald[]":    onInterval(func(f Fourfold) Measure { return f.RiskDifference(0.95, Wald) }),
	ofFourfold + "two_proportion_z_pooled.z":      onZ(stat, func(r Result) float64 { return r.Statistic }),
	ofFourfold + "unconditional.boschloo_less":    onUnconditional(Boschloo, func(p UnconditionalP) float64 { return p.Less }),
	ofFourfold + "unconditional.boschloo_greater": onUnconditional(Boschloo, func(p UnconditionalP) float64 { return p.Greater }),

	ofFourfold + "odds_ratio_ci95_exact_conditional[]":  onInterval(func(f Fourfold) Measure { return f.ConditionalOddsRatio(0.95) }),
	ofFourfold + "risk_difference_ci95_newcombe[]":      onInterval(func(f Fourfold) Measure { return f.RiskDifference(0.95, Newcombe) }),
	ofFourfold + "risk_difference_ci95_agresti_caffo[]": onInterval(func(f Fourfold) Measure { return f.RiskDifference(0.95, AgrestiCaffo) }),

	ofFourfold + "two_proportion_z_pooled.p_two_sided":     onZ(pValue, func(r Result) float64 { return r.P }),
	ofFourfold + "two_proportion_z_pooled.log_p_two_sided": onZ(lnP, func(r Result) float64 { return r.LnP }),

	ofFourfold + "unconditional.boschloo_two_sided":       onUnconditional(Boschloo, func(p UnconditionalP) float64 { return p.P }),
	ofFourfold + "unconditional.barnard_pooled_less":      onUnconditional(Barnard, func(p UnconditionalP) float64 { return p.Less }),
	ofFourfold + "unconditional.barnard_pooled_greater":   onUnconditional(Barnard, func(p UnconditionalP) float64 { return p.Greater }),
	ofFourfold + "unconditional.barnard_pooled_two_sided": onUnconditional(Barnard, func(p UnconditionalP) float64 { return p.P }),

	"stratified.stratified_2x2.exact_conditional.p_less":      onConditionalStrata(func(e ExactP) float64 { return e.Less }),
	"stratified.stratified_2x2.exact_conditional.p_greater":   onConditionalStrata(func(e ExactP) float64 { return e.Greater }),
	"stratified.stratified_2x2.exact_conditional.p_two_sided": onConditionalStrata(func(e ExactP) float64 { return e.P }),

	"two_way.fisher_rxc.p":       {exactP, fisherOf},
	"two_way.fisher_rxc.p_exact": {ratio, fisherOf},

	"one_way.anytime_log_e_dirichlet1": {stat, func(f *fixture, _ []int) any {
		e, err := MultinomialE(f.counts, f.shares)
		if err != nil {
			return err
		}
		return e.LnE()
	}},
})

func fisherOf(f *fixture, _ []int) any {
	r, err := FisherRxC(f.t)
	if err != nil {
		return err
	}
	return r.P
}

// gridCell compares a cell of a grid by the tolerance of its column: the expected value stands for one that is near it.
func gridCell(f *fixture, at []int, got float64, tol tolerance) any {
	want := f.at("rows", at[0], at[1])
	if tol.near(got, toFloat(want), false) {
		return want
	}
	return got
}

// The grids of functions: a row holds the arguments, which are given back, and the values.
var _ = register(map[string]leafCheck{
	"chi2_distribution.rows[][]": {exactEnds, func(f *fixture, at []int) any {
		df, x := toFloat(f.at("rows", at[0], 0)), toFloat(f.at("rows", at[0], 1))
		switch at[1] {
		case 2:
			return gridCell(f, at, ChiSquareSurvival(x, df), pValue)
		case 3:
			return gridCell(f, at, LnChiSquareSurvival(x, df), lnP)
		case 4:
			return gridCell(f, at, ChiSquareCDF(x, df), pValue)
		case 5:
			return gridCell(f, at, LnChiSquareCDF(x, df), lnP)
		}
		return f.at("rows", at[0], at[1])
	}},
	"chi2_isf.rows[][]": {stat, func(f *fixture, at []int) any {
		if at[1] < 2 {
			return f.at("rows", at[0], at[1])
		}
		return ChiSquareCritical(toFloat(f.at("rows", at[0], 1)), toFloat(f.at("rows", at[0], 0)))
	}},
	"normal_sf.rows[][]": {stat, func(f *fixture, at []int) any {
		z := toFloat(f.at("rows", at[0], 0))
		switch at[1] {
		case 1:
			return gridCell(f, at, NormalSurvival(z), pValue)
		case 2:
			return gridCell(f, at, LnNormalSurvival(z), lnP)
		}
		return f.at("rows", at[0], at[1])
	}},
	"power_chi2.cases[].power": {pValue, func(f *fixture, at []int) any {
		c := func(key string) float64 { return toFloat(f.at("cases", at[0], key)) }
		p, err := Power(c("w"), uint64(c("n")), int64(c("df")), c("alpha"))
		if err != nil {
			return err
		}
		return p
	}},
	"power_chi2.cases[].critical": {stat, func(f *fixture, at []int) any {
		return ChiSquareCritical(toFloat(f.at("cases", at[0], "alpha")), toFloat(f.at("cases", at[0], "df")))
	}},
	"proportion_ci.cases[].estimate": {stat, func(f *fixture, at []int) any { return proportionOf(f, at, Wilson).Value }},
})

func proportionOf(f *fixture, at []int, method ProportionMethod) Measure {
	x, n := integer(f.at("cases", at[0], "x")), integer(f.at("cases", at[0], "n"))
	m, err := Proportion(uint64(x), uint64(n), 0.95, method)
	if err != nil {
		panic(err)
	}
	return m
}

var _ = func() bool {
	for name, method := range map[string]ProportionMethod{"wilson": Wilson, "wald": WaldProportion, "agresti_coull": AgrestiCoull,
		"clopper_pearson": ClopperPearson, "jeffreys": Jeffreys} {
		register(map[string]leafCheck{"proportion_ci.cases[]." + name + "[]": {exactEnds, func(f *fixture, at []int) any {
			m := proportionOf(f, at, method)
			return [2]float64{m.Low, m.High}[at[1]]
		}}})
	}
	for a := Bonferroni; a <= BenjaminiYekutieli; a++ {
		register(map[string]leafCheck{"p_adjust.cases[]." + a.String() + "[]": {pValue, func(f *fixture, at []int) any {
			var ln []float64
			for _, p := range f.at("cases", at[0], "p").([]any) {
				ln = append(ln, math.Log(toFloat(p)))
			}
			return exp(AdjustLn(ln, a)[at[1]])
		}}})
	}
	return true
}()

var _ = justify(map[string]string{
	"chi2_distribution.header[]":          "names of columns",
	"chi2_isf.header[]":                   "names of columns",
	"normal_sf.header[]":                  "names of columns",
	"p_adjust.cases[].p[]":                "argument",
	"power_chi2.cases[].alpha":            "argument",
	"power_chi2.cases[].df":               "argument",
	"power_chi2.cases[].n":                "argument",
	"power_chi2.cases[].w":                "argument",
	"power_chi2.cases[].noncentrality":    "n·w², a step of the power",
	"proportion_ci.cases[].x":             "argument",
	"proportion_ci.cases[].n":             "argument",
	"proportion_ci.level":                 "argument",
	ofFourfold + "unconditional.note":     "words",
	ofFisher + "nearest_tie_relative_gap": "says how hard the table is, not a result",
})
