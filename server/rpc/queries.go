package rpc

import (
	"context"
	"io"

	apiv1 "github.com/quipudb/quipu/proto/api/v1"
	"github.com/quipudb/quipu/query"
	"github.com/quipudb/quipu/query/plan"
)

// Queries runs SQL; Engine makes one of a *query.Engine. Errors are *errcode.Error or have one in their chain. Each call is a
// session of its own, with the request's settings.
type Queries interface {
	// Query runs the statements of q in order, each to its end, and gives every result to sink. An error of the sink ends it.
	Query(ctx context.Context, q *Query, sink Sink) error
	// CopyIn runs COPY … FROM STDIN with the data of r.
	CopyIn(ctx context.Context, q *Query, r io.Reader) (*apiv1.QueryEnd, error)
	// CopyOut runs COPY … TO STDOUT into w.
	CopyOut(ctx context.Context, q *Query, w io.Writer) (*apiv1.QueryEnd, error)
}

// Query is a request to run SQL.
type Query struct {
	Principal string
	Rights    query.Rights // of the principal
	Database  string       // empty means the default
	SQL       string
	Args      []plan.Value // of $1, $2, …; text is untyped, as a string literal is
	Settings  map[string]string
	RowsMax   int64 // of one result, at least 1; the sink holds the bound
	Single    bool  // refuse more than one statement
	ReadOnly  bool  // refuse statements that change anything
}

// Sink takes results: Columns, then any number of Row, then End, for each statement. A statement without rows has no columns.
type Sink interface {
	Columns(columns []*apiv1.ResultColumn) error
	// Row has one value a column; the slice is the caller's and changes after the call.
	Row(values []plan.Value) error
	End(end *apiv1.QueryEnd) error
}
