package check

import (
	"fmt"
	"testing"
)

// BenchmarkCheckers judges 100,000 and 1,000,000 adds with 10,000 reads of one to four shards and 32 writers: 128 chains.
//
//	go test -bench Checkers -run xxx ./integration/check
func BenchmarkCheckers(b *testing.B) {
	for _, w := range []workload{
		{shards: 4, clients: 32, adds: 2_100, reads: 320, deltaMax: 1 << 32, calm: true},
		{shards: 4, clients: 32, adds: 21_000, reads: 320, deltaMax: 1 << 32, calm: true},
	} {
		h := simulate(1, w, sound)
		l, err := Prepare(h)
		if err != nil {
			b.Fatal(err)
		}
		for _, c := range []struct {
			name  string
			check func() []Anomaly
		}{
			{"prepare", func() []Anomaly { l, _ := Prepare(h); return l.broken }},
			{"bounds", l.Bounds}, {"strict", l.Strict}, {"graph", l.Graph}, {"levels", l.Levels},
		} {
			b.Run(fmt.Sprintf("%s/adds=%d/reads=%d/writers=%d", c.name, len(h.Adds), len(h.Reads), h.Writers), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if bad := c.check(); len(bad) > 0 {
						b.Fatal(bad[0])
					}
				}
			})
		}
	}
}
