package query_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/quipudb/quipu/query"
	"github.com/quipudb/quipu/query/plan"
	"github.com/quipudb/quipu/storage/schema"
)

// The acceptance data of query/stats, asked by SQL. TestFixtures walks every expected value of every file; the path of a value, with the
// kind of its file in front and [] for each list, names the question in questions. A path without one must have a reason in notAsked,
// and the test prints those.

// question is how SQL gives a value, and how near it must be.
type question struct {
	near    tolerance
	call    string   // of a test, over the columns of the kind's table; {…} is filled in from the file
	columns []string // of the test, by the last list position
}

// tolerance says how a value is compared; they are those of query/stats.
type tolerance int

const (
	stat   tolerance = iota // relative 1e-12; exactly 0 when the value is 0 in a file tagged exact_zero
	pValue                  // relative 1e-10 above 1e-300, 0 or subnormal below the range of float64
	lnP                     // relative 1e-12, absolute below 1
	uncond                  // absolute 1e-9
	ase                     // relative 1e-9
	same                    // equal as text
	ratio                   // "num/den", compared like stat
)

var questions = map[string]question{}

// results asks for the statistic, df, p and ln p below a path.
func results(path, call string) {
	one := func(leaf string, near tolerance, column string) {
		questions[path+"."+leaf] = question{near, call, []string{column}}
	}
	one("stat", stat, "statistic")
	one("stat_exact", ratio, "statistic")
	one("df", same, "df")
	one("p", pValue, "p_value")
	one("log_p", lnP, "ln_p")
}

// ask asks for columns of one call, given as leaf, column, leaf, column.
func ask(path, call string, near tolerance, pairs ...string) {
	for i := 0; i < len(pairs); i += 2 {
		questions[path+"."+pairs[i]] = question{near, call, strings.Split(pairs[i+1], " ")}
	}
}

var lambdas = map[string]string{"2/3": "0.6666666666666666", "-1/2": "-0.5", "-1": "-1", "-2": "-2"}

var _ = func() bool {
	const of22, pair = "two_way.two_by_two", "a = 0, b = 0"
	results("two_way.pearson", "chi2_test(a, b)")
	results("two_way.g", "g_test(a, b)")
	results("two_way.g_williams", "g_test(a, b, williams => true)")
	results(of22+".yates", "chi2_test(a, b, correction => true)")
	results("one_way.pearson", "gof_test(a, {shares}, ddof => {ddof})")
	results("one_way.g", "gof_test(a, {shares}, ddof => {ddof}, lambda => 0)")
	for name, l := range lambdas {
		results("two_way.power_divergence."+name, "power_divergence_test(a, b, lambda => "+l+")")
		results("one_way.power_divergence."+name, "gof_test(a, {shares}, ddof => {ddof}, lambda => "+l+")")
	}
	ask("two_way", "chi2_test(a, b)", same, "n", "n", "df", "df")
	ask("two_way", "chi2_test(a, b)", stat, "min_expected", "min_expected")
	ask("two_way", "g_test(a, b)", stat, "mutual_info", "mutual_information")
	ask("two_way.association", "pearson_measures(a, b)", stat, "phi", "phi", "cramers_v", "cramers_v", "cramers_v_bias_corrected", "cramers_v_corrected", "tschuprow_t",
		"tschuprow_t", "tschuprow_t_bias_corrected", "tschuprow_t_corrected", "contingency_c", "contingency", "contingency_c_sakoda", "contingency_sakoda")
	ask("two_way.association", "association(a, b)", stat, "entropy_rows", "entropy_a", "entropy_cols", "entropy_b", "entropy_joint", "entropy_joint",
		"theils_u_col_given_row", "theils_u_b_given_a", "theils_u_row_given_col", "theils_u_a_given_b", "theils_u_symmetric", "theils_u_symmetric",
		"lambda_col_given_row", "lambda_b_given_a", "lambda_row_given_col", "lambda_a_given_b", "lambda_symmetric", "lambda_symmetric",
		"gk_tau_col_given_row", "tau_b_given_a", "gk_tau_row_given_col", "tau_a_given_b")
	results("two_way.ordinal.linear_by_linear", "linear_by_linear_test(a, b)")
	ask("two_way.ordinal", "ordinal_association(a, b)", stat, "gamma", "gamma", "kendall_tau_b", "tau_b", "stuart_tau_c", "tau_c",
		"somers_d_col_given_row", "somers_d_b_given_a", "somers_d_row_given_col", "somers_d_a_given_b", "spearman_rho", "spearman_rho",
		"pearson_r_integer_scores", "pearson_r")
	ask("two_way.ase_delta", "ordinal_association(a, b)", ase, "gamma", "gamma_se", "kendall_tau_b", "tau_b_se", "stuart_tau_c", "tau_c_se",
		"somers_d_col_given_row", "somers_d_b_given_a_se", "somers_d_row_given_col", "somers_d_a_given_b_se")
	ask("two_way.cochran_armitage", "cochran_armitage_test({trend})", stat, "z", "z", "chi2", "statistic")
	ask("two_way.cochran_armitage", "cochran_armitage_test({trend})", pValue, "p_two_sided", "p_value")
	ask("two_way.cochran_armitage", "cochran_armitage_test({trend})", lnP, "log_p_two_sided", "ln_p")
	ask("two_way.drift_two_level_factor", "drift({sides})", stat, "psi", "psi", "kl_first_second", "kl", "kl_second_first", "kl_back", "js_divergence_nats", "js",
		"hellinger", "hellinger", "total_variation", "total_variation")

	ask("two_way.fisher_rxc", "fisher_test(a, b)", pValue, "p", "p_value")
	ask("two_way.fisher_rxc", "fisher_test(a, b)", ratio, "p_exact", "p_value")
	ask(of22+".fisher", "fisher_test("+pair+")", pValue, "p_two_sided", "p_value", "p_less", "p_less", "p_greater", "p_greater", "p_central", "p_central",
		"p_observed_table", "p_observed", "mid_p_two_sided", "mid_p", "mid_p_less", "mid_p_less", "mid_p_greater", "mid_p_greater")
	ask(of22+".fisher", "fisher_test("+pair+")", ratio, "p_two_sided_exact", "p_value")
	ask(of22+".fisher", "fisher_test("+pair+")", lnP, "log_p_two_sided", "ln_p")
	ask(of22, "odds_ratio("+pair+")", stat, "odds_ratio", "odds_ratio", "log_odds_ratio", "ln_odds_ratio")
	ask(of22, "odds_ratio("+pair+")", ase, "log_odds_ratio_se", "ln_se", "odds_ratio_ci95_woolf[]", "low high")
	ask(of22, "odds_ratio("+pair+", method => 'haldane')", stat, "odds_ratio_haldane_anscombe", "odds_ratio")
	ask(of22, "odds_ratio("+pair+", method => 'conditional')", pValue, "odds_ratio_conditional_mle", "odds_ratio")
	ask(of22, "odds_ratio("+pair+", method => 'conditional')", ase, "odds_ratio_ci95_exact_conditional[]", "low high")
	ask(of22, "fourfold_measures("+pair+")", stat, "phi_signed", "phi_signed", "yules_q", "yules_q", "yules_y", "yules_y")
	ask(of22, "risk_difference("+pair+")", stat, "risk_difference", "risk_difference", "risk_row1", "risk_first", "risk_row2", "risk_second",
		"number_needed_to_treat", "number_needed_to_treat")
	for name, method := range map[string]string{"newcombe": "newcombe", "agresti_caffo": "agresti_caffo", "wald": "wald"} {
		ask(of22, "risk_difference("+pair+", method => '"+method+"')", ase, "risk_difference_ci95_"+name+"[]", "low high")
	}
	ask(of22, "risk_ratio("+pair+")", stat, "risk_ratio", "risk_ratio")
	ask(of22, "risk_ratio("+pair+")", ase, "risk_ratio_ci95_katz[]", "low high")
	ask(of22+".two_proportion_z_pooled", "proportion_ztest("+pair+")", stat, "z", "z")
	ask(of22+".two_proportion_z_pooled", "proportion_ztest("+pair+")", pValue, "p_two_sided", "p_value")
	ask(of22+".two_proportion_z_pooled", "proportion_ztest("+pair+")", lnP, "log_p_two_sided", "ln_p")
	const samples = "b = 0, a = 0" // the files have the samples in columns
	ask(of22+".unconditional", "barnard_test("+samples+")", uncond, "barnard_pooled_two_sided", "p_value", "barnard_pooled_less", "p_less", "barnard_pooled_greater", "p_greater")
	ask(of22+".unconditional", "boschloo_test("+samples+")", uncond, "boschloo_two_sided", "p_value", "boschloo_less", "p_less", "boschloo_greater", "p_greater")

	results("two_way.paired.mcnemar", "mcnemar_test("+pair+")")
	results("two_way.paired.mcnemar_cc", "mcnemar_test("+pair+", correction => true)")
	results("two_way.paired.bowker", "bowker_test(a, b)")
	results("two_way.paired.stuart_maxwell", "stuart_maxwell_test(a, b)")
	ask("two_way.paired", "mcnemar_exact_test("+pair+")", pValue, "mcnemar_exact_p", "p_value", "mcnemar_mid_p", "mid_p")
	ask("two_way.paired", "mcnemar_test("+pair+")", stat, "odds_ratio_paired", "odds_ratio")
	for name, call := range map[string]string{"unweighted": "kappa(a, b)", "linear": "weighted_kappa(a, b, weights => 'linear')", "quadratic": "weighted_kappa(a, b)"} {
		ask("two_way.paired.kappa_"+name, call, stat, "kappa", "kappa")
		ask("two_way.paired.kappa_"+name, call, ase, "ase", "se")
	}
	results("cochran_q", "cochran_q_test({treatments})")

	ask("one_way", "gof_test(a, {shares}, ddof => {ddof})", same, "n", "n", "df", "df")
	ask("one_way", "diversity(a)", stat, "entropy_nats", "entropy", "entropy_miller_madow_nats", "entropy_miller_madow", "gini_simpson", "gini_simpson")
	ask("one_way", "multinomial_test(a, {shares})", pValue, "exact_multinomial_p", "p_value")
	ask("one_way", "gof_e_test(a, {shares})", stat, "anytime_log_e_dirichlet1", "ln_e")

	const strata, s22 = "stratified.stratified_2x2", "a = 0, b = 0, c"
	results(strata+".cmh", "cmh_test("+s22+")")
	results(strata+".cmh_cc", "cmh_test("+s22+", correction => true)")
	results(strata+".breslow_day", "breslow_day_test("+s22+", tarone => false)")
	results(strata+".breslow_day_tarone", "breslow_day_test("+s22+")")
	results(strata+".woolf_homogeneity", "woolf_test("+s22+")")
	ask(strata, "woolf_test("+s22+")", stat, "woolf_pooled_odds_ratio", "odds_ratio")
	ask(strata, "mantel_haenszel("+s22+")", stat, "mh_odds_ratio", "odds_ratio", "mh_log_or_se_rbg", "ln_se", "mh_odds_ratio_ci95_rbg[]", "low high")
	ask(strata+".exact_conditional", "exact_conditional_test("+s22+")", pValue, "p_two_sided", "p_value", "p_less", "p_less", "p_greater", "p_greater")
	results("stratified.general_cmh.general_association", "general_cmh_test(a, b, c)")
	results("stratified.general_cmh.correlation", "ordinal_cmh_test(a, b, c)")
	results("stratified.general_cmh.row_mean_scores_differ", "ordinal_cmh_test(a, b, c, alternative => 'row_means')")
	results("stratified.general_cmh.col_mean_scores_differ", "ordinal_cmh_test(a, b, c, alternative => 'col_means')")
	for _, m := range []string{"[A][B][C]", "[AB][C]", "[AC][B]", "[BC][A]", "[AB][AC]", "[AB][BC]", "[AC][BC]", "[AB][AC][BC]"} {
		path, call := "stratified.loglinear."+m, "loglinear_test(a, b, c, model => '"+m+"')"
		ask(path, call, stat, "g2.stat", "g2", "x2.stat", "x2")
		ask(path, call, pValue, "g2.p", "p_value", "x2.p", "x2_p_value")
		ask(path, call, lnP, "g2.log_p", "ln_p", "x2.log_p", "x2_ln_p")
		ask(path, call, same, "df", "df")
	}
	for _, method := range []string{"wilson", "wald", "agresti_coull", "clopper_pearson", "jeffreys"} {
		questions["proportion_ci.cases[]."+method+"[]"] = question{ase, "proportion(a = {case}, method => '" + method + "')", []string{"low", "high"}}
	}
	ask("proportion_ci.cases[]", "proportion(a = {case})", stat, "estimate", "proportion")
	return true
}()

// numbers are the questions about functions of numbers: the arguments of each are columns of the row, or keys of the case.
var numbers = map[string]struct {
	near tolerance
	call string // with $0, $1 or $key for arguments
}{
	"chi2_distribution.rows[][]2": {pValue, "chi2_survival($1, $0)"},
	"chi2_distribution.rows[][]3": {lnP, "chi2_ln_survival($1, $0)"},
	"chi2_distribution.rows[][]4": {pValue, "chi2_cdf($1, $0)"},
	"chi2_distribution.rows[][]5": {lnP, "chi2_ln_cdf($1, $0)"},
	"chi2_isf.rows[][]2":          {stat, "chi2_critical($1, $0)"},
	"normal_sf.rows[][]1":         {pValue, "normal_survival($0)"},
	"normal_sf.rows[][]2":         {lnP, "normal_ln_survival($0)"},
	"power_chi2.cases[].power":    {pValue, "chi2_power($w, $n, $df, $alpha)"},
	"power_chi2.cases[].critical": {stat, "chi2_critical($alpha, $df)"},
}

// number asks for a value of a grid of functions; ok is false if there is no question.
func (f *fixture) number(w *world, path string, at []int) (got plan.Value, near tolerance, ok bool, err error) {
	if strings.HasSuffix(path, "[][]") {
		path += strconv.Itoa(at[1])
	}
	q, ok := numbers[path]
	if !ok {
		return got, near, strings.HasSuffix(path, "0") || strings.HasSuffix(path, "1"), nil // an argument
	}
	call := q.call
	if rows, grid := f.doc["rows"].([]any); grid {
		for i, v := range rows[at[0]].([]any) {
			call = strings.ReplaceAll(call, "$"+strconv.Itoa(i), "'"+fmt.Sprint(v)+"'::float8")
		}
	} else {
		for key, v := range f.doc["cases"].([]any)[at[0]].(map[string]any) {
			call = strings.ReplaceAll(call, "$"+key, fmt.Sprint(v))
		}
	}
	a, err := w.run("SELECT " + call)
	if err != nil {
		return got, near, true, fmt.Errorf("%s: %w", call, err)
	}
	return a.rows[0][0], q.near, true, nil
}

// notAsked says why a value has no question. A pattern ending in * stands for all paths that begin so.
var notAsked = map[string]string{
	"two_way.empty.*":                                "without observations every column but n is NULL",
	"two_way.gaps.*":                                 "scores are the values, the file numbers the levels that were observed",
	"two_way.ase_delta.*":                            "measures without an order come from sums, which do not give their standard errors",
	"two_way.ordinal.concordant_pairs":               "steps of γ",
	"two_way.ordinal.discordant_pairs":               "steps of γ",
	"two_way.row_totals[]":                           "plain sums",
	"two_way.col_totals[]":                           "plain sums",
	"two_way.sparse_zero_cells":                      "facts of the file",
	"two_way.effective_shape[]":                      "facts of the file",
	"two_way.zero_rows[]":                            "facts of the file",
	"two_way.zero_cols[]":                            "facts of the file",
	"two_way.totals_truncated":                       "facts of the file",
	"two_way.cells_complete":                         "facts of the file",
	"two_way.cells_header[]":                         "words",
	"two_way.undefined":                              "words",
	"two_way.cochran_armitage.scores":                "words",
	"two_way.cochran_armitage.sign":                  "words",
	"two_way.posthoc.order":                          "words",
	"two_way.two_by_two.unconditional.note":          "words",
	"stratified.stratified_2x2.cmh_cc.note":          "words",
	"two_way.two_by_two.fisher.nearest_tie*":         "facts of the file",
	"two_way.cells_expected_below_5":                 "the warning of a record names the kind, not the number of cells",
	"stratified.loglinear.[AB][AC][BC].ipf_residual": "the reference's own remaining error",
	"one_way.expected[]":                             "no function lists the categories of a goodness of fit",
	"one_way.pearson_residuals[]":                    "no function lists the categories of a goodness of fit",
	"one_way.adjusted_residuals[]":                   "no function lists the categories of a goodness of fit",
	"chi2_distribution.header[]":                     "words",
	"chi2_isf.header[]":                              "words",
	"normal_sf.header[]":                             "words",
	"power_chi2.cases[].alpha":                       "argument",
	"power_chi2.cases[].df":                          "argument",
	"power_chi2.cases[].n":                           "argument",
	"power_chi2.cases[].w":                           "argument",
	"power_chi2.cases[].noncentrality":               "n·w², a step of the power",
	"p_adjust.*":                                     "p_adjust corrects tests of groups, not given numbers; query/stats checks these, TestPAdjust the way there",
	"proportion_ci.cases[].x":                        "argument",
	"proportion_ci.cases[].n":                        "argument",
	"proportion_ci.level":                            "argument",
}

func reasonFor(path string) (string, bool) {
	if why, ok := notAsked[path]; ok {
		return why, true
	}
	for pattern, why := range notAsked {
		if head, ok := strings.CutSuffix(pattern, "*"); ok && strings.HasPrefix(path, head) {
			return why, true
		}
	}
	return "", false
}

// fixture is one file, whose counts are in the table of its kind under its id.
type fixture struct {
	id, kind string
	doc      map[string]any
	fill     map[string]string // for the braces of calls
	empty    bool              // there is no observation
	gaps     bool              // a level without observations stands between others
	records  map[string][]plan.Value
	cells    map[string]map[[2]int64][]plan.Value // by correction
}

// fixtureRow is a row of a table of fixtures: up to three categories and a count.
type fixtureRow struct {
	id    string
	at    [3]int64
	count int64
}

func loadFixtures(t *testing.T) (out []*fixture, rows map[string][]fixtureRow) {
	var index []struct{ ID string }
	b, err := os.ReadFile("stats/testdata/index.json")
	if err == nil {
		err = json.Unmarshal(b, &index)
	}
	if err != nil || len(index) == 0 {
		t.Fatalf("no fixtures: %v", err)
	}
	rows = map[string][]fixtureRow{}
	for _, entry := range index {
		file := filepath.Join("stats/testdata", entry.ID+".json")
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		f := &fixture{fill: map[string]string{}, records: map[string][]plan.Value{}, cells: map[string]map[[2]int64][]plan.Value{}}
		d := json.NewDecoder(bytes.NewReader(b))
		d.UseNumber()
		if err := d.Decode(&f.doc); err != nil {
			t.Fatal(file, err)
		}
		f.id, f.kind = f.doc["id"].(string), f.doc["kind"].(string)
		rows[f.kind] = append(rows[f.kind], f.rows()...)
		out = append(out, f)
	}
	return out, rows
}

func whole(v any) int64 {
	n, err := v.(json.Number).Int64()
	if err != nil {
		panic(err)
	}
	return n
}

// rows are the counts of a file, and what its calls need.
func (f *fixture) rows() []fixtureRow {
	var out []fixtureRow
	put := func(n int64, at ...int64) {
		r := fixtureRow{id: f.id, count: n}
		copy(r.at[:], at)
		if n > 0 {
			out = append(out, r)
		}
	}
	table := func(v any, stratum int64) {
		for i, row := range v.([]any) {
			for j, n := range row.([]any) {
				put(whole(n), int64(i), int64(j), stratum)
			}
		}
	}
	switch f.kind {
	case "two_way":
		if f.doc["table"] != nil {
			table(f.doc["table"], 0)
		} else {
			for _, c := range f.doc["sparse"].([]any) {
				c := c.([]any)
				put(whole(c[2]), whole(c[0]), whole(c[1]))
			}
		}
		f.twoLevels(out)
	case "stratified":
		for s, v := range f.doc["strata"].([]any) {
			table(v, int64(s))
		}
	case "one_way":
		var shares []string
		for i, n := range f.doc["counts"].([]any) {
			put(whole(n), int64(i))
			shares = append(shares, fmt.Sprintf(`"%d": %q`, i, f.doc["probs"].([]any)[i]))
		}
		f.fill["{shares}"], f.fill["{ddof}"] = "shares => '{"+strings.Join(shares, ", ")+"}'", f.doc["ddof"].(json.Number).String()
	case "proportion_ci":
		for k, v := range f.doc["cases"].([]any) {
			c := v.(map[string]any)
			x := whole(c["x"])
			put(x, int64(k), 1)
			put(whole(c["n"])-x, int64(k), 0)
		}
	case "cochran_q":
		for pattern, n := range f.doc["patterns"].(map[string]any) {
			var at []int64
			for _, c := range pattern {
				at = append(at, int64(c-'0'))
			}
			put(whole(n), at...)
		}
		f.fill["{treatments}"] = "a = 1, b = 1, c = 1"
	}
	return out
}

// twoLevels finds the factor of two observed levels for trends and drift: the columns if both have two.
func (f *fixture) twoLevels(rows []fixtureRow) {
	var levels [2][]int64
	for _, r := range rows {
		for d := range levels {
			if !slices.Contains(levels[d], r.at[d]) {
				levels[d] = append(levels[d], r.at[d])
			}
		}
	}
	for _, l := range levels {
		if len(l) == 0 {
			f.empty = true
			return
		}
		f.gaps = f.gaps || int(slices.Max(l)-slices.Min(l)) >= len(l)
	}
	two, other, d := "b", "a", 1
	if len(levels[1]) != 2 {
		two, other, d = "a", "b", 0
	}
	if len(levels[d]) != 2 {
		return
	}
	slices.Sort(levels[d])
	first, second := fmt.Sprintf("%s = %d", two, levels[d][0]), fmt.Sprintf("%s = %d", two, levels[d][1])
	f.fill["{trend}"], f.fill["{sides}"] = other+", "+first, other+", "+first+", "+second
}

// fillFixtures makes one table for each kind; their partition key does not hold id, so that work is divided.
func (w *world) fillFixtures(rows map[string][]fixtureRow) {
	for _, kind := range slices.Sorted(maps.Keys(rows)) {
		w.must("CREATE TABLE " + kind + " (id text, a int8, b int8, c int8) WITH (partition_by = 'a, b')")
		b := &query.Batch{Table: w.Table(schema.Name{Database: "quipu", Schema: "public", Table: kind})}
		for d := range 4 {
			b.Cols = append(b.Cols, query.BatchColumn{Dim: d})
		}
		add := func(d int, v string) {
			c := &b.Cols[d]
			c.Codes, c.Values = append(c.Codes, uint32(len(c.Values))), append(c.Values, schema.V(v))
		}
		for _, r := range rows[kind] {
			add(0, r.id)
			for d, v := range r.at {
				add(1+d, strconv.FormatInt(v, 10))
			}
			b.Counts, b.Events = append(b.Counts, r.count), append(b.Events, 0)
		}
		if _, err := w.Insert(w.tb.Context(), "", b); err != nil {
			w.tb.Fatal(err)
		}
	}
}

// answer asks a question about f.
func (f *fixture) answer(w *world, q question, at []int) (plan.Value, error) {
	call, where := q.call, " WHERE id = '"+f.id+"'"
	for brace, text := range f.fill {
		call = strings.ReplaceAll(call, brace, text)
	}
	if f.kind == "proportion_ci" { // each case is a table of its own
		call = strings.ReplaceAll(call, "a = {case}", "b = 1")
		where += fmt.Sprintf(" AND a = %d", at[0])
	}
	column := q.columns[0]
	if len(q.columns) > 1 {
		column = q.columns[at[len(at)-1]]
	}
	text := "SELECT (" + call + ")." + column + " FROM " + f.kind + where
	if v, ok := f.records[text]; ok {
		return v[0], nil
	}
	a, err := w.run(text)
	if err != nil {
		return plan.Null, fmt.Errorf("%s: %w", text, err)
	}
	f.records[text] = a.rows[0]
	return a.rows[0][0], nil
}

// cell gives column at[1] of the listed cell at[0] from crosstab, or the p-value corrected by the correction named.
func (f *fixture) cell(w *world, at []int, correction string) (plan.Value, tolerance, error) {
	text := fmt.Sprintf("SELECT * FROM crosstab('two_way', 'a', 'b', filter => 'id = ''%s''', correction => '%s')", f.id, correction)
	if _, ok := f.records[text]; !ok {
		a, err := w.run(text)
		if err != nil {
			return plan.Null, stat, err
		}
		f.records[text] = nil
		f.cells[correction] = map[[2]int64][]plan.Value{}
		for _, row := range a.rows {
			f.cells[correction][[2]int64{row[0].Int(), row[1].Int()}] = row
		}
	}
	listed := f.doc["expected"].(map[string]any)["cells"].([]any)[at[0]].([]any)
	row := f.cells[correction][[2]int64{whole(listed[0]), whole(listed[1])}]
	if row == nil {
		return plan.Null, stat, fmt.Errorf("%s has no cell %v", text, listed[:2])
	}
	if len(at) == 1 {
		return row[9], pValue, nil
	}
	// row, col, observed, expected, Pearson, adjusted, deviance, p, ln p
	near := []tolerance{same, same, same, stat, stat, stat, stat, pValue, lnP}[at[1]]
	return row[at[1]], near, nil
}

// leaves calls fn for every value below v.
func leaves(path string, at []int, v any, fn func(path string, at []int, leaf any)) {
	switch v := v.(type) {
	case map[string]any:
		for _, k := range slices.Sorted(maps.Keys(v)) {
			leaves(path+"."+k, at, v[k], fn)
		}
	case []any:
		for i, e := range v {
			leaves(path+"[]", append(slices.Clone(at), i), e, fn)
		}
	default:
		fn(path, at, v)
	}
}

func (f *fixture) expected() any {
	if e, ok := f.doc["expected"]; ok {
		return e
	}
	rest := maps.Clone(f.doc)
	for _, k := range []string{"id", "kind", "schema", "source", "tags", "title", "shape", "crosscheck"} {
		delete(rest, k)
	}
	return rest
}

// TestFixtures compares every answer of SQL with the acceptance data.
func TestFixtures(t *testing.T) {
	fixtures, rows := loadFixtures(t)
	w := newWorld(t, 4)
	w.fillFixtures(rows)
	missing, checked := map[string]int{}, 0
	corrections := map[string]string{"two_way.posthoc.holm[]": "holm", "two_way.posthoc.bh[]": "bh", "two_way.posthoc.bonferroni[]": "bonferroni"}
	for _, f := range fixtures {
		tags, _ := f.doc["tags"].([]any)
		exactZero := slices.Contains(tags, any("exact_zero"))
		t.Run(f.id, func(t *testing.T) {
			leaves(f.kind, nil, f.expected(), func(path string, at []int, leaf any) {
				var got plan.Value
				var err error
				q, ok := questions[path]
				near := q.near
				switch {
				case f.empty:
					missing["two_way.empty."+path]++
					return
				case f.gaps && strings.HasPrefix(path, "two_way.ordinal.linear_by_linear."):
					missing["two_way.gaps."+path]++
					return
				case ok:
					got, err = f.answer(w, q, at)
				case path == "two_way.cells[][]":
					got, near, err = f.cell(w, at, "holm")
				case corrections[path] != "":
					got, near, err = f.cell(w, at, corrections[path])
				default:
					if got, near, ok, err = f.number(w, path, at); !ok {
						missing[path]++
						return
					}
					if got.IsNull() && err == nil { // an argument
						return
					}
				}
				checked++
				if err != nil {
					t.Error(err)
				} else if fault := near.compare(got, leaf, exactZero); fault != "" {
					t.Errorf("%s%v, %s: %s", path, at, q.call, fault)
				}
			})
		})
	}
	t.Logf("%d values checked", checked)
	byReason := map[string][]string{}
	for path, values := range missing {
		why, ok := reasonFor(path)
		if !ok {
			t.Errorf("%s has neither a question nor a reason (%d values)", path, values)
		}
		byReason[why] = append(byReason[why], fmt.Sprintf("%s (%d)", path, values))
	}
	for _, why := range slices.Sorted(maps.Keys(byReason)) {
		slices.Sort(byReason[why])
		t.Logf("not asked, %s: %s", why, strings.Join(byReason[why], ", "))
	}
}

// compare says what is wrong, or nothing.
func (near tolerance) compare(got plan.Value, leaf any, exactZero bool) string {
	if leaf == nil || got.IsNull() {
		if leaf != nil || !got.IsNull() {
			return fmt.Sprintf("got %q, want %v", got, leaf)
		}
		return ""
	}
	want, text := toFloat(leaf), fmt.Sprint(leaf)
	if near == same {
		if got.String() != text {
			return fmt.Sprintf("got %s, want %s", got, text)
		}
		return ""
	}
	x := got.Float()
	err := math.Abs(x - want)
	ok := x == want
	switch near {
	case stat, ratio:
		ok = ok || want == 0 && !exactZero && err <= 1e-15 || want != 0 && err <= 1e-12*math.Abs(want)
	case pValue:
		ok = ok || want < 1e-300 && x >= 0 && x <= 1e-299 || want >= 1e-300 && err <= 1e-10*want
	case lnP:
		ok = ok || err <= 1e-12*math.Max(1, math.Abs(want))
	case uncond:
		ok = ok || err <= 1e-9
	case ase:
		ok = ok || err <= math.Max(1e-9*math.Abs(want), 1e-15)
	}
	if !ok {
		return fmt.Sprintf("got %.17g, want %s (relative error %.2g)", x, text, math.Abs(x/want-1))
	}
	return ""
}

// toFloat reads a value of the acceptance data.
func toFloat(v any) float64 {
	s := fmt.Sprint(v)
	if strings.Contains(s, "/") {
		if r, ok := new(big.Rat).SetString(s); ok {
			x, _ := r.Float64()
			return x
		}
	}
	x, err := strconv.ParseFloat(s, 64) // 0 below the range of float64
	if err != nil && x != 0 {
		return math.NaN()
	}
	return x
}
