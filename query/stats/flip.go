package stats

import "math"

// FlipMin is a number of observations that a chi-square test of a table surely needs more of before its verdict at level alpha changes:
// however fewer are added, in whichever of its cells, p stays on its side of alpha. statistic is X² with df degrees of freedom, minExpected
// the least expected count. It is 0, which promises nothing, where one of them is not defined.
//
// Adding one observation moves the vector of the standardized residuals, whose length is √X², by little more than 1/√E of the cell, so that
// k of them move √X² by less than k/√(min E):
//
//	flip ≥ |√X² − √c| · √(min E),   c the critical value.
//
// That holds for observations in categories that the table has: a new category has an expected count of its own. The least number that
// is enough is larger, by a fifth at least and mostly three times, in the tables that TestFlipMinIsABound tries exhaustively.
func FlipMin(statistic, df, minExpected, alpha float64) int64 {
	if !(statistic >= 0 && df >= 1 && minExpected > 0 && alpha > 0 && alpha < 1) || math.IsInf(statistic, 0) {
		return 0
	}
	d := math.Abs(math.Sqrt(statistic)-math.Sqrt(ChiSquareCritical(alpha, df))) * math.Sqrt(minExpected)
	return int64(math.Ceil(math.Min(d, 1<<62)))
}
