package stats

import (
	"math"
	"math/big"
	"math/rand/v2"
	"testing"
)

// exactSum is the twin of Sum: a big.Float wide enough to never round.
func exactSum(xs []float64) float64 {
	z := new(big.Float).SetPrec(4096)
	for _, x := range xs {
		z.Add(z, new(big.Float).SetFloat64(x))
	}
	f, _ := z.Float64()
	return f
}

func randomFloat(r *rand.Rand) float64 {
	x := math.Float64frombits(r.Uint64())
	switch {
	case math.IsNaN(x) || math.IsInf(x, 0):
		return r.NormFloat64()
	case r.IntN(3) == 0:
		return r.NormFloat64()
	}
	return x
}

func TestSumIsExact(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		xs := make([]float64, r.IntN(40))
		for i := range xs {
			xs[i] = randomFloat(r)
		}
		if len(xs) > 3 && r.IntN(2) == 0 { // make it cancel
			xs[0], xs[1] = -xs[2], math.Nextafter(xs[2], 0)
		}
		var s Sum
		for _, x := range xs {
			s.Add(x)
		}
		if got, want := s.Float(), exactSum(xs); math.Float64bits(got) != math.Float64bits(want) && !(got == 0 && want == 0) {
			t.Fatalf("sum of %v is %v, want %v", xs, got, want)
		}
	}
}
func TestSumEdges(t *testing.T) {
	max, tiny := math.MaxFloat64, math.SmallestNonzeroFloat64
	for _, c := range []struct {
		name string
		xs   []float64
		want float64
	}{
		{"empty", nil, 0},
		{"cancels", []float64{1e300, 1, -1e300, -1}, 0},
		{"smallest", []float64{tiny}, tiny},
		{"smallest negative", []float64{-tiny, -tiny}, -2 * tiny},
		{"subnormal to normal", []float64{0x1p-1022 - tiny, tiny}, 0x1p-1022},
		{"largest", []float64{max, max, -max}, max},
		{"overflow", []float64{max, max}, math.Inf(1)},
		{"overflow below", []float64{-max, -max}, math.Inf(-1)},
		{"half to even, down", []float64{1, 0x1p-53}, 1},
		{"half to even, up", []float64{1 + 0x1p-52, 0x1p-53}, 1 + 0x1p-51},
		{"above half", []float64{1, 0x1p-53, tiny}, 1 + 0x1p-52},
		{"rounds into the next power", []float64{2 - 0x1p-52, 0x1p-53}, 2},
		{"+Inf", []float64{1, math.Inf(1)}, math.Inf(1)},
		{"-Inf", []float64{1, math.Inf(-1)}, math.Inf(-1)},
	} {
		var s Sum
		for _, x := range c.xs {
			s.Add(x)
		}
		if got := s.Float(); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
	var s Sum
	s.Add(math.Inf(1))
	s.Add(math.Inf(-1))
	if !math.IsNaN(s.Float()) {
		t.Error("Inf − Inf is not NaN")
	}
	var n Sum
	n.Add(math.NaN())
	if !math.IsNaN(n.Float()) {
		t.Error("NaN is lost")
	}
}

// TestSumAnySplitSameBytes: any order, any split, merged in any order, through the encoding or not, gives equal bytes.
func TestSumAnySplitSameBytes(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 200 {
		xs := make([]float64, 1+r.IntN(200))
		for i := range xs {
			xs[i] = randomFloat(r)
		}
		var whole Sum
		for _, x := range xs {
			whole.Add(x)
		}
		want, _ := whole.MarshalBinary()
		for range 5 {
			r.Shuffle(len(xs), func(i, j int) { xs[i], xs[j] = xs[j], xs[i] })
			parts := make([]Sum, 1+r.IntN(7))
			for _, x := range xs {
				parts[r.IntN(len(parts))].Add(x)
			}
			var all Sum
			for _, k := range r.Perm(len(parts)) {
				b, _ := parts[k].MarshalBinary()
				var back Sum
				if err := back.UnmarshalBinary(b); err != nil {
					t.Fatal(err)
				}
				if math.Float64bits(back.Float()) != math.Float64bits(parts[k].Float()) {
					t.Fatal("decoded sum differs")
				}
				all.Merge(&back)
			}
			if got, _ := all.MarshalBinary(); string(got) != string(want) {
				t.Fatalf("bytes differ: %x and %x", got, want)
			}
		}
	}
}

// TestGatherIsExact: 1,024 terms anywhere in the 32 orders of a gather, the largest and finest among them, lose nothing.
func TestGatherIsExact(t *testing.T) {
	r := rand.New(rand.NewPCG(43, 44))
	for round := range 200 {
		middle := math.Ldexp(1+r.Float64(), r.IntN(300)-150)
		g := gatherAround(middle)
		var want, got Sum
		for range gatherMax {
			x := math.Ldexp(1+r.Float64(), math.Ilogb(middle)-15+r.IntN(32))
			switch round {
			case 0:
				x = math.Ldexp(2-0x1p-52, math.Ilogb(middle)+16)
			case 1:
				x = math.Ldexp(2-0x1p-52, math.Ilogb(middle)-15)
			}
			if !g.holds(x) {
				t.Fatalf("%v is not held around %v", x, middle)
			}
			want.Add(x)
			g = g.add(x)
		}
		got.flush(g)
		a, _ := want.MarshalBinary()
		b, _ := got.MarshalBinary()
		if string(a) != string(b) {
			t.Fatalf("round %d: %v, want %v", round, got.Float(), want.Float())
		}
	}
	for _, x := range []float64{0, math.Ldexp(1, -16), math.Ldexp(1, 17)} {
		if gatherAround(1).holds(x) {
			t.Errorf("%v is held around 1", x)
		}
	}
}
