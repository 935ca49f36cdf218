package rpc

import (
	"context"
	"unicode"
	"unicode/utf8"

	"github.com/quipudb/quipu/server/errcode"
	"google.golang.org/grpc/metadata"
)

// Metadata keys of requests. The gateway brings the HTTP headers of the same names.
const (
	MetaPrincipal      = "quipu-principal"
	MetaIdempotencyKey = "idempotency-key"
	MetaIfMatch        = "if-match"
	MetaRead           = "quipu-read"  // strict, linearizable, session or stale=<duration>
	MetaAfter          = "quipu-after" // receipt for level session
)

// Metadata keys of answers.
const (
	MetaSnapshot    = "quipu-snapshot"
	MetaStaleness   = "quipu-staleness-ms"
	MetaTogether    = "quipu-together" // sent: 1, the stream takes WriteRequest.more
	MetaReceipt     = "quipu-receipt"
	MetaReplayed    = "idempotency-replayed"
	MetaETag        = "etag"
	anonymous       = "local" // the principal of a caller who does not name one
	principalMaxLen = 128
)

// principal says who calls. As long as a node has no authentication, and so listens on loopback only, callers name themselves.
func principal(ctx context.Context) (string, error) {
	p := first(ctx, MetaPrincipal)
	if p == "" {
		return anonymous, nil
	}
	if len(p) > principalMaxLen || !utf8.ValidString(p) {
		return "", errcode.New(errcode.Invalid, "%s is not valid UTF-8 or longer than %d bytes", MetaPrincipal, principalMaxLen)
	}
	for _, r := range p {
		if !unicode.IsPrint(r) {
			return "", errcode.New(errcode.Invalid, "%s holds a character that does not print", MetaPrincipal)
		}
	}
	return p, nil
}

// first is the first value of a metadata key of the request, or empty.
func first(ctx context.Context, key string) string {
	if v := metadata.ValueFromIncomingContext(ctx, key); len(v) > 0 {
		return v[0]
	}
	return ""
}
