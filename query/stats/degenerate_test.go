package stats

import (
	"errors"
	"math"
	"math/big"
	"strings"
	"testing"
)

func tableOf(t *testing.T, rows, cols int, cells ...int64) *Table {
	t.Helper()
	u, err := NewTable(rows, cols, cells)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func countsOf(t *testing.T, counts ...int64) *Counts {
	t.Helper()
	c, err := NewCounts(counts)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// twoWayTests are the tests that any table has.
var twoWayTests = map[string]func(*Table) (Result, error){
	"pearson": ChiSquare, "g": GTest, "williams": GWilliams,
	"cressie-read": func(t *Table) (Result, error) { return PowerDivergence(t, 2./3) },
	"neyman":       func(t *Table) (Result, error) { return PowerDivergence(t, -2) },
	"linear":       func(t *Table) (Result, error) { return LinearByLinear(t, nil, nil) },
	"jonckheere":   func(t *Table) (Result, error) { r, err := JonckheereTerpstra(t); return r.Result, err },
}

func TestEmptyTableIsAnError(t *testing.T) {
	for _, u := range []*Table{tableOf(t, 2, 2, 0, 0, 0, 0), tableOf(t, 0, 0), tableOf(t, 3, 0)} {
		for name, test := range twoWayTests {
			if _, err := test(u); !errors.Is(err, ErrEmpty) {
				t.Errorf("%s: %v", name, err)
			}
		}
		for name, call := range map[string]func() error{
			"associations": func() error { _, err := Associations(u); return err },
			"ordinal":      func() error { _, err := Ordinal(u); return err },
			"residuals":    func() error { _, err := Residuals(u); return err },
			"post-hoc":     func() error { _, err := PostHocCells(u, Holm); return err },
			"trend":        func() error { _, err := CochranArmitage(u, nil); return err },
			"lambda":       func() error { _, _, _, err := Lambda(u.Margins(), NewMaxima(u.Shape())); return err },
			"kappa":        func() error { _, err := Kappa(Pairs{u}, Unweighted); return err },
			"bowker":       func() error { _, err := Bowker(Pairs{u}); return err },
			"maxwell":      func() error { _, err := StuartMaxwell(Pairs{u}); return err },
			"williams":     func() error { _, err := GWilliams(u); return err },
		} {
			if err := call(); !errors.Is(err, ErrEmpty) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if u.Frame().MinExpected() != 0 || u.Frame().DF() != 0 {
			t.Error("an empty table expects something")
		}
	}
	empty := tableOf(t, 2, 2, 0, 0, 0, 0)
	for name, test := range map[string]func(Pairs) error{
		"mcnemar": func(p Pairs) error { _, err := McNemar(p); return err },
		"exact":   func(p Pairs) error { _, err := McNemarExact(p); return err },
	} {
		if err := test(Pairs{empty}); !errors.Is(err, ErrEmpty) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Yates(empty); !errors.Is(err, ErrEmpty) {
		t.Error(err)
	}
	none := countsOf(t, 0, 0)
	for name, call := range map[string]func() error{
		"fit":         func() error { _, err := GoodnessOfFit(none, EqualShares(2), 0); return err },
		"fits":        func() error { _, err := Fits(none, EqualShares(2)); return err },
		"multinomial": func() error { _, err := MultinomialTest(none, EqualShares(2)); return err },
		"entropy":     func() error { _, err := Entropy(none); return err },
		"corrected":   func() error { _, err := EntropyMillerMadow(none); return err },
		"gini":        func() error { _, err := GiniSimpson(none); return err },
		"drift":       func() error { _, err := DriftBetween(none, countsOf(t, 1, 2)); return err },
		"score sums":  func() error { _, err := (&ScoreSums{}).LinearByLinear(); return err },
		"cochran":     func() error { _, err := CochranQ([][]bool{{true, false}}, []int64{0}); return err },
	} {
		if err := call(); !errors.Is(err, ErrEmpty) {
			t.Errorf("%s: %v", name, err)
		}
	}
	s, _ := NewStrata(empty, empty)
	for name, call := range map[string]func() error{
		"cmh":       func() error { _, err := CMH(s); return err },
		"odds":      func() error { _, err := MantelHaenszel(s, 0.95); return err },
		"breslow":   func() error { _, err := BreslowDay(s); return err },
		"woolf":     func() error { _, err := Woolf(s); return err },
		"general":   func() error { _, err := GeneralizedCMH(s, nil, nil); return err },
		"loglinear": func() error { _, err := LogLinear(s, Model{FactorRow}); return err },
	} {
		if err := call(); !errors.Is(err, ErrEmpty) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestOneLevelHasStatistic0(t *testing.T) {
	for name, u := range map[string]*Table{
		"one row": tableOf(t, 1, 3, 5, 6, 7), "one column": tableOf(t, 3, 1, 5, 6, 7), "one cell": tableOf(t, 1, 1, 9),
		"one row left": tableOf(t, 3, 2, 0, 0, 4, 5, 0, 0), "one observation": tableOf(t, 2, 2, 0, 1, 0, 0),
	} {
		for test, run := range twoWayTests {
			r, err := run(u)
			if err != nil || r.Statistic != 0 || r.P != 1 || r.LnP != 0 || r.DF > 0 || !r.Warnings.Has(OneLevel) && test != "williams" {
				t.Errorf("%s, %s: %+v, %v", name, test, r, err)
			}
		}
		a, err := Associations(u)
		if err != nil || a.CramersV.Defined || a.CramersVCorrected.Defined || a.Phi.Defined || a.ContingencyC.Defined || a.ContingencySakoda.Defined ||
			a.TauColGivenRow.Defined || a.LambdaSymmetric.Defined || a.TheilsUSymmetric.Defined || !a.EntropyRows.Defined {
			t.Errorf("%s: %+v, %v", name, a, err)
		}
		o, err := Ordinal(u)
		if err != nil || o.Gamma.Defined || o.TauB.Defined || o.TauC.Defined || o.SpearmanRho.Defined || o.PearsonR.Defined {
			t.Errorf("%s: %+v, %v", name, o, err)
		}
		cells, err := Residuals(u)
		if err != nil || cells[0].Adjusted.Defined || cells[0].P != 1 {
			t.Errorf("%s: %+v, %v", name, cells, err)
		}
		if v, err := (Result{}).CramersVInterval(0.95); v.Defined || err != nil {
			t.Error(v, err)
		}
	}
	if r, err := GoodnessOfFit(countsOf(t, 7), EqualShares(1), 0); err != nil || r.P != 1 || !r.Warnings.Has(OneLevel) {
		t.Errorf("%+v %v", r, err)
	}
	if r, err := MultinomialTest(countsOf(t, 7, 0), mustShares(t, 1, 0)); err != nil || r.P != 1 || !r.Warnings.Has(OneLevel) {
		t.Errorf("%+v %v", r, err)
	}
	if r, err := Yates(tableOf(t, 2, 2, 5, 0, 9, 0)); err != nil || r.Statistic != 0 || r.DF != 0 || r.Effect.Defined {
		t.Errorf("%+v %v", r, err)
	}
}

func mustShares(t *testing.T, weights ...float64) Shares {
	t.Helper()
	s, err := NewShares(weights...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestZeroCellMakesSomeDivergencesInfinite(t *testing.T) {
	u := tableOf(t, 2, 2, 5, 0, 3, 4)
	for _, lambda := range []float64{-1, -2, -5} {
		r, err := PowerDivergence(u, lambda)
		if err != nil || !math.IsInf(r.Statistic, 1) || r.P != 0 || !math.IsInf(r.LnP, -1) || !r.Warnings.Has(ZeroCell) {
			t.Errorf("λ=%v: %+v %v", lambda, r, err)
		}
		r, err = GoodnessOfFitDivergence(countsOf(t, 5, 0), EqualShares(2), 0, lambda)
		if err != nil || !math.IsInf(r.Statistic, 1) || !r.Warnings.Has(ZeroCell) {
			t.Errorf("λ=%v: %+v %v", lambda, r, err)
		}
	}
	if r, err := PowerDivergence(u, -0.99); err != nil || math.IsInf(r.Statistic, 1) {
		t.Errorf("%+v %v", r, err)
	}
}

func TestImpossibleCategory(t *testing.T) {
	c := countsOf(t, 5, 3, 1)
	r, err := GoodnessOfFit(c, mustShares(t, 1, 1, 0), 0)
	if err != nil || !math.IsInf(r.Statistic, 1) || r.P != 0 || r.DF != 2 || !r.Warnings.Has(ImpossibleCategory) {
		t.Errorf("%+v %v", r, err)
	}
	if r, err := MultinomialTest(c, mustShares(t, 1, 1, 0)); err != nil || r.P != 0 || !math.IsInf(r.LnP, -1) || !r.Warnings.Has(ImpossibleCategory) {
		t.Errorf("%+v %v", r, err)
	}
	// Nothing observed there: the category does not count.
	if r, err := GoodnessOfFit(countsOf(t, 5, 3, 0), mustShares(t, 1, 1, 0), 0); err != nil || r.DF != 1 || r.Cols != 2 {
		t.Errorf("%+v %v", r, err)
	}
	// Every observation is impossible.
	if r, err := GoodnessOfFit(countsOf(t, 0, 3), mustShares(t, 1, 0), 0); err != nil || !math.IsInf(r.Statistic, 1) || r.MinExpected < 0 {
		t.Errorf("%+v %v", r, err)
	}
	fits, err := Fits(c, mustShares(t, 1, 1, 0))
	if err != nil || fits[2].Pearson.Defined || fits[2].Expected != 0 {
		t.Errorf("%+v %v", fits, err)
	}
}

func TestNoDegreesOfFreedomLeft(t *testing.T) {
	r, err := GoodnessOfFit(countsOf(t, 50, 30), EqualShares(2), 1)
	if err != nil || r.P != 1 || r.DF != 0 || !r.Warnings.Has(NoDegreesOfFreedom) || r.Effect.Defined {
		t.Errorf("%+v %v", r, err)
	}
}

func TestExpectedBelow5(t *testing.T) {
	r, _ := ChiSquare(tableOf(t, 2, 2, 1, 4, 5, 90))
	if !r.Warnings.Has(ExpectedBelow5) || r.Warnings.String() != "min_expected<5" || r.Warnings[0].String() != "min_expected<5 (2 of 4)" {
		t.Errorf("%+v", r)
	}
	r, _ = GoodnessOfFit(countsOf(t, 3, 4), EqualShares(2), 0)
	if r.Warnings.String() != "min_expected<5" || r.MinExpected != 3.5 {
		t.Errorf("%+v", r)
	}
	// The count for many cells goes by sorted margins; it agrees with the plain loop.
	cells := make([]int64, 20*15)
	for k := range cells {
		cells[k] = int64(k * k % 37 / (1 + k%7))
	}
	u := tableOf(t, 20, 15, cells...)
	want := uint64(0)
	residuals, _ := Residuals(u)
	for _, c := range residuals {
		if c.Expected < 5 {
			want++
		}
	}
	if got := u.ExpectedBelow(5); got != want || want == 0 {
		t.Errorf("%d cells, want %d", got, want)
	}
}

func TestHugeCounts(t *testing.T) {
	u := tableOf(t, 2, 2, math.MaxInt64, math.MaxInt64/2, math.MaxInt64/4, 5)
	for name, test := range twoWayTests {
		if r, err := test(u); err != nil || !r.Warnings.Has(HugeCounts) {
			t.Errorf("%s: %+v %v", name, r, err)
		}
	}
}

func TestPairsThatDoNotDiffer(t *testing.T) {
	p := Pairs{tableOf(t, 2, 2, 5, 0, 0, 7)}
	for name, test := range map[string]func(Pairs) (Result, error){"mcnemar": McNemar, "corrected": McNemarCorrected, "bowker": Bowker, "maxwell": StuartMaxwell} {
		if r, err := test(p); err != nil || r.P != 1 || r.Statistic != 0 || !r.Warnings.Has(NoDiscordantPairs) {
			t.Errorf("%s: %+v %v", name, r, err)
		}
	}
	if e, err := McNemarExact(p); err != nil || e.P != 1 {
		t.Errorf("%+v %v", e, err)
	}
	if r, _ := McNemar(p); r.Effect.Defined {
		t.Errorf("%+v", r)
	}
	if r, _ := McNemar(Pairs{tableOf(t, 2, 2, 5, 3, 0, 7)}); !math.IsInf(r.Effect.Value, 1) || !r.Warnings.Has(SmallSample) {
		t.Errorf("%+v", r)
	}
	if m, err := Kappa(Pairs{tableOf(t, 2, 2, 9, 0, 0, 0)}, LinearWeights); err != nil || m.Defined {
		t.Errorf("%+v %v", m, err)
	}
	if r, err := CochranQ([][]bool{{true, true}, {false, false}}, []int64{4, 5}); err != nil || r.P != 1 || !r.Warnings.Has(ZeroVariance) {
		t.Errorf("%+v %v", r, err)
	}
	if r, err := CochranQ([][]bool{{true, false}, {false, true}}, []int64{4, 4}); err != nil || r.Statistic != 0 || r.DF != 1 {
		t.Errorf("%+v %v", r, err)
	}
}

func TestStrataThatSayNothing(t *testing.T) {
	one, margin, full := tableOf(t, 2, 2, 1, 0, 0, 0), tableOf(t, 2, 2, 5, 6, 0, 0), tableOf(t, 2, 2, 5, 6, 7, 3)
	none, _ := NewStrata(one, margin)
	for name, test := range map[string]func(*Strata) (Result, error){"cmh": CMH, "corrected": CMHCorrected, "breslow": BreslowDay, "tarone": BreslowDayTarone, "woolf": Woolf} {
		r, err := test(none)
		if err != nil || r.P != 1 || r.DF != 0 || !r.Warnings.Has(ZeroVariance) || !r.Warnings.Has(StrataSkipped) {
			t.Errorf("%s: %+v %v", name, r, err)
		}
	}
	some, _ := NewStrata(one, full, full)
	if r, err := CMH(some); err != nil || r.DF != 1 || r.Warnings.String() != "strata_skipped" || r.Warnings[0].String() != "strata_skipped (1 of 3)" {
		t.Errorf("%+v %v", r, err)
	}
	if m, err := MantelHaenszel(none, 0.95); err != nil || m.Defined {
		t.Errorf("%+v %v", m, err)
	}
	infinite, _ := NewStrata(tableOf(t, 2, 2, 5, 0, 3, 4), tableOf(t, 2, 2, 2, 0, 1, 1))
	if m, err := MantelHaenszel(infinite, 0.95); err != nil || !math.IsInf(m.Value, 1) || m.HasSE {
		t.Errorf("%+v %v", m, err)
	}
	if r, err := BreslowDay(infinite); err != nil || r.P != 1 || !r.Warnings.Has(ZeroVariance) {
		t.Errorf("%+v %v", r, err)
	}
	zero, _ := NewStrata(tableOf(t, 2, 2, 0, 5, 3, 4))
	if m, err := MantelHaenszel(zero, 0.95); err != nil || !m.Defined || m.Value != 0 || m.HasSE {
		t.Errorf("%+v %v", m, err)
	}
	if g, err := GeneralizedCMH(none, nil, nil); err != nil || g.General.P != 1 || g.Linear.DF != 0 || !g.RowMeans.Warnings.Has(ZeroVariance) {
		t.Errorf("%+v %v", g, err)
	}
	single, _ := NewStrata(tableOf(t, 1, 3, 1, 2, 3))
	if g, err := GeneralizedCMH(single, nil, nil); err != nil || g.General.P != 1 {
		t.Errorf("%+v %v", g, err)
	}
}

func TestSaturatedAndEmptyModels(t *testing.T) {
	s, _ := NewStrata(tableOf(t, 2, 2, 5, 6, 7, 3), tableOf(t, 2, 2, 4, 0, 7, 1))
	full, err := LogLinear(s, Model{FactorRow | FactorCol | FactorStratum})
	if err != nil || full.G2.Statistic != 0 || full.G2.DF != 0 || !full.G2.Warnings.Has(NoDegreesOfFreedom) || !full.Converged {
		t.Errorf("%+v %v", full, err)
	}
	equal, err := LogLinear(s, nil)
	if err != nil || equal.G2.DF != 7 || !equal.Converged || equal.Expected[0][0][0] != 33./8 {
		t.Errorf("%+v %v", equal, err)
	}
	r, err := CompareLogLinear(equal, full)
	if err != nil || r.DF != 7 || r.Statistic != equal.G2.Statistic {
		t.Errorf("%+v %v", r, err)
	}
	if _, err := CompareLogLinear(full, equal); !errors.Is(err, ErrArgument) {
		t.Error(err)
	}
	other, _ := NewStrata(tableOf(t, 2, 2, 5, 6, 7, 3))
	small, _ := LogLinear(other, nil)
	if _, err := CompareLogLinear(small, full); !errors.Is(err, ErrArgument) {
		t.Error(err)
	}
	if _, err := LogLinear(s, Model{0}); !errors.Is(err, ErrArgument) {
		t.Error(err)
	}
	// A pattern of zeros that the model cannot fit inside the parameter space: the fit goes to the edge and says so or ends.
	edge, _ := NewStrata(tableOf(t, 2, 2, 0, 6, 7, 3), tableOf(t, 2, 2, 4, 5, 7, 0))
	fit, err := LogLinear(edge, Model{FactorRow | FactorCol, FactorRow | FactorStratum, FactorCol | FactorStratum})
	if err != nil || fit.Converged == fit.G2.Warnings.Has(NotConverged) || math.IsNaN(fit.G2.Statistic) {
		t.Errorf("%+v %v", fit, err)
	}
	for _, text := range []string{"AB", "[AB", "[]", "[AD]", "[A]B"} {
		if _, err := ParseModel(text); !errors.Is(err, ErrArgument) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestConstructorsRefuse(t *testing.T) {
	big := int64(math.MaxInt64)
	for name, c := range map[string]struct {
		make func() error
		want error
		text string
	}{
		"negative":       {func() error { _, err := NewTable(2, 2, []int64{1, 2, -3, 4}); return err }, ErrNegative, "-3 in row 1, column 0"},
		"overflow":       {func() error { _, err := NewTable(1, 3, []int64{big, big, 2}); return err }, ErrOverflow, "2 in row 0, column 2"},
		"shape":          {func() error { _, err := NewTable(2, 2, []int64{1}); return err }, ErrShape, "1 cells for 2 rows of 2 columns"},
		"huge shape":     {func() error { _, err := NewTable(math.MaxInt, 4, nil); return err }, ErrShape, ""},
		"negative shape": {func() error { _, err := NewTable(-1, 4, nil); return err }, ErrShape, ""},
		"sparse negative": {func() error {
			_, err := NewSparseTable(2, 2, Triples{[]uint32{1}, []uint32{1}, []int64{-1}})
			return err
		}, ErrNegative, "row 1, column 1"},
		"sparse outside": {func() error {
			_, err := NewSparseTable(2, 2, Triples{[]uint32{2}, []uint32{1}, []int64{1}})
			return err
		}, ErrShape, "row 2"},
		"sparse lengths": {func() error { _, err := NewSparseTable(2, 2, Triples{[]uint32{1}, nil, []int64{1}}); return err }, ErrShape, ""},
		"sparse shape":   {func() error { _, err := NewSparseTable(-2, 2, Triples{}); return err }, ErrShape, ""},
		"sparse twice": {func() error {
			_, err := NewSparseTable(2, 2, Triples{[]uint32{1, 0, 1}, []uint32{1, 0, 1}, []int64{1, 1, 1}})
			return err
		}, ErrShape, "row 1, column 1 is listed twice"},
		"one-way negative":  {func() error { _, err := NewCounts([]int64{1, -2}); return err }, ErrNegative, "-2 in category 1"},
		"one-way overflow":  {func() error { _, err := NewCounts([]int64{big, big, 5}); return err }, ErrOverflow, "category 2"},
		"strata shape":      {func() error { _, err := NewStrata(tableOf(t, 1, 1, 1), tableOf(t, 1, 2, 1, 1)); return err }, ErrShape, "stratum 1"},
		"strata overflow":   {func() error { u := tableOf(t, 1, 2, big, big); _, err := NewStrata(u, u); return err }, ErrOverflow, ""},
		"pairs":             {func() error { _, err := NewPairs(tableOf(t, 1, 2, 1, 1)); return err }, ErrShape, "1 by 2"},
		"labels":            {func() error { _, err := tableOf(t, 1, 2, 1, 1).WithLabels([]string{"a"}, nil); return err }, ErrShape, ""},
		"weights negative":  {func() error { _, err := NewShares(1, -1); return err }, ErrArgument, "weight 1 is -1"},
		"weights zero":      {func() error { _, err := NewShares(0, 0); return err }, ErrArgument, ""},
		"weights NaN":       {func() error { _, err := NewShares(math.NaN()); return err }, ErrArgument, ""},
		"whole zero":        {func() error { _, err := WholeShares(0); return err }, ErrArgument, ""},
		"whole overflow":    {func() error { _, err := WholeShares(1<<63, 1<<63); return err }, ErrArgument, ""},
		"rational negative": {func() error { _, err := RationalShares(ratOf("-1/2")); return err }, ErrArgument, ""},
		"margins shape":     {func() error { return NewMargins(2, 2).AddRow(5, []int64{1, 2}) }, ErrShape, ""},
		"margins merge":     {func() error { return NewMargins(2, 2).Merge(NewMargins(2, 3)) }, ErrShape, ""},
		"margins overflow":  {func() error { u := tableOf(t, 1, 2, big, big); return u.Margins().Merge(u.Margins()) }, ErrOverflow, ""},
		"place overflow": {func() error {
			u := tableOf(t, 1, 2, big, big)
			return u.Margins().Place(u.Margins(), []int{0}, []int{0, 1})
		}, ErrOverflow, ""},
		"place shape": {func() error { return NewMargins(1, 1).Place(NewMargins(1, 1), []int{-1}, []int{0}) }, ErrShape, ""},
		"frame":       {func() error { _, err := NewFrame(5, []uint64{6}, nil, Whole{}); return err }, ErrShape, ""},
		"maxima":      {func() error { return NewMaxima(1, 1).Merge(NewMaxima(2, 1)) }, ErrShape, ""},
	} {
		err := c.make()
		if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func ratOf(text string) *big.Rat {
	r, ok := new(big.Rat).SetString(text)
	if !ok {
		panic(text)
	}
	return r
}

func TestQuestionsOutOfRange(t *testing.T) {
	u, c := tableOf(t, 3, 3, 1, 2, 3, 4, 5, 6, 7, 8, 10), countsOf(t, 3, 4)
	s, _ := NewStrata(u)
	for name, c := range map[string]struct {
		ask  func() error
		want error
	}{
		"yates 3×3":        {func() error { _, err := Yates(u); return err }, ErrShape},
		"λ too large":      {func() error { _, err := PowerDivergence(u, 6); return err }, ErrArgument},
		"λ NaN":            {func() error { _, err := GoodnessOfFitDivergence(c, EqualShares(2), 0, math.NaN()); return err }, ErrArgument},
		"ddof":             {func() error { _, err := GoodnessOfFit(c, EqualShares(2), -1); return err }, ErrArgument},
		"shares":           {func() error { _, err := GoodnessOfFit(c, EqualShares(3), 0); return err }, ErrShape},
		"no shares":        {func() error { _, err := GoodnessOfFit(c, Shares{wide: make([]wide, 2)}, 0); return err }, ErrArgument},
		"fits":             {func() error { _, err := Fits(c, EqualShares(3)); return err }, ErrShape},
		"multinomial":      {func() error { _, err := MultinomialTest(c, EqualShares(3)); return err }, ErrShape},
		"multinomial sum":  {func() error { _, err := MultinomialTest(c, Shares{wide: make([]wide, 2)}); return err }, ErrArgument},
		"multinomial size": {func() error { _, err := MultinomialTest(countsOf(t, 1e6, 1e6, 1e6), EqualShares(3)); return err }, ErrArgument},
		"scores":           {func() error { _, err := LinearByLinear(u, []int64{1}, nil); return err }, ErrShape},
		"column scores":    {func() error { _, err := LinearByLinear(u, nil, []int64{1}); return err }, ErrShape},
		"score size":       {func() error { _, err := LinearByLinear(u, []int64{math.MaxInt64, 1, 2}, nil); return err }, ErrArgument},
		"trend 3×3":        {func() error { _, err := CochranArmitage(u, nil); return err }, ErrShape},
		"trend scores":     {func() error { _, err := CochranArmitage(tableOf(t, 2, 2, 1, 2, 3, 4), []int64{1}); return err }, ErrShape},
		"cmh 3×3":          {func() error { _, err := CMH(s); return err }, ErrShape},
		"breslow 3×3":      {func() error { _, err := BreslowDay(s); return err }, ErrShape},
		"woolf 3×3":        {func() error { _, err := Woolf(s); return err }, ErrShape},
		"odds 3×3":         {func() error { _, err := MantelHaenszel(s, 0.95); return err }, ErrShape},
		"level":            {func() error { _, err := MantelHaenszel(s, 1); return err }, ErrArgument},
		"V level":          {func() error { _, err := (Result{}).CramersVInterval(0); return err }, ErrArgument},
		"general scores":   {func() error { _, err := GeneralizedCMH(s, []int64{1}, nil); return err }, ErrShape},
		"general columns":  {func() error { _, err := GeneralizedCMH(s, nil, []int64{1}); return err }, ErrShape},
		"general size":     {func() error { _, err := GeneralizedCMH(wideStrata(t), nil, nil); return err }, ErrArgument},
		"mcnemar 3×3":      {func() error { _, err := McNemar(Pairs{u}); return err }, ErrShape},
		"mcnemar exact":    {func() error { _, err := McNemarExact(Pairs{u}); return err }, ErrShape},
		"kappa weights":    {func() error { _, err := Kappa(Pairs{u}, 9); return err }, ErrArgument},
		"patterns":         {func() error { _, err := CochranQ(nil, []int64{1}); return err }, ErrShape},
		"pattern lengths":  {func() error { _, err := CochranQ([][]bool{{true}, {}}, []int64{1, 1}); return err }, ErrShape},
		"pattern counts":   {func() error { _, err := CochranQ([][]bool{{true}}, []int64{-1}); return err }, ErrNegative},
		"drift rows":       {func() error { _, err := DriftOf(u); return err }, ErrShape},
		"drift categories": {func() error { _, err := DriftBetween(c, countsOf(t, 1)); return err }, ErrShape},
		"lambda shapes":    {func() error { _, _, _, err := Lambda(u.Margins(), NewMaxima(1, 1)); return err }, ErrShape},
		"negative score":   {func() error { return new(ScoreSums).Add(1, 1, -1) }, ErrNegative},
	} {
		if err := c.ask(); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	var full ScoreSums
	if full.Add(1, 1, math.MaxInt64) != nil || full.Add(1, 2, math.MaxInt64) != nil || !errors.Is(full.Add(1, 1, 2), ErrOverflow) {
		t.Error("an overflow of n went unnoticed")
	}
	if other := full; !errors.Is(full.Merge(&other), ErrOverflow) || full.N() != math.MaxUint64-1 {
		t.Error("an overflow of n went unnoticed")
	}
}

func wideStrata(t *testing.T) *Strata {
	cells := make([]int64, 40*40)
	for k := range cells {
		cells[k] = 1
	}
	s, _ := NewStrata(tableOf(t, 40, 40, cells...))
	return s
}

func TestPartialsThatDoNotBelong(t *testing.T) {
	u, v := tableOf(t, 2, 2, 1, 2, 3, 4), tableOf(t, 2, 2, 5, 6, 7, 8)
	p, q := NewPartial(u.Frame(), KindPearson), NewPartial(v.Frame(), KindPearson)
	p.AddTable(u.Frame(), u)
	q.AddTable(v.Frame(), v)
	if p.Kinds() != KindPearson || p.Cells() != 4 || p.Digest() != MarginsDigest(u.Margins()) || u.Frame().N() != 10 {
		t.Error(p.Kinds(), p.Cells())
	}
	if err := p.Merge(q); !errors.Is(err, ErrDigest) {
		t.Error(err)
	}
	if err := p.Merge(NewPartial(u.Frame(), KindG)); !errors.Is(err, ErrArgument) {
		t.Error(err)
	}
	if _, err := u.Frame().ChiSquare(q); !errors.Is(err, ErrDigest) {
		t.Error(err)
	}
	if _, err := u.Frame().GTest(p); !errors.Is(err, ErrArgument) {
		t.Error(err)
	}
	if _, err := u.Frame().PowerDivergence(p, KindPearson); !errors.Is(err, ErrArgument) {
		t.Error(err)
	}
	if _, err := u.Frame().PowerDivergence(p, KindNeyman); !errors.Is(err, ErrArgument) {
		t.Error(err)
	}
	if _, _, err := u.Frame().Tau(p); !errors.Is(err, ErrArgument) {
		t.Error(err)
	}
	twice := *p
	if err := p.Merge(&twice); err != nil {
		t.Fatal(err)
	}
	if _, err := u.Frame().ChiSquare(p); !errors.Is(err, ErrArgument) { // every cell counted twice
		t.Error(err)
	}
	tau := NewPartial(u.Frame(), KindTauCols|KindTauRows)
	tau.AddTable(u.Frame(), u)
	tau.rcc.add(tau.rcc)
	if _, _, err := u.Frame().Tau(tau); !errors.Is(err, ErrArgument) {
		t.Error(err)
	}
	for name, b := range map[string][]byte{"empty": nil, "version": {9}, "kinds": append([]byte{1, 0xff, 0xff}, make([]byte, 64)...), "short": {1, 1, 0, 3}} {
		if err := new(Partial).UnmarshalBinary(b); !errors.Is(err, ErrEncoding) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, err := range map[string]error{
		"margins version": new(Margins).UnmarshalBinary([]byte{9}), "margins length": new(Margins).UnmarshalBinary([]byte{1, 1, 200, 1}),
		"margins long": new(Margins).UnmarshalBinary([]byte{1, 0x80, 0x00, 0, 0}), "margins rest": new(Margins).UnmarshalBinary([]byte{1, 0, 0, 0, 7}),
		"sum": new(Sum).UnmarshalBinary([]byte{9, 0, 0, 0}), "maxima": new(Maxima).UnmarshalBinary([]byte{7}), "maxima short": new(Maxima).UnmarshalBinary([]byte{1}),
		"scores": new(ScoreSums).UnmarshalBinary([]byte{7}), "scores short": new(ScoreSums).UnmarshalBinary([]byte{1, 2}),
		"scores impossible":       new(ScoreSums).UnmarshalBinary(append([]byte{1}, append(make([]byte, 8), []byte(strings.Repeat("\x01", 160))...)...)),
		"scores negative squares": new(ScoreSums).UnmarshalBinary(append([]byte{1}, append(make([]byte, 72), []byte(strings.Repeat("\xff", 96))...)...)),
	} {
		if !errors.Is(err, ErrEncoding) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := new(Margins).UnmarshalBinary([]byte{1, 5, 1, 4, 1, 5}); !errors.Is(err, ErrShape) {
		t.Error(err)
	}
	over := &Margins{Rows: []uint64{math.MaxUint64, 1}, Cols: []uint64{0}, N: 0}
	b, _ := over.MarshalBinary()
	if err := new(Margins).UnmarshalBinary(b); !errors.Is(err, ErrOverflow) {
		t.Error(err)
	}
}

func TestSmallPrint(t *testing.T) {
	u, err := tableOf(t, 2, 2, 1, 2, 3, 4).WithLabels([]string{"a", "b"}, []string{"x", "y"})
	if err != nil || u.RowLabel(1) != "b" || u.ColLabel(0) != "x" || u.RowLabel(7) != "" {
		t.Error(u, err)
	}
	s, _ := NewSparseTable(2, 2, Triples{[]uint32{1, 0, 0}, []uint32{1, 0, 1}, []int64{4, 0, 2}})
	if s.At(1, 1) != 4 || s.At(0, 0) != 0 || s.N() != 6 {
		t.Error(s)
	}
	st, _ := NewStrata(u, u)
	if r, c := st.Shape(); st.N() != 20 || st.Len() != 2 || st.Table(1) != u || r != 2 || c != 2 {
		t.Error(st)
	}
	p, _ := NewPairs(u)
	if p.Table() != u {
		t.Error(p)
	}
	c := countsOf(t, 3, 4)
	if c.Len() != 2 || c.At(1) != 4 || c.N() != 7 {
		t.Error(c)
	}
	if EqualShares(4).P(2) != 0.25 || mustShares(t, 0.5, 1.5).P(1) != 0.75 || mustShares(t, 0.5, 0.5).Len() != 2 {
		t.Error("shares")
	}
	if k := WarningKind(200); k.String() != "warning(200)" || (Warning{Kind: OneLevel}).String() != "one_level" || (Warnings{}).Has(OneLevel) {
		t.Error(k)
	}
	ws := Warnings(nil).with(Warning{Kind: HugeCounts}).with(Warning{Kind: ExpectedBelow5}).with(Warning{Kind: HugeCounts, Affected: 1, Total: 2})
	if ws.String() != "min_expected<5,n>2^53" || ws[1].Total != 2 {
		t.Error(ws)
	}
	if m := undefined("x").Interval(0.95, 0, 1); m.Level != 0 {
		t.Error(m)
	}
	if m, err := CramersV(tableOf(t, 2, 2, 10, 2, 3, 11)); err != nil || !m.HasSE || m.Interval(0.95, 0, 1).Level != 0.95 {
		t.Error(m, err)
	}
	if m, err := CramersVCorrected(tableOf(t, 2, 2, 10, 2, 3, 11)); err != nil || !m.Defined {
		t.Error(m, err)
	}
	r, _ := ChiSquare(tableOf(t, 2, 2, 10, 2, 3, 11))
	if m, err := r.CramersVInterval(0.95); err != nil || !(0 < m.Low && m.Low < m.Value && m.Value < m.High && m.High <= 1) {
		t.Error(m, err)
	}
	x, y, z, err := TheilsU(tableOf(t, 2, 2, 10, 2, 3, 11))
	if err != nil || !x.Defined || !y.Defined || !z.Defined {
		t.Error(x, y, z, err)
	}
	// Weights that are no integers, with a count of zero and one in exact proportion.
	fits, err := Fits(countsOf(t, 0, 6, 2), mustShares(t, 0.25, 0.75, 0.25))
	if err != nil || fits[1].Expected != 4.8 || fits[0].Observed != 0 || !fits[0].Adjusted.Defined {
		t.Errorf("%+v %v", fits, err)
	}
	if r, err := GoodnessOfFit(countsOf(t, 6, 2), mustShares(t, 0.75, 0.25), 0); err != nil || r.Statistic != 0 || r.P != 1 {
		t.Errorf("%+v %v", r, err)
	}
	if r, err := MultinomialTest(countsOf(t, 6, 2), mustShares(t, 0.75, 0.25)); err != nil || r.P != 1 {
		t.Errorf("%+v %v", r, err)
	}
	if r, err := MultinomialTest(countsOf(t, 9, 0, 0), mustShares(t, 0.5, 0.1, 0.4)); err != nil || !(r.P > 0 && r.P < 0.1) {
		t.Errorf("%+v %v", r, err)
	}
	// Scores below 0, and merged sums.
	var a, b ScoreSums
	for _, o := range [][3]int64{{-1, -2, 5}, {0, 1, 7}, {1, -2, 4}, {1, 3, 9}} {
		a.Add(o[0], o[1], o[2])
		b.Add(o[0]+1, o[1]+2, o[2])
	}
	var half, whole ScoreSums
	half.Add(-1, -2, 5)
	whole.Add(0, 1, 7)
	whole.Add(1, -2, 4)
	whole.Add(1, 3, 9)
	if err := whole.Merge(&half); err != nil || whole != a {
		t.Error("merged score sums differ", err)
	}
	var mirrored ScoreSums
	for _, o := range [][3]int64{{5, -2, 5}, {6, 1, 7}, {7, -2, 4}, {7, 3, 9}} {
		mirrored.Add(o[0], -o[1]-10, o[2]) // Σ st far below 0
	}
	if r, err := mirrored.LinearByLinear(); err != nil || !near(r.Effect.Value, -a.m.correlation("r").Value, 1e-14) {
		t.Error(r, err)
	}
	ra, _ := a.LinearByLinear()
	rb, _ := b.LinearByLinear()
	if !near(ra.Statistic, rb.Statistic, 1e-14) {
		t.Error(ra, rb)
	}
	if r, err := LinearByLinear(tableOf(t, 3, 2, 4, 1, 2, 2, 1, 5), []int64{-3, 0, 3}, nil); err != nil || r.DF != 1 {
		t.Error(r, err)
	}
	m, n := NewMaxima(1, 2), NewMaxima(1, 2)
	m.Add(0, 0, 5)
	n.Add(0, 1, 7)
	if err := m.Merge(n); err != nil || m.Rows[0] != 7 || m.Cols[0] != 5 {
		t.Error(m, err)
	}
	g := NewMargins(2, 2)
	if err := g.Merge(tableOf(t, 2, 2, 1, 2, 3, 4).Margins()); err != nil || g.N != 10 || g.Cols[1] != 6 {
		t.Error(g, err)
	}
	if err := (&Margins{}).Place(&Margins{}, nil, nil); err != nil {
		t.Error(err)
	}
}
