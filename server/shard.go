package server

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/quipudb/quipu/fsm"
	"github.com/quipudb/quipu/fsm/counter"
	"github.com/quipudb/quipu/proto/command/v1"
	"github.com/quipudb/quipu/server/errcode"
	"github.com/quipudb/quipu/server/replica"
	"github.com/quipudb/quipu/server/rounds"
	"github.com/quipudb/quipu/storage"
	"github.com/quipudb/quipu/storage/schema"
)

// shard is this node's member of a data group, with the proposer that feeds it.
type shard struct {
	id       schema.ShardID
	replica  *replica.Replica
	machine  *counter.Machine
	proposer *replica.Proposer

	ended     atomic.Uint64 // revision up to which the shard has been told of ended sessions in this term, by this node
	peak      peak          // of its observations a second
	stuck     atomic.Bool   // states are installed again and again: the replica is to be made anew
	following chan struct{} // full while the shard is brought to a view, so that an older one never comes after a newer one

	mu       sync.RWMutex              // guards the fields below
	versions map[schema.TableID]uint64 // of the definitions that the machine has applied
	cutoffs  map[schema.TableID]int64  // of retention, that the machine has applied since the start
}

// openShard opens a replica. led is called when it has begun to lead and knows what its state has of the catalog.
func openShard(id schema.ShardID, o replica.Options, led func()) (*shard, error) {
	s := &shard{id: id, machine: counter.New(), following: make(chan struct{}, 1), versions: map[schema.TableID]uint64{}, cutoffs: map[schema.TableID]int64{}}
	o.Led = func(r *replica.Replica) {
		s.ended.Store(0)
		if err := s.loadVersions(r.Store()); err != nil { // the versions stay behind, and parts wait until the catalog is applied again
			o.Logger.Warn("the definitions of a shard could not be read", "group", o.Group.String(), "err", err)
		}
		led()
	}
	o.Machine = s.machine
	o.LogTime = func() int64 { return s.machine.Status().LogTime }
	o.Stuck = func() { s.stuck.Store(true) }
	var err error
	if s.replica, err = replica.Open(o); err != nil {
		return nil, err
	}
	s.proposer = replica.NewProposer(replica.ProposerOptions{
		Shard: id,
		Apply: s.replica.Apply,
		Stamp: s.replica.Stamp,
		Admit: s.replica.Admit,
		Room:  s.replica.WaitRoom,
		Cells: s.replica.Store().StepCells,
		Pass:  s.replica.Gate().Pass,
		Dict:  s.dict,
		Read:  verdicts,
		Seen:  s.seen,
	})
	return s, nil
}

func (s *shard) close() error {
	s.proposer.Close()
	return s.replica.Close()
}

// loadVersions reads which definitions the state has, when the leader has caught up.
func (s *shard) loadVersions(store *storage.Store) error {
	snap, err := store.Snapshot()
	if err != nil {
		return err
	}
	defer snap.Release()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.versions, s.cutoffs = map[schema.TableID]uint64{}, map[schema.TableID]int64{} // what another leader has done meanwhile is in the state
	for _, id := range snap.Tables() {
		if t, ok := snap.Table(id); ok {
			s.versions[id] = t.Schema().Version
		}
	}
	return nil
}

func (s *shard) version(id schema.TableID) uint64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.versions[id]
}

// dict looks values of one version of a table up. An older definition here must catch up first; a newer one is for the machine to refuse.
func (s *shard) dict(id schema.TableID, version uint64) (replica.Dict, error) {
	d := s.replica.Store().Dict(id)
	if d == nil || s.version(id) < version {
		return nil, replica.ErrBehind
	}
	return d, nil
}

// verdicts reads the machine's answer to an Add.
func verdicts(response any) ([]replica.Verdict, error) {
	switch r := response.(type) {
	case *counter.AddResult:
		out := make([]replica.Verdict, len(r.Parts))
		for i, p := range r.Parts {
			out[i] = verdict(p)
			out[i].Apart = !r.Applied
		}
		return out, nil
	case error:
		return nil, errcode.New(errcode.Closing, "the node is stopping; whether the batch was counted is not known: %w", r)
	}
	return nil, fmt.Errorf("server: the machine answered an Add with a %T", response)
}

func verdict(p counter.PartResult) replica.Verdict {
	switch p.Code {
	case fsm.OK:
		return replica.Verdict{Duplicate: p.Duplicate}
	case fsm.EntryRefused:
		return replica.Verdict{}
	}
	return replica.Verdict{Err: errcode.New(errcode.Code(p.Code.String()), "%s", p.Message()), Data: p.Code.Data()}
}

func (s *shard) seen(p command.Part) (replica.Verdict, uint64, bool) {
	r, index, ok := s.machine.Seen(&p)
	if !ok {
		return replica.Verdict{}, 0, false
	}
	return verdict(r), index, true
}

// command proposes one command and turns a refusal into an error.
func (s *shard) command(ctx context.Context, c command.Command) (any, error) {
	answer, _, err := s.replica.Propose(ctx, c)
	if err != nil {
		return nil, err
	}
	if r, ok := answer.(*fsm.Refusal); ok && r != nil {
		return nil, refusal(r)
	}
	return answer, nil
}

// refusal is what a machine refused, for users.
func refusal(r *fsm.Refusal) error {
	return errcode.New(errcode.Code(r.Code.String()), "%s", r.Message)
}

// setTable makes the shard apply a definition, if it has not.
func (s *shard) setTable(ctx context.Context, t *schema.Table) error {
	if s.version(t.ID) >= t.Version {
		return nil
	}
	if _, err := s.command(ctx, &command.SetTable{Table: *t}); err != nil {
		return fmt.Errorf("shard %d: %w", s.id, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.versions[t.ID] = max(s.versions[t.ID], t.Version)
	return nil
}

// dropWindows makes the shard apply a cutoff, once for each start of this node: what a crash has left undone is done again.
func (s *shard) dropWindows(ctx context.Context, id schema.TableID, before int64) error {
	s.mu.RLock()
	done, ok := s.cutoffs[id]
	s.mu.RUnlock()
	if ok && done >= before {
		return nil
	}
	if _, err := s.command(ctx, &command.DropWindows{ID: id, Before: before}); err != nil {
		return fmt.Errorf("shard %d: %w", s.id, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cutoffs[id] = before
	return nil
}

func (s *shard) dropTable(ctx context.Context, id schema.TableID) error {
	if _, err := s.command(ctx, &command.DropTable{ID: id}); err != nil {
		return fmt.Errorf("shard %d: %w", s.id, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.versions, id)
	return nil
}

// followView brings the shard, which is led here, to the newest view: slots, definitions, dropped tables, cutoffs, ended sessions.
func (s *shard) followView(ctx context.Context, newest func() view) error {
	return s.inTurn(ctx, func() error {
		v := newest()
		if err := s.follow(ctx, v); err != nil {
			return err
		}
		return s.endSessions(ctx, v)
	})
}

// followSessions tells the shard which sessions have ended.
func (s *shard) followSessions(ctx context.Context, newest func() view) error {
	return s.inTurn(ctx, func() error { return s.endSessions(ctx, newest()) })
}

// inTurn runs what brings the shard to a view, one at a time.
func (s *shard) inTurn(ctx context.Context, bring func() error) error {
	select {
	case s.following <- struct{}{}:
	case <-ctx.Done():
		return errcode.From(ctx.Err())
	}
	defer func() { <-s.following }()
	return bring()
}

func (s *shard) endSessions(ctx context.Context, v view) error {
	if v.Ended == s.ended.Load() {
		return nil
	}
	if _, err := s.command(ctx, v.DeadSessions()); err != nil {
		return err
	}
	s.ended.Store(v.Ended)
	return nil
}

func (s *shard) follow(ctx context.Context, v view) error {
	status := s.machine.Status()
	if v.Slots != nil && status.MapVersion < v.Slots.Version {
		if _, err := s.command(ctx, command.SlotsOf(v.Slots, s.id)); err != nil {
			return err
		}
	}
	keep := map[schema.TableID]bool{}
	for _, t := range v.Tables() {
		keep[t.ID] = true
		if err := s.setTable(ctx, t); err != nil {
			return err
		}
		if before, ok := v.Cutoff(t.ID); ok {
			if err := s.dropWindows(ctx, t.ID, before); err != nil {
				return err
			}
		}
	}
	for _, id := range s.applied() {
		// A table has its definition's log index for an id, and ids are never used again: one from after this view is unknown to it and not dropped.
		// The view of a node that lags behind the meta group must not take a table away from a shard that knows better.
		if !keep[id] && uint64(id) <= v.Revision {
			if err := s.dropTable(ctx, id); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *shard) applied() []schema.TableID {
	s.mu.RLock()
	defer s.mu.RUnlock()
	ids := make([]schema.TableID, 0, len(s.versions))
	for id := range s.versions {
		ids = append(ids, id)
	}
	return ids
}

// The shard is a participant of snapshot rounds.

// Prepare closes the gate.
func (s *shard) Prepare(ctx context.Context, round replica.Round) (replica.Promise, error) {
	return s.replica.Gate().Prepare(ctx, round)
}

// Open takes a snapshot at or above index.
func (s *shard) Open(ctx context.Context, index uint64) (*storage.Snapshot, error) {
	return s.replica.Snapshot(ctx, index)
}

// Commit lets go of the hold and confirms the term.
func (s *shard) Commit(ctx context.Context, round replica.Round, term uint64) error {
	if err := s.replica.Gate().Commit(round, term); err != nil {
		return err
	}
	return s.replica.ConfirmTerm(ctx, term)
}

// Abort lets go of the hold.
func (s *shard) Abort(round replica.Round) { s.replica.Gate().Abort(round) }

// Read is a snapshot of this shard alone.
func (s *shard) Read(ctx context.Context) (*storage.Snapshot, error) {
	index, _, err := s.replica.ReadIndex(ctx)
	if err != nil {
		return nil, err
	}
	snap, err := s.replica.Snapshot(ctx, index)
	if err != nil {
		return nil, err
	}
	if err := s.replica.Gate().Pass(ctx, snap.Applied().Index); err != nil {
		return nil, errors.Join(err, release(snap))
	}
	return snap, nil
}

// Peek is a snapshot of the shard as this replica has it, at or above index.
func (s *shard) Peek(ctx context.Context, index uint64) (*storage.Snapshot, rounds.State, error) {
	if err := s.replica.Store().WaitApplied(ctx, index); err != nil {
		return nil, rounds.State{}, fmt.Errorf("shard %d has applied entry %d of %d here: %w", s.id, s.replica.Store().Applied().Index, index, err)
	}
	state := rounds.State{Fresh: s.replica.Fresh(), Rate: s.peak.rate()}
	snap, err := s.replica.Store().Snapshot()
	return snap, state, err
}

func release(s *storage.Snapshot) error {
	s.Release()
	return nil
}
