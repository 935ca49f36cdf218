package check

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Recorder collects a history while it happens. It is safe for concurrent use; what it hands out is not. An operation is in the history
// from its call on: if it gets no answer, an add is of unknown outcome and a read has failed.
type Recorder struct {
	began time.Time
	last  atomic.Int64 // the newest time given out

	mu sync.Mutex // guards the fields below
	h  History
}

// NewRecorder starts the clock of a history over so many shards. Note says how to repeat the run.
func NewRecorder(shards int, note map[string]string) *Recorder {
	return &Recorder{began: time.Now(), h: History{Shards: shards, Note: note}}
}

// now is never the same twice, so that what came one after the other is so in the history: virtual time stands still while much happens.
func (r *Recorder) now() int64 {
	for {
		last := r.last.Load()
		now := max(int64(time.Since(r.began)), last+1)
		if r.last.CompareAndSwap(last, now) {
			return now
		}
	}
}

// Writer is an identity with one add outstanding. The system under test must know it by the same one (a session) and give it a cell of its
// own on every shard.
type Writer struct {
	r          *Recorder
	client, id int
	open       *PendingAdd
}

// Writer makes a new one for a client.
func (r *Recorder) Writer(client int) *Writer {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.h.Writers++
	return &Writer{r: r, client: client, id: r.h.Writers - 1}
}

// ID numbers the writer; views list cells by it.
func (w *Writer) ID() int { return w.id }

// Retired says that the writer has an add without an answer. It takes no other: go on with a new writer.
func (w *Writer) Retired() bool { return w.open != nil }

// Add notes the call of one request that counts delta on each of the shards. Call it before the request leaves. It panics if the last add
// of this writer has no answer.
func (w *Writer) Add(delta int64, shards ...int) *PendingAdd {
	if w.open != nil {
		panic("check: a writer has one add outstanding; take a new one after an unknown outcome")
	}
	call := w.r.now()
	p := &PendingAdd{w: w}
	w.open = p
	w.r.mu.Lock()
	defer w.r.mu.Unlock()
	for _, s := range shards {
		p.at = append(p.at, len(w.r.h.Adds))
		w.r.h.Adds = append(w.r.h.Adds, Add{Client: w.client, Writer: w.id, Shard: s, Delta: delta, Call: call, Return: Never, Outcome: Unknown})
	}
	return p
}

// PendingAdd is a request on its way.
type PendingAdd struct {
	w  *Writer
	at []int // into History.Adds
}

// Acked notes that every part was counted. Call it after the answer came.
func (p *PendingAdd) Acked() { p.Answered(nil) }

// Refused notes that no part was counted and none will be.
func (p *PendingAdd) Refused() {
	all := make([]int, len(p.at))
	p.w.r.mu.Lock()
	for i, at := range p.at {
		all[i] = p.w.r.h.Adds[at].Shard
	}
	p.w.r.mu.Unlock()
	p.Answered(all)
}

// Answered notes an answer that refuses the parts of some shards and acknowledges the others.
func (p *PendingAdd) Answered(refused []int) {
	r := p.w.r
	r.mu.Lock()
	defer r.mu.Unlock()
	ret := r.now()
	for _, at := range p.at {
		a := &r.h.Adds[at]
		a.Return, a.Outcome = ret, Acked
		if slices.Contains(refused, a.Shard) {
			a.Outcome = Refused
		}
	}
	p.w.open = nil
}

// Read notes the call of a query. Call it before the query leaves.
func (r *Recorder) Read(client int, level Level) *PendingRead {
	p := &PendingRead{r: r, read: Read{Client: client, Level: level, Call: r.now()}}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.h.Failed++ // until it has an answer
	return p
}

// PendingRead is a query on its way.
type PendingRead struct {
	r    *Recorder
	read Read
}

// Returned notes the answer. Views are in ascending order of shards. Call it once, after the last byte came.
func (p *PendingRead) Returned(views ...View) { p.ReturnedAt(0, views...) }

// ReturnedAt is Returned for a stale answer that states its age.
func (p *PendingRead) ReturnedAt(age time.Duration, views ...View) {
	p.r.mu.Lock()
	defer p.r.mu.Unlock()
	p.read.Return, p.read.Views, p.read.Age = p.r.now(), views, int64(age)
	p.r.h.Reads = append(p.r.h.Reads, p.read)
	p.r.h.Failed--
}

// History is a copy of what has been recorded so far.
func (r *Recorder) History() *History {
	r.mu.Lock()
	defer r.mu.Unlock()
	h := r.h
	h.Adds, h.Reads = slices.Clone(h.Adds), slices.Clone(h.Reads)
	return &h
}
