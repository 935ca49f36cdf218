package rpctest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math"
	"strings"

	apiv1 "github.com/quipudb/quipu/proto/api/v1"
	"github.com/quipudb/quipu/query/plan"
	"github.com/quipudb/quipu/server/errcode"
	"github.com/quipudb/quipu/server/rpc"
)

// Queries understands a few words instead of SQL:
//
//	types          one row of every type, and one of NULLs
//	rows N         N rows of an int8 i and a text v
//	fail N         the same, and then an error
//	args           the arguments as text, one a row
//	settings       the settings of the request
//	bad            a syntax error at position 3
//	wait           waits until the request is over
//	panic          panics
//	a; b           two statements
type Queries struct{}

var snapshot = &apiv1.SnapshotID{MetaTerm: 2, Round: 7, Catalog: 3}

// Query runs the words of q.SQL.
func (Queries) Query(ctx context.Context, q *rpc.Query, sink rpc.Sink) error {
	statements := strings.Split(q.SQL, ";")
	if q.Single && len(statements) > 1 {
		return errcode.New(errcode.Invalid, "one statement at a time")
	}
	for _, s := range statements {
		if err := run(ctx, q, strings.Fields(s), sink); err != nil {
			return err
		}
	}
	return nil
}

func run(ctx context.Context, q *rpc.Query, words []string, sink rpc.Sink) error {
	var n int
	if len(words) > 1 {
		fmt.Sscan(words[1], &n)
	}
	switch words[0] {
	case "types":
		return types(sink)
	case "rows":
		return count(sink, n, nil)
	case "fail":
		return count(sink, n, errcode.New(errcode.SnapshotTooOld, "the snapshot was given up"))
	case "args":
		return texts(sink, len(q.Args), func(i int) plan.Value { return q.Args[i] })
	case "settings":
		return texts(sink, 2, func(i int) plan.Value {
			return plan.TextValue(q.Settings[[]string{"quipu.read_consistency", "quipu.max_staleness"}[i]])
		})
	case "insert":
		if q.ReadOnly {
			return errcode.New(errcode.PermissionDenied, "INSERT in a read-only request").WithHint("use POST")
		}
		return sink.End(&apiv1.QueryEnd{Tag: "INSERT 0 1", Receipt: "0:5"})
	case "bad":
		return errcode.New(errcode.SyntaxError, "syntax error at or near %q", "bad").At(3).WithHint("write something else")
	case "wait":
		<-ctx.Done()
		return ctx.Err()
	case "panic":
		panic("as asked")
	}
	return errcode.New(errcode.SyntaxError, "what is %q", words[0])
}

func types(sink rpc.Sink) error {
	err := sink.Columns([]*apiv1.ResultColumn{
		{Name: "i", Type: rpc.ColumnType(plan.Int8)}, {Name: "f", Type: rpc.ColumnType(plan.Float8)},
		{Name: "t", Type: rpc.ColumnType(plan.Text)}, {Name: "b", Type: rpc.ColumnType(plan.Bool)},
		{Name: "at", Type: rpc.ColumnType(plan.Timestamptz)}, {Name: "j", Type: rpc.ColumnType(plan.JSON)},
		{Name: "t", Type: rpc.ColumnType(plan.Interval)},
	})
	for _, row := range [][]plan.Value{
		{plan.IntValue(math.MaxInt64), plan.FloatValue(0.1), plan.TextValue(`a,"b"`), plan.BoolValue(true), plan.MicrosValue(1_500_000), plan.JSONValue(`{"x":1}`), plan.IntervalValue(0, 1, 0)},
		{plan.Null, plan.Null, plan.Null, plan.Null, plan.Null, plan.Null, plan.Null},
		{plan.IntValue(-1), plan.FloatValue(math.Inf(-1)), plan.TextValue(""), plan.BoolValue(false), plan.MicrosValue(0), plan.JSONValue(`[]`), plan.IntervalValue(0, 0, 0)},
	} {
		if err == nil {
			err = sink.Row(row)
		}
	}
	if err != nil {
		return err
	}
	return sink.End(&apiv1.QueryEnd{
		Tag: "SELECT 3", Snapshot: snapshot, AgeMs: 4, Notices: []*apiv1.Notice{{Severity: "WARNING", Message: "min_expected<5"}},
	})
}

func count(sink rpc.Sink, n int, end error) error {
	err := sink.Columns([]*apiv1.ResultColumn{{Name: "i", Type: apiv1.Type_TYPE_INT8}, {Name: "v", Type: apiv1.Type_TYPE_TEXT}})
	row := make([]plan.Value, 2)
	for i := 0; i < n && err == nil; i++ {
		row[0], row[1] = plan.IntValue(int64(i)), plan.TextValue(fmt.Sprint("v", i))
		err = sink.Row(row)
	}
	if err == nil {
		err = end
	}
	if err != nil {
		return err
	}
	return sink.End(&apiv1.QueryEnd{Tag: fmt.Sprint("SELECT ", n), Snapshot: snapshot})
}

func texts(sink rpc.Sink, n int, value func(int) plan.Value) error {
	err := sink.Columns([]*apiv1.ResultColumn{{Name: "v", Type: apiv1.Type_TYPE_TEXT}})
	for i := 0; i < n && err == nil; i++ {
		err = sink.Row([]plan.Value{value(i)})
	}
	if err != nil {
		return err
	}
	return sink.End(&apiv1.QueryEnd{Tag: fmt.Sprint("SELECT ", n)})
}

// CopyIn counts lines; a line "bad" is an error.
func (Queries) CopyIn(_ context.Context, q *rpc.Query, r io.Reader) (*apiv1.QueryEnd, error) {
	data, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	for i, line := range bytes.Split(data, []byte("\n")) {
		if string(line) == "bad" {
			return nil, errcode.New(errcode.BadCopyFormat, "line %d is bad", i+1)
		}
	}
	n := int64(bytes.Count(data, []byte("\n")))
	return &apiv1.QueryEnd{Tag: fmt.Sprint("COPY ", n), Rows: n, Receipt: "0:6"}, nil
}

// CopyOut writes as many lines as the second word of the statement says.
func (Queries) CopyOut(_ context.Context, q *rpc.Query, w io.Writer) (*apiv1.QueryEnd, error) {
	words := strings.Fields(q.SQL)
	if words[0] != "copy" {
		return nil, errcode.New(errcode.SyntaxError, "not a COPY statement")
	}
	var n int
	fmt.Sscan(words[1], &n)
	for i := range n {
		if _, err := fmt.Fprintf(w, "line %d\n", i); err != nil {
			return nil, err
		}
	}
	return &apiv1.QueryEnd{Tag: fmt.Sprint("COPY ", n)}, nil
}
