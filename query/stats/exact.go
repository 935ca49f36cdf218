package stats

import "math"

// ExactP is the result of an exact test. Its P and LnP are two-sided: the probability of all outcomes that are no more
// probable than the observed one. Beside them stand the other p-values that one may prefer. LnP is finite wherever P is
// positive as a real number. DF is NoDF.
type ExactP struct {
	Result
	MidP, LnMidP         float64 // two-sided, outcomes as probable as the observed one counted half
	Less, LnLess         float64 // P(X ≤ observed)
	Greater, LnGreater   float64 // P(X ≥ observed)
	MidLess, MidGreater  float64 // one-sided, the observed outcome counted half
	Central, LnCentral   float64 // twice the smaller one-sided p-value, at most 1
	Observed, LnObserved float64 // probability of the observed outcome
}

// newExactP takes the logarithms of the probabilities of the observed outcome and of both tails, each with that outcome.
func newExactP(lnObserved, lnLess, lnGreater float64) ExactP {
	return ExactP{Result: Result{DF: NoDF}, LnObserved: lnObserved, LnLess: lnLess, LnGreater: lnGreater}
}

// certain is the exact test when only one outcome is possible.
func certain() ExactP {
	e := newExactP(0, 0, 0)
	e.fill(1)
	return e
}

// fill derives the remaining values from the logarithms of the one-sided, two-sided and observed probabilities; tied is
// how many outcomes have exactly the observed probability.
func (e *ExactP) fill(tied float64) {
	e.P, e.Less, e.Greater, e.Observed = exp(e.LnP), exp(e.LnLess), exp(e.LnGreater), exp(e.LnObserved)
	e.MidLess, e.LnCentral = lessHalf(e.LnLess, e.LnObserved, 1), 0
	e.MidGreater = lessHalf(e.LnGreater, e.LnObserved, 1)
	e.MidP = lessHalf(e.LnP, e.LnObserved, tied)
	e.LnMidP = lnLessHalf(e.LnP, e.LnObserved, tied)
	e.LnCentral = math.Min(0, math.Ln2+math.Min(e.LnLess, e.LnGreater))
	e.Central = exp(e.LnCentral)
}

// lessHalf is p less half the probability of the tied outcomes, from logarithms.
func lessHalf(ln, lnObserved, tied float64) float64 { return exp(lnLessHalf(ln, lnObserved, tied)) }

func lnLessHalf(ln, lnObserved, tied float64) float64 {
	if math.IsInf(ln, -1) {
		return ln
	}
	return math.Min(0, ln+log1p(-math.Min(1, exp(lnObserved-ln)*tied/2)))
}
