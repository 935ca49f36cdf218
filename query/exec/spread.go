package exec

import (
	"math"
	"math/big"
	"math/bits"

	"github.com/quipudb/quipu/query/plan"
	"github.com/quipudb/quipu/query/stats"
	"github.com/quipudb/quipu/server/errcode"
)

// spread is what a variance is made of: exact sums of n values and of their squares. Its result does not depend on the order of the
// values, and loses nothing where they are large beside their differences.
type spread struct {
	n            int64
	sum, squares stats.Sum
	odd          bool // NaN or an infinity was among the values
}

// spreadBytes is about what a spread takes.
const spreadBytes = 2200

func (s *spread) add(v plan.Value) error {
	s.n++
	if v.Type == plan.Int8 {
		s.addInt(v.Int())
		return nil
	}
	x := v.Float()
	square := x * x
	switch {
	case math.IsNaN(x) || math.IsInf(x, 0):
		s.odd = true
		return nil
	case math.IsInf(square, 0):
		return errcode.New(errcode.NumericOutOfRange, "float8 out of range: the square of %g", x)
	}
	s.sum.Add(x)
	s.squares.Add(square)
	s.squares.Add(math.FMA(x, x, -square)) // what the product was rounded by
	return nil
}

func (s *spread) addInt(x int64) {
	s.sum.Add(float64(x>>32) * 0x1p32)
	s.sum.Add(float64(x & math.MaxUint32))
	a := uint64(max(x, -x)) // of the least int8, too
	hi, lo := bits.Mul64(a, a)
	for k, part := range [...]uint64{lo & math.MaxUint32, lo >> 32, hi & math.MaxUint32, hi >> 32} {
		s.squares.Add(math.Ldexp(float64(part), 32*k))
	}
}

// variance is (n·Σx² − (Σx)²) / n², or / n·(n−1) of a sample, rounded once.
func (s *spread) variance(sample bool) (plan.Value, error) {
	switch {
	case s.n == 0 || sample && s.n == 1:
		return plan.Null, nil
	case s.odd:
		return plan.FloatValue(math.NaN()), nil
	}
	sum, ok := exactly(s.sum)
	squares, ok2 := exactly(s.squares)
	if !ok || !ok2 {
		return plan.Null, errcode.New(errcode.NumericOutOfRange, "float8 out of range: a sum of squares")
	}
	n := exactFloat().SetInt64(s.n)
	by := exactFloat().SetInt64(s.n)
	if sample {
		by.SetInt64(s.n - 1)
	}
	squares.Mul(squares, n)
	squares.Sub(squares, sum.Mul(sum, sum))
	v, _ := squares.Quo(squares, by.Mul(by, n)).Float64()
	return plan.FloatValue(v), nil
}

// exactFloat is a number whose sums and products lose nothing here: the square of a sum of float64s spans less than 4,400 bits.
func exactFloat() *big.Float { return new(big.Float).SetPrec(4400) }

// exactly is the value of s; not ok if it is beyond float64.
func exactly(s stats.Sum) (x *big.Float, ok bool) {
	x = exactFloat()
	for f := s.Float(); f != 0; f = s.Float() {
		if math.IsInf(f, 0) {
			return nil, false
		}
		x.Add(x, big.NewFloat(f))
		s.Add(-f)
	}
	return x, true
}
