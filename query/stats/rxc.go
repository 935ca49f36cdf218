package stats

import (
	"encoding/binary"
	"math"
	"math/big"
	"slices"
)

// rxcWorkMax bounds the number of columns that the exact test of an r×c table may place: about two seconds.
const rxcWorkMax = 20_000_000

// FisherRxC is Fisher's exact test of a table of any shape: the probability, given both margins, of the tables that are no
// more probable than the observed one; ties are found exactly. The Statistic is the natural logarithm of the observed table's
// probability, the Effect the bias-corrected V. ErrEmpty without observations, ErrArgument for a table whose
// enumeration would be too long: use MonteCarlo then.
//
// Freeman & Halton 1951; the enumeration goes column by column over the sorted remaining row totals, as in the network
// algorithm of Mehta & Patel (1983), and closes a branch when all its completions lie on one side.
func FisherRxC(t *Table) (Result, error) {
	if t.N() == 0 {
		return Result{}, ErrEmpty
	}
	d := t.reduced()
	r := Result{Method: "Fisher-Freeman-Halton exact", DF: NoDF, P: 1, N: t.N(), Rows: d.r, Cols: d.c, MinExpected: t.frame.MinExpected()}
	r.Effect, _ = CramersVCorrected(t)
	if d.r < 2 || d.c < 2 {
		r.Warnings = r.Warnings.with(Warning{Kind: OneLevel})
		return r, nil
	}
	e, err := newEnumeration(d)
	if err != nil {
		return Result{}, err
	}
	r.Statistic = math.Min(0, e.observed-e.rest(e.rows))
	p, err := e.run()
	if err != nil {
		return Result{}, err
	}
	r.P = clampUnit(p)
	r.LnP = math.Min(0, log(p))
	return r, nil
}

// An enumeration places the columns of a table one after the other. A node is what remains: the sorted row totals and the
// number of the next column. The weight of a column is C!/∏ cell!.
type enumeration struct {
	cols     []uint64 // column totals, the largest first
	ln       []float64
	observed float64 // Σ ln weight of the observed table
	product  *big.Int
	rows     []uint64
	bounds   map[string][2]float64 // least and greatest ln weight of the completions of a node
	work     int
	sum      float64
	cells    []uint64 // of the columns placed so far
}

func newEnumeration(d *reduced) (*enumeration, error) {
	const totalMax = 100_000
	if d.n > totalMax || min(d.r, d.c) > 8 {
		return nil, errTooLong()
	}
	e := &enumeration{rows: slices.Clone(d.rows), cols: slices.Clone(d.cols), bounds: map[string][2]float64{}, ln: lnFactorials(d.n)}
	if d.r > d.c { // fewer rows make fewer nodes
		e.rows, e.cols = e.cols, e.rows
	}
	slices.Sort(e.rows)
	slices.Sort(e.cols)
	slices.Reverse(e.cols)
	e.product = factorialProduct(d.cells)
	for _, c := range e.cols {
		e.observed += e.ln[c]
	}
	for _, o := range d.cells {
		e.observed -= e.ln[o]
	}
	return e, nil
}

func errTooLong() error {
	return argumentError("the table is too large to enumerate; use the Monte Carlo test")
}

// lnFactorials gives ln k! for k = 0…n.
func lnFactorials(n uint64) []float64 {
	out := make([]float64, n+1)
	for k := range out {
		out[k] = lgamma(float64(k) + 1)
	}
	return out
}

func factorialProduct(cells []uint64) *big.Int {
	p := big.NewInt(1)
	for _, o := range cells {
		p.Mul(p, risingProduct(0, o))
	}
	return p
}

// rest is ln of Σ over all completions of the product of their weights: M!/∏ρ!, with M the sum of what remains.
func (e *enumeration) rest(rows []uint64) float64 {
	total, ln := uint64(0), 0.0
	for _, r := range rows {
		total += r
		ln -= e.ln[r]
	}
	return ln + e.ln[total]
}

func (e *enumeration) run() (float64, error) {
	e.visit(e.rows, 0, 0)
	if e.work > rxcWorkMax {
		return 0, errTooLong()
	}
	return e.sum * exp(-e.rest(e.rows)), nil
}

// tieGap is the difference of two logarithms above which floats can tell which is greater.
const tieGap = 1e-9

// visit adds the completions of a node that are no more probable than the observed table; past is ln of the weights of the
// columns placed.
func (e *enumeration) visit(rows []uint64, column int, past float64) {
	if e.work > rxcWorkMax {
		return
	}
	if column == len(e.cols)-1 {
		// The last column is what remains.
		ln := past + e.rest(rows)
		if ln < e.observed-tieGap || ln <= e.observed+tieGap && e.noMoreProbable(rows) {
			e.sum += exp(ln)
		}
		return
	}
	b := e.bound(rows, column)
	switch {
	case past+b[1] < e.observed-tieGap:
		e.sum += exp(past + e.rest(rows))
		return
	case past+b[0] > e.observed+tieGap:
		return
	}
	e.split(rows, column, func(cells, left []uint64, weight float64) {
		mark := len(e.cells)
		e.cells = append(e.cells, cells...)
		e.visit(left, column+1, past+weight)
		e.cells = e.cells[:mark]
	})
}

// noMoreProbable compares a finished table with the observed one by whole numbers.
func (e *enumeration) noMoreProbable(last []uint64) bool {
	p := factorialProduct(e.cells)
	return p.Mul(p, factorialProduct(last)).Cmp(e.product) >= 0
}

// bound is the least and the greatest ln weight of the completions of a node, each computed once.
func (e *enumeration) bound(rows []uint64, column int) [2]float64 {
	if column == len(e.cols)-1 {
		ln := e.rest(rows)
		return [2]float64{ln, ln}
	}
	key := nodeKey(rows, column)
	if b, ok := e.bounds[key]; ok {
		return b
	}
	b := [2]float64{math.Inf(1), math.Inf(-1)}
	e.split(rows, column, func(_, left []uint64, weight float64) {
		below := e.bound(left, column+1)
		b[0], b[1] = math.Min(b[0], weight+below[0]), math.Max(b[1], weight+below[1])
	})
	e.bounds[key] = b
	return b
}

func nodeKey(rows []uint64, column int) string {
	b := make([]byte, 0, 4+4*len(rows))
	b = binary.AppendUvarint(b, uint64(column))
	for _, r := range rows {
		b = binary.AppendUvarint(b, r)
	}
	return string(b)
}

// split calls fn with every way to place a column: its cells, the sorted rows that remain, and its ln weight. The slices
// passed are valid during the call.
func (e *enumeration) split(rows []uint64, column int, fn func(cells, left []uint64, weight float64)) {
	k := len(rows)
	cells, after := make([]uint64, k), make([]uint64, k+1)
	for i := k - 1; i >= 0; i-- {
		after[i] = after[i+1] + rows[i]
	}
	left := make([]uint64, k)
	var place func(i int, need uint64, weight float64)
	place = func(i int, need uint64, weight float64) {
		if i == k {
			e.work++
			for j := range left {
				left[j] = rows[j] - cells[j]
			}
			slices.Sort(left)
			fn(cells, left, weight)
			return
		}
		low := uint64(0)
		if need > after[i+1] {
			low = need - after[i+1]
		}
		for x := low; x <= min(rows[i], need) && e.work <= rxcWorkMax; x++ {
			cells[i] = x
			place(i+1, need-x, weight-e.ln[x])
		}
	}
	place(0, e.cols[column], e.ln[e.cols[column]])
}
