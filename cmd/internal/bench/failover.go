package bench

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/quipudb/quipu/client"
)

// Failover says how often a leader is killed.
type Failover struct {
	Kills int  // [10]
	Reads bool // kill the leader of the meta group, under strict reads of all shards; else that of a shard, under writes to it
}

// Nodes are processes that can be killed.
type Nodes interface {
	// Kill ends the process of a node by SIGKILL and returns when it is gone, with the moment of the signal.
	Kill(id string) (time.Time, error)
	// Restart starts the nodes that were killed again, and waits until they and their replicas are back.
	Restart(ctx context.Context) error
}

// FailoverResult says how long after each kill the first request that was made after it was answered.
type FailoverResult struct {
	What    string    `json:"what"`
	Resumed []float64 `json:"resumed_ms"` // in the order of the kills
	P50ms   float64   `json:"p50_ms"`
	P99ms   float64   `json:"p99_ms"`
	MaxMs   float64   `json:"max_ms"`
	Lost    int64     `json:"lost_or_doubled"` // of what was acknowledged; counted at the end
}

// Check says what cannot be measured so.
func (o Failover) Check() error {
	if o.Kills < 1 {
		return fmt.Errorf("%d kills: at least one is needed", o.Kills)
	}
	return nil
}

// Run kills and measures. The writer has one request in flight at a time, so that the one that the kill interrupts is over before the one
// that is measured begins.
func (o Failover) Run(ctx context.Context, c *client.Client, nodes Nodes) (FailoverResult, error) {
	r := FailoverResult{What: "writes after a kill of their shard's leader"}
	if err := o.Check(); err != nil {
		return r, err
	}
	request := o.write
	if o.Reads {
		r.What, request = "strict reads of all shards after a kill of the meta group's leader", o.read
	}
	for _, sql := range []string{"CREATE TABLE failover_one (k text) WITH (partition_by = '')", "CREATE TABLE failover_all (k text)"} {
		if _, err := c.Exec(ctx, sql); err != nil {
			return r, err
		}
	}
	var counted int64
	for i := range o.Kills {
		took, err := o.once(ctx, c, nodes, request, &counted)
		if err != nil {
			return r, fmt.Errorf("kill %d: %w", i+1, err)
		}
		r.Resumed = append(r.Resumed, milliseconds(took))
	}
	sorted := make([]time.Duration, 0, len(r.Resumed))
	for _, ms := range r.Resumed {
		sorted = append(sorted, time.Duration(ms*float64(time.Millisecond)))
	}
	slices.Sort(sorted)
	r.P50ms, r.P99ms, r.MaxMs = milliseconds(quantile(sorted, 0.5)), milliseconds(quantile(sorted, 0.99)), milliseconds(sorted[len(sorted)-1])
	total, err := sum(ctx, c, "failover_one")
	r.Lost = counted - total
	return r, err
}

// once kills once.
func (o Failover) once(ctx context.Context, c *client.Client, nodes Nodes, request func(context.Context, *client.Client, *int64) (string, error), counted *int64) (time.Duration, error) {
	group, err := request(ctx, c, counted)
	for range 20 { // the connections are as they are at work
		if err == nil {
			group, err = request(ctx, c, counted)
		}
	}
	if err != nil {
		return 0, err
	}
	leader, err := leaderOf(ctx, c, group)
	if err != nil {
		return 0, err
	}
	before := make(chan error, 1)
	stop, stopped := context.WithCancel(ctx)
	go func() { // the request that the kill interrupts
		for stop.Err() == nil {
			if _, err := request(ctx, c, counted); err != nil {
				before <- err
				return
			}
		}
		before <- nil
	}()
	killed, err := nodes.Kill(leader)
	stopped()
	if berr := <-before; err == nil {
		err = berr
	}
	if err != nil {
		return 0, err
	}
	if _, err := request(ctx, c, counted); err != nil {
		return 0, err
	}
	took := time.Since(killed)
	return took, nodes.Restart(ctx)
}

// write counts one observation and gives its shard's group.
func (o Failover) write(ctx context.Context, c *client.Client, counted *int64) (group string, err error) {
	r, err := c.Table("failover_one").AddSync(ctx, client.Batch{Rows: []client.Observation{{Pairs: []string{"k", "a"}}}})
	if err != nil {
		return "", err
	}
	*counted++
	return fmt.Sprintf("shard/%d", r.Shards[0].Shard), nil
}

// read asks until it is answered.
func (o Failover) read(ctx context.Context, c *client.Client, _ *int64) (group string, err error) {
	for {
		err := ask(ctx, c, "SELECT sum(count) FROM failover_all")
		if err == nil || !isPassing(err) {
			return "meta", err
		}
		select {
		case <-time.After(5 * time.Millisecond):
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
}

// isPassing says that a request may succeed a little later.
func isPassing(err error) bool {
	e, ok := errors.AsType[*client.Error](err)
	return ok && e.Retryable
}

func leaderOf(ctx context.Context, c *client.Client, group string) (string, error) {
	m, err := c.Map(ctx)
	if err != nil {
		return "", err
	}
	for _, g := range m.Groups {
		if g.Group == group && g.Leader != "" {
			return g.Leader, nil
		}
	}
	return "", fmt.Errorf("group %s has no leader", group)
}

func sum(ctx context.Context, c *client.Client, table string) (n int64, err error) {
	rows, err := c.Query(ctx, "SELECT coalesce(sum(count), 0) FROM "+table)
	if err != nil {
		return 0, err
	}
	for rows.Next() {
		if _, err := fmt.Sscan(fmt.Sprint(rows.Values()[0]), &n); err != nil {
			return 0, err
		}
	}
	return n, rows.Err()
}
