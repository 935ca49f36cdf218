package demo

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/quipudb/quipu/client"
)

// Traffic counts visits without pause and keeps its own books of them, so that the database can be held to them at any time.
type Traffic struct {
	c      *client.Client
	books  chan map[string]int64 // the ledger by page/outcome, held by whoever adds or compares; room for one
	cancel context.CancelFunc
	ended  chan struct{}
	failed error // of an Add, read after ended
}

var (
	pages    = []string{"home", "search", "item", "basket", "checkout"}
	outcomes = []string{"left", "went on", "bought"}
)

// trafficPause is between two bursts, and burst how many observations are in one: about 5,000 a second.
const (
	trafficPause = 10 * time.Millisecond
	burst        = 50
)

// StartTraffic creates the table visits and begins to count into it.
func StartTraffic(ctx context.Context, c *client.Client) (*Traffic, error) {
	if _, err := c.Exec(ctx, "CREATE TABLE visits (page text, outcome text)"); err != nil {
		return nil, err
	}
	t := &Traffic{c: c, books: make(chan map[string]int64, 1), ended: make(chan struct{})}
	t.books <- map[string]int64{}
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	t.cancel = cancel
	go t.run(running)
	return t, nil
}

func (t *Traffic) run(ctx context.Context) {
	defer close(t.ended)
	tick := time.NewTicker(trafficPause)
	defer tick.Stop()
	table := t.c.Table("visits")
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		var ledger map[string]int64
		select {
		case ledger = <-t.books:
		case <-ctx.Done():
			return
		}
		err := t.add(ctx, table, ledger)
		t.books <- ledger
		if err != nil {
			t.failed = err
			return
		}
	}
}

// add counts a burst. What finds no room, because the cluster takes nothing at present, is not counted and not in the books.
func (t *Traffic) add(ctx context.Context, table *client.Table, ledger map[string]int64) error {
	bounded, cancel := context.WithTimeout(ctx, 20*trafficPause)
	defer cancel()
	for range burst {
		page, outcome := pages[rand.IntN(len(pages))], outcomes[rand.IntN(len(outcomes))]
		switch err := table.Add(bounded, 1, "page", page, "outcome", outcome); {
		case bounded.Err() != nil && err != nil:
			return nil
		case err != nil:
			return err
		}
		ledger[page+"/"+outcome]++
	}
	return nil
}

// Stop ends the counting.
func (t *Traffic) Stop() error {
	t.cancel()
	<-t.ended
	return t.failed
}

// Balance is the books held against the database.
type Balance struct {
	Booked, Counted int64
	Wrong           []string // cells in which they differ
}

// Compare stops the writer for a moment, waits until all it booked is acknowledged, reads the table at one instant and holds every cell to
// the books.
func (t *Traffic) Compare(ctx context.Context) (Balance, error) {
	var b Balance
	var ledger map[string]int64
	select {
	case ledger = <-t.books:
	case <-ctx.Done():
		return b, ctx.Err()
	}
	defer func() { t.books <- ledger }()
	for _, n := range ledger {
		b.Booked += n
	}
	if err := t.c.Flush(ctx); err != nil {
		return b, fmt.Errorf("not all of the writer's %d observations are acknowledged: %w", b.Booked, err)
	}
	counted, err := t.read(ctx)
	if err != nil {
		return b, err
	}
	for _, page := range pages {
		for _, outcome := range outcomes {
			cell := page + "/" + outcome
			b.Counted += counted[cell]
			if counted[cell] != ledger[cell] {
				b.Wrong = append(b.Wrong, fmt.Sprintf("%s is %d, the writer's books say %d", cell, counted[cell], ledger[cell]))
			}
		}
	}
	return b, nil
}

func (t *Traffic) read(ctx context.Context) (map[string]int64, error) {
	rows, err := t.c.Query(ctx, "SELECT page, outcome, sum(count) FROM visits GROUP BY page, outcome")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	out := map[string]int64{}
	for rows.Next() {
		v := rows.Values()
		n, ok := v[2].(int64)
		if !ok {
			return nil, errors.New("demo: the sum of a cell is not an integer")
		}
		out[fmt.Sprint(v[0], "/", v[1])] = n
	}
	return out, rows.Err()
}
