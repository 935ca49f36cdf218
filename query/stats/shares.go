package stats

import (
	"math"
	"math/big"
)

// Shares are the probabilities of categories under a hypothesis, given as weights that are normalized to sum 1. Whole
// weights below 2⁶⁴ in total, and rationals that have such a common denominator, are kept exactly: counts in exactly
// these proportions then give a statistic of exactly 0. Others are kept to 106 bits.
type Shares struct {
	whole []uint64 // exact weights, or nil
	total uint64   // their sum
	wide  []wide   // weights when whole is nil
	sum   wide
}

// EqualShares are k equal probabilities.
func EqualShares(k int) Shares {
	w := make([]uint64, max(k, 0))
	for i := range w {
		w[i] = 1
	}
	return Shares{whole: w, total: uint64(len(w))}
}

// NewShares takes weights as numbers: at least 0, finite, not all 0. The error is ErrArgument.
func NewShares(weights ...float64) (Shares, error) {
	var s Shares
	whole := true
	for i, w := range weights {
		if !(w >= 0 && w <= 0x1p900) {
			return Shares{}, argumentError("weight %d is %v; weights are at least 0 and finite", i, w)
		}
		whole = whole && w == math.Floor(w) && w <= hugeN
		s.wide, s.sum = append(s.wide, wideFrom(w)), s.sum.add(wideFrom(w))
	}
	if whole {
		exact := make([]uint64, len(weights))
		for i, w := range weights {
			exact[i] = uint64(w)
		}
		if e, err := WholeShares(exact...); err == nil {
			return e, nil
		}
	}
	return s, s.check()
}

// WholeShares takes weights as integers whose sum is below 2⁶⁴. The error is ErrArgument when all are 0 or the sum is
// too large.
func WholeShares(weights ...uint64) (Shares, error) {
	s := Shares{whole: weights}
	for _, w := range weights {
		sum, ok := addU64(s.total, w)
		if !ok {
			return Shares{}, argumentError("weights add up to more than 2^64-1")
		}
		s.total = sum
	}
	return s, s.check()
}

// RationalShares takes weights as fractions, at least 0. The error is ErrArgument.
func RationalShares(weights ...*big.Rat) (Shares, error) {
	common := big.NewInt(1)
	for i, w := range weights {
		if w.Sign() < 0 {
			return Shares{}, argumentError("weight %d is %v; weights are at least 0", i, w)
		}
		g := new(big.Int).GCD(nil, nil, common, w.Denom())
		common.Mul(common, new(big.Int).Quo(w.Denom(), g))
	}
	var s Shares
	exact := make([]uint64, len(weights))
	fits := true
	for i, w := range weights {
		k := new(big.Int).Mul(w.Num(), new(big.Int).Quo(common, w.Denom()))
		fits = fits && k.IsUint64()
		exact[i] = k.Uint64()
		s.wide = append(s.wide, wideFromRat(w))
		s.sum = s.sum.add(s.wide[i])
	}
	if fits {
		if e, err := WholeShares(exact...); err == nil {
			return e, nil
		}
	}
	return s, s.check()
}

func wideFromRat(w *big.Rat) wide {
	hi, _ := w.Float64()
	rest := new(big.Rat).SetFloat64(hi)
	if rest == nil {
		return wide{hi: hi}
	}
	lo, _ := rest.Sub(w, rest).Float64()
	return wide{hi, lo}
}

func (s Shares) check() error {
	if s.whole != nil && s.total > 0 {
		return nil
	}
	if s.whole == nil && s.sum.hi > 0 && !math.IsInf(s.sum.hi, 0) {
		return nil
	}
	return argumentError("weights need a positive, finite sum")
}

// Len is the number of categories.
func (s Shares) Len() int { return max(len(s.whole), len(s.wide)) }

// P is the probability of category i.
func (s Shares) P(i int) float64 {
	if s.whole != nil {
		return float64(s.whole[i]) / float64(s.total)
	}
	return s.wide[i].div(s.sum).float()
}

func (s Shares) isZero(i int) bool {
	if s.whole != nil {
		return s.whole[i] == 0
	}
	return s.wide[i].isZero()
}

// cell makes the terms of category i, of which n observations have o. With whole weights w of sum W it is a cell of a
// table with total W·…: D = W·o − n·w is exact.
func (s Shares) cell(i int, o, n uint64) cell {
	if s.whole != nil {
		return newCell(s.total, o, n, s.whole[i])
	}
	e := s.wide[i].mul(wideFromUint(n)).div(s.sum)
	obs := wideFromUint(o)
	diff := obs.sub(e)
	if math.Abs(diff.hi) <= 0x1p-96*e.hi {
		diff = wide{} // what is left of equal numbers is rounding
	}
	x := cell{o: float64(o), e: e.float(), d: diff.div(e).float(), ratio: obs.div(e).float()}
	x.resid = diff.float() // O − E itself: the scale is 1 here
	if o != 0 {
		x.back = diff.neg().div(obs).float()
	}
	return x
}

// difference is O − E of category i.
func (s Shares) difference(x cell) float64 {
	if s.whole != nil {
		return x.resid / float64(s.total)
	}
	return x.resid
}
