package client

import (
	"context"
	"fmt"
	"sync"
)

// Table counts observations of one contingency table. Get one from Client.Table; it is safe for concurrent use.
type Table struct {
	name string
	c    *Client

	mu     sync.Mutex // guards the fields below
	cells  *cellTable
	gen    generation
	held   bool // the last seal found the buffer full
	remaps []remap
	rows   map[*Row]struct{} // handles whose id must be renewed when cells starts over
	dims   map[string]bool   // the table's dimensions, nil until the server has been asked
}

func newTable(c *Client, name string) *Table {
	return &Table{name: name, c: c, cells: newCellTable(), rows: map[*Row]struct{}{}, gen: generation{limit: c.opts.batchCells}}
}

// Add counts n observations (n may be negative to correct) of the cell that pairs name: dimension, value, dimension, value …
// A dimension that is not named gets its default. Add stamps the event time, only touches memory, and sums what the program
// counts of one cell between two sends. It returns ErrInvalid, ErrFull, ErrClosed or ctx's error, never one of the network:
// what the server says of it later is reported by Flush, Close and the hooks.
//
// A cell that was counted before costs no allocation.
func (t *Table) Add(ctx context.Context, n int64, pairs ...string) error {
	t.mu.Lock()
	id, _, ok := t.cells.find(pairs)
	if ok && t.gen.event == t.c.second.Load() && n != 0 && t.gen.add(id, n) {
		t.mu.Unlock()
		return nil
	}
	t.mu.Unlock()
	return t.addSlow(ctx, n, pairs)
}

// addSlow is Add for a new cell, a new second, a sum that overflows or a bad observation.
func (t *Table) addSlow(ctx context.Context, n int64, pairs []string) error {
	if err := validatePairs(n, pairs); err != nil {
		return err
	}
	for {
		t.mu.Lock()
		err := t.tryAdd(n, pairs)
		t.mu.Unlock()
		if err != ErrFull || !t.c.opts.block {
			return err
		}
		if err := t.c.out.waitRoom(ctx); err != nil {
			return err
		}
	}
}

// tryAdd runs under mu. It seals the generation where it must, and leaves everything as it was when it returns an error.
func (t *Table) tryAdd(n int64, pairs []string) error {
	if t.c.closed.Load() {
		return ErrClosed
	}
	for i := 0; i < len(pairs); i += 2 {
		if t.dims != nil && !t.dims[pairs[i]] {
			return fmt.Errorf("%w: table %q has no dimension %q", ErrInvalid, t.name, pairs[i])
		}
	}
	if second := t.c.second.Load(); t.gen.event != second {
		if err := t.seal(); err != nil {
			return err
		}
		t.gen.event = second
	}
	if !t.gen.add(t.intern(pairs), n) { // no room for the cell or for its sum: what is there travels first
		if err := t.seal(); err != nil {
			return err
		}
		t.gen.add(t.intern(pairs), n)
	}
	if len(t.gen.touched) >= t.c.opts.batchCells {
		t.c.out.kick()
	}
	return nil
}

// intern is the id of a validated cell, new or known. Under mu.
func (t *Table) intern(pairs []string) uint32 {
	id, hash, ok := t.cells.find(pairs)
	if !ok {
		id = t.cells.insert(pairs, hash)
	}
	return id
}

// seal hands the generation to the sender as one batch. Under mu. ErrFull leaves everything as it was.
func (t *Table) seal() error {
	if t.held = len(t.gen.touched) > 0 && !t.c.out.room(); t.held {
		return ErrFull
	}
	if len(t.gen.touched) == 0 {
		return nil
	}
	if batch := t.cells.drain(&t.gen, &t.remaps); batch != nil {
		t.c.out.enqueue(&request{table: t.name, batch: batch, observations: batch.observations}, false)
	}
	if t.cells.full() {
		t.cells = newCellTable()
		t.remaps = nil
		for r := range t.rows {
			r.bound = false
		}
	}
	return nil
}

// Row is a handle on one cell of a table: the dictionary look-ups of Add done once. Safe for concurrent use.
type Row struct {
	t     *Table
	pairs []string
	id    uint32 // guarded by t.mu, as is bound
	bound bool
}

// Row prepares the cell that pairs name. The error is ErrInvalid.
func (t *Table) Row(pairs ...string) (*Row, error) {
	if err := validatePairs(1, pairs); err != nil {
		return nil, err
	}
	r := &Row{t: t, pairs: append([]string(nil), pairs...)}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.rows[r] = struct{}{}
	return r, nil
}

// Inc is Add(ctx, 1).
func (r *Row) Inc(ctx context.Context) error { return r.Add(ctx, 1) }

// Add counts n observations of the row's cell, as Table.Add does.
func (r *Row) Add(ctx context.Context, n int64) error {
	t := r.t
	t.mu.Lock()
	if r.bound && t.gen.event == t.c.second.Load() && n != 0 && t.gen.add(r.id, n) {
		t.mu.Unlock()
		return nil
	}
	t.mu.Unlock()
	err := t.addSlow(ctx, n, r.pairs)
	t.mu.Lock()
	r.id, _, r.bound = t.cells.find(r.pairs)
	t.mu.Unlock()
	return err
}
