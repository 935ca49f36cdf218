package sql

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// insertText is an INSERT of n rows of four dimensions and a count.
func insertText(n int) string {
	rng := rand.New(rand.NewPCG(1, 2))
	var b strings.Builder
	b.WriteString("INSERT INTO visits (country, browser, variant, converted, count) VALUES ")
	for i := range n {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "('country-%d', 'browser-%d', 'v%d', %v, %d)", rng.IntN(200), rng.IntN(20), rng.IntN(3), rng.IntN(2) == 0, 1+rng.IntN(50))
	}
	return b.String()
}

func BenchmarkInsert1000Rows(b *testing.B) {
	text := insertText(1000)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse(text); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(1000*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}

func BenchmarkSelect(b *testing.B) {
	for name, text := range map[string]string{
		"one":       "SELECT 1",
		"aggregate": "SELECT country, sum(count) AS n FROM visits WHERE variant = $1 AND browser IN ('a', 'b') GROUP BY country ORDER BY n DESC LIMIT 10",
		"test":      "SELECT country, chi2_test(variant, converted) FROM visits WHERE ts >= now() - interval '1 day' GROUP BY country ORDER BY ln_p LIMIT 3",
		"cte":       "WITH a AS (SELECT country, sum(count) AS n FROM visits GROUP BY 1), b AS (SELECT max(n) AS m FROM a) SELECT a.country, a.n / b.m FROM a CROSS JOIN b WHERE a.n > 10 ORDER BY 2 DESC",
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Parse(text); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
