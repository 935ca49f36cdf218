package stats_test

import (
	"fmt"

	"github.com/quipudb/quipu/query/stats"
)

// Fisher's lady tasting tea (1935): did she tell which was poured first?
func ExampleFisher() {
	tea, _ := stats.NewFourfold(3, 1, 1, 3)
	e, _ := stats.Fisher(tea)
	fmt.Printf("one-sided %.4f, two-sided %.4f, mid-p %.4f\n", e.Greater, e.P, e.MidP)
	or := tea.ConditionalOddsRatio(0.95)
	fmt.Printf("odds ratio %.3f (%.3f to %.1f)\n", or.Value, or.Low, or.High)
	// Output:
	// one-sided 0.2429, two-sided 0.4857, mid-p 0.2571
	// odds ratio 6.408 (0.212 to 626.2)
}

// Convictions of like-sex twins of criminals (Fisher 1962).
func ExampleBarnard() {
	twins, _ := stats.NewFourfold(2, 15, 10, 3)
	b, _ := stats.Barnard(twins)
	f, _ := stats.Fisher(twins)
	fmt.Printf("Barnard %.6f, Fisher %.6f\n", b.P, f.P)
	// Output: Barnard 0.000280, Fisher 0.000537
}

// Aspirin and myocardial infarction in the Physicians' Health Study (1988): placebo, then aspirin.
func ExampleFourfold_RiskRatio() {
	f, _ := stats.NewFourfold(189, 10845, 104, 10933)
	rr, rd := f.RiskRatio(0.95), f.RiskDifference(0.95, stats.Newcombe)
	fmt.Printf("risk ratio %.2f (%.2f to %.2f)\n", rr.Value, rr.Low, rr.High)
	fmt.Printf("risk difference %.4f (%.4f to %.4f)\n", rd.Value, rd.Low, rd.High)
	// Output:
	// risk ratio 1.82 (1.43 to 2.31)
	// risk difference 0.0077 (0.0047 to 0.0108)
}

func ExampleProportion() {
	p, _ := stats.Proportion(0, 10, 0.95, stats.Wilson)
	fmt.Printf("%.1f (%.4f to %.4f)\n", p.Value, p.Low, p.High)
	// Output: 0.0 (0.0000 to 0.2775)
}

func ExampleAdjustLn() {
	// The second is far below the smallest float64 and keeps its size.
	for _, l := range stats.AdjustLn([]float64{-4, -2000, -3.5}, stats.Holm) {
		fmt.Printf("%.4f ", l)
	}
	fmt.Println()
	// Output: -3.3069 -1998.9014 -3.3069
}

// Cars by cylinders and gears (Motor Trend, 1974): eight of nine cells expect fewer than five or so.
func ExampleFisherRxC() {
	cars, _ := stats.NewTable(3, 3, []int64{1, 8, 2, 2, 4, 1, 12, 0, 2})
	exact, _ := stats.FisherRxC(cars)
	m, _ := stats.NewMonteCarlo(cars, stats.ByProbability, 1)
	mc, _ := m.Run(100_000, 0.99)
	fmt.Printf("exact %.7f, inside the Monte Carlo interval: %v\n", exact.P, mc.Low < exact.P && exact.P < mc.High)
	// Output: exact 0.0000826, inside the Monte Carlo interval: true
}

func ExampleSampleSize() {
	n, _ := stats.SampleSize(0.1, 0.8, 1, 0.05)
	w, _ := stats.MinimumEffect(1000, 0.8, 1, 0.05)
	fmt.Printf("w = 0.1 needs %d; 1000 detect w = %.4f\n", n, w)
	// Output: w = 0.1 needs 785; 1000 detect w = 0.0886
}

// Two sample ratio checks of an experiment that should split evenly (Microsoft, 2012): the second is off.
func ExampleMultinomialE() {
	for _, c := range [][]int64{{821588, 822104}, {821588, 815482}} {
		counts, _ := stats.NewCounts(c)
		e, _ := stats.MultinomialE(counts, stats.EqualShares(2))
		fmt.Printf("ln E = %.2f, mismatch at α = 0.05: %v\n", e.LnE(), e.Rejects(0.05))
	}
	// Output:
	// ln E = -6.85, mismatch at α = 0.05: false
	// ln E = 4.46, mismatch at α = 0.05: true
}

func ExampleMonitor() {
	m, _ := stats.NewMonitor(stats.EqualShares(2)) // a fair coin?
	for m.P() > 0.05 {
		_ = m.Observe(0) // heads again
	}
	fmt.Printf("stopped after %d, E = %.1f\n", m.EValue().N, 1/m.EValue().P)
	// Output: stopped after 8, E = 28.4
}
