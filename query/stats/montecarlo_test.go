package stats

import (
	"errors"
	"math"
	"testing"
)

// The exact p-value does not change when rows and columns are exchanged, and lies inside the interval of the draws.
func TestFisherRxCAgreesWithDraws(t *testing.T) {
	for _, cells := range [][][]int64{{{1, 8, 2}, {2, 4, 1}, {12, 0, 2}}, {{3, 3, 6}, {1, 5, 4}, {5, 2, 0}}, {{29, 7, 7}, {13, 7, 21}},
		{{1, 2, 1, 0}, {3, 3, 6, 1}, {10, 10, 14, 9}}} {
		table := mustTable(t, cells)
		r, err := FisherRxC(table)
		if err != nil {
			t.Fatal(err)
		}
		transposed, err := FisherRxC(table.Transpose())
		if err != nil {
			t.Fatal(err)
		}
		wantClose(t, "transposed", transposed.P, r.P, 1e-12)
		m, err := NewMonteCarlo(table, ByProbability, 7)
		if err != nil {
			t.Fatal(err)
		}
		mc, err := m.Run(100_000, 0.9999)
		if err != nil || r.P < mc.Low || r.P > mc.High {
			t.Errorf("%v: p = %v outside %+v, %v", cells, r.P, mc, err)
		}
	}
}

func mustTable(t testing.TB, rows [][]int64) *Table {
	t.Helper()
	var cells []int64
	for _, r := range rows {
		cells = append(cells, r...)
	}
	table, err := NewTable(len(rows), len(rows[0]), cells)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

var fiveByFive = [][]int64{{12, 7, 9, 4, 3}, {8, 11, 6, 5, 9}, {4, 6, 13, 8, 7}, {9, 5, 4, 12, 6}, {3, 8, 7, 6, 14}}

func TestMonteCarloSplitsAdd(t *testing.T) {
	for _, by := range []MonteCarloStatistic{ByProbability, ByPearson} {
		m, err := NewMonteCarlo(mustTable(t, fiveByFive), by, 42)
		if err != nil {
			t.Fatal(err)
		}
		whole := m.Exceedances(0, 20_000)
		for _, cut := range []uint64{0, 1, 777, 19_999} {
			if got := m.Exceedances(0, cut) + m.Exceedances(cut, 20_000); got != whole {
				t.Errorf("cut at %d: %d exceedances, want %d", cut, got, whole)
			}
		}
		r, err := m.Run(20_000, 0.95)
		if err != nil || r.Exceedances != whole {
			t.Errorf("Run: %+v, %v; want %d", r, err, whole)
		}
	}
}

// The draws have the margins, and the mean of each cell is its expected count.
func TestMonteCarloMargins(t *testing.T) {
	for _, table := range [][][]int64{{{3, 0, 1}, {2, 5, 4}}, {{30, 20, 41}, {22, 50, 40}}} {
		checkDraws(t, mustTable(t, table))
	}
}

func checkDraws(t *testing.T, table *Table) {
	m, err := NewMonteCarlo(table, ByProbability, 1)
	if err != nil {
		t.Fatal(err)
	}
	deck := make([]uint16, len(m.deck))
	cells, left, sums := make([]uint64, 6), make([]uint64, 3), make([]float64, 6)
	const draws = 40_000
	for i := range uint64(draws) {
		if m.deck != nil {
			m.deal(i, cells, deck)
		} else {
			m.draw(i, cells, left)
		}
		for j, c := range m.cols {
			if cells[j]+cells[3+j] != c {
				t.Fatal("column total", cells)
			}
		}
		if cells[0]+cells[1]+cells[2] != m.rows[0] {
			t.Fatal("row total", cells)
		}
		for k, o := range cells {
			sums[k] += float64(o)
		}
	}
	for k, s := range sums {
		e := float64(m.rows[k/3]*m.cols[k%3]) / float64(m.n)
		if math.Abs(s/draws-e) > 0.02*math.Sqrt(e) {
			t.Errorf("cell %d: mean %v, expected %v", k, s/draws, e)
		}
	}
}

func TestMonteCarloRefusals(t *testing.T) {
	if _, err := NewMonteCarlo(mustTable(t, [][]int64{{0, 0}, {0, 0}}), ByPearson, 1); !errors.Is(err, ErrEmpty) {
		t.Error(err)
	}
	if _, err := NewMonteCarlo(mustTable(t, [][]int64{{1 << 30, 0}, {0, 1}}), ByPearson, 1); !errors.Is(err, ErrArgument) {
		t.Error(err)
	}
	if _, err := new(MonteCarlo).Finish(0, 0, 0.95); !errors.Is(err, ErrEmpty) {
		t.Error(err)
	}
	if _, err := FisherRxC(mustTable(t, [][]int64{{0, 0}})); !errors.Is(err, ErrEmpty) {
		t.Error(err)
	}
	if _, err := FisherRxC(mustTable(t, [][]int64{{1 << 30, 1}, {1, 1}})); !errors.Is(err, ErrArgument) {
		t.Error(err)
	}
	if r, err := FisherRxC(mustTable(t, [][]int64{{3, 4, 0}, {0, 0, 0}})); err != nil || r.P != 1 || !r.Warnings.Has(OneLevel) {
		t.Error(r, err)
	}
}

func BenchmarkMonteCarlo5x5(b *testing.B) {
	m, err := NewMonteCarlo(mustTable(b, fiveByFive), ByProbability, 1)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := m.Run(1_000_000, 0.95); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkFisherMillion(b *testing.B) {
	f := fourfold(250_300, 249_700, 249_650, 250_350)
	for b.Loop() {
		if _, err := Fisher(f); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkScreen100k(b *testing.B) {
	tables := make([]Fourfold, 100_000)
	for i := range tables {
		x := uint64(i)
		tables[i] = fourfold(100+x%97, 200+x%89, 150+x%83, 120+x%71)
	}
	for b.Loop() {
		Screen(tables, BenjaminiHochberg)
	}
}
