package pgwire

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/quipudb/quipu/query"
	"github.com/quipudb/quipu/query/plan"
	"github.com/quipudb/quipu/server/errcode"
)

// recordBytesMax bounds one row of COPY data.
const recordBytesMax = 1 << 20

// copyIn takes the data of a COPY FROM and counts its rows as they come. It gives the rows that were counted, also with an error.
func (c *conn) copyIn(ctx context.Context, in *plan.Insert, f copyFormat) (int64, error) {
	c.askForData(len(in.Targets), f)
	if err := c.out.flush(); err != nil {
		return 0, &fatal{errEnded}
	}
	s := &copySender{c: c}
	b := newRowBatch(in)
	err := c.copyStream(ctx, newLines(f, b), s)
	if err == nil {
		err = s.send(b)
	}
	if waited := s.wait(); err == nil {
		err = waited
	}
	if s.rows > 0 {
		c.report("quipu.receipt", c.receipts.String())
	}
	if err != nil {
		err = s.explained(err)
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

// copyStream feeds the reader with the data of the client until it says that this was all. A row may begin in one message and end in another.
func (c *conn) copyStream(ctx context.Context, r *lines, s *copySender) error {
	b := r.b
	var tail []byte
	for {
		data, last, err := c.copyMessage(ctx)
		if err != nil {
			return err
		}
		b.arrive()
		if b.old() {
			if err := s.send(b); err != nil {
				return err
			}
		}
		if len(tail) > 0 {
			tail = append(tail, data...)
			data = tail
		}
		for {
			n, err := r.read(data, last)
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

// copySender counts a few batches while the next is read, so that the disk is waited for while rows are parsed.
type copySender struct {
	c      *conn
	rows   int64 // counted
	flying []*copyFlight
	bytes  int   // of those
	err    error // of the first batch that was not counted
	behind bool  // a later one was
}

// copyFlight is a batch under way.
type copyFlight struct {
	rows    int64
	bytes   int
	done    chan struct{}
	receipt string
	err     error
}

// Bounds of the batches under way: one takes about a MiB at the most, a tenth of that as a rule.
const (
	copyFlightsMax     = 16
	copyFlightBytesMax = 8 << 20
)

// send hands over the rows of b and leaves b empty. What takes away waits for what was added before it, and so finds it.
func (s *copySender) send(b *rowBatch) error {
	for len(s.flying) == copyFlightsMax || s.bytes > copyFlightBytesMax || b.minus && len(s.flying) > 0 {
		s.land()
	}
	if s.err != nil || b.rows() == 0 {
		return s.err
	}
	f := &copyFlight{rows: b.taken, done: make(chan struct{})}
	batch := b.take()
	f.bytes = batchBytes(batch)
	s.flying = append(s.flying, f)
	s.bytes += f.bytes
	go func() {
		defer close(f.done)
		f.receipt, f.err = s.count(batch)
	}()
	return nil
}

// count ignores the end of the statement: what is under way gets its answer, so that the client hears what was counted.
func (s *copySender) count(b *query.Batch) (receipt string, err error) {
	ctx, cancel := context.WithTimeout(s.c.s.base, s.c.s.o.CommitTimeout)
	defer cancel()
	return s.c.insert(ctx, b)
}

// land waits for the oldest batch under way.
func (s *copySender) land() {
	f := s.flying[0]
	s.flying = s.flying[1:]
	s.bytes -= f.bytes
	<-f.done
	switch {
	case f.err == nil:
		s.rows += f.rows
		s.behind = s.behind || s.err != nil
		s.c.receipts.add(f.receipt)
	case s.err == nil:
		s.err = f.err
	}
}

// wait lands all of them.
func (s *copySender) wait() error {
	for len(s.flying) > 0 {
		s.land()
	}
	return s.err
}

// explained says what was counted in spite of err.
func (s *copySender) explained(err error) error {
	if !s.behind {
		return alreadyCounted(err, int(s.rows))
	}
	state, e := sqlState(err)
	more := *e
	more.Detail = strings.TrimSpace(fmt.Sprintf("%d rows were counted and stay counted, some of them behind rows that were not. %s", s.rows, e.Detail))
	return &wireError{state, &more}
}
