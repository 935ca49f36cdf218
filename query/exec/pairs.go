package exec

import (
	"context"
	"sync"

	"github.com/quipudb/quipu/query/stats"
)

// pairs are the cells of one test without groups, as (row code, column code, count), with their margins: what the second round
// needs and nothing more. Cells with a NULL category, code 0, are only counted. Each goroutine of a scan fills a list of its own.
type pairs struct {
	mem        *Budget
	took       int64
	rows, cols []uint64 // totals by code
	n          uint64
	null       uint64
	lists      []stats.Triples
	overflow   bool
}

func newPairs(rows, cols uint32, mem *Budget) (*pairs, error) {
	p := &pairs{mem: mem, lists: make([]stats.Triples, 1)}
	if err := p.take(8 * (int64(rows) + int64(cols))); err != nil {
		return nil, err
	}
	p.rows, p.cols = make([]uint64, rows), make([]uint64, cols)
	return p, nil
}

func (p *pairs) take(n int64) error {
	if err := p.mem.Grow(n); err != nil {
		return err
	}
	p.took += n
	return nil
}

func (p *pairs) free() {
	p.mem.Shrink(p.took)
	p.took, p.rows, p.cols, p.lists = 0, nil, nil, nil
}

// add takes in cells of different codes; sel (nil: all) says which.
func (p *pairs) add(a, b []uint32, counts []int64, sel []int32) error {
	n := len(counts)
	if sel != nil {
		n = len(sel)
	}
	l := &p.lists[0]
	if have := len(l.Count); have+n > cap(l.Count) {
		grown := max(have+n, 2*cap(l.Count), 256)
		if err := p.take(16 * int64(grown-cap(l.Count))); err != nil {
			return err
		}
		l.Row = append(make([]uint32, 0, grown), l.Row...)
		l.Col = append(make([]uint32, 0, grown), l.Col...)
		l.Count = append(make([]int64, 0, grown), l.Count...)
	}
	at := len(l.Count)
	row, col, count := l.Row[at:at+n], l.Col[at:at+n], l.Count[at:at+n]
	if sel == nil {
		copy(row, a[:n])
		copy(col, b[:n])
		copy(count, counts)
	} else {
		for k, i := range sel {
			row[k], col[k], count[k] = a[i], b[i], counts[i]
		}
	}
	kept := p.total(row, col, count)
	l.Row, l.Col, l.Count = l.Row[:at+kept], l.Col[:at+kept], l.Count[:at+kept]
	return nil
}

// total adds cells to the margins and moves those with a NULL category out. It gives the number of those that stay.
func (p *pairs) total(row, col []uint32, count []int64) int {
	rows, cols := p.rows, p.cols
	n, kept := p.n, 0
	col, count = col[:len(row)], count[:len(row)]
	for k, i := range row {
		j, c := col[k], uint64(count[k])
		if i == 0 || j == 0 {
			p.null += c
			p.overflow = p.overflow || int64(p.null) < 0
			continue
		}
		rows[i] += c
		cols[j] += c
		if n += c; int64(n) < 0 {
			p.overflow = true
		}
		if kept != k {
			row[kept], col[kept], count[kept] = i, j, int64(c)
		}
		kept++
	}
	p.n = n
	return kept
}

// join takes over what another goroutine found.
func (p *pairs) join(o *pairs) {
	for i, v := range o.rows {
		p.rows[i] += v
	}
	for j, v := range o.cols {
		p.cols[j] += v
	}
	p.n += o.n
	p.null += o.null
	p.overflow = p.overflow || o.overflow || int64(p.n) < 0 || int64(p.null) < 0
	p.lists = append(p.lists, o.lists...)
	p.took += o.took
	o.took = 0
}

func (p *pairs) count() int {
	n := 0
	for _, l := range p.lists {
		n += len(l.Count)
	}
	return n
}

// secondCells is how many cells a goroutine must have to be worth starting.
const secondCells = 32 << 10

// partial sums the terms of all cells under global margins: rows and cols are the global totals by this shard's codes.
func (p *pairs) partial(ctx context.Context, f *stats.Frame, kinds stats.Kinds, parallel int) (*stats.Partial, error) {
	total := stats.NewPartial(f, kinds)
	if n := p.count(); n < 2*secondCells || parallel <= 1 {
		for _, l := range p.lists {
			if err := addCells(ctx, total, f, l); err != nil {
				return nil, err
			}
		}
		return total, nil
	}
	shares := p.split(parallel)
	parts, errs := make([]*stats.Partial, len(shares)), make([]error, len(shares))
	var wg sync.WaitGroup
	for i, share := range shares {
		wg.Go(func() {
			parts[i] = stats.NewPartial(f, kinds)
			for _, l := range share {
				if errs[i] = addCells(ctx, parts[i], f, l); errs[i] != nil {
					return
				}
			}
		})
	}
	wg.Wait()
	for i, part := range parts {
		if errs[i] != nil {
			return nil, errs[i]
		}
		if err := total.Merge(part); err != nil {
			return nil, err
		}
	}
	return total, nil
}

// addCells adds cells in steps, between which the query may be canceled.
func addCells(ctx context.Context, p *stats.Partial, f *stats.Frame, l stats.Triples) error {
	const step = 64 << 10
	for at := 0; at < len(l.Count); at += step {
		if err := ctx.Err(); err != nil {
			return err
		}
		end := min(at+step, len(l.Count))
		p.AddCells(f, stats.Triples{Row: l.Row[at:end], Col: l.Col[at:end], Count: l.Count[at:end]})
	}
	return nil
}

// split cuts the lists into n shares of about the same number of cells.
func (p *pairs) split(n int) [][]stats.Triples {
	size := p.count()/n + 1
	shares := make([][]stats.Triples, 1, n)
	left := size
	for _, l := range p.lists {
		for len(l.Count) > 0 {
			k := min(left, len(l.Count))
			last := len(shares) - 1
			shares[last] = append(shares[last], stats.Triples{Row: l.Row[:k], Col: l.Col[:k], Count: l.Count[:k]})
			l = stats.Triples{Row: l.Row[k:], Col: l.Col[k:], Count: l.Count[k:]}
			if left -= k; left == 0 {
				shares, left = append(shares, nil), size
			}
		}
	}
	return shares
}

// pairsOf makes pairs of a grid of two columns and one sum.
func pairsOf(g *grid, mem *Budget) (*pairs, error) {
	p, err := newPairs(max(g.cards[0], 1), max(g.cards[1], 1), mem)
	if err != nil {
		return nil, err
	}
	const step = 4096
	var a, b [step]uint32
	var counts [step]int64
	n := 0
	var buf [2]uint32
	for e := range g.entries() {
		v := g.vals[e]
		if v == 0 {
			continue
		}
		c := g.codesOf(e, buf[:])
		a[n], b[n], counts[n] = c[0], c[1], v
		if n++; n == step {
			if err := p.add(a[:n], b[:n], counts[:n], nil); err != nil {
				return nil, err
			}
			n = 0
		}
	}
	return p, p.add(a[:n], b[:n], counts[:n], nil)
}
