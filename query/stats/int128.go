package stats

import (
	"math"
	"math/big"
	"math/bits"
)

// u128 is an unsigned 128-bit integer. Products of two totals fit; so does n².
type u128 struct{ hi, lo uint64 }

func mul128(a, b uint64) u128 {
	hi, lo := bits.Mul64(a, b)
	return u128{hi, lo}
}

// add wraps around at 2¹²⁸; callers know that their sums fit.
func (a u128) add(b u128) u128 {
	lo, carry := bits.Add64(a.lo, b.lo, 0)
	hi, _ := bits.Add64(a.hi, b.hi, carry)
	return u128{hi, lo}
}

// sub wraps around below 0.
func (a u128) sub(b u128) u128 {
	lo, borrow := bits.Sub64(a.lo, b.lo, 0)
	hi, _ := bits.Sub64(a.hi, b.hi, borrow)
	return u128{hi, lo}
}

// absDiff is |a−b| and whether a < b, without a branch: signs of residuals are random.
func (a u128) absDiff(b u128) (u128, bool) {
	lo, borrow := bits.Sub64(a.lo, b.lo, 0)
	hi, borrow := bits.Sub64(a.hi, b.hi, borrow)
	lo, carry := bits.Add64(lo^-borrow, borrow, 0)
	return u128{hi: (hi ^ -borrow) + carry, lo: lo}, borrow != 0
}

func (a u128) isZero() bool { return a.hi|a.lo == 0 }

func (a u128) less(b u128) bool { return a.hi < b.hi || (a.hi == b.hi && a.lo < b.lo) }

// float rounds to float64. The product is exact, so that a fused multiply-add has the same bits; the relative error is
// at most 2⁻⁵² (one rounding of hi, one of the sum), and none below 2⁵³.
func (a u128) float() float64 {
	if a.hi == 0 {
		return float64(a.lo)
	}
	return float64(float64(a.hi)*0x1p64) + halves(a.lo)
}

// halves is float64(v) by way of two signed conversions, which have no branch for the top bit; their sum is rounded once.
func halves(v uint64) float64 {
	return float64(float64(int64(v>>32))*0x1p32) + float64(int64(v&0xffffffff))
}

func (a u128) big() *big.Int {
	z := new(big.Int).SetUint64(a.hi)
	return z.Lsh(z, 64).Or(z, new(big.Int).SetUint64(a.lo))
}

// residual is D = n·o − r·c with its sign: exact, since each product is below 2¹²⁸.
func residual(n, o, r, c uint64) (d u128, negative bool) {
	return mul128(n, o).absDiff(mul128(r, c))
}

// residualFloat is D rounded to float64.
func residualFloat(n, o, r, c uint64) float64 {
	d, negative := residual(n, o, r, c)
	if negative {
		return -d.float()
	}
	return d.float()
}

// addU64 adds two totals, or reports that they exceed 2⁶⁴−1.
func addU64(a, b uint64) (uint64, bool) {
	s, carry := bits.Add64(a, b, 0)
	return s, carry == 0
}

// i256 is a signed 256-bit integer in two's complement, least significant word first: sums of score × score × count
// and of products of margins.
type i256 [4]uint64

// addU128 adds a.
func (z *i256) addU128(a u128) {
	var c uint64
	z[0], c = bits.Add64(z[0], a.lo, 0)
	z[1], c = bits.Add64(z[1], a.hi, c)
	z[2], c = bits.Add64(z[2], 0, c)
	z[3] += c
}

// addMul adds a·b for a 128-bit a and a 64-bit b, both non-negative.
func (z *i256) addMul(a u128, b uint64) {
	lo, hi := mul128(a.lo, b), mul128(a.hi, b)
	var c uint64
	z[0], c = bits.Add64(z[0], lo.lo, 0)
	z[1], c = bits.Add64(z[1], lo.hi, c)
	z[2], c = bits.Add64(z[2], 0, c)
	z[3] += c
	z[1], c = bits.Add64(z[1], hi.lo, 0)
	z[2], c = bits.Add64(z[2], hi.hi, c)
	z[3] += c
}

func (z *i256) add(o i256) {
	var c uint64
	for k := range z {
		z[k], c = bits.Add64(z[k], o[k], c)
	}
}

func (z i256) negative() bool { return z[3]>>63 != 0 }

func (z i256) abs() (i256, bool) {
	if !z.negative() {
		return z, false
	}
	var m i256
	var b uint64
	for k := range z {
		m[k], b = bits.Sub64(0, z[k], b)
	}
	return m, true
}

// wide gives the value in double-double arithmetic, good to about 2⁻¹⁰⁴.
func (z i256) wide() wide {
	m, neg := z.abs()
	v := wide{}
	for k := 3; k >= 0; k-- {
		v = v.scale(0x1p64).add(wideFromUint(m[k]))
	}
	if neg {
		return v.neg()
	}
	return v
}

// wide is a double-double number: hi + lo with |lo| ≤ ulp(hi)/2, about 32 decimal digits. Measures whose formulas
// cancel are computed in it and rounded once. Every product that feeds a sum is exact or explicitly rounded, so the bits
// are the same whether or not a compiler fuses multiply and add.
type wide struct{ hi, lo float64 }

func wideFrom(x float64) wide { return wide{hi: x} }

func wideFromUint(u uint64) wide {
	hi := float64(u >> 32 << 32) // 32 significant bits, exact
	return fastTwoSum(hi, float64(u&0xffffffff))
}

func wideFromInt(i int64) wide {
	if i < 0 {
		return wideFromUint(uint64(-(i + 1)) + 1).neg()
	}
	return wideFromUint(uint64(i))
}

func (a u128) wide() wide { return wideFromUint(a.hi).scale(0x1p64).add(wideFromUint(a.lo)) }

func twoSum(a, b float64) wide {
	s := a + b
	bb := s - a
	return wide{s, float64(a-float64(s-bb)) + float64(b-bb)}
}

// fastTwoSum needs |a| ≥ |b| or a = 0.
func fastTwoSum(a, b float64) wide {
	s := a + b
	return wide{s, b - float64(s-a)}
}

func twoProd(a, b float64) wide {
	p := float64(a * b)
	return wide{p, math.FMA(a, b, -p)}
}

func (a wide) float() float64 { return a.hi + a.lo }

func (a wide) neg() wide { return wide{-a.hi, -a.lo} }

func (a wide) abs() wide {
	if a.hi < 0 {
		return a.neg()
	}
	return a
}

// scale multiplies by a power of two.
func (a wide) scale(p float64) wide { return wide{float64(a.hi * p), float64(a.lo * p)} }

func (a wide) add(b wide) wide {
	s, t := twoSum(a.hi, b.hi), twoSum(a.lo, b.lo)
	s = fastTwoSum(s.hi, s.lo+t.hi)
	return fastTwoSum(s.hi, s.lo+t.lo)
}

func (a wide) sub(b wide) wide { return a.add(b.neg()) }

func (a wide) mul(b wide) wide {
	p := twoProd(a.hi, b.hi)
	return fastTwoSum(p.hi, p.lo+float64(float64(a.hi*b.lo)+float64(a.lo*b.hi)))
}

// div is a/b for b ≠ 0.
func (a wide) div(b wide) wide {
	q1 := a.hi / b.hi
	r := a.sub(b.mul(wideFrom(q1)))
	q2 := r.hi / b.hi
	r = r.sub(b.mul(wideFrom(q2)))
	q := fastTwoSum(q1, q2)
	return q.add(wideFrom(r.hi / b.hi))
}

// sqrt is the square root of a ≥ 0; below 0 (rounding noise of something that is 0) it is 0.
func (a wide) sqrt() wide {
	if a.hi <= 0 {
		return wide{}
	}
	x := math.Sqrt(a.hi)
	r := a.sub(twoProd(x, x))
	return fastTwoSum(x, r.hi/(2*x))
}

func (a wide) isZero() bool { return a.hi == 0 && a.lo == 0 }

func (z *i256) sub(o i256) {
	var b uint64
	for k := range z {
		z[k], b = bits.Sub64(z[k], o[k], b)
	}
}

// addMulSigned adds ±a·b.
func (z *i256) addMulSigned(a u128, b uint64, negative bool) {
	var p i256
	p.addMul(a, b)
	if negative {
		z.sub(p)
	} else {
		z.add(p)
	}
}

// product256 is a·b.
func product256(a, b u128) (z i256) {
	z.addMul(a, b.lo)
	var high i256
	high.addMul(a, b.hi) // below 2¹⁹²
	z.add(i256{0, high[0], high[1], high[2]})
	return z
}

// signed is an integer with a sign, |v| below 2¹²⁸.
type signed struct {
	abs      u128
	negative bool
}

func signedInt(v int64) signed {
	if v < 0 {
		return signed{u128{lo: uint64(-(v + 1)) + 1}, true}
	}
	return signed{u128{lo: uint64(v)}, false}
}
