package bench

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quipudb/quipu/client"
)

// Outage says how to measure what the loss of a shard does to those who do not need it.
type Outage struct {
	Pairs   int           // of slices, one with all shards and one without [5]
	Slice   time.Duration // that is measured, for reads of one shard and for reads of two [2 s]
	Readers int           // that ask one after the other [8]
	Needing float64       // strict reads a second of all shards, which fail while one is lost [10]
}

// Slice is what the readers reached in one slice.
type Slice struct {
	One      float64 `json:"reads_of_one_shard_per_second"`
	Two      float64 `json:"reads_of_two_shards_per_second"`
	Answered int64   `json:"reads_of_all_shards_answered"`
	Refused  int64   `json:"reads_of_all_shards_refused"`
}

// OutageResult has the pairs of slices, and the medians of their ratios.
type OutageResult struct {
	Whole   []Slice  `json:"with_all_shards"`
	Without []Slice  `json:"without_one_shard"`
	Lost    []string `json:"lost"` // shard of each pair
	One     float64  `json:"one_shard_ratio"`
	Two     float64  `json:"two_shards_ratio"`
}

// Check says what cannot be measured so.
func (o Outage) Check() error {
	if o.Pairs < 0 || o.Slice < 0 || o.Readers < 0 || o.Needing < 0 {
		return fmt.Errorf("%d pairs of slices of %v, %d readers, %g reads a second of all shards: none may be negative", o.Pairs, o.Slice, o.Readers, o.Needing)
	}
	return nil
}

// Run measures strict reads of some shards, has another shard lose its quorum by the death of two nodes, measures again, and brings the nodes
// back. The cluster must have so many nodes that the other groups keep theirs: five for four shards. Readers ask for what lies on one
// shard and for what lies on two, of those that are not to be lost; somebody goes on to ask for all.
func (o Outage) Run(ctx context.Context, c *client.Client, nodes Nodes, say func(string)) (r OutageResult, err error) {
	if err := o.Check(); err != nil {
		return r, err
	}
	o.complete()
	places, err := o.places(ctx, c)
	if err != nil {
		return r, err
	}
	var one, two []float64
	for range o.Pairs {
		if err := o.rest(ctx, c); err != nil {
			return r, err
		}
		lost, dead, err := o.victim(ctx, c, len(places))
		if err != nil {
			return r, err
		}
		left := slices.Delete(slices.Clone(places), lost, lost+1)
		whole, err := o.slice(ctx, c, left)
		if err != nil {
			return r, fmt.Errorf("with all shards: %w", err)
		}
		for _, id := range dead {
			if _, err := nodes.Kill(id); err != nil {
				return r, err
			}
		}
		if err := o.calm(ctx, c, left); err != nil {
			return r, err
		}
		without, err := o.slice(ctx, c, left)
		if err != nil {
			return r, fmt.Errorf("without shard %d: %w", lost, err)
		}
		if without.Refused == 0 || without.Answered > 0 {
			return r, fmt.Errorf("shard %d did not lose its quorum: %d reads that need it were answered and %d refused", lost, without.Answered, without.Refused)
		}
		r.Whole, r.Without, r.Lost = append(r.Whole, whole), append(r.Without, without), append(r.Lost, fmt.Sprint("shard/", lost))
		one, two = append(one, without.One/whole.One), append(two, without.Two/whole.Two)
		say(fmt.Sprintf("without shard/%d: reads of one shard %.0f/s of %.0f/s, of two %.0f/s of %.0f/s", lost, without.One, whole.One, without.Two, whole.Two))
		if err := nodes.Restart(ctx); err != nil {
			return r, err
		}
	}
	slices.Sort(one)
	slices.Sort(two)
	r.One, r.Two = one[len(one)/2], two[len(two)/2]
	return r, nil
}

// rest waits until the cluster has been as it is to be for as long as it takes that nodes hear of each other: while replicas move other shards
// may lose their quorum, too, and what is measured with all shards must not be a cluster that still recovers.
func (o Outage) rest(ctx context.Context, c *client.Client) error {
	var since time.Time
	return look(ctx, c, func(m client.ClusterMap) bool {
		if s := spreadOf(m, len(m.Nodes)); !s.replicas || !s.leaders {
			since = time.Time{}
		} else if since.IsZero() {
			since = time.Now()
		}
		return !since.IsZero() && time.Since(since) > restFor
	})
}

const restFor = 15 * time.Second

func (o *Outage) complete() {
	if o.Pairs == 0 {
		o.Pairs = 5
	}
	if o.Slice == 0 {
		o.Slice = 2 * time.Second
	}
	if o.Readers == 0 {
		o.Readers = 8
	}
	if o.Needing == 0 {
		o.Needing = 10
	}
}

// places makes a table and finds a value that lies on each shard.
func (o Outage) places(ctx context.Context, c *client.Client) ([]string, error) {
	if _, err := c.Exec(ctx, "CREATE TABLE outage (place text, cell text) WITH (partition_by = 'place')"); err != nil {
		return nil, err
	}
	m, err := c.Map(ctx)
	if err != nil {
		return nil, err
	}
	places := make([]string, len(m.Groups)-1)
	for i, found := 0, 0; found < len(places); i++ {
		place := fmt.Sprint("place ", i)
		rows := make([]client.Observation, 50)
		for k := range rows {
			rows[k].Pairs = []string{"place", place, "cell", fmt.Sprint("c", k)}
		}
		r, err := c.Table("outage").AddSync(ctx, client.Batch{Rows: rows})
		if err != nil {
			return nil, err
		}
		if at := int(r.Shards[0].Shard); places[at] == "" {
			places[at] = place
			found++
		}
	}
	return places, nil
}

// victim chooses a shard, and two nodes without which it has no quorum and every other group has one.
func (o Outage) victim(ctx context.Context, c *client.Client, shards int) (lost int, dead []string, err error) {
	m, err := c.Map(ctx)
	if err != nil {
		return 0, nil, err
	}
	for i, a := range m.Nodes {
		for _, b := range m.Nodes[:i] {
			var without []int
			for _, g := range m.Groups {
				n := len(g.Voters)
				for _, id := range []string{a.ID, b.ID} {
					if slices.Contains(g.Voters, id) {
						n--
					}
				}
				if n > len(g.Voters)/2 {
					continue
				}
				shard := -1
				if _, err := fmt.Sscanf(g.Group, "shard/%d", &shard); err != nil {
					shard = -1 // the meta group: not this pair
				}
				without = append(without, shard)
			}
			if len(without) == 1 && without[0] >= 0 && without[0] < shards {
				return without[0], []string{a.ID, b.ID}, nil
			}
		}
	}
	return 0, nil, errors.New("there are no two nodes that one shard alone needs: more nodes are wanted")
}

// calm waits until every one of the places has been read again, alone and together, and a read of all shards has been refused.
func (o Outage) calm(ctx context.Context, c *client.Client, places []string) error {
	if err := ask(ctx, c, "SELECT sum(count) FROM outage"); err == nil || !isPassing(err) {
		return fmt.Errorf("a read of all shards, of which one has lost its quorum: %v", err)
	}
	for _, sql := range append(ofOne(places), ofTwo(places)...) {
		if err := insist(ctx, func() error { return ask(ctx, c, sql) }); err != nil {
			return err
		}
	}
	return nil
}

func ofOne(places []string) (out []string) {
	for _, p := range places {
		out = append(out, fmt.Sprintf("SELECT sum(count) FROM outage WHERE place = '%s'", p))
	}
	return out
}

func ofTwo(places []string) (out []string) {
	for i, p := range places {
		out = append(out, fmt.Sprintf("SELECT sum(count) FROM outage WHERE place IN ('%s', '%s')", p, places[(i+1)%len(places)]))
	}
	return out
}

// slice measures once.
func (o Outage) slice(ctx context.Context, c *client.Client, places []string) (out Slice, err error) {
	needing, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	tick := time.NewTicker(time.Duration(float64(time.Second) / o.Needing))
	wg.Go(func() {
		defer tick.Stop()
		for needing.Err() == nil {
			wg.Go(func() {
				if ask(context.WithoutCancel(ctx), c, "SELECT sum(count) FROM outage") == nil {
					atomic.AddInt64(&out.Answered, 1)
				} else {
					atomic.AddInt64(&out.Refused, 1)
				}
			})
			select {
			case <-tick.C:
			case <-needing.Done():
			}
		}
	})
	out.One, err = o.rate(ctx, c, ofOne(places))
	if err == nil {
		out.Two, err = o.rate(ctx, c, ofTwo(places))
	}
	stop()
	wg.Wait()
	return out, err
}

// rate has the readers ask, each the next statement when it has the answer of the last. None may fail.
func (o Outage) rate(ctx context.Context, c *client.Client, statements []string) (float64, error) {
	var asked atomic.Int64
	errs := make([]error, o.Readers)
	began := time.Now()
	var wg sync.WaitGroup
	for i := range o.Readers {
		wg.Go(func() {
			for at := i; errs[i] == nil && time.Since(began) < o.Slice; at++ {
				errs[i] = ask(ctx, c, statements[at%len(statements)])
				asked.Add(1)
			}
		})
	}
	wg.Wait()
	return float64(asked.Load()) / time.Since(began).Seconds(), errors.Join(errs...)
}
