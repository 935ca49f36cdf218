package stats

import (
	"math"
	"math/bits"
	"runtime"
	"sync"
	"sync/atomic"
)

// MonteCarloStatistic says what a Monte Carlo test compares.
type MonteCarloStatistic uint8

// The statistics of a Monte Carlo test.
const (
	ByProbability MonteCarloStatistic = iota // tables no more probable than the observed one: Fisher's test
	ByPearson                                // tables with a Pearson statistic at least as large
)

const (
	monteCarloTotalMax = 1 << 22 // observations
	monteCarloCellsMax = 1 << 16
)

// A MonteCarlo draws tables with the margins of a given one, as they come when rows and columns are independent, and counts
// those at least as extreme. Draw i is a function of the seed and i alone, so the count of a range of draws is the same
// however the draws are divided, and the counts of disjoint ranges add. It is safe for concurrent use.
//
// Small tables are dealt from a shuffled deck, larger ones drawn cell by cell as in Patefield, Algorithm AS 159, Applied Statistics 30 (1981).
type MonteCarlo struct {
	rows, cols []uint64
	n          uint64
	by         MonteCarloStatistic
	seed       uint64
	ln         []float64
	weight     []float64 // 1/(R·C) of each cell, for Pearson
	threshold  float64   // a draw counts when its statistic is at least this
	inverse    []float64 // 1/k
	deck       []uint16  // the column of each observation, in order; nil where cells are drawn instead
	about      Result    // all of the result but its p-value
}

// NewMonteCarlo prepares the draws. ErrEmpty without observations; ErrArgument above 2²² observations or 2¹⁶ cells, where
// the chi-square distribution serves better.
func NewMonteCarlo(t *Table, by MonteCarloStatistic, seed uint64) (*MonteCarlo, error) {
	if t.N() == 0 {
		return nil, ErrEmpty
	}
	d := t.reduced()
	if d.n > monteCarloTotalMax || d.r*d.c > monteCarloCellsMax {
		return nil, argumentError("%d observations in %d cells; a Monte Carlo test takes up to %d in %d", d.n, d.r*d.c,
			monteCarloTotalMax, monteCarloCellsMax)
	}
	m := &MonteCarlo{rows: d.rows, cols: d.cols, n: d.n, by: by, seed: seed, ln: lnFactorials(d.n)}
	m.weight = make([]float64, d.r*d.c)
	for i, r := range d.rows {
		for j, c := range d.cols {
			m.weight[i*d.c+j] = 1 / float64(r) / float64(c)
		}
	}
	m.prepare()
	m.describe(t, d)
	// Equal statistics come out equal to a few ulp of the sum, whatever the order of their cells.
	observed := m.statistic(d.cells)
	m.threshold = observed - float64(1e-11*math.Max(1e-300, math.Abs(observed)))
	return m, nil
}

// describe fills what a result says beside its p-value.
func (m *MonteCarlo) describe(t *Table, d *reduced) {
	r, _ := ChiSquare(t) // it has observations
	m.about = Result{Method: "Monte Carlo, Pearson chi-square", Statistic: r.Statistic, DF: NoDF, N: d.n, Rows: d.r, Cols: d.c,
		MinExpected: r.MinExpected, Effect: r.Effect}
	if d.r == 1 || d.c == 1 {
		m.about.Warnings = m.about.Warnings.with(Warning{Kind: OneLevel})
	}
	if m.by == ByProbability {
		m.about.Method, m.about.Statistic = "Monte Carlo, Fisher", -m.ln[d.n]
		for _, totals := range [][]uint64{d.rows, d.cols} {
			for _, v := range totals {
				m.about.Statistic += m.ln[v]
			}
		}
		m.about.Statistic = math.Min(0, m.about.Statistic-m.statistic(d.cells))
	}
}

// deckPerCell is the number of observations per free cell up to which a draw deals every observation: a card costs about
// 4 ns, a cell 100 ns and more.
const deckPerCell = 25

// prepare chooses between dealing observations and drawing cells, by the size of the table alone.
func (m *MonteCarlo) prepare() {
	if m.n <= uint64(deckPerCell*(len(m.rows)-1)*(len(m.cols)-1)) {
		for j, c := range m.cols {
			for range c {
				m.deck = append(m.deck, uint16(j))
			}
		}
		return
	}
	m.inverse = make([]float64, m.n+2)
	for k := range m.inverse[1:] {
		m.inverse[k+1] = 1 / float64(k+1)
	}
}

// statistic rises with extremeness: Σ ln O!, or Σ O²/(R·C).
func (m *MonteCarlo) statistic(cells []uint64) float64 {
	sum := 0.0
	if m.by == ByPearson {
		for i, o := range cells {
			x := float64(o)
			sum += float64(x * x * m.weight[i])
		}
		return sum
	}
	for _, o := range cells {
		sum += m.ln[o]
	}
	return sum
}

// Exceedances counts the draws with number from ≤ i < to that are at least as extreme as the observed table.
func (m *MonteCarlo) Exceedances(from, to uint64) uint64 {
	cells, left, deck := make([]uint64, len(m.weight)), make([]uint64, len(m.cols)), make([]uint16, len(m.deck))
	count := uint64(0)
	for i := from; i < to; i++ {
		if m.deck != nil {
			m.deal(i, cells, deck)
		} else {
			m.draw(i, cells, left)
		}
		if m.statistic(cells) >= m.threshold {
			count++
		}
	}
	return count
}

// stream gives the random numbers of draw i.
func (m *MonteCarlo) stream(i uint64) counterStream {
	return counterStream{state: mix64(m.seed ^ mix64(i+0x9e3779b97f4a7c15))}
}

// deal fills cells with draw i: the columns of the observations are shuffled (Fisher and Yates) and dealt to the rows.
func (m *MonteCarlo) deal(i uint64, cells []uint64, deck []uint16) {
	stream := m.stream(i)
	copy(deck, m.deck)
	clear(cells)
	c := len(m.cols)
	next := 0
	for r, total := range m.rows {
		row := cells[r*c : (r+1)*c]
		if r == len(m.rows)-1 {
			for _, j := range deck[next:] {
				row[j]++
			}
			return
		}
		for range total {
			k, _ := bits.Mul64(stream.next(), uint64(len(deck)-next))
			at := next + int(k)
			row[deck[at]]++
			deck[at] = deck[next]
			next++
		}
	}
}

// draw fills cells with draw i: row by row, each cell hypergeometric given what remains.
func (m *MonteCarlo) draw(i uint64, cells, left []uint64) {
	stream := m.stream(i)
	copy(left, m.cols)
	c := len(m.cols)
	remaining := m.n // in the rows not yet drawn
	for r, total := range m.rows {
		row := cells[r*c : (r+1)*c]
		if r == len(m.rows)-1 {
			copy(row, left)
			return
		}
		need, pool := total, remaining
		for j := range row {
			if j == c-1 || need == 0 {
				row[j] = need
				left[j] -= need
				for k := j + 1; k < c; k++ {
					row[k] = 0
				}
				break
			}
			x := m.cell(&stream, need, left[j], pool)
			pool -= left[j]
			row[j] = x
			left[j] -= x
			need -= x
		}
		remaining -= total
	}
}

// cell draws how many of need items, taken from a pool, are among the marked ones, by inversion from the mode outwards.
func (m *MonteCarlo) cell(stream *counterStream, need, marked, pool uint64) uint64 {
	if marked == 0 {
		return 0
	}
	if marked == pool {
		return need
	}
	other := pool - marked
	low := uint64(0)
	if need > other {
		low = need - other
	}
	high := min(need, marked)
	k := max(low, min(high, (need+1)*(marked+1)/(pool+2)))
	ln, inverse := m.ln, m.inverse
	p := float64(exp(ln[need] + ln[pool-need] + ln[marked] + ln[other] - ln[pool] - ln[k] - ln[need-k] - ln[marked-k] - ln[other-(need-k)]))
	u := stream.uniform() - p
	up, down, pUp, pDown := k, k, p, p
	for u > 0 {
		if up == high && down == low {
			return k // rounding left a remainder below 1e-13
		}
		if up < high {
			pUp = float64(pUp * (float64((need-up)*(marked-up)) * inverse[up+1] * inverse[other-need+up+1]))
			up++
			if u -= pUp; u <= 0 {
				return up
			}
		}
		if down > low {
			pDown = float64(pDown * (float64(down*(other-need+down)) * inverse[need-down+1] * inverse[marked-down+1]))
			down--
			if u -= pDown; u <= 0 {
				return down
			}
		}
	}
	return k
}

// A counterStream gives the random numbers of one draw: SplitMix64 from a state that is a hash of seed and number.
type counterStream struct{ state uint64 }

func (s *counterStream) next() uint64 {
	s.state += 0x9e3779b97f4a7c15
	return mix64(s.state)
}

// uniform is a number strictly between 0 and 1.
func (s *counterStream) uniform() float64 {
	return float64((float64(s.next()>>11) + 0.5) * 0x1p-53)
}

// mix64 is the finalizer of SplitMix64 (Steele, Lea & Flood 2014).
func mix64(x uint64) uint64 {
	x ^= x >> 30
	x *= 0xbf58476d1ce4e5b9
	x ^= x >> 27
	x *= 0x94d049bb133111eb
	return x ^ x>>31
}

// A MonteCarloP is the result of a Monte Carlo test. P = (exceedances+1)/(draws+1) keeps the error of the first kind below the
// level whatever the number of draws; [Low, High] is the Clopper–Pearson interval of the exact p-value. The Statistic is Pearson's,
// or the natural logarithm of the observed table's probability; the Effect is the bias-corrected V.
type MonteCarloP struct {
	Result
	Low, High   float64
	Exceedances uint64
	Draws       uint64
}

// Finish makes a p-value of the exceedances among draws, with an interval at the given level. Errors: ErrEmpty without draws;
// ErrArgument for more exceedances than draws or a level outside (0, 1).
func (m *MonteCarlo) Finish(exceedances, draws uint64, level float64) (MonteCarloP, error) {
	share, err := Proportion(exceedances, draws, level, ClopperPearson)
	if err != nil {
		return MonteCarloP{}, err
	}
	p := MonteCarloP{Result: m.about, Low: share.Low, High: share.High, Exceedances: exceedances, Draws: draws}
	p.P = (float64(exceedances) + 1) / (float64(draws) + 1)
	p.LnP = log(p.P)
	return p, nil
}

// Run makes draws 0…draws−1 on all processors and finishes; errors as Finish. The answer does not depend on how many there are.
func (m *MonteCarlo) Run(draws uint64, level float64) (MonteCarloP, error) {
	var total atomic.Uint64
	inParts(draws, func(from, to uint64) { total.Add(m.Exceedances(from, to)) })
	return m.Finish(total.Load(), draws, level)
}

// inParts calls fn for parts that make up 0…n−1, one on each processor, and waits for all.
func inParts(n uint64, fn func(from, to uint64)) {
	workers := uint64(max(1, min(runtime.GOMAXPROCS(0), 64)))
	begin := func(w uint64) uint64 { return n/workers*w + min(w, n%workers) }
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() { fn(begin(w), begin(w+1)) })
	}
	wg.Wait()
}
