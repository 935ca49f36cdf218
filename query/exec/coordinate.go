package exec

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/quipudb/quipu/query/plan"
	"github.com/quipudb/quipu/query/stats"
	"github.com/quipudb/quipu/server/errcode"
	"github.com/quipudb/quipu/storage"
	"github.com/quipudb/quipu/storage/schema"
)

// errEnough ends a stream of rows whose consumer wants no more.
var errEnough = errors.New("exec: enough rows")

// Shard is one shard's part of a snapshot.
type Shard struct {
	ID       schema.ShardID
	Snapshot *storage.Snapshot
}

// Env is what a query runs in.
type Env struct {
	Shards  []Shard
	Options Options
	Warn    func(text string) // a test whose assumptions fail, rows that were left out
	Costs   map[*plan.Fragment]*Cost
}

// Cost is what a fragment took, over all shards.
type Cost struct {
	ScanStats
	Groups     int64
	Integers   int64 // of margins exchanged, in ModeMargins
	First, All time.Duration
}

// Lines are the cost for EXPLAIN ANALYZE.
func (c *Cost) Lines() []string {
	out := []string{fmt.Sprintf("scanned: %d blocks, %d cells, %d rows passed", c.Blocks, c.Cells, c.Rows), fmt.Sprintf("groups: %d", c.Groups)}
	if c.Integers > 0 {
		out = append(out, fmt.Sprintf("exchanged: %d integers of margins", c.Integers))
	}
	return append(out, fmt.Sprintf("time: %.3f ms scanning, %.3f ms in all", ms(c.First), ms(c.All)))
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// runs are a fragment on its shards.
type runs struct {
	env  *Env
	f    *plan.Fragment
	cost *Cost
	list []*Run

	workers int // shards that are read at a time; each has its part of the query's goroutines
	began   time.Time
}

func (e *Env) open(f *plan.Fragment) (*runs, error) {
	r := &runs{env: e, f: f, cost: &Cost{}, began: time.Now()}
	if e.Costs != nil {
		e.Costs[f] = r.cost
	}
	shards := e.Shards
	if f.Shards != nil {
		shards = slices.DeleteFunc(slices.Clone(shards), func(s Shard) bool { return !slices.Contains(f.Shards, s.ID) })
	}
	options := e.Options
	if options.Parallel <= 0 {
		options.Parallel = goroutines()
	}
	r.workers = max(1, min(options.Parallel, len(shards)))
	options.Parallel /= r.workers
	for _, s := range shards {
		run, err := OpenRun(s.Snapshot, f, options)
		if err != nil {
			r.close()
			return nil, err
		}
		r.list = append(r.list, run)
	}
	return r, nil
}

func (r *runs) close() {
	for _, run := range r.list {
		r.cost.add(run.Stats)
		run.Close()
	}
	r.cost.All = time.Since(r.began)
}

// first runs the first round on every shard, several at a time.
func (r *runs) first(ctx context.Context) ([]*Partial, error) {
	began := time.Now()
	out := make([]*Partial, len(r.list))
	errs := make([]error, len(r.list))
	work := make(chan int, len(r.list))
	for i := range r.list {
		work <- i
	}
	close(work)
	one := func() {
		for i := range work {
			out[i], errs[i] = r.list[i].First(ctx)
		}
	}
	var wg sync.WaitGroup
	for range r.workers - 1 {
		wg.Go(one)
	}
	one()
	wg.Wait()
	for i := range out {
		if errs[i] != nil {
			return nil, errs[i]
		}
		r.cost.Groups += int64(len(out[i].Groups))
	}
	r.cost.First = time.Since(began)
	return out, nil
}

// merged is one group over all shards.
type merged struct {
	Group
	parts [][]*Crosstab // by aggregate: the shards' shares
}

// groups gives the merged groups of a fragment, in the order in which they were met.
func (r *runs) groups(ctx context.Context) ([]*merged, error) {
	partials, err := r.first(ctx)
	if err != nil {
		return nil, err
	}
	var out []*merged
	index := map[string]*merged{}
	for _, p := range partials {
		for i := range p.Groups {
			g := &p.Groups[i]
			k := rowKey(g.Keys)
			m := index[k]
			if m == nil {
				m = &merged{Group: *g, parts: make([][]*Crosstab, len(r.f.Aggs))}
				index[k] = m
				out = append(out, m)
			} else if err := m.merge(r.f, g, r.env.Options.Memory); err != nil {
				return nil, err
			}
			for a, t := range g.Tests {
				if t != nil {
					m.parts[a] = append(m.parts[a], t)
				}
			}
		}
	}
	if len(out) == 0 && len(r.f.Keys) == 0 {
		n := len(r.f.Aggs)
		out = append(out, &merged{parts: make([][]*Crosstab, n), Group: Group{Sums: make([]int64, n), Some: make([]bool, n),
			Seen: make([]map[plan.Value]struct{}, n), Ends: make([]plan.Value, n), Tests: make([]*Crosstab, n), Done: make([][]plan.Value, n)}})
	}
	return out, nil
}

// merge adds what another shard has of the same group.
func (m *merged) merge(f *plan.Fragment, g *Group, mem *Budget) error {
	for i, a := range f.Aggs {
		switch a.Kind {
		case plan.AggSum, plan.AggCells:
			sum := m.Sums[i] + g.Sums[i]
			if sum < m.Sums[i] {
				return errcode.New(errcode.NumericOutOfRange, "int8 out of range: the counts of table %q add up to more than 9223372036854775807", f.Name).
					WithHint("narrow the query with WHERE, or group by more columns")
			}
			m.Sums[i], m.Some[i] = sum, m.Some[i] || g.Some[i]
		case plan.AggDistinct:
			for v := range g.Seen[i] {
				if err := m.see(i, a, v, mem); err != nil {
					return err
				}
			}
		case plan.AggMin, plan.AggMax:
			if err := m.see(i, a, g.Ends[i], mem); err != nil {
				return err
			}
		}
	}
	return nil
}

// columns are the group's keys and aggregates as a row.
func (r *runs) columns(m *merged) ([]plan.Value, error) {
	row := append(make([]plan.Value, 0, len(m.Keys)+len(r.f.Aggs)*plan.TestWidth), m.Keys...)
	for i, a := range r.f.Aggs {
		switch a.Kind {
		case plan.AggSum:
			if m.Some[i] {
				row = append(row, plan.IntValue(m.Sums[i]))
			} else {
				row = append(row, plan.Null)
			}
		case plan.AggCells:
			row = append(row, plan.IntValue(m.Sums[i]))
		case plan.AggDistinct:
			row = append(row, plan.IntValue(int64(len(m.Seen[i]))))
		case plan.AggMin, plan.AggMax:
			row = append(row, m.Ends[i])
		case plan.AggTest:
			rec := m.Done[i]
			if rec == nil {
				var err error
				if rec, err = r.test(m.parts[i], a.Test); err != nil {
					return nil, err
				}
			}
			if w := rec[plan.FieldWarning]; !w.IsNull() {
				r.env.Warn(w.Text())
			}
			row = append(row, rec...)
		default:
			return nil, errcode.New(errcode.Internal, "aggregate kind %d in a fragment", a.Kind)
		}
	}
	return row, nil
}

// test finishes one test of one group from the shards' shares.
func (r *runs) test(parts []*Crosstab, kind plan.TestKind) ([]plan.Value, error) {
	if r.f.Mode == plan.ModeMargins && kind != plan.Yates {
		return r.twoRounds(parts, kind)
	}
	return finishCrosstab(mergeCrosstabs(parts), kind)
}

// mergeCrosstabs adds up cells of the same categories. Squares of parts of a cell do not add: this comes before any test.
func mergeCrosstabs(parts []*Crosstab) *Crosstab {
	if len(parts) == 1 {
		return parts[0]
	}
	out := &Crosstab{}
	rows, cols := newInterner(), newInterner()
	at := map[[2]uint32]int{}
	for _, p := range parts {
		out.Null += p.Null
		for k, n := range p.Cells.Count {
			i, j := rows.code(p.Rows[p.Cells.Row[k]])-1, cols.code(p.Cols[p.Cells.Col[k]])-1
			e, ok := at[[2]uint32{i, j}]
			if !ok {
				e = len(out.Cells.Count)
				at[[2]uint32{i, j}] = e
				out.Cells.Row, out.Cells.Col, out.Cells.Count = append(out.Cells.Row, i), append(out.Cells.Col, j), append(out.Cells.Count, 0)
			}
			out.Cells.Count[e] += n
		}
	}
	out.Rows, out.Cols = rows.values[1:], cols.values[1:]
	return out
}

// twoRounds is the test of cells that each lie whole on one shard: margins are merged by value, and every shard then sums its own cells
// under the global margins. Only integers and one exact accumulator a shard are exchanged.
func (r *runs) twoRounds(parts []*Crosstab, kind plan.TestKind) ([]plan.Value, error) {
	rows, cols := newInterner(), newInterner()
	var null int64
	type placed struct {
		m  *stats.Margins
		to [2][]int
	}
	list := make([]placed, len(parts))
	for i, p := range parts {
		null += p.Null
		m, err := p.margins()
		if err != nil {
			return nil, countError(err)
		}
		list[i].m = m
		list[i].to = [2][]int{codesOf(rows, p.Rows), codesOf(cols, p.Cols)}
		r.cost.Integers += int64(2 * (len(p.Rows) + len(p.Cols)))
	}
	total := stats.NewMargins(len(rows.values)-1, len(cols.values)-1)
	for _, p := range list {
		if err := total.Place(p.m, p.to[0], p.to[1]); err != nil {
			return nil, countError(err)
		}
	}
	f := total.Frame()
	sum := stats.NewPartial(f, kinds(kind))
	for i, p := range list {
		share, err := parts[i].share(total, f, p.to, kinds(kind))
		if err != nil {
			return nil, err
		}
		if err := sum.Merge(share); err != nil {
			return nil, err
		}
	}
	return finishPartial(f, sum, kind, null)
}

// margins are the totals of the shard's own cells.
func (c *Crosstab) margins() (*stats.Margins, error) {
	m := stats.NewMargins(len(c.Rows), len(c.Cols))
	if c.block == nil {
		return m, m.AddCells(c.Cells)
	}
	for i := range c.Rows {
		if err := m.AddRow(i, c.row(i)); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// share is the shard's part of the sums under the global margins; to gives the global places of its rows and columns.
func (c *Crosstab) share(total *stats.Margins, global *stats.Frame, to [2][]int, k stats.Kinds) (*stats.Partial, error) {
	if c.block == nil {
		p := stats.NewPartial(global, k)
		p.AddCells(global, renumber(c.Cells, to))
		return p, nil
	}
	rows, cols := make([]uint64, len(c.Rows)), make([]uint64, len(c.Cols))
	for i, at := range to[0] {
		rows[i] = total.Rows[at]
	}
	for j, at := range to[1] {
		cols[j] = total.Cols[at]
	}
	f, err := stats.NewFrame(total.N, rows, cols, total.Whole())
	if err != nil {
		return nil, err
	}
	p := stats.NewPartial(f, k)
	for i := range c.Rows {
		p.AddRow(f, i, c.row(i))
	}
	return p, nil
}

func codesOf(in *interner, values []plan.Value) []int {
	out := make([]int, len(values))
	for i, v := range values {
		out[i] = int(in.code(v)) - 1
	}
	return out
}

func renumber(c stats.Triples, to [2][]int) stats.Triples {
	out := stats.Triples{Row: make([]uint32, len(c.Row)), Col: make([]uint32, len(c.Col)), Count: c.Count}
	for k := range c.Row {
		out.Row[k], out.Col[k] = uint32(to[0][c.Row[k]]), uint32(to[1][c.Col[k]])
	}
	return out
}

// rowKey names a row by its values, equal rows equally.
func rowKey(values []plan.Value) string {
	var b []byte
	for _, v := range values {
		k := v.Key()
		b = append(b, byte(k.Type))
		if k.Type == plan.Text || k.Type == plan.JSON {
			b = appendLength(b, len(k.Text()))
			b = append(b, k.Text()...)
			continue
		}
		months, days, num := k.Span()
		for _, n := range []uint64{uint64(uint32(months))<<32 | uint64(uint32(days)), uint64(num)} {
			for shift := 56; shift >= 0; shift -= 8 {
				b = append(b, byte(n>>shift))
			}
		}
	}
	return string(b)
}

func appendLength(b []byte, n int) []byte {
	return append(b, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
}
