package stats

import (
	"encoding/binary"
	"errors"
	"math"
	"math/big"
	"slices"
	"testing"
)

// countsFrom reads counts of every size: a byte of magnitude, then as many bytes as that asks for.
func countsFrom(data []byte, k int) []int64 {
	counts := make([]int64, k)
	for i := range counts {
		if len(data) == 0 {
			break
		}
		width := int(data[0] % 9)
		data = data[1:]
		var word [8]byte
		n := copy(word[:width], data)
		data = data[n:]
		counts[i] = int64(binary.LittleEndian.Uint64(word[:]) >> 1)
	}
	return counts
}

// checkResult fails on a result that breaks a promise.
func checkResult(t *testing.T, r Result, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	checkP(t, r.Method, r.P, r.LnP)
	checkMeasure(t, r.Effect)
	m, err := r.EffectInterval(0.9)
	if err != nil {
		t.Fatal(err)
	}
	checkMeasure(t, m)
	if math.IsNaN(r.Statistic) || math.IsNaN(r.MinExpected) || r.MinExpected < 0 || math.IsInf(r.MinExpected, 0) {
		t.Fatalf("%+v", r)
	}
	if !math.IsInf(r.Statistic, 0) && math.IsInf(r.LnP, 0) {
		t.Fatalf("ln p is infinite and the statistic is not: %+v", r)
	}
	if r.DF == 0 && (r.P != 1 || r.Statistic != 0) {
		t.Fatalf("df 0: %+v", r)
	}
	if r.DF > 0 && r.Statistic < 0 {
		t.Fatalf("statistic below 0: %+v", r)
	}
}

func checkUnit(t *testing.T, low float64, measures ...Measure) {
	t.Helper()
	for _, m := range measures {
		checkMeasure(t, m)
		if m.Defined && !(m.Value >= low && m.Value <= 1) || m.SE < 0 {
			t.Fatalf("%+v", m)
		}
		checkMeasure(t, m.Interval(0.95, low, 1))
	}
}

// FuzzTables calls every entry point for two-way, one-way, paired and stratified tables.
func FuzzTables(f *testing.F) {
	f.Add(uint8(2), uint8(2), []byte{1, 3, 1, 1, 1, 1, 1, 3})
	f.Add(uint8(2), uint8(2), []byte{0, 0, 0, 0})
	f.Add(uint8(1), uint8(5), []byte{1, 3, 1, 14, 1, 15, 1, 92, 1, 65})
	f.Add(uint8(3), uint8(3), []byte{8, 255, 255, 255, 255, 255, 255, 255, 127, 0, 1, 1, 1, 1, 4, 9, 9, 9, 9, 1, 7})
	f.Add(uint8(4), uint8(4), []byte{7, 1, 2, 3, 4, 5, 6, 7, 2, 9, 9, 0, 0, 1, 5, 6, 1, 1, 1, 1, 1, 1})
	f.Add(uint8(2), uint8(6), []byte{1, 2, 1, 4, 1, 6, 1, 8, 1, 1, 1, 2, 1, 3, 1, 4})
	f.Fuzz(func(t *testing.T, rows, cols uint8, data []byte) {
		r, c := int(rows%6), int(cols%6)
		u, err := NewTable(r, c, countsFrom(data, r*c))
		if err != nil {
			return
		}
		if u.N() == 0 {
			if _, err := ChiSquare(u); err != ErrEmpty {
				t.Fatal(err)
			}
			return
		}
		exerciseTable(t, u)
		exerciseOneWay(t, u.dense, data)
		if r == c {
			exercisePairs(t, u)
		}
		v, err := NewTable(r, c, countsFrom(data[min(len(data), 3):], r*c))
		if err != nil {
			return
		}
		if s, err := NewStrata(u, v, u.Transpose().Transpose()); err == nil {
			exerciseStrata(t, s)
		}
	})
}

func exerciseTable(t *testing.T, u *Table) {
	check := func(r Result, err error) { t.Helper(); checkResult(t, r, err) }
	chi, err := ChiSquare(u)
	check(chi, err)
	v, err := chi.CramersVInterval(0.9)
	if err != nil {
		t.Fatal(err)
	}
	checkMeasure(t, v)
	check(GTest(u))
	check(GWilliams(u))
	for _, lambda := range []float64{5, 1, 2. / 3, 0.01, 0, -0.3, -0.5, -0.9, -1, -2, -5} {
		check(PowerDivergence(u, lambda))
	}
	if u.rows == 2 && u.cols == 2 {
		check(Yates(u))
	}
	check(LinearByLinear(u, nil, nil))
	rowScores, colScores := fuzzScores(u.rows), fuzzScores(u.cols)
	check(LinearByLinear(u, rowScores, colScores))
	exerciseDraws(t, u)
	jt, err := JonckheereTerpstra(u)
	check(jt.Result, err)
	if w := u.Frame().Whole(); w.Rows == 2 || w.Cols == 2 {
		ca, err := CochranArmitage(u, nil)
		check(ca.Result, err)
		if w.Cols == 2 {
			ca, err = CochranArmitage(u, rowScores)
			check(ca.Result, err)
		}
	}
	a, err := Associations(u)
	if err != nil {
		t.Fatal(err)
	}
	checkUnit(t, 0, a.CramersV, a.CramersVCorrected, a.TschuprowT, a.TschuprowTCorrected, a.ContingencyC, a.ContingencySakoda,
		a.TheilsUColGivenRow, a.TheilsURowGivenCol, a.TheilsUSymmetric, a.LambdaColGivenRow, a.LambdaRowGivenCol, a.LambdaSymmetric,
		a.TauColGivenRow, a.TauRowGivenCol)
	for _, m := range []Measure{a.Phi, a.EntropyRows, a.EntropyCols, a.EntropyJoint, a.MutualInfo} {
		checkMeasure(t, m)
	}
	exerciseMeasures(t, u, a)
	o, err := Ordinal(u)
	if err != nil {
		t.Fatal(err)
	}
	checkUnit(t, -1, o.Gamma, o.TauB, o.TauC, o.SomersDColGivenRow, o.SomersDRowGivenCol, o.SpearmanRho, o.PearsonR)
	for adjust := Bonferroni; adjust <= BenjaminiYekutieli; adjust++ {
		cells, err := PostHocCells(u, adjust)
		if err != nil {
			t.Fatal(err)
		}
		for _, cell := range cells {
			checkP(t, "cell", cell.P, cell.LnP)
			checkP(t, "adjusted cell", cell.AdjustedP, cell.AdjustedLnP)
			checkMeasure(t, cell.Adjusted)
			if math.IsNaN(cell.Pearson+cell.Deviance+cell.Expected) || cell.Expected <= 0 {
				t.Fatalf("%+v", cell)
			}
		}
	}
	if !equalBits(fingerprint(u), fingerprint(sparseOf(u).Transpose())) {
		t.Fatal("bits depend on the form")
	}
	if w, err := WeightsOfEvidence(u); err == nil {
		for _, m := range w {
			checkMeasure(t, m)
		}
	}
	if d, err := DriftOf(u); err == nil {
		for _, x := range []float64{d.PSI, d.KL, d.KLBack, d.JS, d.Hellinger, d.TotalVariation} {
			if !(x >= 0) || d.Hellinger > 1 || d.TotalVariation > 1 || d.JS > math.Ln2+1e-15 {
				t.Fatalf("%+v", d)
			}
		}
	}
}

// fuzzScores are scores of both signs that are far apart.
func fuzzScores(k int) []int64 {
	scores := make([]int64, k)
	for i := range scores {
		scores[i] = int64(i*i-5) << (10 * i)
	}
	return scores
}

// exerciseDraws calls the tests that list or draw tables, where there are few enough.
func exerciseDraws(t *testing.T, u *Table) {
	if u.N() > 40 {
		return
	}
	if r, err := FisherRxC(u); err == nil {
		checkResult(t, r, nil)
	}
	for _, by := range []MonteCarloStatistic{ByProbability, ByPearson} {
		m, err := NewMonteCarlo(u, by, 7)
		if err != nil {
			t.Fatal(err)
		}
		p, err := m.Run(50, 0.9)
		checkResult(t, p.Result, err)
		again, err := m.Finish(m.Exceedances(0, 20)+m.Exceedances(20, 50), 50, 0.9)
		if err != nil || again.P != p.P || !(p.Low <= p.High) {
			t.Fatal(again, p, err)
		}
	}
}

// exerciseMeasures calls what gives single measures, which are those of a.
func exerciseMeasures(t *testing.T, u *Table, a Association) {
	v, _ := CramersV(u)
	corrected, _ := CramersVCorrected(u)
	info, _ := MutualInformation(u)
	cols, rows, both, err := TheilsU(u)
	if err != nil || v != a.CramersV || corrected != a.CramersVCorrected || info != a.MutualInfo || cols != a.TheilsUColGivenRow ||
		rows != a.TheilsURowGivenCol || both != a.TheilsUSymmetric {
		t.Fatalf("measures differ: %+v %v", a, err)
	}
	if u.ExpectedBelow(5) > uint64(u.rows*u.cols) {
		t.Fatal("more cells below 5 than cells")
	}
}

func exerciseOneWay(t *testing.T, counts []int64, data []byte) {
	c, err := NewCounts(counts)
	if err != nil {
		t.Fatal(err)
	}
	weights := make([]float64, len(counts))
	rational := make([]*big.Rat, len(counts))
	for i := range weights {
		w := int64(1)
		if i < len(data) {
			w = int64(data[i])
		}
		weights[i] = float64(w) * math.Exp2(float64(int(w)%7*(w0(data)%60)))
		rational[i] = big.NewRat(w, int64(1+i*i))
	}
	all := []Shares{EqualShares(len(counts))}
	if s, err := NewShares(weights...); err == nil {
		all = append(all, s)
	}
	if s, err := RationalShares(rational...); err == nil {
		all = append(all, s)
	}
	for _, s := range all {
		for _, ddof := range []int{0, 1} {
			r, err := GoodnessOfFit(c, s, ddof)
			checkResult(t, r, err)
			r, err = GoodnessOfFitG(c, s, ddof)
			checkResult(t, r, err)
			for _, lambda := range []float64{2. / 3, -0.5, -1, -2} {
				r, err = GoodnessOfFitDivergence(c, s, ddof, lambda)
				checkResult(t, r, err)
			}
		}
		r, err := SRM(c, s)
		checkResult(t, r, err)
		fits, err := Fits(c, s)
		if err != nil {
			t.Fatal(err)
		}
		for _, fit := range fits {
			checkMeasure(t, fit.Pearson)
			checkMeasure(t, fit.Adjusted)
			checkMeasure(t, fit.Deviance)
		}
		e, err := MultinomialE(c, s)
		if err != nil {
			t.Fatal(err)
		}
		checkP(t, "e-value", e.P, e.LnP)
		if m, err := NewMonitor(s); err == nil && c.N() < 100 {
			exerciseMonitor(t, m, c, e)
		}
		if outcomes(c.N(), c.Len()) < 2000 {
			r, err := MultinomialTest(c, s)
			if err != nil {
				t.Fatal(err)
			}
			checkP(t, "multinomial", r.P, r.LnP)
		}
	}
	for _, measure := range []func(*Counts) (Measure, error){Entropy, EntropyMillerMadow, GiniSimpson} {
		m, err := measure(c)
		if err != nil || !(m.Value >= 0) {
			t.Fatal(m, err)
		}
	}
}

// exerciseMonitor observes the counts one by one.
func exerciseMonitor(t *testing.T, m *Monitor, c *Counts, want EValue) {
	for j := range c.Len() {
		for range c.At(j) {
			if err := m.Observe(j); err != nil {
				t.Fatal(err)
			}
		}
	}
	e := m.EValue()
	if gap := e.LnE() - want.LnE(); !(math.Abs(gap) <= 1e-8*math.Max(1, math.Abs(e.LnE()))) || !(m.P() >= 0 && m.P() <= 1) || e.N != want.N {
		t.Fatalf("%+v, want %+v", e, want)
	}
}

func w0(data []byte) int {
	if len(data) == 0 {
		return 0
	}
	return int(data[0])
}

func exercisePairs(t *testing.T, u *Table) {
	p, err := NewPairs(u)
	if err != nil {
		t.Fatal(err)
	}
	check := func(r Result, err error) { t.Helper(); checkResult(t, r, err) }
	check(Bowker(p))
	check(StuartMaxwell(p))
	for _, w := range []KappaWeights{Unweighted, LinearWeights, QuadraticWeights} {
		m, err := Kappa(p, w)
		if err != nil || m.Value > 1 {
			t.Fatal(m, err)
		}
		checkMeasure(t, m)
	}
	if u.rows == 2 {
		check(McNemar(p))
		check(McNemarCorrected(p))
		e, err := McNemarExact(p)
		check(e.Result, err)
		checkExact(t, "McNemar", e)
	}
}

func exerciseStrata(t *testing.T, s *Strata) {
	check := func(r Result, err error) { t.Helper(); checkResult(t, r, err) }
	if g, err := GeneralizedCMH(s, nil, nil); err != nil {
		t.Fatal(err)
	} else {
		for _, r := range []Result{g.General, g.RowMeans, g.ColMeans, g.Linear} {
			check(r, nil)
		}
	}
	if _, err := GeneralizedCMH(s, fuzzScores(s.rows), fuzzScores(s.cols)); err != nil {
		t.Fatal(err)
	}
	var smaller *LogLinearFit
	for _, text := range []string{"[A][B][C]", "[AB][C]", "[AB][BC]"} {
		m, err := ParseModel(text)
		if err != nil || m.String() != text {
			t.Fatal(m, err)
		}
		fit, err := LogLinear(s, m)
		if err != nil {
			t.Fatal(err)
		}
		check(fit.G2, nil)
		check(fit.X2, nil)
		if smaller != nil {
			check(CompareLogLinear(smaller, fit))
		}
		smaller = fit
	}
	if s.rows == 2 && s.cols == 2 {
		for _, test := range []func(*Strata) (Result, error){CMH, CMHCorrected, BreslowDay, BreslowDayTarone, Woolf} {
			check(test(s))
		}
		m, err := MantelHaenszel(s, 0.9)
		if err != nil {
			t.Fatal(err)
		}
		checkMeasure(t, m)
	}
}

// FuzzPartials decodes arbitrary bytes as each encoded type: what decodes encodes to the same bytes, merges, and finishes
// without a panic or NaN.
func FuzzPartials(f *testing.F) {
	u, _ := NewTable(2, 3, []int64{10, 20, 30, 15, 0, 27})
	p := NewPartial(u.Frame(), allKinds)
	p.AddTable(u.Frame(), u)
	b, _ := p.MarshalBinary()
	f.Add(b)
	q := NewPartial(u.Frame(), KindPearson)
	q.AddTable(u.Frame(), u)
	b, _ = q.MarshalBinary()
	f.Add(b)
	b, _ = u.Margins().MarshalBinary()
	f.Add(b)
	x, _ := u.scoreSums(nil, nil)
	b, _ = x.AppendBinary(nil)
	f.Add(b)
	m := NewMaxima(2, 3)
	u.each(m.Add)
	b, _ = m.AppendBinary(nil)
	f.Add(b)
	strata, _ := sumStrata([]Fourfold{fourfold(3, 4, 5, 6), fourfold(1, 0, 2, 9)})
	h := NewHomogeneitySums(strata)
	h.Add(fourfold(3, 4, 5, 6))
	g, _ := NewGeneralSums(u.margins)
	drift, cochran := NewDriftSums(9, 8), NewCochranSums(3)
	drift.Add(9, 3)
	drift.Add(0, 5)
	if err := errors.Join(g.Add(u), cochran.Add([]bool{true, false, true}, 4)); err != nil {
		f.Fatal(err)
	}
	for _, v := range []interface{ AppendBinary([]byte) ([]byte, error) }{strata, h, g, drift, cochran} {
		b, _ = v.AppendBinary(nil)
		f.Add(b)
	}
	var s Sum
	for _, v := range []float64{1, -1e300, math.SmallestNonzeroFloat64, math.Inf(1)} {
		s.Add(v)
		b, _ = s.MarshalBinary()
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		same := func(what string, got []byte) {
			t.Helper()
			if string(got) != string(data) {
				t.Fatalf("%s: %x encodes to %x", what, data, got)
			}
		}
		var s Sum
		if s.UnmarshalBinary(data) == nil {
			b, _ := s.MarshalBinary()
			same("sum", b)
			s.Float()
			s.Merge(&s)
		}
		var m Margins
		if m.UnmarshalBinary(data) == nil {
			b, _ := m.MarshalBinary()
			same("margins", b)
			if f := m.Frame(); f.DF() < 0 || math.IsNaN(f.MinExpected()) {
				t.Fatal(f.DF(), f.MinExpected())
			}
		}
		var top Maxima
		if top.UnmarshalBinary(data) == nil {
			b, _ := top.AppendBinary(nil)
			same("maxima", b)
		}
		var x ScoreSums
		if x.UnmarshalBinary(data) == nil {
			b, _ := x.AppendBinary(nil)
			same("score sums", b)
			if r, err := x.LinearByLinear(); err == nil {
				checkResult(t, r, nil)
			}
		}
		exerciseStrataSums(t, data, same)
		exerciseOtherSums(t, u, data, same)
		exercisePartial(t, u, data, same)
	})
}

func exerciseStrataSums(t *testing.T, data []byte, same func(string, []byte)) {
	var h HomogeneitySums
	if h.UnmarshalBinary(data) == nil {
		b, _ := h.AppendBinary(nil)
		same("homogeneity", b)
	}
	var x StrataSums
	if x.UnmarshalBinary(data) != nil {
		return
	}
	b, _ := x.AppendBinary(nil)
	same("strata", b)
	h.digest = x.digest() // as if the second round rested on it
	for _, finish := range []func() (Result, error){x.CMH, x.CMHCorrected, func() (Result, error) { return x.BreslowDay(&h) },
		func() (Result, error) { return x.BreslowDayTarone(&h) }, func() (Result, error) { return x.Woolf(&h) }} {
		if r, err := finish(); err == nil && (math.IsNaN(r.Statistic) || math.IsNaN(r.P) || math.IsNaN(r.LnP) || math.IsNaN(r.Effect.Value+r.Effect.SE)) {
			t.Fatalf("%+v", r)
		}
	}
	y := x
	if err := x.Merge(&y); err != nil && !errors.Is(err, ErrOverflow) {
		t.Fatal(err)
	}
	NewHomogeneitySums(&x).Add(fourfold(3, 4, 5, 6))
}

func exerciseOtherSums(t *testing.T, u *Table, data []byte, same func(string, []byte)) {
	var q CochranSums
	if q.UnmarshalBinary(data) == nil {
		b, _ := q.AppendBinary(nil)
		same("Cochran's Q", b)
		if r, err := q.CochranQ(); err == nil && (math.IsNaN(r.Statistic) || math.IsNaN(r.P) || math.IsNaN(r.LnP)) {
			t.Fatalf("%+v", r)
		}
	}
	var d DriftSums
	if d.UnmarshalBinary(data) == nil {
		b, _ := d.AppendBinary(nil)
		same("drift", b)
		if x, err := d.Drift(); err == nil && math.IsNaN(x.PSI+x.KL+x.KLBack+x.JS+x.Hellinger+x.TotalVariation) {
			t.Fatalf("%+v", x)
		}
	}
	g, _ := NewGeneralSums(u.margins)
	if g.UnmarshalBinary(data) == nil {
		b, _ := g.AppendBinary(nil)
		same("general", b)
		other := *g
		other.d, other.v = slices.Clone(g.d), slices.Clone(g.v)
		if x, err := g.Finish(nil, nil); err == nil && math.IsNaN(x.General.Statistic+x.General.P+x.Linear.Statistic+x.Linear.LnP) {
			t.Fatalf("%+v", x)
		}
		if err := g.Merge(&other); err != nil && !errors.Is(err, ErrOverflow) {
			t.Fatal(err)
		}
	}
}

func exercisePartial(t *testing.T, u *Table, data []byte, same func(string, []byte)) {
	var p Partial
	if p.UnmarshalBinary(data) != nil {
		return
	}
	b, _ := p.MarshalBinary()
	same("partial", b)
	f := u.Frame()
	p.digest = f.whole.Digest // as if the margins were the table's
	for range 2 {
		for _, finish := range []func(*Partial) (Result, error){f.ChiSquare, f.GTest,
			func(p *Partial) (Result, error) { return f.PowerDivergence(p, KindCressieRead) },
			func(p *Partial) (Result, error) { return f.PowerDivergence(p, KindNeyman) }} {
			if r, err := finish(&p); err == nil && (math.IsNaN(r.Statistic) || math.IsNaN(r.P) || math.IsNaN(r.LnP) || math.IsNaN(r.Effect.Value)) {
				t.Fatalf("%+v", r)
			}
		}
		if a, err := f.Association(&p, NewMaxima(u.rows, u.cols)); err == nil && math.IsNaN(a.CramersV.Value+a.MutualInfo.Value+a.TheilsUSymmetric.Value) {
			t.Fatalf("%+v", a)
		}
		if cols, rows, err := f.Tau(&p); err == nil && (math.IsNaN(cols.Value) || math.IsNaN(rows.Value)) {
			t.Fatal(cols, rows)
		}
		other := p
		other.sums = append([]Sum(nil), p.sums...)
		if err := p.Merge(&other); err != nil {
			t.Fatal(err)
		}
	}
}
