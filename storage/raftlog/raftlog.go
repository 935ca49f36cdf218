// Package raftlog is the Raft log and the stable store of one group: segments of consecutive entries and a small file for term and vote,
// in the directory log of the group's directory. An append is one write and one fdatasync.
//
//   - Every entry carries a CRC-32C of all its fields and of its place; one that fails it is refused with an error that names the file.
//     Only an append that was never acknowledged may be cut off.
//   - A vote is one value, so that no crash pairs the new term with the old candidate, and stands on the disk twice.
//   - The first write that fails halts the node, because raft itself goes on after it.
//   - One process at a time has the log open.
//
// The format is described in docs/format/raftlog.md. Use:
//
//	log, err := raftlog.Open(dir, raftlog.Options{Halt: halt})
//	r, err := raft.NewRaft(conf, machine, log, log, snapshots, transport)
package raftlog

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
)

// DirName is the log's directory in the group's directory.
const DirName = "log"

// oldName is the log of data directories of format 1, which raft-boltdb wrote.
const oldName = "raft.db"

// ErrInUse is a log that another process, or another Log of this one, has open.
var ErrInUse = errors.New("in use by another process; stop it first")

// ErrCorrupt is an entry or a file that is damaged. The text names the file.
var ErrCorrupt = errors.New("raftlog: corrupt log")

// Options of Open.
type Options struct {
	Halt func(error) // called once, at the first failed write or damaged entry; does nothing if nil
}

// Log is a raft.LogStore and a raft.StableStore. Entries have no gaps: one that is stored follows the last, or begins an empty log.
type Log struct {
	dir     string
	disk    disk
	halt    func(error)
	lock    *os.File
	failure atomic.Pointer[error]

	stable   *slots
	voteTerm atomic.Uint64 // of a vote whose candidate has not come yet; 0 for none

	writing sync.Mutex // puts the writes to the files in order, and is held over them; guards the fields below
	active  *segment   // the newest, once this process has begun one; nil before
	found   *segment   // the newest that an earlier process left; nil once another is active
	turn    uint64     // of the segment made last
	buf     []byte     // of the append
	idle    *time.Timer
	resting bool      // the mark of the last append is not synced yet
	ahead   chan made // gives the segment that will follow; nil if none was asked for
	grown   int64     // size of the next segment that is made

	mu       sync.Mutex // guards the fields below; held for moments only
	segments []*segment // from the oldest to the newest
	first    uint64     // index of the oldest entry; 0 if there is none
	last     uint64     // index of the newest
	recent   recent
	used     []string // files of segments that are not needed any more, to be used again
}

type made struct {
	segment *segment
	err     error
}

// Open opens the log in dir, which must exist, or makes an empty one.
func Open(dir string, o Options) (*Log, error) { return openOn(realDisk, dir, o) }

// Remove deletes the log in dir with its term and vote. Only for a group that never had an entry.
func Remove(dir string) error { return os.RemoveAll(filepath.Join(dir, DirName)) }

func openOn(d disk, dir string, o Options) (_ *Log, err error) {
	if o.Halt == nil {
		o.Halt = func(error) {}
	}
	l := &Log{dir: filepath.Join(dir, DirName), disk: d, halt: o.Halt, grown: segmentMin}
	defer func() {
		if err != nil && !errors.Is(err, ErrCorrupt) {
			err = fmt.Errorf("raftlog: open %s: %w", l.dir, err)
		}
		if err != nil {
			err = errors.Join(err, l.letGo())
		}
	}()
	if _, err := os.Stat(filepath.Join(dir, oldName)); err == nil {
		return nil, fmt.Errorf("%s is the log of a data directory of format 1, which this program does not read: use the release that wrote it",
			filepath.Join(dir, oldName))
	}
	if _, err := os.Stat(l.dir); errors.Is(err, os.ErrNotExist) {
		if err := makeDir(d, l.dir); err != nil {
			return nil, err
		}
	}
	if l.lock, err = lockDir(l.dir); err != nil {
		return nil, err
	}
	if l.stable, err = openStable(d, filepath.Join(l.dir, stableName)); err != nil {
		return nil, err
	}
	if err := l.openSegments(); err != nil {
		return nil, err
	}
	l.idle = time.AfterFunc(restAfter, l.rest)
	return l, l.recover()
}

// openSegments opens those that count and removes the others.
func (l *Log) openSegments() error {
	names, err := os.ReadDir(l.dir) // sorted
	if err != nil {
		return err
	}
	var gone []string
	for _, n := range names {
		path := filepath.Join(l.dir, n.Name())
		if filepath.Ext(path) == youngSuffix {
			gone = append(gone, path)
		}
		first, ok := firstOf(n.Name())
		if !ok {
			continue
		}
		s, err := openSegment(path, first)
		if err != nil {
			return err
		}
		l.segments = append(l.segments, s)
		l.turn = max(l.turn, s.turn)
	}
	all := l.segments
	l.segments = slices.DeleteFunc(slices.Clone(all), func(s *segment) bool { return slices.ContainsFunc(all, s.replacedBy) })
	for _, s := range all {
		if !slices.Contains(l.segments, s) {
			gone = append(gone, s.file.Name())
			_ = s.file.Close()
		}
	}
	return l.remove(gone)
}

// replacedBy says whether nothing of s counts since the other was made.
func (s *segment) replacedBy(other *segment) bool {
	return s.turn < other.turn && (other.alone || s.first >= other.first)
}

// remove deletes files one after the other, each durably before the next.
func (l *Log) remove(paths []string) error {
	for _, p := range paths {
		if err := errors.Join(os.Remove(p), syncDir(l.dir)); err != nil {
			return err
		}
	}
	return nil
}

// recover finds the end of the log. Entries of an append that was not acknowledged may be there, and count from now on, so they are made
// durable; they are written anew before, since a sync that failed may have left them in memory as if they were on the disk.
func (l *Log) recover() error {
	n := len(l.segments)
	if n == 0 {
		return nil
	}
	s := l.segments[n-1]
	f, err := s.scan(newest)
	if err != nil {
		return err
	}
	s.offsets, s.end, l.found = f.offsets, f.end, s
	if !f.marked && f.end > f.base {
		b := make([]byte, f.end-f.base)
		if _, err := s.file.ReadAt(b, f.base); err != nil {
			return err
		}
		if err := l.disk.write(s.file, b, f.base); err != nil {
			return err
		}
	}
	if err := errors.Join(l.disk.sync(s.file), syncDir(l.dir)); err != nil {
		return err
	}
	if n > 1 || len(f.offsets) > 0 {
		l.first, l.last = l.segments[0].first, s.first+uint64(len(f.offsets))-1
	}
	return nil
}

// Close makes the mark of the last append durable and lets go of the files.
func (l *Log) Close() error {
	l.writing.Lock()
	defer l.writing.Unlock()
	var errs []error
	closed := fmt.Errorf("raftlog: %s is closed", l.dir)
	if l.failure.CompareAndSwap(nil, &closed) {
		errs = append(errs, l.syncMark())
	}
	l.idle.Stop()
	if l.ahead != nil {
		if m := <-l.ahead; m.err == nil {
			errs = append(errs, m.segment.file.Close(), os.Remove(m.segment.file.Name()))
		}
		l.ahead = nil
	}
	return errors.Join(append(errs, l.letGo())...)
}

func (l *Log) letGo() error {
	var errs []error
	for _, s := range l.segments {
		errs = append(errs, s.file.Close())
	}
	if l.stable != nil {
		errs = append(errs, l.stable.file.Close())
	}
	if l.lock != nil {
		errs = append(errs, l.lock.Close())
	}
	l.segments, l.stable, l.lock = nil, nil, nil
	return errors.Join(errs...)
}

// Path is the log's directory.
func (l *Log) Path() string { return l.dir }

// Size is what the segments take on the disk, in bytes.
func (l *Log) Size() (size int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.segments {
		size += s.size
	}
	return size
}

// IsMonotonic tells raft to empty the log when it installs a state, rather than to leave a gap.
func (l *Log) IsMonotonic() bool { return true }

// FirstIndex is the index of the oldest entry, 0 if there is none.
func (l *Log) FirstIndex() (uint64, error) {
	first, _, err := l.span()
	return first, err
}

// LastIndex is the index of the newest entry, 0 if there is none.
func (l *Log) LastIndex() (uint64, error) {
	_, last, err := l.span()
	return last, err
}

func (l *Log) span() (first, last uint64, err error) {
	if e := l.failure.Load(); e != nil {
		return 0, 0, *e
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.first, l.last, nil
}

// GetLog reads one entry and checks it. A damaged one is an ErrCorrupt and halts the node.
func (l *Log) GetLog(index uint64, out *raft.Log) error {
	if e := l.failure.Load(); e != nil {
		return *e
	}
	l.mu.Lock()
	e, s, last := l.recent.get(index), (*segment)(nil), uint64(0)
	if e != nil {
		*out = *e
	} else {
		s, last = l.holder(index)
	}
	l.mu.Unlock()
	switch {
	case e != nil:
		return nil
	case s == nil:
		return raft.ErrLogNotFound
	}
	err := s.read(index, last, out)
	if err == nil {
		return nil
	}
	l.mu.Lock()
	now, _ := l.holder(index)
	l.mu.Unlock()
	if now != s { // deleted while it was read
		return raft.ErrLogNotFound
	}
	return l.fail(err)
}

// holder is the segment that has the entry, and the last index that counts there; nil if there is none. l.mu is held.
func (l *Log) holder(index uint64) (*segment, uint64) {
	if index < l.first || index > l.last || l.first == 0 {
		return nil, 0
	}
	last := l.last
	for i := len(l.segments) - 1; i >= 0; i-- {
		if s := l.segments[i]; s.first <= index {
			return s, last
		}
		last = l.segments[i].first - 1
	}
	return nil, 0
}

// read gives an entry of the segment, whose last index is last.
func (s *segment) read(index, last uint64, out *raft.Log) error {
	b, at, err := s.record(index, last)
	if errors.Is(err, ErrCorrupt) {
		return err
	}
	if err != nil {
		return s.damaged(index, err.Error())
	}
	var h header
	if !h.parse(b, s.id, at) || h.index != index || h.kind == kindMark || h.size() != int64(len(b)) || !h.whole(b) {
		return s.damaged(index, fmt.Sprintf("its checksum fails at byte %d", at))
	}
	*out = h.entry(b)
	return nil
}

func (l *Log) named(err error) error { return fmt.Errorf("raftlog: %s: %w", l.dir, err) }

// fail keeps the first error, which all later calls get, and halts the node with it.
func (l *Log) fail(err error) error {
	if l.failure.CompareAndSwap(nil, &err) {
		l.halt(err)
	}
	return *l.failure.Load()
}
