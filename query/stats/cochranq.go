package stats

import "encoding/binary"

// CochranQ tests whether k treatments have the same share of successes on the same subjects, from counts of response
// patterns: pattern p has 1 in the treatments that succeeded, and was seen counts[p] times. With G_j successes of
// treatment j and L successes of a subject,
//
//	Q = (k−1)·[k ΣG² − (ΣG)²]/(k ΣL − ΣL²)  on k−1 degrees of freedom.
//
// Subjects with all or no successes say nothing. Errors: ErrEmpty; ErrShape for patterns of different length or another
// number of counts; ErrNegative, ErrOverflow.
//
// Cochran, Biometrika 37 (1950).
func CochranQ(patterns [][]bool, counts []int64) (Result, error) {
	if len(patterns) != len(counts) {
		return Result{}, shapeError("%d patterns, %d counts", len(patterns), len(counts))
	}
	if len(patterns) == 0 {
		return Result{}, ErrEmpty
	}
	x := NewCochranSums(len(patterns[0]))
	for p, pattern := range patterns {
		if err := x.Add(pattern, counts[p]); err != nil {
			return Result{}, err
		}
	}
	return x.CochranQ()
}

// CochranSums are the sums over subjects that Cochran's Q decomposes into: integers that merge in any order, whoever counted which
// subject.
type CochranSums struct {
	n    uint64
	wins []uint64 // successes of each treatment
	down i256     // Σ L(k − L)
}

// NewCochranSums makes sums without subjects for the given number of treatments.
func NewCochranSums(treatments int) *CochranSums {
	return &CochranSums{wins: make([]uint64, max(0, treatments))}
}

// Add counts subjects with one pattern of responses. Errors, which change nothing: ErrShape for another number of responses than
// treatments; ErrNegative; ErrOverflow.
func (x *CochranSums) Add(pattern []bool, count int64) error {
	if len(pattern) != len(x.wins) {
		return shapeError("a pattern of %d responses for %d treatments", len(pattern), len(x.wins))
	}
	if count < 0 {
		return ErrNegative
	}
	n, ok := addU64(x.n, uint64(count))
	if !ok {
		return ErrOverflow
	}
	x.n = n
	var successes uint64
	for j, yes := range pattern {
		if yes {
			successes++
			x.wins[j] += uint64(count)
		}
	}
	x.down.addMul(mul128(successes, uint64(len(pattern))-successes), uint64(count))
	return nil
}

// Merge adds another holder's subjects. Errors, which leave x unchanged: ErrShape, ErrOverflow.
func (x *CochranSums) Merge(o *CochranSums) error {
	if len(x.wins) != len(o.wins) {
		return shapeError("%d and %d treatments", len(x.wins), len(o.wins))
	}
	n, ok := addU64(x.n, o.n)
	if !ok {
		return ErrOverflow
	}
	x.n = n
	addTotals(x.wins, o.wins)
	x.down.add(o.down)
	return nil
}

const cochranSumsVersion = 1

// AppendBinary appends the encoding: version 1; the number of subjects, that of treatments and the successes of each, as unsigned
// varints; Σ L(k − L) as 32 bytes, little-endian.
func (x *CochranSums) AppendBinary(b []byte) ([]byte, error) {
	b = append(b, cochranSumsVersion)
	b = binary.AppendUvarint(b, x.n)
	b = binary.AppendUvarint(b, uint64(len(x.wins)))
	for _, v := range x.wins {
		b = binary.AppendUvarint(b, v)
	}
	for _, w := range x.down {
		b = binary.LittleEndian.AppendUint64(b, w)
	}
	return b, nil
}

// UnmarshalBinary reads what AppendBinary wrote, and nothing after it. The error is ErrEncoding, also for sums that no subjects
// have; it leaves x unchanged.
func (x *CochranSums) UnmarshalBinary(b []byte) error {
	r := reader{b: b}
	if v := r.byte(); v != cochranSumsVersion {
		return encodingError("sums of Cochran's Q of version %d, this program reads %d", v, cochranSumsVersion)
	}
	got := CochranSums{n: r.uvarint(), wins: r.totals()}
	for k := range got.down {
		got.down[k] = r.uint64()
	}
	if err := r.end(); err != nil {
		return err
	}
	// Each of n subjects adds at most k²/4.
	var most i256
	k := uint64(len(got.wins))
	most.addMul(mul128(k, k), got.n)
	most.sub(got.down)
	if exceeds(got.wins, repeat(got.n, len(got.wins))) || got.down.negative() || most.negative() {
		return encodingError("sums of Cochran's Q that no subjects have")
	}
	*x = got
	return nil
}

func repeat(v uint64, k int) []uint64 {
	list := make([]uint64, k)
	for i := range list {
		list[i] = v
	}
	return list
}

// CochranQ finishes the test; see the function CochranQ. The only error is ErrEmpty.
func (x *CochranSums) CochranQ() (Result, error) {
	if x.n == 0 {
		return Result{}, ErrEmpty
	}
	statistic, df := 0.0, int64(0)
	if x.down != (i256{}) {
		statistic, df = x.q(), int64(len(x.wins)-1)
	}
	r := chiSquareResult("Cochran Q", statistic, df, x.n)
	r.Rows, r.Cols = 1, len(x.wins)
	if r.DF == 0 {
		r.Warnings = r.Warnings.with(Warning{Kind: ZeroVariance})
	}
	return r, nil
}

// q takes k ΣG² − (ΣG)² as the sum of squared differences over all pairs of treatments, which cannot cancel.
func (x *CochranSums) q() float64 {
	var up i256
	for i, a := range x.wins {
		for _, b := range x.wins[:i] {
			d := max(a, b) - min(a, b)
			up.addU128(mul128(d, d))
		}
	}
	return up.wide().mul(wideFrom(float64(len(x.wins) - 1))).div(x.down.wide()).float()
}
