package replica

import (
	"math"
	"strings"

	"github.com/quipudb/quipu/proto/command/v1"
)

// release gives the scratch of a part back. Called under the proposer's lock, or when nobody else knows the part any more.
func (pd *Pending) release() {
	r := pd.prep
	if r == nil {
		return
	}
	pd.prep = nil
	r.dict = nil
	clear(r.codes)
	preps.Put(r)
}

// younger is the room that values of dimension d take in g's list of new ones, because g began before they were applied.
func (r *prep) younger(g *command.GroupBuilder, d int, part *Part) (bytes int) {
	if g.Knows(d, r.known[d]) {
		return 0
	}
	for i, code := range r.remap[d] {
		if applied(code) && !g.Knows(d, code) {
			bytes += len(part.Cols[d].Values[i].Text) + 4
		}
	}
	return bytes
}

// recode replaces applied codes that the group cannot name by ones that it can.
func (r *prep) recode(g *command.GroupBuilder, d int, part *Part) {
	for i, code := range r.remap[d] {
		if applied(code) && !g.Knows(d, code) {
			// The entry keeps the value until it is encoded; the batch may go before.
			r.remap[d][i] = g.Code(d, strings.Clone(part.Cols[d].Values[i].Text), code)
		}
	}
}

// applied reports whether an item of remap is the code of a value.
func applied(code uint32) bool { return code != 0 && code != unused && code != missing }

// sum is that of the part's counts without their signs; what does not fit int64 is refused when the rows are added.
func (p *Part) sum() uint64 {
	if p.Counts == nil {
		return uint64(p.Len)
	}
	var sum uint64
	for i := range p.Len {
		n := p.Counts[p.row(i)]
		if n < 0 {
			n = -n
		}
		if sum += uint64(n); sum > math.MaxInt64 {
			return math.MaxInt64
		}
	}
	return sum
}

// windowCount bounds the distinct windows of the part from above.
func (p *Part) windowCount() int {
	if p.Windows == nil {
		return 1
	}
	n := 1
	for i := 1; i < p.Len; i++ {
		if p.Windows[p.row(i)] != p.Windows[p.row(i-1)] {
			n++
		}
	}
	return n
}

// resize is a slice of length n, of s's memory if that is long enough. Its content is whatever was there.
func resize[T any](s []T, n int) []T {
	if cap(s) < n {
		return append(s[:cap(s)], make([]T, n-cap(s))...)
	}
	return s[:n]
}
