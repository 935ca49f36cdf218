package stats

import (
	"math"
	"math/bits"
	"math/rand/v2"
	"testing"
)

// The accumulators that Sum was chosen from. They are here to be measured, and are right for positive normal terms.

// limbSum is 70 limbs of 32 bits in int64, three of them touched a term.
type limbSum [72]int64

func (s *limbSum) add(x float64) {
	b := math.Float64bits(x)
	m := b&significand | 1<<52
	k, shift := b>>57&63, b>>52&31
	lo, hi := m<<shift, m>>1>>(63-shift)
	s[k] += int64(uint32(lo))
	s[k+1] += int64(lo >> 32)
	s[k+2] += int64(hi)
}

// fixedSum is a 192-bit fixed-point number with a unit of 2⁻¹²⁰: fast, but a sum below 2⁻⁶⁷ loses digits.
type fixedSum [3]uint64

func (s *fixedSum) add(x float64) {
	b := math.Float64bits(x)
	m := b&significand | 1<<52
	shift := int(b>>52) - 1075 + 120
	var v [3]uint64
	switch {
	case shift <= -64:
	case shift < 0:
		v[0] = m >> -shift
	default:
		k, sh := shift>>6, uint(shift&63)
		if k < 3 {
			v[k] = m << sh
		}
		if k < 2 {
			v[k+1] = m >> 1 >> (63 - sh)
		}
	}
	var c uint64
	s[0], c = bits.Add64(s[0], v[0], 0)
	s[1], c = bits.Add64(s[1], v[1], c)
	s[2], _ = bits.Add64(s[2], v[2], c)
}

// exponentSum has a 128-bit bin for each exponent.
type exponentSum [2048]u128

func (s *exponentSum) add(x float64) {
	b := math.Float64bits(x)
	p := &s[b>>52&2047]
	var c uint64
	p.lo, c = bits.Add64(p.lo, b&significand|1<<52, 0)
	p.hi += c
}

type neumaier struct{ sum, comp float64 }

func (s *neumaier) add(x float64) {
	t := s.sum + x
	if math.Abs(s.sum) >= math.Abs(x) {
		s.comp += (s.sum - t) + x
	} else {
		s.comp += (x - t) + s.sum
	}
	s.sum = t
}

func BenchmarkSum(b *testing.B) {
	r := rand.New(rand.NewPCG(5, 6))
	xs := make([]float64, 1<<16)
	for i := range xs {
		z := r.NormFloat64()
		xs[i] = z * z
	}
	run := func(name string, add func()) {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				add()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(xs)), "ns/term")
		})
	}
	var s Sum
	var l limbSum
	var f fixedSum
	var e exponentSum
	var c neumaier
	run("bins", func() {
		for _, x := range xs {
			s.Add(x)
		}
	})
	run("gather+bins", func() {
		g := gatherAround(1)
		for at := 0; at < len(xs); at += gatherMax {
			for _, x := range xs[at : at+gatherMax] {
				if !g.holds(x) {
					g = s.strayed(g, x)
					continue
				}
				g = g.add(x)
			}
			s.flush(g)
			g.h, g.l = 0, 0
		}
	})
	run("limbs70", func() {
		for _, x := range xs {
			l.add(x)
		}
	})
	run("fixed192", func() {
		for _, x := range xs {
			f.add(x)
		}
	})
	run("exponents", func() {
		for _, x := range xs {
			e.add(x)
		}
	})
	run("neumaier", func() {
		for _, x := range xs {
			c.add(x)
		}
	})
}

func BenchmarkSumFloat(b *testing.B) {
	var s Sum
	s.Add(1)
	s.Add(1e-20)
	for b.Loop() {
		if s.Float() == 0 {
			b.Fatal("zero")
		}
	}
}
