package integration

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/quipudb/quipu/client"
)

// killing says how often a server is killed, and at most how long it lives in between.
type killing struct {
	kills int
	life  time.Duration
}

// TestKilledServerCountsOnce writes through a proxy that loses 30 % of the replies, with 2,000 batches in flight, while the server is
// killed at random moments. Every cell must equal the ledger of what the clients added.
func TestKilledServerCountsOnce(t *testing.T) {
	k := killing{kills: 3, life: 2 * time.Second}
	if soak() {
		k = killing{kills: 30, life: 6 * time.Second}
	}
	killedServer(t, mustBinary(t), k).check(t)
}

// A session has at most 1,000 batches without an answer, and an answer out of order holds its place: six writers keep 2,000 in flight,
// also at the worst moment of a slow machine.
const (
	writersOfKilled = 6
	inFlightEach    = 1000
	inFlightWanted  = 2000
)

func killedServer(t *testing.T, binary string, k killing) (wrong findings) {
	n := startNodeOf(t, binary, t.TempDir())
	query(t, n.open(), "CREATE TABLE ledger (writer text, cell text)")
	p := startProxy(t, n.addr, 42)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	writers := dialWriters(t, p.addr())
	p.setCut(0.3)
	failed := make([]error, len(writers))
	var wg sync.WaitGroup
	for i, w := range writers {
		wg.Go(func() { failed[i] = w.fill(ctx, "ledger", uint64(i)) })
	}
	seen := killAtRandom(ctx, n, k, writers)
	cancel()
	wg.Wait()
	p.setCut(0.05)
	for i, w := range writers {
		flush, stop := context.WithTimeout(t.Context(), 2*time.Minute)
		if err := w.c.Flush(flush); err != nil || failed[i] != nil || w.lost.Load() > 0 {
			wrong.addf("writer %s: add %v, flush %v, %d batches without receipt", w.name, failed[i], err, w.lost.Load())
		}
		stop()
	}
	wrong = append(wrong, compare(counts(t, n.open(), "ledger", "writer, cell"), books(writers))...)
	seen.duplicates += n.duplicates()
	t.Logf("%d kills, at least %d batches in flight at a kill and %d before it, %d connections cut with a reply in them, %d duplicates refused, %d cells",
		k.kills, seen.atKill, seen.before, p.lost(), seen.duplicates, len(books(writers)))
	if seen.atKill < inFlightWanted || p.lost() == 0 || seen.duplicates == 0 {
		wrong.addf("too little happened: the test shows nothing")
	}
	return wrong
}

func dialWriters(t *testing.T, addr string) []*writer {
	var writers []*writer
	for i := range writersOfKilled {
		w := &writer{name: fmt.Sprint("w", i), ledger: map[string]int64{}}
		w.c = dial(t, addr, client.WithInFlight(inFlightEach), client.WithBatchCells(50), client.WithLinger(0), client.WithBlocking(),
			client.WithBuffer(8<<20), client.WithHooks(w.hooks()))
		writers = append(writers, w)
	}
	return writers
}

// exposure is what the kills met.
type exposure struct {
	duplicates int // parts that the node had refused, as counted before, when it was killed
	atKill     int // batches without an answer at a kill, the least of all kills
	before     int // the most of them since the kill before, again the least
}

// killAtRandom kills the node at random moments and starts it again.
func killAtRandom(ctx context.Context, n *node, k killing, writers []*writer) exposure {
	r := rand.New(rand.NewPCG(7, 7))
	seen := exposure{atKill: math.MaxInt, before: math.MaxInt}
	for range k.kills {
		wait(ctx, k.life/8+time.Duration(r.Int64N(int64(k.life))))
		seen.duplicates += n.duplicates()
		atKill, before := 0, 0
		for _, w := range writers {
			atKill += int(w.flying.Load())
			before += int(w.most.Swap(w.flying.Load()))
		}
		n.kill()
		seen.atKill, seen.before = min(seen.atKill, atKill), min(seen.before, before)
		n.start()
	}
	return seen
}
