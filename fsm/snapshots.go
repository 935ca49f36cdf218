package fsm

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/quipudb/quipu/storage"
	"github.com/quipudb/quipu/storage/schema"
)

// liveID names the only snapshot that there is: the state itself.
const liveID = "live"

// Bounds of waiting.
const (
	checkpointTimeout = 5 * time.Minute
	// streamMax is how long an open stream keeps the log from being compacted. Its reader needs the entry after the state's
	// index; without a bound a stalled reader would make the log grow for ever.
	streamMax = 10 * time.Minute
)

// errStreaming refuses a compaction that would cut off the reader of a stream. Raft tries again later.
var errStreaming = errors.New("fsm: a state is being streamed to a follower, which needs the log that compaction would delete")

// Snapshots is a raft.SnapshotStore without files of its own. A snapshot that Raft takes only makes the state durable, which
// is what lets Raft delete log; the state that a follower needs is streamed from a checkpoint of the moment.
type Snapshots struct {
	store *storage.Store
	now   func() time.Time

	mu      sync.Mutex
	streams map[*stream]time.Time // open ones, and when they began

	received     map[string]*receiver // whole, and not yet installed
	lastReceived int
}

var _ raft.SnapshotStore = (*Snapshots)(nil)

// NewSnapshots returns the snapshot store of the group whose state is in store.
func NewSnapshots(store *storage.Store) *Snapshots {
	return &Snapshots{store: store, now: time.Now, streams: map[*stream]time.Time{}, received: map[string]*receiver{}}
}

// Create begins a snapshot: one that Raft takes here, or one that a leader sends.
func (s *Snapshots) Create(_ raft.SnapshotVersion, index, term uint64, c raft.Configuration, configIndex uint64, _ raft.Transport) (raft.SnapshotSink, error) {
	return &sink{s: s, at: schema.Applied{Index: index, Term: term}, config: c, configIndex: configIndex}, nil
}

// List gives the state as of its last checkpoint, if there is any. What was received and not installed is not listed.
func (s *Snapshots) List() ([]*raft.SnapshotMeta, error) {
	durable := s.store.Durable()
	if durable.Index == 0 {
		return nil, nil
	}
	c, index, err := s.config()
	if err == nil && index > durable.Index { // not yet as durable as it is
		if err = s.checkpoint(); err == nil {
			durable = s.store.Durable()
		}
	}
	if err != nil {
		return nil, err
	}
	return []*raft.SnapshotMeta{meta(durable, c, index)}, nil
}

func meta(at schema.Applied, c raft.Configuration, configIndex uint64) *raft.SnapshotMeta {
	return &raft.SnapshotMeta{Version: raft.SnapshotVersionMax, ID: liveID, Index: at.Index, Term: at.Term,
		Configuration: c, ConfigurationIndex: configIndex}
}

func (s *Snapshots) config() (raft.Configuration, uint64, error) {
	var b []byte
	s.store.Update(func(tx *storage.Tx) { b = tx.Config() })
	return decodeConfig(b)
}

func (s *Snapshots) checkpoint() error {
	ctx, cancel := context.WithTimeout(context.Background(), checkpointTimeout)
	defer cancel()
	return s.store.Checkpoint(ctx)
}

// streaming reports whether some stream still needs the log as it is.
func (s *Snapshots) streaming() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, began := range s.streams { // any order: is there one
		if s.now().Sub(began) < streamMax {
			return true
		}
	}
	return false
}

// sink is a snapshot in the making. Raft writes to it only what a leader sends.
type sink struct {
	s           *Snapshots
	at          schema.Applied
	config      raft.Configuration
	configIndex uint64
	in          *receiver
}

// live is the snapshot that Raft takes here.
type live struct{ store *storage.Store }

// Persist makes the state durable at least up to the index of the snapshot. Returning nil is the promise that lets Raft delete
// the log up to there, so it is given only for what a crash cannot take away.
func (l live) Persist(to raft.SnapshotSink) error {
	k, ok := to.(*sink)
	if !ok || k.s.store != l.store {
		return fmt.Errorf("fsm: a snapshot goes to the snapshot store of its own group, not to a %T", to)
	}
	if k.s.streaming() {
		return errStreaming
	}
	l.store.Update(func(tx *storage.Tx) {
		// The index of a snapshot may be that of an entry which machines never see (a no-op, a barrier). It never takes the state back.
		if k.at.Index > tx.Applied().Index {
			tx.SetApplied(k.at)
		}
		if _, index, err := decodeConfig(tx.Config()); err == nil && k.configIndex > index {
			tx.SetConfig(encodeConfig(k.configIndex, raft.EncodeConfiguration(k.config)))
		}
	})
	if err := k.s.checkpoint(); err != nil {
		return err
	}
	if d := l.store.Durable(); d.Index < k.at.Index {
		return fmt.Errorf("fsm: the state is durable up to %d, the snapshot needs %d", d.Index, k.at.Index)
	}
	return nil
}

// Release has nothing to give back.
func (live) Release() {}
