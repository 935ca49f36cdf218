package client

import (
	"crypto/tls"
	"encoding/base64"
	"time"
)

// Option changes how Open connects and buffers.
type Option func(*options)

type options struct {
	tls           *tls.Config
	authorization string // of every call; empty: none
	linger        time.Duration
	batchCells    int
	bufferBytes   int
	inFlight      int
	block         bool
	durable       bool
	hooks         Hooks
	now           func() time.Time
}

func defaults() options {
	return options{
		linger:      5 * time.Millisecond,
		batchCells:  8192,
		bufferBytes: 64 << 20,
		inFlight:    256,
		now:         time.Now,
	}
}

// WithTLS encrypts the connection; nil trusts the certificates that the system trusts, as the scheme quipus of a target does. Without
// it the client speaks plain text, which a server takes on loopback only.
func WithTLS(config *tls.Config) Option {
	return func(o *options) {
		if o.tls = config; config == nil {
			o.tls = &tls.Config{MinVersion: tls.VersionTLS12}
		}
	}
}

// WithToken authenticates every call by a token, as CREATE TOKEN gives it.
func WithToken(token string) Option {
	return func(o *options) { o.authorization = "Bearer " + token }
}

// WithPassword authenticates every call by the name of a role and its password.
func WithPassword(role, password string) Option {
	return func(o *options) {
		o.authorization = "Basic " + base64.StdEncoding.EncodeToString([]byte(role+":"+password))
	}
}

// WithLinger is how long Add lets counts collect before they are sent. Default 5 ms; 0 sends as soon as the sender is free.
func WithLinger(d time.Duration) Option { return func(o *options) { o.linger = max(0, d) } }

// WithBatchCells bounds the distinct cells of one batch. Default 8,192, at most 65,536.
func WithBatchCells(n int) Option {
	return func(o *options) { o.batchCells = min(max(1, n), 1<<16) }
}

// WithBuffer bounds the bytes of batches that wait to be sent or answered. Default 64 MiB. Beyond it Add returns ErrFull, or
// waits if WithBlocking is set.
func WithBuffer(bytes int) Option { return func(o *options) { o.bufferBytes = max(1<<16, bytes) } }

// WithInFlight bounds the batches that are sent and not yet answered. Default 256, at most 1,000: the server remembers 1,024
// sequence numbers of a session.
func WithInFlight(n int) Option { return func(o *options) { o.inFlight = min(max(1, n), windowMax) } }

// WithBlocking makes Add wait for room, up to its ctx, where it would return ErrFull.
func WithBlocking() Option { return func(o *options) { o.block = true } }

// WithDurableSession asks for a session that lives 30 days after its last use instead of 10 minutes, for writers that may be cut
// off for long: what is in flight then is sent again under it and counts once. Principals have a quota of them. A session is of one
// process: the next one gets another, and what must count once over that needs a Batch.Key or an Import.
func WithDurableSession() Option { return func(o *options) { o.durable = true } }

// WithHooks observes what the client does.
func WithHooks(h Hooks) Option { return func(o *options) { o.hooks = h } }

// Hooks are called synchronously on the client's own goroutines, one at a time: they must not block and must not call the client. Nil ones are
// skipped. A batch that goes to the leaders of several shards travels in parts, and each part is a batch for hooks, with a Seq of its own.
type Hooks struct {
	// OnSend is called before each attempt to send a batch, the first being attempt 1.
	OnSend func(BatchInfo)
	// OnReceipt is called when a batch is answered as counted.
	OnReceipt func(BatchInfo, Receipt)
	// OnRefused is called when the server refuses a part of a batch for good; the observations were not counted.
	OnRefused func(BatchInfo, *Error)
	// OnUnknown is called when the session expired while a sent batch had no answer: it was counted once or not at all.
	OnUnknown func(BatchInfo)
	// OnRetry is called when an attempt failed and another will follow, under the same stamp.
	OnRetry func(BatchInfo, error)
	// OnSession is called when a session is opened.
	OnSession func(id uint64, ttl time.Duration)
}

// BatchInfo says which batch a hook speaks of.
type BatchInfo struct {
	Table        string
	Session, Seq uint64
	Attempt      int
	Rows         int   // distinct cells
	Observations int64 // observations that the rows stand for
}

// windowMax stays below the 1,024 sequence numbers that a shard remembers above the lowest unanswered one.
const windowMax = 1000

// durableTTL is how long a durable session lives without use, if the server does not say.
const durableTTL = 30 * 24 * time.Hour
