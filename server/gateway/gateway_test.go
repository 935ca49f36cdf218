package gateway_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/quipudb/quipu/server/errcode"
	"github.com/quipudb/quipu/server/gateway"
	"github.com/quipudb/quipu/server/router"
	"github.com/quipudb/quipu/server/rpc"
	"github.com/quipudb/quipu/server/rpc/rpctest"
	"github.com/quipudb/quipu/storage/schema"
)

// port is a whole edge on a loopback port over a node in memory.
type port struct {
	*testing.T
	node *rpctest.Node
	rpc  *rpc.Server
	gw   *gateway.Gateway
	edge *gateway.Edge
	url  string
}

func open(t *testing.T, opts gateway.Options) *port {
	t.Helper()
	p := &port{T: t, node: rpctest.New()}
	reg := prometheus.NewRegistry()
	p.rpc = rpc.New(p.node, rpctest.Queries{}, rpc.Options{Metrics: reg})
	opts.GRPC, opts.Ready, opts.Metrics, opts.Version = p.rpc.GRPC(), p.node.Ready, reg, "test"
	var err error
	if p.gw, err = gateway.New(opts); err != nil {
		t.Fatal(err)
	}
	p.edge = gateway.NewEdge(p.rpc.GRPC(), p.gw, nil, nil)
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- p.edge.Serve(lis) }()
	p.url = "http://" + lis.Addr().String()
	t.Cleanup(func() {
		p.rpc.Drain()
		p.gw.Close()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := p.edge.Shutdown(ctx); err != nil {
			t.Error("shutdown:", err)
		}
		if err := <-served; err != nil {
			t.Error("serve:", err)
		}
	})
	return p
}

// answer is a response whose body has been read.
type answer struct {
	*http.Response
	body string
}

// do sends a request; headers are pairs of name and value.
func (p *port) do(method, path, body string, headers ...string) answer {
	p.Helper()
	req, err := http.NewRequestWithContext(p.Context(), method, p.url+path, strings.NewReader(body))
	if err != nil {
		p.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		if headers[i] == "Host" {
			req.Host = headers[i+1]
			continue
		}
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		p.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		p.Fatal(err)
	}
	return answer{resp, string(data)}
}

// want fails the test unless the answer has the status and holds the texts.
func (p *port) want(a answer, status int, texts ...string) {
	p.Helper()
	if a.StatusCode != status {
		p.Fatalf("%s %s: status %d, want %d: %s", a.Request.Method, a.Request.URL, a.StatusCode, status, a.body)
	}
	for _, text := range texts {
		if !strings.Contains(strings.ReplaceAll(a.body, " ", ""), strings.ReplaceAll(text, " ", "")) {
			p.Errorf("%s %s: body lacks %s:\n%s", a.Request.Method, a.Request.URL, text, a.body)
		}
	}
}

// problem fails the test unless the answer is that error as problem+json.
func (p *port) problem(a answer, code errcode.Code) errcode.Problem {
	p.Helper()
	var got errcode.Problem
	if err := json.Unmarshal([]byte(a.body), &got); err != nil {
		p.Fatalf("%d %s: %v", a.StatusCode, a.body, err)
	}
	if a.Header.Get("Content-Type") != "application/problem+json" || a.StatusCode != errcode.Of(code).HTTP || got.Reason != code || got.Detail == "" {
		p.Fatalf("%s %s: %d %s, want %s", a.Request.Method, a.Request.URL, a.StatusCode, a.body, code)
	}
	return got
}

const tableJSON = `{"table":{"table":"t","dimensions":[{"name":"dept"},{"name":"gender","defaultValue":"?"}]}}`

func TestJSON(t *testing.T) {
	p := open(t, gateway.Options{})
	p.want(p.do("POST", "/v1/tables", tableJSON), 200, `"table":"t"`, `"measures":1`)
	p.problem(p.do("POST", "/v1/tables", tableJSON), errcode.Exists)
	p.want(p.do("GET", "/v1/tables", ""), 200, `"tables":[{`)
	p.want(p.do("GET", "/v1/tables/t", ""), 200, `"partitionBy":{"dimensions":["dept","gender"]}`)
	p.problem(p.do("GET", "/v1/tables/x", ""), errcode.UnknownTable)
	p.want(p.do("PATCH", "/v1/tables/t", `{"maxFutureSec":"60"}`), 200, `"maxFutureSec":"60"`)
	p.want(p.do("POST", "/v1/tables/t:truncate", `{}`), 200, `"version":"2"`)
	p.want(p.do("POST", "/v1/tables/t:increment", `{"rows":[{"values":{"dept":"A"}},{"values":{"dept":null},"count":"4"}]}`),
		200, `"receipt"`, `"clusterId":"c1"`)
	if p.node.Rows() != 5 {
		t.Errorf("%d observations counted, want 5", p.node.Rows())
	}
	session := p.do("POST", "/v1/sessions", `{}`)
	p.want(session, 200, `"ttlMs":"600000"`)
	var s struct{ Session string }
	if err := json.Unmarshal([]byte(session.body), &s); err != nil {
		t.Fatal(err)
	}
	p.want(p.do("POST", "/v1/sessions:keepAlive", `{"sessions":["`+s.Session+`"]}`), 200)
	p.want(p.do("DELETE", "/v1/sessions/"+s.Session, ""), 200)
	p.problem(p.do("DELETE", "/v1/sessions/"+s.Session, ""), errcode.SessionExpired)
	p.want(p.do("PUT", "/v1/imports/f1", `{"import":{"table":"t","fileHash":"abc"}}`), 200, `"version":"1"`)
	p.want(p.do("GET", "/v1/imports/f1", ""), 200, `"fileHash":"abc"`)
	p.want(p.do("GET", "/v1/cluster", ""), 200, `"ranges":[{"first":0`)
	p.want(p.do("GET", "/v1/cluster/status", ""), 200, `"group":"shard/0"`)
	p.want(p.do("DELETE", "/v1/tables/t", ""), 200)
	if a := p.do("GET", "/v1/tables", ""); a.Header.Get("Quipu-Version") != "test" || !strings.HasSuffix(a.body, "\n") {
		t.Errorf("headers %v, body %q", a.Header, a.body)
	}
}

func TestContextsOverHTTP(t *testing.T) {
	p := open(t, gateway.Options{})
	p.problem(p.do("PUT", "/v1/contexts/prod", `{"values":{"a":"1"}}`), errcode.PreconditionRequired)
	a := p.do("PUT", "/v1/contexts/prod", `{"values":{"a":"1"}}`, "If-Match", `"v0"`, "Quipu-Principal", "ann")
	p.want(a, 200, `"version":"1"`, `"modifiedBy":"ann"`)
	if a.Header.Get("ETag") != `"v1"` {
		t.Errorf("ETag %q", a.Header.Get("ETag"))
	}
	p.problem(p.do("PUT", "/v1/contexts/prod", `{}`, "If-Match", `"v0"`), errcode.Conflict)
	p.want(p.do("PUT", "/v1/contexts/prod", `{"ifVersion":"1","values":{"a":"2"}}`), 200)
	p.want(p.do("PUT", "/v1/contexts/eu%2Fprod", `{"ifVersion":"0"}`), 200, `"name":"eu/prod"`)
	p.want(p.do("GET", "/v1/contexts/eu%2Fprod", ""), 200, `"name":"eu/prod"`)
	p.want(p.do("GET", "/v1/contexts?prefix=pr", ""), 200, `"a":"2"`)
	p.want(p.do("GET", "/v1/contexts/prod/history", ""), 200, `"version":"2"`, `"version":"1"`)
	p.want(p.do("DELETE", "/v1/contexts/prod", "", "If-Match", `"v2"`), 200, `"deleted":true`)
	p.problem(p.do("GET", "/v1/contexts/prod", ""), errcode.NotFound)
}

func TestIdempotencyKeyHeader(t *testing.T) {
	p := open(t, gateway.Options{})
	p.want(p.do("POST", "/v1/tables", tableJSON), 200)
	p.node.OnWrite = func(_ context.Context, b *router.Batch) (*router.Result, error) {
		if b.Key != "k1" {
			return nil, errcode.New(errcode.KeyReused, "key %q", b.Key)
		}
		return &router.Result{Receipts: []schema.Receipt{{Index: 1}}, Replayed: true}, nil
	}
	body := `{"rows":[{"values":{"dept":"A","gender":"f"}}]}`
	a := p.do("POST", "/v1/tables/t:increment", body, "Idempotency-Key", "k1")
	p.want(a, 200, `"replayed":true`)
	if a.Header.Get("Idempotency-Replayed") != "true" || a.Header.Get("Quipu-Receipt") != "0:1" {
		t.Errorf("headers %v", a.Header)
	}
	p.problem(p.do("POST", "/v1/tables/t:increment", body, "Idempotency-Key", "k2"), errcode.KeyReused)
	p.problem(p.do("POST", "/v1/sessions", `{}`, "Idempotency-Key", "k1"), errcode.NotSupported)
	p.problem(p.do("POST", "/v1/query", `{"sql":"insert"}`, "Idempotency-Key", "k1"), errcode.NotSupported)
}

// TestEveryErrorOverHTTP sends each row of the table through the gateway.
func TestEveryErrorOverHTTP(t *testing.T) {
	p := open(t, gateway.Options{})
	for _, row := range errcode.Table {
		p.node.OnWrite = func(context.Context, *router.Batch) (*router.Result, error) {
			return nil, errcode.New(row.Code, "because").WithHint("try").Add("f", "v")
		}
		a := p.do("POST", "/v1/tables/t:increment", `{"rows":[{"values":{"d":"A"}}]}`)
		got := p.problem(a, row.Code)
		if got.Hint != "try" || got.Retryable != row.Retryable || len(got.Details) != 1 || got.Title != row.Title {
			t.Errorf("%s: %s", row.Code, a.body)
		}
		if wait := a.Header.Get("Retry-After"); (wait != "") != (row.Retryable && (row.HTTP == 429 || row.HTTP == 503)) {
			t.Errorf("%s: Retry-After %q", row.Code, wait)
		}
	}
}

func TestBadRequests(t *testing.T) {
	p := open(t, gateway.Options{})
	for name, tc := range map[string]struct {
		a    answer
		code errcode.Code
		want string
	}{
		"unknown path":     {p.do("GET", "/x", ""), errcode.NotFound, "/x"},
		"unknown resource": {p.do("GET", "/v1/x", ""), errcode.NotFound, "/v1/x"},
		"method":           {p.do("PUT", "/v1/tables", ""), errcode.MethodNotAllowed, "no PUT"},
		"query method":     {p.do("PUT", "/v1/query", ""), errcode.MethodNotAllowed, "no PUT"},
		"JSON":             {p.do("POST", "/v1/tables", `{"table":`), errcode.Invalid, ""},
		"unknown field":    {p.do("POST", "/v1/tables", `{"tabel":{}}`), errcode.Invalid, "tabel"},
		"fraction":         {p.do("POST", "/v1/tables/t:increment", `{"rows":[{"count":1.5}]}`), errcode.Invalid, "1.5"},
		"NaN":              {p.do("POST", "/v1/tables/t:increment", `{"rows":[{"count":"NaN"}]}`), errcode.Invalid, "NaN"},
		"huge":             {p.do("POST", "/v1/tables/t:increment", `{"rows":[{"count":"9223372036854775808"}]}`), errcode.Invalid, "9223372036854775808"},
		"not UTF-8":        {p.do("POST", "/v1/tables/t:increment", "{\"rows\":[{\"values\":{\"d\":\"\xff\"}}]}"), errcode.Invalid, "UTF-8"},
		"timeout":          {p.do("GET", "/v1/query?sql=types&timeout=soon", ""), errcode.Invalid, "soon"},
		"time is up":       {p.do("GET", "/v1/query?sql=wait&timeout=1ms", ""), errcode.Timeout, ""},
		"format":           {p.do("GET", "/v1/query?sql=types&format=xml", ""), errcode.NotAcceptable, "xml"},
		"accept":           {p.do("GET", "/v1/query?sql=types", "", "Accept", "image/png"), errcode.NotAcceptable, "image/png"},
		"media type":       {p.do("POST", "/v1/query", "<q/>", "Content-Type", "text/xml"), errcode.UnsupportedMedia, "text/xml"},
		"no SQL":           {p.do("GET", "/v1/query", ""), errcode.Invalid, "sql"},
		"SQL not UTF-8":    {p.do("GET", "/v1/query?sql=%ff", ""), errcode.Invalid, "UTF-8"},
		"two statements":   {p.do("GET", "/v1/query?sql=types%3Btypes&format=csv", ""), errcode.Invalid, "one statement"},
		"writing by GET":   {p.do("GET", "/v1/query?sql=insert", ""), errcode.PermissionDenied, "read-only"},
		"level":            {p.do("GET", "/v1/query?sql=types", "", "Quipu-Read", "soonish"), errcode.Invalid, "soonish"},
		"parameter":        {p.do("GET", "/v1/query?sql=types&max_row=3", ""), errcode.Invalid, "max_row"},
		"copy parameter":   {p.do("GET", "/v1/copy?sql=copy%203&formt=csv", ""), errcode.Invalid, "formt"},
		"JSON as a form":   {p.do("POST", "/v1/query", `{"sql":"types"}`, "Content-Type", "application/x-www-form-urlencoded"), errcode.Invalid, "looks like JSON"},
		"SQL twice":        {p.do("POST", "/v1/query?sql=types", `{"sql":"types"}`), errcode.Invalid, "not in the URL"},
		"Quipu-Set":        {p.do("GET", "/v1/query?sql=types", "", "Quipu-Set", "statement_timeout"), errcode.Invalid, "name=value"},
		"header":           {p.do("GET", "/v1/query?sql=types", "", "Quipu-Set", "application_name=\xfc"), errcode.Invalid, "Quipu-Set"},
		"key":              {p.do("POST", "/v1/tables/t:increment", `{}`, "Idempotency-Key", "größe"), errcode.Invalid, "Idempotency-Key"},
		"event id":         {p.do("GET", "/v1/contexts:watch", "", "Last-Event-ID", "x"), errcode.Invalid, "Last-Event-ID"},
		"foreign host":     {p.do("GET", "/v1/tables", "", "Host", "evil.example:7480"), errcode.PermissionDenied, "evil.example"},
		"foreign origin":   {p.do("POST", "/v1/query", `{}`, "Origin", "http://evil.example"), errcode.PermissionDenied, "another origin"},
		"foreign site":     {p.do("GET", "/v1/query?sql=types", "", "Sec-Fetch-Site", "cross-site"), errcode.PermissionDenied, "another site"},
	} {
		t.Run(name, func(t *testing.T) {
			p := *p
			p.T = t
			if got := p.problem(tc.a, tc.code); !strings.Contains(got.Detail, tc.want) {
				t.Errorf("%q lacks %q", got.Detail, tc.want)
			}
		})
	}
	p.want(p.do("GET", "/v1/tables", "", "Host", "localhost:7480"), 200)
}

// unknownLength hides the length of a body from the client, which then sends it in chunks.
type unknownLength struct{ io.Reader }

func TestBodyOverTheLimit(t *testing.T) {
	p := open(t, gateway.Options{BodyBytesMax: 1000})
	big := `{"rows":[{"values":{"d":"` + strings.Repeat("x", 2000) + `"}}]}`
	for _, path := range []string{"/v1/tables/t:increment", "/v1/query"} {
		p.problem(p.do("POST", path, big), errcode.TooLarge)
		resp, err := http.Post(p.url+path, "application/json", unknownLength{strings.NewReader(big)})
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		p.problem(answer{resp, string(body)}, errcode.TooLarge)
	}
}

func TestHeaderOverTheLimit(t *testing.T) {
	p := open(t, gateway.Options{})
	if a := p.do("GET", "/", "", "X-Long", strings.Repeat("x", 80<<10)); a.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("status %d", a.StatusCode)
	}
}

func TestProbesAndPages(t *testing.T) {
	p := open(t, gateway.Options{})
	for _, path := range []string{"/livez", "/readyz", "/healthz"} {
		p.want(p.do("GET", path, ""), 200, "ok")
	}
	p.want(p.do("GET", "/", ""), 200, "Quipu", "is ready")
	p.node.NotReady = errors.New("shard 1 has no <leader>")
	p.want(p.do("GET", "/livez", ""), 200, "ok")
	p.problem(p.do("GET", "/readyz", ""), errcode.Unavailable)
	p.want(p.do("GET", "/", ""), 200, "no &lt;leader&gt;")
	var doc struct {
		OpenAPI string
		Paths   map[string]any
	}
	a := p.do("GET", "/v1/openapi.json", "")
	if err := json.Unmarshal([]byte(a.body), &doc); err != nil || doc.OpenAPI != "3.1.0" {
		t.Errorf("%v, %s", err, doc.OpenAPI)
	}
	for _, path := range []string{"/v1/query", "/v1/tables/{table}:increment", "/v1/contexts:watch", "/v1/copy"} {
		if doc.Paths[path] == nil {
			t.Errorf("the document lacks %s", path)
		}
	}
	p.want(p.do("GET", "/metrics", ""), 200, `quipu_http_requests_total{handler="GET /readyz",status="503"} 1`, "quipu_rpc_writes_in_flight 0")
}

func TestWatch(t *testing.T) {
	p := open(t, gateway.Options{WatchesMax: 1})
	set := func(name, version string) {
		p.want(p.do("PUT", "/v1/contexts/"+name, `{"ifVersion":"`+version+`","values":{"a":"line\nfeed"}}`), 200)
	}
	set("x", "0")
	set("prod", "0")
	req, err := http.NewRequestWithContext(t.Context(), "GET", p.url+"/v1/contexts:watch?prefix=p&after=0", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Last-Event-ID", "1") // goes before after=0; the node in memory has compacted what is before 2
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if got := resp.Header.Get("Content-Type"); got != "text/event-stream" {
		t.Fatalf("Content-Type %s", got)
	}
	lines := bufio.NewScanner(resp.Body)
	next := func() string { // the next event without its data
		t.Helper()
		var event []string
		for lines.Scan() {
			line := lines.Text()
			if line == "" {
				return strings.Join(event, " ")
			}
			if !strings.HasPrefix(line, "data:") {
				event = append(event, line)
			}
		}
		t.Fatal("the stream ended: ", lines.Err())
		return ""
	}
	for _, want := range []string{"retry: 2000", "id: 2 event: gap", "id: 2 event: context"} {
		if got := next(); got != want {
			t.Fatalf("%q, want %q", got, want)
		}
	}
	p.problem(p.do("GET", "/v1/contexts:watch", ""), errcode.Busy)
	set("prod", "1")
	if got := next(); got != "id: 3 event: context" {
		t.Fatalf("event %q", got)
	}
	p.rpc.Drain()
	if got := next(); got != "event: error" {
		t.Fatalf("event %q", got)
	}
}

func TestCopyOverHTTP(t *testing.T) {
	p := open(t, gateway.Options{BodyBytesMax: 100})
	long := strings.Repeat("x\n", 300_000) // over the limit of other bodies and over one message
	a := p.do("POST", "/v1/copy?sql=copy", long)
	p.want(a, 200, `"rows":"300000"`)
	if a.Header.Get("Quipu-Receipt") != "0:6" {
		t.Errorf("headers %v", a.Header)
	}
	p.want(p.do("POST", "/v1/copy?sql=copy", ""), 200, `"rows":"0"`)
	p.problem(p.do("POST", "/v1/copy?sql=copy", "a\nbad\n"), errcode.BadCopyFormat)
	out := p.do("GET", "/v1/copy?sql=copy%2030000", "")
	p.want(out, 200)
	if n := strings.Count(out.body, "\n"); n != 30000 || out.Trailer.Get("Quipu-Status") != "OK" {
		t.Errorf("%d lines, trailer %v", n, out.Trailer)
	}
	p.problem(p.do("GET", "/v1/copy?sql=x", ""), errcode.SyntaxError)
	p.problem(p.do("PUT", "/v1/copy?sql=x", ""), errcode.MethodNotAllowed)
}

// FuzzGateway sends any body with any header Quipu-Set: no request is an error of ours, and what is said to be JSON is.
func FuzzGateway(f *testing.F) {
	node := rpctest.New()
	s := rpc.New(node, rpctest.Queries{}, rpc.Options{})
	gw, err := gateway.New(gateway.Options{GRPC: s.GRPC(), Ready: node.Ready})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() {
		gw.Close()
		s.GRPC().Stop()
	})
	for _, seed := range []struct{ path, body, set string }{
		{"/v1/tables", tableJSON, ""},
		{"/v1/tables/t:increment", `{"rows":[{"values":{"dept":"A","n":1},"count":"4","time":"2026-01-01T00:00:00Z"}]}`, ""},
		{"/v1/query", `{"sql":"args","args":[{"text":"x"},{"int":"1"}],"settings":{"a":"b"},"maxRows":"3"}`, "statement_timeout=5s; quipu.memory_limit=1MiB"},
		{"/v1/query?format=arrow&quipu.max_staleness=2s", `{"sql":"types"}`, "quipu.read_consistency=stale"},
		{"/v1/query?format=csv&max_rows=3", `{"sql":"fail 2000"}`, ";="},
		{"/v1/query?format=ndjson&timeout=1s", `{"sql":"types"}`, "a"},
		{"/v1/sessions:keepAlive", `{"sessions":["1"]}`, ""},
	} {
		f.Add(seed.path, seed.body, seed.set)
	}
	f.Fuzz(func(t *testing.T, path, body, set string) {
		if !strings.HasPrefix(path, "/v1/") || strings.HasPrefix(path, "/v1/contexts:watch") {
			return
		}
		req, err := http.NewRequest("POST", "http://localhost"+path, strings.NewReader(body))
		if err != nil || strings.Contains(body, "wait") || strings.Contains(body, "panic") {
			return
		}
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Quipu-Set", set)
		w := httptest.NewRecorder()
		defer func() {
			if p := recover(); p != nil && p != http.ErrAbortHandler { // how a result ends that was begun and cannot be finished
				panic(p)
			}
		}()
		gw.ServeHTTP(w, req)
		if w.Code >= 300 && w.Code < 400 {
			return // the path was not clean
		}
		kind := w.Header().Get("Content-Type")
		isJSON := kind == "application/json" || kind == "application/problem+json"
		if w.Code == http.StatusInternalServerError || isJSON && !json.Valid(w.Body.Bytes()) || !isJSON && w.Code != http.StatusOK {
			t.Fatalf("%d %s: %s", w.Code, kind, w.Body)
		}
	})
}
