package check

import "slices"

// Shrink takes away from a history what is not needed to make it fail, until nothing more can go. Every step keeps legal histories legal:
// it forgets a read, or what a read saw of one shard, or an add together with its delta in every value that has seen it. What is left
// therefore fails for a reason that was there before. Fails says whether a history still fails in the way that is looked for.
//
// It tries few large cuts before many small ones; each try runs fails, about r·log r times for the r operations that stay and their
// neighbours, so that 100,000 operations shrink to a handful in some tens of tries.
func Shrink(h *History, fails func(*History) bool) *History {
	for before := -1; before != size(h); {
		before = size(h)
		h = cut(h, len(h.Reads), withoutReads, fails)
		h = cut(h, len(h.Adds), withoutAdds, fails)
		h = shrinkViews(h, fails)
	}
	return withoutWriters(h)
}

func size(h *History) int {
	n := len(h.Adds)
	for i := range h.Reads {
		n += 1 + len(h.Reads[i].Views)
	}
	return n
}

// cut removes runs of operations, half of them first, then ever shorter ones, as long as what remains fails. It goes from the end to the
// beginning, so that indices below the run stay valid.
func cut(h *History, n int, without func(*History, int, int) *History, fails func(*History) bool) *History {
	for run := n; run > 0; run /= 2 {
		for to := n; to > 0; to -= run {
			from := max(0, to-run)
			if less := without(h, from, to); less != nil && fails(less) {
				h, n = less, n-(to-from)
			}
		}
	}
	return h
}

func withoutReads(h *History, from, to int) *History {
	less := *h
	less.Reads = slices.Delete(slices.Clone(h.Reads), from, to)
	return &less
}

// withoutAdds takes the adds from … to−1 out of every view that has seen them, or gives nil where that cannot be known.
func withoutAdds(h *History, from, to int) *History {
	l, err := Prepare(h)
	if err != nil {
		return nil
	}
	less := clone(h)
	for r := range less.Reads {
		for v := range less.Reads[r].Views {
			if !l.subtract(&less.Reads[r], &less.Reads[r].Views[v], from, to) {
				return nil
			}
		}
	}
	less.Adds = slices.Delete(less.Adds, from, to)
	return less
}

// subtract takes the deltas of the adds from … to−1 out of a view. A cell whose value is no prefix is taken for the one below: the history
// is illegal already, so there is nothing that the step could spoil.
func (l *Ledger) subtract(r *Read, v *View, from, to int) bool {
	old := slices.Clone(v.Cells)
	for i := from; i < to; i++ {
		a := &l.h.Adds[i]
		switch {
		case a.Shard != v.Shard || a.Outcome == Refused:
		case v.Cells == nil && a.Call <= r.Return:
			return false
		case a.Writer < len(old):
			if int(l.place[i]) < l.chain(a.Shard, a.Writer).below(old[a.Writer]) {
				v.Cells[a.Writer] -= a.Delta
				v.Sum -= a.Delta
			}
		}
	}
	return true
}

// shrinkViews forgets what reads saw of single shards.
func shrinkViews(h *History, fails func(*History) bool) *History {
	for r := range h.Reads {
		for v := len(h.Reads[r].Views) - 1; v >= 0; v-- {
			less := clone(h)
			less.Reads[r].Views = slices.Delete(less.Reads[r].Views, v, v+1)
			if fails(less) {
				h = less
			}
		}
	}
	return h
}

// withoutWriters renumbers the writers that still add something.
func withoutWriters(h *History) *History {
	used := make([]bool, h.Writers)
	for i := range h.Adds {
		used[h.Adds[i].Writer] = true
	}
	for i := range h.Reads {
		for _, v := range h.Reads[i].Views {
			for w, value := range v.Cells {
				used[w] = used[w] || value != 0
			}
		}
	}
	to, n := make([]int, h.Writers), 0
	for w := range used {
		if to[w] = n; used[w] {
			n++
		}
	}
	less := clone(h)
	less.Writers = n
	for i := range less.Adds {
		less.Adds[i].Writer = to[less.Adds[i].Writer]
	}
	for i := range less.Reads {
		for v := range less.Reads[i].Views {
			view := &less.Reads[i].Views[v]
			if view.Cells == nil {
				continue
			}
			cells := make([]int64, n)
			for w, value := range view.Cells {
				if used[w] {
					cells[to[w]] = value
				}
			}
			view.Cells = cells
		}
	}
	return less
}

// clone copies h with everything that a step may change.
func clone(h *History) *History {
	c := *h
	c.Adds, c.Reads = slices.Clone(h.Adds), slices.Clone(h.Reads)
	for i := range c.Reads {
		c.Reads[i].Views = slices.Clone(c.Reads[i].Views)
		for v := range c.Reads[i].Views {
			c.Reads[i].Views[v].Cells = slices.Clone(c.Reads[i].Views[v].Cells)
		}
	}
	return &c
}
