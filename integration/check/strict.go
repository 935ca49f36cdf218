package check

import (
	"cmp"
	"fmt"
	"slices"
)

// Strict decides reads of all shards exactly, by five rules that hold if and only if these reads and all adds have a serial order within
// their intervals:
//
//  1. A read has seen every add acknowledged before its call and none called after its return.
//  2. Its values are those of the adds that it has seen.
//  3. Of any two reads one has seen all that the other has.
//  4. A read has seen all that was seen by reads that returned before its call.
//  5. A read that has seen an add has seen every add acknowledged before that one was called, on whatever shard.
//
// Reads of fewer shards are left to Graph.
func (l *Ledger) Strict() []Anomaly {
	f := l.begin("strict")
	var wide []wideRead
	for i := range l.h.Reads {
		if r, ok := l.wide(i); ok {
			wide = append(wide, r)
			l.within(f, r)
		}
	}
	l.ordered(f, wide)
	return f.all
}

// wideRead is a strict read that was understood on every shard.
type wideRead struct {
	read  int
	seen  []int32 // by shard and writer
	total int64   // number of adds seen
}

func (l *Ledger) wide(i int) (wideRead, bool) {
	r := wideRead{read: i}
	if l.h.Reads[i].Level != Strict || len(l.h.Reads[i].Views) != l.h.Shards {
		return r, false
	}
	views := 0
	l.views(i, func(_ int, seen []int32) {
		views++
		for _, k := range seen {
			r.total += int64(k)
		}
	})
	r.seen = l.seen[i]
	return r, views == l.h.Shards
}

// within tests the rules about one read and the adds: 1 and 5.
func (l *Ledger) within(f *findings, r wideRead) {
	call, ret := l.h.Reads[r.read].Call, l.h.Reads[r.read].Return
	newest, witness := int64(-1), int32(-1) // of the adds seen, the one called last
	for i, k := range r.seen {
		if c := &l.chains[i]; k > 0 && c.calls[k-1] > newest {
			newest, witness = c.calls[k-1], c.adds[k-1]
		}
	}
	for i, k := range r.seen {
		c := &l.chains[i]
		if k > c.called(ret) {
			f.add(l.anomaly(Future, r.read, c.adds[k-1], "shows", "which was called later"))
		}
		switch {
		case k < c.acked(call):
			f.add(l.anomaly(StaleRead, r.read, c.adds[k], "misses", "which was acknowledged before"))
		case k < c.acked(newest):
			a := l.anomaly(Fractured, r.read, c.adds[k], "misses", "and shows "+l.nameAdd(int(witness))+", which was called after that was acknowledged")
			a.Adds = append(a.Adds, int(witness))
			f.add(a)
		}
	}
}

// anomaly is one of a read and an add.
func (l *Ledger) anomaly(kind Kind, read int, add int32, verb, why string) Anomaly {
	return Anomaly{Kind: kind, Reads: []int{read}, Adds: []int{int(add)},
		Text: fmt.Sprintf("%s %s %s, %s", l.nameRead(read), verb, l.nameAdd(int(add)), why)}
}

// ordered tests the rules about two reads: 3 and 4. Reads of one chain by inclusion are in the order of how much they have seen, so
// neighbours in that order stand for all pairs.
func (l *Ledger) ordered(f *findings, wide []wideRead) {
	slices.SortFunc(wide, func(a, b wideRead) int { return cmp.Compare(a.total, b.total) })
	for i := 1; i < len(wide) && !f.full(); i++ {
		if a, ok := l.fork(wide[i-1], wide[i]); ok {
			f.add(a)
		}
	}
	l.realTime(f, wide)
}

// fork finds an add that the one with less has seen and the other has not.
func (l *Ledger) fork(less, more wideRead) (Anomaly, bool) {
	only, other := int32(-1), int32(-1)
	for i := range less.seen {
		switch a, b := less.seen[i], more.seen[i]; {
		case a > b:
			only = l.chains[i].adds[b]
		case a < b:
			other = l.chains[i].adds[a]
		}
	}
	if only < 0 {
		return Anomaly{}, false
	}
	return Anomaly{Kind: Fork, Reads: []int{less.read, more.read}, Adds: []int{int(only), int(other)},
		Text: fmt.Sprintf("%s shows %s and not %s, %s the other way round",
			l.nameRead(less.read), l.nameAdd(int(only)), l.nameAdd(int(other)), l.nameRead(more.read))}, true
}

// realTime demands that a read has seen as much as every read that returned before its call.
func (l *Ledger) realTime(f *findings, wide []wideRead) {
	byReturn := slices.Clone(wide)
	slices.SortFunc(byReturn, func(a, b wideRead) int { return cmp.Compare(l.h.Reads[a.read].Return, l.h.Reads[b.read].Return) })
	slices.SortFunc(wide, func(a, b wideRead) int { return cmp.Compare(l.h.Reads[a.read].Call, l.h.Reads[b.read].Call) })
	next, top := 0, wideRead{total: -1}
	for _, r := range wide {
		for ; next < len(byReturn) && l.h.Reads[byReturn[next].read].Return < l.h.Reads[r.read].Call; next++ {
			if byReturn[next].total > top.total {
				top = byReturn[next]
			}
		}
		if r.total < top.total {
			f.add(l.backward(top, r))
		}
	}
}

// backward names an add that the earlier read has seen and the later has not.
func (l *Ledger) backward(earlier, later wideRead) Anomaly {
	a := Anomaly{Kind: Backward, Reads: []int{earlier.read, later.read}}
	for i, k := range later.seen {
		if k < earlier.seen[i] {
			gone := int(l.chains[i].adds[k])
			a.Adds = []int{gone}
			a.Text = fmt.Sprintf("%s misses %s, which %s has shown", l.nameRead(later.read), l.nameAdd(gone), l.nameRead(earlier.read))
			break
		}
	}
	return a
}
