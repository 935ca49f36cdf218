package replicatest

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/raft"

	"github.com/quipudb/quipu/storage/raftlog"
)

// state is what the disk has of one log.
type state struct {
	mu      sync.Mutex // guards the fields below
	first   uint64     // index of entries[0]
	entries []raft.Log
	stable  map[string][]byte
	open    []*write // begun and not synced, oldest first
}

// write is one change on its way to the disk. It can stop in the middle: steps are applied in order.
type write struct{ steps []func(*state) }

func newState() *state { return &state{stable: map[string][]byte{}} }

// crash is the state that a power cut leaves.
func (s *state) crash(percent int, rng *rand.Rand) *state {
	s.mu.Lock()
	defer s.mu.Unlock()
	after := &state{first: s.first, entries: slices.Clone(s.entries), stable: maps.Clone(s.stable)}
	for _, w := range s.open {
		for _, step := range w.steps {
			if rng.IntN(100) >= percent {
				return after
			}
			step(after)
		}
	}
	return after
}

func (s *state) begin(w *write) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open = append(s.open, w)
}

// end makes a write count, or takes it back.
func (s *state) end(w *write, synced bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open = slices.DeleteFunc(s.open, func(o *write) bool { return o == w })
	if !synced {
		return
	}
	for _, step := range w.steps {
		step(s)
	}
}

// put appends an entry, or lays it over the one of its index. After a whole state was installed there is a gap before the next entry: what
// lies before it is of no more use.
func (s *state) put(e raft.Log) {
	end := s.first + uint64(len(s.entries))
	switch {
	case len(s.entries) == 0 || e.Index > end:
		s.first, s.entries = e.Index, []raft.Log{e}
	case e.Index < s.first:
		panic(fmt.Sprintf("replicatest: entry %d comes before a log that begins at %d", e.Index, s.first))
	case e.Index < end:
		s.entries[e.Index-s.first] = e
	default:
		s.entries = append(s.entries, e)
	}
}

// drop deletes entries at one end.
func (s *state) drop(first, last uint64) {
	if len(s.entries) == 0 || last < s.first {
		return
	}
	end := s.first + uint64(len(s.entries)) // exclusive
	switch {
	case first <= s.first && last+1 >= end:
		s.entries = nil
	case first <= s.first:
		s.entries = slices.Clone(s.entries[last+1-s.first:])
		s.first = last + 1
	case last+1 >= end:
		s.entries = s.entries[:first-s.first]
	default:
		panic(fmt.Sprintf("replicatest: %d to %d lie in the middle of the log", first, last))
	}
}

// log is one opening of a state. What it returned from survives a crash.
type log struct {
	disk *Disk
	path string
	halt func(error)
	s    *state

	voteTerm atomic.Uint64 // of a vote whose candidate has not come yet
	failure  atomic.Pointer[error]
}

func (l *log) Path() string { return l.path }
func (l *log) Close() error { return nil }

// write makes steps durable. The first one that fails halts the node, and everything after it fails too.
func (l *log) write(steps ...func(*state)) error {
	if err := l.failure.Load(); err != nil {
		return *err
	}
	w := &write{steps}
	l.s.begin(w)
	err := l.disk.wait()
	l.s.end(w, err == nil)
	if err != nil && l.failure.CompareAndSwap(nil, &err) && l.halt != nil {
		l.halt(fmt.Errorf("%s: %w", l.path, err))
	}
	return err
}

func (l *log) FirstIndex() (uint64, error) {
	l.s.mu.Lock()
	defer l.s.mu.Unlock()
	if len(l.s.entries) == 0 {
		return 0, nil
	}
	return l.s.first, nil
}

func (l *log) LastIndex() (uint64, error) {
	l.s.mu.Lock()
	defer l.s.mu.Unlock()
	if len(l.s.entries) == 0 {
		return 0, nil
	}
	return l.s.first + uint64(len(l.s.entries)) - 1, nil
}

func (l *log) GetLog(index uint64, out *raft.Log) error {
	l.s.mu.Lock()
	defer l.s.mu.Unlock()
	if index < l.s.first || index >= l.s.first+uint64(len(l.s.entries)) {
		return raft.ErrLogNotFound
	}
	*out = l.s.entries[index-l.s.first]
	return nil
}

func (l *log) StoreLog(e *raft.Log) error { return l.StoreLogs([]*raft.Log{e}) }

func (l *log) StoreLogs(entries []*raft.Log) error {
	steps := make([]func(*state), len(entries))
	for i, e := range entries {
		kept := *e
		steps[i] = func(s *state) { s.put(kept) }
	}
	return l.write(steps...)
}

func (l *log) DeleteRange(first, last uint64) error {
	return l.write(func(s *state) { s.drop(first, last) })
}

func (l *log) Reset() error {
	return l.write(func(s *state) { s.entries = nil })
}

func (l *log) HasVoted() (bool, error) {
	l.s.mu.Lock()
	defer l.s.mu.Unlock()
	return len(l.s.stable) > 0, nil
}

// The keys of a vote, which is one value: no crash pairs the new term with the old candidate.
const (
	voteTerm      = "LastVoteTerm"
	voteCandidate = "LastVoteCand"
)

func (l *log) Set(key, value []byte) error {
	k, v := string(key), slices.Clone(value)
	if k == voteCandidate {
		v = append(binary.LittleEndian.AppendUint64(nil, l.voteTerm.Load()), v...)
	}
	return l.write(func(s *state) { s.stable[k] = v })
}

func (l *log) Get(key []byte) ([]byte, error) {
	l.s.mu.Lock()
	defer l.s.mu.Unlock()
	v, ok := l.s.stable[string(key)]
	if !ok {
		return nil, raftlog.ErrNotFound
	}
	if string(key) == voteCandidate {
		v = v[8:]
	}
	return slices.Clone(v), nil
}

func (l *log) SetUint64(key []byte, value uint64) error {
	if string(key) == voteTerm {
		l.voteTerm.Store(value)
		return nil
	}
	return l.Set(key, binary.LittleEndian.AppendUint64(nil, value))
}

func (l *log) GetUint64(key []byte) (uint64, error) {
	k := string(key)
	if k == voteTerm {
		k = voteCandidate
	}
	l.s.mu.Lock()
	defer l.s.mu.Unlock()
	v, ok := l.s.stable[k]
	if !ok {
		return 0, raftlog.ErrNotFound
	}
	return binary.LittleEndian.Uint64(v), nil
}
