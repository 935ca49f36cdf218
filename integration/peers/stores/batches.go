package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	batchSize  = 1000
	dimensions = 4
)

// cell is a combination of values and how often it was observed in a batch.
type cell struct {
	values [dimensions]string
	count  int64
}

// batches are consecutive draws, equal cells summed and sorted, as a client would send them.
type batches [][]cell

func readBatches(path string) (all batches, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("--draws: %w", err)
	}
	defer f.Close()
	sums, n := map[[dimensions]string]int64{}, 0
	lines := bufio.NewScanner(f)
	lines.Scan() // the header
	for lines.Scan() {
		fields := strings.Split(lines.Text(), ",")
		if len(fields) != dimensions {
			return nil, fmt.Errorf("%s: %d columns, want %d", path, len(fields), dimensions)
		}
		sums[[dimensions]string(fields)]++
		if n++; n%batchSize == 0 {
			all = append(all, sorted(sums))
			clear(sums)
		}
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%s has fewer than %d rows", path, batchSize)
	}
	return all, lines.Err()
}

// sorted are the cells in one order, in which concurrent transactions lock them without a deadlock.
func sorted(sums map[[dimensions]string]int64) []cell {
	out := make([]cell, 0, len(sums))
	for values, n := range sums {
		out = append(out, cell{values, n})
	}
	slices.SortFunc(out, func(a, b cell) int {
		return slices.CompareFunc(a.values[:], b.values[:], cmp.Compare[string])
	})
	return out
}

func (b batches) observations() int { return len(b) * batchSize }

func (b batches) distinct() float64 {
	n := 0
	for _, batch := range b {
		n += len(batch)
	}
	return float64(n) / float64(len(b))
}

// measured is the rate in observations a second and the time to the acknowledgement of a batch in milliseconds.
type measured struct {
	rate, p50, p99 float64
	acked          int64 // observations
}

// drive hands batches to so many senders for the span. A sender returns when its batch is durable.
func (b batches) drive(ctx context.Context, span time.Duration, senders []func(context.Context, []cell) error) (measured, error) {
	var next, acked atomic.Int64
	times := make([][]time.Duration, len(senders))
	errs := make([]error, len(senders))
	began := time.Now()
	var wg sync.WaitGroup
	for i, send := range senders {
		wg.Go(func() {
			for time.Since(began) < span && errs[i] == nil {
				batch := b[int(next.Add(1)-1)%len(b)]
				sent := time.Now()
				errs[i] = send(ctx, batch)
				times[i] = append(times[i], time.Since(sent))
				acked.Add(batchSize)
			}
		})
	}
	wg.Wait()
	elapsed := time.Since(began)
	if err := errors.Join(errs...); err != nil {
		return measured{}, err
	}
	all := slices.Concat(times...)
	slices.Sort(all)
	ms := func(q float64) float64 { return float64(all[int(q*float64(len(all)-1))].Microseconds()) / 1000 }
	return measured{rate: float64(acked.Load()) / elapsed.Seconds(), p50: ms(0.5), p99: ms(0.99), acked: acked.Load()}, nil
}

// median of the times that f takes, in milliseconds, after two runs that warm up.
func median(runs int, f func() error) (float64, error) {
	var times []time.Duration
	for i := range runs + 2 {
		began := time.Now()
		if err := f(); err != nil {
			return 0, err
		}
		if i >= 2 {
			times = append(times, time.Since(began))
		}
	}
	slices.Sort(times)
	return float64(times[len(times)/2].Microseconds()) / 1000, nil
}
