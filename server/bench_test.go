package server

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/quipudb/quipu/server/router"
	"github.com/quipudb/quipu/storage/schema"
)

// zipfBatches are batches of observations, added up by cell as the SDK does: 20,000 cells over four dimensions, Zipf 1.1.
func zipfBatches(observations, n int) []*router.Batch {
	r := rand.New(rand.NewPCG(1, 2))
	z := rand.NewZipf(r, 1.1, 1, 19_999)
	sizes := [4]uint64{10, 10, 10, 20}
	batches := make([]*router.Batch, n)
	for i := range batches {
		counts := map[uint64]int64{}
		for range observations {
			counts[z.Uint64()]++
		}
		b := &router.Batch{Principal: "local", Table: schema.Name{Table: "cells"}}
		for d, size := range sizes {
			dict := []schema.Value{schema.Null}
			for v := range size {
				dict = append(dict, schema.V(fmt.Sprint("value ", v)))
			}
			b.Dims = append(b.Dims, router.Column{Name: fmt.Sprint("d", d), Dict: dict})
		}
		for cell, count := range counts {
			for d, size := range sizes {
				b.Dims[d].Codes = append(b.Dims[d].Codes, uint32(cell%size)+1)
				cell /= size
			}
			b.Counts = append(b.Counts, count)
		}
		batches[i] = b
	}
	return batches
}

// BenchmarkIngest measures observations a second through a whole node on disk, 64 batches in flight.
func BenchmarkIngest(b *testing.B) {
	for _, size := range []int{1_000, 10_000} {
		b.Run(fmt.Sprintf("batch=%d", size), func(b *testing.B) {
			n := start(b, b.TempDir())
			defer stopNode(b, n)
			t := &schema.Table{Name: schema.Name{Table: "cells"}, PartitionBy: []int{0, 1, 2, 3}}
			for d := range 4 {
				t.Dims = append(t.Dims, schema.Dimension{Name: fmt.Sprint("d", d), Type: schema.Text, Default: schema.Null})
			}
			if _, err := n.CreateTable(b.Context(), "local", t, false); err != nil {
				b.Fatal(err)
			}
			batches := zipfBatches(size, 64)
			b.ResetTimer()
			var next atomic.Int64
			var wg sync.WaitGroup
			for range 64 {
				wg.Go(func() {
					for i := next.Add(1); i <= int64(b.N); i = next.Add(1) {
						res, err := n.Write(b.Context(), batches[i%64])
						if err != nil || len(res.Refused) > 0 {
							b.Errorf("%+v, %v", res, err)
							return
						}
					}
				})
			}
			wg.Wait()
			b.ReportMetric(float64(size)*float64(b.N)/b.Elapsed().Seconds(), "obs/s")
		})
	}
}
