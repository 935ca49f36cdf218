package rpc_test

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	apiv1 "github.com/quipudb/quipu/proto/api/v1"
	"github.com/quipudb/quipu/server/errcode"
	"github.com/quipudb/quipu/server/router"
	"github.com/quipudb/quipu/server/rpc"
	"github.com/quipudb/quipu/server/rpc/rpctest"
	"github.com/quipudb/quipu/storage/schema"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// serve gives a connection to a server over node, and the server.
func serve(t testing.TB, node rpc.Backend, opts rpc.Options) (*grpc.ClientConn, *rpc.Server) {
	t.Helper()
	s := rpc.New(node, rpctest.Queries{}, opts)
	lis := bufconn.Listen(1 << 20)
	go s.GRPC().Serve(lis)
	conn, err := grpc.NewClient("passthrough:///test",
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return lis.DialContext(ctx) }),
		grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		conn.Close()
		s.GRPC().Stop()
	})
	return conn, s
}

func as(ctx context.Context, principal string) context.Context {
	return metadata.AppendToOutgoingContext(ctx, rpc.MetaPrincipal, principal)
}

// wantCode fails the test unless err is a public error of that code.
func wantCode(t *testing.T, err error, code errcode.Code) *errcode.Error {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want %s", code)
	}
	e := errcode.From(err)
	if e.Code != code {
		t.Fatalf("%v, want %s", err, code)
	}
	if got := status.Code(err); got != errcode.Of(code).GRPC {
		t.Fatalf("gRPC code %v, want %v", got, errcode.Of(code).GRPC)
	}
	return e
}

// batch is three rows of two dimensions: (A, f) 1, (B, NULL) −2, (A, f) 300.
func batch(table string) *apiv1.Batch {
	return &apiv1.Batch{
		Table: table, Rows: 3,
		Columns: []*apiv1.Column{
			{Name: "dept", Values: []byte("AB"), Lengths: []uint32{1, 1}, Codes: []byte{1, 2, 1}},
			{Name: "gender", Values: []byte("f"), Lengths: []uint32{1}, Codes: []byte{1, 0, 0, 0, 1, 0}},
		},
		Counts: []byte{1, 0, 0xfe, 0xff, 0x2c, 1},
	}
}

func createTable(t testing.TB, conn *grpc.ClientConn) *apiv1.Table {
	t.Helper()
	table, err := apiv1.NewCatalogClient(conn).CreateTable(t.Context(), &apiv1.CreateTableRequest{Table: &apiv1.Table{
		Table: "t", WindowSec: 3600, RetentionSec: 7200,
		Dimensions: []*apiv1.Dimension{{Name: "dept"}, {Name: "gender", DefaultValue: proto.String("?")}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func TestWriteReachesTheRouterAsItWasSent(t *testing.T) {
	node := rpctest.New()
	var got router.Batch
	node.OnWrite = func(_ context.Context, b *router.Batch) (*router.Result, error) {
		got = *b
		got.Dims = nil
		for _, d := range b.Dims {
			c := router.Column{Name: d.Name, Dict: append([]schema.Value(nil), d.Dict...), Codes: append([]uint32(nil), d.Codes...)}
			got.Dims = append(got.Dims, c)
		}
		got.Counts = append([]int64(nil), b.Counts...)
		got.Events = append([]int64(nil), b.Events...)
		return &router.Result{
			Receipts: []schema.Receipt{{Shard: 2, Index: 17, Duplicate: true}},
			Refused: []router.Refusal{{
				Shard: 1, Rows: []uint32{1}, Err: errcode.New(errcode.BelowZero, "row 1: count of (B, NULL) would be -2").WithHint("see the table"),
			}},
			MapVersion: 5,
		}, nil
	}
	conn, _ := serve(t, node, rpc.Options{})
	b := batch("t")
	b.Schema, b.TableId, b.TableVersion, b.EventTimeMs = "public", 7, 2, -5
	resp, err := apiv1.NewWriteClient(conn).Write(as(t.Context(), "ann"), &apiv1.WriteRequest{
		Id: 3, Batch: b, Stamp: &apiv1.Stamp{Session: 9, Seq: 4, AckUpTo: 2, MapVersion: 5},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := router.Batch{
		Principal: "ann", Session: 9, Seq: 4, AckUpTo: 2, MapVersion: 5,
		Table: schema.Name{Schema: "public", Table: "t"}, TableID: 7, TableVersion: 2, Rows: 3,
		Dims: []router.Column{
			{Name: "dept", Dict: []schema.Value{schema.Null, schema.V("A"), schema.V("B")}, Codes: []uint32{1, 2, 1}},
			{Name: "gender", Dict: []schema.Value{schema.Null, schema.V("f")}, Codes: []uint32{1, 0, 1}},
		},
		Counts: []int64{1, -2, 300}, Events: []int64{-5},
	}
	equal(t, got, want)
	equalProto(t, resp, &apiv1.WriteResponse{
		Id: 3, MapVersion: 5,
		Receipt: &apiv1.Receipt{
			ClusterId: "c1", Incarnation: 9, TtlMs: rpctest.SessionTTL.Milliseconds(),
			Shards: []*apiv1.ShardReceipt{{Shard: 2, Index: 17, Duplicate: true}},
		},
		Refused: []*apiv1.Refusal{{Shard: 1, Rows: []uint32{1}, Error: &apiv1.Error{
			Code: "BELOW_ZERO", Message: "row 1: count of (B, NULL) would be -2", Hint: "see the table",
		}}},
	})
}

// TestWhoKnowsTheMapIsToldOfLeaders writes to a shard that is led elsewhere: only a client that gives a map version makes use of the leader.
func TestWhoKnowsTheMapIsToldOfLeaders(t *testing.T) {
	node := rpctest.New()
	node.OnWrite = func(context.Context, *router.Batch) (*router.Result, error) {
		return &router.Result{Receipts: []schema.Receipt{{Shard: 0, Index: 3}, {Shard: 1, Index: 4}}, MapVersion: 5}, nil
	}
	conn, _ := serve(t, node, rpc.Options{})
	leader := []*apiv1.ShardLeader{{Shard: 1, NodeId: "other", ApiAddr: "192.0.2.1:7480"}}
	for version, want := range map[uint64][]*apiv1.ShardLeader{0: nil, 5: leader} {
		resp, err := apiv1.NewWriteClient(conn).Write(t.Context(), &apiv1.WriteRequest{Batch: batch("t"), Stamp: &apiv1.Stamp{Session: 9, Seq: 4, MapVersion: version}})
		if err != nil {
			t.Fatal(err)
		}
		equalProto(t, &apiv1.WriteResponse{Led: resp.Led}, &apiv1.WriteResponse{Led: want})
	}
	info, err := apiv1.NewClusterClient(conn).Info(t.Context(), &apiv1.ClusterInfoRequest{})
	if err != nil {
		t.Fatal(err)
	}
	equalProto(t, &apiv1.ClusterInfo{Leaders: info.Leaders, ApiAddrs: info.ApiAddrs}, &apiv1.ClusterInfo{Leaders: leader, ApiAddrs: []string{"192.0.2.1:7480"}})
}

func TestSessions(t *testing.T) {
	conn, _ := serve(t, rpctest.New(), rpc.Options{})
	createTable(t, conn)
	sessions, writes := apiv1.NewSessionsClient(conn), apiv1.NewWriteClient(conn)
	ctx := t.Context()
	s, err := sessions.Open(ctx, &apiv1.OpenSessionRequest{Durable: true})
	if err != nil {
		t.Fatal(err)
	}
	if s.TtlMs != 30*24*3600*1000 || s.Principal != "local" || s.ClusterId != "c1" || s.Incarnation != 9 {
		t.Errorf("session %v", s)
	}
	if _, err := sessions.KeepAlive(ctx, &apiv1.KeepAliveRequest{Sessions: []uint64{s.Session}}); err != nil {
		t.Error(err)
	}
	_, err = sessions.KeepAlive(as(ctx, "eve"), &apiv1.KeepAliveRequest{Sessions: []uint64{s.Session}})
	wantCode(t, err, errcode.SessionExpired)
	_, err = sessions.KeepAlive(ctx, &apiv1.KeepAliveRequest{})
	wantCode(t, err, errcode.Invalid)
	write := &apiv1.WriteRequest{Batch: batch("t"), Stamp: &apiv1.Stamp{Session: s.Session, Seq: 1}}
	if _, err := writes.Write(ctx, write); err != nil {
		t.Error(err)
	}
	_, err = writes.Write(as(ctx, "eve"), write)
	wantCode(t, err, errcode.SessionForeign)
	if _, err := sessions.Close(ctx, &apiv1.CloseSessionRequest{Session: s.Session}); err != nil {
		t.Error(err)
	}
	_, err = writes.Write(ctx, write)
	wantCode(t, err, errcode.SessionExpired)
	_, err = sessions.Open(as(ctx, strings.Repeat("x", 200)), &apiv1.OpenSessionRequest{})
	wantCode(t, err, errcode.Invalid)
}

func TestIncrement(t *testing.T) {
	node := rpctest.New()
	conn, _ := serve(t, node, rpc.Options{})
	createTable(t, conn)
	var got router.Batch
	node.OnWrite = func(_ context.Context, b *router.Batch) (*router.Result, error) {
		got = *b
		return &router.Result{Receipts: []schema.Receipt{{Index: 1}}, Replayed: b.Key == "again"}, nil
	}
	text, null := structpb.NewStringValue, structpb.NewNullValue
	resp, err := apiv1.NewWriteClient(conn).Increment(t.Context(), &apiv1.IncrementRequest{
		Table: "t", IdempotencyKey: "again",
		Rows: []*apiv1.IncrementRow{
			{Values: map[string]*structpb.Value{"dept": text("A")}, Time: timestamppb.New(timestamppb.Now().AsTime())},
			{Values: map[string]*structpb.Value{"dept": null(), "gender": text("f")}, Count: proto.Int64(0), Time: timestamppb.Now()},
			{Values: map[string]*structpb.Value{"dept": structpb.NewNumberValue(-7)}, Count: proto.Int64(-3), Time: timestamppb.Now()},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if !resp.Replayed || resp.Receipt == nil || got.Key != "again" {
		t.Errorf("answer %v", resp)
	}
	rows := make([]map[string]string, got.Rows)
	for i := range rows {
		rows[i] = map[string]string{}
		for _, d := range got.Dims {
			v := d.Dict[d.Codes[i]]
			rows[i][d.Name] = v.Text
			if v.Null {
				rows[i][d.Name] = "NULL"
			}
		}
	}
	equal(t, rows, []map[string]string{{"dept": "A", "gender": "?"}, {"dept": "NULL", "gender": "f"}, {"dept": "-7", "gender": "?"}})
	equal(t, got.Counts, []int64{1, 0, -3})
	if len(got.Events) != 3 {
		t.Errorf("events %v", got.Events)
	}
}

func TestIncrementRefuses(t *testing.T) {
	node := rpctest.New()
	conn, _ := serve(t, node, rpc.Options{})
	createTable(t, conn)
	row := func(v *structpb.Value) *apiv1.IncrementRow {
		return &apiv1.IncrementRow{Values: map[string]*structpb.Value{"dept": v}}
	}
	good := row(structpb.NewStringValue("A"))
	timed := &apiv1.IncrementRow{Values: good.Values, Time: timestamppb.Now()}
	wide := &apiv1.IncrementRow{Values: map[string]*structpb.Value{}}
	for i := range 33 {
		wide.Values[strings.Repeat("d", i+1)] = structpb.NewStringValue("x")
	}
	for name, tc := range map[string]struct {
		rows []*apiv1.IncrementRow
		code errcode.Code
		want string
	}{
		"no rows":        {nil, errcode.Invalid, "rows has 0 rows"},
		"fraction":       {[]*apiv1.IncrementRow{good, row(structpb.NewNumberValue(1.5))}, errcode.ValueInvalid, `row 1, column "dept"`},
		"large number":   {[]*apiv1.IncrementRow{row(structpb.NewNumberValue(1e300))}, errcode.ValueInvalid, "2^53"},
		"list":           {[]*apiv1.IncrementRow{row(structpb.NewListValue(nil))}, errcode.ValueInvalid, "text, a number"},
		"some times":     {[]*apiv1.IncrementRow{good, timed}, errcode.Invalid, "rows[0].time is missing"},
		"bad time":       {[]*apiv1.IncrementRow{{Time: &timestamppb.Timestamp{Seconds: -1 << 60}}}, errcode.Invalid, "rows[0].time"},
		"too many names": {[]*apiv1.IncrementRow{wide}, errcode.Invalid, "above 32"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := apiv1.NewWriteClient(conn).Increment(t.Context(), &apiv1.IncrementRequest{Table: "t", Rows: tc.rows})
			if e := wantCode(t, err, tc.code); !strings.Contains(e.Message, tc.want) {
				t.Errorf("message %q, want %q", e.Message, tc.want)
			}
		})
	}
	node.OnWrite = func(context.Context, *router.Batch) (*router.Result, error) {
		return &router.Result{Refused: []router.Refusal{{Shard: 3, Err: errcode.New(errcode.Late, "too late")}}}, nil
	}
	_, err := apiv1.NewWriteClient(conn).Increment(t.Context(), &apiv1.IncrementRequest{Table: "t", Rows: []*apiv1.IncrementRow{good}})
	wantCode(t, err, errcode.Late)
	if node.Rows() != 0 {
		t.Errorf("%d rows counted", node.Rows())
	}
}

func TestCatalog(t *testing.T) {
	conn, _ := serve(t, rpctest.New(), rpc.Options{})
	c := apiv1.NewCatalogClient(conn)
	ctx := t.Context()
	made := createTable(t, conn)
	want := &apiv1.Table{
		Id: made.Id, Version: 1, Table: "t", WindowSec: 3600, RetentionSec: 7200, Measures: 1,
		Dimensions: []*apiv1.Dimension{
			{Name: "dept", Type: apiv1.DimensionType_DIMENSION_TYPE_TEXT},
			{Name: "gender", Type: apiv1.DimensionType_DIMENSION_TYPE_TEXT, DefaultValue: proto.String("?")},
		},
		PartitionBy: &apiv1.PartitionKey{Dimensions: []string{"dept", "gender"}},
	}
	equalProto(t, made, want)
	again, err := c.CreateTable(ctx, &apiv1.CreateTableRequest{Table: want, IfNotExists: true})
	if err != nil {
		t.Fatal(err)
	}
	equalProto(t, again, want)
	_, err = c.CreateTable(ctx, &apiv1.CreateTableRequest{Table: want})
	wantCode(t, err, errcode.Exists)

	altered, err := c.AlterTable(ctx, &apiv1.AlterTableRequest{
		Table: "t", RetentionSec: proto.Int64(0), MaxFutureSec: proto.Int64(60),
		AddDimensions: []*apiv1.Dimension{{Name: "n", Type: apiv1.DimensionType_DIMENSION_TYPE_INT8}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if altered.Version != 2 || altered.RetentionSec != 0 || altered.MaxFutureSec != 60 || len(altered.Dimensions) != 3 {
		t.Errorf("altered: %v", altered)
	}
	if _, err = c.AlterTable(ctx, &apiv1.AlterTableRequest{Table: "t"}); err == nil {
		t.Error("an empty change passes")
	}
	list, err := c.ListTables(ctx, &apiv1.ListTablesRequest{})
	if err != nil || len(list.Tables) != 1 {
		t.Errorf("list %v, %v", list, err)
	}
	emptied, err := c.TruncateTable(ctx, &apiv1.TruncateTableRequest{Table: "t"})
	if err != nil || emptied.Id == made.Id {
		t.Errorf("truncated %v, %v", emptied, err)
	}
	if _, err := c.DropTable(ctx, &apiv1.DropTableRequest{Table: "t"}); err != nil {
		t.Error(err)
	}
	_, err = c.DropTable(ctx, &apiv1.DropTableRequest{Table: "t"})
	wantCode(t, err, errcode.UnknownTable)
	_, err = c.GetTable(ctx, &apiv1.GetTableRequest{Table: "t"})
	wantCode(t, err, errcode.UnknownTable)
}

func TestCreateTableRefuses(t *testing.T) {
	conn, _ := serve(t, rpctest.New(), rpc.Options{})
	dims := []*apiv1.Dimension{{Name: "a"}}
	for name, tc := range map[string]struct {
		table *apiv1.Table
		want  string
	}{
		"nothing":       {nil, "missing"},
		"no dimensions": {&apiv1.Table{Table: "t"}, "at least one dimension"},
		"partition":     {&apiv1.Table{Table: "t", Dimensions: dims, PartitionBy: &apiv1.PartitionKey{Dimensions: []string{"b"}}}, `names "b"`},
		"window":        {&apiv1.Table{Table: "t", Dimensions: dims, WindowSec: -1}, "window_sec is -1"},
		"huge window":   {&apiv1.Table{Table: "t", Dimensions: dims, WindowSec: 1 << 62}, "window_sec"},
		"measures":      {&apiv1.Table{Table: "t", Dimensions: dims, Measures: 257}, "exactly 1 measure"},
		"type":          {&apiv1.Table{Table: "t", Dimensions: []*apiv1.Dimension{{Name: "a", Type: 9}}}, "unknown type 9"},
		"type over 255": {&apiv1.Table{Table: "t", Dimensions: []*apiv1.Dimension{{Name: "a", Type: 257}}}, "unknown type 255"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := apiv1.NewCatalogClient(conn).CreateTable(t.Context(), &apiv1.CreateTableRequest{Table: tc.table})
			if err == nil || !strings.Contains(err.Error(), tc.want) || status.Code(err) != codes.InvalidArgument {
				t.Errorf("%v, want %q", err, tc.want)
			}
		})
	}
}

func TestContexts(t *testing.T) {
	conn, _ := serve(t, rpctest.New(), rpc.Options{})
	c := apiv1.NewContextsClient(conn)
	ctx := t.Context()
	r, err := c.Set(as(ctx, "ann"), &apiv1.SetContextRequest{Name: "prod", IfVersion: proto.Uint64(0), Values: map[string]string{"sample_rate": "0.5"}})
	if err != nil || r.Version != 1 || r.ModifiedBy != "ann" {
		t.Fatalf("%v, %v", r, err)
	}
	_, err = c.Set(ctx, &apiv1.SetContextRequest{Name: "prod", IfVersion: proto.Uint64(0)})
	wantCode(t, err, errcode.Conflict)
	_, err = c.Set(ctx, &apiv1.SetContextRequest{Name: "prod"})
	wantCode(t, err, errcode.PreconditionRequired)
	var header metadata.MD
	match := metadata.AppendToOutgoingContext(ctx, rpc.MetaIfMatch, `"v1"`)
	if r, err = c.Set(match, &apiv1.SetContextRequest{Name: "prod"}, grpc.Header(&header)); err != nil || r.Version != 2 {
		t.Fatalf("%v, %v", r, err)
	}
	if got := header.Get("etag"); len(got) != 1 || got[0] != `"v2"` {
		t.Errorf("ETag %v", got)
	}
	_, err = c.Set(metadata.AppendToOutgoingContext(ctx, rpc.MetaIfMatch, `W/"2"`), &apiv1.SetContextRequest{Name: "prod"})
	wantCode(t, err, errcode.Invalid)
	history, err := c.History(ctx, &apiv1.ContextHistoryRequest{Name: "prod"})
	if err != nil || len(history.Records) != 2 || history.Records[0].Version != 2 {
		t.Errorf("history %v, %v", history, err)
	}
	_, err = c.Revert(ctx, &apiv1.RevertContextRequest{Name: "prod", IfVersion: proto.Uint64(2)})
	wantCode(t, err, errcode.Invalid)
	_, err = c.Revert(ctx, &apiv1.RevertContextRequest{Name: "prod", ToVersion: 1})
	wantCode(t, err, errcode.PreconditionRequired)
	if r, err = c.Revert(ctx, &apiv1.RevertContextRequest{Name: "prod", IfVersion: proto.Uint64(2), ToVersion: 1}); err != nil || r.Version != 3 || r.Values["sample_rate"] != "0.5" {
		t.Errorf("reverted %v, %v", r, err)
	}
	if r, err = c.Delete(ctx, &apiv1.DeleteContextRequest{Name: "prod", IfVersion: proto.Uint64(3)}); err != nil || !r.Deleted {
		t.Errorf("deleted %v, %v", r, err)
	}
	_, err = c.Get(ctx, &apiv1.GetContextRequest{Name: "prod"})
	wantCode(t, err, errcode.NotFound)
}

func TestLeases(t *testing.T) {
	conn, _ := serve(t, rpctest.New(), rpc.Options{})
	c := apiv1.NewLeasesClient(conn)
	ctx := as(t.Context(), "ann")
	l, err := c.Acquire(ctx, &apiv1.AcquireLeaseRequest{Name: "job", Holder: "one"})
	if err != nil || l.Holder != "ann/one" || l.TtlMs != 30_000 || l.Fence == 0 {
		t.Fatalf("%v, %v", l, err)
	}
	for what, holder := range map[string]string{"without a holder": "", "as somebody else": "bob/one"} {
		if _, err := c.Acquire(ctx, &apiv1.AcquireLeaseRequest{Name: "job", Holder: holder}); err == nil {
			t.Errorf("acquired %s", what)
		} else {
			wantCode(t, err, errcode.Invalid)
		}
	}
	_, err = c.Acquire(ctx, &apiv1.AcquireLeaseRequest{Name: "job", Holder: "one", TtlMs: 999})
	wantCode(t, err, errcode.Invalid)
	bob := as(t.Context(), "bob") // who takes the same name is another holder
	_, err = c.Acquire(bob, &apiv1.AcquireLeaseRequest{Name: "job", Holder: "one"})
	wantCode(t, err, errcode.Conflict)
	_, err = c.Renew(bob, &apiv1.RenewLeaseRequest{Name: "job", Holder: "one", Fence: l.Fence})
	wantCode(t, err, errcode.Conflict)
	_, err = c.Release(bob, &apiv1.ReleaseLeaseRequest{Name: "job", Holder: "one", Fence: l.Fence})
	wantCode(t, err, errcode.NotFound)
	if r, err := c.Renew(ctx, &apiv1.RenewLeaseRequest{Name: "job", Holder: "one", Fence: l.Fence, TtlMs: 2000}); err != nil || r.TtlMs != 2000 {
		t.Errorf("%v, %v", r, err)
	}
	if all, err := c.List(bob, &apiv1.ListLeasesRequest{Prefix: "j"}); err != nil || len(all.Leases) != 1 {
		t.Errorf("%v, %v", all, err)
	}
	if _, err := c.Release(ctx, &apiv1.ReleaseLeaseRequest{Name: "job", Holder: "one", Fence: l.Fence}); err != nil {
		t.Error(err)
	}
	_, err = c.Get(ctx, &apiv1.GetLeaseRequest{Name: "job"})
	wantCode(t, err, errcode.NotFound)
}

func TestListContextsPages(t *testing.T) {
	conn, _ := serve(t, rpctest.New(), rpc.Options{})
	c := apiv1.NewContextsClient(conn)
	ctx := t.Context()
	for _, name := range []string{"b", "a/2", "a/1", "a/3"} {
		if _, err := c.Set(ctx, &apiv1.SetContextRequest{Name: name, IfVersion: proto.Uint64(0)}); err != nil {
			t.Fatal(err)
		}
	}
	first, err := c.List(ctx, &apiv1.ListContextsRequest{Prefix: "a/", PageSize: 2})
	if err != nil || len(first.Records) != 2 || first.NextPageToken == "" {
		t.Fatalf("%v, %v", first, err)
	}
	if _, err := c.Set(ctx, &apiv1.SetContextRequest{Name: "c", IfVersion: proto.Uint64(0)}); err != nil {
		t.Fatal(err)
	}
	second, err := c.List(ctx, &apiv1.ListContextsRequest{Prefix: "a/", PageSize: 2, PageToken: first.NextPageToken})
	if err != nil || len(second.Records) != 1 || second.Records[0].Name != "a/3" || second.NextPageToken != "" {
		t.Fatalf("%v, %v", second, err)
	}
	if second.Revision != first.Revision {
		t.Errorf("revision %d on the second page, %d on the first", second.Revision, first.Revision)
	}
	_, err = c.List(ctx, &apiv1.ListContextsRequest{PageToken: "!"})
	wantCode(t, err, errcode.Invalid)
}

func TestWatchContexts(t *testing.T) {
	conn, s := serve(t, rpctest.New(), rpc.Options{WatchesMax: 1})
	c := apiv1.NewContextsClient(conn)
	ctx := t.Context()
	set := func(name string, version uint64) {
		t.Helper()
		if _, err := c.Set(ctx, &apiv1.SetContextRequest{Name: name, IfVersion: &version}); err != nil {
			t.Fatal(err)
		}
	}
	set("x", 0)
	set("prod", 0)
	watch, err := c.Watch(ctx, &apiv1.WatchContextsRequest{Prefix: "p", AfterRevision: 1})
	if err != nil {
		t.Fatal(err)
	}
	e, err := watch.Recv()
	if err != nil || e.Record.Name != "prod" || !e.Gap || e.Revision != 2 {
		t.Fatalf("%v, %v", e, err)
	}
	set("prod", 1)
	if e, err = watch.Recv(); err != nil || e.Record.Version != 2 || e.Gap {
		t.Fatalf("%v, %v", e, err)
	}
	second, err := c.Watch(ctx, &apiv1.WatchContextsRequest{})
	if err == nil {
		_, err = second.Recv()
	}
	wantCode(t, err, errcode.Busy)
	s.Drain()
	_, err = watch.Recv()
	wantCode(t, err, errcode.Closing)
}

func TestImports(t *testing.T) {
	conn, _ := serve(t, rpctest.New(), rpc.Options{})
	c := apiv1.NewImportsClient(conn)
	ctx := t.Context()
	rec := &apiv1.Import{
		Id: "7-abc", Table: "t", TableId: 7, FileHash: "abc", Mapping: "a→b", Chunking: "10000", Session: 5,
		ChunksDone: 3, RowsCounted: 29990, RowsRejected: 10, Complete: true,
	}
	if _, err := c.PutImport(ctx, &apiv1.PutImportRequest{Import: rec}); err != nil {
		t.Fatal(err)
	}
	got, err := c.GetImport(ctx, &apiv1.GetImportRequest{Id: "7-abc"})
	if err != nil {
		t.Fatal(err)
	}
	rec.Version = 1
	equalProto(t, got, rec)
	_, err = c.PutImport(ctx, &apiv1.PutImportRequest{Import: rec})
	wantCode(t, err, errcode.Conflict)
	_, err = c.GetImport(ctx, &apiv1.GetImportRequest{Id: "?"})
	wantCode(t, err, errcode.NotFound)
	_, err = c.PutImport(ctx, &apiv1.PutImportRequest{Import: &apiv1.Import{Id: "x", Mapping: strings.Repeat("x", 20_000)}})
	wantCode(t, err, errcode.Invalid)
	_, err = c.PutImport(ctx, &apiv1.PutImportRequest{})
	wantCode(t, err, errcode.Invalid)
}

func TestCluster(t *testing.T) {
	node := rpctest.New()
	conn, _ := serve(t, node, rpc.Options{})
	c := apiv1.NewClusterClient(conn)
	info, err := c.Info(t.Context(), &apiv1.ClusterInfoRequest{})
	if err != nil {
		t.Fatal(err)
	}
	next := uint32(0)
	for i, r := range info.ShardMap.Ranges {
		if r.First != next || r.Shard != uint32(i) {
			t.Errorf("range %d: %v", i, r)
		}
		next = r.Last + 1
	}
	if next != schema.Slots || len(info.ShardMap.Ranges) != 4 || info.MessageBytesMax != 4<<20 {
		t.Errorf("info %v", info)
	}
	node.NotReady = errors.New("shard 2 has no leader")
	got, err := c.Status(t.Context(), &apiv1.ClusterStatusRequest{})
	if err != nil || got.Ready || got.Reason != "shard 2 has no leader" || len(got.Groups) != 2 || got.Groups[0].DurableIndex != 5 {
		t.Errorf("%v, %v", got, err)
	}
}

func TestHealth(t *testing.T) {
	conn, s := serve(t, rpctest.New(), rpc.Options{})
	h := grpc_health_v1.NewHealthClient(conn)
	for _, serving := range []bool{true, false} {
		s.SetServing(serving)
		got, err := h.Check(t.Context(), &grpc_health_v1.HealthCheckRequest{})
		if err != nil || (got.Status == grpc_health_v1.HealthCheckResponse_SERVING) != serving {
			t.Errorf("%v, %v", got, err)
		}
	}
}

// TestEveryErrorOfTheBackendIsKept sends each row of the table through a service.
func TestEveryErrorOfTheBackendIsKept(t *testing.T) {
	node := rpctest.New()
	conn, _ := serve(t, node, rpc.Options{})
	for _, row := range errcode.Table {
		node.OnWrite = func(context.Context, *router.Batch) (*router.Result, error) {
			return nil, errcode.New(row.Code, "because").WithHint("try").Add("f", "v")
		}
		_, err := apiv1.NewWriteClient(conn).Write(t.Context(), &apiv1.WriteRequest{Batch: batch("t")})
		if e := wantCode(t, err, row.Code); e.Hint != "try" || len(e.Violations) != 1 {
			t.Errorf("%s: %+v", row.Code, e)
		}
	}
}

func TestLimits(t *testing.T) {
	node := rpctest.New()
	reg := prometheus.NewRegistry()
	conn, _ := serve(t, node, rpc.Options{MessageBytesMax: 64 << 10, Metrics: reg})
	ctx := t.Context()
	big := batch("t")
	big.Columns[0].Values = make([]byte, 100<<10)
	_, err := apiv1.NewWriteClient(conn).Write(ctx, &apiv1.WriteRequest{Batch: big})
	wantCode(t, err, errcode.TooLarge)

	keyed := metadata.AppendToOutgoingContext(ctx, rpc.MetaIdempotencyKey, "k")
	_, err = apiv1.NewSessionsClient(conn).Open(keyed, &apiv1.OpenSessionRequest{})
	wantCode(t, err, errcode.NotSupported)

	_, err = apiv1.NewQueryClient(conn).Execute(ctx, &apiv1.QueryRequest{Sql: "panic"})
	wantCode(t, err, errcode.Internal)

	families, err := reg.Gather()
	if err != nil || len(families) == 0 {
		t.Errorf("metrics: %v", err)
	}
}

func TestWriteWaitsForRoomAndGivesUp(t *testing.T) {
	node := rpctest.New()
	entered, leave := make(chan struct{}), make(chan struct{})
	node.OnWrite = func(context.Context, *router.Batch) (*router.Result, error) {
		entered <- struct{}{}
		<-leave
		return &router.Result{}, nil
	}
	big := batch("t")
	big.Columns[0].Values = make([]byte, 3000)
	big.Columns[0].Lengths = []uint32{1000, 1000, 1000}
	req := &apiv1.WriteRequest{Batch: big}
	conn, _ := serve(t, node, rpc.Options{MessageBytesMax: 4096, InFlightBytes: 4096})
	c := apiv1.NewWriteClient(conn)
	done := make(chan error)
	go func() {
		_, err := c.Write(context.Background(), req)
		done <- err
	}()
	<-entered
	ctx, cancel := context.WithTimeout(t.Context(), 1)
	defer cancel()
	if _, err := c.Write(ctx, req); err == nil {
		t.Error("a second write found room")
	}
	close(leave)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestStreamEndsWithItsClient(t *testing.T) {
	conn, _ := serve(t, rpctest.New(), rpc.Options{})
	createTable(t, conn)
	stream, err := apiv1.NewWriteClient(conn).WriteStream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&apiv1.WriteRequest{Id: 1, Batch: batch("t")}); err != nil {
		t.Fatal(err)
	}
	if resp, err := stream.Recv(); err != nil || resp.Receipt == nil {
		t.Fatalf("%v, %v", resp, err)
	}
	if err := stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
		t.Errorf("%v, want EOF", err)
	}
}
