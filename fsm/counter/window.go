package counter

import (
	"slices"

	"github.com/quipudb/quipu/fsm"
	"github.com/quipudb/quipu/proto/command/v1"
	"github.com/quipudb/quipu/storage/schema"
)

// WindowSize is how far the sequence numbers of one (session, home) may run ahead of the lowest open one.
const WindowSize = 1024

// windowKey names a window: of a session (an id of the meta group) or of an idempotency key (an id of the shard KeyShard).
type windowKey struct {
	space    space
	keyShard schema.ShardID
	home     schema.ShardID
	id       uint64
}

type space uint8

const (
	sessionSpace space = 0
	keySpace     space = 1
)

func keyOf(p *command.Part) windowKey {
	if p.Kind == command.Key {
		return windowKey{space: keySpace, keyShard: p.KeyShard, home: p.Home, id: p.Session}
	}
	return windowKey{space: sessionSpace, home: p.Home, id: p.Session}
}

// window is what a shard remembers of one (session, home): numbers up to low were answered, and of the WindowSize numbers above
// low one bit says whether it was.
type window struct {
	key      windowKey
	kind     command.PartKind
	expires  int64 // windows under a key: see keys.go
	low      uint64
	bits     [WindowSize / 64]uint64 // of number n at n modulo WindowSize
	refusals []refusal               // of answered numbers, by number; the others were counted

	dirty bool
	next  *window // while an entry is tested: its state if the entry is applied
}

// refusal is the remembered answer to a number whose data was refused.
type refusal struct {
	seq   uint64
	code  fsm.Code
	dim   uint8
	value int64
}

func (w *window) answered(seq uint64) bool { return w.bits[seq%WindowSize/64]>>(seq%64)&1 != 0 }
func (w *window) mark(seq uint64)          { w.bits[seq%WindowSize/64] |= 1 << (seq % 64) }

// raise moves low up to at least ackUpTo and forgets what lies below.
func (w *window) raise(ackUpTo uint64) {
	if ackUpTo <= w.low {
		return
	}
	if ackUpTo-w.low >= WindowSize {
		w.bits = [WindowSize / 64]uint64{}
	} else {
		for n := w.low + 1; n <= ackUpTo; { // a word at a time
			run := min(64-n%64, ackUpTo-n+1)
			w.bits[n%WindowSize/64] &^= ^uint64(0) >> (64 - run) << (n % 64)
			n += run
		}
	}
	w.low = ackUpTo
	keep := 0
	for keep < len(w.refusals) && w.refusals[keep].seq <= ackUpTo {
		keep++
	}
	w.refusals = w.refusals[keep:]
}

func (w *window) find(seq uint64) (refusal, bool) {
	i, ok := slices.BinarySearchFunc(w.refusals, seq, compareSeq)
	if !ok {
		return refusal{}, false
	}
	return w.refusals[i], true
}

// remember keeps r. The slice is replaced, never changed: a copy of the window may share it.
func (w *window) remember(r refusal) {
	i, _ := slices.BinarySearchFunc(w.refusals, r.seq, compareSeq)
	w.refusals = slices.Insert(slices.Clone(w.refusals), i, r)
}

func compareSeq(r refusal, seq uint64) int {
	if r.seq < seq {
		return -1
	} else if r.seq > seq {
		return 1
	}
	return 0
}

// test says what part (already known to be alive and ours) is to this window, whose low it raises first:
// stale, then duplicate, then beyond the window, then new.
func (w *window) test(p *command.Part) PartResult {
	w.raise(p.AckUpTo)
	switch {
	case p.Seq <= w.low:
		return PartResult{Code: fsm.Stale, Value: clampInt64(w.low)}
	case p.Seq-w.low <= WindowSize && w.answered(p.Seq):
		if r, ok := w.find(p.Seq); ok {
			return PartResult{Code: r.code, Duplicate: true, Dim: r.dim, Value: r.value}
		}
		return PartResult{Duplicate: true}
	case p.Seq-w.low > WindowSize:
		return PartResult{Code: fsm.WindowFull, Value: clampInt64(w.low)}
	}
	return PartResult{}
}

func clampInt64(v uint64) int64 { return int64(min(v, 1<<63-1)) }
