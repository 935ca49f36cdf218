package check

import (
	"cmp"
	"fmt"
	"slices"
)

// Levels holds each read to the promise of its own level, shard by shard. Every view, whatever its level, is a prefix of its shard's log:
//
//   - its values are those of the adds that it has seen, and it has seen none called after it returned;
//   - of any two views of one shard one has seen all that the other has;
//   - a view that has seen an add has seen every add of this shard acknowledged before that one was called.
//
// A strict or linearizable view has seen what was acknowledged before its call, and what such views showed that returned before it. A
// session view has seen what its own client has had acknowledged. A stale one has seen what was acknowledged longer ago than the age that
// its answer states. Rules across shards are Graph's.
func (l *Ledger) Levels() []Anomaly {
	f := l.begin("levels")
	for shard := range l.h.Shards {
		views := l.viewsOf(shard)
		for _, v := range views {
			l.prefix(f, shard, v)
		}
		l.oneLog(f, shard, views)
		l.fresh(f, shard, views)
	}
	return f.all
}

// logView is what a read of any level has seen of one shard.
type logView struct {
	read  int
	seen  []int32 // by writer
	total int64
}

func (l *Ledger) viewsOf(shard int) (all []logView) {
	for i := range l.h.Reads {
		l.views(i, func(s int, seen []int32) {
			if s != shard {
				return
			}
			v := logView{read: i, seen: seen}
			for _, k := range seen {
				v.total += int64(k)
			}
			all = append(all, v)
		})
	}
	return all
}

// prefix tests one view by itself.
func (l *Ledger) prefix(f *findings, shard int, v logView) {
	r := &l.h.Reads[v.read]
	due, kind := l.due(r)
	newest := int64(-1) // of the adds seen, the latest call
	for w, k := range v.seen {
		if c := l.chain(shard, w); k > 0 {
			newest = max(newest, c.calls[k-1])
		}
	}
	for w, k := range v.seen {
		c := l.chain(shard, w)
		if k > c.called(r.Return) {
			f.add(l.anomaly(Future, v.read, c.adds[k-1], "shows", "which was called later"))
		}
		switch {
		case k < c.acked(due):
			f.add(l.anomaly(kind, v.read, c.adds[k], "misses", fmt.Sprintf("which a %v read holds", r.Level)))
		case r.Level == Session && k < l.own(c, r):
			f.add(l.anomaly(OwnMissing, v.read, c.adds[k], "misses", "which its own client had acknowledged"))
		case k < c.acked(newest):
			f.add(l.anomaly(Fractured, v.read, c.adds[k], "misses", fmt.Sprintf("and shows one of s%d called after that was acknowledged", shard)))
		}
	}
}

// due is the time before which acknowledged adds must be in every view of r, and what it is called if they are not.
func (l *Ledger) due(r *Read) (int64, Kind) {
	switch r.Level {
	case Strict, Linearizable:
		return r.Call, StaleRead
	case Stale:
		return r.Call - r.Age, Dishonest
	}
	return -1, OwnMissing
}

// own counts the adds of a chain that the client of r had acknowledged before its call.
func (l *Ledger) own(c *chain, r *Read) int32 {
	k := c.acked(r.Call)
	for ; k > 0; k-- {
		if l.h.Adds[c.adds[k-1]].Client == r.Client {
			break
		}
	}
	return k
}

// oneLog demands that the views of a shard are prefixes of one log.
func (l *Ledger) oneLog(f *findings, shard int, views []logView) {
	slices.SortFunc(views, func(a, b logView) int { return cmp.Compare(a.total, b.total) })
	for i := 1; i < len(views) && !f.full(); i++ {
		less, more := views[i-1], views[i]
		for w := range less.seen {
			if less.seen[w] > more.seen[w] {
				gone := int(l.chain(shard, w).adds[more.seen[w]])
				f.add(Anomaly{Kind: Fork, Reads: []int{less.read, more.read}, Adds: []int{gone},
					Text: fmt.Sprintf("%s has seen less of s%d than %s, and shows %s, which that one misses",
						l.nameRead(less.read), shard, l.nameRead(more.read), l.nameAdd(gone))})
				break
			}
		}
	}
}

// fresh demands of strict and linearizable views what earlier ones have shown.
func (l *Ledger) fresh(f *findings, shard int, views []logView) {
	now := slices.DeleteFunc(slices.Clone(views), func(v logView) bool { return l.h.Reads[v.read].Level > Linearizable })
	byReturn := slices.Clone(now)
	slices.SortFunc(byReturn, func(a, b logView) int { return cmp.Compare(l.h.Reads[a.read].Return, l.h.Reads[b.read].Return) })
	slices.SortFunc(now, func(a, b logView) int { return cmp.Compare(l.h.Reads[a.read].Call, l.h.Reads[b.read].Call) })
	next, top := 0, logView{total: -1}
	for _, v := range now {
		for ; next < len(byReturn) && l.h.Reads[byReturn[next].read].Return < l.h.Reads[v.read].Call; next++ {
			if byReturn[next].total > top.total {
				top = byReturn[next]
			}
		}
		if v.total < top.total {
			f.add(Anomaly{Kind: Backward, Reads: []int{top.read, v.read}, Text: fmt.Sprintf("%s has seen %d adds of s%d, and %s had seen %d",
				l.nameRead(v.read), v.total, shard, l.nameRead(top.read), top.total)})
		}
	}
}
