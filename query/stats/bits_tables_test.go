package stats

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
)

// TestBitsOfTables holds the exact bits of every statistic of the table families on seeded tables of all sizes: they must
// be the same on every architecture. Run it on another one with integration/peers/arm64_stats.sh.
func TestBitsOfTables(t *testing.T) {
	const file = "testdata/bits_tables.txt"
	r := rand.New(rand.NewPCG(41, 42))
	var b strings.Builder
	for range 60 {
		fmt.Fprintf(&b, "%016x\n", tableBits(t, anyTable(r)))
	}
	if *rewriteBits {
		if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	got, want := strings.Split(b.String(), "\n"), strings.Split(string(raw), "\n")
	for i := range got {
		if i >= len(want) || got[i] != want[i] {
			t.Errorf("table %d:\n got %s\nwant %s", i, got[i], append(want, make([]string, len(got))...)[i])
		}
	}
}

// tableBits lists the bits of everything that is computed from one table, as two-way, one-way, paired and stratified.
func tableBits(t *testing.T, u *Table) []uint64 {
	bits := append(fingerprint(u), directed(u)...)
	add := func(xs ...float64) {
		for _, x := range xs {
			bits = append(bits, math.Float64bits(x))
		}
	}
	measures := func(ms ...Measure) {
		for _, m := range ms {
			add(m.Value, m.SE)
		}
	}
	result := func(r Result, err error) {
		if err != nil {
			t.Fatal(err)
		}
		add(r.Statistic, r.LnP, r.Effect.Value, r.Effect.Low)
	}
	a, _ := Associations(u)
	measures(a.CramersV, a.MutualInfo, a.TheilsUColGivenRow, a.TauColGivenRow)
	o, _ := Ordinal(u)
	measures(o.Gamma, o.TauB, o.TauC, o.SomersDColGivenRow, o.SpearmanRho, o.PearsonR)
	result(LinearByLinear(u, nil, nil))
	jt, err := JonckheereTerpstra(u)
	result(jt.Result, err)
	cells, _ := Residuals(u)
	add(cells[0].Pearson, cells[0].Deviance, cells[0].Adjusted.Value, cells[0].LnP)
	c, _ := NewCounts(u.dense)
	shares, err := NewShares(weightsFor(len(u.dense))...)
	if err != nil {
		t.Fatal(err)
	}
	result(GoodnessOfFitG(c, shares, 0))
	result(GoodnessOfFitDivergence(c, shares, 0, 2./3))
	if u.rows == u.cols {
		p := Pairs{u}
		result(Bowker(p))
		result(StuartMaxwell(p))
		k, _ := Kappa(p, QuadraticWeights)
		measures(k)
	}
	if s, err := NewStrata(u, u.Transpose().Transpose()); err == nil {
		g, err := GeneralizedCMH(s, nil, nil)
		result(g.General, err)
		result(g.Linear, err)
		if u.rows == 2 && u.cols == 2 {
			result(CMH(s))
			result(BreslowDayTarone(s))
			result(Woolf(s))
		}
		m, _ := ParseModel("[AB][AC][BC]")
		fit, err := LogLinear(s, m)
		if err != nil {
			t.Fatal(err)
		}
		add(fit.G2.Statistic, fit.X2.Statistic, fit.Expected[0][0][0])
	}
	return bits
}

func weightsFor(k int) []float64 {
	w := make([]float64, k)
	for i := range w {
		w[i] = 1 + float64(i)/7
	}
	return w
}
