package bench

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/quipudb/quipu/client"
	"github.com/quipudb/quipu/cmd/internal/workload"
)

// Growth says how a cluster under load gets more nodes.
type Growth struct {
	Nodes int           // that join [3]
	Cells int           // that are counted on [20,000]
	Rate  float64       // observations a second [100,000]
	After time.Duration // that counting goes on once all is spread [5 s]
	Seed  uint64
}

// Joining are processes to which more can be added.
type Joining interface {
	// Add starts one more node, which joins, and returns when it serves.
	Add() error
}

// GrowthResult says how long it took from the start of the first new process, and what became of the load.
type GrowthResult struct {
	Replicas float64 `json:"replicas_spread_s"` // until no node had two replicas of shards more than another one
	Spread   float64 `json:"leaders_spread_s"`  // and no node led two groups more than another one that could lead one of them
	Counted  int64   `json:"observations"`      // acknowledged
	Wrong    int     `json:"wrong_cells"`       // cells that are not what the writer's books say
	Reads    int     `json:"strict_reads"`      // of all shards, made meanwhile
	Failed   int     `json:"failed_reads"`
	WorstMs  float64 `json:"slowest_read_ms"`
}

// Check says what cannot be measured so.
func (o Growth) Check() error {
	if o.Nodes < 0 || o.Cells < 0 || o.Rate < 0 || o.After < 0 {
		return fmt.Errorf("%d nodes, %d cells, %g observations a second, %v: none may be negative", o.Nodes, o.Cells, o.Rate, o.After)
	}
	return nil
}

func (o *Growth) complete() {
	if o.Nodes == 0 {
		o.Nodes = 3
	}
	if o.Cells == 0 {
		o.Cells = 20_000
	}
	if o.Rate == 0 {
		o.Rate = 100_000
	}
	if o.After == 0 {
		o.After = 5 * time.Second
	}
}

// Run adds the nodes while it counts and reads, waits until replicas and leaders are spread, and compares every cell with its books.
func (o Growth) Run(ctx context.Context, c *client.Client, nodes Joining, say func(string)) (r GrowthResult, err error) {
	if err := o.Check(); err != nil {
		return r, err
	}
	o.complete()
	m, err := c.Map(ctx)
	if err != nil {
		return r, err
	}
	l := newLoad(c, o.Cells)
	if _, err := c.Exec(ctx, "CREATE TABLE grown (d0 text, d1 text)"); err != nil {
		return r, err
	}
	working, stop := context.WithCancel(ctx)
	defer stop()
	done := make(chan error, 2)
	go func() { done <- l.write(working, o.Rate, o.Seed) }()
	go func() { done <- l.read(working) }()
	defer func() { // on every way out
		stop()
		err = errors.Join(err, <-done, <-done)
		if err == nil {
			r.Reads, r.Failed, r.WorstMs = l.reads, l.failed, milliseconds(l.worst)
			r.Counted, r.Wrong, err = l.compare(ctx)
		}
	}()
	began := time.Now()
	for range o.Nodes {
		if err := nodes.Add(); err != nil {
			return r, err
		}
	}
	say(fmt.Sprintf("%5.1f s  %d nodes have joined", time.Since(began).Seconds(), o.Nodes))
	said := ""
	err = look(ctx, c, func(now client.ClusterMap) bool {
		s := spreadOf(now, len(m.Nodes)+o.Nodes)
		since := time.Since(began).Seconds()
		if line := s.String(); line != said {
			say(fmt.Sprintf("%5.1f s  %s", since, line))
			said = line
		}
		if !s.replicas {
			r.Replicas = 0
		} else if r.Replicas == 0 {
			r.Replicas = since
		}
		r.Spread = since
		return s.replicas && s.leaders
	})
	if err == nil {
		err = pause(ctx, o.After)
	}
	return r, err
}

// spread is where replicas and leaders are.
type spread struct {
	on, leads         []int // replicas of shards by node, and groups that it leads, in the order of the map
	replicas, leaders bool  // are spread
}

func (s spread) String() string {
	return fmt.Sprintf("replicas of shards by node %v, groups led %v", s.on, s.leads)
}

// spreadOf says how well a cluster of so many nodes is spread. Groups that have more or fewer than three voters, or a learner of a shard, are
// on the move.
func spreadOf(m client.ClusterMap, nodes int) spread {
	s := spread{on: make([]int, len(m.Nodes)), leads: make([]int, len(m.Nodes))}
	at := map[string]int{}
	there := 0
	for i, n := range m.Nodes {
		at[n.ID] = i
		if n.State == "active" && n.Reachable {
			there++
		}
	}
	s.replicas, s.leaders = there == nodes && len(m.Groups) > 0, true
	for _, g := range m.Groups {
		if i, ok := at[g.Leader]; ok {
			s.leads[i]++
		} else {
			s.leaders = false
		}
		if g.Group == "meta" {
			continue
		}
		s.replicas = s.replicas && len(g.Voters) == min(3, nodes) && len(g.Learners) == 0
		for _, id := range append(slices.Clone(g.Voters), g.Learners...) {
			s.on[at[id]]++
		}
	}
	s.replicas = s.replicas && slices.Max(s.on)-slices.Min(s.on) <= 1
	for _, g := range m.Groups {
		for _, id := range g.Voters {
			if s.leads[at[g.Leader]] > s.leads[at[id]]+1 {
				s.leaders = false
			}
		}
	}
	return s
}

// load counts and reads while the cluster changes, and keeps the books.
type load struct {
	c      *client.Client
	box    workload.Box
	counts []int64 // by cell, what was handed to the SDK; write owns it until it has ended

	reads, failed int // read owns these
	worst         time.Duration
}

func newLoad(c *client.Client, cells int) *load {
	return &load{c: c, box: workload.NewBox(cells, 2), counts: make([]int64, cells)}
}

// write counts at a rate until ctx ends, and then waits for what is on its way.
func (l *load) write(ctx context.Context, rate float64, seed uint64) error {
	const step = 10 * time.Millisecond
	r := rand.New(rand.NewPCG(seed, 6))
	t := l.c.Table("grown")
	pairs := make([][]string, len(l.counts))
	tick := time.NewTicker(step)
	defer tick.Stop()
	for ctx.Err() == nil {
		for range int(rate * step.Seconds()) {
			cell := r.IntN(len(l.counts))
			if pairs[cell] == nil {
				pairs[cell] = l.box.Pairs(cell)
			}
			if err := t.Add(context.WithoutCancel(ctx), 1, pairs[cell]...); err != nil {
				return err
			}
			l.counts[cell]++
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	return l.c.Flush(bounded)
}

// read asks for a sum over all shards ten times a second.
func (l *load) read(ctx context.Context) error {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for ctx.Err() == nil {
		began := time.Now()
		err := ask(context.WithoutCancel(ctx), l.c, "SELECT sum(count) FROM grown")
		l.reads++
		l.worst = max(l.worst, time.Since(began))
		switch {
		case err != nil && !isPassing(err):
			return err
		case err != nil:
			l.failed++
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
	return nil
}

// compare holds every cell to the books.
func (l *load) compare(ctx context.Context) (counted int64, wrong int, err error) {
	rows, err := l.c.Query(ctx, "SELECT d0, d1, sum(count) FROM grown GROUP BY d0, d1")
	if err != nil {
		return 0, 0, err
	}
	got := map[string]int64{}
	for rows.Next() {
		v := rows.Values()
		n, _ := v[2].(int64)
		got[fmt.Sprint(v[0], "/", v[1])] = n
	}
	if rows.Err() != nil {
		return 0, 0, rows.Err()
	}
	values := make([]string, 2)
	for cell, n := range l.counts {
		l.box.Values(cell, values)
		key := values[0] + "/" + values[1]
		if got[key] != n {
			wrong++
		}
		counted += n
		delete(got, key)
	}
	return counted, wrong + len(got), nil
}
