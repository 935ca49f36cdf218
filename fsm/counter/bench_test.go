package counter

import (
	"math/rand/v2"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/quipudb/quipu/proto/command/v1"
	"github.com/quipudb/quipu/storage/schema"
)

// benchmarkApply applies entries of distinct cells that are in the table already, through the bridge: decode, tests, sums, rows.
func benchmarkApply(b *testing.B, table, distinct, parts int) {
	r := newRig(b)
	r.must(&command.TermStart{Timed: command.Timed{Stamp: t0}})
	r.must(command.SlotsOf(schema.EvenSlotMap(1), 0))
	def := plainTable(7)
	def.Dims = append(def.Dims, text("c"), text("d"))
	r.must(&command.SetTable{Table: def})
	sizes := []uint32{10, 10, 20, uint32(table / 2000)}
	rng := rand.New(rand.NewPCG(1, 2))
	builder := command.NewBuilder()
	seq := uint64(0)
	entry := func(from, n int, order []int) []byte {
		builder.Reset()
		known := make([]uint32, 4)
		if d := r.Store.Dict(7); d != nil {
			for i := range known {
				known[i] = d.Len(i)
			}
		}
		g := builder.Group(7, 1, known)
		for range parts {
			seq++
			builder.Part(command.Part{Kind: command.Ordinary, Session: 5 + seq%32, Seq: seq, AckUpTo: seq - min(seq, 64), MapVersion: 1})
		}
		codes := make([]uint32, 4)
		for i := from; i < from+n; i++ {
			v := uint32(order[i%len(order)])
			for d, size := range sizes {
				name := string(rune('0'+d)) + string(rune(0x4e00+v%size))
				applied, _ := r.Store.Dict(7).Lookup(d, name)
				codes[d] = g.Code(d, name, applied)
				v /= size
			}
			if err := g.Add(0, codes, 1+int64(i&1)); err != nil {
				b.Fatal(err)
			}
		}
		data, err := builder.Finish(t0)
		if err != nil {
			b.Fatal(err)
		}
		return data
	}
	all := rng.Perm(table)
	for from := 0; from < table; from += 20_000 {
		r.Batch(entry(from, min(20_000, table-from), all))
	}
	var frames [][]byte
	for i := range 64 {
		frames = append(frames, entry(i*distinct, distinct, all))
	}
	log := &raft.Log{Type: raft.LogCommand, Term: 1}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if i > 0 && i%64 == 0 { // stamps were used up
			b.StopTimer()
			for j := range frames {
				frames[j] = entry(j*distinct, distinct, all)
			}
			b.StartTimer()
		}
		r.Index++
		log.Index, log.Data = r.Index, frames[i%64]
		if got := r.Bridge.Apply(log).(*AddResult); !got.Applied {
			b.Fatalf("%+v", got)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(distinct), "ns/cell")
}

func BenchmarkApply20kCells(b *testing.B)      { benchmarkApply(b, 20_000, 10_000, 4) }
func BenchmarkApply20kCellsSmall(b *testing.B) { benchmarkApply(b, 20_000, 500, 4) }
func BenchmarkApply1MCells(b *testing.B)       { benchmarkApply(b, 1_000_000, 10_000, 4) }
func BenchmarkApplyOneCellParts(b *testing.B)  { benchmarkApply(b, 20_000, 256, 256) }
