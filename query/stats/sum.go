package stats

import (
	"encoding/binary"
	"math"
	"math/bits"
)

// Sum is an exact sum of float64 values: the order of additions, how they are split over Sums and how those are merged
// make no difference, to the bit. It is rounded once, to nearest even, by Float. The zero value is an empty sum.
//
// How. A finite x is m·2^(e−1075) with |m| < 2⁵³ and 1 ≤ e ≤ 2046. Bin k holds, as a 128-bit integer in two's
// complement, the sum of m·2^((e+16) mod 32) over all x with ⌊(e+16)/32⌋ = k, so the value is Σ bin_k·2^(32k−1091): integers,
// added without rounding, hence associative and commutative. One addition touches one bin (an add and an add with
// carry), and no carry runs between bins.
//
// Bound. |m|·2³¹ < 2⁸⁴, so a bin cannot overflow before 2⁴³ additions; a Sum decoded or merged counts with the additions
// that made it. Float carries the bins into one integer and rounds it once, so
//
//	|Float() − Σ x| ≤ ½ ulp(Σ x)
//
// and a statistic whose terms are each within a relative ε of the truth and have one sign is within ε + 2⁻⁵³ of it,
// whatever their number.
//
// Chosen by BenchmarkSum, in ns a term on one core: 1.0 with gather before the bins, as the kernels do; 3.9 with one Add a
// term; 3.0 for 70 limbs of 32 bits, of which a term touches three; 5.0 for a 192-bit fixed-point number, which also loses
// the digits of a sum near 0; 1.5 for a bin for each exponent, which takes 32 KiB. See docs/bench/stats-sum.md.
type Sum struct {
	bins    [sumBins]u128
	special uint8 // which of +Inf, −Inf, NaN was added
}

const (
	sumBins   = 65
	sumOffset = 16          // puts 1 in the middle of a bin, so that terms of a usual size share one
	sumDigits = sumBins + 4 // 32-bit digits of the carried value

	sumPosInf, sumNegInf, sumNaN = 1, 2, 4

	significand = 1<<52 - 1
)

// Add adds x. Infinities are remembered beside the sum, so that Float is what IEEE 754 makes of them.
func (s *Sum) Add(x float64) {
	b := math.Float64bits(x)
	e := b >> 52 & 0x7ff
	m := b & significand
	switch e {
	case 0x7ff:
		s.addSpecial(x)
		return
	case 0:
		e = 1
	default:
		m |= 1 << 52
	}
	sign := uint64(int64(b) >> 63)
	e += sumOffset
	shift := e & 31
	p := &s.bins[e>>5]
	var carry uint64
	p.lo, carry = bits.Add64(p.lo, (m<<shift)^sign, sign&1)
	p.hi += (m >> 1 >> (63 - shift)) ^ sign + carry
}

func (s *Sum) addSpecial(x float64) {
	switch {
	case x > 0:
		s.special |= sumPosInf
	case x < 0:
		s.special |= sumNegInf
	default:
		s.special |= sumNaN
	}
}

// gather adds up to gatherMax positive terms of 32 neighbouring binary orders in two registers, without rounding: what
// the kernels do a cell. With 2^k ≤ t < 2^(k+32) and m = 1.5·2^(k+44), (t+m)−m is t rounded to a multiple of 2^(k−8) and
// the rest is a multiple of 2^(k−52), at most 2^(k−9); so h stays below 2^(k+42) in units of 2^(k−8), l below 2^(k+1) in
// units of 2^(k−52), and both fit 53 bits after 1,024 terms. Extraction after Zielke & Drygalla (2003) and Rump, Ogita
// & Oishi (2008).
type gather struct {
	low  uint64 // bits of 2^k
	m    float64
	h, l float64
}

const gatherMax = 1 << 10

// usualTerm is in the middle of the terms of a table without association, nearly all of which lie between 2⁻²¹ and 2¹¹.
const usualTerm = 0x1p-6

// gatherAround is empty and holds t, between 2⁻⁵⁰⁰ and 2⁵⁰⁰, near its middle.
func gatherAround(t float64) gather {
	low := math.Float64bits(t)&^significand - 15<<52
	return gather{low: low, m: float64(1.5 * math.Float64frombits(low+44<<52))}
}

// holds says whether t, at least 0, may be added; 0 may not.
func (g gather) holds(t float64) bool { return math.Float64bits(t)-g.low < 32<<52 }

func (g gather) add(t float64) gather {
	h := (t + g.m) - g.m
	g.h += h
	g.l += t - h
	return g
}

// flush adds what was gathered.
func (s *Sum) flush(g gather) {
	s.Add(g.h)
	s.Add(g.l)
}

// strayed adds a term that g does not hold. A larger one becomes the middle of a new gather, so that terms far from 1
// are soon held; smaller ones stay few.
func (s *Sum) strayed(g gather, t float64) gather {
	s.Add(t)
	if math.Float64bits(t) < g.low {
		return g
	}
	s.flush(g)
	return gatherAround(t)
}

// farGather is a gather of three registers, which reach over 76 orders, from 2⁻⁴⁵ to 2³¹: all terms of a table of fewer than 2³¹
// observations but those of cells that are all but independent. Tables of a few different counts have many terms near 0, and no branch of a kernel
// foresees where. What gather leaves in its second register, which is at most 2⁻¹⁰, is rounded to a multiple of 2⁻⁵³ first; the rest is a
// multiple of 2⁻⁹⁷ and at most 2⁻⁵⁴. So after gatherMax terms the second register is at most 1 in units of 2⁻⁵³ and the third one 2⁻⁴⁴ in
// units of 2⁻⁹⁷: both fit 53 bits.
type farGather struct{ h, l, rest float64 }

const (
	farLow    = (1023 - 45) << 52 // bits of 2⁻⁴⁵
	farOrders = 76
)

// farHolds says whether t, at least 0, may be added; 0 may not.
func farHolds(t float64) bool { return math.Float64bits(t)-farLow < farOrders<<52 }

func (g farGather) add(t float64) farGather {
	const high, low = 1.5 * 0x1p43, 1.5 * 0x1p-1
	h := (t + high) - high
	rest := t - h
	l := (rest + low) - low
	g.h += h
	g.l += l
	g.rest += rest - l
	return g
}

func (s *Sum) flushFar(g farGather) {
	s.Add(g.h)
	s.Add(g.l)
	s.Add(g.rest)
}

// addInteger adds v·2^shift, exactly.
func (s *Sum) addInteger(v u128, shift int) {
	for k, part := range [4]uint64{v.lo & 0xffffffff, v.lo >> 32, v.hi & 0xffffffff, v.hi >> 32} {
		s.Add(math.Ldexp(float64(part), shift+32*k))
	}
}

// addWide adds both halves of w.
func (s *Sum) addWide(w wide) {
	s.Add(w.hi)
	s.Add(w.lo)
}

// wide is the sum to about 32 digits, for a finite sum.
func (s *Sum) wide() wide {
	hi := s.Float()
	rest := *s
	rest.Add(-hi)
	return wide{hi, rest.Float()}
}

// Merge adds another sum, exactly.
func (s *Sum) Merge(o *Sum) {
	for k := range s.bins {
		var carry uint64
		s.bins[k].lo, carry = bits.Add64(s.bins[k].lo, o.bins[k].lo, 0)
		s.bins[k].hi += o.bins[k].hi + carry
	}
	s.special |= o.special
}

// digits carries the bins into the magnitude of the sum, as 32-bit digits from the least significant, and its sign.
func (s *Sum) digits(d *[sumDigits]uint32) (negative bool) {
	var carry u128 // signed, below 2⁹⁷ in magnitude
	for k := range d {
		v := carry
		if k < sumBins {
			var c uint64
			v.lo, c = bits.Add64(v.lo, s.bins[k].lo, 0)
			v.hi += s.bins[k].hi + c
		}
		d[k] = uint32(v.lo)
		carry = u128{lo: v.lo>>32 | v.hi<<32, hi: uint64(int64(v.hi) >> 32)}
	}
	if negative = int64(carry.hi) < 0; negative {
		borrow := uint32(0)
		for k := range d {
			d[k], borrow = bits.Sub32(0, d[k], borrow)
		}
	}
	return negative
}

func (s *Sum) negative() bool {
	var d [sumDigits]uint32
	return s.digits(&d)
}

// Float is the sum rounded to nearest even. It is +0 for an empty sum and for one that cancels.
func (s *Sum) Float() float64 {
	switch s.special {
	case 0:
	case sumPosInf:
		return math.Inf(1)
	case sumNegInf:
		return math.Inf(-1)
	default:
		return math.NaN()
	}
	var d [sumDigits]uint32
	negative := s.digits(&d)
	t := sumDigits - 1
	for t >= 0 && d[t] == 0 {
		t--
	}
	if t < 0 {
		return 0
	}
	x := roundDigits(&d, t)
	if negative {
		return -x
	}
	return x
}

// roundDigits rounds the magnitude whose top digit is d[t] ≠ 0. Its unit is 2⁻¹⁰⁹¹ and its lowest 17 bits are 0, so a value
// in the subnormal range is exact.
func roundDigits(d *[sumDigits]uint32, t int) float64 {
	digit := func(k int) uint64 {
		if k < 0 {
			return 0
		}
		return uint64(d[k])
	}
	zeros := bits.LeadingZeros32(d[t])
	low := digit(t-1)<<32 | digit(t-2)
	u := digit(t)<<(32+zeros) | low>>(32-zeros)
	sticky := low << (32 + zeros)
	for k := t - 3; k >= 0; k-- {
		sticky |= uint64(d[k])
	}
	top := 32*t + 31 - zeros // position of the leading bit
	m, rest := u>>11, u<<53
	if rest > 1<<63 || rest == 1<<63 && (sticky != 0 || m&1 == 1) {
		m++
	}
	return math.Ldexp(float64(m), top-52-1075-sumOffset)
}

const sumVersion = 1

// AppendBinary appends the encoding: version 1; a byte of flags (1 +Inf, 2 −Inf, 4 NaN were added, 8 the finite part is
// negative); the number of zero 32-bit digits below the first other one and the number of digits from there to the last
// other one, as unsigned varints; those digits, little-endian. Equal sums have equal bytes. It is at most 278 bytes long;
// a chi-square has about 20 to 40.
func (s *Sum) AppendBinary(b []byte) ([]byte, error) {
	var d [sumDigits]uint32
	flags := s.special
	if s.digits(&d) {
		flags |= 8
	}
	first, end := 0, len(d)
	for end > 0 && d[end-1] == 0 {
		end--
	}
	for first < end && d[first] == 0 {
		first++
	}
	b = append(b, sumVersion, flags)
	b = binary.AppendUvarint(b, uint64(first))
	b = binary.AppendUvarint(b, uint64(end-first))
	for _, v := range d[first:end] {
		b = binary.LittleEndian.AppendUint32(b, v)
	}
	return b, nil
}

// MarshalBinary is AppendBinary to nil.
func (s *Sum) MarshalBinary() ([]byte, error) { return s.AppendBinary(nil) }

// UnmarshalBinary reads what AppendBinary wrote, and nothing after it. The error is ErrEncoding; it leaves s unchanged.
func (s *Sum) UnmarshalBinary(b []byte) error {
	r := reader{b: b}
	got := r.sum()
	if err := r.end(); err != nil {
		return err
	}
	*s = got
	return nil
}

// sum reads an encoded Sum. Only the canonical form is accepted.
func (r *reader) sum() (s Sum) {
	version, flags := r.byte(), r.byte()
	first, count := r.uvarint(), r.uvarint()
	if r.bad || version != sumVersion || flags > 15 || first > sumDigits-1 || count > sumDigits-1-first ||
		count == 0 && (first != 0 || flags&8 != 0) {
		r.bad = true
		return Sum{}
	}
	s.special = flags & 7
	var word [4]byte
	for k := range count {
		r.bytes(word[:])
		v := binary.LittleEndian.Uint32(word[:])
		if v == 0 && (k == 0 || k == count-1) || first+k == 0 && v&(1<<(sumOffset+1)-1) != 0 || first+k == sumDigits-2 && v>>31 != 0 {
			r.bad = true
		}
		s.addDigit(int(first+k), v, flags&8 != 0)
	}
	return s
}

// finiteSum reads a Sum without infinities, and not below 0 unless signed.
func (r *reader) finiteSum(signed bool) Sum {
	s := r.sum()
	if s.special != 0 || !signed && s.negative() {
		r.bad = true
	}
	return s
}

// boundedSum is a finiteSum that is 0 or within the bounds in magnitude, so that what is computed of it cannot overflow.
func (r *reader) boundedSum(signed bool, least, most float64) Sum {
	s := r.finiteSum(signed)
	if x := math.Abs(s.Float()); x != 0 && !(x >= least && x <= most) {
		r.bad = true
	}
	return s
}

// addDigit adds ±v·2^(32k−1091). The digits above the bins go into the last bin, shifted.
func (s *Sum) addDigit(k int, v uint32, negative bool) {
	at := min(k, sumBins-1)
	u := mul128(uint64(v), 1)
	for range k - at {
		u = u128{hi: u.hi<<32 | u.lo>>32, lo: u.lo << 32}
	}
	b := s.bins[at]
	if negative {
		b = b.sub(u)
	} else {
		b = b.add(u)
	}
	s.bins[at] = b
}
