package pgwire

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/quipudb/quipu/query"
	"github.com/quipudb/quipu/server/errcode"
	"github.com/quipudb/quipu/storage/schema"
)

// gather holds rows of INSERTs until they are sent: at COMMIT, or at the end of a text or of a pipeline. It is bounded by blockBytesMax.
type gather struct {
	batches []*query.Batch
	rows    int64
	bytes   int
}

func (g *gather) empty() bool { return len(g.batches) == 0 }
func (g *gather) drop()       { *g = gather{} }

// add keeps a batch.
func (g *gather) add(b *query.Batch) error {
	n := batchBytes(b)
	if g.bytes+n > blockBytesMax {
		return errcode.New(errcode.TooLarge, "the INSERTs that wait to be sent take more than %d MiB", blockBytesMax>>20).
			WithHint("COMMIT more often, or use COPY, which sends rows as they come")
	}
	g.batches = append(g.batches, b)
	g.rows += int64(len(b.Counts))
	g.bytes += n
	return nil
}

// batchBytes is about what b takes.
func batchBytes(b *query.Batch) int {
	n := 256 + 8*len(b.Counts) + 8*len(b.Events) + 4*len(b.Times)
	for i := range b.Cols {
		n += 64 + 4*len(b.Cols[i].Codes)
		for _, v := range b.Cols[i].Values {
			n += 24 + len(v.Text)
		}
	}
	return n
}

// cut drops what was added after the first n batches.
func (g *gather) cut(n int) {
	var kept gather
	for _, b := range g.batches[:n] {
		kept.batches = append(kept.batches, b)
		kept.rows += int64(len(b.Counts))
		kept.bytes += batchBytes(b)
	}
	*g = kept
}

// Bounds of one request to the shards: as many rows as the engine sends at once, and values that leave room in a log entry.
const (
	sendRowsMax  = 8192
	sendBytesMax = 256 << 10
)

// merged joins the batches of the same columns of a table to few requests, in the order of their first rows.
func (g *gather) merged() []*query.Batch {
	if len(g.batches) == 1 {
		return g.batches
	}
	var out []*query.Batch
	open := map[string]*merge{}
	for _, b := range g.batches {
		key := columnsKey(b)
		m := open[key]
		if m == nil || len(m.to.Counts)+len(b.Counts) > sendRowsMax || m.bytes+batchBytes(b) > sendBytesMax {
			m = newMerge(b)
			open[key] = m
			out = append(out, m.to)
		}
		m.add(b)
	}
	return out
}

// columnsKey is equal for batches that have the same columns of the same definition of a table.
func columnsKey(b *query.Batch) string {
	var k strings.Builder
	fmt.Fprintf(&k, "%d/%d", b.Table.ID, b.Table.Version)
	for _, c := range b.Cols {
		k.WriteByte('/')
		k.WriteString(strconv.Itoa(c.Dim))
	}
	return k.String()
}

// merge is a batch that others are added to.
type merge struct {
	to    *query.Batch
	codes []map[schema.Value]uint32
	bytes int
}

func newMerge(b *query.Batch) *merge {
	m := &merge{to: &query.Batch{Table: b.Table}}
	for _, c := range b.Cols {
		m.to.Cols = append(m.to.Cols, query.BatchColumn{Dim: c.Dim, Values: []schema.Value{schema.Null}})
		m.codes = append(m.codes, map[schema.Value]uint32{schema.Null: 0})
	}
	return m
}

func (m *merge) add(b *query.Batch) {
	m.bytes += batchBytes(b)
	m.to.Counts = append(m.to.Counts, b.Counts...)
	m.to.Events = append(m.to.Events, b.Events...)
	for i := range b.Cols {
		from, to := &b.Cols[i], &m.to.Cols[i]
		code := make([]uint32, len(from.Values))
		for k, v := range from.Values {
			c, ok := m.codes[i][v]
			if !ok {
				c = uint32(len(to.Values))
				m.codes[i][v] = c
				to.Values = append(to.Values, v)
			}
			code[k] = c
		}
		for _, k := range from.Codes {
			to.Codes = append(to.Codes, code[k])
		}
	}
}

// Insert takes the rows of an INSERT that the engine runs. They wait for COMMIT, or for what follows outside of a block.
func (c *conn) Insert(_ context.Context, _ string, b *query.Batch) (string, error) {
	if c.block != nil {
		return "", c.block.rows.add(b)
	}
	return "", c.loose.add(b)
}

// settle sends the rows that INSERTs outside of a block left. If they are refused, the answers to these INSERTs are taken back.
func (c *conn) settle() error {
	if c.loose.empty() {
		return nil
	}
	err := c.sendRows(&c.loose)
	c.loose.drop()
	if err != nil {
		c.out.takeBack(c.looseMark)
	}
	return err
}

// sendRows counts what g holds. A cancel request comes too late for it: from here on only the shards know what was counted.
func (c *conn) sendRows(g *gather) error {
	ctx, cancel := context.WithTimeout(c.s.base, c.s.o.CommitTimeout)
	defer cancel()
	sent := 0
	for _, b := range g.merged() {
		if err := c.count(ctx, b); err != nil {
			return alreadyCounted(err, sent)
		}
		sent += len(b.Counts)
	}
	c.report("quipu.receipt", c.receipts.String())
	return nil
}

// count sends one request to the shards and notes what it reached.
func (c *conn) count(ctx context.Context, b *query.Batch) error {
	receipt, err := c.insert(ctx, b)
	if err == nil {
		c.receipts.add(receipt)
	}
	return err
}

// insert sends one request to the shards.
func (c *conn) insert(ctx context.Context, b *query.Batch) (receipt string, err error) {
	receipt, err = c.s.o.Writer.Insert(ctx, c.user, b)
	if err != nil && (ctx.Err() != nil || inDoubt(err)) {
		err = unknownOutcome(err)
	}
	return receipt, err
}

// inDoubt says that err may hide rows that were counted.
func inDoubt(err error) bool {
	switch errcode.From(err).Code {
	case errcode.Timeout, errcode.Canceled, errcode.Unavailable, errcode.NotLeader, errcode.Closing, errcode.Internal:
		return true
	}
	return false
}

func unknownOutcome(err error) error {
	e := *errcode.From(err)
	e.Message = "it is not known whether the rows were counted: " + e.Message
	e.Hint = "look at the counts before you send the rows again; the SDK and idempotency keys of HTTP make a retry count once"
	return &wireError{stateUnknownOutcome, &e}
}

// alreadyCounted says how many rows stay counted in spite of err.
func alreadyCounted(err error, rows int) error {
	if rows == 0 {
		return err
	}
	state, e := sqlState(err)
	more := *e
	more.Detail = strings.TrimSpace(fmt.Sprintf("%d rows before that were counted and stay counted. %s", rows, e.Detail))
	return &wireError{state, &more}
}

// receipts are the newest index that writes of this connection reached, by shard.
type receipts struct {
	at    map[string]uint64
	order []string
}

func (r *receipts) add(receipt string) {
	for part := range strings.SplitSeq(receipt, ",") {
		shard, text, ok := strings.Cut(part, ":")
		index, err := strconv.ParseUint(text, 10, 64)
		if !ok || err != nil {
			continue
		}
		if r.at == nil {
			r.at = map[string]uint64{}
		}
		if _, known := r.at[shard]; !known {
			r.order = append(r.order, shard)
		}
		r.at[shard] = max(r.at[shard], index)
	}
}

// String has the form of quipu.min_index.
func (r *receipts) String() string {
	var b strings.Builder
	for i, shard := range r.order {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, "%s:%d", shard, r.at[shard])
	}
	return b.String()
}
