package stats

import "math"

// NoDF is the DF of a test whose reference distribution has no degrees of freedom (exact and z tests).
const NoDF int64 = -1

// Result is what every test returns.
type Result struct {
	Method    string  // the test's name, such as "Pearson chi-square"
	Statistic float64 // finite, or +Inf where a zero makes the statistic infinite (then P is 0 and LnP −Inf)
	DF        int64   // degrees of freedom, or NoDF
	P         float64 // upper-tail or two-sided probability, 0…1
	LnP       float64 // natural logarithm of p, ≤ 0; finite whenever Statistic is, also where P underflows to 0
	N         uint64  // observations

	Rows, Cols  int     // levels left after empty rows and columns were dropped; Rows is 1 for a one-way table
	MinExpected float64 // the smallest expected count; 0 where the test has none
	Effect      Measure // the effect size that belongs to the test; not Defined where there is none
	Warnings    Warnings
}

// Measure is a number that can be undefined, with its standard error and interval where those exist.
type Measure struct {
	Name    string  // such as "cramers_v_bias_corrected"
	Value   float64 // 0 unless Defined; never NaN, may be ±Inf (an odds ratio with a zero)
	Defined bool
	SE      float64 // asymptotic standard error under multinomial sampling; 0 unless HasSE
	HasSE   bool
	Low     float64 // limits of the interval at Level
	High    float64
	Level   float64 // confidence level, such as 0.95; 0 when there is no interval
}

// measure names a defined value.
func measure(name string, v float64) Measure { return Measure{Name: name, Value: v, Defined: true} }

// undefined names a value that this table does not have.
func undefined(name string) Measure { return Measure{Name: name} }

// Interval adds the Wald interval Value ± z·SE at the given confidence level (0 < level < 1), clipped to [lo, hi]. A
// measure without a standard error is returned unchanged.
func (m Measure) Interval(level, lo, hi float64) Measure {
	if !m.Defined || !m.HasSE || !(level > 0 && level < 1) {
		return m
	}
	half := float64(normalTwoSidedCritical(level) * m.SE)
	m.Low, m.High, m.Level = math.Max(lo, m.Value-half), math.Min(hi, m.Value+half), level
	return m
}

// hugeN is the largest total that float64 holds exactly; above it a warning HugeCounts is due.
const hugeN = 1 << 53

// chiSquareResult fills P and LnP of a statistic referred to the chi-square distribution, with the conventions for
// df < 1 and for infinite statistics.
func chiSquareResult(method string, x float64, df int64, n uint64) Result {
	r := Result{Method: method, Statistic: x, DF: df, N: n, P: 1}
	switch {
	case df <= 0:
		r.Statistic, r.DF = 0, 0
	case math.IsInf(x, 1):
		r.P, r.LnP = 0, math.Inf(-1)
	default:
		r.P, r.LnP = ChiSquareSurvival(x, float64(df)), LnChiSquareSurvival(x, float64(df))
	}
	if n > hugeN {
		r.Warnings = r.Warnings.with(Warning{Kind: HugeCounts})
	}
	return r
}
