package pgwire

import (
	"context"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/quipudb/quipu/query"
	"github.com/quipudb/quipu/query/plan"
	"github.com/quipudb/quipu/server/errcode"
)

// recordBytesMax bounds one row of COPY data.
const recordBytesMax = 1 << 20

// copyReader takes rows out of a stream of bytes.
type copyReader interface {
	// read takes the complete rows of data, stops when the batch is full, and gives how many bytes it took. last says that nothing follows.
	read(data []byte, last bool, b *rowBatch) (taken int, err error)
}

// copyIn takes the data of a COPY FROM and counts its rows as they come. It gives the rows that were counted, also with an error.
func (c *conn) copyIn(ctx context.Context, in *plan.Insert, f copyFormat) (int64, error) {
	c.askForData(len(in.Targets), f)
	if err := c.out.flush(); err != nil {
		return 0, &fatal{errEnded}
	}
	s := &copySender{c: c}
	b := newRowBatch(in)
	err := c.copyStream(ctx, f.reader(b), b, s)
	if err == nil {
		err = s.send(b)
	}
	if waited := s.wait(); err == nil {
		err = waited
	}
	if s.rows > 0 {
		c.report("quipu.receipt", c.receipts.String())
	}
	return s.rows, err
}

func (c *conn) askForData(columns int, f copyFormat) {
	r := &pgproto3.CopyInResponse{ColumnFormatCodes: make([]uint16, columns)}
	if f.kind == copyBinary {
		r.OverallFormat = 1
		for i := range r.ColumnFormatCodes {
			r.ColumnFormatCodes[i] = 1
		}
	}
	c.out.send(r)
}

func (f copyFormat) reader(b *rowBatch) copyReader {
	switch f.kind {
	case copyBinary:
		return &binaryReader{}
	case copyCSV:
		return newCSVReader(f, b.in)
	}
	return &textReader{f: f}
}

// copyStream feeds the reader with the data of the client until it says that this was all. A row may begin in one message and end in another.
func (c *conn) copyStream(ctx context.Context, r copyReader, b *rowBatch, s *copySender) error {
	var tail []byte
	for {
		data, last, err := c.copyMessage(ctx)
		if err != nil {
			return err
		}
		if len(tail) > 0 {
			tail = append(tail, data...)
			data = tail
		}
		for {
			n, err := r.read(data, last, b)
			if err != nil {
				return err
			}
			data = data[n:]
			if !b.full() {
				break
			}
			if err := s.send(b); err != nil {
				return err
			}
		}
		if last {
			return nil
		}
		if len(data) > recordBytesMax {
			return b.fail("a row is longer than %d bytes", recordBytesMax)
		}
		tail = append(tail[:0], data...)
	}
}

// copyMessage waits for data; last says that the client has sent everything.
func (c *conn) copyMessage(ctx context.Context) (data []byte, last bool, err error) {
	for {
		m, err := c.receive()
		if ctx.Err() != nil {
			return nil, false, context.Cause(ctx)
		}
		if err != nil {
			return nil, false, &fatal{err}
		}
		switch m := m.(type) {
		case *pgproto3.CopyData:
			return m.Data, false, nil
		case *pgproto3.CopyDone:
			return nil, true, nil
		case *pgproto3.CopyFail:
			return nil, false, errcode.New(errcode.Canceled, "COPY from stdin failed: %s", m.Message)
		case *pgproto3.Flush, *pgproto3.Sync: // clients that pipeline send these ahead
		case *pgproto3.Terminate:
			return nil, false, &fatal{errEnded}
		default:
			return nil, false, &fatal{errProtocol("a message that is not expected during COPY FROM STDIN: %T", m)}
		}
	}
}

// copySender counts one batch while the next is read.
type copySender struct {
	c       *conn
	rows    int64 // counted
	flying  int64
	pending chan error // nil: nothing is under way
}

// send waits for the batch before, hands over the rows of b and leaves b empty.
func (s *copySender) send(b *rowBatch) error {
	if err := s.wait(); err != nil || b.rows() == 0 {
		return err
	}
	batch := b.take()
	s.flying = int64(len(batch.Counts))
	s.pending = make(chan error, 1)
	go func(done chan<- error) { done <- s.count(batch) }(s.pending)
	return nil
}

// count ignores the end of the statement: what is under way gets its answer, so that the client hears what was counted.
func (s *copySender) count(b *query.Batch) error {
	ctx, cancel := context.WithTimeout(s.c.s.base, s.c.s.o.CommitTimeout)
	defer cancel()
	return s.c.count(ctx, b)
}

// wait gives what became of the batch under way.
func (s *copySender) wait() error {
	if s.pending == nil {
		return nil
	}
	err := <-s.pending
	s.pending = nil
	if err == nil {
		s.rows += s.flying
	}
	return err
}
