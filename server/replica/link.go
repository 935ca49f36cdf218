package replica

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
)

// link stands between raft and the group's transport. It knows two things that raft does not: what a vote that a replica is about to get may
// cost the group, and how seldom a learner needs to hear that nothing has happened.
//
// A vote. Raft commits a change of members with a majority of the new voters, and has no joint one. Of two voters a and b that promote the
// learner c, the leader a and c are one: then a may die before b has the entry, b refuses c, which it knows as a learner, c refuses b, whose
// log is shorter, and nobody leads until a is back. So the entry that gives this replica a vote is taken in only when a majority of the voters
// before it have it: until then nothing is committed, and from then on they can elect one of their own.
//
// Silence. The leader of the meta group has a learner on every node beyond its voters. Of what says nothing new a learner hears about three
// messages in a timeout instead of twenty; the others are answered here with what it said a moment ago. A learner's word decides nothing.
type link struct {
	raft.Transport
	raft.WithPreVote
	raft.WithClose

	r     *Replica
	raft  atomic.Pointer[raft.Raft] // nil until it runs
	quiet bool                      // learners are spared
	in    chan raft.RPC

	mu    sync.Mutex                    // guards heard
	heard map[raft.ServerID]learnerWord // of learners, when this replica leads
}

// learnerWord is what a learner has answered, and to what.
type learnerWord struct {
	at     time.Time // before it was asked
	term   uint64
	commit uint64 // that it knows
	answer raft.AppendEntriesResponse
}

func newLink(r *Replica, quiet bool) (*link, error) {
	l := &link{Transport: r.o.Transport, r: r, quiet: quiet, in: make(chan raft.RPC), heard: map[raft.ServerID]learnerWord{}}
	var votes, closes bool
	l.WithPreVote, votes = r.o.Transport.(raft.WithPreVote)
	l.WithClose, closes = r.o.Transport.(raft.WithClose)
	if !votes || !closes {
		return nil, fmt.Errorf("the transport %T has no pre-vote or cannot be closed", r.o.Transport)
	}
	return l, nil
}

// Consumer gives raft its messages.
func (l *link) Consumer() <-chan raft.RPC { return l.in }

// run hands messages to raft, until the replica closes. One that has to wait lets the others pass.
func (l *link) run() {
	done := l.r.life.Done()
	for {
		select {
		case m := <-l.Transport.Consumer():
			if entry, ask := l.promotion(m); ask != nil {
				l.r.wg.Go(func() { l.hold(m, entry, ask) })
				continue
			}
			l.deliver(m)
		case <-done:
			return
		}
	}
}

func (l *link) deliver(m raft.RPC) {
	select {
	case l.in <- m:
	case <-l.r.life.Done():
	}
}

// promotion is the entry of a message that gives this replica a vote and is not committed yet, and the voters before it, if there are others to
// ask than the leader.
func (l *link) promotion(m raft.RPC) (entry *raft.Log, voters []string) {
	a, ok := m.Command.(*raft.AppendEntriesRequest)
	if !ok || !slices.ContainsFunc(a.Entries, isConfiguration) {
		return nil, nil
	}
	before := l.r.voters()
	for _, e := range a.Entries {
		if !isConfiguration(e) {
			continue
		}
		after := votersOf(raft.DecodeConfiguration(e.Data))
		gains := slices.Contains(after, l.r.o.NodeID) && !slices.Contains(before, l.r.o.NodeID)
		if gains && len(before) > 1 && e.Index > a.LeaderCommitIndex {
			return e, before
		}
		before = after
	}
	return nil, nil
}

func isConfiguration(e *raft.Log) bool { return e.Type == raft.LogConfiguration }

// holdPause is between two questions whether the voters have an entry.
const holdPause = 10 * time.Millisecond

var errNotYet = errors.New("replica: most of the voters do not have the entry yet that gives this replica a vote")

// hold delivers a message when a majority of the voters, of which its leader is one, have the entry. After a timeout the leader hears that it
// has to send it again.
func (l *link) hold(m raft.RPC, entry *raft.Log, voters []string) {
	a := m.Command.(*raft.AppendEntriesRequest)
	ctx, cancel := context.WithTimeout(l.r.life, l.r.o.Timeout)
	defer cancel()
	for !l.have(ctx, a, entry.Index, voters) {
		if sleep(ctx, holdPause) != nil {
			m.Respond(nil, errNotYet)
			return
		}
	}
	l.deliver(m)
}

// have says whether a majority of the voters have what the leader has up to index. A log that ends at or above it with an entry of the leader's
// own term does.
func (l *link) have(ctx context.Context, a *raft.AppendEntriesRequest, index uint64, voters []string) bool {
	var have atomic.Int64
	var wg sync.WaitGroup
	for _, node := range voters {
		if node == string(a.ID) {
			have.Add(1)
			continue
		}
		wg.Go(func() {
			if last, err := l.r.o.Peers.Last(ctx, node, l.r.o.Group); err == nil && last.Term == a.Term && last.Index >= index {
				have.Add(1)
			}
		})
	}
	wg.Wait()
	return have.Load() > int64(len(voters)/2)
}

// AppendEntries sends entries or a heartbeat.
func (l *link) AppendEntries(id raft.ServerID, target raft.ServerAddress, args *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) error {
	if !l.spares(id) {
		return l.Transport.AppendEntries(id, target, args, resp)
	}
	l.mu.Lock()
	word := l.heard[id]
	l.mu.Unlock()
	if word.term != args.Term {
		word = learnerWord{term: args.Term}
	}
	began := time.Now()
	if len(args.Entries) == 0 && args.LeaderCommitIndex <= word.commit && began.Sub(word.at) < l.r.o.Timeout/3 {
		*resp = word.answer
		return nil
	}
	if err := l.Transport.AppendEntries(id, target, args, resp); err != nil || !resp.Success {
		l.forget(id)
		return err
	}
	word.at, word.answer, word.commit = began, *resp, max(word.commit, args.LeaderCommitIndex) // a heartbeat carries no index
	word.answer.RPCHeader = raft.RPCHeader{}                                                   // raft reads other answers into its bytes
	l.mu.Lock()
	defer l.mu.Unlock()
	l.heard[id] = word
	return nil
}

func (l *link) forget(id raft.ServerID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.heard, id)
}

// AppendEntriesPipeline is declined for learners that are spared: in a pipeline every message travels.
func (l *link) AppendEntriesPipeline(id raft.ServerID, target raft.ServerAddress) (raft.AppendPipeline, error) {
	if l.spares(id) {
		return nil, raft.ErrPipelineReplicationNotSupported
	}
	p, err := l.Transport.AppendEntriesPipeline(id, target)
	if err != nil {
		return nil, err
	}
	return bounded{p, max(l.r.o.Timeout, time.Second)}, nil
}

// spares says whether a server is a learner that is to hear of news only.
func (l *link) spares(id raft.ServerID) bool {
	running := l.raft.Load()
	if !l.quiet || running == nil {
		return false
	}
	for _, s := range running.GetConfiguration().Configuration().Servers {
		if s.ID == id {
			return s.Suffrage != raft.Voter
		}
	}
	return false
}

// Last is the last entry of a replica's log: nothing if the log is empty, because a state was installed in its place.
type Last struct{ Index, Term uint64 }

// Last looks it up.
func (r *Replica) Last() (Last, error) {
	index, err := r.raftlog.LastIndex()
	if err != nil || index == 0 {
		return Last{}, err
	}
	var e raft.Log
	if err := r.raftlog.GetLog(index, &e); err != nil {
		return Last{}, fmt.Errorf("replica: entry %d, the last one: %w", index, err)
	}
	return Last{Index: e.Index, Term: e.Term}, nil
}
