package check

import "fmt"

// explainCell says why a writer's cell has a value that is no sum of the first adds of the writer. With the large random deltas that a
// recorder's workload uses the explanation is the only one; with small ones it is the first that fits.
func (l *Ledger) explainCell(read, shard, writer int, value int64) Anomaly {
	c := l.chain(shard, writer)
	a := Anomaly{Kind: Corrupt, Reads: []int{read}}
	where := fmt.Sprintf("%s has w%d = %d on s%d", l.nameRead(read), writer, value, shard)
	for _, by := range []func(*chain, int, int, int64) (Kind, int, string){l.doubled, l.lost, l.ghost, l.misrouted} {
		if kind, add, text := by(c, shard, writer, value); kind != "" {
			a.Kind, a.Adds, a.Text = kind, []int{add}, where+": "+text
			return a
		}
	}
	a.Text = fmt.Sprintf("%s, which no adds of w%d explain", where, writer)
	return a
}

// doubled: the value is a prefix and one of its adds again.
func (l *Ledger) doubled(c *chain, _, _ int, value int64) (Kind, int, string) {
	byDelta := map[int64]int32{}
	for k, i := range c.adds {
		byDelta[l.h.Adds[i].Delta] = i
		if twice, ok := byDelta[value-c.prefix[k+1]]; ok {
			return Doubled, int(twice), l.nameAdd(int(twice)) + " was counted twice"
		}
	}
	return "", 0, ""
}

// lost: the value is a prefix without one of its earlier adds.
func (l *Ledger) lost(c *chain, _, _ int, value int64) (Kind, int, string) {
	byDelta := map[int64]int32{}
	for k, i := range c.adds {
		if gone, ok := byDelta[c.prefix[k+1]-value]; ok {
			return Lost, int(gone), fmt.Sprintf("%s is missing, %s is there", l.nameAdd(int(gone)), l.nameAdd(int(i)))
		}
		byDelta[l.h.Adds[i].Delta] = i
	}
	return "", 0, ""
}

// ghost: the value is a prefix and an add that was refused.
func (l *Ledger) ghost(c *chain, shard, writer int, value int64) (Kind, int, string) {
	return l.stranger(c, value, func(a *Add) bool { return a.Outcome == Refused && a.Shard == shard && a.Writer == writer }, Ghost, "was counted")
}

// misrouted: the value is a prefix and an add that the writer sent elsewhere.
func (l *Ledger) misrouted(c *chain, shard, writer int, value int64) (Kind, int, string) {
	return l.stranger(c, value, func(a *Add) bool { return a.Shard != shard && a.Writer == writer }, Misrouted, "was counted here")
}

// stranger finds an add for which is holds and that makes up the difference between value and some prefix.
func (l *Ledger) stranger(c *chain, value int64, is func(*Add) bool, kind Kind, text string) (Kind, int, string) {
	gaps := make(map[int64]bool, len(c.prefix))
	for _, p := range c.prefix {
		gaps[value-p] = true
	}
	for i := range l.h.Adds {
		if a := &l.h.Adds[i]; gaps[a.Delta] && is(a) {
			return kind, i, l.nameAdd(i) + " " + text
		}
	}
	return "", 0, ""
}

// explainSum says why the shared cell differs from the writers' cells, which make sense by themselves.
func (l *Ledger) explainSum(read int, v *View, seen []int32, want int64) Anomaly {
	diff := v.Sum - want
	a := Anomaly{Kind: Corrupt, Reads: []int{read}}
	a.Text = fmt.Sprintf("%s has sum %d on s%d where its cells make %d", l.nameRead(read), v.Sum, v.Shard, want)
	for i := range l.h.Adds {
		x := &l.h.Adds[i]
		if x.Shard != v.Shard || x.Delta != diff && x.Delta != -diff {
			continue
		}
		visible := x.Outcome != Refused && l.place[i] < seen[x.Writer]
		switch {
		case diff < 0 && visible:
			a.Kind, a.Text = Partial, a.Text+": "+l.nameAdd(i)+" is in its writer's cell and not in the sum"
		case diff > 0 && x.Outcome == Refused:
			a.Kind, a.Text = Ghost, a.Text+": "+l.nameAdd(i)+" is in the sum"
		case diff > 0 && visible:
			a.Kind, a.Text = Doubled, a.Text+": "+l.nameAdd(i)+" is in the sum twice"
		case diff > 0:
			a.Kind, a.Text = Partial, a.Text+": "+l.nameAdd(i)+" is in the sum and not in its writer's cell"
		default:
			continue
		}
		a.Adds = []int{i}
		return a
	}
	return a
}
