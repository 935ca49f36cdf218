package stats

import (
	"bytes"
	"errors"
	"math"
	"math/rand/v2"
	"testing"
)

// mergeable is what the shares of the second phase have in common.
type mergeable[T any] interface {
	Merge(T) error
	AppendBinary([]byte) ([]byte, error)
	UnmarshalBinary([]byte) error
}

// mergedAnyhow hands items to a few holders, sends each share through its encoding and merges in any order.
func mergedAnyhow[T mergeable[T], I any](t *testing.T, r *rand.Rand, empty func() T, items []I, add func(T, I)) T {
	t.Helper()
	holders := make([]T, 1+r.IntN(5))
	for k := range holders {
		holders[k] = empty()
	}
	for _, k := range r.Perm(len(items)) {
		add(holders[r.IntN(len(holders))], items[k])
	}
	total := empty()
	for _, k := range r.Perm(len(holders)) {
		b, _ := holders[k].AppendBinary(nil)
		back := empty()
		if err := back.UnmarshalBinary(b); err != nil {
			t.Fatal(err)
		}
		if err := total.Merge(back); err != nil {
			t.Fatal(err)
		}
	}
	return total
}

func sameBytes[T mergeable[T]](t *testing.T, what string, a, b T) {
	t.Helper()
	x, _ := a.AppendBinary(nil)
	y, _ := b.AppendBinary(nil)
	if !bytes.Equal(x, y) {
		t.Fatalf("%s: the bytes of a share depend on how it was split", what)
	}
}

// anyFourfold has counts of every size.
func anyFourfold(r *rand.Rand) Fourfold {
	c := func() uint64 { return r.Uint64() >> 8 >> r.IntN(56) >> (r.IntN(5) / 4 * 64) }
	return fourfold(c(), c(), c(), c())
}

// TestStrataSumsAnySplit: both rounds over strata have the same bytes and results for any split, order and merging.
func TestStrataSumsAnySplit(t *testing.T) {
	r := rand.New(rand.NewPCG(71, 72))
	for range 60 {
		strata := make([]Fourfold, 1+r.IntN(12))
		for k := range strata {
			strata[k] = anyFourfold(r)
		}
		whole, err := sumStrata(strata)
		if err != nil {
			t.Fatal(err)
		}
		add := func(x *StrataSums, f Fourfold) {
			if err := x.Add(f); err != nil {
				t.Fatal(err)
			}
		}
		x := mergedAnyhow(t, r, func() *StrataSums { return &StrataSums{} }, strata, add)
		sameBytes(t, "strata", x, whole)
		h := NewHomogeneitySums(whole)
		for _, f := range strata {
			h.Add(f)
		}
		merged := mergedAnyhow(t, r, func() *HomogeneitySums { return NewHomogeneitySums(x) }, strata, (*HomogeneitySums).Add)
		sameBytes(t, "homogeneity", merged, h)
		for _, finish := range []func(*HomogeneitySums) (Result, error){x.BreslowDay, x.BreslowDayTarone, x.Woolf} {
			res, err := finish(merged)
			if x.n == 0 {
				if !errors.Is(err, ErrEmpty) {
					t.Fatal(err)
				}
				continue
			}
			checkResult(t, res, err)
		}
	}
}

// TestStrataSumsRefuse: shares that do not belong together.
func TestStrataSumsRefuse(t *testing.T) {
	x, _ := sumStrata([]Fourfold{fourfold(1, 2, 3, 4)})
	y, _ := sumStrata([]Fourfold{fourfold(5, 3, 2, 1)})
	if err := NewHomogeneitySums(x).Merge(NewHomogeneitySums(y)); !errors.Is(err, ErrDigest) {
		t.Error(err)
	}
	for _, finish := range []func(*HomogeneitySums) (Result, error){x.BreslowDay, x.Woolf} {
		if _, err := finish(NewHomogeneitySums(y)); !errors.Is(err, ErrDigest) {
			t.Error(err)
		}
	}
	huge := fourfold(1<<62, 1<<62, 1<<62, 1<<61)
	full, _ := sumStrata([]Fourfold{huge})
	if err := full.Add(huge); !errors.Is(err, ErrOverflow) {
		t.Error(err)
	}
	if err := full.Merge(full); !errors.Is(err, ErrOverflow) || full.strata != 1 {
		t.Error(err)
	}
	if _, err := sumStrata([]Fourfold{huge, huge}); !errors.Is(err, ErrOverflow) {
		t.Error(err)
	}
	if _, err := ExactConditional([]Fourfold{fourfold(1<<63, 0, 0, 0), fourfold(1<<63, 0, 0, 0)}); !errors.Is(err, ErrOverflow) {
		t.Error(err)
	}
	empty := &StrataSums{}
	if _, err := empty.CMH(); !errors.Is(err, ErrEmpty) {
		t.Error(err)
	}
	if _, err := empty.MantelHaenszel(0.9); !errors.Is(err, ErrEmpty) {
		t.Error(err)
	}
	if _, err := x.MantelHaenszel(1); !errors.Is(err, ErrArgument) {
		t.Error(err)
	}
	b, _ := x.AppendBinary(nil)
	b[2] = 0 // no stratum, one of them informative
	if err := empty.UnmarshalBinary(b); !errors.Is(err, ErrEncoding) {
		t.Error(err)
	}
	for _, v := range []interface{ UnmarshalBinary([]byte) error }{&StrataSums{}, &HomogeneitySums{}, &CochranSums{}, &DriftSums{}, &GeneralSums{}} {
		for _, b := range [][]byte{nil, {9}, {1}, {1, 2, 3}} {
			if err := v.UnmarshalBinary(b); !errors.Is(err, ErrEncoding) {
				t.Errorf("%T: %v", v, err)
			}
		}
	}
}

// TestGeneralSumsAnySplit: the same for r×c strata; the results are those of the one call, which are the fixtures'.
func TestGeneralSumsAnySplit(t *testing.T) {
	r := rand.New(rand.NewPCG(73, 74))
	for range 40 {
		rows, cols := 1+r.IntN(4), 1+r.IntN(4)
		tables := make([]*Table, 1+r.IntN(6))
		total := NewMargins(rows, cols)
		for k := range tables {
			tables[k] = randomTable(r, rows, cols, math.Exp2(float64(r.IntN(50)-2)))
			if err := total.Merge(tables[k].margins); err != nil {
				t.Fatal(err)
			}
		}
		if total.N == 0 {
			continue
		}
		empty := func() *GeneralSums {
			g, err := NewGeneralSums(total)
			if err != nil {
				t.Fatal(err)
			}
			return g
		}
		add := func(g *GeneralSums, u *Table) {
			if err := g.Add(u); err != nil {
				t.Fatal(err)
			}
		}
		merged, whole := mergedAnyhow(t, r, empty, tables, add), empty()
		for _, u := range tables {
			add(whole, u)
		}
		sameBytes(t, "general", merged, whole)
		got, err := merged.Finish(nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		s, _ := NewStrata(tables...)
		want, _ := GeneralizedCMH(s, nil, nil)
		for _, pair := range [][2]Result{{got.General, want.General}, {got.RowMeans, want.RowMeans}, {got.ColMeans, want.ColMeans}, {got.Linear, want.Linear}} {
			checkResult(t, pair[0], nil)
			if pair[0].Statistic != pair[1].Statistic || pair[0].DF != pair[1].DF {
				t.Fatalf("%+v, want %+v", pair[0], pair[1])
			}
		}
	}
}

// TestGeneralOf2x2IsCMH: for 2×2 strata all four tests are the Cochran-Mantel-Haenszel test.
func TestGeneralOf2x2IsCMH(t *testing.T) {
	r := rand.New(rand.NewPCG(75, 76))
	for range 40 {
		var tables []*Table
		for range 1 + r.IntN(6) {
			tables = append(tables, randomTable(r, 2, 2, math.Exp2(float64(2+r.IntN(48)))))
		}
		s, _ := NewStrata(tables...)
		want, _ := CMH(s)
		g, err := GeneralizedCMH(s, []int64{3, 7}, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, got := range []Result{g.General, g.RowMeans, g.ColMeans, g.Linear} {
			if !near(got.Statistic, want.Statistic, 1e-13) || got.DF != want.DF {
				t.Fatalf("%+v, want %+v", got, want)
			}
		}
	}
}

func TestGeneralSumsRefuse(t *testing.T) {
	u := mustTable(t, [][]int64{{3, 1}, {2, 4}})
	g, _ := NewGeneralSums(u.margins)
	if err := g.Add(mustTable(t, [][]int64{{3, 1, 1}, {2, 4, 1}})); !errors.Is(err, ErrShape) {
		t.Error(err)
	}
	if err := g.Add(mustTable(t, [][]int64{{9, 1}, {2, 4}})); !errors.Is(err, ErrShape) {
		t.Error("more than the margins have:", err)
	}
	other, _ := NewGeneralSums(mustTable(t, [][]int64{{3, 1}, {4, 2}}).margins)
	if err := g.Merge(other); !errors.Is(err, ErrDigest) {
		t.Error(err)
	}
	b, _ := other.AppendBinary(nil)
	if err := g.UnmarshalBinary(b); !errors.Is(err, ErrDigest) {
		t.Error(err)
	}
	b, _ = g.AppendBinary(nil)
	if err := g.UnmarshalBinary(append(b, 0)); !errors.Is(err, ErrEncoding) {
		t.Error(err)
	}
	if _, err := g.Finish(nil, nil); !errors.Is(err, ErrEmpty) {
		t.Error(err)
	}
	if _, err := g.Finish([]int64{1}, nil); !errors.Is(err, ErrShape) {
		t.Error(err)
	}
	if _, err := g.Finish(nil, []int64{1}); !errors.Is(err, ErrShape) {
		t.Error(err)
	}
	v := mustTable(t, [][]int64{{math.MaxInt64, 1}, {math.MaxInt64, 0}})
	h, _ := NewGeneralSums(v.margins)
	if err := errors.Join(h.Add(v)); err != nil {
		t.Error(err)
	}
	if err := h.Add(v); !errors.Is(err, ErrOverflow) {
		t.Error(err)
	}
	if err := h.Merge(h); !errors.Is(err, ErrOverflow) {
		t.Error(err)
	}
	if _, err := NewGeneralSums(marginsOfOnes(40, 40)); !errors.Is(err, ErrArgument) {
		t.Error(err)
	}
}

// marginsOfOnes has one observation in each cell.
func marginsOfOnes(rows, cols int) *Margins {
	m := NewMargins(rows, cols)
	row := make([]int64, cols)
	for j := range row {
		row[j] = 1
	}
	for i := range rows {
		_ = m.AddRow(i, row)
	}
	return m
}

// TestCochranSumsAnySplit: subjects may be counted by anyone, also those of one pattern.
func TestCochranSumsAnySplit(t *testing.T) {
	r := rand.New(rand.NewPCG(77, 78))
	for range 40 {
		k := 1 + r.IntN(5)
		type subjects struct {
			pattern []bool
			count   int64
		}
		var items []subjects
		var patterns [][]bool
		var counts []int64
		for range 1 + r.IntN(10) {
			s := subjects{make([]bool, k), r.Int64() >> 8 >> r.IntN(55)}
			for j := range s.pattern {
				s.pattern[j] = r.IntN(2) == 0
			}
			items = append(items, s, s) // a pattern twice
			patterns, counts = append(patterns, s.pattern), append(counts, 2*s.count)
		}
		x := mergedAnyhow(t, r, func() *CochranSums { return NewCochranSums(k) }, items, func(x *CochranSums, s subjects) {
			if err := x.Add(s.pattern, s.count); err != nil {
				t.Fatal(err)
			}
		})
		got, err := x.CochranQ()
		want, _ := CochranQ(patterns, counts)
		if err == nil && (got.Statistic != want.Statistic || got.DF != want.DF || got.N != want.N) {
			t.Fatalf("%+v, want %+v", got, want)
		}
	}
}

func TestCochranSumsRefuse(t *testing.T) {
	x := NewCochranSums(2)
	yes := []bool{true, false}
	for _, c := range []struct {
		got, want error
	}{{x.Add([]bool{true}, 1), ErrShape}, {x.Add(yes, -1), ErrNegative}, {x.Merge(NewCochranSums(3)), ErrShape},
		{x.Add(yes, math.MaxInt64), nil}, {x.Add(yes, math.MaxInt64), nil}, {x.Add(yes, math.MaxInt64), ErrOverflow}, {x.Merge(x), ErrOverflow},
		{second(CochranQ([][]bool{yes}, []int64{-1})), ErrNegative}, {second(CochranQ(nil, nil)), ErrEmpty}} {
		if !errors.Is(c.got, c.want) {
			t.Errorf("%v, want %v", c.got, c.want)
		}
	}
	b, _ := x.AppendBinary(nil)
	b[len(b)-1] = 0x80 // Σ L(k − L) below 0
	if err := x.UnmarshalBinary(b); !errors.Is(err, ErrEncoding) {
		t.Error(err)
	}
}

// TestDriftSumsAnySplit: categories may be on any holder.
func TestDriftSumsAnySplit(t *testing.T) {
	r := rand.New(rand.NewPCG(79, 80))
	for range 60 {
		a, b := make([]int64, 1+r.IntN(9)), []int64(nil)
		pairs := make([][2]uint64, len(a))
		for j := range a {
			a[j], b = r.Int64()>>8>>r.IntN(60), append(b, r.Int64()>>8>>r.IntN(60))
			pairs[j] = [2]uint64{uint64(a[j]), uint64(b[j])}
		}
		left, right := countsOf(t, a...), countsOf(t, b...)
		x := mergedAnyhow(t, r, func() *DriftSums { return NewDriftSums(left.n, right.n) }, pairs, func(x *DriftSums, c [2]uint64) { x.Add(c[0], c[1]) })
		got, err := x.Drift()
		want, wantErr := DriftBetween(left, right)
		if got != want || !errors.Is(err, wantErr) {
			t.Fatalf("%+v %v, want %+v %v", got, err, want, wantErr)
		}
	}
	if err := NewDriftSums(1, 2).Merge(NewDriftSums(1, 3)); !errors.Is(err, ErrDigest) {
		t.Error(err)
	}
}

// TestWeightsOfEvidenceMakeTheInformationValue: Σ (p − q)·WoE is the PSI.
func TestWeightsOfEvidenceMakeTheInformationValue(t *testing.T) {
	u := mustTable(t, [][]int64{{50, 30, 20, 1}, {10, 30, 60, 9}})
	w, err := WeightsOfEvidence(u)
	if err != nil {
		t.Fatal(err)
	}
	sum := 0.0
	for j, m := range w {
		sum += (float64(u.At(0, j))/101 - float64(u.At(1, j))/109) * m.Value
	}
	d, _ := DriftOf(u)
	wantClose(t, "information value", sum, d.PSI, 1e-13)
	wantClose(t, "weight", w[3].Value, math.Log(1./101/(9./109)), 1e-14)
	edges, err := WeightsOfEvidence(mustTable(t, [][]int64{{0, 3, 0}, {2, 0, 0}}))
	if err != nil || !math.IsInf(edges[0].Value, -1) || !math.IsInf(edges[1].Value, 1) || edges[2].Defined {
		t.Error(edges, err)
	}
	if _, err := WeightsOfEvidence(mustTable(t, [][]int64{{1}, {1}, {1}})); !errors.Is(err, ErrShape) {
		t.Error(err)
	}
	if _, err := WeightsOfEvidence(mustTable(t, [][]int64{{1}, {0}})); !errors.Is(err, ErrEmpty) {
		t.Error(err)
	}
}

// TestFixedAgreesWithSum: where nothing lies below the unit both are exact.
func TestFixedAgreesWithSum(t *testing.T) {
	r := rand.New(rand.NewPCG(81, 82))
	for range 300 {
		var z fixed
		var s Sum
		for range 20 {
			x := math.Ldexp(r.Float64()-0.5, r.IntN(180)-100)
			z.add(x)
			s.Add(x)
		}
		if z.wide().float() != s.Float() {
			t.Fatalf("%v, want %v", z.wide().float(), s.Float())
		}
	}
	var z fixed
	z.add(0x1p-193)
	z.add(0)
	z.add(math.SmallestNonzeroFloat64)
	if z != (fixed{}) {
		t.Error("what lies below the unit is left out")
	}
}
