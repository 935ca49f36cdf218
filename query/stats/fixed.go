package stats

import "math/bits"

// fixed is a signed fixed-point number of 320 bits in two's complement, least significant word first, with unit 2⁻¹⁹²: a sum of
// numbers below 2⁶⁴ that is exact but for what each loses below the unit, hence the same in any order. A Sum reaches further
// and takes 26 times the room, which matters for a matrix of them.
type fixed [5]uint64

const fixedUnit = 192

// add adds x, |x| < 2⁹⁰, without its digits below the unit.
func (z *fixed) add(x float64) {
	if x == 0 {
		return
	}
	// x = m·2^shift units.
	m, exponent, negative := parts(x)
	shift := exponent + fixedUnit
	if shift < 0 {
		m, shift = m>>min(-shift, 63), 0
	}
	var y fixed
	at := shift / 64
	y[at] = m << (shift % 64)
	y[at+1] = m >> 1 >> (63 - shift%64)
	if negative {
		z.sub(y)
	} else {
		z.merge(y)
	}
}

// addWide adds both halves of w.
func (z *fixed) addWide(w wide) {
	z.add(w.hi)
	z.add(w.lo)
}

func (z *fixed) merge(o fixed) {
	var c uint64
	for k := range z {
		z[k], c = bits.Add64(z[k], o[k], c)
	}
}

func (z *fixed) sub(o fixed) {
	var b uint64
	for k := range z {
		z[k], b = bits.Sub64(z[k], o[k], b)
	}
}

// wide is the value to about 32 digits.
func (z fixed) wide() wide {
	negative := z[4]>>63 != 0
	if negative {
		y := z
		z = fixed{}
		z.sub(y)
	}
	v := wide{}
	for k := len(z) - 1; k >= 0; k-- {
		v = v.scale(0x1p64).add(wideFromUint(z[k]))
	}
	v = v.scale(0x1p-192)
	if negative {
		return v.neg()
	}
	return v
}
