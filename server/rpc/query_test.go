package rpc_test

import (
	"context"
	"errors"
	"io"
	"math"
	"strings"
	"testing"
	"time"

	apiv1 "github.com/quipudb/quipu/proto/api/v1"
	"github.com/quipudb/quipu/server/errcode"
	"github.com/quipudb/quipu/server/rpc"
	"github.com/quipudb/quipu/server/rpc/rpctest"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/encoding/protojson"
)

// chunksOf runs sql and gives all chunks.
func chunksOf(ctx context.Context, conn *grpc.ClientConn, req *apiv1.QueryRequest) ([]*apiv1.QueryChunk, error) {
	stream, err := apiv1.NewQueryClient(conn).Query(ctx, req)
	if err != nil {
		return nil, err
	}
	var list []*apiv1.QueryChunk
	for {
		c, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return list, nil
		}
		if err != nil {
			return list, err
		}
		list = append(list, c)
	}
}

func TestSmallResultIsOneMessage(t *testing.T) {
	conn, _ := serve(t, rpctest.New(), rpc.Options{})
	list, err := chunksOf(t.Context(), conn, &apiv1.QueryRequest{Sql: "types; rows 2"})
	if err != nil || len(list) != 2 {
		t.Fatalf("%d chunks, %v", len(list), err)
	}
	c := list[0]
	if c.Rows != 3 || len(c.Columns) != 7 || c.Columns[6].Type != apiv1.Type_TYPE_TEXT || c.End.Tag != "SELECT 3" || c.End.Rows != 3 {
		t.Errorf("chunk %v", c)
	}
	if c.End.Snapshot.Round != 7 || c.End.AgeMs != 4 || len(c.End.Notices) != 1 {
		t.Errorf("footing %v", c.End)
	}
	equal(t, c.Data[0].Ints, []int64{math.MaxInt64, 0, -1})
	equal(t, c.Data[2].Texts, []string{`a,"b"`, "", ""})
	for i, d := range c.Data {
		if len(d.Nulls) != 1 || d.Nulls[0] != 2 {
			t.Errorf("column %d: NULLs %v, want only the second row", i, d.Nulls)
		}
	}
	equal(t, list[1].Data[1].Texts, []string{"v0", "v1"})
	stream, err := apiv1.NewQueryClient(conn).Query(t.Context(), &apiv1.QueryRequest{Sql: "rows 1; types"})
	for err == nil {
		_, err = stream.Recv()
	}
	if got := stream.Trailer(); got.Get(rpc.MetaSnapshot)[0] != "2/7/3" || got.Get(rpc.MetaNotice)[0] != `WARNING "min_expected<5"` {
		t.Errorf("trailer %v", got)
	}
}

func TestLongResultIsChunked(t *testing.T) {
	conn, _ := serve(t, rpctest.New(), rpc.Options{})
	list, err := chunksOf(t.Context(), conn, &apiv1.QueryRequest{Sql: "rows 2500"})
	if err != nil || len(list) != 3 {
		t.Fatalf("%d chunks, %v", len(list), err)
	}
	next := int64(0)
	for i, c := range list {
		if (i == 0) != (len(c.Columns) > 0) || (i == 2) != (c.End != nil) {
			t.Errorf("chunk %d has %d columns and end %v", i, len(c.Columns), c.End)
		}
		for _, v := range c.Data[0].Ints {
			if v != next {
				t.Fatalf("value %d, want %d", v, next)
			}
			next++
		}
	}
	if next != 2500 || list[2].End.Rows != 2500 {
		t.Errorf("%d rows, footing %v", next, list[2].End)
	}
}

func TestQueryErrors(t *testing.T) {
	conn, _ := serve(t, rpctest.New(), rpc.Options{RowsMax: 100, QueryTimeout: time.Millisecond})
	for name, tc := range map[string]struct {
		req  *apiv1.QueryRequest
		code errcode.Code
	}{
		"syntax":       {&apiv1.QueryRequest{Sql: "bad"}, errcode.SyntaxError},
		"empty":        {&apiv1.QueryRequest{Sql: " \n"}, errcode.Invalid},
		"long":         {&apiv1.QueryRequest{Sql: strings.Repeat("x", 1<<20+1)}, errcode.TooLarge},
		"rows":         {&apiv1.QueryRequest{Sql: "rows 101"}, errcode.RowLimit},
		"own limit":    {&apiv1.QueryRequest{Sql: "rows 6", MaxRows: 5}, errcode.RowLimit},
		"negative":     {&apiv1.QueryRequest{Sql: "rows 6", MaxRows: -5}, errcode.Invalid},
		"argument":     {&apiv1.QueryRequest{Sql: "args", Args: []*apiv1.Value{{}}}, errcode.Invalid},
		"time":         {&apiv1.QueryRequest{Sql: "wait"}, errcode.Timeout},
		"panic":        {&apiv1.QueryRequest{Sql: "panic"}, errcode.Internal},
		"two":          {&apiv1.QueryRequest{Sql: "rows 1; rows 1", Single: true}, errcode.Invalid},
		"read-only":    {&apiv1.QueryRequest{Sql: "insert", ReadOnly: true}, errcode.PermissionDenied},
		"mid-stream":   {&apiv1.QueryRequest{Sql: "fail 3"}, errcode.SnapshotTooOld},
		"many setting": {&apiv1.QueryRequest{Sql: "rows 1", Settings: many(65)}, errcode.Invalid},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := chunksOf(t.Context(), conn, tc.req)
			e := wantCode(t, err, tc.code)
			if tc.code == errcode.SyntaxError && (e.Position != 3 || e.Hint == "") {
				t.Errorf("%+v", e)
			}
		})
	}
}

func many(n int) map[string]string {
	m := map[string]string{}
	for i := range n {
		m[strings.Repeat("s", i+1)] = ""
	}
	return m
}

func TestExecute(t *testing.T) {
	conn, _ := serve(t, rpctest.New(), rpc.Options{})
	var header metadata.MD
	result, err := apiv1.NewQueryClient(conn).Execute(t.Context(), &apiv1.QueryRequest{Sql: "types"}, grpc.Header(&header))
	if err != nil {
		t.Fatal(err)
	}
	var rows []string
	for _, r := range result.Rows {
		b, err := protojson.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		rows = append(rows, strings.ReplaceAll(string(b), " ", ""))
	}
	equal(t, rows, []string{
		`["9223372036854775807",0.1,"a,\"b\"",true,"1970-01-01T00:00:01.5Z","{\"x\":1}","1day"]`,
		`[null,null,null,null,null,null,null]`,
		`["-1","-Infinity","",false,"1970-01-01T00:00:00Z","[]","00:00:00"]`,
	})
	if header.Get(rpc.MetaSnapshot)[0] != "2/7/3" || header.Get(rpc.MetaStaleness)[0] != "4" {
		t.Errorf("headers %v", header)
	}
	_, err = apiv1.NewQueryClient(conn).Execute(t.Context(), &apiv1.QueryRequest{Sql: "rows 1; rows 1"})
	wantCode(t, err, errcode.Invalid)
	_, err = apiv1.NewQueryClient(conn).Execute(t.Context(), &apiv1.QueryRequest{Sql: "rows 100001"})
	wantCode(t, err, errcode.RowLimit)
}

func TestArgumentsAndSettings(t *testing.T) {
	conn, _ := serve(t, rpctest.New(), rpc.Options{})
	list, err := chunksOf(t.Context(), conn, &apiv1.QueryRequest{Sql: "args", Args: []*apiv1.Value{
		{Kind: &apiv1.Value_Text{Text: "x"}}, {Kind: &apiv1.Value_Int{Int: math.MinInt64}}, {Kind: &apiv1.Value_Float{Float: 0.5}},
		{Kind: &apiv1.Value_Bool{Bool: true}}, {Kind: &apiv1.Value_Null{Null: true}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	equal(t, list[0].Data[0].Texts, []string{"x", "-9223372036854775808", "0.5", "t", ""})
	equal(t, list[0].Data[0].Nulls, []byte{16})

	ctx := metadata.AppendToOutgoingContext(t.Context(), rpc.MetaRead, "stale=2s")
	if list, err = chunksOf(ctx, conn, &apiv1.QueryRequest{Sql: "settings"}); err != nil {
		t.Fatal(err)
	}
	equal(t, list[0].Data[0].Texts, []string{"stale", "2s"})
	own := map[string]string{"quipu.read_consistency": "linearizable"}
	if list, err = chunksOf(ctx, conn, &apiv1.QueryRequest{Sql: "settings", Settings: own}); err != nil {
		t.Fatal(err)
	}
	equal(t, list[0].Data[0].Texts[0], "linearizable")
	set := metadata.AppendToOutgoingContext(t.Context(), rpc.MetaSet, "quipu.read_consistency=stale", rpc.MetaSet, "quipu.max_staleness=3s")
	if list, err = chunksOf(set, conn, &apiv1.QueryRequest{Sql: "settings"}); err != nil {
		t.Fatal(err)
	}
	equal(t, list[0].Data[0].Texts, []string{"stale", "3s"})
	_, err = chunksOf(metadata.AppendToOutgoingContext(t.Context(), rpc.MetaRead, "eventual"), conn, &apiv1.QueryRequest{Sql: "settings"})
	wantCode(t, err, errcode.Invalid)
}

func TestCopy(t *testing.T) {
	conn, _ := serve(t, rpctest.New(), rpc.Options{})
	q := apiv1.NewQueryClient(conn)
	in, err := q.CopyIn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range []*apiv1.CopyInRequest{{Query: &apiv1.QueryRequest{Sql: "copy"}, Data: []byte("a\nb")}, {Data: []byte("\n")}, {Data: []byte("c\n")}} {
		if err := in.Send(m); err != nil {
			t.Fatal(err)
		}
	}
	end, err := in.CloseAndRecv()
	if err != nil || end.Rows != 3 || end.Tag != "COPY 3" {
		t.Errorf("%v, %v", end, err)
	}
	if in, err = q.CopyIn(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, err = in.CloseAndRecv()
	wantCode(t, err, errcode.Invalid)

	out, err := q.CopyOut(t.Context(), &apiv1.QueryRequest{Sql: "copy 20000"})
	if err != nil {
		t.Fatal(err)
	}
	lines, last := 0, (*apiv1.CopyOutChunk)(nil)
	for {
		c, err := out.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		lines += strings.Count(string(c.Data), "\n")
		last = c
	}
	if lines != 20000 || last.End.GetTag() != "COPY 20000" {
		t.Errorf("%d lines, end %v", lines, last.End)
	}
}
