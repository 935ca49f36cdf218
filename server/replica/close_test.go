package replica

import (
	"errors"
	"testing"
	"testing/synctest"

	"github.com/hashicorp/raft"

	"github.com/quipudb/quipu/storage"
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

// TestClosedReplicaAnswers holds that whoever has found a replica a moment before it is closed is told so: a node goes on when one replica of it is
// removed, and must not fall with it.
func TestClosedReplicaAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGroup(t, Options{})
		r := g.hosts["a"].r
		before := r.Store().Applied()
		g.stop("a")
		if got := r.Store().Applied(); got.Index < before.Index {
			t.Errorf("applied %v, was %v", got, before)
		}
		if _, err := r.Store().Snapshot(); !errors.Is(err, storage.ErrClosed) {
			t.Errorf("a snapshot: %v", err)
		}
		if f := r.Fresh(); f.Leads {
			t.Errorf("%+v", f)
		}
		if _, err := r.Leading(); err == nil {
			t.Error("a closed replica leads")
		}
		r.Status()
		if err := r.closeStores(); err != nil {
			t.Errorf("closed twice: %v", err)
		}
	})
}
