package stats

import (
	"math/big"
	"sync"
)

// bigPrecision is the precision of logarithms that decide whether two huge tables are equally probable.
const bigPrecision = 300

// compareFactorials compares the probabilities of two huge tables with equal margins, through Σ ln(cell!) to 300 bits.
// Two such sums that differ at all differ in the first hundred digits for any table met by chance, so that a difference
// below 1e-50 is taken for equality.
func compareFactorials(x, y Fourfold) int {
	sum := newBig(0)
	for _, cell := range [4]uint64{y.a, y.b, y.c, y.d} {
		sum.Add(sum, bigLnFactorial(cell))
	}
	for _, cell := range [4]uint64{x.a, x.b, x.c, x.d} {
		sum.Sub(sum, bigLnFactorial(cell))
	}
	if sum.MantExp(nil) < -166 { // below 1e-50
		return 0
	}
	return sum.Sign()
}

func newBig(x float64) *big.Float { return new(big.Float).SetPrec(bigPrecision).SetFloat64(x) }

func bigUint(x uint64) *big.Float { return new(big.Float).SetPrec(bigPrecision).SetUint64(x) }

// bigLnFactorial is ln x!: the logarithm of the product for small x, else Stirling's series, without the constant ln √2π
// that is the same in every cell.
func bigLnFactorial(x uint64) *big.Float {
	const large = 4096
	if x < large {
		// Raised by x+1…large, so that the series holds.
		product := new(big.Float).SetPrec(bigPrecision).SetInt(risingProduct(x, large))
		return new(big.Float).Sub(bigLnFactorial(large), bigLog(product))
	}
	z := bigUint(x)
	half := newBig(0.5)
	sum := new(big.Float).Mul(new(big.Float).Add(z, half), bigLog(z))
	sum.Sub(sum, z)
	square := new(big.Float).Mul(z, z)
	power := new(big.Float).Quo(newBig(1), z)
	for _, b := range bigStirling() {
		sum.Add(sum, new(big.Float).Mul(b, power))
		power.Quo(power, square)
	}
	return sum
}

// bigStirling holds the coefficients of Stirling's series.
var bigStirling = sync.OnceValue(func() (c [14]*big.Float) {
	for k := range c {
		c[k] = new(big.Float).SetPrec(bigPrecision).SetRat(bernoulliTerm(k + 1))
	}
	return c
})

// bernoulliTerm is B(2k)/(2k(2k−1)), the coefficient of 1/x^(2k−1) in Stirling's series.
func bernoulliTerm(k int) *big.Rat {
	// Akiyama and Tanigawa's triangle.
	n := 2 * k
	row := make([]*big.Rat, n+1)
	for m := range row {
		row[m] = big.NewRat(1, int64(m+1))
		for j := m; j >= 1; j-- {
			d := new(big.Rat).Sub(row[j-1], row[j])
			row[j-1] = d.Mul(d, big.NewRat(int64(j), 1))
		}
	}
	return new(big.Rat).Quo(row[0], big.NewRat(int64(n*(n-1)), 1))
}

// bigLog is ln x for x > 0: the exponent times ln 2, and 2·atanh((r−1)/(r+1)) of the mantissa after eight square roots.
func bigLog(x *big.Float) *big.Float {
	m := new(big.Float).SetPrec(bigPrecision)
	e := x.MantExp(m) // m in [½, 1)
	ln := bigLogNear(m)
	return ln.Add(ln, new(big.Float).Mul(newBig(float64(e)), bigLn2()))
}

// bigLogNear is ln x for x within a factor of two of 1.
func bigLogNear(x *big.Float) *big.Float {
	const roots = 8
	r := new(big.Float).SetPrec(bigPrecision + 16).Set(x)
	for range roots {
		r.Sqrt(r)
	}
	one := new(big.Float).SetPrec(bigPrecision + 16).SetInt64(1)
	s := new(big.Float).Quo(new(big.Float).Sub(r, one), new(big.Float).Add(r, one))
	square := new(big.Float).Mul(s, s)
	sum, power := new(big.Float).SetPrec(bigPrecision+16), new(big.Float).Set(s)
	// |s| < 2^-9.5, so that 18 terms leave 2^-340.
	for k := int64(1); k < 36; k += 2 {
		sum.Add(sum, new(big.Float).Quo(power, new(big.Float).SetPrec(bigPrecision+16).SetInt64(k)))
		power.Mul(power, square)
	}
	return sum.SetMantExp(sum, roots+1).SetPrec(bigPrecision)
}

var bigLn2 = sync.OnceValue(func() *big.Float {
	ln := bigLogNear(newBig(0.5))
	return ln.Neg(ln)
})
