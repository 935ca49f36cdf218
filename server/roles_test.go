package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"

	apiv1 "github.com/quipudb/quipu/proto/api/v1"
	"github.com/quipudb/quipu/query"
	"github.com/quipudb/quipu/server/access"
	"github.com/quipudb/quipu/server/errcode"
	"github.com/quipudb/quipu/server/rpc"
	"github.com/quipudb/quipu/storage/schema"
)

// guild is a node with a table t and roles: root, one with each single privilege, one with none, and somebody without credentials.
type guild struct {
	*Service
	t      *testing.T
	sql    string // address of the PostgreSQL wire
	conn   *grpc.ClientConn
	tokens map[string]string // by role
}

const anybody = "" // sends no credentials

func newGuild(t *testing.T) *guild {
	t.Helper()
	s, err := Serve(t.Context(), Config{DataDir: t.TempDir(), Shards: 1, CellMemory: 64 << 20, DiskFree: -1}, "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	g := &guild{Service: s, t: t, tokens: map[string]string{}}
	addr, err := s.ServePostgres("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g.sql = addr.String()
	if g.conn, err = grpc.NewClient(s.Addr.String(), grpc.WithTransportCredentials(insecure.NewCredentials())); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { g.conn.Close() })
	if err := s.Node.FirstRole(t.Context(), "root", password("root")); err != nil {
		t.Fatal(err)
	}
	for _, name := range g.roles() {
		if name == anybody {
			continue
		}
		if name != "root" {
			yes, pass := true, password(name)
			if err := s.Node.CreateRole(t.Context(), "root", name, query.RoleChange{Login: &yes, Password: &pass}); err != nil {
				t.Fatal(err)
			}
		}
		if g.tokens[name], err = s.Node.CreateToken(t.Context(), "root", name, "test", time.Time{}); err != nil {
			t.Fatal(err)
		}
	}
	g.settle()
	return g
}

func password(role string) string { return "the password of " + role }

// holders are the roles with one privilege each.
func holders() map[string]schema.Privilege {
	all := map[string]schema.Privilege{}
	for _, name := range (schema.TablePrivileges | schema.SystemPrivileges).Names() {
		p, _ := schema.PrivilegeByName(name)
		all["may_"+strings.ToLower(name)] = p
	}
	return all
}

func (g *guild) roles() []string {
	return append([]string{anybody, "nothing", "root"}, slices.Sorted(maps.Keys(holders()))...)
}

// settle makes the table, the records and the grants again that a call has taken away.
func (g *guild) settle() {
	g.t.Helper()
	n, ctx := g.Node, g.t.Context()
	name := schema.Name{Table: "t"}
	for _, other := range []string{"made"} {
		if err := n.DropTable(ctx, "root", schema.Name{Table: other}, true); err != nil {
			g.t.Fatal(err)
		}
	}
	table, err := n.CreateTable(ctx, "root", &schema.Table{Name: name, Dims: []schema.Dimension{{Name: "x", Type: schema.Text, Default: schema.Null}}}, true)
	if err != nil {
		g.t.Fatal(err)
	}
	for role, p := range holders() {
		grant := query.Grant{Privileges: p, Roles: []string{role}}
		if schema.TablePrivileges.Has(p) {
			grant.Tables = []schema.TableID{table.ID}
		}
		held, _ := n.machine.View().Privileges(role, append(grant.Tables, 0)[0])
		if held.Has(p) {
			continue
		}
		if err := n.Grant(ctx, "root", grant); err != nil {
			g.t.Fatal(err)
		}
	}
	if rec, ok := n.machine.View().Context("web"); !ok || rec.Deleted {
		if _, err := n.SetContext(ctx, rpc.ContextChange{Name: "web", Values: map[string]string{"version": "1"}, By: "root"}); err != nil {
			g.t.Fatal(err)
		}
	}
	if _, err := n.Import(ctx, "i1"); err != nil {
		if _, err := n.PutImport(ctx, "root", importOf(table), 0); err != nil {
			g.t.Fatal(err)
		}
	}
}

// allowed is what a rule lets a role do.
func allowed(rule access.Rule, role string) bool {
	switch rule.Kind {
	case access.Free:
		return true
	case access.Known, access.Statement, access.Calls:
		return role != anybody
	case access.System, access.Table:
		return role == "root" || role != anybody && holders()[role].Has(rule.Privilege)
	case access.Superuser:
		return role == "root"
	}
	return false
}

// denied says that err is about who calls, and not about what is asked.
func denied(err error) bool {
	switch status.Code(err) {
	case codes.Unauthenticated, codes.PermissionDenied:
		return true
	}
	return false
}

func (g *guild) as(ctx context.Context, role string) context.Context {
	if role == anybody {
		return ctx
	}
	return metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+g.tokens[role])
}

// TestMatrixOfRPCs calls every method of the server as every role, over the wire. The methods are the server's own list.
func TestMatrixOfRPCs(t *testing.T) {
	g := newGuild(t)
	calls := 0
	for service, info := range g.rpc.GRPC().GetServiceInfo() {
		d, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(service))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range info.Methods {
			method := "/" + service + "/" + m.Name
			rule, ruled := access.RPC[method]
			if !ruled || rule.Kind == access.Unruled || rule.Kind == access.Calls {
				t.Errorf("%s has no rule in access.RPC", method)
				continue
			}
			for _, role := range g.roles() {
				err := g.invoke(role, method, d.(protoreflect.ServiceDescriptor).Methods().ByName(protoreflect.Name(m.Name)))
				if got, want := !denied(err), allowed(rule, role); got != want {
					t.Errorf("%s as %q: allowed %v, want %v (%v)", method, role, got, want, err)
				}
				calls++
				g.settle()
			}
		}
	}
	for method := range access.RPC {
		service, name, _ := strings.Cut(method[1:], "/")
		info, ok := g.rpc.GRPC().GetServiceInfo()[service]
		if !ok || !slices.ContainsFunc(info.Methods, func(m grpc.MethodInfo) bool { return m.Name == name }) {
			t.Errorf("access.RPC has a rule for %s, which the server does not have", method)
		}
	}
	if calls < 300 {
		t.Errorf("only %d calls", calls)
	}
}

// invoke calls a method with a request about the table t.
func (g *guild) invoke(role, method string, d protoreflect.MethodDescriptor) error {
	ctx, cancel := context.WithTimeout(g.as(g.t.Context(), role), 10*time.Second)
	defer cancel()
	request, answer := dynamicpb.NewMessage(d.Input()), dynamicpb.NewMessage(d.Output())
	g.fill(request)
	if !d.IsStreamingClient() && !d.IsStreamingServer() {
		return g.conn.Invoke(ctx, method, request, answer)
	}
	stream, err := g.conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, method)
	if err != nil {
		return err
	}
	if err := stream.SendMsg(request); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if err := stream.CloseSend(); err != nil {
		return err
	}
	if err := stream.RecvMsg(answer); err != nil {
		return err
	}
	// A request of a write stream fails without the stream.
	if e := answer.Descriptor().Fields().ByName("error"); e != nil && answer.Has(e) {
		text := fmt.Sprint(answer.Get(e))
		if strings.Contains(text, "PERMISSION_DENIED") {
			return status.Error(codes.PermissionDenied, text)
		}
	}
	return nil
}

// A row of its own in a write stream takes a shorter way than a batch, and is asked for the same right.
func TestSingleRowsAreForWhoMayInsert(t *testing.T) {
	g := newGuild(t)
	for role, want := range map[string]bool{"nothing": false, "may_select": false, "may_insert": true, "root": true} {
		ctx := g.as(t.Context(), role)
		session, err := apiv1.NewSessionsClient(g.conn).Open(ctx, &apiv1.OpenSessionRequest{})
		if err != nil {
			t.Fatal(err)
		}
		stream, err := apiv1.NewWriteClient(g.conn).WriteStream(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for seq := uint64(1); seq <= 2; seq++ {
			one := func(seq uint64) *apiv1.WriteRequest {
				return &apiv1.WriteRequest{Id: seq, Stamp: &apiv1.Stamp{Session: session.Session, Seq: seq},
					Batch: &apiv1.Batch{Table: "t", Rows: 1, Columns: []*apiv1.Column{{Name: "x", Values: []byte("a"), Lengths: []uint32{1}, Codes: []byte{1}}}}}
			}
			request := one(2*seq - 1)
			request.More = []*apiv1.WriteRequest{one(2 * seq)}
			if err := stream.Send(request); err != nil {
				t.Fatal(err)
			}
			for answers := 0; answers < 2; {
				answer, err := stream.Recv()
				if err != nil {
					t.Fatal(err)
				}
				for _, a := range append([]*apiv1.WriteResponse{answer}, answer.More...) {
					answers++
					if got := a.Error == nil && len(a.Refused) == 0; got != want {
						t.Errorf("%s: counted %v, want %v (%v)", role, got, want, a)
					}
				}
			}
		}
		if err := stream.CloseSend(); err != nil {
			t.Error(err)
		}
	}
}

// fill gives the fields that say which table is meant, and a statement that everybody may run.
func (g *guild) fill(m protoreflect.Message) {
	table, _ := g.Node.machine.View().TableByName(schema.Name{Database: "quipu", Schema: "public", Table: "t"})
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		switch f := fields.Get(i); {
		case f.IsList() || f.IsMap():
		case f.Kind() == protoreflect.MessageKind && (f.Name() == "batch" || f.Name() == "import" || f.Name() == "query"):
			g.fill(m.Mutable(f).Message())
		case f.Name() == "table" && f.Kind() == protoreflect.StringKind:
			m.Set(f, protoreflect.ValueOfString("t"))
		case f.Name() == "table_id":
			m.Set(f, protoreflect.ValueOfUint64(uint64(table.ID)))
		case f.Name() == "sql":
			m.Set(f, protoreflect.ValueOfString("SHOW timezone"))
		case f.Name() == "id" && f.Kind() == protoreflect.StringKind:
			m.Set(f, protoreflect.ValueOfString("i1"))
		case f.Name() == "name" && f.Kind() == protoreflect.StringKind:
			m.Set(f, protoreflect.ValueOfString("web"))
		}
	}
}

// statements is one of each kind.
var statements = map[string]string{
	"Query":       "SELECT count(*) FROM t",
	"Explain":     "EXPLAIN SELECT x FROM t",
	"Insert":      "INSERT INTO t (x) VALUES ('a')",
	"Delete":      "DELETE FROM t",
	"Copy":        "COPY t TO STDOUT",
	"CopyFrom":    "COPY t FROM STDIN",
	"CreateTable": "CREATE TABLE made (x text)",
	"AlterTable":  "ALTER TABLE t RESET (retention)",
	"DropTable":   "DROP TABLE IF EXISTS t",
	"Truncate":    "TRUNCATE t",
	"CreateRole":  "CREATE ROLE IF NOT EXISTS made",
	"AlterRole":   "ALTER ROLE current_user RESET ALL",
	"DropRole":    "DROP ROLE IF EXISTS made",
	"Grant":       "GRANT SELECT ON ALL TABLES IN SCHEMA nothing TO root",
	"CreateToken": "CREATE TOKEN made FOR ROLE nothing VALID FOR '1 hour'",
	"DropToken":   "DROP TOKEN IF EXISTS made FOR ROLE nothing",
	"Set":         "SET application_name = 'x'",
	"Show":        "SHOW timezone",
	"Reset":       "RESET application_name",
	"Discard":     "DISCARD ALL",
	"Prepare":     "PREPARE made AS SELECT 1",
	"Execute":     "EXECUTE made",
	"Deallocate":  "DEALLOCATE ALL",
	"Close":       "CLOSE ALL",
	"Declare":     "DECLARE c CURSOR FOR SELECT 1",
	"Fetch":       "FETCH c",
	"Transaction": "BEGIN",
	"Unlisten":    "UNLISTEN *",

	"SetTransaction": "SET TRANSACTION READ ONLY",
}

// TestMatrixOfStatements runs a statement of every kind as every role, over gRPC with a token and over the PostgreSQL wire with a password.
func TestMatrixOfStatements(t *testing.T) {
	g := newGuild(t)
	wires := map[string]*pgconn.PgConn{}
	for _, role := range g.roles() {
		if role == anybody {
			continue
		}
		c, err := pgconn.Connect(t.Context(), g.dsn(role, password(role)))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close(context.Background())
		wires[role] = c
	}
	for verb, rule := range access.SQL {
		text := statements[verb]
		parsed, err := query.Parse(text)
		if err != nil || len(parsed) != 1 || access.Verb(parsed[0].Tree) != verb {
			t.Fatalf("the example of %s is %q: %v", verb, text, err)
		}
		for _, role := range g.roles() {
			want := allowed(rule, role)
			if err := g.statement(role, text); !denied(err) != want {
				t.Errorf("%s as %q over gRPC: want allowed %v, got %v", text, role, want, err)
			}
			g.settle()
			if role == anybody {
				continue
			}
			var refused *pgconn.PgError
			err := g.simple(wires[role], text)
			if no := errors.As(err, &refused) && (refused.Code == "42501" || refused.Code == "28000"); no == want {
				t.Errorf("%s as %q over the wire: want allowed %v, got %v", text, role, want, err)
			}
			g.settle()
		}
	}
}

// TestMatrixOfRelations reads every relation of schema quipu as every role. The relations are the catalog's own list.
func TestMatrixOfRelations(t *testing.T) {
	g := newGuild(t)
	stream, err := apiv1.NewQueryClient(g.conn).Execute(g.as(t.Context(), "root"), &apiv1.QueryRequest{
		Sql: "SELECT c.relname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = 'quipu'"})
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, row := range stream.Rows {
		names["quipu."+row.Values[0].GetStringValue()] = true
	}
	if len(names) < 10 {
		t.Fatalf("the catalog lists %v", names)
	}
	for name := range access.Relations {
		if !names[name] {
			t.Errorf("access.Relations has a rule for %s, which the catalog does not list", name)
		}
	}
	for name := range names {
		rule := access.Relations[name]
		if rule.Kind == access.Unruled {
			t.Errorf("%s has no rule in access.Relations", name)
		}
		for _, role := range g.roles() {
			for _, text := range []string{"SELECT * FROM " + name, "SELECT (SELECT count(*) FROM " + name + ")", "WITH w AS (SELECT 1 FROM " + name + ") SELECT * FROM w"} {
				if err := g.statement(role, text); !denied(err) != allowed(rule, role) {
					t.Errorf("%s as %q: want allowed %v, got %v", text, role, allowed(rule, role), err)
				}
			}
		}
	}
}

func (g *guild) dsn(role, password string) string {
	return fmt.Sprintf("postgres://%s:%s@%s/quipu?sslmode=disable", role, strings.ReplaceAll(password, " ", "%20"), g.sql)
}

func (g *guild) simple(c *pgconn.PgConn, text string) error {
	ctx, cancel := context.WithTimeout(g.t.Context(), 10*time.Second)
	defer cancel()
	var err error
	switch {
	case strings.Contains(text, "TO STDOUT"):
		_, err = c.CopyTo(ctx, io.Discard, text)
	case strings.Contains(text, "FROM STDIN"):
		_, err = c.CopyFrom(ctx, strings.NewReader("a\n"), text)
	default:
		_, err = c.Exec(ctx, text).ReadAll()
	}
	if text == "BEGIN" || err != nil {
		_, end := c.Exec(ctx, "ROLLBACK").ReadAll()
		err = errors.Join(err, end)
	}
	return err
}

func (g *guild) statement(role, text string) error {
	ctx, cancel := context.WithTimeout(g.as(g.t.Context(), role), 10*time.Second)
	defer cancel()
	q := apiv1.NewQueryClient(g.conn)
	switch {
	case strings.Contains(text, "TO STDOUT"):
		stream, err := q.CopyOut(ctx, &apiv1.QueryRequest{Sql: text})
		for err == nil {
			_, err = stream.Recv()
		}
		if errors.Is(err, io.EOF) {
			err = nil
		}
		return err
	case strings.Contains(text, "FROM STDIN"):
		stream, err := q.CopyIn(ctx)
		if err != nil {
			return err
		}
		if err := stream.Send(&apiv1.CopyInRequest{Query: &apiv1.QueryRequest{Sql: text}, Data: []byte("a\n")}); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		_, err = stream.CloseAndRecv()
		return err
	}
	_, err := q.Execute(ctx, &apiv1.QueryRequest{Sql: text})
	return err
}

// The system catalogs show the roles that there are.
func TestCatalogShowsRoles(t *testing.T) {
	g := newGuild(t)
	c, err := pgconn.Connect(t.Context(), g.dsn("nothing", password("nothing")))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(t.Context())
	r := c.ExecParams(t.Context(), "SELECT rolname, rolsuper FROM pg_roles WHERE rolname IN ('root', 'nothing', 'nobody') ORDER BY rolname", nil, nil, nil, nil).Read()
	if r.Err != nil {
		t.Fatal(r.Err)
	}
	if got, want := fmt.Sprintf("%s", r.Rows), "[[nothing f] [root t]]"; got != want {
		t.Errorf("roles %s, want %s", got, want)
	}
}

// TestMatrixOfRoutes requests every route of the HTTP server as every role: those of access.HTTP, which gateway's own test compares with
// its list, and those of the annotations in the protos.
func TestMatrixOfRoutes(t *testing.T) {
	g := newGuild(t)
	requests := 0
	request := func(method, path, body string, rule access.Rule) {
		for _, role := range g.roles() {
			code := g.http(role, method, path, body)
			if got, want := code != http.StatusUnauthorized && code != http.StatusForbidden, allowed(rule, role); got != want {
				t.Errorf("%s %s as %q: HTTP %d, want allowed %v", method, path, role, code, want)
			}
			requests++
			g.settle()
		}
	}
	for pattern, rule := range access.HTTP {
		method, path, _ := strings.Cut(pattern, " ")
		if path == "" {
			method, path = "GET", pattern
		}
		switch path {
		case "/{$}":
			path = "/"
		case "/":
			path = "/nothing"
		case "/v1/query":
			path = "/v1/query?sql=SHOW+timezone"
		case "/v1/copy":
			continue // the statements of COPY are those of the other matrix
		case "/v1/":
			continue // the annotations below
		}
		request(method, path, "", rule)
	}
	for method, rule := range access.RPC {
		d, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(strings.ReplaceAll(method[1:], "/", ".")))
		if err != nil {
			t.Fatal(err)
		}
		a, ok := proto.GetExtension(d.Options(), annotations.E_Http).(*annotations.HttpRule)
		if !ok || a == nil {
			continue
		}
		for _, a := range append([]*annotations.HttpRule{a}, a.AdditionalBindings...) {
			verb, path := bound(a)
			path = strings.NewReplacer("{table}", "t", "{id}", "i1", "{import.id}", "i1", "{name}", "web", "{session}", "1", "{node}", "n9", "{table.table}", "t").Replace(path)
			body := ""
			if a.Body != "" {
				body = "{}"
			}
			if method == apiv1.Imports_PutImport_FullMethodName {
				table, _ := g.Node.machine.View().TableByName(schema.Name{Database: "quipu", Schema: "public", Table: "t"})
				body = fmt.Sprintf(`{"import":{"id":"i1","tableId":"%d"}}`, table.ID)
				if a.Body == "import" {
					body = fmt.Sprintf(`{"id":"i1","tableId":"%d"}`, table.ID)
				}
			}
			if rule.Kind == access.Statement {
				body = `{"sql":"SHOW timezone"}`
			}
			if strings.Contains(path, "{") {
				t.Fatalf("%s has a variable that the test does not know", path)
			}
			request(verb, path, body, rule)
		}
	}
	if requests < 200 {
		t.Errorf("only %d requests", requests)
	}
}

func bound(a *annotations.HttpRule) (verb, path string) {
	switch p := a.Pattern.(type) {
	case *annotations.HttpRule_Get:
		return "GET", p.Get
	case *annotations.HttpRule_Post:
		return "POST", p.Post
	case *annotations.HttpRule_Put:
		return "PUT", p.Put
	case *annotations.HttpRule_Patch:
		return "PATCH", p.Patch
	case *annotations.HttpRule_Delete:
		return "DELETE", p.Delete
	}
	return "", ""
}

// http gives the status of a request; a stream of events is left after its header.
func (g *guild) http(role, method, path, body string) int {
	ctx, cancel := context.WithTimeout(g.t.Context(), 10*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, "http://"+g.Addr.String()+path, strings.NewReader(body))
	if err != nil {
		g.t.Fatal(err)
	}
	if role != anybody {
		r.Header.Set("Authorization", "Bearer "+g.tokens[role])
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		g.t.Fatal(err)
	}
	resp.Body.Close()
	return resp.StatusCode
}

// TestFirstRoleOverTheAPI: who makes the first role reads that it was made, and from then on has to prove who it is.
func TestFirstRoleOverTheAPI(t *testing.T) {
	s, err := Serve(t.Context(), Config{DataDir: t.TempDir(), Shards: 1, CellMemory: 64 << 20, DiskFree: -1}, "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	conn, err := grpc.NewClient(s.Addr.String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ask := func(text string) (*apiv1.QueryChunk, error) {
		stream, err := apiv1.NewQueryClient(conn).Query(t.Context(), &apiv1.QueryRequest{Sql: text})
		if err != nil {
			return nil, err
		}
		return stream.Recv()
	}
	if chunk, err := ask("CREATE ROLE root SUPERUSER LOGIN PASSWORD 'knots'"); err != nil || chunk.End.GetTag() != "CREATE ROLE" {
		t.Errorf("%v, %v", chunk, err)
	}
	if _, err := ask("SHOW timezone"); status.Code(err) != codes.Unauthenticated {
		t.Errorf("without a password: %v", err)
	}
}

// TestPasswordsStayOutOfFilesAndLogs makes roles and tokens in every way there is and looks for the secrets in all that the node wrote.
func TestPasswordsStayOutOfFilesAndLogs(t *testing.T) {
	dir, logs := t.TempDir(), &bytes.Buffer{}
	s, err := Serve(t.Context(), Config{DataDir: dir, Shards: 1, CellMemory: 64 << 20, DiskFree: -1, Logger: debugLog(logs)}, "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr, err := s.ServePostgres("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	const first, second, third = "first-s3cret-of-root", "second-s3cret-of-ann", "third-s3cret-of-ann"
	c, err := pgconn.Connect(t.Context(), "postgres://anyone@"+addr.String()+"/quipu?sslmode=disable")
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"CREATE ROLE root SUPERUSER LOGIN PASSWORD '" + first + "'", "SHOW timezone"} {
		_, err = c.Exec(t.Context(), text).ReadAll()
	}
	var refused *pgconn.PgError
	if !errors.As(err, &refused) || refused.Code != "28000" {
		t.Errorf("a connection from before the first role goes on: %v", err)
	}
	c.Close(t.Context())
	if c, err = pgconn.Connect(t.Context(), "postgres://root:"+first+"@"+addr.String()+"/quipu?sslmode=disable"); err != nil {
		t.Fatal(err)
	}
	token := ""
	for _, text := range []string{
		"CREATE USER ann PASSWORD '" + second + "'", "ALTER ROLE ann PASSWORD '" + third + "'", "ALTER ROLE nobody PASSWORD '" + third + "'",
		"CREATE TOKEN ci FOR ROLE ann", "ALTER ROLE ann PASSWORD '" + third,
	} {
		res, _ := c.Exec(t.Context(), text).ReadAll()
		if len(res) > 0 && len(res[0].Rows) > 0 {
			token = string(res[0].Rows[0][2])
		}
	}
	if len(token) < 40 {
		t.Errorf("the token is %q", token)
	}
	c.Close(t.Context())
	if _, err := pgconn.Connect(t.Context(), "postgres://ann:"+second+"@"+addr.String()+"/quipu?sslmode=disable"); !errors.As(err, &refused) || refused.Code != "28P01" {
		t.Errorf("the old password: %v", err)
	}
	c, err = pgconn.Connect(t.Context(), "postgres://ann:"+third+"@"+addr.String()+"/quipu?sslmode=disable")
	if err != nil {
		t.Fatal(err)
	}
	// A verifier that the client has made, as psql's \password does it; this one is of the password of RFC 7677 §3.
	const verifier = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
	if _, err := c.Exec(t.Context(), "SHOW password_encryption; ALTER USER ann PASSWORD '"+verifier+"'").ReadAll(); err != nil {
		t.Fatal(err)
	}
	c.Close(t.Context())
	if c, err = pgconn.Connect(t.Context(), "postgres://ann:pencil@"+addr.String()+"/quipu?sslmode=disable"); err != nil {
		t.Fatal(err)
	}
	c.Close(t.Context())
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	files := 0
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		files++
		for _, secret := range []string{first, second, third, token} {
			if bytes.Contains(data, []byte(secret)) {
				t.Errorf("%s holds %s", path, secret)
			}
		}
		return err
	})
	if err != nil || files < 5 {
		t.Errorf("%d files, %v", files, err)
	}
	for _, secret := range []string{first, second, third, token, "s3cret"} {
		if strings.Contains(logs.String(), secret) {
			t.Errorf("the log holds %s", secret)
		}
	}
}

func debugLog(w io.Writer) *slog.Logger {
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

func importOf(t *schema.Table) rpc.Import {
	return rpc.Import{ID: "i1", Table: t.Name.Table, TableID: t.ID}
}

// TestNodeThatMissedTheFirstRole holds that a node which comes back alone, with metadata from before the first role, lets nobody in until it has heard
// from the others.
func TestNodeThatMissedTheFirstRole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, "a", "b", "c")
		defer c.stopAll()
		c.waitVoters("a", "b", "c")
		for name, n := range c.nodes {
			c.wait(name+" has heard", n.heard)
			if !n.access.Open() {
				t.Errorf("%s without roles is closed", name)
			}
		}
		c.stop("c")
		if err := c.nodes["a"].FirstRole(t.Context(), "ada", "a password of some length"); err != nil {
			t.Fatal(err)
		}
		c.net.Isolate("c")
		n := c.start("c")
		if n.access.Closed() {
			t.Fatal("the node knows of the role: the test proves nothing")
		}
		knock := func() error {
			_, err := n.access.Authenticate(t.Context(), access.Credentials{})
			return err
		}
		if e := errcode.From(knock()); e == nil || e.Code != errcode.Unavailable || !e.Retryable() {
			t.Errorf("before it has heard: %v", e)
		}
		if _, _, err := n.access.Login("ada", false); errcode.From(err) == nil || n.access.Open() {
			t.Errorf("a login before it has heard: %v", err)
		}
		c.net.Heal("c")
		c.wait("c has heard", n.heard)
		if e := errcode.From(knock()); e == nil || e.Code != errcode.Unauthenticated {
			t.Errorf("afterwards: %v", e)
		}
	})
}
