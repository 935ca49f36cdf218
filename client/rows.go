package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"

	apiv1 "github.com/quipudb/quipu/proto/api/v1"
	"google.golang.org/grpc"
)

// Column is one column of a result. Type is int8, float8, text, bool, timestamptz or json.
type Column struct {
	Name string
	Type string
}

// Numeric says that the values are numbers.
func (c Column) Numeric() bool { return c.Type == "int8" || c.Type == "float8" }

// Notice is what the server says beside a result: a test whose assumptions fail, rows that were left out.
type Notice struct {
	Severity string // NOTICE or WARNING
	Message  string
	Hint     string
}

// Footing is what a result rests on; it is known when its rows have been read.
type Footing struct {
	Tag      string // for example SELECT 3 or INSERT 0 12
	Notices  []Notice
	Snapshot string        // the instant read, "term/round/catalog"; empty if no counts were read
	Age      time.Duration // of the oldest shard read, when the statement began: 0 of a strict read
	Settings map[string]string
	Receipt  string // what an INSERT counted, as quipu.min_index takes it
}

// Rows is a result that arrives in pieces. Read it by Next and Values, then look at Err; or Close it early.
//
//	rows, err := c.Query(ctx, "SELECT gender, sum(count) FROM admissions GROUP BY 1")
//	for rows.Next() {
//		fmt.Println(rows.Values()...)
//	}
//	err = rows.Err()
type Rows struct {
	stream  grpc.ServerStreamingClient[apiv1.QueryChunk]
	cancel  context.CancelFunc
	columns []Column
	chunk   *apiv1.QueryChunk
	next    int
	values  []any
	footing Footing
	done    bool // the end of this result was read
	err     error
}

// Query runs one SQL statement. Arguments are nil, string, int, int64, float64, bool or time.Time, for $1, $2, … A nil *Rows is
// returned only with an error. A statement that only reads is asked again, of the next node where there are several, if the one that was asked
// goes away before its first answer; what changes something is not, for it may have done so.
func (c *Client) Query(ctx context.Context, sql string, args ...any) (*Rows, error) {
	return c.QueryWith(ctx, nil, sql, args...)
}

// QueryWith is Query under settings such as quipu.read_consistency or statement_timeout.
func (c *Client) QueryWith(ctx context.Context, settings map[string]string, sql string, args ...any) (*Rows, error) {
	req := &apiv1.QueryRequest{Sql: sql, Settings: settings}
	for i, a := range args {
		v, err := wireValue(a)
		if err != nil {
			return nil, fmt.Errorf("quipu: argument $%d: %w", i+1, err)
		}
		req.Args = append(req.Args, v)
	}
	r, err := c.query(ctx, req)
	if err == nil || !reads(sql) {
		return r, err
	}
	first := err
	req.ReadOnly, req.Single = true, true // the server has the last word on what only reads
	for try := 1; try < triesMax && isAway(err) && await(ctx, try); try++ {
		if r, err = c.query(ctx, req); err == nil {
			return r, nil
		}
	}
	if errors.Is(err, &Error{Code: "NOT_SUPPORTED"}) || errors.Is(err, &Error{Code: "SYNTAX_ERROR"}) { // it does more than read
		return nil, first
	}
	return nil, err
}

// reads says that a text looks like one statement that only reads.
func reads(sql string) bool {
	word := strings.TrimLeft(sql, " \t\r\n(")
	if end := strings.IndexFunc(word, func(r rune) bool { return !unicode.IsLetter(r) }); end >= 0 {
		word = word[:end]
	}
	switch strings.ToUpper(word) {
	case "SELECT", "WITH", "VALUES", "TABLE", "SHOW", "EXPLAIN":
		return true
	}
	return false
}

// query asks once, up to the first answer.
func (c *Client) query(ctx context.Context, req *apiv1.QueryRequest) (*Rows, error) {
	ctx, cancel := context.WithCancel(ctx)
	stream, err := c.queries.Query(c.authorize(ctx), req)
	if err != nil {
		cancel()
		return nil, fromStatus(err)
	}
	r := &Rows{stream: stream, cancel: cancel}
	if r.receive(); r.err != nil {
		return nil, r.err
	}
	return r, nil
}

// Exec runs one statement and drops its rows.
func (c *Client) Exec(ctx context.Context, sql string, args ...any) (Footing, error) {
	r, err := c.Query(ctx, sql, args...)
	if err != nil {
		return Footing{}, err
	}
	for r.Next() {
	}
	return r.footing, r.Err()
}

func wireValue(a any) (*apiv1.Value, error) {
	switch a := a.(type) {
	case nil:
		return &apiv1.Value{Kind: &apiv1.Value_Null{Null: true}}, nil
	case string:
		return &apiv1.Value{Kind: &apiv1.Value_Text{Text: a}}, nil
	case int:
		return &apiv1.Value{Kind: &apiv1.Value_Int{Int: int64(a)}}, nil
	case int64:
		return &apiv1.Value{Kind: &apiv1.Value_Int{Int: a}}, nil
	case float64:
		return &apiv1.Value{Kind: &apiv1.Value_Float{Float: a}}, nil
	case bool:
		return &apiv1.Value{Kind: &apiv1.Value_Bool{Bool: a}}, nil
	case time.Time:
		return &apiv1.Value{Kind: &apiv1.Value_Text{Text: a.UTC().Format(time.RFC3339Nano)}}, nil
	}
	return nil, fmt.Errorf("%w: type %T is not supported", ErrInvalid, a)
}

// receive reads one chunk. After the last it settles err.
func (r *Rows) receive() {
	chunk, err := r.stream.Recv()
	if err != nil {
		if !errors.Is(err, io.EOF) {
			r.err = fromStatus(err)
		} else if !r.done {
			r.err = &Error{Code: "UNAVAILABLE", Message: "the result was cut off before its end", Retryable: true}
		}
		r.done, r.chunk = true, nil
		r.cancel()
		return
	}
	if r.columns == nil {
		for _, c := range chunk.Columns {
			r.columns = append(r.columns, Column{Name: c.Name, Type: typeNames[c.Type]})
		}
		r.values = make([]any, len(r.columns))
	}
	r.chunk, r.next = chunk, 0
	if e := chunk.End; e != nil {
		r.footing = footing(e)
		r.done = true
	}
}

var typeNames = map[apiv1.Type]string{
	apiv1.Type_TYPE_INT8: "int8", apiv1.Type_TYPE_FLOAT8: "float8", apiv1.Type_TYPE_TEXT: "text",
	apiv1.Type_TYPE_BOOL: "bool", apiv1.Type_TYPE_TIMESTAMPTZ: "timestamptz", apiv1.Type_TYPE_JSON: "json",
}

func footing(e *apiv1.QueryEnd) Footing {
	f := Footing{Tag: e.Tag, Age: time.Duration(e.AgeMs) * time.Millisecond, Settings: e.Settings, Receipt: e.Receipt}
	if s := e.Snapshot; s != nil {
		f.Snapshot = fmt.Sprintf("%d/%d/%d", s.MetaTerm, s.Round, s.Catalog)
	}
	for _, n := range e.Notices {
		f.Notices = append(f.Notices, Notice{Severity: n.Severity, Message: n.Message, Hint: n.Hint})
	}
	return f
}

// Columns are those of the result; none for a statement that returns no rows.
func (r *Rows) Columns() []Column { return r.columns }

// Next makes the next row current. False at the end and on an error.
func (r *Rows) Next() bool {
	for r.err == nil && r.chunk != nil {
		if r.next < int(r.chunk.Rows) {
			r.decode(r.next)
			r.next++
			return r.err == nil
		}
		if r.done {
			r.chunk = nil
			r.cancel()
			return false
		}
		r.receive()
	}
	return false
}

func (r *Rows) decode(row int) {
	for i := range r.columns {
		if i >= len(r.chunk.Data) {
			r.err = &Error{Code: "INTERNAL", Message: "the server sent fewer columns than it announced"}
			return
		}
		v, ok := cellValue(r.chunk.Data[i], r.columns[i].Type, row)
		if !ok {
			r.err = &Error{Code: "INTERNAL", Message: "the server sent fewer rows than it announced"}
			return
		}
		r.values[i] = v
	}
}

func cellValue(d *apiv1.ColumnData, kind string, row int) (any, bool) {
	if row/8 < len(d.Nulls) && d.Nulls[row/8]&(1<<(row%8)) != 0 {
		return nil, true
	}
	switch kind {
	case "int8":
		if row < len(d.Ints) {
			return d.Ints[row], true
		}
	case "timestamptz":
		if row < len(d.Ints) {
			return time.UnixMicro(d.Ints[row]).UTC(), true
		}
	case "float8":
		if row < len(d.Floats) {
			return d.Floats[row], true
		}
	case "bool":
		if row < len(d.Bools) {
			return d.Bools[row], true
		}
	default:
		if row < len(d.Texts) {
			return d.Texts[row], true
		}
	}
	return nil, false
}

// Values is the current row: nil, int64, float64, string, bool or time.Time a column. It is overwritten by Next.
func (r *Rows) Values() []any { return r.values }

// Err is what ended the rows early, or nil.
func (r *Rows) Err() error { return r.err }

// Footing is what the result rests on, after Next has returned false.
func (r *Rows) Footing() Footing { return r.footing }

// Close stops reading. Rows that were read to the end need no Close.
func (r *Rows) Close() error {
	r.cancel()
	r.chunk = nil
	return r.err
}
