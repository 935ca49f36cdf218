package stats

import "math"

// CramersV is Cramér's V of a Pearson test: √(X²/(n·min(r−1, c−1))), 0…1. It is biased upward, most in wide tables with
// few observations; CramersVCorrected is the one to report. Undefined when df = 0.
//
// Cramér, Mathematical Methods of Statistics (1946), §21.9.
func (r Result) CramersV() Measure { return r.rootOver("cramers_v", float64(min(r.Rows, r.Cols)-1)) }

// Phi is √(X²/n) of a Pearson test, 0…√min(r−1, c−1). Undefined when df = 0.
func (r Result) Phi() Measure { return r.rootOver("phi", 1) }

// TschuprowT is √(X²/(n·√((r−1)(c−1)))) of a Pearson test, 0…1; it reaches 1 in square tables only. Undefined when df = 0.
func (r Result) TschuprowT() Measure {
	return r.rootOver("tschuprow_t", math.Sqrt(float64(r.DF)))
}

// rootOver is √(X²/(n·k)) where df > 0. X²/n cannot exceed its largest value but by rounding.
func (r Result) rootOver(name string, k float64) Measure {
	if r.DF <= 0 {
		return undefined(name)
	}
	most := float64(min(r.Rows, r.Cols) - 1)
	return measure(name, math.Sqrt(math.Min(r.Statistic/float64(r.N), most)/k))
}

// ContingencyC is Pearson's coefficient √(X²/(X²+n)) of a Pearson test, 0…√((q−1)/q) with q = min(r, c). Undefined when
// df = 0.
func (r Result) ContingencyC() Measure {
	if r.DF <= 0 {
		return undefined("contingency_c")
	}
	return measure("contingency_c", math.Sqrt(r.Statistic/(r.Statistic+float64(r.N))))
}

// ContingencySakoda is ContingencyC divided by its largest value, so that it reaches 1. Undefined when df = 0.
func (r Result) ContingencySakoda() Measure {
	c := r.ContingencyC()
	c.Name = "contingency_c_sakoda"
	if c.Defined {
		q := float64(min(r.Rows, r.Cols))
		c.Value = math.Min(1, c.Value*math.Sqrt(q/(q-1)))
	}
	return c
}

// CramersVCorrected is Cramér's V corrected for bias: with φ̃² = max(0, X²/n − (r−1)(c−1)/(n−1)), r̃ = r − (r−1)²/(n−1)
// and c̃ alike it is √(φ̃²/min(r̃−1, c̃−1)). Undefined when df = 0 or min(r̃, c̃) ≤ 1.
//
// Bergsma, J. Korean Stat. Soc. 42 (2013).
func (r Result) CramersVCorrected() Measure {
	return r.corrected("cramers_v_bias_corrected", math.Min)
}

// TschuprowTCorrected is Tschuprow's T with the same correction: √(φ̃²/√((r̃−1)(c̃−1))).
func (r Result) TschuprowTCorrected() Measure {
	return r.corrected("tschuprow_t_bias_corrected", func(a, b float64) float64 { return math.Sqrt(float64(a * b)) })
}

func (r Result) corrected(name string, size func(rows, cols float64) float64) Measure {
	if r.DF <= 0 || r.N < 2 {
		return undefined(name)
	}
	m := float64(r.N - 1)
	less := func(k int) float64 { // r̃ − 1
		k1 := float64(k - 1)
		return k1 - float64(k1*k1)/m
	}
	rows, cols := less(r.Rows), less(r.Cols)
	if rows <= 0 || cols <= 0 {
		return undefined(name)
	}
	phi2 := math.Max(0, r.Statistic/float64(r.N)-float64(r.DF)/m)
	return measure(name, math.Min(1, math.Sqrt(phi2/size(rows, cols))))
}

// CramersVInterval is the bias-corrected V of a Pearson test with an interval for V in the population: V² = λ/(n·min(r−1,
// c−1)) for the noncentralities λ under which X² would be as large, or as small, as it is with probability (1−level)/2. The
// error is ErrArgument for a level outside (0, 1).
//
// Smithson, Confidence Intervals (2003), ch. 4.
func (r Result) CramersVInterval(level float64) (Measure, error) {
	r.Effect = r.CramersVCorrected()
	if err := checkLevel(level); err != nil || !r.Effect.Defined {
		return r.Effect, err
	}
	k := float64(min(r.Rows, r.Cols) - 1)
	return r.noncentral(level, func(share float64) float64 { return math.Min(1, math.Sqrt(share/k)) })
}

// CramersV is Cramér's V of a table, with its standard error; see Result.CramersV. The only error is ErrEmpty.
func CramersV(t *Table) (Measure, error) {
	a, err := Associations(t)
	return a.CramersV, err
}

// CramersVCorrected is the bias-corrected V of a table; see Result.CramersVCorrected. The only error is ErrEmpty.
func CramersVCorrected(t *Table) (Measure, error) {
	r, err := ChiSquare(t)
	return r.Effect, err
}

// Association holds the measures of association of a two-way table whose levels have no order. Each is undefined when
// one row or one column is left; those with a direction also when the variable to be predicted does not vary.
// Standard errors are asymptotic, by the delta method under multinomial sampling.
type Association struct {
	Phi, CramersV, CramersVCorrected, TschuprowT, TschuprowTCorrected, ContingencyC, ContingencySakoda Measure

	EntropyRows, EntropyCols, EntropyJoint, MutualInfo Measure // nats

	// Shares of uncertainty removed, 0…1: Theil's U, Goodman and Kruskal's λ and τ.
	TheilsUColGivenRow, TheilsURowGivenCol, TheilsUSymmetric Measure
	LambdaColGivenRow, LambdaRowGivenCol, LambdaSymmetric    Measure
	TauColGivenRow, TauRowGivenCol                           Measure
}

// Associations computes every measure of Association. The only error is ErrEmpty.
func Associations(t *Table) (Association, error) {
	p := NewPartial(t.frame, AssociationKinds)
	p.AddTable(t.frame, t)
	x := NewMaxima(t.rows, t.cols)
	t.each(x.Add)
	a, err := t.frame.Association(p, x)
	if err == nil {
		a.errors(t)
	}
	return a, err
}

// AssociationKinds are the statistics that Frame.Association needs of a Partial.
const AssociationKinds = KindPearson | KindG | KindTauCols | KindTauRows

// Association finishes the measures of association from the merged partial and maxima of every holder, without standard errors. f
// must be the frame of the whole table, in the numbering of the maxima. Errors as ChiSquare; ErrShape for maxima of another table.
func (f *Frame) Association(p *Partial, x *Maxima) (Association, error) {
	chi, err := f.ChiSquare(p)
	if err != nil {
		return Association{}, err
	}
	g, err := f.GTest(p)
	if err != nil {
		return Association{}, err
	}
	a := Association{
		Phi: chi.Phi(), CramersV: chi.CramersV(), CramersVCorrected: chi.CramersVCorrected(), TschuprowT: chi.TschuprowT(),
		TschuprowTCorrected: chi.TschuprowTCorrected(), ContingencyC: chi.ContingencyC(), ContingencySakoda: chi.ContingencySakoda(),
	}
	a.entropies(f, g)
	if a.TauColGivenRow, a.TauRowGivenCol, err = f.Tau(p); err != nil {
		return Association{}, err
	}
	a.LambdaColGivenRow, a.LambdaRowGivenCol, a.LambdaSymmetric, err = Lambda(&Margins{N: f.n, Rows: f.rows, Cols: f.cols}, x)
	return a, err
}
