package integration

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/quipudb/quipu/client"
	"github.com/quipudb/quipu/integration/check"
)

// work is what clients do to the lab's cluster while faults strike, and the history of it. The history is judged in pieces, each of which has
// a table of its own.
type work struct {
	l       *lab
	workers []*worker
	records int // operations of contexts and leases that were checked
	uses    *registers
	holds   *leases
	stop    context.CancelFunc
	done    sync.WaitGroup
	judging sync.WaitGroup // of the last piece that was ended: the next one goes on meanwhile

	mu      sync.Mutex // guards the fields below
	checked check.Summary
	suspect []piece // that were found wrong

	gate  sync.RWMutex // held for reading by every operation: who holds it for writing sees the cluster at rest. Guards the fields below
	table string
	pass  int
	rec   *check.Recorder
	where []string // by shard: a place whose rows fall on it
	shard map[string]int
}

// piece is a part of the history by its number.
type piece struct {
	number int
	h      *check.History
}

// worker is a client of its own: a session, receipts, and a few writers and readers.
type worker struct {
	id      int
	home    int // shard that its writers keep to; −1: they go anywhere, and to two at once
	refused int // one add in so many must be refused
	c       *client.Client

	mu      sync.Mutex // guards reached
	reached []uint64   // by shard: the largest index of a receipt
}

// Half of all faults leave a shard without a leader for seconds, and every writer that goes anywhere soon waits for it. Those that have a home
// go on at the others, under sessions of their own: a session stops a thousand sequence numbers beyond the oldest that has no answer.
const (
	roamersMax    = 4 // workers without a home
	roamingEach   = 8 // writers of each
	readersEach   = 2
	homesEach     = 2                // workers of each shard
	residentsEach = 24               // writers of each, beside one reader
	unrulyEach    = 300              // adds of the first worker for one that must be refused …
	rulyEach      = 2000             // … and of the others. For a second after one the parts of its session go alone, and few entries would have several
	patienceMax   = 90 * time.Second // for an add; no fault lasts as long
	judgeAfter    = 300_000          // operations of a piece of the history
	deltaMax      = 1 << 24
	staleSlackMax = time.Second // a leader that is cut off does not know it for half an election timeout
)

// start begins the work.
func (l *lab) start() *work {
	w := &work{l: l}
	ctx, stop := context.WithCancel(l.t.Context())
	w.stop = stop
	for i := range roamersMax + homesEach*l.shards {
		by := &worker{id: i, home: -1, refused: rulyEach, reached: make([]uint64, l.shards), c: dial(l.t, l.doors(i), client.WithInFlight(64), client.WithLinger(0))}
		if i == 0 {
			by.refused = unrulyEach
		}
		if i >= roamersMax {
			by.home = (i - roamersMax) % l.shards
		}
		w.workers = append(w.workers, by)
	}
	w.begin()
	for _, by := range w.workers {
		writers, readers, pause := roamingEach, readersEach, 20*time.Millisecond
		if by.home >= 0 {
			writers, readers, pause = residentsEach, 1, 200*time.Millisecond
		}
		for k := range writers {
			r := rand.New(rand.NewPCG(l.seed, uint64(1000*by.id+k)))
			w.done.Go(func() { w.write(ctx, by, r) })
		}
		for k := range readers {
			r := rand.New(rand.NewPCG(l.seed, uint64(1000*by.id+100+k)))
			w.done.Go(func() { w.read(ctx, by, r, pause) })
		}
	}
	w.uses, w.holds = w.startRegisters(ctx), w.startLeases(ctx)
	return w
}

// end waits for all that is on its way.
func (w *work) end() {
	w.stop()
	w.done.Wait()
}

// begin makes a table and finds a place on every shard, for the next piece of the history.
func (w *work) begin() {
	ctx, cancel := context.WithTimeout(w.l.t.Context(), 2*time.Minute)
	defer cancel()
	w.pass++
	if w.table != "" {
		w.exec(ctx, "DROP TABLE "+w.table)
	}
	w.table, w.where, w.shard = fmt.Sprint("ledger", w.pass), make([]string, w.l.shards), map[string]int{}
	w.exec(ctx, "CREATE TABLE "+w.table+" (place text, writer text) WITH (partition_by = 'place')")
	for i := 0; len(w.shard) < w.l.shards && ctx.Err() == nil; i++ {
		place := fmt.Sprint("place ", i)
		r, err := w.workers[0].c.Table(w.table).AddSync(ctx, client.Batch{Rows: []client.Observation{{Count: 1, Pairs: []string{"place", place, "writer", "probe"}}}})
		if err != nil || len(r.Shards) != 1 {
			w.l.fail("a probe of %s: %+v, %v", place, r, err)
			return
		}
		if id := int(r.Shards[0].Shard); w.where[id] == "" {
			w.where[id], w.shard[place] = place, id
		}
	}
	w.rec = check.NewRecorder(w.l.shards, map[string]string{"seed": fmt.Sprint(w.l.seed), "piece": fmt.Sprint(w.pass), "command": w.l.command()})
}

// exec runs a statement of the operator, again and again while it may come right.
func (w *work) exec(ctx context.Context, sql string) {
	for {
		_, err := w.l.asked.Exec(ctx, sql)
		again := errors.Is(err, &client.Error{Code: "DUPLICATE_TABLE"}) || errors.Is(err, &client.Error{Code: "UNDEFINED_TABLE"}) // an answer was lost
		if err == nil || again {
			return
		}
		if !passes(err) || ctx.Err() != nil {
			w.l.fail("%s: %v", sql, err)
			return
		}
		wait(ctx, 100*time.Millisecond)
	}
}

// passes says that an error is one that a client tries again after.
func passes(err error) bool {
	e, ok := errors.AsType[*client.Error](err)
	if !ok {
		return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
	}
	return e.Retryable || slices.Contains([]string{"UNAVAILABLE", "NOT_LEADER", "TIMEOUT", "CLOSING", "BUSY", "CANCELED", "SNAPSHOT_TOO_OLD", "SCHEMA_CHANGED", "DISK_FULL", "DEADLINE_EXCEEDED"}, e.Code)
}

// write is one writer: an add after the other, until ctx ends. One that loses patience does not know what became of its add, and another takes
// its place.
func (w *work) write(ctx context.Context, by *worker, r *rand.Rand) {
	var me *check.Writer
	piece := 0
	for ctx.Err() == nil {
		w.gate.RLock()
		if me == nil || me.Retired() || piece != w.pass {
			me, piece = w.rec.Writer(by.id), w.pass
		}
		w.add(by, me, r)
		w.gate.RUnlock()
		wait(ctx, time.Duration(r.ExpFloat64()*float64(2*time.Millisecond)))
	}
}

func (w *work) add(by *worker, me *check.Writer, r *rand.Rand) {
	at, refuse := []int{by.home}, r.IntN(by.refused) == 0
	if by.home < 0 {
		at[0] = r.IntN(w.l.shards)
		if other := r.IntN(w.l.shards); !refuse && other != at[0] && r.IntN(3) == 0 {
			at = append(at, other)
		}
	}
	delta := 1 + r.Int64N(deltaMax)
	var b client.Batch
	for _, shard := range at {
		for _, who := range []string{"w" + strconv.Itoa(me.ID()), "all"} {
			b.Rows = append(b.Rows, client.Observation{Count: delta, Pairs: []string{"place", w.where[shard], "writer", who}})
		}
	}
	if refuse {
		b.Rows = append(b.Rows, client.Observation{Count: -1, Pairs: []string{"place", w.where[at[0]], "writer", "nobody"}})
	}
	patience := patienceMax
	if r.IntN(100) == 0 {
		patience = time.Duration(1+r.IntN(1000)) * time.Millisecond
	}
	ctx, cancel := context.WithTimeout(w.l.t.Context(), patience)
	defer cancel()
	p := me.Add(delta, at...)
	receipt, err := w.workers[by.id].c.Table(w.table).AddSync(ctx, b)
	switch {
	case err == nil && refuse:
		w.l.fail("a count below zero was acknowledged: writer %d", me.ID())
	case err == nil:
		by.reach(receipt)
		p.Acked()
	case refuse && errors.Is(err, &client.Error{Code: "BELOW_ZERO"}):
		p.Refused()
	case ctx.Err() != nil && patience < patienceMax: // outcome unknown
	case w.l.t.Context().Err() != nil:
	default:
		w.l.fail("writer %d has no receipt: %v", me.ID(), err)
	}
}

// reach takes a receipt in.
func (by *worker) reach(r client.Receipt) {
	by.mu.Lock()
	defer by.mu.Unlock()
	for _, s := range r.Shards {
		by.reached[s.Shard] = max(by.reached[s.Shard], s.Index)
	}
}

// receipts are what the worker's clients have reached.
func (by *worker) receipts() string {
	by.mu.Lock()
	defer by.mu.Unlock()
	var parts []string
	for shard, index := range by.reached {
		if index > 0 {
			parts = append(parts, fmt.Sprintf("%d:%d", shard, index))
		}
	}
	return strings.Join(parts, ",")
}

// read is one reader: of one shard, of some, or of all of them, at one of the levels.
func (w *work) read(ctx context.Context, by *worker, r *rand.Rand, pause time.Duration) {
	for ctx.Err() == nil {
		w.gate.RLock()
		w.look(by, r)
		w.gate.RUnlock()
		wait(ctx, time.Duration(r.ExpFloat64()*float64(pause)))
	}
}

func (w *work) look(by *worker, r *rand.Rand) {
	at := r.Perm(w.l.shards)
	switch r.IntN(3) {
	case 0:
		at = at[:1]
	case 1:
		at = at[:1+r.IntN(w.l.shards)]
	}
	slices.Sort(at)
	level := check.Strict
	switch k := r.IntN(10); {
	case k == 0:
		level = check.Linearizable
	case k == 1:
		level = check.Session
	case k == 2 && w.l.honest():
		level = check.Stale
	}
	ctx, cancel := context.WithTimeout(w.l.t.Context(), time.Duration(500+r.IntN(4000))*time.Millisecond)
	defer cancel()
	p := w.rec.Read(by.id, level)
	settings := map[string]string{"quipu.read_consistency": level.String()}
	switch level {
	case check.Session:
		if reached := by.receipts(); reached != "" {
			settings["quipu.min_index"] = reached
		}
	case check.Stale:
		settings["quipu.max_staleness"] = "60s" // without it shards may be left out
	}
	views, age, err := w.views(ctx, by.c, settings, at)
	switch {
	case err != nil && !passes(err):
		w.l.fail("%v read of shards %v: %v", level, at, err)
	case err != nil: // it counts as a read without an answer
	case level == check.Stale && !w.l.honest(): // it may be from before the clock or the process stopped
	case level == check.Stale:
		p.ReturnedAt(age+staleSlackMax, views...)
	default:
		p.Returned(views...)
	}
}

// views reads shards.
func (w *work) views(ctx context.Context, c *client.Client, settings map[string]string, at []int) ([]check.View, time.Duration, error) {
	var places []string
	for _, shard := range at {
		places = append(places, "'"+w.where[shard]+"'")
	}
	rows, err := c.QueryWith(ctx, settings, "SELECT place, writer, sum(count) FROM "+w.table+" WHERE place IN ("+strings.Join(places, ", ")+") GROUP BY place, writer")
	if err != nil {
		return nil, 0, err
	}
	views := make([]check.View, len(at))
	for i, shard := range at {
		views[i] = check.View{Shard: shard, Cells: []int64{}}
	}
	for rows.Next() {
		place, who, n := rows.Values()[0].(string), rows.Values()[1].(string), rows.Values()[2].(int64)
		v := &views[slices.Index(at, w.shard[place])]
		if who == "all" {
			v.Sum = n
		} else if id, err := strconv.Atoi(strings.TrimPrefix(who, "w")); err == nil {
			v.Cells = append(v.Cells, make([]int64, max(0, id+1-len(v.Cells)))...)
			v.Cells[id] = n
		}
	}
	return views, rows.Footing().Age + time.Millisecond, rows.Err()
}

// rest waits until nothing is on its way, has f look, and lets the work go on.
func (w *work) rest(f func()) {
	still := make(chan struct{})
	go func() { w.gate.Lock(); close(still) }()
	select {
	case <-still:
		defer w.gate.Unlock()
		f()
	case <-time.After(patienceMax + 10*time.Second):
		w.l.fail("operations do not end %v after the fault", patienceMax+10*time.Second)
	}
}

// readAll reads every shard at every node: what was acknowledged is in it, and no more than was asked for.
func (w *work) readAll() {
	all := make([]int, w.l.shards)
	for i := range all {
		all[i] = i
	}
	for i, m := range w.l.nodes {
		ctx, cancel := context.WithTimeout(w.l.t.Context(), time.Minute)
		for {
			p := w.rec.Read(100+i, check.Strict)
			views, _, err := w.views(ctx, w.l.operator(m), nil, all)
			if err == nil {
				p.Returned(views...)
				break
			}
			if !passes(err) || ctx.Err() != nil {
				w.l.fail("the read at node %d after a fault: %v", m.number, err)
				break
			}
			wait(ctx, 50*time.Millisecond)
		}
		cancel()
	}
}

// judge ends the piece of the history, has the checkers look at it, and begins another. Nothing is on its way.
func (w *work) judge(last bool) {
	h := w.rec.History()
	s := h.Summary()
	if !last && s.Acked+s.Reads < judgeAfter && !w.l.failed() {
		return
	}
	w.records += w.uses.judge() + w.holds.judge()
	w.judging.Wait()
	number := w.pass
	w.judging.Go(func() { w.verify(piece{number, h}, s) })
	if !last && !w.l.failed() {
		w.begin()
	}
}

// verify holds a piece to what was promised. What was not looked at does not count.
func (w *work) verify(p piece, s check.Summary) {
	began := time.Now()
	err := check.Verify(p.h)
	w.l.note("piece %d: %v, judged within %v", p.number, s, time.Since(began).Round(time.Millisecond))
	w.mu.Lock()
	defer w.mu.Unlock()
	if err != nil {
		w.suspect = append(w.suspect, p)
		w.l.fail("piece %d: %v", p.number, err)
	}
	w.checked.Acked += s.Acked
	w.checked.Unknown += s.Unknown
	w.checked.Refused += s.Refused
	w.checked.Reads += s.Reads
	w.checked.Failed += s.Failed
}

// save writes the present piece of the history down, and all that were found wrong.
func (w *work) save(dir string) error {
	w.mu.Lock()
	all := append(slices.Clone(w.suspect), piece{w.pass, w.rec.History()})
	w.mu.Unlock()
	var errs []error
	for _, p := range all {
		errs = append(errs, p.h.Save(filepath.Join(dir, fmt.Sprintf("history%d.jsonl", p.number))))
	}
	return errors.Join(errs...)
}
