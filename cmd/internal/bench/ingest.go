// Package bench measures a server through the SDK, with work made from a fixed seed.
package bench

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/quipudb/quipu/client"
	"github.com/quipudb/quipu/cmd/internal/workload"
)

// Ingest says what to write. Zero values take the defaults in brackets.
type Ingest struct {
	Cells    int           // distinct cells [20,000]
	Dims     int           // dimensions [4]
	Batch    int           // observations of one message [1,000]
	Zipf     float64       // exponent of the Zipf law over the cells; 0 is uniform
	Duration time.Duration // [10 s]
	InFlight int           // messages without an answer [256, as the SDK]
	Streams  int           // goroutines that build batches [2]
	Rate     float64       // observations a second; 0 is as many as the server takes
	Seed     uint64
	Table    string // [bench]; created if missing
}

// Defaults fills the zero values in.
func (o Ingest) Defaults() Ingest {
	set := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
	}
	set(&o.Cells, 20_000)
	set(&o.Dims, 4)
	set(&o.Batch, 1000)
	set(&o.InFlight, 256)
	set(&o.Streams, 2)
	if o.Duration == 0 {
		o.Duration = 10 * time.Second
	}
	if o.Table == "" {
		o.Table = "bench"
	}
	return o
}

// IngestResult is what one run measured. Latencies are from handing a batch over to its receipt.
type IngestResult struct {
	Observations    int64   `json:"observations"`
	Batches         int64   `json:"batches"`
	Seconds         float64 `json:"seconds"`
	PerSecond       float64 `json:"observations_per_second"`
	P50ms           float64 `json:"p50_ms"`
	P99ms           float64 `json:"p99_ms"`
	MaxMs           float64 `json:"max_ms"`
	BytesPerObs     float64 `json:"wire_bytes_per_observation"`
	AllocsPerObs    float64 `json:"client_allocations_per_observation"`
	ClientCPUPerObs float64 `json:"client_cpu_ns_per_observation"`
	Refused         int64   `json:"refused"`
}

const drawsMax = 1 << 20

// Run writes for o.Duration and waits for every receipt.
func (o Ingest) Run(ctx context.Context, c *client.Client) (IngestResult, error) {
	o = o.Defaults()
	box := workload.NewBox(o.Cells, o.Dims)
	if err := o.createTable(ctx, c, box); err != nil {
		return IngestResult{}, err
	}
	writers := make([]*writer, o.Streams)
	for i := range writers {
		w, err := o.newWriter(c, box, uint64(i))
		if err != nil {
			return IngestResult{}, err
		}
		writers[i] = w
	}
	sent := c.Stats()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	cpu := cpuTime()
	began := time.Now()
	var wg sync.WaitGroup
	errs := make([]error, len(writers))
	for i, w := range writers {
		wg.Go(func() { errs[i] = w.run(ctx, began.Add(o.Duration)) })
	}
	wg.Wait()
	elapsed := time.Since(began)
	cpu = cpuTime() - cpu
	runtime.ReadMemStats(&after)
	for _, err := range errs {
		if err != nil {
			return IngestResult{}, err
		}
	}
	return summarize(writers, elapsed, cpu, after.Mallocs-before.Mallocs, c.Stats().BytesSent-sent.BytesSent), nil
}

func (o Ingest) createTable(ctx context.Context, c *client.Client, box workload.Box) error {
	sql := "CREATE TABLE IF NOT EXISTS " + o.Table + " ("
	for i, name := range box.Names() {
		if i > 0 {
			sql += ", "
		}
		sql += name + " text"
	}
	_, err := c.Exec(ctx, sql+")")
	return err
}

// writer is one goroutine that builds batches and one that waits for their receipts.
type writer struct {
	o         Ingest
	b         *client.Builder
	draws     []uint32 // prepared cell numbers
	next      int
	pending   chan flight
	latencies []time.Duration
	observed  int64
	refused   int64
}

type flight struct {
	p    *client.Pending
	sent time.Time
}

func (o Ingest) newWriter(c *client.Client, box workload.Box, stream uint64) (*writer, error) {
	w := &writer{o: o, b: c.Table(o.Table).Builder(), pending: make(chan flight, max(1, o.InFlight/o.Streams))}
	draws, err := box.Draws(drawsMax, o.Zipf, o.Seed+stream)
	if err != nil {
		return nil, err
	}
	prepared := map[uint32]uint32{}
	for i, d := range draws {
		id, ok := prepared[d]
		if !ok {
			if id, err = w.b.Prepare(box.Pairs(int(d))...); err != nil {
				return nil, err
			}
			prepared[d] = id
		}
		draws[i] = id
	}
	w.draws = draws
	return w, nil
}

func (w *writer) run(ctx context.Context, until time.Time) error {
	done := make(chan error, 1)
	go func() { done <- w.wait(ctx) }()
	err := w.send(ctx, until)
	close(w.pending)
	if werr := <-done; err == nil {
		err = werr
	}
	return err
}

func (w *writer) send(ctx context.Context, until time.Time) error {
	slot := time.Duration(0)
	if w.o.Rate > 0 {
		slot = time.Duration(float64(w.o.Batch) * float64(w.o.Streams) / w.o.Rate * float64(time.Second))
	}
	next := time.Now()
	for time.Now().Before(until) {
		if slot > 0 {
			if d := time.Until(next); d > 0 {
				select {
				case <-time.After(d):
				case <-ctx.Done():
					return ctx.Err()
				}
			}
			next = next.Add(slot)
		}
		for range w.o.Batch {
			if !w.b.Count(w.draws[w.next], 1) {
				return fmt.Errorf("a batch of %d observations does not fit", w.o.Batch)
			}
			w.next = (w.next + 1) & (drawsMax - 1)
		}
		sent := time.Now()
		p, err := w.b.Send(ctx)
		if err != nil {
			return err
		}
		select {
		case w.pending <- flight{p, sent}:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func (w *writer) wait(ctx context.Context) (failed error) {
	for f := range w.pending {
		_, err := f.p.Wait(ctx)
		w.latencies = append(w.latencies, time.Since(f.sent))
		if err != nil {
			w.refused += int64(w.o.Batch)
			failed = err
			continue
		}
		w.observed += int64(w.o.Batch)
	}
	return failed
}

func summarize(writers []*writer, elapsed, cpu time.Duration, allocs uint64, bytes int64) IngestResult {
	var r IngestResult
	var all []time.Duration
	for _, w := range writers {
		r.Observations += w.observed
		r.Refused += w.refused
		all = append(all, w.latencies...)
	}
	slices.Sort(all)
	at := func(q float64) float64 {
		if len(all) == 0 {
			return 0
		}
		return float64(all[min(len(all)-1, int(q*float64(len(all))))].Microseconds()) / 1000
	}
	r.Batches, r.Seconds = int64(len(all)), elapsed.Seconds()
	r.PerSecond = float64(r.Observations) / r.Seconds
	r.P50ms, r.P99ms, r.MaxMs = at(0.5), at(0.99), at(1)
	if n := float64(r.Observations); n > 0 {
		r.BytesPerObs, r.AllocsPerObs, r.ClientCPUPerObs = float64(bytes)/n, float64(allocs)/n, float64(cpu.Nanoseconds())/n
	}
	return r
}
