package stats

import (
	"encoding/json"
	"math"
	"os"
	"testing"
)

func TestOddsFixtures(t *testing.T) {
	eachFourfold(t, func(t *testing.T, f Fourfold, want map[string]any) {
		z, err := TwoProportionZ(f)
		if err != nil {
			t.Fatal(err)
		}
		if zw, ok := want["two_proportion_z_pooled"].(map[string]any); ok {
			wantAt(t, zw, "z", z.Statistic, 1e-12)
			wantAt(t, zw, "p_two_sided", z.P, 1e-10)
			wantAt(t, zw, "log_p_two_sided", z.LnP, 1e-12)
		}
		first, second := f.Risks()
		for key, m := range map[string]Measure{
			"odds_ratio": f.OddsRatio(0.95), "odds_ratio_haldane_anscombe": f.HaldaneAnscombe(), "risk_row1": first, "risk_row2": second,
			"risk_difference": f.RiskDifference(0.95, Wald), "risk_ratio": f.RiskRatio(0.95), "phi_signed": f.Phi(),
			"number_needed_to_treat": f.NumberNeededToTreat(), "log_odds_ratio": f.LnOddsRatio(), "yules_q": f.YulesQ(), "yules_y": f.YulesY(),
			"odds_ratio_conditional_mle": f.ConditionalOddsRatio(0.95),
		} {
			if leaf, ok := want[key]; ok && (leaf != nil) != m.Defined {
				t.Errorf("%s defined: %v, want %v", key, m.Defined, leaf)
			}
			wantAt(t, want, key, m.Value, 1e-12)
		}
		wantAt(t, want, "log_odds_ratio_se", f.LnOddsRatio().SE, 1e-12)
		for key, m := range map[string]Measure{
			"odds_ratio_ci95_woolf": f.OddsRatio(0.95), "risk_ratio_ci95_katz": f.RiskRatio(0.95),
			"risk_difference_ci95_wald": f.RiskDifference(0.95, Wald), "risk_difference_ci95_newcombe": f.RiskDifference(0.95, Newcombe),
			"risk_difference_ci95_agresti_caffo": f.RiskDifference(0.95, AgrestiCaffo),
			"odds_ratio_ci95_exact_conditional":  f.ConditionalOddsRatio(0.95),
		} {
			wantInterval(t, want, key, m)
		}
	})
}

// wantInterval compares the two ends of an interval with a fixture's.
func wantInterval(t *testing.T, want map[string]any, key string, m Measure) {
	t.Helper()
	ends, ok := want[key].([]any)
	if !ok {
		return
	}
	for i, got := range [2]float64{m.Low, m.High} {
		x := gridNumber(t, ends[i])
		if relErr(got, x) > 1e-10 && math.Abs(got-x) > 1e-16 {
			t.Errorf("%s[%d] = %.17g, want %.17g (relative error %.2g)", key, i, got, x, relErr(got, x))
		}
	}
}

func TestProportionFixtures(t *testing.T) {
	raw, err := os.ReadFile("testdata/proportion_ci.json")
	if err != nil {
		t.Fatal(err)
	}
	var doc struct{ Cases []map[string]any }
	if err := json.Unmarshal(raw, &doc); err != nil {
		t.Fatal(err)
	}
	for _, c := range doc.Cases {
		x, n := uint64(c["x"].(float64)), uint64(c["n"].(float64))
		for key, method := range map[string]ProportionMethod{"wilson": Wilson, "wald": WaldProportion, "agresti_coull": AgrestiCoull,
			"clopper_pearson": ClopperPearson, "jeffreys": Jeffreys} {
			m, err := Proportion(x, n, 0.95, method)
			if err != nil {
				t.Fatal(err)
			}
			wantInterval(t, c, key, m)
			wantAt(t, c, "estimate", m.Value, 1e-15)
		}
	}
}
