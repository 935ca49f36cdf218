package gateway

import (
	"context"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/quipudb/quipu/server/errcode"
	"github.com/quipudb/quipu/server/rpc"
)

// outer is around every request: headers, metrics, and the two ways in which a page of another site could use the browser of
// somebody who can reach this port. A cross-origin request is refused, and so is a request to a loopback address under a name
// that is not of loopback (DNS rebinding). Programs send no Origin and are not concerned.
func (g *Gateway) outer(mux *http.ServeMux) http.Handler {
	protection := http.NewCrossOriginProtection()
	protection.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		errcode.WriteHTTP(w, r, errcode.New(errcode.PermissionDenied, "the request comes from a page of another origin"))
	}))
	inner := protection.Handler(mux)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		rec := &recorder{ResponseWriter: w, code: http.StatusOK}
		defer func() { g.metrics.observe(r.Pattern, rec.code, time.Since(start)) }() // mux sets Pattern
		h := rec.Header()
		h.Set("Quipu-Version", g.opts.Version)
		h.Set("X-Content-Type-Options", "nosniff")
		if !g.hostAllowed(r.Context(), r.Host) {
			errcode.WriteHTTP(rec, r, errcode.New(errcode.PermissionDenied, "host %q is not a name of this loopback address", r.Host).
				WithHint("use localhost, or name the host in the node's configuration"))
			return
		}
		if site := r.Header.Get("Sec-Fetch-Site"); site == "cross-site" && r.URL.Path != "/" {
			errcode.WriteHTTP(rec, r, errcode.New(errcode.PermissionDenied, "the request comes from a page of another site"))
			return
		}
		err := validURL(r.URL)
		if err == nil {
			err = validHeaders(r.Header)
		}
		if err != nil {
			errcode.WriteHTTP(rec, r, errcode.From(err))
			return
		}
		inner.ServeHTTP(rec, r)
	})
}

// validURL refuses a path or parameters that no message of gRPC can hold. A query that cannot be decoded is left to whoever reads it.
func validURL(u *url.URL) error {
	if err := validText("the path of the request", u.Path); err != nil {
		return err
	}
	query, err := url.QueryUnescape(u.RawQuery)
	if err != nil {
		return nil
	}
	return validText("a parameter of the request", query)
}

// validHeaders refuses a header for the services with a value that gRPC does not carry. It must not be left out: without its key a write
// would count again.
func validHeaders(h http.Header) error {
	for name, values := range h {
		if key, ok := incoming(name); !ok && key != rpc.MetaAuthorization {
			continue
		}
		for _, value := range values {
			if strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r > '~' }) {
				return errcode.New(errcode.Invalid, "the header %s has characters other than printable ASCII", name).
					WithHint("keys and settings of a request may also stand in its body")
			}
		}
	}
	return nil
}

func (g *Gateway) hostAllowed(ctx context.Context, host string) bool {
	local, ok := ctx.Value(http.LocalAddrContextKey).(*net.TCPAddr)
	if !ok || !local.IP.IsLoopback() {
		return true
	}
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.TrimSuffix(strings.Trim(strings.ToLower(host), "[]"), ".")
	if ip := net.ParseIP(host); ip != nil {
		return true // a rebinding attack needs a name
	}
	return host == "" || host == "localhost" || strings.HasSuffix(host, ".localhost") || slices.Contains(g.opts.Hosts, host)
}

// recorder remembers the status of an answer.
type recorder struct {
	http.ResponseWriter
	code  int
	wrote bool
}

func (r *recorder) WriteHeader(code int) {
	if !r.wrote {
		r.code, r.wrote = code, true
	}
	r.ResponseWriter.WriteHeader(code)
}

// Unwrap lets http.ResponseController find what the server's writer can do.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// Flush is for grpc-gateway, which asks for http.Flusher.
func (r *recorder) Flush() { http.NewResponseController(r.ResponseWriter).Flush() }

type metrics struct {
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "quipu_http_requests_total", Help: "HTTP requests answered, by handler and status.",
		}, []string{"handler", "status"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "quipu_http_request_duration_seconds", Help: "Time to answer an HTTP request; for a watch, its life.",
			Buckets: prometheus.ExponentialBuckets(250e-6, 2.5, 13),
		}, []string{"handler"}),
	}
	reg.MustRegister(m.requests, m.seconds)
	return m
}

func (m *metrics) observe(handler string, code int, d time.Duration) {
	m.requests.WithLabelValues(handler, strconv.Itoa(code)).Inc()
	m.seconds.WithLabelValues(handler).Observe(d.Seconds())
}
