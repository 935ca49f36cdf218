package server

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/quipudb/quipu/server/errcode"
	"github.com/quipudb/quipu/server/transport"
	"github.com/quipudb/quipu/storage/schema"
)

// outages remembers what could not be reached for as long as an election takes: the first request waits that long, those that come after it
// try once and say so at once. Whoever gets an answer strikes the outage out.
type outages struct {
	mu   sync.Mutex           // guards seen
	seen map[errand]time.Time // when it failed last
}

// errand is what was asked for: "lead", "read" or "write", and the group, or all shards of a read over several.
type errand struct {
	what   string
	group  transport.Group
	shards string
}

// reading is the errand of a read.
func reading(shards []schema.ShardID) errand {
	if len(shards) == 1 {
		return errand{what: "read", group: transport.Shard(shards[0])}
	}
	return errand{what: "read", shards: fmt.Sprint(shards)}
}

const (
	outageTimeouts = 10   // that an outage is remembered without a failure
	outagesMax     = 1024 // all are forgotten when there are more
)

// failed notes that it could not be reached.
func (o *outages) failed(e errand) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.seen == nil || len(o.seen) >= outagesMax {
		o.seen = map[errand]time.Time{}
	}
	o.seen[e] = time.Now()
}

// over notes that it can be reached.
func (o *outages) over(e errand) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.seen, e)
}

// lasts says whether it could not be reached, not longer ago than life.
func (o *outages) lasts(e errand, life time.Duration) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	at, ok := o.seen[e]
	return ok && time.Since(at) < life
}

// persist tries again what failed because a leader has changed or cannot be reached, until an election would have ended, counted from the
// first try. What it tries must be harmless twice. It tries once where the same failed a moment ago, and where there is nobody else to ask:
// at the only node of a cluster.
func (n *Node) persist(ctx context.Context, e errand, try func(context.Context) error) error {
	if !n.several.Load() {
		return try(ctx)
	}
	patience := leaderTimeouts * n.cfg.Peer.Timeout
	again := !n.outages.lasts(e, outageTimeouts*n.cfg.Peer.Timeout)
	until := time.Now().Add(patience)
	err := try(ctx)
	for again && passing(err) && time.Now().Before(until) {
		if pause(ctx, leaderPause) != nil {
			return err
		}
		err = try(ctx)
	}
	switch {
	case passing(err) && ctx.Err() == nil:
		n.outages.failed(e)
	case err == nil:
		n.outages.over(e)
	}
	return err
}

// codeOf is the code that an error has for who gets it: that of the outermost public error, whatever lies beneath.
func codeOf(err error) errcode.Code {
	if err == nil {
		return ""
	}
	return errcode.From(err).Code
}

// passing says that an error may go away when another node leads.
func passing(err error) bool {
	c := codeOf(err)
	return c == errcode.NotLeader || c == errcode.Unavailable
}
