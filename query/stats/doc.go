// Package stats holds the statistics of contingency tables: tests of independence and of fit, measures of association,
// stratified and paired analyses, exact and anytime-valid inference. It is pure: values in, values out, no I/O, no
// randomness but what the caller seeds, no goroutine that outlives a call.
//
// # One call
//
// Build a table of counts and ask:
//
//	t, err := stats.NewTable(2, 2, []int64{28, 18, 12, 22}) // rows of the table, one after the other
//	r, err := stats.ChiSquare(t)
//	fmt.Println(r.Statistic, r.DF, r.P, r.LnP, r.Warnings)
//
// A constructor checks the counts once (no count below zero, no total above 2⁶⁴−1); afterwards the only error left is
// ErrEmpty, for a table without observations, and errors of the question itself (scores that are too few, a level
// outside 0…1). A table with one row or one column is not an error: the statistic is 0, df is 0 and p is 1, with a
// warning OneLevel. Rows and columns of zeros are dropped before anything is computed, so df counts what was observed.
//
// # Two phases
//
// A table may be spread over many holders, each of which has some of its cells whole. Then
//
//  1. each holder adds up its Margins; they are integers, and merge by adding;
//  2. the global margins make a Frame, and with it each holder turns its cells into a Partial, which holds one exact,
//     order-free Sum per statistic; partials merge exactly;
//  3. finishing the merged Partial against the Frame rounds once and gives the Result.
//
// Others have the same three steps under their own names: StrataSums and HomogeneitySums for 2×2 tables in strata, GeneralSums for
// larger ones, ScoreSums for trends, Maxima for λ, CochranSums, DriftSums, and ranges of draws for a MonteCarlo. Tables of pairs
// and one-way tables are their own shares: add up the counts.
//
// The bits of the result do not depend on how cells were cut, ordered or merged, nor on the machine. ChiSquare, GTest and
// their kin are this same path with one holder, so there is one implementation. What must not be done is to add
// statistics of parts of a cell: squares do not add. Merge counts first.
//
// # Numbers
//
// Counts are int64, totals uint64, and products of totals are 128-bit integers; the residual
//
//	D = n·O − R·C
//
// of a cell is therefore exact, and so is independence: a table whose cells are all as expected gives exactly 0 and
// exactly p = 1, however large its counts. Statistics are sums of non-negative terms in D, so nothing cancels. P-values
// are upper tails, never 1 − CDF, and come with their natural logarithm LnP, which stays finite when P is below the
// smallest float64; order and correct for multiplicity by LnP. Logarithms and exponentials are the package's own, in
// portable Go with explicit rounding, so that amd64 and arm64 agree to the last bit.
//
// # Results
//
// Every test returns a Result, or a value that embeds one and adds what only it has: ExactP, UnconditionalP, MonteCarloP, EValue,
// Trend. So whoever calls tests from a table of functions treats all alike. The Effect is the size of what was found;
// Result.EffectInterval gives it an interval where one is known.
//
// Where a quantity is undefined (an odds ratio 0/0, a measure of a table with one row) its Defined field is false; no
// function returns NaN.
//
// # Which test
//
// docs/statistics.md of the repository is the page for analysts. In short: ChiSquare for two categorical variables, Fisher
// when expected counts are small, GoodnessOfFit for one variable against known shares, McNemar and Bowker for pairs,
// CMH for 2×2 tables in strata, CochranArmitage and LinearByLinear where levels have an order, CramersV and its kin for the
// size of an effect, and the e-values when you look at the data while it grows.
package stats
