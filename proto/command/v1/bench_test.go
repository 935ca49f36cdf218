package command

import (
	"math/rand/v2"
	"testing"
)

// zipfRows is a batch over cells distinct cells of four dimensions, drawn with exponent 1.1.
func zipfRows(rows, cells int) (Rows, []uint32) {
	rng := rand.New(rand.NewPCG(1, 2))
	zipf := rand.NewZipf(rng, 1.1, 1, uint64(cells-1))
	sizes := []uint32{10, 10, 20, uint32(cells / 2000)}
	r := Rows{Codes: make([][]uint32, 4), Remap: make([][]uint32, 4), Window: 3600}
	for d, n := range sizes {
		for c := range n {
			r.Remap[d] = append(r.Remap[d], c+1)
		}
	}
	for range rows {
		v := uint32(zipf.Uint64())
		for d, n := range sizes {
			r.Codes[d] = append(r.Codes[d], v%n)
			v /= n
		}
	}
	return r, sizes
}

func benchmarkBuild(b *testing.B, rows, cells int) {
	r, known := zipfRows(rows, cells)
	builder := NewBuilder()
	size, distinct := 0, 0
	b.ReportAllocs()
	for b.Loop() {
		builder.Reset()
		g := builder.Group(1, 1, known)
		if err := g.AddRows(r); err != nil {
			b.Fatal(err)
		}
		builder.Part(Part{Kind: Ordinary, Session: 1, Seq: 1})
		distinct = builder.Cells()
		data, err := builder.Finish(1)
		if err != nil {
			b.Fatal(err)
		}
		size = len(data)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(rows), "ns/row")
	b.ReportMetric(float64(size)/float64(distinct), "B/cell")
	b.ReportMetric(float64(distinct), "cells")
}

func BenchmarkBuild1k(b *testing.B)   { benchmarkBuild(b, 1000, 20_000) }
func BenchmarkBuild10k(b *testing.B)  { benchmarkBuild(b, 10_000, 20_000) }
func BenchmarkBuild100k(b *testing.B) { benchmarkBuild(b, 100_000, 20_000) }
func BenchmarkBuild1M(b *testing.B)   { benchmarkBuild(b, 60_000, 1_000_000) }

func BenchmarkScan(b *testing.B) {
	r, known := zipfRows(200_000, 20_000)
	builder := NewBuilder()
	if err := builder.Group(1, 1, known).AddRows(r); err != nil {
		b.Fatal(err)
	}
	data, err := builder.Finish(1)
	if err != nil {
		b.Fatal(err)
	}
	var a Add
	var c Cells
	b.ReportAllocs()
	for b.Loop() {
		if _, err := DecodeAdd(data, &a); err != nil {
			b.Fatal(err)
		}
		if err := a.Groups[0].Scan(&c); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(c.Deltas)), "ns/cell")
}
