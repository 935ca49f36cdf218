package stats

import "math"

// Drift says how far a distribution of counts has moved from a reference. Divergences are in nats. A category that only
// one side has makes the population stability index infinite, and a Kullback-Leibler divergence in one direction.
type Drift struct {
	PSI            float64 // population stability index, Σ (p−q)·ln(p/q): both Kullback-Leibler divergences added
	KL, KLBack     float64 // Σ p·ln(p/q), Σ q·ln(q/p), p the reference
	JS             float64 // Jensen-Shannon divergence, 0…ln 2, not its square root
	Hellinger      float64 // √(½ Σ (√p − √q)²), 0…1
	TotalVariation float64 // ½ Σ |p − q|, 0…1
}

// DriftBetween compares the shares of counts with those of a reference that has the same categories. All sums have terms
// of one sign in the exact difference of the shares, so equal shares give exactly 0. Errors: ErrEmpty when one side has no
// observations; ErrShape for different numbers of categories.
func DriftBetween(reference, counts *Counts) (Drift, error) {
	if reference.n == 0 || counts.n == 0 {
		return Drift{}, ErrEmpty
	}
	if len(reference.counts) != len(counts.counts) {
		return Drift{}, shapeError("%d and %d categories", len(reference.counts), len(counts.counts))
	}
	var s driftSums
	for i := range counts.counts {
		s.add(uint64(reference.counts[i]), uint64(counts.counts[i]), reference.n, counts.n)
	}
	return s.finish(mul128(reference.n, counts.n).float()), nil
}

// DriftOf compares the two rows of a table, the first being the reference. Errors: ErrShape unless there are two rows;
// ErrEmpty when one is empty.
func DriftOf(t *Table) (Drift, error) {
	if t.rows != 2 {
		return Drift{}, shapeError("drift compares two rows, this table has %d", t.rows)
	}
	var sides [2]Counts
	for i := range sides {
		sides[i].counts, sides[i].n = make([]int64, t.cols), t.margins.Rows[i]
	}
	t.each(func(i, j int, o uint64) { sides[i].counts[j] = int64(o) })
	return DriftBetween(&sides[0], &sides[1])
}

type driftSums struct {
	kl, back, js, hellinger, variation Sum
}

// add takes one category: a of n observations in the reference, b of m on the other side.
func (s *driftSums) add(a, b, n, m uint64) {
	if a == 0 && b == 0 {
		return
	}
	an, bm := mul128(a, m), mul128(b, n) // p and q times n·m, exact
	d, negative := an.absDiff(bm)
	diff := d.float()
	s.variation.Add(diff / 2)
	if negative {
		diff = -diff
	}
	p, q := an.float(), bm.float()
	s.kl.Add(klTerm(p, q, diff))
	s.back.Add(klTerm(q, p, -diff))
	half := float64(p+q) / 2
	ratio := diff / (p + q) // p = m(1+ratio), q = m(1−ratio) with m the mean
	s.js.Add(float64(half*divergenceG(ratio)) / 2)
	s.js.Add(float64(half*divergenceG(-ratio)) / 2)
	root := diff / (math.Sqrt(p) + math.Sqrt(q))
	s.hellinger.Add(float64(root*root) / 2)
}

// klTerm is q·h(p/q − 1), which adds up to Σ p·ln(p/q) because Σ (p − q) = 0.
func klTerm(p, q, diff float64) float64 {
	switch {
	case q == 0:
		return math.Inf(1)
	case p == 0:
		return q
	}
	return q * divergenceG(diff/q)
}

// finish divides by n·m.
func (s *driftSums) finish(scale float64) Drift {
	d := Drift{KL: s.kl.Float() / scale, KLBack: s.back.Float() / scale, JS: s.js.Float() / scale}
	s.kl.Merge(&s.back)
	d.PSI = s.kl.Float() / scale
	d.Hellinger = math.Min(1, math.Sqrt(s.hellinger.Float()/scale))
	d.TotalVariation = math.Min(1, s.variation.Float()/scale)
	return d
}
