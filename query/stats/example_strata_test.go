package stats_test

import (
	"fmt"

	"github.com/quipudb/quipu/query/stats"
)

// Admissions at Berkeley, 1973: sex by admission in six departments, on two shards that each have whole departments.
func ExampleStrataSums() {
	counts := [][4]int64{{512, 313, 89, 19}, {353, 207, 17, 8}, {120, 205, 202, 391}, {138, 279, 131, 244}, {53, 138, 94, 299}, {22, 351, 24, 317}}
	var shards [2][]stats.Fourfold
	for k, c := range counts {
		f, _ := stats.NewFourfold(c[0], c[1], c[2], c[3])
		shards[k%2] = append(shards[k%2], f)
	}
	var first stats.StrataSums
	for _, shard := range shards {
		var share stats.StrataSums
		for _, f := range shard {
			_ = share.Add(f)
		}
		_ = first.Merge(&share)
	}
	second := stats.NewHomogeneitySums(&first)
	for _, shard := range shards {
		share := stats.NewHomogeneitySums(&first)
		for _, f := range shard {
			share.Add(f)
		}
		_ = second.Merge(share)
	}
	r, _ := first.CMH()
	h, _ := first.BreslowDayTarone(second)
	fmt.Printf("X² = %.2f, common odds ratio %.3f; one for all departments? p = %.4f\n", r.Statistic, r.Effect.Value, h.P)
	// Output:
	// X² = 1.52, common odds ratio 0.905; one for all departments? p = 0.0021
}
