package exec

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quipudb/quipu/query/plan"
	"github.com/quipudb/quipu/server/errcode"
	"github.com/quipudb/quipu/storage"
	"github.com/quipudb/quipu/storage/schema"
)

// errEnough ends a stream of rows whose consumer wants no more.
var errEnough = errors.New("exec: enough rows")

// Shard is one shard's part of a snapshot.
type Shard struct {
	ID       schema.ShardID
	Node     string // where it is read, for EXPLAIN; may be empty
	Snapshot Snapshot
}

// Snapshot is one shard as of an instant, on this node or on another.
type Snapshot interface {
	// Open starts a fragment on it.
	Open(f *plan.Fragment, o Options) (Worker, error)
}

// Here is a snapshot of this node.
type Here struct{ *storage.Snapshot }

// Open starts a fragment.
func (h Here) Open(f *plan.Fragment, o Options) (Worker, error) { return OpenRun(h.Snapshot, f, o) }

// Env is what a query runs in.
type Env struct {
	Shards  []Shard
	Options Options
	// Warnings is how often was warned of what: of a test whose assumptions fail, of rows that were left out. Run fills it.
	Warnings map[string]int
	// Tested is given the record of each test that was done; nil if nobody wants to know.
	Tested func(a *plan.Aggregate, record []plan.Value)
	Costs  map[*plan.Fragment]*Cost
	Actual map[plan.Node]*Actual // what each step gave; nil if nobody wants to know

	kept   map[*plan.Kept]*keptRows           // what subqueries read once
	rounds map[*plan.WorkTable][][]plan.Value // rows of the last round of a recursion

	values [4]plan.Value // room for the rows of steps
	used   int           // of values
}

// row is one for a step to fill again and again.
func (e *Env) row(n int) []plan.Value {
	if n > len(e.values)-e.used {
		return make([]plan.Value, n)
	}
	row := e.values[e.used : e.used+n : e.used+n]
	e.used += n
	return row
}

// warn counts a warning by its kind, so that a thousand tests give one notice. What stands in parentheses is about one test.
func (e *Env) warn(text string) {
	if e.Warnings == nil {
		e.Warnings = map[string]int{}
	}
	kind, _, _ := strings.Cut(text, " (")
	e.Warnings[kind]++
}

// Cost is what a fragment took, over all shards.
type Cost struct {
	ScanStats
	Groups     int64
	Integers   int64 // of margins exchanged, in ModeMargins
	First, All time.Duration
}

// Actual is what a step of the coordinator gave, over all its runs.
type Actual struct{ Rows, Loops int64 }

// Lines are the cost for EXPLAIN ANALYZE, with the time that it took if that is wanted.
func (c *Cost) Lines(timing bool) []string {
	out := []string{fmt.Sprintf("scanned: %d blocks, %d cells, %d rows passed", c.Blocks, c.Cells, c.Rows), fmt.Sprintf("groups: %d", c.Groups)}
	if c.Integers > 0 {
		out = append(out, fmt.Sprintf("exchanged: %d integers of margins", c.Integers))
	}
	if c.Elsewhere > 0 {
		out = append(out, fmt.Sprintf("other nodes: %d shards, first round %d bytes down, %d up", c.Elsewhere, c.Rounds[0].Down, c.Rounds[0].Up))
		if t := c.Rounds[1]; t != (Traffic{}) {
			out = append(out, fmt.Sprintf("other nodes: second round %d bytes down, %d up", t.Down, t.Up))
		}
	}
	if !timing {
		return out
	}
	return append(out, fmt.Sprintf("time: %.3f ms scanning, %.3f ms in all", ms(c.First), ms(c.All)))
}

// Facts are the same for programs.
func (c *Cost) Facts(timing bool) []plan.Fact {
	out := []plan.Fact{{Key: "Scanned Blocks", Value: c.Blocks}, {Key: "Scanned Cells", Value: c.Cells}, {Key: "Passed Rows", Value: c.Rows}, {Key: "Groups", Value: c.Groups}}
	if c.Integers > 0 {
		out = append(out, plan.Fact{Key: "Exchanged Integers", Value: c.Integers})
	}
	if c.Elsewhere > 0 {
		out = append(out, plan.Fact{Key: "Remote Shards", Value: c.Elsewhere}, plan.Fact{Key: "Bytes Sent", Value: c.Rounds[0].Down + c.Rounds[1].Down},
			plan.Fact{Key: "Bytes Received", Value: c.Rounds[0].Up + c.Rounds[1].Up})
	}
	if timing {
		out = append(out, plan.Fact{Key: "Scan Time", Value: ms(c.First)}, plan.Fact{Key: "Fragment Time", Value: ms(c.All)})
	}
	return out
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// runs are a fragment on its shards.
type runs struct {
	env  *Env
	f    *plan.Fragment
	cost *Cost // nil if nobody asks
	list []Worker

	here    []int     // of the list: those that are read on this node
	away    []int     // and those that other nodes read
	workers int       // shards that are read here at a time; each has its part of the query's goroutines
	began   time.Time // if somebody asks for the cost

	one struct { // room for what a fragment on one shard makes
		shard   [1]Shard
		worker  [1]Worker
		here    [1]int
		partial [1]*Partial
		merged  [1]merged
		group   [1]*merged
		row     [2]plan.Value
	}
}

// listOf is an empty list for n elements, in one where that suffices.
func listOf[T any](one *[1]T, n int) []T {
	if n <= 1 {
		return one[:0]
	}
	return make([]T, 0, n)
}

var spareRuns = sync.Pool{New: func() any { return new(runs) }}

func (e *Env) open(f *plan.Fragment) (*runs, error) {
	r := spareRuns.Get().(*runs)
	r.env, r.f = e, f
	if e.Costs != nil {
		if r.cost, r.began = e.Costs[f], time.Now(); r.cost == nil { // else it is run anew: the cost is that of all runs
			r.cost = &Cost{}
			e.Costs[f] = r.cost
		}
	}
	shards := e.Shards
	if f.Shards != nil {
		shards = listOf(&r.one.shard, len(f.Shards))
		for i := range e.Shards {
			if slices.Contains(f.Shards, e.Shards[i].ID) {
				shards = append(shards, e.Shards[i])
			}
		}
	}
	options := e.Options
	if options.Parallel <= 0 {
		options.Parallel = goroutines()
	}
	r.workers = max(1, min(options.Parallel, len(shards)))
	options.Parallel /= r.workers
	blocks := 0
	r.list, r.here = listOf(&r.one.worker, len(shards)), listOf(&r.one.here, len(shards))
	for i := range shards {
		run, err := shards[i].Snapshot.Open(f, options)
		if err != nil {
			r.close()
			return nil, err
		}
		r.list = append(r.list, run)
		if n := run.Blocks(); n == Elsewhere {
			r.away = append(r.away, i)
		} else {
			r.here = append(r.here, i)
			blocks += n
		}
	}
	r.workers = min(r.workers, 1+blocks/parallelBlocks)
	return r, nil
}

// close ends the fragment. Its groups go with it.
func (r *runs) close() {
	for _, run := range r.list {
		if r.cost != nil {
			r.cost.add(run.Cost())
		}
		run.Close()
	}
	if r.cost != nil {
		r.cost.All += time.Since(r.began)
	}
	*r = runs{}
	spareRuns.Put(r)
}

// each calls one for every shard: several at a time of those that are read here, all at once of the others.
func (r *runs) each(one func(i int) error) error {
	if r.workers == 1 && len(r.away) == 0 {
		for _, i := range r.here {
			if err := one(i); err != nil {
				return err
			}
		}
		return nil
	}
	errs := make([]error, len(r.list))
	var wg sync.WaitGroup
	for _, i := range r.away {
		wg.Go(func() { errs[i] = one(i) })
	}
	var next atomic.Int64
	work := func() {
		for k := int(next.Add(1)) - 1; k < len(r.here); k = int(next.Add(1)) - 1 {
			i := r.here[k]
			errs[i] = one(i)
		}
	}
	for range r.workers - 1 {
		wg.Go(work)
	}
	work()
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// partials fills in the shards' parts of the first round.
func (r *runs) partials(ctx context.Context, out []*Partial) (err error) {
	if len(r.here) == 1 && len(r.list) == 1 {
		out[0], err = r.list[0].First(ctx)
		return err
	}
	return r.each(func(i int) (err error) {
		out[i], err = r.list[i].First(ctx)
		return err
	})
}

// first runs the first round.
func (r *runs) first(ctx context.Context) ([]*Partial, error) {
	var began time.Time
	if r.cost != nil {
		began = time.Now()
	}
	out := listOf(&r.one.partial, len(r.list))[:len(r.list)]
	if err := r.partials(ctx, out); err != nil {
		return nil, err
	}
	if r.cost != nil {
		for _, p := range out {
			r.cost.Groups += int64(len(p.Groups))
		}
		r.cost.First += time.Since(began)
	}
	return out, nil
}

// merged is one group over all shards.
type merged struct {
	Group
	from []origin
	own  [1]origin // room for the only one
}

// origin says which group of which shard a share came from.
type origin struct {
	shard, group int
	aggs         []Share
}

// groups gives the merged groups of a fragment, in the order in which they were met, with their tests done.
func (r *runs) groups(ctx context.Context) ([]*merged, error) {
	partials, err := r.first(ctx)
	if err != nil {
		return nil, err
	}
	out, err := r.merge(partials)
	if err != nil {
		return nil, err
	}
	if len(out) == 0 && len(r.f.Keys) == 0 {
		out = append(out, &merged{Group: Group{Aggs: make([]Share, len(r.f.Aggs))}})
	}
	if r.f.Mode != plan.ModeLocal && r.f.Tests() {
		err = r.second(ctx, out)
	}
	return out, err
}

func (r *runs) merge(partials []*Partial) ([]*merged, error) {
	if r.f.Mode == plan.ModeLocal || len(partials) == 1 {
		return r.disjoint(partials), nil
	}
	var out []*merged
	index := map[string]*merged{}
	for shard, p := range partials {
		for i := range p.Groups {
			g := &p.Groups[i]
			k := rowKey(g.Keys)
			m := index[k]
			if m == nil {
				m = &merged{Group: Group{Keys: g.Keys, Aggs: slices.Clone(g.Aggs)}}
				index[k] = m
				out = append(out, m)
			} else {
				for a, x := range r.f.Aggs {
					if err := m.Aggs[a].merge(x, &g.Aggs[a], r.f.Name, r.env.Options.Memory); err != nil {
						return nil, err
					}
				}
			}
			m.from = append(m.from, origin{shard, i, g.Aggs})
		}
	}
	return out, nil
}

// disjoint is merge where no two shards have the same group.
func (r *runs) disjoint(partials []*Partial) []*merged {
	n := 0
	for _, p := range partials {
		n += len(p.Groups)
	}
	all, out := listOf(&r.one.merged, n), listOf(&r.one.group, n)
	for shard, p := range partials {
		for i := range p.Groups {
			g := &p.Groups[i]
			all = append(all, merged{Group: *g, own: [1]origin{{shard, i, g.Aggs}}})
			m := &all[len(all)-1]
			m.from = m.own[:]
			out = append(out, m)
		}
	}
	return out
}

// crosstabs are the shards' cells of one test.
func (m *merged) crosstabs(agg int) []*plan.Cells {
	var out []*plan.Cells
	for _, o := range m.from {
		if c := o.aggs[agg].Cells; c != nil {
			out = append(out, c)
		}
	}
	return out
}

// columns appends the group's keys and aggregates to a row.
func (r *runs) columns(row []plan.Value, m *merged) ([]plan.Value, error) {
	row = append(slices.Grow(row, len(m.Keys)+len(r.f.Aggs)), m.Keys...)
	for i, a := range r.f.Aggs {
		s := &m.Aggs[i]
		switch a.Kind {
		case plan.AggSum:
			if s.Some {
				row = append(row, plan.IntValue(s.Sum))
			} else {
				row = append(row, plan.Null)
			}
		case plan.AggCells:
			row = append(row, plan.IntValue(s.Sum))
		case plan.AggDistinct:
			row = append(row, plan.IntValue(int64(len(s.Seen))))
		case plan.AggMin, plan.AggMax:
			row = append(row, s.End)
		case plan.AggTest:
			if s.Done == nil {
				c, err := mergeCrosstabs(m.crosstabs(i), len(a.Cats))
				if err != nil {
					return nil, err
				}
				if s.Done, err = a.FinishCells(c); err != nil {
					return nil, err
				}
			}
			if r.env.Tested != nil {
				r.env.Tested(a, s.Done)
			}
			row = append(row, s.Done...)
		default:
			return nil, errcode.New(errcode.Internal, "aggregate kind %d in a fragment", a.Kind)
		}
	}
	return row, nil
}

// warn takes in what the tests of a group warn of.
func (r *runs) warn(m *merged) {
	for i, a := range r.f.Aggs {
		if a.Kind != plan.AggTest {
			continue
		}
		if w := a.Warning(m.Aggs[i].Done); w != "" {
			r.env.warn(w)
		}
	}
}

// rowKey names a row by its values, equal rows equally.
func rowKey(values []plan.Value) string {
	var b []byte
	for _, v := range values {
		k := v.Key()
		b = append(b, byte(k.Type))
		if k.Type == plan.Text || k.Type == plan.JSON || k.Type.IsArray() {
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
