package stats_test

import (
	"fmt"

	"github.com/quipudb/quipu/query/stats"
)

// Party identification by gender, General Social Survey 1991 (Agresti, table 3.2 of the 2nd edition).
func Example() {
	t, err := stats.NewTable(2, 3, []int64{
		279, 73, 225, // women: Democrat, Independent, Republican
		165, 47, 191, // men
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	r, err := stats.ChiSquare(t)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("X² = %.2f, df = %d, p = %.4f, n = %d\n", r.Statistic, r.DF, r.P, r.N)
	fmt.Printf("smallest expected count %.1f, %s %.3f\n", r.MinExpected, r.Effect.Name, r.Effect.Value)
	// Output:
	// X² = 7.01, df = 2, p = 0.0301, n = 980
	// smallest expected count 49.3, cramers_v_bias_corrected 0.072
}

// Hair and eye colour of 592 students (Snee 1974), with an interval for the size of the effect.
func ExampleGTest() {
	t, _ := stats.NewTable(4, 4, []int64{
		68, 20, 15, 5, // black hair: brown, blue, hazel, green eyes
		119, 84, 54, 29, // brown
		26, 17, 14, 14, // red
		7, 94, 10, 16, // blond
	})
	g, _ := stats.GTest(t)
	fmt.Printf("G = %.2f, df = %d, ln p = %.2f\n", g.Statistic, g.DF, g.LnP)
	v, _ := stats.ChiSquare(t)
	ci, _ := v.CramersVInterval(0.95)
	fmt.Printf("V = %.3f, corrected %.3f, 95 %% interval %.3f to %.3f\n", v.CramersV().Value, ci.Value, ci.Low, ci.High)
	// Output:
	// G = 146.44, df = 9, ln p = -60.60
	// V = 0.279, corrected 0.270, 95 % interval 0.224 to 0.318
}

// A lady says whether milk or tea was poured first (Fisher 1935): with an expected count of 2 the warning is due, and the
// exact test the one to use.
func ExampleYates() {
	t, _ := stats.NewTable(2, 2, []int64{3, 1, 1, 3})
	r, _ := stats.Yates(t)
	fmt.Printf("X² = %.1f, p = %.3f, %v\n", r.Statistic, r.P, r.Warnings)
	// Output:
	// X² = 0.5, p = 0.480, min_expected<5
}

// Mendel's peas, 9:3:3:1.
func ExampleGoodnessOfFit() {
	peas, _ := stats.NewCounts([]int64{315, 108, 101, 32})
	ratio, _ := stats.WholeShares(9, 3, 3, 1)
	r, _ := stats.GoodnessOfFit(peas, ratio, 0)
	fmt.Printf("X² = %.4f, df = %d, p = %.4f\n", r.Statistic, r.DF, r.P)
	// Output:
	// X² = 0.4700, df = 3, p = 0.9254
}

// An experiment that should split its users evenly did not.
func ExampleSRM() {
	arms, _ := stats.NewCounts([]int64{821588, 815482})
	r, _ := stats.SRM(arms, stats.EqualShares(2))
	fmt.Printf("p = %.2g\n", r.P)
	// Output:
	// p = 1.8e-06
}

// Two holders each have some cells of a table. They exchange margins, then partials, and neither sees the other's cells.
func ExamplePartial() {
	first := stats.Triples{Row: []uint32{0, 1}, Col: []uint32{0, 1}, Count: []int64{28, 22}}
	second := stats.Triples{Row: []uint32{0, 1}, Col: []uint32{1, 0}, Count: []int64{18, 12}}

	global := stats.NewMargins(2, 2)
	for _, cells := range []stats.Triples{first, second} {
		m := stats.NewMargins(2, 2)
		if err := m.AddCells(cells); err != nil {
			fmt.Println(err)
			return
		}
		if err := global.Merge(m); err != nil {
			fmt.Println(err)
			return
		}
	}
	frame := global.Frame()
	merged := stats.NewPartial(frame, stats.KindPearson)
	for _, cells := range []stats.Triples{first, second} {
		p := stats.NewPartial(frame, stats.KindPearson)
		p.AddCells(frame, cells)
		if err := merged.Merge(p); err != nil {
			fmt.Println(err)
			return
		}
	}
	parts, _ := frame.ChiSquare(merged)

	t, _ := stats.NewTable(2, 2, []int64{28, 18, 12, 22})
	whole, _ := stats.ChiSquare(t)
	fmt.Printf("X² = %.4f, the same bits: %v\n", parts.Statistic, parts.Statistic == whole.Statistic)
	// Output:
	// X² = 5.1151, the same bits: true
}

// Job satisfaction by income (Agresti 2002, table 2.8): ordered levels.
func ExampleOrdinal() {
	t, _ := stats.NewTable(4, 4, []int64{
		1, 3, 10, 6, // income below 15,000: very dissatisfied … very satisfied
		2, 3, 10, 7,
		1, 6, 14, 12,
		0, 1, 9, 11,
	})
	o, _ := stats.Ordinal(t)
	fmt.Printf("γ = %.3f, standard error %.3f\n", o.Gamma.Value, o.Gamma.SE)
	l, _ := stats.LinearByLinear(t, nil, nil)
	fmt.Printf("linear-by-linear p = %.4f, ", l.P)
	x, _ := stats.ChiSquare(t)
	fmt.Printf("Pearson p = %.4f\n", x.P)
	// Output:
	// γ = 0.221, standard error 0.117
	// linear-by-linear p = 0.0841, Pearson p = 0.7434
}

// Which cells carry the association of hair and eye colour.
func ExamplePostHocCells() {
	t, _ := stats.NewTable(4, 4, []int64{68, 20, 15, 5, 119, 84, 54, 29, 26, 17, 14, 14, 7, 94, 10, 16})
	t, _ = t.WithLabels([]string{"black", "brown", "red", "blond"}, []string{"brown", "blue", "hazel", "green"})
	cells, _ := stats.PostHocCells(t, stats.Holm)
	for _, c := range cells[:2] {
		fmt.Printf("%s hair, %s eyes: %d, expected %.1f, z = %.1f, ln p adjusted = %.1f\n",
			t.RowLabel(c.Row), t.ColLabel(c.Col), c.Observed, c.Expected, c.Adjusted.Value, c.AdjustedLnP)
	}
	// Output:
	// blond hair, blue eyes: 94, expected 46.1, z = 10.0, ln p adjusted = -49.4
	// blond hair, brown eyes: 7, expected 47.2, z = -8.3, ln p adjusted = -34.3
}

// How well does one variable predict the other?
func ExampleAssociations() {
	t, _ := stats.NewTable(4, 4, []int64{68, 20, 15, 5, 119, 84, 54, 29, 26, 17, 14, 14, 7, 94, 10, 16})
	a, _ := stats.Associations(t)
	for _, m := range []stats.Measure{a.TheilsUColGivenRow, a.LambdaColGivenRow, a.TauColGivenRow} {
		fmt.Printf("%s %.4f\n", m.Name, m.Value)
	}
	fmt.Printf("%s %.4f nats, standard error %.4f\n", a.MutualInfo.Name, a.MutualInfo.Value, a.MutualInfo.SE)
	// Output:
	// theils_u_col_given_row 0.0976
	// lambda_col_given_row 0.2339
	// gk_tau_col_given_row 0.1136
	// mutual_info 0.1237 nats, standard error 0.0183
}

// Approval of the prime minister, asked twice (Agresti 2002, table 10.1).
func ExampleMcNemar() {
	t, _ := stats.NewTable(2, 2, []int64{794, 150, 86, 570})
	p, _ := stats.NewPairs(t)
	r, _ := stats.McNemar(p)
	e, _ := stats.McNemarExact(p)
	k, _ := stats.Kappa(p, stats.Unweighted)
	fmt.Printf("X² = %.2f, ln p = %.2f, exact ln p = %.2f\n", r.Statistic, r.LnP, e.LnP)
	fmt.Printf("odds ratio of the pairs %.2f, κ = %.3f\n", r.Effect.Value, k.Value)
	// Output:
	// X² = 17.36, ln p = -10.38, exact ln p = -10.20
	// odds ratio of the pairs 1.74, κ = 0.700
}

// Unaided vision of 7,477 women, right eye by left eye (Stuart 1953).
func ExampleStuartMaxwell() {
	t, _ := stats.NewTable(4, 4, []int64{1520, 266, 124, 66, 234, 1512, 432, 78, 117, 362, 1772, 205, 36, 82, 179, 492})
	p, _ := stats.NewPairs(t)
	margins, _ := stats.StuartMaxwell(p)
	symmetry, _ := stats.Bowker(p)
	fmt.Printf("margins: X² = %.2f, df = %d, p = %.4f\n", margins.Statistic, margins.DF, margins.P)
	fmt.Printf("symmetry: X² = %.2f, df = %d, p = %.4f\n", symmetry.Statistic, symmetry.DF, symmetry.P)
	// Output:
	// margins: X² = 11.96, df = 3, p = 0.0075
	// symmetry: X² = 19.11, df = 6, p = 0.0040
}

// Three drugs, each tried by the same 46 patients (Grizzle, Starmer and Koch 1969).
func ExampleCochranQ() {
	yes, no := true, false
	r, _ := stats.CochranQ(
		[][]bool{{yes, yes, yes}, {yes, yes, no}, {yes, no, yes}, {yes, no, no}, {no, yes, yes}, {no, yes, no}, {no, no, yes}, {no, no, no}},
		[]int64{6, 16, 2, 4, 2, 4, 6, 6})
	fmt.Printf("Q = %.2f, df = %d, p = %.4f\n", r.Statistic, r.DF, r.P)
	// Output:
	// Q = 8.47, df = 2, p = 0.0145
}

// Admission to Berkeley in 1973 by sex: strongly associated over all departments, not within them.
func ExampleCMH() {
	departments := [][]int64{{512, 313, 89, 19}, {353, 207, 17, 8}, {120, 205, 202, 391}, {138, 279, 131, 244}, {53, 138, 94, 299}, {22, 351, 24, 317}}
	var tables []*stats.Table
	pooled := make([]int64, 4)
	for _, d := range departments {
		t, _ := stats.NewTable(2, 2, d) // men and women by admitted and rejected
		tables = append(tables, t)
		for k := range pooled {
			pooled[k] += d[k]
		}
	}
	t, _ := stats.NewTable(2, 2, pooled)
	all, _ := stats.ChiSquare(t)
	s, _ := stats.NewStrata(tables...)
	within, _ := stats.CMH(s)
	same, _ := stats.BreslowDay(s)
	fmt.Printf("pooled: X² = %.1f, p = %.1g\n", all.Statistic, all.P)
	fmt.Printf("within departments: X² = %.2f, p = %.2f, odds ratio %.3f (%.3f to %.3f)\n",
		within.Statistic, within.P, within.Effect.Value, within.Effect.Low, within.Effect.High)
	fmt.Printf("one odds ratio for all departments: p = %.4f\n", same.P)
	// Output:
	// pooled: X² = 92.2, p = 8e-22
	// within departments: X² = 1.52, p = 0.22, odds ratio 0.905 (0.772 to 1.060)
	// one odds ratio for all departments: p = 0.0021
}

// The same table as a log-linear model: sex and admission independent given the department?
func ExampleLogLinear() {
	var tables []*stats.Table
	for _, d := range [][]int64{{512, 313, 89, 19}, {353, 207, 17, 8}, {120, 205, 202, 391}, {138, 279, 131, 244}, {53, 138, 94, 299}, {22, 351, 24, 317}} {
		t, _ := stats.NewTable(2, 2, d)
		tables = append(tables, t)
	}
	s, _ := stats.NewStrata(tables...)
	given, _ := stats.ParseModel("[AC][BC]")
	pairs, _ := stats.ParseModel("[AB][AC][BC]")
	a, _ := stats.LogLinear(s, given)
	b, _ := stats.LogLinear(s, pairs)
	fmt.Printf("%v: G² = %.2f, df = %d\n", a.Model, a.G2.Statistic, a.G2.DF)
	fmt.Printf("%v: G² = %.2f, df = %d\n", b.Model, b.G2.Statistic, b.G2.DF)
	d, _ := stats.CompareLogLinear(a, b)
	fmt.Printf("difference: G² = %.2f, df = %d, p = %.2f\n", d.Statistic, d.DF, d.P)
	// Output:
	// [AC][BC]: G² = 21.74, df = 6
	// [AB][AC][BC]: G² = 20.20, df = 5
	// difference: G² = 1.53, df = 1, p = 0.22
}

// Malformations by the mother's alcohol consumption (Graubard and Korn 1987): scores decide. By drinks a day there is a trend;
// by ranks, which hardly tell the few heavy drinkers apart, there is none. A negative z of the ranks means that the first
// column, malformed, comes with the higher rows.
func ExampleCochranArmitage() {
	t, _ := stats.NewTable(5, 2, []int64{48, 17066, 38, 14464, 5, 788, 1, 126, 1, 37})
	scores := []int64{0, 1, 3, 8, 14} // half drinks a day: 0, ½, 1½, 4, 7
	trend, _ := stats.CochranArmitage(t, scores)
	chi, _ := stats.ChiSquare(t)
	fmt.Printf("trend: z = %.2f, p = %.3f; Pearson p = %.3f\n", trend.Z, trend.P, chi.P)
	j, _ := stats.JonckheereTerpstra(t)
	fmt.Printf("ranks only: z = %.2f, p = %.2f\n", j.Z, j.P)
	// Output:
	// trend: z = 2.56, p = 0.010; Pearson p = 0.017
	// ranks only: z = -0.59, p = 0.55
}

// Has the mix of categories moved since last month?
func ExampleDriftBetween() {
	before, _ := stats.NewCounts([]int64{500, 300, 200})
	now, _ := stats.NewCounts([]int64{450, 300, 250})
	d, _ := stats.DriftBetween(before, now)
	fmt.Printf("PSI %.4f, JS %.5f nats, total variation %.3f\n", d.PSI, d.JS, d.TotalVariation)
	// Output:
	// PSI 0.0164, JS 0.00205 nats, total variation 0.050
}

// Small samples: every outcome is listed.
func ExampleMultinomialTest() {
	c, _ := stats.NewCounts([]int64{1, 2, 9})
	r, _ := stats.MultinomialTest(c, stats.EqualShares(3))
	fmt.Printf("p = %.5f\n", r.P)
	// Output:
	// p = 0.01716
}
