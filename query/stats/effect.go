package stats

import "math"

// EffectInterval is the Effect of a result with an interval at the given level, where one is known:
//
//   - the bias-corrected V, Cohen's w and the mutual information from the noncentralities λ that the statistic does not
//     reject, of which they are √(λ/(n·min(r−1, c−1))), √(λ/n) and λ/2n (Smithson, Confidence Intervals, 2003, ch. 4);
//   - correlations (r and the signed φ) by Fisher's z, tanh(artanh r ± z/√(n−3));
//   - odds ratios on the scale of the logarithm, exp(ln ± z·SE);
//   - Somers' D by its standard error.
//
// An effect that has its interval at this level already, is undefined or is none of these is returned as it is. The error is ErrArgument
// for a level outside (0, 1).
func (r Result) EffectInterval(level float64) (Measure, error) {
	m := r.Effect
	if err := checkLevel(level); err != nil || !m.Defined || m.Level == level {
		return m, err
	}
	switch m.Name {
	case "cramers_v_bias_corrected":
		return r.CramersVInterval(level)
	case "cohens_w":
		return r.noncentral(level, func(share float64) float64 { return math.Sqrt(share) })
	case "mutual_info":
		return r.noncentral(level, func(share float64) float64 { return share / 2 })
	case "pearson_r", "phi_signed":
		return m.fisherZ(r.N, level), nil
	case "odds_ratio", "mh_odds_ratio", "woolf_pooled_odds_ratio":
		if m.HasSE {
			m = m.logInterval(log(m.Value), level)
		}
	case "somers_d_col_given_row":
		m = m.Interval(level, -1, 1)
	}
	return m, nil
}

// noncentral gives the Effect the ends size(λ/n) for the limits of λ.
func (r Result) noncentral(level float64, size func(share float64) float64) (Measure, error) {
	m := r.Effect
	if r.DF <= 0 || math.IsInf(r.Statistic, 0) {
		return m, nil
	}
	low, high, err := NoncentralityInterval(r.Statistic, r.DF, level)
	if err != nil {
		return m, err
	}
	m.Low, m.High, m.Level = size(low/float64(r.N)), size(high/float64(r.N)), level
	return m, nil
}

// fisherZ adds the interval of a correlation; there is none for r = ±1 or up to three observations.
func (m Measure) fisherZ(n uint64, level float64) Measure {
	if n <= 3 || math.Abs(m.Value) >= 1 {
		return m
	}
	z := float64((log1p(m.Value) - log1p(-m.Value)) / 2)
	half := float64(normalTwoSidedCritical(level) / math.Sqrt(float64(n-3)))
	m.Low, m.High, m.Level = tanh(z-half), tanh(z+half), level
	return m
}

// tanh is (e^2x − 1)/(e^2x + 1) by the form that does not overflow.
func tanh(x float64) float64 {
	if x < 0 {
		return -tanh(-x)
	}
	t := expm1(-2 * x)
	return -t / (t + 2)
}
