package storage

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/quipudb/quipu/storage/keys"
	"github.com/quipudb/quipu/storage/schema"
)

const (
	dirtyCellsMax = 256 << 10 // cells in changed blocks that start a checkpoint
	dirtyBytesMax = 64 << 20
	restFactor    = 9 // a checkpoint is followed by a rest this many times as long: at most a tenth of a core
	runValues     = 256

	// Increments that one store should not have to replay after a crash: no rest goes on beyond them. At half a microsecond each they take four
	// stores on two cores two seconds.
	replayMax = 2 << 20
)

// Checkpoint makes the state durable as it is now, or later. It returns once Durable says so. It is an error to go on after it failed
// for another reason than ctx: the store has stopped then.
func (s *Store) Checkpoint(ctx context.Context) error {
	if err := s.lockSaving(ctx); err != nil {
		return err
	}
	defer s.unlockSaving()
	return s.checkpoint()
}

func (s *Store) lockSaving(ctx context.Context) error {
	select {
	case s.saving <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *Store) unlockSaving() { <-s.saving }

// frozen is all that a checkpoint writes, as of one step.
type frozen struct {
	epoch   uint64
	view    *view
	root    *root
	pos     position
	config  []byte
	changed map[string][]byte
	erased  []keys.Range
	dirty   int64
}

// freeze takes the state as it is. It is nil if a checkpoint has it already.
func (s *Store) freeze() *frozen {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.root.epoch <= s.saved && s.tx.applied == s.Durable() && len(s.changed) == 0 && len(s.erased) == 0 {
		return nil
	}
	f := &frozen{
		epoch: s.epoch, root: s.root, pos: position{s.tx.applied, s.lastGen},
		config: s.config, changed: s.changed, erased: s.erased, dirty: s.dirtyNow,
	}
	f.view = s.views.enter(&view{}, s.epoch, s.pin, true)
	s.frozen = s.epoch
	s.epoch++
	s.changed, s.erased = make(map[string][]byte), nil
	s.dirtyNow, s.cellsNow, s.addsNow = 0, 0, 0
	return f
}

// checkpoint writes what changed since the last one. Whoever calls it has locked saving.
func (s *Store) checkpoint() error {
	if err := s.Err(); err != nil {
		return err
	}
	start := time.Now()
	f := s.freeze()
	if f == nil {
		return nil
	}
	batch, err := s.fill(f)
	if err == nil {
		err = s.commit(batch)
	}
	if err != nil {
		err = fmt.Errorf("storage: checkpoint: %w", s.damaged(s.dbDir, err))
		s.fail(err)
		return s.Err()
	}
	s.saveDone(f)
	s.ended = time.Now()
	s.cost = s.ended.Sub(start)
	s.stats.checkpoints.Add(1)
	s.stats.checkpointNanos.Add(uint64(s.cost))
	return nil
}

// commit makes the batch durable.
func (s *Store) commit(batch *pebble.Batch) error {
	s.stats.checkpointBytes.Add(uint64(batch.Len()))
	if err := batch.Commit(pebble.NoSync); err != nil {
		return err
	}
	done, err := s.db.AsyncFlush()
	if err != nil {
		return err
	}
	select {
	case <-done:
		return s.Err()
	case <-s.failed: // the flush may never end then
		return s.Err()
	}
}

// saveDone moves the line between dirty and clean.
func (s *Store) saveDone(f *frozen) {
	p := &pin{epoch: f.epoch, db: s.db, dir: s.dbDir, snap: s.db.NewSnapshot(), refs: 1}
	s.mu.Lock()
	old := s.pin
	s.pin = p
	s.mu.Unlock()
	s.saved = f.epoch
	s.extent.Store(f.root.extent())
	applied := f.pos.applied
	s.durable.Store(&applied)
	s.unsavedBy(-f.dirty)
	s.memory.saved()
	s.views.release(f.view)
	s.views.mu.Lock()
	s.views.unpin(old)
	s.views.mu.Unlock()
	for id := range s.lens {
		if _, ok := f.root.find(id); !ok {
			delete(s.lens, id)
		}
	}
}

// filler writes nodes that are younger than the last checkpoint into a batch.
type filler struct {
	s     *Store
	batch *pebble.Batch
	block blockEncoder
	key   []byte
	value []byte
	err   error
}

func (s *Store) fill(f *frozen) (*pebble.Batch, error) {
	w := &filler{s: s, batch: s.db.NewBatch()}
	for _, r := range f.erased {
		w.erase(r)
	}
	w.record(metaApplied, f.pos.append)
	w.record(metaConfig, func(b []byte) []byte { return append(b, f.config...) })
	for name, v := range f.changed {
		w.row(name, v)
	}
	for _, t := range f.root.tables {
		if t.epoch > s.saved {
			w.table(t)
		}
	}
	return w.batch, w.err
}

func (w *filler) keep(err error) { w.err = errors.Join(w.err, err) }

func (w *filler) erase(r keys.Range) {
	if r.End == nil {
		w.keep(w.batch.Delete(r.Start, nil))
		return
	}
	w.keep(w.batch.DeleteRange(r.Start, r.End, nil))
}

func (w *filler) record(key []byte, write func([]byte) []byte) {
	w.value = record(w.value[:0], key, write)
	w.keep(w.batch.Set(key, w.value, nil))
}

func (w *filler) row(name string, v []byte) {
	w.key = keys.Key{Kind: keys.Row, Name: []byte(name)}.Append(w.key[:0])
	if v == nil {
		w.keep(w.batch.Delete(w.key, nil))
		return
	}
	w.value = seal(append(w.value[:0], v...), w.key, 0)
	w.keep(w.batch.Set(w.key, w.value, nil))
}

func (w *filler) table(t *table) {
	id := uint64(t.def.ID)
	if t.defEpoch > w.s.saved {
		w.record(keys.Key{Kind: keys.Table, Table: id}.Bytes(), t.appendRecord)
	}
	w.record(keys.Key{Kind: keys.Tally, Table: id}.Bytes(), func(b []byte) []byte { return binary.AppendUvarint(b, t.positive) })
	w.dictionaries(t)
	for _, x := range t.windows {
		if x.epoch > w.s.saved {
			w.window(t, x)
		}
	}
}

// dictionaries writes the values that are not in Pebble yet, in runs.
func (w *filler) dictionaries(t *table) {
	saved := w.s.lens[t.def.ID]
	for len(saved) < len(t.lens) {
		saved = append(saved, 0)
	}
	for d, n := range t.lens {
		for first := saved[d] + 1; first <= n; first += runValues {
			last := min(first+runValues-1, n)
			k := keys.Key{Kind: keys.Dict, Table: uint64(t.def.ID), Dim: uint8(d), Code: first}
			w.record(k.Bytes(), func(b []byte) []byte { return t.dicts[d].appendRun(b, first, last) })
		}
		saved[d] = n
	}
	w.s.lens[t.def.ID] = saved
}

func (w *filler) window(t *table, x *window) {
	k := keys.Key{Kind: keys.Window, Table: uint64(t.def.ID), Window: x.start}
	w.record(k.Bytes(), x.appendRecord)
	var last *block
	for _, p := range x.pages {
		if p == nil || p.epoch <= w.s.saved {
			continue
		}
		for _, h := range p.block[:p.used] {
			if h == nil || h == last || h.epoch <= w.s.saved {
				continue
			}
			last = h
			w.cells(t.def.ID, x, h)
		}
	}
}

func (w *filler) cells(id schema.TableID, x *window, h *block) {
	k := keys.Key{Kind: keys.Live, Table: uint64(id), Window: x.start, Generation: x.gen, Block: h.id}
	c := h.data.Load()
	w.record(k.Bytes(), func(b []byte) []byte { return binary.AppendUvarint(b, uint64(c.live)) })
	k.Kind = keys.Block
	w.key = k.Append(w.key[:0])
	w.keep(w.batch.Set(w.key, w.block.encode(w.key, c), nil))
}

// due reports that a checkpoint should not wait for its time. s.mu is held.
func (s *Store) due() bool {
	return s.dirtyNow >= dirtyBytesMax || s.cellsNow >= dirtyCellsMax || s.urgent()
}

// urgent reports that a checkpoint must not wait. s.mu is held.
func (s *Store) urgent() bool { return s.dirtyNow > 0 && s.memory.busy() || s.addsNow >= replayMax }

func (s *Store) kickCheckpointer() {
	select {
	case s.kick <- struct{}{}:
	default:
	}
}

// loop runs from Open to Close: it makes checkpoints, evicts, ends snapshots that hold too much, and calls Halt.
func (s *Store) loop() {
	every := s.opts.CheckpointEvery
	manual := every < 0
	if manual {
		every = time.Hour
	}
	timer := time.NewTimer(every)
	defer timer.Stop()
	for {
		tick := false
		select {
		case <-s.stop:
			return
		case <-s.failed:
			s.log.Error("storage halted", "err", s.Err())
			if s.opts.Halt != nil {
				s.opts.Halt(s.Err())
			}
			return
		case <-s.kick:
		case <-timer.C:
			tick = true
		}
		s.shrink()
		wait := s.rest(tick)
		if wait == 0 && !manual {
			if s.Checkpoint(context.Background()) != nil {
				continue // s.failed is closed
			}
			s.shrink()
			wait = every
		}
		timer.Reset(max(wait, time.Millisecond))
	}
}

// rest is how long the next checkpoint should still wait; 0 means now.
func (s *Store) rest(tick bool) time.Duration {
	s.mu.Lock()
	due := s.due()
	urgent := s.urgent()
	s.mu.Unlock()
	if urgent {
		return 0
	}
	s.saving <- struct{}{}
	since, rest := time.Since(s.ended), restFactor*s.cost
	s.unlockSaving()
	every := max(s.opts.CheckpointEvery, time.Millisecond)
	switch {
	case since < rest:
		return rest - since
	case due || tick && since >= every, since >= every:
		return 0
	}
	return every - since
}

// shrink brings memory below the budget as far as that can be.
func (s *Store) shrink() {
	if s.memory.readersOver() || s.memory.over() {
		s.views.relieve()
	}
	blocks, _ := s.clock.size()
	for steps := 0; steps < 2*blocks+evictSteps && s.memory.tight(); steps += evictSteps {
		s.mu.Lock()
		s.evict(evictSteps)
		s.mu.Unlock()
	}
}
