package bench

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/quipudb/quipu/client"
)

// Catchup says how much an empty node has to catch up on.
type Catchup struct {
	Cells int // distinct ones [10 M]
}

// Disks are processes of which one can lose what it has.
type Disks interface {
	// Lose ends the process of a node by SIGKILL, deletes its directory, and gives its id. It is not the node that founded the cluster.
	Lose() (id string, err error)
	// Begin starts the node that was lost, with nothing, and returns when it serves.
	Begin() error
}

// CatchupResult says how long the node took from the start of its process.
type CatchupResult struct {
	Cells    int     `json:"cells"`
	Loaded   float64 `json:"loaded_s"`      // how long counting the cells took
	Served   float64 `json:"served_s"`      // until the node took requests
	First    float64 `json:"first_voter_s"` // until a replica of a shard on it was a voter
	CaughtUp float64 `json:"caught_up_s"`   // until all were, and every group had its voters again
}

// Check says what cannot be measured so.
func (o Catchup) Check() error {
	if o.Cells < 0 {
		return fmt.Errorf("%d cells: no fewer than none can be counted", o.Cells)
	}
	return nil
}

// Run loads the cells into a cluster, has a node lose its disk and come back as another one, and waits until it has all replicas of the lost
// one, as voters: a learner becomes one when it has caught up.
func (o Catchup) Run(ctx context.Context, c *client.Client, disks Disks, say func(string)) (r CatchupResult, err error) {
	if err := o.Check(); err != nil {
		return r, err
	}
	if o.Cells == 0 {
		o.Cells = 10_000_000
	}
	r.Cells = o.Cells
	if _, err := c.Exec(ctx, "CREATE TABLE caught (a text, b text)"); err != nil {
		return r, err
	}
	say(fmt.Sprintf("counting %d cells", o.Cells))
	began := time.Now()
	// A tenth of the box is occupied, and so the cells are stored as what is sparse.
	err = fill(ctx, c, "caught", o.Cells, func(i int) ([]string, int64) {
		a := i / 100
		return []string{"a", fmt.Sprint("a", a), "b", fmt.Sprint("b", i%100*10+a*7%10)}, int64(1 + i%9)
	})
	if err != nil {
		return r, err
	}
	r.Loaded = time.Since(began).Seconds()
	want, err := o.sums(ctx, c)
	if err != nil {
		return r, err
	}
	before, err := c.Map(ctx)
	if err != nil {
		return r, err
	}
	lost, err := disks.Lose()
	if err != nil {
		return r, err
	}
	if err := insist(ctx, func() error { return c.SetNode(ctx, lost, "removed") }); err != nil {
		return r, err
	}
	say(fmt.Sprintf("loaded in %.1f s; node %s has lost its disk", r.Loaded, lost))
	began = time.Now()
	if err := disks.Begin(); err != nil {
		return r, err
	}
	r.Served = time.Since(began).Seconds()
	if err := r.watch(ctx, c, before, lost, began, say); err != nil {
		return r, err
	}
	got, err := o.sums(ctx, c)
	if err == nil && got != want {
		err = fmt.Errorf("the table has %v cells and observations, and had %v before", got, want)
	}
	return r, err
}

// watch looks at the cluster until the node that was not there before has its replicas.
func (r *CatchupResult) watch(ctx context.Context, c *client.Client, before client.ClusterMap, lost string, began time.Time, say func(string)) error {
	said := ""
	return look(ctx, c, func(m client.ClusterMap) bool {
		id := ""
		for _, n := range m.Nodes {
			if !slices.ContainsFunc(before.Nodes, func(o client.NodeInfo) bool { return o.ID == n.ID }) {
				id = n.ID
			}
		}
		learner, voter, whole := 0, 0, 0
		for _, g := range m.Groups {
			votes := slices.Contains(g.Voters, id)
			switch {
			case g.Group == "meta":
			case votes:
				voter++
			case slices.Contains(g.Learners, id):
				learner++
			}
			if votes && g.Leader != "" && !slices.Contains(append(g.Voters, g.Learners...), lost) {
				whole++
			}
		}
		now := time.Since(began).Seconds()
		if voter > 0 && r.First == 0 {
			r.First = now
		}
		if line := fmt.Sprintf("%d replicas of shards vote and %d catch up on the new node", voter, learner); line != said {
			say(fmt.Sprintf("%5.1f s  %s", now, line))
			said = line
		}
		r.CaughtUp = now
		return whole == len(m.Groups)
	})
}

// sums counts cells and observations.
func (o Catchup) sums(ctx context.Context, c *client.Client) (out string, err error) {
	rows, err := c.Query(ctx, "SELECT count(*), sum(count) FROM caught")
	if err != nil {
		return "", err
	}
	for rows.Next() {
		out = fmt.Sprint(rows.Values()...)
	}
	return out, rows.Err()
}

// lookEvery is between two looks at a cluster that changes.
const lookEvery = 200 * time.Millisecond

// look reads the map of the cluster until it is as wanted. While it cannot be read it is not.
func look(ctx context.Context, c *client.Client, ok func(client.ClusterMap) bool) error {
	for {
		m, err := c.Map(ctx)
		if err == nil && ok(m) {
			return nil
		}
		if err != nil && !isPassing(err) {
			return err
		}
		if err := pause(ctx, lookEvery); err != nil {
			return err
		}
	}
}

// insist does what is harmless twice until it succeeds.
func insist(ctx context.Context, do func() error) error {
	for {
		err := do()
		if err == nil || !isPassing(err) {
			return err
		}
		if err := pause(ctx, lookEvery); err != nil {
			return err
		}
	}
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
