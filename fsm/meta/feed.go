package meta

import (
	"context"
	"errors"
	"sort"
	"sync"

	"github.com/quipudb/quipu/storage/schema"
)

// ErrGone says that changes after the revision asked for are no longer kept. Read the View and subscribe after its Revision.
var ErrGone = errors.New("meta: the history of changes after this revision is compacted")

// historyMax is how many changes a Feed keeps.
const historyMax = 1 << 14

// ChangeKind says what changed.
type ChangeKind uint8

const (
	TableSet      ChangeKind = 1 // Table: its new definition
	TableDropped  ChangeKind = 2 // TableID
	ContextSet    ChangeKind = 3 // Record: its new version, perhaps deleted
	CutoffSet     ChangeKind = 4 // TableID, Before
	SessionsEnded ChangeKind = 5 // see View.DeadSessions
	SlotsSet      ChangeKind = 6 // see View.Slots
	NodeSet       ChangeKind = 7 // Name: its id
	ImportSet     ChangeKind = 8 // Name: its id
	LeaseSet      ChangeKind = 9 // Name: acquired, released or ended

	ReplicasSet ChangeKind = 10 // see View.Replicas
	RoleSet     ChangeKind = 16 // Name: made, changed or dropped
	GrantSet    ChangeKind = 17 // TableID, 0 for the system; Name: the role
	TokenSet    ChangeKind = 18 // Name: the role whose tokens changed
)

// Change is one change of the state. What it points to never changes.
type Change struct {
	Revision uint64 // log index; several changes may have one
	Kind     ChangeKind
	Table    *schema.Table
	TableID  schema.TableID
	Before   int64
	Record   *schema.Record
	Name     string
}

// Feed keeps the latest changes for any number of subscribers, who read at their own pace. It costs nothing per subscriber:
// one who is too slow for the history gets ErrGone.
type Feed struct {
	mu    sync.Mutex
	all   []Change      // ascending revision
	floor uint64        // every change after this revision is in all
	more  chan struct{} // closed and replaced when all grows or is reset
	epoch uint64        // raised when the state was replaced
}

// Sub is a place in a feed. One goroutine uses it.
type Sub struct {
	feed  *Feed
	after uint64
	epoch uint64
}

// Subscribe gives the changes after a revision, which is usually that of a View or of the last change seen.
func (f *Feed) Subscribe(after uint64) *Sub {
	f.mu.Lock()
	defer f.mu.Unlock()
	return &Sub{feed: f, after: after, epoch: f.epoch}
}

// Next waits for changes and gives all there are, in order, never a part of one revision. They are shared: do not change them.
func (s *Sub) Next(ctx context.Context) ([]Change, error) {
	for {
		changes, wait, err := s.poll()
		if err != nil || len(changes) > 0 {
			return changes, err
		}
		select {
		case <-wait:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (s *Sub) poll() ([]Change, <-chan struct{}, error) {
	f := s.feed
	f.mu.Lock()
	defer f.mu.Unlock()
	if s.after < f.floor || s.epoch != f.epoch {
		return nil, nil, ErrGone
	}
	i := sort.Search(len(f.all), func(i int) bool { return f.all[i].Revision > s.after })
	changes := f.all[i:len(f.all):len(f.all)]
	if len(changes) > 0 {
		s.after = changes[len(changes)-1].Revision
	}
	return changes, f.more, nil
}

// Revision is the last revision whose changes Next has given.
func (s *Sub) Revision() uint64 { return s.after }

func (f *Feed) publish(changes []Change) {
	if len(changes) == 0 {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.all = append(f.all, changes...)
	if len(f.all) > 2*historyMax {
		f.floor = f.all[len(f.all)-historyMax-1].Revision
		i := sort.Search(len(f.all), func(i int) bool { return f.all[i].Revision > f.floor })
		f.all = append([]Change(nil), f.all[i:]...) // subscribers may hold the old array
	}
	close(f.more)
	f.more = make(chan struct{})
}

// reset forgets everything up to a revision, because the state was read anew.
func (f *Feed) reset(revision uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.all, f.floor = nil, revision
	f.epoch++
	if f.more != nil {
		close(f.more)
	}
	f.more = make(chan struct{})
}
