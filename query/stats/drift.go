package stats

import (
	"encoding/binary"
	"math"
)

// Drift says how far a distribution of counts has moved from a reference. Divergences are in nats. A category that only
// one side has makes the population stability index infinite, and a Kullback-Leibler divergence in one direction.
type Drift struct {
	PSI            float64 // population stability index, Σ (p−q)·ln(p/q), both Kullback-Leibler divergences added; also called information value
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
	s := NewDriftSums(reference.n, counts.n)
	for i := range counts.counts {
		s.Add(uint64(reference.counts[i]), uint64(counts.counts[i]))
	}
	return s.Drift()
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

// WeightsOfEvidence gives ln(p/q) for each column of a table of two rows, p and q its shares of the first and the second: what
// one learns about the row from the column. Weighted by p − q they add up to the information value, the PSI of DriftOf. A
// column that one row lacks has ±Inf, one that both lack is undefined. Errors as DriftOf.
//
// Good, Probability and the Weighing of Evidence (1950).
func WeightsOfEvidence(t *Table) ([]Measure, error) {
	if t.rows != 2 {
		return nil, shapeError("weights of evidence compare two rows, this table has %d", t.rows)
	}
	n := t.margins.Rows
	if n[0] == 0 || n[1] == 0 {
		return nil, ErrEmpty
	}
	counts := make([][2]uint64, t.cols)
	t.each(func(i, j int, o uint64) { counts[j][i] = o })
	out := make([]Measure, t.cols)
	for j, c := range counts {
		out[j] = weightOfEvidence(c[0], c[1], n[0], n[1])
	}
	return out, nil
}

func weightOfEvidence(a, b, n, m uint64) Measure {
	const name = "weight_of_evidence"
	switch {
	case a == 0 && b == 0:
		return undefined(name)
	case a == 0:
		return measure(name, math.Inf(-1))
	case b == 0:
		return measure(name, math.Inf(1))
	}
	p, q := mul128(a, m), mul128(b, n) // p and q times n·m, exact
	d, negative := p.absDiff(q)
	ratio := d.float() / q.float()
	if negative {
		ratio = -ratio
	}
	if ratio < -0.5 {
		return measure(name, log(p.float()/q.float()))
	}
	return measure(name, log1p(ratio))
}

// DriftSums are the sums over categories that the measures of Drift decompose into, given the totals of both sides, which come
// first. Each category must be added once, with both its counts, by one holder. They merge in any order; equal shares have equal
// bits. It belongs to one goroutine.
type DriftSums struct {
	n, m                               uint64 // totals of the reference and of the other side
	kl, back, js, hellinger, variation Sum
}

// NewDriftSums makes sums without categories for the totals of the reference and of the other side.
func NewDriftSums(reference, counts uint64) *DriftSums { return &DriftSums{n: reference, m: counts} }

// Add counts one category: a observations of the reference and b of the other side.
func (s *DriftSums) Add(a, b uint64) {
	if a == 0 && b == 0 || s.n == 0 || s.m == 0 {
		return
	}
	an, bm := mul128(a, s.m), mul128(b, s.n) // p and q times n·m, exact
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

// Merge adds another holder's categories. The error is ErrDigest, when the totals differ; it leaves s unchanged.
func (s *DriftSums) Merge(o *DriftSums) error {
	if s.n != o.n || s.m != o.m {
		return ErrDigest
	}
	for k, x := range s.all() {
		x.Merge(o.all()[k])
	}
	return nil
}

func (s *DriftSums) all() [5]*Sum {
	return [5]*Sum{&s.kl, &s.back, &s.js, &s.hellinger, &s.variation}
}

const driftSumsVersion = 1

// AppendBinary appends the encoding: version 1, both totals as unsigned varints, and five sums. Equal shares have equal bytes.
func (s *DriftSums) AppendBinary(b []byte) ([]byte, error) {
	b = append(b, driftSumsVersion)
	b = binary.AppendUvarint(binary.AppendUvarint(b, s.n), s.m)
	for _, x := range s.all() {
		b, _ = x.AppendBinary(b)
	}
	return b, nil
}

// UnmarshalBinary reads what AppendBinary wrote, and nothing after it. The error is ErrEncoding; it leaves s unchanged.
func (s *DriftSums) UnmarshalBinary(b []byte) error {
	r := reader{b: b}
	if v := r.byte(); v != driftSumsVersion {
		return encodingError("sums of drift of version %d, this program reads %d", v, driftSumsVersion)
	}
	got := DriftSums{n: r.uvarint(), m: r.uvarint()}
	for k, x := range got.all() {
		*x = r.sum()
		if x.special&^sumPosInf != 0 || k > 1 && x.special != 0 || x.negative() {
			r.bad = true // only a Kullback-Leibler divergence can be infinite
		}
	}
	if err := r.end(); err != nil {
		return err
	}
	*s = got
	return nil
}

// Drift finishes the measures. The error is ErrEmpty when one side has no observations.
func (s *DriftSums) Drift() (Drift, error) {
	if s.n == 0 || s.m == 0 {
		return Drift{}, ErrEmpty
	}
	scale := mul128(s.n, s.m).float()
	d := Drift{KL: s.kl.Float() / scale, KLBack: s.back.Float() / scale, JS: math.Min(math.Ln2, s.js.Float()/scale)}
	both := s.kl
	both.Merge(&s.back)
	d.PSI = both.Float() / scale
	d.Hellinger = math.Min(1, math.Sqrt(s.hellinger.Float()/scale))
	d.TotalVariation = math.Min(1, s.variation.Float()/scale)
	return d, nil
}
