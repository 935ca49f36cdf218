package rpc

import (
	"context"
	"errors"
	"io"
	"maps"
	"strconv"
	"strings"

	apiv1 "github.com/quipudb/quipu/proto/api/v1"
	"github.com/quipudb/quipu/query/plan"
	"github.com/quipudb/quipu/server/errcode"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
)

type queryService struct {
	apiv1.UnimplementedQueryServer
	*Server
}

const (
	sqlBytesMax      = 1 << 20
	argsMax          = 1 << 16 // as many as PostgreSQL numbers
	executeRowsMax   = 100_000
	executeBytesMax  = 32 << 20
	copyChunkBytes   = 64 << 10
	settingsMax      = 64
	readConsistency  = "quipu.read_consistency"
	readMaxStaleness = "quipu.max_staleness"
	readMinIndex     = "quipu.min_index"
)

// Query streams columnar chunks. What the last result rests on also stands in the trailer.
func (s *queryService) Query(req *apiv1.QueryRequest, stream grpc.ServerStreamingServer[apiv1.QueryChunk]) error {
	q, err := s.request(stream.Context(), req)
	if err != nil {
		return err
	}
	ctx, cancel := deadline(stream.Context(), s.opts.QueryTimeout)
	defer cancel()
	out := chunks{send: stream.Send, rowsMax: q.RowsMax}
	if err := s.queries.Query(ctx, q, &out); err != nil {
		return err
	}
	stream.SetTrailer(Footing(out.end))
	return nil
}

// Execute collects one result for JSON.
func (s *queryService) Execute(ctx context.Context, req *apiv1.QueryRequest) (*apiv1.QueryResult, error) {
	q, err := s.request(ctx, req)
	if err != nil {
		return nil, err
	}
	q.Single = true
	q.RowsMax = min(q.RowsMax, executeRowsMax)
	ctx, cancel := deadline(ctx, s.opts.QueryTimeout)
	defer cancel()
	c := collect{rowsMax: q.RowsMax}
	if err := s.queries.Query(ctx, q, &c); err != nil {
		return nil, err
	}
	grpc.SetHeader(ctx, Footing(c.result.End))
	return &c.result, nil
}

// CopyIn feeds the messages to the engine as one stream of bytes.
func (s *queryService) CopyIn(stream grpc.ClientStreamingServer[apiv1.CopyInRequest, apiv1.QueryEnd]) error {
	head, err := stream.Recv()
	if errors.Is(err, io.EOF) || err == nil && head.Query == nil {
		return invalid("query", "is missing from the first message")
	}
	if err != nil {
		return err
	}
	q, err := s.request(stream.Context(), head.Query)
	if err != nil {
		return err
	}
	end, err := s.queries.CopyIn(stream.Context(), q, &copyReader{stream: stream, rest: head.Data})
	if err != nil {
		return err
	}
	return stream.SendAndClose(end)
}

// CopyOut sends what the engine writes in chunks.
func (s *queryService) CopyOut(req *apiv1.QueryRequest, stream grpc.ServerStreamingServer[apiv1.CopyOutChunk]) error {
	q, err := s.request(stream.Context(), req)
	if err != nil {
		return err
	}
	w := copyWriter{stream: stream}
	end, err := s.queries.CopyOut(stream.Context(), q, &w)
	if err != nil {
		return err
	}
	return stream.Send(&apiv1.CopyOutChunk{Data: w.buf, End: end})
}

// request checks a query and takes in what the headers say.
func (s *Server) request(ctx context.Context, req *apiv1.QueryRequest) (*Query, error) {
	who := principal(ctx)
	switch {
	case strings.TrimSpace(req.Sql) == "":
		return nil, invalid("sql", "is empty")
	case len(req.Sql) > sqlBytesMax:
		return nil, errcode.New(errcode.TooLarge, "sql has %d bytes, the limit is %d", len(req.Sql), sqlBytesMax).
			WithHint("load data with COPY or quipu import instead of long INSERT statements")
	case len(req.Args) > argsMax:
		return nil, invalid("args", "has %d values, the limit is %d", len(req.Args), argsMax)
	case len(req.Settings) > settingsMax:
		return nil, invalid("settings", "has %d entries, the limit is %d", len(req.Settings), settingsMax)
	case req.MaxRows < 0:
		return nil, invalid("max_rows", "is negative")
	}
	q := &Query{Principal: who, Rights: callerOf(ctx), Database: req.Database, SQL: req.Sql, RowsMax: s.opts.RowsMax, Single: req.Single, ReadOnly: req.ReadOnly}
	if req.MaxRows > 0 {
		q.RowsMax = min(q.RowsMax, req.MaxRows)
	}
	for i, a := range req.Args {
		v, err := argument(i, a)
		if err != nil {
			return nil, err
		}
		q.Args = append(q.Args, v)
	}
	var err error
	if q.Settings, err = settings(ctx, req.Settings); err == nil && len(q.Settings) > settingsMax {
		err = invalid("settings", "has %d entries with those of the headers, the limit is %d", len(q.Settings), settingsMax)
	}
	return q, err
}

func argument(i int, a *apiv1.Value) (plan.Value, error) {
	switch k := a.GetKind().(type) {
	case *apiv1.Value_Null:
		return plan.Null, nil
	case *apiv1.Value_Text:
		return plan.TextValue(k.Text), nil
	case *apiv1.Value_Int:
		return plan.IntValue(k.Int), nil
	case *apiv1.Value_Float:
		return plan.FloatValue(k.Float), nil
	case *apiv1.Value_Bool:
		return plan.BoolValue(k.Bool), nil
	}
	return plan.Null, invalid("args["+strconv.Itoa(i)+"]", "has no kind: give null, text, int, float or bool")
}

// settings are those of the message, under them those of the headers Quipu-Read and Quipu-After, and under these those of Quipu-Set.
func settings(ctx context.Context, message map[string]string) (map[string]string, error) {
	all := map[string]string{}
	for _, line := range metadata.ValueFromIncomingContext(ctx, MetaSet) {
		if err := setLine(all, line); err != nil {
			return nil, err
		}
	}
	if err := readLevel(all, first(ctx, MetaRead), first(ctx, MetaAfter)); err != nil {
		return nil, err
	}
	maps.Copy(all, message)
	return all, nil
}

// setLine takes "name=value; name=value".
func setLine(into map[string]string, line string) error {
	for pair := range strings.SplitSeq(line, ";") {
		if pair = strings.TrimSpace(pair); pair == "" {
			continue
		}
		name, value, ok := strings.Cut(pair, "=")
		if name = strings.TrimSpace(name); !ok || name == "" {
			return errcode.New(errcode.Invalid, "Quipu-Set %q is not of the form name=value; name=value", line).
				WithHint("for example Quipu-Set: statement_timeout=5s; quipu.memory_limit=64MiB")
		}
		into[name] = strings.TrimSpace(value)
	}
	return nil
}

// readLevel takes what Quipu-Read and Quipu-After say; empty ones say nothing.
func readLevel(into map[string]string, read, after string) error {
	level, staleness, stale := strings.Cut(read, "=")
	switch {
	case level == "stale" || !stale && (level == "strict" || level == "linearizable" || level == "session" || level == ""):
	default:
		return errcode.New(errcode.Invalid, "Quipu-Read %q is no level of consistency", read).
			WithHint("use strict, linearizable, session, or stale=2s")
	}
	if level != "" {
		into[readConsistency] = level
	}
	if stale {
		into[readMaxStaleness] = staleness
	}
	if after != "" {
		into[readMinIndex] = after
	}
	return nil
}

// Of the notices of one result so many go into headers, and so many bytes of each.
const (
	noticesMax     = 16
	noticeBytesMax = 512
)

// Footing is what a result rests on as headers or trailers: snapshot, age, receipt, and what there is to say beside it.
func Footing(end *apiv1.QueryEnd) metadata.MD {
	md := metadata.MD{}
	if s := end.GetSnapshot(); s != nil {
		md.Set(MetaSnapshot, SnapshotText(s))
		md.Set(MetaStaleness, strconv.FormatInt(end.AgeMs, 10))
	}
	if end.GetReceipt() != "" {
		md.Set(MetaReceipt, end.Receipt)
	}
	notices := end.GetNotices()
	for _, n := range notices[:min(len(notices), noticesMax)] {
		message := n.Message
		if len(message) > noticeBytesMax {
			message = strings.ToValidUTF8(message[:noticeBytesMax], "") + "…"
		}
		md.Append(MetaNotice, n.Severity+" "+strconv.QuoteToASCII(message)) // headers are ASCII, category values are not
	}
	return md
}

// SnapshotText is the text form of a snapshot id: term/round/catalog.
func SnapshotText(s *apiv1.SnapshotID) string {
	b := strconv.AppendUint(nil, s.MetaTerm, 10)
	b = strconv.AppendUint(append(b, '/'), s.Round, 10)
	return string(strconv.AppendUint(append(b, '/'), s.Catalog, 10))
}

// copyReader is the data of a CopyIn stream.
type copyReader struct {
	stream grpc.ClientStreamingServer[apiv1.CopyInRequest, apiv1.QueryEnd]
	rest   []byte
}

func (r *copyReader) Read(p []byte) (int, error) {
	for len(r.rest) == 0 {
		m, err := r.stream.Recv()
		if err != nil {
			return 0, err // io.EOF when the client has closed its side
		}
		r.rest = m.Data
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

// copyWriter gathers small writes.
type copyWriter struct {
	stream grpc.ServerStreamingServer[apiv1.CopyOutChunk]
	buf    []byte
}

func (w *copyWriter) Write(p []byte) (int, error) {
	w.buf = append(w.buf, p...)
	if len(w.buf) < copyChunkBytes {
		return len(p), nil
	}
	for at := 0; at < len(w.buf); at += 1 << 20 {
		if err := w.stream.Send(&apiv1.CopyOutChunk{Data: w.buf[at:min(at+1<<20, len(w.buf))]}); err != nil {
			return 0, err
		}
	}
	w.buf = w.buf[:0]
	return len(p), nil
}
