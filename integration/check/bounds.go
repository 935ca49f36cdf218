package check

import (
	"cmp"
	"fmt"
	"slices"
)

// Bounds looks at sums alone. Each strict sum of a shard lies between the sum of what was acknowledged before the read was called and the
// sum of what was called before it returned; and it is at least what any read showed that had returned before. Adds are above zero, so the
// sums of one order of operations never fall. It is sound and not complete: it knows nothing of what two shards or two writers have to do
// with each other.
func (l *Ledger) Bounds() []Anomaly {
	f := &findings{checker: "bounds"}
	for shard := range l.h.Shards {
		acked, called := l.totals(shard)
		views := l.sums(shard)
		for _, v := range views {
			low, high := acked.before(v.call), called.before(v.ret+1)
			if v.sum < low {
				f.add(Anomaly{Kind: TooFew, Reads: []int{v.read}, Text: fmt.Sprintf("%s has sum %d on s%d; %d were acknowledged before it was called",
					l.nameRead(v.read), v.sum, shard, low)})
			}
			if v.sum > high {
				f.add(Anomaly{Kind: TooMany, Reads: []int{v.read}, Text: fmt.Sprintf("%s has sum %d on s%d; %d were called before it returned",
					l.nameRead(v.read), v.sum, shard, high)})
			}
		}
		l.monotone(f, shard, views)
	}
	return f.all
}

// running is a sum that grows at given times.
type running struct {
	at  []int64 // ascending
	sum []int64 // sum[k]: of the first k
}

// before is the sum of what came before t.
func (r *running) before(t int64) int64 {
	k, _ := slices.BinarySearch(r.at, t)
	return r.sum[k]
}

// totals are the acknowledged sum by return and the called sum by call, of one shard.
func (l *Ledger) totals(shard int) (acked, called running) {
	var mine []int32
	for i := range l.h.Adds {
		if a := &l.h.Adds[i]; a.Shard == shard && a.Outcome != Refused {
			mine = append(mine, int32(i))
		}
	}
	grow := func(key func(*Add) int64) running {
		slices.SortFunc(mine, func(i, j int32) int { return cmp.Compare(key(&l.h.Adds[i]), key(&l.h.Adds[j])) })
		r := running{at: make([]int64, len(mine)), sum: make([]int64, len(mine)+1)}
		for k, i := range mine {
			r.at[k], r.sum[k+1] = key(&l.h.Adds[i]), r.sum[k]+l.h.Adds[i].Delta
		}
		return r
	}
	return grow(func(a *Add) int64 { return a.Return }), grow(func(a *Add) int64 { return a.Call })
}

// summed is what a read showed as the sum of one shard.
type summed struct {
	read      int
	call, ret int64
	sum       int64
}

// sums are the strict sums of one shard.
func (l *Ledger) sums(shard int) (all []summed) {
	for i := range l.h.Reads {
		r := &l.h.Reads[i]
		if r.Level != Strict {
			continue
		}
		for _, v := range r.Views {
			if v.Shard == shard {
				all = append(all, summed{i, r.Call, r.Return, v.Sum})
			}
		}
	}
	return all
}

// monotone demands that each sum is at least the largest of those returned before it was called.
func (l *Ledger) monotone(f *findings, shard int, views []summed) {
	byReturn := slices.Clone(views)
	slices.SortFunc(byReturn, func(a, b summed) int { return cmp.Compare(a.ret, b.ret) })
	slices.SortFunc(views, func(a, b summed) int { return cmp.Compare(a.call, b.call) })
	next, top := 0, summed{sum: -1 << 63}
	for _, v := range views {
		for ; next < len(byReturn) && byReturn[next].ret < v.call; next++ {
			if byReturn[next].sum > top.sum {
				top = byReturn[next]
			}
		}
		if v.sum < top.sum {
			f.add(Anomaly{Kind: Backward, Reads: []int{top.read, v.read}, Text: fmt.Sprintf("%s has sum %d on s%d, and %s had %d",
				l.nameRead(v.read), v.sum, shard, l.nameRead(top.read), top.sum)})
		}
	}
}
