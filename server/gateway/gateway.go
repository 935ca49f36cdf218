// Package gateway is the HTTP edge and the one port. Requests in JSON are translated by grpc-gateway and call the gRPC services
// over an in-process connection, so they pass the same interceptors and limits; results as csv, ndjson and arrow, server-sent events,
// COPY, probes and metrics are plain handlers beside it. Edge sends each connection of the port to gRPC or to HTTP.
//
//	gw, err := gateway.New(gateway.Options{GRPC: rpcServer.GRPC(), Ready: node.Ready, Metrics: registry, Version: version})
//	edge := gateway.NewEdge(rpcServer.GRPC(), gw, nil, logger)
//	err = edge.Serve(listener)
//
// Every error is application/problem+json, from server/errcode.
package gateway

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/quipudb/quipu/proto/api/openapi"
	apiv1 "github.com/quipudb/quipu/proto/api/v1"
	"github.com/quipudb/quipu/server/access"
	"github.com/quipudb/quipu/server/errcode"
	"github.com/quipudb/quipu/server/rpc"
)

// Options says what is behind the gateway. GRPC and Ready are needed.
type Options struct {
	GRPC         *grpc.Server         // the services; the gateway serves it on a connection inside the process
	Access       *access.Control      // says who calls, where no RPC does; default: everybody may do everything
	Ready        func() error         // why the node cannot serve, or nil; answers from memory
	Metrics      *prometheus.Registry // served at /metrics; default: a new one
	Version      string               // of the program, in the header Quipu-Version
	BodyBytesMax int64                // of a request, except the data of COPY; default 4 MiB
	WatchesMax   int                  // server-sent event streams; default 200
	Hosts        []string             // names, besides loopback ones, that a request to a loopback address may have as Host
	Logger       *slog.Logger         // default: discard
}

// Gateway is the HTTP side of a node.
type Gateway struct {
	opts    Options
	handler http.Handler
	metrics *metrics

	lis      *bufconn.Listener
	serving  sync.WaitGroup // the gRPC server on lis
	calls    *grpc.ClientConn
	streams  *grpc.ClientConn // of watches: an HTTP/2 connection has a limit of streams, and watches would use it up
	query    apiv1.QueryClient
	contexts apiv1.ContextsClient
	watches  chan struct{} // a token for each event stream
}

// New makes a gateway ready to serve. Close it before its gRPC server is stopped for good.
func New(opts Options) (*Gateway, error) {
	if opts.BodyBytesMax == 0 {
		opts.BodyBytesMax = 4 << 20
	}
	if opts.WatchesMax == 0 {
		opts.WatchesMax = 200
	}
	if opts.Metrics == nil {
		opts.Metrics = prometheus.NewRegistry()
	}
	if opts.Access == nil {
		opts.Access = access.Unguarded()
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	g := &Gateway{opts: opts, lis: bufconn.Listen(256 << 10), watches: make(chan struct{}, opts.WatchesMax)}
	g.serving.Go(func() { opts.GRPC.Serve(g.lis) }) // ends when lis is closed or the server stopped
	var err error
	if g.calls, err = g.dial(); err != nil {
		return nil, err
	}
	if g.streams, err = g.dial(); err != nil {
		return nil, err
	}
	g.query = apiv1.NewQueryClient(g.calls)
	g.contexts = apiv1.NewContextsClient(g.streams)
	g.metrics = newMetrics(opts.Metrics)
	translated, err := g.translated()
	if err != nil {
		return nil, err
	}
	g.handler = g.routes(translated)
	return g, nil
}

// Close ends the in-process connections; requests in flight get UNAVAILABLE.
func (g *Gateway) Close() {
	g.calls.Close()
	g.streams.Close()
	g.lis.Close()
	g.serving.Wait()
}

// resultBytesMax is the largest answer that the services give as one message.
const resultBytesMax = 64 << 20

func (g *Gateway) dial() (*grpc.ClientConn, error) {
	return grpc.NewClient("passthrough:///node",
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return g.lis.DialContext(ctx) }),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(resultBytesMax)),
		grpc.WithDisableServiceConfig(), grpc.WithDisableRetry())
}

// ServeHTTP answers one request.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) { g.handler.ServeHTTP(w, r) }

func (g *Gateway) routes(translated http.Handler) http.Handler {
	mux := http.NewServeMux()
	for pattern, h := range g.handlers(translated) {
		mux.Handle(pattern, g.ruled(access.HTTP[pattern], h))
	}
	return g.outer(mux)
}

// handlers are the routes. Each has a rule in access.HTTP; without one it answers nobody.
func (g *Gateway) handlers(translated http.Handler) map[string]http.Handler {
	return map[string]http.Handler{
		"GET /{$}":     http.HandlerFunc(g.page),
		"GET /livez":   http.HandlerFunc(live),
		"GET /readyz":  http.HandlerFunc(g.ready),
		"GET /healthz": http.HandlerFunc(g.ready),
		"GET /metrics": promhttp.HandlerFor(g.opts.Metrics, promhttp.HandlerOpts{Registry: g.opts.Metrics, MaxRequestsInFlight: 8}),
		"GET /v1/openapi.json": http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.Write(openapi.JSON)
		}),
		"/v1/query":              g.limited(g.serveQuery),
		"/v1/copy":               http.HandlerFunc(g.serveCopy),
		"GET /v1/contexts:watch": http.HandlerFunc(g.watch),
		"/v1/":                   g.limited(translated.ServeHTTP),
		"/": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			errcode.WriteHTTP(w, r, errcode.New(errcode.NotFound, "there is nothing at %s", r.URL.Path).WithHint("/ says what is here"))
		}),
	}
}

// ruled is h for those whom the rule lets through.
func (g *Gateway) ruled(rule access.Rule, h http.Handler) http.Handler {
	if rule.Kind == access.Free || rule.Kind == access.Calls {
		return h
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := g.opts.Access.Authenticate(r.Context(), access.Credentials{
			Authorization: r.Header.Get("Authorization"), Claimed: r.Header.Get(rpc.MetaPrincipal), Remote: remoteHost(r)})
		if err == nil {
			err = rule.Check(c, nil)
		}
		if err != nil {
			writeError(w, r, err)
			return
		}
		h.ServeHTTP(w, r)
	})
}

func remoteHost(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}

// translated is grpc-gateway's handler for the JSON API.
func (g *Gateway) translated() (http.Handler, error) {
	mux := runtime.NewServeMux(
		runtime.WithMarshalerOption(runtime.MIMEWildcard, &lines{jsonForm}),
		runtime.WithIncomingHeaderMatcher(incoming),
		runtime.WithOutgoingHeaderMatcher(outgoing),
		runtime.WithErrorHandler(func(ctx context.Context, _ *runtime.ServeMux, _ runtime.Marshaler, w http.ResponseWriter, r *http.Request, err error) {
			writeError(w, r, err)
		}),
		runtime.WithRoutingErrorHandler(func(ctx context.Context, _ *runtime.ServeMux, _ runtime.Marshaler, w http.ResponseWriter, r *http.Request, code int) {
			errcode.WriteHTTP(w, r, routing(r, code))
		}),
		runtime.WithUnescapingMode(runtime.UnescapingModeAllExceptReserved), // %2F in a name is not the end of it
		runtime.WithDisablePathLengthFallback(),                             // else a POST of a form would be read as a GET
		runtime.WithDisableHTTPMethodOverride(),                             // else a header would turn one method into another
	)
	for _, register := range []func(context.Context, *runtime.ServeMux, *grpc.ClientConn) error{
		apiv1.RegisterWriteHandler, apiv1.RegisterSessionsHandler, apiv1.RegisterCatalogHandler, apiv1.RegisterContextsHandler,
		apiv1.RegisterLeasesHandler, apiv1.RegisterClusterHandler, apiv1.RegisterImportsHandler,
	} {
		if err := register(context.Background(), mux, g.calls); err != nil {
			return nil, err
		}
	}
	return mux, nil
}

// jsonForm is how messages are read and written. Unknown fields are errors: a misspelt one must not be taken for left out.
var jsonForm = runtime.JSONPb{MarshalOptions: protojson.MarshalOptions{EmitDefaultValues: true}}

// lines ends each message with a line feed, for people at terminals.
type lines struct{ runtime.JSONPb }

func (l *lines) Marshal(v any) ([]byte, error) {
	b, err := l.JSONPb.Marshal(v)
	return append(b, '\n'), err
}

// incoming passes the headers that mean something to the services, under their own names.
func incoming(name string) (string, bool) {
	lower := strings.ToLower(name)
	return lower, lower == "idempotency-key" || lower == "if-match" || strings.HasPrefix(lower, "quipu-")
}

// outgoing passes the headers that the services set for HTTP.
func outgoing(name string) (string, bool) {
	switch {
	case name == "etag":
		return "ETag", true
	case name == "idempotency-replayed", strings.HasPrefix(name, "quipu-"):
		return http.CanonicalHeaderKey(name), true
	}
	return "", false
}

// callMetadata is what incoming does, for the plain handlers.
func callMetadata(r *http.Request) context.Context {
	md := metadata.MD{rpc.MetaForwarded: {remoteHost(r)}}
	if a := r.Header.Get("Authorization"); a != "" {
		md[rpc.MetaAuthorization] = []string{a}
	}
	for name, values := range r.Header {
		if key, ok := incoming(name); ok {
			md[key] = values
		}
	}
	return metadata.NewOutgoingContext(r.Context(), md)
}

func setHeaders(w http.ResponseWriter, md metadata.MD) {
	for key, values := range md {
		if name, ok := outgoing(key); ok {
			w.Header()[name] = values
		}
	}
}

// writeError answers with any error. A body that went over its limit shows as whatever its reader made of it.
func writeError(w http.ResponseWriter, r *http.Request, err error) {
	if tooLong(r) {
		errcode.WriteHTTP(w, r, errBody(r))
		return
	}
	if s, ok := status.FromError(err); ok {
		errcode.WriteHTTP(w, r, errcode.FromStatus(s))
		return
	}
	errcode.WriteHTTP(w, r, errcode.From(err))
}

func routing(r *http.Request, code int) *errcode.Error {
	switch code {
	case http.StatusMethodNotAllowed, http.StatusNotImplemented:
		return errcode.New(errcode.MethodNotAllowed, "%s takes no %s", r.URL.Path, r.Method).WithHint("/v1/openapi.json lists the methods")
	case http.StatusNotFound:
		return errcode.New(errcode.NotFound, "there is nothing at %s", r.URL.Path).WithHint("/v1/openapi.json lists the resources")
	}
	return errcode.New(errcode.Invalid, "the path %s does not parse", r.URL.Path)
}
