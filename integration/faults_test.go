package integration

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/quipudb/quipu/client"
)

// TestFaults runs clusters of three and of five processes under every kind of fault of the list for as long as QUIPU_FAULTS says: 3m in CI, 60m in
// the long form. After each fault the cluster must be whole again without help, all replicas equal, every total that of the ledger; and the
// history of all reads and writes must be one that was promised.
func TestFaults(t *testing.T) {
	span, err := time.ParseDuration(os.Getenv("QUIPU_FAULTS"))
	if err != nil {
		t.Skip("faults strike a cluster of real processes for as long as QUIPU_FAULTS says, such as 3m")
	}
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("QUIPU_SEED"); text != "" {
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	const each = 10 * time.Minute // of one cluster
	sum := tallied{struck: map[string]int{}}
	for run := 0; span > 0 && !t.Failed(); run++ {
		nodes := []int{3, 5, 3}[run%3]
		if n, err := strconv.Atoi(os.Getenv("QUIPU_NODES")); err == nil {
			nodes = n
		}
		t.Run(fmt.Sprintf("%d_nodes_%d", nodes, run), func(t *testing.T) {
			sum.add(faulty(t, seed+uint64(run), nodes, min(span, each)))
		})
		span -= each
	}
	t.Logf("seed %d in all: %v", seed, sum)
}

// tallied is what a run has to show.
type tallied struct {
	struck    map[string]int
	faults    int
	adds      int
	reads     int
	records   int
	unknown   int
	failed    int
	converged []time.Duration
	ran       time.Duration
	rested    time.Duration // of it, with nothing on its way
}

func (a *tallied) add(b tallied) {
	for kind, n := range b.struck {
		a.struck[kind] += n
	}
	a.faults, a.adds, a.reads, a.records = a.faults+b.faults, a.adds+b.adds, a.reads+b.reads, a.records+b.records
	a.unknown, a.failed, a.converged = a.unknown+b.unknown, a.failed+b.failed, append(a.converged, b.converged...)
	a.ran, a.rested = a.ran+b.ran, a.rested+b.rested
}

// String is a paragraph.
func (a tallied) String() string {
	var kinds []string
	for kind, n := range a.struck {
		kinds = append(kinds, fmt.Sprintf("%s %d", kind, n))
	}
	slices.Sort(kinds)
	slices.Sort(a.converged)
	whole := "never"
	if n := len(a.converged); n > 0 {
		whole = fmt.Sprintf("p50 %v, p99 %v, at most %v", a.converged[n/2].Round(time.Millisecond), a.converged[n*99/100].Round(time.Millisecond), a.converged[n-1].Round(time.Millisecond))
	}
	checked := a.adds + a.reads + a.records + a.unknown
	return fmt.Sprintf("%d faults of %d kinds, %d operations checked, %.0f a second over %v of which %v at rest (%d adds acknowledged and %d of unknown outcome, %d reads, %d of contexts and leases; %d reads had no answer); whole again after %s\n\t%s",
		a.faults, len(a.struck), checked, float64(checked)/max(1, a.ran.Seconds()), a.ran.Round(time.Second), a.rested.Round(time.Second), a.adds, a.unknown, a.reads, a.records, a.failed, whole, strings.Join(kinds, ", "))
}

// command repeats the run.
func (l *lab) command() string {
	only := ""
	if kind := os.Getenv("QUIPU_KINDS"); kind != "" {
		only = fmt.Sprintf("QUIPU_KINDS='%s' ", kind)
	}
	return fmt.Sprintf("%sQUIPU_FAULTS=10m QUIPU_SEED=%d QUIPU_NODES=%d go test ./integration -run 'TestFaults$' -count=1 -timeout 60m -v", only, l.seed, len(l.nodes))
}

// faulty runs one cluster under faults.
func faulty(t *testing.T, seed uint64, nodes int, span time.Duration) tallied {
	l := newLab(t, seed, nodes, 3)
	can, cannot := l.possible()
	t.Logf("seed %d, %d nodes, %v; kinds that this machine cannot have: %v", seed, nodes, span, cannot)
	w := l.start()
	sum := tallied{struck: l.struck}
	end := time.Now().Add(span)
	var deck []fault
	for time.Now().Before(end) && !l.failed() {
		if len(deck) == 0 {
			deck = l.shuffled(can, sum.faults == 0)
		}
		f := deck[0]
		deck = deck[1:]
		if l.strike(w, f) {
			sum.faults++
		}
		sum.converged = append(sum.converged, l.heal(w))
	}
	if !l.failed() {
		w.rest(func() { w.judge(true) })
		w.end()
	}
	w.judging.Wait()
	sum.records, sum.ran, sum.rested = w.records, time.Since(l.began), l.rested
	sum.adds, sum.unknown, sum.reads, sum.failed = w.checked.Acked+w.checked.Refused, w.checked.Unknown, w.checked.Reads, w.checked.Failed
	if l.failed() {
		l.keep(w.save)
		w.stop()
	}
	l.mu.Lock()
	l.wrong.check(t)
	l.mu.Unlock()
	t.Logf("%v", sum)
	return sum
}

// possible sorts the kinds by whether this machine can have them.
func (l *lab) possible() (can []fault, cannot []string) {
	only := os.Getenv("QUIPU_KINDS")
	for _, f := range kinds {
		switch {
		case only != "" && !strings.Contains(f.name, only):
			continue
		case f.needs == "disk" && l.idle != nil:
			cannot = append(cannot, fmt.Sprintf("%s (%v)", f.name, l.idle))
			continue
		case f.needs != "" && f.needs != "disk":
			if _, err := exec.LookPath(f.needs); err != nil {
				cannot = append(cannot, fmt.Sprintf("%s (no %s)", f.name, f.needs))
				continue
			}
		}
		can = append(can, f)
	}
	return can, cannot
}

// shuffled is an order of faults: at first each kind once, later each as often as its weight says.
func (l *lab) shuffled(can []fault, once bool) (deck []fault) {
	for _, f := range can {
		for range f.weight {
			deck = append(deck, f)
			if once {
				break
			}
		}
	}
	l.rng.Shuffle(len(deck), func(i, j int) { deck[i], deck[j] = deck[j], deck[i] })
	return deck
}

// strike has a fault happen, last, and end.
func (l *lab) strike(w *work, f fault) bool {
	wait(l.t.Context(), time.Duration(100+l.rng.IntN(400))*time.Millisecond)
	l.note("--- %s", f.name)
	mend := f.strike(l)
	if mend == nil {
		return false
	}
	l.struck[f.name]++
	wait(l.t.Context(), f.least+rand.N(max(1, f.most-f.least)))
	mend()
	l.note("mended")
	return true
}

// wholeMax bounds the time from the last harm to a whole cluster. A node that comes back as another one waits ten seconds for its replicas.
const wholeMax = 90 * time.Second

// heal waits until the cluster is whole, holds it to the ledger at rest, and says how long it took to be whole.
func (l *lab) heal(w *work) time.Duration {
	began := time.Now()
	if what := l.settle(wholeMax); what != "" {
		l.fail("not whole %v after the fault: %s", wholeMax, what)
		return wholeMax
	}
	took := time.Since(began)
	w.rest(func() {
		still := time.Now()
		defer func() { l.rested += time.Since(still) }()
		l.note("whole after %v, at rest after %v", took.Round(time.Millisecond), still.Sub(began).Round(time.Millisecond))
		if what := l.same(); what != "" {
			l.fail("%s", what)
		}
		w.readAll()
		w.judge(false)
	})
	return took
}

// operator is a client of one node, past the proxies.
func (l *lab) operator(m *member) *client.Client {
	if m.client == nil {
		m.client = dial(l.t, m.addr)
	}
	return m.client
}

// honest says that no process stood still and no clock was wrong a moment ago: the age that an answer states rests on both.
func (l *lab) honest() bool { return time.Now().UnixNano() > l.dishonest.Load() }
