package client

import (
	"context"
	"errors"
	"io"

	apiv1 "github.com/quipudb/quipu/proto/api/v1"
)

// copyPieceBytes is how much of a stream one message carries.
const copyPieceBytes = 256 << 10

// CopyIn runs COPY … FROM STDIN with the bytes of r, under settings, which may be nil. Rows before an error may have been counted, as the
// error says; a load that can be repeated is an Import.
func (c *Client) CopyIn(ctx context.Context, settings map[string]string, sql string, r io.Reader) (Footing, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := c.queries.CopyIn(c.authorize(ctx))
	if err != nil {
		return Footing{}, fromStatus(err)
	}
	m := &apiv1.CopyInRequest{Query: &apiv1.QueryRequest{Sql: sql, Settings: settings}}
	for more := true; more; {
		piece := make([]byte, copyPieceBytes) // the stream keeps it
		n, err := io.ReadFull(r, piece)
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			more = false
		case err != nil:
			return Footing{}, err
		}
		m.Data = piece[:n]
		if stream.Send(m) != nil {
			break // CloseAndRecv says why
		}
		m = &apiv1.CopyInRequest{}
	}
	end, err := stream.CloseAndRecv()
	if err != nil {
		return Footing{}, fromStatus(err)
	}
	return footing(end), nil
}

// CopyOut runs COPY … TO STDOUT and writes what it gives to w.
func (c *Client) CopyOut(ctx context.Context, settings map[string]string, sql string, w io.Writer) (Footing, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := c.queries.CopyOut(c.authorize(ctx), &apiv1.QueryRequest{Sql: sql, Settings: settings})
	if err != nil {
		return Footing{}, fromStatus(err)
	}
	for {
		m, err := stream.Recv()
		switch {
		case errors.Is(err, io.EOF):
			return Footing{}, &Error{Code: "UNAVAILABLE", Message: "the data was cut off before its end", Retryable: true}
		case err != nil:
			return Footing{}, fromStatus(err)
		}
		if _, err := w.Write(m.Data); err != nil {
			return Footing{}, err
		}
		if m.End != nil {
			return footing(m.End), nil
		}
	}
}
