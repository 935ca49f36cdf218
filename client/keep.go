package client

import (
	"context"
	"errors"
	"time"

	apiv1 "github.com/quipudb/quipu/proto/api/v1"
)

// keep renews the session until ctx ends, three times in the time that it lives without, and soon again when that failed. It goes by no link: a
// session must live on when every stream breaks before its time.
func (s *sender) keep(ctx context.Context) {
	for pause := s.keepEvery(); ctx.Err() == nil; {
		sleep(ctx, pause)
		every := s.keepEvery()
		if pause = every; !s.keepAlive(ctx, every) {
			pause = every / keepRetries
		}
	}
}

const (
	keepRetries = 20                     // of a renewal that failed, until the next one would be due
	keepMin     = 100 * time.Millisecond // between two renewals
)

// keepEvery is a third of the TTL.
func (s *sender) keepEvery() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return max(s.session.ttl/3, keepMin)
}

// keepAlive renews the session once, within a time, and gives it up if it has expired. It is false if the renewal is to be tried again.
func (s *sender) keepAlive(ctx context.Context, within time.Duration) bool {
	s.mu.Lock()
	id, life := s.session.id, s.life
	s.mu.Unlock()
	if id == 0 {
		return true // it is being opened
	}
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	_, err := twice(ctx, func() (*apiv1.KeepAliveResponse, error) {
		return s.c.sessions.KeepAlive(s.ofCluster(s.c.authorize(ctx)), &apiv1.KeepAliveRequest{Sessions: []uint64{id}})
	})
	if errors.Is(err, &Error{Code: "SESSION_EXPIRED"}) {
		s.expire(life)
		return true
	}
	return err == nil
}

// errImportExpired ends an import: its chunks were counted under the session that is gone, and are not sent under another one.
var errImportExpired = &Error{Code: "SESSION_EXPIRED", Message: "the session of the import has expired", Hint: "import again: what was counted is known by the import's key"}
