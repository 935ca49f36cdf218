package replica

import (
	"errors"
	"testing"

	"github.com/hashicorp/raft"
)

// unanswered is a future of an entry that raft had in its queue when it was shut down.
type unanswered struct {
	Future
	end chan struct{}
}

func (u unanswered) Error() error { <-u.end; return nil }

func TestEntryInTheQueueOfARaftThatEnded(t *testing.T) {
	r, u := &Replica{down: make(chan struct{})}, unanswered{end: make(chan struct{})}
	defer close(u.end)
	close(r.down)
	if err := r.await(u); !errors.Is(err, raft.ErrRaftShutdown) {
		t.Errorf("await gives %v", err)
	}
}
