package stats

import (
	"errors"
	"math"
	"math/big"
	"math/rand/v2"
	"testing"
)

// fisherTwin is the two-sided p-value by whole numbers.
func fisherTwin(f Fourfold) float64 {
	h := newHypergeometric(f)
	weight := func(k uint64) *big.Int {
		x := new(big.Int).Binomial(int64(f.r1), int64(k))
		return x.Mul(x, new(big.Int).Binomial(int64(f.r2), int64(f.c1-k)))
	}
	observed, sum, all := weight(f.a), new(big.Int), new(big.Int)
	for k := h.lo; k <= h.hi; k++ {
		w := weight(k)
		all.Add(all, w)
		if w.Cmp(observed) <= 0 {
			sum.Add(sum, w)
		}
	}
	p, _ := new(big.Rat).SetFrac(sum, all).Float64()
	return p
}

func TestFisherAgainstWholeNumbers(t *testing.T) {
	r := rand.New(rand.NewPCG(8, 9))
	for range 3000 {
		size := uint64(2) << r.IntN(7)
		f := fourfold(r.Uint64N(size), r.Uint64N(size), r.Uint64N(size), r.Uint64N(size))
		if f.n == 0 {
			continue
		}
		e, err := Fisher(f)
		if err != nil {
			t.Fatal(err)
		}
		wantClose(t, "p", e.P, fisherTwin(f), 1e-11)
	}
}

// Ties that are no mirror images are found among small margins by search, so that exactness is tested where symmetry does
// not help.
func TestFisherTiesWithoutSymmetry(t *testing.T) {
	found := 0
	for r1 := uint64(1); r1 < 16; r1++ {
		for r2 := uint64(1); r2 < 16; r2++ {
			for c1 := uint64(1); c1 < r1+r2; c1++ {
				h := newHypergeometric(fourfold(0, r1, 0, r2))
				h.at = Fourfold{r1: r1, r2: r2, c1: c1, c2: r1 + r2 - c1, n: r1 + r2}
				h.lo, h.hi = 0, min(r1, c1)
				if c1 > r2 {
					h.lo = c1 - r2
				}
				for k := h.lo; k <= h.hi; k++ {
					for j := k + 1; j <= h.hi; j++ {
						x, y := h.table(j), h.table(k)
						if math.Abs(x.lnProb()-y.lnProb()) < 1e-9 && !sameCells(x, y) && h.compareExactly(j, k) == 0 {
							found++
							e, _ := Fisher(y)
							wantClose(t, "p", e.P, fisherTwin(y), 1e-12)
							if found%8 == 0 && compareFactorials(x, y) != 0 {
								t.Errorf("%v and %v tie by whole numbers and not by logarithms", x, y)
							}
						}
					}
				}
			}
		}
	}
	if found < 10 {
		t.Errorf("only %d ties", found)
	}
}

func TestCompareFactorialsAgreesWithWholeNumbers(t *testing.T) {
	h := newHypergeometric(fourfold(5000, 7000, 6000, 9000))
	for _, pair := range [][2]uint64{{4900, 5000}, {5000, 4900}, {4000, 5100}, {5000, 5000}, {10, 10900}} {
		j, k := pair[0], pair[1]
		if got, want := compareFactorials(h.table(j), h.table(k)), h.compareExactly(j, k); got != want {
			t.Errorf("tables %d and %d: %d by logarithms, %d by whole numbers", j, k, got, want)
		}
	}
	// Far apart: whole numbers would be too long.
	big := newHypergeometric(fourfold(4e9, 4e9, 4e9, 4e9+7))
	m := big.mode()
	if big.compareExactly(m+30_000, m-20_000) >= 0 || big.compareExactly(m-20_000, m+30_000) <= 0 {
		t.Error("the nearer of two tables far from the mode is the more probable")
	}
}

func TestBigLog(t *testing.T) {
	for _, x := range []float64{0.5, 0.75, 1, 2, 3, 1e10, 1e-10} {
		got, _ := bigLog(newBig(x)).Float64()
		if math.Abs(got-math.Log(x)) > 1e-15*math.Max(1, math.Abs(got)) {
			t.Errorf("ln %v = %v, want %v", x, got, math.Log(x))
		}
	}
	if b := bernoulliTerm(1); b.Cmp(big.NewRat(1, 12)) != 0 {
		t.Error(b)
	}
	if b := bernoulliTerm(2); b.Cmp(big.NewRat(-1, 360)) != 0 {
		t.Error(b)
	}
}

// Sums and integrals of tails meet where one takes over from the other.
func TestTailIntegralAgreesWithSum(t *testing.T) {
	f := fourfold(2_000_000_000, 2_000_100_000, 2_000_000_000, 2_000_000_000)
	h := newHypergeometric(f)
	for _, lnPsi := range []float64{0, 1e-4, -2e-4} {
		h.lnPsi = lnPsi
		m := h.mode()
		for _, k := range []uint64{m, m + 40_000, m + 100_000, m - 50_000} {
			up := k >= m
			h.at = f
			integral, mean := h.tailIntegral(k, up)
			sum, first := slowTail(h, k, up)
			wantClose(t, "sum", integral, sum, 1e-10)
			wantClose(t, "mean", mean, first, 1e-8)
		}
	}
}

func slowTail(h hypergeometric, k uint64, up bool) (sum, mean float64) {
	a, b, c, d := h.table(k).floats()
	psi, sign := exp(h.lnPsi), 1.0
	if !up {
		a, b, c, d, psi, sign = b, a, d, c, exp(-h.lnPsi), -1
	}
	w, first := 1.0, 0.0
	sum = 1
	for j := 1.0; w > 1e-20; j++ {
		w *= b / (a + 1) * (c / (d + 1)) * psi
		a, b, c, d = a+1, b-1, c-1, d+1
		sum += w
		first += j * w
	}
	return sum, sign * first / sum
}

func TestFisherDegenerate(t *testing.T) {
	if _, err := Fisher(Fourfold{}); !errors.Is(err, ErrEmpty) {
		t.Error(err)
	}
	if _, err := TwoProportionZ(Fourfold{}); !errors.Is(err, ErrEmpty) {
		t.Error(err)
	}
	e, err := Fisher(fourfold(3, 4, 0, 0))
	if err != nil || e.P != 1 || e.MidP != 0.5 || e.Central != 1 {
		t.Errorf("%+v %v", e, err)
	}
	empty := fourfold(0, 0, 3, 4)
	for _, m := range []Measure{empty.OddsRatio(0.95), empty.LnOddsRatio(), empty.YulesQ(), empty.RiskRatio(0.95), empty.RiskDifference(0.95, Wald),
		empty.NumberNeededToTreat(), empty.ConditionalOddsRatio(0.95), fourfold(0, 3, 0, 4).RiskRatio(0.95)} {
		if m.Defined {
			t.Errorf("%+v is defined", m)
		}
	}
	if rr := fourfold(2, 3, 0, 4).RiskRatio(0.95); !math.IsInf(rr.Value, 1) {
		t.Error(rr)
	}
	if rr := fourfold(0, 3, 2, 4).RiskRatio(0.95); rr.Value != 0 || !rr.Defined {
		t.Error(rr)
	}
	if q := fourfold(0, 3, 2, 4).YulesQ(); q.Value != -1 {
		t.Error(q)
	}
	if q := fourfold(3, 0, 2, 4).YulesY(); q.Value != 1 {
		t.Error(q)
	}
	if or := fourfold(1, 1, 1, 1).ConditionalOddsRatio(0); or.Level != 0 || math.Abs(or.Value-1) > 1e-12 {
		t.Error(or)
	}
	if Fourfold.minExpected(Fourfold{}) != 0 || fourfold(1, 2, 3, 4).N() != 10 {
		t.Error("margins")
	}
	if a, b, c, d := fourfold(1, 2, 3, 4).Counts(); a+10*b+100*c+1000*d != 4321 {
		t.Error(a, b, c, d)
	}
}

func TestNewFourfoldRefuses(t *testing.T) {
	if _, err := NewFourfold(1, -1, 0, 0); !errors.Is(err, ErrNegative) {
		t.Error(err)
	}
	if _, err := NewFourfold(math.MaxInt64, math.MaxInt64, math.MaxInt64, 0); !errors.Is(err, ErrOverflow) {
		t.Error(err)
	}
	if _, err := mustTable(t, [][]int64{{1, 2, 3}}).Fourfold(); !errors.Is(err, ErrShape) {
		t.Error(err)
	}
}

// Miettinen & Nurminen by the definition: each limit is where the score statistic reaches z. R PropCIs::diffscoreci gives the
// same but for its factor n/(n−1).
func TestMiettinenNurminenLimits(t *testing.T) {
	for _, f := range []Fourfold{fourfold(56, 14, 48, 32), fourfold(9, 1, 3, 7), fourfold(10, 0, 0, 20), fourfold(5, 51, 0, 29)} {
		m := f.RiskDifference(0.95, MiettinenNurminen)
		if !(m.Low <= m.Value && m.Value <= m.High && m.Low >= -1 && m.High <= 1) {
			t.Fatalf("%+v", m)
		}
		for _, delta := range []float64{m.Low, m.High} {
			if delta <= -1+1e-9 || delta >= 1-1e-9 {
				continue
			}
			p2 := f.constrainedShare(delta)
			p1 := p2 + delta
			n := float64(f.n)
			v := (p1*(1-p1)/float64(f.r1) + p2*(1-p2)/float64(f.r2)) * n / (n - 1)
			wantClose(t, "z at a limit", math.Abs(m.Value-delta)/math.Sqrt(v), 1.959963984540054, 1e-6)
		}
	}
	// Newcombe 1998, table II, example (a) 56/70 − 48/80: 0.0528 to 0.3382 by Miettinen & Nurminen.
	m := fourfold(56, 14, 48, 32).RiskDifference(0.95, MiettinenNurminen)
	if math.Abs(m.Low-0.0528) > 5e-5 || math.Abs(m.High-0.3382) > 5e-5 {
		t.Errorf("%v to %v", m.Low, m.High)
	}
	if m := fourfold(1, 0, 0, 0).RiskDifference(0.95, MiettinenNurminen); m.Defined {
		t.Error(m)
	}
}

// TestBlaker compares with the definition, in rational numbers.
func TestBlaker(t *testing.T) {
	r := rand.New(rand.NewPCG(61, 62))
	tables := []Fourfold{fourfold(3, 1, 1, 3), fourfold(0, 5, 5, 0), fourfold(5, 0, 0, 5), fourfold(10, 0, 2, 3)}
	for range 300 {
		tables = append(tables, fourfold(r.Uint64N(9), r.Uint64N(9), r.Uint64N(9), r.Uint64N(9)))
	}
	for _, f := range tables {
		if f.n == 0 {
			continue
		}
		got, err := Blaker(f)
		if err != nil {
			t.Fatal(err)
		}
		central, _ := Fisher(f)
		if want := blakerByHand(f); math.Abs(got.P-want) > 1e-12*want || got.P > central.Central*(1+1e-12) {
			t.Fatalf("%+v: %v, want %v, central %v", f, got.P, want, central.Central)
		}
		checkP(t, "Blaker", got.P, got.LnP)
	}
	if _, err := Blaker(Fourfold{}); !errors.Is(err, ErrEmpty) {
		t.Error(err)
	}
}

func blakerByHand(f Fourfold) float64 {
	h := newHypergeometric(f)
	weights, total := []*big.Int{}, new(big.Int)
	for k := h.lo; k <= h.hi; k++ {
		w := new(big.Int).Mul(new(big.Int).Binomial(int64(f.r1), int64(k)), new(big.Int).Binomial(int64(f.r2), int64(f.c1-k)))
		weights, total = append(weights, w), total.Add(total, w)
	}
	gamma := func(i int) *big.Int {
		below, above := new(big.Int), new(big.Int)
		for j, w := range weights {
			if j <= i {
				below.Add(below, w)
			}
			if j >= i {
				above.Add(above, w)
			}
		}
		if below.Cmp(above) < 0 {
			return below
		}
		return above
	}
	sum := new(big.Int)
	observed := gamma(int(f.a - h.lo))
	for i, w := range weights {
		if gamma(i).Cmp(observed) <= 0 {
			sum.Add(sum, w)
		}
	}
	p, _ := new(big.Rat).SetFrac(sum, total).Float64()
	return p
}
