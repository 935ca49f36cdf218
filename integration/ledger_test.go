package integration

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quipudb/quipu/client"
)

// findings are what a scenario found wrong. A scenario gives them back instead of failing its test, because it also runs over binaries
// with planted bugs, where it must find something.
type findings []string

func (f *findings) addf(format string, args ...any) { *f = append(*f, fmt.Sprintf(format, args...)) }

// check fails the test with what was found.
func (f findings) check(t *testing.T) {
	t.Helper()
	for i, what := range f {
		if i == 10 {
			t.Errorf("and %d more", len(f)-i)
			return
		}
		t.Error(what)
	}
}

// compare finds every cell that is not what the ledger says.
func compare(got, want map[string]int64) (wrong findings) {
	for cell, n := range want {
		if got[cell] != n {
			wrong.addf("%s = %d, want %d", cell, got[cell], n)
		}
	}
	for cell, n := range got {
		if _, ok := want[cell]; !ok {
			wrong.addf("%s = %d was never written", cell, n)
		}
	}
	return wrong
}

// writer fills a table and keeps the books.
type writer struct {
	name   string
	c      *client.Client
	ledger map[string]int64
	flying atomic.Int64 // batches that were sent and have no answer
	most   atomic.Int64 // the most of them at any time
	lost   atomic.Int64 // batches refused, or of unknown outcome
}

// hooks count the writer's batches.
func (w *writer) hooks() client.Hooks {
	end := func() { w.flying.Add(-1) }
	return client.Hooks{
		OnSend: func(b client.BatchInfo) {
			if b.Attempt > 1 {
				return
			}
			if n := w.flying.Add(1); n > w.most.Load() {
				w.most.Store(n) // one goroutine sends
			}
		},
		OnReceipt: func(client.BatchInfo, client.Receipt) { end() },
		OnRefused: func(client.BatchInfo, *client.Error) { w.lost.Add(1) },
		OnUnknown: func(client.BatchInfo) { w.lost.Add(1); end() },
	}
}

// fill adds random observations until ctx ends.
func (w *writer) fill(ctx context.Context, table string, seed uint64) error {
	r := rand.New(rand.NewPCG(1, seed))
	t := w.c.Table(table)
	for ctx.Err() == nil {
		cell, k := fmt.Sprint("c", r.IntN(500)), 1+r.Int64N(9)
		err := t.Add(ctx, k, "writer", w.name, "cell", cell)
		if errors.Is(err, context.Canceled) {
			return nil
		}
		if err != nil {
			return err
		}
		w.ledger[w.name+"/"+cell] += k
	}
	return nil
}

// books are the ledgers of all writers.
func books(writers []*writer) map[string]int64 {
	all := map[string]int64{}
	for _, w := range writers {
		maps.Copy(all, w.ledger)
	}
	return all
}

func wait(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// tally counts the lines of a CSV file of single observations, independently of the importer.
func tally(t *testing.T, file string) map[string]int64 {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	out := map[string]int64{}
	lines := bufio.NewScanner(f)
	lines.Scan() // the header
	for lines.Scan() {
		out[lines.Text()]++
	}
	if lines.Err() != nil {
		t.Fatal(lines.Err())
	}
	cells := make(map[string]int64, len(out))
	for line, n := range out {
		cells[strings.ReplaceAll(line, ",", "/")] = n
	}
	return cells
}
