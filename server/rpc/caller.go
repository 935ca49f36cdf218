package rpc

import (
	"context"
	"fmt"
	"net"
	"strings"

	"github.com/quipudb/quipu/server/access"
	"github.com/quipudb/quipu/server/errcode"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
)

// Metadata keys of requests. The gateway brings the HTTP headers of the same names.
const (
	MetaAuthorization  = "authorization"
	MetaForwarded      = "x-forwarded-for"
	MetaPrincipal      = "quipu-principal"
	MetaIdempotencyKey = "idempotency-key"
	MetaIfMatch        = "if-match"
	MetaRead           = "quipu-read"        // strict, linearizable, session or stale=<duration>
	MetaAfter          = "quipu-after"       // receipt for level session
	MetaSet            = "quipu-set"         // settings of a query: name=value; name=value
	MetaIncarnation    = "quipu-incarnation" // <cluster>/<incarnation> that the caller's session is of
)

// Metadata keys of answers.
const (
	MetaSnapshot  = "quipu-snapshot"
	MetaStaleness = "quipu-staleness-ms"
	MetaTogether  = "quipu-together" // sent: 1, the stream takes WriteRequest.more
	MetaReceipt   = "quipu-receipt"
	MetaNotice    = "quipu-notice" // one for each notice: its severity and its message as a quoted ASCII string
	MetaReplayed  = "idempotency-replayed"
	MetaETag      = "etag"
)

// callerKey finds the caller in the context of a request. The interceptors put it there.
type callerKey struct{}

func callerOf(ctx context.Context) *access.Caller {
	c, ok := ctx.Value(callerKey{}).(*access.Caller)
	if !ok {
		panic("rpc: a request came past the interceptors") // which answer it, and no service runs without a caller
	}
	return c
}

// principal is the name of who calls.
func principal(ctx context.Context) string { return callerOf(ctx).Name }

// authenticate says who calls, for all methods but those that are for everybody.
func (s *Server) authenticate(ctx context.Context, rule access.Rule) (context.Context, *access.Caller, error) {
	if rule.Kind == access.Free {
		return ctx, nil, nil
	}
	c, err := s.opts.Access.Authenticate(ctx, access.Credentials{Authorization: first(ctx, MetaAuthorization), Claimed: first(ctx, MetaPrincipal), Remote: remote(ctx)})
	if err != nil {
		return ctx, nil, err
	}
	return context.WithValue(ctx, callerKey{}, c), c, nil
}

// remote is the address of who calls, without a port. The gateway's calls come from inside the process and tell it in a header, the
// last item of which is its own.
func remote(ctx context.Context) string {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return ""
	}
	if tcp, ok := p.Addr.(*net.TCPAddr); ok {
		return tcp.IP.String()
	}
	forwarded := first(ctx, MetaForwarded)
	return strings.TrimSpace(forwarded[strings.LastIndexByte(forwarded, ',')+1:])
}

// first is the first value of a metadata key of the request, or empty.
func first(ctx context.Context, key string) string {
	if v := metadata.ValueFromIncomingContext(ctx, key); len(v) > 0 {
		return v[0]
	}
	return ""
}

// sameCluster refuses a caller whose session was opened in another cluster, or before this one was restored from a backup. The numbers of
// sessions begin anew there: taken for one of this cluster's, it would hide the batches of another writer, or have its own hidden.
func (s *Server) sameCluster(ctx context.Context) error {
	said := first(ctx, MetaIncarnation)
	if said == "" {
		return nil
	}
	info := s.backend.Info()
	if said == fmt.Sprintf("%s/%d", info.ClusterID, info.Incarnation) {
		return nil
	}
	return errcode.New(errcode.SessionExpired, "the session is of another cluster, or of this one before it was restored from a backup: it is over").
		WithHint("open a new session; batches without an answer were counted there, once or not at all, and not here unless the backup has them")
}
