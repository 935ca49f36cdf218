package client

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"

	apiv1 "github.com/quipudb/quipu/proto/api/v1"
)

// ImportSpec names a file that is loaded into a table, and how. The cluster remembers it: the same file in the same table counts once,
// however often its import is started, killed or resumed.
type ImportSpec struct {
	Table    string
	FileHash string // SHA-256 of the file, hexadecimal
	Mapping  string // how its columns become dimensions
	Chunking string // how it is cut into chunks
	Again    bool   // count the file once more, as if it were another one
}

// Import is one file on its way into a table. Chunks are numbered from 1; the number is the sequence under which the chunk counts
// once. Chunks may be sent in any order, at most 1,000 beyond the progress that was saved.
type Import struct {
	c      *Client
	rec    *apiv1.Import
	out    *sender
	cancel context.CancelFunc
	closed atomic.Bool
}

// Import begins an import or takes up one that was interrupted. It refuses, with code CONFLICT, a known file with another mapping or
// chunking.
func (c *Client) Import(ctx context.Context, spec ImportSpec) (*Import, error) {
	t, err := c.catalog.GetTable(c.authorize(ctx), &apiv1.GetTableRequest{Table: spec.Table})
	if err != nil {
		return nil, fromStatus(err)
	}
	rec, err := c.importRecord(ctx, spec, t.GetId())
	if err != nil {
		return nil, err
	}
	i := &Import{c: c, rec: rec}
	s := session{id: rec.Session, ttl: durableTTL}
	i.out = newSender(c, s, false)
	i.out.fixed, i.out.acked, i.out.nextSeq = true, rec.ChunksDone, rec.ChunksDone+1
	ctx, i.cancel = context.WithCancel(context.Background())
	go i.out.run(ctx)
	return i, nil
}

// importRecord finds the record of spec or makes it.
func (c *Client) importRecord(ctx context.Context, spec ImportSpec, table uint64) (*apiv1.Import, error) {
	for n := 1; n <= importsOfOneFileMax; n++ {
		id := strconv.FormatUint(table, 10) + "-" + spec.FileHash
		if n > 1 {
			id += "-" + strconv.Itoa(n)
		}
		rec, err := c.imports.GetImport(c.authorize(ctx), &apiv1.GetImportRequest{Id: id})
		err = fromStatus(err)
		switch {
		case errors.Is(err, &Error{Code: "NOT_FOUND"}):
			return c.newImport(ctx, spec, table, id)
		case err != nil:
			return nil, err
		case spec.Again && rec.Complete:
			continue
		case rec.Mapping != spec.Mapping || rec.Chunking != spec.Chunking:
			return nil, &Error{Code: "CONFLICT",
				Message: fmt.Sprintf("this file was imported into %q as %s, %s; now it is %s, %s", spec.Table, rec.Mapping, rec.Chunking, spec.Mapping, spec.Chunking),
				Hint:    "import it the same way, or count it once more with --again"}
		}
		return rec, nil
	}
	return nil, &Error{Code: "QUOTA", Message: fmt.Sprintf("this file was imported %d times already", importsOfOneFileMax)}
}

const importsOfOneFileMax = 100

func (c *Client) newImport(ctx context.Context, spec ImportSpec, table uint64, id string) (*apiv1.Import, error) {
	s, err := c.openSession(ctx, true)
	if err != nil {
		return nil, err
	}
	rec, err := c.imports.PutImport(c.authorize(ctx), &apiv1.PutImportRequest{Import: &apiv1.Import{
		Id: id, Table: spec.Table, TableId: table, FileHash: spec.FileHash, Mapping: spec.Mapping, Chunking: spec.Chunking, Session: s.id,
	}})
	return rec, fromStatus(err)
}

// Done is how many chunks, from the first, are known to be counted, with their rows; complete says that they are all.
func (i *Import) Done() (chunks uint64, counted, rejected int64, complete bool) {
	return i.rec.ChunksDone, i.rec.RowsCounted, i.rec.RowsRejected, i.rec.Complete
}

// Chunk sends chunk n (above Done). It waits for room. Row numbers of refusals are those of rows.
func (i *Import) Chunk(ctx context.Context, n uint64, rows *Columns) (*Pending, error) {
	if i.closed.Load() {
		return nil, ErrClosed
	}
	if err := i.out.waitRoom(ctx); err != nil {
		return nil, err
	}
	r := &request{table: i.rec.Table, batch: rows.batch(), seq: n}
	r.observations = r.batch.observations
	return i.out.enqueue(r, true), nil
}

// Progress saves that chunks up to done are counted. After it they are not sent again.
func (i *Import) Progress(ctx context.Context, done uint64, counted, rejected int64, complete bool) error {
	next := &apiv1.Import{Id: i.rec.Id, Table: i.rec.Table, TableId: i.rec.TableId, FileHash: i.rec.FileHash, Mapping: i.rec.Mapping,
		Chunking: i.rec.Chunking, Session: i.rec.Session, ChunksDone: done, RowsCounted: counted, RowsRejected: rejected, Complete: complete}
	rec, err := i.c.imports.PutImport(i.c.authorize(ctx), &apiv1.PutImportRequest{Import: next, IfVersion: i.rec.Version})
	if err != nil {
		return fromStatus(err)
	}
	i.rec = rec
	i.out.mu.Lock()
	i.out.acked = done
	i.out.mu.Unlock()
	i.out.kick()
	return nil
}

// Close stops sending. Chunks without an answer are sent again when the import is taken up.
func (i *Import) Close() {
	if i.closed.Swap(true) {
		return
	}
	i.cancel()
	<-i.out.stopped
}

// RefusedRows are the rows of a chunk that the server refused, with the reason of each part; nil if it counted all.
func (p *Pending) RefusedRows() map[uint32]*Error {
	out := map[uint32]*Error{}
	for _, e := range p.r.refused {
		rows := e.rows
		if len(rows) == 0 {
			for i := range p.r.batch.counts {
				rows = append(rows, uint32(i))
			}
		}
		for _, i := range rows {
			out[i] = e
		}
	}
	return out
}

// Columns collects rows column by column: the fastest way into a batch for data that is not counted yet.
type Columns struct {
	dims   []column
	codes  []map[string]uint32
	counts []int64
	events []int64
	sum    int64
}

// NewColumns starts a batch over the dimensions named.
func NewColumns(dims ...string) *Columns {
	c := &Columns{dims: make([]column, len(dims)), codes: make([]map[string]uint32, len(dims))}
	for d, name := range dims {
		c.dims[d].name, c.codes[d] = name, map[string]uint32{}
	}
	return c
}

// Append adds a row: a value a dimension (nil is NULL), the count, and the event time in Unix milliseconds (0: none).
func (c *Columns) Append(values [][]byte, count, event int64) {
	for d, v := range values {
		code := uint32(0)
		if v != nil {
			var ok bool
			if code, ok = c.codes[d][string(v)]; !ok {
				text := string(v)
				c.dims[d].values = append(c.dims[d].values, text)
				code = uint32(len(c.dims[d].values))
				c.codes[d][text] = code
			}
		}
		c.dims[d].codes = append(c.dims[d].codes, code)
	}
	c.counts = append(c.counts, count)
	if event != 0 {
		c.events = append(c.events, event)
	}
	c.sum += max(count, -count)
}

// Len is the number of rows.
func (c *Columns) Len() int { return len(c.counts) }

func (c *Columns) batch() *columns {
	return &columns{dims: c.dims, counts: c.counts, events: c.events, observations: c.sum}
}
