package client

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	apiv1 "github.com/quipudb/quipu/proto/api/v1"
)

// Batch is some observations that are added together and answered with a receipt.
type Batch struct {
	// Key makes the batch countable once over the life of the key on the server (an hour or more), also when another process sends
	// it again: an order number, a message id. Up to 255 bytes. Empty: the client's session makes retries safe, as for Add.
	Key  string
	Rows []Observation
}

// Observation is Count observations (0 means 1) of the cell that Pairs names: dimension, value, dimension, value …
type Observation struct {
	Count int64
	Pairs []string
	Time  time.Time // of the event; zero means now
}

// AddSync adds b and returns when it is durable. The error is *Error if the server refused it or a part of it (then the receipt says
// what was counted), ErrInvalid if nothing was sent, or ctx's error, in which case the outcome is not known yet: the client goes on
// trying, exactly once.
func (t *Table) AddSync(ctx context.Context, b Batch) (Receipt, error) {
	batch, err := t.columns(b.Rows)
	if err != nil {
		return Receipt{}, err
	}
	if t.c.closed.Load() {
		return Receipt{}, ErrClosed
	}
	if b.Key != "" {
		return t.c.addKeyed(ctx, b.Key, batch, t.name)
	}
	if err := t.c.out.waitRoom(ctx); err != nil {
		return Receipt{}, err
	}
	r := &request{table: t.name, batch: batch, observations: batch.observations}
	return t.c.out.enqueue(r, true).Wait(ctx)
}

// columns validates rows and turns them into a batch.
func (t *Table) columns(rows []Observation) (*columns, error) {
	if len(rows) == 0 || len(rows) > rowsMax {
		return nil, fmt.Errorf("%w: a batch has 1 to %d rows, not %d", ErrInvalid, rowsMax, len(rows))
	}
	out := &columns{}
	dims := map[string]int{}
	codes := []map[string]uint32{}
	now := t.c.opts.now().UnixMilli()
	for i, row := range rows {
		n := row.Count
		if n == 0 {
			n = 1
		}
		if err := validatePairs(n, row.Pairs); err != nil {
			return nil, fmt.Errorf("row %d: %w", i, err)
		}
		for p := 0; p < len(row.Pairs); p += 2 {
			d, ok := dims[row.Pairs[p]]
			if !ok {
				d = len(dims)
				dims[row.Pairs[p]] = d
				codes = append(codes, map[string]uint32{})
				out.dims = append(out.dims, column{name: row.Pairs[p], codes: make([]uint32, len(rows))})
			}
			col := &out.dims[d]
			code, ok := codes[d][row.Pairs[p+1]]
			if !ok {
				col.values = append(col.values, row.Pairs[p+1])
				code = uint32(len(col.values))
				codes[d][row.Pairs[p+1]] = code
			}
			col.codes[i] = code
		}
		event := now
		if !row.Time.IsZero() {
			event = row.Time.UnixMilli()
		}
		out.events = append(out.events, event)
		out.counts = append(out.counts, n)
		out.observations += max(n, -n)
	}
	for i, row := range rows {
		if len(row.Pairs)/2 != len(out.dims) {
			return nil, fmt.Errorf("row %d: %w: all rows of a batch name the same dimensions", i, ErrInvalid)
		}
	}
	return out, nil
}

const rowsMax = 1 << 16

// addKeyed sends a batch under an idempotency key until it has an answer that will not change.
func (c *Client) addKeyed(ctx context.Context, key string, batch *columns, table string) (Receipt, error) {
	req := &apiv1.WriteRequest{IdempotencyKey: key, Batch: batch.wire(table)}
	for backoff := backoffMin; ; backoff = min(2*backoff, backoffMax) {
		resp, err := c.writes.Write(c.authorize(ctx), req)
		e, _ := fromStatus(err).(*Error)
		switch {
		case err == nil && len(resp.Refused) == 0:
			return c.out.receipt(resp.Receipt, c.opts.now()), nil
		case err == nil:
			e = fromWire(resp.Refused[0].GetError())
			if !e.Retryable {
				return c.out.receipt(resp.Receipt, c.opts.now()), e
			}
		case e == nil:
			return Receipt{}, err
		case !e.Retryable:
			return Receipt{}, e
		}
		sleep(ctx, backoff)
		if ctx.Err() != nil {
			return Receipt{}, fmt.Errorf("quipu: outcome not known yet, the key makes a retry safe: %w", ctx.Err())
		}
	}
}

// Pending is a batch on its way.
type Pending struct {
	r     *request
	parts []*request // nil: r is the whole
}

// Wait waits for the answer. Its errors are those of AddSync.
func (p *Pending) Wait(ctx context.Context) (Receipt, error) {
	if p.parts == nil {
		if err := p.r.wait(ctx); err != nil {
			return Receipt{}, err
		}
		return p.r.receipt, p.r.refusal()
	}
	var out Receipt
	var refused error
	for _, r := range p.parts {
		if err := r.wait(ctx); err != nil {
			return Receipt{}, err
		}
		out.add(r.receipt)
		if err := r.refusal(); refused == nil {
			refused = err
		}
	}
	slices.SortFunc(out.Shards, func(a, b ShardIndex) int { return cmp.Compare(a.Shard, b.Shard) })
	return out, refused
}

// refusal is the error of a request that is finished, the first of several.
func (r *request) refusal() error {
	if r.err == nil && len(r.refused) > 0 {
		return r.refused[0]
	}
	return r.err
}

// Builder collects one batch after the other from prepared rows, for programs that want many batches in flight and an answer to
// each. It is not safe for concurrent use; a table may have several.
type Builder struct {
	t      *Table
	cells  *cellTable
	gen    generation
	remaps []remap
}

// Builder starts an empty batch.
func (t *Table) Builder() *Builder {
	return &Builder{t: t, cells: newCellTable(), gen: generation{limit: rowsMax}}
}

// Prepare interns the cell that pairs names and returns its number for Count. The error is ErrInvalid.
func (b *Builder) Prepare(pairs ...string) (uint32, error) {
	if err := validatePairs(1, pairs); err != nil {
		return 0, err
	}
	id, hash, ok := b.cells.find(pairs)
	if !ok {
		id = b.cells.insert(pairs, hash)
	}
	return id, nil
}

// Count adds n observations of a prepared cell to the batch. False means that the batch must be sent first.
func (b *Builder) Count(cell uint32, n int64) bool {
	return b.gen.add(cell, n)
}

// Send hands the batch over and starts an empty one. It waits for room in the buffer. An empty batch gives nil.
func (b *Builder) Send(ctx context.Context) (*Pending, error) {
	if b.t.c.closed.Load() {
		return nil, ErrClosed
	}
	if err := b.t.c.out.waitRoom(ctx); err != nil {
		return nil, err
	}
	b.gen.event = b.t.c.second.Load()
	batch := b.cells.drain(&b.gen, &b.remaps)
	if batch == nil {
		return nil, nil
	}
	return b.t.c.out.enqueue(&request{table: b.t.name, batch: batch, observations: batch.observations}, true), nil
}
