package stats

import (
	"math/rand/v2"
	"testing"
)

// randomTable has counts around mean in r × c cells.
func randomTable(r *rand.Rand, rows, cols int, mean float64) *Table {
	cells := make([]int64, rows*cols)
	for k := range cells {
		cells[k] = int64(r.ExpFloat64() * mean)
	}
	t, err := NewTable(rows, cols, cells)
	if err != nil {
		panic(err)
	}
	return t
}

// sparseOf is the same table in coordinate form.
func sparseOf(t *Table) *Table {
	var c Triples
	t.each(func(i, j int, o uint64) {
		c.Row, c.Col, c.Count = append(c.Row, uint32(i)), append(c.Col, uint32(j)), append(c.Count, int64(o))
	})
	s, err := NewSparseTable(t.rows, t.cols, c)
	if err != nil {
		panic(err)
	}
	return s
}

func BenchmarkPartial(b *testing.B) {
	r := rand.New(rand.NewPCG(7, 8))
	for _, c := range []struct {
		name   string
		mean   float64
		kinds  Kinds
		sparse bool
	}{
		{"pearson/dense", 100, KindPearson, false},
		{"pearson/dense/huge", 1e10, KindPearson, false},
		{"pearson/sparse", 100, KindPearson, true},
		{"g/dense", 100, KindG, false},
		{"pearson+g/dense", 100, KindPearson | KindG, false},
		{"cressie-read/dense", 100, KindCressieRead, false},
	} {
		t := randomTable(r, 1000, 1000, c.mean)
		if c.sparse {
			t = sparseOf(t)
		}
		b.Run(c.name, func(b *testing.B) {
			p := NewPartial(t.frame, c.kinds)
			b.ReportAllocs()
			for b.Loop() {
				p.AddTable(t.frame, t)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1e6, "ns/cell")
		})
	}
}

// BenchmarkPartialInRow is Pearson's sum of cells in runs of a row, scattered as they are on one of four shards. Counts of nine values have
// terms near 0 among them.
func BenchmarkPartialInRow(b *testing.B) {
	r := rand.New(rand.NewPCG(7, 8))
	for _, c := range []struct {
		name  string
		count func(i, j int) int64
	}{
		{"random", func(i, j int) int64 { return 1 + r.Int64N(100) }},
		{"nine", func(i, j int) int64 { return int64(1 + (i*31+j*17+i*j)%9) }},
	} {
		cells := make([]int64, 1e6)
		for k := range cells {
			cells[k] = c.count(k/1000, k%1000)
		}
		t, err := NewTable(1000, 1000, cells)
		if err != nil {
			b.Fatal(err)
		}
		codes, counts := make([][]uint32, 1000), make([][]int64, 1000)
		for k, o := range cells {
			if i := k / 1000; r.IntN(4) == 0 {
				codes[i], counts[i] = append(codes[i], uint32(k%1000)), append(counts[i], o)
			}
		}
		b.Run(c.name, func(b *testing.B) {
			p := NewPartial(t.frame, KindPearson)
			for b.Loop() {
				p.cells = 0
				for i := range codes {
					p.AddInRow(t.frame, uint32(i), codes[i], counts[i])
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(p.cells), "ns/cell")
		})
	}
}
