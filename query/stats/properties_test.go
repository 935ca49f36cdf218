package stats

import (
	"math"
	"math/big"
	"math/rand/v2"
	"slices"
	"testing"
)

// bigLn is the natural logarithm to about 290 bits: x = m·2^e, and ln m by the series of atanh.
func bigLn(x *big.Float) *big.Float {
	const prec = 320
	series := func(m *big.Float) *big.Float {
		one := big.NewFloat(1).SetPrec(prec)
		y := new(big.Float).SetPrec(prec).Quo(new(big.Float).SetPrec(prec).Sub(m, one), new(big.Float).SetPrec(prec).Add(m, one))
		square := new(big.Float).SetPrec(prec).Mul(y, y)
		sum, power := new(big.Float).SetPrec(prec), new(big.Float).SetPrec(prec).Set(y)
		for k := 1; k < 220; k += 2 {
			sum.Add(sum, new(big.Float).SetPrec(prec).Quo(power, new(big.Float).SetInt64(int64(k))))
			power.Mul(power, square)
		}
		return sum.Mul(sum, big.NewFloat(2))
	}
	m := new(big.Float).SetPrec(prec)
	e := x.MantExp(m)
	ln2 := series(new(big.Float).SetPrec(prec).SetInt64(2))
	return ln2.Add(ln2.Mul(ln2, new(big.Float).SetInt64(int64(e))), series(m))
}

func twinInt(v uint64) *big.Int { return new(big.Int).SetUint64(v) }

// twin computes X², G and Freeman and Tukey's statistic with math/big only.
func twin(t *Table) (x2, g, ft float64) {
	d := t.reduced()
	n := twinInt(d.n)
	chi := new(big.Rat)
	gs := new(big.Float).SetPrec(320)
	fs := new(big.Float).SetPrec(320)
	for i := range d.r {
		for j := range d.c {
			o := twinInt(d.row(i)[j])
			rc := new(big.Int).Mul(twinInt(d.rows[i]), twinInt(d.cols[j]))
			diff := new(big.Int).Sub(new(big.Int).Mul(n, o), rc)
			chi.Add(chi, new(big.Rat).SetFrac(diff.Mul(diff, diff), new(big.Int).Mul(n, rc)))
			expected := new(big.Float).SetPrec(320).SetRat(new(big.Rat).SetFrac(rc, n))
			of := new(big.Float).SetPrec(320).SetInt(o)
			root := new(big.Float).SetPrec(320).Sub(new(big.Float).SetPrec(320).Sqrt(of), new(big.Float).SetPrec(320).Sqrt(expected))
			fs.Add(fs, root.Mul(root, root))
			if o.Sign() > 0 {
				ratio := new(big.Float).SetPrec(320).Quo(of, expected)
				gs.Add(gs, ratio.Mul(bigLn(ratio), of))
			}
		}
	}
	x2, _ = chi.Float64()
	g, _ = gs.Mul(gs, big.NewFloat(2)).Float64()
	ft, _ = fs.Mul(fs, big.NewFloat(4)).Float64()
	return x2, g, ft
}

// anyTable has counts of every size up to 2⁶³−1, zeros, and often rows in proportion to each other.
func anyTable(r *rand.Rand) *Table {
	for {
		rows, cols := 1+r.IntN(5), 1+r.IntN(5)
		cells := make([]int64, rows*cols)
		size := r.IntN(64)
		for k := range cells {
			if r.IntN(5) > 0 {
				cells[k] = int64(r.Uint64() >> 1 >> (63 - min(size, 63)) >> r.IntN(1+size/3))
			}
			if rows > 1 && k >= cols && r.IntN(2) == 0 {
				cells[k] = cells[k-cols] // near independence
			}
		}
		if t, err := NewTable(rows, cols, cells); err == nil && t.N() > 0 {
			return t
		}
	}
}

func near(got, want, rel float64) bool {
	return got == want || math.Abs(got-want) <= rel*math.Abs(want)
}

// TestBigTwin compares with an implementation in math/big that has no shortcut.
func TestBigTwin(t *testing.T) {
	r := rand.New(rand.NewPCG(11, 12))
	for range 400 {
		u := anyTable(r)
		x2, g, ft := twin(u)
		chi, _ := ChiSquare(u)
		like, _ := GTest(u)
		free, _ := PowerDivergence(u, -0.5)
		if !near(chi.Statistic, x2, 2e-15) || !near(like.Statistic, g, 2e-14) || !near(free.Statistic, ft, 5e-15) {
			t.Fatalf("table %v %v: X² %v want %v, G %v want %v, FT %v want %v", u.rows, u.dense, chi.Statistic, x2, like.Statistic, g, free.Statistic, ft)
		}
	}
}

// permuted is t with rows and columns in another order.
func permuted(r *rand.Rand, t *Table) *Table {
	rows, cols := r.Perm(t.rows), r.Perm(t.cols)
	cells := make([]int64, len(t.dense))
	t.each(func(i, j int, o uint64) { cells[rows[i]*t.cols+cols[j]] = int64(o) })
	u, err := NewTable(t.rows, t.cols, cells)
	if err != nil {
		panic(err)
	}
	return u
}

// fingerprint lists the bits of every symmetric statistic of a table.
func fingerprint(t *Table) (bits []uint64) {
	add := func(xs ...float64) {
		for _, x := range xs {
			bits = append(bits, math.Float64bits(x))
		}
	}
	result := func(r Result, err error) {
		if err != nil {
			panic(err)
		}
		add(r.Statistic, r.P, r.LnP, r.MinExpected, r.Effect.Value)
	}
	result(ChiSquare(t))
	result(GTest(t))
	result(GWilliams(t))
	for _, lambda := range []float64{2. / 3, -0.5, -1, -2, 0.1} {
		result(PowerDivergence(t, lambda))
	}
	a, err := Associations(t)
	if err != nil {
		panic(err)
	}
	for _, m := range []Measure{a.Phi, a.CramersV, a.CramersVCorrected, a.TschuprowT, a.ContingencyC, a.MutualInfo, a.EntropyJoint,
		a.TheilsUSymmetric, a.LambdaSymmetric} {
		add(m.Value)
	}
	return bits
}

// directed lists the bits of the measures with a direction.
func directed(t *Table) []uint64 {
	a, _ := Associations(t)
	b := []uint64{}
	for _, m := range []Measure{a.TauColGivenRow, a.TheilsUColGivenRow, a.LambdaColGivenRow, a.TauRowGivenCol, a.TheilsURowGivenCol, a.LambdaRowGivenCol} {
		b = append(b, math.Float64bits(m.Value))
	}
	return b
}

func equalBits(a, b []uint64) bool {
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return len(a) == len(b)
}

// TestSameBitsPermutedTransposedSparse: order, orientation and storage of a table change no bit.
func TestSameBitsPermutedTransposedSparse(t *testing.T) {
	r := rand.New(rand.NewPCG(13, 14))
	for range 150 {
		u := anyTable(r)
		want := fingerprint(u)
		for name, v := range map[string]*Table{"permuted": permuted(r, u), "transposed": u.Transpose(), "sparse": sparseOf(u),
			"transposed sparse": sparseOf(u).Transpose()} {
			if got := fingerprint(v); !equalBits(got, want) {
				t.Fatalf("%s: %x, want %x, table %v %v", name, got, want, u.rows, u.dense)
			}
		}
		d, e := directed(u), directed(u.Transpose())
		if !equalBits(append(d[3:6:6], d[:3]...), e) {
			t.Fatalf("directed measures do not follow a transposition: %x and %x", d, e)
		}
	}
}

// splitPartial hands the cells to several holders, each with its own numbering, and merges in any order through the
// encoding.
func splitPartial(t *testing.T, r *rand.Rand, u *Table, kinds Kinds) *Partial {
	whole := u.Margins().Whole()
	holders := make([]Triples, 1+r.IntN(6))
	u.each(func(i, j int, o uint64) {
		h := &holders[r.IntN(len(holders))]
		h.Row, h.Col, h.Count = append(h.Row, uint32(i)), append(h.Col, uint32(j)), append(h.Count, int64(o))
	})
	var merged *Partial
	for _, k := range r.Perm(len(holders)) {
		rowTo, colTo := r.Perm(u.rows), r.Perm(u.cols)
		rows, cols := make([]uint64, u.rows), make([]uint64, u.cols)
		for i, to := range rowTo {
			rows[to] = u.margins.Rows[i]
		}
		for j, to := range colTo {
			cols[to] = u.margins.Cols[j]
		}
		f, err := NewFrame(u.N(), rows, cols, whole)
		if err != nil {
			t.Fatal(err)
		}
		h := holders[k]
		for c := range h.Count {
			h.Row[c], h.Col[c] = uint32(rowTo[h.Row[c]]), uint32(colTo[h.Col[c]])
		}
		p := NewPartial(f, kinds)
		addSomehow(r, p, f, h)
		b, _ := p.MarshalBinary()
		q := &Partial{}
		if err := q.UnmarshalBinary(b); err != nil {
			t.Fatal(err)
		}
		if merged == nil {
			merged = q
		} else if err := merged.Merge(q); err != nil {
			t.Fatal(err)
		}
	}
	return merged
}

// TestPartialAllocatesNothing: a partial takes cells a million times a second.
func TestPartialAllocatesNothing(t *testing.T) {
	u := sparseOf(randomTable(rand.New(rand.NewPCG(35, 36)), 3, 40, 50))
	for _, small := range []bool{true, false} {
		f := *u.frame
		f.small = small
		p := NewPartial(&f, allKinds)
		if n := testing.AllocsPerRun(10, func() {
			p.AddCells(&f, u.sparse)
			p.AddInRow(&f, 1, u.sparse.Col[:20], u.sparse.Count[:20])
			p.AddInCol(&f, 1, u.sparse.Row[:20], u.sparse.Count[:20])
		}); n != 0 {
			t.Errorf("%v allocations", n)
		}
	}
}

// addSomehow adds cells as triples, by rows or by columns.
func addSomehow(r *rand.Rand, p *Partial, f *Frame, c Triples) {
	add, lines, codes, stays := p.AddInRow, len(f.rows), c.Col, c.Row
	switch r.IntN(3) {
	case 0:
		p.AddCells(f, c)
		return
	case 1:
		add, lines, codes, stays = p.AddInCol, len(f.cols), c.Row, c.Col
	}
	for line := range uint32(lines) {
		var others []uint32
		var counts []int64
		for k := range c.Count {
			if stays[k] == line {
				others, counts = append(others, codes[k]), append(counts, c.Count[k])
			}
		}
		add(f, line, others, counts)
	}
}

// TestPartialAnySplitSameBytes: partials of any split, merged in any order, have the bytes of the whole table's partial.
func TestPartialAnySplitSameBytes(t *testing.T) {
	r := rand.New(rand.NewPCG(15, 16))
	for range 150 {
		u := anyTable(r)
		p := NewPartial(u.Frame(), allKinds)
		p.AddTable(u.Frame(), u)
		want, _ := p.MarshalBinary()
		got, _ := splitPartial(t, r, u, allKinds).MarshalBinary()
		if string(got) != string(want) {
			t.Fatalf("bytes differ for table %v %v", u.rows, u.dense)
		}
	}
}

// TestFinishedFromParts: the four finishes give the one-call results.
func TestFinishedFromParts(t *testing.T) {
	r := rand.New(rand.NewPCG(17, 18))
	for range 50 {
		u := anyTable(r)
		p, f := splitPartial(t, r, u, allKinds), u.Frame()
		check := func(name string, got Result, err error, want Result) {
			t.Helper()
			if err != nil || got.Statistic != want.Statistic || got.LnP != want.LnP || got.Effect != want.Effect {
				t.Fatalf("%s: %+v, %v, want %+v", name, got, err, want)
			}
		}
		chi, err := f.ChiSquare(p)
		want, _ := ChiSquare(u)
		check("X²", chi, err, want)
		g, err := f.GTest(p)
		want, _ = GTest(u)
		check("G", g, err, want)
		for k, lambda := range map[Kinds]float64{KindCressieRead: 2. / 3, KindFreemanTukey: -0.5, KindModifiedG: -1, KindNeyman: -2} {
			d, err := f.PowerDivergence(p, k)
			want, _ = PowerDivergence(u, lambda)
			check(want.Method, d, err, want)
		}
		cols, rows, err := f.Tau(p)
		a, _ := Associations(u)
		if err != nil || cols.Value != a.TauColGivenRow.Value || rows.Value != a.TauRowGivenCol.Value {
			t.Fatalf("τ: %v %v %v", cols, rows, err)
		}
	}
}

// TestMarginsInAnyOrder: margins merge by place, in any split, to the same digest.
func TestMarginsInAnyOrder(t *testing.T) {
	r := rand.New(rand.NewPCG(19, 20))
	for range 50 {
		u := anyTable(r)
		merged := &Margins{}
		rowTo, colTo := r.Perm(u.rows), r.Perm(u.cols)
		for i := range u.rows {
			one := NewMargins(1, u.cols)
			if err := one.AddRow(0, u.dense[i*u.cols:(i+1)*u.cols]); err != nil {
				t.Fatal(err)
			}
			if err := merged.Place(one, rowTo[i:i+1], colTo); err != nil {
				t.Fatal(err)
			}
		}
		if MarginsDigest(merged) != MarginsDigest(u.Margins()) {
			t.Fatal("digest depends on order")
		}
		b, _ := merged.MarshalBinary()
		var back Margins
		if err := back.UnmarshalBinary(b); err != nil || MarginsDigest(&back) != MarginsDigest(merged) {
			t.Fatal("decoded margins differ", err)
		}
	}
}

// TestIndependenceIsExactlyZero: a table of products has statistic 0, p 1 and ln p 0, at any size.
func TestIndependenceIsExactlyZero(t *testing.T) {
	r := rand.New(rand.NewPCG(21, 22))
	for range 300 {
		rows, cols := 2+r.IntN(4), 2+r.IntN(4)
		a, b := make([]int64, rows), make([]int64, cols)
		for i := range a {
			a[i] = 1 + r.Int64N(1<<r.IntN(29))
		}
		for j := range b {
			b[j] = 1 + r.Int64N(1<<r.IntN(29))
		}
		cells := make([]int64, rows*cols)
		for k := range cells {
			cells[k] = a[k/cols] * b[k%cols]
		}
		u, err := NewTable(rows, cols, cells)
		if err != nil {
			t.Fatal(err)
		}
		for _, test := range []func(*Table) (Result, error){ChiSquare, GTest, GWilliams,
			func(t *Table) (Result, error) { return PowerDivergence(t, -2) }, func(t *Table) (Result, error) { return PowerDivergence(t, -0.5) },
			func(t *Table) (Result, error) { return LinearByLinear(t, nil, nil) }} {
			if r, err := test(u); err != nil || r.Statistic != 0 || r.P != 1 || r.LnP != 0 {
				t.Fatalf("%+v %v for %v", r, err, cells)
			}
		}
	}
}

// TestScaling: k times the counts gives k times the statistic, and the same V.
func TestScaling(t *testing.T) {
	r := rand.New(rand.NewPCG(23, 24))
	for range 100 {
		u := randomTable(r, 2+r.IntN(4), 2+r.IntN(4), 50)
		k := int64(2 + r.IntN(1000))
		cells := make([]int64, len(u.dense))
		for i, o := range u.dense {
			cells[i] = k * o
		}
		v, _ := NewTable(u.rows, u.cols, cells)
		for _, test := range []func(*Table) (Result, error){ChiSquare, GTest} {
			a, _ := test(u)
			b, _ := test(v)
			if !near(b.Statistic, float64(k)*a.Statistic, 1e-14) || !near(b.CramersV().Value, a.CramersV().Value, 1e-14) {
				t.Fatalf("%v·%v is not %v", k, a.Statistic, b.Statistic)
			}
		}
	}
}

// TestGIsAdditive: G of a table is G with two columns joined and G within these columns.
func TestGIsAdditive(t *testing.T) {
	r := rand.New(rand.NewPCG(25, 26))
	for range 100 {
		u := randomTable(r, 2+r.IntN(4), 3+r.IntN(3), 30)
		joined, within := make([]int64, 0), make([]int64, 0)
		for i := range u.rows {
			row := u.dense[i*u.cols : (i+1)*u.cols]
			within = append(within, row[:2]...)
			joined = append(joined, row[0]+row[1])
			joined = append(joined, row[2:]...)
		}
		a, _ := NewTable(u.rows, u.cols-1, joined)
		b, _ := NewTable(u.rows, 2, within)
		g, _ := GTest(u)
		ga, _ := GTest(a)
		gb, _ := GTest(b)
		if !near(ga.Statistic+gb.Statistic, g.Statistic, 1e-13) {
			t.Fatalf("%v + %v is not %v", ga.Statistic, gb.Statistic, g.Statistic)
		}
	}
}

// TestStrataOrder: strata in another order, and strata that say nothing, change a stratified test by rounding at most.
func TestStrataOrder(t *testing.T) {
	r := rand.New(rand.NewPCG(27, 28))
	for range 50 {
		tables := make([]*Table, 2+r.IntN(5))
		for k := range tables {
			tables[k] = randomTable(r, 2, 2, 20)
		}
		s, _ := NewStrata(tables...)
		r.Shuffle(len(tables), func(i, j int) { tables[i], tables[j] = tables[j], tables[i] })
		single, _ := NewTable(2, 2, []int64{1, 0, 0, 0})
		v, _ := NewStrata(append(tables, single)...)
		for _, test := range []func(*Strata) (Result, error){CMH, CMHCorrected, BreslowDay, BreslowDayTarone, Woolf} {
			a, errA := test(s)
			b, errB := test(v)
			if errA != nil || errB != nil || !near(b.Statistic, a.Statistic, 1e-13) || a.DF != b.DF {
				t.Fatalf("%+v and %+v, %v, %v", a, b, errA, errB)
			}
		}
		if m, _ := MantelHaenszel(s, 0.95); m.Defined && !math.IsInf(m.Value, 1) {
			w, _ := MantelHaenszel(v, 0.95)
			if !near(w.Value, m.Value, 1e-14) {
				t.Fatal(m, w)
			}
		}
	}
}

// TestOrdinalReversed: with the columns reversed every ordinal measure changes its sign.
func TestOrdinalReversed(t *testing.T) {
	r := rand.New(rand.NewPCG(29, 30))
	for range 100 {
		u := anyTable(r)
		cells := make([]int64, len(u.dense))
		u.each(func(i, j int, o uint64) { cells[i*u.cols+u.cols-1-j] = int64(o) })
		v, _ := NewTable(u.rows, u.cols, cells)
		a, _ := Ordinal(u)
		b, _ := Ordinal(v)
		if a.Concordant.Cmp(b.Discordant) != 0 || a.Gamma.Value != -b.Gamma.Value || a.TauB.Value != -b.TauB.Value ||
			a.SpearmanRho.Value != -b.SpearmanRho.Value || !near(a.PearsonR.Value, -b.PearsonR.Value, 1e-13) {
			t.Fatalf("%+v\n%+v", a, b)
		}
	}
}

// TestJonckheereVariance lists every way to deal the responses to the groups.
func TestJonckheereVariance(t *testing.T) {
	groups, responses := []int{0, 0, 1, 1, 2}, []int{0, 0, 1, 2, 2}
	var sum, squares, count float64
	var deal func(k int, order []int)
	seen := make([]bool, len(responses))
	deal = func(k int, order []int) {
		if k == len(groups) {
			j := 0.0
			for a := range groups {
				for b := range groups {
					if groups[a] < groups[b] {
						switch {
						case order[a] < order[b]:
							j++
						case order[a] == order[b]:
							j += 0.5
						}
					}
				}
			}
			sum, squares, count = sum+j, squares+j*j, count+1
			return
		}
		for i := range responses {
			if !seen[i] {
				seen[i] = true
				deal(k+1, append(order, responses[i]))
				seen[i] = false
			}
		}
	}
	deal(0, nil)
	mean := sum / count
	variance := squares/count - mean*mean
	u, _ := NewTable(3, 3, []int64{2, 0, 0, 0, 1, 1, 0, 0, 1})
	if got := jonckheereVariance(u.reduced()); !near(got, variance, 1e-13) {
		t.Fatalf("variance %v, want %v", got, variance)
	}
	// J = 2·1 + 2·1 + 2·1 + 1 + ½ = 7.5 by hand: all pairs of different groups are ordered but one tie.
	tr, err := JonckheereTerpstra(u)
	if err != nil || !near(tr.Z, (7.5-mean)/math.Sqrt(variance), 1e-13) {
		t.Fatalf("%+v %v, mean %v", tr, err, mean)
	}
}

// TestDivergenceSeriesMeetsFormula: both forms of the power divergence agree where they meet, for any λ.
func TestDivergenceSeriesMeetsFormula(t *testing.T) {
	for _, lambda := range []float64{-0.5, -0.3, -1e-9, 0, 1e-9, 1e-3, 2. / 3, 1, 1.5, 2, 5} {
		for _, d := range []float64{-0.2499, -0.1, 1e-8, 0.1, 0.2499} {
			want := divergenceSeries(lambda, d)
			got := divergenceTerm(lambda, d, 1+d)
			if !near(got, want, 4e-15) {
				t.Errorf("λ=%v d=%v: %v and %v", lambda, d, got, want)
			}
			direct := (float64((1+d)*expm1(lambda*log1p(d))/lambda) - d) / (1 + lambda)
			if lambda != 0 && math.Abs(d) > 0.2 && !near(direct, want, 1e-13) {
				t.Errorf("λ=%v d=%v: formula %v, series %v", lambda, d, direct, want)
			}
		}
	}
}

// TestFourfoldHasTheBitsOfChiSquare: the short way for 2×2 tables differs from the general one in no bit.
func TestFourfoldHasTheBitsOfChiSquare(t *testing.T) {
	r := rand.New(rand.NewPCG(31, 32))
	for range 20000 {
		cells := make([]int64, 4)
		for k := range cells {
			if r.IntN(4) > 0 {
				cells[k] = int64(r.Uint64() >> 1 >> r.IntN(63))
			}
		}
		f, err := NewFourfold(cells[0], cells[1], cells[2], cells[3])
		if err != nil || f.n == 0 {
			continue
		}
		u, _ := NewTable(2, 2, cells)
		chi, _ := ChiSquare(u)
		if got := f.pearson(); got != chi.Statistic {
			t.Fatalf("%v: %v, want %v", cells, got, chi.Statistic)
		}
	}
}

func BenchmarkChiSquare2x2(b *testing.B) {
	u, _ := NewTable(2, 2, []int64{28, 18, 12, 22})
	b.Run("table", func(b *testing.B) {
		for b.Loop() {
			v, _ := NewTable(2, 2, u.dense)
			if _, err := ChiSquare(v); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("fourfold", func(b *testing.B) {
		f := fourfold(28, 18, 12, 22)
		for b.Loop() {
			if f.pearson() == 0 {
				b.Fatal("0")
			}
		}
	})
}

// TestLongRows: rows longer than a gather, in every kernel, give the same bits.
func TestLongRows(t *testing.T) {
	r := rand.New(rand.NewPCG(33, 34))
	cells := make([]int64, 3*2500)
	for k := range cells {
		cells[k] = int64(r.Uint64() >> (44 + r.IntN(20)))
	}
	cells[17] = 1 << 28 // a term far from the others
	u, err := NewTable(3, 2500, cells)
	if err != nil || !u.frame.small {
		t.Fatal(err, u.N())
	}
	bytes := func(f *Frame, add func(p *Partial)) string {
		p := NewPartial(f, KindPearson|KindG)
		add(p)
		b, _ := p.MarshalBinary()
		return string(b)
	}
	any := *u.frame
	any.small = false
	want := bytes(u.frame, func(p *Partial) { p.AddTable(u.frame, u) })
	if got := bytes(&any, func(p *Partial) { p.AddTable(&any, u) }); got != want {
		t.Error("the kernel for any size differs from the one for small tables")
	}
	if s := sparseOf(u); bytes(s.frame, func(p *Partial) { p.AddTable(s.frame, s) }) != want {
		t.Error("triples differ from rows")
	}
	c := sparseOf(u).sparse
	for _, f := range []*Frame{u.frame, &any} {
		if got := bytes(f, func(p *Partial) {
			for i := range uint32(3) {
				from, _ := slices.BinarySearch(c.Row, i)
				to, _ := slices.BinarySearch(c.Row, i+1)
				p.AddInRow(f, i, c.Col[from:to], c.Count[from:to])
			}
		}); got != want {
			t.Error("cells of a row differ from a row")
		}
	}
}
